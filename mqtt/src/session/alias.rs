//! Topic aliases (MQTT 5, section 3.3.2.3.4), for either direction.

use crate::shift::move_down;
use crate::wire::{Reader, Writer};

/// Bytes before each topic: its alias and its length.
const HEAD: usize = 4;

/// Which topics the aliases of one connection stand for: entries of alias,
/// length and topic, one after the other.
#[derive(Debug)]
pub(crate) struct Aliases<'b> {
    memory: &'b mut [u8],
    len: usize,
    count: u16,
}

impl<'b> Aliases<'b> {
    pub const fn new(memory: &'b mut [u8]) -> Self {
        Self {
            memory,
            len: 0,
            count: 0,
        }
    }

    /// How many aliases the other side may use: as many as there could be
    /// topics of four bytes.
    pub fn maximum(&self) -> u16 {
        u16::try_from(self.memory.len() / (2 * HEAD)).unwrap_or(u16::MAX)
    }

    /// Aliases end with the connection.
    pub fn clear(&mut self) {
        self.len = 0;
        self.count = 0;
    }

    /// There is not enough memory: none are allowed from now on.
    pub fn give_up(&mut self) {
        self.memory = &mut [];
        self.clear();
    }

    fn entries(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let mut reader = Reader::new(self.memory.get(..self.len).unwrap_or(&[]));
        core::iter::from_fn(move || Some((reader.u16().ok()?, reader.binary().ok()?)))
    }

    /// The topic that an alias stands for.
    pub fn topic(&self, alias: u16) -> Option<&[u8]> {
        let (_, topic) = self.entries().find(|(number, _)| *number == alias)?;
        Some(topic)
    }

    /// Ends what an alias stood for.
    fn unset(&mut self, alias: u16) {
        let mut start = 0;
        let mut found = None;
        for (number, topic) in self.entries() {
            let end = start + HEAD + topic.len();
            if number == alias {
                found = Some((start, end));
            }
            start = end;
        }
        if let Some((start, end)) = found {
            let used = self.memory.get_mut(..self.len).unwrap_or(&mut []);
            move_down(used, end, start);
            self.len -= end - start;
        }
    }

    /// Lets an alias stand for a topic; nothing if there is no memory for it.
    pub fn set(&mut self, alias: u16, topic: &[u8]) -> Option<()> {
        if self.topic(alias) == Some(topic) {
            return Some(());
        }
        self.unset(alias);
        let mut w = Writer::new(self.memory.get_mut(self.len..)?);
        w.u16(alias).ok()?;
        w.binary(topic).ok()?;
        self.len += w.len();
        Some(())
    }

    /// The alias for a topic that is to be sent, and whether the other side
    /// knows it already; nothing if there is none left.
    pub fn for_topic(&mut self, topic: &[u8], maximum: u16) -> Option<(u16, bool)> {
        let known = self.entries().find(|(_, known)| *known == topic);
        if let Some((alias, _)) = known {
            return Some((alias, true));
        }
        if self.count >= maximum {
            return None;
        }
        self.set(self.count + 1, topic)?;
        self.count += 1;
        Some((self.count, false))
    }
}
