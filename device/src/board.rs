//! What a device asks of the board it runs on.

use aldis_mqtt::{Cause, Version};
use aldis_protocol::{Lamp, LampCommand, MessageState, Reading, ResetReason, SensorState};

use crate::{Letter, Mark, Note, Outgoing, Recent};

/// The board. None of its methods waits for anything outside of it.
pub trait Board {
    /// Begins a measurement. What came over the wire is given to
    /// [`Device::measured`](crate::Device::measured); if that takes longer than
    /// [`Device::MEASUREMENT_MS`](crate::Device::MEASUREMENT_MS), the sensor
    /// counts as silent.
    fn measure(&mut self);

    /// Lights or darkens the lamp.
    fn light(&mut self, lamp: Lamp);

    /// Keeps this over restarts. When it returns, it is kept or, if the board
    /// could not, the device goes on without.
    fn save(&mut self, saved: &Saved);

    /// Keeps a reading over restarts, until a later one says that it is done.
    /// Returns as [`Board::save`] does; `saved` is what that would be given, with
    /// the number of the next reading.
    ///
    /// A board without room for readings saves the number.
    fn keep(&mut self, kept: &Kept, saved: &Saved) {
        let _ = kept;
        self.save(saved);
    }

    /// Every reading up to `kept.done` is done, although none is to be kept now.
    /// Not called for each: what is not told is published once more after a
    /// restart.
    fn done(&mut self, kept: &Kept) {
        let _ = kept;
    }

    /// Keeps a message over restarts, in the place of the oldest where there are
    /// [`Mail::PLACES`](crate::Mail::PLACES) already. Returns as [`Board::save`] does.
    fn keep_letter(&mut self, letter: &Letter) {
        let _ = letter;
    }

    /// Keeps what became of the message with the mark's number, if that is kept.
    fn mark_letter(&mut self, mark: &Mark) {
        let _ = mark;
    }

    /// Keeps over restarts what became of a message, until [`Board::forget_note`]. Says
    /// whether it is kept. Of those that are kept at a time, no two have numbers with the
    /// same remainder by [`Mail::NOTES`](crate::Mail::NOTES).
    ///
    /// Without it the sender waits: the message is acknowledged when that was told.
    fn keep_note(&mut self, note: &Note) -> bool {
        let _ = note;
        false
    }

    /// The note with this number was told.
    fn forget_note(&mut self, number: u32) {
        let _ = number;
    }

    /// Keeps a message of the person over restarts, until [`Board::forget_outgoing`].
    /// Returns as [`Board::save`] does. Of those that are kept at a time, no two have
    /// numbers with the same remainder by [`Mail::OUTGOING`](crate::Mail::OUTGOING).
    fn keep_outgoing(&mut self, outgoing: &Outgoing) {
        let _ = outgoing;
    }

    /// The broker has the message with this number, or will not have it.
    fn forget_outgoing(&mut self, number: u32) {
        let _ = number;
    }

    /// Starts the device again, as somebody told it to: everything that had to be told
    /// and kept before is. If it returns, the device is not run any more.
    fn restart(&mut self);

    /// How the board is.
    fn vitals(&mut self) -> Vitals;

    /// Something happened that a person might want to see.
    fn notice(&mut self, notice: Notice<'_>);
}

/// What outlives a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The state of the lamp.
    pub lamp: Lamp,
    /// How many times the device was started before.
    pub boot: u32,
    /// The number of the next reading.
    pub seq: u32,
    /// Whose numbers these are: a number by chance, since there was no memory of earlier ones;
    /// zero before the first reading.
    pub life: u16,
    /// How many starts in a row, up to the last, did not last for
    /// [`Device::STABLE_MS`](crate::Device::STABLE_MS).
    pub unstable: u8,
    /// Which commands were done last.
    pub recent: Recent,
}

