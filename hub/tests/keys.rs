//! The owner and the paired devices: who comes in, what each may do, and what is taken away.

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use aldis_hub::{
    Access, Action, Device, DevicePassword, Effect, Hub, HubConfig, Keyring, Keys, KeysFile, OWNER,
    Rule, RunningHub, hash_password,
};
use aldis_protocol::Topic;
use common::raw::{Connect, Raw};
use common::{Program, VERSIONS, allow, finish, mosquitto, publish, user};
use tempfile::TempDir;
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

/// MQTT 5: not authorized, bad user name or password.
const NOT_AUTHORIZED: u8 = 0x87;
const BAD_PASSWORD: u8 = 0x86;

/// A hub with an owner and devices, whose keys are in a file.
struct House {
    hub: RunningHub,
    file: KeysFile,
    kitchen: String,
    attic: String,
    _dir: TempDir,
}

const OWNERS: &str = "the owner's own";

impl House {
    async fn new() -> Self {
        Self::with(HubConfig::ephemeral()).await
    }

    /// `kitchen` may send to `attic`, not the other way round.
    async fn with(config: HubConfig) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = KeysFile::of(dir.path());
        let (kitchen, attic) = (DevicePassword::generate(), DevicePassword::generate());
        file.update(|keys| {
            keys.owner = Some(hash_password(OWNERS).expect("a hash"));
            let device = |password: &DevicePassword| Device::new(password.hash().expect("a hash"));
            let peers = vec!["attic".to_owned()];
            let device_with_peer = Device {
                peers,
                ..device(&kitchen)
            };
            keys.devices.insert("kitchen".to_owned(), device_with_peer);
            keys.devices.insert("attic".to_owned(), device(&attic));
            Ok(())
        })
        .expect("the keys are written");
        let config = HubConfig {
            keys: Some(Keyring::open(dir.path()).expect("the keys are read")),
            ..config
        };
        Self {
            hub: Hub::start(config).await.expect("the hub starts"),
            file,
            kitchen: kitchen.expose().to_owned(),
            attic: attic.expose().to_owned(),
            _dir: dir,
        }
    }

    fn addr(&self) -> SocketAddr {
        self.hub.mqtt_addr()
    }

    fn change(&self, change: impl FnOnce(&mut Keys)) {
        let changed = self.file.update(|keys| {
            change(keys);
            Ok(())
        });
        changed.expect("the keys are written");
    }

    fn attempt(&self, connect: Connect<'_>) -> Result<(Raw, bool), u8> {
        let stream = TcpStream::connect(self.addr()).expect("the hub accepts connections");
        Raw::attempt(stream, connect)
    }

    fn kitchen(&self) -> Connect<'_> {
        v5("kitchen", Some(("kitchen", &self.kitchen)))
    }

    fn attic(&self) -> Connect<'_> {
        v5("attic", Some(("attic", &self.attic)))
    }
}

fn v5<'a>(id: &'a str, user: Option<(&'a str, &'a str)>) -> Connect<'a> {
    Connect {
        id,
        user,
        v5_expiry: Some(3600),
        ..Connect::default()
    }
}

fn owner(id: &str) -> Connect<'_> {
    v5(id, Some((OWNER, OWNERS)))
}

/// Tries until it is so.
fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + common::PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never comes to that");
        std::thread::yield_now();
    }
}

