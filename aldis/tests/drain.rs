//! After an outage the readings that were kept come faster than they arose.
#![cfg(unix)]

mod common;

use std::time::Duration;

use aldis_device::{Backlog, Board, Device, Memory, Notice, Recalled, Saved, Settings, Vitals};
use aldis_mqtt::Event;
use aldis_mqtt::link::tokio::{TcpConnector, TokioClock};
use aldis_mqtt::link::{Clock, Link};
use aldis_protocol::{Lamp, Reading};
use common::{Broker, Kind, Tools};
use tokio::time::{Instant, timeout};

/// How many readings a device keeps.
const KEPT: u32 = 512;

/// What is promised.
const PER_SECOND: u64 = 200;

/// A board without a sensor.
struct Bare;

impl Board for Bare {
    fn measure(&mut self) {}
    fn light(&mut self, _: Lamp) {}
    fn save(&mut self, _: &Saved) {}
    fn restart(&mut self) {}
    fn vitals(&mut self) -> Vitals {
        Vitals::default()
    }
    fn notice(&mut self, _: Notice<'_>) {}
}

/// Waits until nothing is kept any more, and says how long that took from the moment when the
/// broker accepted the connection.
async fn drain(port: u16) -> Duration {
    let settings = Settings::new("aldis", "drain").unwrap();
    let mut memory = Box::new(Memory::new());
    let mut backlog = Box::new(Backlog::new());
    let mut board = Bare;
    let clock = TokioClock::new();
    let (now, time) = (clock.now(), clock.clone());
    let saved = Saved {
        seq: KEPT + 1,
        ..Saved::default()
    };
    let mut mail = Box::new(aldis_device::Mail::new());
    let mut device: Device<'_> =
        Device::new(settings, saved, &mut backlog, &mut mail, now, &mut board);
    for seq in 1..=KEPT {
        device.recall(Recalled {
            seq,
            boot: 1,
            age_ms: (KEPT - seq) * 5_000,
            reading: Reading { t: 241, h: 265 },
        });
    }
    let mut session = memory.session(&settings, 1, now).unwrap();
    device.subscribe(&mut session).unwrap();
    let mut segment = [0; 1_400];
    let connector = TcpConnector::new("127.0.0.1", port);
    let mut link = Link::new(session, connector, clock).gather(&mut segment);
    let mut start = None;
    while device.backlog() > 0 || start.is_none() {
        let (session, now) = link.parts();
        let deadline = device.run(session, now, &mut board);
        let wait = Duration::from_millis(deadline.since(now));
        let Ok(event) = timeout(wait, link.next()).await else {
            continue;
        };
        if matches!(event, Event::Connected { .. }) {
            start = Some(Instant::now());
        }
        let reaction = device.event(&event, time.now(), &mut board);
        let (session, _) = link.parts();
        device.react(reaction, session, &mut board);
    }
    start.unwrap().elapsed()
}

fn drains(kind: Kind) {
    let broker = Broker::start(kind);
    let topic = "aldis/drain/climate";
    let count = KEPT.to_string();
    let mut seen = Tools::Aldis.sub(broker.port, &["-t", topic, "-q", "1", "-C", &count, "-d"]);
    seen.wait_for_text("Subscribed");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let promised = Duration::from_millis(u64::from(KEPT) * 1_000 / PER_SECOND);
    let took = runtime.block_on(async { timeout(promised * 10, drain(broker.port)).await });
    let took = took.expect("the readings do not come to an end");
    println!(
        "{kind:?}: {:.0} readings a second",
        f64::from(KEPT) / took.as_secs_f64()
    );
    assert!(
        took < promised,
        "{kind:?}: slower than {PER_SECOND} readings a second: {took:?}"
    );
    let (status, lines) = seen.finish();
    assert!(status.success(), "{lines:?}");
    let seqs: Vec<u32> = lines
        .iter()
        .filter_map(|line| {
            line.strip_prefix("{\"seq\":")?
                .split(',')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    assert_eq!(seqs, (1..=KEPT).collect::<Vec<_>>());
}

/// At one reading a second, an outage of a day would be felt for a day.
#[test]
fn a_backlog_drains_fast_to_mosquitto() {
    drains(Kind::Mosquitto);
}

#[test]
fn a_backlog_drains_fast_to_the_hub() {
    drains(Kind::Hub);
}
