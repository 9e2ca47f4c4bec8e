//! Cache of verified tokens, so that the signature of a token is verified only once.
//!
//! Each worker has its own cache, which needs no lock. Only valid tokens are cached, so clients
//! without a valid token cannot fill the cache. A token is cached until it expires, and verified
//! again if the clock goes back. Revocation is checked on each request, outside the cache. Tokens
//! that are signed with a shared secret are not cached: verifying them costs no more than a
//! look-up, and the secret can change.
//!
//! A separate table contains tokens whose signature is wrong, for [`REFUSED_S`]. A flood with one
//! forged token then costs one verification. Tokens that are refused for another reason, such as an
//! unknown key, are not in it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::Identity;

/// Maximum size of a cache, in bytes.
const BYTES_MAX: usize = 8 << 20;

/// Estimated size of an entry without its claims, in bytes.
const ENTRY_BYTES: usize = 512;

/// Time for which a token with a wrong signature is refused without a verification, in seconds.
const REFUSED_S: u64 = 10;

/// Maximum number of tokens in one generation of the table of wrong signatures.
const REFUSED_MAX: usize = 4_096;

/// Identities of valid tokens by the hash of token and verifier, in two generations. When the young
/// generation is full, it replaces the old one. This drops the tokens that were not used since the
/// last replacement.
#[derive(Debug, Default)]
pub struct TokenCache {
    young: RefCell<Generation>,
    old: RefCell<Generation>,
    /// Tokens with a wrong signature, with the time of the verification (Unix time, seconds), in a
    /// young and an old generation.
    refused: RefCell<[BTreeMap<[u8; 32], u64>; 2]>,
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
    /// Identity of a token that is cached and valid at `unix_s` (Unix time, seconds). None for any
    /// other token.
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

    /// Caches the identity of a token of `bytes` bytes. `valid_s` is the time from the verification
    /// until the token is refused or must be verified again (Unix time, seconds).
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

    /// True if the signature of a token was found to be wrong in the last [`REFUSED_S`]. Call this
    /// after [`Self::get`] returned None. If the result is true, the look-up counts as a hit.
    pub(in crate::auth) fn is_refused(&self, key: &[u8; 32], unix_s: u64) -> bool {
        let refused = self.refused.borrow();
        let mut times = refused.iter().filter_map(|table| table.get(key));
        let found = times.any(|at| (*at..*at + REFUSED_S).contains(&unix_s));
        if found {
            self.hits.set(self.hits.get() + 1);
            self.misses.set(self.misses.get().saturating_sub(1));
        }
        found
    }

    /// Records at `unix_s` (Unix time, seconds) that the signature of a token is wrong.
    pub(in crate::auth) fn refuse(&self, key: [u8; 32], unix_s: u64) {
        let mut refused = self.refused.borrow_mut();
        let [young, old] = &mut *refused;
        if young.len() >= REFUSED_MAX {
            *old = std::mem::take(young);
        }
        young.insert(key, unix_s);
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

    /// Returns the numbers of cache hits and misses since the last call, and resets them to 0.
    pub fn take_counts(&self) -> (u64, u64) {
        (self.hits.take(), self.misses.take())
    }

    /// Estimated size of all entries, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.young.borrow().bytes + self.old.borrow().bytes
    }
}
