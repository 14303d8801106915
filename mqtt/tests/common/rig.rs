//! The session against the broker model.

use super::{Rng, Seen, at, leak, options};
use aldis_mqtt::{
    Buffers, Cause, Dropped, Network, Options, Publication, PublicationId, PublishError, QoS,
    ReasonCode, Session, SubscribeOptions, Transport, Version,
};
use aldis_world::broker::codec::{Packet, Qos};
use aldis_world::broker::{Broker, Config, ConnId, Message};
use std::collections::{BTreeMap, VecDeque};

/// How a rig is made.
pub struct Setup {
    pub options: Options<'static>,
    pub config: Config,
    pub receive: usize,
    pub outbox: usize,
    pub aliases_in: usize,
    pub aliases_out: usize,
    pub seed: u64,
}

impl Setup {
    pub fn new(version: Version) -> Self {
        Self::with(options(version))
    }

    pub fn with(options: Options<'static>) -> Self {
        Self {
            options,
            config: Config {
                trace: true,
                ..Config::default()
            },
            receive: 1024,
            outbox: 2048,
            aliases_in: 0,
            aliases_out: 0,
            seed: 1,
        }
    }

    pub fn rig(self) -> Rig {
        let buffers = Buffers {
            receive: leak(self.receive),
            outbox: leak(self.outbox),
            slots: vec![aldis_mqtt::Slot::EMPTY; 512].leak(),
            inbound_aliases: leak(self.aliases_in),
            outbound_aliases: leak(self.aliases_out),
        };
        let session = Session::new(self.options, buffers, self.seed, at(0)).unwrap();
        Rig {
            session,
            options: self.options,
            broker: Broker::new(self.config),
            now: 0,
            link: None,
            seen: Vec::new(),
            automatic: true,
            chunks: Chunks::Whole,
            reachable: true,
            stalled: false,
            deaf: false,
            allowance: None,
            cut: None,
            again: false,
            sent: 0,
            received: 0,
            attempts: Vec::new(),
            book: Vec::new(),
            from_others: Vec::new(),
        }
    }

    /// The same, connected.
    pub fn connected(self) -> Rig {
        let mut rig = self.rig();
        rig.connect();
        rig
    }
}

/// In which pieces bytes travel.
#[derive(Clone, Debug)]
pub enum Chunks {
    Whole,
    Bytes,
    Random(Rng),
}

impl Chunks {
    fn of(&mut self, len: usize) -> usize {
        match self {
            Self::Whole => len,
            Self::Bytes => len.min(1),
            Self::Random(rng) => len.min(1 + rng.below(12)),
        }
    }
}

/// Where the connection is to break.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// From the client to the broker, else the other way.
    pub up: bool,
    /// So many bytes still arrive, over all connections.
    pub after: usize,
    /// The broker loses the session then.
    pub forget: bool,
    /// The next connection breaks before CONNACK arrives.
    pub again: bool,
}

/// How a publication ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Delivered(ReasonCode),
    Dropped(Dropped),
    Superseded,
    Withdrawn,
}

/// A publication that the session accepted.
#[derive(Clone, Debug)]
pub struct Booked {
    pub id: PublicationId,
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: QoS,
    pub ends: Vec<End>,
}

#[derive(Debug)]
struct Link {
    number: u16,
    conn: ConnId,
    down: VecDeque<u8>,
}

/// A session, a broker, and what a driver would do.
pub struct Rig {
    pub session: Session<'static>,
    pub options: Options<'static>,
    pub broker: Broker,
    pub now: u64,
    link: Option<Link>,
    /// What happened and when.
    pub seen: Vec<(u64, Seen)>,
    /// Acknowledge each message as it comes.
    pub automatic: bool,
    pub chunks: Chunks,
    /// Connections can be opened.
    pub reachable: bool,
    /// Nothing can be written.
    pub stalled: bool,
    /// Nothing can be read.
    pub deaf: bool,
    /// So many bytes can be written before more are allowed.
    pub allowance: Option<usize>,
    pub cut: Option<Cut>,
    /// A CONNACK was lost.
    pub again: bool,
    pub sent: usize,
    pub received: usize,
    /// When a connection was asked for.
    pub attempts: Vec<u64>,
    pub book: Vec<Booked>,
    /// Topic, payload and QoS of what others published while we were subscribed.
    pub from_others: Vec<(String, Vec<u8>, QoS)>,
}

