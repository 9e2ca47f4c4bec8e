//! Sunset of properties that are deprecated now. A property of an unstable operation needs no
//! notice.

use bundle::ir;

use super::difference::{Compared, EarlierKeys, api_of, by_check, day, is_unstable};
use crate::{Change, Plan};

/// Ids of the checks about deprecated properties, for requests or for responses.
struct Checks {
    deprecated: &'static str,
    with_sunset: &'static str,
    missing: &'static str,
    invalid: &'static str,
    too_small: &'static str,
}

const REQUEST: Checks = Checks {
    deprecated: "request-property-deprecated",
    with_sunset: "request-property-deprecated-with-sunset",
    missing: "request-property-deprecated-sunset-missing",
    invalid: "request-property-deprecated-sunset-invalid",
    too_small: "request-property-sunset-date-too-small",
};

const RESPONSE: Checks = Checks {
    deprecated: "response-property-deprecated",
    with_sunset: "response-property-deprecated-with-sunset",
    missing: "response-property-deprecated-sunset-missing",
    invalid: "response-property-deprecated-sunset-invalid",
    too_small: "response-property-sunset-date-too-small",
};

/// Replaces the check of newly deprecated properties by the check that applies to their sunset and
/// to the notice period.
pub(super) fn replace(
    cx: &Compared<'_>,
    pairs: &EarlierKeys,
    gateway: &ir::Gateway,
    plan: &mut Plan,
) {
    for checks in [REQUEST, RESPONSE] {
        let ids = [checks.deprecated, checks.with_sunset];
        by_check(plan, gateway, &ids, |change, key| {
            Some(check(cx, pairs, &checks, change, key))
        });
    }
}

/// Id of the check for a property of an operation.
fn check(
    cx: &Compared<'_>,
    pairs: &EarlierKeys,
    checks: &Checks,
    change: &Change,
    key: &str,
) -> &'static str {
    let source = cx.after.operations.get(key);
    let stability = source.and_then(|source| source.lifecycle.stability.as_deref());
    let earlier = pairs.get(key);
    let notice = earlier.map(|earlier| cx.notice_days([earlier, key].map(api_of)));
    let notice = notice.max().flatten().filter(|_| !is_unstable(stability));
    if change.id == checks.deprecated {
        return match notice {
            Some(1..) => checks.missing,
            _ => checks.deprecated,
        };
    }
    match change.new.as_str().and_then(day) {
        None => checks.invalid,
        Some(sunset) if cx.is_short(sunset, notice) => checks.too_small,
        Some(_) => checks.with_sunset,
    }
}
