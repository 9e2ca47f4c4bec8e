//! Decisions of the candidate in a shadow step of a progressive release. The candidate counts in
//! tables of its own, and requests no answers of other parties (`engine::decide_shadow`).

use std::hash::RandomState;
use std::sync::Arc;

use engine::{decide_shadow, edge};
use policy::auth::jwt::TokenCache;
use policy::auth::mtls::PresentedCertificates;
use policy::{Cx, Limits};

use crate::published::choice::RequestChoice;
use crate::published::shadow::{Began, CopiedHead, Outcome, ShadowOutcome, ShadowQueue};
use crate::published::{Current, Shadow, Shared};
use crate::runtime::clock;

/// Approximate maximum number of keys in each table of limits: 64. The decisions count nothing.
const LIMIT_KEYS: usize = 64;

/// Candidate that decides requests, with the state of its decisions.
struct Decider {
    version: Arc<Current>,
    limits: Limits,
    tokens: TokenCache,
}

/// Begins to compare the decisions of a candidate with those of the base.
pub(super) fn start(shared: &Shared, version: Arc<Current>, choice: Arc<RequestChoice>) -> Shadow {
    let limits = shared.limits.for_shadow(LIMIT_KEYS, RandomState::new);
    let windows = version.loaded.snapshot.windows();
    limits.keep_used(windows, clock::unix_ms() / 1_000);
    let decider = Decider {
        version: Arc::clone(&version),
        limits,
        tokens: TokenCache::default(),
    };
    let decide = move |head, began| decider.decide(head, began);
    Shadow {
        version,
        choice,
        queue: ShadowQueue::start(&shared.shadow, shared.clock, decide),
    }
}

impl Decider {
    /// Decision of the candidate, and the steps of its chain whose result is not known.
    fn decide(&self, head: CopiedHead, began: Began) -> ShadowOutcome {
        let Some(listener) = head.listener else {
            return (Outcome::not_listening(), Vec::new());
        };
        let snapshot = &self.version.loaded.snapshot;
        let rules = &snapshot.listeners()[listener];
        let mut admitted = match edge::admit(head.parts, rules, head.peer) {
            Ok(admitted) => admitted,
            Err(reject) => return (Outcome::refused(reject), Vec::new()),
        };
        let has_certificate = head.certificate.is_some() || admitted.client_cert.is_some();
        let presented =
            has_certificate.then(|| PresentedCertificates::new(head.certificate.as_deref()));
        let (limits, revoked) = (&self.limits, &self.version.revoked);
        let mut cx = Cx::new(began.now_ns, began.unix_s, head.peer, limits, revoked);
        cx.draw = began.draw;
        cx.tokens = Some(&self.tokens);
        let (head, _) = admitted.describe(&mut cx);
        cx.presented = presented.as_ref();
        let decision = decide_shadow(snapshot, listener, head, &mut cx);
        let outcome = match &decision.decided {
            Some(decided) => Outcome::of(snapshot, head, decided, &cx),
            None => Outcome::unknown(),
        };
        (outcome, decision.undetermined)
    }
}
