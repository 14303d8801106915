//! Stores what the made-up devices say, so that charts grow. The hub's recorder does it whole.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use aldis_client::{Broker, Client, ClientError, Event, Options, QoS, start as connect};
use aldis_dashboard::{Clock, Recorder};
use aldis_history::{Arrival, DeviceKey, Diag, History, Message, Report, Taken, What};
use aldis_protocol::{Availability, Climate, Lamp, MessageReport, Scratch, SensorState, Topic};
use tokio::time::interval;

#[derive(Debug, Default)]
pub struct Figures(Mutex<Recorder>);

impl Figures {
    pub fn look(&self) -> Recorder {
        self.0
            .lock()
            .map(|figures| figures.clone())
            .unwrap_or_default()
    }
}

pub fn start(
    broker: Broker,
    history: History,
    figures: Arc<Figures>,
    now: Clock,
) -> Result<Client, ClientError> {
    let options = Options::new(broker, "example-recorder").subscribe("aldis/#", QoS::AtLeastOnce);
    let (client, mut events) = connect(options)?;
    let acknowledging = client.clone();
    tokio::spawn(async move {
        let mut batch = Vec::new();
        let mut tick = interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::Message(message)) => {
                        batch.extend(arrival(&message, now()));
                        acknowledging.acknowledge(message.token.into_iter().collect());
                    }
                    Some(_) => {}
                    None => return,
                },
                _ = tick.tick() => {
                    let committed = history.commit(&batch).await;
                    if let Ok(mut figures) = figures.0.lock() {
                        figures.running = committed.is_ok();
                        figures.waiting = 0;
                        figures.error = committed.as_ref().err().map(ToString::to_string);
                        figures.last_commit_ms = Some(now());
                        for series in committed.iter().flat_map(|committed| &committed.series) {
                            figures.stored += series.new;
                            figures.repeated += series.repeated;
                        }
                    }
                    if committed.is_ok() {
                        batch.clear();
                    }
                }
            }
        }
    });
    Ok(client)
}

fn arrival(message: &aldis_client::Message, now: i64) -> Option<Arrival> {
    let (id, topic) = Topic::parse("aldis", &message.topic)?;
    let payload = &message.payload;
    let mut scratch = Scratch::new();
    let what = match topic {
        Topic::Status => What::Status(Availability::decode(payload)?),
        Topic::Led => What::Led(Lamp::decode(payload)?),
        Topic::Sensor => What::Sensor(SensorState::decode(payload)?),
        _ if message.retain => return None,
        Topic::Climate => {
            let climate = Climate::decode(payload).ok()?;
            What::Reading(Taken {
                life: climate.life.into(),
                seq: climate.seq,
                boot: climate.boot,
                taken_ms: now - i64::try_from(climate.age_ms).ok()?,
                exact: true,
                reading: climate.reading,
            })
        }
        Topic::Diag => {
            let body = std::str::from_utf8(payload).ok()?;
            let diag = aldis_protocol::Diag::decode(payload).ok()?;
            What::Diag(Box::new(Diag::of(0, &diag, body)))
        }
        Topic::MessageSet => {
            let message = aldis_protocol::Message::decode(payload, &mut scratch).ok()?;
            What::Message(Message {
                id: message.id.map(str::to_owned),
                from: message.from.map(str::to_owned),
                text: message.text.to_owned(),
            })
        }
        Topic::MessageState => {
            let report = MessageReport::decode(payload, &mut scratch).ok()?;
            What::MessageState(Report {
                id: report.id.map(str::to_owned),
                state: report.state,
                at_ms: now,
                reason: report.reason.map(str::to_owned),
            })
        }
        _ => return None,
    };
    Some(Arrival {
        device: DeviceKey::new("aldis", id).ok()?,
        received_ms: now,
        received: Some(message.received),
        what,
    })
}
