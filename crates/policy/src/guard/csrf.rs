//! Cross-site request forgery (CSRF): refuses cross-site requests by `Sec-Fetch-Site` and `Origin`
//! (W3C Fetch Metadata, RFC 6454).
//!
//! ```yaml
//! policies:
//!   own_pages: {kind: csrf, origins: ["https://app.example.org"]}
//! ```
//! GET, HEAD and OPTIONS are allowed, because they must not change anything. This does not apply if
//! a policy rewrites the method. WebSocket handshakes are treated like unsafe methods: CORS does
//! not apply to them, so any page can open a WebSocket with the user's cookies (RFC 6455 §10.2).
//!
//! Other methods are allowed for pages of the same origin and of listed origins. Requests with
//! neither `Sec-Fetch-Site` nor `Origin` are allowed as well: current browsers always send one of
//! them, and other programs do not have the user's cookies. Behind a proxy the scheme in the
//! browser is unknown, so `Origin` is compared with `Host` by host and port only.

use http::header::{HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use http::{HeaderMap, HeaderName, Method};
use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Changes;
use crate::changes::Direction::Access;
use crate::cx::{Cx, LoggedRefusal};
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::protection::Protection;
use crate::reject::Reject;
use crate::secret::SecretUnavailable;
use crate::step::{Run, Setting, Step};

/// CSRF settings, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Origins whose pages may send unsafe requests, sorted.
    #[n(0)]
    origins: Vec<String>,
    /// Handling of cross-site requests. `None`: [`Mode::Block`].
    #[n(1)]
    mode: Option<Mode>,
}

/// Handling of a request that exceeds a policy's limit or fails its check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Mode {
    /// The request is refused.
    #[n(0)]
    Block,
    /// The request is served; the refusal is logged and counted.
    #[n(1)]
    Log,
}

/// CSRF check at run time.
#[derive(Debug)]
pub struct Filter {
    name: Box<str>,
    origins: Box<[Box<str>]>,
    logs: bool,
}

static DENIED: Reject = Reject::new(
    403,
    "csrf_denied",
    "A page of another origin sent this request",
)
.with_meaning("a page of another origin sent the request (`csrf`)")
.with_detail("Pages of the request's `Origin` may not send this request.");

static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

// === impl Checked ===

impl Policy for Checked {
    type Filter = Filter;

    const CHANGE_IDS: &'static [&'static str] = &["csrf-"];
    const CHANGES: Changes = Changes::new(change_rows! {
        "origins": Access;
        "mode": Access;
    });

    const PROTECTION: Option<Protection> = Some(Protection::Page);

    const REFUSALS: &'static [&'static Reject] = &[&DENIED];

    fn phase(&self) -> Option<Phase> {
        Some(Phase::Authorize)
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        if !self.origins.is_empty() {
            let origins = self.origins.iter().cloned().map(Scalar::Text).collect();
            settings = settings.with(&["origins"], Value::Set(origins));
        }
        let word = match self.mode {
            None => return settings,
            Some(Mode::Block) => "block",
            Some(Mode::Log) => "log",
        };
        settings.with(&["mode"], Value::One(Scalar::Text(word.to_owned())))
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let origins = self.origins.iter();
        Ok(Some(Filter {
            name: setting.name.into(),
            origins: origins.map(|origin| origin.as_str().into()).collect(),
            logs: self.mode == Some(Mode::Log),
        }))
    }
}

// === impl Filter ===

impl Filter {
    /// True if a browser sent the request for a page of an origin that is not allowed.
    fn is_foreign(&self, head: &RequestHead, sends_unsafe: bool) -> bool {
        let is_safe = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if is_safe && !sends_unsafe && !is_handshake(&head.headers) {
            return false;
        }
        let site = field(&head.headers, &SEC_FETCH_SITE);
        let origin = field(&head.headers, &ORIGIN);
        let own = match (site, origin) {
            (Field::None, Field::None) => true,
            // Browsers send `none` if the user started the request, with a typed address or a
            // bookmark.
            (Field::One("same-origin" | "none"), _) => true,
            (Field::None, Field::One(origin)) => is_same_host(origin, head),
            _ => false,
        };
        let listed = |origin: &str| self.origins.iter().any(|one| **one == *origin);
        !own && !matches!(origin, Field::One(origin) if listed(origin))
    }
}

