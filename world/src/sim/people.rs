//! People: who sends messages to devices, gives them commands with ids, and presses buttons.

use std::collections::VecDeque;

use aldis_device::Mail;
use aldis_protocol::{LampCommand, Message as Letter, Scratch, encode_command, encode_restart};

use crate::broker::codec::{Qos, Version};
use crate::broker::{DropReason, Dropped, Message, Versions};
use crate::log::{What, short};
use crate::plan::Script;
use crate::rng::Rng;

use super::{Ev, World};

/// How many messages come in a row.
const BURST: u32 = 30;

/// How much of what was sent is remembered, to be sent again.
const REMEMBERED: usize = 6;

/// What people say.
const TEXTS: [&str; 6] = [
    "dinner is ready",
    "Ar uždarei langą?",
    "Die Wäsche ist fertig\nbitte aufhängen",
    "Zażółć gęślą jaźń",
    "call back when you can, it is about the meeting tomorrow at ten, nothing bad, but soon",
    "☎ \"quoted\" \\ and a tab\t.",
];

/// A message as it is sent.
#[derive(Clone, Debug)]
struct Draft {
    id: Option<String>,
    text: String,
    payload: Vec<u8>,
    /// Seconds for which the broker keeps it.
    expires_s: Option<u32>,
}

/// What was sent to one device.
#[derive(Clone, Debug, Default)]
struct Desk {
    drafts: VecDeque<Draft>,
    commands: VecDeque<(String, &'static str)>,
}

/// The people.
#[derive(Clone, Debug)]
pub(super) struct People {
    rng: Rng,
    count: u32,
    desks: Vec<Desk>,
}

impl People {
    pub fn new(rng: Rng, devices: usize) -> Self {
        Self {
            rng,
            count: 0,
            desks: vec![Desk::default(); devices],
        }
    }

    /// How long it is until somebody does something.
    pub fn wait(&mut self, mean: u64) -> u64 {
        self.rng.wait(mean).max(200)
    }

    fn name(&mut self, kind: char) -> String {
        self.count += 1;
        format!("{kind}{}", self.count)
    }

    /// A message as somebody writes it.
    fn draft(&mut self, devices: u64) -> Draft {
        let id = self.rng.percent(70).then(|| self.name('m'));
        let text = match self.rng.below(8) {
            0 => "long ".repeat(48),
            kind => TEXTS[kind as usize % TEXTS.len()].to_owned(),
        };
        let from = match self.rng.below(4) {
            0 => Some(format!("d{}", self.rng.below(devices))),
            1 => Some("desk".to_owned()),
            _ => None,
        };
        let expires_s = match self.rng.below(8) {
            0 => Some(0),
            1 => Some(self.rng.between(1, 900) as u32),
            _ => None,
        };
        let expiry = self.rng.percent(10);
        self.written(id, from.as_deref(), text, expires_s, expiry)
    }

    fn written(
        &mut self,
        id: Option<String>,
        from: Option<&str>,
        text: String,
        expires_s: Option<u32>,
        expiry: bool,
    ) -> Draft {
        let letter = Letter {
            id: id.as_deref(),
            from,
            text: &text,
            expires_s: expires_s.filter(|_| !expiry),
            ..Letter::default()
        };
        let plain = id.is_none() && from.is_none() && expires_s.is_none();
        let payload = match plain {
            true => text.as_bytes().to_vec(),
            false => {
                let mut payload = vec![0; Letter::MAX_LEN];
                let len = letter.encode(&mut payload).unwrap_or(0);
                payload.truncate(len);
                payload
            }
        };
        // As the device has it: it knows no tab.
        let mut scratch = Scratch::new();
        let read = Letter::decode(&payload, &mut scratch).map(|letter| letter.text.to_owned());
        Draft {
            id,
            text: read.unwrap_or(text),
            payload,
            expires_s: expires_s.filter(|_| expiry),
        }
    }