/// The owner is locked out of something, or of everything.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_may_do_everything() {
    let rules = vec![Rule {
        effect: Effect::Deny,
        ..allow(None, "#")
    }];
    let access = Access {
        rules,
        ..Access::default()
    };
    let house = House::with(HubConfig {
        access,
        ..HubConfig::ephemeral()
    })
    .await;
    let credentials = ["-u", OWNER, "-P", OWNERS];
    for version in VERSIONS {
        let arguments = [&credentials[..], &["-V", version, "-t", "#"]].concat();
        let mut witness = Program::subscriber(house.addr(), &arguments);
        let message = [
            "-V",
            version,
            "-t",
            "aldis/kitchen/led/set",
            "-q",
            "1",
            "-m",
            "on",
        ];
        publish(house.addr(), &[&credentials[..], &message].concat());
        assert_eq!(witness.message(), "aldis/kitchen/led/set on");
        let wrong = ["-u", OWNER, "-P", "wrong", "-t", "t", "-m", "x", "-q", "1"];
        assert!(
            !finish(&mut mosquitto("mosquitto_pub", house.addr(), &wrong))
                .status
                .success()
        );
    }
    house.hub.shutdown().await;
}

/// The parts of the hub cannot do their work, or others come in by their name.
#[tokio::test(flavor = "multi_thread")]
async fn the_hubs_own_parts_come_in_by_a_secret_of_this_run() {
    let house = House::new().await;
    let (name, secret) = house.hub.inner();
    let (mut part, _) = house.attempt(v5("part", Some((&name, &secret)))).unwrap();
    assert_eq!(part.try_subscribe("#"), 1);
    assert_eq!(part.try_publish("aldis/kitchen/climate/ack", "1", false), 0);
    for wrong in ["", "x", &secret[1..], &format!("{secret}x")] {
        let code = house.attempt(v5("other", Some((&name, wrong)))).err();
        assert_eq!(code, Some(BAD_PASSWORD), "{wrong}");
    }
    // Its place is nobody else's, also while it is away.
    drop(part);
    for connect in [
        v5("part", None),
        owner("part"),
        v5("part", Some(("kitchen", &house.kitchen))),
    ] {
        assert_eq!(house.attempt(connect).err(), Some(NOT_AUTHORIZED));
    }
    let other = Hub::start(HubConfig::ephemeral()).await.unwrap();
    assert_ne!(other.inner().1, secret);
    assert!(secret.len() >= 52, "260 bits");
    assert!(!format!("{:?}", house.hub).contains(&secret));
    // Also where nobody else has a name.
    let stream = TcpStream::connect(other.mqtt_addr()).unwrap();
    let code = Raw::attempt(stream, v5("x", Some((&name, &secret)))).err();
    assert_eq!(code, Some(BAD_PASSWORD));
    other.shutdown().await;
    house.hub.shutdown().await;
}

