//! Proof of the invariants of a project, at every compilation.
//!
//! Exactly one route serves a request, and the route's operation decides everything that an
//! invariant can require. An invariant therefore holds for all requests if it holds for each
//! operation that can serve a selected request. No requests are sampled. `path` selects an
//! operation that can serve at least one request with such a path, regardless of the requests that
//! other operations serve.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Link, Segment};
use diag::{Diagnostic, Sink, Span};
use policy::endpoint::Endpoint;
use policy::validation::Mode;
use policy::{Checked, auth};

use vocab::lints::{INVARIANT_WITHOUT_OPERATION, VIOLATED_INVARIANT};

use crate::invariant_file::{Invariant, Require};
use crate::wildcard::star;
use crate::{Api, Settings, Valued, chain, outbound, verifiers};

/// Maximum number of findings about one invariant.
const FINDINGS_MAX: usize = 20;

/// Operation that an invariant can select, at all mounts of the API. The operation may be one for
/// undescribed requests.
pub(crate) struct Subject<'a> {
    pub(crate) api: &'a Api,
    pub(crate) key: &'a str,
    span: Span,
    /// Method of the operation. `None`: every method.
    pub(crate) method: Option<&'a str>,
    /// Path template of the operation. `None`: every path below the mount.
    pub(crate) template: Option<&'a ir::Template>,
    owner: Option<&'a str>,
    tags: Vec<&'a str>,
    security: &'a ir::Security,
    chain: &'a [Valued<Link>],
    /// True if the key `validate` of the operation refuses requests that do not match its
    /// description.
    validates: bool,
    /// Upstreams that receive requests, copies, authorization requests or tokens. The upstream of a
    /// service that a policy or verifier names by a URL has the URL's origin as its name.
    pub(crate) upstreams: Vec<Cow<'a, str>>,
    /// Servers (hosts and ports) of all upstreams, by the name of the upstream.
    pub(crate) servers: &'a Servers,
    timeout_ms: u64,
    max_body_bytes: Option<u64>,
}

/// Servers of upstreams, by the name of the upstream.
pub(crate) type Servers = BTreeMap<String, ir::Servers>;

/// Servers of all upstreams of a project, including those of services that policies and verifiers
/// name by URLs.
pub(crate) fn servers(settings: &Settings, apis: &[Api]) -> Servers {
    let own = apis.iter().flat_map(|api| &api.upstreams);
    let defined = settings.upstreams.iter().chain(own);
    let defined = defined.map(|one| (one.value.ir.name.clone(), one.value.ir.servers()));
    let own = apis.iter().flat_map(|api| &api.policies);
    let policies = settings.policies.iter().chain(own);
    let called = policies.flat_map(|one| one.value.checked.upstreams());
    let called = called.map(str::to_owned);
    let introspected_urls =
        verifiers::all(settings, apis).filter_map(|one| introspected(&one.value));
    let origins = called.chain(introspected_urls).filter_map(|origin| {
        let Endpoint { host, port, .. } = Endpoint::of(&origin)?;
        let named = BTreeSet::from([ir::server(&host, port)]);
        let can_be_any = false;
        Some((origin, ir::Servers { named, can_be_any }))
    });
    defined.chain(origins).collect()
}

/// Reports each operation that violates an invariant, and invariants that select no operation.
pub(crate) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    if settings.invariants.all.is_empty() {
        return;
    }
    let servers = servers(settings, apis);
    let subjects: Vec<Subject<'_>> = apis
        .iter()
        .flat_map(|api| subjects(settings, api, &servers))
        .collect();
    for invariant in &settings.invariants.all {
        let Some(span) = invariant.span else { continue };
        let chosen: Vec<&Subject<'_>> = subjects
            .iter()
            .filter(|subject| invariant.selects(subject))
            .collect();
        if chosen.is_empty() && !invariant.require.unreachable {
            let message = format!(
                "no operation is selected by the invariant `{}`",
                invariant.name.escape_debug()
            );
            sink.push(
                Diagnostic::new(&INVARIANT_WITHOUT_OPERATION, span, message)
                    .help("no operation can violate it: correct `where`, or remove the invariant"),
            );
        }
        let mut violated = chosen.iter().filter_map(|subject| {
            let why = invariant.violation(subject, settings)?;
            Some((*subject, why))
        });
        for (subject, why) in violated.by_ref().take(FINDINGS_MAX) {
            report(invariant, (subject, &why), span, sink);
        }
        let more = violated.count();
        if more > 0 {
            let message = format!(
                "{more} more operations violate the invariant `{}`",
                invariant.name.escape_debug()
            );
            sink.push(Diagnostic::new(&VIOLATED_INVARIANT, span, message));
        }
    }
}

