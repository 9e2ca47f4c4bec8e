//! Request body of a client, independent of the HTTP version.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::message::hashed::Hashed;
use crate::message::kept::PrefixedBody;
use crate::message::scanned::Scanned;
use crate::message::sequence::{ItemRefusal, SequenceBody, SequenceError};
use crate::message::transfer::Transfer;

/// Request body that a client sends.
pub(crate) enum Incoming {
    /// No body.
    Empty,
    Http1(Http1Body),
    Http2(Http2Body),
    /// Body whose end is withheld until its digest was compared.
    Hashed(Box<Hashed>),
    /// Body that is scanned while it is read.
    Scanned(Box<Scanned>),
    /// Body of which a part was read earlier, to be returned again.
    Buffered(Box<PrefixedBody<Self>>),
    /// Sequence whose items are checked while the body is read.
    Sequence(Box<SequenceBody<Self>>),
}

/// Body over HTTP/1. It is read from the buffers of its connection.
pub(crate) struct Http1Body {
    connection: Rc<dyn Http1Connection>,
    number: u64,
}

/// HTTP/1 connection from which the bodies of requests are read. Each request of the connection has
/// a number, so that no exchange reads the body of another exchange.
pub(crate) trait Http1Connection {
    /// Reads the next frame of a request's body.
    fn poll_body(
        &self,
        number: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http1BodyError>>>;

    /// True if the body of a request has no more frames.
    fn is_end_stream(&self, number: u64) -> bool;

    /// True if bytes of the body have already arrived, after the bytes of the head.
    fn has_begun(&self) -> bool;

    /// Number of remaining bytes, if known.
    fn size_hint(&self) -> SizeHint;
}

/// Body over HTTP/2. Its next frame may have been read already.
pub(crate) struct Http2Body {
    body: hyper::body::Incoming,
    next: Option<Box<FrameResult>>,
    transfer: Rc<Transfer>,
}

type FrameResult = Result<Frame<Bytes>, hyper::Error>;

impl Incoming {
    /// Creates the body of an HTTP/1 request. `number`: number of the request on its connection.
    pub(crate) fn http1(connection: Rc<dyn Http1Connection>, number: u64) -> Self {
        Self::Http1(Http1Body { connection, number })
    }

    /// Body over HTTP/2. `transfer`: state of its exchange.
    pub(crate) fn http2(body: hyper::body::Incoming, transfer: &Rc<Transfer>) -> Self {
        Self::Http2(Http2Body {
            body,
            next: None,
            transfer: Rc::clone(transfer),
        })
    }

    /// True if bytes of the body have already arrived. The client then does not wait for 100
    /// (Continue).
    pub(crate) fn has_begun(&mut self) -> bool {
        match self {
            Self::Empty => false,
            Self::Http1(body) => body.connection.has_begun(),
            Self::Http2(body) => body.has_begun(),
            Self::Hashed(body) => body.has_begun(),
            Self::Scanned(body) => body.has_begun(),
            Self::Buffered(_) => true,
            Self::Sequence(body) => body.rest().has_begun(),
        }
    }
}

/// Reason why reading a client's body failed.
#[derive(Debug)]
pub(crate) enum Broken {
    Http1(Http1BodyError),
    Http2(hyper::Error),
    /// The content differs from the content that the client signed.
    Content,
    /// A scan of a `kind: threat` policy refuses the body.
    Refused,
    /// The check of an item of the body (`validate`) refuses the item.
    Item(ItemRefusal),
}

/// Reason why reading a body over HTTP/1 failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http1BodyError {
    /// The connection was reset or closed, or serves another request by now.
    Gone,
    /// The client closed its sending side early. It may still wait for a response.
    Early,
    /// The framing of the body is invalid.
    Malformed(::http1::Malformed),
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

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<FrameResult>> {
        match self.next.take() {
            Some(next) => Poll::Ready(Some(*next)),
            None => {
                let polled = Pin::new(&mut self.body).poll_frame(cx);
                self.transfer.client_polled(&polled);
                polled
            }
        }
    }

    /// Remaining length. Adds the frame that was read in advance, because hyper no longer counts
    /// this frame.
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
                .connection
                .poll_body(body.number, cx)
                .map(|frame| frame.map(|frame| frame.map_err(Broken::Http1))),
            Self::Http2(body) => body
                .poll(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Broken::Http2))),
            Self::Hashed(body) => body.poll(cx),
            Self::Scanned(body) => body.poll(cx),
            Self::Buffered(body) => body.poll(cx),
            Self::Sequence(body) => body.poll(cx).map_err(|error| match error {
                SequenceError::Body(error) => error,
                SequenceError::Refused(refusal) => Broken::Item(refusal),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.connection.is_end_stream(body.number),
            Self::Http2(body) => body.next.is_none() && body.body.is_end_stream(),
            Self::Hashed(body) => body.is_end_stream(),
            Self::Scanned(body) => body.is_end_stream(),
            Self::Buffered(body) => body.is_end_stream(),
            Self::Sequence(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.connection.size_hint(),
            Self::Http2(body) => body.size_hint(),
            Self::Hashed(body) => body.size_hint(),
            Self::Scanned(body) => body.size_hint(),
            Self::Buffered(body) => body.size_hint(),
            Self::Sequence(body) => body.size_hint(),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http1(error) => error.fmt(f),
            Self::Http2(error) => error.fmt(f),
            Self::Content => f.write_str("the content is not the one that was signed"),
            Self::Refused => f.write_str("the structure of the body is not accepted"),
            Self::Item(_) => f.write_str("an item of the body is not accepted"),
        }
    }
}

impl std::error::Error for Broken {}

impl fmt::Display for Http1BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the connection was reset"),
            Self::Early => f.write_str("the body ended early"),
            Self::Malformed(malformed) => malformed.fmt(f),
        }
    }
}

impl std::error::Error for Http1BodyError {}
