//! Sends a request to an upstream: chooses a target, takes or opens a connection, sends the
//! request, and waits for the response head. Retries the request if retries are configured and
//! safe.
//!
//! Two kinds of retries are always enabled, because the failed attempt did no work (semantics.md
//! §3). If no connection to a target can be opened, another target is tried. If a reused connection
//! closes before the first byte of the response, a repeatable request is sent once more on another
//! connection. All other retries need `retries` and count in the retry budget.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use engine::edge::X_GATEWAY_ATTEMPT;
use engine::forward;
use http::header::{HeaderMap, HeaderValue, SET_COOKIE};
use policy::RequestHead;
use policy::traffic::retry::Checked;
use policy::upstream::HashOn;

use crate::message::failure::{Failure, Kind};
use crate::message::incoming::Incoming;
use crate::message::upload::Progress;
use crate::runtime::clock;
use crate::runtime::deadlines::in_time;
use crate::telemetry::process::LimitedResource;
use crate::upstream::admission::{admit_client, concurrent_requests};
use crate::upstream::attempt::Call;
use crate::upstream::breaker_permits;
use crate::upstream::call_record::CallRecord;
use crate::upstream::head_start::{HeadStart, head_start};
use crate::upstream::outgoing::Outgoing;
use crate::upstream::pool::Lease;
use crate::upstream::reply::Reply;
use crate::upstream::retry::{self, Again};
use crate::upstream::sending::Sending;
use crate::upstream::shared::InFlight;
use crate::upstream::slow::{SlowShare, UploadCount, UploadShare};
use crate::upstream::source::Source;
use crate::upstream::transport;
use crate::upstream::tried_targets::TriedTargets;

/// Response head, with everything that its body needs.
pub(crate) struct Answered {
    pub(crate) response: transport::Answer,
    pub(crate) lease: Lease,
    pub(crate) progress: Option<Rc<Progress>>,
}

/// Sends a request, with retries, and waits for the response head. Between attempts, only the
/// attempt number in the request head changes.
pub(crate) async fn send(
    out: &Outgoing<'_, '_>,
    head: &mut RequestHead,
    body: Incoming,
    expects_continue: bool,
    record: &mut CallRecord,
) -> Result<Answered, Failure> {
    if let Some(trace) = &record.trace {
        trace.take_place_in(head);
    }
    let retry = retry::of(out.route, out.upstream);
    let source = Source::take(body, out, retry, expects_continue).await?;
    let (source, count) = match source.is_streamed() && out.transfer.awaits_upload() {
        true => begin_upload(source, out).await?,
        false => (source, UploadCount::default()),
    };
    // Take the permit now: while the client sends a body that is kept for retries, the request
    // needs no permit.
    let in_flight = admit_client(out.upstream, out.service, out.cx.client, out.calls)?;
    let mut call = Call::new(out, head, retry, &source, count);
    // A body that was not kept can be sent only once: there are no further attempts.
    let again = retry.filter(|_| !matches!(source, Source::Stream { .. }));
    let outcome = match again {
        Some(retry) => call.repeat(retry, &source, record).await,
        None => {
            let outcome = call.attempt(source, record).await;
            if retry.is_some_and(|retry| retry_reason(retry, &outcome, call.repeatable).is_some()) {
                call.cannot_repeat(record);
            }
            outcome
        }
    };
    call.finish(outcome, in_flight, record)
}

/// Reason for a retry, or `None` if the outcome is final.
fn retry_reason(
    retry: &Checked,
    outcome: &Result<Reply, Failure>,
    repeatable: bool,
) -> Option<&'static str> {
    match outcome {
        Ok(reply) => retry::after_response(retry, &reply.response, repeatable),
        Err(failure) => retry::after_failure(retry, failure.kind, repeatable),
    }
}

/// Counts an unfinished upload. If the client's address has reached its limit, or a circuit breaker
/// is half open, receives the beginning of the body before counting the upload.
async fn begin_upload(
    source: Source,
    out: &Outgoing<'_, '_>,
) -> Result<(Source, UploadCount), Failure> {
    let share = UploadShare {
        state: &out.service.common.state,
        requests_max: concurrent_requests(out.upstream, out.service),
        addresses: &out.calls.budgets.upload_addresses,
        client: out.cx.client,
    };
    // While a circuit breaker is half open, a request whose body is complete may be a probe.
    // Waiting for the body keeps slow clients from the probes.
    let now_ms = out.calls.clock.now_ms();
    let waits = out.transfer.is_upload_paced() && breaker_permits::may_probe(out, now_ms);
    if !waits && let Some(count) = share.begin() {
        return Ok((source, count));
    }
    // The future is boxed, because few requests need it. Otherwise the future of every request
    // would be as large.
    let count = match Box::pin(head_start(source, out.transfer, out.calls)).await? {
        HeadStart::Whole(source) => return Ok((source, UploadCount::default())),
        HeadStart::Delivers(source) => share.begin_delivering().map(|count| (source, count)),
        HeadStart::Refused => None,
    };
    count.ok_or_else(|| {
        out.calls
            .shard
            .process
            .shed(LimitedResource::UploadsPerAddress);
        let why =
            "the client's address has reached the maximum of unfinished uploads to the upstream";
        Failure::because(Kind::ShareUsed, &why)
    })
}

