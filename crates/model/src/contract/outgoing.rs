//! Requests that the API itself sends: callbacks of operations, and webhooks.

use bundle::ir;
use diag::{NodeId, NodeRef};

use super::{DocumentParameter, Parts};
use openapi::spec::{In, Method, Version};

/// Maximum depth of nested callbacks. Callbacks may refer to each other in a circle.
const DEPTH_MAX: usize = 4;

/// Operations for the requests that the API sends.
#[derive(Default)]
pub(super) struct Outgoing {
    pub(super) operations: Vec<ir::ContractOperation>,
}

impl Outgoing {
    /// Adds the callbacks of an operation. The key of a callback is
    /// `KEY callback NAME METHOD EXPRESSION`.
    pub(super) fn callbacks<'a>(
        &mut self,
        parts: &mut Parts<'_, 'a>,
        key: &str,
        operation: NodeRef<'a>,
    ) -> Result<(), ir::NotASet> {
        self.callbacks_at(parts, key, operation, &mut Vec::new())
    }

    fn callbacks_at<'a>(
        &mut self,
        parts: &mut Parts<'_, 'a>,
        key: &str,
        operation: NodeRef<'a>,
        ancestors: &mut Vec<NodeId>,
    ) -> Result<(), ir::NotASet> {
        if ancestors.len() == DEPTH_MAX {
            return Ok(());
        }
        ancestors.push(operation.id());
        for (name, callback) in parts.entries(parts.field(operation, "callbacks")) {
            for (expression, item) in parts.entries(Some(callback)) {
                if expression.starts_with("x-") {
                    continue;
                }
                for (method, called) in methods(parts, item) {
                    let key = format!("{key} callback {name} {} {expression}", method.0);
                    self.push(parts, &key, item, called, ancestors)?;
                }
            }
        }
        ancestors.pop();
        Ok(())
    }

    /// Adds the `webhooks` of the root. The key of a webhook is `webhook NAME METHOD`.
    pub(super) fn webhooks<'a>(
        &mut self,
        parts: &mut Parts<'_, 'a>,
        root: NodeRef<'a>,
    ) -> Result<(), ir::NotASet> {
        for (name, item) in parts.entries(parts.field(root, "webhooks")) {
            for (method, called) in methods(parts, item) {
                let key = format!("webhook {name} {}", method.0);
                self.push(parts, &key, item, called, &mut Vec::new())?;
            }
        }
        Ok(())
    }

    fn push<'a>(
        &mut self,
        parts: &mut Parts<'_, 'a>,
        key: &str,
        item: NodeRef<'a>,
        called: NodeRef<'a>,
        ancestors: &mut Vec<NodeId>,
    ) -> Result<(), ir::NotASet> {
        let own = written(parts, called);
        let mut all = written(parts, item);
        all.retain(|shared| {
            let again =
                |own: &DocumentParameter<'_>| own.place == shared.place && own.name == shared.name;
            !own.iter().any(again)
        });
        all.extend(own);
        // A webhook has no path template, so its path parameters are ordered by name.
        let mut in_path: Vec<&str> = all
            .iter()
            .filter(|one| one.place == In::Path)
            .map(|one| one.name)
            .collect();
        in_path.sort_unstable();
        parts.schemas.sites.operation(key);
        let parameters = parts.parameters(&in_path, &all);
        let operation = parts.operation(key.to_owned(), parameters, called)?;
        self.operations.push(operation);
        self.callbacks_at(parts, key, called, ancestors)
    }
}

fn methods<'a>(parts: &Parts<'_, 'a>, item: NodeRef<'a>) -> Vec<(Method, NodeRef<'a>)> {
    let of = |(key, operation): (&str, NodeRef<'a>)| {
        Some((Method::of_key(key, Version::V32)?, operation)).filter(|_| operation.is_map())
    };
    let own = parts.entries(Some(item)).into_iter().filter_map(of);
    let more = parts.entries(parts.field(item, "additionalOperations"));
    let more = more
        .into_iter()
        .filter_map(|(key, operation)| Some((Method::additional(key)?, operation)));
    own.chain(more).collect()
}

fn written<'a>(parts: &Parts<'_, 'a>, holder: NodeRef<'a>) -> Vec<DocumentParameter<'a>> {
    let list = parts.field(holder, "parameters");
    let items = list.into_iter().flat_map(NodeRef::items);
    items
        .filter_map(|item| {
            let node = parts.resolver.resolve(item)?;
            let place = match parts.field(node, "in")?.as_str()? {
                "path" => In::Path,
                "query" => In::Query,
                "header" => In::Header,
                "cookie" => In::Cookie,
                "querystring" => In::Querystring,
                _ => return None,
            };
            Some(DocumentParameter {
                place,
                name: parts.field(node, "name")?.as_str()?,
                node,
            })
        })
        .collect()
}
