//! When a board's radio is to be helped, and whether the device gets on.
//!
//! The session tries again by itself, each time with a name that is resolved
//! anew, and so does the radio's driver while it has not joined a network. What
//! neither of them sees is a radio that says it is joined while nothing comes
//! through. Then the supervisor climbs, a rung at a time: join again, start the
//! radio again and, only for one that is proven stuck, restart the chip. An
//! absent access point, gateway or broker proves nothing.

use aldis_mqtt::Instant;

/// What the supervisor wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Leave the network and join it again.
    Rejoin,
    /// Stop the radio and start it again.
    Reinitialise,
    /// Restart the chip: the radio is stuck, and starting it again did not help.
    Reset,
}

/// What a board knows of its radio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Radio {
    /// It says that it has joined a network.
    pub joined: bool,
    /// How many frames it received that were meant for this device alone.
    pub heard: u32,
    /// It takes no frames although some wait.
    pub blocked: bool,
    /// It left a command unanswered.
    pub unresponsive: bool,
    /// Counts the turns of the task that runs it.
    pub turns: u32,
    /// Counts how often the network stack was run.
    pub polls: u32,
}

/// Watches the radio, and whether its task gets on.
#[derive(Debug)]
pub struct Supervisor {
    radio: Radio,
    /// Since when the radio is as useless as it is now.
    useless_since: Instant,
    /// When it joined its network.
    joined_at: Instant,
    /// When its task was seen to get on, and when the network stack was.
    turned_at: Instant,
    polled_at: Instant,
    /// How many orders were given since it was last useful.
    orders: u32,
    /// How many of them in a row, up to the last, found the radio proven stuck.
    proofs: u32,
}

impl Supervisor {
    /// How long a radio may be joined without anything coming through, in
    /// milliseconds. It doubles with each order that did not help.
    pub const DEAF_MS: u32 = 60_000;
    /// How long a radio may have joined nothing before it is started again: an
    /// access point may keep a stale association for 90 s. It doubles likewise.
    pub const ALONE_MS: u32 = 600_000;
    /// The longest wait before the next order.
    pub const CAP_MS: u32 = 3_600_000;
    /// How long the task of the radio, and that of the network stack, may take for
    /// a turn. Longer, and the watchdog is not fed any more.
    pub const TURN_MS: u32 = 120_000;

    /// Begins to watch.
    pub const fn new(now: Instant) -> Self {
        Self {
            radio: Radio {
                joined: false,
                heard: 0,
                blocked: false,
                unresponsive: false,
                turns: 0,
                polls: 0,
            },
            useless_since: now,
            joined_at: now,
            turned_at: now,
            polled_at: now,
            orders: 0,
            proofs: 0,
        }
    }

    /// Looks at the radio, at least every few seconds; `contact` is whether the
    /// broker answers. Says what is to be done.
    pub fn watch(&mut self, radio: Radio, contact: bool, now: Instant) -> Option<Order> {
        let before = core::mem::replace(&mut self.radio, radio);
        if radio.turns != before.turns {
            self.turned_at = now;
        }
        if radio.polls != before.polls {
            self.polled_at = now;
        }
        if radio.joined && !before.joined {
            self.joined_at = now;
        }
        if contact || radio.heard != before.heard {
            self.useless_since = now;
            self.orders = 0;
            self.proofs = 0;
            return None;
        }
        // A network that was found may still need an address: it has its time.
        if radio.joined && now.since(self.joined_at) < Self::DEAF_MS.into() {
            return None;
        }
        let stuck = radio.unresponsive || radio.joined && radio.blocked;
        let first_ms = match radio.joined || stuck {
            true => Self::DEAF_MS,
            false => Self::ALONE_MS,
        };
        // What is proven needs no patience.
        let patience_ms = match stuck {
            true => first_ms,
            false => first_ms
                .saturating_mul(1_u32.checked_shl(self.orders).unwrap_or(u32::MAX))
                .min(Self::CAP_MS),
        };
        if now.since(self.useless_since) < patience_ms.into() {
            return None;
        }
        self.useless_since = now;
        self.orders = self.orders.saturating_add(1).min(16);
        self.proofs = match stuck {
            true => self.proofs.saturating_add(1),
            false => 0,
        };
        Some(match (stuck, self.proofs, radio.joined) {
            // Joined again and started again, in vain.
            (true, 3.., _) => Order::Reset,
            (true, 2, _) => Order::Reinitialise,
            (true, _, true) if !radio.unresponsive => Order::Rejoin,
            (true, _, _) => {
                // One that does not answer cannot be told to leave.
                self.proofs = 2;
                Order::Reinitialise
            }
            (false, _, true) if !self.orders.is_multiple_of(3) => Order::Rejoin,
            (false, _, _) => Order::Reinitialise,
        })
    }

