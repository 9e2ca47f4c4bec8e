//! Contracts of documents: requests and responses of each operation as schema graphs. The graphs do
//! not depend on the notation in the document (plan.md, *Same meaning, same id, empty plan*).
//!
//! [`schema`] builds a node for each reachable schema. [`refine`] finds equivalent nodes, and
//! [`graph`] gives them the same number. This module reads everything around the schemas.

pub mod difference;
mod equality;
mod graph;
pub mod joint;
pub(crate) mod least_bytes;
mod limits;
mod normal;
mod number;
pub mod outgoing;
pub mod prose;
pub(crate) mod refine;
mod schema;
pub mod sent_credentials;
pub mod sites;

use bundle::ir::{self, Value};
use diag::NodeRef;
use rustc_hash::FxHashSet;

use crate::{Api, Operation};
use openapi::spec::lift::COLLECTION_FORMAT;
use openapi::spec::reference::Resolver;
use openapi::spec::{In, is_ignored_header};
use prose::SchemaProse;
use schema::{Schemas, map};
use sites::Sites;
use sources::project::files::Files;

/// Builds the contract of an API without errors: its operations, except internal ones, and the
/// requests that the API itself sends. Also returns the prose and the source locations of its
/// schemas.
///
/// # Errors
/// Returns an error if two operations have the same key, which the lint rules report.
pub fn contract<'a>(
    files: &'a Files,
    api: &'a Api,
) -> Result<(ir::Contract, SchemaProse, Sites), ir::NotASet> {
    let resolver = Resolver::new(files, &api.document);
    let mut parts = Parts {
        schemas: Schemas::new(&resolver, api.spec.version),
        resolver: &resolver,
    };
    let mut served: Vec<&Operation> = api
        .operations
        .iter()
        .filter(|operation| !operation.internal)
        .collect();
    served.sort_by(|a, b| a.key.cmp(&b.key));
    let nodes = served.iter().map(|operation| {
        let written = &api.spec.paths[operation.place.0].operations[operation.place.1];
        (operation.key.clone(), resolver.node(written.node))
    });
    // An API that sends too many requests has an error, see `outgoing::check`.
    let sent = outgoing::sent(&parts, nodes).unwrap_or_default();
    let mut operations = Vec::with_capacity(served.len());
    for operation in served {
        operations.push(parts.served(api, operation)?);
    }
    let outgoing = sent.into_iter().map(|sent| sent.contract(&mut parts));
    let outgoing = ir::Set::new(outgoing.collect::<Result<_, _>>()?)?;
    let operations = ir::Set::new(operations)?;
    Ok(parts.finish(files, api.name.clone(), operations, outgoing))
}

/// Reader of the parts of an operation that contain schemas.
struct Parts<'r, 'a> {
    schemas: Schemas<'r, 'a>,
    resolver: &'r Resolver<'a>,
}

/// Parameter in a document, with its location and name.
struct DocumentParameter<'a> {
    place: In,
    name: &'a str,
    node: NodeRef<'a>,
}

