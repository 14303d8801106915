//! A recorder at a real broker: what is confirmed is stored, what is not comes again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use aldis_client::{Client, Events, Publish, QoS, start};
use aldis_history::{DeviceKey, History, Kind};
use aldis_protocol::{Climate, Reading, decode_ack};
use aldis_recorder::{Clock, Paired, Recorder, RecorderOptions, RunningRecorder};
use aldis_testing::{Mosquitto, PATIENCE, connected, event, until};
use futures::TryStreamExt;
use tokio::time::timeout;

const NOON: i64 = 1_790_000_000_000;

fn kitchen() -> DeviceKey {
    DeviceKey::new("aldis", "kitchen").unwrap()
}

async fn open(dir: &Path) -> History {
    let path = dir.join("history.db");
    History::open(path.to_str().unwrap()).await.unwrap()
}

/// A clock that began at noon, and was set forward by so many milliseconds since. It runs: what
/// stands still gives what came first the later time.
fn clock(forward_ms: Arc<AtomicI64>) -> Clock {
    let start = Instant::now();
    Clock::new(move || {
        let ran = i64::try_from(start.elapsed().as_millis()).unwrap();
        NOON + ran + forward_ms.load(Ordering::Relaxed)
    })
}

fn options(broker: &Mosquitto, history: &History) -> RecorderOptions {
    RecorderOptions {
        gather: Duration::from_millis(20),
        clock: clock(Arc::default()),
        ..RecorderOptions::new(broker.broker(), history.clone())
    }
}

async fn recorder(options: RecorderOptions) -> RunningRecorder {
    let recorder = Recorder::start(options).unwrap();
    until("the recorder is connected", async || {
        recorder.figures().connected.then_some(())
    })
    .await;
    recorder
}

/// Somebody who speaks as a device, and hears what is confirmed.
struct Device {
    client: Client,
    events: Events,
    /// Whose confirmations it listens to.
    life: u16,
}

impl Device {
    async fn new(broker: &Mosquitto) -> Self {
        let options = broker
            .client("kitchen")
            .subscribe("aldis/kitchen/climate/ack", QoS::AtLeastOnce);
        let (client, mut events) = start(options).unwrap();
        connected(&mut events).await;
        // The subscription is there when a word to itself comes back.
        say(&client, "climate/ack", "none").await;
        event(&mut events, "the word", |event| match event {
            aldis_client::Event::Message(message) => (message.payload == b"none").then_some(()),
            _ => None,
        })
        .await;
        Self {
            client,
            events,
            life: 9,
        }
    }

    async fn read(&self, life: u16, seqs: impl IntoIterator<Item = u32>) {
        for seq in seqs {
            say(&self.client, "climate", &climate(life, seq, 0)).await;
        }
    }

    /// The confirmations up to this one.
    async fn confirmed(&mut self, up_to: u32) -> Vec<u32> {
        let mut all = Vec::new();
        event(
            &mut self.events,
            &format!("the confirmation of {up_to}"),
            |event| {
                if let aldis_client::Event::Message(message) = event {
                    let (seq, life) = decode_ack(&message.payload).unwrap();
                    if life == self.life {
                        all.push(seq);
                    }
                    self.client.acknowledge(message.token.into_iter().collect());
                }
                (all.last() == Some(&up_to)).then_some(())
            },
        )
        .await;
        all
    }
}

fn climate(life: u16, seq: u32, age_ms: u64) -> String {
    let climate = Climate {
        seq,
        life,
        boot: 1,
        taken: None,
        age_ms,
        reading: Reading {
            t: i16::try_from(seq % 500).unwrap(),
            h: 500,
        },
    };
    let mut buffer = [0; Climate::MAX_LEN];
    let len = climate.encode(&mut buffer).unwrap();
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}

async fn say(client: &Client, topic: &str, payload: &str) {
    let publish = Publish::new(format!("aldis/kitchen/{topic}"), payload);
    timeout(PATIENCE, client.publish(publish))
        .await
        .expect("the broker takes it")
        .unwrap();
}

