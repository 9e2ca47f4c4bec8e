//! Decision on one request: finds its route and runs the route's chain.

use bundle::ir::TrailingSlash;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use policy::ask::Effect;
use policy::auth::dpop::ClientUrl;
use policy::auth::oidc::Outcome;
use policy::auth::{Fault, strip_cookies_of, strip_set_cookies_of};
use policy::conditions::is_ambiguous as is_ambiguous_choice;
use policy::guard::cors;
use policy::traffic::{concurrency, quota, rate_limit};
use policy::{Cx, Filter, NoValue, Reject, Reply, RequestHead, ResponseHead, Run, Step};

use crate::authenticate::{self, Stop, login_refusal};
use crate::edge::reported_origin::client_url;
use crate::edge::{TRACE_REFUSED, overrides};
use crate::logins::{self, OwnPath};
use crate::lookalikes;
use crate::path::{is_ambiguous, normalise};
use crate::readings;
use crate::router::{self, Found};
use crate::snapshot::{ChainStep, RouteRef, Snapshot};
use crate::strip::remove;

static NO_ROUTE: Reject = Reject::new(404, "no_route", "No route matches this request");
static NO_CONDITION: Reject = Reject::new(
    404,
    "no_condition_matched",
    "No route has conditions that match this request",
);
static METHOD_NOT_ALLOWED: Reject = Reject::new(405, "method_not_allowed", "Method not allowed");
/// Refusal of a request whose path the upstream could interpret as another path.
pub static PATH_AMBIGUOUS: Reject = Reject::new(
    400,
    "path_ambiguous",
    "The upstream could interpret the path as another path",
);

/// Refusal of a request for which servers may select different operations.
pub static CONDITION_AMBIGUOUS: Reject = Reject::new(
    400,
    "condition_ambiguous",
    "A field or parameter that selects the operation has several values",
);

/// Refusals that the engine itself makes, for metrics, tests and the generated documentation.
/// Excludes the refusals of policies.
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
    .chain(policy::invalid::REJECTS.iter().copied())
    .chain([&policy::threat::REFUSED])
}

/// Decision on a request: route, verdict, and the number of steps that ran.
#[derive(Debug)]
pub struct Decided<'s> {
    /// Route of the request. `None` if no route matches.
    pub route: Option<RouteRef<'s>>,
    /// Verdict on the request.
    pub verdict: Verdict,
    /// Number of chain steps that ran. The filters of these steps also process the response.
    pub ran: usize,
    /// Path that the gateway answers itself, such as the path of a login. `None` for any other
    /// request.
    own: Option<&'s OwnPath>,
}

impl<'s> Decided<'s> {
    /// Route whose settings apply to the access log. `None` for a request without a route. Also
    /// `None` for a refused request whose path may belong to another operation: the path may then
    /// contain hidden values of that operation.
    #[must_use]
    pub fn logged_route(&self) -> Option<&RouteRef<'s>> {
        let is_ambiguous = matches!(
            &self.verdict,
            Verdict::Reject(refusal) if std::ptr::eq(refusal.reject, &raw const PATH_AMBIGUOUS)
        );
        self.route.as_ref().filter(|_| !is_ambiguous)
    }
}

/// Verdict on a request: forward it, reply, refuse it, or perform an effect that a step needs.
#[derive(Debug)]
pub enum Verdict {
    /// Forward the request to the route's upstream.
    Forward,
    /// Answer with this reply.
    Reply(Box<Reply>),
    /// Refuse the request.
    Reject(Refusal),
    /// The last step that ran needs the result of this effect. [`resume`] continues with the
    /// result.
    Ask(Box<Effect>),
}

/// A refusal with the data for its response.
#[derive(Debug)]
pub struct Refusal {
    /// Reason of the refusal: status, code and title.
    pub reject: &'static Reject,
    /// Label of the reason in metrics: the code, or a more specific reason for a refused
    /// credential.
    pub reason: &'static str,
    /// Value of `Allow` in a 405 response. `None` for other responses.
    pub allow: Option<HeaderValue>,
}

