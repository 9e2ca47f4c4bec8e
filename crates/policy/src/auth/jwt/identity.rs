//! Identity of a caller, from a token or a client certificate.

use super::json::{ALLOCATION_BYTES, Json, Object};
use crate::auth::binding::Confirmation;
use crate::claims::Claims;

/// Identity of a caller, from the claims of a valid token, from an endpoint's answer about a token,
/// or from a certificate. Requests with the same credential share one identity.
#[derive(Debug)]
pub struct Identity {
    /// Claim `iss`. Empty for a certificate.
    pub issuer: Box<str>,
    /// Claim `sub`. `None` if the credential has no subject.
    pub subject: Option<Box<str>>,
    /// Claim `client_id`, otherwise `azp`: the client to which the token was issued (RFC 9068
    /// §2.2). `None` without either claim.
    pub client: Option<Box<str>>,
    /// Value of the claim that the setting `consumer_claim` names. `None` if the setting or the
    /// claim is absent.
    pub consumer: Option<Box<str>>,
    /// Bytes that identify the caller: issuer and subject, or issuer and client. The first byte is
    /// NUL, so that the bytes differ from every consumer's name. `None` if the token has neither
    /// subject nor client.
    pub key: Option<Box<[u8]>>,
    /// All claims of the token or the endpoint's answer.
    pub all: Object,
    /// Proofs that each request with the token must contain. `None` for a token without binding.
    pub bound: Option<Confirmation>,
    /// Claims that have a single value.
    pub claims: Claims,
    /// Scopes, sorted.
    pub scopes: Box<[Box<str>]>,
    /// Groups, sorted.
    pub groups: Box<[Box<str>]>,
    /// Time from which the token is refused, leeway included (Unix time, seconds). `u64::MAX` if
    /// the expiry of the token is unknown.
    pub ends_s: u64,
    /// SHA-256 that identifies the credential in revocation lists. For a JWT: of its signed part,
    /// because an ECDSA signature has a second valid form. For another token: of the whole token.
    /// For a certificate: of its DER encoding.
    pub sha256: [u8; 32],
}

impl Identity {
    /// Creates an identity from these claims. Issuer, client, consumer, scopes and groups are
    /// empty.
    pub(in crate::auth) fn of_claims(
        all: Object,
        subject: Option<&str>,
        key: Box<[u8]>,
        ends_s: u64,
        sha256: [u8; 32],
    ) -> Self {
        Self {
            issuer: "".into(),
            subject: subject.map(Into::into),
            client: None,
            consumer: None,
            key: Some(key),
            claims: single(&all),
            all,
            bound: None,
            scopes: Box::default(),
            groups: Box::default(),
            ends_s,
            sha256,
        }
    }

    /// Estimated size in memory, in bytes.
    pub(in crate::auth) fn bytes(&self) -> usize {
        let names = [&self.subject, &self.client, &self.consumer];
        let names = names.into_iter().flatten().chain([&self.issuer]);
        let words = self.scopes.iter().chain(&self.groups);
        let texts = names.chain(words).map(|text| ALLOCATION_BYTES + text.len());
        let key = self.key.as_ref().map_or(0, |key| key.len());
        let lists = size_of_val(&*self.scopes) + size_of_val(&*self.groups);
        let own = size_of::<Self>() + key + lists + texts.sum::<usize>();
        own + self.all.bytes() + self.claims.bytes()
    }

    /// True if the token has all wanted scopes.
    #[must_use]
    pub fn has_scopes(&self, wanted: &[Box<str>]) -> bool {
        wanted
            .iter()
            .all(|scope| self.scopes.binary_search(scope).is_ok())
    }

    /// True if the claim has the value, as its only value or in its list.
    #[must_use]
    pub fn has_claim(&self, name: &str, value: &str) -> bool {
        if let Some(single) = self.claims.get(name) {
            return single == value;
        }
        let all = self.all.get(name).and_then(Json::texts);
        all.is_some_and(|all| all.contains(&value))
    }
}

/// Creates the bytes of [`Identity::key`]. The length of the issuer precedes the issuer, so that
/// two different pairs of issuer and name never have the same bytes.
pub(in crate::auth) fn key(
    issuer: &str,
    subject: Option<&str>,
    client: Option<&str>,
) -> Option<Box<[u8]>> {
    let (kind, name) = match (subject, client) {
        (Some(subject), _) => (b's', subject),
        (None, Some(client)) => (b'c', client),
        (None, None) => return None,
    };
    let length = issuer.len().to_le_bytes();
    let parts = [&[0, kind][..], &length, issuer.as_bytes(), name.as_bytes()];
    Some(parts.concat().into())
}

/// Selects the claims that have a single value: a string, a number, `true` or `false`.
pub(in crate::auth) fn single(all: &Object) -> Claims {
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
