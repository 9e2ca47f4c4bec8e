//! Graph of the schemas of a document. Edges lead only to schemas that are redacted or lead to
//! redacted schemas.
//!
//! The graph is built once per document, in one pass over its schemas, and shared by all
//! operations.

use std::collections::HashMap;

use diag::{NodeId, NodeRef};
use openapi::spec::reference::{HOPS_MAX, Resolver, reference};

/// Schemas by index.
#[derive(Default)]
pub(super) struct Graph<'a> {
    schemas: Vec<Schema<'a>>,
    indexes: HashMap<NodeId, usize>,
}

/// Schema of the document. `inner` is empty if the schema leads to no redacted value.
#[derive(Default)]
pub(super) struct Schema<'a> {
    /// True if values with this schema are redacted.
    pub(super) is_redacted: bool,
    /// True if this schema is redacted, or leads to a redacted schema.
    pub(super) reaches: bool,
    /// Inner schemas (by index) that lead to redacted values, each with the step from the outer
    /// value to the inner value.
    pub(super) inner: Vec<(Step<'a>, usize)>,
}

/// Step from a value to the value of an inner schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step<'a> {
    /// The inner schema applies to the same value.
    Same,
    /// Member with this name.
    Member(&'a str),
    /// Member with any name, or item.
    Any,
}

// === impl Graph ===

impl<'a> Graph<'a> {
    /// Builds the graph of the schemas that can be reached from `roots`.
    pub(super) fn of(resolver: &Resolver<'a>, roots: impl Iterator<Item = NodeId>) -> Self {
        let mut graph = Self::default();
        let mut waiting = Vec::new();
        for root in roots {
            graph.index(resolver.node(root), &mut waiting);
        }
        while let Some((index, schema)) = waiting.pop() {
            let inner = inner(resolver, schema).into_iter();
            let inner = inner.map(|(step, one)| (step, graph.index(one, &mut waiting)));
            let inner = inner.collect();
            let known = &mut graph.schemas[index];
            known.is_redacted = is_redacted(schema);
            known.inner = inner;
        }
        graph.limit_to_redacted();
        graph
    }

    /// Index of a schema that can be reached from the roots. `None` for other schemas.
    pub(super) fn known(&self, schema: NodeId) -> Option<usize> {
        self.indexes.get(&schema).copied()
    }

    /// Schema at an index.
    pub(super) fn schema(&self, index: usize) -> &Schema<'a> {
        &self.schemas[index]
    }

    /// Follows a schema that only refers to another schema, such as a component, and returns the
    /// index of that schema. For any other schema, returns its own index.
    pub(super) fn target(&self, mut schema: usize) -> usize {
        for _ in 0..HOPS_MAX {
            match self.schemas[schema].inner[..] {
                [(Step::Same, next)] if !self.schemas[schema].is_redacted => schema = next,
                _ => break,
            }
        }
        schema
    }

    /// Returns the index of a schema. Adds a new schema to `waiting`.
    fn index(&mut self, schema: NodeRef<'a>, waiting: &mut Vec<(usize, NodeRef<'a>)>) -> usize {
        *self.indexes.entry(schema.id()).or_insert_with(|| {
            self.schemas.push(Schema::default());
            waiting.push((self.schemas.len() - 1, schema));
            self.schemas.len() - 1
        })
    }

    /// Sets `reaches` of all schemas, and removes the steps to schemas without redacted values.
    fn limit_to_redacted(&mut self) {
        let mut outer: Vec<Vec<usize>> = vec![Vec::new(); self.schemas.len()];
        for (index, schema) in self.schemas.iter().enumerate() {
            for (_, inner) in &schema.inner {
                outer[*inner].push(index);
            }
        }
        let redacted = self.schemas.iter().enumerate();
        let redacted = redacted.filter(|(_, schema)| schema.is_redacted);
        let mut waiting: Vec<usize> = redacted.map(|(index, _)| index).collect();
        while let Some(index) = waiting.pop() {
            if !std::mem::replace(&mut self.schemas[index].reaches, true) {
                waiting.append(&mut outer[index]);
            }
        }
        let reaches: Vec<bool> = self.schemas.iter().map(|schema| schema.reaches).collect();
        for schema in &mut self.schemas {
            schema.inner.retain(|(_, inner)| reaches[*inner]);
        }
    }

    #[cfg(test)]
    pub(super) fn with(schemas: Vec<(bool, Vec<(Step<'a>, usize)>)>) -> Self {
        let schemas = schemas.into_iter().map(|(is_redacted, inner)| Schema {
            is_redacted,
            inner,
            ..Schema::default()
        });
        let mut graph = Self {
            schemas: schemas.collect(),
            indexes: HashMap::new(),
        };
        graph.limit_to_redacted();
        graph
    }
}

fn is_redacted(schema: NodeRef<'_>) -> bool {
    let redact = schema.get("x-gateway").and_then(|own| own.get("redact"));
    redact.and_then(NodeRef::as_bool) == Some(true)
}

/// Schemas inside a schema, each with the step from the outer value to the inner value.
fn inner<'a>(resolver: &Resolver<'a>, schema: NodeRef<'a>) -> Vec<(Step<'a>, NodeRef<'a>)> {
    let mut all = Vec::new();
    let references = [reference(schema), schema.get("$dynamicRef")];
    let targets = references.into_iter().flatten();
    let targets = targets.filter_map(|text| resolver.target(text).ok());
    all.extend(targets.map(|target| (Step::Same, target)));
    for (entry, value) in schema.entries() {
        match &*entry.key {
            // Values of JSON inside a string (`contentSchema`) have the pointer of the string.
            "not" | "if" | "then" | "else" | "contentSchema" => all.push((Step::Same, value)),
            "allOf" | "anyOf" | "oneOf" => all.extend(value.items().map(|one| (Step::Same, one))),
            "dependentSchemas" => all.extend(value.entries().map(|(_, one)| (Step::Same, one))),
            "properties" => {
                let members = value.entries();
                all.extend(members.map(|(entry, one)| (Step::Member(&entry.key), one)));
            }
            "patternProperties" => all.extend(value.entries().map(|(_, one)| (Step::Any, one))),
            "items" | "prefixItems" if value.is_list() => {
                all.extend(value.items().map(|one| (Step::Any, one)));
            }
            "additionalProperties"
            | "unevaluatedProperties"
            | "items"
            | "contains"
            | "unevaluatedItems" => all.push((Step::Any, value)),
            _ => {}
        }
    }
    all
}
