//! Key `serve_document` of gateway.yaml: the endpoints of documents.

use bundle::ir;
use diag::shape::BAD_VALUE;
use diag::{Diagnostic, NodeRef, Sink, Span};

/// Value of `serve_document`.
#[derive(Clone, Debug)]
pub struct ServeDocument {
    /// Source location of the value.
    pub span: Span,
    /// Endpoints of the document. `None` for `false`: gwd does not serve the document.
    pub endpoints: Option<Endpoints>,
}

/// Endpoints of a document.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// Path of the document below the mount.
    pub path: String,
    /// Path of the page below the mount. `None`: no page is served.
    pub page: Option<String>,
    /// Source location of `public: true`. `None`: not set.
    pub public: Option<Span>,
}

/// Default path of the document.
const PATH: &str = "/openapi.json";

/// Reads `serve_document` from a node that fits its shape.
pub(super) fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<ServeDocument> {
    let span = node.span();
    if node.as_bool() == Some(false) {
        let endpoints = None;
        return Some(ServeDocument { span, endpoints });
    }
    if node.as_bool().is_none() && !node.is_map() {
        return None;
    }
    let path = literal(node.get("path"), sink)?;
    let path = path.unwrap_or_else(|| PATH.to_owned());
    let page = node.get("page").filter(|page| !page.is_null());
    let page = match page.and_then(NodeRef::as_bool) {
        Some(false) => None,
        Some(true) => Some(beside(&path)),
        None => Some(literal(page, sink)?.unwrap_or_else(|| beside(&path))),
    };
    if page.as_ref() == Some(&path) {
        let at = node.get("page").or(node.get("path")).unwrap_or(node);
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                at.span(),
                format!("the document and its page have the same path `{path}`"),
            )
            .help("set another `page`, or `page: false`"),
        );
        return None;
    }
    let public = node.get("public");
    let public = public.filter(|public| public.as_bool() == Some(true));
    Some(ServeDocument {
        span,
        endpoints: Some(Endpoints {
            path,
            page,
            public: public.map(NodeRef::span),
        }),
    })
}

/// Default path of the page: the path of the document with `.html` instead of `.json`.
fn beside(path: &str) -> String {
    let stem = path.strip_suffix(".json").unwrap_or(path);
    format!("{}.html", stem.trim_end_matches('/'))
}

/// Reads a path without parameters. The outer `None` means that the path is invalid and was
/// reported, the inner `None` that there is no node.
fn literal(node: Option<NodeRef<'_>>, sink: &mut Sink) -> Option<Option<String>> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(None);
    };
    let text = node.scalar_text()?;
    let template = ir::Template::parse(text).ok();
    let is_literal = |one: &ir::Template| {
        let mut segments = one.segments().iter();
        segments.all(|segment| matches!(segment, ir::Segment::Literal(_)))
    };
    if template.as_ref().is_some_and(is_literal) {
        return Some(Some(text.to_owned()));
    }
    sink.push(
        Diagnostic::new(
            &BAD_VALUE,
            node.span(),
            format!("`{}` is not a path without parameters", text.escape_debug()),
        )
        .help("write a path such as `/openapi.json`"),
    );
    None
}
