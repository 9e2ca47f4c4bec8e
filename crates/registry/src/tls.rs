//! TLS client for registries. Certificates are always verified.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::settings::Settings;

/// Creates the TLS client configuration with the CA certificates of the settings.
pub(crate) fn connector(settings: &Settings) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    match settings.ca()? {
        Some(pem) => {
            let wrong = |error: &dyn std::fmt::Display| format!("the CA file: {error}");
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"it has no certificate in PEM"));
            }
        }
        None => {
            // Continue even if the system has no certificates: each handshake then fails with the
            // reason.
            let found = rustls_native_certs::load_native_certs();
            let _counts = roots.add_parsable_certificates(found.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
