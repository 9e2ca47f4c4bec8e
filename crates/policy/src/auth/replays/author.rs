//! Settings of verifiers whose credentials are valid once: `window`, and the store that a fleet
//! shares.

use diag::shape::{BAD_VALUE, Field, Shape};
use diag::{Diagnostic, NodeRef, Sink, read};

use crate::store::{self, OnOutage};

/// Key `store`.
pub(in crate::auth) const STORE: Field = Field::optional(
    "store",
    Shape::Name("a store or `local`"),
    "Store of used credentials: `local`, or the name of one of `stores`. With a store, the gateways that share it accept each credential once together; otherwise, each gateway accepts it once. Default: `local`.",
);

/// Key `on_outage`.
pub(in crate::auth) const ON_OUTAGE: Field = Field::optional(
    "on_outage",
    Shape::Word(&["closed", "local"]),
    "With `store`, while the store does not answer: requests are refused (503), or each gateway accepts a credential once. `on_outage` of the store itself does not apply. Default: `closed`.",
);

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

/// Reports an `on_outage` without a store.
pub(in crate::auth) fn check_store(node: NodeRef<'_>, sink: &mut Sink) {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    let is_local = matches!(
        get("store").and_then(NodeRef::scalar_text),
        None | Some("local")
    );
    if let Some(outage) = get("on_outage").filter(|_| is_local) {
        let message = "`on_outage` has no effect without a store";
        sink.push(
            Diagnostic::new(&BAD_VALUE, outage.span(), message)
                .help("name the fleet's store in `store`, or remove `on_outage`"),
        );
    }
}

/// Reads the store of a verifier. Its `on_outage` is that of the verifier.
pub(in crate::auth) fn store(node: NodeRef<'_>) -> Option<store::Checked> {
    let mut store = store::author::read(node)?;
    let word = node.get("on_outage").and_then(NodeRef::scalar_text);
    store.on_outage = match word {
        Some("local") => OnOutage::Local,
        _ => OnOutage::Closed,
    };
    Some(store)
}
