//! Everything that is neither routing, nor who may call, nor the contract: numbers, policies,
//! upstreams, consumers.

use std::collections::BTreeSet;

use bundle::ir::{self, Link};
use policy::Checked;
use serde_json::{Value, json};

use super::{Change, Class, OperationRef, Plan, Section};
use crate::lower::Lowered;

/// Compares two gateways; the first release has nothing to compare with.
pub(super) fn compare(old: Option<&Lowered>, new: &Lowered, plan: &mut Plan) {
    secrets(old, new, plan);
    let Some(old) = old else { return };
    let (was, is) = (&old.gateway.shared, &new.gateway.shared);
    consumers(was, is, plan);
    listeners(was, is, plan);
    policies("", &was.policies, &is.policies, plan);
    upstreams(was, is, plan);
    if was.expose_bundle != is.expose_bundle {
        push(
            plan,
            Section::Policy,
            Class::Changed,
            "expose-bundle-changed",
            "expose_bundle",
            was.expose_bundle.into(),
            is.expose_bundle.into(),
        );
    }
    verifiers(was, is, plan);
    for api in &new.gateway.apis {
        let Some(before) = old.gateway.apis.get(&api.name) else {
            continue;
        };
        policies(
            &format!("{}/", api.name),
            &before.policies,
            &api.policies,
            plan,
        );
        mounts(before, api, plan);
        operations(before, api, (&was.policies, &is.policies), plan);
    }
    for contract in &new.contracts {
        let Some(before) = old.contracts.get(&contract.name) else {
            continue;
        };
        super::contract::compare(before, contract, &new.gateway, plan);
    }
}

fn push(
    plan: &mut Plan,
    section: Section,
    class: Class,
    id: &'static str,
    subject: impl Into<String>,
    old: Value,
    new: Value,
) {
    plan.changes
        .push(Change::new(section, class, id, subject, old, new));
}

/// More through is relax, less is tighten.
fn number(
    plan: &mut Plan,
    section: Section,
    id: &'static str,
    subject: impl Into<String>,
    old: u64,
    new: u64,
    unit: &str,
) {
    let class = if new > old {
        Class::Relax
    } else {
        Class::Tighten
    };
    if old != new {
        push(
            plan,
            section,
            class,
            id,
            subject,
            format!("{old}{unit}").into(),
            format!("{new}{unit}").into(),
        );
    }
}

/// What stands in either set, with both sides.
fn both<'s, T: ir::Named>(
    old: &'s ir::Set<T>,
    new: &'s ir::Set<T>,
) -> impl Iterator<Item = (&'s str, Option<&'s T>, Option<&'s T>)> {
    let names: BTreeSet<&str> = old.iter().chain(new).map(ir::Named::name).collect();
    names
        .into_iter()
        .map(|name| (name, old.get(name), new.get(name)))
}

fn consumers(old: &ir::Shared, new: &ir::Shared, plan: &mut Plan) {
    for (name, was, is) in both(&old.consumers, &new.consumers) {
        let credentials = |consumer: Option<&ir::Consumer>| -> BTreeSet<(String, Option<u64>)> {
            let all = consumer.into_iter().flat_map(|consumer| {
                consumer
                    .keys
                    .iter()
                    .map(|key| ("key", key))
                    .chain(consumer.basic.iter().map(|pair| ("basic", pair)))
            });
            all.map(|(kind, credential)| {
                (
                    format!("{kind} {}", hex(&credential.sha256)),
                    credential.not_after,
                )
            })
            .collect()
        };
        let (before, after) = (credentials(was), credentials(is));
        let subject = format!("consumer {name}");
        for (credential, ends) in after.difference(&before) {
            let known = before.iter().find(|(other, _)| other == credential);
            let longer = known
                .is_some_and(|(_, was)| was.is_some_and(|was| ends.is_none_or(|ends| ends > was)));
            let (class, id) = match (known, longer) {
                (None, _) => (Class::Grant, "credential-added"),
                (Some(_), true) => (Class::Grant, "credential-prolonged"),
                (Some(_), false) => (Class::Strengthen, "credential-shortened"),
            };
            push(
                plan,
                Section::Security,
                class,
                id,
                subject.clone(),
                known.map_or(
                    Value::Null,
                    |(_, was)| json!({"credential": credential, "not_after": was}),
                ),
                json!({"credential": credential, "not_after": ends}),
            );
        }
        for (credential, _) in before.difference(&after) {
            if !after.iter().any(|(other, _)| other == credential) {
                push(
                    plan,
                    Section::Security,
                    Class::Strengthen,
                    "credential-removed",
                    subject.clone(),
                    credential.as_str().into(),
                    Value::Null,
                );
            }
        }
        if before.is_empty() && after.is_empty() && was.is_some() != is.is_some() {
            push(
                plan,
                Section::Policy,
                Class::Changed,
                "consumer-changed",
                subject,
                was.is_some().into(),
                is.is_some().into(),
            );
        }
    }
}

