//! Request fields in which upstreams receive the client's certificate: `Client-Cert` and
//! `Client-Cert-Chain` (RFC 9440), or `X-Forwarded-Client-Cert` in Envoy's format.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::digest::Digest;
use bundle::ir::CertificateFields;
use engine::edge::{CLIENT_CERT, CLIENT_CERT_CHAIN, X_FORWARDED_CLIENT_CERT};
use http::header::{HeaderName, HeaderValue};
use policy::auth::mtls::rfc4514;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::PROVIDER;
use super::client_auth::Admission;

/// Names and values of request fields.
pub(crate) type Fields = Arc<[(HeaderName, HeaderValue)]>;

/// Certificate of a client, with the other certificates that the client sent. The client has proved
/// that it has the private key.
pub(crate) struct PeerCertificate {
    own: CertificateDer<'static>,
    others: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    /// Encoded fields of each form. They are encoded once, because most connections carry many
    /// requests.
    client_cert: OnceCell<Fields>,
    xfcc: OnceCell<Option<Fields>>,
}

impl PeerCertificate {
    /// Takes the certificates of a handshake. `None` if the client sent none.
    pub(super) fn of(shown: &[CertificateDer<'static>], admission: &Admission) -> Option<Self> {
        let (own, others) = shown.split_first()?;
        Some(Self {
            own: own.clone(),
            others: others.to_vec(),
            roots: Arc::clone(&admission.roots),
            client_cert: OnceCell::new(),
            xfcc: OnceCell::new(),
        })
    }

    /// Certificate of the client, and the other certificates that it sent.
    pub(super) fn chain(&self) -> (&CertificateDer<'static>, &[CertificateDer<'static>]) {
        (&self.own, &self.others)
    }

    /// Earliest expiry of the client's certificates that are valid at `now_s`, as Unix time in
    /// seconds. `u64::MAX` if no certificate is valid.
    pub(super) fn first_end_s(&self, now_s: u64) -> u64 {
        let all = std::iter::once(&self.own).chain(&self.others);
        let ends = all.map(|shown| match X509Certificate::from_der(shown) {
            Ok((_, shown)) => u64::try_from(shown.validity().not_after.timestamp()).unwrap_or(0),
            // The certificate cannot be parsed: use the current time, so that the chain is verified
            // again with each request.
            Err(_) => now_s,
        });
        ends.filter(|end_s| *end_s >= now_s)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Certificate of the client in DER.
    pub(crate) fn der(&self) -> &[u8] {
        &self.own
    }

    /// Fields with this connection's certificate. `None` for [`CertificateFields::Pass`], which
    /// only forwards the fields of a trusted proxy.
    pub(crate) fn fields(&self, form: CertificateFields) -> Option<Fields> {
        match form {
            CertificateFields::ClientCert => {
                let fields = self.client_cert.get_or_init(|| self.client_cert());
                Some(Arc::clone(fields))
            }
            CertificateFields::Xfcc => self
                .xfcc
                .get_or_init(|| {
                    let value = HeaderValue::try_from(xfcc(&self.own)?).ok()?;
                    Some(Arc::new([(X_FORWARDED_CLIENT_CERT.clone(), value)]))
                })
                .clone(),
            CertificateFields::Pass => None,
        }
    }

    fn client_cert(&self) -> Fields {
        let own = (CLIENT_CERT.clone(), byte_sequence(&self.own));
        let issuers = self.issuers();
        if issuers.is_empty() {
            return Arc::new([own]);
        }
        let issuers = issuers.into_iter();
        let chain = issuers.map(|issuer| (CLIENT_CERT_CHAIN.clone(), byte_sequence(issuer)));
        std::iter::once(own).chain(chain).collect()
    }

    /// Intermediate certificates of the verified chain, from the client's issuer upwards. Other
    /// certificates that the client sent are omitted, because they are not verified.
    fn issuers(&self) -> Vec<&CertificateDer<'static>> {
        if self.others.is_empty() {
            return Vec::new();
        }
        let Ok(own) = EndEntityCert::try_from(&self.own) else {
            return Vec::new();
        };
        let path = own.verify_for_usage(
            PROVIDER.signature_verification_algorithms.all,
            &self.roots.roots,
            &self.others,
            UnixTime::now(),
            KeyUsage::client_auth(),
            None,
            None,
        );
        let Ok(path) = path else {
            return Vec::new();
        };
        let used = path.intermediate_certificates();
        used.filter_map(|used| self.others.iter().find(|other| **other == used.der()))
            .collect()
    }
}

/// Encodes DER as a byte sequence of structured fields (RFC 9651 §3.3.5).
fn byte_sequence(der: &[u8]) -> HeaderValue {
    let text = format!(":{}:", STANDARD.encode(der));
    HeaderValue::try_from(text).expect("base64 is visible ASCII")
}

/// Element of `X-Forwarded-Client-Cert` with `Hash`, `Subject`, and all `URI` and `DNS` names.
/// `None` if the certificate cannot be parsed.
fn xfcc(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut line = String::from("Hash=");
    line.push_str(&Digest::of(der).hex());
    let _infallible = write!(line, ";Subject=\"{}\"", rfc4514(certificate.subject()));
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    for name in names {
        // Omit names with invalid characters, which could end the element early.
        match name {
            GeneralName::URI(uri) if uri.bytes().all(is_uri) => pair(&mut line, "URI", uri),
            GeneralName::DNSName(name) if name.bytes().all(is_dns) => {
                pair(&mut line, "DNS", name);
            }
            _ => {}
        }
    }
    Some(line)
}

/// Appends `;KEY=VALUE` to an element. The value must not contain quotes or backslashes. A value
/// with separators is quoted.
fn pair(line: &mut String, key: &str, value: &str) {
    let quote = match value.contains([',', ';', '=']) {
        true => "\"",
        false => "",
    };
    let _infallible = write!(line, ";{key}={quote}{value}{quote}");
}

/// True for the characters that a URI can contain (RFC 3986).
fn is_uri(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

fn is_dns(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._*".contains(&byte)
}
