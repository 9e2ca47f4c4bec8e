//! Changes of requests by the gateway before its policies read them: removed credentials, removed
//! lookalikes of fields, and external processors, which may change any field.

use std::collections::{BTreeSet, HashMap};

use bundle::ir;
use policy::auth::{self, Place};
use policy::conditions::Condition;
use policy::{Checked, managed};

use super::{Route, inputs};

/// Credentials in the given fields, parameters and cookies that policies do not see, because a
/// security scheme strips them.
pub(super) fn stripped(route: Route<'_>, is_read: impl Fn(&Place) -> bool) -> String {
    let stripping = route.api.schemes.iter().filter(|one| one.strip_credential);
    let places: BTreeSet<&Place> = stripping
        .map(|scheme| &scheme.place)
        .filter(|place| is_read(place))
        .collect();
    let alternatives = &route.treatment.security.0;
    let parts = places.into_iter().map(|place| {
        let is_kept = |wanted: &ir::SchemeUse| {
            let scheme = route.api.schemes.get(&wanted.scheme);
            scheme.is_some_and(|one| one.place == *place && !one.strip_credential)
        };
        let keeping = alternatives.iter().filter(|one| one.0.iter().any(is_kept));
        let keeping: BTreeSet<String> = keeping.map(alternative).collect();
        match keeping.is_empty() {
            true => format!("{place:?} stripped"),
            false => format!("{place:?} stripped except with {keeping:?}"),
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// Names of the schemes of an alternative.
pub(super) fn alternative(schemes: &ir::Alternative) -> String {
    let names: Vec<&str> = schemes.0.iter().map(|one| one.scheme.as_str()).collect();
    names.join(" + ")
}

/// Text that names the services of the external processors before a reader. Empty if there is no
/// such processor.
pub(super) fn processors(services: &[&str]) -> String {
    match services.is_empty() {
        true => String::new(),
        false => format!("as changed by ext_proc {}", services.join(", ")),
    }
}

/// Names of fields, by the form that they share with their lookalikes. Comparisons look up each of
/// many names among many others.
#[derive(Debug)]
pub(super) struct FieldNames(HashMap<Vec<u8>, BTreeSet<String>>);

impl FieldNames {
    pub(super) fn of(names: impl IntoIterator<Item = String>) -> Self {
        let mut all: HashMap<Vec<u8>, BTreeSet<String>> = HashMap::new();
        for name in names {
            let alike = all.entry(managed::alike_form(&name)).or_default();
            alike.insert(name);
        }
        Self(all)
    }

    /// Names in this set that equal `name` or are its lookalikes.
    pub(super) fn alike(&self, name: &str) -> impl Iterator<Item = &str> {
        let alike = self.0.get(&managed::alike_form(name)).into_iter();
        alike.flatten().map(String::as_str)
    }
}

/// Text that names the fields on which the gateway's decision depends ([`decisive`]) and that have
/// the lookalike `name`. The gateway removes `name` from requests. Empty if no field has this
/// lookalike.
pub(super) fn lookalikes(decisive: &FieldNames, name: &str) -> String {
    let names: Vec<&str> = decisive.alike(name).filter(|one| *one != name).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("removed as a lookalike of {}", names.join(", ")),
    }
}

/// Text about the session cookies of logins, which the gateway removes on all operations. Empty if
/// `is_read` returns false for each of them. `is_read`: true for a cookie whose removal matters,
/// because a policy or expression reads the cookie.
pub(super) fn session_cookies(route: Route<'_>, is_read: impl Fn(&Place) -> bool) -> String {
    let verifiers = route.gateway.shared.auth.iter();
    let cookies = verifiers.filter_map(|verifier| match &verifier.checked {
        auth::Checked::Oidc(login) => Some(login.cookie().to_owned()),
        _ => None,
    });
    let read = cookies.filter(|name| is_read(&Place::Cookie(name.clone())));
    let names: BTreeSet<String> = read.collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(
            "without the session cookie {}",
            Vec::from_iter(names).join(", ")
        ),
    }
}

/// Text for a field `name` that the gateway removes, because it overrides the method or path and
/// the operation does not declare it. Empty for other fields.
pub(super) fn override_field(route: Route<'_>, name: &str) -> String {
    let declared = &route.treatment.forwarding.override_fields;
    let is_alike = |one: &&str| *one == name || managed::is_lookalike(name, one);
    let is_override = ir::OVERRIDE_FIELDS.iter().any(is_alike);
    match is_override && !declared.iter().any(|one| one == name) {
        true => "removed as an override of the method or path".to_owned(),
        false => String::new(),
    }
}

/// Fields on which the gateway's decisions about requests of a route depend, in lower case.
pub(super) fn decisive(route: Route<'_>) -> FieldNames {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let shared = &route.gateway.shared;
    for scheme in &route.api.schemes {
        names.extend(field(&scheme.place));
        if let ir::Verify::Auth(verifier) = &scheme.verify
            && let Some(verifier) = shared.auth.get(verifier)
        {
            names.extend(signed(&verifier.checked));
        }
    }
    let policies = super::policies(route.gateway, route.api, route.treatment);
    for policy in policies {
        names.extend(read_by(&policy.checked));
    }
    let forwarding = &route.treatment.forwarding;
    names.extend(forwarding.steps().flat_map(|(_, step)| read_by(&step)));
    names.extend(forwarding.not_forwarded.iter().filter_map(field));
    let operations = route.gateway.apis.iter().flat_map(|api| &api.operations);
    let conditions = operations.flat_map(|operation| &operation.conditions);
    names.extend(conditions.filter_map(condition));
    FieldNames::of(names)
}

fn field(place: &Place) -> Option<String> {
    match place {
        Place::Header(name) => Some(name.to_ascii_lowercase()),
        Place::Query(_) | Place::Cookie(_) | Place::Authorization(_) | Place::Certificate => None,
    }
}

fn condition(condition: &Condition) -> Option<String> {
    match condition {
        Condition::Header(name, _) => Some(name.to_ascii_lowercase()),
        Condition::Query(..) => None,
    }
}

/// Fields that a signature covers or consists of.
fn signed(verifier: &auth::Checked) -> Vec<String> {
    let places = engine::signed_fields(Some(verifier));
    places.iter().filter_map(field).collect()
}

/// Fields that a policy reads, in lower case: those that gwd's filter reads. For a limit that this
/// version cannot run, the field of its key.
pub(super) fn read_by(policy: &Checked) -> Vec<String> {
    let names = policy.read_fields().into_iter();
    let mut names: Vec<String> = names.map(|name| name.as_str().to_owned()).collect();
    if policy::is_limit(policy.kind()) {
        names.extend(inputs::of_limit(policy).iter().filter_map(field));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookalikes_are_found_by_their_common_form() {
        let names = ["x-user", "x_user", "X-User", "x-user2", "x.us-er"];
        let all = FieldNames::of(names.map(str::to_owned));
        for name in ["x-user", "x.user", "x-us_er", "y-user"] {
            let expected = names.iter().filter(|one| {
                let (own, other) = (one.as_bytes(), name.as_bytes());
                managed::alike(own, other)
            });
            let expected: BTreeSet<&str> = expected.copied().collect();
            assert_eq!(all.alike(name).collect::<BTreeSet<_>>(), expected, "{name}");
        }
        assert_eq!(
            lookalikes(&all, "x-user"),
            "removed as a lookalike of x_user"
        );
        assert_eq!(lookalikes(&all, "y-user"), "");
    }
}
