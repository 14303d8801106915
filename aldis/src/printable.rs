//! What others sent, as text that does nothing to a terminal.

/// Characters that are shown at most.
pub const MOST: usize = 256;

/// A payload as text, if it is text.
pub fn readable(payload: &[u8]) -> String {
    match std::str::from_utf8(payload) {
        Ok("") => "(empty)".to_owned(),
        Ok(text) => printable(text),
        Err(_) => format!("({} bytes, not text)", payload.len()),
    }
}

/// Text that does nothing to a terminal, and not too much of it.
pub fn printable(text: &str) -> String {
    let mut printed: String = text
        .chars()
        .take(MOST)
        .map(|c| match c {
            '\t' | '\n' | '\r' => ' ',
            c if c.is_control() || is_invisible(c) => '\u{fffd}',
            c => c,
        })
        .collect();
    if text.chars().nth(MOST).is_some() {
        printed.push('…');
    }
    printed
}

pub use aldis_history::is_invisible;

/// Text that does nothing to a terminal, whole: what would is written as it is escaped in Rust.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() || is_invisible(c) => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// JSON in which nothing is invisible: the same to whoever reads it, as such characters stand in
/// its strings alone.
pub fn escaped_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => escape_json(c, &mut escaped),
            c if is_invisible(c) => escape_json(c, &mut escaped),
            c => escaped.push(c),
        }
    }
    escaped
}

fn escape_json(c: char, to: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        to.push_str(&format!("\\u{unit:04x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that turns the line around, or that is not what it looks like.
    #[test]
    fn what_is_not_seen_is_escaped() {
        assert_eq!(
            escaped("kit\u{202e}nehc\u{1b}[2J"),
            "kit\\u{202e}nehc\\u{1b}[2J"
        );
        assert_eq!(escaped("küche 厨房"), "küche 厨房");
        let text = "a\u{202e}b\u{9b}c\u{e0041}\u{2066}";
        let json = serde_json::json!({ text: [text] });
        let plain = escaped_json(&json.to_string());
        assert!(
            !plain.contains(|c: char| c.is_control() || is_invisible(c)),
            "{plain}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&plain).unwrap(),
            json
        );
    }
}
