//! Pairs of operations whose contracts are compared.
//!
//! An old and a new operation form a pair if they serve some of the same requests, as the routing
//! comparison found. An operation is therefore in several pairs if several operations of the other
//! side serve its requests. Names of operations, APIs, mounts and path parameters have no effect.
//!
//! An operation without such a pair moved or is new. Such an operation is paired by its name,
//! otherwise by method and path template: first within the same API, then within a renamed API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bundle::ir;
use model::lower::Lowered;
use model::selection::without_names;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::routing::ServedPairs;

/// API and key of an operation.
type Name<'a> = (&'a str, &'a str);

/// Pair of an old and a new operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct OperationPair<'a> {
    /// Key of the old operation.
    pub(super) old: &'a str,
    /// Key of the new operation.
    pub(super) new: &'a str,
    /// Old and new path template. `None` if both match the same paths, or if the pair serves no
    /// common requests.
    pub(super) templates: Option<&'a [Arc<ir::Template>; 2]>,
    /// True if the operations serve only `HEAD` requests in common, because one operation describes
    /// `GET`.
    pub(super) is_head: bool,
}

/// Pairs of operations of an old and a new side, by the names of their APIs (old, new).
#[derive(Debug, Default)]
pub(super) struct Operations<'a>(BTreeMap<(&'a str, &'a str), Vec<OperationPair<'a>>>);

impl<'a> Operations<'a> {
    pub(super) fn of(old: &'a Lowered, new: &'a Lowered, served: &'a ServedPairs<'_>) -> Self {
        let mut pairs = Self::default();
        let mut paired = [FxHashSet::default(), FxHashSet::default()];
        for pair in served.iter() {
            let sides = [(&pair.old, old), (&pair.new, new)];
            let [was, is] = sides.map(|(at, side)| {
                let contract = side.contracts.get(&at.api.name)?;
                let operation = contract.operations.get(&at.operation.key)?;
                Some((contract.name.as_str(), operation.key.as_str()))
            });
            let (Some(was), Some(is)) = (was, is) else {
                continue;
            };
            paired[0].insert(was);
            paired[1].insert(is);
            let methods = [&pair.old, &pair.new].map(|at| at.operation.method.as_str());
            pairs.push(was, is, pair.templates, methods);
        }
        let mut left =
            [(old, &paired[0]), (new, &paired[1])].map(|(side, paired)| Unpaired::of(side, paired));
        let same = |(was, is): Name<'_>| was == is;
        pairs.pair_up(&mut left, &same);
        if left.iter().all(|side| !side.0.is_empty()) {
            let mut related = renamed_apis((old, new), &left);
            related.extend(pairs.0.keys());
            pairs.pair_up(&mut left, &|apis| related.contains(&apis));
        }
        pairs
    }

    fn push(
        &mut self,
        old: Name<'a>,
        new: Name<'a>,
        templates: Option<&'a [Arc<ir::Template>; 2]>,
        methods: [&str; 2],
    ) {
        let pairs = self.0.entry((old.0, new.0)).or_default();
        pairs.push(OperationPair {
            old: old.1,
            new: new.1,
            templates,
            is_head: methods[0] != methods[1] && methods.contains(&"HEAD"),
        });
    }

    /// Pairs the unpaired operations of those APIs (old, new) for which `is_related` is true: by
    /// name, otherwise by method and path template.
    fn pair_up(&mut self, left: &mut [Unpaired<'a>; 2], is_related: &dyn Fn(Name<'_>) -> bool) {
        let [was, is] = &*left;
        let mut paired: [FxHashSet<Name<'a>>; 2] = Default::default();
        for kind in [Kind::Id, Kind::Place] {
            let mut olds: FxHashMap<&str, Vec<&UnpairedOperation<'a>>> = FxHashMap::default();
            for one in was.0.iter().filter(|one| !paired[0].contains(&one.name)) {
                let text = one.text(kind);
                olds.entry(text.unwrap_or_default()).or_default().push(one);
            }
            let mut found = Vec::new();
            for one in is.0.iter().filter(|one| !paired[1].contains(&one.name)) {
                let Some(text) = one.text(kind) else { continue };
                let olds = olds.get(text).into_iter().flatten();
                let olds = olds.filter(|old| is_related((old.name.0, one.name.0)));
                found.extend(olds.map(|old| (old.name, one.name)));
            }
            for (was, is) in found {
                self.push(was, is, None, ["", ""]);
                paired[0].insert(was);
                paired[1].insert(is);
            }
        }
        for (side, paired) in left.iter_mut().zip(paired) {
            side.0.retain(|one| !paired.contains(&one.name));
        }
    }

    /// Names of the APIs (old, new) with at least one pair.
    pub(super) fn apis(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.keys().copied()
    }

    /// Pairs of the operations of an old and a new API.
    pub(super) fn between<'s>(&'s self, old: &'s str, new: &'s str) -> &'s [OperationPair<'s>] {
        let all: &BTreeMap<(&'s str, &'s str), Vec<OperationPair<'s>>> = &self.0;
        all.get(&(old, new)).map_or(&[], Vec::as_slice)
    }

    /// True if each operation of two APIs with the same name is paired only with the operation with
    /// the same key, for all its requests.
    pub(super) fn is_identity(&self, (old, new): (&ir::Contract, &ir::Contract)) -> bool {
        let is_same = |pair: &OperationPair<'_>| pair.old == pair.new && pair.templates.is_none();
        let pairs = self.between(&old.name, &new.name);
        let mut apis = self.0.keys();
        old.name == new.name
            && old.operations.len() == new.operations.len()
            && pairs.len() == new.operations.len()
            && pairs.iter().all(is_same)
            && apis.all(|(was, is)| (*was == old.name) == (*is == new.name))
    }
}

