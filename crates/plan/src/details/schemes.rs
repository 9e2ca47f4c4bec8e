//! Changes of the credentials that the upstream sees.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::auth::Place;
use policy::declared::Settings;
use serde_json::Value;

use super::operations::Line;
use crate::Class;

/// Reports credentials that the upstream newly receives, no longer receives, or receives in another
/// field. If only one side requires a credential at a place, the change of the requirement reports
/// it.
pub(super) fn schemes(
    old: (&ir::Api, &ir::Treatment),
    new: (&ir::Api, &ir::Treatment),
    lines: &mut Vec<Line>,
) {
    if old.1.security == new.1.security && old.0.schemes == new.0.schemes {
        return;
    }
    let (before, after) = (seen(old), seen(new));
    let places: BTreeSet<&Place> = before.keys().chain(after.keys()).copied().collect();
    for place in places {
        let (was, is) = (before.get(place), after.get(place));
        let is_asked = |seen: Option<&Seen>| seen.is_some_and(|seen| seen.is_asked);
        if was.is_some() != is.is_some() && (is_asked(was) || is_asked(is)) {
            continue;
        }
        let was = was.cloned().unwrap_or_default();
        let is = is.cloned().unwrap_or_default();
        let subject = format!("security {}", told(place));
        let word = |stripped: bool| Value::from(if stripped { "stripped" } else { "forwarded" });
        if was.is_stripped != is.is_stripped {
            let (class, id) = if is.is_stripped {
                (Class::Strengthen, "credential-stripped")
            } else {
                (Class::Weaken, "credential-forwarded")
            };
            lines.push(Line {
                class,
                id,
                subject: subject.clone(),
                old: word(was.is_stripped),
                new: word(is.is_stripped),
            });
        }
        if was.is_asked != is.is_asked {
            continue;
        }
        let fields = &super::fields::SCHEME;
        super::fields::settings(fields, &subject, &was.declared, &is.declared, lines);
    }
}

/// A place of credentials, as one operation has it.
#[derive(Clone, Default)]
struct Seen {
    /// True if the operation's requirement names a scheme of the place.
    is_asked: bool,
    is_stripped: bool,
    /// Other settings of the schemes that the operation requires.
    declared: Settings,
}

/// The places of an API's credentials. A place that the requirement names is stripped if all its
/// schemes there say so; another one if any scheme of the API does.
fn seen<'a>((api, treatment): (&'a ir::Api, &ir::Treatment)) -> BTreeMap<&'a Place, Seen> {
    let uses = treatment
        .security
        .0
        .iter()
        .flat_map(|alternative| &alternative.0);
    let mut seen: BTreeMap<&Place, Seen> = BTreeMap::new();
    for scheme in uses.filter_map(|wanted| api.schemes.get(&wanted.scheme)) {
        let known = seen.entry(&scheme.place).or_insert(Seen {
            is_asked: true,
            is_stripped: true,
            declared: Settings::default(),
        });
        known.is_stripped &= scheme.strip_credential;
        known.declared = std::mem::take(&mut known.declared).with_below(&[], scheme.settings());
    }
    for scheme in &api.schemes {
        let known = seen.entry(&scheme.place).or_default();
        known.is_stripped |= !known.is_asked && scheme.strip_credential;
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
