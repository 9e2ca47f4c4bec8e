//! Lifecycle of operations, their [`parameters`] and [`properties`], as documents state it:
//! deprecation, sunset, removal and stability (`deprecated`, `x-sunset`, `x-stability-level`). Also
//! the notice period that gateway.yaml requires (`deprecations`).
//!
//! The notice period is the longer one of the two sides. An operation that is removed after its
//! sunset does not trip the gate `break`, if the old side requires a notice period. The day of the
//! comparison is an input.

mod difference;
mod parameters;
mod properties;

use std::collections::BTreeSet;

use bundle::ir;

use self::difference::{Compared, day, place_of};
use crate::clients::routed;
use crate::levels::of_operations;
use crate::{Change, OperationRef, Plan, Side};

pub(super) use self::difference::{EarlierKeys, api_of};

/// Adds the lines about lifecycles. `today` is the day of the comparison, `YYYY-MM-DD`. If `None`,
/// no sunset has passed, and no notice period is checked.
pub(super) fn compare(
    (old, new): (&Side, &Side),
    pairs: &EarlierKeys,
    today: Option<&str>,
    plan: &mut Plan,
) {
    let (Some(before), Some(after)) = (&old.source, &new.source) else {
        return;
    };
    let today = today.and_then(day);
    let cx = Compared {
        before,
        after,
        today,
        paths: after
            .operations
            .iter()
            .map(|(key, source)| (api_of(key), &*source.path))
            .collect(),
    };
    let one_sided = parameters::one_sided(plan);
    let mut lines = Vec::new();
    for (key, is) in &after.operations {
        for earlier in pairs.get(key) {
            let Some(was) = before.operations.get(earlier) else {
                continue;
            };
            let found = cx.kept([earlier, key], &was.lifecycle, &is.lifecycle);
            lines.extend(found.into_iter().filter_map(|found| {
                let operation = of_key(&new.lowered.gateway, key)?;
                let places = (place_of(was, ""), place_of(is, ""));
                Some(found.line("operation", operation, places))
            }));
            if let Some(operation) = of_key(&new.lowered.gateway, key) {
                let (keys, sources) = ([earlier, key.as_str()], (was, is));
                let own = parameters::kept(&cx, keys, sources, &operation, &one_sided);
                lines.extend(own);
            }
        }
    }
    replace_deprecated(&lines, &new.lowered.gateway, plan);
    parameters::replace(&cx, pairs, &lines, &new.lowered.gateway, plan);
    properties::replace(&cx, pairs, &new.lowered.gateway, plan);
    let mut named = BTreeSet::new();
    for change in plan.changes.iter_mut() {
        let Some(operation) = change.operation.clone() else {
            continue;
        };
        if change.id != "operation-removed" {
            continue;
        }
        let Some(was) = before.operations.get(&operation.key) else {
            continue;
        };
        if cx.is_over(&was.lifecycle) && cx.old_notice_days(&operation.api).is_some() {
            change.is_retired = true;
        }
        // An operation has one line for all its mounts.
        if !named.insert(operation.key.clone()) {
            continue;
        }
        let found = cx.removed(&operation, was);
        let places = (place_of(was, ""), None);
        lines.extend(found.map(|found| found.line("operation", operation, places)));
    }
    plan.changes.extend(lines);
}

/// Removes operations that are deprecated with a sunset from the lines `endpoint-deprecated`,
/// because these operations have lines of their own.
fn replace_deprecated(lines: &[Change], gateway: &ir::Gateway, plan: &mut Plan) {
    let replacing = [
        "endpoint-deprecated-with-sunset",
        "api-sunset-date-too-small",
    ];
    let replacing = lines.iter().filter(|line| replacing.contains(&line.id));
    let keys: BTreeSet<&String> = replacing.flat_map(|line| &line.operations).collect();
    if keys.is_empty() {
        return;
    }
    let all = std::mem::take(&mut plan.changes);
    plan.changes = all
        .into_iter()
        .filter_map(|change| {
            if change.id != "endpoint-deprecated" || change.operations.is_empty() {
                return Some(change);
            }
            let left = change.operations.iter().filter(|key| !keys.contains(key));
            let left: BTreeSet<String> = left.cloned().collect();
            (!left.is_empty()).then(|| of_operations(&change, &left, gateway))
        })
        .collect();
}

fn of_key(gateway: &ir::Gateway, key: &str) -> Option<OperationRef> {
    routed(gateway, api_of(key), key)
}
