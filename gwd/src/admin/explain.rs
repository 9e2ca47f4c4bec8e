//! Explanation of how the running version would handle a request. The same engine decides as for
//! real requests, but with separate rate-limit counters.

use std::net::IpAddr;

use engine::{ChainStep, Decided, RouteRef, Snapshot, Verdict, decide, edge};
use http::{HeaderName, HeaderValue, Request};
use policy::logged::shown_target;
use policy::{Cx, Limits, RequestHead};
use serde_json::{Value, json};

use super::order::Question;
use crate::published::{Loaded, Shared};

/// All routes of the running version, as `routes/v1`.
pub(super) fn routes(shared: &Shared) -> Value {
    let current = shared.current();
    let snapshot = current.as_ref().map(|current| &current.loaded.snapshot);
    let routes = snapshot.into_iter().flat_map(|snapshot| {
        snapshot.routes().map(|route| {
            json!({
                "id": route.id.as_str(),
                "key": route.operation.key,
                "api": route.api,
                "mount": route.mount.name,
                "method": route.operation.method.as_str(),
                "path": format!("{}{}", route.mount.base_path, route.operation.template),
                "upstream": snapshot.upstreams()[route.treatment.upstream as usize].name,
            })
        })
    });
    json!({
        "schema": "routes/v1",
        "result": "ok",
        "tool": super::replies::tool(),
        "environment": Value::Null,
        "bundle": snapshot.map(Snapshot::bundle),
        "routes": routes.collect::<Vec<_>>(),
    })
}

/// Explains a request `{"method", "url", "headers"?, "listener"?, "peer"?}`, as `route/v1`. The
/// request does not count against any limit.
///
/// # Errors
/// If no bundle runs, or the described request is invalid. The error states the reason.
pub(super) fn explain(shared: &Shared, question: &Question) -> Result<Value, String> {
    let current = shared.current().ok_or("no bundle runs yet")?;
    let snapshot = &current.loaded.snapshot;
    let (parts, peer) = request(question)?;
    let listener = listener(snapshot, question)?;
    let base = json!({
        "schema": "route/v1",
        "result": "ok",
        "tool": super::replies::tool(),
        "environment": Value::Null,
        "bundle": snapshot.bundle(),
        "candidates": [],
        "effective": [],
    });
    let with = |more: Value| {
        let mut whole = base.clone();
        if let (Some(whole), Some(more)) = (whole.as_object_mut(), more.as_object()) {
            whole.extend(more.clone());
        }
        whole
    };
    let admitted = match edge::admit(parts, &snapshot.listeners()[listener], peer) {
        Ok(admitted) => admitted,
        Err(reject) => {
            return Ok(with(json!({
                "decision": "reject",
                "status": snapshot.status_of(None, reject),
                "reason": reject.code,
                "operation": Value::Null,
                "chain": [],
                "upstream": Value::Null,
            })));
        }
    };
    let mut head = admitted.head;
    let limits = Limits::new(8, std::hash::RandomState::new);
    let unix_s = crate::runtime::clock::unix_ms() / 1_000;
    let mut cx = Cx::new(
        shared.clock.now_ns(),
        unix_s,
        peer,
        &limits,
        &current.revoked,
    );
    cx.client = admitted.client;
    let decided = decide(snapshot, listener, &mut head, &mut cx);
    let (operation, chain) = match &decided.route {
        Some(route) => (operation(route, &head.host), chain(route, &decided, &cx)),
        None => (Value::Null, Vec::new()),
    };
    let upstream = upstream(&current.loaded, &decided, &head, &cx);
    let (decision, status, reason) = decision(snapshot, &decided);
    Ok(with(json!({
        "decision": decision,
        "status": status,
        "reason": reason,
        "consumer": cx.principal.as_ref().and_then(|caller| caller.consumer),
        "operation": operation,
        "chain": chain,
        "upstream": upstream,
    })))
}

/// Operation that the request matches, as JSON.
fn operation(route: &RouteRef<'_>, host: &str) -> Value {
    json!({
        "key": route.operation.key,
        "method": route.operation.method.as_str(),
        "path": route.operation.template.to_string(),
        "mount": route.mount.name,
        "api": route.api,
        "host": host,
    })
}

