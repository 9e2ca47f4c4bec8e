//! Operations for undescribed requests: `unmatched` and `undeclared_methods`, set in `apis` of
//! gateway.yaml or at the root of the document. These operations have the security and the policies
//! of the document's root. The endpoints of served documents ([`crate::served`]) are handled in the
//! same way.

use std::collections::BTreeSet;

use bundle::ir::{self, Link, Owns, Segment};
use diag::{Diagnostic, NodeRef, Sink, Span, Spanned};
use policy::Policy as _;
use policy::traffic::split;
use policy::validation::Mode;

use super::open;
use super::operation::{Context, Found, Subject, access, authenticated, check_path_texts};
use super::overlap::subset;
use super::security::SecuritySource;
use super::servers::Servers;
use super::table::at_one_place;
use super::treatment::{Destination, Scopes};
use super::{Api, Operation, Valued, media_types};
use vocab::lints::{IDENTICAL_ROUTE, PUBLIC_WITHOUT_EFFECT, WAY_ROUND};

/// Operation that the document does not describe.
#[derive(Clone, Debug)]
pub struct Rest {
    /// Key of the operation: `API#unmatched`, `API#undeclared`, `API#document` or
    /// `API#document-page`.
    pub key: String,
    /// Requests that the operation serves. [`Owns::Described`]: the requests of [`Self::endpoint`].
    pub owns: Owns,
    /// Endpoint of a served document. `None` for an operation for undescribed requests.
    pub endpoint: Option<Endpoint>,
    /// Source location of the setting that creates the operation.
    pub span: Span,
    /// Owner of the operation: set by the document, else by the project. `None`: neither sets one.
    pub owner: Option<String>,
    /// Credentials required from callers.
    pub security: Valued<ir::Security>,
    /// Policies in the order in which they run.
    pub chain: Vec<Valued<Link>>,
    /// Upstream that receives the requests.
    pub upstream: Valued<String>,
    /// Weights of the upstreams, if several servers of the document name an upstream.
    pub split: Option<split::Checked>,
    /// Timeout until the response head, in milliseconds.
    pub timeout_ms: Valued<u64>,
    /// Maximum size of a request body, in bytes. `None`: unlimited.
    pub max_body_bytes: Valued<Option<u64>>,
    /// Handling of paths that an upstream may read as another path.
    pub path_readings: Valued<ir::PathReadings>,
    /// True if open streams are closed when a credential of their request expires.
    pub closes_streams: Valued<bool>,
}

/// Endpoint of a served document: GET requests for one path.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Name after `#` in the key of the operation.
    pub name: &'static str,
    /// Path below the mount.
    pub path: String,
    /// Template that matches the path.
    pub template: ir::Template,
}

impl Endpoint {
    /// Method of the endpoint.
    pub const METHOD: &str = "GET";

    pub(super) fn new(name: &'static str, path: &str) -> Self {
        Self {
            name,
            path: path.to_owned(),
            template: ir::Template::parse(path).expect("a path that was checked"),
        }
    }
}

