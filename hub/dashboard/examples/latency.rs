//! How soon a reading is at a browser after it was published, and how soon a chart is there.
//!
//! ```sh
//! cargo run --release -p aldis-dashboard --example latency -- [--browsers 50] [--devices 1000] [--readings 500]
//! cargo run --release -p aldis-dashboard --example latency -- --year
//! ```
//!
//! Broker, dashboard, devices and browsers are in this one process, on loopback. A browser here is
//! a connection that reads events; what a real one takes until the reading is on its screen is
//! measured by `npm run latency` in `web`, for which this is started with `--screen`. With `--year`
//! a year of one device's readings, one each five seconds, is stored first.

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
    screen: bool,
}

impl Arguments {
    fn read() -> Result<Self, Error> {
        let mut read = Self {
            browsers: 50,
            devices: 1000,
            readings: 500,
            year: false,
            screen: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            if flag == "--year" {
                read.year = true;
                continue;
            }
            if flag == "--screen" {
                read.screen = true;
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
                        "{flag}: there are --browsers, --devices, --readings, --year and --screen"
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
    } else if arguments.screen {
        let client = devices(addr, &cookie, &broker, &arguments).await?;
        screen(addr, &client, &arguments).await?;
    } else {
        let process = Process::new(dir.path());
        live(addr, &cookie, &broker, &arguments, &process).await?;
    }
    dashboard.shutdown().await;
    history.close().await;
    hub.shutdown().await;
    Ok(())
}

/// Connects, and has each device say something, so that the dashboard knows it.
async fn devices(
    addr: SocketAddr,
    cookie: &str,
    broker: &Broker,
    arguments: &Arguments,
) -> Result<Client, Error> {
    let (client, mut events) = aldis_client::start(Options::new(broker.clone(), "devices"))?;
    while !client.is_connected() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::spawn(async move { while events.next().await.is_some() {} });
    for device in 0..arguments.devices {
        say(&client, device, 1, FIRST).await?;
    }
    let last = format!("aldis/d{}\"", arguments.devices.saturating_sub(1));
    while !json(addr, cookie, "/api/devices").await?.contains(&last) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(client)
}

async fn live(
    addr: SocketAddr,
    cookie: &str,
    broker: &Broker,
    arguments: &Arguments,
    process: &Process,
) -> Result<(), Error> {
    let client = devices(addr, cookie, broker, arguments).await?;
    let (seen, mut arrived) = mpsc::unbounded_channel();
    for _ in 0..arguments.browsers {
        let mut line = TcpStream::connect(addr).await?;
        let head = format!("GET /api/live HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\n\r\n");
        line.write_all(head.as_bytes()).await?;
        tokio::spawn(listen(line, seen.clone()));
    }
    drop(seen);
    for _ in 0..arguments.browsers {
        let (heard, _) = next(&mut arrived).await?;
        if heard != Heard::Hello {
            return Err("a browser heard a reading before the hub's word".into());
        }
    }
    process.look();
    let began = Instant::now();
    let pause = Duration::from_secs(5) / arguments.devices.max(1);
    let mut published = Vec::new();
    for n in 0..arguments.readings {
        published.push(Instant::now());
        say(
            &client,
            n % arguments.devices,
            2 + n / arguments.devices,
            known_by(n)?,
        )
        .await?;
        tokio::time::sleep(pause).await;
    }
    let took = began.elapsed();
    let mut latencies = Vec::new();
    while latencies.len() < published.len() * arguments.browsers {
        if let (Heard::Reading(n), at) = next(&mut arrived).await?
            && let Some(published) = published.get(n)
        {
            latencies.push(at.saturating_duration_since(*published));
        }
    }
    latencies.sort_unstable();
    let machine = process.look();
    println!(
        "{} devices, {} browsers, {:.0} readings/s, from publishing until a browser has the event:",
        arguments.devices,
        arguments.browsers,
        f64::from(arguments.readings) / took.as_secs_f64(),
    );
    println!("  {}", spread(&latencies));
    println!(
        "  {} MB, {:.0} % of a core, all of it in one process",
        machine.memory_bytes.unwrap_or(0) / 1_000_000,
        machine.cpu_percent.unwrap_or(0.0),
    );
    let began = Instant::now();
    let devices = json(addr, cookie, "/api/devices").await?;
    println!(
        "/api/devices: {} bytes in {:.1} ms",
        devices.len(),
        began.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

/// For a real browser: says where the dashboard is, waits until it is told to begin, and says of
/// each reading of `d0` when it was published, by the clock that the browser has as well.
async fn screen(addr: SocketAddr, client: &Client, arguments: &Arguments) -> Result<(), Error> {
    println!("dashboard http://{addr}");
    println!("password {PASSWORD}");
    told().await?;
    let clock = system_clock();
    let pause = Duration::from_secs(5) / arguments.devices.max(1);
    let each = (Duration::from_millis(50).as_nanos() / pause.as_nanos().max(1)).max(1);
    let (mut watched, mut n) = (0, 0);
    while watched < arguments.readings {
        n += 1;
        if u128::from(n) % each == 0 {
            let reading = Reading {
                t: i16::try_from(watched % 1_200)? - 400,
                h: 500,
            };
            watched += 1;
            println!("published {:.1} {}", f64::from(reading.t) / 10.0, clock());
            say(client, 0, 1 + watched, reading).await?;
        } else {
            let device = 1 + n % arguments.devices.saturating_sub(1).max(1);
            say(client, device, 2 + n / arguments.devices, known_by(n)?).await?;
        }
        tokio::time::sleep(pause).await;
    }
    println!("end");
    // The browser may still ask for something.
    told().await
}

/// Waits for a line.
async fn told() -> Result<(), Error> {
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}

/// What a browser hears.
#[derive(Debug, PartialEq)]
enum Heard {
    Hello,
    /// The reading of this number.
    Reading(usize),
}

type Arrived = (Heard, Instant);

async fn next(arrived: &mut mpsc::UnboundedReceiver<Arrived>) -> Result<Arrived, Error> {
    let next = tokio::time::timeout(Duration::from_secs(10), arrived.recv()).await;
    next.map_err(|_| "nothing arrives any more, and something is missing")?
        .ok_or_else(|| "no browser is left".into())
}

/// Reads events, and tells of each when it was there.
async fn listen(mut line: TcpStream, seen: mpsc::UnboundedSender<Arrived>) {
    let mut some = vec![0; 64 << 10];
    let mut text = Vec::new();
    while let Ok(count @ 1..) = line.read(&mut some).await {
        let at = Instant::now();
        text.extend_from_slice(&some[..count]);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            if let Some(heard) = heard(&String::from_utf8_lossy(&event)) {
                let _ = seen.send((heard, at));
            }
        }
    }
}

fn heard(event: &str) -> Option<Heard> {
    if event.contains("event: hello\n") {
        return Some(Heard::Hello);
    }
    let (_, data) = event.split_once("event: reading\ndata: ")?;
    let data: serde_json::Value = serde_json::from_str(data.trim()).ok()?;
    let tenths = |name: &str| Some((data.get(name)?.as_f64()? * 10.0).round() as i64);
    let number = (tenths("t")? + 400) * 1_000 + tenths("h")?;
    Some(Heard::Reading(usize::try_from(number).ok()?))
}

/// The reading by which its number is known: each is one that a sensor could give.
fn known_by(n: u32) -> Result<Reading, Error> {
    Ok(Reading {
        t: i16::try_from(n / 1_000)? - 400,
        h: u16::try_from(n % 1_000)?,
    })
}

/// Of a device that says something for the first time: behind all that are numbered.
const FIRST: Reading = Reading { t: 800, h: 999 };

async fn say(client: &Client, device: u32, seq: u32, reading: Reading) -> Result<(), Error> {
    let climate = Climate {
        seq,
        life: 7,
        boot: 1,
        taken: None,
        age_ms: 0,
        reading,
    };
    let mut buffer = [0; Climate::MAX_LEN];
    let len = climate
        .encode(&mut buffer)
        .map_err(|error| error.to_string())?;
    let topic = format!("aldis/d{device}/climate");
    client.publish(Publish::new(topic, &buffer[..len])).await?;
    Ok(())
}

/// Median, 99 of 100, and the worst.
fn spread(sorted: &[Duration]) -> String {
    let of = |share: usize| {
        let at = sorted.len().saturating_sub(1) * share / 100;
        sorted
            .get(at)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    };
    format!(
        "p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms, of {}",
        of(50),
        of(99),
        of(100),
        sorted.len()
    )
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
                received: None,
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
    println!(
        "from asking for a chart of 800 points until it is there, 20 stretches that nobody asked for before:"
    );
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
            "{name:>6}: {}; {points} points, {bytes} bytes",
            spread(&times)
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
