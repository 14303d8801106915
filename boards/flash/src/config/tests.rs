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
        messages: Messages {
            reply: Some("Coming"),
            presets: Presets::new(["Come down", "Ačiū"]).unwrap(),
            peer: Some("attic"),
        },
        morse: Morse { key: true, wpm: 20 },
        screen: Screen {
            address: 0x3d,
            rotated: true,
        },
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
    // What is behind the entries of above is only there where it differs.
    let told = Config {
        messages: full().messages,
        morse: full().morse,
        screen: full().screen,
        ..Config::new("h", 1883)
    };
    let record = encode(&told);
    let hex: String = record[63..]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        "1706436f6d696e671809436f6d6520646f776e180641c48d69c5ab190561747469631a01011b01141c013d\
         1d0101"
    );
}

/// A configuration that `aldis image` makes and no board has room for.
#[test]
fn the_longest_record_fits() {
    let text = "x".repeat(MAX_TEXT);
    let (name, topic) = ("x".repeat(topic::MAX_ID_LEN), "x".repeat(topic::MAX_LEN));
    let preset = "\u{17e}".repeat(MAX_PRESET / 2);
    let longest = Config {
        id: Some(&name),
        prefix: &"x".repeat(topic::MAX_PREFIX_LEN),
        wifi: Some(Wifi {
            ssid: &"x".repeat(32),
            password: Some(&"f".repeat(64)),
            country: Some(*b"LT"),
        }),
        username: Some(&text),
        password: Some(text.as_bytes()),
        readout_topic: Some(&topic),
        command_topic: Some(&topic),
        messages: Messages {
            reply: Some(&text),
            presets: Presets::new([&*preset; MAX_PRESETS]).unwrap(),
            peer: Some(&name),
        },
        ..Config {
            host: &text,
            ..full()
        }
    };
    let record = encode(&longest);
    assert_eq!(Config::decode(&record), Ok(longest));
    // All that is longer is refused, or has no entry.
    assert!(
        (MAX_LEN - 100..=MAX_LEN).contains(&record.len()),
        "{}",
        record.len()
    );
}

/// One more would push another one out, or be forgotten.
#[test]
fn there_are_so_many_presets_and_no_more() {
    let texts: Vec<String> = (0..=MAX_PRESETS)
        .map(|number| format!("{number}"))
        .collect();
    for many in 0..=MAX_PRESETS {
        let texts = texts[..many].iter().map(String::as_str);
        let presets = Presets::new(texts.clone()).unwrap();
        assert!(presets.as_slice().iter().copied().eq(texts));
        let config = Config {
            messages: Messages {
                presets,
                ..Messages::default()
            },
            ..Config::new("h", 1)
        };
        assert_eq!(Config::decode(&encode(&config)), Ok(config));
    }
    assert_eq!(Presets::new(texts.iter().map(String::as_str)), None);
    let entries = [24, 1, b'x'].repeat(MAX_PRESETS + 1);
    assert_eq!(
        Config::decode(&sealed(1, &[HOST, &entries].concat())),
        Err(Error::Entry("messages.presets"))
    );
}

