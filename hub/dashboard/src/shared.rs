//! What the parts of a running dashboard share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aldis_client::Client;
use aldis_history::{DeviceKey, History};
use tokio::sync::{Notify, Semaphore};

use crate::guard::Guard;
use crate::live::Stage;
use crate::model::Model;
use crate::options::{Clock, Names, Owner, Urls, Vitals};
use crate::sessions::Sessions;
use crate::topics::Topics;
use crate::view::Live;

/// What the parts of a running dashboard share.
pub(crate) struct Shared {
    pub name: String,
    pub prefixes: Vec<String>,
    pub history: History,
    pub owner: Arc<dyn Owner>,
    pub vitals: Arc<dyn Vitals>,
    pub ca_pem: Option<PathBuf>,
    pub urls: Urls,
    /// Names under which it may be asked, in small letters.
    pub hosts: Vec<String>,
    pub names: Names,
    pub now: Clock,
    pub http_port: u16,
    pub https_port: Option<u16>,
    pub client: Client,
    pub broker_url: String,
    pub stage: Stage,
    pub topics: Topics,
    pub started_ms: i64,
    /// Passwords that are looked at at once: each takes a core.
    pub looking: Semaphore,
    /// The store is to be asked now.
    pub ask: Notify,
    model: Mutex<Model>,
    broker: Mutex<Contact>,
    sessions: Mutex<Sessions>,
    guard: Mutex<Guard>,
    sizes: Mutex<Option<Counted>>,
}

/// Whether there is contact with the broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contact {
    pub connected: bool,
    pub since_ms: i64,
}

/// How much the store has, as it was counted last.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub sizes: Result<aldis_history::Sizes, String>,
    pub at: std::time::Instant,
    pub took: std::time::Duration,
}

/// What is only known when everything is bound.
pub(crate) struct Parts {
    pub hosts: Vec<String>,
    pub http_port: u16,
    pub https_port: Option<u16>,
    pub client: Client,
    pub stage: Stage,
    pub sessions: Sessions,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(options: crate::DashboardOptions, parts: Parts) -> Self {
        let now = (options.now)();
        Self {
            name: options.name,
            prefixes: options.prefixes,
            history: options.history,
            owner: options.owner,
            vitals: options.vitals,
            ca_pem: options.ca_pem,
            urls: options.urls,
            hosts: parts.hosts,
            names: options.names,
            now: options.now,
            http_port: parts.http_port,
            https_port: parts.https_port,
            client: parts.client,
            broker_url: options.broker.url(),
            stage: parts.stage,
            topics: Topics::new(),
            started_ms: now,
            looking: Semaphore::new(2),
            ask: Notify::new(),
            model: Mutex::default(),
            broker: Mutex::new(Contact {
                connected: false,
                since_ms: now,
            }),
            sessions: Mutex::new(parts.sessions),
            guard: Mutex::new(Guard::new(now)),
            sizes: Mutex::default(),
        }
    }

    pub fn now(&self) -> i64 {
        (self.now)()
    }

    pub fn model(&self) -> MutexGuard<'_, Model> {
        lock(&self.model)
    }

    pub fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.sessions)
    }

    pub fn guard(&self) -> MutexGuard<'_, Guard> {
        lock(&self.guard)
    }

    pub fn sizes(&self) -> MutexGuard<'_, Option<Counted>> {
        lock(&self.sizes)
    }

    pub fn contact(&self) -> Contact {
        *lock(&self.broker)
    }

    /// Notes whether there is contact with the broker, and tells it.
    pub fn note_contact(&self, connected: bool, why: Option<String>) {
        let mut contact = lock(&self.broker);
        if contact.connected != connected {
            *contact = Contact {
                connected,
                since_ms: self.now(),
            };
            self.stage.tell(&Live::Broker { connected, why });
        }
    }

    /// The device of this name, if it is one of the prefixes'.
    pub fn key(&self, name: &str) -> Option<DeviceKey> {
        let (prefix, id) = name.rsplit_once('/')?;
        let ours = self.prefixes.iter().any(|known| known == prefix);
        DeviceKey::new(prefix, id).ok().filter(|_| ours)
    }

    /// Tells all browsers how a device is now.
    pub fn tell_device(&self, model: &Model, key: &DeviceKey) {
        if let Some(device) = model.device(key) {
            self.stage.tell(&Live::Device(Box::new(device.clone())));
        }
    }
}
