//! Closed vocabulary as data: the allowed keys of a node and the shape of their values.
//!
//! A [`Shape`] has four uses. [`check`] finds unknown keys, wrong types, missing units and parts
//! that are not available yet. [`names`] finds references to other definitions. [`json_schema`]
//! writes the schema for editors. The tables of the reference pages use the same texts. After the
//! check, typed code reads a node with the readers that the check uses ([`crate::read`]).

mod check;
mod date;
mod json;
mod lints;
mod names;

pub use check::{check, fits, is_alone, is_name, not_available, with_space};
pub use date::read_date;
pub use json::{json_schema, merge_patch};
pub use lints::{
    BAD_VALUE, EMPTY_KEY, MISSING_KEY, NOT_AVAILABLE, UNIT_MISSING, UNKNOWN_KEY, WRONG_TYPE,
};
pub use names::{Name, Role, names, names_in, names_of};

use crate::diagnostic::Lint;
use crate::sink::Sink;
use crate::tree::NodeRef;

/// Allowed form of a value: its type, and the shapes of its parts.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Any value, for content that other programs read (claims, metadata, bodies).
    Any,
    /// `true` or `false`.
    Bool,
    /// Only `true`. Users omit the key instead of writing `false`.
    True,
    /// A string.
    Text,
    /// A string with a format.
    Form(&'static Form),
    /// A secret reference that gwd resolves: `${env:NAME}` or `${file:PATH}`.
    Secret,
    /// A literal string or a secret reference.
    TextOrSecret,
    /// A name that is defined elsewhere. The string is its kind (`an upstream`).
    Name(&'static str),
    /// Text that is compared with the names of a kind. In some of these texts, `*` stands for any
    /// text.
    NamePattern(&'static str),
    /// An expression in CEL with a format. Its strings may contain names.
    Expression(&'static Form),
    /// An integer in a range.
    Integer(i64, i64),
    /// A duration; see [`crate::read::duration_ms`].
    Duration,
    /// A duration greater than zero.
    Timeout,
    /// A rate; see [`crate::read::rate`].
    Rate,
    /// A size; see [`crate::read::size_bytes`].
    Size,
    /// A percentage; see [`crate::read::percent_ppm`].
    Percent,
    /// A SHA-256: 64 hexadecimal digits.
    Sha256,
    /// A calendar date, `2027-06-30`.
    Date,
    /// A string that is one of these words.
    Word(&'static [&'static str]),
    /// A string that is a word of one of the two lists. This version cannot run the words of the
    /// second list.
    Partly(&'static [&'static str], &'static [&'static str]),
    /// The word in the first string, or a name that is defined elsewhere. The second string is the
    /// kind of the name.
    WordOrName(&'static str, &'static str),
    /// A list of this shape.
    List(&'static Self),
    /// A non-empty list of this shape.
    Several(&'static Self),
    /// A map from names (letters, digits, `-`, `_`, `.`) to this shape.
    Map(&'static Self),
    /// A map whose keys are names: they define the names, or refer to definitions.
    ByName(NameKeys, &'static Self),
    /// A map from any strings (such as variable names) to this shape.
    Table(&'static Self),
    /// A map from strings with a format (such as header names) to this shape.
    Keyed(&'static Form, &'static Self),
    /// A map from some of these keys to this shape.
    Known(&'static KnownKeys, &'static Self),
    /// A map with exactly these keys.
    Object(&'static Object),
    /// A map whose key `kind` selects the object.
    Kinds(&'static [Variant]),
    /// The first of these shapes that fits the type of the node (list, map or scalar).
    Either(&'static [Self]),
}

/// Keys of a map that are names.
#[derive(Clone, Copy, Debug)]
pub enum NameKeys {
    /// The keys define names of this kind. They consist of letters, digits, `-`, `_` and `.`.
    Define(&'static str),
    /// Each key refers to a name of one of these kinds.
    Refer(&'static [&'static str]),
}

/// Format of a string.
#[derive(Debug)]
pub struct Form {
    /// Description of the format, which messages show after "expected ". Example:
    /// `a range of addresses such as …`.
    pub what: &'static str,
    /// Regular expression (ECMA-262) for editors, which every valid string matches.
    pub pattern: &'static str,
    /// True if a string has the format.
    pub fits: fn(&str) -> bool,
}

/// Keys of a map whose values have one shape.
#[derive(Debug)]
pub struct KnownKeys {
    /// Word for a key of the map. Messages show it after "unknown ": `reason`.
    pub what: &'static str,
    /// Returns all keys that the map may have.
    pub known: fn() -> &'static [&'static str],
    /// Correct location of a misplaced key, as words for messages. Messages show it after "it
    /// belongs ". `None`: the key belongs nowhere.
    pub elsewhere: fn(&str) -> Option<&'static str>,
    /// Help for an unknown key for which there is no suggestion.
    pub help: &'static str,
}

/// Map with a closed set of keys.
#[derive(Debug)]
pub struct Object {
    /// Description of the object, for messages: `an upstream`.
    pub what: &'static str,
    /// Keys of the map.
    pub fields: &'static [Field],
    /// Rules on combinations of its keys.
    pub rules: &'static [Rule],
}

/// Key of an [`Object`].
#[derive(Debug)]
pub struct Field {
    /// Name of the key.
    pub key: &'static str,
    /// Type of the key's value.
    pub shape: Shape,
    /// Description for the schema and the reference pages.
    pub doc: &'static str,
    /// Presence of the key: required, optional or not available.
    pub need: Need,
    /// True if the key restricts access to the gateway, or restricts the changes that a plan
    /// permits. Such a key without a value is an error.
    pub is_guard: bool,
}

/// Presence of a key: required, optional, or not available in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The key is required.
    Required,
    /// The key is optional.
    Optional,
    /// The key is optional, but this version cannot run it. A use of the key is reported as
    /// `not-available`. Its value is checked as usual.
    NotAvailable,
}

/// Rule on the keys of an [`Object`].
#[derive(Debug)]
pub enum Rule {
    /// Exactly one of these keys is present.
    One(&'static [&'static str]),
    /// At least one of these keys is present.
    AnyOf(&'static [&'static str]),
    /// At most one of these keys is present. If there are several, the finding has this lint.
    Apart(&'static [&'static str], &'static Lint),
    /// Returns the object to which a misplaced key belongs (`at an operation`). `None` for other
    /// keys.
    Elsewhere(fn(&str) -> Option<String>),
    /// Check of the whole object. Called only if every value fits its shape.
    Holds(fn(NodeRef<'_>, &mut Sink)),
}

/// Kind of a tagged object.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Value of `kind`.
    pub kind: &'static str,
    /// Keys of the object other than `kind`.
    pub object: &'static Object,
    /// True if this version can run objects of this kind.
    pub runs: bool,
}

impl Field {
    /// Creates an optional key.
    #[must_use]
    pub const fn optional(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self {
            key,
            shape,
            doc,
            need: Need::Optional,
            is_guard: false,
        }
    }
    /// Marks the key as a guard: the key without a value is then an error.
    #[must_use]
    pub const fn guard(mut self) -> Self {
        self.is_guard = true;
        self
    }
    /// Creates a required key.
    #[must_use]
    pub const fn required(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self {
            key,
            shape,
            doc,
            need: Need::Required,
            is_guard: false,
        }
    }
    /// Creates a key that the schema has but this version cannot run.
    #[must_use]
    pub const fn later(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self {
            key,
            shape,
            doc,
            need: Need::NotAvailable,
            is_guard: false,
        }
    }
}