/// A device cannot say or hear what it has to, or can more.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_may_do_what_is_its_own_and_nothing_else() {
    let house = House::new().await;
    let (mut witness, _) = house.attempt(owner("witness")).unwrap();
    assert_eq!(witness.try_subscribe("#"), 1);
    let (mut device, _) = house.attempt(house.kitchen()).unwrap();
    let own = |topic: Topic| format!("aldis/kitchen/{}", topic.as_str());
    let says = [
        (Topic::Climate, false),
        (Topic::Sensor, true),
        (Topic::Led, true),
        (Topic::Status, true),
        (Topic::Diag, false),
        (Topic::MessageState, false),
        (Topic::MorseHeard, false),
        (Topic::Answer, false),
        (Topic::Start, false),
    ];
    let hears = [
        Topic::ClimateAck,
        Topic::LedSet,
        Topic::MessageSet,
        Topic::MorseSet,
        Topic::Start,
    ];
    let mut allowed: Vec<(String, bool)> = says
        .into_iter()
        .map(|(topic, kept)| (own(topic), kept))
        .collect();
    allowed.push(("testincr".to_owned(), false));
    allowed.push(("aldis/kitchen/answer/phone".to_owned(), false));
    allowed.push(("aldis/attic/message/set".to_owned(), false));
    for (topic, kept) in &allowed {
        assert_eq!(device.try_publish(topic, "x", *kept), 0, "{topic}");
        witness.wait_for(topic);
    }
    for topic in hears {
        assert_eq!(device.try_subscribe(&own(topic)), 1, "{topic:?}");
    }
    assert_eq!(device.try_subscribe("output"), 1);

    for (topic, retain) in [
        ("aldis/kitchen/climate/ack", false),
        ("aldis/kitchen/led/set", false),
        ("aldis/kitchen/message/set", false),
        ("aldis/kitchen/morse/set", false),
        ("aldis/kitchen/climate", true),
        ("aldis/kitchen/start", true),
        ("aldis/kitchen/other", false),
        ("aldis/kitchen", false),
        ("aldis/attic/led/set", false),
        ("aldis/attic/status", true),
        ("aldis/attic/message/set", true),
        ("aldis/attic/message/state", false),
        ("aldis/hall/message/set", false),
        ("output", false),
        ("testincr", true),
        ("other/kitchen/status", false),
        ("homeassistant/device/kitchen/config", true),
        ("$SYS/broker", false),
        ("$share/g/aldis/attic/led/set", false),
        ("$delayed/1/aldis/attic/led/set", false),
        ("/aldis/attic/led/set", false),
        ("aldis//kitchen/status", false),
    ] {
        assert_eq!(
            device.try_publish(topic, "x", retain),
            NOT_AUTHORIZED,
            "{topic}"
        );
    }
    for filter in [
        "#",
        "+",
        "+/#",
        "aldis/#",
        "aldis/+/led/set",
        "aldis/+/message/set",
        "aldis/kitchen/#",
        "aldis/kitchen/+/set",
        "aldis/kitchen/climate",
        "aldis/attic/led/set",
        "aldis/attic/message/set",
        "aldis/attic/message/state",
        "aldis/attic/#",
        "testincr",
        "$SYS/#",
        "$share/g/#",
        "$share/g/output",
        "$share/g/aldis/kitchen/led/set",
        "$share/g/aldis/attic/led/set",
    ] {
        assert_eq!(device.try_subscribe(filter), NOT_AUTHORIZED, "{filter}");
    }
    // Not granted under the surface: it hears its own command, and nothing before it.
    for topic in ["testincr", "aldis/attic/led/set", "aldis/kitchen/led/set"] {
        assert_eq!(witness.try_publish_among(topic, "now"), 0);
    }
    let heard = device.read();
    let topic = b"aldis/kitchen/led/set";
    assert_eq!(&heard.body[2..2 + topic.len()], topic);
    house.hub.shutdown().await;
}

/// A forbidden message reaches somebody because MQTT 3.1.1 cannot refuse it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_forbidden_arrives_nowhere_in_mqtt_3_1_1() {
    let house = House::new().await;
    let mut witness = Program::subscriber(house.addr(), &["-u", OWNER, "-P", OWNERS, "-t", "#"]);
    let kitchen = [
        "-V",
        "mqttv311",
        "-i",
        "kitchen",
        "-u",
        "kitchen",
        "-P",
        &house.kitchen,
    ];
    for (topic, retain) in [("aldis/attic/led/set", false), ("aldis/attic/status", true)] {
        let mut message = vec!["-q", "1", "-t", topic, "-m", "evil"];
        if retain {
            message.push("-r");
        }
        finish(&mut mosquitto(
            "mosquitto_pub",
            house.addr(),
            &[&kitchen[..], &message].concat(),
        ));
    }
    let fine = [
        "-q",
        "1",
        "-t",
        "aldis/kitchen/status",
        "-m",
        "online",
        "-r",
    ];
    publish(house.addr(), &[&kitchen[..], &fine].concat());
    assert_eq!(witness.message(), "aldis/kitchen/status online");
    let subscribe = [&kitchen[..], &["-t", "aldis/+/led/set", "-W", "5"]].concat();
    let refused = finish(&mut mosquitto("mosquitto_sub", house.addr(), &subscribe));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("denied"),
        "{refused:?}"
    );
    let retained = [
        "-u",
        OWNER,
        "-P",
        OWNERS,
        "-t",
        "aldis/+/status",
        "-W",
        "1",
        "-F",
        "%t",
    ];
    let retained = finish(&mut mosquitto("mosquitto_sub", house.addr(), &retained));
    assert_eq!(
        String::from_utf8_lossy(&retained.stdout),
        "aldis/kitchen/status\n"
    );
    house.hub.shutdown().await;
}

