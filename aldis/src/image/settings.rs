//! A configuration file made into the record that a board reads.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use aldis_flash::chip::{Role, Verdict};
use aldis_flash::config::{
    Error, MAX_LEN, MAX_PRESETS, MAX_TEXT, Messages, Pins, Presets, Unfit, Wifi,
};
use aldis_mqtt::Versions;
use aldis_pc::config::{self, Config, Remark};
use aldis_pc::{BrokerUrl, Secret};

use super::target::Target;
use crate::hub::own_address;

/// What a board is to be told.
pub struct Settings {
    /// The device's id, unless it is the board's own.
    pub id: Option<String>,
    /// The network's name.
    pub ssid: Option<String>,
    /// The broker: `host:port`.
    pub broker: String,
    /// The record in the board's flash.
    pub record: Vec<u8>,
    /// What is allowed and should be known, each with file, line and key.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads a configuration file for a board.
    pub fn read(path: &Path, target: Target) -> Result<Self, String> {
        let read = Config::read_with(path, |config| remarks(config, target));
        let (config, warnings) = read.map_err(|errors| errors.to_string())?;
        let record = record(&config).map_err(|(_, what)| format!("{}: {what}", path.display()))?;
        Ok(Self {
            broker: config.broker.url.as_ref().map(address).unwrap_or_default(),
            id: config.id,
            ssid: config.wifi.map(|wifi| wifi.ssid),
            record,
            warnings,
        })
    }
}

fn address(broker: &BrokerUrl) -> String {
    format!("{}:{}", broker.host, broker.port)
}

/// What this target cannot do, or should be told.
fn remarks(config: &Config, target: Target) -> Vec<Remark> {
    let mut remarks = Vec::new();
    match &config.broker.url {
        Some(url) => broker(url, target, &mut remarks),
        None => {
            let what = format!(
                "a board does not find its broker by itself: write where it is{}",
                example()
            );
            remarks.push(Remark::error("broker", "url", what));
        }
    }
    if let Target::Chip(chip) = target {
        if config.wifi.is_none() {
            remarks.push(Remark::error(
                "wifi",
                "ssid",
                format!(
                    "the {} needs a wireless network: write its name, and its `password`",
                    chip.as_str()
                ),
            ));
        }
        pins(&config.pins, chip, &mut remarks);
    }
    let texts = [
        ("username", config.broker.username.as_deref()),
        (
            "password",
            config.broker.password.as_ref().map(Secret::expose),
        ),
    ];
    for (key, text) in texts {
        if text.is_some_and(|text| text.len() > MAX_TEXT) {
            let what =
                format!("should have at most {MAX_TEXT} bytes: a board has no room for more");
            remarks.push(Remark::error("broker", key, what));
        }
    }
    // Only what was not found above; it would hide that otherwise.
    if remarks.is_empty()
        && let Err(((section, key), what)) = record(config)
    {
        remarks.push(Remark::error(section, key, what));
    }
    remarks
}

fn broker(url: &BrokerUrl, target: Target, remarks: &mut Vec<Remark>) {
    let mut error = |what: String| remarks.push(Remark::error("broker", "url", what));
    if url.tls {
        error(
            "boards do not speak TLS yet: use `mqtt://` until then, in a network that you trust"
                .into(),
        );
    }
    if url.host.parse::<Ipv6Addr>().is_ok() {
        error("boards speak IPv4 only: write an IPv4 address or a host name".into());
    }
    let name = url.host.to_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let is_loopback = match name.parse::<Ipv4Addr>() {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    };
    match target {
        Target::Chip(_) if is_loopback => error(format!(
            "is the board itself, seen from the board: write the address of the PC with the \
             broker{}",
            example()
        )),
        Target::Virt if is_loopback => remarks.push(Remark::warning(
            "broker",
            "url",
            "is the virtual machine itself; QEMU's user network has this PC at 10.0.2.2",
        )),
        _ => {}
    }
}

/// A URL with this PC's address, where that is known.
fn example() -> String {
    match own_address() {
        Some(IpAddr::V4(address)) if !address.is_loopback() => {
            format!(", such as `mqtt://{address}` for this one")
        }
        _ => ", such as `mqtt://192.168.1.107`".into(),
    }
}

