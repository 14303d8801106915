//! The hub's own certificate authority: a certificate that phones trust, and its key.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use sha2::{Digest, Sha256};
use time::{Date, Duration, Month, OffsetDateTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::constraints::{self, Constraints};
use crate::error::PlaceError;
use crate::files::{self, Readers, exposure, replace};
use crate::machine::Machine;

/// How long an authority lasts.
const YEARS: i64 = 10;
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
const BEGIN_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// A certificate authority in the folder `ca` of a data directory.
pub struct Authority {
    dir: PathBuf,
    der: Vec<u8>,
    pem: String,
    name: String,
    not_after: OffsetDateTime,
    /// What it may certify; without them everything.
    constraints: Option<Constraints>,
    issuer: Issuer<'static, KeyPair>,
    is_new: bool,
    /// Whether it was told that others may read the machine's key.
    pub(crate) exposed: AtomicBool,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("dir", &self.dir)
            .field("name", &self.name)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// A time before which nothing of this was written. A clock that says less has not been set
/// yet: a Raspberry Pi has none that runs while it is off.
pub(crate) fn earliest() -> OffsetDateTime {
    let date = Date::from_calendar_date(2026, Month::January, 1);
    date.map_or(OffsetDateTime::UNIX_EPOCH, |date| {
        date.midnight().assume_utc()
    })
}

/// A clock's time, or the earliest.
pub(crate) fn plausible(now: SystemTime) -> OffsetDateTime {
    OffsetDateTime::from(now).max(earliest())
}

impl Authority {
    /// The authority of the hub with this data directory, which is made if there is none. It may
    /// certify this machine, and others with private names and addresses.
    ///
    /// # Errors
    /// If its files cannot be used; the message says what to do.
    pub fn open(data: &Path, machine: &Machine, now: SystemTime) -> Result<Self, PlaceError> {
        let dir = data.join("ca");
        let _lock = files::lock(&dir)?;
        let (certificate, key) = (dir.join(CERTIFICATE), dir.join(KEY));
        let is_new = match (files::read(&certificate)?, files::read(&key)?) {
            (Some(_), Some(_)) => false,
            // A power cut while they were made: the certificate, which comes last, was never seen.
            (None, _) => {
                make(&dir, machine, plausible(now))?;
                true
            }
            (Some(_), None) => {
                return Err(PlaceError::Broken {
                    reason: "the authority's key is missing".to_owned(),
                    path: key,
                    dir,
                });
            }
        };
        if let Some(exposure) = exposure(&key) {
            tracing::warn!("{exposure}");
        }
        let mut authority = Self::read(dir)?;
        authority.is_new = is_new;
        Ok(authority)
    }

    fn read(dir: PathBuf) -> Result<Self, PlaceError> {
        let broken = |name: &str, reason: &str| PlaceError::Broken {
            path: dir.join(name),
            dir: dir.clone(),
            reason: reason.to_owned(),
        };
        let text = |name: &str| -> Result<String, PlaceError> {
            let bytes = files::read(&dir.join(name))?;
            let bytes = bytes.ok_or_else(|| broken(name, "it is gone"))?;
            String::from_utf8(bytes).map_err(|_| broken(name, "it is not text"))
        };
        let pem = text(CERTIFICATE)?;
        let der = certificate_of(&pem)
            .ok_or_else(|| broken(CERTIFICATE, "this is no certificate in PEM"))?;
        let (_, x509) = X509Certificate::from_der(&der)
            .map_err(|_| broken(CERTIFICATE, "this is no certificate"))?;
        if !x509.is_ca() {
            return Err(broken(CERTIFICATE, "this is no authority's certificate"));
        }
        let key = KeyPair::from_pem(&text(KEY)?)
            .map_err(|_| broken(KEY, "this is no private key in PEM"))?;
        if !belongs(&key, &x509) {
            return Err(broken(KEY, "this is not the key of the certificate"));
        }
        let issuer = Issuer::from_ca_cert_der(&der.as_slice().into(), key)
            .map_err(|error| broken(CERTIFICATE, &error.to_string()))?;
        let name = x509.subject().iter_common_name().next();
        let name = name.and_then(|name| name.as_str().ok()).unwrap_or("");
        let (name, not_after) = (name.to_owned(), x509.validity().not_after.to_datetime());
        let constraints = constraints_of(&x509);
        Ok(Self {
            der,
            pem,
            name,
            not_after,
            constraints,
            issuer,
            dir,
            is_new: false,
            exposed: AtomicBool::new(false),
        })
    }

    /// Whether it was made just now.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// What its certificate is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file with its certificate.
    pub fn path(&self) -> PathBuf {
        self.dir.join(CERTIFICATE)
    }

    /// Its certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its certificate, in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The SHA-256 fingerprint of its certificate, as phones and browsers show it.
    pub fn fingerprint(&self) -> String {
        let bytes = Sha256::digest(&self.der);
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        hex.join(":")
    }

    /// The day on which it ends.
    pub fn ends(&self) -> String {
        self.not_after.date().to_string()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    pub(crate) fn constraints(&self) -> Option<&Constraints> {
        self.constraints.as_ref()
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

/// Makes an authority: its key first, its certificate last.
fn make(dir: &Path, machine: &Machine, now: OffsetDateTime) -> Result<(), PlaceError> {
    let failed = |error: rcgen::Error| PlaceError::Make(error.to_string());
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    // Two hubs of one name are told apart.
    let name = format!("Aldis hub {} {:04x}", machine.name, fastrand::u16(..));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Aldis");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // The phone's clock may be behind.
    params.not_before = earliest();
    params.not_after = now.saturating_add(Duration::days(YEARS * 365));
    params
        .custom_extensions
        .push(CustomExtension::from_oid_content(
            &constraints::OID,
            Constraints::of(machine).der(),
        ));
    let certificate = params.self_signed(&key).map_err(failed)?;
    replace(&dir.join(KEY), &key.serialize_pem(), Readers::User)?;
    replace(&dir.join(CERTIFICATE), &certificate.pem(), Readers::All)
}

/// The first certificate of a text.
pub(crate) fn certificate_of(text: &str) -> Option<Vec<u8>> {
    let at = text.find(BEGIN_CERTIFICATE)?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(text.get(at..)?.as_bytes()).ok()?;
    Some(pem.contents)
}

/// Whether a key is a certificate's.
pub(crate) fn belongs(key: &KeyPair, certificate: &X509Certificate<'_>) -> bool {
    use rcgen::PublicKeyData;
    key.subject_public_key_info() == certificate.public_key().raw
}

fn constraints_of(certificate: &X509Certificate<'_>) -> Option<Constraints> {
    let extension = certificate.name_constraints().ok().flatten()?;
    let permitted = extension.value.permitted_subtrees.as_ref()?;
    let mut constraints = Constraints::default();
    for subtree in permitted {
        match subtree.base {
            GeneralName::DNSName(name) => constraints.domains.push(name.to_owned()),
            GeneralName::IPAddress(net) => constraints.networks.push(net.to_vec()),
            _ => {}
        }
    }
    Some(constraints)
}
