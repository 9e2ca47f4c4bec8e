//! Routes that are tried at one place of a gateway, and their order (semantics.md §1).

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use bundle::ir::{self, Segment, Template, TrailingSlash};
use engine::router::{compare_conditions, compare_templates};

use super::index::erased;
use crate::OperationRef;
use model::lower::Lowered;
use model::rest::everything;

/// A listener, and a host that represents all hosts that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) listener: String,
    pub(super) host: String,
}

/// Returns every listener with every host pattern of any side, and with a host that no pattern
/// matches, which only mounts without hosts serve.
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
    // Clients may request a host of one listener at another listener as well.
    let place = |(listener, host): (&&String, &String)| Place {
        listener: (*listener).clone(),
        host: host.clone(),
    };
    let every = listeners
        .iter()
        .flat_map(|listener| hosts.iter().map(move |host| (listener, host)));
    every.map(place).collect()
}

/// Returns a host that a pattern matches and that no mount of either side names itself, because
/// such a host has a table of its own.
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

/// Mounts that are tried for a host, each with its API: the exact ones, else those of the wildcard,
/// else those without hosts.
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

/// Route: an operation at a mount, with its declared path or the trailing-slash twin of that path.
/// For undescribed requests: with one of the paths at which the operation serves them.
#[derive(Clone, Debug)]
pub(super) struct Route<'a> {
    pub(super) api: &'a ir::Api,
    pub(super) mount: &'a ir::Mount,
    pub(super) operation: &'a ir::Operation,
    /// HTTP method. None: any method.
    pub(super) method: Option<&'a str>,
    /// Template without the base path of the mount.
    pub(super) template: Template,
    /// True if the template differs from the declared one by its final slash.
    pub(super) twin: bool,
    /// Tier of the route.
    pub(super) tier: Tier,
    /// True if the operation serves its requests. Otherwise the route only withholds them from the
    /// routes for undescribed requests.
    pub(super) serves: bool,
}

/// Tier of a route; the last tier comes before all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Tier {
    /// `API#unmatched`, or 404: requests that no template matches.
    Unmatched,
    /// `API#undeclared`, or 405: methods that a matching template does not declare.
    Undeclared,
    /// 404: requests that an operation describes or hides, whether or not its conditions hold.
    Withheld,
    /// Requests that an operation describes.
    Described,
}

/// Properties that separate a route's requests from others', and its place in the order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Signature {
    tier: Tier,
    segments: Vec<Segment>,
    prefix: bool,
    method: Option<String>,
    conditions: Vec<ir::Condition>,
    priority: i32,
    twin: bool,
    serves: bool,
}

/// Builds the routes of these mounts.
pub(super) fn routes<'a>(owners: &[(&'a ir::Api, &'a ir::Mount)]) -> Vec<Route<'a>> {
    let mut routes = described(owners);
    let mut operations = owners.iter().flat_map(|(api, _)| &api.operations);
    // Without an operation for undescribed requests, no request needs to be withheld.
    if operations.any(|operation| !operation.owns.is_described()) {
        let rest = owners.iter().flat_map(|(api, mount)| rest(api, mount));
        let withheld: Vec<Route<'a>> = routes
            .iter()
            .filter(|route| !route.operation.conditions.is_empty())
            .map(|route| Route {
                operation: &NOBODY,
                tier: Tier::Withheld,
                serves: false,
                ..route.clone()
            })
            .collect();
        routes.extend(rest);
        routes.extend(withheld);
    }
    routes
}

/// Operation of a route that is not served.
static NOBODY: LazyLock<ir::Operation> = LazyLock::new(|| ir::Operation {
    key: String::new(),
    method: String::new(),
    template: everything(),
    conditions: Vec::new(),
    priority: 0,
    treatment: 0,
    trailing_slash: TrailingSlash::Strict,
    owns: ir::Owns::Described,
});

/// Routes of a mount for requests that its document does not describe.
fn rest<'a>(api: &'a ir::Api, mount: &'a ir::Mount) -> Vec<Route<'a>> {
    let getting = |owns: ir::Owns| api.operations.iter().find(|one| one.owns == owns);
    let (undeclared, unmatched) = (getting(ir::Owns::Undeclared), getting(ir::Owns::Unmatched));
    let route = |tier, gets: Option<&'a ir::Operation>, template: Template| Route {
        api,
        mount,
        operation: gets.unwrap_or(&NOBODY),
        method: None,
        template: template.behind(&mount.base_path),
        twin: false,
        tier,
        serves: gets.is_some(),
    };
    let mut routes = vec![route(Tier::Unmatched, unmatched, everything())];
    let described = api.operations.iter().filter(|one| one.owns.is_described());
    let described = described.flat_map(|one| {
        let twins = one.trailing_slash != TrailingSlash::Strict;
        let twin = one.template.twin().filter(|_| twins);
        [Some(one.template.clone()), twin].into_iter().flatten()
    });
    let templates: BTreeSet<Template> = described.collect();
    routes.extend(
        templates
            .into_iter()
            .map(|template| route(Tier::Undeclared, undeclared, template)),
    );
    for hidden in &api.hidden {
        for template in [Some(hidden.template.clone()), hidden.template.twin()] {
            let Some(template) = template else { continue };
            routes.push(route(Tier::Undeclared, None, template.clone()));
            routes.push(Route {
                method: Some(&hidden.method),
                ..route(Tier::Withheld, None, template)
            });
        }
    }
    routes
}

