//! Limits on connections of the admin interface.
//!
//! Idle connections must not block a health check or an operator: at the limit, the connection that
//! was opened first among the idle ones is closed. If all connections are busy, a reserve of
//! connections remains, in which only health checks get a response.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Maximum concurrent connections of the admin interface, without the reserve.
const CONNECTIONS_MAX: usize = 256;
/// Maximum concurrent connections of the reserve, which get responses only to health checks.
const RESERVE_MAX: usize = 32;

/// Open connections of the admin interface, in the order in which they were opened.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: VecDeque<Arc<Connection>>,
    reserve: VecDeque<Arc<Connection>>,
}

/// Open connection of the admin interface.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// True if the connection belongs to the reserve: only health checks get a response.
    reserved: bool,
    /// Number of requests in progress on the connection.
    busy: AtomicUsize,
    shed: Notify,
}

/// Guard that counts a request as in progress until it is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

// === impl Connections ===

impl Connections {
    /// Admits a new connection. `None` if all open connections, including the reserve, are busy.
    pub(super) fn admit(&mut self) -> Option<Arc<Connection>> {
        let general = Connection::default();
        let reserved = Connection {
            reserved: true,
            ..Connection::default()
        };
        take_place(&mut self.open, CONNECTIONS_MAX, general)
            .or_else(|| take_place(&mut self.reserve, RESERVE_MAX, reserved))
    }
}

/// Adds a connection to `open`, which holds at most `most` connections. At the limit, closes the
/// oldest idle connection. `None` if all connections are busy.
fn take_place(
    open: &mut VecDeque<Arc<Connection>>,
    most: usize,
    connection: Connection,
) -> Option<Arc<Connection>> {
    open.retain(|known| Arc::strong_count(known) > 1);
    if open.len() >= most {
        let idle = |known: &Arc<Connection>| known.busy.load(Ordering::Relaxed) == 0;
        let oldest = open.iter().position(idle)?;
        if let Some(shed) = open.remove(oldest) {
            shed.shed.notify_one();
        }
    }
    let connection = Arc::new(connection);
    open.push_back(Arc::clone(&connection));
    Some(connection)
}

// === impl Connection ===

impl Connection {
    /// True if the connection belongs to the reserve: only health checks get a response.
    pub(super) const fn is_reserved(&self) -> bool {
        self.reserved
    }

    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Waits until this connection must be closed, so that a new one can be admitted.
    pub(super) async fn wait_until_closed(&self) {
        self.shed.notified().await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_idle_connection_closes_and_busy_ones_stay() {
        let mut connections = Connections::default();
        let open: Vec<_> = (0..CONNECTIONS_MAX)
            .filter_map(|_| connections.admit())
            .collect();
        assert_eq!(open.len(), CONNECTIONS_MAX);
        let busy = open[0].busy();
        let new = connections.admit().unwrap();
        assert_eq!(connections.open.len(), CONNECTIONS_MAX);
        let has =
            |connections: &Connections, one| connections.open.iter().any(|it| Arc::ptr_eq(it, one));
        assert!(has(&connections, &open[0]), "busy");
        assert!(
            !has(&connections, &open[1]),
            "the oldest idle connection is closed"
        );
        assert!(has(&connections, &new));
        drop(busy);
        let _newer = connections.admit().unwrap();
        assert!(!has(&connections, &open[0]));
        let all: Vec<_> = connections.open.iter().map(Connection::busy).collect();
        let health = connections.admit().unwrap();
        assert!(health.is_reserved() && !new.is_reserved());
        let more: Vec<_> = (0..RESERVE_MAX)
            .map(|_| connections.admit().unwrap())
            .collect();
        assert_eq!(connections.reserve.len(), RESERVE_MAX);
        let busy: Vec<_> = more.iter().map(Connection::busy).collect();
        assert!(connections.admit().is_none());
        drop((busy, more, health));
        drop((all, open));
        assert!(connections.admit().is_some());
        assert_eq!(
            connections.open.len(),
            3,
            "ended connections are not counted"
        );
    }
}
