//! Locations in files, as reports and source artifacts store them.

use diag::{Sources, Span};
use serde::{Deserialize, Serialize};

/// Location in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Path relative to the project.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// Returns the location at which a span starts.
    #[must_use]
    pub fn of(sources: &Sources, span: Span) -> Self {
        let position = sources.position(span);
        Self {
            file: sources.file(span.file).path().to_owned(),
            line: position.line,
            column: position.column,
        }
    }
}
