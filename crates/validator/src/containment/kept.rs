//! Keywords that two schemas have with the same value. A value that matches one of the schemas
//! satisfies such a keyword of the other schema, so that it needs no proof.

use bundle::ir::Value;

use super::question::Solve;

/// Keywords whose effect other keywords of the same schema do not change, or only those in the
/// second list.
const KEYWORDS: [(&str, &[&str]); 15] = [
    ("anyOf", &[]),
    ("contentSchema", &["contentMediaType", "contentEncoding"]),
    ("contains", &["minContains", "maxContains"]),
    ("dependencies", &[]),
    ("dependentRequired", &[]),
    ("dependentSchemas", &[]),
    ("format", &[]),
    ("if", &["then", "else"]),
    ("multipleOf", &[]),
    ("not", &[]),
    ("oneOf", &["discriminator"]),
    ("pattern", &[]),
    ("patternProperties", &[]),
    ("propertyNames", &[]),
    ("x-limits", &[]),
];

/// Keywords that a schema of `flat` has with the same values: a keyword of `schema`, and those that
/// change its effect. `None` if no schema of `flat` has the keyword with the same effect.
pub(super) fn matched<'a, 's>(
    solver: &dyn Solve<'a>,
    flat: &[&'a Value],
    schema: &'a Value,
    (key, value): (&'s str, &'a Value),
) -> Option<Vec<&'s str>> {
    let (_, beside) = KEYWORDS.iter().find(|(keyword, _)| *keyword == key)?;
    let is_same = |own: &'a Value, key: &str| match (own.get(key), schema.get(key)) {
        (None, None) => true,
        (Some(one), Some(other)) => is_equal(solver, one, other),
        _ => false,
    };
    let is_matched = flat.iter().any(|own| {
        own.get(key)
            .is_some_and(|found| is_equal(solver, found, value))
            && beside.iter().all(|key| is_same(own, key))
    });
    is_matched.then(|| beside.iter().copied().chain([key]).collect())
}

/// True if two values of a keyword have the same meaning.
fn is_equal<'a>(solver: &dyn Solve<'a>, one: &'a Value, other: &'a Value) -> bool {
    match (one, other) {
        _ if std::ptr::eq(one, other) => true,
        (Value::Node(_), Value::Node(_)) => solver.id(one) == solver.id(other),
        (Value::List(one), Value::List(other)) => {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len() && pairs.all(|(one, other)| is_equal(solver, one, other))
        }
        (Value::Set(one), Value::Set(other)) => {
            // The order of a set has no meaning.
            let ids = |all: &'a [Value]| -> Option<Vec<u64>> {
                let ids = all.iter().map(|item| match item {
                    Value::Node(_) => Some(solver.id(item)),
                    _ => None,
                });
                let mut ids: Vec<u64> = ids.collect::<Option<_>>()?;
                ids.sort_unstable();
                Some(ids)
            };
            match (ids(one), ids(other)) {
                (Some(one), Some(other)) => one == other,
                _ => one == other,
            }
        }
        (Value::Map(one), Value::Map(other)) => {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len()
                && pairs.all(|(one, other)| one.0 == other.0 && is_equal(solver, &one.1, &other.1))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value as Json, json};

    use super::super::brute::{classes, node};
    use super::super::{Containment, Verdict};
    use crate::lower::Direction;

    fn decide(narrow: &Json, wide: &Json) -> Verdict {
        let mut table = Vec::new();
        let edges = (node(&mut table, narrow), node(&mut table, wide));
        let ranks = classes(&table);
        let class = |node: u32| ranks[node as usize];
        let containment = Containment::new(&table, &class, Direction::Request, (100_000, 10));
        containment.described().decide(&edges.0, &edges.1)
    }

    fn with(schema: &Json, further: Json) -> Json {
        let mut all = schema.as_object().expect("an object").clone();
        let further: Map<String, Json> = serde_json::from_value(further).expect("an object");
        all.extend(further);
        all.into()
    }

    /// Objects with keywords that a proof needs to understand only if they differ.
    fn objects() -> Vec<Json> {
        let object = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}});
        let need = |name: &str| json!({"required": [name]});
        let further = [
            json!({"dependentRequired": {"a": ["b"]}}),
            json!({"dependentSchemas": {"a": need("b")}}),
            json!({"if": need("a"), "then": need("b")}),
            json!({"patternProperties": {"^x-": {"type": "string"}}}),
            json!({"propertyNames": {"pattern": "^[a-z]+$"}}),
            json!({"not": {"required": ["a", "b"]}}),
            json!({"oneOf": [need("a"), need("b")]}),
            json!({"anyOf": [need("a"), need("b")]}),
            json!({"allOf": [{"dependentRequired": {"b": ["a"]}}], "minProperties": 1}),
        ];
        further.map(|one| with(&object, one)).into()
    }

    #[test]
    fn equal_keywords_need_no_proof() {
        for wide in objects() {
            let names =
                json!({"a": {"type": "string"}, "b": {"type": "string"}, "z": {"type": "integer"}});
            for narrow in [
                with(&wide, json!({"maxProperties": 50})),
                with(&wide, json!({"required": ["z"]})),
                with(&wide, json!({"minProperties": 1})),
                with(&wide, json!({"properties": names})),
                json!({"allOf": [wide, {"description": "d"}]}),
                json!({"allOf": [wide, {"maxProperties": 50}]}),
            ] {
                assert_eq!(
                    decide(&narrow, &wide),
                    Verdict::Contained,
                    "{narrow} in {wide}"
                );
            }
        }
    }

    #[test]
    fn keywords_with_other_effects_prove_nothing() {
        let closed = json!({"type": "object", "unevaluatedProperties": false});
        let object = |names: Json| json!({"type": "object", "properties": names, "additionalProperties": false});
        let items =
            |least: u8| json!({"type": "array", "contains": {"const": 1}, "minContains": least});
        let branch = |then: Json| json!({"if": {"required": ["a"]}, "then": then});
        let one = json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
        for (narrow, wide) in [
            (with(&closed, json!({"properties": {"a": {}}})), closed),
            (object(json!({"a": {}, "b": {}})), object(json!({"a": {}}))),
            (items(1), items(2)),
            (branch(json!({})), branch(json!({"required": ["b"]}))),
            (json!({"anyOf": one["oneOf"]}), one),
        ] {
            let verdict = decide(&narrow, &wide);
            assert!(
                matches!(verdict, Verdict::Refuted(_)),
                "{narrow} in {wide}: {verdict:?}"
            );
        }
    }
}
