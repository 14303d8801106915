//! `aldis send` as a user runs it, with real brokers and a device that says what the test wants.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aldis_mqtt::link::Clock;
use aldis_mqtt::link::Link;
use aldis_mqtt::link::tokio::{TcpConnector, TokioClock};
use aldis_mqtt::{
    Buffers, CleanStart, Event, Options, Publication, QoS, Session, Slot, SubscribeOptions, Will,
};
use aldis_protocol::{Message, MessageReport, MessageState, Priority, Scratch};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use common::{Broker, Folder, Kind, PATIENCE, Program, aldis};

/// A device that says what it is told to say.
struct Device {
    say: UnboundedSender<(String, Vec<u8>)>,
    messages: Receiver<Vec<u8>>,
    /// One for each thing that the broker took.
    delivered: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Device {
    /// Connects as `kitchen`, says that it is online and takes messages.
    fn start(port: u16) -> Self {
        let (say, mut to_say) = unbounded_channel::<(String, Vec<u8>)>();
        let (seen, messages) = mpsc::channel();
        let (taken, delivered) = mpsc::channel();
        let live = async move {
            let (mut receive, mut outbox) = (vec![0; 8_192], vec![0; 8_192]);
            let mut slots = [Slot::EMPTY; 16];
            let clock = TokioClock::new();
            let options = Options {
                clean_start: CleanStart::Never,
                will: Some(Will {
                    topic: "aldis/kitchen/status",
                    payload: b"offline",
                    qos: QoS::AtLeastOnce,
                    retain: true,
                    properties: aldis_mqtt::wire::Properties::NONE,
                }),
                ..Options::new("kitchen")
            };
            let buffers = Buffers::new(&mut receive, &mut outbox, &mut slots);
            let mut session = Session::new(options, buffers, 1, clock.now()).unwrap();
            let exactly_once = SubscribeOptions {
                qos: QoS::ExactlyOnce,
                ..SubscribeOptions::default()
            };
            session
                .subscribe("aldis/kitchen/message/set", exactly_once, None)
                .unwrap();
            let connector = TcpConnector::new("127.0.0.1", port);
            let mut link = Link::new(session, connector, clock);
            let mut leaving = false;
            loop {
                let mut token = None;
                let mut status = None;
                tokio::select! {
                    event = link.next() => match event {
                        Event::Message(message) => {
                            let _ = seen.send(message.payload.to_vec());
                            token = message.token;
                        }
                        Event::Subscribed { .. } if !leaving => status = Some("online"),
                        Event::Delivered { .. } => {
                            let _ = taken.send(());
                        }
                        _ => {}
                    },
                    said = to_say.recv(), if !leaving => match said {
                        Some((topic, _)) if topic.is_empty() => return,
                        Some((topic, payload)) => {
                            let (session, now) = link.parts();
                            let said = Publication::new(&topic, &payload).qos(QoS::AtLeastOnce);
                            session.publish(&said, now).unwrap();
                        }
                        None => {
                            leaving = true;
                            status = Some("offline");
                        }
                    }
                }
                let (session, now) = link.parts();
                if let Some(status) = status {
                    let told = Publication::new("aldis/kitchen/status", status.as_bytes())
                        .qos(QoS::AtLeastOnce)
                        .retained()
                        .latest();
                    session.publish(&told, now).unwrap();
                }
                if let Some(token) = token {
                    session.acknowledge(token);
                }
                // All that it said has arrived.
                if leaving && session.pending() == 0 {
                    session.stop(now);
                }
                if session.is_stopped() {
                    return;
                }
            }
        };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(live);
        });
        let device = Self {
            say,
            messages,
            delivered,
            thread,
        };
        device.delivered();
        device
    }

    /// Waits until the broker took the next thing that it said.
    fn delivered(&self) {
        self.delivered.recv_timeout(PATIENCE).expect("a broker");
    }

    /// The next message, as it came; checks that a device takes it.
    fn payload(&self) -> Vec<u8> {
        let payload = self.messages.recv_timeout(PATIENCE).expect("a message");
        let mut scratch = Scratch::new();
        Message::decode(&payload, &mut scratch).expect("a message that can be read");
        payload
    }

    /// The id of the next message.
    fn message(&self) -> String {
        field(&self.payload(), "id")
    }

    fn say(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        let said = (format!("aldis/{topic}"), payload.into());
        self.say.send(said).expect("the device lives");
    }

    fn report(&self, id: &str, state: MessageState, age_ms: u64, reason: Option<&str>) {
        let report = MessageReport {
            id: Some(id),
            state,
            age_ms,
            reason,
        };
        let mut buffer = [0; 512];
        let len = report.encode(&mut buffer).unwrap();
        self.say("kitchen/message/state", &buffer[..len]);
    }

    fn reply(&self, to: &str, from: &str, text: &str) {
        let reply = Message {
            from: Some(from),
            text,
            ..Message::default()
        };
        let mut buffer = [0; 512];
        let len = reply.encode(&mut buffer).unwrap();
        self.say(&format!("{to}/message/set"), &buffer[..len]);
    }

    /// Ends as when the power fails.
    fn die(self) {
        self.say.send(Default::default()).expect("the device lives");
        self.thread.join().unwrap();
    }

    /// Ends in order.
    fn stop(self) {
        drop(self.say);
        self.thread.join().unwrap();
    }
}

