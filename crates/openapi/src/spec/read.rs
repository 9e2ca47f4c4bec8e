//! Reader of a [`Spec`] from the tree. Leaves out parts that cannot be read. Reports only an
//! unsupported version; [`crate::check`] reports all other mistakes.

use diag::{Diagnostic, NodeId, NodeRef, Sink, Spanned};

use super::lints::UNSUPPORTED_VERSION;
use super::reference::Resolver;
use super::{
    In, MediaType, Method, NotRouted, Operation, Parameter, PathItem, RequestBody, Requirement,
    Response, SchemeKind, Security, SecurityScheme, Server, Spec, Version, first_key,
};
use sources::project::files::{Document, Files};

/// Reads a document whose files were loaded by [`Files::follow`]. Leaves `extensions` empty:
/// [`crate::check`] fills it.
#[must_use]
pub fn read(files: &Files, document: &Document, version: Version) -> Spec {
    let resolver = Resolver::new(files, document);
    Reader { resolver, version }.spec()
}

/// Returns the version in `openapi`. Reports an unsupported or missing version.
pub fn version(root: NodeRef<'_>, sink: &mut Sink) -> Option<Version> {
    let Some(field) = root.get("openapi") else {
        let finding = match root.get("swagger") {
            Some(swagger) => Diagnostic::new(
                &UNSUPPORTED_VERSION,
                swagger.span(),
                format!(
                    "`{}` is not a supported version of Swagger",
                    swagger.scalar_text().unwrap_or_default().escape_debug()
                ),
            )
            .help("2.0 is supported, as `swagger: \"2.0\"`"),
            None => not_openapi(root),
        };
        sink.push(finding);
        return None;
    };
    let text = field.scalar_text().unwrap_or_default();
    // Treat `3.1.0-rc1` as 3.1.
    let number = text.split('-').next().unwrap_or_default();
    let version = match number.split('.').collect::<Vec<_>>()[..] {
        ["3", "0", _] | ["3", "0"] => Some(Version::V30),
        ["3", "1", _] | ["3", "1"] => Some(Version::V31),
        ["3", "2", _] | ["3", "2"] => Some(Version::V32),
        _ => None,
    };
    if version.is_none() {
        sink.push(
            Diagnostic::new(
                &UNSUPPORTED_VERSION,
                field.span(),
                format!(
                    "`{}` is not a supported version of OpenAPI",
                    text.escape_debug()
                ),
            )
            .help("3.0, 3.1 and 3.2 are supported, and Swagger 2.0"),
        );
    }
    version
}

/// Creates the finding for a document without `openapi`, placed at a misspelt key if there is one.
fn not_openapi(root: NodeRef<'_>) -> Diagnostic {
    let message = "this is not an OpenAPI document: the field `openapi` is missing";
    let keys = || root.entries().map(|(entry, _)| entry);
    let is_near = |key: &str| diag::suggest::nearest(key, ["openapi"]).is_some();
    match keys().find(|entry| is_near(&entry.key)) {
        Some(entry) => Diagnostic::new(&UNSUPPORTED_VERSION, entry.key_span, message)
            .help("write `openapi`, in lower case")
            .fix(entry.key_span, "openapi"),
        None => Diagnostic::new(&UNSUPPORTED_VERSION, first_key(root), message)
            .help("write the version first, for instance `openapi: 3.1.0`"),
    }
}

struct Reader<'a> {
    resolver: Resolver<'a>,
    version: Version,
}

impl<'a> Reader<'a> {
    fn spec(&self) -> Spec {
        let root = self.resolver.root();
        let title = self
            .field(root, "info")
            .and_then(|info| self.text(info, "title"));
        let webhooks = self.entries(self.field(root, "webhooks"));
        let mut spec = Spec {
            file: self.resolver.document().file,
            version: self.version,
            title: title.unwrap_or_else(|| Spanned::new(String::new(), root.span())),
            root: root.id(),
            servers: self.servers(root),
            security: self.security(root),
            schemes: self.schemes(root),
            paths: Vec::new(),
            x_gateway: x_gateway(root),
            extensions: Vec::new(),
            not_routed: NotRouted {
                webhooks: webhooks.map(|(_, item)| self.methods(item)).sum(),
                ..NotRouted::default()
            },
        };
        for (template, item) in self.entries(self.field(root, "paths")) {
            if !template.value.starts_with("x-") {
                let path = self.path_item(template, item, &mut spec.not_routed);
                spec.paths.push(path);
            }
        }
        spec
    }

