//! The configuration of a device: `device.toml`.

mod document;
mod error;
mod remark;
#[cfg(test)]
mod tests;

pub use error::ConfigErrors;
pub use remark::Remark;

use std::fs;
use std::path::Path;

use aldis_device::dht::Model;
use aldis_device::morse;
pub use aldis_flash::config::{Level, Morse, Screen};
use aldis_flash::config::{MAX_PRESET, MAX_PRESETS, MAX_TEXT, is_sendable};
use aldis_protocol::topic::{self, DEFAULT_COMMAND, DEFAULT_PREFIX, DEFAULT_READOUT, Topic};

use crate::broker_url::mask_user;
use crate::{BrokerUrl, Secret};
use document::{Document, Found, Section};

/// Everything that can be configured. What is left out is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The device's id; without it the board has one.
    pub id: Option<String>,
    /// What the device's topics begin with.
    pub prefix: String,
    /// The wireless network, for boards that need one.
    pub wifi: Option<Wifi>,
    /// The broker and how to speak with it.
    pub broker: Broker,
    /// What is connected where.
    pub pins: Pins,
    /// What is published, how often, and who confirms.
    pub readout: Readout,
    /// Which climate sensor is connected.
    pub sensor: Model,
    /// What the device sends to others.
    pub messages: Messages,
    /// The button and the lamp as a Morse key and light.
    pub morse: Morse,
    /// The display.
    pub screen: Screen,
    /// How much a board says on its console.
    pub console: Level,
}

/// A wireless network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wifi {
    /// The name of the network.
    pub ssid: String,
    /// Its password; an open network has none.
    pub password: Option<Secret>,
    /// The country whose rules for the radio apply, as two capital letters.
    pub country: Option<String>,
}

/// The broker and how to speak with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Where it is. User and password are in their own fields, wherever they were written.
    pub url: Option<BrokerUrl>,
    /// Which MQTT to speak; without it 5, or 3.1.1 if the broker refuses that.
    pub version: Option<Version>,
    /// Who to be.
    pub username: Option<String>,
    /// How to prove it.
    pub password: Option<Secret>,
    /// How long the connection may be silent.
    pub keep_alive_s: u16,
}

/// A version of MQTT, by the number that the protocol itself gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.
    V5,
}

/// GPIO numbers. Those left out are up to the chip.
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

/// What is published, how often, and who confirms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readout {
    /// Where the plain readout goes, if anywhere.
    pub topic: Option<String>,
    /// Where plain `on` and `off` come from, if from anywhere.
    pub command_topic: Option<String>,
    /// Seconds between readouts.
    pub interval_s: u32,
    /// Whether a recorder confirms readings, so that they are kept until it does.
    pub confirm: bool,
}

/// What the device sends to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// What a long press sends to the sender of a message.
    pub reply: Option<String>,
    /// What can be chosen to be sent.
    pub presets: Vec<String>,
    /// The device to which these go; without it they go to the sender of the message from which
    /// the list was opened.
    pub peer: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            id: None,
            prefix: DEFAULT_PREFIX.into(),
            wifi: None,
            broker: Broker::default(),
            pins: Pins::default(),
            readout: Readout::default(),
            sensor: Model::Auto,
            messages: Messages::default(),
            morse: Morse::default(),
            screen: Screen::default(),
            console: Level::default(),
        }
    }
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            url: None,
            version: None,
            username: None,
            password: None,
            keep_alive_s: 15,
        }
    }
}

impl Default for Readout {
    fn default() -> Self {
        Self {
            topic: Some(DEFAULT_READOUT.into()),
            command_topic: Some(DEFAULT_COMMAND.into()),
            interval_s: 5,
            confirm: false,
        }
    }
}

