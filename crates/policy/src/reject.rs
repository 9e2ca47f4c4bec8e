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
    /// Meaning of the reason for operators, one sentence without a full stop. `None`: the list of
    /// reasons in `vocab` has the meaning, or the response cannot be configured under `errors`.
    pub means: Option<&'static str>,
    /// Advice to the client: `detail` of the problem document. `None`: the advice for the status.
    pub detail: Option<&'static str>,
}

impl Reject {
    /// Refusal without a meaning and without advice of its own.
    #[must_use]
    pub const fn new(status: u16, code: &'static str, title: &'static str) -> Self {
        Self {
            status,
            code,
            title,
            means: None,
            detail: None,
        }
    }

    /// Sets the meaning for operators. It makes the code a key of `errors`.
    #[must_use]
    pub const fn with_meaning(self, means: &'static str) -> Self {
        Self {
            means: Some(means),
            ..self
        }
    }

    /// Sets the advice to the client.
    #[must_use]
    pub const fn with_detail(self, detail: &'static str) -> Self {
        Self {
            detail: Some(detail),
            ..self
        }
    }
}
