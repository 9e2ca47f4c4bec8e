//! Rules about the alternatives of security requirements and the credentials of consumers: GW0573
//! to GW0575.

use diag::{Level, Lint};

/// Lints in the order of their codes.
pub const LINTS: &[&Lint] = &[
    &UNCHECKED_ALTERNATIVE,
    &UNREACHABLE_ALTERNATIVE,
    &CREDENTIAL_ENDS,
];

/// Sample project: an operation that accepts an API key or a password. The argument is `x-gateway`
/// of the security scheme for passwords.
macro_rules! either {
    ($password:literal) => {
        &[
            (
                "gateway.yaml",
                "version: 1\nname: s\napis: {a: {path: api.yaml}}\n\
auth: {keys: {kind: api_key}, staff: {kind: basic}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n",
            ),
            (
                "api.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n\
security: [{key: []}, {password: []}]\n\
paths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n\
components:\n  securitySchemes:\n    \
key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}\n    \
password: {type: http, scheme: basic, x-gateway: ",
                    $password,
                    "}\n"
                ),
            ),
        ]
    };
}

/// A scheme that only the upstream checks, as an alternative to a scheme that gwd checks.
pub static UNCHECKED_ALTERNATIVE: Lint = Lint {
    code: "GW0573",
    name: "unchecked-alternative",
    level: Level::Warn,
    summary: "an alternative that only the upstream checks, beside one that the gateway checks",
    explain: "A request needs to satisfy one alternative of `security`. With `verify: upstream` \
(also from `defaults.security: upstream`) the gateway checks only that a credential is present. \
Any made-up value satisfies that alternative, so the verifier of the other one protects nothing. \
Bind a verifier to the scheme (`x-gateway: {auth: NAME}`), or leave the alternative out with \
`security` in `x-gateway` of the operation or the document. Allow this finding if the upstream \
checks the credential.",
    bad: either!("{verify: upstream}"),
    good: either!("{auth: staff}"),
};

/// Sample project: an operation whose requirement has these alternatives of a key and a password.
macro_rules! alternatives {
    ($security:literal) => {
        &[
            (
                "gateway.yaml",
                "version: 1\nname: s\napis: {a: {path: api.yaml}}\n\
auth: {keys: {kind: api_key}, staff: {kind: basic}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n",
            ),
            (
                "api.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n\
paths: {/a: {get: {security: ",
                    $security,
                    ", responses: {\"200\": {description: fine}}}}}\n\
components:\n  securitySchemes:\n    \
key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}\n    \
password: {type: http, scheme: basic, x-gateway: {auth: staff}}\n"
                ),
            ),
        ]
    };
}

/// An alternative of a security requirement that requires at least what an earlier alternative
/// requires.
pub static UNREACHABLE_ALTERNATIVE: Lint = Lint {
    code: "GW0574",
    name: "unreachable-alternative",
    level: Level::Warn,
    summary: "an alternative of `security` that has no effect",
    explain: "Alternatives are tried in their order, and the first one that a request satisfies \
decides who the caller is. An alternative that requires everything that an earlier one requires, \
and more, is never reached: its credentials add nothing. Remove it, or put it first.",
    bad: alternatives!("[{key: []}, {key: [], password: []}]"),
    good: alternatives!("[{key: [], password: []}, {key: []}]"),
};

/// Sample project: a consumer whose key expires on this date.
macro_rules! ends {
    ($date:literal) => {
        &[(
            "gateway.yaml",
            concat!(
                "version: 1\nname: s\nauth: {keys: {kind: api_key}}\n\
consumers: {acme: {keys: [{sha256: ",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                ", not_after: ",
                $date,
                "}]}}\n"
            ),
        )]
    };
}

/// A credential of a consumer whose `not_after` has passed or is near.
pub static CREDENTIAL_ENDS: Lint = Lint {
    code: "GW0575",
    name: "credential-ends",
    level: Level::Warn,
    summary: "a consumer's credential that has expired or expires within 30 days",
    explain: "gwd refuses a key, password, certificate or token of a consumer from the end of the \
day `not_after` (UTC). A credential that has ended is a warning: remove it. One that ends within \
30 days is of level `info`: give the consumer the next one in time. `gwc lint` compares with the \
day on which it runs; build and plan do not look at the clock.",
    bad: ends!("1970-01-09"),
    good: ends!("2090-01-09"),
};
