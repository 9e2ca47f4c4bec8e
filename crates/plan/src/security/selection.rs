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

/// Maximum work of the comparison of two requirements: callers, times the alternatives and the
/// combinations of contradictions that are examined for each caller. Enough for 40 alternatives on
/// each side. Takes about a tenth of a second.
const WORK_MAX: usize = 1 << 18;

/// Pairs of indexes of alternatives (old side, new side) that the sides select for at least one
/// request. A requirement without alternatives counts as one alternative that requires nothing.
/// `None` if the comparison needs more work than [`WORK_MAX`].
pub(super) fn selected(old: Route<'_>, new: Route<'_>) -> Option<BTreeSet<(usize, usize)>> {
    let (was, is) = (Requirement::of(old, new), Requirement::of(new, old));
    Selection::new(&was, &is).pairs()
}

/// Comparison of the alternatives that two requirements select.
struct Selection<'r> {
    was: &'r Requirement,
    is: &'r Requirement,
    /// Pairs of places whose credentials can belong to different callers, of both sides.
    contradictions: BTreeSet<&'r (Place, Place)>,
    /// Number of combinations that may still be examined.
    left: usize,
}

impl<'r> Selection<'r> {
    fn new(was: &'r Requirement, is: &'r Requirement) -> Self {
        Self {
            was,
            is,
            contradictions: was.contradictions().chain(is.contradictions()).collect(),
            left: WORK_MAX,
        }
    }

    /// Computes the pairs that [`selected`] returns.
    fn pairs(&mut self) -> Option<BTreeSet<(usize, usize)>> {
        // Equal requirements select the same alternative for each request.
        let are_equal = self.was == self.is;
        let found = self.pairs_of(are_equal);
        let same = |one: &Alternative| (one.index, one.index);
        let all = || self.was.alternatives.iter().map(same).collect();
        found.or_else(|| are_equal.then(all))
    }

    fn pairs_of(&mut self, are_equal: bool) -> Option<BTreeSet<(usize, usize)>> {
        let (was, is) = (self.was, self.is);
        let mut pairs = BTreeSet::new();
        for before in &was.alternatives {
            let others = match are_equal {
                true => std::slice::from_ref(before),
                false => &is.alternatives,
            };
            for after in others {
                self.left = self.left.checked_sub(1)?;
                let both = before.clone().and(after);
                if both.is_possible() {
                    pairs.extend(self.of(&both)?);
                }
            }
        }
        Some(pairs)
    }

