//! How soon a reading is at a browser after it was published, and how soon a chart is there.
//!
//! ```sh
//! cargo run --release -p aldis-dashboard --example latency -- [--browsers 50] [--devices 1000] [--readings 500]
//! cargo run --release -p aldis-dashboard --example latency -- --year
//! ```
//!
//! Broker, dashboard, devices and browsers are in this one process, on loopback. With `--year` a
//! year of one device's readings, one each five seconds, is stored first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aldis_client::{Broker, Client, Options, Publish};
use aldis_dashboard::{
    Dashboard, DashboardOptions, Machine, OwnerHash, Process, Recorder, Vitals, fixed_names,
    fixed_urls, system_clock,
};
use aldis_history::{Arrival, DeviceKey, History, Taken, What};
use aldis_hub::{Hub, HubConfig, hash_password};
use aldis_protocol::{Climate, Reading};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const PASSWORD: &str = "measured";
const DAY_MS: i64 = 86_400_000;

type Error = Box<dyn std::error::Error + Send + Sync>;

struct Arguments {
    browsers: usize,
    devices: u32,
    readings: u32,
    year: bool,
}

impl Arguments {
    fn read() -> Result<Self, Error> {
        let mut read = Self {
            browsers: 50,
            devices: 1000,
            readings: 500,
            year: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            if flag == "--year" {
                read.year = true;
                continue;
            }
            let value = words
                .next()
                .ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--browsers" => read.browsers = value.parse()?,
                "--devices" => read.devices = value.parse()?,
                "--readings" => read.readings = value.parse()?,
                _ => {
                    return Err(format!(
                        "{flag}: there are --browsers, --devices, --readings and --year"
                    )
                    .into());
                }
            }
        }
        Ok(read)
    }
}

struct Nothing;

impl Vitals for Nothing {
    fn machine(&self) -> Machine {
        Machine::default()
    }

    fn recorder(&self) -> Option<Recorder> {
        None
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::read()?;
    let dir = tempfile::tempdir()?;
    let hub = Hub::start(HubConfig::ephemeral()).await?;
    let broker = Broker::new("127.0.0.1", hub.mqtt_addr().port());
    let history = History::open(&dir.path().join("history.db").to_string_lossy()).await?;
    let now = system_clock();
    if arguments.year {
        store_a_year(&history, now()).await?;
    }
    let dashboard = Dashboard::start(DashboardOptions {
        listen: "127.0.0.1:0".parse()?,
        tls: None,
        name: "measured".to_owned(),
        broker: broker.clone(),
        prefixes: vec!["aldis".to_owned()],
        history: history.clone(),
        owner: Arc::new(OwnerHash::new(hash_password(PASSWORD)?)),
        vitals: Arc::new(Nothing),
        ca_pem: None,
        urls: fixed_urls(Vec::new()),
        names: fixed_names([]),
        sessions: None,
        now: now.clone(),
    })
    .await?;
    let addr = dashboard.addr();
    let cookie = sign_in(addr).await?;
    if arguments.year {
        charts(addr, &cookie, now()).await?;
    } else {
        let process = Process::new(dir.path());
        live(addr, &cookie, &broker, &arguments, &process).await?;
    }
    dashboard.shutdown().await;
    history.close().await;
    hub.shutdown().await;
    Ok(())
}

async fn live(
    addr: SocketAddr,
    cookie: &str,
    broker: &Broker,
    arguments: &Arguments,
    process: &Process,
) -> Result<(), Error> {
    let (client, mut events) = aldis_client::start(Options::new(broker.clone(), "devices"))?;
    while !client.is_connected() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::spawn(async move { while events.next().await.is_some() {} });
    let mut seq = 0;
    for device in 0..arguments.devices {
        seq += 1;
        say(&client, device, seq).await?;
    }
    while !json(addr, cookie, "/api/devices")
        .await?
        .contains(&format!("aldis/d{}\"", arguments.devices.saturating_sub(1)))
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (seen, mut arrived) = mpsc::unbounded_channel();
    for _ in 0..arguments.browsers {
        let mut line = TcpStream::connect(addr).await?;
        let head = format!("GET /api/live HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\n\r\n");
        line.write_all(head.as_bytes()).await?;
        let seen = seen.clone();
        tokio::spawn(async move {
            let mut some = vec![0; 64 << 10];
            let mut text = Vec::new();
            while let Ok(count @ 1..) = line.read(&mut some).await {
                let at = Instant::now();
                text.extend_from_slice(&some[..count]);
                while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                    let event: Vec<u8> = text.drain(..end + 2).collect();
                    // The humidity is the number by which a reading is known here.
                    let event = String::from_utf8_lossy(&event).into_owned();
                    if event.contains("event: reading")
                        && let Some((_, rest)) = event.split_once("\"h\":")
                        && let Some(h) = rest.split(',').next().and_then(|h| h.parse::<f64>().ok())
                    {
                        let _ = seen.send(((h * 10.0).round() as u32, at));
                    }
                }
            }
        });
    }
    // Streams are open when they say hello; give each its first reading.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = process.look();
    let began = Instant::now();
    let pause = Duration::from_secs(5) / arguments.devices.max(1);
    let mut latencies = Vec::new();
    let mut published = Vec::new();
    for n in 0..arguments.readings {
        seq += 1;
        published.push(Instant::now());
        say_as(&client, n % arguments.devices, seq, u16::try_from(n)?).await?;
        tokio::time::sleep(pause).await;
    }
    while latencies.len() < published.len() * arguments.browsers {
        let (n, at) = tokio::time::timeout(Duration::from_secs(10), arrived.recv())
            .await
            .map_err(|_| {
                format!(
                    "{} readings did not arrive",
                    published.len() * arguments.browsers - latencies.len()
                )
            })?
            .ok_or("no browser is left")?;
        if let Some(published) = published.get(n as usize) {
            latencies.push(at.saturating_duration_since(*published));
        }
    }
    latencies.sort_unstable();
    let of = |share: usize| latencies[(latencies.len() - 1) * share / 100];
    let after = process.look();
    println!(
        "{} devices, {} browsers, {:.0} readings/s: p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms; {} MB, {:.0} % of a core",
        arguments.devices,
        arguments.browsers,
        f64::from(arguments.readings) / began.elapsed().as_secs_f64(),
        of(50).as_secs_f64() * 1e3,
        of(99).as_secs_f64() * 1e3,
        of(100).as_secs_f64() * 1e3,
        after.memory_bytes.unwrap_or(0) / 1_000_000,
        after.cpu_percent.unwrap_or(0.0),
    );
    let began = Instant::now();
    let devices = json(addr, cookie, "/api/devices").await?;
    println!(
        "/api/devices: {} bytes in {:.1} ms",
        devices.len(),
        began.elapsed().as_secs_f64() * 1e3
    );
    let _ = before;
    Ok(())
}

