//! A session with a broker, a network and an application around it, all of
//! which do what the input says.
//!
//! The input is read from the front, a byte for each choice, so that corpora can
//! be written by hand: eight bytes of [`Setup`], then operations (see [`op`]).

use std::collections::{BTreeSet, VecDeque};

use aldis_mqtt::{
    Buffers, CleanStart, Event, Instant, Network, Options, Publication, PublicationId,
    PublishError, QoS, ReasonCode, Session, SubscribeOptions, Token, Transport, Version, Versions,
    wire::Property,
};
use aldis_world::broker::codec::{self, Qos};
use aldis_world::broker::{Broker, Config, ConnId, Message};
use arbitrary::{Result, Unstructured};

/// What an operation's first byte means, modulo [`op::COUNT`].
#[allow(missing_docs, reason = "said in `Rig::step`")]
pub mod op {
    pub const CARRY: u8 = 0;
    pub const RAW: u8 = 1;
    pub const OPEN: u8 = 2;
    pub const TRANSMIT: u8 = 3;
    pub const DELIVER: u8 = 4;
    pub const PUBLISH: u8 = 5;
    pub const SUBSCRIBE: u8 = 6;
    pub const UNSUBSCRIBE: u8 = 7;
    pub const ACKNOWLEDGE: u8 = 8;
    pub const WAIT: u8 = 9;
    pub const CUT: u8 = 10;
    pub const STOP: u8 = 11;
    pub const START: u8 = 12;
    pub const WITHDRAW: u8 = 13;
    pub const OTHER: u8 = 14;
    pub const FORGET: u8 = 15;
    pub const COUNT: u8 = 16;
}

/// More operations than this only repeat.
const OPERATIONS: usize = 300;
/// More of anything in one operation would be spinning: the buffers hold far
/// less.
const BOUND: usize = 1_500;

const TOPICS: [&str; 4] = ["t", "a/b", "a/rather/long/topic/name", "ž"];
const FILTERS: [&str; 6] = ["t", "a/+", "#", "$share/g/t", "a/rather/#", "nobody/sends"];
const WAITS: [u64; 8] = [1, 100, 1_000, 5_000, 10_000, 16_000, 90_000, 5_000_000_000];

/// How session and broker are made.
struct Setup {
    receive: usize,
    outbox: usize,
    inbound_aliases: usize,
    outbound_aliases: usize,
    options: Options<'static>,
    config: Config,
}

impl Setup {
    fn read(u: &mut Unstructured<'_>) -> Result<Self> {
        let [a, b, c, d, e, f, g, h]: [u8; 8] = u.arbitrary()?;
        let options = Options {
            client_id: if a & 1 == 0 { "c" } else { "" },
            versions: match a >> 1 & 3 {
                0 => Versions::Only(Version::V4),
                1 | 2 => Versions::Only(Version::V5),
                _ => Versions::Any,
            },
            clean_start: match a >> 3 & 3 {
                0 => CleanStart::Never,
                1 => CleanStart::Always,
                _ => CleanStart::First,
            },
            keep_alive_s: if a & 32 == 0 { 15 } else { 0 },
            receive_maximum: u16::from(b & 15),
            in_flight: u16::from(b >> 4),
            ..Options::new("c")
        };
        // An id that MQTT 3.1.1 can do without would be refused for ever.
        let options = Options {
            client_id: match options.versions {
                Versions::Only(Version::V5) => options.client_id,
                _ => "c",
            },
            ..options
        };
        let config = Config {
            receive_maximum: 1 + u16::from(c & 15),
            maximum_packet_size: (c & 16 != 0).then_some(96),
            topic_alias_maximum: u16::from(c >> 5),
            assign_topic_aliases: d & 1 != 0,
            maximum_qos: Qos::from_number(d >> 1 & 3).unwrap_or(Qos::ExactlyOnce),
            retain_available: d & 8 == 0,
            shared_available: d & 16 == 0,
            wildcards_available: d & 32 == 0,
            subscription_ids_available: d & 64 == 0,
            server_keep_alive: (d & 128 != 0).then_some(7),
            ..Config::default()
        };
        Ok(Self {
            receive: 64 + usize::from(e) * 2,
            outbox: 64 + usize::from(f) * 4,
            inbound_aliases: usize::from(g),
            outbound_aliases: usize::from(h),
            options,
            config,
        })
    }
}

