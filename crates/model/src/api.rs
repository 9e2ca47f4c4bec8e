//! Resolution of one API document against gateway.yaml.

use std::collections::{BTreeMap, HashSet};

use bundle::ir;
use diag::shape::{self, Shape};
use diag::{Diagnostic, NodeId, NodeRef, Sink, Span};
use policy::Checked;

use super::alias;
use super::operation::{Context, Found};
use super::redacted::Redacted;
use super::security::{Schemes, Verifiers};
use super::served::{self, Public};
use super::servers;
use super::settings::{
    ApiEntry, Settings, Upstream, bind_stores, bind_verifier_stores, claims, errors, name_in,
    policies, proofs, upstreams,
};
use super::treatment;
use super::verifiers::Own;
use super::{AllNames, Api, Defined, Kind, Operation, described, expressions, later, rest};
use openapi::lint::allow;
use openapi::spec::Spec;
use sources::project::files::{Document, Files};
use vocab::lints::{NO_UPSTREAM, SERVER_PATH_DIFFERS};

/// Document of an API with its overlays applied, its parsed content, and the verifiers that it
/// defines.
pub(crate) struct Described {
    /// The document with its overlays applied.
    pub(crate) document: Document,
    /// Content of the document.
    pub(crate) spec: Spec,
    /// Verifiers that the document defines.
    pub(crate) verifiers: Own,
    /// Form of the document that gwd serves to clients, or the reason why the document has no such
    /// form. `None` if gwd does not serve the document.
    pub(crate) public: Option<Result<Public, String>>,
}

/// Resolves one API. Mistakes are reported, and operations that cannot be resolved are left out.
pub(crate) fn resolve(
    files: &Files,
    entry: &ApiEntry,
    mut described: Described,
    settings: &Settings,
    sink: &mut Sink,
) -> Api {
    let public = described.public.take();
    let input = Input {
        files,
        entry,
        extension: described.spec.x_gateway.map(|id| files.tree.at(id)),
        settings,
    };
    let definitions = Definitions::read(&input, &described, sink);
    let (own, shared) = (by_name(&definitions.policies), by_name(&settings.policies));
    let own = treatment::Own {
        api: &entry.name,
        names: &definitions.names,
        upstreams: &definitions.upstreams,
        policies: &own,
        shared: &shared,
    };
    let (spec, auth) = (&described.spec, &described.verifiers);
    let schemes = bind(&input, spec, auth, sink);
    let context = Context {
        files,
        entry,
        spec,
        extension: input.extension,
        own: &own,
        schemes: &schemes,
        settings,
        redacted: &Redacted::of(files, &described.document, spec),
    };
    let mut found = Found::default();
    let operations = described::resolve(&context, &mut found, sink);
    let mut rest = rest::resolve(&context, &mut found, sink);
    let served = served::resolve(&context, public, &operations, (&mut found, sink));
    rest.extend(served.rest);
    let mut used = check(&context, found, &operations, rest.len(), sink);
    definitions.names.report_unused(sink);
    schemes.add_stripped(&mut used);
    let schemes_used: Vec<ir::Scheme> = used.into_values().collect();
    Api {
        name: entry.name.clone(),
        span: entry.span,
        mounts: entry.mounts.clone(),
        auth: used_verifiers(described.verifiers, &schemes_used, settings),
        schemes: schemes_used,
        scheme_names: schemes.names(),
        operations,
        rest,
        declared: later::api(&files.tree, spec, entry),
        errors: input.extension.map(errors).unwrap_or_default(),
        upstreams: definitions.upstreams,
        policies: definitions
            .policies
            .into_iter()
            .chain(served.policies)
            .collect(),
        documents: served.documents,
        document: described.document,
        spec: described.spec,
    }
}

/// Inputs of every step of the resolution of one API.
struct Input<'a> {
    files: &'a Files,
    entry: &'a ApiEntry,
    /// `x-gateway` at the root of the document. `None`: the document has none.
    extension: Option<NodeRef<'a>>,
    settings: &'a Settings,
}

/// Upstreams and policies that the document itself defines, and all names under its root
/// `x-gateway`.
struct Definitions {
    names: AllNames,
    upstreams: Vec<Defined<Upstream>>,
    policies: Vec<Defined<ir::Policy>>,
}

impl Definitions {
    /// Reads and checks the definitions of the document, and the syntax of each `x-gateway` in it.
    fn read(input: &Input<'_>, described: &Described, sink: &mut Sink) -> Self {
        let Input {
            files,
            entry,
            extension,
            settings,
        } = *input;
        let names = AllNames::of(extension);
        names.report_shadows(&settings.names, sink);
        check_extensions(files, &described.spec, &names, settings, sink);
        let upstreams = extension.map_or_else(Vec::new, |root| {
            upstreams(root, &settings.name.value, Some(&entry.name), sink)
        });
        // Reading a policy can compile its expression.
        let checked = extension.map_or(Ok(()), |root| expressions::check(root, files, sink));
        let policies = match checked {
            Ok(()) => own_policies(entry, extension, &names, settings, sink),
            Err(expressions::TooManyPatterns) => Vec::new(),
        };
        if let Some(root) = extension {
            let verifiers = settings.auth.iter().chain(described.verifiers.iter());
            claims::check(root, &settings.consumers, verifiers, sink);
        }
        Self {
            names,
            upstreams,
            policies,
        }
    }
}

