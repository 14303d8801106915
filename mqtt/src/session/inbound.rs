//! Messages at QoS 1 and 2 on their way from the broker to the application.

use crate::shift::move_down;
use crate::wire::{PacketId, QoS, ReasonCode};

/// Counts the messages in the table.
#[cfg(not(feature = "many-inbound"))]
type Count = u8;
#[cfg(feature = "many-inbound")]
type Count = u16;

/// A message that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    packet_id: PacketId,
    state: State,
    /// With which reason code it is acknowledged.
    reason: ReasonCode,
}

/// How far a message has come. What was sent at QoS 2 `Before` came on an earlier
/// connection, and not yet on this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// QoS 1, with the application.
    One,
    /// QoS 1, handled: PUBACK is due.
    OneHandled,
    /// QoS 2, with the application.
    Two,
    TwoBefore,
    /// QoS 2, handled: PUBREC is due, once the message has come again.
    TwoHandled,
    TwoHandledBefore,
    /// QoS 2, PUBREC was sent; PUBREL is awaited.
    Received,
}

impl State {
    const fn qos(self) -> QoS {
        match self {
            Self::One | Self::OneHandled => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        }
    }

    const fn is_before(self) -> bool {
        matches!(self, Self::TwoBefore | Self::TwoHandledBefore)
    }

    /// The next step is ours: the application's, or an acknowledgement's.
    const fn is_ours(self) -> bool {
        !matches!(self, Self::Received | Self::TwoHandledBefore)
    }
}

/// What is to be done with a PUBLISH at QoS 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is new.
    New,
    /// It is not taken: the application has it already, or it has to come again.
    Ignored,
    /// There is no room for it until something is acknowledged.
    Wait,
}

/// The table of them, in the order of their arrival.
///
/// A broker that sends more than the receive maximum allows, as mosquitto 2.0
/// does, is not cut off: it waits until there is room. Where it would have to
/// wait for itself, since each message in the table waits for a PUBREL behind
/// the message that has no room, or where the application wants so, that message
/// and all after it are left to be sent again on another connection, which is
/// asked for when the table is empty.
#[derive(Debug)]
pub(crate) struct Inbound {
    slots: [Slot; Self::SIZE],
    /// How many of the slots are used at most.
    #[cfg(feature = "many-inbound")]
    most: u16,
    len: Count,
    /// The broker may have begun a new session.
    unsure: bool,
    /// Acknowledgements, or another connection, may be due.
    due: bool,
    /// Some messages were left to be sent again.
    left: bool,
}

impl Inbound {
    /// What is used unless more is wanted.
    pub const USUAL: usize = 32;

    pub const SIZE: usize = if cfg!(feature = "many-inbound") {
        4_096
    } else {
        Self::USUAL
    };

    #[cfg(not(feature = "many-inbound"))]
    const fn most(&self) -> usize {
        Self::SIZE
    }

    #[cfg(feature = "many-inbound")]
    const fn most(&self) -> usize {
        self.most as usize
    }

    /// With room for `most` messages, or as many as there can be.
    #[cfg(feature = "many-inbound")]
    pub fn with_room(most: u16) -> Self {
        Self {
            most: most.clamp(1, Self::SIZE as u16),
            ..Self::new()
        }
    }

    pub const fn new() -> Self {
        let empty = Slot {
            packet_id: PacketId::MIN,
            state: State::One,
            reason: ReasonCode::SUCCESS,
        };
        Self {
            slots: [empty; Self::SIZE],
            #[cfg(feature = "many-inbound")]
            most: Self::USUAL as u16,
            len: 0,
            unsure: false,
            due: false,
            left: false,
        }
    }

    fn used(&self) -> &[Slot] {
        self.slots.get(..usize::from(self.len)).unwrap_or(&[])
    }

    fn position(&self, packet_id: PacketId, qos: QoS) -> Option<usize> {
        self.used()
            .iter()
            .position(|slot| slot.packet_id == packet_id && slot.state.qos() == qos)
    }

    fn remove(&mut self, at: usize) {
        let len = usize::from(self.len);
        if at < len {
            let used = self.slots.get_mut(..len).unwrap_or(&mut []);
            move_down(used, at + 1, at);
            self.len -= 1;
        }
    }

    /// A PUBLISH came; `dup`: it may have come before.
    pub fn arrive(&mut self, packet_id: PacketId, qos: QoS, dup: bool) -> Arrival {
        if qos == QoS::ExactlyOnce
            && let Some(at) = self.position(packet_id, qos)
            && let Some(slot) = self.slots.get_mut(at)
        {
            // In a new session, what comes for the first time (MQTT-3.3.1-1) is
            // not what had its packet id in the old one.
            if self.unsure && !dup && slot.state.is_before() {
                self.remove(at);
            } else {
                slot.state = match slot.state {
                    State::Two | State::TwoBefore => State::Two,
                    _ => State::TwoHandled,
                };
                self.due = true;
                return Arrival::Ignored;
            }
        }
        let full = usize::from(self.len) == self.most();
        if full && !self.left && self.used().iter().any(|slot| slot.state.is_ours()) {
            return Arrival::Wait;
        }
        // The order of what follows is kept as well.
        self.left |= full;
        if self.left {
            return Arrival::Ignored;
        }
        let state = match qos {
            QoS::ExactlyOnce => State::Two,
            _ => State::One,
        };
        if let Some(slot) = self.slots.get_mut(usize::from(self.len)) {
            *slot = Slot {
                packet_id,
                state,
                reason: ReasonCode::SUCCESS,
            };
            self.len += 1;
        }
        Arrival::New
    }

