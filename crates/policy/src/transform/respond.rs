//! Fixed responses by the gateway in place of the upstream.
//!
//! ```yaml
//! policies:
//!   closed: {kind: respond, status: 503, body: "back at noon\n", headers: {Retry-After: "3600"}}
//! ```
//! The policy is the last step of a chain, so that all steps that may refuse the request have run.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Changes;
use crate::changes::Direction::{Moves, Status};
use crate::cx::Cx;
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::secret::SecretUnavailable;
use crate::step::{Reply, Run, Setting, Step};

/// A fixed response, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    #[n(0)]
    status: u16,
    #[n(1)]
    content_type: Option<String>,
    #[n(2)]
    body: String,
    /// Fields with names in lower case, sorted.
    #[n(3)]
    headers: Vec<(String, String)>,
}

/// A fixed response at run time.
#[derive(Debug)]
pub struct Filter {
    reply: Reply,
}

impl Checked {
    /// Status of the response.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }
}

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::new(change_rows! {
        "status": Status;
        "headers"."location" as "traffic-moved": Moves;
        "headers"."refresh" as "traffic-moved": Moves;
        "headers"."alt-svc" as "traffic-moved": Moves;
    });

    // A response runs in the last phase, after all steps that may refuse the request.
    fn phase(&self) -> Option<Phase> {
        Some(Phase::Route)
    }

    fn settings(&self) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let mut settings = Settings::default()
            .with(&["status"], Value::One(Scalar::Number(self.status.into())))
            .with(&["body"], text(&self.body));
        if let Some(content_type) = &self.content_type {
            settings = settings.with(&["content_type"], text(content_type));
        }
        for (name, value) in &self.headers {
            settings = settings.with(&["headers", name], text(value));
        }
        settings
    }

    fn filter(&self, _setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let fields = self.headers.iter().filter_map(|(name, value)| {
            Some((
                HeaderName::try_from(name.as_str()).ok()?,
                HeaderValue::try_from(value.as_str()).ok()?,
            ))
        });
        let mut headers: HeaderMap = fields.collect();
        if let Some(Ok(value)) = self.content_type.as_deref().map(HeaderValue::try_from) {
            headers.insert(CONTENT_TYPE, value);
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Ok(Some(Filter {
            reply: Reply {
                status,
                headers,
                body: Bytes::from(self.body.clone()),
                refusal: None,
            },
        }))
    }
}

impl Run for Filter {
    fn on_request<'a>(&'a self, _head: &mut RequestHead, _cx: &mut Cx<'a>) -> Step {
        Step::Reply(Box::new(self.reply.clone()))
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: respond` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Shape};
    use diag::{Diagnostic, NodeRef, Sink, read};
    use http::{HeaderName, HeaderValue};

    use super::Checked;

    /// The keys of `kind: respond`.
    pub static SHAPE: Object = Object {
        what: "an answer made by the gateway",
        rules: &[],
        fields: &[
            Field::optional(
                "status",
                Shape::Integer(200, 599),
                "Status of the response. Default: 200.",
            ),
            Field::optional("body", Shape::Text, "Body of the response."),
            Field::optional(
                "content_type",
                Shape::Text,
                "Media type of the body. Default: `text/plain; charset=utf-8`.",
            ),
            Field::optional(
                "headers",
                Shape::Table(&Shape::Text),
                "More fields of the response.",
            ),
        ],
    };

    /// Reads a response from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, sink: &mut Sink) -> Option<Checked> {
        let before = sink.findings().len();
        let text = |key: &str| {
            node.get(key)
                .and_then(NodeRef::scalar_text)
                .map(str::to_owned)
        };
        let status = match node.get("status").filter(|status| !status.is_null()) {
            Some(status) => u16::try_from(read::integer(status, 200, 599).ok()?).ok()?,
            None => 200,
        };
        let body = text("body").unwrap_or_default();
        let bodiless = matches!(status, 204 | 205 | 304);
        if let Some(node) = node.get("body").filter(|_| bodiless && !body.is_empty()) {
            sink.push(Diagnostic::new(
                &BAD_VALUE,
                node.span(),
                format!("a response with status {status} must not have a body (RFC 9110 §15)"),
            ));
        }
        let content_type = text("content_type")
            .or_else(|| (!body.is_empty()).then(|| "text/plain; charset=utf-8".to_owned()));
        if let (Some(value), Some(node)) = (&content_type, node.get("content_type"))
            && HeaderValue::try_from(value.as_str()).is_err()
        {
            sink.push(Diagnostic::new(
                &BAD_VALUE,
                node.span(),
                "this cannot be a field's value",
            ));
        }
        let mut headers = Vec::new();
        for (entry, value) in node.get("headers").into_iter().flat_map(NodeRef::entries) {
            let Ok(name) = HeaderName::try_from(&*entry.key) else {
                sink.push(Diagnostic::new(
                    &BAD_VALUE,
                    entry.key_span,
                    format!("`{}` is not a field name", entry.key.escape_debug()),
                ));
                continue;
            };
            if matches!(
                name.as_str(),
                "connection"
                    | "content-length"
                    | "content-type"
                    | "keep-alive"
                    | "proxy-connection"
                    | "te"
                    | "trailer"
                    | "transfer-encoding"
                    | "upgrade"
            ) {
                let help = match name.as_str() {
                    "content-type" => "write `content_type`",
                    _ => "remove it: gwd sets this field itself",
                };
                sink.push(
                    Diagnostic::new(
                        &BAD_VALUE,
                        entry.key_span,
                        format!("`{name}` cannot be set here"),
                    )
                    .help(help),
                );
                continue;
            }
            let value_text = value.scalar_text().unwrap_or_default();
            if HeaderValue::try_from(value_text).is_err() {
                sink.push(Diagnostic::new(
                    &BAD_VALUE,
                    value.span(),
                    "this cannot be a field's value",
                ));
                continue;
            }
            headers.push((name.as_str().to_owned(), value_text.to_owned()));
        }
        headers.sort();
        (sink.findings().len() == before).then_some(Checked {
            status,
            content_type,
            body,
            headers,
        })
    }
}
