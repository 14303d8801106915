//! Each fault, with plain sockets. Nothing is waited for without a bound, and that nothing comes
//! is shown by something else that does.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::peers::packet;

/// How long something may take that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

const PUBLISH: [u8; 8] = [0x32, 6, 0, 1, b'n', 0, 7, b'1'];
const PUBACK: [u8; 4] = [0x40, 2, 0, 7];
const PINGREQ: [u8; 2] = [0xc0, 0];
const PINGRESP: [u8; 2] = [0xd0, 0];

/// A proxy that listens, and a broker that only accepts.
struct Rig {
    proxy: Proxy,
    accepted: Receiver<TcpStream>,
}

impl Rig {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut proxy = Proxy::new(listener.local_addr().unwrap()).unwrap();
        let (sender, accepted) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if sender.send(stream.unwrap()).is_err() {
                    return;
                }
            }
        });
        proxy.listen().unwrap();
        Self { proxy, accepted }
    }

    /// A connection: the client's end and the broker's.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.address()).unwrap();
        let broker = self.accepted.recv_timeout(PATIENCE).unwrap();
        // The broker may see it sooner than the next fault does.
        let from = client.local_addr().unwrap();
        let known = self
            .proxy
            .wait_for_state(Instant::now() + PATIENCE, |state| {
                let sockets = state.connections.iter().filter_map(|c| c.sockets.as_ref());
                let mut peers = sockets.filter_map(|sockets| sockets.client.peer_addr().ok());
                peers.any(|peer| peer == from).then_some(())
            });
        assert_eq!(known, Some(()));
        for stream in [&client, &broker] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        (client, broker)
    }

    /// Waits until so many bytes wait in the proxy.
    fn wait_for_held(&self, number: usize, way: Way, bytes: usize) {
        let deadline = Instant::now() + PATIENCE;
        let held = self.proxy.wait_for_state(deadline, |state| {
            let line = state.connections[number].line(way);
            (line.waiting() == bytes).then_some(())
        });
        assert_eq!(held, Some(()), "{way:?}");
    }

    /// What can be told from others goes through a connection of its own.
    fn assert_new_ones_work(&self) {
        let (mut client, mut broker) = self.connect();
        exchange(&mut client, &mut broker);
    }
}

impl Proxy {
    fn wait_for_state<T>(
        &self,
        deadline: Instant,
        mut wanted: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.path.state();
        loop {
            if let Some(found) = wanted(&mut state) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self.path.wait(state, Some(left));
        }
    }
}

fn receive(stream: &mut TcpStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, expected);
}

/// Something each way.
fn exchange(client: &mut TcpStream, broker: &mut TcpStream) {
    client.write_all(&PINGREQ).unwrap();
    receive(broker, &PINGREQ);
    broker.write_all(&PINGRESP).unwrap();
    receive(client, &PINGRESP);
}

fn assert_nothing_came(stream: &mut TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let read = stream.read(&mut [0]);
    assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
}

