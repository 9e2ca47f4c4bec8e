//! Resolution of one API document against gateway.yaml.

use std::collections::{BTreeMap, HashSet};

use bundle::ir::{self, Link};
use diag::shape::{self, BAD_VALUE, Shape};
use diag::{Diagnostic, NodeId, NodeRef, Sink, Span, suggest};
use policy::Policy as _;
use policy::traffic::{mirror, split};
use policy::transform::{deprecation, rewrite};
use policy::{Checked, Phase, conditions, forms};

use super::alias::{self, Alias};
use super::open::{self, Judged, Open};
use super::security::{Schemes, Written, check_required, read_security};
use super::servers::{self, Servers};
use super::settings::{ApiEntry, Settings, claims, errors, name_in, policies, upstreams};
use super::treatment::{Own, Scopes};
use super::{AllNames, Api, Defined, Kind, Operation, Origin, Validation, later, path_item, rest};
use openapi::lint::allow;
use openapi::spec::{self, In, Spec};
use sources::project::files::{Document, Files};
use vocab::extension::OPERATION;
use vocab::lints::{NO_UPSTREAM, SERVER_PATH_DIFFERS, UNFILLED_PATH};

/// Resolves one API. Mistakes are reported, and operations that cannot be resolved are left out.
pub fn resolve(
    files: &Files,
    entry: &ApiEntry,
    document: Document,
    spec: Spec,
    settings: &Settings,
    sink: &mut Sink,
) -> Api {
    let node = |id: NodeId| files.tree.at(id);
    let root = spec.x_gateway.map(node);
    let own_names = AllNames::of(root);
    own_names.report_shadows(&settings.names, sink);
    check_extensions(files, &spec, &own_names, settings, sink);
    let upstreams = root.map_or_else(Vec::new, |root| {
        upstreams(root, &settings.name.value, Some(&entry.name), sink)
    });
    let mut own = policies(
        root.and_then(|root| root.get("policies")),
        &settings.name.value,
        &entry.name,
        sink,
    );
    if let Some(root) = root {
        claims::check(root, &settings.consumers, &settings.auth, sink);
    }
    let renamed = |name: &str| match own_names.kind(Kind::Upstream).defined(name) {
        Some(_) => name_in(&entry.name, name),
        None => name.to_owned(),
    };
    for policy in &mut own {
        policy.value.checked.rename_upstreams(&renamed);
    }
    let by_name = |list: &[Defined<ir::Policy>]| -> BTreeMap<String, Checked> {
        list.iter()
            .map(|policy| (policy.value.name.clone(), policy.value.checked.clone()))
            .collect()
    };
    let (own_policies, shared_policies) = (by_name(&own), by_name(&settings.policies));
    let own_view = Own {
        api: &entry.name,
        names: &own_names,
        upstreams: &upstreams,
        policies: &own_policies,
        shared: &shared_policies,
    };
    let schemes = Schemes::bind(&spec.schemes, spec.version, settings, node, sink);

    let mut used = BTreeMap::new();
    let mut operations = Vec::new();
    let mut open = Open::default();
    let mut homeless: Vec<(String, Span)> = Vec::new();
    let mut aliases: Vec<Alias> = Vec::new();
    for (path_index, item) in spec.paths.iter().enumerate() {
        let Some((template, conditions)) = path_item::template(files, item, sink) else {
            continue;
        };
        for (index, operation) in item.operations.iter().enumerate() {
            let extension = operation.x_gateway.map(node);
            let scopes = Scopes {
                own: &own_view,
                root_defaults: root.and_then(|root| root.get("defaults")),
                path: item.x_gateway.map(node),
                operation: extension,
                servers: Servers::nearest(&files.tree, &spec, item, operation),
            };
            let key = match &operation.operation_id {
                Some(id) => format!("{}/{}", entry.name, id.value),
                None => format!(
                    "{} {}:{}",
                    operation.method.0, entry.name, item.template.value
                ),
            };
            let get = |name: &str| {
                extension
                    .and_then(|node| node.get(name))
                    .filter(|value| !value.is_null())
            };
            open::mark_patterns(&key, settings);
            let written = match (get("security"), &operation.security, &spec.security) {
                (Some(node), _, _) => Some(Written::Extension(read_security(node))),
                (None, Some(security), _) | (None, None, Some(security)) => {
                    Some(Written::Document(security))
                }
                (None, None, None) => None,
            };
            let (security, readable) = match &written {
                Some(written) => {
                    let (security, readable) = schemes.resolve(written, &mut used, sink);
                    let of_extension = get("security").map(NodeRef::span);
                    let of_document = [&operation.security, &spec.security];
                    let of_document = of_document.into_iter().flatten().map(|one| one.span);
                    let span = written.span();
                    let origin = Origin::Written {
                        span,
                        overrides: of_extension
                            .into_iter()
                            .chain(of_document)
                            .filter(|other| *other != span)
                            .collect(),
                    };
                    let value = security;
                    (super::Valued { value, origin }, readable)
                }
                None => (
                    super::Valued::default(ir::Security::default(), "security"),
                    true,
                ),
            };
            let public = get("public")
                .filter(|value| value.as_bool() == Some(true))
                .map(NodeRef::span);
            let root_default = |key: &str| root?.get("defaults")?.get(key);
            // Internal operations are never reachable, whatever their security.
            let internal = get("internal").and_then(NodeRef::as_bool).unwrap_or(false);
            // An unreadable requirement was already reported, and access is unknown.
            if readable && !internal {
                let judged = Judged {
                    key: &key,
                    at: operation.key_span,
                    written: written.as_ref(),
                    security: &security.value,
                    public,
                };
                open.judge(&judged, settings, sink);
            }
            check_required(
                &security.value,
                &used,
                settings,
                operation.key_span,
                &key,
                sink,
            );
            whole_queries(operation, node, sink);
            let mut chain = scopes.chain(settings, sink);
            let upstream = scopes.upstream(settings);
            let told = upstream.is_err();
            let destination = upstream.ok().flatten();
            let by_servers = destination.as_ref().and_then(|one| one.by_servers);
            let upstream = destination.map(|destination| destination.upstream);
            let timeout_ms = scopes.timeout(
                settings,
                upstream.as_ref().map_or("", |upstream| &upstream.value),
                &chain,
            );
            check_path_texts(&chain, &own_view, &template, sink);
            authenticated(&mut chain, &security, &own_view);
            let Some(upstream) = upstream else {
                if !told {
                    homeless.push((key, operation.key_span));
                }
                continue;
            };
            if let Some(path) = get("rewrite").and_then(|rewrite| rewrite.get("path")) {
                check_rewrite(path, &template, sink);
            }
            if let Some(of) = alias::of(item.x_gateway.map(node)) {
                aliases.push(Alias {
                    of,
                    key,
                    method: operation.method.0.clone(),
                    span: operation.key_span,
                    security: security.value,
                });
                continue;
            }
            let mut conditions = conditions.clone();
            conditions.extend(
                get("match")
                    .into_iter()
                    .flat_map(|node| conditions::author::read(node, sink)),
            );
            conditions.sort();
            conditions.dedup();
            let mut forwarding = forwarding(extension, sink);
            forwarding.override_fields = override_fields(operation, &conditions);
            forwarding.split = forwarding
                .split
                .or_else(|| scopes.servers.split(by_servers));
            let renamed = |name: &str| own_view.name_of_upstream(name);
            if let Some(split) = &mut forwarding.split {
                split.rename_upstreams(&renamed);
            }
            if let Some(mirror) = &mut forwarding.mirror {
                mirror.rename_upstreams(&renamed);
            }
            let declared = later::operation(&later::Nodes {
                tree: &files.tree,
                spec: &spec,
                item,
                operation,
                root_default: root_default("validate"),
                default: &settings.defaults.validate,
                upstream: &upstream.value,
            });
            let lowered = path_item::styled(&template, &operation.parameters, node);
            let path_readings = scopes.path_readings(settings, &lowered);
            let lowered = path_item::cased(lowered, item.x_gateway.map(node));
            operations.push(Operation {
                key,
                id: operation.operation_id.as_ref().map(|id| id.value.clone()),
                owner: [get("owner"), root.and_then(|root| root.get("owner"))]
                    .into_iter()
                    .flatten()
                    .find_map(NodeRef::scalar_text)
                    .map(str::to_owned)
                    .or_else(|| settings.owner.clone()),
                method: operation.method.0.clone(),
                path: item.template.value.clone(),
                path_span: item.template.span,
                span: operation.key_span,
                template: lowered,
                conditions,
                priority: path_item::priority(item.x_gateway.map(node)),
                trailing_slash: path_item::trailing_slash(item.x_gateway.map(node)),
                internal,
                validation: validation(
                    [get("validate"), root_default("validate")],
                    settings.defaults.validation,
                ),
                security,
                public,
                chain,
                upstream,
                timeout_ms,
                path_readings,
                max_body_bytes: scopes.max_body(settings),
                forwarding,
                retries: get("retries")
                    .filter(|retries| !retries.is_null())
                    .map(policy::traffic::retry::author::read),
                declared,
                place: (path_index, index),
            });
        }
    }
    let asked = rest::Root {
        tree: &files.tree,
        entry,
        spec: &spec,
        extension: root,
        own: &own_view,
        schemes: &schemes,
        settings,
    };
    let mut found = rest::Found {
        used: &mut used,
        open: &mut open,
        homeless: &mut homeless,
    };
    let rest = rest::resolve(&asked, &mut found, sink);
    let written = spec.paths.iter().map(|item| item.operations.len());
    open.report(entry, written.sum::<usize>() + rest.len(), settings, sink);
    alias::check(&aliases, &spec, &operations, sink);
    report_homeless(&homeless, entry, settings, sink);
    check_servers(&spec, entry, sink);
    servers::check(&files.tree, &spec, sink);
    own_names.report_unused(sink);
    let declared = later::api(&files.tree, &spec, entry);
    let root = spec.x_gateway.map(|id| files.tree.at(id));
    let errors = root.map(errors).unwrap_or_default();
    Api {
        name: entry.name.clone(),
        span: entry.span,
        document,
        spec,
        mounts: entry.mounts.clone(),
        policies: own,
        upstreams,
        schemes: {
            schemes.add_stripped(&mut used);
            used.into_values().collect()
        },
        scheme_names: schemes.names(),
        operations,
        rest,
        declared,
        errors,
    }
}

