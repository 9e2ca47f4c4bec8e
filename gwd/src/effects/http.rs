//! Requests of the gateway itself to a service whose answer decides about a client's request.
//!
//! Identical requests share an answer, and answers are cached if the policy allows it. The whole
//! answer is read, up to a maximum length.

use std::net::IpAddr;
use std::sync::Arc;

use bundle::ir;
use engine::forward;
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, HOST, SET_COOKIE};
use policy::RequestHead;
use policy::ask::{Answer, Answered, Call, CallKind, Outage, Use};
use sha2::{Digest as _, Sha256};

use crate::answers::joined::{Key, Turn};
use crate::effects::call::To;
use crate::effects::pending::PendingDecision;
use crate::runtime::deadlines::in_time;

/// Returns the answer of a service: from the cache, from an identical request in progress, or from
/// a new request. If the service does not answer, an expired answer is used if the policy allows
/// it; `is_stale` is then true.
pub(super) async fn ask(
    pending: &PendingDecision<'_>,
    call: &Call,
    client: IpAddr,
    is_stale: &mut bool,
) -> Answer {
    let (worker, view) = (pending.worker, pending.view);
    let count = |outcome| worker.shard.count_policy_call(call.kind.label(), outcome);
    let now_ms = || worker.clock.now_ms();
    let Some(upstream) = view.current().loaded.snapshot.upstream(&call.upstream) else {
        // This cannot happen: the engine builds no filter whose upstream does not exist.
        count(Outage::Failed.label());
        return Answer::Outage(Outage::Failed);
    };
    let head = head(pending, call);
    let key = key(
        call,
        &head,
        &view.current().loaded.snapshot.upstreams()[upstream as usize],
    );
    let joined = &worker.shared.joined;
    if let Some(kept) = joined.cached(&key, &call.keep, now_ms()) {
        count("kept");
        *is_stale = kept.is_stale;
        return Answer::Http(kept.answer);
    }
    let answer = call_service(pending, call, client, (&head, upstream, key)).await;
    // Clients can use up the limit of the gateway's own requests, so reaching it must not count as
    // an outage of the service.
    let is_limited = matches!(answer, Answer::Outage(Outage::Overflow));
    if call.keep.stale_ms == 0 || is_limited {
        return answer;
    }
    if let Answer::Http(answered) = &answer
        && use_of(pending, call, answered).await != Use::Unusable
    {
        return answer;
    }
    match joined.stale(&key, &call.keep, now_ms()) {
        Some(old) => {
            count("stale");
            *is_stale = true;
            Answer::Http(old)
        }
        None => answer,
    }
}

/// Sends a request to a service. Identical requests of other clients at the same time share the
/// answer.
async fn call_service(
    pending: &PendingDecision<'_>,
    call: &Call,
    client: IpAddr,
    (head, upstream, key): (&RequestHead, u32, Key),
) -> Answer {
    let (worker, view) = (pending.worker, pending.view);
    let count = |outcome| worker.shard.count_policy_call(call.kind.label(), outcome);
    let joined = &worker.shared.joined;
    let joining = joined.join(key);
    // The timeout begins when the request to the service is sent. Before that, a client's request
    // waits for the answer to an identical request for at most the same time. After that wait, gwd
    // sends a separate request. No outage is reported without a sent request.
    let until_ms = || worker.clock.now_ms().saturating_add(call.timeout_ms);
    pending.deadline.set(until_ms());
    let lead = match in_time(pending.deadline, joining.turn()).await {
        Some(Turn::Answered(answer)) => {
            count("joined");
            return answer;
        }
        Some(Turn::Leads(lead)) => Some(lead),
        Some(Turn::Alone) | None => None,
    };
    let to = To {
        worker,
        view,
        upstream,
        client: Some(client),
        deadline: pending.deadline,
        ends: pending.ends,
        until_ms: until_ms(),
        body_bytes_max: call.body_bytes_max,
    };
    let answer = match to.send(head, &call.body).await {
        Ok(answered) => {
            count("answered");
            let answered = Arc::new(answered);
            if let Use::Keep(kind) = use_of(pending, call, &answered).await {
                let now_ms = worker.clock.now_ms();
                joined.keep_as(kind, (key, client), &call.keep, &answered, now_ms);
            }
            Answer::Http(answered)
        }
        Err(outage) => {
            count(outage.label());
            Answer::Outage(outage)
        }
    };
    if let Some(lead) = lead {
        lead.answered(Some(&answer).filter(|answer| is_for_all(call.kind, answer)));
    }
    answer
}

/// Decides how an answer that has just arrived may be used. A signature by an expensive key is
/// verified on another thread. If that takes too long, the result is [`Use::Once`]: the answer is
/// not cached, and each request that uses the answer verifies the signature.
async fn use_of(pending: &PendingDecision<'_>, call: &Call, answered: &Arc<Answered>) -> Use {
    if !call.keep.is_costly(answered) {
        return call.keep.use_of(answered);
    }
    let worker = pending.worker;
    let (keep, answered) = (call.keep.clone(), Arc::clone(answered));
    let deciding = worker.shared.compute.run(move || keep.use_of(&answered));
    let until_ms = worker.clock.now_ms().saturating_add(call.timeout_ms);
    pending.deadline.set(until_ms);
    let decided = in_time(pending.deadline, deciding).await;
    decided.flatten().unwrap_or(Use::Once)
}

/// Hash of everything that determines the answer: the request and the definition of the upstream.
/// If a later release changes the upstream, cached answers of the earlier one are not used.
fn key(call: &Call, head: &RequestHead, upstream: &ir::Upstream) -> Key {
    let mut hash = Sha256::new_with_prefix(call.digest(&head.headers));
    hash.update(format!("{upstream:?}"));
    hash.finalize().into()
}

/// True if identical requests of other clients may also use the answer. An answer of `forward_auth`
/// with `Set-Cookie` is for one client only.
fn is_for_all(kind: CallKind, answer: &Answer) -> bool {
    match (kind, answer) {
        (CallKind::ForwardAuth, Answer::Http(answered)) => {
            !answered.headers.contains_key(SET_COOKIE)
        }
        (_, _) => true,
    }
}

/// Builds the head of the request to the service. `at_target` adds path and `Host` for each target.
fn head(pending: &PendingDecision<'_>, call: &Call) -> RequestHead {
    let mut headers = call.headers.clone();
    if call.tells_client {
        forward::continued(&mut headers, &pending.hop, "");
        headers.insert(HOST, pending.authority.clone());
    }
    if !call.body.is_empty() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(call.body.len()));
    }
    RequestHead {
        method: call.method.clone(),
        target: call.target.clone(),
        host: Box::default(),
        headers,
        is_ambiguous: false,
    }
}
