//! Cross-origin requests by pages in browsers (CORS, Fetch standard).
//!
//! ```yaml
//! policies:
//!   web: {kind: cors, origins: ["https://app.example.org"], credentials: true}
//! ```
//! The gateway answers preflights (`OPTIONS` with `Origin` and `Access-Control-Request-Method`)
//! with 204 before authentication, because browsers send them without credentials. Every other
//! response to an allowed origin, including error responses, gets the CORS fields, so that the page
//! can read it. CORS fields of the upstream are replaced. `Access-Control-Allow-Origin` repeats the
//! request's origin, or is `*` if the policy allows all origins; `*` is never combined with
//! credentials. A request of another origin is served without the CORS fields. The browser then
//! does not let the page read the response.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Absent::Is;
use crate::changes::Changes;
use crate::changes::Direction::{Access, More};
use crate::cx::{Cx, Page};
use crate::declared::{Scalar, Settings, Value};
use crate::head::{RequestHead, ResponseHead};
use crate::phase::Phase;
use crate::policy::Policy;
use crate::secret::SecretUnavailable;
use crate::step::{Reply, Run, Setting, Step};

/// CORS settings, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Allowed origins and origin patterns, sorted.
    #[n(0)]
    origins: Vec<String>,
    /// Allowed methods in addition to GET, HEAD and POST, sorted. `None`: the methods that the API
    /// describes for the path.
    #[n(1)]
    methods: Option<Vec<String>>,
    /// Allowed request fields, in lower case, sorted; `*` for all.
    #[n(2)]
    headers: Vec<String>,
    /// Response fields that pages may read, in lower case, sorted; `*` for all.
    #[n(3)]
    expose: Vec<String>,
    /// True if pages may send cookies and the credentials that the browser stores.
    #[n(4)]
    credentials: bool,
    /// Time for which a browser may cache the response to a preflight, in milliseconds.
    #[n(5)]
    max_age_ms: Option<u64>,
    /// True if pages of public networks may call this gateway in a private network (Private Network
    /// Access).
    #[n(6)]
    private_network: bool,
}

/// CORS settings at run time, with prepared response fields.
#[derive(Debug)]
pub struct Filter {
    origins: Origins,
    /// Value of `Access-Control-Allow-Methods`. `None`: the response allows the requested method.
    methods: Option<HeaderValue>,
    /// Value of `Access-Control-Allow-Headers`. `None`: only the fields that CORS always allows.
    headers: Option<Fields>,
    /// Value of `Access-Control-Expose-Headers`. `None`: the field is not sent.
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
    private_network: bool,
    preflights: Preflights,
}

/// Prepared fields of the responses to preflights.
#[derive(Debug, Default)]
struct Preflights {
    /// Fields for an origin that is not allowed.
    foreign: HeaderMap,
    /// Fields for an allowed origin.
    plain: HeaderMap,
    /// Fields for an allowed origin, if the response repeats the fields that the page requests.
    with_fields: HeaderMap,
}

/// Allowed origins.
#[derive(Debug)]
enum Origins {
    /// Any origin, without credentials: `*`.
    Any,
    These(Box<[Pattern]>),
}

/// An origin, or all origins below a domain.
#[derive(Debug)]
enum Pattern {
    Exact(Box<str>),
    /// All origins below a domain: the scheme with `://`, and the end of the host with its leading
    /// dot and the port.
    Below(Box<str>, Box<str>),
}

/// Allowed request fields.
#[derive(Debug)]
enum Fields {
    /// All fields that the page requests.
    Any,
    These(HeaderValue),
}

const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// Maximum length of an `Access-Control-Request-Headers` value that the response repeats, in bytes.
/// The fields in a longer value are not allowed.
const REQUESTED_BYTES_MAX: usize = 4_096;

/// Method in `Access-Control-Request-Method`. `None` if the request is not a preflight (Fetch
/// standard, *CORS-preflight request*).
#[must_use]
pub fn preflight(head: &RequestHead) -> Option<Method> {
    if head.method != Method::OPTIONS || !head.headers.contains_key(ORIGIN) {
        return None;
    }
    let mut methods = head.headers.get_all(ACCESS_CONTROL_REQUEST_METHOD).iter();
    let method = Method::from_bytes(methods.next()?.as_bytes()).ok()?;
    methods.next().is_none().then_some(method)
}

// === impl Checked ===

impl Checked {
    /// True if pages may send this request field. `name` is in lower case. Does not consider the
    /// fields that CORS always allows.
    #[must_use]
    pub fn allows_field(&self, name: &str) -> bool {
        let mut known = self.headers.iter();
        known.any(|known| known == "*" || known == name)
    }
}

impl Policy for Checked {
    type Filter = Filter;

