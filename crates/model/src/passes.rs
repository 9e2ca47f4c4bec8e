//! Keys of a security scheme that determine what the upstream receives about the caller.
//! `forward_as` and `claims_to_headers` add request fields with the caller's identity.
//! `strip_credential` removes the credential.

use bundle::ir::Passes;
use diag::shape;
use diag::{Diagnostic, NodeRef, Sink};
use policy::transform::headers;

/// Reads the request fields in which the upstream receives the caller's identity. Reports a field
/// that is named twice.
pub(super) fn read(node: NodeRef<'_>, sink: &mut Sink) -> Passes {
    let mut fields: Vec<String> = Vec::new();
    let mut field = |node: NodeRef<'_>, sink: &mut Sink| {
        let field = headers::author::name(node.scalar_text()?, node.span(), sink)?;
        if fields.contains(&field) {
            let message = format!("`{field}` is written by two keys; only one of them can set it");
            sink.push(Diagnostic::new(&shape::BAD_VALUE, node.span(), message));
            return None;
        }
        fields.push(field.clone());
        Some(field)
    };
    let forward_as = node.get("forward_as").filter(|node| !node.is_null());
    let forward_as = forward_as.and_then(|node| field(node, sink));
    let claims = node.get("claims_to_headers").into_iter();
    let mut claims: Vec<(String, String)> = claims
        .flat_map(NodeRef::entries)
        .filter_map(|(entry, node)| Some((entry.key.to_string(), field(node, sink)?)))
        .collect();
    claims.sort();
    Passes { forward_as, claims }
}

/// Reports keys that have no effect in a scheme without a verifier. In such a scheme the gateway
/// does not identify the caller, and the upstream needs the credential for this purpose.
pub(super) fn check_unverified(node: NodeRef<'_>, sink: &mut Sink) {
    let keys = ["strip_credential", "forward_as", "claims_to_headers"];
    let written = keys.into_iter().find_map(|key| {
        let value = node.get(key).filter(|value| !value.is_null())?;
        (value.as_bool() != Some(false)).then_some((key, value))
    });
    let Some((key, value)) = written else { return };
    let help = match key {
        "strip_credential" => {
            "name a verifier (`auth: NAME`), or write `verify: upstream` if the upstream does not need the credential"
        }
        _ => "name a verifier (`auth: NAME`), or remove this key",
    };
    sink.push(
        Diagnostic::new(
            &shape::BAD_VALUE,
            value.span(),
            format!("`{key}` has no effect: the scheme names no verifier"),
        )
        .help(help),
    );
}
