//! What waits to be published, in its order.

use aldis_mqtt::PublicationId;
use heapless::Vec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Waiting,
    Going(PublicationId),
    Done,
}

#[derive(Debug)]
struct Parcel<T> {
    what: T,
    way: Way,
    /// Under which number the board keeps it, if it does.
    kept: Option<u32>,
}

/// At most `N` of what waits to be published.
///
/// What is kept by the board has a number: a later one a greater one, and no two that
/// are kept at a time the same remainder by `N`. So a board has `N` places for them.
#[derive(Debug)]
pub(crate) struct Queue<T, const N: usize> {
    parcels: Vec<Parcel<T>, N>,
    /// The greatest number that was given.
    last: u32,
}

impl<T, const N: usize> Queue<T, N> {
    pub const fn new() -> Self {
        Self {
            parcels: Vec::new(),
            last: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.parcels.len()
    }

    pub fn is_full(&self) -> bool {
        self.parcels.is_full()
    }

    /// The number under which a board could keep the next one. There is none if it is full.
    pub fn next_number(&self) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let place = |number: u32| number.checked_rem(N as u32);
        let taken = |number: u32| {
            let mut kept = self.parcels.iter().filter_map(|parcel| parcel.kept);
            kept.any(|kept| place(kept) == place(number))
        };
        let mut number = self.last.wrapping_add(1);
        while taken(number) {
            number = number.wrapping_add(1);
        }
        Some(number)
    }

    /// Says whether there was room. `kept`: under which number the board keeps it.
    pub fn push(&mut self, what: T, kept: Option<u32>) -> bool {
        self.last = kept.unwrap_or(self.last);
        let way = Way::Waiting;
        self.parcels.push(Parcel { what, way, kept }).is_ok()
    }

    /// Takes back what the board kept over the restart under this number; `ended`: only
    /// to be forgotten.
    pub fn recall(&mut self, what: T, number: u32, ended: bool) {
        self.last = self.last.max(number);
        let earlier = |parcel: &&Parcel<T>| parcel.kept < Some(number);
        let at = self.parcels.iter().take_while(earlier).count();
        let kept = Some(number);
        let way = match ended {
            true => Way::Done,
            false => Way::Waiting,
        };
        // There are no more places than room.
        let _ = self.parcels.insert(at, Parcel { what, way, kept });
    }

    /// Those whose end did not come.
    pub fn waiting(&self) -> impl Iterator<Item = &T> {
        let waits = |parcel: &&Parcel<T>| parcel.way != Way::Done;
        self.parcels.iter().filter(waits).map(|parcel| &parcel.what)
    }

    pub fn under_way(&self) -> usize {
        let under_way = |parcel: &&Parcel<T>| matches!(parcel.way, Way::Going(_));
        self.parcels.iter().filter(under_way).count()
    }

    /// The first that is not under way.
    pub fn next(&self) -> Option<&T> {
        let waits = |parcel: &&Parcel<T>| parcel.way == Way::Waiting;
        self.parcels.iter().find(waits).map(|parcel| &parcel.what)
    }

    /// What [`Queue::next`] gives is in the session's outbox now, or cannot be
    /// published.
    pub fn sent(&mut self, id: Option<PublicationId>) {
        let mut parcels = self.parcels.iter_mut();
        if let Some(parcel) = parcels.find(|parcel| parcel.way == Way::Waiting) {
            parcel.way = id.map_or(Way::Done, Way::Going);
        }
    }

    fn turn(&mut self, id: PublicationId, way: Way) -> bool {
        let mut parcels = self.parcels.iter_mut();
        let ours = parcels.find(|parcel| parcel.way == Way::Going(id));
        let ours = ours.map(|parcel| parcel.way = way);
        ours.is_some()
    }

    /// The end of a publication came. Says whether it was one of these.
    pub fn ended(&mut self, id: PublicationId) -> bool {
        self.turn(id, Way::Done)
    }

    /// What is under way as this publication.
    pub fn going(&self, id: PublicationId) -> Option<&T> {
        let ours = |parcel: &&Parcel<T>| parcel.way == Way::Going(id);
        self.parcels.iter().find(ours).map(|parcel| &parcel.what)
    }

    /// A publication is to be made anew. Says whether it was one of these.
    pub fn again(&mut self, id: PublicationId) -> bool {
        self.turn(id, Way::Waiting)
    }

    /// The connection is gone: what is under way goes on the next one.
    pub fn take_back(&mut self, mut withdraw: impl FnMut(PublicationId) -> bool) {
        for parcel in &mut self.parcels {
            if let Way::Going(id) = parcel.way
                && withdraw(id)
            {
                parcel.way = Way::Waiting;
            }
        }
    }

    /// Throws away what is at its end; `forget` is told the numbers of what is kept.
    pub fn sweep(&mut self, mut forget: impl FnMut(u32)) {
        self.parcels.retain(|parcel| {
            let done = parcel.way == Way::Done;
            if let Some(number) = parcel.kept.filter(|_| done) {
                forget(number);
            }
            !done
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(queue: &Queue<u32, 4>) -> std::vec::Vec<u32> {
        queue.waiting().copied().collect()
    }

    /// Two that are kept in one place of the flash, of which one is lost.
    #[test]
    fn what_is_kept_has_a_place_of_its_own() {
        let mut queue = Queue::<u32, 4>::new();
        for number in [1, 2, 3] {
            assert_eq!(queue.next_number(), Some(number));
            queue.push(number, Some(number));
        }
        // The second is told, the first is not.
        queue.sent(None);
        queue.sent(None);
        queue.parcels[0].way = Way::Waiting;
        let mut forgotten = 0;
        queue.sweep(|number| forgotten = number);
        assert_eq!((forgotten, waiting(&queue)), (2, vec![1, 3]));
        queue.push(0, None);
        assert_eq!(queue.next_number(), Some(4));
        queue.push(4, Some(4));
        assert_eq!((queue.is_full(), queue.next_number()), (true, None));
        // 5 and 7 would be where 1 and 3 are.
        queue.parcels[3].way = Way::Done;
        queue.sweep(|_| {});
        queue.last = 4;
        assert_eq!(queue.next_number(), Some(6));
    }

    /// An earlier state of a message that is told after a later one.
    #[test]
    fn what_is_recalled_has_its_order() {
        let mut queue = Queue::<u32, 4>::new();
        for number in [8, 9, 6, 7] {
            queue.recall(number, number, number == 9);
        }
        assert_eq!(waiting(&queue), [6, 7, 8]);
        queue.sweep(|number| assert_eq!(number, 9));
        // 10 would be where 6 is.
        assert_eq!(queue.next_number(), Some(13));
    }
}