/// A text that the other device refuses, or that breaks a line of the list.
#[test]
fn texts_can_be_sent() {
    for text in [
        "", " ", "a\nb", "a\tb", "a\0", "a\r", "\u{7f}", "\u{85}", "12345",
    ] {
        assert!(!is_sendable(text, 4), "{text:?}");
    }
    for text in ["a", " a ", "1234", "\u{17e}\u{17e}", "\u{1f600}"] {
        assert!(is_sendable(text, 4), "{text:?}");
    }
    assert!(is_sendable(&"x".repeat(MAX_TEXT), MAX_TEXT));
    // The protocol's limit counts as well.
    assert!(!is_sendable(&"x".repeat(257), 300));
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
        (&[23, 0], "messages.reply"),
        (&[23, 1, 0xff], "messages.reply"),
        (&[23, 2, b'a', b'\n'], "messages.reply"),
        (&[24, 0], "messages.presets"),
        (&[24, 1, 0xff], "messages.presets"),
        (&[24, 1, b'a', 24, 1, b' '], "messages.presets"),
        (&[25, 0], "messages.peer"),
        (&[25, 1, b'/'], "messages.peer"),
        (&[25, 1, 0xff], "messages.peer"),
        (&[26, 0], "morse.key"),
        (&[27, 1, 4], "morse.wpm"),
        (&[27, 1, 41], "morse.wpm"),
        (&[27, 2, 12, 0], "morse.wpm"),
        (&[28, 1, 0x3b], "screen.address"),
        (&[28, 1, 0x78], "screen.address"),
        (&[28, 0], "screen.address"),
        (&[29, 2, 1, 0], "screen.rotated"),
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
    let mut long = vec![24, MAX_PRESET as u8];
    long.extend([b'p'; MAX_PRESET]);
    assert!(Config::decode(&sealed(1, &[HOST, &long].concat())).is_ok());
    long[1] += 1;
    long.push(b'p');
    assert_eq!(
        Config::decode(&sealed(1, &[HOST, &long].concat())),
        Err(Error::Entry("messages.presets"))
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
    assert_eq!(settings.reply, Some("Coming"));
    assert_eq!(settings.presets, ["Come down", "Ačiū"]);
    assert_eq!(settings.peer, Some("attic"));
    assert!(settings.morse_key);
    assert_eq!(settings.morse_wpm, 20);
    assert_eq!(settings.versions, Versions::Only(Version::V4));
    assert_eq!(settings.username, Some("kitchen"));
    assert_eq!(settings.password, Some(&b"battery staple"[..]));
    assert_eq!(settings.keep_alive_s, 30);
    assert_eq!(settings.version, "1.2");
    let config = Config::new("h", 1);
    let settings = config.settings("esp-1", "").unwrap();
    assert_eq!(settings.topics.id(), "esp-1");
    let defaults = Settings::new("aldis", "esp-1").unwrap();
    assert_eq!(settings.morse_wpm, defaults.morse_wpm);
    assert_eq!(settings.morse_key, defaults.morse_key);
    assert!(settings.reply.is_none() && settings.presets.is_empty() && settings.peer.is_none());
    assert!(config.settings("a/b", "").is_err());
    assert!(!format!("{:?}", full()).contains("horse"));
}

proptest! {
    /// A reply that is not the one that was written.
    #[test]
    fn what_can_be_sent_is_kept(
        reply in proptest::option::of("\\PC{1,80}"),
        texts in proptest::collection::vec("\\PC{1,20}", 0..=MAX_PRESETS),
        peer in proptest::option::of("[a-z0-9-]{1,64}"),
        morse in (any::<bool>(), any::<u8>()),
        screen in (any::<u8>(), any::<bool>()),
    ) {
        let config = Config {
            messages: Messages {
                reply: reply.as_deref(),
                presets: Presets::new(texts.iter().map(String::as_str)).unwrap(),
                peer: peer.as_deref(),
            },
            morse: Morse { key: morse.0, wpm: morse.1 },
            screen: Screen { address: screen.0, rotated: screen.1 },
            ..Config::new("h", 1)
        };
        let mut record = [0; MAX_LEN];
        let Ok(len) = config.encode(&mut record) else {
            prop_assert!(reply.as_deref().is_some_and(|reply| reply.len() > MAX_TEXT));
            return Ok(());
        };
        let message = |text: &str, max| text.len() <= max && !text.trim().is_empty();
        let right = reply.as_deref().is_none_or(|reply| message(reply, MAX_TEXT))
            && texts.iter().all(|text| message(text, MAX_PRESET))
            && (5..=40).contains(&morse.1)
            && (screen.0 == 0x3c || screen.0 == 0x3d);
        let decoded = Config::decode(&record[..len]);
        prop_assert_eq!(decoded.is_ok(), right);
        if right {
            prop_assert_eq!(decoded, Ok(config));
        }
    }

    /// Whatever the flash holds.
    #[test]
    fn garbage_is_refused(bytes: Vec<u8>, body in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(Config::decode(&bytes).is_err());
        let _ = Config::decode(&sealed(1, &body));
    }
}
