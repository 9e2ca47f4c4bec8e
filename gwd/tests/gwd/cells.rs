//! State that a rollback must not restore, and state that it must keep: secrets, credentials,
//! counters (release.md §7, §8).

use std::path::PathBuf;

use bundle::digest::Digest;
use bundle::publish::Revocation;
use serde_json::json;

use crate::fixture::*;
use crate::world::{Process, World, numbered};

/// Creates a secret file, and a gateway that sends the secret to the upstream in the field
/// `x-edge`.
fn with_secret(world: &World, upstream: &Upstream) -> (PathBuf, bundle::ir::Gateway) {
    let path = world.path("secrets").canonicalize().unwrap().join("token");
    std::fs::write(&path, "hunter2").unwrap();
    let mut shop = shop(upstream.address, vec![op("GET", "/a").policy("edits")]);
    shop.policies = vec![edits_from("edits", &path)];
    (path, shop.gateway())
}

fn shown(gwd: &Process) -> String {
    let answer = get(gwd.public(), "/a");
    let line = answer
        .text()
        .lines()
        .find(|line| line.starts_with("x-edge"));
    line.unwrap_or_default().to_owned()
}

#[test]
fn a_rotated_secret_reaches_what_runs_within_a_second() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let (secret, gateway) = with_secret(&world, &upstream);
    world.release(&gateway);
    let gwd = world.start();
    assert_eq!(shown(&gwd), "x-edge: hunter2");
    for value in ["hunter3", "hunter4", "hunter5"] {
        // Replace the file by a rename, as `kubectl` and editors do.
        let fresh = secret.with_extension("new");
        std::fs::write(&fresh, value).unwrap();
        std::fs::rename(&fresh, &secret).unwrap();
        let began = std::time::Instant::now();
        eventually("the new value is sent", || {
            shown(&gwd) == format!("x-edge: {value}")
        });
        assert!(began.elapsed().as_millis() < 1_000, "{:?}", began.elapsed());
    }
    eventually("the replacement is logged", || {
        gwd.logged("a secret was replaced").is_some()
    });
    assert!(
        !gwd.events()
            .iter()
            .any(|event| event.to_string().contains("hunter"))
    );
}

#[test]
fn missing_secret_is_reported_once_and_value_kept() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let (secret, gateway) = with_secret(&world, &upstream);
    world.release(&gateway);
    let gwd = world.start();
    std::fs::remove_file(&secret).unwrap();
    let reference = format!("${{file:{}}}", secret.display());
    eventually("status names the secret", || {
        gwd.status()["stale_secrets"] == json!([reference])
    });
    assert_eq!(gwd.metric("gwd_secret_stale", &["token"]), 1.0);
    assert_eq!(shown(&gwd), "x-edge: hunter2");
    for _ in 0..5 {
        gwd.ask("POST", "/v1/notify", "");
    }
    let events = gwd.events();
    let warnings = events.iter().filter(|event| {
        let message = event["message"].as_str().unwrap_or_default();
        message.contains("a secret is missing or unusable")
    });
    assert_eq!(warnings.count(), 1, "once");
    std::fs::write(&secret, "hunter3").unwrap();
    eventually("the new value is sent", || shown(&gwd) == "x-edge: hunter3");
    eventually("status names no secret", || {
        gwd.status()["stale_secrets"] == json!([])
    });
}

/// Values that the upstream receives for a field that the gateway sets from a secret, when the
/// client sends that field itself.
fn forged(gwd: &Process) -> Vec<String> {
    let answer = fetch(gwd.public(), "GET", "/a", "x-edge: forged\r\n");
    let lines = answer.text().lines();
    lines
        .filter(|line| line.starts_with("x-edge"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn invalid_secret_never_passes_the_clients_field() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let (secret, gateway) = with_secret(&world, &upstream);
    let reference = json!([format!("${{file:{}}}", secret.display())]);
    world.release(&gateway);
    let gwd = world.start();
    assert_eq!(forged(&gwd), ["x-edge: hunter2"]);
    for value in ["", "two\nlines", "nul\0"] {
        std::fs::write(&secret, value).unwrap();
        eventually("status names the secret", || {
            gwd.status()["stale_secrets"] == reference
        });
        assert_eq!(forged(&gwd), ["x-edge: hunter2"], "the last good value");
        std::fs::write(&secret, "hunter2").unwrap();
        eventually("status names no secret", || {
            gwd.status()["stale_secrets"] == json!([])
        });
    }
}

#[test]
fn bundle_with_an_unusable_secret_waits_for_it() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let plain = shop(upstream.address, vec![op("GET", "/a")]).gateway();
    let first = world.release(&plain);
    let (secret, gateway) = with_secret(&world, &upstream);
    std::fs::write(&secret, "two\nlines").unwrap();
    let gwd = world.start();
    assert!(gwd.runs(&first));
    let second = world.release(&gateway);
    eventually("the bundle is refused", || {
        gwd.status()["last_error"]["reason"] == "secret-unusable"
    });
    assert!(gwd.runs(&first));
    assert!(!gwd.status().to_string().contains("two\\nlines"));
    std::fs::write(&secret, "one line\n").unwrap();
    gwd.wait_for(&second);
    assert_eq!(forged(&gwd), ["x-edge: one line"]);
}

#[test]
fn rollback_in_memory_needs_no_secret_file() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let (secret, gateway) = with_secret(&world, &upstream);
    let one = world.release(&gateway);
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    std::fs::remove_file(&secret).unwrap();
    eventually("the rollback is not ready", || {
        gwd.status()["previous_ready"] == false
    });
    let answer = gwd.ask("POST", "/v1/rollback", "");
    assert_eq!(
        answer.json()["bundle"],
        one.to_string(),
        "{}",
        answer.text()
    );
    assert_eq!(shown(&gwd), "x-edge: hunter2");
}

