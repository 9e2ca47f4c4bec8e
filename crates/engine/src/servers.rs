//! Operations of all hosts and listeners, by the server that receives their requests.
//!
//! A server does not see the listener of a request, or a base path that the gateway removes. With
//! `path_readings: keep`, the gateway also forwards a path that no operation of the request's host
//! has. This path may be the path of an operation at a different host, listener or base path.
//! [`crate::readings`] looks up such paths here.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Link, PathReadings};
use policy::{Checked, RequestHead};

use crate::api_part::ApiPart;
use crate::router::{self, Found, HostTable};
use crate::snapshot::{BuiltApi, Mount, RouteRef, Server, SharedServers, Snapshot};

/// Targets at a server: each upstream with the path of its target.
type Targets<'a> = BTreeSet<(u32, &'a str)>;

// === impl SharedServers ===

impl SharedServers {
    pub(crate) fn of(shared: &ir::Shared, apis: &[BuiltApi], mounts: &[Mount]) -> Self {
        let mut treatments = apis.iter().flat_map(|api| api.treatments.iter());
        if !treatments.any(|one| one.path_readings == PathReadings::Keep) {
            return Self::default();
        }
        let destinations: Box<[Box<[Vec<u32>]>]> = apis
            .iter()
            .map(|api| {
                let treatments = api.part.treatments.iter();
                treatments
                    .map(|treatment| destinations(shared, &api.part, treatment))
                    .collect()
            })
            .collect();
        let mut kept = BTreeSet::new();
        for (api, destinations) in apis.iter().zip(destinations.iter()) {
            for (treatment, upstreams) in api.treatments.iter().zip(destinations.iter()) {
                if treatment.path_readings == PathReadings::Keep {
                    kept.extend(upstreams.iter().copied());
                }
            }
        }
        if kept.is_empty() {
            return Self::default();
        }
        let mut mounts_of: Vec<Vec<u32>> = vec![Vec::new(); shared.upstreams.len()];
        for (index, mount) in (0u32..).zip(mounts) {
            let all = destinations[mount.api as usize].iter().flatten().copied();
            let internal = &apis[mount.api as usize].part.internal_upstreams;
            let internal = positions(shared, internal);
            for upstream in all.chain(internal).collect::<BTreeSet<u32>>() {
                mounts_of[upstream as usize].push(index);
            }
        }
        let mut of_upstream = vec![Vec::new(); shared.upstreams.len()];
        let mut servers = Vec::new();
        for targets in targets(shared) {
            if !targets.iter().any(|(upstream, _)| kept.contains(upstream)) {
                continue;
            }
            for (upstream, path) in &targets {
                of_upstream[*upstream as usize].push((servers.len(), Box::from(*path)));
            }
            servers.push(Server::of(&targets, &mounts_of, (apis, mounts)));
        }
        let requires_by_name = |name: &String| {
            let listener = shared.listeners.get(name);
            listener.is_some_and(ir::Listener::requires_certificate)
        };
        let parts = apis.iter().flat_map(|api| api.part.mounts.iter());
        Self {
            servers: servers.into(),
            of_upstream: of_upstream.into(),
            destinations,
            certificate_mounts: parts
                .map(|part| part.mount.listeners.iter().all(requires_by_name))
                .collect(),
            certificate_listeners: shared
                .listeners
                .iter()
                .map(ir::Listener::requires_certificate)
                .collect(),
        }
    }

    /// Servers that receive the requests of a route. Each server has the path of the target, to
    /// which the gateway appends the path of a request.
    pub(crate) fn of_route<'s>(
        &'s self,
        snapshot: &Snapshot,
        route: &RouteRef<'_>,
    ) -> impl Iterator<Item = (&'s Server, &'s str)> {
        let operation = u32::try_from(route.operation_index()).ok();
        let upstreams = operation.map(|one| self.destinations(snapshot, route.api_index, one));
        let upstreams = upstreams.unwrap_or_default().iter();
        let targets = upstreams.filter_map(move |one| self.of_upstream.get(*one as usize));
        targets
            .flatten()
            .map(move |(server, path)| (&self.servers[*server], &**path))
    }

    /// True if all listeners of a mount require a client certificate.
    pub(crate) fn needs_certificate(&self, mount: u32) -> bool {
        self.certificate_mounts
            .get(mount as usize)
            .is_some_and(|is| *is)
    }

    /// True if a listener requires a client certificate.
    pub(crate) fn requires_certificate(&self, listener: usize) -> bool {
        self.certificate_listeners
            .get(listener)
            .is_some_and(|is| *is)
    }

    /// Upstreams that receive the requests of an operation or copies of them.
    fn destinations(&self, snapshot: &Snapshot, api: u32, operation: u32) -> &[u32] {
        let treatment = snapshot.apis[api as usize]
            .router
            .brief(operation)
            .treatment;
        let of_api = self.destinations.get(api as usize);
        let found = of_api.and_then(|of_api| of_api.get(treatment as usize));
        found.map_or(&[], Vec::as_slice)
    }
}

