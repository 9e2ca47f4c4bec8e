//! Refused requests by groups of client addresses, for the guards of releases.

use std::net::IpAddr;
use std::sync::atomic::AtomicU64;

use super::cells::{add, value};

/// Number of groups of client addresses by which refused requests are counted.
pub(crate) const CLIENT_GROUPS: usize = 64;

/// Requests that the gateway refused by itself for one reason, by the group of the client's
/// address. A guard leaves out the group with the most requests, so that one client cannot end a
/// release.
#[derive(Debug)]
pub(crate) struct RefusalCounts([AtomicU64; CLIENT_GROUPS]);

impl Default for RefusalCounts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl RefusalCounts {
    /// Counts a refused request of a client. Only one thread may call this.
    pub(super) fn add(&self, client: IpAddr) {
        add(&self.0[client_group(client)], 1);
    }

    /// Number of requests of each group of client addresses.
    pub(crate) fn counted(&self) -> [u64; CLIENT_GROUPS] {
        self.0.each_ref().map(value)
    }
}

/// Group of a client address: a hash of the IPv4 address, or of the /64 prefix of an IPv6 address.
fn client_group(client: IpAddr) -> usize {
    let network = match client.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    };
    // Fibonacci hashing: the upper bits of the product depend on all bits of the network.
    let hash = network.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 32) as usize % CLIENT_GROUPS
}
