//! What was found, for people and for programs. One format, one file.

use diag::{Diagnostic, Level};

use crate::project::files::Files;

pub mod concise;
mod excerpt;
pub mod fingerprint;
pub mod human;
pub mod json;

/// Findings ready to be written.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// The texts that they point into.
    pub files: &'a Files,
    /// The findings in the order in which they are said ([`crate::lint::finish`]).
    pub findings: &'a [Diagnostic],
    /// The environment that was checked, if one was named.
    pub environment: Option<&'a str>,
    /// The least level that stops; a finding at or above it makes the result `blocked`.
    pub fail_on: Level,
}

/// How many findings there are of each level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Errors.
    pub error: usize,
    /// Warnings.
    pub warn: usize,
    /// Infos.
    pub info: usize,
}

impl Report<'_> {
    /// Counts the findings.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let count = |level| {
            self.findings
                .iter()
                .filter(|finding| finding.level == level)
                .count()
        };
        Counts {
            error: count(Level::Error),
            warn: count(Level::Warn),
            info: count(Level::Info),
        }
    }

    /// Whether a finding is at or above the level that stops.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.level >= self.fail_on)
    }
}

impl Counts {
    /// `2 errors, 1 warning`; `nothing found`.
    #[must_use]
    pub fn sentence(self) -> String {
        let words = [
            (self.error, "error", "errors"),
            (self.warn, "warning", "warnings"),
            (self.info, "info", "infos"),
        ];
        let said: Vec<String> = words
            .iter()
            .filter(|(count, _, _)| *count > 0)
            .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
            .collect();
        if said.is_empty() {
            return "nothing found".into();
        }
        said.join(", ")
    }
}

/// [`printable`] for a text of several lines.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

/// A text that a terminal shows as it is: control characters and those that turn the writing
/// direction are replaced by visible signs.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(visible).collect()
}

fn visible(c: char) -> char {
    match c {
        '\t' => '\t',
        '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..='\u{9f}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => '\u{fffd}',
        c => c,
    }
}
