//! Operations that invariants can select, with everything that an invariant can require.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Link, Segment};
use diag::Span;
use policy::endpoint::Endpoint;
use policy::validation::Mode;
use policy::{Checked, auth};

use crate::settings::plans;
use crate::{Api, Operation, Settings, Valued, chain, outbound, verifiers};

/// Operation that an invariant can select, at all mounts of the API. The operation can be one for
/// requests that the document does not describe.
pub(crate) struct Subject<'a> {
    settings: &'a Settings,
    pub(crate) api: &'a Api,
    pub(crate) key: &'a str,
    pub(crate) span: Span,
    /// Method of the operation. `None`: every method.
    pub(crate) method: Option<&'a str>,
    /// Path template of the operation. `None`: every path below the mount.
    pub(crate) template: Option<&'a ir::Template>,
    /// True if a path that differs from the template in the final slash is another path.
    is_slash_exact: bool,
    /// Conditions of the route on fields and query parameters.
    pub(crate) conditions: &'a [ir::Condition],
    pub(crate) owner: Option<&'a str>,
    pub(crate) tags: Vec<&'a str>,
    security: &'a ir::Security,
    /// Policies that run for a request if no policy refuses it.
    pub(crate) policies: Vec<&'a ir::Policy>,
    /// Limits of plans, which run only for the callers with the plan.
    plan_limits: Vec<&'a ir::Policy>,
    /// Keys of the operation that run like a policy.
    pub(crate) keys: Vec<PolicyKey>,
    /// Upstreams that receive requests, copies, authorization requests or tokens. The upstream of a
    /// service that a policy or verifier names by a URL has the URL's origin as its name.
    pub(crate) upstreams: Vec<Cow<'a, str>>,
    /// Servers (hosts and ports) of all upstreams, by the name of the upstream.
    pub(crate) servers: &'a Servers,
    pub(crate) timeout_ms: u64,
    pub(crate) max_body_bytes: Option<u64>,
}

/// Key of an operation that runs like a policy, such as `mirror`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicyKey {
    /// Kind of the policy with the same effect.
    pub(crate) kind: &'static str,
    /// False if it only logs the requests that it would refuse, or if a policy answers before it.
    pub(crate) enforces: bool,
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
            let policies: Vec<&ir::Policy> = running(settings, api, &one.chain).collect();
            Subject {
                settings,
                api,
                key: &one.key,
                span: one.span,
                method: Some(&one.method),
                template: Some(&one.template),
                is_slash_exact: one.trailing_slash == ir::TrailingSlash::Strict,
                conditions: &one.conditions,
                owner: one.owner.as_deref(),
                tags: tags.map(|tag| tag.value.as_str()).collect(),
                security: &one.security.value,
                keys: policy_keys(one, &policies),
                policies,
                plan_limits: plan_limits(settings, api, &one.chain).collect(),
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
        let policies: Vec<&ir::Policy> = running(settings, api, &one.chain).collect();
        Subject {
            settings,
            api,
            key: &one.key,
            span: one.span,
            method: one.endpoint.as_ref().map(|_| crate::rest::Endpoint::METHOD),
            template: one.endpoint.as_ref().map(|endpoint| &endpoint.template),
            is_slash_exact: one.endpoint.is_some(),
            conditions: &[],
            owner: one.owner.as_deref(),
            tags: Vec::new(),
            security: &one.security.value,
            keys: key_of("split", one.split.is_some(), !is_answered(&policies))
                .into_iter()
                .collect(),
            policies,
            plan_limits: plan_limits(settings, api, &one.chain).collect(),
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
    let steps = steps(settings, api, chain).flat_map(|policy| policy.checked.upstreams());
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

/// Keys of an operation that run like policies. `timeout` and `max_body`, which each operation has,
/// are requirements of their own. `policies`: those that run.
fn policy_keys(operation: &Operation, policies: &[&ir::Policy]) -> Vec<PolicyKey> {
    let forwarding = &operation.forwarding;
    let validate = forwarding.validate.as_ref();
    let validate = validate.filter(|checked| !checked.is_off());
    let validate = validate.map(|checked| PolicyKey {
        kind: "validate",
        enforces: checked.request == Mode::Block,
    });
    // These keys take effect after the chain.
    let forwards = !is_answered(policies);
    let after = [
        ("rewrite", forwarding.rewrite.is_some()),
        ("split", forwarding.split.is_some()),
        ("mirror", forwarding.mirror.is_some()),
        ("deprecation", forwarding.deprecated.is_some()),
        ("retry", operation.retries.is_some()),
    ];
    let after = after.map(|(kind, is_set)| key_of(kind, is_set, forwards));
    [validate].into_iter().chain(after).flatten().collect()
}

fn key_of(kind: &'static str, is_set: bool, enforces: bool) -> Option<PolicyKey> {
    is_set.then_some(PolicyKey { kind, enforces })
}

/// True if one of the policies answers each request itself.
fn is_answered(policies: &[&ir::Policy]) -> bool {
    let mut all = policies.iter();
    all.any(|policy| outbound::answers(&policy.checked))
}

/// Policies of a chain, in order.
fn steps<'a>(
    settings: &'a Settings,
    api: &'a Api,
    chain: &'a [Valued<Link>],
) -> impl Iterator<Item = &'a ir::Policy> {
    let links = chain.iter();
    links.filter_map(move |link| policy(settings, api, &link.value))
}

