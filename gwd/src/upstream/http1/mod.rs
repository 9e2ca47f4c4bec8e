//! HTTP/1.1 client (RFC 9112) for one request at a time, driven by the task of the exchange.
//!
//! hyper's client runs each connection in a task of its own. A call then passes two channels and
//! wakes two tasks, which costs 1.7 µs of the 14 µs of a small exchange (data-plane.md §1). Here a
//! [`Connection`] is a socket with a buffer: its owner writes the request and reads the response.
//! An idle connection costs only its socket.
//!
//! Responses are parsed strictly, because a misread response could be delivered to another client:
//! exactly one length or one `chunked`, no folded lines, and limits on heads, chunk lines and
//! interim responses.

mod body;
mod encode;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use ::http1::response::{self, Head};
use bytes::BytesMut;
use http::{HeaderMap, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

pub(crate) use body::Incoming;
use body::ReceiveState;
use encode::Sending;

use crate::message::body::{Gate, RequestBody};
use crate::upstream::call::{Call, STATUS_MAX};

/// Number of bytes to reserve for one read of a head.
const HEAD_READ: usize = 8 << 10;
/// Default maximum length of a response head: 64 KiB.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Maximum interim responses before the final one.
const INTERIM_MAX: usize = 16;

/// Connection to an upstream with the state of its current request. Boxed, so that moving the
/// connection moves only a pointer.
pub(crate) struct Connection<I> {
    io: I,
    /// Bytes that were read and not parsed yet.
    read: BytesMut,
    /// Number of bytes of the incomplete head that the parser has scanned.
    seen: usize,
    /// Maximum length of a response head, in bytes.
    head_bytes_max: usize,
    sending: Sending,
    /// Empty map to be filled with the fields of the response.
    fields: HeaderMap,
    receiving: ReceiveState,
}

/// Reason why a call has no response, or an incomplete one.
#[derive(Debug)]
pub(crate) enum Error {
    /// The connection ended before the first byte of the response.
    Closed,
    /// The connection ended within the response.
    Incomplete,
    /// Reading from the connection or writing to it failed.
    Io(io::Error),
    /// The upstream sent something that is no response, or a response that must not be forwarded.
    Invalid(&'static str),
    /// The response head exceeds its maximum length.
    HeadTooLarge,
    /// The request's body ended early.
    Upload,
}

/// Failed request to an upstream.
pub(crate) struct Refused {
    pub(crate) error: Error,
    /// Body of the request, if no byte of the request was sent, so that it can be sent again.
    /// Otherwise `None`.
    pub(crate) unsent: Option<RequestBody>,
}

/// Response with a streamed body.
pub(crate) type Answer<I> = Response<Incoming<I>>;

// === impl Connection ===

impl<I: AsyncRead + AsyncWrite + Unpin> Connection<I> {
    /// Creates a client for a new connection.
    pub(crate) fn new(io: I) -> Box<Self> {
        Box::new(Self {
            io,
            read: BytesMut::new(),
            seen: 0,
            head_bytes_max: HEAD_BYTES_MAX,
            sending: Sending::nothing(),
            fields: HeaderMap::new(),
            receiving: ReceiveState::nothing(),
        })
    }

    /// Returns the underlying I/O. The connection must have no data in its buffers.
    pub(crate) fn into_io(self) -> I {
        self.io
    }

    /// Sets the maximum length of a response head, in bytes.
    pub(crate) fn set_head_bytes_max(&mut self, head_bytes_max: usize) {
        self.head_bytes_max = head_bytes_max;
    }

    /// True if nothing has arrived since the last response, neither unsolicited bytes nor the end
    /// of the stream.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        let io = Pin::new(&mut self.io);
        self.read.is_empty()
            && io
                .poll_read(&mut cx, &mut ReadBuf::new(&mut byte))
                .is_pending()
    }

    /// Prepares a request, which [`Self::answer`] sends. The map `fields` of the request is reused
    /// for the fields of the response.
    pub(crate) fn begin(&mut self, request: Call<'_, '_>) {
        self.sending.begin(request.head, request.body);
        self.fields = request.fields;
    }

    /// Sends the request and waits for the head of the final response. A `100 Continue` opens
    /// `gate`. If the upstream responds early, the rest of the request is sent while the response's
    /// body is read.
    pub(crate) async fn answer(
        mut self: Box<Self>,
        gate: Option<&Arc<Gate>>,
    ) -> Result<Answer<I>, Refused> {
        let mut broken = None;
        let mut interim = 0;
        let head = poll_fn(|cx| self.poll_answer(cx, gate, &mut broken, &mut interim));
        let answered = match (head.await, broken) {
            (Ok(head), _) if head.status.as_u16() > STATUS_MAX => {
                Err(Error::Invalid("its status is above 599"))
            }
            (Ok(head), _) => match head.length(self.sending.method()) {
                Ok(length) => Ok((head, length)),
                Err(malformed) => Err(malformed.into()),
            },
            (Err(Error::Closed | Error::Io(_)), Some(error)) | (Err(error), _) => Err(error),
        };
        let (head, length) = answered.map_err(|error| Refused {
            error,
            unsent: self.sending.take_untouched(),
        })?;
        self.receiving = ReceiveState::new(&length, head.keeps_connection);
        let mut response = Response::new(Incoming::new(self));
        *response.status_mut() = head.status;
        *response.version_mut() = head.version;
        *response.headers_mut() = head.headers;
        Ok(response)
    }

    /// Sends available bytes and reads until the final head is complete. `broken`: error that ended
    /// sending. `interim`: number of interim responses.
    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        gate: Option<&Arc<Gate>>,
        broken: &mut Option<Error>,
        interim: &mut usize,
    ) -> Poll<Result<Head, Error>> {
        if broken.is_none()
            && let Poll::Ready(Err(error)) = self.sending.poll(cx, &mut self.io)
        {
            // Continue to read: an upstream that has already responded may have stopped reading.
            *broken = Some(error);
        }
        loop {
            let head = match self.poll_head(cx) {
                Poll::Pending if matches!(broken, Some(Error::Upload)) => {
                    return Poll::Ready(Err(Error::Upload));
                }
                polled => ready!(polled)?,
            };
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Ok(head));
            }
            *interim += 1;
            if *interim > INTERIM_MAX {
                return Poll::Ready(Err(Error::Invalid("too many interim responses")));
            }
            if head.status == StatusCode::CONTINUE
                && let Some(gate) = gate
            {
                gate.open();
            }
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Error>> {
        loop {
            let (most, fields) = (self.head_bytes_max, &mut self.fields);
            if let Some(head) = response::parse(&mut self.read, &mut self.seen, most, fields)? {
                return Poll::Ready(Ok(head));
            }
            let nothing = self.read.is_empty();
            match ready!(self.poll_read(cx, HEAD_READ)) {
                Ok(0) if nothing => return Poll::Ready(Err(Error::Closed)),
                Ok(0) => return Poll::Ready(Err(Error::Incomplete)),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Error::Io(error))),
            }
        }
    }

    /// Reads available bytes of the connection into the buffer, which gets `room` bytes of space
    /// first.
    fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        self.read.reserve(room);
        poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read)
    }

    /// Socket, and the bytes that were read after the head of a 101 response.
    pub(crate) fn into_parts(self) -> (I, bytes::Bytes) {
        (self.io, self.read.freeze())
    }
}

impl From<::http1::Malformed> for Error {
    fn from(malformed: ::http1::Malformed) -> Self {
        Self::Invalid(malformed.0)
    }
}

impl From<response::Error> for Error {
    fn from(error: response::Error) -> Self {
        match error {
            response::Error::Malformed(malformed) => malformed.into(),
            response::Error::TooLarge => Self::HeadTooLarge,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed before any response"),
            Self::Incomplete => {
                f.write_str("the connection was closed in the middle of the response")
            }
            Self::Io(error) => error.fmt(f),
            Self::Invalid(why) => write!(f, "the response is malformed: {why}"),
            Self::HeadTooLarge => f.write_str("the head of the response is too large"),
            Self::Upload => f.write_str("the request's body ended early"),
        }
    }
}

impl std::error::Error for Error {}
