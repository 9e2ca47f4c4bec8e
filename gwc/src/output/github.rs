//! Annotations in a pull request: GitHub's workflow commands, `::error file=…,line=…::message`.
//!
//! A command ends with its line, a property with `,` or `:`; `%` begins an escape. What a
//! message quotes can therefore neither end a command nor begin another one.
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use std::fmt::Write as _;

use diag::Level;

use super::{Report, printable, sentence};

/// Writes one command for each finding.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    for finding in report.findings {
        let place = report.files.sources.position(finding.span);
        let command = match finding.level {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "notice",
        };
        let title = format!("{} {}", finding.lint.code, finding.lint.name);
        let _ = write!(
            out,
            "::{command} file={},line={},endLine={}",
            property(&report.seen_path(finding.span)),
            place.line,
            place.end_line
        );
        // GitHub takes columns only within one line; its end is the last character.
        if place.line == place.end_line {
            let last = place.end_column.saturating_sub(1).max(place.column);
            let _ = write!(out, ",col={},endColumn={last}", place.column);
        }
        let _ = writeln!(
            out,
            ",title={}::{}",
            property(&title),
            data(&sentence(finding))
        );
    }
    out
}

/// The text behind `::`.
pub(crate) fn data(text: &str) -> String {
    let escaped = text
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A");
    printable(&escaped)
}

/// The value of a property.
pub(crate) fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_command_early() {
        assert_eq!(data("100%\r\n::error::x, y"), "100%25%0D%0A::error::x, y");
        assert_eq!(property("a,b:c%\nd"), "a%2Cb%3Ac%25%0Ad");
        assert_eq!(data("\u{1b}[31m"), "␛[31m");
    }
}