fn field(payload: &[u8], name: &str) -> String {
    let value: Value = serde_json::from_slice(payload).unwrap();
    value[name].as_str().expect("a text").to_owned()
}

fn command(port: u16, args: &[&str]) -> Command {
    let mut command = aldis("send");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    command.args(args);
    command
}

fn send(port: u16, args: &[&str]) -> Program {
    Program::start(&mut command(port, args))
}

/// How it ended, and what it said since the last wait.
#[track_caller]
fn ended(program: Program, code: i32) -> Vec<String> {
    let (status, lines) = program.finish();
    assert_eq!(status.code(), Some(code), "{lines:?}");
    lines
}

/// What a line says behind its time.
fn without_time(line: &str) -> &str {
    let (time, rest) = line.split_once(' ').unwrap();
    assert_eq!(time.len(), "12:34:56".len(), "{line}");
    rest
}

fn states(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|line| without_time(line)).collect()
}

/// A script goes on although nobody has read it, or waits for what has come.
#[test]
fn each_goal_ends_it_and_so_does_a_later_state() {
    use MessageState::{Read, Received, Shown};
    for kind in [Kind::Hub, Kind::Mosquitto] {
        let broker = Broker::start(kind);
        let device = Device::start(broker.port);
        for (goal, reports, said) in [
            (&[][..], &[Received][..], &["received"][..]),
            (&["--wait", "received"], &[Shown], &["shown"]),
            (
                &["--wait", "shown"],
                &[Received, Shown],
                &["received", "shown"],
            ),
            (
                &["--wait", "shown"],
                &[Received, Read],
                &["received", "read"],
            ),
            (
                &["--wait", "read"],
                &[Received, Shown, Read],
                &["received", "shown", "read"],
            ),
        ] {
            let program = send(
                broker.port,
                &[&["kitchen", "dinner", "is ready"], goal].concat(),
            );
            let payload = device.payload();
            assert_eq!(field(&payload, "text"), "dinner is ready");
            let id = field(&payload, "id");
            for &state in reports {
                device.report(&id, state, 0, None);
            }
            assert_eq!(states(&ended(program, 0)), said, "{goal:?}");
        }
        device.stop();
    }
}

/// A device that is not told what the flags say.
#[test]
fn the_message_says_what_the_flags_say() {
    let broker = Broker::start(Kind::Hub);
    let device = Device::start(broker.port);
    let program = send(
        broker.port,
        &[
            "kitchen",
            "--id",
            "ž 7",
            "--from",
            "hall",
            "--expires",
            "10m",
            "--priority",
            "high",
            "-q",
            "1",
            "--",
            "-5 °C",
            "\"outside\"",
        ],
    );
    let payload = device.payload();
    let mut scratch = Scratch::new();
    let message = Message::decode(&payload, &mut scratch).unwrap();
    let expected = Message {
        id: Some("ž 7"),
        from: Some("hall"),
        text: "-5 °C \"outside\"",
        expires_s: Some(600),
        priority: Priority::High,
    };
    assert_eq!(message, expected);
    device.report("ž 7", MessageState::Received, 0, None);
    ended(program, 0);

    // By itself: an id of its own each time, a sender that replies can go to, and a text as long
    // as may be, from standard input.
    let mut ids = Vec::new();
    let longest = "ž".repeat(128);
    for _ in 0..2 {
        let mut program = Program::start_with_input(&mut command(broker.port, &["kitchen", "-"]));
        program.tell(&longest);
        program.close_input();
        let payload = device.payload();
        assert_eq!(field(&payload, "text"), longest);
        assert_eq!(
            aldis_protocol::topic::check_id(&field(&payload, "from")),
            Ok(())
        );
        ids.push(field(&payload, "id"));
        device.report(ids.last().unwrap(), MessageState::Received, 0, None);
        ended(program, 0);
    }
    assert_ne!(ids[0], ids[1]);
    device.stop();
}

