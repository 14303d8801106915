//! A device, a broker, and the routers between them.
//!
//! ```text
//! device ── near [router] far ── near [router] far ── broker
//! ```

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use super::namespace::Namespace;
use super::program::Program;
use super::{Folder, succeed};

/// The port of MQTT.
pub const PORT: u16 = 1883;
/// The port of what can be put before the broker.
pub const PROXY_PORT: u16 = 1884;
/// The broker's name, where it is reached by one.
pub const NAME: &str = "broker.test";

/// How long a router has time to do something.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who is where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topology {
    /// The device is behind a router with NAT.
    Single,
    /// It is behind two, one behind the other.
    Double,
    /// It is behind one, and the broker is behind another that forwards a port to it.
    Forwarded,
}

/// What a router does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Everybody on its near side appears under its own address.
    Masquerade,
    /// MQTT from its near side goes to this address.
    Forward(&'static str),
}

/// A net between two nodes: its first three numbers, then the nodes' own.
struct Wire {
    net: &'static str,
    left: u8,
    right: u8,
}

const HOME: Wire = Wire {
    net: "192.168.10",
    left: 2,
    right: 1,
};
const INTERNET: Wire = Wire {
    net: "203.0.113",
    left: 2,
    right: 10,
};

impl Topology {
    const fn wires(self) -> &'static [Wire] {
        match self {
            Self::Single => &[HOME, INTERNET],
            Self::Double => &[
                HOME,
                Wire {
                    net: "192.168.1",
                    left: 2,
                    right: 1,
                },
                INTERNET,
            ],
            Self::Forwarded => &[
                HOME,
                INTERNET,
                Wire {
                    net: "192.168.20",
                    left: 1,
                    right: 10,
                },
            ],
        }
    }

    const fn roles(self) -> &'static [Role] {
        match self {
            Self::Single => &[Role::Masquerade],
            Self::Double => &[Role::Masquerade, Role::Masquerade],
            Self::Forwarded => &[Role::Masquerade, Role::Forward("192.168.20.10")],
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "one router",
            Self::Double => "behind two routers",
            Self::Forwarded => "forwarded port",
        })
    }
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the device to the broker.
    ToBroker,
    /// From the broker to the device.
    ToDevice,
}

/// The namespaces, connected.
#[derive(Debug)]
pub struct Network {
    folder: Folder,
    /// Where the device is.
    pub device: Namespace,
    /// The routers, that of the device first.
    pub routers: Vec<Namespace>,
    /// Where the broker is.
    pub broker: Namespace,
    /// The address at which the device finds the broker.
    pub address: String,
    names: Option<Program>,
}

impl Network {
    /// A new one. `lab` begins the names of its namespaces. A device on a machine of its own is
    /// connected to `tap0` and asks for an address.
    pub fn new(lab: &str, topology: Topology, tap: bool) -> Result<Self> {
        let wires = topology.wires();
        let roles = topology.roles();
        let device = Namespace::new(lab, "device")?;
        let routers =
            (1..=roles.len()).map(|number| Namespace::new(lab, &format!("router{number}")));
        let routers = routers.collect::<Result<Vec<_>>>()?;
        let broker = Namespace::new(lab, "broker")?;
        let nodes: Vec<&Namespace> = [&device]
            .into_iter()
            .chain(&routers)
            .chain([&broker])
            .collect();
        for (wire, pair) in wires.iter().zip(nodes.windows(2)) {
            connect(wire, pair[0], pair[1])?;
        }
        for (index, node) in nodes.iter().enumerate() {
            if let Some(gateway) = gateway(wires, roles, index) {
                node.ip(&format!("route add default via {gateway}"))?;
            }
        }
        for (role, router) in roles.iter().zip(&routers) {
            set_up_router(router, *role)?;
        }
        broker
            .nft("table ip lab {\nchain refuse { type filter hook input priority filter; }\n}\n")?;
        if tap {
            device.ip("link add br0 type bridge")?;
            device.ip("tuntap add dev tap0 mode tap")?;
            device.ip("addr flush dev far")?;
            for port in ["far", "tap0"] {
                device.ip(&format!("link set {port} master br0"))?;
            }
            for port in ["tap0", "br0"] {
                device.ip(&format!("link set {port} up"))?;
            }
        }
        // The broker's own, or that of the router which forwards a port to it.
        let address = host(&INTERNET, INTERNET.right);
        let mut network = Self {
            folder: Folder::new(&format!("{}-names", lab.rsplit('-').next().unwrap_or(lab)))?,
            device,
            routers,
            broker,
            address: address.clone(),
            names: None,
        };
        network.serve_names(&address)?;
        network.device.resolve_with(&host(&HOME, HOME.right))?;
        Ok(network)
    }

