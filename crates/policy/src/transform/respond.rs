//! Fixed responses by the gateway in place of the upstream.
//!
//! ```yaml
//! policies:
//!   closed: {kind: respond, status: 503, body: "back at noon\n", headers: {Retry-After: "3600"}}
//! ```
//! The policy is the last step of a chain, so that all steps that may refuse the request have run.
//!
//! gwc also makes such policies for `serve_document`: the body is then a document of the bundle,
//! with an entity tag (RFC 9110 §8.8.3).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Changes;
use crate::changes::Direction::{Moves, Other, Status};
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
    /// SHA-256 of the document of the bundle that is the body. `None`: the body is
    /// [`Self::body`].
    #[n(4)]
    document: Option<DocumentDigest>,
}

/// SHA-256 of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct DocumentDigest(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub [u8; 32],
);

/// A fixed response at run time.
#[derive(Debug)]
pub struct Filter {
    reply: Reply,
    /// Response with status 304 for a request whose `If-None-Match` matches the document's entity
    /// tag. `None` for a response without entity tag.
    not_modified: Option<Reply>,
}

/// Feature that a gateway needs for a response whose body is a document of the bundle.
const DOCUMENT: &str = "policy:respond:document";

impl Checked {
    /// Response with a document of the bundle. `headers` are pairs of a name in lower case and a
    /// value, sorted.
    #[must_use]
    pub fn document(digest: [u8; 32], content_type: &str, headers: Vec<(String, String)>) -> Self {
        Self {
            status: 200,
            content_type: Some(content_type.to_owned()),
            body: String::new(),
            headers,
            document: Some(DocumentDigest(digest)),
        }
    }

    /// SHA-256 of the document of the bundle that is the body. `None` if the body is not a
    /// document.
    #[must_use]
    pub fn document_digest(&self) -> Option<&[u8; 32]> {
        self.document.as_ref().map(|digest| &digest.0)
    }

    /// Status of the response.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }
}

impl Policy for Checked {
    type Filter = Filter;

    const FEATURES: &'static [&'static str] = &[DOCUMENT];

    const CHANGE_IDS: &'static [&'static str] = &["response-field-"];
    const CHANGES: Changes = Changes::new(change_rows! {
        "status": Status;
        "headers"."location" as "traffic-moved": Moves;
        "headers"."refresh" as "traffic-moved": Moves;
        "headers"."alt-svc" as "traffic-moved": Moves;
        "document" as "document-changed": Other;
    });

    // A response runs after all steps that may refuse the request.
    fn phase(&self) -> Option<Phase> {
        Some(Phase::Route)
    }

    fn settings(&self) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let status = Value::One(Scalar::Number(self.status.into()));
        let mut settings = Settings::default().with(&["status"], status);
        settings = match &self.document {
            Some(digest) => settings.with(&["document"], text(&digest.text())),
            None => settings.with(&["body"], text(&self.body)),
        };
        if let Some(content_type) = &self.content_type {
            settings = settings.with(&["content_type"], text(content_type));
        }
        let fields = self.headers.iter();
        let fields = fields.map(|(name, value)| (name.as_str(), text(value)));
        settings.with_each(&["headers"], fields)
    }

    fn feature(&self) -> Option<&'static str> {
        self.document.map(|_| DOCUMENT)
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
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
        let Some(digest) = &self.document else {
            let body = Bytes::from(self.body.clone());
            return Ok(Some(Filter {
                reply: reply(status, headers, body),
                not_modified: None,
            }));
        };
        headers.insert(ETAG, digest.etag());
        let mut kept = headers.clone();
        kept.remove(CONTENT_TYPE);
        // The crate `engine` refuses bundles that lack the document.
        let document = setting.documents.get(&digest.0);
        let body = document.map_or_else(Bytes::new, |one| Bytes::from_owner(Arc::clone(one)));
        Ok(Some(Filter {
            reply: reply(status, headers, body),
            not_modified: Some(reply(StatusCode::NOT_MODIFIED, kept, Bytes::new())),
        }))
    }
}

