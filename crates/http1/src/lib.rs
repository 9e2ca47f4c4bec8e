//! The grammar of HTTP/1 (RFC 9112), without I/O: heads and bodies are taken from a buffer that
//! somebody else fills, and written behind what somebody else sends.
//!
//! | Where | What |
//! |---|---|
//! | [`request`] | a client's head, and what it says about its message and its connection |
//! | [`response`] | an upstream's head |
//! | [`body`] | the bytes behind a head: so many, in chunks, or until the end |
//! | [`mod@write`] | lines and chunks on their way out |
//!
//! Both sides are read strictly: what is read wrongly here is forwarded to somebody, or answered
//! to somebody else. One length or one `chunked`, never both; no folded lines; every line of a
//! client ends in CR LF; heads, chunk lines and trailers are bounded.
//!
//! The tokens of lines are `httparse`'s, names, values and targets are `http`'s.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod body;
mod chunks;
mod framing;
mod piece;
pub mod request;
pub mod response;
pub mod write;

/// Error: the bytes are not HTTP/1. Contains the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}
