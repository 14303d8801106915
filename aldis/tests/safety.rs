//! The hub's keys with real programs: the first start, pairing, what a device and its peer do with
//! their files, and that no secret turns up where it should not.
#![cfg(unix)]

mod common;

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::terminal::OnTerminal;
use common::{Folder, Program, aldis};
use serde_json::Value;

/// A hub that runs, in a folder that outlives it.
struct Hub {
    program: Program,
    port: u16,
    /// What it said of itself, and the owner's password if it told one.
    listening: Value,
    owner: Option<String>,
}

impl Hub {
    fn start(data: &Path, more: &[&str]) -> Self {
        Self::start_on(data, ":0", more)
    }

    fn start_on(data: &Path, listen: &str, more: &[&str]) -> Self {
        let mut command = hub(data, &["--json", "--listen", listen]);
        let mut program = Program::start(command.args(more));
        let line = program.wait_for_text("listening");
        let listening: Value = serde_json::from_str(&line).unwrap();
        let (_, port) = listening["mqtt"]
            .as_str()
            .unwrap()
            .rsplit_once(':')
            .unwrap();
        Self {
            port: port.parse().unwrap(),
            program,
            listening,
            owner: None,
        }
    }

    /// The first start, which tells the owner's password.
    fn first(data: &Path, more: &[&str]) -> Self {
        let mut hub = Self::start(data, more);
        let line = hub.program.wait_for_text("\"owner\"");
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(told["user"], "owner");
        hub.owner = Some(told["password"].as_str().unwrap().to_owned());
        hub
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn hub(data: &Path, arguments: &[&str]) -> Command {
    let mut command = aldis("hub");
    command.args(arguments).arg("--data").arg(data);
    command
}

fn output(command: &mut Command) -> (bool, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = [stdout, stderr].concat();
    (status.success(), String::from_utf8(said).unwrap())
}

fn done(command: &mut Command) -> String {
    let (succeeded, said) = output(command);
    assert!(succeeded, "{command:?}: {said}");
    said
}

fn refused(command: &mut Command) -> String {
    let (succeeded, said) = output(command);
    assert!(!succeeded, "{command:?}: {said}");
    said
}

/// Pairs a device with settings of its own, and gives its file.
fn pair(
    data: &Path,
    folder: &Folder,
    hub_at: &str,
    id: &str,
    settings: &str,
    more: &[&str],
) -> PathBuf {
    let template = folder.file(&format!("{id}.settings.toml"), settings);
    let file = folder.path().join(format!("{id}.toml"));
    let mut command = hub(data, &["pair", id, "--host", hub_at]);
    command
        .arg("--config")
        .arg(template)
        .arg("--out")
        .arg(&file);
    done(command.args(more));
    file
}

fn password_in(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with("password"));
    line.unwrap().split('"').nth(1).unwrap().to_owned()
}

/// `aldis device` with nothing but its file.
fn device(file: &Path, folder: &Folder, id: &str) -> Command {
    let mut command = aldis("device");
    command.arg("--config").arg(file);
    command
        .arg("--state")
        .arg(folder.path().join(format!("{id}.state")));
    command
}

/// `aldis sub` or `aldis pub` as the owner.
fn as_owner(verb: &str, hub: &Hub, password: &str) -> Command {
    let mut command = aldis(verb);
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &hub.port.to_string(),
        "-u",
        "owner",
    ]);
    command.env("ALDIS_PASSWORD", password);
    command
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// After `unpair` the hub does not start any more because of a rule, and the device cannot be
/// paired again.
#[test]
fn a_rule_for_a_device_outlives_its_pairing() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let pair = || pair(&data, &folder, "127.0.0.1", "kitchen", "", &["--force"]);
    pair();
    let rule = "[[rule]]\neffect = \"allow\"\nuser = \"kitchen\"\ntopics = [\"a\"]\n";
    fs::write(data.join("hub.toml"), rule).unwrap();
    done(&mut hub(&data, &["unpair", "kitchen"]));
    let mut started = Hub::start(&data, &["--no-recorder"]);
    // The two outputs come in any order.
    let words = "a rule is about the user `kitchen`";
    if !started
        .program
        .said()
        .iter()
        .any(|line| line.contains(words))
    {
        started.program.wait_for_text(words);
    }
    started.program.stop();
    pair();
    let again = Hub::start(&data, &["--no-recorder"]);
    again.program.terminate();
    let (_, said) = again.program.finish();
    assert!(!said.iter().any(|line| line.contains(words)), "{said:?}");
}

