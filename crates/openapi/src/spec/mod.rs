//! OpenAPI 3.0, 3.1 and 3.2 (and Swagger 2.0, lifted) as it is written: tolerant, all mistakes at once, each with its
//! place.
//!
//! [`read`] checks a document's structure against the tables of [`objects`], resolves its
//! references, and gives a [`Spec`] of what it could read; what it could not read is reported
//! and left out.

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

/// The versions of OpenAPI that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 3.0.x
    V30,
    /// 3.1.x
    V31,
    /// 3.2.x
    V32,
}

impl Version {
    /// `3.0`, `3.1` or `3.2`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V30 => "3.0",
            Self::V31 => "3.1",
            Self::V32 => "3.2",
        }
    }
}

/// A document as it is written; nothing is inherited or defaulted yet.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The document's file.
    pub file: FileId,
    /// Its version of OpenAPI.
    pub version: Version,
    /// `info.title`; empty where it is missing.
    pub title: Spanned<String>,
    /// The root, overlays applied.
    pub root: NodeId,
    /// The root's servers.
    pub servers: Vec<Server>,
    /// The root's `security`.
    pub security: Option<Security>,
    /// `components.securitySchemes`.
    pub schemes: Vec<SecurityScheme>,
    /// The paths in the order of the source.
    pub paths: Vec<PathItem>,
    /// The root's `x-gateway`.
    pub x_gateway: Option<NodeId>,
    /// Every `x-gateway`, with what it may say there.
    pub extensions: Vec<Extension>,
    /// Number of operations that are described but never routed.
    pub not_routed: NotRouted,
}

/// Number of operations of a document that are never routed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotRouted {
    /// Operations of `webhooks`.
    pub webhooks: usize,
    /// Operations of `callbacks`.
    pub callbacks: usize,
}

/// A server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its URL as written.
    pub url: Spanned<String>,
    /// The server object.
    pub node: NodeId,
    /// Its `x-gateway`.
    pub x_gateway: Option<NodeId>,
}

/// One path with its operations.
#[derive(Clone, Debug)]
pub struct PathItem {
    /// The key as written.
    pub template: Spanned<String>,
    /// Its `x-gateway`.
    pub x_gateway: Option<NodeId>,
    /// Its servers, if it has its own.
    pub servers: Vec<Server>,
    /// Its operations in the order of the source.
    pub operations: Vec<Operation>,
    /// The path item, its reference resolved.
    pub node: NodeId,
}

/// A method as it is sent: one of path items' fields in upper case, or a key of
/// `additionalOperations` (3.2) as it is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(pub Cow<'static, str>);

impl Method {
    /// The methods that path items have as fields.
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

    /// The method of a path item's key; `query` is one from 3.2 on.
    #[must_use]
    pub fn of_key(key: &str, version: Version) -> Option<Self> {
        let (_, method) = Self::FIELDS.iter().find(|(name, _)| *name == key)?;
        let known = *method != "QUERY" || version >= Version::V32;
        known.then_some(Self(Cow::Borrowed(method)))
    }

    /// The method of a key of `additionalOperations`: any token (RFC 9110 §9.1).
    #[must_use]
    pub fn additional(key: &str) -> Option<Self> {
        http::Method::from_bytes(key.as_bytes()).ok()?;
        Some(Self(Cow::Owned(key.to_owned())))
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its method.
    pub method: Method,
    /// The method's key.
    pub key_span: Span,
    /// The operation object.
    pub node: NodeId,
    /// Its id.
    pub operation_id: Option<Spanned<String>>,
    /// The parameters of path item and operation, references resolved; an operation's replaces
    /// the path item's of the same name and place.
    pub parameters: Vec<Parameter>,
    /// Body of its request.
    pub request_body: Option<RequestBody>,
    /// Its responses.
    pub responses: Vec<Response>,
    /// Its own `security`; none inherits the root's.
    pub security: Option<Security>,
    /// Its own servers.
    pub servers: Vec<Server>,
    /// Its tags.
    pub tags: Vec<Spanned<String>>,
    /// Its summary.
    pub summary: Option<Spanned<String>>,
    /// Its description.
    pub description: Option<Spanned<String>>,
    /// True if the operation is deprecated.
    pub deprecated: bool,
    /// Its `x-gateway`.
    pub x_gateway: Option<NodeId>,
}

/// Place of a parameter in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum In {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In a header.
    Header,
    /// In a cookie.
    Cookie,
    /// The query as a whole (3.2).
    Querystring,
}

