//! Networks of a client address, and counts of entries by network.
//!
//! Clients share scarce tables and queues of the gateway. One client often controls a whole
//! network: for IPv6 a /64, a /56 or a /48 (RFC 6177 §2), for IPv4 a /24. A limit on each address
//! therefore does not stop one client from using up a table. [`Networks`] are the networks of an
//! address, from narrow to wide, and [`NetworkCounts`] counts entries by network in constant time
//! and memory.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};

/// Number of networks of an address.
pub const LEVELS: usize = 3;
/// Number of bits of an index of [`Places`].
const INDEX_BITS: u32 = 16;
/// First bit of [`Places`] behind the indices. Level 1 and level 2 each have a bit. The bit is set
/// if the network of the level equals that of the next narrower level.
const SAME_BIT: u32 = LEVELS as u32 * INDEX_BITS;
/// Largest number of counters of each level of [`NetworkCounts`].
const COUNTERS_MAX: usize = 1 << 14;

/// Range of addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

/// Networks of a client address, from narrow to wide. For IPv6 /64, /56 and /48; for IPv4 the
/// address itself, then its /24 for both wider levels. Addresses of private networks (RFC 1918, RFC
/// 4193), loopback and link-local addresses have no wide network: many services of the operator
/// share these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Networks([Network; LEVELS]);

/// Indices of the counters of one address's networks in [`NetworkCounts`], packed into one word.
/// [`Places::NONE`] for an entry that belongs to no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places(u64);

/// Numbers of entries by network. Networks whose hashes select the same counter are counted
/// together. If several levels have the same network, each level counts it with a different hash.
/// The lowest of these counters is the number (count-min sketch, Cormode and Muthukrishnan 2005).
#[derive(Debug)]
pub struct NetworkCounts {
    levels: [Box<[AtomicU32]>; LEVELS],
}

// === impl Network ===

impl Network {
    /// Network that contains an address. `bits` is the length of its prefix, at least 1.
    fn of(address: IpAddr, bits: u32) -> Self {
        let address = match address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << (32 - bits))).into(),
            IpAddr::V6(v6) => {
                Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - bits))).into()
            }
        };
        Self { address, bits }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

// === impl Networks ===

impl Networks {
    /// Networks of an address. An IPv4-mapped IPv6 address counts as IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let (is_own, bits) = match address {
            IpAddr::V4(v4) => (
                v4.is_private() || v4.is_loopback() || v4.is_link_local(),
                [32, 24, 24],
            ),
            IpAddr::V6(v6) => (
                v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
                [64, 56, 48],
            ),
        };
        let bits = if is_own { [bits[0]; LEVELS] } else { bits };
        Self(bits.map(|bits| Network::of(address, bits)))
    }

    /// All networks, from narrow to wide. Networks of several levels may be equal.
    #[must_use]
    pub const fn all(self) -> [Network; LEVELS] {
        self.0
    }

    /// Indices of the networks' counters. `hash` must be keyed with a secret of the process, so
    /// that clients cannot choose counters.
    #[must_use]
    pub fn places(self, hash: impl Fn(&[u8]) -> u64) -> Places {
        let mut word = 0;
        for (level, network) in (0u8..).zip(self.0) {
            let mut bytes = [0; 17];
            bytes[0] = level;
            match network.address {
                IpAddr::V4(v4) => bytes[1..5].copy_from_slice(&v4.octets()),
                IpAddr::V6(v6) => bytes[1..].copy_from_slice(&v6.octets()),
            }
            let index = hash(&bytes) % COUNTERS_MAX as u64;
            word = word << INDEX_BITS | (index + 1);
        }
        for (level, pair) in (0u32..).zip(self.0.windows(2)) {
            word |= u64::from(pair[0] == pair[1]) << (SAME_BIT + level);
        }
        Places(word)
    }
}

// === impl Places ===

impl Places {
    /// Value for an entry that belongs to no network.
    pub const NONE: Self = Self(0);

    /// Integer for a table that stores these indices.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.0
    }

    /// Converts a stored integer to indices. Any integer is valid.
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// Index of the counter of a level (size of the network). `None` for [`Self::NONE`].
    fn index(self, level: usize) -> Option<usize> {
        let shift = (LEVELS - 1 - level) as u32 * INDEX_BITS;
        let index = usize::try_from(self.0 >> shift & 0xFFFF).unwrap_or(0);
        index.checked_sub(1)
    }

    /// True if the network of a level, at least 1, is the network of the level before it.
    const fn is_same(self, level: usize) -> bool {
        self.0 >> (SAME_BIT + level as u32 - 1) & 1 == 1
    }
}

// === impl NetworkCounts ===

impl NetworkCounts {
    /// Creates `counters` counters for each level, at least 1 and at most 16,384.
    #[must_use]
    pub fn new(counters: usize) -> Self {
        let counters = counters.clamp(1, COUNTERS_MAX);
        let level = || (0..counters).map(|_| AtomicU32::new(0)).collect();
        Self {
            levels: std::array::from_fn(|_| level()),
        }
    }

    /// Number of entries of each network, from narrow to wide. 0 for [`Places::NONE`].
    #[must_use]
    pub fn counts(&self, places: Places) -> [u32; LEVELS] {
        let mut counts = std::array::from_fn(|level| {
            let count = self.counter(places, level);
            count.map_or(0, |count| count.load(Ordering::Relaxed))
        });
        for level in (1..LEVELS).filter(|level| places.is_same(*level)) {
            counts[level] = counts[level].min(counts[level - 1]);
        }
        for level in (1..LEVELS).rev().filter(|level| places.is_same(*level)) {
            counts[level - 1] = counts[level];
        }
        counts
    }

