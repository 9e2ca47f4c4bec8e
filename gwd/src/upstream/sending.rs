//! Sending of a request: its body, and the time limits of each attempt, of an upload, and of all
//! attempts together.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use crate::message::body::{Gate, RequestBody};
use crate::message::failure::{Failure, Kind};
use crate::message::pace::SLOW_MS;
use crate::message::transfer::Transfer;
use crate::message::upload::{Progress, Upload};
use crate::runtime::deadlines::in_time;
use crate::telemetry::process::LimitedResource;
use crate::upstream::breaker_permits::health_signal;
use crate::upstream::call_cx::CallCx;
use crate::upstream::gathering::no_room_for_slow;
use crate::upstream::outlier::HealthSignal;
use crate::upstream::reply::Reply;
use crate::upstream::slow::{SlowShare, UploadCount};
use crate::upstream::source::Source;
use crate::upstream::transport::{self, Begun, CallError, Refused};
use crate::upstream::tried_targets::is_cut_short;

/// Maximum time that an upload waits for `100 Continue` before it is sent anyway: 1s (RFC 9110
/// §10.1.1: a proxy must not wait forever).
const CONTINUE_WAIT_MS: u64 = 1_000;

/// Minimum wait for a client's body after which a failure of the attempt does not count against the
/// host: 100ms. The wait must also be at least half of the attempt's time.
const CLIENT_FAULT_MS: u64 = 100;

/// Sending state that all attempts of a request share.
pub(super) struct Sending<'a> {
    pub(super) calls: &'a CallCx,
    pub(super) transfer: &'a Rc<Transfer>,
    pub(super) timeout_ms: u64,
    pub(super) per_try_ms: Option<u64>,
    /// Deadline of all attempts together, in milliseconds of the clock. With an upload, this time
    /// starts when the upload ends. `None` before that.
    pub(super) until_ms: Option<u64>,
    /// True if the current attempt began late; see [`is_cut_short`].
    pub(super) cut_short: bool,
    /// True if the body is streamed.
    pub(super) uploads: bool,
    pub(super) progress: Option<Rc<Progress>>,
    pub(super) gate: Option<Arc<Gate>>,
    /// Permits of `concurrency` policies that the request holds.
    pub(super) leases: &'a policy::ConcurrencyPermits,
    pub(super) slow: SlowShare<'a>,
    /// Count of the request as an unfinished upload.
    pub(super) count: UploadCount,
}

/// Response, or the error with the request's body if the body was not sent.
pub(super) type Outcome = Result<transport::Answer, Box<Refused>>;

