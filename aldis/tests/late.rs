//! A store that is away when the hub starts: the broker serves, the dashboard says what is wrong,
//! and nothing is missing when the store is there.
#![cfg(unix)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use aldis_testing::Postgres;
use common::{Folder, Program, aldis, succeed};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// A hub whose store is away.
struct Hub {
    program: Program,
    listening: Value,
    password: String,
}

impl Hub {
    fn start(data: &Path, store: &str) -> Self {
        let mut command = aldis("hub");
        command.args(["--json", "--listen", "127.0.0.1:0", "--store", store]);
        command.args(["--dashboard", "127.0.0.1:0", "--data"]);
        let mut program = Program::start(command.arg(data));
        let line = program.wait_for_text("\"listening\"");
        let listening = serde_json::from_str(&line).unwrap();
        let line = program.wait_for_text("\"owner\"");
        let owner: Value = serde_json::from_str(&line).unwrap();
        Self {
            program,
            listening,
            password: owner["password"].as_str().unwrap().to_owned(),
        }
    }

    /// What the dashboard answers, and the cookie that it sets.
    fn ask(&self, request: &str, cookie: &str, body: &str) -> (u16, String, String) {
        let at = self.listening["dashboard"].as_str().unwrap();
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nCookie: {cookie}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let cookie = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let value = value.split(';').next()?.trim().to_owned();
            name.eq_ignore_ascii_case("set-cookie").then_some(value)
        });
        (status, cookie.unwrap_or_default(), body.to_owned())
    }

    fn signed_in(&self) -> String {
        let body = json!({"password": self.password}).to_string();
        let (status, cookie, said) = self.ask("POST /api/session", "", &body);
        assert_eq!(status, 200, "{said}");
        cookie
    }

    /// Publishes a reading, and waits until the broker has it.
    fn read(&self, seq: u32) {
        let (_, port) = self.listening["mqtt"]
            .as_str()
            .unwrap()
            .rsplit_once(':')
            .unwrap();
        let reading = json!({"seq": seq, "boot": 1, "age_ms": 0, "t": 21.5, "h": 40.0, "life": 7});
        succeed(aldis("pub").args([
            "-p",
            port,
            "-q",
            "1",
            "-t",
            "aldis/kitchen/climate",
            "-m",
            &reading.to_string(),
        ]));
    }
}

/// The numbers that are recorded, when there are so many.
fn recorded(store: &str, count: usize) -> Vec<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = aldis("history")
            .args(["kitchen", "--all", "--json", "--store", store])
            .output()
            .unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let numbers: Vec<_> = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64())
            .map(Option::unwrap)
            .collect();
        if numbers.len() >= count {
            return numbers;
        }
        assert!(
            Instant::now() < deadline,
            "{numbers:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn serves_meanwhile(store: &str, trouble: &str, come: impl FnOnce()) {
    let folder = Folder::new();
    let mut hub = Hub::start(folder.path(), store);
    assert_eq!(hub.listening["recording"], false);
    for seq in 1..=3 {
        hub.read(seq);
    }
    // The dashboard lets its owner in, shows what is live and says what is wrong.
    let cookie = hub.signed_in();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, _, devices) = hub.ask("GET /api/devices", &cookie, "");
        if status == 200 && devices.contains("aldis/kitchen") {
            break;
        }
        // As long as nothing was heard, it says why nothing is shown.
        assert!(
            status == 503 && devices.contains("store_unavailable"),
            "{devices}"
        );
        assert!(Instant::now() < deadline, "{devices}");
    }
    let chart = "GET /api/devices/aldis%2Fkitchen/chart";
    let (status, _, said) = hub.ask(chart, &cookie, "");
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("store_unavailable"), "{said}");
    let (status, _, health) = hub.ask("GET /api/health", &cookie, "");
    assert!(status == 200 && health.contains(trouble), "{health}");

    come();
    hub.read(4);
    let told = hub.program.wait_for_text("recording begins");
    assert!(!told.contains("ERROR"), "{told}");
    assert_eq!(recorded(store, 4), [1, 2, 3, 4]);
    let (status, _, said) = hub.ask(chart, &cookie, "");
    assert_eq!(status, 200, "{said}");
    // Said in our words, once.
    let said = hub.program.said();
    let errors = said.iter().filter(|line| line.contains("ERROR"));
    assert!(errors.count() <= 2, "{said:#?}");
    assert!(!said.iter().any(|line| line.contains("sqlx")), "{said:#?}");
    hub.program.stop();
}

/// A server that boots later than the hub would keep the broker from starting, or leave people
/// without a page that says why.
#[test]
fn a_server_that_comes_late_is_waited_for() {
    let server = Postgres::start(&[]);
    let store = server.database();
    server.stop();
    serves_meanwhile(&store, "cannot be reached", || server.go_on());
}

/// A backup that holds the file would do the same.
#[test]
fn a_file_that_is_locked_is_waited_for() {
    let folder = Folder::new();
    let path = folder.path().join("elsewhere.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let store = path.to_str().unwrap().to_owned();
    serves_meanwhile(&store, "store", || other.execute_batch("COMMIT").unwrap());
}