async fn numbers(history: &History) -> Vec<(u32, u32)> {
    let readings: Vec<_> = history
        .readings(&kitchen(), 0, i64::MAX)
        .try_collect()
        .await
        .unwrap();
    let mut numbers: Vec<_> = readings
        .iter()
        .map(|reading| (reading.life, reading.seq))
        .collect();
    numbers.sort_unstable();
    numbers
}

/// A device would forget what nobody has, or keep for ever what is stored.
#[tokio::test]
async fn what_is_stored_is_confirmed() {
    let (broker, dir) = (Mosquitto::start(""), tempfile::tempdir().unwrap());
    let history = open(dir.path()).await;
    let recorder = recorder(options(&broker, &history)).await;
    let mut device = Device::new(&broker).await;
    device.read(9, 1..=40).await;
    let confirmed = device.confirmed(40).await;
    assert!(confirmed.is_sorted(), "{confirmed:?}");
    // It was there before it was confirmed.
    assert_eq!(numbers(&history).await.len(), 40);

    // With a hole nothing above it is confirmed, and everything is stored.
    device.read(9, [43, 44]).await;
    device.read(9, [41]).await;
    assert_eq!(device.confirmed(41).await.last(), Some(&41));
    device.read(9, [44, 42]).await;
    device.confirmed(44).await;
    let expected: Vec<_> = (1..=44).map(|seq| (9, seq)).collect();
    assert_eq!(numbers(&history).await, expected);
    let figures = recorder.figures();
    assert_eq!((figures.stored, figures.repeated), (44, 1));
    assert_eq!(figures.behind, 0);
    recorder.shutdown().await;
}

