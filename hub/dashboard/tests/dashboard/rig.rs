//! Broker, store and dashboard of a test.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use aldis_client::{Broker, Client, Event, Events, Message, Options, Publish, QoS};
use aldis_dashboard::{
    Dashboard, DashboardOptions, Machine, Owner, Recorder, RunningDashboard, TlsFiles, Vitals,
    fixed_urls,
};
use aldis_history::{Arrival, DeviceKey, History, What};
use aldis_hub::{Hub, HubConfig, RunningHub};
use tokio::time::{sleep, timeout};

use crate::browser::{BOUND, Browser};

pub const PASSWORD: &str = "correct horse";
pub const NOW: i64 = 1_790_000_000_000;

/// An owner whose password is compared as it is: argon2 has tests of its own.
pub struct Plain {
    pub mark: AtomicU64,
    pub broken: AtomicBool,
    pub asked: AtomicU64,
    /// The next check finds the password changed when it is done.
    pub changes: AtomicBool,
}

impl Owner for Plain {
    fn verify(&self, password: &str) -> Result<Option<u64>, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mark = self.mark();
        if self.changes.swap(false, Ordering::Relaxed) {
            self.mark.fetch_add(1, Ordering::Relaxed);
        }
        match self.broken.load(Ordering::Relaxed) {
            true => Err("the file of keys is damaged".to_owned()),
            false => Ok((password == PASSWORD).then_some(mark)),
        }
    }

    fn mark(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }
}

struct Still;

impl Vitals for Still {
    fn machine(&self) -> Machine {
        Machine {
            memory_bytes: Some(5),
            cpu_percent: Some(1.26),
            free_bytes: Some(7),
        }
    }

    fn recorder(&self) -> Option<Recorder> {
        Some(Recorder {
            running: true,
            stored: 9,
            ..Recorder::default()
        })
    }
}

pub struct Rig {
    pub dir: tempfile::TempDir,
    pub hub: Option<RunningHub>,
    pub history: History,
    pub dashboard: Option<RunningDashboard>,
    pub owner: Arc<Plain>,
    pub clock: Arc<AtomicI64>,
    pub broker: Broker,
    pub tls: Option<TlsFiles>,
    pub ca_pem: Option<PathBuf>,
    /// Names besides those of its addresses.
    pub names: Arc<Mutex<Vec<String>>>,
}

impl Rig {
    /// With a broker, a store and a dashboard that is connected.
    pub async fn start() -> Self {
        let mut rig = Self::prepare().await;
        rig.serve().await;
        rig
    }

    pub async fn prepare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hub = Hub::start(HubConfig::ephemeral()).await.unwrap();
        let path = dir.path().join("history.db");
        let history = History::open(path.to_str().unwrap()).await.unwrap();
        let addr = hub.mqtt_addr();
        Self {
            dir,
            hub: Some(hub),
            history,
            dashboard: None,
            owner: Arc::new(Plain {
                mark: AtomicU64::new(1),
                broken: AtomicBool::new(false),
                asked: AtomicU64::new(0),
                changes: AtomicBool::new(false),
            }),
            clock: Arc::new(AtomicI64::new(NOW)),
            broker: Broker::new(addr.ip().to_string(), addr.port()),
            tls: None,
            ca_pem: None,
            names: Arc::default(),
        }
    }

    pub async fn serve(&mut self) {
        self.dashboard = Some(Dashboard::start(self.options()).await.unwrap());
    }

    pub fn options(&self) -> DashboardOptions {
        let clock = self.clock.clone();
        DashboardOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: self.tls.clone(),
            name: "tests' hub".to_owned(),
            broker: self.broker.clone(),
            prefixes: vec!["aldis".to_owned(), "site/two".to_owned()],
            history: self.history.clone(),
            owner: self.owner.clone(),
            vitals: Arc::new(Still),
            ca_pem: self.ca_pem.clone(),
            urls: fixed_urls(vec![
                "https://hub.local:8443".to_owned(),
                "https://192.168.1.5:8443".to_owned(),
            ]),
            names: {
                let names = self.names.clone();
                Arc::new(move |name: &str| {
                    names
                        .lock()
                        .unwrap()
                        .iter()
                        .any(|known: &String| known == name)
                })
            },
            sessions: Some(self.dir.path().join("sessions.json")),
            now: Arc::new(move || clock.load(Ordering::Relaxed)),
        }
    }

    pub fn browser(&self) -> Browser {
        Browser::new(self.dashboard.as_ref().unwrap().addr())
    }

    /// A browser that is signed in, when the dashboard has contact and knows what is stored.
    pub async fn signed_in(&self) -> Browser {
        let mut browser = self.browser();
        assert_eq!(browser.sign_in(PASSWORD).await.status, 200);
        until("the dashboard has contact", async || {
            let health = browser.get("/api/health").await.json();
            health["broker"]["connected"] == true && browser.get("/api/devices").await.status == 200
        })
        .await;
        browser
    }

    /// A client of the broker, as a device is one.
    pub async fn device(&self, filters: &[&str]) -> Device {
        let id = format!("device-{:x}", fastrand::u32(..));
        let mut options = Options::new(self.broker.clone(), id);
        for filter in filters {
            options = options.subscribe(*filter, QoS::AtLeastOnce);
        }
        // What the broker acknowledges behind the subscriptions has been subscribed.
        let (client, events) = aldis_client::start(options).unwrap();
        let mut device = Device { client, events };
        until("the device is connected", async || {
            device.client.is_connected()
        })
        .await;
        device.say("test/ready", "").await;
        while device.events.try_next().is_some() {}
        device
    }

    pub fn advance(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    pub async fn commit(&self, id: &str, arrivals: impl IntoIterator<Item = (i64, What)>) {
        let batch: Vec<_> = arrivals
            .into_iter()
            .map(|(received_ms, what)| Arrival {
                device: key(id),
                received_ms,
                received: None,
                what,
            })
            .collect();
        self.history.commit(&batch).await.unwrap();
    }
}

pub fn key(id: &str) -> DeviceKey {
    DeviceKey::new("aldis", id).unwrap()
}

pub struct Device {
    pub client: Client,
    pub events: Events,
}

impl Device {
    pub async fn say(&mut self, topic: &str, payload: &str) {
        self.client
            .publish(Publish::new(topic, payload))
            .await
            .unwrap();
    }

    pub async fn keep(&mut self, topic: &str, payload: &str) {
        self.client
            .publish(Publish::new(topic, payload).retained())
            .await
            .unwrap();
    }

    /// The next message.
    pub async fn hear(&mut self) -> Message {
        let heard = async {
            loop {
                match self.events.next().await.unwrap() {
                    Event::Message(message) => {
                        self.client.acknowledge(message.token.into_iter().collect());
                        return message;
                    }
                    _ => continue,
                }
            }
        };
        timeout(BOUND, heard).await.expect("nothing was published")
    }
}

pub fn climate(seq: u32, t: &str) -> String {
    format!(r#"{{"seq":{seq},"boot":1,"age_ms":0,"t":{t},"h":40.5,"life":7}}"#)
}

/// Waits for something outside to be so, with a bound.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(BOUND, wait)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"));
}
