//! Conversion ("lift") of Swagger 2.0 to OpenAPI 3.0. All spans still refer to the 2.0 text.
//!
//! Nodes that are equal in both versions are kept. Constructs that 2.0 writes differently (`host`,
//! `consumes`, body parameters, flows) become new nodes with the spans of their source. Unknown
//! keys are copied, so that the structure check reports them. References keep their text, because
//! the resolver converts the pointers of 2.0.

use std::collections::{HashMap, HashSet};

use diag::{Diagnostic, Kind, NodeId, NodeRef, Sink, Span, suggest};

use self::nodes::{Map, Nodes};
use super::lints::UNKNOWN_VALUE;
use super::reference::Resolver;
use sources::project::files::{Document, Files};

mod nodes;
mod operation;
mod parameter;
mod response;
mod schema;
mod security;
mod separators;

/// OpenAPI version of a lifted document.
const LIFTED_VERSION: &str = "3.0.3";
/// Default media type of a body. Swagger 2.0 defines no default.
const MEDIA_TYPE_DEFAULT: &str = "application/json";

/// Key of a lifted parameter, header or encoding for the separators of list items that OpenAPI 3.0
/// cannot express, such as `items: pipes`.
pub const COLLECTION_FORMAT: &str = "x-swagger-collectionFormat";

/// New pointers of the top-level sections of Swagger 2.0, by the first part of the old pointer. A
/// name is searched in the new sections in the given order.
pub(super) const MOVED: &[(&str, &[&str])] = &[
    ("definitions", &["components/schemas"]),
    (
        "parameters",
        &["components/parameters", "components/requestBodies"],
    ),
    ("responses", &["components/responses"]),
    ("securityDefinitions", &["components/securitySchemes"]),
];

/// True if a root node is a Swagger 2.0 document.
#[must_use]
pub fn is_swagger(root: NodeRef<'_>) -> bool {
    root.get("openapi").is_none() && root.get("swagger").is_some_and(is_two)
}

fn is_two(version: NodeRef<'_>) -> bool {
    matches!(version.scalar_text(), Some("2.0" | "2"))
}

/// Lifts a Swagger 2.0 document. Its files must be loaded and its overlays applied. Any other
/// document is left unchanged.
pub fn lift(files: &mut Files, document: &mut Document, sink: &mut Sink) {
    if !is_swagger(files.tree.at(document.root)) {
        return;
    }
    let raw = document.clone();
    let mut lift = Lift {
        nodes: Nodes { files },
        document: raw,
        lifted: HashMap::new(),
        busy: HashSet::new(),
        sink,
    };
    document.root = lift.root();
}

/// Conversion of one document.
struct Lift<'f> {
    nodes: Nodes<'f>,
    /// Document before the conversion.
    document: Document,
    /// Lifted nodes, by source node and target type.
    lifted: HashMap<(NodeId, TargetType), NodeId>,
    /// Path items being resolved, to detect circular references.
    busy: HashSet<NodeId>,
    sink: &'f mut Sink,
}

/// Target type of a lifted node. The same source node may be lifted to several types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum TargetType {
    Schema,
    Header,
    Parameter,
    Response(MediaTypes),
}

/// List of media types: `produces` or `consumes` of an operation or of the root. `None` if absent.
type MediaTypes = Option<NodeId>;

