//! TLS against the real mosquitto, with certificates made for the test.

mod support;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use aldis_mqtt::link::tokio::{TcpConnector, Tls, TlsError};
use aldis_mqtt::{Cause, Event, Network, Publication, QoS, SubscribeOptions, Version};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use support::{Mosquitto, TestLink, connected, link_by, options, until};

/// A directory of one's own, which ends with the value.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("aldis-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A certificate authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// A mosquitto that shows a certificate for these names.
    fn broker(&self, dir: &Dir, names: &[&str], expired: bool) -> Mosquitto {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Mosquitto::start(&format!(
            "cafile {}\ncertfile {}\nkeyfile {}\n",
            dir.file("ca.pem", &self.pem).display(),
            dir.file("broker.pem", &pem).display(),
            dir.file("broker.key", &key.serialize_pem()).display(),
        ))
    }
}

fn secure(host: &str, port: u16, ca: &Path) -> TestLink {
    let tls = Tls::from_ca_file(ca).unwrap();
    link_by(
        TcpConnector::new(host, port).with_tls(tls),
        options(Version::V5),
    )
}

/// Carries on until TLS has refused; gives the words.
async fn refused(link: &mut TestLink) -> String {
    until(link, |event| match event {
        Event::Connected { .. } => panic!("it must not be trusted"),
        Event::Disconnected {
            cause: Cause::Network(Network::Tls),
            ..
        } => Some(()),
        _ => None,
    })
    .await;
    link.connector().last_failure().unwrap().to_owned()
}

/// What stays behind in a buffer of TLS would arrive with the next message, or never.
#[tokio::test]
async fn messages_of_all_sizes_come_back_over_tls() {
    let dir = Dir::new("sizes");
    let authority = Authority::new("ours");
    let broker = authority.broker(&dir, &["localhost", "127.0.0.1"], false);
    for host in ["localhost", "127.0.0.1"] {
        let mut link = secure(host, broker.port, &dir.0.join("ca.pem"));
        let options = SubscribeOptions {
            qos: QoS::ExactlyOnce,
            ..Default::default()
        };
        link.session().subscribe("back", options, None).unwrap();
        until(&mut link, |event| {
            matches!(event, Event::Subscribed { .. }).then_some(())
        })
        .await;
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for len in [0, 1, 4_000, 40_000] {
                let payload = vec![b'x'; len];
                let (session, now) = link.parts();
                session
                    .publish(&Publication::new("back", &payload).qos(qos), now)
                    .unwrap();
                let mut back = false;
                let mut done = qos == QoS::AtMostOnce;
                until(&mut link, |event| {
                    match event {
                        Event::Message(message) => {
                            assert!(message.payload == payload, "{} bytes", len);
                            back = true;
                        }
                        Event::Delivered { .. } => done = true,
                        _ => {}
                    }
                    (back && done).then_some(())
                })
                .await;
            }
        }
        assert_eq!(link.connector().last_failure(), None);
    }
}

/// Anybody could read along if any of these were trusted.
#[tokio::test]
async fn who_cannot_be_trusted_is_not_and_it_is_told_why() {
    let stranger = Authority::new("stranger");
    for (name, host, names, expired, known, why) in [
        (
            "authority",
            "localhost",
            ["localhost"],
            false,
            false,
            "UnknownIssuer",
        ),
        (
            "name",
            "localhost",
            ["elsewhere"],
            false,
            true,
            "not valid for name",
        ),
        (
            "address",
            "127.0.0.1",
            ["localhost"],
            false,
            true,
            "not valid for name",
        ),
        ("expired", "localhost", ["localhost"], true, true, "expired"),
    ] {
        let dir = Dir::new(name);
        let authority = Authority::new("ours");
        let broker = authority.broker(&dir, &names, expired);
        let ca = match known {
            true => dir.0.join("ca.pem"),
            false => dir.file("stranger.pem", &stranger.pem),
        };
        let mut link = secure(host, broker.port, &ca);
        let words = refused(&mut link).await;
        assert!(
            words.contains(why) && words.contains(host),
            "{name}: {words}"
        );
    }
}

