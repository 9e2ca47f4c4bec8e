//! Conversion of Swagger 2.0 schemas, which differ from 3.0 in three keywords.

use diag::{Diagnostic, Kind, Level, NodeId};

use super::nodes::Map;
use super::{Lift, TargetType};
use crate::spec::lints::UNKNOWN_VALUE;

/// Maximum depth of nested schemas that are lifted. The reader of documents refuses deeper nesting.
const DEPTH_MAX: usize = 256;

impl Lift<'_> {
    /// Lifts a schema. Returns the same node if nothing changes. References keep their text.
    pub(super) fn schema(&mut self, node: NodeId) -> NodeId {
        self.schema_at(node, 0)
    }

    fn schema_at(&mut self, node: NodeId, depth: usize) -> NodeId {
        if !self.nodes.is_map(node) || depth > DEPTH_MAX {
            return node;
        }
        if let Some(known) = self.lifted.get(&(node, TargetType::Schema)) {
            return *known;
        }
        if depth > 0 {
            self.no_file(node);
        }
        let mut lifted = Map::new(self.nodes.span(node));
        let mut changed = false;
        for entry in self.nodes.entries(node) {
            let value = entry.value;
            let mut key: &str = &entry.key;
            let new = match key {
                "properties" => self.each(value, depth),
                "items" | "additionalProperties" => self.schema_at(value, depth + 1),
                "allOf" => {
                    let items = self.nodes.items(value);
                    let mut all = Vec::with_capacity(items.len());
                    for item in &items {
                        all.push(self.schema_at(*item, depth + 1));
                    }
                    if all == items {
                        value
                    } else {
                        let at = self.nodes.span(value);
                        self.nodes.push(at, Kind::List(all))
                    }
                }
                "discriminator" if self.nodes.string(value).is_some() => {
                    let at = self.nodes.span(value);
                    let mut discriminator = Map::new(at);
                    discriminator.put("propertyName", entry.key_span, value);
                    self.nodes.map(discriminator)
                }
                "x-nullable" => {
                    key = "nullable";
                    changed = true;
                    value
                }
                "type" if self.nodes.string(value).as_deref() == Some("file") => {
                    let at = self.nodes.span(value);
                    let binary = self.nodes.text("binary", at);
                    lifted.put("format", entry.key_span, binary);
                    self.nodes.text("string", at)
                }
                // Drop `collectionFormat`, the separator of list items in a parameter, because
                // schemas of 3.0 have no such keyword.
                "collectionFormat" => {
                    changed = true;
                    continue;
                }
                _ => value,
            };
            changed |= new != value;
            lifted.put(key, entry.key_span, new);
        }
        let result = if changed {
            self.nodes.map(lifted)
        } else {
            node
        };
        self.lifted.insert((node, TargetType::Schema), result);
        result
    }

    /// Reports the type `file` inside a schema. `file` is allowed only for a form field or a whole
    /// response.
    pub(super) fn no_file(&mut self, schema: NodeId) {
        if let Some(kind) = self.nodes.get(schema, "type")
            && self.nodes.string(kind).as_deref() == Some("file")
        {
            let at = self.nodes.span(kind);
            self.sink.push(
                Diagnostic::new(
                    &UNKNOWN_VALUE,
                    at,
                    "`type: file` is not allowed in a schema",
                )
                .label("it is read as `{type: string, format: binary}`")
                .help(
                    "`type: file` belongs in a parameter with `in: formData` or directly in \
the `schema` of a response",
                )
                .level(Level::Warn),
            );
        }
    }

    fn each(&mut self, properties: NodeId, depth: usize) -> NodeId {
        let mut lifted = Map::new(self.nodes.span(properties));
        let mut changed = false;
        for entry in self.nodes.entries(properties) {
            let schema = self.schema_at(entry.value, depth + 1);
            changed |= schema != entry.value;
            lifted.put(&entry.key, entry.key_span, schema);
        }
        if changed {
            self.nodes.map(lifted)
        } else {
            properties
        }
    }
}
