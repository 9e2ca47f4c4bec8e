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
    /// Number of schemas whose properties were added.
    members: usize,
}

/// Returns both schemas, with the members of nested `allOf` in one list. If only one of them has
/// `allOf`, returns an equivalent schema without `allOf` in its place, if there is one. So for both
/// schemas, if properties moved between members, or between the members and the schema itself.
pub(super) fn of(joint: &Joint, old: Value, new: Value) -> (Value, Value) {
    let (old, new) = (flattened(joint, old), flattened(joint, new));
    let has = |schema: &Value| schema.get("allOf").is_some();
    match (has(&old), has(&new)) {
        (true, false) => (merged(joint, &old).unwrap_or(old), new),
        (false, true) => {
            let is = merged(joint, &new).unwrap_or(new);
            (old, is)
        }
        (true, true) if is_moved(joint, &old, &new) => {
            match (merged(joint, &old), merged(joint, &new)) {
                (Some(was), Some(is)) => (was, is),
                _ => (old, new),
            }
        }
        _ => (old, new),
    }
}

fn members<'j>(joint: &'j Joint, schema: &'j Value) -> &'j [Value] {
    let list = schema.get("allOf").map(|list| joint.at(list).items());
    list.unwrap_or_default()
}

/// Schema in which the members of inner `allOf` are members of its own `allOf`. Unchanged if there
/// are too many.
fn flattened(joint: &Joint, schema: Value) -> Value {
    let mut all = Vec::new();
    let is_nested = |member: &Value| only_all_of(joint, member).is_some();
    let own = members(joint, &schema);
    if !own.iter().any(is_nested) || !collect(joint, own, 0, &mut all) {
        return schema;
    }
    let Value::Map(mut entries) = schema else {
        return schema;
    };
    for (key, value) in &mut entries {
        if &**key == "allOf" {
            *value = Value::Set(std::mem::take(&mut all));
        }
    }
    Value::Map(entries)
}

/// Members of the `allOf` of a schema that has no other keyword. `None` for other schemas.
fn only_all_of<'j>(joint: &'j Joint, schema: &'j Value) -> Option<&'j [Value]> {
    match joint.at(schema) {
        Value::Map(entries) => match &entries[..] {
            [(key, list)] if &**key == "allOf" => Some(joint.at(list).items()),
            _ => None,
        },
        _ => None,
    }
}

/// Adds members and those of inner `allOf` to a list. Returns false if there are too many.
fn collect(joint: &Joint, members: &[Value], depth: usize, all: &mut Vec<Value>) -> bool {
    members
        .iter()
        .all(|member| match only_all_of(joint, member) {
            Some(inner) => depth < DEPTH_MAX && collect(joint, inner, depth + 1, all),
            None => {
                all.push(member.clone());
                all.len() <= MEMBERS_MAX
            }
        })
}

/// Names of the properties that a schema describes.
fn names<'j>(joint: &'j Joint, schema: &'j Value) -> BTreeSet<&'j str> {
    let properties = joint.at(schema).get("properties");
    let entries = properties.map(|properties| joint.at(properties).entries());
    entries
        .unwrap_or_default()
        .iter()
        .map(|(name, _)| &**name)
        .collect()
}

/// True if properties may have moved between the members of both schemas, or between the members
/// and the schemas themselves. False if members were only added or removed, and if one member
/// replaces another one.
fn is_moved(joint: &Joint, old: &Value, new: &Value) -> bool {
    let (mut gone, mut come) = joint.unmatched(members(joint, old), members(joint, new));
    // A member with the same properties is the same member, with other schemas of properties.
    gone.retain(|old| {
        let same = come
            .iter()
            .position(|new| names(joint, old) == names(joint, new));
        same.map(|at| come.remove(at)).is_none()
    });
    let is_same = |key: &str| match (old.get(key), new.get(key)) {
        (None, None) => true,
        (Some(old), Some(new)) => joint.same(old, new),
        _ => false,
    };
    let is_inside = ["properties", "required", "oneOf", "anyOf", "not"]
        .into_iter()
        .all(is_same);
    match (gone.len(), come.len()) {
        (0, 0) => false,
        (1, 1) | (0, _) | (_, 0) => !is_inside,
        _ => true,
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

/// True for keywords of the schema itself that apply to merged members, too.
fn is_kept(key: &str) -> bool {
    view::is_annotation(key) || key == "unevaluatedProperties"
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
                key if depth == 0 && is_kept(key) => {
                    self.others.insert(key.into(), value.clone());
                }
                // Keywords whose effect is the same at each level.
                "oneOf" | "anyOf" | "not" if !self.others.contains_key(key) => {
                    self.others.insert(key.clone(), value.clone());
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
    fn flattened_members_take_bounded_steps() {
        let count = |schemas: Vec<Value>| {
            let joint = Joint::new(&contract(schemas), &contract(Vec::new()));
            let flat = flattened(&joint, joint.node(0).clone());
            members(&joint, &flat).len()
        };
        assert_eq!(count(levels(2, 3)), 9);
        // Unchanged: 100 members on each of eight levels.
        assert_eq!(count(levels(DEPTH_MAX as u32, 100)), 100);
    }

    #[test]
    fn shared_members_take_bounded_steps() {
        assert!(is_merged(levels(DEPTH_MAX as u32, 1)));
        assert!(is_merged(levels(3, 4)));
        // 100 members on each of eight levels: 10^16 paths.
        assert!(!is_merged(levels(DEPTH_MAX as u32, 100)));
    }
}
