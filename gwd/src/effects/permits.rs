//! Waiting for permits of `concurrency` policies.
//!
//! The wait ends with a permit, at the deadline, or when the gateway begins to drain. It also ends
//! when a request of another network replaces this one in a full queue. A client that leaves drops
//! the wait, which removes its entry at once.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use policy::ask::{Answer, CallKind, Outage};
use policy::{Lease, PermitWait};

use crate::limits::permit_queue::{Entered, Grant};
use crate::runtime::deadlines::{Slot, in_time};
use crate::worker::Worker;

/// Reason why a wait ended without a permit.
enum Ended {
    Draining,
    Replaced,
}

/// Waits for a permit, and stores it in `permit`. `deadline`: deadline slot of the task that serves
/// the request.
pub(super) async fn ask(
    worker: &Worker,
    deadline: &Slot,
    wait: &PermitWait,
    permit: &mut Option<Lease>,
) -> Answer {
    let shared = &worker.shared;
    let (outcome, answer) = match shared.permits.enter(&shared.limits.leases, wait) {
        Entered::Permit(grant) => granted(grant, wait, permit),
        Entered::Full => ("full", Answer::Outage(Outage::Overflow)),
        Entered::Waits(mut place) => {
            deadline.set(worker.clock.now_ms().saturating_add(wait.wait_ms));
            let waited = until_drain(worker, place.permit());
            match in_time(deadline, waited).await {
                Some(Ok(grant)) => granted(grant, wait, permit),
                Some(Err(Ended::Replaced)) => ("replaced", Answer::Outage(Outage::Overflow)),
                Some(Err(Ended::Draining)) => ("draining", Answer::Outage(Outage::Failed)),
                None => (Outage::Timeout.label(), Answer::Outage(Outage::Timeout)),
            }
        }
    };
    worker
        .shard
        .count_policy_call(CallKind::Concurrency.label(), outcome);
    answer
}

fn granted(
    (lease, count): Grant,
    wait: &PermitWait,
    permit: &mut Option<Lease>,
) -> (&'static str, Answer) {
    *permit = Some(lease.with_estimate(wait.estimate));
    ("answered", Answer::Permit(count))
}

/// Waits for a permit, or until the worker drains. The start of a drain wakes all requests.
async fn until_drain(
    worker: &Worker,
    permit: impl Future<Output = Option<Grant>>,
) -> Result<Grant, Ended> {
    let mut permit = pin!(permit);
    poll_fn(|cx| match permit.as_mut().poll(cx) {
        Poll::Ready(grant) => Poll::Ready(grant.ok_or(Ended::Replaced)),
        Poll::Pending if worker.draining_ms().is_some() => Poll::Ready(Err(Ended::Draining)),
        Poll::Pending => Poll::Pending,
    })
    .await
}