    const CHANGE_IDS: &'static [&'static str] = &["cors-"];
    const CHANGES: Changes = Changes::new(change_rows! {
        "origins": Access;
        "methods": Access;
        "headers": Access;
        "expose": Access;
        "credentials": Access;
        "private_network": Access;
        "max_age": More(Is(5_000));
    });

    // `cors` runs before authentication, because preflights carry no credentials.
    fn phase(&self) -> Option<Phase> {
        Some(Phase::Cors)
    }

    fn settings(&self) -> Settings {
        let set = |texts: &[String]| match texts.is_empty() {
            true => Value::Empty,
            false => Value::Set(texts.iter().cloned().map(Scalar::Text).collect()),
        };
        let flag = |flag: bool| Value::One(Scalar::Flag(flag));
        let mut settings = Settings::default().with(&["origins"], set(&self.origins));
        if let Some(methods) = &self.methods {
            settings = settings.with(&["methods"], set(methods));
        }
        for (key, fields) in [("headers", &self.headers), ("expose", &self.expose)] {
            if !fields.is_empty() {
                settings = settings.with(&[key], set(fields));
            }
        }
        if self.credentials {
            settings = settings.with(&["credentials"], flag(true));
        }
        if let Some(ms) = self.max_age_ms {
            settings = settings.with(&["max_age"], Value::One(Scalar::Duration(ms)));
        }
        if self.private_network {
            settings = settings.with(&["private_network"], flag(true));
        }
        settings
    }

    fn filter(&self, _: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let list = |words: &[String]| HeaderValue::try_from(words.join(", ")).ok();
        let is_any = |words: &[String]| words.iter().any(|word| word == "*");
        let mut filter = Filter {
            origins: match is_any(&self.origins) {
                true => Origins::Any,
                false => {
                    Origins::These(self.origins.iter().map(|text| Pattern::new(text)).collect())
                }
            },
            methods: match &self.methods {
                Some(methods) if !is_any(methods) => {
                    let always = ["GET", "HEAD", "POST"].map(str::to_owned);
                    let more = methods.iter().filter(|method| !always.contains(method));
                    let all: Vec<String> = always.iter().chain(more).cloned().collect();
                    list(&all)
                }
                Some(_) | None => None,
            },
            headers: match (self.headers.is_empty(), is_any(&self.headers)) {
                (true, _) => None,
                (false, true) => Some(Fields::Any),
                (false, false) => list(&self.headers).map(Fields::These),
            },
            expose: match self.expose.is_empty() {
                true => None,
                false => list(&self.expose),
            },
            credentials: self.credentials,
            max_age: self.max_age_ms.map(|ms| HeaderValue::from(ms / 1_000)),
            private_network: self.private_network,
            preflights: Preflights::default(),
        };
        filter.prepare();
        Ok(Some(filter))
    }
}

// === impl Filter ===

impl Filter {
    /// Writes the CORS fields that every response to an allowed origin needs.
    fn open(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        let shown = match self.origins {
            Origins::Any => HeaderValue::from_static("*"),
            Origins::These(_) => origin.clone(),
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, shown);
        if self.credentials && !matches!(self.origins, Origins::Any) {
            let allowed = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
        }
    }

    /// Response to a preflight. If the origin is not allowed, the response has no CORS fields.
    fn answer(&self, head: &RequestHead) -> Reply {
        let headers = match self.origins.allowed(&head.headers) {
            None => self.preflights.foreign.clone(),
            Some(origin) => self.allowed(origin, &head.headers),
        };
        Reply {
            status: StatusCode::NO_CONTENT,
            headers,
            body: Bytes::new(),
            refusal: None,
        }
    }

