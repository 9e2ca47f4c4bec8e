//! Linking of a gateway's parts to a snapshot: resolves names, fills the routing tables of the
//! listeners, and resolves secrets.

use std::sync::Arc;

use bundle::ir;
use policy::Secrets;
use policy::auth::{TokenVerifier, Windows};

use crate::api_part::ApiPart;
use crate::conflicts;
use crate::error::{BuildError, refuse_missing};
use crate::error_shapes::ErrorShapes;
use crate::link::Linker;
use crate::listener::Listener;
use crate::logins::{Guard, OwnPath};
use crate::parts::{Assembly, Parts};
use crate::path::Slashes;
use crate::router::HostTable;
use crate::snapshot::{BuiltApi, Mount, SharedServers, Snapshot};
use crate::unknown_paths::UnknownPaths;

/// Builds a snapshot of a gateway. `bundle` is the bundle's id, `sha256:…`. Reuses the parts that
/// are still in `parts`.
///
/// # Errors
/// Returns the reason why the gateway cannot run.
pub fn build(
    assembly: &Assembly,
    bundle: &str,
    secrets: &dyn Secrets,
    parts: &mut Parts,
) -> Result<Snapshot, BuildError> {
    let Assembly {
        shared,
        consumers,
        apis,
        documents,
    } = assembly;
    refuse_other_apis(&shared.apis, apis)?;
    refuse_missing(shared.needs())?;
    let listeners = shared.listeners.iter().map(listener);
    let mut listeners = listeners.collect::<Result<Box<[_]>, _>>()?;
    refuse_colliding(&listeners)?;
    let linker = Linker::new(shared, apis, (secrets, documents), parts)?;
    let mut built = Vec::with_capacity(apis.len());
    let mut mounts = Vec::new();
    let mut routes = 0u32;
    for (number, api) in (0u32..).zip(apis) {
        let first_of_api = routes;
        let logins = linker.logins(api);
        let treatments = linker.treatments(api, parts)?;
        let guards = match logins.is_empty() {
            true => Vec::new(),
            false => linker.guards(&api.treatments),
        };
        for part in &api.mounts {
            let mount = &part.mount;
            let index = u32::try_from(mounts.len()).map_err(|_| BuildError::BadIndex)?;
            reach(&mut listeners, shared, api, mount, index)?;
            own_paths(&mut listeners, shared, (&logins, &guards), mount);
            mounts.push(Mount {
                name: mount.name.as_str().into(),
                base_path: mount.base_path.as_str().into(),
                strip_base_path: mount.strip_base_path,
                api: number,
                first_route: routes,
                first_in_api: routes - first_of_api,
                has_other_access: false,
                has_upper_or_escape: false,
                has_final_slash: false,
                has_query_conditions: false,
            });
            let more = u32::try_from(api.router.operations().len()).ok();
            let sum = more.and_then(|more| routes.checked_add(more));
            routes = sum.ok_or(BuildError::BadIndex)?;
        }
        built.push(BuiltApi {
            treatments,
            router: Arc::clone(&api.router),
            part: Arc::clone(api),
        });
    }
    mark_other_access(&listeners, &built, &mut mounts);
    mark_query_conditions(&listeners, &built, &mut mounts);
    conflicts::refuse(apis.iter().map(|api| &**api))?;
    parts.prune();
    Ok(Snapshot {
        unknown_paths: unknown_paths(&built, &mounts),
        servers: SharedServers::of(shared, &built, &mounts),
        bundle: bundle.into(),
        bundle_short: short_id(bundle),
        project: shared.project.as_str().into(),
        expose_bundle: shared.expose_bundle,
        listeners,
        upstreams: shared.upstreams.iter().cloned().collect(),
        consumers: Arc::clone(consumers),
        apis: built.into(),
        mounts: mounts.into(),
        routes,
        errors: ErrorShapes::of(&shared.errors),
        key_cells: linker.key_cells(),
        windows: Windows::of(shared.auth.iter().map(|one| &one.checked)),
        used_stores: linker.used_stores(),
        session_cookies: linker.session_cookies(),
    })
}

/// Rules of the access log for paths that belong to no operation. `None` if no operation hides
/// values.
fn unknown_paths(apis: &[BuiltApi], mounts: &[Mount]) -> Option<UnknownPaths> {
    let treatments = apis.iter().flat_map(|api| &*api.treatments);
    let operations = apis.iter().flat_map(|api| api.router.operations());
    UnknownPaths::of(
        treatments.flat_map(|one| &*one.logged),
        operations.map(|one| &one.template),
        mounts.iter().map(|mount| &*mount.base_path),
    )
}

/// Checks that the APIs are those that the gateway's shared part lists, in the same order.
fn refuse_other_apis(named: &ir::Set<ir::ApiRef>, apis: &[Arc<ApiPart>]) -> Result<(), BuildError> {
    let is_named = |(named, api): (&ir::ApiRef, &Arc<ApiPart>)| {
        *named.name == *api.name && named.digest == api.digest
    };
    if named.len() == apis.len() && named.iter().zip(apis).all(is_named) {
        Ok(())
    } else {
        Err(BuildError::OtherApis)
    }
}

/// Checks that no two listeners have overlapping addresses. Otherwise the order of binding would
/// decide which listener receives a connection.
fn refuse_colliding(listeners: &[Listener]) -> Result<(), BuildError> {
    for (at, one) in listeners.iter().enumerate() {
        let mut others = listeners[..at].iter();
        if let Some(other) = others.find(|o| ir::addresses_collide(o.address, one.address)) {
            return Err(BuildError::ListenerConflict(
                other.name.to_string(),
                one.name.to_string(),
            ));
        }
    }
    Ok(())
}

