//! What a device's code meets: its clock, its connection, its board.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use aldis_device::{
    Board, Kept, Letter, Mark, Note, Notice, Order, Outgoing, Radio, Saved, Vitals,
};
use aldis_flash::Store;
use aldis_mqtt::Instant;
use aldis_mqtt::link::{Clock, Connector};
use aldis_protocol::{Lamp, ResetReason};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use embedded_storage_async::nor_flash::{self, MultiwriteNorFlash, NorFlash, ReadNorFlash};

use crate::flash::{Flash, FlashError};
use crate::log::{What, short};
use crate::sensor::{Mode, Room};
use crate::witness::{ALL, OWN, Witness};

/// How often a turn may ask for the time before it counts as spinning.
const SPIN: u32 = 20_000;

/// How many bytes the device's network takes before some have come through.
pub(crate) const SEND_ROOM: usize = 2_048;

/// A flash memory that outlives what uses it.
#[derive(Clone, Debug)]
pub(crate) struct SharedFlash(pub Rc<RefCell<Flash>>);

impl nor_flash::ErrorType for SharedFlash {
    type Error = FlashError;
}

impl ReadNorFlash for SharedFlash {
    const READ_SIZE: usize = <Flash as ReadNorFlash>::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.0.borrow_mut().read_now(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.borrow().capacity()
    }
}

impl NorFlash for SharedFlash {
    const WRITE_SIZE: usize = <Flash as NorFlash>::WRITE_SIZE;
    const ERASE_SIZE: usize = <Flash as NorFlash>::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.0.borrow_mut().erase_now(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.borrow_mut().write_now(offset, bytes)
    }
}

impl MultiwriteNorFlash for SharedFlash {}

/// How far a connection is, as the device's network knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Closed,
    Opening,
    Open,
}

/// How the other side ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

/// The device's end of its connection.
#[derive(Debug)]
pub(crate) struct Socket {
    pub phase: Phase,
    /// An attempt is to be begun.
    pub wants_open: bool,
    /// The connection, or the attempt, is given up.
    pub wants_close: bool,
    /// What became of the attempt.
    pub verdict: Option<Result<(), aldis_mqtt::Network>>,
    pub received: Vec<u8>,
    taken: usize,
    pub end: Option<End>,
    /// Bytes that were written since the network looked last.
    pub written: Vec<u8>,
    pub room: usize,
    /// Something was to be written and had no room.
    pub full: bool,
    /// How many bytes more are taken, where that is bounded, on this connection and the next.
    pub window: Option<usize>,
}

impl Socket {
    const fn new() -> Self {
        Self {
            phase: Phase::Closed,
            wants_open: false,
            wants_close: false,
            verdict: None,
            received: Vec::new(),
            taken: 0,
            end: None,
            written: Vec::new(),
            room: SEND_ROOM,
            full: false,
            window: None,
        }
    }

    /// What was received and not read is thrown away.
    pub fn clear_received(&mut self) {
        self.received.clear();
        self.taken = 0;
    }

    /// Nothing of a connection is left.
    pub fn clear(&mut self) {
        self.phase = Phase::Closed;
        self.verdict = None;
        self.received.clear();
        self.taken = 0;
        self.end = None;
        self.written.clear();
        self.room = SEND_ROOM;
        self.full = false;
    }
}

/// All of it that is not the clock.
pub(crate) struct Side {
    pub socket: Socket,
    pub witness: Witness,
    pub room: Room,
    pub sensor: Mode,
    pub rng: crate::rng::Rng,
    pub vitals: Vitals,
    pub radio: Radio,
    /// Frames come through to this card.
    pub link: bool,
    /// The radio's task does not get on.
    pub hangs: bool,
    pub hangs_since: u64,
    pub address: Option<u32>,
    pub orders: Vec<Order>,
    /// What the button's contact did since the loop looked last.
    pub button: Vec<bool>,
    pub stop: bool,
    pub stopped: bool,
    /// It restarts, as somebody told it to.
    pub restarts: bool,
    pub safe: bool,
    pub backlog: usize,
}

/// What one device's code meets.
pub(crate) struct Env {
    /// The device's own clock, in milliseconds since its start.
    pub local: Cell<u64>,
    /// When its link and its loop want to go on, on that clock.
    pub link_deadline: Cell<u64>,
    pub wake: Cell<u64>,
    /// The network has something: the link is looked at first, as where a board waits for both.
    pub poked: Cell<bool>,
    reads: Cell<u32>,
    pub spins: Cell<bool>,
    pub side: RefCell<Side>,
}

impl Env {
    pub fn new(witness: Witness, rng: crate::rng::Rng) -> Self {
        let mut rng = rng;
        Self {
            local: Cell::new(0),
            link_deadline: Cell::new(u64::MAX),
            wake: Cell::new(0),
            poked: Cell::new(false),
            reads: Cell::new(0),
            spins: Cell::new(false),
            side: RefCell::new(Side {
                socket: Socket::new(),
                witness,
                room: Room::new(&mut rng),
                sensor: Mode::Good,
                rng,
                vitals: Vitals {
                    reset: Some(ResetReason::Power),
                    rssi_dbm: Some(-61),
                    free: Some(100_000),
                    free_min: Some(90_000),
                    wifi_losses: Some(0),
                    dhcp_losses: Some(0),
                },
                radio: Radio::default(),
                link: false,
                hangs: false,
                hangs_since: 0,
                address: None,
                orders: Vec::new(),
                button: Vec::new(),
                stop: false,
                stopped: false,
                restarts: false,
                safe: false,
                backlog: 0,
            }),
        }
    }

