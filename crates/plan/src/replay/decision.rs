//! Decision on logged requests whose operation has lines in the plan.
//!
//! The engines of both sides decide the request with a credential that stands for the caller's
//! ([`stand_in`]). Without a known caller, access is undetermined, and only the requests that
//! upstreams receive are compared. Limits are not counted, and fields and bodies are not known:
//! lines about them leave the decision open.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bundle::ir::{self, Gateway};
use engine::RouteRef;
use policy::auth::{Checked, Place};
use serde_json::Value as Json;
use vocab::reasons;

use super::log_line::LoggedRequest;
use super::outcome::{self, Forwarded, Outcome};
use super::received::Defaults;
use super::stand_in::Owners;
use crate::ask::{OUTSIDER, Oracle, Question};
use crate::values::Values;
use crate::witness::{self, AT_S, RoleSets};
use crate::{Change, Class, Section, Side};

/// Maximum number of alternatives of a security requirement that stand for unknown callers.
const ALTERNATIVES_MAX: usize = 4;

/// Reason of the refusal of a request without a credential.
const MISSING: &str = "credential_missing";

/// Ids of changes that the caller and its address decide.
const BY_CALLER: [&str; 17] = [
    "security-requirement-removed",
    "security-requirement-added",
    "security-requirement-changed",
    "operation-exposed",
    "verifier-changed",
    "address-filter-added",
    "address-filter-removed",
    "address-filter-changed",
    "authorization-added",
    "authorization-removed",
    "authorization-changed",
    "consumer-right-added",
    "consumer-right-removed",
    "consumer-added",
    "consumer-removed",
    "credential-added",
    "credential-removed",
];

/// Ids of changes in the section Security that do not decide whether a request is admitted.
const NOT_ACCESS: [&str; 14] = [
    "response-unchecked",
    "response-validation-changed",
    "response-field-changed",
    "identity-field-changed",
    "parameter-forwarded",
    "credential-forwarded",
    "credential-stripped",
    "credentials-sent",
    "consumer-plan-changed",
    "credential-prolonged",
    "credential-shortened",
    "secret-flow-added",
    "way-round-added",
    "way-round-not-compared",
];

/// Lines of a plan about one operation or one consumer.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// Classes of the lines.
    pub(super) classes: BTreeSet<Class>,
    /// True if a line is about access that the caller and its address decide.
    by_caller: bool,
    /// True if a line is about access that fields or bodies of requests decide, too.
    by_content: bool,
    /// True if a line is about the handling of admitted requests: policies or upstreams.
    by_handling: bool,
    /// True if a line is not about access.
    has_others: bool,
}