/// The owner's password is not told, told twice, or does not open the hub.
#[test]
fn the_first_start_makes_the_owners_password_and_tells_it_once() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let first = Hub::first(&data, &[]);
    let password = first.owner.clone().unwrap();
    assert_eq!(first.listening["mqtt"], format!("127.0.0.1:{}", first.port));
    assert_eq!(first.listening["anonymous"], true);
    assert_eq!((mode(&data), mode(&data.join("keys.toml"))), (0o700, 0o600));
    let kept = fs::read_to_string(data.join("keys.toml")).unwrap();
    assert!(
        !kept.contains(&password) && kept.contains("$argon2id$"),
        "{kept}"
    );
    done(as_owner("pub", &first, &password).args(["-t", "t", "-m", "kept", "-r", "-q", "1"]));
    let heard = done(as_owner("sub", &first, &password).args(["-t", "#", "-C", "1"]));
    assert_eq!(heard.trim(), "kept");
    let mosquitto = ["-h", "127.0.0.1", "-u", "owner", "-P", &password, "-p"];
    let mut sub = Command::new("mosquitto_sub");
    sub.args(mosquitto).arg(first.port.to_string());
    assert_eq!(done(sub.args(["-t", "#", "-C", "1"])).trim(), "kept");
    refused(as_owner("pub", &first, "wrong").args(["-t", "t", "-m", "x"]));
    first.program.terminate();
    let (ended, said) = first.program.finish();
    assert!(ended.success());
    assert!(
        !said.iter().any(|line| line.contains(&password)),
        "told again"
    );

    // In words as well, and only at a first start.
    let (_, said) = output(&mut hub(&data, &["--listen", ":0", "--for", "2s"]));
    assert!(
        !said.contains("owner's password") && said.contains("this machine alone"),
        "{said}"
    );
    let other = folder.path().join("other");
    let said = done(&mut hub(&other, &["--listen", ":0", "--for", "2s"]));
    assert!(
        said.contains("password, shown this once") && said.contains("mosquitto_sub"),
        "{said}"
    );
}

/// A journal keeps the owner's password; or nobody ever saw it.
#[test]
fn the_owners_password_is_told_to_people_or_not_made() {
    let folder = Folder::new();
    let flags = ["--listen", ":0", "--no-recorder", "--for", "2s"];
    // What goes to the journal is the stream that the variable names.
    let data = folder.path().join("journal");
    let path = folder.file("journal.txt", "");
    let journal = fs::File::options().append(true).open(&path).unwrap();
    let metadata = journal.metadata().unwrap();
    let stream = format!("{}:{}", metadata.dev(), metadata.ino());
    let mut service = hub(&data, &flags);
    done(service.env("JOURNAL_STREAM", &stream).stdout(journal));
    let said = fs::read_to_string(&path).unwrap();
    assert!(
        said.contains("`aldis hub password --data ") && said.contains("` sets one"),
        "{said}"
    );
    assert!(!data.join("keys.toml").exists());
    // A terminal that a service started hands the variable on.
    let said = done(hub(&data, &flags).env("JOURNAL_STREAM", &stream));
    assert!(said.contains("password, shown this once"), "{said}");

    // The disk with the output is full.
    let data = folder.path().join("full");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let said = done(hub(&data, &flags).stdout(full));
    assert!(
        said.contains("`aldis hub password --data ") && said.contains("` sets one"),
        "{said}"
    );
    let kept = fs::read_to_string(data.join("keys.toml")).unwrap();
    assert!(!kept.contains("[owner]"), "{kept}");
    let said = done(&mut hub(&data, &flags));
    assert!(said.contains("password, shown this once"), "{said}");
}

/// A hub that does not start takes the password with it.
#[test]
fn a_hub_that_does_not_start_makes_no_password() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let said = refused(&mut hub(&data, &["--listen", &taken]));
    assert!(said.contains("already taken"), "{said}");
    assert!(!data.join("keys.toml").exists());
    fs::write(data.join("keys.toml"), "anonymous = 1\n").unwrap();
    let said = refused(&mut hub(&data, &["--listen", ":0"]));
    assert!(said.contains("keys.toml: line 1"), "{said}");
}

