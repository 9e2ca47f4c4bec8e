//! Redirects (RFC 9110 §15.4).
//!
//! ```yaml
//! policies:
//!   to_https: {kind: redirect, status: 308, scheme: https}
//! ```
//! In `path`, `{path}` is replaced by the path that the client requested, and `{NAME}` by a path
//! parameter. If a key is not set, its part of the URL is unchanged. Without `scheme`, `Location`
//! has no scheme, so that the client keeps its scheme (RFC 9110 §10.2.2).

use http::StatusCode;
use http::header::{HOST, HeaderMap, HeaderValue, LOCATION};
use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Changes;
use crate::changes::Direction::Moves;
use crate::cx::Cx;
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::path_text::PathText;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::secret::SecretUnavailable;
use crate::step::{Reject, Reply, Run, Setting, Step};

/// A redirect, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Status: 301, 302, 303, 307 or 308. Default: 308.
    #[n(0)]
    status: Option<u16>,
    /// New scheme: `http` or `https`. `None`: unchanged.
    #[n(1)]
    scheme: Option<String>,
    /// New host name. `None`: unchanged.
    #[n(2)]
    host: Option<String>,
    /// New port. `None`: unchanged, or the default port of a new scheme.
    #[n(3)]
    port: Option<u16>,
    /// New path. `None`: unchanged.
    #[n(4)]
    path: Option<PathText>,
    /// True if `Location` keeps the query of the request. Default: true.
    #[n(5)]
    keep_query: Option<bool>,
}

/// A redirect at run time.
#[derive(Debug)]
pub struct Filter {
    status: StatusCode,
    scheme: Option<Box<str>>,
    host: Option<Box<str>>,
    port: Option<u16>,
    path: Option<PathText>,
    keep_query: bool,
}

static UNFILLED: Reject = Reject::new(500, "redirect_failed", "The redirect has no valid target")
    .with_meaning("a `redirect` has no valid target");

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::new(change_rows! {
        "scheme" as "traffic-moved": Moves;
        "host" as "traffic-moved": Moves;
        "port" as "traffic-moved": Moves;
        "path" as "traffic-moved": Moves;
        "status" as "traffic-moved": Moves;
        "keep_query" as "traffic-moved": Moves;
    });

    const REFUSALS: &'static [&'static Reject] = &[&UNFILLED];

    // A redirect runs after all steps that may refuse the request.
    fn phase(&self) -> Option<Phase> {
        Some(Phase::Route)
    }

    fn settings(&self) -> Settings {
        let Self {
            status,
            scheme,
            host,
            port,
            path,
            keep_query,
        } = self;
        let text = |text: &String| Scalar::Text(text.clone());
        let path = path.as_ref().map(|path| path.as_str().to_owned());
        let written = [
            (
                "status",
                status.map(|status| Scalar::Text(status.to_string())),
            ),
            ("scheme", scheme.as_ref().map(text)),
            ("host", host.as_ref().map(text)),
            ("port", port.map(|port| Scalar::Number(port.into()))),
            ("path", path.map(Scalar::Text)),
            ("keep_query", keep_query.map(Scalar::Flag)),
        ];
        let mut settings = Settings::default();
        for (key, scalar) in written {
            if let Some(scalar) = scalar {
                settings = settings.with(&[key], Value::One(scalar));
            }
        }
        settings
    }

    fn filter(&self, _setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let status = self
            .status
            .and_then(|status| StatusCode::from_u16(status).ok());
        Ok(Some(Filter {
            status: status.unwrap_or(StatusCode::PERMANENT_REDIRECT),
            scheme: self.scheme.as_deref().map(Box::from),
            host: self.host.as_deref().map(Box::from),
            port: self.port,
            path: self.path.clone(),
            keep_query: self.keep_query.unwrap_or(true),
        }))
    }

    fn path_text(&self) -> Option<&PathText> {
        self.path.as_ref()
    }
}

impl Filter {
    /// Value of `Location`. `None` if the request's path lacks a parameter of the template.
    fn location(&self, head: &RequestHead, cx: &Cx<'_>) -> Option<HeaderValue> {
        let path = match &self.path {
            Some(text) => text.fill(head.path(), head.path(), cx).ok()?,
            None => head.path().to_owned(),
        };
        let elsewhere = self.scheme.is_some() || self.host.is_some() || self.port.is_some();
        let mut location = String::with_capacity(path.len() + 64);
        // Write the host if the path begins with `//`, because clients would read such a path as a
        // host.
        if elsewhere || path.starts_with("//") {
            if let Some(scheme) = &self.scheme {
                location.push_str(scheme);
                location.push(':');
            }
            location.push_str("//");
            location.push_str(self.host.as_deref().unwrap_or(&head.host));
            // Keep the port of the request only if the scheme is unchanged.
            let own = || port_of(head).filter(|_| self.scheme.is_none());
            if let Some(port) = self.port.or_else(own) {
                location.push(':');
                location.push_str(&port.to_string());
            }
        }
        location.push_str(&path);
        if let Some(query) = head.query().filter(|_| self.keep_query) {
            location.push('?');
            location.push_str(query);
        }
        HeaderValue::try_from(location).ok()
    }
}

