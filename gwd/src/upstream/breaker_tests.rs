//! Tests of the circuit breaker. A property test compares it with a simple model over random
//! events, cancellations included.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn numbers() -> Numbers {
    Numbers {
        consecutive_failures: Some(3),
        open_ms: 100,
        open_max_ms: 400,
        half_open_requests: 2,
        ..Numbers::default()
    }
}

fn fail(permit: Permit<'_>, now_ms: u64) {
    permit.ended(Ended::Failed, 1, &numbers(), now_ms, 0);
}

/// Circuit breaker that was opened at time 0.
fn opened() -> CircuitBreaker {
    let breaker = CircuitBreaker::default();
    for _ in 0..3 {
        fail(breaker.admit(&numbers(), 0, false).unwrap(), 0);
    }
    assert_eq!(breaker.circuit_state(0), CircuitState::Open);
    breaker
}

#[test]
fn a_probe_that_is_dropped_gives_its_place_back() {
    let breaker = opened();
    assert_eq!(breaker.admit(&numbers(), 99, false).unwrap_err(), open(1));
    let one = breaker.admit(&numbers(), 100, false).unwrap();
    let two = breaker.admit(&numbers(), 100, false).unwrap();
    assert!(
        breaker.admit(&numbers(), 100, false).is_err(),
        "at most two probes at a time"
    );
    drop(one);
    // The dropped probe has returned its permit and raised the maximum by one: two more are
    // admitted.
    let three = breaker.admit(&numbers(), 101, false).unwrap();
    let four = breaker.admit(&numbers(), 101, false).unwrap();
    two.ended(Ended::Alive, 1, &numbers(), 102, 0);
    assert!(breaker.admit(&numbers(), 102, false).is_err());
    drop(four);
    three.ended(Ended::Alive, 1, &numbers(), 103, 0);
    assert_eq!(breaker.circuit_state(0), CircuitState::Closed);
}

#[test]
fn next_candidate_has_no_results_of_the_one_before() {
    let breakers = VersionBreakers::default();
    for is_candidate in [false, true] {
        let breaker = breakers.of(is_candidate);
        let late = breaker.admit(&numbers(), 0, false).unwrap();
        for _ in 0..3 {
            fail(breaker.admit(&numbers(), 0, false).unwrap(), 0);
        }
        assert!(breaker.admit(&numbers(), 1, false).is_err());
        breakers.forget_candidate();
        assert_eq!(breaker.admit(&numbers(), 1, false).is_ok(), is_candidate);
        // A result of the previous candidate's request does not count.
        fail(late, 1);
        for _ in 0..2 {
            let again = breaker.admit(&numbers(), 1, false);
            assert_eq!(again.is_ok(), is_candidate);
            if let Ok(permit) = again {
                fail(permit, 1);
            }
        }
        assert_eq!(breaker.admits(&numbers(), 1), is_candidate);
    }
}

#[test]
fn open_breaker_is_half_open_after_its_time_unused() {
    let breaker = opened();
    assert_eq!(breaker.circuit_state(99), CircuitState::Open);
    assert_eq!(breaker.circuit_state(100), CircuitState::HalfOpen);
    assert_eq!(breaker.transitions[1].load(Ordering::Relaxed), 0, "yet");
}

#[test]
fn late_results_of_slow_probes_count() {
    let breaker = opened();
    let slow = breaker.admit(&numbers(), 100, false).unwrap();
    let slow_too = breaker.admit(&numbers(), 100, false).unwrap();
    assert!(breaker.admit(&numbers(), 199, false).is_err());
    // Each further open time admits one more probe, even while earlier probes are running.
    let more = [200, 300].map(|now_ms| {
        let probe = breaker.admit(&numbers(), now_ms, false).unwrap();
        assert!(breaker.admit(&numbers(), now_ms + 99, false).is_err());
        probe
    });
    drop(slow_too);
    fail(slow, 399);
    assert_eq!(breaker.circuit_state(399), CircuitState::Open);
    drop(more);
}

#[test]
fn open_time_doubles_up_to_its_maximum() {
    let breaker = opened();
    let mut now_ms = 0;
    for wait_ms in [100, 200, 400, 400] {
        assert!(
            breaker
                .admit(&numbers(), now_ms + wait_ms - 1, false)
                .is_err()
        );
        now_ms += wait_ms;
        fail(breaker.admit(&numbers(), now_ms, false).unwrap(), now_ms);
    }
}

#[test]
fn request_begun_before_opening_changes_nothing() {
    let breaker = CircuitBreaker::default();
    let late = breaker.admit(&numbers(), 0, false).unwrap();
    for _ in 0..3 {
        fail(breaker.admit(&numbers(), 0, false).unwrap(), 0);
    }
    late.ended(Ended::Alive, 1, &numbers(), 1, 0);
    assert_eq!(breaker.circuit_state(0), CircuitState::Open);
}

