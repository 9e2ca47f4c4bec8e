//! Conversion of Swagger 2.0 paths and operations.

use diag::{Kind, NodeId};

use super::nodes::Map;
use super::parameter::GroupedParameters;
use super::{Lift, MediaTypes};

const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch"];

impl Lift<'_> {
    pub(super) fn paths(
        &mut self,
        paths: NodeId,
        consumes: MediaTypes,
        produces: MediaTypes,
    ) -> NodeId {
        if !self.nodes.is_map(paths) {
            return paths;
        }
        let mut lifted = Map::new(self.nodes.span(paths));
        for entry in self.nodes.entries(paths) {
            let item = if entry.key.starts_with("x-") {
                entry.value
            } else {
                self.path_item(entry.value, consumes, produces)
            };
            lifted.put(&entry.key, entry.key_span, item);
        }
        self.nodes.map(lifted)
    }

    /// Lifts a path item. A reference is replaced by its target, because path items are rarely
    /// shared.
    fn path_item(&mut self, node: NodeId, consumes: MediaTypes, produces: MediaTypes) -> NodeId {
        let Some(item) = self
            .resolved(node, "paths")
            .filter(|item| self.nodes.is_map(*item))
        else {
            return node;
        };
        if !self.busy.insert(item) {
            return node;
        }
        let mut lifted = Map::new(self.nodes.span(item));
        let mut shared = GroupedParameters::default();
        if let Some(entry) = self.nodes.entry(item, "parameters") {
            match self.parameters(entry.value) {
                Some(grouped) => shared = grouped,
                None => lifted.keep(&entry),
            }
            if !shared.parameters.is_empty() {
                let at = self.nodes.span(entry.value);
                let list = self.nodes.push(at, Kind::List(shared.parameters.clone()));
                lifted.put("parameters", entry.key_span, list);
            }
        }
        for entry in self.nodes.entries(item) {
            match &*entry.key {
                "parameters" => {}
                key if METHODS.contains(&key) => {
                    let operation = self.operation(entry.value, &shared, consumes, produces);
                    lifted.put(key, entry.key_span, operation);
                }
                _ => lifted.keep(&entry),
            }
        }
        self.busy.remove(&item);
        self.nodes.map(lifted)
    }

    fn operation(
        &mut self,
        node: NodeId,
        shared: &GroupedParameters,
        consumes: MediaTypes,
        produces: MediaTypes,
    ) -> NodeId {
        let Some(operation) = self
            .resolved(node, "paths")
            .filter(|node| self.nodes.is_map(*node))
        else {
            return node;
        };
        let consumes = self.nodes.get(operation, "consumes").or(consumes);
        let produces = self.nodes.get(operation, "produces").or(produces);
        let mut lifted = Map::new(self.nodes.span(operation));
        let mut own = GroupedParameters::default();
        for entry in self.nodes.entries(operation) {
            match &*entry.key {
                "consumes" | "produces" => {}
                "schemes" => {
                    let servers = self.servers(self.document.root, Some(entry.value));
                    if let Some(servers) = servers {
                        lifted.put("servers", entry.key_span, servers);
                    }
                }
                "parameters" => match self.parameters(entry.value) {
                    None => lifted.keep(&entry),
                    Some(grouped) => {
                        own = grouped;
                        if !own.parameters.is_empty() {
                            let at = self.nodes.span(entry.value);
                            let list = self.nodes.push(at, Kind::List(own.parameters.clone()));
                            lifted.put("parameters", entry.key_span, list);
                        }
                    }
                },
                "responses" => {
                    let responses = self.responses(entry.value, produces);
                    lifted.put("responses", entry.key_span, responses);
                }
                _ => lifted.keep(&entry),
            }
        }
        if let Some((at, body)) = self.body(&own, shared, consumes) {
            lifted.put("requestBody", at, body);
        }
        self.nodes.map(lifted)
    }

    fn responses(&mut self, node: NodeId, produces: MediaTypes) -> NodeId {
        if !self.nodes.is_map(node) {
            return node;
        }
        let mut lifted = Map::new(self.nodes.span(node));
        for entry in self.nodes.entries(node) {
            let response = if entry.key.starts_with("x-") {
                entry.value
            } else {
                self.response(entry.value, produces)
            };
            lifted.put(&entry.key, entry.key_span, response);
        }
        self.nodes.map(lifted)
    }
}
