//! Stores in which the gateways of a fleet record used credentials, so that the fleet accepts each
//! credential once.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::store::Store;

/// Maximum difference between the clocks of two gateways, in seconds. A credential is recorded for
/// this time longer than it is valid: a gateway whose clock is behind accepts it for longer.
const SKEW_S: u64 = 60;

/// Table of used credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Proofs of possession (DPoP).
    Proofs,
    /// Nonces of request signatures.
    Nonces,
}

/// Request to a store to record a used credential, unless the store has a record of it already.
#[derive(Clone, Debug)]
pub struct FirstUse {
    /// The store.
    pub store: Arc<Store>,
    /// Table of the credential.
    pub table: Table,
    /// Hash of the credential.
    pub hash: [u8; 16],
    /// Time for which the store keeps the record, in milliseconds.
    pub lasts_ms: u64,
}

/// Stores in which the verifiers of this process record used credentials, or recorded them before
/// a change of the verifiers.
#[derive(Debug, Default)]
pub struct UsedStores {
    /// Replaced as a whole, so that requests read it without a lock.
    stores: ArcSwap<Vec<UsedStore>>,
}

/// Store with records of one table.
#[derive(Clone, Debug)]
struct UsedStore {
    table: Table,
    store: Arc<Store>,
    /// Time from which all recorded credentials are too old (Unix time, seconds). `u64::MAX` while a
    /// verifier names the store.
    ends_s: u64,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 2] = [Self::Proofs, Self::Nonces];

    /// Part of the keys in a store.
    const fn label(self) -> &'static str {
        match self {
            Self::Proofs => "proof",
            Self::Nonces => "nonce",
        }
    }
}

impl FirstUse {
    /// Creates a request at `unix_s` for a credential that is too old from `ends_s` on (both Unix
    /// time, seconds).
    #[must_use]
    pub fn new(
        store: &Arc<Store>,
        (table, hash): (Table, [u8; 16]),
        (unix_s, ends_s): (u64, u64),
    ) -> Self {
        let lasts_s = ends_s.saturating_sub(unix_s).saturating_add(SKEW_S);
        Self {
            store: Arc::clone(store),
            table,
            hash,
            lasts_ms: lasts_s.saturating_mul(1_000),
        }
    }

    /// Key of the record in the store: `PREFIX:{proof:HASH}` or `PREFIX:{nonce:HASH}`. The braces
    /// are a hash tag of Redis Cluster.
    #[must_use]
    pub fn name(&self) -> String {
        let hash = u128::from_be_bytes(self.hash);
        format!(
            "{}:{{{}:{hash:032x}}}",
            self.store.prefix,
            self.table.label()
        )
    }
}

impl UsedStores {
    /// Replaces the stores that verifiers name, at `unix_s` (Unix time, seconds). A store that was
    /// named before stays known until its records are too old: for `longest_s` of its table, in
    /// seconds.
    pub(crate) fn set(
        &self,
        named: &[(Table, Arc<Store>)],
        unix_s: u64,
        longest_s: impl Fn(Table) -> u64,
    ) {
        let is_named = |known: &UsedStore| {
            let mut named = named.iter();
            named.any(|(table, store)| *table == known.table && store.is_same(&known.store))
        };
        let before = self.stores.load();
        let former = before.iter().filter(|known| !is_named(known));
        let former = former.map(|known| UsedStore {
            ends_s: known.ends_s.min(unix_s + longest_s(known.table)),
            ..known.clone()
        });
        let former = former.filter(|known| unix_s < known.ends_s);
        let mut stores: Vec<UsedStore> = Vec::new();
        for (table, store) in named {
            let known = |one: &UsedStore| one.table == *table && one.store.is_same(store);
            if !stores.iter().any(known) {
                stores.push(UsedStore {
                    table: *table,
                    store: Arc::clone(store),
                    ends_s: u64::MAX,
                });
            }
        }
        stores.extend(former);
        if !stores.is_empty() || !before.is_empty() {
            self.stores.store(Arc::new(stores));
        }
    }

    /// Stores that verifiers name for a table.
    #[must_use]
    pub fn named(&self, table: Table) -> Vec<Arc<Store>> {
        self.of(table, |ends_s| ends_s == u64::MAX)
    }

    /// Stores that verifiers named before, with records of a table that may still be valid at
    /// `unix_s` (Unix time, seconds). No allocation if there are none.
    #[must_use]
    pub fn former(&self, table: Table, unix_s: u64) -> Vec<Arc<Store>> {
        self.of(table, |ends_s| ends_s != u64::MAX && unix_s < ends_s)
    }

    fn of(&self, table: Table, fits: impl Fn(u64) -> bool) -> Vec<Arc<Store>> {
        let stores = self.stores.load();
        let fitting = stores
            .iter()
            .filter(|known| known.table == table && fits(known.ends_s));
        fitting.map(|known| Arc::clone(&known.store)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{SecretCell, SecretRef};
    use crate::store::{OnOutage, Topology};

    fn store(prefix: &str) -> Arc<Store> {
        Arc::new(Store {
            name: "shared".into(),
            reference: SecretRef::Env("URL".into()),
            url: SecretCell::new(Vec::new()),
            prefix: prefix.into(),
            on_outage: OnOutage::Closed,
            topology: Topology::Single,
        })
    }

    #[test]
    fn record_outlasts_a_clock_that_is_behind() {
        let one = FirstUse::new(&store("p"), (Table::Proofs, [0x0a; 16]), (1_000, 1_061));
        assert_eq!(one.lasts_ms, 121_000);
        assert_eq!(one.name(), format!("p:{{proof:{}}}", "0a".repeat(16)));
        let late = FirstUse::new(&store("p"), (Table::Nonces, [0; 16]), (2_000, 1_061));
        assert_eq!(late.lasts_ms, 60_000);
    }

    #[test]
    fn former_store_is_known_for_a_window() {
        let stores = UsedStores::default();
        let names = |all: Vec<Arc<Store>>| -> Vec<String> {
            all.iter().map(|one| one.prefix.to_string()).collect()
        };
        let set = |named: &[(Table, Arc<Store>)], unix_s| stores.set(named, unix_s, |_| 91);
        set(
            &[(Table::Proofs, store("a")), (Table::Proofs, store("a"))],
            1_000,
        );
        assert_eq!(names(stores.named(Table::Proofs)), ["a"]);
        assert!(stores.named(Table::Nonces).is_empty());
        set(&[(Table::Proofs, store("b"))], 2_000);
        assert_eq!(names(stores.named(Table::Proofs)), ["b"]);
        assert_eq!(names(stores.former(Table::Proofs, 2_090)), ["a"]);
        assert!(stores.former(Table::Proofs, 2_091).is_empty());
        // A second version without the store does not extend the time.
        set(&[], 2_050);
        assert_eq!(names(stores.former(Table::Proofs, 2_090)), ["b", "a"]);
        assert_eq!(names(stores.former(Table::Proofs, 2_091)), ["b"]);
        // A store that verifiers name again is not a former one.
        set(&[(Table::Proofs, store("a"))], 2_060);
        assert_eq!(names(stores.named(Table::Proofs)), ["a"]);
        assert_eq!(names(stores.former(Table::Proofs, 2_061)), ["b"]);
    }
}
