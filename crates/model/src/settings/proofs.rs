//! Verifiers of proofs of possession (`dpop`). The verifier that their key `token` names must check
//! bearer tokens.

use bundle::ir;
use diag::{Diagnostic, NodeRef, Sink};
use vocab::lints::WRONG_KIND;

use super::Defined;

/// Reports each `token` that names a verifier of another kind. Unknown names are reported with
/// those of all other keys.
pub(super) fn check(root: NodeRef<'_>, auth: &[Defined<ir::Verifier>], sink: &mut Sink) {
    for verifier in auth {
        let Some(name) = verifier.value.checked.token_verifier() else {
            continue;
        };
        let Some(named) = auth.iter().find(|one| one.value.name == name) else {
            continue;
        };
        let checked = &named.value.checked;
        if checked.takes_tokens() && checked.token_verifier().is_none() {
            continue;
        }
        let path = ["auth", &verifier.value.name, "token"];
        let node = path.iter().try_fold(root, |node, key| node.get(key));
        let span = node.map_or(verifier.span, NodeRef::span);
        let message = format!(
            "`{}` checks no tokens: it is of kind `{}`",
            name.escape_debug(),
            checked.kind()
        );
        sink.push(
            Diagnostic::new(&WRONG_KIND, span, message)
                .related(
                    named.span,
                    format!("`{}` is defined here", name.escape_debug()),
                )
                .help("name a verifier of kind `jwt` or `introspection`"),
        );
    }
}
