//! Limits on the part of an upstream's `limits.requests` that slow clients and unfinished uploads
//! may use.
//!
//! A streamed upload needs a permit from the moment it is sent to the upstream. Clients that send
//! their bodies slowly could use up all permits at no cost. The gateway adds up the time for which
//! it waits for the client of an upload. Every 8 KiB received reduces this time by one second. An
//! upload is slow once the time reaches [`SLOW_MS`]. Slow uploads may use half of the permits; the
//! other half remains for other requests. Once slow uploads use half of this share, a client
//! address with [`SLOW_PER_ADDRESS`] slow uploads gets no further slow upload. The same applies to
//! a network of addresses with twice as many.
//!
//! A response keeps its permit until its last byte is sent. Clients that read slowly are therefore
//! counted in the same share, by the same measure: the time for which the gateway has waited for
//! the client. If the share is used up, a slowly read response ends. While requests hold more than
//! three quarters of the permits, an address with its maximum of slow requests gets no further
//! request. Otherwise the address could hold the other half with responses that are not slow yet.
//!
//! An upload becomes slow after one second at the earliest. A client that begins many uploads and
//! then sends nothing could therefore use all permits for that second, again and again. To prevent
//! this, an upload counts as unfinished until its last byte is passed on or the upstream responds.
//! While unfinished uploads use half of the permits, each client address may begin only as many
//! uploads as [`most_of_address`] returns. Further uploads of that address are received before they
//! are sent to the upstream (`head_start`). A body that is complete by then does not count. For
//! bodies of which enough bytes have arrived, the limit of the address is increased by half.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::limits::addresses::{Addresses, Most, OfAddress};
use crate::limits::budget::SLOW_PER_ADDRESS;
use crate::message::pace::SLOW_MS;
use crate::message::upload::UnfinishedUpload;
use crate::upstream::shared::{self, InFlight, State};

/// Limit on slow uploads, for one upstream and one client.
pub(super) struct SlowShare<'a> {
    pub(super) state: &'a Arc<State>,
    /// Maximum number of requests that the upstream receives at the same time.
    pub(super) requests_max: u64,
    pub(super) addresses: &'a Arc<Addresses>,
    pub(super) client: IpAddr,
}

/// Limit on unfinished uploads, for one upstream and one client.
pub(super) struct UploadShare<'a> {
    pub(super) state: &'a Arc<State>,
    /// Maximum number of requests that the upstream receives at the same time.
    pub(super) requests_max: u64,
    pub(super) addresses: &'a Arc<Addresses>,
    pub(super) client: IpAddr,
}

/// Unfinished upload; counted until this value is dropped.
#[derive(Debug)]
pub(crate) struct Unfinished {
    state: Arc<State>,
    of_address: Option<OfAddress>,
}

/// Count of a request as an unfinished upload, shared by all attempts of the request. `None` for a
/// request that is not counted; the inner value is empty once the upload has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct UploadCount(Option<Rc<RefCell<Option<Unfinished>>>>);

/// Permit with which a slow upload may continue.
#[derive(Debug)]
pub(crate) struct SlowPermit {
    state: Arc<State>,
    _of_address: Option<OfAddress>,
}

/// Request whose response the gateway sends to a client.
#[derive(Debug)]
pub(super) struct SlowReader {
    pub(super) state: Arc<State>,
    /// Maximum number of requests that the upstream receives at the same time.
    pub(super) requests_max: u64,
    pub(super) client: IpAddr,
}

/// Count of a client as a slow reader of its response. Empty while no response waits for the
/// client.
#[derive(Debug, Default)]
pub(crate) struct SlowReading {
    reader: RefCell<Option<SlowReader>>,
    permit: RefCell<Option<SlowPermit>>,
    /// Permits of `concurrency` policies that the request holds.
    leases: RefCell<policy::ConcurrencyPermits>,
    is_slow: Cell<bool>,
    /// Deadline of the client, in milliseconds of the clock.
    until_ms: Cell<u64>,
}

