//! Questions of a step, and their answers. A question is a request or a computation that a step of
//! the chain needs before it can decide. An answer is the result.
//!
//! A step does no I/O. It returns its question as an [`Effect`]. gwd performs the effect, stores
//! the answer in the context, and runs the same step again, which then finds the answer there. A
//! step changes nothing in the request before it has all its answers.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::invalid::Invalid;
use crate::key_cell::{KeyCell, Remote};
use crate::leases::PermitWait;
use crate::password;
use crate::processing::{Processed, Processing};
use crate::rate::Admission;
use crate::signature;
use crate::store::Count;
use crate::used::FirstUse;
use crate::validation::{Check, Examined};

/// Id of a request or computation that a step needs, within one exchange: a hash of the policy or
/// verifier, and of the values that distinguish its requests and computations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AskId([u8; 32]);

/// Action that gwd performs because a step needs its result before it can decide.
#[derive(Debug)]
pub enum Effect {
    /// Request to a service.
    Http(Box<Call>),
    /// Fetch of a key set, or of the metadata of a login's provider.
    Keys(Arc<KeyCell>),
    /// Check of a password, which is computed on another thread. The answer is a response without
    /// content: 200 if the password is right, otherwise 403.
    Password(Box<password::Check>),
    /// Check of a signature whose verification is slow, computed on a thread for computations. The
    /// answer is a response without content: 200 if the signature is valid, otherwise 403.
    Signature(Box<signature::Check>),
    /// Count of the request against a limit whose counters are in a store.
    Store(Box<Count>),
    /// Record of a used credential in a store. The answer is a response without content: 200 if the
    /// store had no record of the credential, otherwise 403.
    FirstUse(Box<FirstUse>),
    /// Check of the request against the description of its operation.
    Message(Check),
    /// Wait for a permit of a `concurrency` policy.
    Permit(Box<PermitWait>),
    /// Conversation with an external processor about the request, with the id of its answer.
    Process(AskId, Arc<Processing>),
    /// Check of a credential with a secret that only gwd has. Verifiers return it in gwc only: gwd
    /// makes the check at once. The answer is a response without content: 200 if the credential is
    /// genuine, otherwise 401.
    Secret(AskId),
}

/// Kind of policy or verifier that needs an answer before it can decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallKind {
    /// Policy `forward_auth`.
    ForwardAuth,
    /// Verifier of JWTs whose key set gwd fetches.
    Keys,
    /// Verifier that uses token introspection.
    Introspection,
    /// Login that sends a code or a refresh token to the provider.
    Login,
    /// Verifier of passwords (`kind: basic`).
    Password,
    /// Verifier of tokens or proofs that are signed with an expensive key.
    Signature,
    /// Limit whose counters are in a store, or verifier whose used credentials are in a store.
    Store,
    /// Policy `validate`.
    Validate,
    /// Policy `concurrency`.
    Concurrency,
    /// Policy `ext_proc`.
    ExtProc,
    /// Verifier of credentials that only the owner of a secret can check.
    Secret,
}

/// Request to a service whose response decides about the client's request.
pub struct Call {
    /// Id under which the response is stored in [`Answers`].
    pub id: AskId,
    /// Kind of policy or verifier that needs the response.
    pub kind: CallKind,
    /// Name of the service, which is an upstream of the gateway.
    pub upstream: Arc<str>,
    /// Method of the request.
    pub method: Method,
    /// Path and query, to be appended to the path of the service's target.
    pub target: PathAndQuery,
    /// Header fields, without `Host` and `Content-Length`.
    pub headers: HeaderMap,
    /// Body of the request.
    pub body: Bytes,
    /// True if the service receives the forwarding fields of the client's request.
    pub tells_client: bool,
    /// Maximum time until the whole response has arrived, in milliseconds.
    pub timeout_ms: u64,
    /// Maximum length of the response body, in bytes.
    pub body_bytes_max: usize,
    /// Cache times of the response. Identical requests share a cached response.
    pub keep: Keep,
}

/// Cache settings for the response of a service that a step needs.
#[derive(Clone, Debug)]
pub struct Keep {
    /// Cache times in milliseconds: the first for an answer that admits the request, the second for
    /// one that refuses it.
    pub times_ms: [u64; 2],
    /// Time in milliseconds for which an expired admitting answer may be used while the service is
    /// unavailable. 0: never.
    pub stale_ms: u64,
    /// Function or verifier that distinguishes admitting answers from refusing ones.
    pub kind: KindOf,
}