/// Part of a gateway that handles a request, before policies.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'s> {
    /// An operation handles the request.
    Operation(RouteRef<'s>),
    /// The client is redirected to the declared path of the operation, with or without a final
    /// slash.
    Redirected(RouteRef<'s>),
    /// The gateway itself handles the request, such as the path of a login.
    Gateway,
    /// The gateway refuses the request.
    Refused(&'static Reject),
    /// The operation depends on conditions (`match`) on fields or the query.
    Conditional,
}

/// Finds the part of a gateway that handles an admitted request, without running a chain. For
/// requests that are only partly known, such as requests from an access log.
#[must_use]
pub fn owner<'s>(snapshot: &'s Snapshot, listener: usize, head: &RequestHead) -> Owner<'s> {
    let addressed = &snapshot.listeners[listener];
    if addressed.own_path(head).is_some() {
        return Owner::Gateway;
    }
    if head.method == Method::TRACE {
        return Owner::Refused(&TRACE_REFUSED);
    }
    match router::find(&addressed.hosts, head) {
        Found::Operation {
            conditional: true, ..
        }
        | Found::NoConditionMatched => Owner::Conditional,
        Found::Operation {
            mount,
            operation,
            twin,
            conditional: false,
        } => {
            let route = snapshot.route_at(&snapshot.mounts[mount as usize], operation);
            if twin && route.operation.trailing_slash == TrailingSlash::Redirect {
                return Owner::Redirected(route);
            }
            let may_differ = head.is_ambiguous || route.mount.has_other_access;
            match may_differ && readings::ambiguity(snapshot, listener, head, &route).is_some() {
                true => Owner::Refused(&PATH_AMBIGUOUS),
                false => Owner::Operation(route),
            }
        }
        Found::Nothing => Owner::Refused(&NO_ROUTE),
        Found::MethodNotAllowed(_) => Owner::Refused(&METHOD_NOT_ALLOWED),
    }
}

/// Finds the route of an admitted request and runs its chain. The chain may change `head`. The
/// route and the principal are stored in `cx`.
pub fn decide<'s>(
    snapshot: &'s Snapshot,
    listener: usize,
    head: &mut RequestHead,
    cx: &mut Cx<'s>,
) -> Decided<'s> {
    let addressed = &snapshot.listeners[listener];
    if let Some(own) = addressed.own_path(head) {
        cx.scheme = addressed.scheme;
        return answered_by_gateway(own, head, cx, 0);
    }
    decide_operation(snapshot, listener, (head, cx), on_request)
}

/// Finds the route of an admitted request for a path that is not the gateway's own, and runs its
/// chain. `run_filter` runs a filter.
#[inline]
pub(crate) fn decide_operation<'s>(
    snapshot: &'s Snapshot,
    listener: usize,
    (head, cx): (&mut RequestHead, &mut Cx<'s>),
    run_filter: impl FnMut(&'s Filter, &mut RequestHead, &mut Cx<'s>) -> Step,
) -> Decided<'s> {
    if head.method == Method::TRACE {
        let methods = router::methods(&snapshot.listeners[listener].hosts, head);
        return refused(&TRACE_REFUSED, Some(allow(&methods)));
    }
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
    cx.scheme = snapshot.listeners[listener].scheme;
    let treatment = route.treatment;
    // Remove the login cookies that authentication does not read, so that policies do not send them
    // to other services.
    for name in &snapshot.session_cookies {
        if !treatment.security.reads_cookie(name) {
            strip_cookies_of(&mut head.headers, name);
        }
    }
    cx.sends_unsafe = treatment.sends_unsafe;
    cx.cost = treatment.cost;
    for decorator in treatment.decorators() {
        decorator.before(head, cx);
    }
    if (head.is_ambiguous || route.mount.has_other_access)
        && readings::ambiguity(snapshot, listener, head, &route).is_some()
    {
        return ambiguous(&PATH_AMBIGUOUS, route, 0);
    }
    cx.lookalikes += overrides::strip(&mut head.headers, &treatment.override_fields);
    if !treatment.read_fields.is_empty() {
        cx.lookalikes += lookalikes::strip(&treatment.read_fields, &mut head.headers);
    }
    if route.mount.strip_base_path {
        cx.stripped = route.mount.base_path.len();
    }
    if treatment.reads_path {
        let template = &route.operation.template;
        cx.parameters = template.bind(head.path(), route.mount.base_path.len());
    }
    run(snapshot, route, (head, cx), 0, run_filter)
}

