//! Conversion of the schemas of a contract to one JSON Schema document (2020-12).
//!
//! Keywords of OpenAPI 3.0 are converted. Keywords that cannot be enforced are left out, so that
//! the result accepts more values. Inside `not`, `if` and `oneOf`, an inner schema that accepts
//! more would make the outer schema refuse more. In this case, the outer keyword is left out, or
//! `oneOf` becomes `anyOf`. `unevaluatedProperties` and `unevaluatedItems` are left out if a keyword
//! beside them is left out.

mod children;
mod evaluated;
mod one_direction;
mod reached;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::Value;
use jsonschema::PatternOptions;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Map, Value as Json, json};

use crate::content;
use crate::format;
use crate::limits;
use crate::steps;

pub use self::one_direction::is_read_only;
pub(crate) use self::one_direction::{NotRequired, is_of_other_direction};
use self::table::count;
pub(crate) use self::table::{node_number, resolved};

/// Direction of a message. `required` does not apply to properties with `readOnly` in requests, or
/// with `writeOnly` in responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client to an upstream.
    Request,
    /// From an upstream to a client.
    Response,
}

impl Direction {
    /// Keyword of properties that messages in this direction do not contain.
    pub(crate) fn excluding_keyword(self) -> &'static str {
        match self {
            Self::Request => "readOnly",
            Self::Response => "writeOnly",
        }
    }
}

/// Names of the properties that messages in this direction may omit even if they are required:
/// `readOnly` in requests, `writeOnly` in responses.
pub(crate) fn other_direction_properties(nodes: &[Value], direction: Direction) -> FxHashSet<&str> {
    one_direction::properties_of(nodes, direction.excluding_keyword())
}

/// Part of a schema that is not enforced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotEnforced {
    /// A regular expression that is too large, or that needs look-around or back references.
    Pattern(Box<str>),
    /// A `$dynamicRef`.
    DynamicRef,
    /// A schema that applies itself to the same value again, for example with `allOf`.
    Cycle,
}

/// Maximum size of a compiled regular expression, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Options that select the regular expression engine with linear time.
pub(crate) fn patterns() -> PatternOptions<jsonschema::Regex> {
    PatternOptions::regex()
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
}

/// Conversion of a schema table, in progress.
pub(crate) struct Lowering<'a> {
    nodes: &'a [Value],
    /// Required properties that messages may omit: `readOnly` in requests, `writeOnly` in
    /// responses, for each contract of the table.
    not_required: [NotRequired<'a>; 2],
    /// Number of the first node of the second contract. The number of nodes if there is only one
    /// contract.
    start: u32,
    /// Index in `not_required` of the contract whose document is under construction.
    contract: usize,
    /// For each pattern: true if it can be enforced.
    patterns: FxHashMap<&'a str, bool>,
    /// For each node: true if its converted schema accepts more values than the original schema.
    loose: Vec<bool>,
    /// Nodes whose converted schema evaluates fewer properties or items than the original schema.
    partial: FxHashSet<u32>,
    /// References that form a cycle of schemas for the same value.
    cycles: BTreeSet<(u32, u32)>,
    /// Schemas of the document under construction.
    defs: BTreeMap<u32, Json>,
    waiting: Vec<u32>,
    /// Schemas of the JSON inside strings (`contentSchema`). The value of [`content::KEYWORD`] in a
    /// converted schema is an index in this list. `None`: such JSON is not checked.
    contents: Option<Vec<&'a Value>>,
    /// For each examined node: true if documents refer to it without containing it. `None`: they
    /// contain all nodes.
    deferred: Option<FxHashMap<u32, bool>>,
    pub(crate) not_enforced: BTreeSet<NotEnforced>,
}

impl<'a> Lowering<'a> {
    pub(crate) fn new(nodes: &'a [Value], direction: Direction) -> Self {
        Self::joined(nodes, direction, count(nodes))
    }

    /// Converts a table of two contracts. `start`: number of the first node of the second one.
    pub(crate) fn joined(nodes: &'a [Value], direction: Direction, start: u32) -> Self {
        let start = start.min(count(nodes));
        let keyword = direction.excluding_keyword();
        let mut lowering = Self {
            nodes,
            not_required: [0..start, start..count(nodes)]
                .map(|own| NotRequired::of(nodes, own, keyword)),
            start,
            contract: 0,
            patterns: FxHashMap::default(),
            loose: vec![false; nodes.len()],
            partial: FxHashSet::default(),
            cycles: BTreeSet::new(),
            defs: BTreeMap::new(),
            waiting: Vec::new(),
            contents: None,
            deferred: None,
            not_enforced: BTreeSet::new(),
        };
        lowering.find_cycles();
        lowering.find_loose();
        lowering.find_partial();
        lowering
    }

