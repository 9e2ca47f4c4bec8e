//! Key `serve_document`: endpoints with which gwd serves the public document of an API and a page
//! that shows it.
//!
//! The public document has no `x-gateway` and no internal operations ([`openapi::strip`]). Access
//! to the endpoints is decided as for an operation that has the `security` and the policies of the
//! document's root. Unlike an operation, an endpoint never relies on a check by the upstream,
//! because the gateway responds itself.

use std::collections::BTreeMap;

use bundle::ir::{self, Link, Owns, Verify};
use diag::{Diagnostic, Sink, Span};
use policy::transform::respond;
use policy::validation::Mode;
use policy::{Checked, Phase};

use super::open::{self, AccessSettings};
use super::operation::{Context, Found, authenticated, check_path_texts};
use super::rest::{self, Endpoint, Rest};
use super::security::SecuritySource;
use super::servers::Servers;
use super::settings::{ApiEntry, Endpoints, Settings, state_id};
use super::table::at_one_place;
use super::treatment::Scopes;
use super::{Api, Defined, Operation, Origin, Valued, media_types, required_auth};
use openapi::page;
use openapi::strip::{self, Unfit};
use sources::project::files::{Document, Files};
use vocab::lints::IDENTICAL_ROUTE;
use vocab::served_lints::{UNCHECKED_DOCUMENT, UNFIT_DOCUMENT};

/// Maximum size of a served document and of its page, in bytes.
pub const BYTES_MAX: usize = 16 << 20;

/// Form of a document that gwd serves to clients: the document as JSON, and a page that shows it.
#[derive(Debug)]
pub struct Public {
    /// The document as JSON.
    pub json: String,
    /// Page that shows the document.
    pub page: page::Page,
}

/// Documents that gwd serves for an API, with their endpoints and the policies that respond.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// Endpoints, as operations of the API.
    pub(super) rest: Vec<Rest>,
    /// Policies that respond with the documents.
    pub(super) policies: Vec<Defined<ir::Policy>>,
    /// Content of the documents.
    pub(super) documents: Vec<Vec<u8>>,
}

/// Name of the document's endpoint.
const DOCUMENT: &str = "document";

/// Makes the public form of a document. Call this before the document is converted to another
/// version of OpenAPI. The files to which the document refers must be loaded.
///
/// # Errors
///
/// Returns the reason why the document cannot be served.
pub(super) fn publish(files: &Files, document: &Document) -> Result<Public, String> {
    let stripped = strip::strip(files, document).map_err(|unfit| match unfit {
        Unfit::HiddenElsewhere { path, file } => format!(
            "`{}` is described in `{}`, and an operation there is internal",
            path.escape_debug(),
            file.escape_debug()
        ),
        Unfit::Dangling { reference } => format!(
            "`{}` refers to a part that is left out",
            reference.escape_debug()
        ),
    })?;
    if let Some(file) = stripped.refers.first() {
        return Err(format!(
            "it refers to `{}`, which clients cannot read",
            file.escape_debug()
        ));
    }
    let root = files.tree.at(document.root);
    let too_large = || format!("it is larger than {} MiB", BYTES_MAX >> 20);
    let json = strip::write::json(root, &stripped.removed);
    let json = json.filter(|json| json.len() <= BYTES_MAX);
    let json = json.ok_or_else(too_large)?;
    let page = page::page(root, &stripped.removed, BYTES_MAX);
    let page = page.ok_or_else(|| format!("its page {}", &too_large()[3..]))?;
    Ok(Public { json, page })
}

