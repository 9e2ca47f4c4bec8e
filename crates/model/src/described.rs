//! Operations that a document describes: resolves access, chain, upstream and forwarding of each.

use bundle::ir;
use diag::shape::{self, BAD_VALUE};
use diag::{Diagnostic, NodeId, NodeRef, Sink, Tree, suggest};
use policy::guard::validate;
use policy::traffic::{mirror, split};
use policy::transform::{deprecation, rewrite};
use policy::validation::{Mode, Undeclared};
use policy::{Checked, Policy as _, conditions, forms};

use super::alias::{self, Alias};
use super::operation::{Context, Found, Subject, access, authenticated, check_path_texts};
use super::path_item::{self, PathKey};
use super::redacted::Redacted;
use super::security::{SecuritySource, read_security};
use super::servers::Servers;
use super::treatment::{Destination, Own, Scopes};
use super::{Operation, Valued, later, logged, media_types, not_forwarded, open};
use openapi::spec::{self, In, PathItem};
use vocab::extension::OPERATION;

/// Operation of the document, with the settings of its path item.
struct Described<'a> {
    item: &'a PathItem,
    operation: &'a spec::Operation,
    /// Index of the path item in `Spec::paths`, and index of the operation in the path item.
    place: (usize, usize),
    /// `x-gateway` of the operation.
    extension: Option<NodeRef<'a>>,
    /// `x-gateway` of the path item.
    of_path: Option<NodeRef<'a>>,
    path: &'a PathKey,
    key: String,
}

/// Resolves the described operations, in the order of the document. Adds aliases and operations
/// without an upstream to `found` instead of the result.
pub(super) fn resolve(context: &Context<'_>, found: &mut Found, sink: &mut Sink) -> Vec<Operation> {
    let node = |id: NodeId| context.files.tree.at(id);
    let mut operations = Vec::new();
    for (path_index, item) in context.spec.paths.iter().enumerate() {
        let Some(path) = path_item::path_key(context.files, item, sink) else {
            continue;
        };
        for (index, operation) in item.operations.iter().enumerate() {
            let described = Described {
                item,
                operation,
                place: (path_index, index),
                extension: operation.x_gateway.map(node),
                of_path: item.x_gateway.map(node),
                path: &path,
                key: key(&context.entry.name, item, operation),
            };
            operations.extend(one(described, context, found, sink));
        }
    }
    operations
}

/// Key of an operation (vocabulary.md): `API/operationId`, or `METHOD API:/template`.
fn key(api: &str, item: &PathItem, operation: &spec::Operation) -> String {
    match &operation.operation_id {
        Some(id) => format!("{api}/{}", id.value),
        None => format!("{} {api}:{}", operation.method.0, item.template.value),
    }
}