/// Runs a session through everything that the input says, then lets the world
/// be kind to it and sees that it keeps its promises.
pub fn run(bytes: &[u8]) {
    record(bytes);
}

/// What was said in a run.
#[derive(Debug, Default)]
pub struct Record {
    /// The same input, with the broker's bytes written out as bytes from the
    /// network.
    pub script: Vec<u8>,
    /// The packets of both sides.
    pub packets: BTreeSet<Vec<u8>>,
}

/// As [`run`], and keeps what was said.
pub fn record(bytes: &[u8]) -> Record {
    let mut u = Unstructured::new(bytes);
    let Ok(setup) = Setup::read(&mut u) else {
        return Record::default();
    };
    let (mut receive, mut outbox) = (vec![0; setup.receive], vec![0; setup.outbox]);
    let mut inbound_aliases = vec![0; setup.inbound_aliases];
    let mut outbound_aliases = vec![0; setup.outbound_aliases];
    let mut slots = [aldis_mqtt::Slot::EMPTY; 64];
    let buffers = Buffers {
        receive: &mut receive,
        outbox: &mut outbox,
        slots: &mut slots,
        inbound_aliases: &mut inbound_aliases,
        outbound_aliases: &mut outbound_aliases,
    };
    let now = 1_000;
    let Ok(session) = Session::new(setup.options, buffers, 1, Instant::from_millis(now)) else {
        return Record::default();
    };
    let mut rig = Rig {
        session,
        now,
        broker: Broker::new(setup.config),
        number: None,
        conn: None,
        inbox: VecDeque::new(),
        moved: 0,
        sent: Vec::new(),
        version: None,
        tokens: Vec::new(),
        outstanding: BTreeSet::new(),
        fleeting: BTreeSet::new(),
        record: Record {
            script: bytes.get(..8).unwrap_or(&[]).to_vec(),
            packets: BTreeSet::new(),
        },
    };
    for _ in 0..OPERATIONS {
        let before = u.len();
        if before == 0 || rig.step(&mut u).is_err() {
            break;
        }
        rig.settle();
        let at = bytes.len() - before;
        let read = bytes.get(at..bytes.len() - u.len());
        rig.record.script.extend(read.unwrap_or(&[]));
    }
    let record = std::mem::take(&mut rig.record);
    rig.heal();
    record
}

struct Rig<'b> {
    session: Session<'b>,
    now: u64,
    broker: Broker,
    /// The connection that the session wanted last.
    number: Option<u16>,
    /// It is open.
    conn: Option<ConnId>,
    /// Bytes on their way to the session.
    inbox: VecDeque<u8>,
    /// How many bytes went either way.
    moved: usize,
    /// Bytes that the session sent and that are not yet a packet.
    sent: Vec<u8>,
    /// As its CONNECT said.
    version: Option<codec::Version>,
    tokens: Vec<Token>,
    /// Accepted at QoS 1 and 2, and not reported.
    outstanding: BTreeSet<PublicationId>,
    /// Accepted at QoS 0.
    fleeting: BTreeSet<PublicationId>,
    record: Record,
}

