//! Channels whose records need approvals: a gateway refuses records without them, and keeps what it
//! accepted (release.md §5).

use std::path::PathBuf;

use bundle::digest::Digest;
use bundle::pending;
use bundle::statement::predicate::{Approve, Base, RecordKind, Role};
use bundle::statement::stored;
use bundle::store;
use bundle::trust::KeyState::Active;
use bundle::trust::Trust;
use bundle::verify::Unverified;
use serde_json::json;

use crate::fixture::*;
use crate::rollouts::{head, notify, runs_after_notify};
use crate::world::{World, key, now, numbered, trust_of};

const APPROVERS: [&str; 2] = ["ann", "bob"];

fn plan() -> Digest {
    Digest::of(b"plan")
}

fn keys() -> Trust {
    trust_of(&[
        ("ci", Role::Build, Active),
        ("rita", Role::Release, Active),
        ("rob", Role::Revoke, Active),
        ("ann", Role::Approve, Active),
        ("bob", Role::Approve, Active),
    ])
}

/// Requires approvals of two owners. `after`: newest record that needs none.
fn require_two(world: &mut World, after: Option<Digest>) {
    let prod = "prod".parse().unwrap();
    world.trust(|_| keys().with_approvals(prod, 2, after).unwrap());
}

/// Approves the next change of the channel, to this version, by these owners.
fn approve(world: &World, version: (&Upstream, u32), owners: &[&str]) -> Vec<Digest> {
    let (bundle, _) = world.put(&numbered(version.0, version.1), &[], "ci");
    let descriptor = Unverified::open(&world.store, bundle).unwrap().descriptor();
    let base = head(world);
    let owners = owners.iter().map(|owner| {
        let approve = Approve {
            project: "shop".parse().unwrap(),
            channel: "prod".parse().unwrap(),
            base: Some(Base {
                record: base.digest,
                serial: base.serial,
            }),
            plan: plan(),
            acked: [].into(),
            expires: now().plus_s(3_600),
        };
        pending::put(&world.store, &descriptor, approve, &[&key(owner)]).unwrap()
    });
    owners.collect()
}

/// Releases a version with these approvals in evidence.
fn release(world: &World, version: (&Upstream, u32), approvals: &[Digest]) -> Digest {
    let kind = RecordKind::Release;
    publish(world, version, kind, approvals)
}

fn publish(
    world: &World,
    (upstream, number): (&Upstream, u32),
    kind: RecordKind,
    approvals: &[Digest],
) -> Digest {
    world.release_with(&numbered(upstream, number), |draft| {
        draft.kind = kind;
        draft.plan = Some(plan());
        draft.evidence.extend(approvals);
    })
}

#[test]
fn record_needs_approvals_of_two_owners() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let first = head(&world).digest;
    require_two(&mut world, Some(first));
    let gwd = world.start();
    assert!(
        gwd.runs(&one),
        "a new gateway starts with the record of the rule"
    );

    for owners in [&[][..], &["ann"]] {
        let approvals = approve(&world, (&upstream, 2), owners);
        release(&world, (&upstream, 2), &approvals);
        let status = notify(&gwd);
        assert_eq!(status["bundle"], one.to_string(), "{status:#}");
        let error = &status["last_error"];
        assert_eq!(error["reason"], "approvals-missing", "{status:#}");
        let event = gwd.logged("the channel cannot be followed").unwrap();
        let advice = event["do"].as_str().unwrap();
        assert!(advice.contains("`gwc approve`"), "{advice}");
        assert_eq!(get(gwd.public(), "/v1").status, 200);
    }
    // A restart does not accept the refused record either.
    gwd.kill();
    let gwd = world.start();
    assert!(gwd.runs(&one));

    let approvals = approve(&world, (&upstream, 2), &APPROVERS);
    let two = release(&world, (&upstream, 2), &approvals);
    runs_after_notify(&gwd, &two);
    assert_eq!(gwd.status()["last_error"], json!(null));
    gwd.kill();
    // Restarts with the store, and without it.
    let gwd = world.start();
    assert!(gwd.runs(&two));
    gwd.kill();
    std::fs::rename(world.path("store"), world.path("away")).unwrap();
    assert!(world.start().runs(&two));
}

#[test]
fn rollback_of_the_channel_needs_no_new_approvals() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let first = head(&world).digest;
    require_two(&mut world, Some(first));
    let gwd = world.start();
    let approvals = approve(&world, (&upstream, 2), &APPROVERS);
    let two = release(&world, (&upstream, 2), &approvals);
    runs_after_notify(&gwd, &two);
    publish(&world, (&upstream, 1), RecordKind::Rollback, &[]);
    runs_after_notify(&gwd, &one);
    publish(&world, (&upstream, 2), RecordKind::Rollback, &approvals);
    runs_after_notify(&gwd, &two);
    // Neither kind brings a bundle that no accepted record has named.
    for kind in [RecordKind::Rollback, RecordKind::Pin] {
        publish(&world, (&upstream, 3), kind, &approvals);
        let status = notify(&gwd);
        assert_eq!(status["bundle"], two.to_string());
        assert_eq!(status["last_error"]["reason"], "approvals-missing");
    }
}

#[test]
fn new_rule_keeps_what_was_accepted() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    require_two(&mut world, None);
    eventually("the trust file is read again", || {
        let events = gwd.events();
        events.iter().any(|event| event["what"] == "trust")
    });
    let status = notify(&gwd);
    assert_eq!(status["bundle"], two.to_string());
    assert_eq!(status["alarms"], json!([]));
    gwd.kill();
    let gwd = world.start();
    assert!(gwd.runs(&two), "also after a restart");
    gwd.kill();
    // A gateway without state judges the record for the first time.
    std::fs::remove_dir_all(world.path("state")).unwrap();
    let ended = world.fails(&mut world.trusted());
    assert_eq!(ended.status.code(), Some(4));
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(stderr.contains("approvals-missing"), "{stderr}");
}

/// File of a statement's envelope in the store.
fn envelope_file(world: &World, statement: &Digest) -> PathBuf {
    let manifest = store::read(&world.store, statement, 1 << 20).unwrap();
    let layer = stored::layer(&manifest).unwrap();
    let blobs = world.path("store").join("blobs/sha256");
    blobs.join(layer.digest.hex())
}

#[test]
fn damaged_approval_is_refused_until_it_is_repaired() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let first = head(&world).digest;
    require_two(&mut world, Some(first));
    let gwd = world.start();
    let approvals = approve(&world, (&upstream, 2), &APPROVERS);
    let file = envelope_file(&world, &approvals[1]);
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    // The writer checks the evidence, so the damage follows the release. The gateway is stopped
    // meanwhile.
    gwd.kill();
    let two = release(&world, (&upstream, 2), &approvals);
    std::fs::write(&file, &damaged).unwrap();
    let gwd = world.start();
    assert!(gwd.runs(&one));
    assert_eq!(notify(&gwd)["last_error"]["reason"], "bad-digest");
    std::fs::write(&file, &whole).unwrap();
    runs_after_notify(&gwd, &two);
}
