//! Reading of a request's body before the request is sent.
//!
//! A short body is received completely before the request is sent over HTTP/2. A slow client, or
//! one that disconnects, then has no effect on the shared connection ([`sharing`](super::sharing)).

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;

use crate::limits::budget::Memory;
use crate::limits::buffered::Buffered;
use crate::message::failure::{Failure, Kind};
use crate::message::incoming::{Broken, Incoming};
use crate::message::kept::PrefixedBody;
use crate::message::pace::{Pace, SLOW_MS};
use crate::message::transfer::Transfer;
use crate::runtime::deadlines::in_time;

/// Maximum length of a body that is received completely before its request is sent over HTTP/2, in
/// bytes.
pub(super) const GATHERED_MAX: u64 = 64 << 10;
/// Number of bytes that must have arrived before a request whose body has no known length is sent
/// over HTTP/2. A shorter body is received completely.
const AWAITED_BYTES: usize = 2 << 10;

/// Beginning of a body that was read before the request is sent.
pub(super) enum BufferedBody {
    /// Complete body.
    Whole(Bytes),
    /// Body that is still arriving. It begins with the bytes that were read.
    Part(Incoming),
}

/// Reader of a request's body before the request is sent. The client must keep the minimum pace.
pub(super) struct BodyReader<'a> {
    transfer: &'a Transfer,
    leases: &'a policy::ConcurrencyPermits,
    pace: Pace,
    is_slow: bool,
}

/// Reads the beginning of a body of unknown length: what has arrived, and at least
/// [`AWAITED_BYTES`]. For a gRPC call or an operation with `stream: true`, reads only what has
/// arrived, because the client's next piece may depend on the response.
pub(super) async fn read_beginning(
    mut body: Incoming,
    transfer: &Transfer,
    memory: &Arc<Memory>,
    leases: &policy::ConcurrencyPermits,
) -> Result<BufferedBody, Failure> {
    let awaited = match transfer.is_upload_paced() {
        true => AWAITED_BYTES,
        false => 0,
    };
    let room = Buffered::new(memory);
    let mut reading = BodyReader::new(transfer, leases);
    let mut begun = Vec::new();
    let mut trailers = None;
    while (begun.len() as u64) < GATHERED_MAX && room.may_grow() {
        let frame = match begun.len() < awaited {
            true => reading.next(&mut body).await?,
            false => match arrived(&mut body).await {
                Some(frame) => frame,
                None => break,
            },
        };
        let Some(frame) = frame else {
            transfer.upload.mark_consumed();
            return Ok(BufferedBody::Whole(room.hold(begun)));
        };
        let frame = frame.map_err(|error| Failure::because(Kind::of_client(&error), &error))?;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                if trailers.is_some() && transfer.endless.get() {
                    break;
                }
                continue;
            }
        };
        reading.moved(&data);
        if (begun.len() + data.len()) as u64 > transfer.upload.bytes_max() {
            return Err(Failure::new(Kind::TooLarge));
        }
        if begun.is_empty() && body.is_end_stream() {
            transfer.upload.mark_consumed();
            return Ok(BufferedBody::Whole(data));
        }
        begun.extend_from_slice(&data);
        room.set(begun.len() as u64);
    }
    if begun.is_empty() && trailers.is_none() {
        return Ok(BufferedBody::Part(body));
    }
    transfer.upload.reads_again(begun.len() as u64);
    let kept = PrefixedBody::new(&room.hold(begun), trailers, body);
    Ok(BufferedBody::Part(Incoming::Buffered(Box::new(kept))))
}

/// Polls a body once. Returns the next frame if it has arrived, otherwise `None`.
async fn arrived(body: &mut Incoming) -> Option<Option<Result<Frame<Bytes>, Broken>>> {
    poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => Some(frame),
            Poll::Pending => None,
        })
    })
    .await
}

/// Failure of a slow upload if a `concurrency` policy has no permit for another slow client with
/// the same key.
pub(super) fn no_room_for_slow() -> Failure {
    let why = "the concurrency limit has no permit for another slow client";
    Failure::because(Kind::UploadStalled, &why)
}

// === impl BodyReader ===

impl<'a> BodyReader<'a> {
    pub(super) fn new(transfer: &'a Transfer, leases: &'a policy::ConcurrencyPermits) -> Self {
        Self {
            transfer,
            leases,
            pace: Pace::new(&transfer.time_limits),
            is_slow: false,
        }
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    /// If the client is slower than the minimum pace. Also if the client is slow while another
    /// request waits for the concurrency permit that this request holds.
    pub(super) async fn next(
        &mut self,
        body: &mut Incoming,
    ) -> Result<Option<Result<Frame<Bytes>, Broken>>, Failure> {
        let transfer = self.transfer;
        loop {
            let until_ms = self.pace.waits(transfer.clock.now_ms());
            let slow_at_ms = match self.is_slow {
                true if self.leases.may_be_wanted() => transfer.clock.now_ms() + SLOW_MS,
                true => u64::MAX,
                false => self.pace.slow_at_ms(),
            };
            transfer.deadline.set(until_ms.min(slow_at_ms));
            match in_time(&transfer.deadline, body.frame()).await {
                None if slow_at_ms < until_ms => {
                    if !self.leases.become_slow() || self.leases.are_wanted() {
                        return Err(no_room_for_slow());
                    }
                    self.is_slow = true;
                }
                None => return Err(Failure::new(Kind::UploadStalled)),
                Some(frame) => return Ok(frame),
            }
        }
    }

    /// Counts data that was read.
    pub(super) fn moved(&mut self, data: &Bytes) {
        let transfer = self.transfer;
        let (length, now_ms) = (data.len() as u64, transfer.clock.now_ms());
        self.pace.moved(length, now_ms, &transfer.time_limits);
        transfer.upload.count(length);
    }
}
