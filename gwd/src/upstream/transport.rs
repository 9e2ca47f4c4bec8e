//! Connection to an upstream, independent of the HTTP version.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};

use crate::message::body::{Gate, RequestBody};
use crate::message::failure::{self, Failure, Kind};
use crate::message::kept::PrefixedBody;
use crate::message::sequence::{ITEM_BYTES_MAX, ItemRefusal, SequenceBody, SequenceError};
use crate::upstream::call::Call;
use crate::upstream::connection_permit::ConnectionPermit;
use crate::upstream::sharing::Acceptable;
use crate::upstream::socket::UpstreamSocket;
use crate::upstream::{http1, http2};

/// Connection that can send a request.
pub(crate) enum Transport {
    Http1(Box<http1::Connection<UpstreamSocket>>),
    /// HTTP/2 connection, which other exchanges may share. Boxed, so that the enum is small.
    Http2(Box<http2::Connection>),
}

/// Request with its connection, before it is sent.
pub(crate) enum Begun {
    Http1(Box<http1::Connection<UpstreamSocket>>),
    Http2(Box<(http2::Connection, Request<RequestBody>)>),
}

/// Response. Boxed, because many functions pass it from the connection to the client.
pub(crate) type Answer = Box<Response<Incoming>>;

/// Failed request to an upstream.
pub(crate) struct Refused {
    pub(crate) error: CallError,
    /// Body of the request, if no byte of the request was sent, so that it can be sent again.
    /// Otherwise `None`.
    pub(crate) unsent: Option<RequestBody>,
}

/// Reason why a call has no response, or an incomplete one.
#[derive(Debug)]
pub(crate) enum CallError {
    Http1(http1::Error),
    Http2(http2::Error),
    /// The upstream sent nothing of the response's body for `idle_ms`, the idle timeout.
    Silent {
        idle_ms: u64,
    },
    /// A credential of the request has expired, and the operation ends its responses at that time.
    Expired,
    /// The response's body is longer than the operation allows.
    TooLong,
    /// The check of an item of the response's body (`validate`) refuses the item.
    Item(ItemRefusal),
    /// The gateway panicked because of a bug.
    Panicked,
}

/// Body of an upstream's response.
pub(crate) enum Incoming {
    Http1(http1::Incoming<UpstreamSocket>),
    Http2(Box<http2::Incoming>),
    /// Body whose beginning was read earlier.
    Prefixed(Box<PrefixedBody<Self>>),
    /// Sequence whose items are checked while the body is read.
    Sequence(Box<SequenceBody<Self>>),
    /// The body has ended or was abandoned, and no longer owns the connection.
    Gone,
}

// === impl Transport ===

impl Transport {
    /// Begins a request. Over HTTP/1, its head is written into the output buffer at once.
    pub(crate) fn begin(self, call: Call<'_, '_>) -> Begun {
        match self {
            Self::Http1(mut connection) => {
                connection.begin(call);
                Begun::Http1(connection)
            }
            Self::Http2(connection) => {
                let connection = connection.for_client(call.client);
                let request = call.into_request();
                Begun::Http2(Box::new((connection, request)))
            }
        }
    }

    /// Closes the connection and returns its permit, which can be used to open another connection.
    /// `None` for HTTP/2.
    pub(crate) fn into_permit(self) -> Option<ConnectionPermit> {
        match self {
            Self::Http1(connection) => (*connection).into_io().into_permit(),
            // Other exchanges still use the shared connection, so its permit is not free.
            Self::Http2(_) => None,
        }
    }

    /// True if the connection can send another request, as far as can be known without I/O.
    pub(crate) fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_quiet(),
            Self::Http2(connection) => connection.is_ready(),
        }
    }
}

// === impl Begun ===

impl Begun {
    /// Sends the request and waits for the head of the final response. A `100 Continue` opens
    /// `gate`.
    pub(crate) async fn answer(self, gate: Option<&Arc<Gate>>) -> Result<Answer, Box<Refused>> {
        match self {
            Self::Http1(connection) => match connection.answer(gate).await {
                Ok(answer) => Ok(Box::new(answer.map(Incoming::Http1))),
                Err(refused) => Err(Box::new(Refused {
                    error: CallError::Http1(refused.error),
                    unsent: refused.unsent,
                })),
            },
            Self::Http2(call) => {
                let (connection, request) = *call;
                let answered = Box::pin(connection.call(request, gate)).await;
                match answered {
                    Ok(answer) => Ok(Box::new(answer.map(|body| Incoming::Http2(Box::new(body))))),
                    Err(refused) => Err(Box::new(Refused {
                        error: CallError::Http2(refused.error),
                        unsent: refused.unsent.map(Request::into_body),
                    })),
                }
            }
        }
    }
}

// === impl CallError ===

impl CallError {
    /// True if the connection ended before the first byte of a response or with an I/O error, or if
    /// the request was not processed. The peer may have closed a reused connection just before the
    /// request was sent (data-plane.md §7).
    pub(crate) fn is_stale(&self) -> bool {
        match self {
            Self::Http1(error) => matches!(error, http1::Error::Closed | http1::Error::Io(_)),
            Self::Http2(error) => error.is_stale(),
            Self::Silent { .. }
            | Self::Expired
            | Self::TooLong
            | Self::Item(_)
            | Self::Panicked => false,
        }
    }

