//! Rules about releases: GW0581 to GW0584.

use diag::{Level, Lint};

/// Lints in the order of their codes.
pub const LINTS: &[&Lint] = &[
    &RELEASE_STEPS,
    &RELEASE_GUARD,
    &RELEASE_FREEZE,
    &LATE_WEBHOOK,
];

/// Sample project with the given steps of a progressive release.
macro_rules! stepped {
    ($steps:literal) => {
        &[(
            "gateway.yaml",
            concat!("version: 1\nname: s\nrelease:\n  steps:", $steps, "\n"),
        )]
    };
}

/// Steps of a progressive release whose shares do not increase.
pub static RELEASE_STEPS: Lint = Lint {
    code: "GW0581",
    name: "release-steps",
    level: Level::Error,
    summary: "steps of a progressive release that do not increase",
    explain: "Each step of `release.steps` releases a bundle to a greater share than the step \
before. The share of a step is its share of the gateways (`nodes`), multiplied by the share of \
their requests (`traffic`); each is 100 % if it is missing. The share of a step is more than 0 % \
and less than 100 %: the step of all gateways and requests is always the last one, and is not \
listed. Steps with `shadow`, which compare decisions and serve no requests, come before all others; \
their shares increase, too. At most 20 steps. `sticky` and `testers` need a step with `shadow`, or \
with a `traffic` of less than 100 %. \
Their `header` is a field that tells clients apart: no field of the connection or message (`host`, \
`content-length`), and neither `cookie` nor a credential (`authorization`).",
    bad: stepped!(" [{nodes: 50%}, {nodes: 5%}]"),
    good: stepped!(" [{nodes: 5%}, {nodes: 50%}]"),
};

/// Guard that has no effect in a progressive release.
pub static RELEASE_GUARD: Lint = Lint {
    code: "GW0582",
    name: "release-guard",
    level: Level::Error,
    summary: "a guard of releases that has no effect",
    explain: "`release.guard` compares errors (`errors`), durations (`p99`) or refusals \
(`refusals`) of the gateways of a step. It needs steps, not only those with `shadow`, at least one of the \
three, increases of more than 0 %, and a time from one second to seven days.",
    bad: stepped!(" [{nodes: 5%}]\n  guard: {requests: 500}"),
    good: stepped!(" [{nodes: 5%}]\n  guard: {errors: 1%, requests: 500}"),
};

/// Freeze window that has no times.
pub static RELEASE_FREEZE: Lint = Lint {
    code: "GW0583",
    name: "release-freeze",
    level: Level::Error,
    summary: "a freeze window whose times are not valid",
    explain: "A window of `release.freeze` is a range of dates (`from: 2026-12-20`, `to: \
2027-01-05`), or repeats: on days of the week (`days`), between two times of day (`from: \"18:00\"`, \
`to: \"24:00\"`), or both. `from` and `to` belong together and have the same kind of time; `to` is \
after `from`, except for times of day, whose window may pass midnight. `days` does not apply to dates.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\nrelease:\n  freeze: [{from: 2027-01-05, to: 2026-12-20, reason: holidays}]\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\nrelease:\n  freeze: [{from: 2026-12-20, to: 2027-01-05, reason: holidays}]\n",
    )],
};

/// Webhook of a guard that cannot reject a release within the time of the guard.
pub static LATE_WEBHOOK: Lint = Lint {
    code: "GW0584",
    name: "late-webhook",
    level: Level::Warn,
    summary: "a webhook of a guard that cannot reject a release within `for`",
    explain: "The gateway sends the requests of `release.guard.webhook` at its `interval`, from the \
beginning of the guard. It returns to the previous version at the last of `failures` failing \
responses in succession. If they take as long as `for` or longer, the webhook rejects no release \
within the time of the guard. The guard then has the result `no-answer`, and the gateway keeps the \
new version until the last failing response.",
    bad: stepped!(
        " [{nodes: 5%}]\n  guard: {for: 10m, webhook: {url: \"https://judge.test/\", interval: 5m, failures: 3}}"
    ),
    good: stepped!(
        " [{nodes: 5%}]\n  guard: {for: 10m, webhook: {url: \"https://judge.test/\", interval: 5m, failures: 2}}"
    ),
};
