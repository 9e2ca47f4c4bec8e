//! Circuit breaker: stops requests to a failing upstream, and later probes whether it has recovered
//! (semantics.md §3).
//!
//! The state is one atomic integer, which is changed by compare-and-swap. It contains the circuit
//! state, an epoch, the probes in progress and their successes while half open, and the consecutive
//! failures while closed. A [`Permit`] belongs to the epoch in which it was granted; results of
//! earlier epochs are ignored. Dropping a permit ends its probe, even if the exchange ends without
//! a result.
//!
//! Clients that end their requests early, or that request slow operations, could occupy the probes
//! as well. Each probe that ends without a result therefore raises the maximum of concurrent probes
//! by one, up to [`ABANDONED_MAX`], until the breaker closes or opens. After a few such probes
//! there is room for the requests of other clients. If probes do not end within the open time, one
//! more probe is admitted. A failed probe opens the breaker at once, whatever the maximum.
//!
//! A request whose body the client is still sending is not a probe, because the client could delay
//! the end of the request without limit. While the breaker is half open, a separate number of such
//! requests per second is admitted.

use std::sync::atomic::{AtomicU64, Ordering};

use policy::traffic::circuit_breaker::Numbers;

/// Interval for which unfinished uploads are counted while half open: 1s.
const UPLOADS_MS: u64 = 1_000;

/// Number of slots into which the window of the failure rate is divided.
const SLOTS: usize = 10;

/// Circuit breakers of the running version and of the candidate that serves requests beside it.
/// Failures of a candidate must not refuse requests of the running version.
#[derive(Debug, Default)]
pub(crate) struct VersionBreakers {
    running: CircuitBreaker,
    candidate: CircuitBreaker,
}

impl VersionBreakers {
    /// Breaker of the candidate, or of the running version.
    pub(crate) fn of(&self, is_candidate: bool) -> &CircuitBreaker {
        match is_candidate {
            true => &self.candidate,
            false => &self.running,
        }
    }

    /// Breaker of the running version, which metrics, status and the program log report.
    pub(crate) fn running(&self) -> &CircuitBreaker {
        &self.running
    }

    /// Closes the breaker of the candidate, because a new candidate begins.
    pub(crate) fn forget_candidate(&self) {
        self.candidate.close();
    }
}

/// Circuit breaker, shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct CircuitBreaker {
    word: AtomicU64,
    /// Time of the next probe while open; time at which outstanding probes expire while half open.
    /// Milliseconds of the clock.
    until_ms: AtomicU64,
    /// Number of times that the breaker has opened since it was last closed.
    trips: AtomicU64,
    /// Unfinished uploads admitted while half open. Bits: 16 for the epoch, 32 for the interval
    /// ([`UPLOADS_MS`]), 16 for the number of uploads.
    uploads: AtomicU64,
    window: [Slot; SLOTS],
    /// Number of transitions to open, half open and closed, in this order.
    pub(crate) transitions: [AtomicU64; 3],
}

/// Counts of the exchanges that ended in one slot of the window.
#[derive(Debug, Default)]
struct Slot {
    /// Number of the slot's time interval, counted from the start of the clock, plus one.
    turn: AtomicU64,
    total: AtomicU64,
    failed: AtomicU64,
    slow: AtomicU64,
}

/// State of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CircuitState {
    Closed,
    Open,
    HalfOpen,
}

/// Outcome of an exchange, for the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The upstream responded with a status below 500.
    Alive,
    /// The upstream did not respond, or responded with 5xx.
    Failed,
}

/// Permit for one request. Dropping a permit without a result only ends its probe.
#[must_use]
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    epoch: u64,
    probe: bool,
    is_reported: bool,
}

/// Rejection by an open breaker. The breaker stays open for `wait_ms` milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) wait_ms: u64,
}

/// Fields of the atomic integer that contains the breaker's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StateFields {
    state: CircuitState,
    /// Number of transitions so far, modulo 2^16.
    epoch: u64,
    probes: u64,
    successes: u64,
    /// Closed: consecutive failures. Half open: probes that ended without a result or expired.
    count: u64,
}

const FIELD: u64 = 0xfff;
/// Maximum number of probes that are added to the configured maximum: 64. This bounds the requests
/// to a hanging upstream whose clients cancel their requests.
const ABANDONED_MAX: u64 = 64;
const COUNT: u64 = 0xf_ffff;
const EPOCH: u64 = 0xffff;

