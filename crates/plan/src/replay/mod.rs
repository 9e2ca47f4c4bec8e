//! Effects of a plan on logged requests: requests that another operation would serve, that would be
//! refused or newly served, that upstreams would receive otherwise, or whose operation the plan
//! changes (plan.md, *Requests of access logs*).
//!
//! Access logs contain no credentials and few fields. Routing is decided for each request. If the
//! plan has lines about the operation or about the consumer, the engines of both sides decide the
//! request ([`decision`]). A request whose decision depends on something that the log does not
//! contain is *undetermined*, for example on conditions (`match`) on fields.

mod decision;
pub mod har;
pub mod log_line;
mod outcome;
mod received;
mod refused;
mod sample;
mod stand_in;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use engine::router::RejectReason;
use engine::{BuildError, Owner, RouteRef};
use policy::logged::SecretParameters;

use super::ask::{OUTSIDER, Oracle};
use super::callers::Callers;
use super::{Change, Class, Plan, Section, Side, reaches};
use decision::{Decider, Difference, Lines, Replayed as Logged, lines_about, was_refused};
use log_line::LoggedRequest;
use received::Defaults;
use refused::ParameterChecks;
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
    /// Another server receives the request, or the gateway itself answers it.
    Rerouted,
    /// The server receives another request.
    Rewritten,
    /// The same operation serves the request, and the plan has a line about the operation. Nothing
    /// shows that the line concerns the request.
    Changed,
    /// The outcome depends on something that the log does not contain.
    Undetermined,
    /// No difference.
    Same,
}

impl Effect {
    /// All effects, in the order of a report.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::Served,
        Self::Moved,
        Self::Rerouted,
        Self::Rewritten,
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
            Self::Rerouted => "rerouted",
            Self::Rewritten => "rewritten",
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
            Self::Rerouted => "another server receives them, or the gateway answers",
            Self::Rewritten => "the upstream receives another request",
            Self::Changed => "the plan changes their operation",
            Self::Undetermined => "the outcome depends on what the log does not contain",
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
    /// Classes of the plan's lines about the operation and the consumer, if an operation serves the
    /// requests on both sides. Otherwise empty.
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
    /// Number of lines of a sampled log (`sample_ratio`). Each of them counts for 1 / ratio requests,
    /// so that all counts are estimates. 0: the counts are exact.
    pub sampled: u64,
    /// Number of lines that contain no readable request.
    pub unread: u64,
    /// Groups with an effect other than `Same`, by effect and then by count, the largest first.
    pub groups: Vec<Group>,
    /// Number of requests with each effect.
    pub counts: BTreeMap<&'static str, u64>,
    /// Callers of each operation, by the operation's key on the old or the new side.
    pub callers: BTreeMap<String, Callers>,
    /// Callers of the requests that only the new contract refuses, by the operation's key on the new
    /// side and by the parameter that is refused, such as `query limit`.
    refused: BTreeMap<String, BTreeMap<String, Callers>>,
    /// True if the log has the values of parameters. False if a side hides values from its log, or if
    /// lines have a path without its query.
    has_values: bool,
}

impl Replayed {
    /// Adds the callers to each change of the contract, and to each operation that is removed. A
    /// break in a parameter of the path or query gets the callers whose requests the new contract
    /// refuses. All other changes of the contract get the callers of their operations, which is an
    /// upper bound.
    pub fn add_callers(&self, plan: &mut Plan) {
        let concerned = |change: &&mut Change| {
            change.section == Section::Breaking || change.id == "operation-removed"
        };
        for change in plan.changes.iter_mut().filter(concerned) {
            let mut met = change.met.take().unwrap_or_default();
            let is_exact = self.has_values && refused::is_in_logs(change);
            met.is_upper_bound |= change.section == Section::Breaking && !is_exact;
            for key in &change.operations {
                let callers = match is_exact {
                    true => self.refused_by(change, key),
                    false => self.callers.get(key),
                };
                callers.into_iter().for_each(|callers| met.merge(callers));
            }
            change.met = Some(met);
        }
    }
}

impl Replayed {
    /// Callers of the requests to an operation that a change breaks.
    fn refused_by(&self, change: &Change, key: &str) -> Option<&Callers> {
        let parameters = self.refused.get(key)?.iter();
        let own = parameters.filter(|(parameter, _)| refused::concerns(change, parameter));
        let longest = own.max_by_key(|(parameter, _)| parameter.len());
        longest.map(|(_, callers)| callers)
    }
}

