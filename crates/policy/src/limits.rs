//! Limits that say something about each other.

use diag::{Level, Lint};

/// Default of the shortest wait before a retry, in milliseconds.
pub const BACKOFF_BASE_MS: u64 = 25;
/// Default of the longest wait before a retry, in milliseconds.
pub const BACKOFF_MAX_MS: u64 = 250;

/// Limits of which one takes the other's effect away.
pub static CONTRADICTING_LIMITS: Lint = Lint {
    code: "GW0526",
    name: "contradicting-limits",
    level: Level::Warn,
    summary: "limits of which one takes the other's effect away",
    explain: "Two limits about one thing: a try that may take longer than all tries together, a budget that admits no \
try beside a number of attempts, a condition's list without the condition, a shortest wait above the longest. One of \
the two can never have an effect.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\npolicies: {again: {kind: retry, backoff: {base: 2s, max: 1s}}}\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\npolicies: {again: {kind: retry, backoff: {base: 1s, max: 2s}}}\n",
    )],
};
