//! Refused bundles, with the reason and the time of the next attempt.

use std::collections::{BTreeMap, BTreeSet};

use bundle::digest::Digest;
use bundle::refused::{Blame, Refused};

/// Wait after the first temporary refusal: 1s. The wait doubles with each refusal, up to 60s.
const FIRST_WAIT_MS: u64 = 1_000;
const LONGEST_WAIT_MS: u64 = 60_000;
/// Maximum number of stored refusals. Beyond it the oldest are dropped, and their bundles are tried
/// again when a record names them.
const REFUSED_MAX: usize = 200;

/// Refused bundles and the reasons.
#[derive(Debug, Default)]
pub(crate) struct Refusals(BTreeMap<Digest, Entry>);

/// Reason why a bundle was refused, and time of the next attempt.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) refused: Refused,
    /// Time of the next attempt, or `None` if the refusal is permanent until the trust file
    /// changes.
    pub(crate) retry_at_ms: Option<u64>,
    pub(crate) tries: u32,
    at_ms: u64,
    /// Record whose bundle was refused. `None`: an operator or a hold named the bundle.
    record: Option<Digest>,
}

impl Refusals {
    /// Stores the refusal of a bundle, with the time of the next attempt to run the bundle. `record`:
    /// see [`Entry::record`].
    pub(crate) fn add(
        &mut self,
        bundle: Digest,
        record: Option<Digest>,
        refused: Refused,
        now_ms: u64,
    ) {
        let tries = self.0.get(&bundle).map_or(0, |entry| entry.tries) + 1;
        let wait_ms = FIRST_WAIT_MS << (tries - 1).min(16);
        let retry_at_ms = (!refused.permanent()).then(|| now_ms + wait_ms.min(LONGEST_WAIT_MS));
        let entry = Entry {
            refused,
            retry_at_ms,
            tries,
            at_ms: now_ms,
            record,
        };
        self.0.insert(bundle, entry);
        while self.0.len() > REFUSED_MAX {
            let oldest = self.0.iter().min_by_key(|(_, entry)| entry.at_ms);
            let Some(oldest) = oldest.map(|(id, _)| *id) else {
                return;
            };
            self.0.remove(&oldest);
        }
    }

    /// Removes a permanent refusal of a bundle because of its signatures, if a different record
    /// names the bundle now. The statements that the new record names may be valid. Otherwise,
    /// anybody with a key for records could make a bundle unusable before its release.
    pub(crate) fn forget_other_record(&mut self, bundle: &Digest, record: Digest) {
        let is_other = |entry: &Entry| {
            let is_about_signatures = entry.refused.blame() == Blame::Signer;
            entry.record != Some(record) && entry.retry_at_ms.is_none() && is_about_signatures
        };
        if self.0.get(bundle).is_some_and(is_other) {
            self.forget(bundle);
        }
    }

    /// Removes a bundle's refusal, because the bundle runs or must be tried again.
    pub(crate) fn forget(&mut self, bundle: &Digest) {
        self.0.remove(bundle);
    }

    /// Drops all refusals, because the trust file changed.
    pub(crate) fn forget_all(&mut self) {
        self.0.clear();
    }

    /// Drops the temporary refusals of all bundles except `bundles`, so that only `bundles` are
    /// retried. Permanent refusals stay.
    pub(crate) fn await_only(&mut self, bundles: &BTreeSet<Digest>) {
        self.0
            .retain(|id, entry| bundles.contains(id) || entry.retry_at_ms.is_none());
    }

    /// True if the bundle must not be activated now: its next attempt is later, or its refusal is
    /// permanent.
    pub(crate) fn waits(&self, bundle: &Digest, now_ms: u64) -> bool {
        let entry = self.0.get(bundle);
        entry.is_some_and(|entry| entry.retry_at_ms.is_none_or(|at_ms| now_ms < at_ms))
    }

    /// Earliest time at which any refused bundle is tried again. `None`: no bundle will be tried
    /// again.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.0.values().filter_map(|entry| entry.retry_at_ms).min()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Digest, &Entry)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_reasons_are_tried_again_with_growing_waits() {
        let mut refusals = Refusals::default();
        let bundle = Digest::of(b"x");
        let busy = Refused::PortBusy {
            address: "a".into(),
        };
        let mut waits = Vec::new();
        for _ in 0..9 {
            refusals.add(bundle, None, busy.clone(), 0);
            waits.push(refusals.next_ms().unwrap() / 1_000);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(refusals.waits(&bundle, 59_999));
        assert!(!refusals.waits(&bundle, 60_000));
        refusals.add(bundle, None, Refused::BadSignature, 0);
        assert!(refusals.waits(&bundle, u64::MAX), "never again");
        assert_eq!(refusals.next_ms(), None);
        refusals.forget_all();
        assert!(!refusals.waits(&bundle, 0));
    }

    #[test]
    fn another_record_may_have_better_signatures() {
        let mut refusals = Refusals::default();
        let [bundle, one, two] = [b"1", b"2", b"3"].map(|id| Digest::of(id));
        let structural = Refused::NotABundle { what: "manifest" };
        for (refused, is_tried) in [(Refused::UnknownKey, true), (structural, false)] {
            refusals.add(bundle, Some(one), refused, 0);
            refusals.forget_other_record(&bundle, one);
            assert!(refusals.waits(&bundle, u64::MAX), "the same record");
            refusals.forget_other_record(&bundle, two);
            assert_eq!(!refusals.waits(&bundle, u64::MAX), is_tried);
        }
    }

    #[test]
    fn bundle_named_by_no_record_is_not_waited_for() {
        let mut refusals = Refusals::default();
        let [one, two, never] = [b"1", b"2", b"3"].map(|id| Digest::of(id));
        let passing = || Refused::PortBusy {
            address: "a".into(),
        };
        refusals.add(one, None, passing(), 0);
        refusals.add(two, None, passing(), 500);
        refusals.add(never, None, Refused::BadSignature, 0);
        refusals.await_only(&[two].into());
        assert_eq!(refusals.next_ms(), Some(1_500));
        refusals.await_only(&BTreeSet::new());
        assert_eq!(refusals.next_ms(), None);
        assert!(refusals.waits(&never, u64::MAX));
        for number in 0..1_000_u64 {
            let bundle = Digest::of(&number.to_le_bytes());
            refusals.add(bundle, None, Refused::BadSignature, 10 + number);
        }
        assert_eq!(refusals.iter().count(), REFUSED_MAX);
    }
}
