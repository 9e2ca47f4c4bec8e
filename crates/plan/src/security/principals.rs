//! Comparison of the callers that get a principal, and of the credentials that determine it.
//!
//! Policies and upstreams decide by the principal: its groups, claims and consumer. Two
//! requirements that admit the same callers can give them other principals, for example if
//!
//! - the requirement is optional and another issuer is trusted,
//! - an alternative requires another token as well, which determines the principal,
//! - the order of alternatives changes, because the first satisfied one determines the principal.
//!
//! The credentials of one request can belong to different parties: a proxy adds its certificate or
//! its key to the token of a user. For each pair of alternatives that the sides select for one
//! request ([`selected`]), the sources of the principal are therefore compared.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::auth::{self, Place};

use super::certificate::location;
use super::selection::{newly_unambiguous, selected};
use super::verifier::{CredentialRequirements, claims_by_scope};
use super::who::describe;
use super::{Access, Route, Verdict};

/// Setting of a verifier as it appears in [`CredentialRequirements::readings`].
const CONSUMER_CLAIM: &str = "consumer_claim=";

/// Reason why a line about principals has no example.
pub(super) const NO_EXAMPLE: &str =
    "only a caller with certain claims, groups or consumers would show the change";

/// Parts of the principal that have an effect.
#[derive(Clone, Copy)]
struct Effects {
    /// True if a policy decides by the principal, or the requirement is optional and consumers
    /// exist.
    decides: bool,
    /// True if schemes write properties of the principal to request fields.
    passes: bool,
    /// True if the requirement differs. Otherwise the comparison of each field reports what schemes
    /// write.
    fields: bool,
    /// True if the upstream receives the name of the consumer.
    names: bool,
    /// True if a policy of the old side decides by the principal.
    decided: bool,
    /// Verdict about the callers that are admitted.
    callers: Verdict,
}

/// Compares which callers get which principal. `callers` is the verdict about the callers that are
/// admitted. [`Verdict::Equal`] if nothing decides by the principal on either side.
/// [`Verdict::Incomparable`] if the requirements have too many alternatives.
pub(super) fn verdict(old: &Access<'_>, new: &Access<'_>, callers: Verdict) -> Verdict {
    let (Some(was), Some(is)) = (old.route, new.route) else {
        return Verdict::Equal;
    };
    let names = (all_names(was, is), all_names(is, was));
    let mut all = names.0.iter().chain(&names.1);
    let effects = Effects {
        decides: decides(old, was) || decides(new, is),
        passes: passes(was) || passes(is),
        fields: describe(&was.treatment.security) != describe(&is.treatment.security),
        names: all.any(|names| !names.is_empty()),
        decided: has_deciding_policy(old),
        callers,
    };
    if !effects.decides && !effects.passes && !effects.names {
        return Verdict::Equal;
    }
    let Some(pairs) = selected(was, is) else {
        return Verdict::Incomparable;
    };
    let (before, after) = (Principal::all(was, is), Principal::all(is, was));
    let pairs = pairs.into_iter();
    let pairs = pairs.map(|pair| before[pair.0].compare(&after[pair.1], &names, effects));
    let (gained, lost) = pairs.fold((false, false), |(gained, lost), (more, less)| {
        (gained | more, lost | less)
    });
    // Requests that the old side refused because of several tokens gain nothing if one of these
    // tokens alone had the same effect.
    let is_new = |(had, new): &(BTreeSet<usize>, usize)| {
        let gains = |old: &usize| before[*old].compare(&after[*new], &names, effects).0;
        had.iter().all(gains)
    };
    let gained = gained || newly_unambiguous(was, is).iter().any(is_new);
    Verdict::of(!lost, !gained)
}

/// True if a policy of the chain decides by the principal, or if the upstream receives the names of
/// consumers although everybody is admitted.
fn decides(access: &Access<'_>, route: Route<'_>) -> bool {
    let mut alternatives = route.treatment.security.0.iter();
    let is_optional = alternatives.any(|alternative| alternative.0.is_empty());
    has_deciding_policy(access) || is_optional && !route.gateway.shared.consumers.is_empty()
}

/// True if a policy of the chain decides by the principal: gwc cannot know its decision.
fn has_deciding_policy(access: &Access<'_>) -> bool {
    let mut chain = access.chain();
    chain.any(|policy| policy::unknown_decision(policy.checked.kind()).is_some())
}

