//! What the hub has recorded after kills of whoever takes part: every reading, once.
#![cfg(unix)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use common::{Broker, Folder, Kind, Program, aldis, succeed};

/// Devices send again what is not confirmed after ten seconds, then twenty, then forty.
const CALM: Duration = Duration::from_secs(180);
const CONFIRMED: &str = "[readout]\ninterval_s = 1\nconfirm = true\n";

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |text| text.parse().unwrap())
}

struct Device {
    id: String,
    state: PathBuf,
    config: PathBuf,
    url: String,
    program: Option<Program>,
}

impl Device {
    fn new(folder: &Folder, id: &str, url: &str) -> Self {
        let mut device = Self {
            id: id.to_owned(),
            state: folder.path().join(id),
            config: folder.file("device.toml", CONFIRMED),
            url: url.to_owned(),
            program: None,
        };
        device.start();
        device
    }

    fn start(&mut self) {
        let mut command = aldis("device");
        command.args(["--id", &self.id, "--broker", &self.url, "--json"]);
        command.arg("--state").arg(&self.state);
        command.arg("--config").arg(&self.config);
        self.program = Some(Program::start(&mut command));
    }

    fn kill(&mut self) {
        if let Some(program) = self.program.take() {
            program.kill();
        }
        self.start();
    }

    /// The number of its last reading.
    fn last(&self) -> u32 {
        let text = fs::read_to_string(self.state.join("state.toml")).unwrap_or_default();
        let seq = text.lines().find_map(|line| line.strip_prefix("seq = "));
        seq.map_or(0, |seq| seq.parse::<u32>().unwrap() - 1)
    }
}

/// The numbers that are recorded of a device, in the order in which they were taken.
fn recorded(store: &Path, id: &str) -> Vec<u32> {
    let lines = succeed(
        aldis("history")
            .args([id, "--all", "--json", "--store"])
            .arg(store),
    );
    let number = |line: &String| {
        let reading: serde_json::Value = serde_json::from_str(line).unwrap();
        u32::try_from(reading["seq"].as_u64().unwrap()).unwrap()
    };
    lines.iter().map(number).collect()
}

/// Everything that was measured up to now is recorded, each once, before long.
fn all_is_recorded(store: &Path, devices: &[Device]) {
    let until = Instant::now() + CALM;
    for device in devices {
        let last = device.last();
        assert!(last > 0, "{} has measured nothing", device.id);
        loop {
            let mut numbers = recorded(store, &device.id);
            numbers.sort_unstable();
            let twice = numbers.windows(2).find(|two| two[0] == two[1]);
            assert_eq!(twice, None, "{}: recorded twice", device.id);
            let missing: Vec<_> = (1..=last)
                .filter(|seq| numbers.binary_search(seq).is_err())
                .collect();
            if missing.is_empty() {
                break;
            }
            assert!(
                Instant::now() < until,
                "{}: of {last} readings {missing:?} are missing",
                device.id
            );
            thread::sleep(Duration::from_millis(500));
        }
        let gaps = succeed(
            aldis("history")
                .args([&device.id, "--gaps", "--store"])
                .arg(store),
        );
        assert_eq!(gaps, ["No reading is missing"], "{}", device.id);
    }
}

fn hub(settings: &str) -> Broker {
    Broker::start_with(Kind::Hub, |_| String::new(), |_| settings.to_owned())
}

/// The hub as people run it, killed together with its recorder, and its devices.
#[test]
fn kills_of_hub_and_devices_leave_no_gap() {
    let seed = number("ALDIS_KILLS_SEED", fastrand::u64(..100_000));
    let kills = number("ALDIS_KILLS", 40);
    println!("to repeat: ALDIS_KILLS_SEED={seed} ALDIS_KILLS={kills}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let folder = Folder::new();
    let store = folder.path().join("history.db");
    let mut broker = hub(&format!("[recorder]\nstore = \"{}\"\n", store.display()));
    let url = broker.url();
    let mut devices: Vec<_> = ["hall", "kitchen", "attic"]
        .iter()
        .map(|id| Device::new(&folder, id, &url))
        .collect();
    let mut hubs = 0;
    for _ in 0..kills {
        thread::sleep(Duration::from_millis(chance.u64(..900)));
        if chance.bool() {
            broker.kill();
            thread::sleep(Duration::from_millis(chance.u64(..300)));
            broker.restart();
            hubs += 1;
        } else {
            let one = chance.usize(..devices.len());
            devices[one].kill();
        }
    }
    all_is_recorded(&store, &devices);
    let readings: u32 = devices.iter().map(Device::last).sum();
    println!(
        "{hubs} kills of the hub, {} of devices; {readings} readings",
        kills - hubs
    );
}

/// Broker and recorder as two programs, each killed by itself, and devices.
fn kills_of_each(kind: Kind) {
    let seed = number("ALDIS_KILLS_SEED", fastrand::u64(..100_000));
    let kills = number("ALDIS_KILLS", 40);
    println!("to repeat: ALDIS_KILLS_SEED={seed} ALDIS_KILLS={kills}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let folder = Folder::new();
    let mut broker = match kind {
        Kind::Hub => hub("[recorder]\noff = true\n"),
        Kind::Mosquitto => Broker::start(kind),
    };
    let url = broker.url();
    let data = folder.path().join("recorder");
    let store = data.join("history.db");
    let start = || {
        let mut command = aldis("hub");
        command.args(["--broker", &url, "--json", "--data"]);
        Program::start(command.arg(&data))
    };
    let mut recorder = start();
    recorder.wait_for_text("\"event\":\"working\"");
    let mut devices: Vec<_> = ["hall", "kitchen", "attic"]
        .iter()
        .map(|id| Device::new(&folder, id, &url))
        .collect();
    let mut counts = [0; 3];
    for _ in 0..kills {
        thread::sleep(Duration::from_millis(chance.u64(..900)));
        let victim = chance.usize(..3);
        counts[victim] += 1;
        match victim {
            0 => {
                broker.kill();
                thread::sleep(Duration::from_millis(chance.u64(..300)));
                broker.restart();
            }
            1 => {
                recorder.kill();
                recorder = start();
            }
            _ => {
                let one = chance.usize(..devices.len());
                devices[one].kill();
            }
        }
    }
    all_is_recorded(&store, &devices);
    let readings: u32 = devices.iter().map(Device::last).sum();
    let [brokers, recorders, of_devices] = counts;
    println!(
        "{brokers} kills of the broker, {recorders} of the recorder, {of_devices} of devices; \
         {readings} readings"
    );
}

/// The hub's broker forgets what it has not written when it is killed.
#[test]
fn kills_of_the_hubs_broker_recorder_and_devices_leave_no_gap() {
    kills_of_each(Kind::Hub);
}

/// mosquitto without persistence forgets everything, the recorder's session among it.
#[test]
fn kills_of_mosquitto_recorder_and_devices_leave_no_gap() {
    kills_of_each(Kind::Mosquitto);
}

/// Others of the machine would read all messages in the files of the hub.
#[test]
fn what_the_hub_keeps_is_for_its_user_alone() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = Folder::new();
    // As somebody's `mkdir` makes it.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = aldis("hub");
    command.args(["--listen", "127.0.0.1:0", "--json", "--data"]);
    let mut hub = Program::start(command.arg(folder.path()));
    hub.wait_for_text("\"event\":\"listening\"");
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o077, 0, "{name}");
        seen.push(name);
    }
    for name in ["history.db", "hub.db", "keys.toml"] {
        assert!(seen.iter().any(|seen| seen == name), "{seen:?}");
    }
    hub.stop();
}