/// Two gateways, and the results so far.
pub struct Replay<'a> {
    sides: [Oracle; 2],
    /// `None` if the plan has no lines that can change a decision.
    decider: Option<Decider<'a>>,
    /// Lines of the plan by the key of the operation, and by the name of the consumer.
    lines: HashMap<String, Lines>,
    consumers: HashMap<String, Lines>,
    defaults: Defaults,
    /// Query parameters of the credentials of both sides.
    credentials: SecretParameters,
    checks: ParameterChecks<'a>,
    groups: Vec<Group>,
    /// Index in `groups`, by effect, by the owners on both sides, and by the parameters that only
    /// the new contract refuses.
    by_owners: HashMap<GroupKey, usize>,
    /// Index in `groups` by the hash of a request. The hash has a random key, so that no author of
    /// a log can write a log with collisions.
    known: HashMap<u64, usize>,
    hashing: RandomState,
    /// Callers of the requests of each group.
    callers: Vec<Callers>,
    unread: u64,
    sampled: u64,
    /// Fraction of a request that the counts of the sampled lines so far leave out.
    carry: f64,
    /// True if at least one line has a path without its query.
    lacks_queries: bool,
}

/// Effect, owners on both sides, and parameters that only the new contract refuses.
type GroupKey = (Effect, [String; 2], Vec<String>);

/// Effect on a request, the owners on both sides, and the classes of the lines.
struct Affected {
    effect: Effect,
    owners: [String; 2],
    classes: BTreeSet<Class>,
    /// Parameters that only the new contract refuses.
    refused: Vec<String>,
}

/// Code of a request to a listener that a side does not have.
const NO_LISTENER: &str = "no_listener";