#[test]
fn share_counts_from_min_requests_within_its_window() {
    let numbers = Numbers {
        failure_ppm: Some(500_000),
        min_requests: 4,
        window_ms: 1_000,
        ..Numbers::default()
    };
    let breaker = CircuitBreaker::default();
    let one = |ended, now_ms| {
        let permit = breaker.admit(&numbers, now_ms, false).unwrap();
        permit.ended(ended, 1, &numbers, now_ms, 0);
    };
    for now_ms in [0, 10, 20] {
        one(Ended::Failed, now_ms);
    }
    assert_eq!(
        breaker.circuit_state(0),
        CircuitState::Closed,
        "three results are fewer than the minimum"
    );
    for now_ms in [2_000, 2_010, 2_020] {
        one(Ended::Alive, now_ms);
    }
    one(Ended::Failed, 2_030);
    assert_eq!(
        breaker.circuit_state(0),
        CircuitState::Closed,
        "results before the window do not count"
    );
    for now_ms in [2_040, 2_050] {
        one(Ended::Failed, now_ms);
    }
    assert_eq!(breaker.circuit_state(0), CircuitState::Open, "3 of 6");
}

/// Sends one request in each tenth of the window. All ten count; in the eleventh tenth, the first
/// one no longer counts.
#[test]
fn every_tenth_of_the_window_counts() {
    let numbers = Numbers {
        failure_ppm: Some(1_000_000),
        min_requests: 10,
        window_ms: 1_000,
        ..Numbers::default()
    };
    let fail_at = |breaker: &CircuitBreaker, now_ms| {
        let permit = breaker.admit(&numbers, now_ms, false).unwrap();
        permit.ended(Ended::Failed, 1, &numbers, now_ms, 0);
    };
    let breaker = CircuitBreaker::default();
    for tenth in 0..9 {
        fail_at(&breaker, tenth * 100);
    }
    assert_eq!(
        breaker.circuit_state(800),
        CircuitState::Closed,
        "nine failures of the ten required"
    );
    fail_at(&breaker, 900);
    assert_eq!(
        breaker.circuit_state(900),
        CircuitState::Open,
        "ten failures of the ten required"
    );

    let late = CircuitBreaker::default();
    for tenth in 0..9 {
        fail_at(&late, tenth * 100);
    }
    fail_at(&late, 1_000);
    assert_eq!(
        late.circuit_state(1_000),
        CircuitState::Closed,
        "the failure in the first tenth is too old"
    );
    fail_at(&late, 1_010);
    assert_eq!(
        late.circuit_state(1_010),
        CircuitState::Open,
        "ten failures within the last second"
    );
}

#[test]
fn slow_answers_open_the_breaker() {
    let numbers = Numbers {
        slow_ms: Some(50),
        slow_ppm: Some(1_000_000),
        min_requests: 2,
        ..Numbers::default()
    };
    let state_after = |times_ms: [u64; 2]| {
        let breaker = CircuitBreaker::default();
        for took_ms in times_ms {
            let permit = breaker.admit(&numbers, 0, false).unwrap();
            permit.ended(Ended::Alive, took_ms, &numbers, 0, 0);
        }
        breaker.circuit_state(0)
    };
    assert_eq!(state_after([51, 60]), CircuitState::Open);
    assert_eq!(
        state_after([50, 60]),
        CircuitState::Closed,
        "50 ms is not above 50 ms"
    );
}

#[test]
fn jitter_never_shortens_and_adds_a_tenth_at_most() {
    for chance in [0, 7, u64::MAX] {
        let breaker = CircuitBreaker::default();
        for _ in 0..3 {
            let permit = breaker.admit(&numbers(), 0, false).unwrap();
            permit.ended(Ended::Failed, 1, &numbers(), 0, chance);
        }
        assert!(breaker.admit(&numbers(), 99, false).is_err());
        assert!(breaker.admit(&numbers(), 111, false).is_ok());
    }
}

#[test]
fn a_decision_takes_less_than_a_microsecond() {
    let breaker = CircuitBreaker::default();
    let numbers = numbers();
    let start = std::time::Instant::now();
    for now_ms in 0..100_000 {
        let permit = breaker.admit(&numbers, now_ms, false).unwrap();
        permit.ended(Ended::Alive, 1, &numbers, now_ms, 0);
    }
    let each_ns = start.elapsed().as_nanos() / 100_000;
    // The target is 100 ns; the limit leaves slack for busy machines.
    assert!(each_ns < 1_000, "{each_ns} ns");
}