fn pins(pins: &config::Pins, chip: aldis_flash::Chip, remarks: &mut Vec<Remark>) {
    let given = flash_pins(pins);
    let all = given.or(chip.pins());
    let given = |role| match role {
        Role::Led => given.led,
        Role::Dht22 => given.dht22,
        Role::Scl => given.scl,
        Role::Sda => given.sda,
        Role::Button => given.button,
    };
    for role in Role::ALL {
        let Some(pin) = given(role) else { continue };
        let key = role.as_str();
        match chip.check(role, pin) {
            Ok(Verdict::Fine) => {}
            Ok(Verdict::Warning(what)) => remarks.push(Remark::warning("pins", key, what)),
            Err(refusal) => {
                let own = chip.pins().get(role);
                let what = format!("{refusal}; the {}'s own is {own}", chip.as_str());
                remarks.push(Remark::error("pins", key, what));
            }
        }
        // Two that are both given are noticed without the chip.
        let others = Role::ALL
            .into_iter()
            .filter(|other| given(*other).is_none());
        for other in others.filter(|other| all.get(*other) == pin) {
            let other = other.as_str();
            let what = format!(
                "is the GPIO of `{other}` on the {}, unless that is set: give one of them another",
                chip.as_str()
            );
            remarks.push(Remark::error("pins", key, what).with(other));
        }
    }
}

const fn flash_pins(pins: &config::Pins) -> Pins {
    Pins {
        led: pins.led,
        dht22: pins.dht22,
        scl: pins.scl,
        sda: pins.sda,
        button: pins.button,
    }
}

/// The section and the key of what cannot be written.
type Place = (&'static str, &'static str);

/// The record of a configuration, checked as a board will check it.
fn record(config: &Config) -> Result<Vec<u8>, (Place, String)> {
    let url = config.broker.url.as_ref();
    let (host, port) = url.map_or(("", 0), |url| (&url.host, url.port));
    let password = config.broker.password.as_ref().map(Secret::expose);
    let presets = Presets::new(config.messages.presets.iter().map(String::as_str));
    let presets = presets.ok_or_else(|| {
        let what = format!("should be at most {MAX_PRESETS} texts");
        (("messages", "presets"), what)
    })?;
    let flash = aldis_flash::Config {
        id: config.id.as_deref(),
        prefix: &config.prefix,
        wifi: config.wifi.as_ref().map(|wifi| Wifi {
            ssid: &wifi.ssid,
            password: wifi.password.as_ref().map(Secret::expose),
            country: wifi
                .country
                .as_ref()
                .and_then(|c| c.as_bytes().try_into().ok()),
        }),
        versions: match config.broker.version {
            None => Versions::Any,
            Some(config::Version::V4) => Versions::Only(aldis_mqtt::Version::V4),
            Some(config::Version::V5) => Versions::Only(aldis_mqtt::Version::V5),
        },
        username: config.broker.username.as_deref(),
        password: password.map(str::as_bytes),
        keep_alive_s: config.broker.keep_alive_s,
        pins: flash_pins(&config.pins),
        readout_topic: config.readout.topic.as_deref(),
        command_topic: config.readout.command_topic.as_deref(),
        interval_s: config.readout.interval_s,
        confirm: config.readout.confirm,
        model: config.sensor,
        messages: Messages {
            reply: config.messages.reply.as_deref(),
            presets,
            peer: config.messages.peer.as_deref(),
        },
        morse: config.morse,
        screen: config.screen,
        level: config.console,
        ..aldis_flash::Config::new(host, port)
    };
    let mut record = vec![0; MAX_LEN];
    let len = flash.encode(&mut record).map_err(|unfit| match unfit {
        Unfit::Text(entry) => (
            place(entry),
            format!("should have at most {MAX_TEXT} bytes"),
        ),
        Unfit::Record => (("", "id"), unfit.to_string()),
    })?;
    record.truncate(len);
    match aldis_flash::Config::decode(&record) {
        Ok(read) if read == flash => Ok(record),
        Err(Error::Entry(entry)) => Err((place(entry), "a board cannot use it".into())),
        _ => Err((("", "id"), "the record for the board cannot be made".into())),
    }
}

/// `pins.led`: the section and the key.
fn place(entry: &'static str) -> Place {
    entry.split_once('.').unwrap_or(("", entry))
}

