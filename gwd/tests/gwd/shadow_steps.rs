//! Shadow steps of a progressive release: the candidate decides a share of the requests too, without
//! effects, and the base serves all of them (release.md §6).

use std::net::TcpStream;
use std::process::Command;

use bundle::ir;
use bundle::publish::Revocation;
use bundle::statement::predicate::{Guard, RecordKind, Rollout, Step, Sticky};
use serde_json::{Value, json};

use crate::asking::ASK;
use crate::fixture::*;
use crate::http2::{Http2, http2};
use crate::rollouts::notify;
use crate::traffic_steps::Split;
use crate::world::Process;

/// All gateways, or all requests, in parts per million.
const ALL: u32 = 1_000_000;

/// Release of two versions whose first step compares the given share of the requests.
fn shadowing(versions: [ir::Gateway; 2], shadow_ppm: u32) -> Split {
    let mut split = Split::of(versions, None);
    let compared = Step {
        nodes_ppm: ALL,
        traffic_ppm: 0,
        shadow_ppm,
    };
    let served = Step {
        nodes_ppm: ALL,
        traffic_ppm: 500_000,
        shadow_ppm: 0,
    };
    let base = split.rollout.base;
    split.rollout = Rollout::first(base, &[compared, served], None).unwrap();
    split.rollout.sticky = Some(Sticky::Header("x-user".to_owned()));
    split
}

/// Starts a gateway that runs the base, and begins the release.
fn begun(split: &Split) -> Process {
    let gwd = split.world.start();
    split.begin();
    assert_compares(split, &notify(&gwd));
    gwd
}

fn assert_compares(split: &Split, status: &Value) {
    let rollout = &status["rollout"];
    assert_eq!(status["bundle"], split.base.to_string(), "{status:#}");
    assert_eq!(rollout["candidate"], split.candidate.to_string());
    assert!(rollout["comparison"].is_object(), "{status:#}");
    assert_eq!(rollout["requests"], Value::Null);
    assert_eq!(rollout["candidate_refused"], Value::Null);
}

/// Results once this number of requests is compared.
fn compared(gwd: &Process, requests: u64) -> Value {
    let comparison = || notify(gwd)["rollout"]["comparison"].clone();
    eventually("the requests are compared", || {
        let found = comparison();
        assert!(found["requests"].as_u64() <= Some(requests), "{found:#}");
        found["requests"] == requests
    });
    let found = comparison();
    assert_eq!(found["skipped"], 0, "{found:#}");
    found
}

/// Requests with these results of the comparison.
fn counted(gwd: &Process, result: &str) -> f64 {
    let label = format!("result=\"{result}\"");
    gwd.metric("gwd_release_shadow_total", &[&label])
}

