//! How much a hub records, beside what people use in its place, and what thousands of devices
//! cost it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{cargo, root, target_dir};

/// How long nothing may get on.
const PATIENCE: Duration = Duration::from_secs(20);

/// How large the loads are.
#[derive(Clone, Copy)]
pub struct Loads {
    /// Publishers.
    pub publishers: u32,
    /// Readings of each.
    pub readings: u32,
    /// How often each system records them, one after the other: a machine's speed changes from
    /// minute to minute.
    pub rounds: usize,
    /// Virtual devices.
    pub devices: u32,
    /// Processes for them.
    pub processes: u32,
    /// Seconds for which they are looked at.
    pub seconds: u64,
    /// Devices that the dashboard shows.
    pub shown: u32,
    /// Browsers that look on.
    pub browsers: u32,
}

impl Loads {
    /// Those of the documents.
    pub const WHOLE: Self = Self {
        publishers: 50,
        readings: 2_000,
        rounds: 3,
        devices: 10_000,
        processes: 5,
        seconds: 60,
        shown: 1_000,
        browsers: 50,
    };
    /// Enough to see that it works.
    pub const QUICK: Self = Self {
        publishers: 10,
        readings: 500,
        rounds: 1,
        devices: 200,
        processes: 2,
        seconds: 10,
        shown: 50,
        browsers: 5,
    };
}

/// Measures, and prints a table or JSON.
pub fn run(loads: Loads, as_json: bool) -> Result<()> {
    let tools = Tools::build()?;
    let mut rows = System::ALL.map(|system| (system, Vec::new()));
    for _ in 0..loads.rounds {
        for (system, outcomes) in &mut rows {
            eprintln!("recording: {}", system.name());
            let outcome = recording(*system, &tools, loads)
                .with_context(|| format!("{} does not record", system.name()))?;
            outcomes.push(outcome);
        }
    }
    eprintln!("{} virtual devices", loads.devices);
    let crowd = crowd(&tools, loads)?;
    eprintln!("dashboard with {} devices", loads.shown);
    let dashboard = dashboard(&tools, loads)?;
    if as_json {
        for (system, outcomes) in &rows {
            for (round, outcome) in (1..).zip(outcomes) {
                println!(
                    "{}",
                    json!({
                        "system": system.name(),
                        "round": round,
                        "acknowledged_per_second": outcome.acknowledged,
                        "stored_per_second": outcome.stored,
                        "published": outcome.published,
                        "missing": outcome.missing,
                        "memory_kib": outcome.memory_kib,
                    })
                );
            }
        }
        println!("{crowd}");
        println!("{}", json!({ "dashboard": dashboard }));
        return Ok(());
    }
    println!(
        "{} readings of {} publishers at QoS 1, stored and flushed before they are acknowledged; \
         the middle of {} rounds, and the least and the most:\n",
        loads.publishers * loads.readings,
        loads.publishers,
        loads.rounds
    );
    println!("| | stored a second | against aldis | acknowledged a second | missing | memory |");
    println!("|---|---|---|---|---|---|");
    let [(_, ours), ..] = &rows;
    for (system, outcomes) in &rows {
        let stored = Spread::of(outcomes.iter().map(|of| of.stored));
        // Against the hub's of the same round.
        let ratios = outcomes.iter().zip(ours);
        let ratios = Spread::of(ratios.map(|(of, ours)| of.stored / ours.stored));
        let acknowledged = Spread::of(outcomes.iter().map(|of| of.acknowledged));
        println!(
            "| {} | {:.0} ({:.0} to {:.0}) | {:.2} ({:.2} to {:.2}) | {:.0} | {} | {:.0} MiB |",
            system.name(),
            stored.middle,
            stored.least,
            stored.most,
            ratios.middle,
            ratios.least,
            ratios.most,
            acknowledged.middle,
            outcomes.iter().map(|of| of.missing).sum::<u64>(),
            outcomes.iter().map(|of| of.memory_kib).max().unwrap_or(0) as f64 / 1024.0
        );
    }
    println!("\n{}", in_words(&crowd, loads));
    println!("\nThe dashboard, from publishing to the browser, and its charts:\n");
    for line in dashboard {
        println!("- {line}");
    }
    Ok(())
}

