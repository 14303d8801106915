//! The same bytes to mosquitto and to the model; after each step every client must have seen the
//! same packets from both.

use crate::mosquitto::{Mosquitto, read_more, send};
use aldis_world::broker::codec::{Packet, Properties, Version, frame};
use aldis_world::broker::{Broker, Config, ConnId};
use std::net::TcpStream;

/// The version whose deviations are listed.
const KNOWN_VERSION: &str = "2.0.11";

/// What one client saw after a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub packets: Vec<Packet>,
    pub closed: bool,
}

impl Seen {
    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn packets(packets: impl Into<Vec<Packet>>) -> Self {
        Self {
            packets: packets.into(),
            closed: false,
        }
    }

    pub fn end(packets: impl Into<Vec<Packet>>) -> Self {
        Self {
            packets: packets.into(),
            closed: true,
        }
    }
}

/// What one client sees where the two deviate.
pub struct Difference {
    pub client: Id,
    pub mosquitto: Seen,
    pub model: Seen,
}

struct Client {
    version: Version,
    stream: Option<TcpStream>,
    conn: ConnId,
    /// Whether both have closed it before.
    over: bool,
    /// How many answers to PINGREQs of the conversation itself are to come.
    pings: usize,
}

/// Number of a client in the order of opening.
pub type Id = usize;

/// Both brokers and the clients that are connected to both.
pub struct Duel {
    mosquitto: Mosquitto,
    model: Broker,
    clients: Vec<Client>,
    /// Every disagreement, reported together at the end.
    disagreements: Vec<String>,
}

impl Drop for Duel {
    fn drop(&mut self) {
        if !self.disagreements.is_empty() && !std::thread::panicking() {
            let version = &self.mosquitto.version;
            panic!("mosquitto {version}:\n{}", self.disagreements.join("\n"));
        }
    }
}

impl Duel {
    pub fn new() -> Self {
        Self::with("allow_anonymous true", "", Config::default())
    }

    pub fn with(settings: &str, access: &str, config: Config) -> Self {
        Self {
            mosquitto: Mosquitto::start(settings, access),
            model: Broker::new(config),
            clients: Vec::new(),
            disagreements: Vec::new(),
        }
    }

    /// Opens a transport connection to both.
    pub fn open(&mut self, version: Version) -> Id {
        self.clients.push(Client {
            version,
            stream: Some(self.mosquitto.connect()),
            conn: self.model.open(0),
            over: false,
            pings: 0,
        });
        self.clients.len() - 1
    }

    /// Sends a packet; gives what this client saw, which was the same from both.
    pub fn send(&mut self, id: Id, packet: Packet) -> Vec<Packet> {
        let bytes = packet.encode(self.clients[id].version);
        self.raw(id, &bytes)
    }

    /// The same for bytes.
    pub fn raw(&mut self, id: Id, bytes: &[u8]) -> Vec<Packet> {
        self.put(id, bytes);
        self.agree(id, &format!("client {id} sent {bytes:02X?}"))
    }

    /// Sends bytes without waiting for what comes of them.
    pub fn put(&mut self, id: Id, bytes: &[u8]) {
        let client = &mut self.clients[id];
        if let Some(stream) = &client.stream {
            send(stream, bytes);
        }
        client.pings += usize::from(bytes == Packet::PingReq.encode(client.version));
        self.model.receive(client.conn, bytes, 0);
    }

    /// The connection is lost.
    pub fn lose(&mut self, id: Id) {
        self.hang_up(id);
        self.agree(id, &format!("client {id} was lost"));
    }

    /// Sends a packet after which some clients see something else from mosquitto than from the
    /// model. Both are fixed, and everyone else must still see the same. Another version of
    /// mosquitto may also do as the model does.
    pub fn deviates(&mut self, id: Id, bytes: &[u8], why: &str, differences: &[Difference]) {
        self.put(id, bytes);
        for (other, (theirs, ours)) in self.settle(Some(id)).into_iter().enumerate() {
            let mended = self.mosquitto.version != KNOWN_VERSION && theirs == ours;
            let difference = differences.iter().find(|d| d.client == other && !mended);
            let (expected, what) = match difference {
                Some(d) => ((d.mosquitto.clone(), d.model.clone()), "expected"),
                None => ((ours.clone(), ours.clone()), "the model"),
            };
            for (name, seen, expected) in [
                ("mosquitto", &theirs, expected.0),
                ("model", &ours, expected.1),
            ] {
                if *seen != expected {
                    self.disagreements.push(format!(
                        "client {other} at {bytes:02X?} ({why}):\n  {name}: {seen:?}\n  {what}: {expected:?}"
                    ));
                }
            }
            if theirs.closed != ours.closed {
                // The conversation cannot go on.
                self.clients[other].over = theirs.closed;
                self.hang_up(other);
            }
        }
    }

