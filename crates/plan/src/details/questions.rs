//! Authorization services (`forward_auth`): the credentials that they receive, and changes of their
//! upstreams. A host that answers such requests decides about access. With `on_outage: open`, so
//! does anyone who can cause an outage.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::Checked;
use policy::auth::Place;
use policy::guard::forward_auth;
use serde_json::Value;

use super::operations::{Line, Of};
use super::{fields, tables};
use crate::pairs::reference;
use crate::security::gateway::hosts;
use crate::security::is_credential;
use crate::{Change, Class, Section};

/// Id of a line about credentials that another service receives.
pub(super) const SENT: &str = "credentials-sent";

/// Reason for the absence of a witness: the decision is made by another service.
const DECIDED_ELSEWHERE: &str = "another service decides";

/// `forward_auth` policies of a chain, in order.
fn questions<'a>(
    treatment: &'a ir::Treatment,
    api: &'a ir::Api,
    shared: &'a ir::Shared,
) -> impl Iterator<Item = &'a forward_auth::Checked> {
    let policies = treatment.chain.iter().filter_map(|link| match link {
        ir::Link::Authenticate => None,
        ir::Link::Shared(name) => shared.policies.get(name),
        ir::Link::Own(name) => api.policies.get(name),
    });
    policies.filter_map(|policy| match &policy.checked {
        Checked::ForwardAuth(question) => Some(question),
        _ => None,
    })
}

/// Fields with credentials that services receive, by the name of the upstream and by host.
fn sent<'a>(side: Of<'a>, treatment: &'a ir::Treatment) -> BTreeMap<String, BTreeSet<&'a str>> {
    let schemes = || side.api.schemes.iter();
    let is_place = |name: &str| {
        schemes().any(|scheme| matches!(&scheme.place, Place::Header(place) if place == name))
    };
    let mut all: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for question in questions(treatment, side.api, side.shared) {
        let fields = question.sent().into_iter();
        let fields: Vec<&str> = fields
            .filter(|name| is_credential(name) || is_place(name))
            .collect();
        let upstream = side.shared.upstreams.get(question.service());
        let hosts = upstream.map(hosts).unwrap_or_default();
        for end in hosts.into_iter().chain([question.service().to_owned()]) {
            all.entry(end).or_default().extend(&fields);
        }
    }
    all
}

