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
    let select = |is_satisfied: &dyn Fn(&Alternative) -> bool| {
        let pair = |is_one_caller| {
            let before = was.select(is_satisfied, is_one_caller);
            before.zip(is.select(is_satisfied, is_one_caller))
        };
        [true, false]
            .into_iter()
            .filter_map(pair)
            .collect::<Vec<_>>()
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

/// Security requirement as a gateway evaluates it.
#[derive(PartialEq, Eq)]
struct Requirement {
    /// Possible alternatives, in the order of evaluation.
    alternatives: Vec<Alternative>,
    /// Places of tokens in each alternative of the document.
    tokens: Vec<BTreeSet<Place>>,
    /// Indexes of the alternatives whose credentials can belong to different callers.
    contradictable: BTreeSet<usize>,
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
        let contradictable = written.iter().enumerate();
        let contradictable =
            contradictable.filter(|(_, one)| principals::can_contradict(route, other, one));
        Self {
            alternatives,
            tokens: tokens.collect(),
            contradictable: contradictable.map(|(index, _)| index).collect(),
        }
    }

    /// True if credentials at these places are refused because no alternative requires all tokens.
    fn refuses(&self, places: &BTreeSet<&Place>) -> bool {
        let tokens: BTreeSet<&Place> = self.tokens.iter().flatten().collect();
        let present: Vec<&&Place> = places.intersection(&tokens).collect();
        let takes_all = |own: &BTreeSet<Place>| present.iter().all(|place| own.contains(**place));
        present.len() > 1 && !self.tokens.iter().any(takes_all)
    }

    /// Index of the first alternative that is satisfied. `is_one_caller`: true if the credentials
    /// of the request belong to one caller.
    fn select(
        &self,
        is_satisfied: &dyn Fn(&Alternative) -> bool,
        is_one_caller: bool,
    ) -> Option<usize> {
        let mut alternatives = self
            .alternatives
            .iter()
            .filter(|one| is_one_caller || !self.contradictable.contains(&one.index));
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
