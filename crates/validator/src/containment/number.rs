//! Numbers: exact intervals and multiples.

use std::collections::BTreeSet;

use bundle::ir::Value;

use super::measure::{ONE, exact};
use super::question::{Fact, Leaf, Violation};

/// Maximum number of values of an interval that are tried one by one.
const TRIED_MAX: i128 = 256;

/// True for `exclusiveMinimum: true` and `exclusiveMaximum: true` (OpenAPI 3.0), flags of `minimum`
/// and `maximum`.
fn is_flagged(schema: &Value, key: &str) -> bool {
    let flag = match key {
        "minimum" => "exclusiveMinimum",
        _ => "exclusiveMaximum",
    };
    schema.get(flag) == Some(&Value::Bool(true))
}

/// Reasons for which a number does not satisfy a keyword.
pub(super) fn facts<'a>(
    schema: &'a Value,
    (key, value): (&'a str, &'a Value),
) -> Vec<Option<Violation<'a>>> {
    if let Value::Bool(_) = value {
        return Vec::new();
    }
    let fact = match key {
        "multipleOf" => Fact::Not(key, value),
        "minimum" | "maximum" => Fact::Outside(key, value, is_flagged(schema, key)),
        _ => Fact::Outside(key, value, true),
    };
    vec![Some((Vec::new(), Vec::new(), vec![fact]))]
}

/// Numbers between two bounds. The boolean of a bound is true if the bound itself is excluded.
struct Interval {
    low: Option<(i128, bool)>,
    high: Option<(i128, bool)>,
}

impl Interval {
    fn at_least(&mut self, bound: (i128, bool)) {
        self.low = Some(self.low.map_or(bound, |own| own.max(bound)));
    }

    fn at_most(&mut self, (bound, excluded): (i128, bool)) {
        let stricter = |(own, own_excluded): (i128, bool)| match own.cmp(&bound) {
            std::cmp::Ordering::Less => (own, own_excluded),
            std::cmp::Ordering::Equal => (own, own_excluded || excluded),
            std::cmp::Ordering::Greater => (bound, excluded),
        };
        self.high = Some(self.high.map_or((bound, excluded), stricter));
    }

    fn contains(&self, value: i128) -> bool {
        let above = self
            .low
            .is_none_or(|(low, out)| value > low || value == low && !out);
        above
            && self
                .high
                .is_none_or(|(high, out)| value < high || value == high && !out)
    }

    fn is_empty(&self) -> bool {
        match (self.low, self.high) {
            (Some((low, a)), Some((high, b))) => low > high || low == high && (a || b),
            _ => false,
        }
    }
}

/// True if no number satisfies the schemas and the facts of a leaf.
pub(super) fn is_empty(leaf: &Leaf<'_, '_>) -> bool {
    let mut interval = Interval {
        low: None,
        high: None,
    };
    let mut step: Option<i128> = None;
    for schema in leaf.flat {
        positive(schema, &mut interval, &mut step);
    }
    let mut excluded = Excluded::default();
    for fact in leaf.facts {
        match fact {
            Fact::Outside(key, value, excluded) => {
                let Some(bound) = exact(value) else { continue };
                match *key {
                    "minimum" | "exclusiveMinimum" => interval.at_most((bound, !excluded)),
                    _ => interval.at_least((bound, !excluded)),
                }
            }
            Fact::NotInteger => excluded.multiples.push(ONE),
            Fact::Not("multipleOf", value) => excluded.multiples.extend(exact(value)),
            Fact::Not("const", value) => excluded.listed.extend(exact(value)),
            Fact::Not("enum", values) => {
                excluded
                    .listed
                    .extend(values.items().iter().filter_map(exact));
            }
            Fact::Not("format", value) if not_format(leaf, value, &interval) => return true,
            _ => {}
        }
    }
    interval.is_empty() || has_none(&interval, step, &excluded)
}

/// Numbers that violate no keyword.
#[derive(Default)]
struct Excluded {
    /// Multiples of each of these numbers.
    multiples: Vec<i128>,
    /// Values of `const` and `enum`.
    listed: BTreeSet<i128>,
}

impl Excluded {
    fn contains(&self, value: i128) -> bool {
        let mut multiples = self.multiples.iter();
        self.listed.contains(&value) || multiples.any(|one| *one > 0 && value % one == 0)
    }
}

