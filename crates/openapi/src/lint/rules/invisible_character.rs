//! Rule for a name with an invisible character.

use diag::text::{is_blank, is_invisible};
use diag::{Diagnostic, Level, Lint, NodeRef, Sink, Span};

use crate::lint::Whole;
use sources::v30;

/// Lint that this rule reports.
pub(crate) static LINT: Lint = Lint {
    code: "GW0744",
    name: "invisible-character",
    level: Level::Error,
    summary: "a name with an invisible character",
    explain: "People compare names when they review: operation ids, paths, parameters, tags, \
security schemes, scopes, and the keys of gateway.yaml and of `x-gateway`. Two names that differ \
only in an invisible or blank character look the same, so such a name is refused. Examples: a \
zero-width space (U+200B), a soft hyphen (U+00AD), a no-break space (U+00A0), a character that \
changes the writing direction. Other strings may have such characters; plans show them escaped.",
    bad: v30!(
        "paths:\n  /a:\n    get: {operationId: \"list\\u200b\", responses: {'200': {description: ok}}}\n"
    ),
    good: v30!(
        "paths:\n  /a:\n    get: {operationId: list, responses: {'200': {description: ok}}}\n"
    ),
};

pub(super) fn check(whole: &Whole<'_, '_>, sink: &mut Sink) {
    let tree = &whole.resolver.files().tree;
    for path in &whole.spec.paths {
        name(&path.template.value, path.template.span, sink);
        if let Some(node) = path.x_gateway {
            check_keys(tree.at(node), sink);
        }
        for operation in &path.operations {
            if let Some(id) = &operation.operation_id {
                name(&id.value, id.span, sink);
            }
            let parameters = operation.parameters.iter().map(|one| &one.name);
            for one in parameters {
                name(&one.value, one.span, sink);
            }
            // Tags may contain spaces, and emoji with variation selectors.
            for one in &operation.tags {
                check_name(&one.value, one.span, is_invisible, sink);
            }
            if let Some(node) = operation.x_gateway {
                check_keys(tree.at(node), sink);
            }
        }
    }
    if let Some(node) = whole.spec.x_gateway {
        check_keys(tree.at(node), sink);
    }
    let root = whole.resolver.root();
    let paths = root.get("paths").into_iter().flat_map(NodeRef::entries);
    let operations = paths.flat_map(|(_, item)| item.entries());
    let required = operations.filter_map(|(_, operation)| operation.get("security"));
    for requirement in required
        .chain(root.get("security"))
        .flat_map(NodeRef::items)
    {
        for (scheme, scopes) in requirement.entries() {
            name(&scheme.key, scheme.key_span, sink);
            for scope in scopes.items() {
                name(scope.as_str().unwrap_or_default(), scope.span(), sink);
            }
        }
    }
}

/// Checks every key inside a node of gateway.yaml or of `x-gateway`.
pub fn check_keys(node: NodeRef<'_>, sink: &mut Sink) {
    let mut waiting = vec![node];
    while let Some(node) = waiting.pop() {
        for (entry, value) in node.entries() {
            name(&entry.key, entry.key_span, sink);
            waiting.push(value);
        }
        waiting.extend(node.items());
    }
}

/// Checks a name from gateway.yaml or `x-gateway`.
pub fn name(text: &str, at: Span, sink: &mut Sink) {
    check_name(text, at, is_blank, sink);
}

fn check_name(text: &str, at: Span, is_unseen: fn(char) -> bool, sink: &mut Sink) {
    // ASCII control characters are shown as symbols, so they are not hidden.
    let is_hidden = |c: char| is_unseen(c) && !c.is_ascii_control();
    let Some(c) = text.chars().find(|c| is_hidden(*c)) else {
        return;
    };
    let shown: String = text
        .chars()
        .map(|c| match is_unseen(c) {
            true => c.escape_unicode().to_string(),
            false => c.to_string(),
        })
        .collect();
    let message = format!(
        "the name `{shown}` has the invisible or blank character U+{:04X}",
        u32::from(c)
    );
    sink.push(
        Diagnostic::new(&LINT, at, message)
            .help("remove the character; names that differ only in it look the same"),
    );
}
