//! Test of switches between bundles under load. No request fails, each response comes from exactly
//! one bundle, and gwd leaks no resources.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use e2e::client::Connection;
use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};
use e2e::wait;
use serde_json::json;

/// Number of bundles between which the test switches.
const BUNDLES: usize = 4;
/// Number of concurrent client connections.
const CLIENTS: usize = 4;
/// Memory that the allocator may keep in addition under the same load, in bytes.
const ALLOCATORS: u64 = 8 << 20;
/// Interval of switches that move the channel: every 50th switch. All other switches use the admin
/// interface.
const BY_CHANNEL: usize = 50;

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: which version answers, version: \"1\"}
paths:
  /through: {get: {operationId: through, responses: {}}}
  /here: {get: {operationId: here, x-gateway: {policies: [marks, say]}, responses: {}}}
";

fn gateway(version: usize, upstream: &Upstream) -> String {
    format!(
        "version: 1\nname: switches\napis: {{s: {{path: openapi.yaml}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         policies:\n  \
           say: {{kind: respond, status: 200, body: v{version}}}\n  \
           marks: {{kind: headers, request: {{set: {{X-Version: v{version}}}}}, response: {{set: {{X-Version: v{version}}}}}}}\n\
         defaults: {{upstream: u, security: upstream, policies: [marks], expose_bundle: true}}\n",
        upstream.url()
    )
}

struct Load {
    stop: AtomicBool,
    answered: AtomicU64,
}

#[test]
fn switching_under_load_loses_and_mixes_nothing() {
    let switches = if prerequisite::is_full() { 1_000 } else { 200 };
    // The upstream returns the version that a policy has set in the request.
    let upstream = Upstream::scripted(|seen| {
        Answer::ok(seen.header("x-version").unwrap_or("none").to_owned())
    });
    upstream.forgets();
    let project = Project::new();
    project.write("openapi.yaml", DOCUMENT);
    project.write("gateway.yaml", gateway(0, &upstream));
    project.keygen();
    let mut bundles = vec![project.apply()];
    let keep = BUNDLES.to_string();
    let gwd = Options::of(&project)
        .workers(2)
        .arguments(&["--keep", &keep])
        .start();
    for version in 1..BUNDLES {
        project.write("gateway.yaml", gateway(version, &upstream));
        bundles.push(project.apply());
        gwd.wait_bundle(&bundles[version]);
    }
    let resident = gwd.status()["resident"].as_array().map(Vec::len);
    assert_eq!(resident, Some(BUNDLES));

    let load = Load {
        stop: AtomicBool::new(false),
        answered: AtomicU64::new(0),
    };
    let mut memory_after_20 = 0;
    let seen = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| client(&gwd, &load)))
            .collect();
        for switch in 1..=switches {
            let to = &bundles[switch * 7 % BUNDLES];
            if switch % BY_CHANNEL == 0 {
                by_channel(&project, &gwd, to);
            } else {
                let body = json!({"bundle": to});
                let answer = gwd.admin_ask("POST", "/v1/activate", &body);
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert_eq!(answer.json()["bundle"], to.as_str());
            }
            if switch == 20 {
                memory_after_20 = gwd.memory_bytes();
            }
            // Wait until the new version has responded to at least one request.
            let so_far = load.answered.load(Ordering::Relaxed);
            wait::until("a request is answered", || {
                (load.answered.load(Ordering::Relaxed) > so_far).then_some(())
            });
        }
        load.stop.store(true, Ordering::Relaxed);
        let mut seen: BTreeMap<(String, String), u64> = BTreeMap::new();
        for client in clients {
            for (pair, count) in client.join().expect("a client that fails, fails the test") {
                *seen.entry(pair).or_default() += count;
            }
        }
        seen
    });

    // Each response must have a bundle id and the version text of the same bundle. Each bundle must
    // have sent a response.
    let expected: Vec<(String, String)> = bundles
        .iter()
        .enumerate()
        .map(|(version, id)| (short(id).to_owned(), format!("v{version}")))
        .collect();
    for pair in seen.keys() {
        assert!(expected.contains(pair), "{pair:?} of {expected:?}");
    }
    assert_eq!(seen.len(), BUNDLES, "{seen:?}");
    wait::until("old snapshots are gone", || {
        let live = gwd.metrics().sum("gwd_bundle_snapshots_live", &[]);
        (live == 4.0).then_some(())
    });
    let limit = memory_after_20 + ALLOCATORS;
    let memory = wait::within(Duration::from_secs(10), || {
        (gwd.memory_bytes() <= limit).then_some(())
    });
    assert!(
        memory.is_some(),
        "{} bytes after {switches} switches, {memory_after_20} after 20",
        gwd.memory_bytes()
    );
    gwd.stops_clean();
}

/// Moves the channel to a bundle and waits until it runs.
fn by_channel(project: &Project, gwd: &Gateway, to: &str) {
    let moved = project.gwc(&["rollback", to, "--yes", "--key", "keys/release.pem"]);
    moved.succeeds();
    // If the channel already names the bundle, only a hold can prevent the switch. End the hold.
    let resumed = gwd.admin_ask("POST", "/v1/resume", &json!({}));
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    gwd.wait_bundle(to);
}

/// Sends requests until `load.stop` is set. Counts the responses by bundle id and version text.
fn client(gwd: &Gateway, load: &Load) -> BTreeMap<(String, String), u64> {
    let mut seen: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut connection = gwd.connect();
    let mut number = 0;
    while !load.stop.load(Ordering::Relaxed) {
        number += 1;
        let pair = ask(&mut connection, number % 2 == 0);
        *seen.entry(pair).or_default() += 1;
        load.answered.fetch_add(1, Ordering::Relaxed);
    }
    seen
}

fn ask(connection: &mut Connection, here: bool) -> (String, String) {
    let path = if here { "/here" } else { "/through" };
    let response = connection
        .ask(&format!("GET {path} HTTP/1.1\nhost: h"))
        .expect("no request is lost, no connection dropped");
    assert_eq!(response.status, 200, "{}", response.text());
    let bundle = response
        .header("x-gateway-bundle")
        .expect("it is asked for");
    let version = response.header("x-version").expect("a policy sets it");
    // The same version must handle the request and the response.
    assert_eq!(response.text(), version, "{path}");
    (bundle.to_owned(), version.to_owned())
}

fn short(id: &str) -> &str {
    &id["sha256:".len()..][..12]
}
