//! The routes that are asked at one place of a gateway, and their order (semantics.md §1).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use bundle::ir::{self, Segment, Template, TrailingSlash};
use engine::router::{compare_conditions, compare_templates};

use crate::lower::Lowered;
use crate::plan::OperationRef;

/// A listener, and a host that stands for all that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) listener: String,
    pub(super) host: String,
}

/// Every listener with every host pattern of any side. A host that no pattern matches is asked
/// like one of mounts without hosts.
pub(super) fn places(sides: &[&Lowered]) -> BTreeSet<Place> {
    let mounts = || {
        let apis = sides.iter().flat_map(|side| &side.gateway.apis);
        apis.flat_map(|api| &api.mounts)
    };
    let taken: BTreeSet<&str> = mounts()
        .flat_map(|mount| mount.hosts.iter().map(String::as_str))
        .collect();
    let listeners: BTreeSet<&String> = mounts().flat_map(|mount| &mount.listeners).collect();
    let patterns = taken.iter().copied().chain([""]);
    let hosts: BTreeSet<String> = patterns.map(|pattern| instance(pattern, &taken)).collect();
    // A host that one listener knows may be asked of another as well.
    let place = |(listener, host): (&&String, &String)| Place {
        listener: (*listener).clone(),
        host: host.clone(),
    };
    let every = listeners
        .iter()
        .flat_map(|listener| hosts.iter().map(move |host| (listener, host)));
    every.map(place).collect()
}

/// A host that a pattern matches, and that no mount of either side names itself: its own table
/// would stand for the pattern's.
fn instance(pattern: &str, taken: &BTreeSet<&str>) -> String {
    let free = |first: &str, parent: &str| {
        (0..)
            .map(|number| match number {
                0 => format!("{first}{parent}"),
                more => format!("{first}-{more}{parent}"),
            })
            .find(|host| !taken.contains(host.as_str()))
            .unwrap_or_default()
    };
    match pattern.strip_prefix('*') {
        Some(parent) => free("any", parent),
        None if pattern.is_empty() => free("gateway", ""),
        None => pattern.to_owned(),
    }
}

/// The mounts that are asked for a host, each with its API: the exact ones, else those of the
/// wildcard, else those without hosts.
pub(super) fn owners<'a>(lowered: &'a Lowered, place: &Place) -> Vec<(&'a ir::Api, &'a ir::Mount)> {
    let mounts = || {
        let apis = lowered.gateway.apis.iter();
        let all = apis.flat_map(|api| api.mounts.iter().map(move |mount| (api, mount)));
        all.filter(|(_, mount)| mount.listeners.contains(&place.listener))
    };
    let parent = place.host.split_once('.').map(|(_, parent)| parent);
    let wildcard = parent.map(|parent| format!("*.{parent}"));
    let exact: Vec<_> = mounts()
        .filter(|(_, mount)| mount.hosts.contains(&place.host))
        .collect();
    let wild: Vec<_> = mounts()
        .filter(|(_, mount)| {
            let host = wildcard.as_ref();
            host.is_some_and(|host| mount.hosts.contains(host))
        })
        .collect();
    let any: Vec<_> = mounts()
        .filter(|(_, mount)| mount.hosts.is_empty())
        .collect();
    [exact, wild, any]
        .into_iter()
        .find(|owners| !owners.is_empty())
        .unwrap_or_default()
}

/// An operation at a mount, with the path that it is declared at or that path's twin.
#[derive(Clone, Debug)]
pub(super) struct Route<'a> {
    pub(super) api: &'a ir::Api,
    pub(super) mount: &'a ir::Mount,
    pub(super) operation: &'a ir::Operation,
    /// Behind the mount's base path.
    pub(super) template: Template,
    /// Whether the template differs from the declared one by its final slash.
    pub(super) twin: bool,
}

/// What tells a route's requests from others', and its place in the order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Signature(Vec<Segment>, bool, String, Vec<ir::Condition>, i32, bool);

