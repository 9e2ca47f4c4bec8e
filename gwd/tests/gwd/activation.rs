//! Bundles that may run: holds, revoked and withdrawn bundles, expired records (release.md §6).

use bundle::digest::Digest;
use bundle::publish::Revocation;
use bundle::statement::predicate::RecordKind;
use serde_json::json;

use crate::fixture::*;
use crate::world::{Process, World, now, numbered};

fn revoke(world: &World, bundle: Digest) {
    world.revoke(Revocation {
        bundles: [bundle].into(),
        ..Revocation::default()
    });
}

fn sticky(gwd: &Process, bundle: Digest) {
    let body = format!("{{\"bundle\": \"{bundle}\", \"sticky\": true}}");
    let answer = gwd.ask("POST", "/v1/activate", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Returns true if the state folder has the bundle's manifest.
fn on_disk(world: &World, bundle: &Digest) -> bool {
    let path = world.path("state/blobs/sha256").join(bundle.hex());
    path.exists()
}

fn notify(gwd: &Process) -> serde_json::Value {
    gwd.ask("POST", "/v1/notify", "").json()
}

#[test]
fn revoked_bundle_is_replaced_despite_a_sticky_hold() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, one, two) = world.two_versions(&upstream);
    sticky(&gwd, one);
    revoke(&world, one);
    gwd.wait_for(&two);
    let status = gwd.status();
    assert_eq!(
        (&status["hold"], &status["alarms"]),
        (&json!(null), &json!([]))
    );
    assert_eq!(status["resident"], json!([two.to_string()]), "one is gone");
    eventually("bundle one is deleted", || !on_disk(&world, &one));
    assert!(on_disk(&world, &two));
    let refused = gwd.ask("POST", "/v1/rollback", "");
    assert_eq!(refused.json()["error"]["code"], "revoked");
    gwd.kill();
    assert!(world.start().runs(&two), "never started again");
}

#[test]
fn revoked_head_serves_with_an_alarm_until_replaced() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    revoke(&world, one);
    eventually("the alarm `running-revoked` is raised", || {
        gwd.status()["alarms"] == json!(["running-revoked"])
    });
    assert_eq!(gwd.metric("gwd_alarm", &["running-revoked"]), 1.0);
    assert_eq!(get(gwd.public(), "/v1").status, 200);
    assert!(on_disk(&world, &one), "not while it runs");
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    assert_eq!(gwd.status()["alarms"], json!([]));
    assert_eq!(gwd.status()["resident"], json!([two.to_string()]));
    eventually("bundle one is deleted", || !on_disk(&world, &one));
}

#[test]
fn withdrawn_bundle_is_deleted_until_listed_no_more() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (one, evidence) = world.put(&numbered(&upstream, 1), &[], "ci");
    world.point(one, evidence, RecordKind::Release, "rita");
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    let three = world.release_with(&numbered(&upstream, 3), |draft| {
        draft.withdraw = [one, two].into();
    });
    gwd.wait_for(&three);
    assert_eq!(gwd.status()["resident"], json!([three.to_string()]));
    eventually("bundles one and two are deleted", || {
        !on_disk(&world, &one) && !on_disk(&world, &two)
    });
    let activate = |gwd: &Process| {
        let body = format!("{{\"bundle\": \"{one}\"}}");
        gwd.ask("POST", "/v1/activate", &body).json()["error"]["code"].clone()
    };
    assert_eq!(activate(&gwd), "withdrawn");
    gwd.kill();
    // The withdrawal is still known after a restart without the store.
    std::fs::rename(world.path("store"), world.path("elsewhere")).unwrap();
    let gwd = world.start();
    assert!(gwd.runs(&three));
    assert_eq!(activate(&gwd), "withdrawn");
    std::fs::rename(world.path("elsewhere"), world.path("store")).unwrap();
    world.point(one, evidence, RecordKind::Rollback, "rita");
    gwd.wait_for(&one);
    assert!(on_disk(&world, &one));
}

#[test]
fn withdrawn_bundle_on_hold_is_replaced_by_the_head() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, one, _) = world.two_versions(&upstream);
    sticky(&gwd, one);
    let three = world.release_with(&numbered(&upstream, 3), |draft| {
        draft.withdraw = [one].into();
    });
    gwd.wait_for(&three);
    assert_eq!(gwd.status()["hold"], json!(null));
    eventually("bundle one is deleted", || !on_disk(&world, &one));
}

