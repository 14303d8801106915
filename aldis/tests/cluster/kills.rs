//! Nodes, recorders and PostgreSQL are killed in turn: no reading is missing, none is there twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aldis_history::{DeviceKey, History};
use aldis_testing::Postgres;
use tokio::runtime::Runtime;

use super::common::{Folder, aldis, succeed};
use super::installation::{Nodes, Service};

const DEVICES: usize = 6;
const RECORDERS: usize = 2;
const CONFIG: &str = "[readout]\ninterval_s = 1\nconfirm = true\n";
/// How long it may take until all that was measured is stored. What a node had taken and lost
/// is sent again after ten seconds, then twenty, and so on.
const RECOVERY: Duration = Duration::from_secs(180);

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |text| text.parse().unwrap())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Node,
    Recorder,
    Database,
    Device,
}

struct Device {
    key: DeviceKey,
    state: PathBuf,
    service: Service,
    /// The same without a sensor: it sends what it has.
    afterwards: Service,
}

impl Device {
    /// The number of the last reading that it has taken.
    fn last(&self) -> u32 {
        let text = fs::read_to_string(self.state.join("state.toml")).unwrap_or_default();
        let seq = text.lines().find_map(|line| line.strip_prefix("seq = "));
        seq.map_or(0, |seq| seq.parse::<u32>().unwrap() - 1)
    }
}

struct House {
    runtime: Runtime,
    nodes: Nodes,
    recorders: Vec<Service>,
    devices: Vec<Device>,
    database: Postgres,
    store: String,
    history: Option<History>,
    _folder: Folder,
}

impl House {
    fn start() -> Self {
        let folder = Folder::new();
        let database = Postgres::start(&[]);
        let store = database.database();
        let mut nodes = Nodes::new(&folder);
        nodes.start();
        let url = nodes.balancer.url();
        let recorders = (1..=RECORDERS).map(|number| {
            let mut command = aldis("hub");
            command.args(["--broker", &url, "--share", "all", "--store", &store]);
            command.arg("--no-dashboard");
            command
                .arg("--data")
                .arg(folder.path().join(format!("recorder{number}")));
            Service::new(format!("recorder{number}"), folder.path(), command)
        });
        let config = folder.file("device.toml", CONFIG);
        let devices = (1..=DEVICES).map(|number| {
            let id = format!("dev{number}");
            let state = folder.path().join(&id);
            let with = |sensor: &str| {
                let mut command = aldis("device");
                command.args(["--id", &id, "--seed", &number.to_string()]);
                command.args(["--broker", &url]).arg("--state").arg(&state);
                command.arg("--config").arg(&config);
                command.args(["--sensor", sensor]);
                Service::new(id.clone(), folder.path(), command)
            };
            Device {
                key: DeviceKey::new("aldis", &id).unwrap(),
                service: with("synthetic"),
                afterwards: with("none"),
                state: state.clone(),
            }
        });
        let mut house = Self {
            runtime: Runtime::new().unwrap(),
            recorders: recorders.collect(),
            devices: devices.collect(),
            nodes,
            database,
            store,
            history: None,
            _folder: folder,
        };
        for recorder in &mut house.recorders {
            recorder.start();
        }
        for device in &mut house.devices {
            device.service.start();
        }
        house
    }

    fn see_to_all(&mut self) {
        let services = self.nodes.services.iter_mut().chain(&mut self.recorders);
        for service in services {
            service.see_to();
        }
        for device in &mut self.devices {
            device.service.see_to();
        }
    }

    /// Up to which number all of a device's readings are stored; none while the store is away.
    fn stored(&mut self, device: usize) -> Option<u32> {
        if self.history.is_none() {
            self.history = self.runtime.block_on(History::open(&self.store)).ok();
        }
        let key = &self.devices[device].key;
        let history = self.history.as_ref()?;
        let found = self.runtime.block_on(async {
            let standings = history.standings(key).await?;
            Ok::<_, aldis_history::HistoryError>((standings, history.gaps(key).await?))
        });
        match found {
            Ok((standings, gaps)) => {
                let standing = standings.first()?;
                let first = gaps.iter().map(|gap| gap.first).min();
                Some(first.map_or(standing.highest, |first| first - 1))
            }
            Err(_) => {
                self.history = None;
                None
            }
        }
    }

    /// Ends measuring, and waits until all that was measured is stored.
    fn take_no_more(&mut self) {
        for device in &mut self.devices {
            device.service.kill();
            device.afterwards.start();
        }
        let wanted: Vec<u32> = self.devices.iter().map(Device::last).collect();
        self.reach(&wanted, Instant::now(), "each device");
    }

    /// Waits until a reading of each device is stored that was taken from now on, and nothing is
    /// missing before it.
    fn recovery(&mut self, since: Instant, of: &str) -> Duration {
        let wanted: Vec<u32> = self
            .devices
            .iter()
            .map(|device| device.last() + 1)
            .collect();
        self.reach(&wanted, since, of)
    }

    fn reach(&mut self, wanted: &[u32], since: Instant, of: &str) -> Duration {
        loop {
            self.see_to_all();
            let missing: Vec<_> = (0..DEVICES)
                .filter_map(|device| {
                    let stored = self.stored(device).unwrap_or(0);
                    (stored < wanted[device]).then(|| (device + 1, stored, wanted[device]))
                })
                .collect();
            if missing.is_empty() {
                return since.elapsed();
            }
            assert!(
                since.elapsed() < RECOVERY,
                "after {of} was killed, these are not stored (device, stored, taken): \
                 {missing:?}\n{}{}{}",
                self.nodes.last_words(),
                self.recorders[0].last_words(),
                self.recorders[1].last_words(),
            );
            sleep(Duration::from_millis(100));
        }
    }

