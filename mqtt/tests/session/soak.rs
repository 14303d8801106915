//! Anything in any order, for a long time.

use crate::common::{Booked, Chunks, Cut, End, Rig, Rng, Seen, Setup, at, options};
use aldis_mqtt::{
    Cause, Dropped, Options, Publication, PublishError, QoS, ReasonCode, SubscribeOptions, Token,
    Version, Versions,
};
use aldis_world::broker::codec::{PacketType, Qos, reason};
use aldis_world::broker::{Hang, Keep, Qos2Method};
use std::collections::BTreeMap;

const OUTBOX: usize = 1500;
const STEPS: usize = 3_000;
const QUALITIES: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// Says how to repeat a run that fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat with ALDIS_SOAK_SEED={}", self.0);
        }
    }
}

#[test]
fn nothing_is_lost_whatever_happens() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("ALDIS_SOAK_SEED") {
        Some(seed) => soak(seed),
        None => (0..number("ALDIS_SOAK_RUNS").unwrap_or(36)).for_each(soak),
    }
}

struct Soak {
    rig: Rig,
    rng: Rng,
    /// The broker may lose sessions.
    forgets: bool,
    /// Messages that have been looked for tokens, and the tokens that were not given back.
    looked: usize,
    tokens: Vec<(Token, Vec<u8>)>,
    /// What was refused, which comes again if that got lost.
    refused: Vec<Vec<u8>>,
    payload: u32,
}

fn soak(seed: u64) {
    let _seed = Seed(seed);
    let mut rng = Rng(seed);
    let version = [Version::V4, Version::V5, Version::V5][rng.below(3)];
    let versions = match rng.below(4) {
        0 => Versions::Any,
        _ => Versions::Only(version),
    };
    let mut setup = Setup::with(Options {
        versions,
        session_expiry_s: u32::MAX,
        receive_maximum: [1, 2, 5, 32][rng.below(4)],
        in_flight: [1, 3, 32][rng.below(3)],
        keep_alive_s: [0, 5, 15, 60][rng.below(4)],
        ..options(version)
    });
    setup.seed = seed;
    setup.outbox = OUTBOX;
    setup.receive = 256;
    setup.aliases_in = [0, 32, 200][rng.below(3)];
    setup.aliases_out = [0, 20, 100][rng.below(3)];
    setup.config.trace = false;
    setup.config.assign_topic_aliases = rng.below(2) == 0;
    setup.config.copy_per_subscription = false;
    setup.config.qos2_method = [Qos2Method::OnPublish, Qos2Method::OnPubRel][rng.below(2)];
    let mut rig = setup.rig();
    rig.chunks = match rng.below(3) {
        0 => Chunks::Whole,
        1 => Chunks::Bytes,
        _ => Chunks::Random(Rng(seed)),
    };
    rig.automatic = false;
    rig.connect();
    rig.subscribe("in/#", QoS::ExactlyOnce);
    rig.settle();
    let mut soak = Soak {
        rig,
        rng,
        forgets: seed % 2 == 1,
        looked: 0,
        tokens: Vec::new(),
        refused: Vec::new(),
        payload: 0,
    };
    for _ in 0..STEPS {
        soak.step();
        soak.rig.settle();
    }
    soak.heal();
    soak.check();
}

