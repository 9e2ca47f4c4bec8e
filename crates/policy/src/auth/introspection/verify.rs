//! Verification of a token by the answer of its introspection endpoint (RFC 7662 §2, §4).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    ANSWER_BYTES_MAX, CACHE_INACTIVE_MS, CACHE_MS, Checked, STALE_FOR_MS, TIMEOUT_MS, response,
};
use crate::ask::{Answer, Answered, Answers, AskId, Call, CallKind, Effect, Keep, KindOf};
use crate::auth::binding::{Binding, Confirmation};
use crate::auth::jwt::identity::{key, single};
use crate::auth::jwt::json::{self, Json, Object};
use crate::auth::jwt::numeric_date::milliseconds;
use crate::auth::jwt::verify::{name, words};
use crate::auth::jwt::{
    self, GROUPS_CLAIM, Identity, Reason, TOKEN_BYTES, TokenCache, Verification, signed_part,
};
use crate::endpoint::Endpoint;
use crate::key_cell::KeyCell;
use crate::secret::{Form, SecretCell, SecretUnavailable, Secrets};

/// Allowed clock difference for `nbf` and `iat`, in milliseconds.
const LEEWAY_MS: u64 = 60_000;

/// Verifier that sends each token to an introspection endpoint.
pub struct Verifier {
    settings: Checked,
    /// Hash of the settings: verifiers with equal settings share cached answers.
    id: [u8; 32],
    upstream: Arc<str>,
    target: PathAndQuery,
    secret: Arc<SecretCell>,
    /// Verifier of signed answers. `None`: answers are unsigned.
    answers: Option<Arc<jwt::Verifier>>,
    #[cfg(feature = "author")]
    takes_witnesses: bool,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Checked {
    /// Builds the run-time verifier.
    ///
    /// # Errors
    /// The secret of the OAuth client cannot be resolved.
    pub fn verifier(&self, secrets: &dyn Secrets) -> Result<Verifier, SecretUnavailable> {
        let endpoint = Endpoint::of(&self.url);
        let target = endpoint.as_ref().map(|one| one.target.as_str());
        let target =
            PathAndQuery::try_from(target.unwrap_or("/")).unwrap_or(PathAndQuery::from_static("/"));
        Ok(Verifier {
            id: Sha256::digest(minicbor::to_vec(self).unwrap_or_default()).into(),
            upstream: endpoint.map_or_else(String::new, |one| one.origin).into(),
            target,
            secret: secrets.cell(&self.client_secret, Form::FieldValue)?,
            answers: match self.answers() {
                Some(answers) => Some(Arc::new(answers.verifier(secrets)?)),
                None => None,
            },
            settings: self.clone(),
            #[cfg(feature = "author")]
            takes_witnesses: secrets.takes_witnesses(),
        })
    }
}

impl Verifier {
    /// Handling of tokens bound to the client's certificate. `None`: such tokens are refused.
    pub(in crate::auth) fn binding(&self) -> Option<Binding> {
        self.settings.binding
    }

    /// Expected issuer of the tokens, if the settings contain one.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.settings.issuer.as_deref()
    }

