//! Parameters with `forward: false`: the gateway checks them, and removes them before the request
//! goes to the upstream.

use std::collections::BTreeSet;

use diag::shape::BAD_VALUE;
use diag::{Diagnostic, NodeRef, Sink, Span, Tree};
use openapi::spec::reference::Resolver;
use openapi::spec::{self, In, Parameter};
use policy::auth::Place;
use policy::transform::headers;
use sources::project::files::Files;

use super::Api;

/// Help for a parameter that can be an object whose members are sent as separate parameters.
pub(super) const MEMBERS_HELP: &str = "give the schema a `type` other than `object`, write `explode: false`, or use `style: deepObject`";

/// Places of an operation's parameters with `forward: false`, sorted. Leaves out parameters that
/// [`check`] reports because of their place.
pub(super) fn places(operation: &spec::Operation, tree: &Tree) -> Vec<Place> {
    let parameters = operation.parameters.iter();
    let parameters = parameters.filter(|parameter| forward_value(parameter, tree).is_some());
    let places = parameters.filter_map(|parameter| {
        let name = parameter.name.value.clone();
        match parameter.place {
            In::Header => Some(Place::Header(name.to_ascii_lowercase())),
            In::Query => Some(Place::Query(name)),
            In::Cookie => Some(Place::Cookie(name)),
            In::Path | In::Querystring => None,
        }
    });
    places.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Value of the key `forward` of a parameter, if the value is `false`.
fn forward_value<'t>(parameter: &Parameter, tree: &'t Tree) -> Option<NodeRef<'t>> {
    let extension = tree.at(parameter.x_gateway?);
    let forward = extension.get("forward")?;
    (forward.as_bool() == Some(false)).then_some(forward)
}

/// Reports parameters that cannot be removed: parts of the path, whole queries, fields that frame
/// the message, and objects whose members are sent as separate parameters.
pub(super) fn check(files: &Files, apis: &[Api], sink: &mut Sink) {
    let mut reported: BTreeSet<Span> = BTreeSet::new();
    for api in apis {
        let resolver = Resolver::new(files, &api.document);
        let operations = api.spec.paths.iter().flat_map(|item| &item.operations);
        for parameter in operations.flat_map(|operation| &operation.parameters) {
            let Some(forward) = forward_value(parameter, &files.tree) else {
                continue;
            };
            if reported.insert(forward.span()) {
                report(parameter, forward.span(), &resolver, sink);
            }
        }
    }
}

/// Reports a parameter that cannot be removed.
fn report(parameter: &Parameter, at: Span, resolver: &Resolver<'_>, sink: &mut Sink) {
    let name = parameter.name.value.escape_debug();
    let (message, help) = match parameter.place {
        In::Header => {
            headers::author::name(&parameter.name.value, at, sink);
            return;
        }
        In::Path => (
            format!("the path parameter `{name}` is part of the path, which is always forwarded"),
            "remove `forward`, or change the path with `rewrite`",
        ),
        In::Querystring => (
            format!("`{name}` is the whole query"),
            "remove `forward`, or change the query with `rewrite`",
        ),
        In::Query | In::Cookie if spreads(parameter, resolver) => (
            format!(
                "`forward: false` does not remove the members of `{name}`, which can be sent as \
separate parameters"
            ),
            "give the schema a `type` other than `object`, or write `explode: false`",
        ),
        In::Query | In::Cookie => return,
    };
    sink.push(Diagnostic::new(&BAD_VALUE, at, message).help(help));
}

/// True if the parameter can be an object whose members are sent as separate parameters: with
/// `explode`, which is the default of the styles `form` and `cookie`, and with `deepObject`.
fn spreads(parameter: &Parameter, resolver: &Resolver<'_>) -> bool {
    let node = resolver.node(parameter.node);
    match node.get("style").and_then(NodeRef::as_str) {
        Some("deepObject") => true,
        _ => members_are_parameters(parameter, resolver),
    }
}

/// True if the parameter can be an object whose members are separate parameters with the members'
/// names: with `explode`, which is the default of the styles `form` and `cookie`.
pub(super) fn members_are_parameters(parameter: &Parameter, resolver: &Resolver<'_>) -> bool {
    let node = resolver.node(parameter.node);
    let style = node.get("style").and_then(NodeRef::as_str);
    let explode = node.get("explode").and_then(NodeRef::as_bool);
    match (style, explode) {
        (None | Some("form" | "cookie"), None | Some(true)) => {
            let schema = parameter.schema.map(|id| resolver.node(id));
            schema.is_some_and(|schema| can_be_object(schema, resolver))
        }
        _ => false,
    }
}

/// True unless the `type` of a schema excludes objects.
fn can_be_object<'a>(schema: NodeRef<'a>, resolver: &Resolver<'a>) -> bool {
    let schema = resolver.resolve(schema);
    let Some(kind) = schema.and_then(|schema| schema.get("type")) else {
        return true;
    };
    match kind.as_str() {
        Some(word) => word == "object",
        None => kind.items().any(|word| word.as_str() == Some("object")),
    }
}
