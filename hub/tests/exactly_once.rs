//! Messages of QoS 2 that come to the hub, over more than one connection.

mod common;

use std::net::SocketAddr;

use common::hub;
use common::raw::{self, Connect, Raw};

const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

/// A publisher that loses connections.
struct Publisher {
    addr: SocketAddr,
    v5: bool,
    raw: Raw,
}

impl Publisher {
    fn new(addr: SocketAddr, v5: bool) -> Self {
        let (raw, present) = Raw::connect(addr, Self::connect(v5));
        assert!(!present);
        Self { addr, v5, raw }
    }

    fn connect(v5: bool) -> Connect<'static> {
        Connect {
            id: if v5 { "v5" } else { "v4" },
            v5_expiry: v5.then_some(600),
            ..Connect::default()
        }
    }

    /// A new connection to the same session.
    fn reconnect(&mut self) {
        let (raw, present) = Raw::connect(self.addr, Self::connect(self.v5));
        assert!(present);
        self.raw = raw;
    }

    fn publish(&mut self, id: u16, payload: &str, again: bool) {
        let packet = raw::publish_once("t", id, payload, again, self.v5);
        self.raw.write(&packet);
    }

    fn expect(&mut self, head: u8, id: u16) {
        let packet = self.raw.read();
        assert_eq!(
            (packet.head, &packet.body[..2]),
            (head, &id.to_be_bytes()[..])
        );
        let reason = packet.body.get(2).copied().unwrap_or(0);
        assert!(reason < 0x80, "refused: {packet:?}");
    }

    fn release(&mut self, id: u16) {
        self.raw.write(&raw::ack(PUBREL, id));
        self.expect(PUBCOMP, id);
    }
}

/// A subscriber that sees every message, however often it comes.
struct Witness(Raw);

impl Witness {
    fn new(addr: SocketAddr) -> Self {
        let connect = Connect {
            id: "witness",
            ..Connect::default()
        };
        let (mut raw, _) = Raw::connect(addr, connect);
        raw.subscribe("t", 1);
        Self(raw)
    }

    fn sees(&mut self, payload: &str) {
        let (id, got) = self.0.read().publish();
        assert_eq!(got, payload);
        self.0.write(&raw::ack(0x40, id));
    }
}

/// A message comes twice because its PUBREC was lost with the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_repeated_on_a_new_connection_comes_once() {
    for v5 in [false, true] {
        let hub = hub().await;
        let mut witness = Witness::new(hub.mqtt_addr());
        let mut publisher = Publisher::new(hub.mqtt_addr(), v5);
        // One that is complete; two whose PUBREC is lost.
        publisher.publish(1, "complete", false);
        publisher.expect(PUBREC, 1);
        publisher.release(1);
        witness.sees("complete");
        publisher.publish(2, "cut", false);
        witness.sees("cut");
        publisher.publish(3, "cut too", false);
        witness.sees("cut too");
        // The hub is not done with them after one more connection either.
        for _ in 0..2 {
            publisher.reconnect();
            // As many clients do whenever they connect.
            publisher.raw.subscribe("other", 0);
            publisher.raw.ping();
            publisher.publish(2, "cut", true);
            publisher.expect(PUBREC, 2);
            publisher.publish(3, "cut too", true);
            publisher.expect(PUBREC, 3);
        }
        publisher.release(2);
        publisher.release(3);
        publisher.publish(2, "end", false);
        witness.sees("end");
        hub.shutdown().await;
    }
}

/// A message is lost because it looks like one that came before: same packet id, same
/// payload, but that one was released, or belonged to another session.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_only_looks_like_a_repetition_comes() {
    for v5 in [false, true] {
        let hub = hub().await;
        let mut witness = Witness::new(hub.mqtt_addr());
        let mut publisher = Publisher::new(hub.mqtt_addr(), v5);
        publisher.publish(7, "on", false);
        publisher.expect(PUBREC, 7);
        publisher.release(7);
        witness.sees("on");
        // Sent before, to a connection that was gone: the hub sees it for the first time.
        publisher.reconnect();
        publisher.publish(7, "on", true);
        publisher.expect(PUBREC, 7);
        witness.sees("on");
        publisher.reconnect();
        publisher.publish(7, "off", true);
        publisher.expect(PUBREC, 7);
        witness.sees("off");
        // A new session knows nothing of the old one.
        let connect = Connect {
            clean: true,
            ..Publisher::connect(v5)
        };
        publisher.raw = Raw::connect(hub.mqtt_addr(), connect).0;
        publisher.publish(7, "off", true);
        publisher.expect(PUBREC, 7);
        witness.sees("off");
        hub.shutdown().await;
    }
}