/// A will says what its device may not, when nobody asks any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_will_is_a_publication() {
    let house = House::new().await;
    for (topic, retain, allowed) in [
        ("aldis/kitchen/status", true, true),
        ("aldis/attic/message/set", false, true),
        ("aldis/attic/message/set", true, false),
        ("aldis/attic/status", true, false),
        ("aldis/attic/led/set", false, false),
        ("aldis/kitchen/led/set", false, false),
        ("output", false, false),
    ] {
        for v5_expiry in [None, Some(0)] {
            let connect = Connect {
                will: Some((topic, 0)),
                will_retain: retain,
                v5_expiry,
                clean: true,
                ..house.kitchen()
            };
            let result = house.attempt(connect);
            assert_eq!(result.is_ok(), allowed, "{topic} {retain} {v5_expiry:?}");
        }
    }
    house.hub.shutdown().await;
}

/// A device comes in as another, or throws another out.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_by_anothers_id() {
    let house = House::new().await;
    let (mut attic, _) = house.attempt(house.attic()).unwrap();
    let (kitchen, attics) = (house.kitchen.as_str(), house.attic.as_str());
    for (id, user, code) in [
        ("attic", Some(("kitchen", kitchen)), NOT_AUTHORIZED),
        ("kitchen2", Some(("kitchen", kitchen)), NOT_AUTHORIZED),
        ("Kitchen", Some(("kitchen", kitchen)), NOT_AUTHORIZED),
        ("attic", Some(("attic", kitchen)), BAD_PASSWORD),
        ("attic", Some(("attic", "")), BAD_PASSWORD),
        ("kitchen", Some(("attic", attics)), NOT_AUTHORIZED),
        ("attic", Some((OWNER, OWNERS)), NOT_AUTHORIZED),
        ("attic", None, NOT_AUTHORIZED),
        ("attic", Some(("", "")), BAD_PASSWORD),
        ("x", Some((OWNER, kitchen)), BAD_PASSWORD),
        ("x", Some(("stranger", kitchen)), BAD_PASSWORD),
    ] {
        for clean in [true, false] {
            let connect = Connect {
                clean,
                ..v5(id, user)
            };
            assert_eq!(house.attempt(connect).err(), Some(code), "{id} {user:?}");
        }
    }
    // The hub would give it one.
    let nameless = Connect {
        clean: true,
        ..v5("", Some(("kitchen", kitchen)))
    };
    assert_eq!(house.attempt(nameless).err(), Some(NOT_AUTHORIZED));
    attic.ping();
    // It may take its own place.
    let (_again, present) = house.attempt(house.attic()).unwrap();
    assert!(present);
    attic.rest();
    house.hub.shutdown().await;
}

