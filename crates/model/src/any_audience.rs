//! Introspection verifiers without `audience`: they admit tokens that were issued for any resource.

use diag::{Diagnostic, Sink};
use policy::auth::Checked;
use vocab::verifier_lints::ANY_AUDIENCE;

use super::{Api, Settings, verifiers};

/// Reports each introspection verifier without `audience`.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    for verifier in verifiers::all(settings, apis) {
        let Checked::Introspection(introspection) = &verifier.value.checked else {
            continue;
        };
        if !introspection.has_audience() {
            let message = format!(
                "`{}` admits tokens that were issued for any service",
                verifier.value.name.escape_debug()
            );
            let finding = Diagnostic::new(&ANY_AUDIENCE, verifier.span, message);
            let finding = finding.label("this verifier has no `audience`");
            sink.push(finding.help("write the values of `aud` that identify your APIs"));
        }
    }
}
