//! Uploads: request bodies that are streamed from the client to an upstream.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::message::body::{Gate, IncompleteUpload};
use crate::message::copies::Copies;
use crate::message::failure::Kind;
use crate::message::incoming::{Broken, Incoming};
use crate::message::pace::Pace;
use crate::message::sends::Sends;
use crate::message::tee::{Part, Reader, Tee};
use crate::message::transfer::Transfer;
use crate::runtime::clock::Clock;

/// Request body that is streamed from the client.
pub(crate) struct Upload {
    incoming: BodySource,
    transfer: Rc<Transfer>,
    progress: Rc<Progress>,
    /// Number of further bytes that the size limit allows.
    left: u64,
    /// Response timeout in milliseconds, which starts when the upload ends.
    timeout_ms: u64,
    gate: Option<Arc<Gate>>,
    /// Copies for mirrors, which receive every byte of the body. Short bodies are sent to mirrors
    /// when the body ends.
    copies: Option<Rc<Copies>>,
    pace: Pace,
}

/// Source from which an upload reads the body.
enum BodySource {
    /// Body of the client, not kept for retries.
    Once(Incoming),
    /// Body of the client, kept for retries.
    Kept(Reader),
}

/// Progress of an upload. The upload updates it; the exchange reads it.
#[derive(Default)]
pub(crate) struct Progress {
    /// True once the last byte has been passed to the upstream.
    pub(crate) done: Cell<bool>,
    /// True while the upload waits for the client: all received bytes have been passed on.
    pub(crate) awaits_client: Cell<bool>,
    /// Time for which the upload has waited for the client, in milliseconds, without the wait that
    /// [`Self::awaits_since_ms`] began.
    awaited_ms: Cell<u64>,
    /// Start of the current wait for the client, in milliseconds of the clock. `None` if the upload
    /// does not wait. A wait that begins after the upstream has responded is not recorded.
    awaits_since_ms: Cell<Option<u64>>,
    /// True if the body exceeds the size limit.
    pub(crate) too_large: Cell<bool>,
    /// Failure of the client: a closed connection or invalid framing. `None`: no failure.
    pub(crate) client_failed: Cell<Option<Kind>>,
    /// Deadline for the client's next bytes, in milliseconds of the clock.
    pub(crate) until_ms: Cell<u64>,
    /// True while the upload counts as slow and has a permit for slow uploads.
    pub(crate) is_slow: Cell<bool>,
    /// Time at which to check if another request waits for the permit of this slow upload, in
    /// milliseconds of the clock. `None`: no check.
    pub(crate) check_ms: Cell<Option<u64>>,
    /// Permit for slow uploads, returned when it is dropped. `None`: the upload is not slow.
    slow: RefCell<Option<Box<dyn Any>>>,
    count: RefCell<Option<Rc<dyn UnfinishedUpload>>>,
}

/// Guard of an upload that counts as unfinished.
pub(crate) trait UnfinishedUpload {
    /// Ends the count, because the last byte was passed on or the upstream has responded.
    fn finished(&self);
}

// === impl Progress ===

impl Progress {
    /// Progress of a body that was received completely.
    pub(crate) fn done() -> Rc<Self> {
        let progress = Self::default();
        progress.done.set(true);
        Rc::new(progress)
    }

    /// Sets the counter of unfinished uploads. This upload is counted until its last byte is passed
    /// on.
    pub(crate) fn counted_by(&self, count: Option<Rc<dyn UnfinishedUpload>>) {
        *self.count.borrow_mut() = count;
    }

    /// Marks the upload as slow. The permit is returned once the upload is fast enough or ends.
    pub(crate) fn goes_on_slowly(&self, permit: Box<dyn Any>, check_ms: Option<u64>) {
        self.is_slow.set(true);
        self.check_ms.set(check_ms);
        *self.slow.borrow_mut() = Some(permit);
    }

    /// Time for which the upload has waited for the client, in milliseconds.
    pub(crate) fn awaited_client_ms(&self, now_ms: u64) -> u64 {
        let since_ms = self.awaits_since_ms.get();
        let waits_ms = since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
        self.awaited_ms.get() + waits_ms
    }

    /// Ends a wait for the client, and adds its duration to the time waited.
    fn client_sent(&self, clock: &Clock) {
        if self.awaits_since_ms.get().is_some() {
            self.awaited_ms.set(self.awaited_client_ms(clock.now_ms()));
            self.awaits_since_ms.set(None);
        }
    }

    fn mark_no_longer_slow(&self) {
        self.is_slow.set(false);
        drop(self.slow.take());
    }
}

// === impl BodySource ===

impl BodySource {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Option<Broken>>>> {
        match self {
            Self::Once(incoming) => Pin::new(incoming)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map(Part::New).map_err(Some))),
            Self::Kept(reader) => reader.poll_part(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Once(incoming) => incoming.is_end_stream(),
            Self::Kept(reader) => reader.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Once(incoming) => incoming.size_hint(),
            Self::Kept(reader) => reader.size_hint(),
        }
    }
}

// === impl Upload ===

impl Upload {
    /// True if the operation has `stream: true`.
    pub(crate) fn is_stream(&self) -> bool {
        self.transfer.endless.get()
    }

    /// Size of the pieces in which the body is sent to the upstream.
    pub(crate) fn sends(&self) -> Sends {
        self.transfer.sends()
    }

