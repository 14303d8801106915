//! Devices that were removed lately: what they had said before does not bring them back.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::arrival::{Arrival, DeviceKey};

/// What was received so long ago is stored by now, or was lost with its connection.
const KEEP: Duration = Duration::from_secs(60 * 60);

/// When which device was removed last.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    of: HashMap<DeviceKey, Instant>,
}

impl Removals {
    /// Somebody asked at that moment to remove the device, and it is removed.
    pub fn note(&mut self, device: &DeviceKey, at: Instant) {
        self.of
            .retain(|_, removed| at.saturating_duration_since(*removed) < KEEP);
        self.of.insert(device.clone(), at);
    }

    /// A batch without what came before its device was removed.
    pub fn left_of<'a>(&self, batch: &'a [Arrival]) -> Cow<'a, [Arrival]> {
        let is_gone = |arrival: &Arrival| {
            arrival.received.is_some_and(|received| {
                let removed = self.of.get(&arrival.device);
                removed.is_some_and(|removed| received < *removed)
            })
        };
        if self.of.is_empty() || !batch.iter().any(is_gone) {
            return Cow::Borrowed(batch);
        }
        let left = batch.iter().filter(|arrival| !is_gone(arrival));
        Cow::Owned(left.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use aldis_protocol::Lamp;

    use super::*;
    use crate::arrival::What;

    /// A device that comes back by itself; or one that speaks again and is not heard.
    #[test]
    fn what_came_before_is_left_out_and_nothing_else() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let arrival = |id: &str, received| Arrival {
            device: DeviceKey::new("aldis", id).unwrap(),
            received_ms: 0,
            received,
            what: What::Led(Lamp::On),
        };
        let batch = [
            arrival("kitchen", Some(at(1))),
            arrival("kitchen", Some(at(2))),
            arrival("kitchen", Some(at(3))),
            arrival("kitchen", None),
            arrival("attic", Some(at(1))),
        ];
        let mut removals = Removals::default();
        assert!(matches!(removals.left_of(&batch), Cow::Borrowed(_)));
        removals.note(&batch[0].device, at(2));
        assert_eq!(*removals.left_of(&batch), batch[1..]);
        assert!(matches!(removals.left_of(&batch[1..]), Cow::Borrowed(_)));
        removals.note(&batch[0].device, at(4));
        assert_eq!(*removals.left_of(&batch), batch[3..]);
        // Whoever removes many does not fill the memory.
        removals.note(&batch[4].device, at(4) + KEEP);
        assert_eq!(removals.of.len(), 1);
    }
}
