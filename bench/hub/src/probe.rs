//! How long a message takes through the broker, and a command until the lamp's echo.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aldis_client::{Client, Event, Events, Options, Publish, QoS, start};
use aldis_pc::BrokerUrl;
use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::{interval, sleep, timeout};

#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    broker: BrokerUrl,
    /// How many virtual devices there are.
    #[arg(long)]
    devices: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

const TOPIC: &str = "probe/round";
/// How long it may take until every device's state has come.
const SETTLES: Duration = Duration::from_secs(60);

pub async fn run(args: Args) -> Result<()> {
    let options = Options::new(crate::broker(&args.broker), "probe")
        .subscribe(TOPIC, QoS::AtLeastOnce)
        .subscribe("aldis/+/led", QoS::AtLeastOnce);
    let (client, mut events) = start(options)?;
    let mut lit = timeout(SETTLES, lamps(&client, &mut events, args.devices))
        .await
        .context("not every lamp's state is at the broker")??;
    let mut messages = interval(Duration::from_millis(10));
    let mut commands = interval(Duration::from_millis(50));
    let end = sleep(Duration::from_secs(args.seconds));
    tokio::pin!(end);
    let mut sent: HashMap<u64, Instant> = HashMap::new();
    let mut told: HashMap<u32, (Instant, &str)> = HashMap::new();
    let (mut rounds, mut echoes) = (Vec::new(), Vec::new());
    let mut next = 0_u64;
    let mut losses = 0;
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = messages.tick() => {
                sent.insert(next, Instant::now());
                let publish = Publish::new(TOPIC, next.to_string());
                next += 1;
                let client = client.clone();
                tokio::spawn(async move { client.publish(publish).await });
            }
            _ = commands.tick() => {
                let number = fastrand::u32(..args.devices);
                if told.contains_key(&number) {
                    continue;
                }
                let on = !lit.get(&number).copied().unwrap_or(false);
                let word = if on { "on" } else { "off" };
                told.insert(number, (Instant::now(), word));
                let publish = Publish::new(format!("aldis/v{number:05}/led/set"), word);
                let client = client.clone();
                tokio::spawn(async move { client.publish(publish).await });
            }
            event = events.next() => match event.context("the client has ended")? {
                Event::Disconnected { .. } => losses += 1,
                Event::Message(message) => {
                    let now = Instant::now();
                    client.acknowledge(message.token.into_iter().collect());
                    let text = std::str::from_utf8(&message.payload)?;
                    if message.topic == TOPIC {
                        if let Some(at) = text.parse().ok().and_then(|n| sent.remove(&n)) {
                            rounds.push(now - at);
                        }
                    } else if let Some(number) = number(&message.topic) {
                        lit.insert(number, text == "on");
                        if let Some((at, word)) = told.get(&number).copied()
                            && word == text
                            && !message.retain
                        {
                            told.remove(&number);
                            echoes.push(now - at);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    println!(
        "{}",
        json!({
            "message_ms": crate::quantiles::milliseconds(rounds),
            "command_ms": crate::quantiles::milliseconds(echoes),
            "unanswered": told.len(),
            "losses": losses,
        })
    );
    Ok(())
}

/// The state of every lamp. The broker has them retained and delivers them all at once; what is
/// measured must not stand behind them.
async fn lamps(client: &Client, events: &mut Events, devices: u32) -> Result<HashMap<u32, bool>> {
    let mut lit = HashMap::new();
    while lit.len() < devices as usize {
        if let Event::Message(message) = events.next().await.context("the client has ended")? {
            client.acknowledge(message.token.into_iter().collect());
            if let Some(number) = number(&message.topic) {
                lit.insert(number, message.payload == b"on".as_slice());
            }
        }
    }
    Ok(lit)
}

fn number(topic: &str) -> Option<u32> {
    topic
        .strip_prefix("aldis/v")?
        .strip_suffix("/led")?
        .parse()
        .ok()
}
