use serde_json::json;

use super::*;
use crate::payload::Origin;

const ONLINE: (&str, &[u8]) = ("aldis/kitchen/status", b"online");
const CONFIG: &str = "homeassistant/device/aldis__kitchen/config";

/// Retained messages of a broker, and hubs that hear of each change.
struct Broker {
    now: u64,
    kept: HashMap<String, Vec<u8>>,
    hubs: Vec<Announcer>,
    /// What was published, by whom.
    published: Vec<(usize, String, Vec<u8>)>,
}

impl Broker {
    fn new(hubs: &[&str]) -> Self {
        let mut broker = Self {
            now: 0,
            kept: HashMap::new(),
            hubs: Vec::new(),
            published: Vec::new(),
        };
        for name in hubs {
            broker.start(name, false);
        }
        broker
    }

    fn start(&mut self, name: &str, withdraw: bool) -> usize {
        let settings = Settings {
            prefix: "aldis".to_owned(),
            discovery_prefix: "homeassistant".to_owned(),
            birth_topic: "homeassistant/status".to_owned(),
            birth_spread_ms: 10_000,
            origin: Origin {
                name: name.to_owned(),
                version: "0.1.0".to_owned(),
                configuration_url: None,
            },
            withdraw,
        };
        self.hubs.push(Announcer::new(settings, 7));
        let hub = self.hubs.len() - 1;
        self.connect(hub);
        hub
    }

    fn connect(&mut self, hub: usize) {
        let hub = &mut self.hubs[hub];
        hub.connected(self.now);
        for (topic, payload) in &self.kept {
            hub.message(self.now, topic, payload, true);
        }
    }

    fn say(&mut self, topic: &str, payload: &[u8], retain: bool) {
        if retain {
            match payload {
                [] => drop(self.kept.remove(topic)),
                payload => drop(self.kept.insert(topic.to_owned(), payload.to_vec())),
            }
        }
        for hub in &mut self.hubs {
            hub.message(self.now, topic, payload, false);
        }
    }

    /// Lets time go by; gives how often each hub published since.
    fn wait(&mut self, ms: u64) -> Vec<usize> {
        let before = self.published.len();
        let end = self.now + ms;
        loop {
            for hub in 0..self.hubs.len() {
                while let Some(Publication { topic, payload }) = self.hubs[hub].next(self.now) {
                    self.published.push((hub, topic.clone(), payload.clone()));
                    self.say(&topic, &payload, true);
                    self.hubs[hub].done(self.now, &topic, Outcome::Published);
                }
            }
            let deadlines = self.hubs.iter().filter_map(Announcer::deadline);
            // A deadline that has passed without anything to do would spin for ever.
            let later = deadlines.filter(|&at| at > self.now).min();
            assert!(self.published.len() - before < 10_000, "it does not end");
            match later {
                Some(at) if at <= end => self.now = at,
                _ => break,
            }
        }
        self.now = end;
        let mut counts = vec![0; self.hubs.len()];
        for (hub, _, _) in &self.published[before..] {
            counts[*hub] += 1;
        }
        counts
    }

    fn config(&self) -> Value {
        serde_json::from_slice(&self.kept[CONFIG]).unwrap()
    }

    fn name(&self) -> String {
        self.config()["device"]["name"].as_str().unwrap().to_owned()
    }

    /// All that the broker kept is gone, and so are the connections.
    fn restart(&mut self) {
        self.kept.clear();
        for hub in &mut self.hubs {
            hub.disconnected();
        }
        for hub in 0..self.hubs.len() {
            self.connect(hub);
        }
    }
}

fn diag(version: &str) -> Vec<u8> {
    json!({ "uptime_s": 1, "version": version })
        .to_string()
        .into_bytes()
}

fn climate(seq: u32, age_ms: u64) -> Vec<u8> {
    let reading =
        json!({ "seq": seq, "boot": 1, "age_ms": age_ms, "t": 24.1, "h": 47.6, "life": 9 });
    reading.to_string().into_bytes()
}

