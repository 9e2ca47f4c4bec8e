//! HTTP/1 messages (RFC 9112), without I/O: heads and bodies are parsed from the caller's buffer,
//! and written to the caller's buffer.
//!
//! | Module | Content |
//! |---|---|
//! | [`request`] | a client's request head, with its framing and connection options |
//! | [`response`] | an upstream's response head |
//! | [`body`] | message bodies: by length, in chunks, or until the connection closes |
//! | [`mod@write`] | writing of fields and chunks |
//!
//! Requests and responses are parsed strictly. If the gateway and its peer disagreed about the end
//! of a message, one client could get another client's message (request smuggling). A message has
//! one length or one `chunked`, never both, and no folded lines. Every line of a client ends in CR
//! LF. Heads, chunk lines and trailers have limits.
//!
//! `httparse` splits the lines; `http` validates names, values and targets.

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
