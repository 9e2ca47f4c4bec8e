//! Problems of a gateway, taken from its `status/v1`: alarms, broken certificates, stale secrets,
//! and upstreams with an error, an open circuit breaker or failing hosts.

use serde_json::Value;

/// Maximum number of hosts that are named per upstream.
const HOSTS_MAX: usize = 3;

/// Lists the problems of a gateway, one line each, alarms first. Empty if the gateway has no
/// problems.
pub(super) fn troubles(status: &Value) -> Vec<String> {
    let texts = |key: &'static str, word: &'static str| {
        let list = status[key].as_array().into_iter().flatten();
        list.filter_map(Value::as_str)
            .map(move |text| format!("{word} {text}"))
    };
    let upstreams = status["upstreams"].as_array().into_iter().flatten();
    texts("alarms", "ALARM")
        .chain(texts("broken_certificates", "BROKEN"))
        .chain(texts("stale_secrets", "STALE"))
        .chain(upstreams.filter_map(upstream))
        .collect()
}

/// Describes an upstream with a problem. `None` if the upstream has no problem.
fn upstream(state: &Value) -> Option<String> {
    let hosts = state["hosts"].as_array().map_or(&[][..], Vec::as_slice);
    let wrong: Vec<String> = hosts.iter().filter_map(host).collect();
    let missing = state["found_by"].as_array().into_iter().flatten();
    let missing = missing.filter_map(|source| {
        let error = source["error"].as_str()?;
        let name = source["name"].as_str().unwrap_or("its hosts");
        Some(format!("{name} not resolved: {error}"))
    });
    let mut parts: Vec<String> = missing.collect();
    if state["circuit"].as_str().is_some_and(|at| at != "closed") {
        parts.push(circuit(state));
    }
    let policies = state["policies"].as_array().into_iter().flatten();
    let open = policies.filter(|named| named["circuit"].as_str().is_some_and(|at| at != "closed"));
    parts.extend(open.map(|named| {
        let policy = named["policy"].as_str().unwrap_or("?");
        format!("policy {policy}: {}", circuit(named))
    }));
    if !wrong.is_empty() {
        let more = match wrong.len().saturating_sub(HOSTS_MAX) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        parts.push(format!(
            "{} of {} hosts available: {}{more}",
            hosts.len() - wrong.len(),
            hosts.len(),
            wrong[..wrong.len().min(HOSTS_MAX)].join("; ")
        ));
    }
    let name = state["upstream"].as_str().unwrap_or("?");
    (!parts.is_empty()).then(|| format!("upstream {name}: {}", parts.join("; ")))
}

/// Describes a host that receives no requests or cannot be reached.
fn host(state: &Value) -> Option<String> {
    let mut why = Vec::new();
    if state["check"] == "fails" {
        let saw = state["why"].as_str().unwrap_or("no reason given");
        why.push(format!("fails its checks ({saw})"));
    }
    if let Some(error) = state["unreachable"]["error"].as_str() {
        why.push(format!("unreachable ({error})"));
    }
    if state["ejected_ms"].is_u64() {
        why.push("ejected".to_owned());
    }
    if state["circuit"].as_str().is_some_and(|at| at != "closed") {
        why.push(circuit(state));
    }
    if why.is_empty() && state["works"] == false {
        why.push("gets no requests".to_owned());
    }
    let name = state["host"].as_str().unwrap_or("?");
    (!why.is_empty()).then(|| format!("{name} {}", why.join(", ")))
}

fn circuit(state: &Value) -> String {
    format!("circuit {}", state["circuit"].as_str().unwrap_or("open"))
}
