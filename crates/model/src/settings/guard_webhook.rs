//! Reader of `release.guard.webhook` of gateway.yaml.

use bundle::rollout::WEBHOOK_INTERVAL_MS;
use bundle::statement::predicate::{OnOutage, Webhook};
use diag::{Diagnostic, NodeRef, Sink, read, written_ms};
use vocab::release_lints::LATE_WEBHOOK;

/// Default of `interval`: 10s.
const INTERVAL_MS: u64 = 10_000;
/// Default of `timeout`: 5s.
const TIMEOUT_MS: u64 = 5_000;

/// Reads the webhook of a guard. `None` if a value has no valid form, which was already reported.
pub(super) fn read(node: NodeRef<'_>) -> Option<Webhook> {
    let time = |key: &str| node.get(key).and_then(|node| read::timeout_ms(node).ok());
    let interval_ms = time("interval").unwrap_or(INTERVAL_MS);
    let failures = node.get("failures");
    let failures = failures.and_then(|node| read::integer(node, 1, 100).ok());
    let text = |key: &str| node.get(key).and_then(|node| node.scalar_text());
    Some(Webhook {
        authorization: text("authorization").map(str::to_owned),
        failures: failures.map_or(1, |count| u32::try_from(count).unwrap_or(1)),
        interval_ms,
        on_outage: match text("on_outage") {
            Some("fail") => OnOutage::Fail,
            _ => OnOutage::Ignore,
        },
        timeout_ms: time("timeout").unwrap_or(TIMEOUT_MS.min(interval_ms)),
        url: text("url")?.to_owned(),
    })
}

/// Problem with the times of a webhook, and what to write instead.
pub(super) fn wrong_time(webhook: &Webhook) -> Option<(&'static str, &'static str)> {
    if !WEBHOOK_INTERVAL_MS.contains(&webhook.interval_ms) {
        return Some((
            "an interval outside of `1s` to `1h`",
            "write a time such as `interval: 10s`",
        ));
    }
    let is_longer = webhook.timeout_ms > webhook.interval_ms;
    is_longer.then_some((
        "a timeout that is longer than the interval",
        "write a shorter `timeout`, or a longer `interval`",
    ))
}

/// Reports a webhook that cannot reject a release within the time of its guard, `for_ms`. The first
/// request is sent at the beginning, and each further one after an interval. `node`: the webhook.
pub(super) fn check_failures(webhook: &Webhook, for_ms: u64, node: NodeRef<'_>, sink: &mut Sink) {
    let Webhook {
        failures,
        interval_ms,
        ..
    } = webhook;
    let least_ms = u64::from(failures.saturating_sub(1)).saturating_mul(*interval_ms);
    if least_ms < for_ms {
        return;
    }
    let wrong = format!(
        "the webhook rejects no release within `for`: {failures} failing responses at an interval \
         of {} take at least {}, and `for` is {}",
        written_ms(*interval_ms),
        written_ms(least_ms),
        written_ms(for_ms),
    );
    let help = format!(
        "write `failures: {}` or less, a shorter `interval`, or a `for` of more than {}",
        for_ms.div_ceil(*interval_ms),
        written_ms(least_ms),
    );
    let span = node.get("failures").unwrap_or(node).span();
    sink.push(Diagnostic::new(&LATE_WEBHOOK, span, wrong).help(help));
}