impl<'a, 's> Call<'a, 's> {
    /// Call that has not made an attempt.
    fn new(
        out: &'a Outgoing<'a, 's>,
        head: &'a mut RequestHead,
        retry: Option<&Checked>,
        source: &Source,
        count: UploadCount,
    ) -> Self {
        let seen_ns = match source {
            // Nothing was awaited since the request head arrived: reuse the time of its arrival.
            Source::None if out.cx.answers.is_empty() => out.cx.now_ns,
            Source::None | Source::Kept(_) | Source::CopiedStream(_) | Source::Stream { .. } => {
                out.calls.clock.now_ns()
            }
        };
        Self {
            sending: Sending {
                calls: out.calls,
                transfer: out.transfer,
                timeout_ms: out.route.treatment.timeout_ms,
                per_try_ms: retry.and_then(|retry| retry.times.per_try_ms),
                until_ms: None,
                cut_short: false,
                uploads: source.is_streamed(),
                progress: source.progress(),
                gate: None,
                leases: out.leases,
                slow: SlowShare {
                    state: &out.service.common.state,
                    requests_max: concurrent_requests(out.upstream, out.service),
                    addresses: &out.calls.budgets.slow_addresses,
                    client: out.cx.client,
                },
                count,
            },
            tried: TriedTargets::default(),
            affinity: out.affinity(head),
            repeatable: retry::is_repeatable(head, out.route, retry),
            out,
            head,
            seen_ns,
            dialled_ns: None,
            replaced: 0,
            may_replace: true,
            is_exclusive: false,
        }
    }

    /// Makes attempts until no further retry is allowed. Returns the last outcome.
    async fn repeat(
        &mut self,
        retry: &Checked,
        source: &Source,
        record: &mut CallRecord,
    ) -> Result<Reply, Failure> {
        // Only the gateway sets the attempt number. The edge removed a field of the client; remove
        // a field that a policy set.
        self.head.headers.remove(&X_GATEWAY_ATTEMPT);
        let mut number = 0;
        let mut _place = None;
        let mut before = retry::Before::Nothing;
        loop {
            if number > 0 {
                let number = HeaderValue::from(number + 1);
                self.head.headers.insert(&X_GATEWAY_ATTEMPT, number);
            }
            let outcome = self.attempt(source.again(), record).await;
            // A request that was sent again on another connection may have been received: count it
            // as an attempt.
            number += std::mem::take(&mut self.replaced);
            self.may_replace = u64::from(number) + 1 < retry.times.attempts;
            let why = retry_reason(retry, &outcome, self.repeatable);
            let why = why.filter(|_| u64::from(number) < retry.times.attempts);
            if why.is_some() && !source.is_repeatable() {
                self.cannot_repeat(record);
            }
            let Some(why) = why.filter(|_| source.is_repeatable()) else {
                return outcome.map_err(|failure| before.instead_of(failure));
            };
            // If a circuit breaker is open now, the outcome of this attempt is the response.
            if !breaker_permits::admits(self.out, self.now_ms()) {
                return outcome;
            }
            number += 1;
            let headers = outcome.as_ref().ok().map(|reply| reply.response.headers());
            let wait_ms = self.wait_ms(retry, number, headers);
            // Release the retry-budget permit of the last retry, and take the next one before the
            // wait: retries that wait count as well.
            drop(_place.take());
            let state = &self.out.service.common.state;
            let limit = self.out.upstream.limits.retries;
            let place = Again::take(state, &retry.times, limit);
            let Some(wait_ms) = wait_ms.filter(|_| place.is_some()) else {
                return outcome;
            };
            _place = place;
            before = match outcome {
                Ok(reply) => {
                    let status = reply.response.status();
                    reply.give_up(self.now_ms());
                    retry::Before::Answered(status)
                }
                Err(failure) => retry::Before::Failed(failure),
            };
            record.retried(self.out.calls, why);
            self.wait(wait_ms).await;
            self.read_clock();
        }
    }

    /// Milliseconds to wait before a retry, or `None` if no time would be left for the retry.
    fn wait_ms(&self, retry: &Checked, number: u32, headers: Option<&HeaderMap>) -> Option<u64> {
        let chance = self.out.calls.random.next();
        let wait_ms = retry::wait_ms(retry, number, headers, chance, clock::unix_ms() / 1_000);
        let until_ms = self.sending.until_ms.unwrap_or(u64::MAX);
        (self.now_ms() + wait_ms < until_ms).then_some(wait_ms)
    }

    async fn wait(&self, wait_ms: u64) {
        if wait_ms > 0 {
            let deadline = &self.out.transfer.deadline;
            deadline.set(self.now_ms() + wait_ms);
            let _over = in_time(deadline, std::future::pending::<()>()).await;
        }
    }

    /// Records that a retry was not made, because the body cannot be sent again.
    #[cold]
    fn cannot_repeat(&self, record: &mut CallRecord) {
        let state = &self.out.service.common.state;
        state.unrepeatable.fetch_add(1, Ordering::Relaxed);
        record.retry_given_up("max_body");
    }

    /// Completes the outcome of the last attempt: attaches the request permit, rewrites fields of
    /// the response, and sets the affinity cookie.
    fn finish(
        self,
        outcome: Result<Reply, Failure>,
        in_flight: InFlight,
        record: &mut CallRecord,
    ) -> Result<Answered, Failure> {
        self.sending.count.finished();
        let Reply {
            mut response,
            mut lease,
            target,
        } = outcome?;
        if let Some(permits) = &mut lease.permits {
            permits.in_flight = Some(in_flight);
        }
        record.head(response.status(), self.seen_ns);
        let relay = self.out.relay(target);
        forward::returned(response.headers_mut(), self.head, relay);
        let (upstream, service) = (self.out.upstream, self.out.service);
        if let Some(HashOn::Cookie(name)) = &upstream.balance.hash_on {
            let encrypted = forward::is_encrypted(self.head, self.out.origin);
            if let Some(cookie) = self.affinity.cookie(name, target, &service.set, encrypted) {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
        }
        Ok(Answered {
            response,
            lease,
            progress: self.sending.progress,
        })
    }
}