    /// Whether everything gets on, so that the watchdog may be fed. The loop that
    /// asks gets on itself.
    pub fn is_alive(&self, now: Instant) -> bool {
        let last = self.turned_at.min(self.polled_at);
        now.since(last) < Self::TURN_MS.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A supervisor that is asked each second.
    struct Watch {
        supervisor: Supervisor,
        radio: Radio,
        contact: bool,
        now: u64,
    }

    impl Watch {
        fn new(radio: Radio) -> Self {
            Self {
                supervisor: Supervisor::new(Instant::from_millis(0)),
                radio,
                contact: false,
                now: 0,
            }
        }

        /// The orders within so many seconds, with their second.
        fn run(&mut self, seconds: u64) -> Vec<(u64, Order)> {
            let mut orders = Vec::new();
            for _ in 0..seconds {
                self.now += 1_000;
                self.radio.turns += 1;
                self.radio.polls += 1;
                let now = Instant::from_millis(self.now);
                let order = self.supervisor.watch(self.radio, self.contact, now);
                orders.extend(order.map(|order| (self.now / 1_000, order)));
            }
            orders
        }
    }

    const JOINED: Radio = Radio {
        joined: true,
        heard: 0,
        blocked: false,
        unresponsive: false,
        turns: 0,
        polls: 0,
    };

    const DAY: u64 = 86_400;

    /// A chip that resets because the broker is down loses what it has.
    #[test]
    fn an_absent_broker_is_no_reason() {
        let mut watch = Watch::new(JOINED);
        for _ in 0..DAY / 15 {
            watch.radio.heard += 1; // the gateway answers for its address
            assert_eq!(watch.run(15), []);
        }
        watch.contact = true;
        watch.radio.blocked = true;
        assert_eq!(watch.run(DAY), []);
    }

    /// Joined, and nothing gets through: nobody but the supervisor notices.
    #[test]
    fn a_deaf_radio_joins_again_then_starts_again() {
        let mut watch = Watch::new(JOINED);
        let orders = watch.run(2 * DAY);
        assert_eq!(
            orders[..4],
            [
                (61, Order::Rejoin),
                (181, Order::Rejoin),
                (421, Order::Reinitialise),
                (901, Order::Rejoin),
            ]
        );
        // A gateway that is gone proves nothing, for however long.
        assert!(orders.iter().all(|(_, order)| *order != Order::Reset));
        assert!(orders.len() < 60, "{orders:?}");
        watch.radio.heard += 1;
        assert_eq!(watch.run(60), []);
        assert_eq!(watch.run(1), [(2 * DAY + 61, Order::Rejoin)]);
    }

    /// Frames pile up in the driver: only a restart of the chip helps at last.
    #[test]
    fn a_radio_that_takes_nothing_is_proven_stuck() {
        let mut watch = Watch::new(Radio {
            blocked: true,
            ..JOINED
        });
        assert_eq!(
            watch.run(200),
            [
                (61, Order::Rejoin),
                (121, Order::Reinitialise),
                (181, Order::Reset)
            ]
        );
        // Helped by the second rung.
        let mut watch = Watch::new(Radio {
            blocked: true,
            ..JOINED
        });
        assert_eq!(watch.run(121).len(), 2);
        watch.radio.blocked = false;
        let orders = watch.run(DAY);
        assert!(orders.iter().all(|(_, order)| *order != Order::Reset));
    }

    /// A driver that does not answer cannot be asked to leave the network.
    #[test]
    fn a_radio_that_does_not_answer_is_started_again() {
        let mut watch = Watch::new(Radio {
            unresponsive: true,
            ..Radio::default()
        });
        assert_eq!(
            watch.run(150),
            [(60, Order::Reinitialise), (120, Order::Reset)]
        );
        // Nor one that believes itself joined.
        let mut watch = Watch::new(Radio {
            unresponsive: true,
            ..JOINED
        });
        assert_eq!(
            watch.run(150),
            [(61, Order::Reinitialise), (121, Order::Reset)]
        );
    }

    /// No access point: trying goes on, the radio is started again now and then,
    /// and the chip stays up.
    #[test]
    fn an_absent_access_point_is_no_reason() {
        let mut watch = Watch::new(Radio::default());
        let orders = watch.run(7 * DAY);
        assert_eq!(orders[0], (600, Order::Reinitialise));
        assert!(
            orders
                .iter()
                .all(|(_, order)| *order == Order::Reinitialise)
        );
        assert!((7 * 24..8 * 24).contains(&orders.len()), "{}", orders.len());
    }

    /// A new network is left before it gives an address.
    #[test]
    fn joining_gives_time() {
        let mut watch = Watch::new(Radio::default());
        watch.run(599);
        watch.radio.joined = true;
        assert_eq!(watch.run(60), []);
        assert_eq!(watch.run(1), [(660, Order::Rejoin)]);
    }

    /// A task that hangs is not noticed by anybody who hangs with it.
    #[test]
    fn a_task_that_does_not_get_on_is_not_alive() {
        let mut watch = Watch::new(JOINED);
        watch.run(30);
        let now = watch.now;
        let at = |ms| Instant::from_millis(now + ms);
        assert!(watch.supervisor.is_alive(at(119_999)));
        watch.supervisor.watch(watch.radio, true, at(119_999));
        assert!(!watch.supervisor.is_alive(at(120_000)));
        watch.radio.turns += 1;
        watch.supervisor.watch(watch.radio, true, at(120_000));
        assert!(!watch.supervisor.is_alive(at(120_001)), "the stack hangs");
        watch.radio.polls += 1;
        watch.supervisor.watch(watch.radio, true, at(120_002));
        assert!(watch.supervisor.is_alive(at(239_999)));
    }

    /// An access point that throws out whoever has said nothing for a minute: no
    /// rung would ever be reached.
    #[test]
    fn a_radio_that_comes_and_goes_is_helped() {
        let mut watch = Watch::new(Radio::default());
        let mut orders = Vec::new();
        for _ in 0..DAY / 55 {
            watch.radio.joined = true;
            orders.extend(watch.run(54));
            watch.radio.joined = false;
            orders.extend(watch.run(1));
        }
        assert!(orders.len() > 10, "{orders:?}");
        assert!(
            orders
                .iter()
                .all(|(_, order)| *order == Order::Reinitialise)
        );
    }

    /// A proof of before would restart the chip for nothing.
    #[test]
    fn proofs_do_not_outlive_what_they_prove() {
        let mut watch = Watch::new(Radio {
            blocked: true,
            ..JOINED
        });
        assert_eq!(watch.run(130).len(), 2);
        watch.radio.heard += 1;
        watch.run(1);
        assert_eq!(watch.run(60), [(191, Order::Rejoin)]);
        // An order without a proof begins the proofs anew.
        watch.radio.blocked = false;
        assert_eq!(watch.run(600).len(), 2);
        watch.radio.blocked = true;
        let orders = watch.run(120);
        assert_eq!(orders.first().map(|(_, order)| *order), Some(Order::Rejoin));
    }
}