/// Every reference, and every field that it flows to, that is not in the old gateway: also of
/// policies that are new, and in the first release.
fn secrets(old: Option<&Lowered>, new: &Lowered, plan: &mut Plan) {
    let flows = |lowered: &Lowered| -> BTreeSet<(String, String, String)> {
        let shared = lowered
            .gateway
            .shared
            .policies
            .iter()
            .map(|policy| (String::new(), policy));
        let own = lowered.gateway.apis.iter().flat_map(|api| {
            api.policies
                .iter()
                .map(move |policy| (format!("{}/", api.name), policy))
        });
        let mut flows = BTreeSet::new();
        for (scope, policy) in shared.chain(own) {
            if let Checked::Headers(headers) = &policy.checked {
                flows.extend(headers.secrets().map(|(field, reference)| {
                    (
                        format!("policy {scope}{}", policy.name),
                        field.to_owned(),
                        reference.to_string(),
                    )
                }));
            }
        }
        flows
    };
    let before = old.map(flows).unwrap_or_default();
    for (subject, field, reference) in flows(new).difference(&before) {
        push(
            plan,
            Section::Policy,
            Class::Changed,
            "secret-flow-added",
            subject.clone(),
            Value::Null,
            json!({"reference": reference, "field": field}),
        );
    }
}

fn verifiers(old: &ir::Shared, new: &ir::Shared, plan: &mut Plan) {
    for (name, was, is) in both(&old.auth, &new.auth) {
        if was != is {
            let said = |verifier: Option<&ir::Verifier>| {
                verifier.map_or(Value::Null, |verifier| {
                    format!("{:?}", verifier.checked).into()
                })
            };
            push(
                plan,
                Section::Policy,
                Class::Changed,
                "verifier-changed",
                format!("auth {name}"),
                said(was),
                said(is),
            );
        }
    }
}

