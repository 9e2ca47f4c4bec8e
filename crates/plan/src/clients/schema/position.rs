//! Position of an inner pair of schemas in the outer pair.

use validator::containment::Position;

/// Position of an inner pair: `at` and `step` as in [`super::Child`]. `None` for a schema that does
/// not describe a part of the value, such as `not`.
pub(crate) fn position<'c>(at: &'c str, step: &'c str) -> Option<Position<'c>> {
    let (keyword, name) = match at.split_once('/') {
        Some((keyword, name)) => (keyword, Some(name)),
        None => (at, None),
    };
    match (keyword, name) {
        ("properties", Some(name)) => Some(Position::Property(name)),
        ("additionalProperties" | "patternProperties" | "unevaluatedProperties", _) => {
            Some(Position::AnyProperty)
        }
        ("items" | "contains" | "unevaluatedItems" | "additionalItems", _) => {
            Some(Position::Item(None))
        }
        ("prefixItems", _) => {
            let index = step.strip_prefix('[')?.strip_suffix(']')?;
            Some(Position::Item(Some(index.parse().ok()?)))
        }
        ("allOf" | "anyOf" | "oneOf" | "$ref" | "then" | "else" | "dependentSchemas", _) => {
            Some(Position::Whole)
        }
        ("propertyNames", _) => Some(Position::Name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_keyword() {
        for (at, step, expected) in [
            ("properties/a/b", ".a/b", Some("Property(\"a/b\")")),
            ("patternProperties/^x", ".*", Some("AnyProperty")),
            ("items", "[]", Some("Item(None)")),
            ("prefixItems", "[2]", Some("Item(Some(2))")),
            ("oneOf", "", Some("Whole")),
            ("propertyNames", ".*", Some("Name")),
            ("not", "", None),
        ] {
            let found = position(at, step).map(|position| format!("{position:?}"));
            assert_eq!(found.as_deref(), expected, "{at}");
        }
    }
}
