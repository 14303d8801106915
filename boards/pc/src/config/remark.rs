//! What is to be said about a configuration by those who know more than the file.

/// Something about a key of the configuration: an error, or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    pub(super) other: Option<&'static str>,
    pub(super) text: String,
    pub(super) is_warning: bool,
}

impl Remark {
    /// The configuration cannot be used because of this key. It need not be in the file; the
    /// section of those at its top is `""`.
    pub fn error(section: &'static str, key: &'static str, text: impl Into<String>) -> Self {
        Self {
            section,
            key,
            other: None,
            text: text.into(),
            is_warning: false,
        }
    }

    /// The configuration can be used, but this should be known.
    pub fn warning(section: &'static str, key: &'static str, text: impl Into<String>) -> Self {
        Self {
            is_warning: true,
            ..Self::error(section, key, text)
        }
    }

    /// It holds only if nothing is wrong about this key of the section either.
    pub fn with(self, other: &'static str) -> Self {
        Self {
            other: Some(other),
            ..self
        }
    }
}
