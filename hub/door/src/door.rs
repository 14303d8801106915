//! Who waits at the door, and who has to make room.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How often it is told that connections were closed, at most.
const TELL: Duration = Duration::from_secs(60);

/// How many connections more than [`Bounds::open`] there may be for the moment in which those
/// that were shown out are leaving.
const LEAVING: usize = 32;

/// What a door bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long a connection may take for everything up to its CONNECT.
    pub patience: Duration,
    /// How many connections of one address may be waited for. Beyond it the one that was waited
    /// for longest is closed.
    pub waiting: usize,
    /// How many connections there may be in all. Beyond it one that is waited for is closed, or,
    /// where none is, the new one.
    pub open: usize,
}

/// A door. Its clones are one: several listeners may share it.
#[derive(Clone, Debug)]
pub struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: Bounds,
    state: Mutex<State>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    /// Those that have to say something, by age: where from, and how they are shown out.
    waiting: BTreeMap<u64, (IpAddr, watch::Sender<bool>)>,
    of: HashMap<IpAddr, BTreeSet<u64>>,
    tally: Tally,
}

/// What was done since it was told last.
#[derive(Debug, Default)]
struct Tally {
    told: Option<Instant>,
    slow: u64,
    shown_out: u64,
    refused: u64,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug)]
enum Why {
    Slow,
    ShownOut,
    Refused,
}

impl Door {
    /// A door with these bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Inner {
            bounds,
            state: Mutex::default(),
            next: AtomicU64::default(),
        }))
    }

    /// How many connections there are, and how many of them are waited for.
    pub fn count(&self) -> (usize, usize) {
        let state = self.state();
        (state.open, state.waiting.len())
    }

    /// A connection has come: a place for it, or nothing where there is none.
    pub(crate) fn knock(&self, from: IpAddr) -> Option<Place> {
        let from = network(from);
        let bounds = &self.0.bounds;
        let now = Instant::now();
        let mut state = self.state();
        if state.open >= bounds.open {
            let made = state.show_out_the_oldest(now);
            if !made || state.open >= bounds.open.saturating_add(LEAVING) {
                state.tell(Why::Refused, from, now);
                return None;
            }
        }
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (out, shown_out) = watch::channel(false);
        state.open += 1;
        drop(state);
        Some(Place {
            door: self.clone(),
            number,
            from,
            until: now + bounds.patience,
            out,
            shown_out,
        })
    }

    /// The system had nothing left for one more connection.
    pub(crate) fn cannot_accept(&self, why: &str) {
        let now = Instant::now();
        let mut state = self.state();
        let made = state.show_out_the_oldest(now);
        if state.tally.is_due(now) {
            tracing::warn!(
                "no connection can be accepted ({why}): {} are open{}. Raise the limit of open \
                 files (`ulimit -n`, `LimitNOFILE=` of a service) if these are your devices",
                state.open,
                if made {
                    ", and those that say nothing make room"
                } else {
                    ""
                },
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&mut self, number: u64, from: IpAddr, out: watch::Sender<bool>) {
        self.waiting.insert(number, (from, out));
        self.of.entry(from).or_default().insert(number);
    }

    fn wait_no_more(&mut self, number: u64) -> Option<watch::Sender<bool>> {
        let (from, out) = self.waiting.remove(&number)?;
        if let Some(of) = self.of.get_mut(&from) {
            of.remove(&number);
            if of.is_empty() {
                self.of.remove(&from);
            }
        }
        Some(out)
    }

    /// Closes the one that was waited for longest, if any is; gives whether one was.
    fn show_out_the_oldest(&mut self, now: Instant) -> bool {
        match self.waiting.first_key_value() {
            Some((&number, &(from, _))) => {
                self.show_out(number, from, now);
                true
            }
            None => false,
        }
    }

    fn show_out_of(&mut self, from: IpAddr, now: Instant) {
        if let Some(&number) = self.of.get(&from).and_then(BTreeSet::first) {
            self.show_out(number, from, now);
        }
    }

    fn show_out(&mut self, number: u64, from: IpAddr, now: Instant) {
        if let Some(out) = self.wait_no_more(number) {
            out.send_replace(true);
            self.tell(Why::ShownOut, from, now);
        }
    }

    fn tell(&mut self, why: Why, from: IpAddr, now: Instant) {
        let tally = &mut self.tally;
        match why {
            Why::Slow => tally.slow += 1,
            Why::ShownOut => tally.shown_out += 1,
            Why::Refused => tally.refused += 1,
        }
        if !tally.is_due(now) {
            return;
        }
        let (slow, shown_out, refused) = (tally.slow, tally.shown_out, tally.refused);
        (tally.slow, tally.shown_out, tally.refused) = (0, 0, 0);
        let (open, waiting) = (self.open, self.waiting.len());
        if shown_out == 0 && refused == 0 {
            tracing::info!(
                "{slow} connections were closed that sent no CONNECT in time, the last from {from}"
            );
        } else if refused == 0 {
            tracing::warn!(
                "{} connections were closed that sent no CONNECT, the last from {from}, to make \
                 room for others; {waiting} more say nothing. If that address should not be here, \
                 block it in the firewall",
                slow + shown_out,
            );
        } else {
            tracing::warn!(
                "{refused} connections were refused, the last from {from}: {open} are open, as \
                 many as there may be. Raise the limit of open files (`ulimit -n`, `LimitNOFILE=` \
                 of a service) if these are your devices; otherwise see who has them (`ss -tn`)"
            );
        }
    }
}

impl Tally {
    /// Whether something may be told, which it is then.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= TELL);
        if due {
            self.told = Some(now);
        }
        due
    }
}

