//! Diagnostics: message, source location, level, help and edits.

use crate::span::Span;

/// Severity of a finding, in ascending order. Users can change the level of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Information.
    Info,
    /// Probable mistake.
    Warn,
    /// Mistake that prevents a build.
    Error,
}

impl Level {
    /// Name in JSON and on the command line: `error`, `warn` or `info`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Rule: one kind of finding. Each rule is a `static` in the module that reports its findings, and
/// is listed in one table.
#[derive(Debug)]
pub struct Lint {
    /// Code: `GW` and four digits. A code never changes.
    pub code: &'static str,
    /// Name of the mistake that the rule finds, such as `unknown-key`. Users write it in
    /// `allow: [NAME]`.
    pub name: &'static str,
    /// Default level.
    pub level: Level,
    /// Summary of the finding, on one line.
    pub summary: &'static str,
    /// Text of `gwc explain`: description, reason, correction, how to silence the rule.
    pub explain: &'static str,
    /// A sample that has exactly this finding. See [`Sample`].
    pub bad: Sample,
    /// The corrected sample, which has no finding of this rule.
    pub good: Sample,
}

/// Small project: files by name. A single unnamed file is an OpenAPI document or a gateway.yaml,
/// depending on its content.
pub type Sample = &'static [(&'static str, &'static str)];

/// Finding in a source file.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Rule of the finding.
    pub lint: &'static Lint,
    /// Severity of this finding.
    pub level: Level,
    /// Message: a lower-case phrase with backticks around the user's words, without a full stop.
    pub message: String,
    /// Text after the carets. Empty: only the message is shown.
    pub label: String,
    /// Correction that the user should make. `None`: no help is known.
    pub help: Option<String>,
    /// Source location of the finding.
    pub span: Span,
    /// Related source locations, each with a message.
    pub related: Vec<(Span, String)>,
    /// Edits that correct the mistake.
    pub fix: Vec<Edit>,
    /// Number of places that the mistake affects: references to the shared value (such as a
    /// component) that contains the finding, or places to which an overlay added the value. 1 if
    /// the value is not shared.
    pub places: usize,
}

/// Edit that replaces the text of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Span to replace; empty to insert.
    pub span: Span,
    /// Text that replaces the text of the span.
    pub text: String,
}

impl Diagnostic {
    /// Creates a finding of `lint` at `span`.
    #[must_use]
    pub fn new(lint: &'static Lint, span: Span, message: impl Into<String>) -> Self {
        Self {
            lint,
            level: lint.level,
            message: bounded(message.into()),
            label: String::new(),
            help: None,
            span,
            related: Vec::new(),
            fix: Vec::new(),
            places: 1,
        }
    }

    /// Sets the text after the carets.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = bounded(label.into());
        self
    }

    /// Sets the help text, which says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(bounded(help.into()));
        self
    }

    /// Adds a related source location.
    #[must_use]
    pub fn related(mut self, span: Span, message: impl Into<String>) -> Self {
        self.related.push((span, bounded(message.into())));
        self
    }

    /// Sets the level of this finding, instead of the default level of its lint.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Adds an edit that corrects the mistake.
    #[must_use]
    pub fn fix(mut self, span: Span, text: impl Into<String>) -> Self {
        self.fix.push(Edit {
            span,
            text: text.into(),
        });
        self
    }
}

/// Maximum number of characters of a text in a diagnostic, because a text may quote a source with a
/// value of a hundred megabytes.
const TEXT_CHARS_MAX: usize = 600;

fn bounded(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        text.truncate(at);
        text.push('…');
    }
    text
}
