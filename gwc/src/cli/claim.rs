//! Check of a plan file. gwc does not trust the file: it computes the plan again and compares the
//! result with the file (release.md §6).
//!
//! Acknowledgements in the file are information for readers. They take effect only if the command
//! line or the acknowledgement file contains them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::movement::short;
use crate::release::links;
use ::plan::Class;
use diag::text::printable;
use model::exit::{Exit, Failure};

/// Maximum size of a plan file, in bytes.
const BYTES_MAX: u64 = 64 << 20;

/// Maximum number of fingerprints that a message lists.
const NAMED_MAX: usize = 5;

/// Reads a plan file.
///
/// # Errors
/// Returns an input error if the file is not a plan.
pub(super) fn read(path: &Path) -> anyhow::Result<Value> {
    let failed = |why: String| {
        Failure::new(
            Exit::INPUT,
            "bad-plan-file",
            format!("the plan `{}`: {why}", path.display()),
        )
    };
    links::check(path)?;
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if size.len() > BYTES_MAX {
        return Err(failed("the file is too large for a plan".to_owned()).into());
    }
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let plan: Value = serde_json::from_slice(&bytes)
        .map_err(|_| failed("the file is not JSON; write a plan with `gwc plan -o`".to_owned()))?;
    if plan["schema"] != "plan/v1" || !plan["changes"].is_array() || !plan["base"].is_object() {
        return Err(failed(
            "the file is not a plan of schema plan/v1; write a plan with `gwc plan -o`".to_owned(),
        )
        .into());
    }
    let several = plan["environments"].as_array();
    if several.is_some_and(|several| !several.is_empty()) {
        return Err(Failure::usage(format!(
            "the plan `{}` covers several environments, but a release is for one; make a plan with `gwc plan --env NAME -o FILE`",
            path.display()
        ))
        .into());
    }
    Ok(plan)
}

/// True if the plan file has a change with an acknowledgement.
pub(super) fn has_acks(plan: &Value) -> bool {
    let changes = plan["changes"].as_array();
    changes.is_some_and(|changes| changes.iter().any(|change| !change["acked"].is_null()))
}

/// Checks that the plan computed now equals the plan in the file.
///
/// # Errors
/// Returns a `stale-plan` error with the first difference.
pub(super) fn check(claimed: &Value, computed: &Value) -> anyhow::Result<()> {
    let differs = base(claimed, computed)
        .or_else(|| target(claimed, computed))
        .or_else(|| changes(claimed, computed))
        .or_else(|| rest(claimed, computed))
        .or_else(|| gate_names(claimed, computed))
        .or_else(|| gate_verdicts(claimed));
    match differs {
        None => Ok(()),
        Some(why) => Err(Failure::new(
            Exit::STALE,
            "stale",
            format!("{why}; make and review a new plan"),
        )
        .into()),
    }
}

fn base(claimed: &Value, computed: &Value) -> Option<String> {
    let (old, now) = (&claimed["base"], &computed["base"]);
    let channel = |base: &Value| base["channel"].as_str().map(printable);
    let Some(claimed_channel) = channel(old) else {
        let from = old["from"]["name"].as_str().unwrap_or("something else");
        return Some(format!(
            "the plan compares with {}, not with a channel, so it does not show what would be released (omit --against)",
            printable(from)
        ));
    };
    if old["channel"] != now["channel"] {
        return Some(format!(
            "the plan is for channel {claimed_channel}, but this command would move channel {}",
            channel(now).unwrap_or_default()
        ));
    }
    let at = |base: &Value| match base["serial"].as_u64() {
        Some(serial) => format!("serial {serial}"),
        None => "the empty state".to_owned(),
    };
    if old["serial"] != now["serial"] {
        return Some(format!(
            "the plan starts from {} of channel {claimed_channel}, which is at {} now",
            at(old),
            at(now)
        ));
    }
    if old["record"] != now["record"] {
        return Some(format!(
            "the plan starts from a record with {} that differs from the record of channel {claimed_channel}",
            at(old)
        ));
    }
    (old["bundle"] != now["bundle"]).then(|| {
        format!(
            "in the plan, channel {claimed_channel} runs {}, but the channel now runs {}",
            id(old),
            id(now)
        )
    })
}

fn id(side: &Value) -> String {
    printable(short(side["bundle"].as_str().unwrap_or("nothing")))
}

fn target(claimed: &Value, computed: &Value) -> Option<String> {
    let (old, now) = (&claimed["target"], &computed["target"]);
    (old["bundle"] != now["bundle"]).then(|| {
        format!(
            "the plan is for {}, but these sources build {}",
            id(old),
            id(now)
        )
    })
}