async fn say(client: &Client, device: u32, seq: u32) -> Result<(), Error> {
    say_as(client, device, seq, 9_999).await
}

async fn say_as(client: &Client, device: u32, seq: u32, h: u16) -> Result<(), Error> {
    let climate = Climate {
        seq,
        life: 7,
        boot: 1,
        taken: None,
        age_ms: 0,
        reading: Reading { t: 215, h },
    };
    let mut buffer = [0; Climate::MAX_LEN];
    let len = climate
        .encode(&mut buffer)
        .map_err(|error| error.to_string())?;
    let topic = format!("aldis/d{device}/climate");
    client.publish(Publish::new(topic, &buffer[..len])).await?;
    Ok(())
}

async fn store_a_year(history: &History, now: i64) -> Result<(), Error> {
    let device = DeviceKey::new("aldis", "year")?;
    let start = now - 365 * DAY_MS;
    let mut at = start;
    let mut seq = 0;
    let began = Instant::now();
    while at < now {
        let mut batch = Vec::with_capacity(5_000);
        while batch.len() < 5_000 && at < now {
            at += 5_000;
            seq += 1;
            let day = (at % DAY_MS) as f64 / DAY_MS as f64 * std::f64::consts::TAU;
            batch.push(Arrival {
                device: device.clone(),
                received_ms: at,
                what: What::Reading(Taken {
                    life: 7,
                    seq,
                    boot: 1,
                    taken_ms: at,
                    exact: true,
                    reading: Reading {
                        t: (210.0 + 40.0 * day.sin() + f64::from(seq % 7)) as i16,
                        h: (450.0 - 80.0 * day.sin()) as u16,
                    },
                }),
            });
        }
        history.commit(&batch).await?;
    }
    history.roll_up(now).await?;
    println!(
        "{seq} readings stored and rolled up in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn charts(addr: SocketAddr, cookie: &str, now: i64) -> Result<(), Error> {
    while !json(addr, cookie, "/api/devices")
        .await?
        .contains("aldis/year")
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("chart of 800 points, 20 different stretches each:");
    for (name, days) in [
        ("year", 365.0),
        ("month", 30.0),
        ("week", 7.0),
        ("day", 1.0),
        ("hour", 1.0 / 24.0),
    ] {
        let width = (days * DAY_MS as f64) as i64;
        let mut times = Vec::new();
        let (mut bytes, mut points) = (0, 0);
        for n in 0..20 {
            let to = if days > 300.0 {
                now - n * 1_000
            } else {
                now - n * 7 * DAY_MS
            };
            let path = format!(
                "/api/devices/aldis%2Fyear/chart?from={}&to={to}&points=800",
                to - width
            );
            let began = Instant::now();
            let chart = json(addr, cookie, &path).await?;
            times.push(began.elapsed());
            bytes = bytes.max(chart.len());
            points = points.max(
                chart
                    .split("\"t_min\"")
                    .next()
                    .map_or(0, |head| head.matches(',').count()),
            );
        }
        times.sort_unstable();
        println!(
            "{name:>6}: median {:.1} ms, worst {:.1} ms, {points} points, {bytes} bytes",
            times[10].as_secs_f64() * 1e3,
            times[19].as_secs_f64() * 1e3,
        );
    }
    Ok(())
}

async fn ask(addr: SocketAddr, request: String) -> Result<String, Error> {
    let mut line = TcpStream::connect(addr).await?;
    line.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    line.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer)?)
}

async fn json(addr: SocketAddr, cookie: &str, path: &str) -> Result<String, Error> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n"
    );
    let answer = ask(addr, request).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(format!("{path}: {head} {body}").into());
    }
    Ok(body.to_owned())
}

async fn sign_in(addr: SocketAddr) -> Result<String, Error> {
    let body = format!(r#"{{"password":"{PASSWORD}"}}"#);
    let request = format!(
        "POST /api/session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(addr, request).await?;
    let cookie = answer
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.and_then(|cookie| cookie.split(';').next());
    Ok(cookie.ok_or("the password was refused")?.to_owned())
}