/// Nobody learns that the message is gone, or why.
#[test]
fn every_bad_end_has_its_code_and_its_reason() {
    let broker = Broker::start(Kind::Hub);
    let device = Device::start(broker.port);
    for (state, reason, code, line, error) in [
        (
            MessageState::Refused,
            Some("it \u{1b}[2J does not fit"),
            1,
            "refused: it \u{fffd}[2J does not fit",
            "refused the message (see above)",
        ),
        (
            MessageState::Replaced,
            None,
            1,
            "replaced",
            "newer messages",
        ),
        (MessageState::Expired, None, 3, "expired", "nobody read it"),
    ] {
        for goal in ["received", "read"] {
            let program = send(broker.port, &["kitchen", "x", "--wait", goal]);
            device.report(&device.message(), state, 0, reason);
            let lines = ended(program, code);
            // Standard output and standard error, in whatever order.
            assert_eq!(lines.len(), 2, "{lines:?}");
            assert!(
                lines.iter().any(|said| said.ends_with(&format!(" {line}"))),
                "{lines:?}"
            );
            assert!(
                lines
                    .iter()
                    .any(|said| said.starts_with("Error: ") && said.contains(error)),
                "{lines:?}"
            );
        }
    }
    device.stop();
}

/// A state told twice is printed twice, an old one after a newer one, or another message's as
/// ours.
#[test]
fn what_is_not_news_is_passed_over() {
    use MessageState::{Read, Received, Refused, Shown};
    let broker = Broker::start(Kind::Mosquitto);
    let device = Device::start(broker.port);
    let program = send(broker.port, &["kitchen", "x", "--wait", "read"]);
    let id = device.message();
    for topic in ["kitchen/message/state", "kitchen/status"] {
        device.say(topic, "soup");
    }
    device.say(
        "kitchen/message/state",
        "{\"state\":\"refused\",\"age_ms\":0}",
    );
    device.report("another", Read, 0, None);
    device.report("another", Refused, 0, Some("no"));
    for state in [Received, Received, Shown, Received, Shown] {
        device.report(&id, state, 0, None);
    }
    device.report(&id, Read, 125_000, None);
    let lines = ended(program, 0);
    assert_eq!(states(&lines), ["received", "shown", "read, 2m 5s ago"]);
    device.stop();
}

/// A reply that nobody sees, or one that somebody else made up.
#[test]
fn replies_of_the_device_are_printed() {
    let broker = Broker::start(Kind::Hub);
    let device = Device::start(broker.port);
    let args = ["kitchen", "x", "--from", "hall", "--wait", "read"];
    let program = send(broker.port, &args);
    let id = device.message();
    device.reply("hall", "cellar", "not from the kitchen");
    device.reply("elsewhere", "kitchen", "not for us");
    device.say("hall/message/set", "from nobody");
    device.reply("hall", "kitchen", "coming\nsoon \u{1b}[2J");
    device.report(&id, MessageState::Read, 0, None);
    let lines = ended(program, 0);
    assert_eq!(states(&lines), ["kitchen: coming soon \u{fffd}[2J", "read"]);

    let program = send(broker.port, &[&args[..], &["--json"]].concat());
    let id = device.message();
    device.report(&id, MessageState::Received, 1_234, None);
    device.reply("hall", "kitchen", "coming\n\"soon\"");
    device.report(&id, MessageState::Refused, 0, Some("why \"not\""));
    let lines = ended(program, 1);
    let objects: Vec<Value> = lines
        .iter()
        .filter(|line| !line.starts_with("Error: "))
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert_eq!(objects.len(), 3, "{lines:?}");
    for object in &objects {
        let time = object["time"].as_str().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }
    assert_eq!(objects[0]["id"], id.as_str());
    assert_eq!(objects[0]["state"], "received");
    assert_eq!(objects[0]["age_ms"], 1_234);
    assert_eq!(objects[0].get("reason"), None);
    assert_eq!(objects[1]["from"], "kitchen");
    assert_eq!(objects[1]["reply"], "coming\n\"soon\"");
    assert_eq!(objects[2]["state"], "refused");
    assert_eq!(objects[2]["reason"], "why \"not\"");
    device.stop();
}

