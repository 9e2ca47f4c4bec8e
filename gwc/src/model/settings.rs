//! gateway.yaml, read and checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bundle::ir;
use diag::shape::{self, BAD_VALUE, MISSING_KEY, NOT_AVAILABLE};
use diag::{Diagnostic, Level, NodeRef, Sink, Span, Spanned, read};
use policy::StateId;
use sha2::{Digest as _, Sha256};

use super::lints::{
    CREDENTIAL_TWICE, MOUNT_CONFLICT, UNKNOWN_AUTH, UNKNOWN_LISTENER, UNKNOWN_POLICY,
    UNKNOWN_UPSTREAM,
};
use super::{Defined, Names, Valued};
use crate::vocab;

/// gateway.yaml: what the operator decides.
#[derive(Debug)]
pub struct Settings {
    /// The project's name.
    pub name: Spanned<String>,
    /// Who answers for the project.
    pub owner: Option<String>,
    /// The documents and where each is mounted.
    pub apis: Vec<ApiEntry>,
    /// Where the gateway listens; never empty.
    pub listeners: Vec<Defined<ir::Listener>>,
    /// The services behind.
    pub upstreams: Vec<Defined<Upstream>>,
    /// How credentials are checked.
    pub auth: Vec<Defined<ir::Verifier>>,
    /// Who may call.
    pub consumers: Vec<Defined<ir::Consumer>>,
    /// Policies that operations name.
    pub policies: Vec<Defined<ir::Policy>>,
    /// What no document can avoid.
    pub required: Required,
    /// What holds where nobody says otherwise.
    pub defaults: Defaults,
    /// Levels of rules.
    pub lint: BTreeMap<String, (Option<Level>, Span)>,
    /// Gates that are on.
    pub gates: Vec<String>,
    /// The folder that bundles go to.
    pub store: String,
    /// The channel that is moved.
    pub channel: String,
    /// The names of each kind.
    pub names: AllNames,
}

/// The names of gateway.yaml by kind.
#[derive(Debug)]
pub struct AllNames {
    /// Policies.
    pub policies: Names,
    /// Upstreams.
    pub upstreams: Names,
    /// Verifiers.
    pub auth: Names,
    /// Listeners.
    pub listeners: Names,
}

/// One API of gateway.yaml.
#[derive(Clone, Debug)]
pub struct ApiEntry {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub span: Span,
    /// Its document.
    pub path: Spanned<String>,
    /// Its overlays.
    pub overlays: Vec<Spanned<String>>,
    /// Where it can be reached; never empty.
    pub mounts: Vec<Defined<ir::Mount>>,
}

/// A service with the timeout that operations inherit from it.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// What the bundle carries.
    pub ir: ir::Upstream,
    /// `timeouts.request`.
    pub request_timeout_ms: Option<Spanned<u64>>,
}

/// What no document can avoid.
#[derive(Debug, Default)]
pub struct Required {
    /// Policies.
    pub policies: Vec<Spanned<String>>,
    /// Verifiers.
    pub auth: Vec<Spanned<String>>,
    /// Operation keys that may be public; none: all.
    pub allow_public: Option<Vec<Spanned<String>>>,
}

/// What holds where nobody says otherwise.
#[derive(Debug)]
pub struct Defaults {
    /// Where requests go.
    pub upstream: Option<Spanned<String>>,
    /// Whether a default upstream is written that does not exist; that was reported.
    pub upstream_unknown: bool,
    /// What every chain begins with.
    pub policies: Vec<Spanned<String>>,
    /// Milliseconds to the head of the response.
    pub timeout_ms: Option<Spanned<u64>>,
    /// Bytes of a request's body.
    pub max_body_bytes: Valued<Option<u64>>,
    /// Who checks credentials.
    pub security: SecurityMode,
    /// Whether responses name their bundle.
    pub expose_bundle: bool,
}

/// Who checks credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityMode {
    /// The gateway, by its verifiers.
    Enforce,
    /// The upstream; the gateway sees to it that a credential is there.
    Upstream,
}

