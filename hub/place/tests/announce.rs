//! The announcement, as another machine of the network sees it: two network namespaces with a cable
//! between them. `ALDIS_SKIP_NAMESPACES=1` leaves these tests out where there can be none.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aldis_place::{Announced, Announcement, Holder, Service, State};
use mdns_sd::{Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::watch;

const SKIP: &str = "ALDIS_SKIP_NAMESPACES";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
const MQTT: &str = "_mqtt._tcp.local.";

/// Two machines, `hub` at 10.78.0.1 and `phone` at 10.78.0.2.
struct Network {
    hub: String,
    phone: String,
}

impl Network {
    fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("aldis-place-{}-{number}", std::process::id());
        let network = Self {
            hub: format!("{name}-h"),
            phone: format!("{name}-p"),
        };
        for namespace in [&network.hub, &network.phone] {
            let made = Command::new("ip")
                .args(["netns", "add", namespace])
                .output();
            if !made.as_ref().is_ok_and(|made| made.status.success()) {
                assert!(
                    std::env::var_os(SKIP).is_some(),
                    "network namespaces are not allowed here ({made:?}): run as root, or set \
                     {SKIP} to leave such tests out"
                );
                return None;
            }
        }
        let (hub, phone) = (&network.hub, &network.phone);
        ip(&format!(
            "-n {hub} link add cable type veth peer name cable netns {phone}"
        ));
        for (namespace, address) in [(hub, "10.78.0.1/24"), (phone, "10.78.0.2/24")] {
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!("-n {namespace} addr add {address} dev cable"));
            ip(&format!("-n {namespace} link set cable up"));
        }
        // The system takes a moment to see the cable.
        let deadline = Instant::now() + PATIENCE;
        for namespace in [hub, phone] {
            while !ip(&format!("-n {namespace} link show cable")).contains("state UP") {
                assert!(Instant::now() < deadline, "the cable is not seen");
            }
        }
        Some(network)
    }

    /// Does something as if on that machine; threads that it starts are there as well.
    fn on<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let file = File::open(format!("/run/netns/{namespace}")).unwrap();
                let network = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(file.as_fd(), network).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    /// A hub that is announced there, with its own runtime.
    fn announced(&self, name: &str) -> Hub {
        Self::on(&self.hub, || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let (names, _) = watch::channel(Vec::new());
            let announcement = Announcement {
                name: name.to_owned(),
                services: vec![
                    service("_mqtt._tcp", "0.0.0.0:1883"),
                    service("_http._tcp", "127.0.0.1:8080"),
                ],
                look: Duration::from_millis(200),
            };
            let announced =
                runtime.block_on(async { Announced::start(announcement, names).unwrap() });
            Hub { runtime, announced }
        })
    }

    /// Another program that answers for a name, on a machine, from now on.
    fn responder(&self, namespace: &str, name: &str, address: Ipv4Addr) -> ServiceDaemon {
        let daemon = Self::on(namespace, || {
            let daemon = ServiceDaemon::new().unwrap();
            let host = format!("{name}.local.");
            let address = IpAddr::from(address);
            let info = ServiceInfo::new("_other._tcp.local.", name, &host, address, 9, None);
            daemon.register(info.unwrap()).unwrap();
            daemon
        });
        // From the other machine, as a program does not answer its own.
        let from = match namespace == self.phone {
            true => (self.hub.as_str(), HUB),
            false => (self.phone.as_str(), PHONE),
        };
        assert_eq!(asked_by(from, &format!("{name}.local")), [address]);
        daemon
    }

    fn browse(&self) -> (ServiceDaemon, Receiver<ServiceEvent>) {
        Self::on(&self.phone, || {
            let daemon = ServiceDaemon::new().unwrap();
            let events = daemon.browse(MQTT).unwrap();
            (daemon, events)
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.hub, &self.phone] {
            let _ = Command::new("ip")
                .args(["netns", "del", namespace])
                .output();
        }
    }
}

struct Hub {
    runtime: tokio::runtime::Runtime,
    announced: Announced,
}

impl Hub {
    /// Waits until it is announced like this.
    fn wait_for(&self, is_it: impl Fn(&State) -> bool) -> State {
        let mut state = self.announced.state();
        self.runtime.block_on(async {
            let found = tokio::time::timeout(PATIENCE, state.wait_for(is_it)).await;
            found.expect("it is announced in time").unwrap().clone()
        })
    }

    fn shutdown(self) {
        self.runtime.block_on(self.announced.shutdown());
    }
}

fn service(kind: &'static str, listen: &str) -> Service {
    Service {
        kind,
        listen: listen.parse().unwrap(),
        text: vec![("product", "Aldis".to_owned())],
    }
}

fn ip(words: &str) -> String {
    let done = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(done.status.success(), "ip {words}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// Waits for an event.
fn event<T>(events: &Receiver<ServiceEvent>, is_it: impl Fn(ServiceEvent) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let event = events.recv_timeout(left).expect("it happens in time");
        if let Some(found) = is_it(event) {
            return found;
        }
    }
}

fn resolved(event: ServiceEvent) -> Option<(String, String, Vec<Ipv4Addr>)> {
    match event {
        ServiceEvent::ServiceResolved(service) => {
            let mut addresses: Vec<_> = service.get_addresses_v4().into_iter().collect();
            addresses.sort();
            Some((service.fullname.clone(), service.host.clone(), addresses))
        }
        _ => None,
    }
}

/// Asks for a name as our devices and many others do: once, from a port of their own.
fn ask_once(namespace: &str, name: &str) -> Vec<Ipv4Addr> {
    asked_by((namespace, PHONE), name)
}

fn asked_by((namespace, address): (&str, Ipv4Addr), name: &str) -> Vec<Ipv4Addr> {
    Network::on(namespace, || {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let mut question = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for level in name.split('.') {
            question.push(u8::try_from(level.len()).unwrap());
            question.extend(level.as_bytes());
        }
        question.extend([0, 0, 1, 0, 1]);
        let deadline = Instant::now() + PATIENCE;
        let mut answer = [0; 1500];
        while Instant::now() < deadline {
            socket
                .send_to(&question, (Ipv4Addr::new(224, 0, 0, 251), 5353))
                .unwrap();
            if let Ok((length, from)) = socket.recv_from(&mut answer) {
                assert_eq!(from.port(), 5353);
                let answer = &answer[..length];
                assert_eq!(answer[..2], question[..2], "the id is another");
                // Each record of an address ends with its length and the address.
                let found = answer.windows(6).filter(|end| end[..2] == [0, 4]);
                return found
                    .map(|end| Ipv4Addr::new(end[2], end[3], end[4], end[5]))
                    .collect();
            }
        }
        Vec::new()
    })
}

const HUB: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const PHONE: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);

