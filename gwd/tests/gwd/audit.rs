//! Audit lines: each change, and each refused request for a change, writes one line with the same
//! fields.

use bundle::digest::Digest;
use bundle::publish::Revocation;
use bundle::statement::predicate::RecordKind;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fixture::*;
use crate::world::{World, numbered};

#[test]
fn change_is_one_audit_line_with_its_result() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (one, evidence) = world.put(&numbered(&upstream, 1), &[], "ci");
    world.point(one, evidence, RecordKind::Release, "rita");
    let mut gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    world.point(one, evidence, RecordKind::Rollback, "rita");
    gwd.wait_for(&one);
    world.point(one, evidence, RecordKind::Pin, "rita");
    eventually("the pin is accepted", || gwd.status()["serial"] == 4);
    let post = |path: &str, body: &Value| gwd.ask("POST", path, &body.to_string()).status;
    let activate = json!({"bundle": two.to_string(), "reason": "paged"});
    assert_eq!(post("/v1/activate", &activate), 200);
    assert_eq!(post("/v1/rollback", &json!({})), 200);
    let absent = Digest::of(b"nobody");
    assert_eq!(
        post("/v1/activate", &json!({"bundle": absent.to_string()})),
        404
    );
    assert_eq!(post("/v1/resume", &json!({})), 200);
    let stranger = fetch(gwd.admin, "POST", "/v1/drain", "content-length: 0\r\n");
    assert_eq!(stranger.status, 401);
    gwd.ask("PUT", "/v1/log-level", "{\"level\": \"error\"}");
    gwd.ask("PUT", "/v1/log-level", "{\"level\": \"loud\"}");
    world.revoke(Revocation {
        credentials: [Digest::of(b"x")].into(),
        ..Revocation::default()
    });
    eventually("the revocation list is accepted", || {
        gwd.status()["revocations"] == 1
    });
    let path = world.path("trust.json");
    let text = std::fs::read_to_string(&path).unwrap();
    // Replace the file by a rename, so that no reader sees a part of it.
    let replace = |text: &str| {
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, &path).unwrap();
    };
    replace("{");
    eventually("the alarm `trust-unreadable` is raised", || {
        gwd.status()["alarms"] == json!(["trust-unreadable"])
    });
    replace(&(text + "\n"));
    eventually("the alarm ends", || gwd.status()["alarms"] == json!([]));
    let needs = world.release_as(&numbered(&upstream, 3), &["policy:teleport"], "rita", "ci");
    eventually("the bundle is refused", || {
        gwd.status()["needs"] == json!(["policy:teleport"])
    });
    gwd.signal(Signal::TERM);
    gwd.wait();

    let mut lines = Vec::new();
    eventually("all audit lines are written", || {
        lines = gwd.events();
        lines.retain(|event| event["level"] == "audit");
        lines.iter().any(|line| line["who"] == "SIGTERM")
    });
    let (one, two) = (json!(one.to_string()), json!(two.to_string()));
    let (null, ok) = (json!(null), "ok");
    let token = "admin token from 127.0.0.1";
    let file = path.display().to_string();
    let because = json!("because");
    let expected = [
        ("release", "rita", &null, &one, &because, ok),
        ("release", "rita", &one, &two, &because, ok),
        ("rollback", "rita", &two, &one, &because, ok),
        ("pin", "rita", &one, &one, &because, ok),
        ("operator-activate", token, &one, &two, &json!("paged"), ok),
        ("operator-rollback", token, &two, &one, &null, ok),
        (
            "operator-activate",
            token,
            &one,
            &json!(absent.to_string()),
            &null,
            "bundle-not-here",
        ),
        (
            "log-level",
            token,
            &json!("info"),
            &json!("error"),
            &null,
            ok,
        ),
        (
            "log-level",
            token,
            &json!("error"),
            &json!("loud"),
            &null,
            "bad-request",
        ),
        (
            "revocations",
            "the store's revocation list",
            &json!("0"),
            &json!("1"),
            &null,
            ok,
        ),
        (
            "release",
            "rita",
            &one,
            &json!(needs.to_string()),
            &because,
            "needs:policy:teleport",
        ),
        (
            "drain",
            "unauthenticated client from 127.0.0.1",
            &null,
            &null,
            &null,
            "admin-token-needed",
        ),
        ("drain", "SIGTERM", &one, &null, &null, ok),
    ];
    for (what, who, from, to, why, result) in expected {
        let fits = |line: &&Value| {
            line["what"] == what
                && line["who"].as_str().unwrap().starts_with(who)
                && (&line["from"], &line["to"], &line["why"]) == (from, to, why)
                && line["result"] == result
        };
        let count = lines.iter().filter(fits).count();
        assert_eq!(count, 1, "{what} {result}: {lines:#?}");
    }
    let of = |what: &str| lines.iter().filter(|line| line["what"] == what).count();
    let trust = lines.iter().filter(|line| line["what"] == "trust");
    assert!(trust.clone().all(|line| line["who"] == file));
    let results: Vec<&str> = trust.map(|line| line["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["malformed", "ok"], "{lines:#?}");
    assert_eq!((of("resume"), of("hold-ended")), (1, 0));
    for line in &lines {
        for field in [
            "timestamp",
            "message",
            "what",
            "who",
            "from",
            "to",
            "result",
        ] {
            assert!(line.get(field).is_some(), "{field}: {line}");
        }
    }
}
