//! Conversation with an external processor about the response of the upstream (`kind: ext_proc`).

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use policy::Reply;
use policy::ask::Outage;
use policy::processing::wire::{self, Answer, Part};
use policy::processing::{Processing, apply, of_new_content};

use crate::effects::conversation::Conversation;
use crate::effects::processor_answers::{
    IGNORED, allowed, count, has_content, may_change_of_response, reply,
};
use crate::runtime::deadlines::Slot;
use crate::worker::Worker;

/// Conversation of one processor about a response.
pub(crate) struct Inspection(Conversation);

/// Result of the answer to one message about a response.
pub(crate) enum Inspected {
    /// The processor receives the body of the response.
    More,
    /// The processor receives no further part of the response. A new body, if any, replaces the
    /// response's body.
    Done(Option<Bytes>),
    /// The client gets this response instead.
    Reply(Reply),
}

/// Worker that sends the messages, and the deadline slot of the task that serves the request.
pub(crate) type Tasks<'t> = (&'t Rc<Worker>, &'t Slot);

impl Inspection {
    pub(super) fn new(conversation: Conversation) -> Self {
        Self(conversation)
    }

    /// Settings of the policy.
    pub(crate) fn processing(&self) -> &Processing {
        self.0.processing()
    }

    /// Name of the policy.
    pub(crate) fn policy(&self) -> Arc<str> {
        Arc::clone(&self.processing().policy)
    }

    /// Sends the head of the response, and applies the field changes that the processor requests.
    /// `ends`: the response has no body.
    ///
    /// # Errors
    /// If the processor is unavailable.
    pub(crate) async fn head(
        &mut self,
        tasks: Tasks<'_>,
        (status, headers): (StatusCode, &mut HeaderMap),
        ends: bool,
    ) -> Result<Inspected, Outage> {
        let sends_body = self.processing().has_response_body && !ends;
        let message = wire::response_headers(status, headers, ends);
        let (part, message) = (Part::ResponseHeaders, (message, !sends_body));
        let inspected = self.ask(tasks, message, part, (status, headers)).await?;
        Ok(match inspected {
            Inspected::More if sends_body => Inspected::More,
            Inspected::More => Inspected::Done(None),
            inspected => inspected,
        })
    }

    /// Sends the whole body of the response, and applies the field changes that the processor
    /// requests.
    ///
    /// # Errors
    /// If the processor is unavailable, or if memory is scarce.
    pub(crate) async fn body(
        &mut self,
        tasks: Tasks<'_>,
        (status, headers): (StatusCode, &mut HeaderMap),
        body: &Bytes,
    ) -> Result<Inspected, Outage> {
        // The message is a copy of the body.
        let length = body.len() as u64 + wire::MESSAGE_BYTES_MAX as u64;
        let memory = tasks.0.budgets.memory.take(length);
        let _memory = memory.ok_or(Outage::Overflow)?;
        let message = wire::response_body(body.clone());
        self.ask(
            tasks,
            (message, true),
            Part::ResponseBody,
            (status, headers),
        )
        .await
    }

    /// Counts the outcome of the conversation and ends it.
    pub(crate) fn end(self, worker: &Worker, verdict: &Result<Inspected, Outage>) {
        count(
            worker,
            match verdict {
                Ok(Inspected::Reply(_)) => "replied",
                Ok(Inspected::More | Inspected::Done(_)) => "answered",
                Err(outage) => outage.label(),
            },
        );
        // Dropping the conversation resets its stream.
        if verdict.is_ok() {
            self.0.finish(worker);
        }
    }

    /// Counts that the body of the response is longer than the processor may receive, and ends the
    /// conversation.
    pub(crate) fn end_too_large(self, worker: &Worker) {
        count(worker, "too_large");
        self.0.finish(worker);
    }

    /// Sends a message about `part`, and evaluates the answer to it.
    async fn ask(
        &mut self,
        (worker, deadline): Tasks<'_>,
        (message, is_last): (Bytes, bool),
        part: Part,
        (status, headers): (StatusCode, &mut HeaderMap),
    ) -> Result<Inspected, Outage> {
        self.0.send(message, is_last);
        let answer = self.0.answer(deadline, worker.clock.now_ms()).await?;
        match answer {
            // The processor has ended the stream.
            None => Ok(Inspected::Done(None)),
            Some(Answer::Immediate { status, edit }) => {
                Ok(Inspected::Reply(reply(worker, status, edit)))
            }
            Some(Answer::Continue(about, edit)) if about == part => {
                let changes = allowed(worker, edit.ignored, edit.changes, may_change_of_response);
                // A body in the answer to a head replaces the body only with
                // `CONTINUE_AND_REPLACE`.
                let is_head = part == Part::ResponseHeaders;
                let mut body = match is_head {
                    true => edit.replaces.then(|| edit.body.unwrap_or_default()),
                    false => edit.body,
                };
                if !has_content(status) && body.take_if(|body| !body.is_empty()).is_some() {
                    count(worker, IGNORED);
                }
                if body.is_some() {
                    apply(&of_new_content().collect::<Vec<_>>(), headers);
                }
                apply(&changes, headers);
                Ok(match is_head && !edit.replaces {
                    true => Inspected::More,
                    false => Inspected::Done(body),
                })
            }
            Some(Answer::Continue(..) | Answer::Nothing) => Err(Outage::Failed),
        }
    }
}
