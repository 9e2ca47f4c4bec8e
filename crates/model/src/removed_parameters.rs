//! Finding about header parameters that have no effect, because the gateway removes the field from
//! clients' requests and writes it itself. Only the gateway writes `X-Consumer-…`, and the fields
//! of `forward_as`, `claims_to_headers` and `response_headers` of `forward_auth`, for every
//! operation with the same upstream. Clients cannot send lookalikes (`X_Key`) of a credential field
//! either, nor of a field that an expression or the service of `forward_auth` reads.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Link};
use diag::{Diagnostic, Sink, Span};
use openapi::spec::In;
use policy::Checked;
use policy::auth::Place;

use super::{Api, Defined, Operation, Settings, chain, read_before_set};
use vocab::lints::REMOVED_PARAMETER;

/// Reports each header parameter without effect once.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let mut written: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for api in apis {
        for operation in &api.operations {
            let fields = identities(settings, api, operation);
            let of_upstream = written.entry(&operation.upstream.value).or_default();
            of_upstream.extend(fields);
        }
    }
    let mut reported: BTreeSet<Span> = BTreeSet::new();
    let shared = fields_read(&settings.policies);
    for api in apis {
        let own = fields_read(&api.policies);
        for operation in &api.operations {
            let fields = &written[operation.upstream.value.as_str()];
            let read = operation.chain.iter().filter_map(|link| match &link.value {
                Link::Authenticate => None,
                Link::Shared(name) => shared.get(name.as_str()),
                Link::Own(name) => own.get(name.as_str()),
            });
            let read: Vec<&str> = read.flatten().map(String::as_str).collect();
            for (name, span) in headers(api, operation) {
                let reason = reason(api, (fields, &read), name);
                if let Some(reason) = reason.filter(|_| reported.insert(span)) {
                    report((name, span), &reason, sink);
                }
            }
        }
    }
}

/// Header parameters of an operation, with their source locations.
fn headers<'m>(
    api: &'m Api,
    operation: &Operation,
) -> impl Iterator<Item = (&'m str, Span)> + use<'m> {
    let (path, index) = operation.place;
    let written = &api.spec.paths[path].operations[index];
    let parameters = written.parameters.iter();
    let parameters = parameters.filter(|parameter| parameter.place == In::Header);
    parameters.map(|parameter| (parameter.name.value.as_str(), parameter.span))
}

/// Fields in which the upstream of an operation receives the caller's identity, in lower case.
pub(super) fn identities(
    settings: &Settings,
    api: &Api,
    operation: &Operation,
) -> BTreeSet<String> {
    let uses = operation.security.value.0.iter().flat_map(|one| &one.0);
    let schemes = uses.filter_map(|wanted| {
        let mut schemes = api.schemes.iter();
        schemes.find(|scheme| scheme.name == wanted.scheme)
    });
    let passed = schemes.flat_map(|scheme| scheme.passes.fields());
    let mut fields: BTreeSet<String> = passed.map(str::to_ascii_lowercase).collect();
    for link in &operation.chain {
        let policy = chain::policy(settings, api, &link.value);
        let policy = policy.filter(|policy| policy.value.checked.kind() == "forward_auth");
        if let Some(policy) = policy {
            let settings = policy.value.checked.settings();
            let names = settings.texts(&["response_headers"]).unwrap_or_default();
            fields.extend(names.into_iter().map(str::to_ascii_lowercase));
        }
    }
    fields
}

/// Fields that each expression, each service of `forward_auth` and each processor of `ext_proc`
/// reads, in lower case. Key: name of the policy.
fn fields_read(policies: &[Defined<ir::Policy>]) -> BTreeMap<&str, BTreeSet<String>> {
    let fields = |checked: &Checked| match checked {
        Checked::ForwardAuth(question) => {
            let sent = question.sent().into_iter();
            sent.map(str::to_owned).collect()
        }
        Checked::ExtProc(processor) => {
            let sent = processor.sent().unwrap_or_default().iter();
            sent.cloned().collect()
        }
        _ => read_before_set::read(checked),
    };
    let policies = policies.iter().map(|policy| &policy.value);
    policies
        .map(|policy| (policy.name.as_str(), fields(&policy.checked)))
        .collect()
}

/// Reason why clients cannot send the field `name`. `None` if clients can send it. Clients cannot
/// send a field of `identities`. They also cannot send a lookalike of such a field, of a field that
/// the chain reads (`read`), or of a credential field.
fn reason(
    api: &Api,
    (identities, read): (&BTreeSet<String>, &[&str]),
    name: &str,
) -> Option<String> {
    let plain = policy::managed::plain;
    let name = name.to_ascii_lowercase();
    if identities.contains(&name) || plain(&name).starts_with("x-consumer-") {
        return Some("the gateway sets this field to name the caller for the upstream".to_owned());
    }
    let is_spelling = |other: &str| name != other && plain(&name) == plain(other);
    let read = read.iter().filter(|_| !read.contains(&name.as_str()));
    let mut fields = identities.iter().map(String::as_str).chain(read.copied());
    let other = fields.find(|field| is_spelling(field));
    let credential = api.schemes.iter().find_map(|scheme| match &scheme.place {
        Place::Header(field) => Some(field.as_str()).filter(|field| is_spelling(field)),
        _ => None,
    });
    let other = other.or(credential)?.escape_debug();
    Some(format!("servers may read this field as `{other}`"))
}

fn report((name, span): (&str, Span), reason: &str, sink: &mut Sink) {
    let message = format!(
        "the gateway removes the header `{}` from requests",
        name.escape_debug()
    );
    sink.push(
        Diagnostic::new(&REMOVED_PARAMETER, span, message)
            .label(reason)
            .help("give the parameter another name, or remove it from the description"),
    );
}