    /// Verifies a token at a time (Unix time, seconds), except its binding. Returns the request to
    /// the endpoint if neither `cache` nor `answers` has the endpoint's answer.
    #[must_use]
    pub(in crate::auth) fn verify(
        &self,
        token: &[u8],
        unix_s: u64,
        cache: Option<&TokenCache>,
        answers: &Answers,
    ) -> Verification {
        if let Err(reason) = self.check_form(token) {
            return Verification::Fault(reason);
        }
        #[cfg(feature = "author")]
        if let Some(members) = self.witnessed(token) {
            return verification(self.check(token, &members, unix_s));
        }
        let cached_as = Sha256::new_with_prefix(self.id).chain_update(token);
        let cached_as: [u8; 32] = cached_as.finalize().into();
        if let Some(known) = cache.and_then(|cache| cache.get(&cached_as, unix_s)) {
            return Verification::Valid(known);
        }
        let id = AskId::new(CallKind::Introspection, &[&cached_as]);
        let answered = match answers.get(&id) {
            None => return self.ask(id, token),
            Some(Answer::Http(answered)) => answered,
            Some(
                Answer::Outage(_)
                | Answer::Fetched
                | Answer::Counted(_)
                | Answer::Examined(_)
                | Answer::Permit(_)
                | Answer::Processed(_),
            ) => {
                return Verification::Fault(Reason::Introspection);
            }
        };
        #[cfg(feature = "author")]
        if self.takes_witnesses && answered.body.is_empty() {
            return verification(self.assumed(answered, token, unix_s));
        }
        let (members, answer_ends_s) = match self.read(answered, unix_s, answers) {
            Ok((true, members, ends_s)) => (members, ends_s),
            Ok((false, ..)) => return Verification::Fault(Reason::Inactive),
            Err(verification) => return *verification,
        };
        let identity = match self.check(token, &members, unix_s) {
            Ok(identity) => Arc::new(identity),
            Err(reason) => return Verification::Fault(reason),
        };
        let cache_ms = self.settings.cache_ms.unwrap_or(CACHE_MS);
        let until_s = answered.unix_s + cache_ms / 1_000;
        let until_s = until_s.min(identity.ends_s).min(answer_ends_s);
        // Do not cache an answer that is too old, or that lies in the future because the clock went
        // back.
        if let Some(cache) = cache
            && (answered.unix_s..until_s).contains(&unix_s)
        {
            cache.keep(
                cached_as,
                &identity,
                identity.bytes(),
                answered.unix_s..until_s,
            );
        }
        Verification::Valid(identity)
    }

    /// Reads the answer of the endpoint. Returns true if the token is active, the members about the
    /// token, and the expiry of the answer (Unix time, seconds). If answers are signed, verifies
    /// the signature first.
    ///
    /// # Errors
    /// The answer cannot be used, or the keys of signed answers must be fetched first.
    fn read(
        &self,
        answered: &Answered,
        unix_s: u64,
        answers: &Answers,
    ) -> Result<(bool, Object, u64), Box<Verification>> {
        let unusable = || Box::new(Verification::Fault(Reason::Unusable));
        let Some(verifier) = &self.answers else {
            let read = response::read(answered);
            return read
                .map(|(active, members)| (active, members, u64::MAX))
                .ok_or_else(unusable);
        };
        let text = response::signed_text(answered).ok_or_else(unusable)?;
        let claims = verifier.verify_response(text, unix_s, answers);
        let claims = claims.map_err(|verification| match *verification {
            // Replace any other reason of the verifier by `Unusable`: the endpoint sent a bad
            // answer, and the client's token may be valid.
            Verification::Fault(reason) if !matches!(reason, Reason::Keys | Reason::Unverified) => {
                unusable()
            }
            _ => verification,
        })?;
        let (active, members) = response::read_claims(&claims, answered).ok_or_else(unusable)?;
        let ends_ms = claims.get("exp").and_then(|ends| milliseconds(ends).ok());
        Ok((
            active,
            members,
            ends_ms.map_or(u64::MAX, |ends| ends / 1_000),
        ))
    }

    /// Fetched keys of signed answers, with the state of their fetches. `None` if answers are
    /// unsigned.
    #[must_use]
    pub fn key_cell(&self) -> Option<&Arc<KeyCell>> {
        self.answers.as_ref().and_then(|answers| answers.key_cell())
    }

    /// Checks a token before it is sent to the endpoint: its length, its characters (RFC 6750 §2.1)
    /// and, if it is a JWT, its issuer. A token of another issuer is not sent.
    fn check_form(&self, token: &[u8]) -> Result<(), Reason> {
        if token.len() as u64 > self.settings.token_bytes.unwrap_or(TOKEN_BYTES) {
            return Err(Reason::TooLarge);
        }
        let end = token.iter().rposition(|byte| *byte != b'=');
        let body = end.map_or(&[][..], |end| &token[..=end]);
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
        if body.is_empty() || !body.iter().all(fits) {
            return Err(Reason::Malformed);
        }
        let named = self.issuer().and_then(|_| parts(token));
        let named = named.as_ref().and_then(|[_, claims]| claims.get("iss"));
        match named {
            Some(issuer) if issuer.as_text() != self.issuer() => Err(Reason::Issuer),
            _ => Ok(()),
        }
    }