/// Resolves the endpoints of an API's document.
pub(super) fn resolve(
    context: &Context<'_>,
    public: Option<Result<Public, String>>,
    operations: &[Operation],
    (found, sink): (&mut Found, &mut Sink),
) -> Served {
    let (entry, settings) = (context.entry, context.settings);
    let mut served = Served::default();
    let Some((span, endpoints)) = endpoints(entry, settings) else {
        return served;
    };
    let public = match public {
        None => return served,
        Some(Ok(public)) => public,
        Some(Err(why)) => {
            sink.push(
                Diagnostic::new(
                    &UNFIT_DOCUMENT,
                    span,
                    format!("the document of `{}` cannot be served: {why}", entry.name),
                )
                .related(entry.path.span, "the document")
                .help("change the document, or write `serve_document: false` at the API"),
            );
            return served;
        }
    };
    let json = Endpoint::new(DOCUMENT, &endpoints.path);
    let contents = (public.json.into_bytes(), "application/json", None);
    let mut all = vec![(json, contents)];
    if let Some(path) = &endpoints.page {
        let page::Page { html, style_hash } = public.page;
        let contents = (
            html.into_bytes(),
            "text/html; charset=utf-8",
            Some(style_hash),
        );
        all.push((Endpoint::new("document-page", path), contents));
    }
    for (endpoint, (content, content_type, style)) in all {
        let at = (span, endpoints.public);
        let one = operation(context, endpoint, at, operations, (found, sink));
        let Some(mut rest) = one else { continue };
        let is_open = rest.security.value.admits_anyone();
        let checked = respond::Checked::document(
            crate::lower::digest(&content),
            content_type,
            fields(is_open, style.as_deref()),
        );
        let name = format!("#{}", rest.key.rsplit('#').next().unwrap_or_default());
        let state = state_id(&[&settings.name.value, "respond", &entry.name, &name, ""]);
        let link = Valued::written(Link::Own(name.clone()), span);
        let before = |link: &Valued<Link>| {
            let checked = context.own.checked(&link.value);
            checked.and_then(Checked::phase) <= Some(Phase::Route)
        };
        let at = rest.chain.iter().rposition(before).map_or(0, |at| at + 1);
        rest.chain.insert(at, link);
        served.policies.push(Defined {
            value: ir::Policy {
                name,
                state,
                checked: Checked::Respond(checked),
            },
            span,
            node: None,
        });
        served.documents.push(content);
        served.rest.push(rest);
    }
    served
}