/// A device in no list at Home Assistant, or one that is announced again with each reading.
#[test]
fn a_device_is_announced_once_for_all_that_it_says_at_first() {
    let mut broker = Broker::new(&["Aldis hub"]);
    broker.say(ONLINE.0, ONLINE.1, true);
    broker.say("aldis/kitchen/diag", &diag("0.1.0"), false);
    broker.say("aldis/kitchen/sensor", b"ok", true);
    assert_eq!(broker.wait(10_000), [1]);
    assert_eq!(broker.name(), "kitchen");
    assert_eq!(broker.config()["device"]["sw_version"], "0.1.0");
    for seq in 1..1_000 {
        broker.say("aldis/kitchen/climate", &climate(seq, 0), false);
        broker.say("aldis/kitchen/diag", &diag("0.1.0"), false);
        broker.say("aldis/kitchen/led", b"on", true);
        assert_eq!(broker.wait(5_000), [0], "{seq}");
    }
}

/// Anybody who publishes anything makes devices at Home Assistant.
#[test]
fn garbage_is_no_device() {
    let mut broker = Broker::new(&["Aldis hub"]);
    for payload in [
        &b""[..],
        b"ONLINE",
        b"{",
        b"[]",
        b"{}",
        b"{\"x\":1}",
        b"null",
        b"7",
        b"\xff\xfe",
        &[b'x'; 100_000],
    ] {
        for topic in Topic::ALL {
            broker.say(&format!("aldis/ghost/{}", topic.as_str()), payload, false);
        }
        broker.say("homeassistant/status", payload, false);
        broker.say("homeassistant/device//config", payload, false);
        broker.say("homeassistant/device/aldis__ghost/config", payload, false);
        broker.say("homeassistant/device/_ff/config", payload, false);
        broker.say("aldis/ghost/x/status", payload, false);
    }
    assert_eq!(broker.wait(600_000), [0]);
}

/// After an upgrade Home Assistant shows the old version for ever.
#[test]
fn a_change_is_announced_and_a_flood_of_them_is_not() {
    let mut broker = Broker::new(&["Aldis hub"]);
    broker.say("aldis/kitchen/diag", &diag("0.1.0"), false);
    assert_eq!(broker.wait(100_000), [1]);
    broker.say("aldis/kitchen/diag", &diag("0.2.0"), false);
    assert_eq!(broker.wait(2_000), [1]);
    assert_eq!(broker.config()["device"]["sw_version"], "0.2.0");
    let mut count = 0;
    for version in 0..600 {
        broker.say("aldis/kitchen/diag", &diag(&version.to_string()), false);
        count += broker.wait(1_000)[0];
    }
    assert!((9..=11).contains(&count), "{count}");
    broker.wait(60_000);
    assert_eq!(broker.config()["device"]["sw_version"], "599");
}

/// A title that shows only after the next restart, or one that goes for a minute unseen.
#[test]
fn a_title_is_announced_at_once() {
    let mut broker = Broker::new(&["Aldis hub"]);
    let titles = HashMap::from([("aldis/kitchen".to_owned(), "Kitchen".to_owned())]);
    broker.hubs[0].begin_with(&titles);
    broker.say(ONLINE.0, ONLINE.1, true);
    assert_eq!(broker.wait(10_000), [1]);
    assert_eq!(broker.name(), "Kitchen");
    let now = broker.now;
    broker.hubs[0].title(now, "aldis/kitchen", Some("Küche"));
    assert_eq!(broker.wait(100), [1]);
    assert_eq!(broker.name(), "Küche");
    broker.hubs[0].title(now, "aldis/kitchen", Some("Küche"));
    broker.hubs[0].title(now, "aldis/nobody", Some("Nobody"));
    broker.hubs[0].title(now, "other/kitchen", Some("Other"));
    broker.hubs[0].title(now, "nonsense", Some("Nonsense"));
    assert_eq!(broker.wait(10_000), [0]);
    broker.hubs[0].titles(now, &HashMap::new());
    assert_eq!(broker.wait(100), [1]);
    assert_eq!(broker.name(), "kitchen");
}