impl Lift<'_> {
    fn root(&mut self) -> NodeId {
        let root = self.document.root;
        let start = self.nodes.span(root);
        let mut lifted = Map::new(start);
        let mut components = Map::new(start);
        // Create these sections even if they are empty. The message about a broken reference then
        // refers to the missing name and not to a missing section.
        let mut schemas = Map::new(start);
        let mut parameters = Map::new(start);
        let mut bodies = Map::new(start);
        let mut responses = Map::new(start);
        let consumes = self.nodes.get(root, "consumes");
        let produces = self.nodes.get(root, "produces");
        for entry in self.nodes.entries(root) {
            let value = entry.value;
            match &*entry.key {
                "swagger" => {
                    let at = self.nodes.span(value);
                    let version = self.nodes.text(LIFTED_VERSION, at);
                    lifted.put("openapi", entry.key_span, version);
                }
                "host" | "basePath" | "schemes" | "consumes" | "produces" => {}
                "paths" => {
                    let paths = self.paths(value, consumes, produces);
                    lifted.put("paths", entry.key_span, paths);
                }
                "definitions" => {
                    schemas = Map::new(self.nodes.span(value));
                    for definition in self.nodes.entries(value) {
                        self.no_file(definition.value);
                        let schema = self.schema(definition.value);
                        schemas.put(&definition.key, definition.key_span, schema);
                    }
                }
                "parameters" => {
                    for parameter in self.nodes.entries(value) {
                        self.shared_parameter(&parameter, consumes, &mut parameters, &mut bodies);
                    }
                }
                "responses" => {
                    for response in self.nodes.entries(value) {
                        let lifted = self.response(response.value, produces);
                        responses.put(&response.key, response.key_span, lifted);
                    }
                }
                "securityDefinitions" => {
                    let schemes = self.security_schemes(value);
                    components.put("securitySchemes", entry.key_span, schemes);
                }
                _ => lifted.keep(&entry),
            }
        }
        if let Some(servers) = self.servers(root, self.nodes.get(root, "schemes")) {
            lifted.put("servers", start, servers);
        }
        for (key, map) in [
            ("schemas", schemas),
            ("parameters", parameters),
            ("requestBodies", bodies),
            ("responses", responses),
        ] {
            let map = self.nodes.map(map);
            components.put(key, start, map);
        }
        let components = self.nodes.map(components);
        lifted.put("components", start, components);
        self.nodes.map(lifted)
    }

    /// Converts `host`, `basePath` and `schemes` to servers. `None` if `host` and `basePath` are
    /// absent.
    fn servers(&mut self, root: NodeId, schemes: Option<NodeId>) -> Option<NodeId> {
        let host = self.nodes.get(root, "host");
        let base = self.nodes.get(root, "basePath");
        for scheme in schemes
            .map(|list| self.nodes.items(list))
            .unwrap_or_default()
        {
            self.known_scheme(scheme);
        }
        let at = self.nodes.span(host.or(base)?);
        let text = |node: Option<NodeId>| node.and_then(|node| self.nodes.string(node));
        let mut path = text(base).unwrap_or_default();
        if let Some(base) = base.filter(|_| !path.is_empty() && !path.starts_with('/')) {
            path.insert(0, '/');
            let message = format!(
                "`{}` cannot be a base path: it must begin with `/`",
                path[1..].escape_debug()
            );
            let at = self.nodes.span(base);
            self.sink
                .push(Diagnostic::new(&UNKNOWN_VALUE, at, message).help(format!("write `{path}`")));
        }
        let base = path;
        let base = base.trim_end_matches('/');
        let urls: Vec<(String, Span)> = match text(host) {
            None => vec![(
                if base.is_empty() {
                    "/".into()
                } else {
                    base.into()
                },
                at,
            )],
            Some(host) => {
                let items = schemes.map(|list| self.nodes.items(list));
                let mut urls: Vec<(String, Span)> = Vec::new();
                for scheme in items.into_iter().flatten() {
                    if let Some(name) = self.nodes.string(scheme) {
                        urls.push((format!("{name}://{host}{base}"), at));
                    }
                }
                if urls.is_empty() {
                    urls.push((format!("https://{host}{base}"), at));
                }
                urls
            }
        };
        let mut servers = Vec::new();
        for (url, at) in urls {
            let mut server = Map::new(at);
            let url = self.nodes.text(&url, at);
            server.put("url", at, url);
            servers.push(self.nodes.map(server));
        }
        Some(self.nodes.push(at, Kind::List(servers)))
    }

    fn known_scheme(&mut self, scheme: NodeId) {
        const SCHEMES: &[&str] = &["http", "https", "ws", "wss"];
        let Some(name) = self.nodes.string(scheme) else {
            return;
        };
        if !SCHEMES.contains(&name.as_str()) {
            let message = format!("`{}` is an unknown value", name.escape_debug());
            let finding = Diagnostic::new(&UNKNOWN_VALUE, self.nodes.span(scheme), message);
            self.sink
                .push(finding.label(suggest::one_of(SCHEMES.iter().copied(), 8)));
        }
    }

    /// Resolves a reference of 2.0; returns the node itself if it is not a reference. `None` if the
    /// reference is broken or leads to a section other than `wanted`. Such a reference is left
    /// unchanged and reported by the structure check.
    fn resolved(&self, node: NodeId, wanted: &str) -> Option<NodeId> {
        let files = &*self.nodes.files;
        let node = files.tree.at(node);
        let Some(reference) = super::reference::reference(node) else {
            return Some(node.id());
        };
        let part = reference.as_str()?.strip_prefix("#/").unwrap_or_default();
        let part = part.split('/').next().unwrap_or_default();
        if part != wanted && MOVED.iter().any(|(old, _)| *old == part) {
            return None;
        }
        let resolver = Resolver::new(files, &self.document);
        resolver.resolve(node).map(NodeRef::id)
    }

    /// Lifts a node. A node is lifted at most once per target type, and the result is reused.
    fn once(
        &mut self,
        node: NodeId,
        what: TargetType,
        lift: impl FnOnce(&mut Self) -> NodeId,
    ) -> NodeId {
        if let Some(known) = self.lifted.get(&(node, what)) {
            return *known;
        }
        let lifted = lift(self);
        self.lifted.insert((node, what), lifted);
        lifted
    }
}
