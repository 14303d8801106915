//! The announcer at real brokers: ours and mosquitto.

#[path = "../src/schema.rs"]
mod schema;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aldis_client::{Client, Event, Events, Publish, QoS};
use aldis_homeassistant::{HomeAssistant, Options, RunningHomeAssistant, Titles};
use aldis_hub::{Hub, HubConfig, RunningHub};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long something that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const READY: &str = "world/ready";
const CONFIG: &str = "homeassistant/device/aldis__kitchen/config";

/// A broker that keeps nothing over its restart.
enum Broker {
    Ours(RunningHub),
    Mosquitto(Child, SocketAddr, tempfile::TempDir),
}

impl Broker {
    async fn ours() -> Self {
        Self::Ours(Hub::start(HubConfig::ephemeral()).await.unwrap())
    }

    fn mosquitto() -> Self {
        // Another program may take the port in between.
        for _ in 0..5 {
            let probe = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = probe.local_addr().unwrap();
            drop(probe);
            let dir = tempfile::tempdir().unwrap();
            let config = format!(
                "listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n",
                addr.port()
            );
            std::fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
            if let Some(child) = run(dir.path(), addr) {
                return Self::Mosquitto(child, addr, dir);
            }
        }
        panic!("mosquitto does not start");
    }

    fn addr(&self) -> SocketAddr {
        match self {
            Self::Ours(hub) => hub.mqtt_addr(),
            Self::Mosquitto(_, addr, _) => *addr,
        }
    }

    /// Ends it and starts it anew at the same address.
    async fn restart(self) -> Self {
        let addr = self.addr();
        match self {
            Self::Ours(hub) => {
                hub.shutdown().await;
                let config = HubConfig {
                    listen: addr,
                    ..HubConfig::ephemeral()
                };
                Self::Ours(Hub::start(config).await.unwrap())
            }
            Self::Mosquitto(mut child, _, dir) => {
                child.kill().unwrap();
                child.wait().unwrap();
                let child = run(dir.path(), addr).expect("mosquitto starts again");
                Self::Mosquitto(child, addr, dir)
            }
        }
    }

