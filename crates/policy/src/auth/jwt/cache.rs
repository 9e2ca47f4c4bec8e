//! Tokens that were verified before, so that a signature is computed once for each of them.
//!
//! A cache belongs to one worker: it needs no lock. Only valid tokens are kept, so that nobody fills it
//! without an issuer's signature; a token is kept until it ends, and is verified again if the clock
//! goes back. Revocation is judged for each request, not here. Tokens of a shared secret are not
//! kept: checking them costs what looking them up does, and the secret can change.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Identity;

/// Most bytes of a cache.
const BYTES_MAX: usize = 8 << 20;

/// Bytes of an entry beside its claims: key, times, the identity's own fields.
const ENTRY_BYTES: usize = 512;

/// Valid tokens by the hash of token and verifier. Two generations: when the younger is full it
/// becomes the older, and what was not asked for since is forgotten.
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
    verified_s: u64,
    bytes: usize,
}

impl TokenCache {
    /// The identity of a token that is valid at a time in seconds since 1970.
    pub(super) fn get(&self, key: &[u8; 32], unix_s: u64) -> Option<Arc<Identity>> {
        let valid = |entry: &&Entry| (entry.verified_s..entry.identity.ends_s).contains(&unix_s);
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

    /// Keeps a token of some bytes that was verified at a time.
    pub(super) fn keep(&self, key: [u8; 32], identity: &Arc<Identity>, bytes: usize, unix_s: u64) {
        let entry = Entry {
            identity: Arc::clone(identity),
            verified_s: unix_s,
            // Claims are kept as text and as a tree.
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

    /// Takes the numbers of tokens that were found and not found since the last call.
    pub fn take_counts(&self) -> (u64, u64) {
        (self.hits.take(), self.misses.take())
    }

    /// Bytes of all entries, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.young.borrow().bytes + self.old.borrow().bytes
    }
}
