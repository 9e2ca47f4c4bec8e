//! Comparison of the properties of callers that the schemes of each alternative write to request
//! fields.
//!
//! [`super::identity`] compares all values of a field together. Two alternatives can exchange their
//! values, so that the field has the same values, but other callers have each of them. This
//! comparison is about pairs of alternatives that both sides select for one request. It applies
//! only if both sides have the same requirement; [`super::principals`] covers all others.

use std::collections::{BTreeMap, BTreeSet};

use super::principals::{self, Sources};
use super::selection::selected;
use super::who::describe;
use super::{Access, Difference, Route, Verdict, identity};

/// Compares the properties of callers in request fields. Returns at most one difference per field.
/// Leaves out fields for which [`identity::compare`] reports more than a restriction.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (Some(was), Some(is)) = (old.route, new.route) else {
        return Vec::new();
    };
    if describe(&was.treatment.security) != describe(&is.treatment.security) {
        return Vec::new();
    }
    let differing = differing(was, is);
    if differing.is_empty() {
        return Vec::new();
    }
    let mut known: BTreeMap<String, Vec<Verdict>> = BTreeMap::new();
    for one in identity::compare(old, new) {
        known.entry(one.subject).or_default().push(one.verdict);
    }
    // Compute the received fields once, because thousands of fields can differ.
    let received = [old, new].map(|side| identity::Fields::received(side, side));
    let differences = differing.into_iter().flat_map(|(name, [before, after])| {
        let subject = identity::subject(name);
        // If clients could choose the value before, a property of the caller only restricts them,
        // and `Strengthen` is the whole difference.
        let is_enough = |verdict: &Verdict| {
            *verdict != Verdict::Strengthen || received[0].is_chosen_by_clients(name)
        };
        let mut verdicts = known.get(&subject).into_iter().flatten();
        let is_known = verdicts.any(is_enough);
        if is_known || !received.iter().any(|side| side.is_written_by_schemes(name)) {
            return Vec::new();
        }
        let shown = |all: BTreeSet<String>| Vec::from_iter(all).join("; ");
        super::one(
            "identity",
            Verdict::Incomparable,
            "identity-field-changed",
            &subject,
            (shown(before), shown(after)),
        )
    });
    differences.collect()
}

/// Fields that have other values on the two sides for a request, with these values.
fn differing<'a>(was: Route<'a>, is: Route<'a>) -> BTreeMap<&'a str, [BTreeSet<String>; 2]> {
    let mut differing: BTreeMap<&str, [BTreeSet<String>; 2]> = BTreeMap::new();
    let sides = [was, is].map(|route| {
        let alternatives = route.treatment.security.indices();
        let all = alternatives.map(|index| written(route, index));
        all.collect::<Vec<Sources<'a>>>()
    });
    let Some(pairs) = selected(was, is) else {
        // The pairs that both sides select are unknown: compare each alternative with every other
        // one.
        let all = sides.iter().flatten();
        let names: BTreeSet<&str> = all.flat_map(|side| side.keys().copied()).collect();
        for name in names {
            let values = sides.each_ref().map(|side| {
                let values = side.iter().map(|one| shown(one.get(name)));
                values.collect::<BTreeSet<String>>()
            });
            if values[0].len() > 1 || values[0] != values[1] {
                differing.insert(name, values);
            }
        }
        return differing;
    };
    for (before, after) in pairs {
        let sides = [&sides[0][before], &sides[1][after]];
        let names: BTreeSet<&str> = sides.iter().flat_map(|side| side.keys().copied()).collect();
        for name in names {
            let [before, after] = sides.map(|side| side.get(name));
            if before != after {
                let [all_before, all_after] = differing.entry(name).or_default();
                all_before.insert(shown(before));
                all_after.insert(shown(after));
            }
        }
    }
    differing
}

/// Fields that the schemes of an alternative write.
fn written<'a>(route: Route<'a>, index: usize) -> Sources<'a> {
    let alternative = route.treatment.security.0.get(index);
    let fields = alternative.map(|one| principals::fields(route, one, &BTreeSet::new()));
    fields.unwrap_or_default()
}

fn shown(sources: Option<&Vec<String>>) -> String {
    match sources {
        None => "no value".to_owned(),
        Some(sources) => sources.join(" and "),
    }
}
