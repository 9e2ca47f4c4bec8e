//! State of an exchange that its request body and its response share: deadline, phase, and the
//! party for which the gateway waits.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::{HeaderMap, HeaderName};
use policy::invalid::{Finding, Invalid, Part};
use policy::threat::REFUSED;

use crate::limits::inbox::UnreadBody;
use crate::message::copies::Copies;
use crate::message::item_reports::ItemReports;
use crate::message::pace::TimeLimits;
use crate::message::scanned::Found;
use crate::message::sends::Sends;
use crate::runtime::clock::Clock;
use crate::runtime::deadlines::{Limit, LimitOf, Slot};

/// Minimum time for a request body, and for its response, even if a credential or the client's
/// certificate becomes invalid earlier: 1s. Ordinary messages are complete within this time.
pub(crate) const MESSAGE_MS_MIN: u64 = 1_000;

/// Phase of an exchange, which determines what the deadline means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The connection is between two exchanges.
    Idle,
    /// A request head has begun to arrive and is incomplete.
    Head,
    /// The exchange is in progress and watches the deadline itself.
    Exchange,
    /// The response's body is being sent. If the deadline passes, the stream ends.
    Body,
}

/// State that the bodies of the current request and its response share.
pub(crate) struct Transfer {
    pub(crate) deadline: Slot,
    pub(crate) clock: Clock,
    /// Time limits for a slow client.
    pub(crate) time_limits: TimeLimits,
    phase: Cell<Phase>,
    /// True if the current request is gRPC.
    pub(crate) is_grpc: Cell<bool>,
    /// True if the current response is a stream, in which the upstream may pause without a limit.
    pub(crate) endless: Cell<bool>,
    /// True if the upstream has sent nothing since the client took the last bytes.
    pub(crate) upstream_silent: Cell<bool>,
    /// Time at which the bodies must end because a credential of the request expires. `u64::MAX`
    /// if they may continue.
    credential_ends_ms: Cell<u64>,
    /// Time limit of the request before the expiry of its credentials limited the upload. Restored
    /// when the upload ends. `None` if the expiry does not limit an upload.
    limit_after_upload: Cell<Option<Limit>>,
    /// True if bytes of the response have arrived that do not pass yet, because their item is
    /// incomplete. They restart the idle timeout of the upstream.
    pub(crate) response_held: Cell<bool>,
    /// State of the request's body.
    pub(crate) upload: UploadState,
    /// Results of the checks of items in the bodies of request and response.
    pub(crate) items: ItemReports,
}

/// State of the current request's body.
pub(crate) struct UploadState {
    /// Maximum length of the body, in bytes.
    bytes_max: Cell<u64>,
    /// Mirror copies that receive the request's body. `None`: no copies.
    copies: Cell<Option<Rc<Copies>>>,
    /// Fields that are removed from the trailers. Only set if the request can have trailers.
    withheld: RefCell<Arc<[HeaderName]>>,
    /// Number of bytes that were read of the body so far.
    read: Cell<u64>,
    /// Number of bytes, among [`Self::read`], that were read before the upload began and that the
    /// upload reads again.
    read_early: Cell<u64>,
    /// Number of bytes, among [`Self::read`], that arrived while response data waited for the
    /// client, since the last call of [`Self::take_read_meanwhile`].
    read_meanwhile: Cell<u64>,
    /// Time for which the gateway has waited for the client's bytes, in nanoseconds, without the
    /// wait that [`Self::awaits_since_ns`] began.
    awaited_ns: Cell<u64>,
    /// Start of the current wait for the client's bytes, in nanoseconds of the clock. `None` if the
    /// gateway does not wait for them.
    awaits_since_ns: Cell<Option<u64>>,
    /// Number of bytes that were received since the last call of [`Self::take_incomplete`] and are
    /// not forwarded yet, because their item is incomplete.
    incomplete: Cell<u64>,
    /// Violations that scans of the body found.
    found: RefCell<Vec<Found>>,
    /// Count of body bytes that have arrived and were not read. `None` over HTTP/1.
    unread: Option<UnreadBody>,
}

// === impl Transfer ===

