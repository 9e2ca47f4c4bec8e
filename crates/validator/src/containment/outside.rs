//! Properties that an inner schema leaves to the schemas beside it.
//!
//! A client that knows `allOf: [{properties: {state}}, {properties: {note}}]` sends `state`, although
//! the second member does not describe it. If the second member is compared alone, no value has
//! `state` ([`super::described`]), so that a new `state` in it breaks nobody. This module finds such
//! properties. The outer schema has to be proved without the containment of the inner pair then.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::Value;
use serde_json::Value as Json;

use super::described::{Description, flattened};
use super::enclose::Position;
use super::question::Solve;

/// Maximum number of schemas that are read for one pair.
const SCHEMAS_MAX: usize = 4_096;
/// Maximum number of schemas that are read for all pairs.
pub(super) const ALL_SCHEMAS_MAX: usize = 400_000;
/// Maximum depth inside the value.
const DEPTH_MAX: usize = 16;

/// Keywords with which a schema can refuse properties that it does not name.
const UNNAMED: [&str; 6] = [
    "additionalProperties",
    "maxProperties",
    "minProperties",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
];

/// Properties that the narrow schema of an inner pair does not describe, that another schema of the
/// same value describes, and because of which the wide schema of the pair can refuse a value.
#[derive(Clone, Debug, Default)]
pub struct OutsideProperties<'a> {
    names: BTreeSet<&'a str>,
    /// The same for the values of properties, by the name of the property.
    properties: BTreeMap<&'a str, Self>,
    /// The same for the values of properties without a fixed name.
    any_property: Option<Box<Self>>,
    items: Option<Box<Self>>,
    /// True if the search ended at a limit.
    is_cut: bool,
}

/// Schemas of one value: those beside the inner pair, the narrow and the wide schema of the pair.
#[derive(Default)]
struct Schemas<'a> {
    beside: Vec<&'a Value>,
    narrow: Vec<&'a Value>,
    wide: Vec<&'a Value>,
}

/// Finds the properties. `outer`: the narrow schema that contains the inner pair at a position.
/// `left`: remaining number of schemas that are read for all pairs.
pub(super) fn find<'a>(
    solver: &dyn Solve<'a>,
    (outer, position): (&'a Value, Position<'_>),
    (narrow, wide): (&'a Value, &'a Value),
    left: &mut usize,
) -> OutsideProperties<'a> {
    let max = SCHEMAS_MAX.min(*left);
    let (all, is_cut) = flattened(solver, [outer], max);
    let beside = match position {
        Position::Name => return OutsideProperties::default(),
        Position::Whole => vec![outer],
        // No other schema describes the same property or item.
        _ if all.len() == 1 && !is_cut => return OutsideProperties::default(),
        Position::Property(name) => property(solver, &all, name),
        Position::AnyProperty => {
            let named = entries(solver, &all).map(|(_, schema)| schema);
            named.chain(unnamed(solver, &all)).collect()
        }
        Position::Item(_) => items(solver, &all),
    };
    let schemas = Schemas {
        beside,
        narrow: vec![narrow],
        wide: vec![wide],
    };
    let mut own_left = max;
    let found = inside(solver, schemas, (0, &mut own_left));
    *left -= max - own_left;
    found
}

