//! Comparison of security requirements (plan.md, *Security order*).
//!
//! A requirement is a list of alternatives, of which one must hold. Each alternative is a set of
//! facts about the caller: a credential is present in a field or parameter; it is valid for a
//! source; it has an issuer, audiences and scopes. A valid credential is also present, and a scope
//! implies a valid credential. `D ≤ D′` (D admits no more callers than D′) under one condition: for
//! each alternative of D, an alternative of D′ admits every caller who has exactly its facts. If an
//! alternative allows several issuers or algorithms, each is compared separately, so that the order
//! is exact.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;

use bundle::ir;
use policy::auth::Place;
use rustc_hash::FxBuildHasher;
use serde_json::Value;

use super::verifier::CredentialRequirements;
use super::{Access, Difference, NOT_SERVED, certificate, principals, token};

/// Set of callers that a requirement admits, as a list of alternatives. Without alternatives, no
/// caller is admitted. An alternative without credentials admits every caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who(Vec<Alternative>);

/// Credentials that a caller must present together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alternative {
    /// Index of the alternative in the requirement.
    pub(super) index: usize,
    pub(super) places: BTreeMap<Place, CredentialRequirements>,
}

/// Result of comparing an old with a new requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both sides admit the same callers.
    Equal,
    /// The new side admits more callers.
    Weaken,
    /// The new side admits fewer callers.
    Strengthen,
    /// The new side admits some callers that the old side refuses, and refuses some callers that
    /// the old side admits.
    Incomparable,
}

/// Credential of a hypothetical caller that has exactly the required properties.
pub(super) struct HypotheticalCredential<'a> {
    pub(super) requirements: &'a CredentialRequirements,
    pub(super) one: BTreeMap<&'static str, &'a str>,
    pub(super) some: BTreeSet<(&'static str, &'a str)>,
}

/// Credentials of a hypothetical caller by their place in a request.
pub(super) type Caller<'a> = BTreeMap<&'a Place, HypotheticalCredential<'a>>;

/// Caller that one requirement admits and another refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncoveredCaller {
    /// Index of the alternative that admits the caller.
    pub index: usize,
    /// Tokens of the caller.
    pub tokens: Tokens,
}

/// Tokens by their [`certificate::location`] (field, parameter or cookie), and the names of client
/// certificates.
pub type Tokens = BTreeMap<Place, String>;

/// Maximum number of callers to which an alternative is expanded. Above this number, sets of values
/// are compared as a whole. That comparison finds all differences, and may report additional ones.
const CALLERS_MAX: usize = 4096;

/// Maximum number of comparisons of a caller with an alternative, in one comparison of two
/// requirements. All further callers count as uncovered. Takes about a tenth of a second.
const COMPARISONS_MAX: usize = 1 << 18;

impl Verdict {
    /// Returns the verdict for two flags: the new side admits all callers that the old side admits,
    /// and the old side admits all callers that the new side admits.
    #[must_use]
    pub fn of(old_within_new: bool, new_within_old: bool) -> Self {
        match (old_within_new, new_within_old) {
            (true, true) => Self::Equal,
            (true, false) => Self::Weaken,
            (false, true) => Self::Strengthen,
            (false, false) => Self::Incomparable,
        }
    }

    /// Verdict about callers who must meet two requirements that are compared separately.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Equal, one) | (one, Self::Equal) => one,
            (one, other) if one == other => one,
            _ => Self::Incomparable,
        }
    }
}

impl Who {
    /// Returns the empty set of callers, for requests that match no operation.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Returns the set of callers that a requirement of an API admits.
    #[must_use]
    pub fn of(
        security: &ir::Security,
        schemes: &ir::Set<ir::Scheme>,
        verifiers: &ir::Set<ir::Verifier>,
    ) -> Self {
        if security.0.is_empty() {
            let places = BTreeMap::new();
            return Self(vec![Alternative { index: 0, places }]);
        }
        let alternatives = security.0.iter().enumerate();
        let alternatives = alternatives
            .map(|(index, alternative)| Alternative::of(index, alternative, schemes, verifiers));
        Self(alternatives.filter(Alternative::is_possible).collect())
    }

