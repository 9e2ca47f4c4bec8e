//! External processing: another service, such as a web application firewall, inspects and changes
//! requests and responses. The protocol is Envoy's `envoy.service.ext_proc.v3.ExternalProcessor`
//! over gRPC.
//!
//! ```yaml
//! upstreams:
//!   waf: {protocol: h2c, targets: {a: {url: "http://waf.internal:9002"}}}
//! policies:
//!   inspect: {kind: ext_proc, upstream: waf, request_body: buffered, response: headers, timeout: 200ms}
//! ```
//! The gateway sends the fields of the request, then its body (`request_body: buffered`), the fields
//! of the upstream's response (`response: headers`) and its body (`response_body: buffered`), as
//! messages of one stream. It waits for the answer to each message.
//!
//! | Answer | The exchange |
//! |---|---|
//! | `CONTINUE` with changes of fields or body | continues with these changes |
//! | `CONTINUE_AND_REPLACE` | continues with these changes; the processor gets no more of this message |
//! | `ImmediateResponse` | the client gets this response |
//! | the stream ends with the status `OK` | continues; the processor gets no more of the exchange |
//! | anything else, or none in time | `on_outage` decides: 503 `ext_proc_unavailable`, or it continues |

use std::sync::Arc;

use http::HeaderName;
use minicbor::{Decode, Encode};

use crate::ask::{Answer, AskId, CallKind, Effect, Outage};
use crate::change_rows;
use crate::changes::Absent::Is;
use crate::changes::Changes;
use crate::changes::Direction::{Access, More};
use crate::cx::{Cx, LoggedRefusal};
use crate::declared::{Scalar, Settings, Value};
use crate::head::{RequestHead, field_names};
use crate::phase::Phase;
use crate::policy::Policy;
use crate::processing::{self, Processed, Processing};
use crate::protection::Protection;
use crate::reject::Reject;
use crate::secret::SecretUnavailable;
use crate::step::{Run, Setting, Step};

/// Default of `timeout`: 1s, in milliseconds.
const TIMEOUT_MS: u64 = 1_000;
/// Default of `max_body`: 1MiB, in bytes.
const BODY_BYTES: u64 = 1 << 20;
/// Maximum of `max_body`: 16MiB, in bytes.
#[cfg(feature = "author")]
const BODY_BYTES_MAX: u64 = 16 << 20;

/// Refusal while the processor is unavailable.
pub static UNAVAILABLE: Reject = Reject::new(
    503,
    "ext_proc_unavailable",
    "The message cannot be inspected now",
)
.with_meaning("the processor of `ext_proc` does not answer");
/// Refusal by the processor (`ImmediateResponse`).
pub static DENIED: Reject = Reject::new(
    403,
    "ext_proc_denied",
    "The inspection of the message refuses it",
);
static TOO_LARGE: Reject = Reject::new(
    413,
    "ext_proc_body_too_large",
    "The request's body is too large to be inspected",
)
.with_meaning("the body is larger than `max_body` of an `ext_proc` policy");

/// `ext_proc` settings, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Name of the processor's upstream.
    #[n(0)]
    upstream: String,
    #[n(1)]
    timeout_ms: Option<u64>,
    /// True if messages pass while the processor is unavailable (`on_outage: open`).
    #[n(2)]
    open: bool,
    /// Names of the request fields that the processor receives, in lower case and sorted. `None`:
    /// all fields.
    #[n(3)]
    request_headers: Option<Vec<String>>,
    /// True if the processor receives the body of the request (`request_body: buffered`).
    #[n(4)]
    body: bool,
    /// Maximum length of the body, in bytes.
    #[n(5)]
    body_bytes_max: Option<u64>,
    /// True if the processor receives the head of the response (`response: headers`).
    #[n(6)]
    response: bool,
    /// True if the processor receives the body of the response (`response_body: buffered`).
    #[n(7)]
    #[cbor(skip_if = "std::ops::Not::not", default)]
    response_body: bool,
}

/// `ext_proc` policy at run time.
#[derive(Debug)]
pub struct Filter {
    id: AskId,
    processing: Arc<Processing>,
}

// === impl Checked ===

