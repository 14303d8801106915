//! The machine's certificate, for HTTPS and MQTT over TLS.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::SystemTime;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::authority::{Authority, belongs, certificate_of, earliest, plausible};
use crate::error::PlaceError;
use crate::files::{self, Readers, exposure, replace};
use crate::machine::Machine;

const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";
/// How long a certificate lasts, with the day before it. Phones refuse more than 397 days.
const DAYS: i64 = 396;
/// Clocks of others may be behind.
const BEFORE: Duration = Duration::days(1);
/// A certificate that ends sooner is made anew.
const LEFT: Duration = Duration::days(60);

/// What was done for the machine's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certification {
    /// It is good.
    Kept,
    /// There is a new one, because of this.
    Made(String),
}

/// What a certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    dns: BTreeSet<String>,
    ips: BTreeSet<IpAddr>,
}

impl Authority {
    /// The file with the machine's certificate.
    pub fn server_certificate(&self) -> PathBuf {
        self.dir().join(CERTIFICATE)
    }

    /// The file with its key.
    pub fn server_key(&self) -> PathBuf {
        self.dir().join(KEY)
    }

    /// The name that the machine was certified under last, with `.local`.
    pub fn host(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.server_certificate()).ok()?;
        let der = certificate_of(&text)?;
        let (_, x509) = X509Certificate::from_der(&der).ok()?;
        let name = x509.subject().iter_common_name().next()?;
        name.as_str().ok().map(str::to_owned)
    }

    /// Sees to it that the machine has a certificate for its names and addresses, and `also` for
    /// these names, for some time to come. Its key stays, so that certificate and key fit
    /// whenever they are read.
    ///
    /// # Errors
    /// If the authority's time is over, or a file cannot be written.
    pub fn certify(
        &self,
        machine: &Machine,
        also: &[String],
        now: SystemTime,
    ) -> Result<Certification, PlaceError> {
        let now = plausible(now);
        if now >= self.not_after() {
            return Err(PlaceError::Ended {
                dir: self.dir().to_owned(),
                ended: self.ends(),
                now: now.date().to_string(),
            });
        }
        let _lock = files::lock(self.dir())?;
        let wanted = self.wanted(machine, also);
        let key = self.key()?;
        let why = match &key {
            None => Some("there was no key".to_owned()),
            Some(key) => self.lacks(key, &wanted, now)?,
        };
        let Some(why) = why else {
            return Ok(Certification::Kept);
        };
        let key = match key {
            Some(key) => key,
            None => {
                let key = KeyPair::generate().map_err(failed)?;
                replace(&self.server_key(), &key.serialize_pem(), Readers::User)?;
                key
            }
        };
        let pem = self.sign(&key, machine, &wanted, now)?;
        replace(&self.server_certificate(), &pem, Readers::All)?;
        Ok(Certification::Made(why))
    }

    /// What the machine's certificate is to be for, as far as the authority may.
    fn wanted(&self, machine: &Machine, also: &[String]) -> Names {
        let mut names = Names::default();
        let own = [
            machine.name.clone(),
            machine.local_name(),
            "localhost".to_owned(),
        ];
        let dns = own.into_iter().chain(machine.domain.clone());
        names.dns = dns.chain(also.iter().cloned()).collect();
        names.ips = machine.addresses.clone();
        names.ips.insert(Ipv4Addr::LOCALHOST.into());
        names.ips.insert(Ipv6Addr::LOCALHOST.into());
        if let Some(constraints) = self.constraints() {
            names.dns.retain(|name| constraints.permits_name(name));
            names.ips.retain(|ip| constraints.permits_address(*ip));
        }
        names
    }

    /// The key, if it is there and is one. Nobody trusts it but through a certificate, so one
    /// that is broken is replaced.
    fn key(&self) -> Result<Option<KeyPair>, PlaceError> {
        let path = self.server_key();
        if let Some(exposure) = exposure(&path) {
            tracing::warn!("{exposure}");
        }
        let bytes = files::read(&path)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(text.and_then(|text| KeyPair::from_pem(&text).ok()))
    }

    /// Why the certificate that is there will not do.
    fn lacks(
        &self,
        key: &KeyPair,
        wanted: &Names,
        now: OffsetDateTime,
    ) -> Result<Option<String>, PlaceError> {
        let because = |why: &str| Ok(Some(why.to_owned()));
        let Some(bytes) = files::read(&self.server_certificate())? else {
            return because("there was none");
        };
        let der = String::from_utf8(bytes)
            .ok()
            .and_then(|text| certificate_of(&text));
        let Some(der) = der else {
            return because("the one before could not be read");
        };
        let Ok((_, x509)) = X509Certificate::from_der(&der) else {
            return because("the one before could not be read");
        };
        if !belongs(key, &x509) {
            return because("the one before was not the key's");
        }
        let is_ours = X509Certificate::from_der(self.der())
            .is_ok_and(|(_, ca)| x509.verify_signature(Some(ca.public_key())).is_ok());
        if !is_ours {
            return because("the one before was of another authority");
        }
        let validity = x509.validity();
        if now < validity.not_before.to_datetime() {
            return because("the clock was set back");
        }
        let end = validity.not_after.to_datetime();
        if end < now.saturating_add(LEFT) && end < self.not_after() {
            return Ok(Some(format!(
                "the one before lasts until {} only",
                end.date()
            )));
        }
        let has = names(&x509);
        let missing = wanted.dns.difference(&has.dns).cloned();
        let ips = wanted.ips.difference(&has.ips).map(IpAddr::to_string);
        let missing: Vec<String> = missing.chain(ips).collect();
        Ok((!missing.is_empty()).then(|| format!("it was not yet for {}", missing.join(", "))))
    }

    fn sign(
        &self,
        key: &KeyPair,
        machine: &Machine,
        wanted: &Names,
        now: OffsetDateTime,
    ) -> Result<String, PlaceError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, machine.local_name());
        for name in &wanted.dns {
            let name = name.as_str().try_into().map_err(failed)?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        for ip in &wanted.ips {
            params.subject_alt_names.push(SanType::IpAddress(*ip));
        }
        params.not_before = now.saturating_sub(BEFORE).max(earliest());
        params.not_after = now
            .saturating_add(Duration::days(DAYS))
            .saturating_sub(BEFORE)
            .min(self.not_after());
        // The usual number comes from the key, which stays: browsers refuse two with one number.
        let mut serial = fastrand::u128(..).to_be_bytes();
        serial[0] = serial[0] & 0x3f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, self.issuer()).map_err(failed)?;
        Ok(certificate.pem())
    }
}

fn failed(error: rcgen::Error) -> PlaceError {
    PlaceError::Make(error.to_string())
}

/// What a certificate is for.
fn names(certificate: &X509Certificate<'_>) -> Names {
    let mut names = Names::default();
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return names;
    };
    for name in &extension.value.general_names {
        match name {
            GeneralName::DNSName(name) => {
                names.dns.insert((*name).to_owned());
            }
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
                names.ips.extend(v4.or(v6));
            }
            _ => {}
        }
    }
    names
}