impl Rig {
    pub fn client_id(&self) -> &'static str {
        "client"
    }

    /// Does all that can be done at this moment.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            let mut busy = self.drain();
            busy |= self.follow();
            busy |= self.write();
            busy |= self.read();
            if !busy {
                let deadline = self.session.deadline();
                // Something to be told, perhaps: a driver asks at once.
                if deadline <= at(self.now) && self.drain() {
                    continue;
                }
                assert!(deadline > at(self.now), "a driver would spin: {deadline:?}");
                return;
            }
        }
        panic!("the session spins at {} ms", self.now);
    }

    /// Lets time pass, from one deadline to the next.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now + ms;
        self.until(ms, |_| false);
        self.now = end;
        self.broker.tick(end);
        self.settle();
    }

    /// Lets time pass until something is true; says whether it became so.
    pub fn until(&mut self, ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + ms;
        self.settle();
        loop {
            if done(self) {
                return true;
            }
            let deadline = self.session.deadline().as_millis();
            let next = deadline.min(self.broker.deadline().unwrap_or(u64::MAX));
            if next > end {
                return false;
            }
            self.now = next.max(self.now);
            self.broker.tick(self.now);
            self.settle();
        }
    }

    pub fn connect(&mut self) {
        assert!(
            self.until(1_000_000, |rig| rig.session.is_connected()),
            "no connection: {:?}",
            self.seen
        );
    }

    /// The connection breaks.
    pub fn sever(&mut self) {
        if let Some(link) = self.link.take() {
            self.broker.closed(link.conn, self.now);
            self.session.failed(Network::Reset, at(self.now));
        }
    }

    pub fn conn(&self) -> ConnId {
        self.link.as_ref().expect("a connection").conn
    }

    /// Publishes and keeps the book.
    pub fn publish(
        &mut self,
        publication: &Publication<'_>,
    ) -> Result<PublicationId, PublishError> {
        let published = self.session.publish(publication, at(self.now))?;
        if let Some(old) = published.superseded {
            self.end(old, End::Superseded);
        }
        self.book.push(Booked {
            id: published.id,
            topic: publication.topic.into(),
            payload: publication.payload.into(),
            qos: publication.qos,
            ends: Vec::new(),
        });
        Ok(published.id)
    }

    pub fn send(&mut self, topic: &str, payload: &[u8], qos: QoS) -> PublicationId {
        self.publish(&Publication::new(topic, payload).qos(qos))
            .unwrap()
    }

    pub fn end(&mut self, id: PublicationId, end: End) {
        // Handles may come again after four thousand million publications.
        let booked = self.book.iter_mut().find(|booked| booked.id == id);
        booked.expect("an end of nothing").ends.push(end);
    }

    pub fn subscribe(&mut self, filter: &str, qos: QoS) {
        let options = SubscribeOptions {
            qos,
            ..SubscribeOptions::default()
        };
        self.session.subscribe(filter, options, None).unwrap();
    }

    /// Another client publishes something that we have subscribed to.
    pub fn other(&mut self, topic: &str, payload: &[u8], qos: QoS) {
        let broker_qos = Qos::from_number(qos.bits()).unwrap();
        self.broker
            .publish(Message::new(topic, payload, broker_qos), self.now);
        self.from_others.push((topic.into(), payload.into(), qos));
        self.settle();
    }

    /// Whether every publication at QoS 1 and 2 has come to its end.
    pub fn all_ended(&self) -> bool {
        self.book
            .iter()
            .all(|booked| booked.qos == QoS::AtMostOnce || !booked.ends.is_empty())
    }

    /// What was seen, without the times.
    pub fn events(&self) -> Vec<Seen> {
        self.seen.iter().map(|(_, seen)| seen.clone()).collect()
    }

    pub fn take_events(&mut self) -> Vec<Seen> {
        let events = self.events();
        self.seen.clear();
        events
    }

    /// The messages among the events.
    pub fn messages(&self) -> impl Iterator<Item = &super::Received> {
        self.seen.iter().filter_map(|(_, seen)| match seen {
            Seen::Message(message) => Some(message),
            _ => None,
        })
    }

    pub fn causes(&self) -> Vec<Cause> {
        let cause = |(_, seen): &(u64, Seen)| match seen {
            Seen::Disconnected(cause) => Some(*cause),
            _ => None,
        };
        self.seen.iter().filter_map(cause).collect()
    }

    /// When the connection was last reported as lost, and why.
    pub fn lost(&self) -> Option<(u64, Cause)> {
        self.seen.iter().rev().find_map(|(when, seen)| match seen {
            Seen::Disconnected(cause) => Some((*when, *cause)),
            _ => None,
        })
    }

    /// What the client sent since the last call, as the broker understood it.
    pub fn packets(&mut self) -> Vec<Packet> {
        let trace = self.broker.take_trace();
        trace.into_iter().map(|(_, packet)| packet).collect()
    }

    /// How often the broker accepted each payload of each topic.
    pub fn accepted_by_topic(&self) -> BTreeMap<(String, Vec<u8>), usize> {
        let mut counts = BTreeMap::new();
        for accepted in self.broker.log() {
            let key = (accepted.topic.clone(), accepted.payload.clone());
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    fn follow(&mut self) -> bool {
        let wanted = match self.session.transport() {
            Transport::Closed => None,
            Transport::Open(number) => Some(number),
        };
        if self.link.as_ref().map(|link| link.number) == wanted {
            return false;
        }
        let mut busy = false;
        if let Some(link) = self.link.take() {
            self.broker.closed(link.conn, self.now);
            busy = true;
        }
        let Some(number) = wanted else {
            return busy;
        };
        self.attempts.push(self.now);
        if !self.reachable {
            self.session.failed(Network::Unreachable, at(self.now));
            return true;
        }
        self.link = Some(Link {
            number,
            conn: self.broker.open(self.now),
            down: VecDeque::new(),
        });
        self.session.opened(at(self.now));
        true
    }

    fn drain(&mut self) -> bool {
        let mut busy = false;
        while let Some(event) = self.session.poll(at(self.now)) {
            busy = true;
            let seen = Seen::from(event);
            match &seen {
                Seen::Message(message) if self.automatic => {
                    if let Some(token) = message.token {
                        self.session.acknowledge(token);
                    }
                }
                Seen::Delivered(id, reason) => self.end(*id, End::Delivered(*reason)),
                Seen::Dropped(id, reason) => self.end(*id, End::Dropped(*reason)),
                _ => {}
            }
            self.seen.push((self.now, seen));
        }
        busy
    }

    fn write(&mut self) -> bool {
        let now = at(self.now);
        let mut busy = false;
        while let Some(link) = &self.link {
            let Some(chunk) = self.session.transmit(now) else {
                break;
            };
            assert!(!chunk.is_empty(), "nothing to write, and yet to be written");
            let len = self.chunks.of(chunk.len());
            let len = len.min(self.allowance.unwrap_or(usize::MAX));
            if self.stalled || len == 0 {
                break;
            }
            let mut bytes = chunk.get(..len).unwrap_or(&[]).to_vec();
            if let Some(allowance) = &mut self.allowance {
                *allowance -= len;
            }
            busy = true;
            let cut = self.cut.filter(|cut| cut.up && cut.after < self.sent + len);
            // The operating system took it all; the broker gets what still got through.
            self.session.transmitted(len, now);
            if let Some(cut) = cut {
                bytes.truncate(cut.after - self.sent);
            }
            self.sent += bytes.len();
            self.broker.receive(link.conn, &bytes, self.now);
            if let Some(cut) = cut {
                self.make(cut);
            }
        }
        busy
    }

    fn read(&mut self) -> bool {
        let Some(link) = &mut self.link else {
            return false;
        };
        link.down.extend(self.broker.output(link.conn));
        if self.deaf {
            return false;
        }
        let number = link.number;
        let mut busy = false;
        while let Some(link) = self.link.as_mut().filter(|link| link.number == number) {
            if self.session.transport() != Transport::Open(number) {
                return true;
            }
            if link.down.is_empty() {
                if self.broker.is_closed(link.conn) {
                    self.broker.closed(link.conn, self.now);
                    self.session.failed(Network::Closed, at(self.now));
                    self.link = None;
                    busy = true;
                }
                break;
            }
            let space = self.session.receive_space();
            let mut len = self.chunks.of(link.down.len()).min(space.len());
            let cut = self
                .cut
                .filter(|cut| !cut.up && cut.after < self.received + len);
            if let Some(cut) = cut {
                len = cut.after - self.received;
            }
            for (to, from) in space.iter_mut().zip(link.down.drain(..len)) {
                *to = from;
            }
            self.session.received(len);
            self.received += len;
            let heard = self.drain();
            busy |= heard || len > 0;
            if let Some(cut) = cut {
                self.make(cut);
                break;
            }
            if len == 0 && !heard {
                break;
            }
        }
        busy
    }

    fn make(&mut self, cut: Cut) {
        self.again |= cut.again;
        self.cut = cut.again.then_some(Cut {
            up: false,
            after: self.received,
            forget: false,
            again: false,
        });
        self.sever();
        if cut.forget {
            self.broker.forget(self.client_id());
        }
    }
}