/// What a configuration says, without the passwords.
pub fn describe(id: Option<&str>, ssid: Option<&str>, broker: &str) -> String {
    let id = id.unwrap_or("the board's own id");
    match ssid {
        Some(ssid) => format!("{id}, network {ssid}, broker {broker}"),
        None => format!("{id}, broker {broker}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aldis_flash::Chip;

    /// Remarks and warnings about a file for a target.
    fn said(text: &str, target: Target) -> Result<Vec<String>, String> {
        Config::parse_with("device.toml", text.as_bytes(), |config| {
            remarks(config, target)
        })
        .map(|(_, warnings)| warnings)
        .map_err(|errors| errors.to_string())
    }

    const ESP32: Target = Target::Chip(Chip::Esp32);
    const RIGHT: &str = "[wifi]\nssid = 'home'\n[broker]\nurl = 'mqtt://192.168.1.107'\n";

    /// A key that the board never gets to know.
    #[test]
    fn every_setting_reaches_the_record() {
        let text = r#"
            id = "kitchen"
            prefix = "home/aldis"
            wifi = { ssid = "home", password = "geheim-42", country = "LT" }
            broker = { url = "mqtt://me:geheim@hub:1884", version = 4, keep_alive_s = 20 }
            pins = { led = 4, dht22 = 13, scl = 26, sda = 25, button = 27 }
            readout = { topic = false, command_topic = "b", interval_s = 7, confirm = true }
            sensor = { model = "dht11" }
            messages = { reply = "Coming", peer = "attic", presets = ["Come down", "Ačiū"] }
            morse = { wpm = 25 }
            screen = { address = 0x3D, rotated = true }
            console = { level = "debug" }
        "#;
        let config = Config::parse("device.toml", text.as_bytes()).unwrap();
        let record = record(&config).unwrap();
        let expected = aldis_flash::Config {
            id: Some("kitchen"),
            prefix: "home/aldis",
            wifi: Some(Wifi {
                ssid: "home",
                password: Some("geheim-42"),
                country: Some(*b"LT"),
            }),
            versions: Versions::Only(aldis_mqtt::Version::V4),
            username: Some("me"),
            password: Some(b"geheim"),
            keep_alive_s: 20,
            pins: Pins {
                led: Some(4),
                dht22: Some(13),
                scl: Some(26),
                sda: Some(25),
                button: Some(27),
            },
            readout_topic: None,
            command_topic: Some("b"),
            interval_s: 7,
            confirm: true,
            model: aldis_device::dht::Model::Dht11,
            messages: Messages {
                reply: Some("Coming"),
                presets: Presets::new(["Come down", "Ačiū"]).unwrap(),
                peer: Some("attic"),
            },
            morse: config::Morse {
                key: false,
                wpm: 25,
            },
            screen: config::Screen {
                address: 0x3d,
                rotated: true,
            },
            level: config::Level::Debug,
            ..aldis_flash::Config::new("hub", 1884)
        };
        assert_eq!(aldis_flash::Config::decode(&record), Ok(expected));
        assert_eq!(said(text, ESP32), Ok(vec![]));
    }

    /// The longest file that is right, and a board that has no room for it.
    #[test]
    fn everything_that_is_right_fits_into_a_board() {
        let (text, name) = ("x".repeat(255), "x".repeat(64));
        let label = "x".repeat(63);
        let host = format!("{label}.{label}.{label}.{}", &label[..61]);
        let presets: Vec<_> = (0..8).map(|_| format!("'{name}'")).collect();
        let file = format!(
            "id = '{name}'\nprefix = '{name}'\nwifi = {{ ssid = '{ssid}', password = '{wifi}', \
             country = 'LT' }}\nbroker = {{ url = 'mqtt://{host}:65535', version = 4, \
             username = '{text}', password = '{text}', keep_alive_s = 65535 }}\n\
             pins = {{ led = 4, dht22 = 13, scl = 26, sda = 25, button = 27 }}\n\
             readout = {{ topic = 'a{topic}', command_topic = 'b{topic}' }}\n\
             messages = {{ reply = '{text}', peer = '{peer}', presets = [{presets}] }}\n\
             morse = {{ key = false, wpm = 40 }}\nscreen = {{ address = 0x3D, rotated = true }}",
            peer = "y".repeat(64),
            ssid = "x".repeat(32),
            wifi = "f".repeat(64),
            topic = "x".repeat(aldis_protocol::topic::MAX_LEN - 1),
            presets = presets.join(", "),
        );
        assert_eq!(said(&file, ESP32), Ok(vec![]));
        let config = Config::parse("device.toml", file.as_bytes()).unwrap();
        let record = record(&config).unwrap();
        assert!(
            record.len() > 2_150 && record.len() <= MAX_LEN,
            "{}",
            record.len()
        );
    }

    /// A board that cannot do what its file says is found out at the board.
    #[test]
    fn what_a_board_cannot_do_is_refused() {
        let long = "x".repeat(256);
        for (text, expected) in [
            (
                "[wifi]\nssid = 'a'\n[broker]\nurl = 'mqtts://hub'".to_owned(),
                "device.toml:4: `url = \"mqtts://hub\"` in [broker]: boards do not speak TLS yet",
            ),
            (
                "[wifi]\nssid = 'a'\n[broker]\nurl = 'mqtt://[fe80::1]'".into(),
                "device.toml:4: `url = \"mqtt://[fe80::1]\"` in [broker]: boards speak IPv4 only",
            ),
            (
                "[broker]\nurl = 'mqtt://hub'".into(),
                "device.toml: there is no [wifi] with a `ssid`: the esp32 needs a wireless network",
            ),
            (
                "[wifi]\nssid = 'a'".into(),
                "device.toml: there is no [broker] with a `url`: a board does not find its broker",
            ),
            (
                format!("{RIGHT}username = '{long}'\npassword = '{long}'"),
                "device.toml:6: `password = \"...\"` in [broker]: should have at most 255 bytes",
            ),
            (
                format!("{RIGHT}[pins]\nled = 6"),
                "device.toml:6: `led = 6` in [pins]: the flash is connected to it",
            ),
            (
                format!("{RIGHT}[pins]\ndht22 = 22"),
                "device.toml:6: `dht22 = 22` in [pins]: is the GPIO of `scl` on the esp32, unless \
                 that is set",
            ),
            (
                format!("{RIGHT}[pins]\nled = 0"),
                "is the GPIO of `button` on the esp32, unless that is set",
            ),
        ] {
            let errors = said(&text, ESP32).unwrap_err();
            assert!(errors.contains(expected), "{errors}");
        }
        for host in [
            "localhost",
            "LOCALHOST.",
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
        ] {
            let text = format!("[wifi]\nssid = 'a'\n[broker]\nurl = 'mqtt://{host}'");
            let errors = said(&text, ESP32).unwrap_err();
            assert!(errors.contains("is the board itself"), "{host}: {errors}");
            let warnings = said(&text, Target::Virt).unwrap();
            assert!(warnings[0].contains("10.0.2.2"), "{host}: {warnings:?}");
        }
    }

    /// One error at a time, or one that only follows from another.
    #[test]
    fn everything_wrong_is_said_at_once_and_no_more() {
        let text = "[broker]\nurl = 'mqtts://localhost'\nkeep_alive_s = 0\n[pins]\nled = 22\n\
                    scl = 77\nsda = 24\n";
        let errors = said(text, ESP32).unwrap_err();
        let lines: Vec<_> = errors.lines().collect();
        assert_eq!(lines.len(), 6, "{errors}");
        for (line, start) in lines.iter().zip([
            "device.toml:2: `url = \"mqtts://localhost\"` in [broker]: boards do not speak TLS",
            "device.toml:2: `url = \"mqtts://localhost\"` in [broker]: is the board itself",
            "device.toml:3: `keep_alive_s = 0`",
            "device.toml:6: `scl = 77`",
            "device.toml:7: `sda = 24` in [pins]: the ESP32 has no such GPIO",
            "device.toml: there is no [wifi]",
        ]) {
            assert!(line.starts_with(start), "{line}");
        }
    }

    /// A lamp that silences the console, without a word.
    #[test]
    fn what_is_odd_is_told_and_allowed() {
        let text = format!("{RIGHT}[pins]\nled = 1\nbutton = 34");
        let warnings = said(&text, ESP32).unwrap();
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("device.toml:6: `led = 1` in [pins]: the console speaks"));
        assert!(warnings[1].contains("pull-up"));
        // The button sends nothing.
        let text = format!("{RIGHT}[messages]\nreply = 'yes'\n[morse]\nkey = true");
        for target in [ESP32, Target::Virt] {
            let warnings = said(&text, target).unwrap();
            assert_eq!(warnings.len(), 1);
            assert!(
                warnings[0].starts_with("device.toml:6: `reply = \"yes\"` in [messages]: cannot")
            );
        }
        // A board resolves such names itself.
        let text = "[wifi]\nssid = 'a'\n[broker]\nurl = 'mqtt://hub.local'";
        assert!(said(text, ESP32).unwrap().is_empty());
    }

    /// The virtual machine has no pins and no radio.
    #[test]
    fn the_virtual_machine_needs_less() {
        let text = "[broker]\nurl = 'mqtt://10.0.2.2'\n[pins]\nled = 6\nscl = 24";
        assert_eq!(said(text, Target::Virt), Ok(vec![]));
    }
}
