//! Tokens bound to a client's key, with proof of possession (DPoP, RFC 9449).
//!
//! ```yaml
//! auth:
//!   bound: {kind: dpop, token: idp, algorithms: [ES256], window: 1m}
//! ```
//! A client sends `Authorization: DPoP TOKEN` and a proof in the field `DPoP`: a JWT about this
//! request, signed with the client's key. The claim `cnf` of the token identifies the key. The
//! verifier that the setting `token` names checks the token. This verifier checks the proof, and
//! that its key is the key in `cnf`. A token that is bound to a key is never accepted as a bearer
//! token (§7.2).
//!
//! | Check | Section | Reason |
//! |---|---|---|
//! | one field `DPoP`, at most 8 KiB | §4.3 | `absent`, `several`, `too_large` |
//! | a signed JWT without extensions and duplicate members | §4.3, RFC 7515 §5.2 | `malformed` |
//! | `typ` is `dpop+jwt` | §4.2 | `type` |
//! | `alg` is allowed and is an algorithm of key pairs | §4.2, §11.6 | `algorithm` |
//! | `jwk` is one public key for `alg` | §4.2 | `key` |
//! | `htm` is the method, `htu` the URL without query | §4.3 | `method`, `url` |
//! | `iat` is at most `window` ago, and at most 60s in the future | §11.1 | `age` |
//! | `ath` is the hash of the token | §4.3 | `token_hash` |
//! | the token is valid | §7.1 | reason of the token's verifier |
//! | `cnf` of the token has the thumbprint of `jwk` | §6.1 | `token_binding` |
//! | the signature, by `jwk` | §4.3 | `signature` |
//! | `nonce` was issued recently by the gateway | §9 | `nonce` |
//! | `jti` was not used with this key | §11.1 | `replayed`, `full`, `store_unavailable` |
//!
//! Signatures are checked last: only a client with a valid token that is bound to its key can make
//! the gateway check signatures and store proofs.

#[cfg(feature = "author")]
pub mod author;
mod nonce;
mod proof;
#[cfg(test)]
mod tests;
mod url;
mod verify;
#[cfg(feature = "author")]
pub mod witness;

pub use proof::Proof;
pub use url::ClientUrl;
pub use verify::{ValidProof, Verifier};

use minicbor::{Decode, Encode};

use super::jwt::Algorithm;
use super::reasons::reasons;
#[cfg(feature = "author")]
use crate::ask::AskId;
use crate::declared::{Scalar, Settings, Value};
use crate::secret::SecretRef;
use crate::store;

/// Default of `window`, in milliseconds.
pub const WINDOW_MS: u64 = 60_000;

/// Authentication scheme of tokens with a proof, in lower case (§7.1).
pub const SCHEME: &str = "dpop";

/// Settings of a verifier of tokens with DPoP proofs, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Name of the verifier of the token.
    #[n(0)]
    token: String,
    /// Allowed signature algorithms of proofs, sorted.
    #[n(1)]
    algorithms: Vec<Algorithm>,
    #[n(2)]
    window_ms: u64,
    /// True if proofs must contain a nonce that the gateway issued.
    #[n(3)]
    nonce: bool,
    /// Secret for the hash of nonces. `None`: a random secret of the process.
    #[n(4)]
    nonce_secret: Option<SecretRef>,
    /// Store of used proofs. `None`: each gateway has its own table. Older bundles have no store.
    #[n(5)]
    store: Option<store::Checked>,
}

reasons! {
    /// Reason why a proof is refused, for logs and metrics. Clients do not see the reason.
    "dpop_"
    /// The request has no proof.
    Absent "absent";
    /// The request has several proofs.
    Several "several";
    /// The proof is longer than 8 KiB.
    TooLarge "too_large";
    /// The proof is not a signed JWT with the claims of a proof.
    Malformed "malformed";
    /// The type (`typ`) of the proof is not `dpop+jwt`.
    Type "type";
    /// The algorithm is not allowed.
    Algorithm "algorithm";
    /// The key cannot be used: it is absent, private, weak, or of another type than the algorithm.
    Key "key";
    /// The proof is for another method.
    Method "method";
    /// The proof is for another URL.
    Url "url";
    /// The proof is too old, or from the future.
    Age "age";
    /// The proof is for another token.
    TokenHash "token_hash";
    /// The token is bound to another key, or to none.
    TokenBinding "token_binding";
    /// The signature is invalid.
    Signature "signature";
    /// The signature could not be verified: too many signatures wait for their verification.
    Unverified "signature_unverified";
    /// The proof has no recent nonce of the gateway.
    Nonce "nonce";
    /// The proof was used before.
    Replayed "replayed";
    /// The table of used proofs is full.
    Full "full";
    /// The store of used proofs does not answer.
    StoreUnavailable "store_unavailable";
}

impl Checked {
    /// Id of the check of a nonce with the gateway's secret, which gwc does not have. `None` if
    /// proofs need no nonce.
    #[cfg(feature = "author")]
    #[must_use]
    pub fn secret_question(&self) -> Option<AskId> {
        let settings = || minicbor::to_vec(self).unwrap_or_default();
        self.nonce.then(|| AskId::of_secret("dpop", &settings()))
    }

    /// Name of the verifier of the token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Allowed signature algorithms of proofs.
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Maximum age of a proof, in milliseconds.
    #[must_use]
    pub fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// True if proofs must contain a nonce that the gateway issued.
    #[must_use]
    pub fn needs_nonce(&self) -> bool {
        self.nonce
    }
}

impl super::Verifier for Checked {
    fn settings(&self) -> Settings {
        let text = |text: &str| Scalar::Text(text.to_owned());
        let mut all = Settings::default().with(&["token"], Value::One(text(&self.token)));
        if self.algorithms != [Algorithm::Es256] {
            let names = self.algorithms.iter().map(|one| text(one.name()));
            let mut names: Vec<Scalar> = names.collect();
            names.sort();
            all = all.with(&["algorithms"], Value::Set(names));
        }
        if self.window_ms != WINDOW_MS {
            all = all.with(&["window"], Value::One(Scalar::Duration(self.window_ms)));
        }
        if self.nonce {
            all = all.with(&["nonce"], Value::One(Scalar::Flag(true)));
        }
        if let Some(secret) = &self.nonce_secret {
            let secret = Value::One(Scalar::Secret(secret.clone()));
            all = all.with(&["nonce_secret"], secret);
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

    fn rename_token(&mut self, name: &dyn Fn(&str) -> String) {
        self.token = name(&self.token);
    }

    fn token_verifier(&self) -> Option<&str> {
        Some(&self.token)
    }

    fn takes_tokens(&self) -> bool {
        true
    }
}
