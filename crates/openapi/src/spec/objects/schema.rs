//! Schemas: the keywords of OpenAPI 3.0, and of JSON Schema 2020-12 from 3.1 on.
//!
//! From 3.1 on, any keyword is allowed. For the keywords listed here, the type of the value is
//! checked.

use super::document::EXTERNAL_DOCS;
use super::{Keys, Object, Others, Type, Versions, object, optional, required};
use vocab::extension;

const TYPES_30: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
const TYPES_31: &[&str] = &[
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// Schema object.
pub static SCHEMA: Object = Object {
    others: Others::Keywords,
    ..object(
        40,
        "a schema",
        &[
            optional("type", Type::WordOf30(TYPES_30)).only(Versions::V30),
            optional("type", Type::Words(TYPES_31)).only(Versions::FROM_31),
            optional("description", Type::Text),
            optional("properties", Type::Map(Keys::Free, &Type::BoolOr(&SCHEMA))),
            optional("items", Type::BoolOr(&SCHEMA)),
            optional("format", Type::Text),
            optional("enum", Type::List(&Type::Any)),
            optional("example", Type::Any),
            optional("required", Type::List(&Type::Text)),
            optional("nullable", Type::Bool).only(Versions::V30),
            optional("maxLength", Type::Count),
            optional("title", Type::Text),
            optional("default", Type::Any),
            optional("anyOf", Type::List(&Type::BoolOr(&SCHEMA))),
            optional("allOf", Type::List(&Type::BoolOr(&SCHEMA))),
            optional("oneOf", Type::List(&Type::BoolOr(&SCHEMA))),
            optional("not", Type::BoolOr(&SCHEMA)),
            optional("additionalProperties", Type::BoolOr(&SCHEMA)),
            optional("multipleOf", Type::Positive),
            optional("maximum", Type::Number),
            // Any value is accepted: a separate rule checks that it is a boolean in 3.0 and a
            // number from 3.1 on.
            optional("exclusiveMaximum", Type::Any),
            optional("minimum", Type::Number),
            // Any value is accepted: a separate rule checks that it is a boolean in 3.0 and a
            // number from 3.1 on.
            optional("exclusiveMinimum", Type::Any),
            optional("minLength", Type::Count),
            optional("pattern", Type::Text),
            optional("maxItems", Type::Count),
            optional("minItems", Type::Count),
            optional("uniqueItems", Type::Bool),
            optional("maxProperties", Type::Count),
            optional("minProperties", Type::Count),
            optional("discriminator", Type::Object(&DISCRIMINATOR)),
            optional("readOnly", Type::Bool),
            optional("writeOnly", Type::Bool),
            optional("xml", Type::Object(&XML)),
            optional("externalDocs", Type::Object(&EXTERNAL_DOCS)),
            optional("deprecated", Type::Bool),
            optional("$ref", Type::Text).only(Versions::FROM_31),
            optional("$schema", Type::Text).only(Versions::FROM_31),
            optional("$id", Type::Text).only(Versions::FROM_31),
            optional("$dynamicRef", Type::Text).only(Versions::FROM_31),
            optional("$dynamicAnchor", Type::Text).only(Versions::FROM_31),
            optional("$anchor", Type::Text).only(Versions::FROM_31),
            optional("$defs", Type::Map(Keys::Free, &Type::BoolOr(&SCHEMA)))
                .only(Versions::FROM_31),
            optional("$comment", Type::Text).only(Versions::FROM_31),
            optional("const", Type::Any).only(Versions::FROM_31),
            optional("examples", Type::List(&Type::Any)).only(Versions::FROM_31),
            optional("prefixItems", Type::List(&Type::BoolOr(&SCHEMA))).only(Versions::FROM_31),
            optional("contains", Type::BoolOr(&SCHEMA)).only(Versions::FROM_31),
            optional("minContains", Type::Count).only(Versions::FROM_31),
            optional("maxContains", Type::Count).only(Versions::FROM_31),
            optional("if", Type::BoolOr(&SCHEMA)).only(Versions::FROM_31),
            optional("then", Type::BoolOr(&SCHEMA)).only(Versions::FROM_31),
            optional("else", Type::BoolOr(&SCHEMA)).only(Versions::FROM_31),
            optional(
                "dependentSchemas",
                Type::Map(Keys::Free, &Type::BoolOr(&SCHEMA)),
            )
            .only(Versions::FROM_31),
            optional(
                "dependentRequired",
                Type::Map(Keys::Free, &Type::List(&Type::Text)),
            )
            .only(Versions::FROM_31),
            optional(
                "patternProperties",
                Type::Map(Keys::Free, &Type::BoolOr(&SCHEMA)),
            )
            .only(Versions::FROM_31),
            optional("propertyNames", Type::BoolOr(&SCHEMA)).only(Versions::FROM_31),
            optional("unevaluatedItems", Type::BoolOr(&SCHEMA)).only(Versions::FROM_31),
            optional("unevaluatedProperties", Type::BoolOr(&SCHEMA)).only(Versions::FROM_31),
            optional("contentEncoding", Type::Text).only(Versions::FROM_31),
            optional("contentMediaType", Type::Text).only(Versions::FROM_31),
            optional("contentSchema", Type::BoolOr(&SCHEMA)).only(Versions::FROM_31),
            // JSON Schema 2020-12 still supports this keyword of older drafts.
            optional("definitions", Type::Map(Keys::Free, &Type::BoolOr(&SCHEMA)))
                .only(Versions::FROM_31),
        ],
    )
    .referable()
    .gateway(&extension::SCHEMA)
};

static DISCRIMINATOR: Object = object(
    41,
    "a discriminator",
    &[
        required("propertyName", Type::Text),
        optional("mapping", Type::Map(Keys::Free, &Type::Text)),
        optional("defaultMapping", Type::Text).only(Versions::FROM_32),
    ],
);

/// Values of `nodeType`: how a value is represented in XML (3.2 §4.26.1).
const NODE_TYPES: &[&str] = &["element", "attribute", "text", "cdata", "none"];

/// XML representation of a value.
pub static XML: Object = object(
    42,
    "an XML description",
    &[
        optional("name", Type::Text),
        optional("namespace", Type::Text),
        optional("prefix", Type::Text),
        optional("attribute", Type::Bool),
        optional("wrapped", Type::Bool),
        optional("nodeType", Type::Word(NODE_TYPES)).only(Versions::FROM_32),
    ],
);
