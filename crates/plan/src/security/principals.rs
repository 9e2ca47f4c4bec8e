//! Comparison of the callers that get a principal, and of the credentials that determine it.
//!
//! Policies and upstreams decide by the principal: its groups, claims and consumer. Two requirements
//! that admit the same callers can give them other principals, for example if
//!
//! - the requirement is optional and another issuer is trusted,
//! - an alternative requires another token as well, which determines the principal,
//! - the order of alternatives changes, because the first one that is satisfied determines it.
//!
//! The credentials that determine the principal are therefore compared as a requirement of the
//! alternative. An alternative has no effect on principals if an earlier alternative is always
//! satisfied too.

use std::collections::BTreeSet;

use bundle::ir;
use policy::auth::{self, Place};

use super::verifier::CredentialRequirements;
use super::who::{Alternative, Who};
use super::{Access, Route, Verdict};

/// Kinds of policies that decide by the principal.
const DECIDING: &[&str] = &["authorize", "forward_auth", "ext_proc"];

/// Setting of a verifier as it appears in [`CredentialRequirements::readings`].
const CONSUMER_CLAIM: &str = "consumer_claim=";

/// Reason why a line about principals has no example.
pub(super) const NO_EXAMPLE: &str =
    "only a caller with certain claims, groups or consumers would show the change";

/// Compares which callers get which principal. [`Verdict::Equal`] if nothing decides by the
/// principal on either side.
pub(super) fn verdict(old: &Access<'_>, new: &Access<'_>) -> Verdict {
    let (Some(was), Some(is)) = (old.route, new.route) else {
        return Verdict::Equal;
    };
    if !is_read(old, was) && !is_read(new, is) {
        return Verdict::Equal;
    }
    if is_reordered(&was.treatment.security, &is.treatment.security, was, is) {
        return Verdict::Incomparable;
    }
    identified(was).verdict(&identified(is))
}

/// True if a policy of the chain or an upstream may decide by the principal.
fn is_read(access: &Access<'_>, route: Route<'_>) -> bool {
    let decides = |policy: &ir::Policy| DECIDING.contains(&policy.checked.kind());
    let alternatives = &route.treatment.security.0;
    let uses = alternatives.iter().flat_map(|alternative| &alternative.0);
    let mut schemes = uses.filter_map(|wanted| route.api.schemes.get(&wanted.scheme));
    // Upstreams receive the name of a consumer, and cannot rely on it if everybody is admitted.
    let names_consumers = !route.gateway.shared.consumers.is_empty()
        && alternatives
            .iter()
            .any(|alternative| alternative.0.is_empty());
    access.chain().any(decides)
        || schemes.any(|scheme| !scheme.passes.is_empty())
        || names_consumers
}

/// Callers that get a principal. Each alternative also requires the credentials that determine it.
fn identified(route: Route<'_>) -> Who {
    let mut all: Vec<Alternative> = Vec::new();
    let mut before: Vec<Alternative> = Vec::new();
    for (index, alternative) in route.treatment.security.0.iter().enumerate() {
        let mut one = Alternative::of(
            index,
            alternative,
            &route.api.schemes,
            &route.gateway.shared.auth,
        );
        if one.places.is_empty() || !one.is_possible() {
            continue;
        }
        let mut without_readings = one.clone();
        for requirements in without_readings.places.values_mut() {
            requirements.readings.clear();
        }
        let is_absorbed = before
            .iter()
            .any(|earlier| without_readings.implies(earlier));
        before.push(without_readings);
        let naming = naming(route, alternative, &one);
        if is_absorbed || naming.is_empty() {
            continue;
        }
        let texts: Vec<&str> = naming.iter().map(|(_, text)| text.as_str()).collect();
        if let Some(requirements) = one.places.get_mut(&naming[0].0) {
            requirements
                .has
                .insert(format!("principal by {}", texts.join(", ")));
            // A consumer that a claim names contradicts the consumer of another credential.
            if texts.len() > 1 && texts.iter().any(|text| text.contains(CONSUMER_CLAIM)) {
                let consumers = route.gateway.shared.consumers.iter();
                let apart = consumers.map(|one| format!("apart from {}", one.name));
                requirements.has.extend(apart);
            }
        }
        all.push(one);
    }
    Who::of_alternatives(all).within_ms(route.treatment.timeout_ms)
}

