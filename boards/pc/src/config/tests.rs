use super::*;
use proptest::prelude::*;

/// The file as the design shows it, with every key there is.
const FULL: &str = r#"
id = "kitchen"
prefix = "home/aldis"
[wifi]
ssid = "home"
password = "geheim-42"
country = "LT"
[broker]
url = "mqtt://192.168.1.107:1883"
version = 5
username = "me"
password = "geheim"
keep_alive_s = 20
[pins]
led = 2
dht22 = 14
scl = 22
sda = 21
button = 0
[readout]
topic = "a"
command_topic = "b"
interval_s = 7
confirm = true
[sensor]
model = "dht22"
[messages]
reply = "Coming"
peer = "attic"
presets = ["Come down", "Call me"]
[morse]
key = false
wpm = 20
[screen]
address = 0x3D
rotated = true
[console]
level = "warn"
"#;

fn errors(text: &str) -> String {
    Config::parse("device.toml", text.as_bytes())
        .unwrap_err()
        .to_string()
}

fn parse(text: &str) -> Config {
    Config::parse("device.toml", text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// A key that is read, checked and then forgotten.
#[test]
fn every_key_is_taken() {
    let expected = Config {
        id: Some("kitchen".into()),
        prefix: "home/aldis".into(),
        wifi: Some(Wifi {
            ssid: "home".into(),
            password: Some(Secret::new("geheim-42")),
            country: Some("LT".into()),
        }),
        broker: Broker {
            url: Some("mqtt://192.168.1.107".parse().unwrap()),
            version: Some(Version::V5),
            username: Some("me".into()),
            password: Some(Secret::new("geheim")),
            keep_alive_s: 20,
        },
        pins: Pins {
            led: Some(2),
            dht22: Some(14),
            scl: Some(22),
            sda: Some(21),
            button: Some(0),
        },
        readout: Readout {
            topic: Some("a".into()),
            command_topic: Some("b".into()),
            interval_s: 7,
            confirm: true,
        },
        sensor: Model::Dht22,
        messages: Messages {
            reply: Some("Coming".into()),
            presets: vec!["Come down".into(), "Call me".into()],
            peer: Some("attic".into()),
        },
        morse: Morse {
            key: false,
            wpm: 20,
        },
        screen: Screen {
            address: 0x3d,
            rotated: true,
        },
        console: Level::Warn,
    };
    assert_eq!(parse(FULL), expected);
    assert!(
        !format!("{expected:?}").contains("geheim"),
        "a password can end up in a log"
    );
}

/// A default other than the promised one, or a key that is needed after all.
#[test]
fn every_key_may_be_left_out() {
    assert_eq!(parse(""), Config::default());
    let defaults = r#"
        prefix = "aldis"
        [broker]
        keep_alive_s = 15
        [readout]
        topic = "testincr"
        command_topic = "output"
        interval_s = 5
        confirm = false
        [sensor]
        model = "auto"
        [messages]
        presets = []
        [morse]
        key = false
        wpm = 12
        [screen]
        address = 0x3C
        rotated = false
        [console]
        level = "info"
    "#;
    assert_eq!(parse(defaults), Config::default());
    for (line, row) in FULL
        .lines()
        .enumerate()
        .filter(|(_, row)| row.contains('='))
    {
        let without: Vec<_> = FULL
            .lines()
            .enumerate()
            .filter(|(other, _)| *other != line)
            .map(|(_, row)| row)
            .collect();
        let without = without.join("\r\n");
        match row.split(' ').next() {
            Some("ssid") => assert!(errors(&without).contains("`ssid`")),
            Some("username") => assert!(errors(&without).contains("`username`")),
            // Said, and the default.
            Some("key") => assert_eq!(parse(&without), parse(FULL)),
            _ => assert_ne!(parse(&without), parse(FULL), "{row}"),
        }
    }
}

/// The ways to write the same.
#[test]
fn settings_may_be_written_differently() {
    let config = parse("broker = { url = 'mqtts://me:pw@hub.local', version = 4 }");
    let url = config.broker.url.unwrap();
    assert_eq!(url.to_string(), "mqtts://hub.local:8883");
    assert_eq!(config.broker.username.as_deref(), Some("me"));
    assert_eq!(
        config.broker.password.as_ref().map(Secret::expose),
        Some("pw")
    );
    assert_eq!(config.broker.version, Some(Version::V4));

    let config = parse("readout.topic = false\nreadout.command_topic = false\npins.led = 0x10");
    assert_eq!(
        (config.readout.topic, config.readout.command_topic),
        (None, None)
    );
    assert_eq!(config.pins.led, Some(16));

    assert_eq!(parse("wifi.ssid = 'open'").wifi.unwrap().password, None);
    let config = parse("[broker]\nurl = 'mqtt://me@host'\npassword = 'pw'");
    assert_eq!(
        config.broker.password.as_ref().map(Secret::expose),
        Some("pw")
    );
}

/// Errors one at a time, in the parser's words or without the line.
#[test]
fn everything_wrong_is_said_at_once() {
    let text = r##"id = "a/b"
prefix = 3
intervall_s = 5
ssid = "x"
[wifi]
password = 12345678
country = "lt"
[brocker]
[broker]
url = "192.168.1.107:1883"
keepalive = 3
keep_alive_s = 70000
version = 3.1
[pins]
led = 2
dht22 = 2
scl = 49
sda = "D21"
button = -1
colour = 1
[readout]
topic = ""
command_topic = true
interval_s = 0
confirm = "yes"
id = "late"
[sensor]
model = "dht21"
[console]
level = "trace"
[messages]
reply = ""
peer = "a b"
presets = ["Call me", "a\nb",
  3,
  " "]
presents = 1
[morse]
key = 1
wpm = 4
speed = 12
[screen]
address = 0x78
rotated = "no"
adress = 0x3C
[mesages]
wpm = 12
"##;
    let expected = r#"device.toml:1: `id = "a/b"`: a device id has 1 to 64 bytes, without `/`, `+`, `#`, spaces and control characters, and is not `.` or `..`
device.toml:2: `prefix = 3`: should be text in quotes
device.toml:3: unknown key `intervall_s`: did you mean `interval_s` in [readout]?
device.toml:4: unknown key `ssid`: it should stand in [wifi]
device.toml:5: [wifi] has no `ssid`: it should be the name of the network in quotes
device.toml:6: `password = ...` in [wifi]: should be the network's password in quotes
device.toml:7: `country = "lt"` in [wifi]: should be two capital letters, such as "LT"
device.toml:8: unknown table [brocker]: did you mean [broker]?
device.toml:10: `url = "192.168.1.107:1883"` in [broker]: should begin with `mqtt://` or `mqtts://`: did you mean `mqtt://192.168.1.107:1883`?
device.toml:11: unknown key `keepalive` in [broker]: did you mean `keep_alive_s`?
device.toml:12: `keep_alive_s = 70000` in [broker]: should be a whole number of seconds from 1 to 65535
device.toml:13: `version = 3.1` in [broker]: should be 4 (MQTT 3.1.1) or 5
device.toml:16: `dht22 = 2` in [pins]: is the GPIO of `led` already
device.toml:17: `scl = 49` in [pins]: should be the number of a GPIO, from 0 to 48
device.toml:18: `sda = "D21"` in [pins]: should be the number of a GPIO, from 0 to 48
device.toml:19: `button = -1` in [pins]: should be the number of a GPIO, from 0 to 48
device.toml:20: unknown key `colour` in [pins]: known are `led`, `dht22`, `scl`, `sda` and `button`
device.toml:22: `topic = ""` in [readout]: should be a topic, or false for none
device.toml:23: `command_topic = true` in [readout]: should be a topic in quotes, or false for none
device.toml:24: `interval_s = 0` in [readout]: should be a whole number of seconds from 1 to 86400
device.toml:25: `confirm = "yes"` in [readout]: should be true or false
device.toml:26: unknown key `id` in [readout]: it should stand at the top, before the first [table]
device.toml:28: `model = "dht21"` in [sensor]: should be "auto", "dht22" or "dht11"
device.toml:30: `level = "trace"` in [console]: should be "off", "error", "warn", "info" or "debug"
device.toml:32: `reply = ""` in [messages]: should be one line of 1 to 255 bytes, without control characters and not of spaces alone
device.toml:33: `peer = "a b"` in [messages]: a device id has 1 to 64 bytes, without `/`, `+`, `#`, spaces and control characters, and is not `.` or `..`
device.toml:34: `presets = [...]` in [messages]: number 2, "a\nb", should be one line of 1 to 64 bytes, without control characters and not of spaces alone
device.toml:35: `presets = [...]` in [messages]: number 3, 3, should be text in quotes
device.toml:36: `presets = [...]` in [messages]: number 4, " ", should be one line of 1 to 64 bytes, without control characters and not of spaces alone
device.toml:37: unknown key `presents` in [messages]: did you mean `presets`?
device.toml:39: `key = 1` in [morse]: should be true or false
device.toml:40: `wpm = 4` in [morse]: should be a whole number of words a minute from 5 to 40
device.toml:41: unknown key `speed` in [morse]: known are `key` and `wpm`
device.toml:43: `address = 0x78` in [screen]: should be 0x3C or 0x3D; 0x78 and 0x7A, as printed on some displays, are the same, written differently
device.toml:44: `rotated = "no"` in [screen]: should be true or false
device.toml:45: unknown key `adress` in [screen]: did you mean `address`?
device.toml:46: unknown table [mesages]: did you mean [messages]?"#;
    assert_eq!(errors(text), expected);
}

/// Settings that are right alone and wrong together, or elsewhere.
#[test]
fn contradictions_are_explained() {
    for (text, expected) in [
        (
            "[broker]\nurl = 'mqtt://me:pw@host'\nusername = 'me'\npassword = 'pw'",
            "device.toml:3: `username = \"me\"` in [broker]: is in `url` already; it should be in \
             one place\n\
             device.toml:4: `password = \"...\"` in [broker]: is in `url` already; it should be in \
             one place",
        ),
        (
            "[broker]\npassword = 'pw'",
            "device.toml:2: `password = \"...\"` in [broker]: needs a `username` beside it: \
             brokers refuse a password alone",
        ),
        (
            "[broker]\nurl = 'mqtt://me:geheim@host/x'\npassword = ''",
            "device.toml:2: `url = \"mqtt://...@host/x\"` in [broker]: should end after the host \
             and its port, without `/x`\n\
             device.toml:3: `password = \"...\"` in [broker]: should have 1 to 65535 bytes, none \
             of them 0",
        ),
        (
            "[readout]\ntopic = 'output'",
            "device.toml:2: `topic = \"output\"` in [readout]: is the `command_topic` unless that is \
             set: the device would take its own readouts for commands",
        ),
        (
            "prefix = 'home'\n[readout]\ntopic = 'home/a/led/set'\ncommand_topic = 'home/b/status'",
            "device.toml:3: `topic = \"home/a/led/set\"` in [readout]: is a topic that devices have \
             already: choose another\n\
             device.toml:4: `command_topic = \"home/b/status\"` in [readout]: is a topic that \
             devices have already: choose another",
        ),
        (
            "[readout]\ncommand_topic = 'testincr'",
            "device.toml:2: `command_topic = \"testincr\"` in [readout]: is the readout's `topic` \
             too: the device would take its own readouts for commands",
        ),
        (
            "[readout]\ntopic = 'a/#'",
            "device.toml:2: `topic = \"a/#\"` in [readout]: a topic has 1 to 143 bytes, without \
             `+`, `#` and control characters, and does not begin with `$`",
        ),
        (
            "prefix = 'a/'",
            "device.toml:1: `prefix = \"a/\"`: a prefix has 1 to 64 bytes, without `+`, `#`, \
             spaces and control characters; `/` stands only between its parts, and it does not \
             begin with `$`",
        ),
        (
            "[wifi]\nssid = ''\npassword = 'short'",
            "device.toml:2: `ssid = \"\"` in [wifi]: should have 1 to 32 bytes, as names of \
             networks do\n\
             device.toml:3: `password = \"...\"` in [wifi]: should have 8 to 63 bytes, or be 64 \
             hexadecimal digits; an open network has none: leave the line out",
        ),
        (
            "broker = 'mqtt://host'\n[[pins]]\nled = 1\n[radio]\nx = 1",
            "device.toml:1: `broker = \"mqtt://host\"`: should be a table, with `[broker]` on a \
             line of its own\n\
             device.toml:2: `pins = [...]`: should be a table, with `[pins]` on a line of its own\n\
             device.toml:4: unknown table [radio]: known are [wifi], [broker], [pins], [readout], \
             [sensor], [messages], [morse], [screen] and [console]",
        ),
        (
            "id = 'hall'\n[messages]\npeer = 'hall'\npresets = 'Call me'",
            "device.toml:3: `peer = \"hall\"` in [messages]: is this device itself: name another \
             one\n\
             device.toml:4: `presets = \"Call me\"` in [messages]: should be a list of texts in \
             quotes, such as [\"Come down\", \"Call me\"]",
        ),
        (
            "[messages]\npresets = ['1', '2', '3', '4', '5', '6', '7', '8', '9']",
            "device.toml:2: `presets = [...]` in [messages]: should be at most 8 texts, and these \
             are 9",
        ),
        (
            "[messages]\npeer = 'a/b'\n[morse]\nkey = true\nwpm = 41",
            "device.toml:2: `peer = \"a/b\"` in [messages]: a device id has 1 to 64 bytes, without \
             `/`, `+`, `#`, spaces and control characters, and is not `.` or `..`\n\
             device.toml:5: `wpm = 41` in [morse]: should be a whole number of words a minute from \
             5 to 40",
        ),
    ] {
        assert_eq!(errors(text), expected, "{text}");
    }
}

/// A text that is too long by one byte is taken, or one that fits is refused.
#[test]
fn texts_may_be_as_long_as_promised() {
    for (most, key) in [(255, "reply = 'X'"), (64, "presets = ['a', 'X']")] {
        let with = |text: &str| format!("[messages]\n{}", key.replace('X', text));
        for text in ["x".repeat(most), "\u{17e}".repeat(most / 2)] {
            parse(&with(&text));
        }
        for text in ["x".repeat(most + 1), "\u{17e}".repeat(most / 2 + 1)] {
            let said = errors(&with(&text));
            assert!(said.contains(&format!("1 to {most} bytes")), "{said}");
        }
    }
    let eight = parse("messages.presets = ['1', '2', '3', '4', '5', '6', '7', '8']");
    assert_eq!(eight.messages.presets.len(), 8);
    // They go to the sender of the message that was on the screen.
    assert_eq!(eight.messages.peer, None);
}

/// Texts for a button that sends none, without a word.
#[test]
fn what_is_never_sent_is_warned_about() {
    let warnings = |text: &str| {
        let parsed = Config::parse_with("device.toml", text.as_bytes(), |_| Vec::new());
        parsed.unwrap_or_else(|error| panic!("{error}")).1
    };
    assert_eq!(
        warnings(
            "[messages]\nreply = 'yes'\npresets = ['no']\npeer = 'attic'\n[morse]\nkey = true"
        ),
        [
            "device.toml:2: `reply = \"yes\"` in [messages]: cannot be sent: with `key = true` in \
             [morse] the button is a Morse key, and sends no messages",
            "device.toml:3: `presets = [...]` in [messages]: cannot be sent: with `key = true` in \
             [morse] the button is a Morse key, and sends no messages",
        ]
    );
    assert_eq!(
        warnings("[messages]\nreply = 'yes'\npeer = 'attic'"),
        [
            "device.toml:3: `peer = \"attic\"` in [messages]: nothing is sent to it: write what can \
             be chosen in `presets`, such as `presets = [\"Call me\"]`"
        ]
    );
    for fine in [
        FULL,
        "messages.presets = ['no']",
        "messages.reply = 'yes'",
        "morse.key = true",
    ] {
        assert_eq!(warnings(fine), [""; 0], "{fine}");
    }
    // What is wrong about the list is said, and no more.
    assert!(!errors("[messages]\npeer = 'attic'\npresets = 1").contains("nothing is sent"));
}

/// The levels are other ones than the message says.
#[test]
fn levels_are_known() {
    for (text, level) in [
        ("off", Level::Off),
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
    ] {
        assert_eq!(parse(&format!("console.level = '{text}'")).console, level);
    }
}

/// What a board cannot do, told without the line, or for what is wrong anyway.
#[test]
fn remarks_are_put_where_they_belong() {
    let remarked = |text: &str| {
        Config::parse_with("device.toml", text.as_bytes(), |_| {
            vec![
                Remark::error("wifi", "ssid", "is needed"),
                Remark::error("broker", "url", "is needed"),
                Remark::error("broker", "password", "is too long"),
                Remark::error("pins", "led", "is taken").with("scl"),
                Remark::warning("pins", "sda", "is odd"),
                Remark::warning("", "id", "is dull"),
            ]
        })
        .map(|(_, warnings)| warnings)
        .map_err(|errors| errors.to_string())
    };
    assert_eq!(
        remarked("[broker]\nusername = 'a'\npassword = 'geheim'\n[pins]\nled = 2"),
        Err("device.toml:1: [broker] has no `url`: is needed\n\
             device.toml:3: `password = \"...\"` in [broker]: is too long\n\
             device.toml:5: `led = 2` in [pins]: is taken\n\
             device.toml: there is no [wifi] with a `ssid`: is needed"
            .into())
    );
    assert_eq!(
        remarked("[wifi]\n[broker]\nurl = 3\npassword = 3\n[pins]\nled = 2\nscl = 99"),
        Err(
            "device.toml:1: [wifi] has no `ssid`: it should be the name of the network in quotes\n\
             device.toml:3: `url = 3` in [broker]: should be a URL in quotes, such as \
             \"mqtt://192.168.1.107:1883\"\n\
             device.toml:4: `password = ...` in [broker]: should be text in quotes\n\
             device.toml:7: `scl = 99` in [pins]: should be the number of a GPIO, from 0 to 48"
                .into()
        )
    );
    let warnings = Config::parse_with("device.toml", b"[pins]\nsda = 4", |config| {
        assert_eq!(config.pins.sda, Some(4));
        vec![
            Remark::warning("pins", "sda", "is odd"),
            Remark::warning("", "id", "is dull"),
        ]
    });
    assert_eq!(
        warnings.unwrap().1,
        [
            "device.toml:2: `sda = 4` in [pins]: is odd",
            "device.toml: there is no `id`: is dull"
        ]
    );
}

/// A file that is no TOML at all.
#[test]
fn syntax_errors_name_line_and_key() {
    let text = "id = kitchen\n[broker]\npassword = \"geheim\n[wifi\n[broker]\nurl = 'a'\nurl = 'b'";
    let shown = errors(text);
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(
        lines[0],
        "device.toml:1: `id`: text should stand in straight quotes, such as \"home\""
    );
    assert!(
        lines[1].starts_with("device.toml:3: `password`: not TOML: "),
        "{shown}"
    );
    assert!(
        lines[2].starts_with("device.toml:4: `[wifi`: not TOML: "),
        "{shown}"
    );
    assert_eq!(
        lines[3],
        "device.toml:5: `[broker]` is there already; it should be there once"
    );
    assert_eq!(
        lines[4],
        "device.toml:7: `url` is there already; it should be there once"
    );
    assert!(!shown.contains("geheim"));

    let error = Config::parse("device.toml", b"id = 'x'\n# caf\xe9").unwrap_err();
    assert_eq!(
        error.to_string(),
        "device.toml:2: not text: should be saved as UTF-8"
    );
    let error = Config::read(Path::new("/nonexistent.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nonexistent.toml: cannot be read: No such file or directory (os error 2)"
    );
}

proptest! {
    /// A typo anywhere in a good file.
    #[test]
    fn a_damaged_file_is_taken_or_refused_with_a_line(
        at in 0..FULL.len(),
        replacement in "\\PC{0,3}|[\\[\\]=\"'\n]",
    ) {
        let mut text = FULL.to_owned();
        text.replace_range(at..=at, &replacement);
        if let Err(error) = Config::parse("device.toml", text.as_bytes()) {
            for line in error.to_string().lines() {
                let rest = line.strip_prefix("device.toml:");
                let number = rest.and_then(|rest| rest.split_once(':')).map(|(number, _)| number);
                let number = number.and_then(|number| number.parse::<usize>().ok());
                prop_assert!(number.is_some_and(|n| n <= text.split('\n').count()), "{}", line);
            }
        }
    }

    /// A file of another kind.
    #[test]
    fn garbage_does_not_panic(bytes: Vec<u8>, soup in "[a-z=\\[\\]{}\"'.,# \n0-9-]{0,80}") {
        let _ = Config::parse("x", &bytes);
        let _ = Config::parse("x", soup.as_bytes());
    }
}
