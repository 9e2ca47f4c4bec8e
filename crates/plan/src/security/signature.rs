//! Signatures of requests (`hmac_signature`) in witnesses, built from the differences between two
//! requirements.

use policy::auth::hmac_signature::witness;

use super::who::HypotheticalCredential;

/// Name of the requirement on key ids and their secrets.
pub(super) const SECRETS: &str = "secrets";

/// Name of the requirement on the algorithm of a signature.
pub(super) const ALGORITHMS: &str = "signature algorithms";

/// Name of the requirement on the maximum age of a signature, in milliseconds.
pub(super) const WINDOW: &str = "signature window";

/// Fact that the signature covers the content of the request.
pub(super) const DIGEST: &str = "signature digest";

/// Fact that the signature has a nonce.
pub(super) const NONCE: &str = "signature nonce";

/// Prefix of the requirements for components that the signature covers.
pub(super) const COMPONENT: &str = "components ";

/// Builds a signature with exactly the required properties. `None` if no required verifier checks
/// signatures.
pub(super) fn of(credential: &HypotheticalCredential<'_>) -> Option<String> {
    let key = credential.one.get(SECRETS)?.strip_prefix("secrets.")?;
    let algorithm = credential.one.get(ALGORITHMS)?;
    let window_ms = credential.requirements.at_most.get(WINDOW).copied();
    let facts = credential
        .requirements
        .has
        .iter()
        .filter_map(|fact| match fact.as_str() {
            DIGEST => Some("digest"),
            NONCE => Some("nonce"),
            fact => fact.strip_prefix(COMPONENT),
        });
    Some(witness::text(algorithm, key, window_ms.unwrap_or(0), facts))
}
