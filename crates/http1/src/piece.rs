//! Pieces of a body.

use bytes::Bytes;
use http::HeaderMap;

/// Next piece of a body.
pub enum Next {
    /// Data; never empty.
    Data(Bytes),
    /// Trailer section, which ends the body.
    Trailers(HeaderMap),
    /// The body has ended.
    Done,
    /// More bytes are needed.
    More,
}
