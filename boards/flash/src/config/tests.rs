use super::*;
use proptest::prelude::*;

fn encode(config: &Config<'_>) -> Vec<u8> {
    let mut record = [0; MAX_LEN];
    let len = config.encode(&mut record).unwrap();
    record[..len].to_vec()
}

fn full() -> Config<'static> {
    Config {
        id: Some("kitchen"),
        prefix: "home/aldis",
        wifi: Some(Wifi {
            ssid: "caf\u{e9} 12",
            password: Some("correct horse"),
            country: Some(*b"LT"),
        }),
        versions: Versions::Only(Version::V4),
        username: Some("kitchen"),
        password: Some(b"battery staple"),
        keep_alive_s: 30,
        pins: Pins {
            led: Some(1),
            dht22: Some(14),
            scl: Some(22),
            sda: Some(21),
            button: Some(0),
        },
        readout_topic: None,
        command_topic: Some("lamp"),
        interval_s: 86_400,
        confirm: true,
        model: Model::Dht11,
        level: Level::Debug,
        ..Config::new("hub.local", 1884)
    }
}

/// The device would connect elsewhere than its owner wrote.
#[test]
fn what_is_written_is_read() {
    let other = Config {
        versions: Versions::Only(Version::V5),
        model: Model::Dht22,
        level: Level::Off,
        ..Config::new("h", 1)
    };
    for config in [Config::new("192.168.1.107", 1883), full(), other] {
        let mut record = encode(&config);
        assert_eq!(Config::decode(&record), Ok(config));
        // What a flash has behind it.
        record.extend([0xff; 64]);
        assert_eq!(Config::decode(&record), Ok(config));
    }
    let longest = "x".repeat(MAX_TEXT);
    let config = Config {
        username: Some(&longest),
        ..full()
    };
    assert_eq!(Config::decode(&encode(&config)), Ok(config));
}

/// A firmware and an `aldis` of different age would not understand each other.
#[test]
fn the_record_is_what_it_was() {
    let record = encode(&Config::new("h", 1883));
    let hex: String = record.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "414c44530100330017e66cac0205616c64697306016807025b070b020f00110874657374696e6372\
         12066f7574707574130405000000140100150100160103"
    );
}

/// An open network would be joined with the password of another, or not at all.
#[test]
fn an_open_network_has_no_password() {
    let config = Config {
        wifi: Some(Wifi {
            ssid: "open",
            password: None,
            country: None,
        }),
        ..Config::new("10.0.0.1", 1883)
    };
    assert_eq!(Config::decode(&encode(&config)), Ok(config));
}

/// A chip that starts its radio with half a password.
#[test]
fn damage_is_noticed() {
    let record = encode(&full());
    for at in 0..record.len() {
        for bit in 0..8 {
            let mut damaged = record.clone();
            damaged[at] ^= 1 << bit;
            assert_eq!(Config::decode(&damaged), Err(Error::Damaged), "{at} {bit}");
        }
        assert_eq!(Config::decode(&record[..at]), Err(Error::Damaged));
    }
    assert_eq!(Config::decode(&[0xff; 64]), Err(Error::Missing));
    assert_eq!(Config::decode(&[0; 64]), Err(Error::Damaged));
}

/// Seals a body of one's own.
fn sealed(version: u16, body: &[u8]) -> Vec<u8> {
    let mut record = vec![0; HEADER_LEN];
    seal(&mut record, body, body.len()).unwrap();
    record.extend(body);
    record[4..6].copy_from_slice(&version.to_le_bytes());
    let counted = record[4..8].try_into().unwrap();
    let crc = checksum(counted, body);
    record[8..12].copy_from_slice(&crc);
    record
}

const HOST: &[u8] = &[6, 1, b'h'];

/// A firmware and an `aldis` of different age do not understand each other.
#[test]
fn older_and_newer_records() {
    // An older program knew nothing but the broker.
    let old = sealed(1, HOST);
    assert_eq!(Config::decode(&old), Ok(Config::new("h", 1883)));
    assert_eq!(Config::decode(&sealed(0, HOST)), Config::decode(&old));
    // A newer one has an entry more, which does not change the others.
    let new = sealed(1, &[HOST, &[200, 2, 1, 2]].concat());
    assert_eq!(Config::decode(&new), Ok(Config::new("h", 1883)));
    // Or one that does.
    let error = Config::decode(&sealed(2, HOST)).unwrap_err();
    assert_eq!(error, Error::Newer);
    assert!(error.to_string().contains("newer firmware"));
}

