//! Other routes that could match a request, and the reason why each of them is not selected.

use std::collections::BTreeSet;

use bundle::ir::{Condition, Segment, Test};
use engine::router::{HostPattern, RejectReason, Step};
use engine::{Decided, RouteRef};
use policy::RequestHead;
use policy::auth::decode_query;

use super::route_request::{Operation, RouteRequest, names, pattern_text};

/// Maximum number of hosts that are checked.
const HOSTS_MAX: usize = 1_000;
/// Maximum number of routes of other hosts that are reported.
const ELSEWHERE_MAX: usize = 5;

/// Route that does not handle the request, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Operation of the route.
    pub operation: Operation,
    /// Kind of the reason, one of [`KINDS`].
    pub by: &'static str,
    /// Reason why the route is not selected.
    pub reject_reason: String,
}

/// All kinds of reasons, for the schema.
pub const KINDS: [&str; 10] = [
    "method",
    "condition",
    "priority",
    "template",
    "prefix",
    "head",
    "slash",
    "conditions",
    "internal",
    "host",
];

/// Lists the routes that are not selected for the request: first routes that match at its host,
/// then routes at other hosts.
pub(super) fn candidates(
    route_request: RouteRequest<'_>,
    decided: &Decided<'_>,
    head: &RequestHead,
) -> Vec<Candidate> {
    let snapshot = route_request.oracle.snapshot();
    let all = snapshot.contenders(route_request.question.listener, head);
    let owner = decided.route.as_ref();
    let losers = all.iter().filter_map(|(route, reject_reason)| {
        let (by, reject_reason) = reason((*reject_reason)?, route, owner, head);
        Some(Candidate {
            operation: route_request.operation(route),
            by,
            reject_reason,
        })
    });
    let mut candidates: Vec<Candidate> = losers.collect();
    candidates.extend(elsewhere(
        route_request,
        owner.is_none() && all.is_empty(),
        head,
    ));
    candidates
}

/// Returns the kind and the text of the reason why a candidate is not selected.
fn reason(
    reject_reason: RejectReason,
    route: &RouteRef<'_>,
    owner: Option<&RouteRef<'_>>,
    head: &RequestHead,
) -> (&'static str, String) {
    let step = match (reject_reason, owner) {
        (RejectReason::Method, _) => {
            return (
                "method",
                format!("its method is {}", route.operation.method),
            );
        }
        (RejectReason::Condition(index), _) => {
            let condition = &route.operation.conditions[index];
            return ("condition", unmet(condition, head));
        }
        (RejectReason::Internal, _) => {
            return (
                "internal",
                "an `internal` operation takes precedence, and it is not served".to_owned(),
            );
        }
        (RejectReason::LowerPrecedence(step), _) => step,
    };
    let Some(owner) = owner else {
        return ("conditions", "another route comes first".to_owned());
    };
    match step {
        Step::Priority => (
            "priority",
            format!(
                "its priority is {}, the selected route's is {}",
                route.operation.priority, owner.operation.priority
            ),
        ),
        Step::Segment(index) | Step::LetterCase(index) => {
            let (own, greater) = (segment(route, index), segment(owner, index));
            let number = index + 1;
            (
                "template",
                format!("segment {number}: {own} is less specific than {greater}"),
            )
        }
        Step::Prefix(0) => (
            "prefix",
            "it matches every path; the selected route is more specific".to_owned(),
        ),
        Step::Prefix(count) => (
            "prefix",
            format!(
                "it matches everything below its {count} segment{}; the selected route is more specific",
                if count == 1 { "" } else { "s" }
            ),
        ),
        Step::Method => (
            "head",
            "GET serves HEAD only if no operation declares HEAD".to_owned(),
        ),
        Step::Slash => (
            "slash",
            format!(
                "the selected route declares the path as it was requested; this one matches it by \
`trailing_slash: {}`",
                slash(route)
            ),
        ),
        Step::Conditions => (
            "conditions",
            format!(
                "its conditions ({}) are less specific than those of the selected route ({})",
                conditions(&route.operation.conditions),
                conditions(&owner.operation.conditions)
            ),
        ),
    }
}

