//! Lints on a document's structure (GW030x) and references (GW022x).

use diag::{Level, Lint};

use sources::{v30, v31};

/// Lints in the order of their codes.
pub const LINTS: &[&Lint] = &[
    &UNRESOLVED_REFERENCE,
    &REFERENCE_CYCLE,
    &WRONG_REFERENCE_KIND,
    &IGNORED_SIBLING,
    &UNUSUAL_REFERENCE,
    &UNSUPPORTED_VERSION,
    &UNKNOWN_FIELD,
    &MISSING_FIELD,
    &WRONG_FIELD_TYPE,
    &UNKNOWN_VALUE,
    &UNKNOWN_KEYWORD,
    &MISSPELT_EXTENSION,
    &IGNORED_PATH_ITEM,
    &SEVERAL_BODIES,
    &MISSPELT_KEYWORD,
];

/// A reference without a target.
pub static UNRESOLVED_REFERENCE: Lint = Lint {
    code: "GW0220",
    name: "unresolved-reference",
    level: Level::Error,
    summary: "a reference to something that does not exist",
    explain: "`$ref` names a file (relative to the file that contains it), a place in it \
(`#/components/schemas/Thing`), or both. In the names of keys `/` is written `~1` and `~` is \
written `~0`. The message says which part was not found, and offers the nearest name.",
    bad: v30!(
        "paths:\n  /a:\n    get:\n      responses:\n        '200': {$ref: '#/components/responses/Ok'}\n",
        "components: {responses: {OK: {description: ok}}}\n"
    ),
    good: v30!(
        "paths:\n  /a:\n    get:\n      responses:\n        '200': {$ref: '#/components/responses/OK'}\n",
        "components: {responses: {OK: {description: ok}}}\n"
    ),
};

/// References that form a cycle and never reach a value.
pub static REFERENCE_CYCLE: Lint = Lint {
    code: "GW0221",
    name: "reference-cycle",
    level: Level::Error,
    summary: "references that form a cycle and never reach a value",
    explain: "Each of these references leads to the next one, so none of them has a value. A \
schema that contains itself in one of its properties is fine; a reference that is only a reference \
to itself is not.",
    bad: v30!(
        "paths: {}\n",
        "components:\n  responses:\n    A: {$ref: '#/components/responses/B'}\n    B: {$ref: '#/components/responses/A'}\n"
    ),
    good: v30!(
        "paths: {}\n",
        "components:\n  responses:\n    A: {$ref: '#/components/responses/B'}\n    B: {description: ok}\n"
    ),
};

/// A reference to an object of another type than required.
pub static WRONG_REFERENCE_KIND: Lint = Lint {
    code: "GW0222",
    name: "wrong-reference-kind",
    level: Level::Error,
    summary: "a reference to something of another kind",
    explain: "A parameter can only be a reference to a parameter, a response to a response, and so on. The place that \
the reference leads to is shown beside it.",
    bad: v30!(
        "paths:\n  /a:\n    get:\n      parameters: [{$ref: '#/components/schemas/Id'}]\n      responses: {'200': {description: ok}}\n",
        "components: {schemas: {Id: {type: string}}}\n"
    ),
    good: v30!(
        "paths:\n  /a:\n    get:\n      parameters: [{$ref: '#/components/parameters/Id'}]\n      responses: {'200': {description: ok}}\n",
        "components: {parameters: {Id: {name: id, in: query, schema: {type: string}}}}\n"
    ),
};

/// A field beside `$ref` that is ignored.
pub static IGNORED_SIBLING: Lint = Lint {
    code: "GW0223",
    name: "ignored-sibling",
    level: Level::Warn,
    summary: "a field beside `$ref` that is ignored",
    explain: "Everything beside a reference is ignored: in OpenAPI 3.0 everywhere, from 3.1 on \
except in schemas and path items. What is written there looks as if it had an effect. Wrap the \
reference (`allOf: [{$ref: …}]`) or change what it refers to.",
    bad: v30!(
        "paths: {}\n",
        "components: {schemas: {A: {type: string}, B: {$ref: '#/components/schemas/A', nullable: true}}}\n"
    ),
    good: v30!(
        "paths: {}\n",
        "components: {schemas: {A: {type: string}, B: {allOf: [{$ref: '#/components/schemas/A'}], nullable: true}}}\n"
    ),
};

