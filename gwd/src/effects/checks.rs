//! Slow checks, computed on the threads for computations: slow hashes of passwords, and signatures
//! whose verification is slow.
//!
//! [`CheckQueue`](crate::answers::checks::CheckQueue) is the queue of checks. Equal checks at the
//! same time share their result, also if the client whose request started the check disconnects.
//! Results of password checks are cached by a hash with a random key of the process: right
//! passwords for five minutes, wrong ones for ten seconds. Each worker caches the results of
//! signature checks with the tokens.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;
use policy::ask::{Answer, AnswerKind, Answered, AskId, CallKind, Keep, KindOf, Outage};
use policy::{password, signature};
use tokio::sync::oneshot;

use crate::answers::checks::{CheckQueue, Replaced};
use crate::answers::joined::{Key, Lead, Turn};
use crate::effects::pending::PendingDecision;
use crate::runtime::deadlines::in_time;
use crate::worker::Worker;

/// Maximum time for which a request waits for a check: 5s.
const TIMEOUT_MS: u64 = 5_000;

/// Cache times of password checks: 5 minutes for right passwords, 10 seconds for wrong ones.
static PASSWORDS: Keep = keep([300_000, 10_000]);

/// Cache times of signature checks: none.
static SIGNATURES: Keep = keep([0, 0]);

/// Kind of a check: its label in metrics, its queue and the cache times of its results.
struct Kind<'q> {
    label: &'static str,
    queue: &'q CheckQueue,
    keep: &'static Keep,
}

/// Checks a password, or uses the result of an equal check.
pub(super) async fn password(
    pending: &PendingDecision<'_>,
    check: &password::Check,
    client: IpAddr,
) -> Answer {
    let kind = Kind {
        label: CallKind::Password.label(),
        queue: &pending.worker.shared.passwords,
        keep: &PASSWORDS,
    };
    let (id, check) = (AskId::of_password(check), check.clone());
    ask(pending, kind, client, id, move || check.holds()).await
}

/// Checks a signature, or uses the result of an equal check.
pub(super) async fn signature(
    pending: &PendingDecision<'_>,
    check: &signature::Check,
    client: IpAddr,
) -> Answer {
    let kind = Kind {
        label: CallKind::Signature.label(),
        queue: &pending.worker.shared.signatures,
        keep: &SIGNATURES,
    };
    let (id, check) = (AskId::of_signature(check), check.clone());
    ask(pending, kind, client, id, move || check.holds()).await
}

async fn ask(
    pending: &PendingDecision<'_>,
    kind: Kind<'_>,
    client: IpAddr,
    id: AskId,
    holds: impl FnOnce() -> bool + Send + 'static,
) -> Answer {
    let shared = &pending.worker.shared;
    let until_ms = shared.clock.now_ms() + TIMEOUT_MS;
    let count = |outcome| pending.worker.shard.count_policy_call(kind.label, outcome);
    let outage = |outage: Outage| {
        count(outage.label());
        Answer::Outage(outage)
    };
    let key = kind.queue.key_of(id);
    if let Some(kept) = shared.joined.cached(&key, kind.keep, shared.clock.now_ms()) {
        count("kept");
        return Answer::Http(kept.answer);
    }
    let Some(mut place) = kind.queue.enter(client) else {
        return outage(Outage::Overflow);
    };
    let joining = shared.joined.join(key);
    pending.deadline.set(until_ms);
    let turn = in_time(pending.deadline, place.keep(joining.turn())).await;
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
    let permit = place.keep(kind.queue.permit(client));
    pending.deadline.set(until_ms);
    let permit = match in_time(pending.deadline, permit).await {
        Some(Ok(Some(permit))) => permit,
        Some(Ok(None)) | None => return outage(Outage::Timeout),
        Some(Err(Replaced)) => return outage(Outage::Overflow),
    };
    if place.mark_started() == Err(Replaced) {
        return outage(Outage::Overflow);
    }
    // The permit is held until the computation ends, even if the client disconnects.
    let work = move || {
        let _permit = permit;
        holds()
    };
    let computation = Computation {
        worker: Rc::clone(pending.worker),
        label: kind.label,
        keep: kind.keep,
        question: (key, client),
    };
    let (sender, result) = oneshot::channel();
    tokio::task::spawn_local(async move {
        let _gone = sender.send(computation.run(lead, work).await);
    });
    match result.await {
        Ok(Some(answer)) => answer,
        Ok(None) | Err(_) => outage(Outage::Failed),
    }
}

/// Computation of a check, as a separate task. If the client whose request started it disconnects,
/// the requests that wait for the result do not start it again.
struct Computation {
    worker: Rc<Worker>,
    label: &'static str,
    keep: &'static Keep,
    /// Key of the check, and address of the client whose request started it.
    question: (Key, IpAddr),
}

impl Computation {
    /// Computes the result, caches it, and passes it to the requests that wait. `None` if it cannot
    /// be computed: one of the requests that wait then starts the computation again.
    async fn run(
        self,
        lead: Option<Lead>,
        work: impl FnOnce() -> bool + Send + 'static,
    ) -> Option<Answer> {
        let shared = &self.worker.shared;
        // Join the check, so that later requests find it even if no request waits now. `lead` must
        // be dropped first.
        let _joins = shared.joined.join(self.question.0);
        let lead = lead;
        let holds = shared.compute.run(work).await?;
        self.worker.shard.count_policy_call(self.label, "answered");
        let answered = Arc::new(Answered::empty(match holds {
            true => StatusCode::OK,
            false => StatusCode::FORBIDDEN,
        }));
        let now_ms = shared.clock.now_ms();
        shared
            .joined
            .keep(self.question, self.keep, &answered, now_ms);
        let answer = Answer::Http(answered);
        if let Some(lead) = lead {
            lead.answered(Some(&answer));
        }
        Some(answer)
    }
}

const fn keep(times_ms: [u64; 2]) -> Keep {
    Keep {
        times_ms,
        stale_ms: 0,
        kind: KindOf::Unsigned(|answered| match answered.status {
            StatusCode::OK => Some(AnswerKind::Admits),
            _ => Some(AnswerKind::Refuses),
        }),
    }
}
