//! Permit for one connection of an upstream ([`super::connections`]).

use std::sync::Arc;

use crate::upstream::connections::Grant;
use crate::upstream::shared::State;

/// Permit for one connection. Dropping this value returns the permit.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(Arc<State>);

impl State {
    /// Takes a permit, even if the maximum is reached. For the first connection of a worker to a
    /// host.
    pub(crate) fn first_permit(self: &Arc<Self>) -> ConnectionPermit {
        self.connections.0.take(u64::MAX);
        ConnectionPermit(Arc::clone(self))
    }

    /// Takes a permit. `None` if the maximum is reached, or if there are waiters.
    pub(crate) fn permit(self: &Arc<Self>, most: u64) -> Option<ConnectionPermit> {
        let connections = &self.connections.0;
        let free = !connections.are_awaited() && connections.take(most);
        free.then(|| ConnectionPermit(Arc::clone(self)))
    }

    /// Permit that was taken for a waiter. `None` if the grant is not [`Grant::Permit`].
    pub(crate) fn permit_of(self: &Arc<Self>, grant: Grant) -> Option<ConnectionPermit> {
        match grant {
            Grant::Permit => Some(ConnectionPermit(Arc::clone(self))),
            Grant::Kept => None,
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.connections.0.give_back();
    }
}
