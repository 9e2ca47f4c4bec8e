//! State of the current response: bytes that the client has read, and the action when the deadline
//! of the response passes.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Context;

use http::{HeaderMap, HeaderName};

use crate::message::transfer::Transfer;
use crate::runtime::deadlines::LimitOf;
use crate::telemetry::process::LimitedResource;
use crate::upstream::call_cx::CallCx;
use crate::upstream::slow::SlowReading;

/// Maximum time to send the end of a response after its deadline: 1s.
const FINAL_SEND_MS: u64 = 1_000;

/// Response that is sent while its request is still being sent.
pub(crate) trait EarlyResponse {
    /// Sends available bytes of the request's body while the client reads nothing of the response:
    /// the client may send its whole body before it reads.
    fn send_upload(&mut self, cx: &mut Context<'_>);
}

/// State of the current response: reasons to end it early, its limits, and slow reading by the
/// client.
#[derive(Default)]
pub(crate) struct ResponseState {
    /// Fields that the trailers may not contain.
    withheld: RefCell<Arc<[HeaderName]>>,
    /// True if written bytes have not been flushed.
    pub(crate) unflushed: Cell<bool>,
    /// True if the deadline of the client's gRPC call has passed.
    pub(crate) past_deadline: Cell<bool>,
    /// True if a credential has expired that must end the response.
    pub(crate) credential_ended: Cell<bool>,
    /// True if the upstream has sent no byte within the idle timeout.
    pub(crate) upstream_timed_out: Cell<bool>,
    /// Maximum length of the body, in bytes. `None`: unlimited.
    bytes_max: Cell<Option<u64>>,
    /// Count of the client as a slow reader of its response.
    pub(crate) slow_reading: SlowReading,
    /// Response that began before its request was sent completely. HTTP/2 only.
    early: RefCell<Option<Weak<RefCell<dyn EarlyResponse>>>>,
}

impl ResponseState {
    /// Resets the state of the previous exchange.
    pub(crate) fn exchange_begins(&self) {
        self.upstream_timed_out.set(false);
        self.past_deadline.set(false);
        self.credential_ended.set(false);
        self.bytes_max.set(None);
    }

    /// Sets the maximum length of the body, in bytes. `u64::MAX`: unlimited.
    pub(crate) fn limit(&self, bytes_max: u64) {
        let limited = bytes_max != u64::MAX;
        self.bytes_max.set(limited.then_some(bytes_max));
    }

    /// True if the body has a maximum length.
    pub(crate) fn is_limited(&self) -> bool {
        self.bytes_max.get().is_some()
    }

    /// True if a body of this length is too long.
    pub(crate) fn is_too_long(&self, bytes: u64) -> bool {
        self.bytes_max.get().is_some_and(|most| bytes > most)
    }

    /// Sets the fields that the trailers may not contain.
    pub(crate) fn withhold(&self, fields: &Arc<[HeaderName]>) {
        if !(fields.is_empty() && self.withheld.borrow().is_empty()) {
            self.withheld.replace(Arc::clone(fields));
        }
    }

    /// Removes from trailers the fields that clients must not see.
    pub(crate) fn strip(&self, trailers: &mut HeaderMap) {
        engine::edge::trailers(trailers, &self.withheld.borrow());
    }

    /// Registers a response that begins while its request is still being sent.
    pub(crate) fn responds_early<B: EarlyResponse + 'static>(&self, body: &Rc<RefCell<B>>) {
        let body: Weak<RefCell<B>> = Rc::downgrade(body);
        *self.early.borrow_mut() = Some(body);
    }

    /// Sends available bytes of the request's body while the client reads nothing of an early
    /// response.
    pub(crate) fn send_upload(&self, cx: &mut Context<'_>) {
        let early = self.early.borrow().as_ref().and_then(Weak::upgrade);
        if let Some(body) = early {
            body.borrow_mut().send_upload(cx);
        }
    }

    /// True if a response whose deadline has passed must be dropped, because it may neither
    /// continue nor end with an error or a gRPC status.
    pub(crate) fn is_given_up(&self, transfer: &Transfer, calls: &CallCx) -> bool {
        if self.credential_ended.get() {
            return true;
        }
        !self.begin_credential_end(transfer)
            && !self.extend_for_slow_reader(transfer, calls)
            && !self.extend_for_silence(transfer)
            && !self.begin_deadline_end(transfer)
            && !self.begin_idle_end(transfer)
    }

    /// True if a client that reads the response slowly may continue reading. Sets the next
    /// deadline.
    fn extend_for_slow_reader(&self, transfer: &Transfer, calls: &CallCx) -> bool {
        let now_ms = transfer.clock.now_ms();
        let until_ms = self.slow_reading.until_ms();
        let passed = now_ms >= until_ms || transfer.deadline.limit_passed(now_ms);
        if !transfer.response_waits() || passed {
            return false;
        }
        let has_room = self.slow_reading.begin(&calls.budgets.slow_addresses);
        match has_room {
            true => transfer.deadline.set(self.slow_reading.next_ms(now_ms)),
            false => calls.shard.process.shed(LimitedResource::SlowDownloads),
        }
        has_room
    }

    /// True if a response whose deadline has passed may continue: it is a stream, the client has
    /// read all bytes, and the upstream is silent. Sets the next deadline.
    fn extend_for_silence(&self, transfer: &Transfer) -> bool {
        let now_ms = transfer.clock.now_ms();
        let waits = self.awaits_upstream(transfer);
        let stays = transfer.endless.get() && waits && !transfer.deadline.limit_passed(now_ms);
        if stays {
            transfer.deadline.set(now_ms + transfer.idle_ms());
        }
        stays
    }

    /// True if the upstream has just exceeded the idle timeout. The response then ends with an
    /// error, for which it gets [`FINAL_SEND_MS`].
    fn begin_idle_end(&self, transfer: &Transfer) -> bool {
        let waits = self.awaits_upstream(transfer);
        let is_first = waits && !self.upstream_timed_out.replace(waits);
        if is_first {
            allow_final_send(transfer);
        }
        is_first
    }

    /// True if the deadline of a gRPC call has passed during its response. The call then ends with
    /// a status, for which it gets [`FINAL_SEND_MS`].
    fn begin_deadline_end(&self, transfer: &Transfer) -> bool {
        let now_ms = transfer.clock.now_ms();
        let passed = transfer.is_grpc.get() && transfer.deadline.limit_passed(now_ms);
        if passed {
            self.past_deadline.set(true);
            allow_final_send(transfer);
        }
        passed
    }

    /// True if a credential that must end the response has just expired. The response then ends
    /// with an error or a gRPC status, for which it gets [`FINAL_SEND_MS`].
    fn begin_credential_end(&self, transfer: &Transfer) -> bool {
        let limit = transfer.deadline.passed_limit(transfer.clock.now_ms());
        let ended = limit == Some(LimitOf::Credential);
        if ended {
            self.credential_ended.set(true);
            allow_final_send(transfer);
        }
        ended
    }

    /// True if the client has read all bytes and the upstream is silent.
    fn awaits_upstream(&self, transfer: &Transfer) -> bool {
        transfer.upstream_silent.get() && !self.unflushed.get()
    }
}

/// Sets the deadline for the end of a response.
fn allow_final_send(transfer: &Transfer) {
    let now_ms = transfer.clock.now_ms();
    transfer.deadline.no_limit();
    transfer.deadline.set(now_ms + FINAL_SEND_MS);
}