impl Transfer {
    /// Creates the state of a connection's or stream's exchanges, in its first phase. `unread`
    /// counts bytes of the request's body over HTTP/2.
    pub(crate) fn new(
        deadline: Slot,
        clock: Clock,
        time_limits: TimeLimits,
        phase: Phase,
        unread: Option<UnreadBody>,
    ) -> Rc<Self> {
        Rc::new(Self {
            deadline,
            clock,
            time_limits,
            phase: Cell::new(phase),
            is_grpc: Cell::new(false),
            endless: Cell::new(false),
            upstream_silent: Cell::new(false),
            credential_ends_ms: Cell::new(u64::MAX),
            limit_after_upload: Cell::new(None),
            response_held: Cell::new(false),
            upload: UploadState {
                bytes_max: Cell::new(u64::MAX),
                copies: Cell::new(None),
                withheld: RefCell::default(),
                read: Cell::new(0),
                read_early: Cell::new(0),
                read_meanwhile: Cell::new(0),
                awaited_ns: Cell::new(0),
                awaits_since_ns: Cell::new(None),
                incomplete: Cell::new(0),
                found: RefCell::default(),
                unread,
            },
            items: ItemReports::default(),
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Starts a phase of the exchange and sets the phase's first deadline.
    pub(crate) fn phase_begins(&self, phase: Phase, until_ms: u64) {
        self.phase.set(phase);
        self.deadline.set(until_ms);
    }

    /// Starts an exchange on this connection or stream, and resets the state of the previous
    /// exchange.
    pub(crate) fn exchange_begins(&self) {
        self.phase.set(Phase::Exchange);
        self.deadline.no_limit();
        self.endless.set(false);
        self.upstream_silent.set(false);
        self.credential_ends_ms.set(u64::MAX);
        self.limit_after_upload.set(None);
        self.response_held.set(false);
        self.upload.incomplete.set(0);
        self.upload.read.set(0);
        self.upload.read_early.set(0);
        self.upload.read_meanwhile.set(0);
        self.upload.awaited_ns.set(0);
        self.upload.awaits_since_ns.set(None);
        self.upload.found.borrow_mut().clear();
        self.items.clear();
    }

    /// Sets the time at which the request's credentials end, and with them the request's body and
    /// its response. If `uploads`, limits the body to that time, but to at least [`MESSAGE_MS_MIN`]
    /// from now. The limit does not apply while the gateway waits for the response after the body.
    pub(crate) fn ends_with_credential(&self, ends_ms: u64, uploads: bool) {
        self.credential_ends_ms.set(ends_ms);
        if uploads {
            let ends_ms = ends_ms.max(self.clock.now_ms() + MESSAGE_MS_MIN);
            let before = self.deadline.limit(ends_ms, LimitOf::Credential);
            self.limit_after_upload.set(Some(before));
        }
    }

    /// Limits a response that begins now to the end of the request's credentials, but to at least
    /// [`MESSAGE_MS_MIN`] from now. No effect if the credentials do not end the response.
    pub(crate) fn limit_by_credential(&self, now_ms: u64) {
        let ends_ms = self.credential_ends_ms.get();
        if ends_ms != u64::MAX {
            if let Some(limit) = self.limit_after_upload.take() {
                self.deadline.limit_again(limit);
            }
            let ends_ms = ends_ms.max(now_ms + MESSAGE_MS_MIN);
            self.deadline.limit(ends_ms, LimitOf::Credential);
        }
    }

    /// Maximum time in milliseconds without progress in a body that has no time budget.
    pub(crate) fn idle_ms(&self) -> u64 {
        self.time_limits.stream_idle_ms
    }

    /// True if response data waits for the client.
    pub(crate) fn response_waits(&self) -> bool {
        self.phase.get() == Phase::Body && !self.upstream_silent.get()
    }

    /// True if the upstream has not responded, so that a slow upload occupies a permit of the
    /// upstream.
    pub(crate) fn awaits_upload(&self) -> bool {
        self.phase.get() == Phase::Exchange
    }

    /// True if the client's upload has a time budget: the upstream has not responded, and the
    /// request is neither gRPC nor of a streaming operation. Uploads of gRPC and streaming
    /// operations may pause.
    pub(crate) fn is_upload_paced(&self) -> bool {
        self.awaits_upload() && !self.is_grpc.get() && !self.endless.get()
    }

    /// Size of the pieces of an upload. Each piece may be a message if the request is gRPC or of a
    /// streaming operation; otherwise small pieces may wait for further ones.
    pub(crate) fn sends(&self) -> Sends {
        match self.is_grpc.get() || self.endless.get() {
            true => Sends::Pieces,
            false => Sends::Upload,
        }
    }

    /// Extends the deadline because the upload makes progress. If response data waits for the
    /// client, the deadline depends on the time budget for reading it. The uploaded bytes are added
    /// to that budget later.
    pub(crate) fn upload_moves(&self, bytes: u64, now_ms: u64) {
        let meanwhile = &self.upload.read_meanwhile;
        match self.response_waits() {
            true => meanwhile.set(meanwhile.get() + bytes),
            false => self.deadline.set(now_ms + self.idle_ms()),
        }
    }

    /// Begins or ends a wait for the client's bytes, after an attempt to read them. Reads the clock
    /// only at the beginning and at the end of a wait.
    pub(crate) fn client_polled<T>(&self, polled: &Poll<T>) {
        let upload = &self.upload;
        match (polled.is_pending(), upload.awaits_since_ns.get()) {
            (true, None) => upload.awaits_since_ns.set(Some(self.clock.now_ns())),
            (false, Some(_)) => {
                let awaited_ns = upload.awaited_client_ns(self.clock.now_ns());
                upload.awaited_ns.set(awaited_ns);
                upload.awaits_since_ns.set(None);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Sets the deadline at the end of the upload. It is the client's time budget if response data
    /// waits for the client, the idle timeout if the response has begun, otherwise the response
    /// timeout.
    pub(crate) fn upload_ends(&self, now_ms: u64, timeout_ms: u64) {
        if let Some(limit) = self.limit_after_upload.take() {
            self.deadline.limit_again(limit);
        }
        let wait_ms = match self.phase.get() {
            Phase::Body if self.response_waits() => self.time_limits.grace_ms,
            Phase::Body => self.idle_ms(),
            Phase::Idle | Phase::Head | Phase::Exchange => timeout_ms,
        };
        self.deadline.set(now_ms + wait_ms);
    }
}

// === impl UploadState ===

impl UploadState {
    /// Sets the maximum length of the body, in bytes.
    pub(crate) fn limit(&self, bytes_max: u64) {
        self.bytes_max.set(bytes_max);
    }

    /// Maximum length of the body, in bytes.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max.get()
    }

    /// Sets the copies that receive the body. `None` removes those of the previous request.
    pub(crate) fn copy_to(&self, copies: Option<Rc<Copies>>) {
        self.copies.set(copies);
    }

    /// Takes the copies that receive the body out of this state.
    pub(crate) fn take_copies(&self) -> Option<Rc<Copies>> {
        self.copies.take()
    }

    /// Sets the fields that the trailers may not contain.
    pub(crate) fn withhold(&self, fields: &Arc<[HeaderName]>) {
        self.withheld.replace(Arc::clone(fields));
    }

    /// Removes from trailers the fields that may not be forwarded.
    pub(crate) fn strip(&self, trailers: &mut HeaderMap) {
        engine::edge::trailers(trailers, &self.withheld.borrow());
    }

    /// Records the violation that a scan of the body found.
    pub(crate) fn found(&self, found: Found) {
        self.found.borrow_mut().push(found);
    }

    /// Violations that scans of the body found.
    pub(crate) fn all_found(&self) -> Ref<'_, [Found]> {
        Ref::map(self.found.borrow(), Vec::as_slice)
    }

    /// Findings of the scan that refuses the body. `None` if no scan refuses it.
    pub(crate) fn refusal(&self) -> Option<Arc<Invalid>> {
        let all = self.found.borrow();
        let found = all.iter().find(|found| !found.logs)?;
        Some(Arc::new(Invalid {
            reject: &REFUSED,
            findings: vec![Finding {
                part: Part::Body,
                pointer: "#".to_owned(),
                detail: found.violation.detail.clone(),
            }],
        }))
    }

    /// Counts bytes that were received and do not pass yet, because their item is incomplete.
    pub(crate) fn hold(&self, bytes: u64) {
        self.incomplete.set(self.incomplete.get() + bytes);
    }

    /// Number of bytes that [`Self::hold`] has counted since the last call.
    pub(crate) fn take_incomplete(&self) -> u64 {
        self.incomplete.take()
    }

    /// Counts bytes that were read before the upload. The upload reads them again.
    pub(crate) fn count_early(&self, bytes: u64) {
        self.count_new(bytes);
        self.read_early.set(self.read_early.get() + bytes);
    }

    /// Records that the upload reads `bytes` again that were already counted as read early.
    pub(crate) fn reads_again(&self, bytes: u64) {
        self.read_early.set(self.read_early.get() + bytes);
    }

    /// Counts bytes of the upload that were read.
    pub(crate) fn count(&self, bytes: u64) {
        let early = self.read_early.get();
        self.read_early.set(early.saturating_sub(bytes));
        self.count_new(bytes.saturating_sub(early));
    }

    fn count_new(&self, bytes: u64) {
        self.read.set(self.read.get() + bytes);
        if let Some(unread) = &self.unread {
            unread.subtract_read(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    /// Number of bytes read, whether they were forwarded or discarded.
    pub(crate) fn read(&self) -> u64 {
        self.read.get()
    }

    /// Time for which the gateway has waited for the client's bytes until `now_ns`, in nanoseconds
    /// of the clock.
    pub(crate) fn awaited_client_ns(&self, now_ns: u64) -> u64 {
        let since_ns = self.awaits_since_ns.get();
        let waits_ns = since_ns.map_or(0, |since_ns| now_ns.saturating_sub(since_ns));
        self.awaited_ns.get() + waits_ns
    }

    /// Records that all received bytes of the body have been read, or that the rest is discarded.
    pub(crate) fn mark_consumed(&self) {
        if let Some(unread) = &self.unread {
            unread.mark_consumed();
        }
    }

    /// Returns the number of bytes that were read since the last call while response data waited
    /// for the client, and resets the number.
    pub(crate) fn take_read_meanwhile(&self) -> u64 {
        self.read_meanwhile.take()
    }
}
