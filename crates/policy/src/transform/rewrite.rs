//! Rewrites of the request to the upstream: path, query, host, method.
//!
//! ```yaml
//! policies:
//!   below: {kind: rewrite, path: "/internal{path}", query: {remove: [debug]}}
//! ```
//! In `path`, `{path}` is replaced by the path that would otherwise follow the target's path, and
//! `{NAME}` by a path parameter. Both are inserted without decoding. Several rewrites in a chain
//! apply one after another. Routing, authorisation and logs use the client's original request.

use std::borrow::Cow;

use http::{HeaderValue, Method};
use minicbor::{Decode, Encode};

use crate::auth;
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
use crate::step::{Reject, Run, Setting, Step};

/// A rewrite, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Path to append to the target's path. `None`: unchanged.
    #[n(0)]
    path: Option<PathText>,
    /// Changes to the query. `None`: unchanged.
    #[n(1)]
    query: Option<Query>,
    /// New value of `Host` for the upstream. `None`: unchanged.
    #[n(2)]
    host: Option<String>,
    /// New method. `None`: unchanged.
    #[n(3)]
    method: Option<String>,
}

/// Changes to a query, applied in this order: remove, set, add.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Query {
    /// Names of removed parameters, sorted.
    #[n(0)]
    remove: Vec<String>,
    /// Names and values that replace parameters, sorted.
    #[n(1)]
    set: Vec<(String, String)>,
    /// Names and values of added parameters, sorted.
    #[n(2)]
    add: Vec<(String, String)>,
}

/// A rewrite at run time.
#[derive(Debug)]
pub struct Filter {
    path: Option<PathText>,
    query: Option<Query>,
    host: Option<HeaderValue>,
    method: Option<Method>,
}

static UNFILLED: Reject = Reject::new(500, "rewrite_failed", "The path cannot be rewritten")
    .with_meaning("a `rewrite` gives no valid path");

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::of_traffic(change_rows! {
        "path": Moves;
        "host": Moves;
        "method": Moves;
        "query": Moves;
    });

    const REFUSALS: &'static [&'static Reject] = &[&UNFILLED];

    // Rewrites run in the phase `route`.
    fn phase(&self) -> Option<Phase> {
        Some(Phase::Route)
    }

    fn settings(&self) -> Settings {
        let Self {
            path,
            query,
            host,
            method,
        } = self;
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let texts = [
            ("path", path.as_ref().map(PathText::as_str)),
            ("host", host.as_deref()),
            ("method", method.as_deref()),
        ];
        let mut settings = Settings::default();
        for (key, value) in texts {
            if let Some(value) = value {
                settings = settings.with(&[key], text(value));
            }
        }
        let Some(query) = query else {
            return settings;
        };
        let Query { remove, set, add } = query;
        if remove.is_empty() && set.is_empty() && add.is_empty() {
            return settings.with(&["query"], Value::Empty);
        }
        if !remove.is_empty() {
            let all = remove.iter().cloned().map(Scalar::Text).collect();
            settings = settings.with(&["query", "remove"], Value::Set(all));
        }
        for (key, pairs) in [("set", set), ("add", add)] {
            let named = pairs
                .iter()
                .map(|(name, value)| (name.as_str(), text(value)));
            settings = settings.with_each(&["query", key], named);
        }
        settings
    }

    fn filter(&self, _setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let host = self.host.as_deref();
        let method = self.method.as_deref();
        Ok(Some(Filter {
            path: self.path.clone(),
            query: self.query.clone(),
            host: host.and_then(|host| HeaderValue::try_from(host).ok()),
            method: method.and_then(|method| Method::try_from(method).ok()),
        }))
    }

    fn path_text(&self) -> Option<&PathText> {
        self.path.as_ref()
    }
}

impl Run for Filter {
    fn depends_on_query(&self) -> bool {
        self.query.is_some()
    }

    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        let mut rewritten = cx.rewritten.take().unwrap_or_default();
        if let Some(text) = &self.path {
            let otherwise = head.path().get(cx.stripped..).unwrap_or_default();
            let path = rewritten.path.as_deref().unwrap_or(otherwise);
            match text.fill(head.path(), path, cx) {
                Ok(path) => rewritten.path = Some(path),
                Err(_) => return Step::Reject(&UNFILLED),
            }
        }
        if let Some(query) = &self.query {
            let before = rewritten.query.as_deref().or(head.query());
            rewritten.query = Some(query.changed(before.unwrap_or_default()));
        }
        rewritten.host = self.host.clone().or(rewritten.host);
        rewritten.method = self.method.clone().or(rewritten.method);
        cx.rewritten = Some(rewritten);
        Step::Continue
    }

    fn sends_unsafe(&self) -> bool {
        let method = self.method.as_ref();
        method
            .is_some_and(|method| !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS))
    }

    fn reads_path(&self) -> bool {
        self.path.as_ref().is_some_and(PathText::reads_path)
    }
}

impl Query {
    fn changed(&self, query: &str) -> String {
        let names = self.set.iter().map(|(name, _)| name);
        let mut kept = Cow::Borrowed(query);
        for name in self.remove.iter().chain(names) {
            if let Some(without) = auth::without(&kept, name) {
                kept = Cow::Owned(without);
            }
        }
        let kept = kept.split('&').filter(|pair| !pair.is_empty());
        let mut changed = String::with_capacity(query.len() + 16);
        kept.for_each(|pair| push(&mut changed, pair));
        for (name, value) in self.set.iter().chain(&self.add) {
            push(
                &mut changed,
                &format!("{}={}", escaped(name), escaped(value)),
            );
        }
        changed
    }
}

