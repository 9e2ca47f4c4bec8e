//! Explanation of how the gateway handles one request: the answer of `gwc route`.
//!
//! The engine of gwd decides; the modules here explain the decision. [`candidates`] lists the other
//! routes, [`chain`] the steps, [`effective`] the effective settings with their origins, and
//! [`upstream`] the request that the upstream receives. [`json`] and [`human`] write the answer.

pub mod candidates;
mod chain;
mod credential;
mod effective;
pub mod human;
pub mod json;
mod left_out;
pub mod listener;
mod near;
mod own_fields;
pub mod request;
mod route_request;
mod upstream;

use std::sync::Arc;

use bundle::digest::Digest;
use engine::readings::{self, Ambiguity};
use engine::{CONDITION_AMBIGUOUS, Decided, RouteRef, Verdict};
use policy::ask::{CallKind, Effect};
use policy::invalid::{Invalid, Part, TOO_LARGE};
use policy::key_cell::Remote;
use policy::{Cx, Reject, RequestHead};

pub use self::candidates::Candidate;
pub use self::chain::{Outcome, Step};
pub use self::credential::{Credential, GivenCredentials, NoCredential, carry};
pub use self::effective::Field;
pub use self::own_fields::OwnFields;
use self::route_request::Here;
pub use self::route_request::{Operation, RouteRequest};
pub(crate) use self::upstream::last_split;
pub use self::upstream::{Response, Target, Upstream};
use crate::ask;

/// Answer of `gwc route`.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Digest of the bundle that decided.
    pub bundle: Digest,
    /// Name of the listener that receives the request.
    pub listener: String,
    /// Decision of the gateway.
    pub decision: Decision,
    /// HTTP status if the gateway itself responds.
    pub status: Option<u16>,
    /// Machine-readable reason, as in problem documents and logs. `None`: no reason applies.
    pub reason: Option<&'static str>,
    /// Explanation of the decision as text. `None`: the other fields explain it.
    pub why: Option<String>,
    /// Differences from the API description for which a check refused the request. `None`: no such
    /// refusal.
    pub invalid: Option<Arc<Invalid>>,
    /// Operation that handles the request. `None`: no operation handles it.
    pub operation: Option<Operation>,
    /// Owner of the operation. `None`: no owner is set.
    pub owner: Option<String>,
    /// Consumer that the credentials identify, if any.
    pub consumer: Option<String>,
    /// Security scheme whose credential was accepted, by its name in the bundle. `None`: no
    /// credential was accepted.
    pub scheme: Option<String>,
    /// Routes whose template matches but that do not handle the request, each with the reason.
    pub candidates: Vec<Candidate>,
    /// Operations whose template almost matches the path: near misses.
    pub near: Vec<Candidate>,
    /// Steps of the chain, in order.
    pub chain: Vec<Step>,
    /// Upstream and the request that it receives. `None` if the request is not forwarded.
    pub upstream: Option<Upstream>,
    /// Response that the gateway itself sends. `None`: the gateway sends no response of its own.
    pub response: Option<Response>,
    /// Effective settings.
    pub effective: Vec<Field>,
    /// Settings that gwd does not support yet. The answer ignores them.
    pub left_out: Vec<String>,
}

/// Decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The gateway forwards the request to the upstream.
    Forward,
    /// The gateway responds itself.
    Respond,
    /// The gateway refuses the request.
    Reject,
    /// The decision depends on the answer of another service. gwc does not call the service.
    Depends,
    /// No operation handles the request. The status is 404.
    None,
}

impl Decision {
    /// Name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Respond => "respond",
            Self::Reject => "reject",
            Self::Depends => "depends",
            Self::None => "none",
        }
    }
}

/// Decides a request and explains the decision for `gwc route`.
#[must_use]
pub fn answer(route_request: RouteRequest<'_>) -> Answer {
    let RouteRequest {
        oracle,
        question,
        assumptions,
        ..
    } = route_request;
    let answer = oracle.decide_with(question, assumptions, |decided, admitted, cx| {
        let consumer = cx
            .principal
            .as_ref()
            .and_then(|caller| caller.consumer)
            .map(credential::owner);
        let candidates = candidates::candidates(route_request, decided, &admitted.head);
        let scheme = cx.principal.as_ref().map(|caller| caller.scheme.to_owned());
        let mut answer = Answer {
            consumer,
            scheme,
            candidates,
            ..decision(route_request, decided)
        };
        if answer.candidates.is_empty() && answer.operation.is_none() || route_request.all {
            answer.near = near::misses(
                route_request,
                &admitted.head,
                answer.operation.as_ref(),
                &answer.candidates,
            );
        }
        if answer.operation.is_none() {
            answer.why = candidates::no_route_reason(route_request, &admitted.head, answer.reason);
        }
        if let Some(route) = &decided.route {
            explain(route_request, decided, (route, &admitted.head), &mut answer);
            let caller = cx.principal.as_ref();
            chain::leave_other_plans(route_request, caller, &mut answer.chain);
            if let Some(invalid) = refused_as_invalid(decided, cx) {
                answer.why = Some(diag::text::printable(&invalid.summary()));
                answer.invalid = Some(Arc::clone(invalid));
            }
            if let Some(max_bytes) = exceeded_limit(route_request, (decided, route), &answer) {
                refuse_body(route_request, route, max_bytes, &mut answer);
            } else if matches!(decided.verdict, Verdict::Forward) {
                answer.upstream = Some(upstream::upstream(
                    route_request,
                    decided,
                    route,
                    &admitted,
                    cx,
                ));
            }
        }
        answer
    });
    answer.unwrap_or_else(|reject| refused_at_the_edge(route_request, reject))
}

