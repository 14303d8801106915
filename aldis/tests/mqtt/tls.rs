//! TLS with a private certificate authority.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::common::{BOTH, Dir, Mosquitto, Tool, run, utf8};

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Without a check anybody could be the broker; with one that is too strict
/// nobody could be.
#[test]
fn the_brokers_certificate_is_checked_against_a_private_authority() {
    let dir = Dir::new();
    let ours = authority("ours");
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &ours)
        .unwrap();
    let cafile = dir.file("ca.pem", ours.pem());
    let other = dir.file("other.pem", authority("other").pem());
    let empty = dir.file("empty.pem", "");
    let broker = Mosquitto::with(&format!(
        "allow_anonymous true\ncertfile {}\nkeyfile {}",
        dir.file("server.pem", certificate.pem()).display(),
        dir.file("server.key", key.serialize_pem()).display(),
    ));
    let port = broker.port.to_string();
    let publish = |tool: Tool, host: &str, args: &[&str]| {
        let mut command = tool.bare("pub");
        command.args(["-p", &port, "-t", "t", "-m", "m", "-q", "1", "-h", host]);
        run(command.args(args))
    };

    for tool in BOTH {
        let done = publish(tool, "localhost", &["--cafile", utf8(&cafile)]);
        assert_eq!(done.code, Some(0), "{tool:?} {done:?}");
    }
    let done = publish(
        Tool::Aldis,
        "mqtts://localhost",
        &["--cafile", utf8(&cafile), "-d"],
    );
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.text().contains(" received PUBACK (Mid: 1, "),
        "{done:?}"
    );

    for (host, args) in [
        ("localhost", &["--cafile", utf8(&other)][..]),
        ("mqtts://localhost", &[]),
        // The certificate is for the name, not for the address.
        ("127.0.0.1", &["--cafile", utf8(&cafile)]),
    ] {
        let done = publish(Tool::Aldis, host, args);
        assert_eq!(done.code, Some(1), "{host} {args:?} {done:?}");
        assert!(done.err.contains("--cafile"), "{done:?}");
        assert_eq!(done.text(), "");
    }
    let done = publish(Tool::Aldis, "localhost", &["--cafile", utf8(&empty)]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("BEGIN CERTIFICATE"), "{done:?}");
    let done = publish(Tool::Aldis, "localhost", &["--cafile", "/no/such/file"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("/no/such/file"), "{done:?}");
    // Without TLS to a port that wants it.
    let done = publish(Tool::Aldis, "localhost", &[]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("TLS"), "{done:?}");
}