/// `mqtt://NAME.local` in a `device.toml` leads nowhere, or leads there still after the hub left.
#[test]
fn a_hub_is_found_by_name_and_as_a_service_and_says_good_bye() {
    let Some(network) = Network::new() else {
        return;
    };
    let (_phone, events) = network.browse();
    let hub = network.announced("kitchen");
    let state = hub.wait_for(|state| state.holder == Holder::Hub);
    assert_eq!(state.name, "kitchen.local");
    assert_eq!(state.names, ["kitchen.local"]);
    let (whole, host, addresses) = event(&events, resolved);
    assert_eq!(whole, format!("Aldis on kitchen.{MQTT}"));
    assert_eq!(host, "kitchen.local.");
    assert_eq!(addresses, [HUB]);
    assert_eq!(ask_once(&network.phone, "kitchen.local"), [HUB]);
    hub.shutdown();
    let gone = event(&events, |event| match event {
        ServiceEvent::ServiceRemoved(_, whole) => Some(whole),
        _ => None,
    });
    assert_eq!(gone, whole);
}

/// After the router gave another address, devices look for the hub at the old one.
#[test]
fn a_new_address_is_announced() {
    let Some(network) = Network::new() else {
        return;
    };
    let (_phone, events) = network.browse();
    let hub = network.announced("kitchen");
    event(&events, resolved);
    let name = &network.hub;
    ip(&format!("-n {name} addr del 10.78.0.1/24 dev cable"));
    ip(&format!("-n {name} addr add 10.78.0.77/24 dev cable"));
    let new = Ipv4Addr::new(10, 78, 0, 77);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = ask_once(&network.phone, "kitchen.local");
        if told == [new] {
            break;
        }
        assert!(Instant::now() < deadline, "still told: {told:?}");
    }
    hub.shutdown();
}

/// Two machines of one name: what is meant for one comes to the other.
#[test]
fn a_name_of_another_machine_is_left_to_it() {
    let Some(network) = Network::new() else {
        return;
    };
    let other = network.responder(&network.phone, "kitchen", PHONE);
    let hub = network.announced("kitchen");
    let state = hub.wait_for(|state| state.holder != Holder::Nobody);
    assert_eq!(state.holder, Holder::Hub);
    assert_eq!(state.name, "kitchen-2.local");
    assert_eq!(state.names, ["kitchen-2.local"]);
    assert_eq!(ask_once(&network.phone, "kitchen-2.local"), [HUB]);
    hub.shutdown();
    drop(other);
}

/// avahi renames the machine when somebody else answers for its name.
#[test]
fn a_name_that_the_system_answers_for_is_left_to_it() {
    let Some(network) = Network::new() else {
        return;
    };
    let (_phone, events) = network.browse();
    let system = network.responder(&network.hub, "kitchen", HUB);
    let hub = network.announced("kitchen");
    let state = hub.wait_for(|state| state.holder != Holder::Nobody);
    assert_eq!(state.holder, Holder::System);
    assert_eq!(state.name, "kitchen.local");
    assert_eq!(state.names, ["kitchen-aldis.local"]);
    let (whole, host, addresses) = event(&events, resolved);
    assert_eq!(whole, format!("Aldis on kitchen.{MQTT}"));
    assert_eq!(host, "kitchen-aldis.local.");
    assert_eq!(addresses, [HUB]);
    // It ends, and the name is the hub's to answer for.
    system.shutdown().unwrap();
    hub.wait_for(|state| state.holder == Holder::Hub);
    assert_eq!(ask_once(&network.phone, "kitchen.local"), [HUB]);
    hub.shutdown();
}

/// A machine that starts before its network does is never found.
#[test]
fn a_network_that_comes_later_is_waited_for() {
    let Some(network) = Network::new() else {
        return;
    };
    let name = &network.hub;
    ip(&format!("-n {name} link set cable down"));
    ip(&format!("-n {name} addr flush dev cable"));
    let hub = network.announced("kitchen");
    ip(&format!("-n {name} addr add 10.78.0.1/24 dev cable"));
    ip(&format!("-n {name} link set cable up"));
    hub.wait_for(|state| state.holder == Holder::Hub);
    assert_eq!(ask_once(&network.phone, "kitchen.local"), [HUB]);
    hub.shutdown();
}

/// A name that is none is told at the start, not by silence.
#[test]
fn a_name_that_is_none_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _context = runtime.enter();
    let announcement = Announcement {
        name: "my hub".to_owned(),
        services: vec![service("_mqtt._tcp", "0.0.0.0:1883")],
        look: Announcement::LOOK,
    };
    let (names, _) = watch::channel(Vec::new());
    let error = Announced::start(announcement, names).unwrap_err();
    assert!(error.to_string().contains("my hub"), "{error}");
}