impl In {
    /// The word of OpenAPI.
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

/// One parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: Spanned<String>,
    /// Place of the parameter in a request.
    pub place: In,
    /// True if the parameter is required.
    pub required: bool,
    /// Its schema.
    pub schema: Option<NodeId>,
    /// Its one media type, where it has `content` instead of a schema.
    pub content: Option<MediaType>,
    /// Place of the declaration: the item of `parameters`, a reference or the parameter itself.
    pub span: Span,
    /// The parameter, its reference resolved.
    pub node: NodeId,
    /// Its `x-gateway`.
    pub x_gateway: Option<NodeId>,
}

/// The body of a request.
#[derive(Clone, Debug)]
pub struct RequestBody {
    /// True if the body is required.
    pub required: bool,
    /// Its media types in the order of the source.
    pub media_types: Vec<MediaType>,
    /// The body, its reference resolved.
    pub node: NodeId,
}

/// Description of one media type.
#[derive(Clone, Debug)]
pub struct MediaType {
    /// The key as written.
    pub name: Spanned<String>,
    /// Its schema.
    pub schema: Option<NodeId>,
    /// The media type object.
    pub node: NodeId,
}

/// One response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The key as written: `200`, `2XX`, `default`.
    pub status: Spanned<String>,
    /// Its media types in the order of the source.
    pub media_types: Vec<MediaType>,
    /// The response, its reference resolved.
    pub node: NodeId,
    /// Its `x-gateway`.
    pub x_gateway: Option<NodeId>,
}

/// A `security`: who may call.
#[derive(Clone, Debug)]
pub struct Security {
    /// The whole of it.
    pub span: Span,
    /// Its alternatives; none means anyone.
    pub alternatives: Vec<Requirement>,
    /// True if all of it could be read. A part that could not is an error, and nothing follows from
    /// the rest then.
    pub readable: bool,
}

/// One alternative of `security`: all of its schemes must hold; none means anyone.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// The whole alternative.
    pub span: Span,
    /// Scheme names, each with its scopes.
    pub schemes: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
}

/// A security scheme.
#[derive(Clone, Debug)]
pub struct SecurityScheme {
    /// Its key under `securitySchemes`.
    pub name: Spanned<String>,
    /// Kind of the scheme, with its settings.
    pub kind: SchemeKind,
    /// The scheme, its reference resolved.
    pub node: NodeId,
    /// Its `x-gateway`.
    pub x_gateway: Option<NodeId>,
}

/// Kind of a security scheme, with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemeKind {
    /// A key in a header, the query or a cookie.
    ApiKey {
        /// Place of the credential; never `Path`.
        place: In,
        /// The name of the header, parameter or cookie.
        name: Spanned<String>,
    },
    /// An HTTP authentication scheme.
    Http {
        /// In lower case: `basic`, `bearer`.
        scheme: Spanned<String>,
    },
    /// OAuth 2.
    OAuth2 {
        /// The scopes of all flows, sorted, each once.
        scopes: Vec<String>,
    },
    /// OpenID Connect.
    OpenIdConnect {
        /// The discovery document.
        url: Option<Spanned<String>>,
    },
    /// A client certificate (3.1).
    MutualTls,
}

/// An `x-gateway`, with what it may say there.
pub type Extension = (NodeId, &'static diag::shape::Object);

/// The place to show for a value as a whole: its first key, so that the excerpt stays short.
#[must_use]
pub fn first_key(node: NodeRef<'_>) -> Span {
    let first = node.entries().next();
    first.map_or(node.span(), |(entry, _)| entry.key_span)
}
