//! Types of the proofs that no value matches some schemas and violates others: facts about a value,
//! and the interface of the solver.

use bundle::ir::Value;

use super::measure::length;
use super::one_way::OneWay;
use super::value::Enums;

/// Types of values that facts describe. `null`, `true` and `false` are checked one by one instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    String,
    Array,
    Object,
}

/// Statement about a value of the current type, usually that the value violates a keyword.
#[derive(Clone, Debug)]
pub(super) enum Fact<'a> {
    NotInteger,
    /// The value violates this keyword (name, value): a length, `multipleOf`, a pattern or a
    /// format.
    Not(&'a str, &'a Value),
    /// The value violates a bound: name, bound, and true if the keyword also refuses the bound
    /// itself.
    Outside(&'a str, &'a Value, bool),
    /// An item does not match a schema: first index, end of the range if only one item is meant,
    /// schema.
    Item(usize, Option<usize>, &'a Value),
    /// No item matches this schema of `contains`.
    NoneContained(&'a Value),
    /// Fewer items than this number match this schema of `contains`.
    TooFewContained(&'a Value, u64),
    /// More items than this number match this schema of `contains`.
    TooManyContained(&'a Value, u64),
    NotUnique,
    Missing(&'a str),
    Has(&'a str),
    Property(&'a str, &'a Value),
    /// A property does not match the second schema. `properties` and `patternProperties` of the
    /// first schema do not describe the property.
    Additional(&'a Value, &'a Value),
    /// A property whose name matches the pattern does not match the schema.
    Patterned(&'a str, &'a Value),
    /// The name of a property does not match this schema of `propertyNames`.
    Name(&'a Value),
}

/// One reason for which a value violates a keyword: schemas that it matches, schemas that it does
/// not match, and facts about it.
pub(super) type Violation<'a> = (Vec<&'a Value>, Vec<&'a Value>, Vec<Fact<'a>>);

/// Set of the values of one type that match the schemas `flat` and satisfy the `facts`. Combining
/// keywords of `flat`, such as `allOf`, were resolved before.
pub(super) struct Leaf<'l, 'a> {
    pub(super) flat: &'l [&'a Value],
    pub(super) facts: &'l [Fact<'a>],
    /// True if `flat` may lack schemas that describe further properties.
    pub(super) is_partial: bool,
    /// Alternatives of schemas in `flat`, those in `flat` and others.
    pub(super) alternatives: &'l [&'a Value],
    /// Schemas of `not` and `if` in `flat`.
    pub(super) conditions: &'l [&'a Value],
}

impl Leaf<'_, '_> {
    /// Smallest and largest length that the schemas and facts allow. `keys`: names of the lower and
    /// upper bound, such as `minLength` and `maxLength`.
    pub(super) fn lengths(&self, keys: [&str; 2]) -> (u64, u64) {
        let of = |key: &str| -> Vec<u64> {
            let all = self.flat.iter().filter_map(|schema| schema.get(key));
            all.filter_map(length).collect()
        };
        let mut least = of(keys[0]).into_iter().max().unwrap_or(0);
        let mut most = of(keys[1]).into_iter().min().unwrap_or(u64::MAX);
        for fact in self.facts {
            let Fact::Not(key, value) = fact else {
                continue;
            };
            match length(value) {
                Some(value) if *key == keys[0] => match value.checked_sub(1) {
                    Some(below) => most = most.min(below),
                    // A length is never below 0, so the result is an empty range.
                    None => return (1, 0),
                },
                Some(value) if *key == keys[1] => least = least.max(value.saturating_add(1)),
                _ => {}
            }
        }
        (least, most)
    }
}

/// Interface of the solver for proofs about inner values, such as items and properties.
pub(super) trait Solve<'a> {
    /// All schemas.
    fn nodes(&self) -> &'a [Value];

    /// Literals of the long lists in `enum`. All proofs share this table.
    fn enums(&self) -> &Enums<'a>;

    /// Properties that messages of this direction do not contain.
    fn one_way(&self) -> &OneWay<'a>;

    /// Number of a schema. Schemas with the same meaning have the same number.
    fn id(&self, schema: &'a Value) -> u64;

    /// True if values are assumed to have only described properties ([`super::described`]).
    fn is_described(&self) -> bool;

    /// Returns the schema to which a reference ([`Value::Node`]) leads, or the value itself.
    fn at(&self, value: &'a Value) -> &'a Value;

    /// True if it was shown that no value matches all schemas of `pos` and none of `neg`.
    fn is_empty(&mut self, pos: &[&'a Value], neg: &[&'a Value]) -> bool;

    /// Like [`Self::is_empty`], for values that may also have properties that no schema describes.
    fn is_empty_of_any(&mut self, pos: &[&'a Value], neg: &[&'a Value]) -> bool;

    /// True if it was shown that no object matches all these schemas. The object may also have
    /// properties that no schema describes.
    fn is_no_object(&mut self, schemas: &[&'a Value]) -> bool;

    /// Like [`Self::is_empty`], for values of the type `kind` only.
    fn is_empty_of(&mut self, kind: Kind, pos: &[&'a Value], neg: &[&'a Value]) -> bool;
}

/// Names and values of a keyword whose value is a map, such as `properties`.
pub(super) fn entries<'a>(
    solver: &dyn Solve<'a>,
    schema: &'a Value,
    key: &str,
) -> &'a [(Box<str>, Value)] {
    let map = schema.get(key).map(|map| solver.at(map));
    map.map_or(&[], Value::entries)
}

/// Schema of a property in `properties`.
pub(super) fn property<'a>(
    solver: &dyn Solve<'a>,
    schema: &'a Value,
    name: &str,
) -> Option<&'a Value> {
    let mut all = entries(solver, schema, "properties").iter();
    all.find(|(key, _)| **key == *name).map(|(_, value)| value)
}
