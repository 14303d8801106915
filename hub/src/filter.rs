//! Topic filters as sets of topics: which set covers another, which two meet.

/// Whether every topic that `filter` matches is matched by `wider` too.
///
/// `filter` may be a plain topic. Wildcards at the first level do not reach topics
/// that begin with `$`, as in subscriptions.
pub fn covers(wider: &str, filter: &str) -> bool {
    if hides_system_topics(wider) && filter.starts_with('$') {
        return false;
    }
    let (mut wide, mut narrow) = (wider.split('/'), filter.split('/'));
    loop {
        match (wide.next(), narrow.next()) {
            (Some("#"), _) => return true,
            // `a/+` does not cover `a/#`, which matches `a` and `a/b/c` as well.
            (_, Some("#")) => return false,
            (Some("+"), Some(_)) => {}
            (Some(wide), Some(narrow)) if wide == narrow => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Whether some topic is matched by both filters.
pub fn overlaps(one: &str, other: &str) -> bool {
    if (hides_system_topics(one) && other.starts_with('$'))
        || (hides_system_topics(other) && one.starts_with('$'))
    {
        return false;
    }
    let (mut left, mut right) = (one.split('/'), other.split('/'));
    loop {
        match (left.next(), right.next()) {
            (Some("#"), _) | (_, Some("#")) => return true,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(left), Some(right)) if left == right => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// What is wrong with a topic filter, if anything.
pub fn fault(filter: &str) -> Option<&'static str> {
    if filter.is_empty() {
        return Some("it is empty");
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level == "#" && levels.peek().is_some() {
            return Some("`#` is only allowed as the last level");
        }
        if level.len() > 1 && level.contains(['#', '+']) {
            return Some("`#` and `+` must stand alone in their level");
        }
    }
    None
}

fn hides_system_topics(filter: &str) -> bool {
    filter.starts_with(['#', '+'])
}

#[cfg(test)]
mod tests {
    use super::{covers, fault, overlaps};

    /// A rule that covers too much opens topics, one that covers too little locks them.
    #[test]
    fn covering_is_containment_of_the_matched_topics() {
        for (wider, filter, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/c", false),
            ("a/b", "a/b/c", false),
            ("a/b", "a", false),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/+", "a/#", false),
            ("a/+", "a", false),
            ("a/+", "a/b/c", false),
            ("a/b", "a/+", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "a/+/#", true),
            ("a/#", "#", false),
            ("#", "a/b", true),
            ("#", "#", true),
            ("#", "$SYS/load", false),
            ("+/load", "$SYS/load", false),
            ("$SYS/#", "$SYS/load", true),
            ("+/+", "a/", true),
            ("+", "/a", false),
        ] {
            assert_eq!(covers(wider, filter), expected, "{wider} covers {filter}");
        }
    }

    /// A deny rule that misses an overlap lets `#` read what is forbidden.
    #[test]
    fn overlapping_is_having_a_topic_in_common() {
        for (one, other, expected) in [
            ("secret/#", "#", true),
            ("secret/#", "+/door", true),
            ("secret/#", "secret", true),
            ("secret/#", "public/#", false),
            ("a/+/c", "a/b/+", true),
            ("a/+/c", "a/b/d", false),
            ("a/b", "a/b/c", false),
            ("$SYS/#", "#", false),
            ("$SYS/#", "$SYS/load", true),
        ] {
            assert_eq!(overlaps(one, other), expected, "{one} and {other}");
            assert_eq!(overlaps(other, one), expected, "{other} and {one}");
        }
    }

    /// A misplaced wildcard in a rule would silently never match.
    #[test]
    fn misplaced_wildcards_are_faults() {
        for good in ["a", "a/#", "#", "+/a", "/", "a//b", "$SYS/#"] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in ["", "a/#/b", "a#", "a/b+", "+a/b"] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
