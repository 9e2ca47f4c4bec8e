//! Rules about redacted values: GW0578.

use diag::{Level, Lint};

/// Lints in the order of their codes.
pub const LINTS: &[&Lint] = &[&TOO_MANY_REDACTED_VALUES];

/// Sample project with schemas that contain each other and a redacted value. The argument is
/// `x-gateway` of the schema `A`.
macro_rules! redacting {
    ($extension:literal) => {
        &[
            (
                "gateway.yaml",
                "version: 1\nname: s\napis: {a: {path: api.yaml}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n\
defaults: {upstream: u, security: upstream}\n",
            ),
            (
                "api.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /a: {post: {\
requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/A'}}}}, \
responses: {\"200\": {description: fine}}}}\ncomponents:\n  schemas:\n    A:\n      ",
                    $extension,
                    "properties: &members\n        a: {$ref: '#/components/schemas/A'}\n        \
b: {$ref: '#/components/schemas/B'}\n        c: {$ref: '#/components/schemas/C'}\n        \
d: {$ref: '#/components/schemas/D'}\n        e: {$ref: '#/components/schemas/E'}\n        \
f: {$ref: '#/components/schemas/F'}\n        email: {type: string, x-gateway: {redact: true}}\n    \
B: {properties: *members}\n    C: {properties: *members}\n    D: {properties: *members}\n    \
E: {properties: *members}\n    F: {properties: *members}\n"
                ),
            ),
        ]
    };
}

/// A body with more redacted values than an operation lists.
pub static TOO_MANY_REDACTED_VALUES: Lint = Lint {
    code: "GW0578",
    name: "too-many-redacted-values",
    level: Level::Warn,
    summary: "a body with more than 100 redacted values",
    explain: "An operation lists at most 100 places of redacted values (`redact: true` in \
`x-gateway` of a schema) for requests and as many for responses. Schemas that contain each other \
can lead to more. Values beyond the maximum stay hidden: gwd redacts the value that contains them \
as a whole. Findings of `validate` then point to that outer value. Write `redact: true` at a \
schema that contains these values.",
    bad: redacting!(""),
    good: redacting!("x-gateway: {redact: true}\n      "),
};
