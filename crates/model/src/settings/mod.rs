//! Reader and checks of gateway.yaml.

mod auth;
pub(crate) mod claims;
mod consumers;
mod guard_webhook;
mod levels;
pub(super) mod listeners;
mod mounts;
pub(crate) mod plans;
pub(crate) mod proofs;
mod release;
mod serving;
mod state;
mod upstreams;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use bundle::rollout::VersionChoice;
use bundle::statement::predicate::{Guard, Step};
use diag::shape::{self, BAD_VALUE};
use diag::{Diagnostic, Level, NodeRef, Sink, Span, Spanned, read};
use policy::declared::{self, Scalar, Settings as Declared, Value, whole};
use policy::guard::validate;

pub(crate) use self::auth::{verifier, verifiers};
use self::consumers::consumers;
use self::levels::{break_levels, levels, notice_days};
use self::listeners::listeners;
use self::mounts::mounts;
pub use self::serving::{Endpoints, ServeDocument};
pub(crate) use self::state::state_id;
use self::upstreams::upstream;
pub use self::values::Upstream;
use self::values::{declared_kind, entries};
pub(crate) use self::values::{name_in, name_list, named_beside};
use crate::acknowledge::Acknowledgement;
use crate::allow_public::Pattern;
use crate::freeze::FreezeWindow;
use crate::invariant_file::Invariants;
use crate::path_item;
use crate::test_file::Tests;
use crate::{AllNames, Defined, Kind, Valued};
use vocab::{self, checks};

/// Content of gateway.yaml.
#[derive(Debug)]
pub struct Settings {
    /// Environment in which gateway.yaml was read. `None` without an environment.
    pub environment: Option<String>,
    /// Name of the project.
    pub name: Spanned<String>,
    /// Owner of the project. `None`: no owner is set.
    pub owner: Option<String>,
    /// APIs with their documents and mounts.
    pub apis: Vec<ApiEntry>,
    /// Patterns of further documents (`apis_glob`).
    pub apis_glob: Vec<Spanned<String>>,
    /// Files that gateway.yaml uses for another purpose than as the document of an API: overlays,
    /// patches, consumers, acknowledgements and tests.
    pub other_files: BTreeSet<String>,
    /// Mount of an API that sets no mount.
    pub default_mount: ir::Mount,
    /// Listeners of the gateway; never empty.
    pub listeners: Vec<Defined<ir::Listener>>,
    /// Upstreams.
    pub upstreams: Vec<Defined<Upstream>>,
    /// Verifiers of credentials.
    pub auth: Vec<Defined<ir::Verifier>>,
    /// The consumers.
    pub consumers: Vec<Defined<ir::Consumer>>,
    /// Names of the consumers in `consumers_file`. `None`: gateway.yaml names no such file.
    pub consumers_file: Option<BTreeSet<String>>,
    /// Policies that can be named in operations.
    pub policies: Vec<Defined<ir::Policy>>,
    /// Names of the policies that were copied for consumer plans. Every chain with authentication
    /// contains the copies.
    pub plans: Vec<Spanned<String>>,
    /// Requirements on all operations, which no document can override.
    pub required: Required,
    /// Defaults for operations.
    pub defaults: Defaults,
    /// Levels of lint rules by name, with the source location of the setting. `None`: the rule is
    /// off.
    pub lint: BTreeMap<String, (Option<Level>, Span)>,
    /// Levels of checks of client contracts by id, with the source location of the setting.
    pub break_levels: BTreeMap<String, (checks::Level, Span)>,
    /// Notice periods in days by API. The key `*` is for all other APIs.
    pub notice_days: BTreeMap<String, u32>,
    /// Names of the enabled gates.
    pub gates: Vec<String>,
    /// Path of the acknowledgement file. `None`: gateway.yaml names none.
    pub acknowledge: Option<Spanned<String>>,
    /// Entries of the acknowledgement file.
    pub acknowledgements: Vec<Acknowledgement>,
    /// Invariants of the project.
    pub invariants: Invariants,
    /// Tests of the project.
    pub tests: Tests,
    /// Folder where bundles are stored.
    pub store: String,
    /// Release channel of the project.
    pub channel: String,
    /// Steps of a progressive release, with increasing shares. Empty: all gateways at once.
    pub release_steps: Vec<Step>,
    /// Choice of the version for a request in a step with a share of the requests.
    pub release_choice: VersionChoice,
    /// Guard of a progressive release. `None`: no guard.
    pub release_guard: Option<Guard>,
    /// Freeze windows (`release.freeze`).
    pub release_freeze: Vec<FreezeWindow>,
    /// Names that gateway.yaml defines, by kind.
    pub names: AllNames,
    /// Settings of the whole gateway that gwd does not support yet.
    pub declared: Declared,
    /// Stores of counters, by name.
    pub stores: BTreeMap<String, policy::store::Checked>,
    /// Custom error responses of the gateway, by reason.
    pub errors: Declared,
}

