//! Rule for servers or callbacks in a webhook.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use sources::v31;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0728",
    name: "unused-webhook-field",
    level: Level::Warn,
    summary: "servers or callbacks in a webhook",
    explain: "A webhook is sent by the API to an address that the client gave: its own `servers` and `callbacks` are never used.",
    bad: v31!(
        "webhooks:\n  w:\n    post: {servers: [{url: 'https://a.test'}], responses: {'200': {description: ok}}}\n"
    ),
    good: v31!("webhooks:\n  w:\n    post: {responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let hooks = place
        .node
        .get("webhooks")
        .into_iter()
        .flat_map(NodeRef::entries);
    for item in hooks.filter_map(|(_, item)| place.resolver.resolve(item)) {
        let operations = item.entries().map(|(_, operation)| operation);
        for node in operations.chain([item]) {
            for key in ["servers", "callbacks"] {
                if let Some((entry, _)) = node.entry(key) {
                    let message = format!("`{key}` of a webhook is never used");
                    sink.push(Diagnostic::new(&LINT, entry.key_span, message));
                }
            }
        }
    }
}
