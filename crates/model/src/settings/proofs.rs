//! Verifiers of proofs of possession (`dpop`). The verifier that their key `token` names must check
//! bearer tokens.

use bundle::ir;
use diag::{Diagnostic, NodeRef, Sink, Tree};
use vocab::lints::WRONG_KIND;

use super::Defined;

/// Reports each `token` that names a verifier of another kind. `named` finds a verifier by its name
/// in the bundle. Unknown names are reported together with those of other keys.
pub(crate) fn check<'v>(
    tree: &Tree,
    auth: impl Iterator<Item = &'v Defined<ir::Verifier>>,
    named: &dyn Fn(&str) -> Option<&'v Defined<ir::Verifier>>,
    sink: &mut Sink,
) {
    for verifier in auth {
        let Some(name) = verifier.value.checked.token_verifier() else {
            continue;
        };
        let Some(named) = named(name) else {
            continue;
        };
        let checked = &named.value.checked;
        if checked.takes_tokens() && checked.token_verifier().is_none() {
            continue;
        }
        let node = verifier.node.and_then(|id| tree.at(id).get("token"));
        let span = node.map_or(verifier.span, NodeRef::span);
        let written = node.and_then(NodeRef::scalar_text).unwrap_or(name);
        let written = written.escape_debug();
        let message = format!(
            "`{written}` checks no tokens: it is of kind `{}`",
            checked.kind()
        );
        sink.push(
            Diagnostic::new(&WRONG_KIND, span, message)
                .related(named.span, format!("`{written}` is defined here"))
                .help("name a verifier of kind `jwt` or `introspection`"),
        );
    }
}
