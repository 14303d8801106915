//! The person at the device: button and pages.

use core::fmt::Write as _;

use aldis_mqtt::{Instant, Publication, PublishError, QoS, ReasonCode, Session};
use aldis_protocol::topic::{MAX_ID_LEN, MAX_LEN};
use aldis_protocol::{Message, Topic, Topics};
use heapless::String;

use super::Device;
use crate::button::{Certain, Press};
use crate::mail::{Id, Outgoing};
use crate::morse::Heard;
use crate::ui::{Act, Word};
use crate::{Board, GivenUp, Notice};

impl<const BACKLOG: usize> Device<'_, BACKLOG> {
    /// The contact of the button is closed (`pressed`) or open, from now on.
    pub fn button(&mut self, pressed: bool, now: Instant) {
        self.button.contact(pressed, now);
    }

    /// What the display shows can be seen now.
    pub fn drawn(&mut self, now: Instant) {
        self.ui.drawn();
        if let crate::ui::Page::Letter(place) = self.ui.page()
            && self.mail.letters.shown(place, now)
        {
            self.seen = true;
        }
    }

    /// Looks at the button, and does what is wanted.
    pub(super) fn person(&mut self, now: Instant, board: &mut impl Board) {
        while let Some(certain) = self.button.run(now) {
            match certain {
                Certain::Edge { pressed, at } if self.settings.morse_key => {
                    self.key(pressed, at, now, board);
                }
                Certain::Edge { pressed: true, .. } => self.ui.begin(),
                Certain::Press(press) if !self.settings.morse_key => {
                    self.press(press, now, board);
                }
                Certain::Edge { .. } | Certain::Press(_) => {}
            }
        }
        let heard = self.receiver.run(now);
        self.heard(heard, now, board);
        // Who is pressing means what is there.
        if !self.button.is_open() && self.ui.run(&self.mail.letters, now) {
            self.seen = true;
        }
    }

    /// The button is a Morse key, pressed or not since `at`. Whoever does not key reads
    /// with it what waits to be read.
    fn key(&mut self, pressed: bool, at: Instant, now: Instant, board: &mut impl Board) {
        self.lights.key = pressed;
        if pressed && !self.receiver.is_listening() && self.mail.letters.unread().0 > 0 {
            self.reading = true;
            self.seen = true;
            if let Some(place) = self.ui.key_reads(&self.mail.letters, now) {
                self.read(place, now, board);
            }
        }
        let reading = self.reading;
        self.reading = reading && pressed;
        if reading {
            return;
        }
        if pressed {
            self.ui.keyed(now);
            self.seen = true;
        }
        let heard = self.receiver.key(pressed, at);
        self.heard(heard, now, board);
    }

    /// Something was keyed: it is published when there is contact.
    fn heard(&mut self, heard: Option<Heard>, now: Instant, board: &mut impl Board) {
        let Some(heard) = heard else { return };
        board.notice(Notice::Heard {
            text: heard.text(),
            wpm: heard.wpm(),
        });
        self.ui.keyed(now);
        self.seen = true;
        self.last_heard = Some(heard.clone());
        if self.heard.is_full() {
            let _ = self.heard.pop_front();
            self.counters.gave_up(GivenUp::Full);
        }
        let _ = self.heard.push_back(heard);
    }

    fn press(&mut self, press: Press, now: Instant, board: &mut impl Board) {
        self.seen = true;
        let presets = self.settings.presets.len();
        match self.ui.press(press, &self.mail.letters, presets, now) {
            Some(Act::Read(place)) => self.read(place, now, board),
            Some(Act::Reply(place)) => {
                let to = own(self.sender(place));
                self.send(to, self.settings.reply, now, board);
                self.read_silently(place, now, board);
            }
            Some(Act::Send { preset, letter }) => {
                let to = own(self.recipient(letter));
                let text = self.settings.presets.get(preset).copied();
                self.send(to, text, now, board);
            }
            None => {}
        }
    }

    /// Who sent the message in this place.
    fn sender(&self, place: usize) -> Option<&str> {
        let entry = self.mail.letters.get(place)?;
        Some(entry.letter.from.as_str()).filter(|from| !from.is_empty())
    }

    /// To whom presets go: the configured peer, else who sent this message.
    fn recipient(&self, letter: Option<usize>) -> Option<&str> {
        let sender = || letter.and_then(|place| self.sender(place));
        self.settings.peer.or_else(sender)
    }

    /// To whom what is chosen goes.
    pub(super) fn addressee(&self) -> Option<&str> {
        self.recipient(self.ui.about())
    }

    fn read(&mut self, place: usize, now: Instant, board: &mut impl Board) {
        self.read_silently(place, now, board);
        self.ui.read(&self.mail.letters, now);
    }

    fn read_silently(&mut self, place: usize, now: Instant, board: &mut impl Board) {
        if self.mail.letters.read(place, now) {
            self.ended(place, now, board);
        }
    }

    /// Takes a message on, or says why not.
    fn send(
        &mut self,
        to: Option<String<MAX_ID_LEN>>,
        text: Option<&str>,
        now: Instant,
        board: &mut impl Board,
    ) {
        let text = text.and_then(|text| String::try_from(text).ok());
        let word = match (to, text, self.mail.outgoing.next_number()) {
            (_, None, _) => Word::Nothing,
            (None, ..) => Word::Nobody,
            (.., None) => Word::Full,
            (Some(to), Some(text), Some(number)) => {
                let mut id = Id::new();
                // No other device's ids begin so. The moment is in it for one that has
                // forgotten in which start it is.
                let (of, boot) = (hash(self.settings.topics.id()), self.saved.boot);
                let _ = write!(id, "{of:08x}-{boot}-{}", now.since(self.started));
                let outgoing = Outgoing {
                    number,
                    id,
                    to,
                    text,
                };
                board.keep_outgoing(&outgoing);
                self.mail.outgoing.push(outgoing, Some(number));
                Word::Waits
            }
        };
        self.ui.tell(word, now);
    }

    /// The topic on which another device takes messages, if it could be one.
    pub(super) fn inbox<'n>(&self, id: &str, name: &'n mut [u8; MAX_LEN]) -> Option<&'n str> {
        let topics = Topics::new(self.settings.topics.prefix(), id).ok()?;
        topics.write(Topic::MessageSet, name).ok()
    }

    /// Gives to the session what a person wants to be sent. It is delivered even if
    /// there is no contact now.
    pub(super) fn send_outgoing(
        &mut self,
        session: &mut Session<'_>,
        now: Instant,
        board: &mut impl Board,
    ) {
        while let Some(Outgoing { id, to, text, .. }) = self.mail.outgoing.next() {
            let topics = self.settings.topics;
            let mut name = [0; MAX_LEN];
            let topic = self.inbox(to, &mut name);
            let message = Message {
                id: Some(id),
                from: Some(topics.id()),
                text,
                ..Message::default()
            };
            let mut payload = [0; 1_024];
            let payload = message
                .encode(&mut payload)
                .ok()
                .and_then(|len| payload.get(..len));
            let mut published = None;
            if let (Some(topic), Some(payload)) = (topic, payload) {
                let publication = Publication::new(topic, payload).qos(QoS::ExactlyOnce);
                match session.publish(&publication, now) {
                    Ok(sent) => published = Some(sent.id),
                    Err(PublishError::Full) => return,
                    Err(_) => {
                        let reason = ReasonCode::PACKET_TOO_LARGE;
                        board.notice(Notice::Refused { topic, reason });
                    }
                }
            }
            match published {
                Some(_) => board.notice(Notice::Sending { to, text }),
                None => self.ui.tell(Word::Refused, now),
            }
            self.seen = true;
            self.mail.outgoing.sent(published);
        }
    }
}

fn own(name: Option<&str>) -> Option<String<MAX_ID_LEN>> {
    name.and_then(|name| String::try_from(name).ok())
}

/// Eight hexadecimal digits that stand for a device.
fn hash(id: &str) -> u32 {
    let hash = crate::recent::Recent::hash("", id.bytes());
    (hash ^ hash >> 32) as u32
}
