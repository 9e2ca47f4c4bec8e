//! Client certificates for witnesses, and properties of certificates whose allowed values are
//! patterns.

use std::collections::BTreeSet;

use policy::auth::mtls::{spiffe, witness};

use super::who::Held;

/// Name of the fact with a certificate's SPIFFE id. Its values are patterns of ids.
pub(super) const SPIFFE: &str = "spiffe";

/// True if every credential with a value of a fact has one of the allowed values.
pub(super) fn is_one_of(fact: &str, value: &str, allowed: &BTreeSet<String>) -> bool {
    allowed.contains(value)
        || fact == SPIFFE
            && allowed
                .iter()
                .any(|pattern| spiffe::matches(pattern, value))
}

/// Certificate with exactly the held properties, as [`witness::text`] writes it.
pub(super) fn of(held: &Held<'_>) -> String {
    let names = held.some.iter().filter(|(fact, _)| *fact == "sans");
    let names = names.map(|(_, name)| ("san", *name));
    let one = |kind: &'static str, fact| held.one.get(fact).map(|name| (kind, *name));
    let id = one("spiffe", SPIFFE);
    witness::text(names.chain(id).chain(one("subject", "subjects")))
}
