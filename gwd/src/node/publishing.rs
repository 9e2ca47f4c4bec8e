//! Publishing: the version that serves requests, the candidate that serves a share of them beside
//! it, and the addresses of both.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bundle::digest::Digest;
use bundle::statement::predicate::Rollout;
use policy::Revoked;

use crate::effects::sharing;
use crate::node::thread::Command;
use crate::node::{HANDSHAKES, Node, Version, shadow};
use crate::published::choice::RequestChoice;
use crate::published::{Candidate, Current};
use crate::runtime::clock;

impl Node {
    /// Publishes a bound version, which serves all requests. Returns once every worker uses it.
    pub fn publish(&mut self, version: &Version, serial: u64) {
        self.epoch += 1;
        let current = self.current_of(version, serial);
        self.publish_current(current);
    }

    /// Publishes two bound versions, each with the serial of its record: the base and the
    /// candidate. The candidate serves the share of the requests that the current step sets; in a
    /// shadow step, the base serves all requests, and the candidate decides this share too. Returns
    /// once every worker uses both versions.
    pub(crate) fn publish_beside(
        &mut self,
        base: (&Version, u64),
        candidate: (&Version, u64),
        rollout: &Rollout,
    ) {
        // The failures of an earlier candidate do not concern this one.
        if self.candidate() != Some(candidate.0.bundle()) {
            for common in &candidate.0.0.commons {
                common.state.forget_candidate();
            }
        }
        let choice = RequestChoice::new(rollout, &candidate.0.bundle());
        self.publish_both(base, candidate, (Arc::new(choice), rollout.is_shadow()));
    }

    fn publish_both(
        &mut self,
        base: (&Version, u64),
        candidate: (&Version, u64),
        (choice, is_shadow): (Arc<RequestChoice>, bool),
    ) {
        self.epoch += 1;
        let version = Arc::new(self.current_of(candidate.0, candidate.1));
        let mut current = self.current_of(base.0, base.1);
        match is_shadow {
            true => current.shadow = Some(shadow::start(&self.shared, version, choice)),
            false => current.candidate = Some(Candidate { version, choice }),
        }
        self.publish_current(current);
    }

    /// Bundle of the candidate that serves or decides a share of the requests. `None`: there is one
    /// version.
    pub(crate) fn candidate(&self) -> Option<Digest> {
        let current = self.shared.current()?;
        let serving = current.candidate.as_ref().map(|one| &one.version);
        let deciding = current.shadow.as_ref().map(|one| &one.version);
        Some(serving.or(deciding)?.loaded.bundle)
    }

    /// A bound version of the current epoch, without a candidate.
    fn current_of(&self, version: &Version, serial: u64) -> Current {
        let loaded = &version.0;
        let mut listener_of_socket: Box<[Option<usize>]> =
            (0..self.bound.len()).map(|_| None).collect();
        for (index, listener) in loaded.snapshot.listeners().iter().enumerate() {
            let wanted = self.address_key(&listener.name, listener.address);
            if let Some(id) = self.find(&wanted) {
                listener_of_socket[id] = Some(index);
            }
        }
        Current {
            epoch: self.epoch,
            loaded: Arc::clone(loaded),
            revoked: Arc::clone(&self.revoked),
            serial,
            listener_of_socket,
            candidate: None,
            shadow: None,
        }
    }

    fn publish_current(&mut self, current: Current) {
        let (limits, unix_s) = (&self.shared.limits, clock::unix_ms() / 1_000);
        let mut used_stores = Vec::new();
        for version in current.versions() {
            limits.keep_used(version.snapshot.windows(), unix_s);
            used_stores.extend_from_slice(version.snapshot.used_stores());
        }
        limits.share_used(&used_stores, unix_s);
        if !used_stores.is_empty() {
            sharing::start(&self.shared);
        }
        let addresses = used_addresses(&current);
        let epoch = self.shared.publish(current);
        for index in 0..self.workers.len() {
            self.command(index, Command::Switch);
        }
        self.shared.wait_acknowledged(epoch);
        self.prober.renew(|| self.shared.checks());
        self.begin_listening(&addresses);
        drop(self.leave_others(&addresses, HANDSHAKES));
        self.publish_connections();
        self.refresh_tls();
        self.free_unused_versions();
    }

    /// Replaces the set of revoked credentials, for every version.
    pub fn revoke(&mut self, revoked: Revoked) {
        self.revoked = Arc::new(revoked);
        let Some(current) = self.shared.current() else {
            return;
        };
        let version = Version(Arc::clone(&current.loaded));
        let (candidate, choice) = match (&current.candidate, &current.shadow) {
            (Some(Candidate { version, choice }), _) => (version, choice),
            (None, Some(shadow)) => (&shadow.version, &shadow.choice),
            (None, None) => return self.publish(&version, current.serial),
        };
        let other = Version(Arc::clone(&candidate.loaded));
        self.publish_both(
            (&version, current.serial),
            (&other, candidate.serial),
            (Arc::clone(choice), current.shadow.is_some()),
        );
    }

    /// Actual addresses of the listeners of the versions that serve requests, by name. If the base
    /// and the candidate have a listener of the same name, contains the address of the base.
    #[must_use]
    pub fn listeners(&self) -> BTreeMap<String, SocketAddr> {
        let Some(current) = self.shared.current() else {
            return BTreeMap::new();
        };
        let mut listeners = BTreeMap::new();
        let candidate = current.candidate.as_ref().map(|one| &*one.version);
        for version in candidate.into_iter().chain([&*current]) {
            let named = version.listener_of_socket.iter().zip(&self.bound);
            listeners.extend(named.filter_map(|(index, slot)| {
                let listener = &version.loaded.snapshot.listeners()[(*index)?];
                let (_, bound) = slot.as_ref()?;
                Some((listener.name.to_string(), bound.address))
            }));
        }
        listeners
    }
}

/// Index of the listener for each socket id: the listener of the version, otherwise that of its
/// candidate.
fn used_addresses(current: &Current) -> Box<[Option<usize>]> {
    let mut addresses = current.listener_of_socket.clone();
    if let Some(candidate) = &current.candidate {
        let others = &candidate.version.listener_of_socket;
        for (address, other) in addresses.iter_mut().zip(others) {
            *address = address.or(*other);
        }
    }
    addresses
}
