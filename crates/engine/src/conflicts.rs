//! No two routes of a listener and host own the same requests.
//!
//! Within an API the trie refuses it. Across mounts each route has a hash of what it owns, made
//! once with its part; where two are equal, the routes themselves are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use bundle::ir::{Operation, Segment};
use rustc_hash::FxHasher;

use crate::api_part::{ApiPart, PartMount};
use crate::build::BuildError;

/// A segment without the names of its parameters: equal ones match the same texts.
#[derive(PartialEq, Eq, Hash)]
enum Erased<'a> {
    Literal(&'a str),
    Folded(&'a str),
    Parameter,
    Pattern(String, bool),
}

/// What operations own at a base path, as hashes in their order.
pub(crate) fn owned(base_path: &str, operations: &[Operation]) -> Box<[u64]> {
    let hash = |operation: &Operation| {
        let mut hasher = FxHasher::default();
        conditions(operation).hash(&mut hasher);
        for segment in erased(base_path, operation) {
            segment.hash(&mut hasher);
        }
        hasher.finish()
    };
    operations.iter().map(hash).collect()
}

/// No two mounts own one (listener, host, path, method, conditions).
pub(crate) fn refuse<'a>(apis: impl Iterator<Item = &'a ApiPart>) -> Result<(), BuildError> {
    let mounts: Vec<(&ApiPart, &PartMount)> = apis
        .flat_map(|api| api.mounts.iter().map(move |mount| (api, mount)))
        .collect();
    let mut places: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (number, (_, part)) in mounts.iter().enumerate() {
        let hosts = part.mount.hosts.iter().map(String::as_str);
        // A mount without hosts stands under the empty one.
        let hosts = hosts.chain(part.mount.hosts.is_empty().then_some(""));
        for host in hosts {
            for listener in &part.mount.listeners {
                places.entry((listener, host)).or_default().push(number);
            }
        }
    }
    // Many places have the same mounts.
    let crowded: BTreeSet<Vec<usize>> = places
        .into_values()
        .filter(|there| there.len() > 1)
        .collect();
    for there in crowded {
        refuse_among(&mounts, &there)?;
    }
    Ok(())
}

fn refuse_among(mounts: &[(&ApiPart, &PartMount)], there: &[usize]) -> Result<(), BuildError> {
    let mut routes: Vec<(u64, usize, usize)> = Vec::new();
    for number in there {
        let owned = mounts[*number].1.owned.iter().enumerate();
        routes.extend(owned.map(|(operation, hash)| (*hash, *number, operation)));
    }
    routes.sort_unstable();
    let conflicts = routes.chunk_by(|a, b| a.0 == b.0).flat_map(|alike| {
        let pairs = alike.iter().enumerate();
        pairs.flat_map(|(at, a)| alike[at + 1..].iter().map(move |b| (a, b)))
    });
    let operation = |route: &(u64, usize, usize)| {
        let (api, part) = mounts[route.1];
        (
            part.mount.base_path.as_str(),
            &api.router.operations()[route.2],
        )
    };
    // The first in the order of APIs, mounts and keys, so that every build tells the same.
    let first = conflicts
        .filter(|(a, b)| own_the_same(operation(a), operation(b)))
        .min_by_key(|(a, b)| ((b.1, b.2), (a.1, a.2)));
    match first {
        None => Ok(()),
        Some((a, b)) => {
            let id = |route: &(u64, usize, usize)| {
                let (api, part) = mounts[route.1];
                let key = &api.router.operations()[route.2].key;
                format!("{key}@{}", part.mount.name)
            };
            Err(BuildError::RouteConflict(id(a), id(b)))
        }
    }
}

fn own_the_same(a: (&str, &Operation), b: (&str, &Operation)) -> bool {
    conditions(a.1) == conditions(b.1) && erased(a.0, a.1).eq(erased(b.0, b.1))
}

/// What tells two routes of one path apart.
fn conditions(operation: &Operation) -> impl Eq + Hash + '_ {
    let Operation {
        method,
        template,
        conditions,
        priority,
        key: _,
        treatment: _,
        // A declared path comes before a twin.
        trailing_slash: _,
    } = operation;
    (method, template.is_prefix(), conditions, priority)
}

fn erased<'a>(base_path: &'a str, operation: &'a Operation) -> impl Iterator<Item = Erased<'a>> {
    let base = base_path.split('/').skip(1).map(Erased::Literal);
    let below = operation
        .template
        .segments()
        .iter()
        .map(|segment| match segment {
            Segment::Literal(text) => Erased::Literal(text),
            Segment::Folded(text) => Erased::Folded(text),
            Segment::Parameter(_) => Erased::Parameter,
            Segment::Pattern(pattern) => Erased::Pattern(pattern.erased(), pattern.folded),
        });
    base.chain(below)
}