    /// Table of the schemas.
    pub(crate) fn nodes(&self) -> &'a [Value] {
        self.nodes
    }

    /// Returns the node to which a reference leads, or any other value unchanged.
    pub(crate) fn resolve(&self, value: &'a Value) -> &'a Value {
        resolved(self.nodes, value)
    }

    fn node(&self, node: u32) -> &'a Value {
        self.nodes.get(node as usize).unwrap_or(&Value::Bool(true))
    }

    /// Builds the JSON Schema document for a schema of the table.
    pub(crate) fn document(&mut self, schema: &'a Value) -> Json {
        self.defs.clear();
        self.contract = self.contract_of(schema);
        let root = self.schema(schema, None);
        while let Some(node) = self.waiting.pop() {
            let lowered = self.lower(self.node(node), Some(node));
            self.defs.insert(node, lowered);
        }
        let defs = std::mem::take(&mut self.defs).into_iter();
        let mut defs: Map<String, Json> = defs.map(|(node, def)| (node.to_string(), def)).collect();
        steps::count(&mut defs);
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": defs,
            "allOf": [root],
        })
    }

    /// Index of the contract that contains a schema.
    pub(crate) fn contract_of(&self, schema: &'a Value) -> usize {
        let node = node_number(self.nodes, schema);
        usize::from(node.is_some_and(|node| node >= self.start))
    }

    /// Builds the JSON Schema document for a schema of values whose strings can contain JSON
    /// (`contentSchema`). Also returns the schemas of this JSON. The value of the keyword
    /// [`content::KEYWORD`] is an index in this list.
    pub(crate) fn document_with_content(&mut self, schema: &'a Value) -> (Json, Vec<&'a Value>) {
        self.contents = Some(Vec::new());
        let document = self.document(schema);
        (document, self.contents.take().unwrap_or_default())
    }

    /// Converts the schema of a value. `within`: node that refers to the schema, if both apply to
    /// the same value.
    fn schema(&mut self, value: &'a Value, within: Option<u32>) -> Json {
        match value {
            Value::Node(node) => {
                if within.is_some_and(|from| self.cycles.contains(&(from, *node))) {
                    self.not_enforced.insert(NotEnforced::Cycle);
                    return Json::Bool(true);
                }
                if let Value::Bool(value) = self.node(*node) {
                    return Json::Bool(*value);
                }
                if !self.defs.contains_key(node) {
                    self.defs.insert(*node, Json::Bool(true));
                    self.waiting.push(*node);
                }
                json!({"$ref": format!("#/$defs/{node}")})
            }
            value => self.lower(value, within),
        }
    }

    fn schemas(&mut self, value: &'a Value, within: Option<u32>) -> Vec<Json> {
        let items = self.resolve(value).items();
        items.iter().map(|item| self.schema(item, within)).collect()
    }

    /// Converts the schemas of `allOf`, `anyOf` or `oneOf`. The size of each alternative counts as
    /// cost of the check, because all alternatives are evaluated for one value.
    fn alternatives(&mut self, value: &'a Value, within: Option<u32>) -> Vec<Json> {
        let schemas = self.schemas(value, within);
        schemas.into_iter().map(steps::costly).collect()
    }

    fn by_key(&mut self, value: &'a Value, within: Option<u32>) -> Map<String, Json> {
        let entries = self.resolve(value).entries();
        entries
            .iter()
            .map(|(key, value)| (key.to_string(), self.schema(value, within)))
            .collect()
    }

    fn lower(&mut self, schema: &'a Value, node: Option<u32>) -> Json {
        let entries = match schema {
            Value::Bool(value) => return Json::Bool(*value),
            Value::Map(entries) => entries,
            _ => return Json::Bool(true),
        };
        let mut out = Map::new();
        let mut drops_pattern = false;
        for (key, value) in entries {
            match &**key {
                "patternProperties" => drops_pattern = self.lower_patterns(value, &mut out),
                "dependentSchemas" | "allOf" | "anyOf" | "oneOf" | "not" | "if" | "$ref"
                | "$dynamicRef" => self.lower_applied((key, value), (entries, node), &mut out),
                "additionalProperties"
                | "propertyNames"
                | "contains"
                | "unevaluatedItems"
                | "unevaluatedProperties"
                | "items"
                | "prefixItems"
                | "properties" => self.lower_children((key, value), &mut out),
                _ => self.lower_assertion(schema, (key, value), &mut out),
            }
        }
        if drops_pattern {
            // Without the dropped pattern, `additionalProperties` would refuse the properties that
            // the pattern describes.
            out.remove("additionalProperties");
        }
        if self.is_partial(entries, node) {
            out.remove("unevaluatedProperties");
            out.remove("unevaluatedItems");
        }
        self.exclusive_flags(entries, &mut out);
        if let Some(contents) = &mut self.contents
            && let Some(schema) = content::schema(self.nodes, schema)
        {
            out.insert(content::KEYWORD.into(), contents.len().into());
            contents.push(schema);
        }
        match find(entries, "nullable").map(|value| self.resolve(value)) {
            Some(Value::Bool(true)) => nullable(out),
            _ => Json::Object(out),
        }
    }

    /// Converts a keyword that applies to the value itself, such as `type` or `minLength`.
    fn lower_assertion(
        &mut self,
        schema: &'a Value,
        (key, value): (&'a str, &'a Value),
        out: &mut Map<String, Json>,
    ) {
        match key {
            "type" => {
                let types = self.literal(value);
                out.insert("type".into(), types);
            }
            "required" => {
                let names = self.required(schema, value, self.contract);
                if !names.is_empty() {
                    out.insert("required".into(), names.into());
                }
            }
            "enum" | "const" | "minimum" | "maximum" | "multipleOf" | "minLength" | "maxLength"
            | "minItems" | "maxItems" | "minProperties" | "maxProperties" | "uniqueItems"
            | "minContains" | "maxContains" | "dependentRequired" => {
                let literal = self.literal(value);
                out.insert(key.to_string(), literal);
            }
            "x-limits" => {
                out.insert(limits::KEYWORD.into(), limits::lowered(self.resolve(value)));
            }
            "exclusiveMinimum" | "exclusiveMaximum" => match self.resolve(value) {
                // In OpenAPI 3.0, the exclusive bound is a boolean that makes the inclusive bound
                // exclusive.
                Value::Bool(_) => {}
                value => {
                    let bound = self.literal(value);
                    out.insert(key.to_string(), bound);
                }
            },
            "pattern" => match self.resolve(value) {
                Value::Text(text) if self.is_enforced(text) => {
                    out.insert("pattern".into(), Json::from(&**text));
                }
                _ => {}
            },
            "format" => {
                if let Value::Text(name) = self.resolve(value) {
                    formatted(name, out);
                }
            }
            _ => {}
        }
    }

    /// Converts a keyword whose schemas apply to the same value, such as `allOf` or `if`.
    fn lower_applied(
        &mut self,
        (key, value): (&'a str, &'a Value),
        (entries, node): (&'a [(Box<str>, Value)], Option<u32>),
        out: &mut Map<String, Json>,
    ) {
        match key {
            "dependentSchemas" => {
                let schemas = self.by_key(value, node);
                out.insert(key.to_string(), schemas.into());
            }
            "allOf" => {
                // The target of `$ref` can be a member already.
                let schemas = self.alternatives(value, node);
                schemas.into_iter().for_each(|schema| add(out, schema));
            }
            "anyOf" => {
                let schemas = self.alternatives(value, node);
                out.insert(key.to_string(), schemas.into());
            }
            "oneOf" => {
                let schemas = self.alternatives(value, node);
                let chosen = self.choices(entries, node);
                let loose = self.is_loose(value);
                let key = match chosen.is_some() || loose {
                    true => "anyOf",
                    false => "oneOf",
                };
                let choice = json!({key: schemas});
                add(out, choice);
                chosen.into_iter().flatten().for_each(|one| add(out, one));
            }
            "not" if !self.is_loose(value) => {
                let schema = self.schema(value, node);
                out.insert("not".into(), schema);
            }
            "if" if !self.is_loose(value) => {
                let mut condition = Map::new();
                let schema = self.schema(value, node);
                condition.insert("if".into(), schema);
                for key in ["then", "else"] {
                    if let Some(value) = find(entries, key) {
                        let schema = self.schema(value, node);
                        condition.insert(key.into(), schema);
                    }
                }
                add(out, condition.into());
            }
            "$ref" => {
                let schema = self.schema(value, node);
                add(out, schema);
            }
            "$dynamicRef" => {
                self.not_enforced.insert(NotEnforced::DynamicRef);
            }
            _ => {}
        }
    }

    /// Converts `exclusiveMinimum: true` of OpenAPI 3.0, which makes `minimum` exclusive, and
    /// `exclusiveMaximum: true`.
    fn exclusive_flags(&self, entries: &'a [(Box<str>, Value)], out: &mut Map<String, Json>) {
        for (flag, bound) in [
            ("exclusiveMinimum", "minimum"),
            ("exclusiveMaximum", "maximum"),
        ] {
            let value = find(entries, flag).map(|value| self.resolve(value));
            if value == Some(&Value::Bool(true))
                && let Some(value) = out.remove(bound)
            {
                out.insert(flag.into(), value);
            }
        }
    }

    /// Names of the keyword `required` of a schema that a message in this direction must have.
    /// `contract`: index of the contract that contains the schema.
    fn required(&self, schema: &'a Value, value: &'a Value, contract: usize) -> Vec<Json> {
        let not_required = self.not_required[contract].names(schema);
        let names = self.resolve(value).items().iter();
        let names = names.filter_map(|name| match self.resolve(name) {
            Value::Text(name) if !not_required.contains(&**name) => Some(Json::from(&**name)),
            _ => None,
        });
        names.collect()
    }

    /// Converts `oneOf` with a `discriminator`: the value of the discriminator selects the schema.
    /// In many descriptions the alternatives overlap, so that `oneOf` alone would refuse valid
    /// values. `None` without such a discriminator.
    fn choices(
        &mut self,
        entries: &'a [(Box<str>, Value)],
        node: Option<u32>,
    ) -> Option<Vec<Json>> {
        let discriminator = self.resolve(find(entries, "discriminator")?);
        let Value::Text(property) = self.resolve(discriminator.get("propertyName")?) else {
            return None;
        };
        let mapping = discriminator
            .get("mapping")
            .map(|value| self.resolve(value));
        let mapping = mapping.map(Value::entries).unwrap_or_default();
        let choices = mapping.iter().filter_map(|(value, target)| {
            let Value::Node(_) = target else { return None };
            let schema = self.schema(target, node);
            Some(json!({
                "if": {
                    "type": "object",
                    "required": [&**property],
                    "properties": {&**property: {"const": &**value}},
                },
                "then": schema,
            }))
        });
        Some(choices.collect())
    }

    /// Converts a literal value to JSON. Values below 64 levels become null; gwc refuses such
    /// depths before.
    fn literal(&self, value: &Value) -> Json {
        self.literal_at(value, 0)
    }

    fn literal_at(&self, value: &Value, depth: usize) -> Json {
        if depth > 64 {
            return Json::Null;
        }
        match value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Integer(value) => Json::from(*value),
            Value::Decimal(text) => {
                let number = serde_json::from_str::<f64>(text);
                number.map_or(Json::Null, Json::from)
            }
            Value::Text(text) => Json::from(&**text),
            Value::List(items) | Value::Set(items) => items
                .iter()
                .map(|item| self.literal_at(item, depth + 1))
                .collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.to_string(), self.literal_at(value, depth + 1)))
                .collect(),
            Value::Node(node) => self.literal_at(self.node(*node), depth + 1),
        }
    }

    fn is_enforced(&mut self, pattern: &'a str) -> bool {
        let known = self.patterns.entry(pattern).or_insert_with(|| {
            let schema = json!({"pattern": pattern});
            let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
            options
                .with_pattern_options(patterns())
                .build(&schema)
                .is_ok()
        });
        let fits = *known;
        if !fits {
            self.not_enforced
                .insert(NotEnforced::Pattern(pattern.into()));
        }
        fits
    }

    /// Nodes to which a node refers with keywords for the same value, such as `allOf`.
    fn beside(&self, node: u32) -> Vec<u32> {
        table::beside(self.nodes, node)
    }

    /// Finds the references that form a cycle of schemas for the same value. An evaluation of such
    /// a cycle would not end.
    fn find_cycles(&mut self) {
        #[derive(Clone, Copy, PartialEq)]
        enum Visit {
            No,
            Open,
            Done,
        }
        let count = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let mut seen = vec![Visit::No; self.nodes.len()];
        for start in 0..count {
            if seen[start as usize] != Visit::No {
                continue;
            }
            seen[start as usize] = Visit::Open;
            let mut path: Vec<(u32, std::vec::IntoIter<u32>)> =
                vec![(start, self.beside(start).into_iter())];
            while let Some((node, edges)) = path.last_mut() {
                let node = *node;
                match edges.next() {
                    None => {
                        seen[node as usize] = Visit::Done;
                        path.pop();
                    }
                    Some(next) => match seen.get(next as usize) {
                        Some(Visit::Open) => {
                            self.cycles.insert((node, next));
                        }
                        Some(Visit::No) => {
                            seen[next as usize] = Visit::Open;
                            path.push((next, self.beside(next).into_iter()));
                        }
                        Some(Visit::Done) | None => {}
                    },
                }
            }
        }
    }

    /// Marks the nodes whose converted schema accepts more values than the original, and all nodes
    /// that refer to them.
    fn find_loose(&mut self) {
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let own = node.entries().iter().any(|(key, value)| match &**key {
                "pattern" => match self.resolve(value) {
                    Value::Text(text) => !self.is_enforced(text),
                    _ => false,
                },
                "patternProperties" => {
                    let entries = self.resolve(value).entries();
                    let kept = entries.iter().filter(|(text, _)| self.is_enforced(text));
                    kept.count() < entries.len()
                }
                "$dynamicRef" => true,
                "nullable" => !self.is_exact_with_null(node),
                "required" => {
                    let names = self.resolve(value).items();
                    let contract = usize::from(index >= self.start as usize);
                    self.required(node, value, contract).len() < names.len()
                }
                _ => false,
            });
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            let closes = self.cycles.range((number, 0)..=(number, u32::MAX));
            self.loose[index] = own || closes.count() > 0;
        }
        let mut referring: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        for (from, node) in (0u32..).zip(self.nodes) {
            node.each_node(&mut |to| {
                if let Some(all) = referring.get_mut(to as usize) {
                    all.push(from);
                }
            });
        }
        let all = (0..self.loose.len()).filter(|node| self.loose[*node]);
        let mut waiting: Vec<usize> = all.collect();
        while let Some(node) = waiting.pop() {
            for from in &referring[node] {
                let from = *from as usize;
                if !self.loose[from] {
                    self.loose[from] = true;
                    waiting.push(from);
                }
            }
        }
    }

    /// True if the converted form of a schema with `nullable` accepts exactly the values of the schema
    /// (OpenAPI 3.0.3, section 4.7.24.1): `type` beside it, and no keyword that may refuse null.
    fn is_exact_with_null(&self, schema: &Value) -> bool {
        let composed = ["allOf", "anyOf", "oneOf", "not", "const", "$ref"];
        let lists_null = |list: &Value| {
            let mut all = self.resolve(list).items().iter();
            all.any(|value| *self.resolve(value) == Value::Null)
        };
        schema.get("type").is_some()
            && !composed.iter().any(|key| schema.get(key).is_some())
            && schema.get("enum").is_none_or(lists_null)
    }

    fn is_loose(&self, value: &Value) -> bool {
        let mut loose = false;
        value.each_node(&mut |node| {
            loose |= self.loose.get(node as usize).copied().unwrap_or(false);
        });
        loose
    }
}

