//! Output formats of findings, for people and for programs. Each format has one file, and one row
//! in [`FORMATS`].

use diag::{Diagnostic, Level, Span};

use model::series::Cost;
use sources::project::files::Files;

pub mod checkstyle;
pub mod concise;
mod excerpt;
pub mod github;
pub mod gitlab;
pub mod human;
pub mod json;
pub mod jsonl;
pub mod junit;
pub mod sarif;

/// Output format of a report.
#[derive(Debug)]
pub struct Format {
    /// Name on the command line.
    pub name: &'static str,
    /// Description in `--help`, one line.
    pub about: &'static str,
    /// Rule for joining several reports of this format.
    pub joins: Joins,
    /// Renders a report. Only the human format uses the style.
    pub render: fn(&Report<'_>, human::Look) -> String,
}

/// Rule for joining several reports of one format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joins {
    /// Reports can be concatenated, because each finding has its own line or object.
    Lines,
    /// Reports cannot be joined: each one is a single document.
    Document,
}

/// All output formats.
#[rustfmt::skip]
pub static FORMATS: &[Format] = &[
    Format { name: "human", about: "Source excerpts with carets", joins: Joins::Lines, render: human::render },
    Format { name: "concise", about: "One line each", joins: Joins::Lines, render: |report, _| concise::render(report) },
    Format { name: "json", about: "One JSON document (`gwc schema lint`)", joins: Joins::Document, render: |report, _| json::render(report) },
    Format { name: "jsonl", about: "One JSON document for each finding, one per line", joins: Joins::Lines, render: |report, _| jsonl::render(report) },
    Format { name: "sarif", about: "SARIF 2.1.0, for code scanning", joins: Joins::Document, render: |report, _| sarif::render(report) },
    Format { name: "github", about: "Annotations of GitHub Actions", joins: Joins::Lines, render: |report, _| github::render(report) },
    Format { name: "gitlab", about: "GitLab's code quality report", joins: Joins::Document, render: |report, _| gitlab::render(report) },
    Format { name: "junit", about: "JUnit XML", joins: Joins::Document, render: |report, _| junit::render(report) },
    Format { name: "checkstyle", about: "Checkstyle XML", joins: Joins::Document, render: |report, _| checkstyle::render(report) },
];

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
    fn of<'f>(findings: impl Iterator<Item = &'f Diagnostic>) -> Self {
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

    /// Formats the counts: `2 errors, 1 warning`, or `nothing found`.
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
            return "nothing found".into();
        }
        counts.join(", ")
    }
}

/// Message of a finding. For a finding about a shared component, the message includes the number of
/// places that use the component.
#[must_use]
pub fn message(finding: &Diagnostic) -> String {
    match finding.places {
        0 | 1 => finding.message.clone(),
        places => format!("{} (reaches {places} places)", finding.message),
    }
}

/// Formats a finding as one line: message and help.
#[must_use]
pub fn sentence(finding: &Diagnostic) -> String {
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
