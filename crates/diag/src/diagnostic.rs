//! Diagnostics: message, place, level, help and edits.

use crate::span::Span;

/// Severity of a finding, in ascending order. A rule's level can be set by the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Probably a mistake.
    Warn,
    /// Nothing can be built.
    Error,
}

impl Level {
    /// `error`, `warn` or `info`, as in JSON and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// A kind of finding. Each is a `static` beside the code that finds it, listed in one table.
#[derive(Debug)]
pub struct Lint {
    /// `GW` and four digits; stable for ever.
    pub code: &'static str,
    /// Names the bad pattern, so that `allow: [name]` reads well.
    pub name: &'static str,
    /// Default level.
    pub level: Level,
    /// One line: what is found.
    pub summary: &'static str,
    /// The long text of `gwc explain`: what, why, how to mend it, how to silence it.
    pub explain: &'static str,
    /// A sample that has exactly this finding. See [`Sample`].
    pub bad: Sample,
    /// The sample mended: no finding at all of this code.
    pub good: Sample,
}

/// A small project: files by name. A single unnamed file is an OpenAPI document or a
/// gateway.yaml, told apart by its content.
pub type Sample = &'static [(&'static str, &'static str)];

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Rule that found it.
    pub lint: &'static Lint,
    /// The level in force.
    pub level: Level,
    /// Lower-case phrase, backticks around the user's words, no full stop.
    pub message: String,
    /// Text after the carets; empty for the message alone.
    pub label: String,
    /// Advice.
    pub help: Option<String>,
    /// Place of the finding.
    pub span: Span,
    /// Other places that belong to it, each with what it is.
    pub related: Vec<(Span, String)>,
    /// Edits that mend it.
    pub fix: Vec<Edit>,
    /// Number of references that lead to the shared value of the finding; 1 if none does.
    pub places: usize,
}

/// Replace the text of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Span to replace; empty to insert.
    pub span: Span,
    /// The new text.
    pub text: String,
}

impl Diagnostic {
    /// A finding of `lint` at `span`.
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

    /// Sets the text under the carets.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = bounded(label.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(bounded(help.into()));
        self
    }

    /// Adds a place that belongs to it.
    #[must_use]
    pub fn related(mut self, span: Span, message: impl Into<String>) -> Self {
        self.related.push((span, bounded(message.into())));
        self
    }

    /// Overrides the lint's own level.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Says which text would fix it.
    #[must_use]
    pub fn fix(mut self, span: Span, text: impl Into<String>) -> Self {
        self.fix.push(Edit {
            span,
            text: text.into(),
        });
        self
    }
}

/// Most characters of a text in a diagnostic: it may quote the source, and a source may have a
/// value of a hundred megabytes.
const TEXT_CHARS_MAX: usize = 600;

fn bounded(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        text.truncate(at);
        text.push('…');
    }
    text
}