    /// The first router gives names, and addresses to those who ask.
    fn serve_names(&mut self, address: &str) -> Result<()> {
        let hosts = self.name_is_at(address)?;
        let leases = self.folder.path().join("leases");
        let mut command = self.routers[0].command("dnsmasq");
        command
            .args([
                "--conf-file=/dev/null",
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
            ])
            .args([
                "--bind-interfaces",
                "--interface=near",
                "--except-interface=lo",
            ])
            .args([
                "--log-dhcp",
                "--log-facility=-",
                "--user=root",
                "--pid-file=",
            ])
            .args(["--dhcp-authoritative", "--no-ping"])
            .arg(format!("--dhcp-leasefile={}", leases.display()))
            .arg(format!(
                "--dhcp-range={0}.50,{0}.59,255.255.255.0,1h",
                HOME.net
            ))
            .arg(format!("--addn-hosts={}", hosts.display()));
        let mut names = Program::start(&mut command)?;
        names.wait_for(0, PATIENCE, "start", |line| {
            line.contains("started, version")
        })?;
        self.names = Some(names);
        Ok(())
    }

    fn name_is_at(&self, address: &str) -> Result<std::path::PathBuf> {
        self.folder.file("hosts", &format!("{address} {NAME}\n"))
    }

    /// The broker's machine gets another address, and its name with it.
    pub fn move_broker(&mut self) -> Result<()> {
        let (before, after) = (self.address.clone(), host(&INTERNET, INTERNET.right + 1));
        self.broker.ip(&format!("addr del {before}/24 dev near"))?;
        self.broker.ip(&format!("addr add {after}/24 dev near"))?;
        self.name_is_at(&after)?;
        if let Some(names) = &mut self.names {
            let from = names.said.len();
            names.signal("-HUP")?;
            names.wait_for(from, PATIENCE, "renewal of names", |line| {
                line.contains("hosts")
            })?;
        }
        self.address = after;
        Ok(())
    }

    /// The router that is nearest to the broker and has a table of connections of the device.
    fn last(&self) -> &Namespace {
        &self.routers[self.routers.len() - 1]
    }

    /// Takes the device's cable out of its router, or puts it in.
    pub fn cable(&self, up: bool) -> Result<()> {
        let state = if up { "up" } else { "down" };
        self.routers[0].ip(&format!("link set near {state}"))
    }

    /// The device's router passes packets on, or does not.
    pub fn route(&self, route: bool) -> Result<()> {
        let value = if route { "1" } else { "0" };
        self.routers[0].sysctl("net/ipv4/ip_forward", value)
    }

    /// Drops every packet in this direction, without a word.
    pub fn drop_silently(&self, direction: Direction) -> Result<()> {
        let from = match direction {
            Direction::ToBroker => "near",
            Direction::ToDevice => "far",
        };
        self.last()
            .nft(&format!("add rule ip lab fault iifname {from} drop\n"))
    }

    /// The routers pass packets on again.
    pub fn drop_nothing(&self) -> Result<()> {
        self.last().nft("flush chain ip lab fault\n")
    }

    /// Nothing seems to listen at the broker's machine, or whatever listens does.
    pub fn refuse(&self, refuse: bool) -> Result<()> {
        let mut rules = String::from("flush chain ip lab refuse\n");
        if refuse {
            rules += &format!(
                "add rule ip lab refuse iifname near tcp dport {PORT} reject with tcp reset\n"
            );
        }
        self.broker.nft(&rules)
    }

    /// Leads connections to what is put before the broker.
    pub fn lead_to_proxy(&self) -> Result<()> {
        self.broker.nft(&format!(
            "add chain ip lab lead {{ type nat hook prerouting priority dstnat; }}\n\
             add rule ip lab lead iifname near tcp dport {PORT} redirect to :{PROXY_PORT}\n"
        ))
    }

