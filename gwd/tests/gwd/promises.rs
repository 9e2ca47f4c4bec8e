//! Guarantees of release.md about a gateway, tested with the real program: replays, withheld
//! revocation lists, signature thresholds, permanent refusals, and secrets that appear in no file.

use std::path::Path;

use bundle::digest::Digest;
use bundle::publish::{self, Revocation};
use bundle::source;
use bundle::statement::predicate::{RecordKind, Role};
use bundle::trust::KeyState::{Active, Revoked};
use bundle::trust::{Floors, Thresholds, Trust};
use serde_json::{Value, json};

use crate::fixture::*;
use crate::world::{Process, World, copy, draft, key, numbered, trust_of};

pub(crate) fn notify(gwd: &Process) -> Value {
    gwd.ask("POST", "/v1/notify", "").json()
}

/// Replaces the store by an older copy of itself.
pub(crate) fn exchange(world: &World, older: &str) {
    std::fs::rename(world.path("store"), world.path("newest")).unwrap();
    std::fs::rename(world.path(older), world.path("store")).unwrap();
}

#[test]
fn fresh_state_takes_a_replayed_head_only_above_floor() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    copy(&world.path("store"), &world.path("older"));
    world.release(&numbered(&upstream, 2));
    exchange(&world, "older");
    let gwd = world.start();
    assert!(gwd.runs(&one), "the second record is not remembered");
    assert_eq!(gwd.status()["replay_protected"], false);
    assert_eq!(gwd.metric("gwd_replay_unprotected", &[]), 1.0);
    assert!(gwd.logged("replay-unprotected").is_some());
    gwd.kill();

    std::fs::remove_dir_all(world.path("state")).unwrap();
    let floors = Floors {
        min_serial: 2,
        min_revocations: 0,
    };
    let prod = || "prod".parse().unwrap();
    world.trust(|trust| trust.with_floors(prod(), floors).unwrap());
    let output = world.fails(&mut world.trusted());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("below-floor"), "{stderr}");
    assert!(stderr.contains("min_serial"), "what helps: {stderr}");
    std::fs::remove_dir_all(world.path("store")).unwrap();
    std::fs::rename(world.path("newest"), world.path("store")).unwrap();
    let gwd = world.start();
    assert_eq!(gwd.status()["serial"], 2);
    assert_eq!(gwd.status()["replay_protected"], true);
    assert_eq!(gwd.metric("gwd_replay_unprotected", &[]), 0.0);
}

#[test]
fn store_without_its_revocation_list_is_refused() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    copy(&world.path("store"), &world.path("older"));
    let gwd = world.start();
    world.revoke(Revocation {
        bundles: [Digest::of(b"some other bundle")].into(),
        ..Revocation::default()
    });
    eventually("the revocation list applies", || {
        gwd.status()["revocations"] == 1
    });
    exchange(&world, "older");
    world.release(&numbered(&upstream, 2));
    let status = notify(&gwd);
    assert_eq!(status["last_error"]["reason"], "revocations-withheld");
    assert_eq!(status["revocations"], 1);
    assert!(gwd.runs(&one));
    gwd.kill();
    let gwd = world.start();
    assert!(gwd.runs(&one), "also after a restart");
    assert_eq!(gwd.status()["revocations"], 1);
}

#[test]
fn a_revocation_list_that_cannot_be_taken_is_an_alarm() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let added = Revocation {
        bundles: [Digest::of(b"some other bundle")].into(),
        ..Revocation::default()
    };
    let at = crate::world::now();
    let project = "shop".parse().unwrap();
    publish::revoke(
        &world.store,
        None,
        project,
        (&"prod".parse().unwrap(), added),
        at,
        &[&key("mallory")],
    )
    .unwrap();
    eventually("the alarm is raised", || {
        gwd.status()["alarms"] == json!(["revocations-refused"])
    });
    assert_eq!(gwd.status()["revocations"], 0);
    assert_eq!(gwd.metric("gwd_alarm", &["revocations-refused"]), 1.0);
}

#[test]
fn a_forked_channel_is_an_alarm_until_it_goes_on() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    copy(&world.path("store"), &world.path("older"));
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    exchange(&world, "older");
    world.release(&numbered(&upstream, 3));
    let status = notify(&gwd);
    assert_eq!(status["alarms"], json!(["channel-forked"]));
    std::fs::rename(world.path("store"), world.path("fork")).unwrap();
    assert_eq!(
        notify(&gwd)["alarms"],
        json!(["channel-forked"]),
        "an unavailable store reports no records"
    );
    std::fs::rename(world.path("newest"), world.path("store")).unwrap();
    assert_eq!(notify(&gwd)["alarms"], json!([]));
}

