//! Comparison of listeners, upstreams, policies, APIs and the gateway: settings,
//! additions and removals.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::declared::{Scalar, Setting, Settings, Value as Written};
use serde_json::Value;

use super::line::{ApiSide, Line, named, push};
use super::shown::{all, policy_value};
use super::tables::{self, Table};
use super::{fields, pages, questions, restart, verifiers};
use crate::pairs::{both, listeners};
use crate::reachable;
use crate::security::{self, UNSHOWN};
use crate::{Change, Class, Plan, Section};

/// Reports changes of definitions that belong to the whole gateway.
pub(super) fn shared(old: &ir::Gateway, new: &ir::Gateway, plan: &mut Plan) {
    shared_listeners((old, new), plan);
    shared_upstreams((old, new), plan);
    shared_rest((old, new), plan);
}

/// Compares listeners, matched by name or address.
fn shared_listeners((old, new): (&ir::Gateway, &ir::Gateway), plan: &mut Plan) {
    let mut lines = listener_lines(old, new);
    let before = plan.changes.len();
    let wider_and_removed = classify_listener_lines(&mut lines);
    push(plan, lines, |line| match line.id {
        "listener-added" | "listener-removed" | "listener-address-changed" => Section::Routing,
        _ => line.section(),
    });
    for change in &mut plan.changes[before..] {
        if change.section == Section::Security {
            change.why_none = Some(UNSHOWN);
        }
    }
    // Clients of the old address cannot reach the new one, so the change also counts as a removal.
    for change in &mut plan.changes[before..] {
        if wider_and_removed.contains(&change.subject) {
            change.stands_for.insert(Class::Removed);
        }
    }
}

/// Differences between listeners.
fn listener_lines(old: &ir::Gateway, new: &ir::Gateway) -> Vec<Line> {
    let mut lines = Vec::new();
    for (was, is) in listeners(old, new) {
        let name = |one: Option<&ir::Listener>| one.map(|one| one.name.clone()).unwrap_or_default();
        let subject = match (name(was), name(is)) {
            (was, is) if was == is || is.is_empty() => format!("listener {was}"),
            (was, is) if was.is_empty() => format!("listener {is}"),
            (was, is) => format!("listener {was} -> {is}"),
        };
        let address = |one: &ir::Listener| one.address.as_str().into();
        let ids = ("listener-added", "listener-removed");
        if let (Some(was), Some(is)) = (was, is) {
            if was.name != is.name {
                let shown = (Some(was.name.as_str().into()), None);
                report_one_sided(&format!("listener {}", was.name), shown, ids, &mut lines);
                let shown = (None, Some(is.name.as_str().into()));
                report_one_sided(&format!("listener {}", is.name), shown, ids, &mut lines);
            }
            fields::settings(
                &tables::LISTENER,
                &subject,
                &listener(was),
                &listener(is),
                &mut lines,
            );
            compare_certificate_fields((was, is), &subject, &mut lines);
        } else {
            let before = lines.len();
            report_one_sided(
                &subject,
                (was.map(address), is.map(address)),
                ids,
                &mut lines,
            );
            for line in &mut lines[before..] {
                if line.id == "listener-removed" {
                    line.class = Class::Removed;
                }
            }
        }
    }
    lines
}

/// Fields in which a listener writes the certificates of its clients for upstreams. `None` if the
/// listener writes no fields, or requests no certificates from clients.
fn written_certificate(listener: &ir::Listener) -> Option<ir::CertificateFields> {
    let client_auth = listener.tls()?.client_auth.as_ref()?;
    let fields = listener.forward_client_cert?;
    let writes = client_auth.mode != ir::ClientAuthMode::Off;
    (writes && fields != ir::CertificateFields::Pass).then_some(fields)
}

