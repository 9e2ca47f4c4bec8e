//! Request and response bodies, streamed frame by frame.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use engine::edge;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::pace::Pace;
use crate::proxy::failure::{Failure, Kind};
use crate::proxy::grpc;
use crate::proxy::incoming::{Broken, Incoming};
use crate::proxy::record::Record;
use crate::proxy::stream::Stream;
use crate::proxy::tee::{Part, Reader, Tee};
use crate::upstream::flow::Flow;
use crate::upstream::mirror::Copies;
use crate::upstream::pool::Lease;
use crate::upstream::slow::{SlowPermit, UploadCount};
use crate::upstream::transport::{self, CallError};

/// Body of a request to an upstream.
pub(crate) enum RequestBody {
    /// No body.
    Empty,
    /// Buffered body.
    Whole(Bytes),
    /// Body that is streamed from the client.
    Upload(Box<Upload>),
    /// Copy of another request's buffered body, for a mirror.
    Copy(Option<Bytes>),
    /// Copy of another request's body, streamed to a mirror as it arrives.
    Flow(Rc<Flow>),
}

/// Streamed request body.
pub(crate) struct Upload {
    incoming: Reading,
    stream: Rc<Stream>,
    progress: Rc<Progress>,
    /// Remaining bytes up to the size limit.
    left: u64,
    /// Response timeout in milliseconds, which starts when the upload ends.
    timeout_ms: u64,
    gate: Option<Arc<Gate>>,
    /// Copies for mirrors. They are sent when the body ends.
    copies: Option<Rc<Copies>>,
    pace: Pace,
}

/// Source of an upload.
enum Reading {
    /// Body of the client, not kept for retries.
    Once(Incoming),
    /// Body of the client, kept for retries.
    Kept(Reader),
}

/// Progress of an upload, shared between the upload and the exchange.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// True once the last byte has been passed to the upstream.
    pub(crate) done: Cell<bool>,
    /// True while the upload waits for the client: all received bytes have been passed on.
    pub(crate) awaits_client: Cell<bool>,
    /// True if the body exceeds the size limit.
    pub(crate) too_large: Cell<bool>,
    /// Failure on the client's side: a closed connection or invalid framing.
    pub(crate) client_failed: Cell<Option<Kind>>,
    /// Deadline for the client's next bytes, in milliseconds of the clock.
    pub(crate) until_ms: Cell<u64>,
    /// True while the upload counts as slow and has a permit for slow uploads.
    pub(crate) is_slow: Cell<bool>,
    slow: RefCell<Option<SlowPermit>>,
    count: RefCell<UploadCount>,
}

/// Blocks an upload until the upstream sends 100 (Continue) (RFC 9110 §10.1.1).
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: AtomicBool,
    waker: std::sync::Mutex<Option<Waker>>,
}

/// Error of an upload that ended early. The response to the client describes the cause.
#[derive(Debug)]
pub(crate) struct UploadBroken;

/// Body of a response to a client.
pub(crate) enum ResponseBody {
    /// Body from the gateway itself, with the record of the exchange.
    Own(Bytes, Option<Box<Record>>),
    /// Body that is streamed from the upstream.
    Download(Box<Download>),
}

/// Streamed response body.
pub(crate) struct Download {
    incoming: transport::Incoming,
    /// Error that ends the body early. The next poll returns it.
    broken: Option<CallError>,
    lease: Option<Lease>,
    progress: Option<Rc<Progress>>,
    record: Box<Record>,
    pace: Pace,
    /// True if a gRPC status must still be sent.
    owes_status: bool,
    /// True once the gateway itself has ended the body.
    over: bool,
}

// === impl Progress ===

impl Progress {
    /// Sets the counter of unfinished uploads. This upload is counted until its last byte is passed
    /// on.
    pub(crate) fn counted_by(&self, count: &UploadCount) {
        *self.count.borrow_mut() = count.clone();
    }

    /// Marks the upload as slow. The permit is returned once the upload is fast enough or ends.
    pub(crate) fn goes_on_slowly(&self, permit: SlowPermit) {
        self.is_slow.set(true);
        *self.slow.borrow_mut() = Some(permit);
    }

    fn is_no_longer_slow(&self) {
        self.is_slow.set(false);
        drop(self.slow.take());
    }
}

// === impl Reading ===

