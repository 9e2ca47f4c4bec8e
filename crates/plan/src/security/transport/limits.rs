//! Comparison of the limits of listeners.

use bundle::ir;
use policy::declared::Scalar;

use super::Found;
use crate::Class;

/// Limit of a listener: its key in `limits`, the id of its changes, and its value.
type Limit = (
    &'static str,
    &'static str,
    fn(&ir::ListenerLimits) -> Scalar,
);

/// Limits whose greater value admits more.
static UPPER_LIMITS: [Limit; 8] = [
    ("connections", "listener-connections-changed", |one| {
        count(one.connections)
    }),
    ("header_bytes", "listener-header-bytes-changed", |one| {
        Scalar::Size(one.header_bytes)
    }),
    ("headers", "listener-headers-changed", |one| {
        count(one.headers)
    }),
    ("header_timeout", "listener-header-timeout-changed", |one| {
        Scalar::Duration(one.header_timeout_ms)
    }),
    ("idle_timeout", "listener-idle-timeout-changed", |one| {
        Scalar::Duration(one.idle_timeout_ms)
    }),
    ("target_bytes", "listener-target-bytes-changed", |one| {
        Scalar::Size(one.target_bytes)
    }),
    ("body_timeout", "listener-body-timeout-changed", |one| {
        Scalar::Duration(one.body_timeout_ms)
    }),
    (
        "stream_idle_timeout",
        "listener-stream-idle-timeout-changed",
        |one| Scalar::Duration(one.stream_idle_timeout_ms),
    ),
];

/// Limit whose smaller value admits more.
static MIN_RATE: Limit = ("min_rate", "listener-min-rate-changed", |one| {
    Scalar::Size(one.min_rate_bytes)
});

fn count(number: u64) -> Scalar {
    Scalar::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Limits of a listener that admit more than those of another listener.
pub(super) fn looser(known: &ir::Listener, is: &ir::Listener) -> Vec<Found> {
    let upper = UPPER_LIMITS.iter().map(|limit| (limit, true));
    let all = upper.chain([(&MIN_RATE, false)]);
    let looser = all.filter_map(|(limit, is_upper)| {
        let (key, id, value) = *limit;
        let (before, after) = (value(&known.limits), value(&is.limits));
        let is_looser = match is_upper {
            true => after > before,
            false => after < before,
        };
        is_looser.then(|| Found {
            subject: format!("listener {} limits.{key}", is.name),
            class: Class::Relax,
            id,
            old: Some(before.to_string()),
            new: Some(after.to_string()),
        })
    });
    looser.collect()
}