/// Reads gateway.yaml. What cannot be read is reported and left out; none where not even the
/// project's name is there.
pub fn read(root: NodeRef<'_>, sink: &mut Sink) -> Option<Settings> {
    shape::check(root, &vocab::gateway::SHAPE, sink);
    let name = name(root, sink)?;
    let listeners = listeners(root, sink);
    let upstreams = entries(root, "upstreams", |key, node| {
        upstream(&name.value, &key, node, sink)
    });
    let auth = entries(root, "auth", |name, node| {
        let kind = node.get("kind")?.scalar_text()?;
        let checked = policy::auth::check(kind, node)?;
        Some(ir::Verifier { name, checked })
    });
    let consumers = consumers(root, sink);
    let policies = policies(root.get("policies"), &name.value, "", sink);
    let named = |text: &str| {
        entries(root, text, |_, _| Some(()))
            .into_iter()
            .map(|(name, entry)| (name, entry.span))
            .collect::<Vec<_>>()
    };
    let names = AllNames {
        policies: Names::new("policy", &UNKNOWN_POLICY, named("policies")),
        upstreams: Names::new("upstream", &UNKNOWN_UPSTREAM, named("upstreams")),
        auth: Names::new("verifier", &UNKNOWN_AUTH, named("auth")),
        listeners: Names::new(
            "listener",
            &UNKNOWN_LISTENER,
            listeners
                .iter()
                .map(|entry| (entry.value.name.clone(), entry.span)),
        ),
    };
    let defaults = defaults(root, &names, sink);
    let required = required(root, &names, sink);
    let everywhere = default_listeners(root, &listeners, &names, sink);
    let apis = apis(root, &everywhere, &names, sink);
    let release = root.get("release");
    let text = |key: &str, default: &str| {
        let said = release
            .and_then(|release| release.get(key))
            .and_then(NodeRef::scalar_text);
        said.unwrap_or(default).to_owned()
    };
    if let Some(channel) = release.and_then(|release| release.get("channel"))
        && let Some(Err(wrong)) = channel
            .scalar_text()
            .map(str::parse::<bundle::name::ChannelName>)
    {
        sink.push(
            Diagnostic::new(&BAD_VALUE, channel.span(), "this cannot name a channel")
                .help(wrong.to_string()),
        );
    }
    for gate in root.get("gates").into_iter().flat_map(NodeRef::items) {
        if gate.scalar_text() == Some("break") {
            sink.push(not_available(
                gate,
                "the gate `break` is not available yet",
                "remove it: client-breaking changes are shown, not classified",
            ));
        }
    }
    Some(Settings {
        owner: root
            .get("owner")
            .and_then(NodeRef::scalar_text)
            .map(str::to_owned),
        name,
        apis,
        listeners,
        upstreams: upstreams.into_iter().map(|(_, entry)| entry).collect(),
        auth: auth.into_iter().map(|(_, entry)| entry).collect(),
        consumers,
        policies,
        required,
        defaults,
        lint: levels(root),
        gates: root
            .get("gates")
            .into_iter()
            .flat_map(NodeRef::items)
            .filter_map(|gate| Some(gate.scalar_text()?.to_owned()))
            .collect(),
        store: text("store", "releases"),
        channel: text("channel", "prod"),
        names,
    })
}

