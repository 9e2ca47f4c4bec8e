//! Bodies of responses that are read before the client gets the head, up to a maximum length.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use http_body::Body as _;

use crate::limits::buffered::Buffered;
use crate::message::failure::{Failure, Kind};
use crate::message::kept::PrefixedBody;
use crate::proxy::forwarding::Forwarding;
use crate::upstream::transport::{CallError, Incoming};

/// Result of reading a response's body up to a maximum length.
pub(super) enum Read {
    Whole(bytes::Bytes),
    /// The body is longer than the maximum.
    Longer,
    /// The process has too little memory to keep the body.
    NoMemory,
}

/// Reads a response's body up to `bytes_max`. `body` then begins with the bytes read.
pub(super) async fn read(
    forwarding: &Forwarding<'_, '_>,
    body: &mut Incoming,
    bytes_max: u64,
) -> Result<Read, Failure> {
    if body.size_hint().lower() > bytes_max {
        return Ok(Read::Longer);
    }
    let memory = &forwarding.stream.worker.budgets.memory;
    let mut reading = ReadState {
        bytes: Vec::new(),
        trailers: None,
        buffered: Buffered::new(memory),
        bytes_max,
        waits: false,
    };
    let end = poll_fn(|cx| reading.poll(forwarding, body, cx)).await?;
    let ReadState {
        bytes,
        trailers,
        buffered,
        ..
    } = reading;
    let bytes = buffered.hold(bytes);
    let rest = std::mem::replace(body, Incoming::Gone);
    *body = Incoming::Prefixed(Box::new(PrefixedBody::new(&bytes, trailers, rest)));
    Ok(match end {
        End::Whole => Read::Whole(bytes),
        End::Longer => Read::Longer,
        End::NoMemory => Read::NoMemory,
    })
}

/// State of reading a response's body.
struct ReadState {
    bytes: Vec<u8>,
    trailers: Option<HeaderMap>,
    buffered: Buffered,
    bytes_max: u64,
    /// True if the idle timeout of the upstream is running.
    waits: bool,
}

/// Reason why reading a response's body ended.
enum End {
    Whole,
    Longer,
    NoMemory,
}

impl ReadState {
    fn poll(
        &mut self,
        forwarding: &Forwarding<'_, '_>,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Result<End, Failure>> {
        let transfer = &forwarding.stream.transfer;
        loop {
            if self.trailers.is_some() || body.is_end_stream() {
                return Poll::Ready(Ok(End::Whole));
            }
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
                if !std::mem::replace(&mut self.waits, true) {
                    let until_ms = transfer.clock.now_ms() + transfer.idle_ms();
                    transfer.deadline.set(until_ms);
                } else if transfer.deadline.step_expired() {
                    let idle_ms = transfer.idle_ms();
                    let error = CallError::Silent { idle_ms };
                    return Poll::Ready(Err(Failure::because(Kind::Timeout, &error)));
                }
                return Poll::Pending;
            };
            self.waits = false;
            let frame = match frame {
                None => return Poll::Ready(Ok(End::Whole)),
                Some(Err(error)) => return Poll::Ready(Err(error.failure())),
                Some(Ok(frame)) => frame,
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    self.trailers = frame.into_trailers().ok();
                    continue;
                }
            };
            self.bytes.extend_from_slice(&data);
            let length = self.bytes.len() as u64;
            self.buffered.set(length);
            if forwarding.stream.response.is_too_long(length) {
                return Poll::Ready(Err(Failure::new(Kind::ResponseTooLarge)));
            }
            if length > self.bytes_max {
                return Poll::Ready(Ok(End::Longer));
            }
            if !self.buffered.may_grow() {
                return Poll::Ready(Ok(End::NoMemory));
            }
        }
    }
}
