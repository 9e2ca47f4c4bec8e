//! External processing: the conversation of an exchange with a processor (`kind: ext_proc`).
//!
//! The gateway opens one gRPC stream per policy and exchange, over the upstream of the processor.
//! The gateway sends the head of the request, the request's body if the policy wants it, and later
//! the head of the response. Before each further message, the gateway waits for the answer to the
//! previous one. With the last message, the gateway ends its direction of the stream.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use engine::forward::ThisHop;
use engine::{RouteRef, edge, forward};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Body as _;
use policy::ask::{Answer, CallKind, Outage};
use policy::guard::ext_proc::DENIED;
use policy::managed::HOPS;
use policy::processing::wire::{self, Edit, Part};
use policy::processing::{
    Change, Processed, Processing, apply, may_change_request, may_change_response, of_new_content,
};
use policy::{Reply, RequestHead};

use crate::effects::conversation::{Caller, Conversation};
use crate::message::failure::Kind;
use crate::message::incoming::Incoming;
use crate::message::kept::PrefixedBody;
use crate::message::transfer::Transfer;
use crate::message::whole::{self, Whole};
use crate::runtime::deadlines::Slot;
use crate::worker::Worker;

/// Label in `gwd_policy_calls_total` for changes that a processor requests but must not make.
const IGNORED: &str = "ignored_change";
/// Maximum length of a request body that is read only to be discarded, in bytes. The limit applies
/// if the policy sends no body to the processor.
const DISCARDED_BYTES_MAX: u64 = 1 << 20;

/// Conversations of an exchange that continue with the response.
#[derive(Default)]
pub(crate) struct Processors(RefCell<Vec<Conversation>>);

/// Verdict of the processors about a response.
pub(crate) enum ResponseVerdict {
    /// The response continues.
    Continue {
        /// Body that replaces the upstream's. `None`: the body stays.
        body: Option<Bytes>,
        /// Policies that let the response pass although their processors are unavailable.
        unavailable: Vec<Arc<str>>,
    },
    /// The client gets the response of this policy instead.
    Reply(Arc<str>, Reply),
    /// A processor is unavailable, and its policy then refuses responses.
    Unavailable(Outage),
}

fn count(worker: &Worker, outcome: &'static str) {
    let kind = CallKind::ExtProc.label();
    worker.shard.count_policy_call(kind, outcome);
}

/// Request to be sent to an external processor, with everything that the conversation uses.
pub(super) struct Question<'q, 'a> {
    pub(super) caller: Caller<'q>,
    pub(super) processing: &'q Arc<Processing>,
    pub(super) route: &'q RouteRef<'q>,
    /// State that the request's body shares with the response.
    pub(super) transfer: &'q Rc<Transfer>,
    pub(super) body: &'q RefCell<&'a mut Incoming>,
    /// Limit of the chain on the length of the body, in bytes.
    pub(super) body_max: u64,
    /// Forwarding fields of the client's connection.
    pub(super) hop: &'q ThisHop,
    /// Host of the request as the client wrote it.
    pub(super) authority: &'q HeaderValue,
    /// Scheme of the listener: `http` or `https`.
    pub(super) scheme: &'static str,
    /// Conversations that continue with the response.
    pub(super) processors: &'q Processors,
}

/// Result of the answer to one message.
enum Next {
    /// The processor receives the next part of the request.
    More,
    /// The processor receives no further part of the request. A new body, if any, replaces the
    /// request's body.
    Done(Option<Bytes>),
    /// The client gets this response.
    Reply(Reply),
    /// The body of the request is longer than the processor may receive.
    TooLarge,
}

impl Question<'_, '_> {
    /// Sends the request to the processor, returns the processor's answer, and counts the outcome.
    ///
    /// # Errors
    /// If the client's body cannot be read. The request ends with this failure.
    pub(super) async fn ask(&self, head: &RequestHead) -> Result<Answer, Kind> {
        let count = |outcome| count(self.caller.worker, outcome);
        Ok(match self.request(head).await? {
            Ok(processed) => {
                count(match &processed {
                    Processed::Continue(_) => "answered",
                    Processed::Reply(_) => "replied",
                    Processed::TooLarge => "too_large",
                });
                Answer::Processed(Arc::new(processed))
            }
            Err(outage) => {
                count(outage.label());
                Answer::Outage(outage)
            }
        })
    }

