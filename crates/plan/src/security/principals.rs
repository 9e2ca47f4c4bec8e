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

/// Compares which callers get which principal. `callers` is the verdict about the callers that are
/// admitted. [`Verdict::Equal`] if nothing decides by the principal on either side.
pub(super) fn verdict(old: &Access<'_>, new: &Access<'_>, callers: Verdict) -> Verdict {
    let (Some(was), Some(is)) = (old.route, new.route) else {
        return Verdict::Equal;
    };
    // Another consumer name alone is no separate line if the admitted callers differ.
    let is_named = || callers == Verdict::Equal && (can_name(was) || can_name(is));
    if !is_read(old, was) && !is_read(new, is) && !is_named() {
        return Verdict::Equal;
    }
    if is_reordered(&was.treatment.security, &is.treatment.security, was, is) {
        return Verdict::Incomparable;
    }
    identified(was).verdict(&identified(is))
}

/// True if a policy of the chain decides by the principal, if schemes pass its claims to the
/// upstream, or if the upstream receives the names of consumers although everybody is admitted.
fn is_read(access: &Access<'_>, route: Route<'_>) -> bool {
    let decides = |policy: &ir::Policy| DECIDING.contains(&policy.checked.kind());
    let alternatives = &route.treatment.security.0;
    let uses = alternatives.iter().flat_map(|alternative| &alternative.0);
    let mut schemes = uses.filter_map(|wanted| route.api.schemes.get(&wanted.scheme));
    let is_optional = alternatives
        .iter()
        .any(|alternative| alternative.0.is_empty());
    access.chain().any(decides)
        || schemes.any(|scheme| !scheme.passes.is_empty())
        || is_optional && !route.gateway.shared.consumers.is_empty()
}

/// True if the claim of a token that the route accepts can name a consumer. The upstream receives
/// the consumer's name. The credentials that consumers list have lines of their own.
fn can_name(route: Route<'_>) -> bool {
    let alternatives = route.treatment.security.0.iter().enumerate();
    let mut tokens = alternatives.flat_map(|(index, alternative)| {
        let one = Alternative::of(
            index,
            alternative,
            &route.api.schemes,
            &route.gateway.shared.auth,
        );
        one.places.into_values()
    });
    let names = |token: CredentialRequirements| {
        let mut readings = token.readings.iter();
        readings.any(|text| text.contains(CONSUMER_CLAIM))
    };
    !route.gateway.shared.consumers.is_empty() && tokens.any(names)
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
        let naming = naming(credentials(route, alternative, &one));
        if is_absorbed || naming.is_empty() {
            continue;
        }
        let texts: Vec<&str> = naming.iter().map(|one| one.text.as_str()).collect();
        if let Some(requirements) = one.places.get_mut(&naming[0].place) {
            requirements
                .has
                .insert(format!("principal by {}", texts.join(", ")));
            requirements.has.extend(apart(&naming));
        }
        all.push(one);
    }
    Who::of_alternatives(all).within_ms(route.treatment.timeout_ms)
}

/// Credential that a request must have for an alternative.
struct Credential<'a> {
    place: Place,
    /// Place, and the claims or the kind of verifier from which the principal is read.
    text: String,
    /// True for tokens, certificates and signatures. API keys and passwords identify only consumers.
    has_identity: bool,
    /// Consumers to which such a credential can belong.
    consumers: Vec<&'a str>,
}

/// Verified credentials of an alternative, in the order in which the engine uses them. `checked` has
/// their requirements.
fn credentials<'a>(
    route: Route<'a>,
    alternative: &ir::Alternative,
    checked: &Alternative,
) -> Vec<Credential<'a>> {
    let mut all: Vec<Credential<'a>> = Vec::new();
    for wanted in &alternative.0 {
        let Some(scheme) = route.api.schemes.get(&wanted.scheme) else {
            continue;
        };
        let ir::Verify::Auth(name) = &scheme.verify else {
            continue;
        };
        let (Some(verifier), Some(requirements)) = (
            route.gateway.shared.auth.get(name),
            checked.places.get(&scheme.place),
        ) else {
            continue;
        };
        let verifier = &verifier.checked;
        let readings: Vec<&str> = requirements.readings.iter().map(String::as_str).collect();
        let read = match readings.is_empty() {
            true => verifier.kind().to_owned(),
            false => readings.join(" and "),
        };
        let consumers = route.gateway.shared.consumers.iter();
        let consumers = consumers.filter(|one| names(verifier, requirements, one));
        let one = Credential {
            place: scheme.place.clone(),
            text: format!("{:?} {read}", scheme.place),
            has_identity: !matches!(verifier.kind(), "api_key" | "basic"),
            consumers: consumers.map(|one| one.name.as_str()).collect(),
        };
        if !all.iter().any(|known| known.text == one.text) {
            all.push(one);
        }
    }
    all
}

/// Credentials that can determine the principal: the first one with an identity, and those that can
/// belong to a consumer.
fn naming(credentials: Vec<Credential<'_>>) -> Vec<Credential<'_>> {
    let first = credentials.iter().position(|one| one.has_identity);
    let all = credentials.into_iter().enumerate();
    let all = all.filter(|(index, one)| Some(*index) == first || !one.consumers.is_empty());
    all.map(|(_, one)| one).collect()
}

/// Facts about a request with several credentials: each consumer that can contradict another one,
/// because a credential with an identity belongs to it. Without the consumer, the credential
/// remains valid and contradicts no longer.
fn apart(naming: &[Credential<'_>]) -> BTreeSet<String> {
    let consumers = naming.iter().filter(|one| !one.consumers.is_empty());
    if consumers.count() < 2 {
        return BTreeSet::new();
    }
    let identities = naming.iter().filter(|one| one.has_identity);
    let consumers = identities.flat_map(|one| &one.consumers);
    consumers.map(|name| format!("apart from {name}")).collect()
}

/// True if a credential that the verifier accepts can belong to the consumer.
fn names(
    verifier: &auth::Checked,
    requirements: &CredentialRequirements,
    consumer: &ir::Consumer,
) -> bool {
    let is_accepted = |issuer: &String| {
        let issuers = requirements.one_of.get("issuer");
        issuers.is_none_or(|issuers| issuers.contains(issuer))
    };
    match verifier.kind() {
        "api_key" => !consumer.keys.is_empty(),
        "basic" => !consumer.basic.is_empty(),
        "mtls" => !consumer.certificates.is_empty(),
        // The id of a signature's key names the consumer.
        "hmac_signature" => verifier.settings().has(&["secrets", &consumer.name]),
        _ => {
            let mut readings = requirements.readings.iter();
            readings.any(|text| text.contains(CONSUMER_CLAIM))
                || consumer.tokens.iter().any(|one| is_accepted(&one.issuer))
        }
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
