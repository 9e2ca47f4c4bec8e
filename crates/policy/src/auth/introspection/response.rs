//! Unsigned (RFC 7662 §2.2) and signed (RFC 9701 §5) answers of an introspection endpoint.
//!
//! | Answer | Meaning |
//! |---|---|
//! | status 200, JSON object, `active: true` | the token is active; the members describe it |
//! | status 200, JSON object, `active: false` | the token is not active |
//! | anything else | there is no answer: an outage |
//!
//! A signed answer is a JWT whose claim `token_introspection` is the JSON object of this table. If
//! answers must be signed, an unsigned answer counts as an outage. `exp` and `nbf` of the JWT are
//! checked if they are present (RFC 7519 §4.1), with the leeway of the verifier of signed answers.

use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::ask::{AnswerKind, AnswerVerifier, Answered, Use};
use crate::auth::jwt::json::{self, Json, Object};
use crate::auth::jwt::numeric_date::milliseconds;
use crate::auth::jwt::{self, ANSWER_TYPE};

/// Maximum difference between `iat` of a signed answer and the time of its arrival, in
/// milliseconds.
const AGE_MAX_MS: u64 = 60_000;

/// Parses an unsigned answer. Returns true if the token is active, and the members of the JSON
/// object. `None` for an unusable response.
pub(super) fn read(answered: &Answered) -> Option<(bool, Object)> {
    is_of_type(answered, "json").then_some(())?;
    with_state(json::object(&answered.body).ok()?)
}

/// Text of a signed answer. `None` for a response that is not a signed answer.
pub(super) fn signed_text(answered: &Answered) -> Option<&[u8]> {
    is_of_type(answered, ANSWER_TYPE).then_some(&answered.body[..])
}

/// Parses the claims of a signed answer, whose signature is verified. Returns true if the token is
/// active, and the members of `token_introspection`. `None` if this object is absent, or if `iat`
/// is too far from the time of arrival.
pub(super) fn read_claims(claims: &Object, answered: &Answered) -> Option<(bool, Object)> {
    let made_ms = milliseconds(claims.get("iat")?).ok()?;
    let arrived_ms = answered.unix_s.saturating_mul(1_000);
    if made_ms.abs_diff(arrived_ms) > AGE_MAX_MS {
        return None;
    }
    match claims.get("token_introspection") {
        Some(Json::Object(members)) => with_state(members.clone()),
        _ => None,
    }
}

fn is_of_type(answered: &Answered, subtype: &str) -> bool {
    let kind = answered.headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    let essence = essence.and_then(|essence| essence.split_once('/'));
    let is_same = essence.is_some_and(|(kind, own)| {
        kind.eq_ignore_ascii_case("application") && own.eq_ignore_ascii_case(subtype)
    });
    answered.status == StatusCode::OK && is_same
}

fn with_state(members: Object) -> Option<(bool, Object)> {
    match members.get("active") {
        Some(Json::Bool(active)) => Some((*active, members)),
        _ => None,
    }
}

/// Kind under which an answer is cached: admitting if the token is active, otherwise refusing.
/// `None` for an unusable response.
pub(super) fn kind(answered: &Answered) -> Option<AnswerKind> {
    read(answered).map(|(active, _)| kept(active))
}

/// Signed answers of the endpoint (RFC 9701). The signature is verified before an answer changes
/// the cache. An answer that is signed with an unknown key is not cached: the request that uses it
/// fetches the keys.
impl AnswerVerifier for jwt::Verifier {
    fn is_costly(&self, answered: &Answered) -> bool {
        let text = signed_text(answered);
        text.is_some_and(|text| self.is_costly_answer(text, answered.unix_s))
    }

    fn use_of(&self, answered: &Answered, times_ms: [u64; 2]) -> Use {
        let Some(text) = signed_text(answered) else {
            return Use::Unusable;
        };
        let claims = match self.verified_answer(text, answered.unix_s) {
            Ok(claims) => claims,
            Err(jwt::Reason::Key | jwt::Reason::Keys) => return Use::Once,
            Err(_) => return Use::Unusable,
        };
        let Some((active, _)) = read_claims(&claims, answered) else {
            return Use::Unusable;
        };
        let kind = kept(active);
        let until_ms = answered.unix_s.saturating_mul(1_000);
        let until_ms = until_ms.saturating_add(times_ms[kind as usize]);
        match claims.get("exp").map(milliseconds) {
            Some(Ok(ends_ms)) if ends_ms < until_ms => Use::Once,
            Some(_) | None => Use::Keep(kind),
        }
    }
}

fn kept(active: bool) -> AnswerKind {
    match active {
        true => AnswerKind::Admits,
        false => AnswerKind::Refuses,
    }
}

/// True if the members describe an access token: a bearer token, or a token that is bound to a key
/// (RFC 9449 §6.2). The binding is checked later. Some endpoints also answer about refresh tokens
/// and identity tokens (RFC 7662 §2.1), which must not count as access tokens.
pub(super) fn is_access_token(members: &Object) -> bool {
    let is_one_of = |name: &str, words: &[&str]| {
        let value = members.get(name).map(Json::as_text);
        value.map(|text| {
            text.is_some_and(|text| words.iter().any(|word| text.eq_ignore_ascii_case(word)))
        })
    };
    let is_bound =
        matches!(members.get("cnf"), Some(Json::Object(cnf)) if cnf.get("jkt").is_some());
    let types: &[&str] = if is_bound {
        &["bearer", "dpop"]
    } else {
        &["bearer"]
    };
    let is_bearer = is_one_of("token_type", types).unwrap_or(true);
    let is_used = is_one_of("token_use", &["access", "access_token"]).unwrap_or(true);
    let is_other = is_one_of("typ", &["refresh", "offline", "id", "logout"]).unwrap_or(false);
    is_bearer && is_used && !is_other
}
