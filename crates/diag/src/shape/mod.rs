//! The closed vocabulary as data: which keys a node may have and what their values look like.
//!
//! One [`Shape`] serves four readers: [`check`] finds unknown keys, wrong types, missing units
//! and parts that are not available yet; [`names`] finds the names of other things;
//! [`json_schema`] writes the schema that editors use; the book's tables come from the same
//! words. The typed halves read a node only after it was checked, with the same readers
//! ([`crate::read`]).

mod check;
mod date;
mod json;
mod lints;
mod names;

pub use check::{check, fits, is_name, not_available};
pub use date::read_date;
pub use json::{json_schema, merge_patch};
pub use lints::{BAD_VALUE, MISSING_KEY, NOT_AVAILABLE, UNIT_MISSING, UNKNOWN_KEY, WRONG_TYPE};
pub use names::names;

use crate::diagnostic::Lint;
use crate::sink::Sink;
use crate::tree::NodeRef;

/// Type of a value.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Anything at all: what others read (claims, metadata, bodies).
    Any,
    /// `true` or `false`.
    Bool,
    /// `true`; that it is not so is said by leaving it out.
    True,
    /// A string.
    Text,
    /// A string of a form.
    Form(&'static Form),
    /// A string that gwd resolves: `${env:NAME}` or `${file:PATH}`.
    Secret,
    /// A literal string or a secret reference.
    TextOrSecret,
    /// The name of something defined elsewhere; the word says what (`an upstream`).
    Name(&'static str),
    /// A whole number in a range.
    Integer(i64, i64),
    /// See [`crate::read::duration_ms`].
    Duration,
    /// A duration above zero.
    Timeout,
    /// See [`crate::read::rate`].
    Rate,
    /// See [`crate::read::size_bytes`].
    Size,
    /// See [`crate::read::percent_ppm`].
    Percent,
    /// 64 hexadecimal digits.
    Sha256,
    /// A calendar date, `2027-06-30`.
    Date,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, of which the second ones cannot run yet.
    Partly(&'static [&'static str], &'static [&'static str]),
    /// This word, or the name of something defined elsewhere.
    WordOrName(&'static str, &'static str),
    /// A list of these.
    List(&'static Self),
    /// A list of at least one of these.
    Several(&'static Self),
    /// A map from free names (letters, digits, `-`, `_`, `.`) to these.
    Map(&'static Self),
    /// A map from free texts (variables) to these.
    Table(&'static Self),
    /// A map from texts of a form (header names) to these.
    Keyed(&'static Form, &'static Self),
    /// A map with these keys only.
    Object(&'static Object),
    /// A map whose key `kind` selects the object.
    Kinds(&'static [Variant]),
    /// The first of these whose type of node fits (told apart by list, map or scalar).
    Either(&'static [Self]),
}

/// Form of a text.
#[derive(Debug)]
pub struct Form {
    /// Description of the form, after "expected ": `a range of addresses such as …`.
    pub what: &'static str,
    /// A regular expression (ECMA-262) that every such text matches, for editors.
    pub pattern: &'static str,
    /// True if a text has the form.
    pub fits: fn(&str) -> bool,
}

/// A map with a closed set of keys.
#[derive(Debug)]
pub struct Object {
    /// Description of the object, for messages: `an upstream`.
    pub what: &'static str,
    /// Its keys.
    pub fields: &'static [Field],
    /// Rules on combinations of its keys.
    pub rules: &'static [Rule],
}

/// One key of an [`Object`].
#[derive(Debug)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// Type of the key's value.
    pub shape: Shape,
    /// One sentence for the reader of the schema and the book.
    pub doc: &'static str,
    /// Presence: required, optional or not available.
    pub need: Need,
}

/// Presence of a key: required, optional, or not available in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The key is required.
    Required,
    /// The key is optional.
    Optional,
    /// The key is optional, but this version cannot run it: `not-available`. Its value is checked
    /// all the same.
    NotAvailable,
}

/// Rule on the keys of an [`Object`].
#[derive(Debug)]
pub enum Rule {
    /// Exactly one of them is there.
    One(&'static [&'static str]),
    /// At least one of them is there.
    AnyOf(&'static [&'static str]),
    /// At most one of them is there; what it is otherwise.
    Apart(&'static [&'static str], &'static Lint),
    /// Place where a misplaced key belongs (`at an operation`), if there is one.
    Elsewhere(fn(&str) -> Option<String>),
    /// Whatever a function finds in the whole object; it runs where every value fits.
    Holds(fn(NodeRef<'_>, &mut Sink)),
}

/// One kind of a tagged object.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// The value of `kind`.
    pub kind: &'static str,
    /// The other keys.
    pub object: &'static Object,
    /// True if this version can run it.
    pub runs: bool,
}

impl Field {
    /// A key that may be there.
    #[must_use]
    pub const fn optional(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self {
            key,
            shape,
            doc,
            need: Need::Optional,
        }
    }
    /// A key that must be there.
    #[must_use]
    pub const fn required(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self {
            key,
            shape,
            doc,
            need: Need::Required,
        }
    }
    /// A key that the schema knows and this version cannot run.
    #[must_use]
    pub const fn later(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self {
            key,
            shape,
            doc,
            need: Need::NotAvailable,
        }
    }
}