/// Entry of one API in gateway.yaml.
#[derive(Clone, Debug)]
pub struct ApiEntry {
    /// Name of the API.
    pub name: String,
    /// Source location of the name.
    pub span: Span,
    /// Path of the OpenAPI document.
    pub path: Spanned<String>,
    /// Paths of the overlays.
    pub overlays: Vec<Spanned<String>>,
    /// Mounts of the API. Never empty.
    pub mounts: Vec<Defined<ir::Mount>>,
    /// Environments to which the API is restricted. `None`: all.
    pub environments: Option<Vec<String>>,
    /// Key `unmatched`: handling of paths that the document does not describe. `None`: not set.
    pub unmatched: Option<Spanned<String>>,
    /// Key `undeclared_methods`: handling of methods that a described path does not declare.
    /// `None`: not set.
    pub undeclared_methods: Option<Spanned<String>>,
    /// Endpoints with which gwd serves the API's document. `None`: the default of gateway.yaml
    /// applies.
    pub serve_document: Option<ServeDocument>,
    /// Settings of the API that gwd does not support yet.
    pub declared: Declared,
}

impl ApiEntry {
    /// True if an environment contains the API. Without an environment: true if the API is not
    /// restricted to certain environments.
    #[must_use]
    pub fn is_in(&self, environment: Option<&str>) -> bool {
        let Some(named) = &self.environments else {
            return true;
        };
        environment.is_some_and(|environment| named.iter().any(|name| name == environment))
    }
}

/// Requirements on all operations, which no document can override.
#[derive(Debug, Default)]
pub struct Required {
    /// Names of policies that every chain contains.
    pub policies: Vec<Spanned<String>>,
    /// Names of verifiers. Every non-public operation must use at least one of them.
    pub auth: Vec<Spanned<String>>,
    /// Patterns of the operation keys that may be public. `None`: all.
    pub allow_public: Option<Vec<Pattern>>,
}

/// Values for operations that do not set their own.
#[derive(Debug)]
pub struct Defaults {
    /// Default upstream of requests. `None`: not set.
    pub upstream: Option<Spanned<String>>,
    /// True if the configured default upstream does not exist, which was reported.
    pub upstream_unknown: bool,
    /// Policies that the chain of every operation inherits.
    pub policies: Vec<Spanned<String>>,
    /// Timeout for the response head, in milliseconds. `None`: not set or invalid.
    pub timeout_ms: Option<Spanned<u64>>,
    /// True if the configured timeout is invalid, which was reported.
    pub timeout_unread: bool,
    /// Maximum size of a request body, in bytes. `None`: unlimited.
    pub max_body_bytes: Valued<Option<u64>>,
    /// Handling of paths that an upstream may read as another path.
    pub path_readings: Valued<ir::PathReadings>,
    /// True if open streams are closed when a credential of their request expires.
    pub closes_streams: Valued<bool>,
    /// Component that checks credentials: the gateway or the upstream.
    pub security: SecurityMode,
    /// True if responses contain the digest of the bundle.
    pub expose_bundle: bool,
    /// Endpoints of the documents of APIs that do not set `serve_document`. `None`: not set.
    pub serve_document: Option<ServeDocument>,
    /// Validation of messages against the contract.
    pub validation: validate::Checked,
    /// Source location of `validate`. `None`: not set.
    pub validate_at: Option<Span>,
}