    /// Fields of the response to a preflight of an allowed origin: the prepared fields, with the
    /// values that depend on the request.
    fn allowed(&self, origin: &HeaderValue, request: &HeaderMap) -> HeaderMap {
        let fields = match self.headers {
            Some(Fields::Any) => request
                .get(ACCESS_CONTROL_REQUEST_HEADERS)
                .filter(|list| is_field_list(list.as_bytes())),
            Some(Fields::These(_)) | None => None,
        };
        let mut headers = match fields {
            Some(_) => self.preflights.with_fields.clone(),
            None => self.preflights.plain.clone(),
        };
        let mut set = |name: &HeaderName, value: Option<&HeaderValue>| {
            if let (Some(place), Some(value)) = (headers.get_mut(name), value) {
                place.clone_from(value);
            }
        };
        if let Origins::These(_) = self.origins {
            set(&ACCESS_CONTROL_ALLOW_ORIGIN, Some(origin));
        }
        if self.methods.is_none() {
            let method = request.get(ACCESS_CONTROL_REQUEST_METHOD);
            set(&ACCESS_CONTROL_ALLOW_METHODS, method);
        }
        set(&ACCESS_CONTROL_ALLOW_HEADERS, fields);
        let private = request.get(REQUEST_PRIVATE_NETWORK);
        if self.private_network && private.is_some_and(|value| value == "true") {
            headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        headers
    }

    /// Prepares the fields of the responses to preflights. Values that depend on the request are
    /// empty, so that the fields keep their order.
    fn prepare(&mut self) {
        let mut foreign = HeaderMap::new();
        for name in [
            ORIGIN,
            ACCESS_CONTROL_REQUEST_METHOD,
            ACCESS_CONTROL_REQUEST_HEADERS,
        ] {
            foreign.append(VARY, HeaderValue::from(name));
        }
        let empty = HeaderValue::from_static("");
        let allowed = |fields: Option<&HeaderValue>| {
            let mut headers = foreign.clone();
            self.open(&empty, &mut headers);
            let methods = self.methods.as_ref().unwrap_or(&empty);
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
            for (name, value) in [
                (ACCESS_CONTROL_ALLOW_HEADERS, fields),
                (ACCESS_CONTROL_MAX_AGE, self.max_age.as_ref()),
            ] {
                if let Some(value) = value {
                    headers.insert(name, value.clone());
                }
            }
            headers
        };
        self.preflights = Preflights {
            plain: allowed(match &self.headers {
                Some(Fields::These(list)) => Some(list),
                Some(Fields::Any) | None => None,
            }),
            with_fields: allowed(Some(&empty)),
            foreign,
        };
    }
}

impl Run for Filter {
    fn decorates(&self) -> bool {
        true
    }

    fn before<'a>(&'a self, head: &RequestHead, cx: &mut Cx<'a>) {
        // A request that looks like a preflight but was not routed as a preflight is for an
        // operation without `cors`. Its response must not allow anything.
        let of_another = !cx.preflight && preflight(head).is_some();
        cx.page = match self.origins.allowed(&head.headers) {
            Some(origin) if !of_another => Page::Reads(origin.clone()),
            Some(_) | None => Page::Foreign,
        };
    }

    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        if !cx.preflight {
            return Step::Continue;
        }
        cx.page = Page::Preflight;
        Step::Reply(Box::new(self.answer(head)))
    }

    fn on_response<'a>(&'a self, head: &mut ResponseHead, cx: &mut Cx<'a>) {
        let headers = &mut head.headers;
        if let Page::Preflight = cx.page {
            return;
        }
        for name in &CORS_FIELDS {
            headers.remove(name);
        }
        if let Origins::These(_) = self.origins {
            vary_by_origin(headers);
        }
        let Page::Reads(origin) = &cx.page else {
            return;
        };
        self.open(origin, headers);
        if let Some(expose) = &self.expose {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }
}

/// CORS response fields. The gateway removes them from responses of the upstream.
static CORS_FIELDS: [HeaderName; 7] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    ALLOW_PRIVATE_NETWORK,
];

/// Adds `Vary: Origin`, so that a cache does not use the response to one origin for another (Fetch
/// standard, *CORS protocol and HTTP caches*).
fn vary_by_origin(headers: &mut HeaderMap) {
    let mut values = headers
        .get_all(VARY)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let varies =
        |name: &str| matches!(name.trim(), "*") || name.trim().eq_ignore_ascii_case("origin");
    if !values.any(|names| names.split(',').any(varies)) {
        headers.append(VARY, HeaderValue::from(ORIGIN));
    }
}

/// True if a value is a list of field names within the length limit.
fn is_field_list(text: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, \t".contains(byte);
    text.len() <= REQUESTED_BYTES_MAX && text.iter().all(fits)
}

// === impl Origins ===

impl Origins {
    /// Origin of the request, if the policy allows it. `None` for a request with two `Origin`
    /// fields.
    fn allowed<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let (origin, None) = (origins.next()?, origins.next()) else {
            return None;
        };
        let text = origin.to_str().ok()?;
        let allowed = match self {
            Self::Any => true,
            Self::These(patterns) => patterns.iter().any(|one| one.allows(text)),
        };
        allowed.then_some(origin)
    }
}

impl Pattern {
    fn new(text: &str) -> Self {
        match text.split_once("://*.") {
            Some((scheme, domain)) => {
                Self::Below(format!("{scheme}://").into(), format!(".{domain}").into())
            }
            None => Self::Exact(text.into()),
        }
    }

    fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Exact(one) => **one == *origin,
            Self::Below(scheme, end) => {
                let labels = origin
                    .strip_prefix(&**scheme)
                    .and_then(|host| host.strip_suffix(&**end));
                let is_label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
                labels.is_some_and(|labels| !labels.is_empty() && labels.bytes().all(is_label))
            }
        }
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape, checks and lints of `kind: cors` settings.

    use diag::shape::{Field, Object, Rule, Shape};
    use diag::{Diagnostic, Level, Lint, NodeRef, Sink, read};

    use super::Checked;
    use crate::forms;
    use crate::origin;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        r#"web: {kind: cors, origins: ["https://app.a.test"], methods: [PUT], headers: [X-H], expose: [X-I], credentials: true, max_age: 10m, private_network: true}"#,
    ];

    /// The keys of `kind: cors`.
    pub static SHAPE: Object = Object {
        what: "cross-origin requests of browsers",
        fields: &[
            Field::required(
                "origins",
                Shape::Several(&Shape::Form(&forms::ORIGIN)),
                "Origins whose pages may call; `https://*.example.org` for those below a domain, `*` for all.",
            ),
            Field::optional(
                "methods",
                Shape::Several(&Shape::Form(&forms::METHOD_OR_ANY)),
                "Methods in addition to GET, HEAD and POST; `*` for all. Default: those of the path.",
            ),
            Field::optional(
                "headers",
                Shape::List(&Shape::Form(&forms::FIELD_OR_ANY)),
                "Request header fields that pages may send; `*` for all. Default: only the \
CORS-safelisted ones.",
            ),
            Field::optional(
                "expose",
                Shape::List(&Shape::Form(&forms::FIELD_OR_ANY)),
                "Fields of the response that pages may read.",
            ),
            Field::optional(
                "credentials",
                Shape::Bool,
                "Allow pages to send cookies and the credentials that the browser stores. A page \
that sets `Authorization` itself needs the field in `headers` instead. Default: `false`.",
            ),
            Field::optional(
                "max_age",
                Shape::Duration,
                "Time for which a browser may cache the response to a preflight; browsers cache it \
for two hours at most. Default: 5s, the default of browsers.",
            ),
            Field::optional(
                "private_network",
                Shape::Bool,
                "Allow public pages to call this gateway in a private network. Default: `false`.",
            ),
        ],
        rules: &[Rule::Holds(names_origins)],
    };

    /// Lint: `cors` allows all origins together with credentials.
    pub static WILDCARD_WITH_CREDENTIALS: Lint = Lint {
        code: "GW0525",
        name: "wildcard-cors-with-credentials",
        level: Level::Error,
        summary: "every origin may call with the user's credentials",
        explain: "`*` with `credentials: true` would let every page act with the credentials of \
the user who opens it, so browsers refuse the combination (Fetch §3.2.5). Some gateways return the \
origin of the request instead of `*`, and so admit every page. `null` is the origin of sandboxed \
frames and files, which anybody can make. Name the origins.",
        bad: &[(
            "gateway.yaml",
            "version: 1\nname: s\npolicies: {web: {kind: cors, origins: [\"*\"], credentials: true}}\n",
        )],
        good: &[(
            "gateway.yaml",
            "version: 1\nname: s\npolicies: {web: {kind: cors, origins: [\"https://app.example.org\"], credentials: true}}\n",
        )],
    };

    fn names_origins(node: NodeRef<'_>, sink: &mut Sink) {
        let credentials = node
            .get("credentials")
            .filter(|value| value.as_bool() == Some(true));
        let Some(credentials) = credentials else {
            return;
        };
        let origins = node.get("origins").into_iter().flat_map(NodeRef::items);
        for origin in origins.filter(|origin| matches!(origin.scalar_text(), Some("*" | "null"))) {
            let shown = origin.scalar_text().unwrap_or_default();
            sink.push(
                Diagnostic::new(
                    &WILDCARD_WITH_CREDENTIALS,
                    origin.span(),
                    format!("`{shown}` cannot be combined with `credentials: true`"),
                )
                .label("every page could call with the user's credentials")
                .related(credentials.span(), "credentials are allowed here")
                .help("name the origins, for instance `https://app.example.org`"),
            );
        }
    }

    /// Reads settings from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let written = |key: &str| node.get(key).filter(|node| !node.is_null());
        let texts = |key: &str, spelt: fn(&str) -> String| {
            let texts = written(key)?.items().filter_map(NodeRef::scalar_text);
            let mut texts: Vec<String> = texts.map(spelt).collect();
            texts.sort();
            texts.dedup();
            Some(texts)
        };
        let flag = |key| written(key).and_then(NodeRef::as_bool).unwrap_or(false);
        let lower = |key| texts(key, str::to_ascii_lowercase).unwrap_or_default();
        Some(Checked {
            origins: texts("origins", origin::canonical)?,
            methods: texts("methods", str::to_owned),
            headers: lower("headers"),
            expose: lower("expose"),
            credentials: flag("credentials"),
            max_age_ms: written("max_age").and_then(|node| read::duration_ms(node).ok()),
            private_network: flag("private_network"),
        })
    }
}

#[cfg(test)]
mod tests;
