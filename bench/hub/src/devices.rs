//! Virtual devices, many in one process.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use aldis_pc::{BrokerUrl, Config, Report, VirtualDevice};
use anyhow::Result;
use serde_json::json;
use tokio::io::{AsyncReadExt, stdin};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{interval, sleep};

#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    broker: BrokerUrl,
    /// How many.
    #[arg(long)]
    count: u32,
    /// The number of the first of them.
    #[arg(long, default_value_t = 0)]
    first: u32,
    /// Seconds between two readings.
    #[arg(long, default_value_t = 5)]
    interval: u32,
    /// How many start each second.
    #[arg(long, default_value_t = 250)]
    starts: u32,
}

#[derive(Default)]
struct Counts {
    connected: u32,
    connections: u64,
    losses: u64,
    delivered: u64,
    ended: u64,
}

pub async fn run(args: Args) -> Result<()> {
    LocalSet::new().run_until(all(args)).await
}

async fn all(args: Args) -> Result<()> {
    let counts = Rc::new(RefCell::new(Counts::default()));
    let (end, ended) = watch::channel(false);
    let mut devices = Vec::new();
    let each = Duration::from_secs(1) / args.starts.max(1);
    for number in args.first..args.first + args.count {
        let text = format!(
            "id = \"v{number:05}\"\n[readout]\ntopic = false\ninterval_s = {}\n",
            args.interval
        );
        let config = Config::parse("bench", text.as_bytes())?;
        let mut device = VirtualDevice::new(config, args.broker.clone());
        device.seed = u64::from(number);
        let (counts, mut ended) = (counts.clone(), ended.clone());
        devices.push(tokio::task::spawn_local(async move {
            let end = async move {
                let _ = ended.wait_for(|ended| *ended).await;
            };
            let told = counts.clone();
            let mut connected = false;
            let outcome = device.run(
                move |report| told.borrow_mut().note(&report, &mut connected),
                end,
            );
            if let Err(error) = outcome.await {
                eprintln!("v{number:05}: {error}");
                counts.borrow_mut().ended += 1;
            }
        }));
        sleep(each).await;
    }
    let told = counts.clone();
    let telling = async move {
        let mut seconds = interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            let counts = told.borrow();
            println!(
                "{}",
                json!({
                    "connected": counts.connected,
                    "connections": counts.connections,
                    "losses": counts.losses,
                    "delivered": counts.delivered,
                    "ended": counts.ended,
                })
            );
        }
    };
    let mut nothing = Vec::new();
    let mut input = stdin();
    tokio::select! {
        () = telling => {}
        _ = input.read_to_end(&mut nothing) => {}
    }
    let _ = end.send(true);
    for device in devices {
        let _ = device.await;
    }
    Ok(())
}

impl Counts {
    fn note(&mut self, report: &Report, connected: &mut bool) {
        match report {
            Report::Connected(_) => {
                *connected = true;
                self.connected += 1;
                self.connections += 1;
            }
            Report::Lost { .. } => {
                self.connected -= u32::from(std::mem::take(connected));
                self.losses += 1;
            }
            Report::Delivered { .. } => self.delivered += 1,
            _ => {}
        }
    }
}