const TOP: Section = Section {
    name: "",
    keys: &["id", "prefix"],
};
const WIFI: Section = Section {
    name: "wifi",
    keys: &["ssid", "password", "country"],
};
const BROKER: Section = Section {
    name: "broker",
    keys: &["url", "version", "username", "password", "keep_alive_s"],
};
const PINS: Section = Section {
    name: "pins",
    keys: &["led", "dht22", "scl", "sda", "button"],
};
const READOUT: Section = Section {
    name: "readout",
    keys: &["topic", "command_topic", "interval_s", "confirm"],
};
const SENSOR: Section = Section {
    name: "sensor",
    keys: &["model"],
};
const MESSAGES: Section = Section {
    name: "messages",
    keys: &["reply", "peer", "presets"],
};
const MORSE: Section = Section {
    name: "morse",
    keys: &["key", "wpm"],
};
const SCREEN: Section = Section {
    name: "screen",
    keys: &["address", "rotated"],
};
const CONSOLE: Section = Section {
    name: "console",
    keys: &["level"],
};
const SECTIONS: [Section; 10] = [
    TOP, WIFI, BROKER, PINS, READOUT, SENSOR, MESSAGES, MORSE, SCREEN, CONSOLE,
];

/// The longest user name or password that MQTT can carry.
const MAX_CREDENTIAL: usize = 65_535;
/// The highest GPIO number of any supported chip (the ESP32-S3's).
const MAX_GPIO: u64 = 48;

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// If it cannot be read, with everything that is wrong in it.
    pub fn read(path: &Path) -> Result<Self, ConfigErrors> {
        Self::read_with(path, |_| Vec::new()).map(|(config, _)| config)
    }

    /// Reads a configuration file for somebody who has more to say about it than what holds for
    /// every device. Warnings are given back, each naming file, line and key.
    ///
    /// # Errors
    /// If it cannot be read, with everything that is wrong in it, the remarks' errors among it.
    pub fn read_with(
        path: &Path,
        remarks: impl FnOnce(&Self) -> Vec<Remark>,
    ) -> Result<(Self, Vec<String>), ConfigErrors> {
        let name = path.display().to_string();
        match fs::read(path) {
            Ok(bytes) => Self::parse_with(&name, &bytes, remarks),
            Err(error) => Err(ConfigErrors::unreadable(name, &error)),
        }
    }

    /// Takes the text of a configuration file; `name` is what messages call it.
    ///
    /// # Errors
    /// With everything that is wrong in it.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, ConfigErrors> {
        Self::parse_with(name, text, |_| Vec::new()).map(|(config, _)| config)
    }

    /// Like [`Self::parse`], as [`Self::read_with`] is like [`Self::read`].
    ///
    /// # Errors
    /// With everything that is wrong in it, the remarks' errors among it.
    pub fn parse_with(
        name: &str,
        text: &[u8],
        remarks: impl FnOnce(&Self) -> Vec<Remark>,
    ) -> Result<(Self, Vec<String>), ConfigErrors> {
        let mut document = Document::parse(name, text, &SECTIONS)?;
        let default = Self::default();
        let id = document.get(&TOP, "id", |value| {
            let id = value.text("text in quotes")?;
            topic::check_id(id).map_err(|error| error.to_string())?;
            Ok(id.to_owned())
        });
        let prefix = document.get(&TOP, "prefix", |value| {
            let prefix = value.text("text in quotes")?;
            topic::check_prefix(prefix).map_err(|error| error.to_string())?;
            Ok(prefix.to_owned())
        });
        let model = document.get(&SENSOR, "model", |value| {
            const RIGHT: &str = "should be \"auto\", \"dht22\" or \"dht11\"";
            match value.text("one of \"auto\", \"dht22\" and \"dht11\"")? {
                "auto" => Ok(Model::Auto),
                "dht22" => Ok(Model::Dht22),
                "dht11" => Ok(Model::Dht11),
                _ => Err(RIGHT.into()),
            }
        });
        let level = document.get(&CONSOLE, "level", |value| {
            const RIGHT: &str = "should be \"off\", \"error\", \"warn\", \"info\" or \"debug\"";
            match value.text("one of \"off\", \"error\", \"warn\", \"info\" and \"debug\"")? {
                "off" => Ok(Level::Off),
                "error" => Ok(Level::Error),
                "warn" => Ok(Level::Warn),
                "info" => Ok(Level::Info),
                "debug" => Ok(Level::Debug),
                _ => Err(RIGHT.into()),
            }
        });
        let prefix = prefix.map_or(default.prefix, Found::into_value);
        let id = id.map(Found::into_value);
        let messages = messages(&mut document, id.as_deref());
        let config = Self {
            id,
            wifi: wifi(&mut document),
            broker: broker(&mut document),
            pins: pins(&mut document),
            readout: readout(&mut document, &prefix),
            prefix,
            sensor: model.map_or(default.sensor, Found::into_value),
            messages,
            morse: morse(&mut document),
            screen: screen(&mut document),
            console: level.map_or(default.console, Found::into_value),
        };
        let mut said = config.remarks();
        said.extend(remarks(&config));
        let warnings = document.remark(said);
        document.finish()?;
        Ok((config, warnings))
    }

    /// What can be and is of no use, on every device.
    fn remarks(&self) -> Vec<Remark> {
        let Messages {
            reply,
            presets,
            peer,
        } = &self.messages;
        let mut remarks = Vec::new();
        if self.morse.key {
            const KEY: &str = "cannot be sent: with `key = true` in [morse] the button is a Morse \
                               key, and sends no messages";
            if reply.is_some() {
                remarks.push(Remark::warning("messages", "reply", KEY));
            }
            if !presets.is_empty() {
                remarks.push(Remark::warning("messages", "presets", KEY));
            }
        } else if peer.is_some() && presets.is_empty() {
            const NONE: &str = "nothing is sent to it: write what can be chosen in `presets`, such \
                                as `presets = [\"Call me\"]`";
            remarks.push(Remark::warning("messages", "peer", NONE).with("presets"));
        }
        remarks
    }
}

