//! TLS from two PEM files, which are read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Certificate chain and key of the server.
#[derive(Debug)]
pub struct Tls {
    config: ArcSwap<ServerConfig>,
    files: Mutex<Files>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// When each was last changed, as it was read.
    changed: [Option<SystemTime>; 2],
}

impl Files {
    fn new(certificate: &Path, key: &Path) -> Self {
        let changed = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
        Self { certificate: certificate.into(), key: key.into(), changed: [changed(certificate), changed(key)] }
    }
}

impl Tls {
    /// # Errors
    /// A file cannot be read, holds no certificate or key, or they do not belong together: in words that name it.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, String> {
        let files = Files::new(certificate, key);
        Ok(Self { config: ArcSwap::from(read(&files)?), files: Mutex::new(files) })
    }

    /// Reads the files when they have changed, or are others; returns whether they had.
    ///
    /// # Errors
    /// As [`Tls::open`]; connections go on with what was read before.
    pub fn refresh(&self, certificate: &Path, key: &Path) -> Result<bool, String> {
        let mut known = self.files.lock();
        let files = Files::new(certificate, key);
        if *known == files {
            return Ok(false);
        }
        self.config.store(read(&files)?);
        *known = files;
        Ok(true)
    }

    /// As [`Tls::refresh`] with the files as they are known.
    ///
    /// # Errors
    /// As [`Tls::open`].
    pub fn follow(&self) -> Result<bool, String> {
        let Files { certificate, key, .. } = self.files.lock().clone();
        self.refresh(&certificate, &key)
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn read(files: &Files) -> Result<Arc<ServerConfig>, String> {
    let name = |path: &Path| path.display().to_string();
    let certificates = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| format!("server.tls_cert_file {}: {e}", name(&files.certificate)))?;
    if certificates.is_empty() {
        return Err(format!("server.tls_cert_file {} holds no certificate", name(&files.certificate)));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|e| format!("server.tls_key_file {}: {e}", name(&files.key)))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let mut config = builder.with_no_client_auth().with_single_cert(certificates, key).map_err(|e| {
        format!("certificate {} and key {} do not fit: {e}", name(&files.certificate), name(&files.key))
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
