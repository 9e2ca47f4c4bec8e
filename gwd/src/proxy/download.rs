//! Bodies of responses to clients, read frame by frame.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::message::failure::{Failure, Kind};
use crate::message::pace::Pace;
use crate::message::transfer::MESSAGE_MS_MIN;
use crate::message::upload::Progress;
use crate::proxy::grpc;
use crate::proxy::record::Record;
use crate::proxy::response_state::EarlyResponse;
use crate::proxy::tunnel::Tunnel;
use crate::tls::accept::AdmissionLoss;
use crate::upstream::pool::Lease;
use crate::upstream::transport::{self, CallError};

/// Body of a response to a client.
pub(crate) enum ResponseBody {
    /// Body from the gateway itself, with the record of the exchange.
    Own(Bytes, Option<Box<Record>>),
    /// Body that is streamed from the upstream.
    Download(Box<Download>),
    /// No body: an HTTP/1 connection becomes this tunnel after the response head. `None`: the
    /// connection has taken the tunnel.
    Tunnel(Option<Box<Tunnel>>),
}

/// Streamed response body.
pub(crate) struct Download {
    incoming: transport::Incoming,
    /// Error that ends the body early. The next poll returns it. `None`: no error.
    broken: Option<CallError>,
    lease: Option<Lease>,
    progress: Option<Rc<Progress>>,
    record: Box<Record>,
    pace: Pace,
    /// True if a gRPC status must still be sent.
    owes_status: bool,
    /// True once the gateway itself has ended the body early.
    over: bool,
}

// === impl Download ===

