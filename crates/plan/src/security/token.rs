//! Tokens of witnesses, built from the facts in which two requirements differ.

use std::collections::{BTreeMap, BTreeSet};

use policy::auth::jwt::{Signing, witness};
use serde_json::{Map, Value, json};

use super::who::Held;

/// Time of a witness in seconds since 1970: a credential that a project could name ends later, and
/// tokens can have ended before it.
pub const AT_S: u64 = 900_000_000;

/// Fact: header and key of a token.
pub(super) const SIGNING: &str = "signing";

/// Claims that every token has.
pub(super) const ALWAYS: &[&str] = &["iss", "aud", "exp"];

/// The fact that a claim is there.
pub(super) fn required(claim: &str) -> String {
    format!("claim {claim}")
}

/// The fact that a claim has a scope. No scope has a blank.
pub(super) fn scope(claim: &str, scope: &str) -> String {
    format!("scope {scope} {claim}")
}

/// The fact of a header and its key. No algorithm and no key has a blank.
pub(super) fn describe(signing: &Signing) -> String {
    let key = &signing.key;
    let kid = signing.kid.as_deref();
    let kid = kid.map_or(String::new(), |kid| format!(" {kid}"));
    format!("{} {key}{kid}", signing.algorithm.name())
}

/// The token that has just what is held, at a time in seconds since 1970. None if it is no token
/// whose keys are known.
pub(super) fn of(held: &Held<'_>, now_s: u64) -> Option<String> {
    let signing = held.one.get(SIGNING)?;
    let mut words = signing.splitn(3, ' ');
    let (algorithm, key, kid) = (words.next()?, words.next()?, words.next());
    let mut header = Map::new();
    header.insert("alg".to_owned(), algorithm.into());
    header.extend(kid.map(|kid| ("kid".to_owned(), kid.into())));
    let typ = held.one.get("types").filter(|typ| !typ.is_empty());
    header.extend(typ.map(|typ| ("typ".to_owned(), (*typ).into())));
    let facts = &held.asked.has;
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
    let audiences = held.some.iter().filter(|(fact, _)| *fact == "audience");
    let audiences: BTreeSet<&str> = audiences.map(|(_, value)| *value).collect();
    claims.insert("iss".to_owned(), (*held.one.get("issuer")?).into());
    claims.insert("aud".to_owned(), json!(audiences));
    // As late as it may be, and as long-lived.
    let most = |fact| held.asked.at_most.get(fact).copied();
    let ends_ms = now_s * 1000 + 1 - most("leeway").unwrap_or(0);
    claims.insert("exp".to_owned(), seconds(ends_ms)?);
    if claims.contains_key("nbf") {
        claims.insert("nbf".to_owned(), 0.into());
    }
    if claims.contains_key("iat") {
        let begins_ms = most("max_lifetime").map_or(0, |most| ends_ms.saturating_sub(most));
        claims.insert("iat".to_owned(), seconds(begins_ms)?);
    }
    let (header, claims) = (json!(header).to_string(), json!(claims).to_string());
    Some(witness::token(&header, &claims, key))
}

/// Milliseconds as a number of seconds.
fn seconds(ms: u64) -> Option<Value> {
    let text = format!("{}.{:03}", ms / 1000, ms % 1000);
    serde_json::from_str(&text).ok()
}
