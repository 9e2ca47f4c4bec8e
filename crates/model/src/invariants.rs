//! Proof of the invariants of a project, at every compilation.
//!
//! Exactly one route serves a request, and the route's operation decides everything that an
//! invariant can require. An invariant therefore holds for all requests if it holds for each
//! operation that can serve a selected request. No requests are sampled. `path` selects an
//! operation that can serve at least one request with such a path, regardless of the requests that
//! other operations serve.

use std::cell::LazyCell;

use diag::{Diagnostic, Sink, Span};
use policy::Checked;
use policy::validation::Mode;

use sources::project::files::Files;
use vocab::lints::{INVARIANT_WITHOUT_OPERATION, VIOLATED_INVARIANT};

use self::engine::Engine;
use self::example::Example;
use crate::invariant_file::{Invariant, Require};
use crate::subjects::{Subject, servers, subjects};
use crate::wildcard::star;
use crate::{Api, Settings};

mod engine;
mod example;

/// Maximum number of findings about one invariant.
const FINDINGS_MAX: usize = 20;

/// Reports each operation that violates an invariant, and invariants that select no operation.
pub(crate) fn check(files: &Files, settings: &Settings, apis: &[Api], sink: &mut Sink) {
    if settings.invariants.all.is_empty() {
        return;
    }
    let servers = servers(settings, apis);
    let subjects: Vec<Subject<'_>> = apis
        .iter()
        .flat_map(|api| subjects(settings, api, &servers))
        .collect();
    // Only a project without other errors has an engine.
    let is_runnable = !sink.has_errors();
    let engine = LazyCell::new(|| {
        is_runnable
            .then(|| Engine::of(files, settings, apis))
            .flatten()
    });
    for invariant in &settings.invariants.all {
        let Some(span) = invariant.span else { continue };
        let chosen: Vec<&Subject<'_>> = subjects
            .iter()
            .filter(|subject| invariant.selects(subject))
            .collect();
        // Errors may be the reason for which an operation is missing.
        if chosen.is_empty() && is_runnable && !invariant.require.unreachable {
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
            let why = invariant.violation(subject)?;
            Some((*subject, why))
        });
        for (subject, why) in violated.by_ref().take(FINDINGS_MAX) {
            let shown = shown(invariant, subject, engine.as_ref());
            report(invariant, (subject, &why, shown), span, sink);
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

/// Request in a finding.
enum Shown {
    /// Request that the operation serves.
    Example(Example),
    /// Request that matches the path of the invariant and the operation, and the key of the other
    /// operation that receives it.
    Received(Example, String),
}

/// Chooses the first example that the engine confirms. Without one, the request that matches the
/// path of the invariant, if another operation receives it.
fn shown(invariant: &Invariant, subject: &Subject<'_>, engine: Option<&Engine>) -> Option<Shown> {
    let mut examples = subject.examples(invariant).into_iter();
    let Some(engine) = engine else {
        return examples.next().map(Shown::Example);
    };
    let first = examples.next()?;
    if engine.confirms(&first) {
        return Some(Shown::Example(first));
    }
    if let Some(other) = examples.find(|one| engine.confirms(one)) {
        return Some(Shown::Example(other));
    }
    invariant.path.as_ref()?;
    let owner = engine.owner(&first)?;
    (owner != first.key).then_some(Shown::Received(first, owner))
}

fn report(
    invariant: &Invariant,
    (subject, why, shown): (&Subject<'_>, &str, Option<Shown>),
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
                "{}change the operation, or the invariant, which is a change of the project's rules",
                shown.map_or_else(String::new, Shown::text)
            )),
    );
}

/// True if a policy does more than log the requests that it would refuse.
fn enforces(checked: &Checked) -> bool {
    match checked {
        Checked::Validate(checked) => checked.request == Mode::Block,
        other => other.settings().text(&["mode"]) != Some("log"),
    }
}

// === impl Shown ===

