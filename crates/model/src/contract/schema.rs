//! Schemas as graph nodes. Keywords become canonical values, and subschemas become edges. Component
//! names, prose and examples are left out.

use std::cell::OnceCell;

use bundle::ir::Value;
use diag::{Kind, NodeId, NodeRef};
use rustc_hash::{FxHashMap, FxHashSet};

use super::graph::Graph;
use super::limits;
use super::number;
use super::prose::{self, SchemaProse};
use super::sites::Drafts;
use openapi::spec::Version;
use openapi::spec::objects::SCHEMA;
use openapi::spec::reference::{HOPS_MAX, Resolver, reference};

/// Builder of the schema nodes of one document.
pub(super) struct Schemas<'r, 'a> {
    resolver: &'r Resolver<'a>,
    version: Version,
    pub(super) graph: Graph,
    /// Graph node of each schema.
    nodes: FxHashMap<NodeId, u32>,
    /// Graph node of each list or map inside a literal.
    literals: FxHashMap<NodeId, u32>,
    /// Referenced schemas that are not read yet, each with its node number in the graph. The
    /// schemas are queued and not read recursively, because a chain of references may be longer
    /// than the stack allows.
    waiting: Vec<(NodeRef<'a>, u32)>,
    children: OnceCell<Children<'a>>,
    /// Prose of schemas, by keyword.
    pub(super) prose: SchemaProse,
    /// Schemas whose prose has been collected.
    collected: FxHashSet<NodeId>,
    /// Source locations of schemas.
    pub(super) sites: Drafts,
}

/// Components that extend a schema with `allOf`, with their names, by schema.
type Children<'a> = FxHashMap<NodeId, Vec<(&'a str, NodeRef<'a>)>>;

/// Kind of a keyword's value in the contract.
#[derive(Clone, Copy)]
enum KeywordKind {
    /// Text for readers, or a keyword of another version. Left out, because it has no effect on
    /// programs that send or read values.
    Prose,
    /// A schema.
    Schema,
    /// List of schemas whose order has no meaning.
    Choices,
    /// List of schemas whose order has a meaning, or a single schema.
    Schemas,
    /// Map of schemas by key.
    ByKey,
    /// List of literals whose order has no meaning.
    Literals,
    /// Literal value.
    Literal,
    /// Literal value, left out if it equals this default.
    Default(bool),
    /// Literal value, left out if it is 0, the default.
    DefaultZero,
    /// Keyword `discriminator`.
    Discriminator,
    /// Keyword `$dynamicRef`.
    Dynamic,
    /// OpenAPI object without schemas.
    Object,
    /// Keyword `x-gateway` of a schema. The contract contains only its `limits`.
    Gateway,
    /// Sunset or stability level: a string, which has no effect on values.
    Lifecycle,
}

fn keyword_kind(keyword: &str) -> KeywordKind {
    match keyword {
        "title" | "description" | "$comment" | "example" | "examples" | "externalDocs"
        // Definitions have an effect only through references to them.
        | "$defs" | "definitions" => KeywordKind::Prose,
        "additionalProperties" | "additionalItems" | "not" | "contains" | "if" | "then" | "else"
        | "propertyNames" | "unevaluatedItems" | "unevaluatedProperties" | "contentSchema" => {
            KeywordKind::Schema
        }
        "allOf" | "anyOf" | "oneOf" => KeywordKind::Choices,
        "items" | "prefixItems" => KeywordKind::Schemas,
        "properties" | "patternProperties" | "dependentSchemas" => KeywordKind::ByKey,
        "required" | "enum" | "type" => KeywordKind::Literals,
        "deprecated" | "nullable" | "uniqueItems" | "readOnly" | "writeOnly" => KeywordKind::Default(false),
        "minLength" | "minItems" | "minProperties" => KeywordKind::DefaultZero,
        "discriminator" => KeywordKind::Discriminator,
        "$dynamicRef" => KeywordKind::Dynamic,
        "xml" => KeywordKind::Object,
        "x-gateway" => KeywordKind::Gateway,
        "x-sunset" | "x-stability-level" => KeywordKind::Lifecycle,
        _ if keyword.starts_with("x-") => KeywordKind::Prose,
        _ => KeywordKind::Literal,
    }
}

impl<'r, 'a> Schemas<'r, 'a> {
    pub(super) fn new(resolver: &'r Resolver<'a>, version: Version) -> Self {
        Self {
            resolver,
            version,
            graph: Graph::default(),
            nodes: FxHashMap::default(),
            literals: FxHashMap::default(),
            waiting: Vec::new(),
            children: OnceCell::new(),
            prose: SchemaProse::new(),
            collected: FxHashSet::default(),
            sites: Drafts::default(),
        }
    }

