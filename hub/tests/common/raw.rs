//! A client that says exactly what it is told and shows every packet.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::PATIENCE;

/// How to connect.
#[derive(Clone, Copy, Default)]
pub struct Connect<'a> {
    /// The client id.
    pub id: &'a str,
    /// Clean session or clean start.
    pub clean: bool,
    /// MQTT 5 with this session expiry, in seconds; otherwise MQTT 3.1.1.
    pub v5_expiry: Option<u32>,
    /// A will (MQTT 5 with this delay), as topic and delay in seconds; its payload is `gone`.
    pub will: Option<(&'a str, u32)>,
    /// Whether the broker is to keep the will.
    pub will_retain: bool,
    /// User name and password.
    pub user: Option<(&'a str, &'a str)>,
}

/// A packet as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Type and flags.
    pub head: u8,
    /// Everything after the length.
    pub body: Vec<u8>,
}

/// A connection.
pub struct Raw {
    stream: TcpStream,
    v5: bool,
}

impl Connect<'_> {
    /// The CONNECT packet.
    pub fn packet(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1;
        if self.will.is_some() {
            flags |= 0x04 | u8::from(self.will_retain) << 5;
        }
        if self.user.is_some() {
            flags |= 0xC0;
        }
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        body.extend([if self.v5_expiry.is_some() { 5 } else { 4 }, flags, 0, 0]);
        if let Some(expiry) = self.v5_expiry {
            body.extend([5, 0x11]);
            body.extend(expiry.to_be_bytes());
        }
        text(&mut body, self.id);
        if let Some((topic, delay)) = self.will {
            if self.v5_expiry.is_some() {
                body.extend([5, 0x18]);
                body.extend(delay.to_be_bytes());
            }
            text(&mut body, topic);
            text(&mut body, "gone");
        }
        if let Some((user, password)) = self.user {
            text(&mut body, user);
            text(&mut body, password);
        }
        packet(0x10, &body)
    }
}

impl Raw {
    /// Connects; also tells whether the hub had the session.
    pub fn connect(addr: SocketAddr, connect: Connect<'_>) -> (Self, bool) {
        let stream = TcpStream::connect(addr).expect("the hub accepts connections");
        match Self::attempt(stream, connect) {
            Ok(connected) => connected,
            Err(code) => panic!("refused with {code:#04x}"),
        }
    }

    /// The same over this connection; or the code of the refusal.
    pub fn attempt(mut stream: TcpStream, connect: Connect<'_>) -> Result<(Self, bool), u8> {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout can be set");
        stream.write_all(&connect.packet()).expect("the hub reads");
        let mut raw = Self {
            stream,
            v5: connect.v5_expiry.is_some(),
        };
        let connack = raw.read();
        assert_eq!(connack.head, 0x20, "{connack:?}");
        match connack.body[1] {
            0 => Ok((raw, connack.body[0] == 1)),
            code => Err(code),
        }
    }

    /// Subscribes and tells the code of the answer.
    pub fn try_subscribe(&mut self, filter: &str) -> u8 {
        self.write(&subscribe(filter, 1, self.v5));
        let suback = self.read();
        assert_eq!(suback.head, 0x90, "{suback:?}");
        *suback.body.last().expect("a code")
    }

    /// Publishes at QoS 1 and tells the code of the answer (MQTT 5; 3.1.1 has none).
    pub fn try_publish(&mut self, topic: &str, payload: &str, retain: bool) -> u8 {
        let mut body = Vec::new();
        text(&mut body, topic);
        body.extend([0, 9]);
        if self.v5 {
            body.push(0);
        }
        body.extend(payload.as_bytes());
        self.write(&packet(0x32 | u8::from(retain), &body));
        let puback = self.read();
        assert_eq!(puback.head, 0x40, "{puback:?}");
        puback.body.get(2).copied().unwrap_or_default()
    }