    /// Returns the value of a field with its references resolved.
    fn field(&self, node: NodeRef<'a>, key: &str) -> Option<NodeRef<'a>> {
        self.resolver.resolve(node.get(key)?)
    }

    fn text(&self, node: NodeRef<'a>, key: &str) -> Option<Spanned<String>> {
        let value = self.field(node, key)?;
        Some(Spanned::new(value.as_str()?.to_owned(), value.span()))
    }

    fn flag(&self, node: NodeRef<'a>, key: &str) -> bool {
        self.field(node, key).and_then(NodeRef::as_bool) == Some(true)
    }

    /// Returns the entries of a map with the references of their values resolved. Entries with
    /// broken references are left out.
    fn entries(
        &self,
        node: Option<NodeRef<'a>>,
    ) -> impl Iterator<Item = (Spanned<String>, NodeRef<'a>)> {
        node.into_iter()
            .flat_map(NodeRef::entries)
            .filter_map(|(entry, value)| {
                let key = Spanned::new(entry.key.to_string(), entry.key_span);
                Some((key, self.resolver.resolve(value)?))
            })
    }

    fn items(&self, node: NodeRef<'a>, key: &str) -> Option<Vec<NodeRef<'a>>> {
        let list = self.field(node, key)?;
        list.is_list().then(|| list.items().collect())
    }

    fn path_item(
        &self,
        template: Spanned<String>,
        item: NodeRef<'a>,
        not_routed: &mut NotRouted,
    ) -> PathItem {
        let shared = self.parameters(item);
        let mut operations = Vec::new();
        let own = item.entries().filter_map(|(entry, value)| {
            Some((Method::of_key(&entry.key, self.version)?, entry, value))
        });
        let additional = self.field(item, "additionalOperations");
        let additional = additional.filter(|_| self.version >= Version::V32);
        let additional = additional.into_iter().flat_map(NodeRef::entries);
        let additional = additional
            .filter_map(|(entry, value)| Some((Method::additional(&entry.key)?, entry, value)));
        for (method, entry, value) in own.chain(additional) {
            let Some(node) = self.resolver.resolve(value).filter(|node| node.is_map()) else {
                continue;
            };
            not_routed.callbacks += self.callbacks(node);
            let mut operation = self.operation(method, node, &shared);
            operation.key_span = entry.key_span;
            operations.push(operation);
        }
        PathItem {
            template,
            x_gateway: x_gateway(item),
            servers: self.servers(item),
            operations,
            node: item.id(),
        }
    }

    fn operation(&self, method: Method, node: NodeRef<'a>, shared: &[Parameter]) -> Operation {
        let own = self.parameters(node);
        let replaced = |parameter: &&Parameter| {
            !own.iter()
                .any(|own| own.place == parameter.place && own.name.value == parameter.name.value)
        };
        let mut parameters: Vec<Parameter> = shared.iter().filter(replaced).cloned().collect();
        parameters.extend(own);
        let tags = self.items(node, "tags").unwrap_or_default();
        let responses = self.entries(self.field(node, "responses"));
        Operation {
            method,
            key_span: node.span(),
            node: node.id(),
            operation_id: self.text(node, "operationId"),
            parameters,
            request_body: self
                .field(node, "requestBody")
                .map(|body| self.request_body(body)),
            responses: responses
                .filter(|(status, _)| !status.value.starts_with("x-"))
                .map(|(status, response)| self.response(status, response))
                .collect(),
            security: self.security(node),
            servers: self.servers(node),
            tags: tags
                .into_iter()
                .filter_map(|tag| self.string(tag))
                .collect(),
            summary: self.text(node, "summary"),
            description: self.text(node, "description"),
            deprecated: self.flag(node, "deprecated"),
            x_gateway: x_gateway(node),
        }
    }

    fn string(&self, node: NodeRef<'a>) -> Option<Spanned<String>> {
        let node = self.resolver.resolve(node)?;
        Some(Spanned::new(node.as_str()?.to_owned(), node.span()))
    }

    fn parameters(&self, node: NodeRef<'a>) -> Vec<Parameter> {
        let items = self.items(node, "parameters").unwrap_or_default();
        items
            .into_iter()
            .filter_map(|item| self.parameter(item))
            .collect()
    }

    fn parameter(&self, item: NodeRef<'a>) -> Option<Parameter> {
        let node = self.resolver.resolve(item)?;
        let place = match self.text(node, "in")?.value.as_str() {
            "path" => In::Path,
            "query" => In::Query,
            "header" => In::Header,
            "cookie" => In::Cookie,
            "querystring" if self.version >= Version::V32 => In::Querystring,
            _ => return None,
        };
        Some(Parameter {
            name: self.text(node, "name")?,
            place,
            required: self.flag(node, "required"),
            schema: node.get("schema").map(NodeRef::id),
            content: self.media_types(node).into_iter().next(),
            span: item.span(),
            node: node.id(),
            x_gateway: x_gateway(node),
        })
    }

    fn request_body(&self, node: NodeRef<'a>) -> RequestBody {
        RequestBody {
            required: self.flag(node, "required"),
            media_types: self.media_types(node),
            node: node.id(),
        }
    }

    fn response(&self, status: Spanned<String>, node: NodeRef<'a>) -> Response {
        Response {
            status,
            media_types: self.media_types(node),
            node: node.id(),
            x_gateway: x_gateway(node),
        }
    }

    fn media_types(&self, node: NodeRef<'a>) -> Vec<MediaType> {
        self.entries(self.field(node, "content"))
            .map(|(name, node)| MediaType {
                name,
                schema: node.get("schema").map(NodeRef::id),
                item_schema: node.get("itemSchema").map(NodeRef::id),
                node: node.id(),
            })
            .collect()
    }

    fn servers(&self, node: NodeRef<'a>) -> Vec<Server> {
        let items = self.items(node, "servers").unwrap_or_default();
        items
            .into_iter()
            .filter_map(|item| {
                let node = self.resolver.resolve(item)?;
                Some(Server {
                    url: self.text(node, "url")?,
                    node: node.id(),
                    x_gateway: x_gateway(node),
                })
            })
            .collect()
    }

    fn security(&self, node: NodeRef<'a>) -> Option<Security> {
        let list = node.get("security")?;
        // Items that are not maps were reported. If they were read as `{}`, the operation would be
        // open to everyone.
        let maps = list.items().filter(|item| item.is_map());
        Some(Security {
            span: list.span(),
            alternatives: maps.map(|item| self.requirement(item)).collect(),
            readable: list.is_list() && list.items().all(NodeRef::is_map),
        })
    }

    fn requirement(&self, item: NodeRef<'a>) -> Requirement {
        let schemes = item.entries().map(|(entry, scopes)| {
            let name = Spanned::new(entry.key.to_string(), entry.key_span);
            (
                name,
                scopes
                    .items()
                    .filter_map(|scope| self.string(scope))
                    .collect(),
            )
        });
        Requirement {
            span: item.span(),
            schemes: schemes.collect(),
        }
    }

    fn schemes(&self, root: NodeRef<'a>) -> Vec<SecurityScheme> {
        let components = self.field(root, "components");
        let schemes = components.and_then(|components| self.field(components, "securitySchemes"));
        self.entries(schemes)
            .filter_map(|(name, node)| {
                Some(SecurityScheme {
                    name,
                    kind: self.scheme_kind(node)?,
                    node: node.id(),
                    x_gateway: x_gateway(node),
                })
            })
            .collect()
    }

    fn scheme_kind(&self, node: NodeRef<'a>) -> Option<SchemeKind> {
        Some(match self.text(node, "type")?.value.as_str() {
            "apiKey" => SchemeKind::ApiKey {
                place: match self.text(node, "in")?.value.as_str() {
                    "header" => In::Header,
                    "query" => In::Query,
                    "cookie" => In::Cookie,
                    _ => return None,
                },
                name: self.text(node, "name")?,
            },
            "http" => {
                let mut scheme = self.text(node, "scheme")?;
                scheme.value.make_ascii_lowercase();
                SchemeKind::Http { scheme }
            }
            "oauth2" => {
                let flows = self.entries(self.field(node, "flows"));
                let scopes = flows.flat_map(|(_, flow)| self.entries(self.field(flow, "scopes")));
                let mut scopes: Vec<String> = scopes.map(|(scope, _)| scope.value).collect();
                scopes.sort_unstable();
                scopes.dedup();
                SchemeKind::OAuth2 { scopes }
            }
            "openIdConnect" => SchemeKind::OpenIdConnect {
                url: self.text(node, "openIdConnectUrl"),
            },
            "mutualTLS" => SchemeKind::MutualTls,
            _ => return None,
        })
    }

    fn methods(&self, item: NodeRef<'a>) -> usize {
        let is_method = |key: &str| Method::of_key(key, self.version).is_some();
        item.entries()
            .filter(|(entry, _)| is_method(&entry.key))
            .count()
    }

    fn callbacks(&self, operation: NodeRef<'a>) -> usize {
        self.entries(self.field(operation, "callbacks"))
            .flat_map(|(_, callback)| self.entries(Some(callback)))
            .map(|(_, item)| self.methods(item))
            .sum()
    }
}

fn x_gateway(node: NodeRef<'_>) -> Option<NodeId> {
    node.get("x-gateway").map(NodeRef::id)
}
