//! Comparison of the credentials that the upstream receives, per alternative.
//!
//! A gateway strips credentials at the places of the API's schemes with `strip_credential`, except
//! those of the alternative that admits the request. `details/schemes.rs` compares all alternatives
//! of an operation together. Two schemes can have the same place, so that one alternative strips
//! the credential and another one forwards it. This comparison is about pairs of alternatives that
//! both sides select for one request.

use std::collections::BTreeSet;

use bundle::ir;
use policy::auth::Place;

use super::handling;
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
    let sides = [(was.api, was.treatment), (is.api, is.treatment)];
    let open = |place: &&Place| {
        **place != Place::Certificate && !handling::is_reported(sides[0], sides[1], place)
    };
    let admits_others = || {
        let opens = |verdict| matches!(verdict, Verdict::Weaken | Verdict::Incomparable);
        who::compare(old, new).iter().any(|one| opens(one.verdict))
    };
    let mut pairs = None;
    let differences = places.into_iter().filter(open).flat_map(|place| {
        let pairs = pairs.get_or_insert_with(|| selected(was, is));
        let found = stripped(was, is, pairs.as_ref(), place);
        let mut forwards = found.contains(&(true, false));
        let mut strips = found.contains(&(false, true));
        // Clients of the other side do not send the credential, and the line about the requirement
        // reports other callers.
        if handling::is_required_by_one(sides[0], sides[1], place) {
            strips = false;
            forwards = forwards && !admits_others();
        }
        let verdict = match (forwards, strips) {
            (true, false) => Verdict::Weaken,
            (true, true) => Verdict::Incomparable,
            // The upstream newly receives requests without the credential.
            (false, true) if handling::is_required(sides[0], sides[1], place) => {
                Verdict::Incomparable
            }
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
        let subject = format!("security {}", handling::place_text(place));
        super::one("identity", verdict, id, &subject, values)
    });
    differences.collect()
}

/// Flags of [`strip`] for the old and the new side, for each of the pairs of alternatives. `None`:
/// any two alternatives count as a pair.
fn stripped(
    was: Route<'_>,
    is: Route<'_>,
    pairs: Option<&BTreeSet<(usize, usize)>>,
    place: &Place,
) -> BTreeSet<(bool, bool)> {
    let [old, new] = [was, is].map(|route| {
        let alternatives = route.treatment.security.indices();
        let flags = alternatives.map(|index| strip(route, index, place));
        flags.collect::<Vec<bool>>()
    });
    match pairs {
        Some(pairs) => {
            let pairs = pairs.iter();
            pairs.map(|pair| (old[pair.0], new[pair.1])).collect()
        }
        None => {
            let new: BTreeSet<bool> = new.into_iter().collect();
            let old: BTreeSet<bool> = old.into_iter().collect();
            let all = old.iter();
            all.flat_map(|one| new.iter().map(move |other| (*one, *other)))
                .collect()
        }
    }
}

/// True if the gateway strips the credential at a place from requests that an alternative admits.
fn strip(route: Route<'_>, index: usize, place: &Place) -> bool {
    let mut schemes = route.api.schemes.iter();
    let alternative = route.treatment.security.0.get(index);
    let uses = alternative.into_iter().flat_map(|one| &one.0);
    let mut used = uses.filter_map(|wanted| route.api.schemes.get(&wanted.scheme));
    let keeps = |scheme: &ir::Scheme| {
        !scheme.strip_credential && engine::credentials_overlap(&scheme.place, place)
    };
    schemes.any(|scheme| scheme.strip_credential && scheme.place == *place) && !used.any(keeps)
}
