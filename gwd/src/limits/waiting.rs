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
    queues: RefCell<Turns<Rc<Place>>>,
    /// Notified when a connection begins to wait.
    pub(crate) somebody: Notify,
}

/// Entry of a connection in the queue. The queue skips an entry that its connection has dropped.
pub(crate) struct Place {
    waker: Waker,
    called: Cell<bool>,
}

impl Waiting {
    /// Adds an entry to the queue of a client address, unless `place` is already in it. An IPv6
    /// address shares the queue of its /64 network.
    pub(crate) fn queue(&self, client: IpAddr, place: &mut Option<Rc<Place>>, waker: &Waker) {
        let is_queued = place
            .as_ref()
            .is_some_and(|place| !place.called.get() && place.waker.will_wake(waker));
        if is_queued {
            return;
        }
        let new = Rc::new(Place {
            waker: waker.clone(),
            called: Cell::new(false),
        });
        self.queues.borrow_mut().push(client, Rc::clone(&new));
        *place = Some(new);
        self.somebody.notify_one();
    }

    /// Wakes the first connection that still waits, of the network and address whose turn it is.
    pub(crate) fn wake_one(&self) {
        let waits = |place: &Rc<Place>| Rc::strong_count(place) > 1;
        if let Some(place) = self.queues.borrow_mut().pop(waits) {
            place.called.set(true);
            place.waker.wake_by_ref();
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
    fn woken(waiting: &Waiting, places: &[(&'static str, Option<Rc<Place>>)]) -> Vec<&'static str> {
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let before: Vec<bool> = places.iter().map(|(_, place)| is_called(place)).collect();
            waiting.wake_one();
            let now = places.iter().zip(before);
            let new = now.filter(|((_, place), before)| is_called(place) && !before);
            order.extend(new.map(|((name, _), _)| *name));
        }
        order
    }

    fn is_called(place: &Option<Rc<Place>>) -> bool {
        place.as_ref().is_some_and(|place| place.called.get())
    }

    #[test]
    fn addresses_that_wait_take_turns() {
        let waiting = Waiting::default();
        let mut places: Vec<(&'static str, Option<Rc<Place>>)> = Vec::new();
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
            let mut place = None;
            waiting.queue(client.parse().unwrap(), &mut place, Waker::noop());
            waiting.queue(client.parse().unwrap(), &mut place, Waker::noop());
            if name != "gone" {
                places.push((name, place));
            }
        }
        assert_eq!(
            woken(&waiting, &places),
            ["a1", "b1", "c1", "b2", "a2", "a3"]
        );
        // A connection that must wait again is queued only behind other connections of the same
        // address.
        for (at, client) in [(0, "192.0.2.1"), (3, "2001:db8::1"), (1, "192.0.2.1")] {
            let place = &mut places[at].1;
            *place = None;
            waiting.queue(client.parse().unwrap(), place, Waker::noop());
        }
        assert_eq!(woken(&waiting, &places), ["a1", "b1", "a2"]);
        assert!(waiting.is_empty());
    }
}
