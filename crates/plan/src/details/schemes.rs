//! Changes of the credentials that the upstream sees.

use std::collections::BTreeMap;

use bundle::ir;
use policy::auth::Place;
use policy::declared::Settings;
use serde_json::Value;

use super::operations::Line;
use crate::Class;

/// Credentials that both sides take at one place, and that the upstream newly sees or no longer
/// sees, or gets in another field.
pub(super) fn schemes(
    old: (&ir::Api, &ir::Treatment),
    new: (&ir::Api, &ir::Treatment),
    lines: &mut Vec<Line>,
) {
    if old.1.security == new.1.security && old.0.schemes == new.0.schemes {
        return;
    }
    let (before, after) = (seen(old), seen(new));
    for (place, (was_stripped, was)) in &before {
        let Some((is_stripped, is)) = after.get(place) else {
            continue;
        };
        let subject = format!("security {}", told(place));
        let word = |stripped: bool| Value::from(if stripped { "stripped" } else { "forwarded" });
        if was_stripped != is_stripped {
            let (class, id) = if *is_stripped {
                (Class::Strengthen, "credential-stripped")
            } else {
                (Class::Weaken, "credential-forwarded")
            };
            lines.push(Line {
                class,
                id,
                subject: subject.clone(),
                old: word(*was_stripped),
                new: word(*is_stripped),
            });
        }
        super::fields::settings(&super::fields::SCHEME, &subject, was, is, lines);
    }
}

/// The places of a requirement's credentials: whether they are stripped everywhere, and what else
/// the upstream gets.
fn seen<'a>(
    (api, treatment): (&'a ir::Api, &ir::Treatment),
) -> BTreeMap<&'a Place, (bool, Settings)> {
    let uses = treatment
        .security
        .0
        .iter()
        .flat_map(|alternative| &alternative.0);
    let mut seen: BTreeMap<&Place, (bool, Settings)> = BTreeMap::new();
    for scheme in uses.filter_map(|wanted| api.schemes.get(&wanted.scheme)) {
        let known = seen
            .entry(&scheme.place)
            .or_insert((true, Settings::default()));
        known.0 &= scheme.strip_credential;
        known.1 = std::mem::take(&mut known.1).with_below(&[], scheme.declared.clone());
    }
    seen
}

fn told(place: &Place) -> String {
    match place {
        Place::Header(name) => format!("header {name}"),
        Place::Query(name) => format!("query {name}"),
        Place::Cookie(name) => format!("cookie {name}"),
        Place::Authorization(scheme) => scheme.clone(),
        Place::Certificate => "client certificate".to_owned(),
    }
}