    /// Applies the timeout of the operation. The timeout also limits the requests of verifiers to
    /// other services.
    #[must_use]
    pub fn within_ms(mut self, timeout_ms: u64) -> Self {
        let places = self.0.iter_mut().flat_map(|one| one.places.values_mut());
        places.for_each(|requirements| requirements.end(timeout_ms));
        self
    }

    /// Leaves out the scopes that a login requests if the operation reads no claims, because these
    /// scopes only determine claims.
    #[must_use]
    pub fn reading_claims(mut self, reads_claims: bool) -> Self {
        if !reads_claims {
            let places = self.0.iter_mut().flat_map(|one| one.places.values_mut());
            places.for_each(CredentialRequirements::drop_requested);
        }
        self
    }

    /// True if `other` admits every caller that this set admits.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        self.uncovered(other).is_none()
    }

    /// Compares this set, which is the old set, with the new set.
    #[must_use]
    pub fn verdict(&self, new: &Self) -> Verdict {
        if self == new {
            return Verdict::Equal;
        }
        Verdict::of(self.within(new), new.within(self))
    }

    /// Returns a caller that this set admits and `other` does not. `None` if there is no such
    /// caller.
    #[must_use]
    pub fn uncovered(&self, other: &Self) -> Option<UncoveredCaller> {
        let mut left = COMPARISONS_MAX;
        self.uncovered_within(other, &mut left)
    }

    /// Searches as [`Self::uncovered`] does. Subtracts the number of comparisons from `left`.
    fn uncovered_within(&self, other: &Self, left: &mut usize) -> Option<UncoveredCaller> {
        let others = other.0.iter().map(|one| (one.mask(), one));
        let others: Vec<(u64, &Alternative)> = others.collect();
        self.0.iter().find_map(|one| one.uncovered(&others, left))
    }

    /// Sources of the credentials that all alternatives require: verifier kinds and settings
    /// (field `sources`). Also the claims that are read (field `readings`), each with the
    /// credentials in which they are read: verifiers of two issuers can swap their claims.
    #[must_use]
    pub fn sources(&self) -> BTreeSet<String> {
        let requirements = self.0.iter().flat_map(|one| one.places.values());
        let all = requirements.flat_map(|one| {
            let read = (!one.readings.is_empty()).then(|| {
                let (claims, sources, issued) = (&one.readings, &one.sources, &one.one_of);
                format!("{claims:?} of {sources:?} {issued:?}")
            });
            one.sources.iter().cloned().chain(read)
        });
        all.collect()
    }

    /// Facts that a witness cannot show, such as the times for which keys and responses of an
    /// issuer are used after they were fetched, and two different certificates.
    #[must_use]
    pub fn unshown(&self) -> BTreeSet<String> {
        let requirements = self.0.iter().flat_map(|one| one.places.values());
        let unshown = requirements.flat_map(CredentialRequirements::unshown);
        let certificates = self.0.iter().filter_map(Alternative::two_certificates);
        unshown.chain(certificates).collect()
    }

    /// True if the requirement admits every caller, even with a forged credential.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let forged = |one: &Alternative| {
            one.places
                .values()
                .all(|requirements| requirements.sources.is_empty())
        };
        self.0.iter().any(forged)
    }
}

impl Alternative {
    /// Alternative number `index` of a requirement.
    pub(super) fn of(
        index: usize,
        alternative: &ir::Alternative,
        schemes: &ir::Set<ir::Scheme>,
        verifiers: &ir::Set<ir::Verifier>,
    ) -> Self {
        let places = places(alternative, schemes, verifiers);
        Self { index, places }
    }

    /// True if every request that satisfies this alternative also satisfies `other`. Sets of values
    /// are compared as a whole.
    pub(super) fn implies(&self, other: &Self) -> bool {
        other.places.iter().all(|(place, requirements)| {
            let own = self.places.get(place);
            own.is_some_and(|own| own.implies(requirements))
        })
    }

