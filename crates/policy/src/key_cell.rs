//! Key sets that gwd fetches at run time, kept outside snapshots (release.md §7).
//!
//! Each source of keys has one cell, which all versions of the configuration share. All verifiers
//! with the source therefore have the same keys, a key rotation reaches all of them, and a rollback
//! does not restore old keys. gwd performs the fetches. The cell decides when a fetch is due and
//! keeps the last valid set. A function of the verifier ([`Read`]) decides if a set is valid.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::unknown_keys::UnknownKeys;

/// Time after a fetch during which an unknown key id causes no other fetch: 30s.
const COOL_DOWN_S: u64 = 30;
/// Time after a fetch during which there is no other fetch, while the cell has no keys, or only
/// keys that are too old: 2s.
const EMPTY_COOL_DOWN_S: u64 = 2;
/// Minimum time after which a set is fetched again, in seconds: 5 minutes.
const FRESH_MIN_S: u64 = 300;
/// Maximum time after which a set is fetched again, in seconds: 24 hours.
const FRESH_MAX_S: u64 = 86_400;
/// Time after which a set is fetched again if the response has no cache time, in seconds: 10
/// minutes.
const FRESH_S: u64 = 600;
/// Time between the first failed fetch and the next fetch, in seconds. Doubles with each failure.
/// Random jitter shortens the time by less than half.
const RETRY_MIN_S: u64 = 10;
/// Maximum time between a failed fetch and the next one, in seconds.
const RETRY_MAX_S: u64 = 300;

/// Source of keys that gwd fetches.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Remote {
    /// URL of the key set.
    Set(String),
    /// Issuer whose metadata contains the URL of the key set (RFC 8414, OpenID Connect Discovery
    /// 1.0).
    Issuer(String),
    /// Issuer whose metadata contains the endpoints of a login (OpenID Connect Discovery 1.0 §3).
    /// The cell stores the metadata itself.
    Provider(String),
}

/// Parsed keys, in a type that is private to their verifier, and the number of keys.
pub type Keys = (Arc<dyn Any + Send + Sync>, usize);

/// Function that parses a key set. Its error is the reason why the set is not usable.
pub type Read = fn(&[u8]) -> Result<Keys, &'static str>;

/// Keys of a source, and the state of their fetches.
pub struct KeyCell {
    source: Remote,
    read: Read,
    set: ArcSwapOption<KeySet>,
    /// Time at which the last fetch ended (Unix time, seconds); 0 before the first.
    fetched_s: AtomicU64,
    /// Time from which the set must be fetched again (Unix time, seconds).
    due_s: AtomicU64,
    fetches: AtomicU64,
    failures: AtomicU64,
    state: Mutex<State>,
}

/// Fetched key set.
pub struct KeySet {
    /// Keys in the type of the function that parsed them.
    pub keys: Arc<dyn Any + Send + Sync>,
    /// Number of keys.
    pub count: usize,
    /// Hash of the fetched bytes.
    pub generation: [u8; 32],
    /// Time of the fetch (Unix time, seconds).
    pub fetched_s: u64,
}

#[derive(Default)]
struct State {
    /// Fetched bytes that are not yet written to the state folder.
    unsaved: Option<Bytes>,
    /// Number of failed fetches since the last successful one.
    failed_fetches: u32,
    failure: Option<String>,
    unknown: UnknownKeys,
}

/// State of a key cell, for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReport {
    /// Number of keys.
    pub keys: usize,
    /// Time of the last successful fetch (Unix time, seconds). `None` if there are no keys.
    pub fetched_s: Option<u64>,
    /// Number of successful fetches.
    pub fetches: u64,
    /// Number of failed fetches.
    pub failures: u64,
    /// Reason of the last failed fetch. `None` if a later fetch was successful.
    pub failure: Option<String>,
}

impl Remote {
    /// URL of the key set, or URL of the issuer.
    #[must_use]
    pub fn url(&self) -> &str {
        match self {
            Self::Set(url) | Self::Issuer(url) | Self::Provider(url) => url,
        }
    }
}