#[test]
fn permanent_refusal_is_not_retried() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    world.release_as(&numbered(&upstream, 2), &["policy:teleport"], "rita", "ci");
    let refused = |status: &Value| status["refused"][0].clone();
    let first = refused(&notify(&gwd));
    assert_eq!(
        (&first["permanent"], &first["tries"]),
        (&json!(true), &json!(1))
    );
    let failed = || gwd.metric("gwd_bundle_activations_total", &["result=\"failed\""]);
    assert_eq!(failed(), 1.0);
    // Change the store several times, so that gwd reads it again.
    for number in 0..5 {
        world.put(&numbered(&upstream, 3), &[], "ci");
        let touched = world
            .path("store/channels/prod")
            .join(format!("touched-{number}"));
        std::fs::write(touched, "").unwrap();
        assert_eq!(refused(&notify(&gwd)), first);
    }
    assert_eq!(failed(), 1.0);
    assert!(gwd.runs(&one));
}

#[test]
fn unvouched_bundle_keeps_running_and_never_restarts() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    world.trust(|_| {
        trust_of(&[
            ("ci", Role::Build, Revoked),
            ("rita", Role::Release, Active),
            ("rob", Role::Revoke, Active),
        ])
    });
    eventually("the alarm is raised", || {
        gwd.status()["alarms"] == json!(["running-untrusted"])
    });
    assert!(gwd.runs(&one));
    assert_eq!(get(gwd.public(), "/v1").status, 200);
    gwd.kill();
    let output = world.fails(&mut world.trusted());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("revoked-key"), "{stderr}");
}

#[test]
fn record_needs_the_owners_of_the_current_trust_file() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    let release = |world: &World, number, owners: &[&str]| {
        let (bundle, evidence) = world.put(&numbered(&upstream, number), &[], "ci");
        let draft = draft(bundle, evidence, RecordKind::Release, "rita");
        let keys: Vec<_> = owners.iter().map(|owner| key(owner)).collect();
        let keys: Vec<_> = keys.iter().collect();
        publish::release(&world.store, None, draft, None, &keys).unwrap();
        bundle
    };
    world.trust(|trust| {
        trust
            .add_key(crate::world::trusted("ruth", Role::Release, Active))
            .unwrap()
    });
    let one = release(&world, 1, &["rita"]);
    let gwd = world.start();
    assert!(gwd.runs(&one), "one owner is enough yet");
    let two_owners = Thresholds {
        build: 1,
        release: 2,
        revoke: 1,
        approve: 1,
    };
    world.trust(|trust| trust.with_thresholds(two_owners).unwrap());
    eventually("the trust file is read again", || {
        gwd.logged("the trust file was read again").is_some()
    });
    release(&world, 2, &["rita"]);
    let status = notify(&gwd);
    assert_eq!(status["last_error"]["reason"], "below-threshold");
    release(&world, 2, &["rita", "rita"]);
    assert_eq!(notify(&gwd)["last_error"]["reason"], "below-threshold");
    assert!(gwd.runs(&one), "one owner signing twice is one owner");
    assert_eq!(
        gwd.status()["alarms"],
        serde_json::json!([]),
        "what was accepted stays accepted"
    );
    gwd.kill();
    let gwd = world.start();
    assert!(gwd.runs(&one), "over a restart, too");
    let three = release(&world, 3, &["rita", "ruth"]);
    gwd.wait_for(&three);
    gwd.kill();
    assert!(world.start().runs(&three));
}

/// Finds the files below a folder that contain this text.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let has = bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes());
            found.extend(has.then(|| path.display().to_string()));
        }
    }
    found
}

