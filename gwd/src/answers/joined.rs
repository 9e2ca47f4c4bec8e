//! Sharing of answers between the requests of all workers. A *question* is a lookup at another
//! service. Requests with the same question at the same time share one answer, which is then
//! cached.
//!
//! The first request with a question is the leader: it performs the lookup, and the others wait for
//! its answer on their own workers. If the leader's client disconnects, the next request becomes
//! the leader. Answers that admit and answers that refuse are cached separately. A flood of wrong
//! credentials therefore does not evict the answers for valid credentials.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use policy::ask::{Answer, AnswerKind, Answered, Keep, Use};
use policy::generation;
use tokio::sync::{Mutex as Gate, OwnedMutexGuard as Leading};

/// Maximum total size of the cached answers of one kind, in bytes: 8 MiB for the answers that
/// admit, and 8 MiB for the answers that refuse.
const BYTES_MAX: usize = 8 << 20;
/// Estimated size of a cached answer in addition to its body and fields, in bytes.
const ENTRY_BYTES: usize = 512;
/// Time for which an expired answer is used while its service does not answer: 5s. Then the next
/// request contacts the service again.
const RETRY_MS: u64 = 5_000;

/// Hash of everything that determines the answer to a question.
pub(crate) type Key = [u8; 32];

/// Lookups at other services that are in progress (*questions*), and cached answers of earlier
/// lookups.
#[derive(Debug, Default)]
pub(crate) struct SharedLookups {
    flights: Mutex<HashMap<Key, Arc<Flight>>>,
    admitted: Mutex<Store>,
    refused: Mutex<Store>,
}

/// Lookup in progress, which all requests with the same question share.
#[derive(Debug, Default)]
struct Flight {
    gate: Arc<Gate<()>>,
    /// Answer of the leader. Empty: the lookup is in progress. `Some(None)`: the answer cannot be
    /// shared.
    answer: OnceLock<Option<Answer>>,
}

/// Cached answer to a question.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) answer: Arc<Answered>,
    /// True if the answer has expired and is used because its service does not answer.
    pub(crate) is_stale: bool,
}

/// Result of waiting for the answer to a question ([`Joining::turn`]).
pub(crate) enum Turn {
    /// The leader has this answer, which all requests with the question use.
    Answered(Answer),
    /// The request is the leader: it performs the lookup for all requests that wait.
    Leads(Lead),
    /// The answer cannot be shared: each request performs the lookup itself.
    Alone,
}

/// Participation of a request in a lookup in progress, as its leader or waiting for its answer.
/// Dropping this value ends the participation.
pub(crate) struct Joining<'j> {
    joined: &'j SharedLookups,
    key: Key,
    flight: Arc<Flight>,
}

/// Handle of the request that performs the lookup of a question, the leader.
pub(crate) struct Lead {
    flight: Arc<Flight>,
    _gate: Leading<()>,
}

/// Cached answers in two generations, with a share for each client network. An answer of the older
/// generation moves to the younger one when it is used. When the younger generation is full, it
/// becomes the older one, and the answers of the former older generation are dropped.
#[derive(Debug, Default)]
struct Store {
    young: Generation,
    old: Generation,
    /// Number of answers that were removed to make room for others.
    evicted: u64,
}

/// Size of the cached answers of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    /// Number of answers that were removed to make room for others, since the process started.
    pub(crate) evicted: u64,
}

type Generation = generation::Generation<Key, Entry, std::hash::RandomState>;

#[derive(Clone, Debug)]
struct Entry {
    answer: Arc<Answered>,
    since_ms: u64,
    until_ms: u64,
    /// Time until which the expired answer is used, in milliseconds of the clock. After this time,
    /// the service is contacted again.
    retry_ms: u64,
}

// === impl SharedLookups ===

