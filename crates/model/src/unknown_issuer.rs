//! Token entries of consumers (`tokens`) whose issuer no verifier accepts.

use diag::{Diagnostic, Sink, suggest};
use policy::auth::Checked;

use super::{Api, Settings, verifiers};
use vocab::lints::UNKNOWN_ISSUER;

/// Reports each issuer that no verifier accepts, at its consumer.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let mut issuers = Vec::new();
    for verifier in verifiers::all(settings, apis) {
        match &verifier.value.checked {
            Checked::Jwt(jwt) => issuers.push(jwt.issuer()),
            Checked::Introspection(asked) => match asked.issuer() {
                Some(issuer) => issuers.push(issuer),
                // The answers of an introspection endpoint may name any issuer.
                None => return,
            },
            Checked::Oidc(login) => issuers.push(login.issuer()),
            Checked::Declared(_) => return,
            Checked::ApiKey(_)
            | Checked::Basic(_)
            | Checked::Mtls(_)
            | Checked::Dpop(_)
            | Checked::HmacSignature(_) => {}
        }
    }
    for consumer in &settings.consumers {
        let mut unknown: Vec<&str> = consumer
            .value
            .tokens
            .iter()
            .map(|one| &*one.issuer)
            .collect();
        unknown.retain(|issuer| !issuers.contains(issuer));
        unknown.dedup();
        for issuer in unknown {
            let message = format!("no verifier admits tokens of `{}`", issuer.escape_debug());
            let help = match suggest::nearest(issuer, issuers.iter().copied()) {
                Some(near) => format!("did you mean `{}`?", near.escape_debug()),
                None => "write the `issuer` of a `jwt` or `introspection` verifier".to_owned(),
            };
            sink.push(
                Diagnostic::new(&UNKNOWN_ISSUER, consumer.span, message)
                    .label("no token matches this entry")
                    .help(help),
            );
        }
    }
}