    async fn stop(self) {
        match self {
            Self::Ours(hub) => hub.shutdown().await,
            Self::Mosquitto(mut child, _, _) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
    }

    fn options(&self) -> Options {
        Options {
            birth_spread: Duration::from_millis(500),
            ..Options::new(aldis_client::Broker::new("127.0.0.1", self.addr().port()))
        }
    }
}

fn run(dir: &std::path::Path, addr: SocketAddr) -> Option<Child> {
    let mut child = Command::new("mosquitto")
        .arg("-c")
        .arg(dir.join("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
        .spawn()
        .expect("apt-get install mosquitto");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
        if TcpStream::connect(addr).is_ok() {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Devices, Home Assistant, and whoever looks what the broker has.
struct World {
    client: Client,
    events: Events,
    kept: HashMap<String, Vec<u8>>,
    /// How often something was published to each topic since this one came.
    count: HashMap<String, usize>,
    ready: bool,
}

impl World {
    async fn new(broker: &Broker) -> Self {
        let broker = aldis_client::Broker::new("127.0.0.1", broker.addr().port());
        let id = format!("world-{:x}", fastrand::u64(..));
        let options = aldis_client::Options::new(broker, id)
            .subscribe("homeassistant/device/#", QoS::AtLeastOnce)
            .subscribe(READY, QoS::AtLeastOnce);
        let (client, events) = aldis_client::start(options).unwrap();
        let mut world = Self {
            client,
            events,
            kept: HashMap::new(),
            count: HashMap::new(),
            ready: false,
        };
        // Its echo says that the subscriptions are there.
        world.say(READY, "1", false).await;
        world.until("its own word", |world| world.ready).await;
        world
    }

    async fn say(&self, topic: &str, payload: impl Into<Vec<u8>>, retain: bool) {
        let mut publish = Publish::new(topic, payload);
        publish.retain = retain;
        timeout(PATIENCE, self.client.publish(publish))
            .await
            .unwrap_or_else(|_| panic!("the broker takes {topic}"))
            .unwrap();
    }

    async fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !done(self) {
            let event = tokio::time::timeout_at(deadline, self.events.next()).await;
            let Ok(event) = event else {
                panic!("waited for {what}; there are {:?}", self.count);
            };
            self.take(event.expect("the client goes on"));
        }
    }

    fn take(&mut self, event: Event) {
        if let Event::Message(message) = event {
            self.client.acknowledge(message.token.into_iter().collect());
            if message.topic == READY {
                self.ready = true;
                return;
            }
            match message.payload.is_empty() {
                true => drop(self.kept.remove(&message.topic)),
                false => drop(self.kept.insert(message.topic.clone(), message.payload)),
            }
            if !message.retain {
                *self.count.entry(message.topic).or_default() += 1;
            }
        }
    }

    /// All announcements, each of which Home Assistant takes.
    fn configs(&self) -> HashMap<String, Value> {
        let configs = self
            .kept
            .iter()
            .filter(|(topic, _)| topic.ends_with("/config"));
        configs
            .map(|(topic, payload)| {
                let faults = schema::faults("homeassistant", topic, payload);
                assert_eq!(faults, Vec::<String>::new(), "{topic}");
                (topic.clone(), serde_json::from_slice(payload).unwrap())
            })
            .collect()
    }

    fn name(&self) -> Option<String> {
        let config: Value = serde_json::from_slice(self.kept.get(CONFIG)?).unwrap();
        Some(config["device"]["name"].as_str()?.to_owned())
    }

    fn times(&self, topic: &str) -> usize {
        self.count.get(topic).copied().unwrap_or_default()
    }
}

fn start(options: Options) -> RunningHomeAssistant {
    HomeAssistant::start(options).unwrap()
}

async fn withdraw(options: Options) -> Option<u64> {
    let running = start(Options {
        withdraw: true,
        ..options
    });
    let count = timeout(PATIENCE, running.withdrawn())
        .await
        .expect("it comes to an end");
    running.shutdown().await;
    count
}

async fn a_life(broker: Broker) {
    let mut world = World::new(&broker).await;
    let stranger = r#"{"o":{"name":"somebody"},"dev":{"ids":"x"},"cmps":{}}"#;
    world
        .say("homeassistant/device/stranger/config", stranger, true)
        .await;
    world.say("aldis/kitchen/status", "online", true).await;
    world.say("aldis/kitchen/led", "off", true).await;

    // Heard, announced.
    let (titles, watch) = watch::channel(Titles::new());
    let running = start(Options {
        titles: Some(watch),
        ..broker.options()
    });
    world
        .until("the device", |world| {
            world.name().as_deref() == Some("kitchen")
        })
        .await;
    // It says more of itself: the device has one more sensor.
    world
        .say(
            "aldis/kitchen/diag",
            r#"{"rssi_dbm":-61,"version":"0.1.0"}"#,
            false,
        )
        .await;
    // A change within a minute waits; a title does not, and takes it along.
    titles.send_replace(Titles::from([(
        "aldis/kitchen".to_owned(),
        "Kitchen".to_owned(),
    )]));
    world
        .until("the title", |world| {
            world.name().as_deref() == Some("Kitchen")
        })
        .await;
    running.announce_title("aldis/kitchen", Some("Küche"));
    world
        .until("the other title", |world| {
            world.name().as_deref() == Some("Küche")
        })
        .await;
    let config: Value = serde_json::from_slice(&world.kept[CONFIG]).unwrap();
    assert_eq!(config["device"]["sw_version"], "0.1.0");
    assert_eq!(
        config["components"]["rssi"]["device_class"],
        "signal_strength"
    );

    // Home Assistant starts.
    let before = world.times(CONFIG);
    world.say("homeassistant/status", "online", false).await;
    world
        .until("another announcement", |world| {
            world.times(CONFIG) == before + 1
        })
        .await;

    // A restart of ours tells nothing new. A second device marks when it has looked.
    running.shutdown().await;
    let titles = Titles::from([("aldis/kitchen".to_owned(), "Küche".to_owned())]);
    let running = start(Options {
        titles: Some(watch::channel(titles).1),
        ..broker.options()
    });
    world.say("aldis/attic/status", "online", true).await;
    let attic = "homeassistant/device/aldis__attic/config";
    world
        .until("the second device", |world| world.kept.contains_key(attic))
        .await;
    assert_eq!(world.times(CONFIG), before + 1);

    // Removed, as the dashboard does it.
    running.forget("aldis/attic");
    world.say("aldis/attic/status", "", true).await;
    world
        .until("its removal", |world| !world.kept.contains_key(attic))
        .await;
    running.shutdown().await;

    // Another hub has nothing to take away; ours takes away what an earlier run announced.
    let other = Options {
        name: Some("other".to_owned()),
        ..broker.options()
    };
    assert_eq!(withdraw(other).await, Some(0));
    assert_eq!(withdraw(broker.options()).await, Some(1));
    world
        .until("the last removal", |world| !world.kept.contains_key(CONFIG))
        .await;
    assert_eq!(
        world.kept["homeassistant/device/stranger/config"],
        stranger.as_bytes()
    );
    broker.stop().await;
}

/// A device that never appears at Home Assistant, or never goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_life_at_our_broker() {
    a_life(Broker::ours().await).await;
}

/// The same where somebody has a broker already.
#[tokio::test(flavor = "multi_thread")]
async fn a_life_at_mosquitto() {
    a_life(Broker::mosquitto()).await;
}

async fn a_restart(broker: Broker) {
    let mut world = World::new(&broker).await;
    world.say("aldis/kitchen/status", "online", true).await;
    let running = start(broker.options());
    world
        .until("the device", |world| world.kept.contains_key(CONFIG))
        .await;
    let before = world.kept[CONFIG].clone();
    let broker = broker.restart().await;
    let mut world = World::new(&broker).await;
    world
        .until("the device again", |world| world.kept.contains_key(CONFIG))
        .await;
    assert_eq!(world.kept[CONFIG], before);
    running.shutdown().await;
    broker.stop().await;
}

/// The broker forgets, and Home Assistant has no devices after its next start.
#[tokio::test(flavor = "multi_thread")]
async fn our_broker_forgets() {
    a_restart(Broker::ours().await).await;
}

/// The same at mosquitto.
#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_forgets() {
    a_restart(Broker::mosquitto()).await;
}

async fn hostile(broker: Broker) {
    let mut world = World::new(&broker).await;
    let long = "🏠\"{{ 7 * 7 }}\n".repeat(600);
    let titles = Titles::from([("aldis/kitchen".to_owned(), long)]);
    let running = start(Options {
        titles: Some(watch::channel(titles).1),
        configuration_url: Some("http://hub.local/{key}".to_owned()),
        ..broker.options()
    });
    let what = [
        "status",
        "sensor",
        "led",
        "diag",
        "climate",
        "climate/ack",
        "led/set",
        "message/set",
        "message/state",
        "morse/set",
        "morse/heard",
        "answer",
        "start",
        "nothing",
        "",
    ];
    let big = "x".repeat(100_000);
    let deep = "[".repeat(10_000);
    for payload in ["", "garbage", "{", "null", "7", "\u{0}", "{}", &big, &deep] {
        for what in what {
            world
                .say(&format!("aldis/ghost/{what}"), payload, false)
                .await;
            world
                .say(&format!("aldis/kitchen/{what}"), payload, false)
                .await;
        }
        for id in [
            "",
            "aldis__kitchen",
            "aldis__ghost",
            "_",
            "_zz",
            "a/b",
            "aldis__a__b",
        ] {
            let topic = format!("homeassistant/device/{id}/config");
            world.say(&topic, payload, payload.is_empty()).await;
        }
        world.say("homeassistant/status", payload, false).await;
    }
    world.say("aldis/ghost/diag", vec![0xff; 300], false).await;
    let ids = [
        "kitchen",
        "Kitchen",
        "k_itchen",
        "k-itchen",
        "k.itchen",
        "k~itchen",
        "küche",
        "厨房",
        "🏠",
        "\"quoted\"",
        "{{x}}",
        "a%2Fb",
        "_",
        "__",
        "-",
        "...",
        "'",
        "\\",
    ];
    // rmqtt takes no level that begins with `$`.
    let more = match broker {
        Broker::Ours(_) => None,
        Broker::Mosquitto(..) => Some("$x"),
    };
    let ids: Vec<_> = ids.into_iter().chain(more).collect();
    for id in &ids {
        world
            .say(&format!("aldis/{id}/status"), "online", true)
            .await;
    }
    let version = r#"{"version":"{{ 1 }}\"","reset":"power","uptime_s":1e400,"free":-1}"#;
    world.say("aldis/kitchen/diag", version, false).await;
    world
        .until("all with an id that can be", |world| {
            let ours = |topic: &&String| topic.starts_with("homeassistant/device/aldis__");
            let real = world.kept.iter().filter(|(topic, payload)| {
                ours(topic) && payload.starts_with(b"{\"availability\"")
            });
            real.count() == ids.len()
        })
        .await;
    // What was published live was not kept by the broker.
    let mut world = World::new(&broker).await;
    let _ = world
        .until("all", |world| world.kept.len() >= ids.len())
        .await;
    let configs = world.configs();
    assert_eq!(configs.len(), ids.len());
    let name = configs[CONFIG]["device"]["name"].as_str().unwrap();
    assert_eq!(name.chars().count(), 100);
    let names: std::collections::HashSet<_> = configs
        .values()
        .map(|config| config["device"]["identifiers"].to_string())
        .collect();
    assert_eq!(names.len(), configs.len());
    running.shutdown().await;
    broker.stop().await;
}

/// Whoever can publish anything can make Home Assistant refuse a device, or stop the hub.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_at_our_broker() {
    hostile(Broker::ours().await).await;
}

/// The same at mosquitto.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_at_mosquitto() {
    hostile(Broker::mosquitto()).await;
}

