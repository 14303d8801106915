//! The model: the controller, its panel, and the bus to it.

use core::fmt;

use embedded_hal::i2c::{NoAcknowledgeSource, Operation};

use crate::controller::Controller;
use crate::{Error, HEIGHT, Picture, Traffic, WIDTH};

/// What the next byte of a write is.
#[derive(Clone, Copy, Debug)]
enum Next {
    Control,
    /// One byte, then a control byte.
    One(Kind),
    /// All bytes until the write ends.
    Rest(Kind),
}

/// D/C#.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Command,
    Data,
}

/// An SSD1306 with a panel of 128x64 pixels, alone on an I2C bus.
///
/// It has power from the beginning, noise in its RAM, and the display off.
///
/// The pixels are counted as a person sees them who holds a common module with its pins
/// at the top: there, a driver that sends `A1` and `C8` has column 0 of the RAM at the
/// left and line 0 at the top. Without these two commands the same picture is seen
/// rotated by half a turn.
///
/// # What the data sheet leaves open
///
/// - Commands may be split over transactions anywhere, as drivers do and panels take
///   it. So a command that was cut off by a failed transfer still waits for its
///   arguments, and takes them from whatever command comes next. A driver that starts
///   again should begin with as many NOPs (`E3`) as a command can lack: six.
/// - `21` and `22` set the range and the pointer in every addressing mode; `00` to `1F`
///   and `B0` to `B7` set the pointer in every mode.
/// - A pointer outside its range counts on, over the last column or page, until it
///   meets the range's end.
/// - What is not in the command table is prohibited, with "unexpected results" (note to
///   table 9-2). Here it changes nothing, takes no arguments, and is counted
///   ([`unknown`](Self::unknown)).
#[derive(Clone)]
pub struct Ssd1306 {
    address: u8,
    controller: Controller,
    next: Next,
    plugged: bool,
    /// After so many bytes more it is unplugged.
    left: Option<u32>,
    held_low: bool,
    power_ons: u32,
    traffic: Traffic,
    /// Bit times since they were last taken.
    step: u64,
    largest_step: u64,
}

impl Default for Ssd1306 {
    fn default() -> Self {
        Self::new()
    }
}

impl Ssd1306 {
    /// The address of most modules, SA0 low.
    pub const ADDRESS: u8 = 0x3C;
    /// The other address, SA0 high.
    pub const OTHER_ADDRESS: u8 = 0x3D;

