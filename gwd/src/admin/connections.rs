//! How many connections the admin interface has at once, and which one gives way.
//!
//! Somebody who connects and says nothing must not keep a health check or an operator out: where
//! all places are taken, the connection that has been idle the longest goes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Connections at once.
const CONNECTIONS_MAX: usize = 256;

/// Those that are open, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Connections(VecDeque<Arc<Connection>>);

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// Requests that are being answered.
    busy: AtomicUsize,
    shed: Notify,
}

/// A request is being answered as long as this lives.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

// === impl Connections ===

impl Connections {
    /// A place for a new connection; none where each one that is open is being answered.
    pub(super) fn admit(&mut self) -> Option<Arc<Connection>> {
        self.0.retain(|known| Arc::strong_count(known) > 1);
        if self.0.len() >= CONNECTIONS_MAX {
            let idle = |known: &Arc<Connection>| known.busy.load(Ordering::Relaxed) == 0;
            let oldest = self.0.iter().position(idle)?;
            if let Some(shed) = self.0.remove(oldest) {
                shed.shed.notify_one();
            }
        }
        let connection = Arc::<Connection>::default();
        self.0.push_back(Arc::clone(&connection));
        Some(connection)
    }
}

// === impl Connection ===

impl Connection {
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Ends when another connection needs the place.
    pub(super) async fn is_shed(&self) {
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
    fn the_oldest_idle_connection_gives_way_and_busy_ones_stay() {
        let mut connections = Connections::default();
        let open: Vec<_> = (0..CONNECTIONS_MAX)
            .filter_map(|_| connections.admit())
            .collect();
        assert_eq!(open.len(), CONNECTIONS_MAX);
        let busy = open[0].busy();
        let new = connections.admit().unwrap();
        assert_eq!(connections.0.len(), CONNECTIONS_MAX);
        let has =
            |connections: &Connections, one| connections.0.iter().any(|it| Arc::ptr_eq(it, one));
        assert!(has(&connections, &open[0]), "busy");
        assert!(!has(&connections, &open[1]), "the oldest idle one");
        assert!(has(&connections, &new));
        drop(busy);
        let _newer = connections.admit().unwrap();
        assert!(!has(&connections, &open[0]));
        let all: Vec<_> = connections.0.iter().map(Connection::busy).collect();
        assert!(connections.admit().is_none());
        drop((all, open));
        assert!(connections.admit().is_some());
        assert_eq!(connections.0.len(), 3, "what has ended takes no place");
    }
}
