//! A network card that is watched: whether anything comes through it.
//!
//! A radio that says it is joined may be deaf, or take no frames any more. The
//! stack does not say so; what passes between it and the card does.

use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken};

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    heard: AtomicU32,
    given: AtomicU32,
    refused: AtomicU32,
    breaks: AtomicU32,
}

/// What was seen of a card, at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that were meant for this card alone.
    pub heard: u32,
    /// Frames that the card had room for.
    pub given: u32,
    /// How often it had none.
    pub refused: u32,
}

impl Counts {
    /// Whether since `before` the card had room for nothing that was to be sent.
    pub fn is_blocked_since(&self, before: &Self) -> bool {
        self.given == before.given && self.refused != before.refused
    }
}

impl Seen {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            heard: AtomicU32::new(0),
            given: AtomicU32::new(0),
            refused: AtomicU32::new(0),
            breaks: AtomicU32::new(0),
        }
    }

    /// The network was lost. However soon it is there again, the stack sees the
    /// link go down, and asks for an address anew.
    pub fn broken(&self) {
        count(&self.breaks);
    }

    /// What was seen so far.
    pub fn counts(&self) -> Counts {
        Counts {
            heard: self.heard.load(Ordering::Relaxed),
            given: self.given.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
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

/// A card that is watched.
#[derive(Debug)]
pub struct Witness<'s, D> {
    card: D,
    seen: &'s Seen,
    /// How many breaks the stack was shown.
    shown: u32,
    up: bool,
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
        let ours = match self.card.hardware_address() {
            HardwareAddress::Ethernet(ours) => ours,
            _ => [0; 6],
        };
        let seen = self.seen;
        let (token, transmit) = self.card.receive(cx)?;
        Some((Received { token, ours, seen }, transmit))
    }

    fn transmit(&mut self, cx: &mut Context) -> Option<Self::TxToken<'_>> {
        let token = self.card.transmit(cx);
        match token {
            Some(_) => count(&self.seen.given),
            // Without a link there is no room for anything.
            None if self.up => count(&self.seen.refused),
            None => {}
        }
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
    use embassy_net_driver::TxToken;
    use std::collections::VecDeque;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];

    /// A card with frames that arrived, and with or without room.
    struct Card {
        frames: VecDeque<Vec<u8>>,
        room: bool,
    }

    struct Frame(Vec<u8>);

    impl RxToken for Frame {
        fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, f: F) -> R {
            f(&mut self.0)
        }
    }

    impl TxToken for Frame {
        fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, len: usize, f: F) -> R {
            self.0.resize(len, 0);
            f(&mut self.0)
        }
    }

    impl Driver for Card {
        type RxToken<'a> = Frame;
        type TxToken<'a> = Frame;

        fn receive(&mut self, _: &mut Context) -> Option<(Frame, Frame)> {
            Some((Frame(self.frames.pop_front()?), Frame(Vec::new())))
        }

        fn transmit(&mut self, _: &mut Context) -> Option<Frame> {
            self.room.then(|| Frame(Vec::new()))
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
        let card = Card {
            frames: frames.into(),
            room: true,
        };
        let mut witness = Witness::new(card, &seen);
        let mut cx = Context::from_waker(Waker::noop());
        let mut lengths = Vec::new();
        while let Some((token, _)) = witness.receive(&mut cx) {
            lengths.push(token.consume(|frame| frame.len()));
        }
        assert_eq!(lengths, [14, 14, 5, 0, 14]);
        assert_eq!(seen.counts().heard, 2);
    }

    /// A card that is idle is not stuck.
    #[test]
    fn a_card_without_room_is_noticed() {
        let seen = Seen::new();
        let card = Card {
            frames: VecDeque::new(),
            room: true,
        };
        let mut witness = Witness::new(card, &seen);
        let mut cx = Context::from_waker(Waker::noop());
        let idle = seen.counts();
        assert!(!seen.counts().is_blocked_since(&idle));
        witness.card.room = false;
        assert!(witness.transmit(&mut cx).is_none());
        assert!(!seen.counts().is_blocked_since(&idle), "there is no link");
        assert!(witness.link_state(&mut cx) == LinkState::Up);
        witness.card.room = true;
        assert!(witness.transmit(&mut cx).is_some());
        witness.card.room = false;
        assert!(witness.transmit(&mut cx).is_none());
        assert!(!seen.counts().is_blocked_since(&idle));
        let full = seen.counts();
        assert!(witness.transmit(&mut cx).is_none());
        assert!(seen.counts().is_blocked_since(&full));
    }

    /// A network that is lost and joined again at once may be another one: the old
    /// address would be kept.
    #[test]
    fn a_short_break_is_shown() {
        let seen = Seen::new();
        let card = Card {
            frames: VecDeque::new(),
            room: true,
        };
        let mut witness = Witness::new(card, &seen);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(witness.link_state(&mut cx) == LinkState::Up);
        seen.broken();
        assert!(witness.link_state(&mut cx) == LinkState::Down);
        assert!(witness.link_state(&mut cx) == LinkState::Up);
    }
}