impl Reading {
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
    pub(crate) fn new(
        incoming: Incoming,
        stream: &Rc<Stream>,
        timeout_ms: u64,
        gate: Option<Arc<Gate>>,
    ) -> (Box<Self>, Rc<Progress>) {
        let left = stream.body_bytes_max.get();
        let copies = stream.copies.take();
        Self::of(
            Reading::Once(incoming),
            stream,
            timeout_ms,
            gate,
            (left, copies),
        )
    }

    /// Creates an upload whose body is kept for retries. Used for the first attempt and for
    /// retries.
    pub(crate) fn kept(
        tee: &Rc<Tee>,
        stream: &Rc<Stream>,
        timeout_ms: u64,
        gate: Option<Arc<Gate>>,
    ) -> (Box<Self>, Rc<Progress>) {
        let left = stream.body_bytes_max.get();
        let left = left.saturating_sub(tee.kept_bytes());
        let reading = Reading::Kept(tee.reader());
        Self::of(reading, stream, timeout_ms, gate, (left, tee.copies()))
    }

    fn of(
        incoming: Reading,
        stream: &Rc<Stream>,
        timeout_ms: u64,
        gate: Option<Arc<Gate>>,
        (left, copies): (u64, Option<Rc<Copies>>),
    ) -> (Box<Self>, Rc<Progress>) {
        let progress = Rc::new(Progress::default());
        let upload = Self {
            incoming,
            stream: Rc::clone(stream),
            progress: Rc::clone(&progress),
            left,
            timeout_ms,
            gate,
            copies,
            pace: Pace::new(&stream.patience()),
        };
        (Box::new(upload), progress)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadBroken>>> {
        if let Some(gate) = &self.gate {
            if gate.poll_shut(cx) {
                return Poll::Pending;
            }
            self.gate = None;
        }
        // A client that sends without a pause would leave the mirrors' tasks no time: yield to
        // them.
        if self
            .copies
            .as_ref()
            .is_some_and(|copies| copies.wants_turn())
        {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.incoming.poll(cx);
        self.progress.awaits_client.set(polled.is_pending());
        let mut frame = match polled {
            Poll::Pending => {
                self.stream.upload_through();
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
                return Poll::Ready(Some(Err(UploadBroken)));
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
            self.stream.upload_read(length);
            if length > self.left {
                self.progress.too_large.set(true);
                return Poll::Ready(Some(Err(UploadBroken)));
            }
            self.left -= length;
            if let Some(copies) = &self.copies {
                copies.take(data);
            }
        }
        if let Some(trailers) = frame.trailers_mut() {
            edge::trailers(trailers, &self.stream.request_fields.borrow());
        }
        if self.incoming.is_end_stream() {
            self.end();
        } else {
            let shared = &self.stream.worker.shared;
            let now_ms = shared.clock.now_ms();
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            let patience = self.stream.patience();
            self.pace.moved(bytes, now_ms, &patience);
            if self.progress.is_slow.get() && !self.pace.is_slow() {
                self.progress.is_no_longer_slow();
            }
            self.stream.upload_moves(bytes, now_ms);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// Sets the deadline for the client's next bytes. An upload that becomes slow earlier is woken
    /// then.
    fn waits(&mut self) {
        if !self.stream.awaits_upload() {
            return;
        }
        let patience = self.stream.patience();
        if self.pace.until_ms().is_none() {
            let now_ms = self.stream.worker.shared.clock.now_ms();
            let paced_ms = self.pace.waits(now_ms);
            self.progress
                .until_ms
                .set(match self.stream.is_upload_paced() {
                    true => paced_ms,
                    false => now_ms.saturating_add(patience.stream_idle_ms),
                });
        }
        let until_ms = self.progress.until_ms.get();
        let slow_at_ms = match self.progress.is_slow.get() {
            true => u64::MAX,
            false => self.pace.slow_at_ms(),
        };
        self.stream.deadline.set(until_ms.min(slow_at_ms));
    }

    fn end(&self) {
        if !self.progress.done.replace(true) {
            self.progress.is_no_longer_slow();
            self.progress.count.borrow().finished();
            if let Some(copies) = &self.copies {
                copies.send();
            }
            let shared = &self.stream.worker.shared;
            let now_ms = shared.clock.now_ms();
            match self.stream.response_waits() {
                true => {
                    let grace_ms = self.stream.patience().grace_ms;
                    self.stream.deadline.set(now_ms + grace_ms);
                }
                false => self.stream.upload_ends(now_ms, self.timeout_ms),
            }
        }
    }
}

impl Drop for Upload {
    /// Records that further bytes are discarded.
    fn drop(&mut self) {
        self.stream.upload_through();
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadBroken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadBroken>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Upload(upload) => upload.poll(cx),
            Self::Copy(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Flow(flow) => flow
                .poll(cx)
                .map(|next| next.map(|next| next.map(Frame::data).map_err(|_| UploadBroken))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Upload(upload) => upload.gate.is_none() && upload.incoming.is_end_stream(),
            Self::Copy(bytes) => bytes.is_none(),
            Self::Flow(flow) => flow.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upload(upload) => upload.incoming.size_hint(),
            Self::Copy(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Flow(flow) => flow.left().map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}

impl fmt::Display for UploadBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request's body ended early")
    }
}

impl std::error::Error for UploadBroken {}

// === impl Gate ===

impl Gate {
    /// Lets the upload begin.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
        let waker = self.waker.lock().ok().and_then(|mut waker| waker.take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    fn poll_shut(&self, cx: &Context<'_>) -> bool {
        if let Ok(mut waker) = self.waker.lock() {
            *waker = Some(cx.waker().clone());
        }
        !self.open.load(Ordering::Acquire)
    }
}

// === impl ResponseBody ===

impl Download {
    pub(crate) fn new(
        incoming: transport::Incoming,
        lease: Lease,
        progress: Option<Rc<Progress>>,
        record: Box<Record>,
        owes_status: bool,
    ) -> Box<Self> {
        let pace = Pace::new(&record.stream().patience());
        Box::new(Self {
            incoming,
            pace,
            broken: None,
            lease: Some(lease),
            progress,
            record,
            owes_status,
            over: false,
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        if let Some(error) = self.broken.take() {
            if matches!(error, CallError::Panicked) {
                return Poll::Ready(Some(Err(self.panicked())));
            }
            self.record.upstream_broke(&error);
            return Poll::Ready(Some(Err(error)));
        }
        if self.over {
            return Poll::Ready(None);
        }
        if self.record.stream().past_deadline.get()
            && let Some(told) = self.owed(grpc::too_late)
        {
            self.lease = None;
            self.record.failed(&Failure::new(Kind::DeadlineExceeded));
            self.record.finish();
            return Poll::Ready(Some(Ok(told)));
        }
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        let silent = &self.record.stream().upstream_silent;
        let was_silent = silent.replace(polled.is_pending());
        match polled {
            Poll::Pending => {
                let stream = self.record.stream();
                if stream.upstream_timed_out.get() {
                    let idle_ms = stream.patience().stream_idle_ms;
                    return self.breaks_off(CallError::Silent { idle_ms }, cx);
                }
                if !was_silent {
                    self.waits_for_upstream();
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(mut frame))) => {
                let _passed = fault::point("exchange.body");
                self.record.stream().upstream_timed_out.set(false);
                if let Some(data) = frame.data_ref() {
                    self.record.bytes_out += data.len() as u64;
                }
                if let Some(trailers) = frame.trailers_mut() {
                    self.trailers(trailers);
                }
                if self.is_end_stream() {
                    self.end();
                } else {
                    let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                    self.waits_for_client(bytes);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                let told = self.owed(grpc::ended_without);
                self.end();
                Poll::Ready(told.map(Ok))
            }
            Poll::Ready(Some(Err(error))) => self.breaks_off(error, cx),
        }
    }

    /// Ends the body early. If a gRPC status is owed, ends it with that status, otherwise with an
    /// error.
    fn breaks_off(
        &mut self,
        error: CallError,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let status = match error {
            CallError::Silent { .. } => grpc::fell_silent,
            CallError::Http1(_) | CallError::Http2(_) | CallError::Panicked => grpc::broken_off,
        };
        if let Some(told) = self.owed(status) {
            self.lease = None;
            self.record.upstream_broke(&error);
            return Poll::Ready(Some(Ok(told)));
        }
        // Over HTTP/2, an error discards data that was not flushed. Report the error at the next
        // poll, after the flush.
        self.broken = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Starts the idle timeout of the upstream, because the client has taken all bytes.
    fn waits_for_upstream(&mut self) {
        let stream = self.record.stream();
        let shared = &stream.worker.shared;
        let now_ms = shared.clock.now_ms();
        let patience = stream.patience();
        self.pace.moved(0, now_ms, &patience);
        stream.slow_reading.ends();
        stream.deadline.set(now_ms + patience.stream_idle_ms);
    }

    /// Sets the deadline for the client to take these bytes. hyper polls the body again once there
    /// is room for more.
    fn waits_for_client(&mut self, bytes: u64) {
        let stream = self.record.stream();
        let shared = &stream.worker.shared;
        let now_ms = shared.clock.now_ms();
        self.pace.moved(bytes, now_ms, &stream.patience());
        let until_ms = self.pace.waits(now_ms);
        let held = self.lease.as_ref().and_then(|lease| lease.held.as_ref());
        let reading = &stream.slow_reading;
        reading.waits(held.and_then(|held| held.in_flight.as_ref()), until_ms);
        if reading.is_slow() && !self.pace.is_slow() {
            reading.is_fast();
        }
        // If the client may become slow before that, end the wait then, so that it is counted as
        // slow.
        let slow_at_ms = match reading.is_slow() {
            true => u64::MAX,
            false => self.pace.slow_at_ms(),
        };
        stream.deadline.set(until_ms.min(slow_at_ms));
    }

    #[cold]
    fn panicked(&mut self) -> CallError {
        self.lease = None;
        self.over = true;
        self.record.panicked();
        CallError::Panicked
    }

    /// Removes trailer fields that clients must not see, and completes the gRPC status if it is
    /// owed.
    fn trailers(&mut self, trailers: &mut HeaderMap) {
        edge::trailers(trailers, &self.record.stream().response_fields.borrow());
        if self.owes_status {
            self.owes_status = false;
            self.record.grpc_ended(Some(grpc::complete(trailers)));
        }
    }

    /// Final frame with a gRPC status, if the call has not had one.
    fn owed(&mut self, end: fn() -> (Frame<Bytes>, u32)) -> Option<Frame<Bytes>> {
        if !std::mem::take(&mut self.owes_status) {
            return None;
        }
        self.over = true;
        let (frame, status) = end();
        self.record.grpc_ended(Some(status));
        Some(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.over || !self.owes_status && self.incoming.is_end_stream()
    }

    /// Ends the response. Returns the upstream connection to the pool, unless the request is still
    /// being sent.
    fn end(&mut self) {
        let Some(lease) = self.lease.take() else {
            return;
        };
        self.record.stream().slow_reading.ends();
        let now_ns = self.record.now_ns();
        if self.progress.as_ref().is_none_or(|sent| sent.done.get()) {
            lease.give_back(&mut self.incoming, now_ns / 1_000_000);
        } else {
            // The rest of the request is not needed: close the connection.
            self.incoming = transport::Incoming::Gone;
        }
        self.record.finish_at(now_ns);
    }
}

impl ResponseBody {
    /// True if the request is still being sent while the response has not ended.
    pub(crate) fn is_early(&self) -> bool {
        match self {
            Self::Own(..) => false,
            Self::Download(download) => {
                let sent = download.progress.as_ref();
                sent.is_some_and(|sent| !sent.done.get()) && !download.is_end_stream()
            }
        }
    }

    /// Sends available bytes of the request's body while the client takes nothing of the response,
    /// because the client may first want to send its whole body.
    pub(crate) fn send_upload(&mut self, cx: &mut Context<'_>) {
        let Self::Download(download) = self else {
            return;
        };
        let sent = catch_unwind(AssertUnwindSafe(|| download.incoming.send_upload(cx)));
        if sent.is_err() {
            download.broken = Some(CallError::Panicked);
        }
        // A client that keeps uploading gets more time to take the response.
        match download.record.stream().take_uploaded_meanwhile() {
            0 => {}
            bytes => download.waits_for_client(bytes),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        match self.get_mut() {
            Self::Own(bytes, record) => {
                if let Some(mut record) = record.take() {
                    record.bytes_out = bytes.len() as u64;
                    record.finish();
                }
                if bytes.is_empty() {
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            // A panic ends only this response, even over HTTP/2.
            Self::Download(download) => {
                match catch_unwind(AssertUnwindSafe(|| download.poll(cx))) {
                    Ok(polled) => polled,
                    Err(_) => Poll::Ready(Some(Err(download.panicked()))),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes, _) => bytes.is_empty(),
            Self::Download(download) => download.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Self::Download(download) => download.incoming.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    /// Ends a body that is never polled because it is known to be empty (HEAD, 204, 304, or a known
    /// end).
    fn drop(&mut self) {
        match self {
            Self::Own(_, record) => {
                if let Some(mut record) = record.take() {
                    record.finish();
                }
            }
            Self::Download(download) => {
                if download.is_end_stream() {
                    download.end();
                }
                download.record.stream().slow_reading.ends();
            }
        }
    }
}
