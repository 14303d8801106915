//! How long paired devices take to be let in again after a restart of the hub, all at once.
//!
//! `cargo run --release -p aldis-hub --example comeback -- 10000`

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aldis_hub::{Device, DevicePassword, Hub, HubConfig, Keyring, Keys, OWNER, hash_password};

/// How many devices knock at a time.
const AT_ONCE: usize = 64;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = match std::env::args().nth(1) {
        Some(count) => count.parse()?,
        None => 10_000,
    };
    let mut keys = Keys {
        owner: Some(hash_password("the owner's own")?),
        ..Keys::default()
    };
    let mut devices = Vec::new();
    let begin = Instant::now();
    for number in 0..count {
        let (id, password) = (format!("device-{number}"), DevicePassword::generate());
        keys.devices
            .insert(id.clone(), Device::new(password.hash()?));
        devices.push((id, password.expose().to_owned()));
    }
    println!("{count} keys made in {:?}", begin.elapsed());
    let hub = Hub::start(HubConfig {
        keys: Some(Keyring::in_memory(keys)),
        ..HubConfig::ephemeral()
    })
    .await?;
    let addr = hub.mqtt_addr();
    for round in ["first", "second"] {
        let (took, slowest) = all(addr, &devices)?;
        println!("{round} time: {count} devices in {took:?}, the slowest {slowest:?}");
    }
    let owners = vec![(OWNER.to_owned(), "the owner's own".to_owned())];
    for round in ["first", "second"] {
        let (took, _) = all(addr, &owners)?;
        println!("the owner, {round} time: {took:?}");
    }
    hub.shutdown().await;
    Ok(())
}

/// Lets each of them in once; how long all and the slowest took.
fn all(addr: SocketAddr, devices: &[(String, String)]) -> Result<(Duration, Duration), String> {
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    let slowest = std::thread::scope(|scope| {
        let knockers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    let mut slowest = Duration::ZERO;
                    while let Some((id, password)) =
                        devices.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let begin = Instant::now();
                        knock(addr, id, password).map_err(|error| error.to_string())?;
                        slowest = slowest.max(begin.elapsed());
                    }
                    Ok(slowest)
                })
            })
            .collect();
        knockers
            .into_iter()
            .map(|knocker| {
                knocker
                    .join()
                    .unwrap_or_else(|_| Err("it panicked".to_owned()))
            })
            .try_fold(Duration::ZERO, |most, one| one.map(|one| most.max(one)))
    })?;
    Ok((begin.elapsed(), slowest))
}

/// Connects and waits for the CONNACK.
fn knock(addr: SocketAddr, id: &str, password: &str) -> std::io::Result<()> {
    let mut body = b"\x00\x04MQTT\x04\xc2\x00\x00".to_vec();
    for text in [id, id, password] {
        let len = u16::try_from(text.len()).map_err(std::io::Error::other)?;
        body.extend(len.to_be_bytes());
        body.extend(text.bytes());
    }
    let mut packet = vec![
        0x10,
        u8::try_from(body.len()).map_err(std::io::Error::other)?,
    ];
    packet.extend(body);
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(&packet)?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack)?;
    match connack {
        [0x20, 2, _, 0] => Ok(()),
        _ => Err(std::io::Error::other(format!(
            "{id} is refused: {connack:?}"
        ))),
    }
}
