//! Refusals of versions that cannot be built.

use bundle::refused::Refused;
use engine::BuildError;

use crate::tls;

/// Refusal of a bundle because of an unusable certificate, private key or CA certificate.
pub(super) fn unusable(unusable: tls::Unusable) -> Refused {
    match unusable {
        tls::Unusable::Secret(unavailable) => refused(BuildError::Secret(unavailable)),
        tls::Unusable::Content { what, why } => Refused::CertificateUnusable { what, why },
    }
}

/// Refusal of a bundle that the engine cannot build.
pub(crate) fn refused(error: BuildError) -> Refused {
    match error {
        BuildError::RouteConflict(a, b) => Refused::RouteConflict {
            what: format!("`{}` and `{}`", a.escape_debug(), b.escape_debug()),
        },
        BuildError::ListenerConflict(a, b) => Refused::ListenerConflict {
            what: format!("`{}` and `{}`", a.escape_debug(), b.escape_debug()),
        },
        BuildError::Secret(unavailable) if unavailable.reason == "secret-not-allowed" => {
            Refused::SecretNotAllowed {
                reference: unavailable.reference.to_string(),
            }
        }
        BuildError::Secret(unavailable) if unavailable.reason == "secret-unusable" => {
            Refused::SecretUnusable {
                reference: unavailable.reference.to_string(),
            }
        }
        BuildError::Secret(unavailable) => Refused::SecretMissing {
            reference: unavailable.reference.to_string(),
        },
        BuildError::NotAvailable(need) => match need.parse() {
            Ok(feature) => Refused::Needs { feature },
            Err(_) => Refused::Malformed {
                what: "bundle",
                why: "the bundle needs an unknown feature".into(),
            },
        },
        other @ (BuildError::UnknownName(_)
        | BuildError::BadAddress(_)
        | BuildError::CredentialConflict
        | BuildError::BadIndex
        | BuildError::OtherApis
        | BuildError::OtherDocuments) => Refused::Malformed {
            what: "bundle",
            why: other.to_string().into(),
        },
    }
}