/// Class of a change of the fields in which upstreams receive the client's certificate.
fn class_of_certificate_fields(was: &ir::Listener, is: &ir::Listener) -> Class {
    let passes = |one: &ir::Listener| one.forward_client_cert == Some(ir::CertificateFields::Pass);
    match (passes(was), passes(is)) {
        // Trusted proxies can then assert a client certificate in a field.
        (false, true) => Class::Weaken,
        // Upstreams receive other identities: callers gain some and lose others.
        _ if written_certificate(was) != written_certificate(is) => Class::Incomparable,
        (true, false) => Class::Strengthen,
        (true, true) | (false, false) => Class::Changed,
    }
}

/// Sets the class of the line about the certificate fields of a listener. Adds a line if the
/// listener newly requests certificates from clients, and therefore writes fields that it did not
/// write before.
fn compare_certificate_fields(
    (was, is): (&ir::Listener, &ir::Listener),
    subject: &str,
    lines: &mut Vec<Line>,
) {
    let class = class_of_certificate_fields(was, is);
    let key = format!("{subject} forward_client_cert");
    if let Some(line) = lines.iter_mut().find(|line| line.subject == key) {
        line.class = class;
        return;
    }
    if written_certificate(was) == written_certificate(is) {
        return;
    }
    let shown = |one: &ir::Listener| {
        written_certificate(one)
            .map_or("none", |it| it.word())
            .into()
    };
    lines.push(Line {
        class,
        id: "client-cert-fields-changed",
        subject: key,
        old: shown(was),
        new: shown(is),
    });
}

/// Sets the class of each line whose class depends on its old and new value. Returns the subjects
/// of address changes that let new clients connect and exclude clients of the old address.
fn classify_listener_lines(lines: &mut [Line]) -> BTreeSet<String> {
    let mut wider_and_removed = BTreeSet::new();
    for line in lines {
        if line.id != "listener-address-changed" {
            continue;
        }
        let [new, old] = [&line.new, &line.old].map(|value| value.as_str().unwrap_or_default());
        let wider = reachable::is_wider(new, old);
        let gone = !reachable::covers(new, old);
        line.class = match (wider, gone) {
            (true, _) => Class::Expose,
            (false, true) => Class::Removed,
            (false, false) => Class::Changed,
        };
        if wider && gone {
            wider_and_removed.insert(line.subject.clone());
        }
    }
    wider_and_removed
}

/// Sets the class of a new `host_header: preserve`: clients then choose the `Host`, by which a
/// server can select another, protected virtual host.
fn classify_host_lines(lines: &mut [Line]) {
    for line in lines {
        if line.id == "host-header-changed" && line.new == "preserve" {
            line.class = Class::Weaken;
        }
    }
}

/// Compares upstreams by name.
fn shared_upstreams((old, new): (&ir::Gateway, &ir::Gateway), plan: &mut Plan) {
    let mut lines = Vec::new();
    let before = plan.changes.len();
    for (name, was, is) in both(&old.shared.upstreams, &new.shared.upstreams) {
        let (was, is) = (was.map(upstream), is.map(upstream));
        let mut own = Vec::new();
        compare_definition(
            &tables::UPSTREAM,
            &format!("upstream {name}"),
            (was, is),
            ("upstream-added", "upstream-removed"),
            &mut own,
        );
        classify_host_lines(&mut own);
        plan.changes
            .extend(questions::decide((old, new), name, &mut own));
        lines.append(&mut own);
    }
    request_limits((old, new), &mut lines);
    push(plan, lines, |line| {
        let numbers = ["timeouts", "limits", "retries", "circuit_breaker"];
        let key = line.subject.splitn(3, ' ').nth(2).unwrap_or_default();
        let key = key.split('.').next().unwrap_or_default();
        match line.section() {
            Section::Security => Section::Security,
            _ if numbers.contains(&key) => Section::Policy,
            _ => Section::Upstream,
        }
    });
    for change in &mut plan.changes[before..] {
        if change.section == Section::Security {
            change.why_none = change.why_none.or(Some(UNSHOWN));
        }
    }
}