/// What a board keeps of the readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The number of the reading; without one, of the last reading.
    pub seq: u32,
    /// The start in which this was written.
    pub boot: u32,
    /// When, in milliseconds since that start: for a reading, when it was taken.
    pub uptime_ms: u64,
    /// The reading.
    pub reading: Option<Reading>,
    /// Every reading up to this number is done.
    pub done: u32,
}

/// A reading that was kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// Its number.
    pub seq: u32,
    /// The start in which it was taken.
    pub boot: u32,
    /// The least that it can have been old when the device started, in milliseconds.
    pub age_ms: u32,
    /// What was measured.
    pub reading: Reading,
}

impl Default for Saved {
    fn default() -> Self {
        Self {
            lamp: Lamp::Off,
            boot: 0,
            seq: 1,
            life: 0,
            unstable: 0,
            recent: Recent::default(),
        }
    }
}

/// How a board is, as far as it can know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Why it started.
    pub reset: Option<ResetReason>,
    /// How strong the access point is received.
    pub rssi_dbm: Option<i8>,
    /// Free memory in bytes.
    pub free: Option<u32>,
    /// The least free memory since the start, in bytes.
    pub free_min: Option<u32>,
    /// How often the wireless network was lost.
    pub wifi_losses: Option<u32>,
    /// How often the address was lost or changed.
    pub dhcp_losses: Option<u32>,
}

/// Why a reading will not be delivered, named as in `diag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It was to be delivered by then.
    Expired,
    /// A newer one needed its place.
    Superseded,
    /// The broker had no room or no leave for it, or lost it for good.
    Full,
}

impl GivenUp {
    /// Its name in `diag`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Full => "full",
        }
    }
}

/// Something that a person might want to see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Notice<'a> {
    /// A measurement succeeded.
    Reading(Reading),
    /// The sensor's state changed.
    Sensor(SensorState),
    /// The lamp was lit or darkened.
    Lamp(Lamp),
    /// The broker accepted the connection.
    Connected(Version),
    /// The connection was lost or did not come about.
    Lost(Cause),
    /// A reading was published, perhaps not for the first time: its number and
    /// its age.
    Published {
        /// Number of the reading.
        seq: u32,
        /// Its age in milliseconds.
        age_ms: u64,
    },
    /// The broker has a reading.
    Delivered {
        /// Number of the reading.
        seq: u32,
    },
    /// A reading will not be delivered.
    GivenUp {
        /// Number of the reading.
        seq: u32,
        /// Why.
        why: GivenUp,
    },
    /// A command came.
    Command {
        /// The topic on which it came.
        topic: &'a str,
        /// What it says.
        command: LampCommand,
    },
    /// Somebody told the device to start again: it will.
    Restart {
        /// What the command is called, if it has a name.
        id: Option<&'a str>,
    },
    /// A message for the person at the device came.
    Message {
        /// What the sender calls it.
        id: &'a str,
        /// Who sent it, if that is known.
        from: Option<&'a str>,
        /// What it says.
        text: &'a str,
    },
    /// A message was read, has expired or had to go for a newer one.
    MessageState {
        /// What the sender calls it.
        id: &'a str,
        /// What became of it.
        state: MessageState,
    },
    /// A message of the person at the device is on its way.
    Sending {
        /// The device that it is for.
        to: &'a str,
        /// What it says.
        text: &'a str,
    },
    /// Somebody keyed this in Morse code.
    Heard {
        /// What was keyed.
        text: &'a str,
        /// How fast, in words a minute.
        wpm: u8,
    },
    /// A message came that is not obeyed.
    Ignored {
        /// The topic on which it came.
        topic: &'a str,
        /// Why.
        why: &'static str,
    },
    /// The connection may be quiet for so long from now on: the path seems to forget
    /// those that are quiet for longer, or is tried with more.
    Quiet {
        /// Milliseconds after which the broker is asked for an answer.
        most_ms: u32,
    },
    /// The broker refused a subscription, or a publication.
    Refused {
        /// The topic, or the filter.
        topic: &'a str,
        /// What the broker said.
        reason: aldis_mqtt::ReasonCode,
    },
}
