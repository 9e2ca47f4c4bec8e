//! External authorization: another service decides on each request.
//!
//! ```yaml
//! policies:
//!   ask: {kind: forward_auth, upstream: identity, path: /check, response_headers: [X-User], timeout: 200ms}
//! ```
//! The gateway sends the service a GET without a body, like the requests of Traefik's ForwardAuth
//! and NGINX's `auth_request`. The GET has the client's fields that `request_headers` lists, and
//! the forwarding fields that upstreams get (`X-Forwarded-For`, `-Proto`, `-Host`, `-Port`,
//! `Forwarded`). `X-Forwarded-Method` and `X-Original-Method` contain the client's method.
//! `X-Forwarded-Uri` and `X-Original-URI` contain the client's path with query.
//!
//! | Answer | The request |
//! |---|---|
//! | 2xx | passes; the upstream gets the fields of `response_headers` of the answer, never the client's |
//! | 301, 302, 303, 307, 308, 4xx | the client gets status, body and some fields of the answer |
//! | anything else, or none in time | `on_outage` decides: 503 `forward_auth_unavailable`, or it passes |

use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use minicbor::{Decode, Encode};

use crate::ask::{
    Answer, AnswerKind, Answered, AskId, Call, CallKind, Effect, Keep, KindOf, Outage,
};
use crate::change_rows;
use crate::changes::Absent::Is;
use crate::changes::Changes;
use crate::changes::Direction::{Access, Holds, More};
use crate::cx::{Cx, LoggedRefusal};
use crate::declared::{Scalar, Settings, Value};
use crate::endpoint;
use crate::head::{RequestHead, field_names, join_lines};
use crate::managed::{HOPS, alike};
use crate::phase::Phase;
use crate::policy::Policy;
use crate::protection::Protection;
use crate::reject::Reject;
use crate::secret::SecretUnavailable;
use crate::step::{Reply, Run, Setting, Step};

/// Default of `timeout`: 1s, in milliseconds.
const TIMEOUT_MS: u64 = 1_000;
/// Maximum of `cache`: 1h, in milliseconds.
#[cfg(feature = "author")]
const CACHE_MS_MAX: u64 = 3_600_000;
/// Default of `request_headers`.
const REQUEST_HEADERS: [&str; 3] = ["accept", "authorization", "cookie"];
/// Maximum length of the service's response body, in bytes. A refused client receives this body.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Fields of the service's response that a refused client receives.
static PASSED_BACK: [HeaderName; 10] = [
    header::CACHE_CONTROL,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::EXPIRES,
    header::LOCATION,
    header::PRAGMA,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::VARY,
    header::WWW_AUTHENTICATE,
];

static UNAVAILABLE: Reject = Reject::new(
    503,
    "forward_auth_unavailable",
    "The request cannot be authorized now",
)
.with_meaning("the service of `forward_auth` does not answer");
static DENIED: Reject = Reject::new(
    403,
    "forward_auth_denied",
    "The authorization service refuses the request",
);

/// `forward_auth` settings, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Name of the service's upstream: `upstream`, or the origin of `url`.
    #[n(0)]
    upstream: String,
    /// `url` as written. `None` if `upstream` is set.
    #[n(1)]
    url: Option<String>,
    /// Path and query of the request to the service.
    #[n(2)]
    target: String,
    /// Names of request fields that the service receives, in lower case and sorted. `None`: the
    /// default fields.
    #[n(3)]
    request_headers: Option<Vec<String>>,
    /// Names of fields that are copied from the service's response to the request to the upstream,
    /// in lower case and sorted.
    #[n(4)]
    response_headers: Vec<String>,
    #[n(5)]
    timeout_ms: Option<u64>,
    /// True if requests are admitted while the service is unavailable (`on_outage: open`).
    #[n(6)]
    open: bool,
    /// Time in milliseconds for which an admitting response is cached. `None`: responses are not
    /// cached.
    #[n(7)]
    cache_ms: Option<u64>,
}

/// `forward_auth` policy at run time.
#[derive(Debug)]
pub struct Filter {
    name: Arc<str>,
    id: AskId,
    upstream: Arc<str>,
    target: PathAndQuery,
    request_headers: Box<[HeaderName]>,
    response_headers: Box<[HeaderName]>,
    timeout_ms: u64,
    open: bool,
    cache_ms: u64,
}

// === impl Checked ===

