//! Counters that start again: each caller has the whole limit once more.

use policy::Checked;
use policy::declared::{Scalar, Settings, Value};

use crate::Class;

/// Id of a line about counters that start again.
pub(super) const RESTARTED: &str = "policy-restarted";

/// Maximum time in which a counter would have been empty again anyway, in milliseconds. Within it a
/// restart lets no more through than a pause of the caller.
const SHORT_MS: u128 = 60_000;

/// Class of a restart of the counters of a policy. Calls within a day or a month are admitted again
/// (`relax`), those of a short burst have no effect.
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

/// Length of a quota's window. Periods of the calendar are at least a minute, and usually longer.
fn window_ms(settings: &Settings) -> u128 {
    match (settings.amount(&["window"]), settings.text(&["period"])) {
        (Some(ms), _) => ms.into(),
        (None, Some("minute")) => SHORT_MS,
        (None, _) => u128::MAX,
    }
}

/// Time in which a spent rate limit recovers: that of the burst, else the period of the rate.
fn refill_ms(settings: &Settings) -> u128 {
    let Some(Value::One(Scalar::Rate(count, period_ms))) = settings.get(&["limit"]) else {
        return u128::MAX;
    };
    let (count, period_ms) = (u128::from(*count), u128::from(*period_ms));
    match settings.amount(&["burst"]) {
        Some(burst) => u128::from(burst).saturating_mul(period_ms) / count.max(1),
        None => period_ms,
    }
}