impl Run for Filter {
    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        match (self.is_foreign(head, cx.sends_unsafe), self.logs) {
            (false, _) => Step::Continue,
            (true, true) => {
                cx.noted.push(LoggedRefusal {
                    policy: &self.name,
                    reject: &DENIED,
                });
                Step::Continue
            }
            (true, false) => {
                cx.refund_quotas();
                Step::Reject(&DENIED)
            }
        }
    }
}

/// True for a WebSocket handshake, over HTTP/1.1 or HTTP/2. Looks for `Sec-` fields, because gwd
/// has already removed `Upgrade`, and pages cannot set or remove `Sec-` fields.
fn is_handshake(headers: &HeaderMap) -> bool {
    let modes = headers.get_all(&SEC_FETCH_MODE);
    headers.contains_key(SEC_WEBSOCKET_KEY)
        || headers.contains_key(SEC_WEBSOCKET_VERSION)
        || modes.iter().any(|mode| mode == "websocket")
}

/// Value of a field that may occur at most once.
#[derive(Clone, Copy)]
enum Field<'h> {
    None,
    One(&'h str),
    /// The field occurs several times, or its value is not a string.
    Unclear,
}

fn field<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Field<'h> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (None, _) => Field::None,
        (Some(Ok(text)), None) => Field::One(text),
        _ => Field::Unclear,
    }
}