/// A thousand devices all at once, in the moment in which Home Assistant has most to do.
#[test]
fn after_a_birth_each_device_is_announced_at_a_moment_of_its_own() {
    let mut broker = Broker::new(&["Aldis hub"]);
    for device in 0..1_000 {
        broker.say(&format!("aldis/d{device}/status"), b"online", true);
    }
    assert_eq!(broker.wait(10_000), [1_000]);
    broker.say("homeassistant/status", b"offline", false);
    assert_eq!(broker.wait(20_000), [0]);
    // Twice is as once.
    broker.say("homeassistant/status", b"online", false);
    broker.say("homeassistant/status", b"online", false);
    for second in 0..10 {
        let count = broker.wait(1_000)[0];
        assert!((50..=150).contains(&count), "{count} in second {second}");
    }
    assert_eq!(broker.wait(20_000), [0]);
    assert_eq!(broker.published.len(), 2_000);
    // One that the broker had kept tells nothing.
    broker.hubs[0].message(broker.now, "homeassistant/status", b"online", true);
    assert_eq!(broker.wait(20_000), [0]);
}

/// A restart of the hub has Home Assistant take thousands of devices in again for nothing,
/// and sensors vanish until the next diag.
#[test]
fn a_hub_that_starts_again_knows_what_it_has_announced() {
    let mut broker = Broker::new(&["Aldis hub"]);
    broker.say(ONLINE.0, ONLINE.1, true);
    broker.say("aldis/kitchen/diag", &diag("0.1.0"), false);
    broker.say("aldis/kitchen/climate", &climate(1, 0), false);
    broker.wait(400_000);
    broker.say("aldis/kitchen/climate", &climate(2, 0), false);
    broker.wait(60_000);
    assert_eq!(
        broker.config()["components"]["temperature"]["expire_after"],
        7_200
    );
    let before = broker.kept.clone();
    broker.hubs.clear();
    broker.start("Aldis hub", false);
    assert_eq!(broker.wait(100_000), [0]);
    broker.say("aldis/kitchen/diag", &diag("0.1.0"), false);
    assert_eq!(broker.wait(100_000), [0]);
    assert_eq!(broker.kept, before);
    // What was announced by an older program is brought up to date.
    let mut old = broker.config();
    old["components"]["lamp"]["icon"] = json!("mdi:led-on");
    broker
        .kept
        .insert(CONFIG.to_owned(), old.to_string().into_bytes());
    broker.hubs.clear();
    broker.start("Aldis hub", false);
    assert_eq!(broker.wait(100_000), [1]);
    assert_eq!(broker.kept, before);
}

/// Home Assistant's devices are gone after its next start, because the broker forgot them.
#[test]
fn what_the_broker_forgot_is_announced_again() {
    let mut broker = Broker::new(&["Aldis hub"]);
    broker.say(ONLINE.0, ONLINE.1, true);
    broker.say("aldis/kitchen/diag", &diag("0.1.0"), false);
    broker.wait(10_000);
    let before = broker.config();
    broker.restart();
    assert_eq!(
        broker.wait(1_900),
        [0],
        "the broker may be about to tell it"
    );
    assert_eq!(broker.wait(10_000), [1]);
    assert_eq!(broker.config(), before);
    // One that kept it is not bothered.
    broker.hubs[0].disconnected();
    assert_eq!(broker.wait(60_000), [0]);
    broker.connect(0);
    assert_eq!(broker.wait(60_000), [0]);
}

/// A device that was removed stays at Home Assistant, or one that lives stays away.
#[test]
fn a_forgotten_device_goes_until_it_speaks() {
    let mut broker = Broker::new(&["Aldis hub"]);
    broker.say(ONLINE.0, ONLINE.1, true);
    broker.hubs[0].title(0, "aldis/kitchen", Some("Kitchen"));
    broker.wait(10_000);
    broker.hubs[0].forget(broker.now, "aldis/kitchen");
    // As whoever removes it does.
    broker.say(ONLINE.0, b"", true);
    assert_eq!(broker.wait(100_000), [1]);
    assert!(broker.kept.is_empty());
    broker.say("homeassistant/status", b"online", false);
    assert_eq!(broker.wait(100_000), [0]);
    broker.say("aldis/kitchen/climate", &climate(1, 0), false);
    assert_eq!(broker.wait(100_000), [1]);
    assert_eq!(broker.name(), "kitchen");

    // Without a connection it waits for one.
    broker.hubs[0].disconnected();
    broker.hubs[0].forget(broker.now, "aldis/kitchen");
    assert_eq!(broker.wait(100_000), [0]);
    broker.connect(0);
    assert_eq!(broker.wait(100_000), [1]);
    assert!(broker.kept.is_empty());

    // By a hub that was just started and has heard nothing of it.
    broker.say(ONLINE.0, ONLINE.1, true);
    broker.wait(100_000);
    broker.kept.remove(ONLINE.0);
    broker.hubs.clear();
    broker.start("Aldis hub", false);
    broker.hubs[0].forget(broker.now, "aldis/kitchen");
    broker.hubs[0].forget(broker.now, "aldis/never-heard-of");
    broker.hubs[0].forget(broker.now, "aldis/a/b");
    broker.hubs[0].forget(broker.now, "");
    assert_eq!(broker.wait(100_000), [1]);
    assert!(broker.kept.is_empty());
    assert_eq!(broker.hubs[0].devices.len(), 0);
}

