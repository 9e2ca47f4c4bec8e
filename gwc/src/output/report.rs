//! Findings with the data that all output formats need, and the texts that several formats share.

use diag::{Diagnostic, Level, Span};

use model::series::Cost;
use sources::project::files::Files;

/// Findings with all data that output formats need.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// Files that contain the findings.
    pub files: &'a Files,
    /// Path of the project folder relative to the current directory, with a final `/`. Empty for
    /// the current directory. Every format shows file paths relative to the current directory.
    pub folder: &'a str,
    /// Findings in display order ([`openapi::lint::finish`]).
    pub findings: &'a [Diagnostic],
    /// Environment that was checked. `None`: without an environment.
    pub environment: Option<&'a str>,
    /// Number of routes and metric series of the project. `None` for a document without a project.
    pub cost: Option<Cost>,
    /// Minimum level at which a finding makes the result `blocked`.
    pub fail_on: Level,
}

/// Number of findings of each level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Number of errors.
    pub error: usize,
    /// Number of warnings.
    pub warn: usize,
    /// Number of infos.
    pub info: usize,
}

impl Report<'_> {
    /// Counts the findings.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(self.findings.iter())
    }

    /// Path of the file that contains a span, relative to the current directory.
    #[must_use]
    pub fn seen_path(&self, span: Span) -> String {
        let path = self.files.sources.file(span.file).path();
        joined(self.folder, path)
    }

    /// True if at least one finding is at or above the level `fail_on`.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.level >= self.fail_on)
    }
}

/// Appends a path to a folder that ends with `/`. A leading `..` of the path removes a folder.
fn joined(folder: &str, path: &str) -> String {
    let (mut folder, mut path) = (folder, path);
    while let (Some(rest), Some(inner)) = (path.strip_prefix("../"), folder.strip_suffix('/')) {
        let outer = inner.rfind('/').map_or(0, |at| at + 1);
        if &inner[outer..] == ".." || inner.is_empty() {
            break;
        }
        (folder, path) = (&folder[..outer], rest);
    }
    format!("{folder}{path}")
}

impl Counts {
    /// Counts findings.
    pub(super) fn of<'f>(findings: impl Iterator<Item = &'f Diagnostic>) -> Self {
        let mut counts = Self::default();
        for finding in findings {
            match finding.level {
                Level::Error => counts.error += 1,
                Level::Warn => counts.warn += 1,
                Level::Info => counts.info += 1,
            }
        }
        counts
    }

    /// Formats the counts: `2 errors, 1 warning`, or `no findings`.
    #[must_use]
    pub fn sentence(self) -> String {
        let words = [
            (self.error, "error", "errors"),
            (self.warn, "warning", "warnings"),
            (self.info, "info", "infos"),
        ];
        let counts: Vec<String> = words
            .iter()
            .filter(|(count, _, _)| *count > 0)
            .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
            .collect();
        if counts.is_empty() {
            return "no findings".into();
        }
        counts.join(", ")
    }
}

/// Message of a finding. For a finding about a shared component, the message includes the number of
/// places that use the component.
#[must_use]
pub(super) fn message(finding: &Diagnostic) -> String {
    match finding.places {
        0 | 1 => finding.message.clone(),
        places => format!("{} (reaches {places} places)", finding.message),
    }
}

/// Formats a finding as one line: message and help.
#[must_use]
pub(super) fn sentence(finding: &Diagnostic) -> String {
    let label = finding.label.as_str();
    // If a label is a question or a list of values, use it as help.
    let helps = label.ends_with('?') || label.starts_with("one of ");
    match (finding.help.as_deref(), helps.then_some(label)) {
        (Some(help), Some(asks)) if !help.contains(named(asks)) => {
            format!("{}; help: {asks} {help}", message(finding))
        }
        (Some(help), _) | (None, Some(help)) => format!("{}; help: {help}", message(finding)),
        (None, None) => message(finding),
    }
}

/// First name in backticks in a text, including the backticks.
fn named(text: &str) -> &str {
    let mut ticks = text.match_indices('`').map(|(at, _)| at);
    match (ticks.next(), ticks.next()) {
        (Some(start), Some(end)) => &text[start..=end],
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn paths_are_shown_from_the_working_folder() {
        let cases = [
            ("", "a.yaml", "a.yaml"),
            ("sub/", "a.yaml", "sub/a.yaml"),
            ("sub/", "../b.json", "b.json"),
            ("a/b/", "../../c/b.json", "c/b.json"),
            ("../", "../b.json", "../../b.json"),
            ("/tmp/", "../b.json", "/b.json"),
            ("", "../b.json", "../b.json"),
        ];
        for (folder, path, expected) in cases {
            assert_eq!(joined(folder, path), expected, "{folder} {path}");
        }
    }
}
