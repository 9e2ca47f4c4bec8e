//! A response's body, as it comes. It holds the connection, which can be had back when both
//! sides have ended clean (data-plane.md §7).

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Method;
use http::header::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use super::chunks::{Chunks, Next};
use super::head::{Head, content_length, is_chunked};
use super::{Connection, Error, is_bodiless};

/// Bytes that are read at once.
const READ: usize = 16 << 10;

/// How a body is framed (RFC 9112 §6.3).
pub(super) enum Length {
    Known(u64),
    Chunked(Chunks),
    /// It ends with the connection.
    UntilClose,
}

/// How far a response's body has come.
pub(super) struct Receiving {
    length: Length,
    keeps_connection: bool,
    /// The upload cannot go on; the response may.
    broken: bool,
    ended: bool,
}

/// A response's body.
pub(crate) struct Incoming<I>(Box<Connection<I>>);

impl Receiving {
    /// No response is under way.
    pub(super) fn nothing() -> Self {
        Self::new(Length::Known(0), true)
    }

    pub(super) fn new(length: Length, keeps_connection: bool) -> Self {
        let ended = matches!(length, Length::Known(0));
        Self {
            length,
            keeps_connection,
            broken: false,
            ended,
        }
    }
}

impl Length {
    pub(super) fn of(head: &Head, method: &Method) -> Result<Self, Error> {
        let chunked = is_chunked(head)?;
        let length = content_length(&head.headers)?;
        Ok(match length {
            _ if is_bodiless(method, head.status) => Self::Known(0),
            _ if chunked => Self::Chunked(Chunks::Line),
            Some(length) => Self::Known(length),
            None => Self::UntilClose,
        })
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Incoming<I> {
    pub(super) fn new(connection: Box<Connection<I>>) -> Self {
        Self(connection)
    }

    /// Whether nothing more comes.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.0.receiving.ended
    }

    /// How much is still to come, as far as it is known.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.0.receiving.length {
            Length::Known(left) => SizeHint::with_exact(left),
            Length::Chunked(_) | Length::UntilClose => SizeHint::default(),
        }
    }

    /// The connection, if request and response have both ended clean and it may be used again.
    pub(crate) fn into_connection(self) -> Option<Box<Connection<I>>> {
        let mut connection = self.0;
        let receiving = &connection.receiving;
        let again = receiving.ended
            && receiving.keeps_connection
            && connection.sending.is_done()
            && connection.read.is_empty()
            && !matches!(receiving.length, Length::UntilClose);
        connection.sending.rest();
        again.then_some(connection)
    }

    /// The connection as it is: after a 101.
    pub(crate) fn into_switched(self) -> Box<Connection<I>> {
        self.0
    }

    /// The next piece. The rest of an upload goes on meanwhile.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Connection {
            io,
            sending,
            receiving,
            ..
        } = &mut *self.0;
        if receiving.ended {
            return Poll::Ready(None);
        }
        if !receiving.broken && !sending.is_done() {
            receiving.broken = matches!(sending.poll(cx, io), Poll::Ready(Err(_)));
        }
        let next = ready!(self.poll_next(cx));
        Poll::Ready(match next {
            Ok(Next::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Next::Trailers(trailers)) => Some(Ok(Frame::trailers(allowed(trailers)))),
            Ok(Next::Done | Next::More) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, Error>> {
        let connection = &mut *self.0;
        loop {
            let (read, receiving) = (&mut connection.read, &mut connection.receiving);
            match &mut receiving.length {
                Length::Known(left) if !read.is_empty() => {
                    let here =
                        usize::try_from(*left).map_or(read.len(), |left| left.min(read.len()));
                    *left -= here as u64;
                    receiving.ended = *left == 0;
                    return Poll::Ready(Ok(Next::Data(read.split_to(here).freeze())));
                }
                Length::UntilClose if !read.is_empty() => {
                    return Poll::Ready(Ok(Next::Data(read.split().freeze())));
                }
                Length::Chunked(chunks) => match chunks.next(read)? {
                    Next::More => {}
                    next => {
                        // The end is seen with the last piece where it is here already.
                        receiving.ended = !matches!(next, Next::Data(_)) || chunks.ends(read);
                        return Poll::Ready(Ok(next));
                    }
                },
                Length::Known(_) | Length::UntilClose => {}
            }
            match ready!(connection.poll_read(cx, READ)) {
                Ok(0) if matches!(connection.receiving.length, Length::UntilClose) => {
                    connection.receiving.ended = true;
                    return Poll::Ready(Ok(Next::Done));
                }
                Ok(0) => return Poll::Ready(Err(Error::Incomplete)),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Error::Io(error))),
            }
        }
    }
}

/// Trailers without what could be taken for the message's framing or routing
/// (RFC 9110 §6.5.1).
fn allowed(mut trailers: HeaderMap) -> HeaderMap {
    for name in [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ] {
        trailers.remove(name);
    }
    trailers
}
