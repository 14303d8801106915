//! Words of commands that are printed to be typed.

/// As a shell takes it for one word.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/\\:._-+@".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    /// A folder with a space in its name would be two arguments.
    #[test]
    fn words_are_what_a_shell_makes_of_them() {
        for (word, expected) in [
            ("/var/lib/aldis", "/var/lib/aldis"),
            ("my hub", "'my hub'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