// === impl CircuitBreaker ===

impl CircuitBreaker {
    /// Requests a permit for a request. `sends`: the client is still sending the request's body.
    ///
    /// # Errors
    /// [`Open`] if the breaker rejects the request, with the time after which another attempt may
    /// succeed.
    pub(crate) fn admit(
        &self,
        numbers: &Numbers,
        now_ms: u64,
        sends: bool,
    ) -> Result<Permit<'_>, Open> {
        let most = probes_max(numbers);
        loop {
            let raw = self.word.load(Ordering::Acquire);
            let word = StateFields::unpack(raw);
            let until_ms = self.until_ms.load(Ordering::Acquire);
            let next = match word.state {
                CircuitState::Closed => return Ok(self.permit(word.epoch, false)),
                CircuitState::Open if now_ms < until_ms => return Err(open(until_ms - now_ms)),
                CircuitState::Open => {
                    let probes = u64::from(!sends);
                    StateFields::new(CircuitState::HalfOpen, word.epoch + 1).probing(probes)
                }
                CircuitState::HalfOpen if sends => {
                    return match self.admits_upload(word.epoch, most, now_ms) {
                        true => Ok(self.permit(word.epoch, false)),
                        false => Err(open(UPLOADS_MS - now_ms % UPLOADS_MS)),
                    };
                }
                CircuitState::HalfOpen if word.has_room(most) => word.probing(word.probes + 1),
                // The probes did not end in time: admit one more probe. The epoch stays, so that
                // late results of the earlier probes count: timeouts of a hanging upstream open the
                // breaker again.
                CircuitState::HalfOpen if now_ms >= until_ms => {
                    let longer_ms = now_ms + numbers.open_ms.max(1);
                    self.until_ms.store(longer_ms, Ordering::Release);
                    word.abandoned().probing(word.probes + 1)
                }
                CircuitState::HalfOpen => return Err(open(until_ms - now_ms)),
            };
            if next.epoch != word.epoch {
                // Store the time before the state, so that no thread sees the new state with the
                // old time.
                let expiry_ms = now_ms + numbers.open_ms.max(1);
                self.until_ms.store(expiry_ms, Ordering::Release);
            }
            if self.exchange(raw, next) {
                if word.state == CircuitState::Open {
                    self.turned(CircuitState::HalfOpen);
                }
                if sends {
                    self.admits_upload(next.epoch, most, now_ms);
                }
                return Ok(self.permit(next.epoch, !sends));
            }
        }
    }

    /// True if a request whose body is complete would be admitted now. Takes no permit.
    pub(crate) fn admits(&self, numbers: &Numbers, now_ms: u64) -> bool {
        let word = StateFields::unpack(self.word.load(Ordering::Relaxed));
        let over = now_ms >= self.until_ms.load(Ordering::Relaxed);
        match word.state {
            CircuitState::Closed => true,
            CircuitState::Open => over,
            CircuitState::HalfOpen => over || word.has_room(probes_max(numbers)),
        }
    }

    /// Current circuit state. An open breaker counts as half open once its open time has passed,
    /// even if no request has arrived since.
    pub(crate) fn circuit_state(&self, now_ms: u64) -> CircuitState {
        match StateFields::unpack(self.word.load(Ordering::Relaxed)).state {
            CircuitState::Open if now_ms >= self.until_ms.load(Ordering::Relaxed) => {
                CircuitState::HalfOpen
            }
            state => state,
        }
    }

    /// Counts an unfinished upload. Returns false if `most` uploads were already admitted in this
    /// interval.
    fn admits_upload(&self, epoch: u64, most: u64, now_ms: u64) -> bool {
        let interval = epoch << 48 | ((now_ms / UPLOADS_MS) & 0xffff_ffff) << 16;
        loop {
            let raw = self.uploads.load(Ordering::Relaxed);
            let admitted = if raw & !0xffff == interval {
                raw & 0xffff
            } else {
                0
            };
            if admitted >= most {
                return false;
            }
            let next = interval | (admitted + 1);
            let uploads = &self.uploads;
            let swapped = uploads.compare_exchange(raw, next, Ordering::Relaxed, Ordering::Relaxed);
            if swapped.is_ok() {
                return true;
            }
        }
    }

    fn permit(&self, epoch: u64, probe: bool) -> Permit<'_> {
        Permit {
            breaker: self,
            epoch,
            probe,
            is_reported: false,
        }
    }

    fn exchange(&self, raw: u64, next: StateFields) -> bool {
        let next = next.pack();
        let swapped = self
            .word
            .compare_exchange(raw, next, Ordering::AcqRel, Ordering::Relaxed);
        swapped.is_ok()
    }

    /// Opens the breaker. `chance` is a random number for jitter.
    fn open(
        &self,
        raw: u64,
        word: StateFields,
        numbers: &Numbers,
        now_ms: u64,
        chance: u64,
    ) -> bool {
        let trips = self.trips.load(Ordering::Relaxed).min(20);
        let most = numbers.open_max_ms.max(numbers.open_ms);
        let wait_ms = numbers.open_ms.saturating_mul(1 << trips).min(most).max(1);
        let jitter_ms = chance % (wait_ms / 10 + 1);
        self.until_ms
            .store(now_ms + wait_ms + jitter_ms, Ordering::Release);
        let ours = self.exchange(raw, StateFields::new(CircuitState::Open, word.epoch + 1));
        if ours {
            self.trips.fetch_add(1, Ordering::Relaxed);
            self.turned(CircuitState::Open);
        }
        ours
    }

    /// Closes the breaker and forgets all results. The results of requests in progress do not count,
    /// because the epoch changes.
    fn close(&self) {
        loop {
            let raw = self.word.load(Ordering::Acquire);
            let epoch = StateFields::unpack(raw).epoch;
            if self.exchange(raw, StateFields::new(CircuitState::Closed, epoch + 1)) {
                break;
            }
        }
        self.trips.store(0, Ordering::Relaxed);
        self.forget_window();
    }

    fn turned(&self, to: CircuitState) {
        let cell = match to {
            CircuitState::Open => 0,
            CircuitState::HalfOpen => 1,
            CircuitState::Closed => 2,
        };
        self.transitions[cell].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a result. Returns true if the fraction of failed or slow exchanges in the window
    /// reaches its limit.
    fn window_is_bad(&self, numbers: &Numbers, failed: bool, slow: bool, now_ms: u64) -> bool {
        if numbers.failure_ppm.is_none() && numbers.slow_ppm.is_none() {
            return false;
        }
        let width_ms = (numbers.window_ms / SLOTS as u64).max(1);
        let turn = now_ms / width_ms + 1;
        let slot = &self.window[usize::try_from(turn % SLOTS as u64).unwrap_or(0)];
        let before = slot.turn.load(Ordering::Acquire);
        if before != turn {
            let ours =
                slot.turn
                    .compare_exchange(before, turn, Ordering::AcqRel, Ordering::Relaxed);
            if ours.is_ok() {
                slot.clear();
            }
        }
        slot.total.fetch_add(1, Ordering::Relaxed);
        slot.failed.fetch_add(failed.into(), Ordering::Relaxed);
        slot.slow.fetch_add(slow.into(), Ordering::Relaxed);
        let (mut total, mut failed, mut slow) = (0, 0, 0);
        let oldest = turn.saturating_sub(SLOTS as u64 - 1);
        for slot in &self.window {
            if slot.turn.load(Ordering::Relaxed) >= oldest {
                total += slot.total.load(Ordering::Relaxed);
                failed += slot.failed.load(Ordering::Relaxed);
                slow += slot.slow.load(Ordering::Relaxed);
            }
        }
        let reaches = |part: u64, ppm: Option<u64>| {
            ppm.is_some_and(|ppm| part > 0 && part * 1_000_000 >= ppm * total)
        };
        total >= numbers.min_requests.max(1)
            && (reaches(failed, numbers.failure_ppm) || reaches(slow, numbers.slow_ppm))
    }

    fn forget_window(&self) {
        for slot in &self.window {
            slot.turn.store(0, Ordering::Release);
            slot.clear();
        }
    }
}

