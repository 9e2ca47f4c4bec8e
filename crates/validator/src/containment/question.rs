//! Questions about the values that some schemas accept and others refuse, and what is known of a
//! value in one case.

use bundle::ir::Value;

use crate::lower::Direction;

/// Length or number of items. `None` for any other value.
pub(super) fn length(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(value) => u64::try_from(*value).ok(),
        _ => None,
    }
}

/// Types of values. Values of other types are checked one by one: `null`, `true` and `false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    String,
    Array,
    Object,
}

/// Keyword that a value of the current type does not satisfy.
#[derive(Clone, Debug)]
pub(super) enum Fact<'a> {
    NotInteger,
    /// Keyword of a bound, a length, a pattern or a format, with its value.
    Not(&'a str, &'a Value),
    /// Below the bound, or above it, or equal to it.
    Outside(&'a str, &'a Value, bool),
    /// An item from this index on does not match.
    Item(usize, Option<usize>, &'a Value),
    /// No item matches `contains`.
    NoneContained(&'a Value),
    NotUnique,
    Missing(&'a str),
    Has(&'a str),
    Property(&'a str, &'a Value),
    /// A property that `properties` and `patternProperties` of this schema do not describe does not
    /// match.
    Additional(&'a Value, &'a Value),
    /// A property whose name matches the pattern does not match.
    Patterned(&'a str, &'a Value),
    /// The name of a property does not match.
    Name(&'a Value),
}

/// Schemas that do match, schemas that do not, and facts.
pub(super) type Way<'a> = (Vec<&'a Value>, Vec<&'a Value>, Vec<Fact<'a>>);

/// Values of one type: schemas that match, whose combining keywords were read, and facts.
pub(super) struct Leaf<'l, 'a> {
    pub(super) flat: &'l [&'a Value],
    pub(super) facts: &'l [Fact<'a>],
    /// True if the schemas may describe more properties.
    pub(super) is_partial: bool,
}

impl Leaf<'_, '_> {
    /// Smallest and largest length that the schemas and facts allow.
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
                    // No length is below 0.
                    None => return (1, 0),
                },
                Some(value) if *key == keys[1] => least = least.max(value.saturating_add(1)),
                _ => {}
            }
        }
        (least, most)
    }
}

/// Answers to questions about inner values.
pub(super) trait Solve<'a> {
    /// All schemas.
    fn nodes(&self) -> &'a [Value];

    fn direction(&self) -> Direction;

    /// True if values have only properties that a matching schema describes.
    fn is_described(&self) -> bool;

    /// Value to which an edge leads.
    fn at(&self, value: &'a Value) -> &'a Value;

    /// True if no value matches all schemas of `pos` and none of `neg`. False: not shown.
    fn is_empty(&mut self, pos: &[&'a Value], neg: &[&'a Value]) -> bool;

    /// The same for values of one type.
    fn is_empty_of(&mut self, kind: Kind, pos: &[&'a Value], neg: &[&'a Value]) -> bool;
}
