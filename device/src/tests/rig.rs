//! A device, its board, and a broker, with wires between them and a clock that
//! moves from deadline to deadline.

use std::collections::{BTreeMap, HashMap, VecDeque};

use aldis_mqtt::{Instant, Network, Session, Transport};
use aldis_protocol::{Climate, Diag, Lamp, Reading, SensorState};
use aldis_world::broker::codec::Qos;
use aldis_world::broker::{Accepted, Broker, Config, ConnId, Message};

use crate::dht::{Frame, Pulse, Wave};
use crate::screen::Page;
use crate::{
    Backlog, Board, Device, Facts, Kept, Letter, Mail, Mark, Memory, Note, Notice, Outgoing,
    Recalled, Saved, Settings, Vitals,
};

/// What the sensor does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensor {
    /// Answers, with another value each time.
    Good,
    /// Answers with this value.
    Fixed(Reading),
    /// Answers with a bit turned over.
    Damaged,
    /// The line stays high.
    Silent,
    /// Not even the end of the measurement is told.
    Dead,
    /// Answers after so many milliseconds.
    Late(u64),
}

/// Something that the board was asked to do, or that went over the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Measure,
    Light(Lamp),
    Save(Saved),
    Restart,
    Done(u32),
    Reading(Reading),
    Sensor(SensorState),
    Lamp(Lamp),
    Ignored(String, &'static str),
    Refused(String),
    /// Any other notice.
    Notice(String),
    Sent(Vec<u8>),
}

/// A board that remembers everything; what it saves outlives the device.
pub struct TestBoard {
    now: u64,
    pub acts: Vec<(u64, Act)>,
    pub saved: Saved,
    /// Readings that outlive the device, if it can keep any.
    pub kept: Option<Vec<Kept>>,
    /// Messages that outlive the device, and what is known of them.
    pub letters: BTreeMap<u32, (Letter, Option<Mark>)>,
    /// What became of others, and messages of the person.
    pub notes: BTreeMap<u32, Note>,
    pub outgoing: BTreeMap<u32, Outgoing>,
    /// Notes cannot be kept.
    pub worn: bool,
    /// How many of the next things that are kept are kept: then power has gone.
    pub power: Option<u32>,
    pub sensor: Sensor,
    pub vitals: Vitals,
    answer: Option<(u64, Vec<Pulse>)>,
    measurements: u32,
    /// When each reading was taken.
    pub taken: HashMap<(i16, u16), u64>,
}

impl TestBoard {
    fn act(&mut self, act: Act) {
        self.acts.push((self.now, act));
    }

    /// Whether there is power for something to be kept.
    fn has_power(&mut self) -> bool {
        match &mut self.power {
            Some(0) => return false,
            Some(left) => *left -= 1,
            None => {}
        }
        true
    }
}

fn pulses(reading: Reading) -> Vec<Pulse> {
    Wave::new(Frame::dht22(reading))
        .map(|part| part.nominal())
        .collect()
}

impl Board for TestBoard {
    fn measure(&mut self) {
        self.act(Act::Measure);
        let count = self.measurements;
        self.measurements += 1;
        let fresh = Reading {
            t: (count % 1_201) as i16 - 400,
            h: (count / 1_201 % 1_001) as u16,
        };
        let (after, pulses) = match self.sensor {
            Sensor::Good => (0, pulses(fresh)),
            Sensor::Fixed(reading) => (0, pulses(reading)),
            Sensor::Late(after) => (after, pulses(fresh)),
            Sensor::Silent => (0, vec![Pulse::high(1_000)]),
            Sensor::Damaged => {
                let mut pulses = pulses(fresh);
                // The first data bit's high: never a 1 in a good answer.
                if let Some(pulse) = pulses.get_mut(20) {
                    pulse.duration_us = if pulse.duration_us < 50 { 73 } else { 26 };
                }
                (0, pulses)
            }
            Sensor::Dead => return,
        };
        self.taken.insert((fresh.t, fresh.h), self.now + after);
        self.answer = Some((self.now + after, pulses));
    }

    fn light(&mut self, lamp: Lamp) {
        self.act(Act::Light(lamp));
    }

