//! TLS client settings: the CA certificates that gwd trusts, and connections that verify servers
//! with them.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

pub(crate) use super::certs::roots;
use super::provider::PROVIDER;

/// CA certificates of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR` if set. `setting`: name
/// of the setting with other CA certificates, for the error.
///
/// # Errors
/// If there is no CA certificate that can be used. The error is the reason.
pub(crate) fn system_roots(setting: &str) -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Ignore certificates of the system that cannot be parsed.
    let (_usable, _strange) = roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        false => Ok(roots),
        true => Err(match found.errors.first() {
            Some(error) => format!("the system's CA certificates cannot be read: {error}"),
            None => format!("the system has no CA certificates; configure some with `{setting}`"),
        }),
    }
}

/// Settings of connections whose servers are verified with these CA certificates.
///
/// # Errors
/// If TLS cannot be configured. The error is the reason.
pub(crate) fn verifying(roots: RootCertStore) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
