//! Rollback on one node: bundles that a hold blocks, and targets of rollbacks (release.md §6).

use bundle::digest::Digest;
use bundle::statement::predicate::RecordKind;
use serde_json::{Value, json};

use crate::fixture::*;
use crate::world::{Process, World, numbered};

fn rollback(gwd: &Process, body: &str) -> Value {
    gwd.ask("POST", "/v1/rollback", body).json()
}

fn notify(gwd: &Process) -> Value {
    gwd.ask("POST", "/v1/notify", "").json()
}

/// Makes three releases that all ran. Returns the process, and each bundle with its build
/// statement.
fn three(world: &World, upstream: &Upstream) -> (Process, [(Digest, Digest); 3]) {
    let put = [1, 2, 3].map(|number| world.put(&numbered(upstream, number), &[], "ci"));
    let point = |(bundle, evidence)| world.point(bundle, evidence, RecordKind::Release, "rita");
    point(put[0]);
    let gwd = world.start();
    for bundle in &put[1..] {
        point(*bundle);
        gwd.wait_for(&bundle.0);
    }
    (gwd, put)
}

#[test]
fn sticky_hold_without_its_secret_survives_a_restart() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secret = world.path("secrets").canonicalize().unwrap().join("token");
    std::fs::write(&secret, "hunter2").unwrap();
    let mut edited = shop(upstream.address, vec![op("GET", "/a").policy("edits")]);
    edited.policies = vec![edits_from("edits", &secret)];
    let one = world.release(&edited.gateway());
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    assert_eq!(
        rollback(&gwd, "{\"sticky\": true}")["bundle"],
        one.to_string()
    );
    gwd.kill();

    std::fs::remove_file(&secret).unwrap();
    let gwd = world.start();
    let status = notify(&gwd);
    assert_eq!(
        (&status["bundle"], &status["ready"]),
        (&Value::Null, &json!(false))
    );
    assert_eq!(status["hold"]["to"], one.to_string());
    assert_eq!(status["refused"][0]["bundle"], one.to_string());
    assert_eq!(status["last_error"]["reason"], "secret-missing");
    assert_eq!(gwd.open("/readyz").status, 503);
    // A new release is not activated either, because the hold is sticky.
    world.release(&numbered(&upstream, 3));
    assert_eq!(notify(&gwd)["bundle"], Value::Null);
    assert_eq!(gwd.status()["hold"]["sticky"], true);
    std::fs::write(&secret, "hunter2").unwrap();
    gwd.wait_for(&one);
    let status = gwd.status();
    assert_eq!(status["hold"]["to"], one.to_string(), "still held");
    assert_eq!(status["refused"], json!([]));
    gwd.kill();

    // An error that waiting cannot fix ends the hold, and the audit log reports it.
    let manifest = world.path("state/blobs/sha256").join(one.hex());
    std::fs::write(&manifest, "damaged").unwrap();
    let gwd = world.start();
    assert_eq!(gwd.status()["serial"], 3, "the head runs");
    assert_eq!(gwd.status()["hold"], Value::Null);
    eventually("the end of the hold is logged", || {
        let logged = gwd.logged("the hold has ended");
        logged.is_some_and(|line| line["why"] == "bad-digest")
    });
}

#[test]
fn hold_survives_a_busy_port_and_yields_to_a_new_head() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let mut first = shop(upstream.address, vec![op("GET", "/a")]);
    first.listener = listener("public", &address.to_string());
    let one = world.release(&first.gateway());
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    assert_eq!(rollback(&gwd, "")["bundle"], one.to_string());
    gwd.kill();

    let taken = std::net::TcpListener::bind(address).unwrap();
    let gwd = world.start();
    let status = notify(&gwd);
    assert_eq!(status["bundle"], Value::Null, "the bundle that was left");
    assert_eq!(status["last_error"]["reason"], "port-busy");
    assert_eq!(status["hold"]["from"], two.to_string());
    // Without `sticky`, the node may activate a head that is newer than the bundle from which it
    // rolled back.
    let three = world.release(&numbered(&upstream, 3));
    gwd.wait_for(&three);
    assert_eq!(gwd.status()["hold"], Value::Null);
    drop(taken);
}

