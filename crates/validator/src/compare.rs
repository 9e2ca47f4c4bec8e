//! Comparison of two descriptions of requests: decides if one accepts all requests of the other.
//!
//! The comparison is sound and not complete: `true` is certain, and `false` means that containment
//! could not be shown. Schemas are compared keyword by keyword. The containment of schemas that are
//! being compared is assumed (coinduction), so that recursive schemas end.

use std::collections::BTreeSet;

use bundle::ir::{Body, Parameter, ParameterPlace, Value};

use crate::cone::Cone;

/// True if each request that matches `old` was shown to match `new`.
#[must_use]
pub fn accepts_all(new: &Cone, old: &Cone) -> bool {
    let mut comparing = Comparing {
        wide: &new.schemas,
        narrow: &old.schemas,
        assumed: BTreeSet::new(),
        steps: 0,
    };
    comparing.parameters(&new.operation.parameters, &old.operation.parameters)
        && comparing.bodies(new.operation.body.as_ref(), old.operation.body.as_ref())
}

/// Maximum number of compared pairs of schemas.
const STEPS_MAX: u32 = 100_000;

struct Comparing<'a> {
    /// Schemas of the new description, which must accept everything that the old one accepts.
    wide: &'a [Value],
    narrow: &'a [Value],
    assumed: BTreeSet<(u32, u32)>,
    steps: u32,
}

static ANY: Value = Value::Bool(true);

impl<'a> Comparing<'a> {
    fn parameters(&mut self, wide: &'a [Parameter], narrow: &'a [Parameter]) -> bool {
        // Compare path parameters by position, because their names have no meaning.
        let mut in_path = narrow
            .iter()
            .filter(|one| one.place == ParameterPlace::Path);
        wide.iter().all(|one| {
            let other = match one.place {
                ParameterPlace::Path => in_path.next(),
                place => narrow
                    .iter()
                    .find(|other| other.place == place && other.name == one.name),
            };
            match other {
                None => {
                    !one.required
                        && one
                            .says
                            .get("schema")
                            .is_none_or(|schema| self.is_any(schema))
                        && one.says.get("content").is_none()
                }
                Some(other) => {
                    let same = |key: &str| one.says.get(key) == other.says.get(key);
                    let schema = |says: &'a Value| says.get("schema").unwrap_or(&ANY);
                    (!one.required || other.required)
                        && ["style", "explode", "allowEmptyValue"]
                            .into_iter()
                            .all(same)
                        && match (one.says.get("content"), other.says.get("content")) {
                            (None, None) => self.holds(schema(&one.says), schema(&other.says)),
                            (Some(wide), Some(narrow)) => self.same(wide, narrow),
                            _ => false,
                        }
                }
            }
        })
    }

    fn bodies(&mut self, wide: Option<&'a Body>, narrow: Option<&'a Body>) -> bool {
        let (wide, narrow) = match (wide, narrow) {
            (None, _) => return true,
            (Some(_), None) => return false,
            (Some(wide), Some(narrow)) => (wide, narrow),
        };
        if wide.required && !narrow.required {
            return false;
        }
        // A media type of one side may be a range that the other does not have.
        let names = |body: &'a Body| body.media_types.iter().map(|one| &one.name);
        if !names(narrow).all(|name| wide.media_types.get(name).is_some()) {
            return false;
        }
        let added = names(wide).any(|name| narrow.media_types.get(name).is_none());
        if added && names(wide).any(|name| name.contains('*') || name.contains(';')) {
            return false;
        }
        narrow.media_types.iter().all(|one| {
            let wide = wide.media_types.get(&one.name).map(|wide| &wide.says);
            let wide = wide.unwrap_or(&ANY);
            let same = |this: &mut Self, key: &str| match (wide.get(key), one.says.get(key)) {
                (None, None) => true,
                (Some(wide), Some(narrow)) => this.same(wide, narrow),
                _ => false,
            };
            match (wide.get("schema"), one.says.get("schema")) {
                (None, _) => true,
                (Some(schema), None) => self.is_any(schema),
                (Some(wide), Some(narrow)) => self.holds(wide, narrow),
            }
            .then_some(())
            .is_some_and(|()| same(self, "encoding"))
        })
    }

