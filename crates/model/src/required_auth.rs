//! Key `required.auth` of gateway.yaml: a list of verifiers. Every caller must have a credential
//! that one of these verifiers checks.

use std::collections::BTreeMap;

use bundle::ir;
use diag::{Diagnostic, Sink, Span};
use vocab::lints::REQUIRED_AUTH_MISSING;

use super::settings::Settings;

/// Checks that each security alternative uses one of the required verifiers. The check for open
/// operations reports the empty alternative.
pub(super) fn check(
    security: &ir::Security,
    schemes: &BTreeMap<String, ir::Scheme>,
    settings: &Settings,
    at: Span,
    key: &str,
    sink: &mut Sink,
) {
    let Some(first) = settings.required.auth.first() else {
        return;
    };
    let required = |verify: &ir::Verify| match verify {
        ir::Verify::Auth(name) => settings
            .required
            .auth
            .iter()
            .any(|required| required.value == *name),
        ir::Verify::Upstream => false,
    };
    let covered = |alternative: &ir::Alternative| {
        alternative.0.iter().any(|wanted| {
            schemes
                .get(&wanted.scheme)
                .is_some_and(|scheme| required(&scheme.verify))
        })
    };
    let asks = |alternative: &&ir::Alternative| !alternative.0.is_empty();
    if security
        .0
        .iter()
        .filter(asks)
        .any(|alternative| !covered(alternative))
    {
        sink.push(
            Diagnostic::new(
                &REQUIRED_AUTH_MISSING,
                at,
                format!("`{key}` admits callers whom no verifier of `required.auth` has checked"),
            )
            .related(first.span, "gateway.yaml requires it here"),
        );
    }
}
