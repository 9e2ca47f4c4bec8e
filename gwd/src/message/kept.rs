//! Bodies whose beginning was read before they are forwarded.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// Body whose beginning was read earlier: the bytes read, and the rest.
pub(crate) struct PrefixedBody<B> {
    bytes: Option<Bytes>,
    trailers: Option<HeaderMap>,
    rest: B,
}

impl<B: Body<Data = Bytes> + Unpin> PrefixedBody<B> {
    /// Creates a body from the bytes that were read, the trailers if they were read, and the unread
    /// rest.
    pub(crate) fn new(bytes: &Bytes, trailers: Option<HeaderMap>, rest: B) -> Self {
        Self {
            bytes: (!bytes.is_empty()).then(|| bytes.clone()),
            trailers,
            rest,
        }
    }

    /// Replaces the bytes that were read.
    pub(crate) fn replace(&mut self, bytes: Bytes) {
        self.bytes = (!bytes.is_empty()).then_some(bytes);
    }

    /// Unread part of the body.
    pub(crate) fn rest(&mut self) -> &mut B {
        &mut self.rest
    }

    /// Polls for the next frame: first the stored bytes, then the stored trailers, then the unread
    /// part.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(bytes) = self.bytes.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let kept = self.bytes.as_ref().map_or(0, Bytes::len);
        with_kept(&self.rest, kept, self.trailers.is_some())
    }
}

/// Length of a body of which `kept` bytes were read before. The length of a body with trailers is
/// not exact.
pub(crate) fn with_kept<B: Body>(rest: &B, kept: usize, has_trailers: bool) -> SizeHint {
    let kept = kept as u64;
    let rest = rest.size_hint();
    match rest.exact().filter(|_| !has_trailers) {
        Some(left) => SizeHint::with_exact(left + kept),
        None => {
            let mut hint = SizeHint::new();
            hint.set_lower(rest.lower() + kept);
            hint
        }
    }
}
