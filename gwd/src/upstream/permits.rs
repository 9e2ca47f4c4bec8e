//! Counts and permits of an exchange at an upstream.

use crate::upstream::connection_shares::ConnectionCharge;
use crate::upstream::shared::{Busy, InFlight};

/// Counts and permits of an exchange at an upstream, returned when the response has ended.
pub(crate) struct ExchangePermits {
    pub(crate) in_flight: Option<InFlight>,
    /// Count of the connection for the client that uses it. `None`: the connection is not counted.
    pub(crate) charge: Option<ConnectionCharge>,
    _busy: Busy,
}

impl ExchangePermits {
    pub(crate) fn busy(busy: Busy) -> Self {
        Self {
            in_flight: None,
            charge: None,
            _busy: busy,
        }
    }
}
