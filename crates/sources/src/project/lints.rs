//! Lints about references to files, and patterns of files: codes GW021x and GW022x.

use diag::{Level, Lint};

use crate::v30;

/// Lints in the order of their codes.
pub const LINTS: &[&Lint] = &[
    &MISSING_FILE,
    &OUTSIDE_PROJECT,
    &REMOTE_FILE,
    &API_NAME_CLASH,
    &GLOB_MATCHES_NOTHING,
    &UNTRACKED_SOURCE,
    &KEY_IN_SOURCE,
];

/// A file that does not exist or cannot be read.
pub static MISSING_FILE: Lint = Lint {
    code: "GW0215",
    name: "missing-file",
    level: Level::Error,
    summary: "a reference to a file that does not exist or cannot be read",
    explain: "The path is taken relative to the file that names it, or, where it begins with `/`, to the project's folder. It must be a regular file that may be read; letter \
case counts.",
    bad: v30!("paths:\n  /a: {$ref: 'paths/a.yaml'}\n"),
    good: &[
        (
            "openapi.yaml",
            "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths:\n  /a: {$ref: 'paths/a.yaml'}\n",
        ),
        (
            "paths/a.yaml",
            "get: {responses: {'200': {description: ok}}}\n",
        ),
    ],
};

/// A file outside the project's folder.
pub static OUTSIDE_PROJECT: Lint = Lint {
    code: "GW0216",
    name: "outside-project",
    level: Level::Error,
    summary: "a reference to a file outside the project's folder",
    explain: "Everything that becomes part of a bundle is inside the project's folder, so that a \
reviewer sees it and a rebuild finds it. `..` beyond the folder and symbolic links that lead out \
of it are refused, also in the folders of a pattern. gwc neither reads nor names anything behind \
such a link. Copy the file into the project.",
    bad: v30!("paths:\n  /a: {$ref: '../a.yaml'}\n"),
    good: v30!("paths:\n  /a: {get: {responses: {'200': {description: ok}}}}\n"),
};

/// A file named by a URL. gwc reads files from disk only.
pub static REMOTE_FILE: Lint = Lint {
    code: "GW0217",
    name: "remote-file",
    level: Level::Error,
    summary: "a reference to something on the network",
    explain: "gwc never uses the network while it reads sources: the content of a URL can change \
after the review. Download the file into the project and refer to it by its path.",
    bad: v30!("paths:\n  /a: {$ref: 'https://example.com/a.yaml'}\n"),
    good: v30!("paths:\n  /a: {get: {responses: {'200': {description: ok}}}}\n"),
};

const DOCUMENT: &str = "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths: {}\n";

/// Two documents with the same API name.
pub static API_NAME_CLASH: Lint = Lint {
    code: "GW0218",
    name: "api-name-clash",
    level: Level::Error,
    summary: "two documents with the same API name",
    explain: "Each document that a pattern of `apis_glob` finds is an API. Its name is that of the \
document (`x-gateway: {api: NAME}`), otherwise that of the file without the last extension. Two \
APIs cannot have one name. Name one of the documents under `apis`, or change the name of one.",
    bad: &[
        (
            "gateway.yaml",
            "version: 1\nname: s\napis_glob: [\"*/api.yaml\"]\n",
        ),
        ("a/api.yaml", DOCUMENT),
        ("b/api.yaml", DOCUMENT),
    ],
    good: &[
        (
            "gateway.yaml",
            "version: 1\nname: s\napis: {b: {path: b/api.yaml}}\napis_glob: [\"*/api.yaml\"]\n",
        ),
        ("a/api.yaml", DOCUMENT),
        ("b/api.yaml", DOCUMENT),
    ],
};

/// A glob pattern that matches no file.
pub static GLOB_MATCHES_NOTHING: Lint = Lint {
    code: "GW0219",
    name: "glob-matches-nothing",
    level: Level::Warn,
    summary: "a pattern of `apis_glob` that no file matches, or that matches something other than a file",
    explain: "The pattern adds no API. Patterns are relative to the project's folder; `*` stays within a folder, `**` does \
not, and hidden files and folders are left out. Patterns find regular files only: a symbolic link, a pipe or a socket \
that matches adds nothing, so an API whose file was replaced by a link disappears. Name such a link under `apis`.",
    bad: &[
        (
            "gateway.yaml",
            "version: 1\nname: s\napis_glob: [\"specs/*.yaml\"]\n",
        ),
        ("apis/a.yaml", DOCUMENT),
    ],
    good: &[
        (
            "gateway.yaml",
            "version: 1\nname: s\napis_glob: [\"apis/*.yaml\"]\n",
        ),
        ("apis/a.yaml", DOCUMENT),
    ],
};

/// A file in the project's folder that must not be used as a source.
pub static UNTRACKED_SOURCE: Lint = Lint {
    code: "GW0225",
    name: "untracked-source",
    level: Level::Error,
    summary: "a reference to a file that is not a source of the project",
    explain: "The folder of a project also contains files that must not be published: private \
keys, tokens, build products. Names in gateway.yaml, in overlays and in documents (`$ref`) can \
therefore refer only to sources. A source ends in `.yaml`, `.yml` or `.json`, and its path has no \
name that begins with `.`. Git tracks it or does not ignore it, and it contains a map or a list. \
With `--base git:REV` the ignore rules of that revision hold as well. Files of submodules and of \
nested repositories are not sources, because a review of this repository does not show their \
changes. A file with key material (PEM, a private JWK) is refused whatever its name. gwc prints \
and keeps nothing of a refused file. For a file that Git does not track, messages contain only \
places (path, line, column), and no text. A file that the command line names is read, whatever its \
name is.",
    bad: &[
        (
            "openapi.yaml",
            "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths:\n  /a: {$ref: '.drafts/a.yaml'}\n",
        ),
        (
            ".drafts/a.yaml",
            "get: {responses: {'200': {description: ok}}}\n",
        ),
    ],
    good: &[
        (
            "openapi.yaml",
            "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths:\n  /a: {$ref: 'drafts/a.yaml'}\n",
        ),
        (
            "drafts/a.yaml",
            "get: {responses: {'200': {description: ok}}}\n",
        ),
    ],
};

/// A private key in a string of a source.
pub static KEY_IN_SOURCE: Lint = Lint {
    code: "GW0226",
    name: "key-in-source",
    level: Level::Warn,
    summary: "a value of a source that contains a private key",
    explain: "A value contains a private key: PEM, its content alone (DER in base64 or hexadecimal \
digits), PGP, age, or a JWK with `d` or `k`. Every reader of the repository has the key, and `gwc \
strip` would publish it. A key that is in use belongs in a secret; an example shows a placeholder. \
An untracked file that holds such a value is refused as a source (`untracked-source`). Messages do \
not show the value. The contracts and the source artifact of a bundle contain its digest instead.",
    bad: v30!(
        "paths:\n  /a:\n    get:\n      responses:\n        '200':\n          description: ok\n          content:\n            text/plain:\n              example: |\n                -----BEGIN PRIVATE KEY-----\n                AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n                -----END PRIVATE KEY-----\n"
    ),
    good: v30!(
        "paths:\n  /a:\n    get:\n      responses:\n        '200':\n          description: ok\n          content:\n            text/plain:\n              example: |\n                -----BEGIN PRIVATE KEY-----\n                ...\n                -----END PRIVATE KEY-----\n"
    ),
};
