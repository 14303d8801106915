//! The head of an entry: what the outbox knows of it, in twenty bytes.

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

/// The head of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Bytes of head and body.
    pub size: u32,
    /// The publication's handle; a subscription's options as MQTT 5 writes them.
    pub id: u32,
    /// When it was sent last, in milliseconds, the low 32 bits.
    pub since: u32,
    /// Second from which on it is not to be sent any more; zero: never. In an
    /// entry to be reported: the reason.
    pub expires: u32,
    pub packet_id: Option<PacketId>,
    pub kind: Kind,
    pub state: State,
    pub retain: bool,
    /// Gives way to a younger one of the same topic.
    pub latest: bool,
    /// The broker of this session may have it already.
    pub dup: bool,
}

impl Entry {
    pub const SIZE: usize = 20;

    pub const fn new(kind: Kind, id: u32) -> Self {
        Self {
            size: 0,
            id,
            since: 0,
            expires: 0,
            packet_id: None,
            kind,
            state: State::Queued,
            retain: false,
            latest: false,
            dup: false,
        }
    }

    /// The QoS of a publication.
    pub const fn qos(&self) -> QoS {
        match self.kind {
            Kind::Publication(qos) => qos,
            _ => QoS::AtMostOnce,
        }
    }

    /// Whether it is a publication that takes part of the send quota.
    pub const fn in_flight(&self) -> bool {
        matches!(self.kind, Kind::Publication(_))
            && matches!(self.state, State::Sent | State::Release | State::Released)
    }

    /// Whether an answer of the broker is awaited.
    pub const fn awaits_answer(&self) -> bool {
        matches!(self.state, State::Sent | State::Released)
    }

    #[inline]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let [
            s0,
            s1,
            s2,
            s3,
            i0,
            i1,
            i2,
            i3,
            t0,
            t1,
            t2,
            t3,
            e0,
            e1,
            e2,
            e3,
            p0,
            p1,
            k,
            f,
        ] = *bytes;
        Self {
            size: u32::from_ne_bytes([s0, s1, s2, s3]),
            id: u32::from_ne_bytes([i0, i1, i2, i3]),
            since: u32::from_ne_bytes([t0, t1, t2, t3]),
            expires: u32::from_ne_bytes([e0, e1, e2, e3]),
            packet_id: PacketId::new(u16::from_ne_bytes([p0, p1])),
            kind: match k >> 4 {
                0 => Kind::Publication(QoS::AtMostOnce),
                1 => Kind::Publication(QoS::AtLeastOnce),
                2 => Kind::Publication(QoS::ExactlyOnce),
                3 => Kind::Subscription,
                4 => Kind::Unsubscription,
                _ => Kind::ClientId,
            },
            state: match k & 15 {
                1 => State::Queued,
                2 => State::Sent,
                3 => State::Release,
                4 => State::Released,
                5 => State::Held,
                6 => State::Refused,
                7 => State::Report,
                _ => State::Free,
            },
            retain: f & 1 != 0,
            latest: f & 2 != 0,
            dup: f & 4 != 0,
        }
    }

    #[inline]
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let [s0, s1, s2, s3] = self.size.to_ne_bytes();
        let [i0, i1, i2, i3] = self.id.to_ne_bytes();
        let [t0, t1, t2, t3] = self.since.to_ne_bytes();
        let [e0, e1, e2, e3] = self.expires.to_ne_bytes();
        let [p0, p1] = self.packet_id.map_or(0, PacketId::get).to_ne_bytes();
        let kind = match self.kind {
            Kind::Publication(qos) => qos.bits(),
            Kind::Subscription => 3,
            Kind::Unsubscription => 4,
            Kind::ClientId => 5,
        };
        let state = match self.state {
            State::Free => 0,
            State::Queued => 1,
            State::Sent => 2,
            State::Release => 3,
            State::Released => 4,
            State::Held => 5,
            State::Refused => 6,
            State::Report => 7,
        };
        let flags = u8::from(self.retain) | u8::from(self.latest) << 1 | u8::from(self.dup) << 2;
        [
            s0,
            s1,
            s2,
            s3,
            i0,
            i1,
            i2,
            i3,
            t0,
            t1,
            t2,
            t3,
            e0,
            e1,
            e2,
            e3,
            p0,
            p1,
            kind << 4 | state,
            flags,
        ]
    }
}