/// Steps of the policy chain with their outcomes, as JSON.
fn chain(route: &RouteRef<'_>, decided: &Decided<'_>, cx: &Cx<'_>) -> Vec<Value> {
    let refused = matches!(decided.verdict, Verdict::Reject(_));
    let needs_effect = matches!(decided.verdict, Verdict::Ask(_));
    let steps = route.treatment.chain.iter().enumerate();
    let steps = steps.map(|(index, step)| {
        let (policy, kind) = match step {
            ChainStep::Authenticate => ("authenticate", "authenticate"),
            ChainStep::Strip => ("strip_credential", "authenticate"),
            ChainStep::RemoveParameters => ("forward", "parameters"),
            ChainStep::Filter(name, filter) => (&**name, filter.kind()),
        };
        let outcome = match () {
            () if index >= decided.ran => "not-run",
            () if is_other_plan(step, cx) => "not-run",
            () if needs_effect && index + 1 == decided.ran => "depends",
            () if refused && index + 1 == decided.ran => "refused",
            () => "passed",
        };
        json!({"policy": policy, "phase": kind, "outcome": outcome})
    });
    steps.collect()
}

/// True for a filter that does not apply to the caller, such as the rate limit of another plan.
fn is_other_plan(step: &ChainStep, cx: &Cx<'_>) -> bool {
    matches!(step, ChainStep::Filter(_, filter) if !filter.applies(cx))
}

/// Upstream that would get a request, and the request head that gwd would send, as JSON. Null if
/// the request is not forwarded.
fn upstream(loaded: &Loaded, decided: &Decided<'_>, head: &RequestHead, cx: &Cx<'_>) -> Value {
    let (Some(route), Verdict::Forward) = (&decided.route, &decided.verdict) else {
        return Value::Null;
    };
    let chosen = decided.upstream(&loaded.snapshot, cx);
    let chosen = chosen.unwrap_or(route.treatment.upstream);
    let service = &loaded.snapshot.upstreams()[chosen as usize];
    // Show only the names of fields: values may be secrets.
    let names = head.headers.keys();
    let fields: serde_json::Map<_, _> = names.map(|name| (name.to_string(), Value::Null)).collect();
    let values = (&loaded.secret_parameters, &route.treatment.logged);
    json!({
        "name": service.name,
        "request": {
            "method": head.method.as_str(),
            // `gwc route` hides the same values.
            "path": shown_target(head.target.as_str(), values, "(hidden)"),
            "headers": fields,
        },
    })
}

/// Decision about a request, such as `forward` or `reject`, with its status and reason.
fn decision(snapshot: &Snapshot, decided: &Decided<'_>) -> (&'static str, Value, Value) {
    match &decided.verdict {
        Verdict::Forward => ("forward", Value::Null, Value::Null),
        // Another service decides about this request, and an explanation does not call that
        // service.
        Verdict::Ask(_) => ("depends", Value::Null, Value::Null),
        Verdict::Reply(reply) => ("respond", reply.status.as_u16().into(), Value::Null),
        Verdict::Reject(refusal) => (
            match decided.route {
                Some(_) => "reject",
                None => "none",
            },
            snapshot
                .status_of(decided.route.as_ref(), refusal.reject)
                .into(),
            refusal.reject.code.into(),
        ),
    }
}

fn request(question: &Question) -> Result<(http::request::Parts, IpAddr), String> {
    let method = question.method.as_deref().unwrap_or("GET");
    let url = question
        .url
        .as_deref()
        .ok_or("name a `url`: {\"method\": \"GET\", \"url\": \"http://host/path\"}")?;
    let uri: http::Uri = url
        .parse()
        .map_err(|_| "`url` is not a valid URL".to_owned())?;
    let host = uri.authority().map(ToString::to_string);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut builder = Request::builder().method(method).uri(target);
    let mut has_host = false;
    for (name, value) in &question.headers {
        let bad = || format!("`{}` is not a valid field", name.escape_debug());
        let name = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
        let value = HeaderValue::try_from(value).map_err(|_| bad())?;
        has_host |= name == http::header::HOST;
        builder = builder.header(name, value);
    }
    if !has_host && let Some(host) = host {
        builder = builder.header(http::header::HOST, host);
    }
    let request = builder
        .body(())
        .map_err(|_| "`method` is not a valid method".to_owned())?;
    let peer = match question.peer.as_deref() {
        None => IpAddr::from([127, 0, 0, 1]),
        Some(peer) => peer
            .parse()
            .map_err(|_| "`peer` is not an IP address".to_owned())?,
    };
    Ok((request.into_parts().0, peer))
}

/// Index of the listener that the question names. Default: the first listener.
fn listener(snapshot: &Snapshot, question: &Question) -> Result<usize, String> {
    let listeners = snapshot.listeners();
    match question.listener.as_deref() {
        None => (!listeners.is_empty())
            .then_some(0)
            .ok_or_else(|| "the bundle has no listener".to_owned()),
        Some(name) => listeners
            .iter()
            .position(|listener| &*listener.name == name)
            .ok_or_else(|| format!("no listener is named `{}`", name.escape_debug())),
    }
}
