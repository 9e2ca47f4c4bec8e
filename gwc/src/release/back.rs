//! Selection of rollback targets.
//!
//! A rollback undoes all later releases. A second rollback therefore goes further back, never
//! forward to the bundle that the first rollback replaced.

use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::refused::Refused;
use bundle::statement::predicate::RecordKind;

#[cfg(doc)]
use super::refusals;

/// Returns the bundles of a channel that are possible rollback targets, oldest first, without
/// bundles that a rollback has undone, and without those of records that gateways refuse. The last
/// bundle is the running one: that of the newest record that gateways accept. `refusals`: result of
/// [`refusals::of_records`].
#[must_use]
pub fn path(entries: &[Entry], refusals: &[Option<Refused>]) -> Vec<Digest> {
    let records = entries.iter().zip(refusals).rev();
    let accepted = records.filter(|(_, refused)| refused.is_none());
    walk(accepted.map(|(entry, _)| (entry.bundle, entry.record.kind)))
}

fn walk(steps: impl Iterator<Item = (Digest, RecordKind)>) -> Vec<Digest> {
    let mut path: Vec<Digest> = Vec::new();
    for (bundle, kind) in steps {
        let before = match kind {
            RecordKind::Rollback => path.iter().rposition(|known| *known == bundle),
            RecordKind::Release | RecordKind::Pin => None,
        };
        match before {
            Some(at) => path.truncate(at + 1),
            None if path.last() == Some(&bundle) => {}
            None => path.push(bundle),
        }
    }
    path
}

/// Number of versions to go back from the newest record to the bundle at this index of [`path`].
/// 0 for the running one, 1 if gateways refuse the newest record.
#[must_use]
pub fn steps(path: &[Digest], index: usize, refusals: &[Option<Refused>]) -> usize {
    let is_refused = matches!(refusals.first(), Some(Some(_)));
    path.len().saturating_sub(1 + index) + usize::from(is_refused)
}

/// Returns the bundle that is this number of [`steps`] back. `None` if there is none.
#[must_use]
pub fn target(path: &[Digest], refusals: &[Option<Refused>], back: usize) -> Option<Digest> {
    let indices = 0..path.len();
    let mut indices = indices.filter(|index| steps(path, *index, refusals) == back);
    indices.next().map(|index| path[index])
}

#[cfg(test)]
mod tests {
    use super::*;
    use RecordKind::{Pin, Release, Rollback};

    fn path_of(steps: &[(&str, RecordKind)]) -> Vec<Digest> {
        let steps = steps.iter();
        walk(steps.map(|(name, kind)| (Digest::of(name.as_bytes()), *kind)))
    }

    fn bundles(names: &[&str]) -> Vec<Digest> {
        names
            .iter()
            .map(|name| Digest::of(name.as_bytes()))
            .collect()
    }

    #[test]
    fn second_rollback_goes_further_back() {
        let mut steps = vec![("a", Release), ("b", Release), ("c", Release)];
        assert_eq!(path_of(&steps), bundles(&["a", "b", "c"]));
        steps.push(("b", Rollback));
        assert_eq!(path_of(&steps), bundles(&["a", "b"]));
        steps.push(("a", Rollback));
        assert_eq!(path_of(&steps), bundles(&["a"]));
        steps.push(("c", Release));
        assert_eq!(path_of(&steps), bundles(&["a", "c"]));
    }

    #[test]
    fn rollback_to_an_undone_bundle_adds_a_target() {
        let steps = [
            ("a", Release),
            ("b", Release),
            ("a", Rollback),
            ("b", Rollback),
        ];
        assert_eq!(path_of(&steps), bundles(&["a", "b"]));
    }

    #[test]
    fn pin_adds_no_rollback_target() {
        let steps = [("a", Release), ("b", Release), ("b", Pin)];
        assert_eq!(path_of(&steps), bundles(&["a", "b"]));
    }
}