    /// Pairs of indexes of alternatives that the sides select for requests with exactly these
    /// credentials, which belong to one caller or to different callers. `None` if no work is left.
    fn of(&mut self, credentials: &Alternative) -> Option<BTreeSet<(usize, usize)>> {
        let (was, is) = (self.was, self.is);
        let alternatives = was.alternatives.len() + is.alternatives.len();
        self.left = self.left.checked_sub(alternatives)?;
        let places: BTreeSet<&Place> = credentials.places.keys().collect();
        if was.refuses(&places) || is.refuses(&places) {
            return Some(BTreeSet::new());
        }
        // Any of the credentials that can contradict each other may do so.
        let pairs = self.contradictions.iter().copied();
        let pairs = pairs.filter(|(one, other)| places.contains(one) && places.contains(other));
        let contradictions = subsets(&pairs.collect());
        let (callers, mask) = (credentials.callers(), credentials.mask());
        let work = alternatives.saturating_add(contradictions.len());
        let work = work.saturating_mul(callers.unwrap_or(1));
        self.left = self.left.checked_sub(work)?;
        let select = |is_satisfied: &dyn Fn(&Alternative) -> bool| {
            let sides = [was, is].map(|side| side.satisfied(mask, is_satisfied));
            let pair = |contradictions: &BTreeSet<_>| {
                let before = was.select(&sides[0], contradictions);
                before.zip(is.select(&sides[1], contradictions))
            };
            contradictions.iter().filter_map(pair).collect::<Vec<_>>()
        };
        let Some(callers) = callers else {
            let pairs = select(&|one| credentials.implies(one));
            return Some(pairs.into_iter().collect());
        };
        let pairs = (0..callers).flat_map(|number| {
            let caller = credentials.caller(number);
            select(&|one| one.is_satisfied_by(&caller))
        });
        Some(pairs.collect())
    }
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
    if was == is {
        return found;
    }
    for before in &was.alternatives {
        for after in &is.alternatives {
            let both = before.clone().and(after);
            let places: BTreeSet<&Place> = both.places.keys().collect();
            if !both.is_possible() || !was.refuses(&places) || is.refuses(&places) {
                continue;
            }
            let has = |one: &Alternative| both.implies(one);
            let [had, has] = [&was, &is].map(|side| side.satisfied(both.mask(), &has));
            if let Some(selected) = is.select(&has, &BTreeSet::new()) {
                found.push((had.iter().map(|one| one.index).collect(), selected));
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
    /// [`Alternative::mask`] of each possible alternative.
    masks: Vec<u64>,
    /// Places of tokens in each alternative of the document.
    tokens: Vec<BTreeSet<Place>>,
    /// Places of tokens in any alternative of the document.
    all_tokens: BTreeSet<Place>,
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
        let tokens = written.iter().map(|one| token_places(route, one));
        let pairs = written.iter();
        let pairs = pairs.map(|one| principals::contradictions(route, other, one));
        Self::new(alternatives.collect(), tokens.collect(), pairs.collect())
    }

    /// Requirement with these alternatives. `tokens` and `contradictions` have one entry for
    /// each alternative of the document.
    fn new(
        mut alternatives: Vec<Alternative>,
        tokens: Vec<BTreeSet<Place>>,
        contradictions: Vec<Vec<(Place, Place)>>,
    ) -> Self {
        alternatives.retain(Alternative::is_possible);
        alternatives.sort_by_key(|one| one.places.is_empty());
        Self {
            masks: alternatives.iter().map(Alternative::mask).collect(),
            alternatives,
            all_tokens: tokens.iter().flatten().cloned().collect(),
            tokens,
            contradictions,
        }
    }

    /// True if credentials at these places are refused because no alternative requires all tokens.
    fn refuses(&self, places: &BTreeSet<&Place>) -> bool {
        let present = places
            .iter()
            .filter(|place| self.all_tokens.contains(**place));
        let present: Vec<&Place> = present.copied().collect();
        let takes_all = |own: &BTreeSet<Place>| present.iter().all(|place| own.contains(*place));
        present.len() > 1 && !self.tokens.iter().any(takes_all)
    }

    /// Pairs of places whose credentials can belong to different callers.
    fn contradictions(&self) -> impl Iterator<Item = &(Place, Place)> {
        self.contradictions.iter().flatten()
    }

    /// Alternatives that credentials with this [`Alternative::mask`] satisfy.
    fn satisfied(
        &self,
        mask: u64,
        is_satisfied: &dyn Fn(&Alternative) -> bool,
    ) -> Vec<&Alternative> {
        let all = self.alternatives.iter().zip(&self.masks);
        let possible = all.filter(|(_, own)| *own & !mask == 0);
        let satisfied = possible.filter(|(one, _)| is_satisfied(one));
        satisfied.map(|(one, _)| one).collect()
    }

    /// Index of the first of the alternatives `satisfied`. The credentials of each pair of places
    /// in `contradictions` belong to different callers.
    fn select(
        &self,
        satisfied: &[&Alternative],
        contradictions: &BTreeSet<&(Place, Place)>,
    ) -> Option<usize> {
        let is_one_caller = |one: &&&Alternative| {
            let mut pairs = self.contradictions.get(one.index).into_iter().flatten();
            !pairs.any(|pair| contradictions.contains(pair))
        };
        satisfied.iter().find(is_one_caller).map(|one| one.index)
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

#[cfg(test)]
mod tests {
    use super::super::verifier::CredentialRequirements;
    use super::*;

    /// Requirement with one alternative for each text. Each character is a field with a key. Keys
    /// of one request can belong to different callers.
    fn requirement(alternatives: &[String]) -> Requirement {
        let place = |name: char| Place::Header(name.to_string());
        let one = |(index, text): (usize, &String)| {
            let places = text.chars().map(place);
            let places = places.map(|place| (place, CredentialRequirements::default()));
            Alternative {
                index,
                places: places.collect(),
            }
        };
        let pairs = |text: &String| {
            let names: Vec<char> = text.chars().collect();
            let pairs = names
                .windows(2)
                .map(|pair| (place(pair[0]), place(pair[1])));
            pairs.collect()
        };
        let alternatives_of = alternatives.iter().enumerate().map(one).collect();
        let contradictions = alternatives.iter().map(pairs).collect();
        Requirement::new(alternatives_of, Vec::new(), contradictions)
    }

    #[test]
    fn sides_select_the_first_satisfied_alternative() {
        let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let (was, is) = (
            requirement(&texts(&["a", "b"])),
            requirement(&texts(&["b", "a"])),
        );
        let expected = BTreeSet::from([(0, 0), (0, 1), (1, 0)]);
        assert_eq!(Selection::new(&was, &is).pairs(), Some(expected));
        // If `a` and `b` belong to different callers, the first alternative is not satisfied.
        let (was, is) = (
            requirement(&texts(&["ab", "a"])),
            requirement(&texts(&["a"])),
        );
        let expected = BTreeSet::from([(0, 0), (1, 0)]);
        assert_eq!(Selection::new(&was, &is).pairs(), Some(expected));
    }

    #[test]
    fn many_alternatives_exceed_the_work() {
        let all = |count: u32, of: char| -> Vec<String> {
            let names = (0..count).map(|at| char::from_u32('\u{4e00}' as u32 + at));
            names.flatten().map(|one| format!("{one}{of}")).collect()
        };
        let (was, is) = (requirement(&all(30, 'a')), requirement(&all(30, 'b')));
        let mut selection = Selection::new(&was, &is);
        let found = selection.pairs().map(|pairs| pairs.len());
        assert_eq!(found, Some(900));
        // The selection counts the work for all combinations of a pair, although few alternatives
        // are satisfied.
        assert!(selection.left > 0, "{}", selection.left);
        let (was, is) = (requirement(&all(400, 'a')), requirement(&all(400, 'b')));
        let mut selection = Selection::new(&was, &is);
        assert_eq!(selection.pairs(), None);
        // Equal requirements select equal alternatives.
        let mut selection = Selection::new(&was, &was);
        assert_eq!(selection.pairs().map(|pairs| pairs.len()), Some(400));
    }
}