impl Required {
    /// Returns the requirements as settings for the bundle, so that plans can show removed
    /// requirements.
    #[must_use]
    pub fn settings(&self) -> Declared {
        let set = |names: &mut dyn Iterator<Item = &str>| {
            let mut names: Vec<Scalar> = names.map(|name| Scalar::Text(name.to_owned())).collect();
            names.sort();
            names.dedup();
            Value::Set(names)
        };
        let lists = [("policies", &self.policies), ("auth", &self.auth)];
        let mut all = Declared::default();
        for (key, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
            all = all.with(&[key], set(&mut names.iter().map(|name| &*name.value)));
        }
        if let Some(patterns) = &self.allow_public {
            let mut patterns = patterns.iter().map(|pattern| &*pattern.text.value);
            all = all.with(&["allow_public"], set(&mut patterns));
        }
        all
    }
}

/// Component that checks credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityMode {
    /// The gateway checks credentials with its verifiers.
    Enforce,
    /// The upstream checks credentials. The gateway only checks that a credential is present.
    Upstream,
}

/// Value of `defaults.upstream` for using a document's servers as upstreams. gwd does not support
/// this value yet.
pub(crate) const FROM_SERVERS: &str = "from-servers";

/// Reads gateway.yaml after patch and variables were applied, with the root of its
/// `consumers_file`. Invalid parts are reported and left out. `None` if the project has no name.
pub fn read(
    root: NodeRef<'_>,
    consumers_file: Option<NodeRef<'_>>,
    sink: &mut Sink,
) -> Option<Settings> {
    shape::check(root, &vocab::gateway::SHAPE, sink);
    let name = name(root, sink)?;
    let listeners = listeners(root, sink);
    let upstreams = upstreams(root, &name.value, None, sink);
    let (stores, auth) = stores_and_verifiers(root, &name.value);
    let (consumers, in_file) = consumers(root.get("consumers"), consumers_file, sink);
    let mut policies = policies(root.get("policies"), &name.value, "", sink);
    bind_stores(&mut policies, &stores);
    let plans = plans::read(root, &name.value, &mut policies, sink);
    let named = |name: &str| auth.iter().find(|one| one.value.name == name);
    proofs::check(root.tree(), auth.iter(), &named, sink);
    let mut names = AllNames::of(Some(root));
    for listener in &listeners {
        names.define(Kind::Listener, &listener.value.name, listener.span);
    }
    names.resolve_all(root, &vocab::gateway::SHAPE, sink);
    plans::mark_grouped(root, &names);
    if let Some(consumers) = consumers_file {
        names.resolve_all(consumers, &vocab::gateway::CONSUMERS, sink);
    }
    let defaults = defaults(root, &names, sink);
    let from_servers = defaults.upstream.as_ref().is_some_and(|name| {
        name.value == FROM_SERVERS && names.kind(Kind::Upstream).defined(FROM_SERVERS).is_none()
    });
    let required = required(root, &names);
    let everywhere = default_listeners(root, &listeners, &names);
    let apis = apis(root, &everywhere, &names, sink);
    let release = root.get("release");
    let release_steps = release::checked_steps(release, sink);
    let mut declared =
        declared::later(root, &vocab::gateway::SHAPE).without(|path| !is_gateways(path));
    if from_servers {
        let word = Value::One(Scalar::Text(FROM_SERVERS.to_owned()));
        declared = declared.with(&["defaults", "upstream"], word);
    }
    Some(Settings {
        environment: None,
        apis_glob: name_list(root.get("apis_glob")),
        other_files: other_files(root, &apis),
        default_mount: mounts::default(&everywhere),
        consumers_file: in_file,
        owner: owner(root),
        name,
        apis,
        listeners,
        upstreams,
        auth,
        consumers,
        policies,
        plans,
        required,
        defaults,
        lint: levels(root),
        break_levels: break_levels(root),
        notice_days: notice_days(root),
        gates: root
            .get("gates")
            .into_iter()
            .flat_map(NodeRef::items)
            .filter_map(|gate| Some(gate.scalar_text()?.to_owned()))
            .collect(),
        acknowledge: root
            .get("acknowledge")
            .and_then(|node| Some(Spanned::new(node.scalar_text()?.to_owned(), node.span()))),
        acknowledgements: Vec::new(),
        invariants: Invariants::named(name_list(root.get("invariants"))),
        tests: Tests::named(name_list(root.get("tests"))),
        store: release::text(release, "store", "releases"),
        channel: release::text(release, "channel", "prod"),
        release_choice: release::choice(release, &release_steps, sink),
        release_guard: release::guard(release, &release_steps, sink),
        release_freeze: release::freeze(release, sink),
        release_steps,
        names,
        declared,
        stores,
        errors: errors(root),
    })
}

