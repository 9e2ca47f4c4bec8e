//! Requests to the token endpoint (RFC 6749 §4.1.3, §6) and the checks of its answers (OpenID
//! Connect Core §3.1.3, §12.2).

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use zeroize::Zeroizing;

use super::login::{Outcome, fields};
use super::provider::Metadata;
use super::{Login, Reason, Session, TIMEOUT_MS};
use crate::ask::{
    Answer, AnswerKind, Answered, Answers, AskId, Call, CallKind, Effect, Keep, KindOf,
};
use crate::auth::introspection::form;
use crate::auth::jwt::json::{self, Json, Object};
use crate::auth::jwt::{self, Algorithm, Identity, Verification, parse};
use crate::auth::token::TokenRequest;
use crate::endpoint::Endpoint;

/// Maximum length of an answer of the token endpoint, in bytes: 64 KiB.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Cache times of the answer to a refresh, in milliseconds: first for new tokens, then for a
/// refusal. Requests that the browser sends meanwhile with the old cookie get the same tokens.
const REFRESHED_MS: [u64; 2] = [30_000, 5_000];
/// Time until the next refresh is tried after an outage of the provider, in seconds.
const RETRY_S: u64 = 30;
/// Minimum and maximum time after which tokens are refreshed, in seconds. Within these limits, the
/// time is the lifetime of the access token.
const FRESH_S: [u64; 2] = [10, 86_400];
/// Lifetime of an access token if the provider's answer contains none, in seconds.
const FRESH_DEFAULT_S: u64 = 300;

/// Tokens in a valid answer of the token endpoint.
pub(super) struct Tokens {
    id_token: Option<String>,
    access_token: String,
    refresh_token: Option<String>,
    scope: Option<String>,
    expires_s: u64,
}

impl Tokens {
    fn read(answered: &Answered) -> Option<Self> {
        let kind = answered.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if answered.status != StatusCode::OK || !essence.eq_ignore_ascii_case("application/json") {
            return None;
        }
        let members = json::object(&answered.body).ok()?;
        let text = |name: &str| match members.get(name) {
            None | Some(Json::Null) => Some(None),
            Some(Json::Text(text)) => Some(Some(text.to_string())),
            Some(_) => None,
        };
        let is_bearer = text("token_type")??.eq_ignore_ascii_case("bearer");
        let expires_s = match members.get("expires_in") {
            Some(Json::Number(text)) => text.parse().ok(),
            Some(Json::Text(text)) => text.parse().ok(),
            _ => None,
        };
        let read = Self {
            id_token: text("id_token")?,
            access_token: text("access_token")??,
            refresh_token: text("refresh_token")?,
            scope: text("scope")?,
            expires_s: expires_s
                .unwrap_or(FRESH_DEFAULT_S)
                .clamp(FRESH_S[0], FRESH_S[1]),
        };
        is_bearer.then_some(read)
    }
}

/// Kind under which an answer of the token endpoint is cached. `None` for an unusable answer.
fn kind(answered: &Answered) -> Option<AnswerKind> {
    match answered.status.as_u16() {
        200 => Tokens::read(answered).map(|_| AnswerKind::Admits),
        400 | 401 => Some(AnswerKind::Refuses),
        _ => None,
    }
}

impl Login {
    /// Id of the request that exchanges the code of a login for tokens. `state` identifies the
    /// login.
    pub(super) fn code_id(&self, state: &str) -> AskId {
        AskId::new(CallKind::Login, &[b"code", state.as_bytes()])
    }

    /// Creates the request that exchanges a code for tokens.
    pub(super) fn ask_code(
        &self,
        id: AskId,
        metadata: &Metadata,
        grant: [(&str, &str); 3],
    ) -> Outcome {
        let [code, uri, verifier] = grant;
        let parameters = [("grant_type", "authorization_code"), code, uri, verifier];
        let keep = Keep {
            times_ms: [0, 0],
            stale_ms: 0,
            kind: KindOf::Unsigned(|_| None),
        };
        match self.call(id, Some(metadata), &parameters, keep) {
            Some(call) => Outcome::Ask(Box::new(Effect::Http(Box::new(call)))),
            None => Outcome::Fault(Reason::Unavailable),
        }
    }