/// Event in the property test.
#[derive(Clone, Debug)]
enum Event {
    Begin,
    /// Ends the permit at this index of the outstanding permits, if there is one.
    End(usize, Ended),
    Cancel(usize),
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => Just(Event::Begin),
        2 => (0usize..4).prop_map(|at| Event::End(at, Ended::Alive)),
        3 => (0usize..4).prop_map(|at| Event::End(at, Ended::Failed)),
        2 => (0usize..4).prop_map(Event::Cancel),
        2 => (1u64..150).prop_map(Event::Pass),
    ];
    proptest::collection::vec(event, 0..200)
}

/// Simple model of the breaker's rules.
#[derive(Debug)]
struct Model {
    state: CircuitState,
    in_a_row: u64,
    trips: u32,
    until_ms: u64,
    /// Numbers of the outstanding probes.
    probes: Vec<u64>,
    /// Number of probes without a result since the breaker was last open.
    abandoned: u64,
    proven: u64,
    /// Lowest number of the permits whose results count. Results of earlier permits are ignored.
    counts_from: u64,
    next: u64,
}

impl Model {
    fn new() -> Self {
        Self {
            state: CircuitState::Closed,
            in_a_row: 0,
            trips: 0,
            until_ms: 0,
            probes: Vec::new(),
            abandoned: 0,
            proven: 0,
            counts_from: 0,
            next: 0,
        }
    }

    fn turn(&mut self, state: CircuitState) {
        self.state = state;
        self.in_a_row = 0;
        self.probes.clear();
        self.abandoned = 0;
        self.proven = 0;
        self.counts_from = self.next;
    }

    fn open(&mut self, now_ms: u64) {
        self.turn(CircuitState::Open);
        self.until_ms = now_ms + (100 << self.trips.min(10)).min(400);
        self.trips += 1;
    }

    fn begin(&mut self, now_ms: u64) -> Option<u64> {
        match self.state {
            CircuitState::Closed => {}
            CircuitState::Open if now_ms < self.until_ms => return None,
            CircuitState::HalfOpen
                if self.probes.len() as u64 + self.proven < 2 + self.abandoned => {}
            CircuitState::HalfOpen if now_ms < self.until_ms => return None,
            CircuitState::HalfOpen => {
                self.abandoned += 1;
                self.until_ms = now_ms + 100;
            }
            CircuitState::Open => {
                self.turn(CircuitState::HalfOpen);
                self.until_ms = now_ms + 100;
            }
        }
        let number = self.next;
        self.next += 1;
        if self.state == CircuitState::HalfOpen {
            self.probes.push(number);
        }
        Some(number)
    }