/// Reads the owner of the project. `None`: no owner is set.
fn owner(root: NodeRef<'_>) -> Option<String> {
    let owner = root.get("owner")?.scalar_text()?;
    Some(owner.to_owned())
}

/// Reads `stores` of gateway.yaml, and its verifiers with the settings of their stores.
fn stores_and_verifiers(
    root: NodeRef<'_>,
    project: &str,
) -> (
    BTreeMap<String, policy::store::Checked>,
    Vec<Defined<ir::Verifier>>,
) {
    let stores = stores(root, project);
    let mut auth = verifiers(root, None);
    bind_verifier_stores(auth.iter_mut(), &stores);
    (stores, auth)
}

/// Reads `stores` of gateway.yaml.
fn stores(root: NodeRef<'_>, project: &str) -> BTreeMap<String, policy::store::Checked> {
    let entries = root.get("stores").into_iter().flat_map(NodeRef::entries);
    let read = entries.filter_map(|(entry, node)| {
        let store = policy::store::author::store(&entry.key, node, project)?;
        Some((entry.key.to_string(), store))
    });
    read.collect()
}

/// Adds the settings of the stores to the policies that name them. Unknown names were already
/// reported.
pub(crate) fn bind_stores(
    policies: &mut [Defined<ir::Policy>],
    stores: &BTreeMap<String, policy::store::Checked>,
) {
    for policy in policies {
        policy.value.checked.bind_store(&bound_to(stores));
    }
}

/// Adds the settings of the stores to the verifiers that name them. Unknown names were already
/// reported.
pub(crate) fn bind_verifier_stores<'v>(
    verifiers: impl Iterator<Item = &'v mut Defined<ir::Verifier>>,
    stores: &BTreeMap<String, policy::store::Checked>,
) {
    for verifier in verifiers {
        verifier.value.checked.bind_store(&bound_to(stores));
    }
}

/// Function that adds the settings of the store that a policy or verifier names.
fn bound_to(
    stores: &BTreeMap<String, policy::store::Checked>,
) -> impl Fn(&mut policy::store::Checked) {
    |store| {
        if let Some(known) = stores.get(&store.name) {
            known.clone_into(store);
        }
    }
}

/// Reads `errors` of gateway.yaml, or of the root `x-gateway` of a document.
pub(crate) fn errors(node: NodeRef<'_>) -> Declared {
    let written = node.get("errors").filter(|node| !node.is_null());
    let written = written.map(|node| whole(node, &vocab::shared::ERRORS));
    written.unwrap_or_default()
}

/// True if a key of gateway.yaml is a setting of the whole gateway: a key under `defaults`, except
/// `validate`. False for keys of an API, a listener, an upstream or an operation, and for keys of
/// the project (such as gates and tests).
fn is_gateways(path: &[String]) -> bool {
    match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["defaults", key, ..] => key != "validate",
        _ => false,
    }
}

/// Reads a policy, including kinds that gwd does not support yet. A policy with a setting that gwd
/// does not support is read like a policy of an unsupported kind.
fn checked(kind: &str, node: NodeRef<'_>, sink: &mut Sink) -> Option<policy::Checked> {
    let shape = shape::Shape::Kinds(policy::KINDS);
    let before = sink.findings().len();
    let runs = policy::check(kind, node, sink);
    let wrong = sink.findings()[before..]
        .iter()
        .any(|finding| !std::ptr::eq(finding.lint, &raw const shape::NOT_AVAILABLE));
    if wrong {
        // Keep the settings, so that a plan can compare them.
        return runs.or_else(|| {
            let readable = declared_kind(kind, node, &shape);
            Some(policy::Checked::Declared(readable))
        });
    }
    runs.filter(|_| declared::later(node, &shape).is_empty())
        .or_else(|| Some(policy::Checked::Declared(declared_kind(kind, node, &shape))))
}

