//! Refusals of requests.

/// Refusal of a request. Always `static`: data that differs between requests (`Retry-After`,
/// challenges) is in the context.
#[derive(Debug, PartialEq, Eq)]
pub struct Reject {
    /// HTTP status code.
    pub status: u16,
    /// Machine-readable reason in snake_case: `code` of the problem document, label of logs and
    /// metrics.
    pub code: &'static str,
    /// `title` of the problem document.
    pub title: &'static str,
}