fn messages(document: &mut Document<'_>, id: Option<&str>) -> Messages {
    let line = |max| {
        format!(
            "should be one line of 1 to {max} bytes, without control characters and not of spaces \
             alone"
        )
    };
    let reply = document.get(&MESSAGES, "reply", |value| {
        let reply = value.text("text in quotes")?;
        match is_sendable(reply, MAX_TEXT) {
            true => Ok(reply.to_owned()),
            false => Err(line(MAX_TEXT)),
        }
    });
    let peer = document.get(&MESSAGES, "peer", |value| {
        let peer = value.text("the id of a device in quotes")?;
        topic::check_id(peer).map_err(|error| error.to_string())?;
        Ok(peer.to_owned())
    });
    document.check(&peer, |peer| {
        (id == Some(peer.as_str())).then_some("is this device itself: name another one")
    });
    const TEXTS: &str = "texts in quotes, such as [\"Come down\", \"Call me\"]";
    let presets = document.get_texts(&MESSAGES, "presets", TEXTS, |text| {
        match is_sendable(text, MAX_PRESET) {
            true => Ok(text.to_owned()),
            false => Err(line(MAX_PRESET)),
        }
    });
    document.check(&presets, |presets| {
        let many = presets.len();
        (many > MAX_PRESETS)
            .then(|| format!("should be at most {MAX_PRESETS} texts, and these are {many}"))
    });
    Messages {
        reply: reply.map(Found::into_value),
        presets: presets.map_or_else(Vec::new, Found::into_value),
        peer: peer.map(Found::into_value),
    }
}

