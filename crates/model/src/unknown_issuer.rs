//! Findings about `tokens` of consumers. First: entries whose issuer no verifier accepts. Second:
//! introspection verifiers without `issuer`. The endpoint of such a verifier can report the issuer
//! of another verifier, and so identify the consumers of that issuer.

use diag::{Diagnostic, Sink, suggest};
use policy::auth::Checked;

use super::{Api, Settings, verifiers};
use vocab::lints::{ANY_ISSUER, UNKNOWN_ISSUER};

/// Reports introspection verifiers without `issuer`, if the project has other token verifiers and a
/// consumer with `tokens`.
pub(super) fn check_any(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let tokens = verifiers::all(settings, apis).filter(|verifier| match verifier.value.checked {
        Checked::Jwt(_) | Checked::Oidc(_) | Checked::Introspection(_) => true,
        Checked::ApiKey(_)
        | Checked::Basic(_)
        | Checked::Mtls(_)
        | Checked::Dpop(_)
        | Checked::HmacSignature(_)
        | Checked::Declared(_) => false,
    });
    let tokens: Vec<_> = tokens.collect();
    let mut consumers = settings.consumers.iter();
    let with_tokens = consumers.find(|consumer| !consumer.value.tokens.is_empty());
    let Some(with_tokens) = with_tokens.filter(|_| tokens.len() > 1) else {
        return;
    };
    for verifier in tokens {
        let Checked::Introspection(introspection) = &verifier.value.checked else {
            continue;
        };
        if introspection.issuer().is_some() {
            continue;
        }
        let message = format!(
            "the introspection endpoint of `{}` can name the issuer of another verifier",
            verifier.value.name.escape_debug()
        );
        sink.push(
            Diagnostic::new(&ANY_ISSUER, verifier.span, message)
                .label("this verifier has no `issuer`")
                .related(
                    with_tokens.span,
                    "consumers are identified by their issuer here",
                )
                .help("write `issuer`, the issuer of the tokens that this verifier accepts"),
        );
    }
}

/// Reports each issuer that no verifier accepts, at its consumer.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let mut issuers = Vec::new();
    for verifier in verifiers::all(settings, apis) {
        match &verifier.value.checked {
            Checked::Jwt(jwt) => issuers.push(jwt.issuer()),
            Checked::Introspection(introspection) => match introspection.issuer() {
                Some(issuer) => issuers.push(issuer),
                // The responses of an introspection endpoint may name any issuer.
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
