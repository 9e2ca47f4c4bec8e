//! Settings `certificate_binding` and `certificate_header` of verifiers, and their checks.

use diag::shape::{BAD_VALUE, Field, Shape};
use diag::{Diagnostic, NodeRef, Sink};

use super::{Binding, CERTIFICATE_BINDING, CERTIFICATE_HEADER};
use crate::auth::mtls::Source;

/// Setting `certificate_binding`.
pub(in crate::auth) const BINDING: Field = Field::optional(
    CERTIFICATE_BINDING,
    Shape::Word(&["optional", "required"]),
    "Tokens bound to the client's certificate (`cnf` with `x5t#S256`, RFC 8705 §3). `optional` \
accepts them from the client with this certificate, beside tokens without binding; `required` \
accepts no others. Default: bound tokens are refused.",
);

/// Setting `certificate_header`.
pub(in crate::auth) const HEADER: Field = Field::optional(
    CERTIFICATE_HEADER,
    Shape::Word(&["Client-Cert"]),
    "With `certificate_binding`: field of a trusted proxy that carries the client's certificate \
(RFC 9440). Default: the certificate of the TLS connection.",
);

/// Reports `certificate_header` without `certificate_binding`, and `cnf` in `required_claims`.
pub(in crate::auth) fn check(node: NodeRef<'_>, sink: &mut Sink) {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    if let Some(header) = get(CERTIFICATE_HEADER).filter(|_| get(CERTIFICATE_BINDING).is_none()) {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                header.span(),
                "`certificate_header` has no effect without `certificate_binding`",
            )
            .help("add `certificate_binding: optional` or `required`, or remove this key"),
        );
    }
    let claims = get("required_claims").into_iter().flat_map(NodeRef::items);
    for claim in claims.filter(|claim| claim.scalar_text() == Some("cnf")) {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                claim.span(),
                "`cnf` cannot be a required claim: `certificate_binding` decides about it",
            )
            .help("remove `cnf` from the list, and write `certificate_binding: required`"),
        );
    }
}

/// Reads the binding settings of a verifier. `None` if `certificate_binding` is absent.
pub(in crate::auth) fn read(node: NodeRef<'_>) -> Option<Binding> {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    Some(Binding {
        required: get(CERTIFICATE_BINDING)?.as_str() == Some("required"),
        source: match get(CERTIFICATE_HEADER) {
            Some(_) => Source::Field,
            None => Source::Connection,
        },
    })
}
