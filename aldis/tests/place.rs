//! The hub's place in its network, with real programs: its certificate, and how it is a service.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};

use common::{Folder, PATIENCE, Program, aldis};
use serde_json::Value;

fn hub(data: &Path, arguments: &[&str]) -> Command {
    let mut command = aldis("hub");
    command.args(arguments).arg("--data").arg(data);
    command
}

/// A hub for other machines that announces nothing, and what it says of itself.
fn start(data: &Path, more: &[&str]) -> (Program, Value) {
    let mut command = hub(
        data,
        &["--json", "--lan", "--listen", ":0", "--no-announce"],
    );
    command.args(["--no-dashboard", "--no-recorder"]).args(more);
    let mut program = Program::start(&mut command);
    let line = program.wait_for_text("listening");
    (program, serde_json::from_str(&line).unwrap())
}

fn port(listening: &Value, what: &str) -> String {
    let addr = listening[what].as_str().unwrap();
    addr.rsplit_once(':').unwrap().1.to_owned()
}

fn said(command: &mut Command) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    (
        status.code(),
        String::from_utf8([stdout, stderr].concat()).unwrap(),
    )
}

fn publish(port: &str, more: &[&str]) -> (Option<i32>, String) {
    let mut command = aldis("pub");
    command.args(["-h", "localhost", "-p", port, "-q", "1"]);
    said(command.args(more).args(["-t", "a", "-m", "1"]))
}

/// A client that checks the certificate does not get in, or one gets in that should not trust it.
#[test]
fn tls_has_a_certificate_that_strict_clients_trust_over_restarts() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let mut before = None;
    for _ in 0..2 {
        let (mut program, listening) = start(&data, &[]);
        let ca = listening["ca"].as_str().unwrap().to_owned();
        let port = port(&listening, "tls");
        if before.is_none() {
            let line = program.wait_for_text("\"owner\"");
            let told: Value = serde_json::from_str(&line).unwrap();
            folder.file("password", told["password"].as_str().unwrap());
        }
        let password = fs::read_to_string(folder.path().join("password")).unwrap();
        let known = ["-u", "owner", "-P", &password];
        let (code, text) = publish(&port, &[&known[..], &["--cafile", &ca]].concat());
        assert_eq!(code, Some(0), "{text}");
        // Neither another authority's, nor nobody's.
        let stranger = folder.path().join("stranger");
        said(&mut hub(&stranger, &["trust", "--pem"]));
        let stranger = stranger.join("ca/ca.pem");
        let stranger = stranger.to_string_lossy();
        let (code, text) = publish(&port, &[&known[..], &["--cafile", &stranger]].concat());
        assert_ne!(code, Some(0), "{text}");
        let print = fs::read(&ca).unwrap();
        assert!(before.is_none_or(|before| before == print));
        before = Some(print);
        program.stop();
    }
}

/// What is asked for and cannot be had is told; what is not asked for does not keep the hub down.
#[test]
fn a_broken_authority_keeps_only_those_down_who_asked_for_it() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    start(&data, &[]).0.stop();
    fs::write(data.join("ca/ca.key"), "half").unwrap();
    let (mut program, listening) = start(&data, &[]);
    // The two outputs come in any order.
    let words = "ca.key: this is no private key in PEM";
    if !program.said().iter().any(|line| line.contains(words)) {
        program.wait_for_text(words);
    }
    assert_eq!(listening["tls"], Value::Null);
    program.stop();
    let (code, text) = said(&mut hub(&data, &["--listen", "127.0.0.1:0", "--tls", "0"]));
    assert_eq!(code, Some(1));
    assert!(
        text.contains("ca.key") && text.contains("remove the folder"),
        "{text}"
    );
}

/// A hub with a dashboard, which announces nothing, and what it says of itself.
fn start_with_dashboard(data: &Path, more: &[&str]) -> (Program, Value) {
    let mut command = hub(data, &["--json", "--no-announce", "--dashboard", ":0"]);
    let mut program = Program::start(command.args(more));
    let line = program.wait_for_text("listening");
    (program, serde_json::from_str(&line).unwrap())
}