fn reply(status: StatusCode, headers: HeaderMap, body: Bytes) -> Reply {
    Reply {
        status,
        headers,
        body,
        refusal: None,
    }
}

impl Run for Filter {
    fn on_request<'a>(&'a self, head: &mut RequestHead, _cx: &mut Cx<'a>) -> Step {
        let reply = match &self.not_modified {
            Some(not_modified) if matches(head, self.reply.headers.get(ETAG)) => not_modified,
            _ => &self.reply,
        };
        Step::Reply(Box::new(reply.clone()))
    }
}

/// True if `If-None-Match` of a GET or HEAD request has the entity tag or is `*` (RFC 9110
/// §13.1.2). Tags are compared weakly.
fn matches(head: &RequestHead, etag: Option<&HeaderValue>) -> bool {
    let Some(etag) = etag.map(HeaderValue::as_bytes) else {
        return false;
    };
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return false;
    }
    let values = head.headers.get_all(IF_NONE_MATCH).into_iter();
    // Splitting at commas is safe: the tag of a document contains no comma, so only a whole tag can
    // equal it.
    let mut tags = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tags.any(|tag| {
        let tag = tag.trim_ascii();
        tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag
    })
}

// === impl DocumentDigest ===

impl DocumentDigest {
    /// Digest as `sha256:` with 64 hexadecimal digits.
    fn text(&self) -> String {
        format!("sha256:{}", hex(&self.0))
    }

    /// Strong entity tag of the document: the first 16 bytes of the digest in hexadecimal.
    fn etag(&self) -> HeaderValue {
        let tag = format!("\"{}\"", hex(&self.0[..16]));
        HeaderValue::try_from(tag).expect("hex digits in quotes make a field value")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: respond` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Shape};
    use diag::{Diagnostic, NodeRef, Sink, read};
    use http::{HeaderName, HeaderValue};

    use super::Checked;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] =
        &[r#"away: {kind: respond, status: 410, body: "gone", content_type: text/plain}"#];

    /// The keys of `kind: respond`.
    pub static SHAPE: Object = Object {
        what: "a response made by the gateway",
        rules: &[],
        fields: &[
            Field::optional(
                "status",
                Shape::Integer(200, 599),
                "Status of the response. Default: 200.",
            ),
            Field::optional("body", Shape::Text, "Body of the response. Default: empty."),
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
        let of_key = |key: &str| node.get(key).and_then(NodeRef::scalar_text);
        let text = |key: &str| of_key(key).map(str::to_owned);
        let status = match node.get("status").filter(|status| !status.is_null()) {
            Some(status) => u16::try_from(read::integer(status, 200, 599).ok()?).ok()?,
            None => 200,
        };
        let body = text("body").unwrap_or_default();
        if let Some(node) = node.get("body")
            && matches!(status, 204 | 205 | 304)
            && !body.is_empty()
        {
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
                "the value is not valid in a header field",
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
                    "the value is not valid in a header field",
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
            document: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches_tag(method: Method, fields: &[&str]) -> bool {
        let digest = DocumentDigest([0xab; 32]);
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(IF_NONE_MATCH, HeaderValue::try_from(*field).unwrap());
        }
        let head = RequestHead {
            method,
            target: "/openapi.json".parse().unwrap(),
            host: "a".into(),
            headers,
            is_ambiguous: false,
        };
        matches(&head, Some(&digest.etag()))
    }

    #[test]
    fn known_entity_tag_is_not_modified() {
        let tag = format!("\"{}\"", "ab".repeat(16));
        let weak = format!("W/{tag}");
        assert!(matches_tag(Method::GET, &[&tag]));
        assert!(matches_tag(Method::HEAD, &[&weak]));
        assert!(matches_tag(Method::GET, &["*"]));
        assert!(matches_tag(Method::GET, &[&format!("\"x\" ,\t{tag}")]));
        assert!(matches_tag(Method::GET, &["\"x\"", &tag]));
        assert!(!matches_tag(Method::POST, &[&tag]));
        assert!(!matches_tag(Method::GET, &[]));
        assert!(!matches_tag(Method::GET, &["\"x\"", &"ab".repeat(16)]));
    }
}
