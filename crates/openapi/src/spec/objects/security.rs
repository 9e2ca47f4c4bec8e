//! Field tables of security schemes and their OAuth flows: names and types of the fields.

use super::{Field, Keys, Object, Type, Versions, object, optional, required};
use vocab::extension;

/// Field `components.securitySchemes`.
pub static SECURITY_SCHEMES: Object = object(31, "the security schemes", &[])
    .others(Keys::Component, &Type::Object(&SECURITY_SCHEME));

/// Security scheme: a method by which clients authenticate.
pub static SECURITY_SCHEME: Object = object(
    32,
    "a security scheme",
    &[
        required(
            "type",
            Type::Word(&["apiKey", "http", "oauth2", "openIdConnect"]),
        )
        .only(Versions::V30),
        required(
            "type",
            Type::Word(&["apiKey", "http", "oauth2", "openIdConnect", "mutualTLS"]),
        )
        .only(Versions::FROM_31),
        optional("description", Type::Text),
        optional("name", Type::Text),
        optional("in", Type::Word(&["query", "header", "cookie"])),
        optional("scheme", Type::Text),
        optional("bearerFormat", Type::Text),
        optional("flows", Type::Object(&FLOWS)),
        optional("openIdConnectUrl", Type::Text),
        optional("oauth2MetadataUrl", Type::Text).only(Versions::FROM_32),
        optional("deprecated", Type::Bool).only(Versions::FROM_32),
    ],
)
.referable()
.gateway(&extension::SCHEME);

static FLOWS: Object = object(
    33,
    "the OAuth flows",
    &[
        optional("implicit", Type::Object(&IMPLICIT)),
        optional("password", Type::Object(&PASSWORD)),
        optional("clientCredentials", Type::Object(&CLIENT_CREDENTIALS)),
        optional("authorizationCode", Type::Object(&AUTHORIZATION_CODE)),
        optional("deviceAuthorization", Type::Object(&DEVICE_AUTHORIZATION))
            .only(Versions::FROM_32),
    ],
);

const SCOPES: Field = required("scopes", Type::Map(Keys::Free, &Type::Text));
const REFRESH_URL: Field = optional("refreshUrl", Type::Text);

/// OAuth 2 implicit flow.
pub static IMPLICIT: Object = object(
    34,
    "an implicit flow",
    &[
        required("authorizationUrl", Type::Text),
        REFRESH_URL,
        SCOPES,
    ],
);

/// OAuth 2 password flow.
pub static PASSWORD: Object = object(
    35,
    "a password flow",
    &[required("tokenUrl", Type::Text), REFRESH_URL, SCOPES],
);

/// OAuth 2 client credentials flow.
pub static CLIENT_CREDENTIALS: Object = object(
    36,
    "a client credentials flow",
    &[required("tokenUrl", Type::Text), REFRESH_URL, SCOPES],
);

/// OAuth 2 authorization code flow.
pub static AUTHORIZATION_CODE: Object = object(
    37,
    "an authorization code flow",
    &[
        required("authorizationUrl", Type::Text),
        required("tokenUrl", Type::Text),
        REFRESH_URL,
        SCOPES,
    ],
);

/// OAuth 2 device authorization flow.
pub static DEVICE_AUTHORIZATION: Object = object(
    38,
    "a device authorization flow",
    &[
        required("deviceAuthorizationUrl", Type::Text),
        required("tokenUrl", Type::Text),
        REFRESH_URL,
        SCOPES,
    ],
);