/// Runs a filter of a request that the snapshot serves.
fn on_request<'s>(filter: &'s Filter, head: &mut RequestHead, cx: &mut Cx<'s>) -> Step {
    filter.on_request(head, cx)
}

/// Continues a request whose last step needed an effect. That step runs again and finds the result
/// in `cx`. A decision that needs no effect is returned unchanged.
pub fn resume<'s>(
    snapshot: &'s Snapshot,
    decided: Decided<'s>,
    head: &mut RequestHead,
    cx: &mut Cx<'s>,
) -> Decided<'s> {
    match (&decided.verdict, decided.route) {
        (Verdict::Ask(_), None) => match decided.own {
            Some(own) => answered_by_gateway(own, head, cx, decided.ran - 1),
            None => decided,
        },
        (Verdict::Ask(_), Some(route)) => {
            run(snapshot, route, (head, cx), decided.ran - 1, on_request)
        }
        _ => decided,
    }
}

/// Answers a request for a path of a login, which the gateway answers itself. Runs the guards
/// (policies before the login) from index `from`, then the login step. The login step counts as the
/// step after the last guard.
fn answered_by_gateway<'s>(
    own: &'s OwnPath,
    head: &mut RequestHead,
    cx: &mut Cx<'s>,
    from: usize,
) -> Decided<'s> {
    let decided = |verdict: Verdict, ran: usize| Decided {
        route: None,
        own: Some(own),
        verdict,
        ran,
    };
    let guards = own.guards();
    for (index, guard) in guards.iter().enumerate().skip(from) {
        if let Some(verdict) = stopped(guard.filter.on_request(head, cx), cx) {
            return decided(verdict, index + 1);
        }
    }
    let url = url_of(head, cx);
    let verdict = match own.answer(head, url.as_ref(), cx) {
        Ok(outcome) => of_login(outcome, cx),
        Err(methods) => Verdict::Reject(Refusal {
            reject: &METHOD_NOT_ALLOWED,
            reason: METHOD_NOT_ALLOWED.code,
            allow: Some(allow(methods)),
        }),
    };
    decided(verdict, guards.len() + 1)
}

/// Verdict of a step that ends the chain or needs an effect. `None` if the chain continues.
fn stopped(step: Step, cx: &Cx<'_>) -> Option<Verdict> {
    Some(match step {
        Step::Continue => return None,
        Step::Reject(reject) => Verdict::Reject(Refusal {
            reject,
            reason: cx.expression_fault.map_or(reject.code, NoValue::metric),
            allow: None,
        }),
        Step::Reply(reply) => Verdict::Reply(reply),
        Step::Ask(effect) => Verdict::Ask(effect),
    })
}

/// URL of a request as its client sees it.
fn url_of(head: &RequestHead, cx: &Cx<'_>) -> Option<ClientUrl> {
    client_url(&head.headers, cx.scheme, cx.authority?, head.path())
}

/// Converts the outcome of a login or logout step to a verdict. Stores the reason of a failure in
/// `cx`.
fn of_login(outcome: Outcome, cx: &mut Cx<'_>) -> Verdict {
    match outcome {
        Outcome::Reply(reply) => Verdict::Reply(reply),
        Outcome::Ask(effect) => Verdict::Ask(effect),
        Outcome::Fault(reason) => {
            let fault = Fault::Login(reason);
            cx.fault = Some(fault);
            Verdict::Reject(Refusal {
                reject: login_refusal(reason),
                reason: fault.metric(),
                allow: None,
            })
        }
    }
}

