//! Handling of credentials by an operation as a whole: which places its requirement has, and at
//! which places the gateway strips credentials.

use std::collections::BTreeMap;

use bundle::ir;
use policy::auth::Place;

/// True if the two sides of an operation as a whole handle a credential at this place in different
/// ways, which the comparison of operations reports.
pub(crate) fn is_reported(
    old: (&ir::Api, &ir::Treatment),
    new: (&ir::Api, &ir::Treatment),
    place: &Place,
) -> bool {
    let is_stripped = |side| seen(side).get(place).is_some_and(|seen| seen.is_stripped);
    !is_required_by_one(old, new, place) && is_stripped(old) != is_stripped(new)
}

/// True if only one side has a scheme at this place, and its operation requires the credential. The
/// comparison of operations then reports only the changed requirement.
pub(crate) fn is_required_by_one(
    old: (&ir::Api, &ir::Treatment),
    new: (&ir::Api, &ir::Treatment),
    place: &Place,
) -> bool {
    let (before, after) = (seen(old), seen(new));
    let [was, is] = [before.get(place), after.get(place)];
    let is_required = |seen: Option<&CredentialHandling>| seen.is_some_and(|seen| seen.is_required);
    was.is_some() != is.is_some() && (is_required(was) || is_required(is))
}

/// True if both sides require a credential at this place.
pub(crate) fn is_required(
    (old, was): (&ir::Api, &ir::Treatment),
    (new, is): (&ir::Api, &ir::Treatment),
    place: &Place,
) -> bool {
    let requires = |api: &ir::Api, treatment: &ir::Treatment| {
        let security = &treatment.security;
        let mut schemes = security
            .uses()
            .filter_map(|wanted| api.schemes.get(&wanted.scheme));
        !security.admits_anyone() && schemes.any(|scheme| scheme.place == *place)
    };
    requires(old, was) && requires(new, is)
}

/// Handling of a credential in the requests of one operation, for one field or parameter.
#[derive(Clone, Copy, Default)]
pub(crate) struct CredentialHandling {
    /// True if the operation requires a security scheme whose credential is in this field or
    /// parameter.
    pub(crate) is_required: bool,
    pub(crate) is_stripped: bool,
}

/// Handling of an API's credentials by an operation. Key: the place of the credential (field or
/// parameter). If the operation requires schemes with this place, the gateway strips the credential
/// if all of them strip it. Otherwise it strips the credential if any scheme of the API strips it.
pub(crate) fn seen<'a>(
    (api, treatment): (&'a ir::Api, &ir::Treatment),
) -> BTreeMap<&'a Place, CredentialHandling> {
    let uses = treatment
        .security
        .0
        .iter()
        .flat_map(|alternative| &alternative.0);
    let mut seen: BTreeMap<&Place, CredentialHandling> = BTreeMap::new();
    for scheme in uses.filter_map(|wanted| api.schemes.get(&wanted.scheme)) {
        let known = seen.entry(&scheme.place).or_insert(CredentialHandling {
            is_required: true,
            is_stripped: true,
        });
        known.is_stripped &= scheme.strip_credential;
    }
    for scheme in &api.schemes {
        let known = seen.entry(&scheme.place).or_default();
        known.is_stripped |= !known.is_required && scheme.strip_credential;
    }
    seen
}

pub(crate) fn place_text(place: &Place) -> String {
    match place {
        Place::Header(name) => format!("header {name}"),
        Place::Query(name) => format!("query {name}"),
        Place::Cookie(name) => format!("cookie {name}"),
        Place::Authorization(scheme) => scheme.clone(),
        Place::Certificate => "client certificate".to_owned(),
    }
}