impl Slot {
    fn clear(&self) {
        for cell in [&self.total, &self.failed, &self.slow] {
            cell.store(0, Ordering::Relaxed);
        }
    }
}

fn probes_max(numbers: &Numbers) -> u64 {
    numbers.half_open_requests.clamp(1, FIELD)
}

fn open(wait_ms: u64) -> Open {
    Open { wait_ms }
}

// === impl Permit ===

impl Permit<'_> {
    /// True if the request tests whether the breaker can close.
    pub(crate) const fn is_probe(&self) -> bool {
        self.probe
    }

    /// Reports the result of the exchange. `chance` is a random number for jitter.
    pub(crate) fn ended(
        mut self,
        ended: Ended,
        took_ms: u64,
        numbers: &Numbers,
        now_ms: u64,
        chance: u64,
    ) {
        self.is_reported = true;
        let slow = numbers.slow_ms.is_some_and(|slow_ms| took_ms > slow_ms);
        let failed = ended == Ended::Failed;
        let breaker = self.breaker;
        let mut counted = None;
        loop {
            let raw = breaker.word.load(Ordering::Acquire);
            let word = StateFields::unpack(raw);
            if word.epoch != self.epoch {
                return;
            }
            let done = match word.state {
                CircuitState::Open => return,
                CircuitState::HalfOpen if failed || slow => {
                    breaker.open(raw, word, numbers, now_ms, chance)
                }
                CircuitState::HalfOpen if word.successes + 1 >= probes_max(numbers) => {
                    let closed = breaker
                        .exchange(raw, StateFields::new(CircuitState::Closed, word.epoch + 1));
                    if closed {
                        breaker.trips.store(0, Ordering::Relaxed);
                        breaker.forget_window();
                        breaker.turned(CircuitState::Closed);
                    }
                    closed
                }
                CircuitState::HalfOpen => breaker.exchange(
                    raw,
                    StateFields {
                        probes: word.probes.saturating_sub(self.probe.into()),
                        successes: word.successes + 1,
                        ..word
                    },
                ),
                CircuitState::Closed => {
                    let bad = *counted.get_or_insert_with(|| {
                        breaker.window_is_bad(numbers, failed, slow, now_ms)
                    });
                    let consecutive = match failed {
                        true => (word.count + 1).min(COUNT),
                        false => 0,
                    };
                    let row = numbers.consecutive_failures;
                    if bad || row.is_some_and(|row| failed && consecutive >= row) {
                        breaker.open(raw, word, numbers, now_ms, chance)
                    } else if consecutive == word.count {
                        true
                    } else {
                        breaker.exchange(
                            raw,
                            StateFields {
                                count: consecutive,
                                ..word
                            },
                        )
                    }
                }
            };
            if done {
                return;
            }
        }
    }
}

