//! Check of a client certificate. The certificate was parsed when it arrived in the TLS handshake
//! or in a proxy's field.

use http::HeaderValue;
use policy::Cx;
use policy::auth::{Fault, mtls};

use super::{Check, Outcome, VerifiedCredential};
use crate::consumers::{CredentialOwner, NotOwned};
use crate::credentials::Credentials;

/// Outcome for a scheme whose credential is a client certificate. If the upstream checks the
/// certificate, the gateway only requires a client certificate that the TLS handshake has verified.
pub(super) fn outcome(check: &Check, cx: &Cx<'_>, credentials: &Credentials) -> Outcome {
    let checked = match check {
        Check::Certificate(checked) => Some(checked),
        Check::PresenceOnly => None,
        // gwc refuses these checks for a scheme whose credential is a certificate.
        Check::Key | Check::Basic | Check::Token(_) => return Outcome::Absent,
    };
    let source = checked.map_or(mtls::Source::Connection, mtls::Checked::source);
    let field = cx.client_cert.as_ref().map(HeaderValue::as_bytes);
    let presented = cx.presented.and_then(|one| one.get(source, field));
    match (presented, checked) {
        (None, _) => Outcome::Absent,
        (Some(Err(reason)), _) => Outcome::Fault(Fault::Certificate(reason)),
        (Some(Ok(_)), None) => Outcome::Satisfied(None),
        (Some(Ok(certificate)), Some(checked)) => {
            let refused = |reason| Outcome::Fault(Fault::Certificate(reason));
            if let Err(reason) = checked.verify(&certificate, cx.unix_s) {
                return refused(reason);
            }
            if cx.revoked.contains(certificate.sha256()) {
                return refused(mtls::Reason::Revoked);
            }
            match owner(&certificate, cx, credentials) {
                Ok(owner) => Outcome::Satisfied(Some(VerifiedCredential {
                    sha256: *certificate.sha256(),
                    ends_s: owner.ends_s(certificate.identity().ends_s),
                    consumer: owner.consumer,
                    token: Some(certificate.identity().clone()),
                    proved: None,
                    signed: None,
                    session: None,
                })),
                Err(NotOwned::Expired) => refused(mtls::Reason::Expired),
                Err(NotOwned::Disputed) => Outcome::Disputed,
            }
        }
    }
}

/// Consumer that lists the certificate by its fingerprint or by one of its names. If no consumer
/// lists the certificate, the result has no consumer and no error.
fn owner(
    certificate: &mtls::Certificate,
    cx: &Cx<'_>,
    credentials: &Credentials,
) -> Result<CredentialOwner, NotOwned> {
    let mut owned = CredentialOwner::default();
    if credentials.certificates.is_empty() {
        return Ok(owned);
    }
    let names = certificate.credentials().iter();
    for owner in names.filter_map(|name| credentials.certificates.get(name)) {
        owned.add(owner, cx.unix_s)?;
    }
    Ok(owned)
}
