//! Readings of `aldis device` over kills, a full disk and damage: a recorder misses none.
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aldis_client::{Event, Options, Publish, QoS};
use aldis_protocol::{Climate, Topic};

use common::{BRISK, Broker, Folder, Kind, PATIENCE, Program, aldis, device, free_port};

/// A real sensor's answers: 27.0 °C, 36.0 %.
const RECORDING: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../device/tests/captures/dht/dht11_1mhz.csv"
);
const CONFIRMED: &str = "[readout]\ninterval_s = 1\nconfirm = true\n";

/// A reading as it came first, and when it was taken by that.
#[derive(Clone, Copy, Debug)]
struct Heard {
    climate: Climate,
    taken: Instant,
}

#[derive(Default)]
struct Book {
    /// By device and number.
    readings: BTreeMap<String, BTreeMap<u32, Heard>>,
    /// What must not be.
    wrong: Vec<String>,
}

impl Book {
    fn write(&mut self, id: &str, climate: Climate) {
        let age = Duration::from_millis(climate.age_ms);
        let now = Instant::now();
        let Some(taken) = now.checked_sub(age) else {
            self.wrong
                .push(format!("{id}: older than anything: {climate:?}"));
            return;
        };
        let heard = Heard { climate, taken };
        let readings = self.readings.entry(id.to_owned()).or_default();
        let first = *readings.entry(climate.seq).or_insert(heard);
        if (first.climate.reading, first.climate.life) != (climate.reading, climate.life) {
            let wrong = format!("{id}: one number twice: {:?} {climate:?}", first.climate);
            self.wrong.push(wrong);
        }
        // How long the device was off is known, for the machine was not.
        let apart = taken.max(first.taken) - taken.min(first.taken);
        if apart > Duration::from_secs(4) {
            let wrong = format!("{id}: {apart:?} apart: {:?} {climate:?}", first.climate);
            self.wrong.push(wrong);
        }
    }

    /// The number up to which nothing is missing.
    fn complete(&self, id: &str) -> u32 {
        let numbers = self.readings.get(id).into_iter().flatten();
        let run = (1..).zip(numbers).take_while(|(n, (seq, _))| n == *seq);
        run.last().map_or(0, |(n, _)| n)
    }
}

/// A small recorder: it keeps every reading, and confirms up to where nothing is missing.
struct Recorder {
    book: Arc<Mutex<Book>>,
    /// It ends with this.
    _runtime: tokio::runtime::Runtime,
}

impl Recorder {
    fn start(broker: &Broker) -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut options = Options::new(
            aldis_client::Broker::new("127.0.0.1", broker.port),
            "recorder",
        )
        .subscribe(
            Topic::Climate.filter("aldis", &mut [0; 64]).unwrap(),
            QoS::AtLeastOnce,
        );
        options.keep = Some(Duration::from_secs(600));
        let theirs = book.clone();
        let _guard = runtime.enter();
        let (client, mut events) = aldis_client::start(options).unwrap();
        runtime.spawn(async move {
            while let Some(event) = events.next().await {
                let Event::Message(message) = event else {
                    continue;
                };
                let climate = Climate::decode(&message.payload).unwrap();
                let (id, _) = Topic::parse("aldis", &message.topic).unwrap();
                let complete = {
                    let mut book = theirs.lock().unwrap();
                    book.write(id, climate);
                    book.complete(id)
                };
                client.acknowledge(message.token.into_iter().collect());
                let topic = format!("aldis/{id}/climate/ack");
                let confirmed = Publish::new(topic, complete.to_string());
                let client = client.clone();
                tokio::spawn(async move { client.publish(confirmed).await });
            }
        });
        drop(_guard);
        Self {
            book,
            _runtime: runtime,
        }
    }

    /// Waits until nothing is missing up to this number.
    fn wait_for(&self, id: &str, last: u32) {
        let until = Instant::now() + PATIENCE;
        while self.book.lock().unwrap().complete(id) < last {
            if Instant::now() > until {
                let book = self.book.lock().unwrap();
                let there: Vec<_> = book
                    .readings
                    .get(id)
                    .map(|of| of.keys().collect())
                    .unwrap_or_default();
                panic!("{id}: of {last} readings only {there:?} came");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn check(&self) {
        let book = self.book.lock().unwrap();
        assert!(book.wrong.is_empty(), "{}", book.wrong.join("\n"));
    }

    fn climate(&self, id: &str, seq: u32) -> Climate {
        self.book.lock().unwrap().readings[id][&seq].climate
    }
}

/// The number of the last reading, as the device saved it.
fn last(state: &Path) -> u32 {
    let text = fs::read_to_string(state.join("state.toml")).unwrap();
    let seq = text.lines().find_map(|line| line.strip_prefix("seq = "));
    seq.unwrap().parse::<u32>().unwrap() - 1
}

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |text| text.parse().unwrap())
}

