//! Decision without effects: how a version would decide a request that another version serves
//! (shadow step of a progressive release, release.md §6).
//!
//! The chain runs as in [`crate::decide`], with two exceptions. Policies that count or validate
//! requests do not run: each of them can only refuse the request. The chain ends at a step that
//! needs an answer, such as that of another service: later steps can depend on it.

use policy::{Cx, Filter, RequestHead, Run as _, Step};

use crate::decide::{Decided, Verdict, decide_operation};
use crate::snapshot::{ChainStep, RouteRef, Snapshot};

/// Decision about a request as far as it is known without effects.
#[derive(Debug)]
pub struct ShadowDecision<'s> {
    /// Decision. Its verdict is [`Verdict::Ask`] if the chain ended at a step that needs an answer.
    /// `None`: the path is the gateway's own, such as the callback of a login.
    pub decided: Option<Decided<'s>>,
    /// Steps whose result is not known, in the order of the chain: kinds of policies,
    /// `authentication`, or `login` for the gateway's own paths.
    pub undetermined: Vec<&'static str>,
}

/// Decides about an admitted request without effects. The chain may change `head`. `cx` must not
/// have the counters of the requests that the process serves.
pub fn decide_shadow<'s>(
    snapshot: &'s Snapshot,
    listener: usize,
    head: &mut RequestHead,
    cx: &mut Cx<'s>,
) -> ShadowDecision<'s> {
    if snapshot.listeners[listener].own_path(head).is_some() {
        return ShadowDecision {
            decided: None,
            undetermined: vec!["login"],
        };
    }
    let mut undetermined = Vec::new();
    let decided = decide_operation(snapshot, listener, (head, cx), |filter, head, cx| {
        if only_refuses_after_effect(filter) {
            if filter.applies(cx) {
                undetermined.push(filter.kind());
            }
            return Step::Continue;
        }
        filter.on_request(head, cx)
    });
    if let (Verdict::Ask(_), Some(route)) = (&decided.verdict, &decided.route) {
        undetermined.push(asking_step(route, decided.ran));
    }
    ShadowDecision {
        decided: Some(decided),
        undetermined,
    }
}

/// True for a policy that counts the request, or needs its body, and then either refuses it or
/// changes nothing.
const fn only_refuses_after_effect(filter: &Filter) -> bool {
    match filter {
        Filter::RateLimit(_) | Filter::Quota(_) | Filter::Concurrency(_) | Filter::Validate(_) => {
            true
        }
        Filter::Headers(_)
        | Filter::Respond(_)
        | Filter::Split(_)
        | Filter::Mirror(_)
        | Filter::Rewrite(_)
        | Filter::Redirect(_)
        | Filter::Deprecation(_)
        | Filter::IpFilter(_)
        | Filter::Cors(_)
        | Filter::Csrf(_)
        | Filter::Authorize(_)
        | Filter::ForwardAuth(_)
        | Filter::BodyLimit(_)
        | Filter::Threat(_)
        | Filter::ExtProc(_)
        | Filter::Timeout(_)
        | Filter::Retry(_)
        | Filter::CircuitBreaker(_)
        | Filter::LogFields(_) => false,
    }
}

/// Kind of the last of the steps that ran.
fn asking_step(route: &RouteRef<'_>, ran: usize) -> &'static str {
    match route.treatment.chain.get(ran.wrapping_sub(1)) {
        Some(ChainStep::Filter(_, filter)) => filter.kind(),
        _ => "authentication",
    }
}