/// Removes parameters from a chain and inserts the authentication step.
pub(super) fn authenticated(
    chain: &mut Vec<super::Valued<Link>>,
    security: &super::Valued<ir::Security>,
    own: &Own<'_>,
) {
    let phase = |link: &super::Valued<Link>| own.checked(&link.value).and_then(Checked::phase);
    chain.retain(|link| phase(link).is_some());
    if security.value.0.is_empty() {
        return;
    }
    let before = |link: &super::Valued<Link>| phase(link) < Some(Phase::Authenticate);
    let at = chain
        .iter()
        .position(|link| !before(link))
        .unwrap_or(chain.len());
    let link = super::Valued {
        value: Link::Authenticate,
        origin: security.origin.clone(),
    };
    chain.insert(at, link);
}

/// Checks every `x-gateway` against the shape of its attach point. One at any other place is
/// reported when the document is read.
fn check_extensions(
    files: &Files,
    spec: &Spec,
    own: &AllNames,
    settings: &Settings,
    sink: &mut Sink,
) {
    let mut known: HashSet<NodeId> = HashSet::new();
    for (id, object) in spec.extensions.iter().filter(|(id, _)| known.insert(*id)) {
        let (node, shape) = (files.tree.at(*id), Shape::Object(object));
        shape::check(node, &shape, sink);
        allow::check_inside(node, sink);
        settings.names.resolve_all(Some(own), node, &shape, sink);
    }
}

