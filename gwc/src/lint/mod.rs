//! The rules for OpenAPI documents, one file each, and the table of all kinds of findings.
//!
//! A rule looks at every object of a kind, at every key of a sort, or at a whole [`Spec`]; it
//! writes findings and nothing else. To add one: a file in `rules/` and a row in [`RULES`].

use diag::{Lint, NodeRef, Sink, Span};

use crate::project::files::{Document, Files};
use crate::spec::objects::{Keys, Object};
use crate::spec::reference::Resolver;
use crate::spec::schema::Schemas;
use crate::spec::{Spec, Version};

pub mod allow;
pub mod baseline;
mod reach;
pub mod rules;
pub(crate) mod sample;
mod settle;
mod spell;
pub mod template;

pub use settle::{Levels, Settling, finish, settle};

/// One rule.
pub struct Rule {
    /// What it finds.
    pub lint: &'static Lint,
    /// How it looks.
    pub check: Check,
}

/// What a rule looks at.
#[derive(Clone, Copy)]
pub enum Check {
    /// Every object of these kinds, once, wherever it stands.
    Objects(&'static [&'static Object], fn(&Place<'_, '_>, &mut Sink)),
    /// Every key of a sort.
    Key(Keys, fn(&str, &Place<'_, '_>, &mut Sink)),
    /// What the walk over the structure says by itself.
    Walk,
    /// The document as it was read.
    Spec(fn(&Whole<'_, '_>, &mut Sink)),
}

/// An object or an entry that a rule looks at.
pub struct Place<'r, 'a> {
    /// The object, or the entry's value.
    pub node: NodeRef<'a>,
    /// What the walk takes it for; none for an entry.
    pub object: Option<&'static Object>,
    /// The key that it stands under.
    pub at: Span,
    /// The field that an object stands in, by way of lists and maps: `allOf` for a schema in one.
    pub under: &'static str,
    /// The document's version.
    pub version: Version,
    /// Resolves references.
    pub resolver: &'r Resolver<'a>,
    /// Judges values by schemas.
    pub schemas: &'r Schemas<'r, 'a>,
}

impl Place<'_, '_> {
    /// Whether the walk takes it for this object.
    #[must_use]
    pub fn object_is(&self, object: &Object) -> bool {
        self.object.is_some_and(|is| is.bit == object.bit)
    }
}

/// A whole document that a rule looks at.
pub struct Whole<'r, 'a> {
    /// What was read.
    pub spec: &'r Spec,
    /// Resolves references.
    pub resolver: &'r Resolver<'a>,
}

/// Reads a document and runs every rule of OpenAPI on it. `None` if it is not a document of a
/// version that is known. Its files must have been loaded ([`Files::follow`]).
pub fn document(files: &Files, document: &Document, sink: &mut Sink) -> Option<Spec> {
    let read = crate::spec::read(files, document, sink)?;
    spec(files, document, &read, sink);
    Some(read)
}

/// Runs the rules that look at whole documents; the others ran while the document was read.
pub fn spec(files: &Files, document: &Document, spec: &Spec, sink: &mut Sink) {
    let resolver = Resolver::new(files, document);
    let whole = Whole {
        spec,
        resolver: &resolver,
    };
    for rule in RULES {
        if let Check::Spec(check) = rule.check {
            check(&whole, sink);
        }
    }
}

/// The part of a scalar's place that covers some bytes of its value, or all of it where the
/// text stands in the source with escapes.
#[must_use]
pub fn within(files: &Files, span: Span, value: &str, bytes: std::ops::Range<usize>) -> Span {
    let text = files.sources.text(span);
    if text == value {
        return span.slice(bytes.start, bytes.end);
    }
    let quoted = text.get(1..text.len().saturating_sub(1)) == Some(value);
    if quoted {
        return span.slice(bytes.start + 1, bytes.end + 1);
    }
    span
}

/// The rules, in the order of their codes.
pub const RULES: &[Rule] = rules::RULES;

/// Every kind of finding of this crate's front, and of the closed vocabulary.
pub const ALL: &[&[&Lint]] = &[
    SHAPE,
    crate::syntax::lints::LINTS,
    crate::project::lints::LINTS,
    crate::spec::lints::LINTS,
    &[&allow::LINT, &allow::UNUSED, &baseline::STALE],
    crate::overlay::lints::LINTS,
    rules::LINTS,
    crate::model::lints::LINTS,
];

const SHAPE: &[&Lint] = &[
    &diag::shape::UNKNOWN_KEY,
    &diag::shape::WRONG_TYPE,
    &diag::shape::MISSING_KEY,
    &diag::shape::BAD_VALUE,
    &diag::shape::UNIT_MISSING,
    &diag::shape::NOT_AVAILABLE,
];
