//! Identity that a valid token gives.

use super::json::{Json, Object};
use crate::claims::Claims;

/// The bearer of a valid token. Shared by the requests that show it.
#[derive(Debug)]
pub struct Identity {
    /// `iss`.
    pub issuer: Box<str>,
    /// `sub`.
    pub subject: Option<Box<str>>,
    /// `client_id`, else `azp`: the client that the token was issued to (RFC 9068 §2.2).
    pub client: Option<Box<str>>,
    /// The value of `consumer_claim`, if the verifier has one.
    pub consumer: Option<Box<str>>,
    /// Bytes that no other caller has, made of issuer and subject, else the client. They begin
    /// with NUL, which no consumer's name has.
    pub key: Option<Box<[u8]>>,
    /// All claims.
    pub all: Object,
    /// Claims that have one value.
    pub claims: Claims,
    /// Scopes, sorted.
    pub scopes: Box<[Box<str>]>,
    /// Groups, sorted.
    pub groups: Box<[Box<str>]>,
    /// Second since 1970 from which on the token is refused, leeway included.
    pub ends_s: u64,
    /// sha256 of the signed part, by which the token is revoked: an ECDSA signature has a twin.
    pub sha256: [u8; 32],
}

impl Identity {
    /// True if the token has every one of these scopes.
    #[must_use]
    pub fn has_scopes(&self, wanted: &[Box<str>]) -> bool {
        wanted
            .iter()
            .all(|scope| self.scopes.binary_search(scope).is_ok())
    }

    /// True if a claim has a value, alone or in a list.
    #[must_use]
    pub fn has_claim(&self, name: &str, value: &str) -> bool {
        if let Some(single) = self.claims.get(name) {
            return single == value;
        }
        let all = self.all.get(name).and_then(Json::texts);
        all.is_some_and(|all| all.contains(&value))
    }
}

/// See [`Identity::key`]. The length of the issuer tells where the name begins.
pub(super) fn key(issuer: &str, subject: Option<&str>, client: Option<&str>) -> Option<Box<[u8]>> {
    let (kind, name) = match (subject, client) {
        (Some(subject), _) => (b's', subject),
        (None, Some(client)) => (b'c', client),
        (None, None) => return None,
    };
    let length = issuer.len().to_le_bytes();
    let parts = [&[0, kind][..], &length, issuer.as_bytes(), name.as_bytes()];
    Some(parts.concat().into())
}

/// Claims that have one value: texts, numbers, `true` and `false`.
pub(super) fn single(all: &Object) -> Claims {
    Claims::new(all.iter().filter_map(|(name, value)| {
        let value = match value {
            Json::Text(text) => text.clone(),
            Json::Number(text) => text.clone(),
            Json::Bool(true) => "true".into(),
            Json::Bool(false) => "false".into(),
            Json::Null | Json::List(_) | Json::Object(_) => return None,
        };
        Some((name.into(), value))
    }))
}
