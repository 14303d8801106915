//! One device: its chip, its code, its home, its connection.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use aldis_mqtt::{Version, Versions};

use crate::env::{Env, SharedFlash};
use crate::fault::FaultSet;
use crate::flash::Flash;
use crate::life::Birth;
use crate::log::Log;
use crate::plan::{Plan, Script};
use crate::report::Lane;
use crate::rng::Rng;
use crate::witness::Witness;

use super::faults::Active;
use super::home::{Names, Router, Wifi};
use super::tcp::{Leaving, Tcp};

/// How many pages a device's flash has: enough that each message, note and reading has room.
const PAGES: usize = 12;

/// A clock that is not quite right.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    base: u64,
    local_base: u64,
    /// Millionths that it is too fast.
    ppm: i64,
}

impl Clock {
    /// Starts at zero.
    pub fn start(&mut self, now: u64) {
        self.base = now;
        self.local_base = 0;
    }

    /// Goes at another speed from now on.
    pub fn drift(&mut self, ppm: i64, now: u64) {
        self.local_base = self.local(now);
        self.base = now;
        self.ppm = ppm;
    }

    /// What it shows.
    #[inline]
    pub fn local(&self, now: u64) -> u64 {
        let since = now - self.base;
        match self.ppm {
            0 => self.local_base + since,
            ppm => self.local_base + (since as i64 + since as i64 * ppm / 1_000_000) as u64,
        }
    }

    /// When it will show that, at the earliest.
    #[inline]
    pub fn global(&self, local: u64) -> u64 {
        let since = local.saturating_sub(self.local_base);
        if self.ppm == 0 {
            return self.base + since;
        }
        let wide = u128::from(since) * 1_000_000 / (1_000_000 + self.ppm) as u128;
        let mut at = self.base + u64::try_from(wide).unwrap_or(u64::MAX / 2).min(1 << 50);
        while at > self.base && self.local(at - 1) >= local {
            at -= 1;
        }
        while self.local(at) < local {
            at += 1;
        }
        at
    }
}

/// The names of a device's topics.
#[derive(Clone, Debug)]
pub(crate) struct TopicNames {
    pub prefix: String,
    pub climate: String,
    pub diag: String,
    pub led: String,
    pub led_set: String,
    pub sensor: String,
    pub status: String,
    pub ack: String,
    pub message_set: String,
    pub message_state: String,
    pub answer: String,
    pub start: String,
    pub restart: String,
    /// Where answers go to who wants them there.
    pub response: String,
}

pub(crate) struct Node {
    pub id: String,
    pub topics: TopicNames,
    pub birth: Birth,
    pub env: Rc<Env>,
    pub flash: SharedFlash,
    pub life: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// Counts its lives, those without power as well.
    pub lives: u32,
    pub boots: u32,
    pub off_why: &'static str,
    pub wake_at: u64,
    pub turned_at: u64,
    pub turns_now: u32,
    pub clock: Clock,
    pub rng: Rng,
    pub wifi: Wifi,
    pub lease: u32,
    pub dhcp_epoch: u32,
    pub names: Names,
    pub routers: Vec<Router>,
    pub latency: u64,
    /// An attempt to connect that nobody answers is repeated each second, as the virtual device
    /// does; a board knocks.
    pub races: bool,
    pub tcp: Option<Tcp>,
    pub gen_: u32,
    pub leaving: Vec<Leaving>,
    /// Connections that nobody closes at the broker but itself.
    pub abandoned: Vec<crate::broker::ConnId>,
    pub rival: Option<crate::broker::ConnId>,
    pub active: Active,
    pub calm_since: u64,
    /// What has gone wrong since contact was sure, and whether it was lost.
    pub causes: FaultSet,
    pub contact_lost: bool,
    pub was_connected: bool,
    /// The broker lost the will with the session.
    pub will_lost: bool,
    pub heard_at: u64,
    pub lane: Lane,
}