impl Sending<'_> {
    /// Creates the body to send in an attempt.
    pub(super) fn body(&mut self, source: Source) -> RequestBody {
        let expects_continue = match &source {
            Source::None => return RequestBody::Empty,
            Source::Kept(bytes) => {
                self.gate = None;
                self.progress = Some(Progress::done());
                return RequestBody::Whole(bytes.clone());
            }
            Source::CopiedStream(tee) => tee.take_expects_continue(),
            Source::Stream {
                expects_continue, ..
            } => *expects_continue,
        };
        self.gate = expects_continue.then(Arc::default);
        let gate = self.gate.clone();
        let (upload, progress) = match source {
            Source::Stream { body, .. } => Upload::new(body, self.transfer, self.timeout_ms, gate),
            Source::CopiedStream(tee) => Upload::kept(&tee, self.transfer, self.timeout_ms, gate),
            Source::None | Source::Kept(_) => unreachable!("returned above"),
        };
        progress.counted_by(self.count.of_upload());
        self.progress = Some(progress);
        RequestBody::Upload(upload)
    }

    /// Sets the deadline of an attempt. Progress of the upload extends the deadline. The end of the
    /// upload sets a new deadline.
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.cut_short = false;
        let at_ms = match (&self.progress, &self.gate) {
            (Some(_), Some(_)) => now_ms + CONTINUE_WAIT_MS.min(self.timeout_ms),
            (Some(progress), None) if !progress.done.get() => now_ms + self.transfer.idle_ms(),
            _ => {
                let all_ms = self.all_ms(now_ms);
                let whole_ms = self
                    .per_try_ms
                    .map_or(self.timeout_ms, |each_ms| each_ms.min(self.timeout_ms));
                self.cut_short = is_cut_short(all_ms.saturating_sub(now_ms), whole_ms);
                all_ms.min(now_ms.saturating_add(whole_ms))
            }
        };
        self.transfer.deadline.set(at_ms);
    }

    /// Time until which the request may wait for a connection, in milliseconds of the clock. As
    /// long as an upload is not complete, the whole timeout is available from `now_ms`.
    pub(super) fn ends_ms(&mut self, now_ms: u64) -> u64 {
        let done = self.progress.as_ref().is_some_and(|one| one.done.get());
        match self.uploads && !done {
            true => now_ms.saturating_add(self.timeout_ms),
            false => self.all_ms(now_ms),
        }
    }

    /// Returns the deadline of all attempts together. The first call sets the deadline.
    fn all_ms(&mut self, now_ms: u64) -> u64 {
        let new_ms = now_ms.saturating_add(self.timeout_ms);
        *self.until_ms.get_or_insert(new_ms)
    }

    /// Waits for the response until the deadline of the attempt.
    pub(super) async fn in_time(
        &mut self,
        gate: Option<Arc<Gate>>,
        begun: Begun,
    ) -> Result<Outcome, Failure> {
        let mut answer = pin!(begun.answer(gate.as_ref()));
        loop {
            match in_time(&self.transfer.deadline, answer.as_mut()).await {
                Some(outcome) => return Ok(outcome),
                None => match self.gate.take() {
                    // The upstream has not sent 100 (Continue): send the body anyway.
                    Some(gate) => {
                        gate.open();
                        self.begin(self.calls.clock.now_ms());
                    }
                    None if self.goes_on_slowly()? => {}
                    None => return Err(Failure::new(self.stalled())),
                },
            }
        }
    }

    /// Lets an upload that has become slow continue. Fails if slow uploads have used up their
    /// share, or if another request needs the concurrency permit. Returns false if the deadline
    /// passed for another reason.
    fn goes_on_slowly(&self) -> Result<bool, Failure> {
        let Some(progress) = &self.progress else {
            return Ok(false);
        };
        let (transfer, until_ms) = (self.transfer, progress.until_ms.get());
        let now_ms = self.calls.clock.now_ms();
        let awaits = !progress.done.get() && progress.awaits_client.get();
        if !awaits || now_ms >= until_ms {
            return Ok(false);
        }
        if progress.is_slow.get() {
            if progress.check_ms.get().is_none() {
                return Ok(false);
            }
            if self.leases.are_wanted() {
                return Err(no_room_for_slow());
            }
            let check_ms = now_ms + SLOW_MS;
            progress.check_ms.set(Some(check_ms));
            transfer.deadline.set(until_ms.min(check_ms));
            return Ok(true);
        }
        let Some(permit) = self.slow.take() else {
            self.calls.shard.process.shed(LimitedResource::SlowUploads);
            let why = "the upstream has the maximum of slow uploads";
            return Err(Failure::because(Kind::UploadStalled, &why));
        };
        self.leases.become_fast(); // they may still count as slow from an earlier pause
        if !self.leases.become_slow() {
            return Err(no_room_for_slow());
        }
        self.count.mark_slow();
        let check_ms = self.leases.may_be_wanted().then_some(now_ms + SLOW_MS);
        progress.goes_on_slowly(Box::new(permit), check_ms);
        transfer
            .deadline
            .set(until_ms.min(check_ms.unwrap_or(u64::MAX)));
        Ok(true)
    }

    /// Failure if the deadline passes: a stalled upload if the gateway was waiting for the client,
    /// otherwise a timeout.
    fn stalled(&self) -> Kind {
        match &self.progress {
            Some(progress) if !progress.done.get() && progress.awaits_client.get() => {
                Kind::UploadStalled
            }
            _ => Kind::Timeout,
        }
    }

    /// Nanoseconds that the upstream took since `began_ns`. The time in which the gateway waited
    /// for the client's body does not count. `began_ns` and `now_ns` are nanoseconds of the clock.
    pub(super) fn awaited_upstream_ns(&self, began_ns: u64, now_ns: u64) -> u64 {
        let all_ns = now_ns.saturating_sub(began_ns);
        let Some(progress) = &self.progress else {
            return all_ns;
        };
        let client_ms = progress.awaited_client_ms(now_ns / 1_000_000);
        all_ns.saturating_sub(client_ms.saturating_mul(1_000_000))
    }

    /// Outcome of an attempt for outlier detection and circuit breakers. `None` if it does not show
    /// the health of the host:
    ///
    /// - a timeout of an attempt that began late ([`is_cut_short`]);
    /// - a failure or a 5xx status while the body is unfinished because of a slow client. Servers
    ///   limit the time of a body (`ReadTimeout`, `client_body_timeout`), so that a slow client can
    ///   cause this failure.
    ///
    /// `took_ns`: time since the attempt began, in nanoseconds; `now_ns`: time of the clock.
    pub(super) fn health_signal(
        &self,
        outcome: &Result<Reply, Failure>,
        took_ns: u64,
        now_ns: u64,
    ) -> Option<HealthSignal> {
        let signal = match outcome {
            Ok(reply) => Some(HealthSignal::Status(reply.response.status().as_u16())),
            Err(failure) if self.cut_short && failure.kind == Kind::Timeout => None,
            Err(failure) => health_signal(failure.kind),
        };
        let is_result = |signal: &HealthSignal| match signal {
            HealthSignal::Status(status) => *status < 500,
            HealthSignal::Unreachable => true,
            HealthSignal::Broken | HealthSignal::TimedOut => false,
        };
        signal.filter(|signal| is_result(signal) || !self.is_slow_client(took_ns, now_ns))
    }

    /// True if the body is unfinished, and at least half of the attempt's time was a wait for the
    /// client.
    fn is_slow_client(&self, took_ns: u64, now_ns: u64) -> bool {
        let Some(progress) = &self.progress else {
            return false;
        };
        let client_ms = progress.awaited_client_ms(now_ns / 1_000_000);
        let is_most = client_ms.saturating_mul(2) >= took_ns / 1_000_000;
        !progress.done.get() && client_ms >= CLIENT_FAULT_MS && is_most
    }

    pub(super) fn failure_of(&self, error: &CallError) -> Failure {
        let Some(progress) = &self.progress else {
            return error.failure();
        };
        match progress.client_failed.get() {
            _ if progress.too_large.get() => Failure::new(Kind::TooLarge),
            // The gateway ended the body. Report its reason, because `error` states that the client
            // ended it.
            Some(
                kind @ (Kind::RequestInvalid
                | Kind::ValidatorUnavailable
                | Kind::ThreatDetected
                | Kind::ContentDigest),
            ) => Failure::new(kind),
            Some(kind) => Failure::because(kind, error),
            None => error.failure(),
        }
    }
}
