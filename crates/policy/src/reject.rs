//! Refusals.

/// A refusal. It is a decision, not an error, and always `static`: what differs from request to
/// request (`Retry-After`, the challenge) is in the context.
#[derive(Debug, PartialEq, Eq)]
pub struct Reject {
    /// The status code.
    pub status: u16,
    /// The machine's reason, snake_case: problem `code`, log and metric label.
    pub code: &'static str,
    /// The problem's title.
    pub title: &'static str,
}
