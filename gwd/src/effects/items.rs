//! Check of the items of a sequence against the description of its operation.

use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bundle::digest::Digest;
use bytes::Bytes;
use policy::invalid::{Finding, Part, REQUEST, RESPONSE, TOO_LARGE, UNAVAILABLE};
use policy::logged::{Message, RedactedValue, redact_findings};
use policy::validation::Mode;
use policy::{Reject, ask::Outage};
use validator::{BodyKind, Operation};

use crate::message::sequence::{ITEM_BYTES_MAX, ItemCheck, ItemRefusal, Unchecked};
use crate::message::transfer::Transfer;
use crate::worker::Worker;

/// Maximum length of an item that a worker checks itself, in bytes.
const SHORT_BYTES: usize = 4 << 10;
/// Maximum time for which a body waits for the check of a long item: 5s.
const LONG: Duration = Duration::from_secs(5);

/// Result of the check of a long item. `None`: no result in time, or too little memory.
type LongCheck = Pin<Box<dyn Future<Output = Option<Option<Vec<Finding>>>>>>;

/// Check of the items of one body.
pub(crate) struct ItemValidation {
    pub(crate) worker: Rc<Worker>,
    /// State of the exchange, which gets the results.
    pub(crate) transfer: Rc<Transfer>,
    pub(crate) operation: Arc<Operation>,
    pub(crate) kind: BodyKind,
    /// Address of the client. Client addresses take turns to use the threads for computations.
    pub(crate) client: IpAddr,
    /// Name of the policy, and its mode without the limit of an operator.
    pub(crate) policy: Arc<str>,
    pub(crate) mode: Mode,
    pub(crate) message: Message,
    /// Bundle of the exchange, to which an operator can limit the mode.
    pub(crate) bundle: Digest,
    /// Values that must not appear in findings.
    pub(crate) redacted: Vec<RedactedValue>,
    pub(crate) state: ItemState,
}

/// Progress of the check of one body.
#[derive(Default)]
pub(crate) struct ItemState {
    /// Number of items that were checked or skipped.
    index: u64,
    running: Option<LongCheck>,
    /// True if an item was not checked.
    is_partial: bool,
    /// True once the outcome was counted.
    is_counted: bool,
}

impl ItemValidation {
    /// Mode that applies now. An operator can limit it at any time.
    fn mode(&self) -> Mode {
        let limit = self.worker.shared.validation_limit.of(&self.bundle);
        limit.map_or(self.mode, |limit| limit.min(self.mode))
    }

    /// Counts the outcome of the check of the body, once.
    fn count(&mut self, outcome: &'static str) {
        if !std::mem::replace(&mut self.state.is_counted, true) {
            let kind = match self.message {
                Message::Request => "validate",
                Message::Response => "validate_response",
            };
            self.worker.shard.count_policy_call(kind, outcome);
        }
    }

    /// Reports an item that the mode refuses or logs.
    fn report(
        &self,
        reject: &'static Reject,
        findings: Vec<Finding>,
        refusal: ItemRefusal,
    ) -> Result<(), ItemRefusal> {
        let logs = self.mode() != Mode::Block;
        let subject = (&self.policy, self.message);
        self.transfer.items.add(subject, logs, reject, findings);
        match logs {
            true => Ok(()),
            false => Err(refusal),
        }
    }

    /// Decides about an item with these findings. `None`: the bytes are no item.
    fn accept(&mut self, findings: Option<Vec<Finding>>) -> Result<(), ItemRefusal> {
        let Some(mut findings) = findings else {
            return Ok(());
        };
        self.state.index += 1;
        if findings.is_empty() || self.mode() == Mode::Off {
            return Ok(());
        }
        self.count("invalid");
        redact_findings(&mut findings, self.message, (&self.redacted, &[]));
        let reject = match self.message {
            Message::Request => &REQUEST,
            Message::Response => &RESPONSE,
        };
        self.report(reject, findings, ItemRefusal::Invalid)
    }

    /// Decides about an item without a result of its check.
    fn without_result(&mut self, outage: Outage) -> Result<(), ItemRefusal> {
        self.state.index += 1;
        self.state.is_partial = true;
        let is_limited = self.mode() != self.mode;
        self.count(outage.label());
        // While an operator has limited validation, an outage of the validator is not reported.
        match is_limited {
            true => Ok(()),
            false => self.report(&UNAVAILABLE, Vec::new(), ItemRefusal::Unavailable),
        }
    }
}

impl ItemCheck for ItemValidation {
    fn begin(&mut self, item: &Bytes) -> Poll<Result<(), ItemRefusal>> {
        if self.mode() == Mode::Off {
            self.state.index += 1;
            self.state.is_partial = true;
            return Poll::Ready(Ok(()));
        }
        let (kind, index) = (&self.kind, self.state.index);
        if item.len() <= SHORT_BYTES
            && let Some(findings) = validator::briefly(|| self.operation.item(kind, index, item))
        {
            return Poll::Ready(self.accept(findings));
        }
        let (worker, client) = (Rc::clone(&self.worker), self.client);
        let (operation, item) = (Arc::clone(&self.operation), item.clone());
        let (kind, index) = (self.kind.clone(), self.state.index);
        self.state.running = Some(Box::pin(async move {
            let shared = &worker.shared;
            let checked = async {
                let permit = shared.validations.take(client).await?;
                let memory = worker.budgets.memory.take(Operation::memory(&item))?;
                // The permit is held until the computation ends, even if the client disconnects.
                let work = move || {
                    let _resources = (permit, memory);
                    operation.item(&kind, index, &item)
                };
                shared.compute.run(work).await
            };
            tokio::time::timeout(LONG, checked).await.ok().flatten()
        }));
        Poll::Pending
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ItemRefusal>> {
        let Some(running) = &mut self.state.running else {
            return Poll::Ready(Ok(()));
        };
        let Poll::Ready(result) = running.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        self.state.running = None;
        Poll::Ready(match result {
            Some(findings) => self.accept(findings),
            None => self.without_result(Outage::Timeout),
        })
    }

    fn hold(&mut self, bytes: u64) {
        match self.message {
            Message::Request => self.transfer.upload.hold(bytes),
            Message::Response => self.transfer.response_held.set(true),
        }
    }

    fn skip(&mut self, why: Unchecked) -> Result<(), ItemRefusal> {
        if why == Unchecked::NoMemory {
            return self.without_result(Outage::Overflow);
        }
        let pointer = format!("#/{}", self.state.index);
        self.state.index += 1;
        self.state.is_partial = true;
        if self.mode() != Mode::Block {
            return Ok(());
        }
        self.count("unchecked");
        if self.message == Message::Response {
            return Err(ItemRefusal::TooLong);
        }
        let finding = Finding {
            part: Part::Body,
            pointer,
            detail: format!("is longer than {ITEM_BYTES_MAX} bytes"),
        };
        self.report(&TOO_LARGE, vec![finding], ItemRefusal::TooLong)
    }

    fn end(&mut self) {
        self.count(match self.state.is_partial {
            true => "unchecked",
            false => "valid",
        });
    }
}
