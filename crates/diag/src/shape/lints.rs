//! Lints on values of the closed vocabulary.

use crate::diagnostic::{Level, Lint};

/// A key that is not in the vocabulary.
pub static UNKNOWN_KEY: Lint = Lint {
    code: "GW0101",
    name: "unknown-key",
    level: Level::Error,
    summary: "a key that is not in the vocabulary",
    explain: "gateway.yaml and `x-gateway` have a closed vocabulary: an unknown key would be a rule without effect. \
The message names the nearest known key. Private additions belong in keys that begin with `x-gateway-ext-`.",
    bad: &[("gateway.yaml", "version: 1\nname: s\nupstrems: {}\n")],
    good: &[("gateway.yaml", "version: 1\nname: s\n")],
};

/// A value of a type that the key does not accept.
pub static WRONG_TYPE: Lint = Lint {
    code: "GW0102",
    name: "wrong-type",
    level: Level::Error,
    summary: "a value of the wrong type",
    explain: "The key is known, but its value is of another type: a list where a map belongs, a \
string where a number belongs. The message says what is expected there.",
    bad: &[("gateway.yaml", "version: 1\nname: [s]\n")],
    good: &[("gateway.yaml", "version: 1\nname: s\n")],
};

/// A missing required key.
pub static MISSING_KEY: Lint = Lint {
    code: "GW0103",
    name: "missing-key",
    level: Level::Error,
    summary: "a required key is missing",
    explain: "The key is needed, and no default would suit every project.",
    bad: &[("gateway.yaml", "version: 1\n")],
    good: &[("gateway.yaml", "version: 1\nname: s\n")],
};

/// A value of the right type that the key does not accept.
pub static BAD_VALUE: Lint = Lint {
    code: "GW0104",
    name: "bad-value",
    level: Level::Error,
    summary: "a value that the key does not allow",
    explain: "The value has the right type but the key does not allow it: an unknown word, a \
number out of range, a malformed address. The message says which values are allowed.",
    bad: &[("gateway.yaml", "version: 2\nname: s\n")],
    good: &[("gateway.yaml", "version: 1\nname: s\n")],
};

/// A number without the required unit.
pub static UNIT_MISSING: Lint = Lint {
    code: "GW0105",
    name: "unit-missing",
    level: Level::Error,
    summary: "a bare number where a unit is needed",
    explain: "Durations, rates and sizes must have a unit: `250ms`, `10/s`, `1MiB`. A bare `30` \
could mean seconds or milliseconds, so it is an error. The message names the units.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\ndefaults: {timeout: 30}\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\ndefaults: {timeout: 30s}\n",
    )],
};

/// Part of the vocabulary that this version cannot run.
pub static NOT_AVAILABLE: Lint = Lint {
    code: "GW0106",
    name: "not-available",
    level: Level::Warn,
    summary: "part of the vocabulary that this version cannot run yet",
    explain: "The key, kind or value is part of the vocabulary and valid, but this version of gwc \
and gwd cannot run it yet. It is never ignored: `gwc lint` checks its value and warns, `gwc \
build`, `gwc plan` and every other command that needs a runnable gateway fail there with an error. \
No level, `allow` or baseline changes that. Remove it, or use a version that has it.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\npolicies: {p: {kind: cache, ttl: 5s}}\n",
    )],
    good: &[("gateway.yaml", "version: 1\nname: s\n")],
};

/// A key without a value.
pub static EMPTY_KEY: Lint = Lint {
    code: "GW0107",
    name: "empty-key",
    level: Level::Warn,
    summary: "a key without a value",
    explain: "A key with nothing after its colon looks as if it were set, but has no effect. The \
finding is an error for keys that restrict who may call or what a release may change: `not_after`, \
`until`, `gates`, `required`, `allow_public`, `security`. Write a value, `null` if the built-in \
default is meant, or remove the key.",
    bad: &[("gateway.yaml", "version: 1\nname: s\ngates:\n")],
    good: &[("gateway.yaml", "version: 1\nname: s\n")],
};
