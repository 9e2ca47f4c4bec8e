//! Matching of a path item: converts the path key to a template and conditions, and reads the
//! settings for matching.

use bundle::ir;
use diag::shape::BAD_VALUE;
use diag::{Diagnostic, NodeId, NodeRef, Sink};
use engine::path::normalise_literal;

use openapi::lint::template::wider;
use openapi::spec::{In, PathItem};
use sources::project::files::Files;
use vocab::lints::{FRAGMENT_IN_PATH, QUERY_IN_PATH};

/// Path key of a path item, parsed.
pub(super) struct PathKey {
    pub(super) template: ir::Template,
    /// Conditions on query parameters that the path key contains, as in `/a?k=v`.
    pub(super) conditions: Vec<ir::Condition>,
    /// False if the router cannot match the path (`unroutable-template`). `template` then matches
    /// at least the requests of the path, and its operations are not served.
    pub(super) is_routable: bool,
}

/// Parses a path key. `None` if the key is invalid; an OpenAPI rule reports the key.
pub(super) fn path_key(files: &Files, item: &PathItem, sink: &mut Sink) -> Option<PathKey> {
    let text = item.template.value.as_str();
    let (text, fragment) = text
        .split_once('#')
        .map_or((text, None), |(text, fragment)| (text, Some(fragment)));
    if fragment.is_some() {
        sink.push(
            Diagnostic::new(
                &FRAGMENT_IN_PATH,
                item.template.span,
                format!("clients never send the part after `#`: this is served as `{text}`"),
            )
            .help(
                "remove the fragment, or tell the operations apart by path, method or a condition",
            ),
        );
    }
    let (path, query) = text
        .split_once('?')
        .map_or((text, None), |(path, query)| (path, Some(query)));
    let mut conditions = Vec::new();
    if let Some(query) = query {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "{}"));
            // Decode the text: a path key is encoded like a URL, but conditions are stored decoded.
            let decoded = |text: &str| {
                String::from_utf8_lossy(&policy::auth::decode_query(text)).into_owned()
            };
            // `?k={v}` requires the presence of the parameter, not a value.
            let test = if value.contains('{') {
                ir::Test::Present
            } else {
                ir::Test::Exact(decoded(value))
            };
            conditions.push(ir::Condition::Query(decoded(name), test));
        }
        sink.push(
            Diagnostic::new(
                &QUERY_IN_PATH,
                item.template.span,
                format!("served as `{path}` for requests whose query has `{query}`"),
            )
            .help("describe the query as parameters, or keep it as a condition"),
        );
    }
    let wider = wider(path);
    let template = ir::Template::parse(wider.as_deref().unwrap_or(path))
        .ok()?
        .map_literals(|literal| normalise_literal(&literal));
    let extension = item.x_gateway.map(|id| files.tree.at(id));
    let matching = extension.and_then(|node| node.get("match"));
    let template = match matching.and_then(NodeRef::scalar_text) {
        Some("prefix") => template.into_prefix(),
        Some("exact") if template.parameters().next().is_some() => {
            if let Some(node) = matching {
                sink.push(
                    Diagnostic::new(
                        &BAD_VALUE,
                        node.span(),
                        "a path with parameters cannot be matched exactly",
                    )
                    .help("write `template`"),
                );
            }
            template
        }
        _ => template,
    };
    Some(PathKey {
        template,
        conditions,
        is_routable: wider.is_none(),
    })
}

/// Adds to the template the text that the styles `matrix` and `label` put before a path parameter:
/// `{id}` becomes `;id={id}` or `.{id}` (OpenAPI 3.1, Style Values).
pub(super) fn styled<'a>(
    template: &ir::Template,
    parameters: &[openapi::spec::Parameter],
    node: impl Fn(NodeId) -> NodeRef<'a>,
) -> ir::Template {
    let style = |name: &str| {
        let parameter = parameters
            .iter()
            .find(|parameter| parameter.place == In::Path && parameter.name.value == name)?;
        node(parameter.node).get("style")?.as_str()
    };
    let styles: Vec<_> = template
        .parameters()
        .map(|name| (name.to_owned(), style(name)))
        .collect();
    if !styles
        .iter()
        .any(|(_, style)| matches!(style, Some("matrix" | "label")))
    {
        return template.clone();
    }
    let mut text = template.to_string();
    for (name, style) in styles {
        let before = match style {
            Some("matrix") => format!(";{name}="),
            Some("label") => ".".to_owned(),
            _ => continue,
        };
        text = text.replace(&format!("{{{name}}}"), &format!("{before}{{{name}}}"));
    }
    let styled = ir::Template::parse(&text).unwrap_or_else(|_| template.clone());
    if template.is_prefix() {
        styled.into_prefix()
    } else {
        styled
    }
}

/// Returns the template with `case_insensitive` applied.
pub(super) fn cased(template: ir::Template, extension: Option<NodeRef<'_>>) -> ir::Template {
    let setting = extension.and_then(|node| node.get("case_insensitive"));
    match setting.and_then(NodeRef::as_bool) {
        Some(true) => template.into_folded(),
        Some(false) | None => template,
    }
}

pub(super) fn trailing_slash(extension: Option<NodeRef<'_>>) -> ir::TrailingSlash {
    let setting = extension.and_then(|node| node.get("trailing_slash"));
    match setting.and_then(NodeRef::scalar_text) {
        Some("redirect") => ir::TrailingSlash::Redirect,
        Some("ignore") => ir::TrailingSlash::Ignore,
        _ => ir::TrailingSlash::Strict,
    }
}

pub(super) fn priority(extension: Option<NodeRef<'_>>) -> i32 {
    let value = extension
        .and_then(|node| node.get("priority"))
        .and_then(NodeRef::as_i64);
    value
        .and_then(|value| i32::try_from(value).ok())
        .unwrap_or(0)
}

/// Reads `streams`. `None` if the value is invalid, which was reported.
pub(super) fn closes_streams(setting: NodeRef<'_>) -> Option<bool> {
    match setting.scalar_text() {
        Some("close") => Some(true),
        Some("keep") => Some(false),
        _ => None,
    }
}

/// Reads `path_readings`. `None` if the value is invalid, which was reported.
pub(super) fn path_readings(setting: NodeRef<'_>) -> Option<ir::PathReadings> {
    match setting.scalar_text() {
        Some("strict") => Some(ir::PathReadings::Strict),
        Some("keep") => Some(ir::PathReadings::Keep),
        _ => None,
    }
}

/// True if upstreams may understand every path that matches the template as a different path: a
/// literal contains `;`, `%2F`, `%5C`, `%25` or `%3B`, or an inner segment is empty. The names of
/// parameters do not count, because no request contains them.
pub(super) fn is_ambiguous(template: &ir::Template) -> bool {
    let segments = template.segments().iter();
    let text: String = segments.map(|one| format!("/{}", one.erased())).collect();
    engine::path::is_ambiguous(if text.is_empty() { "/" } else { &text })
}