#[test]
fn secret_value_is_in_no_file_log_metric_or_status() {
    const VALUES: [&str; 2] = ["first-value-of-it", "second-value-of-it"];
    let upstream = Upstream::echoing();
    let world = World::new();
    let secret = world.path("secrets").canonicalize().unwrap().join("token");
    std::fs::write(&secret, VALUES[0]).unwrap();
    let mut edited = shop(upstream.address, vec![op("GET", "/a").policy("edits")]);
    edited.policies = vec![edits_from("edits", &secret)];
    world.release(&edited.gateway());
    let mut command = world.trusted();
    let log = world.path("state/access.log");
    std::fs::create_dir(world.path("state")).unwrap();
    bundle::store::folder::Folder::create(&world.path("state")).unwrap();
    command.arg("--access-log").arg(&log);
    command.args(["--log-level", "debug"]);
    let gwd = Process::spawn(&mut command);
    let public = gwd.public();
    assert!(get(public, "/a").text().contains(VALUES[0]), "it is used");
    std::fs::write(&secret, VALUES[1]).unwrap();
    eventually("the new value is sent", || {
        get(public, "/a").text().contains(VALUES[1])
    });
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    gwd.ask("POST", "/v1/rollback", "");
    std::fs::remove_file(&secret).unwrap();
    eventually("status names the secret", || {
        gwd.status()["stale_secrets"] != json!([])
    });
    eventually("requests are logged", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("/a"))
    });
    let question = json!({"url": "http://h/a"}).to_string();
    let shown = [
        gwd.open("/metrics").text().to_owned(),
        gwd.status().to_string(),
        gwd.ask("GET", "/v1/bundles", "").text().to_owned(),
        gwd.ask("GET", "/v1/routes", "").text().to_owned(),
        gwd.ask("POST", "/v1/explain", &question).text().to_owned(),
        format!("{:?}", gwd.events()),
    ];
    for value in VALUES {
        assert_eq!(files_with(&world.path("state"), value), [""; 0]);
        assert_eq!(files_with(&world.path("store"), value), [""; 0]);
        for text in &shown {
            assert!(!text.contains(value), "{text}");
        }
    }
}

#[test]
fn damaged_source_artifact_affects_explanations_only() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let gateway = numbered(&upstream, 1);
    let assembled = World::assemble(&gateway, &[]);
    let descriptor = publish::put_bundle(&world.store, &assembled).unwrap();
    let source = source::put(&world.store, b"{\"the\": \"source\"}", descriptor).unwrap();
    let blob = world.path("store/blobs/sha256");
    let blob = blob.join(Digest::of(b"{\"the\": \"source\"}").hex());
    std::fs::write(blob, "{\"the\": \"sauce!\"}").unwrap();
    let one = world.release_with(&gateway, |draft| draft.source = Some(source));
    let gwd = world.start();
    assert!(gwd.runs(&one));
    eventually("the damage is logged", || {
        gwd.logged("cannot copy the source of a bundle").is_some()
    });
    assert_eq!(get(gwd.public(), "/v1").status, 200);
    let question = json!({"url": "http://h/v1"}).to_string();
    let explained = gwd.ask("POST", "/v1/explain", &question).json();
    assert_eq!(
        (&explained["decision"], &explained["source"]),
        (&json!("forward"), &Value::Null)
    );
    let status = gwd.status();
    assert_eq!(
        (&status["alarms"], &status["last_error"]),
        (&json!([]), &Value::Null)
    );
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    assert_eq!(
        gwd.ask("POST", "/v1/rollback", "").json()["bundle"],
        one.to_string()
    );
    gwd.kill();
    assert!(world.start().runs(&one));
}

#[test]
fn signing_key_that_ends_soon_is_an_alarm() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    notify(&gwd);
    assert_eq!(gwd.status()["alarms"], json!([]));
    let ends_in = |days: u64| {
        let text = std::fs::read(world.path("trust.json")).unwrap();
        let mut edited: Value = serde_json::from_slice(&text).unwrap();
        let end = crate::world::now().plus_s(days * 86_400).to_string();
        edited["keys"][0]["not_after"] = end.into();
        Trust::parse(edited.to_string().as_bytes()).unwrap()
    };
    let (soon, later) = (ends_in(29), ends_in(31));
    world.trust(|_| soon);
    eventually("the alarm is raised", || {
        gwd.status()["alarms"] == json!(["signing-key-ends"])
    });
    let ends = gwd.metric("gwd_signing_key_not_after_timestamp_seconds", &["owner"]);
    assert!(ends > 0.0);
    world.trust(|_| later);
    eventually("the alarm ends", || gwd.status()["alarms"] == json!([]));
}

#[test]
fn last_error_clears_when_the_head_runs() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    world.release_as(&numbered(&upstream, 2), &["the-future"], "rita", "ci");
    assert_eq!(notify(&gwd)["last_error"]["reason"], "needs:the-future");
    world.release(&numbered(&upstream, 1));
    assert_eq!(notify(&gwd)["last_error"], json!(null));
    assert!(gwd.runs(&one));
}