/// Builds the answer with the decision, but without its explanation.
fn decision(route_request: RouteRequest<'_>, decided: &Decided<'_>) -> Answer {
    let (decision, status, reason) = match &decided.verdict {
        Verdict::Forward => (Decision::Forward, None, None),
        Verdict::Ask(_) => (Decision::Depends, None, None),
        Verdict::Reply(reply) => (Decision::Respond, Some(reply.status.as_u16()), None),
        Verdict::Reject(refusal) => {
            let Reject { status, code, .. } = *refusal.reject;
            let has_no_route = decided.route.is_none() && status == 404;
            let decision = if has_no_route {
                Decision::None
            } else {
                Decision::Reject
            };
            let snapshot = route_request.oracle.snapshot();
            let status = snapshot.status_of(decided.route.as_ref(), refusal.reject);
            (decision, Some(status), Some(code))
        }
    };
    let operation = decided
        .route
        .as_ref()
        .map(|route| route_request.operation(route));
    Answer {
        bundle: route_request.side.bundle,
        listener: route_request.listener().to_owned(),
        decision,
        status,
        reason,
        why: None,
        invalid: None,
        owner: operation
            .as_ref()
            .and_then(|operation| route_request.source(&operation.key)?.owner.clone()),
        operation,
        consumer: None,
        scheme: None,
        candidates: Vec::new(),
        near: Vec::new(),
        chain: vec![chain::admission(route_request, Outcome::Continue)],
        upstream: None,
        response: upstream::response(route_request, decided),
        effective: Vec::new(),
        left_out: Vec::new(),
    }
}

/// Differences from the API description for which a check refused the request. `None`: there is no
/// such refusal, or gwc knows no differences, because the result of the check is an assumption.
fn refused_as_invalid<'c>(decided: &Decided<'_>, cx: &'c Cx<'_>) -> Option<&'c Arc<Invalid>> {
    let Verdict::Reject(refusal) = &decided.verdict else {
        return None;
    };
    let invalid = cx.answers.invalid()?;
    let is_cause = invalid.reject.code == refusal.reject.code;
    (is_cause && !invalid.findings.is_empty()).then_some(invalid)
}

/// Limit of the operation (`max_body`) that the body of the question exceeds, in bytes. gwd reads
/// the body after the policies, and before `validate` decides about it.
fn exceeded_limit(
    route_request: RouteRequest<'_>,
    (decided, route): (&Decided<'_>, &RouteRef<'_>),
    answer: &Answer,
) -> Option<u64> {
    let max_bytes = route.treatment.max_body_bytes?;
    let body = route_request.question.body.as_ref()?;
    let findings = answer.invalid.iter().flat_map(|one| &one.findings);
    let is_read = matches!(decided.verdict, Verdict::Forward)
        || findings.into_iter().any(|one| one.part == Part::Body);
    (is_read && body.len() as u64 > max_bytes).then_some(max_bytes)
}

/// Changes the answer to the refusal of a body that is too large.
fn refuse_body(
    route_request: RouteRequest<'_>,
    route: &RouteRef<'_>,
    max_bytes: u64,
    answer: &mut Answer,
) {
    let snapshot = route_request.oracle.snapshot();
    let status = snapshot.status_of(Some(route), &TOO_LARGE);
    answer.decision = Decision::Reject;
    answer.status = Some(status);
    answer.reason = Some(TOO_LARGE.code);
    answer.response = Some(Response::status(status));
    answer.invalid = None;
    answer.why = Some(format!(
        "the body is larger than `max_body`, {max_bytes} bytes"
    ));
}

