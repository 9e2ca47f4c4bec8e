//! Pairing of the definitions of two sides: by name, and listeners also by address or mounts.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use model::lower::Lowered;

use crate::OperationRef;

/// Pairs the items of two sets by name.
pub(crate) fn both<'s, T: ir::Named>(
    old: &'s ir::Set<T>,
    new: &'s ir::Set<T>,
) -> impl Iterator<Item = (&'s str, Option<&'s T>, Option<&'s T>)> {
    let names: BTreeSet<&str> = old.iter().chain(new).map(ir::Named::name).collect();
    names
        .into_iter()
        .map(|name| (name, old.get(name), new.get(name)))
}

/// Pairs the listeners of two sides. A removed and an added listener with the same address or the
/// same mounts also form a pair. A new name therefore cannot hide changed settings.
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

/// Old gateway in which each listener has the name of the new listener at the same address. Clients
/// reach a listener by its address, so renamed or exchanged listeners must not hide a change.
/// `None` if no name differs.
pub(crate) fn with_new_names(old: &ir::Gateway, new: &ir::Gateway) -> Option<ir::Gateway> {
    let (was, is) = (&old.shared.listeners, &new.shared.listeners);
    let by_address: BTreeMap<&str, &str> = was
        .iter()
        .filter_map(|was| {
            let same = is.iter().find(|is| is.address == was.address)?;
            Some((was.name.as_str(), same.name.as_str()))
        })
        .collect();
    let renamed: BTreeMap<&str, String> = was
        .iter()
        .filter_map(|one| {
            let name = one.name.as_str();
            let is_taken = || by_address.values().any(|taken| *taken == name);
            match by_address.get(name) {
                Some(new) => (*new != name).then(|| (name, (*new).to_owned())),
                // The new gateway has another listener with this name, at another address.
                None => is_taken().then(|| (name, format!("{name} (before)"))),
            }
        })
        .collect();
    if renamed.is_empty() {
        return None;
    }
    let renames = |name: &str| renamed.get(name);
    let mut gateway = old.clone();
    let mut all = gateway.shared.listeners.into_vec();
    for listener in &mut all {
        if let Some(name) = renames(&listener.name) {
            listener.name.clone_from(name);
        }
    }
    gateway.shared.listeners = ir::Set::new(all).ok()?;
    let mut apis = gateway.apis.into_vec();
    for api in &mut apis {
        let mut mounts = std::mem::take(&mut api.mounts).into_vec();
        for name in mounts.iter_mut().flat_map(|mount| &mut mount.listeners) {
            if let Some(new) = renames(name) {
                name.clone_from(new);
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

/// Old gateway and contracts in which each renamed operation has its new key. A new key must not
/// hide a change. `None` if no operation is renamed. `renamed`: pairs of an old and a new key.
pub(crate) fn with_new_keys(
    old: &Lowered,
    new: &ir::Gateway,
    renamed: &BTreeMap<&str, &str>,
) -> Option<(ir::Gateway, ir::Set<ir::Contract>)> {
    let (mut gateway, mut contracts) = (old.gateway.clone(), old.contracts.clone());
    let mut apis = gateway.apis.into_vec();
    let mut is_changed = false;
    for api in &mut apis {
        let Some(after) = new.apis.get(&api.name) else {
            continue;
        };
        let renames: BTreeMap<&str, &str> = renamed
            .iter()
            .filter(|(was, is)| {
                api.operations.get(was).is_some() && after.operations.get(is).is_some()
            })
            .map(|(was, is)| (*was, *is))
            .collect();
        // An exchange of two keys renames both operations.
        let stays = |key: &str| api.operations.get(key).is_some() && !renames.contains_key(key);
        if renames.is_empty() || renames.values().any(|is| stays(is)) {
            continue;
        }
        let mut operations = std::mem::take(&mut api.operations).into_vec();
        for operation in &mut operations {
            if let Some(key) = renames.get(operation.key.as_str()) {
                operation.key = (*key).to_owned();
            }
        }
        api.operations = ir::Set::new(operations).ok()?;
        contracts = with_keys(contracts, &api.name, &renames)?;
        is_changed = true;
    }
    gateway.apis = ir::Set::new(apis).ok()?;
    is_changed.then_some((gateway, contracts))
}

/// Contracts in which the operations of an API have new keys.
fn with_keys(
    contracts: ir::Set<ir::Contract>,
    api: &str,
    renames: &BTreeMap<&str, &str>,
) -> Option<ir::Set<ir::Contract>> {
    let mut all = contracts.into_vec();
    for contract in all.iter_mut().filter(|contract| contract.name == api) {
        for set in [&mut contract.operations, &mut contract.outgoing] {
            let mut operations = std::mem::take(set).into_vec();
            for operation in &mut operations {
                // Keys of callbacks begin with the key of their operation.
                let (key, rest) = match operation.key.split_once(' ') {
                    Some((key, _)) => (key, &operation.key[key.len()..]),
                    None => (operation.key.as_str(), ""),
                };
                if let Some(key) = renames.get(key) {
                    operation.key = format!("{key}{rest}");
                }
            }
            *set = ir::Set::new(operations).ok()?;
        }
    }
    ir::Set::new(all).ok()
}

/// Mounts of a listener, as names of API and mount.
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