/// Changes of a plan by fingerprint, without acknowledgements and source locations.
/// Acknowledgements are evaluated again, and a comment in a source moves source locations. Changes
/// with equal fingerprints are sorted.
fn by_fingerprint(plan: &Value) -> BTreeMap<String, Vec<String>> {
    let mut changes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for change in plan["changes"].as_array().into_iter().flatten() {
        let mut change = change.clone();
        if let Some(fields) = change.as_object_mut() {
            fields.remove("acked");
            fields.remove("source");
        }
        let fingerprint = change["fingerprint"].as_str().unwrap_or("none").to_owned();
        changes
            .entry(fingerprint)
            .or_default()
            .push(change.to_string());
    }
    changes.values_mut().for_each(|same| same.sort_unstable());
    changes
}

fn changes(claimed: &Value, computed: &Value) -> Option<String> {
    let (old, now) = (by_fingerprint(claimed), by_fingerprint(computed));
    let named = |fingerprints: Vec<&String>| {
        let first: Vec<String> = fingerprints
            .iter()
            .take(NAMED_MAX)
            .map(|fingerprint| printable(fingerprint))
            .collect();
        match fingerprints.len().saturating_sub(NAMED_MAX) {
            0 => first.join(", "),
            more => format!("{} and {more} more", first.join(", ")),
        }
    };
    let missing: Vec<&String> = now.keys().filter(|key| !old.contains_key(*key)).collect();
    if !missing.is_empty() {
        return Some(format!(
            "the plan does not match the current changes: {} would happen and {} not in the plan",
            named(missing.clone()),
            if missing.len() == 1 { "is" } else { "are" }
        ));
    }
    let extra: Vec<&String> = old.keys().filter(|key| !now.contains_key(*key)).collect();
    if !extra.is_empty() {
        return Some(format!(
            "the plan does not match the current changes: the sources would not cause {}",
            named(extra)
        ));
    }
    let edited: Vec<&String> = now
        .iter()
        .filter(|(key, same)| old.get(*key) != Some(same))
        .map(|(key, _)| key)
        .collect();
    (!edited.is_empty()).then(|| {
        format!(
            "the plan differs from the sources in {}; was the file edited, or written by another gwc?",
            named(edited)
        )
    })
}

/// Gates of a plan, by name.
fn gates(plan: &Value) -> BTreeMap<&str, &Value> {
    let gates = plan["gates"].as_array().into_iter().flatten();
    gates
        .filter_map(|gate| Some((gate["name"].as_str()?, gate)))
        .collect()
}

/// Compares the names of the enabled gates, which come from gateway.yaml and the options.
fn gate_names(claimed: &Value, computed: &Value) -> Option<String> {
    let (old, now) = (gates(claimed), gates(computed));
    let only = |these: &BTreeMap<&str, &Value>, those: &BTreeMap<&str, &Value>| {
        let names = these.keys().filter(|name| !those.contains_key(*name));
        let names: Vec<String> = names.map(|name| printable(name)).collect();
        (!names.is_empty()).then(|| names.join(","))
    };
    if let Some(missing) = only(&now, &old) {
        return Some(format!(
            "the plan was made without the gates that are on now: {missing}"
        ));
    }
    let extra = only(&old, &now)?;
    Some(format!(
        "the plan was made with gates that are not on now: {extra}; write `--gate {extra}` here, too"
    ))
}

/// Message about the first gate whose result in the file does not match the changes and
/// acknowledgements in the file.
fn gate_verdicts(claimed: &Value) -> Option<String> {
    let changes = || claimed["changes"].as_array().into_iter().flatten();
    let gates = gates(claimed);
    let wrong = gates.iter().find(|(name, gate)| {
        let stops = |change: &&Value| {
            let class = |known: &Class| change["class"] == known.name();
            let class = Class::ALL.into_iter().find(class);
            change["acked"].is_null() && class.is_some_and(|class| class.trips(name))
        };
        let follows: BTreeSet<&str> = changes()
            .filter(stops)
            .filter_map(|change| change["fingerprint"].as_str())
            .collect();
        let by = gate["by"].as_array().into_iter().flatten();
        let listed: BTreeSet<&str> = by.filter_map(Value::as_str).collect();
        listed != follows || gate["tripped"] != !follows.is_empty()
    });
    wrong.map(|(name, _)| {
        format!(
            "the state of the gate {} in the plan does not follow from its changes; was the file edited?",
            printable(name)
        )
    })
}

/// Compares the counts and other fields that gwc computes from the changes. A difference means that
/// the file was edited.
fn rest(claimed: &Value, computed: &Value) -> Option<String> {
    let field = ["counts", "no_op", "missing"]
        .into_iter()
        .find(|field| claimed[*field] != computed[*field])?;
    Some(format!(
        "`{field}` in the plan differs from its current value; was the file edited?"
    ))
}