/// What no device takes goes to the broker, or an error comes after a wait.
#[test]
fn what_a_device_would_refuse_is_refused_without_a_connection() {
    // Who connects is told to.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let long = "ž".repeat(128) + "ab";
    let longer_id = "i".repeat(37);
    let longer_name = "i".repeat(65);
    for (args, words) in [
        (&["kitchen", &long][..], "258 bytes, 2 too many"),
        (&["kitchen", &"x".repeat(65_536)], "65280 too many"),
        (&["kitchen", ""], "nothing in the text"),
        (&["kitchen", " ", "\n"], "nothing in the text"),
        (&["kit chen", "x"], "the device `kit chen` cannot be used"),
        (&[&longer_name, "x"], "1 to 64 bytes"),
        (&["kitchen", "x", "--id", &longer_id], "1 to 36 bytes"),
        (&["kitchen", "x", "--id", ""], "1 to 36 bytes"),
        (
            &["kitchen", "x", "--from", "a/b"],
            "the sender `a/b` cannot be used",
        ),
        (
            &["kitchen", "x", "--prefix", "/a"],
            "the prefix `/a` cannot be used",
        ),
        (
            &["kitchen", "x", "--expires", "200years"],
            "--expires is longer",
        ),
        (&["kitchen", "x", "--expires", "10"], "30s"),
        (
            &["kitchen", "x", "--priority", "urgent"],
            "low, normal or high",
        ),
        (
            &["kitchen", "x", "--wait", "eaten"],
            "received, shown, read",
        ),
        (&["kitchen", "x", "-q", "0"], "it must be 1 or 2"),
        (
            &["kitchen", "x", "--wait", "read", "--no-wait"],
            "cannot be used with",
        ),
        (
            &["kitchen", "x", "--cafile", "/no/such/file"],
            "/no/such/file",
        ),
        (&["kitchen"], "<TEXT>"),
        (&[], "<DEVICE>"),
    ] {
        let lines = ended(send(port, args), 2);
        let said = lines.join("\n");
        assert!(said.contains(words), "{args:?}: {said}");
    }
    for (bytes, words) in [
        (&b"caf\xe9\n"[..], "not UTF-8 (byte 4)"),
        (b"", "nothing in the text"),
        (&[b'x'; 100_000], "99744 too many"),
    ] {
        let folder = Folder::new();
        let file = folder.path().join("text");
        std::fs::write(&file, bytes).unwrap();
        let input = std::fs::File::open(&file).unwrap();
        let output = command(port, &["kitchen", "-"])
            .stdin(input)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let connected = listener.accept().map(|(_, from)| from);
    assert_eq!(
        connected.unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
}

/// A script that waits for ever, or does not know why it ended.
#[test]
fn it_says_what_did_not_come_in_time() {
    let broker = Broker::start(Kind::Mosquitto);
    let brief = ["--timeout", "300ms"];
    let args = |more: &[&'static str]| [&["kitchen", "x"], more, &brief].concat();

    // A device that never was there.
    let lines = ended(send(broker.port, &args(&[])), 4);
    assert!(lines[0].contains("kitchen is not there"), "{lines:?}");
    let lines = ended(send(broker.port, &args(&["--quiet"])), 4);
    assert_eq!(lines, [""; 0]);

    // One that says nothing, and one that only has it.
    let device = Device::start(broker.port);
    let lines = ended(send(broker.port, &args(&["--wait", "read"])), 4);
    assert_eq!(lines, ["Error: kitchen has not answered (waited 300ms)"]);
    device.message();
    // The broker knows what was said before, so the state is there in time.
    let long = ["kitchen", "x", "--wait", "read", "--timeout", "2s"];
    let program = send(broker.port, &long);
    device.report(&device.message(), MessageState::Received, 0, None);
    let lines = ended(program, 4);
    assert_eq!(without_time(&lines[0]), "received");
    assert_eq!(
        lines[1],
        "Error: kitchen has the message, but nobody has read it (waited 2s)"
    );

    // One that is gone.
    device.stop();
    let mut program = send(broker.port, &["kitchen", "later", "--expires", "1s"]);
    program.wait_for_text("kitchen is offline; if it was connected within the last hour");
    let lines = ended(program, 3);
    assert!(lines[0].starts_with("Error: the message has expired: kitchen"));
}

/// A message for a device that is away is lost, or told about too late.
#[test]
fn a_device_that_comes_back_gets_it() {
    for kind in [Kind::Hub, Kind::Mosquitto] {
        let broker = Broker::start(kind);
        Device::start(broker.port).stop();
        let mut program = send(broker.port, &["kitchen", "x", "--wait", "read"]);
        program.wait_for_text("kitchen is offline");
        let device = Device::start(broker.port);
        let id = device.message();
        device.report(&id, MessageState::Read, 0, None);
        let lines = ended(program, 0);
        assert!(lines.contains(&"kitchen is online".into()), "{lines:?}");
        device.stop();
    }
}

/// A device that was never there has no session in which the broker could keep the message.
#[test]
fn a_device_that_comes_for_the_first_time_gets_it() {
    let broker = Broker::start(Kind::Mosquitto);
    let mut program = send(broker.port, &["kitchen", "x", "--wait", "shown"]);
    program.wait_for_text("No device kitchen is known");
    let device = Device::start(broker.port);
    device.report(&device.message(), MessageState::Shown, 0, None);
    let lines = ended(program, 0);
    assert_eq!(without_time(lines.last().unwrap()), "shown");
    device.stop();
}

/// A broker that restarts takes the device's word with it, or the program.
#[test]
fn a_broker_that_remembers_may_restart_meanwhile() {
    let mut broker = Broker::start(Kind::Hub);
    let device = Device::start(broker.port);
    let mut program = send(broker.port, &["kitchen", "x", "--wait", "read"]);
    let id = device.message();
    device.report(&id, MessageState::Received, 0, None);
    program.wait_for_text("received");
    broker.stop();
    device.report(&id, MessageState::Shown, 0, None);
    broker.restart();
    device.report(&id, MessageState::Read, 0, None);
    let lines = ended(program, 0);
    assert_eq!(states(&lines), ["shown", "read"]);
    device.stop();
}

/// A broker that forgot everything, the message perhaps as well.
#[test]
fn a_broker_that_forgets_is_told_again() {
    let mut broker = Broker::start(Kind::Mosquitto);
    let device = Device::start(broker.port);
    let mut program = send(broker.port, &["kitchen", "x", "--wait", "read", "-d"]);
    let id = device.message();
    device.report(&id, MessageState::Received, 0, None);
    program.wait_for_text(" received");
    broker.kill();
    program.wait_for_text("Connection lost");
    broker.restart();
    program.wait_for_text("Connected again");
    // The same message, not another one.
    assert_eq!(device.message(), id);
    device.report(&id, MessageState::Read, 0, None);
    program.wait_for("the state", |line| line.ends_with(" read"));
    ended(program, 0);
    device.stop();
}

/// The same, with a device that takes longer to come back: there is nobody to send it to.
#[test]
fn a_device_that_comes_back_later_than_the_broker_is_told_again() {
    let mut broker = Broker::start(Kind::Mosquitto);
    let device = Device::start(broker.port);
    let mut program = send(broker.port, &["kitchen", "x", "--wait", "read", "-d"]);
    let id = device.message();
    device.report(&id, MessageState::Received, 0, None);
    program.wait_for_text(" received");
    broker.kill();
    device.die();
    broker.restart();
    program.wait_for_text("Connected again");
    program.wait_for_text("received PUBCOMP");
    let device = Device::start(broker.port);
    assert_eq!(device.message(), id);
    device.report(&id, MessageState::Read, 0, None);
    program.wait_for("the state", |line| line.ends_with(" read"));
    ended(program, 0);
    device.stop();
}

/// A session for nobody, in which the broker keeps whatever the device says.
#[test]
fn no_session_stays_behind() {
    for version in ["5", "311"] {
        let broker = Broker::start(Kind::Mosquitto);
        let device = Device::start(broker.port);
        let args = ["kitchen", "x", "-i", "sender", "-V", version];
        let program = send(broker.port, &args);
        let id = device.message();
        device.report(&id, MessageState::Received, 0, None);
        ended(program, 0);
        device.report(&id, MessageState::Read, 0, None);
        device.delivered();
        device.delivered();
        // Who takes the session up finds nothing in it.
        let found = aldis("sub")
            .args(["-h", "127.0.0.1", "-p", &broker.port.to_string()])
            .args([
                "-t",
                "aldis/kitchen/status",
                "-i",
                "sender",
                "-c",
                "-C",
                "1",
            ])
            .args(["-v", "-V", if version == "5" { "5" } else { "311" }, "-d"])
            .output()
            .unwrap();
        let said = String::from_utf8(found.stdout).unwrap();
        assert!(said.contains("aldis/kitchen/status online"), "{said}");
        assert!(!said.contains("message/state"), "{said}");
        device.stop();
    }
}

/// Nothing is waited for, and yet it hangs or says that all is well before it is.
#[test]
fn without_waiting_the_broker_must_have_it() {
    let broker = Broker::start(Kind::Mosquitto);
    let device = Device::start(broker.port);
    for qos in ["1", "2"] {
        let args = ["kitchen", "x", "--no-wait", "-q", qos];
        assert_eq!(ended(send(broker.port, &args), 0), [""; 0]);
        device.message();
    }
    let lines = ended(
        send(broker.port, &["nobody", "x", "--no-wait", "-q", "1"]),
        1,
    );
    assert!(lines[0].contains("the message is lost"), "{lines:?}");
    device.stop();
}

/// A refusal that is retried for ever.
#[test]
fn what_cannot_be_ends_it() {
    let broker = Broker::start_with(
        Kind::Mosquitto,
        |folder| {
            let rules = folder.file("rules", "topic read aldis/#\n");
            format!("allow_anonymous true\nacl_file {}\n", rules.display())
        },
        |_| String::new(),
    );
    let lines = ended(send(broker.port, &["kitchen", "x"]), 1);
    let error = lines.last().unwrap();
    assert!(error.contains("refused the message"), "{lines:?}");

    let nobody = common::free_port();
    let lines = ended(send(nobody, &["kitchen", "x"]), 1);
    assert!(lines[0].contains("nothing listens"), "{lines:?}");

    let broker = Broker::start_with(
        Kind::Mosquitto,
        |_| "allow_anonymous false\n".into(),
        |_| String::new(),
    );
    let lines = ended(send(broker.port, &["kitchen", "x"]), 1);
    assert!(lines[0].contains("check the user name"), "{lines:?}");
}

/// A password that was changed meanwhile keeps it waiting for ever.
#[test]
fn a_broker_that_does_not_let_it_in_again_ends_it() {
    let mut broker = Broker::start(Kind::Mosquitto);
    let device = Device::start(broker.port);
    let program = send(broker.port, &["kitchen", "x", "--wait", "read"]);
    device.message();
    broker.kill();
    broker.restart_with("allow_anonymous false\n");
    let lines = ended(program, 1);
    assert!(lines[0].contains("check the user name"), "{lines:?}");
}

/// A broker that says nothing keeps it waiting for ever.
#[test]
fn what_no_broker_takes_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1_024]);
            // CONNACK, and nothing after it.
            let _ = stream.write_all(&[0x20, 2, 0, 0]);
            held.push(stream);
        }
    });
    let args = ["kitchen", "x", "-V", "311"];
    for (more, code, error) in [
        (&["--no-wait", "--timeout", "300ms"][..], 4, "has not taken"),
        (
            &["--wait", "read", "--timeout", "300ms"],
            4,
            "has not taken",
        ),
        (
            &["--no-wait", "--expires", "1s"],
            3,
            "before the broker took it",
        ),
        (&["--expires", "1s"], 3, "before the broker took it"),
    ] {
        let lines = ended(send(port, &[&args[..], more].concat()), code);
        assert!(lines[0].contains(error), "{lines:?}");
    }
}

/// Ctrl-C is told from success.
#[test]
fn ctrl_c_ends_it_with_a_code_of_its_own() {
    let broker = Broker::start(Kind::Hub);
    let device = Device::start(broker.port);
    let program = send(broker.port, &["kitchen", "x", "--wait", "read"]);
    device.message();
    let begin = Instant::now();
    program.signal("-INT");
    assert_eq!(ended(program, 130), [""; 0]);
    assert!(begin.elapsed() < Duration::from_secs(5));
    device.stop();
}
