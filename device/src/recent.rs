//! Which commands were done: one that comes again is not done again.

/// The newest commands that had an id, over restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// A hash of each, in a ring; zero: none.
    pub ids: [u64; Self::LEN],
    /// Where the next one goes, in the ring.
    pub next: u8,
    /// One bit for each: it was not done to its end.
    pub failed: u16,
}

impl Recent {
    /// How many are remembered.
    pub const LEN: usize = 16;

    /// What stands for the command with this id on the topic that ends so.
    pub(crate) fn hash(topic: &str, id: impl IntoIterator<Item = u8>) -> u64 {
        // FNV-1a, 64 bits: the chance that one of sixteen is taken for another is
        // below that of a damaged packet that TCP does not notice.
        let bytes = topic.bytes().chain([0]).chain(id);
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        hash.max(1)
    }

    /// Whether this one was done to its end; nothing, if it is not known.
    pub(crate) fn outcome(&self, hash: u64) -> Option<bool> {
        let at = self.ids.iter().position(|id| *id == hash)?;
        Some(self.failed & bit(at) == 0)
    }

    /// Remembers one in the place of the oldest.
    pub(crate) fn remember(&mut self, hash: u64, done: bool) {
        let at = usize::from(self.next).checked_rem(Self::LEN).unwrap_or(0);
        if let Some(id) = self.ids.get_mut(at) {
            *id = hash;
        }
        match done {
            true => self.failed &= !bit(at),
            false => self.failed |= bit(at),
        }
        let next = at.wrapping_add(1).checked_rem(Self::LEN).unwrap_or(0);
        self.next = u8::try_from(next).unwrap_or(0);
    }
}

fn bit(at: usize) -> u16 {
    let at = u32::try_from(at).unwrap_or(0);
    1_u16.checked_shl(at).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that comes again is executed again, or taken for another one.
    #[test]
    fn the_newest_sixteen_are_known() {
        let mut recent = Recent::default();
        let hash = |n: usize| Recent::hash("led/set", std::format!("{n}").bytes());
        for n in 0..40 {
            assert_eq!(recent.outcome(hash(n)), None);
            recent.remember(hash(n), n % 3 != 0);
            for before in n.saturating_sub(15)..=n {
                assert_eq!(recent.outcome(hash(before)), Some(before % 3 != 0));
            }
            if let Some(forgotten) = n.checked_sub(16) {
                assert_eq!(recent.outcome(hash(forgotten)), None);
            }
        }
        assert_eq!(
            recent.outcome(Recent::hash("morse/set", "39".bytes())),
            None
        );
        assert_ne!(
            Recent::hash("a", "bc".bytes()),
            Recent::hash("ab", "c".bytes())
        );
    }
}
