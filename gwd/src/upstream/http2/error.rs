//! Errors of exchanges with an HTTP/2 upstream.

use std::fmt;

/// Reason why a call has no response, or an incomplete one.
#[derive(Debug)]
pub(crate) enum Error {
    /// The connection or the stream failed.
    Http2(h2::Error),
    /// TLS failed, which ended the connection.
    Tls(rustls::Error),
    /// The peer does not support extended CONNECT (RFC 8441 §3).
    NoTunnels,
    /// The request was not sent, because the connection accepts no more requests.
    Unsent(h2::Error),
    /// The upstream sent something that is no response, or a response that must not be forwarded.
    Invalid(&'static str),
    /// The request's body ended early.
    Upload,
    /// The header list or the trailers of the request have `bytes` bytes, but the peer accepts
    /// only `max` (RFC 9113 §6.5.2). They were not sent.
    HeadTooLarge { bytes: u64, max: u32 },
}

// === impl Error ===

impl Error {
    /// True if the peer has certainly not processed the request. Either the peer reported that (RFC
    /// 9113 §8.7), or the request was not sent.
    pub(crate) fn is_unprocessed(&self) -> bool {
        match self {
            Self::Http2(error) => {
                error.is_remote()
                    && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
            }
            Self::Unsent(_) => true,
            Self::Invalid(_)
            | Self::Upload
            | Self::NoTunnels
            | Self::Tls(_)
            | Self::HeadTooLarge { .. } => false,
        }
    }

    /// True if the peer refused only the stream. The connection remains usable.
    pub(crate) fn is_of_stream(&self) -> bool {
        let Self::Http2(error) = self else {
            return false;
        };
        error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
    }

    /// True if the peer reset the stream because the connection costs it too much (RFC 9113 §7,
    /// ENHANCE_YOUR_CALM). Node.js does so once the unread responses of a connection reach 10 MB,
    /// regardless of which clients do not read.
    pub(super) fn is_of_overload(&self) -> bool {
        matches!(self, Self::Http2(error) if error.is_reset()
            && error.is_remote()
            && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM))
    }

    /// True if a retry on a different connection makes sense. Either the request was not processed,
    /// or the connection ended with an I/O error or costs the peer too much.
    pub(crate) fn is_stale(&self) -> bool {
        self.is_unprocessed()
            || self.is_of_overload()
            || matches!(self, Self::Http2(error) if error.is_io())
    }

    /// True if the peer violated the protocol, or does not support extended CONNECT.
    pub(crate) fn is_protocol(&self) -> bool {
        match self {
            Self::Http2(error) => error.is_library(),
            Self::Invalid(_) | Self::NoTunnels => true,
            Self::Unsent(_) | Self::Upload | Self::Tls(_) | Self::HeadTooLarge { .. } => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http2(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Unsent(error) => write!(f, "the request was not sent: {error}"),
            Self::Invalid(why) => f.write_str(why),
            Self::Upload => f.write_str("the request's body ended early"),
            Self::HeadTooLarge { bytes, max } => write!(
                f,
                "the request's fields have {bytes} bytes, but the upstream accepts {max} \
                 (SETTINGS_MAX_HEADER_LIST_SIZE)"
            ),
            Self::NoTunnels => {
                f.write_str("the upstream accepts no WebSockets over HTTP/2 (RFC 8441)")
            }
        }
    }
}
