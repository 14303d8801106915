//! A device that is made up: what it says is encoded as a real one encodes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aldis_client::{
    Broker, Client, ClientError, Event, Events, Message, Options, Publish, QoS, start as connect,
};
use aldis_protocol::{
    Answer, Climate, Diag, Dropped, Lamp, LampCommand, MessageReport, MessageState, Reading,
    Reconnects, ResetReason, Scratch, decode_command,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// For how long a device that was removed says nothing.
const AWAY: Duration = Duration::from_secs(5);

/// The devices that have something of their own, and as many more as are wanted.
pub fn names(count: u32) -> Vec<String> {
    let special = ["kitchen", "attic", "cellar", "garden", "shed"];
    let special = special.into_iter().map(str::to_owned);
    let more = (1_u32..).map(|n| format!("room-{n}"));
    special.chain(more).take(count as usize).collect()
}

/// What the weather and the heating make of a time.
pub fn climate(at_ms: i64, place: u64) -> Reading {
    let day = at_ms as f64 / 86_400_000.0 * std::f64::consts::TAU;
    let own = place as f64 * 0.7;
    let noise = fastrand::f64() - 0.5;
    let t = 215.0
        + 10.0 * own.sin()
        + 25.0 * (day + own).sin()
        + 12.0 * (day / 7.3).sin()
        + 2.0 * noise;
    let h = 480.0 - 60.0 * (day + own).sin() + 40.0 * (day / 5.1).cos() + 4.0 * noise;
    Reading {
        t: t as i16,
        h: h as u16,
    }
}

/// Who was removed, and when: what is kept of its status is cleared then.
#[derive(Clone, Debug, Default)]
pub struct Removed(Arc<Mutex<BTreeMap<String, Instant>>>);

impl Removed {
    /// Begins to listen.
    pub fn listen(broker: Broker) -> Result<Self, ClientError> {
        let options = Options::new(broker, "example-removed");
        let (client, mut events) = connect(options.subscribe("aldis/+/status", QoS::AtLeastOnce))?;
        let removed = Self::default();
        let noted = removed.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let Event::Message(message) = event else {
                    continue;
                };
                if let (true, Some(name)) =
                    (message.payload.is_empty(), message.topic.split('/').nth(1))
                {
                    let mut noted = noted.0.lock().unwrap_or_else(PoisonError::into_inner);
                    noted.insert(name.to_owned(), message.received);
                }
                client.acknowledge(message.token.into_iter().collect());
            }
        });
        Ok(removed)
    }

    /// Whether a device is to be silent.
    fn is_away(&self, name: &str) -> bool {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get(name).is_some_and(|at| at.elapsed() < AWAY)
    }
}

struct Device {
    client: Client,
    removed: Removed,
    was_away: bool,
    name: String,
    place: u64,
    lamp: Lamp,
    seq: u32,
}

/// Starts one.
pub fn start(
    broker: Broker,
    removed: Removed,
    name: String,
    every_ms: u64,
) -> Result<(), ClientError> {
    let status = format!("aldis/{name}/status");
    let options = Options {
        will: Some(Publish::new(status, "offline").retained()),
        ..Options::new(broker, name.clone())
    };
    let options = options
        .subscribe(format!("aldis/{name}/led/set"), QoS::ExactlyOnce)
        .subscribe(format!("aldis/{name}/message/set"), QoS::ExactlyOnce);
    let (client, events) = connect(options)?;
    let device = Device {
        client,
        removed,
        was_away: false,
        place: name
            .bytes()
            .fold(7, |sum, byte| sum * 31 % 1009 + u64::from(byte)),
        name,
        lamp: Lamp::Off,
        seq: 0,
    };
    tokio::spawn(device.run(events, Duration::from_millis(every_ms)));
    Ok(())
}

