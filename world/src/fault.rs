//! What can go wrong: each fault's name, what it is, whom it hits and for how long.

use std::fmt;
use std::str::FromStr;

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One device, with its home: access point, address, names, routers, path.
    Home,
    /// The broker, and so everybody.
    Broker,
}

macro_rules! faults {
    ($($(#[doc = $about:literal])+ $variant:ident = $name:literal, $scope:ident, $from:literal..=$to:literal;)*) => {
        /// A fault. Its name stays the same from version to version.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum FaultKind {
            $($(#[doc = $about])+ $variant,)*
        }

        impl FaultKind {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it is.
            pub fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($about,)+).trim_start(),)* }
            }

            /// Whom it hits.
            pub const fn scope(self) -> Scope {
                match self { $(Self::$variant => Scope::$scope,)* }
            }

            /// How many seconds it lasts: the least and the most.
            pub const fn lasts_s(self) -> (u64, u64) {
                match self { $(Self::$variant => ($from, $to),)* }
            }
        }
    };
}

faults! {
    /// The access point restarts: no beacons meanwhile, and it knows nobody after.
    ApReboot = "ap-reboot", Home, 20..=120;
    /// The access point is away.
    ApAway = "ap-away", Home, 60..=3600;
    /// The access point throws the device out and refuses it for 90 s, as if it were still there.
    ApStale = "ap-stale", Home, 90..=95;
    /// The access point moves to a channel where it is found by a full scan only.
    ApChannel = "ap-channel", Home, 30..=300;
    /// Joined, and nothing comes through, until the device joins again or starts its radio again.
    RadioDeaf = "radio-deaf", Home, 7200..=7200;
    /// The radio's driver takes no frames any more, until the chip restarts.
    RadioStuck = "radio-stuck", Home, 7200..=7200;
    /// The radio's driver does not answer any more, until it is started again.
    RadioMute = "radio-mute", Home, 7200..=7200;
    /// DHCP answers after up to a minute; the network is joined anew.
    DhcpSlow = "dhcp-slow", Home, 60..=300;
    /// DHCP does not answer; the network is joined anew.
    DhcpAway = "dhcp-away", Home, 30..=1800;
    /// DHCP gives another address at the renewal.
    DhcpMoves = "dhcp-moves", Home, 1..=1;
    /// The name server says that the broker's name does not exist.
    DnsFails = "dns-fails", Home, 10..=1800;
    /// The name server answers after 2 to 15 s.
    DnsSlow = "dns-slow", Home, 60..=900;
    /// The name server does not answer.
    DnsAway = "dns-away", Home, 10..=1800;
    /// The broker moves, and the name server tells its old address for a while.
    DnsStale = "dns-stale", Home, 10..=600;
    /// The router forgets connections after 20 to 60 s without traffic.
    NatExpiry = "nat-expiry", Home, 300..=3600;
    /// The router restarts, and forgets every connection.
    NatRestart = "nat-restart", Home, 5..=90;
    /// The connection is reset.
    TcpReset = "tcp-reset", Home, 1..=1;
    /// The connection is closed by something on the way.
    TcpClose = "tcp-close", Home, 1..=1;
    /// The broker's end of the connection is gone, and nobody says so.
    HalfOpen = "half-open", Home, 1..=1;
    /// Nothing comes through to either side.
    Blackhole = "blackhole", Home, 1..=1800;
    /// Nothing comes through to the broker.
    BlackholeUp = "blackhole-up", Home, 1..=1800;
    /// Nothing comes through to the device.
    BlackholeDown = "blackhole-down", Home, 1..=1800;
    /// The connection stops within a packet to the broker.
    StallUp = "stall-up", Home, 60..=300;
    /// The connection stops within a packet to the device.
    StallDown = "stall-down", Home, 60..=300;
    /// The network takes a few bytes more from the device, and then none.
    NoRoom = "no-room", Home, 30..=300;
    /// Bytes come one by one, each way.
    Trickle = "trickle", Home, 30..=600;
    /// Bytes come in pieces of any size, each way.
    Fragments = "fragments", Home, 60..=1800;
    /// Each way takes 1 to 3.5 s more.
    SlowPath = "slow-path", Home, 60..=1800;
    /// A third of all segments is lost, and sent again.
    LossyPath = "lossy-path", Home, 60..=1800;
    /// The sensor is detached.
    SensorAway = "sensor-away", Home, 1..=3600;
    /// The sensor's line is noisy: answers are cut short, or have bits turned over.
    SensorNoisy = "sensor-noisy", Home, 1..=1800;
    /// The sensor's line is stuck at low.
    SensorStuck = "sensor-stuck", Home, 1..=1800;
    /// The sensor's answers come too late, or just in time.
    SensorLate = "sensor-late", Home, 1..=1800;
    /// Power is cut within a write to the flash; it comes back.
    FlashCut = "flash-cut", Home, 3600..=3600;
    /// The flash takes nothing.
    FlashWorn = "flash-worn", Home, 60..=3600;
    /// Power is cut, and comes back.
    PowerCut = "power-cut", Home, 1..=3600;
    /// The supply sags: the chip restarts at once.
    Brownout = "brownout", Home, 1..=1;
    /// The chip restarts by a panic.
    Panic = "panic", Home, 1..=1;
    /// The radio's task hangs: the watchdog has to restart the chip.
    TaskHangs = "task-hangs", Home, 7200..=7200;
    /// The loop comes up to 2 s late.
    SlowTask = "slow-task", Home, 60..=1800;
    /// The clock is wrong by up to 2 %.
    Drift = "drift", Home, 600..=7200;
    /// The device is stopped cleanly, and started again.
    CleanStop = "clean-stop", Home, 5..=600;
    /// Somebody tells the device to restart, perhaps several times.
    ToldToRestart = "told-to-restart", Home, 5..=60;
    /// The broker restarts, and has its sessions.
    BrokerRestart = "broker-restart", Broker, 1..=60;
    /// The broker restarts, and has forgotten all.
    BrokerForgets = "broker-forgets", Broker, 1..=60;
    /// The broker's program is away: connections are refused.
    BrokerAway = "broker-away", Broker, 60..=3600;
    /// The broker's machine is away: nobody answers.
    BrokerDark = "broker-dark", Broker, 10..=1800;
    /// The broker moves to another address, and its name with it.
    BrokerMoves = "broker-moves", Broker, 1..=30;
    /// The broker does not look at what comes.
    BrokerDeaf = "broker-deaf", Broker, 10..=900;
    /// The broker says nothing.
    BrokerSilent = "broker-silent", Broker, 10..=900;
    /// The broker does nothing, with its connections open.
    BrokerHangs = "broker-hangs", Broker, 10..=900;
    /// The broker takes up to 3 s for each thing.
    BrokerSlow = "broker-slow", Broker, 60..=900;
    /// The broker refuses every client, with any of its codes.
    BrokerRefuses = "broker-refuses", Broker, 5..=600;
    /// The broker closes connections before CONNACK.
    BrokerShuts = "broker-shuts", Broker, 5..=300;
    /// The broker ends connections with a reason.
    BrokerKicks = "broker-kicks", Broker, 1..=1;
    /// Another client takes the device's session over, now and then.
    Takeover = "takeover", Home, 1..=120;
    /// The broker keeps three messages for a client that is away.
    QueueFull = "queue-full", Broker, 300..=1800;
    /// The broker allows one publication under way.
    ReceiveMaximum = "receive-maximum", Broker, 60..=1800;
    /// The broker takes no packets larger than 96 bytes.
    SmallPackets = "small-packets", Broker, 60..=900;
    /// The broker decides on a keep-alive of 5 s.
    ServerKeepAlive = "server-keep-alive", Broker, 60..=1800;
    /// The broker speaks MQTT 3.1.1 only.
    OldBroker = "old-broker", Broker, 300..=3600;
    /// The broker uses topic aliases.
    Aliases = "aliases", Broker, 300..=3600;
    /// The broker sends bytes that are no packet.
    Malformed = "malformed", Home, 1..=1;
    /// The broker does not send its acknowledgements.
    AcksWithheld = "acks-withheld", Broker, 1..=300;
    /// The broker refuses subscriptions.
    SubscribeRefused = "subscribe-refused", Broker, 60..=600;
    /// The broker forgets the device's session.
    SessionForgotten = "session-forgotten", Home, 1..=1;
    /// The recorder is away, and what comes meanwhile is lost to it.
    RecorderAway = "recorder-away", Broker, 60..=1800;
}