/// Paths for [`Settings::other_files`].
fn other_files(root: NodeRef<'_>, apis: &[ApiEntry]) -> BTreeSet<String> {
    let overlays = apis.iter().flat_map(|api| &api.overlays);
    let overlays = overlays.map(|overlay| overlay.value.as_str());
    let patches = root
        .get("environments")
        .into_iter()
        .flat_map(NodeRef::entries);
    let patches = patches.filter_map(|(_, environment)| environment.get("patch")?.scalar_text());
    let consumers = root.get("consumers_file").and_then(NodeRef::scalar_text);
    let acknowledge = root.get("acknowledge").and_then(NodeRef::scalar_text);
    let named = overlays.chain(patches).chain(consumers).chain(acknowledge);
    named
        .filter_map(|path| sources::project::files::join("", path).ok())
        .collect()
}

/// Reads the upstreams that gateway.yaml or the root `x-gateway` of a document defines.
pub(crate) fn upstreams(
    root: NodeRef<'_>,
    project: &str,
    api: Option<&str>,
    sink: &mut Sink,
) -> Vec<Defined<Upstream>> {
    let made = entries(root, "upstreams", |key, node| {
        let name = api.map_or_else(|| key.clone(), |api| name_in(api, &key));
        upstream(project, &name, node, sink)
    });
    made.into_iter().map(|(_, entry)| entry).collect()
}

/// Reads the policies under a node. `scope` distinguishes policies of an API from policies of
/// gateway.yaml with the same name.
pub(crate) fn policies(
    node: Option<NodeRef<'_>>,
    project: &str,
    scope: &str,
    sink: &mut Sink,
) -> Vec<Defined<ir::Policy>> {
    let Some(node) = node else { return Vec::new() };
    let mut found = Vec::new();
    for (entry, value) in node.entries() {
        let Some(kind) = value.get("kind").and_then(NodeRef::scalar_text) else {
            continue;
        };
        let shape = shape::Shape::Kinds(policy::KINDS);
        let is_known = || policy::KINDS.iter().any(|variant| variant.kind == kind);
        // Do not call `checked` on a value with errors, which the shape check has reported. Keep
        // its readable settings, so that a plan can compare them.
        let checked = match shape::check(value, &shape, &mut Sink::default()) {
            true => checked(kind, value, sink),
            false if is_known() => Some(policy::Checked::Declared(declared_kind(
                kind, value, &shape,
            ))),
            false => None,
        };
        let Some(checked) = checked else { continue };
        let state = state_id(&[project, kind, scope, &entry.key, &checked.counter()]);
        let policy = ir::Policy {
            name: entry.key.to_string(),
            state,
            checked,
        };
        found.push(Defined {
            value: policy,
            span: entry.key_span,
            node: Some(value.id()),
        });
    }
    found
}

fn name(root: NodeRef<'_>, sink: &mut Sink) -> Option<Spanned<String>> {
    let node = root.get("name")?;
    let text = node.scalar_text()?;
    if let Err(wrong) = text.parse::<bundle::name::ProjectName>() {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                node.span(),
                format!("`{}` cannot name a project", text.escape_debug()),
            )
            .help(wrong.to_string()),
        );
        return None;
    }
    Some(Spanned::new(text.to_owned(), node.span()))
}

fn required(root: NodeRef<'_>, names: &AllNames) -> Required {
    let Some(node) = root.get("required") else {
        return Required::default();
    };
    let mut policies = name_list(node.get("policies"));
    policies.retain(|name| names.kind(Kind::Policy).knows(&name.value));
    let mut auth = name_list(node.get("auth"));
    auth.retain(|name| names.kind(Kind::Verifier).knows(&name.value));
    let allow_public = node
        .get("allow_public")
        .filter(|node| !node.is_null())
        .map(|node| {
            name_list(Some(node))
                .into_iter()
                .map(Pattern::new)
                .collect()
        });
    Required {
        policies,
        auth,
        allow_public,
    }
}