/// Reports an additional upstream for a host, if the sum of all limits on concurrent requests to
/// the host grows. Only for hosts whose old upstreams have such a limit in gateway.yaml.
fn request_limits((old, new): (&ir::Gateway, &ir::Gateway), lines: &mut Vec<Line>) {
    let of_host = |gateway: &ir::Gateway, host: &String| -> BTreeMap<String, u64> {
        let all = gateway.shared.upstreams.iter();
        let used = all.filter(|one| {
            security::gateway::hosts(one).contains(host)
                && questions::gets_requests(gateway, &one.name)
        });
        used.map(|one| (one.name.clone(), one.limits.requests))
            .collect()
    };
    let limited = old.shared.upstreams.iter();
    let default = policy::upstream::Limits::default().requests;
    let limited = limited.filter(|one| one.limits.requests != default);
    let hosts: BTreeSet<String> = limited.flat_map(security::gateway::hosts).collect();
    for host in hosts {
        let (was, is) = (of_host(old, &host), of_host(new, &host));
        let sum = |sum: u64, limit: &u64| sum.saturating_add(*limit);
        let [before, after] = [&was, &is].map(|limits| limits.values().fold(0, sum));
        let added = is.keys().find(|name| !was.contains_key(*name));
        if let Some(name) = added.filter(|_| !was.is_empty() && after > before) {
            lines.push(Line {
                class: Class::Relax,
                id: tables::UPSTREAM.id,
                subject: format!("upstream {name} limits.requests, all of {host}"),
                old: before.into(),
                new: after.into(),
            });
        }
    }
}

/// Compares verifiers, policies, and the settings of the gateway itself.
fn shared_rest((old, new): (&ir::Gateway, &ir::Gateway), plan: &mut Plan) {
    let (was, is) = (&old.shared, &new.shared);
    let mut lines = Vec::new();
    verifiers::verifiers(old, new, &mut lines);
    policies(
        "",
        (&was.policies, &is.policies),
        (used(old), used(new)),
        &mut lines,
    );
    if was.expose_bundle != is.expose_bundle {
        lines.push(Line {
            class: match is.expose_bundle {
                true => Class::Weaken,
                false => Class::Strengthen,
            },
            id: "expose-bundle-changed",
            subject: "expose_bundle".into(),
            old: was.expose_bundle.into(),
            new: is.expose_bundle.into(),
        });
    }
    if was.project != is.project {
        lines.push(Line {
            class: Class::Changed,
            id: "project-renamed",
            subject: "name".into(),
            old: was.project.as_str().into(),
            new: is.project.as_str().into(),
        });
    }
    fields::settings(
        &tables::GATEWAY,
        "",
        &was.settings(),
        &is.settings(),
        &mut lines,
    );
    let found = pages::compare("", (&[&was.errors], &[&is.errors]), &mut lines);
    let before = plan.changes.len();
    push_unshown(plan, lines);
    bind(&mut plan.changes[before..], "", &is.policies, is);
    plan.changes.extend(found);
}

/// Adds lines about policies and settings to the plan. Lines about access get a reason for the
/// missing witness.
fn push_unshown(plan: &mut Plan, lines: Vec<Line>) {
    let before = plan.changes.len();
    push(plan, lines, Line::section);
    for change in &mut plan.changes[before..] {
        if change.section == Section::Security {
            change.why_none = Some(
                "only a later request with a cached decision would show the \
                change",
            );
        }
    }
}