impl KeyCell {
    /// Creates a cell without keys.
    #[must_use]
    pub fn new(source: Remote, read: Read) -> Arc<Self> {
        Arc::new(Self {
            source,
            read,
            set: ArcSwapOption::empty(),
            fetched_s: AtomicU64::new(0),
            due_s: AtomicU64::new(0),
            fetches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    /// Source of the keys.
    #[must_use]
    pub fn source(&self) -> &Remote {
        &self.source
    }

    /// Current key set. `None` before the first successful fetch.
    #[must_use]
    pub fn set(&self) -> Option<Arc<KeySet>> {
        self.set.load_full()
    }

    /// True if a request may cause a fetch now.
    #[must_use]
    pub fn may_fetch(&self, unix_s: u64) -> bool {
        match self.set.load().is_some() {
            true => self.is_cooled_down(COOL_DOWN_S, unix_s),
            false => self.may_replace(unix_s),
        }
    }

    /// True if a request may cause a fetch now, because there are no keys, or because the keys are
    /// too old for its verifier.
    #[must_use]
    pub fn may_replace(&self, unix_s: u64) -> bool {
        self.is_cooled_down(EMPTY_COOL_DOWN_S, unix_s)
    }

    fn is_cooled_down(&self, pause_s: u64, unix_s: u64) -> bool {
        let fetched_s = self.fetched_s.load(Ordering::Acquire);
        // If the clock was set back before the last fetch, a fetch is allowed as well.
        fetched_s == 0 || unix_s >= fetched_s + pause_s || unix_s < fetched_s
    }

    /// True if a token whose key id the set lacks may cause a fetch now. `id`: parameter `kid` of
    /// the token, or empty. An id that earlier fetches did not find must wait longer than others.
    #[must_use]
    pub fn may_fetch_key(&self, id: &[u8], unix_s: u64) -> bool {
        let fetched_s = self.set.load().as_ref().map(|set| set.fetched_s);
        self.may_fetch(unix_s) && self.state().unknown.may_fetch(id, unix_s, fetched_s)
    }

    /// True if a background fetch is due. The fetch is then not due again for 30s, unless it ends
    /// earlier and sets another time.
    #[must_use]
    pub fn take_due(&self, unix_s: u64) -> bool {
        let is_due = self.is_due(unix_s);
        if is_due {
            self.due_s.store(unix_s + COOL_DOWN_S, Ordering::Release);
        }
        is_due
    }

    /// True if a background fetch is due.
    #[must_use]
    pub fn is_due(&self, unix_s: u64) -> bool {
        unix_s >= self.due_s.load(Ordering::Acquire)
    }

    /// Stores a set that was just fetched. `fresh_s` is the time in seconds for which the
    /// provider's response may be cached; `jitter` is a random number. Returns true if the previous
    /// fetch failed.
    ///
    /// # Errors
    /// The reason why the set is not usable. The cell is unchanged.
    pub fn fetched(
        &self,
        set: &Bytes,
        unix_s: u64,
        fresh_s: Option<u64>,
        jitter: u64,
    ) -> Result<bool, &'static str> {
        self.take(set, unix_s)?;
        let fresh_s = fresh_s.unwrap_or(FRESH_S).clamp(FRESH_MIN_S, FRESH_MAX_S);
        let early_s = jitter % (fresh_s / 10);
        self.due_s
            .store(unix_s + fresh_s - early_s, Ordering::Release);
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.unsaved = Some(set.clone());
        state.failed_fetches = 0;
        let recovered = state.failure.take().is_some();
        drop(state);
        self.fetched_s.store(unix_s, Ordering::Release);
        Ok(recovered)
    }

    /// Stores a set that an earlier process fetched and saved. A new fetch is due soon.
    ///
    /// # Errors
    /// The reason why the set is not usable.
    pub fn restored(&self, set: &Bytes, fetched_s: u64) -> Result<(), &'static str> {
        self.take(set, fetched_s)
    }

    /// Records a failed fetch. Returns true if it is the first failure in a row, or if its reason
    /// differs from that of the previous failure.
    pub fn failed(&self, why: &str, unix_s: u64, jitter: u64) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        let wait_s = (RETRY_MIN_S << state.failed_fetches.min(8)).min(RETRY_MAX_S);
        let wait_s = wait_s - jitter % (wait_s / 2);
        self.due_s.store(unix_s + wait_s, Ordering::Release);
        state.failed_fetches = state.failed_fetches.saturating_add(1);
        let is_news = state.failure.as_deref() != Some(why);
        state.failure = Some(why.to_owned());
        drop(state);
        self.fetched_s.store(unix_s, Ordering::Release);
        is_news
    }

    /// Returns the fetched bytes that are not yet written to the state folder, with the time of the
    /// fetch. `None` if an earlier call returned them.
    #[must_use]
    pub fn take_unsaved(&self) -> Option<(Bytes, u64)> {
        let unsaved = self.state().unsaved.take()?;
        Some((unsaved, self.set()?.fetched_s))
    }

