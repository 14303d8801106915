//! `aldis decode` as a user runs it, over recordings of real sensors.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../device/tests/captures/dht")
}

fn aldis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aldis"));
    command.arg("decode").current_dir(captures());
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn with_input(args: &[&str], input: &str) -> Output {
    let mut child = aldis()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// The rows of `expected.csv` for each recording: answer, °C, %RH.
fn expected() -> Vec<(String, Vec<[String; 3]>)> {
    let rows = fs::read_to_string(captures().join("expected.csv")).unwrap();
    let mut names: Vec<_> = fs::read_dir(captures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".csv") && name != "expected.csv")
        .collect();
    names.sort();
    assert_eq!(names.len(), 10);
    names
        .into_iter()
        .map(|name| {
            let answers = rows
                .lines()
                .map(|row| row.split(',').collect::<Vec<_>>())
                .filter(|row| row[0] == name)
                .map(|row| [row[1], row[2], row[3]].map(String::from))
                .collect();
            (name, answers)
        })
        .collect()
}

/// Any recording read otherwise than expected, in either format, or with a wrong exit code.
#[test]
fn recordings_print_as_expected() {
    for (name, answers) in expected() {
        let plain = aldis().arg(&name).output().unwrap();
        let json = aldis().args([&name, "--json"]).output().unwrap();
        if answers.is_empty() {
            assert_eq!(text(&plain.stdout), "error missing\n", "{name}");
            assert_eq!(text(&json.stdout), "{\"error\":\"missing\"}\n", "{name}");
            assert_eq!(plain.status.code(), Some(1), "{name}");
            assert_eq!(json.status.code(), Some(1), "{name}");
            continue;
        }
        let lines: String = answers
            .iter()
            .map(|[answer, t, h]| format!("{answer} {t} {h}\n"))
            .collect();
        let objects: String = answers
            .iter()
            .map(|[answer, t, h]| format!("{{\"answer\":{answer},\"t\":{t},\"h\":{h}}}\n"))
            .collect();
        assert_eq!(text(&plain.stdout), lines, "{name}");
        assert_eq!(text(&json.stdout), objects, "{name}");
        assert_eq!(text(&plain.stderr), "", "{name}");
        assert_eq!(plain.status.code(), Some(0), "{name}");
        assert_eq!(json.status.code(), Some(0), "{name}");
    }
}

/// The values of another sensor, damaged or cut off, printed as a reading.
#[test]
fn bad_answers_print_as_errors() {
    let output = aldis()
        .args(["--model", "dht22", "dht11_1mhz.csv"])
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "0 error model\n1 error model\n");
    assert_eq!(output.status.code(), Some(1));
    let output = aldis()
        .args(["--model", "dht11", "dht11_1mhz.csv"])
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "0 27.0 36.0\n1 27.0 36.0\n");
    assert_eq!(output.status.code(), Some(0));

    let whole = fs::read_to_string(captures().join("am2302_1mhz_3samples.csv")).unwrap();
    let damaged = whole.replacen("\n1,73\n", "\n1,26\n", 1);
    let output = with_input(&["-"], &damaged);
    assert_eq!(
        text(&output.stdout),
        "0 error checksum\n1 24.8 47.2\n2 24.8 46.8\n"
    );
    assert_eq!(output.status.code(), Some(0));

    let cut: String = whole.split_inclusive('\n').take(60).collect();
    let output = with_input(&["-", "--json"], &cut);
    assert_eq!(
        text(&output.stdout),
        "{\"answer\":0,\"error\":\"truncated\"}\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

/// A wrong file or flag without a word about what to do, or with the exit code of success.
#[test]
fn wrong_input_is_explained() {
    let output = aldis().arg("README.md").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(
        text(&output.stderr),
        "aldis: README.md:1: `# Captured DHT waveforms` should be `level,duration_us`, the first \
         line of a recording\n"
    );
    let output = aldis().arg("nowhere.csv").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("aldis: nowhere.csv: cannot be read: "));

    assert_eq!(aldis().output().unwrap().status.code(), Some(2));
    let output = aldis()
        .args(["--model", "dht21", "dht11_1mhz.csv"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("[possible values: auto, dht22, dht11]"));
}

/// `aldis decode ... | head -1` dies of a panic.
#[test]
fn a_reader_that_leaves_is_no_failure() {
    let long = fs::read_to_string(captures().join("am2302_1mhz_delay250us.csv")).unwrap();
    // Without the last row, which is high like the first.
    let rows: Vec<&str> = long.split_inclusive('\n').collect();
    let rows = rows[1..rows.len() - 1].concat();
    let input = format!("level,duration_us\n{}", rows.repeat(400));
    let mut child = aldis()
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}