impl Checked {
    /// Name of the upstream of the service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.upstream
    }

    /// Names of the request fields that the service receives, in lower case.
    #[must_use]
    pub fn sent(&self) -> Vec<&str> {
        match &self.request_headers {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => REQUEST_HEADERS.to_vec(),
        }
    }

    /// Time for which an answer that admits a caller is cached, in milliseconds. 0: not at all.
    #[must_use]
    pub fn cache_ms(&self) -> u64 {
        self.cache_ms.unwrap_or(0)
    }

    /// Maximum time until the response of the service has arrived, in milliseconds.
    #[must_use]
    pub fn timeout_ms(&self) -> u64 {
        self.timeout_ms.unwrap_or(TIMEOUT_MS)
    }

    /// True if requests are admitted while the service is unavailable (`on_outage: open`).
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }
}

impl Policy for Checked {
    type Filter = Filter;

    const CHANGE_IDS: &'static [&'static str] =
        &["identity-field-", "credentials-sent", "service-asked"];
    const CHANGES: Changes = Changes::new(change_rows! {
        "url": Access;
        "upstream": Access;
        "path": Access;
        "on_outage": Access;
        "timeout": More(Is(1_000));
        "cache": Holds(Is(0));
    });

    const PROTECTION: Option<Protection> = Some(Protection::Caller);

    const REFUSALS: &'static [&'static Reject] = &[&UNAVAILABLE, &DENIED];

    const UNKNOWN_DECISION: Option<&'static str> =
        Some("no example: the answer of another service decides about the request");

    fn phase(&self) -> Option<Phase> {
        Some(Phase::Authorize)
    }

    fn settings(&self) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let set = |names: &[String]| Value::Set(names.iter().cloned().map(Scalar::Text).collect());
        let mut all = match &self.url {
            Some(url) => Settings::default().with(&["url"], text(url)),
            None => {
                let name = Scalar::Name(self.upstream.clone());
                let all = Settings::default().with(&["upstream"], Value::One(name));
                match self.target.as_str() {
                    "/" => all,
                    path => all.with(&["path"], text(path)),
                }
            }
        };
        if let Some(names) = &self.request_headers {
            all = all.with(&["request_headers"], set(names));
        }
        if !self.response_headers.is_empty() {
            all = all.with(&["response_headers"], set(&self.response_headers));
        }
        for (key, time) in [("timeout", self.timeout_ms), ("cache", self.cache_ms)] {
            if let Some(ms) = time {
                all = all.with(&[key], Value::One(Scalar::Duration(ms)));
            }
        }
        match self.open {
            true => all.with(&["on_outage"], text("open")),
            false => all,
        }
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let target = PathAndQuery::try_from(self.target.as_str());
        Ok(Some(Filter {
            name: setting.name.into(),
            id: AskId::new(
                CallKind::ForwardAuth,
                &[setting.name.as_bytes(), &setting.state.0.to_le_bytes()],
            ),
            upstream: self.upstream.as_str().into(),
            target: target.unwrap_or(PathAndQuery::from_static("/")),
            request_headers: field_names(self.sent()),
            response_headers: field_names(self.response_headers.iter().map(String::as_str)),
            timeout_ms: self.timeout_ms(),
            open: self.open,
            cache_ms: self.cache_ms(),
        }))
    }

    fn upstreams(&self) -> Vec<&str> {
        vec![&self.upstream]
    }

    fn rename_upstreams(&mut self, name: &dyn Fn(&str) -> String) {
        if !endpoint::is_origin(&self.upstream) {
            self.upstream = name(&self.upstream);
        }
    }
}

// === impl Filter ===

impl Run for Filter {
    fn depends_on_query(&self) -> bool {
        true
    }

    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        let answered = match cx.answers.get(&self.id) {
            None => {
                // Send the same single value to the service and to the upstream. Otherwise the
                // service could check the first of two lines, and the upstream use the last.
                for name in &self.request_headers {
                    join_lines(&mut head.headers, name);
                }
                return Step::Ask(Box::new(Effect::Http(Box::new(self.call(head)))));
            }
            Some(Answer::Http(answered)) => Arc::clone(answered),
            // The gateway refused the request to the service because of its own limit, or the
            // service because of its limit on heads. Refuse even with `on_outage: open`, because a
            // client can reach these limits while the service is healthy.
            Some(Answer::Outage(Outage::Overflow | Outage::LargeHead)) => {
                return Step::Reject(&UNAVAILABLE);
            }
            Some(
                Answer::Outage(_)
                | Answer::Fetched
                | Answer::Counted(_)
                | Answer::Examined(_)
                | Answer::Permit(_)
                | Answer::Processed(_),
            ) => {
                return self.outage(head, cx);
            }
        };
        match decision(answered.status) {
            ServiceDecision::Admitted => {
                self.pass(Some(&answered.headers), head);
                Step::Continue
            }
            ServiceDecision::Refused => Step::Reply(Box::new(refusal(&answered))),
            ServiceDecision::Useless => self.outage(head, cx),
        }
    }

    fn sends_path_to_service(&self) -> bool {
        true
    }

    /// True, because the service decides by the path. It may refuse the path of another operation,
    /// but admit the same path in other letter case.
    fn depends_on_route(&self) -> bool {
        true
    }

    fn read_fields(&self) -> Vec<HeaderName> {
        self.request_headers.to_vec()
    }

    fn edited_fields(&self) -> [Vec<HeaderName>; 2] {
        [self.response_headers.to_vec(), Vec::new()]
    }
}