    /// Returns the node of a schema as an edge.
    pub(super) fn schema(&mut self, schema: NodeRef<'a>) -> Value {
        let (end, referred) = self.follow_with_prose(schema);
        if let Some(known) = self.nodes.get(&end.id()) {
            self.sites.add(*known, end.span(), end.id() != schema.id());
            return Value::Node(self.graph.find(*known));
        }
        let id = self.graph.reserve();
        self.nodes.insert(end.id(), id);
        self.sites.add(id, end.span(), end.id() != schema.id());
        if referred {
            self.waiting.push((end, id));
        } else {
            self.read(end, id);
        }
        Value::Node(self.graph.find(id))
    }

    /// Follows a schema like [`Self::follow`], and collects the prose of all schemas on the path.
    /// The boolean is true if a reference was followed.
    fn follow_with_prose(&mut self, schema: NodeRef<'a>) -> (NodeRef<'a>, bool) {
        let mut passed = Vec::new();
        let end = self.follow_with(schema, &mut |schema| passed.push(schema));
        for schema in passed {
            // OpenAPI 3.0 ignores fields beside `$ref`.
            let alone = self.version == Version::V30 && reference(schema).is_some();
            if !alone && self.collected.insert(schema.id()) {
                prose::of_schema(self.resolver.files(), schema, &mut self.prose);
            }
        }
        end
    }

    /// Reads the queued schemas. Must not be called while another schema is being read.
    pub(super) fn read_waiting(&mut self) {
        while let Some((schema, id)) = self.waiting.pop() {
            self.read(schema, id);
        }
    }

    /// Follows a schema that consists only of a reference, or of an `allOf` with one schema, until
    /// another schema is reached. The boolean is true if a reference was followed.
    fn follow(&self, schema: NodeRef<'a>) -> (NodeRef<'a>, bool) {
        self.follow_with(schema, &mut |_| {})
    }

