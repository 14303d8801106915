//! Messages at QoS 1 and 2 on their way from the broker to the application.

use crate::shift::move_down;
use crate::wire::{PacketId, QoS, ReasonCode};

/// A message that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    packet_id: PacketId,
    state: State,
    /// With which reason code it is acknowledged.
    reason: ReasonCode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// QoS 1, with the application.
    One,
    /// QoS 1, handled: PUBACK is due.
    OneHandled,
    /// QoS 2, with the application; `true`: it came on this connection.
    Two { here: bool },
    /// QoS 2, handled: PUBREC is due once it came on this connection.
    TwoHandled { here: bool },
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

    /// It came on an earlier connection, and not on this one.
    const fn is_elsewhere(self) -> bool {
        matches!(
            self,
            Self::Two { here: false } | Self::TwoHandled { here: false }
        )
    }
}

/// What is to be done with a PUBLISH at QoS 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is new.
    New,
    /// It came before and the application has it.
    Known,
    /// There is no room for it until the application acknowledges something.
    Wait,
    /// The broker sends more than it may.
    Excess,
}

/// The table of them, in the order of their arrival.
#[derive(Debug)]
pub(crate) struct Inbound {
    slots: [Slot; Self::SIZE],
    len: u8,
    /// So many more may be under way than the maximum: a broker may take each
    /// PUBCOMP for an end on this connection (section 4.9).
    extra: u8,
    /// The broker may have begun a new session.
    unsure: bool,
    /// Acknowledgements may be due.
    due: bool,
}

impl Inbound {
    pub const SIZE: usize = 32;

    pub const fn new() -> Self {
        let empty = Slot {
            packet_id: PacketId::MIN,
            state: State::One,
            reason: ReasonCode::SUCCESS,
        };
        Self {
            slots: [empty; Self::SIZE],
            len: 0,
            extra: 0,
            unsure: false,
            due: false,
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

    /// A PUBLISH at QoS 2 comes for the first time (MQTT-3.3.1-1): if the broker
    /// may have begun a new session, then what had its packet id was of the old.
    pub fn begin(&mut self, packet_id: PacketId) {
        let old = |slot: &Slot| slot.packet_id == packet_id && slot.state.is_elsewhere();
        if self.unsure
            && let Some(at) = self.used().iter().position(old)
        {
            self.remove(at);
        }
    }

    /// A PUBLISH came; at most `maximum` may be under way. `agreed`: the broker
    /// was told so.
    pub fn arrive(&mut self, packet_id: PacketId, qos: QoS, maximum: u16, agreed: bool) -> Arrival {
        if qos == QoS::ExactlyOnce
            && let Some(at) = self.position(packet_id, qos)
            && let Some(slot) = self.slots.get_mut(at)
        {
            slot.state = match slot.state {
                State::Two { .. } => State::Two { here: true },
                _ => State::TwoHandled { here: true },
            };
            self.due = true;
            return Arrival::Known;
        }
        let maximum = maximum.saturating_add(u16::from(self.extra));
        let full = usize::from(self.len) == Self::SIZE;
        if full || u16::from(self.len) >= maximum {
            let here = self.used().iter().filter(|slot| !slot.state.is_elsewhere());
            let excess = here.count() >= usize::from(maximum);
            // What the broker had to send again on this connection, and did
            // not, it has forgotten: it sends that before anything new.
            let gone = |slot: &Slot| slot.state == State::TwoHandled { here: false };
            let gone = self.used().iter().position(gone).filter(|_| full);
            if let Some(at) = gone.filter(|_| !excess) {
                self.remove(at);
            } else if full || excess {
                let ours = |slot: &Slot| slot.state != State::Received;
                let wait = !agreed && self.used().iter().any(ours);
                return if wait { Arrival::Wait } else { Arrival::Excess };
            }
        }
        let state = match qos {
            QoS::ExactlyOnce => State::Two { here: true },
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

    /// The application has handled a message.
    pub fn handled(&mut self, packet_id: PacketId, qos: QoS, reason: ReasonCode) {
        let waiting = |slot: &&mut Slot| {
            slot.packet_id == packet_id
                && slot.state.qos() == qos
                && matches!(slot.state, State::One | State::Two { .. })
        };
        let len = usize::from(self.len);
        let used = self.slots.get_mut(..len).unwrap_or(&mut []);
        if let Some(slot) = used.iter_mut().find(waiting) {
            slot.reason = reason;
            slot.state = match slot.state {
                State::Two { here } => State::TwoHandled { here },
                _ => State::OneHandled,
            };
            self.due = true;
        }
    }

    /// The next acknowledgement to be sent: PUBACKs in the order in which the
    /// messages came, and PUBRECs likewise (MQTT-4.6.0-2, MQTT-4.6.0-3).
    #[inline]
    pub fn acknowledgement(&mut self) -> Option<(PacketId, QoS, ReasonCode)> {
        if !self.due {
            return None;
        }
        let one = |slot: &Slot| matches!(slot.state, State::One | State::OneHandled);
        let two = |slot: &Slot| {
            matches!(
                slot.state,
                State::Two { here: true } | State::TwoHandled { here: true }
            )
        };
        let firsts = [
            self.used().iter().position(one),
            self.used().iter().position(two),
        ];
        for at in firsts.into_iter().flatten() {
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
                State::TwoHandled { here: true } => {
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
        let state = at.and_then(|at| self.slots.get(at)).map(|slot| slot.state);
        if state != Some(State::Received) {
            self.extra = self.extra.saturating_add(1);
        }
        if let Some(at) = at {
            self.remove(at);
        }
        at.is_some()
    }

    /// A new connection. At QoS 1 the broker sends again what was not
    /// acknowledged; at QoS 2 we must know what we had, if it knows too.
    pub fn reconnect(&mut self, kept: bool, unsure: bool) {
        self.extra = 0;
        self.unsure = unsure;
        let mut at = 0;
        while let Some(slot) = self
            .slots
            .get_mut(at)
            .filter(|_| at < usize::from(self.len))
        {
            slot.state = match slot.state {
                State::Two { .. } => State::Two { here: false },
                State::TwoHandled { .. } | State::Received => State::TwoHandled { here: false },
                one => one,
            };
            if kept && slot.state.qos() == QoS::ExactlyOnce {
                at += 1;
            } else {
                self.remove(at);
            }
        }
    }
}
