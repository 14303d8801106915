//! `-F`, compared with mosquitto_sub's.

use crate::common::{BOTH, Mosquitto, Tool, aldis, run, start};

/// A retained message with every property that a publisher can give it.
fn retain(port: u16, payload: &[u8]) {
    let mut command = Tool::Mosquitto.at("pub", port, ["-V", "5", "-q", "1", "-r", "-s"]);
    command.args(["-t", "some/topic"]);
    for property in [
        &["content-type", "text/x"][..],
        &["user-property", "k", "v"],
        &["user-property", "k2", "v \"2\""],
        &["response-topic", "re/sp"],
        &["correlation-data", "corr"],
        &["message-expiry-interval", "1000"],
        &["payload-format-indicator", "1"],
    ] {
        command.args(["-D", "publish"]).args(property);
    }
    let done = start(&mut command, payload).done();
    assert_eq!(done.code, Some(0), "{done:?}");
}

fn formatted(tool: Tool, port: u16, version: &str, qos: &str, format: &str) -> Vec<u8> {
    let args = [
        "-t",
        "some/topic",
        "-C",
        "1",
        "-V",
        version,
        "-q",
        qos,
        "-F",
        format,
    ];
    let done = run(&mut tool.at("sub", port, args));
    assert_eq!(done.code, Some(0), "{format}: {done:?}");
    done.out
}

/// Compares what both tools print. A second may pass between them, so that a
/// difference must show three times.
fn compare(port: u16, version: &str, format: &str) {
    for attempt in 1.. {
        let [ours, theirs] = BOTH.map(|tool| formatted(tool, port, version, "1", format));
        if ours == theirs {
            return;
        }
        let text = |bytes: &[u8]| -> Vec<String> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.split('|').map(String::from).collect()
        };
        if attempt == 3 {
            assert_eq!(text(&ours), text(&theirs), "{format}");
        }
    }
}

const FIELDS: &[&str] = &[
    "%%",
    "%A",
    "%C",
    "%D",
    "%E",
    "%F",
    "%l",
    "%m",
    "%P",
    "%p",
    "%q",
    "%R",
    "%r",
    "%S",
    "%t",
    "%x",
    "%X",
    "%I",
    "@@",
    "a\\\\b\\0c\\ad\\ee\\nf\\rg\\th\\v",
    "%20t",
    "%-20t",
    "%020t",
    "%20.4t",
    "%.4t",
    "%-20.4t",
    "%4.20t",
    "%10l",
    "%010l",
    "%-10l",
    "%-010l",
    "%.1l",
    "%20p",
    "%3p",
    "%020p",
    "%-20p",
    "%.2p",
    "%.4x",
    "%4x",
    "%04X",
    "%-4x",
    "%5m",
    "%05m",
    "%-5m",
    "%10C",
    "%-10C",
    "%10.3C",
    "%010C",
    "%8R",
    "%-8R",
    "%3R",
    "%.3R",
    "%10E",
    "%010E",
    "%-10E",
    "%5F",
    "%05F",
    "%40I",
    "%-40I",
    "%040I",
    "%.4I",
    "%5S",
    "%05S",
    "%5A",
    "%05A",
    "%5q",
    "%5r",
    "%5%",
    "%5P",
    "%5D",
    "%0t",
    "%-t",
    "é",
    "%1t",
    "%1l",
    "%.0t",
    "%8.0C",
    "@n@t",
    "x",
];

/// A script that takes a line apart breaks on any difference.
#[test]
fn every_field_is_printed_as_mosquitto_sub_prints_it() {
    let broker = Mosquitto::start();
    retain(broker.port, b"he\"llo");
    for version in ["311", "5"] {
        compare(broker.port, version, &FIELDS.join("|"));
    }
}

/// The same with the letters of strftime, in a zone with summer time.
#[test]
fn times_are_printed_as_strftime_does() {
    let broker = Mosquitto::start();
    retain(broker.port, b"x");
    let letters = "aAbBcCdDeFgGhHIjklmMnpPrRsSTtuUVwWxXyYzZ+EOfiJKLoqQv1:";
    let format: Vec<String> = letters.chars().map(|c| format!("{c}=@{c}")).collect();
    compare(broker.port, "5", &format.join("|"));
    // Theirs looks at the clock for each of them.
    let out = formatted(Tool::Aldis, broker.port, "5", "0", "%U @s.@N");
    let text = String::from_utf8(out).unwrap();
    let (unix, time) = text.trim_end().split_once(' ').unwrap();
    assert_eq!(unix, time);
    assert_eq!(unix.split_once('.').unwrap().1.len(), 9);
}

/// JSON that is none, or has other keys, is of no use to who reads it.
#[test]
fn json_is_that_of_mosquitto_sub() {
    let broker = Mosquitto::start();
    // Both notations begin with the time, which differs.
    let without_time = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        let (time, rest) = text.split_once(',').unwrap_or(("", &text));
        let digits = time.replace(|c: char| c.is_ascii_digit(), "0");
        (digits, rest.to_owned())
    };
    for payload in [
        "{\"a\": 1.5, \"b\":[1, {}], \"c \\\" d\\\\\" : \" x\"}",
        "12",
        "\"s\"",
        "not",
        "é€😀",
        "t\tn\n\u{1}/\\",
    ] {
        retain(broker.port, payload.as_bytes());
        for (version, qos) in [("311", "1"), ("5", "0")] {
            for format in ["%j", "%J"] {
                let mut attempt = 0;
                let pair = loop {
                    attempt += 1;
                    let pair = BOTH
                        .map(|tool| formatted(tool, broker.port, version, qos, format))
                        .map(without_time);
                    if pair[0] == pair[1] || attempt == 3 {
                        break pair;
                    }
                };
                assert_eq!(pair[0], pair[1], "-V {version} {format} {payload}");
            }
        }
    }
}

/// Bytes that are no text made mosquitto_sub print what is no JSON.
#[test]
fn json_of_any_bytes_is_json() {
    let broker = Mosquitto::start();
    let bytes: Vec<u8> = (0..=255).collect();
    retain(broker.port, &bytes);
    let mut command = aldis("sub");
    command.args(["-h", "127.0.0.1", "-p", &broker.port.to_string()]);
    let done = run(command.args(["--json", "-C", "1", "some/topic"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    let json: serde_json::Value = serde_json::from_slice(&done.out).unwrap();
    assert_eq!(json["topic"], "some/topic");
    assert_eq!(json["payloadlen"], 256);
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(json["payload_hex"], digits);
    assert_eq!(done.text().lines().count(), 1);
}

/// mosquitto_sub prints half of the payload when `%x` is wider than it.
#[test]
fn wide_hexadecimal_is_whole() {
    let broker = Mosquitto::start();
    retain(broker.port, b"hello");
    let out = formatted(Tool::Aldis, broker.port, "5", "0", "%20x|%-012X|%5x");
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "          68656c6c6f|68656C6C6F  | 6865\n"
    );
}

/// A format that cannot be meant would print something else for ever.
#[test]
fn wrong_formats_are_refused_as_mosquitto_sub_does() {
    for format in ["a%", "%5", "%.", "%-", "x\\", "@", "%Y", "\\q", "% 5l"] {
        let [ours, theirs] = BOTH.map(|tool| {
            let done = run(tool.bare("sub").args(["-t", "t", "-F", format]));
            let first = done.err.lines().next().unwrap_or("").to_owned();
            (done.code, first)
        });
        assert_eq!(ours, theirs, "{format}");
    }
}