/// Resolves the operations for undescribed requests, at most one of each kind.
pub(super) fn resolve(context: &Context<'_>, found: &mut Found, sink: &mut Sink) -> Vec<Rest> {
    let entry = context.entry;
    let fallback = |key: &str, of_entry: &Option<Spanned<String>>| {
        let of_root = context.extension.and_then(|node| node.get(key));
        let of_root = of_root.and_then(|node| Some((node.scalar_text()?.to_owned(), node.span())));
        let of_entry = of_entry.clone().map(|entry| (entry.value, entry.span));
        // gateway.yaml takes precedence over the document.
        let nearest = of_entry.into_iter().chain(of_root).next();
        nearest.filter(|(word, _)| word != DENY)
    };
    let public = context.extension.and_then(|node| node.get("public"));
    let public = public.filter(|value| value.as_bool() == Some(true));
    let public = public.map(NodeRef::span);
    let undeclared = fallback("undeclared_methods", &entry.undeclared_methods);
    let unmatched = fallback("unmatched", &entry.unmatched);
    if let Some(public) = public
        && undeclared.is_none()
        && unmatched.is_none()
    {
        sink.push(
            Diagnostic::new(
                &PUBLIC_WITHOUT_EFFECT,
                public,
                "`public: true` here has no effect: only described operations are served",
            )
            .help("remove this `public: true`, or write it at each public operation"),
        );
    }
    let undeclared = undeclared.map(|(_, span)| (Owns::Undeclared, None, span));
    let unmatched = unmatched.map(|(name, span)| (Owns::Unmatched, Some(name), span));
    [undeclared, unmatched]
        .into_iter()
        .flatten()
        .filter_map(|(owns, upstream, span)| {
            one(context, (owns, upstream, span), public, found, sink)
        })
        .collect()
}

/// Value of `unmatched` and `undeclared_methods` that refuses undescribed requests.
const DENY: &str = "deny";

fn one(
    context: &Context<'_>,
    (owns, upstream, span): (Owns, Option<String>, Span),
    public: Option<Span>,
    found: &mut Found,
    sink: &mut Sink,
) -> Option<Rest> {
    let Context {
        files,
        entry,
        spec,
        extension,
        own,
        settings,
        ..
    } = context;
    let key = match owns {
        Owns::Unmatched => format!("{}#unmatched", entry.name),
        Owns::Undeclared | Owns::Described => format!("{}#undeclared", entry.name),
    };
    open::mark_patterns(&key, settings);
    let subject = Subject {
        key: &key,
        at: span,
        written: spec.security.as_ref().map(SecuritySource::Document),
        overrides: Vec::new(),
        public,
        internal: false,
    };
    let security = access(context, &subject, found, sink);
    let scopes = Scopes {
        own,
        root_defaults: extension.and_then(|node| node.get("defaults")),
        path: None,
        operation: None,
        servers: Servers::of_document(&files.tree, spec),
    };
    let mut split = None;
    let upstream = match upstream {
        Some(name) => {
            // The undefined name was reported.
            Valued::written(own.upstream(&name, settings)?, span)
        }
        None => match scopes.upstream(settings).ok()? {
            Some(Destination {
                upstream,
                by_servers,
            }) => {
                split = scopes.servers.split(by_servers);
                if let Some(split) = &mut split {
                    split.rename_upstreams(&|name| own.name_of_upstream(name));
                }
                upstream
            }
            None => {
                found.no_upstream.push((key, span));
                return None;
            }
        },
    };
    let mut chain = scopes.chain(settings, sink);
    let timeout_ms = scopes.timeout(settings, &upstream.value, &chain);
    check_path_texts(&chain, own, &everything(), sink);
    media_types::check(&chain, own, (Mode::Off, None), span, sink);
    authenticated(&mut chain, &security, own, settings);
    Some(Rest {
        owner: owner(context),
        max_body_bytes: scopes.max_body(settings),
        path_readings: scopes.path_readings(settings, &everything()),
        closes_streams: scopes.closes_streams(settings),
        key,
        owns,
        endpoint: None,
        span,
        security,
        chain,
        upstream,
        split,
        timeout_ms,
    })
}

/// Owner of the operations for undescribed requests: set by the document, else by the project.
/// `None`: neither sets one.
pub(super) fn owner(context: &Context<'_>) -> Option<String> {
    let owner = context.extension.and_then(|node| node.get("owner"));
    let owner = owner.and_then(NodeRef::scalar_text).map(str::to_owned);
    owner.or_else(|| context.settings.owner.clone())
}

/// Template that matches every path below the mount.
#[must_use]
pub fn everything() -> ir::Template {
    let root = ir::Template::parse("/").expect("a path");
    root.into_prefix()
}

