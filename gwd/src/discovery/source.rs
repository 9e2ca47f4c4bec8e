//! Source of hosts, with its last answer.
//!
//! There are three kinds of answers (semantics.md §4):
//!
//! - hosts
//! - an authoritative "no hosts", which takes effect after it has been repeated for a while
//! - a failure, after which the last hosts stay in use, without a time limit

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::discovery::times::Times;

/// Maximum number of hosts of one source. Further hosts of a DNS answer are ignored; a file with
/// more is an error.
pub(crate) const HOSTS_MAX: usize = 1_024;

/// Query that a source repeats.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HostQuery {
    pub(crate) target: QueryTarget,
    /// Maximum time until the next query in milliseconds, whatever the answer. `None`: only the
    /// limits of [`Times`] apply.
    pub(crate) refresh_ms: Option<u64>,
}

/// DNS name or file that the discovery thread polls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum QueryTarget {
    /// Addresses of a name: its A records, or its AAAA records if it has no A record.
    Addresses { name: Box<str>, port: u16 },
    /// SRV records of a name (RFC 2782), with the addresses of their targets.
    Services { name: Box<str> },
    /// Path of a watched file.
    File { path: Box<Path> },
}

/// Resolved host with its settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiscoveredHost {
    /// Priority. Hosts with the lowest number are used as long as any of them is available.
    pub priority: u16,
    /// Address of the host.
    pub address: SocketAddr,
    /// Weight relative to the other hosts of the same priority.
    pub weight: u32,
    /// Zone of the host. `None`: no zone.
    pub zone: Option<Arc<str>>,
}

/// Result of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Hosts, with the TTL in milliseconds.
    Found {
        places: Vec<DiscoveredHost>,
        ttl_ms: u64,
    },
    /// Authoritative answer that there are no hosts, with the reason.
    Absent { why: String },
    /// Failed query, with the reason.
    Failed { why: String },
}

/// Source of hosts, with its last answer.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) query: HostQuery,
    /// Time at which the source was created, in milliseconds of the clock.
    since_ms: u64,
    known: Mutex<SourceState>,
    /// True once the followers have been updated with a first answer of any kind.
    settled: AtomicBool,
    pub(crate) answers: Answers,
}

/// Number of answers of each kind that a source has received.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) found: AtomicU64,
    pub(crate) absent: AtomicU64,
    pub(crate) failed: AtomicU64,
}

#[derive(Debug, Default)]
struct SourceState {
    places: Arc<[DiscoveredHost]>,
    /// True once the source has been queried and an answer of any kind has arrived.
    has_answer: bool,
    /// Time of the last answer that changed or confirmed the hosts, in milliseconds of the clock.
    /// `None`: no such answer yet.
    answered_ms: Option<u64>,
    /// Time since which all answers have reported no hosts, in milliseconds of the clock. `None`:
    /// the last answer was not "no hosts". A failed query resets it.
    absent_since_ms: Option<u64>,
    /// Number of consecutive failed queries.
    failures: u32,
    why: Option<Arc<str>>,
}

/// Effect of an answer on the source: changed hosts or state, and the time of the next query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueryEffect {
    /// True if the hosts have changed.
    pub(crate) changed: bool,
    /// True if the query succeeded after a failure, failed after a success, or was the first query
    /// and failed.
    pub(crate) state_changed: bool,
    /// Time until the next query, in milliseconds.
    pub(crate) wait_ms: u64,
}

// === impl Source ===

impl Source {
    pub(crate) fn new(query: HostQuery, now_ms: u64) -> Self {
        Self {
            query,
            since_ms: now_ms,
            known: Mutex::default(),
            settled: AtomicBool::new(false),
            answers: Answers::default(),
        }
    }

    /// Current hosts of the source.
    pub(crate) fn places(&self) -> Arc<[DiscoveredHost]> {
        Arc::clone(&self.lock().places)
    }

