//! The authority, as those see it who trust it.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aldis_place::{Authority, Certification, Machine, PlaceError};
use rcgen::{CertificateParams, CertifiedIssuer, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

const DAY: u64 = 24 * 60 * 60;
/// Noon of the first of November 2026.
const NOW: u64 = 1_793_534_400;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn machine(addresses: &[&str]) -> Machine {
    let addresses: BTreeSet<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    Machine {
        name: "kitchen".to_owned(),
        domain: None,
        addresses,
    }
}

/// What a client that trusts the authority says of a certificate.
fn verify(ca: &[u8], certificate: &[u8], name: &str, seconds: u64) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca)).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier
        .verify_server_cert(&CertificateDer::from(certificate), &[], &name, &[], time)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn server(authority: &Authority) -> Vec<u8> {
    let text = fs::read(authority.server_certificate()).unwrap();
    CertificateDer::from_pem_slice(&text).unwrap().to_vec()
}

fn made(what: &Certification) -> &str {
    match what {
        Certification::Made(why) => why,
        Certification::Kept => panic!("nothing was made"),
    }
}

/// A phone or a device that trusts the authority would not get through to the hub, or to anybody
/// who is not the hub.
#[test]
fn the_machine_is_certified_under_its_names_and_addresses_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(&["192.168.1.5", "fd00::5", "2001:db8::5"]);
    let authority = Authority::open(dir.path(), &machine, at(NOW)).unwrap();
    assert!(authority.is_new());
    let also = ["kitchen-2.local".to_owned(), "bank.example".to_owned()];
    assert_eq!(authority.host(), None);
    authority.certify(&machine, &also, at(NOW)).unwrap();
    assert_eq!(authority.host().as_deref(), Some("kitchen.local"));
    let certificate = server(&authority);
    for name in [
        "kitchen",
        "kitchen.local",
        "kitchen-2.local",
        "localhost",
        "127.0.0.1",
        "::1",
        "192.168.1.5",
        "fd00::5",
    ] {
        assert_eq!(
            verify(authority.der(), &certificate, name, NOW),
            Ok(()),
            "{name}"
        );
    }
    for name in ["attic.local", "bank.example", "192.168.1.6", "2001:db8::5"] {
        verify(authority.der(), &certificate, name, NOW).unwrap_err();
    }
    let other = tempfile::tempdir().unwrap();
    let other = Authority::open(other.path(), &machine, at(NOW)).unwrap();
    verify(other.der(), &certificate, "kitchen.local", NOW).unwrap_err();
}

/// Whoever steals the key of a hub could read what its owner sends to a bank.
#[test]
fn the_authority_can_certify_no_name_of_the_world() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(&["192.168.1.5", "203.0.113.7"]);
    let authority = Authority::open(dir.path(), &machine, at(NOW)).unwrap();
    let key = fs::read_to_string(dir.path().join("ca/ca.key")).unwrap();
    let thief =
        Issuer::from_ca_cert_pem(authority.pem(), KeyPair::from_pem(&key).unwrap()).unwrap();
    for (name, is_good) in [
        ("kitchen.local", true),
        ("attic.home.arpa", true),
        ("10.1.2.3", true),
        // The machine's own, when the authority was made.
        ("203.0.113.7", true),
        ("bank.example", false),
        ("notlocal", false),
        ("203.0.113.8", false),
        ("2606:4700::1111", false),
    ] {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let forged = params.signed_by(&key, &thief).unwrap();
        let verdict = verify(authority.der(), forged.der(), name, NOW);
        assert_eq!(verdict.is_ok(), is_good, "{name}: {verdict:?}");
    }
}