    /// Follows a schema like [`Self::follow`]. Also calls `visit` for every schema on the path,
    /// including the last.
    fn follow_with(
        &self,
        schema: NodeRef<'a>,
        visit: &mut impl FnMut(NodeRef<'a>),
    ) -> (NodeRef<'a>, bool) {
        let (mut at, mut referred) = (schema, false);
        for _ in 0..HOPS_MAX {
            visit(at);
            let (target, by_reference) = self.referred(at);
            referred |= by_reference;
            visit(target);
            let Some(inner) = self.wrapped(target) else {
                return (target, referred);
            };
            at = inner;
        }
        (at, referred)
    }

    /// Follows a schema while it consists only of a reference. The boolean is true if a reference
    /// was followed.
    fn referred(&self, schema: NodeRef<'a>) -> (NodeRef<'a>, bool) {
        let mut at = schema;
        for _ in 0..HOPS_MAX {
            let Some(text) = reference(at).filter(|_| self.is_reference(at)) else {
                break;
            };
            let Ok(target) = self.resolver.target(text) else {
                break;
            };
            at = target;
        }
        (at, at.id() != schema.id())
    }

    /// Kind of a keyword in the document's version. A keyword that only other versions have has no
    /// effect. The same holds for an exclusive limit in the form of another version.
    fn kind(&self, keyword: &str, value: NodeRef<'a>) -> KeywordKind {
        let of_other_version = match keyword {
            // References are followed in every version.
            "$ref" => false,
            "exclusiveMinimum" | "exclusiveMaximum" => match value.kind() {
                Kind::Bool(_) => self.version != Version::V30,
                Kind::Number(_) => self.version == Version::V30,
                _ => false,
            },
            _ => SCHEMA.is_of_other_version(keyword, self.version),
        };
        if of_other_version {
            KeywordKind::Prose
        } else {
            keyword_kind(keyword)
        }
    }

    /// Schema X if the given schema is `{allOf: [X]}` without other keywords.
    fn wrapped(&self, schema: NodeRef<'a>) -> Option<NodeRef<'a>> {
        let all = schema.get("allOf")?;
        let mut parts = all.items();
        let (Some(inner), None) = (parts.next(), parts.next()) else {
            return None;
        };
        let mut others = schema.entries().filter(|(entry, _)| &*entry.key != "allOf");
        others
            .all(|(entry, value)| has_no_effect(self.kind(&entry.key, value), value))
            .then_some(inner)
    }

    /// True if a schema with `$ref` has no other keyword with an effect. OpenAPI 3.0 ignores all
    /// keywords beside `$ref`.
    fn is_reference(&self, schema: NodeRef<'a>) -> bool {
        let counts = |(entry, value): (&diag::tree::Entry, NodeRef<'a>)| {
            &*entry.key != "$ref" && !has_no_effect(self.kind(&entry.key, value), value)
        };
        self.version == Version::V30 || !schema.entries().any(counts)
    }

    fn read(&mut self, schema: NodeRef<'a>, id: u32) {
        let outer = self.sites.enter(id);
        self.read_inside(schema, id);
        self.sites.leave(outer);
    }

    fn read_inside(&mut self, schema: NodeRef<'a>, id: u32) {
        if !schema.is_map() || self.resolver.files().is_key(schema.span()) {
            let value = self.literal(schema);
            self.graph.fill_schema(id, value);
            return;
        }
        let mut entries: Vec<(Box<str>, Value)> = Vec::with_capacity(schema.entries().len());
        for (entry, value) in schema.entries() {
            let kind = self.kind(&entry.key, value);
            if has_no_effect(kind, value) {
                continue;
            }
            self.sites.step(&entry.key, None);
            let (key, value) = match &*entry.key {
                "$ref" => (entry.key.clone(), self.beside(value)),
                "x-gateway" => ("x-limits".into(), limits::of(value)),
                _ => (entry.key.clone(), self.keyword(schema, kind, value)),
            };
            entries.push((key, value));
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        // A remaining `allOf` with one schema, or a remaining `$ref`, is part of a circular
        // reference.
        if let [(key, value)] = &entries[..]
            && let "allOf" | "$ref" = &**key
            && let Value::Node(other) = value.items().first().unwrap_or(value)
            && value.items().len() < 2
        {
            let other = *other;
            self.graph.same(id, other);
            return;
        }
        self.graph.fill_schema(id, Value::Map(entries));
    }

    /// Node of the target of a `$ref` that has other keywords beside it. If the target does not
    /// exist: the text of the reference.
    fn beside(&mut self, text: NodeRef<'a>) -> Value {
        match text.as_str().map(|_| self.resolver.target(text)) {
            Some(Ok(target)) => self.deferred(target),
            Some(Err(_)) | None => self.literal(text),
        }
    }

    /// Returns the node of a schema and queues the schema to be read later.
    fn deferred(&mut self, schema: NodeRef<'a>) -> Value {
        let (end, _) = self.follow_with_prose(schema);
        if let Some(known) = self.nodes.get(&end.id()) {
            self.sites.add(*known, end.span(), true);
            return Value::Node(self.graph.find(*known));
        }
        let id = self.graph.reserve();
        self.nodes.insert(end.id(), id);
        self.sites.add(id, end.span(), true);
        self.waiting.push((end, id));
        Value::Node(id)
    }

    fn keyword(&mut self, schema: NodeRef<'a>, kind: KeywordKind, value: NodeRef<'a>) -> Value {
        match kind {
            KeywordKind::Schema if value.is_map() || value.as_bool().is_some() => {
                self.schema(value)
            }
            KeywordKind::Choices if value.is_list() => set(self.schemas(value)),
            KeywordKind::Schemas if value.is_list() => Value::List(self.schemas(value)),
            KeywordKind::Schemas if value.is_map() || value.as_bool().is_some() => {
                self.schema(value)
            }
            KeywordKind::ByKey if value.is_map() => {
                let keyword = self.sites.keyword();
                let entries = value.entries();
                let each = entries.map(|(entry, value)| {
                    self.sites.step(&keyword, Some(&entry.key));
                    self.sites.next_at(entry.key_span);
                    (entry.key.clone(), self.schema(value))
                });
                map(each.collect())
            }
            KeywordKind::Literals if value.is_list() => {
                let items = value.items();
                let mut items: Vec<Value> = items.map(|item| self.literal(item)).collect();
                items.sort_unstable();
                items.dedup();
                Value::Set(items)
            }
            KeywordKind::Discriminator if value.is_map() => self.discriminator(schema, value),
            KeywordKind::Dynamic if value.as_str().is_some() => {
                let text = self.literal(value);
                match self.resolver.target(value) {
                    Ok(target) => Value::List(vec![text, self.deferred(target)]),
                    Err(_) => text,
                }
            }
            KeywordKind::Object if value.is_map() => self.object(value),
            KeywordKind::Lifecycle => Value::Text(value.scalar_text().unwrap_or_default().into()),
            // The value has the wrong type. The structure check reports this.
            KeywordKind::Prose
            | KeywordKind::Schema
            | KeywordKind::Choices
            | KeywordKind::Schemas
            | KeywordKind::ByKey
            | KeywordKind::Literals
            | KeywordKind::Literal
            | KeywordKind::Default(_)
            | KeywordKind::DefaultZero
            | KeywordKind::Discriminator
            | KeywordKind::Dynamic
            | KeywordKind::Gateway
            | KeywordKind::Object => self.literal(value),
        }
    }

    fn schemas(&mut self, list: NodeRef<'a>) -> Vec<Value> {
        list.items().map(|item| self.schema(item)).collect()
    }

    /// Reads an object, without its `x-` keys.
    fn object(&mut self, object: NodeRef<'a>) -> Value {
        let entries = object.entries();
        let own = entries.filter(|(entry, _)| !entry.key.starts_with("x-"));
        map(own
            .map(|(entry, value)| (entry.key.clone(), self.literal(value)))
            .collect())
    }

    /// Converts a literal value as in JSON. Stores lists and maps as nodes, because YAML aliases
    /// may repeat them. Replaces a private key by a text with its digest, because bundles are
    /// published.
    pub(super) fn literal(&mut self, value: NodeRef<'a>) -> Value {
        if let Some(text) = prose::key_digest(self.resolver.files(), value) {
            return Value::Text(text.into());
        }
        match value.kind() {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(text) => number::value(text),
            Kind::String(text) => Value::Text(text.clone()),
            Kind::List(_) | Kind::Map(_) => {
                if let Some(known) = self.literals.get(&value.id()) {
                    return Value::Node(self.graph.find(*known));
                }
                let id = self.graph.reserve();
                self.literals.insert(value.id(), id);
                let filled = if value.is_list() {
                    Value::List(value.items().map(|item| self.literal(item)).collect())
                } else {
                    let entries = value.entries();
                    let each =
                        entries.map(|(entry, value)| (entry.key.clone(), self.literal(value)));
                    map(each.collect())
                };
                self.graph.fill(id, filled);
                Value::Node(self.graph.find(id))
            }
        }
    }

    /// Discriminator with all its values: the values of the explicit mapping, and the names of
    /// alternatives or extending components to which no mapping refers.
    fn discriminator(&mut self, schema: NodeRef<'a>, written: NodeRef<'a>) -> Value {
        let mut mapping: Vec<(Box<str>, Value)> = Vec::new();
        let mut mapped: FxHashSet<NodeId> = FxHashSet::default();
        for (entry, value) in written
            .get("mapping")
            .into_iter()
            .flat_map(NodeRef::entries)
        {
            let target = self.mapped(value);
            mapped.extend(target.map(NodeRef::id));
            let value = match target {
                Some(target) => self.deferred(target),
                None => self.literal(value),
            };
            mapping.push((entry.key.clone(), value));
        }
        for (name, target) in self.implied(schema) {
            if mapped.contains(&self.follow(target).0.id())
                || mapping.iter().any(|(known, _)| **known == *name)
            {
                continue;
            }
            let value = self.deferred(target);
            mapping.push((name, value));
        }
        let mut entries: Vec<(Box<str>, Value)> = Vec::new();
        for (entry, value) in written.entries() {
            match &*entry.key {
                "mapping" => {}
                "defaultMapping" => {
                    let value = match self.mapped(value) {
                        Some(target) => self.deferred(target),
                        None => self.literal(value),
                    };
                    entries.push((entry.key.clone(), value));
                }
                key if key.starts_with("x-") => {}
                key => entries.push((key.into(), self.literal(value))),
            }
        }
        if !mapping.is_empty() {
            entries.push(("mapping".into(), map(mapping)));
        }
        map(entries)
    }

    /// Schema to which a mapping value refers, by name or by reference. `None` if the schema is not
    /// found.
    fn mapped(&self, value: NodeRef<'a>) -> Option<NodeRef<'a>> {
        let text = value.as_str()?;
        let named = self
            .components()
            .and_then(|all| self.resolver.child(all, text));
        let target = named.or_else(|| self.resolver.target(value).ok())?;
        Some(self.follow(target).0)
    }

    fn components(&self) -> Option<NodeRef<'a>> {
        let components = self.resolver.root().get("components")?;
        let schemas = self.resolver.resolve(components)?.get("schemas")?;
        self.resolver.resolve(schemas)
    }

    /// Values of a discriminator for which no mapping is needed, with their schemas: the names of
    /// alternatives, or of components that extend the schema.
    fn implied(&self, schema: NodeRef<'a>) -> Vec<(Box<str>, NodeRef<'a>)> {
        let choices = ["oneOf", "anyOf"]
            .into_iter()
            .filter_map(|key| schema.get(key));
        let choices: Vec<NodeRef<'a>> = choices.flat_map(NodeRef::items).collect();
        if choices.is_empty() {
            let children = self.children.get_or_init(|| self.find_children());
            return self.extending(children, schema);
        }
        let named = choices.into_iter().filter_map(|choice| {
            let text = reference(choice)?;
            let (path, fragment) = text
                .as_str()?
                .split_once('#')
                .unwrap_or((text.as_str()?, ""));
            let name = match fragment.rsplit_once('/') {
                Some((_, name)) => name,
                // A schema in its own file is named after the file.
                None => path.rsplit('/').next()?.split('.').next()?,
            };
            let target = self.resolver.target(text).ok()?;
            Some((name.replace("~1", "/").replace("~0", "~").into(), target))
        });
        named.collect()
    }

    /// Components that extend a schema, directly or indirectly.
    fn extending(
        &self,
        children: &Children<'a>,
        schema: NodeRef<'a>,
    ) -> Vec<(Box<str>, NodeRef<'a>)> {
        let mut found = Vec::new();
        let mut seen = FxHashSet::from_iter([schema.id()]);
        let mut waiting = vec![schema.id()];
        while let Some(parent) = waiting.pop() {
            for (name, child) in children.get(&parent).into_iter().flatten() {
                let end = self.referred(*child).0.id();
                if seen.insert(end) {
                    found.push(((*name).into(), *child));
                    waiting.push(end);
                }
            }
        }
        found
    }

    fn find_children(&self) -> Children<'a> {
        let mut children: Children<'a> = FxHashMap::default();
        for (entry, component) in self.components().into_iter().flat_map(NodeRef::entries) {
            let mut schema = self.referred(component).0;
            for _ in 0..HOPS_MAX {
                // If a component only wraps the schema in `allOf`, the component's name is used.
                match self.wrapped(schema) {
                    Some(inner) if reference(inner).is_none() => schema = inner,
                    Some(_) | None => break,
                }
            }
            for part in schema.get("allOf").into_iter().flat_map(NodeRef::items) {
                if reference(part).is_some() {
                    let parent = self.follow(part).0.id();
                    children
                        .entry(parent)
                        .or_default()
                        .push((&entry.key, component));
                }
            }
        }
        children
    }
}

/// True if a keyword with this value has no effect, so that it is left out.
fn has_no_effect(kind: KeywordKind, value: NodeRef<'_>) -> bool {
    match kind {
        KeywordKind::Prose => true,
        KeywordKind::Gateway => limits::of(value).entries().is_empty(),
        KeywordKind::Lifecycle => value.scalar_text().is_none(),
        KeywordKind::Default(default) => value.as_bool() == Some(default),
        KeywordKind::DefaultZero => match value.kind() {
            Kind::Number(text) => number::value(text) == Value::Integer(0),
            _ => false,
        },
        KeywordKind::Schema
        | KeywordKind::Choices
        | KeywordKind::Schemas
        | KeywordKind::ByKey
        | KeywordKind::Literals
        | KeywordKind::Literal
        | KeywordKind::Discriminator
        | KeywordKind::Dynamic
        | KeywordKind::Object => false,
    }
}

/// Creates a set with its plain values first, sorted. Edges are sorted when the graph is complete.
fn set(mut items: Vec<Value>) -> Value {
    items.sort_unstable();
    Value::Set(items)
}

/// Creates a map with sorted keys.
pub(super) fn map(mut entries: Vec<(Box<str>, Value)>) -> Value {
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Value::Map(entries)
}
