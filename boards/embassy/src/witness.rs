//! A network card that is watched: whether anything comes through it.
//!
//! A radio that says it is joined may be deaf, or take no frames any more. The
//! stack does not say so; what passes between it and the card does. And since
//! nobody may have anything to say, the witness can ask: each machine on a local
//! network answers when it is asked for its address (ARP, RFC 826), whatever else
//! it refuses.

use core::cell::Cell;
use core::fmt;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::Context;

use aldis_device::Radio;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::blocking_mutex::CriticalSectionMutex;
use embassy_sync::waitqueue::AtomicWaker;

/// What was seen, and who is to be asked.
pub struct Seen {
    heard: AtomicU32,
    blocked: AtomicBool,
    polls: AtomicU32,
    breaks: AtomicU32,
    runner: AtomicWaker,
    question: CriticalSectionMutex<Cell<Option<Question>>>,
}

/// Who asks for whose address.
#[derive(Clone, Copy, Debug)]
struct Question {
    ours: Ipv4Addr,
    whom: Ipv4Addr,
}

impl Seen {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            heard: AtomicU32::new(0),
            blocked: AtomicBool::new(false),
            polls: AtomicU32::new(0),
            breaks: AtomicU32::new(0),
            runner: AtomicWaker::new(),
            question: CriticalSectionMutex::new(Cell::new(None)),
        }
    }

    /// How many frames came that were meant for this card alone.
    pub fn heard(&self) -> u32 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Whether the card had no room for the last frame that was to be sent.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// How often the stack was run.
    pub fn polls(&self) -> u32 {
        self.polls.load(Ordering::Relaxed)
    }

    /// What a radio of which nothing else is known is like.
    pub fn look(&self) -> Radio {
        Radio {
            heard: self.heard(),
            blocked: self.is_blocked(),
            polls: self.polls(),
            ..Radio::default()
        }
    }

    /// Runs the stack, though nothing may have happened: one that does not run
    /// then hangs, and a card that was full is tried again.
    pub fn nudge(&self) {
        self.runner.wake();
    }

    /// Asks `whom` for its address, as the machine with the address `ours`. The
    /// answer is a frame that was [`heard`](Self::heard).
    pub fn ask(&self, ours: Ipv4Addr, whom: Ipv4Addr) {
        let question = Some(Question { ours, whom });
        self.question.lock(|next| next.set(question));
        self.nudge();
    }

    /// The network was lost. However soon it is there again, the stack sees the
    /// link go down, and asks for an address anew.
    pub fn broken(&self) {
        count(&self.breaks);
        self.nudge();
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("heard", &self.heard)
            .field("blocked", &self.blocked)
            .field("polls", &self.polls)
            .finish_non_exhaustive()
    }
}

/// One more. There is one who counts, so no exchange is needed, which some chips
/// do not have.
pub(crate) fn count(counter: &AtomicU32) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

/// A question for a machine's address (RFC 826): Ethernet, IPv4, a request.
fn request(frame: &mut [u8], mac: [u8; 6], question: Question) {
    let kind = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    let bytes = [0xff; 6]
        .into_iter()
        .chain(mac)
        .chain(kind)
        .chain(mac)
        .chain(question.ours.octets())
        .chain([0; 6])
        .chain(question.whom.octets());
    for (place, byte) in frame.iter_mut().zip(bytes) {
        *place = byte;
    }
}

/// The length of such a question.
const REQUEST_LEN: usize = 42;

/// A card that is watched.
#[derive(Debug)]
pub struct Witness<'s, D> {
    card: D,
    seen: &'s Seen,
    /// How many breaks the stack was shown.
    shown: u32,
    up: bool,
}

impl<D: Driver> Witness<'_, D> {
    fn mac(&self) -> [u8; 6] {
        match self.card.hardware_address() {
            HardwareAddress::Ethernet(mac) => mac,
            _ => [0; 6],
        }
    }
}

impl<'s, D> Witness<'s, D> {
    /// Watches a card.
    pub const fn new(card: D, seen: &'s Seen) -> Self {
        Self {
            card,
            seen,
            shown: 0,
            up: false,
        }
    }
}

impl<D: Driver> Driver for Witness<'_, D> {
    type RxToken<'a>
        = Received<'a, D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let ours = self.mac();
        let seen = self.seen;
        let (token, transmit) = self.card.receive(cx)?;
        Some((Received { token, ours, seen }, transmit))
    }

    fn transmit(&mut self, cx: &mut Context) -> Option<Self::TxToken<'_>> {
        let token = self.card.transmit(cx);
        // Without a link there is no room for anything.
        let blocked = token.is_none() && self.up;
        self.seen.blocked.store(blocked, Ordering::Relaxed);
        token
    }

    fn link_state(&mut self, cx: &mut Context) -> LinkState {
        let mut state = self.card.link_state(cx);
        let breaks = self.seen.breaks.load(Ordering::Relaxed);
        if breaks != self.shown {
            self.shown = breaks;
            state = LinkState::Down;
            cx.waker().wake_by_ref();
        }
        self.up = state == LinkState::Up;
        count(&self.seen.polls);
        self.seen.runner.register(cx.waker());
        let question = self.seen.question.lock(Cell::take);
        if let Some(question) = question.filter(|_| self.up) {
            let mac = self.mac();
            if let Some(token) = self.transmit(cx) {
                token.consume(REQUEST_LEN, |frame| request(frame, mac, question));
            }
        }
        state
    }

    fn capabilities(&self) -> Capabilities {
        self.card.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.card.hardware_address()
    }
}

