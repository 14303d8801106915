//! The lamp, the numbers and the newest commands: the one entry of a map.

use aldis_device::{Recent, Saved};
use aldis_protocol::Lamp;
use embedded_storage_async::nor_flash::NorFlash;

use super::{Buffer, Error, Store, number, room};

/// The key of the entry.
const SAVED: u8 = 1;
/// The version of the entry; the first one ends after the numbers.
const SAVED_VERSION: u8 = 2;
const SAVED_LEN: usize = 16 + 8 * Recent::LEN;
/// What it takes of a page.
pub(super) const SAVED_ROOM: u32 = room(SAVED_LEN);

impl<F: NorFlash> Store<F> {
    /// The lamp alone, which is found soonest.
    pub fn lamp(&mut self) -> Lamp {
        self.entry().map_or(Lamp::Off, |saved| saved.lamp)
    }

    /// What was saved last. What cannot be read any more is begun anew, with
    /// numbers that were not given before as far as anything tells.
    pub fn saved(&mut self) -> Saved {
        let saved = self.entry();
        let newest = self.find_newest();
        let saved = saved.unwrap_or_default();
        let Some(newest) = newest else { return saved };
        Saved {
            boot: saved.boot.max(newest.boot),
            seq: saved.seq.max(newest.seq.saturating_add(1)),
            ..saved
        }
    }

    /// Keeps what is to be saved.
    ///
    /// # Errors
    /// If the flash refused.
    pub fn save(&mut self, saved: &Saved) -> Result<(), Error> {
        let entry = encode_saved(saved);
        self.put(self.map.clone(), SAVED, &entry)
    }

    fn entry(&mut self) -> Option<Saved> {
        let mut buffer = Buffer::<{ SAVED_LEN + 16 }>::new();
        self.get(self.map.clone(), SAVED, &mut buffer.0)
            .and_then(decode_saved)
    }
}

/// Version, lamp, starts that did not last, place of the next command, number of
/// starts, of the next reading, which commands were not done, whose numbers these are, the
/// commands.
fn encode_saved(saved: &Saved) -> [u8; SAVED_LEN] {
    let recent = &saved.recent;
    let lamp = u8::from(saved.lamp == Lamp::On);
    let mut entry = [0; SAVED_LEN];
    let bytes = [SAVED_VERSION, lamp, saved.unstable, recent.next]
        .into_iter()
        .chain(saved.boot.to_le_bytes())
        .chain(saved.seq.to_le_bytes())
        .chain(recent.failed.to_le_bytes())
        .chain(saved.life.to_le_bytes())
        .chain(recent.ids.into_iter().flat_map(u64::to_le_bytes));
    for (place, byte) in entry.iter_mut().zip(bytes) {
        *place = byte;
    }
    entry
}

fn decode_saved(entry: &[u8]) -> Option<Saved> {
    let ([version, lamp, unstable, next], rest) = entry.split_first_chunk()?;
    let (boot, rest) = number(rest)?;
    let (seq, rest) = number(rest)?;
    let mut recent = Recent::default();
    let mut life = 0;
    match *version {
        1 => {}
        SAVED_VERSION => {
            let (both, mut rest) = number(rest)?;
            recent.failed = both as u16;
            life = (both >> 16) as u16;
            recent.next = *next;
            for id in &mut recent.ids {
                let (bytes, behind) = rest.split_first_chunk()?;
                *id = u64::from_le_bytes(*bytes);
                rest = behind;
            }
        }
        _ => return None,
    }
    Some(Saved {
        lamp: if *lamp == 0 { Lamp::Off } else { Lamp::On },
        boot,
        seq,
        life,
        unstable: *unstable,
        recent,
    })
}