fn morse(document: &mut Document<'_>) -> Morse {
    let key = document.get(&MORSE, "key", |value| value.truth());
    let wpm = document.get(&MORSE, "wpm", |value| {
        let (from, to) = (*morse::WPM.start(), *morse::WPM.end());
        let right = format!("a whole number of words a minute from {from} to {to}");
        value
            .number(&right, from.into()..=to.into())
            .map(|wpm| wpm as u8)
    });
    let default = Morse::default();
    Morse {
        key: key.map_or(default.key, Found::into_value),
        wpm: wpm.map_or(default.wpm, Found::into_value),
    }
}

fn screen(document: &mut Document<'_>) -> Screen {
    let address = document.get(&SCREEN, "address", |value| {
        const RIGHT: &str = "0x3C or 0x3D; 0x78 and 0x7A, as printed on some displays, are the \
                             same, written differently";
        let [low, high] = Screen::ADDRESSES;
        value
            .number(RIGHT, low.into()..=high.into())
            .map(|address| address as u8)
    });
    let rotated = document.get(&SCREEN, "rotated", |value| value.truth());
    let default = Screen::default();
    Screen {
        address: address.map_or(default.address, Found::into_value),
        rotated: rotated.map_or(default.rotated, Found::into_value),
    }
}

fn wifi(document: &mut Document<'_>) -> Option<Wifi> {
    let ssid = document.get(&WIFI, "ssid", |value| {
        let ssid = value.text("the network's name in quotes")?;
        match ssid.len() {
            1..=32 => Ok(ssid.to_owned()),
            _ => Err("should have 1 to 32 bytes, as names of networks do".into()),
        }
    });
    let password =
        document.get_secret(&WIFI, "password", |value| {
            let password = value.text("the network's password in quotes")?;
            let phrase = (8..=63).contains(&password.len());
            let key = password.len() == 64 && password.bytes().all(|byte| byte.is_ascii_hexdigit());
            if phrase || key {
                return Ok(Secret::new(password));
            }
            Err("should have 8 to 63 bytes, or be 64 hexadecimal digits; an open network has none: \
             leave the line out"
            .into())
        });
    let country = document.get(&WIFI, "country", |value| {
        let country = value.text("two capital letters in quotes, such as \"LT\"")?;
        if country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Ok(country.to_owned());
        }
        Err("should be two capital letters, such as \"LT\"".into())
    });
    document.require(&WIFI, "ssid", "the name of the network in quotes");
    Some(Wifi {
        ssid: ssid?.into_value(),
        password: password.map(Found::into_value),
        country: country.map(Found::into_value),
    })
}

fn broker(document: &mut Document<'_>) -> Broker {
    let url = document.get_shown(&BROKER, "url", mask_user, |value| {
        value
            .text("a URL in quotes, such as \"mqtt://192.168.1.107:1883\"")?
            .parse::<BrokerUrl>()
            .map_err(|error| error.to_string())
    });
    let version = document.get(&BROKER, "version", |value| {
        match value.number("4 (MQTT 3.1.1) or 5", 4..=5)? {
            4 => Ok(Version::V4),
            _ => Ok(Version::V5),
        }
    });
    let username = document.get(&BROKER, "username", |value| {
        credential(value.text("text in quotes")?).map(str::to_owned)
    });
    let password = document.get_secret(&BROKER, "password", |value| {
        credential(value.text("text in quotes")?).map(Secret::new)
    });
    let keep_alive_s = document.get(&BROKER, "keep_alive_s", |value| {
        value
            .number("a whole number of seconds from 1 to 65535", 1..=65_535)
            .map(|s| s as u16)
    });
    let mut url = url.map(Found::into_value);
    let (url_username, url_password) = url.as_mut().map_or((None, None), |url| {
        (url.username.take(), url.password.take())
    });
    let twice = |given: bool| given.then_some("is in `url` already; it should be in one place");
    document.check(&username, |_| twice(url_username.is_some()));
    document.check(&password, |_| twice(url_password.is_some()));
    let username = username.map(Found::into_value).or(url_username);
    let has_user = username.is_some() || document.has(&BROKER, "username");
    let broken_url = url.is_none() && document.has(&BROKER, "url");
    document.check(&password, |_| {
        (!has_user && !broken_url)
            .then_some("needs a `username` beside it: brokers refuse a password alone")
    });
    Broker {
        url,
        version: version.map(Found::into_value),
        username,
        password: password.map(Found::into_value).or(url_password),
        keep_alive_s: keep_alive_s.map_or(Broker::default().keep_alive_s, Found::into_value),
    }
}

