//! Limits on the bodies of an exchange.

/// Limits on the length of bodies that the policies of a chain set, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Maximum length of the request's body.
    pub request: u64,
    /// Maximum length of the response's body.
    pub response: u64,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            request: u64::MAX,
            response: u64::MAX,
        }
    }
}