/// Narrows an interval by the keywords of a schema. Also sets `step`, a number of which all values
/// of the schema are multiples.
fn positive(schema: &Value, interval: &mut Interval, step: &mut Option<i128>) {
    let bound = |key: &str| schema.get(key).and_then(exact);
    for (key, is_low) in [("minimum", true), ("maximum", false)] {
        if let Some(value) = bound(key) {
            let bound = (value, is_flagged(schema, key));
            if is_low {
                interval.at_least(bound);
            } else {
                interval.at_most(bound);
            }
        }
    }
    if let Some(value) = bound("exclusiveMinimum") {
        interval.at_least((value, true));
    }
    if let Some(value) = bound("exclusiveMaximum") {
        interval.at_most((value, true));
    }
    if let Some(Value::Text(name)) = schema.get("format")
        && let Some([least, most]) = crate::format::bounds(name)
    {
        interval.at_least((i128::from(least) * ONE, false));
        interval.at_most((i128::from(most) * ONE, false));
    }
    let is_integer = schema.get("type").is_some_and(|types| {
        let names = crate::contain::names(&[], types);
        names.contains("integer") && !names.contains("number")
    });
    for own in [is_integer.then_some(ONE), bound("multipleOf")]
        .into_iter()
        .flatten()
    {
        if own > 0 {
            *step = match *step {
                None => Some(own),
                Some(known) => (known / gcd(known, own)).checked_mul(own).or(Some(known)),
            };
        }
    }
}

/// True if every number that the schemas accept satisfies a format.
fn not_format(leaf: &Leaf<'_, '_>, format: &Value, interval: &Interval) -> bool {
    let Value::Text(name) = format else {
        return false;
    };
    let has = |name: &str| {
        let mut all = leaf.flat.iter();
        all.any(|schema| matches!(schema.get("format"), Some(Value::Text(own)) if **own == *name))
    };
    if has(name) || **name == *"double" && has("float") {
        return true;
    }
    let Some([least, most]) = crate::format::bounds(name) else {
        return false;
    };
    let bounds = [least, most].map(|bound| i128::from(bound) * ONE);
    let above = interval.low.is_some_and(|(low, _)| low >= bounds[0]);
    above && interval.high.is_some_and(|(high, _)| high <= bounds[1])
}

/// True if each number of the interval that is a multiple of `step` is excluded.
fn has_none(interval: &Interval, step: Option<i128>, excluded: &Excluded) -> bool {
    let Some(step) = step else {
        return match (interval.low, interval.high) {
            // The interval contains a single number.
            (Some((low, false)), Some((high, false))) if low == high => excluded.contains(low),
            _ => false,
        };
    };
    let mut multiples = excluded.multiples.iter();
    if multiples.any(|one| *one > 0 && step % one == 0) {
        return true;
    }
    let (Some((low, _)), Some((high, _))) = (interval.low, interval.high) else {
        return false;
    };
    let first = low.div_euclid(step);
    let last = high.div_euclid(step);
    last - first < TRIED_MAX
        && (first..=last).all(|count| {
            let value = count * step;
            !interval.contains(value) || excluded.contains(value)
        })
}

fn gcd(mut one: i128, mut other: i128) -> i128 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one.max(1)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::brute::node;
    use super::super::{Containment, Verdict};
    use crate::lower::Direction;

    /// An interval is in a list if each number of the interval is in the list.
    #[test]
    fn intervals_are_compared_with_lists() {
        for low in -1..3 {
            for high in low..4 {
                for chosen in 0..16_u32 {
                    let listed: Vec<i64> = (0..4).filter(|at| chosen & (1 << at) != 0).collect();
                    for even in [false, true] {
                        let mut narrow =
                            json!({"type": "integer", "minimum": low, "maximum": high});
                        if even {
                            narrow["multipleOf"] = 2.into();
                        }
                        let is_in = |value: i64| even && value % 2 != 0 || listed.contains(&value);
                        let expected = (low..=high).all(is_in);
                        let verdict = decide(&narrow, &json!({"enum": listed}));
                        assert_eq!(
                            verdict == Verdict::Contained,
                            expected,
                            "{narrow} {listed:?}"
                        );
                    }
                }
            }
        }
        let half = json!({"type": "number", "minimum": 1, "maximum": 2});
        assert!(matches!(
            decide(&half, &json!({"enum": [1, 2]})),
            Verdict::Refuted(_)
        ));
    }

    fn decide(narrow: &Json, wide: &Json) -> Verdict {
        let mut table = Vec::new();
        let edges = (node(&mut table, narrow), node(&mut table, wide));
        let class = |node: u32| node;
        let mut containment = Containment::new(&table, &class, Direction::Request, (100_000, 10));
        containment.decide(&edges.0, &edges.1)
    }
}
