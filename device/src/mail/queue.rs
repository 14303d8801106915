//! What waits to be published, in its order.

use aldis_mqtt::PublicationId;
use heapless::Deque;

#[derive(Debug)]
enum Way {
    Waiting,
    Going(PublicationId),
    Done,
}

#[derive(Debug)]
struct Parcel<T> {
    what: T,
    way: Way,
}

/// At most `N` of what waits to be published.
#[derive(Debug)]
pub(crate) struct Queue<T, const N: usize> {
    parcels: Deque<Parcel<T>, N>,
}

impl<T, const N: usize> Queue<T, N> {
    pub const fn new() -> Self {
        Self {
            parcels: Deque::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.parcels.len()
    }

    /// Says whether there was room.
    pub fn push(&mut self, what: T) -> bool {
        let way = Way::Waiting;
        self.parcels.push_back(Parcel { what, way }).is_ok()
    }

    pub fn under_way(&self) -> usize {
        let under_way = |parcel: &&Parcel<T>| matches!(parcel.way, Way::Going(_));
        self.parcels.iter().filter(under_way).count()
    }

    /// The first that is not under way.
    pub fn next(&self) -> Option<&T> {
        let waits = |parcel: &&Parcel<T>| matches!(parcel.way, Way::Waiting);
        self.parcels.iter().find(waits).map(|parcel| &parcel.what)
    }

    /// What [`Queue::next`] gives is in the session's outbox now, or cannot be
    /// published.
    pub fn sent(&mut self, id: Option<PublicationId>) {
        let mut parcels = self.parcels.iter_mut();
        if let Some(parcel) = parcels.find(|parcel| matches!(parcel.way, Way::Waiting)) {
            parcel.way = id.map_or(Way::Done, Way::Going);
        }
        self.trim();
    }

    /// The end of a publication came. Says whether it was one of these.
    pub fn ended(&mut self, id: PublicationId) -> bool {
        let ours = |parcel: &&mut Parcel<T>| matches!(parcel.way, Way::Going(of) if of == id);
        let Some(parcel) = self.parcels.iter_mut().find(ours) else {
            return false;
        };
        parcel.way = Way::Done;
        self.trim();
        true
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

    fn trim(&mut self) {
        while matches!(
            self.parcels.front().map(|parcel| &parcel.way),
            Some(Way::Done)
        ) {
            let _ = self.parcels.pop_front();
        }
    }
}
