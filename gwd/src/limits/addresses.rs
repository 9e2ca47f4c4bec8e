//! Numbers of connections, slow requests or uploads per client address and per network.
//!
//! An IPv6 /64 network counts as one address. An address also counts for its wide networks
//! ([`Networks`]), which have a higher maximum, because one client often has a whole network.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::network::{LEVELS, Network, Networks};

use crate::limits::hashing::KeyedHash;

/// Number of shards of an address table, each with its own lock.
const SHARDS: usize = 64;

/// Level and network. Level 0 is the network of one address; higher levels are wider networks.
type Counted = (usize, Network);

/// Maximum number of connections, or of other counted items, of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Most {
    /// Maximum number for one address; for IPv6, for one /64 network.
    pub(crate) address: u32,
    /// Maximum number for each wide network of the address: an IPv6 /56 or /48, or an IPv4 /24.
    pub(crate) network: u32,
}

/// Number of connections, or of other counted items, per client address and network.
#[derive(Debug)]
pub(crate) struct Addresses {
    most: Most,
    shards: Box<[Mutex<HashMap<Counted, u32>>]>,
    hasher: KeyedHash,
}

/// Counted connection or other item of a client address. Dropping this value ends the count.
/// `None`: not counted.
#[derive(Debug)]
pub(crate) struct OfAddress(Option<(Arc<Addresses>, Networks)>);

// === impl Most ===

impl Most {
    /// Limits for one client: `address` for each address, and twice as much for each wide network.
    pub(crate) const fn of_address(address: u32) -> Self {
        Self {
            address,
            network: address.saturating_mul(2),
        }
    }

    const fn at(self, level: usize) -> u32 {
        match level {
            0 => self.address,
            _ => self.network,
        }
    }

    fn min(self, other: Self) -> Self {
        Self {
            address: self.address.min(other.address),
            network: self.network.min(other.network),
        }
    }
}

// === impl Addresses ===

impl Addresses {
    pub(crate) fn of(most: Most) -> Arc<Self> {
        Arc::new(Self {
            most,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: KeyedHash::default(),
        })
    }

    /// Counts a connection of an address. `None` if the address or one of its networks has reached
    /// its limit.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<OfAddress> {
        self.take_below(address, self.most)
    }

    /// Counts a connection of an address, unless the address or one of its networks has reached the
    /// maximum in `most`; then returns `None`.
    pub(crate) fn take_below(self: &Arc<Self>, address: IpAddr, most: Most) -> Option<OfAddress> {
        let most = most.min(self.most);
        if most.address == u32::MAX {
            return Some(OfAddress(None));
        }
        let networks = Networks::of(address);
        for (level, network) in levels(networks) {
            if !self.add((level, network), most.at(level)) {
                let narrower = levels(networks).take_while(|(other, _)| *other < level);
                narrower.for_each(|counted| self.remove(counted));
                return None;
            }
        }
        Some(OfAddress(Some((Arc::clone(self), networks))))
    }

    /// True if an address or one of its networks has reached the maximum in `most`.
    pub(crate) fn has(&self, address: IpAddr, most: Most) -> bool {
        levels(Networks::of(address)).any(|counted| {
            let shard = self.shard(counted);
            let count = shard.get(&counted);
            count.is_some_and(|count| *count >= most.at(counted.0))
        })
    }

    /// Counts a connection of a network. Returns false if the network already has `max`
    /// connections.
    fn add(&self, counted: Counted, max: u32) -> bool {
        let mut shard = self.shard(counted);
        let count = shard.get(&counted).copied().unwrap_or(0);
        if count >= max {
            return false;
        }
        shard.insert(counted, count + 1);
        true
    }

    fn remove(&self, counted: Counted) {
        let mut shard = self.shard(counted);
        if let Some(count) = shard.get_mut(&counted) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&counted);
            }
        }
    }

    fn shard(&self, counted: Counted) -> MutexGuard<'_, HashMap<Counted, u32>> {
        let shard = self.hasher.hash_one(counted) as usize % SHARDS;
        let lock = self.shards[shard].lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pairs each network of an address with its level. Skips a network that equals the network of the
/// previous level.
fn levels(networks: Networks) -> impl Iterator<Item = Counted> {
    let all = networks.all();
    (0..LEVELS)
        .filter(move |level| *level == 0 || all[*level] != all[*level - 1])
        .map(move |level| (level, all[level]))
}

// === impl OfAddress ===

impl OfAddress {
    /// Returns the value for a connection whose address has no limit. The connection is not
    /// counted.
    pub(crate) const fn unbounded() -> Self {
        Self(None)
    }
}

impl Drop for OfAddress {
    fn drop(&mut self) {
        if let Some((addresses, networks)) = self.0.take() {
            levels(networks).for_each(|counted| addresses.remove(counted));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn address_has_its_share_and_ipv6_counts_by_network() {
        let addresses = Addresses::of(Most::of_address(1));
        let of = |text: &str| addresses.take(address(text));
        let one = of("192.0.2.1");
        assert!(one.is_some() && of("192.0.2.1").is_none());
        assert!(of("::ffff:192.0.2.1").is_none(), "the same address");
        assert!(of("192.0.2.2").is_some());
        drop(one);
        assert!(of("192.0.2.1").is_some());
        let network = of("2001:db8::1");
        assert!(network.is_some() && of("2001:db8::ffff:1").is_none());
        assert!(of("2001:db8:0:1::1").is_some());
    }

    #[test]
    fn wide_network_has_a_maximum_of_its_own() {
        let most = Most {
            address: 2,
            network: 10,
        };
        let addresses = Addresses::of(most);
        let take = |text: String| addresses.take(address(&text));
        let within = |number: u16| format!("2001:db8:1:{number:x}::1");
        for (name, clients) in [
            ("/56", (0..99).map(within).collect::<Vec<_>>()),
            ("/48", (0..99).map(|number| within(number << 8)).collect()),
            (
                "/24",
                (1..99)
                    .map(|number| format!("203.0.113.{number}"))
                    .collect(),
            ),
        ] {
            let permits: Vec<_> = clients.into_iter().filter_map(take).collect();
            assert_eq!(permits.len(), 10, "{name}");
            assert!(take("2001:db8:2::1".to_owned()).is_some(), "{name}");
            assert!(take("192.0.2.1".to_owned()).is_some(), "{name}");
        }
        let private = (1..99).map(|number| format!("10.1.2.{number}"));
        let permits: Vec<_> = private.filter_map(take).collect();
        assert_eq!(permits.len(), 98, "private networks have no maximum");
        drop(permits);
        let counted = addresses
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().len());
        assert_eq!(counted.sum::<usize>(), 0);
    }
}
