//! Sending of a request: its body, and the time limits of each try, of an upload and of all tries
//! together.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use crate::proxy::body::{Gate, Progress, RequestBody, Upload};
use crate::proxy::failure::{Failure, Kind};
use crate::proxy::stream::Stream;
use crate::telemetry::process::Shed;
use crate::upstream::connect::in_time;
use crate::upstream::fuses::sign;
use crate::upstream::outlier::Sign;
use crate::upstream::send::Reply;
use crate::upstream::slow::{SlowShare, UploadCount};
use crate::upstream::source::Source;
use crate::upstream::transport::{self, Begun, CallError, Refused};

/// Maximum wait of an upload for `100 Continue` before it is sent anyway: 1s (RFC 9110 §10.1.1: a
/// proxy must not wait forever).
const CONTINUE_WAIT_MS: u64 = 1_000;

/// State that all tries of a request share.
pub(super) struct Sending<'a> {
    pub(super) stream: &'a Rc<Stream>,
    pub(super) timeout_ms: u64,
    pub(super) per_try_ms: Option<u64>,
    /// Deadline of all attempts; an upload's time begins at its end.
    pub(super) until_ms: Option<u64>,
    /// True if waiting for a connection or earlier tries left the current try less than half of its
    /// time.
    pub(super) hurried: bool,
    /// True if the body is streamed.
    pub(super) uploads: bool,
    pub(super) progress: Option<Rc<Progress>>,
    pub(super) gate: Option<Arc<Gate>>,
    pub(super) slow: SlowShare<'a>,
    /// The upload as one that is not finished.
    pub(super) count: UploadCount,
}

/// Response, or the error with the request's body if it was not sent.
pub(super) type Outcome = Result<transport::Answer, Box<Refused>>;

impl Sending<'_> {
    /// Body to send for a source.
    pub(super) fn body(&mut self, source: Source) -> RequestBody {
        let expects_continue = match &source {
            Source::None => return RequestBody::Empty,
            Source::Kept(bytes) => {
                self.gate = None;
                let progress = Progress::default();
                progress.done.set(true);
                self.progress = Some(Rc::new(progress));
                return RequestBody::Whole(bytes.clone());
            }
            Source::Teed(tee) => tee.take_expects_continue(),
            Source::Stream {
                expects_continue, ..
            } => *expects_continue,
        };
        self.gate = expects_continue.then(Arc::default);
        let gate = self.gate.clone();
        let (upload, progress) = match source {
            Source::Stream { body, .. } => Upload::new(body, self.stream, self.timeout_ms, gate),
            Source::Teed(tee) => Upload::kept(&tee, self.stream, self.timeout_ms, gate),
            Source::None | Source::Kept(_) => unreachable!("returned above"),
        };
        progress.counted_by(&self.count);
        self.progress = Some(progress);
        RequestBody::Upload(upload)
    }

    /// Sets the deadline of a try. An upload extends it, and sets it anew at its end.
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.hurried = false;
        let at_ms = match (&self.progress, &self.gate) {
            (Some(_), Some(_)) => now_ms + CONTINUE_WAIT_MS.min(self.timeout_ms),
            (Some(progress), None) if !progress.done.get() => {
                now_ms + self.stream.patience().stream_idle_ms
            }
            _ => {
                let all_ms = self.all_ms(now_ms);
                let whole_ms = self
                    .per_try_ms
                    .map_or(self.timeout_ms, |each_ms| each_ms.min(self.timeout_ms));
                self.hurried = all_ms.saturating_sub(now_ms) < whole_ms / 2;
                all_ms.min(now_ms.saturating_add(whole_ms))
            }
        };
        self.stream.deadline.set(at_ms);
    }

    /// Time until which to wait for a connection. Before an upload that is the whole timeout.
    pub(super) fn ends_ms(&mut self, now_ms: u64) -> u64 {
        let done = self.progress.as_ref().is_some_and(|one| one.done.get());
        match self.uploads && !done {
            true => now_ms.saturating_add(self.timeout_ms),
            false => self.all_ms(now_ms),
        }
    }

    /// Deadline of all attempts, whose time begins no later than now.
    fn all_ms(&mut self, now_ms: u64) -> u64 {
        let new_ms = now_ms.saturating_add(self.timeout_ms);
        *self.until_ms.get_or_insert(new_ms)
    }

    /// Waits for the response within the deadline of the try.
    pub(super) async fn in_time(
        &mut self,
        gate: Option<Arc<Gate>>,
        begun: Begun,
    ) -> Result<Outcome, Failure> {
        let mut answer = pin!(begun.answer(gate.as_ref()));
        loop {
            match in_time(&self.stream.deadline, answer.as_mut()).await {
                Some(outcome) => return Ok(outcome),
                None => match self.gate.take() {
                    // The upstream does not support 100 (Continue): send the body anyway.
                    Some(gate) => {
                        gate.open();
                        self.begin(self.stream.worker.shared.clock.now_ms());
                    }
                    None if self.goes_on_slowly()? => {}
                    None => return Err(Failure::new(self.stalled())),
                },
            }
        }
    }

    /// Lets an upload that has become slow continue within the share of slow uploads. False if the
    /// deadline passed for another reason.
    fn goes_on_slowly(&self) -> Result<bool, Failure> {
        let Some(progress) = &self.progress else {
            return Ok(false);
        };
        let (stream, until_ms) = (self.stream, progress.until_ms.get());
        let now_ms = stream.worker.shared.clock.now_ms();
        let awaits = !progress.done.get() && progress.awaits_client.get();
        if !awaits
            || progress.is_slow.get()
            || now_ms >= until_ms
            || stream.deadline.limit_passed(now_ms)
        {
            return Ok(false);
        }
        let Some(permit) = self.slow.take() else {
            stream.worker.counters().shed(Shed::SlowUploads);
            let why = "the upstream has the maximum of slow uploads";
            return Err(Failure::because(Kind::UploadStalled, &why));
        };
        self.count.is_slow();
        progress.goes_on_slowly(permit);
        stream.deadline.set(until_ms);
        Ok(true)
    }

    /// Failure when the deadline passes: a stalled upload if the client was awaited, otherwise a
    /// timeout.
    fn stalled(&self) -> Kind {
        match &self.progress {
            Some(progress) if !progress.done.get() && progress.awaits_client.get() => {
                Kind::UploadStalled
            }
            _ => Kind::Timeout,
        }
    }

    /// Sign that a try gives of its host. The timeout of a try that had less than half of its time
    /// is no sign.
    pub(super) fn sign(&self, outcome: &Result<Reply, Failure>) -> Option<Sign> {
        match outcome {
            Ok(reply) => Some(Sign::Status(reply.response.status().as_u16())),
            Err(failure) if self.hurried && failure.kind == Kind::Timeout => None,
            Err(failure) => sign(failure.kind),
        }
    }

    pub(super) fn judged(&self, error: &CallError) -> Failure {
        let Some(progress) = &self.progress else {
            return Failure::of(error);
        };
        match progress.client_failed.get() {
            _ if progress.too_large.get() => Failure::new(Kind::TooLarge),
            Some(kind) => Failure::because(kind, error),
            None => Failure::of(error),
        }
    }
}