/// One device, killed again and again. Gives how often.
fn killed(id: &str, seed: u64, kills: u64, config: &str, broker: &str, recorder: &Recorder) {
    let folder = Folder::new();
    let config = folder.file("device.toml", config);
    let state = folder.path().join("state");
    let mut chance = fastrand::Rng::with_seed(seed);
    let nowhere = format!("mqtt://127.0.0.1:{}", free_port());
    let start = |chance: &mut fastrand::Rng, url: &str| {
        let mut command = aldis("device");
        command.args(["--id", id, "-v", "--broker", url]);
        // Another climate each time.
        command.arg("--seed").arg(chance.u32(..).to_string());
        command.arg("--state").arg(&state);
        command.arg("--config").arg(&config);
        if chance.bool() {
            command.args(["--sensor", RECORDING]);
        }
        Program::start(&mut command)
    };
    for _ in 0..kills {
        let url = match chance.u8(..3) {
            0 => nowhere.as_str(),
            _ => broker,
        };
        let mut dev = start(&mut chance, url);
        match chance.u8(..3) {
            // At any moment.
            0 => thread::sleep(Duration::from_millis(chance.u64(..4_000))),
            // While a reading is kept, or published.
            _ => {
                for _ in 0..chance.u8(1..=2) {
                    dev.wait_for_text("reading: ");
                }
                thread::sleep(Duration::from_micros(chance.u64(..8_000)));
            }
        }
        dev.kill();
    }
    let mut dev = start(&mut chance, broker);
    dev.wait_for_text("published: ");
    dev.wait_for_text("published: ");
    recorder.wait_for(id, last(&state));
    dev.stop();
    let bound = u32::try_from(kills).unwrap();
    assert!(
        last(&state) > bound / 4,
        "too few readings: {}",
        last(&state)
    );
}

/// A kill at any moment loses a reading, or has its number given to another.
#[test]
fn kills_leave_no_gap() {
    const DEVICES: u64 = 16;
    let seed = number("ALDIS_KILL_SEED", 7);
    let kills = number("ALDIS_KILLS", 20);
    println!("repeat with ALDIS_KILL_SEED={seed} ALDIS_KILLS={kills}");
    let broker = Broker::start(Kind::Mosquitto);
    let recorder = Recorder::start(&broker);
    thread::scope(|scope| {
        for n in 0..DEVICES {
            let (url, recorder) = (broker.url(), &recorder);
            scope.spawn(move || {
                let config = match n % 2 {
                    0 => BRISK,
                    _ => CONFIRMED,
                };
                let seed = seed.wrapping_mul(1_000).wrapping_add(n);
                killed(&format!("dev{n}"), seed, kills, config, &url, recorder);
            });
        }
    });
    recorder.check();
    let book = recorder.book.lock().unwrap();
    let all = book.readings.values().flatten();
    let (count, kept) = all.fold((0, 0), |(count, kept), (_, heard)| {
        (count + 1, kept + u32::from(heard.climate.taken.is_some()))
    });
    println!(
        "{count} readings, {kept} of them over a kill, {} kills",
        DEVICES * kills
    );
    assert!(kept > 0);
}

/// What was measured before the end is lost or changed when another sensor is there.
#[test]
fn another_sensor_does_not_change_what_was_kept() {
    for config in [BRISK, CONFIRMED] {
        let broker = Broker::start(Kind::Mosquitto);
        let recorder = Recorder::start(&broker);
        let folder = Folder::new();
        let config = folder.file("device.toml", config);
        let nowhere = format!("mqtt://127.0.0.1:{}", free_port());
        let start = |url: &str, sensor: &str| {
            let mut command = device(url, folder.path(), &config);
            Program::start(command.args(["-v", "--sensor", sensor]))
        };
        let mut dev = start(&nowhere, RECORDING);
        let began = Instant::now();
        for _ in 0..3 {
            dev.wait_for_text("reading: ");
        }
        dev.kill();
        let kept = last(folder.path());
        assert!(kept >= 2, "{kept}");
        let mut dev = start(&broker.url(), "none");
        dev.wait_for_text("sensor: missing");
        recorder.wait_for("dev", kept);
        let all = began.elapsed();
        for seq in 1..=kept {
            let climate = recorder.climate("dev", seq);
            assert_eq!((climate.boot, climate.taken), (2, Some(1)));
            assert_eq!((climate.reading.t, climate.reading.h), (270, 360));
            assert!(climate.age_ms < all.as_millis() as u64, "{climate:?}");
        }
        dev.kill();
        let mut dev = start(&broker.url(), "synthetic");
        dev.wait_for_text("published: ");
        recorder.wait_for("dev", kept + 1);
        dev.stop();
        recorder.check();
    }
}