impl SharedLookups {
    /// Cached answer to a question, if it is fresh, or if it is expired but may still be used
    /// ([`RETRY_MS`]). The age is compared with the current times of `keep`, so that a release with
    /// shorter times also applies to answers that were cached before. `None`: the service must be
    /// contacted.
    pub(crate) fn cached(&self, key: &Key, keep: &Keep, now_ms: u64) -> Option<Cached> {
        let get = |kind: AnswerKind, store: &Mutex<Store>| {
            let (time_ms, stale_ms) = (keep.times_ms[kind as usize], stale_ms(keep, kind));
            let is_within = |entry: &Entry, ms| now_ms < entry.since_ms.saturating_add(ms);
            let serves = |entry: &Entry| {
                is_within(entry, time_ms) || now_ms < entry.retry_ms && is_within(entry, stale_ms)
            };
            let found = (time_ms.max(stale_ms) > 0)
                .then(|| locked(store).get(key, now_ms, serves))
                .flatten();
            found.map(|(answer, since_ms)| Cached {
                answer,
                is_stale: now_ms >= since_ms.saturating_add(time_ms),
            })
        };
        get(AnswerKind::Admits, &self.admitted).or_else(|| get(AnswerKind::Refuses, &self.refused))
    }

    /// Sizes: first of the cached answers that admit, then of the cached answers that refuse.
    pub(crate) fn sizes(&self) -> [Size; 2] {
        [&self.admitted, &self.refused].map(|store| locked(store).size())
    }

    /// Expired answer to a question, for use while the service does not answer. The answer is used
    /// for [`RETRY_MS`] before the service is contacted again, so that not every request waits for
    /// an unavailable service. `None`: no answer may be used.
    pub(crate) fn stale(&self, key: &Key, keep: &Keep, now_ms: u64) -> Option<Arc<Answered>> {
        let mut store = locked(&self.admitted);
        let serves = |entry: &Entry| now_ms < entry.since_ms.saturating_add(keep.stale_ms);
        let (answer, _) = store.get(key, now_ms, serves)?;
        if let Some(entry) = store.young.get_mut(key) {
            entry.retry_ms = now_ms.saturating_add(RETRY_MS);
        }
        Some(answer)
    }

    /// Caches an answer that has just arrived, if answers of its kind are cached. A refusing answer
    /// replaces an admitting one to the same question. The answer counts against the share of the
    /// client's network.
    pub(crate) fn keep(
        &self,
        (key, client): (Key, IpAddr),
        keep: &Keep,
        answer: &Arc<Answered>,
        now_ms: u64,
    ) {
        if let Use::Keep(kind) = keep.use_of(answer) {
            self.keep_as(kind, (key, client), keep, answer, now_ms);
        }
    }

    /// Caches an answer of a known kind, as [`Self::keep`] does.
    pub(crate) fn keep_as(
        &self,
        kind: AnswerKind,
        (key, client): (Key, IpAddr),
        keep: &Keep,
        answer: &Arc<Answered>,
        now_ms: u64,
    ) {
        let store = match kind {
            AnswerKind::Admits => &self.admitted,
            AnswerKind::Refuses => {
                locked(&self.admitted).remove(&key);
                &self.refused
            }
        };
        let time_ms = keep.times_ms[kind as usize].max(stale_ms(keep, kind));
        if time_ms == 0 {
            return;
        }
        let fields = answer.headers.iter();
        let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + 64);
        let entry = Entry {
            answer: Arc::clone(answer),
            since_ms: now_ms,
            until_ms: now_ms.saturating_add(time_ms),
            retry_ms: 0,
        };
        let bytes = ENTRY_BYTES + answer.body.len() + fields.sum::<usize>();
        locked(store).insert(key, entry, (bytes, caller(client)));
    }

    /// Joins a request to the lookup of a question, which starts if none is in progress.
    pub(crate) fn join(&self, key: Key) -> Joining<'_> {
        let flight = Arc::clone(locked(&self.flights).entry(key).or_default());
        Joining {
            joined: self,
            key,
            flight,
        }
    }
}

