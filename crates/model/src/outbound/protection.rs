//! Protection of an operation: credentials, client certificates, and policies that refuse callers.

use std::collections::BTreeSet;

use bundle::ir;
use policy::Checked;

use super::{Place, Shared};

/// Names of the schemes of one security alternative that the gateway checks, and their scopes.
type RequiredScopes = BTreeSet<String>;

/// Requirements on callers of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// Schemes and scopes of each security alternative.
    alternatives: BTreeSet<RequiredScopes>,
    /// True if every listener of the mount requires a client certificate.
    certificate: bool,
    /// Settings of the policies of the operation's chain that refuse callers
    /// ([`policy::Protection::Caller`]).
    guards: BTreeSet<String>,
    /// True if the operation is internal, so that clients cannot call it.
    is_internal: bool,
}

impl Protection {
    /// Returns the protection of an operation at a mount.
    pub(super) fn of(shared: &Shared<'_>, place: &Place<'_>) -> Self {
        // Ignore schemes that the upstream checks, because the upstream checks them for every
        // operation.
        let is_checked = |scheme: &str| !scheme.contains(" by *upstream");
        let required = |alternative: &ir::Alternative| -> RequiredScopes {
            let uses = alternative.0.iter();
            let uses = uses.filter(|wanted| is_checked(&wanted.scheme));
            uses.flat_map(|wanted| {
                let scopes = wanted.scopes.iter();
                let scopes = scopes.map(|scope| format!("{} with {scope}", wanted.scheme));
                let roles = wanted.roles.iter();
                let roles = roles.map(|role| format!("{} with role {role}", wanted.scheme));
                scopes.chain(roles).chain([wanted.scheme.clone()])
            })
            .collect()
        };
        let mut alternatives: BTreeSet<RequiredScopes> =
            place.security.0.iter().map(required).collect();
        if alternatives.is_empty() {
            alternatives.insert(RequiredScopes::new());
        }
        let mut listeners = place.mount.listeners.iter();
        let certificate = listeners.all(|name| {
            let listener = shared.listeners.get(name.as_str());
            listener.is_some_and(|listener| listener.requires_certificate())
        });
        let guards = place.policies.iter();
        let refuses_callers =
            |kind: &str| policy::protection(kind) == Some(policy::Protection::Caller);
        let guards = guards.filter(|checked| refuses_callers(checked.kind()));
        Self {
            alternatives,
            certificate: certificate && !place.mount.listeners.is_empty(),
            guards: guards.map(|checked| policy_text(checked)).collect(),
            is_internal: place.is_internal,
        }
    }

    /// True if every listener of the mount requires a client certificate.
    pub(super) fn requires_certificate(&self) -> bool {
        self.certificate
    }

    /// True if everyone may call the operation: it has no protection.
    pub(super) fn is_none(&self) -> bool {
        let open = self.alternatives.iter().any(BTreeSet::is_empty);
        open && !self.certificate && self.guards.is_empty() && !self.is_internal
    }

    /// True if `other` admits every caller that this protection admits.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let covered = |own: &RequiredScopes| {
            let mut others = other.alternatives.iter();
            others.any(|other| other.is_subset(own))
        };
        !other.is_internal
            && self.alternatives.iter().all(covered)
            && (self.certificate || !other.certificate)
            && other.guards.is_subset(&self.guards)
    }
}

fn policy_text(checked: &Checked) -> String {
    let settings = checked.settings();
    let settings = settings
        .iter()
        .map(|one| format!(" {} {:?}", one.path.join("."), one.value));
    format!("{}{}", checked.kind(), settings.collect::<String>())
}