    /// Refreshes the tokens of a session. While the provider is unavailable, the session keeps its
    /// old tokens.
    ///
    /// # Errors
    /// [`Outcome::Ask`] if the provider has not answered the request for new tokens yet.
    /// [`Outcome::Fault`] if the session has ended.
    pub(super) fn refreshed(
        &self,
        session: Session,
        request: &TokenRequest<'_>,
    ) -> Result<Session, Outcome> {
        let Some(token) = session.refresh_token.as_deref() else {
            return Ok(Session {
                refresh_s: None,
                ..session
            });
        };
        let id = AskId::new(
            CallKind::Login,
            &[b"refresh", &session.id, token.as_bytes()],
        );
        let later = |session: Session| {
            Ok(Session {
                refresh_s: Some(request.unix_s + RETRY_S),
                ..session
            })
        };
        let answered = match request.answers.get(&id) {
            Some(Answer::Http(answered)) => answered,
            Some(_) => return later(session),
            None => {
                let set = self.known_metadata();
                let metadata = set.as_deref().and_then(Metadata::of);
                let parameters = [("grant_type", "refresh_token"), ("refresh_token", token)];
                let keep = Keep {
                    times_ms: REFRESHED_MS,
                    stale_ms: 0,
                    kind: KindOf::Unsigned(kind),
                };
                return match self.call(id, metadata, &parameters, keep) {
                    Some(call) => Err(Outcome::Ask(Box::new(Effect::Http(Box::new(call))))),
                    None => later(session),
                };
            }
        };
        if matches!(answered.status.as_u16(), 400 | 401) {
            return match error(answered).as_deref() {
                // The provider refuses the gateway's own credentials, perhaps because the client
                // secret is being replaced, or is unavailable. Keep the session and try again
                // later.
                Some("invalid_client" | "temporarily_unavailable") => later(session),
                _ => Err(Outcome::Fault(Reason::Ended)),
            };
        }
        let Some(tokens) = Tokens::read(answered) else {
            return later(session);
        };
        let mut next = session;
        if let Some(id_token) = tokens.id_token.clone() {
            match self.check_next(&next, &id_token, &tokens, request) {
                Ok(()) => next.id_token = id_token,
                Err(Outcome::Fault(Reason::Unavailable)) => return later(next),
                Err(outcome) => return Err(outcome),
            }
        }
        next.refresh_s = Some(request.unix_s + tokens.expires_s);
        next.scope = tokens.scope.unwrap_or(next.scope);
        next.refresh_token = tokens.refresh_token.or(next.refresh_token);
        Ok(next)
    }

    /// Checks the ID token that a refresh returned: it must belong to the same user (Core §12.2).
    fn check_next(
        &self,
        session: &Session,
        id_token: &str,
        tokens: &Tokens,
        request: &TokenRequest<'_>,
    ) -> Result<(), Outcome> {
        let identity = self.verified(id_token, tokens, request.unix_s, request.answers)?;
        let before = self
            .id_tokens
            .identity_of(session.id_token.as_bytes(), u64::MAX);
        let before = before.map_err(|_| Outcome::Fault(Reason::Sealed))?;
        let nonce = identity.all.get("nonce");
        let is_same_login = nonce.is_none() || nonce == before.all.get("nonce");
        match identity.subject == before.subject && is_same_login {
            true => Ok(()),
            false => Err(Outcome::Fault(Reason::IdToken)),
        }
    }

    /// Creates a session from the answer of the token endpoint to a code.
    ///
    /// # Errors
    /// [`Outcome::Fault`] if the answer is not accepted. [`Outcome::Ask`] if the keys of ID tokens
    /// must be fetched first.
    pub(super) fn begun(
        &self,
        answered: &Answered,
        (nonce, id): (&str, [u8; 16]),
        (unix_s, answers): (u64, &Answers),
    ) -> Result<Session, Outcome> {
        let fault = |reason| Err(Outcome::Fault(reason));
        match answered.status.as_u16() {
            200 => {}
            400 | 401 => return fault(Reason::Grant),
            _ => return fault(Reason::Unavailable),
        }
        let Some(tokens) = Tokens::read(answered) else {
            return fault(Reason::Unusable);
        };
        let Some(id_token) = tokens.id_token.clone() else {
            return fault(Reason::Unusable);
        };
        let identity = self.verified(&id_token, &tokens, unix_s, answers)?;
        if identity.all.get("nonce").and_then(Json::as_text) != Some(nonce) {
            return fault(Reason::Nonce);
        }
        let scope = || self.settings.scopes.join(" ");
        let refresh_token = tokens.refresh_token;
        Ok(Session {
            id,
            began_s: unix_s,
            seen_s: unix_s,
            refresh_s: refresh_token.as_ref().map(|_| unix_s + tokens.expires_s),
            id_token,
            refresh_token,
            scope: tokens.scope.unwrap_or_else(scope),
        })
    }