/// Runs the chain of a route, beginning with the step at index `from`. `run_filter` runs a filter.
fn run<'s>(
    snapshot: &'s Snapshot,
    route: RouteRef<'s>,
    (head, cx): (&mut RequestHead, &mut Cx<'s>),
    from: usize,
    mut run_filter: impl FnMut(&'s Filter, &mut RequestHead, &mut Cx<'s>) -> Step,
) -> Decided<'s> {
    let treatment = route.treatment;
    let mut ran = from;
    for step in &treatment.chain[from..] {
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
                    Ok(()) => {
                        strip_sessions(snapshot, head);
                        continue;
                    }
                    Err(Stop::Ask(effect)) => Verdict::Ask(effect),
                    Err(Stop::Reject(reject)) => {
                        let login = treatment.security.login(reject);
                        let sent = logins::redirect(
                            login,
                            reject,
                            (head, |cx: &Cx<'_>| url_of(head, cx)),
                            cx,
                        );
                        if let Some(outcome) = sent {
                            let verdict = of_login(outcome, cx);
                            return Decided {
                                route: Some(route),
                                own: None,
                                verdict,
                                ran,
                            };
                        }
                        // Do not refund the tokens of rate limits by address. These limits then
                        // also apply to clients that guess credentials.
                        Verdict::Reject(Refusal {
                            reject,
                            reason: cx.fault.map_or(reject.code, Fault::metric),
                            allow: None,
                        })
                    }
                }
            }
            ChainStep::Strip => {
                cx.lookalikes += treatment.security.strip_all(head);
                strip_sessions(snapshot, head);
                continue;
            }
            ChainStep::RemoveParameters => {
                remove(&treatment.not_forwarded, head);
                continue;
            }
            ChainStep::Filter(_, filter) => match stopped(run_filter(filter, head, cx), cx) {
                None => continue,
                Some(verdict) => verdict,
            },
        };
        return Decided {
            route: Some(route),
            own: None,
            verdict,
            ran,
        };
    }
    strip_sessions(snapshot, head);
    if leaves_path(&route, head, cx) {
        return ambiguous(&PATH_AMBIGUOUS, route, ran);
    }
    Decided {
        route: Some(route),
        own: None,
        verdict: Verdict::Forward,
        ran,
    }
}

/// True if a server may interpret the rewritten path as a path outside the authorised one. A path
/// parameter that was only part of a segment can become a whole segment of the new path, for
/// example `..`. An escape in the parameter may also end the path or divide it.
fn leaves_path(route: &RouteRef<'_>, head: &RequestHead, cx: &Cx<'_>) -> bool {
    let rewritten = cx.rewritten.as_ref().and_then(|one| one.path.as_deref());
    let original = head.path().get(cx.stripped..).unwrap_or_default();
    let strict = route.treatment.path_readings.is_strict();
    rewritten.is_some_and(|path| {
        normalise(path).as_deref() != Ok(path)
            || is_ambiguous(path) && readings::can_deviate(path, original, strict)
    })
}

/// Removes the cookies of logins. Only the gateway uses these cookies, but browsers send them to
/// every API of the host.
fn strip_sessions(snapshot: &Snapshot, head: &mut RequestHead) {
    for name in &snapshot.session_cookies {
        strip_cookies_of(&mut head.headers, name);
    }
}