fn one(
    described: Described<'_>,
    context: &Context<'_>,
    found: &mut Found,
    sink: &mut Sink,
) -> Option<Operation> {
    let Context {
        files,
        spec,
        extension: root,
        own,
        settings,
        ..
    } = context;
    let node = |id: NodeId| files.tree.at(id);
    let operation = described.operation;
    let scopes = described.scopes(context);
    open::mark_patterns(&described.key, settings);
    let subject = described.subject(context);
    let (public, internal) = (subject.public, subject.internal);
    let security = access(context, &subject, found, sink);
    redacted_queries(operation, context.redacted, node, sink);
    let mut chain = scopes.chain(settings, sink);
    let destination = scopes.upstream(settings);
    let upstream = destination.as_ref().ok().and_then(Option::as_ref);
    let upstream = upstream.map_or("", |one| one.upstream.value.as_str());
    let timeout_ms = scopes.timeout(settings, upstream, &chain);
    check_path_texts(&chain, own, &described.path.template, sink);
    authenticated(&mut chain, &security, own, settings);
    let Destination {
        upstream,
        by_servers,
    } = match destination {
        Ok(Some(destination)) => destination,
        Ok(None) => {
            found.no_upstream.push((described.key, operation.key_span));
            return None;
        }
        // The undefined name was reported.
        Err(_) => return None,
    };
    if let Some(path) = described
        .get("rewrite")
        .and_then(|rewrite| rewrite.get("path"))
    {
        check_rewrite(path, &described.path.template, sink);
    }
    let conditions = described.conditions(sink);
    if let Some(of) = alias::of(described.of_path) {
        let route = (&described.path.template, conditions);
        let access = (security.value, internal);
        (found.aliases).push(Alias::new(of, (described.key, operation), route, access));
        return None;
    }
    let mut forwarding = forwarding(&described, (&files.tree, context.redacted), sink);
    forwarding.override_fields = override_fields(operation, &conditions);
    forwarding.split = forwarding
        .split
        .or_else(|| scopes.servers.split(by_servers));
    let renamed = |name: &str| own.name_of_upstream(name);
    if let Some(split) = &mut forwarding.split {
        split.rename_upstreams(&renamed);
    }
    if let Some(mirror) = &mut forwarding.mirror {
        mirror.rename_upstreams(&renamed);
    }
    let root_validate = scopes.root_defaults.and_then(|node| node.get("validate"));
    let checked = validate::Checked {
        undeclared: undeclared(*root),
        ..validation(
            [described.get("validate"), root_validate],
            &settings.defaults.validation,
        )
    };
    let strictest = |of: fn(&validate::Checked) -> Mode| {
        in_chain(&chain, own).map(of).fold(of(&checked), Mode::max)
    };
    let validation = strictest(|checked| checked.request);
    let response_validation = strictest(|checked| checked.response);
    forwarding.validate = (!checked.is_off()).then_some(checked);
    let body = operation.request_body.as_ref();
    media_types::check(&chain, own, (validation, body), operation.key_span, sink);
    let declared = later::operation(&later::Nodes {
        tree: &files.tree,
        spec,
        item: described.item,
        operation,
        upstream: &upstream.value,
    });
    let template = path_item::styled(&described.path.template, &operation.parameters, node);
    let path_readings = scopes.path_readings(settings, &template);
    let closes_streams = scopes.closes_streams(settings);
    forwarding.closes_streams = closes_streams.value;
    let owners = [
        described.get("owner"),
        root.and_then(|root| root.get("owner")),
    ];
    let owner = owners.into_iter().flatten().find_map(NodeRef::scalar_text);
    Some(Operation {
        id: operation.operation_id.as_ref().map(|id| id.value.clone()),
        owner: owner.map(str::to_owned).or_else(|| settings.owner.clone()),
        method: operation.method.0.clone(),
        path: described.item.template.value.clone(),
        path_span: described.item.template.span,
        span: operation.key_span,
        template: path_item::cased(template, described.of_path),
        conditions,
        priority: path_item::priority(described.of_path),
        trailing_slash: path_item::trailing_slash(described.of_path),
        internal,
        validation,
        response_validation,
        security,
        public,
        chain,
        upstream,
        timeout_ms,
        path_readings,
        closes_streams,
        max_body_bytes: scopes.max_body(settings),
        forwarding,
        retries: described
            .get("retries")
            .map(policy::traffic::retry::author::read),
        declared,
        place: described.place,
        key: described.key,
    })
}

impl<'a> Described<'a> {
    /// Value of a key in the operation's `x-gateway`. `None` if the key is absent or `null`.
    fn get(&self, name: &str) -> Option<NodeRef<'a>> {
        let value = self.extension.and_then(|node| node.get(name));
        value.filter(|value| !value.is_null())
    }

    /// Settings of the operation, and of the levels from which it inherits (path, document).
    fn scopes(&self, context: &Context<'a>) -> Scopes<'a> {
        let root = context.extension;
        Scopes {
            own: context.own,
            root_defaults: root.and_then(|root| root.get("defaults")),
            path: self.of_path,
            operation: self.extension,
            servers: Servers::nearest(&context.files.tree, context.spec, self.item, self.operation),
        }
    }

    /// Settings that decide about access to the operation. `security` comes from `x-gateway`,
    /// otherwise from the operation, otherwise from the document.
    fn subject<'s>(&'s self, context: &Context<'s>) -> Subject<'s> {
        let of_extension = self.get("security");
        let of_document = [&self.operation.security, &context.spec.security];
        let mut of_document = of_document.into_iter().flatten();
        let places = of_document.clone().map(|one| one.span);
        let places = of_extension.map(NodeRef::span).into_iter().chain(places);
        let written = match of_extension {
            Some(node) => Some(SecuritySource::Extension(read_security(node))),
            None => of_document.next().map(SecuritySource::Document),
        };
        let effective = written.as_ref().map(SecuritySource::span);
        let public = self.get("public");
        let public = public.filter(|value| value.as_bool() == Some(true));
        let internal = self.get("internal").and_then(NodeRef::as_bool);
        Subject {
            key: &self.key,
            at: self.operation.key_span,
            overrides: places.filter(|place| Some(*place) != effective).collect(),
            written,
            public: public.map(NodeRef::span),
            internal: internal.unwrap_or(false) || !self.path.is_routable,
        }
    }

    /// Conditions of the path item and of the operation, sorted.
    fn conditions(&self, sink: &mut Sink) -> Vec<ir::Condition> {
        let mut conditions = self.path.conditions.clone();
        if let Some(node) = self.get("match") {
            conditions.extend(conditions::author::read(node, sink));
        }
        conditions.sort();
        conditions.dedup();
        conditions
    }
}