impl Checked {
    /// Name of the processor's upstream.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.upstream
    }

    /// Names of the request fields that the processor receives, in lower case. `None`: all fields.
    #[must_use]
    pub fn sent(&self) -> Option<&[String]> {
        self.request_headers.as_deref()
    }

    /// Maximum time for the answer to each message, in milliseconds.
    #[must_use]
    pub fn timeout_ms(&self) -> u64 {
        self.timeout_ms.unwrap_or(TIMEOUT_MS)
    }

    /// True if messages pass while the processor is unavailable (`on_outage: open`).
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// True if the processor receives the body of the request.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        self.body
    }

    /// True if the processor receives the head of the response.
    #[must_use]
    pub fn reads_response(&self) -> bool {
        self.response
    }

    /// True if the processor receives the body of the response.
    #[must_use]
    pub fn reads_response_body(&self) -> bool {
        self.response_body
    }
}

impl Policy for Checked {
    type Filter = Filter;

    const CHANGE_IDS: &'static [&'static str] = &["credentials-sent", "service-asked"];
    const CHANGES: Changes = Changes::new(change_rows! {
        "upstream": Access;
        "on_outage": Access;
        "request_headers": Access;
        "request_body": Access;
        "response": Access;
        "response_body": Access;
        "max_body": More(Is(1 << 20));
        "timeout": More(Is(1_000));
    });

    const PROTECTION: Option<Protection> = Some(Protection::Processor);

    const REFUSALS: &'static [&'static Reject] = &[&UNAVAILABLE, &DENIED, &TOO_LARGE];

    const UNKNOWN_DECISION: Option<&'static str> =
        Some("no example: the answer of another service decides about the request");

    fn phase(&self) -> Option<Phase> {
        Some(Phase::Validate)
    }

    fn settings(&self) -> Settings {
        let one = |scalar| Value::One(scalar);
        let text = |text: &str| one(Scalar::Text(text.to_owned()));
        let name = Scalar::Name(self.upstream.clone());
        let mut all = Settings::default().with(&["upstream"], one(name));
        if let Some(names) = &self.request_headers {
            let names = names.iter().cloned().map(Scalar::Text).collect();
            all = all.with(&["request_headers"], Value::Set(names));
        }
        if self.body {
            all = all.with(&["request_body"], text("buffered"));
        }
        if let Some(bytes) = self.body_bytes_max {
            all = all.with(&["max_body"], one(Scalar::Size(bytes)));
        }
        if self.response {
            all = all.with(&["response"], text("headers"));
        }
        if self.response_body {
            all = all.with(&["response_body"], text("buffered"));
        }
        if let Some(ms) = self.timeout_ms {
            all = all.with(&["timeout"], one(Scalar::Duration(ms)));
        }
        match self.open {
            true => all.with(&["on_outage"], text("open")),
            false => all,
        }
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let names = self.request_headers.as_ref();
        let names = names.map(|names| field_names(names.iter().map(String::as_str)));
        let processing = Processing {
            policy: setting.name.into(),
            upstream: self.upstream.as_str().into(),
            timeout_ms: self.timeout_ms(),
            is_open: self.open,
            request_headers: names,
            has_request_body: self.body,
            has_response: self.response,
            has_response_body: self.response_body,
            body_bytes_max: self.body_bytes_max.unwrap_or(BODY_BYTES),
        };
        let parts: [&[u8]; 2] = [setting.name.as_bytes(), &setting.state.0.to_le_bytes()];
        Ok(Some(Filter {
            id: AskId::new(CallKind::ExtProc, &parts),
            processing: Arc::new(processing),
        }))
    }

    fn upstreams(&self) -> Vec<&str> {
        vec![&self.upstream]
    }

    fn rename_upstreams(&mut self, name: &dyn Fn(&str) -> String) {
        self.upstream = name(&self.upstream);
    }
}

// === impl Filter ===

