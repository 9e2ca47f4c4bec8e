//! Tests of verifiers whose keys gwd fetches: requests for a fetch, key rotation, expired keys, and
//! the token cache.

use bytes::Bytes;

use super::*;
use crate::ask::{Answer, Answers, AskId};
use crate::key_cell::{KeyCell, Read, Remote};

const CLAIMS: &str = r#"{"iss":"https://idp.example","aud":"orders","exp":1800003600}"#;

/// Secrets of a test gateway in which all verifiers share one key cell.
struct Shared(std::sync::OnceLock<Arc<KeyCell>>);

impl Secrets for Shared {
    fn cell(&self, reference: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        panic!("{reference} is asked for")
    }

    fn keys(&self, source: &Remote, read: Read) -> Arc<KeyCell> {
        Arc::clone(self.0.get_or_init(|| KeyCell::new(source.clone(), read)))
    }
}

fn verifier(settings: &Checked) -> (Verifier, Arc<KeyCell>) {
    let shared = Shared(std::sync::OnceLock::new());
    let verifier = settings.verifier(&shared).unwrap();
    (verifier, shared.0.into_inner().unwrap())
}

fn by_url() -> Checked {
    let url = KeySource::Url("https://idp.example/keys".to_owned());
    checked(url, &[Algorithm::Es256])
}

/// JWK set with the public key of a key pair.
pub(in crate::auth) fn set(kid: &str, pair: &EcdsaKeyPair) -> Bytes {
    let point = pair.public_key().as_ref();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = (part(&point[1..33]), part(&point[33..]));
    let text =
        format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"{x}","y":"{y}"}}]}}"#);
    Bytes::from(text)
}

fn signed(kid: &str, signer: &str) -> Vec<u8> {
    token([
        &format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#),
        CLAIMS,
        signer,
        "-",
    ])
}

/// Verification result of a token: `ok`, `ask`, or the reason of the refusal.
fn verified(verifier: &Verifier, token: &[u8], unix_s: u64, answers: &Answers) -> &'static str {
    match verifier.verify_or_ask(token, unix_s, None, answers) {
        Verification::Valid(_) => "ok",
        Verification::Fault(reason) => reason.label(),
        Verification::Ask(_) => "ask",
        other => panic!("{other:?}"),
    }
}

#[test]
fn token_without_keys_asks_once() {
    let (verifier, cell) = verifier(&by_url());
    let token = signed("a", "p");
    let mut answers = Answers::default();
    assert_eq!(verified(&verifier, &token, NOW_S, &answers), "ask");
    answers.add(AskId::of_keys(&cell), Answer::Fetched);
    assert_eq!(
        verified(&verifier, &token, NOW_S, &answers),
        "keys_unavailable"
    );
    cell.fetched(&set("a", &PAIRS.p256), NOW_S, None, 0)
        .unwrap();
    assert_eq!(verified(&verifier, &token, NOW_S, &answers), "ok");
    // A token that is invalid for another reason causes no fetch.
    let foreign = token_of_another_issuer();
    let later_s = NOW_S + 100;
    assert_eq!(
        verified(&verifier, &foreign, later_s, &Answers::default()),
        "issuer"
    );
    let none = Answers::default();
    assert_eq!(
        verified(&verifier, &signed("a", "foreign"), later_s, &none),
        "signature"
    );
}

fn token_of_another_issuer() -> Vec<u8> {
    let claims = CLAIMS.replace("idp.example", "other.example");
    token([r#"{"alg":"ES256","kid":"b"}"#, &claims, "p", "-"])
}

#[test]
fn unknown_key_id_asks_after_the_cool_down() {
    let (verifier, cell) = verifier(&by_url());
    cell.fetched(&set("a", &PAIRS.foreign), NOW_S, None, 0)
        .unwrap();
    let (token, none) = (signed("b", "p"), Answers::default());
    assert_eq!(verified(&verifier, &token, NOW_S + 29, &none), "key");
    assert_eq!(verified(&verifier, &token, NOW_S + 30, &none), "ask");
    cell.fetched(&set("b", &PAIRS.p256), NOW_S + 30, None, 0)
        .unwrap();
    assert_eq!(verified(&verifier, &token, NOW_S + 30, &none), "ok");
    assert_eq!(
        verified(&verifier, &signed("a", "foreign"), NOW_S + 31, &none),
        "key"
    );
}

#[test]
fn repeated_unknown_key_id_waits_longer() {
    let (verifier, cell) = verifier(&by_url());
    cell.fetched(&set("a", &PAIRS.foreign), NOW_S, None, 0)
        .unwrap();
    let none = Answers::default();
    let asks = |id: &str, after_s: u64| {
        let is_ask = verified(&verifier, &signed(id, "p"), NOW_S + after_s, &none) == "ask";
        if is_ask {
            let fetched = cell.fetched(&set("a", &PAIRS.foreign), NOW_S + after_s, None, 0);
            fetched.unwrap();
        }
        is_ask
    };
    for (id, after_s, expected) in [
        ("b", 30, true),
        ("b", 60, true),
        ("b", 90, false),
        ("c", 90, true),
        ("b", 119, false),
        ("b", 120, true),
    ] {
        assert_eq!(asks(id, after_s), expected, "{id} after {after_s} s");
    }
}

#[test]
fn old_keys_count_for_stale_for_and_no_longer() {
    let settings = Checked {
        stale_for_ms: Some(600_000),
        ..by_url()
    };
    let (verifier, cell) = verifier(&settings);
    cell.fetched(&set("a", &PAIRS.p256), NOW_S, None, 0)
        .unwrap();
    let token = signed("a", "p");
    let mut answers = Answers::default();
    assert_eq!(verified(&verifier, &token, NOW_S + 599, &answers), "ok");
    assert_eq!(verified(&verifier, &token, NOW_S + 600, &answers), "ask");
    cell.failed("gone", NOW_S + 600, 0);
    // Old keys are unusable: a request may cause the next fetch after 2 s, as without keys.
    for (after_s, expected) in [(601, "keys_unavailable"), (602, "ask")] {
        let none = Answers::default();
        assert_eq!(
            verified(&verifier, &token, NOW_S + after_s, &none),
            expected
        );
    }
    answers.add(AskId::of_keys(&cell), Answer::Fetched);
    assert_eq!(
        verified(&verifier, &token, NOW_S + 602, &answers),
        "keys_unavailable"
    );
}

#[test]
fn verified_token_ends_with_its_key() {
    let (verifier, cell) = verifier(&by_url());
    let (token, cache) = (signed("a", "p"), TokenCache::default());
    cell.fetched(&set("a", &PAIRS.p256), NOW_S, None, 0)
        .unwrap();
    for _ in 0..2 {
        assert!(verifier.verify_now(&token, NOW_S, Some(&cache)).is_ok());
    }
    assert_eq!(cache.take_counts(), (1, 1));
    cell.fetched(&set("b", &PAIRS.foreign), NOW_S, None, 0)
        .unwrap();
    let refused = verifier.verify_now(&token, NOW_S, Some(&cache));
    assert_eq!(refused.unwrap_err(), Reason::Key);
}
