//! Changes of the credentials that upstreams receive.

use std::collections::BTreeSet;

use bundle::ir;
use policy::auth::Place;
use serde_json::Value;

use super::line::Line;
use crate::Class;
use crate::security::handling::{Handling, place_text};

/// Reports credentials that the upstream newly receives, no longer receives, or receives in another
/// field. If only one side requires a credential in a field or parameter, only the changed
/// requirement is reported.
pub(super) fn schemes(
    old: (&ir::Api, &ir::Treatment),
    new: (&ir::Api, &ir::Treatment),
    lines: &mut Vec<Line>,
) {
    if old.1.security == new.1.security && old.0.schemes == new.0.schemes {
        return;
    }
    let handling = Handling::of(old, new);
    let [before, after] = &handling.sides;
    let places: BTreeSet<&Place> = before.keys().chain(after.keys()).copied().collect();
    for place in places {
        if handling.is_required_by_one(place) {
            continue;
        }
        let was = before.get(place).copied().unwrap_or_default();
        let is = after.get(place).copied().unwrap_or_default();
        let subject = format!("security {}", place_text(place));
        let word = |stripped: bool| Value::from(if stripped { "stripped" } else { "forwarded" });
        if was.is_stripped != is.is_stripped {
            let (class, id) = if is.is_stripped {
                (removal(is.is_required), "credential-stripped")
            } else {
                (Class::Weaken, "credential-forwarded")
            };
            lines.push(Line {
                class,
                id,
                subject,
                old: word(was.is_stripped),
                new: word(is.is_stripped),
            });
        }
    }
}

/// Class of the removal of a credential from requests to the upstream. If the gateway does not
/// require the credential, clients could omit it before: the upstream gets no new requests. If the
/// gateway requires it, the upstream newly gets requests without a credential. The upstream may
/// serve these although it would have refused or restricted the owner of the credential.
pub(super) fn removal(is_required: bool) -> Class {
    match is_required {
        true => Class::Incomparable,
        false => Class::Strengthen,
    }
}