/// A reading that waited in the broker seems to be as new as one that came at once: a recorder
/// that was away has all of them at the moment of its return.
#[test]
fn a_recorder_learns_how_long_the_broker_let_it_wait() {
    for kind in [Kind::Mosquitto, Kind::Hub] {
        for restarts in [false, true] {
            let persistent = |folder: &Folder| {
                let place = folder.path().display();
                format!("allow_anonymous true\npersistence true\npersistence_location {place}/\n")
            };
            let mut broker = Broker::start_with(kind, persistent, |_| String::new());
            let what = format!("{kind:?}, restarts: {restarts}");
            // It subscribes, and goes.
            let heard = Listener::start(broker.port, "away");
            heard.stop();
            let here = Listener::start(broker.port, "here");
            let folder = Folder::new();
            let config = folder.file("device.toml", BRISK);
            let mut dev = Program::start(device(&broker.url(), folder.path(), &config).arg("-v"));
            for _ in 0..3 {
                dev.wait_for_text("delivered: ");
            }
            dev.stop();
            let at_once = here.wait_for(3);
            here.stop();
            thread::sleep(Duration::from_secs(3));
            if restarts {
                broker.stop();
                thread::sleep(Duration::from_secs(1));
                broker.restart();
            }
            thread::sleep(Duration::from_secs(3));
            let away = Listener::start(broker.port, "away");
            let late = away.wait_for(3);
            away.stop();
            for (seq, (came, left)) in at_once {
                let (late_at, late_left) = late[&seq];
                let waited = |left| Climate::waited_s(left).unwrap_or_else(|| panic!("{what}"));
                assert!(waited(left) <= 1, "{what}: {left:?}");
                let truly = late_at.duration_since(came).as_secs_f64();
                let said = f64::from(waited(late_left));
                assert!(truly > 5.9, "{what}: {truly}");
                assert!((said - truly).abs() <= 1.2, "{what}: {said} for {truly}");
            }
        }
    }
}

/// When each reading came, and what was left of its message expiry interval.
type Came = BTreeMap<u32, (Instant, Option<u32>)>;

/// Somebody whose session the broker keeps.
struct Listener {
    heard: Arc<Mutex<Came>>,
    client: aldis_client::Client,
    connected: Arc<std::sync::atomic::AtomicBool>,
    runtime: tokio::runtime::Runtime,
}