/// Adds the explanation to the answer, for a request that an operation handles.
fn explain(
    route_request: RouteRequest<'_>,
    decided: &Decided<'_>,
    (route, head): (&RouteRef<'_>, &RequestHead),
    answer: &mut Answer,
) {
    let Some((api, operation, treatment)) = route_request.meaning(route) else {
        return;
    };
    let here = Here {
        route_request,
        route,
        api,
        operation,
        treatment,
    };
    answer.chain.extend(chain::steps(here, decided));
    answer.effective = effective::fields(here);
    answer.left_out = left_out::left_out(here);
    if let Verdict::Ask(effect) = &decided.verdict {
        answer.why = Some(depends(route_request, effect, decided));
    } else if decided.ran == 0 && !matches!(decided.verdict, Verdict::Forward) {
        answer.why = Some(match &decided.verdict {
            Verdict::Reply(_) => format!(
                "the path differs from the declared path only by the final slash; `trailing_slash: redirect` sends clients to `{}{}`",
                route.mount.base_path, operation.template
            ),
            Verdict::Reject(refusal) if refusal.reject.code == CONDITION_AMBIGUOUS.code => {
                "servers could decide otherwise about a condition (`match`) of this path: a field \
                 or parameter of the condition is repeated, or has another spelling"
                    .to_owned()
            }
            Verdict::Reject(_) | Verdict::Forward | Verdict::Ask(_) => {
                ambiguous(route_request, head, route)
            }
        });
    }
}

/// Explains that the answer of a service decides, and names the option with which the user can
/// assume an answer.
fn depends(route_request: RouteRequest<'_>, effect: &Effect, decided: &Decided<'_>) -> String {
    let askers = route_request.oracle.asker_names(decided, effect);
    let asker = askers.first().copied().unwrap_or("authenticate");
    let words = ask::words(effect.kind()).iter();
    let words: Vec<String> = words
        .map(|word| format!("`--assume {asker}={word}`"))
        .collect();
    let words = words.join(", ");
    match effect {
        Effect::Http(call) if call.kind == CallKind::Introspection => format!(
            "depends on the answer of `{}{}` about the token, as requested by `{asker}`; assume one of them: {words}",
            call.upstream, call.target
        ),
        Effect::Http(call) => format!(
            "depends on the answer of `{}` to `{asker}`; assume one of them: {words}",
            call.upstream
        ),
        Effect::Process(_, processing) => format!(
            "depends on the answer of `{}` to `{asker}`; assume one of them: {words}",
            processing.upstream
        ),
        Effect::Password(_) => "depends on the result of the password check".to_owned(),
        Effect::Signature(_) => "depends on the result of the signature check".to_owned(),
        Effect::Message(_) => {
            format!(
                "depends on the parameters and the body of the request; assume one of them: {words}"
            )
        }
        Effect::Secret(_) => format!(
            "depends on a secret of `{asker}` that only gateways have; assume one of them: {words}"
        ),
        Effect::Permit(_) => format!("depends on the requests in flight that `{asker}` counts"),
        Effect::Store(count) => {
            format!(
                "depends on the counters of the store `{}`",
                count.store.name
            )
        }
        Effect::FirstUse(used) => {
            format!(
                "depends on the used credentials in the store `{}`",
                used.store.name
            )
        }
        Effect::Keys(cell) if matches!(cell.source(), Remote::Provider(_)) => format!(
            "depends on the metadata of `{}`, to which `{asker}` sends browsers; assume one of them: {words}",
            cell.source().url()
        ),
        Effect::Keys(cell) => format!(
            "depends on the keys of `{}`, which gwd fetches for `{asker}`; assume one of them: {words}",
            cell.source().url()
        ),
    }
}

/// Explains why a path is ambiguous, with another path that an upstream could understand instead.
fn ambiguous(route_request: RouteRequest<'_>, head: &RequestHead, route: &RouteRef<'_>) -> String {
    let snapshot = route_request.oracle.snapshot();
    match readings::ambiguity(snapshot, route_request.question.listener, head, route) {
        Some(Ambiguity::Reading { path, owner }) => {
            let owner = owner.map_or("to no operation".to_owned(), |owner| {
                format!("to `{owner}`")
            });
            format!("an upstream could read the path as `{path}`, which belongs {owner}")
        }
        Some(Ambiguity::Service { path }) => {
            format!(
                "the upstream, or the service that decides about the request, could read the path \
as `{path}`"
            )
        }
        Some(Ambiguity::Decision { path }) => {
            format!(
                "an upstream could read the path as `{path}`, but a policy that decides by \
the path sees only the path as written"
            )
        }
        Some(Ambiguity::Query) => "an upstream could read a part of the path as the query, by \
                                   which the gateway decides"
            .to_owned(),
        Some(Ambiguity::Outside) => {
            "an upstream could read the path as one above the base path".to_owned()
        }
        Some(Ambiguity::TooMany) | None => {
            "upstreams could read the path in too many ways".to_owned()
        }
    }
}

fn refused_at_the_edge(route_request: RouteRequest<'_>, reject: &'static Reject) -> Answer {
    let status = route_request.oracle.snapshot().status_of(None, reject);
    let outcome = Outcome::Reject {
        status,
        reason: reject.code,
    };
    Answer {
        bundle: route_request.side.bundle,
        listener: route_request.listener().to_owned(),
        decision: Decision::Reject,
        status: Some(status),
        reason: Some(reject.code),
        why: Some(format!("refused before routing: {}", reject.title)),
        invalid: None,
        operation: None,
        owner: None,
        consumer: None,
        scheme: None,
        candidates: Vec::new(),
        near: Vec::new(),
        chain: vec![chain::admission(route_request, outcome)],
        upstream: None,
        response: Some(Response::status(status)),
        effective: Vec::new(),
        left_out: Vec::new(),
    }
}