/// Reports all operations without an upstream in one finding, because one line fixes them. An
/// undefined default was already reported.
fn report_homeless(
    homeless: &[(String, Span)],
    entry: &ApiEntry,
    settings: &Settings,
    sink: &mut Sink,
) {
    let Some((first, at)) = homeless
        .first()
        .filter(|_| !settings.defaults.upstream_unknown)
    else {
        return;
    };
    let message = match homeless.len() {
        1 => format!("`{first}` has no upstream"),
        count => format!("{count} operations of `{}` have no upstream", entry.name),
    };
    sink.push(
        Diagnostic::new(&NO_UPSTREAM, *at, message)
            .label("no upstream is set here")
            .help("write `defaults: {upstream: NAME}` in gateway.yaml, or `x-gateway: {upstream: NAME}` at the operations"),
    );
}

/// Reports a policy of a chain that fills a path with a parameter that the template lacks.
pub(super) fn check_path_texts(
    chain: &[super::Valued<Link>],
    own: &Own<'_>,
    template: &ir::Template,
    sink: &mut Sink,
) {
    for link in chain {
        let text = own.checked(&link.value).and_then(Checked::path_text);
        let (Some(text), Some(span)) = (text, link.span()) else {
            continue;
        };
        let mut names = text.parameters();
        let missing = names.find(|name| !template.parameters().any(|known| known == *name));
        if let Some(name) = missing {
            sink.push(
                Diagnostic::new(
                    &UNFILLED_PATH,
                    span,
                    format!("`{template}` has no parameter `{}`", name.escape_debug()),
                )
                .label(format!("this policy makes the path `{}`", text.as_str()))
                .help("name the policy only at operations whose path has the parameter, or write `{path}` in it"),
            );
        }
    }
}

/// Reports a parameter of a rewritten path that the template lacks; `path` is always there.
fn check_rewrite(path: NodeRef<'_>, template: &ir::Template, sink: &mut Sink) {
    let names = forms::parameters(path.scalar_text().unwrap_or_default());
    let known = || template.parameters().chain(["path"]);
    for name in names.into_iter().flatten() {
        if !known().any(|known| known == name) {
            sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    path.span(),
                    format!("this path has no parameter `{}`", name.escape_debug()),
                )
                .help(suggest::one_of(known(), 8)),
            );
        }
    }
}

