//! What the outbox knows of an entry.

use crate::Instant;
use crate::wire::{PacketId, QoS};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A publication, at this QoS.
    Publication(QoS),
    /// A subscription that shall hold.
    Subscription,
    /// A subscription that shall end.
    Unsubscription,
    /// The client id that a broker assigned.
    ClientId,
}

/// How far an entry has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Gone; its room is not yet taken back.
    Free,
    /// To be sent.
    Queued,
    /// Sent, not answered.
    Sent,
    /// PUBREC came, PUBREL is to be sent.
    Release,
    /// PUBREL was sent, PUBCOMP has not come.
    Released,
    /// A subscription that the broker holds.
    Held,
    /// A subscription that the broker refused: tried again on the next connection.
    Refused,
    /// Not to be sent: to be reported with the reason.
    Report,
}

impl State {
    /// Sent, and its end has not come.
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Sent | Self::Release | Self::Released)
    }
}

/// Room for what a session has to know of one publication or subscription in
/// its outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// When it is not to be sent any more.
    pub(crate) expires: Instant,
    /// Where it begins in the arena, and how many bytes it has there.
    pub(crate) start: u32,
    pub(crate) size: u32,
    /// The publication's handle; a subscription's options as MQTT 5 writes them.
    pub(crate) id: u32,
    /// When it was sent last, in milliseconds, the low 32 bits. To be reported:
    /// the reason.
    pub(crate) since: u32,
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) retain: bool,
    /// Gives way to a younger one of the same topic.
    pub(crate) latest: bool,
    /// The broker of this session may have it already.
    pub(crate) dup: bool,
    /// PUBREC came, and the broker may have lost the session since.
    pub(crate) unsure: bool,
}

impl Slot {
    /// One that is not used. All of it is zero: a session's memory as a static is then in
    /// `.bss`, and takes no flash.
    pub const EMPTY: Self = Self {
        expires: Instant::from_millis(0),
        start: 0,
        size: 0,
        id: 0,
        since: 0,
        packet_id: None,
        kind: Kind::Publication(QoS::AtMostOnce),
        state: State::Free,
        retain: false,
        latest: false,
        dup: false,
        unsure: false,
    };

    pub(crate) const fn new(kind: Kind, id: u32) -> Self {
        Self {
            expires: Instant::NEVER,
            id,
            kind,
            state: State::Queued,
            ..Self::EMPTY
        }
    }

    /// The QoS of a publication.
    pub(crate) const fn qos(&self) -> QoS {
        match self.kind {
            Kind::Publication(qos) => qos,
            _ => QoS::AtMostOnce,
        }
    }

    /// Whether it is a publication that takes part of the send quota.
    pub(crate) const fn in_flight(&self) -> bool {
        self.is_publication() && self.state.is_under_way()
    }

    pub(crate) const fn is_publication(&self) -> bool {
        matches!(self.kind, Kind::Publication(_))
    }

    /// Whether an answer of the broker is awaited.
    pub(crate) const fn awaits_answer(&self) -> bool {
        matches!(self.state, State::Sent | State::Released)
    }
}