/// A session with the subscriptions of somebody who may do more, or with messages for somebody
/// else, falls to whoever takes its id.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_somebody_else_is_not_taken_over() {
    let access = Access {
        anonymous: Some(true),
        users: vec![user("ann", "a"), user("bob", "b")],
        ..Access::default()
    };
    let house = House::with(HubConfig {
        access,
        ..HubConfig::ephemeral()
    })
    .await;
    let attempt = |id, user| house.attempt(v5(id, user));
    let everything = |id, user| {
        let (mut client, _) = attempt(id, user).expect("it comes in");
        assert_eq!(client.try_subscribe("#"), 1);
        client.disconnect();
    };
    // A device of before it was paired.
    everything("hall", None);
    let hall = DevicePassword::generate();
    house.change(|keys| {
        let device = Device::new(hall.hash().expect("a hash"));
        keys.devices.insert("hall".to_owned(), device);
    });
    let hall = v5("hall", Some(("hall", hall.expose())));
    // At once, without waiting for the hub to look at the file.
    let (mut device, present) = house.attempt(hall).expect("it comes in");
    assert!(!present);
    assert_eq!(device.try_subscribe("output"), 1);
    let (mut speaker, _) = attempt("speaker", None).unwrap();
    speaker.try_publish("secret", "x", false);
    speaker.try_publish("output", "on", false);
    let heard = device.read();
    assert_eq!(&heard.body[2..8], b"output");

    // Users among each other, and those without a name.
    everything("shared", Some(("ann", "a")));
    assert_eq!(
        attempt("shared", Some(("bob", "b"))).err(),
        Some(NOT_AUTHORIZED)
    );
    assert_eq!(attempt("shared", None).err(), Some(NOT_AUTHORIZED));
    assert!(attempt("shared", Some(("ann", "a"))).unwrap().1);
    assert!(!attempt("shared", Some((OWNER, OWNERS))).unwrap().1);
    everything("open", None);
    assert!(!attempt("open", Some(("ann", "a"))).unwrap().1);
    house.hub.shutdown().await;
}

/// A device that was put out stays, or comes back; one that was paired waits for a restart.
#[tokio::test(flavor = "multi_thread")]
async fn changed_keys_count_while_the_hub_runs() {
    let house = House::new().await;
    let (mut kitchen, _) = house.attempt(house.kitchen()).unwrap();
    let (mut attic, _) = house.attempt(house.attic()).unwrap();
    let (mut mistress, _) = house.attempt(owner("phone")).unwrap();
    let (mut guest, _) = house.attempt(v5("guest", None)).unwrap();

    // A mistake changes nothing.
    let good = std::fs::read_to_string(house.file.path()).unwrap();
    std::fs::write(house.file.path(), "anonymous = perhaps").unwrap();
    std::fs::write(house.file.path(), good).unwrap();

    let new = DevicePassword::generate();
    house.change(|keys| {
        keys.devices
            .get_mut("kitchen")
            .expect("it is there")
            .password = new.hash().expect("a hash");
    });
    // The hub ends the connection.
    kitchen.ping_until_closed();
    attic.ping();
    mistress.ping();
    guest.ping();
    assert_eq!(house.attempt(house.kitchen()).err(), Some(BAD_PASSWORD));
    let renewed = v5("kitchen", Some(("kitchen", new.expose())));
    // It is still the same device.
    assert!(house.attempt(renewed).unwrap().1);

    house.change(|keys| {
        keys.devices.remove("attic");
        keys.owner = Some(hash_password("another").expect("a hash"));
    });
    attic.ping_until_closed();
    mistress.ping_until_closed();
    guest.ping();
    assert_eq!(house.attempt(house.attic()).err(), Some(BAD_PASSWORD));
    assert_eq!(house.attempt(owner("phone")).err(), Some(BAD_PASSWORD));
    assert!(house.attempt(v5("phone", Some((OWNER, "another")))).is_ok());
    // Its session ended: whoever gets this id does not get what was meant for it.
    assert!(!house.attempt(v5("attic", None)).unwrap().1);

    // One that was paired, came in and is changed before the hub looks at its file by itself.
    let hall = DevicePassword::generate();
    let hash = || DevicePassword::generate().hash().expect("a hash");
    house.change(|keys| {
        let device = Device::new(hall.hash().expect("a hash"));
        keys.devices.insert("hall".to_owned(), device);
    });
    let came_in = v5("hall", Some(("hall", hall.expose())));
    let (mut newcomer, _) = house.attempt(came_in).unwrap();
    house.change(|keys| {
        keys.devices.insert("hall".to_owned(), Device::new(hash()));
    });
    newcomer.ping_until_closed();

    house.change(|keys| keys.anonymous = false);
    guest.ping_until_closed();
    assert_eq!(house.attempt(v5("guest", None)).err(), Some(NOT_AUTHORIZED));
    house.change(|keys| keys.anonymous = true);
    until(|| house.attempt(v5("guest", None)).is_ok());
    house.hub.shutdown().await;
}