async fn many(broker: Broker) {
    const DEVICES: usize = 1_000;
    let mut world = World::new(&broker).await;
    for device in 0..DEVICES {
        world
            .say(&format!("aldis/d{device}/status"), "online", true)
            .await;
    }
    let running = start(broker.options());
    world
        .until("all devices", |world| world.kept.len() == DEVICES)
        .await;
    let total = |world: &World| {
        let configs = world
            .count
            .iter()
            .filter(|(topic, _)| topic.ends_with("/config"));
        configs.map(|(_, count)| count).sum::<usize>()
    };
    assert_eq!(total(&world), DEVICES);
    let began = Instant::now();
    world.say("homeassistant/status", "online", false).await;
    world
        .until("all again", |world| total(world) == 2 * DEVICES)
        .await;
    println!("{DEVICES} devices after a birth: {:?}", began.elapsed());
    assert_eq!(world.configs().len(), DEVICES);
    running.shutdown().await;

    assert_eq!(withdraw(broker.options()).await, Some(DEVICES as u64));
    world
        .until("an empty broker", |world| world.kept.is_empty())
        .await;
    broker.stop().await;
}

/// A thousand devices: some are left out, or it takes for ever.
#[tokio::test(flavor = "multi_thread")]
async fn many_devices_at_our_broker() {
    many(Broker::ours().await).await;
}

