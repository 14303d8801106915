//! The configuration of a board, as a record in its flash.
//!
//! ```text
//! "ALDS" | version u16 | length u16 | CRC-32 of what follows and of these two | entries
//! entry: tag u8 | length u8 | value
//! ```
//!
//! Numbers are little-endian. What is left out is the default, so a record of an
//! older program is understood. An entry with a tag that is not known is passed
//! over, so that of a newer program is as well; if it must not be, that program
//! raises the version, and the board says that its firmware is too old.

#[cfg(test)]
mod tests;

use core::fmt;

use aldis_device::dht::Model;
use aldis_device::{Settings, morse};
use aldis_mqtt::{Version, Versions};
use aldis_protocol::Message;
use aldis_protocol::topic::{self, DEFAULT_COMMAND, DEFAULT_PREFIX, DEFAULT_READOUT};

use crate::crc::crc32;

/// What the record begins with.
const MAGIC: [u8; 4] = *b"ALDS";
/// The version of the record that is written, and the newest that is understood.
const VERSION: u16 = 1;
const HEADER_LEN: usize = 12;

/// No record is longer than this.
pub const MAX_LEN: usize = 2_304;

/// The longest text of an entry, such as a password or the reply, in bytes.
pub const MAX_TEXT: usize = 255;
/// The longest preset, in bytes.
pub const MAX_PRESET: usize = 64;
/// The most presets.
pub const MAX_PRESETS: usize = 8;

/// How much the console says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Off,
    /// What does not work.
    Error,
    /// What may not work.
    Warn,
    /// What happens: one line for each change.
    #[default]
    Info,
    /// Every reading as well, and what the radio's driver says.
    Debug,
}

impl Level {
    /// Every level.
    pub const ALL: [Self; 5] = [Self::Off, Self::Error, Self::Warn, Self::Info, Self::Debug];
}

/// The configuration of a board.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Config<'a> {
    /// The device's id; without it the board makes one of its MAC address.
    pub id: Option<&'a str>,
    /// What the device's topics begin with.
    pub prefix: &'a str,
    /// The wireless network, for boards that need one.
    pub wifi: Option<Wifi<'a>>,
    /// The broker's host name or IPv4 address.
    pub host: &'a str,
    /// The broker's TCP port.
    pub port: u16,
    /// Which MQTT to speak.
    pub versions: Versions,
    /// User name at the broker.
    pub username: Option<&'a str>,
    /// Password at the broker.
    pub password: Option<&'a [u8]>,
    /// After how many seconds of silence the broker is asked for an answer.
    pub keep_alive_s: u16,
    /// GPIO numbers; those left out are the chip's defaults.
    pub pins: Pins,
    /// Where the plain readout goes, if anywhere.
    pub readout_topic: Option<&'a str>,
    /// Where plain `on` and `off` come from, if from anywhere.
    pub command_topic: Option<&'a str>,
    /// Seconds between readouts.
    pub interval_s: u32,
    /// A recorder confirms readings.
    pub confirm: bool,
    /// Which sensor is connected.
    pub model: Model,
    /// What the device sends to others.
    pub messages: Messages<'a>,
    /// The button and the lamp as a Morse key and light.
    pub morse: Morse,
    /// The display.
    pub screen: Screen,
    /// How much the console says.
    pub level: Level,
}

/// A wireless network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Wifi<'a> {
    /// Its name.
    pub ssid: &'a str,
    /// Its password; an open network has none.
    pub password: Option<&'a str>,
    /// The country whose rules for the radio apply, as two capital letters.
    pub country: Option<[u8; 2]>,
}

/// GPIO numbers, those that were configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// The lamp.
    pub led: Option<u8>,
    /// The climate sensor's data line.
    pub dht22: Option<u8>,
    /// The display's clock line.
    pub scl: Option<u8>,
    /// The display's data line.
    pub sda: Option<u8>,
    /// The button.
    pub button: Option<u8>,
}

