//! TLS by rustls: the broker's certificate is always checked.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::Network;

pub(super) type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Whom to trust.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

/// Why there is nobody to trust.
#[derive(Debug)]
pub enum TlsError {
    /// The file of certificates could not be read.
    File(String),
    /// There is no certificate in the file.
    Empty(String),
    /// The operating system's certificates could not be found.
    System,
    /// TLS could not be set up.
    Setup(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(why) => write!(f, "the file of certificates cannot be read: {why}"),
            Self::Empty(path) => write!(
                f,
                "{path} holds no certificate: it must be a PEM file with -----BEGIN CERTIFICATE-----"
            ),
            Self::System => f.write_str(
                "the system has no certificates of authorities: \
                 install the package ca-certificates, or name a file with --cafile",
            ),
            Self::Setup(why) => write!(f, "TLS cannot be set up: {why}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl Tls {
    /// Trusts the authorities in a PEM file and no others.
    pub fn from_ca_file(path: &Path) -> Result<Self, TlsError> {
        let file =
            |error: &dyn fmt::Display| TlsError::File(format!("{}: {error}", path.display()));
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
            .map_err(|error| file(&error))?
            .collect();
        let certificates = certificates.map_err(|error| file(&error))?;
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(TlsError::Empty(path.display().to_string()));
        }
        Self::new(roots)
    }

    /// Trusts whom the operating system trusts.
    pub fn system() -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(TlsError::System);
        }
        Self::new(roots)
    }

    fn new(roots: RootCertStore) -> Result<Self, TlsError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Setup(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    pub(super) async fn handshake(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream, (Network, String)> {
        let failure = |error: &dyn fmt::Display| (Network::Tls, format!("{host}: {error}"));
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failure(&error))?;
        let connector = TlsConnector::from(self.0.clone());
        connector.connect(name, stream).await.map_err(|error| {
            let said = error.to_string();
            match remedy(&said) {
                Some(remedy) => (Network::Tls, format!("{host}: {remedy} ({said})")),
                None => failure(&error),
            }
        })
    }
}

/// What to do about a certificate that was made in a usual way and is refused all the same.
fn remedy(said: &str) -> Option<&'static str> {
    if said.contains("CaUsedAsEndEntity") {
        return Some(
            "the broker's certificate is marked as an authority's: make it with \
             `openssl req -x509 -addext basicConstraints=critical,CA:FALSE ...`",
        );
    }
    said.contains("UnsupportedCertVersion").then_some(
        "the broker's certificate is of version 1 and names no host: make it with \
         `openssl x509 -req -extfile FILE ...`, where the file has the line \
         `subjectAltName=DNS:HOST`",
    )
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