fn report(
    invariant: &Invariant,
    (subject, why): (&Subject<'_>, &str),
    span: Span,
    sink: &mut Sink,
) {
    let message = format!(
        "`{}` violates the invariant `{}`: {why}",
        subject.key.escape_debug(),
        invariant.name.escape_debug()
    );
    sink.push(
        Diagnostic::new(&VIOLATED_INVARIANT, subject.span, message)
            .related(span, "the invariant is here")
            .help(format!(
                "for example the request `{}`; change the operation, or the invariant, which is a change of the project's rules",
                subject.example(invariant)
            )),
    );
}

/// Operations of an API that requests can reach.
pub(crate) fn subjects<'a>(
    settings: &'a Settings,
    api: &'a Api,
    servers: &'a Servers,
) -> Vec<Subject<'a>> {
    let described = api
        .operations
        .iter()
        .filter(|one| !one.internal)
        .map(|one| {
            let (path, index) = one.place;
            let item = api.spec.paths.get(path);
            let written = item.and_then(|item| item.operations.get(index));
            let tags = written.into_iter().flat_map(|written| &written.tags);
            let mut upstreams = destinations(
                (settings, api),
                (&one.chain, &one.security.value),
                &one.upstream.value,
            );
            let shares = one.forwarding.split.iter().flat_map(|split| split.shares());
            upstreams.extend(shares.map(|share| Cow::from(share.upstream.as_str())));
            let mirror = one.forwarding.mirror.iter();
            upstreams.extend(mirror.map(|mirror| Cow::from(mirror.upstream())));
            Subject {
                api,
                key: &one.key,
                span: one.span,
                method: Some(&one.method),
                template: Some(&one.template),
                owner: one.owner.as_deref(),
                tags: tags.map(|tag| tag.value.as_str()).collect(),
                security: &one.security.value,
                chain: &one.chain,
                validates: one
                    .forwarding
                    .validate
                    .as_ref()
                    .is_some_and(|checked| checked.request == Mode::Block),
                upstreams,
                servers,
                timeout_ms: one.timeout_ms.value,
                max_body_bytes: one.max_body_bytes.value,
            }
        });
    let rest = api.rest.iter().map(|one| {
        let mut upstreams = destinations(
            (settings, api),
            (&one.chain, &one.security.value),
            &one.upstream.value,
        );
        let shares = one.split.iter().flat_map(|split| split.shares());
        upstreams.extend(shares.map(|share| Cow::from(share.upstream.as_str())));
        Subject {
            api,
            key: &one.key,
            span: one.span,
            method: one.endpoint.as_ref().map(|_| crate::rest::Endpoint::METHOD),
            template: one.endpoint.as_ref().map(|endpoint| &endpoint.template),
            owner: one.owner.as_deref(),
            tags: Vec::new(),
            security: &one.security.value,
            chain: &one.chain,
            validates: false,
            upstreams,
            servers,
            timeout_ms: one.timeout_ms.value,
            max_body_bytes: one.max_body_bytes.value,
        }
    });
    described.chain(rest).collect()
}

