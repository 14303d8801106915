//! Round trips per second on the loopback interface.
//!
//! Every client does the same exercises, in turns within one run, so that whatever else the
//! machine does meets all of them alike. Through mosquitto, which bounds what clients can reach:
//! - `acknowledged`: publish at QoS 1, wait for the acknowledgement, again;
//! - `echoed`: publish at QoS 1 to a topic that the client itself subscribes to at QoS 1, wait
//!   for the message, again;
//! - `windowed`: as `acknowledged` with several publications under way at once, which leaves less
//!   waiting and more of the clients' own work.
//!
//! With a broker that only answers, so that the clients are the bound:
//! - `answered`: as `acknowledged`;
//! - `pipelined`: as `windowed`.
//!
//! `bench-roundtrip [ROUNDS] [MILLISECONDS]` prints one JSON object per client and exercise with
//! the rate of every round.

mod bare;
mod broker;
mod ours;
mod reflex;
mod rumqttc;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::broker::Mosquitto;

/// The payload of every message.
const PAYLOAD: [u8; 32] = *b"t=24.1C, h=26.5%. seq=0000012345";

/// Bytes in our receive buffer, and in our outbox.
const BUFFER: usize = 1024;

/// How long a single round trip, a connection or a subscription may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many publications `windowed` has under way at once.
const WINDOW: u32 = 8;

/// A connected client with one subscription.
trait Client {
    /// Publishes at QoS 1 to a topic without subscribers and returns once it is acknowledged.
    async fn acknowledged(&mut self) -> Result<()>;

    /// Publishes at QoS 1 to its own subscription and returns once the message is back and the
    /// publication acknowledged.
    async fn echoed(&mut self) -> Result<()>;

    /// Publishes [`WINDOW`] messages at QoS 1 and returns once all are acknowledged.
    async fn windowed(&mut self) -> Result<()>;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Exercise {
    Acknowledged,
    Echoed,
    Windowed,
    Answered,
    Pipelined,
}

impl Exercise {
    const THROUGH_MOSQUITTO: [Self; 3] = [Self::Acknowledged, Self::Echoed, Self::Windowed];
    const ONLY_ANSWERED: [Self; 2] = [Self::Answered, Self::Pipelined];

    /// Round trips in one go.
    fn trips(self) -> u32 {
        match self {
            Self::Acknowledged | Self::Echoed | Self::Answered => 1,
            Self::Windowed | Self::Pipelined => WINDOW,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Echoed => "echoed",
            Self::Windowed => "windowed",
            Self::Answered => "answered",
            Self::Pipelined => "pipelined",
        }
    }
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| match args.next() {
        Some(arg) => arg
            .parse()
            .with_context(|| format!("`{arg}` is not a number")),
        None => Ok(default),
    };
    let rounds = number(10)?;
    let length = Duration::from_millis(number(250)?);

    let broker = Mosquitto::start()?;
    let reflex = reflex::start()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let exercises = &Exercise::THROUGH_MOSQUITTO;
            compare(broker.port(), exercises, rounds, length).await?;
            compare(reflex, &Exercise::ONLY_ANSWERED, rounds, length).await
        })
}

/// Lets the clients take turns at each exercise with the broker at `port`.
async fn compare(port: u16, exercises: &[Exercise], rounds: u64, length: Duration) -> Result<()> {
    let (mut receive, mut outbox, mut gather) = ([0; BUFFER], [0; BUFFER], [0; BUFFER]);
    let mut slots = [aldis_mqtt::Slot::EMPTY; 12];
    let mut ours =
        ours::Device::connect(port, &mut receive, &mut outbox, &mut slots, &mut gather).await?;
    let mut rumqttc = rumqttc::Device::connect(port).await?;
    let mut bare = bare::Device::connect(port).await?;
    for &exercise in exercises {
        let mut rates = [vec![], vec![], vec![]];
        // The first round is to warm up.
        for round in 0..=rounds {
            let measured = [
                rate(&mut ours, exercise, length).await?,
                rate(&mut rumqttc, exercise, length).await?,
                rate(&mut bare, exercise, length).await?,
            ];
            if round > 0 {
                for (rates, rate) in rates.iter_mut().zip(measured) {
                    rates.push(rate);
                }
            }
        }
        for (client, rates) in ["aldis-mqtt", "rumqttc", "bare"].into_iter().zip(&rates) {
            report(client, exercise, rates);
        }
    }
    Ok(())
}

/// Round trips per second, measured for about `length`.
async fn rate(client: &mut impl Client, exercise: Exercise, length: Duration) -> Result<f64> {
    let start = Instant::now();
    let mut trips = 0_u32;
    while start.elapsed() < length {
        let trip = async {
            match exercise {
                Exercise::Acknowledged | Exercise::Answered => client.acknowledged().await,
                Exercise::Echoed => client.echoed().await,
                Exercise::Windowed | Exercise::Pipelined => client.windowed().await,
            }
        };
        tokio::time::timeout(PATIENCE, trip)
            .await
            .context("the broker did not answer in time")??;
        trips += exercise.trips();
    }
    Ok(f64::from(trips) / start.elapsed().as_secs_f64())
}

fn report(client: &str, exercise: Exercise, rates: &[f64]) {
    let rates: Vec<_> = rates.iter().map(|rate| rate.round() as u64).collect();
    let line = serde_json::json!({
        "client": client,
        "exercise": exercise.name(),
        "per_second": rates,
    });
    println!("{line}");
}
