//! Substitutes for client certificates in the example requests of plans. A substitute is a
//! description with the names of a certificate. gwd is built without the feature `author` and never
//! accepts a substitute.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::certificate::Parts;
use super::{Certificate, PresentedCertificates, Source, san, spiffe};

/// Creates the description of a certificate. Each line is one of its names: `san NAME`, `spiffe ID`
/// or `subject NAME`.
#[must_use]
pub fn text<'n>(names: impl IntoIterator<Item = (&'static str, &'n str)>) -> String {
    let lines = names.into_iter().map(|(kind, name)| match kind {
        // The pattern `*` matches any one segment. The example has the segment `witness` instead.
        "spiffe" => format!("spiffe {}", name.replace('*', "witness")),
        _ => format!("{kind} {name}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Creates the certificates of a connection, each from its source and its description. The
/// certificates never expire.
#[must_use]
pub fn presented(all: &[(Source, String)]) -> PresentedCertificates {
    let all = all.iter();
    let all = all.map(|(source, text)| (*source, Arc::new(certificate(text))));
    PresentedCertificates::assuming(all.collect())
}

/// SHA-256 of a certificate's description, used in place of the SHA-256 of the DER encoding.
#[must_use]
pub fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Thumbprint (`x5t#S256`) of the certificate with this description.
#[must_use]
pub fn thumbprint(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(text))
}

fn certificate(text: &str) -> Certificate {
    let mut parts = Parts {
        sha256: sha256(text),
        not_after_s: u64::MAX,
        ..Parts::default()
    };
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("spiffe", id)) if spiffe::is_id(id) => {
                parts.sans.extend(san(id));
                parts.spiffe = Some(id.to_owned());
            }
            Some(("san", name)) => parts.sans.extend(san(name)),
            Some(("subject", name)) => parts.subject = name.to_owned(),
            _ => {}
        }
    }
    Certificate::of(parts)
}