fn listeners(old: &ir::Shared, new: &ir::Shared, plan: &mut Plan) {
    for (name, was, is) in both(&old.listeners, &new.listeners) {
        let subject = format!("listener {name}");
        let (Some(was), Some(is)) = (was, is) else {
            let address = |listener: Option<&ir::Listener>| {
                listener.map_or(Value::Null, |listener| listener.address.as_str().into())
            };
            let id = if was.is_none() {
                "listener-added"
            } else {
                "listener-removed"
            };
            push(
                plan,
                Section::Routing,
                Class::Changed,
                id,
                subject.clone(),
                address(was),
                address(is),
            );
            for range in is.iter().flat_map(|listener| &listener.trusted_proxies) {
                push(
                    plan,
                    Section::Security,
                    Class::Weaken,
                    "trusted-proxy-added",
                    subject.clone(),
                    Value::Null,
                    range.to_string().into(),
                );
            }
            continue;
        };
        if was.address != is.address {
            push(
                plan,
                Section::Routing,
                Class::Changed,
                "listener-address-changed",
                subject.clone(),
                was.address.as_str().into(),
                is.address.as_str().into(),
            );
        }
        let covered = |range: &ir::Cidr, ranges: &[ir::Cidr]| ranges.contains(range);
        for range in is
            .trusted_proxies
            .iter()
            .filter(|range| !covered(range, &was.trusted_proxies))
        {
            // It may assert any address: address lists and limits believe it.
            push(
                plan,
                Section::Security,
                Class::Weaken,
                "trusted-proxy-added",
                subject.clone(),
                Value::Null,
                range.to_string().into(),
            );
        }
        for range in was
            .trusted_proxies
            .iter()
            .filter(|range| !covered(range, &is.trusted_proxies))
        {
            push(
                plan,
                Section::Security,
                Class::Strengthen,
                "trusted-proxy-removed",
                subject.clone(),
                range.to_string().into(),
                Value::Null,
            );
        }
        let (a, b) = (&was.limits, &is.limits);
        let mut limit =
            |id, old, new, unit| number(plan, Section::Policy, id, subject.clone(), old, new, unit);
        limit(
            "listener-connections-changed",
            a.connections,
            b.connections,
            "",
        );
        limit(
            "listener-header-bytes-changed",
            a.header_bytes,
            b.header_bytes,
            "B",
        );
        limit("listener-headers-changed", a.headers, b.headers, "");
        limit(
            "listener-header-timeout-changed",
            a.header_timeout_ms,
            b.header_timeout_ms,
            "ms",
        );
        limit(
            "listener-idle-timeout-changed",
            a.idle_timeout_ms,
            b.idle_timeout_ms,
            "ms",
        );
        limit(
            "listener-target-bytes-changed",
            a.target_bytes,
            b.target_bytes,
            "B",
        );
    }
}

fn policies(scope: &str, old: &ir::Set<ir::Policy>, new: &ir::Set<ir::Policy>, plan: &mut Plan) {
    for (name, was, is) in both(old, new) {
        let subject = format!("policy {scope}{name}");
        // Coming and going shows in the chains that name it.
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        if was == is {
            continue;
        }
        match (&was.checked, &is.checked) {
            (Checked::RateLimit(a), Checked::RateLimit(b)) if a.key() == b.key() => {
                let (a, b) = (a.tokens(), b.tokens());
                let rate = |tokens: policy::Tokens| {
                    format!("{} per {} ms", tokens.count, tokens.period_ms)
                };
                let faster = u128::from(b.count) * u128::from(a.period_ms)
                    > u128::from(a.count) * u128::from(b.period_ms);
                if (a.count, a.period_ms) != (b.count, b.period_ms) {
                    let class = if faster { Class::Relax } else { Class::Tighten };
                    push(
                        plan,
                        Section::Policy,
                        class,
                        "rate-changed",
                        subject.clone(),
                        rate(a).into(),
                        rate(b).into(),
                    );
                }
                number(
                    plan,
                    Section::Policy,
                    "burst-changed",
                    subject,
                    a.burst,
                    b.burst,
                    "",
                );
            }
            (Checked::Timeout(a), Checked::Timeout(b)) => number(
                plan,
                Section::Policy,
                "timeout-changed",
                subject,
                a.request_ms(),
                b.request_ms(),
                "ms",
            ),
            (a, b) => push(
                plan,
                Section::Policy,
                Class::Changed,
                "policy-changed",
                subject,
                said(a),
                said(b),
            ),
        }
    }
}

/// A policy for people; secrets are references.
fn said(checked: &Checked) -> Value {
    json!({"kind": checked.kind(), "is": format!("{checked:?}")})
}

