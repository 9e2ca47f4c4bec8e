//! Arrays: items by index, lengths, `contains` and `uniqueItems`.

use bundle::ir::Value;

use super::described;
use super::measure::length;
use super::question::{Fact, Leaf, Solve, Violation};

/// Schemas of the first items. A list in `items` is the form of older dialects.
fn prefix<'a>(solver: &dyn Solve<'a>, schema: &'a Value) -> &'a [Value] {
    let list = schema
        .get("prefixItems")
        .map(|list| solver.at(list).items());
    let items = schema
        .get("items")
        .filter(|items| matches!(items, Value::List(_)));
    list.or(items.map(Value::items)).unwrap_or_default()
}

/// Schema of the items after those that `prefixItems` (or a list in `items`) describes.
fn rest(schema: &Value) -> Option<&Value> {
    schema
        .get("items")
        .filter(|items| !matches!(items, Value::List(_)))
}

/// Reasons for which an array does not satisfy a keyword. `None`: a reason that cannot be expressed
/// as facts.
pub(super) fn facts<'a>(
    solver: &dyn Solve<'a>,
    schema: &'a Value,
    (key, value): (&'a str, &'a Value),
) -> Vec<Option<Violation<'a>>> {
    let one = |fact| Some((Vec::new(), Vec::new(), vec![fact]));
    match key {
        "prefixItems" | "items" if matches!(value, Value::List(_)) => {
            let items = value.items().iter().enumerate();
            items
                .map(|(at, item)| one(Fact::Item(at, Some(at), item)))
                .collect()
        }
        "items" => vec![one(Fact::Item(prefix(solver, schema).len(), None, value))],
        "uniqueItems" => vec![one(Fact::NotUnique)],
        "contains" => {
            let least = schema.get("minContains").map(length);
            let mut mismatches = Vec::new();
            match least {
                Some(Some(0)) => {}
                None | Some(Some(1)) => mismatches.push(one(Fact::NoneContained(value))),
                Some(Some(least)) => mismatches.push(one(Fact::TooFewContained(value, least))),
                Some(None) => mismatches.push(None),
            }
            match schema.get("maxContains").map(length) {
                Some(Some(most)) => mismatches.push(one(Fact::TooManyContained(value, most))),
                Some(None) => mismatches.push(None),
                None => {}
            }
            mismatches
        }
        "prefixItems" | "unevaluatedItems" => vec![None],
        _ => Vec::new(),
    }
}

/// True if no array satisfies the schemas and the facts of a leaf.
pub(super) fn is_empty<'a>(leaf: &Leaf<'_, 'a>, solver: &mut dyn Solve<'a>) -> bool {
    let (least, mut most) = leaf.lengths(["minItems", "maxItems"]);
    let flat = leaf.flat.iter();
    let longest = flat.map(|schema| prefix(solver, schema).len()).max();
    let longest = longest.unwrap_or(0);
    let item = |solver: &dyn Solve<'a>, at: usize| -> Vec<&'a Value> {
        let flat = leaf.flat.iter();
        let each = flat.filter_map(|schema| match prefix(solver, schema).get(at) {
            Some(item) => Some(item),
            None => rest(schema),
        });
        each.collect()
    };
    let none = leaf.facts.iter().filter_map(|fact| match fact {
        Fact::NoneContained(schema) => Some(*schema),
        _ => None,
    });
    let none: Vec<&'a Value> = none.collect();
    // An index at which no item is possible limits the length of the array.
    let lengths = usize::try_from(least)
        .unwrap_or(usize::MAX)
        .min(longest + 1);
    let needed = leaf.facts.iter().filter_map(|fact| match fact {
        Fact::Item(from, _, _) => Some(from + 1),
        _ => None,
    });
    let needed = needed.max().unwrap_or(0).min(longest + 1).max(lengths);
    for at in 0..needed {
        let items = item(solver, at);
        if (at as u64) < most && !items.is_empty() && none_matches(leaf, solver, &items, &none) {
            most = at as u64;
        }
    }
    if least > most {
        return true;
    }
    for schema in contained(leaf) {
        let lacks = (0..=longest).all(|at| {
            let mut items = item(solver, at);
            items.push(schema);
            at as u64 >= most || none_matches(leaf, solver, &items, &none)
        });
        if lacks {
            return true;
        }
    }
    leaf.facts.iter().any(|fact| match fact {
        Fact::NotUnique => {
            let mut flat = leaf.flat.iter();
            most < 2 || flat.any(|schema| schema.get("uniqueItems") == Some(&Value::Bool(true)))
        }
        Fact::TooFewContained(schema, needed) => leaf.flat.iter().any(|own| {
            let least = own.get("minContains").map_or(Some(1), length);
            let is_enough = least.is_some_and(|least| least >= *needed);
            own.get("contains")
                .is_some_and(|own| is_enough && solver.is_empty_of_any(&[own], &[schema]))
        }),
        Fact::TooManyContained(schema, limit) => {
            most <= *limit
                || leaf.flat.iter().any(|own| {
                    let most = own.get("maxContains").and_then(length);
                    let is_few = most.is_some_and(|most| most <= *limit);
                    own.get("contains")
                        .is_some_and(|own| is_few && solver.is_empty_of_any(&[schema], &[own]))
                })
        }
        Fact::Item(from, to, schema) => {
            let last = to.unwrap_or_else(|| longest.max(*from));
            (*from..=last).all(|at| {
                let mut others = none.clone();
                others.push(schema);
                let items = item(solver, at);
                at as u64 >= most || none_matches(leaf, solver, &items, &others)
            })
        }
        _ => false,
    })
}

/// Schemas of `contains` that at least one item must match.
fn contained<'a>(leaf: &Leaf<'_, 'a>) -> Vec<&'a Value> {
    let contained = leaf.flat.iter().filter(|schema| {
        let least = schema.get("minContains").map(length);
        least.is_none_or(|least| least.is_some_and(|least| least > 0))
    });
    contained
        .filter_map(|schema| schema.get("contains"))
        .collect()
}

/// True if no item of an array of the leaf matches all schemas of `pos` and none of `neg`.
fn none_matches<'a>(
    leaf: &Leaf<'_, 'a>,
    solver: &mut dyn Solve<'a>,
    pos: &[&'a Value],
    neg: &[&'a Value],
) -> bool {
    match described::is_any_open(leaf, solver) {
        true => solver.is_empty_of_any(pos, neg),
        false => solver.is_empty(pos, neg),
    }
}
