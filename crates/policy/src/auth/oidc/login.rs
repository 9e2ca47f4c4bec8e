//! Login at run time: checks the sessions of requests, and redirects browsers to the provider.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::ACCEPT;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::provider::Metadata;
use super::reply::{self, SameSite};
use super::seal::{self, CHUNKS_MAX, Sealer, Use};
use super::session::Pending;
use super::{Checked, Reason, Session, provider};
use crate::ask::{Answers, AskId, Effect};
use crate::auth::dpop::ClientUrl;
use crate::auth::introspection::form;
use crate::auth::jwt;
#[cfg(feature = "author")]
use crate::auth::jwt::json::Object;
use crate::auth::place::cookie_names;
use crate::auth::replays::Replays;
use crate::auth::token::TokenRequest;
use crate::head::RequestHead;
use crate::key_cell::{KeyCell, KeySet};
use crate::reject::Reject;
use crate::reply::Reply;
use crate::secret::{Form, SecretCell, SecretUnavailable, SecretValue, Secrets};
use crate::unique::Unique;

/// Maximum time between the redirect to the provider and its response, in seconds.
const LOGIN_S: u64 = 600;
/// Maximum number of unfinished logins of a browser at the same time, for instance in several tabs.
const LOGINS_MAX: usize = 5;
/// Maximum length of the path and query to which a browser returns, in bytes.
const TARGET_BYTES_MAX: usize = 2_048;
/// Number of bytes of `state` that are part of the name of a login's cookie.
const STATE_PREFIX: usize = 8;

/// Browser login through one OpenID provider, at run time.
pub struct Login {
    pub(super) settings: Checked,
    /// Hash of the settings that decide which users get a session (see `Checked::owner`). An
    /// encrypted cookie is valid only for the login with the same hash.
    owner: [u8; 32],
    pub(super) client_secret: Arc<SecretCell>,
    keys: Arc<SecretCell>,
    provider: Arc<KeyCell>,
    pub(super) id_tokens: jwt::Verifier,
    #[cfg(feature = "author")]
    takes_witnesses: bool,
}

/// Result of a step of a login or logout.
#[derive(Debug)]
pub enum Outcome {
    /// Response to the browser.
    Reply(Box<Reply>),
    /// The step first needs the result of this action, such as a request to the provider.
    Ask(Box<Effect>),
    /// The step failed.
    Fault(Reason),
}

/// Request of a browser, and the process state that a login reads and writes.
pub struct LoginContext<'v> {
    /// Time of the request (Unix time, seconds).
    pub unix_s: u64,
    /// Address of the client.
    pub client: IpAddr,
    /// Path and query as the client sent them. `None` if normalisation did not change them.
    pub received: Option<&'v PathAndQuery>,
    /// Answers of the provider that the login needed.
    pub answers: &'v Answers,
    /// Logins for which a response from the provider has been used.
    pub logins: &'v Replays,
    /// Sessions that a logout has ended.
    pub ended: &'v Replays,
    /// Source of numbers that the process uses only once.
    pub unique: &'v Unique,
    /// Values of `Set-Cookie` for the response.
    pub cookies: &'v mut Vec<HeaderValue>,
}

/// Session of a request.
#[derive(Debug)]
pub struct RequestSession {
    /// Random id of the session.
    pub id: [u8; 16],
    /// Session to store in the cookie again. `None` if the session did not change.
    pub renewed: Option<Session>,
}

/// Placeholder for the session of a request that gwc decides: gwc cannot decrypt sessions.
#[cfg(feature = "author")]
const WITNESSED: RequestSession = RequestSession {
    id: [0; 16],
    renewed: None,
};

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Checked {
    /// Builds the run-time login.
    ///
    /// # Errors
    /// A secret cannot be resolved.
    pub fn login(&self, secrets: &dyn Secrets) -> Result<Login, SecretUnavailable> {
        let [metadata, _] = self.remotes();
        let id_tokens = self.id_tokens();
        // The session cookie in an example request of a plan contains an ID token with one
        // audience. Accept `client_id` and every item of `audience`.
        #[cfg(feature = "author")]
        let id_tokens = match secrets.takes_witnesses() {
            true => {
                let all = self.audience.iter().chain([&self.client_id]);
                self.id_tokens_for(all.cloned().collect())
            }
            false => id_tokens,
        };
        Ok(Login {
            owner: self.owner(),
            client_secret: secrets.cell(&self.client_secret, Form::FieldValue)?,
            keys: secrets.cell(&self.session_secret, Form::SealingKeys)?,
            provider: secrets.keys(&metadata, provider::read),
            id_tokens: id_tokens.verifier(secrets)?,
            settings: self.clone(),
            #[cfg(feature = "author")]
            takes_witnesses: secrets.takes_witnesses(),
        })
    }

    /// SHA-256 of all settings that decide which users get a session, and with which rights. The
    /// ID token of a session is not verified again, so a login must not accept the sessions of a
    /// login with other settings.
    pub(super) fn owner(&self) -> [u8; 32] {
        let users = (
            (&self.issuer, &self.client_id, self.cookie()),
            (&self.jwks_url, &self.token_url, &self.algorithms),
            (&self.scopes, &self.audience, &self.required_claims),
        );
        // Encoding to memory does not fail.
        Sha256::digest(minicbor::to_vec(users).unwrap_or_default()).into()
    }
}

