//! Alternatives of a security requirement that both sides select for the same request.
//!
//! A gateway selects the first alternative that a request satisfies, and `{}` after all others. It
//! refuses a request with tokens in several places if no alternative requires all of them. An
//! alternative with several credentials is not satisfied if they belong to different callers.
//!
//! For each pair of alternatives, both sides decide about the requests that have the credentials of
//! these two alternatives. Requests with further credentials give no other pairs: without the
//! further credentials, the selected alternatives are still satisfied, and no other alternatives
//! are.

use std::collections::BTreeSet;

use bundle::ir;
use policy::auth::Place;

use super::certificate::location;
use super::who::Alternative;
use super::{Route, principals};

/// Maximum number of contradictions for a comparison of all subsets.
const SUBSETS_OF_MAX: usize = 4;

/// Pairs of indexes of alternatives (old side, new side) that the sides select for at least one
/// request. A requirement without alternatives counts as one alternative that requires nothing.
pub(super) fn selected(old: Route<'_>, new: Route<'_>) -> BTreeSet<(usize, usize)> {
    let (was, is) = (Requirement::of(old, new), Requirement::of(new, old));
    let mut pairs = BTreeSet::new();
    for before in &was.alternatives {
        // Equal requirements select the same alternative for each request.
        let others = match was == is {
            true => std::slice::from_ref(before),
            false => &is.alternatives,
        };
        for after in others {
            let both = before.clone().and(after);
            if both.is_possible() {
                pairs.extend(selected_of(&both, &was, &is));
            }
        }
    }
    pairs
}

/// Pairs of indexes of alternatives that the sides select for requests with exactly these
/// credentials, which belong to one caller or to different callers.
fn selected_of(
    credentials: &Alternative,
    was: &Requirement,
    is: &Requirement,
) -> BTreeSet<(usize, usize)> {
    let places: BTreeSet<&Place> = credentials.places.keys().collect();
    if was.refuses(&places) || is.refuses(&places) {
        return BTreeSet::new();
    }
    // Any of the credentials that can contradict each other may do so.
    let pairs = was.contradictions().chain(is.contradictions());
    let pairs: BTreeSet<_> = pairs
        .filter(|(one, other)| places.contains(one) && places.contains(other))
        .collect();
    let contradictions = subsets(&pairs);
    let select = |is_satisfied: &dyn Fn(&Alternative) -> bool| {
        let pair = |contradictions: &BTreeSet<_>| {
            let before = was.select(is_satisfied, contradictions);
            before.zip(is.select(is_satisfied, contradictions))
        };
        contradictions.iter().filter_map(pair).collect::<Vec<_>>()
    };
    let Some(callers) = credentials.callers() else {
        return select(&|one| credentials.implies(one))
            .into_iter()
            .collect();
    };
    let pairs = (0..callers).flat_map(|number| {
        let caller = credentials.caller(number);
        select(&|one| one.is_satisfied_by(&caller))
    });
    pairs.collect()
}

/// All subsets of a set; above [`SUBSETS_OF_MAX`] members: the empty set, each single member, and
/// the whole set.
fn subsets<T: Copy + Ord>(set: &BTreeSet<T>) -> Vec<BTreeSet<T>> {
    if set.len() > SUBSETS_OF_MAX {
        let mut all = vec![BTreeSet::new()];
        all.extend(set.iter().map(|one| BTreeSet::from([*one])));
        all.push(set.clone());
        return all;
    }
    let mut all = vec![BTreeSet::new()];
    for one in set {
        let with = all.iter().map(|subset| {
            let mut subset: BTreeSet<T> = subset.clone();
            subset.insert(*one);
            subset
        });
        let with: Vec<_> = with.collect();
        all.extend(with);
    }
    all
}

/// Requests that the old side refuses because they have several tokens, and that the new side
/// admits: indexes of the alternatives of the old side whose credentials they have, and the index
/// of the alternative that the new side selects.
pub(super) fn newly_unambiguous(old: Route<'_>, new: Route<'_>) -> Vec<(BTreeSet<usize>, usize)> {
    let (was, is) = (Requirement::of(old, new), Requirement::of(new, old));
    let mut found = Vec::new();
    for before in &was.alternatives {
        for after in &is.alternatives {
            let both = before.clone().and(after);
            let places: BTreeSet<&Place> = both.places.keys().collect();
            if !both.is_possible() || !was.refuses(&places) || is.refuses(&places) {
                continue;
            }
            let has = |one: &Alternative| both.implies(one);
            if let Some(selected) = is.select(&has, &BTreeSet::new()) {
                let had = was.alternatives.iter().filter(|one| has(one));
                found.push((had.map(|one| one.index).collect(), selected));
            }
        }
    }
    found
}

