//! The tokio driver and mosquitto with a faulty network between them.

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aldis_mqtt::{
    Cause, Event, Network, Options, Publication, QoS, SubscribeOptions, Timeouts, Version,
};
use support::{Mosquitto, PATIENCE, TestLink, link, options, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What the network does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fault {
    /// Takes nothing from the client, or gives it nothing.
    stall: [bool; 2],
    /// One byte at a time.
    trickle: bool,
    /// Ends each connection after so many bytes from the client.
    end_after: Option<usize>,
    /// With RST; otherwise with FIN.
    reset: bool,
}

/// A proxy before the broker, which ends with the value.
struct Proxy {
    port: u16,
    fault: watch::Sender<Fault>,
    task: JoinHandle<()>,
}

impl Proxy {
    async fn start(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (fault, faults) = watch::channel(Fault::default());
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(client, broker, faults.clone()));
            }
        });
        Self { port, fault, task }
    }

    fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, broker: u16, faults: watch::Receiver<Fault>) {
    let address = SocketAddr::from(([127, 0, 0, 1], broker));
    let Ok(server) = TcpStream::connect(address).await else {
        return;
    };
    let (client, server) = (Arc::new(client), Arc::new(server));
    let to_broker = copy(client.clone(), server.clone(), 0, faults.clone());
    let to_client = copy(server, client.clone(), 1, faults.clone());
    tokio::select! { () = to_broker => {}, () = to_client => {} }
    if faults.borrow().reset {
        socket2::SockRef::from(&*client)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

async fn copy(
    from: Arc<TcpStream>,
    to: Arc<TcpStream>,
    direction: usize,
    mut faults: watch::Receiver<Fault>,
) {
    let mut buf = [0; 4096];
    let mut passed = 0;
    loop {
        if from.readable().await.is_err() {
            return;
        }
        // What the fault is now, not what it was before there was something to pass.
        let going = faults.wait_for(|fault| !fault.stall[direction]).await;
        let Ok(fault) = going.map(|fault| *fault) else {
            return;
        };
        let mut most = if fault.trickle { 1 } else { buf.len() };
        if direction == 0
            && let Some(end) = fault.end_after
        {
            if passed >= end {
                return;
            }
            most = most.min(end - passed);
        }
        let len = match from.try_read(&mut buf[..most]) {
            Ok(0) => return,
            Ok(len) => len,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        passed += len;
        let mut left = &buf[..len];
        while !left.is_empty() {
            if to.writable().await.is_err() {
                return;
            }
            match to.try_write(left) {
                Ok(len) => left = &left[len..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

/// Bounds so short that a test can wait for them.
fn short() -> Options<'static> {
    Options {
        keep_alive_s: 1,
        timeouts: Timeouts {
            connect_ms: 2_000,
            answer_ms: 500,
        },
        ..options(Version::V5)
    }
}

/// How often each number came at each topic.
type Counts = BTreeMap<(String, u32), u32>;

/// The second client, which counts what arrives until it is told to end. It
/// listens all the time: mosquitto 2.0 exceeds the receive maximum of a client
/// for which messages had to wait.
async fn counter(port: u16) -> JoinHandle<Counts> {
    let options = Options {
        client_id: "counter",
        ..options(Version::V5)
    };
    let mut counter = link(port, options);
    let exactly_once = SubscribeOptions {
        qos: QoS::ExactlyOnce,
        ..Default::default()
    };
    let session = counter.session();
    session.subscribe("n/#", exactly_once, None).unwrap();
    until(&mut counter, |event| {
        matches!(event, Event::Subscribed { .. }).then_some(())
    })
    .await;
    tokio::spawn(async move {
        let mut counts = Counts::new();
        until(&mut counter, |event| {
            let Event::Message(message) = event else {
                return None;
            };
            let number = std::str::from_utf8(message.payload).unwrap();
            let key = (message.topic.to_string(), number.parse().unwrap());
            *counts.entry(key).or_default() += 1;
            (message.topic == "n/end").then_some(())
        })
        .await;
        counts
    })
}

/// Publishes numbers at QoS 1 and 2.
fn publish(link: &mut TestLink, numbers: std::ops::Range<u32>) {
    let (session, now) = link.parts();
    for number in numbers {
        let payload = number.to_string();
        for (topic, qos) in [("n/1", QoS::AtLeastOnce), ("n/2", QoS::ExactlyOnce)] {
            let publication = Publication::new(topic, payload.as_bytes()).qos(qos);
            session.publish(&publication, now).unwrap();
        }
    }
}

async fn delivered(link: &mut TestLink) {
    while link.session().pending() > 0 {
        timeout(PATIENCE, link.next())
            .await
            .expect("it was not delivered");
    }
}

/// None is lost, and at QoS 2 none came twice.
async fn count(link: &mut TestLink, counter: JoinHandle<Counts>, numbers: u32) {
    delivered(link).await;
    let (session, now) = link.parts();
    let end = Publication::new("n/end", b"0").qos(QoS::ExactlyOnce);
    session.publish(&end, now).unwrap();
    delivered(link).await;
    let counts = counter.await.unwrap();
    for number in 0..numbers {
        let times = |topic: &str| counts.get(&(topic.to_owned(), number)).copied();
        assert!(times("n/1").is_some(), "{number} was lost");
        assert_eq!(times("n/2"), Some(1), "{number}");
    }
}

async fn disconnected(link: &mut TestLink) -> Cause {
    until(link, |event| match event {
        Event::Disconnected { cause, .. } => Some(*cause),
        _ => None,
    })
    .await
}

/// A hung broker, or a line that is dead in one direction, looks like an open
/// connection for hours.
#[tokio::test]
async fn a_stalled_line_is_noticed_within_the_bound() {
    for stall in [[true, true], [true, false], [false, true]] {
        let broker = Mosquitto::start("");
        let counter = counter(broker.port).await;
        let proxy = Proxy::start(broker.port).await;
        let mut link = link(proxy.port, short());
        support::connected(&mut link).await;
        proxy.set(Fault {
            stall,
            ..Fault::default()
        });
        let start = link.now();
        publish(&mut link, 0..10);
        let cause = disconnected(&mut link).await;
        assert!(matches!(cause, Cause::Silent | Cause::Stalled), "{cause}");
        // Keep-alive, then the bounds on writing and on the answer.
        let waited = link.now().since(start);
        assert!(waited <= 2_000 + 500, "{waited} ms");
        proxy.set(Fault::default());
        count(&mut link, counter, 10).await;
    }
}

/// A quiet connection to a hung broker is noticed by keep-alive alone.
#[tokio::test]
async fn a_stalled_quiet_line_is_noticed_by_keep_alive() {
    let broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.port).await;
    let mut link = link(proxy.port, short());
    support::connected(&mut link).await;
    proxy.set(Fault {
        stall: [true, true],
        ..Fault::default()
    });
    let start = link.now();
    assert_eq!(disconnected(&mut link).await, Cause::Silent);
    let waited = link.now().since(start);
    assert!((900..=2_500).contains(&waited), "{waited} ms");
}

/// A packet that is cut in the middle must be sent again as a whole.
#[tokio::test]
async fn connections_that_end_in_the_middle_of_a_packet_lose_nothing() {
    for reset in [false, true] {
        let broker = Mosquitto::start("");
        let counter = counter(broker.port).await;
        let proxy = Proxy::start(broker.port).await;
        let mut link = link(proxy.port, short());
        let mut ends = 0;
        for round in 0..12 {
            support::connected(&mut link).await;
            publish(&mut link, round * 5..round * 5 + 5);
            proxy.set(Fault {
                // Past CONNECT, in the middle of something.
                end_after: Some(30 + 7 * round as usize),
                reset,
                ..Fault::default()
            });
            if matches!(
                disconnected(&mut link).await,
                Cause::Network(Network::Reset | Network::Closed)
            ) {
                ends += 1;
            }
            proxy.set(Fault::default());
        }
        assert!(ends > 0, "no connection was ended");
        count(&mut link, counter, 60).await;
    }
}

/// A packet that comes byte by byte is a packet.
#[tokio::test]
async fn a_trickling_line_loses_nothing() {
    let broker = Mosquitto::start("");
    let counter = counter(broker.port).await;
    let proxy = Proxy::start(broker.port).await;
    proxy.set(Fault {
        trickle: true,
        ..Fault::default()
    });
    let mut link = link(proxy.port, options(Version::V5));
    support::connected(&mut link).await;
    publish(&mut link, 0..20);
    count(&mut link, counter, 20).await;
}

/// A broker that is not there yet must be waited for, and found.
#[tokio::test]
async fn a_broker_that_starts_late_is_found() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut link = link(port, options(Version::V5));
    publish(&mut link, 0..3);
    for _ in 0..3 {
        let cause = disconnected(&mut link).await;
        assert_eq!(cause, Cause::Network(Network::ConnectionRefused));
    }
    let words = link.connector().last_failure().unwrap().to_owned();
    assert!(words.contains(&port.to_string()), "{words}");
    let _broker = Mosquitto::start_on(port, "");
    delivered(&mut link).await;
    assert_eq!(link.connector().last_failure(), None);
}

/// A socket that is closed with unread bytes in it is reset: DISCONNECT may be
/// lost with it, and the broker publishes the will.
#[tokio::test]
async fn a_farewell_arrives_beside_unread_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut link = link(listener.local_addr().unwrap().port(), options(Version::V5));
    let broker = async {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut buf = [0; 256];
        assert!(client.read(&mut buf).await.unwrap() > 0);
        client.write_all(&[0x20, 3, 0, 0, 0]).await.unwrap();
        // More than anybody reads: a packet that never becomes complete.
        let mut packet = vec![0x30, 0xff, 0xff, 0x7f, 0, 1, b't', 0];
        packet.resize(300_000, 0);
        client.write_all(&packet).await.unwrap();
        client
    };
    let (mut client, ()) = tokio::join!(broker, async {
        support::connected(&mut link).await;
    });
    let (session, now) = link.parts();
    session.stop(now);
    assert_eq!(disconnected(&mut link).await, Cause::Stopped);
    let mut rest = Vec::new();
    timeout(PATIENCE, client.read_to_end(&mut rest))
        .await
        .unwrap()
        .expect("the connection was reset");
    assert!(rest.ends_with(&[0xe0, 0]), "{rest:?}");
}
