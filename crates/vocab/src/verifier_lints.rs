//! Rules about settings of verifiers that are valid alone, but wrong together with others or rarely
//! intended: GW0566 to GW0568, GW0579 and GW0580.

use diag::{Level, Lint};

/// Lints in the order of their codes.
pub const LINTS: &[&Lint] = &[
    &KEY_ENDS,
    &ANY_AUDIENCE,
    &CREDENTIAL_NAME,
    &WITHHELD_CREDENTIAL,
    &LOGIN_CONFLICT,
];

/// Sample project: a verifier with one public key, which has these further members.
macro_rules! key {
    ($members:literal) => {
        &[(
            "gateway.yaml",
            concat!(
                "version: 1\nname: s\n\
auth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, \
x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                $members,
                "}]}}}\n"
            ),
        )]
    };
}

/// Sample project: an introspection verifier with these further settings.
macro_rules! introspection {
    ($settings:literal) => {
        &[(
            "gateway.yaml",
            concat!(
                "version: 1\nname: s\n\
auth: {partner: {kind: introspection, url: \"https://partner.example/ask\", issuer: \"https://partner.example\", \
client_id: g, client_secret: \"${env:GWS_A}\"",
                $settings,
                "}}\n"
            ),
        )]
    };
}

/// Sample project: two logins on one host, of which the second one has this `logout_path` and
/// `session.cookie`.
macro_rules! logins {
    ($path:literal, $cookie:literal) => {
        &[
            (
                "gateway.yaml",
                concat!(
                    "version: 1\nname: s\napis: {a: {path: a.yaml}}\n\
upstreams: {u: {targets: {a: {url: \"http://u.internal\"}}}}\ndefaults: {upstream: u, timeout: 5s}\n\
auth: {shop: {kind: oidc, issuer: \"https://idp.example\", client_id: shop, client_secret: \"${env:GWS_A}\", \
redirect_path: /done, logout_path: /logout, session: {secret: \"${env:GWS_B}\", cookie: __Host-shop}}, \
staff: {kind: oidc, issuer: \"https://idp.example\", client_id: staff, client_secret: \"${env:GWS_A}\", \
redirect_path: /staff/done, logout_path: ",
                    $path,
                    ", session: {secret: \"${env:GWS_B}\", cookie: ",
                    $cookie,
                    "}}}\n"
                ),
            ),
            (
                "a.yaml",
                "openapi: 3.1.0\ninfo: {title: a, version: \"1\"}\ncomponents: {securitySchemes: {\
shop: {type: openIdConnect, openIdConnectUrl: \"https://idp.example/.well-known/openid-configuration\", x-gateway: {auth: shop}}, \
staff: {type: openIdConnect, openIdConnectUrl: \"https://idp.example/.well-known/openid-configuration\", x-gateway: {auth: staff}}}}\n\
paths: {/shop: {get: {operationId: shop, security: [{shop: []}], responses: {\"200\": {description: ok}}}}, \
/staff: {get: {operationId: staff, security: [{staff: []}], responses: {\"200\": {description: ok}}}}}\n",
            ),
        ]
    };
}

/// Sample project: a document with an API key in a header field of this name.
macro_rules! api_key {
    ($name:literal) => {
        &[
            (
                "gateway.yaml",
                "version: 1\nname: s\napis: {a: {path: a.yaml}}\nauth: {keys: {kind: api_key}}\n\
upstreams: {u: {targets: {a: {url: \"http://u.internal\"}}}}\ndefaults: {upstream: u, timeout: 5s}\n",
            ),
            (
                "a.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: a, version: \"1\"}\n\
paths: {/a: {get: {operationId: a, security: [{key: []}], responses: {\"200\": {description: ok}}}}}\n\
components:\n  securitySchemes:\n    key: {type: apiKey, in: header, name: ",
                    $name,
                    ", x-gateway: {auth: keys}}\n"
                ),
            ),
        ]
    };
}

/// Sample project: the upstream verifies an API key in this field, and receives the names of other
/// callers in `X-User`.
macro_rules! beside_names {
    ($name:literal) => {
        &[
            (
                "gateway.yaml",
                "version: 1\nname: s\napis: {a: {path: a.yaml}}\nauth: {keys: {kind: api_key}}\n\
upstreams: {u: {targets: {a: {url: \"http://u.internal\"}}}}\ndefaults: {upstream: u, timeout: 5s}\n",
            ),
            (
                "a.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: a, version: \"1\"}\n\
paths:\n  /a: {get: {operationId: a, security: [{key: []}], responses: {\"200\": {description: ok}}}}\n  \
/b: {get: {operationId: b, security: [{own: []}], responses: {\"200\": {description: ok}}}}\n\
components:\n  securitySchemes:\n    \
key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys, forward_as: X-User}}\n    \
own: {type: apiKey, in: header, name: ",
                    $name,
                    ", x-gateway: {verify: upstream}}\n"
                ),
            ),
        ]
    };
}

