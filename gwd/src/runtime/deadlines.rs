//! Deadlines with one timer per worker instead of one per request.
//!
//! Every connection owns a [`Slot`]; setting its deadline is usually one write to memory. The
//! worker's timer is set to a lower bound of all deadlines. When the timer fires, a pass over the
//! slots wakes the owners whose deadline has passed and finds the next bound. Connections extend
//! their deadlines with every step, so that passes are rare under load.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};

use tokio::sync::Notify;

use crate::runtime::clock::Clock;

/// Time of a deadline that never passes.
const NEVER: u64 = u64::MAX;
/// Minimum interval between two passes, which is the precision of deadlines: 10ms.
const TICK_MS: u64 = 10;

/// Deadlines of one worker, with one timer for all of them.
pub(crate) struct Deadlines {
    clock: Clock,
    slots: RefCell<Slots>,
    /// Lower bound of all deadlines.
    earliest_ms: Cell<u64>,
    /// Time of the last pass. The owners of all deadlines up to then have been woken. Comparing a
    /// deadline with this time needs no clock.
    passed_ms: Cell<u64>,
    rearm: Notify,
}

#[derive(Default)]
struct Slots {
    list: Vec<Option<Rc<SlotState>>>,
    free: Vec<usize>,
}

struct SlotState {
    at_ms: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

/// Deadline of one connection or other task of the worker.
pub(crate) struct Slot {
    deadlines: Rc<Deadlines>,
    state: Rc<SlotState>,
    index: usize,
    /// Deadline of the current step, without the limit of the request.
    step_ms: Cell<u64>,
    limit: Cell<Limit>,
}

/// Time limit of a whole request. Each step of the request ends at this limit at the latest, even
/// if its own deadline is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    at_ms: u64,
    pub(crate) of: LimitOf,
}

/// Origin of the time limit of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitOf {
    /// The deadline that the client set for its call (`grpc-timeout`).
    Client,
    /// The `timeout` of the operation.
    Operation,
    /// The end of a credential of the request (`streams: close`).
    Credential,
}

/// Limit that never passes.
const UNLIMITED: Limit = Limit {
    at_ms: NEVER,
    of: LimitOf::Client,
};

// === impl Deadlines ===

impl Deadlines {
    pub(crate) fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            clock,
            slots: RefCell::default(),
            earliest_ms: Cell::new(NEVER),
            passed_ms: Cell::new(0),
            rearm: Notify::new(),
        })
    }

    /// Creates a slot without a deadline.
    pub(crate) fn slot(self: &Rc<Self>) -> Slot {
        let state = Rc::new(SlotState {
            at_ms: Cell::new(NEVER),
            waker: RefCell::new(None),
        });
        let mut slots = self.slots.borrow_mut();
        let index = match slots.free.pop() {
            Some(index) => {
                slots.list[index] = Some(Rc::clone(&state));
                index
            }
            None => {
                slots.list.push(Some(Rc::clone(&state)));
                slots.list.len() - 1
            }
        };
        Slot {
            deadlines: Rc::clone(self),
            state,
            index,
            step_ms: Cell::new(NEVER),
            limit: Cell::new(UNLIMITED),
        }
    }

    /// Wakes all owners, for example to check a condition of the whole process.
    pub(crate) fn wake_all(&self) {
        let wakers: Vec<Waker> = {
            let slots = self.slots.borrow();
            let states = slots.list.iter().flatten();
            states
                .filter_map(|state| state.waker.borrow().clone())
                .collect()
        };
        for waker in wakers {
            waker.wake();
        }
    }

    /// Runs the worker's timer. Never returns.
    pub(crate) async fn run(&self) {
        loop {
            let earliest = self.earliest_ms.get();
            if earliest == NEVER {
                self.rearm.notified().await;
                continue;
            }
            let due = tokio::time::sleep_until(self.clock.instant(earliest).into());
            tokio::select! {
                () = due => self.pass(),
                () = self.rearm.notified() => {}
            }
        }
    }

    fn pass(&self) {
        let now_ms = self.clock.now_ms();
        self.passed_ms.set(now_ms);
        let mut next = NEVER;
        let mut due = Vec::new();
        for state in self.slots.borrow().list.iter().flatten() {
            let at = state.at_ms.get();
            if at > now_ms {
                next = next.min(at);
            } else if let Some(waker) = state.waker.borrow().as_ref() {
                due.push(waker.clone());
            }
        }
        self.earliest_ms
            .set(next.max(now_ms.saturating_add(TICK_MS)));
        for waker in due {
            waker.wake();
        }
    }
}

