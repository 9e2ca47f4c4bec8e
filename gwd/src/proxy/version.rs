//! Version of the configuration that an exchange uses, for the modules that read it.

use std::rc::Rc;

use engine::Listener;

use crate::proxy::stream::Stream;
use crate::published::Current;
use crate::telemetry::shard::Served;
use crate::tls::accept::StillAdmitted;
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

/// True if the client's connection was accepted under the same rules as those of this listener. The
/// listener's version can then serve the connection's requests.
pub(super) fn accepts(stream: &Stream, version: &Current, listener: usize) -> bool {
    let loaded = &version.loaded;
    let tls_listener = loaded.tls_listeners[listener].as_deref();
    let same_tls = match (stream.tls.get(), tls_listener) {
        (None, None) => true,
        (Some(facts), Some(tls_listener)) => {
            let now_s = stream.worker.unix_ms(stream.worker.clock.now_ns()) / 1_000;
            facts.still_admitted(tls_listener, now_s) == StillAdmitted::Unchanged
        }
        (Some(_), None) | (None, Some(_)) => false,
    };
    same_tls && is_same_sender(stream, &loaded.snapshot.listeners()[listener])
}

/// True if the listener trusts the balancer that named the client of this connection. Also true if
/// no balancer named the client and the listener expects no PROXY protocol header.
pub(super) fn is_same_sender(stream: &Stream, listener: &Listener) -> bool {
    match (stream.balancer, &listener.proxy_protocol) {
        (None, None) => true,
        (Some(balancer), Some(header)) => header.trusts(balancer),
        (Some(_), None) | (None, Some(_)) => false,
    }
}
