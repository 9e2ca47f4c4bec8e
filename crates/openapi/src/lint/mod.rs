//! Lint rules for OpenAPI documents, one file each, and the table of all lints.
//!
//! A rule checks every object of a type, every key of a sort, or a whole [`Spec`]. Its only effect
//! is to report findings. To add a rule, add a file in `rules/` and a row in [`RULES`]. Style rules
//! belong in `taste/` and [`TASTE`]; they are off by default and then cost no time. Without the
//! features `taste` and `others`, style rules and the names of other linters' rules are left out.

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
#[cfg(feature = "others")]
pub mod others;
mod reach;
pub mod rules;
mod settle;
mod spell;
#[cfg(feature = "taste")]
mod taste;
pub mod template;

pub use choose::Chosen;
pub use settle::{Levels, ReportSettings, findings_to_report, finish};

/// Rule with its lint and its check.
pub struct Rule {
    /// Lint of the rule's findings.
    pub lint: &'static Lint,
    /// Function that finds mistakes, and the objects or keys with which it is called.
    pub check: Check,
}

/// Check function, with the objects or keys with which it is called.
#[derive(Clone, Copy)]
pub enum Check {
    /// Called for each object of these types, once, wherever it is.
    Objects(&'static [&'static Object], OnObject),
    /// Called for each key of this sort, with its value.
    Key(Keys, OnKey),
    /// No function. The structure check itself reports the findings of this rule.
    Walk,
    /// Called once with the whole document.
    Spec(OnSpec),
}

/// Check of an object.
pub type OnObject = fn(&Place<'_, '_>, &mut Sink);
/// Check of a key and its value.
pub type OnKey = fn(&str, &Place<'_, '_>, &mut Sink);
/// Check of a whole document.
pub type OnSpec = fn(&Whole<'_, '_>, &mut Sink);

/// Object, or entry of a map, that a rule checks, with its context.
pub struct Place<'r, 'a> {
    /// Node of the object, or the value of the entry.
    pub node: NodeRef<'a>,
    /// Type of the object. `None` for an entry.
    pub object: Option<&'static Object>,
    /// Span of the key under which the object or value is found.
    pub at: Span,
    /// Name of the nearest field of an object that contains this node, ignoring lists and maps in
    /// between. Example: `allOf` for a schema in that list.
    pub under: &'static str,
    /// OpenAPI version of the document.
    pub version: Version,
    /// Resolver of references.
    pub resolver: &'r Resolver<'a>,
    /// Schemas of the document, to validate values.
    pub schemas: &'r Schemas<'r, 'a>,
    /// `operationId`s of the document.
    pub operation_ids: &'r OperationIds<'a>,
}

impl Place<'_, '_> {
    /// True if this is an object of this type.
    #[must_use]
    pub fn object_is(&self, object: &Object) -> bool {
        self.object.is_some_and(|is| is.bit == object.bit)
    }
}

/// Whole document that a rule checks.
pub struct Whole<'r, 'a> {
    /// The document as read.
    pub spec: &'r Spec,
    /// Resolver of references.
    pub resolver: &'r Resolver<'a>,
}

/// Span of a byte range in the value of a scalar. If the source text has escapes: the span of the
/// whole scalar.
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

/// Style rules in the order of their codes. Empty without the feature `taste`.
pub const TASTE: &[Rule] = {
    #[cfg(feature = "taste")]
    let rules = taste::RULES;
    #[cfg(not(feature = "taste"))]
    let rules = &[];
    rules
};

/// True for style rules, which are off unless the user sets a level.
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

/// Lints of a table of rules, in the order of the table.
const fn lints_of<const COUNT: usize>(rules: &[Rule]) -> [&'static Lint; COUNT] {
    let mut lints = [rules[0].lint; COUNT];
    let mut index = 0;
    while index < COUNT {
        lints[index] = rules[index].lint;
        index += 1;
    }
    lints
}

/// All lints of this crate, of the `sources` crate and of the `vocab` crate.
pub const ALL: &[&[&Lint]] = &[
    SHAPE,
    sources::syntax::lints::LINTS,
    sources::project::lints::LINTS,
    crate::spec::lints::LINTS,
    &[&allow::LINT, &allow::UNUSED, &baseline::STALE],
    crate::overlay::lints::LINTS,
    vocab::environment_lints::LINTS,
    rules::LINTS,
    #[cfg(feature = "taste")]
    taste::LINTS,
    policy::LINTS,
    vocab::lints::LINTS,
    vocab::condition_lints::LINTS,
    vocab::security_lints::LINTS,
    vocab::verifier_lints::LINTS,
    vocab::served_lints::LINTS,
    vocab::redaction_lints::LINTS,
    vocab::limit_lints::LINTS,
    vocab::release_lints::LINTS,
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