fn in_words(crowd: &Value, loads: Loads) -> String {
    let number = |path: &str| crowd.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
    format!(
        "{} virtual devices, a reading each 5 s, recorded by one hub: {:.0} MiB of memory, {:.0} % \
         of a core; all were connected after {:.0} s. {:.0} readings a second were stored, {} \
         connections lost. A message through the hub took {:.1} ms (p50) and {:.1} ms (p99), a \
         command until the lamp's echo {:.1} ms and {:.1} ms.",
        loads.devices,
        number("/memory_kib") / 1024.0,
        number("/cpu_percent"),
        number("/connected_after_s"),
        number("/stored_per_second"),
        number("/losses"),
        number("/probe/message_ms/p50"),
        number("/probe/message_ms/p99"),
        number("/probe/command_ms/p50"),
        number("/probe/command_ms/p99"),
    )
}

/// Who records.
#[derive(Clone, Copy, PartialEq, Eq)]
enum System {
    Hub,
    HubAtMosquitto,
    ScriptBatch,
    ScriptEach,
}

impl System {
    const ALL: [Self; 4] = [
        Self::Hub,
        Self::HubAtMosquitto,
        Self::ScriptBatch,
        Self::ScriptEach,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Hub => "aldis hub",
            Self::HubAtMosquitto => "aldis hub at mosquitto",
            Self::ScriptBatch => "mosquitto, paho and SQLite in batches, as Telegraf",
            Self::ScriptEach => "mosquitto, paho and SQLite, one after the other",
        }
    }
}

/// What several rounds came to.
struct Spread {
    least: f64,
    middle: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
        Self {
            least: at(0),
            middle: at(values.len() / 2),
            most: at(values.len().saturating_sub(1)),
        }
    }
}

struct Outcome {
    published: u64,
    acknowledged: f64,
    stored: f64,
    missing: u64,
    memory_kib: u64,
}

/// The programs.
struct Tools {
    aldis: PathBuf,
    dashboard: PathBuf,
    load: PathBuf,
    python: PathBuf,
}

impl Tools {
    fn build() -> Result<Self> {
        let build = |arguments: &[&str], directory: PathBuf, target: PathBuf| -> Result<()> {
            let status = Command::new(cargo())
                .args(["build", "--quiet", "--locked"])
                .args(arguments)
                .arg("--target-dir")
                .arg(target)
                .current_dir(directory)
                .status()?;
            if !status.success() {
                bail!("{arguments:?} does not build (see above)");
            }
            Ok(())
        };
        let target = target_dir();
        build(
            &[
                "--release",
                "-p",
                "aldis",
                "--bin",
                "aldis",
                "-p",
                "aldis-dashboard",
                "--example",
                "latency",
            ],
            root().to_path_buf(),
            target.clone(),
        )?;
        let bench = target.join("bench");
        build(
            &["--profile", "peers", "-p", "bench-hub"],
            root().join("bench"),
            bench.clone(),
        )?;
        Ok(Self {
            aldis: target.join("release/aldis"),
            dashboard: target.join("release/examples/latency"),
            load: bench.join("peers/bench-hub"),
            python: python()?,
        })
    }
}

/// A Python with paho, in an environment of its own.
fn python() -> Result<PathBuf> {
    let venv = target_dir().join("tools/bench-hub");
    let python = venv.join("bin/python");
    let made = Command::new("python3")
        .args(["-m", "venv"])
        .arg(&venv)
        .output();
    let made = made.context("python3 is missing; type: sudo apt-get install python3-venv")?;
    if !made.status.success() {
        bail!("python3 makes no environment; type: sudo apt-get install python3-venv");
    }
    let installed = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--require-hashes"])
        .args(["--disable-pip-version-check", "--requirement"])
        .arg(root().join("bench/peers/python/requirements.txt"))
        .status()?;
    if !installed.success() {
        bail!("pip does not install paho-mqtt; is there a network?");
    }
    Ok(python)
}

/// A child that dies with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// The most memory that it had.
    fn memory_kib(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    }

    /// The processor's time that it took.
    fn cpu(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let fields = text.rsplit(')').next().unwrap_or_default();
        let mut fields = fields.split_whitespace().skip(11);
        let mut ticks = || fields.next().and_then(|ticks| ticks.parse::<u64>().ok());
        let ticks = ticks().unwrap_or(0) + ticks().unwrap_or(0);
        Duration::from_millis(ticks * 10)
    }
}

