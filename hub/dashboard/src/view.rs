//! What a browser is told, in the form in which it is told.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::options::Recorder;

/// A device at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Device {
    /// `prefix/id`.
    #[schema(example = "aldis/kitchen")]
    pub key: String,
    pub prefix: String,
    pub id: String,
    /// What people call it, if it was renamed.
    pub title: Option<String>,
    /// `online` or `offline`.
    pub status: Option<&'static str>,
    /// Since when it is.
    pub since_ms: Option<i64>,
    /// `on` or `off`.
    pub lamp: Option<&'static str>,
    /// `ok`, `stale` or `missing`.
    pub sensor: Option<&'static str>,
    /// °C of the newest reading.
    pub t: Option<f64>,
    /// %RH of the newest reading.
    pub h: Option<f64>,
    /// When it was taken.
    pub taken_ms: Option<i64>,
    /// When the device was first heard.
    pub first_ms: i64,
    /// When it was last heard.
    pub last_ms: i64,
    /// How many readings are missing.
    pub gaps: u64,
    /// How many readings are lost for good.
    pub lost: u64,
    /// The newest health report as it was published, with `at_ms`.
    pub diag: Option<Map<String, Value>>,
}

/// A message to a device and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Message {
    pub id: Option<String>,
    pub from: Option<String>,
    pub text: String,
    pub at_ms: i64,
    /// In the order in which they came.
    pub states: Vec<State>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct State {
    /// `received`, `shown`, `read`, `expired`, `replaced` or `refused`.
    pub state: String,
    pub at_ms: i64,
    /// Why it was refused.
    pub reason: Option<String>,
}

/// What happens, for the stream of events.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Live {
    Hello {
        hub_ms: i64,
        connected: bool,
    },
    Device(Box<Device>),
    Reading {
        key: String,
        taken_ms: i64,
        t: f64,
        h: f64,
        late: bool,
    },
    Sent {
        key: String,
        id: Option<String>,
        from: Option<String>,
        text: String,
        at_ms: i64,
    },
    State {
        key: String,
        id: Option<String>,
        state: &'static str,
        at_ms: i64,
        reason: Option<String>,
    },
    Answer {
        key: String,
        id: Option<String>,
        done: bool,
        reason: Option<String>,
    },
    Morse {
        key: String,
        text: String,
        wpm: u8,
        at_ms: i64,
    },
    Removed {
        key: String,
    },
    Broker {
        connected: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    Health(Box<Health>),
}

impl Live {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Device(_) => "device",
            Self::Reading { .. } => "reading",
            Self::Sent { .. } | Self::State { .. } => "message",
            Self::Answer { .. } => "answer",
            Self::Morse { .. } => "morse",
            Self::Removed { .. } => "removed",
            Self::Broker { .. } => "broker",
            Self::Health(_) => "health",
        }
    }
}

/// How the hub is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Health {
    pub version: &'static str,
    pub started_ms: i64,
    pub now_ms: i64,
    pub memory_bytes: Option<u64>,
    /// Of one core.
    pub cpu_percent: Option<f64>,
    pub broker: BrokerHealth,
    /// Nothing: there is none in this process.
    pub recorder: Option<Recorder>,
    pub store: StoreHealth,
    pub disk: DiskHealth,
    pub dashboard: DashboardHealth,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct BrokerHealth {
    pub connected: bool,
    #[schema(example = "mqtt://127.0.0.1:1883")]
    pub url: String,
    /// Since when it is so.
    pub since_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct StoreHealth {
    /// `sqlite` or `postgres`.
    pub kind: &'static str,
    /// Absent while the store cannot be read, or was not counted yet.
    pub readings: Option<u64>,
    pub bytes: Option<u64>,
    pub oldest_ms: Option<i64>,
    /// Why it cannot be read.
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct DiskHealth {
    pub free_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct DashboardHealth {
    pub live_clients: usize,
}

/// Tenths as a number with one decimal.
pub(crate) fn tenths(tenths: i32) -> f64 {
    f64::from(tenths) / 10.0
}

/// A mean of tenths as a number with one decimal.
pub(crate) fn mean(tenths: f64) -> f64 {
    tenths.round() / 10.0
}
