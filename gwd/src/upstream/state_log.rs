//! Program log lines about upstreams: a host cannot be reached, is ejected, or a circuit breaker
//! opens, and the end of each of these states.
//!
//! Workers only record these states. Once per second the changes are logged, so that a slow log
//! delays no request. A state that changes repeatedly is logged at most every ten seconds.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::runtime::clock::Clock;
use crate::runtime::program_log::{Level, event};
use crate::upstream::breaker::{CircuitBreaker, CircuitState};
use crate::upstream::logged_states::{CIRCUIT, EJECTED, LoggedStates, UNREACHED};
use crate::upstream::shared::{Host, State, States};

const LOOK: Duration = Duration::from_secs(1);
type Line = (Level, &'static str, Value);

/// Logs changes of all upstreams once per second. Never returns.
pub(crate) async fn log_changes(states: Arc<States>, clock: Clock) {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        // Collect the lines, and write them after all locks are released.
        let mut lines = Vec::new();
        states.each(|state| look(state, clock.now_ms(), &mut lines));
        for (level, message, facts) in lines {
            event(level, message, facts);
        }
    }
}

/// Appends a log line for each state of an upstream that has changed.
fn look(state: &State, now_ms: u64, lines: &mut Vec<Line>) {
    let of_upstream = || json!({"upstream": state.name});
    let breaker = state.breaker.running();
    circuit(breaker, &state.logged, now_ms, &of_upstream, lines);
    for named in state.chain_breakers() {
        let of_policy = || json!({"upstream": state.name, "policy": named.policy});
        let breaker = named.breaker.running();
        circuit(breaker, &named.logged, now_ms, &of_policy, lines);
    }
    for host in state.hosts() {
        let of_host = || json!({"upstream": state.name, "host": host.name});
        reach(&host, now_ms, &of_host, lines);
        ejection(&host, now_ms, &of_host, lines);
        let breaker = host.breaker.running();
        circuit(breaker, &host.logged, now_ms, &of_host, lines);
    }
}

fn reach(host: &Host, now_ms: u64, facts: &dyn Fn() -> Value, lines: &mut Vec<Line>) {
    let wrong = host.reach.wrong(now_ms);
    match (
        host.logged
            .record_change(UNREACHED, wrong.is_some(), now_ms),
        wrong,
    ) {
        (true, Some(wrong)) => {
            let mut facts = facts();
            facts["error"] = wrong.why().into();
            facts["attempts"] = wrong.attempts.into();
            facts["for_ms"] = wrong.for_ms.into();
            facts["help"] = wrong.help().into();
            lines.push((Level::Warn, "a host cannot be reached", facts));
        }
        (true, None) => lines.push((Level::Info, "a host can be reached again", facts())),
        (false, _) => {}
    }
}

fn ejection(host: &Host, now_ms: u64, facts: &dyn Fn() -> Value, lines: &mut Vec<Line>) {
    let left_ms = host.ejection_left_ms(now_ms);
    if !host
        .logged
        .record_change(EJECTED, left_ms.is_some(), now_ms)
    {
        return;
    }
    let mut facts = facts();
    lines.push(match left_ms {
        Some(left_ms) => {
            facts["for_ms"] = left_ms.into();
            facts["help"] =
                "requests to it failed (`health.passive`); the access log shows them by `upstream_host`".into();
            (Level::Warn, "a host is ejected", facts)
        }
        None => (Level::Info, "a host gets requests again", facts),
    });
}

fn circuit(
    breaker: &CircuitBreaker,
    logged: &LoggedStates,
    now_ms: u64,
    facts: &dyn Fn() -> Value,
    lines: &mut Vec<Line>,
) {
    let open = breaker.circuit_state(now_ms) != CircuitState::Closed;
    if !logged.record_change(CIRCUIT, open, now_ms) {
        return;
    }
    let mut facts = facts();
    lines.push(match open {
        true => {
            facts["help"] =
                "requests are answered 503 `circuit_open` until a probe succeeds; the access log shows the earlier failures"
                    .into();
            (Level::Warn, "a circuit breaker is open", facts)
        }
        false => (Level::Info, "a circuit breaker is closed again", facts),
    });
}
