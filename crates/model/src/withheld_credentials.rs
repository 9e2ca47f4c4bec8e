//! Security schemes with `verify: upstream` whose credential is in a field that the gateway writes
//! for the same upstream. The gateway removes the field from clients' requests, so that the
//! upstream receives no credential.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use diag::{Diagnostic, Sink, Span};
use policy::auth::Place;

use super::{Api, Operation, Settings, mixed_identity, removed_parameters};
use vocab::verifier_lints::WITHHELD_CREDENTIAL;

/// Reports each security scheme whose credential the upstream never receives, once, at its
/// definition.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let mut written: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for api in apis {
        for operation in &api.operations {
            let fields = removed_parameters::identities(settings, api, operation);
            // Leave out these fields: upstreams verify them, so other APIs do not remove them.
            let fields = fields.into_iter().filter(|name| !is_credential(name));
            let of_upstream = written.entry(&operation.upstream.value).or_default();
            of_upstream.extend(fields);
        }
    }
    let mut reported: BTreeSet<Span> = BTreeSet::new();
    for api in apis {
        let passed = api.schemes.iter().flat_map(|scheme| scheme.passes.fields());
        let passed: BTreeSet<String> = passed.map(str::to_ascii_lowercase).collect();
        for operation in &api.operations {
            let of_upstream = &written[operation.upstream.value.as_str()];
            for scheme in unverified(api, operation) {
                let field = field(&scheme.place).map(str::to_ascii_lowercase);
                let is_removed =
                    |name: &String| passed.contains(name) || of_upstream.contains(name);
                let Some(name) = field.filter(is_removed) else {
                    continue;
                };
                let (scheme, at) = mixed_identity::defined(api, scheme);
                if reported.insert(at) {
                    report((scheme, at), &name, sink);
                }
            }
        }
    }
}

/// Schemes of an operation whose credentials the upstream verifies.
fn unverified<'m>(api: &'m Api, operation: &'m Operation) -> impl Iterator<Item = &'m ir::Scheme> {
    let uses = operation.security.value.0.iter().flat_map(|one| &one.0);
    let schemes = uses.filter_map(|wanted| {
        let mut schemes = api.schemes.iter();
        schemes.find(|scheme| scheme.name == wanted.scheme)
    });
    schemes.filter(|scheme| scheme.verify == ir::Verify::Upstream)
}

/// Header field with the credential. `None` if the credential is not in a header field.
fn field(place: &Place) -> Option<&str> {
    match place {
        Place::Header(name) => Some(name),
        Place::Authorization(_) => Some("authorization"),
        Place::Cookie(_) => Some("cookie"),
        Place::Query(_) | Place::Certificate => None,
    }
}

fn is_credential(name: &str) -> bool {
    ["authorization", "cookie"].contains(&name)
}

fn report((scheme, at): (&str, Span), field: &str, sink: &mut Sink) {
    let message = format!(
        "the upstream does not receive the credential of `{}`",
        scheme.escape_debug()
    );
    let reason = format!(
        "the gateway removes `{}` from requests, because it writes the caller's identity there",
        field.escape_debug()
    );
    sink.push(
        Diagnostic::new(&WITHHELD_CREDENTIAL, at, message)
            .label(reason)
            .help("write the identity of callers to another field"),
    );
}
