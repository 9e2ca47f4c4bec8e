//! Releases, rollbacks, refusals and restarts of the gwd program, which follows a channel.

use bundle::digest::Digest;
use bundle::publish::Revocation;
use bundle::statement::predicate::RecordKind;
use serde_json::json;

use crate::fixture::*;
use crate::world::{World, copy, numbered};

#[test]
fn a_release_is_served_and_the_next_one_replaces_it() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let public = gwd.public();
    assert_eq!(get(public, "/v1").status, 200);
    assert_eq!(gwd.open("/readyz").status, 200);
    let status = gwd.status();
    assert_eq!(status["schema"], "status/v1");
    for (key, value) in [
        ("result", json!("ok")),
        ("node", json!("node-1")),
        ("bundle", json!(one.to_string())),
        ("serial", json!(1)),
        ("channel", json!("prod")),
        ("previous", json!(null)),
        ("resident", json!([one.to_string()])),
        ("hold", json!(null)),
        ("needs", json!([])),
        ("last_error", json!(null)),
        ("ready", json!(true)),
        ("insecure_allow_unsigned", json!(false)),
    ] {
        assert_eq!(status[key], value, "{key}");
    }

    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    assert_eq!(gwd.public(), public, "the address stays");
    assert_eq!(get(public, "/v2").status, 200);
    assert_eq!(get(public, "/v1").status, 404);
    let status = gwd.status();
    assert_eq!(status["previous"], one.to_string());
    assert_eq!(status["serial"], 2);
    assert_eq!(
        gwd.metric("gwd_bundle_info", &[&two.to_string(), "serial=\"2\""]),
        1.0
    );
    assert_eq!(
        gwd.metric("gwd_bundle_activations_total", &["result=\"ok\""]),
        2.0
    );
    assert_eq!(
        gwd.metric("gwd_bundle_snapshots_live", &[]),
        2.0,
        "one runs, one is ready"
    );
    assert_eq!(gwd.metric("gwd_bundle_propagation_seconds_count", &[]), 2.0);
    assert!(gwd.metric("gwd_bundle_last_success_timestamp_seconds", &[]) > 1.6e9);
    let activated = || {
        let events = gwd.events();
        let audited = events.iter().filter(|event| event["level"] == "audit");
        audited
            .filter(|event| event["to"] == two.to_string())
            .count()
    };
    eventually("the activation is logged", || activated() > 0);
    assert_eq!(activated(), 1, "{:#?}", gwd.events());
}

#[test]
fn the_channel_may_come_after_the_gateway() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let gwd = world.start();
    assert_eq!(gwd.open("/readyz").status, 503);
    assert_eq!(gwd.open("/startupz").status, 503);
    assert_eq!(gwd.open("/livez").status, 200);
    let one = world.release(&numbered(&upstream, 1));
    gwd.wait_for(&one);
    assert_eq!(gwd.open("/readyz").status, 200);
    assert_eq!(get(gwd.public(), "/v1").status, 200);
}

#[test]
fn break_glass_rollback_holds_until_the_channel_moves() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, one, two) = world.two_versions(&upstream);
    let answer = gwd.ask("POST", "/v1/rollback", "{\"bundle\": -1}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["bundle"], one.to_string());
    assert_eq!(answer.json()["hold"]["from"], two.to_string());
    assert_eq!(answer.json()["hold"]["sticky"], false);
    assert_eq!(answer.json()["durable"], true);
    assert!(answer.json()["switch_us"].as_u64().unwrap() < 1_000_000);
    assert_eq!(get(gwd.public(), "/v1").status, 200);
    assert_eq!(gwd.metric("gwd_bundle_rollbacks_total", &[]), 1.0);
    // Make gwd read the store. The channel's head still names the bundle from which the node was
    // rolled back.
    assert_eq!(
        gwd.ask("POST", "/v1/notify", "").json()["bundle"],
        one.to_string()
    );
    let three = world.release(&numbered(&upstream, 3));
    gwd.wait_for(&three);
    assert_eq!(gwd.status()["hold"], json!(null));
    let audit = gwd.logged("an operator switched bundles").unwrap();
    assert_eq!(
        (&audit["from"], &audit["to"]),
        (&json!(two.to_string()), &json!(one.to_string()))
    );
    assert!(
        audit["who"]
            .as_str()
            .unwrap()
            .starts_with("admin token from 127.0.0.1")
    );
}

