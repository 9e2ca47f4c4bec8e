//! Upstreams, and what of the path they see.

use bundle::ir;
use serde_json::{Value, json};

use super::{both, number, push};
use crate::plan::{Class, Plan, Section};

/// Upstreams that come, go, or are called differently.
pub(super) fn upstreams(old: &ir::Shared, new: &ir::Shared, plan: &mut Plan) {
    for (name, was, is) in both(&old.upstreams, &new.upstreams) {
        let subject = format!("upstream {name}");
        let targets = |upstream: Option<&ir::Upstream>| -> Value {
            upstream.map_or(Value::Null, |upstream| {
                upstream
                    .targets
                    .iter()
                    .map(|target| {
                        (
                            target.name.clone(),
                            json!({"url": url(target), "weight": target.weight}),
                        )
                    })
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            })
        };
        let (Some(a), Some(b)) = (was, is) else {
            let id = if was.is_none() {
                "upstream-added"
            } else {
                "upstream-removed"
            };
            push(
                plan,
                Section::Upstream,
                Class::Changed,
                id,
                subject,
                targets(was),
                targets(is),
            );
            continue;
        };
        if a.targets != b.targets {
            push(
                plan,
                Section::Upstream,
                Class::Changed,
                "targets-changed",
                subject.clone(),
                targets(was),
                targets(is),
            );
        }
        if a.host_header != b.host_header {
            push(
                plan,
                Section::Upstream,
                Class::Changed,
                "host-header-changed",
                subject.clone(),
                format!("{:?}", a.host_header).into(),
                format!("{:?}", b.host_header).into(),
            );
        }
        number(
            plan,
            Section::Policy,
            "connect-timeout-changed",
            subject.clone(),
            a.connect_timeout_ms,
            b.connect_timeout_ms,
            "ms",
        );
        number(
            plan,
            Section::Policy,
            "idle-timeout-changed",
            subject,
            a.idle_timeout_ms,
            b.idle_timeout_ms,
            "ms",
        );
    }
}

fn url(target: &ir::Target) -> String {
    format!(
        "http://{}{}",
        engine::forward::authority(target),
        target.path
    )
}

/// What an upstream sees of the path.
pub(super) fn mounts(old: &ir::Api, new: &ir::Api, plan: &mut Plan) {
    for (name, was, is) in both(&old.mounts, &new.mounts) {
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        if was.strip_base_path != is.strip_base_path {
            push(
                plan,
                Section::Upstream,
                Class::Changed,
                "strip-base-path-changed",
                format!("mount {}/{name}", new.name),
                was.strip_base_path.into(),
                is.strip_base_path.into(),
            );
        }
    }
}