    /// One that no device takes.
    fn nonsense(&mut self) -> Draft {
        let id = self.name('n');
        let payload = match self.rng.below(5) {
            0 => "long".repeat(100).into_bytes(),
            1 => vec![b'n', 0xff, b'o'],
            2 => vec![b'x'; 5_000],
            3 => format!("{{\"id\":\"{id}\",\"text\":\"\"}}").into_bytes(),
            _ => format!("{{\"id\":\"{id}\",\"text\":\"{}\"}}", "long".repeat(90)).into_bytes(),
        };
        Draft {
            id: None,
            text: String::new(),
            payload,
            expires_s: None,
        }
    }
}

impl World {
    /// Somebody has to do with some device.
    pub(super) fn people_act(&mut self) {
        let devices = self.nodes.len() as u64;
        if devices == 0 {
            return;
        }
        let index = self.people.rng.below(devices) as usize;
        match self.people.rng.below(100) {
            0..45 => {
                let count = match self.people.rng.percent(5) {
                    true => BURST,
                    false => 1,
                };
                self.message_follows(index, count);
            }
            45..75 => self.command_with_id(index),
            _ => self.press_somehow(index),
        }
    }

    /// What people do in the reference hour.
    pub(super) fn people_in(&mut self, scene: u32) {
        const SECOND: u64 = 1_000;
        let now = self.now;
        let after = |ms| now + ms;
        match scene {
            1 | 6 => {
                self.send_message(0, Some("desk"), TEXTS[scene as usize % TEXTS.len()]);
                self.queue.push(after(20 * SECOND), Ev::Read(0, 1));
            }
            // Something with an id, and the same once more, or another.
            2 | 3 | 9 => self.command_with_id(0),
            // The broker is not there, or has just forgotten: what the person wants waits.
            5 | 7 | 10 => {
                self.queue.push(after(2 * SECOND), Ev::Button(0, true));
                self.queue.push(after(3 * SECOND), Ev::Button(0, false));
            }
            8 => {
                let draft = self.people.nonsense();
                self.send_draft(0, &draft, Qos::ExactlyOnce);
            }
            // More than there is room for, and then they are read.
            11 => self.message_follows(0, Mail::PLACES as u32 + 2),
            12 => {
                self.send_message(0, None, TEXTS[1]);
            }
            _ => {}
        }
    }

    /// Somebody comes, soon most of the time, and reads what is there.
    fn somebody_comes(&mut self, index: usize) {
        let most = match self.people.rng.percent(92) {
            true => 30_000,
            false => 1_800_000,
        };
        let at = self.now + self.people.rng.between(500, most);
        let presses = Mail::PLACES as u32 + 4;
        self.queue.push(at, Ev::Read(index, presses));
    }

    /// Somebody reads what is there, of so many messages at most.
    pub(super) fn read(&mut self, index: usize, left: u32) -> bool {
        let unread = self.nodes[index].env.side.borrow().witness.has_unread();
        if !unread || left == 0 {
            return false;
        }
        self.button(index, true);
        let up = self.now + 100;
        self.queue.push(up, Ev::Button(index, false));
        self.queue.push(up + 600, Ev::Read(index, left - 1));
        true
    }

    /// One of so many messages in a row.
    pub(super) fn message_follows(&mut self, index: usize, left: u32) {
        self.send_some(index);
        if left > 1 {
            let gap = self.people.rng.between(0, 33);
            self.queue
                .push(self.now + gap, Ev::Message(index, left - 1));
        } else {
            self.somebody_comes(index);
        }
    }

    fn send_some(&mut self, index: usize) {
        let devices = self.nodes.len() as u64;
        let people = &mut self.people;
        let qos = people.rng.of(&[Qos::AtLeastOnce, Qos::ExactlyOnce]);
        let known = people.desks[index].drafts.len() as u64;
        if known > 0 && people.rng.percent(20) {
            let again = people.rng.below(known) as usize;
            let draft = people.desks[index].drafts[again].clone();
            return self.send_draft(index, &draft, qos);
        }
        if people.rng.percent(12) {
            let draft = people.nonsense();
            return self.send_draft(index, &draft, qos);
        }
        let draft = people.draft(devices);
        if draft.id.is_some() {
            let drafts = &mut people.desks[index].drafts;
            if drafts.len() == REMEMBERED {
                drafts.pop_front();
            }
            drafts.push_back(draft.clone());
        }
        self.send_draft(index, &draft, qos);
    }