impl Download {
    pub(crate) fn new(
        incoming: transport::Incoming,
        lease: Lease,
        progress: Option<Rc<Progress>>,
        record: Box<Record>,
        owes_status: bool,
    ) -> Box<Self> {
        let pace = Pace::new(&record.stream().transfer.time_limits);
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
        if self.record.stream().response.credential_ended.get() {
            return Poll::Ready(Some(self.credential_ended()));
        }
        if let Some(admission_loss) = self.record.stream().admission_loss() {
            if self.record.has_lasted(MESSAGE_MS_MIN) {
                return Poll::Ready(Some(self.certificate_lapsed(admission_loss)));
            }
            // The response is younger than [`MESSAGE_MS_MIN`]: check the certificate again at the
            // worker's next tick.
            self.record.stream().worker.wake_after(0);
        }
        if self.record.stream().response.past_deadline.get()
            && let Some(last) = self.owed(grpc::too_late)
        {
            self.lease = None;
            self.record.failed(&Failure::new(Kind::DeadlineExceeded));
            self.record.finish();
            return Poll::Ready(Some(Ok(last)));
        }
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        let silent = &self.record.stream().transfer.upstream_silent;
        let was_silent = silent.replace(polled.is_pending());
        match polled {
            Poll::Pending => {
                let stream = self.record.stream();
                if stream.response.upstream_timed_out.get() {
                    let idle_ms = stream.transfer.idle_ms();
                    return self.breaks_off(CallError::Silent { idle_ms }, cx);
                }
                let has_incomplete_item = stream.transfer.response_held.take();
                if !was_silent || has_incomplete_item {
                    self.waits_for_upstream();
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(mut frame))) => {
                let _passed = fault::point("exchange.body");
                let response = &self.record.stream().response;
                response.upstream_timed_out.set(false);
                if let Some(data) = frame.data_ref() {
                    let bytes_out = self.record.bytes_out + data.len() as u64;
                    if self.record.stream().response.is_too_long(bytes_out) {
                        self.lease = None;
                        return self.breaks_off(CallError::TooLong, cx);
                    }
                    self.record.bytes_out = bytes_out;
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
                let last = self.owed(grpc::ended_without);
                self.end();
                Poll::Ready(last.map(Ok))
            }
            Poll::Ready(Some(Err(error))) => self.breaks_off(error, cx),
        }
    }

    /// Ends the body early. If a gRPC status must still be sent, ends it with that status,
    /// otherwise with an error.
    fn breaks_off(
        &mut self,
        error: CallError,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let status = match error {
            CallError::Silent { .. } => grpc::fell_silent,
            CallError::Http1(_)
            | CallError::Http2(_)
            | CallError::Expired
            | CallError::TooLong
            | CallError::Item(_)
            | CallError::Panicked => grpc::broken_off,
        };
        if let Some(frame) = self.owed(status) {
            self.lease = None;
            self.record.upstream_broke(&error);
            return Poll::Ready(Some(Ok(frame)));
        }
        // Over HTTP/2, an error discards data that was not flushed. Report the error at the next
        // poll, after the flush.
        self.broken = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Starts the idle timeout of the upstream, because the client has read all bytes.
    fn waits_for_upstream(&mut self) {
        let stream = self.record.stream();
        let transfer = &stream.transfer;
        let now_ms = transfer.clock.now_ms();
        self.pace.moved(0, now_ms, &transfer.time_limits);
        stream.response.slow_reading.ends();
        transfer.deadline.set(now_ms + transfer.idle_ms());
    }

    /// Sets the deadline for the client to read further `bytes` of the response. hyper polls the
    /// body again when there is room for more bytes.
    fn waits_for_client(&mut self, bytes: u64) {
        if !self.record.leases.is_empty() {
            let leases = std::mem::take(&mut self.record.leases);
            self.record.stream().response.slow_reading.holds(leases);
        }
        let stream = self.record.stream();
        let transfer = &stream.transfer;
        let now_ms = transfer.clock.now_ms();
        self.pace.moved(bytes, now_ms, &transfer.time_limits);
        let until_ms = self.pace.waits(now_ms);
        let permits = self.lease.as_ref().and_then(|lease| lease.permits.as_ref());
        let in_flight = permits.and_then(|permits| permits.in_flight.as_ref());
        let reading = &stream.response.slow_reading;
        reading.waits(in_flight, until_ms);
        if reading.is_slow() && !self.pace.is_slow() {
            reading.mark_fast();
        }
        // End the wait earlier if the client may become slow before the deadline, so that the
        // client is counted as slow.
        let next_ms = match reading.is_slow() {
            true => reading.next_ms(now_ms),
            false => until_ms.min(self.pace.slow_at_ms()),
        };
        transfer.deadline.set(next_ms);
    }

    /// Ends the body because a credential of the request has ended: with the gRPC status if none
    /// was sent, otherwise with an error. The error shows the client that the body is incomplete.
    #[cold]
    fn credential_ended(&mut self) -> Result<Frame<Bytes>, CallError> {
        self.lease = None;
        let last = self.owed(grpc::unauthenticated);
        self.over = true;
        self.record.credential_expired();
        self.record.finish();
        last.ok_or(CallError::Expired)
    }

    /// Ends the body because the client's certificate has expired or new rules refuse it, as if a
    /// credential had ended.
    #[cold]
    fn certificate_lapsed(
        &mut self,
        admission_loss: AdmissionLoss,
    ) -> Result<Frame<Bytes>, CallError> {
        self.lease = None;
        let last = self.owed(grpc::unauthenticated);
        self.over = true;
        match admission_loss {
            AdmissionLoss::Expired => self.record.credential_expired(),
            AdmissionLoss::Refused => self.record.credential_revoked(),
        }
        self.record.finish();
        last.ok_or(CallError::Expired)
    }

    #[cold]
    fn panicked(&mut self) -> CallError {
        self.lease = None;
        self.over = true;
        self.record.panicked();
        CallError::Panicked
    }

    /// Removes trailer fields that clients must not receive, and adds the gRPC status if it is
    /// missing.
    fn trailers(&mut self, trailers: &mut HeaderMap) {
        self.record.stream().response.strip(trailers);
        if self.owes_status {
            self.owes_status = false;
            self.record.grpc_ended(Some(grpc::complete(trailers)));
        }
    }

    /// Ends the response with a frame that has a gRPC status. `None` if the client has a status
    /// already.
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
        self.record.stream().response.slow_reading.ends();
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

// === impl ResponseBody ===

impl ResponseBody {
    /// True if the request is still being sent while the response has not ended.
    pub(crate) fn is_early(&self) -> bool {
        match self {
            Self::Own(..) | Self::Tunnel(_) => false,
            Self::Download(download) => {
                let sent = download.progress.as_ref();
                sent.is_some_and(|sent| !sent.done.get()) && !download.is_end_stream()
            }
        }
    }

    /// Takes the tunnel that the connection becomes. `None`: the body is not a tunnel.
    pub(crate) fn take_tunnel(&mut self) -> Option<Box<Tunnel>> {
        match self {
            Self::Tunnel(tunnel) => tunnel.take(),
            Self::Own(..) | Self::Download(_) => None,
        }
    }
}

impl EarlyResponse for ResponseBody {
    fn send_upload(&mut self, cx: &mut Context<'_>) {
        let Self::Download(download) = self else {
            return;
        };
        let sent = catch_unwind(AssertUnwindSafe(|| download.incoming.send_upload(cx)));
        if sent.is_err() {
            download.broken = Some(CallError::Panicked);
        }
        // Give a client that keeps uploading more time to read the response.
        match download
            .record
            .stream()
            .transfer
            .upload
            .take_read_meanwhile()
        {
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
            Self::Tunnel(_) => Poll::Ready(None),
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
            Self::Tunnel(_) => true,
            Self::Download(download) => download.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Self::Tunnel(_) => SizeHint::with_exact(0),
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
            Self::Tunnel(_) => {}
            Self::Download(download) => {
                if download.is_end_stream() {
                    download.end();
                }
                download.record.stream().response.slow_reading.ends();
            }
        }
    }
}
