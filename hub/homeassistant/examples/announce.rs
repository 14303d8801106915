//! Announces the devices of a broker on this machine until it is ended:
//! `cargo run -p aldis-homeassistant --example announce -- PORT`; with `--withdraw` behind
//! it, it takes away what it has announced.

use aldis_client::Broker;
use aldis_homeassistant::{HomeAssistant, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().unwrap_or_else(|| "1883".to_owned());
    let options = Options {
        withdraw: arguments.next().as_deref() == Some("--withdraw"),
        configuration_url: Some("http://127.0.0.1:8080/#/devices/{key}".to_owned()),
        ..Options::new(Broker::new("127.0.0.1", port.parse()?))
    };
    let running = HomeAssistant::start(options)?;
    match running.withdrawn().await {
        Some(count) => println!("{count} devices were removed"),
        None => println!("ended"),
    }
    Ok(())
}
