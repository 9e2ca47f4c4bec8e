//! Bypasses that a change introduces: an operation becomes able to reach the upstream path of
//! another operation with stricter access.

use bundle::ir;
use serde_json::Value;

use crate::pairs::reference;
use crate::{Change, Class, Plan, Section};
use model::outbound::{of_gateway, survey};

/// Reports the bypasses of the new side that the old side does not have.
pub(crate) fn compare(old: &ir::Gateway, new: &ir::Gateway, plan: &mut Plan) {
    let of = |gateway| {
        let (shared, places) = of_gateway(gateway);
        survey(&shared, &places)
    };
    let after = of(new);
    plan.notes.extend(after.gap());
    if after.rounds.is_empty() {
        return;
    }
    let before = of(old);
    if let Some(gap) = before.gap().filter(|_| after.not_compared.is_empty()) {
        plan.notes.push(format!("old side: {gap}"));
    }
    for (key, round) in &after.rounds {
        let reached = before.lacks(round);
        let Some(first) = reached.first() else {
            continue;
        };
        let operations = new.apis.iter();
        let mut operations = operations.filter_map(|api| Some((api, api.operations.get(key)?)));
        let Some((api, operation)) = operations.next() else {
            continue;
        };
        let protected: Vec<&str> = round.keys.iter().map(String::as_str).collect();
        let round_what = match protected.as_slice() {
            [one] => (*one).to_owned(),
            [one, more @ ..] => format!("{one} and {} more", more.len()),
            [] => continue,
        };
        let mut change = Change::new(
            Section::Security,
            Class::Weaken,
            "way-round-added",
            "way round",
            Value::Null,
            format!("{first} is the path of {round_what}").into(),
        );
        change.why_none = Some("the gateway does not know what an upstream serves at a path");
        // Fingerprint the paths and the treatment, so that an acknowledgement covers exactly these.
        let treatment = &api.treatments[operation.treatment as usize];
        let treatment = bundle::digest::Digest::of(&bundle::codec::encode(treatment));
        change.bound = format!(
            "{}; {}; {treatment}",
            protected.join(" "),
            reached.join(" ")
        );
        plan.changes.push(change.of(reference(api, operation)));
    }
}
