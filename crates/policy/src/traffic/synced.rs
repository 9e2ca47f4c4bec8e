//! `sync: synced`: a gateway takes tokens of a limit from the store in advance, as a lease, and
//! decides from its lease without calling the store.
//!
//! ```yaml
//! policies:
//!   fleet: {kind: rate_limit, limit: 1000/s, key: address, store: shared, sync: synced, lease: 1s}
//! ```
//! The store counts the tokens of a lease as used. A gateway can use them until the lease ends. A
//! request may therefore pass up to one lease length after the store counted it. The limit is
//! exceeded by at most the tokens in the leases of all gateways ([`Tokens::leased_by_fleet`]).

use crate::declared::{Scalar, Settings, Value};
use crate::rate::{Algorithm, Tokens};

/// Default length of a lease in milliseconds: 1s.
pub const LEASE_MS: u64 = 1_000;
/// Divisor: the leases of all gateways together have at most 1/`CALENDAR_SHARE` of a calendar
/// quota.
const CALENDAR_SHARE: u64 = 100;

impl Tokens {
    /// Maximum number of tokens in the leases of all gateways together: the number of requests that
    /// the limit admits during a lease or at once, whichever is smaller. For a calendar quota,
    /// whose leases end with the period: 1 %.
    #[must_use]
    pub fn leased_by_fleet(self, lease_ms: u64) -> u64 {
        match self.algorithm {
            Algorithm::Calendar(_) => self.count / CALENDAR_SHARE,
            Algorithm::Bucket | Algorithm::Window => {
                let period_ms = u128::from(self.period_ms.max(1));
                let during = u128::from(self.count) * u128::from(lease_ms) / period_ms;
                u64::try_from(during).map_or(self.capacity(), |during| during.min(self.capacity()))
            }
        }
    }

    /// Interval at which a gateway without tokens calls the store, in milliseconds. Half of the
    /// time in which the limit admits as many requests as all leases have tokens, but at most
    /// `lease_ms`. The gateway then gets all tokens that are due to it. For a calendar quota:
    /// `lease_ms`.
    #[must_use]
    pub fn lease_pace_ms(self, lease_ms: u64) -> u64 {
        match self.algorithm {
            Algorithm::Calendar(_) => lease_ms,
            Algorithm::Bucket | Algorithm::Window => {
                let due = u128::from(self.leased_by_fleet(lease_ms)) * u128::from(self.period_ms);
                let pace = due / u128::from(self.count.max(1)) / 2;
                u64::try_from(pace).map_or(lease_ms, |pace| pace.min(lease_ms))
            }
        }
    }
}

/// Adds the settings of a limit with leases, and the number of requests that it may admit beyond
/// the limit. `tokens` are the tokens of the limit.
pub(super) fn settings(lease_ms: Option<u64>, tokens: Tokens, settings: Settings) -> Settings {
    let Some(lease_ms) = lease_ms else {
        return settings;
    };
    let beyond = match tokens.algorithm {
        Algorithm::Calendar(_) => 0,
        Algorithm::Bucket | Algorithm::Window => tokens.leased_by_fleet(lease_ms),
    };
    let beyond = i64::try_from(beyond).unwrap_or(i64::MAX);
    let settings = match lease_ms {
        LEASE_MS => settings,
        _ => settings.with(&["lease"], Value::One(Scalar::Duration(lease_ms))),
    };
    settings
        .with(&["sync"], Value::One(Scalar::Text(SYNCED.to_owned())))
        .with(&["over_admission"], Value::One(Scalar::Number(beyond)))
}

/// Tokens of a quota: with a rolling window of this length, or of a calendar quota if `window_ms`
/// is `None`.
pub(super) fn tokens_of_quota(limit: u64, window_ms: Option<u64>) -> Tokens {
    Tokens {
        algorithm: match window_ms {
            Some(_) => Algorithm::Window,
            None => Algorithm::Calendar(0),
        },
        count: limit,
        period_ms: window_ms.unwrap_or(0),
        burst: limit,
    }
}

