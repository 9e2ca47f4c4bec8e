//! Rule about the conditions of operations: GW0614.

use diag::{Level, Lint};

/// Lints in the order of their codes.
pub const LINTS: &[&Lint] = &[&LOOKALIKE_CONDITIONS];

/// Sample project: two operations of one path. The argument is the parameter that selects the
/// second operation.
macro_rules! selected_by {
    ($name:literal) => {
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
                    "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n\
\x20 /a#one: {get: {x-gateway: {match: {query: {user_id: {exact: \"1\"}}}}, responses: {\"200\": {description: fine}}}}\n\
\x20 /a#two: {get: {x-gateway: {match: {query: {",
                    $name,
                    ": {exact: \"2\"}}}}, responses: {\"200\": {description: fine}}}}\n"
                ),
            ),
        ]
    };
}

/// Two spellings of one parameter in the conditions of one path.
pub static LOOKALIKE_CONDITIONS: Lint = Lint {
    code: "GW0614",
    name: "lookalike-conditions",
    level: Level::Error,
    summary: "conditions of one path on two spellings of a query parameter",
    explain: "Some servers read `USER_ID`, `user.id`, `user_id[]` and `user_id[0]` as the parameter \
`user_id`. If an operation has a condition on it, gwd refuses requests with another spelling \
(`condition_ambiguous`), because the upstream could select another operation. Two conditions of one \
path on two spellings therefore refuse each other's requests. Use one spelling at a path, with \
different values, or give one operation another path.",
    bad: selected_by!("user.id"),
    good: selected_by!("user_id"),
};
