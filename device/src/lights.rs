//! What the lamp shows: its own state, or for a while something else.

use aldis_mqtt::Instant;
use aldis_protocol::Lamp;

use crate::morse::Sender;

/// How a lamp calls for a person: lit (or dark, where it is lit) for so long, each so
/// many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A message waits.
    Message,
    /// An urgent one does.
    Urgent,
}

impl Call {
    const fn flash_ms(self) -> (u64, u64) {
        match self {
            Self::Message => (100, 1_500),
            Self::Urgent => (150, 400),
        }
    }
}

/// What the lamp shows.
#[derive(Debug, Default)]
pub(crate) struct Lights {
    shown: Option<Lamp>,
    /// A text that is played.
    playing: Option<Sender>,
    /// The Morse key is held.
    pub key: bool,
    /// A person is called for, since then.
    call: Option<(Call, Instant)>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Light or darken the lamp.
    pub light: Option<Lamp>,
    /// The text that was played is at its end.
    pub played: bool,
    /// When to look again.
    pub until: Option<Instant>,
}

impl Lights {
    /// As long as the space between words.
    const DARK_DOTS: u32 = 7;

    /// What the lamp was lit to before anything else.
    pub fn new(lamp: Lamp) -> Self {
        Self {
            shown: Some(lamp),
            ..Self::default()
        }
    }

    /// Plays a text, after a moment of darkness where the lamp is lit. Says whether
    /// another one ends for it.
    pub fn play(&mut self, mut text: Sender, now: Instant) -> bool {
        if self.shown == Some(Lamp::On) {
            text.begin(now.after(text.dot_ms().saturating_mul(Self::DARK_DOTS)));
        }
        self.playing.replace(text).is_some()
    }

    /// Ends what is played. Says whether something was.
    pub fn stop(&mut self) -> bool {
        self.playing.take().is_some()
    }

    /// Calls for a person, or no longer.
    pub fn call(&mut self, call: Option<Call>, now: Instant) {
        match (call, self.call) {
            (Some(call), Some((before, _))) if call == before => {}
            (call, _) => self.call = call.map(|call| (call, now)),
        }
    }

    /// Whether nothing but the lamp's own state is to be seen.
    fn is_itself(&self) -> bool {
        self.playing.is_none() && !self.key && self.call.is_none()
    }

    /// Whether this is the lamp's own state, and what it shows.
    pub fn shows_only(&self, lamp: Lamp) -> bool {
        self.is_itself() && self.shown == Some(lamp)
    }

    /// The lamp is told to be so. Says whether that is what it shows now.
    pub fn set(&mut self, lamp: Lamp) -> bool {
        let itself = self.is_itself();
        if itself {
            self.shown = Some(lamp);
        }
        itself
    }

    /// What the lamp is to show, where its own state is `lamp`.
    pub fn run(&mut self, lamp: Lamp, now: Instant) -> Change {
        let mut change = Change::default();
        let mut show = lamp;
        if let Some(text) = &mut self.playing {
            match text.run(now) {
                Some((lit, until)) => {
                    show = if lit { Lamp::On } else { Lamp::Off };
                    change.until = Some(until);
                }
                None => {
                    self.playing = None;
                    change.played = true;
                }
            }
        }
        if self.playing.is_none() {
            if self.key {
                show = Lamp::On;
            } else if let Some((call, since)) = self.call {
                let (flash, period) = call.flash_ms();
                let phase = now.since(since).checked_rem(period).unwrap_or(0);
                let (inverted, left) = match phase < flash {
                    true => (true, flash.saturating_sub(phase)),
                    false => (false, period.saturating_sub(phase)),
                };
                if inverted {
                    show = match lamp {
                        Lamp::On => Lamp::Off,
                        Lamp::Off => Lamp::On,
                    };
                }
                change.until = Some(now.after(u32::try_from(left).unwrap_or(u32::MAX)));
            }
        }
        if self.shown != Some(show) {
            self.shown = Some(show);
            change.light = Some(show);
        }
        change
    }
}
