//! Names that Home Assistant takes: letters, digits, `_` and `-`.
//!
//! A device is named by its key, `prefix/id`, in which nearly everything may stand. Each key
//! has one name and each name at most one key, so that devices cannot collide, and what is
//! found at the broker tells whose it is.

use std::fmt::Write as _;

/// The name of a device: its key with `__` for each slash, and `_` and two hexadecimal digits
/// for each other byte that cannot stand there.
pub fn encode(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 8);
    for byte in key.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' => name.push(char::from(byte)),
            b'/' => name.push_str("__"),
            byte => {
                // Writing to a string cannot fail.
                let _ = write!(name, "_{byte:02x}");
            }
        }
    }
    name
}

/// The key that has this name, if one has.
pub fn decode(name: &str) -> Option<String> {
    let mut key = Vec::with_capacity(name.len());
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'_' {
            key.push(byte);
            continue;
        }
        match bytes.next()? {
            b'_' => key.push(b'/'),
            high => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(high)? << 4 | digit(bytes.next()?)?;
                key.push(u8::try_from(value).ok()?);
            }
        }
    }
    let key = String::from_utf8(key).ok()?;
    // Only the name that is ours for it: `_41` is another way to write `A`.
    (encode(&key) == name).then_some(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A name that Home Assistant refuses, or that changes between versions of ours: then
    /// what was announced under the old one stays for ever.
    #[test]
    fn names_are_as_promised() {
        for (key, name) in [
            ("aldis/kitchen", "aldis__kitchen"),
            ("aldis/esp-a0b1c2d3e4f5", "aldis__esp-a0b1c2d3e4f5"),
            ("home/aldis/k_1", "home__aldis__k_5f1"),
            ("aldis/pc-host.local", "aldis__pc-host_2elocal"),
            ("aldis/küche", "aldis__k_c3_bcche"),
        ] {
            assert_eq!(encode(key), name);
            assert_eq!(decode(name).as_deref(), Some(key));
        }
        for none in ["a_", "a_4", "a_4g", "a_41", "a_c3", "a b", "a_5F", "é"] {
            assert_eq!(decode(none), None, "{none}");
        }
    }

    proptest! {
        /// Two devices under one name would overwrite each other.
        #[test]
        fn each_key_has_a_name_of_its_own(key in ".{0,80}") {
            let name = encode(&key);
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
            prop_assert_eq!(decode(&name), Some(key));
        }

        /// Nothing at the broker may make it panic, or be taken for a device under two names.
        #[test]
        fn what_decodes_encodes_back(name in "[a-fA-Z0-9_-]{0,40}|.{0,40}") {
            if let Some(key) = decode(&name) {
                prop_assert_eq!(encode(&key), name);
            }
        }
    }
}
