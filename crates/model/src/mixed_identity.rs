//! Finding about request fields in which an upstream receives caller names of several authorities.
//! `forward_as` writes the name of a consumer or the subject of a token. An issuer chooses the
//! subjects of its tokens, so a subject may equal the name of a consumer or a subject of another
//! issuer.

use std::collections::BTreeMap;

use bundle::ir;
use diag::{Diagnostic, Sink, Span};

use super::{Api, Settings, verifiers};
use vocab::lints::MIXED_IDENTITY;

/// Authority that gives callers their names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Authority {
    /// Consumers of gateway.yaml, whose names the operator chooses.
    Consumers,
    /// Issuer of tokens.
    Issuer(String),
    /// Verifier of credentials of any issuer, by its name.
    Verifier(String),
}

/// Reports each field in which the upstreams of an API receive caller names of two authorities. The
/// finding is at the definition of the second security scheme.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    for api in apis {
        let mut first: BTreeMap<&str, (Authority, &ir::Scheme)> = BTreeMap::new();
        for scheme in &api.schemes {
            let Some(authority) = authority(settings, api, scheme) else {
                continue;
            };
            let named = scheme.passes.forward_as.iter();
            let claims = scheme.passes.claims.iter();
            let claims = claims.filter(|(claim, _)| claim == "sub");
            for field in named.chain(claims.map(|(_, field)| field)) {
                match first.get(field.as_str()) {
                    None => {
                        first.insert(field, (authority.clone(), scheme));
                    }
                    Some((known, _)) if *known == authority => {}
                    Some((_, other)) => report(api, (field, other, scheme), sink),
                }
            }
        }
    }
}

/// Authority that names the callers of a security scheme. `None` if the gateway does not check the
/// scheme's credential.
fn authority(settings: &Settings, api: &Api, scheme: &ir::Scheme) -> Option<Authority> {
    let verifier = &verifiers::of_scheme(settings, api, scheme)?.value;
    Some(match verifier.checked.kind() {
        "api_key" | "basic" | "hmac_signature" => Authority::Consumers,
        _ => {
            let named = verifier.checked.token_verifier();
            let named = named.and_then(|name| verifiers::named(settings, api, name));
            let checked = named.map_or(&verifier.checked, |named| &named.value.checked);
            let settings = checked.settings();
            let issuer = settings.text(&["issuer"]).map(str::to_owned);
            issuer.map_or_else(
                || Authority::Verifier(verifier.name.clone()),
                Authority::Issuer,
            )
        }
    })
}

fn report(api: &Api, (field, other, scheme): (&str, &ir::Scheme, &ir::Scheme), sink: &mut Sink) {
    let (other, _) = defined(api, other);
    let (name, at) = defined(api, scheme);
    let message = format!(
        "`{}` contains names of callers of `{}` and of `{}`, which may be equal",
        field.escape_debug(),
        other.escape_debug(),
        name.escape_debug()
    );
    sink.push(
        Diagnostic::new(&MIXED_IDENTITY, at, message)
            .label("the upstream cannot tell them apart")
            .help("give each scheme a field of its own"),
    );
}

/// Name of a scheme in the document, and the source location of its definition.
pub(super) fn defined<'m>(api: &'m Api, scheme: &'m ir::Scheme) -> (&'m str, Span) {
    let mut written = api.scheme_names.iter();
    let name = written.find(|(_, canonical)| **canonical == scheme.name);
    let name = name.map(|(name, _)| name);
    let mut defined = api.spec.schemes.iter().map(|one| &one.name);
    let defined = defined.find(|one| Some(&one.value) == name);
    defined.map_or((&scheme.name, api.span), |name| (&name.value, name.span))
}
