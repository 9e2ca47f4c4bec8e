//! Linking of a security requirement to the schemes and verifiers that it names.

use std::collections::BTreeSet;
use std::sync::Arc;

use bundle::ir;
use http::HeaderName;
use policy::auth::{self, Place, TokenVerifier};

use super::challenges::Challenges;
use super::passes::Passes;
use super::{Check, Requirement, Use, signature};
use crate::lookalikes;
use crate::strip::Stripped;
use crate::verifiers::Verifiers;

impl Requirement {
    /// Links a requirement to the schemes and verifiers that it names. `withheld` are additional
    /// request fields that clients must not send.
    ///
    /// # Errors
    /// Returns the name of a scheme or verifier that is not defined, or the kind of a verifier that
    /// cannot be used.
    pub(crate) fn link(
        security: &ir::Security,
        schemes: &ir::Set<ir::Scheme>,
        verifiers: &Verifiers<'_>,
        withheld: &BTreeSet<String>,
    ) -> Result<Self, String> {
        let mut alternatives = Vec::new();
        let mut challenges = Challenges::default();
        let mut token_places: Vec<Place> = Vec::new();
        let mut folding: Vec<Box<str>> = Vec::new();
        let stripped = Stripped::of(schemes, withheld);
        let mut fields: Vec<HeaderName> = Vec::new();
        for place in stripped.places() {
            add_field(&mut fields, place);
            add_folding(&mut folding, place);
        }
        for alternative in security
            .0
            .iter()
            .filter(|alternative| !alternative.0.is_empty())
        {
            let mut uses = Vec::new();
            for wanted in &alternative.0 {
                let scheme = schemes
                    .get(&wanted.scheme)
                    .ok_or_else(|| wanted.scheme.clone())?;
                let verifier = match &scheme.verify {
                    ir::Verify::Upstream => None,
                    ir::Verify::Auth(name) => Some(verifiers.get(name)?),
                };
                let checked = verifier.map(|(checked, _)| checked);
                // A verifier of proofs (`dpop`) names another verifier, which checks the token.
                let of_token = match checked.and_then(auth::Checked::token_verifier) {
                    Some(name) => Some(verifiers.get(name)?.0),
                    None => checked,
                };
                let metadata = of_token.and_then(auth::Checked::resource_metadata);
                challenges.add(wanted, &scheme.place, (checked, metadata));
                add_folding(&mut folding, &scheme.place);
                for place in signature::places(verifier.map(|(checked, _)| checked)) {
                    add_folding(&mut folding, &place);
                }
                add_field(&mut fields, &scheme.place);
                let check = match verifier {
                    None => Check::PresenceOnly,
                    Some((auth::Checked::ApiKey(_), _)) => Check::Key,
                    Some((auth::Checked::Basic(_), _)) => Check::Basic,
                    Some((_, Some(verifier))) => {
                        if verifier.takes_tokens() && !token_places.contains(&scheme.place) {
                            token_places.push(scheme.place.clone());
                        }
                        Check::Token(Arc::clone(verifier))
                    }
                    Some((auth::Checked::Mtls(checked), _))
                        if scheme.place == Place::Certificate =>
                    {
                        Check::Certificate(checked.clone())
                    }
                    Some((checked, _)) => return Err(checked.kind().to_owned()),
                };
                let scopes = wanted.scopes.iter().map(|scope| scope.as_str().into());
                let roles = wanted.roles.iter().map(|role| role.as_str().into());
                uses.push(Use {
                    scheme: scheme.name.as_str().into(),
                    place: scheme.place.clone(),
                    check,
                    scopes: scopes.collect(),
                    roles: roles.collect(),
                    strip: scheme.strip_credential,
                    passes: Passes::of(&scheme.passes),
                });
            }
            alternatives.push(uses.into());
        }
        let login = login(&alternatives).filter(|_| !security.admits_anyone());
        Ok(Self {
            alternatives: alternatives.into(),
            optional: security.admits_anyone(),
            challenges,
            token_places: match token_places.len() {
                0 | 1 => Box::default(),
                _ => token_places.into(),
            },
            folding: folding.into(),
            fields: fields.into(),
            stripped,
            login,
        })
    }
}

/// Login of the first alternative that a session alone satisfies.
fn login(alternatives: &[Box<[Use]>]) -> Option<Arc<TokenVerifier>> {
    alternatives
        .iter()
        .find_map(|alternative| match &**alternative {
            [one] => match &one.check {
                Check::Token(verifier) => verifier.login().map(|_| Arc::clone(verifier)),
                Check::Key | Check::Basic | Check::Certificate(_) | Check::PresenceOnly => None,
            },
            _ => None,
        })
}

/// Adds the name of a location's field if the name contains `-`, `_` or `.`, which some servers do
/// not distinguish. Skips a name that is already in the list.
fn add_folding(folding: &mut Vec<Box<str>>, place: &Place) {
    if let Place::Header(name) = place
        && lookalikes::has_spellings(name)
        && folding.iter().all(|known| **known != **name)
    {
        folding.push(name.as_str().into());
    }
}

/// Adds the name of the field at a location. Skips a name that is already in the list.
fn add_field(fields: &mut Vec<HeaderName>, place: &Place) {
    if let Place::Header(name) = place
        && let Ok(name) = HeaderName::try_from(name.as_str())
        && !fields.contains(&name)
    {
        fields.push(name);
    }
}