    /// Sends the parts of the request, and returns the combined answer.
    async fn request(&self, head: &RequestHead) -> Result<Result<Processed, Outage>, Kind> {
        let worker = self.caller.worker;
        let has_body = !self.body.borrow().is_end_stream();
        let sends_body = has_body && self.processing.body_bytes_max.is_some();
        let is_last = !sends_body && !self.processing.has_response;
        let first = (self.head_message(head, !has_body), is_last);
        let opened = Conversation::open(&self.caller, self.processing, first);
        let (mut conversation, answer) = match opened.await {
            Ok(opened) => opened,
            Err(outage) => return Ok(Err(outage)),
        };
        let mut changes = Vec::new();
        let mut next = self.next(answer, Part::RequestHeaders, &mut changes);
        if sends_body && matches!(next, Ok(Next::More)) {
            next = self.body(&mut conversation, &mut changes).await?;
        } else if has_body && matches!(next, Ok(Next::Done(Some(_)))) {
            next = self.discard_body(next).await?;
        }
        let new_body = match next {
            // Dropping the conversation resets its stream.
            Err(outage) => return Ok(Err(outage)),
            Ok(Next::Reply(reply)) => {
                conversation.finish(worker);
                return Ok(Ok(Processed::Reply(reply)));
            }
            Ok(Next::TooLarge) => {
                conversation.finish(worker);
                return Ok(Ok(Processed::TooLarge));
            }
            Ok(Next::Done(body)) => body,
            Ok(Next::More) => None,
        };
        if let Some(body) = new_body {
            let body = PrefixedBody::new(&body, None, Incoming::Empty);
            **self.body.borrow_mut() = Incoming::Buffered(Box::new(body));
            // Changes of the processor apply after the removal of the fields of the old content.
            changes.splice(0..0, of_new_content());
        }
        match self.processing.has_response && conversation.is_open() {
            true => self.processors.0.borrow_mut().push(conversation),
            false => conversation.finish(worker),
        }
        Ok(Ok(Processed::Continue(changes.into())))
    }

    /// Sends the body of the request, and evaluates the answer to it.
    async fn body(
        &self,
        conversation: &mut Conversation,
        changes: &mut Vec<Change>,
    ) -> Result<Result<Next, Outage>, Kind> {
        let body = match self.read_body().await? {
            Whole::Read(body) => body,
            Whole::Longer => return Ok(Ok(Next::TooLarge)),
            Whole::NoMemory => return Ok(Err(Outage::Overflow)),
        };
        let worker = self.caller.worker;
        // The message is a copy of the body.
        let length = body.len() as u64 + wire::MESSAGE_BYTES_MAX as u64;
        let Some(_memory) = worker.budgets.memory.take(length) else {
            return Ok(Err(Outage::Overflow));
        };
        conversation.send(wire::request_body(body), !self.processing.has_response);
        let now_ms = worker.clock.now_ms();
        let answer = conversation.answer(self.caller.deadline, now_ms).await;
        Ok(answer.and_then(|answer| self.next(answer, Part::RequestBody, changes)))
    }

    /// Reads the request's body and discards it, because a new body replaces it.
    async fn discard_body(&self, next: Result<Next, Outage>) -> Result<Result<Next, Outage>, Kind> {
        Ok(match self.read_body().await? {
            Whole::Read(_) => next,
            Whole::Longer => Ok(Next::TooLarge),
            Whole::NoMemory => Err(Outage::Overflow),
        })
    }

    /// Message with the head of the request: its fields with the forwarding fields that upstreams
    /// get.
    fn head_message(&self, head: &RequestHead, ends: bool) -> Bytes {
        let mut headers = match &self.processing.request_headers {
            None => head.headers.clone(),
            Some(names) => {
                let mut headers = HeaderMap::new();
                let hops = HOPS.map(HeaderName::from_static);
                for name in names.iter().chain(&hops) {
                    for value in head.headers.get_all(name) {
                        headers.append(name, value.clone());
                    }
                }
                headers
            }
        };
        forward::continued(&mut headers, self.hop, "");
        let pseudo: [(&str, &[u8]); 4] = [
            (":method", head.method.as_str().as_bytes()),
            (":scheme", self.scheme.as_bytes()),
            (":authority", self.authority.as_bytes()),
            (":path", head.target.as_str().as_bytes()),
        ];
        let is_buffered = self.processing.body_bytes_max.is_some();
        wire::request_headers(&pseudo, &headers, (ends, is_buffered))
    }

    /// Evaluates the answer to the message with `part`. `None`: the processor has ended the stream.
    fn next(
        &self,
        answer: Option<wire::Answer>,
        part: Part,
        changes: &mut Vec<Change>,
    ) -> Result<Next, Outage> {
        let worker = self.caller.worker;
        let Some(answer) = answer else {
            return Ok(Next::Done(None));
        };
        match answer {
            wire::Answer::Immediate { status, edit } => {
                Ok(Next::Reply(reply(worker, status, edit)))
            }
            wire::Answer::Continue(about, edit) if about == part => {
                let identity = &self.route.treatment.identity_fields;
                let may_change = |change: &Change| may_change_request(change.name(), identity);
                changes.extend(allowed(worker, edit.ignored, edit.changes, may_change));
                Ok(match (part, edit.replaces) {
                    // A body in the answer to a head replaces the body only with
                    // `CONTINUE_AND_REPLACE`.
                    (Part::RequestHeaders, false) => Next::More,
                    (Part::RequestHeaders, true) => Next::Done(Some(edit.body.unwrap_or_default())),
                    (_, _) => Next::Done(edit.body),
                })
            }
            wire::Answer::Continue(..) | wire::Answer::Nothing => Err(Outage::Failed),
        }
    }