fn start(
    command: &mut Command,
) -> Result<(Running, impl Iterator<Item = String> + Send + 'static)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{command:?} does not start"))?;
    let output = child.stdout.take().context("it has an output")?;
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    Ok((Running(child), lines))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn hub(tools: &Tools, data: &Path, arguments: &[String]) -> Result<Running> {
    fs::create_dir_all(data)?;
    // Thousands of devices that nobody paired come at once.
    fs::write(data.join("hub.toml"), "[recorder]\nnew_devices = 0\n")?;
    let (running, mut lines) = start(
        Command::new(&tools.aldis)
            .args(["hub", "--json", "--data"])
            .arg(data)
            .args(arguments),
    )?;
    let first = lines.next().context("the hub ended")?;
    if !first.contains("\"event\"") {
        bail!("the hub says {first}");
    }
    thread::spawn(move || lines.for_each(drop));
    Ok(running)
}

fn mosquitto(port: u16, folder: &Path) -> Result<Running> {
    let file = folder.join("mosquitto.conf");
    // Without bounds of its own, so that the recorder decides.
    fs::write(
        &file,
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n\
             max_inflight_messages 0\nmax_queued_messages 0\n"
        ),
    )?;
    let program = match Path::new("/usr/sbin/mosquitto").exists() {
        true => "/usr/sbin/mosquitto",
        false => "mosquitto",
    };
    let child = Command::new(program)
        .arg("-c")
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("mosquitto is missing; type: sudo apt-get install mosquitto")?;
    let running = Running(child);
    let until = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > until {
            bail!("mosquitto does not listen");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(running)
}

/// How many readings the hub has, by its own word.
fn recorded(tools: &Tools, data: &Path) -> Result<u64> {
    let output = Command::new(&tools.aldis)
        .args(["history", "--json", "--data"])
        .arg(data)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["readings"].as_u64())
        .sum())
}

