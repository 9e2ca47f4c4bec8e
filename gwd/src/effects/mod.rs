//! Effects of the policy chain: requests and computations that a step needs before it can decide,
//! and copies for mirrors.
//!
//! The chain stops at the step that needs an answer. gwd performs the effect here, stores the
//! answer in the context, and continues the chain with the same step. Requests whose chain needs no
//! answer never run this code.

mod call;
mod checks;
mod conversation;
mod http;
pub(crate) mod items;
#[expect(
    clippy::disallowed_methods,
    reason = "key sets without a date begin now"
)]
mod keys;
pub(crate) mod messages;
pub(crate) mod mirror;
mod permits;
pub(crate) mod process;
mod store;

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use ::http::HeaderValue;
use engine::forward::ThisHop;
use engine::{ChainStep, Decided, RouteRef, Snapshot, Verdict, resume};
use policy::ask::{Answer, Effect, Outage};
use policy::auth::hmac_signature::Content;
use policy::processing::Processing;
use policy::store::Count;
use policy::threat::Scan;
use policy::{Cx, RequestHead};

use crate::effects::conversation::Caller;
use crate::effects::process::{Processors, Question};
use crate::message::failure::Kind;
use crate::message::hashed::Hashed;
use crate::message::incoming::Incoming;
use crate::message::scanned::Scanned;
use crate::message::transfer::Transfer;
use crate::runtime::deadlines::{LimitOf, Slot, within_limit};
use crate::upstream::proxy_header::Ends;
use crate::worker::{View, Worker};

pub(crate) use keys::{fetch_all as fetch_keys, refresh as refresh_keys};

/// Time limit of an effect for a request without a route, for example for a path that the gateway
/// answers itself, in milliseconds: 15s, the default of `timeout`.
const OWN_MS: u64 = 15_000;

/// Request whose policy chain needs an effect before it can decide, with everything that effects
/// use.
pub(crate) struct PendingDecision<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) view: &'a Rc<View>,
    /// Deadline slot of the task that serves the request. The slot wakes the task when the deadline
    /// passes.
    pub(crate) deadline: &'a Slot,
    /// State that the request's body shares with the response.
    pub(crate) transfer: &'a Rc<Transfer>,
    /// Body of the request.
    pub(crate) body: RefCell<&'a mut Incoming>,
    /// Addresses of the client's connection.
    pub(crate) ends: Ends,
    /// Forwarding fields of the client's connection.
    pub(crate) hop: Arc<ThisHop>,
    /// Host of the request as the client wrote it.
    pub(crate) authority: &'a HeaderValue,
    /// Scheme of the listener: `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Conversations with external processors that continue with the response.
    pub(crate) processors: &'a Processors,
}