/// Reports parameters in a rewritten path that the operation's template does not have. `{path}` is
/// always available.
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

/// Reports parameters that describe the whole query (OpenAPI 3.2) and have redacted values. The
/// access log would show them, because it hides query parameters by their names.
fn redacted_queries<'a>(
    operation: &spec::Operation,
    redacted: &Redacted<'_>,
    node: impl Fn(NodeId) -> NodeRef<'a>,
    sink: &mut Sink,
) {
    let whole = |parameter: &&spec::Parameter| parameter.place == In::Querystring;
    let whole = operation.parameters.iter().filter(whole);
    for parameter in whole.filter(|one| !redacted.names(one).is_empty()) {
        let place = node(parameter.node).get("in");
        sink.push(shape::not_available(
            place.map_or(parameter.span, NodeRef::span),
            "`redact: true` in a parameter with `in: querystring`",
            "describe the redacted parts with `in: query`",
        ));
    }
}

/// Forwarding settings of an operation: rewrite, split, mirror, deprecation, idempotency,
/// WebSocket, streaming, parameters that the upstream does not receive, and the form of parameters
/// in logs.
fn forwarding(
    described: &Described<'_>,
    (tree, redacted): (&Tree, &Redacted<'_>),
    sink: &mut Sink,
) -> ir::Forwarding {
    let not_forwarded = not_forwarded::places(described.operation, tree);
    let logged = logged::parameters(described.operation, tree, redacted);
    let redacted = redacted.values(described.operation, sink);
    let Some(node) = described.extension else {
        return ir::Forwarding {
            not_forwarded,
            logged,
            redacted,
            ..ir::Forwarding::default()
        };
    };
    let is_true = |key: &str| node.get(key).and_then(NodeRef::as_bool) == Some(true);
    // Do not read invalid values. The shape check has reported them.
    let setting = |key: &str| {
        let field = OPERATION.fields.iter().find(|field| field.key == key)?;
        let value = node.get(key).filter(|value| !value.is_null())?;
        shape::check(value, &field.shape, &mut Sink::default()).then_some(value)
    };
    ir::Forwarding {
        rewrite: setting("rewrite").and_then(|node| rewrite::author::check(node, sink)),
        split: setting("split").and_then(|node| split::author::read(node, sink)),
        mirror: setting("mirror").and_then(|node| mirror::author::check(node, sink)),
        deprecated: setting("deprecated").and_then(|node| deprecation::author::check(node, sink)),
        idempotent: is_true("idempotent"),
        websocket: is_true("websocket"),
        stream: is_true("stream"),
        // This field is set later, together with the other inherited settings.
        closes_streams: false,
        override_fields: Vec::new(),
        not_forwarded,
        logged,
        redacted,
        cost: setting("cost")
            .and_then(|node| u32::try_from(diag::read::integer(node, 1, 1 << 24).ok()?).ok())
            .filter(|cost| *cost > 1),
        validate: None,
    }
}

/// Request fields that override the path or the method, if the operation declares them: as header
/// parameters or in conditions.
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

/// Handling of query parameters that operations do not describe, for all operations of a document.
fn undeclared(root: Option<NodeRef<'_>>) -> Undeclared {
    let setting = root.and_then(|root| root.get("undeclared_params"));
    let setting = setting.and_then(NodeRef::scalar_text);
    setting.and_then(Undeclared::of).unwrap_or_default()
}

/// Policies of a chain that validate messages.
fn in_chain<'a>(
    chain: &'a [Valued<ir::Link>],
    own: &'a Own<'_>,
) -> impl Iterator<Item = &'a validate::Checked> {
    let policies = chain.iter().filter_map(|link| own.checked(&link.value));
    policies.filter_map(|policy| match policy {
        Checked::Validate(checked) => Some(checked),
        _ => None,
    })
}

/// Settings for the validation of messages. The key `validate` of the nearest level applies as a
/// whole. If no level has the key, `default` applies, the value in gateway.yaml.
fn validation(nearest: [Option<NodeRef<'_>>; 2], default: &validate::Checked) -> validate::Checked {
    let setting = nearest.into_iter().flatten().next();
    setting.map_or_else(|| default.clone(), validate::author::read)
}
