//! The share of an upstream's `limits.requests` that slow uploads may hold.
//!
//! A streamed upload holds its permit from the moment the upstream is asked. Clients that trickle
//! their bodies could hold all permits at no cost. An upload is slow once it has kept the gateway
//! waiting for [`SLOW_MS`](crate::pace::SLOW_MS) that its bytes have not earned back. Slow
//! uploads may hold half of the permits; the other half is left to requests that deliver. Once
//! half of the share is held, one address may hold few of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::budget::{Addresses, OfAddress};
use crate::upstream::shared::{self, State};

/// Rules for slow uploads to one upstream from one client.
pub(super) struct SlowShare<'a> {
    pub(super) state: &'a Arc<State>,
    /// `limits.requests` of the upstream.
    pub(super) requests_max: u64,
    pub(super) addresses: &'a Arc<Addresses>,
    pub(super) client: IpAddr,
}

/// The right of a slow upload to go on.
#[derive(Debug)]
pub(crate) struct SlowPermit {
    state: Arc<State>,
    _of_address: Option<OfAddress>,
}

impl SlowShare<'_> {
    /// One more slow upload; none if the share is used up.
    pub(super) fn take(&self) -> Option<SlowPermit> {
        let share = (self.requests_max / 2).max(1);
        if !shared::take(&self.state.slow.0, share) {
            return None;
        }
        let mut permit = SlowPermit {
            state: Arc::clone(self.state),
            _of_address: None,
        };
        let of_address = self.addresses.take(self.client);
        if of_address.is_none() && self.state.slow.0.load(Ordering::Relaxed) > share / 2 {
            return None;
        }
        permit._of_address = of_address;
        Some(permit)
    }
}

impl Drop for SlowPermit {
    fn drop(&mut self) {
        self.state.slow.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_share_is_half_and_spread_over_addresses() {
        let state = Arc::new(State::new("u"));
        let addresses = Addresses::of(2);
        let take = |client: u8, requests_max| {
            let share = SlowShare {
                state: &state,
                requests_max,
                addresses: &addresses,
                client: IpAddr::from([10, 0, 0, client]),
            };
            share.take()
        };
        let first: Vec<_> = (0..4).filter_map(|_| take(1, 16)).collect();
        assert_eq!(first.len(), 4, "one address may hold half of the share");
        assert!(take(1, 16).is_none());
        let others: Vec<_> = (2..9).filter_map(|client| take(client, 16)).collect();
        assert_eq!(others.len(), 4, "eight in all");
        drop(first);
        assert!(take(1, 16).is_some());
        drop(others);
        assert_eq!(state.slow.0.load(Ordering::Relaxed), 0);
        assert!(take(1, 1).is_some(), "at least one");
    }
}