/// True if a scheme of the requirement passes properties of the principal to the upstream.
fn passes(route: Route<'_>) -> bool {
    let alternatives = route.treatment.security.0.iter();
    let uses = alternatives.flat_map(|alternative| &alternative.0);
    let mut schemes = uses.filter_map(|wanted| route.api.schemes.get(&wanted.scheme));
    schemes.any(|scheme| !scheme.passes.is_empty())
}

/// Credentials of each alternative that can belong to a consumer. `other` is the route of the other
/// side.
fn all_names(route: Route<'_>, other: Route<'_>) -> BTreeSet<BTreeSet<String>> {
    let alternatives = 0..route.treatment.security.0.len();
    let names = alternatives.map(|index| Principal::of(route, other, index).names);
    names.collect()
}

/// Request fields that schemes write, each with the credentials whose properties it contains.
pub(super) type Sources<'a> = BTreeMap<&'a str, Vec<String>>;

/// Sources of the principal of callers that satisfy an alternative. Texts identify credentials.
#[derive(Default)]
struct Principal<'a> {
    /// Places of the credentials that only the upstream checks.
    unverified: BTreeSet<&'a Place>,
    /// First credential with an identity: a token, certificate or signature.
    identity: Option<String>,
    /// Credentials that can belong to a consumer. All of these must belong to the same consumer.
    names: BTreeSet<String>,
    /// API keys and passwords. They always belong to a consumer.
    keys: BTreeSet<String>,
    /// Consumers that own a credential with an identity, if another credential or a claim of the
    /// same token can name a different consumer. The gateway refuses such a contradiction. Without
    /// the consumer, the credential remains valid and the contradiction ends.
    apart: BTreeSet<&'a str>,
    /// Request fields that the schemes write, each with the credentials whose properties it
    /// contains.
    fields: Sources<'a>,
}

impl<'a> Principal<'a> {
    /// Principals of all alternatives. A requirement without alternatives counts as one alternative
    /// that requires nothing. `other` is the route of the other side.
    fn all(route: Route<'a>, other: Route<'_>) -> Vec<Self> {
        let alternatives = route.treatment.security.indices();
        let all = alternatives.map(|index| Self::of(route, other, index));
        all.collect()
    }

    /// Principal of the alternative with this index. `other` is the route of the other side.
    fn of(route: Route<'a>, other: Route<'_>, index: usize) -> Self {
        let Some(alternative) = route.treatment.security.0.get(index) else {
            return Self::default();
        };
        let credentials = credentials(route, other, alternative);
        let text = |one: &Credential<'_>| one.text.clone();
        let naming = || credentials.iter().filter(|one| one.can_name);
        let names: BTreeSet<String> = naming().map(text).collect();
        let identities = || credentials.iter().filter(|one| one.has_identity);
        let keys = credentials.iter().filter(|one| !one.has_identity);
        let contradict = naming().filter(|one| !one.consumers.is_empty()).count() > 1
            || credentials.iter().any(Credential::is_disputable);
        let apart = identities().flat_map(|one| one.consumers.iter().copied());
        Self {
            unverified: unverified(route, alternative),
            identity: identities().next().map(text),
            apart: apart.filter(|_| contradict).collect(),
            fields: fields(route, alternative, &names),
            keys: keys.map(text).collect(),
            names,
        }
    }

    /// True if the caller has no principal.
    fn is_none(&self) -> bool {
        self.identity.is_none() && self.names.is_empty()
    }