/// The new password is not taken up, or one that anybody guesses is.
#[test]
fn the_owner_sets_another_password() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let running = Hub::first(&data, &[]);
    let first = running.owner.clone().unwrap();
    let mut listener = Program::start(as_owner("sub", &running, &first).args(["-t", "t", "-d"]));
    listener.wait_for_text("SUBACK");
    let set = |text: &str| {
        let mut set = Program::start_with_input(&mut hub(&data, &["password"]));
        set.tell(text);
        set.close_input();
        let (status, said) = set.finish();
        (status.success(), said.join("\n"))
    };
    for bad in ["", "short"] {
        assert!(!set(bad).0, "{bad}");
    }
    let (succeeded, said) = set("correct horse battery");
    assert!(
        succeeded && !said.contains("correct horse battery"),
        "{said}"
    );
    // Whoever came in with the old one is put out.
    listener.wait_for_text("refused the connection");
    refused(as_owner("pub", &running, &first).args(["-t", "t", "-m", "x"]));
    done(as_owner("pub", &running, "correct horse battery").args(["-t", "t", "-m", "x"]));
    let said = done(&mut hub(&data, &["password", "--generate", "--json"]));
    let made: Value = serde_json::from_str(&said).unwrap();
    let made = made["password"].as_str().unwrap();
    done(as_owner("pub", &running, made).args(["-t", "t", "-m", "x"]));
    refused(as_owner("pub", &running, "correct horse battery").args(["-t", "t", "-m", "x"]));
}

/// A device that was paired cannot do its work, or loses its session at a restart of the hub.
#[test]
fn a_device_works_with_its_file_alone() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let mut running = Hub::first(&data, &["--no-anonymous"]);
    let owner = running.owner.clone().unwrap();
    let settings = "id = \"kitchen\"\n[readout]\ninterval_s = 1\ntopic = \"home/readout\"\n";
    let file = pair(&data, &folder, &running.host(), "kitchen", settings, &[]);
    assert_eq!(mode(&file), 0o600);
    let mut dev = Program::start(device(&file, &folder, "kitchen").arg("-v"));
    dev.wait_for_text("mqtt: connected");
    let topics = ["-v", "-t", "#", "-q", "1"];
    let mut heard = Program::start(as_owner("sub", &running, &owner).args(topics));
    let mut missing = vec![
        "aldis/kitchen/status online",
        "aldis/kitchen/sensor ok",
        "aldis/kitchen/led off",
        "aldis/kitchen/climate {",
        "home/readout t=",
    ];
    while !missing.is_empty() {
        let line = heard.wait_for(&format!("{missing:?}"), |_| true);
        missing.retain(|begin| !line.starts_with(begin));
    }
    let command = |running: &Hub, topic: &str, message: &str| {
        let message = ["-t", topic, "-m", message, "-q", "2"];
        done(as_owner("pub", running, &owner).args(message));
    };
    command(
        &running,
        "aldis/kitchen/led/set",
        "{\"id\":\"c1\",\"command\":\"on\"}",
    );
    dev.wait_for_line("lamp: on");
    heard.wait_for_text("aldis/kitchen/answer {\"id\":\"c1\",\"done\":true}");
    command(&running, "output", "off");
    dev.wait_for_line("lamp: off");
    command(
        &running,
        "aldis/kitchen/morse/set",
        "{\"id\":\"m1\",\"text\":\"E\",\"wpm\":40}",
    );
    heard.wait_for_text("aldis/kitchen/answer {\"id\":\"m1\",\"done\":true}");
    let mut send = as_owner("send", &running, &owner);
    done(send.args(["kitchen", "dinner", "--wait", "received"]));

    // What is said while it is away waits for it, over a restart of the hub.
    dev.signal("-STOP");
    let port = running.port;
    running.program.signal("-KILL");
    running.program.finish();
    running = Hub::start_on(&data, &format!(":{port}"), &["--no-anonymous"]);
    command(&running, "aldis/kitchen/led/set", "on");
    dev.signal("-CONT");
    dev.wait_for_text("mqtt: connected");
    dev.wait_for_line("lamp: on");

    // Put out at once, and in again with another password.
    let old = password_in(&file);
    let renew = [
        "pair",
        "kitchen",
        "--renew",
        "--host",
        &running.host(),
        "--force",
    ];
    done(
        hub(&data, &renew)
            .arg("--config")
            .arg(&file)
            .arg("--out")
            .arg(&file),
    );
    assert_ne!(password_in(&file), old);
    dev.wait_for_text("Bad User Name or Password");
    dev.terminate();
    dev.finish();
    let mut dev = Program::start(&mut device(&file, &folder, "kitchen"));
    dev.wait_for_text("mqtt: connected");
    done(&mut hub(&data, &["unpair", "kitchen"]));
    dev.wait_for_text("Bad User Name or Password");
}

