//! The state folder: cold starts, damage, a disk that is full or read-only (release.md §6).

use std::path::Path;
use std::process::Command;

use bundle::publish::Revocation;
use serde_json::json;

use crate::fixture::*;
use crate::world::{Process, World, numbered};

/// Wraps a command in its own mount namespace, after the shell commands `mounts`, in which `$S` is
/// the state folder. `None` if this machine does not allow such namespaces.
fn with_mounts(world: &World, command: &Command, mounts: &str) -> Option<Command> {
    let allowed = Command::new("unshare").args(["-rm", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        prerequisite::skip("`unshare -rm` is not permitted: no mount namespace");
        return None;
    }
    std::fs::create_dir_all(world.path("state")).unwrap();
    let mut inside = Command::new("unshare");
    inside
        .args(["-rm", "sh", "-c"])
        .arg(format!("{mounts} && exec \"$@\""))
        .arg("sh")
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("S", world.path("state"));
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            inside.env(name, value);
        }
    }
    Some(inside)
}

fn notify(gwd: &Process) -> serde_json::Value {
    gwd.ask("POST", "/v1/notify", "").json()
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn read_only_state_starts_last_good_refuses_releases() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    world.start().kill();
    let mounts = "mount --bind \"$S\" \"$S\" && mount -o remount,ro,bind \"$S\"";
    let Some(mut command) = with_mounts(&world, &world.trusted(), mounts) else {
        return;
    };
    let gwd = Process::spawn(&mut command);
    assert!(gwd.runs(&one), "{}", gwd.status());
    assert_eq!(get(gwd.public(), "/v1").status, 200);
    let status = gwd.status();
    assert_eq!(
        (&status["durable"], &status["alarms"]),
        (&json!(false), &json!(["state-not-durable"]))
    );
    let two = world.release(&numbered(&upstream, 2));
    eventually("the bundle is refused temporarily", || {
        let refused = &gwd.status()["refused"][0];
        let passing = refused["permanent"] == false && refused["bundle"] == two.to_string();
        passing && refused["reason"] == "state-not-durable"
    });
    assert!(gwd.metric("gwd_bundle_activations_total", &["state-not-durable"]) >= 1.0);
    assert!(gwd.runs(&one));
    // The first process still holds the lock, so that a second one fails.
    let output = world.fails(&mut world.trusted());
    assert_eq!(output.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another gwd uses"));
}

#[test]
fn full_disk_refuses_releases_but_allows_rollbacks() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let mounts = "mount -t tmpfs -o size=512k tmpfs \"$S\"";
    let Some(mut command) = with_mounts(&world, &world.trusted(), mounts) else {
        return;
    };
    let gwd = Process::spawn(&mut command);
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    let inside = gwd
        .root()
        .join(world.path("state").strip_prefix("/").unwrap());
    let filler = inside.join("filler");
    let _full = std::fs::write(&filler, vec![0; 1 << 20]);
    let three = world.release(&numbered(&upstream, 3));
    eventually("the bundle is refused", || {
        gwd.status()["last_error"]["reason"] == "state-not-durable"
    });
    let back = gwd.ask("POST", "/v1/rollback", "").json();
    assert_eq!(
        (&back["bundle"], &back["durable"]),
        (&json!(one.to_string()), &json!(false))
    );
    world.revoke(Revocation {
        bundles: [two].into(),
        ..Revocation::default()
    });
    eventually("the revocation list applies", || {
        gwd.status()["revocations"] == 1
    });
    let status = gwd.status();
    assert_eq!(
        (&status["durable"], &status["alarms"]),
        (&json!(false), &json!(["state-not-durable"]))
    );
    assert_eq!(status["resident"], json!([one.to_string()]));
    // Change the trust file: data that is only in memory must not be lost because the disk is full.
    let path = world.path("trust.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\n")).unwrap();
    eventually("the trust file is read again", || {
        gwd.logged("the trust file was read again").is_some()
    });
    assert_eq!(notify(&gwd)["revocations"], 1);
    std::fs::remove_file(&filler).unwrap();
    eventually("the state is durable again", || {
        gwd.status()["durable"] == true
    });
    gwd.wait_for(&three);
    assert_eq!(gwd.status()["alarms"], json!([]));
    assert!(inside.join("revocations/00000000000000000001").exists());
}

