//! The rules for OpenAPI documents, one file each, and the table of all kinds of findings.
//!
//! A rule looks at every object of a kind, at every key of a sort, or at a whole [`Spec`]; it
//! writes findings and nothing else. To add one: a file in `rules/` and a row in [`RULES`], or,
//! where it is a matter of taste, in `taste/` and [`TASTE`]: then it is off until somebody asks
//! for it, and costs nothing.

use diag::{Lint, NodeRef, Sink, Span};

use crate::spec::objects::{Keys, Object};
use crate::spec::operation_ids::OperationIds;
use crate::spec::reference::Resolver;
use crate::spec::schema::Schemas;
use crate::spec::{Spec, Version};
use sources::project::files::Files;

pub mod allow;
pub mod baseline;
mod choose;
pub mod conceal;
pub(crate) mod edit;
pub mod find;
pub mod fingerprint;
pub mod hard;
pub mod others;
mod reach;
pub mod rules;
mod settle;
mod spell;
mod taste;
pub mod template;

pub use choose::Chosen;
pub use settle::{Levels, Settling, finish, settle};

/// One rule.
pub struct Rule {
    /// The lint of its findings.
    pub lint: &'static Lint,
    /// Function that finds them, and the things that it checks.
    pub check: Check,
}

/// Things that a rule checks, with its function.
#[derive(Clone, Copy)]
pub enum Check {
    /// Every object of these kinds, once, at any place.
    Objects(&'static [&'static Object], OnObject),
    /// Every key of a sort.
    Key(Keys, OnKey),
    /// Findings of the walk over the structure itself.
    Walk,
    /// The document as it was read.
    Spec(OnSpec),
}

/// Looks at an object.
pub type OnObject = fn(&Place<'_, '_>, &mut Sink);
/// Looks at a key and its value.
pub type OnKey = fn(&str, &Place<'_, '_>, &mut Sink);
/// Looks at a whole document.
pub type OnSpec = fn(&Whole<'_, '_>, &mut Sink);

/// An object or an entry that a rule looks at.
pub struct Place<'r, 'a> {
    /// The object, or the entry's value.
    pub node: NodeRef<'a>,
    /// The object's type; none for an entry.
    pub object: Option<&'static Object>,
    /// Key of the object.
    pub at: Span,
    /// Field of an object, through lists and maps: `allOf` for a schema in one.
    pub under: &'static str,
    /// The document's version.
    pub version: Version,
    /// Resolves references.
    pub resolver: &'r Resolver<'a>,
    /// Judges values by schemas.
    pub schemas: &'r Schemas<'r, 'a>,
    /// The ids of the document's operations.
    pub operation_ids: &'r OperationIds<'a>,
}

impl Place<'_, '_> {
    /// True if the place is an object of this type.
    #[must_use]
    pub fn object_is(&self, object: &Object) -> bool {
        self.object.is_some_and(|is| is.bit == object.bit)
    }
}

/// A whole document that a rule looks at.
pub struct Whole<'r, 'a> {
    /// The document as read.
    pub spec: &'r Spec,
    /// Resolves references.
    pub resolver: &'r Resolver<'a>,
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

/// The rules that are a matter of taste, in the order of their codes.
pub const TASTE: &[Rule] = taste::RULES;

/// True if a rule is off unless its level is set.
#[must_use]
pub fn is_off_by_default(lint: &Lint) -> bool {
    TASTE.iter().any(|rule| std::ptr::eq(rule.lint, lint))
}

/// Default level of a rule: `off`, `info`, `warn` or `error`.
#[must_use]
pub fn default_level(lint: &Lint) -> &'static str {
    if is_off_by_default(lint) {
        "off"
    } else {
        lint.level.name()
    }
}

/// The kinds of findings of a table of rules.
const fn lints_of<const COUNT: usize>(rules: &[Rule]) -> [&'static Lint; COUNT] {
    let mut lints = [rules[0].lint; COUNT];
    let mut index = 0;
    while index < COUNT {
        lints[index] = rules[index].lint;
        index += 1;
    }
    lints
}

/// Every kind of finding of this crate's front, and of the closed vocabulary.
pub const ALL: &[&[&Lint]] = &[
    SHAPE,
    sources::syntax::lints::LINTS,
    sources::project::lints::LINTS,
    crate::spec::lints::LINTS,
    &[&allow::LINT, &allow::UNUSED, &baseline::STALE],
    crate::overlay::lints::LINTS,
    vocab::environment_lints::LINTS,
    rules::LINTS,
    taste::LINTS,
    policy::LINTS,
    vocab::lints::LINTS,
];

const SHAPE: &[&Lint] = &[
    &diag::shape::UNKNOWN_KEY,
    &diag::shape::WRONG_TYPE,
    &diag::shape::MISSING_KEY,
    &diag::shape::BAD_VALUE,
    &diag::shape::UNIT_MISSING,
    &diag::shape::NOT_AVAILABLE,
];
