//! From a checked gateway to a snapshot: names become ids, tables are built, secrets are bound.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Weak};

use bundle::ir::{self, Gateway, Link};
use policy::{Filter, SecretUnavailable, Secrets, Setting};

use crate::authenticate::{Credentials, Requirement};
use crate::router::{ApiRouter, HostTable};
use crate::snapshot::{BuiltApi, ChainStep, Listener, Mount, Snapshot, Treatment};

/// Routing tables by the digest of the blob they were built from: an unchanged API is not built
/// again, and resident snapshots share it.
#[derive(Debug, Default)]
pub struct RouterCache(HashMap<[u8; 32], Weak<ApiRouter>>);

/// Why a gateway cannot be built. gwc would have told each of these, but a bundle is checked
/// again where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// Two operations own the same requests.
    RouteConflict(String, String),
    /// A name that nothing has.
    UnknownName(String),
    /// A listener's address that is none.
    BadAddress(String),
    /// Two consumers have the same credential.
    CredentialConflict,
    /// A treatment that does not exist.
    BadIndex,
    /// A secret that cannot be resolved.
    Secret(SecretUnavailable),
}

impl BuildError {
    /// The kebab-case reason of a refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::RouteConflict(..) => "route-conflict",
            Self::UnknownName(_) => "unknown-name",
            Self::BadAddress(_) => "bad-address",
            Self::CredentialConflict => "credential-conflict",
            Self::BadIndex => "malformed",
            Self::Secret(unavailable) => unavailable.reason,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RouteConflict(a, b) => write!(
                f,
                "`{}` and `{}` own the same requests",
                a.escape_debug(),
                b.escape_debug()
            ),
            Self::UnknownName(name) => write!(f, "nothing is named `{}`", name.escape_debug()),
            Self::BadAddress(address) => {
                write!(f, "`{}` is not an address", address.escape_debug())
            }
            Self::CredentialConflict => f.write_str("two consumers have the same credential"),
            Self::BadIndex => f.write_str("an operation names a treatment that does not exist"),
            Self::Secret(unavailable) => unavailable.fmt(f),
        }
    }
}

/// Builds a snapshot. `bundle` is the bundle's id, `sha256:…`.
pub fn build(
    gateway: &Gateway,
    bundle: &str,
    secrets: &dyn Secrets,
    cache: &mut RouterCache,
) -> Result<Snapshot, BuildError> {
    let shared = &gateway.shared;
    let listeners = shared
        .listeners
        .iter()
        .map(listener)
        .collect::<Result<Vec<_>, _>>()?;
    let filters = filters(&shared.policies, secrets)?;
    let mut snapshot = Snapshot {
        bundle: bundle.into(),
        bundle_short: short_id(bundle),
        project: shared.project.as_str().into(),
        expose_bundle: shared.expose_bundle,
        listeners: listeners.into(),
        upstreams: shared.upstreams.iter().cloned().collect(),
        consumers: shared
            .consumers
            .iter()
            .map(|consumer| consumer.name.as_str().into())
            .collect(),
        credentials: Credentials::index(&shared.consumers).ok_or(BuildError::CredentialConflict)?,
        apis: Box::default(),
        mounts: Box::default(),
        route_ids: Box::default(),
    };
    let mut apis = Vec::with_capacity(gateway.apis.len());
    let mut mounts = Vec::new();
    let mut route_ids: Vec<Box<str>> = Vec::new();
    for (number, api) in (0u32..).zip(&gateway.apis) {
        let built = build_api(api, shared, &filters, secrets, cache)?;
        for mount in &api.mounts {
            let index = u32::try_from(mounts.len()).map_err(|_| BuildError::BadIndex)?;
            mounts.push(Mount {
                name: mount.name.as_str().into(),
                base_path: mount.base_path.as_str().into(),
                strip_base_path: mount.strip_base_path,
                api: number,
                first_route: u32::try_from(route_ids.len()).map_err(|_| BuildError::BadIndex)?,
            });
            route_ids.extend(
                api.operations
                    .iter()
                    .map(|operation| format!("{}@{}", operation.key, mount.name).into()),
            );
            for name in &mount.listeners {
                let position = shared
                    .listeners
                    .position(name)
                    .ok_or_else(|| BuildError::UnknownName(name.clone()))?;
                reach(
                    &mut snapshot.listeners[position].hosts,
                    mount,
                    index,
                    &built.router,
                );
            }
        }
        apis.push(built);
    }
    snapshot.apis = apis.into();
    snapshot.mounts = mounts.into();
    snapshot.route_ids = route_ids.into();
    refuse_conflicts(gateway)?;
    Ok(snapshot)
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
        name: listener.name.as_str().into(),
        address,
        limits: listener.limits.clone(),
        trusted_proxies: listener.trusted_proxies.as_slice().into(),
        hosts: HostTable::default(),
    })
}

fn reach(hosts: &mut HostTable, mount: &ir::Mount, index: u32, router: &Arc<ApiRouter>) {
    if mount.hosts.is_empty() {
        hosts.add(None, &mount.base_path, index, router);
    }
    for host in &mount.hosts {
        hosts.add(Some(host), &mount.base_path, index, router);
    }
}

type Filters = HashMap<String, Option<(Arc<str>, Arc<Filter>)>>;