fn slash(route: &RouteRef<'_>) -> &'static str {
    match route.operation.trailing_slash {
        bundle::ir::TrailingSlash::Redirect => "redirect",
        bundle::ir::TrailingSlash::Ignore | bundle::ir::TrailingSlash::Strict => "ignore",
    }
}

/// Describes the segment of a route at an index. The segments of the mount's base path come first.
fn segment(route: &RouteRef<'_>, index: usize) -> String {
    let base: Vec<&str> = route.mount.base_path.split('/').skip(1).collect();
    if let Some(text) = base.get(index) {
        return format!("`{text}`");
    }
    match route.operation.template.segments().get(index - base.len()) {
        Some(Segment::Folded(text)) => format!("`{text}` in any letter case"),
        Some(segment) => format!("`{segment}`"),
        None => "the final slash".to_owned(),
    }
}

/// Describes conditions with the keys of gateway.yaml.
pub(super) fn conditions(all: &[Condition]) -> String {
    if all.is_empty() {
        return "none".to_owned();
    }
    let parts: Vec<String> = all
        .iter()
        .map(|one| format!("`{}`", condition(one)))
        .collect();
    parts.join(" and ")
}

fn condition(condition: &Condition) -> String {
    let test = |test: &Test| match test {
        Test::Exact(text) => text.clone(),
        Test::Prefix(text) => format!("{text}…"),
        Test::Present => "…".to_owned(),
    };
    match condition {
        Condition::Header(name, wanted) => format!("{name}: {}", test(wanted)),
        Condition::Query(name, wanted) => format!("?{name}={}", test(wanted)),
    }
}

/// Explains a condition that is not met, with the expected value and the value in the request.
fn unmet(wanted: &Condition, head: &RequestHead) -> String {
    let found: Vec<String> = match wanted {
        Condition::Header(name, _) if matches!(name.as_str(), "authorization" | "cookie") => {
            let all = head.headers.get_all(name.as_str()).iter();
            all.map(|_| "(hidden)".to_owned()).collect()
        }
        Condition::Header(name, _) => {
            let all = head.headers.get_all(name.as_str()).iter();
            all.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect()
        }
        Condition::Query(name, _) => {
            let pairs = head.query().unwrap_or_default().split('&');
            let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            let named = pairs.filter(|(key, _)| *decode_query(key) == *name.as_bytes());
            let values = named.map(|(_, value)| decode_query(value));
            values
                .map(|value| String::from_utf8_lossy(&value).into_owned())
                .collect()
        }
    };
    let has = match found.as_slice() {
        [] => "has none".to_owned(),
        values => format!("has `{}`", values.join("`, `")),
    };
    format!("it needs `{}`; the request {has}", condition(wanted))
}

/// Routes at other hosts that the user may have meant: routes that would match if the mount of the
/// request's host did not exist. If no route is selected, also routes that match at another host.
fn elsewhere(
    route_request: RouteRequest<'_>,
    has_no_route: bool,
    head: &RequestHead,
) -> Vec<Candidate> {
    let snapshot = route_request.oracle.snapshot();
    let listener = route_request.question.listener;
    let owner = snapshot.host_pattern(listener, &head.host);
    let others = patterns(route_request)
        .into_iter()
        .filter(|pattern| Some(pattern) != owner.as_ref());
    let others = others.filter(|pattern| {
        has_no_route
            || match pattern {
                HostPattern::Any => owner.is_some(),
                HostPattern::Wildcard(name) => names(name, &head.host),
                HostPattern::Exact(_) => false,
            }
    });
    let mut found = Vec::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for pattern in others.take(HOSTS_MAX) {
        if found.len() == ELSEWHERE_MAX {
            break;
        }
        let mut head = head.clone();
        // `~` cannot be part of a host name, so no other pattern matches.
        head.host = match &pattern {
            HostPattern::Exact(host) => host.as_str().into(),
            HostPattern::Wildcard(name) => name.replacen('*', "~", 1).into(),
            HostPattern::Any => "~".into(),
        };
        let there = snapshot.contenders(listener, &head);
        let Some((route, None)) = there.first() else {
            continue;
        };
        if !known.insert(route.id.as_str().to_owned()) {
            continue;
        }
        let requested_host = route_request.host();
        let reject_reason = match (
            pattern_text(&pattern),
            owner.as_ref().and_then(pattern_text),
        ) {
            (None, Some(host)) => format!(
                "its mount has no hosts; another mount has the host `{host}` and receives all its requests"
            ),
            (Some(own), Some(host)) if names(own, &requested_host) => {
                format!(
                    "its mount has `{own}`, and another mount has `{host}`, which is more specific"
                )
            }
            (Some(own), _) => format!("its mount has the host `{own}`, not `{requested_host}`"),
            (None, None) => continue,
        };
        let operation = route_request.operation(route);
        found.push(Candidate {
            operation: Operation {
                host: pattern_text(&pattern).unwrap_or_default().to_owned(),
                ..operation
            },
            by: "host",
            reject_reason,
        });
    }
    found
}

/// Host patterns of the mounts at the listener, without duplicates.
fn patterns(route_request: RouteRequest<'_>) -> Vec<HostPattern> {
    let name = route_request.listener();
    let mounts = route_request
        .gateway()
        .apis
        .iter()
        .flat_map(|api| &api.mounts);
    let here = mounts.filter(|mount| mount.listeners.iter().any(|listener| listener == name));
    let mut any = false;
    let mut hosts: BTreeSet<&str> = BTreeSet::new();
    for mount in here {
        any |= mount.hosts.is_empty();
        hosts.extend(mount.hosts.iter().map(String::as_str));
    }
    let named = hosts.into_iter().map(|host| match host.starts_with("*.") {
        true => HostPattern::Wildcard(host.to_owned()),
        false => HostPattern::Exact(host.to_owned()),
    });
    any.then_some(HostPattern::Any)
        .into_iter()
        .chain(named)
        .collect()
}

/// Explanation that no route is selected. `reason`: reason of the refusal. `None` if the list of
/// candidates already shows the explanation.
pub(super) fn no_route_reason(
    route_request: RouteRequest<'_>,
    head: &RequestHead,
    reason: Option<&str>,
) -> Option<String> {
    let listener = route_request.listener();
    let pattern = route_request
        .oracle
        .snapshot()
        .host_pattern(route_request.question.listener, &head.host);
    let path = head.path();
    match (pattern, reason) {
        (None, _) => {
            let all = patterns(route_request);
            let hosts: Vec<&str> = all.iter().filter_map(pattern_text).collect();
            let known = match hosts.len() {
                0 => "no API is mounted there".to_owned(),
                _ => format!("name a host: {}", diag::suggest::one_of(hosts, 8)),
            };
            let host = route_request.host();
            Some(format!(
                "no mount of the listener `{listener}` serves the host `{host}`; {known}"
            ))
        }
        (Some(_), Some("no_route")) => Some(format!("no template matches `{path}`")),
        (Some(_), Some("no_condition_matched")) => Some(
            "templates match and one has the method, but conditions fail; they are below"
                .to_owned(),
        ),
        (Some(_), _) => None,
    }
}
