//! Who gets in, who may do what, and the listeners beside plain TCP.

mod common;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use aldis_hub::{Access, Action, Effect, Hub, HubConfig, HubError, Rule, TlsConfig};
use common::raw::{self, Connect};
use common::{PATIENCE, Program, VERSIONS, allow, finish, hub, hub_with, mosquitto, publish, user};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Anybody gets in, or is told the wrong thing to change.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_refused_with_the_code_that_says_so() {
    let access = Access {
        users: vec![user("kitchen", "right")],
        ..Access::default()
    };
    let hub = hub_with(access).await;
    let addr = hub.mqtt_addr();
    // mosquitto_pub ends with the CONNACK's code.
    for (version, bad_password, not_authorized) in [("mqttv311", 4, 5), ("mqttv5", 0x86, 0x87)] {
        let attempt = |credentials: &[&str]| {
            let message = ["-V", version, "-t", "t", "-m", "x", "-q", "1"];
            finish(mosquitto("mosquitto_pub", addr, &message).args(credentials))
                .status
                .code()
        };
        assert_eq!(attempt(&["-u", "kitchen", "-P", "right"]), Some(0));
        assert_eq!(
            attempt(&["-u", "kitchen", "-P", "wrong"]),
            Some(bad_password)
        );
        assert_eq!(attempt(&["-u", "kitchen"]), Some(bad_password));
        assert_eq!(
            attempt(&["-u", "stranger", "-P", "right"]),
            Some(bad_password)
        );
        assert_eq!(attempt(&[]), Some(not_authorized));
    }
    hub.shutdown().await;
}

/// Anonymous clients are locked out although the file says that they may come.
#[tokio::test(flavor = "multi_thread")]
async fn anonymous_clients_may_be_allowed_beside_users() {
    let access = Access {
        anonymous: Some(true),
        users: vec![user("kitchen", "right")],
        ..Access::default()
    };
    let hub = hub_with(access).await;
    publish(hub.mqtt_addr(), &["-t", "t", "-m", "x", "-q", "1"]);
    let wrong = ["-u", "kitchen", "-P", "wrong", "-t", "t", "-m", "x"];
    let wrong = finish(&mut mosquitto("mosquitto_pub", hub.mqtt_addr(), &wrong));
    assert!(!wrong.status.success());
    hub.shutdown().await;
}

/// A forbidden message is delivered, kept, or delivered as a will.
#[tokio::test(flavor = "multi_thread")]
async fn forbidden_topics_cannot_be_published_to() {
    let rules = vec![
        allow(Some(Action::Publish), "own/%c/#"),
        allow(Some(Action::Subscribe), "#"),
    ];
    let access = Access {
        rules,
        ..Access::default()
    };
    let hub = hub_with(access).await;
    let addr = hub.mqtt_addr();
    let mut witness = Program::subscriber(addr, &["-t", "#"]);
    for version in VERSIONS {
        let id = format!("c-{version}");
        let (own, other) = (format!("own/{id}/x"), "own/other/x");
        let as_client = ["-V", version, "-i", &id, "-q", "1", "-m", "x", "-r"];
        let refused =
            finish(mosquitto("mosquitto_pub", addr, &as_client).args(["-d", "-t", other]));
        if version == "mqttv5" {
            assert!(
                String::from_utf8_lossy(&refused.stdout).contains("RC:135"),
                "{refused:?}"
            );
        }
        let will = ["-t", &own, "--will-topic", other, "--will-payload", "x"];
        let refused = finish(mosquitto("mosquitto_pub", addr, &as_client).args(will));
        assert!(!refused.status.success(), "a forbidden will: {refused:?}");
        publish(addr, &[&as_client[..], &["-t", &own]].concat());
        assert_eq!(
            witness.message(),
            format!("{own} x"),
            "nothing forbidden came before"
        );
    }
    let retained = mosquitto(
        "mosquitto_sub",
        addr,
        &["-t", "own/other/#", "-W", "1", "-C", "1"],
    );
    let retained = finish(&mut { retained });
    assert!(retained.stdout.is_empty(), "{retained:?}");
    hub.shutdown().await;
}

/// A forbidden subscription is granted, alone or among others.
#[tokio::test(flavor = "multi_thread")]
async fn forbidden_topics_cannot_be_subscribed_to() {
    let deny = Rule {
        effect: Effect::Deny,
        ..allow(None, "secret/#")
    };
    let access = Access {
        rules: vec![deny, allow(None, "#")],
        ..Access::default()
    };
    let hub = hub_with(access).await;
    let addr = hub.mqtt_addr();
    for version in VERSIONS {
        for filter in ["secret/door", "#", "+/door", "$share/g/secret/#"] {
            let subscribe = ["-V", version, "-t", filter, "-W", "5"];
            let refused = finish(&mut mosquitto("mosquitto_sub", addr, &subscribe));
            assert!(stderr(&refused).contains("denied"), "{filter}: {refused:?}");
        }
        let mut mixed = Program::start(&mut mosquitto(
            "mosquitto_sub",
            addr,
            &[
                "-V",
                version,
                "-d",
                "-t",
                "secret/a",
                "-t",
                "open",
                "-F",
                "got %t %p",
            ],
        ));
        let code = if version == "mqttv5" { "135" } else { "128" };
        assert_eq!(
            mixed.wait_for("Subscribed (mid"),
            format!("Subscribed (mid: 1): {code}, 0")
        );
        publish(addr, &["-t", "secret/a", "-m", "x", "-q", "1"]);
        publish(addr, &["-t", "open", "-m", "y", "-q", "1"]);
        assert_eq!(mixed.message(), "open y");
    }
    hub.shutdown().await;
}