    /// True once the followers have been updated with a first answer of any kind.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Records that the followers have been updated with an answer.
    pub(crate) fn mark_applied(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// Reason why the last query returned no hosts, or `None` if the query returned hosts.
    pub(crate) fn why(&self) -> Option<Arc<str>> {
        self.lock().why.clone()
    }

    /// Age of the hosts in milliseconds: time since they were last confirmed or, without any
    /// answer, since the source was created.
    pub(crate) fn age_ms(&self, now_ms: u64) -> u64 {
        let answered_ms = self.lock().answered_ms;
        now_ms.saturating_sub(answered_ms.unwrap_or(self.since_ms))
    }

    /// Records that the last answer is still valid, if it contained hosts.
    pub(crate) fn confirmed(&self, now_ms: u64) {
        let mut known = self.lock();
        if known.why.is_none() {
            known.answered_ms = Some(now_ms);
        }
    }

    /// Processes an answer. `chance` is a random number for the jitter of the next query.
    pub(crate) fn process_answer(
        &self,
        answer: Answer,
        now_ms: u64,
        times: &Times,
        chance: u64,
    ) -> QueryEffect {
        let mut known = self.lock();
        let known = &mut *known;
        let first = !std::mem::replace(&mut known.has_answer, true);
        let was_well = known.why.is_none();
        let before = Arc::clone(&known.places);
        let wait_ms = match answer {
            Answer::Found { places, ttl_ms } => {
                self.answers.found.fetch_add(1, Ordering::Relaxed);
                known.places = in_order(places);
                known.answered_ms = Some(now_ms);
                known.absent_since_ms = None;
                known.failures = 0;
                known.why = None;
                self.within(ttl_ms.min(times.ttl_max_ms), times, chance)
            }
            Answer::Absent { why } => {
                self.answers.absent.fetch_add(1, Ordering::Relaxed);
                known.failures = 0;
                known.why = Some(why.into());
                let since_ms = *known.absent_since_ms.get_or_insert(now_ms);
                let ends_ms = since_ms + times.absent_ms;
                if now_ms >= ends_ms && !known.places.is_empty() {
                    known.places = Arc::default();
                    known.answered_ms = Some(now_ms);
                }
                let wait_ms = self.within(times.failed_max_ms, times, chance);
                match ends_ms.checked_sub(now_ms) {
                    Some(left_ms) if left_ms > 0 => wait_ms.min(left_ms).max(times.ttl_min_ms),
                    _ => wait_ms,
                }
            }
            Answer::Failed { why } => {
                self.answers.failed.fetch_add(1, Ordering::Relaxed);
                known.why = Some(why.into());
                known.absent_since_ms = None;
                let doubled = times.ttl_min_ms << known.failures.min(16);
                known.failures = known.failures.saturating_add(1);
                self.within(doubled.min(times.failed_max_ms), times, chance)
            }
        };
        QueryEffect {
            changed: known.places != before,
            state_changed: was_well != known.why.is_none() || (first && known.why.is_some()),
            wait_ms,
        }
    }

    /// Limits the time until the next query, and shortens it at random by up to 10 %. Gateways that
    /// started together therefore query at different times.
    fn within(&self, wait_ms: u64, times: &Times, chance: u64) -> u64 {
        let most_ms = self.query.refresh_ms.unwrap_or(u64::MAX);
        let wait_ms = wait_ms.min(most_ms);
        let early_ms = chance % (wait_ms / 10 + 1);
        (wait_ms - early_ms).max(times.ttl_min_ms)
    }

    fn lock(&self) -> MutexGuard<'_, SourceState> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sorts the hosts, removes duplicates, and drops the hosts beyond [`HOSTS_MAX`].
fn in_order(mut places: Vec<DiscoveredHost>) -> Arc<[DiscoveredHost]> {
    places.sort();
    places.dedup_by(|a, b| (a.priority, a.address) == (b.priority, b.address));
    places.truncate(HOSTS_MAX);
    places.into()
}

// === impl QueryTarget ===

impl QueryTarget {
    /// Kind of the source: `dns`, `dns-srv` or `file`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Addresses { .. } => "dns",
            Self::Services { .. } => "dns-srv",
            Self::File { .. } => "file",
        }
    }

