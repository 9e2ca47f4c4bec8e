//! Client certificates for witnesses. Also the properties of certificates whose allowed values are
//! patterns.

use std::collections::BTreeSet;

use policy::auth::jwt::witness::BOUND;
use policy::auth::mtls::{Source, spiffe, witness};

use super::who::HypotheticalCredential;

/// Name of the requirement on a certificate's SPIFFE id. Its values are patterns of ids.
pub(super) const SPIFFE: &str = "spiffe";

/// Client certificate of a caller whose token must be bound to a certificate, if no requirement
/// specifies the certificate.
pub(super) const ANY: &str = "subject CN=witness";

/// Certificate that a token of a witness is bound to, with its source. `None` for a token that is
/// not bound.
#[must_use]
pub fn of_token(token: &str) -> Option<(Source, String)> {
    let header = super::token::header_of(token)?;
    let bound = header.get(BOUND)?;
    let source = bound.get(0)?.as_str().and_then(Source::of)?;
    Some((source, bound.get(1)?.as_str()?.to_owned()))
}

/// True if the certificate of a caller comes from `source`. A certificate that only the upstream
/// checks comes from the connection.
pub(super) fn is_from(credential: &HypotheticalCredential<'_>, source: Source) -> bool {
    let field = format!("header={}", Source::Field.name());
    let mut sources = credential.requirements.sources.iter();
    match source {
        Source::Field => sources.any(|one| one.contains(&field)),
        Source::Connection => {
            credential.requirements.sources.is_empty() || sources.any(|one| !one.contains(&field))
        }
    }
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
