//! Effects of a plan on logged requests: requests that another operation would serve, that would be
//! refused or newly served, or whose operation the plan changes (plan.md, *Requests of access
//! logs*).
//!
//! Access logs contain no credentials and few fields, so that only routing is decided for each
//! request. A request that stays with its operation counts as *changed* if a line of the plan names
//! the operation. If conditions (`match`) on fields could choose another operation, the request is
//! *undetermined*.

pub mod har;
pub mod log_line;
mod sample;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use engine::router::RejectReason;
use engine::{BuildError, Owner, RouteRef};
use http::header::HOST;
use http::{Method, Request, Uri};
use policy::logged::SecretParameters;

use super::ask::{OUTSIDER, Oracle};
use super::callers::Callers;
use super::{Change, Class, Plan, Section, Side, reaches};
use log_line::LoggedRequest;
use sample::At;

/// Maximum number of requests whose result is kept. Results are kept because logs contain the same
/// paths many times.
const KEPT_MAX: usize = 1 << 20;

/// Effect of the new version on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Served before, refused now.
    Refused,
    /// Refused before, served now.
    Served,
    /// Another operation serves the request.
    Moved,
    /// The same operation serves the request, and the plan has a line about the operation.
    Changed,
    /// The outcome depends on fields that the log does not contain.
    Undetermined,
    /// No difference.
    Same,
}

impl Effect {
    /// All effects, in the order of a report.
    pub const ALL: [Self; 6] = [
        Self::Refused,
        Self::Served,
        Self::Moved,
        Self::Changed,
        Self::Undetermined,
        Self::Same,
    ];

    /// Name of the effect in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Served => "served",
            Self::Moved => "moved",
            Self::Changed => "changed",
            Self::Undetermined => "undetermined",
            Self::Same => "same",
        }
    }

    /// Meaning of the effect for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Refused => "served before, refused now",
            Self::Served => "refused before, served now",
            Self::Moved => "another operation serves them",
            Self::Changed => "the plan changes their operation",
            Self::Undetermined => "the outcome depends on fields that the log does not contain",
            Self::Same => "no difference",
        }
    }
}

/// Requests with the same effect, and the same owners (operations) on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The effect.
    pub effect: Effect,
    /// Owners of the requests on the old and the new side: the key of an operation, `gateway`, or
    /// the reason of the refusal.
    pub owners: [String; 2],
    /// Number of requests.
    pub count: u64,
    /// Classes of the plan's lines about the operation. Empty unless the effect is `Changed`.
    pub classes: BTreeSet<Class>,
    /// Method and target of the group's first request, safe for display. Excludes credentials and
    /// the values that the access log hides.
    pub sample: String,
}

/// Result of a replay.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Number of requests.
    pub requests: u64,
    /// Number of lines that contain no readable request.
    pub unread: u64,
    /// Groups with an effect other than `Same`, by effect and then by count, the largest first.
    pub groups: Vec<Group>,
    /// Number of requests with each effect.
    pub counts: BTreeMap<&'static str, u64>,
    /// Callers of each operation, by the operation's key on the old or the new side.
    pub callers: BTreeMap<String, Callers>,
}

impl Replayed {
    /// Adds the callers to each change of the contract, and to each operation that is removed.
    pub fn add_callers(&self, plan: &mut Plan) {
        let concerned = |change: &&mut Change| {
            change.section == Section::Breaking || change.id == "operation-removed"
        };
        for change in plan.changes.iter_mut().filter(concerned) {
            let mut met = change.met.take().unwrap_or_default();
            for key in &change.operations {
                if let Some(callers) = self.callers.get(key) {
                    met.merge(callers);
                }
            }
            change.met = Some(met);
        }
    }
}

/// Two gateways, and the results so far.
pub struct Replay {
    sides: [Oracle; 2],
    /// Classes of the plan's lines by the key of the operation.
    lines: HashMap<String, BTreeSet<Class>>,
    /// Listener of requests whose log line names no listener. The next field is the host of
    /// requests whose log line names no host.
    listener: Option<String>,
    host: String,
    /// Query parameters of the credentials of both sides.
    credentials: SecretParameters,
    groups: Vec<Group>,
    /// Index in `groups`, by effect and by the owners on both sides.
    by_owners: HashMap<(Effect, [String; 2]), usize>,
    /// Index in `groups` by the hash of a request. The hash has a random key, so that no author of
    /// a log can write a log with collisions.
    known: HashMap<u64, usize>,
    hashing: RandomState,
    /// Callers of the requests of each group.
    callers: Vec<Callers>,
    unread: u64,
}

