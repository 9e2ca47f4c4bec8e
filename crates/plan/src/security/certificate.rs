//! Client certificates for witnesses. Also the properties of certificates whose allowed values are
//! patterns.

use std::collections::BTreeSet;

use bundle::ir;
use policy::auth::jwt::witness::BOUND;
use policy::auth::mtls::{Source, spiffe, witness};
use policy::auth::{Checked, Place};

use super::who::HypotheticalCredential;

/// Name of the requirement on a certificate's SPIFFE id. Its values are patterns of ids.
pub(super) const SPIFFE: &str = "spiffe";

/// Client certificate of a caller whose token must be bound to a certificate, if no requirement
/// specifies the certificate.
pub(super) const ANY: &str = "subject CN=witness";

/// Place of certificates that a trusted proxy forwards. No field has this name.
pub(super) fn proxied() -> Place {
    Place::Header(":proxied-certificate".to_owned())
}

/// Source from which the verifier of a security scheme takes client certificates.
/// [`Source::Connection`] for schemes without such a verifier.
pub(crate) fn source(scheme: &ir::Scheme, verifiers: &ir::Set<ir::Verifier>) -> Source {
    let ir::Verify::Auth(name) = &scheme.verify else {
        return Source::Connection;
    };
    match verifiers.get(name).map(|verifier| &verifier.checked) {
        Some(Checked::Mtls(mtls)) => mtls.source(),
        _ => Source::Connection,
    }
}

/// True if a verifier or a scheme of the gateway reads the certificate of the client's connection.
/// A scheme with `verify: upstream` depends on whether the client has a certificate.
pub(super) fn is_read(gateway: &ir::Gateway) -> bool {
    let verifiers = &gateway.shared.auth;
    let mut schemes = gateway.apis.iter().flat_map(|api| &api.schemes);
    if schemes.any(|scheme| location(scheme, verifiers) == Place::Certificate) {
        return true;
    }
    let mut verifiers = gateway.shared.auth.iter();
    verifiers.any(|verifier| {
        let source = match &verifier.checked {
            Checked::Mtls(mtls) => Some(mtls.source()),
            checked => checked.binding().map(|binding| binding.source),
        };
        source == Some(Source::Connection)
    })
}

/// Place of a credential in a request. [`Place::Certificate`] stands only for the certificate of
/// the connection: a certificate that a trusted proxy forwards is another credential.
pub(crate) fn location(scheme: &ir::Scheme, verifiers: &ir::Set<ir::Verifier>) -> Place {
    match (&scheme.place, source(scheme, verifiers)) {
        (Place::Certificate, Source::Field) => proxied(),
        (place, _) => place.clone(),
    }
}

/// Certificate that a token of a witness is bound to, with its source. `None` for a token that is
/// not bound.
#[must_use]
pub fn of_token(token: &str) -> Option<(Source, String)> {
    let header = super::token::header_of(token)?;
    let bound = header.get(BOUND)?;
    let source = bound.get(0)?.as_str().and_then(Source::of)?;
    Some((source, bound.get(1)?.as_str()?.to_owned()))
}

/// True if `allowed` contains the value of a requirement. For [`SPIFFE`], `allowed` has patterns,
/// of which one must match the value.
pub(super) fn is_one_of(fact: &str, value: &str, allowed: &BTreeSet<String>) -> bool {
    allowed.contains(value)
        || fact == SPIFFE
            && allowed
                .iter()
                .any(|pattern| spiffe::matches(pattern, value))
}

/// Certificate with exactly the properties of a credential, in the form of [`witness::text`].
pub(super) fn of(credential: &HypotheticalCredential<'_>) -> String {
    let names = credential.some.iter().filter(|(fact, _)| *fact == "sans");
    let names = names.map(|(_, name)| ("san", *name));
    let one = |kind: &'static str, fact| credential.one.get(fact).map(|name| (kind, *name));
    let id = one("spiffe", SPIFFE);
    witness::text(names.chain(id).chain(one("subject", "subjects")))
}