impl Drop for Permit<'_> {
    /// Ends a probe without a result: the request was cancelled or never reached the upstream.
    /// Raises the maximum of concurrent probes by one.
    fn drop(&mut self) {
        if self.is_reported || !self.probe {
            return;
        }
        loop {
            let raw = self.breaker.word.load(Ordering::Acquire);
            let word = StateFields::unpack(raw);
            if word.epoch != self.epoch || word.state != CircuitState::HalfOpen {
                return;
            }
            let next = word.abandoned().probing(word.probes.saturating_sub(1));
            if self.breaker.exchange(raw, next) {
                return;
            }
        }
    }
}

// === impl StateFields ===

impl StateFields {
    fn new(state: CircuitState, epoch: u64) -> Self {
        Self {
            state,
            epoch: epoch & EPOCH,
            probes: 0,
            successes: 0,
            count: 0,
        }
    }

    /// Counts a probe of a half-open breaker that ended without a result or expired.
    fn abandoned(self) -> Self {
        Self {
            count: (self.count + 1).min(ABANDONED_MAX),
            ..self
        }
    }

    /// True if the half-open breaker may admit another probe. `most`: maximum of concurrent probes,
    /// to which the probes without a result are added.
    fn has_room(&self, most: u64) -> bool {
        self.probes + self.successes < (most + self.count).min(FIELD)
    }

    fn probing(self, probes: u64) -> Self {
        Self { probes, ..self }
    }

    /// Packs the fields. Bits: 2 for the state, 16 for the epoch, 12 for probes, 12 for successes,
    /// 20 for the count.
    fn pack(self) -> u64 {
        let state = match self.state {
            CircuitState::Closed => 0,
            CircuitState::Open => 1,
            CircuitState::HalfOpen => 2,
        };
        state
            | (self.epoch & EPOCH) << 2
            | (self.probes & FIELD) << 18
            | (self.successes & FIELD) << 30
            | (self.count & COUNT) << 42
    }

    fn unpack(raw: u64) -> Self {
        Self {
            state: match raw & 3 {
                0 => CircuitState::Closed,
                1 => CircuitState::Open,
                _ => CircuitState::HalfOpen,
            },
            epoch: raw >> 2 & EPOCH,
            probes: raw >> 18 & FIELD,
            successes: raw >> 30 & FIELD,
            count: raw >> 42 & COUNT,
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
