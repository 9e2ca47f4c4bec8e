//! Output formats of findings, for people and for programs. Each format has one file, and one row
//! in [`FORMATS`].

pub mod checkstyle;
pub mod concise;
mod excerpt;
pub mod github;
pub mod gitlab;
pub mod human;
pub mod json;
pub mod jsonl;
pub mod junit;
mod report;
pub mod sarif;
pub(crate) mod wrap;

pub use report::{Counts, Report};

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
