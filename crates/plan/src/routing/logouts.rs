//! Comparison of logout paths (`logout_path` of a login), at which the gateway ends sessions. If a
//! host loses the logout path of a login, its users can no longer end their sessions.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::auth::{Checked, oidc};

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
        let (was, is) = (logins(old, before), logins(new, after));
        let is_lost = |(path, cookie): &(&str, &str)| {
            // The cookie identifies the sessions of a login. If no login of the new side has the
            // cookie, its sessions are no longer valid: it is then enough that any login has the
            // path.
            let mut own = is
                .iter()
                .filter(|login| login.cookie() == *cookie)
                .peekable();
            match own.peek() {
                Some(_) => !own.any(|login| login.logout_path() == Some(path)),
                None => !is.iter().any(|login| login.logout_path() == Some(path)),
            }
        };
        for (path, _) in ended(&was).into_iter().filter(is_lost) {
            let now: BTreeSet<&str> = is.iter().filter_map(|login| login.logout_path()).collect();
            let now: Vec<String> = now.into_iter().map(str::to_owned).collect();
            let host = format!("{} {}", place.listener, place.host);
            self.0
                .entry((path.to_owned(), now))
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

/// Logins named in the schemes of these APIs, in the order in which the gateway searches their
/// paths.
fn logins<'g>(gateway: &'g ir::Gateway, owners: Owners<'_, '_>) -> Vec<&'g oidc::Checked> {
    let schemes = owners.iter().flat_map(|(api, _)| &api.schemes);
    let verifiers = schemes.filter_map(|scheme| match &scheme.verify {
        ir::Verify::Auth(name) => gateway.shared.auth.get(name),
        ir::Verify::Upstream => None,
    });
    let logins = verifiers.filter_map(|verifier| match &verifier.checked {
        Checked::Oidc(login) => Some(&**login),
        _ => None,
    });
    logins.collect()
}

/// Logout paths with the cookies of the sessions that they end. Of several logins with one path,
/// the gateway serves the first.
fn ended<'g>(logins: &[&'g oidc::Checked]) -> BTreeMap<&'g str, &'g str> {
    let mut all = BTreeMap::new();
    for login in logins {
        if let Some(path) = login.logout_path() {
            all.entry(path).or_insert_with(|| login.cookie());
        }
    }
    all
}
