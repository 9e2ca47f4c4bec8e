//! Lints on the syntax of files: GW020x.

use diag::{Level, Lint};

use crate::v30;

/// Lints in the order of their codes.
pub const LINTS: &[&Lint] = &[
    &MALFORMED_YAML,
    &MALFORMED_JSON,
    &DUPLICATE_MAP_KEY,
    &NOT_TEXT,
    &TOO_LARGE,
    &SEVERAL_DOCUMENTS,
    &UNKNOWN_ANCHOR,
    &CYCLIC_ALIAS,
    &ALIAS_BOMB,
    &COMPLEX_KEY,
    &BAD_MERGE_KEY,
    &COMMENT_FOR_VALUE,
];

/// Text that is not valid YAML.
pub static MALFORMED_YAML: Lint = Lint {
    code: "GW0201",
    name: "malformed-yaml",
    level: Level::Error,
    summary: "text that is not well-formed YAML",
    explain: "The file breaks a rule of YAML 1.2, so nothing after that place can be read. The \
usual causes are inconsistent indentation, an unquoted string with `: ` or ` #`, and a bracket or \
quote without its end. The finding is at the mistake if it is known, otherwise \
at the place where the parser stopped.",
    bad: v30!("paths:\n  /a:\n    get:\n      tags: [a, b\n      responses: {}\n"),
    good: v30!(
        "paths:\n  /a:\n    get:\n      tags: [a, b]\n      responses: {'200': {description: ok}}\n"
    ),
};

/// Text that is not valid JSON.
pub static MALFORMED_JSON: Lint = Lint {
    code: "GW0202",
    name: "malformed-json",
    level: Level::Error,
    summary: "text that is not well-formed JSON",
    explain: "Files whose name ends in `.json` are read strictly as RFC 8259: double quotes, no \
comments, no trailing commas, no bare words except `true`, `false` and `null`. To write comments, \
give the file a name that ends in `.yaml`.",
    bad: &[(
        "openapi.json",
        "{\"openapi\": \"3.0.3\", \"info\": {\"title\": \"t\", \"version\": \"1\"}, \"paths\": {},}",
    )],
    good: &[(
        "openapi.json",
        "{\"openapi\": \"3.0.3\", \"info\": {\"title\": \"t\", \"version\": \"1\"}, \"paths\": {}}",
    )],
};

/// The same key twice in one map.
pub static DUPLICATE_MAP_KEY: Lint = Lint {
    code: "GW0203",
    name: "duplicate-map-key",
    level: Level::Error,
    summary: "the same key twice in one map",
    explain: "Keys of YAML and JSON maps must be unique. Most readers silently keep the last one, \
so a reviewer could read a value that does not apply. Both places are shown; remove or merge one.",
    bad: v30!("paths:\n  /a: {}\n  /a: {}\n"),
    good: v30!("paths:\n  /a: {}\n  /b: {}\n"),
};

/// A file that is not valid UTF-8.
pub static NOT_TEXT: Lint = Lint {
    code: "GW0204",
    name: "not-text",
    level: Level::Error,
    summary: "bytes that are not UTF-8 text",
    explain: "Sources must be UTF-8 without NUL bytes. The finding shows the first byte that breaks this rule. Files \
in Latin-1 or UTF-16 can be converted with `iconv`.",
    bad: v30!("paths: {}\nx-note: \"a\u{0}b\"\n"),
    good: v30!("paths: {}\nx-note: \"ab\"\n"),
};

/// A file with more bytes, nodes or levels than a limit allows.
pub static TOO_LARGE: Lint = Lint {
    code: "GW0205",
    name: "too-large",
    level: Level::Error,
    summary: "a file or a project beyond a limit",
    explain: "A file may have 64 MiB (`--max-file-size`), 20 million values (`--max-values`) and \
200 levels of lists and maps (`--max-depth`). A run reads at most 100,000 files (`--max-files`). A \
document may have 10 million references (`--max-references`), and its callbacks and webhooks 200,000 \
parameters and responses. Hand-written descriptions stay far \
below; generated ones can be split over several files.",
    bad: v30!(
        "paths: {}\nx-deep: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\
[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\
[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\
]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\
]]]]]]]]]]\n"
    ),
    good: v30!("paths: {}\nx-deep: [[[]]]\n"),
};