#[test]
fn a_hold_ends_only_when_another_bundle_runs() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, one, two) = world.two_versions(&upstream);
    assert_eq!(rollback(&gwd, "")["bundle"], one.to_string());
    world.release_as(&numbered(&upstream, 3), &["policy:teleport"], "rita", "ci");
    let status = notify(&gwd);
    assert_eq!(status["last_error"]["reason"], "needs:policy:teleport");
    assert_eq!(status["bundle"], one.to_string());
    assert_eq!(status["hold"]["from"], two.to_string(), "the hold stays");
    gwd.kill();
    let gwd = world.start();
    assert!(gwd.runs(&one));
    assert_eq!(gwd.status()["hold"]["from"], two.to_string());
}

#[test]
fn two_rollbacks_on_a_node_go_further_back() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, [one, two, three]) = three(&world, &upstream);
    assert_eq!(gwd.status()["previous"], two.0.to_string());
    assert_eq!(rollback(&gwd, "")["bundle"], two.0.to_string());
    assert_eq!(gwd.status()["previous"], one.0.to_string());
    assert_eq!(rollback(&gwd, "")["bundle"], one.0.to_string());
    let status = gwd.status();
    assert_eq!(
        (&status["previous"], &status["previous_ready"]),
        (&Value::Null, &Value::Null)
    );
    let refused = gwd.ask("POST", "/v1/rollback", "");
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["error"]["code"], "nothing-before");
    assert!(gwd.runs(&one.0), "not the release that was left");
    gwd.kill();
    // The state survives a restart, also when the channel's head runs again.
    let gwd = world.start();
    assert_eq!(rollback(&gwd, "")["error"]["code"], "nothing-before");
    let resumed = gwd.ask("POST", "/v1/resume", "").json();
    assert_eq!(resumed["bundle"], three.0.to_string());
    assert_eq!(resumed["previous"], one.0.to_string());
}

#[test]
fn rollback_after_the_channels_goes_further_back() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, [one, two, _]) = three(&world, &upstream);
    world.point(two.0, two.1, RecordKind::Rollback, "rita");
    gwd.wait_for(&two.0);
    assert_eq!(gwd.status()["previous"], one.0.to_string());
    assert_eq!(rollback(&gwd, "")["bundle"], one.0.to_string());
}

#[test]
fn bundle_rolled_back_by_the_channel_is_no_target() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, [_, two, _]) = three(&world, &upstream);
    gwd.kill();
    world.point(two.0, two.1, RecordKind::Rollback, "rita");
    let four = world.release(&numbered(&upstream, 4));
    let gwd = world.start();
    assert!(gwd.runs(&four));
    assert_eq!(gwd.status()["previous"], two.0.to_string());
    assert_eq!(rollback(&gwd, "")["bundle"], two.0.to_string());
}

#[test]
fn unwritable_record_prevents_a_switch_in_memory() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (one, evidence) = world.put(&numbered(&upstream, 1), &[], "ci");
    world.point(one, evidence, RecordKind::Release, "rita");
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    let (blobs, aside) = (world.path("state/blobs"), world.path("aside"));
    std::fs::rename(&blobs, &aside).unwrap();
    std::fs::write(&blobs, "no folder").unwrap();
    world.point(one, evidence, RecordKind::Rollback, "rita");
    let status = notify(&gwd);
    assert_eq!(status["last_error"]["reason"], "state-not-durable");
    assert_eq!(status["bundle"], two.to_string());
    assert!(
        status["resident"]
            .as_array()
            .unwrap()
            .contains(&json!(one.to_string())),
        "it stays ready"
    );
    std::fs::remove_file(&blobs).unwrap();
    std::fs::rename(&aside, &blobs).unwrap();
    gwd.wait_for(&one);
    gwd.kill();
    // Accepted records are stored, so a restart works without the store.
    std::fs::rename(world.path("store"), world.path("elsewhere")).unwrap();
    let gwd = world.start();
    assert!(gwd.runs(&one));
    assert_eq!(gwd.status()["head"]["serial"], 3);
}