/// A browser that cannot take part.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_carries_the_same_conversation() {
    let config = HubConfig {
        websocket: Some(LOCAL),
        ..HubConfig::ephemeral()
    };
    let hub = Hub::start(config).await.expect("the hub starts");
    let addr = hub.websocket_addr().expect("a WebSocket listener");
    let stream = TcpStream::connect(addr).expect("the hub accepts connections");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout can be set");
    let mut request = format!("ws://{addr}/mqtt")
        .into_client_request()
        .expect("a request");
    let protocol = "mqtt".parse().expect("a header");
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", protocol);
    let (mut socket, response) = tungstenite::client(request, stream).expect("a handshake");
    let protocol = response.headers().get("Sec-WebSocket-Protocol");
    assert_eq!(protocol.and_then(|p| p.to_str().ok()), Some("mqtt"));

    let connect = Connect {
        id: "browser",
        clean: true,
        ..Connect::default()
    };
    socket
        .send(Message::binary(connect.packet()))
        .expect("the hub reads");
    assert_eq!(binary(&mut socket), [0x20, 2, 0, 0]);
    socket
        .send(Message::binary(raw::subscribe("t", 0, false)))
        .expect("the hub reads");
    assert_eq!(binary(&mut socket), [0x90, 3, 0, 1, 0]);
    publish(hub.mqtt_addr(), &["-t", "t", "-m", "hi"]);
    assert_eq!(binary(&mut socket), b"\x30\x05\x00\x01thi");
    hub.shutdown().await;
}

fn binary(socket: &mut WebSocket<TcpStream>) -> Vec<u8> {
    loop {
        match socket.read().expect("the hub sends a frame") {
            Message::Binary(bytes) => return bytes.to_vec(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("not a binary frame: {other:?}"),
        }
    }
}

/// A private CA and a certificate for `localhost`, as files.
struct Certificates {
    _dir: tempfile::TempDir,
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

fn certificates() -> Certificates {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca_params = CertificateParams::new(Vec::new()).expect("parameters");
    // Issuer and subject of one name would look like a certificate that signed itself.
    ca_params
        .distinguished_name
        .push(DnType::CommonName, "Private CA");
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = ca_params.self_signed(&ca_key).expect("a CA");
    let issuer = Issuer::new(ca_params, ca_key);
    let key = KeyPair::generate().expect("a key");
    let cert = CertificateParams::new(vec!["localhost".to_owned()])
        .expect("parameters")
        .signed_by(&key, &issuer)
        .expect("a certificate");
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, pem: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, pem).expect("a file");
        path
    };
    Certificates {
        ca: write("ca.pem", ca.pem()),
        cert: write("cert.pem", cert.pem()),
        key: write("key.pem", key.serialize_pem()),
        _dir: dir,
    }
}

/// TLS that does not work, or works with any certificate.
#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_private_ca_is_verified_by_mosquitto() {
    let files = certificates();
    let tls = TlsConfig {
        listen: LOCAL,
        cert: files.cert.clone(),
        key: files.key.clone(),
    };
    let hub = Hub::start(HubConfig {
        tls: Some(tls),
        ..HubConfig::ephemeral()
    })
    .await
    .expect("the hub starts");
    let port = hub.tls_addr().expect("a TLS listener").port().to_string();
    let stranger = certificates();
    for version in VERSIONS {
        let mut subscriber = Program::subscriber(hub.mqtt_addr(), &["-t", version]);
        let secure = |ca: &PathBuf| {
            // The certificate is for the name, so the address will not do.
            let mut command = mosquitto("mosquitto_pub", hub.mqtt_addr(), &[]);
            command.args(["-h", "localhost", "-p", &port, "-V", version, "--cafile"]);
            finish(
                command
                    .arg(ca)
                    .args(["-t", version, "-m", "secret", "-q", "1"]),
            )
        };
        let sent = secure(&files.ca);
        assert!(sent.status.success(), "{sent:?}");
        assert_eq!(subscriber.message(), format!("{version} secret"));
        let refused = secure(&stranger.ca);
        assert!(!refused.status.success(), "{refused:?}");
    }
    hub.shutdown().await;
}

