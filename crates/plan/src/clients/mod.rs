//! Differences of contracts for API clients. Each difference is one change, with its check (a row
//! of `checks.tsv`), its path in the message, and the operations that it concerns.
//!
//! [`operations`] pairs the operations of two sides by their requests. [`messages`] compares the
//! parts of one pair, [`schema`] the schemas, [`walk`] follows pairs of schemas and counts a shared
//! schema once.

mod labels;
mod meaning;
mod messages;
mod operations;
mod schema;
mod walk;

use std::collections::BTreeSet;

use bundle::ir;
use model::contract::joint::{self, Joint};
use model::contract::sites::Sites;
use model::lower::Lowered;
use model::source_map::Place;
use serde_json::Value as Json;

use self::operations::Operations;
use self::walk::{Record, Walk};
use crate::change::Message;
use crate::checks::{self, Level};
use crate::pairs::reference;
use crate::{Change, Class, OperationRef, Plan, Section};

/// Compares the contracts of all APIs.
pub(super) fn compare(old: &Lowered, new: &Lowered, plan: &mut Plan) {
    let pairs = Operations::of(old, new);
    for contract in &new.contracts {
        let mut apis: BTreeSet<&str> = pairs.old_apis(&contract.name);
        // If no operations of this API form pairs, its webhooks are still compared with the
        // webhooks of the old API with the same name.
        if apis.is_empty() && old.contracts.get(&contract.name).is_some() {
            apis.insert(&contract.name);
        }
        for api in apis {
            let Some(before) = old.contracts.get(api) else {
                continue;
            };
            of_apis((before, contract), (old, new), &pairs, plan);
        }
    }
}

/// Compares two contracts: the operations that form pairs, and the requests that the APIs send.
fn of_apis(
    (old, new): (&ir::Contract, &ir::Contract),
    sides: (&Lowered, &Lowered),
    pairs: &Operations<'_>,
    plan: &mut Plan,
) {
    if old == new {
        return;
    }
    if old.names_only != new.names_only {
        // An older bundle has a contract without schemas. Compare everything except schemas.
        if !plan.missing.contains(&"schemas") {
            plan.missing.push("schemas");
        }
        if let (Ok(old), Ok(new)) = (old.names(), new.names()) {
            of_apis((&old, &new), sides, pairs, plan);
        }
        return;
    }
    let before = plan.changes.len();
    let joint = Joint::new(old, new);
    let class = |node| joint.rank(node);
    let mut walk = Walk::new(&joint, &class);
    for (was, is) in pairs.between(&old.name, &new.name) {
        let (Some(was), Some(is)) = (old.operations.get(was), new.operations.get(is)) else {
            continue;
        };
        walk.operation(was, is);
    }
    if old.name == new.name {
        outgoing(&mut walk, old, new);
    }
    let gateway = &sides.1.gateway;
    let sites = (sides.0.sites.get(&old.name), sides.1.sites.get(&new.name));
    let first = plan.changes.len();
    for record in walk.finish() {
        let places = places(&record, sites);
        let within = within(&record, &joint);
        let mut change = change(record, &new.name, gateway, within);
        (change.source_old, change.source_new) = places;
        plan.changes.push(change);
    }
    labels::add(&mut plan.changes[first..]);
    let same_operations = old.operations.len() == new.operations.len()
        && new.operations.iter().all(|operation| {
            let mut all = pairs.between(&old.name, &new.name);
            all.any(|(was, is)| was == is && is == operation.key)
        });
    if plan.changes.len() == before && same_operations {
        // Every keyword was compared, and no difference has an effect.
        plan.changes.push(Change::new(
            Section::Breaking,
            Class::Changed,
            "contract-restated",
            format!("contract of {}", new.name),
            joint::digest_of_all(old).into(),
            joint::digest_of_all(new).into(),
        ));
    }
}