    fn hang_up(&mut self, id: Id) {
        let client = &mut self.clients[id];
        let open = !std::mem::replace(&mut client.over, true);
        if client.stream.take().is_some() && open {
            self.mosquitto.wait_for_loss();
        }
        self.model.closed(client.conn, 0);
    }

    fn agree(&mut self, id: Id, what: &str) -> Vec<Packet> {
        let mut result = Vec::new();
        for (other, (mosquitto, model)) in self.settle(Some(id)).into_iter().enumerate() {
            if mosquitto != model {
                self.disagreements.push(format!(
                    "client {other} after {what}:\n  mosquitto: {mosquitto:?}\n  model:     {model:?}"
                ));
            }
            if other == id {
                result = model.packets;
            }
        }
        result
    }

    /// Waits until mosquitto has nothing more to say to anyone. Everything that a step causes is
    /// in a connection's stream before the answer to the second PINGREQ after it.
    fn settle(&mut self, first: Option<Id>) -> Vec<(Seen, Seen)> {
        let mut seen = vec![(Seen::default(), Seen::default()); self.clients.len()];
        let others = (0..self.clients.len()).filter(|&id| Some(id) != first);
        let order: Vec<Id> = first.into_iter().chain(others).collect();
        for _ in 0..2 {
            for &id in &order {
                let client = &mut self.clients[id];
                let pings = std::mem::take(&mut client.pings);
                if let Some(stream) = client.stream.as_ref().filter(|_| !client.over) {
                    let theirs = &mut seen[id].0;
                    if !theirs.closed {
                        theirs.closed =
                            !barrier(stream, client.version, pings, &mut theirs.packets);
                    }
                }
            }
        }
        for (client, (theirs, ours)) in self.clients.iter_mut().zip(&mut seen) {
            let bytes = self.model.output(client.conn);
            if client.over {
                continue;
            }
            ours.packets = decode_all(client.version, &bytes);
            ours.closed = self.model.is_closed(client.conn);
            client.over = theirs.closed && ours.closed;
            for packet in theirs.packets.iter_mut().chain(&mut ours.packets) {
                normalise(packet);
            }
        }
        seen
    }
}

/// Collects packets up to a PINGRESP of our own asking, which comes after `pings` others; false if
/// the connection ended.
fn barrier(
    stream: &TcpStream,
    version: Version,
    mut pings: usize,
    packets: &mut Vec<Packet>,
) -> bool {
    send(stream, &Packet::PingReq.encode(version));
    let mut input = Vec::new();
    loop {
        let open = read_more(stream, &mut input);
        while let Ok(Some(found)) = frame(&input)
            && found.total <= input.len()
        {
            let rest = input.split_off(found.total);
            let bytes = std::mem::replace(&mut input, rest);
            match decode(version, &bytes) {
                Packet::PingResp if pings == 0 => return true,
                packet => {
                    pings -= usize::from(packet == Packet::PingResp);
                    packets.push(packet);
                }
            }
        }
        if !open {
            return false;
        }
    }
}

fn decode(version: Version, bytes: &[u8]) -> Packet {
    match Packet::decode(version, bytes) {
        Ok(packet) => packet,
        Err(violation) => panic!("undecodable: {violation}: {bytes:02X?}"),
    }
}

fn decode_all(version: Version, mut bytes: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    while let Ok(Some(found)) = frame(bytes) {
        let (packet, rest) = bytes.split_at(found.total);
        packets.push(decode(version, packet));
        bytes = rest;
    }
    packets
}

/// Takes out what every broker may choose for itself: explanations, limits that it announces, and
/// the name of an identifier that it assigns (but not whether it does).
fn normalise(packet: &mut Packet) {
    if let Packet::ConnAck(ack) = packet {
        let p = &ack.properties;
        ack.properties = Properties {
            assigned_client_identifier: p.assigned_client_identifier.as_ref().map(|_| "*".into()),
            maximum_qos: p.maximum_qos,
            retain_available: p.retain_available,
            ..Properties::default()
        };
    }
    if let Some(properties) = packet.properties_mut() {
        properties.reason_string = None;
    }
}
