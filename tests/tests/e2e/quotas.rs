//! Tests of quotas on a running gateway: counters across switches, rollbacks, restarts and workers.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::Upstream;
use e2e::wait;

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: quotas, version: \"1\"}
paths:
  /a: {get: {operationId: a, responses: {}}}
";

fn project(upstream: &Upstream, quota: &str) -> Project {
    let project = Project::with(&gateway(upstream, quota, "address"), DOCUMENT);
    project.keygen();
    project
}

fn gateway(upstream: &Upstream, quota: &str, key: &str) -> String {
    format!(
        "version: 1\nname: quotas\napis: {{s: {{path: openapi.yaml}}}}\n\
         policies: {{some: {{kind: quota, {quota}, key: \"{key}\"}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         defaults: {{upstream: u, security: upstream, policies: [some]}}\n",
        upstream.url()
    )
}

/// Sends a request. Returns the status, and the remaining requests in the `ratelimit` field.
fn ask(gwd: &Gateway) -> (u16, String) {
    let response = gwd.ask("GET /a HTTP/1.1\nhost: h");
    let field = response.header("ratelimit").unwrap_or_default();
    let remaining = field.split(';').find_map(|one| one.strip_prefix("r="));
    (response.status, remaining.unwrap_or("none").to_owned())
}

fn left(status: u16, remaining: u32) -> (u16, String) {
    (status, remaining.to_string())
}

/// Sends a request and waits until gwd has written changed counters to the state folder.
fn wait_saved(state: &Path, request: impl Fn()) {
    let file = || std::fs::read(state.join("quotas.bin")).unwrap_or_default();
    let before = file();
    request();
    wait::until("the counters are saved", || {
        (file() != before).then_some(())
    });
}

#[test]
fn quota_survives_switch_rollback_and_restart() {
    let upstream = Upstream::start();
    let project = project(&upstream, "limit: 10, period: month, time_zone: Asia/Tokyo");
    let first = project.apply();
    let state = project.path("state");
    let options = Options::of(&project).state(&state);
    let mut gwd = options.start();
    assert_eq!(ask(&gwd), left(200, 9));
    // A changed limit must not reset the counters.
    let smaller = "limit: 6, period: month, time_zone: Asia/Tokyo";
    project.write("gateway.yaml", gateway(&upstream, smaller, "address"));
    let second = project.apply();
    gwd.wait_bundle(&second);
    assert_eq!(ask(&gwd), left(200, 4));
    let key = ["--key", "keys/release.pem", "--reason", "a test", "--yes"];
    project.gwc(&[&["rollback"], &key[..]].concat()).succeeds();
    gwd.wait_bundle(&first);
    assert_eq!(ask(&gwd), left(200, 7));
    gwd.stop();
    let gwd = options.start();
    assert_eq!(ask(&gwd), left(200, 6), "after a stop");
    wait_saved(&state, || assert_eq!(ask(&gwd), left(200, 5)));
    drop(gwd);
    let gwd = options.start();
    assert_eq!(ask(&gwd), left(200, 4), "after a crash");
}

#[test]
fn damaged_counters_are_reported_and_ignored() {
    let upstream = Upstream::start();
    let project = project(&upstream, "limit: 3, window: 300d");
    project.apply();
    let state = project.path("state");
    let options = Options::of(&project).state(&state);
    let mut gwd = options.start();
    assert_eq!(ask(&gwd), left(200, 2));
    gwd.stop();
    let file = state.join("quotas.bin");
    let mut bytes = std::fs::read(&file).expect("saved counters");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("the state folder is ours");
    let mut gwd = options.start();
    assert_eq!(ask(&gwd), left(200, 2), "counting begins again");
    let log = gwd.log();
    assert!(log.contains("counters of quotas cannot be used"), "{log}");
    assert!(log.contains("its digest is wrong"), "{log}");
    assert!(state.join("quotas.bin.damaged").is_file());
    gwd.stop();
    let gwd = options.start();
    assert_eq!(ask(&gwd), left(200, 1), "the new counters are used");
}

#[test]
fn quota_is_exact_over_all_workers() {
    let upstream = Upstream::start();
    let project = project(&upstream, "limit: 150, period: month, warn: 80%");
    project.apply();
    let gwd = Options::of(&project).start();
    let admitted = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..50 {
                    match ask(&gwd).0 {
                        200 => admitted.fetch_add(1, Ordering::Relaxed),
                        status => {
                            assert_eq!(status, 429);
                            0
                        }
                    };
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 150);
    let metrics = gwd.metrics();
    let decisions = |decision: &str| {
        let labels = ["policy=\"some\"", decision];
        metrics.sum("gwd_ratelimit_decisions_total", &labels)
    };
    assert_eq!(
        (decisions("\"allow\""), decisions("\"deny\"")),
        (150.0, 150.0)
    );
    let warned = metrics.sum("gwd_quota_warnings_total", &["policy=\"some\""]);
    // The responses to requests 120 to 300 have a warning.
    assert_eq!(warned, 181.0);
}

#[test]
fn next_process_continues_the_counters() {
    let upstream = Upstream::start();
    let project = project(&upstream, "limit: 5, window: 300d");
    project.apply();
    let state = project.path("state");
    let options = Options::of(&project).state(&state);
    let old = options.start();
    assert_eq!(ask(&old), left(200, 4));
    assert_eq!(ask(&old), left(200, 3));
    let new = options.arguments(&["--take-over"]).start();
    assert_eq!(ask(&new), left(200, 2));
}