/// The same at mosquitto.
#[tokio::test(flavor = "multi_thread")]
async fn many_devices_at_mosquitto() {
    many(Broker::mosquitto()).await;
}

/// Two hubs overwrite each other in turns.
#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_at_one_broker_come_to_rest() {
    let broker = Broker::ours().await;
    let mut world = World::new(&broker).await;
    world.say("aldis/kitchen/status", "online", true).await;
    let hub = |name: &str| {
        let titles = Titles::from([("aldis/kitchen".to_owned(), format!("{name}'s"))]);
        start(Options {
            name: Some(name.to_owned()),
            titles: Some(watch::channel(titles).1),
            ..broker.options()
        })
    };
    let one = hub("One");
    world
        .until("the device", |world| {
            world.name().as_deref() == Some("One's")
        })
        .await;
    let other = hub("Other");
    world.say("aldis/attic/status", "online", true).await;
    // Its origin tells who has looked around.
    other.announce_title("aldis/attic", Some("Attic"));
    let attic = "homeassistant/device/aldis__attic/config";
    world
        .until("the other hub's device", |world| {
            let config = world
                .kept
                .get(attic)
                .map(|config| String::from_utf8_lossy(config));
            config.is_some_and(|config| config.contains("Aldis hub Other"))
        })
        .await;
    assert_eq!(world.times(CONFIG), 1);
    // Who is named last has the word.
    other.announce_title("aldis/kitchen", Some("Kitchen"));
    world
        .until("its name", |world| {
            world.name().as_deref() == Some("Kitchen")
        })
        .await;
    for round in 1..=3 {
        world.say("homeassistant/status", "online", false).await;
        world
            .until("an announcement", |world| world.times(CONFIG) >= 2 + round)
            .await;
    }
    // A device that comes behind all that they had to say.
    world.say("aldis/hall/status", "online", true).await;
    let hall = "homeassistant/device/aldis__hall/config";
    world
        .until("another device", |world| world.kept.contains_key(hall))
        .await;
    assert_eq!(world.times(CONFIG), 5);
    assert_eq!(world.name().as_deref(), Some("Kitchen"));
    one.shutdown().await;
    other.shutdown().await;
    broker.stop().await;
}

/// A hub that is asked to end while there is no broker hangs.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_it_ends_all_the_same() {
    let probe = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    let options = Options::new(aldis_client::Broker::new("127.0.0.1", port));
    let running = start(options.clone());
    running.announce_title("aldis/kitchen", Some("Kitchen"));
    running.forget("aldis/kitchen");
    let began = Instant::now();
    running.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(2));
    let running = start(Options {
        withdraw: true,
        ..options
    });
    let began = Instant::now();
    running.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(2));
}
