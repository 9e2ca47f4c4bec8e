//! Refusals by authentication, and the choice of one for a request that satisfies no alternative.

use http::HeaderValue;
use policy::Reject;
use policy::auth::dpop;
use policy::auth::hmac_signature;
use policy::auth::jwt::Reason;
use policy::auth::oidc;
use policy::auth::{Fault, mtls};

use super::signature;

pub(super) static MISSING: Reject =
    Reject::new(401, "credential_missing", "Authentication required");
pub(super) static INVALID: Reject =
    Reject::new(401, "credential_invalid", "Authentication required");
pub(super) static AMBIGUOUS: Reject =
    Reject::new(400, "credential_ambiguous", "More than one credential");
pub(super) static CONFLICT: Reject =
    Reject::new(401, "credential_conflict", "Authentication required");

pub(super) static TOKEN_INVALID: Reject =
    Reject::new(401, "token_invalid", "Authentication required");
/// Refusal of a request whose credential expired while its body was sent (`streams: close`).
pub static CREDENTIAL_EXPIRED: Reject = Reject::new(
    401,
    "credential_expired",
    "A credential of the request has expired",
);
pub(super) static CERTIFICATE_INVALID: Reject =
    Reject::new(401, "certificate_invalid", "Authentication required");
pub(super) static KEYS_UNAVAILABLE: Reject = Reject::new(
    503,
    "keys_unavailable",
    "The keys of the issuer cannot be fetched",
);
pub(super) static INTROSPECTION_UNAVAILABLE: Reject = Reject::new(
    503,
    "introspection_unavailable",
    "The token cannot be checked now",
);
pub(super) static PASSWORD_UNCHECKED: Reject = Reject::new(
    503,
    "password_check_unavailable",
    "The password cannot be checked now",
);
static SIGNATURE_UNCHECKED: Reject = Reject::new(
    503,
    "signature_check_unavailable",
    "The signature cannot be verified now",
);
pub(super) static PROOF_INVALID: Reject =
    Reject::new(401, "dpop_proof_invalid", "Authentication required");
pub(super) static NONCE_REQUIRED: Reject =
    Reject::new(401, "dpop_nonce_required", "Authentication required");
pub(super) static PROOFS_FULL: Reject = Reject::new(
    503,
    "dpop_proofs_full",
    "The gateway cannot record another proof now",
);
pub(super) static SIGNATURE_INVALID: Reject =
    Reject::new(401, "signature_invalid", "Authentication required");
pub(super) static SIGNATURES_FULL: Reject = Reject::new(
    503,
    "signatures_full",
    "The gateway cannot store another signature now",
);
pub(super) static REPLAY_UNCHECKED: Reject = Reject::new(
    503,
    "replay_check_unavailable",
    "The gateway cannot check now if the credential was used before",
);
pub(super) static SCOPE_MISSING: Reject = Reject::new(
    403,
    "insufficient_scope",
    "The token does not have the scope",
);
static ROLE_MISSING: Reject = Reject::new(403, "insufficient_role", "The caller lacks a role");

pub(super) static SESSION_INVALID: Reject =
    Reject::new(401, "session_invalid", "Authentication required");
static LOGIN_FAILED: Reject = Reject::new(400, "login_failed", "The login did not succeed");
static LOGIN_DENIED: Reject = Reject::new(
    403,
    "login_denied",
    "The identity provider denied the login",
);
static LOGIN_UNAVAILABLE: Reject = Reject::new(
    503,
    "login_unavailable",
    "The identity provider cannot be reached",
);
static LOGOUT_FOREIGN: Reject = Reject::new(
    403,
    "logout_cross_site",
    "Another site requested the logout",
);

/// All refusals by authentication.
pub(crate) static REJECTS: [&Reject; 24] = [
    &MISSING,
    &INVALID,
    &AMBIGUOUS,
    &CONFLICT,
    &TOKEN_INVALID,
    &CREDENTIAL_EXPIRED,
    &CERTIFICATE_INVALID,
    &SCOPE_MISSING,
    &ROLE_MISSING,
    &KEYS_UNAVAILABLE,
    &INTROSPECTION_UNAVAILABLE,
    &PASSWORD_UNCHECKED,
    &SIGNATURE_UNCHECKED,
    &PROOF_INVALID,
    &NONCE_REQUIRED,
    &PROOFS_FULL,
    &SIGNATURE_INVALID,
    &SIGNATURES_FULL,
    &REPLAY_UNCHECKED,
    &SESSION_INVALID,
    &LOGIN_FAILED,
    &LOGIN_DENIED,
    &LOGIN_UNAVAILABLE,
    &LOGOUT_FOREIGN,
];

/// Refusal for a session that is not accepted, or for a failed login or logout. `reason`: cause.
pub(crate) fn login_refusal(reason: oidc::Reason) -> &'static Reject {
    use oidc::Reason;
    match reason {
        Reason::Sealed | Reason::Expired | Reason::Idle | Reason::Ended | Reason::Revoked => {
            &SESSION_INVALID
        }
        Reason::Denied => &LOGIN_DENIED,
        Reason::Unavailable => &LOGIN_UNAVAILABLE,
        Reason::CrossSite => &LOGOUT_FOREIGN,
        Reason::State
        | Reason::Replayed
        | Reason::Refused
        | Reason::Issuer
        | Reason::Code
        | Reason::Grant
        | Reason::Unusable
        | Reason::IdToken
        | Reason::Nonce
        | Reason::Party
        | Reason::AccessToken
        | Reason::TooLarge => &LOGIN_FAILED,
    }
}

