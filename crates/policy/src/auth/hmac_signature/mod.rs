//! Requests signed with a shared secret: HTTP Message Signatures (RFC 9421) with `Content-Digest`
//! (RFC 9530).
//!
//! ```yaml
//! auth:
//!   signed: {kind: hmac_signature, secrets: {acme: "${file:/run/secrets/acme}"}, window: 5m}
//! ```
//! A client names its key with `keyid`, and signs the request's parts that `Signature-Input` lists.
//! The gateway builds the same text (the signature base) from the request and compares the MAC.
//!
//! | Check | Section | Reason |
//! |---|---|---|
//! | `Signature-Input` and `Signature`, at most 8 KiB each, without duplicate names | §4.1, §4.2, RFC 9651 | `too_large`, `malformed` |
//! | exactly one signature has a `keyid` of the verifier | §3.2, §7.2.1 | `key`, `several` |
//! | `alg` is allowed; it may be absent if only one algorithm is allowed | §3.3.3, §7.3.6 | `algorithm` |
//! | `created` is present, at most `window` ago and at most 60s in the future; `expires` is in the future | §2.3, §7.2.2 | `age` |
//! | `nonce` is present, if `nonce: required` | §7.2.2 | `nonce` |
//! | the signature covers `components`, and `content-digest` if there is a body | §3.2, §7.2.1 | `components` |
//! | each covered component is known, exists and is listed once | §2, §2.5 | `component` |
//! | a covered `Content-Digest` has `sha-256` or `sha-512` | RFC 9530 §2, §5 | `digest` |
//! | the MAC, in constant time | §3.3.3, §7.3.3 | `signature` |
//! | the key did not use the nonce before | §7.2.2 | `replayed`, `full`, `store_unavailable` |
//!
//! The body is hashed while it is forwarded, see [`Content`]. [`aliyun`] and [`tencent`] are the
//! formats of two other gateways, for clients whose SDKs already sign requests in these formats.

pub mod aliyun;
#[cfg(feature = "author")]
pub mod author;
mod base;
mod claim;
mod content;
mod input;
mod structured;
pub mod tencent;
#[cfg(test)]
mod tests;
mod verify;
#[cfg(feature = "author")]
pub mod witness;

pub use base::{Base, Message};
pub use content::{Content, Hashing};
pub use verify::{Signed, Used, Verifier};

use minicbor::{Decode, Encode};

use super::place::Place;
use super::reasons::reasons;
#[cfg(feature = "author")]
use crate::ask::AskId;
use crate::declared::{Scalar, Settings, Value};
use crate::secret::SecretRef;
use crate::store;

/// Default of `window`, in milliseconds.
pub const WINDOW_MS: u64 = 300_000;

/// Default of `components`.
pub const COMPONENTS: &[&str] = &["@authority", "@method", "@target-uri"];

/// Field with the signatures of a request (RFC 9421 §4.2).
pub const FIELD: &str = "signature";

/// Field with the covered components and the parameters of signatures (RFC 9421 §4.1).
pub const INPUT: &str = "signature-input";

/// Field with the digests of the content (RFC 9530 §2).
pub const CONTENT_DIGEST: &str = "content-digest";

/// MAC algorithm of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Algorithm {
    /// `hmac-sha256` (RFC 9421 §3.3.3).
    #[n(0)]
    HmacSha256,
    /// `hmac-sha512`: like `hmac-sha256`, with SHA-512. Not registered with IANA.
    #[n(1)]
    HmacSha512,
}

/// Format of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Style {
    /// HTTP Message Signatures (RFC 9421).
    #[n(0)]
    Rfc9421,
    /// Format of Alibaba Cloud API Gateway.
    #[n(1)]
    Aliyun,
    /// Format of applications at Tencent Cloud API Gateway.
    #[n(2)]
    Tencent,
}

/// Settings of a verifier of request signatures, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Secrets by key id, sorted.
    #[n(0)]
    secrets: Vec<(String, SecretRef)>,
    /// Algorithms of signatures, sorted.
    #[n(1)]
    algorithms: Vec<Algorithm>,
    /// Component identifiers that signatures must cover, sorted.
    #[n(2)]
    components: Vec<String>,
    /// True if signatures of requests with a body must cover `Content-Digest`.
    #[n(3)]
    content_digest: bool,
    #[n(4)]
    window_ms: u64,
    /// True if signatures must have a nonce.
    #[n(5)]
    nonce: bool,
    #[n(6)]
    style: Style,
    /// Store of used nonces. `None`: each gateway has its own table. Older bundles have no store.
    #[n(7)]
    store: Option<store::Checked>,
}

reasons! {
    /// Reason why a signature is refused, for logs and metrics. Clients do not see the reason.
    "signature_"
    /// A field is longer than 8 KiB, or the signature base is longer than 128 KiB.
    TooLarge "too_large";
    /// A field of the signature is not a valid structured field, or has a name twice.
    Malformed "malformed";
    /// No signature has the id of a known key.
    Key "key";
    /// Several signatures have ids of known keys.
    Several "several";
    /// The algorithm is not allowed. Or the signature names no algorithm although several are
    /// allowed.
    Algorithm "algorithm";
    /// The signature is too old, has no time, or is from the future.
    Age "age";
    /// The signature has no nonce.
    Nonce "nonce";
    /// The signature does not cover all required parts of the request.
    Components "components";
    /// The signature covers a component that is unknown or absent, or that occurs several times.
    Component "component";
    /// The digest of the body cannot be checked.
    Digest "digest";
    /// The signature is invalid.
    Signature "signature";
    /// The key is revoked.
    Revoked "revoked";
    /// The nonce was used before.
    Replayed "replayed";
    /// The table of used nonces is full.
    Full "full";
    /// The store of used nonces does not answer.
    StoreUnavailable "store_unavailable";
}

