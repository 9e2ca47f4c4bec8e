//! Comparison of verifiers, by name and by use, so that a new name hides no change. The access
//! comparison reports access changes of verifiers in use; all other settings are compared here.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::auth::{Place, oidc};
use policy::declared::{Scalar, Settings, Value as Written};

use super::definitions::report_one_sided;
use super::line::{ApiSide, Line};
use super::shown::all;
use super::{fields, tables};
use crate::pairs::both;
use crate::{Class, security};

/// Compares the verifiers that both sides have, and reports added and removed verifiers.
pub(super) fn verifiers(old: &ir::Gateway, new: &ir::Gateway, lines: &mut Vec<Line>) {
    let used_verifiers = |gateway: &ir::Gateway| -> BTreeSet<String> {
        let schemes = gateway.apis.iter().flat_map(|api| &api.schemes);
        schemes.filter_map(verifier).map(str::to_owned).collect()
    };
    let (before, after) = (used_verifiers(old), used_verifiers(new));
    for (name, was, is) in both(&old.shared.auth, &new.shared.auth) {
        let subject = format!("auth {name}");
        let shown = |verifier: &ir::Verifier| {
            let mut settings = all(&verifier.checked.settings());
            settings["kind"] = verifier.checked.kind().into();
            settings
        };
        let ids = ("verifier-added", "verifier-removed");
        if report_one_sided(&subject, (was.map(shown), is.map(shown)), ids, lines) {
            continue;
        }
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        if was.checked.kind() != is.checked.kind() {
            lines.push(Line {
                class: Class::Changed,
                id: "verifier-changed",
                subject,
                old: shown(was),
                new: shown(is),
            });
            continue;
        }
        let is_used = before.contains(name) && after.contains(name);
        compare(&subject, (was, is), is_used, lines);
    }
}

/// Compares each new verifier of an operation with the old one that it replaces: a verifier of the
/// same kind and another name that checked the credential at the same place.
pub(super) fn replaced(
    (old, was): (ApiSide<'_>, &ir::Treatment),
    (new, is): (ApiSide<'_>, &ir::Treatment),
    lines: &mut Vec<Line>,
) {
    let (before, after) = (by_place(old, was), by_place(new, is));
    let mut known = BTreeSet::new();
    for (place, came) in &after {
        let Some(went) = before.get(place) else {
            continue;
        };
        for is in came {
            let was = went.iter().filter(|was| {
                was.name != is.name
                    && was.checked.kind() == is.checked.kind()
                    && !came.iter().any(|one| one.name == was.name)
                    && !went.iter().any(|one| one.name == is.name)
            });
            for was in was {
                if known.insert((&was.name, &is.name)) {
                    let subject = format!("auth {} -> {}", was.name, is.name);
                    compare(&subject, (was, is), true, lines);
                }
            }
        }
    }
}

/// Verifiers of the credentials that an operation accepts, by the field or parameter of the
/// credential. Includes the token verifiers to which other verifiers refer.
fn by_place<'a>(
    of: ApiSide<'a>,
    treatment: &ir::Treatment,
) -> BTreeMap<&'a Place, Vec<&'a ir::Verifier>> {
    let alternatives = treatment.security.0.iter();
    let uses = alternatives.flat_map(|alternative| &alternative.0);
    let schemes = uses.filter_map(|wanted| of.api.schemes.get(&wanted.scheme));
    let mut found: BTreeMap<&Place, Vec<&ir::Verifier>> = BTreeMap::new();
    for scheme in schemes {
        let all = found.entry(&scheme.place).or_default();
        for one in security::verifiers_of(of.shared, scheme) {
            if !all.iter().any(|known| known.name == one.name) {
                all.push(one);
            }
        }
    }
    found
}

fn verifier(scheme: &ir::Scheme) -> Option<&str> {
    match &scheme.verify {
        ir::Verify::Auth(name) => Some(name),
        ir::Verify::Upstream => None,
    }
}

/// Compares the settings of two verifiers of one kind. If the verifiers are in use, settings that
/// affect access are left out, because the access comparison reports them.
fn compare(
    subject: &str,
    (was, is): (&ir::Verifier, &ir::Verifier),
    is_used: bool,
    lines: &mut Vec<Line>,
) {
    let kind = is.checked.kind();
    let rest = |verifier: &ir::Verifier| -> Settings {
        let mut settings = verifier.checked.settings();
        // The table has the default timeout of `introspection` only. Add the default timeout of
        // `oidc`.
        if kind == "oidc" && !settings.has(&["timeout"]) {
            let default = Written::One(Scalar::Duration(oidc::TIMEOUT_MS));
            settings = settings.with(&["timeout"], default);
        }
        settings.without(|path| is_used && security::is_access_setting(kind, path))
    };
    fields::settings(&tables::VERIFIER, subject, &rest(was), &rest(is), lines);
}