impl Login {
    /// The provider's metadata and key set, which gwd fetches, with the state of the fetches.
    pub fn key_cells(&self) -> impl Iterator<Item = &Arc<KeyCell>> {
        std::iter::once(&self.provider).chain(self.id_tokens.key_cell())
    }

    /// Settings of the login, as in the bundle.
    #[must_use]
    pub fn settings(&self) -> &Checked {
        &self.settings
    }

    /// Checks the session in the cookies of a request. `cookie` is used only for the sessions in
    /// examples of plans.
    #[must_use]
    pub(in crate::auth) fn verify_session(
        &self,
        cookie: &[u8],
        request: &TokenRequest<'_>,
    ) -> jwt::Verification {
        #[cfg(feature = "author")]
        if self.takes_witnesses {
            return match seal::join(&request.head.headers, self.settings.cookie()) {
                Some(sealed) => self.session_by_assumption(&sealed, request),
                None => self.witnessed(cookie, request),
            };
        }
        let _ = cookie;
        let Some(session) = self.session(&request.head.headers) else {
            return jwt::Verification::NoSession(Reason::Sealed);
        };
        match self.current(session, request) {
            Ok((session, renewed)) => {
                let ends_s = session.began_s + self.settings.lifetime_s();
                let identity = self
                    .id_tokens
                    .identity_of(session.id_token.as_bytes(), ends_s);
                let Ok(mut identity) = identity else {
                    return jwt::Verification::NoSession(Reason::Sealed);
                };
                identity.scopes = words(&session.scope);
                let opened = RequestSession {
                    id: session.id,
                    renewed: renewed.then_some(session),
                };
                jwt::Verification::Session(Arc::new(identity), Box::new(opened))
            }
            Err(Outcome::Fault(reason)) => jwt::Verification::NoSession(reason),
            Err(Outcome::Ask(effect)) => jwt::Verification::Ask(effect),
            Err(Outcome::Reply(_)) => jwt::Verification::NoSession(Reason::Sealed),
        }
    }

    /// Checks the session in an example request of a plan. The value of its cookie is the ID token.
    #[cfg(feature = "author")]
    fn witnessed(&self, cookie: &[u8], request: &TokenRequest<'_>) -> jwt::Verification {
        let TokenRequest {
            unix_s, answers, ..
        } = *request;
        match self.id_tokens.verify_or_ask(cookie, unix_s, None, answers) {
            jwt::Verification::Valid(identity) => {
                jwt::Verification::Session(identity, Box::new(WITNESSED))
            }
            jwt::Verification::Fault(_) => jwt::Verification::NoSession(Reason::Sealed),
            other => other,
        }
    }

    /// Checks a session in gwc, which has no session secret: the session is assumed to be genuine
    /// or forged. The content of the session is unknown, so its user has no subject and no claims,
    /// but all scopes that the login requests.
    #[cfg(feature = "author")]
    fn session_by_assumption(
        &self,
        sealed: &[u8],
        request: &TokenRequest<'_>,
    ) -> jwt::Verification {
        if !seal::is_sealed(sealed) {
            return jwt::Verification::NoSession(Reason::Sealed);
        }
        let question = self.settings.secret_question();
        match request.answers.assumed_check(question) {
            Ok(true) => {
                let ends_s = request.unix_s.saturating_add(self.settings.lifetime_s());
                let identity = jwt::Identity {
                    issuer: self.settings.issuer.as_str().into(),
                    scopes: words(&self.settings.scopes.join(" ")),
                    key: None,
                    ..jwt::Identity::of_claims(
                        Object::default(),
                        None,
                        Box::default(),
                        ends_s,
                        Sha256::digest(sealed).into(),
                    )
                };
                jwt::Verification::Session(Arc::new(identity), Box::new(WITNESSED))
            }
            Ok(false) => jwt::Verification::NoSession(Reason::Sealed),
            Err(effect) => jwt::Verification::Ask(effect),
        }
    }

