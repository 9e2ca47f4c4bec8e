//! Load test with switches between bundles. The load has requests over HTTP/1.1 and HTTP/2, bodies
//! in both directions, events, WebSockets over both protocols, and gRPC streams. No request fails,
//! no stream is dropped, and gwd leaks no resources.
//!
//! `make soak` runs the test for ten minutes with a switch every second. With `GWC_TEST_FULL=1`,
//! the test makes a thousand switches with a thousand WebSockets and two hundred streams.

mod faults;
mod load;
mod sockets;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::wait;
use serde_json::json;

use crate::faults::Faults;

/// Number of bundles between which the test switches.
const BUNDLES: usize = 4;
/// Number of switches after which gwd has allocated all the memory that it needs.
const WARM: usize = 20;

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: soak, version: \"1\"}
paths:
  /down/{bytes}:
    parameters: [{name: bytes, in: path, required: true, schema: {type: integer}}]
    get: {operationId: down, responses: {}}
  /up: {post: {operationId: up, responses: {}}}
  /events: {get: {operationId: events, x-gateway: {stream: true}, responses: {}}}
  /socket: {get: {operationId: socket, x-gateway: {websocket: true}, responses: {}}}
  /echo.Echo/Talk: {post: {operationId: talk, x-gateway: {upstream: calls, stream: true}, responses: {}}}
";

/// Amount of load and number of switches of a run.
struct Plan {
    switches: usize,
    /// Interval between two switches.
    every: Duration,
    /// Number of WebSockets, half of them over HTTP/2.
    sockets: usize,
    /// Number of gRPC streams.
    streams: usize,
    /// Number of clients that send single requests over HTTP/1.1. The same number uses HTTP/2.
    clients: usize,
}

impl Plan {
    fn of_environment() -> Self {
        let soak = std::env::var("GWC_SOAK_SECONDS").ok();
        if let Some(seconds) = soak.and_then(|text| text.parse().ok()) {
            return Self {
                switches: seconds,
                every: Duration::from_secs(1),
                sockets: 200,
                streams: 50,
                clients: 4,
            };
        }
        match prerequisite::is_full() {
            true => Self {
                switches: 1_000,
                every: Duration::from_millis(50),
                sockets: 1_000,
                streams: 200,
                clients: 2,
            },
            false => Self {
                switches: 60,
                every: Duration::from_millis(50),
                sockets: 60,
                streams: 20,
                clients: 2,
            },
        }
    }
}

/// gateway.yaml of the project. All clients have the same address. `limits.requests` and
/// `limits.connections` are so large that a thousand WebSockets use less than three quarters of
/// each limit. Above three quarters, gwd limits the share of one address.
fn gateway(version: usize, plain: SocketAddr, calls: SocketAddr) -> String {
    format!(
        "version: 1\nname: soak\napis: {{s: {{path: openapi.yaml}}}}\n\
         listeners: {{public: {{address: \"127.0.0.1:0\", http2: true}}}}\n\
         upstreams:\n  \
           plain: {{targets: {{a: {{url: \"http://{plain}\"}}}}, timeouts: {{idle: 5s}}, limits: {{connections: 4000, requests: 2000}}}}\n  \
           calls: {{targets: {{a: {{url: \"http://{calls}\"}}}}, protocol: h2c, timeouts: {{idle: 5s}}}}\n\
         policies:\n  \
           marks: {{kind: headers, response: {{set: {{X-Version: v{version}}}}}}}\n\
         defaults: {{upstream: plain, security: upstream, policies: [marks]}}\n"
    )
}

/// Resources that gwd must release after the load: open file descriptors, live snapshots of
/// bundles, and client connections.
fn releasable_resources(gwd: &Gateway) -> (usize, f64, f64) {
    let path = format!("/proc/{}/fd", gwd.pid());
    let descriptors = std::fs::read_dir(path).map_or(0, Iterator::count);
    let metrics = gwd.metrics();
    (
        descriptors,
        metrics.sum("gwd_bundle_snapshots_live", &[]),
        metrics.sum("gwd_downstream_connections", &[]),
    )
}

#[test]
fn mixed_load_over_switches_loses_and_leaves_nothing() {
    let plan = Plan::of_environment();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let plain = runtime.block_on(upstream::plain());
    let calls = runtime.block_on(upstream::calls());
    let project = Project::new();
    project.write("openapi.yaml", DOCUMENT);
    project.write("gateway.yaml", gateway(0, plain, calls));
    project.keygen();
    let mut bundles = vec![project.apply()];
    let keep = BUNDLES.to_string();
    let gwd = Options::of(&project)
        .workers(2)
        .arguments(&["--keep", &keep])
        .start();
    for version in 1..BUNDLES {
        project.write("gateway.yaml", gateway(version, plain, calls));
        bundles.push(project.apply());
        gwd.wait_bundle(&bundles[version]);
    }
    let before = releasable_resources(&gwd);

    let faults = Arc::new(Faults::default());
    let running = {
        let _within = runtime.enter();
        load::begin(gwd.address(), &plan, &faults)
    };
    wait::within(Duration::from_secs(60), || {
        let open = faults.open.load(Ordering::Relaxed);
        (open == plan.sockets + plan.streams).then_some(())
    })
    .unwrap_or_else(|| panic!("not all sockets and streams open\n{faults}"));

    let mut warm_bytes = 0;
    let began = Instant::now();
    for switch in 1..=plan.switches {
        let body = json!({"bundle": bundles[switch * 7 % BUNDLES]});
        let answer = gwd.admin_ask("POST", "/v1/activate", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let next = began + plan.every * u32::try_from(switch).expect("few switches");
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        if switch == WARM {
            warm_bytes = gwd.memory_bytes();
        }
        assert!(faults.is_empty(), "after {switch} switches\n{faults}");
    }
    let loaded_bytes = gwd.memory_bytes();
    // All streams are still open. Each stream sends a last message and receives a reply.
    faults.stop.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        for one in running {
            one.await.expect("no client panics");
        }
    });
    println!(
        "{} switches in {:.0?}: {faults}; {} KiB after {WARM} switches, {} KiB at the end",
        plan.switches,
        began.elapsed(),
        warm_bytes >> 10,
        loaded_bytes >> 10,
    );
    assert!(faults.is_empty(), "{faults}");
    assert!(faults.answered.load(Ordering::Relaxed) > plan.switches);

    // Memory may grow by a tenth, and by the amount that the allocator keeps for two threads.
    let limit = warm_bytes + warm_bytes / 10 + (8 << 20);
    assert!(
        loaded_bytes <= limit,
        "{loaded_bytes} bytes, {warm_bytes} after {WARM} switches"
    );
    let after = wait::within(wait::WAIT_MAX, || {
        let now = releasable_resources(&gwd);
        // gwd keeps idle upstream connections for five seconds. A few connections to the admin
        // interface are also open.
        let few = before.0 + 8;
        (now.0 <= few && now.1 == before.1 && now.2 == 0.0).then_some(())
    });
    assert!(
        after.is_some(),
        "{before:?} before, {:?} after; connections to upstreams: {:?}",
        releasable_resources(&gwd),
        gwd.metrics().sum("gwd_upstream_connections", &[])
    );
    gwd.stops_clean();
}
