//! Tables of OpenAPI 3.0, 3.1 and 3.2: objects, their fields, and the type of each field.
//! [`crate::check`] walks a document along these tables.

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

/// Objects to which a reference may point, for messages.
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
    /// Any value.
    Any,
    /// A string.
    Text,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A number greater than zero.
    Positive,
    /// A non-negative integer.
    Count,
    /// String that is one of those listed.
    Word(&'static [&'static str]),
    /// String that is one of those listed, in 3.0 only. From 3.1 on the field accepts
    /// [`Type::Words`] and `null`; a separate rule reports such values in 3.0.
    WordOf30(&'static [&'static str]),
    /// String that is one of those listed, or a list of such strings.
    Words(&'static [&'static str]),
    /// A list of this type.
    List(&'static Self),
    /// A map whose keys are of this sort and whose values have this type.
    Map(Keys, &'static Self),
    /// An object, or a reference to one.
    Object(&'static Object),
    /// A boolean or an object.
    BoolOr(&'static Object),
}

/// Sort of the keys of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Any string.
    Free,
    /// Component names: letters, digits, `.`, `-`, `_`.
    Component,
    /// Media types.
    MediaType,
    /// Status codes, `2XX` or `default`.
    Status,
    /// HTTP methods as sent.
    Method,
    /// Path templates.
    Path,
    /// Runtime expressions.
    Expression,
}

/// Object type of OpenAPI.
#[derive(Debug)]
pub struct Object {
    /// Unique number of the object type, less than 64. Index in bit sets.
    pub bit: u8,
    /// Name for messages, with its article: `an operation`.
    pub what: &'static str,
    /// Fields of the object.
    pub fields: &'static [Field],
    /// Keys that are allowed besides the fields.
    pub others: Others,
    /// Support for a `$ref` instead of the object.
    pub reference: Reference,
    /// Shape of `x-gateway` in the object. `None` if `x-gateway` is not allowed there.
    pub gateway: Option<&'static shape::Object>,
}

/// Keys that an object may have besides its fields. Keys with `x-` are always allowed.
#[derive(Debug)]
pub enum Others {
    /// No other keys.
    None,
    /// Keys of this sort with values of this type.
    Map(Keys, &'static Type),
    /// Any keyword, as JSON Schema allows from 3.1 on.
    Keywords,
}

/// Support for a reference instead of an object: allowed by OpenAPI, or only common practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// References are allowed.
    Allowed,
    /// OpenAPI does not allow a reference here, but such references are common and other tools
    /// resolve them.
    Unusual,
}

/// Field of an object.
#[derive(Debug)]
pub struct Field {
    /// Key of the field.
    pub key: &'static str,
    /// Type of the field's value.
    pub ty: Type,
    /// Versions that have the field.
    pub versions: Versions,
    /// Versions that require the field.
    pub required: Versions,
}

/// Set of OpenAPI versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions(u8);

impl Versions {
    /// No version.
    pub const NONE: Self = Self(0);
    /// All versions.
    pub const ALL: Self = Self(0b111);
    /// Only 3.0.
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

    /// Name of the set for messages.
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
    /// Returns the field with this key in this version.
    #[must_use]
    pub fn field(&self, key: &str, version: Version) -> Option<&'static Field> {
        self.fields
            .iter()
            .find(|field| field.key == key && field.versions.has(version))
    }

    /// True if only other versions have a field with this key.
    #[must_use]
    pub fn is_of_other_version(&self, key: &str, version: Version) -> bool {
        self.field(key, version).is_none() && self.fields.iter().any(|field| field.key == key)
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

    const fn gateway(mut self, object: &'static shape::Object) -> Self {
        self.gateway = Some(object);
        self
    }
}
