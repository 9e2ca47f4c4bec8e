//! Check of `claim:NAME`: at least one consumer must have the claim.

use std::collections::BTreeSet;

use bundle::ir;
use diag::{Diagnostic, NodeRef, Sink, suggest};
use policy::declared::Value;

use crate::Defined;
use vocab::lints::UNKNOWN_CLAIM;

/// Reports `hash_on` of upstreams and `key` of policies that name a claim that no consumer has, in
/// gateway.yaml or in the `x-gateway` of a document.
pub(crate) fn check<'v>(
    root: NodeRef<'_>,
    consumers: &[Defined<ir::Consumer>],
    mut auth: impl Iterator<Item = &'v Defined<ir::Verifier>>,
    sink: &mut Sink,
) {
    // The claims of tokens are unknown here. Report nothing if a verifier of tokens may provide the
    // claim.
    let declared = |one: &'v Defined<ir::Verifier>| {
        use policy::auth::Checked::{Declared, Mtls};
        let checked = &one.value.checked;
        checked.takes_tokens() || matches!(checked, Declared(_) | Mtls(_))
    };
    if auth.any(declared) {
        return;
    }
    let given = consumers.iter().flat_map(|one| one.value.claims.iter());
    let known: BTreeSet<&str> = given
        .filter(|claim| matches!(claim.value, Value::One(_)) && claim.path.len() == 1)
        .map(|claim| claim.path[0].as_str())
        .collect();
    let keys = [("upstreams", "hash_on"), ("policies", "key")];
    let written = keys.iter().flat_map(|(things, key)| {
        let things = root.get(things).into_iter().flat_map(NodeRef::entries);
        let values = things.filter_map(move |(_, thing)| thing.get(key));
        // The value is one request property or a list of them.
        values.flat_map(|value| [value].into_iter().chain(value.items()))
    });
    for node in written {
        let claim = node
            .scalar_text()
            .and_then(|text| text.strip_prefix("claim:"));
        let Some(claim) = claim.filter(|claim| !known.contains(claim)) else {
            continue;
        };
        let message = format!("no consumer has a claim `{}`", claim.escape_debug());
        let help = match suggest::nearest(claim, known.iter().copied()) {
            Some(near) => format!("did you mean `claim:{near}`?"),
            None => format!(
                "give consumers one (`consumers: {{NAME: {{claims: {{{claim}: VALUE}}}}}}`), a \
string, a number, `true` or `false`"
            ),
        };
        sink.push(
            Diagnostic::new(&UNKNOWN_CLAIM, node.span(), message)
                .label("no request has a value for it")
                .help(help),
        );
    }
}