/// Reports settings that are written differently but have the same meaning. Called only if no other
/// difference was found, so that such a change is still reported.
pub(super) fn restated(old: &ir::Gateway, new: &ir::Gateway, plan: &mut Plan) {
    let mut lines = Vec::new();
    let empty = Settings::default();
    let mut add = |subject: String, was: &Settings, is: &Settings| {
        fields::restated(&subject, was, is, &mut lines);
    };
    let (was, is) = (&old.shared, &new.shared);
    for (name, was, is) in both(&was.auth, &is.auth) {
        let of = |one: Option<&ir::Verifier>| {
            one.map_or_else(|| empty.clone(), |one| one.checked.settings())
        };
        add(format!("auth {name}"), &of(was), &of(is));
    }
    let of =
        |one: Option<&ir::Policy>| one.map_or_else(|| empty.clone(), |one| one.checked.settings());
    for (name, was, is) in both(&was.policies, &is.policies) {
        add(format!("policy {name}"), &of(was), &of(is));
    }
    for (name, was, is) in both(&was.listeners, &is.listeners) {
        let of =
            |one: Option<&ir::Listener>| one.map_or_else(|| empty.clone(), ir::Listener::settings);
        add(format!("listener {name}"), &of(was), &of(is));
    }
    for (name, was, is) in both(&was.upstreams, &is.upstreams) {
        let of = |one: Option<&ir::Upstream>| {
            one.map_or_else(Settings::default, |one| {
                one.declared.clone().with_below(&[], one.traffic_settings())
            })
        };
        add(format!("upstream {name}"), &of(was), &of(is));
    }
    add("required".into(), &was.required, &is.required);
    for (api, was, is) in both(&old.apis, &new.apis) {
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        for (name, was, is) in both(&was.policies, &is.policies) {
            add(format!("policy {api}/{name}"), &of(was), &of(is));
        }
        for operation in &is.operations {
            let Some(before) = was.operations.get(&operation.key) else {
                continue;
            };
            let before = was.treatments[before.treatment as usize].settings();
            let after = is.treatments[operation.treatment as usize].settings();
            add(format!("operation {}", operation.key), &before, &after);
        }
    }
    push(plan, lines, |_| Section::Policy);
    let mut lines = Vec::new();
    for (api, was, is) in both(&old.apis, &new.apis) {
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        for (name, was, is) in both(&was.mounts, &is.mounts) {
            if let (Some(was), Some(is)) = (was, is)
                && was.hosts != is.hosts
            {
                lines.push(Line {
                    class: Class::Changed,
                    id: "mount-hosts-changed",
                    subject: format!("mount {api}/{name} hosts"),
                    old: was.hosts.clone().into(),
                    new: is.hosts.clone().into(),
                });
            }
        }
    }
    for (api, was, is) in both(&old.apis, &new.apis) {
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        let keys = |api: &ir::Api| -> BTreeSet<String> {
            api.operations.iter().map(|one| one.key.clone()).collect()
        };
        let (before, after) = (keys(was), keys(is));
        // No request reaches these operations, for example because their API has no mount.
        // Otherwise the routing comparison would have reported them.
        for key in after.difference(&before) {
            lines.push(Line {
                class: Class::Added,
                id: "operation-added",
                subject: key.clone(),
                old: Value::Null,
                new: key.as_str().into(),
            });
        }
        for key in before.difference(&after) {
            lines.push(Line {
                class: Class::Removed,
                id: "operation-removed",
                subject: key.clone(),
                old: key.as_str().into(),
                new: Value::Null,
            });
        }
        let hidden = |api: &ir::Api| -> Vec<String> {
            let all = api.hidden.iter();
            all.map(|one| format!("{} {}", one.method, one.template))
                .collect()
        };
        if !have_same_requests(&was.hidden, &is.hidden) {
            lines.push(Line {
                class: Class::Changed,
                id: "internal-changed",
                subject: format!("api {api} internal"),
                old: hidden(was).into(),
                new: hidden(is).into(),
            });
        }
    }
    push(plan, lines, |_| Section::Routing);
}

/// Reports the changes of one API, except the changes of its operations.
pub(super) fn api(old: ApiSide<'_>, new: ApiSide<'_>, plan: &mut Plan) {
    let mut lines = Vec::new();
    let (was, is) = (old.api, new.api);
    let own = |api: &ir::Api| -> BTreeSet<String> {
        let chains = api.treatments.iter().flat_map(|treatment| &treatment.chain);
        chains.filter_map(named).map(str::to_owned).collect()
    };
    let scope = format!("{}/", is.name);
    policies(
        &scope,
        (&was.policies, &is.policies),
        (own(was), own(is)),
        &mut lines,
    );
    let subject = format!("api {}", is.name);
    fields::settings(
        &tables::API,
        &subject,
        &was.settings(),
        &is.settings(),
        &mut lines,
    );
    let errors = (
        [&was.errors, &old.shared.errors],
        [&is.errors, &new.shared.errors],
    );
    let found = pages::compare(&subject, (&errors.0, &errors.1), &mut lines);
    let before = plan.changes.len();
    push_unshown(plan, lines);
    bind(
        &mut plan.changes[before..],
        &scope,
        &is.policies,
        new.shared,
    );
    plan.changes.extend(found);
    let mut lines = Vec::new();
    for (name, was, is) in both(&was.mounts, &is.mounts) {
        if let (Some(was), Some(is)) = (was, is)
            && was.strip_base_path != is.strip_base_path
        {
            lines.push(Line {
                class: Class::Moved,
                id: "strip-base-path-changed",
                subject: format!("mount {scope}{name}"),
                old: was.strip_base_path.into(),
                new: is.strip_base_path.into(),
            });
        }
    }
    push(plan, lines, |_| Section::Upstream);
}

