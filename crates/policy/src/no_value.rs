//! Reasons why the evaluation of an expression fails for a request.

/// Reason why the evaluation of an expression failed, for logs and metrics. Contains no values of
/// the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoValue {
    /// A field, claim or parameter is absent.
    Absent,
    /// A parameter occurs several times, or a value is not text.
    Ambiguous,
    /// A value has another type than the expression needs.
    Type,
    /// An index, a number or a conversion is out of range.
    Range,
    /// Another error of the evaluation.
    Failed,
}

// === impl NoValue ===

impl NoValue {
    /// Label in logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Ambiguous => "ambiguous",
            Self::Type => "type",
            Self::Range => "range",
            Self::Failed => "failed",
        }
    }

    /// Label in the metric of rejections.
    #[must_use]
    pub const fn metric(self) -> &'static str {
        "expression_failed"
    }
}
