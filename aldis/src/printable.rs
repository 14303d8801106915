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

/// Characters that change the direction or take no room.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