    /// State of the cell, for status and metrics.
    #[must_use]
    pub fn report(&self) -> KeyReport {
        let set = self.set();
        KeyReport {
            keys: set.as_ref().map_or(0, |set| set.count),
            fetched_s: set.map(|set| set.fetched_s),
            fetches: self.fetches.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            failure: self.state().failure.clone(),
        }
    }

    fn take(&self, set: &Bytes, fetched_s: u64) -> Result<(), &'static str> {
        let (keys, count) = (self.read)(set)?;
        self.set.store(Some(Arc::new(KeySet {
            keys,
            count,
            generation: Sha256::digest(set).into(),
            fetched_s,
        })));
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCell")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &[u8] = b"one";

    fn cell() -> Arc<KeyCell> {
        KeyCell::new(
            Remote::Set("https://idp.example/keys".to_owned()),
            |set| match set {
                b"one" => Ok((Arc::new(()), 1)),
                _ => Err("it has no key"),
            },
        )
    }

    #[test]
    fn set_is_fetched_after_five_minutes_to_a_day() {
        for (max_age, first, last) in [
            (None, 541, 600),
            (Some(0), 271, 300),
            (Some(1_000), 901, 1_000),
            (Some(u64::MAX), 77_761, 86_400),
        ] {
            for jitter in [0, 7, u64::MAX] {
                let cell = cell();
                cell.fetched(&Bytes::from_static(SET), 1_000, max_age, jitter)
                    .unwrap();
                assert!(!cell.is_due(1_000 + first - 1), "{max_age:?}");
                assert!(cell.is_due(1_000 + last), "{max_age:?}");
            }
        }
    }

    #[test]
    fn unknown_key_ids_cause_one_fetch_in_half_a_minute() {
        let cell = cell();
        assert!(cell.may_fetch(1_000));
        assert!(cell.failed("gone", 1_000, 0), "the first");
        assert!(!cell.may_fetch(1_001));
        assert!(cell.may_fetch(1_002), "there are no keys");
        cell.fetched(&Bytes::from_static(SET), 1_010, None, 0)
            .unwrap();
        assert!(!cell.may_fetch(1_039));
        assert!(cell.may_fetch(1_040));
        assert!(cell.may_fetch(900), "the clock went back");
        assert!(!cell.may_replace(1_011));
        assert!(cell.may_replace(1_012), "the keys are too old");
    }

    #[test]
    fn failed_fetches_keep_the_set_and_wait_longer() {
        let cell = cell();
        cell.fetched(&Bytes::from_static(SET), 1_000, None, 0)
            .unwrap();
        let before = cell.set().unwrap().generation;
        assert!(
            cell.fetched(&Bytes::from_static(b"{}"), 1_001, None, 0)
                .is_err()
        );
        for (number, wait_s) in [10, 20, 40, 80, 160, 300, 300].into_iter().enumerate() {
            assert_eq!(cell.failed("gone", 2_000, 0), number == 0);
            assert!(!cell.is_due(2_000 + wait_s - 1), "{number}");
            assert!(cell.is_due(2_000 + wait_s), "{number}");
        }
        assert_eq!(cell.set().unwrap().generation, before);
        let report = cell.report();
        assert_eq!((report.keys, report.fetched_s), (1, Some(1_000)));
        assert_eq!(report.failure.as_deref(), Some("gone"));
    }

    #[test]
    fn failure_is_reported_if_its_reason_changes() {
        let cell = cell();
        let news = ["gone", "gone", "slow", "gone", "gone"].map(|why| cell.failed(why, 1_000, 0));
        assert_eq!(news, [true, false, true, true, false]);
        let fetched = || cell.fetched(&Bytes::from_static(SET), 1_010, None, 0);
        assert_eq!([fetched(), fetched()], [Ok(true), Ok(false)]);
        assert!(cell.failed("gone", 1_020, 0), "after a success");
    }

    #[test]
    fn restored_set_is_used_and_due() {
        let cell = cell();
        cell.restored(&Bytes::from_static(SET), 500).unwrap();
        assert_eq!(cell.set().unwrap().fetched_s, 500);
        assert!(cell.is_due(501));
        assert!(cell.take_unsaved().is_none());
        cell.fetched(&Bytes::from_static(SET), 1_000, None, 0)
            .unwrap();
        assert_eq!(cell.take_unsaved(), Some((Bytes::from_static(SET), 1_000)));
        assert!(cell.take_unsaved().is_none());
    }
}