impl Run for Filter {
    fn depends_on_query(&self) -> bool {
        true
    }

    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        let processed = match cx.answers.get(&self.id) {
            None => {
                return Step::Ask(Box::new(Effect::Process(
                    self.id,
                    Arc::clone(&self.processing),
                )));
            }
            Some(Answer::Processed(processed)) => Arc::clone(processed),
            // Clients can reach these limits while the processor is healthy. Refuse even with
            // `on_outage: open`.
            Some(Answer::Outage(Outage::Overflow | Outage::LargeHead)) => {
                cx.refund_quotas();
                return Step::Reject(&UNAVAILABLE);
            }
            Some(
                Answer::Outage(_)
                | Answer::Http(_)
                | Answer::Fetched
                | Answer::Counted(_)
                | Answer::Examined(_)
                | Answer::Permit(_),
            ) => return self.outage(cx),
        };
        match &*processed {
            Processed::Continue(changes) => {
                processing::apply(changes, &mut head.headers);
                Step::Continue
            }
            Processed::Reply(reply) => {
                cx.refund_quotas();
                Step::Reply(Box::new(reply.clone()))
            }
            Processed::TooLarge => {
                cx.refund_quotas();
                Step::Reject(&TOO_LARGE)
            }
        }
    }

    fn sends_path_to_service(&self) -> bool {
        true
    }

    /// True, because the processor decides by the path. It may refuse the path of another
    /// operation, but admit the same path in other letter case.
    fn depends_on_route(&self) -> bool {
        true
    }

    fn read_fields(&self) -> Vec<HeaderName> {
        let names = self.processing.request_headers.as_deref();
        names.unwrap_or_default().to_vec()
    }
}