impl Filter {
    fn call(&self, head: &RequestHead) -> Call {
        let mut headers = HeaderMap::new();
        for name in &self.request_headers {
            for value in head.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        for name in HOPS {
            for value in head.headers.get_all(name) {
                headers.append(HeaderName::from_static(name), value.clone());
            }
        }
        let method = HeaderValue::try_from(head.method.as_str());
        let target = HeaderValue::try_from(head.target.as_str());
        for (names, value) in [
            (["x-forwarded-method", "x-original-method"], method),
            (["x-forwarded-uri", "x-original-uri"], target),
        ] {
            for name in names.map(HeaderName::from_static) {
                match &value {
                    Ok(value) => drop(headers.insert(name, value.clone())),
                    Err(_) => drop(headers.remove(name)),
                }
            }
        }
        Call {
            id: self.id,
            kind: CallKind::ForwardAuth,
            upstream: Arc::clone(&self.upstream),
            method: Method::GET,
            target: self.target.clone(),
            headers,
            body: Bytes::new(),
            tells_client: true,
            timeout_ms: self.timeout_ms,
            body_bytes_max: BODY_BYTES_MAX,
            keep: Keep {
                times_ms: [self.cache_ms, 0],
                stale_ms: 0,
                kind: KindOf::Unsigned(|answered| {
                    let sets = answered.headers.contains_key(header::SET_COOKIE);
                    (answered.status.is_success() && !sets).then_some(AnswerKind::Admits)
                }),
            },
        }
    }

    /// Adds the fields of the service's response to the request. Removes the client's fields with
    /// the same names, and fields whose names servers may treat as equal.
    fn pass(&self, answer: Option<&HeaderMap>, head: &mut RequestHead) {
        let is_ours = |other: &HeaderName| {
            let mut names = self.response_headers.iter();
            names.any(|name| alike(other.as_str().as_bytes(), name.as_str().as_bytes()))
        };
        if self.response_headers.is_empty() {
            return;
        }
        let removed: Vec<HeaderName> = head
            .headers
            .keys()
            .filter(|one| is_ours(one))
            .cloned()
            .collect();
        for name in removed {
            head.headers.remove(name);
        }
        for name in &self.response_headers {
            for value in answer.into_iter().flat_map(|answer| answer.get_all(name)) {
                head.headers.append(name, value.clone());
            }
        }
    }

    fn outage<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        if !self.open {
            return Step::Reject(&UNAVAILABLE);
        }
        self.pass(None, head);
        cx.noted.push(LoggedRefusal {
            policy: &self.name,
            reject: &UNAVAILABLE,
        });
        Step::Continue
    }
}

/// Decision about the client's request in the service's response.
enum ServiceDecision {
    Admitted,
    Refused,
    /// The response contains no decision and counts as an outage.
    Useless,
}

fn decision(status: StatusCode) -> ServiceDecision {
    match status.as_u16() {
        200..=299 => ServiceDecision::Admitted,
        301 | 302 | 303 | 307 | 308 | 400..=499 => ServiceDecision::Refused,
        _ => ServiceDecision::Useless,
    }
}

