//! Version of the configuration that an exchange uses, for the modules that read it.

use std::rc::Rc;

use crate::telemetry::shard::Served;
use crate::worker::View;

/// Version of the configuration that an exchange uses.
pub(crate) struct Version {
    /// Newest version, whose revocation list applies to all exchanges.
    pub(super) newest: Rc<View>,
    /// Version that serves the exchange: the newest version or the candidate beside it. If both
    /// have removed the connection's listening address, this is the last version that had the
    /// address.
    pub(super) view: Rc<View>,
    /// Index of the listener in `view`.
    pub(super) listener: usize,
    /// Role of `view` in a progressive release that serves two versions.
    pub(super) served: Served,
}