    /// Session in the cookies of a request, even if it has expired. `None` if there is no session
    /// or the cookies cannot be decrypted.
    pub(super) fn session(&self, headers: &HeaderMap) -> Option<Session> {
        let sealed = seal::join(headers, self.settings.cookie())?;
        let keys = self.keys.value();
        let opened = self.sealer(&keys).open(Use::Session, &sealed)?;
        Session::decoded(&opened)
    }

    /// Checks that a session has not expired, and refreshes its tokens if they are due. Returns the
    /// session, and true if its cookie must be written again.
    fn current(
        &self,
        mut session: Session,
        request: &TokenRequest<'_>,
    ) -> Result<(Session, bool), Outcome> {
        let now_s = request.unix_s;
        if now_s >= session.began_s.saturating_add(self.settings.lifetime_s()) {
            return Err(Outcome::Fault(Reason::Expired));
        }
        let mut renewed = false;
        if let Some(idle_s) = self.settings.idle_s() {
            let quiet_s = now_s.saturating_sub(session.seen_s);
            if quiet_s >= idle_s {
                return Err(Outcome::Fault(Reason::Idle));
            }
            // Renew the session only after an eighth of the idle time, because each renewal sends
            // cookies with the response.
            if quiet_s > idle_s / 8 {
                session.seen_s = now_s;
                renewed = true;
            }
        }
        if session.refresh_s.is_some_and(|due_s| now_s >= due_s) {
            session = self.refreshed(session, request)?;
            session.seen_s = now_s;
            renewed = true;
        }
        Ok((session, renewed))
    }

    /// Adds the cookies of a changed session to the response.
    pub fn renew(&self, session: &Session, context: &mut LoginContext<'_>) {
        if let Ok(cookies) = self.cookies(session, context) {
            context.cookies.extend(cookies);
        }
    }

    /// Values of `Set-Cookie` that store a session in the browser.
    pub(super) fn cookies(
        &self,
        session: &Session,
        context: &LoginContext<'_>,
    ) -> Result<Vec<HeaderValue>, Reason> {
        let ends_s = session.began_s + self.settings.lifetime_s();
        let lifetime_s = ends_s.saturating_sub(context.unix_s);
        let keys = self.keys.value();
        let text = Zeroizing::new(session.encoded());
        let sealed = self.sealer(&keys);
        let sealed = sealed.seal(Use::Session, &context.unique.next(), &text);
        let values = sealed.as_deref().and_then(seal::split);
        let values = values.ok_or(Reason::TooLarge)?;
        let cookies = values.iter().enumerate().map(|(index, value)| {
            let name = seal::chunk_name(self.settings.cookie(), index);
            reply::cookie(&name, value, lifetime_s, self.same_site()).ok_or(Reason::TooLarge)
        });
        cookies.collect()
    }

    /// Values of `Set-Cookie` that remove the session's cookies of a request.
    pub(super) fn removed(&self, headers: &HeaderMap) -> Vec<HeaderValue> {
        let names = (0..CHUNKS_MAX).map(|index| seal::chunk_name(self.settings.cookie(), index));
        let is_there = |name: &String| cookie_names(headers).any(|one| one == name.as_bytes());
        let first = self.settings.cookie();
        names
            .filter(|name| name == first || is_there(name))
            .filter_map(|name| reply::cookie(&name, "", 0, self.same_site()))
            .collect()
    }

    fn same_site(&self) -> SameSite {
        match self.settings.strict {
            true => SameSite::Strict,
            false => SameSite::Lax,
        }
    }

    fn sealer<'k>(&'k self, keys: &'k SecretValue) -> Sealer<'k> {
        Sealer::new(keys, &self.owner)
    }

