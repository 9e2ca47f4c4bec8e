//! Verification of client certificates.

use std::sync::Arc;

use bundle::ir::ClientAuthMode;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};

use policy::SecretValue;

use super::{PROVIDER, certs};

/// Rules for admitting clients by certificate, and the session tickets issued under these rules. A
/// session can only be resumed under the rules under which it began.
pub(crate) struct Admission {
    /// Verifier of client certificates; `None` if no certificate is requested.
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Trusted CA certificates of the verifier.
    pub(super) roots: Arc<RootCertStore>,
    /// Session tickets, encrypted with keys that change every few hours.
    pub(super) tickets: Arc<dyn ProducesTickets>,
}

impl Admission {
    /// Reads CA certificates and, from a second value, certificate revocation lists (CRLs), all in
    /// PEM. If there are CRLs, a client certificate is rejected unless CRLs cover every certificate
    /// of its chain.
    ///
    /// # Errors
    /// If a value cannot be used. The error is the reason.
    pub(super) fn load(
        mode: Option<ClientAuthMode>,
        values: &[Arc<SecretValue>],
    ) -> Result<Self, String> {
        let tickets = Ticketer::new().map_err(|error| error.to_string())?;
        let (verifier, roots) = match (mode, values) {
            (None | Some(ClientAuthMode::Off), _) | (_, []) => {
                (None, Arc::new(RootCertStore::empty()))
            }
            (Some(mode), [ca, crls @ ..]) => {
                let roots = Arc::new(certs::roots(ca)?);
                let verifier = verifier(mode, Arc::clone(&roots), crls.first())?;
                (Some(verifier), roots)
            }
        };
        Ok(Self {
            verifier,
            roots,
            tickets,
        })
    }
}

fn verifier(
    mode: ClientAuthMode,
    roots: Arc<RootCertStore>,
    crl: Option<&Arc<SecretValue>>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&PROVIDER));
    if let Some(crl) = crl {
        let lists = CertificateRevocationListDer::pem_slice_iter(crl)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("the revocation lists cannot be read: {error}"))?;
        if lists.is_empty() {
            return Err("there is no revocation list in PEM".into());
        }
        builder = builder.with_crls(lists);
    }
    if mode == ClientAuthMode::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| error.to_string())
}