/// Reports two APIs whose operations would serve the same undescribed requests.
pub(super) fn clashes(apis: &[Api], sink: &mut Sink) {
    let getting: Vec<(&Api, &Rest)> = apis
        .iter()
        .flat_map(|api| api.rest.iter().map(move |rest| (api, rest)))
        .collect();
    for (index, (api, rest)) in getting.iter().enumerate() {
        let same = |other: &&(&Api, &Rest)| other.1.owns == rest.owns;
        for (earlier, other) in getting[..index].iter().filter(same) {
            let Some(path) = clash((earlier, api), rest.owns) else {
                continue;
            };
            sink.push(
                Diagnostic::new(
                    &IDENTICAL_ROUTE,
                    rest.span,
                    format!("`{}` and `{}` match exactly the same requests", rest.key, other.key),
                )
                .label(format!("both match `{path}`"))
                .related(other.span, format!("`{}` is set here", other.key))
                .help("let only one of them match these requests, or change the `base_path` or the `hosts` of a `mount`"),
            );
        }
    }
}

/// Reports operations whose checks a client can bypass with a path that the upstream understands
/// differently. `unmatched` and `match: prefix` accept other spellings of described paths as well.
/// `path_readings: keep` forwards paths that the upstream may read as other paths.
pub(super) fn check_bypasses(apis: &[Api], sink: &mut Sink) {
    for (index, api) in apis.iter().enumerate() {
        let unmatched = api.rest.iter().find(|rest| rest.owns == Owns::Unmatched);
        if let Some(rest) = unmatched {
            let source = BypassSource {
                key: &rest.key,
                span: rest.span,
                security: &rest.security.value,
                where_others_are: "beside it",
                label: format!(
                    "`{}` gets every path that is written differently, such as `/a/` for `/a`",
                    rest.upstream.value
                ),
                help: "write the same `security` at the document's root, or make sure that the \
upstream compares paths byte for byte",
            };
            let beside = operations_below((index, rest), apis);
            source.report(api.operations.iter().chain(beside), sink);
        }
        // Report each source location only once.
        let mut reported: Vec<Span> = Vec::new();
        for operation in api.operations.iter().filter(|one| !one.internal) {
            let keeps = !operation.path_readings.value.is_strict();
            let written = keeps && operation.path_readings.span().is_some();
            let prefix = operation.template.is_prefix();
            let written_at = operation.path_readings.span().filter(|_| written);
            let span = written_at.unwrap_or(operation.path_span);
            if !(written || prefix) || reported.contains(&span) {
                continue;
            }
            let upstream = &operation.upstream.value;
            let source = BypassSource {
                key: &operation.key,
                span,
                security: &operation.security.value,
                where_others_are: match written {
                    true => "beside it",
                    false => "below it",
                },
                label: match written {
                    true => format!(
                        "`keep`: `{upstream}` gets paths that it may read as another path, such as `..%2fadmin`"
                    ),
                    false => format!(
                        "`{upstream}` gets every path below it that is written differently, such as `/a/` for `/a`"
                    ),
                },
                help: "write the same `security` at both, or make sure that the upstream compares \
paths byte for byte",
            };
            let concerned = |other: &Operation| {
                other.place.0 != operation.place.0
                    && (written || subset(&other.template, &operation.template))
            };
            let others = api.operations.iter().filter(|other| concerned(other));
            if source.report(others, sink) {
                reported.push(span);
            }
        }
    }
}

