//! Cache of verified tokens, so that the signature of a token is verified only once.
//!
//! Each worker has its own cache, which needs no lock. Only valid tokens are cached, so clients
//! without a valid token cannot fill the cache. A token is cached until it expires, and verified
//! again if the clock goes back. Revocation is checked on each request, outside the cache. Tokens
//! that are signed with a shared secret are not cached: verifying them costs no more than a
//! look-up, and the secret can change.
//!
//! While most cached tokens are not used again, a new token is cached at its second verification
//! ([`TokenCache::keep_repeated`]). A token that occurs only once then evicts no other token.
//!
//! A caller is identified by issuer and subject, or issuer and client. If one caller has more than
//! a quarter of the newer half of the cache, its new tokens evict only its own tokens
//! ([`Generation::make_room`]).
//!
//! A separate table contains tokens whose signature is wrong, for [`REFUSED_S`]. A flood with one
//! forged token then costs one verification. Tokens that are refused for another reason, such as an
//! unknown key, are not in this table.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Identity;
use crate::generation;

/// Maximum size of a cache, in bytes.
const BYTES_MAX: usize = 8 << 20;

/// Estimated size of an entry without its identity, in bytes: its key, its times and its node in
/// the map.
const ENTRY_BYTES: usize = 128;

/// Divisor for the crowded state, which is determined each time the young generation is full. The
/// cache is crowded if look-ups found few entries while that generation was filled: fewer than
/// 1/`CROWDED_SHARE` of its entries.
const CROWDED_SHARE: usize = 4;

/// Maximum number of verified tokens whose hash is stored while the cache is crowded. Must be far
/// below the number of cached tokens: otherwise tokens that recur in turn count as repeated, and
/// evict each other from the cache.
const VERIFIED_MAX: usize = 1_024;

/// Time for which a token with a wrong signature is refused without a verification, in seconds.
const REFUSED_S: u64 = 10;

/// Maximum number of tokens in one generation of the table of wrong signatures.
const REFUSED_MAX: usize = 4_096;

type Generation = generation::Generation<[u8; 32], Entry>;

/// Identities of valid tokens by the hash of token and verifier, in two generations. When the newer
/// generation is full, it replaces the older one. This removes the tokens that were not used since
/// the last replacement.
#[derive(Debug, Default)]
pub struct TokenCache {
    young: RefCell<Generation>,
    old: RefCell<Generation>,
    /// Tokens with a wrong signature, with the time of the verification (Unix time, seconds), in a
    /// newer and an older generation.
    refused: RefCell<[BTreeMap<[u8; 32], u64>; 2]>,
    hits: Cell<u64>,
    misses: Cell<u64>,
    /// Number of entries found since the young generation was last empty.
    found: Cell<usize>,
    is_crowded: Cell<bool>,
    /// Tokens that were verified last: a part of each token's hash, indexed by another part of the
    /// hash. Empty until the cache is crowded.
    verified: RefCell<Vec<u32>>,
    /// Number of entries and estimated size in bytes at the last report.
    reported: Cell<(usize, usize)>,
    evicted: Cell<u64>,
}

/// Changes of a cache since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Added entries minus removed ones.
    pub entries: i64,
    /// Growth of the estimated size, in bytes.
    pub bytes: i64,
    /// Number of entries that were removed to make room.
    pub evicted: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    identity: Arc<Identity>,
    /// Time during which the entry is valid (Unix time, seconds).
    valid_s: Range<u64>,
}

impl TokenCache {
    /// Identity of a token that is cached and valid at `unix_s` (Unix time, seconds). `None` for
    /// any other token.
    pub(in crate::auth) fn get(&self, key: &[u8; 32], unix_s: u64) -> Option<Arc<Identity>> {
        let valid = |entry: &&Entry| entry.valid_s.contains(&unix_s);
        let young = self.young.borrow();
        let mut found = young.get(key).filter(valid).cloned();
        drop(young);
        if found.is_none() {
            found = self.find_old(key, unix_s);
        }
        let counter = match found {
            Some(_) => &self.hits,
            None => &self.misses,
        };
        self.found
            .set(self.found.get() + usize::from(found.is_some()));
        counter.set(counter.get() + 1);
        found.map(|entry| entry.identity)
    }

