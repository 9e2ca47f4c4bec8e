//! Certificate chains with their private keys, checked before use, and authorities.

use std::sync::Arc;

use policy::SecretValue;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore, SignatureAlgorithm};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::runtime::clock;

/// Certificate chain with its private key.
pub(crate) struct Pair {
    pub(crate) key: Arc<CertifiedKey>,
    /// DNS names of the certificate, in lower case. `*.` stands for one label.
    pub(crate) names: Box<[Box<str>]>,
    /// Expiry of the certificate (Unix time in seconds).
    pub(crate) not_after_s: i64,
}

impl Pair {
    /// Reads a chain and a key in PEM. The key must belong to the first certificate, which must not
    /// have expired.
    ///
    /// # Errors
    /// The reason why a value cannot be used, without any part of the key.
    pub(super) fn load(values: &[Arc<SecretValue>]) -> Result<Self, String> {
        let [cert, key] = values else {
            return Err("a certificate and a key are needed".into());
        };
        let chain = certificates(cert)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| "there is no private key in PEM (PKCS#8, PKCS#1 or SEC1)")?;
        let key = Zeroizing::new(key);
        let Described { names, not_after_s } = described(&chain[0])?;
        let now_s = i64::try_from(clock::unix_ms() / 1_000).unwrap_or(i64::MAX);
        if not_after_s < now_s {
            return Err("the certificate has expired: its notAfter has passed".into());
        }
        let key = any_supported_type(&key).map_err(|error| error.to_string())?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err("the private key does not belong to the certificate".into());
            }
            Err(other) => return Err(other.to_string()),
        }
        Ok(Self {
            key: Arc::new(key),
            names,
            not_after_s,
        })
    }

    /// True if the key is RSA. RSA is slow, so it is only used for clients that support nothing
    /// else.
    pub(super) fn is_rsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::RSA
    }
}

/// Reads all certificates of a PEM text.
///
/// # Errors
/// If there is no certificate, or one cannot be read.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err("there is no certificate in PEM".into()),
        Err(error) => Err(format!("the certificates cannot be read: {error}")),
    }
}

/// Reads all certificates of a PEM text as trusted authorities.
///
/// # Errors
/// If there is no certificate, or one cannot be used.
pub(super) fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("an authority cannot be used: {error}"))?;
    }
    Ok(roots)
}

/// DNS names and expiry (Unix time in seconds) of a certificate.
struct Described {
    names: Box<[Box<str>]>,
    not_after_s: i64,
}

fn described(der: &CertificateDer<'_>) -> Result<Described, String> {
    let (_, certificate) = X509Certificate::from_der(der)
        .map_err(|_| "the first certificate cannot be read".to_owned())?;
    let mut names: Vec<Box<str>> = Vec::new();
    if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
        for name in &alternatives.value.general_names {
            if let GeneralName::DNSName(name) = name {
                names.push(name.to_ascii_lowercase().into());
            }
        }
    } else {
        // Fall back to the common name. Clients ignore it, but it shows operators the host of the
        // certificate.
        let common = certificate.subject().iter_common_name();
        names.extend(common.filter_map(|one| Some(one.as_str().ok()?.to_ascii_lowercase().into())));
    }
    let not_after_s = certificate.validity().not_after.timestamp();
    Ok(Described {
        names: names.into(),
        not_after_s,
    })
}
