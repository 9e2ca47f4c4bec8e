//! Certificate chains with their private keys, checked before use, and CA certificates.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
    /// If a value cannot be used. The error is the reason, without any part of the key.
    pub(super) fn load(values: &[Arc<SecretValue>]) -> Result<Self, String> {
        let [cert, key] = values else {
            return Err("a certificate and a key are needed".into());
        };
        let chain = certificates(cert)?;
        let key =
            private_key(key).ok_or("there is no private key in PEM (PKCS#8, PKCS#1 or SEC1)")?;
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

/// Label of a private key in PEM, and its form.
type Form = (&'static str, fn(Vec<u8>) -> PrivateKeyDer<'static>);

/// First private key of a PEM text (RFC 7468), or `None` if there is none. This function overwrites
/// all its buffers; the parser of rustls would leave the text of the key in freed memory.
fn private_key(pem: &[u8]) -> Option<Zeroizing<PrivateKeyDer<'static>>> {
    const FORMS: [Form; 3] = [
        ("PRIVATE KEY", |der| PrivateKeyDer::Pkcs8(der.into())),
        ("RSA PRIVATE KEY", |der| PrivateKeyDer::Pkcs1(der.into())),
        ("EC PRIVATE KEY", |der| PrivateKeyDer::Sec1(der.into())),
    ];
    let mut lines = pem
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .map(<[u8]>::trim_ascii);
    let (name, form) = lines.by_ref().find_map(|line| {
        let found = label(line, "-----BEGIN ")?;
        FORMS.into_iter().find(|(name, _)| name.as_bytes() == found)
    })?;
    let mut text = Zeroizing::new(Vec::with_capacity(pem.len()));
    loop {
        let line = lines.next()?;
        match label(line, "-----END ") {
            Some(end) if end == name.as_bytes() => break,
            Some(_) => return None,
            None => text.extend_from_slice(line),
        }
    }
    let mut der = Zeroizing::new(vec![0; text.len()]);
    let length = STANDARD.decode_slice(&*text, &mut der).ok()?;
    der.truncate(length);
    Some(Zeroizing::new(form(std::mem::take(&mut *der))))
}

/// Label of a PEM line that begins or ends a block. `kind`: the text before the label, such as
/// `-----BEGIN `. `None`: not such a line.
fn label<'l>(line: &'l [u8], kind: &str) -> Option<&'l [u8]> {
    line.strip_prefix(kind.as_bytes())?.strip_suffix(b"-----")
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

/// Parses all certificates of a PEM text as trusted CA certificates.
///
/// # Errors
/// If the text has no certificate, or a certificate cannot be used.
pub(crate) fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("a CA certificate cannot be used: {error}"))?;
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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

    use super::*;
    use crate::tls::freed::leaks;

    fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, KeyPair) {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        let cert = params.self_signed(&key).expect("a certificate");
        (cert.pem(), key)
    }

    fn load(cert: &str, key: &str) -> Result<Pair, String> {
        let value = |text: &str| Arc::new(SecretValue::new(text.as_bytes().to_vec()));
        Pair::load(&[value(cert), value(key)])
    }

    #[test]
    fn listener_keys_are_overwritten_when_freed() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
            let (cert, key) = pair(algorithm);
            let (pem, der) = (key.serialize_pem(), key.serialize_der());
            // The last part of the first line encodes bytes 36 to 47 of the DER, which belong to
            // the private key for both algorithms.
            let line = pem.lines().nth(1).expect("a body");
            let secrets = [&line.as_bytes()[48..64], &der[36..48]];
            for secret in [pem.as_bytes(), &der] {
                assert_eq!(leaks(secrets, || drop(secret.to_vec())), 1, "a vector");
            }
            let freed = leaks(secrets, || drop(load(&cert, &pem).expect("a pair")));
            assert_eq!(freed, 0, "{algorithm:?}");
            // A key that is not used is overwritten as well.
            let (other, _) = pair(algorithm);
            let freed = leaks(secrets, || assert!(load(&other, &pem).is_err()));
            assert_eq!(freed, 0, "{algorithm:?}, of another certificate");
            let damaged = pem.replace("-----END", "=\n-----END");
            let freed = leaks(secrets, || assert!(load(&cert, &damaged).is_err()));
            assert_eq!(freed, 0, "{algorithm:?}, damaged");
        }
    }

    #[test]
    fn private_keys_are_read_as_pem_is_written() {
        let (cert, key) = pair(&PKCS_ECDSA_P256_SHA256);
        let pem = key.serialize_pem();
        let kind = |text: &str| {
            private_key(text.as_bytes()).map(|key| match &*key {
                PrivateKeyDer::Pkcs8(_) => "PKCS#8",
                PrivateKeyDer::Pkcs1(_) => "PKCS#1",
                PrivateKeyDer::Sec1(_) => "SEC1",
                _ => "other",
            })
        };
        let named = |name: &str| pem.replace("PRIVATE KEY", name);
        let encrypted = pem.replacen("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1);
        for (text, expected) in [
            (pem.clone(), Some("PKCS#8")),
            (format!("{cert}{pem}"), Some("PKCS#8")),
            (
                format!("Bag Attributes\n  friendlyName: k\n{pem}{cert}"),
                Some("PKCS#8"),
            ),
            (pem.replace('\n', "\r\n"), Some("PKCS#8")),
            (pem.replace('\n', " \n"), Some("PKCS#8")),
            (named("RSA PRIVATE KEY"), Some("PKCS#1")),
            (named("EC PRIVATE KEY"), Some("SEC1")),
            (format!("{}{pem}", named("EC PARAMETERS")), Some("PKCS#8")),
            (named("ENCRYPTED PRIVATE KEY"), None),
            (encrypted, None),
            (pem.replace("-----END PRIVATE", "-----END EC PRIVATE"), None),
            (pem.replace("-----END", "-----"), None),
            (pem.replace("-----BEGIN", "----BEGIN"), None),
            (cert, None),
            (String::new(), None),
        ] {
            assert_eq!(
                kind(&text),
                expected,
                "{}",
                text.lines().next().unwrap_or("")
            );
        }
    }
}
