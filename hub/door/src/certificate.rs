//! The certificate of a TLS listener, which may be renewed while connections come.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use behind::rustls::ServerConfig;
use behind::rustls::pki_types::pem::PemObject;
use behind::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use behind::{Result, tls_provider};
use tokio_rustls::TlsAcceptor;

/// A certificate with its key. Its clones are one.
#[derive(Clone)]
pub struct Certificate(Arc<RwLock<TlsAcceptor>>);

impl Certificate {
    /// Reads both from PEM files.
    ///
    /// # Errors
    /// If one cannot be read, or they do not belong together.
    pub fn read(cert: &Path, key: &Path) -> Result<Self> {
        Ok(Self(Arc::new(RwLock::new(acceptor(cert, key)?))))
    }

    /// Takes others for whoever comes from now on. Connections stay.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); the ones before stay then.
    pub fn renew(&self, cert: &Path, key: &Path) -> Result<()> {
        let acceptor = acceptor(cert, key)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<std::result::Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(tls_provider::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
