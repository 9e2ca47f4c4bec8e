//! Listeners: addresses, limits, who is believed.

use bundle::ir;
use serde_json::Value;

use super::{both, number, push};
use crate::plan::{Class, Plan, Section};

/// Listeners that come, go, or admit differently.
pub(super) fn listeners(old: &ir::Shared, new: &ir::Shared, plan: &mut Plan) {
    for (name, was, is) in both(&old.listeners, &new.listeners) {
        let subject = format!("listener {name}");
        let (Some(was), Some(is)) = (was, is) else {
            let address = |listener: Option<&ir::Listener>| {
                listener.map_or(Value::Null, |listener| listener.address.as_str().into())
            };
            let id = if was.is_none() {
                "listener-added"
            } else {
                "listener-removed"
            };
            push(
                plan,
                Section::Routing,
                Class::Changed,
                id,
                subject.clone(),
                address(was),
                address(is),
            );
            for range in is.iter().flat_map(|listener| &listener.trusted_proxies) {
                push(
                    plan,
                    Section::Security,
                    Class::Weaken,
                    "trusted-proxy-added",
                    subject.clone(),
                    Value::Null,
                    range.to_string().into(),
                );
            }
            continue;
        };
        if was.address != is.address {
            push(
                plan,
                Section::Routing,
                Class::Changed,
                "listener-address-changed",
                subject.clone(),
                was.address.as_str().into(),
                is.address.as_str().into(),
            );
        }
        let covered = |range: &ir::Cidr, ranges: &[ir::Cidr]| ranges.contains(range);
        for range in is
            .trusted_proxies
            .iter()
            .filter(|range| !covered(range, &was.trusted_proxies))
        {
            // It may assert any address: address lists and limits believe it.
            push(
                plan,
                Section::Security,
                Class::Weaken,
                "trusted-proxy-added",
                subject.clone(),
                Value::Null,
                range.to_string().into(),
            );
        }
        for range in was
            .trusted_proxies
            .iter()
            .filter(|range| !covered(range, &is.trusted_proxies))
        {
            push(
                plan,
                Section::Security,
                Class::Strengthen,
                "trusted-proxy-removed",
                subject.clone(),
                range.to_string().into(),
                Value::Null,
            );
        }
        let (a, b) = (&was.limits, &is.limits);
        let mut limit =
            |id, old, new, unit| number(plan, Section::Policy, id, subject.clone(), old, new, unit);
        limit(
            "listener-connections-changed",
            a.connections,
            b.connections,
            "",
        );
        limit(
            "listener-header-bytes-changed",
            a.header_bytes,
            b.header_bytes,
            "B",
        );
        limit("listener-headers-changed", a.headers, b.headers, "");
        limit(
            "listener-header-timeout-changed",
            a.header_timeout_ms,
            b.header_timeout_ms,
            "ms",
        );
        limit(
            "listener-idle-timeout-changed",
            a.idle_timeout_ms,
            b.idle_timeout_ms,
            "ms",
        );
        limit(
            "listener-target-bytes-changed",
            a.target_bytes,
            b.target_bytes,
            "B",
        );
    }
}
