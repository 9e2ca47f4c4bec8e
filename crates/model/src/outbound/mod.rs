//! Paths that upstreams receive, and bypasses: operations with weaker protection whose requests
//! reach the same path of the same host as those of a protected operation.
//!
//! The router separates operations whose requests are forwarded unchanged. It cannot separate
//! requests that a rewrite, a removed base path, a target's path, a split or a mirror sends to
//! another path or host.

mod ends;
pub(crate) mod lint;
mod path;
mod protection;

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::Checked;
use policy::declared::Settings;

use self::ends::{End, ends};
pub use self::path::Path;
pub use self::protection::Protection;

/// Maximum number of path comparisons for one gateway. Operations that exceed it are listed in
/// [`Survey::not_compared`].
const COMPARISONS_MAX: usize = 20_000_000;

/// Definitions of a gateway that determine where requests are sent.
#[derive(Debug, Default)]
pub struct Shared<'a> {
    /// Listeners by name.
    pub listeners: BTreeMap<&'a str, &'a ir::Listener>,
    /// Upstreams by name.
    pub upstreams: BTreeMap<&'a str, &'a ir::Upstream>,
    /// Policies of the gateway by name.
    pub policies: BTreeMap<&'a str, &'a Checked>,
}

/// One operation at one mount.
#[derive(Debug)]
pub struct Place<'a> {
    /// Name of the API.
    pub api: &'a str,
    /// Key of the operation.
    pub key: &'a str,
    /// HTTP method.
    pub method: &'a str,
    /// Path template, without the base path of the mount.
    pub template: &'a ir::Template,
    /// Mount of the operation.
    pub mount: &'a ir::Mount,
    /// Security requirement of the operation.
    pub security: &'a ir::Security,
    /// Policies of the chain in order.
    pub policies: Vec<&'a Checked>,
    /// Settings of the operation itself that change its requests.
    pub forwarding: Settings,
    /// Name of the upstream.
    pub upstream: &'a str,
    /// True if the operation is internal.
    pub is_internal: bool,
}

/// Operation at a mount, with its protection and its destinations.
#[derive(Debug)]
struct OutboundOperation<'a> {
    place: &'a Place<'a>,
    protection: Protection,
    ends: Vec<End>,
}

/// Destinations of all operations of a gateway, and the bypasses among the operations.
#[derive(Debug, Default)]
pub struct Survey {
    /// Bypasses, by the key of the less protected operation.
    pub rounds: BTreeMap<String, Bypass>,
    /// Keys of the operations that could not be compared with all protected ones.
    pub not_compared: BTreeSet<String>,
    /// Protections of the operations that reach a destination, by destination.
    ends: BTreeMap<String, Vec<Protection>>,
}

/// Bypass of protected operations by one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bypass {
    /// Keys of the bypassed operations.
    pub keys: BTreeSet<String>,
    /// Methods, hosts and paths at which they are bypassed.
    pub reached: BTreeSet<String>,
    /// Protections of the bypassing operation, one per mount if they differ.
    protections: Vec<Protection>,
}

impl Survey {
    /// Message with the operations that were not compared. `None` if all were compared.
    #[must_use]
    pub fn gap(&self) -> Option<String> {
        let first = self.not_compared.first()?;
        let operations = match self.not_compared.len() {
            1 => format!("`{first}` was"),
            many => format!("`{first}` and {} more operations were", many - 1),
        };
        Some(format!(
            "{operations} not compared with all protected operations for a bypass: the gateway \
needs more than {} comparisons of paths",
            comparisons_max()
        ))
    }

    /// Destinations of a bypass at which the operations of this survey do not admit all callers
    /// that the bypass admits.
    #[must_use]
    pub fn lacks<'r>(&self, round: &'r Bypass) -> Vec<&'r str> {
        let reached = round.reached.iter().map(String::as_str);
        let is_open = |end: &&str| {
            let known = self.ends.get(*end).map(Vec::as_slice).unwrap_or_default();
            let mut protections = round.protections.iter();
            protections.all(|own| known.iter().any(|known| own.covers(known)))
        };
        reached.filter(|end| !is_open(end)).collect()
    }
}

