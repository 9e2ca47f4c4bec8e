//! Everything that is neither routing, nor who may call, nor the contract: numbers, policies,
//! upstreams, consumers.

mod consumers;
mod listeners;
mod operations;
mod policies;
mod secrets;
mod upstreams;
mod verifiers;

use std::collections::BTreeSet;

use bundle::ir;
use serde_json::Value;

use super::{Change, Class, OperationRef, Plan, Section};
use crate::lower::Lowered;

/// Compares two gateways; the first release has nothing to compare with.
pub(super) fn compare(old: Option<&Lowered>, new: &Lowered, plan: &mut Plan) {
    secrets::secrets(old, new, plan);
    let Some(old) = old else { return };
    let (was, is) = (&old.gateway.shared, &new.gateway.shared);
    consumers::consumers(was, is, plan);
    listeners::listeners(was, is, plan);
    policies::policies("", &was.policies, &is.policies, plan);
    upstreams::upstreams(was, is, plan);
    if was.expose_bundle != is.expose_bundle {
        push(
            plan,
            Section::Policy,
            Class::Changed,
            "expose-bundle-changed",
            "expose_bundle",
            was.expose_bundle.into(),
            is.expose_bundle.into(),
        );
    }
    verifiers::verifiers(was, is, plan);
    for api in &new.gateway.apis {
        let Some(before) = old.gateway.apis.get(&api.name) else {
            continue;
        };
        policies::policies(
            &format!("{}/", api.name),
            &before.policies,
            &api.policies,
            plan,
        );
        upstreams::mounts(before, api, plan);
        operations::operations(before, api, (&was.policies, &is.policies), plan);
    }
    for contract in &new.contracts {
        let Some(before) = old.contracts.get(&contract.name) else {
            continue;
        };
        super::contract::compare(before, contract, &new.gateway, plan);
    }
}

fn push(
    plan: &mut Plan,
    section: Section,
    class: Class,
    id: &'static str,
    subject: impl Into<String>,
    old: Value,
    new: Value,
) {
    plan.changes
        .push(Change::new(section, class, id, subject, old, new));
}

/// More through is relax, less is tighten.
fn number(
    plan: &mut Plan,
    section: Section,
    id: &'static str,
    subject: impl Into<String>,
    old: u64,
    new: u64,
    unit: &str,
) {
    let class = if new > old {
        Class::Relax
    } else {
        Class::Tighten
    };
    if old != new {
        push(
            plan,
            section,
            class,
            id,
            subject,
            format!("{old}{unit}").into(),
            format!("{new}{unit}").into(),
        );
    }
}

/// What stands in either set, with both sides.
fn both<'s, T: ir::Named>(
    old: &'s ir::Set<T>,
    new: &'s ir::Set<T>,
) -> impl Iterator<Item = (&'s str, Option<&'s T>, Option<&'s T>)> {
    let names: BTreeSet<&str> = old.iter().chain(new).map(ir::Named::name).collect();
    names
        .into_iter()
        .map(|name| (name, old.get(name), new.get(name)))
}

pub(super) fn reference(api: &ir::Api, operation: &ir::Operation) -> OperationRef {
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
