//! Passwords that the hub makes.

use std::fmt;

use argon2::password_hash::rand_core::{OsRng, RngCore};
use argon2::password_hash::{PasswordHasher, SaltString, rand_core};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::access::{HashError, hash_password};

/// Crockford's alphabet: no letter in it is taken for another or for a digit.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// An owner's password as the hub makes it: 100 bits of chance in five groups of four
/// letters and digits.
#[derive(Clone)]
pub struct OwnerPassword(String);

/// A device's password: 160 bits of chance in 32 letters and digits.
#[derive(Clone)]
pub struct DevicePassword(String);

impl OwnerPassword {
    /// A new one.
    pub fn generate() -> Self {
        let groups: Vec<_> = (0..5).map(|_| letters(4)).collect();
        Self(groups.join("-"))
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its hash, for [`Keys::owner`](super::Keys::owner).
    ///
    /// # Errors
    /// If it cannot be hashed.
    pub fn hash(&self) -> Result<String, HashError> {
        hash_password(&self.0)
    }
}

impl DevicePassword {
    /// A new one.
    pub fn generate() -> Self {
        Self(letters(32))
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its hash, for [`Device::password`](super::Device::password).
    ///
    /// Argon2 is slow and wants memory so that passwords of people cannot be guessed from
    /// their hashes. Nobody guesses 160 bits, so here it takes the least of both: ten
    /// thousand devices that come back at once are let in at once.
    ///
    /// # Errors
    /// If it cannot be hashed.
    pub fn hash(&self) -> Result<String, HashError> {
        let salt = SaltString::generate(&mut rand_core::OsRng);
        let params = Params::new(Params::MIN_M_COST, Params::MIN_T_COST, 1, None);
        params
            .map(|params| Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
            .map_err(argon2::password_hash::Error::from)
            .and_then(|argon2| Ok(argon2.hash_password(self.0.as_bytes(), &salt)?.to_string()))
            .map_err(HashError::from)
    }
}

impl fmt::Debug for OwnerPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerPassword(...)")
    }
}

impl fmt::Debug for DevicePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DevicePassword(...)")
    }
}

/// So many letters by chance, five bits each.
pub(crate) fn letters(count: usize) -> String {
    let mut bytes = vec![0; count];
    OsRng.fill_bytes(&mut bytes);
    bytes
        .into_iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte) % LETTERS.len()))
        .map(|letter| char::from(*letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{DevicePassword, LETTERS, OwnerPassword, letters};
    use crate::access::fits;

    /// Passwords that repeat, or that are shorter than they say.
    #[test]
    fn passwords_have_the_chance_they_promise() {
        let owners: BTreeSet<_> = (0..100).map(|_| OwnerPassword::generate().0).collect();
        assert_eq!(owners.len(), 100);
        for owner in &owners {
            let groups: Vec<_> = owner.split('-').map(str::len).collect();
            assert_eq!(groups, [4; 5], "{owner}");
        }
        assert_eq!(DevicePassword::generate().0.len(), 32);
        let seen: BTreeSet<_> = letters(10_000).into_bytes().into_iter().collect();
        assert_eq!(seen, LETTERS.iter().copied().collect());
    }

    /// A device that is locked out with the password it was given.
    #[test]
    fn a_hash_is_of_its_password() {
        let password = DevicePassword::generate();
        let hash = password.hash().unwrap();
        assert!(fits(&hash, password.expose().as_bytes()));
        assert!(!fits(&hash, DevicePassword::generate().expose().as_bytes()));
        assert!(!format!("{password:?}").contains(password.expose()));
    }
}
