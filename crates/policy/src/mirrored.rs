//! Mirror targets that policies selected for a request.

/// Upstream that receives a copy of a request.
#[derive(Clone, Copy, Debug)]
pub struct Mirror<'a> {
    /// Name of the upstream.
    pub upstream: &'a str,
    /// Maximum length of a request body that is copied, in bytes.
    pub max_body_bytes: u64,
}