fn push(query: &mut String, pair: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(pair);
}

/// Percent-encodes all bytes except unreserved characters (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => {
                let _infallible = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: rewrite` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink};

    use super::{Checked, Query};

    use crate::forms;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        r#"inner: {kind: rewrite, path: "/in{path}", query: {set: {a: "1"}, add: {b: "2"}, remove: [c]}, host: in.test, method: POST}"#,
    ];

    /// The keys of `kind: rewrite` and of the field `rewrite`.
    pub static SHAPE: Object = Object {
        what: "a rewrite",
        fields: &[
            Field::optional(
                "path",
                Shape::Form(&forms::PATH_TEMPLATE),
                "New path, which is appended to the target's path; it can contain `{path}` and path parameters. Default: unchanged.",
            ),
            Field::optional("query", Shape::Object(&QUERY), "Changes to the query."),
            Field::optional(
                "host",
                Shape::Form(&forms::HOST),
                "Host of the request. Default: `host_header` of the upstream applies.",
            ),
            Field::optional(
                "method",
                Shape::Form(&forms::METHOD),
                "Method of the request. Default: unchanged.",
            ),
        ],
        rules: &[
            Rule::AnyOf(&["path", "query", "host", "method"]),
            Rule::Holds(refuse_methods),
        ],
    };

    static QUERY: Object = Object {
        what: "changes to a query",
        fields: &[
            Field::optional(
                "set",
                Shape::Table(&Shape::Text),
                "Parameters to set; those of the same name are replaced.",
            ),
            Field::optional(
                "add",
                Shape::Table(&Shape::Text),
                "Parameters to add; those of the same name stay.",
            ),
            Field::optional("remove", Shape::List(&Shape::Text), "Parameters to remove."),
        ],
        rules: &[],
    };

    /// Methods to which a request cannot be rewritten. HEAD: a response to it has a length but no
    /// body. CONNECT and TRACE: the gateway does not serve them.
    const REFUSED: [&str; 3] = ["HEAD", "CONNECT", "TRACE"];

    fn refuse_methods(node: NodeRef<'_>, sink: &mut Sink) {
        let method = node.get("method");
        let refused = method.filter(|node| {
            let method = node.scalar_text().unwrap_or_default();
            REFUSED.contains(&method)
        });
        if let Some(method) = refused {
            let text = method.scalar_text().unwrap_or_default();
            sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    method.span(),
                    format!("a request cannot be rewritten to `{text}`"),
                )
                .help("write a method whose responses have a body: `GET`, `POST`, `PUT`, …"),
            );
        }
    }

    /// Reads a rewrite from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, sink: &mut Sink) -> Option<Checked> {
        let written = |key: &str| node.get(key).filter(|value| !value.is_null());
        let text = |key: &str| Some(written(key)?.scalar_text()?.to_owned());
        Some(Checked {
            path: written("path").map_or(Some(None), |path| {
                crate::path_text::author::read(path, sink).map(Some)
            })?,
            query: written("query").map(query),
            host: text("host").map(|host| host.to_ascii_lowercase()),
            method: text("method"),
        })
    }

    fn query(node: NodeRef<'_>) -> Query {
        let pairs = |key: &str| {
            let entries = node.get(key).into_iter().flat_map(NodeRef::entries);
            let mut pairs: Vec<(String, String)> = entries
                .filter_map(|(entry, value)| {
                    Some((entry.key.to_string(), value.scalar_text()?.to_owned()))
                })
                .collect();
            pairs.sort();
            pairs
        };
        let items = node.get("remove").into_iter().flat_map(NodeRef::items);
        let mut remove: Vec<String> = items
            .filter_map(|item| Some(item.scalar_text()?.to_owned()))
            .collect();
        remove.sort();
        remove.dedup();
        Query {
            remove,
            set: pairs("set"),
            add: pairs("add"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cx::tests::{head, with_cx};

    fn query(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> Query {
        let pairs = |all: &[(&str, &str)]| {
            let all = all.iter();
            all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        Query {
            remove: remove.iter().map(|name| (*name).to_owned()).collect(),
            set: pairs(set),
            add: pairs(add),
        }
    }

    #[test]
    fn query_parameters_are_edited_by_decoded_name() {
        let change = query(&["debug"], &[("v", "2 3")], &[("tag", "a&b")]);
        assert_eq!(
            change.changed("x=1&%64ebug=1&v=1&tag=t&v=9&debug"),
            "x=1&tag=t&v=2%203&tag=a%26b"
        );
        assert_eq!(query(&["a"], &[], &[]).changed("a=1"), "");
        assert_eq!(
            change.changed("[debug]=1&%5Bv%5D[x]=9&]v=9&debug]=1&!v=9&x=1"),
            "x=1&v=2%203&tag=a%26b"
        );
    }

    #[test]
    fn rewrites_of_a_chain_apply_in_order() {
        let rewrite = |path: &str| Filter {
            path: PathText::parse(path),
            query: None,
            host: None,
            method: None,
        };
        let (first, second) = (rewrite("/in{path}"), rewrite("/v2{path}"));
        with_cx(|cx| {
            cx.stripped = 3;
            let mut head = head("/v1/orders?x=1");
            assert!(matches!(first.on_request(&mut head, cx), Step::Continue));
            assert!(matches!(second.on_request(&mut head, cx), Step::Continue));
            let rewritten = cx.rewritten.take().unwrap();
            assert_eq!(rewritten.path.as_deref(), Some("/v2/in/orders"));
            assert_eq!(rewritten.query, None);
            assert_eq!(head.path(), "/v1/orders", "the client's own stays");
        });
    }
}
