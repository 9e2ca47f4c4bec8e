//! Pairs of operations that serve the same requests before and after a release. The comparison of
//! contracts uses these pairs, because clients call paths and not names of operations.

use std::sync::Arc;

use bundle::ir;
use rustc_hash::{FxHashMap, FxHashSet};

use super::destinations::Destinations;
use super::table::{Route, Tier};
use crate::{Change, OperationRef};

/// Operation of one side, with its API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServedOperation<'a> {
    pub(crate) api: &'a ir::Api,
    pub(crate) operation: &'a ir::Operation,
}

/// Old operation and new operation that serve some of the same requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServedPair<'a, 's> {
    pub(crate) old: ServedOperation<'a>,
    pub(crate) new: ServedOperation<'a>,
    /// Old and new path template, with base path. `None` if both match the same paths.
    pub(crate) templates: Option<&'s [Arc<ir::Template>; 2]>,
}

/// Pair of operations in [`ServedPairs`]. There can be millions of pairs.
#[derive(Debug)]
struct StoredPair {
    /// Indices of the old and the new operation.
    operations: [u32; 2],
    /// True if both operations match the same paths, for some of the requests.
    same_paths: bool,
    /// True if both operations serve requests. False if one of them only redirects.
    serves: bool,
    /// Old and new path template, with base path. `None` if both match the same paths.
    templates: Option<[Arc<ir::Template>; 2]>,
}

/// Operations of one side, numbered.
#[derive(Debug, Default)]
struct Operations<'a> {
    /// Index of each operation, by its memory address.
    indices: FxHashMap<usize, u32>,
    all: Vec<ServedOperation<'a>>,
}

impl<'a> Operations<'a> {
    fn index(&mut self, route: &Route<'a>) -> u32 {
        let address = std::ptr::from_ref(route.operation) as usize;
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        *self.indices.entry(address).or_insert_with(|| {
            self.all.push(ServedOperation {
                api: route.api,
                operation: route.operation,
            });
            next
        })
    }
}

/// All pairs of operations that serve the same requests. An operation is in several pairs if
/// several operations of the other side serve its requests.
#[derive(Debug, Default)]
pub(crate) struct ServedPairs<'a> {
    operations: [Operations<'a>; 2],
    /// Position of each pair, by the indices of its operations.
    known: FxHashMap<[u32; 2], u32>,
    pairs: Vec<StoredPair>,
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

    /// Lines about pairs whose requests are sent to a different path.
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
        let serves = !routes.iter().any(|route| route.redirects());
        let [olds, news] = &mut self.operations;
        let operations = [olds.index(old), news.index(new)];
        let next = u32::try_from(self.pairs.len()).unwrap_or(u32::MAX);
        let at = *self.known.entry(operations).or_insert(next);
        if at == next {
            self.pairs.push(StoredPair {
                operations,
                same_paths: false,
                serves: false,
                templates: None,
            });
        }
        let pair = &mut self.pairs[at as usize];
        pair.same_paths |= same;
        if !serves {
            return;
        }
        if same {
            pair.templates = None;
        } else if !pair.serves {
            pair.templates = Some([&old.template, &new.template].map(Arc::clone));
        }
        pair.serves = true;
        self.destinations.add(old, new);
    }

    /// Changes the id of lines about removed operations. An operation is removed for clients only
    /// if no operation of the new side serves any of its requests.
    pub(super) fn name_partly_removed(&self, changes: &mut [Change]) {
        let is_removed = |change: &Change| change.id == "operation-removed";
        if !changes.iter().any(is_removed) {
            return;
        }
        let olds = self.iter().map(|pair| pair.old);
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
        let pairs = self.pairs.iter();
        pairs.map(|pair| {
            let [old, new] = self.operations(pair);
            let keys = [old, new].map(|one| one.operation.key.as_str());
            (keys, pair.same_paths)
        })
    }

    /// Keys of the operations that serve some of the same requests on both sides.
    pub(super) fn kept(&self) -> FxHashSet<&'a str> {
        let same = self.keys().filter(|([was, is], _)| was == is);
        same.map(|([key, _], _)| key).collect()
    }

    /// Pairs of operations that serve requests.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ServedPair<'a, '_>> {
        let serving = self.pairs.iter().filter(|pair| pair.serves);
        serving.map(|pair| {
            let [old, new] = self.operations(pair);
            ServedPair {
                old,
                new,
                templates: pair.templates.as_ref(),
            }
        })
    }

    fn operations(&self, pair: &StoredPair) -> [ServedOperation<'a>; 2] {
        [0, 1].map(|side| self.operations[side].all[pair.operations[side] as usize])
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
