//! What must not run and whom not to admit any more: the revocation list, and what the head
//! withdraws (release.md §6, §7).

use bundle::channel::Accepted;
use bundle::follow;
use bundle::store::Blobs;
use policy::Revoked;
use serde_json::json;

use super::Control;
use crate::telemetry::program::{Level, audit, event};

impl Control {
    /// Credentials on the list stop working at once, whatever runs; the list outlives restarts.
    pub(super) fn take_revocations(&mut self, from: &dyn Blobs, accepted: &Accepted) {
        let list = accepted.revocations();
        if *list == self.memory.revocations {
            return;
        }
        self.memory.revocations = list.clone();
        self.apply_revocations();
        if let Err(error) = follow::keep_list(from, &self.state.layout, list) {
            event(
                Level::Error,
                "a revocation list is in force but cannot be kept in the state folder",
                json!({"serial": list.serial(), "error": error.to_string()}),
            );
        }
        audit(
            "a revocation list is in force",
            json!({"serial": list.serial()}),
        );
    }

    pub(super) fn apply_revocations(&mut self) {
        let list = self.memory.revocations.list();
        let hashes = list.into_iter().flat_map(|list| &list.credentials);
        let revoked = Revoked::new(hashes.map(|digest| *digest.as_bytes()));
        self.node.revoke(revoked);
        let revocations = &self.memory.revocations;
        let running = self.running.map(|running| running.bundle);
        self.residents.retain(|known| {
            let id = known.version.bundle();
            Some(id) == running || !revocations.has_bundle(&id)
        });
        let alarm = running.is_some_and(|id| revocations.has_bundle(&id));
        self.alarm("running-revoked", alarm);
    }

    pub(super) fn drop_withdrawn(&mut self, accepted: &Accepted) {
        let running = self.running.map(|running| running.bundle);
        let withdrawn = &accepted.record().withdraw;
        self.residents.retain(|known| {
            let id = known.version.bundle();
            Some(id) == running || !withdrawn.contains(&id)
        });
        self.ran
            .ran
            .retain(|id| Some(*id) == running || !withdrawn.contains(id));
    }
}