// === impl Server ===

impl Server {
    fn of(
        targets: &Targets<'_>,
        mounts_of: &[Vec<u32>],
        (apis, mounts): (&[BuiltApi], &[Mount]),
    ) -> Self {
        let mut paths = HostTable::default();
        let mut known = BTreeSet::new();
        for (upstream, path) in targets {
            for index in &mounts_of[*upstream as usize] {
                let mount = &mounts[*index as usize];
                let base = match mount.strip_base_path {
                    true => (*path).to_owned(),
                    false => format!("{path}{}", mount.base_path),
                };
                if known.insert((*index, base.clone())) {
                    paths.add(None, &base, *index, &apis[mount.api as usize].router);
                }
            }
        }
        Self {
            upstreams: targets.iter().map(|(upstream, _)| *upstream).collect(),
            paths,
        }
    }

    /// Paths that the server serves, for every host.
    pub(crate) fn paths(&self) -> &HostTable {
        &self.paths
    }

    /// True if a path of the server, or a base path, has an upper-case letter or an escape.
    pub(crate) fn has_upper_or_escape(&self) -> bool {
        let mut tables = self.paths.tables();
        tables.any(|table| table.has_upper_or_escape())
    }

    /// Operations that serve a request at `path` of the server, each with the index of its mount.
    /// For each mount, this is the operation that describes the request. If there is none, it is
    /// the mount's operation for undescribed requests. An operation whose conditions fail counts if
    /// its mount has no other operation for the request.
    pub(crate) fn operations<'s>(
        &self,
        snapshot: &'s Snapshot,
        path: &str,
        head: &RequestHead,
    ) -> Vec<(u32, RouteRef<'s>)> {
        let is_sent_here = |mount: u32, operation: u32| {
            let api = snapshot.mounts[mount as usize].api;
            let upstreams = snapshot.servers.destinations(snapshot, api, operation);
            upstreams
                .iter()
                .any(|one| self.upstreams.binary_search(one).is_ok())
        };
        let group = |mount, operation| match is_sent_here(mount, operation) {
            true => mount,
            false => u32::MAX,
        };
        let mut found = router::selected_by_group(&self.paths, path, head, &group);
        if let Found::Operation {
            mount, operation, ..
        } = router::find_path(&self.paths, path, head)
        {
            found.push((mount, operation));
        }
        found.retain(|(mount, operation)| is_sent_here(*mount, *operation));
        let routes = found.into_iter().map(|(index, operation)| {
            let mount = &snapshot.mounts[index as usize];
            (index, snapshot.route_at(mount, operation))
        });
        routes.collect()
    }
}

/// Upstreams that receive requests of a treatment or copies of them: its upstream, and those of
/// splits and mirrors.
fn destinations(shared: &ir::Shared, api: &ApiPart, treatment: &ir::Treatment) -> Vec<u32> {
    let policies = treatment.chain.iter().filter_map(|link| match link {
        Link::Authenticate => None,
        Link::Shared(name) => shared.policies.get(name).map(|one| &one.checked),
        Link::Own(name) => api.policies.get(name).map(|one| &one.checked),
    });
    let copies = policies
        .filter(|checked| matches!(checked, Checked::Split(_) | Checked::Mirror(_)))
        .flat_map(Checked::upstreams);
    let names = std::iter::once(treatment.upstream.as_str())
        .chain(treatment.forwarding.upstreams())
        .chain(copies);
    let indices: BTreeSet<u32> = positions(shared, names).collect();
    indices.into_iter().collect()
}

/// Indices of upstreams with these names.
fn positions<N: AsRef<str>>(
    shared: &ir::Shared,
    names: impl IntoIterator<Item = N>,
) -> impl Iterator<Item = u32> {
    let names = names.into_iter();
    names.filter_map(|name| u32::try_from(shared.upstreams.position(name.as_ref())?).ok())
}

/// Targets of each server. Servers with the same targets count once.
fn targets(shared: &ir::Shared) -> BTreeSet<Targets<'_>> {
    let mut by_server: BTreeMap<String, Targets<'_>> = BTreeMap::new();
    for (index, upstream) in (0u32..).zip(&shared.upstreams) {
        for (server, path) in upstream.servers_and_paths() {
            by_server.entry(server).or_default().insert((index, path));
        }
    }
    by_server.into_values().collect()
}
