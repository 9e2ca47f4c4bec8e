//! Pieces in which a message body is read.

use bytes::Bytes;
use http::HeaderMap;

/// Next piece of a message body.
pub enum Next {
    /// Data; never empty.
    Data(Bytes),
    /// Trailer section, which ends the body.
    Trailers(HeaderMap),
    /// The body has ended.
    Done,
    /// The buffer does not contain a complete piece. The caller must read more bytes.
    More,
}