const SYNCED: &str = "synced";

#[cfg(feature = "author")]
pub(super) mod author {
    //! Keys `sync` and `lease` of limits.

    use diag::shape::{BAD_VALUE, Field, Shape};
    use diag::{Diagnostic, NodeRef, Sink, read};

    use super::{LEASE_MS, SYNCED};

    /// Key `sync`.
    pub(in crate::traffic) const SYNC: Field = Field::optional(
        "sync",
        Shape::Word(&["exact", SYNCED]),
        "Use of the store. `exact`: each request calls it. `synced`: each gateway takes tokens in \
        advance (a lease) and decides from them. Together, the gateways exceed the limit by at \
        most the tokens that it grants in the time of one `lease`. A quota with `period` is never \
        exceeded. Default: `exact`.",
    );

    /// Key `lease`.
    pub(in crate::traffic) const LEASE: Field = Field::optional(
        "lease",
        Shape::Duration,
        "Time after which a gateway returns unused tokens to the store, with `sync: synced`. From 100ms to 1min. Default: 1s.",
    );

    /// Reads the length of the leases of a limit, in milliseconds. `None`: the limit is exact.
    pub(in crate::traffic) fn read(policy: NodeRef<'_>, sink: &mut Sink) -> Option<u64> {
        let given = |key: &str| policy.get(key).filter(|node| !node.is_null());
        let lease = given("lease");
        let sync = given("sync").filter(|sync| sync.scalar_text() == Some(SYNCED));
        let Some(sync) = sync else {
            if let Some(lease) = lease {
                sink.push(
                    Diagnostic::new(&BAD_VALUE, lease.span(), "an exact limit has no `lease`")
                        .help("write `sync: synced`, or remove `lease`"),
                );
            }
            return None;
        };
        let store = given("store").and_then(NodeRef::scalar_text);
        if matches!(store, None | Some("local")) {
            let message = "`sync: synced` has no effect on counters of one gateway";
            sink.push(
                Diagnostic::new(&BAD_VALUE, sync.span(), message)
                    .help("name the fleet's store in `store`, or remove `sync`"),
            );
        }
        let Some(lease) = lease else {
            return Some(LEASE_MS);
        };
        let ms = read::duration_ms(lease).ok()?;
        if !(100..=60_000).contains(&ms) {
            sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    lease.span(),
                    "the lease must be from 100ms to 1min",
                )
                .help("write a lease between `100ms` and `1min`"),
            );
        }
        Some(ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_have_the_tokens_of_their_time() {
        let tokens = |algorithm, count, period_ms, burst| Tokens {
            algorithm,
            count,
            period_ms,
            burst,
        };
        for (tokens, lease_ms, leased, pace_ms) in [
            (tokens(Algorithm::Bucket, 100, 1_000, 100), 1_000, 100, 500),
            (tokens(Algorithm::Bucket, 100, 1_000, 100), 250, 25, 125),
            // A lease has at most as many tokens as the burst.
            (tokens(Algorithm::Bucket, 100, 1_000, 10), 1_000, 10, 50),
            (tokens(Algorithm::Bucket, 5, 3_600_000, 5), 60_000, 0, 0),
            (tokens(Algorithm::Window, 600, 60_000, 600), 1_000, 10, 500),
            (tokens(Algorithm::Window, 600, 500, 600), 1_000, 600, 250),
            (
                tokens(Algorithm::Calendar(9), 5_000, 86_400_000, 5_000),
                1_000,
                50,
                1_000,
            ),
            (tokens(Algorithm::Bucket, u64::MAX, 1, 7), u64::MAX, 7, 0),
        ] {
            assert_eq!(tokens.leased_by_fleet(lease_ms), leased, "{tokens:?}");
            assert_eq!(tokens.lease_pace_ms(lease_ms), pace_ms, "{tokens:?}");
        }
    }
}
