//! Selection of rollback targets.
//!
//! A rollback undoes all later releases. A second rollback therefore goes further back, never
//! forward to the bundle that the first rollback replaced.

use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::statement::predicate::RecordKind;

/// Returns the bundles of a channel that are possible rollback targets, oldest first, without
/// bundles that a rollback has undone. The last bundle is the bundle of the channel's newest
/// record.
#[must_use]
pub fn path(entries: &[Entry]) -> Vec<Digest> {
    let steps = entries
        .iter()
        .rev()
        .map(|entry| (entry.bundle, entry.record.kind));
    walk(steps)
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

/// Returns the bundle that is `steps` before the last bundle of [`path`]. `None` if there is none.
#[must_use]
pub fn target(entries: &[Entry], steps: usize) -> Option<Digest> {
    let path = path(entries);
    path.len()
        .checked_sub(1 + steps)
        .and_then(|at| path.get(at).copied())
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
