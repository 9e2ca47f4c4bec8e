//! Model of OpenAPI 3.0, 3.1 and 3.2 documents as written. Swagger 2.0 documents are converted
//! first. All mistakes are reported in one run, each with its source location.
//!
//! [`objects`] describes the structure of documents as tables. [`read`] resolves references and
//! returns a [`Spec`] of the parts that can be read; all other parts are left out.

use std::borrow::Cow;

use diag::{FileId, NodeId, NodeRef, Span, Spanned};

mod identity;
pub mod lift;
pub mod lints;
pub mod objects;
pub mod operation_ids;
mod read;
pub mod reference;
pub mod schema;

pub use read::{read, version};

/// Supported versions of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// OpenAPI 3.0.x.
    V30,
    /// OpenAPI 3.1.x.
    V31,
    /// OpenAPI 3.2.x.
    V32,
}

impl Version {
    /// Version number: `3.0`, `3.1` or `3.2`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V30 => "3.0",
            Self::V31 => "3.1",
            Self::V32 => "3.2",
        }
    }
}

/// Document as written, before inheritance and defaults are applied.
#[derive(Clone, Debug)]
pub struct Spec {
    /// File of the document.
    pub file: FileId,
    /// OpenAPI version of the document.
    pub version: Version,
    /// Field `info.title`. Empty if it is missing.
    pub title: Spanned<String>,
    /// Root node, with overlays applied.
    pub root: NodeId,
    /// Servers of the root.
    pub servers: Vec<Server>,
    /// Field `security` of the root. `None`: the field is absent.
    pub security: Option<Security>,
    /// Security schemes of `components.securitySchemes`.
    pub schemes: Vec<SecurityScheme>,
    /// Path items in the order of the source.
    pub paths: Vec<PathItem>,
    /// `x-gateway` of the root.
    pub x_gateway: Option<NodeId>,
    /// Every `x-gateway`, with the shape of its attach point.
    pub extensions: Vec<Extension>,
    /// Numbers of described operations that are never routed: webhooks and callbacks.
    pub not_routed: NotRouted,
}

/// Numbers of operations of a document that the gateway never routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotRouted {
    /// Number of operations in `webhooks`.
    pub webhooks: usize,
    /// Number of operations in `callbacks`.
    pub callbacks: usize,
}

/// Server of a document, path or operation.
#[derive(Clone, Debug)]
pub struct Server {
    /// URL as written.
    pub url: Spanned<String>,
    /// Node of the server object.
    pub node: NodeId,
    /// `x-gateway` of the server.
    pub x_gateway: Option<NodeId>,
}

/// Path item and its operations.
#[derive(Clone, Debug)]
pub struct PathItem {
    /// Path template as written in the key.
    pub template: Spanned<String>,
    /// `x-gateway` of the path item.
    pub x_gateway: Option<NodeId>,
    /// Servers of the path item itself.
    pub servers: Vec<Server>,
    /// Operations in the order of the source.
    pub operations: Vec<Operation>,
    /// Node of the path item, with its reference resolved.
    pub node: NodeId,
}

/// True if OpenAPI ignores a header parameter with this name: the media types of `content` and the
/// security schemes describe these fields (3.1.1, section 4.8.12.2.1).
#[must_use]
pub fn is_ignored_header(name: &str) -> bool {
    let ignored = ["accept", "content-type", "authorization"];
    ignored
        .iter()
        .any(|ignored| name.eq_ignore_ascii_case(ignored))
}

/// HTTP method as sent in requests: the name of a path item's field in upper case, or a key of
/// `additionalOperations` (3.2) unchanged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(pub Cow<'static, str>);

impl Method {
    /// Fields of path items that are methods, each with its method.
    pub const FIELDS: [(&'static str, &'static str); 9] = [
        ("get", "GET"),
        ("put", "PUT"),
        ("post", "POST"),
        ("delete", "DELETE"),
        ("options", "OPTIONS"),
        ("head", "HEAD"),
        ("patch", "PATCH"),
        ("trace", "TRACE"),
        ("query", "QUERY"),
    ];

    /// Returns the method of a path item's key. `query` is a method only from 3.2 on.
    #[must_use]
    pub fn of_key(key: &str, version: Version) -> Option<Self> {
        let (_, method) = Self::FIELDS.iter().find(|(name, _)| *name == key)?;
        let known = *method != "QUERY" || version >= Version::V32;
        known.then_some(Self(Cow::Borrowed(method)))
    }

    /// Returns the method of a key of `additionalOperations`, which may be any token (RFC 9110
    /// §9.1). `None` for a key that is not a token.
    #[must_use]
    pub fn additional(key: &str) -> Option<Self> {
        http::Method::from_bytes(key.as_bytes()).ok()?;
        Some(Self(Cow::Owned(key.to_owned())))
    }
}