#[test]
fn hold_ends_when_the_channel_names_its_bundle() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (one, evidence) = world.put(&numbered(&upstream, 1), &[], "ci");
    world.point(one, evidence, RecordKind::Release, "rita");
    let gwd = world.start();
    let (two, evidence_of_two) = world.put(&numbered(&upstream, 2), &[], "ci");
    world.point(two, evidence_of_two, RecordKind::Release, "rita");
    gwd.wait_for(&two);
    assert_eq!(gwd.ask("POST", "/v1/rollback", "").status, 200);
    assert_eq!(gwd.status()["hold"]["from"], two.to_string());
    world.point(one, evidence, RecordKind::Rollback, "rita");
    eventually("the record is accepted", || gwd.status()["serial"] == 3);
    assert_eq!(gwd.status()["hold"], json!(null));
    world.point(two, evidence_of_two, RecordKind::Release, "rita");
    gwd.wait_for(&two);
}

#[test]
fn new_head_waits_for_resume_and_is_reported() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, one, _) = world.two_versions(&upstream);
    sticky(&gwd, one);
    let three = world.release(&numbered(&upstream, 3));
    assert_eq!(notify(&gwd)["head"]["bundle"], three.to_string());
    assert!(gwd.runs(&one));
    eventually("the hold is logged", || {
        gwd.logged("this node is on hold").is_some()
    });
    gwd.ask("POST", "/v1/resume", "");
    gwd.wait_for(&three);
}

#[test]
fn an_expired_record_is_an_alarm_and_never_a_stop() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let clock = world.path("clock");
    let set = |seconds: u64| std::fs::write(&clock, seconds.to_string()).unwrap();
    let today = now().unix_s();
    set(today);
    let one = world.release_with(&numbered(&upstream, 1), |draft| {
        draft.expires = Some(draft.created.plus_s(3_600));
    });
    let mut command = world.trusted();
    command.env("GWD_TEST_CLOCK", &clock);
    let gwd = Process::spawn(&mut command);
    assert_eq!(gwd.status()["alarms"], json!([]));
    // The record was created some seconds after `today`, on a busy machine.
    set(today + 3_800);
    eventually("the alarm of the expired record", || {
        notify(&gwd)["alarms"] == json!(["record-expired"])
    });
    assert_eq!(get(gwd.public(), "/v1").status, 200);
    gwd.kill();
    let gwd = Process::spawn(&mut command);
    assert!(gwd.runs(&one), "what was accepted stays accepted");
    assert_eq!(gwd.status()["alarms"], json!(["record-expired"]));
    let two = world.release_with(&numbered(&upstream, 2), |draft| {
        draft.created = draft.created.plus_s(3_800);
    });
    gwd.wait_for(&two);
    assert_eq!(gwd.status()["alarms"], json!([]));
    // A record that has expired before the gateway first reads it is not accepted.
    world.release_with(&numbered(&upstream, 3), |draft| {
        draft.expires = Some(draft.created);
    });
    eventually("the record is refused", || {
        notify(&gwd)["last_error"]["reason"] == "expired"
    });
    assert!(gwd.runs(&two));
}

#[test]
fn clock_at_1970_uses_records_and_a_fast_one_is_safe() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let clock = world.path("clock");
    let set = |seconds: u64| std::fs::write(&clock, seconds.to_string()).unwrap();
    let mut command = world.trusted();
    command.env("GWD_TEST_CLOCK", &clock);
    set(now().unix_s());
    let one = world.release(&numbered(&upstream, 1));
    let gwd = Process::spawn(&mut command);
    assert!(gwd.runs(&one));
    // Set the clock back. gwd then assumes the time of the newest accepted record.
    set(0);
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    gwd.kill();
    let gwd = Process::spawn(&mut command);
    assert!(gwd.runs(&two), "{}", gwd.status());
    // A record more than five minutes in the future is refused until its time comes.
    let three = world.release_with(&numbered(&upstream, 3), |draft| {
        draft.created = draft.created.plus_s(4_000);
    });
    eventually("the record is refused", || {
        notify(&gwd)["last_error"]["reason"] == "from-the-future"
    });
    assert!(gwd.runs(&two));
    set(now().unix_s() + 4_000);
    gwd.wait_for(&three);
    // Set the clock thirty years ahead.
    set(now().unix_s() + 1_000_000_000);
    let four = world.release_with(&numbered(&upstream, 4), |draft| {
        draft.created = draft.created.plus_s(4_001);
    });
    gwd.wait_for(&four);
    gwd.kill();
    assert!(Process::spawn(&mut command).runs(&four));
}