/// Compares the requests that the API itself sends. Callbacks are reported at their operation,
/// webhooks without an operation.
fn outgoing(walk: &mut Walk<'_>, old: &ir::Contract, new: &ir::Contract) {
    for (key, was, is) in crate::pairs::both(&old.outgoing, &new.outgoing) {
        let owner = key.split_once(" callback ").map(|(owner, _)| owner);
        let on = |contract: &ir::Contract| {
            owner.is_some_and(|owner| contract.operations.get(owner).is_some())
        };
        // The routing comparison reports added and removed operations.
        if owner.is_some() && on(old) != on(new) {
            continue;
        }
        let (within, what) = match owner {
            Some(owner) => (&key[owner.len() + 1..], "callback"),
            None => (key, "webhook"),
        };
        let owner = owner.filter(|_| on(new));
        match (was, is) {
            (Some(was), Some(is)) => walk.outgoing(owner, within, was, is),
            (None, Some(is)) => {
                let digest = walk.joint.digest_of(is, true);
                walk.whole(owner, within, what, (Json::Null, digest.into()));
            }
            (Some(was), None) => {
                let digest = walk.joint.digest_of(was, false);
                walk.whole(owner, within, what, (digest.into(), Json::Null));
            }
            (None, None) => {}
        }
    }
}

/// Source locations of a difference on both sides: of the schema, otherwise of the part of the
/// message.
fn places(
    record: &Record,
    (old, new): (Option<&Sites>, Option<&Sites>),
) -> (Option<Place>, Option<Place>) {
    let schema_path = &record.schema_path;
    let property = record.finding.at.strip_prefix('.');
    let property = property.map(|name| format!("properties/{name}"));
    let place = |sites: Option<&Sites>, side: usize| {
        let sites = sites?;
        let steps = schema_path
            .steps
            .iter()
            .map(|(at, old, new)| (at.as_str(), [*old, *new][side]));
        // For a difference of a property, look up the location of the property. A side without the
        // property has none.
        let steps = steps.chain(property.as_deref().map(|name| (name, u32::MAX)));
        let steps: Vec<(&str, u32)> = steps.collect();
        let key = &schema_path.keys[side];
        let schema = match steps.is_empty() && record.finding.keyword.is_empty() {
            true => None,
            false => sites.schema(key, &schema_path.part, &steps),
        };
        let part = || sites.part(key, &schema_path.part);
        let whole = || sites.part(key, schema_path.part.split(' ').next()?);
        schema.or_else(part).or_else(whole)
    };
    (place(old, 0), place(new, 1))
}

/// Text that tells a difference apart from others with the same path: the parts of the messages with
/// their media types, and the keywords and alternatives that lead to the schema. An alternative is
/// named by the digest of its old schema.
fn within(record: &Record, joint: &Joint) -> Within {
    let mut steps = String::new();
    for (at, old, _) in &record.schema_path.steps {
        steps.push_str(at);
        if matches!(&**at, "oneOf" | "anyOf" | "allOf") {
            steps.push(' ');
            steps.push_str(&joint.digest(*old));
        }
        steps.push('\n');
    }
    let names: BTreeSet<&str> = record.parts.iter().map(|(_, part)| &**part).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let all = record.parts.iter();
    let all: Vec<String> = all.map(|(key, part)| format!("{key} {part}")).collect();
    Within {
        text: format!("{}\n\n{steps}", names.join("\n")),
        bound: all.join("\n"),
    }
}

/// Result of [`within`].
struct Within {
    /// Parts without operations, keywords and alternatives.
    text: String,
    /// Parts with the keys of their operations.
    bound: String,
}

fn change(record: Record, api: &str, gateway: &ir::Gateway, within: Within) -> Change {
    let Record {
        finding,
        path,
        operations,
        messages,
        schema_path: _,
        parts: _,
    } = record;
    let path = format!("{path}{}", finding.at);
    let subject = match finding.keyword {
        "" => path.clone(),
        keyword => format!("{path} {keyword}"),
    };
    let class = match finding.level {
        Level::Error => Class::Break,
        Level::Warn | Level::Info => Class::Changed,
    };
    let mut change = Change::new(
        Section::Breaking,
        class,
        finding.id,
        subject.trim(),
        finding.old,
        finding.new,
    );
    let first = operations.first().and_then(|key| routed(gateway, api, key));
    if let Some(first) = first {
        change = change.of(first);
        change.operations = operations;
    }
    let direction = checks::of(finding.id).map_or("none", |check| check.direction);
    change.message = Some(Box::new(Message {
        level: finding.level,
        direction,
        path,
        keyword: finding.keyword.to_owned(),
        messages,
        within: within.text,
        decision: finding.decision,
        witness: finding.witness,
    }));
    // Operations of two APIs may have equal keys, and webhooks have none.
    change.bound = format!("{api}\n{}", within.bound);
    change
}

fn routed(gateway: &ir::Gateway, api: &str, key: &str) -> Option<OperationRef> {
    let api = gateway.apis.get(api)?;
    Some(reference(api, api.operations.get(key)?))
}
