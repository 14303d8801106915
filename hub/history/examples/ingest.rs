//! How many readings a second are stored, by size of the batch, and how long charts of a year
//! take.
//!
//! ```text
//! cargo run --release -p aldis-history --example ingest -- [--year] STORE...
//! ```
//!
//! A store is a path or a URL, and has to be empty. A path is measured with both durabilities.

use std::time::{Duration, Instant};

use aldis_history::{Arrival, DeviceKey, Durability, History, Retention, Taken, What};
use aldis_protocol::Reading;
use sqlx::{AssertSqlSafe, Connection, Executor};

type Failure = Box<dyn std::error::Error>;

const BEGIN_MS: i64 = 1_790_000_000_000;
const HOUR_MS: i64 = 3_600_000;
/// How long each size is measured.
const LONG: Duration = Duration::from_secs(3);
const BATCHES: [u32; 5] = [1, 10, 100, 1000, 5000];

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut year = false;
    let mut stores = Vec::new();
    for argument in std::env::args().skip(1) {
        match &*argument {
            "--year" => year = true,
            _ => stores.push(argument),
        }
    }
    if stores.is_empty() {
        return Err("which store? give paths or URLs of empty ones".into());
    }
    for store in &stores {
        let server = store.contains("://");
        if year {
            a_year(store).await?;
            continue;
        }
        println!(
            "{:<28} {:>7} {:>12} {:>14}",
            "", "batch", "one device", "1000 devices"
        );
        for durability in [Durability::Full, Durability::Normal] {
            if server && durability == Durability::Normal {
                continue;
            }
            let name = format!("{} {durability:?}", if server { "server" } else { "file" });
            // Each with a file of its own.
            let address = if server {
                store.clone()
            } else {
                format!("{store}.{durability:?}").to_lowercase()
            };
            for batch in BATCHES {
                let history = History::open_with(&address, durability).await?;
                let one = rate(&history, batch, 1).await?;
                let many = rate(&history, batch, 1000).await?;
                println!("{name:<28} {batch:>7} {one:>12.0} {many:>14.0}");
                history.close().await;
            }
        }
        let naive = if server {
            let connection = sqlx::PgConnection::connect(store).await?;
            row_by_row(connection).await?
        } else {
            let address = format!("sqlite:{store}.naive?mode=rwc");
            let mut connection = sqlx::SqliteConnection::connect(&address).await?;
            connection.execute("PRAGMA journal_mode = WAL").await?;
            connection.execute("PRAGMA synchronous = FULL").await?;
            row_by_row(connection).await?
        };
        println!(
            "{:<28} {:>7} {naive:>12.0}",
            "row by row, committed each", ""
        );
    }
    Ok(())
}

fn arrival(device: &DeviceKey, life: u32, seq: u32, every_ms: i64) -> Arrival {
    let taken_ms = BEGIN_MS + i64::from(seq) * every_ms;
    Arrival {
        device: device.clone(),
        received_ms: taken_ms + 20,
        received: None,
        what: What::Reading(Taken {
            life,
            seq,
            boot: 1,
            taken_ms,
            exact: true,
            reading: Reading {
                t: 200 + i16::try_from(seq % 50).unwrap_or(0),
                h: 400 + u16::try_from(seq % 90).unwrap_or(0),
            },
        }),
    }
}

/// Readings a second, of so many devices that take turns.
async fn rate(history: &History, batch: u32, devices: u32) -> Result<f64, Failure> {
    let keys = (0..devices).map(|id| DeviceKey::new("aldis", &format!("of-{devices}-{id}")));
    let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
    let (mut stored, mut turn) = (0_u32, 0_u32);
    let began = Instant::now();
    while began.elapsed() < LONG {
        let arrivals: Vec<_> = (turn..turn + batch)
            .map(|turn| {
                let key = &keys[(turn % devices) as usize];
                arrival(key, batch, turn / devices + 1, 5000)
            })
            .collect();
        turn += batch;
        history.commit(&arrivals).await?;
        stored += batch;
    }
    Ok(f64::from(stored) / began.elapsed().as_secs_f64())
}

/// Rows a second as a script stores them: one after the other, without what is kept of gaps.
async fn row_by_row<C>(mut connection: C) -> Result<f64, Failure>
where
    C: Connection,
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
{
    connection
        .execute(
            "CREATE TABLE naive (device TEXT, seq BIGINT, taken_ms BIGINT, t INTEGER, h INTEGER, \
             PRIMARY KEY (device, seq))",
        )
        .await?;
    let began = Instant::now();
    let mut stored = 0_u32;
    while began.elapsed() < LONG {
        let taken_ms = BEGIN_MS + i64::from(stored) * 5000;
        let row = format!(
            "INSERT INTO naive VALUES ('kitchen', {stored}, {taken_ms}, 241, 265) \
             ON CONFLICT DO NOTHING"
        );
        connection.execute(AssertSqlSafe(row)).await?;
        stored += 1;
    }
    Ok(f64::from(stored) / began.elapsed().as_secs_f64())
}

/// A year of a device that measures each five seconds: its size, and its charts.
async fn a_year(store: &str) -> Result<(), Failure> {
    let history = History::open(store).await?;
    let device = DeviceKey::new("aldis", "year")?;
    let count = 365 * 24 * 720_u32;
    let began = Instant::now();
    let mut seq = 1;
    while seq <= count {
        let batch: Vec<_> = (seq..(seq + 5000).min(count + 1))
            .map(|seq| arrival(&device, 1, seq, 5000))
            .collect();
        history.commit(&batch).await?;
        seq += 5000;
    }
    println!(
        "stored {count} readings in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let now = BEGIN_MS + i64::from(count) * 5000 + HOUR_MS;
    let began = Instant::now();
    history.roll_up(now).await?;
    println!("rolled up in {:.1} s", began.elapsed().as_secs_f64());
    let sizes = history.sizes().await?;
    println!(
        "{} bytes, {:.1} a reading, roll-ups included",
        sizes.bytes,
        sizes.bytes as f64 / f64::from(count)
    );
    for (what, hours) in [
        ("year", 8760),
        ("month", 720),
        ("week", 168),
        ("day", 24),
        ("hour", 1),
    ] {
        let mut times = Vec::new();
        let mut points = 0;
        let mut level = None;
        for turn in 0..20 {
            let to = now - turn * HOUR_MS;
            let began = Instant::now();
            let chart = history
                .chart(&device, to - hours * HOUR_MS, to, 1000)
                .await?;
            times.push(began.elapsed());
            points = chart.points.len();
            level = Some(chart.level);
        }
        times.sort_unstable();
        println!(
            "chart of a {what:<6} {points:>5} points of {:<12} median {:>8.2?} worst {:>8.2?}",
            format!("{level:?}"),
            times[times.len() / 2],
            times[times.len() - 1]
        );
    }
    let retention = Retention {
        raw_ms: Some(90 * 24 * HOUR_MS),
        ..Retention::default()
    };
    let (mut rows, mut worst) = (0, Duration::ZERO);
    let all = Instant::now();
    // As if it had been running for a day.
    history.believe(now, Duration::ZERO).await?;
    let believed = history.believe(now, Duration::from_secs(86_400)).await?;
    loop {
        let began = Instant::now();
        let piece = history.purge(believed, &retention, 5000).await?;
        worst = worst.max(began.elapsed());
        rows += piece.rows;
        if !piece.more {
            break;
        }
    }
    println!(
        "purged {rows} readings in {:.1} s, in pieces of 5000, the longest {worst:.2?}",
        all.elapsed().as_secs_f64()
    );
    history.close().await;
    Ok(())
}