    /// A panel at 0x3C.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Self::ADDRESS)
    }

    /// A panel at this address of seven bits: 0x3C or 0x3D.
    #[must_use]
    pub fn at(address: u8) -> Self {
        Self {
            address,
            controller: Controller::power_on(0),
            next: Next::Control,
            plugged: true,
            left: None,
            held_low: false,
            power_ons: 1,
            traffic: Traffic::default(),
            step: 0,
            largest_step: 0,
        }
    }

    // What can be seen.

    /// Whether a person sees the pixel lit, `x` from the left and `y` from the top.
    /// Without power, charge pump and display on, nothing is lit; and nothing is
    /// outside the panel.
    #[must_use]
    pub fn visible(&self, x: u8, y: u8) -> bool {
        // SEG127 is at the left, COM63 at the top.
        match (WIDTH.checked_sub(x), HEIGHT.checked_sub(y)) {
            (Some(segment @ 1..), Some(line @ 1..)) => {
                self.plugged
                    && self
                        .controller
                        .lit(segment.wrapping_sub(1), line.wrapping_sub(1))
            }
            _ => false,
        }
    }

    /// All that a person sees.
    #[must_use]
    pub fn picture(&self) -> Picture {
        Picture::from_fn(|x, y| self.visible(x, y))
    }

    /// What is in the RAM, by column address and line: a bit of 1 is lit. Whether it is
    /// shown, and where, is another matter.
    #[must_use]
    pub fn ram(&self) -> Picture {
        Picture::from_fn(|x, y| self.controller.ram(x, y))
    }

    /// Whether the display was switched on. See [`visible`](Self::visible) for what it
    /// needs besides.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.plugged && self.controller.on()
    }

    /// How bright it is, from 0 to 255; 127 after power-on. Even 0 can be seen.
    #[must_use]
    pub fn contrast(&self) -> u8 {
        self.controller.contrast()
    }

    /// Whether scrolling was activated. The commands for it are understood and nothing
    /// moves, because the model has no time to move in.
    #[must_use]
    pub fn scrolling(&self) -> bool {
        self.controller.scrolling()
    }

    /// How much was sent since power-on that the data sheet does not know or does not
    /// allow: commands that are not in its table, arguments that it calls invalid,
    /// control bytes with bits that must be zero, and data or another setup while it
    /// scrolls. A driver that is right leaves it at 0.
    #[must_use]
    pub fn unknown(&self) -> u32 {
        self.controller.unknown()
    }

    /// The command that waits for arguments, if one does.
    #[must_use]
    pub fn awaits(&self) -> Option<u8> {
        self.controller.awaits()
    }

    // What passes over the bus.

    /// What passed over the bus since it was last taken.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// What passed over the bus, to be counted from zero again.
    pub fn take_traffic(&mut self) -> Traffic {
        core::mem::take(&mut self.traffic)
    }

    /// The bit times since the last call: call it after each step of a driver.
    /// [`largest_step`](Self::largest_step) knows the most that this gave.
    pub fn take_bus_bits(&mut self) -> u64 {
        let bits = core::mem::take(&mut self.step);
        self.largest_step = self.largest_step.max(bits);
        bits
    }

    /// The most bit times that [`take_bus_bits`](Self::take_bus_bits) gave at once, or
    /// would give now.
    #[must_use]
    pub fn largest_step(&self) -> u64 {
        self.largest_step.max(self.step)
    }

    // Faults.

    /// Takes it off the bus, power and all: its address is not acknowledged. The bus
    /// itself goes on.
    pub fn unplug(&mut self) {
        self.plugged = false;
        self.left = None;
    }

    /// Takes it off the bus as soon as `bytes` more have passed, not counting
    /// addresses: these arrive, and the next is not acknowledged. With 0 it is gone at
    /// once.
    pub fn unplug_after(&mut self, bytes: u32) {
        self.left = Some(bytes);
        self.count_down(0);
    }

    /// Puts it back. When it was off, it starts anew: display off, RAM undefined, and
    /// not the same noise as before.
    pub fn replug(&mut self) {
        self.left = None;
        if !self.plugged {
            self.plugged = true;
            self.power_cycle();
        }
    }

    /// Takes its power away and gives it back in between two transactions.
    pub fn power_cycle(&mut self) {
        self.controller = Controller::power_on(self.power_ons);
        self.power_ons = self.power_ons.wrapping_add(1);
    }

    /// Whether it is on the bus.
    #[must_use]
    pub fn is_plugged(&self) -> bool {
        self.plugged
    }

    /// Holds a line of the bus low, or lets it go. While it is held, each transfer
    /// fails with [`Error::Bus`] and nothing arrives, whether it is plugged or not.
    /// Such a transfer takes no bit times: how long it is waited for is the board's.
    pub fn hold_low(&mut self, held: bool) {
        self.held_low = held;
    }

    // The bus.

    /// One transaction, as `embedded-hal` defines it: operations of the same direction
    /// follow each other without a START between them. Without operations nothing
    /// happens.
    pub(crate) fn transact(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), Error> {
        if operations.is_empty() {
            return Ok(());
        }
        let before = self.traffic.bits;
        let result = if self.held_low {
            Err(Error::Bus)
        } else {
            let result = self.exchange(address, operations);
            // STOP.
            self.spend(1);
            result
        };
        let traffic = &mut self.traffic;
        traffic.transactions = traffic.transactions.saturating_add(1);
        if result.is_err() {
            traffic.failed = traffic.failed.saturating_add(1);
        }
        traffic.longest = traffic.longest.max(traffic.bits.saturating_sub(before));
        result
    }

    fn exchange(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        let mut reading = None;
        for operation in operations {
            let reads = matches!(operation, Operation::Read(_));
            if reading != Some(reads) {
                reading = Some(reads);
                // START.
                self.spend(1);
                self.spend_byte();
                if !self.plugged || address != self.address {
                    return Err(Error::NoAcknowledge(NoAcknowledgeSource::Address));
                }
                self.next = Next::Control;
            }
            match operation {
                Operation::Read(bytes) => {
                    for byte in bytes.iter_mut() {
                        self.spend_byte();
                        *byte = self.status();
                        self.count_down(1);
                    }
                }
                Operation::Write(bytes) => {
                    for byte in bytes.iter() {
                        self.spend_byte();
                        if !self.plugged {
                            return Err(Error::NoAcknowledge(NoAcknowledgeSource::Data));
                        }
                        self.receive(*byte);
                        self.count_down(1);
                    }
                }
            }
        }
        Ok(())
    }

    /// What is read: the status (table 9-2), in which D6 is "display off". The data sheet
    /// does not offer it on a serial bus; panels answer with it all the same. Without a
    /// panel nobody pulls the line down.
    fn status(&self) -> u8 {
        match (self.plugged, self.controller.on()) {
            (false, _) => 0xFF,
            (true, false) => 0x40,
            (true, true) => 0x00,
        }
    }

    /// A byte after the address (section 8.1.5.2).
    fn receive(&mut self, byte: u8) {
        let kind = match self.next {
            Next::Control => {
                let kind = if byte & 0x40 == 0 {
                    Kind::Command
                } else {
                    Kind::Data
                };
                // Co.
                self.next = if byte & 0x80 == 0 {
                    Next::Rest(kind)
                } else {
                    Next::One(kind)
                };
                if byte & 0x3F != 0 {
                    self.controller.refuse();
                }
                return;
            }
            Next::One(kind) => {
                self.next = Next::Control;
                kind
            }
            Next::Rest(kind) => kind,
        };
        match kind {
            Kind::Command => self.controller.command(byte),
            Kind::Data => self.controller.data(byte),
        }
    }

    fn count_down(&mut self, bytes: u32) {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                self.unplug();
            }
        }
    }

    fn spend(&mut self, bits: u64) {
        self.traffic.bits = self.traffic.bits.saturating_add(bits);
        self.step = self.step.saturating_add(bits);
    }

    fn spend_byte(&mut self) {
        self.traffic.bytes = self.traffic.bytes.saturating_add(1);
        self.spend(9);
    }
}

impl fmt::Debug for Ssd1306 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssd1306")
            .field("address", &self.address)
            .field("plugged", &self.plugged)
            .field("held_low", &self.held_low)
            .field("on", &self.is_on())
            .field("contrast", &self.contrast())
            .field("awaits", &self.awaits())
            .field("unknown", &self.unknown())
            .field("traffic", &self.traffic)
            .field("picture", &self.picture())
            .finish_non_exhaustive()
    }
}
