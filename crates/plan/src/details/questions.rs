//! Services that decide about access: authorization services (`forward_auth`), external processors
//! (`ext_proc`) and endpoints of token introspection. This module compares the credentials that the
//! services receive, and the upstreams of authorization services. The host that answers these
//! requests decides about access. With `on_outage: open`, anyone who can cause an outage gains
//! access as well.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::Checked;
use policy::auth::Place;
use policy::guard::{ext_proc, forward_auth};
use serde_json::Value;

use super::line::{ApiSide, Line, SENT, SERVICE_CALLED};
use super::operations::RemovedOperations;
use super::shown::{policy_value, shown};
use super::{fields, tables};
use crate::pairs::reference;
use crate::security::gateway::hosts;
use crate::security::{is_credential, policies, verifiers_of};
use crate::{Change, Class, Plan, Section};

/// Reason for a missing witness: another service makes the decision.
const DECIDED_ELSEWHERE: &str =
    "no example: the answer of another service decides about the request";

/// Policy that sends requests to a service, so that the service decides about the requests.
#[derive(Clone, Copy)]
enum Question<'a> {
    ForwardAuth(&'a forward_auth::Checked),
    ExtProc(&'a ext_proc::Checked),
}

impl<'a> Question<'a> {
    /// Creates the value for a policy. `None` if the policy does not let a service decide about
    /// requests.
    fn of(checked: &'a Checked) -> Option<Self> {
        match checked {
            Checked::ForwardAuth(question) => Some(Self::ForwardAuth(question)),
            Checked::ExtProc(processor) => Some(Self::ExtProc(processor)),
            _ => None,
        }
    }

    /// Name of the upstream of the service.
    fn service(self) -> &'a str {
        match self {
            Self::ForwardAuth(question) => question.service(),
            Self::ExtProc(processor) => processor.service(),
        }
    }

    /// Names of the request fields that the service receives, in lower case. `None`: all fields.
    fn sent(self) -> Option<Vec<&'a str>> {
        match self {
            Self::ForwardAuth(question) => Some(question.sent()),
            Self::ExtProc(processor) => {
                let names = processor.sent()?.iter();
                Some(names.map(String::as_str).collect())
            }
        }
    }

    /// True if requests are admitted while the service is unavailable (`on_outage: open`).
    fn is_open(self) -> bool {
        match self {
            Self::ForwardAuth(question) => question.is_open(),
            Self::ExtProc(processor) => processor.is_open(),
        }
    }
}

/// `forward_auth` and `ext_proc` policies of a chain, in the order of the chain.
fn questions<'a>(
    treatment: &'a ir::Treatment,
    api: &'a ir::Api,
    shared: &'a ir::Shared,
) -> impl Iterator<Item = Question<'a>> {
    let policies = treatment.chain.iter().filter_map(|link| match link {
        ir::Link::Authenticate => None,
        ir::Link::Shared(name) => shared.policies.get(name),
        ir::Link::Own(name) => api.policies.get(name),
    });
    policies.filter_map(|policy| Question::of(&policy.checked))
}

/// Service that an operation calls, and the credentials that the service receives.
struct CalledService {
    /// Name of the upstream.
    service: String,
    /// Names of the parts of a request that carry credentials, such as a field name or `query key`.
    places: BTreeSet<String>,
    /// True if the response of the service may be sent to the client.
    answers: bool,
}

/// Services that an operation calls, in the order of the calls.
fn called_services(side: ApiSide<'_>, treatment: &ir::Treatment) -> Vec<CalledService> {
    let wanted = treatment.security.0.iter();
    let wanted = wanted.flat_map(|alternative| &alternative.0);
    let required: Vec<&ir::Scheme> = wanted
        .filter_map(|wanted| side.api.schemes.get(&wanted.scheme))
        .collect();
    let verifiers = required.iter().flat_map(|scheme| {
        let verifiers = verifiers_of(side.shared, scheme);
        verifiers.map(move |verifier| (*scheme, &verifier.checked))
    });
    let verified = verifiers.filter_map(|(scheme, checked)| {
        // Only an introspection endpoint receives the token itself.
        (checked.kind() == "introspection").then_some(())?;
        Some(CalledService {
            service: checked.origins().pop().or_else(|| {
                let settings = checked.settings();
                settings.text(&["url"]).map(str::to_owned)
            })?,
            places: [place(&scheme.place)].into(),
            answers: false,
        })
    });
    let is_place = |name: &str| {
        let mut schemes = side.api.schemes.iter();
        schemes.any(|scheme| matches!(&scheme.place, Place::Header(place) if place == name))
    };
    let decided = questions(treatment, side.api, side.shared).map(|question| {
        let fields: Vec<String> = match question.sent() {
            Some(names) => {
                let names = names.into_iter();
                let names = names.filter(|name| is_credential(name) || is_place(name));
                names.map(str::to_owned).collect()
            }
            None => {
                let places = side.api.schemes.iter().map(|scheme| &scheme.place);
                let places = places
                    .filter(|place| matches!(place, Place::Header(_) | Place::Authorization(_)));
                let always = ["authorization", "cookie"].map(str::to_owned);
                places.map(place).chain(always).collect()
            }
        };
        // The service receives the query in `X-Forwarded-Uri` or `:path`.
        let queries = required.iter().map(|scheme| &scheme.place);
        let queries = queries.filter(|place| matches!(place, Place::Query(_)));
        CalledService {
            service: question.service().to_owned(),
            places: fields.into_iter().chain(queries.map(place)).collect(),
            answers: true,
        }
    });
    verified.chain(decided).collect()
}

