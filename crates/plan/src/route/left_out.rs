//! Parts of an operation that are part of the vocabulary, but that gwd does not support yet.
//! Answers list these parts and otherwise ignore them.

use std::collections::BTreeSet;

use bundle::ir::{SchemeUse, Verify};
use policy::Checked;

use super::chain;
use super::route_request::Here;

/// Policies, verifiers and settings of the operation that the answer ignores.
pub(super) fn left_out(here: Here<'_>) -> Vec<String> {
    let shared = &here.route_request.gateway().shared;
    let chain = here.treatment.chain.iter();
    let policies = chain.filter_map(|link| chain::policy(here, link));
    let policies = policies.filter(|policy| matches!(policy.checked, Checked::Declared(_)));
    let policies =
        policies.map(|policy| format!("policy {} ({})", policy.name, policy.checked.kind()));
    let uses = here.treatment.security.0.iter().flat_map(|all| &all.0);
    let verifiers =
        uses.filter_map(
            |SchemeUse { scheme, .. }| match &here.api.schemes.get(scheme)?.verify {
                Verify::Upstream => None,
                Verify::Auth(name) => {
                    let checked = &shared.auth.get(name)?.checked;
                    (!checked.runs()).then(|| format!("auth {name} ({})", checked.kind()))
                }
            },
        );
    let settings = here.treatment.declared.iter();
    let settings = settings.map(|one| one.key().to_owned());
    let listener = shared.listeners.get(here.route_request.listener());
    let listener = listener.into_iter().flat_map(|one| {
        let keys = one.declared.iter();
        keys.map(|setting| format!("listener {} {}", one.name, setting.key()))
    });
    let upstream = shared.upstreams.get(&here.treatment.upstream);
    let upstream = upstream.into_iter().flat_map(|one| {
        let keys = one.declared.iter();
        keys.map(|setting| format!("upstream {} {}", one.name, setting.key()))
    });
    let all = policies.chain(verifiers).chain(settings);
    let all: BTreeSet<String> = all.chain(listener).chain(upstream).collect();
    all.into_iter().collect()
}
