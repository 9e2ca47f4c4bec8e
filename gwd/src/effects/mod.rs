//! Effects of the policy chain: requests and computations that a step needs before it can decide,
//! and copies for mirrors.
//!
//! The chain stops at the step that needs an answer. gwd performs the effect here, stores the
//! answer in the context, and continues the chain with the same step. Requests whose chain needs no
//! answer never run this code.

mod call;
mod checks;
mod conversation;
mod first_use;
mod http;
pub(crate) mod inspection;
pub(crate) mod items;
#[expect(
    clippy::disallowed_methods,
    reason = "key sets without a date begin now"
)]
mod keys;
pub(crate) mod messages;
pub(crate) mod mirror;
mod pending;
mod permits;
pub(crate) mod process;
mod processor_answers;
pub(crate) mod sharing;
mod store;

use std::pin::pin;
use std::sync::Arc;

use engine::{ChainStep, Decided, RouteRef, Snapshot, Verdict, resume};
use policy::ask::{Answer, Effect, Outage};
use policy::{Cx, RequestHead};

use crate::message::failure::Kind;
use crate::runtime::deadlines::{LimitOf, within_limit};

pub(crate) use keys::{fetch_all as fetch_keys, refresh as refresh_keys};
pub(crate) use pending::PendingDecision;

/// Time limit of an effect for a request without a route, for example for a path that the gateway
/// answers itself, in milliseconds: 15s, the default of `timeout`.
const OWN_MS: u64 = 15_000;

/// True for an effect that must stay limited even if a later step refuses the request
/// ([`Cx::keep_tokens`]).
fn is_costly(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Http(_) | Effect::Password(_) | Effect::Signature(_) | Effect::Process(..)
    )
}

/// True for an effect that the operation's `timeout` does not limit.
fn has_own_limit(effect: &Effect) -> bool {
    match effect {
        Effect::Message(_) | Effect::Permit(_) | Effect::Process(..) => true,
        Effect::Http(_)
        | Effect::Keys(_)
        | Effect::Password(_)
        | Effect::Signature(_)
        | Effect::Store(_)
        | Effect::FirstUse(_)
        | Effect::Secret(_) => false,
    }
}

/// Name of the step of the chain that needs an effect: the last one that ran.
fn asking_step(route: &RouteRef<'_>, ran: usize) -> Arc<str> {
    match route.treatment.chain.get(ran.wrapping_sub(1)) {
        Some(ChainStep::Filter(name, _)) => Arc::clone(name),
        _ => "authenticate".into(),
    }
}

/// Performs the effects that a request's chain needs, until the chain has decided. If the time
/// limit of the request passes first, the verdict remains [`Verdict::Ask`].
///
/// Each effect has its own timeout, which the operation's `timeout` and the client's deadline do
/// not shorten. If one of these two passes, the request ends as if the client had disconnected, and
/// the effect does not count as an outage. The computation of a password or a signature is an
/// exception: if the operation's `timeout` passes, the computation counts as timed out. An effect
/// that reads the body (validation) has the time limits of an upload. A wait for a permit has the
/// time limit of its policy.
///
/// Also returns the failure of the client's body, if the body failed. The request ends with this
/// failure.
pub(crate) async fn answer<'s>(
    pending: PendingDecision<'_>,
    snapshot: &'s Snapshot,
    mut decided: Decided<'s>,
    head: &mut RequestHead,
    cx: &mut Cx<'s>,
) -> (Decided<'s>, Option<Kind>) {
    let clock = pending.worker.clock;
    let mut failed = None;
    while let Verdict::Ask(effect) = &decided.verdict {
        let route_ms = decided
            .route
            .map_or(OWN_MS, |route| route.treatment.timeout_ms);
        let ends_ms = match has_own_limit(effect) {
            true => u64::MAX,
            false => clock.now_ms().saturating_add(route_ms),
        };
        let limit = pending.deadline.limit(ends_ms, LimitOf::Operation);
        let client = cx.client;
        let body_max = cx.body_limits.request;
        let (mut permit, mut is_stale) = (None, false);
        let answered = {
            let answering = pin!(async {
                Ok(match &**effect {
                    Effect::Http(call) => http::ask(&pending, call, client, &mut is_stale).await,
                    Effect::Keys(cell) => keys::ask(&pending, cell).await,
                    Effect::Password(check) => checks::password(&pending, check, client).await,
                    Effect::Signature(check) => checks::signature(&pending, check, client).await,
                    Effect::Store(count) => store::ask(&pending, count).await,
                    Effect::FirstUse(used) => first_use::ask(&pending, used).await,
                    Effect::Permit(wait) => {
                        permits::ask(pending.worker, pending.deadline, wait, &mut permit).await
                    }
                    Effect::Process(_, processing) => {
                        let route = decided.route.as_ref();
                        pending.process(route, processing, head, cx).await?
                    }
                    Effect::Message(check) => match &decided.route {
                        Some(route) => {
                            pending.scan(&mut cx.scans, head);
                            let policy = asking_step(route, decided.ran);
                            let step = (*check, policy);
                            messages::ask(&pending, route, step, (body_max, client), head).await?
                        }
                        None => Answer::Outage(Outage::Failed),
                    },
                    // Only gwc needs this effect. Without a result, no verifier admits a request.
                    Effect::Secret(_) => Answer::Outage(Outage::Failed),
                })
            });
            within_limit(pending.deadline, answering).await
        };
        let Ok(answer) = answered.or_else(|of| pending.uncomputed(effect, of).map(Ok)) else {
            break;
        };
        pending.deadline.limit_again(limit);
        if let Some(permit) = permit {
            cx.permits.add(permit);
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(kind) => {
                failed = Some(kind);
                break;
            }
        };
        if is_stale {
            cx.stale_answer.get_or_insert(effect.kind().label());
        }
        if is_costly(effect) {
            cx.keep_tokens();
        }
        cx.answers.add(effect.id(), answer);
        cx.now_ns = clock.now_ns();
        decided = resume(snapshot, decided, head, cx);
    }
    pending.give_back(std::mem::take(&mut cx.returned));
    (decided, failed)
}
