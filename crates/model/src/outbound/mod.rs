//! Paths that upstreams receive, and bypasses: operations with weaker protection whose requests
//! reach the same path of the same host as the requests of a protected operation.
//!
//! The router separates operations whose requests are forwarded unchanged. It cannot separate
//! requests that a rewrite, a removed base path, a target's path, a split or a mirror sends to
//! another path or host.

mod ends;
mod inherited;
pub(crate) mod lint;
mod mappings;
mod openings;
pub mod origins;
mod path;
mod path_index;
mod protection;

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::declared::Settings;
use policy::{Checked, Protection as Refused};
use rustc_hash::FxHashSet;
use sources::parallel;

use self::ends::{End, ends};
pub use self::ends::{Sent, receivers, receiving_servers};
use self::mappings::{Mapping, Mappings, covers_hosts};
pub use self::openings::{Extent, Opening, Openings, Side, openings};
pub use self::path::Path;
pub use self::protection::Protection;

/// Maximum number of path comparisons for one gateway. Each operation gets an equal part of this
/// number. Operations that need more divide the unused rest among them. Operations that exceed
/// their part are listed in [`NotCompared`].
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
    /// Client requests of internal operations, which no other operation receives.
    hidden: Vec<Mapping<'a>>,
}

impl Shared<'_> {
    /// Copy of these definitions in which each upstream has the targets of the upstream with the
    /// same name in `new`. An upstream with other targets is still the same upstream. `renamed`:
    /// new names of upstreams whose names do not exist in `new`. `None` if no upstream has other
    /// targets.
    #[must_use]
    pub fn with_targets_of(&self, new: &Self, renamed: &BTreeMap<&str, &str>) -> Option<Self> {
        let mut upstreams = self.upstreams.clone();
        let mut is_changed = false;
        for (name, upstream) in &mut upstreams {
            let renamed = || new.upstreams.get(renamed.get(name)?);
            if let Some(other) = new.upstreams.get(name).or_else(renamed).copied() {
                is_changed |= upstream.servers_and_paths() != other.servers_and_paths();
                *upstream = other;
            }
        }
        is_changed.then(|| Self {
            listeners: self.listeners.clone(),
            upstreams,
            policies: self.policies.clone(),
            hidden: self.hidden.clone(),
        })
    }
}

/// Operation at one mount.
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
    /// True if the operation has conditions (`match`), so that it can refuse requests at its path.
    pub is_conditional: bool,
    /// Priority of the operation. The router prefers a greater one.
    pub priority: i32,
    /// True if the operation is internal.
    pub is_internal: bool,
    /// True if requests are validated, or if a policy refuses requests because of their content or
    /// number.
    pub has_checks: bool,
}

/// True if a policy refuses requests because of their content or number.
fn is_check(checked: &Checked) -> bool {
    matches!(
        policy::protection(checked.kind()),
        Some(Refused::Content | Refused::Contract | Refused::Limit)
    )
}

/// True for methods that the gateway never serves: TRACE and CONNECT.
#[must_use]
pub fn is_unserved(method: &str) -> bool {
    matches!(method, "TRACE" | "CONNECT")
}

/// True if a policy answers every request, so that no upstream receives a request.
#[must_use]
pub fn answers(checked: &Checked) -> bool {
    matches!(checked, Checked::Respond(_) | Checked::Redirect(_)) || checked.kind() == "mock"
}

/// New names of upstreams, by the old names: the upstream that most operations of an old upstream
/// use now. `places`: the operations of the old and the new version.
#[must_use]
pub fn renamed_upstreams<'p>([old, new]: [&'p [Place<'_>]; 2]) -> BTreeMap<&'p str, &'p str> {
    let now: BTreeMap<[&str; 2], &str> = new
        .iter()
        .map(|place| ([place.api, place.key], place.upstream))
        .collect();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for place in old {
        if let Some(name) = now.get(&[place.api, place.key]) {
            *counts.entry((place.upstream, *name)).or_default() += 1;
        }
    }
    let mut most: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for ((was, is), count) in counts {
        let known = most.entry(was).or_insert((count, is));
        if count > known.0 {
            *known = (count, is);
        }
    }
    most.into_iter().map(|(was, (_, is))| (was, is)).collect()
}

/// Operation at a mount, with its protection and its destinations.
#[derive(Debug)]
struct OutboundOperation<'a> {
    place: &'a Place<'a>,
    protection: Protection,
    ends: Vec<End>,
    /// Destinations of inherited requests: requests to one of `ends` that a different operation of
    /// the old version received ([`Outbound::with_inherited`]).
    inherited: Vec<End>,
}

