//! Tests of the introspection verifier. The endpoint's answers are texts in the tests.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{Checked, Verifier};
use crate::ask::{Answer, AnswerKind, Answered, Answers, Call, CallKind, Effect, Outage};
use crate::auth::binding::tests::as_bearer;
use crate::auth::jwt::{Identity, Reason, TokenCache, Verification};
use crate::secret::{Form, SecretCell, SecretRef, SecretUnavailable, Secrets};

mod signed;

const NOW_S: u64 = 1_800_000_000;
const TOKEN: &[u8] = b"2YotnFZFEjr1zCsicMWpAA";
const ACTIVE: &str = r#"{"active":true,"iss":"https://idp.example","aud":"orders","sub":"alice","client_id":"app","scope":"read write","groups":["staff"],"tenant":"t-1"}"#;

pub(in crate::auth) struct Known;

impl Secrets for Known {
    fn cell(&self, _: &SecretRef, form: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        assert_eq!(form, Form::FieldValue);
        Ok(SecretCell::new(b"pass word:%".to_vec()))
    }
}

pub(in crate::auth) fn checked() -> Checked {
    Checked {
        url: "https://idp.example/in?tenant=a".to_owned(),
        client_id: "gate way".to_owned(),
        client_secret: SecretRef::Env("IDP".to_owned()),
        issuer: Some("https://idp.example".to_owned()),
        audience: vec!["orders".to_owned()],
        timeout_ms: None,
        cache_ms: None,
        cache_inactive_ms: None,
        cached: false,
        stale_for_ms: None,
        required_claims: Vec::new(),
        consumer_claim: None,
        scope_claim: None,
        groups_claim: None,
        token_bytes: None,
        binding: None,
        resource_metadata: None,
        signed: None,
    }
}

fn verifier(checked: &Checked) -> Verifier {
    checked.verifier(&Known).unwrap()
}

/// Request to the introspection endpoint that the verifier needs for a token.
fn question(verifier: &Verifier, token: &[u8]) -> Call {
    match verifier.verify(token, NOW_S, None, &Answers::default()) {
        Verification::Ask(effect) => match *effect {
            Effect::Http(call) => *call,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn answered(status: u16, kind: &str, body: &str) -> Answered {
    Answered {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap())]),
        body: Bytes::copy_from_slice(body.as_bytes()),
        unix_s: NOW_S,
    }
}

/// Result of verifying a token with this answer of the endpoint.
fn verified(
    verifier: &Verifier,
    (token, unix_s): (&[u8], u64),
    cache: Option<&TokenCache>,
    answer: Answer,
) -> Result<Arc<Identity>, Reason> {
    let mut answers = Answers::default();
    if let Verification::Ask(effect) = verifier.verify(token, unix_s, cache, &answers) {
        answers.add(effect.id(), answer);
    }
    match verifier.verify(token, unix_s, cache, &answers) {
        Verification::Valid(identity) => Ok(identity),
        Verification::Fault(reason) => Err(reason),
        other => panic!("{other:?}"),
    }
}

pub(in crate::auth) fn active(body: &str) -> Answer {
    Answer::Http(Arc::new(answered(200, "application/json", body)))
}

