//! Digests of the settings of a route, for fingerprints: an acknowledgement of a change does not
//! cover a later version with other settings.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use bundle::ir;
use model::lower::Lowered;
use validator::Cone;

use super::table::{Place, Route};

/// Digest of a route's security requirement: schemes with their places, and verifiers with all
/// settings. With names alone, an acknowledgement would also cover a verifier with other keys.
pub(super) fn digest_of(side: &Lowered, route: &Route<'_>) -> String {
    let security = &route.treatment().security;
    let mut bytes = bundle::codec::encode(security);
    let uses = security.0.iter().flat_map(|alternative| &alternative.0);
    let schemes: BTreeSet<&str> = uses.map(|wanted| wanted.scheme.as_str()).collect();
    let schemes = schemes
        .into_iter()
        .filter_map(|name| route.api.schemes.get(name));
    let mut verifiers: Vec<&ir::Verifier> = Vec::new();
    let auth = &side.gateway.shared.auth;
    for scheme in schemes {
        bytes.extend(bundle::codec::encode(scheme));
        if let ir::Verify::Auth(name) = &scheme.verify {
            verifiers.extend(auth.get(name));
        }
    }
    let mut at = 0;
    while let Some(verifier) = verifiers.get(at).copied() {
        let written = bundle::codec::encode(verifier);
        // A verifier may refer to another verifier by name. Search its text for names, which is
        // much faster than comparing all ranges of its bytes.
        let text = String::from_utf8_lossy(&written);
        let names = |other: &&ir::Verifier| !other.name.is_empty() && text.contains(&other.name);
        let named = auth.iter().filter(names);
        for other in named {
            if !verifiers.iter().any(|known| std::ptr::eq(*known, other)) {
                verifiers.push(other);
            }
        }
        bytes.extend(written);
        at += 1;
    }
    Digest::of(&bytes).hex()
}

/// Policies of a chain in order.
fn policies<'p>(
    treatment: &'p ir::Treatment,
    api: &'p ir::Api,
    shared: &'p ir::Shared,
) -> impl Iterator<Item = &'p ir::Policy> {
    let links = treatment.chain.iter();
    links.filter_map(|link| match link {
        ir::Link::Authenticate => None,
        ir::Link::Shared(name) => shared.policies.get(name),
        ir::Link::Own(name) => api.policies.get(name),
    })
}

/// Digest of the handling of a new operation's requests at a listener: policies, validated
/// messages, destinations and rewrites. An acknowledgement therefore does not cover a later version
/// of the operation that admits more. The listener and upstreams that the old side has are left
/// out, because they are compared separately.
pub(super) fn treated(
    (old, new): (Option<&Lowered>, &Lowered),
    route: &Route<'_>,
    place: &Place,
) -> String {
    let treatment = route.treatment();
    let shared = &new.gateway.shared;
    let mut bytes = bundle::codec::encode(&treatment.chain);
    let listeners = old.map(|old| &old.gateway.shared.listeners);
    if listeners.is_none_or(|known| known.get(&place.listener).is_none()) {
        let listener = shared.listeners.get(&place.listener);
        bytes.extend(listener.map(bundle::codec::encode).unwrap_or_default());
    }
    if let Some(messages) = &route.api.messages
        && let Some(described) = messages.operations.get(&route.operation.key)
    {
        bytes.extend(Cone::of(described, &messages.schemas).digest);
    }
    for policy in policies(treatment, route.api, shared) {
        bytes.extend(bundle::codec::encode(policy));
    }
    bytes.extend(treatment.upstream.as_bytes());
    bytes.extend(bundle::codec::encode(&treatment.forwarding));
    bytes.extend(bundle::codec::encode(&treatment.declared));
    bytes.extend(bundle::codec::encode(&treatment.path_readings));
    bytes.push(u8::from(route.mount.strip_base_path));
    bytes.extend(format!("{:?}", treatment.max_body_bytes).into_bytes());
    let known =
        |name: &str| old.is_some_and(|old| old.gateway.shared.upstreams.get(name).is_some());
    let policies = policies(treatment, route.api, shared);
    let named: BTreeSet<&str> = policies.flat_map(|one| one.checked.upstreams()).collect();
    let upstreams = std::iter::once(treatment.upstream.as_str());
    let upstreams = upstreams.chain(treatment.forwarding.upstreams());
    for name in upstreams.chain(named) {
        let upstream = shared.upstreams.get(name).filter(|_| !known(name));
        bytes.extend(upstream.map(bundle::codec::encode).unwrap_or_default());
    }
    Digest::of(&bytes).hex()
}
