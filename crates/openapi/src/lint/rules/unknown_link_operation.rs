//! Rule for a link to an operation that does not exist.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, suggest};

use crate::lint::Place;
use crate::spec::Method;
use crate::spec::reference::Fault;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0336",
    name: "unknown-link-operation",
    level: Level::Warn,
    summary: "a link to an operation that does not exist",
    explain: "`operationId` of a link is the id of an operation of the same document. \
`operationRef` is a reference to an operation \
(`#/paths/~1orders/get`), in this document or in another file. URLs are not fetched. Links do not change what the gateway does, but clients follow \
them.",
    bad: v30!("paths: {}\ncomponents: {links: {L: {operationId: gone}}}\n"),
    good: v30!(
        "paths: {/a: {get: {operationId: here, responses: {'200': {description: ok}}}}}\n",
        "components: {links: {L: {operationId: here}, M: {operationRef: '#/paths/~1a/get'}}}\n"
    ),
};

/// Maximum number of ids that are compared for a suggestion. Comparing names is slow, and a
/// document may have many wrong links.
const SUGGESTED_AMONG_MAX: usize = 1_000;

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if let Some(id) = place.node.get("operationId")
        && let Some(text) = id.as_str()
    {
        by_id(place, id, text, sink);
    }
    if let Some(reference) = place.node.get("operationRef")
        && let Some(text) = reference.as_str()
        && !text.contains("://")
    {
        by_reference(place, reference, text, sink);
    }
}

fn by_id(place: &Place<'_, '_>, id: NodeRef<'_>, text: &str, sink: &mut Sink) {
    let ids = place.operation_ids.all(place.resolver);
    if ids.contains(text) {
        return;
    }
    let message = format!("no operation has the id `{}`", text.escape_debug());
    let finding = Diagnostic::new(&LINT, id.span(), message);
    let known = ids.iter().copied().take(SUGGESTED_AMONG_MAX + 1);
    let near = match ids.len() > SUGGESTED_AMONG_MAX {
        true => None,
        false => suggest::nearest(text, known),
    };
    sink.push(match near {
        Some(near) => finding
            .label(format!("did you mean `{}`?", near.escape_debug()))
            .fix(id.span(), near),
        None => finding,
    });
}

fn by_reference<'a>(place: &Place<'_, 'a>, reference: NodeRef<'a>, text: &str, sink: &mut Sink) {
    let shown = text.escape_debug();
    let finding = match place.resolver.target(reference) {
        Ok(_) if names_operation(place, text) => return,
        Ok(target) => Diagnostic::new(
            &LINT,
            reference.span(),
            format!("`{shown}` is not an operation"),
        )
        .related(target.span(), "defined here")
        .help("write the path to an operation: `#/paths/~1orders/get`"),
        Err(Fault::Unparsed(_)) => return,
        Err(fault) => {
            let finding =
                Diagnostic::new(&LINT, reference.span(), format!("`{shown}` does not exist"));
            match fault {
                Fault::NotFound { part, help, .. } => {
                    let finding = finding.label(format!("there is no `{}`", part.escape_debug()));
                    match help {
                        Some(help) => finding.help(help),
                        None => finding,
                    }
                }
                Fault::BadPointer(why) => finding.label(why),
                Fault::File(..) | Fault::Unparsed(_) => {
                    finding.label("no file of this name is read")
                }
            }
        }
    };
    sink.push(finding);
}

/// True if a pointer ends like a pointer to an operation: with a method, or with a name in
/// `additionalOperations`.
fn names_operation(place: &Place<'_, '_>, text: &str) -> bool {
    let pointer = text.split_once('#').map_or("", |(_, pointer)| pointer);
    let mut parts = pointer.rsplit('/');
    let (last, above) = (parts.next().unwrap_or_default(), parts.next());
    Method::of_key(last, place.version).is_some() || above == Some("additionalOperations")
}
