//! Keywords of one type: the ways in which a value does not satisfy them, and the proof that no
//! value satisfies some keywords and does not satisfy others.

use bundle::ir::Value;

use super::array;
use super::number;
use super::object;
use super::solve::{Fact, Kind, Solver};
use super::value::length;

/// Schemas that do match, schemas that do not, and facts.
pub(super) type Way<'a> = (Vec<&'a Value>, Vec<&'a Value>, Vec<Fact<'a>>);

/// Values of one type: schemas that match, whose combining keywords were read, and facts.
pub(super) struct Leaf<'l, 'a> {
    pub(super) flat: &'l [&'a Value],
    pub(super) facts: &'l [Fact<'a>],
    /// True if the schemas may describe more properties.
    pub(super) is_partial: bool,
}

impl<'a> Leaf<'_, 'a> {
    /// True if no value is left.
    pub(super) fn is_empty(&self, solver: &mut Solver<'a>, kind: Kind) -> bool {
        match kind {
            Kind::Number => number::is_empty(self),
            Kind::String => self.is_no_string(),
            Kind::Array => array::is_empty(self, solver),
            Kind::Object => object::is_empty(self, solver),
        }
    }

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

    fn is_no_string(&self) -> bool {
        let (least, most) = self.lengths(["minLength", "maxLength"]);
        let has = |key: &str, value: &Value| {
            let mut all = self.flat.iter();
            all.any(|schema| schema.get(key) == Some(value))
        };
        least > most
            || self.facts.iter().any(|fact| match fact {
                Fact::Not("pattern", value) => has("pattern", value) || is_any_pattern(value),
                Fact::Not("format", value) => has("format", value),
                _ => false,
            })
    }
}

/// True for a pattern that is found in every text.
fn is_any_pattern(pattern: &Value) -> bool {
    matches!(pattern, Value::Text(text) if matches!(&**text, "" | ".*" | "^" | "$" | "^.*" | ".*$"))
}

/// Ways in which a value does not satisfy a keyword of its type. `None` stands for a way about which
/// nothing is known.
pub(super) fn facts<'a>(
    solver: &Solver<'a>,
    kind: Kind,
    schema: &'a Value,
    (key, value): (&'a str, &'a Value),
) -> Vec<Option<Way<'a>>> {
    let one = |fact| vec![Some((Vec::new(), Vec::new(), vec![fact]))];
    match (kind, key) {
        (
            Kind::Number,
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf",
        ) => number::facts(schema, (key, value)),
        (Kind::Number, "format") => match value {
            Value::Text(name) if crate::format::of_strings(name) => Vec::new(),
            _ => one(Fact::Not(key, value)),
        },
        (Kind::String, "format") => match value {
            // Formats of numbers have no effect on strings.
            Value::Text(name) if matches!(&**name, "int32" | "int64" | "float" | "double") => {
                Vec::new()
            }
            _ => one(Fact::Not(key, value)),
        },
        (Kind::String, "minLength" | "maxLength" | "pattern")
        | (Kind::Array, "minItems" | "maxItems")
        | (Kind::Object, "minProperties" | "maxProperties") => one(Fact::Not(key, value)),
        (Kind::Array, _) => array::facts(solver, schema, (key, value)),
        (Kind::Object, _) => object::facts(solver, schema, (key, value)),
        _ => Vec::new(),
    }
}