/// Binds the security schemes of the document to verifiers.
fn bind(input: &Input<'_>, spec: &Spec, auth: &Own, sink: &mut Sink) -> Schemes {
    let Input {
        files,
        entry,
        settings,
        ..
    } = *input;
    let named = |name: &str| auth.full(name, settings);
    proofs::check(&files.tree, auth.iter(), &named, sink);
    let verifiers = Verifiers {
        api: &entry.name,
        own: auth,
        settings,
    };
    let node = |id: NodeId| files.tree.at(id);
    Schemes::bind((&spec.schemes, spec.version), verifiers, node, sink)
}

/// Reports findings about all operations of the API together: open access, aliases, missing
/// upstreams, and servers that the mounts do not match. Returns the security schemes named in
/// requirements.
fn check(
    context: &Context<'_>,
    found: Found,
    operations: &[Operation],
    rest: usize,
    sink: &mut Sink,
) -> BTreeMap<String, ir::Scheme> {
    let Context {
        files,
        entry,
        spec,
        settings,
        ..
    } = *context;
    let Found {
        used,
        open,
        no_upstream,
        aliases,
    } = found;
    let written = spec.paths.iter().map(|item| item.operations.len());
    open.report(entry, written.sum::<usize>() + rest, settings, sink);
    alias::check(&aliases, spec, operations, sink);
    report_no_upstream(&no_upstream, entry, settings, sink);
    check_servers(spec, entry, sink);
    servers::check(&files.tree, spec, sink);
    used
}

/// Returns the verifiers that the document defines and uses, with the settings of their stores.
fn used_verifiers(
    own: Own,
    schemes: &[ir::Scheme],
    settings: &Settings,
) -> Vec<Defined<ir::Verifier>> {
    let mut used = own.used(schemes);
    bind_verifier_stores(used.iter_mut(), &settings.stores);
    used
}

/// Returns the policies that the document defines. A policy refers to an upstream of the document
/// by the name `API/NAME`, as in the bundle.
fn own_policies(
    entry: &ApiEntry,
    extension: Option<NodeRef<'_>>,
    names: &AllNames,
    settings: &Settings,
    sink: &mut Sink,
) -> Vec<Defined<ir::Policy>> {
    let of_root = extension.and_then(|root| root.get("policies"));
    let mut own = policies(of_root, &settings.name.value, &entry.name, sink);
    bind_stores(&mut own, &settings.stores);
    let renamed = |name: &str| match names.kind(Kind::Upstream).defined(name) {
        Some(_) => name_in(&entry.name, name),
        None => name.to_owned(),
    };
    for policy in &mut own {
        policy.value.checked.rename_upstreams(&renamed);
    }
    own
}

fn by_name(list: &[Defined<ir::Policy>]) -> BTreeMap<String, Checked> {
    list.iter()
        .map(|policy| (policy.value.name.clone(), policy.value.checked.clone()))
        .collect()
}

/// Checks every `x-gateway` against the shape for the object that contains it. An `x-gateway` in
/// any other object was reported when the document was read.
fn check_extensions(
    files: &Files,
    spec: &Spec,
    own: &AllNames,
    settings: &Settings,
    sink: &mut Sink,
) {
    let mut known: HashSet<NodeId> = HashSet::new();
    for (id, object) in spec.extensions.iter().filter(|(id, _)| known.insert(*id)) {
        let node = files.tree.at(*id);
        shape::check(node, &Shape::Object(object), sink);
        allow::check_inside(node, sink);
        settings.names.resolve_in(own, node, object, sink);
    }
}

/// Reports all operations without an upstream in one finding, because one line in gateway.yaml
/// fixes all of them. An undefined default upstream is already reported.
fn report_no_upstream(
    no_upstream: &[(String, Span)],
    entry: &ApiEntry,
    settings: &Settings,
    sink: &mut Sink,
) {
    let Some((first, at)) = no_upstream
        .first()
        .filter(|_| !settings.defaults.upstream_unknown)
    else {
        return;
    };
    let message = match no_upstream.len() {
        1 => format!("`{first}` has no upstream"),
        count => format!("{count} operations of `{}` have no upstream", entry.name),
    };
    sink.push(
        Diagnostic::new(&NO_UPSTREAM, *at, message)
            .label("no upstream is set here")
            .help("write `defaults: {upstream: NAME}` in gateway.yaml, or `x-gateway: {upstream: NAME}` at the operations"),
    );
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
                    // The API comes from `apis_glob`, so it has no entry in `apis`.
                    format!(
                        "if clients of the gateway use this path, add the API to `apis`: `apis: {{{}: {{path: {}, mount: {{base_path: {shown}}}}}}}`",
                        entry.name, entry.path.value
                    )
                } else {
                    format!("write `mount: {{base_path: {shown}}}` if clients of the gateway use this path")
                }),
            );
            return;
        }
    }
}