/// Operation of a path item.
#[derive(Clone, Debug)]
pub struct Operation {
    /// HTTP method.
    pub method: Method,
    /// Source location of the method's key.
    pub key_span: Span,
    /// Node of the operation object.
    pub node: NodeId,
    /// Field `operationId`.
    pub operation_id: Option<Spanned<String>>,
    /// Parameters of the path item and the operation, with references resolved. A parameter of the
    /// operation replaces one of the path item with the same name and location.
    pub parameters: Vec<Parameter>,
    /// Request body. `None`: the operation describes none.
    pub request_body: Option<RequestBody>,
    /// Responses, by status as written.
    pub responses: Vec<Response>,
    /// Field `security` of the operation. `None`: the operation inherits the root's.
    pub security: Option<Security>,
    /// Servers of the operation itself.
    pub servers: Vec<Server>,
    /// Tags of the operation.
    pub tags: Vec<Spanned<String>>,
    /// Summary of the operation.
    pub summary: Option<Spanned<String>>,
    /// Description of the operation.
    pub description: Option<Spanned<String>>,
    /// True if the operation is deprecated.
    pub deprecated: bool,
    /// `x-gateway` of the operation.
    pub x_gateway: Option<NodeId>,
}

/// Location of a parameter in a request: the value of `in`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum In {
    /// Parameter in the path.
    Path,
    /// Parameter in the query.
    Query,
    /// Parameter in a header field.
    Header,
    /// Parameter in a cookie.
    Cookie,
    /// Parameter for the whole query string (3.2).
    Querystring,
}

impl In {
    /// Value of `in` in OpenAPI.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Querystring => "querystring",
        }
    }
}

/// Parameter of an operation.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Name of the parameter.
    pub name: Spanned<String>,
    /// Location of the parameter in a request.
    pub place: In,
    /// True if the parameter is required.
    pub required: bool,
    /// Schema of the parameter.
    pub schema: Option<NodeId>,
    /// Media type of a parameter that has `content` instead of a schema. `None` for other
    /// parameters.
    pub content: Option<MediaType>,
    /// Source location of the declaration: the item of `parameters`, a reference or the parameter
    /// itself.
    pub span: Span,
    /// Node of the parameter, with its reference resolved.
    pub node: NodeId,
    /// `x-gateway` of the parameter.
    pub x_gateway: Option<NodeId>,
}

/// Request body.
#[derive(Clone, Debug)]
pub struct RequestBody {
    /// True if the body is required.
    pub required: bool,
    /// Media types in the order of the source.
    pub media_types: Vec<MediaType>,
    /// Node of the body, with its reference resolved.
    pub node: NodeId,
}

/// Description of one media type.
#[derive(Clone, Debug)]
pub struct MediaType {
    /// Media type as written in the key.
    pub name: Spanned<String>,
    /// Schema of the media type.
    pub schema: Option<NodeId>,
    /// Schema of each item of a sequence (OpenAPI 3.2).
    pub item_schema: Option<NodeId>,
    /// Node of the media type object.
    pub node: NodeId,
}

/// Response of an operation.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status as written in the key: `200`, `2XX` or `default`.
    pub status: Spanned<String>,
    /// Media types in the order of the source.
    pub media_types: Vec<MediaType>,
    /// Node of the response, with its reference resolved.
    pub node: NodeId,
    /// `x-gateway` of the response.
    pub x_gateway: Option<NodeId>,
}

/// Field `security`: the accepted combinations of credentials.
#[derive(Clone, Debug)]
pub struct Security {
    /// Source location of the whole field.
    pub span: Span,
    /// Alternatives. Empty: open to everyone.
    pub alternatives: Vec<Requirement>,
    /// True if all alternatives could be read. If false, an error is reported, and the alternatives
    /// must not be used for decisions about access.
    pub readable: bool,
}

/// Alternative of `security`: all of its schemes are required. Empty: open to everyone.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// Source location of the alternative.
    pub span: Span,
    /// Names of schemes, each with its scopes.
    pub schemes: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
}

/// Security scheme of the document.
#[derive(Clone, Debug)]
pub struct SecurityScheme {
    /// Key under `securitySchemes`.
    pub name: Spanned<String>,
    /// Kind of the scheme, with its settings.
    pub kind: SchemeKind,
    /// Node of the scheme, with its reference resolved.
    pub node: NodeId,
    /// `x-gateway` of the scheme.
    pub x_gateway: Option<NodeId>,
}

/// Kind of a security scheme, with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemeKind {
    /// API key in a header field, the query or a cookie.
    ApiKey {
        /// Location of the credential: `Header`, `Query` or `Cookie`.
        place: In,
        /// Name of the header field, parameter or cookie.
        name: Spanned<String>,
    },
    /// HTTP authentication.
    Http {
        /// Scheme in lower case: `basic`, `bearer`.
        scheme: Spanned<String>,
    },
    /// OAuth 2.
    OAuth2 {
        /// Scopes of all flows, sorted, without duplicates.
        scopes: Vec<String>,
    },
    /// OpenID Connect.
    OpenIdConnect {
        /// URL of the discovery document.
        url: Option<Spanned<String>>,
    },
    /// Client certificate (3.1).
    MutualTls,
}

/// `x-gateway` with the shape of its attach point.
pub type Extension = (NodeId, &'static diag::shape::Object);

/// Span for findings about a whole value: the span of its first key, so that the excerpt is short.
#[must_use]
pub fn first_key(node: NodeRef<'_>) -> Span {
    let first = node.entries().next();
    first.map_or(node.span(), |(entry, _)| entry.key_span)
}