/// Upstreams to which the operation sends requests, copies of requests, authorization requests, or
/// tokens (introspection). Key sets and the endpoints of logins are left out, because their
/// requests contain nothing of the operation's requests.
fn destinations<'a>(
    (settings, api): (&'a Settings, &'a Api),
    (chain, security): (&'a [Valued<Link>], &'a ir::Security),
    upstream: &'a str,
) -> Vec<Cow<'a, str>> {
    let steps = chain
        .iter()
        .filter_map(|link| policy(settings, api, &link.value));
    let steps = steps.flat_map(|policy| policy.checked.upstreams());
    let own = std::iter::once(upstream).chain(steps).map(Cow::from);
    let schemes = security.uses().filter_map(|wanted| {
        let mut all = api.schemes.iter();
        all.find(|scheme| scheme.name == wanted.scheme)
    });
    let verifiers = schemes.filter_map(|scheme| verifiers::of_scheme(settings, api, scheme));
    let introspection_upstreams = verifiers.filter_map(|verifier| {
        let token = verifier.value.checked.token_verifier();
        let token = token.and_then(|name| verifiers::named(settings, api, name));
        introspected(&token.unwrap_or(verifier).value)
    });
    own.chain(introspection_upstreams.map(Cow::from)).collect()
}

/// Origin of the endpoint to which a verifier sends the tokens of requests. `None`: the verifier
/// sends none.
fn introspected(verifier: &ir::Verifier) -> Option<String> {
    match &verifier.checked {
        auth::Checked::Introspection(introspection) => {
            Endpoint::of(introspection.url()).map(|one| one.origin)
        }
        auth::Checked::ApiKey(_)
        | auth::Checked::Basic(_)
        | auth::Checked::Jwt(_)
        | auth::Checked::Mtls(_)
        | auth::Checked::Dpop(_)
        | auth::Checked::HmacSignature(_)
        | auth::Checked::Oidc(_)
        | auth::Checked::Declared(_) => None,
    }
}

fn policy<'a>(settings: &'a Settings, api: &'a Api, link: &Link) -> Option<&'a ir::Policy> {
    chain::policy(settings, api, link).map(|policy| &policy.value)
}

/// Policies that run for a request if no policy refuses it. `respond` and `redirect` end the chain.
fn running<'a>(
    settings: &'a Settings,
    subject: &Subject<'a>,
) -> impl Iterator<Item = &'a ir::Policy> {
    let api = subject.api;
    let links = subject.chain.iter();
    let steps = links.filter_map(move |link| policy(settings, api, &link.value));
    // Skip the limits of plans, because these limits do not apply to all callers.
    let of_plans = |policy: &&ir::Policy| {
        let mut names = settings.plans.iter();
        names.any(|name| name.value == policy.name)
    };
    let steps = steps.filter(move |policy| !of_plans(policy));
    let mut ended = false;
    let steps = steps.take_while(move |step| {
        let runs = !ended;
        ended |= outbound::answers(&step.checked);
        runs
    });
    steps.filter(|step| !matches!(&step.checked, Checked::Validate(checked) if checked.is_off()))
}

/// Returns the first kind of policy that runs for the operation although `unwanted` contains it.
fn unwanted_kind<'a>(
    unwanted: &[String],
    subject: &Subject<'a>,
    settings: &'a Settings,
) -> Option<&'a str> {
    let kinds = running(settings, subject).map(|step| step.checked.kind());
    let mut kinds = kinds.chain(subject.validates.then_some("validate"));
    kinds.find(|kind| unwanted.iter().any(|one| one == kind))
}

/// True if a policy does more than log the requests that it would refuse.
fn enforces(checked: &Checked) -> bool {
    match checked {
        Checked::Validate(checked) => checked.request == Mode::Block,
        other => other.settings().text(&["mode"]) != Some("log"),
    }
}

// === impl Invariant ===

impl Invariant {
    /// True if the invariant selects the operation.
    fn selects(&self, subject: &Subject<'_>) -> bool {
        self.fits_names(subject)
            && fits(&self.listeners, &subject.listeners())
            && self.fits_upstreams(subject)
            && self.fits_method(subject)
            && self.fits_path(subject)
            && (!self.anonymous || !subject.is_authenticated(|_| true))
    }

    /// True if the operation uses an upstream with one of the selected names, or an upstream with
    /// the same server, file or SRV name. An upstream with another name therefore cannot bypass the
    /// invariant.
    pub(crate) fn fits_upstreams(&self, subject: &Subject<'_>) -> bool {
        fits(&self.upstreams, &subject.upstream_names())
            || same_server(subject, |name| any(&self.upstreams, name)).is_some()
    }

