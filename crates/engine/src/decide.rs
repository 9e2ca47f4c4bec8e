//! One request through the table and its chain.

use bundle::ir::TrailingSlash;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use policy::auth::jwt::Reason;
use policy::conditions::is_ambiguous as is_ambiguous_choice;
use policy::guard::cors;
use policy::traffic::{concurrency, rate_limit};
use policy::{Cx, Reject, Reply, RequestHead, ResponseHead, Run, Step};

use crate::authenticate;
use crate::edge::overrides;
use crate::path::{is_ambiguous, normalise};
use crate::readings;
use crate::router::{self, Found};
use crate::snapshot::{ChainStep, RouteRef, Snapshot};

static NO_ROUTE: Reject = Reject {
    status: 404,
    code: "no_route",
    title: "Nothing is served here",
};
static NO_CONDITION: Reject = Reject {
    status: 404,
    code: "no_condition_matched",
    title: "Nothing is served here for this request",
};
static METHOD_NOT_ALLOWED: Reject = Reject {
    status: 405,
    code: "method_not_allowed",
    title: "Method not allowed",
};
static PATH_AMBIGUOUS: Reject = Reject {
    status: 400,
    code: "path_ambiguous",
    title: "The upstream could read this path as another one",
};

static CONDITION_AMBIGUOUS: Reject = Reject {
    status: 400,
    code: "condition_ambiguous",
    title: "A field or parameter that selects the operation has several values",
};

/// Every way in which the engine itself refuses: for metrics, tests and the book. Policies add
/// their own.
pub fn rejects() -> impl Iterator<Item = &'static Reject> {
    [
        &NO_ROUTE,
        &NO_CONDITION,
        &METHOD_NOT_ALLOWED,
        &PATH_AMBIGUOUS,
        &CONDITION_AMBIGUOUS,
    ]
    .into_iter()
    .chain(authenticate::REJECTS)
}

/// Decision on a request: its route, the verdict, and the steps that ran.
#[derive(Debug)]
pub struct Decided<'s> {
    /// The route that owns it, if any.
    pub route: Option<RouteRef<'s>>,
    /// Action for the request.
    pub verdict: Verdict,
    /// Number of chain steps that ran. Their filters see the response.
    pub ran: usize,
}

/// Action for a request: forward, reply or reject.
#[derive(Debug)]
pub enum Verdict {
    /// The route's upstream gets it.
    Forward,
    /// The gateway answers.
    Reply(Box<Reply>),
    /// The gateway refuses.
    Reject(Refusal),
}

/// A refusal with what its response must carry.
#[derive(Debug)]
pub struct Refusal {
    /// Reason of the refusal: status, code and title.
    pub reject: &'static Reject,
    /// Reason in metrics: the code, or more exactly what is wrong with a token.
    pub reason: &'static str,
    /// `Allow` of a 405.
    pub allow: Option<HeaderValue>,
}

/// Finds the owner of an admitted request and runs its chain. The head is changed as the chain
/// says; `cx` learns the route and the principal.
pub fn decide<'s>(
    snapshot: &'s Snapshot,
    listener: usize,
    head: &mut RequestHead,
    cx: &mut Cx<'s>,
) -> Decided<'s> {
    let found = match of_preflight(snapshot, listener, head) {
        Some(found) => {
            cx.preflight = true;
            found
        }
        None => router::find(&snapshot.listeners[listener].hosts, head),
    };
    let route = match found {
        Found::Operation {
            mount,
            operation,
            twin,
            conditional,
        } => {
            let route = snapshot.route_at(&snapshot.mounts[mount as usize], operation);
            let conditions = &route.operation.conditions;
            if conditional && is_ambiguous_choice(conditions, &head.headers, head.query()) {
                return ambiguous(&CONDITION_AMBIGUOUS, route, 0);
            }
            if twin && route.operation.trailing_slash == TrailingSlash::Redirect {
                cx.route = Some(route.id);
                return to_declared(route, head);
            }
            route
        }
        Found::Nothing => return refused(&NO_ROUTE, None),
        Found::NoConditionMatched => return refused(&NO_CONDITION, None),
        Found::MethodNotAllowed(methods) => {
            return refused(&METHOD_NOT_ALLOWED, Some(allow(&methods)));
        }
    };
    cx.route = Some(route.id);
    let treatment = route.treatment;
    cx.sends_unsafe = treatment.sends_unsafe;
    for decorator in treatment.decorators() {
        decorator.before(head, cx);
    }
    if head.is_ambiguous && readings::ambiguity(snapshot, listener, head, &route).is_some() {
        return ambiguous(&PATH_AMBIGUOUS, route, 0);
    }
    cx.lookalikes += overrides::strip(&mut head.headers, &treatment.override_fields);
    if route.mount.strip_base_path {
        cx.stripped = route.mount.base_path.len();
    }
    if treatment.reads_path {
        let template = &route.operation.template;
        cx.parameters = template.bind(head.path(), route.mount.base_path.len());
    }
    let mut ran = 0;
    for step in &route.treatment.chain {
        ran += 1;
        let verdict = match step {
            ChainStep::Authenticate => {
                let consumers = &snapshot.consumers;
                match route.treatment.security.check(
                    head,
                    cx,
                    &consumers.credentials,
                    &consumers.all,
                ) {
                    Ok(()) => continue,
                    Err(reject) => {
                        // An address limit that let it pass keeps what it counted: it protects
                        // authentication from guessing.
                        Verdict::Reject(Refusal {
                            reject,
                            reason: cx.token_fault.map_or(reject.code, Reason::metric),
                            allow: None,
                        })
                    }
                }
            }
            ChainStep::Strip => {
                cx.lookalikes += treatment.security.strip_all(head);
                continue;
            }
            ChainStep::Filter(_, filter) => match filter.on_request(head, cx) {
                Step::Continue => continue,
                Step::Reject(reject) => Verdict::Reject(Refusal {
                    reject,
                    reason: reject.code,
                    allow: None,
                }),
                Step::Reply(reply) => Verdict::Reply(reply),
            },
        };
        return Decided {
            route: Some(route),
            verdict,
            ran,
        };
    }
    // A parameter that is only a part of its segment may be dots; on its own it would lead out
    // of what was authorised.
    let rewritten = cx.rewritten.as_ref().and_then(|one| one.path.as_deref());
    let leads_out = |path: &str| {
        normalise(path).as_deref() != Ok(path) || is_ambiguous(path) && readings::leads_out(path)
    };
    if rewritten.is_some_and(leads_out) {
        return ambiguous(&PATH_AMBIGUOUS, route, ran);
    }
    Decided {
        route: Some(route),
        verdict: Verdict::Forward,
        ran,
    }
}