    /// Metadata of the provider.
    ///
    /// # Errors
    /// [`Outcome::Ask`] if the metadata must be fetched first. [`Reason::Unavailable`] if a fetch
    /// returned no metadata, or if no fetch is allowed at this time.
    pub(super) fn metadata(&self, context: &LoginContext<'_>) -> Result<Arc<KeySet>, Outcome> {
        if let Some(set) = self.known_metadata() {
            return Ok(set);
        }
        match context.answers.get(&AskId::of_keys(&self.provider)) {
            None if self.provider.may_fetch(context.unix_s) => {
                let effect = Effect::Keys(Arc::clone(&self.provider));
                Err(Outcome::Ask(Box::new(effect)))
            }
            _ => Err(Outcome::Fault(Reason::Unavailable)),
        }
    }

    /// Metadata of the provider from an earlier fetch. `None` if there was no fetch, or if the
    /// metadata names another issuer.
    pub(super) fn known_metadata(&self) -> Option<Arc<KeySet>> {
        let set = self.provider.set()?;
        let is_own = Metadata::of(&set).is_some_and(|it| *it.issuer == *self.settings.issuer);
        is_own.then_some(set)
    }

    /// Redirects a browser to the provider (OpenID Connect Core §3.1.2.1). `url` is the URL of the
    /// request as the browser sees it; `refusal` is the refusal that the browser would get without
    /// a redirect.
    pub fn begin(
        &self,
        head: &RequestHead,
        url: &ClientUrl,
        refusal: &'static Reject,
        context: &mut LoginContext<'_>,
    ) -> Outcome {
        let set = match self.metadata(context) {
            Ok(set) => set,
            #[cfg(feature = "author")]
            Err(_) if self.takes_witnesses && self.is_assumed(context) => {
                return match reply::redirect(&self.settings.issuer, Some(refusal)) {
                    Some(reply) => Outcome::Reply(reply),
                    None => Outcome::Fault(Reason::Unavailable),
                };
            }
            Err(outcome) => return outcome,
        };
        let Some(metadata) = Metadata::of(&set) else {
            return Outcome::Fault(Reason::Unavailable);
        };
        let (unique, keys) = (context.unique.next(), self.keys.value());
        let sealer = self.sealer(&keys);
        let random = |purpose| URL_SAFE_NO_PAD.encode(sealer.random(&unique, purpose));
        let received = context
            .received
            .map_or(head.target.as_str(), |one| one.as_str());
        let prefix = url.path.strip_suffix(head.path()).unwrap_or_default();
        let pending = Pending {
            state: random("state"),
            nonce: random("login nonce"),
            verifier: random("code verifier"),
            redirect_uri: format!("{}{prefix}{}", url.origin(), self.settings.redirect_path),
            target: own_path(&format!("{prefix}{received}")).to_owned(),
            ends_s: context.unix_s + LOGIN_S,
        };
        let location = self.authorization(&metadata.authorization, &pending);
        let text = Zeroizing::new(minicbor::to_vec(&pending).unwrap_or_default());
        let sealed = sealer.seal(Use::Login, &context.unique.next(), &text);
        let name = self.login_cookie(&pending.state);
        let lax = SameSite::Lax;
        let cookie = sealed.and_then(|sealed| reply::cookie(&name, &sealed, LOGIN_S, lax));
        let (Some(cookie), Some(reply)) = (cookie, reply::redirect(&location, Some(refusal)))
        else {
            return Outcome::Fault(Reason::Unavailable);
        };
        self.remove_old_logins(head, context);
        context.cookies.push(cookie);
        Outcome::Reply(reply)
    }

    /// True if gwc assumes an answer of the provider (`valid` or `forged`). Every such answer means
    /// that the provider's metadata is available.
    #[cfg(feature = "author")]
    fn is_assumed(&self, context: &LoginContext<'_>) -> bool {
        let answer = context.answers.get(&AskId::of_keys(&self.provider));
        matches!(answer, Some(crate::ask::Answer::Http(_)))
    }

