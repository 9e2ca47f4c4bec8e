//! Requests in progress by client address, counted while most permits of the process are in use.
//!
//! One address must not use up `--requests`, and neither must one wide network (IPv6 /56 or /48,
//! IPv4 /24), which is often one client. A request is counted if it begins while more than half of
//! the permits are in use. The rules apply while more than three quarters of the permits are in
//! use. An address whose counted requests hold at least a quarter of the permits gets no further
//! permit. The same applies to a network whose counted requests hold at least three eighths. Below
//! half, a request costs one comparison.

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use policy::network::{LEVELS, NetworkCounts, Networks, Places};

use crate::limits::budget::Budget;
use crate::limits::hashing::KeyedHash;

/// Number of counters for each width of network (IPv6 /64, /56 and /48; IPv4 address and /24).
/// Addresses whose hashes select the same counter are counted together.
const COUNTERS: usize = 512;
/// Minimum of `--requests` for which the share of each client address is limited.
pub(crate) const SHARED_FROM: u64 = 128;

/// Counters of requests in progress by client address.
#[derive(Debug)]
pub(crate) struct Crowding {
    requests: Arc<Budget>,
    counts: NetworkCounts,
    hashing: KeyedHash,
}

/// Request that an address has in progress, counted until this value is dropped.
#[derive(Debug)]
pub(crate) struct CountedRequest {
    crowding: Arc<Crowding>,
    places: Places,
}

/// Error: the address has used up its share of the permits.
#[derive(Debug)]
pub(crate) struct ShareUsed;

impl Crowding {
    pub(crate) fn of(requests: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            requests: Arc::clone(requests),
            counts: NetworkCounts::new(COUNTERS),
            hashing: KeyedHash::default(),
        })
    }

    /// Counts a request that has a permit. `None` while at most half of the permits are in use: the
    /// request is not counted.
    ///
    /// # Errors
    /// If the address has used up its share while more than three quarters of the permits are in
    /// use.
    pub(crate) fn begin(
        self: &Arc<Self>,
        client: IpAddr,
    ) -> Result<Option<CountedRequest>, ShareUsed> {
        let (used, max) = (self.requests.used(), self.requests.max());
        if used <= max / 2 || max < SHARED_FROM {
            return Ok(None);
        }
        let places = Networks::of(client).places(|bytes| self.hashing.hash_one(bytes));
        let is_crowded = used > max - max / 4;
        if is_crowded && exceeds_share(self.counts.counts(places), max) {
            return Err(ShareUsed);
        }
        self.counts.add(places);
        let counted = CountedRequest {
            crowding: Arc::clone(self),
            places,
        };
        Ok(Some(counted))
    }
}

/// True if an address has a quarter of `max` permits, or one of its networks three eighths.
/// `counts`: permits of the address, then of its networks. The share of a network is larger, so
/// that one address does not use up the share of its neighbours.
pub(crate) fn exceeds_share(counts: [u32; LEVELS], max: u64) -> bool {
    let [address, networks @ ..] = counts.map(u64::from);
    address >= max / 4 || networks.iter().any(|count| *count >= max / 8 * 3)
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        self.crowding.counts.remove(self.places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_network_keeps_three_eighths_once_crowded() {
        let requests = Budget::of(1_000);
        let crowding = Crowding::of(&requests);
        let mut permits = Vec::new();
        for number in 0..=u16::MAX {
            let client = IpAddr::from([0x2001, 0xdb8, 1, number, 0, 0, 0, 1]);
            let Ok(counted) = crowding.begin(client) else {
                break;
            };
            permits.push((requests.take().unwrap(), counted));
        }
        assert_eq!(permits.len(), 501 + 375);
        // With a probability of 1 in 512, a network shares a counter with the flood and is refused.
        // Therefore only one of the eight networks must be admitted.
        let mut others = (1..9).map(|third| IpAddr::from([192, 0, third, 1]));
        assert!(others.any(|other| crowding.begin(other).is_ok()));
    }

    #[test]
    fn address_keeps_a_quarter_once_crowded() {
        let requests = Budget::of(1_000);
        let crowding = Crowding::of(&requests);
        let [one, two] = [1, 2].map(|third| IpAddr::from([192, 0, third, 1]));
        let mut permits = Vec::new();
        while let Ok(counted) = crowding.begin(one) {
            permits.push((requests.take().unwrap(), counted));
        }
        // Half of the permits are used uncounted (501, because the limit is checked before each
        // request), then 250 are counted.
        assert_eq!(permits.len(), 751);
        let counted = permits.iter().filter(|(_, counted)| counted.is_some());
        assert_eq!(counted.count(), 250);
        // With a probability of 1 in 512, two addresses share a counter. Therefore try a second
        // address.
        if crowding.begin(one).is_err() && two != one {
            let other = crowding.begin(two);
            assert!(other.is_ok() || crowding.begin([192, 0, 3, 1].into()).is_ok());
        }
        permits.clear();
        assert!(crowding.begin(one).unwrap().is_none());
    }
}