/// Other machines sign in to the dashboard without HTTPS, and the owner's password is read on its
/// way.
#[test]
fn other_machines_reach_the_dashboard_over_https_or_not_at_all() {
    let folder = Folder::new();
    let (data, other) = (folder.path().join("hub"), folder.path().join("other"));
    start(&other, &[]).0.stop();
    let file = |name| other.join("ca").join(name).to_string_lossy().into_owned();
    let (cert, key) = (file("server.pem"), file("server.key"));
    let given = [
        "--lan", "--listen", ":0", "--tls", ":0", "--cert", &cert, "--key", &key,
    ];
    // With a certificate that was given; and where MQTT has none, as it is at one address.
    for flags in [&given[..], &["--lan", "--listen", "127.0.0.1:0"]] {
        let (program, listening) = start_with_dashboard(&data, flags);
        let secure = listening["secure_dashboard"].as_str();
        assert!(
            secure.is_some_and(|at| at.starts_with("0.0.0.0:")),
            "{listening}"
        );
        program.stop();
    }
    fs::write(data.join("ca/ca.key"), "half").unwrap();
    let (mut program, listening) = start_with_dashboard(&data, &["--lan", "--listen", ":0"]);
    assert_eq!(listening["secure_dashboard"], Value::Null);
    let plain = listening["dashboard"].as_str().unwrap();
    assert!(plain.starts_with("127.0.0.1:"), "{plain}");
    let words = "the dashboard is for this machine alone";
    if !program.said().iter().any(|line| line.contains(words)) {
        program.wait_for_text(words);
    }
    program.stop();
}

/// A hub for this machine alone that opens a port to others, or makes them look for it.
#[test]
fn nothing_is_certified_or_announced_unless_others_are_let_in() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let mut command = hub(&data, &["--json", "--listen", ":0", "--no-dashboard"]);
    let mut program = Program::start(&mut command);
    let line = program.wait_for_text("listening");
    let listening: Value = serde_json::from_str(&line).unwrap();
    for key in ["tls", "ca", "name"] {
        assert_eq!(listening[key], Value::Null, "{line}");
    }
    assert!(!data.join("ca").exists());
    program.stop();
}

/// A phone gets something else than the certificate, or the page stays when the command is gone.
#[test]
fn a_phone_gets_the_certificate_while_the_command_runs() {
    let folder = Folder::new();
    let data = folder.path().join("hub");
    let mut command = hub(&data, &["trust", "--lan", "--json", "--port", "0"]);
    let mut program = Program::start(&mut command);
    let told: Value = serde_json::from_str(&program.wait_for_text("sha256")).unwrap();
    let (_, port) = told["url"].as_str().unwrap().rsplit_once(':').unwrap();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let pem = fs::read_to_string(data.join("ca/ca.pem")).unwrap();
    assert!(get("/ca.pem").ends_with(&pem));
    assert!(get("/aldis-ca.crt").contains("application/x-x509-ca-cert"));
    assert!(get("/").contains("Get the certificate"));
    assert!(!get("/ca.key").contains("PRIVATE"));
    let (code, text) = said(&mut hub(&data, &["trust", "--pem"]));
    assert_eq!((code, text), (Some(0), pem));
    let addr = format!("127.0.0.1:{port}");
    program.terminate();
    let (status, _) = program.finish();
    assert!(status.success());
    TcpStream::connect(addr).unwrap_err();
}

/// systemd kills a hub that it does not hear of.
#[test]
fn a_service_is_told_to_systemd_from_its_start_to_its_end() {
    let folder = Folder::new();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut buffer = [0; 512];
        // With a timeout the system does not begin again by itself after a signal.
        let length = loop {
            match socket.recv(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.unwrap(),
            }
        };
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let data = folder.path().join("hub");
    let mut command = hub(&data, &["--listen", "127.0.0.1:0", "--no-dashboard"]);
    // Nobody without a name: the hub itself is let in all the same.
    command.arg("--no-anonymous");
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "300000");
    let program = Program::start(&mut command);
    let ready = heard();
    assert!(
        ready.starts_with("READY=1\nSTATUS=MQTT on 127.0.0.1:"),
        "{ready}"
    );
    for _ in 0..3 {
        assert_eq!(heard(), "WATCHDOG=1");
    }
    program.terminate();
    let last = std::iter::repeat_with(heard).find(|words| words != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    let (status, lines) = program.finish();
    assert!(status.success());
    assert!(!lines.iter().any(|line| line.contains("WARN")), "{lines:?}");
}

/// The unit that is printed is not the one that would be written, or has a secret in it.
#[test]
fn a_unit_is_printed_and_nothing_is_changed() {
    let folder = Folder::new();
    let home = folder.path().to_string_lossy().into_owned();
    let mut command = aldis("hub");
    command.env("HOME", &home).env_remove("XDG_CONFIG_HOME");
    command.env_remove("XDG_DATA_HOME");
    command.args(["install", "--user", "--print", "--lan", "--name", "attic"]);
    let (code, text) = said(command.args(["--store", "postgres://me:geheim@h/d"]));
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("Type=notify\n") && text.contains(" --lan "),
        "{text}"
    );
    assert!(text.contains("WantedBy=default.target"), "{text}");
    assert!(
        text.contains(&format!("--data {home}/.local/share/aldis/hub")),
        "{text}"
    );
    assert!(!text.contains("geheim"), "{text}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let (code, text) = said(aldis("hub").args(["install", "--for", "1s", "--print"]));
    assert_eq!(code, Some(1));
    assert!(text.contains("not for a service"), "{text}");
}