/// The operation that a preflight asks about, where it has `cors` (semantics.md §1): the method is
/// the one that the page wants to use. None for every other request.
fn of_preflight(snapshot: &Snapshot, listener: usize, head: &mut RequestHead) -> Option<Found> {
    if head.method != Method::OPTIONS {
        return None;
    }
    let asked = cors::preflight(head)?;
    let own = std::mem::replace(&mut head.method, asked);
    let found = router::find(&snapshot.listeners[listener].hosts, head);
    head.method = own;
    let Found::Operation {
        mount, operation, ..
    } = found
    else {
        return None;
    };
    let route = snapshot.route_at(&snapshot.mounts[mount as usize], operation);
    (route.treatment.decorators().next().is_some()).then_some(found)
}

/// 400: the upstream may read the request as one for another operation.
fn ambiguous<'s>(reject: &'static Reject, route: RouteRef<'s>, ran: usize) -> Decided<'s> {
    Decided {
        route: Some(route),
        verdict: Verdict::Reject(Refusal {
            reject,
            reason: reject.code,
            allow: None,
        }),
        ran,
    }
}

impl Decided<'_> {
    /// The service that gets the request, as an index into [`Snapshot::upstreams`]: the one that
    /// a split chose, or the operation's.
    #[must_use]
    pub fn upstream(&self, snapshot: &Snapshot, cx: &Cx<'_>) -> Option<u32> {
        let route = self.route.as_ref()?;
        let chosen = cx.upstream.and_then(|name| snapshot.upstream(name));
        Some(chosen.unwrap_or(route.treatment.upstream))
    }
}

/// Lets the steps that ran see the response, in reverse order; then writes what every response
/// carries.
pub fn finish<'s>(
    snapshot: &'s Snapshot,
    decided: &Decided<'s>,
    response: &mut ResponseHead,
    cx: &mut Cx<'s>,
) {
    if let Some(route) = &decided.route {
        let (ran, skipped) = route.treatment.chain.split_at(decided.ran);
        for step in ran.iter().rev() {
            match step {
                ChainStep::Authenticate | ChainStep::Strip => {}
                ChainStep::Filter(_, filter) => filter.on_response(response, cx),
            }
        }
        if route.treatment.decorates {
            for filter in skipped.iter().filter_map(ChainStep::decorator) {
                filter.on_response(response, cx);
            }
        }
    }
    if let Some(notice) = &cx.rate {
        rate_limit::write_fields(notice, &mut response.headers);
    }
    if let Some(notice) = &cx.leased {
        concurrency::write_fields(notice, &mut response.headers);
    }
    if snapshot.expose_bundle {
        response.headers.insert(
            HeaderName::from_static("x-gateway-bundle"),
            snapshot.bundle_short.clone(),
        );
    }
}

/// 308 to the path as it is declared (RFC 9110 §15.4.9); the query is kept. A path of two slashes
/// would name a host.
fn to_declared<'s>(route: RouteRef<'s>, head: &RequestHead) -> Decided<'s> {
    let path = head.path();
    let path = match path.strip_suffix('/') {
        Some(declared) => declared.to_owned(),
        None => format!("{path}/"),
    };
    let query = head
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    let location = HeaderValue::try_from(format!("{path}{query}"));
    let (Ok(location), false) = (location, path.starts_with("//") || path.is_empty()) else {
        return refused(&NO_ROUTE, None);
    };
    let reply = Reply {
        status: StatusCode::PERMANENT_REDIRECT,
        headers: HeaderMap::from_iter([(http::header::LOCATION, location)]),
        body: bytes::Bytes::new(),
    };
    Decided {
        route: Some(route),
        verdict: Verdict::Reply(Box::new(reply)),
        ran: 0,
    }
}

fn refused<'s>(reject: &'static Reject, allow: Option<HeaderValue>) -> Decided<'s> {
    Decided {
        route: None,
        verdict: Verdict::Reject(Refusal {
            reject,
            reason: reject.code,
            allow,
        }),
        ran: 0,
    }
}

fn allow(methods: &[Method]) -> HeaderValue {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static(""))
}