    /// True if a request can satisfy the alternative. A token has one algorithm and one issuer, and
    /// a request with two `Authorization` fields is refused as ambiguous.
    pub(super) fn is_possible(&self) -> bool {
        let sets = self
            .places
            .values()
            .flat_map(|requirements| requirements.one_of.values());
        let places = self.places.keys();
        let schemes = places.filter(|place| matches!(place, Place::Authorization(_)));
        schemes.count() <= 1 && sets.into_iter().all(|values| !values.is_empty())
    }

    /// Caller of this alternative that none of `others`, with their masks, admits.
    fn uncovered(&self, others: &[(u64, &Self)], left: &mut usize) -> Option<UncoveredCaller> {
        let found = |number| {
            let caller = self.caller(number);
            Some(UncoveredCaller {
                index: self.index,
                tokens: token::made(&caller, token::AT_S),
            })
        };
        let mask = self.mask();
        let others = others.iter().filter(|(other, _)| other & !mask == 0);
        let others: Vec<&Self> = others.map(|(_, one)| *one).collect();
        let Some(callers) = self.callers() else {
            let is_covered = others.into_iter().any(|wider| self.implies(wider));
            return if is_covered { None } else { found(0) };
        };
        let uncovered = (0..callers).find(|number| {
            let caller = self.caller(*number);
            let is_covered = others.iter().any(|wider| {
                *left = left.saturating_sub(1);
                *left > 0 && wider.is_satisfied_by(&caller)
            });
            !is_covered
        });
        found(uncovered?)
    }

    /// Places of the credentials as bits. Several places can have the same bit. A caller can
    /// satisfy the alternative only if the caller has all its bits.
    pub(super) fn mask(&self) -> u64 {
        let bits = self.places.keys();
        let bits = bits.map(|place| 1u64 << (FxBuildHasher.hash_one(place) % 64));
        bits.fold(0, |mask, bit| mask | bit)
    }

    /// Requirements on the certificates of the connection and of a trusted proxy, if both are
    /// required. A witness has the same certificate in both places.
    fn two_certificates(&self) -> Option<String> {
        let own = self.places.get(&Place::Certificate)?;
        let proxied = self.places.get(&certificate::proxied())?;
        Some(format!("{own:?} and {proxied:?}"))
    }

    /// Number of hypothetical callers: the combinations of values that satisfy the alternative.
    /// `None` above [`CALLERS_MAX`].
    pub(super) fn callers(&self) -> Option<usize> {
        let choices = self.places.values().flat_map(|requirements| {
            let one = requirements.one_of.values().map(BTreeSet::len);
            one.chain(requirements.some_of.iter().map(|(_, values)| values.len()))
        });
        let callers = choices.fold(1usize, usize::saturating_mul);
        (callers <= CALLERS_MAX).then_some(callers)
    }

    /// True if a hypothetical caller has the credentials that the alternative requires.
    pub(super) fn is_satisfied_by(&self, caller: &Caller<'_>) -> bool {
        self.places.iter().all(|(place, requirements)| {
            let credential = caller.get(place);
            credential.is_some_and(|credential| credential.satisfies(requirements))
        })
    }

    /// Requirements of this alternative and of another one together.
    pub(super) fn and(mut self, other: &Self) -> Self {
        for (place, requirements) in &other.places {
            match self.places.get_mut(place) {
                Some(own) => own.and(requirements),
                None => {
                    self.places.insert(place.clone(), requirements.clone());
                }
            }
        }
        self
    }

    /// Returns the hypothetical caller with this number, below [`Alternative::callers`].
    pub(super) fn caller(&self, number: usize) -> Caller<'_> {
        let mut rest = number;
        let places = self.places.iter();
        places
            .map(|(place, requirements)| {
                (
                    place,
                    HypotheticalCredential::choose(requirements, &mut rest),
                )
            })
            .collect()
    }
}