/// Adds digests of the upstreams to which changed policies refer, for the fingerprints of the
/// changes.
fn bind(changes: &mut [Change], scope: &str, policies: &ir::Set<ir::Policy>, shared: &ir::Shared) {
    for change in changes {
        let name = change.subject.strip_prefix("policy ");
        let name = name.and_then(|name| name.strip_prefix(scope));
        let name = name.and_then(|name| name.split(' ').next());
        if let Some(policy) = name.and_then(|name| policies.get(name)) {
            change.bound = security::servers(shared, std::iter::once(&policy.checked));
        }
    }
}

/// Compares policies that both sides define. Also reports added and removed policies that no chain
/// uses; the comparison of chains reports added and removed policies that are in use.
fn policies(
    scope: &str,
    (old, new): (&ir::Set<ir::Policy>, &ir::Set<ir::Policy>),
    (used_before, used_after): (BTreeSet<String>, BTreeSet<String>),
    lines: &mut Vec<Line>,
) {
    for (name, was, is) in both(old, new) {
        let subject = format!("policy {scope}{name}");
        let (Some(a), Some(b)) = (was, is) else {
            let used = if was.is_some() {
                &used_before
            } else {
                &used_after
            };
            // Chains do not contain policies that only set a parameter, such as `timeout`. Report
            // these policies and unused policies here.
            if !used.contains(name) {
                let shown = |policy: &ir::Policy| policy_value(&policy.checked);
                let ids = ("policy-added", "policy-removed");
                report_one_sided(&subject, (was.map(shown), is.map(shown)), ids, lines);
            }
            continue;
        };
        if a == b {
            continue;
        }
        let (kind_before, kind) = (a.checked.kind(), b.checked.kind());
        if kind_before != kind {
            // If the kind changes, the old limit no longer applies to its callers.
            let limit = policy::is_limit(kind_before) && used_before.contains(name);
            lines.push(Line {
                class: if limit { Class::Relax } else { Class::Changed },
                id: "policy-changed",
                subject,
                old: policy_value(&a.checked),
                new: policy_value(&b.checked),
            });
            continue;
        }
        let (was, is) = (a.checked.settings(), b.checked.settings());
        let before = lines.len();
        fields::settings(&tables::of_policy(kind), &subject, &was, &is, lines);
        // The access comparison reports access changes of policies in use.
        if lines.len() == before && was != is && !used_after.contains(name) {
            lines.push(Line {
                class: Class::Changed,
                id: "policy-changed",
                subject,
                old: policy_value(&a.checked),
                new: policy_value(&b.checked),
            });
        } else if lines.len() == before && was == is && b.checked.has_counters() {
            lines.push(Line {
                class: restart::class(&b.checked),
                id: restart::RESTARTED,
                subject,
                old: "its counters".into(),
                new: "new counters".into(),
            });
        }
    }
}

/// Names of the policies that at least one chain contains.
fn used(gateway: &ir::Gateway) -> BTreeSet<String> {
    let treatments = gateway.apis.iter().flat_map(|api| &api.treatments);
    let chains = treatments.flat_map(|treatment| &treatment.chain);
    chains.filter_map(named).map(str::to_owned).collect()
}