/// Finds the operation that a CORS preflight is for, with the method in
/// `Access-Control-Request-Method` (semantics.md §1). `None` if the request is not a preflight, or
/// the operation has no `cors`.
fn of_preflight(snapshot: &Snapshot, listener: usize, head: &mut RequestHead) -> Option<Found> {
    if head.method != Method::OPTIONS {
        return None;
    }
    let intended = cors::preflight(head)?;
    let own = std::mem::replace(&mut head.method, intended);
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

/// Decision that refuses a request (400) because the upstream may interpret it as a request for
/// another operation.
fn ambiguous<'s>(reject: &'static Reject, route: RouteRef<'s>, ran: usize) -> Decided<'s> {
    Decided {
        route: Some(route),
        own: None,
        verdict: Verdict::Reject(Refusal {
            reject,
            reason: reject.code,
            allow: None,
        }),
        ran,
    }
}

impl Decided<'_> {
    /// True if the request's path belongs to a login, such as its callback. The gateway answers
    /// such a request without an upstream.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Upstream of the request, as an index into [`Snapshot::upstreams`]: the upstream that a split
    /// chose, otherwise the operation's.
    #[must_use]
    pub fn upstream(&self, snapshot: &Snapshot, cx: &Cx<'_>) -> Option<u32> {
        let route = self.route.as_ref()?;
        let chosen = cx.upstream.and_then(|name| snapshot.upstream(name));
        Some(chosen.unwrap_or(route.treatment.upstream))
    }
}

/// Processes the response by the filters of the steps that ran, in reverse order. Then adds the
/// fields that every response has.
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
                ChainStep::Authenticate | ChainStep::Strip | ChainStep::RemoveParameters => {}
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
    if let Some(outage) = &cx.store_outage {
        policy::store::write_outage(outage, &mut response.headers);
    }
    if !cx.warned.is_empty() {
        quota::write_warnings(&cx.warned, &mut response.headers);
    }
    if let Some(notice) = &cx.concurrency_notice {
        concurrency::write_fields(notice, &mut response.headers);
    }
    if let Some(nonce) = cx.nonce.take() {
        // Forbid storing the response, because a cache would give clients an old nonce (RFC 9449
        // §8.2).
        let fields = &mut response.headers;
        fields.insert(HeaderName::from_static("dpop-nonce"), nonce);
        forbid_storing(fields);
    }
    if response.headers.contains_key(SET_COOKIE) {
        // Remove session cookies from the upstream's response: with such a cookie, an upstream
        // could log a browser in as another user.
        for name in &snapshot.session_cookies {
            strip_set_cookies_of(&mut response.headers, name);
        }
    }
    if !cx.cookies.is_empty() {
        // Forbid storing the response, because a cache would give the session to other clients.
        let fields = &mut response.headers;
        for cookie in cx.cookies.drain(..) {
            fields.append(SET_COOKIE, cookie);
        }
        forbid_storing(fields);
    }
    if snapshot.expose_bundle {
        response.headers.insert(
            HeaderName::from_static("x-gateway-bundle"),
            snapshot.bundle_short.clone(),
        );
    }
}

/// Forbids all caches to store a response. Removes the fields that take precedence over
/// `Cache-Control` in some caches (RFC 9213 §2.2).
fn forbid_storing(fields: &mut HeaderMap) {
    let overrides = |name: &HeaderName| {
        let name = name.as_str();
        let others = [
            "surrogate-control",
            "edge-control",
            "x-accel-expires",
            "expires",
        ];
        name.ends_with("-cache-control") || others.contains(&name)
    };
    let names: Vec<HeaderName> = fields
        .keys()
        .filter(|name| overrides(name))
        .cloned()
        .collect();
    for name in names {
        fields.remove(name);
    }
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Redirect (308) to the path of the operation's template (RFC 9110 §15.4.9), with the query.
/// Refuses with 404 if that path begins with `//`, because a client would interpret the next
/// segment as a host.
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
        refusal: None,
    };
    Decided {
        route: Some(route),
        own: None,
        verdict: Verdict::Reply(Box::new(reply)),
        ran: 0,
    }
}

fn refused<'s>(reject: &'static Reject, allow: Option<HeaderValue>) -> Decided<'s> {
    Decided {
        route: None,
        own: None,
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