impl Rig<'_> {
    fn instant(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    /// One operation.
    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.arbitrary::<u8>()? % op::COUNT {
            // Everything in both directions, as a good network does it.
            op::CARRY => self.carry(),
            // Bytes that the broker did not send.
            op::RAW => {
                let len = usize::from(u.arbitrary::<u8>()?).min(u.len());
                let bytes = u.bytes(len)?;
                if self.conn.is_some() {
                    self.inbox.extend(bytes);
                    self.deliver(usize::MAX);
                }
            }
            op::OPEN => self.open(),
            // Some bytes only: the rest is stalled.
            op::TRANSMIT => {
                let most = u.arbitrary::<u8>()?;
                self.transmit(most.into());
            }
            op::DELIVER => {
                self.fetch();
                let most = u.arbitrary::<u8>()?;
                self.deliver(most.into());
            }
            op::PUBLISH => {
                let how: [u8; 2] = u.arbitrary()?;
                self.publish(how);
            }
            op::SUBSCRIBE => {
                let [filter, how]: [u8; 2] = u.arbitrary()?;
                let options = SubscribeOptions {
                    qos: QoS::from_bits(how & 3).unwrap_or_default(),
                    no_local: how & 4 != 0,
                    retain_as_published: how & 8 != 0,
                    ..SubscribeOptions::default()
                };
                let identifier = (how & 16 != 0).then_some(u32::from(how) * 2_000_000);
                let filter = FILTERS[usize::from(filter) % FILTERS.len()];
                // The outbox may be full.
                let _ = self.session.subscribe(filter, options, identifier);
            }
            op::UNSUBSCRIBE => {
                let filter = usize::from(u.arbitrary::<u8>()?) % FILTERS.len();
                let _ = self.session.unsubscribe(FILTERS[filter]);
            }
            op::ACKNOWLEDGE => {
                let which = u.arbitrary::<u8>()?;
                if !self.tokens.is_empty() {
                    let at = usize::from(which >> 1) % self.tokens.len();
                    let token = self.tokens.remove(at);
                    match which & 1 {
                        0 => self.session.acknowledge(token),
                        _ => self.session.refuse(token, ReasonCode::QUOTA_EXCEEDED),
                    }
                }
            }
            op::WAIT => {
                let which = usize::from(u.arbitrary::<u8>()?);
                match WAITS.get(which % (WAITS.len() + 1)) {
                    Some(ms) => self.now += ms,
                    None => self.wait_for_deadline(),
                }
            }
            op::CUT => {
                let network = match u.arbitrary::<u8>()? % 3 {
                    0 => Network::Closed,
                    1 => Network::Reset,
                    _ => Network::TimedOut,
                };
                self.session.failed(network, self.instant());
            }
            op::STOP => self.session.stop(self.instant()),
            op::START => self.session.start(self.instant()),
            op::WITHDRAW => {
                let oldest = self.session.oldest_unsent().map(|(id, _)| id);
                if let Some(id) = oldest {
                    assert!(self.session.withdraw(id), "it was said to be unsent");
                    self.end(id);
                }
            }
            // Another client publishes.
            op::OTHER => {
                let how = u.arbitrary::<u8>()?;
                let message = Message {
                    topic: TOPICS[usize::from(how >> 2) % TOPICS.len()].into(),
                    payload: vec![how; usize::from(how >> 4) * 8],
                    qos: Qos::from_number(how & 3).unwrap_or_default(),
                    ..Message::default()
                };
                self.broker.publish(message, self.now);
            }
            // The broker forgets the session.
            _ => self.broker.forget("c"),
        }
        Ok(())
    }

    fn publish(&mut self, [how, more]: [u8; 2]) {
        let qos = QoS::from_bits(how & 3).unwrap_or(QoS::AtLeastOnce);
        let user = [Property::UserProperty("name", "value")];
        let payload = [how; 256];
        let mut publication = Publication::new(
            TOPICS[usize::from(how >> 2 & 3)],
            &payload[..usize::from(more)],
        )
        .qos(qos);
        publication.retain = how & 16 != 0;
        publication.latest = how & 32 != 0;
        publication.expires_s = (how & 64 != 0).then_some(u32::from(more));
        if how & 128 != 0 {
            publication = publication.with(&user);
        }
        match self.session.publish(&publication, self.instant()) {
            Ok(published) => {
                let fresh = match qos {
                    QoS::AtMostOnce => self.fleeting.insert(published.id),
                    _ => self.outstanding.insert(published.id),
                };
                assert!(fresh, "an id was given twice");
                if let Some(id) = published.superseded {
                    self.end(id);
                }
            }
            Err(PublishError::InvalidTopic | PublishError::InvalidProperty) => {
                panic!("a valid publication was refused")
            }
            Err(_) => {}
        }
    }

    /// The end of a publication was told: the first time, and the only one.
    fn end(&mut self, id: PublicationId) {
        let known = self.outstanding.remove(&id) || self.fleeting.remove(&id);
        assert!(known, "{id:?} was reported twice, or never accepted");
    }

    /// The driver opens the connection that is wanted.
    fn open(&mut self) {
        self.follow();
        if let Transport::Open(_) = self.session.transport()
            && self.conn.is_none()
        {
            self.conn = Some(self.broker.open(self.now));
            self.session.opened(self.instant());
        }
    }

    /// The driver has the connection that is wanted, and no other.
    fn follow(&mut self) {
        let wanted = match self.session.transport() {
            Transport::Open(number) => Some(number),
            Transport::Closed => None,
        };
        if wanted != self.number {
            if let Some(conn) = self.conn.take() {
                self.broker.closed(conn, self.now);
            }
            self.number = wanted;
            self.inbox.clear();
            self.sent.clear();
            self.version = None;
        }
    }

    /// The network takes up to `most` bytes.
    fn transmit(&mut self, mut most: usize) {
        let Some(conn) = self.conn else { return };
        let now = self.instant();
        for round in 0.. {
            assert!(round < BOUND, "it sends without end");
            let Some(chunk) = self.session.transmit(now) else {
                return;
            };
            assert!(
                !chunk.is_empty(),
                "there is something to write, but nothing in it"
            );
            let len = chunk.len().min(most);
            if len == 0 {
                return;
            }
            self.sent.extend_from_slice(&chunk[..len]);
            self.moved += len;
            self.broker.receive(conn, &chunk[..len], self.now);
            self.session.transmitted(len, now);
            most -= len;
            self.check_sent();
        }
    }

    /// What goes out is, on each connection anew, a CONNECT and then whole
    /// packets that the independent codec accepts.
    fn check_sent(&mut self) {
        while let Some(frame) = codec::frame(&self.sent).expect("a valid header") {
            if self.sent.len() < frame.total {
                return;
            }
            let rest = self.sent.split_off(frame.total);
            let version = self.version.unwrap_or(codec::Version::V5);
            let packet = codec::Packet::decode(version, &self.sent);
            let packet = packet.unwrap_or_else(|error| panic!("{error}: {:02x?}", self.sent));
            if let codec::Packet::Connect(connect) = &packet {
                assert!(self.version.is_none(), "a second CONNECT");
                self.version = Some(connect.version);
            }
            assert!(self.version.is_some(), "{packet:?} before CONNECT");
            let packet = std::mem::replace(&mut self.sent, rest);
            self.record.packets.insert(packet);
        }
    }

    /// Takes what the broker sends.
    fn fetch(&mut self) {
        if let Some(conn) = self.conn {
            let bytes = self.broker.output(conn);
            for chunk in bytes.chunks(255) {
                self.record.script.extend([op::RAW, chunk.len() as u8]);
                self.record.script.extend(chunk);
            }
            let mut rest = &bytes[..];
            while let Ok(Some(frame)) = codec::frame(rest)
                && let Some((packet, after)) = rest.split_at_checked(frame.total)
            {
                self.record.packets.insert(packet.to_vec());
                rest = after;
            }
            self.inbox.extend(bytes);
        }
    }

    /// The network brings up to `most` bytes.
    fn deliver(&mut self, mut most: usize) {
        for round in 0.. {
            assert!(round < BOUND, "it receives without end");
            let space = self.session.receive_space();
            let len = space.len().min(self.inbox.len()).min(most);
            if len == 0 || self.conn.is_none() {
                return;
            }
            for (place, byte) in space.iter_mut().zip(self.inbox.drain(..len)) {
                *place = byte;
            }
            self.session.received(len);
            self.moved += len;
            most -= len;
            self.poll();
            self.follow();
        }
    }

    fn carry(&mut self) {
        self.open();
        self.transmit(usize::MAX);
        self.fetch();
        self.deliver(usize::MAX);
        let ended = self.conn.is_some_and(|conn| self.broker.is_closed(conn));
        if ended && self.inbox.is_empty() {
            self.session.failed(Network::Closed, self.instant());
        }
    }

    fn wait_for_deadline(&mut self) {
        let deadline = self.session.deadline();
        if deadline != Instant::NEVER {
            self.now = self.now.max(deadline.as_millis());
        }
    }

    /// All events; then nothing is due at this moment.
    fn poll(&mut self) {
        let now = self.instant();
        for round in 0.. {
            assert!(round < BOUND, "events without end");
            let ended = match self.session.poll(now) {
                None => break,
                Some(Event::Delivered { id, .. } | Event::Dropped { id, .. }) => Some(id),
                Some(Event::Message(message)) => {
                    assert!(!message.topic.is_empty(), "a message without a topic");
                    let properties = message.properties.iter().count();
                    assert!(properties <= message.properties.size());
                    self.tokens.extend(message.token);
                    None
                }
                Some(
                    Event::Connected { properties, .. } | Event::Disconnected { properties, .. },
                ) => {
                    assert!(
                        properties.iter().map(|p| p.size()).sum::<usize>() == properties.size()
                    );
                    None
                }
                Some(Event::Subscribed { filter, .. } | Event::Unsubscribed { filter }) => {
                    assert!(
                        FILTERS.contains(&filter.as_str()),
                        "{filter:?} was never subscribed"
                    );
                    None
                }
                Some(Event::Oversized { .. }) => None,
            };
            if let Some(id) = ended {
                self.end(id);
            }
        }
        assert!(
            self.session.deadline() > now,
            "it is due, yet nothing happens"
        );
        assert!(
            self.session.pending() >= self.outstanding.len(),
            "a publication has vanished"
        );
    }

    /// What follows every operation.
    fn settle(&mut self) {
        self.poll();
        self.follow();
    }

    /// Carries bytes for as long as there are any, which takes no time, and
    /// acknowledges what comes.
    fn calm(&mut self) {
        for round in 0.. {
            assert!(round < BOUND, "it never comes to rest");
            let before = self.moved;
            self.settle();
            self.carry();
            for token in std::mem::take(&mut self.tokens) {
                self.session.acknowledge(token);
            }
            self.settle();
            if self.moved == before {
                return;
            }
        }
    }

    /// The network, the broker and the application behave from now on: the
    /// session connects, and every publication comes to its end.
    fn heal(&mut self) {
        self.session.failed(Network::Reset, self.instant());
        self.settle();
        assert!(
            self.session.pending() == self.outstanding.len(),
            "what is in the outbox is not what was accepted"
        );
        self.broker = Broker::new(Config::default());
        if let Some(conn) = self.conn.take() {
            self.broker.closed(conn, self.now);
        }
        self.number = None;
        self.session.start(self.instant());
        for _ in 0..200 {
            self.calm();
            if self.session.is_connected() && self.outstanding.is_empty() {
                return;
            }
            if self.session.is_stopped() {
                self.session.start(self.instant());
            }
            self.wait_for_deadline();
        }
        panic!(
            "{} not delivered, connected: {}",
            self.outstanding.len(),
            self.session.is_connected()
        );
    }
}
