//! Comparison of the credentials that the upstream receives, per alternative.
//!
//! A gateway strips credentials at the places of the API's schemes with `strip_credential`, except
//! those of the alternative that admits the request. `details/schemes.rs` compares all alternatives
//! of an operation together. Two schemes can have the same place, so that one alternative strips
//! the credential and another one forwards it. This comparison is about pairs of alternatives that
//! both sides select for one request.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::ops::Range;

use policy::auth::Place;

use super::handling::{Handling, place_text};
use super::selection::selected;
use super::{Access, Difference, Route, Verdict, who};

/// Returns at most one difference per place. Leaves out places that `details/schemes.rs` reports.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (Some(was), Some(is)) = (old.route, new.route) else {
        return Vec::new();
    };
    if was.api.schemes == is.api.schemes && was.treatment.security == is.treatment.security {
        return Vec::new();
    }
    let schemes = was.api.schemes.iter().chain(&is.api.schemes);
    let places: BTreeSet<&Place> = schemes.map(|scheme| &scheme.place).collect();
    let handling = Handling::of((was.api, was.treatment), (is.api, is.treatment));
    let open = |place: &&Place| **place != Place::Certificate && !handling.is_reported(place);
    let admits_others = LazyCell::new(|| {
        let opens = |verdict| matches!(verdict, Verdict::Weaken | Verdict::Incomparable);
        who::compare(old, new).iter().any(|one| opens(one.verdict))
    });
    let alternatives = [was, is].map(Stripping::of);
    let mut pairs = None;
    let differences = places.into_iter().filter(open).flat_map(|place| {
        let pairs = pairs.get_or_insert_with(|| selected(was, is));
        let found = stripped(&alternatives, pairs.as_ref(), place);
        let mut forwards = found.contains(&(true, false));
        let mut strips = found.contains(&(false, true));
        // Only one side requires the credential, so clients of the other side do not send it. The
        // line about the requirement reports callers that are newly admitted.
        if handling.is_required_by_one(place) {
            strips = false;
            forwards = forwards && !*admits_others;
        }
        let verdict = match (forwards, strips) {
            (true, false) => Verdict::Weaken,
            (true, true) => Verdict::Incomparable,
            // The upstream newly receives requests without the credential.
            (false, true) if handling.is_required(place) => Verdict::Incomparable,
            (false, true) => Verdict::Strengthen,
            (false, false) => Verdict::Equal,
        };
        let id = match forwards {
            true => "credential-forwarded",
            false => "credential-stripped",
        };
        let shown = |side: fn(&(bool, bool)) -> bool| {
            let all: BTreeSet<&str> = found
                .iter()
                .map(side)
                .map(|is_stripped| match is_stripped {
                    true => "stripped",
                    false => "forwarded",
                })
                .collect();
            format!("{} by alternative", Vec::from_iter(all).join(" or "))
        };
        let values = (shown(|pair| pair.0), shown(|pair| pair.1));
        let subject = format!("security {}", place_text(place));
        super::one("identity", verdict, id, &subject, values)
    });
    differences.collect()
}

/// Results of the pairs of alternatives (old, new), each result once. A boolean is true if the
/// alternative strips the credential at `place`. If `pairs` is `None`, each old alternative forms a
/// pair with each new one.
fn stripped(
    [old, new]: &[Stripping<'_>; 2],
    pairs: Option<&BTreeSet<(usize, usize)>>,
    place: &Place,
) -> BTreeSet<(bool, bool)> {
    let (was, is) = (old.keeping(place), new.keeping(place));
    let strips = (old.places.contains(place), new.places.contains(place));
    let [before, after] = [(strips.0, &was), (strips.1, &is)]
        .map(|(strips, keeping)| move |index: usize| strips && !keeping.contains(&index));
    match pairs {
        // If no alternative of either side keeps the credential, all pairs have the same result.
        Some(pairs) if was.is_empty() && is.is_empty() => {
            pairs.first().map(|_| strips).into_iter().collect()
        }
        Some(pairs) => {
            let pairs = pairs.iter();
            pairs.map(|pair| (before(pair.0), after(pair.1))).collect()
        }
        None => {
            let new: BTreeSet<bool> = new.indices.clone().map(after).collect();
            let old: BTreeSet<bool> = old.indices.clone().map(before).collect();
            let all = old.iter();
            all.flat_map(|one| new.iter().map(move |other| (*one, *other)))
                .collect()
        }
    }
}

/// Credentials that a route strips from the requests that its alternatives admit.
struct Stripping<'a> {
    /// Indices of the alternatives of the security requirement.
    indices: Range<usize>,
    /// Places of the API's schemes with `strip_credential`.
    places: BTreeSet<&'a Place>,
    /// Places of the schemes without `strip_credential`, with the index of the alternative that
    /// requires the scheme.
    kept: Vec<(usize, &'a Place)>,
}

impl<'a> Stripping<'a> {
    fn of(route: Route<'a>) -> Self {
        let security = &route.treatment.security;
        let alternatives = security.0.iter().enumerate();
        let uses = alternatives.flat_map(|(index, one)| one.0.iter().map(move |it| (index, it)));
        let kept = uses.filter_map(|(index, wanted)| {
            let scheme = route.api.schemes.get(&wanted.scheme)?;
            (!scheme.strip_credential).then_some((index, &scheme.place))
        });
        let schemes = route.api.schemes.iter();
        let stripping = schemes.filter(|scheme| scheme.strip_credential);
        Self {
            indices: security.indices(),
            places: stripping.map(|scheme| &scheme.place).collect(),
            kept: kept.collect(),
        }
    }

    /// Indices of the alternatives that require and keep a credential at this place. Such an
    /// alternative strips nothing there. Empty if no scheme of the API strips at this place.
    fn keeping(&self, place: &Place) -> BTreeSet<usize> {
        if !self.places.contains(place) {
            return BTreeSet::new();
        }
        let kept = self.kept.iter();
        let kept = kept.filter(|(_, own)| engine::credentials_overlap(own, place));
        kept.map(|(index, _)| *index).collect()
    }
}
