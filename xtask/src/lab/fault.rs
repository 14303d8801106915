//! What can go wrong between a device and its broker.

use std::time::Duration;

use super::broker;
use super::network::Direction;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The broker ends without a word, and starts again later.
    Killed,
    /// It stops, and starts again later.
    Restarted,
    /// Its process stands still.
    Hung,
    /// Its machine gets another address, and its name with it.
    Moved,
    /// The device's cable is out.
    LinkDown,
    /// The router drops everything in this direction, or in both.
    Silent(Option<Direction>),
    /// The connection is reset.
    Reset,
    /// The router next to the device, or that next to the broker, forgets its connections.
    Forgotten(Place),
    /// The routers forget a connection on which nothing happened for a while.
    Idle,
    /// Another client takes the device's id once.
    Takeover,
    /// Another client wants the device's id all the time.
    Duplicate,
    /// Something is not there when the device starts.
    Cold(Absent),
    /// Bytes come one by one.
    Trickle,
    /// Everything takes four seconds, each way.
    Late,
}

/// Which router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// That of the device.
    Device,
    /// That of the broker.
    Broker,
}

/// What is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Absent {
    /// The broker.
    Broker,
    /// The way through the router.
    Router,
    /// The device's cable.
    Link,
}

/// After how many seconds without a packet routers forget, in [`Fault::Idle`]: less than the
/// keep-alive.
pub const IDLE_S: u32 = 25;

impl Fault {
    /// Its name, for `--only`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Restarted => "restarted",
            Self::Hung => "hung",
            Self::Moved => "moved",
            Self::LinkDown => "link-down",
            Self::Silent(None) => "silent",
            Self::Silent(Some(Direction::ToBroker)) => "silent-to-broker",
            Self::Silent(Some(Direction::ToDevice)) => "silent-to-device",
            Self::Reset => "reset",
            Self::Forgotten(Place::Device) => "nat-flushed",
            Self::Forgotten(Place::Broker) => "nat-flushed-outer",
            Self::Idle => "nat-idle",
            Self::Takeover => "takeover",
            Self::Duplicate => "duplicate-id",
            Self::Cold(Absent::Broker) => "cold-broker",
            Self::Cold(Absent::Router) => "cold-router",
            Self::Cold(Absent::Link) => "cold-link",
            Self::Trickle => "trickle",
            Self::Late => "late",
        }
    }

    /// It does not end, except by the device's connecting anew.
    pub const fn is_permanent(self) -> bool {
        matches!(
            self,
            Self::Moved | Self::Reset | Self::Forgotten(_) | Self::Idle | Self::Takeover
        )
    }

    /// It is there when the device starts.
    pub const fn is_cold(self) -> bool {
        matches!(self, Self::Cold(_))
    }

    /// It is no reason to give the connection up.
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::Trickle | Self::Late)
    }

    /// What is put before the broker is in the way.
    pub const fn needs_proxy(self) -> bool {
        self.is_harmless()
    }

    /// The device knows the broker by its name.
    pub const fn needs_name(self) -> bool {
        matches!(self, Self::Moved)
    }

    /// Seconds between readings: at [`Fault::Idle`] they are not to keep the connection alive.
    pub const fn interval_s(self) -> u32 {
        match self {
            Self::Idle => 3_600,
            _ => 1,
        }
    }

    /// The keep-alive in seconds, where it is not the usual one: longer than routers are patient,
    /// or hardly longer than a round trip.
    pub const fn keep_alive_s(self) -> Option<u32> {
        match self {
            Self::Idle => Some(40),
            Self::Late => Some(10),
            _ => None,
        }
    }

    /// How long contact may take to come back before that is a failure: one with a rival holds
    /// back for two minutes.
    pub const fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Takeover | Self::Duplicate => 180,
            _ => 120,
        })
    }

    /// Whether this broker promises that what it acknowledged before is still there after it:
    /// the device's readings, and the commands for the device.
    pub const fn keeps(self, broker: broker::Kind) -> Kept {
        let all = Kept {
            readings: true,
            commands: true,
        };
        match (self, broker) {
            // mosquitto writes down what changed a moment later.
            (Self::Killed, broker::Kind::Mosquitto | broker::Kind::Forgetful)
            | (Self::Restarted | Self::Cold(Absent::Broker), broker::Kind::Forgetful) => Kept {
                readings: false,
                commands: false,
            },
            // The other client begins a new session, and ends the device's by that.
            (Self::Takeover | Self::Duplicate, _) => Kept {
                commands: false,
                ..all
            },
            _ => all,
        }
    }

    /// How soon contact is to be noticed as lost, and to be back.
    pub fn goal(self, lasts: Duration) -> Goal {
        let seconds = |seconds: f64| Some(Duration::from_secs_f64(seconds));
        // One and a half keep-alives.
        let silence = seconds(22.5);
        let short = lasts <= Duration::from_secs(10);
        match self {
            Self::Killed | Self::Restarted => Goal {
                noticed: seconds(0.5),
                back: seconds(0.5).filter(|_| short),
            },
            Self::Cold(Absent::Broker) => Goal {
                noticed: None,
                back: seconds(0.5).filter(|_| short),
            },
            // What is shorter ends when TCP sends again, which is not ours to say.
            Self::Silent(_) => Goal {
                noticed: silence,
                back: seconds(1.5).filter(|_| lasts == Duration::from_secs(30)),
            },
            Self::LinkDown | Self::Hung => Goal {
                noticed: silence,
                back: None,
            },
            // Up to two seconds to the next reading, and five in which it is not answered.
            Self::Moved | Self::Forgotten(_) => Goal {
                noticed: silence,
                back: seconds(8.5),
            },
            Self::Reset | Self::Takeover => Goal {
                noticed: seconds(0.5),
                back: seconds(1.0),
            },
            _ => Goal::default(),
        }
    }
}

/// What a broker keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What the device published and the broker acknowledged.
    pub readings: bool,
    /// What is for the device.
    pub commands: bool,
}

/// How soon something is to happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Goal {
    /// From the beginning of the fault.
    pub noticed: Option<Duration>,
    /// From its end; of one that does not end, from its beginning.
    pub back: Option<Duration>,
}

impl Goal {
    /// Which of the two was missed.
    pub fn missed(&self, noticed: Option<Duration>, back: Option<Duration>) -> Vec<String> {
        let late = |what: &str, goal: Option<Duration>, is: Option<Duration>| {
            let (goal, is) = (goal?, is?);
            (is > goal).then(|| {
                format!(
                    "{what} after {:.1} s, goal {:.1} s",
                    is.as_secs_f64(),
                    goal.as_secs_f64()
                )
            })
        };
        let missed = [
            late("noticed", self.noticed, noticed),
            late("back", self.back, back),
        ];
        missed.into_iter().flatten().collect()
    }
}