#[test]
fn rollback_from_disk_without_its_secret_is_refused() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let (secret, gateway) = with_secret(&world, &upstream);
    world.release(&gateway);
    let gwd = Process::spawn(world.trusted().args(["--keep", "1"]));
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    std::fs::remove_file(&secret).unwrap();
    let before = gwd.status();
    let refused = gwd.ask("POST", "/v1/rollback", "");
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (409, &json!("secret-missing"))
    );
    let after = gwd.status();
    for key in [
        "bundle",
        "serial",
        "since",
        "hold",
        "resident",
        "listeners",
        "previous",
    ] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(get(gwd.public(), "/v2").status, 200);
}

#[test]
fn forbidden_reference_refuses_the_whole_bundle() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let outside = world.path("token");
    let mut both = shop(
        upstream.address,
        vec![
            op("GET", "/a").policy("fine"),
            op("GET", "/v2").policy("not"),
        ],
    );
    both.policies = vec![edits("fine"), edits_from("not", &outside)];
    world.release(&both.gateway());
    eventually("the bundle is refused", || {
        gwd.status()["last_error"]["reason"] == "secret-not-allowed"
    });
    assert_eq!(gwd.status()["refused"][0]["permanent"], true);
    assert!(gwd.runs(&one));
    assert_eq!(get(gwd.public(), "/v2").status, 404);
    let events = gwd.events();
    assert!(
        !events
            .iter()
            .any(|event| event.to_string().contains("0123456789abcdef"))
    );
}

#[test]
fn rollback_keeps_a_withdrawn_credential_at_401() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let with_key = |path| {
        let ops = vec![op("GET", "/mine").secured("key"), op("GET", path)];
        shop(upstream.address, ops).gateway()
    };
    let one = world.release(&with_key("/v1"));
    let gwd = world.start();
    let two = world.release(&with_key("/v2"));
    gwd.wait_for(&two);
    let mine = |gwd: &Process| fetch(gwd.public(), "GET", "/mine", "x-key: letmein\r\n").status;
    assert_eq!(mine(&gwd), 200);
    world.revoke(Revocation {
        credentials: [Digest::of(b"letmein")].into(),
        ..Revocation::default()
    });
    eventually("the credential is refused", || mine(&gwd) == 401);
    assert_eq!(
        gwd.ask("POST", "/v1/rollback", "").json()["bundle"],
        one.to_string()
    );
    assert_eq!(mine(&gwd), 401, "after a rollback");
    gwd.kill();
    std::fs::rename(world.path("store"), world.path("elsewhere")).unwrap();
    let gwd = world.start();
    assert!(gwd.runs(&one));
    assert_eq!(mine(&gwd), 401, "after a restart without the store");
}

#[test]
fn limit_keeps_its_use_over_changes_and_rollbacks() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let limited = |count: u64, path| {
        let ops = vec![op("GET", "/limited").policy("once"), op("GET", path)];
        let mut shop = shop(upstream.address, ops);
        shop.policies = vec![rate_limit("once", count)];
        shop.gateway()
    };
    let one = world.release(&limited(3, "/v1"));
    let gwd = world.start();
    let ask = || get(gwd.public(), "/limited").status;
    assert_eq!([ask(), ask(), ask(), ask()], [200, 200, 200, 429]);
    let two = world.release(&limited(5, "/v2"));
    gwd.wait_for(&two);
    assert_eq!(
        [ask(), ask(), ask()],
        [200, 200, 429],
        "five, and three were used"
    );
    assert_eq!(
        gwd.ask("POST", "/v1/rollback", "").json()["bundle"],
        one.to_string()
    );
    assert_eq!(ask(), 429, "nothing is given back");
}
