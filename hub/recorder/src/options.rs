//! What a recorder is told before it starts.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aldis_client::Broker;
use aldis_history::{DeviceKey, History, Retention};
use aldis_protocol::topic::DEFAULT_PREFIX;

/// Milliseconds since 1970.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// A clock that says what this says.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present.
    pub fn now(&self) -> i64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// Whether a device was paired with the hub: nobody else comes in under its name.
#[derive(Clone)]
pub struct Paired(Arc<dyn Fn(&DeviceKey) -> bool + Send + Sync>);

impl Paired {
    /// Those of which this says so.
    pub fn new(is_paired: impl Fn(&DeviceKey) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_paired))
    }

    /// Whether this one is.
    pub fn has(&self, device: &DeviceKey) -> bool {
        (self.0)(device)
    }
}

impl fmt::Debug for Paired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Paired")
    }
}

/// The clock of this machine.
pub fn wall_clock() -> Clock {
    Clock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    })
}

/// What a recorder is told before it starts.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// Where the broker is.
    pub broker: Broker,
    /// Client Identifier, and the name under which it speaks to itself: one level of a topic.
    /// Each recorder of a broker has its own, and keeps it.
    pub client_id: String,
    /// What stands before the id in the devices' topics.
    pub prefix: String,
    /// Where things are stored.
    pub history: History,
    /// Recorders of one broker that have the same word here share the work.
    pub share: Option<String>,
    /// How long what is kept.
    pub retention: Retention,
    /// How long the first message of a batch waits for others.
    pub gather: Duration,
    /// So many messages do not wait for others: the broker may send no more before some are
    /// acknowledged.
    pub hurry: usize,
    /// How long a device that is heard is given to send readings that are missing.
    pub patience: Duration,
    /// How long it is given to send what was before the first that was heard.
    pub first_patience: Duration,
    /// What time it is.
    pub clock: Clock,
    /// Who was paired.
    pub paired: Paired,
    /// How many devices that nobody paired may be recorded for the first time within an hour;
    /// absent: as many as like.
    pub newcomers: Option<u32>,
}

impl RecorderOptions {
    /// The usual: one recorder, everything kept for ever.
    pub fn new(broker: Broker, history: History) -> Self {
        Self {
            broker,
            client_id: "aldis-recorder".to_owned(),
            prefix: DEFAULT_PREFIX.to_owned(),
            history,
            share: None,
            retention: Retention::default(),
            gather: Duration::from_secs(1),
            hurry: 16,
            patience: Duration::from_secs(30 * 60),
            first_patience: Duration::from_secs(2 * 60),
            clock: wall_clock(),
            paired: Paired::new(|_| false),
            newcomers: None,
        }
    }
}