/// Bypasses among the operations of a gateway.
#[derive(Debug, Default)]
pub struct Survey {
    /// Bypasses, by the key of the less protected operation.
    pub bypasses: BTreeMap<String, Bypass>,
    /// Operations that could not be compared with all protected operations.
    pub not_compared: NotCompared,
}

/// Bypass of protected operations by one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bypass {
    /// Keys of the bypassed operations.
    pub keys: BTreeSet<String>,
    /// Methods, hosts and paths at upstreams through which the operation bypasses the operations in
    /// `keys`.
    pub reached: BTreeSet<String>,
}

/// Keys of the operations that need more comparisons of paths than their part of
/// [`COMPARISONS_MAX`].
#[derive(Debug, Default)]
pub struct NotCompared(BTreeSet<String>);

impl NotCompared {
    /// Message that names the first of these operations and the number of the others. `None` if all
    /// operations were compared.
    #[must_use]
    pub fn gap(&self) -> Option<String> {
        let first = self.0.first()?;
        let operations = match self.0.len() {
            1 => format!("`{first}` was"),
            many => format!("`{first}` and {} more operations were", many - 1),
        };
        Some(format!(
            "{operations} not compared with all protected operations for a bypass: this project \
needs more than {} comparisons of paths, the limit of gwc",
            comparisons_max()
        ))
    }

    /// Keys of the operations, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Key of the first operation.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }
}

impl Place<'_> {
    /// True if the gateway sends no request of the operation to an upstream: it never serves the
    /// method, or a policy answers every request.
    #[must_use]
    pub fn answers(&self) -> bool {
        let mut policies = self.policies.iter();
        is_unserved(self.method) || policies.any(|checked| answers(checked))
    }

    /// Path in client requests, with the mount's base path.
    fn inbound(&self) -> String {
        inbound(self.mount, self.template)
    }
}

/// Path of a template in client requests, with the mount's base path.
fn inbound(mount: &ir::Mount, template: &ir::Template) -> String {
    format!("{}{}", mount.base_path, path::pattern(template))
}

/// Destinations, each with the index of its operation. Key: host and first path segment. The
/// segment is `None` if it contains a parameter.
type Index<'e> = BTreeMap<(&'e str, Option<&'e str>), Vec<(usize, &'e End)>>;

/// Operations of a gateway with their protection and their destinations.
#[derive(Debug)]
pub struct Outbound<'a> {
    operations: Vec<OutboundOperation<'a>>,
    /// Mappings of the operations, in the same order, then those of internal operations.
    mappings: Mappings<'a>,
}