impl Joining<'_> {
    /// Waits until the leader has an answer. If there is no leader, or the leader's client has
    /// disconnected, the request becomes the leader.
    pub(crate) async fn turn(&self) -> Turn {
        if let Some(None) = self.flight.answer.get() {
            return Turn::Alone;
        }
        let gate = Arc::clone(&self.flight.gate).lock_owned().await;
        match self.flight.answer.get() {
            Some(Some(answer)) => Turn::Answered(answer.clone()),
            Some(None) => Turn::Alone,
            None => Turn::Leads(Lead {
                flight: Arc::clone(&self.flight),
                _gate: gate,
            }),
        }
    }
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        let mut flights = locked(&self.joined.flights);
        let is_own = |known: &Arc<Flight>| Arc::ptr_eq(known, &self.flight);
        // Only two references to this flight (the table's and this request's) mean that no other
        // request waits for the answer. A flight with an answer is removed at once, so that a later
        // request starts a new lookup.
        let is_last = Arc::strong_count(&self.flight) <= 2 || self.flight.answer.get().is_some();
        if is_last && flights.get(&self.key).is_some_and(is_own) {
            flights.remove(&self.key);
        }
    }
}

impl Lead {
    /// Passes the answer to all requests that wait. `None`: the answer cannot be shared, and each
    /// waiting request performs the lookup itself.
    pub(crate) fn answered(self, answer: Option<&Answer>) {
        let _first = self.flight.answer.set(answer.cloned());
    }
}

/// Time for which an expired answer of a kind may be used in an outage, in milliseconds.
fn stale_ms(keep: &Keep, kind: AnswerKind) -> u64 {
    match kind {
        AnswerKind::Admits => keep.stale_ms,
        AnswerKind::Refuses => 0,
    }
}

// === impl Store ===

impl Store {
    fn size(&self) -> Size {
        Size {
            entries: self.young.len() + self.old.len(),
            bytes: self.young.bytes() + self.old.bytes(),
            evicted: self.evicted,
        }
    }

    fn remove(&mut self, key: &Key) {
        for generation in [&mut self.young, &mut self.old] {
            generation.remove(key);
        }
    }

    /// Returns the answer to a question and its time of arrival, in milliseconds of the clock.
    /// `None` if there is no answer, or `is_young` rejects it.
    fn get(
        &mut self,
        key: &Key,
        now_ms: u64,
        is_young: impl Fn(&Entry) -> bool,
    ) -> Option<(Arc<Answered>, u64)> {
        let valid = |entry: &Entry| now_ms < entry.until_ms && is_young(entry);
        if let Some(entry) = self.young.get(key) {
            return valid(entry).then(|| (Arc::clone(&entry.answer), entry.since_ms));
        }
        // Keep an expired entry: it may be used in an outage.
        self.old.get(key).filter(|entry| valid(entry))?;
        let size = self.old.size_of(key)?;
        let entry = self.old.remove(key)?;
        let found = (Arc::clone(&entry.answer), entry.since_ms);
        self.insert(*key, entry, size);
        Some(found)
    }

    /// Adds an entry. `size`: bytes of the entry, and the number of the client's network
    /// ([`caller`]).
    fn insert(&mut self, key: Key, entry: Entry, size: (usize, u64)) {
        if self.young.bytes() + size.0 > BYTES_MAX / 2 {
            let removed = self.young.make_room(&mut self.old, BYTES_MAX / 2);
            self.evicted += removed as u64;
        }
        self.young.insert(key, entry, size);
    }
}

