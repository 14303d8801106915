//! What can be made to go wrong.

use super::codec::PacketType;
use alloc::vec::Vec;

/// Which side of a connection a hung broker has stopped serving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hang {
    /// It works.
    #[default]
    Not,
    /// It takes bytes but does not look at them; what others publish still comes out.
    Reads,
    /// It looks at bytes, but nothing comes out.
    Writes,
    /// Neither; the connection is open and dead.
    Both,
}

impl Hang {
    pub(super) fn reads(self) -> bool {
        matches!(self, Self::Reads | Self::Both)
    }

    pub(super) fn writes(self) -> bool {
        matches!(self, Self::Writes | Self::Both)
    }
}

/// What a broker still has after [`restart`](super::Broker::restart).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Sessions and retained messages.
    Everything,
    /// Retained messages, no sessions.
    Retained,
    /// Nothing.
    Nothing,
}

/// Packets of one kind that the broker fails to send.
#[derive(Clone, Copy, Debug)]
struct Withheld {
    kind: PacketType,
    skip: u32,
    count: u32,
}

/// The faults that are in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    withheld: Vec<Withheld>,
    pub(super) publish_code: Option<u8>,
    pub(super) subscribe_code: Option<u8>,
    pub(super) hang_new: Hang,
}

impl Faults {
    pub(super) fn withhold(&mut self, kind: PacketType, skip: u32, count: u32) {
        self.withheld.push(Withheld { kind, skip, count });
    }

    pub(super) fn clear_withheld(&mut self) {
        self.withheld.clear();
    }

    /// Whether none of them is about packets.
    pub(super) fn is_quiet(&self) -> bool {
        self.withheld.is_empty() && self.publish_code.is_none()
    }

    /// Whether a packet that is about to be sent must vanish.
    pub(super) fn swallows(&mut self, kind: PacketType) -> bool {
        for entry in self.withheld.iter_mut().filter(|entry| entry.kind == kind) {
            if entry.skip > 0 {
                entry.skip -= 1;
            } else if entry.count > 0 {
                entry.count = if entry.count == u32::MAX {
                    u32::MAX
                } else {
                    entry.count - 1
                };
                return true;
            }
        }
        false
    }
}
