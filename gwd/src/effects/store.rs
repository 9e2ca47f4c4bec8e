//! Counting of requests in a store, for limits that a fleet shares.
//!
//! The answer of the store also raises the copy of the counter in this process. Requests of the key
//! that this process has counted itself are added to the counter in the store first, once: those
//! before the limit moved to the store, and those of an outage.

use std::sync::Arc;

use policy::ask::{Answer, CallKind, Outage};
use policy::store::Count;
use policy::{Admission, RateTable};

use crate::effects::pending::PendingDecision;
use crate::runtime::deadlines::in_time;
use crate::stores::{Client, DEADLINE, LEASED};

/// Counts a request in the store and waits for the answer, for at most [`DEADLINE`] from now. After
/// a timeout, the counts of further requests fail at once until the store has answered a test call.
pub(super) async fn ask(pending: &PendingDecision<'_>, count: &Count) -> Answer {
    let shared = &pending.worker.shared;
    let client = shared.stores.client(&count.store, shared.clock.now_ms());
    let deadline_ms = u64::try_from(DEADLINE.as_millis()).unwrap_or(u64::MAX);
    pending.deadline.set(shared.clock.now_ms() + deadline_ms);
    let limits = &shared.limits;
    let table = limits.tables(count.local.quota)[usize::from(count.local.anonymous)];
    // A cost of 0 reads the counter of a limit that does not count in the store any more.
    if count.cost != 0 {
        limits.former_stores.record(count.state, &count.store);
    }
    let moving = move_usage(&client, table, count);
    let (outcome, answer) = match in_time(pending.deadline, client.count(count)).await {
        Some(Ok(counted)) => {
            // The server answers calls in their order: no request waits long for this answer.
            let is_moved = in_time(pending.deadline, moving).await == Some(true);
            // A raised copy would hide local requests that the store does not have yet.
            if is_moved && counted.outcome != LEASED {
                raise_copy(table, count, counted.admission);
            }
            (counted.outcome, Answer::Counted(counted.admission))
        }
        Some(Err(no_answer)) => {
            let outage = no_answer.outage();
            (outage.label(), Answer::Outage(outage))
        }
        None => {
            client.suspect(&count.name());
            (Outage::Timeout.label(), Answer::Outage(Outage::Timeout))
        }
    };
    pending
        .worker
        .shard
        .count_policy_call(CallKind::Store.label(), outcome);
    answer
}

/// Adds the requests that this process has counted locally to the counter in the store. The call is
/// sent at once. The future empties the local counter when the store has answered. It returns false
/// if the store did not answer: the next request of the key sends the call again, and the store adds
/// its tokens once.
fn move_usage(
    client: &Arc<Client>,
    table: &RateTable,
    count: &Count,
) -> impl Future<Output = bool> {
    let (tag, tokens) = (count.local.tag, count.tokens);
    let unmoved = table.unmoved(tag, tokens, count.local.now_ns);
    let sent = unmoved.map(|unmoved| match unmoved.milli_tokens {
        0 => (unmoved, None),
        _ => (unmoved, Some(client.move_usage(count, unmoved))),
    });
    async move {
        let Some((unmoved, sent)) = sent else {
            return true;
        };
        let is_added = match sent {
            None => Some(false),
            Some(Ok(answered)) => answered.await.ok(),
            Some(Err(_)) => None,
        };
        let Some(is_added) = is_added else {
            return false;
        };
        table.settle(tag, tokens, unmoved, is_added);
        true
    }
}

/// Raises the copy of the counter in this process to the state of the counter in the store.
fn raise_copy(table: &RateTable, count: &Count, admission: Admission) {
    let (local, tokens) = (&count.local, count.tokens);
    let used = tokens.capacity().saturating_sub(admission.remaining);
    let milli = used.saturating_mul(1_000);
    table.raise_copy(
        local.client,
        count.state,
        local.tag,
        tokens,
        milli,
        local.now_ns,
    );
}
