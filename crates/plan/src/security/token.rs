//! Tokens of witnesses, built from the differences between two requirements.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policy::auth::jwt::{Signing, witness};
use policy::auth::mtls::{self, Source};
use policy::auth::{Place, dpop};
use policy::guard::authorize::ROLES;
use serde_json::{Map, Value, json};

use super::verifier::CredentialRequirements;
use super::who::{Caller, HypotheticalCredential, Tokens};
use super::{certificate, signature};

/// Unix time of all witnesses, in seconds (1998). The time is so early that the expiry of a
/// credential in a real project is later. The time is late enough that earlier times, such as the
/// expiry of a token within the leeway, are still positive.
pub const AT_S: u64 = 900_000_000;

/// Name of the requirement on a token's algorithm and key.
pub(super) const SIGNING: &str = "signing";

/// Name of the requirement on a token's binding: [`UNBOUND`], or the source of the certificate.
pub(super) const BOUND: &str = "bound";

/// Binding of a bearer token, which is not bound to a certificate or key.
pub(super) const UNBOUND: &str = "none";

/// Name of the requirement on the algorithm of a proof of possession.
pub(super) const PROOF_ALGORITHMS: &str = "proof algorithms";

/// Name of the requirement on the maximum age of a proof, in milliseconds.
pub(super) const PROOF_WINDOW: &str = "proof window";

/// Fact that a proof has a nonce.
pub(super) const PROOF_NONCE: &str = "proof nonce";

/// Claims that every token contains.
pub(super) const ALWAYS: &[&str] = &["iss", "aud", "exp"];

/// Name of the requirement for a claim.
pub(super) fn required(claim: &str) -> String {
    format!("claim {claim}")
}

/// Name of the requirement for a scope in a claim. A space separates the two, because scopes
/// contain no spaces.
pub(super) fn scope(claim: &str, scope: &str) -> String {
    format!("scope {scope} {claim}")
}

/// Name of the requirement that the credential's owner has a role.
pub(super) fn role(role: &str) -> String {
    format!("role {role}")
}

/// Value of the requirement on a token's algorithm and key. Spaces separate the parts, because the
/// parts contain no spaces.
pub(super) fn describe(signing: &Signing) -> String {
    let key = &signing.key;
    let kid = signing.kid.as_deref();
    let kid = kid.map_or(String::new(), |kid| format!(" {kid}"));
    format!("{} {key}{kid}", signing.algorithm.name())
}

/// Name of the requirement that an introspection endpoint reports the token as active. `key`
/// identifies the endpoint.
pub(super) fn activity_fact(key: &str) -> String {
    format!("asked {key}")
}

impl<'a> HypotheticalCredential<'a> {
    /// Builds one credential with exactly the required properties. `rest` selects one of the
    /// possible credentials.
    pub(super) fn choose(requirements: &'a CredentialRequirements, rest: &mut usize) -> Self {
        let mut pick = |values: &'a BTreeSet<String>| {
            let index = *rest % values.len().max(1);
            *rest /= values.len().max(1);
            values.iter().nth(index).map(String::as_str)
        };
        let one = requirements.one_of.iter();
        let one = one
            .filter_map(|(fact, values)| Some((*fact, pick(values)?)))
            .collect();
        let some = requirements.some_of.iter();
        let some = some
            .filter_map(|(fact, values)| Some((*fact, pick(values)?)))
            .collect();
        Self {
            requirements,
            one,
            some,
        }
    }

    pub(super) fn satisfies(&self, requirements: &CredentialRequirements) -> bool {
        let one = |(fact, values): (&&'static str, &BTreeSet<String>)| {
            self.one
                .get(fact)
                .is_some_and(|value| certificate::is_one_of(fact, value, values))
        };
        let some = |(fact, values): &(&'static str, BTreeSet<String>)| {
            values
                .iter()
                .any(|value| self.some.contains(&(*fact, value.as_str())))
        };
        self.requirements.certain(requirements)
            && requirements.one_of.iter().all(one)
            && requirements.some_of.iter().all(some)
    }
}

/// Builds the tokens and certificate names of a caller.
pub(super) fn made(caller: &Caller<'_>, now_s: u64) -> Tokens {
    let sources = [Place::Certificate, certificate::proxied()];
    // One certificate has the names for both sources: two certificates would belong to two callers.
    let certificate = || {
        let credentials = sources.iter().filter_map(|place| caller.get(place));
        let names: Vec<String> = credentials.map(certificate::of).collect();
        names.join("\n")
    };
    let of_source = |source| {
        let is_there = match source {
            Source::Connection => caller.contains_key(&sources[0]),
            Source::Field => caller.contains_key(&sources[1]),
        };
        match is_there {
            true => certificate(),
            false => certificate::ANY.to_owned(),
        }
    };
    let made = caller.iter().filter_map(|(place, credential)| {
        let text = match sources.contains(place) {
            true => certificate(),
            false => signature::of(credential).or_else(|| of(credential, of_source, now_s))?,
        };
        Some(((*place).clone(), text))
    });
    made.collect()
}

/// Proof of possession that belongs to a token of a witness. `None` for a token without a proof.
#[must_use]
pub fn proof_of(token: &str) -> Option<String> {
    let header = header_of(token)?;
    Some(header.get(witness::PROOF)?.as_str()?.to_owned())
}

