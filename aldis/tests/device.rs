//! `aldis device` as a user runs it: what it keeps, how it ends, and what it says when something
//! is wrong.
#![cfg(unix)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use common::{BRISK, Broker, Folder, Kind, Program, Tools, aldis, device, free_port, succeed};

/// A device that is expected to refuse: what it says.
fn refused(args: &[&str]) -> String {
    let folder = Folder::new();
    let mut command = aldis("device");
    command.arg("--state").arg(folder.path().join("state"));
    let (status, said) = Program::start(command.args(args)).finish();
    let said = said.join("\n");
    assert_eq!(status.code(), Some(1), "{args:?}: {said}");
    said
}

/// A device at a broker that is expected not to work: the line about it.
fn unconnected(broker: &str, env: &[(&str, &str)]) -> String {
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let mut command = device(broker, folder.path(), &config);
    let mut dev = Program::start(command.envs(env.iter().copied()));
    let line = dev.wait_for_text("mqtt: not connected: ");
    // Whatever the broker does, it measures.
    if !dev.said().iter().any(|line| line == "sensor: ok") {
        dev.wait_for_line("sensor: ok");
    }
    dev.terminate();
    assert!(dev.finish().0.success());
    line
}

/// A power cut leaves others without a word, or turns the lamp off.
#[test]
fn a_killed_device_is_reported_and_remembers_its_lamp() {
    let broker = Broker::start(Kind::Hub);
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let tools = Tools::Mosquitto;
    let mut status = tools.sub(broker.port, &["-t", "aldis/dev/status"]);
    let start = || Program::start(device(&broker.url(), folder.path(), &config).arg("-v"));
    let seq = |line: &str| -> u32 {
        let number = line.strip_prefix("published: reading ").unwrap();
        number.split(',').next().unwrap().parse().unwrap()
    };

    let mut dev = start();
    dev.wait_for_line("device: dev, start 1");
    status.wait_for_line("online");
    let set = ["-t", "aldis/dev/led/set", "-m", "toggle", "-q", "2"];
    tools.publish(broker.port, &set);
    dev.wait_for_line("lamp: on");
    let first = seq(&dev.wait_for_text("published: "));
    dev.kill();
    status.wait_for_line("offline");

    let mut dev = start();
    dev.wait_for_line("device: dev, start 2");
    let next = dev.wait_for("the lamp's state", |line| line.starts_with("lamp: "));
    assert_eq!(next, "lamp: on");
    dev.wait_for_text("mqtt: connected");
    status.wait_for_line("online");
    // What was not known to be delivered comes again; what is measured now has other numbers.
    let mut published = Vec::new();
    while published.last().is_none_or(|seq| *seq <= first) {
        published.push(seq(&dev.wait_for_text("published: ")));
    }
    assert!(published.is_sorted_by(|a, b| a < b), "{published:?}");
}

/// The device is switched by what somebody retained long ago, or by what is no command.
#[test]
fn what_is_no_command_is_named_and_ignored() {
    let broker = Broker::start(Kind::Mosquitto);
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let tools = Tools::Mosquitto;
    let retained = ["-t", "output", "-m", "on", "-q", "1", "-r"];
    tools.publish(broker.port, &retained);
    let mut dev = Program::start(&mut device(&broker.url(), folder.path(), &config));
    dev.wait_for_text("mqtt: connected");
    tools.publish(broker.port, &["-t", "output", "-m", "ON", "-q", "1"]);
    dev.wait_for_text("ignored: a message on output: neither on nor off");
    tools.publish(broker.port, &["-t", "output", "-m", "on", "-q", "1"]);
    dev.wait_for_line("lamp: on");
    let switched = dev.said().iter().filter(|line| *line == "lamp: on").count();
    assert_eq!(switched, 1);
}

