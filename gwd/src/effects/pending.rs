//! State of a request whose policy chain needs an effect: what the effects read, and the body that
//! they may replace.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use engine::RouteRef;
use engine::forward::ThisHop;
use http::HeaderValue;
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
use crate::runtime::deadlines::{LimitOf, Slot};
use crate::upstream::proxy_header::Ends;
use crate::worker::{View, Worker};

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
    /// Starts the scans of `kind: threat` policies on the body, before any other step reads the
    /// body.
    pub(super) fn scan(&self, scans: &mut Vec<&Scan>, head: &RequestHead) {
        if !scans.is_empty() {
            let body = &mut **self.body.borrow_mut();
            let incoming = std::mem::replace(body, Incoming::Empty);
            *body = Scanned::of(incoming, scans, &head.headers, self.transfer);
            scans.clear();
        }
    }

    /// Sends the request to an external processor, and returns the processor's answer.
    pub(super) async fn process(
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

    /// Begins the comparison of the body with the content that the client signed, before any other
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
    pub(super) fn uncomputed(&self, effect: &Effect, of: LimitOf) -> Result<Answer, LimitOf> {
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
    pub(super) fn give_back(&self, counts: Vec<Count>) {
        let shared = &self.worker.shared;
        for count in counts {
            let client = shared.stores.client(&count.store, shared.clock.now_ms());
            client.give_back(&count);
        }
    }
}
