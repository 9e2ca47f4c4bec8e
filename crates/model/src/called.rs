//! Upstreams that gwc creates for the URLs that gwd itself calls: URLs of services that policies
//! call, and URLs of key sets.
//!
//! Plans, metrics and limits treat these upstreams like other upstreams. The name of such an
//! upstream is the origin of its URL. Its TLS settings are the defaults: it trusts the certificate
//! authorities of the system.

use std::collections::BTreeSet;

use bundle::ir;
use policy::endpoint::{self, Endpoint};

use crate::settings::state_id;
use crate::verifiers;
use crate::{Api, Settings};

/// Connect timeout of the upstreams that gwc creates, in milliseconds: the default of
/// `timeouts.connect`.
const CONNECT_MS: u64 = 5_000;
/// Idle timeout of a pooled connection to the upstreams that gwc creates, in milliseconds: the
/// default of `timeouts.idle`.
const IDLE_MS: u64 = 60_000;

/// Creates the upstreams for all URLs that gwd itself calls.
pub(crate) fn upstreams(settings: &Settings, apis: &[Api]) -> Vec<ir::Upstream> {
    let own = apis.iter().flat_map(|api| &api.policies);
    let policies = settings.policies.iter().chain(own);
    let names = policies.flat_map(|policy| policy.value.checked.upstreams());
    let names = names
        .filter(|name| endpoint::is_origin(name))
        .map(str::to_owned);
    let verifiers = verifiers::all(settings, apis);
    let called = verifiers.flat_map(|verifier| verifier.value.checked.origins());
    let origins: BTreeSet<String> = names.chain(called).collect();
    let made = origins.iter().filter_map(|origin| Endpoint::of(origin));
    made.filter_map(|endpoint| upstream(&settings.name.value, endpoint))
        .collect()
}

fn upstream(project: &str, endpoint: Endpoint) -> Option<ir::Upstream> {
    let Endpoint {
        origin,
        tls,
        host,
        port,
        target: _,
    } = endpoint;
    let target = ir::Target {
        name: "origin".to_owned(),
        host,
        port,
        path: String::new(),
        weight: 1,
        zone: None,
        tls,
    };
    Some(ir::Upstream {
        state: state_id(&[project, "upstream", &origin]),
        name: origin,
        targets: ir::Set::new(vec![target]).ok()?,
        connect_timeout_ms: CONNECT_MS,
        idle_timeout_ms: IDLE_MS,
        host_header: ir::HostHeader::Upstream,
        declared: policy::declared::Settings::default(),
        balance: policy::upstream::Balance::default(),
        health: policy::upstream::Health::default(),
        retries: None,
        circuit_breaker: None,
        limits: policy::upstream::Limits::default(),
        protocol: ir::UpstreamProtocol::default(),
        discovery: None,
        proxy_protocol: None,
        rewrite_responses: None,
        tls: tls.then(ir::UpstreamTls::default),
    })
}
