//! Pairs of operations that serve the same requests before and after a release. The comparison of
//! contracts uses these pairs, because clients call paths and not names of operations.

use std::sync::Arc;

use bundle::ir;
use rustc_hash::{FxHashMap, FxHashSet};

use super::destinations::Destinations;
use super::table::{Route, Tier};
use crate::details::OperationAt;
use crate::{Change, OperationRef};

/// Old operation and new operation that serve some of the same requests.
#[derive(Clone, Debug)]
pub(crate) struct ServedPair<'a> {
    pub(crate) old: OperationAt<'a>,
    pub(crate) new: OperationAt<'a>,
    /// Old and new path template, with base path. `None` if both match the same paths.
    pub(crate) templates: Option<[Arc<ir::Template>; 2]>,
}

/// All pairs of operations that serve the same requests. An operation is in several pairs if
/// several operations of the other side serve its requests.
#[derive(Debug, Default)]
pub(crate) struct ServedPairs<'a> {
    /// Position of each pair, by the memory addresses of its operations.
    known: FxHashMap<[usize; 2], usize>,
    pairs: Vec<ServedPair<'a>>,
    /// Old and new key of each pair, also of operations that redirect. The boolean is true if both
    /// operations match the same paths.
    keys: FxHashMap<[&'a str; 2], bool>,
    destinations: Destinations<'a>,
}

impl<'a> ServedPairs<'a> {
    /// Creates an empty list of pairs between the operations of two gateways.
    pub(super) fn between(old: Option<&'a ir::Gateway>, new: &'a ir::Gateway) -> Self {
        Self {
            destinations: Destinations::between(old, new),
            ..Self::default()
        }
    }

    /// Lines about pairs whose requests are sent to another path.
    pub(super) fn take_moved(&mut self) -> Vec<Change> {
        self.destinations.take()
    }

    /// Adds an old and a new route that serve some of the same requests.
    pub(super) fn add(&mut self, old: &Route<'a>, new: &Route<'a>) {
        let routes = [old, new];
        if !routes
            .iter()
            .all(|route| route.serves && route.tier == Tier::Described)
        {
            return;
        }
        let same = matches_same_paths(&old.template, &new.template);
        let keys = routes.map(|route| route.operation.key.as_str());
        *self.keys.entry(keys).or_default() |= same;
        if routes.iter().any(|route| route.redirects()) {
            return;
        }
        self.destinations.add(old, new);
        let address = |route: &Route<'_>| std::ptr::from_ref(route.operation) as usize;
        let next = self.pairs.len();
        let at = *self
            .known
            .entry([address(old), address(new)])
            .or_insert(next);
        if at == next {
            self.pairs.push(ServedPair {
                old: old.operation_at(),
                new: new.operation_at(),
                templates: (!same).then(|| [&old.template, &new.template].map(Arc::clone)),
            });
        } else if same {
            self.pairs[at].templates = None;
        }
    }

    /// Changes the id of lines about removed operations. An operation is removed for clients only
    /// if no operation of the new side serves any of its requests.
    pub(super) fn name_partly_removed(&self, changes: &mut [Change]) {
        let is_removed = |change: &Change| change.id == "operation-removed";
        if !changes.iter().any(is_removed) {
            return;
        }
        let olds = self.pairs.iter().map(|pair| pair.old);
        let olds: FxHashSet<(&str, &str)> = olds
            .map(|old| (old.api.name.as_str(), old.operation.key.as_str()))
            .collect();
        let is_served = |one: &OperationRef| olds.contains(&(one.api.as_str(), one.key.as_str()));
        for change in changes {
            if is_removed(change) && change.operation.as_ref().is_some_and(is_served) {
                change.id = "requests-removed";
            }
        }
    }

    /// Old and new key of each pair, also of operations that redirect. The boolean is true if both
    /// operations match the same paths.
    pub(crate) fn keys(&self) -> impl Iterator<Item = ([&'a str; 2], bool)> {
        self.keys.iter().map(|(keys, same)| (*keys, *same))
    }

    /// Keys of the operations that serve some of the same requests on both sides.
    pub(super) fn kept(&self) -> FxHashSet<&'a str> {
        let same = self.keys().filter(|([was, is], _)| was == is);
        same.map(|([key, _], _)| key).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ServedPair<'a>> {
        self.pairs.iter()
    }
}

/// True if two templates differ at most in the names of their parameters.
fn matches_same_paths(old: &ir::Template, new: &ir::Template) -> bool {
    let segments = (old.segments(), new.segments());
    old.is_prefix() == new.is_prefix()
        && segments.0.len() == segments.1.len()
        && segments
            .0
            .iter()
            .zip(segments.1)
            .all(|(old, new)| match (old, new) {
                (ir::Segment::Parameter(_), ir::Segment::Parameter(_)) => true,
                (ir::Segment::Pattern(_), ir::Segment::Pattern(_)) => old.erased() == new.erased(),
                _ => old == new,
            })
}
