//! Gateway without its registry and its collector of traces for a week. `GWD_TEST_CLOCK` sets the
//! clock of its control thread.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use e2e::binaries;
use e2e::gateway::{Gateway, Options};
use e2e::project::{Ended, Project};
use e2e::server::free_port;
use e2e::wait;
use serde_json::{Value, json};

use crate::registries::{DOCUMENT, answers, gateway};
use crate::registry_proxy::{Failure, ProxiedRegistry};

const WEEK_S: u64 = 7 * 86_400;
/// Number of requests while the collector is away. All of them are sampled.
const REQUESTS: usize = 20;

/// Options of a gateway with a clock of its own, a registry, and a collector that is away.
fn options(registry: &ProxiedRegistry, project: &Project) -> Options {
    let collector = format!("http://127.0.0.1:{}", free_port());
    registry
        .gateway(project, "10m")
        .state(&project.path("state"))
        .arguments(&["--otlp", &collector, "--trace-ratio", "1"])
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
        .variable("GWD_TEST_CLOCK", &project.path("clock").to_string_lossy())
}

/// Age of the copy of the registry, in seconds, with the error of the last poll.
#[track_caller]
fn age_s(gateway: &Gateway) -> (u64, Value) {
    let shown = &gateway.status()["registry"];
    let age = shown["age_s"].as_u64().expect("an age");
    (age, shown["error"].clone())
}

/// Line `registry` of `gwd status`.
fn registry_line(gateway: &Gateway) -> String {
    let mut command = Command::new(binaries::gwd());
    let admin = format!("unix:{}", gateway.admin().display());
    command.args(["status", "--admin", &admin]);
    let text = Ended::of(&mut command).succeeds().stdout.clone();
    let line = text.lines().find(|line| line.starts_with("registry "));
    line.expect("the line").to_owned()
}

#[test]
fn gateway_serves_a_week_without_its_registry() {
    let Some(registry) = ProxiedRegistry::start() else {
        return;
    };
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let today = now.expect("after 1970").as_secs();
    let set_clock = |time: u64| project.write("clock", time.to_string());
    set_clock(today);
    let first = registry.release(&project, "v1", &[]);
    let options = options(&registry, &project);
    let mut running = options.start();
    let second = registry.release(&project, "v2", &["--expires", "3d"]);
    running.notify();
    running.wait_bundle(&second);
    answers(&running, "v2");
    let updated = "gwd_registry_last_update_timestamp_seconds";
    let last_update = running.metrics().sum(updated, &[]);

    registry.reset(Some((0, Failure::Request)));
    set_clock(today + WEEK_S);
    running.notify();
    for _ in 0..REQUESTS {
        answers(&running, "v2");
    }
    let (age, error) = age_s(&running);
    assert!(age >= WEEK_S - 60 && error.is_string(), "{age} {error}");
    let line = registry_line(&running);
    assert!(
        line.contains("POLL FAILED") && line.contains("; last update 7d ago"),
        "{line}"
    );
    assert_eq!(running.metrics().sum(updated, &[]), last_update);
    let polls = |gateway: &Gateway| {
        let metrics = gateway.metrics();
        metrics.sum("gwd_registry_polls_total", &["result=\"failed\""])
    };
    assert_eq!(polls(&running), 1.0);
    // Expiry of the record is an alarm, and does not stop the gateway.
    assert_eq!(running.status()["alarms"], json!(["record-expired"]));
    // The missing spans are counted.
    wait::until("all spans are dropped", || {
        let dropped = running.metrics().sum("gwd_trace_dropped_total", &[]);
        (dropped >= (REQUESTS + 1) as f64).then_some(())
    });
    assert_eq!(running.metrics().sum("gwd_trace_exported_total", &[]), 0.0);
    assert!(running.log().contains("traces cannot be exported"));
    assert_eq!(running.stop(), Some(0), "{}", running.log());

    // A restart without the registry, and a rollback on the node, which a further restart keeps.
    let mut restarted = options.start();
    answers(&restarted, "v2");
    let (age, error) = age_s(&restarted);
    assert!(age >= WEEK_S - 60 && error.is_string(), "{age} {error}");
    let back = restarted.admin_ask("POST", "/v1/rollback", &json!({}));
    assert_eq!(back.status, 200, "{}", back.text());
    answers(&restarted, "v1");
    assert_eq!(restarted.stop(), Some(0), "{}", restarted.log());
    set_clock(today + WEEK_S + 3_600);
    let restarted = options.start();
    answers(&restarted, "v1");
    assert_eq!(restarted.status()["bundle"], first);

    // The registry returns with three releases more.
    registry.reset(None);
    registry.release(&project, "v3", &[]);
    registry.release(&project, "v4", &[]);
    let newest = registry.release(&project, "v5", &[]);
    restarted.notify();
    let status = restarted.status();
    assert_eq!(
        (&status["bundle"], &status["serial"]),
        (&json!(newest), &json!(5))
    );
    assert_eq!(
        (&status["hold"], &status["alarms"]),
        (&Value::Null, &json!([]))
    );
    answers(&restarted, "v5");
    let (age, error) = age_s(&restarted);
    assert!(age < 60 && error.is_null(), "{age} {error}");
    assert!(restarted.metrics().sum(updated, &[]) >= last_update + WEEK_S as f64);
    restarted.stops_clean();
}
