//! Handling of credentials by an operation as a whole: which places its requirement has, and at
//! which places the gateway strips credentials.

use std::collections::BTreeMap;

use bundle::ir;
use policy::auth::Place;

/// Handling of the credentials of one operation, on both sides. Computed once for an operation,
/// because the operation may have thousands of places.
pub(crate) struct Handling<'a> {
    /// Handling of each credential on the old and the new side, by the place of the credential.
    pub(crate) sides: [BTreeMap<&'a Place, CredentialHandling>; 2],
    /// True for a side whose operation admits requests without credentials.
    admits_anyone: [bool; 2],
}

impl<'a> Handling<'a> {
    pub(crate) fn of(
        old: (&'a ir::Api, &'a ir::Treatment),
        new: (&'a ir::Api, &'a ir::Treatment),
    ) -> Self {
        Self {
            sides: [seen(old), seen(new)],
            admits_anyone: [old, new].map(|(_, treatment)| treatment.security.admits_anyone()),
        }
    }

    /// True if the two sides of the operation handle a credential at this place in different ways.
    /// The comparison of whole operations reports this difference.
    pub(crate) fn is_reported(&self, place: &Place) -> bool {
        let [was, is] = self.at(place);
        let is_stripped = |seen: Option<CredentialHandling>| seen.is_some_and(|it| it.is_stripped);
        !self.is_required_by_one(place) && is_stripped(was) != is_stripped(is)
    }

    /// True if only one side has a scheme at this place, and its operation requires the credential.
    /// The comparison of operations then reports only the changed requirement.
    pub(crate) fn is_required_by_one(&self, place: &Place) -> bool {
        let [was, is] = self.at(place);
        let is_required = |seen: Option<CredentialHandling>| seen.is_some_and(|it| it.is_required);
        was.is_some() != is.is_some() && (is_required(was) || is_required(is))
    }

    /// True if both sides require a credential at this place.
    pub(crate) fn is_required(&self, place: &Place) -> bool {
        let mut sides = self.at(place).into_iter().zip(self.admits_anyone);
        sides.all(|(seen, admits_anyone)| !admits_anyone && seen.is_some_and(|it| it.is_required))
    }

    fn at(&self, place: &Place) -> [Option<CredentialHandling>; 2] {
        self.sides.each_ref().map(|side| side.get(place).copied())
    }
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
fn seen<'a>(
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