    /// Resets the device's connections from the broker's machine. Says how many there were.
    pub fn reset_connections(&self) -> Result<usize> {
        let mut ss = self.broker.command("ss");
        let filter = format!("sport = :{PORT} and not dst 127.0.0.0/8");
        let killed = succeed(ss.args(["-H", "-K", "-t", "-n", "state", "established", &filter]))?;
        Ok(killed.lines().count())
    }

    /// A router forgets every connection: that nearest to the device, or that nearest to the
    /// broker.
    pub fn forget_connections(&self, nearest_to_device: bool) -> Result<()> {
        let router = match nearest_to_device {
            true => &self.routers[0],
            false => self.last(),
        };
        succeed(router.command("conntrack").arg("-F")).map(drop)
    }

    /// How long each router remembers a connection on which nothing happens.
    pub fn forget_idle_after(&self, seconds: u32) -> Result<()> {
        for router in &self.routers {
            let variable = "net/netfilter/nf_conntrack_tcp_timeout_established";
            router.sysctl(variable, &seconds.to_string())?;
        }
        Ok(())
    }
}

/// An address on a wire.
fn host(wire: &Wire, number: u8) -> String {
    format!("{}.{number}", wire.net)
}

/// Each end of a wire is called after the side of its node on which it is.
fn connect(wire: &Wire, left: &Namespace, right: &Namespace) -> Result<()> {
    left.ip(&format!(
        "link add far type veth peer name near netns {}",
        right.name()
    ))?;
    for (node, end, number) in [(left, "far", wire.left), (right, "near", wire.right)] {
        node.ip(&format!("addr add {}/24 dev {end}", host(wire, number)))?;
        node.ip(&format!("link set {end} up"))?;
    }
    Ok(())
}

/// Where a node sends what is not for its own nets: towards the internet.
fn gateway(wires: &[Wire], roles: &[Role], node: usize) -> Option<String> {
    let forwards = |role: &Role| matches!(role, Role::Forward(_));
    // Behind a router that forwards a port, the internet is on the device's side.
    let behind = roles.iter().position(forwards).map(|router| router + 1);
    if behind.is_some_and(|router| node > router) {
        let wire = &wires[node - 1];
        return Some(host(wire, wire.left));
    }
    let on_internet = |wire: &Wire| wire.net == INTERNET.net;
    let near = node.checked_sub(1).and_then(|index| wires.get(index));
    let far = wires.get(node);
    if near.is_some_and(on_internet) || far.is_some_and(on_internet) {
        return None;
    }
    far.map(|wire| host(wire, wire.right))
}

/// A router forgets what it forgets: a packet of a connection that is not in its table gets no
/// new entry, as it would by Linux's defaults, and is not answered either.
fn set_up_router(router: &Namespace, role: Role) -> Result<()> {
    router.sysctl("net/ipv4/ip_forward", "1")?;
    router.sysctl("net/netfilter/nf_conntrack_tcp_loose", "0")?;
    let (nat, strangers) = match role {
        Role::Masquerade => (
            "chain nat { type nat hook postrouting priority srcnat; oifname far masquerade; }"
                .to_owned(),
            "iifname far ct state new drop",
        ),
        Role::Forward(to) => (
            format!(
                "chain nat {{ type nat hook prerouting priority dstnat; \
                 iifname near tcp dport {PORT} dnat to {to}; }}"
            ),
            "iifname near ct status dnat accept\niifname near ct state new drop",
        ),
    };
    let strange_side = match role {
        Role::Masquerade => "far",
        Role::Forward(_) => "near",
    };
    router.nft(&format!(
        "table ip lab {{\n\
         {nat}\n\
         chain fault {{ type filter hook forward priority -10; }}\n\
         chain forward {{\n\
         type filter hook forward priority filter;\n\
         ct state invalid drop\n\
         {strangers}\n\
         }}\n\
         chain input {{\n\
         type filter hook input priority filter;\n\
         iifname {strange_side} ct state {{ invalid, new }} drop\n\
         }}\n\
         }}\n"
    ))
}