/// A strangers' device is overwritten or taken away by ours.
#[test]
fn what_others_announced_is_left_alone() {
    let stranger = br#"{"o":{"name":"somebody"},"dev":{"ids":"x"},"cmps":{}}"#;
    let mut broker = Broker::new(&["Aldis hub"]);
    broker.say(CONFIG, stranger, true);
    broker.say("homeassistant/sensor/aldis__kitchen/config", stranger, true);
    broker.say(ONLINE.0, ONLINE.1, true);
    broker.wait(10_000);
    broker.say("homeassistant/status", b"online", false);
    broker.hubs[0].title(broker.now, "aldis/kitchen", Some("Kitchen"));
    broker.wait(100_000);
    broker.hubs[0].forget(broker.now, "aldis/kitchen");
    broker.wait(10_000);
    broker.hubs.clear();
    broker.start("Aldis hub", true);
    assert_eq!(broker.wait(10_000), [0]);
    assert_eq!(broker.published, []);
    assert_eq!(broker.kept[CONFIG], stranger);
}

/// Somebody's rubbish on a device's topic keeps it away from Home Assistant for good.
#[test]
fn what_was_overwritten_is_mended() {
    let mut broker = Broker::new(&["Aldis hub"]);
    broker.say(ONLINE.0, ONLINE.1, true);
    broker.wait(100_000);
    let before = broker.kept.clone();
    for rubbish in [&b"rubbish"[..], b"{}", b"\xff"] {
        broker.say(CONFIG, rubbish, true);
        assert_eq!(broker.wait(100_000), [1]);
        assert_eq!(broker.kept, before);
    }
    // What Home Assistant's user deletes there stays deleted until its next start.
    broker.say(CONFIG, b"", true);
    assert_eq!(broker.wait(1_000_000), [0]);
    broker.say("homeassistant/status", b"online", false);
    assert_eq!(broker.wait(100_000), [1]);
    assert_eq!(broker.kept, before);
}

/// Two hubs overwrite each other in turns, each for the sake of its own title, for ever.
#[test]
fn two_hubs_do_not_fight() {
    let mut broker = Broker::new(&["Aldis hub a", "Aldis hub b"]);
    let titles = |title: &str| HashMap::from([("aldis/kitchen".to_owned(), title.to_owned())]);
    broker.hubs[0].begin_with(&titles("A's"));
    broker.hubs[1].begin_with(&titles("B's"));
    broker.say(ONLINE.0, ONLINE.1, true);
    broker.say("aldis/kitchen/diag", &diag("0.1.0"), false);
    let first = broker.wait(100_000);
    assert_eq!(first.iter().sum::<usize>(), 1, "{first:?}");
    let name = broker.name();
    for _ in 0..5 {
        broker.say("homeassistant/status", b"online", false);
        assert_eq!(broker.wait(100_000).iter().sum::<usize>(), 1);
        assert_eq!(broker.name(), name);
    }
    broker.say("aldis/kitchen/diag", &diag("0.2.0"), false);
    assert!(broker.wait(1_000_000).iter().sum::<usize>() <= 2);
    assert_eq!(broker.config()["device"]["sw_version"], "0.2.0");

    // Who names it has the word.
    broker.hubs[0].title(broker.now, "aldis/kitchen", Some("New"));
    assert_eq!(broker.wait(100_000), [1, 0]);
    assert_eq!(broker.name(), "New");
    broker.hubs[1].title(broker.now, "aldis/kitchen", Some("Newer"));
    assert_eq!(broker.wait(1_000_000), [0, 1]);
    assert_eq!(broker.name(), "Newer");

    // A hub that is switched off takes away what is its own, and the other steps in.
    broker.hubs.remove(1);
    broker.start("Aldis hub b", true);
    assert_eq!(broker.wait(100_000), [1, 1]);
    assert_eq!(broker.name(), "New");
    assert_eq!(broker.hubs[1].withdrawn(broker.now), Some(1));
}

