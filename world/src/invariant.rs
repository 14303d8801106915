//! What must hold, whatever happens.

use std::fmt;

use crate::log::{Entry, Stamp};

macro_rules! invariants {
    ($($(#[doc = $words:literal])+ $variant:ident = $name:literal;)*) => {
        /// Something that must hold at every step.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant {
            $($(#[doc = $words])+ $variant,)*
        }

        impl Invariant {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it says.
            pub fn words(self) -> &'static str {
                match self { $(Self::$variant => concat!($($words,)+).trim_start(),)* }
            }
        }
    };
}

invariants! {
    /// Each reading is at the broker, reported as dropped, or still waiting; over restarts as well.
    NothingLost = "nothing-lost";
    /// With a recorder that confirms, each reading is stored there in the end, or reported as dropped.
    Confirmed = "confirmed";
    /// A command at QoS 2 is executed exactly once while the broker has the session, and never twice.
    ExactlyOnce = "exactly-once";
    /// Readings come to the broker for the first time in the order of their numbers, commands are executed in the order in which they were given.
    InOrder = "in-order";
    /// A broker that does not answer is noticed within the bound, whatever the traffic.
    DeadPeerNoticed = "dead-peer-noticed";
    /// When the faults have ended, contact is back within the bound.
    ContactReturns = "contact-returns";
    /// Attempts to connect are no more than the policy allows.
    NoStorm = "no-storm";
    /// In calm, the broker has every subscription, and a command is executed.
    SubscriptionsHold = "subscriptions-hold";
    /// A message is acknowledged when it was handled, not before.
    HandledThenAcknowledged = "handled-then-acknowledged";
    /// The broker's limits and the protocol's rules are obeyed.
    LimitsObeyed = "limits-obeyed";
    /// No input makes it panic.
    NoPanic = "no-panic";
    /// No input makes it spin.
    NoSpin = "no-spin";
    /// Each connection begins with CONNECT, and holds whole packets.
    ConnectionsApart = "connections-apart";
    /// No number is given to two readings.
    NumbersOnce = "numbers-once";
    /// A reading is what the sensor measured; a failed measurement becomes no value.
    TrueValues = "true-values";
    /// A reading says how old it is when it is published.
    TrueAge = "true-age";
    /// In calm, with a sensor that answers, new readings come at their interval.
    ReadingsGoOn = "readings-go-on";
    /// The lamp's last state is restored before the radio starts, and outlives a restart.
    LampRestored = "lamp-restored";
    /// A command does to the lamp what it says; nothing else changes it.
    LampObeys = "lamp-obeys";
    /// What was kept by the broker for later subscribers is not obeyed.
    RetainedIgnored = "retained-ignored";
    /// What was kept by the broker from before a start is not obeyed.
    OldIgnored = "old-ignored";
    /// In calm, the broker's retained state of the lamp, the sensor and the status are the true ones.
    StatesTold = "states-told";
    /// What became of each message that the device acknowledged is told, and what was told last is true.
    MessagesHaveAState = "messages-have-a-state";
    /// A message with an id is taken in once as long as the device has it, over restarts as well.
    MessagesOnce = "messages-once";
    /// A message is kept before it is acknowledged, and is there after a restart.
    MessagesKept = "messages-kept";
    /// A message that the broker holds for a device comes to it; one from a device comes to the broker, once.
    MessagesArrive = "messages-arrive";
    /// A command with an id is executed once while it is of the newest sixteen, over restarts as well, and answered truthfully.
    IdsOnce = "ids-once";
    /// A device that is gone is told as offline.
    GoneIsTold = "gone-is-told";
    /// The chip is reset by the device for a radio that is proven stuck, and for nothing else.
    ResetOnlyWhenStuck = "reset-only-when-stuck";
    /// A device restarts by command only if it was told to since its start: once for each time at most.
    RestartsAsTold = "restarts-as-told";
    /// The watchdog is fed while everything gets on, and not while something hangs.
    WatchdogByProgress = "watchdog-by-progress";
    /// A radio that is joined and useless, or does not answer, is helped.
    RadioHelped = "radio-helped";
    /// A radio that is of use is left alone, and one that has just joined has its time.
    RadioLeftAlone = "radio-left-alone";
    /// The radio is helped by degrees: joined again, started again, and the chip restarted last.
    HelpByDegrees = "help-by-degrees";
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, in milliseconds of virtual time.
    pub at: u64,
    /// At which device.
    pub device: Option<u32>,
    /// What was seen.
    pub detail: String,
    /// The last events before it.
    pub last: Vec<Entry>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.last {
            writeln!(f, "{entry}")?;
        }
        write!(f, "{:>15} ", Stamp(self.at))?;
        if let Some(device) = self.device {
            write!(f, "device {device}: ")?;
        }
        writeln!(f, "violated: {}", self.invariant)?;
        writeln!(f, "  {}", self.invariant.words())?;
        write!(f, "  Here: {}.", self.detail)
    }
}
