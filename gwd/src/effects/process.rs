//! External processing: the conversation of an exchange with a processor (`kind: ext_proc`).
//!
//! The gateway opens one gRPC stream per policy and exchange, over the upstream of the processor.
//! The gateway sends the head of the request, the request's body if the policy wants it, and later
//! the head and the body of the response. Before each further message, the gateway waits for the
//! answer to the previous one. With the last message, the gateway ends its direction of the stream.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use engine::forward::ThisHop;
use engine::{RouteRef, forward};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Body as _;
use policy::ask::{Answer, Outage};
use policy::managed::HOPS;
use policy::processing::wire::{self, BufferedBodies, Part};
use policy::processing::{Change, Processed, Processing, may_change_request, of_new_content};
use policy::{Reply, RequestHead};

use crate::effects::conversation::{Caller, Conversation};
use crate::effects::inspection::Inspection;
use crate::effects::processor_answers::{allowed, count, reply};
use crate::message::failure::Kind;
use crate::message::incoming::Incoming;
use crate::message::kept::PrefixedBody;
use crate::message::transfer::Transfer;
use crate::message::whole::{self, Whole};
use crate::worker::Worker;

/// Maximum length of a request body that is read only to be discarded, in bytes. The limit applies
/// if the policy sends no body to the processor.
const DISCARDED_BYTES_MAX: u64 = 1 << 20;

/// Conversations of an exchange that continue with the response.
#[derive(Default)]
pub(crate) struct Processors(RefCell<Vec<Conversation>>);

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
        let sends_body = has_body && self.processing.has_request_body;
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
        let buffered = BufferedBodies {
            request: self.processing.has_request_body,
            response: self.processing.has_response_body,
        };
        wire::request_headers(&pseudo, &headers, (ends, buffered))
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
        let own = match self.processing.has_request_body {
            true => self.processing.body_bytes_max,
            false => DISCARDED_BYTES_MAX,
        };
        let of_route = self.route.treatment.max_body_bytes.unwrap_or(u64::MAX);
        let bytes_max = own.min(of_route).min(self.body_max);
        let body = std::mem::replace(&mut **self.body.borrow_mut(), Incoming::Empty);
        let memory = &self.caller.worker.budgets.memory;
        let (body, read) = whole::read(body, bytes_max, self.transfer, memory).await;
        **self.body.borrow_mut() = body;
        read
    }
}

// === impl Processors ===

impl Processors {
    /// True if no processor waits for the response.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Conversation about the response with the last processor of the chain that waits for it.
    pub(crate) fn next(&self) -> Option<Inspection> {
        self.0.borrow_mut().pop().map(Inspection::new)
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