/// Refusal for a token that could not be checked, for example because the keys are unavailable.
/// `None` for any other reason.
pub(super) fn unavailable(reason: Reason) -> Option<&'static Reject> {
    match reason {
        Reason::Keys => Some(&KEYS_UNAVAILABLE),
        Reason::Unverified => Some(&SIGNATURE_UNCHECKED),
        Reason::Introspection | Reason::Unusable => Some(&INTROSPECTION_UNAVAILABLE),
        _ => None,
    }
}

/// Refusal for a proof of possession that is not accepted, by its reason.
pub(super) fn refusal(reason: dpop::Reason) -> &'static Reject {
    match reason {
        dpop::Reason::Nonce => &NONCE_REQUIRED,
        dpop::Reason::Full => &PROOFS_FULL,
        dpop::Reason::StoreUnavailable => &REPLAY_UNCHECKED,
        dpop::Reason::Unverified => &SIGNATURE_UNCHECKED,
        _ => &PROOF_INVALID,
    }
}

/// True if a refusal means that a token is not valid.
pub(super) fn is_token_invalid(reject: &Reject) -> bool {
    reject.code == TOKEN_INVALID.code
}

/// Reasons why no alternative was satisfied.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) invalid: bool,
    pub(super) unchecked: bool,
    pub(super) conflict: bool,
    pub(super) scope_missing: bool,
    pub(super) role_missing: bool,
    pub(super) token: Option<Reason>,
    pub(super) certificate: Option<mtls::Reason>,
    pub(super) proof: Option<dpop::Reason>,
    pub(super) signature: Option<hmac_signature::Reason>,
    pub(super) login: Option<oidc::Reason>,
    /// Nonce that the client must use in its next proof. `None`: no nonce is required.
    pub(super) nonce: Option<HeaderValue>,
}

impl Faults {
    /// Records the reason why a credential is refused. Keeps the first reason other than
    /// [`Reason::Issuer`] and [`mtls::Reason::Name`], which only mean that the credential may be
    /// for another verifier. If a verifier could not check the token, this reason takes precedence
    /// over others, because the verifier might have accepted the token.
    pub(super) fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Token(reason) => {
                let is_later = |known: Reason| {
                    known == Reason::Issuer
                        || unavailable(reason).is_some() && unavailable(known).is_none()
                };
                if self.token.is_none_or(is_later) {
                    self.token = Some(reason);
                }
            }
            Fault::Proof(reason) => {
                self.proof.get_or_insert(reason);
            }
            Fault::Signature(reason) => signature::add(&mut self.signature, reason),
            Fault::Login(reason) => {
                self.login.get_or_insert(reason);
            }
            Fault::Certificate(reason) => {
                let is_other = |known| known == mtls::Reason::Name;
                if self.certificate.is_none_or(is_other) {
                    self.certificate = Some(reason);
                }
            }
        }
    }

    /// Reason of a refusal, for the log. `None` if there is no more specific reason.
    pub(super) fn fault_of(&self, reject: &Reject) -> Option<Fault> {
        if reject.code == CERTIFICATE_INVALID.code {
            return self.certificate.map(Fault::Certificate);
        }
        if let Some(reason) = self.proof.filter(|one| refusal(*one).code == reject.code) {
            return Some(Fault::Proof(reason));
        }
        if let Some(reason) = self.login.filter(|_| reject.code == SESSION_INVALID.code) {
            return Some(Fault::Login(reason));
        }
        if reject.code == SIGNATURE_INVALID.code {
            return self.signature.map(Fault::Signature);
        }
        let is_reported = |fault: &Reason| is_token_invalid(reject) || *fault == Reason::Unusable;
        self.token.filter(is_reported).map(Fault::Token)
    }

    pub(super) fn reject(&self) -> Option<&'static Reject> {
        // `Reason::Issuer` comes from a verifier that expects another issuer. Ignore it if another
        // verifier accepted the token and recorded why the caller is not admitted.
        let is_other = self.scope_missing || self.role_missing || self.conflict;
        let is_foreign = self.token == Some(Reason::Issuer) && is_other;
        match self {
            Self {
                token: Some(reason),
                ..
            } if unavailable(*reason).is_some() => unavailable(*reason),
            Self {
                unchecked: true, ..
            } => Some(&PASSWORD_UNCHECKED),
            Self {
                proof: Some(reason),
                ..
            } => Some(refusal(*reason)),
            Self { token: Some(_), .. } if !is_foreign => Some(&TOKEN_INVALID),
            Self {
                signature: Some(reason),
                ..
            } => Some(signature::refusal(*reason)),
            Self { invalid: true, .. } => Some(&INVALID),
            // Every reason ends the session, except an outage of the provider. An invalid answer to
            // the refresh of the tokens also ends the session.
            Self {
                login: Some(reason),
                ..
            } => Some(match login_refusal(*reason) {
                refusal if refusal.code == LOGIN_UNAVAILABLE.code => refusal,
                _ => &SESSION_INVALID,
            }),
            Self {
                certificate: Some(_),
                ..
            } => Some(&CERTIFICATE_INVALID),
            Self { conflict: true, .. } => Some(&CONFLICT),
            Self {
                scope_missing: true,
                ..
            } => Some(&SCOPE_MISSING),
            Self {
                role_missing: true, ..
            } => Some(&ROLE_MISSING),
            _ => None,
        }
    }
}