#[test]
fn cold_start_prefers_the_bundle_on_hold_to_the_head() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, one, two) = world.two_versions(&upstream);
    assert_eq!(gwd.ask("POST", "/v1/rollback", "").status, 200);
    gwd.kill();
    let gwd = world.start();
    assert!(gwd.runs(&one), "held before head");
    assert_eq!(gwd.status()["hold"]["from"], two.to_string());
    assert_eq!(gwd.status()["head"]["bundle"], two.to_string());
}

#[test]
fn cold_start_prefers_the_head_to_the_last_good() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    world.start().kill();
    let two = world.release(&numbered(&upstream, 2));
    assert!(world.start().runs(&two));
}

#[test]
fn cold_start_with_a_refused_head_runs_the_last_good() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    world.start().kill();
    world.release_as(&numbered(&upstream, 2), &["policy:teleport"], "rita", "ci");
    let gwd = world.start();
    assert!(gwd.runs(&one));
    assert_eq!(
        gwd.status()["last_error"]["reason"],
        "needs:policy:teleport"
    );
}

#[test]
fn cold_start_never_replaces_a_damaged_last_good() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    gwd.kill();
    std::fs::rename(world.path("store"), world.path("elsewhere")).unwrap();
    let manifest = world.path("state/blobs/sha256").join(two.hex());
    let whole = std::fs::read(&manifest).unwrap();
    flip(&manifest);
    let output = world.fails(&mut world.trusted());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{stderr}");
    assert!(stderr.contains("bad-digest"), "{stderr}");
    std::fs::write(&manifest, &whole).unwrap();
    assert!(world.start().runs(&two));

    // Damage the file with the history: truncate it, or change a key.
    let ran = world.path("state/gwd.json");
    let text = std::fs::read_to_string(&ran).unwrap();
    for damaged in [&text[..text.len() / 2], &text.replace("\"ran\"", "\"rat\"")] {
        std::fs::write(&ran, damaged).unwrap();
        let output = world.fails(&mut world.trusted());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(69), "{stderr}");
        assert!(stderr.contains("gwd.json in the state folder"), "{stderr}");
    }
    // With the store, the channel's head runs and the file is written again.
    std::fs::rename(world.path("elsewhere"), world.path("store")).unwrap();
    let gwd = world.start();
    assert!(gwd.runs(&two));
    eventually("the damage is logged", || {
        gwd.logged("the state folder is damaged").is_some()
    });
    gwd.kill();
    let gwd = world.start();
    assert!(gwd.logged("the state folder is damaged").is_none());
    assert_eq!(gwd.status()["alarms"], json!([]));
}

