//! Keywords of one type: the reasons for which a value does not satisfy a keyword, and the proof
//! that no value satisfies some keywords and violates others.

use bundle::ir::Value;

use super::question::{Fact, Kind, Leaf, Solve, Violation};
use super::{array, number, object};

/// True if no value of this type satisfies the schemas and the facts of a leaf.
pub(super) fn is_empty<'a>(leaf: &Leaf<'_, 'a>, solver: &mut dyn Solve<'a>, kind: Kind) -> bool {
    match kind {
        Kind::Number => number::is_empty(leaf),
        Kind::String => is_no_string(leaf),
        Kind::Array => array::is_empty(leaf, solver),
        Kind::Object => object::is_empty(leaf, solver),
    }
}

fn is_no_string(leaf: &Leaf<'_, '_>) -> bool {
    let (least, most) = leaf.lengths(["minLength", "maxLength"]);
    let has = |key: &str, value: &Value| {
        let mut all = leaf.flat.iter();
        all.any(|schema| schema.get(key) == Some(value))
    };
    least > most
        || leaf.facts.iter().any(|fact| match fact {
            Fact::Not("pattern", value) => has("pattern", value) || is_any_pattern(value),
            Fact::Not("format", value) => has("format", value),
            _ => false,
        })
}
/// True for a pattern that matches every text.
fn is_any_pattern(pattern: &Value) -> bool {
    matches!(pattern, Value::Text(text) if matches!(&**text, "" | ".*" | "^" | "$" | "^.*" | ".*$"))
}

/// Reasons for which a value does not satisfy a keyword of its type. `None`: a reason that cannot
/// be expressed as facts.
pub(super) fn facts<'a>(
    solver: &dyn Solve<'a>,
    kind: Kind,
    schema: &'a Value,
    (key, value): (&'a str, &'a Value),
) -> Vec<Option<Violation<'a>>> {
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
