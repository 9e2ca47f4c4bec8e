//! Sending of responses over HTTP/1. The head and the available part of the body are sent in one
//! write.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http1::request::Head;
use ::http1::response::is_bodiless;
use ::http1::write;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderValue, TRAILER, TRANSFER_ENCODING,
};
use http::{Method, Response, StatusCode, Version};
use http_body::{Body as _, Frame};

use super::wire::Wire;
use crate::proxy::download::ResponseBody;
use crate::proxy::response_state::EarlyResponse as _;
use crate::proxy::tunnel::Tunnel;

/// Maximum length of a body piece that is copied into the output buffer. Longer pieces are written
/// directly.
const COPIED_MAX: usize = 16 << 10;
/// Number of bytes to reserve for a response head, enough for most heads.
const HEAD_USUAL: usize = 512;

/// Properties of a request that determine the form of its response.
pub(super) struct RequestTraits {
    method: Method,
    version: Version,
    keeps_connection: bool,
    takes_trailers: bool,
}

/// Framing of a response body: none, a length, chunks, or the end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Response without a body. Contains the `Content-Length` to add, if the gateway omitted the
    /// body and no field has its length.
    Bodiless(Option<u64>),
    /// Body of known length. Contains the number of remaining bytes.
    Known(u64),
    Chunked,
    UntilClose,
}

/// Response body that is being sent.
struct Sending {
    body: ResponseBody,
    framing: Framing,
    takes_trailers: bool,
    /// Piece of the body that is written without copying.
    piece: Bytes,
    ended: bool,
    /// True if the body ended with an error. Bytes in the output buffer are still sent.
    cut: bool,
}

/// Error for a response that cannot be completed.
struct CutShort;

/// Action on the connection after a response.
pub(super) enum Then {
    /// Read the next request.
    Again,
    /// Close the connection.
    Close,
    /// Run the tunnel, then close the connection.
    Tunnel(Box<Tunnel>),
    /// Reset the connection, so that the client does not take its end for the end of the response.
    Reset,
}

/// Sends a response. Returns the next action on the connection.
pub(super) async fn send(
    wire: &Wire,
    response: Response<ResponseBody>,
    traits: &RequestTraits,
) -> Then {
    let (parts, mut body) = response.into_parts();
    let framing = Framing::of(parts.status, &parts.headers, &body, traits);
    let closes = parts
        .headers
        .get(CONNECTION)
        .is_some_and(|value| *value == "close");
    // Close the connection if the request has not been read completely: otherwise the client's next
    // request would arrive after the unread rest.
    let is_read = match &body {
        ResponseBody::Own(..) | ResponseBody::Tunnel(_) => wire.discard(),
        ResponseBody::Download(_) => wire.is_read(),
    };
    let tunnel = body.take_tunnel();
    let keeps = traits.keeps_connection
        && is_read
        && !closes
        && framing != Framing::UntilClose
        && parts.status != StatusCode::SWITCHING_PROTOCOLS;
    wire.response_begins();
    let date = wire.stream.worker.date();
    wire.write(|out| {
        head(
            parts.status,
            &parts.headers,
            framing,
            keeps,
            traits,
            &date,
            out,
        );
    });
    wire.stream.worker.spare_maps.keep(parts.headers);
    let mut sending = Sending {
        framing,
        takes_trailers: traits.takes_trailers,
        piece: Bytes::new(),
        ended: matches!(framing, Framing::Bodiless(_)),
        cut: false,
        // The body is omitted: drop it, so that the exchange ends with the head.
        body: match framing {
            Framing::Bodiless(_) => ResponseBody::Own(Bytes::new(), None),
            _ => body,
        },
    };
    let sent = poll_fn(|cx| sending.poll(wire, cx)).await;
    match sent {
        Ok(()) if keeps && wire.response_ended() => Then::Again,
        Ok(()) => tunnel.map_or(Then::Close, Then::Tunnel),
        Err(CutShort) if framing == Framing::UntilClose => Then::Reset,
        Err(CutShort) => Then::Close,
    }
}

