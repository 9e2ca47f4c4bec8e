//! Signed answers of an introspection endpoint (RFC 9701).

use std::sync::OnceLock;

use super::*;
use crate::ask::{AskId, Use};
use crate::auth::introspection::SignedAnswers;
use crate::auth::jwt::Algorithm;
use crate::auth::jwt::tests::{PAIRS, fetched, token};
use crate::key_cell::{KeyCell, Read, Remote};

const TYPE: &str = "application/token-introspection+jwt";
const HEAD: &str = r#"{"alg":"ES256","kid":"a","typ":"token-introspection+jwt"}"#;
const CLAIMS: &str = r#"{"iss":"https://idp.example","aud":"gate way","iat":1800000000,"token_introspection":ACTIVE}"#;

/// Secrets of a test gateway that always return the same key cell.
struct OneCell(OnceLock<Arc<KeyCell>>);

impl Secrets for OneCell {
    fn cell(
        &self,
        reference: &SecretRef,
        form: Form,
    ) -> Result<Arc<SecretCell>, SecretUnavailable> {
        Known.cell(reference, form)
    }

    fn keys(&self, source: &Remote, read: Read) -> Arc<KeyCell> {
        Arc::clone(self.0.get_or_init(|| KeyCell::new(source.clone(), read)))
    }
}

/// Verifier that requires signed answers, and the [`KeyCell`] with its keys.
fn signed() -> (Verifier, Arc<KeyCell>) {
    let checked = Checked {
        signed: Some(SignedAnswers {
            algorithms: vec![Algorithm::Es256],
            jwks_url: None,
        }),
        ..checked()
    };
    let secrets = OneCell(OnceLock::new());
    let verifier = checked.verifier(&secrets).unwrap();
    let cell = Arc::clone(verifier.key_cell().unwrap());
    assert_eq!(
        checked.remote(),
        Some(Remote::Issuer("https://idp.example".into()))
    );
    (verifier, cell)
}

fn answer(head: &str, claims: &str, signer: &str) -> String {
    let claims = claims.replace("ACTIVE", ACTIVE);
    String::from_utf8(token([head, &claims, signer, "-"])).unwrap()
}