    /// Reads the whole body of the request.
    async fn read_body(&self) -> Result<Whole, Kind> {
        let own = self.processing.body_bytes_max;
        let of_route = self.route.treatment.max_body_bytes.unwrap_or(u64::MAX);
        let bytes_max = own.unwrap_or(DISCARDED_BYTES_MAX);
        let bytes_max = bytes_max.min(of_route).min(self.body_max);
        let body = std::mem::replace(&mut **self.body.borrow_mut(), Incoming::Empty);
        let memory = &self.caller.worker.budgets.memory;
        let (body, read) = whole::read(body, bytes_max, self.transfer, memory).await;
        **self.body.borrow_mut() = body;
        read
    }
}

/// Returns the changes that a processor may make. Counts the other changes as ignored.
fn allowed(
    worker: &Worker,
    ignored: u32,
    changes: Vec<Change>,
    may_change: impl Fn(&Change) -> bool,
) -> Vec<Change> {
    let all = changes.len();
    let allowed: Vec<Change> = changes.into_iter().filter(may_change).collect();
    for _ in 0..ignored as usize + all - allowed.len() {
        count(worker, IGNORED);
    }
    allowed
}

/// Converts the immediate response of a processor to a reply for the client.
fn reply(worker: &Worker, status: StatusCode, edit: Edit) -> Reply {
    let mut headers = HeaderMap::new();
    let changes = allowed(worker, edit.ignored, edit.changes, may_change_of_response);
    apply(&changes, &mut headers);
    let mut body = edit.body.unwrap_or_default();
    // Responses without content (RFC 9110 §15).
    let has_content = !matches!(status.as_u16(), 204 | 205 | 304);
    if !has_content && !body.is_empty() {
        count(worker, IGNORED);
        body = Bytes::new();
    }
    Reply {
        status,
        headers,
        body,
        refusal: (!status.is_success()).then_some(&DENIED),
    }
}

fn may_change_of_response(change: &Change) -> bool {
    let name = change.name();
    may_change_response(name) && !edge::is_reserved_for_gateway(name.as_str())
}

// === impl Processors ===

impl Processors {
    /// True if no processor waits for the response.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Sends the head of a response to the processors in reverse order of the chain, and applies
    /// the field changes that they request. `ends`: the response has no body.
    pub(crate) async fn response(
        &self,
        (worker, deadline): (&Rc<Worker>, &Slot),
        status: StatusCode,
        headers: &mut HeaderMap,
        ends: bool,
    ) -> ResponseVerdict {
        let mut body = None;
        let mut unavailable = Vec::new();
        loop {
            let Some(conversation) = self.0.borrow_mut().pop() else {
                return ResponseVerdict::Continue { body, unavailable };
            };
            let is_open = conversation.processing().is_open;
            let policy = Arc::clone(&conversation.processing().policy);
            match of_response(conversation, (worker, deadline), status, headers, ends).await {
                Ok(Next::Reply(reply)) => return ResponseVerdict::Reply(policy, reply),
                Ok(Next::Done(Some(new))) => body = Some(new),
                Ok(Next::Done(None) | Next::More | Next::TooLarge) => {}
                Err(_) if is_open => unavailable.push(policy),
                Err(outage) => return ResponseVerdict::Unavailable(outage),
            }
        }
    }

    /// Ends the conversations that still wait for a response when the exchange ends. The loop is a
    /// separate function: most exchanges have no conversation, and an inlined loop would cost each
    /// of them 28 instructions.
    #[inline]
    pub(crate) fn finish(&self, worker: &Rc<Worker>) {
        if !self.is_empty() {
            self.finish_all(worker);
        }
    }

    #[cold]
    fn finish_all(&self, worker: &Rc<Worker>) {
        for conversation in self.0.take() {
            conversation.finish(worker);
        }
    }
}

/// Sends the head of a response to one processor, and returns the processor's verdict.
async fn of_response(
    mut conversation: Conversation,
    (worker, deadline): (&Rc<Worker>, &Slot),
    status: StatusCode,
    headers: &mut HeaderMap,
    ends: bool,
) -> Result<Next, Outage> {
    conversation.send(wire::response_headers(status, headers, ends), true);
    let answer = conversation.answer(deadline, worker.clock.now_ms()).await;
    let next = match answer {
        Ok(None) => Ok(Next::Done(None)),
        Ok(Some(wire::Answer::Immediate { status, edit })) => {
            Ok(Next::Reply(reply(worker, status, edit)))
        }
        Ok(Some(wire::Answer::Continue(Part::ResponseHeaders, edit))) => {
            let changes = allowed(worker, edit.ignored, edit.changes, may_change_of_response);
            let body = edit.replaces.then(|| edit.body.unwrap_or_default());
            if body.is_some() {
                apply(&of_new_content().collect::<Vec<_>>(), headers);
            }
            apply(&changes, headers);
            Ok(Next::Done(body))
        }
        Ok(Some(_)) => Err(Outage::Failed),
        Err(outage) => Err(outage),
    };
    count(
        worker,
        match &next {
            Ok(Next::Reply(_)) => "replied",
            Ok(_) => "answered",
            Err(outage) => outage.label(),
        },
    );
    if next.is_ok() {
        conversation.finish(worker);
    }
    next
}