fn port_of(head: &RequestHead) -> Option<u16> {
    let host = head.headers.get(HOST)?.to_str().ok()?;
    let (_, port) = host.rsplit_once(':')?;
    port.parse().ok()
}

impl Run for Filter {
    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        let Some(location) = self.location(head, cx) else {
            return Step::Reject(&UNFILLED);
        };
        Step::Reply(Box::new(Reply {
            status: self.status,
            headers: HeaderMap::from_iter([(LOCATION, location)]),
            body: bytes::Bytes::new(),
            refusal: None,
        }))
    }

    fn reads_path(&self) -> bool {
        self.path.as_ref().is_some_and(PathText::reads_path)
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: redirect` settings.

    use diag::shape::{Field, Object, Rule, Shape};
    use diag::{NodeRef, Sink, read};

    use super::Checked;

    use crate::forms;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        r#"moved: {kind: redirect, status: "302", scheme: https, host: new.test, port: 8443, path: "/new{path}", keep_query: false}"#,
    ];

    /// The keys of `kind: redirect`.
    pub static SHAPE: Object = Object {
        what: "target of a redirect",
        fields: &[
            Field::optional(
                "status",
                Shape::Word(&["301", "302", "303", "307", "308"]),
                "Status of the response. Default: 308.",
            ),
            Field::optional(
                "scheme",
                Shape::Word(&["http", "https"]),
                "New scheme. Default: unchanged.",
            ),
            Field::optional(
                "host",
                Shape::Form(&forms::HOST_NAME),
                "New host. Default: unchanged.",
            ),
            Field::optional(
                "port",
                Shape::Integer(1, 65_535),
                "New port. Default: unchanged, or the default port of a new scheme.",
            ),
            Field::optional(
                "path",
                Shape::Form(&forms::PATH_TEMPLATE),
                "New path; it can contain `{path}` and path parameters. Default: unchanged.",
            ),
            Field::optional(
                "keep_query",
                Shape::Bool,
                "Keep the query. Default: `true`.",
            ),
        ],
        rules: &[Rule::AnyOf(&["scheme", "host", "port", "path"])],
    };

    /// Reads a redirect from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, sink: &mut Sink) -> Option<Checked> {
        let written = |key: &str| node.get(key).filter(|value| !value.is_null());
        let text = |key: &str| Some(written(key)?.scalar_text()?.to_owned());
        Some(Checked {
            status: text("status").and_then(|status| status.parse().ok()),
            scheme: text("scheme"),
            host: text("host").map(|host| host.to_ascii_lowercase()),
            port: written("port")
                .and_then(|port| read::integer(port, 1, 65_535).ok())
                .and_then(|port| u16::try_from(port).ok()),
            path: written("path").map_or(Some(None), |path| {
                crate::path_text::author::read(path, sink).map(Some)
            })?,
            keep_query: written("keep_query").and_then(NodeRef::as_bool),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cx::tests::{head, with_cx};

    fn to(change: impl Fn(&mut Filter), target: &str, host: &str) -> String {
        let mut filter = Filter {
            status: StatusCode::PERMANENT_REDIRECT,
            scheme: None,
            host: None,
            port: None,
            path: None,
            keep_query: true,
        };
        change(&mut filter);
        let mut head = head(target);
        head.headers
            .insert(HOST, HeaderValue::try_from(host).unwrap());
        with_cx(|cx| match filter.on_request(&mut head, cx) {
            Step::Reply(reply) => reply.headers[LOCATION].to_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn unset_keys_leave_the_url_unchanged() {
        let host = "shop.example:8080";
        let https = |filter: &mut Filter| filter.scheme = Some("https".into());
        assert_eq!(to(https, "/a?b=1", host), "https://shop.example/a?b=1");
        let port = |filter: &mut Filter| filter.port = Some(8443);
        assert_eq!(to(port, "/a", host), "//shop.example:8443/a");
        let other = |filter: &mut Filter| filter.host = Some("new.example".into());
        assert_eq!(to(other, "/a", host), "//new.example:8080/a");
        let path = |filter: &mut Filter| {
            filter.path = PathText::parse("/v2{path}");
            filter.keep_query = false;
        };
        assert_eq!(to(path, "/a?b=1", host), "/v2/a");
    }

    #[test]
    fn two_slashes_do_not_send_the_client_to_another_host() {
        let path = |filter: &mut Filter| filter.path = PathText::parse("{path}");
        let location = to(path, "//evil.example/x", "shop.example");
        assert_eq!(location, "//shop.example//evil.example/x");
    }
}