fn short_id(bundle: &str) -> http::HeaderValue {
    let hex = bundle.strip_prefix("sha256:").unwrap_or(bundle);
    http::HeaderValue::try_from(&hex[..hex.len().min(12)])
        .unwrap_or(http::HeaderValue::from_static("unknown"))
}

fn listener(listener: &ir::Listener) -> Result<Listener, BuildError> {
    let address = listener
        .address
        .parse()
        .map_err(|_| BuildError::BadAddress(listener.address.clone()))?;
    Ok(Listener {
        slashes: match listener.merge_slashes {
            true => Slashes::Merge,
            false => Slashes::Keep,
        },
        certificate_fields: listener.forward_client_cert,
        name: listener.name.as_str().into(),
        address,
        limits: listener.limits.clone(),
        trusted_proxies: listener.trusted_proxies.as_slice().into(),
        forwarding_fields: listener.forwarding_fields().into(),
        scheme: match listener.protocol {
            ir::Protocol::Http => "http",
            ir::Protocol::Https(_) => "https",
        },
        http2: listener.http2,
        proxy_protocol: listener.proxy_protocol.clone().map(Arc::new),
        hosts: HostTable::default(),
        own_paths: Vec::new(),
    })
}

/// Adds a mount to the routing tables of its listeners.
fn reach(
    listeners: &mut [Listener],
    shared: &ir::Shared,
    api: &ApiPart,
    mount: &ir::Mount,
    index: u32,
) -> Result<(), BuildError> {
    for name in &mount.listeners {
        let position = shared.listeners.position(name);
        let position = position.ok_or_else(|| BuildError::UnknownName(name.clone()))?;
        let hosts = &mut listeners[position].hosts;
        if mount.hosts.is_empty() {
            hosts.add(None, &mount.base_path, index, &api.router);
        }
        for host in &mount.hosts {
            hosts.add(Some(host), &mount.base_path, index, &api.router);
        }
    }
    Ok(())
}

/// Sets [`Mount::has_other_access`] for the mounts on whose hosts the operations have different
/// access rules.
fn mark_other_access(listeners: &[Listener], apis: &[BuiltApi], mounts: &mut [Mount]) {
    // For each API: the digests of the access rules and of the validation, if these are the same
    // for all operations. `None` if the operations differ, if a rule depends on the route, or if
    // the API has `internal` operations or operations for undescribed requests.
    let common: Vec<Option<(u128, u64)>> = apis
        .iter()
        .map(|api| {
            let mut all = api.treatments.iter();
            let first = all.next()?;
            let mut checks = api.part.checks.iter().copied();
            let first_checks = checks.next().unwrap_or(0);
            // `API#undeclared` and `API#unmatched` must not serve the path of an operation that
            // rejects the request, in any spelling.
            let has_rest = api.router.undeclared().or(api.router.unmatched()).is_some();
            let is_common = api.router.hidden().is_none()
                && !has_rest
                && !first.depends_on_route
                && all.all(|one| one.access == first.access)
                && checks.all(|one| one == first_checks);
            is_common.then_some((first.access, first_checks))
        })
        .collect();
    for table in listeners
        .iter()
        .flat_map(|listener| listener.hosts.tables())
    {
        let mut there = table.indices();
        let rules = |mount: u32| common[mounts[mount as usize].api as usize];
        let Some(first) = there.next().map(rules) else {
            continue;
        };
        if first.is_some() && there.all(|mount| rules(mount) == first) {
            continue;
        }
        for mount in table.indices() {
            let mount = &mut mounts[mount as usize];
            mount.has_other_access = true;
            mount.has_upper_or_escape |= table.has_upper_or_escape();
            mount.has_final_slash |= table.has_final_slash();
        }
    }
}

/// Sets [`Mount::has_query_conditions`] of each mount: true if an operation on one of the mount's
/// hosts has a condition on the query.
fn mark_query_conditions(listeners: &[Listener], apis: &[BuiltApi], mounts: &mut [Mount]) {
    let conditional: Vec<bool> = apis
        .iter()
        .map(|api| api.part.has_query_conditions())
        .collect();
    let tables = listeners
        .iter()
        .flat_map(|listener| listener.hosts.tables());
    for table in tables {
        let mut there = table.indices();
        if there.any(|mount| conditional[mounts[mount as usize].api as usize]) {
            for mount in table.indices() {
                mounts[mount as usize].has_query_conditions = true;
            }
        }
    }
}

/// Adds the paths of an API's logins, which the gateway answers itself, for a mount.
fn own_paths(
    listeners: &mut [Listener],
    shared: &ir::Shared,
    (logins, guards): (&[Arc<TokenVerifier>], &[Guard]),
    mount: &ir::Mount,
) {
    let hosts = mount.hosts.iter().map(|host| Some(host.as_str()));
    let hosts: Vec<Option<&str>> = match mount.hosts.is_empty() {
        true => vec![None],
        false => hosts.collect(),
    };
    for name in &mount.listeners {
        let Some(position) = shared.listeners.position(name) else {
            continue;
        };
        let known = &mut listeners[position].own_paths;
        let pairs = logins
            .iter()
            .flat_map(|login| hosts.iter().map(move |host| (login, *host)));
        for own in pairs.flat_map(|(login, host)| OwnPath::of(login, host, guards)) {
            match known.iter_mut().find(|one| one.is_same(&own)) {
                Some(one) => one.share(&own),
                None => known.push(own),
            }
        }
    }
}
