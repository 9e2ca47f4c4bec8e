//! OpenAPI 3.0, 3.1 and 3.2 as data: which objects there are, their fields, and what each
//! field's value may be. [`crate::check`] walks a document along these tables.

mod document;
mod operation;
mod schema;
mod security;

pub use document::{COMPONENTS, CONTACT, DOCUMENT, EXTERNAL_DOCS, INFO, LICENSE, SERVER, TAG};
pub use operation::{
    CALLBACK, ENCODING, EXAMPLE, HEADER, LINK, MEDIA_TYPE, OPERATION, PARAMETER, PATH_ITEM, PATHS,
    REQUEST_BODY, RESPONSE, RESPONSES,
};
pub use schema::{SCHEMA, XML};
pub use security::{
    AUTHORIZATION_CODE, CLIENT_CREDENTIALS, DEVICE_AUTHORIZATION, IMPLICIT, PASSWORD,
    SECURITY_SCHEME, SECURITY_SCHEMES,
};

use diag::shape;

use super::Version;

/// The objects that a reference may lead to, for messages.
pub static ALL: &[&Object] = &[
    &SCHEMA,
    &PARAMETER,
    &RESPONSE,
    &REQUEST_BODY,
    &HEADER,
    &EXAMPLE,
    &LINK,
    &CALLBACK,
    &SECURITY_SCHEME,
    &PATH_ITEM,
    &MEDIA_TYPE,
    &OPERATION,
    &RESPONSES,
    &PATHS,
    &DOCUMENT,
];

/// Type of a value.
#[derive(Debug)]
pub enum Type {
    /// Anything at all.
    Any,
    /// A string.
    Text,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A number above zero.
    Positive,
    /// A whole number, not negative.
    Count,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// One of these strings, of which 3.1 made [`Type::Words`] and put `null` among them; a rule
    /// of its own looks at what is written so in 3.0.
    WordOf30(&'static [&'static str]),
    /// One of these strings, or a list of them.
    Words(&'static [&'static str]),
    /// A list of these.
    List(&'static Self),
    /// A map from keys of this sort to these.
    Map(Keys, &'static Self),
    /// An object of OpenAPI, or a reference to one.
    Object(&'static Object),
    /// `true`, `false` or an object.
    BoolOr(&'static Object),
}

/// Sort of a map's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Free texts.
    Free,
    /// Names of components: letters, digits, `.`, `-`, `_`.
    Component,
    /// Media types.
    MediaType,
    /// Status codes, `2XX` or `default`.
    Status,
    /// Methods as they are sent.
    Method,
    /// Path templates.
    Path,
    /// Runtime expressions.
    Expression,
}

/// An object of OpenAPI.
#[derive(Debug)]
pub struct Object {
    /// Distinguishes the objects; less than 64.
    pub bit: u8,
    /// Description of the object, for messages: `an operation`.
    pub what: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// Keys besides the fields.
    pub others: Others,
    /// Support for a reference in place of the object.
    pub reference: Reference,
    /// Shape of `x-gateway` in the object; none if it is not allowed there.
    pub gateway: Option<&'static shape::Object>,
}

/// Keys besides the fields that an object may have; `x-` is always allowed.
#[derive(Debug)]
pub enum Others {
    /// None.
    None,
    /// Keys of this sort with these values.
    Map(Keys, &'static Type),
    /// Whatever JSON Schema vocabularies there may be; from 3.1.
    Keywords,
}

/// Support for a reference in place of an object: by OpenAPI, or only by common practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Yes.
    Allowed,
    /// OpenAPI has none there, but people write it and everybody reads it.
    Unusual,
}

/// A field of an object.
#[derive(Debug)]
pub struct Field {
    /// Its key.
    pub key: &'static str,
    /// Type of its value.
    pub ty: Type,
    /// The versions that know it.
    pub versions: Versions,
    /// The versions that need it.
    pub required: Versions,
}

/// A set of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions(u8);

impl Versions {
    /// No version.
    pub const NONE: Self = Self(0);
    /// Each version.
    pub const ALL: Self = Self(0b111);
    /// 3.0 only.
    pub const V30: Self = Self(0b001);
    /// 3.0 and 3.1.
    pub const UNTIL_31: Self = Self(0b011);
    /// 3.1 and later.
    pub const FROM_31: Self = Self(0b110);
    /// 3.2 and later.
    pub const FROM_32: Self = Self(0b100);

    /// True if a version is in the set.
    #[must_use]
    pub const fn has(self, version: Version) -> bool {
        let bit = match version {
            Version::V30 => 0b001,
            Version::V31 => 0b010,
            Version::V32 => 0b100,
        };
        self.0 & bit != 0
    }

    /// The set in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0b001 => "OpenAPI 3.0",
            0b010 => "OpenAPI 3.1",
            0b011 => "OpenAPI 3.0 and 3.1",
            0b100 => "OpenAPI 3.2",
            0b110 => "OpenAPI 3.1 and later",
            _ => "OpenAPI",
        }
    }
}

const fn optional(key: &'static str, ty: Type) -> Field {
    Field {
        key,
        ty,
        versions: Versions::ALL,
        required: Versions::NONE,
    }
}

const fn required(key: &'static str, ty: Type) -> Field {
    optional(key, ty).required_in(Versions::ALL)
}

impl Field {
    const fn only(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    const fn required_in(mut self, versions: Versions) -> Self {
        self.required = versions;
        self
    }
}

impl Object {
    /// The field of a key in a version.
    #[must_use]
    pub fn field(&self, key: &str, version: Version) -> Option<&'static Field> {
        self.fields
            .iter()
            .find(|field| field.key == key && field.versions.has(version))
    }
}

const fn object(bit: u8, what: &'static str, fields: &'static [Field]) -> Object {
    Object {
        bit,
        what,
        fields,
        others: Others::None,
        reference: Reference::Unusual,
        gateway: None,
    }
}

impl Object {
    const fn others(mut self, keys: Keys, ty: &'static Type) -> Self {
        self.others = Others::Map(keys, ty);
        self
    }

    const fn referable(mut self) -> Self {
        self.reference = Reference::Allowed;
        self
    }

    const fn gateway(mut self, says: &'static shape::Object) -> Self {
        self.gateway = Some(says);
        self
    }
}
