//! A hub to look at: broker, history, dashboard and devices that are made up, on free ports.
//!
//! ```sh
//! cargo run -p aldis-dashboard --example serve -- [--devices 6] [--days 30] [--listen 127.0.0.1:8080]
//! ```
//!
//! It prints the dashboard's address and the owner's password. Of the devices `kitchen` does
//! everything, `attic` refuses its lamp, `cellar` is connected and never answers, `garden` has no
//! sensor, `shed` is offline; the others are like `kitchen`. One that is removed is silent for five
//! seconds and then a new one. Ctrl-C ends it; nothing is kept.

mod device;
mod past;
mod record;

use std::net::SocketAddr;
use std::sync::Arc;

use aldis_client::Broker;
use aldis_dashboard::{
    Dashboard, DashboardOptions, Machine, OwnerHash, Process, Recorder, Vitals, fixed_names,
    fixed_urls, system_clock,
};
use aldis_history::{DeviceKey, History};
use aldis_hub::{Hub, HubConfig, hash_password};

const PASSWORD: &str = "lighthouse-keeper";

type Error = Box<dyn std::error::Error>;

struct Arguments {
    devices: u32,
    days: i64,
    every_ms: u64,
    listen: SocketAddr,
}

impl Arguments {
    fn read() -> Result<Self, Error> {
        let mut read = Self {
            devices: 6,
            days: 30,
            every_ms: 5_000,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            let value = words
                .next()
                .ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--devices" => read.devices = value.parse()?,
                "--days" => read.days = value.parse()?,
                "--every-ms" => read.every_ms = value.parse()?,
                "--listen" => read.listen = value.parse()?,
                _ => {
                    return Err(format!(
                        "{flag}: there are --devices, --days, --every-ms and --listen"
                    )
                    .into());
                }
            }
        }
        Ok(read)
    }
}

struct Shown {
    process: Process,
    recorder: Arc<record::Figures>,
}

impl Vitals for Shown {
    fn machine(&self) -> Machine {
        self.process.look()
    }

    fn recorder(&self) -> Option<Recorder> {
        Some(self.recorder.look())
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::read()?;
    let dir = tempfile::tempdir()?;
    let hub = Hub::start(HubConfig::ephemeral()).await?;
    let mqtt = hub.mqtt_addr();
    let broker = Broker::new(mqtt.ip().to_string(), mqtt.port());

    let path = dir.path().join("history.db");
    let history = History::open(&path.to_string_lossy()).await?;
    let now = system_clock();
    let names = device::names(arguments.devices);
    // A past for the first few: a thousand would take minutes.
    for (at, name) in names.iter().take(6).enumerate() {
        let key = DeviceKey::new("aldis", name)?;
        past::make(&history, &key, at, now(), arguments.days).await?;
    }
    history.roll_up(now()).await?;
    history
        .rename(&DeviceKey::new("aldis", "kitchen")?, Some("Kitchen"))
        .await?;

    let figures = Arc::new(record::Figures::default());
    let _recorder = record::start(
        broker.clone(),
        history.clone(),
        figures.clone(),
        now.clone(),
    )?;
    let dashboard = Dashboard::start(DashboardOptions {
        listen: arguments.listen,
        tls: None,
        name: "example".to_owned(),
        broker: broker.clone(),
        prefixes: vec!["aldis".to_owned()],
        history: history.clone(),
        owner: Arc::new(OwnerHash::new(hash_password(PASSWORD)?)),
        vitals: Arc::new(Shown {
            process: Process::new(dir.path()),
            recorder: figures,
        }),
        ca_pem: None,
        urls: fixed_urls(vec![
            "https://192.168.1.5:8443".to_owned(),
            "https://hub.local:8443".to_owned(),
        ]),
        names: fixed_names([]),
        sessions: Some(dir.path().join("sessions.json")),
        now,
    })
    .await?;
    let removed = device::Removed::listen(broker.clone())?;
    for name in names {
        device::start(broker.clone(), removed.clone(), name, arguments.every_ms)?;
    }
    println!("dashboard http://{}", dashboard.addr());
    println!("password  {PASSWORD}");
    println!("broker    mqtt://{mqtt}");
    tokio::signal::ctrl_c().await?;
    dashboard.shutdown().await;
    history.close().await;
    hub.shutdown().await;
    Ok(())
}