/// More than one YAML document in a file.
pub static SEVERAL_DOCUMENTS: Lint = Lint {
    code: "GW0206",
    name: "several-documents",
    level: Level::Error,
    summary: "more than one YAML document in a file",
    explain: "A line `---` begins another document, and gwc reads only one document per file. Put \
each into a file of its own.",
    bad: v30!("paths: {}\n---\nopenapi: 3.0.3\n"),
    good: v30!("paths: {}\n"),
};

/// An alias without an anchor before it.
pub static UNKNOWN_ANCHOR: Lint = Lint {
    code: "GW0207",
    name: "unknown-anchor",
    level: Level::Error,
    summary: "an alias without an anchor",
    explain: "`*name` stands for the value that carries `&name` earlier in the same file. A string \
that merely begins with `*` belongs in quotes.",
    bad: v30!("paths: {}\nx-note: *common\n"),
    good: v30!("x-common: &common 1\npaths: {}\nx-note: *common\n"),
};

/// An alias inside the value that its anchor names.
pub static CYCLIC_ALIAS: Lint = Lint {
    code: "GW0208",
    name: "cyclic-alias",
    level: Level::Error,
    summary: "an alias inside the value it names",
    explain: "The value would contain itself without end. References that may be recursive, such as those between \
schemas, are written with `$ref`.",
    bad: v30!("paths: {}\nx-loop: &loop {inner: *loop}\n"),
    good: v30!("paths: {}\nx-loop: &loop {inner: 1}\nx-again: *loop\n"),
};

/// Aliases that expand beyond the limits.
pub static ALIAS_BOMB: Lint = Lint {
    code: "GW0209",
    name: "alias-bomb",
    level: Level::Error,
    summary: "aliases that expand to too many values",
    explain: "Aliases of aliases double the number of values with every line, so a short file can \
expand beyond all memory. All aliases of a file together may expand to a million values \
(`--max-alias-values`).",
    bad: v30!(
        "paths: {}\n",
        "x-a: &a [1,1,1,1,1,1,1,1,1,1]\n",
        "x-b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n",
        "x-c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n",
        "x-d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n",
        "x-e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
        "x-f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        "x-g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"
    ),
    good: v30!("paths: {}\nx-a: &a [1,1,1]\nx-b: [*a,*a]\n"),
};

/// A list or map used as a key.
pub static COMPLEX_KEY: Lint = Lint {
    code: "GW0210",
    name: "complex-key",
    level: Level::Error,
    summary: "a list or map as a key",
    explain: "YAML allows any value as a key; JSON and OpenAPI allow only strings. A key that \
begins with `[` or `{`, such as a path template without its slash, belongs in quotes.",
    bad: v30!("paths: {}\nx-note: {{id}: 1}\n"),
    good: v30!("paths: {}\nx-note: {\"{id}\": 1}\n"),
};

/// A merge key `<<` whose value is not a map or a list of maps.
pub static BAD_MERGE_KEY: Lint = Lint {
    code: "GW0211",
    name: "bad-merge-key",
    level: Level::Error,
    summary: "a merge key with something that is not a map",
    explain: "`<<: *name` copies keys from another map, or from each map of a list. Keys that the \
map already has are not replaced. To use `<<` as an ordinary key, put it in quotes.",
    bad: v30!("paths: {}\nx-note: {<<: 1}\n"),
    good: v30!("x-common: &common {a: 1}\npaths: {}\nx-note: {<<: *common, b: 2}\n"),
};

/// A comment where a value is expected.
pub static COMMENT_FOR_VALUE: Lint = Lint {
    code: "GW0212",
    name: "comment-for-value",
    level: Level::Warn,
    summary: "a comment in the place of a value",
    explain: "In YAML ` #` begins a comment, so `color: #fff` has no value. Put a string that \
begins with `#` in quotes. If the key has no value on purpose, write a space after the `#` of the \
comment: `# …`.",
    bad: v30!("paths: {}\nx-color: #fff\n"),
    good: v30!("paths: {}\nx-color: \"#fff\"\n"),
};
