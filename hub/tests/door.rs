//! Those who come and say nothing.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use aldis_hub::{Hub, HubConfig, Limits, TlsConfig};
use common::raw::{Connect, Raw};
use common::{PATIENCE, finish, mosquitto};

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A hub that speaks everything.
async fn hub(limits: Limits) -> (aldis_hub::RunningHub, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config = HubConfig {
        websocket: Some(LOCAL),
        tls: Some(TlsConfig {
            listen: LOCAL,
            cert,
            key,
        }),
        limits,
        ..HubConfig::ephemeral()
    };
    (Hub::start(config).await.unwrap(), dir)
}

/// Waits until the hub closes the connection.
fn closed(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = [0; 64];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            // A refusal.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("the hub does not close the connection: {error}"),
        }
    }
}

fn device(addr: SocketAddr, id: &str) -> Raw {
    let connect = Connect {
        id,
        clean: true,
        ..Connect::default()
    };
    Raw::connect(addr, connect).0
}

/// A device comes in over TLS and says something.
fn device_over_tls(addr: SocketAddr, dir: &tempfile::TempDir) {
    let ca = dir.path().join("cert.pem");
    let ca = ca.to_str().unwrap();
    let arguments = [
        "--cafile",
        ca,
        "--insecure",
        "-t",
        "t",
        "-m",
        "x",
        "-q",
        "1",
    ];
    let output = finish(&mut mosquitto("mosquitto_pub", addr, &arguments));
    assert!(output.status.success(), "{output:?}");
}

/// Connections that say nothing stay for ever, until there is none left for a device.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_connect_in_time_is_closed() {
    let limits = Limits {
        connect: Duration::from_millis(500),
        ..Limits::default()
    };
    let (hub, _dir) = hub(limits).await;
    let (mqtt, tls) = (hub.mqtt_addr(), hub.tls_addr().unwrap());
    let websocket = hub.websocket_addr().unwrap();
    let mut device = device(mqtt, "kitchen");
    let connect = Connect {
        id: "half",
        clean: true,
        ..Connect::default()
    };
    let connect = connect.packet();
    let hello = [0x16, 3, 1, 2, 0, 1, 0];
    let begun = Instant::now();
    let silent: Vec<_> = [
        (mqtt, &[][..]),
        (mqtt, &connect[..1]),
        // Its version is known, but not who it is.
        (mqtt, &connect[..12]),
        (tls, &[]),
        (tls, &hello),
        (websocket, &[]),
        (websocket, b"GET /mqtt HTTP/1.1\r\n"),
    ]
    .into_iter()
    .map(|(addr, bytes)| {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    })
    .collect();
    for stream in silent {
        closed(stream);
    }
    assert!(begun.elapsed() >= Duration::from_millis(500));
    // One that has connected may be silent as long as it said that it would be.
    device.ping();
    hub.shutdown().await;
}

/// Who holds thousands of connections open keeps devices out, by each of the ways.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room_for_a_device() {
    // Longer than the test: nothing but making room helps.
    let limits = Limits {
        connect: Duration::from_secs(600),
        waiting: 100,
        ..Limits::default()
    };
    let (hub, dir) = hub(limits).await;
    let (mqtt, tls) = (hub.mqtt_addr(), hub.tls_addr().unwrap());
    let mut before = device(mqtt, "attic");
    let idle = |addr| -> Vec<_> {
        (0..1_000)
            .map(|_| TcpStream::connect(addr).unwrap())
            .collect()
    };
    let mut all = idle(mqtt);
    device(mqtt, "kitchen").disconnect();
    all.extend(idle(tls));
    device_over_tls(tls, &dir);
    device(mqtt, "kitchen").disconnect();
    before.ping();
    // All but a hundred of them are closed, the oldest first.
    let kept = all.split_off(1_900);
    for stream in all {
        closed(stream);
    }
    drop(kept);
    hub.shutdown().await;
}

/// Many devices that come at once are taken for somebody who only holds connections open.
#[tokio::test(flavor = "multi_thread")]
async fn devices_that_come_at_once_all_come_in() {
    let limits = Limits {
        waiting: 100,
        ..Limits::default()
    };
    let (hub, _dir) = hub(limits).await;
    let addr = hub.mqtt_addr();
    let comers: Vec<_> = (0..8)
        .map(|group| {
            std::thread::spawn(move || {
                let connected: Vec<_> = (0..100)
                    .map(|number| {
                        let id = format!("device-{group}-{number}");
                        let connect = Connect {
                            id: &id,
                            clean: true,
                            ..Connect::default()
                        };
                        Raw::connect(addr, connect).0
                    })
                    .collect();
                for mut device in connected {
                    device.ping();
                }
            })
        })
        .collect();
    for comer in comers {
        comer.join().expect("all of them come in");
    }
    hub.shutdown().await;
}
