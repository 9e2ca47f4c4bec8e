//! Tables of routes at a listener and host. Listeners and hosts that select the same mounts share a
//! table.

use std::collections::BTreeMap;

use bundle::ir::{self, Template, TrailingSlash};

use super::{Api, Operation};

/// True if two mounts can receive the same requests: they share a listener, and they share a host
/// or neither has hosts.
pub(super) fn at_one_place(a: &ir::Mount, b: &ir::Mount) -> bool {
    let hosts = a.hosts.is_empty() && b.hosts.is_empty()
        || a.hosts.iter().any(|host| b.hosts.contains(host));
    hosts && a.listeners.iter().any(|name| b.listeners.contains(name))
}

/// Operation at one mount.
pub(super) struct Route<'m> {
    /// Index of the API.
    pub(super) api: usize,
    /// The operation.
    pub(super) operation: &'m Operation,
    /// Path template, prefixed with the base path of the mount.
    pub(super) template: Template,
    /// Base path of the mount.
    pub(super) base_path: &'m str,
    /// True if the template is the trailing-slash variant of the path in the document.
    pub(super) twin: bool,
}

/// Routes by listener and host. The router looks up a request in exactly one of these tables.
pub(super) fn tables(apis: &[Api]) -> Vec<Vec<Route<'_>>> {
    let mut tables: BTreeMap<Vec<(usize, usize)>, ()> = BTreeMap::new();
    let mut places: BTreeMap<(&str, &str), Vec<(usize, usize)>> = BTreeMap::new();
    for (api_index, api) in apis.iter().enumerate() {
        for (mount_index, mount) in api.mounts.iter().enumerate() {
            for listener in &mount.value.listeners {
                let hosts = mount
                    .value
                    .hosts
                    .iter()
                    .map(String::as_str)
                    .chain(mount.value.hosts.is_empty().then_some(""));
                for host in hosts {
                    places
                        .entry((listener, host))
                        .or_default()
                        .push((api_index, mount_index));
                }
            }
        }
    }
    // Listeners and hosts with the same mounts share one table.
    tables.extend(places.into_values().map(|mounts| (mounts, ())));
    let table = |mounts: Vec<(usize, usize)>| {
        let routes = mounts.into_iter().flat_map(|(api, mount)| {
            let base = &apis[api].mounts[mount].value.base_path;
            apis[api]
                .operations
                .iter()
                .filter(|operation| !operation.internal)
                .flat_map(move |operation| {
                    let loose = operation.trailing_slash != TrailingSlash::Strict;
                    let twin = operation.template.twin().filter(|_| loose);
                    let route = move |template: &Template, twin| Route {
                        api,
                        operation,
                        template: based(base, template),
                        base_path: base,
                        twin,
                    };
                    let declared = route(&operation.template, false);
                    std::iter::once(declared).chain(twin.map(|twin| route(&twin, true)))
                })
        });
        routes.collect()
    };
    tables.into_keys().map(table).collect()
}

/// Adds a base path in front of a template.
fn based(base_path: &str, template: &Template) -> Template {
    if base_path.is_empty() {
        return template.clone();
    }
    template.clone().behind(base_path)
}
