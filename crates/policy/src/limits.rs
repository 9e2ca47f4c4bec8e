//! Limits that depend on each other.

use diag::{Level, Lint};

/// Default minimum wait before a retry, in milliseconds.
pub const BACKOFF_BASE_MS: u64 = 25;
/// Default maximum wait before a retry, in milliseconds.
pub const BACKOFF_MAX_MS: u64 = 250;

/// Two limits, one of which makes the other ineffective.
pub static CONTRADICTING_LIMITS: Lint = Lint {
    code: "GW0526",
    name: "contradicting-limits",
    level: Level::Warn,
    summary: "two limits, one of which makes the other ineffective",
    explain: "Two limits of the same thing contradict each other: an attempt that may take longer \
than all attempts together, a retry budget that admits no retry beside a number of attempts, a \
condition's list without the condition, a shortest wait above the longest. One of the two can \
never have an effect.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\npolicies: {again: {kind: retry, backoff: {base: 2s, max: 1s}}}\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\npolicies: {again: {kind: retry, backoff: {base: 1s, max: 2s}}}\n",
    )],
};