/// Function or verifier that distinguishes admitting answers from refusing ones.
#[derive(Clone, Debug)]
pub enum KindOf {
    /// Function that returns the kind of an unsigned answer. `None`: the answer is unusable.
    Unsigned(fn(&Answered) -> Option<AnswerKind>),
    /// Verifier of the signature of a signed answer.
    Signed(Arc<dyn AnswerVerifier>),
}

/// Verifier of signed answers. As a trait, so that this module does not depend on verifiers. gwd
/// calls the verifier once per answer of a service, not per request.
pub trait AnswerVerifier: fmt::Debug + Send + Sync {
    /// Decides if an answer that has just arrived is cached, used once, or not used. `times_ms` are
    /// the cache times of [`Keep`].
    fn use_of(&self, answered: &Answered, times_ms: [u64; 2]) -> Use;

    /// True if verifying the signature of this answer is slow, so that [`Self::use_of`] must run on
    /// a thread for computations.
    fn is_costly(&self, answered: &Answered) -> bool;
}

/// Permitted use of an answer that has just arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The answer is cached under this kind.
    Keep(AnswerKind),
    /// The answer is not cached. Only the requests that wait for it use it, because its signature
    /// is not verified yet, or because it expires before its cache time.
    Once,
    /// The answer is unusable. It is not cached, and an expired answer may be used instead, as in
    /// an outage.
    Unusable,
}

/// Kind of a cached answer. Refusing answers have a separate cache, so that wrong credentials do
/// not evict valid ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// Answer that admits the request.
    Admits,
    /// Answer that refuses the request.
    Refuses,
}

/// Result of a request or computation that a step of the chain needs.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Response of the service.
    Http(Arc<Answered>),
    /// A fetch of keys has ended. Its result is in the key cell.
    Fetched,
    /// The store admitted and counted the request, or refused it.
    Counted(Admission),
    /// The request was checked against the description of its operation.
    Examined(Arc<Examined>),
    /// The request got a concurrency permit, which is in the context. Contains the number of
    /// permits of the key that are in use.
    Permit(u64),
    /// An external processor has answered about the request.
    Processed(Arc<Processed>),
    /// The request or computation gave no result.
    Outage(Outage),
}

/// Result of a check that gwd computes on another thread: of a password or a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// The check has not been requested yet.
    Pending,
    /// The check was computed. True if the password or signature is valid.
    Computed(bool),
    /// gwd could not compute the check, for example because too many checks are waiting.
    Unavailable,
}

/// Response of a service to a request that a step needs.
#[derive(Clone, PartialEq, Eq)]
pub struct Answered {
    /// Status of the response.
    pub status: StatusCode,
    /// Header fields, without connection-specific ones.
    pub headers: HeaderMap,
    /// Complete body.
    pub body: Bytes,
    /// Time at which the response arrived (Unix time, seconds).
    pub unix_s: u64,
}

/// Reason why a request or computation that a step needs gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outage {
    /// The response was not complete within its time limit.
    Timeout,
    /// The service could not be reached, or closed the connection early.
    Failed,
    /// The response is longer than allowed.
    TooLarge,
    /// The service closed the connection after a request with a large head, which may exceed the
    /// service's limit. A client can cause this while the service is healthy.
    LargeHead,
    /// The upstream has reached its maximum of concurrent requests.
    Overflow,
    /// The circuit breaker of the upstream is open.
    CircuitOpen,
}

/// Results of the requests and computations that the steps of one exchange need. No allocation if
/// there are none.
#[derive(Debug, Default)]
pub struct Answers(Vec<(AskId, Answer)>);

// === impl AskId ===

impl AskId {
    /// Id of the fetch of a key cell: a key set, or the metadata of a login's provider.
    #[must_use]
    pub fn of_keys(cell: &KeyCell) -> Self {
        let kind: &[u8] = match cell.source() {
            Remote::Set(_) => b"set",
            Remote::Issuer(_) => b"issuer",
            Remote::Provider(_) => b"provider",
        };
        Self::new(CallKind::Keys, &[kind, cell.source().url().as_bytes()])
    }

