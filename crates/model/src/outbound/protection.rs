//! Protection of an operation: credentials, client certificates, and policies that refuse callers.

use std::collections::BTreeSet;

use bundle::ir;
use policy::Checked;

use super::{Place, Shared};

/// Policies that refuse callers for who or where they are.
const GUARDS: [&str; 3] = ["ip_filter", "authorize", "forward_auth"];

/// Scheme and scope of a credential that the gateway checks.
type Asked = BTreeSet<String>;

/// Requirements on a caller of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// Credentials of each alternative.
    alternatives: BTreeSet<Asked>,
    /// True if every listener requires a client certificate.
    certificate: bool,
    /// Settings of the guards of its chain.
    guards: BTreeSet<String>,
    /// True if it is internal.
    nobody: bool,
}

impl Protection {
    /// The protection of an operation at a mount.
    pub(super) fn of(shared: &Shared<'_>, place: &Place<'_>) -> Self {
        // What the upstream checks protects it on every way.
        let is_checked = |scheme: &str| !scheme.contains(" by *upstream");
        let asked = |alternative: &ir::Alternative| -> Asked {
            let uses = alternative.0.iter();
            let uses = uses.filter(|wanted| is_checked(&wanted.scheme));
            uses.flat_map(|wanted| {
                let scopes = wanted.scopes.iter();
                let scopes = scopes.map(|scope| format!("{} with {scope}", wanted.scheme));
                scopes.chain([wanted.scheme.clone()])
            })
            .collect()
        };
        let mut alternatives: BTreeSet<Asked> = place.security.0.iter().map(asked).collect();
        if alternatives.is_empty() {
            alternatives.insert(Asked::new());
        }
        let mut listeners = place.mount.listeners.iter();
        let requires = |listener: &ir::Listener| {
            let client = listener.tls().and_then(|tls| tls.client_auth.as_ref());
            client.is_some_and(|client| client.mode == ir::ClientAuthMode::Required)
        };
        let certificate = listeners.all(|name| {
            let listener = shared.listeners.get(name.as_str());
            listener.is_some_and(|listener| requires(listener))
        });
        let guards = place.policies.iter();
        let guards = guards.filter(|checked| GUARDS.contains(&checked.kind()));
        Self {
            alternatives,
            certificate: certificate && !place.mount.listeners.is_empty(),
            guards: guards.map(|checked| said(checked)).collect(),
            nobody: place.is_internal,
        }
    }

    /// True if anyone may call.
    pub(super) fn is_none(&self) -> bool {
        let open = self.alternatives.iter().any(BTreeSet::is_empty);
        open && !self.certificate && self.guards.is_empty() && !self.nobody
    }

    /// True if every caller admitted here is admitted there.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let covered = |own: &Asked| {
            let mut others = other.alternatives.iter();
            others.any(|other| other.is_subset(own))
        };
        !other.nobody
            && self.alternatives.iter().all(covered)
            && (self.certificate || !other.certificate)
            && other.guards.is_subset(&self.guards)
    }
}

fn said(checked: &Checked) -> String {
    let settings = checked.settings();
    let settings = settings
        .iter()
        .map(|one| format!(" {} {:?}", one.path.join("."), one.value));
    format!("{}{}", checked.kind(), settings.collect::<String>())
}