#[test]
fn every_answer_of_the_table_is_verified() {
    let verifier = verifier(&checked());
    let table = include_str!("answers.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let mut tried = 0;
    for row in rows {
        let parts: Vec<&str> = row.split('\t').collect();
        let [status, kind, body, expected] = parts[..] else {
            panic!("{row}")
        };
        let answer = answered(status.parse().unwrap(), kind, body);
        let kept = super::response::kind(&answer);
        let found = verified(
            &verifier,
            (TOKEN, NOW_S),
            None,
            Answer::Http(Arc::new(answer)),
        );
        let found = found.and_then(|one| as_bearer(one.bound.as_ref()));
        let found = found.map_or_else(Reason::label, |()| "ok");
        assert_eq!(found, expected, "{row}");
        let expected = match expected {
            "inactive" => Some(AnswerKind::Refuses),
            "introspection_unusable" => None,
            _ => Some(AnswerKind::Admits),
        };
        assert_eq!(kept, expected, "{row}");
        tried += 1;
    }
    assert!(tried > 45, "only {tried}");
}

/// Checks the format of the verifier's request against RFC 7662 §2.1 and RFC 6749 §2.3.1.
#[test]
fn question_is_a_form_with_client_authentication() {
    let verifier = verifier(&checked());
    let call = question(&verifier, b"a.b-c_d~e+f/g=");
    assert_eq!(
        (call.kind, &call.method),
        (CallKind::Introspection, &Method::POST)
    );
    assert_eq!(&*call.upstream, "https://idp.example");
    assert_eq!(call.target.as_str(), "/in?tenant=a");
    assert!(!call.tells_client);
    let field = |name: &str| call.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(field("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(field("accept"), "application/json");
    let basic = field("authorization").strip_prefix("Basic ").unwrap();
    let pair = STANDARD.decode(basic).unwrap();
    assert_eq!(pair, b"gate+way:pass+word%3A%25");
    assert_eq!(
        call.body,
        "token=a.b-c_d%7Ee%2Bf%2Fg%3D&token_type_hint=access_token"
    );
    assert_eq!(
        (call.timeout_ms, call.keep.times_ms, call.keep.stale_ms),
        (2_000, [60_000, 5_000], 0)
    );
    let debug = format!("{call:?} {verifier:?} {:?}", call.headers);
    for secret in ["a.b-c", "pass", basic] {
        assert!(!debug.contains(secret), "{debug}");
    }
}

#[test]
fn caller_is_described_by_the_answer() {
    let checked = Checked {
        consumer_claim: Some("client_id".to_owned()),
        ..checked()
    };
    let verifier = verifier(&checked);
    let identity = verified(&verifier, (TOKEN, NOW_S), None, active(ACTIVE)).unwrap();
    assert_eq!(&*identity.issuer, "https://idp.example");
    assert_eq!(identity.subject.as_deref(), Some("alice"));
    assert_eq!(identity.consumer.as_deref(), Some("app"));
    assert_eq!(identity.claims.get("tenant"), Some("t-1"));
    let words = |all: &[Box<str>]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(words(&identity.scopes), ["read", "write"]);
    assert_eq!(words(&identity.groups), ["staff"]);
    assert_eq!(identity.ends_s, u64::MAX);
}

#[test]
fn names_without_issuer_belong_to_the_endpoint() {
    let anyone = Checked {
        issuer: None,
        audience: Vec::new(),
        ..checked()
    };
    let body = r#"{"active":true,"sub":"alice"}"#;
    let key = |checked: &Checked| {
        let identity = verified(&verifier(checked), (TOKEN, NOW_S), None, active(body)).unwrap();
        identity.key.clone().unwrap()
    };
    let other = Checked {
        url: "https://idq.example/in".to_owned(),
        ..anyone.clone()
    };
    assert_ne!(key(&anyone), key(&other));
    assert_eq!(key(&anyone), key(&anyone));
}

#[test]
fn impossible_tokens_are_not_sent_to_the_endpoint() {
    let verifier = verifier(&checked());
    let jwt = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
    let long = "a".repeat(8_193);
    let foreign = jwt(r#"{"iss":"https://evil.example"}"#);
    let numeric = jwt(r#"{"iss":7}"#);
    for (token, expected) in [
        ("", Reason::Malformed),
        ("=", Reason::Malformed),
        ("a b", Reason::Malformed),
        ("a\tb", Reason::Malformed),
        ("a\0b", Reason::Malformed),
        ("a=b", Reason::Malformed),
        ("a&token=b", Reason::Malformed),
        ("a%20b", Reason::Malformed),
        ("tökén", Reason::Malformed),
        ("\"quoted\"", Reason::Malformed),
        (long.as_str(), Reason::TooLarge),
        (foreign.as_str(), Reason::Issuer),
        (numeric.as_str(), Reason::Issuer),
    ] {
        let found = verifier.verify(token.as_bytes(), NOW_S, None, &Answers::default());
        assert!(
            matches!(found, Verification::Fault(reason) if reason == expected),
            "{token}: {found:?}"
        );
    }
    let own = jwt(r#"{"iss":"https://idp.example"}"#);
    for token in [
        own.as_str(),
        "a.b.c",
        "....",
        "a.b.c.d.e",
        &jwt("{}"),
        "a==",
    ] {
        let call = question(&verifier, token.as_bytes());
        assert!(call.body.starts_with(b"token="), "{token}");
    }
}

#[test]
fn outage_gives_the_reason_introspection() {
    let verifier = verifier(&checked());
    for outage in [
        Outage::Timeout,
        Outage::Failed,
        Outage::TooLarge,
        Outage::Overflow,
        Outage::CircuitOpen,
    ] {
        let found = verified(&verifier, (TOKEN, NOW_S), None, Answer::Outage(outage));
        assert_eq!(found.err(), Some(Reason::Introspection));
    }
}

#[test]
fn active_answer_is_cached_until_it_or_its_token_ends() {
    let asks = |verifier: &Verifier, cache: &TokenCache, unix_s| {
        let found = verifier.verify(TOKEN, unix_s, Some(cache), &Answers::default());
        matches!(found, Verification::Ask(_))
    };
    let ends = ACTIVE.replace("}", r#","exp":1800000030}"#);
    for (cache_ms, body, last_s) in [
        (None, ACTIVE, 60),
        (Some(10_000), ACTIVE, 10),
        (Some(3_600_000), &ends, 30),
        (Some(0), ACTIVE, 0),
        (Some(999), ACTIVE, 0),
    ] {
        let verifier = verifier(&Checked {
            cache_ms,
            ..checked()
        });
        let cache = TokenCache::default();
        verified(&verifier, (TOKEN, NOW_S), Some(&cache), active(body)).unwrap();
        assert!(asks(&verifier, &cache, NOW_S + last_s), "{cache_ms:?}");
        assert!(asks(&verifier, &cache, NOW_S - 1), "{cache_ms:?}");
        if last_s > 0 {
            assert!(!asks(&verifier, &cache, NOW_S + last_s - 1), "{cache_ms:?}");
        }
    }
}

#[test]
fn old_answer_is_not_cached_anew() {
    let verifier = verifier(&checked());
    let cache = TokenCache::default();
    let later = (TOKEN, NOW_S + 60);
    verified(&verifier, later, Some(&cache), active(ACTIVE)).unwrap();
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn cached_answer_is_for_one_token_and_its_settings() {
    let cache = TokenCache::default();
    let own = verifier(&checked());
    verified(&own, (TOKEN, NOW_S), Some(&cache), active(ACTIVE)).unwrap();
    let other = verifier(&Checked {
        audience: vec!["other".to_owned()],
        ..checked()
    });
    for (verifier, token) in [(&own, &b"2YotnFZFEjr1zCsicMWpAB"[..]), (&other, TOKEN)] {
        let found = verifier.verify(token, NOW_S, Some(&cache), &Answers::default());
        assert!(matches!(found, Verification::Ask(_)), "{found:?}");
    }
}

#[test]
fn stale_answers_need_on_outage_cached() {
    let keep = |cached, stale_for_ms| {
        let checked = Checked {
            cached,
            stale_for_ms,
            ..checked()
        };
        question(&verifier(&checked), TOKEN).keep.stale_ms
    };
    assert_eq!(keep(false, None), 0);
    assert_eq!(keep(true, None), 600_000);
    assert_eq!(keep(true, Some(1_000)), 1_000);
}

#[cfg(feature = "author")]
mod witnesses {
    use super::*;
    use crate::auth::jwt::witness;

    struct Compiler;

    impl Secrets for Compiler {
        fn cell(&self, _: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
            Ok(SecretCell::new(Vec::new()))
        }

        fn takes_witnesses(&self) -> bool {
            true
        }
    }

    fn witness(key: &str) -> String {
        let header = format!(r#"{{"asked":["{key}"]}}"#);
        let claims = r#"{"iss":"https://idp.example","aud":["orders"],"exp":1800000001}"#;
        witness::token(&header, claims, key)
    }

    /// Checks that an unsigned example token whose header names the verifier counts as active in
    /// gwc, and not in gwd.
    #[test]
    fn witness_is_active_for_the_compiler_alone() {
        let checked = checked();
        let own = witness(&checked.witness_key());
        let found = |secrets: &dyn Secrets, token: &str| {
            let verifier = checked.verifier(secrets).unwrap();
            verifier.verify(token.as_bytes(), NOW_S, None, &Answers::default())
        };
        assert!(matches!(found(&Compiler, &own), Verification::Valid(_)));
        assert!(matches!(found(&Known, &own), Verification::Ask(_)));
        let other = witness("introspection gate way https://idq.example/in");
        assert!(matches!(found(&Compiler, &other), Verification::Ask(_)));
    }

    #[test]
    fn assumed_answer_takes_the_claims_of_a_jwt() {
        let verifier = checked().verifier(&Compiler).unwrap();
        let assumed = |status, token: &[u8]| {
            let answer = Answered::empty(status);
            verified(
                &verifier,
                (token, NOW_S),
                None,
                Answer::Http(Arc::new(answer)),
            )
        };
        let claims = URL_SAFE_NO_PAD.encode(ACTIVE);
        let jwt = format!("e30.{claims}.c2ln");
        let identity = assumed(StatusCode::OK, jwt.as_bytes()).unwrap();
        assert_eq!(identity.subject.as_deref(), Some("alice"));
        assert!(assumed(StatusCode::OK, TOKEN).unwrap().subject.is_none());
        let refused = assumed(StatusCode::UNAUTHORIZED, TOKEN);
        assert_eq!(refused.err(), Some(Reason::Inactive));
    }
}