fn upstreams(old: &ir::Shared, new: &ir::Shared, plan: &mut Plan) {
    for (name, was, is) in both(&old.upstreams, &new.upstreams) {
        let subject = format!("upstream {name}");
        let targets = |upstream: Option<&ir::Upstream>| -> Value {
            upstream.map_or(Value::Null, |upstream| {
                upstream
                    .targets
                    .iter()
                    .map(|target| {
                        (
                            target.name.clone(),
                            json!({"url": url(target), "weight": target.weight}),
                        )
                    })
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            })
        };
        let (Some(a), Some(b)) = (was, is) else {
            let id = if was.is_none() {
                "upstream-added"
            } else {
                "upstream-removed"
            };
            push(
                plan,
                Section::Upstream,
                Class::Changed,
                id,
                subject,
                targets(was),
                targets(is),
            );
            continue;
        };
        if a.targets != b.targets {
            push(
                plan,
                Section::Upstream,
                Class::Changed,
                "targets-changed",
                subject.clone(),
                targets(was),
                targets(is),
            );
        }
        if a.host_header != b.host_header {
            push(
                plan,
                Section::Upstream,
                Class::Changed,
                "host-header-changed",
                subject.clone(),
                format!("{:?}", a.host_header).into(),
                format!("{:?}", b.host_header).into(),
            );
        }
        number(
            plan,
            Section::Policy,
            "connect-timeout-changed",
            subject.clone(),
            a.connect_timeout_ms,
            b.connect_timeout_ms,
            "ms",
        );
        number(
            plan,
            Section::Policy,
            "idle-timeout-changed",
            subject,
            a.idle_timeout_ms,
            b.idle_timeout_ms,
            "ms",
        );
    }
}

fn url(target: &ir::Target) -> String {
    format!(
        "http://{}{}",
        engine::forward::authority(target),
        target.path
    )
}

fn mounts(old: &ir::Api, new: &ir::Api, plan: &mut Plan) {
    for (name, was, is) in both(&old.mounts, &new.mounts) {
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        if was.strip_base_path != is.strip_base_path {
            push(
                plan,
                Section::Upstream,
                Class::Changed,
                "strip-base-path-changed",
                format!("mount {}/{name}", new.name),
                was.strip_base_path.into(),
                is.strip_base_path.into(),
            );
        }
    }
}

fn operations(
    old: &ir::Api,
    new: &ir::Api,
    shared: (&ir::Set<ir::Policy>, &ir::Set<ir::Policy>),
    plan: &mut Plan,
) {
    for operation in &new.operations {
        let Some(before) = before(old, new, operation) else {
            continue;
        };
        let (was, is) = (
            &old.treatments[before.treatment as usize],
            &new.treatments[operation.treatment as usize],
        );
        let reference = || reference(new, operation);
        let mut changes = Vec::new();
        if before.trailing_slash != operation.trailing_slash {
            let word = |slash| match slash {
                ir::TrailingSlash::Strict => "strict",
                ir::TrailingSlash::Redirect => "redirect",
                ir::TrailingSlash::Ignore => "ignore",
            };
            changes.push((
                Class::Changed,
                "trailing-slash-changed",
                "trailing_slash",
                word(before.trailing_slash).into(),
                word(operation.trailing_slash).into(),
            ));
        }
        if was.timeout_ms != is.timeout_ms {
            let class = if is.timeout_ms > was.timeout_ms {
                Class::Relax
            } else {
                Class::Tighten
            };
            changes.push((
                class,
                "timeout-changed",
                "timeout",
                format!("{}ms", was.timeout_ms).into(),
                format!("{}ms", is.timeout_ms).into(),
            ));
        }
        if was.max_body_bytes != is.max_body_bytes {
            let bytes = |limit: Option<u64>| {
                limit.map_or(Value::from("no limit"), |bytes| format!("{bytes}B").into())
            };
            let class =
                if is.max_body_bytes.unwrap_or(u64::MAX) > was.max_body_bytes.unwrap_or(u64::MAX) {
                    Class::Relax
                } else {
                    Class::Tighten
                };
            changes.push((
                class,
                "max-body-changed",
                "max_body",
                bytes(was.max_body_bytes),
                bytes(is.max_body_bytes),
            ));
        }
        let names = |treatment: &ir::Treatment| -> Vec<String> {
            let names = treatment.chain.iter().filter_map(|link| match link {
                Link::Authenticate => None,
                Link::Shared(name) | Link::Own(name) => Some(name.clone()),
            });
            names.collect()
        };
        let (a, b) = (names(was), names(is));
        if a != b {
            let removed: Vec<&String> = a.iter().filter(|name| !b.contains(name)).collect();
            let added: Vec<&String> = b.iter().filter(|name| !a.contains(name)).collect();
            let limits = |names: &[&String]| {
                !names.is_empty()
                    && names.iter().all(|name| {
                        is_limit(name, &[&old.policies, &new.policies, shared.0, shared.1])
                    })
            };
            let class = match (removed.is_empty(), added.is_empty()) {
                (false, true) if limits(&removed) => Class::Relax,
                (true, false) if limits(&added) => Class::Tighten,
                _ => Class::Changed,
            };
            changes.push((class, "policies-changed", "policies", a.into(), b.into()));
        }
        // The same name, defined elsewhere: gateway.yaml's gave way to the document's, or the
        // other way round. Where both stand in one place the definition is compared there.
        for name in was.chain.iter().filter_map(named) {
            let before = definition(was, name, &old.policies, shared.0);
            let after = definition(is, name, &new.policies, shared.1);
            if let (Some((moved_from, before)), Some((moved_to, after))) = (before, after)
                && moved_from != moved_to
                && before != after
            {
                changes.push((
                    Class::Changed,
                    "policy-redefined",
                    "policies",
                    json!({"name": name, "in": moved_from, "is": format!("{before:?}")}),
                    json!({"name": name, "in": moved_to, "is": format!("{after:?}")}),
                ));
            }
        }
        for (class, id, subject, old, new) in changes {
            plan.changes
                .push(Change::new(Section::Policy, class, id, subject, old, new).of(reference()));
        }
    }
}

