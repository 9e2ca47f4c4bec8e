//! Queue of a worker's connections that wait for memory, in order of arrival.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use tokio::sync::Notify;

/// Queue of a worker's connections that wait for memory.
#[derive(Default)]
pub(crate) struct Waiting {
    queue: RefCell<VecDeque<Rc<Place>>>,
    /// Notified when the queue is no longer empty.
    pub(crate) somebody: Notify,
}

/// Entry in the queue. An entry whose owner has dropped it is skipped.
pub(crate) struct Place {
    waker: Waker,
    called: Cell<bool>,
}

impl Waiting {
    /// Adds an entry to the queue, unless `place` is already in it.
    pub(crate) fn queue(&self, place: &mut Option<Rc<Place>>, waker: &Waker) {
        let stands = place
            .as_ref()
            .is_some_and(|place| !place.called.get() && place.waker.will_wake(waker));
        if stands {
            return;
        }
        let new = Rc::new(Place {
            waker: waker.clone(),
            called: Cell::new(false),
        });
        self.queue.borrow_mut().push_back(Rc::clone(&new));
        *place = Some(new);
        self.somebody.notify_one();
    }

    /// Wakes the first connection in the queue that still waits.
    pub(crate) fn wake_one(&self) {
        loop {
            let Some(place) = self.queue.borrow_mut().pop_front() else {
                return;
            };
            if Rc::strong_count(&place) > 1 {
                place.called.set(true);
                return place.waker.wake_by_ref();
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }
}
