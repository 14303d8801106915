//! The network card, for embassy-net.

use core::cell::RefCell;
use core::sync::atomic::{Ordering, fence};
use core::task::Context;

use bitflags::bitflags;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_sync::waitqueue::AtomicWaker;
use static_cell::ConstStaticCell;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceType, Transport};

use crate::interrupts;
use crate::virtio::{Pool, Slot, find};

/// Frames that can come before one is read.
const RECEIVE: usize = 8;
/// Frames that can be on their way out.
const TRANSMIT: usize = 4;
/// The largest Ethernet frame.
const LARGEST: usize = 1_514;
/// Memory for a frame and what the card puts before it; a card may want 1,526 bytes.
const FRAME: usize = 1_536;

const RECEIVE_QUEUE: u16 = 0;
const TRANSMIT_QUEUE: u16 = 1;

/// Before a frame, if the card speaks virtio 1.
const HEADER: usize = 12;
/// Before a frame, if it is older.
const HEADER_LEGACY: usize = 10;

bitflags! {
    /// What a card can do.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Features: u64 {
        /// It has an address.
        const MAC = 1 << 5;
        /// It speaks virtio 1.
        const VERSION_1 = 1 << 32;
    }
}

type Frame = [u8; FRAME];

static RECEIVED: ConstStaticCell<[Frame; RECEIVE]> = ConstStaticCell::new([[0; FRAME]; RECEIVE]);
static TRANSMITTED: ConstStaticCell<[Frame; TRANSMIT]> =
    ConstStaticCell::new([[0; FRAME]; TRANSMIT]);

/// Who waits for the card: the one task that runs the network.
static WAITING: AtomicWaker = AtomicWaker::new();

/// Why there is no network card to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// The machine has none, or it is in use.
    Missing,
    /// It could not be made ready.
    Failed(virtio_drivers::Error),
}

impl From<virtio_drivers::Error> for NetError {
    fn from(error: virtio_drivers::Error) -> Self {
        Self::Failed(error)
    }
}

/// The network card.
pub struct Net {
    mac: [u8; 6],
    card: RefCell<Card>,
}

