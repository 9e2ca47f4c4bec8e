//! Finding `way-round`: operations that bypass the protection of another operation, because their
//! requests reach the same path of the same host.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Link};
use diag::{Diagnostic, Sink, Span};
use policy::Checked;

use super::ends::ends;
use super::{Place, Shared, survey};
use crate::settings::Settings;
use crate::{Api, Operation};
use vocab::lints::WAY_ROUND;

/// Reports operations that may bypass the protection of another operation, and wrong uses of
/// `path_readings: keep` (finding `way-round`).
pub(crate) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let shared = shared(settings, apis);
    services(&shared, apis, sink);
    shared_servers(&shared, apis, sink);
    let mut places = Vec::new();
    let mut spans: BTreeMap<&str, Span> = BTreeMap::new();
    for api in apis {
        for mount in &api.mounts {
            for operation in &api.operations {
                spans.insert(&operation.key, operation.span);
                places.push(place(&shared, api, &mount.value, operation));
            }
        }
    }
    let survey = survey(&shared, &places);
    let first = survey.not_compared.first();
    let span = first.and_then(|key| spans.get(key));
    if let Some((gap, span)) = survey.not_compared.gap().zip(span) {
        let finding = Diagnostic::new(&WAY_ROUND, *span, gap)
            .label("the first protected operation")
            .help("give protected operations literal first segments, or an upstream of their own");
        sink.push(finding);
    }
    for (key, bypass) in survey.bypasses {
        let (Some(span), Some(first)) = (spans.get(key.as_str()), bypass.keys.first()) else {
            continue;
        };
        let reached: Vec<&str> = bypass.reached.iter().map(String::as_str).take(3).collect();
        let mut finding = Diagnostic::new(
            &WAY_ROUND,
            *span,
            format!(
                "`{key}` may bypass the protection of {} at the upstream",
                match bypass.keys.len() {
                    1 => format!("`{first}`"),
                    more => format!("{more} operations"),
                }
            ),
        )
        .label(format!("its requests reach {}", reached.join(", ")))
        .help(
            "require the same credentials and policies at both, or send its requests to another \
path or upstream",
        );
        for other in bypass.keys.iter().take(3) {
            if let Some(span) = spans.get(other.as_str()) {
                finding = finding.related(
                    *span,
                    format!("`{other}` has the same path and more protection"),
                );
            }
        }
        sink.push(finding);
    }
}

/// Requests that the operations of a project send to upstreams, by the operation's key: method,
/// host and path, and the same text without the host.
pub(crate) fn reached<'a>(
    settings: &'a Settings,
    apis: &'a [Api],
) -> BTreeMap<&'a str, BTreeSet<[String; 2]>> {
    let shared = shared(settings, apis);
    let mut reached: BTreeMap<&str, BTreeSet<[String; 2]>> = BTreeMap::new();
    for api in apis {
        for mount in &api.mounts {
            for operation in &api.operations {
                let place = place(&shared, api, &mount.value, operation);
                let ends = ends(&shared, &place);
                let own = reached.entry(&operation.key).or_default();
                own.extend(ends.iter().map(|end| [end.reached(), end.request()]));
            }
        }
    }
    reached
}

/// Definitions of a project that determine where requests are sent.
fn shared<'a>(settings: &'a Settings, apis: &'a [Api]) -> Shared<'a> {
    let own = apis.iter().flat_map(|api| &api.upstreams);
    let upstreams = settings.upstreams.iter().chain(own);
    let listeners = settings.listeners.iter();
    let policies = settings.policies.iter();
    Shared {
        listeners: listeners
            .map(|entry| (entry.value.name.as_str(), &entry.value))
            .collect(),
        upstreams: upstreams
            .map(|entry| (entry.value.ir.name.as_str(), &entry.value.ir))
            .collect(),
        policies: policies
            .map(|entry| (entry.value.name.as_str(), &entry.value.checked))
            .collect(),
        hidden: Vec::new(),
    }
}