impl CredentialRequirements {
    /// Adds the requirements of `other`. If no value of a property satisfies both, the set of
    /// allowed values is empty.
    fn and(&mut self, other: &Self) {
        self.sources.extend(other.sources.iter().cloned());
        self.readings.extend(other.readings.iter().cloned());
        self.has.extend(other.has.iter().cloned());
        self.some_of.extend(other.some_of.iter().cloned());
        for (fact, most) in &other.at_most {
            let own = self.at_most.entry(fact).or_insert(*most);
            *own = (*own).min(*most);
        }
        for (fact, values) in &other.one_of {
            let within = |values: &BTreeSet<String>, allowed: &BTreeSet<String>| {
                let values = values.iter();
                let values = values.filter(|value| certificate::is_one_of(fact, value, allowed));
                values.cloned().collect::<BTreeSet<String>>()
            };
            let own = self.one_of.entry(fact).or_insert_with(|| values.clone());
            *own = &within(own, values) | &within(values, own);
        }
    }

    /// True if a credential with these requirements meets all requirements of `other` that admit
    /// only one value.
    pub(super) fn certain(&self, other: &Self) -> bool {
        let bounded = |(fact, most): (&&'static str, &u64)| {
            self.at_most.get(fact).is_some_and(|own| own <= most)
        };
        other.sources.is_subset(&self.sources)
            && other.readings.is_subset(&self.readings)
            && other.has.is_subset(&self.has)
            && other.at_most.iter().all(bounded)
    }

    /// True if every credential that meets these requirements also meets the requirements of
    /// `other`. Sets of values are compared as a whole.
    fn implies(&self, other: &Self) -> bool {
        let one = |(fact, values): (&&'static str, &BTreeSet<String>)| {
            self.one_of.get(fact).is_some_and(|own| {
                let mut own = own.iter();
                own.all(|value| certificate::is_one_of(fact, value, values))
            })
        };
        let some = |(fact, values): &(&'static str, BTreeSet<String>)| {
            let mut own = self.some_of.iter().filter(|(own, _)| own == fact);
            own.any(|(_, own)| own.is_subset(values))
        };
        self.certain(other) && other.one_of.iter().all(one) && other.some_of.iter().all(some)
    }
}

/// Required credentials of an alternative. Key: the place of the credential in a request.
fn places(
    alternative: &ir::Alternative,
    schemes: &ir::Set<ir::Scheme>,
    verifiers: &ir::Set<ir::Verifier>,
) -> BTreeMap<Place, CredentialRequirements> {
    let mut places: BTreeMap<Place, CredentialRequirements> = BTreeMap::new();
    for wanted in &alternative.0 {
        let Some(scheme) = schemes.get(&wanted.scheme) else {
            continue;
        };
        let requirements = places
            .entry(certificate::location(scheme, verifiers))
            .or_default();
        let checked = match &scheme.verify {
            // The upstream checks scopes, so the gateway requires nothing further.
            ir::Verify::Upstream => continue,
            ir::Verify::Auth(name) => match verifiers.get(name) {
                Some(verifier) => &verifier.checked,
                None => continue,
            },
        };
        requirements.check(checked, verifiers);
        wanted
            .scopes
            .iter()
            .for_each(|scope| requirements.scope(checked, scope, verifiers));
        wanted.roles.iter().for_each(|role| requirements.role(role));
    }
    places
}

/// Credentials that satisfy an alternative at a Unix time in seconds.
#[must_use]
pub fn tokens(
    alternative: &ir::Alternative,
    schemes: &ir::Set<ir::Scheme>,
    verifiers: &ir::Set<ir::Verifier>,
    now_s: u64,
) -> Tokens {
    let alternative = Alternative {
        index: 0,
        places: places(alternative, schemes, verifiers),
    };
    token::made(&alternative.caller(0), now_s)
}