/// The policies under a node; `scope` tells an API's own from the gateway's of the same name.
pub(super) fn policies(
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
        // What the shape refuses was told; `check` must not see it.
        if !shape::check(
            value,
            &shape::Shape::Kinds(policy::KINDS),
            &mut Sink::default(),
        ) {
            continue;
        }
        let Some(checked) = policy::check(kind, value, sink) else {
            continue;
        };
        let key = match &checked {
            policy::Checked::RateLimit(limit) => format!("{:?} token_bucket", limit.key()),
            policy::Checked::Headers(_)
            | policy::Checked::Respond(_)
            | policy::Checked::Timeout(_) => String::new(),
        };
        let state = state_id(&[project, kind, scope, &entry.key, &key]);
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

/// A stable id for state that outlives a snapshot: a hash of what names it, never of limits or
/// positions (release.md §7).
pub(super) fn state_id(parts: &[&str]) -> StateId {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    StateId(u64::from_be_bytes(
        digest[..8].try_into().expect("eight of 32 bytes"),
    ))
}

/// A list of names, each resolved.
pub(super) fn name_list(node: Option<NodeRef<'_>>) -> Vec<Spanned<String>> {
    let items = node.into_iter().flat_map(NodeRef::items);
    items
        .filter_map(|item| Some(Spanned::new(item.scalar_text()?.to_owned(), item.span())))
        .collect()
}

type Entries<T> = Vec<(String, Defined<T>)>;

fn entries<'t, T>(
    root: NodeRef<'t>,
    key: &str,
    mut make: impl FnMut(String, NodeRef<'t>) -> Option<T>,
) -> Entries<T> {
    let all = root.get(key).into_iter().flat_map(NodeRef::entries);
    let made = all.filter_map(|(entry, node)| {
        let value = make(entry.key.to_string(), node)?;
        let defined = Defined {
            value,
            span: entry.key_span,
            node: Some(node.id()),
        };
        Some((entry.key.to_string(), defined))
    });
    made.collect()
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

fn levels(root: NodeRef<'_>) -> BTreeMap<String, (Option<Level>, Span)> {
    let entries = root.get("lint").into_iter().flat_map(NodeRef::entries);
    let levels = entries.filter_map(|(entry, node)| {
        let level = match node.scalar_text()? {
            // YAML 1.1 habits: an unquoted `off` is the text here, `false` is not meant.
            "off" => None,
            "info" => Some(Level::Info),
            "warn" => Some(Level::Warn),
            "error" => Some(Level::Error),
            _ => return None,
        };
        Some((entry.key.to_string(), (level, entry.key_span)))
    });
    levels.collect()
}

fn listeners(root: NodeRef<'_>, sink: &mut Sink) -> Vec<Defined<ir::Listener>> {
    let mut found: Vec<Defined<ir::Listener>> =
        entries(root, "listeners", |name, node| listener(name, node, sink))
            .into_iter()
            .map(|(_, entry)| entry)
            .collect();
    if root
        .get("listeners")
        .is_none_or(|node| node.entries().next().is_none())
    {
        let value = ir::Listener {
            name: "public".into(),
            address: "127.0.0.1:8080".into(),
            protocol: ir::Protocol::Http,
            limits: listener_limits(None),
            trusted_proxies: Vec::new(),
        };
        found.push(Defined {
            value,
            span: Span::start_of(root.span().file),
            node: None,
        });
    }
    found
}

fn listener(name: String, node: NodeRef<'_>, sink: &mut Sink) -> Option<ir::Listener> {
    let address = node.get("address")?;
    let text = address.scalar_text()?;
    if text.parse::<SocketAddr>().is_err() {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                address.span(),
                format!("`{}` is not an address to listen on", text.escape_debug()),
            )
            .help("write `IP:PORT`, for instance `0.0.0.0:8080`, `127.0.0.1:0` or `[::]:8080`"),
        );
        return None;
    }
    if let Some(protocol) = node
        .get("protocol")
        .filter(|protocol| protocol.scalar_text() == Some("https"))
    {
        sink.push(not_available(
            protocol,
            "`https` is not available yet",
            "write `http`",
        ));
        return None;
    }
    let mut trusted = Vec::new();
    for range in node
        .get("trusted_proxies")
        .into_iter()
        .flat_map(NodeRef::items)
    {
        let text = range.scalar_text().unwrap_or_default();
        match ir::Cidr::parse(text) {
            Some(cidr) => trusted.push(cidr),
            None => sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    range.span(),
                    format!("`{}` is not a range of addresses", text.escape_debug()),
                )
                .help("write `10.0.0.0/8` (no bit set behind the prefix) or one address"),
            ),
        }
    }
    trusted.sort();
    trusted.dedup();
    Some(ir::Listener {
        name,
        address: text.to_owned(),
        protocol: ir::Protocol::Http,
        limits: listener_limits(node.get("limits")),
        trusted_proxies: trusted,
    })
}