/// Text by which operations without common requests are paired.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// `operationId`.
    Id,
    /// Method, path template without names, and conditions.
    Place,
}

/// Operation whose requests the other side does not serve.
#[derive(Debug)]
struct UnpairedOperation<'a> {
    name: Name<'a>,
    id: Option<&'a str>,
    place: Option<String>,
}

impl UnpairedOperation<'_> {
    fn text(&self, kind: Kind) -> Option<&str> {
        match kind {
            Kind::Id => self.id,
            Kind::Place => self.place.as_deref(),
        }
    }

    /// All texts by which the operation can be paired.
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.id.into_iter().chain(self.place.as_deref())
    }
}

/// Operations of one side whose requests the other side does not serve.
#[derive(Debug)]
struct Unpaired<'a>(Vec<UnpairedOperation<'a>>);

impl<'a> Unpaired<'a> {
    fn of(side: &'a Lowered, paired: &FxHashSet<Name<'a>>) -> Self {
        let mut all = Vec::new();
        for contract in &side.contracts {
            let api = side.gateway.apis.get(&contract.name);
            for operation in &contract.operations {
                let name = (contract.name.as_str(), operation.key.as_str());
                if paired.contains(&name) {
                    continue;
                }
                let id = name.1.strip_prefix(name.0);
                let served = api.and_then(|api| api.operations.get(name.1));
                all.push(UnpairedOperation {
                    name,
                    id: id.and_then(|id| id.strip_prefix('/')),
                    place: served.map(place),
                });
            }
        }
        Self(all)
    }

    /// Operations by the name of their API.
    fn by_api(&self) -> FxHashMap<&'a str, Vec<&UnpairedOperation<'a>>> {
        let mut all: FxHashMap<&str, Vec<&UnpairedOperation<'a>>> = FxHashMap::default();
        for one in &self.0 {
            all.entry(one.name.0).or_default().push(one);
        }
        all
    }
}

/// Method, path template without the names of its parameters, and conditions of an operation.
fn place(operation: &ir::Operation) -> String {
    let template = without_names(&operation.template.to_string());
    format!("{} {template} {:?}", operation.method, operation.conditions)
}

/// Pairs of APIs that were probably renamed. One API exists only on the old side, the other only on
/// the new side. At least half of the operations of the smaller API are in both.
fn renamed_apis<'a>(
    (old, new): (&'a Lowered, &'a Lowered),
    left: &[Unpaired<'a>; 2],
) -> BTreeSet<(&'a str, &'a str)> {
    let only = |side: &'a Lowered, other: &Lowered| -> Vec<&'a ir::Contract> {
        let all = side.contracts.iter();
        all.filter(|api| other.contracts.get(&api.name).is_none())
            .collect()
    };
    let [was_left, is_left] = left.each_ref().map(Unpaired::by_api);
    let none = Vec::new();
    let mut renamed = BTreeSet::new();
    let new_apis = only(new, old);
    for was in only(old, new) {
        let olds = was_left.get(was.name.as_str()).unwrap_or(&none).iter();
        let olds: FxHashSet<&str> = olds.flat_map(|one| one.texts()).collect();
        for is in &new_apis {
            let news = is_left.get(is.name.as_str()).unwrap_or(&none).iter();
            let shared = news.filter(|one| one.texts().any(|text| olds.contains(text)));
            let smaller = was.operations.len().min(is.operations.len());
            let shared = shared.count();
            if shared > 0 && 2 * shared >= smaller {
                renamed.insert((was.name.as_str(), is.name.as_str()));
            }
        }
    }
    renamed
}
