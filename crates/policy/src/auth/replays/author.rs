//! Check of the setting `window` of verifiers whose credentials are valid once.

use diag::shape::BAD_VALUE;
use diag::{Diagnostic, NodeRef, Sink, read};

/// Range of the setting `window`, and the message for a value out of the range.
pub(in crate::auth) struct Window {
    /// Maximum window, in milliseconds. The minimum is one second.
    pub(in crate::auth) max_ms: u64,
    pub(in crate::auth) message: &'static str,
    pub(in crate::auth) help: &'static str,
}

/// Reports a `window` out of range.
pub(in crate::auth) fn check(node: NodeRef<'_>, window: &Window, sink: &mut Sink) {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    let fits = |ms| (1_000..=window.max_ms).contains(&ms);
    let is_wrong = |node: &NodeRef<'_>| read::duration_ms(*node).is_ok_and(|ms| !fits(ms));
    if let Some(written) = get("window").filter(is_wrong) {
        sink.push(Diagnostic::new(&BAD_VALUE, written.span(), window.message).help(window.help));
    }
}