fn named(link: &Link) -> Option<&str> {
    match link {
        Link::Authenticate => None,
        Link::Shared(name) | Link::Own(name) => Some(name),
    }
}

/// Where a chain's policy is defined, and as what.
fn definition<'s>(
    treatment: &ir::Treatment,
    name: &str,
    own: &'s ir::Set<ir::Policy>,
    shared: &'s ir::Set<ir::Policy>,
) -> Option<(&'static str, &'s Checked)> {
    let link = treatment
        .chain
        .iter()
        .find(|link| named(link) == Some(name))?;
    let (place, policies) = match link {
        Link::Authenticate => return None,
        Link::Shared(_) => ("gateway.yaml", shared),
        Link::Own(_) => ("the document", own),
    };
    policies.get(name).map(|policy| (place, &policy.checked))
}

/// What an operation was before: the one with its key; for a key that is new, the one with its
/// method, template and conditions whose key is gone. A new name must not hide what else changed.
fn before<'o>(
    old: &'o ir::Api,
    new: &ir::Api,
    operation: &ir::Operation,
) -> Option<&'o ir::Operation> {
    old.operations.get(&operation.key).or_else(|| {
        old.operations.iter().find(|before| {
            before.method == operation.method
                && before.template == operation.template
                && before.conditions == operation.conditions
                && new.operations.get(&before.key).is_none()
        })
    })
}

/// Whether a policy only says how often.
fn is_limit(name: &str, defined: &[&ir::Set<ir::Policy>]) -> bool {
    let policy = defined.iter().find_map(|policies| policies.get(name));
    policy.is_some_and(|policy| matches!(policy.checked, Checked::RateLimit(_)))
}

pub(super) fn reference(api: &ir::Api, operation: &ir::Operation) -> OperationRef {
    let mount = api.mounts.iter().next();
    OperationRef {
        key: operation.key.clone(),
        id: operation
            .key
            .strip_prefix(&format!("{}/", api.name))
            .map(str::to_owned),
        method: operation.method.clone(),
        path: format!(
            "{}{}",
            mount.map_or("", |mount| &mount.base_path),
            operation.template
        ),
        mount: mount.map(|mount| mount.name.clone()).unwrap_or_default(),
        host: mount
            .and_then(|mount| mount.hosts.first().cloned())
            .unwrap_or_default(),
        api: api.name.clone(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
