//! Code for resolving operations that two kinds of operations share: operations that the document
//! describes, and operations for undescribed requests.

use std::collections::BTreeMap;

use bundle::ir::{self, Link};
use diag::{Diagnostic, NodeRef, Sink, Span};
use policy::{Checked, Phase};

use super::alias::Alias;
use super::open::{AccessSettings, Open};
use super::redacted::Redacted;
use super::required_auth;
use super::security::{Schemes, SecuritySource};
use super::settings::{ApiEntry, Settings};
use super::treatment::Own;
use super::{Origin, Valued};
use openapi::spec::Spec;
use sources::project::files::Files;
use vocab::lints::UNFILLED_PATH;

/// API that is being resolved: its document, its entry in gateway.yaml, and the definitions of both
/// files.
pub(super) struct Context<'a> {
    pub(super) files: &'a Files,
    pub(super) entry: &'a ApiEntry,
    pub(super) spec: &'a Spec,
    /// `x-gateway` at the root of the document. `None`: the document has none.
    pub(super) extension: Option<NodeRef<'a>>,
    pub(super) own: &'a Own<'a>,
    pub(super) schemes: &'a Schemes,
    pub(super) settings: &'a Settings,
    pub(super) redacted: &'a Redacted<'a>,
}

/// Facts that are collected while the operations of an API are resolved.
#[derive(Default)]
pub(super) struct Found {
    /// Security schemes named in requirements.
    pub(super) used: BTreeMap<String, ir::Scheme>,
    pub(super) open: Open,
    /// Operations without an upstream, each with its key and source location.
    pub(super) no_upstream: Vec<(String, Span)>,
    pub(super) aliases: Vec<Alias>,
}

/// Operation whose access is resolved.
pub(super) struct Subject<'a> {
    pub(super) key: &'a str,
    pub(super) at: Span,
    /// Effective `security`. `None` if no `security` applies.
    pub(super) written: Option<SecuritySource<'a>>,
    /// Source locations of the `security` values that the effective value overrides, nearest first.
    pub(super) overrides: Vec<Span>,
    /// Source location of `public: true`. `None`: not set.
    pub(super) public: Option<Span>,
    /// True if clients can never reach the operation, regardless of its `security`.
    pub(super) internal: bool,
}

/// Resolves the credentials that an operation requires, and checks if the operation is open to
/// everyone.
pub(super) fn access(
    context: &Context<'_>,
    subject: &Subject<'_>,
    found: &mut Found,
    sink: &mut Sink,
) -> Valued<ir::Security> {
    let settings = context.settings;
    let mut used = BTreeMap::new();
    let (security, readable) = match &subject.written {
        Some(written) => {
            let schemes = context.schemes;
            let (value, readable) = schemes.resolve(written, &mut used, sink);
            let origin = Origin::Written {
                span: written.span(),
                overrides: subject.overrides.clone(),
            };
            (Valued { value, origin }, readable)
        }
        None => (Valued::default(ir::Security::default(), "security"), true),
    };
    // If the requirement could not be read, access is unknown, and the mistake was reported.
    if readable && !subject.internal {
        let access = AccessSettings {
            key: subject.key,
            at: subject.at,
            written: subject.written.as_ref(),
            security: &security.value,
            public: subject.public,
        };
        found.open.check_operation(&access, settings, sink);
    }
    required_auth::check(
        &security.value,
        &used,
        settings,
        subject.at,
        subject.key,
        sink,
    );
    // No request reaches an internal operation, so its security schemes must not affect other
    // operations.
    if !subject.internal {
        found.used.append(&mut used);
    }
    security
}

/// Removes the policies that run in no phase (`timeout`) from a chain. Inserts the authentication
/// step, and the limits of plans after the chain's own limits.
pub(super) fn authenticated(
    chain: &mut Vec<Valued<Link>>,
    security: &Valued<ir::Security>,
    own: &Own<'_>,
    settings: &Settings,
) {
    let phase = |link: &Valued<Link>| own.checked(&link.value).and_then(Checked::phase);
    chain.retain(|link| phase(link).is_some());
    if security.value.0.is_empty() {
        return;
    }
    let before = |link: &Valued<Link>| phase(link) < Some(Phase::Authenticate);
    let at = chain
        .iter()
        .position(|link| !before(link))
        .unwrap_or(chain.len());
    let link = Valued {
        value: Link::Authenticate,
        origin: security.origin.clone(),
    };
    chain.insert(at, link);
    let is_before = |link: &Valued<Link>| phase(link) <= Some(Phase::Limit);
    let at = chain.iter().rposition(is_before).map_or(0, |at| at + 1);
    let planned = settings.plans.iter().map(|name| {
        let link = Link::Shared(name.value.clone());
        Valued::written(link, name.span)
    });
    chain.splice(at..at, planned);
}

/// Reports policies of a chain that insert a path parameter into a path, if the path template does
/// not have this parameter.
pub(super) fn check_path_texts(
    chain: &[Valued<Link>],
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
                .label(format!("this policy writes the path `{}`", text.as_str()))
                .help("name the policy only at operations whose path has the parameter, or write `{path}` in it"),
            );
        }
    }
}
