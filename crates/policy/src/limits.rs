//! Lint for limits that contradict each other, and default values of limits.

use diag::{Level, Lint};

/// Default base of the exponential backoff of retries, in milliseconds.
pub const BACKOFF_BASE_MS: u64 = 25;
/// Default maximum wait before a retry, in milliseconds.
pub const BACKOFF_MAX_MS: u64 = 250;

/// Lint: one limit makes another limit ineffective.
pub static CONTRADICTING_LIMITS: Lint = Lint {
    code: "GW0526",
    name: "contradicting-limits",
    level: Level::Warn,
    summary: "two limits, one of which makes the other ineffective",
    explain: "Two settings contradict each other, so that one of them never has an effect. \
Examples: the timeout of one attempt is above that of all attempts, or a minimum wait is above the \
maximum. Other examples: a retry budget admits no retry, or `retries` has `statuses` without \
`retriable-status-codes` in `on`.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\npolicies: {again: {kind: retry, backoff: {base: 2s, max: 1s}}}\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\npolicies: {again: {kind: retry, backoff: {base: 1s, max: 2s}}}\n",
    )],
};
