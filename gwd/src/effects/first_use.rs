//! Records of used credentials in a store, so that a fleet accepts each credential once.

use std::sync::Arc;

use http::StatusCode;
use policy::ask::{Answer, Answered, CallKind, Outage};
use policy::used::FirstUse;

use crate::effects::pending::PendingDecision;
use crate::runtime::deadlines::in_time;
use crate::stores::DEADLINE;

/// Records a credential in the store, unless the store has a record of it already. Waits for the
/// answer for at most [`DEADLINE`] from now.
pub(super) async fn ask(pending: &PendingDecision<'_>, used: &FirstUse) -> Answer {
    let shared = &pending.worker.shared;
    let client = shared.stores.client(&used.store, shared.clock.now_ms());
    let deadline_ms = u64::try_from(DEADLINE.as_millis()).unwrap_or(u64::MAX);
    pending.deadline.set(shared.clock.now_ms() + deadline_ms);
    let (outcome, answer) = match in_time(pending.deadline, client.first_use(used)).await {
        Some(Ok(is_first)) => {
            let status = match is_first {
                true => StatusCode::OK,
                false => StatusCode::FORBIDDEN,
            };
            let answered = Answered::empty(status);
            ("answered", Answer::Http(Arc::new(answered)))
        }
        Some(Err(no_answer)) => {
            let outage = no_answer.outage();
            (outage.label(), Answer::Outage(outage))
        }
        None => {
            client.suspect(&used.name());
            (Outage::Timeout.label(), Answer::Outage(Outage::Timeout))
        }
    };
    let shard = &pending.worker.shard;
    shard.count_policy_call(CallKind::Store.label(), outcome);
    answer
}
