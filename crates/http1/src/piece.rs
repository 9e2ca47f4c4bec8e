//! Pieces of a body.

use bytes::Bytes;
use http::HeaderMap;

/// Next piece of a body.
#[derive(Debug)]
pub enum Next {
    /// A piece; never empty.
    Data(Bytes),
    /// The trailer section, which ends it.
    Trailers(HeaderMap),
    /// Nothing any more.
    Done,
    /// More has to be read.
    More,
}
