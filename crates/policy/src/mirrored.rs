//! Mirrors that policies chose for a request.

/// A mirror that gets a copy of a request.
#[derive(Clone, Copy, Debug)]
pub struct Mirror<'a> {
    /// The upstream's name.
    pub upstream: &'a str,
    /// Bytes of the longest body that is copied.
    pub max_body_bytes: u64,
}