/// A title that is given before the device is heard, as at the start, is lost to another
/// hub's.
#[test]
fn who_names_a_device_before_it_is_heard_has_the_word_too() {
    let mut broker = Broker::new(&["Aldis hub a"]);
    broker.say(ONLINE.0, ONLINE.1, true);
    broker.wait(100_000);
    let kept = std::mem::take(&mut broker.kept);
    broker.start("Aldis hub b", false);
    broker.hubs[1].title(broker.now, "aldis/kitchen", Some("B's"));
    broker.kept = kept;
    broker.connect(1);
    assert_eq!(broker.wait(100_000), [0, 1]);
    assert_eq!(broker.name(), "B's");
    broker.connect(1);
    assert_eq!(broker.wait(100_000), [0, 0]);
}

/// What the broker keeps is still on its way, and is taken for forgotten.
#[test]
fn a_slow_broker_has_time_to_say_what_it_keeps() {
    let mut broker = Broker::new(&["Aldis hub"]);
    broker.say(ONLINE.0, ONLINE.1, true);
    broker.wait(100_000);
    broker.hubs.clear();
    let hub = broker.start("Aldis hub", true);
    let hub = &mut broker.hubs[hub];
    let began = broker.now;
    for ms in [100, 1_900, 2_300, 2_700] {
        assert_eq!(hub.next(began + ms), None);
        hub.message(began + ms, CONFIG, &broker.kept[CONFIG], true);
    }
    assert_eq!(hub.deadline(), Some(began + 3_200));
    // However often it was told, it is taken away once.
    let removal = Publication {
        topic: CONFIG.to_owned(),
        payload: Vec::new(),
    };
    assert_eq!(hub.next(began + 3_200), Some(removal));
    assert_eq!(hub.next(began + 3_200), None);
    assert_eq!(hub.withdrawn(began + 3_200), None);
    hub.done(began + 3_200, CONFIG, Outcome::Published);
    assert_eq!(hub.withdrawn(began + 3_200), Some(1));
}

/// Two hubs of different programs, whose announcements differ, never come to rest.
#[test]
fn hubs_of_different_versions_come_to_rest() {
    let mut broker = Broker::new(&["Aldis hub a"]);
    broker.say(ONLINE.0, ONLINE.1, true);
    broker.wait(100_000);
    // What another program would say.
    let mut other = broker.config();
    other["origin"]["name"] = json!("Aldis hub b");
    other["components"]["lamp"]["icon"] = json!("mdi:led-on");
    let other = other.to_string().into_bytes();
    let mut count = 0;
    for _ in 0..10 {
        broker.say(CONFIG, &other, true);
        broker.say("homeassistant/status", b"online", false);
        count += broker.wait(100_000)[0];
    }
    assert_eq!(count, 0);
    broker.connect(0);
    assert_eq!(broker.wait(1_000_000), [1]);
}