/// The routes of some mounts.
pub(super) fn routes<'a>(owners: &[(&'a ir::Api, &'a ir::Mount)]) -> Vec<Route<'a>> {
    let of = |&(api, mount): &(&'a ir::Api, &'a ir::Mount)| {
        api.operations.iter().flat_map(move |operation| {
            let twins = operation.trailing_slash != TrailingSlash::Strict;
            let twin = operation.template.twin().filter(|_| twins);
            let declared = (operation.template.clone(), false);
            let both = [Some(declared), twin.map(|twin| (twin, true))];
            both.into_iter()
                .flatten()
                .map(move |(template, twin)| Route {
                    api,
                    mount,
                    operation,
                    template: template.behind(&mount.base_path),
                    twin,
                })
        })
    };
    owners.iter().flat_map(of).collect()
}

impl Route<'_> {
    pub(super) fn signature(&self) -> Signature {
        let erased = |segment: &Segment| match segment {
            Segment::Parameter(_) => Segment::Parameter(String::new()),
            Segment::Pattern(pattern) => {
                let mut pattern = pattern.clone();
                for (name, _) in &mut pattern.rest {
                    name.clear();
                }
                Segment::Pattern(pattern)
            }
            literal => literal.clone(),
        };
        Signature(
            self.template.segments().iter().map(erased).collect(),
            self.template.is_prefix(),
            self.operation.method.clone(),
            self.operation.conditions.clone(),
            self.operation.priority,
            self.twin,
        )
    }

    /// Which requests it matches, for fingerprints: all of its signature.
    pub(super) fn requests(&self) -> String {
        let Signature(segments, prefix, method, conditions, priority, twin) = self.signature();
        let mut text = format!("{method} {priority} {prefix} {twin} {conditions:?}");
        for segment in segments {
            let folded = match &segment {
                Segment::Folded(_) => "~",
                Segment::Pattern(pattern) if pattern.folded => "~",
                Segment::Literal(_) | Segment::Parameter(_) | Segment::Pattern(_) => "",
            };
            text.push_str(&format!(" /{folded}{segment}"));
        }
        text
    }

    /// Whether it takes requests of a method: a GET takes those of HEAD as well.
    pub(super) fn takes(&self, method: &str) -> bool {
        self.operation.method == method || method == "HEAD" && self.operation.method == "GET"
    }

    /// Where two routes stand for a request of a method that both match: priority, template, the
    /// request's own method, declared before twin, conditions.
    pub(super) fn compare(&self, other: &Self, method: &str) -> Ordering {
        let (a, b) = (self.operation, other.operation);
        a.priority
            .cmp(&b.priority)
            .then_with(|| compare_templates(&self.template, &other.template))
            .then_with(|| (a.method == method).cmp(&(b.method == method)))
            .then_with(|| other.twin.cmp(&self.twin))
            .then_with(|| compare_conditions(&a.conditions, &b.conditions))
    }

    /// Whether it only answers with the path as it is declared.
    pub(super) fn redirects(&self) -> bool {
        self.twin && self.operation.trailing_slash == TrailingSlash::Redirect
    }

    /// `KEY@MOUNT`, as the engine names it.
    pub(super) fn id(&self) -> String {
        format!("{}@{}", self.operation.key, self.mount.name)
    }

    pub(super) fn treatment(&self) -> &ir::Treatment {
        &self.api.treatments[self.operation.treatment as usize]
    }

    pub(super) fn reference(&self) -> OperationRef {
        let key = &self.operation.key;
        let id = key.strip_prefix(&format!("{}/", self.api.name));
        OperationRef {
            key: key.clone(),
            id: id.map(str::to_owned),
            method: self.operation.method.clone(),
            path: self.template.to_string(),
            mount: self.mount.name.clone(),
            host: self.mount.hosts.first().cloned().unwrap_or_default(),
            api: self.api.name.clone(),
        }
    }
}
