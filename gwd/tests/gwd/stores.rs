//! Stores that vanish, return to an older state, or belong to another project. The running version
//! keeps serving (release.md §6).

use bundle::digest::Digest;
use bundle::publish;
use bundle::statement::predicate::{Pointer, RecordKind};
use bundle::store::{Chain, Store as _};
use serde_json::json;

use crate::fixture::*;
use crate::world::{Process, World, copy, draft, key, numbered};

fn reason(gwd: &Process) -> serde_json::Value {
    gwd.ask("POST", "/v1/notify", "").json()["last_error"]["reason"].clone()
}

#[test]
fn store_deleted_and_restored_is_followed_again() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    std::fs::rename(world.path("store"), world.path("aside")).unwrap();
    assert_eq!(reason(&gwd), "store-unreachable");
    assert_eq!(
        gwd.metric(
            "gwd_bundle_activations_total",
            &["failed", "store-unreachable"]
        ),
        1.0
    );
    eventually("the missing store is logged", || {
        gwd.logged("the channel cannot be followed").is_some()
    });
    assert!(gwd.runs(&one));
    assert_eq!(get(gwd.public(), "/v1").status, 200);
    // Replace the folder by a file, then restore it.
    std::fs::write(world.path("store"), "no folder").unwrap();
    assert_eq!(reason(&gwd), "store-unreachable");
    std::fs::remove_file(world.path("store")).unwrap();
    std::fs::rename(world.path("aside"), world.path("store")).unwrap();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    assert_eq!(gwd.status()["last_error"], json!(null));
}

#[test]
fn older_copy_of_the_store_is_a_replay() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    copy(&world.path("store"), &world.path("copy"));
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    std::fs::rename(world.path("store"), world.path("newest")).unwrap();
    std::fs::rename(world.path("copy"), world.path("store")).unwrap();
    assert_eq!(reason(&gwd), "replayed");
    let message = gwd.status()["last_error"]["message"].to_string();
    assert!(
        message.contains("serial 1 is not newer than the accepted serial 2"),
        "{message}"
    );
    assert_eq!(gwd.status()["alarms"], json!(["channel-replayed"]));
    assert!(gwd.runs(&two));
    std::fs::rename(world.path("store"), world.path("copy")).unwrap();
    std::fs::rename(world.path("newest"), world.path("store")).unwrap();
    assert_eq!(reason(&gwd), json!(null));
    assert_eq!(gwd.status()["alarms"], json!([]));
}

#[test]
fn store_of_another_project_with_same_keys_is_refused() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    std::fs::rename(world.path("store"), world.path("aside")).unwrap();
    let other = bundle::store::folder::Folder::create(&world.path("store")).unwrap();
    let (bundle, evidence) = World::put_into(&other, &numbered(&upstream, 2), &[], "ci");
    let mut draft = draft(bundle, evidence, RecordKind::Release, "rita");
    draft.project = "warehouse".parse().unwrap();
    publish::release(&other, None, draft, None, &[&key("rita")]).unwrap();
    assert_eq!(reason(&gwd), "wrong-project");
    assert!(gwd.runs(&one));
}

#[test]
fn chain_without_the_known_record_forks_until_merged() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    copy(&world.path("store"), &world.path("fork"));
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    let chain = Chain::Channel("prod".parse().unwrap());
    let lost: Digest = world.store.link(&chain, 2).unwrap().unwrap();
    // Another writer continues after the first record, in a copy of the store.
    std::fs::rename(world.path("store"), world.path("ours")).unwrap();
    std::fs::rename(world.path("fork"), world.path("store")).unwrap();
    world.release(&numbered(&upstream, 3));
    assert_eq!(reason(&gwd), "forked", "the same serial");
    world.release(&numbered(&upstream, 4));
    assert_eq!(
        reason(&gwd),
        "forked",
        "a chain that misses what was accepted"
    );
    assert!(gwd.runs(&two));
    let merged = world.release_with(&numbered(&upstream, 0), |draft| {
        draft.merges = [Pointer {
            digest: lost,
            serial: 2,
        }]
        .into();
    });
    gwd.wait_for(&merged);
    assert_eq!(gwd.status()["last_error"], json!(null));
}
