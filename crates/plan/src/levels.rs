//! Levels of checks of client contracts that a project sets: `break_levels` of gateway.yaml, and
//! `x-gateway-lint` of operations.
//!
//! A side that sets no level for a check uses the default level. A difference gets the higher level
//! of the two sides, so that a pull request that lowers a level does not pass its own gate. If an
//! operation is missing on a side, or has another key there, that side allows no checks for it. If
//! other old operations served requests of the operation, the old side allows only checks that it
//! allowed for each of them, too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bundle::ir;
use vocab::checks::{self, Check, Level};

use crate::change::Decision;
use crate::clients::routed;
use crate::{Change, Class, Side};

/// Sets the levels of the differences. A difference of several operations with different levels
/// becomes one change for each level. `earlier`: keys of other old operations that served requests
/// of a new operation, by the new key.
pub(super) fn apply(
    old: Option<&Side>,
    new: &Side,
    earlier: &BTreeMap<String, BTreeSet<Arc<str>>>,
    changes: &mut Vec<Change>,
) {
    if ![old, Some(new)].into_iter().flatten().any(has_levels) {
        return;
    }
    let level = |check: &Check, key: Option<&str>| {
        let owners = key.and_then(|key| earlier.get(key)).into_iter().flatten();
        let before = owners.map(|owner| of_side(old, check, Some(owner)));
        let both = [of_side(old, check, key), of_side(Some(new), check, key)];
        before.chain(both).max().unwrap_or(check.level)
    };
    let is_set = |check: &Check| {
        let mut rules = [old, Some(new)].into_iter().flatten();
        rules.any(|side| {
            let rules = side.source.as_ref().and_then(|map| map.rules.as_ref());
            rules.is_some_and(|rules| rules.break_levels.contains_key(check.id))
        })
    };
    let all = std::mem::take(changes);
    let gateway = &new.lowered.gateway;
    changes.extend(all.into_iter().flat_map(|change| {
        leveled(
            &Levels {
                of: &level,
                is_set: &is_set,
            },
            change,
            gateway,
        )
    }));
}

fn has_levels(side: &Side) -> bool {
    let Some(source) = &side.source else {
        return false;
    };
    let rules = source.rules.as_ref();
    rules.is_some_and(|rules| !rules.break_levels.is_empty())
        || source
            .operations
            .values()
            .any(|operation| !operation.allowed_checks.is_empty())
}

/// Levels of checks.
struct Levels<'l> {
    /// Level of a check for the operation with a key, or for a difference without an operation.
    of: &'l dyn Fn(&Check, Option<&str>) -> Level,
    /// True if a project sets the level of a check.
    is_set: &'l dyn Fn(&Check) -> bool,
}

/// Splits a difference by the levels of its operations.
fn leveled(levels: &Levels<'_>, change: Change, gateway: &ir::Gateway) -> Vec<Change> {
    let Some(check) = checks::of(change.id).filter(|_| change.message.is_some()) else {
        return vec![change];
    };
    let level = |key: Option<&str>| (levels.of)(check, key);
    let is_set = (levels.is_set)(check);
    let mut by_level: Vec<(Level, BTreeSet<String>)> = Vec::new();
    for key in &change.operations {
        let own = level(Some(key));
        match by_level.iter_mut().find(|(level, _)| *level == own) {
            Some((_, keys)) => drop(keys.insert(key.clone())),
            None => by_level.push((own, [key.clone()].into())),
        }
    }
    match by_level.as_slice() {
        [] => vec![with_level(change, (check, is_set), level(None))],
        [(only, _)] => vec![with_level(change, (check, is_set), *only)],
        _ => by_level
            .iter()
            .map(|(level, keys)| {
                let part = of_operations(&change, keys, gateway);
                with_level(part, (check, is_set), *level)
            })
            .collect(),
    }
}

/// Level of a check on one side, for an operation.
fn of_side(side: Option<&Side>, check: &Check, operation: Option<&str>) -> Level {
    let Some(source) = side.and_then(|side| side.source.as_ref()) else {
        return check.level;
    };
    let operation = operation.and_then(|key| source.operations.get(key));
    if operation.is_some_and(|operation| operation.allowed_checks.contains(check.id)) {
        return Level::Info;
    }
    let rules = source.rules.as_ref();
    let level = rules.and_then(|rules| rules.break_levels.get(check.id));
    level.map_or(check.level, |name| Level::named(name))
}

/// Sets the level that the project sets for the check of a change. A difference can have a lower
/// level than its check. It is raised only if it is a warning without a proof, and a project sets
/// the level.
fn with_level(mut change: Change, (check, is_set): (&Check, bool), level: Level) -> Change {
    let Some(message) = &mut change.message else {
        return change;
    };
    let is_raised =
        is_set && message.level == Level::Warn && message.decision != Some(Decision::Proved);
    message.level = match message.level < check.level && !is_raised {
        true => level.min(message.level),
        false => level,
    };
    change.class = Class::of_level(message.level);
    change
}

/// Copy of a change that concerns only the operations `keys`.
pub(super) fn of_operations(
    change: &Change,
    keys: &BTreeSet<String>,
    gateway: &ir::Gateway,
) -> Change {
    let mut part = change.clone();
    part.operations.retain(|key| keys.contains(key));
    let api = change.operation.as_ref().map(|first| &first.api);
    let first = keys.first().zip(api);
    part.operation = first.and_then(|(key, api)| routed(gateway, api, key));
    let others = change.operations.iter().filter(|key| !keys.contains(*key));
    let others: Vec<String> = others.map(|key| format!("{key} ")).collect();
    let lines = change.bound.lines();
    let lines = lines.filter(|line| !others.iter().any(|other| line.starts_with(&**other)));
    part.bound = lines.collect::<Vec<_>>().join("\n");
    part
}