    /// Counts an entry in its networks.
    pub fn add(&self, places: Places) {
        self.each(places, |count| {
            count.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Subtracts an entry from the counts of its networks.
    pub fn remove(&self, places: Places) {
        self.each(places, |count| {
            count.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Decides if an entry with a new key may replace an existing entry (the holder), because the
    /// holder's networks have many more entries. `None`: it may not. Otherwise returns the number
    /// of entries in the largest of the holder's networks that do not contain the new key. The
    /// number must exceed `floor`, and be more than about twice the corresponding number of the new
    /// key: the entries in the largest of its networks that do not contain the holder.
    #[must_use]
    pub fn excess(&self, holder: Places, new_key: Places, floor: u32) -> Option<u32> {
        let (mut count, mut own) = (0, 0);
        let (of_holder, of_new_key) = (self.counts(holder), self.counts(new_key));
        for level in 0..LEVELS {
            let counter = self.counter(holder, level)?;
            if !std::ptr::eq(counter, self.counter(new_key, level)?) {
                count = count.max(of_holder[level]);
                own = own.max(of_new_key[level]);
            }
        }
        (count > floor && count / 2 > own).then_some(count)
    }

    fn each(&self, places: Places, change: impl Fn(&AtomicU32)) {
        (0..LEVELS)
            .filter_map(|level| self.counter(places, level))
            .for_each(change);
    }

    fn counter(&self, places: Places, level: usize) -> Option<&AtomicU32> {
        let counters = &self.levels[level];
        places.index(level).map(|at| &counters[at % counters.len()])
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

    use super::*;

    fn networks(address: &str) -> [String; LEVELS] {
        let networks = Networks::of(address.parse().unwrap());
        networks.all().map(|network| network.to_string())
    }

    #[test]
    fn networks_of_an_address_get_wider() {
        for (address, expected) in [
            (
                "2001:db8:1:2fe3:4:5:6:7",
                [
                    "2001:db8:1:2fe3::/64",
                    "2001:db8:1:2f00::/56",
                    "2001:db8:1::/48",
                ],
            ),
            (
                "203.0.113.9",
                ["203.0.113.9/32", "203.0.113.0/24", "203.0.113.0/24"],
            ),
            (
                "::ffff:203.0.113.9",
                ["203.0.113.9/32", "203.0.113.0/24", "203.0.113.0/24"],
            ),
            ("10.1.2.3", ["10.1.2.3/32"; 3]),
            ("127.0.0.2", ["127.0.0.2/32"; 3]),
            ("fd00:1:2:3::4", ["fd00:1:2:3::/64"; 3]),
            ("::1", ["::/64"; 3]),
        ] {
            assert_eq!(networks(address), expected, "{address}");
        }
    }

    #[test]
    fn equal_networks_have_several_counters() {
        // 1 of 8 addresses selects a given counter.
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let places = |address: IpAddr| Networks::of(address).places(|bytes| hasher.hash_one(bytes));
        let counts = NetworkCounts::new(8);
        counts.add(places(IpAddr::from([127, 0, 0, 1])));
        let others = |first: u8| {
            let of = |last: u8| counts.counts(places(IpAddr::from([first, 0, last, 2])));
            (0..=255).map(of).collect::<Vec<_>>()
        };
        // Of these addresses, about 256/8 share a given counter with 127.0.0.1, and 256/8³ all
        // three.
        let loopback = others(127);
        assert!(loopback.iter().all(|[a, b, c]| a == b && b == c));
        assert!(loopback.iter().filter(|counts| counts[0] > 0).count() <= 3);
        let public = others(9);
        assert!(public.iter().all(|[_, b, c]| b == c));
        assert!(public.iter().filter(|counts| counts[0] > 0).count() >= 16);
        assert!(public.iter().filter(|counts| counts[1] > 0).count() <= 12);
    }

    #[test]
    fn only_larger_networks_lose_entries() {
        // Fixed seed: with a random one, networks could share a counter and the test could fail.
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let places = |address: &str| {
            let networks = Networks::of(address.parse().unwrap());
            networks.places(|bytes| hasher.hash_one(bytes))
        };
        let counts = NetworkCounts::new(1_024);
        let of = |number: u16| places(&format!("2001:db8:1:{number:x}::1"));
        (0..256).for_each(|number| counts.add(of(number)));
        let (holder, other) = (of(3), places("2001:db8:2::1"));
        assert_eq!(counts.excess(holder, other, 100), Some(256));
        assert_eq!(counts.excess(holder, other, 256), None, "below the floor");
        assert_eq!(counts.excess(holder, of(9), 100), None, "the same /56");
        let neighbour = places("2001:db8:1:ff00::1");
        assert_eq!(
            counts.excess(holder, neighbour, 100),
            Some(256),
            "another /56"
        );
        assert_eq!(counts.excess(Places::NONE, other, 0), None);
        assert_eq!(counts.excess(holder, Places::NONE, 0), None);
        (0..128).for_each(|_| counts.add(other));
        assert_eq!(counts.excess(holder, other, 100), None, "half as many");
        let flood = places("2001:db8:1:8000::1");
        assert_eq!(counts.excess(other, flood, 1), None, "the /48 is larger");
        (0..256).for_each(|number| counts.remove(of(number)));
        assert_eq!(counts.excess(holder, places("192.0.2.1"), 0), None);
        assert_eq!(counts.counts(other), [128; LEVELS]);
    }
}