impl Place<'_> {
    /// Path in client requests, with the mount's base path.
    fn inbound(&self) -> String {
        format!("{}{}", self.mount.base_path, path::pattern(self.template))
    }
}

/// Destinations with the index of their operation, by host and first path segment. The segment is
/// `None` if it contains a parameter.
type Guarded<'e> = BTreeMap<(&'e str, Option<&'e str>), Vec<(usize, &'e End)>>;

/// Computes the destinations and bypasses of a gateway.
#[must_use]
pub fn survey(shared: &Shared<'_>, places: &[Place<'_>]) -> Survey {
    let ways: Vec<OutboundOperation<'_>> = places
        .iter()
        .map(|place| OutboundOperation {
            place,
            protection: Protection::of(shared, place),
            ends: ends(shared, place),
        })
        .collect();
    // Index the destinations of the operations that have any protection.
    let mut guarded: Guarded<'_> = BTreeMap::new();
    for (index, way) in ways.iter().enumerate() {
        if way.protection.is_none() {
            continue;
        }
        for end in &way.ends {
            for path in &end.readings {
                let key = (end.host.as_str(), path.first_literal());
                let list = guarded.entry(key).or_default();
                if list
                    .last()
                    .is_none_or(|(last, known)| *last != index || *known != end)
                {
                    list.push((index, end));
                }
            }
        }
    }
    let mut survey = Survey::default();
    for way in ways.iter().filter(|way| !way.place.is_internal) {
        for end in &way.ends {
            let known = survey.ends.entry(end.reached()).or_default();
            if !known.contains(&way.protection) {
                known.push(way.protection.clone());
            }
        }
    }
    let mut left = comparisons_max();
    for way in ways.iter().filter(|way| !way.place.is_internal) {
        compare(way, &ways, &guarded, &mut left, &mut survey);
    }
    survey
}