impl<'a> Parts<'_, 'a> {
    fn served(
        &mut self,
        api: &'a Api,
        operation: &Operation,
    ) -> Result<ir::ContractOperation, ir::NotASet> {
        let written = &api.spec.paths[operation.place.0].operations[operation.place.1];
        let parameters: Vec<DocumentParameter<'_>> = written
            .parameters
            .iter()
            .map(|parameter| DocumentParameter {
                place: parameter.place,
                name: &parameter.name.value,
                node: self.resolver.node(parameter.node),
            })
            .collect();
        let in_path: Vec<&str> = operation.template.parameters().collect();
        self.schemas.sites.operation(&operation.key);
        let parameters = self.parameters(&in_path, &parameters);
        let node = self.resolver.node(written.node);
        self.operation(operation.key.clone(), parameters, node)
    }

    fn operation(
        &mut self,
        key: String,
        parameters: Vec<ir::Parameter>,
        node: NodeRef<'a>,
    ) -> Result<ir::ContractOperation, ir::NotASet> {
        let body = match self.field(node, "requestBody") {
            None => None,
            Some(body) => {
                self.schemas.sites.part("body".to_owned(), body.span());
                Some(ir::Body {
                    required: self.flag(body, "required"),
                    media_types: self.media_types("body", body)?,
                })
            }
        };
        let mut responses = Vec::new();
        for (status, response) in self.entries(self.field(node, "responses")) {
            if !status.starts_with("x-") {
                let status = status.to_ascii_lowercase();
                let part = format!("response {status}");
                self.schemas.sites.part(part.clone(), response.span());
                responses.push(ir::Response {
                    headers: ir::Set::new(self.headers(&part, response))?,
                    media_types: self.media_types(&format!("{part} body"), response)?,
                    status,
                });
            }
        }
        responses.sort_by(|a, b| a.status.cmp(&b.status));
        Ok(ir::ContractOperation {
            key,
            deprecated: self.flag(node, "deprecated"),
            parameters,
            body,
            responses,
            security: None,
        })
    }

    /// Builds the contracts of the path parameters in the order of the template, then the contracts
    /// of all other parameters, sorted. Leaves out header parameters that OpenAPI ignores.
    fn parameters(
        &mut self,
        in_path: &[&str],
        written: &[DocumentParameter<'a>],
    ) -> Vec<ir::Parameter> {
        let mut all = Vec::with_capacity(written.len());
        for (at, name) in in_path.iter().enumerate() {
            let mut own = written.iter();
            let own = own.find(|one| one.place == In::Path && one.name == *name);
            all.push(ir::Parameter {
                place: ir::ParameterPlace::Path,
                name: (*name).to_owned(),
                required: true,
                definition: match own {
                    Some(own) => {
                        let part = format!("path #{at}");
                        self.schemas.sites.part(part, own.node.span());
                        self.field_value(own.node, "simple")
                    }
                    None => Value::Map(Vec::new()),
                },
            });
        }
        let mut others = Vec::new();
        for one in written {
            let (place, style) = match one.place {
                In::Path => continue,
                In::Header if is_ignored_header(one.name) => continue,
                In::Query => (ir::ParameterPlace::Query, "form"),
                In::Querystring => (ir::ParameterPlace::Querystring, "form"),
                In::Header => (ir::ParameterPlace::Header, "simple"),
                In::Cookie => (ir::ParameterPlace::Cookie, "form"),
            };
            // HTTP field names are case-insensitive (RFC 9110 §5.1).
            let name = match place {
                ir::ParameterPlace::Header => one.name.to_ascii_lowercase(),
                _ => one.name.to_owned(),
            };
            let part = format!("{} {name}", place.name());
            self.schemas.sites.part(part, one.node.span());
            others.push(ir::Parameter {
                place,
                name,
                required: self.flag(one.node, "required"),
                definition: self.field_value(one.node, style),
            });
        }
        others.sort_by(|a, b| (a.place, &a.name).cmp(&(b.place, &b.name)));
        all.extend(others);
        all
    }

    /// Builds the contract of the value of a parameter or header. `style` is the default of the
    /// keyword `style` for this location.
    fn field_value(&mut self, node: NodeRef<'a>, style: &str) -> Value {
        let mut entries = Vec::new();
        let written = node.get("style").and_then(NodeRef::as_str).unwrap_or(style);
        if written != style {
            entries.push(("style".into(), Value::Text(written.into())));
        }
        // `cookie` (3.2) is `form` without percent-encoding.
        let explode = matches!(written, "form" | "cookie");
        if let Some(written) = node.get("explode").and_then(NodeRef::as_bool)
            && written != explode
        {
            entries.push(("explode".into(), Value::Bool(written)));
        }
        entries.extend(collection_format(node));
        for flag in ["allowReserved", "allowEmptyValue", "deprecated"] {
            if self.flag(node, flag) {
                entries.push((flag.into(), Value::Bool(true)));
            }
        }
        if let Some(schema) = node.get("schema") {
            entries.push(("schema".into(), self.schemas.schema(schema)));
        }
        if let Some(content) = self.field(node, "content") {
            let media = self.entries(Some(content));
            let media = media.into_iter().map(|(name, media)| {
                (
                    name.to_ascii_lowercase().into(),
                    self.media_type(name, media),
                )
            });
            let media = unique(media.collect(), |(name, _): &(Box<str>, Value)| {
                name.clone()
            });
            entries.push(("content".into(), map(media)));
        }
        map(entries)
    }

    fn media_types(
        &mut self,
        of: &str,
        holder: NodeRef<'a>,
    ) -> Result<ir::Set<ir::MediaType>, ir::NotASet> {
        let written = self.entries(self.field(holder, "content"));
        let all = written.into_iter().map(|(name, media)| {
            let name = name.to_ascii_lowercase();
            self.schemas
                .sites
                .part(format!("{of} {name}"), media.span());
            ir::MediaType {
                definition: self.media_type(&name, media),
                name,
            }
        });
        ir::Set::new(unique(all.collect(), |media: &ir::MediaType| {
            media.name.clone()
        }))
    }

    /// Builds the contract of a media type. `encoding` has an effect only in forms and multipart
    /// bodies (3.1.1, section 4.8.14.1).
    fn media_type(&mut self, name: &str, node: NodeRef<'a>) -> Value {
        let mut entries = Vec::new();
        for key in ["schema", "itemSchema"] {
            if let Some(schema) = node.get(key) {
                entries.push((key.into(), self.schemas.schema(schema)));
            }
        }
        let has_parts = [
            "multipart/",
            "application/x-www-form-urlencoded",
            "*/*",
            "application/*",
        ];
        if has_parts.iter().any(|begin| name.starts_with(begin)) {
            entries.extend(self.encodings(node));
        }
        map(entries)
    }

    /// Fields `encoding`, `prefixEncoding` and `itemEncoding` of a media type, each with its value.
    /// Leaves out the fields that the document does not set.
    fn encodings(&mut self, node: NodeRef<'a>) -> Vec<(Box<str>, Value)> {
        let mut entries: Vec<(Box<str>, Value)> = Vec::new();
        let by_name = self.entries(self.field(node, "encoding"));
        let by_name: Vec<(Box<str>, Value)> = by_name
            .into_iter()
            .map(|(name, encoding)| (name.into(), self.encoding(encoding)))
            .collect();
        if !by_name.is_empty() {
            entries.push(("encoding".into(), map(by_name)));
        }
        if let Some(list) = self.field(node, "prefixEncoding") {
            let items: Vec<NodeRef<'a>> = list.items().collect();
            let items = items.into_iter().map(|item| self.encoding(item));
            entries.push(("prefixEncoding".into(), Value::List(items.collect())));
        }
        if let Some(encoding) = self.field(node, "itemEncoding") {
            entries.push(("itemEncoding".into(), self.encoding(encoding)));
        }
        entries
    }

    /// Encoding of a property. The presence of `style` is recorded, because `style` with any value
    /// disables `contentType` (3.1 §4.8.15).
    fn encoding(&mut self, node: NodeRef<'a>) -> Value {
        let mut entries: Vec<(Box<str>, Value)> = Vec::new();
        for key in ["contentType", "style", "explode", "allowReserved"] {
            if let Some(value) = node.get(key) {
                entries.push((key.into(), self.schemas.literal(value)));
            }
        }
        entries.extend(collection_format(node));
        let headers = self.headers("encoding", node).into_iter().map(|header| {
            let Value::Map(mut definition) = header.definition else {
                return (header.name.into(), header.definition);
            };
            if header.required {
                definition.push(("required".into(), Value::Bool(true)));
            }
            (header.name.into(), map(definition))
        });
        let headers: Vec<(Box<str>, Value)> = headers.collect();
        if !headers.is_empty() {
            entries.push(("headers".into(), map(headers)));
        }
        entries.extend(self.encodings(node));
        map(entries)
    }

    /// Builds the contracts of the header fields of a response or an encoding. Leaves out
    /// `Content-Type`, which OpenAPI ignores there (3.1.1, sections 4.8.15.1.2 and 4.8.17.1).
    fn headers(&mut self, of: &str, holder: NodeRef<'a>) -> Vec<ir::Header> {
        let written = self.entries(self.field(holder, "headers"));
        let is_used = |name: &str| !name.eq_ignore_ascii_case("content-type");
        let written = written.into_iter().filter(|(name, _)| is_used(name));
        let all = written.map(|(name, header)| {
            let name = name.to_ascii_lowercase();
            let part = format!("{of} header {name}");
            self.schemas.sites.part(part, header.span());
            ir::Header {
                required: self.flag(header, "required"),
                definition: self.field_value(header, "simple"),
                name,
            }
        });
        unique(all.collect(), |header: &ir::Header| header.name.clone())
    }

    /// Returns the value of a field with its references resolved.
    fn field(&self, node: NodeRef<'a>, key: &str) -> Option<NodeRef<'a>> {
        self.resolver.resolve(node.get(key)?)
    }

    fn flag(&self, node: NodeRef<'a>, key: &str) -> bool {
        self.field(node, key).and_then(NodeRef::as_bool) == Some(true)
    }

    /// Returns the entries of a map, sorted by key, with the references of the values resolved.
    fn entries(&self, node: Option<NodeRef<'a>>) -> Vec<(&'a str, NodeRef<'a>)> {
        let entries = node.into_iter().flat_map(NodeRef::entries);
        let mut entries: Vec<(&str, NodeRef<'_>)> = entries
            .filter_map(|(entry, value)| Some((&*entry.key, self.resolver.resolve(value)?)))
            .collect();
        entries.sort_by_key(|(key, _)| *key);
        entries
    }

    /// Builds the contract from the collected operations, with canonical node numbers. Also returns
    /// the prose and the source locations of the schemas.
    fn finish(
        mut self,
        files: &Files,
        name: String,
        operations: ir::Set<ir::ContractOperation>,
        outgoing: ir::Set<ir::ContractOperation>,
    ) -> (ir::Contract, SchemaProse, Sites) {
        self.schemas.read_waiting();
        let mut contract = ir::Contract {
            name,
            operations,
            outgoing,
            schemas: Vec::new(),
            names_only: false,
        };
        let mut roots = Vec::new();
        for operation in contract.all() {
            operation.each_value(&mut |value| value.each_node(&mut |node| roots.push(node)));
        }
        self.schemas.graph.simplify();
        let canonical = self.schemas.graph.canonical(&roots);
        contract
            .renumber(&mut |node| canonical.number[node as usize].expect("each root was visited"));
        contract.schemas = canonical.nodes;
        let sites = self.schemas.sites.finish(&files.sources, &canonical.number);
        (contract, self.schemas.prose, sites)
    }
}

/// Separators of list items that only Swagger 2.0 has.
fn collection_format(node: NodeRef<'_>) -> Option<(Box<str>, Value)> {
    let format = node.get(COLLECTION_FORMAT)?.as_str()?;
    Some(("collectionFormat".into(), Value::Text(format.into())))
}

/// Keeps the first of several items with the same name.
fn unique<T, N: Eq + std::hash::Hash>(all: Vec<T>, name: impl Fn(&T) -> N) -> Vec<T> {
    let mut seen = FxHashSet::default();
    all.into_iter()
        .filter(|one| seen.insert(name(one)))
        .collect()
}
