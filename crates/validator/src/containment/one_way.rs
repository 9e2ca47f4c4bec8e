//! Properties that messages of one direction do not contain: `readOnly` in requests, `writeOnly` in
//! responses. `required` does not apply to such a property, even if another schema of the same
//! value requires it. The same schema can therefore accept more values beside other schemas.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use bundle::ir::Value;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::lower::{
    Direction, is_of_other_direction, node_number, other_direction_properties, resolved,
};

/// Maximum number of schemas that are read for one question.
const SCHEMAS_MAX: usize = 512;

/// Keywords whose schemas apply to the same value, and that always apply.
const ALWAYS: [&str; 2] = ["$ref", "allOf"];
/// Keywords whose schemas apply to the same value.
pub(super) const APPLIED: [&str; 9] = [
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
];

/// Keywords that describe items, and properties without a fixed name.
const OPEN: [&str; 8] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "items",
    "patternProperties",
    "prefixItems",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Schemas that refuse a value together: a schema, and the schemas around it that apply to the same
/// value. Starts with the innermost one.
pub(super) struct Context<'a> {
    schema: &'a Value,
    outer: Option<Rc<Self>>,
}

impl<'a> Context<'a> {
    /// Creates the context of a schema inside another one.
    pub(super) fn new(schema: &'a Value, outer: Option<Rc<Self>>) -> Rc<Self> {
        Rc::new(Self { schema, outer })
    }

    /// Schemas, starting with the innermost one.
    fn schemas(&self) -> impl Iterator<Item = &'a Value> {
        std::iter::successors(Some(self), |context| context.outer.as_deref())
            .map(|context| context.schema)
    }
}

/// Properties of a table that messages of one direction do not contain.
pub(super) struct OneWay<'a> {
    nodes: &'a [Value],
    direction: Direction,
    /// Names of such properties in any schema.
    all: OnceCell<FxHashSet<&'a str>>,
    /// Names of `all` that a schema requires at any depth, by the number of the node. `None`: too
    /// many schemas.
    required: Known<'a>,
    /// Names of `all` that a schema marks at any depth, by the number of the node.
    marked: Known<'a>,
}

/// Names by the number of a node.
type Known<'a> = RefCell<FxHashMap<u32, Option<Rc<FxHashSet<&'a str>>>>>;

impl<'a> OneWay<'a> {
    pub(super) fn new(nodes: &'a [Value], direction: Direction) -> Self {
        Self {
            nodes,
            direction,
            all: OnceCell::new(),
            required: RefCell::default(),
            marked: RefCell::default(),
        }
    }