fn listener_limits(node: Option<NodeRef<'_>>) -> ir::ListenerLimits {
    let get = |key: &str| {
        node.and_then(|node| node.get(key))
            .filter(|value| !value.is_null())
    };
    let count = |key: &str, default: u64| {
        get(key)
            .and_then(NodeRef::as_i64)
            .and_then(|value| u64::try_from(value).ok())
            .unwrap_or(default)
    };
    let time = |key: &str, default: u64| {
        get(key)
            .and_then(|value| read::duration_ms(value).ok())
            .unwrap_or(default)
    };
    ir::ListenerLimits {
        connections: count("connections", 10_000),
        header_bytes: get("header_bytes")
            .and_then(|value| read::size_bytes(value).ok())
            .unwrap_or(64 << 10)
            .max(8 << 10),
        headers: count("headers", 100),
        header_timeout_ms: time("header_timeout", 10_000),
        idle_timeout_ms: time("idle_timeout", 60_000),
        target_bytes: 16 << 10,
    }
}

fn upstream(project: &str, name: &str, node: NodeRef<'_>, sink: &mut Sink) -> Option<Upstream> {
    for (key, known) in [("protocol", "h1"), ("lb", "round_robin")] {
        if let Some(value) = node
            .get(key)
            .filter(|value| value.scalar_text().is_some_and(|text| text != known))
        {
            sink.push(not_available(
                value,
                &format!(
                    "`{}` is not available yet",
                    value.scalar_text().unwrap_or_default()
                ),
                &format!("write `{known}`"),
            ));
        }
    }
    let targets: Vec<ir::Target> = entries(node, "targets", |name, node| target(name, node, sink))
        .into_iter()
        .map(|(_, entry)| entry.value)
        .collect();
    if node
        .get("targets")
        .is_none_or(|targets| targets.entries().next().is_none())
        && node.get("dns").is_none()
    {
        sink.push(
            Diagnostic::new(
                &MISSING_KEY,
                node.span(),
                format!("the upstream `{name}` has no target"),
            )
            .help("write `targets: {a: {url: \"http://HOST:PORT\"}}`"),
        );
        return None;
    }
    if targets.is_empty() {
        return None;
    }
    if targets.iter().all(|target| target.weight == 0) {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                node.span(),
                format!("no target of `{name}` has a weight"),
            )
            .help("give one of them a weight above 0"),
        );
    }
    let timeouts = node.get("timeouts");
    let time = |key: &str| {
        let value = timeouts.and_then(|timeouts| timeouts.get(key))?;
        Some(Spanned::new(read::duration_ms(value).ok()?, value.span()))
    };
    let host_header = match node.get("host_header").and_then(NodeRef::scalar_text) {
        None | Some("preserve") => ir::HostHeader::Preserve,
        Some("upstream") => ir::HostHeader::Upstream,
        Some(value) => ir::HostHeader::Value(value.to_owned()),
    };
    if let (ir::HostHeader::Value(value), Some(node)) = (&host_header, node.get("host_header"))
        && !is_authority(value)
    {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                node.span(),
                format!("`{}` is not a host", value.escape_debug()),
            )
            .help("write `preserve`, `upstream` or `HOST[:PORT]`"),
        );
    }
    Some(Upstream {
        ir: ir::Upstream {
            name: name.to_owned(),
            state: state_id(&[project, "upstream", name]),
            targets: ir::Set::new(targets).ok()?,
            connect_timeout_ms: time("connect").map_or(5_000, |time| time.value),
            idle_timeout_ms: time("idle").map_or(60_000, |time| time.value),
            host_header,
        },
        request_timeout_ms: time("request"),
    })
}

fn is_authority(text: &str) -> bool {
    let authority = text.parse::<http::uri::Authority>();
    authority
        .is_ok_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
}