/// Compares two requirements. Returns the difference if they admit different callers.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let callers = old.who.verdict(&new.who);
    let verdict = callers.and(principals::verdict(old, new, callers));
    if verdict == Verdict::Equal {
        return Vec::new();
    }
    let security = |access: &Access<'_>| access.route.map(|route| route.treatment.security.clone());
    let (was, is) = (security(old), security(new));
    let open = |security: &Option<ir::Security>| {
        security.as_ref().is_some_and(ir::Security::admits_anyone)
    };
    let id = match (open(&was), open(&is)) {
        (false, true) => "security-requirement-removed",
        (true, false) => "security-requirement-added",
        // Both requirements have the same description, so a verifier with the same name differs.
        (false, false) | (true, true) if was == is => "verifier-changed",
        (false, false) | (true, true) => "security-requirement-changed",
    };
    // Also show the verifier's settings that differ.
    let shown = |access: &Access<'_>, security: &Option<ir::Security>| -> Value {
        match security {
            None => NOT_SERVED.into(),
            Some(_) if id == "verifier-changed" => access.verifiers().into(),
            Some(security) => describe(security).into(),
        }
    };
    vec![Difference {
        component: "who",
        verdict,
        id,
        subject: "security".into(),
        old: shown(old, &was),
        new: shown(new, &is),
        why_none: (callers != verdict).then_some(principals::NO_EXAMPLE),
        bound: String::new(),
        class: None,
    }]
}

/// Describes a requirement for display: `header x-key by keys, or basic by staff and cookie sid by
/// *upstream`.
#[must_use]
pub fn describe(security: &ir::Security) -> String {
    if security.0.is_empty() {
        return "anyone".into();
    }
    let wanted = |wanted: &ir::SchemeUse| {
        let with = |word: &str, names: &[String]| match names {
            [] => String::new(),
            names => format!(" with {word}{}", names.join(" ")),
        };
        let scopes = with("", &wanted.scopes);
        let roles = match wanted.roles.len() {
            1 => with("role ", &wanted.roles),
            _ => with("roles ", &wanted.roles),
        };
        format!("{}{scopes}{roles}", without_forwarding_note(&wanted.scheme))
    };
    let alternative = |alternative: &ir::Alternative| match alternative.0.as_slice() {
        [] => "anyone without a credential".to_owned(),
        uses => uses.iter().map(wanted).collect::<Vec<_>>().join(" and "),
    };
    security
        .0
        .iter()
        .map(alternative)
        .collect::<Vec<_>>()
        .join(", or ")
}

