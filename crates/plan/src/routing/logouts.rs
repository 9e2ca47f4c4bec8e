//! Comparison of logout paths (`logout_path` of a login), at which the gateway ends sessions. If a
//! host loses its logout path, its users can no longer end their sessions.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::auth::Checked;

use super::table::Place;
use crate::{Change, Class, Plan, Section};

/// Mounts of one listener and host, each with its API.
type Owners<'o, 'a> = &'o [(&'a ir::Api, &'a ir::Mount)];

/// Logout paths that hosts lose. Key: the old path, and the new logout paths of the host. Value:
/// the hosts.
#[derive(Debug, Default)]
pub(super) struct LostLogoutPaths(BTreeMap<(String, Vec<String>), BTreeSet<String>>);

impl LostLogoutPaths {
    /// Adds the logout paths that a host loses. Adds nothing if the new side serves no requests of
    /// the host.
    pub(super) fn add(
        &mut self,
        place: &Place,
        (old, before): (&ir::Gateway, Owners<'_, '_>),
        (new, after): (&ir::Gateway, Owners<'_, '_>),
    ) {
        if after.is_empty() {
            return;
        }
        let (was, is) = (paths(old, before), paths(new, after));
        for path in was.difference(&is) {
            let now: Vec<String> = is.iter().map(|path| (*path).to_owned()).collect();
            let host = format!("{} {}", place.listener, place.host);
            self.0
                .entry(((*path).to_owned(), now))
                .or_default()
                .insert(host);
        }
    }

    /// Reports one line for each lost logout path.
    pub(super) fn report(self, plan: &mut Plan) {
        for ((path, now), hosts) in self.0 {
            let now = match now.is_empty() {
                true => serde_json::Value::Null,
                false => now.join(", ").into(),
            };
            let mut change = Change::new(
                Section::Routing,
                Class::Removed,
                "logout-path-removed",
                "logout_path",
                path.into(),
                now,
            );
            change.why_none = Some("the gateway itself answers the path");
            change.bound = Vec::from_iter(hosts).join("; ");
            plan.changes.push(change);
        }
    }
}

/// Logout paths of the logins named in the schemes of these APIs.
fn paths<'g>(gateway: &'g ir::Gateway, owners: Owners<'_, '_>) -> BTreeSet<&'g str> {
    let schemes = owners.iter().flat_map(|(api, _)| &api.schemes);
    let verifiers = schemes.filter_map(|scheme| match &scheme.verify {
        ir::Verify::Auth(name) => gateway.shared.auth.get(name),
        ir::Verify::Upstream => None,
    });
    let paths = verifiers.filter_map(|verifier| match &verifier.checked {
        Checked::Oidc(login) => login.logout_path(),
        _ => None,
    });
    paths.collect()
}
