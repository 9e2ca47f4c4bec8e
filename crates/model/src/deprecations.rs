//! Check of `deprecations` of gateway.yaml: its APIs exist.

use diag::shape::BAD_VALUE;
use diag::{Diagnostic, NodeRef, Sink, suggest};

use super::Api;

/// Reports each name under `deprecations.apis` that no API of the gateway has.
pub(super) fn check(root: NodeRef<'_>, apis: &[Api], sink: &mut Sink) {
    let periods = root.get("deprecations").and_then(|node| node.get("apis"));
    for (entry, _) in periods.into_iter().flat_map(NodeRef::entries) {
        let name = &*entry.key;
        if apis.iter().any(|api| api.name == name) {
            continue;
        }
        let message = format!("there is no API `{}`", suggest::shown(name));
        let finding = Diagnostic::new(&BAD_VALUE, entry.key_span, message);
        sink.push(
            match suggest::nearest(name, apis.iter().map(|api| &*api.name)) {
                Some(meant) => finding
                    .label(format!("did you mean `{meant}`?"))
                    .help(format!("write `{meant}`")),
                None => finding.help("write the name of an API of this gateway"),
            },
        );
    }
}
