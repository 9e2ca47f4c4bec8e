//! Verification of tokens, of proofs of possession, and of signatures of requests.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderValue;
use policy::Cx;
use policy::RequestHead;
use policy::ask::Effect;
use policy::auth::dpop::ValidProof;
use policy::auth::hmac_signature::{self, Signed};
use policy::auth::jwt::{Identity, Reason, Verification};
use policy::auth::oidc::{self, RequestSession};
use policy::auth::{Fault, Place, TokenRequest, TokenVerifier};

use crate::edge::reported_origin::client_url;
use crate::path::normalise;

/// Cached result of verifying the last token. Several alternatives often require the same token.
#[derive(Default)]
pub(super) struct Verified<'s>(Option<(&'s Arc<TokenVerifier>, &'s Place, TokenResult)>);

pub(super) type TokenResult = Result<Bearer, Fault>;

/// Verified identity of a caller, and data of the proof, signature or session that proved it.
#[derive(Clone)]
pub(super) struct Bearer {
    pub(super) token: Arc<Identity>,
    pub(super) proved: Option<ValidProof>,
    pub(super) signed: Option<Box<Signed>>,
    pub(super) session: Option<Arc<RequestSession>>,
}

impl Bearer {
    fn of(token: Arc<Identity>) -> Self {
        Self {
            token,
            proved: None,
            signed: None,
            session: None,
        }
    }
}

/// Reason why a token does not identify a caller.
pub(super) enum NotValid {
    Fault(Fault),
    Ask(Box<Effect>),
}

impl<'s> Verified<'s> {
    pub(super) fn verify(
        &mut self,
        (verifier, place): (&'s Arc<TokenVerifier>, &'s Place),
        credential: &[u8],
        head: &RequestHead,
        cx: &Cx<'_>,
    ) -> Result<Bearer, NotValid> {
        if let Some((known, at, result)) = &self.0
            && Arc::ptr_eq(known, verifier)
            && *at == place
        {
            return result.clone().map_err(NotValid::Fault);
        }
        let request = TokenRequest {
            unix_s: cx.unix_s,
            cache: cx.tokens,
            answers: &cx.answers,
            presented: cx.presented,
            client_cert: cx.client_cert.as_ref().map(HeaderValue::as_bytes),
            head,
            url: &|| client_url(&head.headers, cx.scheme, cx.authority?, head.path()),
            received: cx.received,
            normalise: |path| normalise(path).ok().map(Cow::into_owned),
        };
        let fault = |reason| Err(Fault::Token(reason));
        let result = match verifier.verify(credential, &request) {
            Verification::Valid(token) | Verification::ValidProof(token, _)
                if is_revoked(&token, cx) =>
            {
                fault(Reason::Revoked)
            }
            Verification::Signed(token, _) if is_revoked(&token, cx) => {
                Err(Fault::Signature(hmac_signature::Reason::Revoked))
            }
            Verification::Session(token, opened) => match ended(&token, &opened, cx) {
                Some(reason) => Err(Fault::Login(reason)),
                None => Ok(Bearer {
                    session: Some(Arc::from(opened)),
                    ..Bearer::of(token)
                }),
            },
            Verification::NoSession(reason) => Err(Fault::Login(reason)),
            Verification::Valid(token) => Ok(Bearer::of(token)),
            Verification::ValidProof(token, proved) => Ok(Bearer {
                proved: Some(proved),
                ..Bearer::of(token)
            }),
            Verification::Signed(token, signed) => Ok(Bearer {
                signed: Some(Box::new(signed)),
                ..Bearer::of(token)
            }),
            Verification::Fault(reason) => fault(reason),
            Verification::Unproved(reason) => Err(Fault::Proof(reason)),
            Verification::Unsigned(reason) => Err(Fault::Signature(reason)),
            Verification::Ask(effect) => return Err(NotValid::Ask(effect)),
        };
        self.0 = Some((verifier, place, result.clone()));
        result.map_err(NotValid::Fault)
    }
}

/// Reason why an open session has ended: its ID token is revoked, or its user logged out.
fn ended(token: &Identity, opened: &RequestSession, cx: &Cx<'_>) -> Option<oidc::Reason> {
    if is_revoked(token, cx) {
        return Some(oidc::Reason::Revoked);
    }
    let is_ended = cx.limits.ended.contains(opened.id, cx.unix_s);
    is_ended.then_some(oidc::Reason::Ended)
}

/// True if the token, or the certificate to which it is bound, is revoked.
fn is_revoked(token: &Identity, cx: &Cx<'_>) -> bool {
    let certificate = token.bound.and_then(|bound| bound.certificate);
    let mut all = std::iter::once(token.sha256).chain(certificate);
    all.any(|sha256| cx.revoked.contains(&sha256))
}
