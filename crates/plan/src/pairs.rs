//! Things of two sides in pairs: by name, and listeners by what they are.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;

use crate::OperationRef;

/// Entries of both sets by name, with both sides.
pub(crate) fn both<'s, T: ir::Named>(
    old: &'s ir::Set<T>,
    new: &'s ir::Set<T>,
) -> impl Iterator<Item = (&'s str, Option<&'s T>, Option<&'s T>)> {
    let names: BTreeSet<&str> = old.iter().chain(new).map(ir::Named::name).collect();
    names
        .into_iter()
        .map(|name| (name, old.get(name), new.get(name)))
}

/// The listeners of both sides in pairs. One that is gone and a new one are a pair, too, if they have
/// one address or the same mounts: another name hides no changed setting.
pub(crate) fn listeners<'s>(
    old: &'s ir::Gateway,
    new: &'s ir::Gateway,
) -> Vec<(Option<&'s ir::Listener>, Option<&'s ir::Listener>)> {
    let (was, is) = (&old.shared.listeners, &new.shared.listeners);
    let all: Vec<_> = both(was, is).map(|(_, was, is)| (was, is)).collect();
    let mut gone: Vec<&ir::Listener> = Vec::new();
    let mut come: Vec<&ir::Listener> = Vec::new();
    let mut pairs = Vec::new();
    for pair in all {
        match pair {
            (Some(was), None) => gone.push(was),
            (None, Some(is)) => come.push(is),
            both => pairs.push(both),
        }
    }
    type Alike<'f> = &'f dyn Fn(&ir::Listener, &ir::Listener) -> bool;
    let alike: [Alike<'_>; 2] = [&|was, is| was.address == is.address, &|was, is| {
        mounts(old, &was.name) == mounts(new, &is.name)
    }];
    for is_alike in alike {
        gone.retain(|was| {
            let Some(at) = come.iter().position(|is| is_alike(was, is)) else {
                return true;
            };
            pairs.push((Some(*was), Some(come.remove(at))));
            false
        });
    }
    pairs.extend(gone.into_iter().map(|was| (Some(was), None)));
    pairs.extend(come.into_iter().map(|is| (None, Some(is))));
    pairs
}

/// The old side with new names of listeners that keep their address: a request to the address is a
/// request to the same listener. None where no listener has another name.
pub(crate) fn with_new_names(old: &ir::Gateway, new: &ir::Gateway) -> Option<ir::Gateway> {
    let (was, is) = (&old.shared.listeners, &new.shared.listeners);
    let renamed: BTreeMap<&str, &str> = listeners(old, new)
        .into_iter()
        .filter_map(|(was, is)| Some((was?, is?)))
        .filter(|(was, is)| was.name != is.name && was.address == is.address)
        .map(|(was, is)| (was.name.as_str(), is.name.as_str()))
        .collect();
    // One of two listeners that exchange their names keeps it.
    let is_free = |name: &str| was.get(name).is_none();
    let renames = |name: &str| renamed.get(name).copied().filter(|name| is_free(name));
    if !was.iter().any(|one| renames(&one.name).is_some()) {
        return None;
    }
    debug_assert!(renamed.values().all(|name| is.get(name).is_some()));
    let mut gateway = old.clone();
    let mut all = gateway.shared.listeners.into_vec();
    for listener in &mut all {
        if let Some(name) = renames(&listener.name) {
            name.clone_into(&mut listener.name);
        }
    }
    gateway.shared.listeners = ir::Set::new(all).ok()?;
    let mut apis = gateway.apis.into_vec();
    for api in &mut apis {
        let mut mounts = std::mem::take(&mut api.mounts).into_vec();
        for name in mounts.iter_mut().flat_map(|mount| &mut mount.listeners) {
            if let Some(new) = renames(name) {
                new.clone_into(name);
            }
        }
        for mount in &mut mounts {
            mount.listeners.sort();
        }
        api.mounts = ir::Set::new(mounts).ok()?;
    }
    gateway.apis = ir::Set::new(apis).ok()?;
    Some(gateway)
}

/// Names of the mounts that a listener has.
fn mounts<'g>(gateway: &'g ir::Gateway, listener: &str) -> Vec<(&'g str, &'g str)> {
    let apis = gateway.apis.iter();
    let all = apis.flat_map(|api| api.mounts.iter().map(move |mount| (api, mount)));
    let has = |mount: &ir::Mount| mount.listeners.iter().any(|name| name == listener);
    all.filter(|(_, mount)| has(mount))
        .map(|(api, mount)| (api.name.as_str(), mount.name.as_str()))
        .collect()
}

pub(crate) fn reference(api: &ir::Api, operation: &ir::Operation) -> OperationRef {
    let mount = api.mounts.iter().next();
    OperationRef {
        key: operation.key.clone(),
        id: operation
            .key
            .strip_prefix(&format!("{}/", api.name))
            .map(str::to_owned),
        method: operation.method.clone(),
        path: format!(
            "{}{}",
            mount.map_or("", |mount| &mount.base_path),
            operation.template
        ),
        mount: mount.map(|mount| mount.name.clone()).unwrap_or_default(),
        host: mount
            .and_then(|mount| mount.hosts.first().cloned())
            .unwrap_or_default(),
        api: api.name.clone(),
    }
}
