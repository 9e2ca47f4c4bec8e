//! Texts and macros for the sample projects in lints.

/// Sample document with thirteen paths of ten statuses each.
pub(super) const STATUSES: &str = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /a: &p\n    get:\n      responses:\n        \"200\": &r {description: fine}\n\
\x20       \"201\": *r\n        \"202\": *r\n        \"203\": *r\n        \"206\": *r\n        \"207\": *r\n        \"208\": *r\n        \"400\": *r\n        \"404\": *r\n        \"409\": *r\n\
\x20 /b: *p\n  /c: *p\n  /d: *p\n  /e: *p\n  /f: *p\n  /g: *p\n  /h: *p\n  /i: *p\n  /j: *p\n  /k: *p\n  /l: *p\n  /m: *p\n";

pub(super) const LOGGED_IN: &str = "version: 1\nname: s\napis: {a: {path: api.yaml}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n\
auth: {login: {kind: oidc, issuer: \"https://idp.example\", client_id: c, client_secret: \"${env:GWS_A}\", redirect_path: /login, \
session: {secret: \"${env:GWS_B}\"}}}\n";

pub(super) const COSTED: &str = "version: 1\nname: s\napis: {a: {path: api.yaml}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream}\n\
policies: {slow: {kind: rate_limit, limit: 10/s}}\n";
pub(super) const OPEN: &str = "version: 1\nname: s\napis: {a: {path: api.yaml}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream}\n";
pub(super) const VALIDATED: &str = "version: 1\nname: s\napis: {a: {path: api.yaml}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream, validate: {request: block}}\n";
pub(super) const KEYED: &str = "version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n";
pub(super) const LIMITED: &str = "version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n\
policies: {slow: {kind: rate_limit, limit: 1/s}}\n";

/// Sample project with one operation that requires an API key. The arguments are gateway.yaml and
/// the operation's `x-gateway`.
macro_rules! keyed {
    ($gateway:expr, $operation:literal) => {
        &[
            ("gateway.yaml", $gateway),
            (
                "api.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /a:\n    get:\n",
                    "      operationId: getA\n      security: [{key: []}]\n      x-gateway: ",
                    $operation,
                    "\n      responses: {\"200\": {description: fine}}\n",
                    "components:\n  securitySchemes:\n    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}\n"
                ),
            ),
        ]
    };
}

/// Sample project whose document has these paths. The gateway leaves the check of credentials to
/// the upstream.
macro_rules! open {
    ($paths:literal) => {
        &[
            ("gateway.yaml", OPEN),
            (
                "api.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n",
                    $paths
                ),
            ),
        ]
    };
}

/// Sample project with an operation at this path. The operation has the parameter `page` and
/// requires a login.
macro_rules! logged_in {
    ($path:literal) => {
        &[
            ("gateway.yaml", LOGGED_IN),
            (
                "api.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n",
                    "components: {securitySchemes: {login: {type: openIdConnect, openIdConnectUrl: ",
                    "\"https://idp.example/.well-known/openid-configuration\", x-gateway: {auth: login}}}}\n",
                    "paths: {",
                    $path,
                    ": {parameters: [{name: page, in: path, required: true, schema: {type: string}}], ",
                    "get: {security: [{login: []}], responses: {\"200\": {description: fine}}}}}\n"
                ),
            ),
        ]
    };
}

/// Sample project with an operation that pages of other origins can call. The argument is the value
/// of `headers` in the `cors` policy.
macro_rules! paged {
    ($headers:literal) => {
        keyed!(
            concat!(
                "version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}}\n",
                "upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n",
                "policies: {web: {kind: cors, origins: [\"https://app.example\"], headers: ",
                $headers,
                "}}\n"
            ),
            "{policies: [web]}"
        )
    };
}

/// Sample project with an operation that requires a client certificate. The argument is the `mode`
/// of `client_auth` at the listener.
macro_rules! certified {
    ($mode:literal) => {
        &[
            (
                "gateway.yaml",
                concat!(
                    "version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {mesh: {kind: mtls, spiffe: [\"spiffe://example.org/**\"]}}\n",
                    "listeners:\n  public:\n    address: 127.0.0.1:8443\n    protocol: https\n    tls:\n",
                    "      certificates: {main: {cert: \"${file:/run/tls.pem}\", key: \"${file:/run/tls.key}\"}}\n",
                    "      client_auth: {ca: \"${file:/run/ca.pem}\", mode: ",
                    $mode,
                    "}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n"
                ),
            ),
            (
                "api.yaml",
                "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nsecurity: [{peer: []}]\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\ncomponents: {securitySchemes: {peer: {type: mutualTLS, x-gateway: {auth: mesh}}}}\n",
            ),
        ]
    };
}

/// Sample project in which the gateway removes a credential before it forwards a request. The
/// argument is the upstream's `hash_on`.
macro_rules! hashed {
    ($key:literal) => {
        &[
            (
                "gateway.yaml",
                concat!(
                    "version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}}\n",
                    "upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}, lb: maglev, hash_on: \"",
                    $key,
                    "\"}}\ndefaults: {upstream: u}\n"
                ),
            ),
            (
                "api.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nsecurity: [{key: []}]\n",
                    "paths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\ncomponents:\n  securitySchemes:\n",
                    "    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys, strip_credential: true}}\n"
                ),
            ),
        ]
    };
}