/// Maximum number of slow requests, and of unfinished uploads, of one client address at an upstream
/// whose permits are nearly used up. It is a quarter of `limits.requests`, at most
/// [`SLOW_PER_ADDRESS`].
pub(super) fn most_of_address(requests_max: u64) -> u32 {
    let quarter = u32::try_from(requests_max / 4).unwrap_or(u32::MAX);
    quarter.clamp(1, SLOW_PER_ADDRESS)
}

impl SlowReader {
    /// Data for counting the client of a request as a slow reader. `None` for a request of the
    /// gateway itself.
    fn of(in_flight: &InFlight) -> Option<Self> {
        Some(Self {
            state: Arc::clone(&in_flight.state),
            requests_max: in_flight.concurrent,
            client: in_flight.client?,
        })
    }
}

impl SlowReading {
    /// Takes over the permits of `concurrency` policies until [`Self::releases`].
    pub(crate) fn holds(&self, leases: policy::ConcurrencyPermits) {
        leases.become_fast(); // they may still count as slow from the upload
        *self.leases.borrow_mut() = leases;
    }

    /// Sets the deadline of a client that the gateway now waits for.
    pub(crate) fn waits(&self, in_flight: Option<&InFlight>, until_ms: u64) {
        self.until_ms.set(until_ms);
        let mut reader = self.reader.borrow_mut();
        if reader.is_none() {
            *reader = in_flight.and_then(SlowReader::of);
        }
    }

    /// Deadline of the client, in milliseconds of the clock; 0 if the gateway does not wait for the
    /// client.
    pub(crate) fn until_ms(&self) -> u64 {
        self.until_ms.get()
    }

    /// Time at which a slow client must be checked again, in milliseconds of the clock.
    pub(crate) fn next_ms(&self, now_ms: u64) -> u64 {
        let until_ms = self.until_ms();
        match self.leases.borrow().may_be_wanted() {
            true => until_ms.min(now_ms.saturating_add(SLOW_MS)),
            false => until_ms,
        }
    }

    /// True if the client counts as slow and has a permit to continue.
    pub(crate) fn is_slow(&self) -> bool {
        self.is_slow.get()
    }

    /// Counts the client as slow. Returns false if the share of slow clients is used up, or if
    /// another request needs the `concurrency` permit of this request.
    pub(crate) fn begin(&self, addresses: &Arc<Addresses>) -> bool {
        let leases = self.leases.borrow();
        if self.is_slow() {
            return !leases.are_wanted();
        }
        if let Some(reader) = self.reader.borrow().as_ref() {
            let share = SlowShare {
                state: &reader.state,
                requests_max: reader.requests_max,
                addresses,
                client: reader.client,
            };
            let Some(permit) = share.take() else {
                return false;
            };
            *self.permit.borrow_mut() = Some(permit);
        }
        self.is_slow.set(leases.become_slow());
        self.is_slow()
    }

    /// Ends the count, because the client reads fast enough.
    pub(crate) fn mark_fast(&self) {
        self.is_slow.set(false);
        drop(self.permit.take());
        self.leases.borrow().become_fast();
    }

    /// Stops counting the response as slow, because it has ended or waits for its upstream.
    pub(crate) fn ends(&self) {
        // With the deadline 0, the gateway is not waiting for the client, so nothing was counted.
        if self.until_ms.replace(0) == 0 {
            return;
        }
        drop(self.reader.take());
        self.mark_fast();
    }

    /// Releases the permits of `concurrency` policies, because the exchange has ended.
    pub(crate) fn releases(&self) {
        if !self.leases.borrow().is_empty() {
            drop(self.leases.take());
        }
    }
}