    pub(crate) fn new(
        incoming: Incoming,
        transfer: &Rc<Transfer>,
        timeout_ms: u64,
        gate: Option<Arc<Gate>>,
    ) -> (Box<Self>, Rc<Progress>) {
        let left = transfer.upload.bytes_max();
        let copies = transfer.upload.take_copies();
        Self::of(
            BodySource::Once(incoming),
            transfer,
            timeout_ms,
            gate,
            (left, copies),
        )
    }

    /// Creates an upload whose body is kept for retries. Used for the first attempt and for
    /// retries.
    pub(crate) fn kept(
        tee: &Rc<Tee>,
        transfer: &Rc<Transfer>,
        timeout_ms: u64,
        gate: Option<Arc<Gate>>,
    ) -> (Box<Self>, Rc<Progress>) {
        let left = transfer.upload.bytes_max();
        let left = left.saturating_sub(tee.kept_bytes());
        let reading = BodySource::Kept(tee.reader());
        Self::of(reading, transfer, timeout_ms, gate, (left, tee.copies()))
    }

    fn of(
        incoming: BodySource,
        transfer: &Rc<Transfer>,
        timeout_ms: u64,
        gate: Option<Arc<Gate>>,
        (left, copies): (u64, Option<Rc<Copies>>),
    ) -> (Box<Self>, Rc<Progress>) {
        let progress = Rc::new(Progress::default());
        let upload = Self {
            incoming,
            transfer: Rc::clone(transfer),
            progress: Rc::clone(&progress),
            left,
            timeout_ms,
            gate,
            copies,
            pace: Pace::new(&transfer.time_limits),
        };
        (Box::new(upload), progress)
    }

    /// Reads the next frame of the body.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncompleteUpload>>> {
        if let Some(gate) = &self.gate {
            if gate.poll_shut(cx) {
                return Poll::Pending;
            }
            self.gate = None;
        }
        // Yield to the mirrors' tasks: a client that sends without a pause would leave them no
        // time.
        if self
            .copies
            .as_ref()
            .is_some_and(|copies| copies.must_yield())
        {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.incoming.poll(cx);
        self.progress.awaits_client.set(polled.is_pending());
        if polled.is_ready() {
            self.progress.client_sent(&self.transfer.clock);
        }
        let mut frame = match polled {
            Poll::Pending => {
                self.transfer.upload.mark_consumed();
                let incomplete = self.transfer.upload.take_incomplete();
                if incomplete > 0 {
                    self.moves(incomplete);
                }
                self.waits();
                return Poll::Pending;
            }
            Poll::Ready(None) => {
                self.end();
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => {
                let kind = error.map(|error| Kind::of_client(&error));
                self.progress.client_failed.set(kind);
                return Poll::Ready(Some(Err(IncompleteUpload)));
            }
            Poll::Ready(Some(Ok(Part::Again(bytes)))) => {
                if self.incoming.is_end_stream() {
                    self.end();
                }
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Poll::Ready(Some(Ok(Part::New(frame)))) => frame,
        };
        if let Some(data) = frame.data_ref() {
            let length = data.len() as u64;
            self.transfer.upload.count(length);
            if length > self.left {
                self.progress.too_large.set(true);
                return Poll::Ready(Some(Err(IncompleteUpload)));
            }
            self.left -= length;
            if let Some(copies) = &self.copies {
                copies.take(data);
            }
        }
        if let Some(trailers) = frame.trailers_mut() {
            self.transfer.upload.strip(trailers);
        }
        if self.incoming.is_end_stream() {
            self.end();
        } else {
            self.moves(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// Adds to the client's time budget, because bytes of the body have arrived.
    fn moves(&mut self, bytes: u64) {
        let now_ms = self.transfer.clock.now_ms();
        self.pace.moved(bytes, now_ms, &self.transfer.time_limits);
        if self.progress.is_slow.get() && !self.pace.is_slow() {
            self.progress.mark_no_longer_slow();
        }
        self.transfer.upload_moves(bytes, now_ms);
    }

    /// Sets the deadline for the client's next bytes, or the earlier time at which the upload
    /// counts as slow.
    fn waits(&mut self) {
        let transfer = &self.transfer;
        if !transfer.awaits_upload() {
            return;
        }
        if self.pace.until_ms().is_none() {
            let now_ms = transfer.clock.now_ms();
            let paced_ms = self.pace.waits(now_ms);
            self.progress.awaits_since_ms.set(Some(now_ms));
            self.progress
                .until_ms
                .set(match transfer.is_upload_paced() {
                    true => paced_ms,
                    false => now_ms.saturating_add(transfer.idle_ms()),
                });
        }
        let until_ms = self.progress.until_ms.get();
        let slow_at_ms = match self.progress.is_slow.get() {
            true => self.progress.check_ms.get().unwrap_or(u64::MAX),
            false => self.pace.slow_at_ms(),
        };
        transfer.deadline.set(until_ms.min(slow_at_ms));
    }

    fn end(&self) {
        if self.progress.done.replace(true) {
            return;
        }
        self.progress.mark_no_longer_slow();
        if let Some(count) = &*self.progress.count.borrow() {
            count.finished();
        }
        if let Some(copies) = &self.copies {
            copies.send();
        }
        let now_ms = self.transfer.clock.now_ms();
        self.transfer.upload_ends(now_ms, self.timeout_ms);
    }

    /// True if the body has no more frames.
    pub(super) fn is_end_stream(&self) -> bool {
        self.gate.is_none() && self.incoming.is_end_stream()
    }

    /// Remaining length, if known.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Upload {
    /// Records that the rest of the body is discarded and no longer counts as unread.
    fn drop(&mut self) {
        self.transfer.upload.mark_consumed();
    }
}
