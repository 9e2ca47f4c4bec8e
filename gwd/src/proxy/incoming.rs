//! A request's body, whatever it comes over.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::proxy::http1;

/// A request's body as the client sends it.
pub(crate) enum Incoming {
    /// There is none.
    Empty,
    Http1(http1::Incoming),
    Http2(hyper::body::Incoming),
}

impl Incoming {
    /// True if some of the body came with the head, as far as that is known: its client does not
    /// wait for `100 Continue`.
    pub(crate) fn has_begun(&self) -> bool {
        match self {
            Self::Http1(body) => body.has_begun(),
            Self::Empty | Self::Http2(_) => false,
        }
    }
}

/// Why a client's body cannot be read on.
#[derive(Debug)]
pub(crate) enum Broken {
    Http1(http1::Broken),
    Http2(hyper::Error),
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
            Self::Http2(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Broken::Http2))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
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
