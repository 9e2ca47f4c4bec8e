//! Caller of a request: the owner of all credentials that one alternative requires.

use std::sync::Arc;

use policy::auth::Refused;
use policy::auth::dpop::{self, ValidProof};
use policy::auth::hmac_signature::Signed;
use policy::auth::jwt::Identity;
use policy::auth::oidc::RequestSession;
use policy::guard::authorize::ROLES;
use policy::{Cx, NO_CLAIMS, Principal};

use crate::consumers::Consumer;

/// Credential that a verifier has accepted.
pub(super) struct VerifiedCredential {
    pub(super) sha256: [u8; 32],
    /// Time from which the credential is refused (Unix time, seconds). `u64::MAX` for a credential
    /// that does not expire.
    pub(super) ends_s: u64,
    /// Index of the consumer that owns the credential. `None`: no consumer owns it.
    pub(super) consumer: Option<u32>,
    pub(super) token: Option<Arc<Identity>>,
    /// DPoP proof with which the token was sent. `None` for a token without a proof.
    pub(super) proved: Option<ValidProof>,
    /// Data of the request's signature. `None` if the credential is not a signature.
    pub(super) signed: Option<Box<Signed>>,
    /// Session of the browser. `None` if the credential is not a session.
    pub(super) session: Option<Arc<RequestSession>>,
}

impl VerifiedCredential {
    /// True if the owner of the credential has all of these roles: values of the claim `roles` of
    /// the consumer, otherwise of the token.
    pub(super) fn has_roles(&self, roles: &[Box<str>], consumers: &[Consumer]) -> bool {
        if roles.is_empty() {
            return true;
        }
        let consumer = self
            .consumer
            .and_then(|index| consumers.get(index as usize));
        let token = self.token.as_ref();
        roles.iter().all(|role| {
            let own = consumer.and_then(|one| one.claims.has(ROLES, role));
            own.unwrap_or_else(|| token.is_some_and(|token| token.has_claim(ROLES, role)))
        })
    }
}

/// Owner of the credentials that one alternative requires.
#[derive(Default)]
pub(super) struct Caller<'s> {
    pub(super) consumer: Option<u32>,
    pub(super) token: Option<Arc<Identity>>,
    /// Tokens after the first one, if the alternative requires several.
    more: Vec<Arc<Identity>>,
    /// Tokens of an alternative with several credentials, each with the index of its scheme.
    /// Excludes tokens whose scheme passes no claims to the upstream.
    pub(super) passed: Vec<(usize, Arc<Identity>)>,
    /// Scheme of the alternative's first credential.
    pub(super) scheme: Option<&'s str>,
    pub(super) proved: Option<ValidProof>,
    /// Data of the request's signatures that are among the credentials.
    pub(super) signed: Vec<Signed>,
    /// Session of the browser. `None` if none of the credentials is a session.
    pub(super) session: Option<Arc<RequestSession>>,
}

impl<'s> Caller<'s> {
    /// Adds a credential to the caller. Returns false if the credential belongs to another consumer
    /// or subject than a credential that was added before.
    pub(super) fn join(&mut self, known: VerifiedCredential, scheme: &'s str) -> bool {
        self.scheme.get_or_insert(scheme);
        self.proved = self.proved.or(known.proved);
        self.signed.extend(known.signed.map(|signed| *signed));
        self.session = self.session.take().or(known.session);
        let differs = |(a, b): (u32, u32)| a != b;
        let two_consumers = self.consumer.zip(known.consumer).is_some_and(differs);
        let differ = |a: &Arc<Identity>, b: &Arc<Identity>| {
            let both_named = a.key.is_some() && b.key.is_some();
            both_named && a.issuer == b.issuer && a.key != b.key
        };
        let two_bearers = known.token.as_ref().is_some_and(|token| {
            let mut before = self.token.iter().chain(&self.more);
            before.any(|other| differ(other, token))
        });
        let one_consumer = self.consumer.is_some() && self.consumer == known.consumer;
        self.consumer = self.consumer.or(known.consumer);
        match self.token {
            None => self.token = known.token,
            Some(_) => self.more.extend(known.token),
        }
        !two_consumers && (!two_bearers || one_consumer)
    }

    pub(super) fn principal(&mut self, consumers: &'s [Consumer]) -> Option<Principal<'s>> {
        let consumer = self
            .consumer
            .and_then(|index| consumers.get(index as usize));
        if consumer.is_none() && self.token.is_none() {
            return None;
        }
        Some(Principal {
            consumer: consumer.map(|one| &*one.name),
            scheme: self.scheme?,
            claims: consumer.map_or(NO_CLAIMS, |one| &one.claims),
            groups: consumer.map_or(&[], |one| &one.groups),
            plan: consumer.and_then(|one| one.plan.as_deref()),
            token: self.token.take(),
        })
    }
}

/// Stores the DPoP proof of an admitted request as used. `is_shared`: true if a store has recorded
/// it. Fails if the proof was used before.
pub(super) fn remember(
    (proved, is_shared): (&ValidProof, bool),
    caller: &Caller<'_>,
    cx: &Cx<'_>,
) -> Result<(), dpop::Reason> {
    let token = caller.token.as_ref();
    let key = token.and_then(|token| token.key.as_deref());
    let owner = key.unwrap_or(&proved.key);
    let proofs = &cx.limits.proofs;
    let kept = proofs.remember_for(proved.proof, (owner, is_shared), cx.unix_s, proved.life);
    kept.map_err(|full| match full {
        Refused::Replayed => dpop::Reason::Replayed,
        Refused::Full => dpop::Reason::Full,
    })
}

#[cfg(test)]
mod tests {
    use policy::Claims;
    use policy::declared::Settings;

    use super::*;

    fn credential(issuer: &str, subject: &str) -> VerifiedCredential {
        let identity = Identity {
            issuer: issuer.into(),
            subject: Some(subject.into()),
            client: None,
            consumer: None,
            key: Some(format!("\0{issuer} {subject}").into_bytes().into()),
            all: Default::default(),
            bound: None,
            claims: Claims::of(&Settings::default()),
            scopes: [].into(),
            groups: [].into(),
            ends_s: u64::MAX,
            sha256: [0; 32],
        };
        VerifiedCredential {
            sha256: [0; 32],
            ends_s: u64::MAX,
            consumer: None,
            token: Some(Arc::new(identity)),
            proved: None,
            signed: None,
            session: None,
        }
    }

    #[test]
    fn two_subjects_of_one_issuer_are_a_conflict() {
        for (tokens, is_one) in [
            (&[("a", "p"), ("b", "p")][..], true),
            (&[("a", "p"), ("a", "q")], false),
            (&[("a", "p"), ("b", "q"), ("b", "q")], true),
            (&[("a", "p"), ("b", "q"), ("b", "r")], false),
        ] {
            let mut caller = Caller::default();
            let joined: Vec<bool> = tokens
                .iter()
                .map(|(issuer, subject)| caller.join(credential(issuer, subject), "s"))
                .collect();
            assert_eq!(joined.iter().all(|one| *one), is_one, "{tokens:?}");
            assert_eq!(caller.token.unwrap().subject.as_deref(), Some("p"));
        }
    }
}