/// Two devices that may converse cannot, or one that may not can.
#[test]
fn peers_converse_as_far_as_they_were_paired() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let running = Hub::first(&data, &[]);
    let host = running.host();
    let kitchen =
        "[readout]\ninterval_s = 1\n[messages]\npresets = [\"Come down\"]\npeer = \"attic\"\n";
    let attic = "[readout]\ninterval_s = 1\n[messages]\nreply = \"Coming\"\n";
    let kitchen = pair(
        &data,
        &folder,
        &host,
        "kitchen",
        kitchen,
        &["--peer", "attic"],
    );
    let attic = pair(&data, &folder, &host, "attic", attic, &[]);
    let state = |id: &str| {
        folder
            .path()
            .join(format!("{id}.state"))
            .to_str()
            .unwrap()
            .to_owned()
    };
    let on_terminal = |file: &Path, id: &str| {
        let (file, state) = (file.to_str().unwrap(), state(id));
        let args = ["device", "--config", file, "--state", &state, "--screen"];
        let mut dev = OnTerminal::start("", 40, 130, &args);
        dev.wait_for("connected");
        dev
    };
    let mut heard = Program::start(
        as_owner("sub", &running, running.owner.as_ref().unwrap()).args([
            "-v",
            "-t",
            "aldis/+/message/#",
            "-q",
            "1",
            "-d",
        ]),
    );
    heard.wait_for_text("SUBACK");
    let mut one = on_terminal(&kitchen, "kitchen");
    let mut other = on_terminal(&attic, "attic");
    let is_of = |topic: &'static str, words: &'static str| {
        move |line: &str| line.starts_with(topic) && line.contains(words)
    };
    let shown = is_of("aldis/attic/message/state", "\"shown\"");
    // A preset goes to the peer, whose answer does not come.
    one.press("r");
    heard.wait_for("the preset", is_of("aldis/attic/message/set", "Come down"));
    heard.wait_for("its being shown", shown);
    other.press("r");
    heard.wait_for(
        "its being read",
        is_of("aldis/attic/message/state", "\"read\""),
    );
    // Until it is paired the other way round, while all of them run.
    let said = done(&mut hub(&data, &["pair", "attic", "--peer", "kitchen"]));
    assert!(
        said.contains("keeps its password") && said.contains("kitchen"),
        "{said}"
    );
    one.press("r");
    heard.wait_for(
        "the second preset",
        is_of("aldis/attic/message/set", "Come down"),
    );
    heard.wait_for("its being shown", shown);
    let answer = is_of("aldis/kitchen/message/set", "Coming");
    assert!(
        !heard.said().iter().any(|line| answer(line)),
        "the first answer came"
    );
    other.press("r");
    heard.wait_for("the answer", answer);
    heard.wait_for(
        "its being shown",
        is_of("aldis/kitchen/message/state", "\"shown\""),
    );
    for mut dev in [one, other] {
        dev.press("q");
        assert!(dev.ends().success());
    }
}

