//! Morse code: a text as flashes of a lamp, and the strokes of a key as a text.
//!
//! [`Sender`] and [`Receiver`] are state machines like all here: time is an argument,
//! and each says when it wants to be asked again. They know neither lamp nor button.
//!
//! ```
//! use aldis_device::morse::{Receiver, Sender};
//! use aldis_mqtt::Instant;
//!
//! let mut sender = Sender::new("CQ de LY1A <SK>", 12)?;
//! let mut receiver = Receiver::new();
//!
//! // Somebody with a perfect hand repeats what the lamp shows.
//! let mut now = Instant::from_millis(0);
//! let mut lit = false;
//! while let Some((light, until)) = sender.run(now) {
//!     if light != lit {
//!         lit = light;
//!         assert!(receiver.key(lit, now).is_none());
//!     }
//!     now = until;
//! }
//! // The over has ended when the key was left alone for a while.
//! assert!(receiver.run(now).is_none());
//! let heard = receiver.run(receiver.deadline()).expect("an over");
//! assert_eq!((heard.text(), heard.wpm()), ("CQ DE LY1A <SK>", 12));
//! # Ok::<(), aldis_device::morse::NotSendable>(())
//! ```
//!
//! # Timing
//!
//! That of Recommendation ITU-R M.1677-1: a dash is three dots long, the space between
//! the marks of a letter one, between letters three, between words seven. At so many
//! words a minute a dot lasts 1200 / words milliseconds, because `PARIS` with the space
//! after it is 50 dots long.
//!
//! # Signs
//!
//! All of ITU-R M.1677-1, and `!`, `;`, `$` and `_` as amateurs send them. Several
//! letters sent as one, without space between them, are written in angle brackets.
//!
//! | Sent | Heard | |
//! |---|---|---|
//! | `<SN>`, `<VE>` | `<SN>` | understood |
//! | `<HH>` | `<HH>` | error: eight dots; more are the same |
//! | `<AS>` | `<AS>` | wait |
//! | `<SK>`, `<VA>` | `<SK>` | end of work |
//! | `<KA>`, `<CT>` | `<KA>` | starting signal |
//! | `K` | `K` | invitation to transmit |
//! | `<AR>` | `+` | end of message |
//! | `<BT>` | `=` | break |
//! | `<KN>` | `(` | invitation to one station |
//! | `<SOS>` | `<SOS>` | distress |
//! | `<BK>` | `<BK>` | break in |
//! | `<CL>` | `<CL>` | closing down |
//!
//! Any letters and figures may be put in brackets; what is no sign of this table is
//! heard as [`UNKNOWN`].
//!
//! # The key
//!
//! No two hands key alike, so the receiver has no fixed threshold. It collects an over
//! (up to [a silence](Receiver)) and then reads it as a whole: it looks for the dot
//! that explains all marks and spaces best, lets the speed change slowly within the over
//! and dashes and spaces have lengths of their own, and takes the sequence of known
//! signs that fits best to all of it.
//!
//! Its limits:
//!
//! - From 5 to 40 words a minute. Slower or faster dots are taken for something else.
//! - A few marks alone do not tell their speed: one short mark is `E`, or a fast `T`.
//!   Then the speed of the last over decides, before the first one 12 words a minute.
//! - The speed may drift by a third within an over, not jump.
//! - Spaces between letters and words may be twice as long as they should be. A text
//!   of single letters with such spaces is taken for one word. At 5 words a minute, a
//!   long space between words ends the over.
//! - Marks of other alphabets, as those of `Ä`, are [`UNKNOWN`]: ITU-R M.1677-1 has none
//!   but `É`.
//! - Where lengths vary by a tenth (standard deviation), one character of some tens of
//!   thousands is wrong; by 15 %, 0.5 of a hundred; by a fifth, 4 of a hundred, because
//!   dots and dashes overlap then. If dashes are too short as well, there is less
//!   between them and dots: 10 of a hundred. `device/tests/morse.rs` measures it.

mod code;
mod decode;
mod receiver;
mod sender;

pub use receiver::{Heard, Receiver};
pub use sender::{NotSendable, Sender};

/// What is written for marks that are no known sign. `#` itself cannot be sent.
pub const UNKNOWN: char = '#';

/// The longest text that can be sent, in bytes, as it is sent: `ä` counts as `AE`.
pub const TEXT_LEN: usize = 256;

/// The slowest and the fastest speed, in words a minute.
pub const WPM: core::ops::RangeInclusive<u8> = 5..=40;

/// One dot at so many words a minute, times that number, in milliseconds.
const DOT_MS: u32 = 1_200;
