//! Publishers of readings, as fast as the broker acknowledges.

use std::sync::Arc;
use std::time::Instant;

use aldis_client::{Event, Options, Publish, start};
use aldis_pc::BrokerUrl;
use aldis_protocol::{Climate, Reading};
use anyhow::{Context, Result};
use serde_json::json;
use tokio::sync::Semaphore;

#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    broker: BrokerUrl,
    /// How many publishers, each of which is a device.
    #[arg(long, default_value_t = 20)]
    devices: u32,
    /// How many readings each has.
    #[arg(long, default_value_t = 1_000)]
    readings: u32,
    /// How many of them may be unacknowledged.
    #[arg(long, default_value_t = 16)]
    window: usize,
}

pub async fn run(args: Args) -> Result<()> {
    let mut publishers = Vec::new();
    for number in 0..args.devices {
        let id = format!("load-{number}");
        let (client, mut events) = start(Options::new(crate::broker(&args.broker), &id))?;
        loop {
            match events.next().await.context("the client has ended")? {
                Event::Connected { .. } => break,
                Event::Disconnected { why } => anyhow::bail!("{id}: {why}"),
                _ => {}
            }
        }
        publishers.push((id, client, events));
    }
    let begun = Instant::now();
    let mut running = Vec::new();
    for (id, client, events) in publishers {
        let window = Arc::new(Semaphore::new(args.window));
        running.push(tokio::spawn(async move {
            let topic = format!("aldis/{id}/climate");
            for seq in 1..=args.readings {
                let permit = window.clone().acquire_owned().await?;
                let climate = Climate {
                    seq,
                    life: 1,
                    boot: 1,
                    taken: None,
                    age_ms: 0,
                    reading: Reading {
                        t: (seq % 400) as i16,
                        h: 500,
                    },
                };
                let mut payload = [0; Climate::MAX_LEN];
                let len = climate.encode(&mut payload).unwrap_or(0);
                let publish = Publish::new(topic.clone(), &payload[..len]);
                let client = client.clone();
                tokio::spawn(async move {
                    let published = client.publish(publish).await;
                    drop(permit);
                    published
                });
            }
            // All are acknowledged when all permits are back.
            let all = u32::try_from(args.window)?;
            let _all = window.acquire_many(all).await?;
            drop(events);
            anyhow::Ok(())
        }));
    }
    for publisher in running {
        publisher.await??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let published = u64::from(args.devices) * u64::from(args.readings);
    println!(
        "{}",
        json!({
            "published": published,
            "seconds": seconds,
            "per_second": published as f64 / seconds,
        })
    );
    Ok(())
}
