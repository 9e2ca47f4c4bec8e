//! Finding about operations whose path has `//` although all their listeners merge slashes
//! (`merge_slashes`). A listener merges the slashes of a request before the router matches it.

use bundle::ir::Segment;
use diag::{Diagnostic, Sink};

use super::{Api, Settings, requested};
use vocab::lints::UNREACHABLE;

/// Reports each operation that no URL reaches because of `merge_slashes`.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let empty = Segment::Literal(String::new());
    for api in apis {
        let mut listeners = requested::listeners(settings, api).peekable();
        if listeners.peek().is_none() || !listeners.all(|listener| listener.merge_slashes) {
            continue;
        }
        for operation in &api.operations {
            // An empty last segment is a final slash.
            let inner = operation.template.segments().split_last();
            if !inner.is_some_and(|(_, inner)| inner.contains(&empty)) {
                continue;
            }
            let key = &operation.key;
            let message = format!(
                "no URL reaches `{key}`: its path has `//`, and its listeners merge slashes"
            );
            sink.push(
                Diagnostic::new(&UNREACHABLE, operation.span, message)
                    .help("write the path with single slashes, or remove `merge_slashes`"),
            );
        }
    }
}