#[test]
fn transient_refusal_of_the_head_is_retried() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let mut busy = shop(upstream.address, vec![op("GET", "/a")]);
    busy.listener = listener("public", &taken.local_addr().unwrap().to_string());
    world.release(&busy.gateway());
    eventually("the bundle is tried again", || {
        gwd.status()["refused"][0]["tries"].as_u64() >= Some(2)
    });
    assert_eq!(gwd.status()["last_error"]["reason"], "port-busy");
    assert!(gwd.runs(&one));
    let three = world.release(&numbered(&upstream, 3));
    gwd.wait_for(&three);
    assert_eq!(
        gwd.status()["refused"],
        json!([]),
        "no request waits for it"
    );
}

#[test]
fn id_prefix_names_a_bundle_if_it_is_unique() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, one, two) = world.two_versions(&upstream);
    let ask = |path: &str, key: &str, text: &str| {
        let body = json!({key: text}).to_string();
        gwd.ask("POST", path, &body)
    };
    let answer = ask("/v1/activate", "bundle", &one.hex()[..8]);
    assert_eq!(
        answer.json()["bundle"],
        one.to_string(),
        "{}",
        answer.text()
    );
    let answer = ask(
        "/v1/rollback",
        "bundle",
        &format!("sha256:{}", &two.hex()[..12]),
    );
    assert_eq!(answer.json()["bundle"], two.to_string());
    let absent = Digest::of(b"nobody").hex();
    let none = ask("/v1/activate", "bundle", &absent[..16]);
    assert_eq!(
        (none.status, &none.json()["error"]["code"]),
        (404, &json!("bundle-not-here"))
    );
    let short = ask("/v1/activate", "bundle", &one.hex()[..3]);
    assert_eq!(short.status, 400, "{}", short.text());
    // Make bundles until two ids have the same first four hex digits (16 bits).
    let mut ids: Vec<Digest> = vec![one, two];
    let alike = |ids: &[Digest]| {
        let mut prefixes: Vec<String> = ids.iter().map(|id| id.hex()[..4].to_owned()).collect();
        prefixes.sort();
        prefixes
            .windows(2)
            .find(|w| w[0] == w[1])
            .map(|w| w[0].clone())
    };
    let mut wait_ms = 0;
    let (mut first, mut second) = (None, None);
    while first.is_none() {
        wait_ms += 1;
        let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
        shop.upstreams[0].connect_timeout_ms = 10_000 + wait_ms;
        let id = World::assemble(&shop.gateway(), &[]).id();
        if let Some(at) = ids
            .iter()
            .position(|known| known.hex()[..4] == id.hex()[..4])
            && at >= 2
        {
            (first, second) = (Some(at as u64 - 1), Some(wait_ms));
        }
        ids.push(id);
    }
    assert!(alike(&ids).is_some());
    for wait_ms in [first.unwrap(), second.unwrap()] {
        let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
        shop.upstreams[0].connect_timeout_ms = 10_000 + wait_ms;
        let id = world.release(&shop.gateway());
        gwd.wait_for(&id);
    }
    let prefix = gwd.status()["bundle"].as_str().unwrap()[7..11].to_owned();
    let ambiguous = ask("/v1/activate", "bundle", &prefix);
    assert_eq!(
        (ambiguous.status, &ambiguous.json()["error"]["code"]),
        (409, &json!("ambiguous"))
    );
}

#[test]
fn bundle_of_an_older_gwc_is_refused_with_help() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let gwd = world.start();
    let gateway = numbered(&upstream, 1);
    // Encoded limits of the upstream: with the field `response_header_bytes`, and without it, as
    // older programs wrote them.
    let now = b"\xa4\x00\x19\x04\x00\x01\x19\x04\x00\x02\x19\x04\x00\x04\x1a\x00\x01\x00\x00";
    let former = b"\xa3\x00\x19\x04\x00\x01\x19\x04\x00\x02\x19\x04\x00";
    let shared = bundle::codec::encode(&gateway.shared);
    let at = shared.windows(now.len()).position(|bytes| bytes == now);
    let (before, behind) = shared.split_at(at.expect("the limits"));
    let shared = [before, former, &behind[now.len()..]].concat();
    let older = World::assemble_with(&gateway, &[], shared);
    let (id, evidence) = World::put_bundle(&world.store, &older, "ci");
    world.point(id, evidence, RecordKind::Release, "rita");
    eventually("the bundle is refused", || {
        let status = gwd.status().to_string();
        status.contains("malformed") && status.contains("build and apply the bundle again")
    });
    let newer = world.release(&gateway);
    gwd.wait_for(&newer);
}