/// Owner of a request on one side.
enum Found<'s> {
    Operation(RouteRef<'s>),
    Gateway,
    Refused(&'static str),
    Conditional,
}

impl<'a> Replay<'a> {
    /// Begins a replay. `plan` is the comparison of the two sides. A request without a listener
    /// counts as a request to `listener`. Default: the only listener of a side, or the first one. A
    /// request without a host has `host`.
    ///
    /// # Errors
    /// Returns the error with which gwd would refuse a side.
    pub fn new(
        (old, new): (&'a Side, &'a Side),
        plan: &Plan,
        (listener, host): (Option<&str>, &str),
    ) -> Result<Self, BuildError> {
        let [lines, consumers] = lines(plan, (old, new));
        let has_decisions = lines
            .values()
            .chain(consumers.values())
            .any(Lines::is_decided);
        let made = has_decisions.then(|| Decider::new([old, new]));
        let (decider, gateways) = match made {
            Some((decider, gateways)) => (Some(decider), Some(gateways)),
            None => (None, None),
        };
        let [one, other] = match &gateways {
            Some([one, other]) => [one, other],
            None => [&old.lowered.gateway, &new.lowered.gateway],
        };
        Ok(Self {
            sides: [
                Oracle::build(one, &old.bundle.to_string())?,
                Oracle::build(other, &new.bundle.to_string())?,
            ],
            decider,
            lines,
            consumers,
            defaults: Defaults {
                listener: listener.map(str::to_owned),
                host: host.to_owned(),
            },
            credentials: sample::credentials([old, new]),
            checks: ParameterChecks::of([old, new], plan),
            groups: Vec::new(),
            by_owners: HashMap::new(),
            known: HashMap::new(),
            hashing: RandomState::new(),
            callers: Vec::new(),
            unread: 0,
            sampled: 0,
            carry: 0.0,
            lacks_queries: false,
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

    /// Numbers of requests, and of lines without a request, that were counted so far.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let counts = self.groups.iter().map(|group| group.count);
        (counts.sum(), self.unread)
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
        self.lacks_queries |= request.lacks_query;
        let hash = self.hash(request);
        if let Some(group) = self.known.get(&hash) {
            return self.count(*group, request);
        }
        let Some(affected) = self.effect_of(request) else {
            self.unread += 1;
            return;
        };
        let key = (affected.effect, affected.owners, affected.refused);
        let group = match self.by_owners.get(&key) {
            Some(group) => *group,
            None => {
                self.groups.push(Group {
                    effect: key.0,
                    owners: key.1.clone(),
                    count: 0,
                    classes: BTreeSet::new(),
                    sample: self.sample(request),
                });
                self.callers.push(Callers::default());
                let index = self.groups.len() - 1;
                self.by_owners.insert(key, index);
                index
            }
        };
        self.count(group, request);
        self.groups[group].classes.extend(affected.classes);
        if self.known.len() >= KEPT_MAX {
            self.known.clear();
        }
        self.known.insert(hash, group);
    }

    /// Counts a request of a group: once, or as often as a line of a sampled log stands for.
    fn count(&mut self, group: usize, request: &LoggedRequest<'_>) {
        let times = match request.sample_ratio {
            None => 1,
            Some(ratio) => {
                self.sampled += 1;
                self.callers[group].is_estimate = true;
                self.times(ratio)
            }
        };
        self.groups[group].count += times;
        self.callers[group].add(request.consumer.as_deref(), times);
    }

    /// Number of requests for which a sampled line counts. Over several lines, the rounding evens
    /// out.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the ratio is between 1e-6 and 1"
    )]
    fn times(&mut self, ratio: f64) -> u64 {
        let exact = 1.0 / ratio + self.carry;
        let times = exact.round().max(0.0);
        self.carry = exact - times;
        times as u64
    }

    /// Hash of everything that decides about the effect on a request.
    fn hash(&self, request: &LoggedRequest<'_>) -> u64 {
        let LoggedRequest {
            listener,
            consumer,
            scheme,
            scope,
            reason,
            client_ip,
            method,
            host,
            target,
            lacks_query: _,
            sample_ratio: _,
        } = request;
        let received = (listener, host, method, target, was_refused(request));
        let Some(decider) = &self.decider else {
            return self.hashing.hash_one(received);
        };
        let address = client_ip.as_ref().filter(|_| decider.reads_addresses());
        let caller = (consumer, scheme, scope, reason, address);
        self.hashing.hash_one((received, caller))
    }

    /// Finds the owners of a request on both sides (the operations that handle the request), and
    /// compares the owners and the decisions. `None` if the request is malformed.
    fn effect_of(&self, request: &LoggedRequest<'_>) -> Option<Affected> {
        let [old, new] = &self.sides;
        let (was, is) = (self.find(old, request)?, self.find(new, request)?);
        let effect = match (&was, &is) {
            (Found::Conditional, _) | (_, Found::Conditional) => Effect::Undetermined,
            // The line is of another gateway, or of an earlier configuration.
            (Found::Refused(NO_LISTENER), Found::Refused(NO_LISTENER)) => Effect::Undetermined,
            (Found::Refused(_), Found::Refused(_)) => Effect::Same,
            (Found::Operation(_), Found::Refused(_)) if was_refused(request) => Effect::Same,
            (_, Found::Refused(_)) => Effect::Refused,
            (Found::Refused(_), _) => Effect::Served,
            (Found::Operation(was), Found::Operation(is)) => {
                return Some(self.effect_on_operations(request, [was, is]));
            }
            (Found::Gateway, Found::Gateway) => Effect::Same,
            (Found::Gateway, Found::Operation(_)) | (Found::Operation(_), Found::Gateway) => {
                Effect::Moved
            }
        };
        Some(Affected {
            effect,
            owners: [name(&was), name(&is)],
            classes: BTreeSet::new(),
            refused: Vec::new(),
        })
    }

    /// Effect on a request that an operation of each side serves, if it admits the caller.
    fn effect_on_operations(
        &self,
        request: &LoggedRequest<'_>,
        routes: [&RouteRef<'_>; 2],
    ) -> Affected {
        let [old, new] = routes.map(|route| route.operation.key.as_str());
        let consumer = request.consumer.as_deref();
        let consumer = consumer.and_then(|name| self.consumers.get(name));
        let lines = lines_about(self.lines.get(new), consumer);
        let logged = Logged {
            request,
            defaults: &self.defaults,
            oracles: &self.sides,
        };
        let difference = match (&self.decider, &lines) {
            (Some(decider), Some(lines)) => decider.compare(logged, routes, lines),
            (None, Some(_)) => Difference::Unshown,
            (_, None) => Difference::None,
        };
        let is_moved = old != new;
        let (effect, owners) = match difference {
            Difference::Refused(reason) => (Effect::Refused, [old, reason]),
            Difference::Served(reason) => (Effect::Served, [reason, new]),
            _ if is_moved => (Effect::Moved, [old, new]),
            Difference::Rerouted => (Effect::Rerouted, [old, new]),
            Difference::Rewritten => (Effect::Rewritten, [old, new]),
            Difference::Undetermined => (Effect::Undetermined, [old, new]),
            Difference::Unshown => (Effect::Changed, [old, new]),
            Difference::None => (Effect::Same, [old, new]),
        };
        let classes = lines.filter(|_| effect != Effect::Same && !is_moved);
        Affected {
            effect,
            owners: owners.map(str::to_owned),
            classes: classes
                .map(|lines| lines.into_owned().classes)
                .unwrap_or_default(),
            refused: self.refused(request, routes),
        }
    }

    /// Parameters for which only the new contract refuses a request.
    fn refused(&self, request: &LoggedRequest<'_>, routes: [&RouteRef<'_>; 2]) -> Vec<String> {
        if !self.checks.has(&routes[1].operation.key) {
            return Vec::new();
        }
        let [old, new] = self.sides.each_ref().map(|side| self.admit(side, request));
        match (old, new) {
            (Some(Ok(old)), Some(Ok(new))) => self.checks.refused(routes, [&old, &new]),
            _ => Vec::new(),
        }
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
        let Some(listener) = self.defaults.listener(snapshot, request) else {
            return Some(Err(NO_LISTENER));
        };
        let parts = self.defaults.head(request)?;
        let admitted = engine::edge::admit(parts, snapshot.listeners().get(listener)?, OUTSIDER);
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
        let mut refused: BTreeMap<String, BTreeMap<String, Callers>> = BTreeMap::new();
        let mut keys: Vec<(GroupKey, usize)> = self.by_owners.into_iter().collect();
        keys.sort_by_key(|(_, index)| *index);
        for ((_, [old, new], parameters), index) in keys {
            let its = &self.callers[index];
            for owner in BTreeSet::from([&old, &new]) {
                callers.entry(owner.clone()).or_default().merge(its);
            }
            for parameter in parameters {
                let of_operation = refused.entry(new.clone()).or_default();
                of_operation.entry(parameter).or_default().merge(its);
            }
        }
        let mut sides = self.sides.iter();
        let hides_values = sides.any(|side| side.snapshot().hides_values());
        let has_values = !hides_values && !self.lacks_queries;
        let mut groups = merged(self.groups);
        groups.retain(|group| group.effect != Effect::Same);
        groups.sort_by(|a, b| {
            let by_count = b.count.cmp(&a.count);
            let order = a.effect.cmp(&b.effect).then(by_count);
            order.then_with(|| a.owners.cmp(&b.owners))
        });
        Replayed {
            requests: counts.values().sum(),
            unread: self.unread,
            sampled: self.sampled,
            groups,
            counts,
            callers,
            refused,
            has_values,
        }
    }
}

/// Groups, with those of the same effect and owners as one.
fn merged(groups: Vec<Group>) -> Vec<Group> {
    let mut merged: Vec<Group> = Vec::new();
    let mut known: HashMap<(Effect, [String; 2]), usize> = HashMap::new();
    for group in groups {
        let index = *known
            .entry((group.effect, group.owners.clone()))
            .or_insert(merged.len());
        match merged.get_mut(index) {
            Some(same) => {
                same.count += group.count;
                same.classes.extend(group.classes);
            }
            None => merged.push(group),
        }
    }
    merged
}

fn name(found: &Found<'_>) -> String {
    match found {
        Found::Operation(route) => route.operation.key.clone(),
        Found::Gateway => "gateway".to_owned(),
        Found::Refused(code) => (*code).to_owned(),
        Found::Conditional => "depends on conditions".to_owned(),
    }
}

/// Lines about each operation, by its key, and about each consumer, by its name. Leaves out lines of
/// the section Docs, because they change no request. Of the section Routing, only lines about
/// another upstream count, because the replay decides routing for each request.
fn lines(plan: &Plan, (old, new): (&Side, &Side)) -> [HashMap<String, Lines>; 2] {
    let reached = reaches::of_changes(&plan.changes, Some(old), new);
    let mut operations: HashMap<String, Lines> = HashMap::new();
    let mut consumers: HashMap<String, Lines> = HashMap::new();
    let gateways = [old, new].map(|side| &side.lowered.gateway);
    for (change, reached) in plan.changes.iter().zip(reached) {
        let is_left_out = match change.section {
            Section::Routing => change.id != "upstream-changed",
            Section::Docs | Section::Rules => true,
            Section::Security | Section::Breaking | Section::Policy | Section::Upstream => false,
        };
        if is_left_out {
            continue;
        }
        for key in change.operations.iter().chain(&reached) {
            operations
                .entry(key.clone())
                .or_default()
                .add(change, gateways);
        }
        let of_consumer = change.subject.strip_prefix("consumer ");
        let name = of_consumer.and_then(|rest| rest.split(' ').next());
        if let Some(name) = name.filter(|_| change.operations.is_empty()) {
            let of_name = consumers.entry(name.to_owned()).or_default();
            of_name.add(change, gateways);
        }
    }
    [operations, consumers]
}
