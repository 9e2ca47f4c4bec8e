//! Questions that a step asks before it can decide, and their answers.
//!
//! A step stays pure: it returns what it wants to know as an [`Effect`]. gwd performs it, puts the
//! answer into the context and runs the same step again, which then finds the answer there. A step
//! changes nothing of the request before it has its answers.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::key_cell::{KeyCell, Remote};
use crate::password;

/// Name of a question within one exchange: a hash of who asks and of what differs between its
/// questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AskId([u8; 32]);

/// A question as data.
#[derive(Debug)]
pub enum Effect {
    /// A request to a service.
    Http(Box<Call>),
    /// A fetch of keys.
    Keys(Arc<KeyCell>),
    /// A computation: the check of a password. Its answer is a response without content: 200 if the
    /// password is right, else 403.
    Password(Box<password::Check>),
}

/// Asker of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Asker {
    /// A policy `forward_auth`.
    ForwardAuth,
    /// A verifier whose keys gwd fetches.
    Keys,
    /// A verifier that asks about tokens.
    Introspection,
    /// A verifier of passwords.
    Password,
}

/// A request to a service, whose answer decides.
pub struct Call {
    /// Its name.
    pub id: AskId,
    /// The asker.
    pub asker: Asker,
    /// The service, an upstream of the gateway.
    pub upstream: Arc<str>,
    /// The method.
    pub method: Method,
    /// Path and query below the path of the service's target.
    pub target: PathAndQuery,
    /// The fields, without `Host` and `Content-Length`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// True if the service gets the forwarding fields of the client's request.
    pub tells_client: bool,
    /// Most milliseconds until the whole answer is there.
    pub timeout_ms: u64,
    /// Most bytes of the answer's body.
    pub body_bytes_max: usize,
    /// Time for which the answer serves further equal questions.
    pub keep: Keep,
}

/// Times for which answers are kept, by their kind.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Milliseconds for an answer that admits, and for one that refuses.
    pub times_ms: [u64; 2],
    /// Milliseconds for which an answer that admits serves while there is no other. 0: never.
    pub stale_ms: u64,
    /// Kind of an answer; none for one that is not kept, and that counts as an outage where old
    /// answers serve.
    pub kind: fn(&Answered) -> Option<Kept>,
}

/// Kind of an answer that is kept. Those that refuse have a store of their own, so that wrong
/// credentials do not evict valid ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Answer that admits the request.
    Admits,
    /// Answer that refuses the request.
    Refuses,
}

/// Result of a question.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The service answered.
    Http(Arc<Answered>),
    /// A fetch ended; what it brought is in its cell.
    Fetched,
    /// There is no answer.
    Outage(Outage),
}

/// Response of a service to a question.
#[derive(Clone, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The fields, without those of the connection.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Time of its arrival (Unix time, seconds).
    pub unix_s: u64,
}

/// Reason why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outage {
    /// No complete answer in time.
    Timeout,
    /// The service could not be reached or broke off.
    Failed,
    /// The answer is longer than allowed.
    TooLarge,
    /// The service has as many requests as it may have.
    Overflow,
    /// The circuit breaker of the service is open.
    CircuitOpen,
}

/// Answers to the questions of one exchange. Without questions they cost no allocation.
#[derive(Debug, Default)]
pub struct Answers(Vec<(AskId, Answer)>);

// === impl AskId ===

impl AskId {
    /// The name of the question for the keys of a cell.
    #[must_use]
    pub fn of_keys(cell: &KeyCell) -> Self {
        let kind: &[u8] = match cell.source() {
            Remote::Set(_) => b"set",
            Remote::Issuer(_) => b"issuer",
        };
        Self::new(Asker::Keys, &[kind, cell.source().url().as_bytes()])
    }

    /// The name of the question about a password.
    #[must_use]
    pub fn of_password(check: &password::Check) -> Self {
        Self::new(Asker::Password, &[&check.name])
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// The name of a question. The parts are told apart by their lengths.
    #[must_use]
    pub fn new(asker: Asker, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(asker.label());
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

// === impl Asker ===

impl Asker {
    /// Label in metrics: the kind of policy or verifier.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ForwardAuth => "forward_auth",
            Self::Keys => "keys",
            Self::Introspection => "introspection",
            Self::Password => "password",
        }
    }
}

// === impl Effect ===

impl Effect {
    /// The asker.
    #[must_use]
    pub fn asker(&self) -> Asker {
        match self {
            Self::Http(call) => call.asker,
            Self::Keys(_) => Asker::Keys,
            Self::Password(_) => Asker::Password,
        }
    }

    /// The question's name.
    #[must_use]
    pub fn id(&self) -> AskId {
        match self {
            Self::Http(call) => call.id,
            Self::Keys(cell) => AskId::of_keys(cell),
            Self::Password(check) => AskId::of_password(check),
        }
    }
}

// === impl Call ===

impl Call {
    /// Hash of the question with the fields that are sent: equal questions have equal answers.
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

/// The fields may be credentials: they are not printed.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("asker", &self.asker)
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

// === impl Answered ===

impl Answered {
    /// A response without fields and body.
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
            Self::Overflow => "overflow",
            Self::CircuitOpen => "circuit_open",
        }
    }
}

// === impl Answers ===

impl Answers {
    /// The answer to a question; none if it was not asked yet.
    #[must_use]
    pub fn get(&self, id: &AskId) -> Option<&Answer> {
        let mut all = self.0.iter();
        all.find(|(known, _)| known == id).map(|(_, answer)| answer)
    }

    /// True if nothing was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an answer. The first answer to a question stays.
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
    fn parts_of_a_question_are_told_apart() {
        let id = |parts: &[&[u8]]| AskId::new(Asker::ForwardAuth, parts);
        assert_ne!(id(&[b"ab", b"c"]), id(&[b"a", b"bc"]));
        assert_ne!(id(&[b"ab"]), id(&[b"ab", b""]));
        assert_eq!(id(&[b"ab", b"c"]), id(&[b"ab", b"c"]));
    }

    #[test]
    fn first_answer_to_a_question_stays() {
        let id = AskId::new(Asker::ForwardAuth, &[b"a"]);
        let mut answers = Answers::default();
        assert!(answers.get(&id).is_none());
        answers.add(id, Answer::Outage(Outage::Timeout));
        answers.add(id, Answer::Outage(Outage::Failed));
        let first = answers.get(&id);
        assert!(matches!(first, Some(Answer::Outage(Outage::Timeout))));
    }
}