/// A key of a key set in the project that has expired or expires soon.
pub static KEY_ENDS: Lint = Lint {
    code: "GW0566",
    name: "key-ends",
    level: Level::Warn,
    summary: "a key of a key set that has expired or expires within 30 days",
    explain: "A key of `jwks` or `jwks_file` ends with its certificate (the first one of `x5c`, \
RFC 7517 §4.7) or at its `exp` (OpenID Federation 1.0). gwd continues to use the key after that \
time, because a key set in the project is valid until the project changes. By then, the provider \
signs with another key, and gwd refuses its tokens. A key that has ended is a warning, one that \
ends within 30 days is of level `info`. `gwc lint` compares with the day on which it runs. Add the \
provider's next key, or let gwd fetch the keys (`jwks_url`, or `issuer` alone).",
    bad: key!(", exp: 700000"),
    good: key!(", exp: 32500000000"),
};

/// An introspection verifier that admits tokens for any audience.
pub static ANY_AUDIENCE: Lint = Lint {
    code: "GW0567",
    name: "any-audience",
    level: Level::Warn,
    summary: "token introspection without `audience`",
    explain: "The endpoint reports a token as active for whatever resource it was issued. Without \
`audience` gwd admits all of them: a token for another service is valid here, too. That service \
can use the tokens that its callers give it (RFC 9700 §2.3, RFC 7662 §4). Write the values of \
`aud` that identify these APIs. If the endpoint itself answers `active` only for tokens of these \
APIs, as RFC 7662 §2.2 allows, allow this finding.",
    bad: introspection!(""),
    good: introspection!(", audience: [orders]"),
};

/// An API key whose name no request can contain.
pub static CREDENTIAL_NAME: Lint = Lint {
    code: "GW0568",
    name: "credential-name",
    level: Level::Error,
    summary: "an API key in a field, parameter or cookie that no request can contain",
    explain: "The name of a header field and of a cookie is a token (RFC 9110 §5.6.2, RFC 6265 \
§4.1.1): letters, digits and a few signs, but no blank, no `=` and no `;`. The gateway removes \
fields of the connection (`Connection`, `Transfer-Encoding`, …), and the forwarding fields that \
it writes itself, from requests. `Host` and `Content-Length` have another meaning. A credential \
with such a name never arrives, so every request is refused. Write the name that clients send.",
    bad: api_key!("\"X Key\""),
    good: api_key!("X-Key"),
};

/// A credential for the upstream that the gateway removes from requests.
pub static WITHHELD_CREDENTIAL: Lint = Lint {
    code: "GW0579",
    name: "withheld-credential",
    level: Level::Warn,
    summary: "a scheme with `verify: upstream` whose field the gateway removes from requests",
    explain: "The upstream verifies the credential of a scheme with `verify: upstream`. Here the \
credential is in a field that the gateway writes for the same upstream: `forward_as` or \
`claims_to_headers` of a scheme, or `response_headers` of `forward_auth`. The gateway removes such \
a field from the requests of clients, because the upstream would take the credential for the name \
of another caller. The upstream therefore gets no credential. Write the name of the caller to \
another field.",
    bad: beside_names!("X-User"),
    good: beside_names!("X-Token"),
};

/// Two logins on one host that share a path or a cookie, but not their sessions.
pub static LOGIN_CONFLICT: Lint = Lint {
    code: "GW0580",
    name: "login-conflict",
    level: Level::Error,
    summary: "two logins on one host with the same path or cookie",
    explain: "The gateway answers `redirect_path` and `logout_path` of a login (`kind: oidc`) on \
each host of the APIs that use the login, for one login only. With the same `logout_path`, a \
session of the other login never ends; with the same `redirect_path`, no login of the other one \
succeeds. Logins with the same `session.cookie` overwrite each other's sessions. Logins may share \
`redirect_path`, `logout_path` and cookie if they accept each other's sessions: `session.secret` \
and the settings that docs/authentication.md lists for `session_unreadable` are equal.",
    bad: logins!("/logout", "__Host-staff"),
    good: logins!("/staff/logout", "__Host-staff"),
};