impl Shown {
    /// Beginning of the help of a finding.
    fn text(self) -> String {
        match self {
            Self::Example(example) => format!("for example {example}; "),
            Self::Received(example, owner) => format!(
                "`{}` matches the invariant and the path of the operation, but `{}` receives it; ",
                example.request(),
                owner.escape_debug()
            ),
        }
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
    /// the same server, file or SRV name. An upstream with a different name therefore cannot bypass
    /// the invariant.
    pub(crate) fn fits_upstreams(&self, subject: &Subject<'_>) -> bool {
        fits(&self.upstreams, &subject.upstream_names())
            || same_server(subject, |name| any(&self.upstreams, name)).is_some()
    }

    /// True if the name of a listener matches the selection, or the selection names no listeners.
    pub(crate) fn fits_listener(&self, listener: &str) -> bool {
        fits(&self.listeners, &[listener])
    }

    /// True if the selection fits a listener that the requirement excludes: a request there shows a
    /// violation of `listeners`.
    pub(crate) fn excludes_listener(&self, listener: &str) -> bool {
        let allowed = &self.require.listeners;
        self.fits_listener(listener) && !allowed.is_empty() && !any(allowed, listener)
    }

    /// True if the invariant accepts a credential that this verifier checks. Invariants that are not
    /// about credentials accept each one.
    pub(crate) fn requires_verifier(&self, verifier: &str) -> bool {
        let auth = &self.require.auth;
        auth.is_empty() || any(auth, verifier)
    }

    /// True if the selection has names of listeners.
    pub(crate) fn selects_by_listeners(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// True if the selection has names of upstreams.
    pub(crate) fn selects_by_upstreams(&self) -> bool {
        !self.upstreams.is_empty()
    }

    /// True if the selection uses names that can change without an effect on requests, or verifiers
    /// and policies, which an operation can lose.
    pub(crate) fn selects_by_names(&self) -> bool {
        let names = [&self.apis, &self.operations, &self.tags, &self.owners];
        let settings = [&self.auth, &self.policies, &self.kinds];
        names.iter().chain(&settings).any(|names| !names.is_empty())
    }

    /// True if the names of the operation (API, key, tags, owner, verifiers, policies and their
    /// kinds) match the selection of the invariant.
    pub(crate) fn fits_names(&self, subject: &Subject<'_>) -> bool {
        fits(&self.apis, &[&subject.api.name])
            && fits(&self.operations, &[subject.key])
            && fits(&self.tags, &subject.tags)
            && fits(&self.owners, &Vec::from_iter(subject.owner))
            && (self.auth.is_empty() || fits(&self.auth, &subject.verifiers()))
            && (self.policies.is_empty() || fits(&self.policies, &subject.policy_names()))
            && (self.kinds.is_empty() || subject.kinds().any(|kind| any(&self.kinds, kind)))
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
    fn violation(&self, subject: &Subject<'_>) -> Option<String> {
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
        let steps = || subject.policies.iter();
        let missing = policies
            .iter()
            .find(|name| !steps().any(|step| step.name == **name));
        if let Some(missing) = missing {
            return Some(format!("the policy `{missing}` does not run"));
        }
        let is_wanted = |kind: &str| kinds.iter().any(|wanted| wanted == kind);
        let steps_enforced = steps().filter(|step| enforces(&step.checked));
        let keys_enforced = subject.keys.iter().filter(|key| key.enforces);
        let mut enforced = steps_enforced
            .map(|step| step.checked.kind())
            .chain(keys_enforced.map(|key| key.kind));
        if !kinds.is_empty() && !enforced.any(is_wanted) {
            return Some(format!(
                "no policy of the kind {} runs with an effect other than logging",
                or(kinds)
            ));
        }
        if let Some(kind) = subject
            .kinds()
            .find(|kind| not_kinds.iter().any(|one| one == kind))
        {
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

/// Lists names in backticks, separated by `or`.
fn or(names: &[String]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.escape_debug()))
        .collect();
    names.join(" or ")
}
