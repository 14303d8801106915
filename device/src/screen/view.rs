//! What is to be shown: plain data, borrowed.

use core::net::Ipv4Addr;

use aldis_protocol::{Lamp, Reading, SensorState};

/// All that is to be seen at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// What the page shows.
    pub page: Page<'a>,
    /// The bar above it, on every page but [`Page::Boot`].
    pub status: Status,
    /// Milliseconds since the device started. The picture moves with them.
    pub uptime_ms: u64,
    /// Milliseconds since something woke the panel: a message, a button, the start.
    pub awake_ms: u64,
}

/// The bar on top of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// How well the access point is heard.
    pub wifi: Wifi,
    /// There is a connection to the broker.
    pub broker: bool,
    /// Milliseconds since something was delivered; `None` before the first time.
    pub delivered_ms: Option<u64>,
    /// The lamp.
    pub lamp: Option<Lamp>,
    /// How many messages wait to be read.
    pub unread: u16,
}

/// How well the access point is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wifi {
    /// The board has no radio.
    #[default]
    Absent,
    /// Not joined.
    Lost,
    /// Joined, with this signal in dBm.
    Joined(i8),
}

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page<'a> {
    /// From the start until there is contact.
    Boot(Boot<'a>),
    /// What the sensor says.
    Readings(Readings),
    /// Where the device is, and how it is connected.
    Contact(Contact<'a>),
    /// A message.
    Message(Message<'a>),
    /// Texts to choose from.
    Presets(Presets<'a>),
    /// Something that happened.
    Notice(Notice<'a>),
    /// What is being keyed.
    Morse(Morse<'a>),
}

/// The page of a device that starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot<'a> {
    /// The version of the firmware.
    pub version: &'a str,
    /// The device's id.
    pub id: &'a str,
    /// Its address, once it has one.
    pub address: Option<Ipv4Addr>,
    /// What it is waiting for.
    pub waiting: Waiting<'a>,
}

/// What a device that starts is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting<'a> {
    /// A network of this name.
    Wifi(&'a str),
    /// An address.
    Address,
    /// A broker of this name.
    Broker(&'a str),
    /// Nothing.
    Nothing,
}

/// What the sensor says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// The newest reading, if there is a good one.
    pub reading: Option<Reading>,
    /// How the sensor is; `None` before it is known. A reading is shown while it is `ok`.
    pub sensor: Option<SensorState>,
}

/// Where the device is, and how it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact<'a> {
    /// The device's id.
    pub id: &'a str,
    /// The version of the firmware.
    pub version: &'a str,
    /// Its address.
    pub address: Option<Ipv4Addr>,
    /// The broker's name.
    pub broker: &'a str,
    /// How many readings wait to be delivered.
    pub waiting: u32,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who sent it; may be empty.
    pub from: &'a str,
    /// What it says.
    pub text: &'a str,
    /// How many milliseconds ago it came.
    pub age_ms: u64,
    /// Which one of `count` it is, from one.
    pub number: u16,
    /// How many there are.
    pub count: u16,
    /// Its priority is high.
    pub high: bool,
    /// It was read.
    pub read: bool,
    /// For how many milliseconds it has been on the panel: a long one scrolls with them.
    pub shown_ms: u64,
}

/// Texts to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presets<'a> {
    /// To whom the chosen one goes.
    pub to: &'a str,
    /// The texts.
    pub texts: &'a [&'a str],
    /// Which one is selected, from zero.
    pub selected: usize,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    /// In a word or two.
    pub title: &'a str,
    /// In more words; may be empty.
    pub text: &'a str,
}

/// What is being keyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Morse<'a> {
    /// What was understood.
    pub text: &'a str,
    /// What was keyed of the next letter: `.` and `-`.
    pub keyed: &'a str,
    /// The speed in words a minute, once it is known.
    pub wpm: Option<u8>,
}