/// A hub that runs for longer than its certificate is lost to every device that checks it; one that
/// closes what is open to take up another loses contact for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_up_and_connections_stay() {
    let (files, others) = (certificates(), certificates());
    let tls = TlsConfig {
        listen: LOCAL,
        cert: files.cert.clone(),
        key: files.key.clone(),
    };
    let hub = Hub::start(HubConfig {
        tls: Some(tls),
        ..HubConfig::ephemeral()
    })
    .await
    .expect("the hub starts");
    let port = hub.tls_addr().expect("a TLS listener").port().to_string();
    let secure = |program: &str, ca: &PathBuf, rest: &[&str]| {
        let mut command = mosquitto(program, hub.mqtt_addr(), &[]);
        command.args(["-h", "localhost", "-p", &port, "--cafile"]);
        command.arg(ca).args(rest);
        command
    };
    let publish = |ca| finish(&mut secure("mosquitto_pub", ca, &["-t", "a", "-m", "1"]));
    let arguments = ["-d", "-t", "a", "-F", "got %t %p"];
    let mut stays = Program::start(&mut secure("mosquitto_sub", &files.ca, &arguments));
    stays.wait_for("Subscribed (mid");
    assert!(publish(&files.ca).status.success());
    assert_eq!(stays.message(), "a 1");

    // Half of it is written, and the old one stays.
    std::fs::copy(&others.cert, &files.cert).expect("a copy");
    let until = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < until {
        assert!(publish(&files.ca).status.success());
    }
    std::fs::copy(&others.key, &files.key).expect("a copy");
    let deadline = Instant::now() + PATIENCE;
    while !publish(&others.ca).status.success() {
        assert!(Instant::now() < deadline, "no new certificate");
    }
    assert!(!publish(&files.ca).status.success());
    let last = ["-t", "a", "-m", "last", "-q", "1"];
    let last = finish(&mut secure("mosquitto_pub", &others.ca, &last));
    assert!(last.status.success(), "{last:?}");
    // The very connection of the beginning.
    while stays.message() != "a last" {}
    hub.shutdown().await;
}

/// A certificate that cannot be used would be noticed only by the first client.
#[tokio::test(flavor = "multi_thread")]
async fn unusable_certificates_are_refused_at_the_start() {
    let (files, other) = (certificates(), certificates());
    let missing = PathBuf::from("/nowhere/cert.pem");
    for (cert, key) in [
        (&missing, &files.key),
        (&files.cert, &missing),
        (&files.cert, &other.key),
        (&files.key, &files.key),
        (&files.cert, &files.cert),
    ] {
        let tls = TlsConfig {
            listen: LOCAL,
            cert: cert.clone(),
            key: key.clone(),
        };
        let error = Hub::start(HubConfig {
            tls: Some(tls),
            ..HubConfig::ephemeral()
        })
        .await
        .expect_err("the certificate cannot be used");
        assert!(
            matches!(error, HubError::Tls { .. }),
            "{cert:?} {key:?}: {error}"
        );
    }
}

/// Garbage from a port scanner ends the hub, or the listener.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_port_harms_nobody() {
    use std::io::Write;
    let hub = hub().await;
    let addr = hub.mqtt_addr();
    let mut subscriber = Program::subscriber(addr, &["-t", "t"]);
    let oversized_connect = [&[0x10, 0xFF, 0xFF, 0xFF, 0x7F][..], &[0; 64]].concat();
    let bad_utf8 = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02\xFF\xFE";
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"\x30\x05\x00\x01thi",
        b"\x10\x0c\x00\x04MQTT\x09\x02\x00\x00\x00\x00",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        bad_utf8,
        &oversized_connect,
    ] {
        let mut stream = TcpStream::connect(addr).expect("the hub accepts connections");
        stream.write_all(garbage).expect("the hub reads");
    }
    publish(addr, &["-t", "t", "-m", "alive"]);
    assert_eq!(subscriber.message(), "t alive");
    hub.shutdown().await;
}

/// A response topic that is none ends the connections of those who get it, for ever where
/// the broker sends it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_topic_that_is_none_reaches_nobody() {
    let hub = hub_with(Access::default()).await;
    let addr = hub.mqtt_addr();
    let connect = |id| {
        let connect = Connect {
            id,
            clean: true,
            v5_expiry: Some(60),
            ..Connect::default()
        };
        raw::Raw::connect(addr, connect).0
    };
    let mut subscriber = connect("subscriber");
    subscriber.subscribe("t", 0);
    for response in ["a/#", "+", "", "a\0b"] {
        let mut body = b"\x00\x01t".to_vec();
        body.push(3 + response.len() as u8);
        body.push(8);
        body.extend((response.len() as u16).to_be_bytes());
        body.extend(response.bytes());
        body.extend(b"x");
        let mut publisher = connect("publisher");
        let mut packet = vec![0x30, body.len() as u8];
        packet.extend(body);
        publisher.write(&packet);
        // It is put out.
        publisher.rest();
    }
    let mut publisher = connect("publisher");
    publisher.write(b"\x30\x0a\x00\x01t\x05\x08\x00\x02okx");
    let packet = subscriber.read();
    assert_eq!(packet.body.last(), Some(&b'x'));
    assert!(packet.body.windows(2).any(|two| two == b"ok"), "{packet:?}");
    hub.shutdown().await;
}