    /// Subscribes and waits for the acknowledgement.
    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        self.write(&subscribe(filter, qos, self.v5));
        let suback = self.read();
        assert_eq!(
            (suback.head, suback.body.last()),
            (0x90, Some(&qos)),
            "{suback:?}"
        );
    }

    /// Publishes at QoS 1, and acknowledges what comes in between.
    pub fn try_publish_among(&mut self, topic: &str, payload: &str) -> u8 {
        let mut body = Vec::new();
        text(&mut body, topic);
        body.extend([0, 9]);
        if self.v5 {
            body.push(0);
        }
        body.extend(payload.as_bytes());
        self.write(&packet(0x32, &body));
        loop {
            let packet = self.read();
            if packet.head == 0x40 {
                return packet.body.get(2).copied().unwrap_or_default();
            }
            let (id, _) = packet.publish();
            self.write(&ack(0x40, id));
        }
    }

    /// Waits for a message at QoS 1 on this topic, and acknowledges all that come before it.
    /// (What was retained may come twice: as it is published, and for the subscription.)
    pub fn wait_for(&mut self, topic: &str) {
        loop {
            let seen = self.read();
            let (id, _) = seen.publish();
            self.write(&ack(0x40, id));
            if seen
                .body
                .get(2..)
                .is_some_and(|rest| rest.starts_with(topic.as_bytes()))
            {
                return;
            }
        }
    }

    /// Pings until the hub closes the connection.
    pub fn ping_until_closed(&mut self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut bytes = [0; 64];
        loop {
            let written = self.stream.write_all(&[0xC0, 0]);
            match (written, self.stream.read(&mut bytes)) {
                (Ok(()), Ok(count)) if count > 0 => {}
                _ => return,
            }
            assert!(std::time::Instant::now() < deadline, "the connection stays");
        }
    }

    /// Pings and waits for the answer.
    pub fn ping(&mut self) {
        self.write(&[0xC0, 0]);
        assert_eq!(self.read().head, 0xD0);
    }

    /// The next packet.
    pub fn read(&mut self) -> Packet {
        let mut byte = || {
            let mut byte = [0];
            self.stream
                .read_exact(&mut byte)
                .expect("the hub sends a packet");
            byte[0]
        };
        let head = byte();
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let digit = byte();
            length |= usize::from(digit & 0x7F) << shift;
            shift += 7;
            if digit & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream
            .read_exact(&mut body)
            .expect("the hub sends whole packets");
        Packet { head, body }
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the hub reads");
    }

    /// Everything that still comes before the hub closes the connection.
    pub fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream
            .read_to_end(&mut rest)
            .expect("the hub closes the connection");
        rest
    }

    /// Says goodbye, so that the will is not published.
    pub fn disconnect(mut self) {
        self.write(&[0xE0, 0]);
        let _ = self.stream.shutdown(Shutdown::Write);
        // The hub closes when it has understood.
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
    }
}

impl Packet {
    /// Whether it is a PUBLISH that was sent before.
    pub fn is_duplicate(&self) -> bool {
        self.head & 0xF8 == 0x38
    }

    /// Packet id and payload of a PUBLISH at QoS 1 or 2 in MQTT 3.1.1.
    pub fn publish(&self) -> (u16, String) {
        assert_eq!(self.head & 0xF0, 0x30, "not a PUBLISH: {self:?}");
        let topic = usize::from(u16::from_be_bytes([self.body[0], self.body[1]]));
        let id = u16::from_be_bytes([self.body[topic + 2], self.body[topic + 3]]);
        (
            id,
            String::from_utf8_lossy(&self.body[topic + 4..]).into_owned(),
        )
    }
}

/// A SUBSCRIBE packet.
pub fn subscribe(filter: &str, qos: u8, v5: bool) -> Vec<u8> {
    let mut body = vec![0, 1];
    if v5 {
        body.push(0);
    }
    text(&mut body, filter);
    body.push(qos);
    packet(0x82, &body)
}

/// A short acknowledgement: PUBACK 0x40, PUBREC 0x50, PUBREL 0x62, PUBCOMP 0x70.
pub fn ack(head: u8, id: u16) -> Vec<u8> {
    packet(head, &id.to_be_bytes())
}

fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![head];
    let mut length = body.len();
    loop {
        let digit = u8::try_from(length % 128).expect("less than 128");
        length /= 128;
        packet.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend(
        u16::try_from(text.len())
            .expect("a short text")
            .to_be_bytes(),
    );
    body.extend(text.as_bytes());
}

/// A PUBLISH packet at QoS 1 in MQTT 3.1.1.
pub fn publish(topic: &str, id: u16, payload: &str) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, topic);
    body.extend(id.to_be_bytes());
    body.extend(payload.as_bytes());
    packet(0x32, &body)
}

/// A PUBLISH packet at QoS 2, perhaps one that is sent again.
pub fn publish_once(topic: &str, id: u16, payload: &str, again: bool, v5: bool) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, topic);
    body.extend(id.to_be_bytes());
    if v5 {
        body.push(0);
    }
    body.extend(payload.as_bytes());
    packet(0x34 | u8::from(again) << 3, &body)
}
