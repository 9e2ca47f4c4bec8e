//! Comparison of the `Host` field that servers receive. If clients choose the value, they choose
//! the virtual host of the server, which may be a protected one.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, HostHeader};
use model::outbound::{Sent, receivers, receiving_servers};

/// Operation with its policies, as the sender of requests to servers.
pub(crate) struct Sender<'a> {
    pub(crate) gateway: &'a ir::Gateway,
    pub(crate) treatment: &'a ir::Treatment,
    /// Policies of the chain in order.
    pub(crate) policies: Vec<&'a policy::Checked>,
}

/// Values of `Host` that a server receives from an operation.
#[derive(Default)]
struct Received<'a> {
    /// Upstreams through which the server receives the `Host` of clients.
    of_clients: BTreeSet<&'a str>,
    /// Other values of `Host`, as written in gateway.yaml and documents.
    fixed: BTreeSet<String>,
}

/// Returns the servers that received only fixed values of `Host` from the operation, with these
/// values, and that now receive the `Host` of clients. Leaves out changed values of `host_header`
/// of an upstream with the same name, which a different comparison reports.
pub(crate) fn newly_chosen(old: &Sender<'_>, new: &Sender<'_>) -> Vec<(String, String)> {
    let is = new.received();
    if is.values().all(|received| received.of_clients.is_empty()) {
        return Vec::new();
    }
    let was = old.received();
    let mut found = Vec::new();
    for (server, after) in is {
        let Some(before) = was.get(&server) else {
            continue;
        };
        let mut through = after.of_clients.iter();
        if before.of_clients.is_empty() && through.any(|name| !is_reported([old, new], name)) {
            let fixed = Vec::from_iter(before.fixed.iter().map(String::as_str));
            found.push((server, fixed.join(", ")));
        }
    }
    found
}

/// True if the upstream with this name has `preserve` only on the new side.
fn is_reported(sides: [&Sender<'_>; 2], name: &str) -> bool {
    let preserves = sides.map(|side| {
        let upstream = side.gateway.shared.upstreams.get(name)?;
        Some(upstream.host_header == HostHeader::Preserve)
    });
    preserves == [Some(false), Some(true)]
}

impl<'a> Sender<'a> {
    /// Values of `Host` by the server that receives requests or copies of them.
    fn received(&self) -> BTreeMap<String, Received<'a>> {
        let mut all: BTreeMap<String, Received<'a>> = BTreeMap::new();
        let forwarding = self.treatment.settings();
        let rewrites = self.policies.iter().filter(|one| one.kind() == "rewrite");
        let mut rewritten: Option<String> = None;
        for rewrite in rewrites {
            let host = rewrite.settings().text(&["host"]).map(str::to_owned);
            rewritten = host.or(rewritten);
        }
        let own = forwarding.text(&["rewrite", "host"]).map(str::to_owned);
        let rewritten = own.or(rewritten);
        let receivers = receivers(&self.policies, &forwarding, &self.treatment.upstream);
        for (name, sent) in receivers {
            let upstream = self.gateway.shared.upstreams.get(&name);
            let Some(upstream) = upstream.filter(|_| sent > Sent::Nothing) else {
                continue;
            };
            for server in receiving_servers(upstream) {
                let received = all.entry(server).or_default();
                let fixed = match (&rewritten, &upstream.host_header) {
                    (Some(host), _) | (None, HostHeader::Value(host)) => host.clone(),
                    (None, HostHeader::Upstream) => "upstream".to_owned(),
                    (None, HostHeader::Preserve) => {
                        received.of_clients.insert(&upstream.name);
                        continue;
                    }
                };
                received.fixed.insert(fixed);
            }
        }
        all
    }
}