/// A connection's place at the door, until it ends.
#[derive(Debug)]
pub(crate) struct Place {
    door: Door,
    number: u64,
    from: IpAddr,
    until: Instant,
    out: watch::Sender<bool>,
    shown_out: watch::Receiver<bool>,
}

impl Place {
    /// Until when its CONNECT must be here.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Waits until it has to make room for others.
    pub fn shown_out(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        let mut shown_out = self.shown_out.clone();
        async move {
            let _ = shown_out.wait_for(|out| *out).await;
        }
    }

    /// It has said something; nothing is waited for.
    pub fn spoke(&self) {
        self.door.state().wait_no_more(self.number);
    }

    /// It was listened to, and something is still waited for. Whoever was not listened to yet is
    /// none of those who make room: many may have come at once.
    pub fn is_silent(&self) {
        if *self.shown_out.borrow() {
            return;
        }
        let mut state = self.door.state();
        if state.waiting.contains_key(&self.number) {
            return;
        }
        state.wait(self.number, self.from, self.out.clone());
        let waiting = state.of.get(&self.from).map_or(0, BTreeSet::len);
        if waiting > self.door.0.bounds.waiting {
            state.show_out_of(self.from, Instant::now());
        }
    }

    /// It is closed because its time is over.
    pub fn was_too_slow(&self) {
        let mut state = self.door.state();
        if state.wait_no_more(self.number).is_some() {
            state.tell(Why::Slow, self.from, Instant::now());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.door.state();
        state.wait_no_more(self.number);
        state.open = state.open.saturating_sub(1);
    }
}

/// Those who are one: an IPv6 network of 64 bits belongs to one, who has all its addresses.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let network = v6.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(waiting: usize, open: usize) -> Door {
        Door::new(Bounds {
            patience: Duration::from_secs(10),
            waiting,
            open,
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_out(place: &Place) -> bool {
        *place.shown_out.borrow()
    }

    fn silent(door: &Door, from: &str) -> Place {
        let place = door.knock(address(from)).unwrap();
        place.is_silent();
        place
    }

    /// One address with idle connections keeps others out, or a device behind it.
    #[tokio::test]
    async fn the_oldest_silent_one_of_an_address_makes_room() {
        let door = door(2, 100);
        let (idler, other) = ("10.0.0.1", "10.0.0.2");
        let beside = silent(&door, other);
        let first = silent(&door, idler);
        let second = silent(&door, idler);
        // Those who just came may have said something already.
        let unheard: Vec<_> = (0..9).map(|_| door.knock(address(idler))).collect();
        assert!(!is_out(&first));
        let third = silent(&door, "::ffff:10.0.0.1");
        assert!(is_out(&first) && !is_out(&second) && !is_out(&beside));
        drop(unheard);
        // One that has spoken is none of those that are waited for.
        second.spoke();
        let fourth = silent(&door, idler);
        assert!(!is_out(&second) && !is_out(&third));
        // It waits again, at its old place.
        second.is_silent();
        assert!(is_out(&second) && !is_out(&third) && !is_out(&fourth));
        let fifth = silent(&door, idler);
        assert!(is_out(&third) && !is_out(&fourth) && !is_out(&fifth));
        first.shown_out().await;
        // One that was shown out does not come back into the line.
        first.is_silent();
        assert_eq!(door.count(), (6, 3));
        drop((first, second, third, fourth, beside));
        assert_eq!(door.count(), (1, 1));
    }

    /// All descriptors are in use, and the hub cannot open a file.
    #[tokio::test]
    async fn there_are_never_more_than_may_be_open() {
        let door = door(1_000, 3);
        let from = |number: u8| address(&format!("10.0.0.{number}"));
        let places: Vec<_> = (0..3)
            .filter_map(|number| door.knock(from(number)))
            .collect();
        assert_eq!(places.len(), 3);
        for place in &places {
            place.is_silent();
        }
        places[0].spoke();
        let fourth = door.knock(from(3)).unwrap();
        assert!(!is_out(&places[0]) && is_out(&places[1]) && !is_out(&places[2]));
        fourth.spoke();
        places[2].spoke();
        // Nobody is left who could make room.
        assert!(door.knock(from(4)).is_none());
        drop(places);
        assert!(door.knock(from(4)).is_some());
    }

    /// A log that fills the disk, where before the connections filled the memory.
    #[tokio::test(start_paused = true)]
    async fn it_is_told_once_a_minute() {
        let mut tally = Tally::default();
        assert!(tally.is_due(Instant::now()));
        assert!(!tally.is_due(Instant::now()));
        tokio::time::advance(TELL).await;
        assert!(tally.is_due(Instant::now()));
        assert!(!tally.is_due(Instant::now()));
    }

    /// One machine has as many IPv6 addresses as it likes, or one IPv4 address in two forms.
    #[test]
    fn a_network_of_64_bits_is_one() {
        assert_eq!(network(address("2001:db8::7")), address("2001:db8::"));
        assert_eq!(network(address("::1")), address("::1"));
        assert_eq!(network(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }
}