#[test]
fn sticky_hold_survives_releases_and_restarts() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, one, _) = world.two_versions(&upstream);
    let body = format!("{{\"bundle\": \"{one}\", \"sticky\": true}}");
    assert_eq!(gwd.ask("POST", "/v1/activate", &body).status, 200);
    let three = world.release(&numbered(&upstream, 3));
    assert_eq!(
        gwd.ask("POST", "/v1/notify", "").json()["bundle"],
        one.to_string()
    );
    gwd.kill();
    let gwd = world.start();
    assert!(gwd.runs(&one), "{}", gwd.status());
    assert_eq!(gwd.status()["hold"]["sticky"], true);
    assert_eq!(
        gwd.ask("POST", "/v1/resume", "").json()["bundle"],
        three.to_string()
    );
    assert_eq!(gwd.status()["hold"], json!(null));
}

#[test]
fn damaged_bundle_is_refused_and_taken_when_repaired() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let gateway = numbered(&upstream, 2);
    let blob = Digest::of(&bundle::codec::encode(&gateway.apis[0]));
    // Release in a copy of the store, then copy it back with one damaged blob.
    let other = World::new();
    copy(&world.path("store"), &other.path("store"));
    let two = other.release(&gateway);
    let file = world.path("store").join("blobs/sha256").join(blob.hex());
    copy(&other.path("store/blobs"), &world.path("store/blobs"));
    std::fs::write(&file, b"damaged").unwrap();
    copy(&other.path("store/channels"), &world.path("store/channels"));
    eventually("the bundle is refused", || {
        gwd.status()["last_error"]["bundle"] == two.to_string()
    });
    let status = gwd.status();
    assert_eq!(status["last_error"]["reason"], "bad-digest");
    assert_eq!(status["bundle"], one.to_string());
    assert_eq!(status["refused"][0]["permanent"], false);
    assert_eq!(get(gwd.public(), "/v1").status, 200);
    assert_eq!(
        gwd.metric(
            "gwd_bundle_activations_total",
            &["result=\"failed\"", "bad-digest"]
        ),
        1.0
    );
    std::fs::write(&file, bundle::codec::encode(&gateway.apis[0])).unwrap();
    gwd.wait_for(&two);
    assert_eq!(gwd.status()["last_error"], json!(null));
}

#[test]
fn record_by_an_untrusted_key_never_runs() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    world.release_as(&numbered(&upstream, 2), &[], "mallory", "ci");
    eventually("the record is refused", || {
        gwd.ask("POST", "/v1/notify", "").json()["last_error"]["reason"] == "unknown-key"
    });
    assert!(gwd.runs(&one));
    assert_eq!(get(gwd.public(), "/v1").status, 200);
}

#[test]
fn bundle_of_an_untrusted_builder_never_runs() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let two = world.release_as(&numbered(&upstream, 2), &[], "rita", "mallory");
    eventually("the bundle is refused", || {
        gwd.status()["last_error"]["bundle"] == two.to_string()
    });
    assert_eq!(gwd.status()["refused"][0]["permanent"], true);
    assert!(gwd.runs(&one));
}

#[test]
fn bundle_with_missing_needs_is_refused_by_name() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    world.release_as(&numbered(&upstream, 2), &["policy:teleport"], "rita", "ci");
    eventually("the bundle is refused", || {
        gwd.status()["needs"] == json!(["policy:teleport"])
    });
    assert_eq!(
        gwd.status()["last_error"]["reason"],
        "needs:policy:teleport"
    );
    assert!(gwd.runs(&one));
    // The features that a superseded bundle needs are no longer reported.
    let three = world.release(&numbered(&upstream, 3));
    gwd.wait_for(&three);
    assert_eq!(gwd.status()["needs"], json!([]));
    assert_eq!(gwd.status()["refused"].as_array().unwrap().len(), 1);
}

