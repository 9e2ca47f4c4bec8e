//! Refuses requests that a foreign page made a browser send: `Sec-Fetch-Site` and `Origin` tell
//! (W3C Fetch Metadata; RFC 6454).
//!
//! ```yaml
//! policies:
//!   own_pages: {kind: csrf, origins: ["https://app.example.org"]}
//! ```
//! GET, HEAD and OPTIONS pass: they must change nothing. Where a rewrite makes another method of
//! them, they do not. With other methods pass requests of a page
//! of the same origin or of an origin of the list, and requests without both fields, which no
//! browser of today sends: programs have no user's cookies. The scheme that the browser used is not
//! known behind a proxy, so that `Origin` is compared with `Host` by host and port.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Method};
use minicbor::{Decode, Encode};

use crate::cx::{Cx, Noted};
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::reject::Reject;
use crate::secret::SecretUnavailable;
use crate::step::{Run, Setting, Step};

/// A check for foreign pages as the bundle carries it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Origins whose pages may send, sorted.
    #[n(0)]
    origins: Vec<String>,
    /// Treatment of a request of a foreign page, if written. Default: [`Mode::Block`].
    #[n(1)]
    mode: Option<Mode>,
}

/// Treatment of a request that a policy would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Mode {
    /// Refused.
    #[n(0)]
    Block,
    /// Served; the refusal is logged and counted.
    #[n(1)]
    Log,
}

/// A check that runs.
#[derive(Debug)]
pub struct Filter {
    name: Box<str>,
    origins: Box<[Box<str>]>,
    logs: bool,
}

static DENIED: Reject = Reject {
    status: 403,
    code: "csrf_denied",
    title: "A page of another origin sent this request",
};

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

// === impl Checked ===

impl Policy for Checked {
    type Filter = Filter;

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
    /// True if a browser sent the request for a page that may not.
    fn is_foreign(&self, head: &RequestHead, sends_unsafe: bool) -> bool {
        let is_safe = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if is_safe && !sends_unsafe {
            return false;
        }
        let site = field(&head.headers, &SEC_FETCH_SITE);
        let origin = field(&head.headers, &ORIGIN);
        let own = match (site, origin) {
            (Field::None, Field::None) => true,
            // `none`: the user did it, with an address typed or a bookmark.
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
                cx.noted.push(Noted {
                    policy: &self.name,
                    reject: &DENIED,
                });
                Step::Continue
            }
            (true, false) => {
                cx.refund();
                Step::Reject(&DENIED)
            }
        }
    }
}

/// A field that occurs at most once.
#[derive(Clone, Copy)]
enum Field<'h> {
    None,
    One(&'h str),
    /// Several, or no text.
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

/// True if the origin has the host and port that the request names.
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

    /// The keys of `kind: csrf`.
    pub static SHAPE: Object = Object {
        what: "a check for foreign pages",
        fields: &[
            Field::optional(
                "origins",
                Shape::List(&Shape::Form(&forms::PLAIN_ORIGIN)),
                "Origins whose pages may send unsafe requests beside the API's own.",
            ),
            Field::optional(
                "mode",
                Shape::Word(&["log", "block"]),
                "`block` refuses such a request, `log` only logs and counts it. Default: `block`.",
            ),
        ],
        rules: &[],
    };

    /// Reads a node that fits [`SHAPE`].
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
    fn pages_are_judged_by_fetch_metadata_then_origin() {
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
    fn safe_method_that_is_rewritten_is_judged() {
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
    fn log_mode_notes_the_refusal_and_lets_pass() {
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