/// A value that stops the device later, with worse words.
#[test]
fn impossible_values_are_named() {
    for (entry, name) in [
        (&[1, 1, b'/'][..], "id"),
        (&[1, 1, 0xff], "id"),
        (&[2, 1, b'#'], "prefix"),
        (&[3, 0], "wifi.ssid"),
        (&[3, 1, b's', 4, 1, b'p'], "wifi.password"),
        (&[3, 1, b's', 4, 1, b'p'], "wifi.password"),
        (&[5, 1, b'L'], "wifi.country"),
        (&[6, 0], "broker.url"),
        (&[7, 2, 0, 0], "broker.url"),
        (&[7, 1, 0], "broker.url"),
        (&[8, 1, 3], "broker.version"),
        (&[11, 2, 0, 0], "broker.keep_alive_s"),
        (&[12, 0], "pins.led"),
        (&[17, 1, b'+'], "readout.topic"),
        (&[18, 1, b'#'], "readout.command_topic"),
        (&[19, 4, 0, 0, 0, 0], "readout.interval_s"),
        (&[19, 1, 5], "readout.interval_s"),
        (&[21, 1, 3], "sensor.model"),
        (&[22, 1, 5], "console.level"),
    ] {
        let record = sealed(1, &[HOST, entry].concat());
        assert_eq!(
            Config::decode(&record),
            Err(Error::Entry(name)),
            "{entry:?}"
        );
    }
    let mut long = vec![3, 1, b's', 4, 64];
    long.extend([b'f'; 64]);
    assert!(Config::decode(&sealed(1, &[HOST, &long].concat())).is_ok());
    long[5] = b'g';
    assert_eq!(
        Config::decode(&sealed(1, &[HOST, &long].concat())),
        Err(Error::Entry("wifi.password"))
    );
    assert_eq!(
        Config::decode(&sealed(1, &[])),
        Err(Error::Entry("broker.url"))
    );
    assert_eq!(Config::decode(&sealed(1, &[6, 9, 1])), Err(Error::Damaged));
    assert_eq!(Config::decode(&sealed(1, &[6])), Err(Error::Damaged));
}

/// What does not fit is cut off without a word.
#[test]
fn what_does_not_fit_is_refused() {
    let long = "x".repeat(MAX_TEXT + 1);
    let config = Config {
        username: Some(&long),
        ..full()
    };
    let mut record = [0; 4096];
    assert_eq!(
        config.encode(&mut record),
        Err(Unfit::Text("broker.username"))
    );
    let record = encode(&full());
    for len in 0..record.len() {
        assert_eq!(full().encode(&mut vec![0; len]), Err(Unfit::Record));
    }
}

/// The settings are another device's.
#[test]
fn the_device_is_told_all_of_it() {
    let config = full();
    let settings = config.settings("esp-1", "1.2").unwrap();
    assert_eq!(settings.topics.id(), "kitchen");
    assert_eq!(settings.readout_topic, None);
    assert_eq!(settings.command_topic, Some("lamp"));
    assert_eq!(settings.interval_ms, 86_400_000);
    assert!(settings.confirm);
    assert_eq!(settings.model, Model::Dht11);
    assert_eq!(settings.versions, Versions::Only(Version::V4));
    assert_eq!(settings.username, Some("kitchen"));
    assert_eq!(settings.password, Some(&b"battery staple"[..]));
    assert_eq!(settings.keep_alive_s, 30);
    assert_eq!(settings.version, "1.2");
    let config = Config::new("h", 1);
    assert_eq!(config.settings("esp-1", "").unwrap().topics.id(), "esp-1");
    assert!(config.settings("a/b", "").is_err());
    assert!(!format!("{:?}", full()).contains("horse"));
}

proptest! {
    /// Whatever the flash holds.
    #[test]
    fn garbage_is_refused(bytes: Vec<u8>, body in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(Config::decode(&bytes).is_err());
        let _ = Config::decode(&sealed(1, &body));
    }
}