    /// Verifies an ID token and returns its identity (Core §3.1.3.7).
    fn verified(
        &self,
        id_token: &str,
        tokens: &Tokens,
        unix_s: u64,
        answers: &Answers,
    ) -> Result<Arc<Identity>, Outcome> {
        let fault = |reason| Err(Outcome::Fault(reason));
        let verification = self
            .id_tokens
            .verify_or_ask(id_token.as_bytes(), unix_s, None, answers);
        let identity = match verification {
            Verification::Valid(identity) => identity,
            Verification::Ask(effect) => return Err(Outcome::Ask(effect)),
            Verification::Fault(jwt::Reason::Keys | jwt::Reason::Unverified) => {
                return fault(Reason::Unavailable);
            }
            _ => return fault(Reason::IdToken),
        };
        if !self.is_for_us(&identity.all) {
            return fault(Reason::Party);
        }
        match identity.all.get("at_hash") {
            None => {}
            Some(Json::Text(hash)) if **hash == *at_hash(id_token, &tokens.access_token) => {}
            Some(_) => return fault(Reason::AccessToken),
        }
        Ok(identity)
    }

    /// True if an ID token was issued to this client and has no unknown audience.
    fn is_for_us(&self, claims: &Object) -> bool {
        let client = self.settings.client_id.as_str();
        let audience = claims.get("aud").and_then(Json::texts).unwrap_or_default();
        let is_known =
            |one: &&str| *one == client || self.settings.audience.iter().any(|known| known == one);
        let party = claims.get("azp").map(Json::as_text);
        let is_party = match party {
            Some(party) => party == Some(client),
            None => audience.len() == 1,
        };
        is_party && audience.iter().all(is_known)
    }

    /// Builds the request to the token endpoint. `None` if the endpoint's URL is not known.
    fn call(
        &self,
        id: AskId,
        metadata: Option<&Metadata>,
        parameters: &[(&str, &str)],
        keep: Keep,
    ) -> Option<Call> {
        let endpoint = self.token_endpoint(metadata)?;
        let settings = &self.settings;
        let mut body = Zeroizing::new(fields(parameters));
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/json")),
            (USER_AGENT, HeaderValue::from_static("gwd")),
            (CONTENT_TYPE, kind),
        ]);
        let secret = self.client_secret.value();
        let [client, secret] = [settings.client_id.as_bytes(), &secret].map(form);
        let secret = Zeroizing::new(secret);
        if metadata.is_some_and(|metadata| metadata.secret_in_form) {
            let pair = format!("&client_id={client}&client_secret={}", &*secret);
            body.push_str(&Zeroizing::new(pair));
        } else {
            let pair = Zeroizing::new(format!("{client}:{}", &*secret));
            let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
            let mut basic = HeaderValue::try_from(basic.as_str()).ok()?;
            basic.set_sensitive(true);
            headers.insert(AUTHORIZATION, basic);
        }
        Some(Call {
            id,
            kind: CallKind::Login,
            upstream: endpoint.origin.into(),
            method: Method::POST,
            target: PathAndQuery::try_from(endpoint.target).ok()?,
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
            tells_client: false,
            timeout_ms: settings.timeout_ms.unwrap_or(TIMEOUT_MS),
            body_bytes_max: ANSWER_BYTES_MAX,
            keep,
        })
    }

    /// URL of the token endpoint: from the settings, otherwise from the metadata. A URL of the
    /// metadata must have the issuer's origin.
    fn token_endpoint(&self, metadata: Option<&Metadata>) -> Option<Endpoint> {
        if let Some(url) = &self.settings.token_url {
            return Endpoint::of(url);
        }
        let endpoint = Endpoint::of(metadata?.token.as_deref()?)?;
        let own = Endpoint::of(&self.settings.issuer)?;
        (endpoint.origin == own.origin).then_some(endpoint)
    }
}

/// Error code in a refusal by the token endpoint (member `error`, RFC 6749 §5.2).
fn error(answered: &Answered) -> Option<String> {
    let members = json::object(&answered.body).ok()?;
    members.get("error")?.as_text().map(str::to_owned)
}

/// Value of `at_hash` for an access token (Core §3.1.3.6): the first half of the access token's
/// hash. The hash function is that of the ID token's algorithm.
fn at_hash(id_token: &str, access_token: &str) -> String {
    let algorithm = parse(id_token.as_bytes(), u64::MAX).map(|token| token.algorithm);
    let hash = match algorithm {
        Ok(Algorithm::Rs384 | Algorithm::Ps384 | Algorithm::Es384 | Algorithm::Hs384) => {
            &digest::SHA384
        }
        Ok(Algorithm::Rs512 | Algorithm::Ps512 | Algorithm::Hs512 | Algorithm::EdDsa) => {
            &digest::SHA512
        }
        Ok(Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 | Algorithm::Hs256) | Err(_) => {
            &digest::SHA256
        }
    };
    let hash = digest::digest(hash, access_token.as_bytes());
    let hash = hash.as_ref();
    URL_SAFE_NO_PAD.encode(&hash[..hash.len() / 2])
}