fn find<'a>(entries: &'a [(Box<str>, Value)], key: &str) -> Option<&'a Value> {
    let mut all = entries.iter();
    all.find(|(name, _)| **name == *key).map(|(_, value)| value)
}

/// Adds a schema to the `allOf` of a converted schema.
fn add(out: &mut Map<String, Json>, schema: Json) {
    let all = out
        .entry("allOf")
        .or_insert_with(|| Json::Array(Vec::new()));
    if let Json::Array(all) = all {
        all.push(schema);
    }
}

/// Adds the assertions of a `format` to a converted schema.
fn formatted(name: &str, out: &mut Map<String, Json>) {
    if let Some([least, most]) = format::bounds(name) {
        // The bounds apply to numbers only. A string that contains a number is not checked.
        add(out, json!({"minimum": least, "maximum": most}));
    } else if format::of_strings(name) {
        out.insert("format".into(), name.into());
    }
}

/// Converts a nullable schema of OpenAPI 3.0 to a schema that also accepts null.
fn nullable(mut out: Map<String, Json>) -> Json {
    let composed = ["allOf", "anyOf", "oneOf", "not", "const"];
    if composed.iter().any(|key| out.contains_key(*key)) {
        return json!({"anyOf": [{"type": "null"}, out]});
    }
    if let Some(types) = out.get_mut("type") {
        let mut all = match types.take() {
            Json::Array(all) => all,
            one => vec![one],
        };
        if !all.contains(&"null".into()) {
            all.push("null".into());
        }
        *types = all.into();
    }
    if let Some(Json::Array(values)) = out.get_mut("enum")
        && !values.contains(&Json::Null)
    {
        values.push(Json::Null);
    }
    Json::Object(out)
}