    /// True if the name of a listener matches the selection, or the selection names no listeners.
    pub(crate) fn fits_listener(&self, listener: &str) -> bool {
        fits(&self.listeners, &[listener])
    }

    /// True if the selection has names of listeners.
    pub(crate) fn selects_by_listeners(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// True if the selection has names of upstreams.
    pub(crate) fn selects_by_upstreams(&self) -> bool {
        !self.upstreams.is_empty()
    }

    /// True if the selection uses names that can change without an effect on requests.
    pub(crate) fn selects_by_names(&self) -> bool {
        [&self.apis, &self.operations, &self.tags, &self.owners]
            .iter()
            .any(|names| !names.is_empty())
    }

    /// True if the names of the operation (API, key, tags, owner) match the selection of the
    /// invariant.
    pub(crate) fn fits_names(&self, subject: &Subject<'_>) -> bool {
        fits(&self.apis, &[&subject.api.name])
            && fits(&self.operations, &[subject.key])
            && fits(&self.tags, &subject.tags)
            && fits(&self.owners, &Vec::from_iter(subject.owner))
    }

    /// True if the selection uses the path or the method of clients' requests. Path and method can
    /// change together with a `rewrite` or a base path, while upstreams receive the same requests.
    pub(crate) fn selects_by_requests(&self) -> bool {
        self.path.is_some() || !self.methods.is_empty()
    }

    /// True if names, method and path of the operation match the selection of the invariant.
    pub(crate) fn fits_requests(&self, subject: &Subject<'_>) -> bool {
        self.fits_names(subject) && self.fits_method(subject) && self.fits_path(subject)
    }

    fn fits_path(&self, subject: &Subject<'_>) -> bool {
        let path = self.path.as_ref();
        path.is_none_or(|path| subject.mount_of(path).is_some())
    }

    fn fits_method(&self, subject: &Subject<'_>) -> bool {
        let is = |wanted: &String| {
            // A GET operation also serves HEAD requests that no operation declares.
            subject
                .method
                .is_none_or(|method| method == wanted || method == "GET" && wanted == "HEAD")
        };
        self.methods.is_empty() || self.methods.iter().any(is)
    }

    /// Finds the first requirement that an operation violates, and explains it.
    fn violation(&self, subject: &Subject<'_>, settings: &Settings) -> Option<String> {
        let Require {
            unreachable,
            authenticated,
            auth,
            policies,
            kinds,
            not_kinds,
            upstreams,
            not_upstreams,
            listeners,
            timeout_ms,
            max_body_bytes,
        } = &self.require;
        if *unreachable {
            return Some("it can be reached".to_owned());
        }
        if *authenticated && !subject.is_authenticated(|_| true) {
            return Some(
                "it admits callers without a credential that the gateway checks".to_owned(),
            );
        }
        if !auth.is_empty() && !subject.is_authenticated(|name| any(auth, name)) {
            return Some(format!(
                "it admits callers whose credential {} does not check",
                or(auth)
            ));
        }
        let steps = || running(settings, subject);
        let missing = policies
            .iter()
            .find(|name| !steps().any(|step| step.name == **name));
        if let Some(missing) = missing {
            return Some(format!("the policy `{missing}` does not run"));
        }
        let is_wanted = |kind: &str| kinds.iter().any(|wanted| wanted == kind);
        let steps_enforced = steps().filter(|step| enforces(&step.checked));
        let mut enforced = steps_enforced
            .map(|step| step.checked.kind())
            .chain(subject.validates.then_some("validate"));
        if !kinds.is_empty() && !enforced.any(is_wanted) {
            return Some(format!(
                "no policy of the kind {} runs with an effect other than logging",
                or(kinds)
            ));
        }
        if let Some(kind) = unwanted_kind(not_kinds, subject, settings) {
            return Some(format!("a policy of the kind `{kind}` runs"));
        }
        let foreign = subject.upstreams.iter().find(|name| {
            !upstreams.is_empty() && !any(upstreams, name) || any(not_upstreams, name)
        });
        if let Some(name) = foreign {
            return Some(format!("it uses the upstream `{name}`"));
        }
        if let Some((name, other)) = same_server(subject, |name| any(not_upstreams, name)) {
            return Some(format!(
                "it uses the upstream `{name}`, which has the same server as `{other}`"
            ));
        }
        let other = subject
            .listeners()
            .into_iter()
            .find(|name| !listeners.is_empty() && !any(listeners, name));
        if let Some(name) = other {
            return Some(format!("it can be reached at the listener `{name}`"));
        }
        subject.limit_violation(*timeout_ms, *max_body_bytes)
    }
}

// === impl Subject ===

impl Subject<'_> {
    /// Explains which maximum the operation exceeds.
    fn limit_violation(
        &self,
        timeout_ms: Option<u64>,
        max_body_bytes: Option<u64>,
    ) -> Option<String> {
        if timeout_ms.is_some_and(|greatest| self.timeout_ms > greatest) {
            return Some(format!("its timeout is {} ms", self.timeout_ms));
        }
        if max_body_bytes
            .is_some_and(|greatest| self.max_body_bytes.is_none_or(|length| length > greatest))
        {
            let length = self
                .max_body_bytes
                .map_or("unlimited".to_owned(), |bytes| format!("{bytes} bytes"));
            return Some(format!("its `max_body` is {length}"));
        }
        None
    }