struct Card {
    transport: MmioTransport<'static>,
    _slot: Slot,
    /// Bytes before each frame.
    header: usize,
    receive: VirtQueue<Pool, RECEIVE>,
    transmit: VirtQueue<Pool, TRANSMIT>,
    /// Lent to the card to receive, by the queue's token.
    lent: [Option<&'static mut Frame>; RECEIVE],
    /// On their way out with their length, by the queue's token.
    sending: [Option<(&'static mut Frame, usize)>; TRANSMIT],
    /// To be sent with next.
    free: [Option<&'static mut Frame>; TRANSMIT],
}

impl Net {
    /// Makes the card ready. There can be one at a time, and only one ever.
    pub fn new() -> Result<Self, NetError> {
        let (mut transport, slot) = find(DeviceType::Network).ok_or(NetError::Missing)?;
        let received = RECEIVED.try_take().ok_or(NetError::Missing)?;
        let transmitted = TRANSMITTED.try_take().ok_or(NetError::Missing)?;
        let features = transport.begin_init(Features::MAC | Features::VERSION_1);
        let mac = transport.read_config_space(0)?;
        let transmit = VirtQueue::new(&mut transport, TRANSMIT_QUEUE, false, false)?;
        let receive = VirtQueue::new(&mut transport, RECEIVE_QUEUE, false, false)?;
        transport.finish_init();
        let interrupt = slot.interrupt();
        let mut card = Card {
            transport,
            _slot: slot,
            header: if features.contains(Features::VERSION_1) {
                HEADER
            } else {
                HEADER_LEGACY
            },
            receive,
            transmit,
            lent: [const { None }; RECEIVE],
            sending: [const { None }; TRANSMIT],
            free: transmitted.each_mut().map(Some),
        };
        received
            .each_mut()
            .into_iter()
            .for_each(|frame| card.lend(frame));
        interrupts::enable(interrupt);
        Ok(Self {
            mac,
            card: RefCell::new(card),
        })
    }

    /// The card's address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Whether this can be done now. If not, whoever asks is woken when it may be.
    fn can(&mut self, cx: &mut Context<'_>, what: fn(&mut Card) -> bool) -> bool {
        let card = self.card.get_mut();
        if what(card) {
            return true;
        }
        WAITING.register(cx.waker());
        // Whatever the card did before it could see us waiting is looked at once more.
        fence(Ordering::SeqCst);
        what(card)
    }
}

impl Card {
    /// Lends a frame's memory to the card.
    fn lend(&mut self, frame: &'static mut Frame) {
        // SAFETY: it is put away until the queue gives the token back.
        let token = unsafe { self.receive.add(&[], &mut [frame.as_mut_slice()]) };
        // There are as many places as frames, so there is one.
        if let Ok(token) = token
            && let Some(place) = self.lent.get_mut(usize::from(token))
        {
            *place = Some(frame);
            // Always, since whether it must be told cannot be known for sure.
            self.transport.notify(RECEIVE_QUEUE);
        }
    }

    /// The frame that came next, and its length with what is before it.
    fn take(&mut self) -> Option<(&'static mut Frame, usize)> {
        let token = self.receive.peek_used()?;
        let frame = self.lent.get_mut(usize::from(token))?.take()?;
        // SAFETY: this memory was lent with this token.
        let length = unsafe {
            self.receive
                .pop_used(token, &[], &mut [frame.as_mut_slice()])
        };
        Some((frame, length.unwrap_or(0) as usize))
    }

    fn can_receive(&mut self) -> bool {
        self.receive.can_pop() && self.can_transmit()
    }

    fn can_transmit(&mut self) -> bool {
        self.reclaim();
        self.free.iter().any(Option::is_some)
    }

    /// Takes back the memory of frames that went out.
    fn reclaim(&mut self) {
        while let Some(token) = self.transmit.peek_used() {
            let place = self.sending.get_mut(usize::from(token));
            let Some((frame, length)) = place.and_then(Option::take) else {
                return;
            };
            // SAFETY: this memory was given with this token.
            let _ = unsafe { self.transmit.pop_used(token, &[&frame[..length]], &mut []) };
            self.put(frame);
        }
    }

    /// Memory for a frame to be sent.
    fn get(&mut self) -> Option<&'static mut Frame> {
        self.free.iter_mut().find_map(Option::take)
    }

    fn put(&mut self, frame: &'static mut Frame) {
        if let Some(place) = self.free.iter_mut().find(|place| place.is_none()) {
            *place = Some(frame);
        }
    }

    /// Sends a frame; the length is with what is before it.
    fn send(&mut self, frame: &'static mut Frame, length: usize) {
        // SAFETY: it is put away until the queue gives the token back.
        let token = unsafe { self.transmit.add(&[&frame[..length]], &mut []) };
        match token
            .ok()
            .and_then(|token| self.sending.get_mut(usize::from(token)))
        {
            Some(place) => {
                *place = Some((frame, length));
                // Always, since whether it must be told cannot be known for sure.
                self.transport.notify(TRANSMIT_QUEUE);
            }
            None => self.put(frame),
        }
    }
}

impl Driver for Net {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, ToSend<'_>)> {
        if !self.can(cx, Card::can_receive) {
            return None;
        }
        Some((Received(&self.card), ToSend(&self.card)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<ToSend<'_>> {
        if !self.can(cx, Card::can_transmit) {
            return None;
        }
        Some(ToSend(&self.card))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = LARGEST;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}

/// A frame that came.
pub struct Received<'a>(&'a RefCell<Card>);

impl embassy_net_driver::RxToken for Received<'_> {
    fn consume<R, F>(self, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        let (header, taken) = {
            let mut card = self.0.borrow_mut();
            (card.header, card.take())
        };
        let Some((frame, length)) = taken else {
            return f(&mut []);
        };
        let result = f(frame.get_mut(header..length).unwrap_or_default());
        self.0.borrow_mut().lend(frame);
        result
    }
}

/// A frame to be sent.
pub struct ToSend<'a>(&'a RefCell<Card>);

impl embassy_net_driver::TxToken for ToSend<'_> {
    fn consume<R, F>(self, length: usize, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        let (header, frame) = {
            let mut card = self.0.borrow_mut();
            (card.header, card.get())
        };
        // There is one, or there would be no token; and the stack keeps to the largest size.
        let frame = frame.expect("a token without memory for its frame");
        let whole = header + length;
        frame[..header].fill(0);
        let result = f(&mut frame[header..whole]);
        self.0.borrow_mut().send(frame, whole);
        result
    }
}

/// Wakes whoever waits for the card.
pub(crate) fn interrupted() {
    WAITING.wake();
}