    /// Caches an identity of `bytes` bytes. `valid_s` is the time from the verification
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
        };
        let size = (ENTRY_BYTES + bytes, caller(identity));
        self.insert(key, entry, size);
    }

    /// Caches an identity like [`Self::keep`]. If the cache is crowded and has no room, caches only
    /// a token that is among the last [`VERIFIED_MAX`] verified tokens.
    pub(in crate::auth) fn keep_repeated(
        &self,
        key: [u8; 32],
        identity: &Arc<Identity>,
        bytes: usize,
        valid_s: Range<u64>,
    ) {
        let is_free = |generation: &RefCell<Generation>| {
            generation.borrow().bytes() + ENTRY_BYTES + bytes <= BYTES_MAX / 2
        };
        if !self.is_crowded.get() || is_free(&self.young) || self.record_verified(&key) {
            self.keep(key, identity, bytes, valid_s);
        } else if is_free(&self.old) {
            let size = (ENTRY_BYTES + bytes, caller(identity));
            let entry = Entry {
                identity: Arc::clone(identity),
                valid_s,
            };
            self.old.borrow_mut().insert(key, entry, size);
        }
    }

    /// Finds an entry of the older generation that is valid at `unix_s` (Unix time, seconds). Moves
    /// the entry to the newer generation, unless the cache is crowded and the newer generation is
    /// full. The moved entry would then evict entries that are used as often.
    fn find_old(&self, key: &[u8; 32], unix_s: u64) -> Option<Entry> {
        let mut old = self.old.borrow_mut();
        let (entry, size) = (old.get(key)?.clone(), old.size_of(key)?);
        let is_valid = entry.valid_s.contains(&unix_s);
        let is_full = self.young.borrow().bytes() + size.0 > BYTES_MAX / 2;
        if is_valid && is_full && self.is_crowded.get() {
            return Some(entry);
        }
        old.remove(key);
        drop(old);
        if is_valid {
            self.insert(*key, entry.clone(), size);
        }
        is_valid.then_some(entry)
    }

    /// True if a token was among the last verified ones. Records the token as verified in any case.
    fn record_verified(&self, key: &[u8; 32]) -> bool {
        let part = |at: usize| {
            let bytes = key[at..at + 4].try_into().expect("four bytes");
            u32::from_le_bytes(bytes)
        };
        let (slot, token) = (part(0) as usize % VERIFIED_MAX, part(4));
        let mut verified = self.verified.borrow_mut();
        verified.resize(VERIFIED_MAX, 0);
        std::mem::replace(&mut verified[slot], token) == token
    }

    /// True if the signature of a token was found to be wrong in the last [`REFUSED_S`]. Call this
    /// after [`Self::get`] returned `None`. If the result is true, the look-up counts as a hit.
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

    /// Adds an entry with its size in bytes and its caller.
    fn insert(&self, key: [u8; 32], entry: Entry, size: (usize, u64)) {
        let mut young = self.young.borrow_mut();
        if young.bytes() + size.0 > BYTES_MAX / 2 {
            let found = self.found.take();
            self.is_crowded.set(found < young.len() / CROWDED_SHARE);
            let removed = young.make_room(&mut self.old.borrow_mut(), BYTES_MAX / 2);
            self.evicted.set(self.evicted.get() + removed as u64);
        }
        young.insert(key, entry, size);
    }

    /// Returns the numbers of cache hits and misses since the last call, and resets them to 0.
    pub fn take_counts(&self) -> (u64, u64) {
        (self.hits.take(), self.misses.take())
    }

    /// Changes of the cache since the last call.
    pub fn take_growth(&self) -> Growth {
        let (young, old) = (self.young.borrow(), self.old.borrow());
        let entries = young.len() + old.len();
        let size = (entries, young.bytes() + old.bytes());
        let before = self.reported.replace(size);
        Growth {
            entries: size.0 as i64 - before.0 as i64,
            bytes: size.1 as i64 - before.1 as i64,
            evicted: self.evicted.take(),
        }
    }

    /// Estimated size of all entries, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.young.borrow().bytes() + self.old.borrow().bytes()
    }
}

/// Number that identifies the caller of a token: a hash of issuer and subject, or of issuer and
/// client. Tokens without subject and client share the number of their issuer.
fn caller(identity: &Identity) -> u64 {
    let own = identity.key.as_deref();
    let hash = Sha256::digest(own.unwrap_or(identity.issuer.as_bytes()));
    let first = hash.first_chunk().expect("a hash has 32 bytes");
    u64::from_le_bytes(*first)
}
