//! Exchange on an HTTP/2 connection to an upstream, and the effect of cancelled exchanges and
//! faulty responses on the connection.
//!
//! Servers end a connection on which clients cancel many exchanges, with all exchanges of other
//! clients. A connection with [`RESETS_MAX`] cancelled exchanges is therefore draining: it gets no
//! new exchange while the upstream's connection limit admits an additional connection. A draining
//! connection is charged to the client of the last cancelled exchange, until the connection is
//! closed ([`ConnectionShares`](crate::upstream::connection_shares::ConnectionShares)).

use std::net::IpAddr;
use std::rc::Rc;

use super::State;

/// Number of cancelled exchanges after which a connection is draining: 16. Servers end a
/// connection, with all its exchanges, if many of its streams are reset (Netty: 200 in 30 s).
const RESETS_MAX: u32 = 16;

/// Number of faulty responses after which a connection gets no more exchanges: 64. h2 ends a
/// connection with all its exchanges at [`FAULTS_ERROR`].
const FAULTS_MAX: u32 = 64;
/// Maximum number of faulty responses on a connection. It exceeds [`FAULTS_MAX`] by more than the
/// exchanges that one connection usually carries at a time.
pub(super) const FAULTS_ERROR: usize = 4_096;

/// Exchange on a connection; counted until this value is dropped.
pub(super) struct Exchange {
    pub(super) state: Rc<State>,
    /// Address of the client. `None` for an exchange of the gateway itself.
    pub(super) client: Option<IpAddr>,
}

impl Exchange {
    pub(super) fn new(state: Rc<State>, client: Option<IpAddr>) -> Self {
        if state.active.replace(state.active.get() + 1) == 0 {
            state.gauge.idle(-1);
            state.gauge.active(1);
        }
        state.idle_since_ms.set(None);
        Self { state, client }
    }

    /// Counts the exchange again for a second owner, such as the response body. The exchange ends
    /// when all its values are dropped.
    pub(super) fn again(&self) -> Self {
        Self::new(Rc::clone(&self.state), self.client)
    }

    /// Counts an exchange that ends before its response is complete. After [`RESETS_MAX`] such
    /// exchanges, the connection is draining: it gets new exchanges only if the upstream has
    /// reached its connection limit.
    pub(super) fn count_cancelled(&self) {
        let resets = &self.state.resets;
        resets.set(resets.get() + 1);
        if resets.get() >= RESETS_MAX {
            self.drain();
        }
    }

    /// Marks the connection as draining and charges it to the client of this exchange. No new
    /// exchange uses a draining connection, unless the upstream has reached its connection limit.
    pub(super) fn drain(&self) {
        self.state.drain(self.client);
    }
}

impl State {
    /// Counts a response that violated the protocol. After [`FAULTS_MAX`] such responses, the
    /// connection gets no more exchanges.
    pub(super) fn count_fault(&self) {
        self.faults.set(self.faults.get() + 1);
        if self.faults.get() >= FAULTS_MAX {
            self.retired.set(true);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let state = &self.state;
        let left = state.active.get() - 1;
        state.active.set(left);
        if left == 0 {
            state.gauge.active(-1);
            state.gauge.idle(1);
        }
        state.room.freed(left);
    }
}