// === impl Slot ===

impl Slot {
    /// Limits all deadlines that are set later. If there is a limit already, the earlier one
    /// applies. Returns the previous limit, for [`Self::limit_again`].
    pub(crate) fn limit(&self, at_ms: u64, of: LimitOf) -> Limit {
        let before = self.limit.get();
        if at_ms < before.at_ms {
            self.limit.set(Limit { at_ms, of });
        }
        before
    }

    /// Restores a limit that [`Self::limit`] has returned.
    pub(crate) fn limit_again(&self, limit: Limit) {
        self.limit.set(limit);
    }

    /// Removes the limit of the request, so that only deadlines of steps apply.
    pub(crate) fn no_limit(&self) {
        self.limit.set(UNLIMITED);
    }

    /// True if the limit has passed.
    pub(crate) fn limit_passed(&self, now_ms: u64) -> bool {
        self.limit.get().at_ms <= now_ms
    }

    /// Origin of the request's limit, if the limit has passed at `now_ms`.
    pub(crate) fn passed_limit(&self, now_ms: u64) -> Option<LimitOf> {
        let limit = self.limit.get();
        (limit.at_ms <= now_ms).then_some(limit.of)
    }

    /// Origin of the request's time limit, if the limit had passed when the deadlines were last
    /// checked.
    pub(crate) fn limit_expired(&self) -> Option<LimitOf> {
        let limit = self.limit.get();
        (limit.at_ms <= self.deadlines.passed_ms.get()).then_some(limit.of)
    }

    /// Sets the deadline of a step. The task is woken at the deadline, or at the limit if that is
    /// earlier.
    pub(crate) fn set(&self, at_ms: u64) {
        self.step_ms.set(at_ms);
        let at_ms = at_ms.min(self.limit.get().at_ms);
        self.state.at_ms.set(at_ms);
        if at_ms < self.deadlines.earliest_ms.get() {
            self.deadlines.earliest_ms.set(at_ms);
            self.deadlines.rearm.notify_one();
        }
    }

    /// True if the deadline or the limit had passed at the last pass.
    pub(crate) fn expired(&self) -> bool {
        self.state.at_ms.get() <= self.deadlines.passed_ms.get()
    }

    /// True if the deadline of the step had passed when the deadlines were last checked. The limit
    /// of the request is ignored, because it does not depend on the peer for which the step waits.
    pub(crate) fn step_expired(&self) -> bool {
        self.step_ms.get() <= self.deadlines.passed_ms.get()
    }

    /// Registers the waker that is woken when the deadline passes.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut known = self.state.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// Wakes the registered task, unless the calling task is the registered one.
    pub(crate) fn wake_other(&self, waker: &Waker) {
        let known = self.state.waker.borrow();
        if let Some(known) = known.as_ref().filter(|known| !known.will_wake(waker)) {
            known.wake_by_ref();
        }
    }
}

/// Waits for a step of a request. `None` if the deadline that was set for the step passes first.
/// The limit of the request does not end the step: [`within_limit`] ends the request. The deadline
/// must belong to the task that polls this future, so that the task is woken.
pub(crate) async fn in_time<T>(deadline: &Slot, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        if deadline.step_expired() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

/// Runs steps of a request until the request's limit passes. Then drops the steps, as if the client
/// had disconnected. A step therefore never treats the limit as a failure of the peer for which the
/// step waits: the limit causes no outage, marks no host as failed, and is not shared with other
/// requests.
///
/// The caller pins `steps`, because a future that is passed by value is stored and copied twice.
/// This future contains most of an exchange: passing it by value would cost about 8,600
/// instructions per request over HTTP/2.
pub(crate) async fn within_limit<F: Future>(
    deadline: &Slot,
    mut steps: Pin<&mut F>,
) -> Result<F::Output, LimitOf> {
    poll_fn(|cx| match deadline.limit_expired() {
        Some(of) => Poll::Ready(Err(of)),
        None => steps.as_mut().poll(cx).map(Ok),
    })
    .await
}

impl Drop for Slot {
    fn drop(&mut self) {
        let state = {
            let mut slots = self.deadlines.slots.borrow_mut();
            slots.free.push(self.index);
            slots.list[self.index].take()
        };
        drop(state);
    }
}
