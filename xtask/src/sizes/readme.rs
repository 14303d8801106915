//! The table in README.md.

use std::fs;

use anyhow::{Context, Result};

use super::baseline::Baseline;
use super::{AGREE, table};
use crate::root;

const BEGIN: &str = "<!-- sizes -->\n";
const END: &str = "<!-- /sizes -->";

/// Renews the table.
pub fn write(baseline: &Baseline) -> Result<()> {
    let path = root().join("README.md");
    let page = read()?;
    let renewed = replaced(&page, &table::markdown(baseline)).with_context(missing)?;
    fs::write(&path, renewed).with_context(|| format!("cannot write {}", path.display()))
}

/// What is wrong with the table, if something is.
pub fn stale(baseline: &Baseline) -> Result<Option<String>> {
    let page = read()?;
    Ok(match replaced(&page, &table::markdown(baseline)) {
        Some(renewed) if renewed == page => None,
        Some(_) => Some(format!(
            "README.md: its table is not the one of xtask/sizes.json; type `{AGREE}`"
        )),
        None => Some(missing()),
    })
}

fn read() -> Result<String> {
    let path = root().join("README.md");
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn missing() -> String {
    format!(
        "README.md: there is no place for the table of sizes; write a line {} and a line {END} \
         where it belongs",
        BEGIN.trim_end()
    )
}

/// The page with this table between the two marks, if it has them.
fn replaced(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rest of the page is somebody's work.
    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = "# A\n<!-- sizes -->\nold\n<!-- /sizes -->\nB\n";
        let renewed = replaced(page, "| new |\n").unwrap();
        assert_eq!(
            renewed,
            "# A\n<!-- sizes -->\n\n| new |\n\n<!-- /sizes -->\nB\n"
        );
        assert_eq!(replaced(&renewed, "| new |\n").unwrap(), renewed);
        assert_ne!(replaced(&renewed, "| newer |\n").unwrap(), renewed);
    }

    /// A page without a place for it would lose its end.
    #[test]
    fn a_page_without_both_marks_is_left_alone() {
        for page in ["", "<!-- sizes -->\nA", "<!-- /sizes -->\n<!-- sizes -->\n"] {
            assert_eq!(replaced(page, ""), None, "{page}");
        }
    }
}