fn credential(text: &str) -> Result<&str, String> {
    if text.is_empty() || text.len() > MAX_CREDENTIAL || text.contains('\0') {
        return Err(format!(
            "should have 1 to {MAX_CREDENTIAL} bytes, none of them 0"
        ));
    }
    Ok(text)
}

fn pins(document: &mut Document<'_>) -> Pins {
    let mut taken: Vec<(&'static str, u8)> = Vec::new();
    let mut pin = |key| {
        let pin = document.get(&PINS, key, |value| {
            value
                .number("the number of a GPIO, from 0 to 48", 0..=MAX_GPIO)
                .map(|pin| pin as u8)
        });
        let other = pin
            .as_ref()
            .and_then(|pin| taken.iter().find(|(_, other)| *other == pin.value));
        let other = other.map(|(other, _)| format!("is the GPIO of `{other}` already"));
        document.check(&pin, |_| other);
        let pin = pin.map(Found::into_value);
        taken.extend(pin.map(|pin| (key, pin)));
        pin
    };
    Pins {
        led: pin("led"),
        dht22: pin("dht22"),
        scl: pin("scl"),
        sda: pin("sda"),
        button: pin("button"),
    }
}

fn readout(document: &mut Document<'_>, prefix: &str) -> Readout {
    let default = Readout::default();
    let mut topic = |key| {
        document.get(&READOUT, key, |value| {
            if value.is_false() {
                return Ok(None);
            }
            let name = value.text("a topic in quotes, or false for none")?;
            match topic::check_topic(name) {
                Ok(()) => Ok(Some(name.to_owned())),
                Err(_) if name.is_empty() => Err("should be a topic, or false for none".into()),
                Err(error) => Err(error.to_string()),
            }
        })
    };
    let readout = topic("topic");
    let command = topic("command_topic");
    let interval_s = document.get(&READOUT, "interval_s", |value| {
        value
            .number("a whole number of seconds from 1 to 86400", 1..=86_400)
            .map(|s| s as u32)
    });
    let confirm = document.get(&READOUT, "confirm", |value| value.truth());
    let own = |name: &Option<String>| {
        let own = name.as_deref().and_then(|name| Topic::parse(prefix, name));
        own.map(|_| "is a topic that devices have already: choose another")
    };
    document.check(&readout, own);
    document.check(&command, own);
    let command_topic = command
        .as_ref()
        .map_or(&default.command_topic, |command| &command.value)
        .clone();
    let same = |name: &Option<String>, other: &Option<String>, told: &'static str| {
        (name.is_some() && name == other).then_some(told)
    };
    const HEARS_ITSELF: &str = "the device would take its own readouts for commands";
    if command.is_none() {
        document.check(&readout, |readout| {
            let told = same(readout, &command_topic, HEARS_ITSELF)?;
            Some(format!("is the `command_topic` unless that is set: {told}"))
        });
    }
    let readout_topic = readout
        .as_ref()
        .map_or(default.topic, |readout| readout.value.clone());
    document.check(&command, |command| {
        let told = same(command, &readout_topic, HEARS_ITSELF)?;
        Some(format!("is the readout's `topic` too: {told}"))
    });
    Readout {
        topic: readout_topic,
        command_topic,
        interval_s: interval_s.map_or(default.interval_s, Found::into_value),
        confirm: confirm.map_or(default.confirm, Found::into_value),
    }
}