/// A hub that runs for years loses every phone after the first; one whose address changes loses
/// them at once.
#[test]
fn the_certificate_is_made_anew_before_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let here = machine(&["192.168.1.5"]);
    let authority = Authority::open(dir.path(), &here, at(NOW)).unwrap();
    let first = authority.certify(&here, &[], at(NOW)).unwrap();
    assert_eq!(made(&first), "there was no key");
    let key = fs::read(authority.server_key()).unwrap();
    let again = |machine: &Machine, seconds| authority.certify(machine, &[], at(seconds)).unwrap();
    assert_eq!(again(&here, NOW), Certification::Kept);
    assert_eq!(again(&here, NOW + 330 * DAY), Certification::Kept);

    let aged = again(&here, NOW + 340 * DAY);
    assert!(made(&aged).contains("lasts until"), "{aged:?}");
    let certificate = server(&authority);
    let verdict = |name, seconds| verify(authority.der(), &certificate, name, seconds);
    verdict("kitchen.local", NOW + 700 * DAY).unwrap();
    // More than 397 days, and phones refuse it.
    verdict("kitchen.local", NOW + (340 + 397) * DAY).unwrap_err();
    verdict("kitchen.local", NOW + 338 * DAY).unwrap_err();

    let back = again(&here, NOW);
    assert!(made(&back).contains("clock"), "{back:?}");

    let moved = again(&machine(&["192.168.7.9"]), NOW);
    assert!(made(&moved).contains("192.168.7.9"), "{moved:?}");
    // An interface that is away for a moment changes nothing.
    assert_eq!(again(&machine(&[]), NOW), Certification::Kept);

    let renamed = Machine {
        name: "attic".to_owned(),
        ..machine(&[])
    };
    assert!(made(&again(&renamed, NOW)).contains("attic.local"));
    assert_eq!(fs::read(authority.server_key()).unwrap(), key);
}

/// A browser refuses two certificates of one authority with one number, and the key is the same.
#[test]
fn no_two_certificates_have_one_number() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path(), &machine(&[]), at(NOW)).unwrap();
    let mut seen = BTreeSet::new();
    for address in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        let what = authority.certify(&machine(&[address]), &[], at(NOW));
        made(&what.unwrap());
        let der = server(&authority);
        let (_, x509) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert!(seen.insert(x509.tbs_certificate.serial.to_string()));
    }
}

/// A Raspberry Pi starts in 1970 until it has asked for the time; a certificate of that year is
/// good for nothing, and an authority of that year is lost.
#[test]
fn a_clock_that_was_not_set_yet_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(&[]);
    let authority = Authority::open(dir.path(), &machine, UNIX_EPOCH).unwrap();
    authority.certify(&machine, &[], UNIX_EPOCH).unwrap();
    let verdict = verify(authority.der(), &server(&authority), "kitchen.local", NOW);
    assert_eq!(verdict, Ok(()));
    // Once the clock is right, the certificate lasts as long as any.
    let what = authority.certify(&machine, &[], at(NOW)).unwrap();
    assert_eq!(what, Certification::Kept);
    let certificate = server(&authority);
    let later = NOW + 300 * DAY;
    verify(authority.der(), &certificate, "kitchen.local", later).unwrap_err();
    authority.certify(&machine, &[], at(later)).unwrap();
    verify(authority.der(), &server(&authority), "kitchen.local", later).unwrap();
}

/// A clock that jumps ahead would replace the authority that every phone trusts.
#[test]
fn an_authority_that_ended_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(&[]);
    let authority = Authority::open(dir.path(), &machine, at(NOW)).unwrap();
    let fingerprint = authority.fingerprint();
    let late = NOW + 3651 * DAY;
    let authority = Authority::open(dir.path(), &machine, at(late)).unwrap();
    let error = authority.certify(&machine, &[], at(late)).unwrap_err();
    assert!(matches!(error, PlaceError::Ended { .. }));
    assert!(error.to_string().contains("clock says 2036-"), "{error}");
    assert_eq!(authority.fingerprint(), fingerprint);
    authority.certify(&machine, &[], at(NOW)).unwrap();
    // In its last days it certifies until its end, and not anew at each look.
    let last = NOW + 3649 * DAY;
    made(&authority.certify(&machine, &[], at(last)).unwrap());
    let again = authority.certify(&machine, &[], at(last)).unwrap();
    assert_eq!(again, Certification::Kept);
}