#[test]
fn signed_answers_of_the_table_are_verified() {
    let (verifier, cell) = signed();
    let keys = fetched::set("a", &PAIRS.p256);
    cell.fetched(&keys, NOW_S, None, 0).unwrap();
    let unusable = "introspection_unusable";
    let (head, claims) = (HEAD.to_owned(), CLAIMS.to_owned());
    let with_head = |from: &str, to: &str| (head.replace(from, to), claims.clone());
    let with = |from: &str, to: &str| (head.clone(), claims.replace(from, to));
    for ((head, claims), signer, kind, expected) in [
        (with("", ""), "p", TYPE, "ok"),
        (
            with("", ""),
            "p",
            "Application/Token-Introspection+JWT; charset=utf-8",
            "ok",
        ),
        (with_head("token-i", "application/token-i"), "p", TYPE, "ok"),
        (
            with("\"gate way\"", r#"["other","gate way"]"#),
            "p",
            TYPE,
            "ok",
        ),
        (with("1800000000", "1799999940"), "p", TYPE, "ok"),
        (with("1800000000", "1800000060"), "p", TYPE, "ok"),
        (with("ACTIVE", r#"{"active":false}"#), "p", TYPE, "inactive"),
        // An answer that is signed by another key, or unsigned.
        (with("", ""), "foreign", TYPE, unusable),
        (
            with("ACTIVE", r#"{"active":false}"#),
            "foreign",
            TYPE,
            unusable,
        ),
        (with_head("ES256", "none"), "p", TYPE, unusable),
        (with_head("ES256", "HS256"), "p", TYPE, unusable),
        (with_head("ES256", "RS256"), "p", TYPE, unusable),
        (with_head("\"a\"", "\"b\""), "p", TYPE, unusable),
        // A token of another type by the same issuer, such as an access token.
        (
            with_head("token-introspection+jwt", "at+jwt"),
            "p",
            TYPE,
            unusable,
        ),
        (
            with_head(r#","typ":"token-introspection+jwt""#, ""),
            "p",
            TYPE,
            unusable,
        ),
        // An answer for another client, or by another issuer.
        (with("gate way", "another"), "p", TYPE, unusable),
        (with(r#""aud":"gate way","#, ""), "p", TYPE, unusable),
        (with("idp.example", "evil.example"), "p", TYPE, unusable),
        // An answer that was made at another time.
        (with("1800000000", "1799999939"), "p", TYPE, unusable),
        (with("1800000000", "1800000061"), "p", TYPE, unusable),
        (with(r#""iat":1800000000,"#, ""), "p", TYPE, unusable),
        (with("1800000000", "\"1800000000\""), "p", TYPE, unusable),
        // Time claims of the JWT, with a leeway of 60 seconds.
        (
            with("\"iat\"", "\"exp\":1799999941,\"iat\""),
            "p",
            TYPE,
            "ok",
        ),
        (
            with("\"iat\"", "\"exp\":1799999940,\"iat\""),
            "p",
            TYPE,
            unusable,
        ),
        (
            with("\"iat\"", "\"exp\":\"never\",\"iat\""),
            "p",
            TYPE,
            unusable,
        ),
        (
            with("\"iat\"", "\"nbf\":1800000060,\"iat\""),
            "p",
            TYPE,
            "ok",
        ),
        (
            with("\"iat\"", "\"nbf\":1800000061,\"iat\""),
            "p",
            TYPE,
            unusable,
        ),
        // An answer without `token_introspection`, or with its members at the top level.
        (
            with(r#""token_introspection":ACTIVE"#, r#""active":true"#),
            "p",
            TYPE,
            unusable,
        ),
        (with("ACTIVE", "\"active\""), "p", TYPE, unusable),
        (with("ACTIVE", r#"{"active":"true"}"#), "p", TYPE, unusable),
        // Checks of the object's members.
        (with("ACTIVE", r#"{"active":true}"#), "p", TYPE, "issuer"),
        // An answer with another media type.
        (with("", ""), "p", "application/json", unusable),
        (with("", ""), "p", "application/jwt", unusable),
    ] {
        let answered = answered(200, kind, &answer(&head, &claims, signer));
        let found = verified(
            &verifier,
            (TOKEN, NOW_S),
            None,
            Answer::Http(Arc::new(answered)),
        );
        let found = found.map_or_else(Reason::label, |_| "ok");
        assert_eq!(found, expected, "{head} {claims} {signer} {kind}");
    }
}

#[test]
fn encrypted_answer_is_an_outage() {
    let (verifier, cell) = signed();
    let keys = fetched::set("a", &PAIRS.p256);
    cell.fetched(&keys, NOW_S, None, 0).unwrap();
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RSA-OAEP","enc":"A128GCM"}"#);
    let answered = answered(200, TYPE, &format!("{head}.a.b.c.d"));
    let found = verified(
        &verifier,
        (TOKEN, NOW_S),
        None,
        Answer::Http(Arc::new(answered)),
    );
    assert_eq!(found.err(), Some(Reason::Unusable));
}

#[test]
fn unsigned_answer_is_an_outage_if_signed_are_needed() {
    let (verifier, cell) = signed();
    let keys = fetched::set("a", &PAIRS.p256);
    cell.fetched(&keys, NOW_S, None, 0).unwrap();
    for body in [ACTIVE, r#"{"active":false}"#] {
        let found = verified(&verifier, (TOKEN, NOW_S), None, active(body));
        assert_eq!(found.err(), Some(Reason::Unusable), "{body}");
    }
    let question = question(&verifier, TOKEN);
    assert_eq!(question.headers["accept"], TYPE);
    let unsigned = answered(200, "application/json", ACTIVE);
    assert_eq!(question.keep.use_of(&unsigned), Use::Unusable);
}

#[test]
fn only_verified_answers_are_cached() {
    let (verifier, cell) = signed();
    let keep = question(&verifier, TOKEN).keep;
    let inactive = CLAIMS.replace("ACTIVE", r#"{"active":false}"#);
    let with = |from: &str, to: &str| CLAIMS.replace(from, to);
    let use_of = |head: &str, claims: &str, signer: &str| {
        keep.use_of(&answered(200, TYPE, &answer(head, claims, signer)))
    };
    for signer in ["p", "foreign"] {
        assert_eq!(use_of(HEAD, CLAIMS, signer), Use::Once, "no keys are known");
    }
    let keys = fetched::set("a", &PAIRS.p256);
    cell.fetched(&keys, NOW_S, None, 0).unwrap();
    assert_eq!(use_of(HEAD, CLAIMS, "p"), Use::Keep(AnswerKind::Admits));
    assert_eq!(use_of(HEAD, &inactive, "p"), Use::Keep(AnswerKind::Refuses));
    for claims in [CLAIMS, &inactive] {
        assert_eq!(use_of(HEAD, claims, "foreign"), Use::Unusable);
        let unknown_key = HEAD.replace("\"a\"", "\"b\"");
        assert_eq!(use_of(&unknown_key, claims, "p"), Use::Once);
    }
    // Default of `cache`: 60 seconds.
    let ending = |ends: &str| with("\"iat\"", &format!("\"exp\":{ends},\"iat\""));
    let is_kept = |ends| use_of(HEAD, &ending(ends), "p") == Use::Keep(AnswerKind::Admits);
    assert!(is_kept("1800000060") && !is_kept("1800000059"));
    assert_eq!(use_of(HEAD, &ending("1799999940"), "p"), Use::Unusable);
    assert_eq!(use_of(HEAD, &with("gate way", "other"), "p"), Use::Unusable);
}

#[test]
fn keys_of_signed_answers_are_fetched_once() {
    let (verifier, cell) = signed();
    let mut answers = Answers::default();
    let verify = |answers: &Answers| verifier.verify(TOKEN, NOW_S, None, answers);
    let Verification::Ask(effect) = verify(&answers) else {
        panic!("the endpoint is called first")
    };
    let signed = answered(200, TYPE, &answer(HEAD, CLAIMS, "p"));
    answers.add(effect.id(), Answer::Http(Arc::new(signed)));
    let Verification::Ask(effect) = verify(&answers) else {
        panic!("then the keys are fetched")
    };
    assert_eq!(effect.id(), AskId::of_keys(&cell));
    answers.add(effect.id(), Answer::Fetched);
    assert!(matches!(
        verify(&answers),
        Verification::Fault(Reason::Keys)
    ));
    let keys = fetched::set("a", &PAIRS.p256);
    cell.fetched(&keys, NOW_S, None, 0).unwrap();
    assert!(matches!(verify(&answers), Verification::Valid(_)));
}