impl FaultKind {
    /// Its place in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no fault's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFault(pub String);

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no fault named '{}'", self.0)
    }
}

impl std::error::Error for UnknownFault {}

impl FromStr for FaultKind {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        let found = Self::ALL.iter().copied().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

/// Some faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultSet(u128);

impl FaultSet {
    /// None.
    pub const NONE: Self = Self(0);

    /// All.
    pub const fn all() -> Self {
        Self((1 << FaultKind::ALL.len()) - 1)
    }

    /// This one alone.
    pub const fn only(kind: FaultKind) -> Self {
        Self(1 << kind.index())
    }

    /// Adds one.
    pub const fn insert(&mut self, kind: FaultKind) {
        self.0 |= 1 << kind.index();
    }

    /// Whether it is one of them.
    pub const fn contains(self, kind: FaultKind) -> bool {
        self.0 >> kind.index() & 1 == 1
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Each, in the order of [`FaultKind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = FaultKind> {
        FaultKind::ALL
            .iter()
            .copied()
            .filter(move |kind| self.contains(*kind))
    }
}

impl FromStr for FaultSet {
    type Err = UnknownFault;

    /// `all`, `none`, or names with commas between them.
    fn from_str(names: &str) -> Result<Self, UnknownFault> {
        match names {
            "all" => return Ok(Self::all()),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        let mut set = Self::NONE;
        for name in names.split(',') {
            set.insert(name.trim().parse()?);
        }
        Ok(set)
    }
}

impl fmt::Display for FaultSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::all() {
            return f.write_str("all");
        }
        if self.is_empty() {
            return f.write_str("none");
        }
        for (index, kind) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(kind.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that means two faults, or a set that is printed and cannot be read, repeats
    /// another run than the one that failed.
    #[test]
    fn names_and_sets_are_read_as_they_are_printed() {
        for (index, &kind) in FaultKind::ALL.iter().enumerate() {
            assert_eq!(kind.index(), index);
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(
                FaultSet::only(kind).to_string().parse(),
                Ok(FaultSet::only(kind))
            );
            assert!(kind.about().ends_with('.'), "{kind}");
            assert!(
                kind.name()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{kind}"
            );
            let (from, to) = kind.lasts_s();
            assert!(0 < from && from <= to, "{kind}");
        }
        for set in ["all", "none", "tcp-reset,broker-away"] {
            assert_eq!(set.parse::<FaultSet>().unwrap().to_string(), set);
        }
        assert_eq!(FaultSet::all().len(), FaultKind::ALL.len());
        assert!("tcp-reset,".parse::<FaultSet>().is_err());
        assert_eq!(
            "flood".parse::<FaultSet>().unwrap_err().to_string(),
            "there is no fault named 'flood'"
        );
    }
}
