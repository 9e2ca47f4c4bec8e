//! Cache of verified tokens, so that each signature is checked only once.
//!
//! Each worker has its own cache, which needs no lock. Only valid tokens are cached, so that only
//! an issuer's signatures can fill it. A token is cached until it expires, and verified again if
//! the clock goes back. Revocation is checked on each request, outside the cache. Tokens of a
//! shared secret are not cached: verifying them costs no more than a look-up, and the secret can
//! change.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::Identity;

/// Maximum size of a cache, in bytes.
const BYTES_MAX: usize = 8 << 20;

/// Estimated size of an entry without its claims, in bytes.
const ENTRY_BYTES: usize = 512;

/// Valid tokens by the hash of token and verifier, in two generations. When the young one is full,
/// it replaces the old one; tokens that were not used since are dropped.
#[derive(Debug, Default)]
pub struct TokenCache {
    young: RefCell<Generation>,
    old: RefCell<Generation>,
    hits: Cell<u64>,
    misses: Cell<u64>,
}

#[derive(Debug, Default)]
struct Generation {
    entries: BTreeMap<[u8; 32], Entry>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    identity: Arc<Identity>,
    /// Time during which the entry is valid (Unix time, seconds).
    valid_s: Range<u64>,
    bytes: usize,
}

impl TokenCache {
    /// Identity of a cached token that is valid at `unix_s` (Unix time, seconds).
    pub(in crate::auth) fn get(&self, key: &[u8; 32], unix_s: u64) -> Option<Arc<Identity>> {
        let valid = |entry: &&Entry| entry.valid_s.contains(&unix_s);
        let young = self.young.borrow();
        let mut found = young.entries.get(key).filter(valid).cloned();
        drop(young);
        if found.is_none() {
            let older = self.old.borrow_mut().entries.remove(key);
            found = older.filter(|entry| valid(&entry));
            if let Some(entry) = &found {
                self.insert(*key, entry.clone());
            }
        }
        let counter = match found {
            Some(_) => &self.hits,
            None => &self.misses,
        };
        counter.set(counter.get() + 1);
        found.map(|entry| entry.identity)
    }

    /// Caches a token of `bytes` bytes, for the time from its verification until it is refused or
    /// verified again (Unix time, seconds).
    pub(in crate::auth) fn keep(
        &self,
        key: [u8; 32],
        identity: &Arc<Identity>,
        bytes: usize,
        valid_s: Range<u64>,
    ) {
        let entry = Entry {
            identity: Arc::clone(identity),
            valid_s,
            // The claims are stored twice: as strings and as a tree.
            bytes: ENTRY_BYTES + 4 * bytes,
        };
        self.insert(key, entry);
    }

    fn insert(&self, key: [u8; 32], entry: Entry) {
        let mut young = self.young.borrow_mut();
        if young.bytes + entry.bytes > BYTES_MAX / 2 {
            *self.old.borrow_mut() = std::mem::take(&mut young);
        }
        young.bytes += entry.bytes;
        if let Some(before) = young.entries.insert(key, entry) {
            young.bytes -= before.bytes;
        }
    }

    /// Takes the numbers of cache hits and misses since the last call.
    pub fn take_counts(&self) -> (u64, u64) {
        (self.hits.take(), self.misses.take())
    }

    /// Estimated size of all entries, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.young.borrow().bytes + self.old.borrow().bytes
    }
}