fn inside<'a>(
    solver: &dyn Solve<'a>,
    schemas: Schemas<'a>,
    (depth, left): (usize, &mut usize),
) -> OutsideProperties<'a> {
    let mut found = OutsideProperties::default();
    let mut flat = |schemas: Vec<&'a Value>| {
        let (all, is_cut) = flattened(solver, schemas, *left);
        found.is_cut |= is_cut;
        *left -= all.len();
        all
    };
    let (narrow, wide) = (flat(schemas.narrow), flat(schemas.wide));
    let mut beside = flat(schemas.beside);
    let is_in = |all: &[&'a Value], one: &'a Value| all.iter().any(|own| std::ptr::eq(*own, one));
    beside.retain(|one| !is_in(&narrow, one));
    found.is_cut |= depth >= DEPTH_MAX;
    if found.is_cut || beside.is_empty() || wide.iter().all(|one| is_in(&narrow, one)) {
        return found;
    }
    let has = |all: &[&'a Value], key: &str| all.iter().any(|one| one.get(key).is_some());
    let refuses_unnamed = UNNAMED.iter().any(|key| has(&wide, key));
    // Such a schema refuses each property that it does not describe.
    let is_closed = |one: &&'a Value| one.get("additionalProperties") == Some(&Value::Bool(false));
    let is_closed = narrow.first().is_some_and(is_closed);
    let of = |all: &[&'a Value]| -> BTreeSet<&'a str> {
        let names = entries(solver, all).map(|(name, _)| name);
        names.chain(required(solver, all)).collect()
    };
    let (of_beside, of_wide) = (of(&beside), of(&wide));
    for name in of_beside.union(&of_wide).copied() {
        let description = |all: &[&'a Value]| Description::of(solver, all, name);
        let of_narrow = description(&narrow);
        if of_narrow.is_named {
            let schemas = Schemas {
                beside: description(&beside).schemas,
                narrow: of_narrow.schemas,
                wide: description(&wide).schemas,
            };
            let inner = inside(solver, schemas, (depth + 1, &mut *left));
            if !inner.is_empty() {
                found.properties.insert(name, inner);
            }
            continue;
        }
        let is_refused = refuses_unnamed || description(&wide).is_named;
        let is_beside = of_beside.contains(name) || description(&beside).is_named;
        if !is_closed && is_refused && is_beside {
            found.names.insert(name);
        }
    }
    let of = |find: fn(&dyn Solve<'a>, &[&'a Value]) -> Vec<&'a Value>| Schemas {
        beside: find(solver, &beside),
        narrow: find(solver, &narrow),
        wide: find(solver, &wide),
    };
    for (schemas, place) in [
        (of(unnamed), &mut found.any_property),
        (of(items), &mut found.items),
    ] {
        let inner = inside(solver, schemas, (depth + 1, &mut *left));
        *place = (!inner.is_empty()).then(|| Box::new(inner));
    }
    found
}

/// Names and schemas of `properties`.
fn entries<'s, 'a>(
    solver: &'s dyn Solve<'a>,
    all: &'s [&'a Value],
) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'s, 'a> {
    let all = all.iter().filter_map(|schema| schema.get("properties"));
    let all = all.flat_map(|entries| solver.at(entries).entries());
    all.map(|(name, schema)| (&**name, schema))
}

/// Names in `required`.
fn required<'s, 'a>(
    solver: &'s dyn Solve<'a>,
    all: &'s [&'a Value],
) -> impl Iterator<Item = &'a str> + use<'s, 'a> {
    let all = all.iter().filter_map(|schema| schema.get("required"));
    let all = all.flat_map(|names| solver.at(names).items());
    all.filter_map(|name| match name {
        Value::Text(name) => Some(&**name),
        _ => None,
    })
}

/// Schemas of one property.
fn property<'a>(solver: &dyn Solve<'a>, all: &[&'a Value], name: &str) -> Vec<&'a Value> {
    Description::of(solver, all, name).schemas
}

/// Schemas of properties without a fixed name.
fn unnamed<'a>(solver: &dyn Solve<'a>, all: &[&'a Value]) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for schema in all {
        found.extend(schema.get("additionalProperties"));
        found.extend(schema.get("unevaluatedProperties"));
        let patterned = schema.get("patternProperties").map(|all| solver.at(all));
        let patterned = patterned.map_or(&[][..], Value::entries);
        found.extend(patterned.iter().map(|(_, schema)| schema));
    }
    found
}

/// Schemas of items, at any index.
fn items<'a>(solver: &dyn Solve<'a>, all: &[&'a Value]) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for schema in all {
        for key in ["items", "additionalItems", "unevaluatedItems", "contains"] {
            found.extend(schema.get(key));
        }
        let listed = schema.get("prefixItems").map(|all| solver.at(all));
        found.extend(listed.map_or(&[][..], Value::items));
    }
    found
}

// === impl OutsideProperties ===

impl OutsideProperties<'_> {
    /// True if there is no such property, as was shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
            && self.properties.is_empty()
            && self.any_property.is_none()
            && self.items.is_none()
            && !self.is_cut
    }

    /// Value without these properties.
    pub(super) fn removed_from(&self, value: &Json) -> Json {
        match value {
            Json::Object(members) => {
                let kept = members.iter();
                let kept = kept.filter(|(name, _)| !self.names.contains(name.as_str()));
                let kept = kept.map(|(name, value)| {
                    let own = self.properties.get(name.as_str());
                    let inner = own.or(self.any_property.as_deref());
                    let value = inner.map_or_else(|| value.clone(), |one| one.removed_from(value));
                    (name.clone(), value)
                });
                Json::Object(kept.collect())
            }
            Json::Array(items) => {
                let items = items.iter().map(|item| match &self.items {
                    Some(inner) => inner.removed_from(item),
                    None => item.clone(),
                });
                Json::Array(items.collect())
            }
            other => other.clone(),
        }
    }
}
