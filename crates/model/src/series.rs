//! Estimate of the number of metric time series that gwd exports for a project.
//!
//! The count follows the labels of gwd's metrics (operate.md): histograms of request durations by
//! route and status, of gateway time by route, of upstream calls by upstream, method and status, and
//! of opened connections by upstream. The other series are counters of refusals and limits. Clients
//! can add series with other methods or HTTP/1.0, so the count is approximate. About 100 series of
//! the process itself, such as its memory, are not counted.

use std::collections::BTreeSet;

use bundle::ir::{self, Link};
use diag::count::counted;
use diag::{Diagnostic, Sink};
use policy::Checked;

use super::rest::Rest;
use super::{Api, Operation, Settings, Valued};
use vocab::lints::METRIC_SERIES;

/// Number of metric series of one gateway above which a warning is reported, because more series
/// noticeably load a monitoring system.
pub const SERIES_MAX: usize = 250_000;

/// Number of series of one histogram: 17 buckets with bounds, the bucket for infinity, sum and
/// count.
const HISTOGRAM: usize = 20;

/// Number of routes and of metric series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Number of routes: one per operation and mount.
    pub routes: usize,
    /// Approximate number of series that one gateway exports.
    pub series: usize,
}

/// Estimates the number of series of a project.
#[must_use]
pub fn cost(settings: &Settings, apis: &[Api]) -> Cost {
    let mut cost = Cost::default();
    let mut calls: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for api in apis {
        for operation in api
            .operations
            .iter()
            .filter(|operation| !operation.internal)
        {
            let upstreams = statuses(api, operation);
            let refusals = refusals(settings, api, &of_operation(operation));
            let routes = api.mounts.len();
            cost.routes += routes;
            let own: Vec<String> = refusals.iter().map(u16::to_string).collect();
            let own = own.iter().map(String::as_str);
            let statuses_of_route: BTreeSet<&str> = upstreams.iter().copied().chain(own).collect();
            cost.series += routes * ((statuses_of_route.len() + 1) * HISTOGRAM + refusals.len());
            let call = |status| {
                (
                    operation.upstream.value.as_str(),
                    &*operation.method,
                    status,
                )
            };
            calls.extend(upstreams.into_iter().map(call));
        }
    }
    for (api, rest) in apis
        .iter()
        .flat_map(|api| api.rest.iter().map(move |rest| (api, rest)))
    {
        // Count one status and one method, because the upstream's statuses and the clients' methods
        // are unknown.
        let routes = api.mounts.len();
        cost.routes += routes;
        cost.series += routes * (refusals(settings, api, &of_rest(rest)).len() + 2) * HISTOGRAM;
        calls.insert((rest.upstream.value.as_str(), ir::Owns::ANY_METHOD, "200"));
    }
    let own = apis.iter().flat_map(|api| &api.policies);
    let limits = settings.policies.iter().chain(own);
    let counts = |checked: &Checked| matches!(checked, Checked::RateLimit(_) | Checked::Quota(_));
    let limits = limits.filter(|policy| counts(&policy.value.checked));
    // Each upstream has a histogram of the times in which its connections opened.
    let upstreams: BTreeSet<&str> = calls.iter().map(|(upstream, ..)| *upstream).collect();
    cost.series += (calls.len() + upstreams.len()) * HISTOGRAM + 2 * limits.count();
    cost
}

/// Warns if a project has too many metric time series.
pub fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let Cost { routes, series } = cost(settings, apis);
    if series <= SERIES_MAX {
        return;
    }
    sink.push(
        Diagnostic::new(
            &METRIC_SERIES,
            settings.name.span,
            format!(
                "{}: about {series} metric series in gwd",
                counted(routes, "route")
            ),
        )
        .label(format!("more than {SERIES_MAX}"))
        .help("mount an API once and give its mount several hosts, describe statuses by class (`4XX`), or split the project"),
    );
}