impl Listener {
    /// It is subscribed afterwards.
    fn start(port: u16, name: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut options = Options::new(aldis_client::Broker::new("127.0.0.1", port), name)
            .subscribe("aldis/+/climate", QoS::AtLeastOnce);
        options.keep = Some(Duration::from_secs(600));
        let heard = Arc::new(Mutex::new(Came::new()));
        let connected = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (theirs, subscribed) = (heard.clone(), connected.clone());
        let guard = runtime.enter();
        let (client, mut events) = aldis_client::start(options).unwrap();
        drop(guard);
        let (publisher, name) = (client.clone(), name.to_owned());
        runtime.spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::Connected { .. } => {
                        // Acknowledged behind the subscription, which goes out first.
                        let (publisher, subscribed) = (publisher.clone(), subscribed.clone());
                        let probe = Publish::new(format!("probe/{name}"), "");
                        tokio::spawn(async move {
                            publisher.publish(probe).await.unwrap();
                            subscribed.store(true, std::sync::atomic::Ordering::Relaxed);
                        });
                    }
                    Event::Message(message) => {
                        let climate = Climate::decode(&message.payload).unwrap();
                        let now = (Instant::now(), message.expiry_s);
                        theirs.lock().unwrap().entry(climate.seq).or_insert(now);
                        publisher.acknowledge(message.token.into_iter().collect());
                    }
                    _ => {}
                }
            }
        });
        let listener = Self {
            heard,
            client,
            connected,
            runtime,
        };
        let is_there = || {
            let connected = &listener.connected;
            connected.load(std::sync::atomic::Ordering::Relaxed)
        };
        let until = Instant::now() + PATIENCE;
        while !is_there() {
            assert!(Instant::now() < until, "it does not connect");
            thread::sleep(Duration::from_millis(10));
        }
        listener
    }

    /// Waits for so many readings: by their numbers, when each came and what was left.
    fn wait_for(&self, count: usize) -> Came {
        let until = Instant::now() + PATIENCE;
        loop {
            let heard = self.heard.lock().unwrap().clone();
            if heard.len() >= count {
                return heard;
            }
            assert!(Instant::now() < until, "{heard:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(self) {
        self.runtime.block_on(self.client.stop());
    }
}

/// The disk becomes full: the numbers of that time are given again after a kill, or its readings
/// are gone. Or it is told again and again.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_costs_no_reading() {
    let broker = Broker::start(Kind::Mosquitto);
    let recorder = Recorder::start(&broker);
    let folder = Folder::new();
    let config = folder.file("device.toml", CONFIRMED);
    let nowhere = format!("mqtt://127.0.0.1:{}", free_port());
    let start = |url: &str| {
        let mut command = device(url, folder.path(), &config);
        Program::start(command.arg("-v"))
    };
    let mut dev = start(&nowhere);
    dev.wait_for_text("reading: ");
    dev.wait_for_text("reading: ");
    dev.kill();
    let saved = last(folder.path());
    let new = folder.path().join("state.new");
    // The kill may have left one.
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink("/dev/full", &new).unwrap();
    for _ in 0..3 {
        let mut dev = start(&nowhere);
        for _ in 0..3 {
            dev.wait_for_text("reading: ");
        }
        let said = dev.said().iter();
        let warnings: Vec<_> = said.filter(|line| line.contains("warning: ")).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("No space left"), "{warnings:?}");
        dev.kill();
    }
    assert_eq!(last(folder.path()), saved);
    let mut dev = start(&broker.url());
    dev.wait_for_text("published: ");
    // Of each start two at least.
    recorder.wait_for("dev", saved + 6);
    dev.kill();
    fs::remove_file(&new).unwrap();
    let mut dev = start(&broker.url());
    dev.wait_for_text("reading: ");
    dev.wait_for_text("reading: ");
    recorder.wait_for("dev", last(folder.path()));
    dev.stop();
    recorder.check();
}

/// A damaged file ends the device, is passed over in silence, or its numbers are given again.
#[test]
fn damage_is_told_and_numbers_go_on() {
    let broker = Broker::start(Kind::Mosquitto);
    let recorder = Recorder::start(&broker);
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let nowhere = format!("mqtt://127.0.0.1:{}", free_port());
    let start = |url: &str| {
        let mut command = device(url, folder.path(), &config);
        Program::start(command.arg("-v"))
    };
    let mut dev = start(&nowhere);
    for _ in 0..3 {
        dev.wait_for_text("reading: ");
    }
    dev.kill();
    let kept = last(folder.path());
    // Both files: the numbers are in the other one as well.
    let file = folder.path().join("readings.log");
    let mut bytes = fs::read(&file).unwrap();
    bytes[64 * 2 + 30] ^= 1;
    fs::write(&file, bytes).unwrap();
    fs::write(folder.path().join("state.toml"), "lamp = \"on").unwrap();
    let mut dev = start(&broker.url());
    for name in ["state.damaged", "readings.damaged"] {
        dev.wait_for_text(name);
        assert!(folder.path().join(name).exists());
    }
    dev.wait_for_text("published: ");
    let until = Instant::now() + PATIENCE;
    loop {
        let book = recorder.book.lock().unwrap();
        let there = book
            .readings
            .get("dev")
            .map(|of| of.keys().copied().collect::<Vec<_>>());
        drop(book);
        // The first was damaged.
        let expected: Vec<u32> = (2..=kept + 1).collect();
        if there
            .as_ref()
            .is_some_and(|there| there.starts_with(&expected))
        {
            break;
        }
        assert!(Instant::now() < until, "{there:?} of {kept}");
        thread::sleep(Duration::from_millis(20));
    }
    dev.stop();
    recorder.check();
}