    /// Name that is resolved, or path of the file.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Addresses { name, .. } | Self::Services { name } => Cow::Borrowed(name),
            Self::File { path } => path.to_string_lossy(),
        }
    }

    /// True if answers of this kind have weights; otherwise all hosts have the same weight.
    pub(crate) fn has_weights(&self) -> bool {
        match self {
            Self::Addresses { .. } => false,
            Self::Services { .. } | Self::File { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(refresh_ms: Option<u64>) -> Source {
        let target = QueryTarget::Addresses {
            name: "a".into(),
            port: 80,
        };
        Source::new(HostQuery { target, refresh_ms }, 0)
    }

    fn found(last: &[u8], ttl_ms: u64) -> Answer {
        let places = last.iter().map(|last| DiscoveredHost {
            priority: 0,
            address: ([10, 0, 0, *last], 80).into(),
            weight: 1,
            zone: None,
        });
        let places = places.collect();
        Answer::Found { places, ttl_ms }
    }

    fn absent() -> Answer {
        let why = "no such name".to_owned();
        Answer::Absent { why }
    }

    fn failed() -> Answer {
        let why = "no answer".to_owned();
        Answer::Failed { why }
    }

    fn hosts(source: &Source) -> String {
        let places = source.places();
        let last = places.iter().map(|place| match place.address {
            SocketAddr::V4(address) => address.ip().octets()[3].to_string(),
            SocketAddr::V6(_) => "?".to_owned(),
        });
        last.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn answer_lasts_between_a_second_and_five_minutes() {
        let times = Times::default();
        for (refresh_ms, ttl_ms, wait_ms) in [
            (None, 0, 1_000),
            (None, 30_000, 30_000),
            (None, 7 * 86_400_000, 300_000),
            (Some(5_000), 60_000, 5_000),
            (Some(5_000), 2_000, 2_000),
            (Some(10), 60_000, 1_000),
        ] {
            let effect = source(refresh_ms).process_answer(found(&[1], ttl_ms), 0, &times, 0);
            assert_eq!(effect.wait_ms, wait_ms, "{refresh_ms:?} {ttl_ms}");
        }
        for chance in [1, 999, 3_000, u64::MAX] {
            let effect = source(None).process_answer(found(&[1], 30_000), 0, &times, chance);
            assert!((27_000..=30_000).contains(&effect.wait_ms), "{effect:?}");
        }
    }

    #[test]
    fn hosts_are_sorted_and_each_is_there_once() {
        let (source, times) = (source(None), Times::default());
        assert!(
            source
                .process_answer(found(&[3, 1, 2, 1], 0), 0, &times, 0)
                .changed
        );
        assert_eq!(hosts(&source), "1 2 3");
        assert!(
            !source
                .process_answer(found(&[2, 3, 1], 0), 0, &times, 0)
                .changed
        );
        let many: Vec<DiscoveredHost> = (0..2_000u32)
            .map(|number| DiscoveredHost {
                priority: 0,
                address: (std::net::Ipv4Addr::from(number), 80).into(),
                weight: 1,
                zone: None,
            })
            .collect();
        let many = Answer::Found {
            places: many,
            ttl_ms: 0,
        };
        source.process_answer(many, 0, &times, 0);
        assert_eq!(source.places().len(), 1_024);
    }

    #[test]
    fn failed_lookups_keep_the_hosts_and_back_off() {
        let (source, times) = (source(None), Times::default());
        source.process_answer(found(&[1, 2], 5_000), 0, &times, 0);
        let mut waits = Vec::new();
        for hour in 1..=8 {
            let effect = source.process_answer(failed(), hour * 3_600_000, &times, 0);
            assert_eq!((effect.changed, effect.state_changed), (false, hour == 1));
            waits.push(effect.wait_ms);
        }
        let expected = [1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000, 10_000];
        assert_eq!(waits, expected);
        assert_eq!(hosts(&source), "1 2");
        assert_eq!(source.age_ms(3_600_000), 3_600_000);
        assert_eq!(source.why().as_deref(), Some("no answer"));
        let effect = source.process_answer(found(&[1, 2], 5_000), 30_000_000, &times, 0);
        assert_eq!((effect.changed, effect.state_changed), (false, true));
        assert_eq!(source.age_ms(30_000_500), 500);
    }

    #[test]
    fn empty_answer_counts_after_half_a_minute() {
        let (source, times) = (source(None), Times::default());
        source.process_answer(found(&[1], 1_000), 0, &times, 0);
        let effect = source.process_answer(absent(), 5_000, &times, 0);
        assert_eq!((effect.changed, effect.wait_ms), (false, 10_000));
        let effect = source.process_answer(absent(), 33_000, &times, 0);
        assert_eq!((effect.changed, effect.wait_ms), (false, 2_000));
        assert_eq!(hosts(&source), "1");
        assert!(source.process_answer(absent(), 35_000, &times, 0).changed);
        assert_eq!(hosts(&source), "");
        // The name has a host again and loses it again: the period restarts.
        source.process_answer(found(&[2], 1_000), 36_000, &times, 0);
        assert!(!source.process_answer(absent(), 37_000, &times, 0).changed);
        assert_eq!(hosts(&source), "2");
    }

    #[test]
    fn outage_between_absences_begins_the_time_anew() {
        let (source, times) = (source(None), Times::default());
        source.process_answer(found(&[1], 1_000), 0, &times, 0);
        source.process_answer(absent(), 5_000, &times, 0);
        source.process_answer(failed(), 15_000, &times, 0);
        assert!(
            !source
                .process_answer(absent(), 3_600_000, &times, 0)
                .changed
        );
        assert_eq!(hosts(&source), "1", "a failed query resets the time");
        assert!(
            !source
                .process_answer(absent(), 3_629_999, &times, 0)
                .changed
        );
        assert!(
            source
                .process_answer(absent(), 3_630_000, &times, 0)
                .changed
        );
        assert_eq!(hosts(&source), "");
    }

    #[test]
    fn first_failed_answer_is_reported() {
        let (source, times) = (source(None), Times::default());
        let effect = source.process_answer(failed(), 0, &times, 0);
        assert!(effect.state_changed && !effect.changed);
        assert_eq!(source.age_ms(7_000), 7_000);
    }
}