fn target(name: String, node: NodeRef<'_>, sink: &mut Sink) -> Option<ir::Target> {
    let url = node.get("url")?;
    let text = url.scalar_text()?;
    let refuse = |why: &str, sink: &mut Sink| {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                url.span(),
                format!("`{}` cannot be a target: {why}", text.escape_debug()),
            )
            .help("write `http://HOST:PORT` or `http://HOST:PORT/PATH`"),
        );
        None
    };
    let Ok(uri) = text.parse::<http::Uri>() else {
        return refuse("it is not a URL", sink);
    };
    match uri.scheme_str() {
        Some("http") => {}
        Some("https" | "unix") => {
            sink.push(not_available(
                url,
                "upstreams over TLS or UNIX sockets are not available yet",
                "write an `http://` URL",
            ));
            return None;
        }
        _ => return refuse("its scheme is not `http`", sink),
    }
    let Some(authority) = uri
        .authority()
        .filter(|authority| is_authority(authority.as_str()))
    else {
        return refuse("it has no host", sink);
    };
    if uri.query().is_some() || text.contains('#') {
        return refuse(
            "a query or fragment cannot stand before a request's path",
            sink,
        );
    }
    let port = match authority.port() {
        None => 80,
        Some(port) => match port.as_u16() {
            0 => return refuse("port 0 cannot be connected to", sink),
            port => port,
        },
    };
    let path = match engine::path::normalise(uri.path()) {
        Ok(path) => path.trim_end_matches('/').to_owned(),
        Err(_) => return refuse("its path is not valid", sink),
    };
    let weight = match node.get("weight").filter(|weight| !weight.is_null()) {
        Some(weight) => u32::try_from(read::integer(weight, 0, 1_000_000).ok()?).ok()?,
        None => 1,
    };
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    Some(ir::Target {
        name,
        host,
        port,
        path,
        weight,
    })
}

fn consumers(root: NodeRef<'_>, sink: &mut Sink) -> Vec<Defined<ir::Consumer>> {
    let mut seen: BTreeMap<(&str, [u8; 32]), Span> = BTreeMap::new();
    let mut consumers = Vec::new();
    for (entry, node) in root.get("consumers").into_iter().flat_map(NodeRef::entries) {
        let mut lists = [Vec::new(), Vec::new()];
        for (list, key) in lists.iter_mut().zip(["keys", "basic"]) {
            for item in node.get(key).into_iter().flat_map(NodeRef::items) {
                let Some(hash) = item.get("sha256") else {
                    continue;
                };
                let Ok(sha256) = read::sha256_hex(hash) else {
                    continue;
                };
                let not_after = item
                    .get("not_after")
                    .and_then(NodeRef::scalar_text)
                    .and_then(shape::read_date);
                if let Some(first) = seen.insert((key, sha256), hash.span()) {
                    sink.push(
                        Diagnostic::new(
                            &CREDENTIAL_TWICE,
                            hash.span(),
                            "this credential stands twice",
                        )
                        .related(first, "it stands here first"),
                    );
                    continue;
                }
                list.push(ir::Credential { sha256, not_after });
            }
            list.sort();
        }
        let [keys, basic] = lists;
        let value = ir::Consumer {
            name: entry.key.to_string(),
            keys,
            basic,
        };
        consumers.push(Defined {
            value,
            span: entry.key_span,
            node: Some(node.id()),
        });
    }
    consumers
}

