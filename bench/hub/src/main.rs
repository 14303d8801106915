//! Loads for a hub. Each prints one JSON object.

mod devices;
mod load;
mod probe;
mod quantiles;

use aldis_client::Broker;
use aldis_pc::BrokerUrl;
use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
enum Load {
    /// Publish readings as fast as they are acknowledged.
    Publish(load::Args),
    /// Run virtual devices until standard input ends.
    Devices(devices::Args),
    /// Measure how long messages and commands take.
    Probe(probe::Args),
}

fn main() -> Result<()> {
    let load = Load::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match load {
            Load::Publish(args) => load::run(args).await,
            Load::Devices(args) => devices::run(args).await,
            Load::Probe(args) => probe::run(args).await,
        }
    })
}

fn broker(url: &BrokerUrl) -> Broker {
    Broker::new(url.host.clone(), url.port)
}