    pub(super) fn send_message(&mut self, index: usize, from: Option<&str>, text: &str) -> bool {
        if index >= self.nodes.len() {
            return false;
        }
        let id = Some(self.people.name('m'));
        let draft = self.people.written(id, from, text.to_owned(), None, false);
        let topic = self.nodes[index].topics.message_set.clone();
        let holds = self.broker_holds_for(index, &topic);
        self.send_draft(index, &draft, Qos::ExactlyOnce);
        holds
    }

    /// Whether the broker would keep what is sent to a device on this topic.
    fn broker_holds_for(&self, index: usize, topic: &str) -> bool {
        let able = self.host.up && !self.host.dark && !self.host.hangs;
        let session = self.broker.session(&self.nodes[index].id);
        able && session.is_some_and(|session| {
            let mut filters = session.subscriptions.iter();
            filters.any(|(filter, _)| filter == topic)
        })
    }

    fn send_draft(&mut self, index: usize, draft: &Draft, qos: Qos) {
        let topic = self.nodes[index].topics.message_set.clone();
        let mut message = Message::new(&topic, &draft.payload, qos);
        message.properties.message_expiry_interval = draft.expires_s;
        let readable = !draft.text.is_empty() && draft.expires_s.is_none();
        if self.give_to(index, message) && readable {
            self.message_is_due(index, draft.id.as_deref(), &draft.text);
        }
        self.pump(index);
    }

    /// The broker keeps this for a device.
    pub(super) fn message_is_due(&mut self, index: usize, id: Option<&str>, text: &str) {
        let witness = &mut self.nodes[index].env.side.borrow_mut().witness;
        witness.now = self.now;
        witness.say(What::Letter("is sent", short(id.unwrap_or_default())));
        witness.message_due(id, text);
    }

    /// Gives the broker something for a device. Says whether it keeps it.
    fn give_to(&mut self, index: usize, message: Message) -> bool {
        if !self.host.up || self.host.dark || self.host.hangs {
            return false;
        }
        let topic = message.topic.clone();
        let holds = self.broker_holds_for(index, &topic);
        self.broker.take_dropped();
        self.broker.publish(message, self.now);
        let node = &self.nodes[index];
        let dropped = self.broker.take_dropped().into_iter().any(|dropped| {
            let lost = matches!(
                dropped.reason,
                DropReason::QueueFull | DropReason::TooLarge | DropReason::Expired
            );
            lost && dropped.topic == topic && dropped.client_id == node.id
        });
        holds && !dropped
    }

    /// Somebody gives a command with an id, perhaps once more.
    fn command_with_id(&mut self, index: usize) {
        let people = &mut self.people;
        let known = people.desks[index].commands.len() as u64;
        let (id, word) = match known > 0 && people.rng.percent(50) {
            true => {
                let again = people.rng.below(known) as usize;
                people.desks[index].commands[again].clone()
            }
            false => {
                let word = people
                    .rng
                    .of(&["toggle", "toggle", "toggle", "on", "off", "dance"]);
                let command = (people.name('c'), word);
                let commands = &mut people.desks[index].commands;
                if commands.len() == REMEMBERED {
                    commands.pop_front();
                }
                commands.push_back(command.clone());
                command
            }
        };
        let mut payload = [0; 128];
        let len = match LampCommand::decode(word.as_bytes()) {
            Some(command) => encode_command(Some(&id), command, &mut payload).unwrap_or(0),
            None => {
                let text = format!("{{\"command\":\"{word}\",\"id\":\"{id}\"}}");
                payload[..text.len()].copy_from_slice(text.as_bytes());
                text.len()
            }
        };
        let qos = people.rng.of(&[Qos::AtLeastOnce, Qos::ExactlyOnce]);
        let asks = people.rng.percent(40);
        let topics = &self.nodes[index].topics;
        let mut message = Message::new(&topics.led_set, &payload[..len], qos);
        let five = self.broker.config().versions != Versions::Only(Version::V4);
        if asks && five {
            message.properties.response_topic = Some(topics.response.clone());
            message.properties.correlation_data = Some(id.as_bytes().to_vec());
        }
        self.say(index, What::Asked("is given", short(&id)));
        let env = self.nodes[index].env.clone();
        env.side.borrow_mut().witness.command_given(&id);
        self.give_to(index, message);
        self.pump(index);
    }

