//! Differences of contracts for API clients. Each difference is one change, with its check (a row
//! of `checks.tsv`), its path in the message, and the operations that it concerns.
//!
//! [`operations`] pairs the operations of two sides by their requests. [`outgoing`] pairs the
//! requests that the APIs send, and [`outgoing_checks`] chooses their checks. [`messages`] compares the
//! parts of one pair, [`fields`] the query fields that other parameters describe, and [`schema`]
//! compares schemas. [`walk`] follows pairs of schemas and counts a shared schema once.

mod enclosing;
mod encoding;
mod fields;
mod labels;
mod meaning;
mod media_types;
mod messages;
mod operations;
mod outgoing;
mod outgoing_checks;
mod path_parameters;
mod schema;
mod schema_path;
mod sent_credentials;
mod serialization;
mod statuses;
mod walk;

use std::collections::BTreeSet;

use bundle::ir;
use model::contract::joint::{self, Joint};
use model::contract::sites::Sites;
use model::lower::Lowered;
use model::source_map::Place;
use rustc_hash::FxHashMap;

use self::operations::Operations;
use self::outgoing::Webhooks;
use self::schema_path::SchemaPath;
use self::walk::{Record, Walk};
use crate::change::{Decision, Message};
use crate::pairs::reference;
use crate::routing::ServedPairs;
use crate::{Change, Class, OperationRef, Plan, Section};
use vocab::checks;

/// Compares the contracts of all APIs. `served`: pairs of operations that serve the same requests.
pub(super) fn compare((old, new): (&Lowered, &Lowered), served: &ServedPairs<'_>, plan: &mut Plan) {
    let operations = Operations::of(old, new, served);
    let related = operations.apis().filter(|(was, is)| was != is).collect();
    let webhooks = Webhooks::of([&old.contracts, &new.contracts], &related);
    let pairs = Pairs {
        operations,
        webhooks,
    };
    let same = new.contracts.iter().map(|one| (&*one.name, &*one.name));
    let same = same.filter(|(api, _)| old.contracts.get(api).is_some());
    let apis = pairs.operations.apis().chain(pairs.webhooks.apis());
    let apis = apis.chain(same).map(|(was, is)| (is, was));
    let mut starts = Vec::new();
    for (is, was) in apis.collect::<BTreeSet<_>>() {
        let sides = (old.contracts.get(was), new.contracts.get(is));
        // Compare an API that only one side has with an empty contract.
        let (before, after) = match sides {
            (Some(before), Some(after)) => (before, after),
            (Some(before), None) => (before, &empty(before)),
            (None, Some(after)) => (&empty(after), after),
            (None, None) => continue,
        };
        starts.push(plan.changes.len());
        of_apis((before, after), (old, new), &pairs, plan);
    }
    fold_repeated(&mut plan.changes, &starts);
}

/// Pairs of operations and webhooks of two sides.
struct Pairs<'a> {
    operations: Operations<'a>,
    webhooks: Webhooks<'a>,
}

/// Contract without operations, of an API with the same name.
fn empty(contract: &ir::Contract) -> ir::Contract {
    ir::Contract {
        name: contract.name.clone(),
        operations: ir::Set::default(),
        outgoing: ir::Set::default(),
        schemas: Vec::new(),
        names_only: contract.names_only,
    }
}

/// Removes changes of a new API that are also differences from another old API, for the same
/// messages. `starts` has the index of the first change of each pair of APIs.
fn fold_repeated(changes: &mut Vec<Change>, starts: &[usize]) {
    let lines = |change: &'_ Change| -> BTreeSet<String> {
        change.bound.lines().map(str::to_owned).collect()
    };
    // A difference does not replace one that is more certain to break clients.
    let certainty = |change: &'_ Change| {
        let message = change.message.as_ref();
        message.map(|one| (one.level, one.decision == Some(Decision::Refuted)))
    };
    let mut known: FxHashMap<_, Vec<(usize, usize)>> = FxHashMap::default();
    let mut repeated = BTreeSet::new();
    let ends = starts.iter().skip(1).copied().chain([changes.len()]);
    let pairs = starts.iter().zip(ends).enumerate();
    for (pair, at) in pairs.flat_map(|(pair, (start, end))| (*start..end).map(move |at| (pair, at)))
    {
        let change = &changes[at];
        let Some(message) = &change.message else {
            continue;
        };
        let values = (change.old.to_string(), change.new.to_string());
        let key = (change.id, &change.subject, &message.within, values);
        let others = known.entry(key).or_default();
        if others.iter().any(|(other, _)| *other != pair) {
            let own = (lines(change), certainty(change));
            for (_, other) in others.iter().filter(|(other, _)| *other != pair) {
                let kept = (lines(&changes[*other]), certainty(&changes[*other]));
                if own.0.is_subset(&kept.0) && own.1 <= kept.1 {
                    repeated.insert(at);
                } else if kept.0.is_subset(&own.0) && kept.1 <= own.1 {
                    repeated.insert(*other);
                }
            }
        }
        others.push((pair, at));
    }
    drop(known);
    let mut next = 0..;
    changes.retain(|_| next.next().is_none_or(|at| !repeated.contains(&at)));
}

