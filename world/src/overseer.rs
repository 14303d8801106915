//! Whether the supervisor's orders make sense, seen from outside of it.

use aldis_device::{Order, Radio, Supervisor};
use aldis_mqtt::Instant;

use crate::invariant::Invariant;

/// Looks over the supervisor's shoulder.
pub(crate) struct Overseer {
    radio: Radio,
    /// When the radio was of use last, or the device started.
    useful_at: Instant,
    joined_at: Instant,
    ordered_at: Instant,
    /// Since when it is proven stuck.
    stuck_since: Option<Instant>,
    /// Orders since it was of use last, and how many of them started it again.
    orders: u32,
    starts: u32,
    /// Orders in a row to join again, without any proof that it is stuck.
    rejoins: u32,
}

/// What is wrong with an order, or with there being none.
type Wrong = (Invariant, String);

impl Overseer {
    pub fn new(now: Instant) -> Self {
        Self {
            radio: Radio::default(),
            useful_at: now,
            joined_at: now,
            ordered_at: now,
            stuck_since: None,
            orders: 0,
            starts: 0,
            rejoins: 0,
        }
    }

    /// The supervisor looked at this and gave this order, or none.
    pub fn looks(
        &mut self,
        radio: Radio,
        contact: bool,
        order: Option<Order>,
        now: Instant,
    ) -> Result<(), Wrong> {
        let before = std::mem::replace(&mut self.radio, radio);
        if contact || radio.heard != before.heard {
            self.useful_at = now;
            (self.orders, self.starts, self.rejoins) = (0, 0, 0);
        }
        if radio.joined && !before.joined {
            self.joined_at = now;
        }
        let stuck = radio.unresponsive || radio.joined && radio.blocked;
        self.stuck_since = match stuck {
            true => self.stuck_since.or(Some(now)),
            false => None,
        };
        match order {
            Some(order) => self.ordered(order, now),
            None => self.not_ordered(now),
        }
    }

    /// How long the radio is useless, not counting the time it has for an address.
    fn useless_ms(&self, now: Instant) -> u64 {
        let from = match self.radio.joined {
            true => self.useful_at.max(self.joined_at),
            false => self.useful_at,
        };
        now.since(from)
    }

    fn not_ordered(&self, now: Instant) -> Result<(), Wrong> {
        let Some(since) = self.stuck_since else {
            return Ok(());
        };
        let stuck_ms = now.since(since.max(self.ordered_at));
        match stuck_ms.min(self.useless_ms(now)) < Supervisor::DEAF_MS.into() {
            true => Ok(()),
            false => Err((
                Invariant::RadioHelped,
                format!("it is proven stuck since {stuck_ms} ms, and nothing is done"),
            )),
        }
    }

    fn ordered(&mut self, order: Order, now: Instant) -> Result<(), Wrong> {
        let Radio {
            joined,
            unresponsive,
            ..
        } = self.radio;
        let stuck = self.stuck_since.is_some();
        let useless_ms = self.useless_ms(now);
        let least_ms = match joined || stuck {
            true => Supervisor::DEAF_MS,
            false => Supervisor::ALONE_MS,
        };
        if useless_ms < least_ms.into() {
            let detail = format!("{order:?} {useless_ms} ms after it was of use, or joined");
            return Err((Invariant::RadioLeftAlone, detail));
        }
        self.ordered_at = now;
        self.orders += 1;
        self.rejoins = match order == Order::Rejoin && !stuck {
            true => self.rejoins + 1,
            false => 0,
        };
        let can_leave = joined && !unresponsive;
        let wrong = match order {
            Order::Rejoin if !can_leave => "it cannot leave what it has not joined",
            Order::Rejoin if self.rejoins > 2 => "joining again did not help twice",
            Order::Reinitialise if can_leave && self.orders == 1 => "joining again might do",
            Order::Reset if self.starts == 0 => "starting it again might do",
            Order::Rejoin | Order::Reset => return Ok(()),
            Order::Reinitialise => {
                self.starts += 1;
                return Ok(());
            }
        };
        Err((Invariant::HelpByDegrees, format!("{order:?}, but {wrong}")))
    }
}