#[test]
fn missing_secret_delays_and_forbidden_one_refuses() {
    let upstream = Upstream::echoing();
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let mut command = world.trusted();
    command.env_remove("GWS_EDGE");
    let gwd = crate::world::Process::spawn(&mut command);
    let mut edited = shop(upstream.address, vec![op("GET", "/a").policy("edits")]);
    edited.policies = vec![edits("edits")];
    world.release(&edited.gateway());
    eventually("the bundle is refused", || {
        gwd.status()["last_error"]["reason"] == "secret-missing"
    });
    assert_eq!(gwd.status()["refused"][0]["permanent"], false);
    drop(gwd);
    let mut command = world.trusted();
    command.args(["--secret-env-prefix", "OTHER_"]);
    let gwd = crate::world::Process::spawn(&mut command);
    assert_eq!(gwd.status()["last_error"]["reason"], "secret-not-allowed");
    assert_eq!(gwd.status()["serial"], 1, "the last good one runs");
    assert!(!gwd.status().to_string().contains("hunter2"));
}

#[test]
fn restart_without_the_store_serves_the_last_good() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let two = world.release(&numbered(&upstream, 2));
    world.start().kill();
    std::fs::rename(world.path("store"), world.path("elsewhere")).unwrap();
    let gwd = world.start();
    assert!(gwd.runs(&two), "{}", gwd.status());
    assert_eq!(get(gwd.public(), "/v2").status, 200);
    assert_eq!(gwd.status()["last_error"]["reason"], "store-unreachable");
    assert_eq!(gwd.status()["replay_protected"], true);
}

#[test]
fn a_replayed_channel_is_refused_after_a_restart() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let two = world.release(&numbered(&upstream, 2));
    world.start().kill();
    let newest = world.path("store/channels/prod/00000000000000000002");
    std::fs::remove_file(newest).unwrap();
    let gwd = world.start();
    assert!(gwd.runs(&two), "{}", gwd.status());
    assert_eq!(gwd.status()["last_error"]["reason"], "replayed");
}

#[test]
fn revocation_reaches_credentials_bundles_rollbacks() {
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
    let mine = || fetch(gwd.public(), "GET", "/mine", "x-key: letmein\r\n").status;
    assert_eq!(mine(), 200);
    world.revoke(Revocation {
        bundles: [one].into(),
        credentials: [Digest::of(b"letmein")].into(),
        ..Revocation::default()
    });
    eventually("the credential is refused", || mine() == 401);
    let refused = gwd.ask("POST", "/v1/rollback", "");
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["error"]["code"], "revoked");
    assert_eq!(refused.json()["error"]["exit"], 4);
    assert!(gwd.runs(&two));
    assert_eq!(gwd.status()["resident"], json!([two.to_string()]));
    world.revoke(Revocation {
        bundles: [two].into(),
        ..Revocation::default()
    });
    eventually("the alarm `running-revoked` is raised", || {
        gwd.status()["alarms"] == json!(["running-revoked"])
    });
    assert_eq!(get(gwd.public(), "/v2").status, 200);
    gwd.kill();
    let mut command = world.trusted();
    let output = world.fails(&mut command);
    assert_eq!(output.status.code(), Some(4), "never started again");
}

#[test]
fn rollback_in_memory_needs_no_store_secret_or_disk() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secret = world
        .path("secrets/token")
        .canonicalize()
        .unwrap_or_else(|_| world.path("secrets").canonicalize().unwrap().join("token"));
    std::fs::write(&secret, "hunter2").unwrap();
    let mut edited = shop(upstream.address, vec![op("GET", "/a").policy("edits")]);
    edited.policies = vec![edits("edits")];
    let one = world.release(&edited.gateway());
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    std::fs::remove_dir_all(world.path("store")).unwrap();
    std::fs::remove_dir_all(world.path("state")).unwrap();
    std::fs::remove_file(&secret).unwrap();
    let answer = gwd.ask("POST", "/v1/rollback", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["bundle"], one.to_string());
    assert!(get(gwd.public(), "/a").text().contains("x-edge: hunter2"));
}