/// Compares two contracts: the operations that form pairs, and the requests that the APIs send.
fn of_apis(
    (old, new): (&ir::Contract, &ir::Contract),
    sides: (&Lowered, &Lowered),
    pairs: &Pairs<'_>,
    plan: &mut Plan,
) {
    let is_identity = pairs.operations.is_identity((old, new))
        && pairs.webhooks.is_identity(&old.name, &new.name);
    if old == new && is_identity {
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
    let operations = pairs.operations.between(&old.name, &new.name);
    for pair in operations {
        let (was, is) = (old.operations.get(pair.old), new.operations.get(pair.new));
        if let (Some(was), Some(is)) = (was, is) {
            walk.operation(was, is, pair);
        }
    }
    let webhooks = pairs.webhooks.between(&old.name, &new.name);
    outgoing::compare(&mut walk, (old, new), operations, webhooks);
    let gateway = &sides.1.gateway;
    let sites = (sides.0.sites.get(&old.name), sides.1.sites.get(&new.name));
    let first = plan.changes.len();
    let place = |path: &SchemaPath| {
        let (part, steps) = path.on(1);
        sites.1?.schema(&path.keys[1], part, &steps)
    };
    // The name of the API does not count.
    let own = |key: &str, api: &str| key.replacen(api, "", 1);
    let is_renamed = |was: &str, is: &str| own(was, &old.name) != own(is, &new.name);
    let renamed = operations
        .iter()
        .filter(|pair| is_renamed(pair.old, pair.new));
    let renamed: BTreeSet<(&str, &str)> = renamed.map(|pair| (pair.new, pair.old)).collect();
    for record in walk.finish(place) {
        let places = places(&record, sites);
        let within = within(&record, &joint, &renamed);
        let mut change = change(record, &new.name, gateway, within);
        (change.source_old, change.source_new) = places;
        plan.changes.push(change);
    }
    let values = plan.changes[first..].iter();
    let values = values.flat_map(|change| [&change.old, &change.new]);
    let schemas = joint.shortened(values);
    plan.schemas.extend(schemas);
    labels::add(&mut plan.changes[first..]);
    if plan.changes.len() == before && is_identity {
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
        let (part, steps) = schema_path.on(side);
        // For a difference of a property, look up the location of the property. On a side without
        // the property, there is no location.
        let property = property.as_deref().map(|name| (name, u32::MAX));
        let steps = steps.into_iter().chain(property);
        let steps: Vec<(&str, u32)> = steps.collect();
        let key = &schema_path.keys[side];
        let schema = match steps.is_empty() && record.finding.keyword.is_empty() {
            true => None,
            false => sites.schema(key, part, &steps),
        };
        let whole = || sites.part(key, part.split(' ').next()?);
        schema.or_else(|| sites.part(key, part)).or_else(whole)
    };
    (place(old, 0), place(new, 1))
}

/// Text that distinguishes a difference from others with the same path. It contains the message
/// parts, their media types, and the keywords and alternatives that lead to the schema. An
/// alternative is named by the digest of its old schema. `renamed`: new and old keys of operations
/// with another key. They distinguish an operation from the one that had its key before.
fn within(record: &Record, joint: &Joint, renamed: &BTreeSet<(&str, &str)>) -> Within {
    let mut steps = String::new();
    for (at, old, _) in &record.schema_path.steps {
        steps.push_str(at);
        if matches!(&**at, "oneOf" | "anyOf" | "allOf") {
            steps.push(' ');
            steps.push_str(&joint.digest(*old));
        }
        steps.push('\n');
    }
    let names: BTreeSet<&str> = record.parts.iter().map(|part| &*part.name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let all = record.parts.iter();
    // The path of the record is already in the fingerprint. Parts with a different path contain the
    // same component elsewhere, so their paths are added.
    let all: BTreeSet<String> = all
        .map(|part| match part.path == record.path {
            true => format!("{} {}", part.key, part.name),
            false => format!("{} {} {}", part.key, part.name, part.path),
        })
        .collect();
    let keys: BTreeSet<&str> = record.parts.iter().map(|part| &*part.key).collect();
    let renamed = renamed.iter().filter(|(new, _)| keys.contains(new));
    let renamed = renamed.map(|(new, old)| format!("{new} was {old}"));
    let all: Vec<String> = all.into_iter().chain(renamed).collect();
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
        operation,
        messages,
        schema_path: _,
        parts: _,
        body,
        is_plain,
    } = record;
    let path = format!("{path}{}", finding.at);
    let subject = match finding.keyword {
        "" => path.clone(),
        keyword => format!("{path} {keyword}"),
    };
    let class = Class::of_level(finding.level);
    let mut change = Change::new(
        Section::Breaking,
        class,
        finding.id,
        subject.trim(),
        finding.old,
        finding.new,
    );
    let operation = operation.as_ref().or(operations.first());
    let operation = operation.and_then(|key| routed(gateway, api, key));
    if let Some(operation) = operation {
        change = change.of(operation);
        change.operations = operations.into_iter().collect();
    }
    let direction = checks::of(finding.id).map_or("none", |check| check.direction);
    change.message = Some(Box::new(Message {
        level: finding.level,
        direction,
        path,
        keyword: finding.keyword.to_owned(),
        messages: messages.len(),
        within: within.text,
        decision: finding.decision,
        witness: finding.witness,
        body,
        is_plain,
    }));
    // Operations of two APIs may have equal keys, and webhooks have none.
    change.bound = format!("{api}\n{}", within.bound);
    change
}

/// Operation of an API, as plans show it.
pub(crate) fn routed(gateway: &ir::Gateway, api: &str, key: &str) -> Option<OperationRef> {
    let api = gateway.apis.get(api)?;
    Some(reference(api, api.operations.get(key)?))
}