/// True if the origin has the host and port of the request's `Host`.
fn is_same_host(origin: &str, head: &RequestHead) -> bool {
    let Some((scheme, named)) = origin.split_once("://") else {
        return false;
    };
    let usual = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or(&head.host);
    let bare = |text: &str| {
        text.strip_suffix(usual)
            .unwrap_or(text)
            .to_ascii_lowercase()
    };
    bare(named) == bare(host)
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: csrf` settings.

    use diag::shape::{Field, Object, Shape};
    use diag::{NodeRef, Sink};

    use super::{Checked, Mode};
    use crate::forms;
    use crate::origin;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] =
        &[r#"forms: {kind: csrf, origins: ["https://app.a.test"], mode: log}"#];

    /// The keys of `kind: csrf`.
    pub static SHAPE: Object = Object {
        what: "protection against cross-site request forgery",
        fields: &[
            Field::optional(
                "origins",
                Shape::List(&Shape::Form(&forms::PLAIN_ORIGIN)),
                "Origins whose pages may send unsafe requests and open WebSockets in addition to the API's own origin.",
            ),
            Field::optional(
                "mode",
                Shape::Word(&["log", "block"]),
                "`block` refuses such a request, `log` only logs and counts it. Default: `block`.",
            ),
        ],
        rules: &[],
    };

    /// Reads settings from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let origins = node.get("origins").filter(|node| !node.is_null());
        let origins = origins.into_iter().flat_map(NodeRef::items);
        let origins = origins.filter_map(NodeRef::scalar_text);
        let mut origins: Vec<String> = origins.map(origin::canonical).collect();
        origins.sort();
        origins.dedup();
        let mode = node.get("mode").and_then(NodeRef::scalar_text);
        Some(Checked {
            origins,
            mode: mode.map(|word| match word {
                "log" => Mode::Log,
                _ => Mode::Block,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cx::tests::{filter, head, with_cx};

    fn checked(mode: Option<Mode>) -> Checked {
        Checked {
            origins: vec!["https://app.example".into()],
            mode,
        }
    }

    fn refused(method: Method, fields: &[(&'static str, &str)]) -> bool {
        let filter = filter(&checked(None));
        let mut head = head("/");
        head.method = method;
        for (name, value) in fields {
            let name = HeaderName::from_static(name);
            head.headers.append(name, value.parse().unwrap());
        }
        with_cx(|cx| matches!(filter.on_request(&mut head, cx), Step::Reject(_)))
    }

    #[test]
    fn pages_are_checked_by_fetch_metadata_then_origin() {
        let host = ("host", "shop.example:8443");
        let site = |word| ("sec-fetch-site", word);
        let origin = |text| ("origin", text);
        let (evil, app) = (
            origin("https://evil.example"),
            origin("https://app.example"),
        );
        for (fields, expected) in [
            (vec![], false),
            (vec![site("same-origin")], false),
            (vec![site("none")], false),
            (vec![site("cross-site")], true),
            (vec![site("same-site")], true),
            (vec![site("same-origin"), evil], false),
            (vec![site("cross-site"), app], false),
            (vec![site("cross-site"), evil], true),
            (vec![site("cross-site"), origin("null")], true),
            (vec![site("same-origin"), site("cross-site")], true),
            (vec![site("unheard-of")], true),
            (vec![host, origin("https://shop.example:8443")], false),
            (vec![host, origin("http://shop.example:8443")], false),
            (vec![host, origin("https://shop.example")], true),
            (vec![origin("https://shop.example")], false),
            (vec![origin("https://shop.example:443")], false),
            (vec![origin("https://shop.example.evil.example")], true),
            (vec![app], false),
            (vec![app, evil], true),
            (vec![origin("null")], true),
            (vec![origin("")], true),
        ] {
            assert_eq!(refused(Method::POST, &fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn methods_that_change_nothing_pass() {
        let foreign = [("sec-fetch-site", "cross-site")];
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert!(!refused(method, &foreign));
        }
        for method in [Method::PUT, Method::DELETE, Method::PATCH] {
            assert!(refused(method, &foreign));
        }
    }

    #[test]
    fn websocket_handshakes_are_checked() {
        let evil = ("origin", "https://evil.example");
        let own = ("origin", "https://app.example");
        let foreign = ("sec-fetch-site", "cross-site");
        for sign in [
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("sec-fetch-mode", "websocket"),
        ] {
            assert!(refused(Method::GET, &[sign, evil]), "{sign:?}");
            assert!(refused(Method::GET, &[sign, foreign]), "{sign:?}");
            assert!(!refused(Method::GET, &[sign, own, foreign]), "{sign:?}");
            assert!(!refused(Method::GET, &[sign]), "{sign:?}");
        }
        assert!(!refused(Method::GET, &[("sec-fetch-mode", "cors"), evil]));
    }

    #[test]
    fn safe_method_that_is_rewritten_is_checked() {
        let filter = filter(&checked(None));
        for (sends_unsafe, expected) in [(false, false), (true, true)] {
            let mut head = head("/");
            let foreign = "cross-site".parse().unwrap();
            head.headers.insert(&SEC_FETCH_SITE, foreign);
            let refused = with_cx(|cx| {
                cx.sends_unsafe = sends_unsafe;
                matches!(filter.on_request(&mut head, cx), Step::Reject(_))
            });
            assert_eq!(refused, expected);
        }
    }

    #[test]
    fn log_mode_records_the_refusal_and_continues() {
        let filter = filter(&checked(Some(Mode::Log)));
        let mut head = head("/");
        head.method = Method::POST;
        let foreign = "cross-site".parse().unwrap();
        head.headers.insert(&SEC_FETCH_SITE, foreign);
        with_cx(|cx| {
            assert!(matches!(filter.on_request(&mut head, cx), Step::Continue));
            let noted = cx.noted.iter().map(|one| (one.policy, one.reject.code));
            assert_eq!(noted.collect::<Vec<_>>(), [("it", "csrf_denied")]);
        });
    }
}
