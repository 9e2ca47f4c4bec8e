//! Field tables of paths, path items, operations, parameters, headers, request bodies, media types,
//! encodings, responses, callbacks, examples and links: names and types of the fields.

use super::document::{EXTERNAL_DOCS, SERVER};
use super::schema::SCHEMA;
use super::{Field, Keys, Object, Others, Type, Versions, object, optional, required};
use vocab::extension;

/// Field `paths`.
pub static PATHS: Object =
    object(10, "the paths", &[]).others(Keys::Path, &Type::Object(&PATH_ITEM));

/// Path item object.
pub static PATH_ITEM: Object = object(
    11,
    "a path item",
    &[
        method("get"),
        method("put"),
        method("post"),
        method("delete"),
        method("options"),
        method("head"),
        method("patch"),
        method("trace"),
        method("query").only(Versions::FROM_32),
        optional(
            "additionalOperations",
            Type::Map(Keys::Method, &Type::Object(&OPERATION)),
        )
        .only(Versions::FROM_32),
        optional("$ref", Type::Text),
        optional("summary", Type::Text),
        optional("description", Type::Text),
        optional("servers", Type::List(&Type::Object(&SERVER))),
        optional("parameters", Type::List(&Type::Object(&PARAMETER))),
    ],
)
.referable()
.gateway(&extension::PATH_ITEM);

const fn method(key: &'static str) -> Field {
    optional(key, Type::Object(&OPERATION))
}

/// Operation object.
pub static OPERATION: Object = object(
    12,
    "an operation",
    &[
        optional("operationId", Type::Text),
        optional("tags", Type::List(&Type::Text)),
        optional("summary", Type::Text),
        optional("description", Type::Text),
        optional("parameters", Type::List(&Type::Object(&PARAMETER))),
        optional("requestBody", Type::Object(&REQUEST_BODY)),
        optional("responses", Type::Object(&RESPONSES)).required_in(Versions::V30),
        // Any value is accepted here, because a separate rule, which cannot be silenced, checks
        // this field.
        optional("security", Type::Any),
        optional("deprecated", Type::Bool),
        optional("externalDocs", Type::Object(&EXTERNAL_DOCS)),
        optional("callbacks", Type::Map(Keys::Free, &Type::Object(&CALLBACK))),
        optional("servers", Type::List(&Type::Object(&SERVER))),
    ],
)
.gateway(&extension::OPERATION);

const PARAMETER_STYLES: &[&str] = &[
    "matrix",
    "label",
    "form",
    "simple",
    "spaceDelimited",
    "pipeDelimited",
    "deepObject",
];

/// Parameter object.
pub static PARAMETER: Object = object(
    13,
    "a parameter",
    &[
        required("name", Type::Text),
        required("in", Type::Word(&["query", "header", "path", "cookie"])).only(Versions::UNTIL_31),
        required(
            "in",
            Type::Word(&["query", "header", "path", "cookie", "querystring"]),
        )
        .only(Versions::FROM_32),
        optional("description", Type::Text),
        optional("required", Type::Bool),
        optional("schema", Type::BoolOr(&SCHEMA)),
        optional("deprecated", Type::Bool),
        optional("allowEmptyValue", Type::Bool),
        optional("style", Type::Word(PARAMETER_STYLES)).only(Versions::UNTIL_31),
        optional("style", Type::Text).only(Versions::FROM_32),
        optional("explode", Type::Bool),
        optional("allowReserved", Type::Bool),
        optional("example", Type::Any),
        optional("examples", Type::Map(Keys::Free, &Type::Object(&EXAMPLE))),
        optional(
            "content",
            Type::Map(Keys::MediaType, &Type::Object(&MEDIA_TYPE)),
        ),
    ],
)
.referable()
.gateway(&extension::PARAMETER);