/// One filter per named policy; none for a parameter.
fn filters(policies: &ir::Set<ir::Policy>, secrets: &dyn Secrets) -> Result<Filters, BuildError> {
    let built = policies.iter().map(|policy| {
        let setting = Setting {
            name: &policy.name,
            state: policy.state,
            secrets,
        };
        let filter = policy
            .checked
            .filter(&setting)
            .map_err(BuildError::Secret)?;
        Ok((
            policy.name.clone(),
            filter.map(|filter| (Arc::from(policy.name.as_str()), Arc::new(filter))),
        ))
    });
    built.collect()
}

fn build_api(
    api: &ir::Api,
    shared: &ir::Shared,
    filters_shared: &Filters,
    secrets: &dyn Secrets,
    cache: &mut RouterCache,
) -> Result<BuiltApi, BuildError> {
    let own = filters(&api.policies, secrets)?;
    let treatments = api.treatments.iter().map(|treatment| {
        let mut chain = Vec::with_capacity(treatment.chain.len());
        for link in &treatment.chain {
            let (filters, name) = match link {
                Link::Authenticate => {
                    chain.push(ChainStep::Authenticate);
                    continue;
                }
                Link::Shared(name) => (filters_shared, name),
                Link::Own(name) => (&own, name),
            };
            let filter = filters
                .get(name)
                .ok_or_else(|| BuildError::UnknownName(name.clone()))?;
            chain.extend(
                filter
                    .iter()
                    .map(|(name, filter)| ChainStep::Filter(Arc::clone(name), Arc::clone(filter))),
            );
        }
        let upstream = shared
            .upstreams
            .position(&treatment.upstream)
            .ok_or_else(|| BuildError::UnknownName(treatment.upstream.clone()))?;
        Ok(Treatment {
            security: Requirement::link(&treatment.security, &api.schemes, &shared.auth)
                .map_err(BuildError::UnknownName)?,
            chain: chain.into(),
            upstream: u32::try_from(upstream).map_err(|_| BuildError::BadIndex)?,
            timeout_ms: treatment.timeout_ms,
            max_body_bytes: treatment.max_body_bytes,
        })
    });
    let treatments = treatments.collect::<Result<Box<[_]>, _>>()?;
    if api
        .operations
        .iter()
        .any(|operation| operation.treatment as usize >= treatments.len())
    {
        return Err(BuildError::BadIndex);
    }
    let digest = shared
        .apis
        .get(&api.name)
        .map(|entry| entry.digest)
        .ok_or_else(|| BuildError::UnknownName(api.name.clone()))?;
    let router = match cache.0.get(&digest).and_then(Weak::upgrade) {
        Some(router) => router,
        None => {
            let router = ApiRouter::build(api)
                .map_err(|conflict| BuildError::RouteConflict(conflict.first, conflict.second))?;
            let router = Arc::new(router);
            cache.0.retain(|_, router| router.strong_count() > 0);
            cache.0.insert(digest, Arc::downgrade(&router));
            router
        }
    };
    Ok(BuiltApi {
        name: api.name.as_str().into(),
        router,
        treatments,
    })
}

/// No two APIs own one (listener, host, path, method, conditions). Within an API the trie has
/// refused it already.
fn refuse_conflicts(gateway: &Gateway) -> Result<(), BuildError> {
    let mut places: HashMap<(&str, &str), Vec<(&ir::Api, &ir::Mount)>> = HashMap::new();
    for api in &gateway.apis {
        for mount in &api.mounts {
            for listener in &mount.listeners {
                // A mount without hosts stands under the empty one.
                let hosts = mount
                    .hosts
                    .iter()
                    .map(String::as_str)
                    .chain(mount.hosts.is_empty().then_some(""));
                for host in hosts {
                    places
                        .entry((listener, host))
                        .or_default()
                        .push((api, mount));
                }
            }
        }
    }
    let mut crowded: Vec<_> = places
        .into_values()
        .filter(|mounts| mounts.len() > 1)
        .collect();
    crowded.sort_by(|a, b| (&a[0].0.name, &a[0].1.name).cmp(&(&b[0].0.name, &b[0].1.name)));
    for mounts in crowded {
        let mut owners: HashSet<String> = HashSet::new();
        for (api, mount) in mounts {
            for operation in &api.operations {
                let path = erased(&mount.base_path, &operation.template);
                let owned = format!(
                    "{} {path} {:?} {}",
                    operation.method, operation.conditions, operation.priority
                );
                if !owners.insert(owned) {
                    return Err(BuildError::RouteConflict(
                        operation.key.clone(),
                        format!("{} {path}", operation.method),
                    ));
                }
            }
        }
    }
    Ok(())
}

/// A full template with its parameters' names erased: templates that match the same paths look
/// alike.
fn erased(base_path: &str, template: &ir::Template) -> String {
    let mut text = base_path.to_owned();
    for segment in template.segments() {
        text.push('/');
        match segment {
            ir::Segment::Literal(literal) => text.push_str(literal),
            ir::Segment::Parameter(_) => text.push_str("{}"),
            ir::Segment::Pattern(pattern) => text.push_str(&pattern.erased()),
        }
    }
    if template.is_prefix() {
        text.push_str("/**");
    }
    text
}
