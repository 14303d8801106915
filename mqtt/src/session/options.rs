//! What the application chooses.

use crate::outbox::Slot;
use crate::wire::{Properties, Property, Version, Will};

/// Which versions of MQTT to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// MQTT 5, falling back to 3.1.1 when the broker does not speak it.
    #[default]
    Any,
    /// One version only.
    Only(Version),
}

/// Whether the broker shall forget what it knows of this client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CleanStart {
    /// When the program starts, since a new program remembers nothing; later
    /// connections resume the session.
    #[default]
    First,
    /// Never: messages that arrived while the program did not run are
    /// delivered. Between two runs QoS 2 is then at least once.
    Never,
    /// At each connection.
    Always,
}

/// Bounds on waiting, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long an attempt may take to open the connection, and then again to
    /// come to CONNACK. Doubles with each attempt that got no answer, up to
    /// [`Timeouts::CONNECT_MOST_MS`], so that a slow network gets through.
    pub connect_ms: u32,
    /// How long an answer is waited for, and a write that does not get on: at
    /// least so long, and four times the longest round trip of late; at most
    /// the keep-alive. A keep-alive below twice this makes it shorter.
    pub answer_ms: u32,
}

impl Timeouts {
    /// The most that half an attempt may take.
    pub const CONNECT_MOST_MS: u32 = 30_000;
    /// The most that an answer may take where there is no keep-alive.
    pub const ANSWER_MOST_MS: u32 = 120_000;
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ms: 2_000,
            answer_ms: 5_000,
        }
    }
}

/// Waiting between attempts.
///
/// | The outage is | Nobody answered, or the connection broke | The broker closed before CONNACK, refused, or broke the rules |
/// |---|---|---|
/// | younger than ten seconds | `prompt_ms` | full jitter, from `base_ms` on doubling up to `cap_ms` |
/// | younger than `young_ms` | twice `prompt_ms` | the same |
/// | older | full jitter, from four times `base_ms` on doubling up to `cap_ms` | the same |
///
/// The two prompt waits are bounds as well: half of each is by chance. An outage
/// ends when a connection has lasted for `stable_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of a wait in the first ten seconds of an outage; twice as long from
    /// then on.
    pub prompt_ms: u32,
    /// How old an outage is when every wait begins to grow.
    pub young_ms: u32,
    /// Bound of the first wait that is by chance alone; it doubles with each.
    pub base_ms: u32,
    /// Bound of any wait.
    pub cap_ms: u32,
    /// How long a connection must last to end the outage before it.
    pub stable_ms: u32,
    /// The least wait after another client took the session over twice in one
    /// outage: as the broker said, or as three connections in a row suggest that
    /// it accepted and closed within ten seconds.
    pub taken_over_ms: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            prompt_ms: 450,
            young_ms: 60_000,
            base_ms: 250,
            cap_ms: 60_000,
            stable_ms: 30_000,
            taken_over_ms: 60_000,
        }
    }
}

/// How a session is held.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Client Identifier; empty: the broker assigns one (MQTT 5).
    pub client_id: &'a str,
    /// User name.
    pub username: Option<&'a str>,
    /// Password; MQTT 3.1.1 wants a user name with it.
    pub password: Option<&'a [u8]>,
    /// What the broker publishes when this client is lost.
    pub will: Option<Will<'a>>,
    /// Which versions of MQTT to speak.
    pub versions: Versions,
    /// Whether the broker shall forget what it knows of this client.
    pub clean_start: CleanStart,
    /// After how many seconds without an answer the broker is asked for one, at
    /// the latest, and after one and a half times as many each side gives the
    /// other up; zero: never. The broker may decide otherwise.
    pub keep_alive_s: u16,
    /// How many seconds the broker keeps the session of a lost connection.
    /// MQTT 3.1.1 knows no bound.
    pub session_expiry_s: u32,
    /// How many messages at QoS 1 and 2 the broker may have under way to us: at
    /// most [`Session::RECEIVE_MAXIMUM`](crate::Session::RECEIVE_MAXIMUM), or, with
    /// the feature `many-inbound`, as many as there is room for.
    pub receive_maximum: u16,
    /// How many messages there is room for that the application has not
    /// acknowledged or, at QoS 2, the broker not released: up to 4,096. Some
    /// brokers send more than the receive maximum allows. What has no room waits,
    /// or comes again on another connection of the same session.
    #[cfg(feature = "many-inbound")]
    pub inbound: u16,
    /// How many publications may be under way to the broker. MQTT 5 lets it
    /// allow fewer; in MQTT 3.1.1 it cannot say so, and may close a connection
    /// with too many (mosquitto: more than 20 at QoS 2).
    pub in_flight: u16,
    /// More properties for CONNECT: user properties, Request Response
    /// Information, Request Problem Information.
    pub properties: &'a [Property<'a>],
    /// Bounds on waiting.
    pub timeouts: Timeouts,
    /// Waiting between attempts.
    pub backoff: Backoff,
}

