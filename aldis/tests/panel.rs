//! The panel of `aldis device` as a user looks at it: as a file, on a terminal, in a pipe.
#![cfg(unix)]

mod common;

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use aldis_device::screen::{Frame, Message, Page, Screen, Status, View};
use aldis_panel::{Picture, png};

use common::terminal::OnTerminal;
use common::{BRISK, Broker, Folder, Kind, PATIENCE, Program, Tools, aldis, device};

/// Lines of the panel above a message: the status, and who sent it when. They change with time.
const ABOVE: u8 = 27;

/// Where the text of a message is, and nothing else.
fn text_of(picture: &Picture) -> Picture {
    Picture::from_fn(|x, y| y >= ABOVE && picture.get(x, y))
}

/// The text of a message as a device draws it.
fn drawn(text: &str) -> Picture {
    let frame = RefCell::new(Frame::new());
    let message = Message {
        from: "hall",
        text,
        age_ms: 0,
        number: 1,
        count: 1,
        high: false,
        read: false,
        shown_ms: 0,
    };
    let view = View {
        page: Page::Message(message),
        status: Status::default(),
        uptime_ms: 0,
        awake_ms: 0,
    };
    Screen::new(&frame).draw(&view, aldis_mqtt::Instant::from_millis(0));
    let frame = frame.borrow();
    text_of(&Picture::from_fn(|x, y| frame.point(x.into(), y.into())))
}