impl<'a> Outbound<'a> {
    /// Computes the destinations of operations.
    #[must_use]
    pub fn of(shared: &Shared<'a>, places: &'a [Place<'a>]) -> Self {
        let of = |place: &'a Place<'a>| {
            let operation = OutboundOperation {
                place,
                protection: Protection::of(shared, place),
                ends: ends(shared, place),
                inherited: Vec::new(),
            };
            let request = (place.method, place.inbound());
            let selection = (place.is_conditional, place.priority);
            (operation, Mapping::new(place.mount, request, selection))
        };
        let all = match places.len() {
            0..PARALLEL_MIN => places.iter().map(of).collect(),
            _ => parallel::map(places.iter().collect(), of),
        };
        let (operations, mappings): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let mappings = mappings.into_iter();
        let mappings = mappings.chain(shared.hidden.iter().cloned());
        Self {
            operations,
            mappings: Mappings::of(mappings.collect()),
        }
    }

    /// True if other operations receive the client requests that the operation at index `at`, which
    /// has the destination `its`, would have sent to `end`. The router then sends none of them to
    /// `end`, whatever the other operations do with them. `listener`: see
    /// [`Mappings::is_separated`].
    fn is_separated(&self, (at, its): (usize, &End), end: &End, listener: Option<&str>) -> bool {
        let own = self.operations[at].place.method;
        let method = match own == its.method {
            true => end.method.as_str(),
            false => own,
        };
        let is_separated = |path: &str| self.mappings.is_separated(at, (path, method), listener);
        let path = its.client_path(end);
        path.is_some_and(|path| is_separated(&path))
    }

    /// True if every listener of the operation at this index requires a client certificate.
    #[must_use]
    pub fn requires_certificate(&self, at: usize) -> bool {
        self.operations[at].protection.requires_certificate()
    }

    /// True if no upstream receives a request of the operation at this index.
    #[must_use]
    pub fn sends_nothing(&self, at: usize) -> bool {
        let ends = &self.operations[at].ends;
        !ends.is_empty() && !ends.iter().any(End::is_sent)
    }

    /// Methods, hosts and paths that the operation at this index reaches at upstreams. Leaves out
    /// destinations that receive no request.
    pub fn reached(&self, at: usize) -> impl Iterator<Item = String> {
        let ends = self.operations[at].ends.iter();
        ends.filter(|end| end.is_sent()).map(End::reached)
    }

    /// Indexes the destinations of the operations for which `is_one` returns true.
    fn index(&self, is_one: impl Fn(&OutboundOperation<'_>) -> bool) -> Index<'_> {
        let mut index: Index<'_> = BTreeMap::new();
        for (at, operation) in self
            .operations
            .iter()
            .enumerate()
            .filter(|(_, operation)| is_one(operation))
        {
            for end in &operation.ends {
                for path in &end.readings {
                    let key = (end.host.as_str(), path.first_literal());
                    let list = index.entry(key).or_default();
                    if list
                        .last()
                        .is_none_or(|(last, known)| *last != at || *known != end)
                    {
                        list.push((at, end));
                    }
                }
            }
        }
        index
    }
}

/// Number of comparisons that one operation may still make.
struct Allowance(usize);

/// The comparisons of an operation exceed its allowance.
struct Exceeded;

impl Allowance {
    fn take(&mut self, count: usize) -> Result<(), Exceeded> {
        self.0 = self.0.checked_sub(count).ok_or(Exceeded)?;
        Ok(())
    }

    /// Destinations of an index that have the host of `end` and may have its path. Each destination
    /// counts as one comparison.
    fn near<'e>(
        &mut self,
        end: &End,
        index: &Index<'e>,
    ) -> Result<Vec<(usize, &'e End)>, Exceeded> {
        let mut near = Vec::new();
        let mut lists_read = 0;
        for path in &end.readings {
            let host = end.host.as_str();
            let lists: Vec<_> = match path.first_literal() {
                // Paths whose first segment is a parameter, and paths whose first segment is
                // `first`.
                Some(first) => [None, Some(first)]
                    .into_iter()
                    .filter_map(|first| index.get(&(host, first)))
                    .collect(),
                None => index
                    .range((host, None)..)
                    .take_while(|((other, _), _)| *other == host)
                    .map(|(_, list)| list)
                    .collect(),
            };
            for list in lists {
                self.take(list.len())?;
                near.extend(list);
                lists_read += 1;
            }
        }
        // A list contains each destination once.
        if lists_read > 1 {
            let mut seen = FxHashSet::default();
            near.retain(|(at, other)| seen.insert((*at, std::ptr::from_ref(*other))));
        }
        Ok(near)
    }
}

/// Minimum number of operations for a comparison on several threads.
const PARALLEL_MIN: usize = 256;

/// Runs `compare` for each operation with an equal part of [`COMPARISONS_MAX`]. For operations that
/// exceed their part, runs `compare` again with the unused comparisons. Returns the results, and
/// the operations that were not compared.
fn within_limit<R: Send>(
    operations: Vec<usize>,
    key: impl Fn(usize) -> String,
    compare: impl Fn(usize, &mut Allowance) -> Result<R, Exceeded> + Send + Sync,
) -> (Vec<(usize, R)>, NotCompared) {
    let mut left = comparisons_max();
    let mut rest = operations;
    let mut results = Vec::new();
    for _ in 0..2 {
        let share = left / rest.len().max(1);
        let of = |at| {
            let mut allowance = Allowance(share);
            let result = compare(at, &mut allowance);
            (at, share - allowance.0, result)
        };
        let items = std::mem::take(&mut rest);
        let all: Vec<_> = match items.len() {
            0..PARALLEL_MIN => items.into_iter().map(of).collect(),
            _ => parallel::map(items, of),
        };
        for (at, taken, result) in all {
            match result {
                Ok(result) => {
                    left = left.saturating_sub(taken);
                    results.push((at, result));
                }
                Err(Exceeded) => rest.push(at),
            }
        }
    }
    let not_compared = NotCompared(rest.into_iter().map(key).collect());
    results.sort_by_key(|(at, _)| *at);
    (results, not_compared)
}

/// Computes the bypasses among the operations of a project.
#[must_use]
pub fn survey(shared: &Shared<'_>, places: &[Place<'_>]) -> Survey {
    let outbound = Outbound::of(shared, places);
    let operations = &outbound.operations;
    let guarded = outbound.index(|operation| !operation.protection.is_none());
    let served = (0..operations.len()).filter(|at| !operations[*at].place.is_internal);
    let key = |at: usize| operations[at].place.key.to_owned();
    let (found, not_compared) = within_limit(served.collect(), key, |at, allowance| {
        let operation = &operations[at];
        let mut found = Vec::new();
        for end in operation.ends.iter().filter(|end| end.is_sent()) {
            for (other, its) in allowance.near(end, &guarded)? {
                let protected = &operations[other];
                if protected.place.key != operation.place.key
                    && reaches((operation, end), (protected, its))
                    && !operation.protection.covers(&protected.protection)
                {
                    found.push((protected.place.key, end.reached()));
                }
            }
        }
        Ok(found)
    });
    let mut bypasses: BTreeMap<String, Bypass> = BTreeMap::new();
    for (at, found) in found {
        for (protected, reached) in found {
            let bypass = bypasses.entry(key(at)).or_default();
            bypass.keys.insert(protected.to_owned());
            bypass.reached.insert(reached);
        }
    }
    Survey {
        bypasses,
        not_compared,
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

/// True if requests of one operation reach the destination of another operation, and the router
/// does not separate the two operations.
fn reaches(
    (operation, end): (&OutboundOperation<'_>, &End),
    (other, its): (&OutboundOperation<'_>, &End),
) -> bool {
    if !methods_meet(&end.method, &its.method) {
        return false;
    }
    let overlap = || {
        let mut pairs = end
            .readings
            .iter()
            .flat_map(|path| its.readings.iter().map(move |other| (path, other)));
        pairs.any(|(path, other)| path.overlaps(other))
    };
    // The router already separates the two operations by path and method, so only another spelling
    // of a path can be a bypass.
    if are_routed((operation, end), (other, its)) {
        return end.is_literal() && !end.raw.overlaps(&its.raw) && overlap();
    }
    overlap()
}

/// True if the router decides by path and method which of two operations sends a request.
fn are_routed(
    (operation, end): (&OutboundOperation<'_>, &End),
    (other, its): (&OutboundOperation<'_>, &End),
) -> bool {
    let keeps_method =
        |operation: &OutboundOperation<'_>, end: &End| operation.place.method == end.method;
    end.has_same_path_mapping(its)
        && is_beside(operation.place.mount, other.place.mount)
        && keeps_method(operation, end)
        && keeps_method(other, its)
}

/// True if the router also matches every request to `mount` against the operations of the mount
/// `other`.
fn is_beside(mount: &ir::Mount, other: &ir::Mount) -> bool {
    let mut listeners = mount.listeners.iter();
    covers_hosts(mount, other) && listeners.all(|name| other.listeners.contains(name))
}

fn methods_meet(a: &str, b: &str) -> bool {
    method_contains(a, b) || b == ANY
}

/// True if the method `a` includes the method `b`. [`ANY`] includes every method, and `GET`
/// includes `HEAD`, because upstreams treat both alike.
fn method_contains(a: &str, b: &str) -> bool {
    let read = |method: &str| matches!(method, "GET" | "HEAD");
    a == b || read(a) && read(b) || a == ANY
}

/// Method of operations that accept any method.
const ANY: &str = "*";

/// Operations of a lowered gateway at their mounts, and the definitions that they share.
#[must_use]
pub fn of_gateway(gateway: &ir::Gateway) -> (Shared<'_>, Vec<Place<'_>>) {
    let shared = &gateway.shared;
    let mut named = Shared {
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
        hidden: Vec::new(),
    };
    let mut places = Vec::new();
    for api in &gateway.apis {
        for mount in &api.mounts {
            let hidden = api.hidden.iter().map(|one| {
                let request = (one.method.as_str(), inbound(mount, &one.template));
                Mapping::new(mount, request, (!one.conditions.is_empty(), one.priority))
            });
            named.hidden.extend(hidden);
            for operation in &api.operations {
                let treatment = &api.treatments[operation.treatment as usize];
                let policies = treatment.chain.iter().filter_map(|link| match link {
                    ir::Link::Authenticate => None,
                    ir::Link::Shared(name) => named.policies.get(name.as_str()).copied(),
                    ir::Link::Own(name) => api.policies.get(name).map(|one| &one.checked),
                });
                let policies: Vec<&Checked> = policies.collect();
                let is_validated = treatment.forwarding.validate.is_some();
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
                    has_checks: is_validated || policies.iter().any(|one| is_check(one)),
                    policies,
                    forwarding: treatment.settings(),
                    upstream: &treatment.upstream,
                    is_conditional: !operation.conditions.is_empty(),
                    priority: operation.priority,
                    is_internal: false,
                });
            }
        }
    }
    (named, places)
}