    /// Compares the principals of one request. First flag: true if the request gets a principal, or
    /// a different one. Second flag: true if the request loses its principal, or gets a different
    /// one.
    ///
    /// `known` are the credentials of all alternatives of both sides that can name a consumer. A
    /// request that gets the principal of another known alternative counts as unchanged under two
    /// conditions: other callers are admitted, and only the name of the consumer has an effect.
    /// Exception: if both sides have the alternatives of the old and of the new principal, the
    /// order of the alternatives changed, which is a difference.
    fn compare(
        &self,
        new: &Self,
        known: &(BTreeSet<BTreeSet<String>>, BTreeSet<BTreeSet<String>>),
        effects: Effects,
    ) -> (bool, bool) {
        let has_effect = |one: &Self| {
            effects.decides
                || effects.passes && !one.fields.is_empty()
                || effects.names && !one.names.is_empty()
        };
        match (self.is_none(), new.is_none()) {
            (true, true) => return (false, false),
            // If a public operation newly requires credentials, its callers get a principal. But a
            // policy of the old side may have refused every caller without a principal, and the
            // upstream may have decided by a credential that it still receives.
            (true, false) => {
                let may_gain = effects.callers != Verdict::Strengthen
                    || effects.decided
                    || !self.unverified.is_disjoint(&new.unverified);
                return (may_gain && has_effect(new), false);
            }
            (false, true) => {
                return (
                    false,
                    effects.callers != Verdict::Weaken && has_effect(self),
                );
            }
            (false, false) => {}
        }
        let is_other = effects.decides && self.identity != new.identity
            || effects.fields && !are_within(&self.fields, &new.fields);
        let is_written = effects.fields && !are_within(&new.fields, &self.fields);
        // A key that both sides require names the same consumer, whatever else belongs to the
        // consumer.
        let is_equal = !self.keys.is_disjoint(&new.keys);
        let names = |one: &Self, other: &Self, known: [&BTreeSet<BTreeSet<String>>; 2]| {
            let is_known = || {
                effects.callers != Verdict::Equal
                    && known[0].contains(&one.names)
                    && !known[1].contains(&other.names)
            };
            !is_equal && !one.names.is_subset(&other.names) && (effects.decides || !is_known())
        };
        let (before, after) = (&known.0, &known.1);
        let gained = names(new, self, [before, after]) || !self.apart.is_subset(&new.apart);
        let lost = names(self, new, [after, before]) || !new.apart.is_subset(&self.apart);
        (is_other || is_written || gained, is_other || lost)
    }
}

/// True if `others` contains each field in `fields` with the same sources.
fn are_within(fields: &Sources<'_>, others: &Sources<'_>) -> bool {
    let mut fields = fields.iter();
    fields.all(|(name, sources)| others.get(name) == Some(sources))
}

/// Request fields that the schemes of an alternative write, each with the credentials whose
/// properties it contains. `names` are the credentials that can belong to a consumer, whose name
/// `forward_as` prefers.
pub(super) fn fields<'a>(
    route: Route<'a>,
    alternative: &ir::Alternative,
    names: &BTreeSet<String>,
) -> Sources<'a> {
    let mut fields = Sources::new();
    for wanted in &alternative.0 {
        let Some(scheme) = route.api.schemes.get(&wanted.scheme) else {
            continue;
        };
        let place = location(scheme, &route.gateway.shared.auth);
        if let Some(name) = &scheme.passes.forward_as {
            let source = format!(
                "name by {place:?} {}",
                Vec::from_iter(names.iter().map(String::as_str)).join(" ")
            );
            fields.entry(name).or_default().push(source);
        }
        let verifier = match &scheme.verify {
            ir::Verify::Auth(name) => route.gateway.shared.auth.get(name),
            ir::Verify::Upstream => None,
        };
        let scopes = verifier.map_or_else(String::new, |one| claims_by_scope(&one.checked));
        for (claim, name) in &scheme.passes.claims {
            let source = format!("claim {claim} by {place:?}{scopes}");
            fields.entry(name).or_default().push(source);
        }
    }
    fields
}

/// Credential that a request must have for an alternative.
struct Credential<'a> {
    /// Place in a request.
    place: Place,
    /// Place, and the claims or the kind of verifier from which the principal is read.
    text: String,
    /// True for tokens, certificates and signatures. API keys and passwords identify only
    /// consumers.
    has_identity: bool,
    /// True for API keys and passwords, and if the credential can belong to a consumer of either
    /// side. Consumers that are added or removed have lines of their own.
    can_name: bool,
    /// Consumers of this side to which such a credential can belong.
    consumers: Vec<&'a str>,
    /// True if a claim of the credential names its consumer, and a consumer can also list the
    /// credential.
    is_claimed_and_listed: bool,
    /// Kind of the verifier.
    kind: &'a str,
    /// Issuers of the tokens that the verifier accepts. Empty: any issuer, or no tokens.
    issuers: BTreeSet<String>,
}

impl Credential<'_> {
    /// True if the claim of a credential can name a consumer other than the consumer that lists the
    /// credential. The gateway then refuses the credential.
    fn is_disputable(&self) -> bool {
        self.is_claimed_and_listed && self.consumers.len() > 1
    }
}