    /// Somebody tells a device to restart: with a name or without, once or again.
    pub(super) fn tell_to_restart(&mut self, index: usize) {
        let able = self.host.up && !self.host.dark && !self.host.hangs;
        let people = &mut self.people;
        let id = people.rng.percent(50).then(|| people.name('r'));
        let times = people.rng.of(&[1, 1, 2]);
        let mut payload = [0; 128];
        let len = encode_restart(id.as_deref(), &mut payload).unwrap_or(0);
        for _ in 0..times {
            let of = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
            let qos = self.people.rng.of(&of);
            let topic = &self.nodes[index].topics.restart;
            let message = Message::new(topic, &payload[..len], qos);
            if able {
                let env = self.nodes[index].env.clone();
                env.side.borrow_mut().witness.restart_given();
            }
            self.give_to(index, message);
        }
        self.pump(index);
    }

    /// A person presses a device's button.
    fn press_somehow(&mut self, index: usize) {
        let rng = &mut self.people.rng;
        let mut at = self.now + 1;
        let mut edges = Vec::new();
        let mut press = |at: &mut u64, down: u64, up: u64| {
            edges.push((*at, true));
            edges.push((*at + down, false));
            *at += down + up;
        };
        match rng.below(10) {
            0..5 => {
                for _ in 0..rng.between(1, 6) {
                    press(&mut at, rng.between(60, 400), rng.between(500, 3_000));
                }
            }
            5..8 => press(&mut at, rng.between(900, 3_000), 0),
            8 => {
                // The list of presets: the next one, and send it, or leave it.
                press(&mut at, 100, 150);
                press(&mut at, 100, 1_000);
                press(&mut at, 200, 1_000);
                press(&mut at, rng.between(200, 1_500), 0);
            }
            _ => press(&mut at, rng.between(60_000, 900_000), 0),
        }
        for (at, pressed) in edges {
            self.queue.push(at, Ev::Button(index, pressed));
        }
    }

    /// The contact of a device's button closes or opens.
    pub(super) fn button(&mut self, index: usize, pressed: bool) -> bool {
        let Some(node) = self.nodes.get(index) else {
            return false;
        };
        if node.life.is_none() {
            return false;
        }
        self.say(index, What::Button(pressed));
        node.env.side.borrow_mut().button.push(pressed);
        self.poke(index);
        true
    }

    /// The broker has a message of a device's for another one.
    pub(super) fn sent(&mut self, from: usize, topic: &[u8], payload: &[u8], dropped: &[Dropped]) {
        let mut scratch = Scratch::new();
        let Ok(letter) = Letter::decode(payload, &mut scratch) else {
            return;
        };
        let topic = String::from_utf8_lossy(topic);
        let to = topic
            .strip_prefix("aldis/")
            .and_then(|rest| rest.strip_suffix("/message/set"))
            .unwrap_or_default();
        let id = letter.id.unwrap_or_default();
        {
            let node = &mut self.nodes[from];
            node.heard_at = self.now;
            let witness = &mut node.env.side.borrow_mut().witness;
            witness.now = self.now;
            witness.sent(to, id);
        }
        let Some(index) = self.nodes.iter().position(|node| node.id == to) else {
            return;
        };
        // Which of several at once it was cannot be seen.
        let dropped = dropped
            .iter()
            .any(|dropped| dropped.topic == topic && dropped.client_id == to);
        if !dropped && self.broker_holds_for(index, &topic) {
            self.message_is_due(index, letter.id, letter.text);
            if self.plan.script == Script::Random {
                self.somebody_comes(index);
            }
        }
        self.receivers.push(index);
    }
}