fn described<'a>(owners: &[(&'a ir::Api, &'a ir::Mount)]) -> Vec<Route<'a>> {
    let of = |&(api, mount): &(&'a ir::Api, &'a ir::Mount)| {
        let all = api.operations.iter();
        let all = all.filter(|operation| operation.owns.is_described());
        all.flat_map(move |operation| {
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
                    method: Some(&operation.method),
                    template: template.behind(&mount.base_path),
                    twin,
                    tier: Tier::Described,
                    serves: true,
                })
        })
    };
    owners.iter().flat_map(of).collect()
}

impl Route<'_> {
    pub(super) fn signature(&self) -> Signature {
        Signature {
            tier: self.tier,
            segments: self.template.segments().iter().map(erased).collect(),
            prefix: self.template.is_prefix(),
            method: self.method.map(str::to_owned),
            conditions: self.conditions().to_vec(),
            priority: self.priority(),
            twin: self.twin,
            serves: self.serves,
        }
    }

    /// Its priority; 0 for what is not described.
    pub(super) fn priority(&self) -> i32 {
        match self.tier {
            Tier::Described => self.operation.priority,
            Tier::Withheld | Tier::Undeclared | Tier::Unmatched => 0,
        }
    }

    /// Conditions on its requests beside method and path.
    pub(super) fn conditions(&self) -> &[ir::Condition] {
        match self.tier {
            Tier::Described => &self.operation.conditions,
            Tier::Withheld | Tier::Undeclared | Tier::Unmatched => &[],
        }
    }

    /// Requests that it matches, for fingerprints: all of its signature.
    pub(super) fn requests(&self) -> String {
        let Signature {
            tier,
            segments,
            prefix,
            method,
            conditions,
            priority,
            twin,
            serves: _,
        } = self.signature();
        let method = match tier {
            Tier::Described => method.unwrap_or_default(),
            Tier::Withheld | Tier::Undeclared | Tier::Unmatched => format!("{tier:?}"),
        };
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

    /// Returns true if it takes requests of a method: GET takes HEAD as well.
    pub(super) fn takes(&self, method: &str) -> bool {
        self.method
            .is_none_or(|own| own == method || method == "HEAD" && own == "GET")
    }

    /// Order of two routes for a request of a method that both match: priority, template, the
    /// request's own method, declared path before its twin, conditions.
    pub(super) fn compare(&self, other: &Self, method: &str) -> Ordering {
        let tiers = self.tier.cmp(&other.tier);
        if tiers.is_ne() {
            return tiers;
        }
        let (a, b) = (self.operation, other.operation);
        let templates = || compare_templates(&self.template, &other.template);
        match self.tier {
            Tier::Described => a
                .priority
                .cmp(&b.priority)
                .then_with(templates)
                .then_with(|| (a.method == method).cmp(&(b.method == method)))
                .then_with(|| other.twin.cmp(&self.twin))
                .then_with(|| compare_conditions(&a.conditions, &b.conditions)),
            // None of these routes has an owner.
            Tier::Withheld => Ordering::Equal,
            Tier::Undeclared | Tier::Unmatched => {
                templates().then_with(|| self.serves.cmp(&other.serves))
            }
        }
    }

    /// Returns true if two routes take a method in common: GET takes HEAD, unless there is an
    /// explicit HEAD.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self.method, other.method) {
            (Some(a), Some(b)) => self.takes(b) || other.takes(a),
            (None, _) | (_, None) => true,
        }
    }

    /// Returns true if it only redirects to the path as it is declared.
    pub(super) fn redirects(&self) -> bool {
        self.twin && self.operation.trailing_slash == TrailingSlash::Redirect
    }

    /// Route id as the engine writes it: `KEY@MOUNT`.
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

/// Returns true if a side has the operation of a route anywhere.
pub(super) fn has(side: &Lowered, route: &Route<'_>) -> bool {
    let api = side.gateway.apis.get(&route.api.name);
    api.is_some_and(|api| api.operations.get(&route.operation.key).is_some())
}

/// Name of a route's owner, for people.
pub(super) fn owner(route: &Route<'_>) -> String {
    let redirects = if route.redirects() {
        " (redirects)"
    } else {
        ""
    };
    format!("{}{redirects}", route.id())
}
