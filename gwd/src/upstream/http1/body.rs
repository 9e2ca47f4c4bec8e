//! Streamed response body. The body owns its connection, which can be reused if request and
//! response ended without an error (data-plane.md §7).

use std::task::{Context, Poll, ready};

use ::http1::body::{Body, Length, Next};
use bytes::Bytes;
use http::header::HeaderMap;
use http_body::{Frame, SizeHint};
use policy::managed::FRAMING;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Connection, Error};

/// Number of bytes to reserve for one read of a response's body.
const READ: usize = 16 << 10;

/// State of receiving a response's body.
pub(super) struct ReceiveState {
    body: Body,
    keeps_connection: bool,
    /// True if sending the request's body failed. The response may still continue.
    broken: bool,
}

/// Streamed response body.
pub(crate) struct Incoming<I>(Box<Connection<I>>);

impl ReceiveState {
    /// Idle state: no response is being received.
    pub(super) fn nothing() -> Self {
        Self::new(&Length::Known(0), true)
    }

    pub(super) fn new(length: &Length, keeps_connection: bool) -> Self {
        Self {
            body: Body::new(length),
            keeps_connection,
            broken: false,
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Incoming<I> {
    pub(super) fn new(connection: Box<Connection<I>>) -> Self {
        Self(connection)
    }

    /// True if the body has no more data or trailers.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.0.receiving.body.is_ended()
    }

    /// Number of remaining bytes, if known.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let left = self.0.receiving.body.left();
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    /// Returns the connection for reuse, or `None` if it cannot be reused.
    pub(crate) fn into_connection(self) -> Option<Box<Connection<I>>> {
        let mut connection = self.0;
        let receiving = &connection.receiving;
        let again = receiving.body.is_ended()
            && receiving.keeps_connection
            && connection.sending.is_done()
            && connection.read.is_empty()
            && !receiving.body.is_until_close();
        connection.sending.rest();
        again.then_some(connection)
    }

    /// Returns the connection of a 101 response, which has switched protocols.
    pub(crate) fn into_switched(self) -> Box<Connection<I>> {
        self.0
    }

    /// Reads the next frame. Also continues the upload.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        self.send_upload(cx);
        let next = ready!(self.poll_next(cx));
        Poll::Ready(match next {
            Ok(Next::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Next::Trailers(trailers)) => Some(Ok(Frame::trailers(allowed(trailers)))),
            Ok(Next::Done | Next::More) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Sends available bytes of the request's body.
    pub(crate) fn send_upload(&mut self, cx: &mut Context<'_>) {
        let Connection {
            io,
            sending,
            receiving,
            ..
        } = &mut *self.0;
        if !receiving.broken && !sending.is_done() {
            receiving.broken = matches!(sending.poll(cx, io), Poll::Ready(Err(_)));
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, Error>> {
        let connection = &mut *self.0;
        loop {
            match connection.receiving.body.next(&mut connection.read)? {
                Next::More => {}
                next => return Poll::Ready(Ok(next)),
            }
            match ready!(connection.poll_read(cx, READ)) {
                Ok(0) => {
                    let closed = connection.receiving.body.close();
                    return Poll::Ready(closed.map(|()| Next::Done).map_err(|_| Error::Incomplete));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Error::Io(error))),
            }
        }
    }
}

/// Removes trailer fields that affect framing or routing (RFC 9110 §6.5.1).
fn allowed(mut trailers: HeaderMap) -> HeaderMap {
    for name in FRAMING {
        trailers.remove(name);
    }
    trailers
}