#[test]
fn a_rollback_to_a_bundle_on_disk_is_verified_again() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let mut command = world.trusted();
    command.args(["--keep", "1"]);
    let one = world.release(&numbered(&upstream, 1));
    let gwd = crate::world::Process::spawn(&mut command);
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    assert_eq!(gwd.status()["resident"], json!([two.to_string()]));
    let body = format!("{{\"bundle\": \"{one}\"}}");
    let manifest = world.path("state/blobs/sha256").join(one.hex());
    let bytes = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, b"damaged").unwrap();
    let refused = gwd.ask("POST", "/v1/rollback", &body);
    assert_eq!(
        refused.json()["error"]["code"],
        "bad-digest",
        "{}",
        refused.text()
    );
    assert!(gwd.runs(&two));
    std::fs::write(&manifest, bytes).unwrap();
    assert_eq!(gwd.ask("POST", "/v1/rollback", &body).status, 200);
    assert!(gwd.runs(&one));
    let absent = Digest::of(b"nobody");
    let unknown = gwd.ask(
        "POST",
        "/v1/activate",
        &format!("{{\"bundle\": \"{absent}\"}}"),
    );
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (404, &json!("bundle-not-here"))
    );
}

#[test]
fn a_rollback_record_brings_an_old_bundle_back() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let gateway = numbered(&upstream, 1);
    let one = world.release(&gateway);
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    let chain = bundle::store::Chain::Channel("prod".parse().unwrap());
    let first = bundle::store::Store::link(&world.store, &chain, 1)
        .unwrap()
        .unwrap();
    let evidence = *bundle::channel::read(&world.store, &first)
        .unwrap()
        .record
        .evidence
        .first()
        .unwrap();
    world.point(one, evidence, RecordKind::Rollback, "rita");
    gwd.wait_for(&one);
    let status = gwd.status();
    assert_eq!(
        (&status["serial"], &status["hold"]),
        (&json!(3), &json!(null))
    );
    assert_eq!(gwd.metric("gwd_bundle_rollbacks_total", &[]), 1.0);
}

#[test]
fn ports_may_be_swapped_under_load() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let ports: Vec<u16> = (0..2)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
        .collect::<Vec<_>>()
        .iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect();
    let two_listeners = |a: u16, b: u16| {
        let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
        shop.listener = listener("public", &format!("127.0.0.1:{a}"));
        shop.more_listeners = vec![listener("second", &format!("127.0.0.1:{b}"))];
        shop.gateway()
    };
    world.release(&two_listeners(ports[0], ports[1]));
    let gwd = world.start();
    let at = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut first = Client::connect(at(ports[0]));
    let mut ask = |status: u16| {
        first.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(first.answer().status, status);
    };
    ask(200);
    assert_eq!(get(at(ports[1]), "/a").status, 404);
    let swapped = world.release(&two_listeners(ports[1], ports[0]));
    gwd.wait_for(&swapped);
    ask(404);
    assert_eq!(get(at(ports[1]), "/a").status, 200);
}

#[test]
fn unwritable_state_refuses_releases_but_no_rollbacks() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, one, two) = world.two_versions(&upstream);
    let (blobs, aside) = (world.path("state/blobs"), world.path("aside"));
    std::fs::rename(&blobs, &aside).unwrap();
    std::fs::write(&blobs, "no folder").unwrap();
    let three = world.release(&numbered(&upstream, 3));
    eventually("the bundle is refused", || {
        gwd.status()["last_error"]["reason"] == "state-not-durable"
    });
    assert!(gwd.runs(&two));
    assert_eq!(
        gwd.ask("POST", "/v1/rollback", "").json()["bundle"],
        one.to_string()
    );
    std::fs::remove_file(&blobs).unwrap();
    std::fs::rename(&aside, &blobs).unwrap();
    gwd.wait_for(&three);
}

#[test]
fn changed_trust_file_raises_only_an_alarm() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let path = world.path("trust.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, "{").unwrap();
    eventually("the alarm `trust-unreadable` is raised", || {
        gwd.status()["alarms"] == json!(["trust-unreadable"])
    });
    // Revoke the first key in the file, which is the builder's.
    std::fs::write(&path, text.replacen("\"active\"", "\"revoked\"", 1)).unwrap();
    eventually("the alarm `running-untrusted` is raised", || {
        gwd.status()["alarms"] == json!(["running-untrusted"])
    });
    assert!(gwd.runs(&one));
    assert_eq!(get(gwd.public(), "/v1").status, 200);
    std::fs::write(&path, text).unwrap();
    eventually("the alarm ends", || gwd.status()["alarms"] == json!([]));
}