impl Device {
    async fn run(mut self, mut events: Events, every: Duration) {
        if self.name == "shed" {
            self.say("status", "offline", true).await;
            return std::future::pending().await;
        }
        // Not all of them at once.
        sleep(every.mul_f64(fastrand::f64())).await;
        self.greet().await;
        let mut readings = interval(every);
        readings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reports = interval(Duration::from_secs(60));
        let began = tokio::time::Instant::now();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::Message(message)) => self.heard(message).await,
                    Some(_) => {}
                    None => return,
                },
                _ = readings.tick() => self.tick().await,
                _ = reports.tick() => self.report(began.elapsed().as_secs()).await,
            }
        }
    }

    /// What the broker keeps of it.
    async fn greet(&self) {
        let sensor = match self.name.as_str() {
            "garden" => "missing",
            _ => "ok",
        };
        self.say("status", "online", true).await;
        self.say("sensor", sensor, true).await;
        self.say("led", self.lamp.as_str(), true).await;
    }

    async fn tick(&mut self) {
        if self.removed.is_away(&self.name) {
            self.was_away = true;
            return;
        }
        if std::mem::take(&mut self.was_away) {
            self.greet().await;
        }
        if self.name != "garden" {
            self.read().await;
        }
    }

    async fn say(&self, what: &str, payload: impl Into<Vec<u8>>, retain: bool) {
        if self.removed.is_away(&self.name) {
            return;
        }
        let publish = Publish {
            retain,
            ..Publish::new(format!("aldis/{}/{what}", self.name), payload)
        };
        if let Err(error) = self.client.publish(publish).await {
            eprintln!("{}: {error}", self.name);
        }
    }

    async fn read(&mut self) {
        self.seq += 1;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let climate = Climate {
            seq: self.seq,
            // Its memory was emptied: it counts anew.
            life: 78,
            boot: 3,
            taken: None,
            age_ms: 0,
            reading: climate(now.as_millis() as i64, self.place),
        };
        let mut buffer = [0; Climate::MAX_LEN];
        if let Ok(len) = climate.encode(&mut buffer) {
            self.say("climate", &buffer[..len], false).await;
        }
    }

    async fn report(&self, uptime_s: u64) {
        let diag = Diag {
            uptime_s: Some(uptime_s),
            boot: Some(3),
            reset: Some(ResetReason::Power),
            rssi_dbm: Some(-61),
            free: Some(120_000),
            free_min: Some(98_000),
            reconnects: Some(Reconnects {
                wifi: Some(2),
                tcp: Some(1),
                silent: Some(0),
                ..Reconnects::default()
            }),
            outbox: Some(0),
            dropped: Some(Dropped::default()),
            version: Some("0.1.0"),
            ..Diag::default()
        };
        let mut buffer = [0; 512];
        if let Ok(len) = diag.encode(&mut buffer) {
            self.say("diag", &buffer[..len], false).await;
        }
    }

    async fn heard(&mut self, message: Message) {
        self.client.acknowledge(message.token.into_iter().collect());
        if message.retain || self.name == "cellar" {
            return;
        }
        let mut scratch = Scratch::new();
        if message.topic.ends_with("/led/set") {
            let (id, command) = decode_command(&message.payload, &mut scratch);
            let id = id.map(str::to_owned);
            sleep(Duration::from_millis(80)).await;
            let outcome = match command {
                _ if self.name == "attic" => Err("the lamp is locked"),
                Ok(command) => {
                    self.lamp = match (command, self.lamp) {
                        (LampCommand::On, _) | (LampCommand::Toggle, Lamp::Off) => Lamp::On,
                        _ => Lamp::Off,
                    };
                    self.say("led", self.lamp.as_str(), true).await;
                    Ok(())
                }
                Err(reason) => Err(reason.as_str()),
            };
            let answer = Answer {
                id: id.as_deref(),
                outcome,
            };
            let mut buffer = [0; Answer::MAX_LEN];
            if let (Some(_), Ok(len)) = (&id, answer.encode(&mut buffer)) {
                self.say("answer", &buffer[..len], false).await;
            }
            return;
        }
        let (id, fate) = match aldis_protocol::Message::decode(&message.payload, &mut scratch) {
            Ok(message) => (message.id.map(str::to_owned), None),
            Err(refused) => (refused.id.map(str::to_owned), Some(refused.reason.as_str())),
        };
        if let Some(reason) = fate {
            return self
                .tell(id.as_deref(), MessageState::Refused, Some(reason))
                .await;
        }
        self.tell(id.as_deref(), MessageState::Received, None).await;
        sleep(Duration::from_millis(300)).await;
        self.tell(id.as_deref(), MessageState::Shown, None).await;
        sleep(Duration::from_secs(3)).await;
        let end = match self.name.as_str() {
            "attic" => MessageState::Expired,
            _ => MessageState::Read,
        };
        self.tell(id.as_deref(), end, None).await;
    }

    async fn tell(&self, id: Option<&str>, state: MessageState, reason: Option<&str>) {
        let report = MessageReport {
            id,
            state,
            age_ms: 0,
            reason,
        };
        let mut buffer = [0; MessageReport::MAX_LEN];
        if let Ok(len) = report.encode(&mut buffer) {
            self.say("message/state", &buffer[..len], false).await;
        }
    }
}