fn compare_definition(
    table: &Table,
    subject: &str,
    (was, is): (Option<Settings>, Option<Settings>),
    ids: (&'static str, &'static str),
    lines: &mut Vec<Line>,
) {
    let shown = (was.as_ref().map(all), is.as_ref().map(all));
    if !report_one_sided(subject, shown, ids, lines)
        && let (Some(was), Some(is)) = (was, is)
    {
        fields::settings(table, subject, &was, &is, lines);
    }
}

/// Reports a definition that only one side has. Returns false if both sides have it.
pub(super) fn report_one_sided(
    subject: &str,
    (was, is): (Option<Value>, Option<Value>),
    (added, removed): (&'static str, &'static str),
    lines: &mut Vec<Line>,
) -> bool {
    let id = match (&was, &is) {
        (None, Some(_)) => added,
        (Some(_), None) => removed,
        (Some(_), Some(_)) | (None, None) => return false,
    };
    lines.push(Line {
        class: Class::Changed,
        id,
        subject: subject.to_owned(),
        old: was.unwrap_or_default(),
        new: is.unwrap_or_default(),
    });
    true
}

/// True if both lists have `internal` operations that describe the same requests.
fn have_same_requests(was: &[ir::Hidden], is: &[ir::Hidden]) -> bool {
    let mut pairs = was.iter().zip(is);
    was.len() == is.len() && pairs.all(|(was, is)| was.has_requests_of(is))
}

/// Settings of a listener, by their paths in gateway.yaml.
pub(crate) fn listener(listener: &ir::Listener) -> Settings {
    let limits = &listener.limits;
    let number = |number: u64| one(Scalar::Number(i64::try_from(number).unwrap_or(i64::MAX)));
    listener
        .settings()
        .with(&["address"], one(Scalar::Text(listener.address.clone())))
        .with(&["limits", "connections"], number(limits.connections))
        .with(
            &["limits", "header_bytes"],
            one(Scalar::Size(limits.header_bytes)),
        )
        .with(&["limits", "headers"], number(limits.headers))
        .with(
            &["limits", "header_timeout"],
            one(Scalar::Duration(limits.header_timeout_ms)),
        )
        .with(
            &["limits", "idle_timeout"],
            one(Scalar::Duration(limits.idle_timeout_ms)),
        )
        .with(
            &["limits", "target_bytes"],
            one(Scalar::Size(limits.target_bytes)),
        )
        .with(
            &["limits", "body_timeout"],
            one(Scalar::Duration(limits.body_timeout_ms)),
        )
        .with(
            &["limits", "min_rate"],
            one(Scalar::Size(limits.min_rate_bytes)),
        )
        .with(
            &["limits", "stream_idle_timeout"],
            one(Scalar::Duration(limits.stream_idle_timeout_ms)),
        )
}

/// Settings of an upstream, by their paths in gateway.yaml.
pub(crate) fn upstream(upstream: &ir::Upstream) -> Settings {
    let host = match &upstream.host_header {
        ir::HostHeader::Preserve => "preserve",
        ir::HostHeader::Upstream => "upstream",
        ir::HostHeader::Value(host) => host,
    };
    let settings = upstream
        .declared
        .clone()
        .with_below(&[], upstream.traffic_settings())
        .with(
            &["timeouts", "connect"],
            one(Scalar::Duration(upstream.connect_timeout_ms)),
        )
        .with(
            &["timeouts", "idle"],
            one(Scalar::Duration(upstream.idle_timeout_ms)),
        )
        .with(&["host_header"], one(Scalar::Text(host.to_owned())));
    let targets = upstream.targets.iter().flat_map(|target| {
        let weight = Scalar::Number(target.weight.into());
        [("url", Scalar::Text(target.url())), ("weight", weight)].map(|(key, value)| Setting {
            path: vec![target.name.clone(), key.to_owned()],
            value: one(value),
        })
    });
    // Settings are sorted once, because an upstream may have thousands of targets.
    settings.with_below(&["targets"], Settings::new(targets.collect()))
}

fn one(scalar: Scalar) -> Written {
    Written::One(scalar)
}