/// Operations or parameters beside the `$ref` of a path item, which are ignored.
pub static IGNORED_PATH_ITEM: Lint = Lint {
    code: "GW0740",
    name: "ignored-path-item",
    level: Level::Error,
    summary: "operations or parameters beside the `$ref` of a path item",
    explain: "A `$ref` replaces the whole path item. OpenAPI does not define the meaning of fields \
beside it, and tools disagree. Operations there would be lost silently. Write them where the \
reference leads, or write the whole path item here.",
    bad: v30!(
        "paths:\n  /a: {get: {responses: {'200': {description: ok}}}}\n  /b: {$ref: '#/paths/~1a', post: {responses: {'200': {description: ok}}}}\n"
    ),
    good: v30!(
        "paths:\n  /a: {get: {responses: {'200': {description: ok}}}}\n  /b: {post: {responses: {'200': {description: ok}}}}\n"
    ),
};

/// More than one request body of one operation in Swagger 2.0.
pub static SEVERAL_BODIES: Lint = Lint {
    code: "GW0741",
    name: "several-bodies",
    level: Level::Error,
    summary: "more than one description of a request's body in Swagger 2.0",
    explain: "An operation of Swagger 2.0 has one parameter with `in: body`, or parameters with `in: formData`, not both: a request \
has one body. Only one of them would be read.",
    bad: &[(
        "openapi.yaml",
        "swagger: \"2.0\"\ninfo: {title: t, version: \"1\"}\npaths:\n  /a:\n    post:\n      parameters:\n        - {name: a, in: body, schema: {type: object}}\n        - {name: b, in: body, schema: {type: object}}\n      responses: {'200': {description: ok}}\n",
    )],
    good: &[(
        "openapi.yaml",
        "swagger: \"2.0\"\ninfo: {title: t, version: \"1\"}\npaths:\n  /a:\n    post:\n      parameters:\n        - {name: a, in: body, schema: {type: object}}\n      responses: {'200': {description: ok}}\n",
    )],
};

/// A reference where OpenAPI does not allow one.
pub static UNUSUAL_REFERENCE: Lint = Lint {
    code: "GW0224",
    name: "unusual-reference",
    level: Level::Info,
    summary: "a reference in a place where OpenAPI has none",
    explain: "OpenAPI allows references in place of some objects; operations, strings and lists \
are not among them. gwc and many other tools follow such references, but some tools do not. The \
first place is shown, with the number of the others.",
    bad: &[
        (
            "openapi.yaml",
            "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {$ref: a.yaml}}}\n",
        ),
        ("a.yaml", "responses: {'200': {description: ok}}\n"),
    ],
    good: &[
        (
            "openapi.yaml",
            "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths: {/a: {$ref: a.yaml}}\n",
        ),
        ("a.yaml", "get: {responses: {'200': {description: ok}}}\n"),
    ],
};

/// An unsupported version of OpenAPI.
pub static UNSUPPORTED_VERSION: Lint = Lint {
    code: "GW0301",
    name: "unsupported-version",
    level: Level::Error,
    summary: "not an OpenAPI document, or one of an unsupported version",
    explain: "The field `openapi` names the version. Supported are 3.0, 3.1 and 3.2, and Swagger \
2.0 (which has `swagger: \"2.0\"` instead).",
    bad: &[(
        "openapi.yaml",
        "openapi: 2.0.0\ninfo: {title: t, version: \"1\"}\npaths: {}\n",
    )],
    good: v31!("paths: {}\n"),
};

