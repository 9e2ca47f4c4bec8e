//! Schemas that no finite value satisfies, because each valid value would have to contain a valid
//! value of the same schema.
//!
//! A schema *demands* other schemas: the schemas of required properties, the schema of the items of
//! a non-empty list, all schemas of `allOf`, and one schema of `anyOf`. A schema has a finite value
//! if each of its demands has a finite value. The schemas with finite values are the least fixed
//! point over all reachable schemas.

use diag::{NodeId, NodeRef, Span};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Schemas, number};
use crate::spec::Version;
use crate::spec::reference::reference;

/// Demand of a keyword: at least one schema of `any` must accept a finite value, that is, a value
/// without endless nesting.
struct Demand {
    keyword: Span,
    any: Vec<NodeId>,
}

/// Cycles of schemas without finite values that were found so far. From each schema, the search
/// follows the first demand without a finite value. Each path therefore ends in exactly one cycle,
/// and each schema is walked once.
#[derive(Default)]
pub(super) struct Circles {
    walked: FxHashSet<NodeId>,
    /// Cycles, by their first schema in the source. The cycle begins with that schema.
    by_first: FxHashMap<NodeId, Vec<Span>>,
}

/// Implements [`Schemas::endless`]. Returns a cycle only for its first schema in the source, so
/// that each cycle is reported once.
pub(super) fn circle<'a>(schemas: &Schemas<'_, 'a>, schema: NodeRef<'a>) -> Option<Vec<Span>> {
    if is_finite(schemas, schema) {
        return None;
    }
    let mut circles = schemas.circles.borrow_mut();
    let mut path: Vec<(NodeId, Span)> = Vec::new();
    let mut at: FxHashMap<NodeId, usize> = FxHashMap::default();
    let mut node = schema;
    while circles.walked.insert(node.id()) {
        let endless = |id: &NodeId| schemas.finite.borrow().get(id) == Some(&false);
        let demand = demands(schemas, node)
            .into_iter()
            .find(|demand| demand.any.iter().all(endless))?;
        at.insert(node.id(), path.len());
        path.push((node.id(), demand.keyword));
        node = schemas.resolver.node(*demand.any.first()?);
    }
    // If the path leads to a schema of an earlier walk, the cycle at the end of the path is already
    // known.
    if let Some(start) = at.get(&node.id()) {
        let mut round = path.split_off(*start);
        let place = |(id, _): &(NodeId, Span)| schemas.resolver.node(*id).span();
        let first = (0..round.len()).min_by_key(|index| place(&round[*index]))?;
        round.rotate_left(first);
        let keywords = round.iter().map(|(_, keyword)| *keyword).collect();
        circles.by_first.insert(round[0].0, keywords);
    }
    circles.by_first.get(&schema.id()).cloned()
}

fn is_finite<'a>(schemas: &Schemas<'_, 'a>, schema: NodeRef<'a>) -> bool {
    if let Some(known) = schemas.finite.borrow().get(&schema.id()) {
        return *known;
    }
    // Most schemas demand nothing.
    if demands(schemas, schema).is_empty() {
        schemas.finite.borrow_mut().insert(schema.id(), true);
        return true;
    }
    let mut reached: FxHashMap<NodeId, Vec<Demand>> = FxHashMap::default();
    let mut order: Vec<NodeId> = Vec::new();
    let mut waiting = vec![schema.id()];
    while let Some(id) = waiting.pop() {
        if reached.contains_key(&id) || schemas.finite.borrow().contains_key(&id) {
            continue;
        }
        let found = demands(schemas, schemas.resolver.node(id));
        waiting.extend(found.iter().flat_map(|demand| demand.any.iter().copied()));
        reached.insert(id, found);
        order.push(id);
    }
    let mut demanded_by: FxHashMap<NodeId, Vec<NodeId>> = FxHashMap::default();
    for id in &order {
        for part in reached[id].iter().flat_map(|demand| &demand.any) {
            demanded_by.entry(*part).or_default().push(*id);
        }
    }
    let mut finite: FxHashSet<NodeId> = FxHashSet::default();
    let mut waiting = order.clone();
    while let Some(id) = waiting.pop() {
        let known = schemas.finite.borrow();
        let has = |id: &NodeId| finite.contains(id) || known.get(id) == Some(&true);
        if !has(&id) && reached[&id].iter().all(|demand| demand.any.iter().any(has)) {
            finite.insert(id);
            waiting.extend(demanded_by.get(&id).into_iter().flatten().copied());
        }
    }
    let mut known = schemas.finite.borrow_mut();
    known.extend(order.iter().map(|id| (*id, finite.contains(id))));
    finite.contains(&schema.id())
}

/// Demands of a schema that apply to each of its values.
fn demands<'a>(schemas: &Schemas<'_, 'a>, schema: NodeRef<'a>) -> Vec<Demand> {
    let mut demands = Vec::new();
    let mut demand = |keyword: Span, any: Vec<NodeId>| {
        if !any.is_empty() {
            demands.push(Demand { keyword, any });
        }
    };
    let one = |node: NodeRef<'a>| vec![node.id()];
    if let Some(text) = reference(schema) {
        // A broken or circular chain is reported by another check.
        if schemas.resolver.resolve(schema).is_some()
            && let Ok(target) = schemas.resolver.target(text)
        {
            demand(text.span(), one(target));
        }
        if schemas.version == Version::V30 {
            return demands;
        }
    }
    // Keywords that end the nesting: only 3.0 has `nullable`, and only later versions `const`.
    let ends = match schemas.version {
        Version::V30 => schema.get("nullable").and_then(NodeRef::as_bool) == Some(true),
        Version::V31 | Version::V32 => schema.get("const").is_some(),
    };
    if ends || schema.get("enum").is_some() {
        return Vec::new();
    }
    for (entry, argument) in schema.entries() {
        match &*entry.key {
            "allOf" => argument
                .items()
                .for_each(|all| demand(all.span(), one(all))),
            "anyOf" | "oneOf" => {
                demand(entry.key_span, argument.items().map(NodeRef::id).collect())
            }
            "required" if is_only(schema, "object") => {
                for name in argument.items() {
                    let properties = schema.get("properties");
                    let property =
                        properties.and_then(|all| schemas.resolver.child(all, name.as_str()?));
                    if let Some(property) = property {
                        demand(name.span(), one(property));
                    }
                }
            }
            "items" if is_only(schema, "array") && !argument.is_list() => {
                let least = schema.get("minItems").and_then(number::count);
                if least.is_some_and(|least| least >= 1.0) && schema.get("prefixItems").is_none() {
                    demand(entry.key_span, one(argument));
                }
            }
            _ => {}
        }
    }
    demands
}

/// True if all values of a schema have this type.
fn is_only(schema: NodeRef<'_>, name: &str) -> bool {
    schema.get("type").is_some_and(|kind| {
        let mut listed = kind.items();
        kind.as_str() == Some(name)
            || listed.len() == 1 && listed.next().and_then(NodeRef::as_str) == Some(name)
    })
}