    fn end(&mut self, number: u64, ended: Option<Ended>, now_ms: u64) {
        if number < self.counts_from {
            return;
        }
        self.probes.retain(|probe| *probe != number);
        match (self.state, ended) {
            (CircuitState::HalfOpen, None) => self.abandoned += 1,
            (_, None) | (CircuitState::Open, _) => {}
            (CircuitState::Closed, Some(Ended::Alive)) => self.in_a_row = 0,
            (CircuitState::Closed, Some(Ended::Failed)) => {
                self.in_a_row += 1;
                if self.in_a_row == 3 {
                    self.open(now_ms);
                }
            }
            (CircuitState::HalfOpen, Some(Ended::Failed)) => self.open(now_ms),
            (CircuitState::HalfOpen, Some(Ended::Alive)) => {
                self.proven += 1;
                if self.proven == 2 {
                    self.turn(CircuitState::Closed);
                    self.trips = 0;
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn breaker_matches_its_model_for_any_events(events in events()) {
        let (breaker, mut model) = (CircuitBreaker::default(), Model::new());
        let mut now_ms = 1_000;
        let mut out: VecDeque<(u64, Permit<'_>)> = VecDeque::new();
        for event in events {
            match event {
                Event::Begin => {
                    let (permit, number) = (breaker.admit(&numbers(), now_ms, false), model.begin(now_ms));
                    prop_assert_eq!(permit.is_ok(), number.is_some());
                    if let (Ok(permit), Some(number)) = (permit, number) {
                        out.push_back((number, permit));
                    }
                }
                Event::End(at, ended) => {
                    if let Some((number, permit)) = out.remove(at) {
                        permit.ended(ended, 1, &numbers(), now_ms, 0);
                        model.end(number, Some(ended), now_ms);
                    }
                }
                Event::Cancel(at) => {
                    if let Some((number, permit)) = out.remove(at) {
                        drop(permit);
                        model.end(number, None, now_ms);
                    }
                }
                Event::Pass(ms) => now_ms += ms,
            }
            prop_assert_eq!(breaker.circuit_state(0), model.state);
        }
        // In the end, the breaker must always close again.
        drop(out);
        for _ in 0..4 {
            now_ms += 1_000;
            if let Ok(permit) = breaker.admit(&numbers(), now_ms, false) {
                permit.ended(Ended::Alive, 1, &numbers(), now_ms, 0);
            }
        }
        prop_assert_eq!(breaker.circuit_state(0), CircuitState::Closed);
    }
}

#[test]
fn unfinished_uploads_are_admitted_by_rate() {
    let breaker = opened();
    let permits = [100, 150].map(|now_ms| breaker.admit(&numbers(), now_ms, true).unwrap());
    assert_eq!(breaker.admit(&numbers(), 160, true).unwrap_err(), open(840));
    // Admitted uploads do not count as probes.
    let probe = breaker.admit(&numbers(), 160, false).unwrap();
    let later = breaker.admit(&numbers(), 1_000, true).unwrap();
    drop(permits);
    probe.ended(Ended::Alive, 1, &numbers(), 1_010, 0);
    assert_eq!(breaker.circuit_state(1_010), CircuitState::HalfOpen);
    later.ended(Ended::Alive, 1, &numbers(), 1_020, 0);
    assert_eq!(breaker.circuit_state(1_020), CircuitState::Closed);
}

/// Lets `clients` hold all permits of a half-open breaker for 14 ms at a time and then leave.
/// Returns the number of refused requests among 100 further requests, one every 10 ms.
fn refused_beside(clients: usize) -> usize {
    let numbers = Numbers {
        open_ms: 1_000,
        half_open_requests: 1,
        ..numbers()
    };
    let breaker = CircuitBreaker::default();
    for _ in 0..3 {
        breaker
            .admit(&numbers, 0, false)
            .unwrap()
            .ended(Ended::Failed, 1, &numbers, 0, 0);
    }
    let mut permits = VecDeque::new();
    let mut refused = 0;
    for now_ms in 1_000..2_000 {
        while permits
            .front()
            .is_some_and(|(until_ms, _)| *until_ms == now_ms)
        {
            permits.pop_front();
        }
        while permits.len() < clients
            && let Ok(permit) = breaker.admit(&numbers, now_ms, false)
        {
            permits.push_back((now_ms + 14, permit));
        }
        if now_ms % 10 == 5 {
            // Drop the permit at once without a result, so that the breaker stays half open.
            refused += usize::from(breaker.admit(&numbers, now_ms, false).is_err());
        }
    }
    assert_eq!(breaker.circuit_state(2_000), CircuitState::HalfOpen);
    refused
}

#[test]
fn clients_that_leave_do_not_occupy_the_probes() {
    for clients in [1, 2, 8, 32, 64] {
        let refused = refused_beside(clients);
        assert!(refused <= 16, "{clients} clients: {refused} of 100 refused");
    }
}

#[test]
fn probes_that_do_not_end_make_room_for_others() {
    let breaker = opened();
    let mut permits = Vec::new();
    // Two clients take every probe permit that becomes free, and never finish their requests. The
    // open time is 100 ms.
    for now_ms in (100..600).step_by(10) {
        while permits.len() < 4
            && let Ok(permit) = breaker.admit(&numbers(), now_ms, false)
        {
            permits.push(permit);
        }
    }
    let permit = breaker.admit(&numbers(), 600, false).unwrap();
    fail(permit, 601);
    assert_eq!(breaker.circuit_state(601), CircuitState::Open);
    // The next half-open period begins with the configured maximum of probes.
    let reopened = 601 + 400;
    let _two = [(); 2].map(|()| breaker.admit(&numbers(), reopened, false).unwrap());
    assert!(breaker.admit(&numbers(), reopened, false).is_err());
}

/// Prints the time of a closed breaker's decision and of its count of the result, for
/// docs/load-report.md (`bench/limits`). Run with `--nocapture`. The times of a build with debug
/// assertions are not meaningful.
#[test]
fn time_of_a_decision_is_printed() {
    const DECISIONS: u32 = if cfg!(debug_assertions) {
        10_000
    } else {
        1_000_000
    };
    let (breaker, numbers) = (CircuitBreaker::default(), numbers());
    let rounds = (0..5).map(|_| {
        let began = std::time::Instant::now();
        for number in 0..DECISIONS {
            let now_ms = u64::from(number) / 1_000;
            let permit = std::hint::black_box(&breaker).admit(&numbers, now_ms, false);
            let permit = permit.expect("the breaker is closed");
            permit.ended(Ended::Alive, 1, &numbers, now_ms, 0);
        }
        began.elapsed() / DECISIONS
    });
    let shortest = rounds.min().expect("five rounds");
    assert_eq!(breaker.circuit_state(1), CircuitState::Closed);
    println!("| breaker | state | decision and result |");
    println!("| circuit breaker | closed | {shortest:?} |");
}