    /// A turn begins.
    #[inline]
    pub fn begin(&self, local: u64) {
        self.local.set(local);
        self.reads.set(0);
    }

    pub fn now(&self) -> Instant {
        Instant::from_millis(self.local.get())
    }
}

/// The device's clock.
#[derive(Clone)]
pub(crate) struct LocalClock(pub Rc<Env>);

impl Clock for LocalClock {
    #[inline]
    fn now(&self) -> Instant {
        let reads = self.0.reads.get() + 1;
        self.0.reads.set(reads);
        if reads > SPIN {
            self.0.spins.set(true);
            // What spins does not come back by itself.
            panic!("a turn does not end");
        }
        Instant::from_millis(self.0.local.get())
    }

    #[inline]
    async fn wait_until(&mut self, deadline: Instant) {
        let deadline = deadline.as_millis();
        poll_fn(|_| match deadline <= self.0.local.get() {
            true => Poll::Ready(()),
            false => {
                let earlier = self.0.link_deadline.get();
                self.0.link_deadline.set(earlier.min(deadline));
                Poll::Pending
            }
        })
        .await;
    }
}

/// Opens the device's connections.
pub(crate) struct Dialler(pub Rc<Env>);

/// One half of a connection.
pub(crate) struct Half<'c>(&'c Env);

impl Connector for Dialler {
    type Reader<'c> = Half<'c>;
    type Writer<'c> = Half<'c>;

    async fn open(&mut self) -> Result<(), aldis_mqtt::Network> {
        poll_fn(|_| {
            let side = &mut *self.0.side.borrow_mut();
            let socket = &mut side.socket;
            match socket.verdict.take() {
                Some(Ok(())) => {
                    socket.phase = Phase::Open;
                    side.witness.opened();
                    return Poll::Ready(Ok(()));
                }
                Some(Err(network)) => {
                    socket.phase = Phase::Closed;
                    return Poll::Ready(Err(network));
                }
                None => {}
            }
            if socket.phase == Phase::Closed {
                socket.phase = Phase::Opening;
                socket.wants_open = true;
                side.witness.attempt();
            }
            Poll::Pending
        })
        .await
    }

    #[inline]
    fn split(&mut self) -> Option<(Half<'_>, Half<'_>)> {
        let open = self.0.side.borrow().socket.phase == Phase::Open;
        open.then_some((Half(&self.0), Half(&self.0)))
    }

    fn close(&mut self) {
        let socket = &mut self.0.side.borrow_mut().socket;
        socket.wants_close = true;
        socket.wants_open = false;
        let written = std::mem::take(&mut socket.written);
        socket.clear();
        socket.written = written;
    }
}

impl ErrorType for Half<'_> {
    type Error = ErrorKind;
}

impl Read for Half<'_> {
    #[inline]
    async fn read(&mut self, space: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| {
            let side = &mut *self.0.side.borrow_mut();
            let socket = &mut side.socket;
            let waiting = &socket.received[socket.taken..];
            if waiting.is_empty() {
                return match socket.end {
                    None => Poll::Pending,
                    Some(End::Closed) => Poll::Ready(Ok(0)),
                    Some(End::Reset) => Poll::Ready(Err(ErrorKind::ConnectionReset)),
                };
            }
            let len = waiting.len().min(space.len());
            space[..len].copy_from_slice(&waiting[..len]);
            side.witness.reads(&waiting[..len]);
            socket.taken += len;
            if socket.taken == socket.received.len() {
                socket.received.clear();
                socket.taken = 0;
            }
            Poll::Ready(Ok(len))
        })
        .await
    }
}

