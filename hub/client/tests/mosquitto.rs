//! The client at a real broker that stops, comes back and forgets.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aldis_client::{Broker, Client, Event, Events, Message, Options, Publish, QoS, start};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

struct Mosquitto {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Mosquitto {
    fn start(more: &str) -> Self {
        // Another program may take the port in between.
        for _ in 0..5 {
            let port = {
                let probe = TcpListener::bind("127.0.0.1:0").unwrap();
                probe.local_addr().unwrap().port()
            };
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(
                dir.path().join("mosquitto.conf"),
                format!(
                    "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\n\
                     persistence_location {}/\nautosave_interval 1\n{more}",
                    dir.path().display()
                ),
            )
            .unwrap();
            let mut child = run(dir.path());
            while child.try_wait().unwrap().is_none() {
                if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { child, dir, port };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("mosquitto does not start");
    }

    fn stop(&mut self) {
        let pid = self.child.id().to_string();
        Command::new("kill").arg(pid).status().unwrap();
        self.child.wait().unwrap();
    }

    fn again(&mut self) {
        self.child = run(self.dir.path());
    }

    fn options(&self, id: &str) -> Options {
        Options::new(Broker::new("127.0.0.1", self.port), id)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(dir: &Path) -> Child {
    Command::new("mosquitto")
        .arg("-c")
        .arg(dir.join("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
        .spawn()
        .expect("apt-get install mosquitto")
}

async fn wait<T>(
    events: &mut Events,
    what: &str,
    mut wanted: impl FnMut(&Event) -> Option<T>,
) -> T {
    let waiting = async {
        loop {
            let event = events.next().await.expect("the client goes on");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited for {what}"))
}

async fn connected(events: &mut Events) -> bool {
    wait(events, "a connection", |event| match event {
        Event::Connected { session_present } => Some(*session_present),
        _ => None,
    })
    .await
}

async fn message(events: &mut Events) -> Message {
    wait(events, "a message", |event| match event {
        Event::Message(message) => Some(message.clone()),
        _ => None,
    })
    .await
}

async fn publish(client: &Client, text: &str) {
    timeout(PATIENCE, client.publish(Publish::new("a/b", text)))
        .await
        .expect("the broker takes it")
        .unwrap();
}

/// What was not handled when a recorder died would never come again.
#[tokio::test]
async fn what_was_not_acknowledged_comes_again() {
    let broker = Mosquitto::start("");
    let options = Options {
        keep: Some(Duration::from_secs(3_600)),
        ..broker.options("keeper").subscribe("a/+", QoS::AtLeastOnce)
    };
    let (client, mut events) = start(options.clone()).unwrap();
    assert!(!connected(&mut events).await);
    let (sender, mut other) = start(broker.options("sender")).unwrap();
    connected(&mut other).await;
    // The subscription may be on its way: its echo says that it is there.
    publish(&sender, "1").await;
    publish(&sender, "2").await;
    let first = message(&mut events).await;
    let second = message(&mut events).await;
    assert_eq!(
        (&first.payload[..], &second.payload[..]),
        (&b"1"[..], &b"2"[..])
    );
    client.acknowledge(first.token.into_iter().collect());
    client.stop().await;
    drop((client, events));

    let (client, mut events) = start(options).unwrap();
    assert!(connected(&mut events).await);
    let again = message(&mut events).await;
    assert_eq!(again.payload, b"2");
    assert!(again.dup);
    client.acknowledge(again.token.into_iter().collect());
    publish(&sender, "3").await;
    assert_eq!(message(&mut events).await.payload, b"3");
}

/// A command would be lost because the broker was just being restarted.
#[tokio::test]
async fn a_publication_waits_for_a_broker_that_is_away() {
    let mut broker = Mosquitto::start("");
    let (client, mut events) =
        start(broker.options("c").subscribe("a/b", QoS::AtLeastOnce)).unwrap();
    connected(&mut events).await;
    assert!(client.is_connected());
    broker.stop();
    let why = wait(&mut events, "the end", |event| match event {
        Event::Disconnected { why } => Some(why.clone()),
        _ => None,
    })
    .await;
    assert!(!why.is_empty());
    assert!(!client.is_connected());
    let error = client
        .publish(Publish::new("a/b", "now").qos(QoS::AtMostOnce))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "there is no connection to the broker");
    let publishing = tokio::spawn({
        let client = client.clone();
        async move { client.publish(Publish::new("a/b", "later")).await }
    });
    broker.again();
    timeout(PATIENCE, publishing)
        .await
        .expect("the broker takes it")
        .unwrap()
        .unwrap();
    connected(&mut events).await;
    // The subscription came about again, before or after it.
    publish(&client, "again").await;
    let last = wait(&mut events, "the message", |event| match event {
        Event::Message(message) if message.payload == b"again" => Some(message.qos),
        _ => None,
    })
    .await;
    assert_eq!(last, QoS::AtLeastOnce);
}

/// Many at once would be refused for want of room instead of waiting for it.
#[tokio::test]
async fn more_than_the_outbox_holds_goes_out_in_the_end() {
    let broker = Mosquitto::start("");
    let (client, mut events) = start(broker.options("c")).unwrap();
    connected(&mut events).await;
    let mut all = Vec::new();
    for _ in 0..5_000 {
        let client = client.clone();
        all.push(tokio::spawn(async move {
            client.publish(Publish::new("a", vec![b'x'; 1_000])).await
        }));
    }
    for one in all {
        timeout(PATIENCE, one).await.unwrap().unwrap().unwrap();
    }
}

/// A mistake that shows only as silence.
#[tokio::test]
async fn mistakes_are_told() {
    let broker = Mosquitto::start("");
    let error = start(broker.options("c").subscribe("a/#/b", QoS::AtMostOnce)).unwrap_err();
    assert!(error.to_string().contains("a/#/b"), "{error}");
    let (client, mut events) = start(broker.options("c")).unwrap();
    client.subscribe("+a", QoS::AtMostOnce);
    let filter = wait(&mut events, "a refusal", |event| match event {
        Event::Denied { filter, .. } => Some(filter.clone()),
        _ => None,
    })
    .await;
    assert_eq!(filter, "+a");
    let error = client.publish(Publish::new("a/+", "x")).await.unwrap_err();
    assert!(error.to_string().contains('+'), "{error}");
    client.stop().await;
    let error = client.publish(Publish::new("a", "x")).await.unwrap_err();
    assert_eq!(error.to_string(), "the client has ended");
    while timeout(PATIENCE, events.next()).await.unwrap().is_some() {}
}

/// A name that nobody has, or a broker that says no, would be a riddle.
#[tokio::test]
async fn why_there_is_no_connection_is_told_in_words() {
    let (_client, mut events) =
        start(Options::new(Broker::new("no-such-host.invalid", 1883), "c")).unwrap();
    let why = wait(&mut events, "a failure", |event| match event {
        Event::Disconnected { why } => Some(why.clone()),
        _ => None,
    })
    .await;
    assert!(why.contains('('), "{why}");
}