    /// Connections that are acceptable for sending the request again. Usually a new connection: the
    /// cause that closed this connection may also have closed other connections of the same age.
    pub(crate) fn acceptable(&self) -> Acceptable {
        match self {
            Self::Http2(error) if error.is_of_stream() => Acceptable::Any,
            Self::Http1(_)
            | Self::Http2(_)
            | Self::Silent { .. }
            | Self::Expired
            | Self::TooLong
            | Self::Item(_)
            | Self::Panicked => Acceptable::Unused,
        }
    }

    /// Failure of the exchange that this error causes.
    pub(crate) fn failure(&self) -> Failure {
        let kind = if let Some(rustls::Error::AlertReceived(alert)) = self.tls() {
            // In TLS 1.3, an alert about a rejected client certificate arrives after the handshake.
            Kind::TlsAlert((*alert).into())
        } else if let Self::Http2(http2::Error::HeadTooLarge { .. }) = self {
            Kind::HeadTooLarge
        } else if self.is_protocol() {
            Kind::Protocol
        } else if self.is_unprocessed() {
            Kind::Refused
        } else {
            Kind::Reset
        };
        Failure::because(kind, self)
    }

    /// TLS error that caused the failure, or `None` if TLS was not the cause.
    pub(crate) fn tls(&self) -> Option<&rustls::Error> {
        match self {
            Self::Http1(http1::Error::Io(error)) => failure::tls(error),
            Self::Http2(http2::Error::Tls(error)) => Some(error),
            Self::Http1(_)
            | Self::Http2(_)
            | Self::Silent { .. }
            | Self::Expired
            | Self::TooLong
            | Self::Item(_)
            | Self::Panicked => None,
        }
    }

    /// True if the peer violated the protocol.
    pub(crate) fn is_protocol(&self) -> bool {
        match self {
            Self::Http1(error) => {
                matches!(error, http1::Error::Invalid(_) | http1::Error::HeadTooLarge)
            }
            Self::Http2(error) => error.is_protocol(),
            Self::Silent { .. }
            | Self::Expired
            | Self::TooLong
            | Self::Item(_)
            | Self::Panicked => false,
        }
    }

    /// True if the peer has certainly not processed the request.
    pub(crate) fn is_unprocessed(&self) -> bool {
        match self {
            Self::Http1(_)
            | Self::Silent { .. }
            | Self::Expired
            | Self::TooLong
            | Self::Item(_)
            | Self::Panicked => false,
            Self::Http2(error) => error.is_unprocessed(),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http1(error) => error.fmt(f),
            Self::Http2(error) => error.fmt(f),
            Self::Silent { idle_ms } => write!(f, "no byte of the body arrived for {idle_ms} ms"),
            Self::Expired => f.write_str("a credential of the request has expired"),
            Self::TooLong => f.write_str("the body is longer than the operation allows"),
            Self::Item(ItemRefusal::Invalid) => f.write_str("an item does not match"),
            Self::Item(ItemRefusal::TooLong) => {
                write!(f, "an item is longer than {ITEM_BYTES_MAX} bytes")
            }
            Self::Item(ItemRefusal::Unavailable) => f.write_str("an item cannot be checked now"),
            Self::Panicked => f.write_str("a bug in gwd"),
        }
    }
}

impl std::error::Error for CallError {}

// === impl Incoming ===

impl Incoming {
    /// Takes the connection for reuse, if request and response have ended without an error. `None`
    /// for an HTTP/2 connection, which is in the pool anyway.
    pub(crate) fn take_transport(&mut self) -> Option<Transport> {
        match std::mem::replace(self, Self::Gone) {
            Self::Http1(body) => body.into_connection().map(Transport::Http1),
            Self::Prefixed(mut kept) => kept.rest().take_transport(),
            Self::Sequence(mut body) => body.rest().take_transport(),
            Self::Http2(_) | Self::Gone => None,
        }
    }

    /// Sends available bytes of the request's body while the response is not read.
    pub(crate) fn send_upload(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Http1(body) => body.send_upload(cx),
            Self::Http2(body) => body.send_upload(cx),
            Self::Prefixed(kept) => kept.rest().send_upload(cx),
            Self::Sequence(body) => body.rest().send_upload(cx),
            Self::Gone => {}
        }
    }

    /// Socket of a 101 response, and the bytes after its head. `None` if the response is no HTTP/1
    /// response.
    pub(crate) fn into_switched(self) -> Option<(UpstreamSocket, Bytes)> {
        match self {
            Self::Http1(body) => Some(body.into_switched().into_parts()),
            Self::Http2(_) | Self::Prefixed(_) | Self::Sequence(_) | Self::Gone => None,
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        match self.get_mut() {
            Self::Http1(body) => body
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(CallError::Http1))),
            Self::Http2(body) => body
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(CallError::Http2))),
            Self::Prefixed(kept) => kept.poll(cx),
            Self::Sequence(body) => body.poll(cx).map_err(|error| match error {
                SequenceError::Body(error) => error,
                SequenceError::Refused(refusal) => CallError::Item(refusal),
            }),
            Self::Gone => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
            Self::Prefixed(kept) => kept.is_end_stream(),
            Self::Sequence(body) => body.is_end_stream(),
            Self::Gone => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
            Self::Prefixed(kept) => kept.size_hint(),
            Self::Sequence(body) => body.size_hint(),
            Self::Gone => SizeHint::with_exact(0),
        }
    }
}
