//! A name in a file, and the definition to which it refers.

use diag::Span;
use model::compile::Compiled;

/// Kind of the names of security schemes.
pub(crate) const SCHEME: &str = "a security scheme";

/// Name in a file.
#[derive(Clone, Copy)]
pub(crate) struct Name<'c> {
    /// Kind of the definition, as in the shapes of the vocabulary.
    pub(crate) kind: &'static str,
    pub(crate) text: &'c str,
    /// Compilation that read the file.
    pub(crate) compiled: &'c Compiled,
    /// Place of the text, with its quotes.
    pub(crate) span: Span,
    pub(crate) scope: Scope<'c>,
    pub(crate) role: Role,
    /// True for a selector `.NAME` of a JSONPath, which takes only letters, digits and `_`.
    pub(crate) is_selector: bool,
}

/// Definitions to which a name can refer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope<'c> {
    /// Definitions of gateway.yaml.
    Gateway,
    /// Definitions of the document of this API, else those of gateway.yaml.
    Api(&'c str),
    /// Definitions of gateway.yaml and of every document.
    Project,
}

/// Role of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Definition,
    Reference,
    /// Text that is compared with names. `*` stands for any text.
    Pattern,
    /// Expression in CEL. Its strings may contain `SCHEME by NAME`.
    Expression,
    /// Text that may contain names at places that gwc cannot determine.
    Opaque,
}

/// Definition of a name: its kind, its text, and the API whose document defines it. `None` as API:
/// gateway.yaml.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target<'c> {
    pub(crate) kind: &'static str,
    pub(crate) text: &'c str,
    pub(crate) api: Option<&'c str>,
}

impl Target<'_> {
    /// Name as invariants and tests write it: with the API whose document defines an upstream or a
    /// verifier.
    pub(crate) fn in_project(&self) -> String {
        match (self.kind, self.api) {
            ("an upstream" | "a verifier", Some(api)) => format!("{api}/{}", self.text),
            _ => self.text.to_owned(),
        }
    }
}

impl<'c> Name<'c> {
    /// Target of a definition.
    pub(crate) fn own_target(&self) -> Target<'c> {
        Target {
            kind: self.kind,
            text: self.text,
            api: match self.scope {
                Scope::Api(api) => Some(api),
                Scope::Gateway | Scope::Project => None,
            },
        }
    }

    /// Path of the file, relative to the project.
    pub(crate) fn path(&self) -> &'c str {
        self.compiled.files.sources.file(self.span.file).path()
    }

    /// Source text of the name, with its quotes.
    pub(crate) fn source(&self) -> &'c str {
        self.compiled.files.sources.text(self.span)
    }

    /// Span of the text without its quotes. `None` if the source writes the text with escapes.
    pub(crate) fn inner(&self) -> Option<Span> {
        let at = self.source().rfind(self.text)?;
        Some(self.span.slice(at, at + self.text.len()))
    }

    /// Name of a part of the text. A part whose place is unknown is opaque.
    pub(super) fn part(&self, kind: &'static str, from: usize, to: usize) -> Self {
        let span = self.inner().map(|inner| inner.slice(from, to));
        match span {
            Some(span) => Self {
                kind,
                text: &self.text[from..to],
                span,
                ..*self
            },
            None => Self {
                role: Role::Opaque,
                ..*self
            },
        }
    }
}