/// Waits until the file shows this text, and gives the whole picture. It can be read at any time.
fn wait_for_text(file: &Path, text: &str) -> Picture {
    let until = Instant::now() + PATIENCE;
    let wanted = drawn(text);
    assert!(wanted.lit() > 20);
    loop {
        let (picture, style) = png::read(file).expect("a whole picture");
        assert_eq!(style, png::Style::FRAMED);
        let is_it = text_of(&picture) == wanted;
        if is_it {
            return picture;
        }
        assert!(Instant::now() < until, "{picture:?}is not\n{wanted:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// `aldis send` to the device.
fn send(broker: &Broker, text: &str, wait: &str) -> Command {
    let mut send = aldis("send");
    send.args(["-p", &broker.port.to_string(), "dev", text]);
    send.args(["--wait", wait, "--from", "hall"]);
    send
}

/// The file shows something else than the panel, half a picture, or an old one at the end.
#[test]
fn a_screenshot_shows_the_message() {
    let broker = Broker::start(Kind::Hub);
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let file = folder.path().join("panel.png");
    let start = || {
        let mut command = device(&broker.url(), &folder.path().join("state"), &config);
        let mut device = Program::start(command.arg("--screenshot").arg(&file));
        device.wait_for_text("mqtt: connected");
        device
    };
    let mut dev = start();
    let text = "Ačiū, grįžtu žąsų";
    common::succeed(&mut send(&broker, text, "shown"));
    wait_for_text(&file, text);
    dev.wait_for_text(&format!("from hall: {text}"));

    // What waits to be read is shown again after a restart.
    dev.terminate();
    assert!(dev.finish().0.success());
    wait_for_text(&file, text);
    fs::remove_file(&file).unwrap();
    let dev = start();
    wait_for_text(&file, text);
    dev.terminate();
    assert!(dev.finish().0.success());
    wait_for_text(&file, text);
    let mut left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["device.toml", "panel.png", "state"]);
}

/// A display at its other address, or upside down, is dark or upside down in the picture.
#[test]
fn a_screenshot_is_what_a_person_sees_however_the_panel_hangs() {
    let broker = Broker::start(Kind::Hub);
    let folder = Folder::new();
    let settings = format!("{BRISK}[screen]\naddress = 0x3D\nrotated = true\n");
    let config = folder.file("device.toml", &settings);
    let file = folder.path().join("panel.png");
    let mut command = device(&broker.url(), &folder.path().join("state"), &config);
    let mut dev = Program::start(command.arg("--screenshot").arg(&file));
    dev.wait_for_text("mqtt: connected");
    common::succeed(&mut send(&broker, "this way up", "shown"));
    wait_for_text(&file, "this way up");
}

/// Nobody learns that there will be no file.
#[test]
fn a_screenshot_that_cannot_be_saved_is_told_at_once() {
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let state = folder.path().join("state");
    let mut command = device("mqtt://127.0.0.1:1", &state, &config);
    let file = folder.path().join("nowhere/panel.png");
    let (status, said) = Program::start(command.arg("--screenshot").arg(&file)).finish();
    let said = said.join("\n");
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("nowhere/panel.png") && said.contains("--screenshot"),
        "{said}"
    );
}

/// The panel does not come, the button does not do what its key says, or the terminal is left
/// behind unusable.
#[test]
fn on_a_terminal_the_panel_is_shown_and_keys_are_the_button() {
    let broker = Broker::start(Kind::Hub);
    let folder = Folder::new();
    let settings = format!("{BRISK}[messages]\nreply = 'On my way'\n");
    let config = folder.file("device.toml", &settings);
    let (url, state) = (broker.url(), folder.path().join("state"));
    let file = folder.path().join("panel.png");
    let args = |path: &Path| path.to_str().unwrap().to_owned();
    let (state, config, shot) = (args(&state), args(&config), args(&file));
    let args = [
        "device",
        "--id",
        "dev",
        "--broker",
        &url,
        "--state",
        &state,
        "--config",
        &config,
        "--screen",
        "--screenshot",
        &shot,
    ];
    let mut dev = OnTerminal::start("", 40, 130, &args);
    dev.wait_for("\x1b[?1049h");
    dev.wait_for("▀");
    dev.wait_for("mqtt:");
    dev.wait_for("connected");

    let mut sent = Program::start(&mut send(&broker, "dinner is ready", "read"));
    sent.wait_for_text("shown");
    wait_for_text(&file, "dinner is ready");
    dev.press("b");
    let (ended, said) = sent.finish();
    assert!(ended.success(), "{said:?}");

    let mut sent = Program::start(&mut send(&broker, "coming?", "read"));
    sent.wait_for_text("shown");
    dev.press("r");
    sent.wait_for_text("dev: On my way");
    assert!(sent.finish().0.success());

    assert!(!dev.shown().contains("device: stopped"));
    dev.press("q");
    dev.wait_for("\x1b[?1049l");
    // What became of it is left on the terminal.
    dev.wait_for("device: stopped");
    assert!(dev.ends().success());
}

/// What a person chooses at one device does not come to the other, or is not shown there.
#[test]
fn two_devices_converse() {
    let broker = Broker::start(Kind::Hub);
    let folder = Folder::new();
    let plain = folder.file("plain.toml", BRISK);
    let file = folder.path().join("attic.png");
    let mut attic = aldis("device");
    attic.args(["--id", "attic", "--broker", &broker.url()]);
    attic.arg("--state").arg(folder.path().join("attic"));
    attic.arg("--config").arg(&plain);
    attic.arg("--screenshot").arg(&file);
    let mut attic = Program::start(&mut attic);
    attic.wait_for_text("mqtt: connected");

    let texts =
        "[messages]\nreply = 'Coming'\npresets = ['Come down', 'Call me']\npeer = 'attic'\n";
    let config = folder.file("device.toml", &format!("{BRISK}{texts}"));
    let state = folder.path().join("kitchen").to_str().unwrap().to_owned();
    let url = broker.url();
    let config = config.to_str().unwrap();
    let args = [
        "device", "--id", "dev", "--screen", "--broker", &url, "--state", &state, "--config",
        config,
    ];
    let mut kitchen = OnTerminal::start("", 40, 130, &args);
    kitchen.wait_for("connected");
    // The list, the second of it, and send.
    kitchen.press("pbr");
    attic.wait_for_text("from dev: Call me");
    wait_for_text(&file, "Call me");

    let mut sent = aldis("send");
    sent.args(["-p", &broker.port.to_string(), "dev", "come up"]);
    sent.args(["--wait", "read", "--from", "attic"]);
    let mut sent = Program::start(&mut sent);
    sent.wait_for_text("shown");
    kitchen.press("r");
    attic.wait_for_text("from dev: Coming");
    assert!(sent.finish().0.success());
    kitchen.press("q");
    assert!(kitchen.ends().success());
}

/// On a small terminal there is half a panel, or none.
#[test]
fn on_a_small_terminal_the_panel_is_smaller() {
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let state = folder.path().join("state").to_str().unwrap().to_owned();
    let config = config.to_str().unwrap();
    let broker = ["--broker", "mqtt://127.0.0.1:1", "--state", &state];
    let args = [
        &["device", "--id", "dev", "--screen", "--config", config][..],
        &broker,
    ]
    .concat();
    let mut dev = OnTerminal::start("", 24, 80, &args);
    dev.wait_for("⠀⠀⠀");
    dev.wait_for("presets");
    assert!(!dev.shown().contains('▀'));
    dev.press("\x03");
    assert!(dev.ends().success());
    let mut dev = OnTerminal::start("", 10, 60, &args);
    dev.wait_for("64x16:");
    dev.wait_for("larger");
    dev.press("q");
    assert!(dev.ends().success());
}

/// What is typed in dots and dashes is not heard, or as something else.
#[test]
fn keys_are_a_morse_key_where_the_button_is_one() {
    let broker = Broker::start(Kind::Hub);
    let folder = Folder::new();
    let config = folder.file("device.toml", &format!("{BRISK}[morse]\nkey = true\n"));
    let state = folder.path().join("state").to_str().unwrap().to_owned();
    let url = broker.url();
    let args = [
        "device",
        "--id",
        "dev",
        "--screen",
        "--broker",
        &url,
        "--state",
        &state,
        "--config",
        config.to_str().unwrap(),
    ];
    let mut heard = Tools::Aldis.sub(broker.port, &["-t", "aldis/dev/morse/heard", "-d"]);
    heard.wait_for_text("SUBACK");
    let mut dev = OnTerminal::start("", 40, 130, &args);
    dev.wait_for("connected");
    // A machine that has other work may hold a key down for too long, as a hand does.
    let is_heard = (0..5).any(|_| {
        dev.press("... --- .../- ....");
        let line = heard.wait_for("what is heard", |line| line.starts_with(r#"{"text""#));
        line == r#"{"text":"SOS TH","wpm":12}"#
    });
    assert!(is_heard);
    dev.press("q");
    assert!(dev.ends().success());
}

/// In a pipe there are escape sequences, the same picture again and again, or more than anybody
/// can read.
#[test]
fn in_a_pipe_each_picture_is_printed_once() {
    let broker = Broker::start(Kind::Hub);
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let mut command = device(&broker.url(), &folder.path().join("state"), &config);
    let said = common::succeed(command.args(["--screen", "--for", "5s"]));
    assert!(said.iter().any(|line| line.starts_with("mqtt: connected")));
    // A reading may be taken at the very end.
    let stopped = |line: &String| line.starts_with("device: stopped");
    assert!(said.last().is_some_and(stopped), "{said:?}");
    assert!(!said.concat().contains('\x1b'));
    let pictures: Vec<Vec<&String>> = said
        .split(|line| line.starts_with('┌'))
        .skip(1)
        .map(|lines| {
            lines
                .iter()
                .take_while(|line| line.starts_with('│'))
                .collect()
        })
        .collect();
    // The first, and one a second.
    assert!((2..=6).contains(&pictures.len()), "{}", said.join("\n"));
    for (picture, next) in pictures.iter().zip(pictures.iter().skip(1)) {
        assert_ne!(picture, next);
    }
    for picture in pictures {
        assert_eq!(picture.len(), 32);
        for line in picture {
            assert_eq!(line.chars().count(), 130, "{line}");
        }
    }
}

/// A program that reads JSON stumbles over a picture.
#[test]
fn a_picture_is_no_json() {
    let (status, said) = Program::start(aldis("device").args(["--screen", "--json"])).finish();
    assert_eq!(status.code(), Some(2), "{said:?}");
}