/// A device that was put out finds its session, and what was meant for it, when the hub was
/// restarted and it is paired again; or one that stays loses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_device_over_a_restart() {
    let data = tempfile::tempdir().expect("a directory");
    let file = KeysFile::of(data.path());
    let password = DevicePassword::generate();
    let change = |id: &'static str, paired: bool| {
        file.update(|keys| {
            if paired {
                let device = Device::new(password.hash().expect("a hash"));
                keys.devices.insert(id.to_owned(), device);
            } else {
                keys.devices.remove(id);
            }
            Ok(())
        })
        .expect("the keys are written");
    };
    let start = async || {
        let config = HubConfig {
            data: Some(data.path().to_owned()),
            keys: Some(Keyring::open(data.path()).expect("the keys are read")),
            ..HubConfig::ephemeral()
        };
        Hub::start(config).await.expect("the hub starts")
    };
    let attempt = |hub: &RunningHub, id| {
        let stream = TcpStream::connect(hub.mqtt_addr()).expect("the hub accepts connections");
        Raw::attempt(stream, v5(id, Some((id, password.expose()))))
    };
    let ids = ["kitchen", "attic", "hall"];
    for id in ids {
        change(id, true);
    }
    let hub = start().await;
    for id in ids {
        let (mut device, present) = attempt(&hub, id).unwrap();
        assert!(!present);
        assert_eq!(device.try_subscribe("output"), 1);
        device.disconnect();
    }
    // One while the hub runs, one while it does not.
    change("attic", false);
    until(|| {
        let store = rusqlite::Connection::open(data.path().join("hub.db")).expect("the store");
        let sql = "SELECT count(*) FROM session WHERE client = 'attic'";
        store
            .query_row(sql, [], |row| row.get::<_, u32>(0))
            .expect("a count")
            == 0
    });
    let (mut speaker, _) = Raw::connect(hub.mqtt_addr(), v5("speaker", None));
    speaker.try_publish("output", "on", false);
    hub.shutdown().await;
    change("hall", false);
    let hub = start().await;
    change("attic", true);
    let (guest, present) = Raw::connect(hub.mqtt_addr(), v5("hall", None));
    assert!(!present);
    drop(guest);
    assert!(!attempt(&hub, "attic").unwrap().1);
    let (mut kitchen, present) = attempt(&hub, "kitchen").unwrap();
    assert!(present);
    let waited = kitchen.read();
    assert_eq!(&waited.body[2..8], b"output");
    hub.shutdown().await;
}

/// What may no longer be heard still comes, because it was subscribed to before.
#[tokio::test(flavor = "multi_thread")]
async fn rights_that_were_taken_away_end_at_once() {
    let house = House::new().await;
    let (mut kitchen, _) = house.attempt(house.kitchen()).unwrap();
    let (mut mistress, _) = house.attempt(owner("phone")).unwrap();
    assert_eq!(kitchen.try_subscribe("output"), 1);
    assert_eq!(kitchen.try_subscribe("aldis/kitchen/led/set"), 1);
    assert_eq!(
        kitchen.try_publish("aldis/attic/message/set", "x", false),
        0
    );
    house.change(|keys| {
        let kitchen = keys.devices.get_mut("kitchen").expect("it is there");
        kitchen.command = None;
        kitchen.peers.clear();
    });
    // Until the hub has seen it.
    until(|| kitchen.try_publish("aldis/attic/message/set", "x", false) == NOT_AUTHORIZED);
    assert_eq!(mistress.try_publish("output", "on", false), 0);
    assert_eq!(
        mistress.try_publish("aldis/kitchen/led/set", "off", false),
        0
    );
    let heard = kitchen.read();
    assert_eq!(
        heard.body.last(),
        Some(&b'f'),
        "the one on `output` did not come"
    );
    // And what was granted is there without a new connection.
    house.change(|keys| {
        let kitchen = keys.devices.get_mut("kitchen").expect("it is there");
        kitchen.peers.push("hall".to_owned());
    });
    until(|| kitchen.try_publish("aldis/hall/message/set", "x", false) == 0);
    house.hub.shutdown().await;
}

