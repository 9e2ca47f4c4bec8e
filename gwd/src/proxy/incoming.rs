//! Request body of a client, independent of the HTTP version.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::proxy::http1;

/// Request body that a client sends.
pub(crate) enum Incoming {
    /// No body.
    Empty,
    Http1(http1::Incoming),
    Http2(Http2Body),
}

/// Body over HTTP/2. Its next frame may have been read already.
pub(crate) struct Http2Body {
    body: hyper::body::Incoming,
    next: Option<Box<Taken>>,
}

type Taken = Result<Frame<Bytes>, hyper::Error>;

impl Incoming {
    /// A body over HTTP/2.
    pub(crate) fn http2(body: hyper::body::Incoming) -> Self {
        Self::Http2(Http2Body { body, next: None })
    }

    /// True if bytes of the body have already arrived. Such a client does not wait for 100
    /// (Continue).
    pub(crate) fn has_begun(&mut self) -> bool {
        match self {
            Self::Empty => false,
            Self::Http1(body) => body.has_begun(),
            Self::Http2(body) => body.has_begun(),
        }
    }
}

/// Reason why reading a client's body failed.
#[derive(Debug)]
pub(crate) enum Broken {
    Http1(http1::Broken),
    Http2(hyper::Error),
}

// === impl Http2Body ===

impl Http2Body {
    /// True if a frame is available. Does not register a wake-up for later frames.
    fn has_begun(&mut self) -> bool {
        if self.next.is_none()
            && let Poll::Ready(Some(next)) =
                Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(Waker::noop()))
        {
            self.next = Some(Box::new(next));
        }
        self.next.is_some()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Taken>> {
        match self.next.take() {
            Some(next) => Poll::Ready(Some(*next)),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    /// Remaining length. Adds the frame that was read in advance, because hyper no longer counts
    /// it.
    fn size_hint(&self) -> SizeHint {
        let taken = self
            .next
            .as_ref()
            .and_then(|next| next.as_ref().as_ref().ok());
        let taken = taken.and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
        let hint = self.body.size_hint();
        match hint.exact() {
            Some(left) => SizeHint::with_exact(left + taken),
            None => hint,
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => body
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Broken::Http1))),
            Self::Http2(body) => body
                .poll(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Broken::Http2))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.next.is_none() && body.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http1(error) => error.fmt(f),
            Self::Http2(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Broken {}
