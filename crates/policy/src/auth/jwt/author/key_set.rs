//! Reader of a JWK set in a project (RFC 7517, RFC 7518 §6, RFC 8037 §2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diag::{Diagnostic, Level, Lint, NodeRef, Sink};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::auth::jwt::algorithm::Algorithm;
use crate::auth::jwt::jwk::{Jwk, KEYS_MAX, KeyError, is_for_encryption, key};
use crate::auth::jwt::keys::PublicKey;

impl Jwk for NodeRef<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(NodeRef::as_str)
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn operations(&self) -> Option<Vec<&str>> {
        let all = self.get("key_ops")?.items();
        Some(all.filter_map(NodeRef::as_str).collect())
    }
}

/// Lint: a key that cannot be read, is private, or is weak.
pub static BAD_KEY: Lint = Lint {
    code: "GW0560",
    name: "bad-key",
    level: Level::Error,
    summary: "a key of a key set is private, weak or cannot be read",
    explain: "A verifier needs public keys only. Every reader of the project knows a private key \
in it, so such a key must be replaced. RSA keys need 2048 bits (RFC 7518 §3.3), and points must be \
on their curve. Two keys of one kind need two key ids, because `kid` of a token names the key that \
signed it.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: AAAA}]}}}\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}}\n",
    )],
};

/// Lint: an algorithm for which the set has no key.
pub static ALGORITHM_WITHOUT_KEY: Lint = Lint {
    code: "GW0561",
    name: "algorithm-without-key",
    level: Level::Error,
    summary: "an algorithm is allowed that no key of the set can check",
    explain: "Tokens of this algorithm are refused, whoever signed them. RS and PS algorithms need \
an RSA key, ES256 a key of the curve P-256, ES384 one of P-384, EdDSA one of Ed25519. A key with \
`alg` checks that algorithm only. A key for encryption (`use: enc`) checks none.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA, ES256], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}}\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}}\n",
    )],
};

/// Lint: a key that no allowed algorithm uses.
pub static UNUSED_KEY: Lint = Lint {
    code: "GW0562",
    name: "unused-key",
    level: Level::Warn,
    summary: "a key set with a key that no allowed algorithm uses",
    explain: "The key is left out of the bundle, because its kind is unknown or `algorithms` names \
none that it can check. Tokens that it signed are refused. Add its algorithm, or remove the key \
from the set.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}, {kty: OKP, crv: X25519, x: hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo}]}}}\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}}\n",
    )],
};

/// Expiry of a key (Unix time, seconds): the expiry of the key's first certificate (`x5c`, RFC 7517
/// §4.7), or its `exp` (OpenID Federation 1.0), whichever is earlier. `None` if the key has
/// neither.
#[must_use]
pub fn end_s(key: NodeRef<'_>) -> Option<u64> {
    let chain = key.get("x5c").into_iter().flat_map(NodeRef::items);
    let certificate = chain.filter_map(NodeRef::scalar_text).next();
    let certificate = certificate.and_then(|text| STANDARD.decode(text).ok());
    let certificate = certificate.and_then(|der| {
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        u64::try_from(certificate.validity().not_after.timestamp()).ok()
    });
    let exp = key.get("exp").and_then(NodeRef::scalar_text);
    let exp = exp.and_then(|text| text.parse().ok());
    certificate.into_iter().chain(exp).min()
}

/// Reads the keys of `set` that the algorithms of `verifier` use, sorted.
pub fn read(set: NodeRef<'_>, verifier: NodeRef<'_>, sink: &mut Sink) -> Vec<PublicKey> {
    let algorithms = super::algorithms(verifier);
    let before = sink.findings().len();
    let bad = |node: NodeRef<'_>, message: &str, help: &str| {
        Diagnostic::new(&BAD_KEY, node.span(), message).help(help)
    };
    let keys = set.get("keys").filter(|keys| keys.is_list());
    let Some(keys) = keys.filter(|keys| (1..=KEYS_MAX).contains(&keys.items().len())) else {
        let help = "write `{\"keys\": […]}` with 1 to 100 keys (RFC 7517 §5)";
        sink.push(bad(set, "this is not a JWK set", help));
        return Vec::new();
    };
    let mut found: Vec<(PublicKey, NodeRef<'_>)> = Vec::new();
    for node in keys.items() {
        let unused = |why: String| {
            let help = "add its algorithm to `algorithms`, or remove the key";
            Diagnostic::new(&UNUSED_KEY, node.span(), why).help(help)
        };
        if is_for_encryption(&node) {
            continue;
        }
        match key(&node) {
            Err(KeyError::Bad(message, help)) => sink.push(bad(node, &message, help)),
            Err(KeyError::Unknown(message)) => sink.push(unused(message)),
            Ok(key) if !algorithms.iter().any(|algorithm| key.fits(*algorithm)) => {
                sink.push(unused("no allowed algorithm uses this key".to_owned()));
            }
            Ok(key) => {
                let clashes = |known: &&(PublicKey, NodeRef<'_>)| {
                    let one_has_none = known.0.kid.is_none() || key.kid.is_none();
                    (one_has_none || known.0.kid == key.kid)
                        && known.0.material.family() == key.material.family()
                };
                if let Some((_, first)) = found.iter().find(clashes) {
                    let help = "give each key a `kid` of its own";
                    let finding = bad(
                        node,
                        "another key of the same type has the same `kid`, or one of the two has no `kid`",
                        help,
                    );
                    sink.push(finding.related(first.span(), "the other key"));
                    continue;
                }
                found.push((key, node));
            }
        }
    }
    // Do not report missing keys if a key of the set could not be read: that key may be the missing
    // one.
    let all_read = sink.findings()[before..]
        .iter()
        .all(|finding| finding.lint.name != BAD_KEY.name);
    let written = verifier.get("algorithms").into_iter();
    for node in written.flat_map(NodeRef::items).filter(|_| all_read) {
        let Some(algorithm) = node.scalar_text().and_then(Algorithm::of) else {
            continue;
        };
        if !found.iter().any(|(key, _)| key.fits(algorithm)) {
            let message = format!("no key can check `{}`", algorithm.name());
            let finding = Diagnostic::new(&ALGORITHM_WITHOUT_KEY, node.span(), message);
            sink.push(finding.help("remove the algorithm, or add a key of its kind to the set"));
        }
    }
    let mut keys: Vec<PublicKey> = found.into_iter().map(|(key, _)| key).collect();
    keys.sort();
    keys
}