impl Filter {
    fn outage<'a>(&'a self, cx: &mut Cx<'a>) -> Step {
        if !self.processing.is_open {
            cx.refund_quotas();
            return Step::Reject(&UNAVAILABLE);
        }
        cx.noted.push(LoggedRefusal {
            policy: &self.processing.policy,
            reject: &UNAVAILABLE,
        });
        Step::Continue
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: ext_proc` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use diag::{Diagnostic, Level, Lint, NodeRef, Sink, read};

    use super::{BODY_BYTES_MAX, Checked};
    use crate::forms;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        "inspect: {kind: ext_proc, upstream: w, request_headers: [X-W], request_body: buffered, max_body: 90KiB, response: headers, response_body: buffered, timeout: 701ms, on_outage: open}",
    ];

    /// The keys of `kind: ext_proc`.
    pub static SHAPE: Object = Object {
        what: "external processing",
        fields: &[
            Field::required(
                "upstream",
                Shape::Name("an upstream"),
                "Upstream of the processor, with `protocol: h2c` or `h2`.",
            ),
            Field::optional(
                "request_headers",
                Shape::List(&FIELD),
                "Fields of the request that the processor receives, in addition to method, host and \
path. Default: all fields.",
            ),
            Field::optional(
                "request_body",
                Shape::Word(&["none", "buffered"]),
                "Body of the request: not sent, or sent as a whole before the upstream gets the \
request. Default: `none`.",
            ),
            Field::optional(
                "max_body",
                Shape::Size,
                "With `request_body: buffered` or `response_body: buffered`: maximum length of a body; a \
longer one is refused (request: 413, response: 502). Maximum: 16MiB. Default: 1MiB.",
            ),
            Field::optional(
                "response",
                Shape::Word(&["none", "headers"]),
                "Head of the upstream's response: not sent, or sent before the client gets it. Default: \
`none`.",
            ),
            Field::optional(
                "response_body",
                Shape::Word(&["none", "buffered"]),
                "Body of the upstream's response: not sent, or sent as a whole before the client gets \
the response. Requires `response: headers`. Default: `none`.",
            ),
            Field::optional(
                "timeout",
                Shape::Timeout,
                "Maximum time for the answer to each message. Default: 1s.",
            ),
            Field::optional(
                "on_outage",
                Shape::Word(&["closed", "open"]),
                "Behaviour while the processor does not answer. Default: `closed`, which refuses all \
requests.",
            ),
        ],
        rules: &[Rule::Holds(check_body)],
    };

    static FIELD: Shape = Shape::Form(&forms::FIELD);

    /// Finding: the upstream of a processor does not use HTTP/2. gwc reports the finding after it
    /// has read all upstreams.
    pub static WITHOUT_HTTP2: Lint = Lint {
        code: "GW0554",
        name: "processor-without-http2",
        level: Level::Error,
        summary: "an upstream of `ext_proc` that does not use HTTP/2",
        explain: "An external processor is a gRPC service, and gRPC requires HTTP/2. Write `protocol: h2c` at its \
upstream (HTTP/2 without TLS), or `protocol: h2` (HTTP/2 over TLS). With `h1` or `auto`, a connection could use \
HTTP/1.1, over which no processor answers.",
        bad: &[(
            "gateway.yaml",
            "version: 1\nname: s\nupstreams: {waf: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\npolicies: {inspect: {kind: ext_proc, upstream: waf}}\n",
        )],
        good: &[(
            "gateway.yaml",
            "version: 1\nname: s\nupstreams: {waf: {protocol: h2c, targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\npolicies: {inspect: {kind: ext_proc, upstream: waf}}\n",
        )],
    };

    /// Finding: an operation with `stream: true` has a processor that receives whole bodies of
    /// responses. gwc reports the finding after it has read all operations.
    pub static BUFFERED_STREAM: Lint = Lint {
        code: "GW0619",
        name: "processor-of-streamed-response",
        level: Level::Error,
        summary: "`response_body: buffered` for an operation with `stream: true`",
        explain: "An external processor with `response_body: buffered` receives the body of a response as a whole, \
before the client gets its first byte. A response of an operation with `stream: true` may never end, so that the \
client would get nothing until a limit ends the response. Give the operation a policy without `response_body`, or \
remove `stream: true`.",
        bad: &[
            (
                "gateway.yaml",
                "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams:\n  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}\n  waf: {protocol: h2c, targets: {a: {url: \"http://127.0.0.1:9002\"}}}\npolicies: {inspect: {kind: ext_proc, upstream: waf, response: headers, response_body: buffered}}\ndefaults: {upstream: u, security: upstream, policies: [inspect]}\n",
            ),
            ("api.yaml", STREAM),
        ],
        good: &[
            (
                "gateway.yaml",
                "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams:\n  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}\n  waf: {protocol: h2c, targets: {a: {url: \"http://127.0.0.1:9002\"}}}\npolicies: {inspect: {kind: ext_proc, upstream: waf, response: headers}}\ndefaults: {upstream: u, security: upstream, policies: [inspect]}\n",
            ),
            ("api.yaml", STREAM),
        ],
    };

    /// Document of samples, whose only operation streams.
    const STREAM: &str = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {operationId: watch, x-gateway: {stream: true}, responses: {\"200\": {description: fine}}}}}\n";

    /// Reports a `response_body` without the head of the response, and a `max_body` above the maximum
    /// or without a body.
    fn check_body(node: NodeRef<'_>, sink: &mut Sink) {
        let is = |key: &str, word: &str| node.get(key).and_then(NodeRef::scalar_text) == Some(word);
        let reads_response = is("response_body", "buffered");
        if let Some(body) = node.get("response_body").filter(|_| reads_response)
            && !is("response", "headers")
        {
            let message = "`response_body: buffered` requires `response: headers`";
            sink.push(
                Diagnostic::new(&BAD_VALUE, body.span(), message)
                    .label("the processor gets the head of a response before its body")
                    .help("write `response: headers`, or remove `response_body`"),
            );
        }
        let Some(max_body) = node.get("max_body").filter(|node| !node.is_null()) else {
            return;
        };
        if !is("request_body", "buffered") && !reads_response {
            let message = "`max_body` has no effect without a body that is sent";
            sink.push(Diagnostic::new(&BAD_VALUE, max_body.span(), message).help(
                "write `request_body: buffered` or `response_body: buffered`, or remove `max_body`",
            ));
        } else if read::size_bytes(max_body).is_ok_and(|bytes| bytes > BODY_BYTES_MAX) {
            let message = "`max_body` must not be larger than 16MiB";
            sink.push(
                Diagnostic::new(&BAD_VALUE, max_body.span(), message)
                    .label("the gateway holds each body of this size in memory")
                    .help("write 16MiB or less"),
            );
        }
    }

    /// Reads settings from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let get = |key: &str| node.get(key).filter(|value| !value.is_null());
        let is = |key: &str, word: &str| get(key).and_then(NodeRef::scalar_text) == Some(word);
        let names = get("request_headers").map(|list| {
            let names = list.items();
            let names = names.filter_map(|item| Some(item.scalar_text()?.to_ascii_lowercase()));
            let mut names: Vec<String> = names.collect();
            names.sort();
            names.dedup();
            names
        });
        Some(Checked {
            upstream: get("upstream")?.scalar_text()?.to_owned(),
            timeout_ms: get("timeout").and_then(|node| read::duration_ms(node).ok()),
            open: is("on_outage", "open"),
            request_headers: names,
            body: is("request_body", "buffered"),
            body_bytes_max: get("max_body").and_then(|node| read::size_bytes(node).ok()),
            response: is("response", "headers"),
            response_body: is("response_body", "buffered"),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;
    use crate::cx::tests::{filter, head, with_cx};
    use crate::processing::{Change, How};
    use crate::reply::Reply;

    fn checked(open: bool) -> Checked {
        Checked {
            upstream: "waf".to_owned(),
            timeout_ms: None,
            open,
            request_headers: None,
            body: true,
            body_bytes_max: None,
            response: false,
            response_body: false,
        }
    }

    /// Result of the policy, and number of logged refusals, for this answer.
    fn answered(open: bool, answer: Answer, head: &mut RequestHead) -> (Step, usize) {
        let filter: &'static Filter = Box::leak(Box::new(filter(&checked(open))));
        with_cx(|cx| {
            cx.answers.add(filter.id, answer);
            let step = filter.on_request(head, cx);
            (step, cx.noted.len())
        })
    }

    fn processed(processed: Processed) -> Answer {
        Answer::Processed(Arc::new(processed))
    }

    #[test]
    fn question_has_the_settings_and_their_defaults() {
        let filter = filter(&checked(false));
        with_cx(|cx| {
            let Step::Ask(effect) = filter.on_request(&mut head("/a"), cx) else {
                panic!("no question");
            };
            let Effect::Process(_, processing) = *effect else {
                panic!("another effect");
            };
            assert_eq!(
                (&*processing.upstream, processing.timeout_ms),
                ("waf", 1_000)
            );
            assert_eq!(processing.body_bytes_max, 1 << 20);
            assert!(processing.has_request_body && processing.has_body());
            assert!(!processing.has_response && !processing.has_response_body);
            assert!(processing.request_headers.is_none());
        });
    }

    #[test]
    fn changes_reach_the_request() {
        let mut head = head("/");
        let (name, value) = (
            HeaderName::from_static("x-score"),
            HeaderValue::from_static("7"),
        );
        let changes = vec![Change::Set(name, value, How::Replace)];
        let answer = processed(Processed::Continue(changes.into()));
        let (step, noted) = answered(false, answer, &mut head);
        assert!(matches!(step, Step::Continue) && noted == 0);
        assert_eq!(head.headers["x-score"], "7");
    }

    #[test]
    fn immediate_response_reaches_the_client() {
        let reply = Reply {
            status: StatusCode::FORBIDDEN,
            headers: HeaderMap::new(),
            body: "no".into(),
            refusal: Some(&DENIED),
        };
        let answer = processed(Processed::Reply(reply));
        let (step, _) = answered(true, answer, &mut head("/"));
        assert!(matches!(step, Step::Reply(reply) if reply.body == "no"));
        let (step, _) = answered(true, processed(Processed::TooLarge), &mut head("/"));
        assert!(matches!(step, Step::Reject(one) if one.status == 413));
    }

    #[test]
    fn outage_refuses_unless_it_is_open() {
        for outage in [
            Outage::Timeout,
            Outage::Failed,
            Outage::TooLarge,
            Outage::CircuitOpen,
        ] {
            let (step, _) = answered(false, Answer::Outage(outage), &mut head("/"));
            assert!(matches!(step, Step::Reject(one) if one.code == "ext_proc_unavailable"));
            let (step, noted) = answered(true, Answer::Outage(outage), &mut head("/"));
            assert!(matches!(step, Step::Continue) && noted == 1, "{outage:?}");
        }
        for outage in [Outage::Overflow, Outage::LargeHead] {
            let (step, noted) = answered(true, Answer::Outage(outage), &mut head("/"));
            assert!(matches!(step, Step::Reject(one) if one.status == 503) && noted == 0);
        }
    }
}