/// Place of a credential, for display.
fn place(place: &Place) -> String {
    match place {
        Place::Header(name) => name.to_ascii_lowercase(),
        Place::Authorization(_) => "authorization".to_owned(),
        Place::Query(name) => format!("query {name}"),
        Place::Cookie(name) => format!("cookie {name}"),
        Place::Certificate => "client certificate".to_owned(),
    }
}

/// Hosts of a service.
fn hosts_of(shared: &ir::Shared, service: &str) -> Vec<String> {
    let upstream = shared.upstreams.get(service);
    upstream.map_or_else(|| vec![service.to_owned()], hosts)
}

/// Services and the credentials that they receive, by the name of the upstream and by host.
#[derive(Default)]
struct Known {
    places: BTreeMap<String, BTreeSet<String>>,
    /// Names and hosts of services whose responses clients may receive.
    answer: BTreeSet<String>,
}

impl Known {
    fn add(&mut self, shared: &ir::Shared, called: &CalledService) {
        let ends = hosts_of(shared, &called.service).into_iter();
        for end in ends.chain([called.service.clone()]) {
            if called.answers {
                self.answer.insert(end.clone());
            }
            let places = self.places.entry(end).or_default();
            places.extend(called.places.iter().cloned());
        }
    }

    /// Services that the operations of a gateway call.
    fn of(gateway: &ir::Gateway) -> Self {
        let mut known = Self::default();
        for api in &gateway.apis {
            let side = ApiSide {
                api,
                shared: &gateway.shared,
            };
            for one in api
                .treatments
                .iter()
                .flat_map(|one| called_services(side, one))
            {
                known.add(&gateway.shared, &one);
            }
        }
        known
    }