/// Writes a response head.
fn head(
    status: StatusCode,
    headers: &HeaderMap,
    framing: Framing,
    keeps: bool,
    traits: &RequestTraits,
    date: &[u8],
    out: &mut Vec<u8>,
) {
    let is_11 = traits.version == Version::HTTP_11;
    out.reserve(HEAD_USUAL);
    out.extend_from_slice(match is_11 {
        true => b"HTTP/1.1 ",
        false => b"HTTP/1.0 ",
    });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let (mut connected, mut dated) = (false, false);
    let sends_trailers = framing == Framing::Chunked && traits.takes_trailers;
    for (name, value) in headers {
        if *name == CONTENT_LENGTH {
            if !matches!(framing, Framing::Bodiless(_)) || !may_have_length(status) {
                continue;
            }
        } else if *name == TRANSFER_ENCODING || *name == TRAILER && !sends_trailers {
            continue;
        }
        connected |= *name == CONNECTION;
        dated |= *name == DATE;
        write::field(name.as_str().as_bytes(), value.as_bytes(), out);
    }
    match framing {
        Framing::Known(length) | Framing::Bodiless(Some(length)) => {
            write::content_length(length, out);
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Bodiless(None) | Framing::UntilClose => {}
    }
    match (connected, keeps) {
        (false, false) => out.extend_from_slice(b"connection: close\r\n"),
        (false, true) if !is_11 => out.extend_from_slice(b"connection: keep-alive\r\n"),
        _ => {}
    }
    if !dated {
        write::field(b"date", date, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// True if a response without a body may carry the `Content-Length` of the omitted body (RFC 9110
/// §8.6).
fn may_have_length(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT
}

// === impl RequestTraits ===

impl RequestTraits {
    pub(super) fn of(head: &Head) -> Self {
        Self {
            method: head.method.clone(),
            version: head.version,
            keeps_connection: head.keeps_connection,
            takes_trailers: head.takes_trailers,
        }
    }
}

// === impl Framing ===

impl Framing {
    fn of(
        status: StatusCode,
        headers: &HeaderMap,
        body: &ResponseBody,
        traits: &RequestTraits,
    ) -> Self {
        if is_bodiless(&traits.method, status) {
            return Self::Bodiless(match body {
                // Add no `Content-Length` to a 304, which has no body here: the value would have to
                // be the length of the 200 (RFC 9110 §8.6).
                ResponseBody::Own(bytes, _)
                    if may_have_length(status)
                        && status != StatusCode::NOT_MODIFIED
                        && !headers.contains_key(CONTENT_LENGTH) =>
                {
                    Some(bytes.len() as u64)
                }
                ResponseBody::Own(..) | ResponseBody::Tunnel(_) | ResponseBody::Download(_) => None,
            });
        }
        let declared = || headers.get(CONTENT_LENGTH).and_then(length);
        match body.size_hint().exact().or_else(declared) {
            Some(length) => Self::Known(length),
            None if traits.version == Version::HTTP_11 => Self::Chunked,
            None => Self::UntilClose,
        }
    }
}

fn length(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

// === impl Sending ===

impl Sending {
    /// Sends available data. Ready when all data is sent.
    fn poll(&mut self, wire: &Wire, cx: &mut Context<'_>) -> Poll<Result<(), CutShort>> {
        loop {
            let mut waits = false;
            while !self.ended && !self.cut && self.piece.is_empty() && !wire.is_full() {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Pending => {
                        waits = true;
                        break;
                    }
                    Poll::Ready(None) => self.end(wire, None)?,
                    Poll::Ready(Some(Err(_))) => self.cut = true,
                    Poll::Ready(Some(Ok(frame))) => self.take(wire, frame)?,
                }
            }
            let flushed = wire.poll_flush(cx, &mut self.piece);
            if flushed.is_pending() && !self.ended {
                self.body.send_upload(cx);
            }
            ready!(flushed).map_err(|_| CutShort)?;
            if self.cut {
                return Poll::Ready(Err(CutShort));
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if waits {
                return match wire.has_left(cx) {
                    true => Poll::Ready(Err(CutShort)),
                    false => Poll::Pending,
                };
            }
        }
    }

    /// Adds a piece of the body to the output, or ends the body with its trailers.
    fn take(&mut self, wire: &Wire, frame: Frame<Bytes>) -> Result<(), CutShort> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                let trailers = frame.into_trailers().ok().filter(|_| self.takes_trailers);
                return self.end(wire, trailers.as_ref());
            }
        };
        if let Framing::Known(left) = &mut self.framing {
            // Refuse bytes beyond the declared length: the client would parse them as the next
            // response.
            *left = left.checked_sub(data.len() as u64).ok_or(CutShort)?;
        }
        let chunked = self.framing == Framing::Chunked;
        if !data.is_empty() && (chunked || data.len() <= COPIED_MAX) {
            wire.write(|out| {
                if chunked {
                    write::chunk_line(data.len(), out);
                }
                out.extend_from_slice(&data);
                if chunked {
                    out.extend_from_slice(b"\r\n");
                }
            });
        } else {
            self.piece = data;
        }
        if self.body.is_end_stream() {
            self.end(wire, None)?;
        }
        Ok(())
    }

    fn end(&mut self, wire: &Wire, trailers: Option<&HeaderMap>) -> Result<(), CutShort> {
        self.ended = true;
        match self.framing {
            Framing::Known(1..) => return Err(CutShort),
            Framing::Chunked => wire.write(|out| write::chunked_end(trailers, out)),
            Framing::Known(0) | Framing::Bodiless(_) | Framing::UntilClose => {}
        }
        Ok(())
    }
}