    /// Id of the check of a password.
    #[must_use]
    pub fn of_password(check: &password::Check) -> Self {
        Self::new(CallKind::Password, &[&check.name])
    }

    /// Id of the check of a signature.
    #[must_use]
    pub fn of_signature(check: &signature::Check) -> Self {
        Self::new(CallKind::Signature, &[&check.name])
    }

    /// Id of the counting of a request in a store.
    #[must_use]
    pub fn of_count(count: &Count) -> Self {
        Self::new(CallKind::Store, &[&count.state.0.to_le_bytes(), &count.key])
    }

    /// Id of the record of a used credential in a store.
    #[must_use]
    pub fn of_first_use(used: &FirstUse) -> Self {
        let (store, name) = (used.store.name.as_bytes(), used.name());
        Self::new(CallKind::Store, &[b"used", store, name.as_bytes()])
    }

    /// Id of the validation of a request.
    #[must_use]
    pub fn of_check(check: Check) -> Self {
        let Check {
            schemas,
            blocks,
            undeclared,
        } = check;
        let parts = [u8::from(schemas), u8::from(blocks), undeclared as u8];
        Self::new(CallKind::Validate, &[&parts])
    }

    /// Id of the wait for a permit.
    #[must_use]
    pub fn of_wait(wait: &PermitWait) -> Self {
        Self::new(CallKind::Concurrency, &[&wait.tag.to_le_bytes()])
    }

    /// Id of the check of a credential with the secret of a verifier. `kind` is the kind of the
    /// verifier. `settings` are its encoded settings, which distinguish verifiers of the same kind.
    #[must_use]
    pub fn of_secret(kind: &str, settings: &[u8]) -> Self {
        Self::new(CallKind::Secret, &[kind.as_bytes(), settings])
    }

    /// Bytes of the id.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Creates an id. The hash includes the length of each part, so that different parts never give
    /// the same hash input.
    #[must_use]
    pub fn new(kind: CallKind, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(kind.label());
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

// === impl CallKind ===

impl CallKind {
    /// Label in metrics: the kind of policy or verifier.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ForwardAuth => "forward_auth",
            Self::Keys => "keys",
            Self::Introspection => "introspection",
            Self::Login => "login",
            Self::Password => "password",
            Self::Signature => "signature",
            Self::Store => "store",
            Self::Validate => "validate",
            Self::Concurrency => "concurrency",
            Self::ExtProc => "ext_proc",
            Self::Secret => "secret",
        }
    }
}

// === impl Effect ===

impl Effect {
    /// Kind of policy or verifier that needs the result of this action.
    #[must_use]
    pub fn kind(&self) -> CallKind {
        match self {
            Self::Http(call) => call.kind,
            Self::Keys(_) => CallKind::Keys,
            Self::Password(_) => CallKind::Password,
            Self::Signature(_) => CallKind::Signature,
            Self::Store(_) | Self::FirstUse(_) => CallKind::Store,
            Self::Message(_) => CallKind::Validate,
            Self::Permit(_) => CallKind::Concurrency,
            Self::Process(..) => CallKind::ExtProc,
            Self::Secret(_) => CallKind::Secret,
        }
    }

    /// Id under which the result of this action is stored in [`Answers`].
    #[must_use]
    pub fn id(&self) -> AskId {
        match self {
            Self::Http(call) => call.id,
            Self::Keys(cell) => AskId::of_keys(cell),
            Self::Password(check) => AskId::of_password(check),
            Self::Signature(check) => AskId::of_signature(check),
            Self::Store(count) => AskId::of_count(count),
            Self::FirstUse(used) => AskId::of_first_use(used),
            Self::Message(check) => AskId::of_check(*check),
            Self::Permit(wait) => AskId::of_wait(wait),
            Self::Process(id, _) | Self::Secret(id) => *id,
        }
    }
}

// === impl Call ===

impl Call {
    /// Hash of the request, including the header fields to send. Requests with equal hashes can
    /// share an answer.
    #[must_use]
    pub fn digest(&self, headers: &HeaderMap) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(self.id.0);
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(self.upstream.as_bytes());
        part(self.method.as_str().as_bytes());
        part(self.target.as_str().as_bytes());
        part(&self.body);
        for (name, value) in headers {
            part(name.as_str().as_bytes());
            part(value.as_bytes());
        }
        hash.finalize().into()
    }
}