impl<'a> Options<'a> {
    /// The defaults, for a client of this id.
    pub fn new(client_id: &'a str) -> Self {
        Self {
            client_id,
            username: None,
            password: None,
            will: None,
            versions: Versions::Any,
            clean_start: CleanStart::First,
            keep_alive_s: 15,
            session_expiry_s: 3_600,
            receive_maximum: 16,
            #[cfg(feature = "many-inbound")]
            inbound: crate::Session::RECEIVE_MAXIMUM,
            in_flight: 16,
            properties: &[],
            timeouts: Timeouts::default(),
            backoff: Backoff::default(),
        }
    }
}

/// The memory of a session: it uses nothing else.
#[derive(Debug)]
pub struct Buffers<'b> {
    /// Received bytes. The largest packet that can be received, or CONNECT with
    /// five bytes more, fits exactly.
    pub receive: &'b mut [u8],
    /// One slot for each publication and subscription in the outbox.
    pub slots: &'b mut [Slot],
    /// Publications and subscriptions until they are acknowledged. Each takes
    /// five bytes more than its packet without fixed header.
    pub outbox: &'b mut [u8],
    /// Topics for which the broker may use aliases, four bytes more than each
    /// topic has; empty: none. It may use one for each eight bytes; if its
    /// topics are so long that they do not fit, it may use none from then on.
    pub inbound_aliases: &'b mut [u8],
    /// Topics for which aliases are used towards the broker, four bytes more
    /// than each topic has; empty: none.
    pub outbound_aliases: &'b mut [u8],
}

impl<'b> Buffers<'b> {
    /// Without topic aliases.
    pub fn new(receive: &'b mut [u8], outbox: &'b mut [u8], slots: &'b mut [Slot]) -> Self {
        Self {
            receive,
            outbox,
            slots,
            inbound_aliases: &mut [],
            outbound_aliases: &mut [],
        }
    }
}

/// A publication to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Application message.
    pub payload: &'a [u8],
    /// At QoS 0 it is sent on the present connection or not at all; at QoS 1
    /// and 2 it is kept until the broker has it.
    pub qos: crate::wire::QoS,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
    /// Properties of MQTT 5, except Topic Alias and Message Expiry Interval,
    /// which the session sets.
    pub properties: Properties<'a>,
    /// Drop it when it could not be sent within so many seconds; MQTT 5 tells
    /// the broker too (Message Expiry Interval).
    pub expires_s: Option<u32>,
    /// It takes the place of an older one of the same topic that is marked in
    /// the same way and was not sent yet.
    pub latest: bool,
}

impl<'a> Publication<'a> {
    /// A publication at QoS 0 with no more than topic and payload.
    pub const fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self {
            topic,
            payload,
            qos: crate::wire::QoS::AtMostOnce,
            retain: false,
            properties: Properties::NONE,
            expires_s: None,
            latest: false,
        }
    }

    /// The same at another QoS.
    #[must_use]
    pub const fn qos(self, qos: crate::wire::QoS) -> Self {
        Self { qos, ..self }
    }

    /// The same, kept by the broker for later subscribers.
    #[must_use]
    pub const fn retained(self) -> Self {
        Self {
            retain: true,
            ..self
        }
    }

    /// The same, in place of an older one of its topic that was not sent yet.
    #[must_use]
    pub const fn latest(self) -> Self {
        Self {
            latest: true,
            ..self
        }
    }

    /// The same, dropped when it could not be sent within so many seconds.
    #[must_use]
    pub const fn expires(self, seconds: u32) -> Self {
        Self {
            expires_s: Some(seconds),
            ..self
        }
    }

    /// The same with properties of MQTT 5.
    #[must_use]
    pub const fn with(self, properties: &'a [Property<'a>]) -> Self {
        Self {
            properties: Properties::new(properties),
            ..self
        }
    }
}
