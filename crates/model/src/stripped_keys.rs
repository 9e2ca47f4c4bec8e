//! Finding about load balancing and limits that use a credential after the gateway has removed it.
//! `hash_on` of an upstream or `key` of a limit names a field of a scheme with `strip_credential`.
//! Without the field, `hash_on` selects any target, and a limit counts by client address.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::Link;
use diag::{Diagnostic, NodeId, NodeRef, Sink};
use policy::auth::Place;

use super::{Api, Settings};
use sources::project::files::Files;
use vocab::lints::STRIPPED_KEY;

/// Reports each upstream and limit that uses a removed credential, once, with the first API that
/// removes the credential.
pub(super) fn check(files: &Files, settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let mut reported: BTreeSet<NodeId> = BTreeSet::new();
    for api in apis {
        let stripped = api.schemes.iter().filter(|scheme| scheme.strip_credential);
        let stripped: Vec<&Place> = stripped.map(|scheme| &scheme.place).collect();
        if stripped.is_empty() {
            continue;
        }
        let keys =
            used(settings, api).filter_map(|(id, key)| Some((id, files.tree.at(id).get(key)?)));
        for (id, key) in keys {
            // The value is one request property or a list of them.
            let parts = [key].into_iter().chain(key.items());
            let found = parts.into_iter().find(|part| is_stripped(*part, &stripped));
            if let Some(part) = found.filter(|_| reported.insert(id)) {
                report(api, part, sink);
            }
        }
    }
}

fn report(api: &Api, key: NodeRef<'_>, sink: &mut Sink) {
    let text = key.scalar_text().unwrap_or_default().escape_debug();
    sink.push(
        Diagnostic::new(
            &STRIPPED_KEY,
            key.span(),
            format!(
                "`{text}` is a credential that `{}` removes before it is read here",
                api.name
            ),
        )
        .label("requests no longer have this credential here")
        .help("write `consumer`: the owner of the credential"),
    );
}

/// Definitions of the upstreams and policies that operations of an API use. Each definition comes
/// with the name of the setting that may name a request field: `hash_on` or `key`.
fn used<'m>(settings: &'m Settings, api: &'m Api) -> impl Iterator<Item = (NodeId, &'static str)> {
    let of_operations = api.operations.iter().flat_map(|one| {
        let split = one.forwarding.upstreams();
        split.chain([one.upstream.value.as_str()])
    });
    let of_rest = api.rest.iter().map(|rest| rest.upstream.value.as_str());
    let upstreams: BTreeSet<&str> = of_operations.chain(of_rest).collect();
    let chains = api.operations.iter().map(|one| &one.chain);
    let chains = chains.chain(api.rest.iter().map(|rest| &rest.chain));
    let links = chains.flatten().filter_map(|link| match &link.value {
        Link::Authenticate => None,
        Link::Shared(name) => Some((&settings.policies, name)),
        Link::Own(name) => Some((&api.policies, name)),
    });
    let links: BTreeMap<&String, _> = links.map(|(all, name)| (name, all)).collect();
    let all = settings.upstreams.iter().chain(&api.upstreams);
    let upstreams = all.filter(move |one| upstreams.contains(one.value.ir.name.as_str()));
    let upstreams = upstreams.filter_map(|one| Some((one.node?, "hash_on")));
    let policies = links.into_iter().filter_map(|(name, all)| {
        let policy = all.iter().find(|policy| policy.value.name == *name)?;
        Some((policy.node?, "key"))
    });
    upstreams.chain(policies)
}

/// True for `header:NAME`, `cookie:NAME` or `query:NAME` if the gateway removes the credential in
/// that field, cookie or parameter.
fn is_stripped(key: NodeRef<'_>, stripped: &[&Place]) -> bool {
    let text = key.scalar_text().unwrap_or_default();
    let Some((kind, name)) = text.split_once(':') else {
        return false;
    };
    stripped.iter().any(|place| match (kind, place) {
        ("header", Place::Header(known)) => known.eq_ignore_ascii_case(name),
        ("header", Place::Authorization(_)) => name.eq_ignore_ascii_case("authorization"),
        ("cookie", Place::Cookie(known)) | ("query", Place::Query(known)) => known == name,
        _ => false,
    })
}