impl Write for Half<'_> {
    #[inline]
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| {
            let side = &mut *self.0.side.borrow_mut();
            let socket = &mut side.socket;
            if socket.end == Some(End::Reset) {
                return Poll::Ready(Err(ErrorKind::ConnectionReset));
            }
            let window = socket.window.unwrap_or(usize::MAX);
            let len = bytes.len().min(socket.room).min(window);
            if len == 0 {
                socket.full = true;
                return Poll::Pending;
            }
            socket.room -= len;
            if let Some(window) = &mut socket.window {
                *window -= len;
            }
            socket.written.extend_from_slice(&bytes[..len]);
            side.witness.writes(&bytes[..len]);
            Poll::Ready(Ok(len))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// The device's board.
pub(crate) struct WorldBoard {
    pub env: Rc<Env>,
    pub store: Option<Store<SharedFlash>>,
    pub flash: SharedFlash,
    pub measure: bool,
    /// The device's topic for commands.
    pub own: String,
}

impl WorldBoard {
    fn has_power(&self) -> bool {
        !self.flash.0.borrow().is_off()
    }

    /// Writes to the store. Says whether it was written, and which message's place has this
    /// number.
    fn write(
        &mut self,
        number: u32,
        write: impl FnOnce(&mut Store<SharedFlash>) -> Result<(), aldis_flash::store::Error>,
    ) -> (bool, Option<usize>) {
        let Some(store) = &mut self.store else {
            return (false, None);
        };
        let done = write(store).is_ok();
        (done, (number as usize).checked_rem(store.letter_places()))
    }

    /// Lets the witness know what was written, and whether there was power for it.
    fn tell(&self, tell: impl FnOnce(&mut Witness, bool)) {
        let power = self.has_power();
        let witness = &mut self.env.side.borrow_mut().witness;
        tell(witness, power);
        witness.powered &= power;
    }
}

impl Board for WorldBoard {
    fn measure(&mut self) {
        self.measure = true;
    }

    fn light(&mut self, lamp: Lamp) {
        self.env.side.borrow_mut().witness.light(lamp);
    }

    fn save(&mut self, saved: &Saved) {
        let kept = self
            .store
            .as_mut()
            .is_some_and(|store| store.save(saved).is_ok());
        self.tell(|witness, power| witness.saved(saved, kept, power));
    }

    fn keep(&mut self, kept: &Kept, saved: &Saved) {
        let done = self
            .store
            .as_mut()
            .is_some_and(|store| store.keep(kept, saved).is_ok());
        self.tell(|witness, power| witness.kept(kept, saved, done, power));
    }

    fn done(&mut self, kept: &Kept) {
        if let Some(store) = &mut self.store {
            let _ = store.done(kept);
        }
        self.tell(|_, _| {});
    }

    fn keep_letter(&mut self, letter: &Letter) {
        let (done, slot) = self.write(letter.number, |store| store.keep_letter(letter));
        self.tell(|witness, power| witness.keeps_letter(slot, letter, done, power));
    }

    fn mark_letter(&mut self, mark: &Mark) {
        let (done, slot) = self.write(mark.number, |store| store.mark_letter(mark));
        self.tell(|witness, power| witness.marks_letter(slot, mark, done, power));
    }

    fn keep_note(&mut self, note: &Note) -> bool {
        let (done, _) = self.write(note.number, |store| store.keep_note(note));
        self.tell(|witness, power| witness.keeps_note(note, done, power));
        done
    }

    fn forget_note(&mut self, number: u32) {
        self.write(number, |store| store.forget_note(number));
        self.tell(|_, _| {});
    }

    fn keep_outgoing(&mut self, outgoing: &Outgoing) {
        let (done, _) = self.write(outgoing.number, |store| store.keep_outgoing(outgoing));
        self.tell(|witness, power| witness.keeps_outgoing(outgoing, done, power));
    }

    fn forget_outgoing(&mut self, number: u32) {
        let (done, _) = self.write(number, |store| store.forget_outgoing(number));
        self.tell(|witness, power| witness.forgets_outgoing(number, done, power));
    }

    fn restart(&mut self) {
        self.env.side.borrow_mut().restarts = true;
    }

    fn vitals(&mut self) -> Vitals {
        let mut side = self.env.side.borrow_mut();
        side.witness.diag_written();
        side.vitals
    }

    fn notice(&mut self, notice: Notice<'_>) {
        let witness = &mut self.env.side.borrow_mut().witness;
        if !witness.powered {
            return;
        }
        match notice {
            Notice::Reading(reading) => witness.believed(reading),
            Notice::Sensor(state) => {
                witness.sensor_state = Some(state);
                witness.changed_at = witness.now;
                witness.say(What::Sensor(state));
            }
            Notice::Lamp(lamp) => witness.executed(lamp),
            Notice::Connected(_) => {}
            Notice::Lost(cause) => witness.lost(cause),
            Notice::Published { seq, age_ms } => witness.published(seq, age_ms),
            Notice::Delivered { seq } => witness.acknowledged(seq),
            Notice::GivenUp { seq, why } => witness.gave_up(seq, why.as_str()),
            Notice::Quiet { most_ms } => witness.say(What::Quiet(most_ms)),
            Notice::Command { topic, command } => {
                let channel = if topic == self.own { OWN } else { ALL };
                witness.understood(channel, command);
            }
            Notice::Restart { id } => witness.is_to_restart(id),
            Notice::Ignored { why, .. } => {
                witness.say(What::Ignored(why));
                if why == "perhaps given before the device was started" {
                    witness.too_old();
                } else if why == "it came before" {
                    witness.came_before();
                }
            }
            Notice::Refused { reason, .. } => {
                witness.say(What::Refused(reason.0));
                witness.report_refused();
            }
            Notice::Message { id, from, text } => witness.takes_in(id, from, text),
            Notice::MessageState { id, state } => witness.message_ended(id, state),
            Notice::Sending { to, .. } => {
                witness.say(What::Letter("is sent to another", short(to)))
            }
            // No button of this world is a key.
            Notice::Heard { .. } => {}
        }
    }
}