/// Header of a response or of a multipart part.
pub static HEADER: Object = object(
    14,
    "a header",
    &[
        optional("description", Type::Text),
        optional("required", Type::Bool),
        optional("schema", Type::BoolOr(&SCHEMA)),
        optional("deprecated", Type::Bool),
        optional("allowEmptyValue", Type::Bool),
        optional("style", Type::Word(&["simple"])),
        optional("explode", Type::Bool),
        optional("allowReserved", Type::Bool),
        optional("example", Type::Any),
        optional("examples", Type::Map(Keys::Free, &Type::Object(&EXAMPLE))),
        optional(
            "content",
            Type::Map(Keys::MediaType, &Type::Object(&MEDIA_TYPE)),
        ),
    ],
)
.referable();

/// Request body object.
pub static REQUEST_BODY: Object = object(
    15,
    "a request body",
    &[
        required(
            "content",
            Type::Map(Keys::MediaType, &Type::Object(&MEDIA_TYPE)),
        ),
        optional("description", Type::Text),
        optional("required", Type::Bool),
    ],
)
.referable();

/// Description of one media type.
pub static MEDIA_TYPE: Object = object(
    16,
    "a media type",
    &[
        optional("schema", Type::BoolOr(&SCHEMA)),
        optional("example", Type::Any),
        optional("examples", Type::Map(Keys::Free, &Type::Object(&EXAMPLE))),
        optional("encoding", Type::Map(Keys::Free, &Type::Object(&ENCODING))),
        optional("itemSchema", Type::BoolOr(&SCHEMA)).only(Versions::FROM_32),
        optional("prefixEncoding", Type::List(&Type::Object(&ENCODING))).only(Versions::FROM_32),
        optional("itemEncoding", Type::Object(&ENCODING)).only(Versions::FROM_32),
    ],
)
.referable();

/// Serialisation of one property of a form or multipart body.
pub static ENCODING: Object = object(
    17,
    "an encoding",
    &[
        optional("contentType", Type::Text),
        optional("headers", Type::Map(Keys::Free, &Type::Object(&HEADER))),
        optional(
            "style",
            Type::Word(&["form", "spaceDelimited", "pipeDelimited", "deepObject"]),
        ),
        optional("explode", Type::Bool),
        optional("allowReserved", Type::Bool),
        optional("encoding", Type::Map(Keys::Free, &Type::Object(&ENCODING)))
            .only(Versions::FROM_32),
        optional("prefixEncoding", Type::List(&Type::Object(&ENCODING))).only(Versions::FROM_32),
        optional("itemEncoding", Type::Object(&ENCODING)).only(Versions::FROM_32),
    ],
);

/// Field `responses`.
pub static RESPONSES: Object =
    object(18, "the responses", &[]).others(Keys::Status, &Type::Object(&RESPONSE));

/// Response object.
pub static RESPONSE: Object = object(
    19,
    "a response",
    &[
        optional("description", Type::Text).required_in(Versions::UNTIL_31),
        optional("headers", Type::Map(Keys::Free, &Type::Object(&HEADER))),
        optional(
            "content",
            Type::Map(Keys::MediaType, &Type::Object(&MEDIA_TYPE)),
        ),
        optional("links", Type::Map(Keys::Component, &Type::Object(&LINK))),
        optional("summary", Type::Text).only(Versions::FROM_32),
    ],
)
.referable()
.gateway(&extension::RESPONSE);

/// Callback: requests that the API sends. Callbacks are never routed.
pub static CALLBACK: Object = Object {
    others: Others::Map(Keys::Expression, &Type::Object(&PATH_ITEM)),
    ..object(20, "a callback", &[]).referable()
};

/// Example object.
pub static EXAMPLE: Object = object(
    21,
    "an example",
    &[
        optional("summary", Type::Text),
        optional("description", Type::Text),
        optional("value", Type::Any),
        optional("externalValue", Type::Text),
        optional("dataValue", Type::Any).only(Versions::FROM_32),
        optional("serializedValue", Type::Text).only(Versions::FROM_32),
    ],
)
.referable();

/// Link from a response to an operation.
pub static LINK: Object = object(
    22,
    "a link",
    &[
        optional("operationRef", Type::Text),
        optional("operationId", Type::Text),
        optional("parameters", Type::Map(Keys::Free, &Type::Any)),
        optional("requestBody", Type::Any),
        optional("description", Type::Text),
        optional("server", Type::Object(&SERVER)),
    ],
)
.referable();
