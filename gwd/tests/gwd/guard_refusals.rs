//! Guards of progressive releases: refusals of the gateway itself (`release.guard.refusals`).

use bundle::ir;
use bundle::statement::predicate::Guard;
use serde_json::json;

use crate::fixture::*;
use crate::guards::{BEFORE, Load, Stage, guard};
use crate::traffic_steps::{Split, until_result_from};
use crate::world::numbered;

const REQUEST: &str = "GET /a HTTP/1.1\r\nhost: shop\r\n\r\n";

fn refusals(for_ms: u64) -> Guard {
    Guard {
        errors_ppm: None,
        for_ms,
        p99_ppm: None,
        refusals_ppm: Some(50_000),
        ..guard()
    }
}

/// Version 2 without the path `/a`: the gateway refuses its requests with 404.
fn without_path(upstream: &Upstream) -> ir::Gateway {
    shop(upstream.address, vec![op("GET", "/v2")]).gateway()
}

fn refusing_stage() -> Stage {
    let two = Upstream::saying("ok");
    let next = without_path(&two);
    let both = (Upstream::saying("ok"), two);
    Stage::releasing(both, next, refusals(600_000), &[])
}

/// Load of clients with these addresses.
fn load(stage: &Stage, addresses: &[u8]) -> Load {
    let public = stage.gwd.public();
    let clients = addresses.iter().map(|last| {
        let source = [127, 0, 0, *last];
        move || Client::connect_from(source, public)
    });
    Load::connecting(REQUEST, clients)
}

#[test]
fn release_that_refuses_everyone_returns() {
    let stage = refusing_stage();
    let load = load(&stage, &[1, 2, 3, 4]);
    load.wait_good(BEFORE);
    stage.begin();
    stage.gwd.wait_for(&stage.base);
    load.wait_good(1);
    let status = stage.gwd.status();
    assert_eq!(status["hold"]["guard"], "refusals");
    assert_eq!(status["alarms"], json!(["release-guard-failed"]));
    let message = "the guard of a release failed";
    eventually(message, || stage.gwd.logged(message).is_some());
    let line = stage.gwd.logged(message).unwrap();
    let (before, after) = (&line["refusals"]["before"], &line["refusals"]["after"]);
    let count = |value: &serde_json::Value| value.as_u64().unwrap();
    assert_eq!(count(&before["events"]), 0, "{line:#}");
    assert!(count(&after["requests"]) >= 50, "{line:#}");
    let reason = &line["refusals"]["reasons"]["no_route"];
    assert_eq!(count(&reason["before"]), 0, "{line:#}");
    // The busiest client counts in the reasons only.
    assert!(
        count(&reason["after"]) > count(&after["events"]),
        "{line:#}"
    );
    drop(load);
}

#[test]
fn refusals_of_one_client_end_no_release() {
    let stage = refusing_stage();
    let load = load(&stage, &[1]);
    load.wait_good(BEFORE);
    stage.begin();
    load.wait_bad(BEFORE);
    let seen = || stage.guard()["requests"].as_u64().unwrap_or(0);
    eventually("the guard has looked", || seen() >= 200);
    assert_eq!(stage.guard()["result"], "testing");
    assert_eq!(stage.guard()["refusals"]["after"]["events"], 0);
    assert!(stage.gwd.runs(&stage.candidate));
    drop(load);
}

#[test]
fn refusing_candidate_gives_requests_to_the_base() {
    let upstream = Upstream::saying("ok");
    let mut next = shop(upstream.address, vec![op("GET", "/v2")]);
    next.expose_bundle = true;
    let split = Split::of(
        [numbered(&upstream, 1), next.gateway()],
        Some(refusals(600_000)),
    );
    let gwd = split.begun();
    let guard = until_result_from(&gwd, &[1, 2, 3, 4]);
    assert_eq!(guard["by"], "refusals", "{guard}");
    split.assert_serves_base_alone(&gwd, &gwd.status());
}
