//! Counters of limits that restart at a release, so that each caller can use the whole limit again.

use policy::Checked;
use policy::declared::{Scalar, Settings, Value};

use crate::Class;

/// Id of a line about restarted counters.
pub(super) const RESTARTED: &str = "policy-restarted";

/// Maximum recovery time of a limit, in milliseconds, up to which a restart of its counter does not
/// count as `relax`. A caller could instead wait for the recovery.
const SHORT_MS: u128 = 60_000;

/// Class of a restart of a policy's counters. A restart of daily or monthly limits admits more
/// requests (`relax`); a restart of a limit that recovers within [`SHORT_MS`] has the class
/// `changed`.
pub(super) fn class(checked: &Checked) -> Class {
    let settings = checked.settings();
    let empty_ms = match checked.kind() {
        "concurrency" => 0,
        "quota" => window_ms(&settings),
        _ => refill_ms(&settings),
    };
    match empty_ms > SHORT_MS {
        true => Class::Relax,
        false => Class::Changed,
    }
}

/// Length of a quota's window, in milliseconds. For a calendar period: [`SHORT_MS`] for `minute`,
/// otherwise the largest number.
fn window_ms(settings: &Settings) -> u128 {
    match (settings.amount(&["window"]), settings.text(&["period"])) {
        (Some(ms), _) => ms.into(),
        (None, Some("minute")) => SHORT_MS,
        (None, _) => u128::MAX,
    }
}

/// Time in which an exhausted rate limit recovers, in milliseconds: the time in which the rate
/// admits `burst` requests or, for a sliding window, the requests of a period.
fn refill_ms(settings: &Settings) -> u128 {
    let Some(Value::One(Scalar::Rate(count, period_ms))) = settings.get(&["limit"]) else {
        return u128::MAX;
    };
    let (count, period_ms) = (u128::from(*count), u128::from(*period_ms));
    let at_once = ["burst", "period_requests"].map(|name| settings.amount(&[name]));
    match at_once.into_iter().flatten().next() {
        Some(burst) => u128::from(burst).saturating_mul(period_ms) / count.max(1),
        None => period_ms,
    }
}