/// Text of a scheme without its note about forwarded credentials, which follows `, `. Another line
/// reports forwarding.
fn without_forwarding_note(scheme: &str) -> &str {
    let by = scheme.rfind(" by ").unwrap_or(0);
    let end = scheme[by..].find(", ").map_or(scheme.len(), |at| by + at);
    &scheme[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a requirement from text. `a`, `b`, … stand for verified keys in fields of these
    /// names; `A`, `B`, … for keys that the upstream checks.
    fn who(text: &str) -> Who {
        let place = |name: char| {
            let place = Place::Header(name.to_ascii_lowercase().to_string());
            let mut requirements = CredentialRequirements::default();
            if name.is_ascii_lowercase() {
                requirements.sources.insert("api_key".into());
            }
            (place, requirements)
        };
        match text {
            "nobody" => Who::none(),
            _ => Who(text
                .split('|')
                .enumerate()
                .map(|(index, part)| Alternative {
                    index,
                    places: part
                        .chars()
                        .filter(char::is_ascii_alphabetic)
                        .map(place)
                        .collect(),
                })
                .collect()),
        }
    }

    #[test]
    fn changed_requirements_have_their_verdict() {
        use Verdict::{Equal, Incomparable, Strengthen, Weaken};
        let cases = [
            ("a", "a", Equal),
            ("a", "", Weaken),
            ("", "a", Strengthen),
            ("a", "a|b", Weaken),
            ("a|b", "a", Strengthen),
            ("ab", "a", Weaken),
            ("a", "ab", Strengthen),
            ("a", "b", Incomparable),
            ("a", "A", Weaken),
            ("A", "a", Strengthen),
            ("a|ab", "a", Equal),
            ("a|", "", Equal),
            ("a|", "a", Strengthen),
            ("ab|c", "a|cd", Incomparable),
            ("nobody", "a", Weaken),
            ("a", "nobody", Strengthen),
            ("nobody", "nobody", Equal),
            ("aB", "AB", Weaken),
        ];
        for (old, new, expected) in cases {
            assert_eq!(who(old).verdict(&who(new)), expected, "{old} -> {new}");
        }
    }

    #[test]
    fn alternatives_with_other_places_are_skipped() {
        // All alternatives of three fields of 12, in both orders.
        let names: Vec<char> = ('a'..='l').collect();
        let mut all: Vec<String> = Vec::new();
        for (at, one) in names.iter().enumerate() {
            for (beside, other) in names.iter().enumerate().skip(at + 1) {
                let thirds = names[beside + 1..].iter();
                all.extend(thirds.map(|third| String::from_iter([one, other, third])));
            }
        }
        assert_eq!(all.len(), 220);
        let forward = who(&all.join("|"));
        all.reverse();
        let backward = who(&all.join("|"));
        let mut left = COMPARISONS_MAX;
        assert_eq!(forward.uncovered_within(&backward, &mut left), None);
        // Without bit masks of the places, the search makes about 24,000 comparisons. Some remain,
        // because several places can have the same bit.
        assert!(COMPARISONS_MAX - left < 2_200, "{left}");
        // Callers that were not compared count as uncovered.
        assert!(forward.uncovered_within(&backward, &mut 100).is_some());
    }

    /// Builds a requirement on schemes of a document: bearer tokens checked by `a` and `b`, and
    /// passwords checked by `people`.
    fn requirement(alternatives: &[&[&str]]) -> Who {
        use policy::auth::Checked;
        use policy::declared::{self, Scalar, Settings, Value};

        let token = |name: &str| {
            let issuer = Value::One(Scalar::Text(format!("https://{name}.example")));
            ir::Verifier {
                name: name.into(),
                checked: Checked::Declared(declared::Checked {
                    kind: "jwt".into(),
                    settings: Settings::default().with(&["issuer"], issuer),
                }),
            }
        };
        // A verifier of `kind: basic` with default settings.
        let people = ir::Verifier {
            name: "people".into(),
            checked: bundle::codec::decode(&[0x82, 2, 0x81, 0xa0]).unwrap(),
        };
        let scheme = |name: &str, kind: &str| ir::Scheme {
            name: name.into(),
            place: Place::Authorization(kind.into()),
            verify: ir::Verify::Auth(name.into()),
            strip_credential: false,
            declared: Settings::default(),
            passes: ir::Passes::default(),
        };
        let schemes = [("a", "bearer"), ("b", "bearer"), ("people", "basic")];
        let schemes = schemes.map(|(name, kind)| scheme(name, kind)).to_vec();
        let schemes = ir::Set::new(schemes).unwrap();
        let verifiers = ir::Set::new(vec![token("a"), token("b"), people]).unwrap();
        let uses = |names: &&[&str]| {
            let uses = names.iter().map(|name| ir::SchemeUse {
                scheme: (*name).into(),
                scopes: Vec::new(),
                roles: Vec::new(),
            });
            ir::Alternative(uses.collect())
        };
        let security = ir::Security(alternatives.iter().map(uses).collect());
        Who::of(&security, &schemes, &verifiers)
    }

    #[test]
    fn unsatisfiable_alternatives_admit_no_caller() {
        let two_issuers: &[&[&str]] = &[&["a", "b"]];
        let two_fields: &[&[&str]] = &[&["a", "people"]];
        for impossible in [two_issuers, two_fields] {
            assert_eq!(requirement(impossible), Who::none(), "{impossible:?}");
        }
        let beside = requirement(&[&["a", "b"], &["people"], &["b", "people"]]);
        let alone = requirement(&[&["people"]]);
        assert_eq!(beside.verdict(&alone), Verdict::Equal);
        let uncovered = beside.uncovered(&Who::none());
        let index = uncovered.map(|one| one.index);
        assert_eq!(index, Some(1), "the written place");
        assert_ne!(requirement(&[&["a"]]), Who::none());
    }

    #[test]
    fn scheme_name_is_shown_without_forwarding() {
        assert_eq!(
            without_forwarding_note("header x-key by keys, stripped"),
            "header x-key by keys"
        );
        assert_eq!(
            without_forwarding_note("query a, b by keys"),
            "query a, b by keys"
        );
        assert_eq!(
            without_forwarding_note("query a by b, c by keys, stripped"),
            "query a by b, c by keys"
        );
    }
}