impl Node {
    pub fn new(index: usize, plan: &Plan, rng: &Rng, log: &Rc<RefCell<Log>>) -> Self {
        let mut rng = rng.fork(1_000 + index as u64);
        let id = format!("d{index}");
        let topic = |what: &str| format!("aldis/{id}/{what}");
        // Each kind of device is there, and the first ones differ.
        let random = plan.script == Script::Random;
        let confirm = match plan.script {
            Script::Reference(_) => true,
            _ => index % 8 == 3,
        };
        let versions = match index % 4 {
            1 => Versions::Only(Version::V4),
            2 => Versions::Only(Version::V5),
            _ => Versions::Any,
        };
        let interval_ms = match (random, index % 10) {
            (true, 5) => 60_000,
            (true, 9) => 1_000,
            _ => 5_000,
        };
        let keep_alive_s = match (random, index % 7) {
            (true, 4) => 60,
            (true, 6) => 5,
            _ => 15,
        };
        let flash = SharedFlash(Rc::new(RefCell::new(Flash::new(PAGES))));
        let witness = Witness::new(index as u32, confirm, plan.policy, log.clone());
        let between = if random { rng.below(3) } else { 0 };
        let routers = (0..between).map(|_| Router {
            expiry_ms: rng.between(120_000, 3_600_000),
            restarts: 0,
            resets: rng.percent(50),
        });
        let routers = routers.collect();
        let mut clock = Clock::default();
        if random && index % 2 == 1 {
            clock.ppm = rng.between(0, 100) as i64 - 50;
        }
        Self {
            topics: TopicNames {
                prefix: topic(""),
                climate: topic("climate"),
                diag: topic("diag"),
                led: topic("led"),
                led_set: topic("led/set"),
                sensor: topic("sensor"),
                status: topic("status"),
                ack: topic("climate/ack"),
                message_set: topic("message/set"),
                message_state: topic("message/state"),
                answer: topic("answer"),
                start: topic("start"),
                restart: topic("restart"),
                response: topic("asked"),
            },
            birth: Birth {
                id: id.clone(),
                seed: 0,
                confirm,
                versions,
                interval_ms: plan.interval_ms.unwrap_or(interval_ms),
                keep_alive_s,
                dawdles: index.is_multiple_of(3),
                pages: PAGES as u32,
                // Two and two talk to each other, but for some.
                peer: (index % 6 < 4).then(|| format!("d{}", index ^ 1)),
                display: index % 4 != 3,
                why: "power",
            },
            id,
            env: Rc::new(Env::new(witness, rng.fork(2))),
            flash,
            life: None,
            lives: 0,
            boots: 0,
            off_why: "",
            wake_at: u64::MAX,
            turned_at: u64::MAX,
            turns_now: 0,
            clock,
            wifi: Wifi::new(),
            lease: 1,
            dhcp_epoch: 0,
            names: Names::default(),
            routers,
            latency: match random {
                true => rng.between(1, 25),
                false => 1,
            },
            races: index.is_multiple_of(2),
            tcp: None,
            gen_: 0,
            leaving: Vec::new(),
            abandoned: Vec::new(),
            rival: None,
            active: Active::default(),
            calm_since: 0,
            causes: FaultSet::NONE,
            contact_lost: true,
            was_connected: false,
            will_lost: false,
            heard_at: 0,
            lane: Lane::default(),
            rng,
        }
    }

    /// How often its routers have restarted.
    pub fn restarts(&self) -> u32 {
        self.routers.iter().map(|router| router.restarts).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A deadline that comes a millisecond early makes a device turn without end.
    #[test]
    fn deadlines_come_when_the_clock_shows_them() {
        for ppm in [0, 50, -50, 20_000, -20_000] {
            let mut clock = Clock::default();
            clock.start(1_000);
            clock.drift(ppm, 5_000);
            let mut last = 0;
            for now in 5_000..15_000 {
                let local = clock.local(now);
                assert!(local >= last && local <= last + 2 || last == 0);
                last = local;
                let at = clock.global(local + 7);
                assert!(clock.local(at) >= local + 7 && clock.local(at - 1) < local + 7);
            }
        }
    }
}