    /// URL of the authorization request.
    fn authorization(&self, endpoint: &str, pending: &Pending) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&pending.verifier));
        let mut url = endpoint.to_owned();
        url.push(if endpoint.contains('?') { '&' } else { '?' });
        let scopes = self.settings.scopes.join(" ");
        let parameters = [
            ("response_type", "code"),
            ("client_id", &*self.settings.client_id),
            ("redirect_uri", &*pending.redirect_uri),
            ("scope", &*scopes),
            ("state", &*pending.state),
            ("nonce", &*pending.nonce),
            ("code_challenge", &*challenge),
            ("code_challenge_method", "S256"),
        ];
        url.push_str(&fields(&parameters));
        url
    }

    /// Unfinished login with this `state` in the cookies of a request. `None` if there is none, or
    /// if it has expired.
    pub(super) fn pending(&self, head: &RequestHead, state: &str, unix_s: u64) -> Option<Pending> {
        let name = self.login_cookie(state);
        let mut values = crate::auth::place::cookie_values(&head.headers, &name);
        let sealed = values.next().filter(|_| values.next().is_none())?;
        let keys = self.keys.value();
        let opened = self.sealer(&keys).open(Use::Login, sealed)?;
        let pending: Pending = minicbor::decode(&opened).ok()?;
        let is_own = aws_lc_rs::constant_time::verify_slices_are_equal(
            pending.state.as_bytes(),
            state.as_bytes(),
        );
        (is_own.is_ok() && unix_s < pending.ends_s).then_some(pending)
    }

    /// Removes the cookie of a login that has ended.
    pub(super) fn remove_login(&self, state: &str, context: &mut LoginContext<'_>) {
        let name = self.login_cookie(state);
        context
            .cookies
            .extend(reply::cookie(&name, "", 0, SameSite::Lax));
    }

    fn login_cookie(&self, state: &str) -> String {
        let prefix = state.get(..STATE_PREFIX).unwrap_or_default();
        format!("{}.login-{prefix}", self.settings.cookie())
    }

    /// Removes the cookies of unfinished logins if the browser has [`LOGINS_MAX`] or more.
    fn remove_old_logins(&self, head: &RequestHead, context: &mut LoginContext<'_>) {
        let prefix = self.login_cookie("");
        let open = || {
            let names = cookie_names(&head.headers);
            names.filter(|name| name.starts_with(prefix.as_bytes()))
        };
        if open().count() < LOGINS_MAX {
            return;
        }
        for name in open().take(2 * LOGINS_MAX) {
            if let Ok(name) = std::str::from_utf8(name) {
                context
                    .cookies
                    .extend(reply::cookie(name, "", 0, SameSite::Lax));
            }
        }
    }

    /// Random id of a new session.
    pub(super) fn new_id(&self, context: &LoginContext<'_>) -> [u8; 16] {
        let keys = self.keys.value();
        let random = self.sealer(&keys).random(&context.unique.next(), "id");
        let mut id = [0; 16];
        id.copy_from_slice(&random[..16]);
        id
    }
}

/// True if a request is a navigation of a browser, which can log in: GET or HEAD for a page. A
/// script gets 401 instead, because it cannot follow a redirect to another site.
#[must_use]
pub fn is_navigation(head: &RequestHead) -> bool {
    static MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
    let one = |name: &HeaderName| {
        let mut values = head.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then(|| value.to_ascii_lowercase())
    };
    let is_read = matches!(head.method, Method::GET | Method::HEAD);
    let takes_page = one(&ACCEPT).is_some_and(|types| {
        let mut types = types
            .split(',')
            .map(|one| one.split(';').next().unwrap_or_default());
        types.any(|one| matches!(one.trim(), "text/html" | "application/xhtml+xml"))
    });
    let mode = head.headers.contains_key(&MODE).then(|| one(&MODE));
    let is_page = mode.is_none_or(|mode| mode.as_deref() == Some("navigate"));
    is_read && takes_page && is_page
}

/// Returns `target` if it is a path on the same host, with or without a query. Returns `/` if a
/// browser could interpret it as a URL of another host, or if it is longer than
/// [`TARGET_BYTES_MAX`].
pub(super) fn own_path(target: &str) -> &str {
    let leads_out = target.starts_with("//") || target.contains('\\');
    let is_plain = target.bytes().all(|byte| byte.is_ascii_graphic());
    match target.starts_with('/') && !leads_out && is_plain && target.len() <= TARGET_BYTES_MAX {
        true => target,
        false => "/",
    }
}

/// Form-encoded parameters (RFC 6749 appendix B).
pub(super) fn fields(parameters: &[(&str, &str)]) -> String {
    let pairs = parameters.iter();
    let pairs = pairs.map(|(name, value)| format!("{name}={}", form(value.as_bytes())));
    pairs.collect::<Vec<_>>().join("&")
}

/// Words of a space-separated list, sorted.
fn words(text: &str) -> Box<[Box<str>]> {
    let mut words: Vec<Box<str>> = text
        .split(' ')
        .filter(|one| !one.is_empty())
        .map(Into::into)
        .collect();
    words.sort();
    words.dedup();
    words.into()
}