/// Pairing overwrites a file or a key that nobody meant, or leaves a device without its file.
#[test]
fn pairing_does_what_was_asked_and_no_more() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let file = folder.path().join("device.toml");
    let keys = || fs::read_to_string(data.join("keys.toml")).unwrap_or_default();
    let pair = |more: &[&str]| {
        let mut command = hub(&data, &["pair"]);
        command.args(more).arg("--out").arg(&file);
        command
    };
    let said = done(&mut pair(&["kitchen"]));
    let password = password_in(&file);
    assert!(!said.contains(&password) && !said.contains('█'), "{said}");
    assert!(said.contains("only this machine reaches"), "{said}");
    assert!(!keys().contains(&password));
    let before = keys();

    // Nothing was changed by any of these.
    for (arguments, words) in [
        (&["kitchen"][..], "--renew"),
        (&["kitchen", "--renew"], "--force"),
        (&["attic"], "--force"),
        (&["attic", "--renew"], "not paired yet"),
        (&["kitchen", "--peer", "kitchen"], "the device itself"),
        (&["kitchen", "--peer", "+"], "a device id"),
        (&["kitchen", "--peer", "x", "--lan"], "--renew"),
        (&["kitchen", "--peer", "x", "--force"], "--renew"),
        (&["owner"], "choose another"),
        (&["$hub"], "choose another"),
        (&["a/b"], "a device id"),
        (&["attic", "--out", "/nowhere/device.toml"], "cannot be"),
    ] {
        let mut command = hub(&data, &["pair"]);
        command.args(arguments);
        if !arguments.contains(&"--out") {
            command.arg("--out").arg(&file);
        }
        let said = refused(&mut command);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert_eq!(keys(), before);
    assert_eq!(password_in(&file), password);

    // Peers alone, with the password as it was.
    done(&mut pair(&["kitchen", "--peer", "attic"]));
    assert_eq!(password_in(&file), password);
    let listed = done(&mut hub(&data, &["devices", "--json"]));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed["id"], &listed["peers"][0]),
        (&"kitchen".into(), &"attic".into())
    );
    done(&mut hub(&data, &["unpair", "kitchen", "--peer", "attic"]));
    refused(&mut hub(&data, &["unpair", "kitchen", "--peer", "attic"]));

    // Settings of the device are kept, and checked before anything is written.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\n[pins]\nled = 4\n")).unwrap();
    done(&mut pair(&["kitchen", "--renew", "--force"]));
    assert!(fs::read_to_string(&file).unwrap().contains("led = 4"));
    assert_ne!(password_in(&file), password);
    let greedy = "[readout]\ntopic = \"aldis/attic/led/set\"\n";
    let greedy = folder.file("greedy.toml", greedy);
    let said = refused(
        hub(&data, &["pair", "cellar"])
            .arg("--out")
            .arg(folder.path().join("cellar.toml"))
            .arg("--config")
            .arg(greedy),
    );
    assert!(
        said.contains("choose another") && !folder.path().join("cellar.toml").exists(),
        "{said}"
    );
    let said = refused(&mut hub(&data, &["--no-anonymous", "pair", "cellar"]));
    assert!(said.contains("do not go with a command"), "{said}");

    // One without an id gets one.
    let text = done(&mut hub(&data, &["pair", "--out", "-", "--json"]));
    let paired: Value = serde_json::from_str(&text).unwrap();
    let id = paired["id"].as_str().unwrap();
    assert!(
        id.starts_with("device-") && paired["device"].as_str().unwrap().contains(id),
        "{text}"
    );
    done(&mut hub(&data, &["unpair", id]));

    // A QR code only when it is asked for, and the file on standard output.
    let said = done(&mut pair(&["kitchen", "--renew", "--force", "--qr"]));
    assert!(said.contains('█'), "{said}");
    let text = done(
        hub(
            &data,
            &["pair", "hall", "--out", "-", "--host", "hub.local"],
        )
        .arg("--no-qr"),
    );
    let printed = folder.file("printed.toml", &text);
    assert_eq!(password_in(&printed).len(), 32);
    assert!(text.contains("\"mqtt://hub.local:1883\""), "{text}");
    done(&mut hub(&data, &["unpair", "hall"]));
    let listed = done(&mut hub(&data, &["devices"]));
    assert!(
        listed.contains("kitchen") && !listed.contains("hall"),
        "{listed}"
    );

    // A name that is a user's already.
    let hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$ZW5vdWdoYnl0ZXM";
    fs::write(
        data.join("hub.toml"),
        format!("[[user]]\nname = \"ann\"\npassword = \"{hash}\"\n"),
    )
    .unwrap();
    let said = refused(&mut hub(&data, &["pair", "ann", "--out", "-"]));
    assert!(said.contains("a user in hub.toml"), "{said}");
}

