//! Payloads that are one word: exactly these bytes, without spaces, line ends or capitals.

use core::fmt;

macro_rules! words {
    ($(
        $(#[$about:meta])*
        $name:ident { $($(#[$meaning:meta])* $variant:ident = $word:literal,)* }
    )*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$meaning])* $variant,)*
        }

        impl $name {
            /// Every word there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// What a payload says, if it is exactly one of the words.
            pub fn decode(payload: &[u8]) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str().as_bytes() == payload)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

words! {
    /// Whether the climate sensor can be believed.
    SensorState {
        /// The latest reading succeeded.
        Ok = "ok",
        /// The sensor is there, but has given no good reading for a while.
        Stale = "stale",
        /// The sensor does not answer.
        Missing = "missing",
    }

    /// Whether the device is connected.
    Availability {
        /// Published after connecting.
        Online = "online",
        /// Published by the broker in the device's name when it is lost, or by the device when
        /// it stops.
        Offline = "offline",
    }

    /// The state of the lamp.
    Lamp {
        /// Lit.
        On = "on",
        /// Dark.
        Off = "off",
    }

    /// What the lamp is told.
    LampCommand {
        /// Light the lamp.
        On = "on",
        /// Darken the lamp.
        Off = "off",
        /// Light the lamp if it is dark, else darken it.
        Toggle = "toggle",
    }

    /// What became of a message, in the order in which it comes.
    MessageState {
        /// The device has it, and keeps it over a restart.
        Received = "received",
        /// It is on the screen.
        Shown = "shown",
        /// Somebody pressed the button.
        Read = "read",
        /// Nobody read it in its time.
        Expired = "expired",
        /// Newer ones pushed it out before it was read.
        Replaced = "replaced",
        /// The device could not take it.
        Refused = "refused",
    }

    /// How much a message matters.
    #[derive(Default)]
    Priority {
        /// It can wait.
        Low = "low",
        /// As most do.
        #[default]
        Normal = "normal",
        /// It cannot.
        High = "high",
    }

    /// Why a message or a command was refused: for people, and always in these words.
    Reason {
        /// Some byte is not UTF-8.
        NotUtf8 = "not UTF-8",
        /// It begins with a brace and is not a JSON object.
        Malformed = "malformed JSON",
        /// No text, or nothing but spaces.
        NoText = "no text",
        /// The text is longer than [`MAX_TEXT_LEN`](crate::message::MAX_TEXT_LEN).
        TooLong = "the text is longer than 256 bytes",
        /// The id breaks the rule of [`valid_message_id`](crate::message::valid_message_id).
        Id = "the id is not a string of 1 to 36 bytes without control characters",
        /// The sender breaks the rule of [`check_id`](crate::topic::check_id).
        From = "from is not a device id",
        /// The priority is none of [`Priority`].
        Priority = "the priority is neither low, normal nor high",
        /// The number of seconds is none.
        Expires = "expires_s is not a whole number",
        /// The command is none of [`LampCommand`].
        Command = "neither on, off nor toggle",
        /// The speed is not one from [`MIN_WPM`](crate::MIN_WPM) to [`MAX_WPM`](crate::MAX_WPM).
        Wpm = "wpm is not a whole number from 5 to 40",
        /// The packet is larger than the device's memory for one.
        TooLarge = "larger than the device can receive",
        /// The command is not to restart.
        Restart = "not the word restart",
    }

    /// How the device runs, where that is not as usual.
    Mode {
        /// It started too often without lasting: sensor and display are left alone.
        Safe = "safe",
    }

    /// Why the device started.
    ResetReason {
        /// Power came on, or the reset button was pressed.
        Power = "power",
        /// The firmware restarted itself.
        Software = "software",
        /// The firmware made no progress.
        Watchdog = "watchdog",
        /// The firmware found itself broken.
        Panic = "panic",
        /// The supply voltage dropped too low.
        Brownout = "brownout",
        /// Woke from deep sleep.
        Sleep = "sleep",
    }
}

impl MessageState {
    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Received | Self::Shown)
    }
}

impl core::error::Error for Reason {}

impl LampCommand {
    /// The lamp after the command.
    pub const fn apply(self, lamp: Lamp) -> Lamp {
        match (self, lamp) {
            (Self::On, _) | (Self::Toggle, Lamp::Off) => Lamp::On,
            (Self::Off, _) | (Self::Toggle, Lamp::On) => Lamp::Off,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Device and hub disagree about a word, or one word means two things.
    #[test]
    fn words_decode_back_and_nothing_else_does() {
        fn check<T: Copy + fmt::Debug + PartialEq>(
            all: &[T],
            word: fn(T) -> &'static str,
            decode: fn(&[u8]) -> Option<T>,
        ) {
            for &meaning in all {
                let word = word(meaning).as_bytes();
                assert_eq!(decode(word), Some(meaning));
                let mut longer = [0; 80];
                for extra in [b' ', b'\n', 0] {
                    longer[..word.len()].copy_from_slice(word);
                    longer[word.len()] = extra;
                    assert_eq!(decode(&longer[..=word.len()]), None);
                }
                longer[..word.len()].copy_from_slice(word);
                longer[0] = longer[0].to_ascii_uppercase();
                assert_eq!(decode(&longer[..word.len()]), None);
                assert_eq!(decode(&word[1..]), None);
            }
            assert_eq!(decode(b""), None);
        }
        check(SensorState::ALL, SensorState::as_str, SensorState::decode);
        check(
            Availability::ALL,
            Availability::as_str,
            Availability::decode,
        );
        check(Lamp::ALL, Lamp::as_str, Lamp::decode);
        check(LampCommand::ALL, LampCommand::as_str, LampCommand::decode);
        check(Mode::ALL, Mode::as_str, Mode::decode);
        check(
            MessageState::ALL,
            MessageState::as_str,
            MessageState::decode,
        );
        check(Priority::ALL, Priority::as_str, Priority::decode);
        check(Reason::ALL, Reason::as_str, Reason::decode);
        check(ResetReason::ALL, ResetReason::as_str, ResetReason::decode);
    }

    /// A limit that is told is not the one that holds.
    #[test]
    fn reasons_name_the_limits() {
        use crate::message::{MAX_MESSAGE_ID_LEN, MAX_TEXT_LEN};
        use crate::{MAX_WPM, MIN_WPM};
        use std::format;

        for (reason, limit) in [
            (Reason::TooLong, format!("{MAX_TEXT_LEN} bytes")),
            (Reason::Id, format!("1 to {MAX_MESSAGE_ID_LEN} bytes")),
            (Reason::Wpm, format!("from {MIN_WPM} to {MAX_WPM}")),
        ] {
            assert!(reason.as_str().contains(&limit), "{reason}: {limit}");
        }
    }

    /// The lamp does the opposite of what it was told.
    #[test]
    fn commands_do_what_they_say() {
        for lamp in [Lamp::On, Lamp::Off] {
            assert_eq!(LampCommand::On.apply(lamp), Lamp::On);
            assert_eq!(LampCommand::Off.apply(lamp), Lamp::Off);
            assert_ne!(LampCommand::Toggle.apply(lamp), lamp);
        }
    }
}
