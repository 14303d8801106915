//! What is wrong in a configuration file.

use std::error::Error;
use std::fmt;
use std::io;

/// Everything that is wrong in a configuration file: a line for each, naming file, line and key
/// and saying what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    name: String,
    /// The line in the file, where there is one, and what is wrong there.
    errors: Vec<(Option<usize>, String)>,
}

impl ConfigErrors {
    pub(super) fn unreadable(name: String, error: &io::Error) -> Self {
        Self {
            name,
            errors: vec![(None, format!("cannot be read: {error}"))],
        }
    }

    /// In the order of their lines; what has none is last.
    pub(super) fn new(name: &str, mut errors: Vec<(Option<usize>, String)>) -> Self {
        errors.sort_by_key(|(line, _)| line.unwrap_or(usize::MAX));
        Self {
            name: name.to_owned(),
            errors,
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, error)) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match line {
                Some(line) => write!(f, "{}:{line}: {error}", self.name)?,
                None => write!(f, "{}: {error}", self.name)?,
            }
        }
        Ok(())
    }
}

impl Error for ConfigErrors {}
