//! Lint rules for OpenAPI documents, one file each, and the table of all lints.
//!
//! A rule examines every object of a kind, every key of a sort, or a whole [`Spec`], and only
//! reports findings. To add a rule, add a file in `rules/` and a row in [`RULES`]. Style rules
//! belong in `taste/` and [`TASTE`]; they are off by default and cost nothing then.

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

/// Lint rule with its check.
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
    /// The document as read.
    Spec(OnSpec),
}

/// Check of an object.
pub type OnObject = fn(&Place<'_, '_>, &mut Sink);
/// Check of a key and its value.
pub type OnKey = fn(&str, &Place<'_, '_>, &mut Sink);
/// Check of a whole document.
pub type OnSpec = fn(&Whole<'_, '_>, &mut Sink);

/// Object or entry under check.
pub struct Place<'r, 'a> {
    /// Node of the object, or the value of the entry.
    pub node: NodeRef<'a>,
    /// The object's type; none for an entry.
    pub object: Option<&'static Object>,
    /// Key of the object.
    pub at: Span,
    /// Field of an object, through lists and maps: `allOf` for a schema in one.
    pub under: &'static str,
    /// OpenAPI version of the document.
    pub version: Version,
    /// Resolver of references.
    pub resolver: &'r Resolver<'a>,
    /// Schemas to validate values with.
    pub schemas: &'r Schemas<'r, 'a>,
    /// `operationId`s of the document.
    pub operation_ids: &'r OperationIds<'a>,
}

impl Place<'_, '_> {
    /// True if the place is an object of this type.
    #[must_use]
    pub fn object_is(&self, object: &Object) -> bool {
        self.object.is_some_and(|is| is.bit == object.bit)
    }
}

/// Whole document under check.
pub struct Whole<'r, 'a> {
    /// The document as read.
    pub spec: &'r Spec,
    /// Resolver of references.
    pub resolver: &'r Resolver<'a>,
}

/// Place of some bytes of a scalar's value. Returns the place of the whole scalar if the source
/// writes the text with escapes.
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

/// Rules in the order of their codes.
pub const RULES: &[Rule] = rules::RULES;

/// Style rules in the order of their codes.
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

/// Lints of a table of rules.
const fn lints_of<const COUNT: usize>(rules: &[Rule]) -> [&'static Lint; COUNT] {
    let mut lints = [rules[0].lint; COUNT];
    let mut index = 0;
    while index < COUNT {
        lints[index] = rules[index].lint;
        index += 1;
    }
    lints
}

/// All lints of this crate, of the sources and of the vocabulary.
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
    &diag::shape::EMPTY_KEY,
];