/// Verified credentials of an alternative, in the order in which the engine uses the credentials.
/// `other` is the route of the other side.
fn credentials<'a>(
    route: Route<'a>,
    other: Route<'_>,
    alternative: &ir::Alternative,
) -> Vec<Credential<'a>> {
    let verifiers = &route.gateway.shared.auth;
    let mut all: Vec<Credential<'a>> = Vec::new();
    for wanted in &alternative.0 {
        let Some(scheme) = route.api.schemes.get(&wanted.scheme) else {
            continue;
        };
        let ir::Verify::Auth(name) = &scheme.verify else {
            continue;
        };
        let Some(verifier) = verifiers.get(name) else {
            continue;
        };
        let verifier = &verifier.checked;
        let mut requirements = CredentialRequirements::default();
        requirements.check(verifier, verifiers);
        let readings: Vec<&str> = requirements.readings.iter().map(String::as_str).collect();
        let read = match readings.is_empty() {
            true => verifier.kind().to_owned(),
            false => readings.join(" and "),
        };
        let is_named = |one: &&ir::Consumer| names(verifier, &requirements, one);
        let consumers = route.gateway.shared.consumers.iter();
        let consumers: Vec<&str> = consumers
            .filter(is_named)
            .map(|one| one.name.as_str())
            .collect();
        let mut others = other.gateway.shared.consumers.iter();
        let mut listing = route.gateway.shared.consumers.iter();
        let is_listed = listing.any(|one| lists(&requirements, one));
        let has_identity = !matches!(verifier.kind(), "api_key" | "basic");
        let one = Credential {
            place: location(scheme, verifiers),
            text: format!(
                "{:?} {read}{}",
                location(scheme, verifiers),
                claims_by_scope(verifier)
            ),
            has_identity,
            can_name: !has_identity || !consumers.is_empty() || others.any(|one| is_named(&one)),
            consumers,
            is_claimed_and_listed: is_claimed(&requirements) && is_listed,
            kind: verifier.kind(),
            issuers: requirements.one_of.remove("issuer").unwrap_or_default(),
        };
        if !all.iter().any(|known| known.text == one.text) {
            all.push(one);
        }
    }
    all
}

/// Places of the credentials of an alternative that only the upstream checks.
fn unverified<'a>(route: Route<'a>, alternative: &ir::Alternative) -> BTreeSet<&'a Place> {
    let schemes = alternative.0.iter();
    let schemes = schemes.filter_map(|wanted| route.api.schemes.get(&wanted.scheme));
    let schemes = schemes.filter(|scheme| scheme.verify == ir::Verify::Upstream);
    schemes.map(|scheme| &scheme.place).collect()
}

/// Pairs of places of an alternative whose credentials can belong to different callers: to two
/// consumers, or to two subjects of one issuer. The alternative is then not satisfied.
pub(super) fn contradictions(
    route: Route<'_>,
    other: Route<'_>,
    alternative: &ir::Alternative,
) -> Vec<(Place, Place)> {
    if alternative.0.len() < 2 {
        return Vec::new();
    }
    let credentials = credentials(route, other, alternative);
    let differ = |one: &Credential<'_>, other: &Credential<'_>| {
        let is_one_issuer = one.has_identity
            && other.has_identity
            && (one.issuers.is_empty() && other.issuers.is_empty() && one.kind == other.kind
                || !one.issuers.is_disjoint(&other.issuers));
        one.can_name && other.can_name || is_one_issuer
    };
    let mut pairs = Vec::new();
    for (at, one) in credentials.iter().enumerate() {
        let others = credentials[at + 1..].iter();
        let others = others.filter(|other| differ(one, other));
        pairs.extend(others.map(|other| {
            let [a, b] = [one, other].map(|one| one.place.clone());
            (a.clone().min(b.clone()), a.max(b))
        }));
    }
    pairs
}

/// True if a credential that the verifier accepts can belong to the consumer.
fn names(
    verifier: &auth::Checked,
    requirements: &CredentialRequirements,
    consumer: &ir::Consumer,
) -> bool {
    match verifier.kind() {
        "api_key" => !consumer.keys.is_empty(),
        "basic" => !consumer.basic.is_empty(),
        "mtls" => !consumer.certificates.is_empty(),
        // The id of a signature's key names the consumer.
        "hmac_signature" => verifier.settings().has(&["secrets", &consumer.name]),
        _ => is_claimed(requirements) || lists(requirements, consumer),
    }
}

/// True if a claim of the token names its consumer.
fn is_claimed(requirements: &CredentialRequirements) -> bool {
    let mut readings = requirements.readings.iter();
    readings.any(|text| text.contains(CONSUMER_CLAIM))
}

/// True if the consumer lists tokens of an accepted issuer.
fn lists(requirements: &CredentialRequirements, consumer: &ir::Consumer) -> bool {
    let issuers = requirements.one_of.get("issuer");
    let is_accepted = |issuer| issuers.is_none_or(|issuers| issuers.contains(issuer));
    consumer.tokens.iter().any(|one| is_accepted(&one.issuer))
}
