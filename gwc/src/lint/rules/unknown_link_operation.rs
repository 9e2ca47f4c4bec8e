//! A link to an operation that does not exist.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use crate::lint::sample::v30;

/// The finding.
pub(super) static LINT: Lint = Lint {
    code: "GW0336",
    name: "unknown-link-operation",
    level: Level::Warn,
    summary: "a link to an operation that does not exist",
    explain: "`operationId` of a link is the id of an operation of the same document. Links do not change what the gateway does, but \
clients follow them.",
    bad: v30!("paths: {}\ncomponents: {links: {L: {operationId: gone}}}\n"),
    good: v30!(
        "paths: {/a: {get: {operationId: here, responses: {'200': {description: ok}}}}}\n",
        "components: {links: {L: {operationId: here}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(id) = place.node.get("operationId") else {
        return;
    };
    let Some(text) = id.as_str() else { return };
    let resolver = place.resolver;
    let paths = resolver
        .root()
        .get("paths")
        .and_then(|paths| resolver.resolve(paths));
    let items = paths.into_iter().flat_map(NodeRef::entries);
    let operations = items
        .filter_map(|(_, item)| resolver.resolve(item))
        .flat_map(NodeRef::entries)
        .filter_map(|(_, operation)| resolver.resolve(operation));
    let mut ids = operations.filter_map(|operation| operation.get("operationId")?.as_str());
    if !ids.any(|known| known == text) {
        sink.push(Diagnostic::new(
            &LINT,
            id.span(),
            format!("no operation has the id `{}`", text.escape_debug()),
        ));
    }
}
