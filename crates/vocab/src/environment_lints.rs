//! Rules about environments: GW045x.

use diag::{Level, Lint};

/// Lints in the order of their codes.
pub const LINTS: &[&Lint] = &[
    &UNKNOWN_ENVIRONMENT,
    &MISPLACED_PATCH,
    &PATCH_REMOVES_NOTHING,
    &UNKNOWN_VARIABLE,
    &VARIABLE_WITHOUT_VALUE,
    &UNUSED_VARIABLE,
    &VARIABLE_INSIDE_TEXT,
];

const API: (&str, &str) = (
    "api.yaml",
    "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths:\n  /a:\n    get:\n      operationId: a\n\
\x20     responses: {'200': {description: ok}}\n",
);

/// Sample project: gateway.yaml with a timeout that uses a variable, environments, and a patch.
macro_rules! project {
    ($apis:literal, $timeout:literal, $environments:literal, $patch:literal) => {
        &[
            (
                "gateway.yaml",
                concat!(
                    "version: 1\nname: shop\napis: {api: {path: api.yaml",
                    $apis,
                    "}}\nupstreams: {api: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n\
defaults: {upstream: api, security: upstream, timeout: ",
                    $timeout,
                    "}\nenvironments: ",
                    $environments,
                    "\n"
                ),
            ),
            API,
            ("prod.yaml", $patch),
        ]
    };
}

/// A name that is not the name of an environment.
pub static UNKNOWN_ENVIRONMENT: Lint = Lint {
    code: "GW0450",
    name: "unknown-environment",
    level: Level::Error,
    summary: "an API that names an environment which does not exist",
    explain: "`apis.NAME.environments` lists the environments that have the API. A name that is not under `environments` \
would leave the API out everywhere.",
    bad: project!(
        ", environments: [prd]",
        "2s",
        "{prod: {patch: prod.yaml}}",
        "defaults: {timeout: 3s}\n"
    ),
    good: project!(
        ", environments: [prod]",
        "2s",
        "{prod: {patch: prod.yaml}}",
        "defaults: {timeout: 3s}\n"
    ),
};

/// A patch that cannot be a merge patch of gateway.yaml.
pub static MISPLACED_PATCH: Lint = Lint {
    code: "GW0451",
    name: "misplaced-patch",
    level: Level::Error,
    summary: "an environment's patch that is not a map, or changes a key that must be the same \
everywhere",
    explain: "A patch is a JSON Merge Patch (RFC 7396) of gateway.yaml: a map with what differs, under the same keys. It \
cannot change `version`, `name` or `environments`: the project and its environments are the same everywhere.",
    bad: project!("", "2s", "{prod: {patch: prod.yaml}}", "name: other\n"),
    good: project!(
        "",
        "2s",
        "{prod: {patch: prod.yaml}}",
        "defaults: {timeout: 3s}\n"
    ),
};

/// A patch that removes a key that gateway.yaml does not have.
pub static PATCH_REMOVES_NOTHING: Lint = Lint {
    code: "GW0452",
    name: "patch-removes-nothing",
    level: Level::Warn,
    summary: "an environment's patch that removes an absent key",
    explain: "In a JSON Merge Patch `null` removes a key. If the key is absent, the line has no \
effect. Most often the key was renamed in gateway.yaml, and the patch no longer removes it.",
    bad: project!(
        "",
        "2s",
        "{prod: {patch: prod.yaml}}",
        "defaults: {timeuot: null}\n"
    ),
    good: project!(
        "",
        "2s",
        "{prod: {patch: prod.yaml}}",
        "defaults: {timeout: null}\n"
    ),
};

/// A variable to which no environment gives a value.
pub static UNKNOWN_VARIABLE: Lint = Lint {
    code: "GW0453",
    name: "unknown-variable",
    level: Level::Error,
    summary: "a variable that no environment gives a value",
    explain: "`${var:NAME}` stands for a value that differs between environments; each environment \
sets it under `environments.ENVIRONMENT.vars`. For secrets there is `${env:NAME}` and \
`${file:PATH}`, which gwd resolves.",
    bad: project!("", "\"${var:LIMT}\"", "{prod: {vars: {LIMIT: 3s}}}", "{}\n"),
    good: project!(
        "",
        "\"${var:LIMIT}\"",
        "{prod: {vars: {LIMIT: 3s}}}",
        "{}\n"
    ),
};

/// A variable to which some environments give no value.
pub static VARIABLE_WITHOUT_VALUE: Lint = Lint {
    code: "GW0454",
    name: "variable-without-value",
    level: Level::Error,
    summary: "an environment that gives a variable no value",
    explain: "A variable that is used must have a value in every environment. There is no default: \
with one, an environment whose value was forgotten would be built with a value that is meant for \
another environment.",
    bad: project!(
        "",
        "\"${var:LIMIT}\"",
        "{prod: {vars: {LIMIT: 3s}}, test: {vars: {}}}",
        "{}\n"
    ),
    good: project!(
        "",
        "\"${var:LIMIT}\"",
        "{prod: {vars: {LIMIT: 3s}}, test: {vars: {LIMIT: 9s}}}",
        "{}\n"
    ),
};

/// A variable that is never used.
pub static UNUSED_VARIABLE: Lint = Lint {
    code: "GW0455",
    name: "unused-variable",
    level: Level::Warn,
    summary: "a variable that is never used",
    explain: "The value has no effect: a `${var:NAME}` was removed, or its name is misspelt in `vars`.",
    bad: project!("", "2s", "{prod: {vars: {LIMIT: 3s}}}", "{}\n"),
    good: project!(
        "",
        "\"${var:LIMIT}\"",
        "{prod: {vars: {LIMIT: 3s}}}",
        "{}\n"
    ),
};

/// A variable inside a longer string or in a key.
pub static VARIABLE_INSIDE_TEXT: Lint = Lint {
    code: "GW0456",
    name: "variable-inside-text",
    level: Level::Error,
    summary: "a variable that is only a part of a string, or a key",
    explain: "A variable must be a whole value: then its field determines its type, and a reader \
of gateway.yaml sees what may differ. Let the variable be the whole URL or path.",
    bad: project!(
        "",
        "\"${var:LIMIT}s\"",
        "{prod: {vars: {LIMIT: \"3\"}}}",
        "{}\n"
    ),
    good: project!(
        "",
        "\"${var:LIMIT}\"",
        "{prod: {vars: {LIMIT: 3s}}}",
        "{}\n"
    ),
};
