//! Bodies that are read before the request is sent to the upstream, up to a maximum length.
//!
//! A policy that needs the whole body reads it with [`read`]. The bytes read stay in memory and are
//! the first part of the body that the upstream gets. The rest of a longer body is streamed after
//! this part.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as _;

use crate::limits::budget::Memory;
use crate::limits::buffered::Buffered;
use crate::message::failure::Kind;
use crate::message::incoming::Incoming;
use crate::message::kept::PrefixedBody;
use crate::message::pace::Pace;
use crate::message::transfer::Transfer;

/// Result of reading a body up to a maximum length.
pub(crate) enum Whole {
    /// The whole body.
    Read(Bytes),
    /// The body is longer than the maximum.
    Longer,
    /// The process has too little memory to keep the body.
    NoMemory,
}

/// Reads a body up to `bytes_max`. The returned body begins with the bytes read. The time limits of
/// an upload apply to the client.
///
/// # Errors
/// If the client was too slow or disconnected, or its framing is invalid.
pub(crate) async fn read(
    mut body: Incoming,
    bytes_max: u64,
    transfer: &Transfer,
    memory: &Arc<Memory>,
) -> (Incoming, Result<Whole, Kind>) {
    if body.size_hint().lower() > bytes_max {
        return (body, Ok(Whole::Longer));
    }
    let mut gathering = Gathering {
        bytes: Vec::new(),
        trailers: None,
        buffered: Buffered::new(memory),
        bytes_max,
        pace: Pace::new(&transfer.time_limits),
    };
    let read = poll_fn(|cx| gathering.poll(&mut body, transfer, cx)).await;
    let Gathering {
        bytes,
        trailers,
        buffered,
        ..
    } = gathering;
    let kept = buffered.hold(bytes);
    let read = read.map(|end| match end {
        End::Whole => Whole::Read(kept.clone()),
        End::Longer => Whole::Longer,
        End::NoMemory => Whole::NoMemory,
    });
    let body = Incoming::Buffered(Box::new(PrefixedBody::new(&kept, trailers, body)));
    (body, read)
}

/// State of reading a body up to a maximum length.
struct Gathering {
    bytes: Vec<u8>,
    trailers: Option<HeaderMap>,
    buffered: Buffered,
    bytes_max: u64,
    pace: Pace,
}

/// Reason why reading a body ended.
enum End {
    Whole,
    Longer,
    NoMemory,
}

impl Gathering {
    fn poll(
        &mut self,
        body: &mut Incoming,
        transfer: &Transfer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<End, Kind>> {
        loop {
            if self.trailers.is_some() || body.is_end_stream() {
                return Poll::Ready(Ok(End::Whole));
            }
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
                transfer.upload.mark_consumed();
                let was_waiting = self.pace.until_ms().is_some();
                let until_ms = self.pace.waits(transfer.clock.now_ms());
                transfer.deadline.set(until_ms);
                if was_waiting && transfer.deadline.step_expired() {
                    return Poll::Ready(Err(Kind::UploadStalled));
                }
                return Poll::Pending;
            };
            let frame = match frame {
                None => return Poll::Ready(Ok(End::Whole)),
                Some(Err(broken)) => return Poll::Ready(Err(Kind::of_client(&broken))),
                Some(Ok(frame)) => frame,
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    self.trailers = frame.into_trailers().ok();
                    continue;
                }
            };
            let length = data.len() as u64;
            transfer.upload.count_early(length);
            let now_ms = transfer.clock.now_ms();
            self.pace.moved(length, now_ms, &transfer.time_limits);
            self.bytes.extend_from_slice(&data);
            self.buffered.set(self.bytes.len() as u64);
            if self.bytes.len() as u64 > self.bytes_max {
                return Poll::Ready(Ok(End::Longer));
            }
            if !self.buffered.may_grow() {
                return Poll::Ready(Ok(End::NoMemory));
            }
        }
    }
}