/// Omits the header fields, because they may contain credentials.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("kind", &self.kind)
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

// === impl Keep ===

impl Keep {
    /// Decides if an answer that has just arrived is cached, used once, or not used.
    #[must_use]
    pub fn use_of(&self, answered: &Answered) -> Use {
        match &self.kind {
            KindOf::Unsigned(kind) => kind(answered).map_or(Use::Unusable, Use::Keep),
            KindOf::Signed(verifier) => verifier.use_of(answered, self.times_ms),
        }
    }

    /// True if [`Self::use_of`] is too expensive for a worker.
    #[must_use]
    pub fn is_costly(&self, answered: &Answered) -> bool {
        match &self.kind {
            KindOf::Unsigned(_) => false,
            KindOf::Signed(verifier) => verifier.is_costly(answered),
        }
    }
}

// === impl Answered ===

impl Answered {
    /// Creates a response with this status, without header fields and without a body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            unix_s: 0,
        }
    }
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

// === impl Outage ===

impl Outage {
    /// Label in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::TooLarge => "too_large",
            Self::LargeHead => "large_head",
            Self::Overflow => "overflow",
            Self::CircuitOpen => "circuit_open",
        }
    }
}

// === impl Answers ===

impl Answers {
    /// Result with this id. `None` if the exchange has no such result yet.
    #[must_use]
    pub fn get(&self, id: &AskId) -> Option<&Answer> {
        let mut all = self.0.iter();
        all.find(|(known, _)| known == id).map(|(_, answer)| answer)
    }

    /// Result of the check with this id.
    #[must_use]
    pub fn check_result(&self, id: &AskId) -> CheckResult {
        match self.get(id) {
            None => CheckResult::Pending,
            Some(Answer::Http(answered)) => CheckResult::Computed(answered.status.is_success()),
            Some(
                Answer::Outage(_)
                | Answer::Fetched
                | Answer::Counted(_)
                | Answer::Examined(_)
                | Answer::Permit(_)
                | Answer::Processed(_),
            ) => CheckResult::Unavailable,
        }
    }

    /// Assumed result of the check `id` of a credential with a secret that gwc does not have. True
    /// if the credential counts as genuine.
    ///
    /// # Errors
    /// [`Effect::Secret`] with `id`, if the answers contain no assumption for this check.
    #[cfg(feature = "author")]
    pub(crate) fn assumed_check(&self, id: AskId) -> Result<bool, Box<Effect>> {
        match self.check_result(&id) {
            CheckResult::Computed(is_genuine) => Ok(is_genuine),
            CheckResult::Pending | CheckResult::Unavailable => Err(Box::new(Effect::Secret(id))),
        }
    }

    /// Differences between the request and the API description. `None`: no check found any.
    #[must_use]
    pub fn invalid(&self) -> Option<&Arc<Invalid>> {
        let mut all = self.0.iter();
        all.find_map(|(_, answer)| match answer {
            Answer::Examined(examined) => examined.invalid.as_ref(),
            Answer::Http(_)
            | Answer::Outage(_)
            | Answer::Fetched
            | Answer::Counted(_)
            | Answer::Permit(_)
            | Answer::Processed(_) => None,
        })
    }

    /// True if there are no answers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a result. If there is a result with this id already, the first result is kept.
    pub fn add(&mut self, id: AskId, answer: Answer) {
        if self.get(&id).is_none() {
            self.0.push((id, answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_parts_give_different_ids() {
        let id = |parts: &[&[u8]]| AskId::new(CallKind::ForwardAuth, parts);
        assert_ne!(id(&[b"ab", b"c"]), id(&[b"a", b"bc"]));
        assert_ne!(id(&[b"ab"]), id(&[b"ab", b""]));
        assert_eq!(id(&[b"ab", b"c"]), id(&[b"ab", b"c"]));
    }

    #[test]
    fn first_answer_to_a_question_is_kept() {
        let id = AskId::new(CallKind::ForwardAuth, &[b"a"]);
        let mut answers = Answers::default();
        assert!(answers.get(&id).is_none());
        answers.add(id, Answer::Outage(Outage::Timeout));
        answers.add(id, Answer::Outage(Outage::Failed));
        let first = answers.get(&id);
        assert!(matches!(first, Some(Answer::Outage(Outage::Timeout))));
    }
}