/// Sample project with a verifier of kind `introspection` and a consumer of another provider. The
/// argument has further keys of the verifier.
macro_rules! asked {
    ($issuer:literal) => {
        &[(
            "gateway.yaml",
            concat!(
                "version: 1\nname: s\n",
                "auth:\n",
                "  idp: {kind: jwt, issuer: \"https://idp.example\", audience: [a], algorithms: [ES256], jwks_url: \"https://idp.example/k\"}\n",
                "  partner: {kind: introspection, url: \"https://partner.example/ask\", client_id: g, client_secret: \"${env:GWS_A}\"",
                $issuer,
                "}\n",
                "consumers: {acme: {tokens: [{issuer: \"https://idp.example\", client: acme-app}]}}\n"
            ),
        )]
    };
}

/// Sample project with a consumer whose tokens have this issuer. The only verifier of the project
/// accepts tokens of `https://idp.example`.
macro_rules! held {
    ($issuer:literal) => {
        &[(
            "gateway.yaml",
            concat!(
                "version: 1\nname: s\n",
                "auth: {idp: {kind: jwt, issuer: \"https://idp.example\", audience: [a], algorithms: [ES256], jwks_url: \"https://idp.example/k\"}}\n",
                "consumers: {acme: {tokens: [{issuer: \"",
                $issuer,
                "\", client: acme-app}]}}\n"
            ),
        )]
    };
}

/// Sample project with an operation that declares this header parameter. The gateway writes the
/// consumer's name into `X-Caller`.
macro_rules! announced {
    ($field:literal) => {
        &[
            (
                "gateway.yaml",
                concat!(
                    "version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}}\n",
                    "upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n"
                ),
            ),
            (
                "api.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nsecurity: [{key: []}]\n",
                    "paths:\n  /a:\n    get:\n      parameters: [{name: ",
                    $field,
                    ", in: header, schema: {type: string}}]\n      responses: {\"200\": {description: fine}}\n",
                    "components:\n  securitySchemes:\n",
                    "    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys, forward_as: X-Caller}}\n"
                ),
            ),
        ]
    };
}

/// Sample project with two schemes that identify the caller. The argument is the field into which
/// the second scheme writes the caller's name.
macro_rules! named {
    ($field:literal) => {
        &[
            (
                "gateway.yaml",
                concat!(
                    "version: 1\nname: s\napis: {a: {path: api.yaml}}\n",
                    "auth: {keys: {kind: api_key}, idp: {kind: jwt, issuer: \"https://idp.example\", audience: [a], algorithms: [ES256], jwks_url: \"https://idp.example/k\"}}\n",
                    "upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n"
                ),
            ),
            (
                "api.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nsecurity: [{key: []}, {token: []}]\n",
                    "paths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\ncomponents:\n  securitySchemes:\n",
                    "    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys, forward_as: X-Caller}}\n",
                    "    token: {type: http, scheme: bearer, x-gateway: {auth: idp, forward_as: ",
                    $field,
                    "}}\n"
                ),
            ),
        ]
    };
}

/// Sample project with an expression that reads a request field, and a `forward_auth` policy that
/// sets the field. The argument is the list `defaults.policies`.
macro_rules! asked_by {
    ($policies:literal) => {
        keyed!(
            concat!(
                "version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}}\n",
                "upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, policies: ",
                $policies,
                "}\npolicies:\n  ask: {kind: forward_auth, upstream: u, response_headers: [X-Role]}\n",
                "  staff: {kind: authorize, expression: 'request.headers[\"x-role\"] == \"staff\"'}\n"
            ),
            "{}"
        )
    };
}

/// Entries for the list `mounts` of an API: a hundred mounts.
macro_rules! mounts {
    () => { mounts!("0" "1" "2" "3" "4" "5" "6" "7" "8" "9") };
    ($($tens:literal)*) => { concat!($(mounts!(@ $tens, "0" "1" "2" "3" "4" "5" "6" "7" "8" "9")),*) };
    (@ $tens:literal, $($units:literal)*) => {
        concat!($("{name: m", $tens, $units, ", base_path: /m", $tens, $units, "}, "),*)
    };
}

/// Sample project with these invariants. Its only operation has a rate limit and no credential.
macro_rules! invariant {
    ($invariant:expr) => {
        &[
            (
                "gateway.yaml",
                "version: 1\nname: s\napis: {a: {path: api.yaml}}\ninvariants: [rules.yaml]\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n\
policies: {slow: {kind: rate_limit, limit: 10/s}}\n\
defaults: {upstream: u, security: upstream, policies: [slow]}\n",
            ),
            (
                "api.yaml",
                "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n\
paths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n",
            ),
            ("rules.yaml", $invariant),
        ]
    };
}

/// Sample project with an invariant that requires these properties of every operation.
macro_rules! held_to {
    ($require:literal) => {
        invariant!(concat!("- {name: each, require: ", $require, "}\n"))
    };
}

/// Sample project with an invariant about the operations whose paths match this pattern.
macro_rules! held_about {
    ($path:literal) => {
        invariant!(concat!(
            "- {name: some, where: {path: \"",
            $path,
            "\"}, require: {kinds: [rate_limit]}}\n"
        ))
    };
}
