//! What is to be seen of a device.

use core::net::Ipv4Addr;

use aldis_mqtt::Instant;

use super::Device;
use crate::morse::Heard;
use crate::screen::{
    Boot, Contact, Message, Morse, Notice, Page as Shown, Presets, Readings, Status, View, Waiting,
    Wifi,
};
use crate::ui::{Page, Word};

/// What a board knows and a device does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts<'f> {
    /// How well the access point is heard.
    pub wifi: Wifi,
    /// The name of the network.
    pub network: &'f str,
    /// The board's address.
    pub address: Option<Ipv4Addr>,
    /// The broker's name.
    pub broker: &'f str,
}

impl<const BACKLOG: usize> Device<'_, BACKLOG> {
    /// Whether what is to be seen has changed since this was asked last. What changes
    /// with the time alone is not counted.
    pub fn has_changed(&mut self) -> bool {
        core::mem::take(&mut self.seen)
    }

    /// What is to be seen now.
    pub fn view<'v>(&'v self, facts: &Facts<'v>, now: Instant) -> View<'v> {
        let (unread, _) = self.mail.letters.unread();
        View {
            page: self.page(facts, now),
            status: Status {
                wifi: facts.wifi,
                broker: self.connected,
                delivered_ms: self.delivered_at.map(|at| now.since(at)),
                lamp: Some(self.saved.lamp),
                unread: u16::try_from(unread).unwrap_or(u16::MAX),
            },
            uptime_ms: now.since(self.started),
            awake_ms: self.ui.awake_ms(now),
        }
    }

    fn page<'v>(&'v self, facts: &Facts<'v>, now: Instant) -> Shown<'v> {
        let id = self.settings.topics.id();
        let version = self.settings.version;
        let readings = Shown::Readings(Readings {
            reading: self.reading_now,
            sensor: self.sensor_state(),
        });
        match self.ui.page() {
            Page::Boot => Shown::Boot(Boot {
                version,
                id,
                address: facts.address,
                waiting: match (facts.wifi, facts.address) {
                    _ if self.connected => Waiting::Nothing,
                    (Wifi::Lost, _) => Waiting::Wifi(facts.network),
                    (_, None) => Waiting::Address,
                    (_, Some(_)) => Waiting::Broker(facts.broker),
                },
            }),
            Page::Readings => readings,
            Page::Contact => Shown::Contact(Contact {
                id,
                version,
                address: facts.address,
                broker: facts.broker,
                waiting: u32::try_from(self.backlog.len()).unwrap_or(u32::MAX),
            }),
            Page::Letter(place) => {
                let Some(entry) = self.mail.letters.get(place) else {
                    return readings;
                };
                let (number, count) = self.mail.letters.position(place);
                Shown::Message(Message {
                    from: &entry.letter.from,
                    text: &entry.letter.text,
                    age_ms: entry.age_ms(now),
                    number: u16::try_from(number).unwrap_or(u16::MAX),
                    count: u16::try_from(count).unwrap_or(u16::MAX),
                    high: entry.is_urgent(),
                    read: entry.is_read(),
                    shown_ms: self.ui.shown_ms(now),
                })
            }
            Page::Morse => {
                let heard = self.last_heard.as_ref();
                Shown::Morse(Morse {
                    text: heard.map_or("", Heard::text),
                    keyed: if self.button.is_pressed() { "-" } else { "" },
                    wpm: heard.map(Heard::wpm),
                })
            }
            Page::Presets(selected) => Shown::Presets(Presets {
                to: self.addressee().unwrap_or("?"),
                texts: self.settings.presets,
                selected,
            }),
            Page::Word(word) => Shown::Notice(notice(word)),
        }
    }
}

fn notice(word: Word) -> Notice<'static> {
    let (title, text) = match word {
        Word::Waits => ("Sending", "It goes as soon as there is contact."),
        Word::Sent => ("Sent", "The broker has it."),
        Word::Refused => ("Not sent", "The broker refused it."),
        Word::Full => ("Not sent", "Too much waits to be sent."),
        Word::Nothing => ("Not sent", "No text is configured."),
        Word::Nobody => ("Not sent", "It is not known to whom."),
    };
    Notice { title, text }
}