    /// Names of properties that any schema of the table marks.
    pub(super) fn all(&self) -> &FxHashSet<&'a str> {
        self.all
            .get_or_init(|| other_direction_properties(self.nodes, self.direction))
    }

    /// Names that the schemas mark at any depth.
    pub(super) fn inside_of(&self, schemas: [&'a Value; 2]) -> FxHashSet<&'a str> {
        let marked = schemas.map(|schema| self.marked(schema));
        match marked {
            [Some(one), Some(other)] => one.union(&other).copied().collect(),
            _ => self.all().clone(),
        }
    }

    /// True for the schema of a property that messages do not contain.
    pub(super) fn is_absent(&self, schema: &Value) -> bool {
        is_of_other_direction(self.nodes, schema, self.direction.excluding_keyword())
    }

    /// True if one of these schemas, or a schema that it may apply to the same value, marks a
    /// property. Also true if that is not certain.
    pub(super) fn may_be_absent(&self, schemas: &[&'a Value], name: &str) -> bool {
        self.all().contains(name)
            && self
                .marks(schemas.iter().copied(), &APPLIED, name)
                .unwrap_or(true)
    }

    /// True if the schemas of a context certainly exempt a property from `required`.
    pub(super) fn is_exempt(&self, context: &Context<'a>, name: &str) -> bool {
        self.all().contains(name) && self.marks(context.schemas(), &ALWAYS, name) == Some(true)
    }

    /// True if `schemas`, which a value matches, may exempt a property from the `required` of
    /// `same` that `context` does not exempt. A value may then match `same` as a part of `schemas`,
    /// but not as a part of `context`. Without a context, the schema is inside `not` or `if`.
    pub(super) fn exempts_more(
        &self,
        schemas: &[&'a Value],
        same: &'a Value,
        context: Option<&Context<'a>>,
    ) -> bool {
        if self.all().is_empty() {
            return false;
        }
        let Some(required) = self.required(same) else {
            return true;
        };
        let is_deep = self.may_mark_inside(schemas, same);
        required.iter().any(|name| {
            let is_exempt = || {
                context.is_some_and(|context| {
                    self.marks([same], &APPLIED, name) == Some(true)
                        || self.is_exempt(context, name)
                })
            };
            let has = |schema: &'a Value, unknown: bool| {
                self.marked(schema)
                    .map_or(unknown, |marked| marked.contains(name))
            };
            let is_inside = || schemas.iter().any(|schema| has(schema, true));
            let is_inside_there = || {
                let mut all = context.into_iter().flat_map(Context::schemas);
                all.any(|schema| has(schema, false))
            };
            self.may_be_absent(schemas, name) && !is_exempt()
                || is_deep && is_inside() && !is_inside_there()
        })
    }

    /// True if `schemas` may mark properties inside the value of an item or property that `same`
    /// describes, too.
    fn may_mark_inside(&self, schemas: &[&'a Value], same: &'a Value) -> bool {
        let (Some(own), Some(all)) = (
            self.applied([same], &APPLIED),
            self.applied(schemas.iter().copied(), &APPLIED),
        ) else {
            return true;
        };
        let names = |schema: &'a Value| {
            let all = schema.get("properties");
            let all = all.map(|all| resolved(self.nodes, all).entries());
            all.unwrap_or_default().iter().map(|(name, _)| &**name)
        };
        let is_open = |schema: &&'a Value| OPEN.iter().any(|key| schema.get(key).is_some());
        let own_names: FxHashSet<&str> = own.iter().copied().flat_map(names).collect();
        let is_own_open = own.iter().any(is_open);
        let is_own = |schema: &&'a Value| own.iter().any(|known| std::ptr::eq(*known, *schema));
        all.into_iter()
            .filter(|schema| !is_own(schema))
            .any(|schema| {
                let mut names = names(schema);
                is_open(&schema) && (is_own_open || !own_names.is_empty())
                    || names.any(|name| is_own_open || own_names.contains(name))
            })
    }

    /// True if a schema, or a schema that it applies to the same value by one of the `keywords`,
    /// marks a property. `None`: too many schemas.
    fn marks(
        &self,
        schemas: impl IntoIterator<Item = &'a Value>,
        keywords: &[&str],
        name: &str,
    ) -> Option<bool> {
        let all = self.applied(schemas, keywords)?;
        let mut own = all.iter().filter_map(|schema| {
            let properties = schema.get("properties")?;
            resolved(self.nodes, properties).get(name)
        });
        Some(own.any(|own| self.is_absent(own)))
    }

    /// Schemas, and schemas that they apply to the same value by one of the `keywords`. `None`: too
    /// many schemas.
    fn applied(
        &self,
        schemas: impl IntoIterator<Item = &'a Value>,
        keywords: &[&str],
    ) -> Option<Vec<&'a Value>> {
        let mut waiting: Vec<&'a Value> = schemas.into_iter().collect();
        let mut seen: FxHashSet<*const Value> = FxHashSet::default();
        let mut found = Vec::new();
        while let Some(schema) = waiting.pop() {
            let schema = resolved(self.nodes, schema);
            if !seen.insert(std::ptr::from_ref(schema)) {
                continue;
            }
            if found.len() >= SCHEMAS_MAX {
                return None;
            }
            found.push(schema);
            for (key, value) in schema.entries() {
                if !keywords.contains(&&**key) {
                    continue;
                }
                let argument = resolved(self.nodes, value);
                match &**key {
                    "allOf" | "anyOf" | "oneOf" => waiting.extend(argument.items()),
                    "dependentSchemas" => {
                        waiting.extend(argument.entries().iter().map(|(_, schema)| schema));
                    }
                    _ => waiting.push(value),
                }
            }
        }
        Some(found)
    }

    /// Names of `all` that a schema requires at any depth.
    fn required(&self, schema: &'a Value) -> Option<Rc<FxHashSet<&'a str>>> {
        self.inside(&self.required, schema, |schema, found| {
            for key in ["required", "dependentRequired"] {
                let Some(value) = schema.get(key).map(|value| resolved(self.nodes, value)) else {
                    continue;
                };
                let lists = value.entries().iter().map(|(_, list)| list);
                for list in lists.chain([value]) {
                    let names = resolved(self.nodes, list).items().iter();
                    found.extend(names.filter_map(|name| match name {
                        Value::Text(name) => Some(&**name),
                        _ => None,
                    }));
                }
            }
            found.retain(|name| self.all().contains(name));
        })
    }

    /// Names of `all` that a schema marks at any depth.
    fn marked(&self, schema: &'a Value) -> Option<Rc<FxHashSet<&'a str>>> {
        self.inside(&self.marked, schema, |schema, found| {
            let all = schema.get("properties");
            let all = all.map(|all| resolved(self.nodes, all).entries());
            let all = all.unwrap_or_default().iter();
            let all = all.filter(|(_, own)| self.is_absent(own));
            found.extend(all.map(|(name, _)| &**name));
        })
    }

    /// Names that `read` finds in a schema and in all schemas that it reaches. `None`: too many
    /// schemas.
    fn inside(
        &self,
        known: &Known<'a>,
        schema: &'a Value,
        read: impl Fn(&'a Value, &mut FxHashSet<&'a str>),
    ) -> Option<Rc<FxHashSet<&'a str>>> {
        let node = node_number(self.nodes, schema);
        if let Some(node) = node
            && let Some(known) = known.borrow().get(&node)
        {
            return known.clone();
        }
        let mut names = FxHashSet::default();
        let mut seen: FxHashSet<u32> = node.into_iter().collect();
        let mut waiting = vec![resolved(self.nodes, schema)];
        let mut count = 0;
        while let Some(schema) = waiting.pop() {
            count += 1;
            if count > SCHEMAS_MAX {
                break;
            }
            read(schema, &mut names);
            schema.each_node(&mut |node| {
                if seen.insert(node) {
                    waiting.extend(self.nodes.get(node as usize));
                }
            });
        }
        let found = (count <= SCHEMAS_MAX).then(|| Rc::new(names));
        if let Some(node) = node {
            known.borrow_mut().insert(node, found.clone());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::brute::{classes, node};
    use super::super::{Containment, Verdict};
    use super::*;

    /// Verdict about an old and a new request, or an old and a new response.
    fn decide(direction: Direction, old: &Json, new: &Json) -> Verdict {
        let mut table = Vec::new();
        let old = node(&mut table, old);
        let start = u32::try_from(table.len()).expect("a small table");
        let new = node(&mut table, new);
        let ranks = classes(&table);
        let class = |node: u32| ranks[node as usize];
        let mut containment =
            Containment::new(&table, &class, direction, (100_000, 10)).joined(start);
        match direction {
            Direction::Request => containment.decide(&old, &new),
            Direction::Response => containment.decide(&new, &old),
        }
    }

    /// Pairs of a schema with a marked and with an unmarked property `i`, which is required in
    /// another schema.
    fn pairs(keyword: &str) -> Vec<[Json; 2]> {
        let marked = json!({"type": "string", keyword: true});
        let both = |with: &dyn Fn(&Json) -> Json| [with(&marked), with(&json!({"type": "string"}))];
        let need = || json!({"required": ["i"]});
        vec![
            [
                json!({"properties": {"i": marked}}),
                json!({"required": ["i"], "properties": {"i": {}}}),
            ],
            both(&|own| json!({"allOf": [need(), {"properties": {"i": own}}]})),
            both(&|own| json!({"required": ["i"], "allOf": [{"properties": {"i": own}}]})),
            both(&|own| json!({"properties": {"i": own}, "anyOf": [need(), {"required": ["j"]}]})),
            both(&|own| json!({"properties": {"i": own}, "if": true, "then": need()})),
            both(&|own| json!({"required": ["i"], "anyOf": [{"properties": {"i": own}}]})),
            // A part of the schema differs in another way, too.
            both(
                &|own| json!({"allOf": [{"required": ["i"], "maxProperties": 9}, {"properties": {"i": own, "j": {}}}]}),
            ),
        ]
    }

    #[test]
    fn required_beside_a_marked_property_is_a_break() {
        for [old, new] in pairs("readOnly") {
            let verdict = decide(Direction::Request, &old, &new);
            assert_eq!(verdict, Verdict::Refuted(json!({})), "{old} to {new}");
        }
        // The old contract requires the property of each response, the new one excludes it.
        for [new, old] in pairs("writeOnly") {
            let verdict = decide(Direction::Response, &old, &new);
            assert_eq!(verdict, Verdict::Refuted(json!({})), "{old} to {new}");
        }
    }

    #[test]
    fn property_marked_on_both_sides_is_not_required() {
        for [old, _] in pairs("readOnly") {
            let new = json!({"allOf": [old, {"description": "d"}]});
            let verdict = decide(Direction::Request, &old, &new);
            assert_eq!(verdict, Verdict::Contained, "{old} to {new}");
        }
        let marked = json!({"properties": {"i": {"readOnly": true}}});
        let new = json!({"required": ["i"], "allOf": [marked]});
        let verdict = decide(Direction::Request, &marked, &new);
        assert_eq!(verdict, Verdict::Contained);
    }

    #[test]
    fn negated_required_proves_nothing() {
        let marked = json!({"properties": {"i": {"readOnly": true}}, "not": {"required": ["i"]}});
        let verdict = decide(Direction::Request, &marked, &json!({"required": ["j"]}));
        assert_eq!(verdict, Verdict::Refuted(json!({})));
    }
}