fn required(root: NodeRef<'_>, names: &AllNames, sink: &mut Sink) -> Required {
    let Some(node) = root.get("required") else {
        return Required::default();
    };
    let mut policies = name_list(node.get("policies"));
    policies.retain(|name| {
        names.policies.resolve(
            &name.value,
            name.span,
            &[&names.auth, &names.upstreams],
            sink,
        )
    });
    let mut auth = name_list(node.get("auth"));
    auth.retain(|name| {
        names
            .auth
            .resolve(&name.value, name.span, &[&names.policies], sink)
    });
    let allow_public = node
        .get("allow_public")
        .filter(|node| !node.is_null())
        .map(|node| name_list(Some(node)));
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
            if name.value == "from-servers"
                && names.upstreams.defined("from-servers").is_none() =>
        {
            sink.push(
                Diagnostic::new(
                    &NOT_AVAILABLE,
                    name.span,
                    "`from-servers` is not available yet",
                )
                .help("define the service under `upstreams` and name it here"),
            );
            None
        }
        other => other.filter(|name| {
            names.upstreams.resolve(
                &name.value,
                name.span,
                &[&names.auth, &names.policies],
                sink,
            )
        }),
    };
    let mut policies = name_list(get("policies"));
    policies.retain(|name| {
        names.policies.resolve(
            &name.value,
            name.span,
            &[&names.auth, &names.upstreams],
            sink,
        )
    });
    let max_body_bytes =
        match get("max_body").and_then(|node| Some((read::size_bytes(node).ok()?, node.span()))) {
            Some((bytes, span)) => Valued::written(Some(bytes), span),
            None => Valued::default(None, "max_body"),
        };
    Defaults {
        upstream_unknown: upstream.is_none() && get("upstream").is_some(),
        upstream,
        policies,
        timeout_ms: get("timeout")
            .and_then(|node| Some(Spanned::new(read::duration_ms(node).ok()?, node.span()))),
        max_body_bytes,
        security: match get("security").and_then(NodeRef::scalar_text) {
            Some("upstream") => SecurityMode::Upstream,
            _ => SecurityMode::Enforce,
        },
        expose_bundle: get("expose_bundle")
            .and_then(NodeRef::as_bool)
            .unwrap_or(false),
    }
}

/// The listeners of mounts that name none.
fn default_listeners(
    root: NodeRef<'_>,
    listeners: &[Defined<ir::Listener>],
    names: &AllNames,
    sink: &mut Sink,
) -> Vec<String> {
    let said = root
        .get("defaults")
        .and_then(|defaults| defaults.get("listeners"));
    let mut chosen = name_list(said);
    chosen.retain(|name| names.listeners.resolve(&name.value, name.span, &[], sink));
    if said.is_some() {
        return chosen.into_iter().map(|name| name.value).collect();
    }
    listeners
        .iter()
        .map(|listener| {
            names.listeners.knows(&listener.value.name);
            listener.value.name.clone()
        })
        .collect()
}

fn apis(
    root: NodeRef<'_>,
    everywhere: &[String],
    names: &AllNames,
    sink: &mut Sink,
) -> Vec<ApiEntry> {
    let mut apis = Vec::new();
    for (entry, node) in root.get("apis").into_iter().flat_map(NodeRef::entries) {
        let path = node
            .get("path")
            .and_then(|path| Some(Spanned::new(path.scalar_text()?.to_owned(), path.span())));
        let Some(path) = path else { continue };
        let mounts = mounts(node, everywhere, names, sink);
        apis.push(ApiEntry {
            name: entry.key.to_string(),
            span: entry.key_span,
            path,
            overlays: name_list(node.get("overlays")),
            mounts,
        });
    }
    apis.sort_by(|a, b| a.name.cmp(&b.name));
    apis
}

fn mounts(
    api: NodeRef<'_>,
    everywhere: &[String],
    names: &AllNames,
    sink: &mut Sink,
) -> Vec<Defined<ir::Mount>> {
    if let (Some((entry, _)), Some((other, _))) = (api.entry("mount"), api.entry("mounts")) {
        sink.push(
            Diagnostic::new(
                &MOUNT_CONFLICT,
                other.key_span,
                "`mount` and `mounts` cannot stand together",
            )
            .related(entry.key_span, "`mount` stands here")
            .help("write all of them under `mounts`, each with a name"),
        );
    }
    let nodes: Vec<NodeRef<'_>> = match (api.get("mounts"), api.get("mount")) {
        (Some(list), _) => list.items().collect(),
        (None, Some(one)) => vec![one],
        (None, None) => Vec::new(),
    };
    if nodes.is_empty() {
        let value = ir::Mount {
            name: "default".into(),
            hosts: Vec::new(),
            base_path: String::new(),
            strip_base_path: false,
            listeners: sorted(everywhere.to_vec()),
        };
        return vec![Defined {
            value,
            span: api.span(),
            node: None,
        }];
    }
    let mut mounts: Vec<Defined<ir::Mount>> = Vec::new();
    for node in nodes {
        let Some(mount) = mount(node, everywhere, names, sink) else {
            continue;
        };
        if let Some(first) = mounts.iter().find(|first| first.value.name == mount.name) {
            let at = node.get("name").map_or(node.span(), NodeRef::span);
            sink.push(
                Diagnostic::new(
                    &MOUNT_CONFLICT,
                    at,
                    format!("two mounts are named `{}`", mount.name),
                )
                .related(first.span, "the other one stands here")
                .help("give each mount of an API its own `name`"),
            );
            continue;
        }
        mounts.push(Defined {
            value: mount,
            span: node.get("name").map_or(node.span(), NodeRef::span),
            node: Some(node.id()),
        });
    }
    mounts
}