/// Limits of plans in a chain.
fn plan_limits<'a>(
    settings: &'a Settings,
    api: &'a Api,
    chain: &'a [Valued<Link>],
) -> impl Iterator<Item = &'a ir::Policy> {
    steps(settings, api, chain).filter(move |step| is_plan_limit(settings, step))
}

fn is_plan_limit(settings: &Settings, policy: &ir::Policy) -> bool {
    let mut names = settings.plans.iter();
    names.any(|name| name.value == policy.name)
}

/// Policies that run for a request if no policy refuses it. `respond` and `redirect` end the chain.
fn running<'a>(
    settings: &'a Settings,
    api: &'a Api,
    chain: &'a [Valued<Link>],
) -> impl Iterator<Item = &'a ir::Policy> {
    // Skip the limits of plans, because these limits do not apply to all callers.
    let steps = steps(settings, api, chain).filter(move |step| !is_plan_limit(settings, step));
    let mut ended = false;
    let steps = steps.take_while(move |step| {
        let runs = !ended;
        ended |= outbound::answers(&step.checked);
        runs
    });
    steps.filter(|step| !matches!(&step.checked, Checked::Validate(checked) if checked.is_off()))
}

// === impl Subject ===

impl Subject<'_> {
    /// Names of the upstreams of the operation.
    pub(crate) fn upstream_names(&self) -> Vec<&str> {
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

    /// Names of the policies that run for at least some callers.
    pub(crate) fn policy_names(&self) -> Vec<&str> {
        let own = self.policies.iter().map(|policy| policy.name.as_str());
        let of_plans = self.plan_limits.iter().flat_map(|policy| {
            // The plan's copy of a policy has another name.
            let written = policy.name.strip_prefix(plans::COPY);
            [Some(policy.name.as_str()), written].into_iter().flatten()
        });
        own.chain(of_plans).collect()
    }

    /// Kinds of the policies that run for at least some callers, also of those that only log, and of
    /// the operation's keys that run like policies.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        let policies = self.policies.iter().chain(&self.plan_limits);
        let kinds = policies.map(|policy| policy.checked.kind());
        kinds.chain(self.keys.iter().map(|key| key.kind))
    }

    /// Names of the verifiers that check a credential of any alternative of the security
    /// requirement.
    pub(crate) fn verifiers(&self) -> Vec<&str> {
        let wanted = self.security.uses();
        wanted
            .flat_map(|wanted| self.verifiers_of(wanted))
            .collect()
    }

    /// True if each alternative of the security requirement has a credential that is checked by a
    /// verifier whose name satisfies `fits`.
    pub(crate) fn is_authenticated(&self, fits: impl Fn(&str) -> bool) -> bool {
        let checks = |wanted: &ir::SchemeUse| self.verifiers_of(wanted).any(&fits);
        let alternatives = &self.security.0;
        !alternatives.is_empty() && alternatives.iter().all(|one| one.0.iter().any(checks))
    }

    /// Schemes of an alternative that admits callers without a credential whose verifier `fits`
    /// accepts; otherwise of the first alternative. Each has its name in the document, and false if
    /// the gateway does not check its credential.
    pub(crate) fn admitted_by(&self, fits: impl Fn(&str) -> bool) -> Vec<(&str, bool)> {
        let checks = |wanted: &ir::SchemeUse| self.verifiers_of(wanted).any(&fits);
        let mut alternatives = self.security.0.iter();
        let open = alternatives.find(|one| !one.0.iter().any(checks));
        let chosen = open.or(self.security.0.first());
        let uses = chosen.into_iter().flat_map(|alternative| &alternative.0);
        uses.map(|wanted| {
            let mut written = self.api.scheme_names.iter();
            let written = written.find(|(_, canonical)| **canonical == wanted.scheme);
            let name = written.map_or(wanted.scheme.as_str(), |(name, _)| name.as_str());
            (name, self.verifier(wanted).is_some())
        })
        .collect()
    }

    /// Names of the verifiers that check the credential of a scheme: the scheme's own verifier, and
    /// the one that checks the token itself (`token` of `dpop`).
    fn verifiers_of(&self, wanted: &ir::SchemeUse) -> impl Iterator<Item = &str> {
        let own = self.verifier(wanted);
        let verifier = own.and_then(|name| verifiers::named(self.settings, self.api, name));
        let token = verifier.and_then(|one| one.value.checked.token_verifier());
        own.into_iter().chain(token)
    }

    /// Name of the verifier of a scheme. `None` if the gateway does not check its credentials.
    fn verifier(&self, wanted: &ir::SchemeUse) -> Option<&str> {
        let mut schemes = self.api.schemes.iter();
        let scheme = schemes.find(|scheme| scheme.name == wanted.scheme)?;
        match &scheme.verify {
            ir::Verify::Auth(name) => Some(name),
            ir::Verify::Upstream => None,
        }
    }

    /// First mount at which the operation can serve a request whose path matches this pattern.
    pub(crate) fn mount_of(&self, path: &str) -> Option<&ir::Mount> {
        let mut mounts = self.api.mounts.iter().map(|mount| &mount.value);
        mounts.find(|mount| self.serves(path, mount))
    }

    /// True if the operation can serve a request at a mount whose path matches this pattern.
    pub(crate) fn serves(&self, path: &str, mount: &ir::Mount) -> bool {
        let template = self
            .template
            .map(|template| (template, self.is_slash_exact));
        matches_path(path, &mount.base_path, template)
    }
}