/// Number that identifies the network of a client: the IPv4 address, or the IPv6 /64.
fn caller(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use policy::ask::{KindOf, Outage};

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn answered(bytes: usize) -> Arc<Answered> {
        Arc::new(Answered {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from(vec![0; bytes]),
            unix_s: 0,
        })
    }

    fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        let mut cx = Context::from_waker(Waker::noop());
        match std::pin::Pin::new(future).poll(&mut cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn followers_get_the_answer_of_the_leader() {
        let joined = SharedLookups::default();
        let (first, second) = (joined.join([1; 32]), joined.join([1; 32]));
        let lead = poll(&mut Box::pin(first.turn())).unwrap();
        let Turn::Leads(lead) = lead else {
            panic!("no leader")
        };
        let mut waiting = Box::pin(second.turn());
        assert!(poll(&mut waiting).is_none());
        lead.answered(Some(&Answer::Outage(Outage::Failed)));
        let turn = poll(&mut waiting).unwrap();
        assert!(matches!(
            turn,
            Turn::Answered(Answer::Outage(Outage::Failed))
        ));
    }

    #[test]
    fn followers_ask_at_once_for_answers_of_their_own() {
        let joined = SharedLookups::default();
        let all = [0, 1, 2].map(|_| joined.join([1; 32]));
        let Some(Turn::Leads(lead)) = poll(&mut Box::pin(all[0].turn())) else {
            panic!("no leader")
        };
        let mut waiting = [1, 2].map(|index: usize| Box::pin(all[index].turn()));
        assert!(waiting.iter_mut().all(|one| poll(one).is_none()));
        lead.answered(None);
        let turns = waiting.iter_mut().map(|one| poll(one).unwrap());
        let turns: Vec<Turn> = turns.collect();
        assert!(turns.iter().all(|turn| matches!(turn, Turn::Alone)));
    }

    #[test]
    fn next_one_leads_if_the_leader_leaves() {
        let joined = SharedLookups::default();
        let (first, second) = (joined.join([1; 32]), joined.join([1; 32]));
        let lead = poll(&mut Box::pin(first.turn())).unwrap();
        let mut waiting = Box::pin(second.turn());
        assert!(poll(&mut waiting).is_none());
        drop(lead);
        assert!(matches!(poll(&mut waiting), Some(Turn::Leads(_))));
    }

    #[test]
    fn questions_that_ended_leave_nothing() {
        let joined = SharedLookups::default();
        let first = joined.join([1; 32]);
        let second = joined.join([1; 32]);
        drop(first);
        assert_eq!(locked(&joined.flights).len(), 1);
        {
            let Turn::Leads(lead) = poll(&mut Box::pin(second.turn())).unwrap() else {
                panic!("no leader")
            };
            lead.answered(Some(&Answer::Outage(Outage::Failed)));
        }
        drop(second);
        assert_eq!(locked(&joined.flights).len(), 0);
    }

    /// Cache times of a test: `times_ms[0]` for answers with a body, which admit; `times_ms[1]` for
    /// answers without a body, which refuse.
    fn keeping(times_ms: [u64; 2], stale_ms: u64) -> Keep {
        Keep {
            times_ms,
            stale_ms,
            kind: KindOf::Unsigned(|answer| match answer.body.is_empty() {
                true => Some(AnswerKind::Refuses),
                false => Some(AnswerKind::Admits),
            }),
        }
    }

    #[test]
    fn answers_are_kept_until_their_time() {
        let joined = SharedLookups::default();
        joined.keep(([1; 32], CLIENT), &keeping([100, 0], 0), &answered(1), 0);
        let cached =
            |key, time_ms, now_ms| joined.cached(&[key; 32], &keeping([time_ms, 0], 0), now_ms);
        assert!(cached(1, 100, 99).is_some());
        assert!(cached(2, 100, 99).is_none());
        assert!(cached(1, 50, 49).is_some());
        assert!(cached(1, 50, 50).is_none());
    }

    #[test]
    fn answers_end_with_the_setting_that_kept_them() {
        let joined = SharedLookups::default();
        joined.keep(([1; 32], CLIENT), &keeping([100, 0], 0), &answered(1), 0);
        assert!(joined.cached(&[1; 32], &keeping([0, 100], 0), 1).is_none());
        assert!(
            joined
                .cached(&[1; 32], &keeping([200, 0], 0), 100)
                .is_none()
        );
    }

    #[test]
    fn old_answers_serve_in_an_outage_until_their_end() {
        let joined = SharedLookups::default();
        let keep = keeping([100, 100], 10_000);
        joined.keep(([1; 32], CLIENT), &keep, &answered(1), 0);
        assert!(joined.cached(&[1; 32], &keep, 100).is_none());
        assert!(joined.stale(&[1; 32], &keep, 100).is_some());
        let last = 100 + RETRY_MS - 1;
        let is_stale = |now_ms| joined.cached(&[1; 32], &keep, now_ms).unwrap().is_stale;
        assert!(!is_stale(99) && is_stale(last));
        assert!(joined.cached(&[1; 32], &keep, last + 1).is_none());
        assert!(joined.stale(&[1; 32], &keep, 9_999).is_some());
        assert!(joined.cached(&[1; 32], &keep, 10_000).is_none());
        assert!(joined.stale(&[1; 32], &keep, 10_000).is_none());
        let shorter = keeping([100, 100], 200);
        joined.keep(([2; 32], CLIENT), &keep, &answered(1), 0);
        assert!(joined.stale(&[2; 32], &shorter, 200).is_none());
    }

    #[test]
    fn old_answer_of_the_old_generation_serves() {
        let joined = SharedLookups::default();
        let keep = keeping([100, 100], 10_000);
        joined.keep(([1; 32], CLIENT), &keep, &answered(1), 0);
        for number in 2..7 {
            joined.keep(([number; 32], CLIENT), &keep, &answered(1 << 20), 0);
        }
        assert!(locked(&joined.admitted).young.get(&[1; 32]).is_none());
        assert!(joined.cached(&[1; 32], &keep, 100).is_none());
        assert!(joined.stale(&[1; 32], &keep, 100).is_some());
    }

    fn key(number: u32) -> Key {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        key
    }

    #[test]
    fn refusal_ends_an_admission_that_was_kept() {
        for inactive_ms in [0, 100] {
            let joined = SharedLookups::default();
            let keep = keeping([100, inactive_ms], 10_000);
            joined.keep(([1; 32], CLIENT), &keep, &answered(1), 0);
            joined.keep(([1; 32], CLIENT), &keep, &answered(0), 200);
            assert!(joined.stale(&[1; 32], &keep, 201).is_none());
            let kept = joined.cached(&[1; 32], &keep, 201);
            assert_eq!(kept.is_some(), inactive_ms > 0);
        }
    }

    #[test]
    fn used_answers_count_once() {
        let joined = SharedLookups::default();
        let keep = keeping([u64::MAX; 2], 0);
        let mut number = 0;
        while joined.sizes()[0].bytes <= BYTES_MAX / 2 {
            joined.keep((key(number), CLIENT), &keep, &answered(64 << 10), 0);
            number += 1;
        }
        let full = joined.sizes()[0];
        // This use moves the answer from the older generation to the younger one.
        assert!(joined.cached(&key(0), &keep, 0).is_some());
        assert_eq!(joined.sizes()[0], full);
    }

    #[test]
    fn flood_of_one_client_evicts_no_other_client() {
        let joined = SharedLookups::default();
        let keep = keeping([u64::MAX; 2], 0);
        let [own, other]: [IpAddr; 2] = ["192.0.2.2", "2001:db8::1"].map(|ip| ip.parse().unwrap());
        for (number, client) in [(0, own), (1, other)] {
            joined.keep((key(number), client), &keep, &answered(1), 0);
        }
        for number in 2..2_000 {
            joined.keep((key(number), CLIENT), &keep, &answered(16 << 10), 0);
        }
        assert!(joined.cached(&key(0), &keep, 0).is_some());
        assert!(joined.cached(&key(1), &keep, 0).is_some());
        assert!(joined.cached(&key(1_999), &keep, 0).is_some());
        assert!(joined.sizes()[0].bytes <= BYTES_MAX);
    }

    #[test]
    fn flood_of_refusals_evicts_no_admission() {
        let joined = SharedLookups::default();
        let keep = keeping([u64::MAX; 2], 0);
        let refusal = Arc::new(Answered {
            headers: HeaderMap::from_iter([(
                http::header::ALLOW,
                http::HeaderValue::from_str(&"a".repeat(16 << 10)).unwrap(),
            )]),
            ..Answered::empty(StatusCode::OK)
        });
        joined.keep(([1; 32], CLIENT), &keep, &answered(1), 0);
        for number in 0..2_000_u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_le_bytes());
            joined.keep((key, CLIENT), &keep, &refusal, 0);
        }
        assert!(joined.cached(&[1; 32], &keep, 0).is_some());
        let [admitted, refused] = joined.sizes();
        assert_eq!((admitted.entries, admitted.evicted), (1, 0));
        assert!(refused.bytes <= BYTES_MAX);
        assert_eq!(refused.entries as u64 + refused.evicted, 2_000);
    }
}
