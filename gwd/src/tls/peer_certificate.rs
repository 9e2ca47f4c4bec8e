//! The client's certificate in fields for upstreams: `Client-Cert` and `Client-Cert-Chain`
//! (RFC 9440), or `X-Forwarded-Client-Cert` as Envoy writes it.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::digest::Digest;
use bundle::ir::CertificateFields;
use engine::edge::{CLIENT_CERT, CLIENT_CERT_CHAIN, X_FORWARDED_CLIENT_CERT};
use http::header::{HeaderName, HeaderValue};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::der_parser::asn1_rs::{Any, Oid, ToDer as _};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

use super::PROVIDER;
use super::client_auth::Admission;

/// Fields with their values.
pub(crate) type Fields = Arc<[(HeaderName, HeaderValue)]>;

/// A certificate that a client proved to own, with the others that it sent.
pub(crate) struct PeerCertificate {
    own: CertificateDer<'static>,
    others: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    /// Each form is encoded once, because most connections carry many requests.
    client_cert: OnceCell<Fields>,
    xfcc: OnceCell<Option<Fields>>,
}

impl PeerCertificate {
    /// First certificate that the client sent in its handshake.
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

    /// Fields with this connection's certificate; none if only those of a trusted proxy are
    /// forwarded.
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

    /// Intermediate certificates from the client's to an authority, in this order. Other
    /// certificates of the client are not verified and are left out.
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

/// DER as a byte sequence of structured fields (RFC 9651 §3.3.5).
fn byte_sequence(der: &[u8]) -> HeaderValue {
    let text = format!(":{}:", STANDARD.encode(der));
    HeaderValue::try_from(text).expect("base64 is visible ASCII")
}

/// An element of `X-Forwarded-Client-Cert`: `Hash`, `Subject`, each `URI` and each `DNS`. None if
/// the certificate cannot be read.
fn xfcc(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut line = String::from("Hash=");
    line.push_str(&Digest::of(der).hex());
    let _infallible = write!(line, ";Subject=\"{}\"", rfc4514(certificate.subject()));
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    for name in names {
        // A name with any other character is none, and could end the element.
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

/// A pair whose value has no quotes and no backslashes; separators stand in quotes.
fn pair(line: &mut String, key: &str, value: &str) {
    let quote = match value.contains([',', ';', '=']) {
        true => "\"",
        false => "",
    };
    let _infallible = write!(line, ";{key}={quote}{value}{quote}");
}

/// The characters of RFC 3986.
fn is_uri(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

fn is_dns(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._*".contains(&byte)
}

/// A distinguished name as RFC 4514 writes it, the most specific part first. `"`, `\` and
/// characters other than visible ASCII are pairs of hexadecimal digits, so that the name can stand
/// in quotes.
fn rfc4514(name: &X509Name<'_>) -> String {
    let mut line = String::new();
    let mut parts: Vec<_> = name.iter_rdn().collect();
    parts.reverse();
    for (number, part) in parts.into_iter().enumerate() {
        line.push_str(if number == 0 { "" } else { "," });
        for (number, attribute) in part.iter().enumerate() {
            line.push_str(if number == 0 { "" } else { "+" });
            let kind = attribute.attr_type();
            match (short_name(kind), attribute.as_str()) {
                (Some(short), Ok(text)) => {
                    let _infallible = write!(line, "{short}=");
                    escape(&mut line, text);
                }
                _ => {
                    let _infallible = write!(line, "{}=#", kind.to_id_string());
                    hexadecimal(&mut line, attribute.attr_value());
                }
            }
        }
    }
    line
}

/// RFC 4514 §3.
fn short_name(kind: &Oid<'_>) -> Option<&'static str> {
    Some(match kind.to_id_string().as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        _ => return None,
    })
}

/// RFC 4514 §2.4.
fn escape(line: &mut String, text: &str) {
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        let _infallible = match byte {
            b'+' | b',' | b';' | b'<' | b'>' => write!(line, "\\{}", char::from(byte)),
            b'#' if at == 0 => write!(line, "\\#"),
            b' ' if at == 0 || at == last => write!(line, "\\ "),
            b'"' | b'\\' => write!(line, "\\{byte:02X}"),
            b' '..=b'~' => write!(line, "{}", char::from(byte)),
            _ => write!(line, "\\{byte:02X}"),
        };
    }
}

/// The DER of a value (RFC 4514 §2.4).
fn hexadecimal(line: &mut String, value: &Any<'_>) {
    for byte in value.to_der_vec().unwrap_or_default() {
        let _infallible = write!(line, "{byte:02x}");
    }
}
