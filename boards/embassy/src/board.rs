//! A board as the device sees it: hardware, store and console.

use aldis_device::{Board, Kept, Letter, Mark, Note, Notice, Outgoing, Saved, Vitals};
use aldis_flash::Store;
use aldis_flash::config::{Config, Level};
use aldis_flash::store::Error;
use aldis_mqtt::Cause;
use aldis_protocol::Lamp;
use embedded_storage_async::nor_flash::NorFlash;

use crate::Hardware;
use crate::console::Line;

/// Hardware, store and console.
pub(crate) struct EmbassyBoard<'b, H, F> {
    pub hardware: &'b mut H,
    pub store: Option<&'b mut Store<F>>,
    pub config: &'b Config<'b>,
    /// A measurement is to begin.
    pub measure: bool,
    /// How often an address was lost or changed.
    pub address_losses: u32,
    lamp: Option<Lamp>,
    /// The flash refused, which was said once.
    store_failed: bool,
    connected: bool,
    /// Why there was no connection when that was said last.
    said: Option<Cause>,
}

impl<'b, H: Hardware, F: NorFlash> EmbassyBoard<'b, H, F> {
    pub fn new(
        hardware: &'b mut H,
        store: Option<&'b mut Store<F>>,
        config: &'b Config<'b>,
    ) -> Self {
        Self {
            hardware,
            store,
            config,
            measure: false,
            address_losses: 0,
            lamp: None,
            store_failed: false,
            connected: false,
            said: None,
        }
    }

    pub fn say(&mut self, level: Level, line: Line<'_>) {
        self.hardware.print(level, format_args!("{line}"));
    }

    fn say_lamp(&mut self, lamp: Lamp) {
        if self.lamp != Some(lamp) {
            self.lamp = Some(lamp);
            self.say(Level::Info, Line::Lamp(lamp));
        }
    }

    /// Writes to the store, if there is one. Says whether it was written.
    fn store(&mut self, write: impl FnOnce(&mut Store<F>) -> Result<(), Error>) -> bool {
        let Some(stored) = self.store.as_mut().map(|store| write(store)) else {
            return false;
        };
        match stored {
            Ok(()) => self.store_failed = false,
            Err(error) if !self.store_failed => {
                self.store_failed = true;
                self.say(Level::Error, Line::Store(error));
            }
            Err(_) => {}
        }
        stored.is_ok()
    }
}

impl<H: Hardware, F: NorFlash> Board for EmbassyBoard<'_, H, F> {
    fn measure(&mut self) {
        self.measure = true;
    }

    fn light(&mut self, lamp: Lamp) {
        self.hardware.light(lamp);
        // As it was before the start; later it may be lit to call for somebody.
        if self.lamp.is_none() {
            self.say_lamp(lamp);
        }
    }

    fn save(&mut self, saved: &Saved) {
        self.store(|store| store.save(saved));
    }

    fn keep(&mut self, kept: &Kept, saved: &Saved) {
        self.store(|store| store.keep(kept, saved));
    }

    fn done(&mut self, kept: &Kept) {
        self.store(|store| store.done(kept));
    }

    fn keep_letter(&mut self, letter: &Letter) {
        self.store(|store| store.keep_letter(letter));
    }

    fn mark_letter(&mut self, mark: &Mark) {
        self.store(|store| store.mark_letter(mark));
    }

    fn keep_note(&mut self, note: &Note) -> bool {
        self.store(|store| store.keep_note(note))
    }

    fn forget_note(&mut self, number: u32) {
        self.store(|store| store.forget_note(number));
    }

    fn keep_outgoing(&mut self, outgoing: &Outgoing) {
        self.store(|store| store.keep_outgoing(outgoing));
    }

    fn forget_outgoing(&mut self, number: u32) {
        self.store(|store| store.forget_outgoing(number));
    }

    fn restart(&mut self) {
        self.hardware.restart();
    }

    fn vitals(&mut self) -> Vitals {
        Vitals {
            dhcp_losses: Some(self.address_losses),
            ..self.hardware.vitals()
        }
    }

    fn notice(&mut self, notice: Notice<'_>) {
        match notice {
            Notice::Reading(reading) => self.say(Level::Debug, Line::Reading(reading)),
            Notice::Sensor(state) => self.say(Level::Info, Line::Sensor(state)),
            Notice::Connected(version) => {
                self.connected = true;
                self.said = None;
                let (host, port) = (self.config.host, self.config.port);
                self.say(
                    Level::Info,
                    Line::Connected {
                        host,
                        port,
                        version,
                    },
                );
            }
            Notice::Lost(cause) if self.connected => {
                self.connected = false;
                self.say(Level::Info, Line::Lost(cause));
            }
            Notice::Lost(cause) if self.said != Some(cause) => {
                self.said = Some(cause);
                self.say(Level::Info, Line::NotConnected(cause));
            }
            Notice::Quiet { most_ms } => self.say(Level::Info, Line::Quiet(most_ms / 1_000)),
            Notice::Ignored { topic, why } => self.say(Level::Warn, Line::Ignored(topic, why)),
            Notice::Refused { topic, reason } => {
                self.say(Level::Warn, Line::Refused(topic, reason));
            }
            Notice::Lamp(lamp) => self.say_lamp(lamp),
            Notice::Message { id, .. } => self.say(Level::Info, Line::Message(id)),
            Notice::MessageState { id, state } => {
                self.say(Level::Info, Line::MessageState(id, state));
            }
            Notice::Sending { to, .. } => self.say(Level::Info, Line::Sending(to)),
            Notice::Heard { text, wpm } => self.say(Level::Info, Line::Heard(text, wpm)),
            // The lamp tells of the command.
            Notice::Lost(_)
            | Notice::Command { .. }
            | Notice::Restart { .. }
            | Notice::Published { .. }
            | Notice::Delivered { .. }
            | Notice::GivenUp { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aldis_device::{Order, Radio};
    use aldis_protocol::Reading;
    use aldis_world::flash::Flash;
    use std::fmt;

    struct Nothing;

    impl Hardware for Nothing {
        fn light(&mut self, _: Lamp) {}
        fn vitals(&mut self) -> Vitals {
            Vitals::default()
        }
        fn feed(&mut self) {}
        fn radio(&mut self) -> Radio {
            Radio::default()
        }
        fn order(&mut self, _: Order) {}
        fn restart(&mut self) {}
        fn print(&mut self, _: Level, _: fmt::Arguments<'_>) {}
    }

    /// Everything of a long outage comes twice after a restart.
    #[test]
    fn what_is_done_is_kept() {
        let mut store = Store::new(Flash::<4096>::new(8), 0..8 * 4096).unwrap();
        let config = Config::new("h", 1);
        let mut nothing = Nothing;
        let mut board = EmbassyBoard::new(&mut nothing, Some(&mut store), &config);
        let kept = Kept {
            seq: 1,
            boot: 1,
            uptime_ms: 0,
            reading: Some(Reading { t: 1, h: 1 }),
            done: 0,
        };
        board.keep(&kept, &Saved::default());
        board.done(&Kept { done: 1, ..kept });
        let mut left = 0;
        store.recall(9, |_| left += 1);
        assert_eq!(left, 0);
    }
}
