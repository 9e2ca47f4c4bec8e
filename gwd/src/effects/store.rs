//! Counting of requests in a store, for limits that a fleet shares.

use policy::ask::{Answer, CallKind, Outage};
use policy::store::Count;

use crate::effects::pending::PendingDecision;
use crate::runtime::deadlines::in_time;
use crate::stores::DEADLINE;

/// Counts a request in the store and waits for the answer, for at most [`DEADLINE`] from now. After
/// a timeout, the counts of further requests fail at once until the store has answered a test call.
pub(super) async fn ask(pending: &PendingDecision<'_>, count: &Count) -> Answer {
    let shared = &pending.worker.shared;
    let client = shared.stores.client(&count.store, shared.clock.now_ms());
    let deadline_ms = u64::try_from(DEADLINE.as_millis()).unwrap_or(u64::MAX);
    pending.deadline.set(shared.clock.now_ms() + deadline_ms);
    let (outcome, answer) = match in_time(pending.deadline, client.count(count)).await {
        Some(Ok(counted)) => (counted.outcome, Answer::Counted(counted.admission)),
        Some(Err(no_answer)) => {
            let outage = no_answer.outage();
            (outage.label(), Answer::Outage(outage))
        }
        None => {
            client.suspect(count);
            (Outage::Timeout.label(), Answer::Outage(Outage::Timeout))
        }
    };
    pending
        .worker
        .shard
        .count_policy_call(CallKind::Store.label(), outcome);
    answer
}