/// `openssl req -x509` marks what it makes as an authority's unless it is told not to. Who has
/// named host and authority rightly must hear what is wrong; without the mark it is trusted.
#[tokio::test]
async fn a_certificate_of_its_own_is_trusted_unless_it_is_an_authority_s() {
    for marked in [true, false] {
        let dir = Dir::new(if marked { "marked" } else { "unmarked" });
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = match marked {
            true => IsCa::Ca(BasicConstraints::Unconstrained),
            false => IsCa::ExplicitNoCa,
        };
        let certificate = dir.file("broker.pem", &params.self_signed(&key).unwrap().pem());
        let broker = Mosquitto::start(&format!(
            "certfile {}\nkeyfile {}\n",
            certificate.display(),
            dir.file("broker.key", &key.serialize_pem()).display(),
        ));
        let mut link = secure("localhost", broker.port, &certificate);
        if marked {
            let words = refused(&mut link).await;
            assert!(words.contains("CA:FALSE"), "{words}");
        } else {
            connected(&mut link).await;
        }
    }
}

/// Plain MQTT behind `mqtts://` must neither hang nor be spoken to.
#[tokio::test]
async fn a_plain_listener_is_refused() {
    let dir = Dir::new("plain");
    let ca = dir.file("ca.pem", &Authority::new("ours").pem);
    let broker = Mosquitto::start("");
    let mut link = secure("localhost", broker.port, &ca);
    let words = refused(&mut link).await;
    assert!(words.starts_with("localhost: "), "{words}");
}

/// The other way round: TLS behind `mqtt://`.
#[tokio::test]
async fn a_tls_listener_does_not_answer_plainly() {
    let dir = Dir::new("other");
    let broker = Authority::new("ours").broker(&dir, &["localhost"], false);
    let mut link = support::link(broker.port, options(Version::V5));
    let cause = until(&mut link, |event| match event {
        Event::Disconnected {
            cause: Cause::Network(network @ (Network::Closed | Network::Reset)),
            ..
        } => Some(*network),
        _ => None,
    })
    .await;
    assert!(matches!(cause, Network::Closed | Network::Reset));
}

/// A listener that accepts and says nothing would be waited for, were the
/// handshake not bounded; a broker that is killed ends TLS without a word.
#[tokio::test]
async fn a_silent_handshake_is_bounded_and_a_killed_broker_noticed() {
    let dir = Dir::new("silent");
    let authority = Authority::new("ours");
    let ca = dir.file("ca.pem", &authority.pem);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut options = options(Version::V5);
    options.timeouts.connect_ms = 300;
    let connector = TcpConnector::new("localhost", port).with_tls(Tls::from_ca_file(&ca).unwrap());
    let mut link = link_by(connector, options);
    until(&mut link, |event| {
        matches!(
            event,
            Event::Disconnected {
                cause: Cause::ConnectTimeout,
                ..
            }
        )
        .then_some(())
    })
    .await;

    let broker = authority.broker(&dir, &["localhost"], false);
    let mut link = secure("localhost", broker.port, &dir.0.join("ca.pem"));
    connected(&mut link).await;
    drop(broker);
    let cause = until(&mut link, |event| match event {
        Event::Disconnected { cause, .. } => Some(*cause),
        _ => None,
    })
    .await;
    assert_eq!(cause, Cause::Network(Network::Closed));
}

/// A wrong file must be told before anything is connected, and by its name.
#[test]
fn a_wrong_file_of_certificates_is_told() {
    let dir = Dir::new("files");
    let missing = Tls::from_ca_file(&dir.0.join("missing.pem")).unwrap_err();
    assert!(matches!(missing, TlsError::File(_)));
    assert!(missing.to_string().contains("missing.pem"), "{missing}");
    let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    for (name, content) in [
        ("empty.pem", ""),
        ("text.pem", "not a certificate"),
        ("key.pem", &KeyPair::generate().unwrap().serialize_pem()),
        ("broken.pem", broken),
    ] {
        let error = Tls::from_ca_file(&dir.file(name, content)).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}
