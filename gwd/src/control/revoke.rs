//! Applies revocations: the revocation list, and the bundles that the channel's head withdraws
//! (release.md §6, §7).

use std::collections::BTreeSet;

use bundle::digest::Digest;
use bundle::follow;
use bundle::refused::Refused;
use bundle::revocation::Revocations;
use bundle::store::folder::Folder;
use policy::Revoked;
use serde_json::json;

use super::Control;
use crate::runtime::program_log::{Audit, Level, OK, event};

impl Control {
    /// Applies the store's newest revocation list, even if the channel's head cannot be used.
    pub(super) fn follow_revocations(&mut self, store: &Folder) {
        match follow::revocations(store, &self.context(), &self.memory) {
            Ok(list) => {
                self.logged.list = None;
                self.alarm("revocations-refused", false);
                self.take_revocations(store, &list);
            }
            Err(refused) => {
                if !matches!(refused, Refused::StoreUnreachable { .. }) {
                    self.alarm("revocations-refused", true);
                }
                if self.logged.list.as_ref() != Some(&refused) {
                    event(
                        Level::Warn,
                        "the store's newest revocation list is refused; the last accepted list stays in force",
                        json!({"reason": refused.reason(), "error": refused.to_string()}),
                    );
                }
                self.logged.list = Some(refused);
            }
        }
    }

    /// Applies a revocation list and writes it to the state folder. At once, whichever bundle runs,
    /// listed credentials stop working and signatures by listed keys no longer count.
    pub(super) fn take_revocations(&mut self, from: &Folder, list: &Revocations) {
        if *list == self.memory.revocations {
            return;
        }
        let before = std::mem::replace(&mut self.memory.revocations, list.clone());
        self.memory.created = self.memory.created.max(Some(list.created()));
        self.apply_revocations();
        self.persist_list(from, list);
        Audit {
            what: "revocations",
            who: "the store's revocation list",
            from: Some(before.serial().to_string()),
            to: Some(list.serial().to_string()),
            why: None,
            result: OK,
        }
        .write(
            "a revocation list is in force",
            json!({"serial": list.serial(), "durable": self.durable}),
        );
        if list.keys() != before.keys() {
            self.reverify_statements();
        }
    }

    /// Applies the revocation list that is in memory.
    pub(super) fn apply_revocations(&mut self) {
        let list = self.memory.revocations.list();
        let hashes = list.into_iter().flat_map(|list| &list.credentials);
        let revoked = Revoked::new(hashes.map(|digest| *digest.as_bytes()));
        self.node.revoke(revoked);
        self.drop_banned();
    }

    /// Reason why a bundle must not be started: it is revoked, or the newest record withdraws it.
    /// `None`: it may be started.
    pub(super) fn banned(&self, bundle: &Digest) -> Option<Refused> {
        if self.memory.revocations.has_bundle(bundle) {
            return Some(Refused::Revoked { bundle: *bundle });
        }
        let head = self.head.as_ref();
        let withdrawn = head.is_some_and(|head| head.record().withdraw.contains(bundle));
        withdrawn.then_some(Refused::Withdrawn { bundle: *bundle })
    }

    /// Bundles that must not be started: all revoked or withdrawn bundles except the running one.
    pub(super) fn all_banned(&self) -> BTreeSet<Digest> {
        let revoked = self.memory.revocations.list();
        let withdrawn = self.head.as_ref().map(|head| &head.record().withdraw);
        let mut banned: BTreeSet<Digest> = revoked
            .into_iter()
            .flat_map(|list| &list.bundles)
            .chain(withdrawn.into_iter().flatten())
            .copied()
            .collect();
        if let Some(running) = self.running {
            banned.remove(&running.bundle);
        }
        banned
    }

    /// Drops revoked and withdrawn bundles from memory at once and from disk at the next clean-up.
    /// They stay in the history, so that a switch to such a bundle is refused with the reason.
    pub(super) fn drop_banned(&mut self) {
        let banned = self.all_banned();
        if banned != self.dropped {
            self.residents
                .retain(|known| !banned.contains(&known.version.bundle()));
            self.tidy_at_ms = 0;
            self.clean_up_due = true;
            self.dropped = banned;
        }
        if self
            .node
            .candidate()
            .is_some_and(|candidate| self.dropped.contains(&candidate))
        {
            self.stop_candidate("it is revoked or withdrawn");
        }
        let running = self.running.map(|running| running.bundle);
        let revoked = running.is_some_and(|id| self.memory.revocations.has_bundle(&id));
        self.alarm("running-revoked", revoked);
    }
}
