//! Field tables of the OpenAPI object and of its info, contact, license, server, tag, external
//! documentation and components objects: names and types of the fields.

use super::operation::{
    CALLBACK, EXAMPLE, HEADER, LINK, MEDIA_TYPE, PARAMETER, PATH_ITEM, PATHS, REQUEST_BODY,
    RESPONSE,
};
use super::schema::SCHEMA;
use super::security::SECURITY_SCHEMES;
use super::{Field, Keys, Object, Type, Versions, object, optional, required};
use vocab::extension;

/// OpenAPI object: the document.
pub static DOCUMENT: Object = object(
    1,
    "the document",
    &[
        required("openapi", Type::Text),
        required("info", Type::Object(&INFO)),
        optional("servers", Type::List(&Type::Object(&SERVER))),
        optional("paths", Type::Object(&PATHS)).required_in(Versions::V30),
        optional("components", Type::Object(&COMPONENTS)),
        // Any value is accepted here, because a separate rule, which cannot be silenced, checks
        // this field.
        optional("security", Type::Any),
        optional("tags", Type::List(&Type::Object(&TAG))),
        optional("externalDocs", Type::Object(&EXTERNAL_DOCS)),
        optional("jsonSchemaDialect", Type::Text).only(Versions::FROM_31),
        optional("webhooks", Type::Map(Keys::Free, &Type::Object(&PATH_ITEM)))
            .only(Versions::FROM_31),
        optional("$self", Type::Text).only(Versions::FROM_32),
    ],
)
.gateway(&extension::ROOT);

/// Title, version and contact of the document.
pub static INFO: Object = object(
    2,
    "the info object",
    &[
        required("title", Type::Text),
        optional("summary", Type::Text).only(Versions::FROM_31),
        optional("description", Type::Text),
        optional("termsOfService", Type::Text),
        optional("contact", Type::Object(&CONTACT)),
        optional("license", Type::Object(&LICENSE)),
        required("version", Type::Text),
    ],
);

/// Contact of the API.
pub static CONTACT: Object = object(
    3,
    "a contact",
    &[
        optional("name", Type::Text),
        optional("url", Type::Text),
        optional("email", Type::Text),
    ],
);

/// License object.
pub static LICENSE: Object = object(
    4,
    "a license",
    &[
        required("name", Type::Text),
        optional("url", Type::Text),
        optional("identifier", Type::Text).only(Versions::FROM_31),
    ],
);

/// Server object.
pub static SERVER: Object = object(
    5,
    "a server",
    &[
        required("url", Type::Text),
        optional("description", Type::Text),
        optional(
            "variables",
            Type::Map(Keys::Free, &Type::Object(&SERVER_VARIABLE)),
        ),
        optional("name", Type::Text).only(Versions::FROM_32),
    ],
)
.gateway(&extension::SERVER);

static SERVER_VARIABLE: Object = object(
    6,
    "a server variable",
    &[
        optional("enum", Type::List(&Type::Text)),
        required("default", Type::Text),
        optional("description", Type::Text),
    ],
);

/// Tag object.
pub static TAG: Object = object(
    7,
    "a tag",
    &[
        required("name", Type::Text),
        optional("description", Type::Text),
        optional("externalDocs", Type::Object(&EXTERNAL_DOCS)),
        optional("summary", Type::Text).only(Versions::FROM_32),
        optional("parent", Type::Text).only(Versions::FROM_32),
        optional("kind", Type::Text).only(Versions::FROM_32),
    ],
);

/// External documentation.
pub static EXTERNAL_DOCS: Object = object(
    8,
    "external documentation",
    &[
        required("url", Type::Text),
        optional("description", Type::Text),
    ],
);

/// Shared components.
pub static COMPONENTS: Object = object(
    9,
    "the components",
    &[
        components("schemas", &Type::BoolOr(&SCHEMA)),
        components("responses", &Type::Object(&RESPONSE)),
        components("parameters", &Type::Object(&PARAMETER)),
        components("examples", &Type::Object(&EXAMPLE)),
        components("requestBodies", &Type::Object(&REQUEST_BODY)),
        components("headers", &Type::Object(&HEADER)),
        optional("securitySchemes", Type::Object(&SECURITY_SCHEMES)),
        components("links", &Type::Object(&LINK)),
        components("callbacks", &Type::Object(&CALLBACK)),
        components("pathItems", &Type::Object(&PATH_ITEM)).only(Versions::FROM_31),
        components("mediaTypes", &Type::Object(&MEDIA_TYPE)).only(Versions::FROM_32),
    ],
);

const fn components(key: &'static str, ty: &'static Type) -> Field {
    optional(key, Type::Map(Keys::Component, ty))
}
