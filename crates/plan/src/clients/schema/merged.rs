//! Merges the members of `allOf` that only describe properties. A schema that one side writes with
//! `allOf` and the other side without it is then compared property by property.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::Value;
use model::contract::joint::Joint;

use super::view;

/// Maximum nesting of `allOf` that is merged.
const DEPTH_MAX: usize = 8;
/// Maximum number of members that are merged into one schema. A member can occur many times on each
/// level.
const MEMBERS_MAX: usize = 256;

/// Properties that a schema describes, and those that it requires.
#[derive(Default)]
struct Object {
    is_object: bool,
    properties: BTreeMap<Box<str>, Value>,
    required: BTreeSet<Value>,
    others: BTreeMap<Box<str>, Value>,
    /// Number of schemas added.
    members: usize,
}

/// Returns both schemas. If only one of them has `allOf`, returns an equivalent schema without
/// `allOf` in its place, if there is one.
pub(super) fn of(joint: &Joint, old: Value, new: Value) -> (Value, Value) {
    let has = |schema: &Value| schema.get("allOf").is_some();
    match (has(&old), has(&new)) {
        (true, false) => (merged(joint, &old).unwrap_or(old), new),
        (false, true) => {
            let is = merged(joint, &new).unwrap_or(new);
            (old, is)
        }
        _ => (old, new),
    }
}

/// Schema without `allOf`. `None` if a member has keywords other than `type`, `properties` and
/// `required`, or if two members describe a property differently.
fn merged(joint: &Joint, schema: &Value) -> Option<Value> {
    let mut all = Object::default();
    all.add(joint, schema, 0)?;
    let mut entries: Vec<(Box<str>, Value)> = all.others.into_iter().collect();
    if all.is_object {
        entries.push(("type".into(), Value::Text("object".into())));
    }
    if !all.properties.is_empty() {
        let properties = all.properties.into_iter().collect();
        entries.push(("properties".into(), Value::Map(properties)));
    }
    if !all.required.is_empty() {
        entries.push((
            "required".into(),
            Value::Set(all.required.into_iter().collect()),
        ));
    }
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    Some(Value::Map(entries))
}

impl Object {
    /// Adds the properties of a schema and of the members of its `allOf`.
    fn add(&mut self, joint: &Joint, schema: &Value, depth: usize) -> Option<()> {
        self.members += 1;
        if depth > DEPTH_MAX || self.members > MEMBERS_MAX {
            return None;
        }
        let schema = view::of(joint, schema);
        let Value::Map(entries) = &schema else {
            return None;
        };
        for (key, value) in entries {
            let value = joint.at(value);
            match &**key {
                "type" if *value == Value::Text("object".into()) => self.is_object = true,
                "properties" => self.describe(joint, value)?,
                "required" => self.required.extend(value.items().iter().cloned()),
                "allOf" => {
                    for member in value.items() {
                        self.add(joint, joint.at(member), depth + 1)?;
                    }
                }
                // Keywords that have an effect only at the schema itself.
                key if depth == 0 && view::is_annotation(key) => {
                    self.others.insert(key.into(), value.clone());
                }
                _ => return None,
            }
        }
        Some(())
    }

    fn describe(&mut self, joint: &Joint, properties: &Value) -> Option<()> {
        for (name, schema) in properties.entries() {
            match self.properties.get(name) {
                Some(known) if !joint.same(known, schema) => return None,
                Some(_) => {}
                None => {
                    self.properties.insert(name.clone(), schema.clone());
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bundle::ir::{Contract, Set};

    /// Schemas in which each level names the next one `width` times in `allOf`.
    fn levels(count: u32, width: usize) -> Vec<Value> {
        let all = |next: u32| Value::List(vec![Value::Node(next); width]);
        let all = (1..=count).map(|next| Value::Map(vec![("allOf".into(), all(next))]));
        let object = Value::Map(vec![("type".into(), Value::Text("object".into()))]);
        all.chain([object]).collect()
    }

    fn contract(schemas: Vec<Value>) -> Contract {
        Contract {
            name: String::new(),
            operations: Set::default(),
            outgoing: Set::default(),
            schemas,
            names_only: false,
        }
    }

    fn is_merged(schemas: Vec<Value>) -> bool {
        let joint = Joint::new(&contract(schemas), &contract(Vec::new()));
        merged(&joint, joint.node(0)).is_some()
    }

    #[test]
    fn shared_members_take_bounded_steps() {
        assert!(is_merged(levels(DEPTH_MAX as u32, 1)));
        assert!(is_merged(levels(3, 4)));
        // 100 members on each of eight levels: 10^16 paths.
        assert!(!is_merged(levels(DEPTH_MAX as u32, 100)));
    }
}