/// Mosquitto 2.0 ignores the receive maximum: what it has to acknowledge is behind messages for
/// which the device has no room, and neither goes on.
#[test]
fn mosquitto_may_send_everything_at_once() {
    const COUNT: usize = 150;
    let broker = Broker::start(Kind::Mosquitto);
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let tools = Tools::Mosquitto;
    let topic = "aldis/dev/message/state";
    for qos in ["1", "2"] {
        let mut dev = Program::start(&mut device(&broker.url(), folder.path(), &config));
        dev.wait_for_text("mqtt: connected");
        let mut states = tools.sub(broker.port, &["-t", topic]);
        let mut publish = Command::new("mosquitto_pub");
        let port = broker.port.to_string();
        publish.args(["-p", &port, "-q", qos, "-t", "aldis/dev/message/set", "-l"]);
        let mut publish = Program::start_with_input(&mut publish);
        for n in 0..COUNT {
            publish.tell(&format!(r#"{{"id":"{qos}-{n}","text":"{n}"}}"#));
        }
        publish.close_input();
        assert!(publish.finish().0.success());
        // All but the newest sixteen, whose state is another one.
        let mut missing: std::collections::BTreeSet<usize> = (0..COUNT - 16).collect();
        while !missing.is_empty() {
            let told = states.wait_for_text("\"state\":\"replaced\"");
            let id = told.strip_prefix(&format!("{{\"id\":\"{qos}-"));
            let id = id.and_then(|id| id.split('"').next()?.parse().ok());
            if let Some(id) = id {
                missing.remove(&id);
            }
        }
        tools.publish(broker.port, &["-t", "output", "-m", "on", "-q", "2"]);
        dev.wait_for_line("lamp: on");
        tools.publish(broker.port, &["-t", "output", "-m", "off", "-q", "2"]);
        dev.wait_for_line("lamp: off");
        dev.stop();
    }
}

/// A message to a device that is switched off is lost, or a command of then switches its lamp.
#[test]
fn messages_wait_for_a_device_that_is_switched_off() {
    for kind in [Kind::Mosquitto, Kind::Hub] {
        let broker = Broker::start(kind);
        let folder = Folder::new();
        let config = folder.file("device.toml", BRISK);
        let tools = Tools::Mosquitto;
        let mut states = tools.sub(broker.port, &["-t", "aldis/dev/message/state"]);
        let mut answers = tools.sub(broker.port, &["-t", "aldis/dev/answer"]);
        let start = || Program::start(&mut device(&broker.url(), folder.path(), &config));
        let mut dev = start();
        dev.wait_for_text("mqtt: connected");
        dev.wait_for_line("sensor: ok");
        tools.publish(broker.port, &["-t", "output", "-m", "on", "-q", "2"]);
        dev.wait_for_line("lamp: on");
        tools.publish(broker.port, &["-t", "output", "-m", "off", "-q", "2"]);
        dev.wait_for_line("lamp: off");
        dev.kill();
        for (topic, text) in [
            ("output", "on"),
            ("aldis/dev/led/set", r#"{"id":"c","command":"toggle"}"#),
            ("aldis/dev/message/set", r#"{"id":"m","text":"dinner"}"#),
        ] {
            tools.publish(broker.port, &["-t", topic, "-m", text, "-q", "2"]);
        }
        let mut status = tools.sub(broker.port, &["-t", "aldis/dev/status"]);
        status.wait_for_line("offline");
        let mut dev = start();
        dev.wait_for_line("message: m: dinner");
        states.wait_for_text(r#"{"id":"m","state":"received""#);
        let old = "perhaps given before the device was started";
        let answer = answers.wait_for_text(old);
        assert_eq!(
            answer,
            format!(r#"{{"id":"c","done":false,"reason":"{old}"}}"#)
        );
        // What is given after it is online is obeyed.
        status.wait_for_line("online");
        let toggle = r#"{"id":"d","command":"toggle"}"#;
        tools.publish(
            broker.port,
            &["-t", "aldis/dev/led/set", "-m", toggle, "-q", "1"],
        );
        let answer = answers.wait_for_text(r#"{"id":"d""#);
        assert_eq!(answer, r#"{"id":"d","done":true}"#);
        dev.wait_for_line("lamp: on");
        let lit = dev.said().iter().filter(|line| *line == "lamp: on").count();
        assert_eq!(lit, 1);
        dev.stop();
    }
}

/// Home Assistant's button, or a person, restarts the device: it does not, or again and again; or
/// it forgets by it what it had.
#[test]
fn a_device_restarts_when_it_is_told() {
    for kind in [Kind::Mosquitto, Kind::Hub] {
        let broker = Broker::start(kind);
        let folder = Folder::new();
        let config = folder.file("device.toml", BRISK);
        let topic = "aldis/dev/#";
        let mut heard = Tools::Mosquitto.sub(broker.port, &["-t", topic, "-v"]);
        let mut dev = Program::start(device(&broker.url(), folder.path(), &config).arg("-v"));
        dev.wait_for_line("device: dev, start 1");
        heard.wait_for_line("aldis/dev/status online");
        let on = ["-t", "output", "-m", "on", "-q", "1"];
        Tools::Aldis.publish(broker.port, &on);
        dev.wait_for_line("lamp: on");
        dev.wait_for_text("delivered: ");
        let mut start = 1;
        for (payload, qos) in [
            ("restart", "0"),
            ("restart", "1"),
            ("restart", "2"),
            (r#"{"id":"7","command":"restart"}"#, "1"),
            (r#"{"id":"8","command":"restart"}"#, "2"),
        ] {
            let restart = ["-t", "aldis/dev/restart", "-m", payload, "-q", qos];
            Tools::Aldis.publish(broker.port, &restart);
            dev.wait_for_line("device: restarting, as it was told");
            start += 1;
            dev.wait_for_line(&format!("device: dev, start {start}"));
            if payload != "restart" {
                let id = &payload[7..8];
                heard.wait_for_line(&format!(r#"aldis/dev/answer {{"id":"{id}","done":true}}"#));
            }
            heard.wait_for_line("aldis/dev/status offline");
            heard.wait_for_line("aldis/dev/status online");
            heard.wait_for_line("aldis/dev/led on");
            let diag = heard.wait_for_text("aldis/dev/diag ");
            let begins = format!(r#""boot":{start},"reset":"software""#);
            assert!(diag.contains(&begins), "{diag}");
            // A command with an id that is given again is answered, and not done again.
            if payload != "restart" {
                Tools::Aldis.publish(broker.port, &restart);
                heard.wait_for_text(r#""done":true"#);
            }
        }
        // The numbers go on, and it goes on living.
        dev.wait_for_text("delivered: ");
        dev.stop();
        heard.wait_for_line("aldis/dev/status offline");
        let readings = heard
            .said()
            .iter()
            .filter(|line| line.contains("/climate {"));
        let seqs: Vec<u32> = readings
            .map(|line| {
                let seq = line.split("\"seq\":").nth(1).unwrap();
                seq.split(',').next().unwrap().parse().unwrap()
            })
            .collect();
        let mut once = seqs.clone();
        once.dedup();
        assert_eq!(
            once,
            (1..=once.len() as u32).collect::<Vec<_>>(),
            "{seqs:?}"
        );
    }
}

/// A program that reads the lines stumbles over one that is no JSON.
#[test]
fn json_is_one_object_a_line() {
    let broker = Broker::start(Kind::Hub);
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let mut command = device(&broker.url(), folder.path(), &config);
    let said = succeed(command.args(["--json", "-v", "--for", "3s"]));
    let events: Vec<String> = said
        .iter()
        .map(|line| {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            object["event"].as_str().unwrap().to_owned()
        })
        .collect();
    for event in [
        "started",
        "lamp",
        "connected",
        "reading",
        "published",
        "stopped",
    ] {
        assert!(events.iter().any(|e| e == event), "no {event} in {said:?}");
    }
}

/// A detached sensor ends the device, or goes unnoticed; and so does a file that plays one.
#[test]
fn sensors_are_as_they_are() {
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let broker = format!("mqtt://127.0.0.1:{}", free_port());
    let with = |sensor: &str, state: &str| {
        let mut command = device(&broker, &folder.path().join(state), &config);
        Program::start(command.args(["-v", "--sensor", sensor]))
    };
    with("none", "a").wait_for_text("sensor: missing");
    let recording = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../device/tests/captures/dht/dht11_1mhz.csv"
    );
    with(recording, "b").wait_for_line("reading: 27.0 °C, 36.0 %");
}

/// An error that does not name what is wrong.
#[test]
fn wrong_settings_are_explained() {
    let folder = Folder::new();
    let file = |name: &str, text: &str| folder.file(name, text).to_str().unwrap().to_owned();
    let typo = file("typo.toml", "[readout]\ninterval = 5\n");
    let said = refused(&["--config", &typo]);
    assert!(
        said.contains("typo.toml:2") && said.contains("interval_s"),
        "{said}"
    );
    let said = refused(&["--config", "/no/such/device.toml"]);
    assert!(said.contains("/no/such/device.toml"), "{said}");
    let said = refused(&["--sensor", "no-such-recording.csv"]);
    assert!(said.contains("no-such-recording.csv"), "{said}");
    let said = refused(&["--id", "a/b"]);
    assert!(
        said.contains("a/b") && said.contains("without `/`"),
        "{said}"
    );
    let peer = "[messages]\npeer = 'attic'\npresets = ['Call me']\n[morse]\nkey = true\n";
    let peer = file("peer.toml", peer);
    let said = refused(&["--config", &peer, "--id", "attic"]);
    assert!(said.contains("`peer` in [messages] is `attic`"), "{said}");
    // What is of no use is said beside it.
    assert!(
        said.contains("warning: ") && said.contains("peer.toml:3: `presets = [...]`"),
        "{said}"
    );
    let said = refused(&["--broker", "127.0.0.1:1883"]);
    assert!(said.contains("mqtt://127.0.0.1:1883"), "{said}");
    let said = refused(&["--broker", "mqtt://u:secret@host:port"]);
    assert!(said.contains("port") && !said.contains("secret"), "{said}");
    let said = refused(&["--password-file", "/no/such/file"]);
    assert!(said.contains("/no/such/file"), "{said}");
    let password = file("password", "secret\n");
    let said = refused(&["--password-file", &password]);
    assert!(
        said.contains("user name") && !said.contains("secret"),
        "{said}"
    );
    let said = refused(&["--cafile", &password]);
    assert!(said.contains("mqtts://"), "{said}");
    let said = refused(&["--broker", "mqtts://localhost", "--cafile", &password]);
    assert!(said.contains("password"), "{said}");
}

/// Two devices on one state would give the same numbers to different readings.
#[test]
fn a_state_in_use_is_not_shared() {
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let broker = format!("mqtt://127.0.0.1:{}", free_port());
    let mut first = Program::start(&mut device(&broker, folder.path(), &config));
    first.wait_for_text("lamp: ");
    let (status, said) = Program::start(&mut device(&broker, folder.path(), &config)).finish();
    let said = said.join("\n");
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("another virtual device") && said.contains("--state"),
        "{said}"
    );
}

/// A full disk ends the device, or fills the terminal.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_once() {
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    std::os::unix::fs::symlink("/dev/full", folder.path().join("state.new")).unwrap();
    let broker = Broker::start(Kind::Mosquitto);
    let mut command = device(&broker.url(), folder.path(), &config);
    let mut dev = Program::start(command.arg("-v"));
    for _ in 0..3 {
        dev.wait_for_text("published: ");
    }
    let warnings: Vec<_> = dev
        .said()
        .iter()
        .filter(|line| line.contains("warning: "))
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("No space left"), "{warnings:?}");
}

/// The user sees that it does not work, but not why.
#[test]
fn brokers_that_are_not_there_are_explained() {
    let nobody = unconnected(&format!("mqtt://127.0.0.1:{}", free_port()), &[]);
    assert!(
        nobody.contains("aldis hub") && nobody.contains("--broker"),
        "{nobody}"
    );
    let unknown = unconnected("mqtt://no-such-host.invalid", &[]);
    assert!(
        unknown.contains("host name") && unknown.contains("--broker"),
        "{unknown}"
    );
}

/// A broker that accepts the connection and says nothing keeps the device waiting for ever.
#[test]
fn a_silent_broker_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let line = unconnected(&format!("mqtt://127.0.0.1:{port}"), &[]);
    assert!(line.contains("in time") && line.contains("1883"), "{line}");
}

/// A device that cannot say `offline` does not end.
#[test]
fn a_stalled_broker_does_not_delay_the_end() {
    let stalled = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stalled.local_addr().unwrap().port();
    let broker = thread::spawn(move || {
        let (mut stream, _) = stalled.accept().unwrap();
        let mut connect = [0; 512];
        let _ = stream.read(&mut connect).unwrap();
        // CONNACK of MQTT 5 without properties; then silence.
        stream.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
        stream
    });
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let url = format!("mqtt://127.0.0.1:{port}");
    let mut dev = Program::start(&mut device(&url, folder.path(), &config));
    dev.wait_for_text("mqtt: connected");
    let _stream = broker.join().unwrap();
    let asked = Instant::now();
    dev.terminate();
    assert!(dev.finish().0.success());
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(6), "it took {took:?}");
}

/// A wrong password is not told from a broker that is away; a right one is not found.
#[test]
fn passwords_are_found_and_wrong_ones_named() {
    for kind in [Kind::Mosquitto, Kind::Hub] {
        let broker = Broker::start_with(
            kind,
            |folder| {
                let file = folder.path().join("users");
                let file = file.to_str().unwrap();
                succeed(Command::new("mosquitto_passwd").args(["-c", "-b", file, "dev", "right"]));
                format!("allow_anonymous false\npassword_file {file}\n")
            },
            |_| {
                let mut hash = aldis("hub");
                hash.arg("--hash-password");
                let hash = hashed(&mut hash, "right");
                format!("[[user]]\nname = \"dev\"\npassword = \"{hash}\"\n")
            },
        );
        let none = unconnected(&broker.url(), &[]);
        assert!(
            none.contains("set ALDIS_USERNAME and ALDIS_PASSWORD"),
            "{kind:?}: {none}"
        );
        let user = ("ALDIS_USERNAME", "dev");
        let wrong = unconnected(&broker.url(), &[user, ("ALDIS_PASSWORD", "wrong")]);
        assert!(
            wrong.contains("the password may be wrong"),
            "{kind:?}: {wrong}"
        );
        assert!(!wrong.contains("dev:"), "{wrong}");

        let folder = Folder::new();
        let section = "username = \"dev\"\npassword = \"right\"\n";
        let config = folder.file("device.toml", &format!("{BRISK}[broker]\n{section}"));
        let brisk = folder.file("brisk.toml", BRISK);
        let password = folder.file("password", "right\n");
        let url = format!("mqtt://dev:right@127.0.0.1:{}", broker.port);
        let mut ways = [
            device(&broker.url(), &folder.path().join("a"), &config),
            device(&broker.url(), &folder.path().join("b"), &brisk),
            device(&broker.url(), &folder.path().join("c"), &brisk),
            device(&url, &folder.path().join("d"), &brisk),
        ];
        ways[1].envs([user, ("ALDIS_PASSWORD", "right")]);
        ways[2]
            .args(["--username", "dev", "--password-file"])
            .arg(&password);
        for way in &mut ways {
            Program::start(way).wait_for_text("mqtt: connected");
        }
    }
}

/// What `aldis hub --hash-password` makes of a password.
fn hashed(command: &mut Command, password: &str) -> String {
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(password.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Two devices of one name throw each other out for ever, and nobody says why.
#[test]
fn a_second_device_of_the_same_id_is_named() {
    for kind in [Kind::Mosquitto, Kind::Hub] {
        let broker = Broker::start(kind);
        let (one, other) = (Folder::new(), Folder::new());
        let config = one.file("device.toml", BRISK);
        let mut first = Program::start(&mut device(&broker.url(), one.path(), &config));
        first.wait_for_text("mqtt: connected");
        let mut second = Program::start(&mut device(&broker.url(), other.path(), &config));
        second.wait_for_text("mqtt: connected");
        // Neither broker says why it throws the first one out.
        let line = first.wait_for_text("same client id");
        assert!(line.contains("--id"), "{kind:?}: {line}");
    }
}

/// A device that takes anybody for its broker, or not even its own.
#[test]
fn the_certificate_of_the_broker_is_checked() {
    let folder = Folder::new();
    let file = |name: &str, text: String| folder.file(name, &text);
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ours).unwrap();

    let mut hub = aldis("hub");
    hub.args(["--json", "--listen", "127.0.0.1:0", "--tls", "127.0.0.1:0"]);
    hub.arg("--data").arg(folder.path().join("hub"));
    hub.arg("--cert").arg(file("cert.pem", certificate.pem()));
    hub.arg("--key").arg(file("key.pem", key.serialize_pem()));
    let mut hub = Program::start(&mut hub);
    let line = hub.wait_for_text("listening");
    let announced: serde_json::Value = serde_json::from_str(&line).unwrap();
    let (_, port) = announced["tls"].as_str().unwrap().rsplit_once(':').unwrap();

    let config = file("device.toml", BRISK.to_owned());
    let url = format!("mqtts://localhost:{port}");
    let with = |authority: std::path::PathBuf, state: &str| {
        let mut command = device(&url, &folder.path().join(state), &config);
        Program::start(command.arg("--cafile").arg(authority))
    };
    with(file("ours.pem", ours.pem()), "a").wait_for_text("mqtt: connected localhost");
    let mut misled = with(file("theirs.pem", theirs.pem()), "b");
    let line = misled.wait_for_text("mqtt: ");
    assert!(
        line.contains("not connected") && line.contains("TLS failed"),
        "{line}"
    );
}