/// Files that a person or a disk broke: a new authority in silence costs every phone, and a
/// message without the file's name costs an evening.
#[test]
fn broken_files_are_explained_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(&[]);
    drop(Authority::open(dir.path(), &machine, at(NOW)).unwrap());
    let ca = |name: &str| dir.path().join("ca").join(name);
    let whole = fs::read(ca("ca.pem")).unwrap();
    let key = fs::read(ca("ca.key")).unwrap();
    let other_key = KeyPair::generate().unwrap();
    let plain = rcgen::generate_simple_self_signed(["x.local".to_owned()]).unwrap();
    let other_ca = CertifiedIssuer::self_signed(CertificateParams::default(), &other_key).unwrap();
    let half = &whole[..whole.len() / 2];
    for (name, content, words) in [
        ("ca.pem", b"" as &[u8], "no certificate in PEM"),
        ("ca.pem", half, "no certificate in PEM"),
        ("ca.pem", b"\xff\xfe", "not text"),
        ("ca.pem", plain.cert.pem().as_bytes(), "no authority's"),
        ("ca.pem", other_ca.pem().as_bytes(), "no authority's"),
        ("ca.key", b"", "no private key"),
        (
            "ca.key",
            other_key.serialize_pem().as_bytes(),
            "not the key",
        ),
    ] {
        fs::write(ca("ca.pem"), &whole).unwrap();
        fs::write(ca("ca.key"), &key).unwrap();
        fs::write(ca(name), content).unwrap();
        let error = Authority::open(dir.path(), &machine, at(NOW)).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(words), "{said}");
        assert!(said.contains(name) && said.contains("remove"), "{said}");
        assert_eq!(fs::read(ca(name)).unwrap(), content);
    }
    fs::write(ca("ca.key"), &key).unwrap();
    fs::remove_file(ca("ca.key")).unwrap();
    let error = Authority::open(dir.path(), &machine, at(NOW)).unwrap_err();
    assert!(error.to_string().contains("key is missing"), "{error}");
}

/// The machine's own certificate is not worth a question: it is made anew, and the hub goes on.
#[test]
fn a_broken_certificate_of_the_machine_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(&[]);
    let authority = Authority::open(dir.path(), &machine, at(NOW)).unwrap();
    let certify = || authority.certify(&machine, &[], at(NOW)).unwrap();
    made(&certify());
    for (path, content) in [
        (authority.server_certificate(), "half"),
        (authority.server_certificate(), authority.pem()),
        (authority.server_key(), ""),
        (
            authority.server_key(),
            &KeyPair::generate().unwrap().serialize_pem(),
        ),
    ] {
        fs::write(&path, content).unwrap();
        made(&certify());
        assert_eq!(certify(), Certification::Kept);
        verify(authority.der(), &server(&authority), "localhost", NOW).unwrap();
    }
    // The authority was replaced.
    fs::remove_dir_all(dir.path().join("ca")).unwrap();
    let authority = Authority::open(dir.path(), &machine, at(NOW)).unwrap();
    made(&authority.certify(&machine, &[], at(NOW)).unwrap());
    verify(authority.der(), &server(&authority), "localhost", NOW).unwrap();
}

/// Keys that others on the machine can read.
#[cfg(unix)]
#[test]
fn keys_are_their_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let machine = machine(&[]);
    let authority = Authority::open(&data, &machine, at(NOW)).unwrap();
    authority.certify(&machine, &[], at(NOW)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for key in [data.join("ca/ca.key"), authority.server_key()] {
        assert_eq!(mode(&key), 0o600, "{}", key.display());
    }
    assert_eq!(mode(&data.join("ca")), 0o700);
    assert_eq!(authority.fingerprint().len(), 95);
}

/// `sudo aldis hub trust` before the first start, and the service cannot read its own key.
#[cfg(unix)]
#[test]
fn what_root_makes_in_a_services_folder_is_the_services() {
    use std::os::unix::fs::{MetadataExt, chown};
    let dir = tempfile::tempdir().unwrap();
    if fs::metadata(dir.path()).unwrap().uid() != 0 {
        println!("only root gives files away");
        return;
    }
    chown(dir.path(), Some(65_534), Some(65_534)).unwrap();
    let machine = machine(&[]);
    let authority = Authority::open(dir.path(), &machine, at(NOW)).unwrap();
    authority.certify(&machine, &[], at(NOW)).unwrap();
    let folder = dir.path().join("ca");
    let files = fs::read_dir(&folder).unwrap();
    let all: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(all.len(), 5, "{all:?}");
    for path in all.iter().chain([&folder]) {
        let owner = fs::metadata(path).unwrap().uid();
        assert_eq!(owner, 65_534, "{}", path.display());
    }
}

/// Two that start at once make two authorities, and a phone trusts the one that is gone.
#[test]
fn of_two_that_start_at_once_both_have_the_same_authority() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Authority::open(dir.path(), &machine(&[]), at(NOW)).unwrap();
    let prints: BTreeSet<String> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| open().fingerprint()))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(prints.len(), 1);
}
