//! A session and the broker model with a network between them that takes its time.

use super::{Seen, at, leak};
use aldis_mqtt::{
    Buffers, Cause, Network, Options, Publication, QoS, Session, SubscribeOptions, Transport,
};
use aldis_world::broker::codec::Qos;
use aldis_world::broker::{Broker, Config, ConnId, Message};

/// What the network does with the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It carries them.
    Open,
    /// It takes them, and nothing arrives on either side.
    Dead,
    /// Nothing arrives at the broker; what the broker says does.
    DeadUp,
    /// It takes none, and brings none.
    Stalled,
    /// It takes one at each [`Path::trickle`], and brings none.
    Trickling,
}

/// Bytes under way, of the connection of this number.
struct Bytes {
    arrives: u64,
    number: u16,
    bytes: Vec<u8>,
}

enum Stage {
    Closed,
    /// The answer to the question for a connection comes then.
    Opening(u16, u64),
    Open(u16, ConnId),
}

pub struct Path {
    pub session: Session<'static>,
    pub broker: Broker,
    pub now: u64,
    /// How long bytes take, each way.
    pub one_way_ms: u64,
    /// How much longer the broker takes for PUBACK, PUBREC and PUBCOMP.
    pub acknowledge_ms: u64,
    pub way: Way,
    stage: Stage,
    up: Vec<Bytes>,
    down: Vec<Bytes>,
    /// What happened and when.
    pub seen: Vec<(u64, Seen)>,
    /// When a connection was asked for.
    pub attempts: Vec<u64>,
    /// Every PINGREQ, when it was written.
    pub pings: Vec<u64>,
    /// Publications at QoS 1 and 2 that were accepted.
    pub accepted: usize,
}

impl Path {
    /// A session that begins at `now`.
    pub fn new(options: Options<'static>, seed: u64, now: u64) -> Self {
        let slots = vec![aldis_mqtt::Slot::EMPTY; 512].leak();
        let buffers = Buffers::new(leak(1024), leak(16_384), slots);
        Self {
            session: Session::new(options, buffers, seed, at(now)).unwrap(),
            broker: Broker::new(Config::default()),
            now,
            one_way_ms: 0,
            acknowledge_ms: 0,
            way: Way::Open,
            stage: Stage::Closed,
            up: Vec::new(),
            down: Vec::new(),
            seen: Vec::new(),
            attempts: Vec::new(),
            pings: Vec::new(),
            accepted: 0,
        }
    }

    /// The same over a way of these round trips, connected.
    pub fn connected(options: Options<'static>, seed: u64, now: u64, round_trip_ms: u64) -> Self {
        let mut path = Self::new(options, seed, now);
        path.one_way_ms = round_trip_ms / 2;
        path.connect();
        path
    }