    fn save(&mut self, saved: &Saved) {
        self.saved = *saved;
        self.act(Act::Save(*saved));
    }

    fn keep(&mut self, kept: &Kept, saved: &Saved) {
        match &mut self.kept {
            Some(all) => {
                all.push(*kept);
                self.saved.seq = saved.seq;
            }
            None => self.save(saved),
        }
    }

    fn done(&mut self, kept: &Kept) {
        self.act(Act::Done(kept.done));
        if let Some(all) = &mut self.kept {
            all.push(*kept);
        }
    }

    fn keep_letter(&mut self, letter: &Letter) {
        if self.has_power() {
            if self.letters.len() == Mail::PLACES {
                self.letters.pop_first();
            }
            self.letters.insert(letter.number, (letter.clone(), None));
        }
    }

    fn mark_letter(&mut self, mark: &Mark) {
        if self.has_power() {
            self.letters.get_mut(&mark.number).unwrap().1 = Some(*mark);
        }
    }

    fn keep_note(&mut self, note: &Note) -> bool {
        let same = |number: &u32| *number as usize % Mail::NOTES;
        let taken = self.notes.keys().any(|of| same(of) == same(&note.number));
        assert!(!taken, "{} of {:?}", note.number, self.notes.keys());
        let keeps = !self.worn && self.has_power();
        if keeps {
            self.notes.insert(note.number, note.clone());
        }
        keeps
    }

    fn forget_note(&mut self, number: u32) {
        if self.has_power() {
            self.notes.remove(&number).unwrap();
        }
    }

    fn keep_outgoing(&mut self, outgoing: &Outgoing) {
        let same = |number: &u32| *number as usize % Mail::OUTGOING;
        let number = outgoing.number;
        let taken = self.outgoing.keys().any(|of| same(of) == same(&number));
        assert!(!taken, "{number} of {:?}", self.outgoing.keys());
        if self.has_power() {
            self.outgoing.insert(number, outgoing.clone());
        }
    }

    fn forget_outgoing(&mut self, number: u32) {
        if self.has_power() {
            self.outgoing.remove(&number).unwrap();
        }
    }

    fn restart(&mut self) {
        self.act(Act::Restart);
    }

    fn vitals(&mut self) -> Vitals {
        self.vitals
    }

    fn notice(&mut self, notice: Notice<'_>) {
        self.act(match notice {
            Notice::Reading(reading) => Act::Reading(reading),
            Notice::Sensor(state) => Act::Sensor(state),
            Notice::Lamp(lamp) => Act::Lamp(lamp),
            Notice::Ignored { topic, why } => Act::Ignored(topic.into(), why),
            Notice::Refused { topic, .. } => Act::Refused(topic.into()),
            other => Act::Notice(format!("{other:?}")),
        });
    }
}

impl TestBoard {
    /// The readings that are not done, as they are at a start now.
    fn recalled(&self) -> Vec<Recalled> {
        let kept = self.kept.as_deref().unwrap_or_default();
        let Some(last) = kept.last() else {
            return Vec::new();
        };
        let waits = kept.iter().filter(|kept| kept.seq > last.done);
        waits
            .filter_map(|kept| {
                Some(Recalled {
                    seq: kept.seq,
                    boot: kept.boot,
                    age_ms: last.uptime_ms.saturating_sub(kept.uptime_ms) as u32,
                    reading: kept.reading?,
                })
            })
            .collect()
    }
}

struct Running<const N: usize> {
    device: Box<Device<'static, N>>,
    session: Session<'static>,
    booted_at: u64,
    deadline: Instant,
}

struct Wire {
    number: u16,
    conn: ConnId,
    up: VecDeque<(u64, Vec<u8>)>,
    down: VecDeque<(u64, Vec<u8>)>,
    /// When bytes passed last, while a router on the way still knows the connection.
    passed_at: Option<u64>,
}

impl Wire {
    /// Whether a router that forgets connections after so long lets bytes pass now.
    fn passes(&mut self, idle_ms: Option<u64>, now: u64) -> bool {
        let forgets = |at: u64| idle_ms.is_some_and(|idle| now - at > idle);
        self.passed_at = self.passed_at.filter(|at| !forgets(*at)).map(|_| now);
        self.passed_at.is_some()
    }
}