/// Switched off, and the devices stay at Home Assistant as they were.
#[test]
fn everything_of_ours_is_taken_away_and_nothing_else() {
    let mut broker = Broker::new(&["Aldis hub", "Aldis hub other"]);
    for device in 0..500 {
        broker.say(&format!("aldis/d{device}/status"), b"online", true);
    }
    broker.wait(60_000);
    let mine = broker
        .published
        .iter()
        .filter(|(hub, _, _)| *hub == 0)
        .count();
    let status = "homeassistant/device/x/config";
    broker.say(status, br#"{"o":{"name":"x"}}"#, true);
    broker.hubs.clear();
    let hub = broker.start("Aldis hub", true);
    assert_eq!(broker.hubs[hub].withdrawn(broker.now), None);
    broker.say("homeassistant/status", b"online", false);
    broker.say("aldis/d1/climate", &climate(1, 0), false);
    broker.hubs[hub].forget(broker.now, "aldis/d1");
    assert_eq!(broker.wait(60_000), [mine]);
    assert_eq!(broker.hubs[hub].withdrawn(broker.now), Some(mine as u64));
    let left = broker
        .kept
        .keys()
        .filter(|topic| topic.ends_with("/config"));
    assert_eq!(left.count(), 500 - mine + 1);
}

/// A publication that went wrong is never tried again, or at once and for ever.
#[test]
fn what_was_not_published_is_tried_again() {
    let mut hub = Broker::new(&["Aldis hub"]).hubs.remove(0);
    hub.message(0, ONLINE.0, ONLINE.1, true);
    let Publication { topic, payload } = hub.next(5_000).unwrap();
    assert_eq!(topic, CONFIG);
    assert_eq!(hub.next(5_000), None);
    // What changes meanwhile follows, and not beside it.
    hub.title(5_000, "aldis/kitchen", Some("Kitchen"));
    assert_eq!(hub.next(60_000), None);
    hub.done(60_000, &topic, Outcome::Unknown);
    let again = hub.next(60_000).unwrap();
    assert_ne!(again.payload, payload);
    hub.done(60_000, &topic, Outcome::Unknown);
    assert_eq!(hub.next(61_999), None);
    assert_eq!(hub.next(66_000), Some(again));
    hub.done(66_000, &topic, Outcome::Refused);
    assert_eq!(hub.deadline(), Some(126_000));
    assert!(hub.next(126_000).is_some());
    hub.done(126_000, &topic, Outcome::Published);
    assert_eq!(hub.deadline(), None);
    // An answer that nobody waits for.
    hub.done(126_000, "x", Outcome::Published);
    hub.done(126_000, &topic, Outcome::Published);
}

/// Readings of an outage, a pause of the sensor or a lost one are taken for a slow device.
#[test]
fn only_readings_that_follow_each_other_tell_the_interval() {
    let mut broker = Broker::new(&["Aldis hub"]);
    let mut expiry = |steps: &[(u64, &str, Vec<u8>)]| {
        for (wait, what, payload) in steps {
            broker.wait(*wait);
            broker.say(&format!("aldis/kitchen/{what}"), payload, false);
        }
        broker.wait(120_000);
        broker.config()["components"]["temperature"]["expire_after"].clone()
    };
    let minutes = |minutes: u64| minutes * 60_000;
    assert_eq!(
        expiry(&[
            (0, "climate", climate(1, 0)),
            (5_000, "climate", climate(2, 0))
        ]),
        300
    );
    // After an outage, with its true age.
    assert_eq!(
        expiry(&[(minutes(10), "climate", climate(3, 590_000))]),
        300
    );
    // The sensor was away.
    assert_eq!(
        expiry(&[
            (0, "climate", climate(10, 0)),
            (0, "sensor", b"stale".to_vec()),
            (minutes(10), "climate", climate(11, 0)),
        ]),
        300
    );
    // The device was away.
    assert_eq!(
        expiry(&[
            (0, "status", b"offline".to_vec()),
            (minutes(10), "climate", climate(12, 0))
        ]),
        300
    );
    // One in between was not heard.
    assert_eq!(
        expiry(&[
            (0, "climate", climate(20, 0)),
            (minutes(10), "climate", climate(22, 0))
        ]),
        300
    );
    assert_eq!(
        expiry(&[
            (0, "climate", climate(30, 0)),
            (minutes(10), "climate", climate(31, 0))
        ]),
        7_200
    );
}

/// One device with an id that Home Assistant refuses is tried for ever.
#[test]
fn a_device_that_home_assistant_does_not_take_is_left_out() {
    let mut broker = Broker::new(&["Aldis hub"]);
    broker.say("aldis/a\u{fffe}/status", b"online", true);
    broker.say("aldis/b\u{fdd0}/status", b"online", true);
    broker.say("aldis/c\u{fffd}/status", b"online", true);
    assert_eq!(broker.wait(100_000), [1]);
    assert_eq!(broker.wait(1_000_000), [0]);
}
