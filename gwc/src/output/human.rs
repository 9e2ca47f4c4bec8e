//! Format `human`: each finding with a source excerpt, carets and help.
//!
//! Findings about gateway.yaml come first, because they often concern many operations. A long
//! report ends with the number of findings of each file, because a terminal shows the end of the
//! output.

use std::fmt::{self, Display, Write as _};

use diag::{Diagnostic, Level};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity, SourceCode};

use super::excerpt::{AROUND_MAX, CONTEXT_LINES, Excerpt, Place};
use diag::text::printable;
use sources::project::GATEWAY_FILE;

use super::report::{Counts, Report, message};
use super::wrap;

/// Style of the output.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// True to use colours.
    pub color: bool,
    /// True to use box-drawing characters instead of ASCII.
    pub unicode: bool,
    /// Width of the terminal in columns.
    pub width: usize,
    /// Number of characters shown on each side of a location in a long line.
    pub around: usize,
}

/// Columns that an excerpt needs in addition to its text: line number, border, and the marks of a
/// shortened line.
const BORDER: usize = 12;
/// Columns before each line of a message: `  × `, and `  │ ` from the second line.
const MESSAGE_INDENT: usize = 4;
/// Columns before each line of a help: `  help: `, and spaces from the second line.
const HELP_INDENT: usize = 8;

impl Look {
    /// Style for a terminal of this width, at least 40 columns: in a narrower terminal, lines may
    /// wrap.
    #[must_use]
    pub fn of_width(columns: usize) -> Self {
        let width = columns.max(40);
        Self {
            width,
            around: ((width - BORDER) / 2).min(AROUND_MAX),
            ..Self::default()
        }
    }

    /// True if the style is for a terminal of less than 172 columns. Texts then break at spaces
    /// only: miette also breaks `x-gateway` at its hyphen.
    fn is_narrow(self) -> bool {
        self.around < AROUND_MAX
    }

    /// Breaks a text to which miette adds an indent of `indent` columns.
    fn wrapped(self, text: &str, indent: usize) -> String {
        match self.is_narrow() {
            true => wrap::broken(text, self.width - indent, 0),
            false => text.to_owned(),
        }
    }
}

impl Default for Look {
    fn default() -> Self {
        Self {
            color: false,
            unicode: true,
            width: 100,
            around: AROUND_MAX,
        }
    }
}

/// Maximum number of related locations that are shown.
const RELATED_MAX: usize = 6;

/// Minimum number of findings from which a report lists the number of findings of each file.
const COUNTED_MIN: usize = 8;
/// Maximum number of files that the list of finding counts contains.
const FILES_MAX: usize = 10;

/// Renders the findings and a summary line.
#[must_use]
pub fn render(report: &Report<'_>, look: Look) -> String {
    let theme = match (look.color, look.unicode) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::ascii(),
        (false, true) => GraphicalTheme::unicode_nocolor(),
        (false, false) => GraphicalTheme::none(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_urls(false)
        .with_width(look.width)
        .with_wrap_lines(!look.is_narrow())
        .with_context_lines(CONTEXT_LINES as usize)
        .without_syntax_highlighting();
    let mut out = String::new();
    for finding in in_order(report) {
        let rendered = MietteFinding::new(finding, report, look);
        // Writing to a `String` cannot fail. If miette cannot render a finding, show at least its
        // message.
        if handler.render_report(&mut out, &rendered).is_err() {
            out.push_str(&rendered.message);
        }
        out.push('\n');
    }
    out.push_str(&report.counts().sentence());
    out.push('\n');
    if report.findings.len() >= COUNTED_MIN {
        by_file(report, &mut out);
    }
    out
}

/// Findings in output order: first the findings about gateway.yaml, then all others in their
/// original order.
fn in_order<'a>(report: &Report<'a>) -> Vec<&'a Diagnostic> {
    let mut findings: Vec<&Diagnostic> = report.findings.iter().collect();
    findings.sort_by_key(|finding| {
        let file = report.files.sources.file(finding.span.file);
        file.path() != GATEWAY_FILE
    });
    findings
}

/// Appends the number of findings of each file, if there are several files.
fn by_file(report: &Report<'_>, out: &mut String) {
    let findings = in_order(report);
    // Findings are sorted by location.
    let of_one_file = |a: &&Diagnostic, b: &&Diagnostic| a.span.file == b.span.file;
    let files: Vec<&[&Diagnostic]> = findings.chunk_by(of_one_file).collect();
    if files.len() < 2 {
        return;
    }
    for own in files.iter().take(FILES_MAX) {
        let path = report.seen_path(own[0].span);
        let counts = Counts::of(own.iter().copied());
        // Writing to a `String` cannot fail.
        let _ = writeln!(out, "  {}: {}", printable(&path), counts.sentence());
    }
    if let Some(more @ 1..) = files.len().checked_sub(FILES_MAX) {
        let files = if more == 1 { "file" } else { "files" };
        let _ = writeln!(out, "  and {more} more {files}");
    }
}

/// Finding in the form that miette requires.
#[derive(Debug)]
struct MietteFinding {
    head: String,
    message: String,
    help: Option<String>,
    level: Level,
    excerpt: Excerpt,
    labels: Vec<LabeledSpan>,
}

impl MietteFinding {
    fn new(finding: &Diagnostic, report: &Report<'_>, look: Look) -> Self {
        let mut places = vec![Place {
            span: finding.span,
            label: finding.label.clone(),
            primary: true,
        }];
        places.extend(
            finding
                .related
                .iter()
                .take(RELATED_MAX)
                .map(|(span, label)| Place {
                    span: *span,
                    label: label.clone(),
                    primary: false,
                }),
        );
        let (excerpt, labels) = Excerpt::new(report, &places, look.around);
        let level = match finding.level {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
        };
        Self {
            head: format!("{level}[{}] {}", finding.lint.code, finding.lint.name),
            message: look.wrapped(&printable(&message(finding)), MESSAGE_INDENT),
            help: finding
                .help
                .as_deref()
                .map(|help| look.wrapped(&printable(help), HELP_INDENT)),
            level: finding.level,
            excerpt,
            labels,
        }
    }
}

impl Display for MietteFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Excerpt")
    }
}

impl std::error::Error for MietteFinding {}

impl miette::Diagnostic for MietteFinding {
    fn code<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        Some(Box::new(&self.head))
    }
    fn severity(&self) -> Option<Severity> {
        Some(match self.level {
            Level::Error => Severity::Error,
            Level::Warn => Severity::Warning,
            Level::Info => Severity::Advice,
        })
    }
    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.excerpt)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