    fn wide(&self, value: &'a Value) -> &'a Value {
        resolved(self.wide, value)
    }

    fn narrow(&self, value: &'a Value) -> &'a Value {
        resolved(self.narrow, value)
    }

    /// True if a schema of the new description accepts every value.
    fn is_any(&self, schema: &'a Value) -> bool {
        match self.wide(schema) {
            Value::Bool(value) => *value,
            Value::Map(entries) => entries.iter().all(|(key, _)| !is_assertion(key)),
            _ => false,
        }
    }

    /// True if `wide` was shown to accept all values of `narrow`.
    fn holds(&mut self, wide: &'a Value, narrow: &'a Value) -> bool {
        if self.is_any(wide) || *self.narrow(narrow) == Value::Bool(false) {
            return true;
        }
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return false;
        }
        if let (Value::Node(one), Value::Node(other)) = (wide, narrow)
            && !self.assumed.insert((*one, *other))
        {
            return true;
        }
        self.holds_here(wide, narrow)
    }

    /// Result of [`Self::holds`] for one of several attempts to show containment. A failed attempt
    /// discards its assumptions.
    fn tries(&mut self, wide: &'a Value, narrow: &'a Value) -> bool {
        let before = self.assumed.clone();
        let held = self.holds(wide, narrow);
        if !held {
            self.assumed = before;
        }
        held
    }

    fn holds_here(&mut self, wide: &'a Value, narrow: &'a Value) -> bool {
        let (wide_map, narrow_map) = (self.wide(wide), self.narrow(narrow));
        // A wide schema without entries is `false` here and accepts no value. A narrow schema
        // without entries accepts every value.
        if wide_map.entries().is_empty() {
            return false;
        }
        // A nullable schema is compared only with a nullable one.
        let nullable = |value: &Value| value.get("nullable") == Some(&Value::Bool(true));
        if nullable(narrow_map) && !nullable(wide_map) {
            return false;
        }
        for (key, value) in wide_map.entries() {
            if is_assertion(key) && !self.implied(key, value, wide_map, narrow_map) {
                return false;
            }
        }
        true
    }

    /// True if every value that the narrow schema accepts satisfies this keyword of the wide
    /// schema.
    fn implied(&mut self, key: &str, value: &'a Value, wide: &'a Value, narrow: &'a Value) -> bool {
        let own = narrow.get(key);
        match key {
            "type" => {
                let allowed = names(self.wide, value);
                let Some(own) = own else { return false };
                let fits = |name: &&str| {
                    allowed.contains(name) || *name == "integer" && allowed.contains("number")
                };
                names(self.narrow, own).iter().all(fits)
            }
            "enum" | "const" => {
                let list = |table: &'a [Value], key: &str, value: &'a Value| match key {
                    "enum" => resolved(table, value).items().iter().collect(),
                    _ => vec![value],
                };
                let allowed = list(self.wide, key, value);
                let own = match (narrow.get("enum"), narrow.get("const")) {
                    (Some(values), _) => list(self.narrow, "enum", values),
                    (None, Some(value)) => vec![value],
                    (None, None) => return false,
                };
                own.iter()
                    .all(|own| allowed.iter().any(|one| self.same(one, own)))
            }
            "required" => {
                let own = own.map(|own| names(self.narrow, own)).unwrap_or_default();
                names(self.wide, value).is_subset(&own)
            }
            "minimum" | "minLength" | "minItems" | "minProperties" => bound(self.wide(value))
                .zip(own.and_then(|own| bound(self.narrow(own))))
                .is_some_and(|(least, own)| least <= own),
            "maximum" | "maxLength" | "maxItems" | "maxProperties" => bound(self.wide(value))
                .zip(own.and_then(|own| bound(self.narrow(own))))
                .is_some_and(|(most, own)| own <= most),
            "items" => {
                let both = |value: &Value| value.items().is_empty();
                let own = own.unwrap_or(&ANY);
                both(self.wide(value)) && both(self.narrow(own)) && self.holds(value, own)
            }
            "properties" => {
                let rest = narrow.get("additionalProperties").unwrap_or(&ANY);
                let patterned = narrow.get("patternProperties").is_some();
                let all = own.map(|own| self.narrow(own));
                let entries = self.wide(value).entries();
                entries
                    .iter()
                    .all(|(name, schema)| match all.and_then(|all| all.get(name)) {
                        Some(own) => {
                            self.read_only(schema) == self.read_only_narrow(own)
                                && self.holds(schema, own)
                        }
                        None => !patterned && !self.read_only(schema) && self.holds(schema, rest),
                    })
            }
            "additionalProperties" => {
                let patterns = |value: &Value| value.get("patternProperties").is_some();
                if patterns(wide) || patterns(narrow) {
                    return false;
                }
                let known = wide.get("properties").map(|all| self.wide(all));
                let rest = own.unwrap_or(&ANY);
                let named = narrow
                    .get("properties")
                    .map(|all| self.narrow(all).entries());
                let mut named = named.unwrap_or_default().iter();
                self.holds(value, rest)
                    && named.all(|(name, own)| {
                        known.is_some_and(|known| known.get(name).is_some())
                            || self.holds(value, own)
                    })
            }
            "allOf" => {
                let parts = self.wide(value).items();
                parts.iter().all(|part| self.some_part_holds(part, narrow))
            }
            "$ref" => self.some_part_holds(value, narrow),
            "anyOf" => {
                let choices = self.wide(value).items();
                let alternatives = ["anyOf", "oneOf"].into_iter();
                let mut alternatives = alternatives.filter_map(|key| narrow.get(key));
                alternatives.any(|own| {
                    let own = self.narrow(own).items();
                    own.iter()
                        .all(|own| choices.iter().any(|choice| self.tries(choice, own)))
                })
            }
            // Equal keywords are contained. For others, containment is not shown.
            _ => own.is_some_and(|own| self.same(value, own)),
        }
    }

    /// True if a schema accepts all values that match `narrow`, or one of its `allOf`.
    fn some_part_holds(&mut self, wide: &'a Value, narrow: &'a Value) -> bool {
        if self.tries(wide, narrow) {
            return true;
        }
        let parts = ["allOf", "$ref"]
            .into_iter()
            .filter_map(|key| narrow.get(key));
        let parts: Vec<&'a Value> = parts
            .flat_map(|part| match part {
                Value::List(items) | Value::Set(items) => items.iter().collect(),
                part => vec![part],
            })
            .collect();
        parts.into_iter().any(|part| self.tries(wide, part))
    }

    fn read_only(&self, schema: &'a Value) -> bool {
        self.wide(schema).get("readOnly") == Some(&Value::Bool(true))
    }

    fn read_only_narrow(&self, schema: &'a Value) -> bool {
        self.narrow(schema).get("readOnly") == Some(&Value::Bool(true))
    }

    /// True if two values are equal, with the schemas to which they refer.
    fn same(&mut self, wide: &'a Value, narrow: &'a Value) -> bool {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return false;
        }
        match (wide, narrow) {
            (Value::Node(one), Value::Node(other)) => {
                // Compare the cones, because the assumption of containment does not imply equality.
                let cone = |table: &'a [Value], node: u32| cone(table, node);
                cone(self.wide, *one) == cone(self.narrow, *other)
            }
            (Value::List(one), Value::List(other)) | (Value::Set(one), Value::Set(other)) => {
                one.len() == other.len()
                    && one
                        .iter()
                        .zip(other)
                        .all(|(one, other)| self.same(one, other))
            }
            (Value::Map(one), Value::Map(other)) => {
                one.len() == other.len()
                    && one
                        .iter()
                        .zip(other)
                        .all(|((key, one), (name, other))| key == name && self.same(one, other))
            }
            (one, other) => one == other,
        }
    }
}