/// Fields of the response, sorted by name. `is_open` is true if everyone may read the document.
/// `style` is the hash of the page's style sheet.
fn fields(is_open: bool, style: Option<&str>) -> Vec<(String, String)> {
    // With the entity tag, clients can revalidate the document at each use, and so get a new
    // version at once.
    let cache = if is_open {
        "no-cache"
    } else {
        "private, no-cache"
    };
    let mut fields = vec![("cache-control", cache.to_owned())];
    if let Some(style) = style {
        let policy = format!(
            "default-src 'none'; style-src '{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        fields.push(("content-security-policy", policy));
        fields.push(("referrer-policy", "no-referrer".to_owned()));
    }
    fields.push(("x-content-type-options", "nosniff".to_owned()));
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Resolves one endpoint like an operation with the settings of the document's root. `None` if
/// there is no upstream.
fn operation(
    context: &Context<'_>,
    endpoint: Endpoint,
    (span, public): (Span, Option<Span>),
    operations: &[Operation],
    (found, sink): (&mut Found, &mut Sink),
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
    let key = format!("{}#{}", entry.name, endpoint.name);
    open::mark_patterns(&key, settings);
    // Both endpoints have the same access, so report it once.
    let mut unreported = Sink::default();
    let receiver = match endpoint.name {
        DOCUMENT => &mut *sink,
        _ => &mut unreported,
    };
    let security = access(context, (&key, span, public), found, receiver);
    let scopes = Scopes {
        own,
        root_defaults: extension.and_then(|node| node.get("defaults")),
        path: None,
        operation: None,
        servers: Servers::of_document(&files.tree, spec),
    };
    // No request of an endpoint reaches the upstream, but each operation must have one.
    let upstream = match scopes.upstream(settings).ok()? {
        Some(destination) => destination.upstream,
        None => match operations.first() {
            Some(operation) => operation.upstream.clone(),
            None => {
                found.no_upstream.push((key, span));
                return None;
            }
        },
    };
    let mut chain = scopes.chain(settings, sink);
    let timeout_ms = scopes.timeout(settings, &upstream.value, &chain);
    check_path_texts(&chain, own, &endpoint.template, sink);
    media_types::check(&chain, own, (Mode::Off, None), span, sink);
    authenticated(&mut chain, &security, own, settings);
    Some(Rest {
        owner: rest::owner(context),
        max_body_bytes: scopes.max_body(settings),
        path_readings: scopes.path_readings(settings, &endpoint.template),
        closes_streams: scopes.closes_streams(settings),
        key,
        owns: Owns::Described,
        endpoint: Some(endpoint),
        span,
        security,
        chain,
        upstream,
        split: None,
        timeout_ms,
    })
}

/// Credentials that readers of a document need. Reports a document that anyone can read without
/// `public: true`.
fn access(
    context: &Context<'_>,
    (key, at, public): (&str, Span, Option<Span>),
    found: &mut Found,
    sink: &mut Sink,
) -> Valued<ir::Security> {
    let settings = context.settings;
    let written = context.spec.security.as_ref().map(SecuritySource::Document);
    let written = written.filter(|_| public.is_none());
    let mut used = BTreeMap::new();
    let Some(written) = written else {
        let security = Valued::default(ir::Security::default(), "security");
        let access = AccessSettings {
            key,
            at,
            written: None,
            security: &security.value,
            public,
        };
        match public {
            Some(_) => found.open.check_operation(&access, settings, sink),
            None => report_unchecked(key, at, "its document's root has no `security`", sink),
        }
        required_auth::check(&security.value, &used, settings, at, key, sink);
        return security;
    };
    let (value, readable) = context.schemes.resolve(&written, &mut used, sink);
    let is_checked = |alternative: &ir::Alternative| {
        let mut schemes = alternative.0.iter().filter_map(|it| used.get(&it.scheme));
        schemes.any(|scheme| scheme.verify != Verify::Upstream)
    };
    if readable && (value.admits_anyone() || !value.0.iter().all(is_checked)) {
        let why = match value.admits_anyone() {
            true => "the `security` at its document's root requires no credential",
            false => {
                "the gateway checks only that a credential of the root's `security` is present"
            }
        };
        report_unchecked(key, at, why, sink);
    }
    required_auth::check(&value, &used, settings, at, key, sink);
    found.used.append(&mut used);
    let origin = Origin::Written {
        span: written.span(),
        overrides: Vec::new(),
    };
    Valued { value, origin }
}

fn report_unchecked(key: &str, at: Span, why: &str, sink: &mut Sink) {
    sink.push(
        Diagnostic::new(
            &UNCHECKED_DOCUMENT,
            at,
            format!("anyone can read `{key}`: {why}"),
        )
        .help(
            "write `security` with a verified scheme at the document's root, or \
`serve_document: {public: true}` if everyone may read the document",
        ),
    );
}

/// Reports operations and other endpoints whose path equals that of a served document's endpoint.
/// Includes internal operations, because their paths must not be served.
pub(super) fn clashes(apis: &[Api], sink: &mut Sink) {
    let endpoints: Vec<(usize, &Rest, &Endpoint)> = apis
        .iter()
        .enumerate()
        .flat_map(|(index, api)| api.rest.iter().map(move |rest| (index, rest)))
        .filter_map(|(index, rest)| Some((index, rest, rest.endpoint.as_ref()?)))
        .collect();
    for (at, (index, rest, endpoint)) in endpoints.iter().enumerate() {
        let own = &apis[*index];
        let gets = |one: &&Operation| matches!(&*one.method, "GET" | "HEAD");
        let operations = apis.iter().flat_map(|api| {
            let operations = api.operations.iter().filter(gets);
            operations.map(move |one| (api, &one.key, one.path_span, templates(one)))
        });
        let earlier = endpoints[..at].iter().map(|(index, rest, endpoint)| {
            let templates = vec![endpoint.template.clone()];
            (&apis[*index], &rest.key, rest.span, templates)
        });
        for (api, key, span, templates) in operations.chain(earlier) {
            let same = templates
                .iter()
                .any(|template| meet((own, &endpoint.template), (api, template)));
            if same {
                sink.push(
                    Diagnostic::new(
                        &IDENTICAL_ROUTE,
                        rest.span,
                        format!("`{}` and `{key}` match exactly the same requests", rest.key),
                    )
                    .label(format!("`{}` is served here", endpoint.path))
                    .related(span, format!("`{key}` is defined here"))
                    .help(
                        "set another `path` or `page` in `serve_document` of the API, or write \
`serve_document: false` there",
                    ),
                );
            }
        }
    }
}

/// Templates that match the requests of an operation.
fn templates(operation: &Operation) -> Vec<ir::Template> {
    let loose = operation.trailing_slash != ir::TrailingSlash::Strict;
    let twin = operation.template.twin().filter(|_| loose);
    let all = [Some(operation.template.clone()), twin];
    all.into_iter().flatten().collect()
}

/// True if two templates match the same path at mounts that share a host and a listener.
fn meet((a, own): (&Api, &ir::Template), (b, other): (&Api, &ir::Template)) -> bool {
    let behind =
        |mount: &ir::Mount, template: &ir::Template| template.clone().behind(&mount.base_path);
    let mut pairs = a
        .mounts
        .iter()
        .flat_map(|a| b.mounts.iter().map(move |b| (a, b)));
    pairs.any(|(a, b)| {
        let (a, b) = (&a.value, &b.value);
        at_one_place(a, b) && {
            let (own, other) = (behind(a, own), behind(b, other));
            own == other || own.into_folded() == other
        }
    })
}

/// Endpoints of an API's document and the source location that sets them. `None` if gwd does not
/// serve the document.
pub(super) fn endpoints<'a>(
    entry: &'a ApiEntry,
    settings: &'a Settings,
) -> Option<(Span, &'a Endpoints)> {
    let own = entry.serve_document.as_ref();
    let setting = own.or(settings.defaults.serve_document.as_ref())?;
    Some((setting.span, setting.endpoints.as_ref()?))
}