/// What the device sends to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages<'a> {
    /// What a long press sends to the sender of a message.
    pub reply: Option<&'a str>,
    /// What can be chosen to be sent.
    pub presets: Presets<'a>,
    /// The device to which these go; without it they go to the sender of the message
    /// from which the list was opened.
    pub peer: Option<&'a str>,
}

/// Texts to be chosen from, at most [`MAX_PRESETS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presets<'a> {
    texts: [&'a str; MAX_PRESETS],
    len: usize,
}

impl<'a> Presets<'a> {
    /// None.
    pub const NONE: Self = Self {
        texts: [""; MAX_PRESETS],
        len: 0,
    };

    /// These, if they are not too many.
    pub fn new(texts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut presets = Self::NONE;
        for text in texts {
            presets.push(text)?;
        }
        Some(presets)
    }

    fn push(&mut self, text: &'a str) -> Option<()> {
        *self.texts.get_mut(self.len)? = text;
        self.len = self.len.saturating_add(1);
        Some(())
    }

    /// The texts, in their order.
    pub fn as_slice(&self) -> &[&'a str] {
        self.texts.get(..self.len).unwrap_or(&[])
    }
}

/// Whether a device can send this and another one shows it on one line: not empty, not
/// longer than `max` bytes, and without control characters.
pub fn is_sendable(text: &str, max: usize) -> bool {
    let message = Message {
        text,
        ..Message::default()
    };
    text.len() <= max && !text.contains(char::is_control) && message.check().is_ok()
}

/// The button and the lamp as a Morse key and light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Morse {
    /// The button is a key.
    pub key: bool,
    /// How fast the lamp plays, in words a minute, unless it is told.
    pub wpm: u8,
}

impl Morse {
    /// What is meant where nothing is said.
    pub const DEFAULT: Self = Self {
        key: false,
        wpm: 12,
    };
}

impl Default for Morse {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Its address on the bus, one of [`Self::ADDRESSES`].
    pub address: u8,
    /// It is mounted upside down.
    pub rotated: bool,
}

impl Screen {
    /// The addresses that a display can have.
    pub const ADDRESSES: [u8; 2] = [0x3c, 0x3d];
    /// What is meant where nothing is said.
    pub const DEFAULT: Self = Self {
        address: 0x3c,
        rotated: false,
    };
}

impl Default for Screen {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Pins {
    /// All of them, with a chip's defaults where there is none.
    pub fn or(&self, defaults: crate::chip::Pins) -> crate::chip::Pins {
        crate::chip::Pins {
            led: self.led.unwrap_or(defaults.led),
            dht22: self.dht22.unwrap_or(defaults.dht22),
            scl: self.scl.unwrap_or(defaults.scl),
            sda: self.sda.unwrap_or(defaults.sda),
            button: self.button.unwrap_or(defaults.button),
        }
    }
}

/// Without the passwords.
impl fmt::Debug for Config<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("id", &self.id)
            .field("prefix", &self.prefix)
            .field("ssid", &self.wifi.map(|wifi| wifi.ssid))
            .field("host", &self.host)
            .field("port", &self.port)
            .field("pins", &self.pins)
            .finish_non_exhaustive()
    }
}

/// Why there is no configuration to be used. Printed, it says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nothing is written there.
    Missing,
    /// What is written there is not what was to be written.
    Damaged,
    /// It was written for a newer firmware.
    Newer,
    /// This entry has no value that the firmware can use.
    Entry(&'static str),
    /// The flash cannot be read.
    Flash,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing: write one with `aldis flash --config-only`",
            Self::Damaged => "damaged: write it again with `aldis flash --config-only`",
            Self::Newer => {
                "for a newer firmware: flash that, or write the configuration again with the \
                 `aldis` of this firmware"
            }
            Self::Flash => "unreadable: the flash does not answer",
            Self::Entry(entry) => {
                return write!(
                    f,
                    "unusable, in `{entry}`: write it again with `aldis flash --config-only`"
                );
            }
        })
    }
}

impl core::error::Error for Error {}