/// True if a path below a base path can match both a pattern and a template. Without a template,
/// every path below the base path is possible. A template segment with literals and parameters
/// counts as matching any segment. The result can therefore be wrongly true, but never wrongly
/// false. The boolean is true if the final slash of a path must be that of the template.
fn matches_path(pattern: &str, base_path: &str, template: Option<(&ir::Template, bool)>) -> bool {
    let is_slash_exact = template.is_some_and(|(_, is_exact)| is_exact);
    let template = template.map(|(template, _)| template);
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
    // The root of a mount has the path with and without the final slash.
    let mounted = base_path.split('/').filter(|segment| !segment.is_empty());
    let is_root = found == mounted.count() || wanted == 0;
    let slashes = (wanted < pattern.len(), found < segments.len());
    let differs = slashes.0 != slashes.1 && !open && !below && !is_root;
    if is_slash_exact && differs {
        return false;
    }
    let lengths = match (open, below) {
        (true, true) => true,
        (true, false) => found >= wanted,
        (false, true) => found <= wanted,
        (false, false) => found == wanted,
    };
    lengths && pattern[..wanted].iter().zip(&segments[..found]).all(fits)
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
            let matches_path = matches_path(pattern, base, Some((&template(path), false)));
            assert_eq!(matches_path, expected, "{pattern} {base} {path}");
        }
        let prefix = template("/files").into_prefix();
        let folded = template("/Admin").into_folded();
        assert!(matches_path("/files/a/b", "", Some((&prefix, true))));
        assert!(matches_path("/files/", "", Some((&prefix, true))));
        assert!(matches_path("/files/**", "", Some((&prefix, true))));
        assert!(!matches_path("/file/**", "", Some((&prefix, true))));
        assert!(matches_path("/ADMIN/**", "", Some((&folded, true))));
        // The final slash of a path counts, unless the operation ignores it.
        for (pattern, base, path, expected) in [
            ("/a/", "", "/a", false),
            ("/a", "", "/a/", false),
            ("/a/", "", "/a/", true),
            ("/a", "", "/a", true),
            ("/*/", "", "/{id}", false),
            ("/a/**", "", "/a", true),
            ("/v1/", "/v1", "/", true),
            ("/v1", "/v1", "/", true),
            ("/", "", "/", true),
        ] {
            let matches_path = matches_path(pattern, base, Some((&template(path), true)));
            assert_eq!(matches_path, expected, "{pattern} {base} {path}");
        }
        // Requests that the document does not describe have any path below the mount.
        assert!(matches_path("/v1/admin", "/v1", None));
        assert!(matches_path("/**", "/v1", None));
        assert!(!matches_path("/v2/**", "/v1", None));
    }
}