fn assert_closed(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn it_carries_both_ways_and_ends_with_either_side() {
    let rig = Rig::new();
    let (mut client, mut broker) = rig.connect();
    exchange(&mut client, &mut broker);
    // Half of a packet is not withheld for ever.
    client.write_all(&PUBLISH[..3]).unwrap();
    drop(client);
    receive(&mut broker, &PUBLISH[..3]);
    assert_closed(&mut broker);
    let (mut client, broker) = rig.connect();
    drop(broker);
    assert_closed(&mut client);
}

#[test]
fn it_refuses_and_listens_on_the_same_port() {
    let mut rig = Rig::new();
    let (mut client, mut broker) = rig.connect();
    rig.proxy.refuse();
    let refused = TcpStream::connect(rig.proxy.address()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    exchange(&mut client, &mut broker);
    rig.proxy.listen().unwrap();
    rig.assert_new_ones_work();
}

#[test]
fn what_is_held_comes_afterwards_when_tcp_would_send_it_again() {
    let rig = Rig::new();
    let (mut client, mut broker) = rig.connect();
    rig.proxy.hold().unwrap();
    let sent = Instant::now();
    client.write_all(&PUBLISH).unwrap();
    rig.wait_for_held(0, Way::Up, PUBLISH.len());
    broker.write_all(&PINGRESP).unwrap();
    rig.wait_for_held(0, Way::Down, PINGRESP.len());
    rig.proxy.release().unwrap();
    receive(&mut broker, &PUBLISH);
    assert!(sent.elapsed() >= Duration::from_millis(200));
    receive(&mut client, &PINGRESP);
    exchange(&mut client, &mut broker);
}

#[test]
fn nobody_answers_a_new_connection_while_it_holds() {
    let rig = Rig::new();
    let (_client, _broker) = rig.connect();
    for _ in 0..2 {
        rig.proxy.hold().unwrap();
        let connect =
            |time| TcpStream::connect_timeout(&rig.proxy.address(), Duration::from_millis(time));
        assert_eq!(connect(50).unwrap_err().kind(), ErrorKind::TimedOut);
        thread::scope(|scope| {
            // It waits, and comes about afterwards.
            let waiting = scope.spawn(|| connect(20_000));
            assert_eq!(connect(50).unwrap_err().kind(), ErrorKind::TimedOut);
            rig.proxy.release().unwrap();
            let mut client = waiting.join().unwrap().unwrap();
            let mut broker = rig.accepted.recv_timeout(PATIENCE).unwrap();
            exchange(&mut client, &mut broker);
        });
        rig.assert_new_ones_work();
    }
}

#[test]
fn a_dead_connection_carries_nothing_and_nobody_is_told() {
    let rig = Rig::new();
    let (mut client, mut broker) = rig.connect();
    exchange(&mut client, &mut broker);
    rig.proxy.kill();
    client.write_all(&PUBLISH).unwrap();
    broker.write_all(&PINGRESP).unwrap();
    rig.wait_for_held(0, Way::Up, PUBLISH.len());
    rig.wait_for_held(0, Way::Down, PINGRESP.len());
    // The end of another fault does not revive it.
    rig.proxy.hold().unwrap();
    rig.proxy.release().unwrap();
    rig.assert_new_ones_work();
    assert_nothing_came(&mut client);
    assert_nothing_came(&mut broker);
    drop(client);
    rig.assert_new_ones_work();
    assert_nothing_came(&mut broker);
}

#[test]
fn only_what_comes_from_the_broker_dies() {
    let rig = Rig::new();
    let (mut client, mut broker) = rig.connect();
    rig.proxy.kill_downwards();
    client.write_all(&PUBLISH).unwrap();
    receive(&mut broker, &PUBLISH);
    broker.write_all(&PUBACK).unwrap();
    rig.wait_for_held(0, Way::Down, PUBACK.len());
    rig.assert_new_ones_work();
    assert_nothing_came(&mut client);
}

#[test]
fn one_puback_is_swallowed_and_named() {
    let rig = Rig::new();
    let (mut client, mut broker) = rig.connect();
    rig.proxy.swallow_puback();
    client.write_all(&packet::connect("a")).unwrap();
    client.write_all(&PUBLISH).unwrap();
    receive(&mut broker, &packet::connect("a"));
    receive(&mut broker, &PUBLISH);
    broker.write_all(&PINGRESP).unwrap();
    broker.write_all(&PUBACK).unwrap();
    // Of the next one, by its own packet id.
    let next = [0x32, 6, 0, 1, b'n', 0, 8, b'2'];
    client.write_all(&next).unwrap();
    receive(&mut broker, &next);
    broker.write_all(&[0x40, 2, 0, 8]).unwrap();
    receive(&mut client, &PINGRESP);
    receive(&mut client, &[0x40, 2, 0, 8]);
    let swallowed = Seen::Swallowed(b"1".to_vec());
    let seen = rig.proxy.wait_for(Instant::now() + PATIENCE, |seen| {
        seen.iter().position(|(_, seen)| *seen == swallowed)
    });
    assert_eq!(seen, Some(1), "after CONNECT");
}

#[test]
fn a_reset_is_one_at_both_sides() {
    let rig = Rig::new();
    let (mut client, mut broker) = rig.connect();
    exchange(&mut client, &mut broker);
    rig.proxy.reset();
    for stream in [&mut client, &mut broker] {
        let read = stream.read(&mut [0]);
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    rig.assert_new_ones_work();
}

#[test]
fn connections_are_closed_after_connect_so_often() {
    let rig = Rig::new();
    let (mut old, _broker) = rig.connect();
    rig.proxy.close_after_connect(2);
    assert_closed(&mut old);
    for times in 1..=2 {
        let (mut client, mut broker) = rig.connect();
        client.write_all(&packet::connect("a")).unwrap();
        assert_closed(&mut client);
        assert_closed(&mut broker);
        assert_eq!(rig.proxy.count(&Seen::Closed), times);
    }
    let (mut client, mut broker) = rig.connect();
    client.write_all(&packet::connect("a")).unwrap();
    receive(&mut broker, &packet::connect("a"));
    exchange(&mut client, &mut broker);
    assert_eq!(rig.proxy.count(&Seen::Connect), 3);
}

#[test]
fn a_slow_path_takes_its_time_each_way_and_keeps_the_order() {
    let rig = Rig::new();
    let (mut client, mut broker) = rig.connect();
    let delay = Duration::from_millis(150);
    rig.proxy.delay(delay);
    let start = Instant::now();
    client.write_all(&PINGREQ).unwrap();
    client.write_all(&PUBLISH).unwrap();
    receive(&mut broker, &PINGREQ);
    receive(&mut broker, &PUBLISH);
    broker.write_all(&PINGRESP).unwrap();
    receive(&mut client, &PINGRESP);
    assert!(start.elapsed() >= delay * 2);
    // The end of a connection is no faster than what was sent before it.
    client.write_all(&PUBLISH).unwrap();
    drop(client);
    receive(&mut broker, &PUBLISH);
    assert_closed(&mut broker);
}

#[test]
fn a_trickle_brings_one_byte_at_a_time() {
    let rig = Rig::new();
    let (mut client, mut broker) = rig.connect();
    rig.proxy.trickle(true);
    let start = Instant::now();
    client.write_all(&PUBLISH).unwrap();
    receive(&mut broker, &PUBLISH);
    assert!(start.elapsed() >= TRICKLE * PUBLISH.len() as u32);
    rig.proxy.trickle(false);
    exchange(&mut client, &mut broker);
}
