//! Answers of an introspection endpoint (RFC 7662 §2.2).
//!
//! | Answer | Meaning |
//! |---|---|
//! | status 200, JSON object, `active: true` | the token is active; the members describe it |
//! | status 200, JSON object, `active: false` | the token is not active |
//! | anything else | there is no answer: an outage |

use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::ask::{Answered, Kept};
use crate::auth::jwt::json::{self, Json, Object};

/// Parses an answer: true if the token is active, with the members of the JSON object. `None` for
/// an unusable response.
pub(super) fn read(answered: &Answered) -> Option<(bool, Object)> {
    let kind = answered.headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok())?;
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if answered.status != StatusCode::OK || !essence.eq_ignore_ascii_case("application/json") {
        return None;
    }
    let members = json::object(&answered.body).ok()?;
    match members.get("active") {
        Some(Json::Bool(active)) => Some((*active, members)),
        _ => None,
    }
}

/// Kind under which an answer is cached: admitting if the token is active, otherwise refusing.
/// `None` for an unusable response.
pub(super) fn kind(answered: &Answered) -> Option<Kept> {
    read(answered).map(|(active, _)| match active {
        true => Kept::Admits,
        false => Kept::Refuses,
    })
}

/// True if the members describe an access token: a bearer token, or a token that is bound to a key
/// (RFC 9449 §6.2). The binding is checked later. Some endpoints also answer about refresh tokens
/// and identity tokens (RFC 7662 §2.1), which must not count as access tokens.
pub(super) fn is_access_token(members: &Object) -> bool {
    let says = |name: &str, words: &[&str]| {
        let said = members.get(name).map(Json::as_text);
        said.map(|text| {
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
    let is_bearer = says("token_type", types).unwrap_or(true);
    let is_used = says("token_use", &["access", "access_token"]).unwrap_or(true);
    let is_other = says("typ", &["refresh", "offline", "id", "logout"]).unwrap_or(false);
    is_bearer && is_used && !is_other
}
