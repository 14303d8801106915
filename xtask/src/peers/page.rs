//! The generated part of docs/peers.md.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::root;

const BEGIN: &str = "<!-- peers -->\n";
const END: &str = "<!-- /peers -->";

/// Where it is.
pub fn path() -> PathBuf {
    root().join("docs/peers.md")
}

/// Puts this in the place of what was measured before.
pub fn write(text: &str) -> Result<()> {
    let path = path();
    let page =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let renewed = replaced(&page, text).with_context(|| {
        format!(
            "{}: there is no place for the table; write a line {} and a line {END} where it belongs",
            path.display(),
            BEGIN.trim_end()
        )
    })?;
    fs::write(&path, renewed).with_context(|| format!("cannot write {}", path.display()))
}

fn replaced(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words around the table are somebody's work.
    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = "# A\n<!-- peers -->\nold\n<!-- /peers -->\nB\n";
        let renewed = replaced(page, "| new |\n").unwrap();
        assert_eq!(
            renewed,
            "# A\n<!-- peers -->\n\n| new |\n\n<!-- /peers -->\nB\n"
        );
        assert_eq!(replaced("no marks", ""), None);
        assert_eq!(replaced("<!-- /peers -->\n<!-- peers -->\n", ""), None);
    }

    #[test]
    fn the_page_has_its_place() {
        let page = fs::read_to_string(path()).unwrap();
        assert!(replaced(&page, "").is_some());
    }
}