/// Reports parameters for the whole query (3.2), which the router cannot distinguish from other
/// queries yet.
fn whole_queries<'a>(
    operation: &spec::Operation,
    node: impl Fn(NodeId) -> NodeRef<'a>,
    sink: &mut Sink,
) {
    let whole = |parameter: &&spec::Parameter| parameter.place == In::Querystring;
    for parameter in operation.parameters.iter().filter(whole) {
        let place = node(parameter.node).get("in");
        sink.push(shape::not_available(
            place.map_or(parameter.span, NodeRef::span),
            "`in: querystring`",
            "describe the query's parts with `in: query`",
        ));
    }
}

fn check_servers(spec: &Spec, entry: &ApiEntry, sink: &mut Sink) {
    for server in &spec.servers {
        let url = &server.url.value;
        if url.contains('{') {
            continue;
        }
        let path = match url.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
            None => url.as_str(),
        };
        let path = path.trim_end_matches('/');
        if path.starts_with('/')
            && !entry
                .mounts
                .iter()
                .any(|mount| mount.value.base_path == path)
            || path.is_empty()
                && entry
                    .mounts
                    .iter()
                    .all(|mount| !mount.value.base_path.is_empty())
        {
            let base = entry.mounts.first().map_or("/", |mount| {
                if mount.value.base_path.is_empty() {
                    "/"
                } else {
                    &mount.value.base_path
                }
            });
            let shown = if path.is_empty() { "/" } else { path };
            sink.push(
                Diagnostic::new(
                    &SERVER_PATH_DIFFERS,
                    server.url.span,
                    format!(
                        "this server's path is `{shown}`, but `{}` is mounted at `{base}`",
                        entry.name
                    ),
                )
                .related(entry.span, "mounted here")
                .help(if entry.path.span == entry.span {
                    // A pattern of `apis_glob` found the document.
                    format!(
                        "if clients of the gateway use it, name the API: `apis: {{{}: {{path: {}, mount: {{base_path: {shown}}}}}}}`",
                        entry.name, entry.path.value
                    )
                } else {
                    format!("write `mount: {{base_path: {shown}}}` if clients of the gateway use it")
                }),
            );
            return;
        }
    }
}

/// Forwarding settings of an operation: rewrite, split, mirror, deprecation, idempotency, WebSocket
/// and streaming.
fn forwarding(extension: Option<NodeRef<'_>>, sink: &mut Sink) -> ir::Forwarding {
    let Some(node) = extension else {
        return ir::Forwarding::default();
    };
    let says = |key: &str| node.get(key).and_then(NodeRef::as_bool) == Some(true);
    // The shape already reported these errors; such a value must not be read.
    let said = |key: &str| {
        let field = OPERATION.fields.iter().find(|field| field.key == key)?;
        let value = node.get(key).filter(|value| !value.is_null())?;
        shape::check(value, &field.shape, &mut Sink::default()).then_some(value)
    };
    ir::Forwarding {
        rewrite: said("rewrite").and_then(|node| rewrite::author::check(node, sink)),
        split: said("split").and_then(|node| split::author::read(node, sink)),
        mirror: said("mirror").and_then(|node| mirror::author::check(node, sink)),
        deprecated: said("deprecated").and_then(|node| deprecation::author::check(node, sink)),
        idempotent: says("idempotent"),
        websocket: says("websocket"),
        stream: says("stream"),
        override_fields: Vec::new(),
    }
}

/// The fields that replace path or method and that an operation declares, as header parameters or
/// conditions.
fn override_fields(operation: &spec::Operation, conditions: &[ir::Condition]) -> Vec<String> {
    let parameters = operation.parameters.iter();
    let parameters = parameters.filter(|parameter| parameter.place == In::Header);
    let parameters = parameters.map(|parameter| parameter.name.value.as_str());
    let conditions = conditions.iter().filter_map(|condition| match condition {
        ir::Condition::Header(name, _) => Some(name.as_str()),
        ir::Condition::Query(..) => None,
    });
    let declared: Vec<&str> = parameters.chain(conditions).collect();
    let is_declared = |name: &&str| declared.iter().any(|one| one.eq_ignore_ascii_case(name));
    let fields = ir::OVERRIDE_FIELDS.into_iter().filter(is_declared);
    fields.map(str::to_owned).collect()
}

/// Validation mode of the nearest `validate`, which replaces the others as a whole. Default: that
/// of gateway.yaml.
fn validation(nearest: [Option<NodeRef<'_>>; 2], default: Validation) -> Validation {
    let said = nearest.into_iter().flatten().next();
    said.map_or(default, Validation::of_requests)
}