    /// Lets time pass until there is a connection.
    pub fn connect(&mut self) {
        let end = self.now + 600_000;
        while !self.session.is_connected() {
            assert!(self.now < end, "no connection: {:?}", self.seen);
            self.pass(end);
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now + ms;
        self.settle();
        while self.now < end {
            self.pass(end);
        }
    }

    /// Lets time pass until something is next to be done, or the end has come.
    pub fn pass(&mut self, end: u64) {
        let mut next = self.session.deadline().as_millis();
        next = next.min(self.broker.deadline().unwrap_or(u64::MAX));
        for bytes in self.up.iter().chain(&self.down) {
            next = next.min(bytes.arrives);
        }
        if let Stage::Opening(_, opens) = self.stage {
            // What was lost on a dead way does not come.
            if opens > self.now {
                next = next.min(opens);
            }
        }
        self.now = next.clamp(self.now, end);
        self.broker.tick(self.now);
        self.settle();
    }

    pub fn subscribe(&mut self, filter: &str) {
        let options = SubscribeOptions::default();
        self.session.subscribe(filter, options, None).unwrap();
        self.settle();
    }

    /// Publishes, if there is room.
    pub fn publish(&mut self, payload: &[u8], qos: QoS) {
        let publication = Publication::new("t", payload).qos(qos);
        let published = self.session.publish(&publication, at(self.now));
        self.accepted += usize::from(published.is_ok() && qos != QoS::AtMostOnce);
        self.settle();
    }

    /// Another client publishes something that we have subscribed to.
    pub fn other(&mut self) {
        let message = Message::new("in", b"x", Qos::AtMostOnce);
        self.broker.publish(message, self.now);
        self.settle();
    }

    /// One byte goes out over a trickling way.
    pub fn trickle(&mut self) {
        if self.session.transmit(at(self.now)).is_some() {
            self.session.transmitted(1, at(self.now));
        }
        self.settle();
    }

    /// The connections that were lost, with the moment and the cause; attempts in vain are none.
    pub fn losses(&self) -> Vec<(u64, Cause)> {
        let mut losses = Vec::new();
        let mut connected = false;
        for (when, seen) in &self.seen {
            match seen {
                Seen::Connected { .. } => connected = true,
                Seen::Disconnected(cause) if core::mem::take(&mut connected) => {
                    losses.push((*when, *cause));
                }
                _ => {}
            }
        }
        losses
    }

    pub fn delivered(&self) -> usize {
        let delivered = |(_, seen): &&(u64, Seen)| matches!(seen, Seen::Delivered(..));
        self.seen.iter().filter(delivered).count()
    }

    /// Does all that can be done at this moment.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            let mut busy = self.drain();
            busy |= self.follow();
            busy |= self.carry_up();
            busy |= self.carry_down();
            if !busy {
                let deadline = self.session.deadline();
                assert!(deadline > at(self.now), "a driver would spin: {deadline:?}");
                return;
            }
        }
        panic!("the session spins at {} ms", self.now);
    }

    fn drain(&mut self) -> bool {
        let mut busy = false;
        while let Some(event) = self.session.poll(at(self.now)) {
            busy = true;
            let seen = Seen::from(event);
            if let Seen::Message(message) = &seen
                && let Some(token) = message.token
            {
                self.session.acknowledge(token);
            }
            self.seen.push((self.now, seen));
        }
        busy
    }

    fn follow(&mut self) -> bool {
        let wanted = match self.session.transport() {
            Transport::Closed => None,
            Transport::Open(number) => Some(number),
        };
        let present = match self.stage {
            Stage::Closed => None,
            Stage::Opening(number, _) | Stage::Open(number, _) => Some(number),
        };
        if present != wanted {
            if let Stage::Open(_, conn) = self.stage {
                self.broker.closed(conn, self.now);
            }
            // Of the old connection nothing arrives any more.
            self.up.clear();
            self.down.clear();
            self.stage = Stage::Closed;
            if let Some(number) = wanted {
                self.attempts.push(self.now);
                self.stage = Stage::Opening(number, self.now + 2 * self.one_way_ms);
            }
            return true;
        }
        if let Stage::Opening(number, opens) = self.stage
            && opens <= self.now
            && self.way == Way::Open
        {
            self.stage = Stage::Open(number, self.broker.open(self.now));
            self.session.opened(at(self.now));
            return true;
        }
        false
    }

    fn carry_up(&mut self) -> bool {
        let Stage::Open(number, conn) = self.stage else {
            return false;
        };
        let mut busy = false;
        // Asked even where nothing is taken, as a driver does.
        while let Some(chunk) = self.session.transmit(at(self.now)) {
            if matches!(self.way, Way::Stalled | Way::Trickling) {
                break;
            }
            let bytes = chunk.to_vec();
            self.session.transmitted(bytes.len(), at(self.now));
            if bytes == [0xc0, 0] {
                self.pings.push(self.now);
            }
            self.up.push(Bytes {
                arrives: self.now + self.one_way_ms,
                number,
                bytes,
            });
            busy = true;
        }
        for Bytes {
            number: of, bytes, ..
        } in arrived(&mut self.up, self.now)
        {
            if self.way != Way::Open || of != number {
                continue;
            }
            self.broker.receive(conn, &bytes, self.now);
            // So that each answer is under way alone.
            self.answer(number, conn);
            busy = true;
        }
        busy | self.answer(number, conn)
    }

    /// What the broker says sets out.
    fn answer(&mut self, number: u16, conn: ConnId) -> bool {
        let bytes = self.broker.output(conn);
        if bytes.is_empty() {
            return false;
        }
        let acknowledges = matches!(bytes[0] >> 4, 4 | 5 | 7);
        let longer = if acknowledges { self.acknowledge_ms } else { 0 };
        self.down.push(Bytes {
            arrives: self.now + self.one_way_ms + longer,
            number,
            bytes,
        });
        true
    }

    fn carry_down(&mut self) -> bool {
        let Stage::Open(number, conn) = self.stage else {
            return false;
        };
        let mut busy = false;
        for Bytes {
            number: of, bytes, ..
        } in arrived(&mut self.down, self.now)
        {
            let Stage::Open(present, _) = self.stage else {
                break;
            };
            if !matches!(self.way, Way::Open | Way::DeadUp) || of != present {
                continue;
            }
            let mut left = &bytes[..];
            while !left.is_empty() {
                let space = self.session.receive_space();
                let len = space.len().min(left.len());
                if len == 0 {
                    break;
                }
                space[..len].copy_from_slice(&left[..len]);
                self.session.received(len);
                left = &left[len..];
                self.drain();
            }
            busy = true;
        }
        let heard = self.down.is_empty() && self.way == Way::Open;
        if heard
            && self.broker.is_closed(conn)
            && self.session.transport() == Transport::Open(number)
        {
            self.broker.closed(conn, self.now);
            self.session.failed(Network::Closed, at(self.now));
            self.stage = Stage::Closed;
            busy = true;
        }
        busy
    }
}

/// What has come to its end by now, in the order in which it does.
fn arrived(under_way: &mut Vec<Bytes>, now: u64) -> Vec<Bytes> {
    under_way.sort_by_key(|bytes| bytes.arrives);
    let count = under_way.partition_point(|bytes| bytes.arrives <= now);
    under_way.drain(..count).collect()
}