    /// Names of the upstreams of the operation.
    fn upstream_names(&self) -> Vec<&str> {
        self.upstreams.iter().map(Cow::as_ref).collect()
    }

    /// Names of the listeners that serve the operation, sorted.
    pub(crate) fn listeners(&self) -> Vec<&str> {
        let mounts = self.api.mounts.iter();
        let mut names: Vec<&str> = mounts
            .flat_map(|mount| &mount.value.listeners)
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// True if each alternative of the security requirement has a credential that is checked by a
    /// verifier whose name satisfies `fits`.
    fn is_authenticated(&self, fits: impl Fn(&str) -> bool) -> bool {
        let checks = |wanted: &ir::SchemeUse| {
            let scheme = self
                .api
                .schemes
                .iter()
                .find(|scheme| scheme.name == wanted.scheme);
            matches!(scheme.map(|scheme| &scheme.verify), Some(ir::Verify::Auth(name)) if fits(name))
        };
        let alternatives = &self.security.0;
        !alternatives.is_empty() && alternatives.iter().all(|one| one.0.iter().any(checks))
    }

    /// First mount at which the operation can serve a request whose path matches this pattern.
    fn mount_of(&self, path: &str) -> Option<&ir::Mount> {
        let mut mounts = self.api.mounts.iter().map(|mount| &mount.value);
        mounts.find(|mount| matches_path(path, &mount.base_path, self.template))
    }

    /// Example of a request that the operation can serve, for messages.
    fn example(&self, invariant: &Invariant) -> String {
        let path = invariant.path.as_deref();
        let mount = match path {
            Some(path) => self.mount_of(path),
            None => self.api.mounts.first().map(|mount| &mount.value),
        };
        let base = mount.map_or("", |mount| mount.base_path.as_str());
        let method = self
            .method
            .or(invariant.methods.first().map(String::as_str));
        let template = match self.template {
            Some(template) => format!("{base}{template}"),
            None => format!("{base}/…"),
        };
        format!("{} {template}", method.unwrap_or("GET"))
    }
}

/// Upstream of the operation with a server, file or SRV name of a wanted upstream, and the name of
/// the wanted upstream. Servers that gwd discovers are not compared: each of them would match every
/// upstream.
fn same_server<'a>(
    subject: &'a Subject<'_>,
    is_wanted: impl Fn(&str) -> bool,
) -> Option<(&'a str, &'a str)> {
    let all = subject.servers;
    let mut wanted = all.iter().filter(|(name, _)| is_wanted(name));
    wanted.find_map(|(other, its)| {
        let mut own = subject.upstreams.iter();
        let name = own.find(|name| {
            let servers = all.get(name.as_ref());
            servers.is_some_and(|servers| servers.share_named(its))
        })?;
        Some((name.as_ref(), other.as_str()))
    })
}

/// True if a name matches one of the patterns.
fn any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|one| star(one, name))
}

/// True if a name matches one of the patterns, or there are no patterns.
fn fits(patterns: &[String], names: &[&str]) -> bool {
    let mut names = names.iter();
    patterns.is_empty() || names.any(|name| patterns.iter().any(|one| star(one, name)))
}