impl Soak {
    fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound)
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn step(&mut self) {
        match self.below(40) {
            0..10 => self.publish(),
            10..16 => self.other(),
            16..24 => self.acknowledge(),
            24..32 => {
                let ms = [1, 50, 700, 4_000][self.below(4)];
                self.rig.advance(ms);
            }
            32 => {
                let filter = ["out/1", "x/+", "$share/g/x"][self.below(3)];
                let qos = QUALITIES[self.below(3)];
                let options = SubscribeOptions {
                    qos,
                    ..SubscribeOptions::default()
                };
                // There may be no room.
                let _ = self.rig.session.subscribe(filter, options, None);
            }
            33 => {
                let filter = ["out/1", "x/+", "$share/g/x"][self.below(3)];
                let _ = self.rig.session.unsubscribe(filter);
            }
            34 if self.one_in(2) => {
                let unfinished: Vec<_> = self.unfinished().iter().map(|b| b.id).collect();
                if let Some(id) = unfinished.get(self.below(20)).copied()
                    && self.rig.session.withdraw(id)
                {
                    self.rig.end(id, End::Withdrawn);
                }
            }
            34 => {
                if let Some((id, _)) = self.rig.session.oldest_unsent() {
                    let booked = self.rig.book.iter().find(|b| b.id == id);
                    assert!(booked.is_some_and(|b| b.ends.is_empty()));
                    assert!(self.rig.session.withdraw(id));
                    self.rig.end(id, End::Withdrawn);
                }
            }
            35 => self.break_the_pipe(),
            36 => self.mend_the_pipe(),
            37 => self.break_the_broker(),
            38 => {
                let after = self.below(200);
                let up = self.one_in(2);
                let forget = self.forgets && self.one_in(2);
                let so_far = if up { self.rig.sent } else { self.rig.received };
                self.rig.cut = Some(Cut {
                    up,
                    after: so_far + after,
                    forget,
                    again: self.one_in(4),
                });
            }
            _ => {
                let now = at(self.rig.now);
                if self.one_in(4) {
                    self.rig.session.stop(now);
                }
                if self.one_in(2) {
                    self.rig.settle();
                }
                self.rig.session.start(now);
            }
        }
    }

    fn publish(&mut self) {
        self.payload += 1;
        let mut payload = self.payload.to_be_bytes().to_vec();
        payload.resize(4 + self.below(120), 0);
        let topic = ["out/1", "out/22", "out/333", "out/4444"][self.below(4)];
        let mut publication = Publication::new(topic, &payload);
        publication.qos = QUALITIES[self.below(3)];
        publication.retain = self.one_in(8);
        publication.latest = self.one_in(8);
        if self.one_in(6) {
            publication.expires_s = Some(self.below(20) as u32);
        }
        match self.rig.publish(&publication) {
            Ok(_) => assert!(self.rig.session.pending() > 0),
            Err(PublishError::NotConnected) => assert_eq!(publication.qos, QoS::AtMostOnce),
            Err(PublishError::Full | PublishError::TooLarge) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    fn other(&mut self) {
        self.payload += 1;
        let mut payload = self.payload.to_be_bytes().to_vec();
        payload.resize(4 + self.below(60), 0);
        let topic = ["in/1", "in/22", "in/a/long/topic/that/takes/memory"][self.below(3)];
        let qos = QUALITIES[self.below(3)];
        self.rig.other(topic, &payload, qos);
    }

    fn acknowledge(&mut self) {
        let new: Vec<_> = self.rig.messages().skip(self.looked).cloned().collect();
        self.looked += new.len();
        for message in new {
            let token = message.token.map(|token| (token, message.payload));
            self.tokens.extend(token);
        }
        if self.tokens.is_empty() {
            return;
        }
        let (token, payload) = match self.below(4) {
            0 => {
                let index = self.below(self.tokens.len());
                self.tokens.swap_remove(index)
            }
            _ => self.tokens.remove(0),
        };
        if self.one_in(20) {
            let reason = ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR;
            self.rig.session.refuse(token, reason);
            self.refused.push(payload);
        } else {
            self.rig.session.acknowledge(token);
        }
    }

    fn break_the_pipe(&mut self) {
        match self.below(5) {
            0 => self.rig.sever(),
            1 => self.rig.stalled = true,
            2 => self.rig.deaf = true,
            3 => self.rig.allowance = Some(self.rng.below(40)),
            _ => self.rig.reachable = false,
        }
    }

    fn mend_the_pipe(&mut self) {
        self.rig.stalled = false;
        self.rig.deaf = false;
        self.rig.allowance = None;
        self.rig.reachable = true;
    }

    fn break_the_broker(&mut self) {
        let now = self.rig.now;
        match self.below(8) {
            0 => {
                let keep = match self.forgets {
                    true => [Keep::Everything, Keep::Retained, Keep::Nothing][self.below(3)],
                    false => Keep::Everything,
                };
                self.change_the_broker();
                self.rig.broker.restart(keep, now);
            }
            1 => {
                let hang = [Hang::Reads, Hang::Writes, Hang::Both][self.below(3)];
                self.rig.broker.hang_all(hang, now);
            }
            2 | 3 => self.rig.broker.hang_all(Hang::Not, now),
            4 | 5 => {
                // Not what the order of messages rests upon.
                let kinds = [
                    PacketType::PubAck,
                    match self.rig.broker.config().qos2_method {
                        Qos2Method::OnPublish => PacketType::PubRec,
                        Qos2Method::OnPubRel => PacketType::PubComp,
                    },
                    PacketType::PubRel,
                    PacketType::PubComp,
                    PacketType::SubAck,
                    PacketType::UnsubAck,
                    PacketType::PingResp,
                ];
                let kind = kinds[self.below(kinds.len())];
                self.rig.broker.withhold(kind, 0, 1);
            }
            6 => self
                .rig
                .broker
                .kick("client", reason::SESSION_TAKEN_OVER, now),
            _ if self.forgets => {
                self.rig.sever();
                self.rig.broker.forget("client");
            }
            _ => {}
        }
    }

    /// What takes effect with a restart.
    fn change_the_broker(&mut self) {
        let receive_maximum = [1, 3, 20][self.below(3)];
        let maximum_packet_size = [None, None, Some(100)][self.below(3)];
        let topic_alias_maximum = [0, 2, 10][self.below(3)];
        let maximum_qos = [Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::ExactlyOnce][self.below(3)];
        let only_v5 = self.rig.options.versions == Versions::Only(Version::V5);
        let config = self.rig.broker.config_mut();
        config.receive_maximum = receive_maximum;
        config.topic_alias_maximum = topic_alias_maximum;
        // MQTT 3.1.1 cannot be told these, and a lower grant is another promise.
        if only_v5 && self.forgets {
            config.maximum_packet_size = maximum_packet_size;
            config.maximum_qos = maximum_qos;
        }
    }

    fn heal(&mut self) {
        self.mend_the_pipe();
        let rig = &mut self.rig;
        rig.cut = None;
        rig.session.start(at(rig.now));
        rig.broker.hang_all(Hang::Not, rig.now);
        rig.broker.withhold_nothing();
        rig.settle();
        // What the broker thinks it has sent comes again on a new connection only.
        rig.sever();
        for _ in 0..1_000 {
            self.acknowledge();
            self.rig.settle();
            if self.tokens.is_empty() {
                self.rig.advance(200);
            }
        }
        let done = |rig: &Rig| rig.all_ended() && rig.session.is_connected();
        let ended = self.rig.until(200_000, done);
        let last = self.rig.seen.len().saturating_sub(8);
        let (seen, unfinished) = (&self.rig.seen[last..], self.unfinished());
        assert!(ended, "{unfinished:?} after {seen:?}");
        for _ in 0..100 {
            self.acknowledge();
            self.rig.settle();
        }
    }

    fn unfinished(&self) -> Vec<&Booked> {
        let unfinished = |b: &&Booked| b.qos != QoS::AtMostOnce && b.ends.is_empty();
        self.rig.book.iter().filter(unfinished).collect()
    }

    fn check(&mut self) {
        self.ends();
        self.order();
        self.messages();
        self.causes();
        self.room();
        self.quota();
    }

    fn ends(&self) {
        let accepted = self.rig.accepted_by_topic();
        for booked in &self.rig.book {
            let key = (booked.topic.clone(), booked.payload.clone());
            let count = accepted.get(&key).copied().unwrap_or(0);
            if booked.qos == QoS::AtMostOnce {
                assert!(booked.ends.len() <= 1 && count <= 1, "{booked:?}");
                continue;
            }
            let once = booked.qos == QoS::ExactlyOnce && !self.forgets;
            assert!(!once || count <= 1, "{count} times: {booked:?}");
            match booked.ends[..] {
                [End::Delivered(_)] => assert!(count >= 1, "{booked:?}"),
                [End::Dropped(Dropped::SessionLost)] => {
                    // Or CONNACK got lost, and nobody can tell.
                    assert_eq!(booked.qos, QoS::ExactlyOnce);
                }
                // It may have been sent, without an answer.
                [End::Withdrawn] if booked.qos == QoS::AtLeastOnce => {}
                [End::Dropped(_) | End::Superseded | End::Withdrawn] => {
                    assert!(count == 0 || self.forgets, "{booked:?}");
                }
                _ => panic!("{booked:?}"),
            }
        }
        assert_eq!(self.rig.session.pending(), 0);
    }

    fn order(&self) {
        let rig = &self.rig;
        let places: BTreeMap<_, usize> = rig
            .book
            .iter()
            .enumerate()
            .map(|(place, booked)| (&booked.payload, place))
            .collect();
        let mut last: BTreeMap<(String, QoS), usize> = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for accepted in rig.broker.log() {
            if !seen.insert(&accepted.payload) {
                continue;
            }
            let place = places[&accepted.payload];
            let key = (accepted.topic.clone(), rig.book[place].qos);
            let before = last.insert(key, place);
            assert!(before.is_none_or(|before| before < place), "{accepted:?}");
        }
        let places: BTreeMap<_, usize> = rig
            .from_others
            .iter()
            .enumerate()
            .map(|(place, (_, payload, _))| (payload, place))
            .collect();
        let mut last: BTreeMap<(String, QoS), usize> = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for message in rig.messages() {
            let Some(place) = places.get(&message.payload).copied() else {
                continue;
            };
            if seen.insert(&message.payload) {
                let key = (message.topic.clone(), message.qos);
                let before = last.insert(key, place);
                assert!(before.is_none_or(|before| before < place), "{message:?}");
            }
        }
    }

    fn messages(&mut self) {
        let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
        for message in self.rig.messages() {
            *counts.entry(&message.payload).or_default() += 1;
        }
        for (topic, payload, qos) in &self.rig.from_others {
            let count = counts.get(&payload[..]).copied().unwrap_or(0);
            match qos {
                _ if self.forgets => {}
                QoS::AtMostOnce => assert!(count <= 1),
                QoS::AtLeastOnce => assert!(count >= 1, "{topic} {payload:?} got lost"),
                QoS::ExactlyOnce if self.refused.contains(payload) => assert!(count >= 1),
                QoS::ExactlyOnce => assert_eq!(count, 1, "{topic} {payload:?}"),
            }
        }
        // The subscription still holds.
        let before = self.rig.messages().count();
        self.rig.automatic = true;
        self.rig.other("in/probe", b"probe", QoS::ExactlyOnce);
        let held = self.rig.broker.session("client");
        let after = self.rig.messages().count();
        assert_eq!(after, before + 1, "{held:?} {:?}", self.rig.seen.last());
    }

    fn causes(&self) {
        for (index, (_, seen)) in self.rig.seen.iter().enumerate() {
            let Seen::Disconnected(cause) = *seen else {
                continue;
            };
            let fine = match cause {
                Cause::Protocol(fault) => fault == aldis_mqtt::wire::Fault::Quota,
                Cause::Disconnected(code) => code == ReasonCode::KEEP_ALIVE_TIMEOUT,
                _ => true,
            };
            let before = &self.rig.seen[index.saturating_sub(8)..=index];
            assert!(fine, "{cause:?} after {before:?}");
        }
    }

    /// Nothing leaks: a publication as large as can be fits again.
    fn room(&mut self) {
        for filter in ["in/#", "out/1", "x/+", "$share/g/x"] {
            let _ = self.rig.session.unsubscribe(filter);
        }
        self.rig.broker.config_mut().maximum_packet_size = None;
        self.rig.broker.config_mut().maximum_qos = Qos::ExactlyOnce;
        self.rig.broker.restart(Keep::Everything, self.rig.now);
        self.rig.advance(100);
        self.rig.connect();
        self.rig.advance(100);
        let largest = vec![b'x'; OUTBOX - 25 - 3 - 2 - 1];
        self.rig.send("t", &largest, QoS::AtLeastOnce);
        assert!(self.rig.until(1_000, Rig::all_ended));
    }

    /// The count of publications under way is right: as many go out as may.
    fn quota(&mut self) {
        let allowed = match self.rig.session.version() {
            Version::V5 => usize::from(self.rig.broker.config().receive_maximum),
            Version::V4 => usize::MAX,
        };
        let in_flight = usize::from(self.rig.options.in_flight);
        self.rig.broker.take_log();
        self.rig.deaf = true;
        for _ in 0..40 {
            self.rig.send("t", b"x", QoS::AtLeastOnce);
        }
        self.rig.settle();
        assert_eq!(self.rig.broker.log().len(), 40.min(allowed).min(in_flight));
        self.rig.deaf = false;
        self.rig.settle();
        assert!(self.rig.all_ended());
    }
}