/// Difference between both sides for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// The new side refuses the caller, for this reason.
    Refused(&'static str),
    /// The old side refuses the caller, for this reason.
    Served(&'static str),
    /// Another server receives the request, or the gateway itself answers.
    Rerouted,
    /// The server receives another request.
    Rewritten,
    /// The log does not contain what decides.
    Undetermined,
    /// The decision is the same, and all lines are about access.
    None,
    /// The decision is the same, and a line is about something else.
    Unshown,
}

// === impl Lines ===

impl Lines {
    /// Adds a line of the plan. `gateways`: both sides.
    pub(super) fn add(&mut self, change: &Change, gateways: [&Gateway; 2]) {
        self.classes.insert(change.class);
        let is_number = matches!(change.class, Class::Relax | Class::Tighten);
        match change.section {
            _ if BY_CALLER.contains(&change.id) => self.by_caller = true,
            // The lines of the section Security about these policies decide.
            Section::Policy if is_of_access_policies(change, gateways) => {}
            Section::Security if is_access(change.id) => self.by_content = true,
            Section::Breaking if change.id.starts_with("request-check-") => self.by_content = true,
            Section::Security | Section::Policy | Section::Upstream | Section::Routing => {
                self.by_handling |= !is_number;
                self.has_others = true;
            }
            Section::Breaking | Section::Docs | Section::Rules => {
                self.has_others = true;
            }
        }
    }

    fn join(&self, other: &Self) -> Self {
        Self {
            classes: self.classes.union(&other.classes).copied().collect(),
            by_caller: self.by_caller || other.by_caller,
            by_content: self.by_content || other.by_content,
            by_handling: self.by_handling || other.by_handling,
            has_others: self.has_others || other.has_others,
        }
    }

    /// True if the lines can change a decision or the request for the upstream. Limits, timeouts
    /// and contracts cannot.
    pub(super) fn is_decided(&self) -> bool {
        self.by_caller || self.by_content || self.by_handling
    }
}

/// True for a change of a policy, or of a list of policies, if all of these policies admit or refuse
/// callers by their claims or addresses.
fn is_of_access_policies(change: &Change, gateways: [&Gateway; 2]) -> bool {
    let is_one = |name: &str| {
        let policies = gateways.into_iter().filter_map(|gateway| {
            let own = name.split_once('/');
            let own = own.and_then(|(api, own)| gateway.apis.get(api)?.policies.get(own));
            own.or_else(|| gateway.shared.policies.get(name))
        });
        let mut kinds = policies.map(|policy| policy.checked.kind()).peekable();
        kinds.peek().is_some() && kinds.all(|kind| matches!(kind, "authorize" | "ip_filter"))
    };
    match change.id {
        "policies-changed" => {
            let names = |value: &Json| -> Vec<String> {
                let names = value.as_array().into_iter().flatten();
                // A policy that only one side has is followed by its settings.
                let names = names.filter_map(|name| name.as_str()?.split(": ").next());
                names.map(str::to_owned).collect()
            };
            let [old, new] = [&change.old, &change.new].map(names);
            let gone = old.iter().filter(|name| !new.contains(name));
            let come = new.iter().filter(|name| !old.contains(name));
            let kept = |all: &[String], other: &[String]| -> Vec<String> {
                let kept = all.iter().filter(|name| other.contains(name));
                kept.cloned().collect()
            };
            kept(&old, &new) == kept(&new, &old) && gone.chain(come).all(|name| is_one(name))
        }
        "policy-added" | "policy-removed" | "policy-changed" | "policy-redefined" => {
            let name = change.subject.strip_prefix("policy ");
            name.and_then(|rest| rest.split(' ').next())
                .is_some_and(is_one)
        }
        _ => false,
    }
}

/// True if a change of the section Security with this id can decide whether a request is admitted.
fn is_access(id: &str) -> bool {
    let others = ["upstream-", "listener-", "cors-"];
    !NOT_ACCESS.contains(&id) && !others.iter().any(|prefix| id.starts_with(prefix))
}

/// Lines about the operation and about the consumer of a request. `None` if there are none.
pub(super) fn lines_about<'l>(
    operation: Option<&'l Lines>,
    consumer: Option<&'l Lines>,
) -> Option<Cow<'l, Lines>> {
    match (operation, consumer) {
        (Some(operation), Some(consumer)) => Some(Cow::Owned(operation.join(consumer))),
        (one, other) => one.or(other).map(Cow::Borrowed),
    }
}

/// Engines of both sides, which accept the stand-ins of callers.
pub(super) struct Decider<'a> {
    gateways: [&'a Gateway; 2],
    owners: Owners,
    /// True if a policy can decide by the address of a client.
    reads_addresses: bool,
}

/// Request with the values that the log does not contain.
#[derive(Clone, Copy)]
pub(super) struct Replayed<'r, 'l> {
    pub(super) request: &'r LoggedRequest<'l>,
    pub(super) defaults: &'r Defaults,
    pub(super) oracles: &'r [Oracle; 2],
}

// === impl Decider ===

