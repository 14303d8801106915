//! `aldis hub` as a process: signals, kills, full disks and other programs in the way.

#[path = "../../hub/tests/common/mod.rs"]
mod common;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::raw::{Connect, Raw};
use common::{PATIENCE, Program, finish, publish};

const ALDIS: &str = env!("CARGO_BIN_EXE_aldis");

fn hub_command(data: &Path) -> Command {
    let mut command = Command::new(ALDIS);
    command
        .args(["hub", "--listen", "127.0.0.1:0", "--json", "--data"])
        .arg(data);
    command
}

/// A hub that serves, and where.
fn start(command: &mut Command) -> (Program, SocketAddr) {
    let mut hub = Program::start(command);
    let line = hub.wait_for("\"listening\"");
    let mqtt = line
        .split("\"mqtt\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let addr = mqtt
        .expect("the address is announced")
        .parse()
        .expect("an address");
    (hub, addr)
}

fn signal(program: &Program, name: &str) {
    let pid = program.pid().to_string();
    let sent = Command::new("kill")
        .args([name, &pid])
        .status()
        .expect("kill can be started");
    assert!(sent.success());
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until the store holds so many rows.
fn wait_for_rows(data: &Path, table: &str, count: u32) {
    let store = rusqlite::Connection::open(data.join("hub.db")).expect("the store opens");
    let sql = format!("SELECT count(*) FROM {table}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let rows: u32 = store
            .query_row(&sql, [], |row| row.get(0))
            .expect("a count");
        if rows == count {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{rows} rows in {table}, not {count}"
        );
        std::thread::yield_now();
    }
}

/// A hub that ignores Ctrl-C, hangs at its end, or forgets what it was given.
#[test]
fn signals_end_the_hub_in_time_and_nothing_is_lost() {
    let data = tempfile::tempdir().expect("a directory");
    let session = Connect {
        id: "device",
        ..Connect::default()
    };
    let (mut hub, addr) = start(&mut hub_command(data.path()));
    let (mut client, _) = Raw::connect(addr, session);
    client.subscribe("t", 1);
    client.disconnect();
    for (index, name) in ["-TERM", "-INT"].into_iter().enumerate() {
        let addr = if index == 0 {
            addr
        } else {
            let (again, addr) = start(&mut hub_command(data.path()));
            hub = again;
            addr
        };
        publish(addr, &["-t", name, "-r", "-q", "1", "-m", "kept"]);
        publish(addr, &["-t", "t", "-q", "1", "-m", name]);
        let sent = Instant::now();
        signal(&hub, name);
        assert!(hub.wait().success());
        assert!(
            sent.elapsed() < Duration::from_secs(2),
            "{name}: {:?}",
            sent.elapsed()
        );
    }
    let (_hub, addr) = start(&mut hub_command(data.path()));
    let (mut client, present) = Raw::connect(addr, session);
    assert!(present);
    assert_eq!(client.read().publish().1, "-TERM");
    assert_eq!(client.read().publish().1, "-INT");
    let mut late = Program::subscriber(addr, &["-t", "+"]);
    let mut retained = [late.message(), late.message()];
    retained.sort();
    assert_eq!(retained, ["-INT kept", "-TERM kept"]);
}

/// What a publisher was told is safe, gone with the process.
#[test]
fn a_kill_loses_nothing_that_was_stored() {
    let data = tempfile::tempdir().expect("a directory");
    let session = Connect {
        id: "device",
        ..Connect::default()
    };
    let (mut hub, addr) = start(&mut hub_command(data.path()));
    let (mut client, _) = Raw::connect(addr, session);
    client.subscribe("t", 1);
    // One that is sent and not acknowledged, two that wait.
    publish(addr, &["-t", "t", "-q", "1", "-m", "one"]);
    let sent = client.read().publish();
    client.disconnect();
    publish(addr, &["-t", "t", "-q", "1", "-m", "two"]);
    publish(addr, &["-t", "t", "-q", "1", "-m", "three"]);
    wait_for_rows(data.path(), "queue", 3);
    // A retained message is safe as soon as its publisher has the acknowledgement.
    publish(addr, &["-t", "state", "-r", "-q", "1", "-m", "kept"]);
    hub.kill();

    let (_hub, addr) = start(&mut hub_command(data.path()));
    let mut late = Program::subscriber(addr, &["-t", "state"]);
    assert_eq!(late.message(), "state kept");
    let (mut client, present) = Raw::connect(addr, session);
    assert!(present);
    assert_eq!(client.read().publish(), sent);
    assert_eq!(client.read().publish().1, "two");
    assert_eq!(client.read().publish().1, "three");
}

/// A disk without room ends the hub, or goes unnoticed.
#[test]
#[cfg(unix)]
fn a_full_disk_is_reported_and_live_traffic_goes_on() {
    let data = tempfile::tempdir().expect("a directory");
    let mut limited = Command::new("sh");
    // The limit is on the size of a file; what would go beyond fails to be written. Recorder and
    // dashboard have room to start.
    limited
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 512; exec \"$0\" \"$@\"",
            ALDIS,
        ])
        .args(["hub", "--listen", "127.0.0.1:0", "--json", "--data"])
        .arg(data.path());
    let (mut hub, addr) = start(&mut limited);
    let mut subscriber = Program::subscriber(addr, &["-t", "live", "-q", "1"]);
    let payload = "x".repeat(20_000);
    for number in 0..20 {
        let topic = format!("big/{number}");
        publish(addr, &["-t", &topic, "-r", "-q", "1", "-m", &payload]);
    }
    let complaint = hub.wait_for("cannot write to");
    assert!(complaint.contains("Make room"), "{complaint}");
    publish(addr, &["-t", "live", "-q", "1", "-m", "still here"]);
    assert_eq!(subscriber.message(), "live still here");
    signal(&hub, "-TERM");
    assert!(hub.wait().success());
    // What fitted is still readable.
    let (_hub, addr) = start(&mut hub_command(data.path()));
    let mut late = Program::subscriber(addr, &["-t", "big/0", "-F", "got %t %l"]);
    assert!(late.message().starts_with("big/0 "));
}