/// Header of a token of a witness.
pub(super) fn header_of(token: &str) -> Option<Value> {
    let (header, _) = token.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

/// Builds a token with exactly the required properties, at a Unix time in seconds. `None` if no
/// verifier could accept the token, because there is no known signing key and no introspection
/// endpoint. A bound token is bound to the certificate that `certificate` returns for its source,
/// in the form of [`policy::auth::mtls::witness::text`].
pub(super) fn of(
    given: &HypotheticalCredential<'_>,
    certificate: impl FnOnce(Source) -> String,
    now_s: u64,
) -> Option<String> {
    let facts = &given.requirements.has;
    let algorithms = facts.iter().filter_map(|fact| fact.strip_prefix("asked "));
    let algorithms: Vec<&str> = algorithms.collect();
    let (algorithm, key, kid) = match given.one.get(SIGNING) {
        Some(signing) => {
            let mut words = signing.splitn(3, ' ');
            (words.next()?, words.next()?, words.next())
        }
        None => ("none", *algorithms.first()?, None),
    };
    let mut header = Map::new();
    if !algorithms.is_empty() {
        header.insert(witness::ASKED.to_owned(), json!(algorithms));
    }
    header.insert("alg".to_owned(), algorithm.into());
    let bound = given.one.get(BOUND).copied().and_then(Source::of);
    let proof = given.one.get(PROOF_ALGORITHMS).map(|algorithm| {
        let window_ms = given.requirements.at_most.get(PROOF_WINDOW).copied();
        let has_nonce = facts.contains(PROOF_NONCE);
        dpop::witness::text(algorithm, window_ms.unwrap_or(0), has_nonce)
    });
    header.extend(
        proof
            .clone()
            .map(|proof| (witness::PROOF.to_owned(), proof.into())),
    );
    let certificate = bound.map(certificate);
    if let (Some(source), Some(certificate)) = (bound, &certificate) {
        let bound = json!([source.name(), certificate]);
        header.insert(witness::BOUND.to_owned(), bound);
    }
    header.extend(kid.map(|kid| ("kid".to_owned(), kid.into())));
    let typ = given.one.get("types").filter(|typ| !typ.is_empty());
    header.extend(typ.map(|typ| ("typ".to_owned(), (*typ).into())));
    let required = facts.iter().filter_map(|fact| fact.strip_prefix("claim "));
    let mut claims: Map<String, Value> = required
        .map(|claim| (claim.to_owned(), "witness".into()))
        .collect();
    let mut scopes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let named = facts.iter().filter_map(|fact| fact.strip_prefix("scope "));
    for (scope, claim) in named.filter_map(|fact| fact.split_once(' ')) {
        scopes.entry(claim).or_default().insert(scope);
    }
    for (claim, scopes) in scopes {
        let scopes: Vec<&str> = scopes.into_iter().collect();
        claims.insert(claim.to_owned(), scopes.join(" ").into());
    }
    let roles = facts.iter().filter_map(|fact| fact.strip_prefix("role "));
    let roles: Vec<&str> = roles.collect();
    if !roles.is_empty() {
        claims.insert(ROLES.to_owned(), json!(roles));
    }
    let audiences = given.some.iter().filter(|(fact, _)| *fact == "audience");
    let audiences: BTreeSet<&str> = audiences.map(|(_, value)| *value).collect();
    let issuer = given.one.get("issuer");
    claims.extend(issuer.map(|issuer| ("iss".to_owned(), (*issuer).into())));
    claims.insert("aud".to_owned(), json!(audiences));
    // Use the latest allowed expiry and the longest allowed lifetime, so that the token is valid as
    // long as possible.
    let most = |fact| given.requirements.at_most.get(fact).copied();
    let ends_ms = now_s * 1000 + 1 - most("leeway").unwrap_or(0);
    claims.insert("exp".to_owned(), seconds(ends_ms)?);
    if claims.contains_key("nbf") {
        claims.insert("nbf".to_owned(), 0.into());
    }
    if claims.contains_key("iat") {
        let begins_ms = most("max_lifetime").map_or(0, |most| ends_ms.saturating_sub(most));
        claims.insert("iat".to_owned(), seconds(begins_ms)?);
    }
    let mut confirmation = Map::new();
    if let Some(certificate) = &certificate {
        let thumbprint = mtls::witness::thumbprint(certificate);
        confirmation.insert("x5t#S256".to_owned(), thumbprint.into());
    }
    if proof.is_some() {
        let thumbprint = URL_SAFE_NO_PAD.encode(dpop::witness::thumbprint());
        confirmation.insert("jkt".to_owned(), thumbprint.into());
    }
    if !confirmation.is_empty() {
        claims.insert("cnf".to_owned(), confirmation.into());
    }
    let (header, claims) = (json!(header).to_string(), json!(claims).to_string());
    Some(witness::token(&header, &claims, key))
}

/// Converts milliseconds to a JSON number in seconds.
fn seconds(ms: u64) -> Option<Value> {
    let text = format!("{}.{:03}", ms / 1000, ms % 1000);
    serde_json::from_str(&text).ok()
}
