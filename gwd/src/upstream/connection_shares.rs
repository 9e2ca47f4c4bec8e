//! Shares of client addresses in the connections to an HTTP/2 upstream.
//!
//! Over HTTP/1.1 each request has a connection, so that a share of the requests is a share of the
//! connections. Over HTTP/2 a client holds a connection in two ways. An exchange can have the
//! connection for itself ([`Sharing::Exclusive`]). Or the client cancels many exchanges on a shared
//! connection, which then is draining. A draining connection stays open for the exchanges in
//! progress, but gets no new ones while the upstream's limit admits an additional connection.
//! Exclusive and draining connections are counted here by client address and network.
//!
//! While the upstream has at least three quarters of its `limits.connections` open:
//! - for any limit, a client whose draining connections have reached its share no longer shares
//!   connections with others ([`ConnectionShares::drains_too_many`]);
//! - a client whose exclusive and draining connections have reached its share gets no further
//!   exclusive exchange, if the limit is at least [`SHARED_FROM`].

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use bundle::ir::shared_connections;
use policy::network::{LEVELS, NetworkCounts, Networks, Places};

use crate::limits::crowding::{SHARED_FROM, ShareUsed, exceeds_share};
use crate::limits::hashing::KeyedHash;

/// Number of counters for each network size (IPv6 /64, /56 and /48; IPv4 address and /24).
/// Addresses whose hashes select the same counter are counted together.
const COUNTERS: usize = 512;

/// Counts of the exclusive connections and of the draining connections of one upstream, by client
/// address and network.
#[derive(Debug)]
pub(crate) struct ConnectionShares {
    exclusive: NetworkCounts,
    draining: NetworkCounts,
    hashing: KeyedHash,
}

/// Reason why a connection is counted for a client.
#[derive(Clone, Copy, Debug)]
enum Holding {
    Exclusive,
    Draining,
}

/// Connection that is counted for a client until this value is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionCharge {
    shares: Arc<ConnectionShares>,
    holding: Holding,
    places: Places,
}

impl ConnectionShares {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            exclusive: NetworkCounts::new(COUNTERS),
            draining: NetworkCounts::new(COUNTERS),
            hashing: KeyedHash::default(),
        })
    }

    fn places(&self, client: IpAddr) -> Places {
        Networks::of(client).places(|bytes| self.hashing.hash_one(bytes))
    }

    fn of(&self, holding: Holding) -> &NetworkCounts {
        match holding {
            Holding::Exclusive => &self.exclusive,
            Holding::Draining => &self.draining,
        }
    }

    /// Counts a draining connection (one with too many cancelled exchanges) for the client that
    /// cancelled the last of these exchanges.
    pub(crate) fn charge_draining(self: &Arc<Self>, client: IpAddr) -> ConnectionCharge {
        ConnectionCharge::new(self, Holding::Draining, client)
    }

    /// Counts an exclusive connection (one exchange at a time) for the client of its exchange.
    /// `open`: number of open connections of the upstream. Returns `None` while `open` is less than
    /// half of `connections_max`, or if `connections_max` is less than [`SHARED_FROM`].
    ///
    /// # Errors
    /// If the client has used up its share, and at least three quarters of `connections_max` are
    /// open.
    pub(crate) fn charge_exclusive(
        self: &Arc<Self>,
        client: IpAddr,
        (open, connections_max): (u64, u64),
    ) -> Result<Option<ConnectionCharge>, ShareUsed> {
        if connections_max < SHARED_FROM || open < connections_max / 2 {
            return Ok(None);
        }
        if open >= shared_connections(connections_max) {
            let places = self.places(client);
            let exclusive = self.exclusive.counts(places);
            let draining = self.draining.counts(places);
            let counts: [u32; LEVELS] =
                std::array::from_fn(|level| exclusive[level].saturating_add(draining[level]));
            if exceeds_share(counts, connections_max) {
                return Err(ShareUsed);
            }
        }
        Ok(Some(ConnectionCharge::new(
            self,
            Holding::Exclusive,
            client,
        )))
    }

    /// True if at least three quarters of `connections_max` are open and the draining connections
    /// of the client have reached its share. The share is a quarter of `connections_max` (at least
    /// one) for the client's address, and three eighths (at least two) for each of its networks.
    pub(crate) fn drains_too_many(
        &self,
        client: IpAddr,
        (open, connections_max): (u64, u64),
    ) -> bool {
        if open < shared_connections(connections_max) {
            return false;
        }
        let [address, networks @ ..] = self.draining.counts(self.places(client)).map(u64::from);
        let of_network = (connections_max.saturating_mul(3) / 8).max(2);
        address >= (connections_max / 4).max(1) || networks.iter().any(|count| *count >= of_network)
    }
}

impl ConnectionCharge {
    fn new(shares: &Arc<ConnectionShares>, holding: Holding, client: IpAddr) -> Self {
        let places = shares.places(client);
        shares.of(holding).add(places);
        Self {
            shares: Arc::clone(shares),
            holding,
            places,
        }
    }
}

impl Drop for ConnectionCharge {
    fn drop(&mut self) {
        self.shares.of(self.holding).remove(self.places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENTS: [[u8; 4]; 2] = [[192, 0, 2, 1], [198, 51, 100, 1]];

    #[test]
    fn clients_have_shares_of_exclusive_connections() {
        let shares = ConnectionShares::new();
        let [one, other] = CLIENTS.map(IpAddr::from);
        assert!(shares.charge_exclusive(one, (63, 128)).unwrap().is_none());
        let mut charges = Vec::new();
        for _ in 0..32 {
            charges.push(shares.charge_exclusive(one, (64, 128)).unwrap().unwrap());
        }
        assert!(
            shares.charge_exclusive(one, (95, 128)).is_ok(),
            "not crowded"
        );
        charges.truncate(20);
        charges.extend((0..12).map(|_| shares.charge_draining(one)));
        assert!(shares.charge_exclusive(one, (96, 128)).is_err());
        assert!(shares.charge_exclusive(other, (96, 128)).is_ok());
        assert!(
            shares.charge_exclusive(one, (96, 127)).is_ok(),
            "small limit"
        );
        charges.pop();
        assert!(shares.charge_exclusive(one, (96, 128)).is_ok());
    }

    #[test]
    fn draining_connections_end_sharing_of_the_client() {
        for (most, draining) in [(1, 1), (2, 1), (4, 1), (8, 2), (128, 32)] {
            let shares = ConnectionShares::new();
            let [one, other] = CLIENTS.map(IpAddr::from);
            let mut charges: Vec<_> = (0..draining).map(|_| shares.charge_draining(one)).collect();
            let crowded = shared_connections(most);
            assert!(!shares.drains_too_many(one, (crowded - 1, most)), "{most}");
            assert!(shares.drains_too_many(one, (crowded, most)), "{most}");
            assert!(!shares.drains_too_many(other, (crowded, most)), "{most}");
            charges.pop();
            assert!(!shares.drains_too_many(one, (crowded, most)), "{most}");
        }
    }
}
