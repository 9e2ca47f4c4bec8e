//! Settings of documents that are part of the vocabulary, but that gwd does not support yet.
//! Bundles contain them for comparisons (`gwc diff`); gwd ignores them.

use diag::Tree;
use diag::shape::Shape;
use policy::declared::{self, Scalar, Settings, Value};

use super::settings::{ApiEntry, FROM_SERVERS};
use openapi::spec::{Operation, PathItem, Server, Spec};
use vocab::extension::{OPERATION, PARAMETER, RESPONSE, ROOT, SCHEMA};

/// Nodes of the document that contain settings of one operation.
pub(super) struct Nodes<'a> {
    pub(super) tree: &'a Tree,
    pub(super) spec: &'a Spec,
    pub(super) item: &'a PathItem,
    pub(super) operation: &'a Operation,
    /// Name of the operation's upstream.
    pub(super) upstream: &'a str,
}

/// Settings of one operation, with its parameters, responses and servers, that gwd does not support
/// yet.
pub(super) fn operation(nodes: &Nodes<'_>) -> Settings {
    let Nodes {
        tree,
        spec,
        item,
        operation,
        upstream,
    } = nodes;
    let extension = operation.x_gateway.map(|id| tree.at(id));
    let own = extension.map(|node| declared::later(node, &Shape::Object(&OPERATION)));
    let mut all = own.unwrap_or_default();
    for parameter in &operation.parameters {
        if let Some(id) = parameter.x_gateway {
            let key = format!("{} {}", parameter.place.name(), parameter.name.value);
            let found = declared::later(tree.at(id), &Shape::Object(&PARAMETER));
            all = all.with_below(&["parameters", &key], found);
        }
    }
    for response in &operation.responses {
        if let Some(id) = response.x_gateway {
            let key = response.status.value.to_ascii_lowercase();
            let found = declared::later(tree.at(id), &Shape::Object(&RESPONSE));
            all = all.with_below(&["responses", &key], found);
        }
    }
    let servers = [&operation.servers, &item.servers, &spec.servers];
    let nearest: &[Server] = servers
        .into_iter()
        .find(|servers| !servers.is_empty())
        .map_or(&[], Vec::as_slice);
    for (index, server) in nearest.iter().enumerate() {
        if *upstream == FROM_SERVERS {
            let url = Value::One(Scalar::Text(server.url.value.clone()));
            all = all.with(&["servers", &format!("{index:03}"), "url"], url);
        }
    }
    all
}

/// Settings of a whole API that gwd does not support yet. A value in gateway.yaml overrides the
/// value in the document. Paths of settings in schemas contain numbers instead of schema names,
/// because schema names do not affect behaviour.
pub(super) fn api(tree: &Tree, spec: &Spec, entry: &ApiEntry) -> Settings {
    let root = spec
        .x_gateway
        .map(|id| declared::later(tree.at(id), &Shape::Object(&ROOT)));
    let root = root
        .unwrap_or_default()
        .without(|path| path[0] == "defaults");
    let mut all = entry.declared.clone().with_below(&[], root);
    let schemas = spec
        .extensions
        .iter()
        .filter(|(_, object)| std::ptr::eq(*object, &raw const SCHEMA));
    let mut schemas: Vec<Settings> = schemas
        .map(|(id, object)| declared::later(tree.at(*id), &Shape::Object(object)))
        .filter(|found| !found.is_empty())
        .collect();
    schemas.sort();
    schemas.dedup();
    for (index, found) in schemas.into_iter().enumerate() {
        all = all.with_below(&["schemas", &format!("{index:03}")], found);
    }
    all
}
