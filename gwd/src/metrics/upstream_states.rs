//! Metrics of the upstreams' states: healthy hosts, ejections, circuit breakers, retry budgets,
//! and queues.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::families::{Labels, Numbers};
use crate::metrics::table::{self, Metric};
use crate::upstream::breaker::{CircuitBreaker, CircuitState};
use crate::upstream::shared::{Host, State, States};
use crate::upstream::tally::WHYS;

/// Metrics of the upstreams' states: each with its values.
pub(crate) struct UpstreamMetrics {
    pub(crate) gauges: [(&'static Metric, Numbers); 3],
    pub(crate) counters: [(&'static Metric, Numbers); 7],
}

/// Metric values of the upstreams (health, ejections, circuit breakers, retry budgets, queues), by
/// labels.
#[derive(Default)]
struct Values {
    healthy: Numbers,
    circuits: Numbers,
    pending: Numbers,
    ejections: Numbers,
    turns: Numbers,
    exhausted: Numbers,
    unrepeatable: Numbers,
    checks: Numbers,
    missed: Numbers,
    full: Numbers,
}

/// Reads the metrics of all upstreams and their hosts for a scrape.
pub(crate) fn read(states: &States, now_ms: u64) -> UpstreamMetrics {
    let mut values = Values::default();
    states.each(|state| values.add_upstream(state, now_ms));
    values.into_metrics()
}

impl Values {
    /// Adds the metrics of an upstream and its hosts.
    fn add_upstream(&mut self, state: &State, now_ms: u64) {
        let upstream = || ("upstream", state.name.to_string());
        self.add_circuit(state.breaker.running(), now_ms, &[upstream()]);
        for named in state.chain_breakers() {
            let labels = [upstream(), ("policy", named.policy.to_string())];
            self.add_circuit(named.breaker.running(), now_ms, &labels);
        }
        insert(&mut self.exhausted, vec![upstream()], &state.exhausted);
        insert(
            &mut self.unrepeatable,
            vec![upstream()],
            &state.unrepeatable,
        );
        let waiting = state.pending.0.load(Ordering::Relaxed);
        self.pending.insert(vec![upstream()], waiting as f64);
        let count = state.connections.0.full();
        if count > 0 {
            self.full.insert(vec![upstream()], count as f64);
        }
        for host in state.hosts() {
            self.add_host(&state.name, &host, now_ms);
        }
    }

    /// Adds the metrics of a host of an upstream.
    fn add_host(&mut self, upstream: &str, host: &Host, now_ms: u64) {
        let upstream = || ("upstream", upstream.to_owned());
        let labels = vec![upstream(), ("host", host.name.to_string())];
        self.add_circuit(host.breaker.running(), now_ms, &labels);
        let results = [
            ("passed", &host.checks.passed),
            ("failed", &host.checks.failed),
        ];
        for (result, count) in results {
            let mut labels = labels.clone();
            labels.push(("result", result.to_owned()));
            insert(&mut self.checks, labels, count);
        }
        insert(&mut self.missed, labels.clone(), &host.reach.missed);
        let works = host.works(now_ms);
        self.healthy.insert(labels, f64::from(u8::from(works)));
        for (why, count) in WHYS.iter().zip(&host.tally.ejected) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                let labels = vec![upstream(), ("reason", (*why).to_owned())];
                *self.ejections.entry(labels).or_default() += count as f64;
            }
        }
    }

    /// Adds the state and the transitions of a circuit breaker that has changed its state at least
    /// once.
    fn add_circuit(
        &mut self,
        breaker: &CircuitBreaker,
        now_ms: u64,
        labels: &[(&'static str, String)],
    ) {
        let all = ["open", "half_open", "closed"].iter();
        let mut turned = false;
        for (to, count) in all.zip(&breaker.transitions) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                turned = true;
                let mut labels = labels.to_vec();
                labels.push(("to", (*to).to_owned()));
                *self.turns.entry(labels).or_default() += count as f64;
            }
        }
        if turned {
            let state = match breaker.circuit_state(now_ms) {
                CircuitState::Closed => 0.0,
                CircuitState::HalfOpen => 1.0,
                CircuitState::Open => 2.0,
            };
            // Policies of two API documents may have the same name: show the worse of their states.
            let worst = self.circuits.entry(labels.to_vec()).or_default();
            *worst = worst.max(state);
        }
    }

    /// All metrics, with their names and help texts.
    fn into_metrics(self) -> UpstreamMetrics {
        UpstreamMetrics {
            gauges: [
                (&table::UPSTREAM_HOST_HEALTHY, self.healthy),
                (&table::CIRCUIT_STATE, self.circuits),
                (&table::UPSTREAM_PENDING_REQUESTS, self.pending),
            ],
            counters: [
                (&table::UPSTREAM_EJECTIONS_TOTAL, self.ejections),
                (&table::CIRCUIT_TRANSITIONS_TOTAL, self.turns),
                (&table::RETRY_BUDGET_EXHAUSTED_TOTAL, self.exhausted),
                (&table::UPSTREAM_RETRIES_GIVEN_UP_TOTAL, self.unrepeatable),
                (&table::UPSTREAM_HEALTH_CHECKS_TOTAL, self.checks),
                (&table::UPSTREAM_CONNECT_FAILURES_TOTAL, self.missed),
                (&table::UPSTREAM_CONNECTIONS_FULL_TOTAL, self.full),
            ],
        }
    }
}

/// Adds the value of a counter, unless the value is 0.
fn insert(numbers: &mut Numbers, labels: Labels, count: &AtomicU64) {
    let count = count.load(Ordering::Relaxed);
    if count > 0 {
        numbers.insert(labels, count as f64);
    }
}
