//! What a recorder of an Aldis installation keeps: readings, states, messages and health of
//! devices, in an SQLite file or a PostgreSQL database.
//!
//! A batch of arrivals is stored in one transaction, each reading once however often it comes,
//! and the answer says up to which number a device may forget its readings. What is missing is
//! known, what is old is summed up and can be deleted. Nothing here knows of MQTT or has a clock:
//! times are arguments, in milliseconds since 1970.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use aldis_history::{Arrival, DeviceKey, History, Taken, What};
//! use aldis_protocol::Reading;
//!
//! let history = History::open("history.db").await?;
//! let kitchen = DeviceKey::new("aldis", "kitchen")?;
//! let reading = Taken {
//!     life: 0x5bd2_c0a9,
//!     seq: 1,
//!     boot: 1,
//!     taken_ms: 1_790_000_000_000,
//!     exact: true,
//!     reading: Reading { t: 241, h: 265 },
//! };
//! let committed = history
//!     .commit(&[Arrival {
//!         device: kitchen,
//!         received_ms: 1_790_000_000_012,
//!         received: None,
//!         what: What::Reading(reading),
//!     }])
//!     .await?;
//! assert_eq!(committed.series[0].confirmed, 1);
//! # Ok(())
//! # }
//! ```
// `store` is compiled once for each database: sqlx has types of its own for each, and code that
// is generic over them would be bounds for the most part.
#![allow(clippy::duplicate_mod)]

mod arrival;
mod clock;
mod counts;
pub mod csv;
mod error;
mod history;
mod points;
mod postgres;
mod removals;
mod runs;
mod sqlite;
mod view;
mod when;

pub use arrival::{
    Answer, Arrival, DeviceKey, Diag, HELD, Kind, MAX_MS, Message, NotAReading, Report, Taken,
    What, is_invisible,
};
pub use clock::Believed;
pub use error::HistoryError;
pub use history::History;
pub use sqlite::Durability;
pub use view::{
    Chart, Committed, Device, Event, Gap, Latest, Level, Listened, Outage, Point, Purged, Range,
    Retention, Series, Sizes, Standing, StoredDiag, StoredReading,
};