/// "Address already in use" does not tell a beginner what to do.
#[test]
fn a_taken_port_is_explained() {
    let data = tempfile::tempdir().expect("a directory");
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = holder.local_addr().expect("an address");
    let listen = addr.to_string();
    let output = finish(
        Command::new(ALDIS)
            .args(["hub", "--listen", &listen, "--data"])
            .arg(data.path()),
    );
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.contains("already taken") && text.contains("--listen 127.0.0.1:"),
        "{text}"
    );
    #[cfg(target_os = "linux")]
    assert!(
        text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
}

/// Two hubs would overwrite each other's messages.
#[test]
fn a_second_hub_on_one_directory_is_refused() {
    let data = tempfile::tempdir().expect("a directory");
    let (hub, _) = start(&mut hub_command(data.path()));
    let output = finish(&mut hub_command(data.path()));
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.contains(&hub.pid().to_string()) && text.contains("--data"),
        "{text}"
    );
}

/// A hub that was started for a while and stays for ever.
#[test]
fn a_lifetime_ends_the_hub() {
    let data = tempfile::tempdir().expect("a directory");
    let output = finish(hub_command(data.path()).args(["--for", "100ms"]));
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.trim_end().ends_with("{\"event\":\"stopped\"}"),
        "{text}"
    );
}

/// A typo in the file, which leaves the hub open while its owner thinks it is locked.
#[test]
fn a_mistake_in_the_configuration_is_named_with_file_and_line() {
    let data = tempfile::tempdir().expect("a directory");
    std::fs::write(data.path().join("hub.toml"), "\nanonymus = false\n").expect("a file");
    let output = finish(&mut hub_command(data.path()));
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.contains("hub.toml: line 2") && text.contains("anonymous"),
        "{text}"
    );
}

/// A hash that the hub itself does not accept.
#[test]
fn a_hashed_password_opens_the_hub() {
    let mut hasher = Command::new(ALDIS)
        .args(["hub", "--hash-password"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("aldis starts");
    let mut input = hasher.stdin.take().expect("an input");
    writeln!(input, "secret").expect("aldis reads");
    drop(input);
    let hash = hasher.wait_with_output().expect("aldis ends").stdout;
    let hash = String::from_utf8_lossy(&hash).trim().to_owned();
    let data = tempfile::tempdir().expect("a directory");
    let file = format!("[[user]]\nname = \"me\"\npassword = \"{hash}\"\n");
    std::fs::write(data.path().join("hub.toml"), file).expect("a file");
    let (_hub, addr) = start(&mut hub_command(data.path()));
    publish(
        addr,
        &["-u", "me", "-P", "secret", "-t", "t", "-m", "x", "-q", "1"],
    );
    let wrong = ["-u", "me", "-P", "wrong", "-t", "t", "-m", "x", "-q", "1"];
    assert!(
        !finish(&mut common::mosquitto("mosquitto_pub", addr, &wrong))
            .status
            .success()
    );
}

/// What a command says, and whether it went well.
fn history(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(ALDIS);
    finish(
        command
            .arg("history")
            .args(arguments)
            .arg("--data")
            .arg(data),
    )
}

/// Devices that somebody made up have to be removed one by one, or come back from what the broker
/// keeps of them.
#[test]
fn made_up_devices_are_removed_together_and_do_not_come_back() {
    let data = tempfile::tempdir().expect("a directory");
    let (mut hub, addr) = start(&mut hub_command(data.path()));
    for id in ["esp-1", "esp-2", "esp-3", "kitchen"] {
        let topic = format!("aldis/{id}/status");
        publish(addr, &["-t", &topic, "-m", "online", "-r", "-q", "1"]);
    }
    let until = |what: &str, mut holds: Box<dyn FnMut() -> bool + '_>| {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "{what}");
        }
    };
    let devices = || {
        let output = history(data.path(), &["--json"]);
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    until("all are recorded", Box::new(|| devices() == 4));

    let asked = history(data.path(), &["--remove", "esp-*"]);
    assert!(!asked.status.success());
    let said = stderr(&asked);
    for words in ["aldis/esp-1", "aldis/esp-3", "3 devices", "--yes"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("kitchen"), "{said}");
    assert_eq!(devices(), 4);
    let none = history(data.path(), &["--remove", "esp", "--yes"]);
    assert!(!none.status.success() && stderr(&none).contains("`esp`"));

    let removed = history(data.path(), &["--remove", "esp-*", "--yes"]);
    assert!(removed.status.success(), "{}", stderr(&removed));
    assert!(String::from_utf8_lossy(&removed.stdout).contains("3 devices removed"));
    assert_eq!(devices(), 1);
    let kept = || {
        let arguments = ["-t", "aldis/+/status", "--retained-only", "-W", "1"];
        let mut command = common::mosquitto("mosquitto_sub", addr, &arguments);
        let output = finish(command.args(["-F", "%t"]));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    until(
        "what the broker keeps of them is cleared",
        Box::new(|| kept().trim() == "aldis/kitchen/status"),
    );
    assert_eq!(devices(), 1);
    signal(&hub, "-TERM");
    assert!(hub.wait().success());
}
