//! Format `human`: each finding with a source excerpt, carets and help.

use std::fmt::{self, Display};

use diag::Level;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity, SourceCode};

use super::excerpt::{CONTEXT_LINES, Excerpt, Place};
use diag::text::printable;

use super::{Report, message};

/// Style of the output.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Uses colours.
    pub color: bool,
    /// Uses box-drawing characters instead of ASCII.
    pub unicode: bool,
    /// Width of the terminal in columns.
    pub width: usize,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            color: false,
            unicode: true,
            width: 100,
        }
    }
}

/// Maximum number of related places shown.
const RELATED_MAX: usize = 6;

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
        .with_width(look.width.max(40))
        .with_context_lines(CONTEXT_LINES as usize)
        .without_syntax_highlighting();
    let mut out = String::new();
    for finding in report.findings {
        let said = Said::new(finding, report);
        // Writing to a `String` cannot fail. If a finding cannot be drawn, show at least its
        // message.
        if handler.render_report(&mut out, &said).is_err() {
            out.push_str(&said.message);
        }
        out.push('\n');
    }
    out.push_str(&report.counts().sentence());
    out.push('\n');
    out
}

/// Finding in the form that miette expects.
#[derive(Debug)]
struct Said {
    head: String,
    message: String,
    help: Option<String>,
    level: Level,
    excerpt: Excerpt,
    labels: Vec<LabeledSpan>,
}

impl Said {
    fn new(finding: &diag::Diagnostic, report: &Report<'_>) -> Self {
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
        let (excerpt, labels) = Excerpt::new(report, &places);
        let level = match finding.level {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
        };
        Self {
            head: format!("{level}[{}] {}", finding.lint.code, finding.lint.name),
            message: printable(&message(finding)),
            help: finding.help.as_deref().map(printable),
            level: finding.level,
            excerpt,
            labels,
        }
    }
}

impl Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Excerpt")
    }
}

impl std::error::Error for Said {}

impl miette::Diagnostic for Said {
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
