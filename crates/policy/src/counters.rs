//! State of a process that versions share: counters of limits, and used credentials.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use crate::auth::{Replays, Windows};
use crate::leases::Leases;
use crate::rate::RateTable;
use crate::store::{FormerStores, Store};
use crate::unique::Unique;
use crate::used::{Table, UsedStores};

/// Counters of limits in a process. Keys that clients can invent have a separate table, so that
/// many such keys cannot evict the counters of consumers.
#[derive(Debug)]
pub struct Limits {
    /// Counters for keys of consumers and routes.
    pub known: RateTable,
    /// Counters for keys that any client can invent: addresses, header values.
    pub anonymous: RateTable,
    /// Counters of quotas, which are saved: the first table is for keys of consumers and routes,
    /// the second for keys that any client can invent.
    pub quotas: [RateTable; 2],
    /// Stores in which limits counted before their counters became local.
    pub former_stores: FormerStores,
    /// Counts of concurrent requests.
    pub leases: Arc<Leases>,
    /// Proofs of possession (DPoP) that clients have used. Each is valid once.
    pub proofs: Replays,
    /// Nonces of request signatures that clients have used. Each is valid once.
    pub nonces: Replays,
    /// Stores in which the fleet records used proofs and nonces.
    pub used_stores: UsedStores,
    /// Logins whose response from the provider has been used. Each is valid once.
    pub logins: Replays,
    /// Sessions that a logout has ended.
    pub ended: Arc<Replays>,
    /// Source of numbers that the process uses only once.
    pub unique: Unique,
}

impl Limits {
    /// Creates counters for about `keys` concurrent keys in each table. `random` returns a random
    /// hash seed.
    #[must_use]
    pub fn new(keys: usize, random: impl Fn() -> RandomState) -> Self {
        let table = || RateTable::new(keys, random());
        // Both tables of quotas have the same seed, so that only one seed needs to be saved.
        let seed = [random().hash_one(0), random().hash_one(1)];
        let quotas = || RateTable::saved(keys, seed);
        Self {
            known: table(),
            anonymous: table(),
            quotas: [quotas(), quotas()],
            former_stores: FormerStores::default(),
            leases: Arc::default(),
            proofs: Replays::default(),
            nonces: Replays::default(),
            used_stores: UsedStores::default(),
            logins: Replays::default(),
            ended: Arc::default(),
            unique: Unique::new(&random),
        }
    }

    /// Counters for decisions without effects, with about `keys` keys in each table. They know the
    /// ended sessions, and share nothing else with these counters.
    #[must_use]
    pub fn for_shadow(&self, keys: usize, random: impl Fn() -> RandomState) -> Self {
        Self {
            ended: Arc::clone(&self.ended),
            ..Self::new(keys, random)
        }
    }

    /// Keeps used proofs and nonces for the windows of a version. Called before the version serves
    /// requests, at `unix_s` (Unix time, seconds).
    pub fn keep_used(&self, windows: Windows, unix_s: u64) {
        self.proofs.keep_for(windows.proofs_ms(), unix_s);
        self.nonces.keep_for(windows.nonces_ms(), unix_s);
    }

    /// Replaces the stores of used credentials by those that the versions in use name. Called after
    /// [`Self::keep_used`].
    pub fn share_used(&self, named: &[(Table, Arc<Store>)], unix_s: u64) {
        let longest_s = |table| self.used(table).longest_s();
        self.used_stores.set(named, unix_s, longest_s);
    }

    /// Table of used credentials.
    #[must_use]
    pub fn used(&self, table: Table) -> &Replays {
        match table {
            Table::Proofs => &self.proofs,
            Table::Nonces => &self.nonces,
        }
    }

    /// Tables of rate limits, or of quotas if `quota` is true. The first table is for keys of
    /// consumers and routes, the second for keys that clients can invent.
    #[must_use]
    pub fn tables(&self, quota: bool) -> [&RateTable; 2] {
        match quota {
            false => [&self.known, &self.anonymous],
            true => self.quotas.each_ref(),
        }
    }

    /// All tables with their names in metrics.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &RateTable); 4] {
        let [known, anonymous] = &self.quotas;
        [
            ("known", &self.known),
            ("anonymous", &self.anonymous),
            ("quota_known", known),
            ("quota_anonymous", anonymous),
        ]
    }
}