impl UploadShare<'_> {
    /// Counts an unfinished upload. `None` if unfinished uploads use half of the permits and the
    /// client address has reached its limit.
    pub(super) fn begin(&self) -> Option<UploadCount> {
        self.begin_within(self.most())
    }

    /// Counts an unfinished upload of which enough bytes have arrived. Its client address may have
    /// one and a half times as many uploads as for [`Self::begin`]. `None`: this limit is reached
    /// as well.
    pub(super) fn begin_delivering(&self) -> Option<UploadCount> {
        self.begin_within(self.most() + self.most() / 2)
    }

    /// Maximum uploads that one client address may begin while unfinished uploads use half of the
    /// permits.
    fn most(&self) -> u32 {
        most_of_address(self.requests_max)
    }

    fn begin_within(&self, most: u32) -> Option<UploadCount> {
        let half = (self.requests_max / 2).max(1);
        let before = self.state.unfinished.0.fetch_add(1, Ordering::Relaxed);
        // Create the value first: dropping it undoes the increment.
        let mut unfinished = Unfinished {
            state: Arc::clone(self.state),
            of_address: None,
        };
        if before >= half {
            unfinished.of_address = Some(
                self.addresses
                    .take_below(self.client, Most::of_address(most))?,
            );
        }
        Some(UploadCount(Some(Rc::new(RefCell::new(Some(unfinished))))))
    }
}

impl UploadCount {
    /// Ends the count, because the last byte was passed on or the upstream has responded.
    pub(crate) fn finished(&self) {
        if let Some(count) = &self.0 {
            count.finished();
        }
    }

    /// Handle with which the request body ends the unfinished-upload count when its last byte is
    /// sent. `None`: the request is not counted.
    pub(super) fn of_upload(&self) -> Option<Rc<dyn UnfinishedUpload>> {
        self.0
            .clone()
            .map(|count| count as Rc<dyn UnfinishedUpload>)
    }

    /// Marks the upload as slow. From now on only [`SlowShare`] limits the uploads of its client
    /// address.
    pub(crate) fn mark_slow(&self) {
        let Some(count) = &self.0 else { return };
        if let Some(unfinished) = &mut *count.borrow_mut() {
            unfinished.of_address = None;
        }
    }
}

impl UnfinishedUpload for RefCell<Option<Unfinished>> {
    fn finished(&self) {
        drop(self.take());
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.state.unfinished.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SlowShare<'_> {
    /// Takes a permit for a slow upload. `None` if the limit is reached.
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
    use crate::limits::budget::UPLOADS_PER_ADDRESS;

    #[test]
    fn unfinished_uploads_of_an_address_leave_a_part() {
        let state = Arc::new(State::new("u"));
        let addresses = Addresses::of(Most::of_address(UPLOADS_PER_ADDRESS));
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
        assert_eq!(first.len(), 12, "half of the permits and a quarter");
        let second: Vec<_> = (0..99).filter_map(|_| begin(2, 16)).collect();
        assert_eq!(second.len(), 4, "another address may use a quarter, too");
        second.iter().for_each(UploadCount::finished);
        assert!(begin(1, 16).is_none());
        first[11].mark_slow();
        assert!(
            begin(1, 16).is_some(),
            "a slow upload no longer counts for its address"
        );
        first.truncate(7);
        let again: Vec<_> = (0..99).filter_map(|_| begin(1, 16)).collect();
        assert_eq!(again.len(), 5, "the address may begin uploads again");
        let share = UploadShare {
            state: &state,
            requests_max: 16,
            addresses: &addresses,
            client: IpAddr::from([10, 0, 0, 1]),
        };
        let delivering: Vec<_> = (0..99).filter_map(|_| share.begin_delivering()).collect();
        assert_eq!(delivering.len(), 2, "the limit is half as large again");
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
        let addresses = Addresses::of(Most::of_address(2));
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
        assert_eq!(first.len(), 4, "one address may use half of the share");
        assert!(take(1, 16).is_none());
        let others: Vec<_> = (2..9).filter_map(|client| take(client, 16)).collect();
        assert_eq!(others.len(), 4, "eight permits in all");
        drop(first);
        assert!(take(1, 16).is_some());
        drop(others);
        assert_eq!(state.slow.0.load(Ordering::Relaxed), 0);
        assert!(take(1, 1).is_some(), "at least one");
    }
}