/// Reports credentials that another service newly receives. Changed hosts of an upstream that both
/// sides use are reported with the upstream.
pub(super) fn credentials(
    (old, was): (Of<'_>, &ir::Treatment),
    (new, is): (Of<'_>, &ir::Treatment),
    lines: &mut Vec<Line>,
) {
    let mut services: Vec<&str> = questions(is, new.api, new.shared)
        .map(forward_auth::Checked::service)
        .collect();
    services.sort_unstable();
    services.dedup();
    if services.is_empty() {
        return;
    }
    let (before, after) = (sent(old, was), sent(new, is));
    let shown = |names: &BTreeSet<&str>| match names.is_empty() {
        true => Value::Null,
        false => names.iter().copied().collect::<Vec<_>>().join(", ").into(),
    };
    for service in services {
        let upstream = new.shared.upstreams.get(service);
        for host in upstream.map(hosts).unwrap_or_default() {
            let known = [service, &host]
                .into_iter()
                .filter_map(|end| before.get(end));
            let known: BTreeSet<&str> = known.flatten().copied().collect();
            let fields = &after[service];
            if fields.is_subset(&known) {
                continue;
            }
            lines.push(Line {
                class: Class::Moved,
                id: SENT,
                subject: format!("credentials to {host}"),
                old: shown(&known),
                new: shown(fields),
            });
        }
    }
}

/// Operations of a gateway whose chain asks an authorization service.
struct Askers<'a> {
    /// Operations, with true for `on_outage: open`.
    all: Vec<(&'a ir::Api, &'a ir::Operation, bool)>,
}

impl<'a> Askers<'a> {
    fn of(gateway: &'a ir::Gateway, service: &str) -> Self {
        let operations = gateway
            .apis
            .iter()
            .flat_map(|api| api.operations.iter().map(move |one| (api, one)));
        let all = operations.filter_map(|(api, operation)| {
            let treatment = &api.treatments[operation.treatment as usize];
            let mut asked = questions(treatment, api, &gateway.shared)
                .filter(|question| question.service() == service)
                .peekable();
            asked.peek()?;
            let is_open = asked.any(forward_auth::Checked::is_open);
            Some((api, operation, is_open))
        });
        Self { all: all.collect() }
    }

    /// Operations that also asked a service on the old side, or that the old side does not have.
    fn kept(mut self, old: &ir::Gateway, before: &Self) -> Self {
        let is_known = |key: &str| {
            let mut apis = old.apis.iter();
            apis.any(|api| api.operations.get(key).is_some())
        };
        self.all.retain(|(_, operation, _)| {
            let mut asked = before.all.iter();
            asked.any(|(_, other, _)| other.key == operation.key) || !is_known(&operation.key)
        });
        self
    }
}

/// Reclassifies lines about upstreams of authorization services. Another host, or a setting that
/// can cause an outage with `on_outage: open`, weakens access to the operations that ask the
/// service. The original line is kept if the upstream also receives client requests.
pub(super) fn decide(
    (old, new): (&ir::Gateway, &ir::Gateway),
    name: &str,
    lines: &mut Vec<Line>,
) -> Vec<Change> {
    let before = Askers::of(old, name);
    let askers = match before.all.is_empty() {
        true => before,
        false => Askers::of(new, name).kept(old, &before),
    };
    let (Some(was), Some(is)) = (
        old.shared.upstreams.get(name),
        new.shared.upstreams.get(name),
    ) else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    let gets_requests = gets_requests(new, name);
    lines.retain(|line| {
        let answers_elsewhere = is_other_host(line, was, is);
        let may_fail = may_fail(name, line);
        let concerned = askers
            .all
            .iter()
            .filter(|(_, _, is_open)| answers_elsewhere || may_fail && *is_open);
        let taken = changes.len();
        for (api, operation, _) in concerned {
            let (old, new) = (line.old.clone(), line.new.clone());
            let subject = line.subject.clone();
            let mut change =
                Change::new(Section::Security, Class::Weaken, line.id, subject, old, new);
            change.why_none = Some(DECIDED_ELSEWHERE);
            if line.class == Class::Moved {
                change.stands_for.insert(Class::Moved);
            }
            changes.push(change.of(reference(api, operation)));
        }
        changes.len() == taken || gets_requests
    });
    changes
}

/// True if a line reports another host, or another virtual host, of a service.
fn is_other_host(line: &Line, was: &ir::Upstream, is: &ir::Upstream) -> bool {
    match line.id {
        "host-header-changed" => true,
        "targets-changed" => {
            let urls = |upstream: &ir::Upstream| -> BTreeSet<String> {
                let targets = upstream.targets.iter();
                targets.map(ir::Target::url).collect()
            };
            !line.new.is_null()
                && (was.discovery != is.discovery || !urls(is).is_subset(&urls(was)))
                && !line.subject.ends_with(".weight")
        }
        _ => false,
    }
}

/// True if a setting may make outages more frequent: a tighter limit, timeout or circuit breaker,
/// or a change of unknown direction.
fn may_fail(name: &str, line: &Line) -> bool {
    let path = line.subject.strip_prefix("upstream ");
    let path = path.and_then(|rest| rest.strip_prefix(name));
    let path: Vec<String> = path
        .into_iter()
        .flat_map(|path| path.trim_start().split('.'))
        .map(str::to_owned)
        .collect();
    line.class == Class::Tighten || fields::has_no_direction(&tables::UPSTREAM, &path)
}

/// True if an upstream receives client requests or copies of them.
fn gets_requests(gateway: &ir::Gateway, name: &str) -> bool {
    let mut treatments = gateway.apis.iter().flat_map(|api| {
        let all = api.treatments.iter();
        all.map(move |treatment| (api, treatment))
    });
    treatments.any(|(api, treatment)| {
        let mut links = treatment.chain.iter();
        let mut own = treatment.forwarding.upstreams();
        treatment.upstream == name
            || own.any(|own| own == name)
            || links.any(|link| {
                let policy = match link {
                    ir::Link::Authenticate => None,
                    ir::Link::Shared(name) => gateway.shared.policies.get(name),
                    ir::Link::Own(name) => api.policies.get(name),
                };
                let policy = policy.filter(|one| one.checked.kind() != "forward_auth");
                policy.is_some_and(|one| one.checked.upstreams().contains(&name))
            })
    })
}