/// Credentials of an alternative that can determine the principal, in the order in which the engine
/// uses them.
fn naming(
    route: Route<'_>,
    alternative: &ir::Alternative,
    checked: &Alternative,
) -> Vec<(Place, String)> {
    let mut all: Vec<(Place, String)> = Vec::new();
    for wanted in &alternative.0 {
        let Some(scheme) = route.api.schemes.get(&wanted.scheme) else {
            continue;
        };
        let ir::Verify::Auth(name) = &scheme.verify else {
            continue;
        };
        let Some(verifier) = route.gateway.shared.auth.get(name) else {
            continue;
        };
        let readings = readings(&checked.places, &scheme.place);
        if readings.is_some() || names_callers(&verifier.checked, &route.gateway.shared.consumers) {
            let kind = readings.unwrap_or_else(|| verifier.checked.kind().to_owned());
            let text = format!("{:?} {kind}", scheme.place);
            if !all.iter().any(|(_, known)| *known == text) {
                all.push((scheme.place.clone(), text));
            }
        }
    }
    all
}

/// Claims from which the principal of a token is read. `None` if the credential is not a token.
fn readings(
    places: &std::collections::BTreeMap<Place, CredentialRequirements>,
    place: &Place,
) -> Option<String> {
    let readings = &places.get(place)?.readings;
    let texts: Vec<&str> = readings.iter().map(String::as_str).collect();
    (!texts.is_empty()).then(|| texts.join(" and "))
}

/// True if a credential that the verifier accepts can determine the principal. API keys and passwords
/// identify only consumers. Tokens, certificates and signatures have an identity of their own.
fn names_callers(checked: &auth::Checked, consumers: &ir::Set<ir::Consumer>) -> bool {
    let mut consumers = consumers.iter();
    match checked.kind() {
        "api_key" => consumers.any(|consumer| !consumer.keys.is_empty()),
        "basic" => consumers.any(|consumer| !consumer.basic.is_empty()),
        _ => true,
    }
}

/// Token at a place, with its issuers (empty: every issuer) and the claims of its principal.
type Token = (Place, BTreeSet<String>, BTreeSet<String>);

/// True if one token can satisfy two alternatives that read other claims, and the sides try these
/// alternatives in a different order.
fn is_reordered(was: &ir::Security, is: &ir::Security, old: Route<'_>, new: Route<'_>) -> bool {
    let (was, is) = (tokens(was, old), tokens(is, new));
    let at = |side: &[Token], token: &Token| side.iter().position(|one| one == token);
    let prefers = |side: &[Token], token: &Token, other: &Token| {
        at(side, token).is_some_and(|own| at(side, other).is_none_or(|other| own < other))
    };
    was.iter().any(|before| {
        is.iter().any(|after| {
            conflict(before, after) && prefers(&was, before, after) && prefers(&is, after, before)
        })
    })
}

/// True if one token can satisfy both requirements, and its principal is read from other claims.
fn conflict((place, issuers, readings): &Token, other: &Token) -> bool {
    let is_shared = issuers.is_empty() || other.1.is_empty() || !issuers.is_disjoint(&other.1);
    *place == other.0 && *readings != other.2 && is_shared
}

/// Tokens of all alternatives, in the order in which the engine tries them.
fn tokens(security: &ir::Security, route: Route<'_>) -> Vec<Token> {
    let alternatives = security.0.iter().enumerate();
    let alternatives = alternatives.map(|(index, alternative)| {
        Alternative::of(
            index,
            alternative,
            &route.api.schemes,
            &route.gateway.shared.auth,
        )
    });
    let mut all: Vec<Token> = Vec::new();
    for alternative in alternatives.filter(Alternative::is_possible) {
        for (place, requirements) in alternative.places {
            let issuers = requirements.one_of.get("issuer").cloned();
            let token = (place, issuers.unwrap_or_default(), requirements.readings);
            if !token.2.is_empty() && !all.contains(&token) {
                all.push(token);
            }
        }
    }
    all
}
