//! No two routes of a listener and host own the same requests.
//!
//! Within an API the trie refuses it. Across mounts each route has a hash of what it owns, made
//! once with its part; where two are equal, the routes themselves are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use bundle::ir::{Condition, Operation, Owns, Segment, Template, TrailingSlash};
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

/// What an operation owns at a mount.
#[derive(Debug)]
pub(crate) struct Owned {
    /// Of all that tells it from others.
    hash: u64,
    operation: u32,
    /// The operation whose template it has: another's where it gets undeclared methods.
    at: u32,
    /// Whether the template is the one with the other final slash.
    twin: bool,
}

/// What operations own at a base path.
pub(crate) fn owned(base_path: &str, operations: &[Operation]) -> Box<[Owned]> {
    let places = (0u32..).zip(operations).flat_map(|(operation, one)| {
        let described = |at: u32, twin: bool| (operation, at, twin);
        match one.owns {
            Owns::Described | Owns::Unmatched => vec![described(operation, false)],
            Owns::Undeclared => {
                let all = (0u32..).zip(operations);
                let all = all.filter(|(_, other)| other.owns.is_described());
                all.flat_map(|(at, other)| {
                    let twin = other.trailing_slash != TrailingSlash::Strict;
                    [Some(false), twin.then_some(true)]
                        .into_iter()
                        .flatten()
                        .map(move |twin| described(at, twin))
                })
                .collect()
            }
        }
    });
    let owned = places.map(|(operation, at, twin)| {
        let mut owned = Owned {
            hash: 0,
            operation,
            at,
            twin,
        };
        let requests = Requests::of(base_path, operations, &owned);
        let mut hasher = FxHasher::default();
        requests.hash(&mut hasher);
        owned.hash = hasher.finish();
        owned
    });
    owned.collect()
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
    let mut routes: Vec<(u64, usize, u32, &Owned)> = Vec::new();
    for number in there {
        let owned = mounts[*number].1.owned.iter();
        routes.extend(owned.map(|one| (one.hash, *number, one.operation, one)));
    }
    routes.sort_unstable_by_key(|(hash, number, operation, _)| (*hash, *number, *operation));
    let conflicts = routes.chunk_by(|a, b| a.0 == b.0).flat_map(|alike| {
        let pairs = alike.iter().enumerate();
        pairs.flat_map(|(at, a)| alike[at + 1..].iter().map(move |b| (a, b)))
    });
    let requests = |(_, number, _, one): &(u64, usize, u32, &Owned)| {
        let (api, part) = mounts[*number];
        Requests::of(&part.mount.base_path, api.router.operations(), one)
    };
    // The first in the order of APIs, mounts and keys, so that every build tells the same.
    let first = conflicts
        // Within a mount an operation gets undeclared methods of many templates.
        .filter(|(a, b)| a.1 != b.1 && requests(a) == requests(b))
        .min_by_key(|(a, b)| ((b.1, b.2), (a.1, a.2)));
    match first {
        None => Ok(()),
        Some((a, b)) => {
            let id = |(_, number, operation, _): &(u64, usize, u32, &Owned)| {
                let (api, part) = mounts[*number];
                let key = &api.router.operations()[*operation as usize].key;
                format!("{key}@{}", part.mount.name)
            };
            Err(BuildError::RouteConflict(id(a), id(b)))
        }
    }
}

/// What tells the requests of an operation from others': equal ones own the same requests. A
/// declared path comes before a twin, so that twins of described operations are left out.
#[derive(PartialEq, Eq, Hash)]
struct Requests<'a> {
    owns: Owns,
    /// Method, conditions and priority, where they count.
    described: Option<(&'a str, &'a [Condition], i32)>,
    is_prefix: bool,
    segments: Vec<Erased<'a>>,
}

impl<'a> Requests<'a> {
    fn of(base_path: &'a str, operations: &'a [Operation], owned: &Owned) -> Self {
        let Operation {
            method,
            conditions,
            priority,
            owns,
            template: _,
            key: _,
            treatment: _,
            trailing_slash: _,
        } = &operations[owned.operation as usize];
        let described = (method.as_str(), conditions.as_slice(), *priority);
        let template = &operations[owned.at as usize].template;
        Self {
            owns: *owns,
            described: owns.is_described().then_some(described),
            is_prefix: template.is_prefix(),
            segments: erased(base_path, template, owned.twin),
        }
    }
}

fn erased<'a>(base_path: &'a str, template: &'a Template, twin: bool) -> Vec<Erased<'a>> {
    let base = base_path.split('/').skip(1).map(Erased::Literal);
    let below = template.segments().iter().map(|segment| match segment {
        Segment::Literal(text) => Erased::Literal(text),
        Segment::Folded(text) => Erased::Folded(text),
        Segment::Parameter(_) => Erased::Parameter,
        Segment::Pattern(pattern) => Erased::Pattern(pattern.erased(), pattern.folded),
    });
    let mut segments: Vec<Erased<'a>> = base.chain(below).collect();
    if twin && !template.is_prefix() {
        match segments.last() {
            Some(Erased::Literal("")) => drop(segments.pop()),
            _ => segments.push(Erased::Literal("")),
        }
    }
    segments
}