/// Security requirement as a gateway evaluates it.
#[derive(PartialEq, Eq)]
struct Requirement {
    /// Possible alternatives, in the order of evaluation.
    alternatives: Vec<Alternative>,
    /// Places of tokens in each alternative of the document.
    tokens: Vec<BTreeSet<Place>>,
    /// Pairs of places whose credentials can belong to different callers, by alternative of the
    /// document.
    contradictions: Vec<Vec<(Place, Place)>>,
}

impl Requirement {
    /// Requirement of `route`. `other` is the route of the other side.
    fn of(route: Route<'_>, other: Route<'_>) -> Self {
        let written = &route.treatment.security.0;
        let nothing = ir::Alternative(Vec::new());
        let written = match written.is_empty() {
            true => std::slice::from_ref(&nothing),
            false => written,
        };
        let alternatives = written.iter().enumerate();
        let alternatives = alternatives.map(|(index, one)| alternative(route, index, one));
        let mut alternatives: Vec<_> = alternatives.filter(Alternative::is_possible).collect();
        alternatives.sort_by_key(|one| one.places.is_empty());
        let tokens = written.iter().map(|one| token_places(route, one));
        let pairs = written.iter();
        let pairs = pairs.map(|one| principals::contradictions(route, other, one));
        Self {
            alternatives,
            tokens: tokens.collect(),
            contradictions: pairs.collect(),
        }
    }

    /// True if credentials at these places are refused because no alternative requires all tokens.
    fn refuses(&self, places: &BTreeSet<&Place>) -> bool {
        let tokens: BTreeSet<&Place> = self.tokens.iter().flatten().collect();
        let present: Vec<&&Place> = places.intersection(&tokens).collect();
        let takes_all = |own: &BTreeSet<Place>| present.iter().all(|place| own.contains(**place));
        present.len() > 1 && !self.tokens.iter().any(takes_all)
    }

    /// Pairs of places whose credentials can belong to different callers.
    fn contradictions(&self) -> impl Iterator<Item = &(Place, Place)> {
        self.contradictions.iter().flatten()
    }

    /// Index of the first alternative that is satisfied. The credentials of each pair of places in
    /// `contradictions` belong to different callers.
    fn select(
        &self,
        is_satisfied: &dyn Fn(&Alternative) -> bool,
        contradictions: &BTreeSet<&(Place, Place)>,
    ) -> Option<usize> {
        let is_one_caller = |one: &&Alternative| {
            let mut pairs = self.contradictions.get(one.index).into_iter().flatten();
            !pairs.any(|pair| contradictions.contains(pair))
        };
        let mut alternatives = self.alternatives.iter().filter(is_one_caller);
        alternatives
            .find(|one| is_satisfied(one))
            .map(|one| one.index)
    }
}

/// Requirements on the credentials of an alternative, without the claims that only determine the
/// principal.
fn alternative(route: Route<'_>, index: usize, written: &ir::Alternative) -> Alternative {
    let mut one = Alternative::of(
        index,
        written,
        &route.api.schemes,
        &route.gateway.shared.auth,
    );
    for requirements in one.places.values_mut() {
        requirements.readings.clear();
        requirements.end(route.treatment.timeout_ms);
    }
    one
}

/// Places of the tokens that an alternative requires.
fn token_places(route: Route<'_>, alternative: &ir::Alternative) -> BTreeSet<Place> {
    let schemes = alternative.0.iter();
    let schemes = schemes.filter_map(|wanted| route.api.schemes.get(&wanted.scheme));
    let is_token = |scheme: &&ir::Scheme| match &scheme.verify {
        ir::Verify::Auth(name) => {
            let verifier = route.gateway.shared.auth.get(name);
            verifier.is_some_and(|one| one.checked.takes_tokens())
        }
        ir::Verify::Upstream => false,
    };
    schemes
        .filter(is_token)
        .map(|scheme| location(scheme, &route.gateway.shared.auth))
        .collect()
}