impl Style {
    /// All formats.
    pub const ALL: &[Self] = &[Self::Rfc9421, Self::Aliyun, Self::Tencent];

    /// Value of `style`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rfc9421 => "rfc9421",
            Self::Aliyun => "aliyun",
            Self::Tencent => "tencent",
        }
    }

    /// Format with this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }

    /// Default of `components`. Signatures of the styles `aliyun` and `tencent` always cover
    /// method, path and query, and never the host.
    #[must_use]
    pub const fn components(self) -> &'static [&'static str] {
        match self {
            Self::Rfc9421 => COMPONENTS,
            Self::Aliyun | Self::Tencent => &["@method", "@path", "@query"],
        }
    }

    /// Location of the signature in a request.
    #[must_use]
    pub fn place(self) -> Place {
        match self {
            Self::Rfc9421 => Place::Header(FIELD.to_owned()),
            Self::Aliyun => Place::Header(aliyun::SIGNATURE.to_owned()),
            Self::Tencent => Place::Authorization(tencent::SCHEME.to_owned()),
        }
    }

    /// Fields that contain parameters of the signature, and fields that the signature always
    /// covers. Excludes the field with the signature itself.
    #[must_use]
    pub const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Rfc9421 => &[INPUT, CONTENT_DIGEST],
            Self::Aliyun => &[
                aliyun::HEADERS,
                aliyun::KEY,
                aliyun::METHOD,
                aliyun::NONCE,
                aliyun::TIMESTAMP,
                "content-md5",
                "content-type",
            ],
            Self::Tencent => &[tencent::DATE, "content-md5", "content-type"],
        }
    }
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: &[Self] = &[Self::HmacSha256, Self::HmacSha512];

    /// Name in the parameter `alg` and in gateway.yaml.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha512 => "hmac-sha512",
        }
    }

    /// Algorithm with this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }

    /// Minimum length of a secret, in bytes: the length of the hash (RFC 2104 §3).
    const fn secret_bytes_min(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha512 => 64,
        }
    }
}

impl Checked {
    /// Id of the check of a signature with the verifier's secrets, which gwc does not have.
    #[cfg(feature = "author")]
    #[must_use]
    pub fn secret_question(&self) -> AskId {
        let settings = minicbor::to_vec(self).unwrap_or_default();
        AskId::of_secret("hmac_signature", &settings)
    }

    /// Allowed algorithms.
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Component identifiers that signatures must cover, as in gateway.yaml.
    #[must_use]
    pub fn components(&self) -> &[String] {
        &self.components
    }

    /// True if signatures of requests with a body must cover `Content-Digest`.
    #[must_use]
    pub fn needs_digest(&self) -> bool {
        self.content_digest
    }

    /// Maximum age of a signature, in milliseconds.
    #[must_use]
    pub fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// True if signatures must have a nonce.
    #[must_use]
    pub fn needs_nonce(&self) -> bool {
        self.nonce
    }

    /// Key ids of the verifier, sorted.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(|(id, _)| id.as_str())
    }

    /// Format of signatures.
    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// Value of `Accept-Signature` (RFC 9421 §5.1): the components that clients should sign. `None`
    /// for the styles `aliyun` and `tencent`.
    #[must_use]
    pub fn accept_signature(&self) -> Option<String> {
        if self.style != Style::Rfc9421 {
            return None;
        }
        let digest = self.content_digest.then_some(CONTENT_DIGEST);
        let all = self.components.iter().map(String::as_str);
        let missing = digest.filter(|one| !self.components.iter().any(|other| other == one));
        let all = all.chain(missing).map(|one| {
            let (name, parameters) = one.split_at(one.find(';').unwrap_or(one.len()));
            format!("\"{name}\"{parameters}")
        });
        let all: Vec<String> = all.collect();
        let algorithm = match *self.algorithms {
            [one] => format!(";alg=\"{}\"", one.name()),
            _ => String::new(),
        };
        Some(format!("sig=({});created{algorithm}", all.join(" ")))
    }
}

impl super::Verifier for Checked {
    fn settings(&self) -> Settings {
        let text = |text: &str| Scalar::Text(text.to_owned());
        let secrets = self.secrets.iter().map(|(id, secret)| {
            let secret = Value::One(Scalar::Secret(secret.clone()));
            (id.as_str(), secret)
        });
        let mut all = Settings::default().with_each(&["secrets"], secrets);
        if self.algorithms != [Algorithm::HmacSha256] {
            let names = self.algorithms.iter().map(|one| text(one.name()));
            let mut names: Vec<Scalar> = names.collect();
            names.sort();
            all = all.with(&["algorithms"], Value::Set(names));
        }
        if self.style != Style::Rfc9421 {
            all = all.with(&["style"], Value::One(text(self.style.name())));
        }
        if self.components != self.style.components() {
            let names = self.components.iter().map(|one| text(one));
            let mut names: Vec<Scalar> = names.collect();
            names.sort();
            all = all.with(&["components"], Value::Set(names));
        }
        if !self.content_digest {
            all = all.with(&["content_digest"], Value::One(Scalar::Flag(false)));
        }
        if self.window_ms != WINDOW_MS {
            all = all.with(&["window"], Value::One(Scalar::Duration(self.window_ms)));
        }
        if !self.nonce {
            all = all.with(&["nonce"], Value::One(text("optional")));
        }
        match &self.store {
            Some(store) => store.settings(all),
            None => all,
        }
    }

    fn store(&self) -> Option<&store::Checked> {
        self.store.as_ref()
    }

    fn store_mut(&mut self) -> Option<&mut store::Checked> {
        self.store.as_mut()
    }
}