/// Compares the destinations of one operation with those of all protected ones.
fn compare(
    way: &OutboundOperation<'_>,
    ways: &[OutboundOperation<'_>],
    guarded: &Guarded<'_>,
    left: &mut usize,
    survey: &mut Survey,
) {
    for end in &way.ends {
        let mut seen = BTreeSet::new();
        for path in &end.readings {
            let literal = path.first_literal();
            let lists = guarded
                .range((end.host.as_str(), None)..)
                .take_while(|((host, _), _)| *host == end.host);
            let lists = lists.filter(|((_, first), _)| {
                literal.is_none() || first.is_none() || *first == literal
            });
            for (index, other) in lists.flat_map(|(_, list)| list) {
                let Some(rest) = left.checked_sub(1) else {
                    survey.not_compared.insert(way.place.key.to_owned());
                    return;
                };
                *left = rest;
                let protected = &ways[*index];
                if protected.place.key == way.place.key
                    || !seen.insert((*index, std::ptr::from_ref(*other)))
                    || !is_round((way, end), (protected, other))
                {
                    continue;
                }
                let key = way.place.key.to_owned();
                let round = survey.rounds.entry(key).or_default();
                round.keys.insert(protected.place.key.to_owned());
                round.reached.insert(end.reached());
                if !round.protections.contains(&way.protection) {
                    round.protections.push(way.protection.clone());
                }
            }
        }
    }
}

#[cfg(not(debug_assertions))]
fn comparisons_max() -> usize {
    COMPARISONS_MAX
}

#[cfg(debug_assertions)]
fn comparisons_max() -> usize {
    MAX.get()
}

/// Sets the maximum number of comparisons while `run` runs on this thread. Debug builds only.
#[cfg(debug_assertions)]
pub fn with_comparisons<R>(max: usize, run: impl FnOnce() -> R) -> R {
    let before = MAX.replace(max);
    let done = run();
    MAX.set(before);
    done
}

#[cfg(debug_assertions)]
thread_local! {
    static MAX: std::cell::Cell<usize> = const { std::cell::Cell::new(COMPARISONS_MAX) };
}

/// True if the requests of one operation reach the destination of another operation with less
/// protection.
fn is_round(
    (way, end): (&OutboundOperation<'_>, &End),
    (other, its): (&OutboundOperation<'_>, &End),
) -> bool {
    if !methods_meet(&end.method, &its.method) || way.protection.covers(&other.protection) {
        return false;
    }
    let meet = || {
        let mut pairs = end
            .readings
            .iter()
            .flat_map(|path| its.readings.iter().map(move |other| (path, other)));
        pairs.any(|(path, other)| path.meets(other))
    };
    // The router already separates the two operations by path and method, so only another spelling
    // of a path can be a bypass.
    let keeps_method = |way: &OutboundOperation<'_>, end: &End| way.place.method == end.method;
    let are_routed = end.travels_like(its) && is_beside(way.place.mount, other.place.mount);
    if are_routed && keeps_method(way, end) && keeps_method(other, its) {
        // No route leads to an internal operation, so that a template gets its requests. Templates
        // of the same API are reported elsewhere.
        let is_hidden = other.place.is_internal && other.place.api != way.place.api;
        if is_hidden && end.raw.meets(&its.raw) {
            return true;
        }
        return end.is_literal() && !end.raw.meets(&its.raw) && meet();
    }
    meet()
}

/// True if the router matches every request to `mount` against the operations of `other` as well.
fn is_beside(mount: &ir::Mount, other: &ir::Mount) -> bool {
    let listeners = mount.listeners.iter();
    let hosts = match mount.hosts.is_empty() {
        true => other.hosts.is_empty(),
        false => mount.hosts.iter().all(|host| other.hosts.contains(host)),
    };
    hosts
        && listeners
            .into_iter()
            .all(|name| other.listeners.contains(name))
}

fn methods_meet(a: &str, b: &str) -> bool {
    let read = |method: &str| matches!(method, "GET" | "HEAD");
    a == b || read(a) && read(b) || a == ANY || b == ANY
}

/// Method of operations that accept any method.
const ANY: &str = "*";

/// Places of all operations of a lowered gateway, and its shared definitions.
#[must_use]
pub fn of_gateway(gateway: &ir::Gateway) -> (Shared<'_>, Vec<Place<'_>>) {
    let shared = &gateway.shared;
    let named = Shared {
        listeners: shared
            .listeners
            .iter()
            .map(|one| (one.name.as_str(), one))
            .collect(),
        upstreams: shared
            .upstreams
            .iter()
            .map(|one| (one.name.as_str(), one))
            .collect(),
        policies: shared
            .policies
            .iter()
            .map(|one| (one.name.as_str(), &one.checked))
            .collect(),
    };
    let mut places = Vec::new();
    for api in &gateway.apis {
        for mount in &api.mounts {
            for operation in &api.operations {
                let treatment = &api.treatments[operation.treatment as usize];
                let policies = treatment.chain.iter().filter_map(|link| match link {
                    ir::Link::Authenticate => None,
                    ir::Link::Shared(name) => named.policies.get(name.as_str()).copied(),
                    ir::Link::Own(name) => api.policies.get(name).map(|one| &one.checked),
                });
                places.push(Place {
                    api: &api.name,
                    key: &operation.key,
                    method: match operation.owns.is_described() {
                        true => &operation.method,
                        false => ANY,
                    },
                    template: &operation.template,
                    mount,
                    security: &treatment.security,
                    policies: policies.collect(),
                    forwarding: treatment.settings(),
                    upstream: &treatment.upstream,
                    is_internal: false,
                });
            }
        }
    }
    (named, places)
}