#[test]
fn history_of_runs_survives_restarts() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secret = world.path("secrets").canonicalize().unwrap().join("token");
    std::fs::write(&secret, "hunter2").unwrap();
    let mut edited = shop(upstream.address, vec![op("GET", "/a").policy("edits")]);
    edited.policies = vec![edits_from("edits", &secret)];
    let one = world.release(&edited.gateway());
    let mut command = world.trusted();
    command.args(["--keep", "2"]);
    let gwd = Process::spawn(&mut command);
    assert_eq!(gwd.status()["previous_ready"], json!(null));
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    assert_eq!(gwd.status()["previous_ready"], true);
    let bundles = || gwd.ask("GET", "/v1/bundles", "").json();
    let report = bundles();
    let of = |report: &serde_json::Value, bundle: &bundle::digest::Digest| {
        let mut bundles = report["bundles"].as_array().unwrap().iter();
        let found = bundles.find(|known| known["bundle"] == bundle.to_string());
        found.unwrap().clone()
    };
    let first = of(&report, &one);
    for (key, value) in [
        ("serial", json!(1)),
        ("reason", json!("because")),
        ("routes", json!(1)),
        ("resident", json!(true)),
        ("running", json!(false)),
        ("ready", json!(true)),
        ("not_ready", json!(null)),
    ] {
        assert_eq!(first[key], value, "{key}");
    }
    assert!(first["created"].is_string());
    std::fs::remove_file(&secret).unwrap();
    eventually("the bundle lacks its secret", || {
        of(&bundles(), &one)["not_ready"] == "secret-stale"
    });
    eventually("the rollback is not ready", || {
        gwd.status()["previous_ready"] == false
    });
    let three = world.release(&numbered(&upstream, 3));
    gwd.wait_for(&three);
    let serials = |report: &serde_json::Value| -> Vec<u64> {
        let ran = report["ran"].as_array().unwrap().iter();
        ran.map(|run| run["serial"].as_u64().unwrap()).collect()
    };
    let report = bundles();
    assert_eq!(serials(&report), [3, 2, 1]);
    assert_eq!(report["ran"][0]["bundle"], three.to_string());
    let on_disk = of(&report, &one);
    assert_eq!(
        (&on_disk["ready"], &on_disk["not_ready"], &on_disk["serial"]),
        (&json!(false), &json!("on-disk"), &json!(1))
    );
    let before = report["ran"].clone();
    drop(gwd);
    let gwd = Process::spawn(&mut command);
    let report = gwd.ask("GET", "/v1/bundles", "").json();
    assert_eq!(report["ran"], before);
    eventually("the records are read again", || {
        of(&gwd.ask("GET", "/v1/bundles", "").json(), &one)["reason"] == "because"
    });
}

/// Damage to a state folder while gwd runs.
type Accident = fn(&Path);

const ACCIDENTS: [(&str, Accident); 5] = [
    ("emptied", |state| {
        for entry in std::fs::read_dir(state).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else {
                std::fs::remove_file(path).unwrap();
            }
        }
    }),
    ("emptied but for its own small files", |state| {
        std::fs::remove_file(state.join("oci-layout")).unwrap();
        std::fs::remove_dir_all(state.join("blobs")).unwrap();
        std::fs::remove_dir_all(state.join("channels")).unwrap();
    }),
    ("replaced", |state| {
        std::fs::rename(state, state.with_extension("old")).unwrap();
        std::fs::create_dir(state).unwrap();
    }),
    ("renamed", |state| {
        std::fs::rename(state, state.with_extension("gone")).unwrap();
    }),
    ("its records are removed", |state| {
        std::fs::remove_dir_all(state.join("channels")).unwrap();
        std::fs::remove_file(state.join("gwd.json")).unwrap();
    }),
];

#[test]
fn replaced_state_folder_is_noticed_and_rewritten() {
    let upstream = Upstream::saying("ok");
    std::thread::scope(|scope| {
        for (what, accident) in ACCIDENTS {
            let upstream = &upstream;
            scope.spawn(move || recovers_from(upstream, what, accident));
        }
    });
}