pub struct Rig<const N: usize = 64> {
    pub now: u64,
    pub broker: Broker,
    pub board: TestBoard,
    pub settings: Settings<'static>,
    /// What an attempt to connect meets, if not the broker.
    pub obstacle: Option<Network>,
    /// Milliseconds that bytes take, each way.
    pub latency: u64,
    /// The network takes no bytes from the device.
    pub stalled: bool,
    /// A router on the way forgets connections that are quiet for longer.
    pub idle_ms: Option<u64>,
    /// After so many more bytes, the connection breaks.
    pub cut_up: Option<usize>,
    pub cut_down: Option<usize>,
    /// Everything that the broker accepted.
    pub log: Vec<Accepted>,
    /// Makes sessions differ.
    pub seed: u64,
    running: Option<Running<N>>,
    wire: Option<Wire>,
    broken: bool,
    /// How much of each topic was asked for.
    known: HashMap<String, usize>,
}

pub fn settings() -> Settings<'static> {
    Settings::new("aldis", "kitchen").unwrap()
}

/// A device of the default settings that has just started.
pub fn rig() -> Rig {
    Rig::start(settings(), Config::default())
}

impl<const N: usize> Rig<N> {
    /// A device that has just started, and a broker.
    pub fn start(settings: Settings<'static>, config: Config) -> Self {
        let mut rig = Self::off(settings, config);
        rig.boot();
        rig
    }

    /// A device without power.
    pub fn off(settings: Settings<'static>, config: Config) -> Self {
        Self {
            now: 0,
            broker: Broker::new(config),
            board: TestBoard {
                now: 0,
                acts: Vec::new(),
                saved: Saved::default(),
                kept: None,
                letters: BTreeMap::new(),
                notes: BTreeMap::new(),
                outgoing: BTreeMap::new(),
                worn: false,
                power: None,
                sensor: Sensor::Good,
                vitals: Vitals::default(),
                answer: None,
                measurements: 0,
                taken: HashMap::new(),
            },
            settings,
            obstacle: None,
            latency: 0,
            stalled: false,
            idle_ms: None,
            cut_up: None,
            cut_down: None,
            log: Vec::new(),
            seed: 1,
            running: None,
            wire: None,
            broken: false,
            known: HashMap::new(),
        }
    }

    /// Power comes on.
    pub fn boot(&mut self) {
        self.power_off();
        self.board.now = self.now;
        self.seed += 1;
        let now = Instant::from_millis(0);
        let saved = self.board.saved;
        let backlog = Box::leak(Box::new(Backlog::new()));
        let mut device = Box::new(Device::new(
            self.settings,
            saved,
            backlog,
            Box::leak(Box::new(Mail::new())),
            now,
            &mut self.board,
        ));
        for (letter, mark) in self.board.letters.values() {
            device.recall_letter(letter.clone(), *mark);
        }
        for note in self.board.notes.values().rev() {
            device.recall_note(note.clone());
        }
        for outgoing in self.board.outgoing.values().rev() {
            device.recall_outgoing(outgoing.clone());
        }
        for recalled in self.board.recalled() {
            device.recall(recalled);
        }
        let memory = Box::leak(Box::new(Memory::new()));
        let mut session = memory.session(&self.settings, self.seed, now).unwrap();
        device.subscribe(&mut session).unwrap();
        self.running = Some(Running {
            device,
            session,
            booted_at: self.now,
            deadline: now,
        });
        self.settle();
    }

    /// Power is gone.
    pub fn power_off(&mut self) {
        self.running = None;
        self.board.answer = None;
        self.hang_up();
    }