/// Rules in the file mean nothing for devices, or a rule of everybody's opens more than it says.
#[tokio::test(flavor = "multi_thread")]
async fn rules_come_before_what_pairing_grants() {
    let for_kitchen = |effect, topic| Rule {
        effect,
        user: Some("kitchen".to_owned()),
        ..allow(None, topic)
    };
    let access = Access {
        rules: vec![
            for_kitchen(Effect::Deny, "aldis/attic/#"),
            for_kitchen(Effect::Allow, "home/#"),
            allow(Some(Action::Subscribe), "weather"),
        ],
        ..Access::default()
    };
    let house = House::with(HubConfig {
        access,
        ..HubConfig::ephemeral()
    })
    .await;
    let (mut kitchen, _) = house.attempt(house.kitchen()).unwrap();
    let (mut attic, _) = house.attempt(house.attic()).unwrap();
    assert_eq!(
        kitchen.try_publish("aldis/attic/message/set", "x", false),
        NOT_AUTHORIZED
    );
    assert_eq!(kitchen.try_publish("home/x", "x", true), 0);
    assert_eq!(
        kitchen.try_publish("aldis/kitchen/status", "online", true),
        0
    );
    assert_eq!(kitchen.try_subscribe("weather"), 1);
    assert_eq!(attic.try_publish("home/x", "x", false), NOT_AUTHORIZED);
    assert_eq!(attic.try_subscribe("weather"), 1);
    // Where there are rules, those without a name have no more than they say.
    let (mut guest, _) = house.attempt(v5("guest", None)).unwrap();
    assert_eq!(guest.try_subscribe("weather"), 1);
    assert_eq!(guest.try_subscribe("#"), NOT_AUTHORIZED);
    house.hub.shutdown().await;
}

/// An address of this machine that is not loopback's, as its network gave it.
fn outer_address() -> Ipv4Addr {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    let connected = socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9));
    connected.expect("this test needs a network besides loopback");
    match socket.local_addr().expect("an address").ip() {
        IpAddr::V4(ip) if !ip.is_loopback() => ip,
        other => panic!("this test needs a network besides loopback, not {other}"),
    }
}

/// Somebody in the network comes in without a name, because nobody asked where from.
#[tokio::test(flavor = "multi_thread")]
async fn only_this_machine_comes_in_without_a_name() {
    let outer = outer_address();
    for any in [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ] {
        let house = House::with(HubConfig {
            listen: SocketAddr::new(any, 0),
            ..HubConfig::ephemeral()
        })
        .await;
        let port = house.addr().port();
        let from = |ip: IpAddr, user| {
            let stream = TcpStream::connect((ip, port)).expect("the hub accepts connections");
            Raw::attempt(stream, v5("x", user)).err()
        };
        assert_eq!(from(Ipv4Addr::LOCALHOST.into(), None), None, "{any}");
        assert_eq!(
            from(Ipv4Addr::new(127, 1, 2, 3).into(), None),
            None,
            "{any}"
        );
        assert_eq!(from(outer.into(), None), Some(NOT_AUTHORIZED), "{any}");
        // A name that nobody has is no name.
        assert_eq!(
            from(outer.into(), Some(("x", ""))),
            Some(BAD_PASSWORD),
            "{any}"
        );
        assert_eq!(from(outer.into(), Some((OWNER, OWNERS))), None, "{any}");
        house.hub.shutdown().await;
    }
    // Also where nobody has a name at all.
    let hub = Hub::start(HubConfig {
        listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        ..HubConfig::ephemeral()
    })
    .await
    .unwrap();
    let stream = TcpStream::connect((outer, hub.mqtt_addr().port())).unwrap();
    assert_eq!(
        Raw::attempt(stream, v5("x", None)).err(),
        Some(NOT_AUTHORIZED)
    );
    hub.shutdown().await;
}