    /// Creates the request to the endpoint about a token (RFC 7662 §2.1). The gateway authenticates
    /// to the endpoint with HTTP Basic; its client id and secret are form-encoded (RFC 6749
    /// §2.3.1).
    fn ask(&self, id: AskId, token: &[u8]) -> Verification {
        let secret = self.secret.value();
        let mut pair = Zeroizing::new(form(self.settings.client_id.as_bytes()));
        pair.push(':');
        pair.push_str(&Zeroizing::new(form(&secret)));
        let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let Ok(mut authorization) = HeaderValue::try_from(basic.as_str()) else {
            return Verification::Fault(Reason::Introspection);
        };
        authorization.set_sensitive(true);
        let accepted = match self.answers {
            Some(_) => "application/token-introspection+jwt",
            None => "application/json",
        };
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let body = format!("token={}&token_type_hint=access_token", form(token));
        Verification::Ask(Box::new(Effect::Http(Box::new(Call {
            id,
            kind: CallKind::Introspection,
            upstream: Arc::clone(&self.upstream),
            method: Method::POST,
            target: self.target.clone(),
            headers: HeaderMap::from_iter([
                (ACCEPT, HeaderValue::from_static(accepted)),
                (USER_AGENT, HeaderValue::from_static("gwd")),
                (AUTHORIZATION, authorization),
                (CONTENT_TYPE, kind),
            ]),
            body: Bytes::from(body),
            tells_client: false,
            timeout_ms: self.settings.timeout_ms.unwrap_or(TIMEOUT_MS),
            body_bytes_max: ANSWER_BYTES_MAX,
            keep: self.keep(),
        }))))
    }

    fn keep(&self) -> Keep {
        let settings = &self.settings;
        let inactive_ms = settings.cache_inactive_ms.unwrap_or(CACHE_INACTIVE_MS);
        let stale_ms = settings.stale_for_ms.unwrap_or(STALE_FOR_MS);
        Keep {
            times_ms: [settings.cache_ms.unwrap_or(CACHE_MS), inactive_ms],
            stale_ms: if settings.cached { stale_ms } else { 0 },
            kind: match &self.answers {
                Some(verifier) => KindOf::Signed(Arc::<jwt::Verifier>::clone(verifier)),
                None => KindOf::Unsigned(response::kind),
            },
        }
    }

    /// Checks the members of an answer with `active: true`, and creates the caller's identity from
    /// them.
    fn check(&self, token: &[u8], members: &Object, unix_s: u64) -> Result<Identity, Reason> {
        let settings = &self.settings;
        let issuer = members.get("iss").and_then(Json::as_text);
        if settings.issuer.is_some() && issuer != settings.issuer.as_deref() {
            return Err(Reason::Issuer);
        }
        if !response::is_access_token(members) {
            return Err(Reason::Type);
        }
        if !settings.audience.is_empty() {
            let own = members.get("aud").ok_or(Reason::Audience)?;
            let own = own.texts().ok_or(Reason::Claims)?;
            let is_wanted = |one: &&str| settings.audience.iter().any(|it| it == one);
            if !own.iter().any(is_wanted) {
                return Err(Reason::Audience);
            }
        }
        let ends_s = check_times(members, unix_s)?;
        self.identity(token, members, ends_s)
    }