fn mount(
    node: NodeRef<'_>,
    everywhere: &[String],
    names: &AllNames,
    sink: &mut Sink,
) -> Option<ir::Mount> {
    let name = match node.get("name") {
        Some(name) => {
            let text = name.scalar_text()?;
            if !shape::is_name(text) {
                sink.push(Diagnostic::new(
                    &BAD_VALUE,
                    name.span(),
                    format!("`{}` cannot name a mount", text.escape_debug()),
                ));
                return None;
            }
            text.to_owned()
        }
        None => "default".into(),
    };
    let mut hosts = Vec::new();
    for host in name_list(node.get("hosts")) {
        match read_host(&host.value) {
            Some(host) => hosts.push(host),
            None => sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    host.span,
                    format!("`{}` is not a host", host.value.escape_debug()),
                )
                .help("write `api.example.org` or `*.example.org` (one label), without port"),
            ),
        }
    }
    let base_path = match node.get("base_path").filter(|node| !node.is_null()) {
        None => String::new(),
        Some(base) => read_base_path(base, sink)?,
    };
    let mut listeners: Vec<Spanned<String>> = name_list(node.get("listeners"));
    listeners.retain(|name| names.listeners.resolve(&name.value, name.span, &[], sink));
    let listeners = match node.get("listeners") {
        Some(_) => listeners.into_iter().map(|name| name.value).collect(),
        None => everywhere.to_vec(),
    };
    Some(ir::Mount {
        name,
        hosts: sorted(hosts),
        base_path,
        strip_base_path: node
            .get("strip_base_path")
            .and_then(NodeRef::as_bool)
            .unwrap_or(false),
        listeners: sorted(listeners),
    })
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

fn read_host(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let (plain, labels_min) = match lower.strip_prefix("*.") {
        Some(plain) => (plain, 2),
        None => (lower.as_str(), 1),
    };
    let plain = plain.strip_suffix('.').unwrap_or(plain);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let ip6 = plain.starts_with('[')
        && plain.ends_with(']')
        && plain[1..plain.len() - 1]
            .parse::<std::net::Ipv6Addr>()
            .is_ok();
    let fine = plain.split('.').all(label) && plain.split('.').count() >= labels_min;
    (fine || ip6).then(|| lower.strip_suffix('.').unwrap_or(&lower).to_owned())
}

fn read_base_path(node: NodeRef<'_>, sink: &mut Sink) -> Option<String> {
    let text = node.scalar_text()?;
    if text == "/" {
        return Some(String::new());
    }
    let normal = engine::path::normalise(text);
    let fine = !text.ends_with('/') && !text.contains(['{', '}', '?', '#']) && normal.is_ok();
    match normal {
        Ok(normal) if fine => Some(normal.into_owned()),
        _ => {
            sink.push(
                Diagnostic::new(&BAD_VALUE, node.span(), format!("`{}` cannot be a base path", text.escape_debug()))
                    .help("it begins with `/`, does not end in it and has no parameters, for instance `/orders/v2`"),
            );
            None
        }
    }
}

fn not_available(node: NodeRef<'_>, message: &str, help: &str) -> Diagnostic {
    Diagnostic::new(&NOT_AVAILABLE, node.span(), message).help(help)
}