/// A field that OpenAPI does not define for the object.
pub static UNKNOWN_FIELD: Lint = Lint {
    code: "GW0302",
    name: "unknown-field",
    level: Level::Error,
    summary: "a field that OpenAPI does not define here",
    explain: "OpenAPI's objects have fixed fields; additions begin with `x-`. Most tools silently \
ignore a misspelt field, so its setting has no effect. The message names the nearest known field, \
or the version that has it.",
    bad: v30!(
        "paths:\n  /a:\n    get:\n      sumary: typo\n      responses: {'200': {description: ok}}\n"
    ),
    good: v30!(
        "paths:\n  /a:\n    get:\n      summary: fine\n      responses: {'200': {description: ok}}\n"
    ),
};

/// A required field that is missing.
pub static MISSING_FIELD: Lint = Lint {
    code: "GW0303",
    name: "missing-field",
    level: Level::Error,
    summary: "a required field is missing",
    explain: "OpenAPI requires the field; without it the object has no meaning.",
    bad: v30!("paths:\n  /a:\n    get:\n      responses: {'200': {}}\n"),
    good: v30!("paths:\n  /a:\n    get:\n      responses: {'200': {description: ok}}\n"),
};

/// A value whose type differs from the field's type.
pub static WRONG_FIELD_TYPE: Lint = Lint {
    code: "GW0304",
    name: "wrong-field-type",
    level: Level::Error,
    summary: "a value of the wrong type for the field",
    explain: "The field is known, but its value is of another type: a list where a map belongs, a \
number where a string belongs. In YAML a string that looks like a number, `true` or `null` needs \
quotes.",
    bad: v30!(
        "paths:\n  /a:\n    get:\n      tags: pets\n      responses: {'200': {description: ok}}\n"
    ),
    good: v30!(
        "paths:\n  /a:\n    get:\n      tags: [pets]\n      responses: {'200': {description: ok}}\n"
    ),
};

/// A string that is not one of the field's allowed values.
pub static UNKNOWN_VALUE: Lint = Lint {
    code: "GW0305",
    name: "unknown-value",
    level: Level::Error,
    summary: "a value that the field does not allow",
    explain: "The field allows a fixed set of words, which the message lists; letter case counts.",
    bad: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: p, in: body, schema: {type: string}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: p, in: query, schema: {type: string}}}}\n"
    ),
};

/// A schema keyword that OpenAPI 3.0 does not have.
pub static UNKNOWN_KEYWORD: Lint = Lint {
    code: "GW0306",
    name: "unknown-keyword",
    level: Level::Warn,
    summary: "a keyword that schemas of OpenAPI 3.0 do not have",
    explain: "OpenAPI 3.0 has its own dialect of JSON Schema without `const`, `if`, `examples` and others, so such a \
keyword checks nothing. From 3.1 on, schemas are JSON Schema 2020-12 and may have any keyword.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, const: a}}}\n"),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, enum: [a]}}}\n"),
};

/// An extension key that resembles `x-gateway`.
pub static MISSPELT_EXTENSION: Lint = Lint {
    code: "GW0307",
    name: "misspelt-extension",
    level: Level::Error,
    summary: "an extension that looks like `x-gateway` but is not",
    explain: "The gateway's keys in a document are `x-gateway` and `x-gateway-lint`; private additions begin with \
`x-gateway-ext-`. A misspelt key would silently have no effect, and it may be the one that protects an operation.",
    bad: v30!("paths: {}\nx-gateway-limits: {depth: 3}\n"),
    good: v30!("paths: {}\nx-gateway-ext-limits: {depth: 3}\n"),
};

/// A keyword that differs from a known keyword in one or two letters.
pub static MISSPELT_KEYWORD: Lint = Lint {
    code: "GW0311",
    name: "misspelt-keyword",
    level: Level::Warn,
    summary: "a keyword of a schema that looks misspelt",
    explain: "From OpenAPI 3.1 on a schema may have any keyword, and one that is not known checks nothing. A keyword \
that differs from a known one by a letter or two is most likely a typing mistake: `maxLenght`, `ref` or `$reff`. An \
addition of your own begins with `x-`.",
    bad: v31!("paths: {}\ncomponents: {schemas: {A: {type: string, maxLenght: 3}}}\n"),
    good: v31!("paths: {}\ncomponents: {schemas: {A: {type: string, maxLength: 3}}}\n"),
};