/// Why a configuration cannot be written for a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// This text is longer than [`MAX_TEXT`].
    Text(&'static str),
    /// All of it together is longer than [`MAX_LEN`].
    Record,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(entry) => write!(f, "`{entry}` should have at most {MAX_TEXT} bytes"),
            Self::Record => write!(
                f,
                "the texts together should have fewer bytes: a board has room for {MAX_LEN}"
            ),
        }
    }
}

impl core::error::Error for Unfit {}

/// The tags of the entries, and what users call them. A tag is never given to
/// anything else.
macro_rules! tags {
    ($($tag:ident = $number:literal $name:literal,)*) => {
        #[derive(Clone, Copy)]
        enum Tag {
            $($tag = $number,)*
        }

        impl Tag {
            const fn name(self) -> &'static str {
                match self {
                    $(Self::$tag => $name,)*
                }
            }

            const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$tag),)*
                    _ => None,
                }
            }
        }
    };
}

tags! {
    Id = 1 "id",
    Prefix = 2 "prefix",
    Ssid = 3 "wifi.ssid",
    WifiPassword = 4 "wifi.password",
    Country = 5 "wifi.country",
    Host = 6 "broker.url",
    Port = 7 "broker.url",
    Version = 8 "broker.version",
    Username = 9 "broker.username",
    Password = 10 "broker.password",
    KeepAlive = 11 "broker.keep_alive_s",
    Led = 12 "pins.led",
    Dht22 = 13 "pins.dht22",
    Scl = 14 "pins.scl",
    Sda = 15 "pins.sda",
    Button = 16 "pins.button",
    ReadoutTopic = 17 "readout.topic",
    CommandTopic = 18 "readout.command_topic",
    Interval = 19 "readout.interval_s",
    Confirm = 20 "readout.confirm",
    Model = 21 "sensor.model",
    Level = 22 "console.level",
    Reply = 23 "messages.reply",
    Preset = 24 "messages.presets",
    Peer = 25 "messages.peer",
    MorseKey = 26 "morse.key",
    MorseWpm = 27 "morse.wpm",
    ScreenAddress = 28 "screen.address",
    ScreenRotated = 29 "screen.rotated",
}

impl<'a> Config<'a> {
    /// The defaults, with this broker.
    pub const fn new(host: &'a str, port: u16) -> Self {
        Self {
            id: None,
            prefix: DEFAULT_PREFIX,
            wifi: None,
            host,
            port,
            versions: Versions::Any,
            username: None,
            password: None,
            keep_alive_s: 15,
            pins: Pins {
                led: None,
                dht22: None,
                scl: None,
                sda: None,
                button: None,
            },
            readout_topic: Some(DEFAULT_READOUT),
            command_topic: Some(DEFAULT_COMMAND),
            interval_s: 5,
            confirm: false,
            model: Model::Auto,
            messages: Messages {
                reply: None,
                presets: Presets::NONE,
                peer: None,
            },
            morse: Morse::DEFAULT,
            screen: Screen::DEFAULT,
            level: Level::Info,
        }
    }