/// Owner of a request on one side.
enum Found<'s> {
    Operation(RouteRef<'s>),
    Gateway,
    Refused(&'static str),
    Conditional,
}

impl Replay {
    /// Begins a replay. `plan` is the comparison of the two sides. A request without a listener
    /// counts as a request to `listener`. Default: the only listener of a side, or the first one. A
    /// request without a host has `host`.
    ///
    /// # Errors
    /// Returns the error with which gwd would refuse a side.
    pub fn new(
        (old, new): (&Side, &Side),
        plan: &Plan,
        (listener, host): (Option<&str>, &str),
    ) -> Result<Self, BuildError> {
        let oracle = |side: &Side| Oracle::build(&side.lowered.gateway, &side.bundle.to_string());
        Ok(Self {
            sides: [oracle(old)?, oracle(new)?],
            lines: lines(plan, &reaches::of_changes(&plan.changes, Some(old), new)),
            listener: listener.map(str::to_owned),
            host: host.to_owned(),
            credentials: sample::credentials([old, new]),
            groups: Vec::new(),
            by_owners: HashMap::new(),
            known: HashMap::new(),
            hashing: RandomState::new(),
            callers: Vec::new(),
            unread: 0,
        })
    }

    /// Names of the listeners that exist on at least one side.
    #[must_use]
    pub fn listeners(&self) -> BTreeSet<&str> {
        let all = self
            .sides
            .iter()
            .flat_map(|side| side.snapshot().listeners());
        all.map(|listener| &*listener.name).collect()
    }

    /// Counts a line of an access log.
    pub fn add_line(&mut self, line: &[u8]) {
        match log_line::read(line) {
            Some(request) => self.add(&request),
            None => self.unread += 1,
        }
    }

    /// Counts a request.
    pub fn add(&mut self, request: &LoggedRequest<'_>) {
        let listener = request.listener.as_deref();
        let host = request.host.as_deref();
        let hash = self
            .hashing
            .hash_one((listener, host, &*request.method, &*request.target));
        if let Some(group) = self.known.get(&hash) {
            self.groups[*group].count += 1;
            self.callers[*group].add(request.consumer.as_deref());
            return;
        }
        let Some((effect, owners)) = self.effect_of(request) else {
            self.unread += 1;
            return;
        };
        let group = match self.by_owners.get(&(effect, owners.clone())) {
            Some(group) => *group,
            None => {
                let classes = match effect {
                    Effect::Changed => self.lines.get(&owners[1]).cloned().unwrap_or_default(),
                    _ => BTreeSet::new(),
                };
                self.groups.push(Group {
                    effect,
                    owners: owners.clone(),
                    count: 0,
                    classes,
                    sample: self.sample(request),
                });
                self.callers.push(Callers::default());
                let index = self.groups.len() - 1;
                self.by_owners.insert((effect, owners), index);
                index
            }
        };
        self.groups[group].count += 1;
        self.callers[group].add(request.consumer.as_deref());
        if self.known.len() >= KEPT_MAX {
            self.known.clear();
        }
        self.known.insert(hash, group);
    }

    /// Finds the owners of a request on both sides (the operations that handle the request), and
    /// compares the owners. Returns the effect and the owners. `None` if the request is malformed.
    fn effect_of(&self, request: &LoggedRequest<'_>) -> Option<(Effect, [String; 2])> {
        let [old, new] = &self.sides;
        let (was, is) = (self.find(old, request)?, self.find(new, request)?);
        let effect = match (&was, &is) {
            (Found::Conditional, _) | (_, Found::Conditional) => Effect::Undetermined,
            (Found::Refused(_), Found::Refused(_)) => Effect::Same,
            (_, Found::Refused(_)) => Effect::Refused,
            (Found::Refused(_), _) => Effect::Served,
            (Found::Operation(was), Found::Operation(is))
                if was.operation.key != is.operation.key =>
            {
                Effect::Moved
            }
            (Found::Operation(_), Found::Operation(is)) => {
                match self.lines.contains_key(&is.operation.key) {
                    true => Effect::Changed,
                    false => Effect::Same,
                }
            }
            (Found::Gateway, Found::Gateway) => Effect::Same,
            (Found::Gateway, Found::Operation(_)) | (Found::Operation(_), Found::Gateway) => {
                Effect::Moved
            }
        };
        Some((effect, [name(&was), name(&is)]))
    }

    /// Finds the operation or other part of one version that handles a request. `None` if the
    /// request is malformed.
    fn find<'s>(&self, side: &'s Oracle, request: &LoggedRequest<'_>) -> Option<Found<'s>> {
        let at = match self.admit(side, request)? {
            Ok(at) => at,
            Err(code) => return Some(Found::Refused(code)),
        };
        let (snapshot, listener, head) = (at.snapshot, at.listener, &at.head);
        let contenders = snapshot.contenders(listener, head);
        let mut fitting = contenders
            .iter()
            .filter(|(_, reason)| !matches!(reason, Some(RejectReason::Method)));
        if fitting.any(|(route, _)| !route.operation.conditions.is_empty()) {
            return Some(Found::Conditional);
        }
        Some(match engine::owner(snapshot, listener, head) {
            Owner::Operation(route) | Owner::Redirected(route) => Found::Operation(route),
            Owner::Gateway => Found::Gateway,
            Owner::Refused(refused) => Found::Refused(refused.code),
            Owner::Conditional => Found::Conditional,
        })
    }

    /// Head of a request that one side admits, or the code of the refusal. `None` if the request is
    /// malformed.
    fn admit<'s>(
        &self,
        side: &'s Oracle,
        request: &LoggedRequest<'_>,
    ) -> Option<Result<At<'s>, &'static str>> {
        let snapshot = side.snapshot();
        let listeners = snapshot.listeners();
        let wanted = request.listener.as_deref().or(self.listener.as_deref());
        let listener = match wanted {
            Some(name) => match listeners.iter().position(|one| *one.name == *name) {
                Some(listener) => listener,
                None => return Some(Err("no_listener")),
            },
            None => 0,
        };
        let uri: Uri = request.target.parse().ok()?;
        let host = request.host.as_deref().unwrap_or(&self.host);
        let request = Request::builder()
            .method(Method::from_bytes(request.method.as_bytes()).ok()?)
            .uri(uri)
            .header(HOST, host);
        let (parts, ()) = request.body(()).ok()?.into_parts();
        let admitted = engine::edge::admit(parts, listeners.get(listener)?, OUTSIDER);
        Some(match admitted {
            Ok(admitted) => Ok(At {
                snapshot,
                listener,
                head: admitted.head,
            }),
            Err(refused) => Err(refused.code),
        })
    }

    fn sample(&self, request: &LoggedRequest<'_>) -> String {
        let admitted = self
            .sides
            .iter()
            .filter_map(|side| self.admit(side, request));
        let admitted: Vec<At<'_>> = admitted.filter_map(Result::ok).collect();
        let hides_values = self.sides.iter().any(|side| side.snapshot().hides_values());
        sample::sample(request, &self.credentials, (&admitted, hides_values))
    }

    /// Ends the replay.
    #[must_use]
    pub fn end(self) -> Replayed {
        let mut counts: BTreeMap<&'static str, u64> = Effect::ALL
            .iter()
            .map(|effect| (effect.name(), 0))
            .collect();
        for group in &self.groups {
            *counts.entry(group.effect.name()).or_default() += group.count;
        }
        let mut callers: BTreeMap<String, Callers> = BTreeMap::new();
        for (group, its) in self.groups.iter().zip(self.callers) {
            let owners: BTreeSet<&String> = group.owners.iter().collect();
            for owner in owners {
                callers.entry(owner.clone()).or_default().merge(&its);
            }
        }
        let mut groups = self.groups;
        groups.retain(|group| group.effect != Effect::Same);
        groups.sort_by(|a, b| {
            let by_count = b.count.cmp(&a.count);
            let order = a.effect.cmp(&b.effect).then(by_count);
            order.then_with(|| a.owners.cmp(&b.owners))
        });
        Replayed {
            requests: counts.values().sum(),
            unread: self.unread,
            groups,
            counts,
            callers,
        }
    }
}

fn name(found: &Found<'_>) -> String {
    match found {
        Found::Operation(route) => route.operation.key.clone(),
        Found::Gateway => "gateway".to_owned(),
        Found::Refused(code) => (*code).to_owned(),
        Found::Conditional => "depends on conditions".to_owned(),
    }
}

/// Classes of the lines about each operation. `reached`: all operations that each change of a
/// definition reaches. Leaves out lines of the section Routing, because the
/// replay decides routing for each request. Leaves out lines of the section Docs, because they
/// change no request.
fn lines(plan: &Plan, reached: &[BTreeSet<String>]) -> HashMap<String, BTreeSet<Class>> {
    let mut lines: HashMap<String, BTreeSet<Class>> = HashMap::new();
    for (change, reached) in plan.changes.iter().zip(reached) {
        if matches!(
            change.section,
            Section::Routing | Section::Docs | Section::Rules
        ) {
            continue;
        }
        for key in change.operations.iter().chain(reached) {
            lines.entry(key.clone()).or_default().insert(change.class);
        }
    }
    lines
}