    fn identity(&self, token: &[u8], members: &Object, ends_s: u64) -> Result<Identity, Reason> {
        let settings = &self.settings;
        let absent = |name: &String| matches!(members.get(name), None | Some(Json::Null));
        if settings.required_claims.iter().any(absent) {
            return Err(Reason::Claims);
        }
        let bound = Confirmation::of(members)?;
        let groups = settings.groups_claim.as_deref().unwrap_or(GROUPS_CLAIM);
        let consumer = settings.consumer_claim.as_deref();
        let client = name(members, "client_id")?;
        let subject = name(members, "sub")?;
        let issuer = name(members, "iss")?;
        // If the answer has no issuer, use the URL of the endpoint, because the endpoint is
        // responsible for the subject.
        let issuer = issuer.unwrap_or_else(|| settings.url.as_str().into());
        Ok(Identity {
            key: key(&issuer, subject.as_deref(), client.as_deref()),
            issuer,
            subject,
            client,
            consumer: consumer
                .map(|one| name(members, one))
                .transpose()?
                .flatten(),
            claims: single(members),
            scopes: words(members, settings.scope_claim())?,
            groups: words(members, groups)?,
            ends_s,
            sha256: signed_part(token).unwrap_or_else(|| Sha256::digest(token).into()),
            all: members.clone(),
            bound,
        })
    }

    /// Claims of an example token of a plan, used as the members of the endpoint's answer about the
    /// token. `None` unless the token names this verifier in its header parameter `asked`.
    #[cfg(feature = "author")]
    fn witnessed(&self, token: &[u8]) -> Option<Object> {
        let [header, claims] = parts(self.takes_witnesses.then_some(token)?)?;
        let active_at = header.get(jwt::witness::ASKED)?.texts()?;
        let own = self.settings.witness_key();
        active_at.contains(&own.as_str()).then_some(claims)
    }

    /// Verifies a token in gwc, with an assumed answer. A successful status means that the token is
    /// active; any other status means that the token is inactive. Claims are taken from the token
    /// if it is a JWT; other tokens have no claims.
    #[cfg(feature = "author")]
    fn assumed(&self, answered: &Answered, token: &[u8], unix_s: u64) -> Result<Identity, Reason> {
        if !answered.status.is_success() {
            return Err(Reason::Inactive);
        }
        match parts(token) {
            Some([_, claims]) => self.check(token, &claims, unix_s),
            None => self.identity(token, &Object::default(), u64::MAX),
        }
    }
}

#[cfg(feature = "author")]
fn verification(result: Result<Identity, Reason>) -> Verification {
    match result {
        Ok(identity) => Verification::Valid(Arc::new(identity)),
        Err(reason) => Verification::Fault(reason),
    }
}

/// Checks `exp`, `nbf` and `iat` of an endpoint's answer. Returns the Unix time in seconds from
/// which the token is refused. `exp` has no leeway, because the endpoint knows when the token
/// expires. `nbf` and `iat` have leeway, so that a small clock difference does not invalidate new
/// tokens.
fn check_times(members: &Object, unix_s: u64) -> Result<u64, Reason> {
    let now_ms = unix_s.saturating_mul(1_000);
    let time = |name| match members.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(time) => milliseconds(time).map(Some),
    };
    let ends = time("exp")?;
    if ends.is_some_and(|ends| now_ms >= ends) {
        return Err(Reason::Expired);
    }
    let future = |at: &u64| *at > now_ms + LEEWAY_MS;
    if time("nbf")?.iter().chain(&time("iat")?).any(future) {
        return Err(Reason::NotYetValid);
    }
    Ok(ends.map_or(u64::MAX, |ends| ends.div_ceil(1_000)))
}

/// Decodes the header and claims of a JWT without verifying the signature. `None` if the token is
/// not a JWT.
fn parts(token: &[u8]) -> Option<[Object; 2]> {
    let mut parts = std::str::from_utf8(token).ok()?.split('.');
    let (header, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let object = |part| json::object(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let read = [object(header)?, object(claims)?];
    parts.next().is_none().then_some(read)
}

/// Encodes a value for a form (URL Standard §5.2).
pub(in crate::auth) fn form(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                text.push(char::from(*byte));
            }
            b' ' => text.push('+'),
            byte => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                text.push('%');
                text.push(char::from(HEX[usize::from(byte >> 4)]));
                text.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    text
}
