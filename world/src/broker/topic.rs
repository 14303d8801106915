//! Topic names, topic filters and how they match.

/// Whether a name can be published to.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['+', '#'])
}

/// Whether a filter is well formed: wildcards stand alone in their level, `#` only in the last.
pub(super) fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let fine = match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            _ => !level.contains(['+', '#']),
        };
        if !fine {
            return false;
        }
    }
    !filter.is_empty()
}

/// Splits `$share/group/filter` into group and filter; `Err` if it is ill formed.
pub(super) fn split_shared(filter: &str) -> Result<(Option<&str>, &str), ()> {
    let Some(rest) = filter.strip_prefix("$share/") else {
        return Ok((None, filter));
    };
    match rest.split_once('/') {
        Some((group, filter))
            if !group.is_empty() && !group.contains(['+', '#']) && is_filter(filter) =>
        {
            Ok((Some(group), filter))
        }
        _ => Err(()),
    }
}

/// Whether a filter contains wildcards.
pub(super) fn has_wildcards(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Whether a filter (without share prefix) matches a topic name.
///
/// ```
/// use aldis_world::broker::topic_matches;
/// assert!(topic_matches("aldis/+/led/#", "aldis/kitchen/led"));
/// assert!(!topic_matches("#", "$SYS/uptime"));
/// ```
pub fn topic_matches(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut names = name.split('/');
    for level in filter.split('/') {
        match (level, names.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, name, matches) in [
            ("a/b", "a/b", true),
            ("a/b", "a/B", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("+", "a", true),
            ("+", "a/b", false),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("+", "/a", false),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/+/c", "a//c", true),
            ("a/+/#", "a", false),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("$SYS/+", "$SYS/x", true),
        ] {
            assert_eq!(topic_matches(filter, name), matches, "{filter} on {name}");
        }
    }

    #[test]
    fn ill_formed_filters_are_noticed() {
        for filter in ["", "a#", "a/#/b", "#/a", "a+", "+a/b", "a/b+"] {
            assert!(!is_filter(filter), "{filter}");
        }
        for filter in ["/", "+", "#", "a//b", "+/+/#", "/#", "$share"] {
            assert!(is_filter(filter), "{filter}");
        }
        for filter in [
            "$share/g",
            "$share//a",
            "$share/g/",
            "$share/+/a",
            "$share/g/a#",
        ] {
            assert!(split_shared(filter).is_err(), "{filter}");
        }
        assert_eq!(split_shared("$share/g/a/+"), Ok((Some("g"), "a/+")));
        assert_eq!(split_shared("$shared/g"), Ok((None, "$shared/g")));
    }
}
