//! Shares of an upstream's `limits.requests` that unfinished and slow uploads may hold.
//!
//! A streamed upload holds its permit from the start of the call. Clients that send their bodies
//! slowly could hold all permits at no cost. An upload is slow once it has kept the gateway
//! waiting for [`SLOW_MS`](crate::pace::SLOW_MS) that its bytes have not earned back. Slow
//! uploads may hold half of the permits; the other half is left to other requests. Once half of
//! that share is used, one address may hold only few of it.
//!
//! An upload is slow after a second at the earliest. A client that begins many uploads and sends
//! nothing more would therefore hold all permits for that time, again and again. For this reason an
//! upload counts as unfinished from the start of the call until its last byte is passed on or the
//! upstream responds. While unfinished uploads hold half of the permits, one address may begin only
//! few. Further uploads of that address are received before the call (`head_start`): a complete
//! body is no upload any more, and for those with enough bytes the address gets half as many
//! permits again.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::budget::{Addresses, OfAddress, SLOW_PER_ADDRESS};
use crate::upstream::shared::{self, State};

/// Share of slow uploads, for one upstream and one client.
pub(super) struct SlowShare<'a> {
    pub(super) state: &'a Arc<State>,
    /// `limits.requests` of the upstream.
    pub(super) requests_max: u64,
    pub(super) addresses: &'a Arc<Addresses>,
    pub(super) client: IpAddr,
}

/// Rules for unfinished uploads to one upstream from one client.
pub(super) struct UploadShare<'a> {
    pub(super) state: &'a Arc<State>,
    /// `limits.requests` of the upstream.
    pub(super) requests_max: u64,
    pub(super) addresses: &'a Arc<Addresses>,
    pub(super) client: IpAddr,
}

/// Unfinished upload, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Unfinished {
    state: Arc<State>,
    of_address: Option<OfAddress>,
}

/// The upload of a request, through all its tries; empty once it is finished.
#[derive(Clone, Debug, Default)]
pub(crate) struct UploadCount(Rc<RefCell<Option<Unfinished>>>);

/// Permit of a slow upload to continue.
#[derive(Debug)]
pub(crate) struct SlowPermit {
    state: Arc<State>,
    _of_address: Option<OfAddress>,
}

impl UploadShare<'_> {
    /// Counts an unfinished upload; none if such uploads hold half of the permits and the address
    /// has reached its own limit since then.
    pub(super) fn begin(&self) -> Option<UploadCount> {
        self.begin_within(self.most())
    }

    /// Counts an unfinished upload that has delivered its first bytes, with a limit half as large
    /// again.
    pub(super) fn begin_delivering(&self) -> Option<UploadCount> {
        self.begin_within(self.most() + self.most() / 2)
    }

    /// Maximum unfinished uploads of one address that begin once half of the permits is held.
    fn most(&self) -> u32 {
        let quarter = u32::try_from(self.requests_max / 4).unwrap_or(u32::MAX);
        quarter.clamp(1, SLOW_PER_ADDRESS)
    }

    fn begin_within(&self, most: u32) -> Option<UploadCount> {
        let half = (self.requests_max / 2).max(1);
        let before = self.state.unfinished.0.fetch_add(1, Ordering::Relaxed);
        // Created first: dropping it undoes the increment.
        let mut unfinished = Unfinished {
            state: Arc::clone(self.state),
            of_address: None,
        };
        if before >= half {
            unfinished.of_address = Some(self.addresses.take_below(self.client, most)?);
        }
        Some(UploadCount(Rc::new(RefCell::new(Some(unfinished)))))
    }
}

impl UploadCount {
    /// Ends counting: the last byte was passed on, or the upstream has responded.
    pub(crate) fn finished(&self) {
        drop(self.0.take());
    }

    /// Marks the upload as slow: from now on only the share of slow uploads limits its address.
    pub(crate) fn is_slow(&self) {
        if let Some(unfinished) = &mut *self.0.borrow_mut() {
            unfinished.of_address = None;
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.state.unfinished.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SlowShare<'_> {
    /// Permit for one more slow upload; none if the share is used up.
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
    use crate::budget::UPLOADS_PER_ADDRESS;

    #[test]
    fn unfinished_uploads_of_an_address_leave_a_part() {
        let state = Arc::new(State::new("u"));
        let addresses = Addresses::of(UPLOADS_PER_ADDRESS);
        let begin = |client: u8, requests_max| {
            let share = UploadShare {
                state: &state,
                requests_max,
                addresses: &addresses,
                client: IpAddr::from([10, 0, 0, client]),
            };
            share.begin()
        };
        let mut first: Vec<_> = (0..99).filter_map(|_| begin(1, 16)).collect();
        assert_eq!(first.len(), 12, "half and a quarter");
        let second: Vec<_> = (0..99).filter_map(|_| begin(2, 16)).collect();
        assert_eq!(second.len(), 4, "another address has its quarter");
        second.iter().for_each(UploadCount::finished);
        assert!(begin(1, 16).is_none());
        first[11].is_slow();
        assert!(begin(1, 16).is_some(), "a slow one has another share");
        first.truncate(7);
        let again: Vec<_> = (0..99).filter_map(|_| begin(1, 16)).collect();
        assert_eq!(again.len(), 5, "there is room again");
        let share = UploadShare {
            state: &state,
            requests_max: 16,
            addresses: &addresses,
            client: IpAddr::from([10, 0, 0, 1]),
        };
        let delivering: Vec<_> = (0..99).filter_map(|_| share.begin_delivering()).collect();
        assert_eq!(delivering.len(), 2, "half of its quarter");
        drop((first, second, again, delivering));
        assert_eq!(state.unfinished.0.load(Ordering::Relaxed), 0);
        let many: Vec<_> = (0..9_999).filter_map(|_| begin(1, 1_024)).collect();
        assert_eq!(many.len(), 512 + 64);
        drop(many);
        assert!(begin(1, 1).is_some(), "at least one");
    }

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
