//! Password checks: slow hashes, computed on the threads for computations.
//!
//! [`Passwords`](crate::answers::passwords::Passwords) is the queue of checks. Results are cached by
//! a hash with a random key of the process: right passwords for five minutes, wrong ones for ten
//! seconds.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;
use policy::ask::{Answer, AnswerKind, Answered, CallKind, Keep, KindOf, Outage};
use policy::password::Check;

use crate::answers::joined::Turn;
use crate::answers::passwords::Replaced;
use crate::effects::PendingDecision;
use crate::runtime::deadlines::in_time;

/// Maximum time for which a request waits for a check: 5s.
const TIMEOUT_MS: u64 = 5_000;

/// Cache times of the results: 5 minutes for right passwords, 10 seconds for wrong ones.
static KEEP: Keep = Keep {
    times_ms: [300_000, 10_000],
    stale_ms: 0,
    kind: KindOf::Unsigned(|answered| match answered.status {
        StatusCode::OK => Some(AnswerKind::Admits),
        _ => Some(AnswerKind::Refuses),
    }),
};

/// Checks a password, or uses the result of an equal check.
pub(super) async fn ask(asking: &PendingDecision<'_>, check: &Check, client: IpAddr) -> Answer {
    let shared = &asking.worker.shared;
    let until_ms = shared.clock.now_ms() + TIMEOUT_MS;
    let count = |outcome| {
        let kind = CallKind::Password.label();
        asking.worker.shard.count_policy_call(kind, outcome);
    };
    let outage = |outage: Outage| {
        count(outage.label());
        Answer::Outage(outage)
    };
    let key = shared.passwords.key_of(check);
    if let Some(kept) = shared.joined.cached(&key, &KEEP, shared.clock.now_ms()) {
        count("kept");
        return Answer::Http(kept);
    }
    let Some(mut place) = shared.passwords.enter(client) else {
        return outage(Outage::Overflow);
    };
    let joining = shared.joined.join(key);
    asking.deadline.set(until_ms);
    let turn = in_time(asking.deadline, place.keep(joining.turn())).await;
    let lead = match turn {
        Some(Ok(Turn::Answered(answer))) => {
            count("joined");
            return answer;
        }
        Some(Ok(Turn::Leads(lead))) => Some(lead),
        Some(Ok(Turn::Alone)) => None,
        Some(Err(Replaced)) => return outage(Outage::Overflow),
        None => return outage(Outage::Timeout),
    };
    let permit = place.keep(shared.passwords.permit(client));
    asking.deadline.set(until_ms);
    let permit = match in_time(asking.deadline, permit).await {
        Some(Ok(Some(permit))) => permit,
        Some(Ok(None)) | None => return outage(Outage::Timeout),
        Some(Err(Replaced)) => return outage(Outage::Overflow),
    };
    if place.mark_started() == Err(Replaced) {
        return outage(Outage::Overflow);
    }
    let check = check.clone();
    // The permit is held until the computation ends, even if the client disconnects.
    let work = move || {
        let _permit = permit;
        check.holds()
    };
    let Some(holds) = shared.compute.run(work).await else {
        return outage(Outage::Failed);
    };
    count("answered");
    let answered = Arc::new(Answered::empty(match holds {
        true => StatusCode::OK,
        false => StatusCode::FORBIDDEN,
    }));
    let now_ms = shared.clock.now_ms();
    shared.joined.keep(key, &KEEP, &answered, now_ms);
    let answer = Answer::Http(answered);
    if let Some(lead) = lead {
        lead.answered(Some(&answer));
    }
    answer
}
