//! Metrics of the upstreams' states: healthy hosts, ejections, circuit breakers, retry budgets,
//! and queues.

use std::sync::atomic::Ordering;

use crate::metrics::families::Numbers;
use crate::upstream::breaker::{Breaker, Stand};
use crate::upstream::outlier::WHYS;
use crate::upstream::shared::States;

/// Metrics of the upstreams' states: name, help text and value of each.
pub(crate) struct Told {
    pub(crate) gauges: [(&'static str, &'static str, Numbers); 3],
    pub(crate) counters: [(&'static str, &'static str, Numbers); 7],
}

/// Reads all values for a scrape.
pub(crate) fn read(states: &States, now_ms: u64) -> Told {
    let (mut healthy, mut circuits) = (Numbers::new(), Numbers::new());
    let (mut ejections, mut turns) = (Numbers::new(), Numbers::new());
    let (mut exhausted, mut checks) = (Numbers::new(), Numbers::new());
    let (mut pending, mut full) = (Numbers::new(), Numbers::new());
    let (mut missed, mut unrepeatable) = (Numbers::new(), Numbers::new());
    states.each(|state| {
        let upstream = || ("upstream", state.name.to_string());
        circuit(
            &state.breaker,
            now_ms,
            &[upstream()],
            &mut circuits,
            &mut turns,
        );
        for named in state.chain_breakers() {
            let labels = [upstream(), ("policy", named.policy.to_string())];
            circuit(&named.breaker, now_ms, &labels, &mut circuits, &mut turns);
        }
        let count = state.exhausted.load(Ordering::Relaxed);
        if count > 0 {
            exhausted.insert(vec![upstream()], count as f64);
        }
        let count = state.unrepeatable.load(Ordering::Relaxed);
        if count > 0 {
            unrepeatable.insert(vec![upstream()], count as f64);
        }
        let waiting = state.pending.0.load(Ordering::Relaxed);
        pending.insert(vec![upstream()], waiting as f64);
        let count = state.connections.0.full();
        if count > 0 {
            full.insert(vec![upstream()], count as f64);
        }
        for host in state.hosts() {
            let labels = vec![upstream(), ("host", host.name.to_string())];
            let works = host.works(now_ms);
            circuit(&host.breaker, now_ms, &labels, &mut circuits, &mut turns);
            let results = [
                ("passed", &host.checks.passed),
                ("failed", &host.checks.failed),
            ];
            for (result, count) in results {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let mut labels = labels.clone();
                    labels.push(("result", result.to_owned()));
                    checks.insert(labels, count as f64);
                }
            }
            let count = host.reach.missed.load(Ordering::Relaxed);
            if count > 0 {
                missed.insert(labels.clone(), count as f64);
            }
            healthy.insert(labels, f64::from(u8::from(works)));
            for (why, count) in WHYS.iter().zip(&host.tally.ejected) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let labels = vec![upstream(), ("reason", (*why).to_owned())];
                    *ejections.entry(labels).or_default() += count as f64;
                }
            }
        }
    });
    Told {
        gauges: [
            (
                "gwd_upstream_host_healthy",
                "1 if a host receives requests; 0 while it is ejected or fails its checks.",
                healthy,
            ),
            (
                "gwd_circuit_state",
                "State of circuit breakers that have changed at least once: 0 closed, 1 half open \
(test requests), 2 open.",
                circuits,
            ),
            (
                "gwd_upstream_pending_requests",
                "Requests that wait for a connection, or for one to be opened.",
                pending,
            ),
        ],
        counters: [
            (
                "gwd_upstream_ejections_total",
                "Hosts that outlier detection ejected.",
                ejections,
            ),
            (
                "gwd_circuit_transitions_total",
                "Transitions of circuit breakers: opened, half opened, closed.",
                turns,
            ),
            (
                "gwd_retry_budget_exhausted_total",
                "Retries that the budget did not admit.",
                exhausted,
            ),
            (
                "gwd_upstream_retries_given_up_total",
                "Retries that were not made because the body was longer than `max_body`.",
                unrepeatable,
            ),
            (
                "gwd_upstream_health_checks_total",
                "Health checks that the gateway made.",
                checks,
            ),
            (
                "gwd_upstream_connect_failures_total",
                "Connections for requests that could not be opened.",
                missed,
            ),
            (
                "gwd_upstream_connections_full_total",
                "Requests that found all connections of the upstream in use.",
                full,
            ),
        ],
    }
}

/// Adds the state and the transitions of a breaker, if it has changed its state at least once.
fn circuit(
    breaker: &Breaker,
    now_ms: u64,
    labels: &[(&'static str, String)],
    circuits: &mut Numbers,
    turns: &mut Numbers,
) {
    let all = ["open", "half_open", "closed"].iter();
    let mut turned = false;
    for (to, count) in all.zip(&breaker.transitions) {
        let count = count.load(Ordering::Relaxed);
        if count > 0 {
            turned = true;
            let mut labels = labels.to_vec();
            labels.push(("to", (*to).to_owned()));
            *turns.entry(labels).or_default() += count as f64;
        }
    }
    if turned {
        let state = match breaker.stand(now_ms) {
            Stand::Closed => 0.0,
            Stand::HalfOpen => 1.0,
            Stand::Open => 2.0,
        };
        // Policies of two documents may have the same name: show the worse state.
        let told = circuits.entry(labels.to_vec()).or_default();
        *told = told.max(state);
    }
}