fn recording(system: System, tools: &Tools, loads: Loads) -> Result<Outcome> {
    let folder = tempfile::tempdir_in(target_dir())?;
    let data = folder.path().join("data");
    let port = free_port()?;
    let mut broker = None;
    let count: Box<dyn Fn() -> Result<u64>>;
    let recorder = match system {
        System::Hub => {
            let listen = format!("127.0.0.1:{port}");
            let running = hub(tools, &data, &["--listen".into(), listen])?;
            count = Box::new(|| recorded(tools, &data));
            running
        }
        System::HubAtMosquitto => {
            broker = Some(mosquitto(port, folder.path())?);
            let url = format!("mqtt://127.0.0.1:{port}");
            let running = hub(tools, &data, &["--broker".into(), url])?;
            count = Box::new(|| recorded(tools, &data));
            running
        }
        System::ScriptBatch | System::ScriptEach => {
            broker = Some(mosquitto(port, folder.path())?);
            let mode = match system {
                System::ScriptEach => "each",
                _ => "batch",
            };
            let (running, mut lines) = start(
                Command::new(&tools.python)
                    .arg(root().join("bench/hub/python/record.py"))
                    .arg(port.to_string())
                    .arg(folder.path().join("script.db"))
                    .arg(mode),
            )?;
            if lines.next().as_deref() != Some("ready") {
                bail!("the script does not start");
            }
            let stored = Arc::new(AtomicU64::new(0));
            let told = stored.clone();
            thread::spawn(move || {
                for line in lines {
                    if let Ok(count) = line.parse() {
                        told.store(count, Ordering::Relaxed);
                    }
                }
            });
            count = Box::new(move || Ok(stored.load(Ordering::Relaxed)));
            running
        }
    };
    // Its subscriptions are there when it has stored something.
    thread::sleep(Duration::from_secs(1));
    let wanted = u64::from(loads.publishers) * u64::from(loads.readings);
    let begun = Instant::now();
    let publisher = Command::new(&tools.load)
        .args(["publish", "--broker", &format!("mqtt://127.0.0.1:{port}")])
        .args(["--devices", &loads.publishers.to_string()])
        .args(["--readings", &loads.readings.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let (mut stored, mut at) = (0, Instant::now());
    loop {
        let now = count()?;
        if now > stored {
            (stored, at) = (now, Instant::now());
        }
        if stored >= wanted || at.elapsed() > PATIENCE {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let output = publisher.wait_with_output()?;
    let line: Value = serde_json::from_slice(&output.stdout).context("the load has no figures")?;
    let memory_kib = recorder.memory_kib() + broker.as_ref().map_or(0, Running::memory_kib);
    Ok(Outcome {
        published: wanted,
        acknowledged: line["per_second"].as_f64().unwrap_or(0.0),
        stored: stored as f64 / at.duration_since(begun).as_secs_f64(),
        missing: wanted - stored.min(wanted),
        memory_kib,
    })
}

/// The dashboard's own measurement, line by line; charts of a year, which takes minutes to store,
/// only with whole loads.
fn dashboard(tools: &Tools, loads: Loads) -> Result<Vec<String>> {
    let (devices, browsers) = (loads.shown.to_string(), loads.browsers.to_string());
    let live: &[&str] = &["--devices", &devices, "--browsers", &browsers];
    let one: &[&str] = &["--devices", &devices, "--browsers", "1"];
    let mut runs = vec![one, live];
    if loads.shown >= Loads::WHOLE.shown {
        runs.push(&["--year"]);
    }
    let mut lines = Vec::new();
    for arguments in runs {
        let output = Command::new(&tools.dashboard).args(arguments).output()?;
        if !output.status.success() {
            bail!(
                "the dashboard's measurement ends with {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let text = String::from_utf8_lossy(&output.stdout);
        lines.extend(text.lines().map(str::to_owned));
    }
    Ok(lines)
}

/// Thousands of virtual devices at one hub.
fn crowd(tools: &Tools, loads: Loads) -> Result<Value> {
    let folder = tempfile::tempdir_in(target_dir())?;
    let data = folder.path().join("data");
    let port = free_port()?;
    let url = format!("mqtt://127.0.0.1:{port}");
    let hub = hub(
        tools,
        &data,
        &["--listen".into(), format!("127.0.0.1:{port}")],
    )?;
    let each = loads.devices / loads.processes;
    let begun = Instant::now();
    let mut crowds = Vec::new();
    for process in 0..loads.processes {
        crowds.push(Crowd::start(tools, &url, each, process * each)?);
    }
    let until = begun + Duration::from_secs(300);
    while crowds.iter().map(|crowd| crowd.connected()).sum::<u64>()
        < u64::from(each * loads.processes)
    {
        if Instant::now() > until {
            let there: u64 = crowds.iter().map(|crowd| crowd.connected()).sum();
            bail!("only {there} devices are connected after five minutes");
        }
        thread::sleep(Duration::from_millis(200));
    }
    let connected_after = begun.elapsed();
    let (cpu, stored, from) = (hub.cpu(), recorded(tools, &data)?, Instant::now());
    let probe = Command::new(&tools.load)
        .args(["probe", "--broker", &url])
        .args(["--devices", &(each * loads.processes).to_string()])
        .args(["--seconds", &loads.seconds.to_string()])
        .output()?;
    let probe: Value = serde_json::from_slice(&probe.stdout).context("the probe has no figures")?;
    let cpu = hub.cpu() - cpu;
    let stored = recorded(tools, &data)? - stored;
    let seconds = from.elapsed().as_secs_f64();
    let losses: u64 = crowds
        .iter()
        .map(|crowd| crowd.told.losses.load(Ordering::Relaxed))
        .sum();
    let memory_of_devices: u64 = crowds.iter().map(|crowd| crowd.running.memory_kib()).sum();
    Ok(json!({
        "devices": each * loads.processes,
        "memory_kib": hub.memory_kib(),
        "cpu_percent": cpu.as_secs_f64() / seconds * 100.0,
        "connected_after_s": connected_after.as_secs_f64(),
        "stored_per_second": stored as f64 / seconds,
        "losses": losses,
        "memory_of_devices_kib": memory_of_devices,
        "probe": probe,
    }))
}

#[derive(Default)]
struct Told {
    connected: AtomicU64,
    losses: AtomicU64,
}

/// A process of virtual devices.
struct Crowd {
    running: Running,
    /// It ends when this does.
    _input: ChildStdin,
    told: Arc<Told>,
}

impl Crowd {
    fn start(tools: &Tools, url: &str, count: u32, first: u32) -> Result<Self> {
        let mut child = Command::new(&tools.load)
            .args(["devices", "--broker", url])
            .args(["--count", &count.to_string(), "--first", &first.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("it has an input")?;
        let output = child.stdout.take().context("it has an output")?;
        let told = Arc::new(Told::default());
        let theirs = told.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                let number = |key: &str| line[key].as_u64().unwrap_or(0);
                theirs
                    .connected
                    .store(number("connected"), Ordering::Relaxed);
                theirs.losses.store(number("losses"), Ordering::Relaxed);
            }
        });
        Ok(Self {
            running: Running(child),
            _input: input,
            told,
        })
    }

    fn connected(&self) -> u64 {
        self.told.connected.load(Ordering::Relaxed)
    }
}
