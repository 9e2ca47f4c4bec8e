//! Ids of keys that fetched key sets did not contain (negative cache).
//!
//! A token with an unknown key id causes a fetch of the key set, because the provider may have
//! added the key. If the fetched set lacks the id, the id must wait before it may cause another
//! fetch, longer each time. A client that repeats one id therefore does not keep the fetches going,
//! and a key that the provider publishes late is still found.

use std::collections::VecDeque;

use sha2::{Digest as _, Sha256};

/// Maximum number of stored ids. A new id replaces the oldest one.
const IDS_MAX: usize = 64;
/// Wait of an id after the first fetch that did not find it: 30s. Doubles with each further fetch.
const WAIT_MIN_S: u64 = 30;
/// Maximum wait of an id: 10 minutes.
const WAIT_MAX_S: u64 = 600;

/// Ids that caused a fetch of one key set.
#[derive(Debug, Default)]
pub(crate) struct UnknownKeys(VecDeque<UnknownKey>);

#[derive(Debug)]
struct UnknownKey {
    /// Hash of the id, so that long ids need no memory.
    id: [u8; 32],
    /// Time at which the id last caused a fetch (Unix time, seconds).
    requested_s: u64,
    /// Number of fetches that did not find the id, except the last one.
    misses: u32,
}

impl UnknownKeys {
    /// True if a token with this key id may cause a fetch. `fetched_s`: time of the last successful
    /// fetch (Unix time, seconds), or `None` before the first. Failed fetches cause no wait.
    pub(crate) fn may_fetch(&mut self, id: &[u8], unix_s: u64, fetched_s: Option<u64>) -> bool {
        let id = Sha256::digest(id).into();
        let Some(known) = self.0.iter_mut().find(|one| one.id == id) else {
            self.0.truncate(IDS_MAX - 1);
            self.0.push_front(UnknownKey {
                id,
                requested_s: unix_s,
                misses: 0,
            });
            return true;
        };
        if fetched_s.is_none_or(|fetched_s| fetched_s < known.requested_s) {
            // The fetch has not ended, or it failed.
            return true;
        }
        let wait_s = (WAIT_MIN_S << known.misses.min(8)).min(WAIT_MAX_S);
        // If the clock was set back before the last fetch, a fetch is allowed as well.
        if (known.requested_s..known.requested_s + wait_s).contains(&unix_s) {
            return false;
        }
        known.misses += 1;
        known.requested_s = unix_s;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_waits_longer_after_each_fetch_without_it() {
        let mut keys = UnknownKeys::default();
        let mut fetched_s = None;
        let mut fetches = Vec::new();
        for unix_s in 1_000..4_000 {
            if keys.may_fetch(b"a", unix_s, fetched_s) {
                fetches.push(unix_s - 1_000);
                fetched_s = Some(unix_s);
            }
        }
        assert_eq!(fetches, [0, 30, 90, 210, 450, 930, 1_530, 2_130, 2_730]);
        assert!(keys.may_fetch(b"b", 4_000, fetched_s), "another id");
        assert!(keys.may_fetch(b"a", 500, fetched_s), "the clock went back");
    }

    #[test]
    fn id_shares_a_running_fetch_and_repeats_a_failed_one() {
        let mut keys = UnknownKeys::default();
        for unix_s in [1_000, 1_001, 1_100] {
            assert!(keys.may_fetch(b"a", unix_s, Some(900)), "{unix_s}");
        }
        assert!(!keys.may_fetch(b"a", 1_001, Some(1_000)));
    }

    #[test]
    fn number_of_ids_is_bounded() {
        let mut keys = UnknownKeys::default();
        for number in 0..1_000_u32 {
            assert!(keys.may_fetch(&number.to_be_bytes(), 1_000, Some(1_000)));
        }
        assert_eq!(keys.0.len(), IDS_MAX);
        assert!(!keys.may_fetch(&999_u32.to_be_bytes(), 1_001, Some(1_000)));
        assert!(keys.may_fetch(&0_u32.to_be_bytes(), 1_001, Some(1_000)));
    }
}