impl PendingDecision<'_> {
    /// Starts the scans of `kind: threat` policies on the body, before another step reads it.
    fn scan(&self, scans: &mut Vec<&Scan>, head: &RequestHead) {
        if !scans.is_empty() {
            let body = &mut **self.body.borrow_mut();
            let incoming = std::mem::replace(body, Incoming::Empty);
            *body = Scanned::of(incoming, scans, &head.headers, self.transfer);
            scans.clear();
        }
    }

    /// Sends the request to an external processor, and returns the processor's answer.
    async fn process(
        &self,
        route: Option<&RouteRef<'_>>,
        processing: &Arc<Processing>,
        head: &RequestHead,
        cx: &mut Cx<'_>,
    ) -> Result<Answer, Kind> {
        let Some(route) = route else {
            return Ok(Answer::Outage(Outage::Failed));
        };
        self.scan(&mut cx.scans, head);
        self.compare(&mut cx.content)?;
        let question = Question {
            caller: Caller {
                worker: self.worker,
                view: self.view,
                deadline: self.deadline,
                ends: self.ends,
                client: cx.client,
            },
            processing,
            route,
            transfer: self.transfer,
            body: &self.body,
            body_max: cx.body_limits.request,
            hop: &self.hop,
            authority: self.authority,
            scheme: self.scheme,
            processors: self.processors,
        };
        question.ask(head).await
    }

    /// Begins the comparison of the body with the content that the client signed, before another
    /// step reads or replaces the body.
    fn compare(&self, content: &mut Option<Content>) -> Result<(), Kind> {
        if let Some(content) = content.take() {
            let body = &mut **self.body.borrow_mut();
            let incoming = std::mem::replace(body, Incoming::Empty);
            *body = Hashed::of(incoming, content).map_err(|_| Kind::ContentDigest)?;
        }
        Ok(())
    }

    /// Answer to an effect that was in progress when the limit `of` passed. A computation of the
    /// gateway itself involves no upstream. If the operation's `timeout` passes, this is an outage
    /// of the computation, and its verifier refuses the request.
    ///
    /// # Errors
    /// The limit `of`, if it ends the request.
    fn uncomputed(&self, effect: &Effect, of: LimitOf) -> Result<Answer, LimitOf> {
        match (effect, of) {
            (Effect::Password(_) | Effect::Signature(_), LimitOf::Operation) => {
                let (label, outage) = (effect.kind().label(), Outage::Timeout);
                self.worker.shard.count_policy_call(label, outage.label());
                Ok(Answer::Outage(outage))
            }
            _ => Err(of),
        }
    }

    /// Returns counts to their stores.
    fn give_back(&self, counts: Vec<Count>) {
        let shared = &self.worker.shared;
        for count in counts {
            let client = shared.stores.client(&count.store, shared.clock.now_ms());
            client.give_back(&count);
        }
    }
}

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
    asking: PendingDecision<'_>,
    snapshot: &'s Snapshot,
    mut decided: Decided<'s>,
    head: &mut RequestHead,
    cx: &mut Cx<'s>,
) -> (Decided<'s>, Option<Kind>) {
    let clock = asking.worker.clock;
    let mut failed = None;
    while let Verdict::Ask(effect) = &decided.verdict {
        let route_ms = decided
            .route
            .map_or(OWN_MS, |route| route.treatment.timeout_ms);
        let ends_ms = match has_own_limit(effect) {
            true => u64::MAX,
            false => clock.now_ms().saturating_add(route_ms),
        };
        let limit = asking.deadline.limit(ends_ms, LimitOf::Operation);
        let client = cx.client;
        let body_max = cx.body_limits.request;
        let (mut permit, mut is_stale) = (None, false);
        let answered = {
            let answering = pin!(async {
                Ok(match &**effect {
                    Effect::Http(call) => http::ask(&asking, call, client, &mut is_stale).await,
                    Effect::Keys(cell) => keys::ask(&asking, cell).await,
                    Effect::Password(check) => checks::password(&asking, check, client).await,
                    Effect::Signature(check) => checks::signature(&asking, check, client).await,
                    Effect::Store(count) => store::ask(&asking, count).await,
                    Effect::Permit(wait) => {
                        permits::ask(asking.worker, asking.deadline, wait, &mut permit).await
                    }
                    Effect::Process(_, processing) => {
                        let route = decided.route.as_ref();
                        asking.process(route, processing, head, cx).await?
                    }
                    Effect::Message(check) => match &decided.route {
                        Some(route) => {
                            asking.scan(&mut cx.scans, head);
                            let policy = asking_step(route, decided.ran);
                            let step = (*check, policy);
                            messages::ask(&asking, route, step, (body_max, client), head).await?
                        }
                        None => Answer::Outage(Outage::Failed),
                    },
                    // Only gwc needs this effect. Without a result, no verifier admits a request.
                    Effect::Secret(_) => Answer::Outage(Outage::Failed),
                })
            });
            within_limit(asking.deadline, answering).await
        };
        let Ok(answer) = answered.or_else(|of| asking.uncomputed(effect, of).map(Ok)) else {
            break;
        };
        asking.deadline.limit_again(limit);
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
    asking.give_back(std::mem::take(&mut cx.returned));
    (decided, failed)
}
