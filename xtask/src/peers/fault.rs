//! What is done to the path and to the broker, and what is asked of us.

use std::time::Duration;

use clap::ValueEnum;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// The broker is killed, and is back after 5 s.
    Killed,
    /// Nothing gets through for 30 s.
    Blackhole,
    /// The connection carries nothing any more, for good; a new one would.
    Dead,
    /// The connection carries nothing from the broker any more, for good.
    Deaf,
    /// One PUBACK is lost.
    Puback,
    /// Another client connects under the same client id for a moment.
    Takeover,
    /// The connection is closed, and three more after their CONNECT.
    Closed,
    /// The connection is reset.
    Reset,
    /// The broker hangs for 2 s, and is restarted without its sessions.
    Forgotten,
    /// The broker is started 5 s after the client.
    Late,
    /// Each round trip takes 8 s, from the beginning.
    Slow,
    /// Bytes come one by one, each after 10 ms, from the beginning.
    Trickle,
}

/// What a cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds from the end of the fault, of one without an end from its beginning, to the first
    /// new delivery.
    Seconds,
    /// How often the client connected anew.
    Reconnects,
}

impl Fault {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 12] = [
        Self::Killed,
        Self::Blackhole,
        Self::Dead,
        Self::Deaf,
        Self::Puback,
        Self::Takeover,
        Self::Closed,
        Self::Reset,
        Self::Forgotten,
        Self::Late,
        Self::Slow,
        Self::Trickle,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Blackhole => "blackhole",
            Self::Dead => "dead",
            Self::Deaf => "deaf",
            Self::Puback => "puback",
            Self::Takeover => "takeover",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Forgotten => "forgotten",
            Self::Late => "late",
            Self::Slow => "slow",
            Self::Trickle => "trickle",
        }
    }

    /// The words in the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Killed => "broker killed, back after 5 s",
            Self::Blackhole => "blackhole for 30 s",
            Self::Dead => "connection dead for good, silently",
            Self::Deaf => "only broker to client dead",
            Self::Puback => "one PUBACK lost: that publication acknowledged after",
            Self::Takeover => "takeover by another client",
            Self::Closed => "closed after CONNECT, three times",
            Self::Reset => "connection reset",
            Self::Forgotten => "broker hung for 2 s, restarted without its sessions",
            Self::Late => "broker started 5 s after the client",
            Self::Slow => "8 s round trips: reconnects",
            Self::Trickle => "a byte each 10 ms: reconnects",
        }
    }

    /// What its cells say.
    pub fn unit(self) -> Unit {
        match self {
            Self::Slow | Self::Trickle => Unit::Reconnects,
            _ => Unit::Seconds,
        }
    }

    /// What ours must reach in every run.
    pub fn goal(self) -> f64 {
        match self {
            Self::Killed | Self::Late => 0.5,
            Self::Blackhole => 1.5,
            Self::Dead | Self::Deaf | Self::Puback => 6.0,
            Self::Takeover | Self::Closed => 1.0,
            // Nothing else is asked than of a broker that refuses.
            Self::Reset | Self::Forgotten => 0.5,
            Self::Slow | Self::Trickle => 0.0,
        }
    }

    /// How long the fault lasts, apart from its random part.
    pub fn lasting(self, quick: bool) -> Duration {
        Duration::from_secs(match self {
            Self::Killed | Self::Late => 5,
            Self::Blackhole => 30,
            Self::Forgotten => 2,
            Self::Slow | Self::Trickle if quick => 45,
            Self::Slow | Self::Trickle => 120,
            Self::Dead
            | Self::Deaf
            | Self::Puback
            | Self::Takeover
            | Self::Closed
            | Self::Reset => 0,
        })
    }

    /// Whether only what comes over a connection made after the fault shows that contact is back:
    /// on the old one the broker may still hear the client, which hears nothing.
    pub fn needs_reconnect(self) -> bool {
        matches!(
            self,
            Self::Dead | Self::Deaf | Self::Takeover | Self::Closed | Self::Reset
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fault that is missing in the table would never be measured.
    #[test]
    fn each_fault_has_a_row_and_the_name_that_is_typed() {
        assert_eq!(Fault::ALL.as_slice(), Fault::value_variants());
        for fault in Fault::ALL {
            let value = fault.to_possible_value().unwrap();
            assert_eq!(value.get_name(), fault.name());
        }
    }
}
