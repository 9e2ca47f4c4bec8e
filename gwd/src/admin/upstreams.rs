//! Current state of the upstreams of the running versions: available and ejected hosts, with
//! reasons.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::discovery::source::Source;
use crate::published::Shared;
use crate::upstream::breaker::{CircuitBreaker, CircuitState};
use crate::upstream::checks::Verdict;
use crate::upstream::hosts::Common;
use crate::upstream::shared::Host;

/// Value of `upstreams` in `status/v1`.
pub(crate) fn status_value(shared: &Shared) -> Value {
    let Some(current) = shared.current() else {
        return json!([]);
    };
    let now_ms = shared.clock.now_ms();
    let commons = current.commons().into_iter();
    commons.map(|common| upstream(common, now_ms)).collect()
}

fn upstream(common: &Common, now_ms: u64) -> Value {
    let state = &common.state;
    let set = common.set();
    let hosts = set.hosts.iter().map(|one| host(one, now_ms));
    let policies = common.breakers.iter().map(|(_, named)| {
        let circuit = circuit(named.breaker.running(), now_ms);
        json!({"policy": &*named.policy, "circuit": circuit})
    });
    let sources = common.sources().map(|one| source(one, now_ms));
    json!({
        "upstream": &*state.name,
        "circuit": circuit(state.breaker.running(), now_ms),
        "policies": policies.collect::<Vec<_>>(),
        "requests": state.requests.0.load(Ordering::Relaxed),
        "connections": state.connections.0.open(),
        "pending": state.pending.0.load(Ordering::Relaxed),
        "retries": state.retries.0.load(Ordering::Relaxed),
        "hosts": hosts.collect::<Vec<_>>(),
        "found_by": sources.collect::<Vec<_>>(),
    })
}

fn source(source: &Source, now_ms: u64) -> Value {
    let target = &source.query.target;
    json!({
        "source": target.kind(),
        "name": target.name(),
        "hosts": source.places().len(),
        "age_ms": source.age_ms(now_ms),
        "error": source.why().as_deref(),
    })
}

fn host(host: &Host, now_ms: u64) -> Value {
    let unreachable = host.reach.wrong(now_ms).map(|wrong| {
        json!({
            "for_ms": wrong.for_ms,
            "attempts": wrong.attempts,
            "error": wrong.why(),
            "help": wrong.help(),
        })
    });
    let check = match host.checks.verdict() {
        Verdict::Unknown => Value::Null,
        Verdict::Works => "passes".into(),
        Verdict::Fails => "fails".into(),
    };
    let why = host.checks.why.load_full();
    json!({
        "host": &*host.name,
        "works": host.works(now_ms),
        "check": check,
        "why": why.as_deref(),
        "unreachable": unreachable,
        "ejected_ms": host.ejection_left_ms(now_ms),
        "circuit": circuit(host.breaker.running(), now_ms),
        "active": host.active.load(Ordering::Relaxed),
    })
}

fn circuit(breaker: &CircuitBreaker, now_ms: u64) -> &'static str {
    match breaker.circuit_state(now_ms) {
        CircuitState::Closed => "closed",
        CircuitState::HalfOpen => "half-open",
        CircuitState::Open => "open",
    }
}
