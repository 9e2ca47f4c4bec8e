//! Response to one attempt of a request.

use crate::upstream::pool::Lease;
use crate::upstream::transport;

/// Response to one attempt.
pub(super) struct Reply {
    pub(super) response: transport::Answer,
    pub(super) lease: Lease,
    pub(super) target: usize,
}

impl Reply {
    /// Discards the response before a retry. Returns the connection to its pool if nothing is left
    /// to read.
    pub(super) fn give_up(mut self, now_ms: u64) {
        self.lease.give_back(self.response.body_mut(), now_ms);
    }
}
