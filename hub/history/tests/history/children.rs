//! Other processes: this test program again, told by a variable what to do.

use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use aldis_history::{Arrival, History, HistoryError};

use crate::place::reading;

/// Which part a child plays, and of which store.
const PART: &str = "ALDIS_HISTORY_PART";
const STORE: &str = "ALDIS_HISTORY_STORE";
const FIRST: &str = "ALDIS_HISTORY_FIRST";
const SEED: &str = "ALDIS_HISTORY_SEED";
/// How often in a row a batch is refused by a disk that is full.
const REFUSED: u32 = 3;

/// A process that plays a part.
pub struct Other {
    child: Child,
    /// What it waits for: a line, or the end.
    pub input: Option<ChildStdin>,
    /// What it says.
    pub lines: Lines<BufReader<ChildStdout>>,
}

/// Starts a process that plays a part; `prelude` is shell that is run before.
pub fn start(prelude: &str, part: &str, store: &str, first: u32, seed: u64) -> Other {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new("sh")
        .args(["-c", &format!("{prelude}\nexec \"$@\""), "sh"])
        .arg(program)
        .args([
            "--exact",
            "children::play_a_part",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(PART, part)
        .env(STORE, store)
        .env(FIRST, first.to_string())
        .env(SEED, seed.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    Other {
        input: child.stdin.take(),
        lines: BufReader::new(child.stdout.take().unwrap()).lines(),
        child,
    }
}

impl Other {
    /// The next thing it says; nothing at its end. What the test harness says is passed over.
    pub fn said(&mut self) -> Option<String> {
        loop {
            let line = self.lines.next()?.unwrap();
            // The harness prints no line end before what the test says.
            if let Some((_, said)) = line.split_once("said: ") {
                return Some(said.to_owned());
            }
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits for its end, which nothing but a kill may have brought about before its time.
    pub fn end(mut self) {
        drop(self.input.take());
        while self.said().is_some() {}
        let status = self.child.wait().unwrap();
        assert!(status.success() || status.signal() == Some(9), "{status}");
    }
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "said: {what}").unwrap();
    out.flush().unwrap();
}

fn wait_for_a_line() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// What the other processes do; by itself it does nothing, and what they did is judged by those
/// who started them.
#[test]
fn play_a_part() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let store = std::env::var(STORE).unwrap();
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let first = u32::try_from(number(FIRST)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    match &*part {
        "write" => runtime.block_on(write(&store, first, number(SEED))),
        "fill" => runtime.block_on(fill(&store)),
        "hold" => hold(&store),
        part => panic!("{part}"),
    }
}

/// Commits numbered readings in batches by chance until it is killed, and says what it has
/// committed. Some come twice, some batches leave a gap that the next one fills.
async fn write(store: &str, first: u32, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let history = History::open(store).await.unwrap();
    let mut next = first;
    loop {
        let count = *random.choice(&[1, 3, 20, 200, 1000]).unwrap();
        let mut batch: Vec<Arrival> = (next..next + count)
            .map(|seq| reading("a", 7, seq))
            .collect();
        for _ in 0..random.u32(0..5) {
            batch.push(reading("a", 7, random.u32(1..next + count)));
        }
        random.shuffle(&mut batch);
        // Half of the times in two transactions; the very first is one, whose lowest number is
        // the first that the store knows.
        let cut = if next == 1 || random.bool() {
            0
        } else {
            random.usize(0..batch.len())
        };
        let (one, two) = batch.split_at(cut);
        history.commit(one).await.unwrap();
        if random.u32(0..8) == 0 {
            history.roll_up(i64::MAX).await.unwrap();
        }
        let committed = history.commit(two).await.unwrap();
        // Some of what follows may be there, from before a kill.
        let confirmed = committed.series[0].confirmed;
        assert!(confirmed >= next + count - 1);
        next = confirmed + 1;
        say(&confirmed.to_string());
    }
}

/// Commits until there is no room, waits for a line, and goes on from where it was.
async fn fill(store: &str) {
    let history = History::open(store).await.unwrap();
    let mut next = 1;
    let mut refused = 0;
    loop {
        let batch: Vec<_> = (next..next + 500).map(|seq| reading("a", 7, seq)).collect();
        match history.commit(&batch).await {
            Ok(committed) => {
                // Whatever was refused before left nothing.
                assert_eq!(committed.series[0].new, 500);
                assert_eq!(committed.series[0].confirmed, next + 499);
                next += 500;
                if refused >= REFUSED {
                    say(&format!("stored {}", next - 1));
                    return;
                }
                refused = 0;
            }
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                assert!(matches!(error, HistoryError::Full { .. }), "{error:?}");
                refused += 1;
                // The log may be full while the file itself has room, and be begun anew.
                if refused == REFUSED {
                    let gaps = history.gaps(&crate::place::device("a")).await.unwrap();
                    assert_eq!(gaps, []);
                    say(&format!("full {} {error}", next - 1));
                    wait_for_a_line();
                }
            }
        }
    }
}

/// Holds the file's lock until its input ends.
fn hold(store: &str) {
    let file = rusqlite::Connection::open(store).unwrap();
    file.execute_batch("BEGIN IMMEDIATE; UPDATE device SET last_ms = last_ms")
        .unwrap();
    say("held");
    wait_for_a_line();
    file.execute_batch("ROLLBACK").unwrap();
}
