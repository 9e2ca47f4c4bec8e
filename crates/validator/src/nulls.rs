//! Containment of schemas with `nullable` (OpenAPI 3.0).

use bundle::ir::Value;

use crate::contain::{ContainmentCheck, is_assertion, names};

impl<'a> ContainmentCheck<'a> {
    /// True if a schema without `nullable` accepts `null`: `type` and `enum`, if present, allow
    /// `null`, and no other keyword refuses it.
    pub(crate) fn accepts_null(&self, wide: &'a Value) -> bool {
        let tables = self.tables();
        let mut asserted = wide
            .entries()
            .iter()
            .filter(|(key, value)| is_assertion(key, self.wide(value)));
        asserted.all(|(key, value)| match &**key {
            "type" => names(tables[0], value).contains("null"),
            "enum" => self.wide(value).items().contains(&Value::Null),
            // These keywords have no effect on `null`.
            "minimum"
            | "maximum"
            | "exclusiveMinimum"
            | "exclusiveMaximum"
            | "multipleOf"
            | "minLength"
            | "maxLength"
            | "pattern"
            | "format"
            | "items"
            | "minItems"
            | "maxItems"
            | "uniqueItems"
            | "properties"
            | "required"
            | "additionalProperties"
            | "minProperties"
            | "maxProperties"
            | "x-limits" => true,
            _ => false,
        })
    }
}
