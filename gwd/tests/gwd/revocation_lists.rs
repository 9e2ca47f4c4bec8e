//! Revocation lists that are newer than the list named in a record, and stores that withhold a
//! list.

use bundle::digest::Digest;
use bundle::publish::Revocation;
use bundle::trust::Floors;

use crate::fixture::*;
use crate::promises::{exchange, notify};
use crate::world::{World, copy, numbered};

/// A store whose record names no list, with a later list that revokes the credential `letmein`.
fn revoked_since(upstream: &Upstream) -> World {
    let world = World::new();
    let ops = vec![op("GET", "/mine").secured("key")];
    world.release(&shop(upstream.address, ops).gateway());
    copy(&world.path("store"), &world.path("older"));
    world.revoke(Revocation {
        credentials: [Digest::of(b"letmein")].into(),
        ..Revocation::default()
    });
    world
}

#[test]
fn fresh_node_after_revocation_starts_and_refuses() {
    let upstream = Upstream::saying("ok");
    let world = revoked_since(&upstream);
    let output = world.check();
    let checked: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(checked["result"], "ok");
    assert_eq!(checked["revocations"], 1);
    let gwd = world.start();
    assert_eq!(gwd.status()["revocations"], 1);
    let mine = fetch(gwd.public(), "GET", "/mine", "x-key: letmein\r\n");
    assert_eq!(mine.status, 401);
    gwd.kill();
    let gwd = world.start();
    assert_eq!(gwd.status()["revocations"], 1, "after a restart");
}

#[test]
fn fresh_node_with_floor_after_revocation_starts() {
    let upstream = Upstream::saying("ok");
    let mut world = revoked_since(&upstream);
    let floors = Floors {
        min_serial: 1,
        min_revocations: 1,
    };
    world.trust(|trust| trust.with_floors("prod".parse().unwrap(), floors).unwrap());
    let gwd = world.start();
    assert_eq!(gwd.status()["revocations_protected"], true);
    gwd.kill();
    // Start with the same minimum serial and a store that withholds the list.
    std::fs::remove_dir_all(world.path("state")).unwrap();
    exchange(&world, "older");
    let output = world.fails(&mut world.trusted());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("revocations-withheld"), "{stderr}");
}

#[test]
fn fresh_node_with_floor_of_zero_is_protected() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    assert_eq!(gwd.status()["revocations_protected"], false, "no floor");
    gwd.kill();
    std::fs::remove_dir_all(world.path("state")).unwrap();
    let floors = Floors {
        min_serial: 1,
        min_revocations: 0,
    };
    world.trust(|trust| trust.with_floors("prod".parse().unwrap(), floors).unwrap());
    let gwd = world.start();
    assert_eq!(gwd.status()["revocations_protected"], true);
    assert_eq!(gwd.metric("gwd_revocations_unprotected", &[]), 0.0);
    assert!(gwd.logged("revocations-unprotected").is_none());
}

#[test]
fn release_and_revocation_in_one_look_are_followed() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    gwd.kill();
    let two = world.release(&numbered(&upstream, 2));
    world.revoke(Revocation {
        credentials: [Digest::of(b"letmein")].into(),
        ..Revocation::default()
    });
    let gwd = world.start();
    assert!(gwd.runs(&two), "the record names list 0, the store has 1");
    assert_eq!(gwd.status()["revocations"], 1);
}

#[test]
fn hidden_list_without_floor_is_reported_until_record() {
    let upstream = Upstream::saying("ok");
    let world = revoked_since(&upstream);
    exchange(&world, "older");
    let gwd = world.start();
    let mine = || fetch(gwd.public(), "GET", "/mine", "x-key: letmein\r\n").status;
    assert_eq!(mine(), 200, "nothing tells this node of the list");
    let unprotected = |gwd: &crate::world::Process| {
        assert_eq!(gwd.status()["revocations_protected"], false);
        let ready = gwd.open("/readyz").json();
        assert_eq!(ready["status"], "pass");
        assert_eq!(ready["checks"]["revocations"][0]["status"], "warn");
        assert_eq!(gwd.metric("gwd_revocations_unprotected", &[]), 1.0);
        assert!(gwd.logged("revocations-unprotected").is_some());
    };
    unprotected(&gwd);
    gwd.kill();
    let gwd = world.start();
    unprotected(&gwd);
    // The next record names the list, although the store's folder of lists no longer contains it.
    std::fs::rename(world.path("store"), world.path("hiding")).unwrap();
    std::fs::rename(world.path("newest"), world.path("store")).unwrap();
    std::fs::rename(world.path("store/revocations"), world.path("aside")).unwrap();
    notify(&gwd);
    assert_eq!(gwd.status()["revocations_protected"], false);
    std::fs::rename(world.path("aside"), world.path("store/revocations")).unwrap();
    let ops = vec![op("GET", "/mine").secured("key"), op("GET", "/more")];
    world.release(&shop(upstream.address, ops).gateway());
    std::fs::rename(world.path("store/revocations"), world.path("aside")).unwrap();
    notify(&gwd);
    let status = gwd.status();
    assert_eq!(status["revocations"], 1);
    assert_eq!(status["revocations_protected"], true);
    assert_eq!(gwd.metric("gwd_revocations_unprotected", &[]), 0.0);
    let ready = gwd.open("/readyz").json();
    assert_eq!(ready["checks"]["revocations"][0]["status"], "pass");
    let mine = fetch(gwd.public(), "GET", "/mine", "x-key: letmein\r\n");
    assert_eq!(mine.status, 401);
}