fn recovers_from(upstream: &Upstream, what: &str, accident: Accident) {
    let world = World::new();
    let one = world.release(&numbered(upstream, 1));
    let gwd = world.start();
    let two = world.release(&numbered(upstream, 2));
    gwd.wait_for(&two);
    world.revoke(Revocation {
        credentials: [one].into(),
        ..Revocation::default()
    });
    eventually("the revocation list applies", || {
        gwd.status()["revocations"] == 1
    });
    accident(&world.path("state"));
    eventually(what, || {
        gwd.logged("alarm")
            .is_some_and(|line| line["alarm"] == "state-not-durable")
    });
    eventually("the state is durable again", || {
        let over = gwd.logged("the alarm has ended").is_some();
        over && gwd.status()["durable"] == true
    });
    assert!(gwd.runs(&two));
    let other = world.fails(&mut world.trusted());
    let stderr = String::from_utf8_lossy(&other.stderr).into_owned();
    assert_eq!(other.status.code(), Some(65), "{what}: {stderr}");
    gwd.kill();
    // A restart without the store restores the complete state.
    std::fs::rename(world.path("store"), world.path("elsewhere")).unwrap();
    let gwd = world.start();
    let status = gwd.status();
    assert!(gwd.runs(&two), "{what}: {status}");
    assert_eq!(
        (&status["serial"], &status["revocations"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(status["previous"], one.to_string());
    let back = gwd.ask("POST", "/v1/rollback", "");
    assert_eq!(
        back.json()["bundle"],
        one.to_string(),
        "{what}: the way back"
    );
}

#[test]
fn state_folder_that_cannot_recover_stays_not_durable() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let state = world.path("state");
    std::fs::rename(&state, world.path("old")).unwrap();
    std::fs::write(&state, "no folder").unwrap();
    eventually("the state is not durable", || {
        let status = gwd.status();
        status["durable"] == false && status["alarms"] == json!(["state-not-durable"])
    });
    world.release(&numbered(&upstream, 2));
    assert_eq!(notify(&gwd)["last_error"]["reason"], "state-not-durable");
    assert!(gwd.runs(&one));
    assert_eq!(get(gwd.public(), "/v1").status, 200);
    std::fs::remove_file(&state).unwrap();
    eventually("the state is durable again", || {
        gwd.status()["durable"] == true
    });
}

#[test]
fn state_folder_belongs_to_the_process_with_the_lock() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let first = world.start();
    // Replace the folder and start another process on it before the first process checks it again.
    first.signal(rustix::process::Signal::STOP);
    std::fs::rename(world.path("state"), world.path("old")).unwrap();
    let second = world.start();
    assert!(second.runs(&one));
    first.signal(rustix::process::Signal::CONT);
    eventually("the first process has lost the folder", || {
        let status = first.status();
        status["durable"] == false && status["alarms"] == json!(["state-not-durable"])
    });
    let two = world.release(&numbered(&upstream, 2));
    second.wait_for(&two);
    assert_eq!(notify(&first)["last_error"]["reason"], "state-not-durable");
    assert!(first.runs(&one));
    assert_eq!(second.status()["durable"], true);
    second.kill();
    first.wait_for(&two);
    eventually("the first process has the folder again", || {
        first.status()["durable"] == true
    });
}

#[test]
fn start_needs_only_own_files_and_leaves_others() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    world.start().kill();
    for gone in ["blobs", "channels"] {
        std::fs::remove_dir_all(world.path("state").join(gone)).unwrap();
    }
    std::fs::remove_file(world.path("state/oci-layout")).unwrap();
    std::fs::write(world.path("state/index.json"), "{}").unwrap();
    let gwd = world.start();
    assert!(gwd.runs(&one));
    gwd.kill();
    let strange = world.path("strange");
    std::fs::create_dir(&strange).unwrap();
    std::fs::write(strange.join("letters.txt"), "dear").unwrap();
    std::fs::rename(world.path("state"), world.path("old")).unwrap();
    std::fs::rename(&strange, world.path("state")).unwrap();
    let refused = world.fails(&mut world.trusted());
    assert_eq!(refused.status.code(), Some(65));
}

#[test]
fn previous_version_is_loaded_after_a_restart() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, one, two) = world.two_versions(&upstream);
    gwd.kill();
    let gwd = world.start();
    eventually("the previous version is ready", || {
        gwd.status()["previous_ready"] == json!(true)
    });
    assert_eq!(gwd.status()["previous"], json!(one.to_string()));
    assert!(gwd.runs(&two), "what runs is not touched");
    std::fs::rename(world.path("state"), world.path("gone")).unwrap();
    let body = json!({"bundle": one.to_string()}).to_string();
    assert_eq!(gwd.ask("POST", "/v1/activate", &body).status, 200);
    assert!(gwd.runs(&one), "without a disk");
}