/// Reports `path_readings: keep` on operations with `forward_auth` or `ext_proc`, because the
/// service must interpret paths exactly like the upstream. Also reports it on operations whose
/// `authorize` expression reads the path, because `keep` has no effect there.
fn services(shared: &Shared<'_>, apis: &[Api], sink: &mut Sink) {
    let mut reported: Vec<Span> = Vec::new();
    for api in apis {
        for operation in api.operations.iter().filter(|one| !one.internal) {
            let readings = &operation.path_readings;
            let Some(span) = readings.span().filter(|_| !readings.value.is_strict()) else {
                continue;
            };
            let policies = policies(shared, api, operation);
            let decides = policies.iter().any(|policy| match policy {
                Checked::Authorize(requirements) => requirements.depends_on_path(),
                _ => false,
            });
            if decides && !reported.contains(&span) {
                reported.push(span);
                let finding = Diagnostic::new(
                    &WAY_ROUND,
                    span,
                    format!("`keep` has no effect on `{}`", operation.key),
                )
                .label("an `expression` of `authorize` reads `request.path`")
                .help(
                    "write `strict`, or describe the paths that the expression compares as separate \
operations",
                );
                sink.push(finding);
                continue;
            }
            let mut services = policies.into_iter().filter_map(|policy| match policy {
                Checked::ForwardAuth(question) => Some(question.service()),
                Checked::ExtProc(processor) => Some(processor.service()),
                _ => None,
            });
            let Some(service) = services.next().filter(|_| !reported.contains(&span)) else {
                continue;
            };
            reported.push(span);
            let upstream = &operation.upstream.value;
            let finding = Diagnostic::new(
                &WAY_ROUND,
                span,
                format!(
                    "`{}` may bypass the decision of `{service}` about its path",
                    operation.key
                ),
            )
            .label(format!(
                "`keep`: `{service}` and `{upstream}` may read a path of this operation as two different paths"
            ))
            .help(
                "write `strict`, or make sure that both read paths byte for byte, or that the \
decision does not depend on the path",
            );
            sink.push(finding);
        }
    }
}

/// Reports `path_readings: keep` on operations whose server also receives requests of protected
/// operations of other APIs, at any host and listener. The server may interpret a path of the
/// operation as the path of such an operation. `crate::rest` reports operations of the same API.
fn shared_servers(shared: &Shared<'_>, apis: &[Api], sink: &mut Sink) {
    let mut guarded: BTreeMap<&str, Vec<(&str, &Operation)>> = BTreeMap::new();
    for api in apis {
        let is_guarded = |one: &&Operation| one.internal || !one.security.value.admits_anyone();
        for operation in api.operations.iter().filter(is_guarded) {
            let known = guarded
                .entry(operation.upstream.value.as_str())
                .or_default();
            known.push((api.name.as_str(), operation));
        }
    }
    let servers = |name: &str| shared.upstreams.get(name).map(|one| one.servers());
    let mut near: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut reported: BTreeSet<Span> = BTreeSet::new();
    for api in apis {
        for operation in api.operations.iter().filter(|one| !one.internal) {
            let readings = &operation.path_readings;
            let Some(span) = readings.span().filter(|_| !readings.value.is_strict()) else {
                continue;
            };
            if reported.contains(&span) {
                continue;
            }
            let upstream = operation.upstream.value.as_str();
            let names = near.entry(upstream).or_insert_with(|| {
                let own = servers(upstream);
                let both = |name: &str| own.as_ref().zip(servers(name));
                let meets = |name: &str| both(name).is_some_and(|(own, its)| own.share_named(&its));
                guarded
                    .keys()
                    .copied()
                    .filter(|name| *name == upstream || meets(name))
                    .collect()
            });
            let all = names.iter().flat_map(|name| &guarded[name]);
            let security = &operation.security.value;
            let mut others = all.filter(|(name, other)| {
                *name != api.name && (other.internal || other.security.value != *security)
            });
            let Some((_, first)) = others.next() else {
                continue;
            };
            let count = 1 + others.count();
            reported.insert(span);
            let finding = Diagnostic::new(
                &WAY_ROUND,
                span,
                format!(
                    "`{}` may bypass the protection of {count} of the operations of other APIs at its server",
                    operation.key
                ),
            )
            .label(format!(
                "`keep`: `{upstream}` gets paths that it may read as another path, such as `..%2fadmin`"
            ))
            .related(
                first.span,
                format!("`{}`: the same server serves this operation", first.key),
            )
            .help(
                "write the same `security` at both, or make sure that the upstream compares paths \
byte for byte",
            );
            sink.push(finding);
        }
    }
}

/// Policies of an operation's chain in order.
fn policies<'a>(shared: &Shared<'a>, api: &'a Api, operation: &'a Operation) -> Vec<&'a Checked> {
    let policies = operation.chain.iter().filter_map(|link| match &link.value {
        Link::Authenticate => None,
        Link::Shared(name) => shared.policies.get(name.as_str()).copied(),
        Link::Own(name) => {
            let own = api.policies.iter().find(|own| own.value.name == *name);
            own.map(|own| &own.value.checked)
        }
    });
    policies.collect()
}

fn place<'a>(
    shared: &Shared<'a>,
    api: &'a Api,
    mount: &'a ir::Mount,
    operation: &'a Operation,
) -> Place<'a> {
    Place {
        api: &api.name,
        key: &operation.key,
        method: &operation.method,
        template: &operation.template,
        mount,
        security: &operation.security.value,
        policies: policies(shared, api, operation),
        forwarding: operation.settings(),
        upstream: &operation.upstream.value,
        is_conditional: !operation.conditions.is_empty(),
        priority: operation.priority,
        is_internal: operation.internal,
        // `has_checks` has no effect on this finding, which compares only the callers.
        has_checks: false,
    }
}