    /// Reports hosts that newly receive credentials, otherwise hosts whose responses clients newly
    /// receive.
    fn compare(&self, (new, is): (ApiSide<'_>, &ir::Treatment), lines: &mut Vec<Line>) {
        let shown = |names: &BTreeSet<String>| match names.is_empty() {
            true => Value::Null,
            false => names.iter().cloned().collect::<Vec<_>>().join(", ").into(),
        };
        let mut after: BTreeMap<(String, String), (BTreeSet<String>, bool)> = BTreeMap::new();
        for one in called_services(new, is) {
            for host in hosts_of(new.shared, &one.service) {
                let end = after.entry((host, one.service.clone())).or_default();
                end.0.extend(one.places.iter().cloned());
                end.1 |= one.answers;
            }
        }
        for ((host, service), (places, answers)) in after {
            let ends = [&service, &host];
            let known = ends.iter().filter_map(|end| self.places.get(*end));
            let known: BTreeSet<String> = known.flatten().cloned().collect();
            if !places.is_subset(&known) {
                lines.push(Line {
                    class: Class::Moved,
                    id: SENT,
                    subject: format!("credentials to {host}"),
                    old: shown(&known),
                    new: shown(&places),
                });
            } else if answers && !ends.iter().any(|end| self.answer.contains(*end)) {
                lines.push(Line {
                    class: Class::Moved,
                    id: SERVICE_CALLED,
                    subject: format!("answers of {host}"),
                    old: Value::Null,
                    new: service.into(),
                });
            }
        }
    }
}

/// Reports credentials that another service newly receives, and services whose responses clients
/// newly receive. Changed hosts of an upstream that both sides use are reported with the upstream.
pub(super) fn credentials(
    (old, was): (ApiSide<'_>, &ir::Treatment),
    new: (ApiSide<'_>, &ir::Treatment),
    lines: &mut Vec<Line>,
) {
    let mut known = Known::default();
    for one in called_services(old, was) {
        known.add(old.shared, &one);
    }
    known.compare(new, lines);
}

/// Reports services that only new operations call.
pub(super) fn of_new(old: &ir::Gateway, new: &ir::Gateway, plan: &mut Plan) {
    let known = Known::of(old);
    for api in &new.apis {
        let before = old.apis.get(&api.name);
        let renamed = before.map(|before| (before, RemovedOperations::of(before, api)));
        let side = ApiSide {
            api,
            shared: &new.shared,
        };
        for operation in &api.operations {
            let is_old = renamed.as_ref();
            if is_old.is_some_and(|(before, all)| all.before(before, operation).is_some()) {
                continue;
            }
            let mut lines = Vec::new();
            let treatment = &api.treatments[operation.treatment as usize];
            known.compare((side, treatment), &mut lines);
            for line in lines {
                let section = line.section();
                let change = Change::new(
                    section,
                    line.class,
                    line.id,
                    line.subject,
                    line.old,
                    line.new,
                )
                .of(reference(api, operation));
                let is_reported = |other: &Change| {
                    let is_same = other.id == change.id && other.subject == change.subject;
                    is_same && other.operations == change.operations
                };
                if !plan.changes.iter().any(is_reported) {
                    plan.changes.push(change);
                }
            }
        }
    }
}

/// Operations of a gateway whose chains call a certain authorization service.
struct CallingOperations<'a> {
    /// Operations that call the service. The flag is true for `on_outage: open`.
    all: Vec<(&'a ir::Api, &'a ir::Operation, bool)>,
}

impl<'a> CallingOperations<'a> {
    fn of(gateway: &'a ir::Gateway, service: &str) -> Self {
        let operations = gateway
            .apis
            .iter()
            .flat_map(|api| api.operations.iter().map(move |one| (api, one)));
        let all = operations.filter_map(|(api, operation)| {
            let treatment = &api.treatments[operation.treatment as usize];
            let mut services = questions(treatment, api, &gateway.shared)
                .filter(|question| question.service() == service)
                .peekable();
            services.peek()?;
            let is_open = services.any(Question::is_open);
            Some((api, operation, is_open))
        });
        Self { all: all.collect() }
    }

    /// Keeps only operations that called the service on the old side, and operations that the old
    /// side does not have.
    fn kept(mut self, old: &ir::Gateway, before: &Self) -> Self {
        let is_known = |key: &str| {
            let mut apis = old.apis.iter();
            apis.any(|api| api.operations.get(key).is_some())
        };
        let called: BTreeSet<&str> = before
            .all
            .iter()
            .map(|(_, one, _)| one.key.as_str())
            .collect();
        self.all
            .retain(|(_, one, _)| called.contains(one.key.as_str()) || !is_known(&one.key));
        self
    }
}

/// Converts lines about the upstream of an authorization service to `weaken` changes of the
/// operations that call the service. Converts lines about another host. For operations with
/// `on_outage: open`, also converts lines about settings that can cause an outage. The original
/// line is kept if the upstream also receives client requests.
pub(super) fn decide(
    (old, new): (&ir::Gateway, &ir::Gateway),
    name: &str,
    lines: &mut Vec<Line>,
) -> Vec<Change> {
    let before = CallingOperations::of(old, name);
    let askers = match before.all.is_empty() {
        true => before,
        false => CallingOperations::of(new, name).kept(old, &before),
    };
    let (Some(was), Some(is)) = (
        old.shared.upstreams.get(name),
        new.shared.upstreams.get(name),
    ) else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    let gets_requests = gets_requests(new, name);
    // An upstream of n targets has up to 2n lines. Compare its hosts once, not for each line.
    let has_other_hosts = has_other_hosts(was, is);
    lines.retain(|line| {
        let answers_elsewhere = is_other_host(line, has_other_hosts);
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
    let (before, after) = (connection(was), connection(is));
    if before != after {
        let open = askers.all.iter().filter(|(_, _, is_open)| *is_open);
        for (api, operation, _) in open {
            let mut change = Change::new(
                Section::Security,
                Class::Weaken,
                "upstream-setting-changed",
                format!("upstream {name} tls"),
                before.clone().into(),
                after.clone().into(),
            );
            change.why_none = Some(DECIDED_ELSEWHERE);
            changes.push(change.of(reference(api, operation)));
        }
    }
    changes
}

/// TLS settings of an upstream and its targets, for display. With other settings, the service may
/// refuse connections.
fn connection(upstream: &ir::Upstream) -> String {
    let settings = upstream.traffic_settings();
    let settings = settings.below(&["tls"]);
    let settings = settings.map(|one| {
        let value = shown(Some(&one.value));
        format!("{} {value}", one.path.join("."))
    });
    let targets = upstream.targets.iter();
    let targets = targets.filter(|target| target.tls);
    let targets = targets.map(|target| format!("https for {}", target.name));
    settings.chain(targets).collect::<Vec<_>>().join(", ")
}

/// True if the new side of an upstream can send requests to hosts that the old side does not have.
fn has_other_hosts(was: &ir::Upstream, is: &ir::Upstream) -> bool {
    let urls = |upstream: &ir::Upstream| -> BTreeSet<String> {
        let targets = upstream.targets.iter();
        targets.map(ir::Target::url).collect()
    };
    was.discovery != is.discovery || !urls(is).is_subset(&urls(was))
}

/// True if a line reports a different host or virtual host of a service. `has_other_hosts`: result
/// of the function of this name.
fn is_other_host(line: &Line, has_other_hosts: bool) -> bool {
    match line.id {
        "host-header-changed" => true,
        "targets-changed" => {
            has_other_hosts && !line.new.is_null() && !line.subject.ends_with(".weight")
        }
        _ => false,
    }
}

/// True if the changed setting can make outages more frequent. Looser limits, and settings of
/// responses, cannot.
fn may_fail(name: &str, line: &Line) -> bool {
    let path = line.subject.strip_prefix("upstream ");
    let path = path.and_then(|rest| rest.strip_prefix(name));
    let path: Vec<String> = path
        .into_iter()
        .flat_map(|path| path.trim_start().split('.'))
        .map(str::to_owned)
        .collect();
    let of_responses = path.first().is_some_and(|key| key == "rewrite_responses");
    !of_responses
        && (line.class != Class::Relax || fields::has_no_direction(&tables::UPSTREAM, &path))
}

/// True if an upstream receives client requests or copies of them.
pub(super) fn gets_requests(gateway: &ir::Gateway, name: &str) -> bool {
    let mut treatments = gateway.apis.iter().flat_map(|api| {
        let all = api.treatments.iter();
        all.map(move |treatment| (api, treatment))
    });
    treatments.any(|(api, treatment)| sends_to(gateway, (api, treatment), name))
}

/// True if a treatment sends client requests, or copies of them, to an upstream.
fn sends_to(
    gateway: &ir::Gateway,
    (api, treatment): (&ir::Api, &ir::Treatment),
    name: &str,
) -> bool {
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
            let is_service_call =
                |one: &&ir::Policy| matches!(one.checked.kind(), "forward_auth" | "ext_proc");
            let policy = policy.filter(|one| !is_service_call(one));
            policy.is_some_and(|one| one.checked.upstreams().contains(&name))
        })
}

/// Reports services with `on_outage: open` whose upstream newly gets requests that clients can make
/// fail. Such requests are those of further operations, rewritten requests, and calls of further
/// policies. Also reports a service with such requests that replaces a different service. Failures
/// open the circuit breaker of the upstream, and the gateway then treats the service as
/// unavailable.
pub(super) fn client_requests(old: &ir::Gateway, new: &ir::Gateway, plan: &mut Plan) {
    let [before, after] = [old, new].map(services_by_operation);
    let mut known: BTreeMap<Vec<&str>, BTreeSet<String>> = BTreeMap::new();
    for (service, callers) in callers_of(new, true) {
        let requests = senders(new, service);
        let mut all = requests.clone();
        all.extend(further_calls(old, new, service));
        for (api, operation) in callers {
            let Some(services) = before.get(operation.key.as_str()) else {
                continue;
            };
            let (earlier, is) = match services.contains(service) {
                true => (vec![service], &all),
                // A service in addition to the earlier ones can only refuse more requests. Compare
                // only with the earlier services that the operation no longer calls.
                false => {
                    let kept = after.get(operation.key.as_str());
                    let kept = kept.cloned().unwrap_or_default();
                    (services.difference(&kept).copied().collect(), &requests)
                }
            };
            if earlier.is_empty() {
                continue;
            }
            let was = known.entry(earlier).or_insert_with_key(|earlier| {
                let all = earlier.iter().flat_map(|service| senders(old, service));
                all.collect()
            });
            let was: &BTreeSet<String> = was;
            if is.is_subset(was) {
                continue;
            }
            let list = |senders: &BTreeSet<String>| Value::from(Vec::from_iter(senders.clone()));
            let mut change = Change::new(
                Section::Security,
                Class::Weaken,
                "upstream-setting-changed",
                format!("upstream {service} client requests"),
                list(was),
                list(is),
            );
            change.why_none = Some(DECIDED_ELSEWHERE);
            plan.changes.push(change.of(reference(api, operation)));
        }
    }
}

/// Upstreams of the services that each operation calls, by the key of the operation.
fn services_by_operation(gateway: &ir::Gateway) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut services: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (service, callers) in callers_of(gateway, false) {
        for (_, operation) in callers {
            let own = services.entry(operation.key.as_str()).or_default();
            own.insert(service);
        }
    }
    services
}

/// Policies of the new side that call a service, as texts. Leaves out policies that the old side
/// has with the same name, which are compared elsewhere, or with the same settings.
fn further_calls(old: &ir::Gateway, new: &ir::Gateway, service: &str) -> BTreeSet<String> {
    let before = calls(old, service);
    let is_known = |name: &String, settings: &String| {
        before.contains_key(name) || before.values().any(|known| known == settings)
    };
    let after = calls(new, service).into_iter();
    let further = after.filter(|(name, settings)| !is_known(name, settings));
    let texts = further.map(|(name, settings)| format!("policy {name} {settings}"));
    texts.collect()
}

/// Names and settings of the policies in chains that call a service. The name of a policy of a
/// document begins with its API.
fn calls(gateway: &ir::Gateway, service: &str) -> BTreeMap<String, String> {
    let mut calls = BTreeMap::new();
    for api in &gateway.apis {
        let links = api.treatments.iter().flat_map(|one| &one.chain);
        let policies = links.filter_map(|link| match link {
            ir::Link::Authenticate => None,
            ir::Link::Shared(name) => Some((name.clone(), gateway.shared.policies.get(name)?)),
            ir::Link::Own(name) => Some((format!("{}/{name}", api.name), api.policies.get(name)?)),
        });
        for (name, policy) in policies {
            let question = Question::of(&policy.checked);
            if question.is_some_and(|question| question.service() == service) {
                let settings = || policy_value(&policy.checked).to_string();
                calls.entry(name).or_insert_with(settings);
            }
        }
    }
    calls
}

/// Operations that call a service, by the upstream of the service. `open_only`: only calls with
/// `on_outage: open`.
fn callers_of(
    gateway: &ir::Gateway,
    open_only: bool,
) -> BTreeMap<&str, Vec<(&ir::Api, &ir::Operation)>> {
    let mut callers: BTreeMap<&str, Vec<(&ir::Api, &ir::Operation)>> = BTreeMap::new();
    for api in &gateway.apis {
        for operation in &api.operations {
            let treatment = &api.treatments[operation.treatment as usize];
            let questions = questions(treatment, api, &gateway.shared);
            let services = questions.filter(|one| !open_only || one.is_open());
            let services: BTreeSet<&str> = services.map(|one| one.service()).collect();
            for service in services {
                callers.entry(service).or_default().push((api, operation));
            }
        }
    }
    callers
}

/// Methods, paths and rewrites of the operations that send their requests, or copies of them, to an
/// upstream.
fn senders(gateway: &ir::Gateway, upstream: &str) -> BTreeSet<String> {
    let operations = gateway.apis.iter().flat_map(|api| {
        let all = api.operations.iter();
        all.map(move |operation| (api, operation))
    });
    let sending = operations.filter_map(|(api, operation)| {
        let treatment = &api.treatments[operation.treatment as usize];
        let is_sender = sends_to(gateway, (api, treatment), upstream);
        is_sender.then(|| {
            let rewrites = rewrites(gateway, (api, treatment));
            format!("{} {}{rewrites}", operation.method, operation.template)
        })
    });
    sending.collect()
}

/// Settings of the rewrites of a treatment, in their order, as a text. Empty if the treatment has
/// no rewrite.
fn rewrites(gateway: &ir::Gateway, (api, treatment): (&ir::Api, &ir::Treatment)) -> String {
    let policies = policies(gateway, api, treatment).map(|one| &one.checked);
    let policies = policies.filter(|checked| checked.kind() == "rewrite");
    let own = treatment.forwarding.steps();
    let own = own.filter(|(key, _)| *key == "rewrite");
    let own = own.map(|(_, checked)| checked.settings());
    let all = policies.map(Checked::settings).chain(own);
    let texts = all.map(|settings| {
        let settings = settings.iter().map(|one| {
            let value = shown(Some(&one.value));
            format!("{} {value}", one.path.join("."))
        });
        format!(", rewrite {}", settings.collect::<Vec<_>>().join(", "))
    });
    texts.collect()
}
