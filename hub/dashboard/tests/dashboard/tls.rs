//! HTTPS.

use std::sync::Arc;

use aldis_dashboard::{Dashboard, DashboardError, TlsFiles};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::rig::{PASSWORD, Rig, until};

fn write(rig: &Rig) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(
        rig.dir.path().join("key.pem"),
        made.signing_key.serialize_pem(),
    )
    .unwrap();
    std::fs::write(rig.dir.path().join("cert.pem"), made.cert.pem()).unwrap();
    CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()
}

fn files(rig: &Rig) -> TlsFiles {
    TlsFiles {
        listen: "127.0.0.1:0".parse().unwrap(),
        cert: rig.dir.path().join("cert.pem"),
        key: rig.dir.path().join("key.pem"),
    }
}

fn trusting(cert: CertificateDer<'static>) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A cookie that goes over the network in the clear as well; a certificate that ran out until the
/// hub is restarted.
#[tokio::test]
async fn https_has_cookies_of_its_own_and_takes_a_new_certificate() {
    let mut rig = Rig::prepare().await;
    let first = write(&rig);
    rig.tls = Some(files(&rig));
    rig.serve().await;
    let addr = rig.dashboard.as_ref().unwrap().https_addr().unwrap();
    let mut browser = rig.browser();
    browser.addr = addr;
    browser.host = format!("localhost:{}", addr.port());
    browser.tls = Some(trusting(first));
    let answer = browser.sign_in(PASSWORD).await;
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.starts_with(&format!("__Host-aldis-{}=", addr.port())),
        "{cookie}"
    );
    assert!(
        cookie.contains("; Secure") && cookie.contains("; HttpOnly") && !cookie.contains("Domain"),
        "{cookie}"
    );
    assert!(answer.header("strict-transport-security").is_none());
    assert_eq!(browser.get("/api/devices").await.status, 200);
    let mut events = browser.events("/api/live").await;
    events.wait("hello", |_| true).await;
    // What was signed in there is not signed in here.
    let mut plain = rig.browser();
    plain.cookie.clone_from(&browser.cookie);
    assert_eq!(plain.get("/api/devices").await.status, 401);

    let second = trusting(write(&rig));
    browser.tls = Some(second.clone());
    until("the new certificate is shown", async || {
        let line = tokio::net::TcpStream::connect(addr).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(second.clone());
        connector
            .connect("localhost".try_into().unwrap(), line)
            .await
            .is_ok()
    })
    .await;
    assert_eq!(browser.get("/api/devices").await.status, 200);
    // The first stream went on through all of it.
    rig.dashboard.take().unwrap().shutdown().await;
    events.end().await;
}

/// A mistake in the options is told as a line of a panic, or not at all.
#[tokio::test]
async fn what_cannot_start_says_why() {
    let mut rig = Rig::start().await;
    let taken = rig.dashboard.as_ref().unwrap().addr();
    let options = |rig: &Rig| rig.options();
    let mut busy = options(&rig);
    busy.listen = taken;
    let error = Dashboard::start(busy).await.unwrap_err();
    assert!(matches!(error, DashboardError::Listen { .. }));
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
    rig.tls = Some(files(&rig));
    let error = Dashboard::start(options(&rig)).await.unwrap_err();
    assert!(error.to_string().contains("cert.pem"), "{error}");
    rig.tls = None;
    let mut prefix = options(&rig);
    prefix.prefixes = vec!["a/#".to_owned()];
    let error = Dashboard::start(prefix).await.unwrap_err();
    assert!(error.to_string().contains("`a/#`"), "{error}");
}
