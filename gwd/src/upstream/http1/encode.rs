//! Sending of requests over HTTP/1. The head and small pieces of the body are sent in one write.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http1::write;
use bytes::{Buf as _, Bytes};
use engine::forward::Outbound;
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, TE, TRAILER, TRANSFER_ENCODING};
use http_body::{Body as _, Frame};
use tokio::io::AsyncWrite;

use super::Error;
use crate::message::body::RequestBody;

/// Maximum length of a body piece that is copied into the output buffer. Longer pieces are written
/// directly.
const COPIED_MAX: usize = 16 << 10;

/// Number of bytes to reserve for a request head, enough for most heads.
const HEAD_USUAL: usize = 512;

/// State of sending a request: head, body and output buffer.
pub(super) struct Sending {
    method: Method,
    body: RequestBody,
    chunked: bool,
    /// Output buffer. The bytes before index `written` have been sent.
    out: Vec<u8>,
    written: usize,
    /// Large piece of the body, which is sent after `out`.
    data: Bytes,
    ended: bool,
    touched: bool,
    /// True if sending was delayed by one poll to wait for the body.
    waited: bool,
}

impl Sending {
    /// Idle state: no request is being sent.
    pub(super) fn nothing() -> Self {
        Self {
            method: Method::GET,
            body: RequestBody::Empty,
            chunked: false,
            out: Vec::new(),
            written: 0,
            data: Bytes::new(),
            ended: true,
            touched: false,
            waited: false,
        }
    }

    /// Begins a request with its head. The body determines the framing.
    pub(super) fn begin(&mut self, head: &Outbound<'_>, body: RequestBody) {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        out.reserve(HEAD_USUAL);
        out.extend_from_slice(head.method().as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(head.target().as_str().as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        write::field(b"host", head.host().as_bytes(), &mut out);
        let ended = body.is_end_stream();
        let exact = body.size_hint().exact();
        let chunked = !ended && exact.is_none();
        let mut has_te = false;
        head.each_field(|name, value| {
            has_te |= *name == TE;
            if !is_own(name) || chunked && *name == TRAILER {
                write::field(name.as_str().as_bytes(), value.as_bytes(), &mut out);
            }
        });
        // `TE` is for the next hop only, and a sender must say so (RFC 9110 §10.1.4).
        if has_te {
            out.extend_from_slice(b"connection: te\r\n");
        }
        if let Some(value) = head.traceparent() {
            write::field(b"traceparent", value, &mut out);
        }
        match exact {
            _ if chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Some(length) if length > 0 || expects_content(head.method()) => {
                write::content_length(length, &mut out);
            }
            _ => {}
        }
        out.extend_from_slice(b"\r\n");
        *self = Self {
            method: head.method().clone(),
            body,
            chunked,
            out,
            ended,
            ..Self::nothing()
        };
    }

    /// Takes back the body, if no byte of the request was sent and no byte of the body was read.
    pub(super) fn take_untouched(&mut self) -> Option<RequestBody> {
        (!self.touched).then(|| std::mem::replace(&mut self.body, RequestBody::Empty))
    }

    /// Releases the buffers, but keeps a small output buffer for the next request.
    pub(super) fn rest(&mut self) {
        if self.out.capacity() > HEAD_USUAL {
            self.out = Vec::new();
        }
        self.body = RequestBody::Empty;
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// True if the complete request has been sent.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.out.is_empty() && self.data.is_empty()
    }

    /// Sends available data. Ready when the complete request has been sent.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Error>> {
        loop {
            // Poll the body first, so that its beginning is sent together with the head.
            while !self.ended && self.data.is_empty() && self.out.len() < COPIED_MAX {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    // Wait for one poll: often the body arrives together with its head and can be
                    // read in the next poll. Both are then sent in one write.
                    Poll::Pending if !self.touched && !self.waited => {
                        self.waited = true;
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Pending => break,
                    Poll::Ready(None) => self.end(None),
                    Poll::Ready(Some(Err(_))) => {
                        self.touched = true;
                        return Poll::Ready(Err(Error::Upload));
                    }
                    Poll::Ready(Some(Ok(frame))) => self.take(frame),
                }
            }
            if self.out.is_empty() && self.data.is_empty() {
                return if self.ended {
                    Pin::new(io).poll_flush(cx).map_err(Error::Io)
                } else {
                    ready!(Pin::new(io).poll_flush(cx)).map_err(Error::Io)?;
                    Poll::Pending
                };
            }
            ready!(self.poll_write(cx, io))?;
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Error>> {
        while self.written < self.out.len() {
            let wrote = ready!(Pin::new(&mut *io).poll_write(cx, &self.out[self.written..]));
            self.written += self.wrote(wrote)?;
        }
        self.out.clear();
        self.written = 0;
        while !self.data.is_empty() {
            let wrote = ready!(Pin::new(&mut *io).poll_write(cx, &self.data));
            let wrote = self.wrote(wrote)?;
            self.data.advance(wrote);
            if self.data.is_empty() {
                // Free the piece now: an idle connection would keep it in memory.
                self.data = Bytes::new();
                if self.chunked {
                    self.out.extend_from_slice(b"\r\n");
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, wrote: std::io::Result<usize>) -> Result<usize, Error> {
        match wrote {
            Ok(0) => Err(Error::Io(std::io::ErrorKind::WriteZero.into())),
            Ok(wrote) => {
                self.touched = true;
                Ok(wrote)
            }
            Err(error) => Err(Error::Io(error)),
        }
    }

    /// Adds a piece of the body to the output, or ends the body with its trailers.
    fn take(&mut self, frame: Frame<Bytes>) {
        self.touched = true;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.end(Some(&trailers));
                }
                return;
            }
        };
        if !data.is_empty() {
            if self.chunked {
                write::chunk_line(data.len(), &mut self.out);
            }
            if data.len() > COPIED_MAX {
                self.data = data;
            } else {
                self.out.extend_from_slice(&data);
                if self.chunked {
                    self.out.extend_from_slice(b"\r\n");
                }
            }
        }
        if self.body.is_end_stream() && self.data.is_empty() {
            self.end(None);
        }
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) {
        self.ended = true;
        if self.chunked {
            write::chunked_end(trailers, &mut self.out);
        }
    }
}

/// True if a request with this method has `Content-Length: 0` when it has no content (RFC 9110
/// §8.6).
fn expects_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// True if the field describes the framing, which this client determines itself.
fn is_own(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING || *name == TRAILER
}