/// Operations of other APIs with paths below a mount of the API with this index, and with the same
/// upstream as its `unmatched` operation.
fn operations_below<'a>(
    (index, rest): (usize, &'a Rest),
    apis: &'a [Api],
) -> impl Iterator<Item = &'a Operation> {
    let is_below = move |api: &Api| {
        let own = apis[index].mounts.iter();
        let mut pairs = own.flat_map(|own| api.mounts.iter().map(move |other| (own, other)));
        pairs.any(|(own, other)| {
            let (own, other) = (&own.value, &other.value);
            let deeper = other.base_path.strip_prefix(&own.base_path);
            at_one_place(own, other)
                && deeper.is_some_and(|deeper| deeper.is_empty() || deeper.starts_with('/'))
        })
    };
    let others = apis.iter().enumerate();
    let others = others.filter(move |(other, api)| *other != index && is_below(api));
    let operations = others.flat_map(|(_, api)| &api.operations);
    operations.filter(|operation| operation.upstream.value == rest.upstream.value)
}

/// Operation through which clients can bypass the checks of other operations.
struct BypassSource<'m> {
    key: &'m str,
    span: Span,
    security: &'m ir::Security,
    where_others_are: &'static str,
    label: String,
    help: &'static str,
}

impl BypassSource<'_> {
    /// Reports the operations in `others` whose checks clients can bypass with this operation:
    /// internal operations, and operations that require a credential and have another `security`.
    /// Returns false if there are no such operations.
    fn report<'o>(self, others: impl Iterator<Item = &'o Operation>, sink: &mut Sink) -> bool {
        let is_guarded = |one: &&Operation| {
            let security = &one.security.value;
            one.internal || !security.admits_anyone() && security != self.security
        };
        let mut guarded = others.filter(is_guarded);
        let Some(first) = guarded.next() else {
            return false;
        };
        let count = 1 + guarded.count();
        let what = match first.internal {
            true => "this operation is internal",
            false => "this operation has other requirements",
        };
        sink.push(
            Diagnostic::new(
                &WAY_ROUND,
                self.span,
                format!(
                    "`{}` may bypass the protection of {count} of the operations {}",
                    self.key, self.where_others_are
                ),
            )
            .label(self.label)
            .related(first.span, format!("`{}`: {what}", first.key))
            .help(self.help),
        );
        true
    }
}

/// Finds a path at which two APIs would serve the same undescribed requests.
fn clash((a, b): (&Api, &Api), owns: Owns) -> Option<String> {
    let mounts = a
        .mounts
        .iter()
        .flat_map(|a| b.mounts.iter().map(move |b| (a, b)));
    let mut meeting = mounts
        .map(|(a, b)| (&a.value, &b.value))
        .filter(|(a, b)| at_one_place(a, b));
    meeting.find_map(|(mount, other)| match owns {
        Owns::Described => None,
        Owns::Unmatched => {
            (mount.base_path == other.base_path).then(|| format!("{}/", mount.base_path))
        }
        Owns::Undeclared => {
            let (here, there) = (paths(a, mount), paths(b, other));
            here.intersection(&there).next().cloned()
        }
    })
}

/// Paths that an API describes at a mount, without parameter names.
fn paths(api: &Api, mount: &ir::Mount) -> BTreeSet<String> {
    let served = api.operations.iter().filter(|one| !one.internal);
    let templates = served.flat_map(|operation| {
        let loose = operation.trailing_slash != ir::TrailingSlash::Strict;
        let twin = operation.template.twin().filter(|_| loose);
        [Some(operation.template.clone()), twin]
            .into_iter()
            .flatten()
    });
    templates
        .map(|template| {
            let mut text = mount.base_path.clone();
            for segment in template.segments() {
                text.push('/');
                match segment {
                    Segment::Literal(literal) => text.push_str(literal),
                    // Keep case-insensitive literals distinct from case-sensitive ones.
                    Segment::Folded(literal) => text.push_str(&format!("{{~}}{literal}")),
                    Segment::Parameter(_) => text.push_str("{}"),
                    Segment::Pattern(pattern) => {
                        text.push_str(if pattern.folded { "{~}" } else { "" });
                        text.push_str(&pattern.erased());
                    }
                }
            }
            text.push_str(if template.is_prefix() { "/**" } else { "" });
            text
        })
        .collect()
}