impl<'a> Decider<'a> {
    /// Creates the decider of two sides, and the gateways whose engines accept stand-ins.
    pub(super) fn new([old, new]: [&'a Side; 2]) -> (Self, [Gateway; 2]) {
        let gateways = [&old.lowered.gateway, &new.lowered.gateway];
        let owners = Owners::of(gateways[0], gateways[1]);
        let sets = RoleSets::of(gateways);
        let [mut one, mut other] = gateways.map(|gateway| witness::with_witness(gateway, &sets));
        owners.add_to([&mut one, &mut other]);
        let policies = gateways.iter().flat_map(|gateway| {
            let own = gateway.apis.iter().flat_map(|api| &api.policies);
            gateway.shared.policies.iter().chain(own)
        });
        let mut kinds = policies.map(|policy| policy.checked.kind());
        let reads_addresses = kinds.any(|kind| matches!(kind, "ip_filter" | "authorize"));
        let decider = Self {
            gateways,
            owners,
            reads_addresses,
        };
        (decider, [one, other])
    }

    /// True if decisions can depend on the address of a client.
    pub(super) fn reads_addresses(&self) -> bool {
        self.reads_addresses
    }

    /// Compares the results of a request that these routes of both sides match.
    pub(super) fn compare(
        &self,
        replayed: Replayed<'_, '_>,
        routes: [&RouteRef<'_>; 2],
        lines: &Lines,
    ) -> Difference {
        let rest = match lines {
            Lines {
                by_content: true, ..
            } => Difference::Undetermined,
            Lines {
                has_others: true, ..
            } => Difference::Unshown,
            _ => Difference::None,
        };
        if !lines.is_decided() {
            return Difference::Unshown;
        }
        let outcomes = self.caller(replayed.request, routes).and_then(|values| {
            let outcomes = self.outcomes(replayed, routes, &values)?;
            agrees(&outcomes[0], replayed.request.reason.as_deref()).then_some(outcomes)
        });
        let Some([old, new]) = outcomes else {
            let forwarding = lines
                .by_handling
                .then(|| self.of_any_caller(replayed, routes));
            return forwarding
                .flatten()
                .unwrap_or(match lines.by_caller || lines.by_content {
                    true => Difference::Undetermined,
                    false => Difference::Unshown,
                });
        };
        match (&old, &new) {
            (Outcome::Forwarded(old), Outcome::Forwarded(new)) => sent(old, new).unwrap_or(rest),
            _ if lines.by_content => Difference::Undetermined,
            (Outcome::Open, _) | (_, Outcome::Open) => match lines.by_caller {
                true => Difference::Undetermined,
                false => Difference::Unshown,
            },
            (Outcome::Refused(old), Outcome::Refused(new)) => match old == new {
                true => Difference::None,
                false => Difference::Unshown,
            },
            (_, Outcome::Refused(reason)) => Difference::Refused(reason),
            (Outcome::Refused(reason), _) => Difference::Served(reason),
            (old, new) if old == new => rest,
            _ => Difference::Rerouted,
        }
    }

    /// Difference between the requests that upstreams receive from a caller whom the old side
    /// admits. `None` if there is none, or if both sides do not admit the same caller.
    fn of_any_caller(
        &self,
        replayed: Replayed<'_, '_>,
        routes: [&RouteRef<'_>; 2],
    ) -> Option<Difference> {
        let reason = replayed.request.reason.as_deref();
        if reason.is_some_and(|reason| !is_admitted(reason)) {
            return None;
        }
        let (api, treatment) = treatment(self.gateways[0], routes[0])?;
        let open = ir::Alternative::default();
        let alternatives = match treatment.security.0.as_slice() {
            [] => std::slice::from_ref(&open),
            some => &some[..some.len().min(ALTERNATIVES_MAX)],
        };
        alternatives.iter().find_map(|alternative| {
            let schemes = (&api.schemes, &self.gateways[0].shared);
            let (values, _) = witness::credentials((alternative, None), schemes.0, schemes.1);
            let outcomes = self.outcomes(replayed, routes, &values)?;
            let [Outcome::Forwarded(old), Outcome::Forwarded(new)] = &outcomes else {
                return None;
            };
            sent(old, new)
        })
    }

    /// Results of the request on both sides, with these credentials. `None` if the request is
    /// malformed.
    fn outcomes(
        &self,
        Replayed {
            request,
            defaults,
            oracles,
        }: Replayed<'_, '_>,
        routes: [&RouteRef<'_>; 2],
        values: &Values,
    ) -> Option<[Outcome; 2]> {
        let places = self
            .gateways
            .iter()
            .zip(routes)
            .flat_map(|(gateway, route)| {
                let api = gateway.apis.get(route.api);
                api.into_iter().flat_map(|api| &api.schemes)
            });
        let replaced: Vec<&str> = places
            .filter_map(|scheme| match &scheme.place {
                Place::Query(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let peer = request.client_ip.as_ref().and_then(|ip| ip.parse().ok());
        let outcome = |oracle: &Oracle| {
            let question = Question {
                listener: defaults.listener(oracle.snapshot(), request)?,
                request: defaults.head_with(request, values, &replaced)?,
                peer: peer.unwrap_or(OUTSIDER),
                certificates: values.certificates.clone(),
                body: None,
                unix_s: AT_S,
            };
            Some(outcome::of(oracle, &question))
        };
        Some([outcome(&oracles[0])?, outcome(&oracles[1])?])
    }

    /// Credentials of a logged caller. `None` if the log does not identify the caller well enough:
    /// without scheme, with a verifier that differs, or with a token whose other claims decide.
    fn caller(&self, request: &LoggedRequest<'_>, routes: [&RouteRef<'_>; 2]) -> Option<Values> {
        if self.reads_addresses && request.client_ip.is_none() {
            return None;
        }
        let [old, new] = self.gateways;
        let (api, was) = treatment(old, routes[0])?;
        let (new_api, is) = treatment(new, routes[1])?;
        let Some(scheme) = &request.scheme else {
            let reason = request.reason.as_deref()?;
            let known = places(api, was);
            let has_new = places(new_api, is).any(|place| !known.clone().any(|one| one == place));
            return (reason == MISSING && !has_new).then(Values::default);
        };
        let scheme = api.schemes.get(scheme)?;
        let ir::Verify::Auth(name) = &scheme.verify else {
            return None;
        };
        let verifier = &old.shared.auth.get(name)?.checked;
        if new
            .shared
            .auth
            .get(name)
            .is_some_and(|one| one.checked != *verifier)
        {
            return None;
        }
        if matches!(verifier, Checked::Jwt(_) | Checked::Introspection(_)) {
            let treatments = [(old, api, was), (new, new_api, is)];
            let reads_claims = treatments.into_iter().any(|(gateway, api, treatment)| {
                let has_roles = treatment.security.uses().any(|one| !one.roles.is_empty());
                has_roles || authorizes(gateway, api, treatment)
            });
            if reads_claims {
                return None;
            }
        }
        let caller = (request.consumer.as_deref(), request.scope.as_deref());
        self.owners.values((api, old), scheme, caller)
    }
}

/// Settings of the operation that a request matches, with its API.
fn treatment<'g>(
    gateway: &'g Gateway,
    route: &RouteRef<'_>,
) -> Option<(&'g ir::Api, &'g ir::Treatment)> {
    let api = gateway.apis.get(route.api)?;
    let operation = api.operations.get(&route.operation.key)?;
    Some((api, api.treatments.get(operation.treatment as usize)?))
}

/// Places of the credentials that an operation requires.
fn places<'g>(
    api: &'g ir::Api,
    treatment: &'g ir::Treatment,
) -> impl Iterator<Item = &'g Place> + Clone {
    let uses = treatment.security.0.iter().flat_map(|one| &one.0);
    uses.filter_map(|wanted| Some(&api.schemes.get(&wanted.scheme)?.place))
}

/// True if a policy of the operation decides by claims of the caller.
fn authorizes(gateway: &Gateway, api: &ir::Api, treatment: &ir::Treatment) -> bool {
    let policies = treatment.chain.iter().filter_map(|link| match link {
        ir::Link::Authenticate => None,
        ir::Link::Shared(name) => gateway.shared.policies.get(name),
        ir::Link::Own(name) => api.policies.get(name),
    });
    let mut kinds = policies.map(|policy| policy.checked.kind());
    kinds.any(|kind| kind == "authorize")
}

/// Difference between two requests that upstreams receive. `None` if there is none.
fn sent(old: &Forwarded, new: &Forwarded) -> Option<Difference> {
    if let (Some(old), Some(new)) = (&old.servers, &new.servers)
        && old != new
    {
        return Some(Difference::Rerouted);
    }
    match (&old.head, &new.head) {
        (Some(old), Some(new)) if old != new => Some(Difference::Rewritten),
        _ => None,
    }
}

/// True if the result of the old side is the one that the log shows. The log may show a refusal or
/// failure that only load causes. Otherwise the stand-in differs from the caller, for example in a
/// second credential.
fn agrees(old: &Outcome, logged: Option<&str>) -> bool {
    match (old, logged) {
        (Outcome::Refused(reason), logged) => logged == Some(reason),
        (Outcome::Forwarded(_) | Outcome::Answered { .. } | Outcome::Open, None) => true,
        (_, Some(reason)) => is_admitted(reason),
    }
}

/// True if the log shows that gwd refused the request at the operation, so that the request was not
/// served before. False for failures, for limits, and for refusals before an operation was found.
pub(super) fn was_refused(request: &LoggedRequest<'_>) -> bool {
    let Some(code) = request.reason.as_deref() else {
        return false;
    };
    let is_refusal = |reason: &reasons::Reason| reason.of_route && reason.status < 500;
    !is_admitted(code) && reasons::find(code).is_some_and(is_refusal)
}

/// True if the old side admitted the caller of a request that it refused, or that failed, for this
/// reason: a failure of the upstream, or a limit.
fn is_admitted(reason: &str) -> bool {
    let limits = ["rate_limited", "quota_exhausted", "concurrency_limited"];
    reason.starts_with("upstream_") || limits.contains(&reason)
}
