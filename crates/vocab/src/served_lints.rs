//! Rules about documents that gwd serves: GW0576 and GW0577.

use diag::{Level, Lint};

/// Lints in the order of their codes.
pub const LINTS: &[&Lint] = &[&UNCHECKED_DOCUMENT, &UNFIT_DOCUMENT];

/// Sample project that serves the document of an API. The arguments are `serve_document`, the
/// `security` of the document's root, and `x-gateway` of its operation.
macro_rules! serving {
    ($serve:literal, $security:literal, $responses:literal) => {
        &[
            (
                "gateway.yaml",
                concat!(
                    "version: 1\nname: s\napis: {a: {path: api.yaml}}\n\
auth: {keys: {kind: api_key}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n\
defaults: {upstream: u, serve_document: ",
                    $serve,
                    "}\n"
                ),
            ),
            (
                "api.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n",
                    $security,
                    "paths:\n  /a: {get: {security: [{key: []}], responses: ",
                    $responses,
                    "}}\ncomponents:\n  securitySchemes:\n    \
key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}\n"
                ),
            ),
            ("b.yaml", "fine: {description: fine}\n"),
        ]
    };
}

/// A served document that everyone can read.
pub static UNCHECKED_DOCUMENT: Lint = Lint {
    code: "GW0576",
    name: "unchecked-document",
    level: Level::Error,
    summary: "a served document that everyone can read without `public: true`",
    explain: "With `serve_document` the gateway responds with the public document of an API. Its \
readers need a credential that satisfies the `security` at the root of the document. The upstream \
does not see the request, so a scheme with `verify: upstream` (also from `defaults.security: \
upstream`) protects nothing here. Write `security` with a verified scheme at the document's root, \
or `serve_document: {public: true}`.",
    bad: serving!("true", "", "{\"200\": {description: fine}}"),
    good: serving!(
        "true",
        "security: [{key: []}]\n",
        "{\"200\": {description: fine}}"
    ),
};

/// A document that cannot be served.
pub static UNFIT_DOCUMENT: Lint = Lint {
    code: "GW0577",
    name: "unfit-document",
    level: Level::Error,
    summary: "a document that cannot be served as it is",
    explain: "`serve_document` serves one JSON text without the settings of the gateway, of at \
most 16 MiB. Clients cannot follow references to other files. A reference to a part that `gwc \
strip` leaves out would be invalid. \
Write the parts into the document itself, or write `serve_document: false` at the API.",
    bad: serving!("{public: true}", "", "{\"200\": {$ref: \"b.yaml#/fine\"}}"),
    good: serving!("{public: true}", "", "{\"200\": {description: fine}}"),
};