    pub fn device(&mut self) -> &mut Device<'static, N> {
        &mut self.running.as_mut().unwrap().device
    }

    pub fn session(&mut self) -> &mut Session<'static> {
        &mut self.running.as_mut().unwrap().session
    }

    /// Asks for a clean stop.
    pub fn stop(&mut self) {
        let running = self.running.as_mut().unwrap();
        let now = Instant::from_millis(self.now - running.booted_at);
        running.device.stop(now);
        self.settle();
    }

    /// The connection breaks.
    pub fn cut(&mut self) {
        if self.wire.is_some() {
            self.hang_up();
            let running = self.running.as_mut().unwrap();
            let now = Instant::from_millis(self.now - running.booted_at);
            running.session.failed(Network::Reset, now);
        }
        self.settle();
    }

    fn hang_up(&mut self) {
        self.broken = false;
        if let Some(wire) = self.wire.take() {
            self.broker.closed(wire.conn, self.now);
        }
        self.log.extend(self.broker.take_log());
    }

    /// The device closes the connection: what it wrote before comes to the broker.
    fn close(&mut self) {
        if let Some(wire) = self.wire.as_mut().filter(|_| !self.broken) {
            for (_, bytes) in wire.up.drain(..) {
                self.broker.receive(wire.conn, &bytes, self.now);
            }
        }
        self.hang_up();
    }

    /// No connection, and none to be had.
    pub fn begin_outage(&mut self) {
        self.obstacle = Some(Network::Unreachable);
        self.cut();
    }

    /// Connections can be had again; waits for one.
    pub fn end_outage(&mut self) {
        self.obstacle = None;
        self.until_connected();
    }

    pub fn until_connected(&mut self) {
        let start = self.now;
        while !self.session().is_connected() {
            assert!(
                self.now < start + 200_000,
                "it does not connect: {:?}",
                self.board.acts.iter().rev().take(6).collect::<Vec<_>>()
            );
            let next = self.next();
            self.run_until(next);
        }
    }

    /// Another client publishes.
    pub fn publish(&mut self, topic: &str, payload: &str, qos: Qos) {
        let message = Message::new(topic, payload.as_bytes(), qos);
        self.broker.publish(message, self.now);
        self.settle();
    }

    /// A command at QoS 2.
    pub fn command(&mut self, topic: &str, payload: &str) {
        self.publish(topic, payload, Qos::ExactlyOnce);
    }

    /// The time as the device has it.
    pub fn instant(&self) -> Instant {
        let running = self.running.as_ref().unwrap();
        Instant::from_millis(self.now - running.booted_at)
    }

    /// The page that is shown, in a word or two.
    pub fn page(&mut self) -> String {
        let now = self.instant();
        match self.device().view(&Facts::default(), now).page {
            Page::Message(message) => format!("{}: {}", message.from, message.text),
            Page::Readings(_) => "readings".into(),
            Page::Contact(_) => "contact".into(),
            Page::Boot(_) => "boot".into(),
            Page::Presets(presets) => {
                format!("{}? {}", presets.to, presets.texts[presets.selected])
            }
            Page::Notice(notice) => notice.title.into(),
            Page::Morse(_) => "morse".into(),
        }
    }

    /// Holds the button for so long.
    pub fn press(&mut self, ms: u64) {
        for pressed in [true, false] {
            let running = self.running.as_mut().unwrap();
            let now = Instant::from_millis(self.now - running.booted_at);
            running.device.button(pressed, now);
            self.wait(if pressed { ms } else { 0 });
        }
    }

    /// What was published on the topic that ends so, since this was asked last.
    pub fn news(&mut self, topic: &str) -> Vec<String> {
        let all = self.on(&format!("aldis/kitchen/{topic}"));
        let known = self.known.entry(topic.to_owned()).or_default();
        let news = all.iter().skip(std::mem::replace(known, all.len()));
        news.map(|(_, text)| text.clone()).collect()
    }

    /// Lets time pass.
    pub fn wait(&mut self, ms: u64) {
        self.run_until(self.now + ms);
    }

    pub fn run_until(&mut self, end: u64) {
        self.settle();
        loop {
            let next = self.next();
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// The clock stands still for the device, and then has gone on.
    pub fn sleep(&mut self, ms: u64) {
        self.now += ms;
        self.settle();
    }

    /// When something happens next.
    fn next(&self) -> u64 {
        let mut next = self.broker.deadline().unwrap_or(u64::MAX);
        if let Some(running) = &self.running {
            let deadline = running.deadline.min(running.session.deadline());
            next = next.min(deadline.as_millis().saturating_add(running.booted_at));
        }
        if let Some((at, _)) = self.board.answer {
            next = next.min(at);
        }
        if let Some(wire) = &self.wire {
            for (at, _) in wire.up.front().into_iter().chain(wire.down.front()) {
                next = next.min(*at);
            }
        }
        next
    }

    /// Lets everything happen that can happen now.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                self.log.extend(self.broker.take_log());
                return;
            }
        }
        panic!("the device spins at {} ms", self.now);
    }

    fn step(&mut self) -> bool {
        self.broker.tick(self.now);
        self.board.now = self.now;
        let Some(running) = &mut self.running else {
            return false;
        };
        let now = Instant::from_millis(self.now - running.booted_at);
        let mut moved = false;
        while let Some(event) = running.session.poll(now) {
            moved = true;
            let reaction = running.device.event(&event, now, &mut self.board);
            running
                .device
                .react(reaction, &mut running.session, &mut self.board);
        }
        if self
            .board
            .answer
            .as_ref()
            .is_some_and(|(at, _)| *at <= self.now)
            && let Some((_, pulses)) = self.board.answer.take()
        {
            running.device.measured(&pulses, now, &mut self.board);
            moved = true;
        }
        running.deadline = running
            .device
            .run(&mut running.session, now, &mut self.board);
        moved |= self
            .board
            .answer
            .as_ref()
            .is_some_and(|(at, _)| *at <= self.now);
        if self.broken {
            self.hang_up();
            self.running
                .as_mut()
                .unwrap()
                .session
                .failed(Network::Reset, now);
            return true;
        }
        self.transport(now) | self.carry(now) | moved
    }

    /// Opens and closes the connection as the session wants it.
    fn transport(&mut self, now: Instant) -> bool {
        let session = &mut self.running.as_mut().unwrap().session;
        let wanted = session.transport();
        let have = self.wire.as_ref().map(|wire| wire.number);
        match (wanted, have) {
            (Transport::Closed, None) => false,
            (Transport::Open(number), Some(have)) if number == have => false,
            (Transport::Closed, Some(_)) => {
                self.close();
                true
            }
            (Transport::Open(number), _) => {
                self.close();
                let session = &mut self.running.as_mut().unwrap().session;
                match self.obstacle {
                    Some(network) => session.failed(network, now),
                    None => {
                        self.wire = Some(Wire {
                            number,
                            conn: self.broker.open(self.now),
                            up: VecDeque::new(),
                            down: VecDeque::new(),
                            passed_at: Some(self.now),
                        });
                        session.opened(now);
                    }
                }
                true
            }
        }
    }

    fn carry(&mut self, now: Instant) -> bool {
        let Some(wire) = &mut self.wire else {
            return false;
        };
        let session = &mut self.running.as_mut().unwrap().session;
        let mut moved = false;
        // The session is asked even if nothing can be written, as drivers do: the
        // bound on writing begins with that.
        while let Some(chunk) = session.transmit(now)
            && !self.stalled
            && !self.broken
        {
            let mut chunk = chunk.to_vec();
            if let Some(left) = &mut self.cut_up {
                chunk.truncate(*left);
                *left -= chunk.len();
                if *left == 0 {
                    self.cut_up = None;
                    self.broken = true;
                }
            }
            session.transmitted(chunk.len(), now);
            self.board.acts.push((self.now, Act::Sent(chunk.clone())));
            if wire.passes(self.idle_ms, self.now) {
                wire.up.push_back((self.now + self.latency, chunk));
            }
            moved = true;
        }
        while wire.up.front().is_some_and(|(at, _)| *at <= self.now)
            && let Some((_, bytes)) = wire.up.pop_front()
        {
            self.broker.receive(wire.conn, &bytes, self.now);
            moved = true;
        }
        let mut output = self.broker.output(wire.conn);
        if !output.is_empty() && !self.broken {
            if let Some(left) = &mut self.cut_down {
                output.truncate(*left);
                *left -= output.len();
                if *left == 0 {
                    self.cut_down = None;
                    self.broken = true;
                }
            }
            if wire.passes(self.idle_ms, self.now) {
                wire.down.push_back((self.now + self.latency, output));
            }
            moved = true;
        }
        while wire.down.front().is_some_and(|(at, _)| *at <= self.now)
            && let Some((_, bytes)) = wire.down.front_mut()
        {
            let space = session.receive_space();
            let len = space.len().min(bytes.len());
            if len == 0 {
                break;
            }
            space[..len].copy_from_slice(&bytes[..len]);
            session.received(len);
            bytes.drain(..len);
            moved = true;
            if bytes.is_empty() {
                wire.down.pop_front();
            }
        }
        // Only when what came before was looked at.
        if !moved && wire.down.is_empty() && self.broker.is_closed(wire.conn) {
            self.hang_up();
            let session = &mut self.running.as_mut().unwrap().session;
            session.failed(Network::Closed, now);
            moved = true;
        }
        moved
    }

    // What was seen.

    /// What was published on a topic.
    pub fn on(&self, topic: &str) -> Vec<(u64, String)> {
        let of_topic = self.log.iter().filter(|p| p.topic == topic);
        of_topic
            .map(|p| (p.at, String::from_utf8(p.payload.clone()).unwrap()))
            .collect()
    }

    /// The words that were published on a topic.
    pub fn words(&self, topic: &str) -> Vec<String> {
        self.on(topic).into_iter().map(|(_, word)| word).collect()
    }

    /// The readings that the broker was given, and when.
    pub fn climates(&self) -> Vec<(u64, Climate)> {
        let all = self
            .log
            .iter()
            .filter(|p| p.topic == "aldis/kitchen/climate");
        all.map(|p| {
            assert_eq!((p.qos, p.retain), (Qos::AtLeastOnce, false));
            (p.at, Climate::decode(&p.payload).unwrap())
        })
        .collect()
    }

    /// The numbers of the readings that the broker was given.
    pub fn seqs(&self) -> Vec<u32> {
        self.climates()
            .iter()
            .map(|(_, climate)| climate.seq)
            .collect()
    }

    /// Every reading says how long before it was sent it was taken.
    pub fn assert_ages(&self) {
        self.assert_ages_within(0);
    }

    /// The same, where the network may have held it up for so long.
    pub fn assert_ages_within(&self, bound_ms: u64) {
        for (at, climate) in self.climates() {
            let taken = self.board.taken[&(climate.reading.t, climate.reading.h)];
            let age = at - self.latency - taken;
            assert!(
                climate.age_ms <= age && age <= climate.age_ms + bound_ms,
                "{climate:?} came at {at} ms at the age of {age} ms"
            );
        }
    }

    /// What the broker keeps on a topic.
    pub fn retained(&self, topic: &str) -> String {
        let message = self.broker.retained(topic);
        message.map_or(String::new(), |message| {
            String::from_utf8(message.payload.clone()).unwrap()
        })
    }

    /// The newest diagnosis.
    pub fn diag<T>(&self, look: impl FnOnce(Diag<'_>) -> T) -> T {
        let (_, text) = self.on("aldis/kitchen/diag").pop().unwrap();
        look(Diag::decode(text.as_bytes()).unwrap())
    }

    /// How the lamp was lit, by commands and at starts.
    pub fn lights(&self) -> Vec<Lamp> {
        let lights = self.board.acts.iter().filter_map(|(_, act)| match act {
            Act::Light(lamp) => Some(*lamp),
            _ => None,
        });
        lights.collect()
    }

    /// Why messages were ignored.
    pub fn ignored(&self) -> Vec<(&str, &str)> {
        let ignored = self.board.acts.iter().filter_map(|(_, act)| match act {
            Act::Ignored(topic, why) => Some((topic.as_str(), *why)),
            _ => None,
        });
        ignored.collect()
    }

    pub fn refused(&self) -> Vec<&str> {
        let refused = self.board.acts.iter().filter_map(|(_, act)| match act {
            Act::Refused(topic) => Some(topic.as_str()),
            _ => None,
        });
        refused.collect()
    }
}