    /// Whether there may be something to acknowledge, or another connection to
    /// be asked for.
    #[inline]
    pub const fn is_due(&self) -> bool {
        self.due
    }

    /// What has no room now, and all after it, is left to be sent again.
    pub const fn leave(&mut self) {
        self.left = true;
    }

    /// Whether there is room again for what was left to be sent again.
    pub fn wants_another_connection(&self) -> bool {
        self.left && self.len == 0
    }

    /// The connection has lasted: what the broker had to send again first, and
    /// has not by now, it has forgotten.
    pub fn settle(&mut self) {
        while let Some(at) = self
            .used()
            .iter()
            .position(|slot| slot.state == State::TwoHandledBefore)
        {
            self.remove(at);
        }
        self.due = true;
    }

    /// The application has handled a message.
    pub fn handled(&mut self, packet_id: PacketId, qos: QoS, reason: ReasonCode) {
        let waiting = |slot: &&mut Slot| {
            slot.packet_id == packet_id
                && slot.state.qos() == qos
                && matches!(slot.state, State::One | State::Two | State::TwoBefore)
        };
        let len = usize::from(self.len);
        let used = self.slots.get_mut(..len).unwrap_or(&mut []);
        if let Some(slot) = used.iter_mut().find(waiting) {
            slot.reason = reason;
            slot.state = match slot.state {
                State::Two => State::TwoHandled,
                State::TwoBefore => State::TwoHandledBefore,
                _ => State::OneHandled,
            };
            self.due = true;
        }
    }

    /// The first messages at QoS 1 and at QoS 2 that are not acknowledged.
    fn firsts(&self) -> [Option<usize>; 2] {
        let one = |slot: &Slot| matches!(slot.state, State::One | State::OneHandled);
        let two = |slot: &Slot| matches!(slot.state, State::Two | State::TwoHandled);
        [
            self.used().iter().position(one),
            self.used().iter().position(two),
        ]
    }

    /// Whether an acknowledgement is to be sent.
    pub fn owes(&self) -> bool {
        let handled = |at: &usize| {
            let slot = self.used().get(*at);
            slot.is_some_and(|slot| matches!(slot.state, State::OneHandled | State::TwoHandled))
        };
        self.firsts().iter().flatten().any(handled)
    }

    /// The next acknowledgement to be sent: PUBACKs in the order in which the
    /// messages came, and PUBRECs likewise (MQTT-4.6.0-2, MQTT-4.6.0-3).
    #[inline]
    pub fn acknowledgement(&mut self) -> Option<(PacketId, QoS, ReasonCode)> {
        for at in self.firsts().into_iter().flatten() {
            let Some(slot) = self.slots.get_mut(at) else {
                continue;
            };
            let Slot {
                packet_id,
                state,
                reason,
            } = *slot;
            match state {
                State::OneHandled => {
                    self.remove(at);
                    return Some((packet_id, QoS::AtLeastOnce, reason));
                }
                State::TwoHandled => {
                    slot.state = State::Received;
                    if reason.is_error() {
                        self.remove(at);
                    }
                    return Some((packet_id, QoS::ExactlyOnce, reason));
                }
                _ => {}
            }
        }
        self.due = false;
        None
    }

    /// PUBREL came: the packet id is free again. Says whether it was known.
    pub fn release(&mut self, packet_id: PacketId) -> bool {
        let at = self.position(packet_id, QoS::ExactlyOnce);
        if let Some(at) = at {
            self.remove(at);
        }
        // Others may have waited behind it.
        self.due |= self.left || at.is_some();
        at.is_some()
    }

    /// A new connection. At QoS 1 the broker sends again what was not
    /// acknowledged; at QoS 2 we must know what we had, if it knows too.
    pub fn reconnect(&mut self, kept: bool, unsure: bool) {
        self.unsure = unsure;
        self.left = false;
        let mut at = 0;
        while let Some(slot) = self
            .slots
            .get_mut(at)
            .filter(|_| at < usize::from(self.len))
        {
            slot.state = match slot.state {
                State::Two => State::TwoBefore,
                State::TwoHandled | State::Received => State::TwoHandledBefore,
                other => other,
            };
            if kept && slot.state.qos() == QoS::ExactlyOnce {
                at += 1;
            } else {
                self.remove(at);
            }
        }
    }
}