/// Nodes that a node reaches, renumbered by first visit.
fn cone(table: &[Value], node: u32) -> Vec<Value> {
    let mut order = vec![node];
    let mut reached = Vec::new();
    while let Some(node) = order.get(reached.len()).copied() {
        let mut number = |node: u32| {
            let known = order.iter().position(|one| *one == node);
            let index = known.unwrap_or_else(|| {
                order.push(node);
                order.len() - 1
            });
            u32::try_from(index).unwrap_or(u32::MAX)
        };
        let value = table.get(node as usize);
        reached.push(value.map_or(Value::Bool(true), |value| value.with_nodes(&mut number)));
    }
    reached
}

fn resolved<'a>(table: &'a [Value], value: &'a Value) -> &'a Value {
    match value {
        Value::Node(node) => table.get(*node as usize).unwrap_or(&ANY),
        value => value,
    }
}

/// True if a keyword may refuse values.
fn is_assertion(key: &str) -> bool {
    !matches!(
        key,
        "readOnly" | "writeOnly" | "nullable" | "discriminator" | "default" | "deprecated" | "xml"
    )
}

/// Names in a keyword's value: a string, or the strings of a list.
fn names<'a>(table: &'a [Value], value: &'a Value) -> BTreeSet<&'a str> {
    let text = |value: &'a Value| match resolved(table, value) {
        Value::Text(text) => Some(&**text),
        _ => None,
    };
    match resolved(table, value) {
        Value::List(items) | Value::Set(items) => items.iter().filter_map(text).collect(),
        value => text(value).into_iter().collect(),
    }
}

fn bound(value: &Value) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "equal bounds stay equal")]
        Value::Integer(value) => Some(*value as f64),
        Value::Decimal(text) => text.parse().ok(),
        _ => None,
    }
}