/// A frame that was received.
#[derive(Debug)]
pub struct Received<'s, T> {
    token: T,
    ours: [u8; 6],
    seen: &'s Seen,
}

impl<T: RxToken> RxToken for Received<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        let (ours, seen) = (self.ours, self.seen);
        self.token.consume(|frame| {
            if frame.first_chunk() == Some(&ours) {
                count(&seen.heard);
            }
            f(frame)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::task::Waker;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::rc::Rc;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];

    /// A card with frames that arrived and were sent, and with or without room.
    struct Card {
        frames: VecDeque<Vec<u8>>,
        room: bool,
        sent: Rc<RefCell<Vec<Vec<u8>>>>,
    }

    impl Card {
        fn new(frames: impl Into<VecDeque<Vec<u8>>>) -> Self {
            Self {
                frames: frames.into(),
                room: true,
                sent: Rc::default(),
            }
        }
    }

    struct Sending(Rc<RefCell<Vec<Vec<u8>>>>);

    impl TxToken for Sending {
        fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
            let mut frame = vec![0; len];
            let result = f(&mut frame);
            self.0.borrow_mut().push(frame);
            result
        }
    }

    struct Frame(Vec<u8>);

    impl RxToken for Frame {
        fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, f: F) -> R {
            f(&mut self.0)
        }
    }

    impl Driver for Card {
        type RxToken<'a> = Frame;
        type TxToken<'a> = Sending;

        fn receive(&mut self, _: &mut Context) -> Option<(Frame, Sending)> {
            Some((Frame(self.frames.pop_front()?), Sending(self.sent.clone())))
        }

        fn transmit(&mut self, _: &mut Context) -> Option<Sending> {
            self.room.then(|| Sending(self.sent.clone()))
        }

        fn link_state(&mut self, _: &mut Context) -> LinkState {
            LinkState::Up
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities::default()
        }

        fn hardware_address(&self) -> HardwareAddress {
            HardwareAddress::Ethernet(OURS)
        }
    }

    /// Broadcasts of others would pass for an answer, or an answer for nothing.
    #[test]
    fn frames_for_this_card_are_counted() {
        let seen = Seen::new();
        let ours = [&OURS[..], &[7; 8]].concat();
        let frames = [
            vec![0xff; 14],
            ours.clone(),
            OURS[..5].to_vec(),
            vec![],
            ours,
        ];
        let mut witness = Witness::new(Card::new(frames), &seen);
        let mut cx = Context::from_waker(Waker::noop());
        let mut lengths = Vec::new();
        while let Some((token, _)) = witness.receive(&mut cx) {
            lengths.push(token.consume(|frame| frame.len()));
        }
        assert_eq!(lengths, [14, 14, 5, 0, 14]);
        assert_eq!(seen.heard(), 2);
    }

    /// A card that is idle is not stuck, and one that is stuck stays so until it has
    /// room: the stack may not try again for long.
    #[test]
    fn a_card_without_room_is_noticed() {
        let seen = Seen::new();
        let mut witness = Witness::new(Card::new([]), &seen);
        let mut cx = Context::from_waker(Waker::noop());
        witness.card.room = false;
        assert!(witness.transmit(&mut cx).is_none());
        assert!(!seen.is_blocked(), "there is no link");
        assert!(witness.link_state(&mut cx) == LinkState::Up);
        assert!(!seen.is_blocked());
        assert!(witness.transmit(&mut cx).is_none());
        assert!(seen.is_blocked());
        assert!(witness.link_state(&mut cx) == LinkState::Up);
        assert!(seen.is_blocked());
        witness.card.room = true;
        assert!(witness.transmit(&mut cx).is_some());
        assert!(!seen.is_blocked());
    }

    /// A network that is lost and joined again at once may be another one: the old
    /// address would be kept.
    #[test]
    fn a_short_break_is_shown() {
        let seen = Seen::new();
        let mut witness = Witness::new(Card::new([]), &seen);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(witness.link_state(&mut cx) == LinkState::Up);
        seen.broken();
        assert!(witness.link_state(&mut cx) == LinkState::Down);
        assert!(witness.link_state(&mut cx) == LinkState::Up);
        assert_eq!(seen.polls(), 3);
    }

    /// A question that nobody understands is never answered.
    #[test]
    fn questions_are_those_of_rfc_826() {
        let seen = Seen::new();
        let mut witness = Witness::new(Card::new([]), &seen);
        let mut cx = Context::from_waker(Waker::noop());
        seen.ask(Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(10, 0, 0, 1));
        assert!(witness.link_state(&mut cx) == LinkState::Up);
        // Once.
        assert!(witness.link_state(&mut cx) == LinkState::Up);
        let expected = b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x01\x08\x06\
                         \0\x01\x08\0\x06\x04\0\x01\
                         \x02\0\0\0\0\x01\x0a\0\0\x05\
                         \0\0\0\0\0\0\x0a\0\0\x01";
        assert_eq!(*witness.card.sent.borrow(), [expected.to_vec()]);
        // Nor is it kept until it is too old.
        witness.card.room = false;
        seen.ask(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST);
        assert!(witness.link_state(&mut cx) == LinkState::Up);
        assert!(seen.is_blocked());
        witness.card.room = true;
        assert!(witness.link_state(&mut cx) == LinkState::Up);
        assert_eq!(witness.card.sent.borrow().len(), 1);
    }
}