/// Somebody in the network finds a hub that nobody opened, or comes in without a name.
#[test]
fn others_find_the_hub_only_when_it_is_opened_to_them() {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket
        .connect((Ipv4Addr::new(192, 0, 2, 1), 9))
        .expect("this test needs a network");
    let outer = socket.local_addr().unwrap().ip().to_string();
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let publish = |hub: &Hub, host: &str, password: Option<&str>| {
        // One that is put out after it came in would try again for ever.
        let mut command = Command::new("timeout");
        let program = aldis("pub");
        command.arg("20").arg(program.get_program());
        command.args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let port = hub.port.to_string();
        command.args(["-h", host, "-p", &port, "-t", "t", "-m", "x", "-q", "1"]);
        if let Some(password) = password {
            command
                .args(["-u", "owner"])
                .env("ALDIS_PASSWORD", password);
        }
        output(&mut command)
    };
    let closed = Hub::first(&data, &[]);
    let owner = closed.owner.clone().unwrap();
    assert!(publish(&closed, "127.0.0.1", None).0);
    assert!(!publish(&closed, &outer, Some(&owner)).0);
    closed.program.stop();
    let open = Hub::start(&data, &["--lan"]);
    assert!(publish(&open, "127.0.0.1", None).0);
    let (let_in, said) = publish(&open, &outer, None);
    assert!(
        !let_in && said.to_lowercase().contains("not authori"),
        "{said}"
    );
    assert!(publish(&open, &outer, Some(&owner)).0);
    // Switched off while it runs.
    done(&mut hub(&data, &["anonymous", "off"]));
    let mut attempts = 0;
    while publish(&open, "127.0.0.1", None).0 {
        attempts += 1;
        assert!(attempts < 200, "it stays open");
    }
    assert!(publish(&open, "127.0.0.1", Some(&owner)).0);
    let said = done(&mut hub(&data, &["anonymous"]));
    assert!(said.contains("Nobody"), "{said}");
}

/// A secret in a log, in a list of processes or in a file is everybody's.
#[test]
fn secrets_are_nowhere_but_where_they_belong() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let running = Hub::first(&data, &["-vvv"]);
    let owner = running.owner.clone().unwrap();
    let settings = "[readout]\ninterval_s = 1\n";
    let file = pair(&data, &folder, &running.host(), "kitchen", settings, &[]);
    let kitchen = password_in(&file);
    let mut dev = Program::start(device(&file, &folder, "kitchen").arg("-vvv"));
    dev.wait_for_text("mqtt: connected");
    let mut sub = Program::start(as_owner("sub", &running, &owner).args(["-t", "#", "-d"]));
    sub.wait_for_text("SUBACK");
    // What is tried and is wrong may be right elsewhere.
    let wrong = "the password of something else";
    for version in ["mqttv311", "mqttv5"] {
        refused(as_owner("pub", &running, wrong).args(["-t", "t", "-m", "x", "-V", version]));
        let mut other = aldis("pub");
        other.args([
            "-p",
            &running.port.to_string(),
            "-u",
            "kitchen",
            "-i",
            "kitchen",
        ]);
        other.env("ALDIS_PASSWORD", wrong);
        refused(other.args(["-t", "t", "-m", "x", "-V", version]));
    }
    let (old, another) = (kitchen.clone(), "another password");
    let renew = [
        "pair",
        "kitchen",
        "--renew",
        "--force",
        "--host",
        &running.host(),
    ];
    let said = done(hub(&data, &renew).arg("--out").arg(&file));
    let mut set = Program::start_with_input(&mut hub(&data, &["password"]));
    set.tell(another);
    set.close_input();
    let (_, set) = set.finish();
    dev.wait_for_text("Bad User Name or Password");
    let new = password_in(&file);
    let secrets = [owner.as_str(), &old, &new, wrong, another];

    // While they run, others see their arguments.
    for process in fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(arguments) = fs::read(process.path().join("cmdline")) {
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            for secret in secrets {
                assert!(!arguments.contains(secret), "{arguments}");
            }
        }
    }
    // The hub says it once, where it was asked to.
    let (hub_before, dev_before) = (running.program.said().to_vec(), dev.said().to_vec());
    dev.terminate();
    sub.terminate();
    running.program.terminate();
    let (_, hub_said) = running.program.finish();
    let hub_said = [hub_before, hub_said].concat();
    assert!(
        hub_said.iter().any(|line| line.contains("DEBUG rmqtt")),
        "it says all it can"
    );
    let told = hub_said.iter().filter(|line| line.contains(&owner));
    assert_eq!(told.count(), 1);
    let mut all = hub_said;
    all.retain(|line| !line.contains("\"event\":\"owner\""));
    all.extend(dev_before);
    all.extend(dev.finish().1);
    all.extend(sub.finish().1);
    all.extend(set);
    all.push(said);
    for line in &all {
        for secret in secrets {
            assert!(!line.contains(secret), "{line}");
        }
        assert!(!line.contains("$argon2"), "{line}");
    }
    // On the disk, the device's own file has its password, and no other.
    for entry in fs::read_dir(&data).unwrap().flatten() {
        let bytes = fs::read(entry.path()).unwrap();
        for secret in secrets {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{:?}", entry.path());
        }
    }
}