    /// Writes the record, at most [`MAX_LEN`] bytes; gives its length.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn encode(&self, record: &mut [u8]) -> Result<usize, Unfit> {
        let room = record.len().min(MAX_LEN);
        let record = record.get_mut(..room).ok_or(Unfit::Record)?;
        let (header, body) = record
            .split_at_mut_checked(HEADER_LEN)
            .ok_or(Unfit::Record)?;
        let mut entries = Entries { body, len: 0 };
        entries.text(Tag::Id, self.id)?;
        entries.text(Tag::Prefix, Some(self.prefix))?;
        if let Some(wifi) = self.wifi {
            entries.text(Tag::Ssid, Some(wifi.ssid))?;
            entries.text(Tag::WifiPassword, wifi.password)?;
            entries.put(Tag::Country, wifi.country.as_ref().map(|c| &c[..]))?;
        }
        entries.text(Tag::Host, Some(self.host))?;
        entries.put(Tag::Port, Some(&self.port.to_le_bytes()))?;
        if let Versions::Only(version) = self.versions {
            let number: u8 = match version {
                Version::V4 => 4,
                Version::V5 => 5,
            };
            entries.put(Tag::Version, Some(&[number]))?;
        }
        entries.text(Tag::Username, self.username)?;
        entries.put(Tag::Password, self.password)?;
        entries.put(Tag::KeepAlive, Some(&self.keep_alive_s.to_le_bytes()))?;
        for (tag, pin) in [
            (Tag::Led, self.pins.led),
            (Tag::Dht22, self.pins.dht22),
            (Tag::Scl, self.pins.scl),
            (Tag::Sda, self.pins.sda),
            (Tag::Button, self.pins.button),
        ] {
            entries.put(tag, pin.as_ref().map(core::slice::from_ref))?;
        }
        // An empty one is none; a missing one is the default.
        entries.text(Tag::ReadoutTopic, Some(self.readout_topic.unwrap_or("")))?;
        entries.text(Tag::CommandTopic, Some(self.command_topic.unwrap_or("")))?;
        entries.put(Tag::Interval, Some(&self.interval_s.to_le_bytes()))?;
        entries.put(Tag::Confirm, Some(&[u8::from(self.confirm)]))?;
        let model: u8 = match self.model {
            Model::Auto => 0,
            Model::Dht22 => 1,
            Model::Dht11 => 2,
        };
        entries.put(Tag::Model, Some(&[model]))?;
        entries.put(Tag::Level, Some(&[self.level as u8]))?;
        entries.text(Tag::Reply, self.messages.reply)?;
        for text in self.messages.presets.as_slice() {
            entries.text(Tag::Preset, Some(text))?;
        }
        entries.text(Tag::Peer, self.messages.peer)?;
        // Those that are not said are the defaults, as in a record of an older program.
        let (morse, screen) = (Morse::DEFAULT, Screen::DEFAULT);
        for (tag, value, default) in [
            (Tag::MorseKey, self.morse.key.into(), morse.key.into()),
            (Tag::MorseWpm, self.morse.wpm, morse.wpm),
            (Tag::ScreenAddress, self.screen.address, screen.address),
            (
                Tag::ScreenRotated,
                self.screen.rotated.into(),
                screen.rotated.into(),
            ),
        ] {
            entries.put(tag, (value != default).then_some(&[value]))?;
        }
        let len = entries.len;
        seal(header, entries.body, len).ok_or(Unfit::Record)?;
        HEADER_LEN.checked_add(len).ok_or(Unfit::Record)
    }

    /// Reads the record that these bytes begin with; what is behind it does not
    /// matter.
    ///
    /// # Errors
    /// If there is none that can be used.
    // Not inlined: the frame of the task that calls it would cost more code.
    #[inline(never)]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let body = unseal(bytes)?;
        let mut config = Self::new("", 1883);
        let (mut ssid, mut wifi_password, mut country) = (None, None, None);
        let mut rest = body;
        while let [tag, len, tail @ ..] = rest {
            let (value, tail) = tail
                .split_at_checked(usize::from(*len))
                .ok_or(Error::Damaged)?;
            rest = tail;
            let Some(tag) = Tag::from_number(*tag) else {
                continue;
            };
            let wrong = || Error::Entry(tag.name());
            let text = || core::str::from_utf8(value).map_err(|_| wrong());
            let byte = || match value {
                [byte] => Ok(*byte),
                _ => Err(wrong()),
            };
            let u16 = || match value {
                [a, b] => Ok(u16::from_le_bytes([*a, *b])),
                _ => Err(wrong()),
            };
            match tag {
                Tag::Id => config.id = Some(text()?),
                Tag::Prefix => config.prefix = text()?,
                Tag::Ssid => ssid = Some(text()?),
                Tag::WifiPassword => wifi_password = Some(text()?),
                Tag::Country => country = Some(value.try_into().map_err(|_| wrong())?),
                Tag::Host => config.host = text()?,
                Tag::Port => config.port = u16()?,
                Tag::Version => {
                    config.versions = match byte()? {
                        4 => Versions::Only(Version::V4),
                        5 => Versions::Only(Version::V5),
                        _ => return Err(wrong()),
                    }
                }
                Tag::Username => config.username = Some(text()?),
                Tag::Password => config.password = Some(value),
                Tag::KeepAlive => config.keep_alive_s = u16()?,
                Tag::Led => config.pins.led = Some(byte()?),
                Tag::Dht22 => config.pins.dht22 = Some(byte()?),
                Tag::Scl => config.pins.scl = Some(byte()?),
                Tag::Sda => config.pins.sda = Some(byte()?),
                Tag::Button => config.pins.button = Some(byte()?),
                Tag::ReadoutTopic => config.readout_topic = Some(text()?).filter(|t| !t.is_empty()),
                Tag::CommandTopic => config.command_topic = Some(text()?).filter(|t| !t.is_empty()),
                Tag::Interval => {
                    config.interval_s = value
                        .try_into()
                        .map(u32::from_le_bytes)
                        .map_err(|_| wrong())?;
                }
                Tag::Confirm => config.confirm = byte()? != 0,
                Tag::Model => {
                    config.model = match byte()? {
                        0 => Model::Auto,
                        1 => Model::Dht22,
                        2 => Model::Dht11,
                        _ => return Err(wrong()),
                    }
                }
                Tag::Level => {
                    let level = Level::ALL.get(usize::from(byte()?));
                    config.level = *level.ok_or_else(wrong)?;
                }
                Tag::Reply => config.messages.reply = Some(text()?),
                Tag::Preset => config.messages.presets.push(text()?).ok_or_else(wrong)?,
                Tag::Peer => config.messages.peer = Some(text()?),
                Tag::MorseKey => config.morse.key = byte()? != 0,
                Tag::MorseWpm => config.morse.wpm = byte()?,
                Tag::ScreenAddress => config.screen.address = byte()?,
                Tag::ScreenRotated => config.screen.rotated = byte()? != 0,
            }
        }
        if !rest.is_empty() {
            return Err(Error::Damaged);
        }
        config.wifi = ssid.map(|ssid| Wifi {
            ssid,
            password: wifi_password,
            country,
        });
        config.check()?;
        Ok(config)
    }

    /// What a PC checks as well, so that nothing that comes from the flash can
    /// stop the device later.
    fn check(&self) -> Result<(), Error> {
        let fine = |fine: bool, tag: Tag| match fine {
            true => Ok(()),
            false => Err(Error::Entry(tag.name())),
        };
        fine(
            self.id.is_none_or(|id| topic::check_id(id).is_ok()),
            Tag::Id,
        )?;
        fine(topic::check_prefix(self.prefix).is_ok(), Tag::Prefix)?;
        fine(!self.host.is_empty(), Tag::Host)?;
        fine(self.port != 0, Tag::Port)?;
        fine(self.keep_alive_s != 0, Tag::KeepAlive)?;
        fine((1..=86_400).contains(&self.interval_s), Tag::Interval)?;
        for (name, tag) in [
            (self.readout_topic, Tag::ReadoutTopic),
            (self.command_topic, Tag::CommandTopic),
        ] {
            fine(
                name.is_none_or(|name| topic::check_topic(name).is_ok()),
                tag,
            )?;
        }
        let messages = &self.messages;
        fine(
            messages
                .reply
                .is_none_or(|reply| is_sendable(reply, MAX_TEXT)),
            Tag::Reply,
        )?;
        let mut presets = messages.presets.as_slice().iter();
        fine(
            presets.all(|text| is_sendable(text, MAX_PRESET)),
            Tag::Preset,
        )?;
        fine(
            messages
                .peer
                .is_none_or(|peer| topic::check_id(peer).is_ok()),
            Tag::Peer,
        )?;
        fine(morse::WPM.contains(&self.morse.wpm), Tag::MorseWpm)?;
        fine(
            Screen::ADDRESSES.contains(&self.screen.address),
            Tag::ScreenAddress,
        )?;
        if let Some(wifi) = self.wifi {
            fine((1..=32).contains(&wifi.ssid.len()), Tag::Ssid)?;
            let password = wifi.password.unwrap_or("no password");
            let key = password.bytes().all(|byte| byte.is_ascii_hexdigit());
            let usable = matches!(password.len(), 8..=63) || password.len() == 64 && key;
            fine(usable, Tag::WifiPassword)?;
        }
        Ok(())
    }

    /// The settings of a device of this configuration. `id` is the board's own,
    /// where none is configured.
    ///
    /// # Errors
    /// If the id cannot stand in a topic.
    pub fn settings<'s>(&'s self, id: &'s str, version: &'s str) -> Result<Settings<'s>, Error> {
        let id = self.id.unwrap_or(id);
        let settings = Settings::new(self.prefix, id).map_err(|_| Error::Entry(Tag::Id.name()))?;
        Ok(Settings {
            readout_topic: self.readout_topic,
            command_topic: self.command_topic,
            interval_ms: self.interval_s.saturating_mul(1_000),
            confirm: self.confirm,
            model: self.model,
            reply: self.messages.reply,
            presets: self.messages.presets.as_slice(),
            peer: self.messages.peer,
            morse_key: self.morse.key,
            morse_wpm: self.morse.wpm,
            version,
            versions: self.versions,
            username: self.username,
            password: self.password,
            keep_alive_s: self.keep_alive_s,
            ..settings
        })
    }
}

