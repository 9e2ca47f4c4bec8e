//! Queue of a worker's connections that wait for memory, fair by client address and network.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Waker;

use tokio::sync::Notify;

use crate::limits::turns::Turns;

/// Queues of a worker's connections that wait for memory.
#[derive(Default)]
pub(crate) struct Waiting {
    queues: RefCell<Turns<Rc<QueueEntry>>>,
    /// Notified when a connection begins to wait.
    pub(crate) entry_added: Notify,
}

/// Entry of a connection in the queue. The queue skips an entry that its connection has dropped.
pub(crate) struct QueueEntry {
    waker: Waker,
    called: Cell<bool>,
}

impl Waiting {
    /// Adds an entry to the queue of a client address, unless `entry` is already in it. An IPv6
    /// address shares the queue of its /64 network.
    pub(crate) fn queue(&self, client: IpAddr, entry: &mut Option<Rc<QueueEntry>>, waker: &Waker) {
        let is_queued = entry
            .as_ref()
            .is_some_and(|entry| !entry.called.get() && entry.waker.will_wake(waker));
        if is_queued {
            return;
        }
        let new = Rc::new(QueueEntry {
            waker: waker.clone(),
            called: Cell::new(false),
        });
        self.queues.borrow_mut().push(client, Rc::clone(&new));
        *entry = Some(new);
        self.entry_added.notify_one();
    }

    /// Wakes the first connection that still waits, of the network and address whose turn it is.
    pub(crate) fn wake_one(&self) {
        let waits = |entry: &Rc<QueueEntry>| Rc::strong_count(entry) > 1;
        if let Some(entry) = self.queues.borrow_mut().pop(waits) {
            entry.called.set(true);
            entry.waker.wake_by_ref();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queues.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the entries that were woken, in this order, until no entry waits.
    fn woken(
        waiting: &Waiting,
        entries: &[(&'static str, Option<Rc<QueueEntry>>)],
    ) -> Vec<&'static str> {
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let before: Vec<bool> = entries.iter().map(|(_, entry)| is_called(entry)).collect();
            waiting.wake_one();
            let now = entries.iter().zip(before);
            let new = now.filter(|((_, entry), before)| is_called(entry) && !before);
            order.extend(new.map(|((name, _), _)| *name));
        }
        order
    }

    fn is_called(entry: &Option<Rc<QueueEntry>>) -> bool {
        entry.as_ref().is_some_and(|entry| entry.called.get())
    }

    #[test]
    fn addresses_that_wait_take_turns() {
        let waiting = Waiting::default();
        let mut entries: Vec<(&'static str, Option<Rc<QueueEntry>>)> = Vec::new();
        for (name, client) in [
            ("a1", "192.0.2.1"),
            ("a2", "192.0.2.1"),
            ("gone", "192.0.2.1"),
            ("a3", "::ffff:192.0.2.1"),
            ("b1", "2001:db8::1"),
            ("gone", "192.0.2.9"),
            ("b2", "2001:db8::ff:2"),
            ("c1", "192.0.2.2"),
        ] {
            let mut entry = None;
            waiting.queue(client.parse().unwrap(), &mut entry, Waker::noop());
            waiting.queue(client.parse().unwrap(), &mut entry, Waker::noop());
            if name != "gone" {
                entries.push((name, entry));
            }
        }
        assert_eq!(
            woken(&waiting, &entries),
            ["a1", "b1", "c1", "b2", "a2", "a3"]
        );
        // A connection that must wait again is queued only behind other connections of the same
        // address.
        for (at, client) in [(0, "192.0.2.1"), (3, "2001:db8::1"), (1, "192.0.2.1")] {
            let entry = &mut entries[at].1;
            *entry = None;
            waiting.queue(client.parse().unwrap(), entry, Waker::noop());
        }
        assert_eq!(woken(&waiting, &entries), ["a1", "b1", "a2"]);
        assert!(waiting.is_empty());
    }
}