/// Everything that devices say, and that is said to them, would be gone but the readings.
#[tokio::test]
async fn states_messages_and_health_are_stored() {
    let (broker, dir) = (Mosquitto::start(""), tempfile::tempdir().unwrap());
    let history = open(dir.path()).await;
    let (client, mut events) = start(broker.client("kitchen")).unwrap();
    connected(&mut events).await;
    let state = Publish::new("aldis/kitchen/led", "on").retained();
    client.publish(state).await.unwrap();
    // What the broker had kept is known, too.
    let recorder = recorder(options(&broker, &history)).await;
    // Its subscriptions are there when that has come.
    until("what the broker had kept is stored", async || {
        (recorder.figures().events == 1).then_some(())
    })
    .await;
    for (topic, payload) in [
        ("status", "online"),
        ("sensor", "ok"),
        ("led", "off"),
        ("message/set", r#"{"id":"m","from":"hall","text":"dinner"}"#),
        ("message/state", r#"{"id":"m","state":"read","age_ms":5}"#),
        ("answer", r#"{"id":"c","done":true}"#),
        ("morse/heard", r#"{"text":"SOS","wpm":12}"#),
        ("diag", r#"{"uptime_s":60,"boot":1,"version":"1"}"#),
        ("climate", "garbage"),
    ] {
        say(&client, topic, payload).await;
    }
    until("all is stored", async || {
        let figures = recorder.figures();
        (figures.unreadable == 1 && figures.events >= 10).then_some(())
    })
    .await;
    let events = history.events(&kitchen(), 0, i64::MAX, 100).await.unwrap();
    let mut kinds: Vec<_> = events.iter().map(|event| event.kind as u8).collect();
    kinds.sort_unstable();
    let mut expected = [
        Kind::Led,
        Kind::Status,
        Kind::Sensor,
        Kind::Led,
        Kind::Message,
        Kind::MessageState,
        Kind::Answer,
        Kind::Morse,
        Kind::NotAReading,
    ]
    .map(|kind| kind as u8);
    expected.sort_unstable();
    assert_eq!(kinds, expected);
    let latest = history.latest(&kitchen()).await.unwrap();
    assert_eq!(latest.led.unwrap().1, "off");
    assert!(latest.diag.unwrap().1.contains("uptime_s"));
    recorder.shutdown().await;
}

/// One client fills the list of devices with names that it makes up.
#[tokio::test]
async fn so_many_devices_come_in_that_nobody_paired() {
    let (broker, dir) = (Mosquitto::start(""), tempfile::tempdir().unwrap());
    let history = open(dir.path()).await;
    let options = RecorderOptions {
        newcomers: Some(2),
        paired: Paired::new(|device| device.id() == "paired"),
        ..options(&broker, &history)
    };
    let recorder = recorder(options).await;
    let (client, mut events) = start(broker.client("somebody")).unwrap();
    connected(&mut events).await;
    for id in ["one", "two", "three", "paired", "one"] {
        let topic = format!("aldis/{id}/led");
        client.publish(Publish::new(topic, "on")).await.unwrap();
    }
    let said = Publish::new("aldis/two/led", "off");
    client.publish(said).await.unwrap();
    let ids = until("all is stored", async || {
        let devices = history.devices().await.unwrap();
        let ids: Vec<_> = devices.iter().map(|of| of.key.id().to_owned()).collect();
        // The last that was said is stored.
        (recorder.figures().events == 4).then_some(ids)
    })
    .await;
    assert_eq!(ids, ["one", "paired", "two"]);
    assert_eq!(recorder.figures().turned_away, 1);
    recorder.shutdown().await;
}

/// A device that was removed comes back by itself, with what it had said before.
#[tokio::test]
async fn what_came_before_a_removal_and_is_not_stored_yet_is_removed_too() {
    const HURRY: usize = 50;
    let (broker, dir) = (Mosquitto::start(""), tempfile::tempdir().unwrap());
    let history = open(dir.path()).await;
    let options = RecorderOptions {
        // It waits for so many.
        gather: Duration::from_secs(24 * 60 * 60),
        hurry: HURRY,
        ..options(&broker, &history)
    };
    let recorder = recorder(options).await;
    let (client, mut events) = start(broker.client("somebody")).unwrap();
    connected(&mut events).await;
    let hurry = async |id: &str| {
        for _ in 0..HURRY {
            let said = Publish::new(format!("aldis/{id}/led"), "on");
            client.publish(said).await.unwrap();
        }
    };
    let devices = async || {
        let devices = history.devices().await.unwrap();
        let ids = devices.iter().map(|of| of.key.id().to_owned());
        ids.collect::<Vec<_>>()
    };
    hurry("kitchen").await;
    until("it is stored", async || {
        (devices().await == ["kitchen"]).then_some(())
    })
    .await;

    say(&client, "climate", &climate(9, 1, 0)).await;
    say(&client, "led", "neither").await;
    // The recorder has both, and waits for more.
    until("it was received", async || {
        (recorder.figures().unreadable == 1).then_some(())
    })
    .await;
    history.remove(&kitchen()).await.unwrap();
    hurry("attic").await;
    until("it is stored", async || {
        (!devices().await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(devices().await, ["attic"]);
    assert_eq!(recorder.figures().stored, 0);

    // If it speaks again, it is a new one.
    say(&client, "climate", &climate(9, 2, 0)).await;
    hurry("attic").await;
    until("it is stored", async || {
        (devices().await == ["attic", "kitchen"]).then_some(())
    })
    .await;
    assert_eq!(numbers(&history).await, [(9, 2)]);
    recorder.shutdown().await;
}

/// What came while the recorder was away would be lost, or stand at the wrong time.
#[tokio::test]
async fn what_waited_at_the_broker_is_stored_and_its_time_is_not_taken_for_certain() {
    let (broker, dir) = (Mosquitto::start(""), tempfile::tempdir().unwrap());
    let history = open(dir.path()).await;
    let first = recorder(options(&broker, &history)).await;
    let mut device = Device::new(&broker).await;
    device.read(9, [1]).await;
    device.confirmed(1).await;
    // Its word to itself has come back by now or soon.
    let mut before = 1;
    until("times are certain", async || {
        before += 1;
        device.read(9, [before]).await;
        device.confirmed(before).await;
        let all: Vec<_> = history
            .readings(&kitchen(), 0, i64::MAX)
            .try_collect()
            .await
            .unwrap();
        all.last().is_some_and(|last| last.exact).then_some(())
    })
    .await;
    first.shutdown().await;
    device.read(9, before + 1..=before + 30).await;
    let second = recorder(options(&broker, &history)).await;
    device.confirmed(before + 30).await;
    let late: Vec<_> = history
        .readings(&kitchen(), 0, i64::MAX)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(late.len() as u32, before + 30);
    for reading in late.iter().filter(|reading| reading.seq > before) {
        assert!(!reading.exact, "{reading:?}");
    }
    second.shutdown().await;
}

/// A recorder that dies with a batch in its hands would take it along.
#[tokio::test]
async fn what_was_not_stored_comes_again() {
    let (broker, dir) = (Mosquitto::start(""), tempfile::tempdir().unwrap());
    let history = open(dir.path()).await;
    let mut device = Device::new(&broker).await;
    let mut next = 1;
    for round in 0..20_u32 {
        let recorder = recorder(options(&broker, &history)).await;
        device.read(9, next..next + 25).await;
        next += 25;
        if round % 2 == 0 {
            // Whatever it was doing: nothing is stored, acknowledged or said any more.
            drop(recorder);
        } else {
            recorder.shutdown().await;
        }
    }
    let last = recorder(options(&broker, &history)).await;
    device.read(9, [next]).await;
    device.confirmed(next).await;
    let expected: Vec<_> = (1..=next).map(|seq| (9, seq)).collect();
    assert_eq!(numbers(&history).await, expected);
    assert_eq!(history.gaps(&kitchen()).await.unwrap(), []);
    last.shutdown().await;
}

/// Two recorders would store twice, confirm what the other has not, or leave half of it.
#[tokio::test]
async fn recorders_share_the_work() {
    let (broker, dir) = (Mosquitto::start(""), tempfile::tempdir().unwrap());
    let history = open(dir.path()).await;
    let shared = |id: &str| RecorderOptions {
        client_id: id.to_owned(),
        share: Some("recorders".to_owned()),
        ..options(&broker, &history)
    };
    let one = recorder(shared("one")).await;
    let two = recorder(shared("two")).await;
    let mut device = Device::new(&broker).await;
    device.read(9, 1..=100).await;
    device.confirmed(100).await;
    let both = (one.figures().stored, two.figures().stored);
    assert!(both.0 > 0 && both.1 > 0, "{both:?}");
    assert_eq!(both.0 + both.1, 100);
    assert_eq!(one.figures().repeated + two.figures().repeated, 0);
    // One leaves, the other goes on. What the broker may still have sent to the one, as it does
    // where that had no time to leave in order, the device sends again.
    one.shutdown().await;
    say(&device.client, "led", "on").await;
    until("all is confirmed", async || {
        device.read(9, 101..=150).await;
        let confirmed = device.confirmed(150);
        timeout(Duration::from_secs(3), confirmed).await.ok()
    })
    .await;
    let expected: Vec<_> = (1..=150).map(|seq| (9, seq)).collect();
    assert_eq!(numbers(&history).await, expected);
    two.shutdown().await;
}

/// A number of another life would confirm readings of this one that nobody has; one stray reading
/// of another life would end the confirmation of this one for good.
#[tokio::test]
async fn each_life_is_confirmed_by_itself() {
    let (broker, dir) = (Mosquitto::start(""), tempfile::tempdir().unwrap());
    let history = open(dir.path()).await;
    let recorder = recorder(options(&broker, &history)).await;
    let mut device = Device::new(&broker).await;
    device.read(9, 1..=7).await;
    device.confirmed(7).await;
    device.read(4, 1..=2).await;
    // One of before comes again, late, and the first goes on.
    device.read(9, [8]).await;
    let confirmed = device.confirmed(8).await;
    assert!(
        confirmed.iter().all(|seq| [7, 8].contains(seq)),
        "{confirmed:?}"
    );
    device.life = 4;
    device.read(4, [3]).await;
    device.confirmed(3).await;
    assert_eq!(numbers(&history).await.len(), 11);
    recorder.shutdown().await;
}

/// Readings that are gone for good would hold up the confirmation of all others.
#[tokio::test]
async fn what_does_not_come_is_given_up() {
    let (broker, dir) = (Mosquitto::start(""), tempfile::tempdir().unwrap());
    let history = open(dir.path()).await;
    let recorder = recorder(RecorderOptions {
        first_patience: Duration::from_millis(200),
        patience: Duration::from_millis(600),
        ..options(&broker, &history)
    })
    .await;
    let mut device = Device::new(&broker).await;
    // It was there before the recorder.
    device.read(9, [1_000]).await;
    device.confirmed(1_000 - 513).await;
    let mut next = 1_001;
    let settled = until("the beginning is settled", async || {
        device.read(9, [next]).await;
        next += 1;
        let gaps = history.gaps(&kitchen()).await.unwrap();
        gaps.is_empty().then_some(next)
    })
    .await;
    device.confirmed(settled - 1).await;
    // Two are lost.
    let lost = settled + 2;
    next = lost;
    until("they are given up", async || {
        device.read(9, [next]).await;
        next += 1;
        (recorder.figures().given_up == 2).then_some(())
    })
    .await;
    device.read(9, [next]).await;
    device.confirmed(next).await;
    let gaps = history.gaps(&kitchen()).await.unwrap();
    let gaps: Vec<_> = gaps
        .iter()
        .map(|gap| (gap.first, gap.last, gap.lost))
        .collect();
    assert_eq!(gaps, [(settled, settled + 1, true)]);
    recorder.shutdown().await;
}

/// The outage of a device that was lost with the hub would be told as of no time at all.
#[tokio::test]
async fn an_outage_begins_with_the_last_sign_of_life() {
    for killed in [false, true] {
        let (broker, dir) = (Mosquitto::start(""), tempfile::tempdir().unwrap());
        let history = open(dir.path()).await;
        let away = Arc::new(AtomicI64::new(0));
        let options = RecorderOptions {
            clock: clock(away.clone()),
            ..options(&broker, &history)
        };
        let first = recorder(options.clone()).await;
        let mut device = Device::new(&broker).await;
        say(&device.client, "status", "online").await;
        device.read(9, [1]).await;
        device.confirmed(1).await;
        let store = rusqlite::Connection::open(dir.path().join("history.db")).unwrap();
        until("a sign of life is stored", async || {
            let count = store.query_row("SELECT count(*) FROM listened", [], |row| row.get(0));
            (count == Ok(1)).then_some(())
        })
        .await;
        match killed {
            true => drop(first),
            false => first.shutdown().await,
        }
        let hour = 3_600_000;
        away.store(hour, Ordering::Relaxed);
        for status in ["offline", "online"] {
            say(&device.client, "status", status).await;
        }
        let second = recorder(options).await;
        let outages = async || history.outages(&kitchen(), 0, i64::MAX).await.unwrap();
        let outage = until("the outage is told", async || {
            let outages = outages().await.into_iter();
            outages.last().filter(|outage| outage.hub_away)
        })
        .await;
        let patience = i64::try_from(PATIENCE.as_millis()).unwrap();
        assert!(outage.from_ms < NOON + patience, "{outage:?}");
        assert!(outage.to_ms.unwrap() >= NOON + hour, "{outage:?}");
        // This one is seen.
        for status in ["offline", "online"] {
            say(&device.client, "status", status).await;
        }
        let seen = until("the next one is told", async || {
            let outages = outages().await;
            (outages.len() == 2).then(|| outages[1])
        })
        .await;
        assert!(!seen.hub_away && seen.from_ms >= NOON + hour, "{seen:?}");
        second.shutdown().await;
    }
}

/// A locked database would cost what came meanwhile, or confirm what is not stored.
#[tokio::test]
async fn a_database_that_is_locked_costs_time_and_nothing_else() {
    let (broker, dir) = (Mosquitto::start(""), tempfile::tempdir().unwrap());
    let history = open(dir.path()).await;
    let recorder = recorder(options(&broker, &history)).await;
    let mut device = Device::new(&broker).await;
    device.read(9, [1]).await;
    device.confirmed(1).await;
    let other = rusqlite::Connection::open(dir.path().join("history.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    device.read(9, 2..=200).await;
    let trouble = until("the trouble is told", async || {
        recorder.figures().store_trouble
    })
    .await;
    assert!(trouble.contains("locked by another program"), "{trouble}");
    assert_eq!(numbers(&history).await.len(), 1);
    other.execute_batch("COMMIT").unwrap();
    device.confirmed(200).await;
    let expected: BTreeSet<_> = (1..=200).map(|seq| (9, seq)).collect();
    assert_eq!(
        numbers(&history).await.into_iter().collect::<BTreeSet<_>>(),
        expected
    );
    assert_eq!(recorder.figures().store_trouble, None);
    recorder.shutdown().await;
}