fn url_in(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with("url"));
    line.unwrap().split('"').nth(1).unwrap().to_owned()
}

/// A hub that was told another port by a flag, and each of its devices would be sent to 1883.
#[test]
fn a_device_is_told_the_port_of_the_hub_that_runs() {
    let folder = Folder::new();
    let data = folder.path().join("a hub");
    let running = Hub::first(&data, &[]);
    let at = |id: &str, more: &[&str]| {
        let file = folder.path().join(format!("{id}.toml"));
        let mut command = hub(&data, &["pair", id]);
        let said = done(command.args(more).arg("--out").arg(&file));
        (url_in(&file), said)
    };
    let (url, said) = at("kitchen", &[]);
    assert_eq!(url, format!("mqtt://127.0.0.1:{}", running.port));
    // What is to be typed means this hub.
    let typed = format!("aldis hub --lan --data '{}'", data.display());
    assert!(said.contains(&typed), "{said}");
    let (url, said) = at("attic", &["--host", "hub.local"]);
    assert_eq!(url, format!("mqtt://hub.local:{}", running.port));
    assert!(said.contains("for this machine alone"), "{said}");
    running.program.stop();
    let (url, said) = at("cellar", &["--host", "hub.local"]);
    assert_eq!(url, "mqtt://hub.local:1883");
    assert!(!said.contains("for this machine alone"), "{said}");
    let said = done(&mut hub(
        &data,
        &["pair", "hall", "--peer", "attic", "--out", "-"],
    ));
    assert!(!said.contains("aldis hub"), "{said}");
    let said = done(&mut hub(&data, &["pair", "hall", "--peer", "cellar"]));
    let typed = format!(
        "aldis hub pair cellar --peer hall --data '{}'",
        data.display()
    );
    assert!(said.contains(&typed), "{said}");
    // The hub's own words, too.
    let mut command = hub(&data, &["--listen", "127.0.0.1:0", "--no-recorder"]);
    let mut running = Program::start(&mut command);
    let line = running.wait_for_text("For this machine alone");
    let typed = format!("`aldis hub --lan --data '{}'`", data.display());
    assert!(line.contains(&typed), "{line}");
    running.stop();
}

/// A full disk leaves a device with a password that the hub does not know, or a key that no device
/// has.
#[test]
fn pairing_is_done_as_a_whole_or_not_at_all() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let keys = || fs::read_to_string(data.join("keys.toml")).unwrap_or_default();
    let names = || {
        let names = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    // The limit is on the size of a file; what would go beyond fails to be written.
    let limited = |blocks: u32, arguments: &[&str]| {
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_aldis"), "hub", "pair"]);
        command.args(arguments).arg("--data").arg(&data);
        command.current_dir(folder.path());
        command
    };
    // Keys that are larger than a device's file.
    for number in 0..20 {
        let id = format!("device-{number}");
        done(&mut hub(&data, &["pair", &id, "--out", "-"]));
    }
    let (before, files) = (keys(), names());
    for blocks in [0, 2] {
        let said = refused(&mut limited(blocks, &["kitchen"]));
        assert!(said.contains("nothing was paired"), "{said}");
        assert_eq!((keys(), names()), (before.clone(), files.clone()), "{said}");
    }
    // Nobody reads what goes to standard output.
    for (id, more) in [
        ("kitchen", &[][..]),
        ("device-3", &["--renew"]),
        ("hall", &["--json"]),
    ] {
        let mut command = hub(&data, &["pair", id, "--out", "-"]);
        command.args(more);
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command.stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("nothing was paired"), "{said}");
        assert_eq!(keys(), before);
    }
    // With room it works, and what was there is replaced at the very end.
    done(&mut limited(1_000, &["kitchen"]));
    let text = fs::read_to_string(folder.path().join("device.toml")).unwrap();
    let paired = keys();
    let renew = ["kitchen", "--renew", "--force"];
    let said = refused(&mut limited(2, &renew));
    assert!(said.contains("nothing was paired"), "{said}");
    assert_eq!(keys(), paired);
    let after = fs::read_to_string(folder.path().join("device.toml")).unwrap();
    assert_eq!(after, text);
}
