//! Verifiers that name another verifier for tokens: `token` of `dpop`, `bearer` of `oidc`. The
//! named verifier must check tokens.

use bundle::ir;
use diag::{Diagnostic, NodeRef, Sink, Tree};
use vocab::lints::WRONG_KIND;

use super::values::named_beside;
use crate::Defined;
use crate::bound_schemes::bearer_of;

/// Reports each `token` and `bearer` that names a verifier whose kind does not check tokens.
/// `named` finds a verifier by its name in the bundle. Another check reports unknown names.
pub(crate) fn check<'v>(
    tree: &Tree,
    auth: impl Iterator<Item = &'v Defined<ir::Verifier>>,
    named: &dyn Fn(&str) -> Option<&'v Defined<ir::Verifier>>,
    sink: &mut Sink,
) {
    for verifier in auth {
        let node = verifier.node.map(|id| tree.at(id));
        let written = |key| node.and_then(|node| node.get(key));
        let checked = &verifier.value.checked;
        if let Some(name) = checked.token_verifier()
            && let Some(named) = named(name)
            && !(named.value.checked.takes_tokens()
                && named.value.checked.token_verifier().is_none())
        {
            let written = written("token");
            report((verifier, name, written), named, TOKENS, sink);
        }
        if let Some(name) = bearer_of(verifier, node)
            && let Some(named) = named(&named_beside(&verifier.value.name, &name.value))
                .or_else(|| named(&name.value))
            && !named.value.checked.takes_tokens()
        {
            let written = written("bearer");
            report((verifier, &name.value, written), named, BEARERS, sink);
        }
    }
}

const TOKENS: &str = "name a verifier of kind `jwt` or `introspection`";
const BEARERS: &str = "name a verifier of kind `jwt`, `introspection` or `dpop`";

fn report(
    (verifier, name, node): (&Defined<ir::Verifier>, &str, Option<NodeRef<'_>>),
    named: &Defined<ir::Verifier>,
    help: &str,
    sink: &mut Sink,
) {
    let span = node.map_or(verifier.span, NodeRef::span);
    let written = node.and_then(NodeRef::scalar_text).unwrap_or(name);
    let written = written.escape_debug();
    let kind = named.value.checked.kind();
    let message = format!("`{written}` checks no tokens: it is of kind `{kind}`");
    sink.push(
        Diagnostic::new(&WRONG_KIND, span, message)
            .related(named.span, format!("`{written}` is defined here"))
            .help(help),
    );
}