/// `localhost` finds nobody where it means the other address.
#[tokio::test(flavor = "multi_thread")]
async fn both_addresses_of_this_machine_are_served() {
    let free = TcpStream::connect("[::1]:9")
        .err()
        .map(|error| error.kind());
    let house = House::with(HubConfig {
        listen_also: Some(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))),
        ..HubConfig::ephemeral()
    })
    .await;
    match house.hub.mqtt_addr_also() {
        Some(addr) => {
            let stream = TcpStream::connect(addr).expect("the hub accepts connections");
            assert!(Raw::attempt(stream, v5("x", None)).is_ok());
        }
        None => assert_ne!(
            free,
            Some(std::io::ErrorKind::ConnectionRefused),
            "there is IPv6"
        ),
    }
    house.hub.shutdown().await;
    // One that this machine does not have.
    let house = House::with(HubConfig {
        listen_also: Some("[2001:db8::1]:0".parse().unwrap()),
        ..HubConfig::ephemeral()
    })
    .await;
    assert_eq!(house.hub.mqtt_addr_also(), None);
    house.hub.shutdown().await;
}

/// Any page in a browser of this machine switches the lamp.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_needs_a_name() {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let house = House::with(HubConfig {
        websocket: Some(local),
        ..HubConfig::ephemeral()
    })
    .await;
    let addr = house.hub.websocket_addr().unwrap();
    let answer = |connect: Connect<'_>| {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        let mut request = format!("ws://{addr}/mqtt").into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
        headers.insert("Origin", "https://example.org".parse().unwrap());
        let (mut socket, _) = tungstenite::client(request, stream).unwrap();
        socket.send(Message::binary(connect.packet())).unwrap();
        match socket.read().unwrap() {
            Message::Binary(bytes) => bytes[3],
            other => panic!("not a binary frame: {other:?}"),
        }
    };
    assert_eq!(answer(v5("page", None)), NOT_AUTHORIZED);
    assert_eq!(answer(v5("page", Some((OWNER, "x")))), BAD_PASSWORD);
    assert_eq!(answer(owner("page")), 0);
    house.hub.shutdown().await;
}

/// A password can be guessed as fast as the network carries guesses; or devices that know theirs
/// wait for those who guess.
#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slow_and_holds_up_nobody() {
    let house = House::new().await;
    let from = |last: u8, connect: Connect<'_>| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), 0));
        socket
            .bind(&source.into())
            .expect("any address of loopback is this machine's");
        socket
            .connect(&house.addr().into())
            .expect("the hub accepts connections");
        Raw::attempt(socket.into(), connect).err()
    };
    let guess = v5("guesser", Some((OWNER, "a guess")));
    for _ in 0..10 {
        assert_eq!(from(1, guess), Some(BAD_PASSWORD));
    }
    // Not even looked at, be it right.
    assert_eq!(from(1, guess), Some(NOT_AUTHORIZED));
    assert_eq!(from(1, owner("phone")), Some(NOT_AUTHORIZED));
    assert_eq!(from(2, owner("phone")), None);
    // What cannot be guessed is let in from there.
    assert_eq!(from(1, house.kitchen()), None);

    // From many addresses at once.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for last in 10..42 {
            let (over, from) = (&over, &from);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    assert!(from(last, guess).is_some());
                }
            });
        }
        for _ in 0..50 {
            assert_eq!(from(3, house.kitchen()), None);
            assert_eq!(from(3, house.attic()), None);
        }
        // Remembered since it came in.
        assert_eq!(from(2, owner("phone")), None);
        over.store(true, Ordering::Relaxed);
    });
    house.hub.shutdown().await;
}