/// Builds the response to a client that the service refused.
fn refusal(answered: &Answered) -> Reply {
    let mut headers = HeaderMap::new();
    for name in &PASSED_BACK {
        for value in answered.headers.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    Reply {
        status: answered.status,
        headers,
        body: answered.body.clone(),
        refusal: Some(&DENIED),
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: forward_auth` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink, read};

    use super::{CACHE_MS_MAX, Checked};
    use crate::endpoint::Endpoint;
    use crate::forms;
    use crate::managed::FRAMING;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        r#"asks: {kind: forward_auth, url: "http://ask.test/check", request_headers: [X-Q], response_headers: [X-R], timeout: 700ms, on_outage: open, cache: 3s}"#,
        "names: {kind: forward_auth, upstream: v, path: /check}",
    ];

    /// The keys of `kind: forward_auth`.
    pub static SHAPE: Object = Object {
        what: "authorization by another service",
        fields: &[
            Field::optional("url", Shape::Form(&forms::URL), "URL of the service."),
            Field::optional(
                "upstream",
                Shape::Name("an upstream"),
                "Upstream of the service, instead of `url`.",
            ),
            Field::optional(
                "path",
                Shape::Form(&forms::PATH),
                "With `upstream`: path of the authorization request. Default: `/`.",
            ),
            Field::optional(
                "request_headers",
                Shape::List(&FIELD),
                "Fields of the request that are passed to the service, in addition to method, host, path \
and the client's address. Default: `Accept`, `Authorization`, `Cookie`.",
            ),
            Field::optional(
                "response_headers",
                Shape::List(&FIELD),
                "Fields of the response that are passed to the upstream; fields of these names are \
removed from the client's request.",
            ),
            Field::optional(
                "timeout",
                Shape::Timeout,
                "Maximum time for a response. Default: 1s.",
            ),
            Field::optional(
                "on_outage",
                Shape::Word(&["closed", "open"]),
                "Behaviour while the service does not answer. Default: `closed`, which refuses all requests.",
            ),
            Field::optional(
                "cache",
                Shape::Duration,
                "Lifetime of a positive response in the cache, for equal requests. Maximum: 1h. Default: responses are not cached.",
            ),
        ],
        rules: &[
            Rule::One(&["url", "upstream"]),
            Rule::Apart(&["url", "path"], &BAD_VALUE),
            Rule::Holds(check_fields),
            Rule::Holds(check_cache),
        ],
    };

    /// Reports a `cache` above the maximum. A caller whose access was revoked keeps access for up
    /// to the cache time.
    fn check_cache(node: NodeRef<'_>, sink: &mut Sink) {
        let Some(cache) = node.get("cache") else {
            return;
        };
        if read::duration_ms(cache).is_ok_and(|ms| ms > CACHE_MS_MAX) {
            let message = "`cache` must not be longer than 1h";
            sink.push(
                Diagnostic::new(&BAD_VALUE, cache.span(), message)
                    .label("for this time, callers keep access that the service has withdrawn")
                    .help("write 1h or less"),
            );
        }
    }

    static FIELD: Shape = Shape::Form(&forms::FIELD);

    /// Fields that describe the body or the exchange, and therefore cannot be forwarded.
    const OF_MESSAGE: [&str; 2] = ["content-encoding", "expect"];

    fn check_fields(node: NodeRef<'_>, sink: &mut Sink) {
        for key in ["request_headers", "response_headers"] {
            for item in node.get(key).into_iter().flat_map(NodeRef::items) {
                let name = item.scalar_text().unwrap_or_default().to_ascii_lowercase();
                if FRAMING.contains(&name.as_str()) || OF_MESSAGE.contains(&name.as_str()) {
                    let message =
                        format!("`{name}` applies to a single message and cannot be passed on");
                    sink.push(
                        Diagnostic::new(&BAD_VALUE, item.span(), message)
                            .help("remove it from the list"),
                    );
                }
            }
        }
    }

    /// Reads settings from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let get = |key: &str| node.get(key).filter(|value| !value.is_null());
        let text = |key: &str| Some(get(key)?.scalar_text()?.to_owned());
        let time = |key: &str| read::duration_ms(get(key)?).ok();
        let names = |key: &str| {
            let items = get(key)?.items();
            let names = items.filter_map(|item| Some(item.scalar_text()?.to_ascii_lowercase()));
            let mut names: Vec<String> = names.collect();
            names.sort();
            names.dedup();
            Some(names)
        };
        let url = text("url");
        let (upstream, target) = match &url {
            Some(url) => {
                let endpoint = Endpoint::of(url)?;
                (endpoint.origin, endpoint.target)
            }
            None => (text("upstream")?, text("path").unwrap_or("/".to_owned())),
        };
        Some(Checked {
            upstream,
            url,
            target,
            request_headers: names("request_headers"),
            response_headers: names("response_headers").unwrap_or_default(),
            timeout_ms: time("timeout"),
            open: text("on_outage").as_deref() == Some("open"),
            cache_ms: time("cache").filter(|ms| *ms > 0),
        })
    }
}

#[cfg(test)]
mod tests;