/// Writes the header of a body of this length.
fn seal(header: &mut [u8], body: &[u8], len: usize) -> Option<()> {
    let mut counted = [0; 4];
    let (version, length) = counted.split_at_mut(2);
    version.copy_from_slice(&VERSION.to_le_bytes());
    length.copy_from_slice(&u16::try_from(len).ok()?.to_le_bytes());
    let crc = checksum(counted, body.get(..len)?);
    for (place, bytes) in header.chunks_exact_mut(4).zip([MAGIC, counted, crc]) {
        place.copy_from_slice(&bytes);
    }
    Some(())
}

/// The body of the record, if it is whole.
fn unseal(bytes: &[u8]) -> Result<&[u8], Error> {
    let (header, rest) = bytes.split_at_checked(HEADER_LEN).ok_or(Error::Damaged)?;
    if header.iter().all(|byte| *byte == 0xff) {
        return Err(Error::Missing);
    }
    let [m0, m1, m2, m3, v0, v1, l0, l1, crc @ ..] = header else {
        return Err(Error::Damaged);
    };
    if [*m0, *m1, *m2, *m3] != MAGIC {
        return Err(Error::Damaged);
    }
    let len = usize::from(u16::from_le_bytes([*l0, *l1]));
    let body = rest.get(..len).ok_or(Error::Damaged)?;
    if checksum([*v0, *v1, *l0, *l1], body) != *crc {
        return Err(Error::Damaged);
    }
    if u16::from_le_bytes([*v0, *v1]) > VERSION {
        return Err(Error::Newer);
    }
    Ok(body)
}

/// Of version, length and body.
fn checksum(counted: [u8; 4], body: &[u8]) -> [u8; 4] {
    let counted = crc32(&counted).to_le_bytes();
    let body = crc32(body);
    (crc32(&counted) ^ body).to_le_bytes()
}

/// Entries, one behind the other.
struct Entries<'b> {
    body: &'b mut [u8],
    len: usize,
}

impl Entries<'_> {
    fn text(&mut self, tag: Tag, text: Option<&str>) -> Result<(), Unfit> {
        self.put(tag, text.map(str::as_bytes))
    }

    fn put(&mut self, tag: Tag, value: Option<&[u8]>) -> Result<(), Unfit> {
        let Some(value) = value else { return Ok(()) };
        let len = u8::try_from(value.len()).map_err(|_| Unfit::Text(tag.name()))?;
        for byte in [tag as u8, len].iter().chain(value) {
            *self.body.get_mut(self.len).ok_or(Unfit::Record)? = *byte;
            self.len = self.len.saturating_add(1);
        }
        Ok(())
    }
}