    fn memory(&self) -> String {
        let nodes = self.nodes.services.iter();
        let memory = nodes.filter_map(|node| Some(format!("{:.0} MB", node.megabytes()?)));
        memory.collect::<Vec<_>>().join(", ")
    }

    /// All readings of all devices, as the command prints them: how many there are.
    fn count(&self) -> usize {
        let mut count = 0;
        for device in &self.devices {
            let mut command = aldis("history");
            command.args([device.key.id(), "--store", &self.store, "--all", "--json"]);
            let lines = succeed(&mut command);
            let numbers: Vec<u64> = lines
                .iter()
                .map(|line| {
                    let reading: serde_json::Value = serde_json::from_str(line).unwrap();
                    reading["seq"].as_u64().unwrap()
                })
                .collect();
            let different: BTreeSet<u64> = numbers.iter().copied().collect();
            assert_eq!(numbers.len(), different.len(), "{}: twice", device.key);
            let last = u64::from(device.last());
            let missing: Vec<u64> = (1..=last).filter(|seq| !different.contains(seq)).collect();
            assert!(missing.is_empty(), "{}: {missing:?} missing", device.key);
            count += numbers.len();
        }
        count
    }
}

/// The three quarters, the half: a list of durations in words.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64();
    format!(
        "{} kills, {:.1} s half of them, {:.1} s at most",
        times.len(),
        at(50),
        at(100)
    )
}

/// A node, a recorder or the database is killed, and a reading is lost or stored twice.
#[test]
fn kills_leave_no_gap() {
    let seed = number("ALDIS_CLUSTER_SEED", 11);
    let rounds = number("ALDIS_CLUSTER_ROUNDS", 2);
    let devices_too = number("ALDIS_CLUSTER_KILL_DEVICES", 0) > 0;
    println!(
        "repeat with ALDIS_CLUSTER_SEED={seed} ALDIS_CLUSTER_ROUNDS={rounds} \
         ALDIS_CLUSTER_KILL_DEVICES={}",
        u8::from(devices_too)
    );
    let mut chance = fastrand::Rng::with_seed(seed);
    let began = Instant::now();
    let mut house = House::start();
    println!(
        "the cluster stands after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    house.recovery(Instant::now(), "nothing");
    let mut victims = vec![Victim::Node, Victim::Recorder, Victim::Database];
    if devices_too {
        victims.push(Victim::Device);
    }
    let mut times: Vec<(Victim, Duration)> = Vec::new();
    let mut joined = Vec::new();
    for round in 0..rounds {
        chance.shuffle(&mut victims);
        for victim in &victims {
            // At any moment of the second in which readings come.
            sleep(Duration::from_millis(chance.u64(..1_500)));
            let since = Instant::now();
            // Started again at once, or after a while: clients go elsewhere meanwhile, or do not.
            let pause = Duration::from_millis(chance.u64(..4_000));
            let name = match victim {
                Victim::Node => {
                    // Each in turn, from one by chance: one of them leads.
                    let node = usize::try_from((seed + round) % 3).unwrap();
                    house.nodes.services[node].kill();
                    if chance.bool() {
                        // The others do without it.
                        let took = house.recovery(since, "a node");
                        println!("round {round}: without node {}: {took:.1?}", node + 1);
                    } else {
                        sleep(pause);
                    }
                    let again = Instant::now();
                    house.nodes.services[node].start();
                    house.nodes.wait_for(node);
                    joined.push(again.elapsed());
                    format!("node {}", node + 1)
                }
                Victim::Recorder => {
                    let recorder = chance.usize(..RECORDERS);
                    house.recorders[recorder].kill();
                    sleep(pause);
                    house.recorders[recorder].start();
                    format!("recorder {}", recorder + 1)
                }
                Victim::Database => {
                    house.database.kill();
                    sleep(pause);
                    house.database.go_on();
                    "the database".to_owned()
                }
                Victim::Device => {
                    let device = chance.usize(..DEVICES);
                    house.devices[device].service.kill();
                    sleep(pause);
                    house.devices[device].service.start();
                    format!("device {}", device + 1)
                }
            };
            let took = house.recovery(since, &name);
            println!("round {round}: {name}: {took:.1?}");
            times.push((*victim, took));
        }
        println!("round {round}: a node takes {}", house.memory());
    }
    house.recovery(Instant::now(), "everything");
    let memory = house.memory();
    house.take_no_more();
    let readings = house.count();
    println!(
        "{readings} readings, each there once, {:.0?}",
        began.elapsed()
    );
    victims.sort();
    for victim in victims {
        let of = times.iter().filter(|(other, _)| *other == victim);
        let times: Vec<Duration> = of.map(|(_, took)| *took).collect();
        if !times.is_empty() {
            println!("{victim:?}: {}", spread(times));
        }
    }
    println!("a node joins again: {}", spread(joined));
    println!("a node takes {memory}");
    let ended: u32 = house.nodes.services.iter().map(|node| node.ended).sum();
    println!("nodes that ended by themselves: {ended}");
}