/// Statuses that the document describes, except `default`. If there are none: `200`.
fn statuses<'a>(api: &'a Api, operation: &Operation) -> BTreeSet<&'a str> {
    let (path, index) = operation.place;
    let described = &api.spec.paths[path].operations[index].responses;
    let statuses = described
        .iter()
        .map(|response| response.status.value.as_str());
    let statuses: BTreeSet<&str> = statuses.filter(|status| *status != "default").collect();
    if statuses.is_empty() {
        return BTreeSet::from(["200"]);
    }
    statuses
}

/// Settings of an operation that can make the gateway respond without the upstream.
struct LocalResponseSettings<'m> {
    security: &'m ir::Security,
    max_body_bytes: Option<u64>,
    chain: &'m [Valued<Link>],
}

fn of_operation(operation: &Operation) -> LocalResponseSettings<'_> {
    LocalResponseSettings {
        security: &operation.security.value,
        max_body_bytes: operation.max_body_bytes.value,
        chain: &operation.chain,
    }
}

fn of_rest(rest: &Rest) -> LocalResponseSettings<'_> {
    LocalResponseSettings {
        security: &rest.security.value,
        max_body_bytes: rest.max_body_bytes.value,
        chain: &rest.chain,
    }
}

/// Statuses of responses that the gateway itself generates.
fn refusals(
    settings: &Settings,
    api: &Api,
    response_settings: &LocalResponseSettings<'_>,
) -> BTreeSet<u16> {
    let kind = |link: &Link| {
        let (policies, name) = match link {
            Link::Authenticate => return None,
            Link::Shared(name) => (&settings.policies, name),
            Link::Own(name) => (&api.policies, name),
        };
        let mut policies = policies.iter();
        let policy = policies.find(|policy| policy.value.name == *name)?;
        Some(policy.value.checked.kind())
    };
    // 400: an ambiguous path or condition.
    let mut statuses = BTreeSet::from([400, 502, 503, 504]);
    if !response_settings.security.0.is_empty() {
        statuses.insert(401);
    }
    let mut wanted = response_settings.security.uses();
    if wanted.any(|wanted| !wanted.scopes.is_empty() || !wanted.roles.is_empty()) {
        statuses.insert(403);
    }
    if response_settings.max_body_bytes.is_some() {
        statuses.insert(413);
    }
    for link in response_settings.chain {
        let refusals = kind(&link.value).map_or(&[][..], policy::refusals);
        statuses.extend(refusals.iter().map(|reject| reject.status));
    }
    statuses
}

#[cfg(test)]
mod tests {
    use super::cost;
    use crate::compile;
    use sources::project::files::Files;
    use sources::syntax::Limits;

    /// Number of series of a project with one operation.
    fn series(gateway: &str, operation: &str) -> usize {
        let gateway = format!(
            "version: 1\nname: s\napis: {{s: {{path: api.yaml}}}}\nupstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}\ndefaults: {{upstream: u}}\n{gateway}"
        );
        let document = format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths: {{/a: {{get: {{operationId: a, {operation} responses: {{'200': {{description: ok}}}}}}}}}}\ncomponents: {{securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}}}\n"
        );
        let files = [("gateway.yaml", &*gateway), ("api.yaml", &*document)];
        let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
        let model = compiled.model.expect("a model");
        cost(&model.settings, &model.apis).series
    }

    #[test]
    fn refusals_with_400_and_403_are_counted() {
        let public = "security: [], x-gateway: {public: true},";
        // Counted series: histograms of five statuses and of the gateway's own time of the route,
        // the histograms of one upstream's calls and connections, and four counters.
        let least = (5 + 1) * super::HISTOGRAM + 4 + 2 * super::HISTOGRAM;
        assert_eq!(series("", public), least);
        let filtered = series(
            "policies: {near: {kind: ip_filter, allow: [10.0.0.0/8]}}\n",
            "security: [], x-gateway: {public: true, policies: [near]},",
        );
        assert_eq!(filtered, least + super::HISTOGRAM + 1);
    }
}