fn defaults(root: NodeRef<'_>, names: &AllNames, sink: &mut Sink) -> Defaults {
    let node = root.get("defaults");
    let get = |key: &str| {
        node.and_then(|node| node.get(key))
            .filter(|value| !value.is_null())
    };
    let upstream = get("upstream")
        .and_then(|node| Some(Spanned::new(node.scalar_text()?.to_owned(), node.span())));
    let upstream = match upstream {
        Some(name)
            if name.value == FROM_SERVERS
                && names.kind(Kind::Upstream).defined(FROM_SERVERS).is_none() =>
        {
            sink.push(shape::not_available(
                name.span,
                "`from-servers`",
                "define the service under `upstreams` and name it here",
            ));
            Some(name)
        }
        other => other.filter(|name| names.kind(Kind::Upstream).knows(&name.value)),
    };
    let mut policies = name_list(get("policies"));
    policies.retain(|name| names.kind(Kind::Policy).knows(&name.value));
    let max_body = |node| read::size_bytes(node).ok().map(Some);
    let timeout_ms = get("timeout")
        .and_then(|node| Some(Spanned::new(read::duration_ms(node).ok()?, node.span())));
    Defaults {
        timeout_unread: timeout_ms.is_none() && get("timeout").is_some(),
        timeout_ms,
        upstream_unknown: upstream.is_none() && get("upstream").is_some(),
        upstream,
        policies,
        max_body_bytes: Valued::read(get("max_body"), ("max_body", None), max_body),
        path_readings: Valued::read(
            get("path_readings"),
            ("path_readings", ir::PathReadings::Strict),
            path_item::path_readings,
        ),
        closes_streams: Valued::read(
            get("streams"),
            ("streams", false),
            path_item::closes_streams,
        ),
        security: match get("security").and_then(NodeRef::scalar_text) {
            Some("upstream") => SecurityMode::Upstream,
            _ => SecurityMode::Enforce,
        },
        validation: get("validate")
            .map(validate::author::read)
            .unwrap_or_default(),
        validate_at: get("validate").map(NodeRef::span),
        expose_bundle: get("expose_bundle")
            .and_then(NodeRef::as_bool)
            .unwrap_or(false),
        serve_document: get("serve_document").and_then(|node| serving::read(node, sink)),
    }
}

/// Names of the listeners for mounts that name no listener.
fn default_listeners(
    root: NodeRef<'_>,
    listeners: &[Defined<ir::Listener>],
    names: &AllNames,
) -> Vec<String> {
    let written = root
        .get("defaults")
        .and_then(|defaults| defaults.get("listeners"));
    let mut chosen = name_list(written);
    chosen.retain(|name| names.kind(Kind::Listener).knows(&name.value));
    if written.is_some() {
        return chosen.into_iter().map(|name| name.value).collect();
    }
    // Also mark listeners with errors as used.
    names.kind(Kind::Listener).use_all();
    let listeners = listeners.iter();
    listeners
        .map(|listener| listener.value.name.clone())
        .collect()
}

fn apis(
    root: NodeRef<'_>,
    everywhere: &[String],
    names: &AllNames,
    sink: &mut Sink,
) -> Vec<ApiEntry> {
    let mut apis = Vec::new();
    let word = |node: Option<NodeRef<'_>>| {
        let node = node?;
        Some(Spanned::new(node.scalar_text()?.to_owned(), node.span()))
    };
    for (entry, node) in root.get("apis").into_iter().flat_map(NodeRef::entries) {
        let Some(path) = word(node.get("path")) else {
            continue;
        };
        let mounts = mounts(node, everywhere, names, sink);
        apis.push(ApiEntry {
            name: entry.key.to_string(),
            span: entry.key_span,
            path,
            overlays: name_list(node.get("overlays")),
            mounts,
            environments: node
                .get("environments")
                .filter(|list| list.is_list())
                .map(|list| {
                    name_list(Some(list))
                        .into_iter()
                        .map(|it| it.value)
                        .collect()
                }),
            unmatched: word(node.get("unmatched")),
            undeclared_methods: word(node.get("undeclared_methods")),
            serve_document: node
                .get("serve_document")
                .and_then(|node| serving::read(node, sink)),
            declared: declared::later(node, &shape::Shape::Object(&vocab::gateway::API)),
        });
    }
    apis.sort_by(|a, b| a.name.cmp(&b.name));
    apis
}