/// Differences of a comparison that are not 0.
fn differences(comparison: &Value) -> Vec<(&str, u64)> {
    let all = comparison["differences"].as_object().unwrap().iter();
    let counts = all.map(|(kind, count)| (kind.as_str(), count.as_u64().unwrap()));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Two versions that differ in each way that a comparison finds.
fn different(main: &Upstream, other: &Upstream) -> [Shop; 2] {
    let (routed, moved) = (op("GET", "/items/{id}"), op("GET", "/moved"));
    let (guarded, edited) = (op("GET", "/guarded/{id}"), op("GET", "/edited"));
    let gone = op("GET", "/gone");
    let ops = |ops: &[&Op]| ops.iter().map(|op| (*op).clone()).collect();
    let mut base = shop(
        main.address,
        ops(&[&routed, &moved, &guarded, &edited, &gone]),
    );
    let mut candidate = base.clone();
    candidate.ops = ops(&[&routed, &op("GET", "/items/new")]);
    candidate.ops.push(moved.upstream("other"));
    candidate.ops.push(guarded.secured("key"));
    candidate.ops.push(edited.policy("edit"));
    for shop in [&mut base, &mut candidate] {
        shop.expose_bundle = true;
        shop.upstreams.push(service("other", &[other.address]));
        shop.policies.push(edits("edit"));
    }
    [base, candidate]
}

#[test]
fn differences_are_counted_and_the_base_answers() {
    let (main, other) = (Upstream::saying("main"), Upstream::saying("other"));
    let versions = different(&main, &other).map(|shop| shop.gateway());
    let split = shadowing(versions, ALL);
    let gwd = begun(&split);
    let paths = [
        "/items/7",
        "/items/new",
        "/moved",
        "/guarded/s3cret?token=s3cret",
        "/edited",
        "/gone",
        "/guarded/s3cret?token=s3cret",
    ];
    for path in paths {
        let answer = fetch(gwd.public(), "GET", path, "x-user: s3cret\r\n");
        assert_eq!((answer.status, answer.text()), (200, "main"), "{path}");
        assert_eq!(answer.field("x-gateway-bundle"), [split.base.short()]);
    }
    let comparison = compared(&gwd, 7);
    assert_eq!(comparison["equal"], 1, "{comparison:#}");
    let expected = [
        ("decision", 2),
        ("operation", 2),
        ("request", 1),
        ("upstream", 1),
    ];
    assert_eq!(differences(&comparison), expected);
    assert_eq!(comparison["undetermined"], 0);
    let most = &comparison["samples"][0];
    let expected = json!({
        "kind": "decision", "method": "GET", "path": "/guarded/{id}", "count": 2, "changed": [],
        "base": "GET shop:/guarded/{id}: forwarded to main",
        "candidate": "GET shop:/guarded/{id}: refused with 401 credential_missing",
    });
    assert_eq!(*most, expected);
    let samples = comparison["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 5);
    let changed = samples.iter().find(|sample| sample["kind"] == "request");
    assert_eq!(changed.unwrap()["changed"], json!(["field x-edge"]));
    assert!(!comparison.to_string().contains("s3cret"), "{comparison:#}");
    // The metric has the same numbers, and the candidate had no effect.
    assert!((counted(&gwd, "operation") - 2.0).abs() < f64::EPSILON);
    assert_eq!(other.seen().len(), 0);
    assert!(
        main.seen()
            .iter()
            .all(|seen| seen.field("x-edge").is_empty())
    );

    let text = status_text(&split, &gwd);
    for part in [
        "step 1 of 3, 100% of the nodes only compare the decisions of",
        "7 requests: 1 equal, 6 different (decision 2, operation 2, request 1, upstream 1)",
        "2 x decision: GET /guarded/{id}: base GET shop:/guarded/{id}: forwarded to main;",
        "; differs in field x-edge",
    ] {
        assert!(text.contains(part), "`{part}` in {text}");
    }
}

/// Output of `gwd status`.
fn status_text(split: &Split, gwd: &Process) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwd"));
    command.args(["status", "--admin", &gwd.admin.to_string()]);
    command
        .arg("--admin-token-file")
        .arg(split.world.path("token"));
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn limits_of_the_candidate_count_nothing() {
    let main = Upstream::saying("main");
    let mut base = shop(main.address, vec![op("GET", "/a")]);
    base.policies.push(rate_limit("few", 2));
    let mut candidate = base.clone();
    candidate.ops = vec![op("GET", "/a").policy("few")];
    let split = shadowing([base.gateway(), candidate.gateway()], ALL);
    let gwd = begun(&split);
    for _ in 0..5 {
        assert_eq!(get(gwd.public(), "/a").status, 200);
    }
    let comparison = compared(&gwd, 5);
    assert_eq!(comparison["equal"], 5, "{comparison:#}");
    assert_eq!(comparison["undetermined_steps"], json!({"rate_limit": 5}));
    split.publish(RecordKind::Pin, None);
    let status = notify(&gwd);
    assert_eq!(status["bundle"], split.candidate.to_string());
    let statuses = [(); 3].map(|()| get(gwd.public(), "/a").status);
    assert_eq!(statuses, [200, 200, 429], "both permits were left");
}

#[test]
fn limits_of_both_versions_count_once() {
    let main = Upstream::saying("main");
    let limited = |path: &'static str| {
        let mut shop = shop(
            main.address,
            vec![op("GET", "/a").policy("few"), op("GET", path)],
        );
        shop.policies.push(rate_limit("few", 3));
        shop.gateway()
    };
    let split = shadowing([limited("/v1"), limited("/v2")], ALL);
    let gwd = begun(&split);
    let statuses = [(); 4].map(|()| get(gwd.public(), "/a").status);
    assert_eq!(statuses, [200, 200, 200, 429]);
    let comparison = compared(&gwd, 4);
    // The candidate's limit could refuse the last request, too.
    assert_eq!(
        (&comparison["equal"], &comparison["undetermined"]),
        (&json!(3), &json!(1))
    );
}

#[test]
fn other_services_are_not_asked() {
    let (main, identity) = (Upstream::saying("main"), Upstream::saying("yes"));
    let open = shop(main.address, vec![op("GET", "/asked"), op("GET", "/open")]);
    let asking = ASK.shop(&main, identity.address);
    let split = shadowing([open.gateway(), asking.gateway()], ALL);
    let gwd = begun(&split);
    for path in ["/asked", "/asked", "/open"] {
        assert_eq!(get(gwd.public(), path).status, 200);
    }
    let comparison = compared(&gwd, 3);
    assert_eq!(
        (&comparison["equal"], &comparison["undetermined"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(comparison["undetermined_steps"], json!({"forward_auth": 2}));
    assert_eq!(identity.seen().len(), 0);
}

#[test]
fn share_of_the_clients_is_compared() {
    let main = Upstream::saying("main");
    let versions = ["/v1", "/v2"].map(|path| shop(main.address, vec![op("GET", path)]).gateway());
    let split = shadowing(versions, 300_000);
    let gwd = begun(&split);
    assert_eq!(gwd.status()["rollout"]["shadow"], "30%");
    assert_eq!(gwd.status()["rollout"]["traffic"], "0%");
    let users = 60;
    let ask_all = |gwd: &Process| {
        for user in 0..users {
            let fields = format!("x-user: user-{user}\r\n");
            let answer = fetch(gwd.public(), "GET", "/v1", &fields);
            assert_eq!(answer.status, 200);
        }
    };
    ask_all(&gwd);
    let belongs = (0..users).filter(|user| split.belongs(*user, 300_000));
    let belongs = u64::try_from(belongs.count()).unwrap();
    assert!((1..u64::from(users)).contains(&belongs), "{belongs}");
    let comparison = compared(&gwd, belongs);
    assert_eq!(differences(&comparison), [("operation", belongs)]);
    // A restart compares the same clients, also without the store.
    gwd.kill();
    let (store, away) = (split.world.path("store"), split.world.path("away"));
    std::fs::rename(&store, &away).unwrap();
    let gwd = split.world.start();
    assert_compares(&split, &gwd.status());
    ask_all(&gwd);
    let after = compared(&gwd, belongs);
    assert_eq!(after, comparison);
    std::fs::rename(&away, &store).unwrap();
}

#[test]
fn later_steps_serve_and_do_not_compare() {
    let main = Upstream::saying("main");
    let versions = ["/v1", "/v2"].map(|path| shop(main.address, vec![op("GET", path)]).gateway());
    let mut split = shadowing(versions, ALL);
    split.rollout.guard = Some(Guard {
        errors_ppm: Some(10_000),
        for_ms: 60_000,
        p99_ppm: None,
        refusals_ppm: None,
        requests: 50,
        webhook: None,
    });
    let gwd = begun(&split);
    assert_eq!(gwd.status()["rollout"]["guard"], Value::Null);
    split.publish(RecordKind::Pin, split.rollout.next());
    let status = notify(&gwd);
    split.assert_serves_two(&status);
    assert_eq!(status["rollout"]["comparison"], Value::Null);
    assert_eq!(status["rollout"]["guard"]["result"], "testing");
    split.world.release_with(&split.versions[0], |draft| {
        draft.kind = RecordKind::Rollback;
    });
    let status = notify(&gwd);
    assert_eq!(status["rollout"], Value::Null);
    for _ in 0..3 {
        assert_eq!(get(gwd.public(), "/v1").status, 200);
    }
    let results = ["equal", "operation", "skipped"].map(|result| counted(&gwd, result));
    assert!(results.iter().all(|count| *count < 0.5), "{results:?}");
}

#[test]
fn address_of_the_candidate_stays_closed() {
    let main = Upstream::saying("main");
    let base = shop(main.address, vec![op("GET", "/a")]);
    let mut candidate = base.clone();
    let (socket, address) = reserved();
    drop(socket);
    candidate.more_listeners = vec![listener("second", &address.to_string())];
    candidate.mount.listeners = vec!["public".into(), "second".into()];
    let split = shadowing([base.gateway(), candidate.gateway()], ALL);
    let gwd = begun(&split);
    assert_eq!(gwd.status()["listeners"]["second"], Value::Null);
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(get(gwd.public(), "/a").status, 200);
    assert_eq!(compared(&gwd, 1)["equal"], 1);
    split.publish(RecordKind::Pin, None);
    notify(&gwd);
    assert_eq!(get(address, "/a").status, 200);
}

#[test]
fn address_that_the_candidate_leaves_is_a_difference() {
    let main = Upstream::saying("main");
    let mut base = shop(main.address, vec![op("GET", "/a")]);
    let candidate = base.gateway();
    base.more_listeners = vec![listener("first", "127.0.0.1:0")];
    base.mount.listeners = vec!["public".into(), "first".into()];
    let split = shadowing([base.gateway(), candidate], ALL);
    let gwd = begun(&split);
    let first = gwd.status()["listeners"]["first"].clone();
    let first = first.as_str().unwrap().parse().unwrap();
    assert_eq!(get(first, "/a").status, 200);
    let comparison = compared(&gwd, 1);
    assert_eq!(differences(&comparison), [("operation", 1)]);
    let candidate = &comparison["samples"][0]["candidate"];
    assert_eq!(candidate, "no operation: no listener at this address");
}

#[test]
fn refusals_of_the_edge_are_compared() {
    let main = Upstream::saying("main");
    let base = shop(main.address, vec![op("GET", "/a")]);
    let mut candidate = base.clone();
    candidate.listener.limits.headers = 3;
    let split = shadowing([base.gateway(), candidate.gateway()], ALL);
    let gwd = begun(&split);
    let many: String = (0..5).map(|at| format!("x-{at}: 1\r\n")).collect();
    assert_eq!(fetch(gwd.public(), "GET", "/a", &many).status, 200);
    assert_eq!(get(gwd.public(), "/%00").status, 400);
    let comparison = compared(&gwd, 2);
    assert_eq!(
        (&comparison["equal"], &differences(&comparison)[..]),
        (&json!(1), &[("operation", 1)][..])
    );
}

#[test]
fn requests_over_http2_are_compared() {
    let (main, other) = (Upstream::saying("main"), Upstream::saying("other"));
    let versions = different(&main, &other).map(|shop| http2(shop).gateway());
    let split = shadowing(versions, ALL);
    let gwd = begun(&split);
    let mut client = Http2::connect(gwd.public());
    for path in ["/items/7", "/moved", "/edited"] {
        let whole = client.get(path);
        assert_eq!((whole.head.status().as_u16(), whole.text()), (200, "main"));
    }
    let comparison = compared(&gwd, 3);
    assert_eq!(comparison["equal"], 1, "{comparison:#}");
    assert_eq!(differences(&comparison), [("request", 1), ("upstream", 1)]);
}

#[test]
fn revoked_credential_is_refused_by_both() {
    let main = Upstream::saying("main");
    let ops = |path| vec![op("GET", "/a").secured("key"), op("GET", path)];
    let versions = ["/v1", "/v2"].map(|path| shop(main.address, ops(path)).gateway());
    let split = shadowing(versions, ALL);
    let gwd = begun(&split);
    let ask = || fetch(gwd.public(), "GET", "/a", "x-key: letmein\r\n").status;
    assert_eq!(ask(), 200);
    let credential = bundle::digest::Digest::of(b"letmein");
    split.world.revoke(Revocation {
        credentials: [credential].into(),
        ..Revocation::default()
    });
    assert_compares(&split, &notify(&gwd));
    assert_eq!(ask(), 401);
    assert_eq!(compared(&gwd, 2)["equal"], 2);
}

#[test]
fn flood_of_requests_is_answered_and_counted() {
    let main = Upstream::saying("main");
    let versions = ["/v1", "/v2"].map(|path| {
        let ops = vec![op("GET", "/a").policy("closed"), op("GET", path)];
        let mut shop = shop(main.address, ops);
        shop.policies.push(closed("closed"));
        shop.gateway()
    });
    let split = shadowing(versions, ALL);
    let gwd = begun(&split);
    let mut client = Client::connect(gwd.public());
    let requests = 2_000;
    for _ in 0..requests / 20 {
        client.send(&"GET /a HTTP/1.1\r\nhost: shop\r\n\r\n".repeat(20));
        for _ in 0..20 {
            assert_eq!(client.answer().status, 503);
        }
    }
    let comparison = || notify(&gwd)["rollout"]["comparison"].clone();
    eventually("each request is compared or skipped", || {
        comparison()["requests"] == requests
    });
    let found = comparison();
    let [equal, skipped] = ["equal", "skipped"].map(|key| found[key].as_u64().unwrap());
    assert_eq!(equal + skipped, requests, "{found:#}");
    assert!(equal > 0, "{found:#}");
}