/// True if a path below a base path can match both a pattern and a template. Without a template,
/// every path below the base path is possible. A template segment with literals and parameters
/// counts as matching any segment. The result can therefore be wrongly true, but never wrongly
/// false.
fn matches_path(pattern: &str, base_path: &str, template: Option<&ir::Template>) -> bool {
    let pattern: Vec<&str> = pattern.trim_start_matches('/').split('/').collect();
    let (open, pattern) = match pattern.split_last() {
        Some((&"**", before)) => (true, before),
        _ => (false, pattern.as_slice()),
    };
    let base = base_path.split('/').filter(|segment| !segment.is_empty());
    // Segments of the path. `None`: a segment with any text.
    let mut segments: Vec<Option<(&str, bool)>> =
        base.map(|segment| Some((segment, false))).collect();
    let below = template.is_none_or(ir::Template::is_prefix);
    for segment in template.map(ir::Template::segments).unwrap_or_default() {
        segments.push(match segment {
            Segment::Literal(text) => Some((text, false)),
            Segment::Folded(text) => Some((text, true)),
            Segment::Parameter(_) | Segment::Pattern(_) => None,
        });
    }
    let fits = |(wanted, found): (&&str, &Option<(&str, bool)>)| match found {
        None => true,
        Some(_) if *wanted == "*" => true,
        Some((text, true)) => wanted.eq_ignore_ascii_case(text),
        Some((text, false)) => wanted == text,
    };
    // A final slash is an empty segment, which an operation may ignore.
    let count = |segments: usize, last: bool| segments - usize::from(last);
    let wanted = count(
        pattern.len(),
        pattern.last().is_some_and(|last| last.is_empty()),
    );
    let last = segments
        .last()
        .is_some_and(|last| last.is_some_and(|(text, _)| text.is_empty()));
    let found = count(segments.len(), last);
    let lengths = match (open, below) {
        (true, true) => true,
        (true, false) => found >= wanted,
        (false, true) => found <= wanted,
        (false, false) => found == wanted,
    };
    lengths && pattern[..wanted].iter().zip(&segments[..found]).all(fits)
}

/// Lists names in backticks, separated by `or`.
fn or(names: &[String]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.escape_debug()))
        .collect();
    names.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_meets_templates_with_a_common_path() {
        let template = |text: &str| ir::Template::parse(text).expect("a template");
        for (pattern, base, path, expected) in [
            ("/admin/**", "", "/admin", true),
            ("/admin/**", "", "/admin/", true),
            ("/admin/**", "", "/admin/{id}/x", true),
            ("/admin/**", "", "/{any}", true),
            ("/admin/**", "", "/public", false),
            ("/admin/**", "", "/administrator", false),
            ("/admin/**", "/admin", "/users", true),
            ("/admin/**", "/v1", "/admin", false),
            ("/v1/admin/**", "/v1", "/admin", true),
            ("/v1/admin/**", "/v1", "/", false),
            ("/*/keys", "", "/users/keys", true),
            ("/*/keys", "", "/users/{id}", true),
            ("/*/keys", "", "/users/keys/x", false),
            ("/*/keys", "", "/keys", false),
            ("/a", "", "/a/", true),
            ("/a/", "", "/a", true),
            ("/**", "/v1", "/", true),
            ("/a/b", "", "/a/x{y}", true),
        ] {
            let matches_path = matches_path(pattern, base, Some(&template(path)));
            assert_eq!(matches_path, expected, "{pattern} {base} {path}");
        }
        let prefix = template("/files").into_prefix();
        let folded = template("/Admin").into_folded();
        assert!(matches_path("/files/a/b", "", Some(&prefix)));
        assert!(matches_path("/files/**", "", Some(&prefix)));
        assert!(!matches_path("/file/**", "", Some(&prefix)));
        assert!(matches_path("/ADMIN/**", "", Some(&folded)));
        // Undescribed requests have any path below the mount.
        assert!(matches_path("/v1/admin", "/v1", None));
        assert!(matches_path("/**", "/v1", None));
        assert!(!matches_path("/v2/**", "/v1", None));
    }
}
