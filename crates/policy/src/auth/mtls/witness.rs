//! Certificates for examples in plans: descriptions that contain only names. gwd is built without
//! the feature `author` and therefore never accepts one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::certificate::Parts;
use super::{Certificate, Presented, Source, san, spiffe};

/// Description of a certificate with these names: `san NAME`, `spiffe ID` or `subject NAME` on each
/// line.
#[must_use]
pub fn text<'n>(names: impl IntoIterator<Item = (&'static str, &'n str)>) -> String {
    let lines = names.into_iter().map(|(kind, name)| match kind {
        // `*` in a pattern stands for any one segment; the example has the segment `witness`.
        "spiffe" => format!("spiffe {}", name.replace('*', "witness")),
        _ => format!("{kind} {name}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Creates a connection with certificates, each given by its source and its description. They are
/// valid at any time.
#[must_use]
pub fn presented(all: &[(Source, String)]) -> Presented {
    let all = all.iter();
    let all = all.map(|(source, text)| (*source, Arc::new(certificate(text))));
    Presented::assuming(all.collect())
}

/// SHA-256 of the description of a certificate, which replaces the SHA-256 of the DER encoding.
#[must_use]
pub fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Thumbprint (`x5t#S256`) of a certificate that is given by its description.
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
