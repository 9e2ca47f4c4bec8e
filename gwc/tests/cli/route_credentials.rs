//! Tests of credentials in the output of `gwc route`: assumed, hidden, removed and revoked
//! credentials.

use serde_json::{Value, json};

use crate::project::Project;
use crate::route::{ask, explained, shop};

#[test]
fn upstream_request_is_shown_without_secrets() {
    let project = shop();
    let sent = [
        "GET",
        "http://api.shop.example/v1/orders?page=2",
        "-H",
        "X-Key: test",
        "-H",
        "X-Forwarded-For: 6.6.6.6",
        "-H",
        "Cookie: a=verysecret",
        "-H",
        "Accept: text/plain",
    ];
    let ended = ask(&project, &sent).with(0);
    assert!(
        !ended.out.contains("verysecret") && !ended.out.contains("GWS_MARK\": \"v"),
        "{}",
        ended.out
    );
    let answer = ended.json("route/v1");
    assert_eq!(answer["consumer"], "acme");
    let upstream = &answer["upstream"];
    assert_eq!(
        upstream["targets"],
        json!([
            {"name": "a", "weight": 3, "url": "http://127.0.0.1:9000/api/orders?page=2", "host": "api.shop.example"},
            {"name": "b", "weight": 1, "url": "http://127.0.0.2:9000/orders?page=2", "host": "api.shop.example"},
        ])
    );
    assert_eq!(upstream["request"]["path"], "/api/orders?page=2");
    assert_eq!(upstream["request"]["headers"]["x-key"], "(hidden)");
    assert_eq!(upstream["request"]["headers"]["cookie"], "(hidden)");
    assert_eq!(upstream["request"]["headers"]["accept"], "text/plain");
    assert_eq!(upstream["added"]["x-mark"], "(hidden)");
    assert_eq!(upstream["added"]["x-consumer-name"], "acme");
    // Forwarding fields of an untrusted client are replaced.
    assert_eq!(
        upstream["changed"]["x-forwarded-for"],
        json!({"old": "6.6.6.6", "new": "203.0.113.1"})
    );
    // A credential in the query is hidden, as in logs.
    project.edit(
        "orders.yaml",
        "in: header, name: X-Key",
        "in: query, name: key",
    );
    let ended = ask(&project, &["GET", "/orders?key=test&a=b"]).with(0);
    let answer = ended.json("route/v1");
    assert_eq!(
        answer["upstream"]["request"]["path"],
        "/api/orders?key=(hidden)&a=b"
    );
    // If the gateway itself responds, the output shows its response.
    let answer = explained(&project, &["GET", "/orders/?a=b"]);
    assert_eq!(
        (&answer["decision"], &answer["upstream"]),
        (&json!("respond"), &Value::Null)
    );
    assert_eq!(
        answer["response"],
        json!({"status": 308, "headers": [{"name": "location", "value": "/orders?a=b"}]})
    );
}

#[test]
fn credential_is_evaluated_without_its_value() {
    let project = shop();
    let with =
        |credential: &str| explained(&project, &["GET", "/orders", "--credential", credential]);
    let valid = with("key=valid");
    assert_eq!(valid["decision"], "forward");
    assert_eq!(valid["consumer"], "(owner of the valid credential)");
    assert_eq!(with("key=forged")["reason"], "credential_invalid");
    assert_eq!(with("header x-key by keys=valid")["decision"], "forward");
    // Only the option `--credential` makes a credential valid; a key with the same text does not.
    let guessed = explained(&project, &["GET", "/orders", "-H", "X-Key: valid"]);
    assert_eq!(guessed["reason"], "credential_invalid");
    let unknown = project.run(&["route", "GET", "/orders", "--credential", "kay=valid"]);
    unknown.with(64).contains(
        "the request belongs to `orders`, which has no security scheme `kay`: only `key` is known",
    );
    let twice = [
        "route",
        "GET",
        "/orders",
        "-H",
        "X-Key: a",
        "--credential",
        "key=valid",
    ];
    project
        .run(&twice)
        .with(64)
        .contains("write either -H or --credential");
    let without_scheme = project.run(&["route", "GET", "/none", "--credential", "key=valid"]);
    without_scheme
        .with(0)
        .contains("no operation matches the request, so `--credential` is ignored");
}

#[test]
fn route_shows_the_cors_policy_that_is_not_run() {
    let project = shop();
    project.write(
        "gateway.yaml",
        r#"
version: 1
name: shop
apis: {s: {path: s.yaml}}
upstreams: {u: {targets: {a: {url: "http://127.0.0.1:9"}}}}
auth: {keys: {kind: api_key}}
policies:
  first: {kind: cors, origins: ["https://a.example"]}
  nearest: {kind: cors, origins: ["https://b.example"]}
  closed: {kind: respond, status: 503, body: closed}
errors: {ip_denied: {status: 404}}
defaults: {upstream: u}
"#,
    );
    project.write(
        "s.yaml",
        r#"
openapi: 3.1.0
info: {title: s, version: "1"}
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys, strip_credential: true}}}}
paths:
  /closed:
    get: {operationId: closed, security: [], x-gateway: {public: true, policies: [first, nearest, closed]}, responses: {}}
"#,
    );
    let answer = explained(&project, &["GET", "/closed"]);
    let steps = answer["chain"].as_array().unwrap().iter();
    let outcomes = steps.map(|step| (step["policy"].as_str(), step["outcome"].as_str()));
    let expected = [
        ("public", "continue"),
        ("first", "not run"),
        ("nearest", "continue"),
        ("closed", "reply"),
    ];
    let expected = expected.map(|(policy, outcome)| (Some(policy), Some(outcome)));
    assert_eq!(outcomes.collect::<Vec<_>>(), expected);
}

/// SHA-256 of the key `test`.
const TEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[test]
fn revoked_credential_is_refused() {
    let project = Project::released();
    let key = ["GET", "/orders", "-H", "X-Key: test"];
    let status = |more: &[&str]| {
        let answer = explained(&project, &[&key[..], more].concat());
        (answer["decision"].clone(), answer["why"].clone())
    };
    assert_eq!(status(&[]).0, "forward");
    let (decision, why) = status(&["--revoked", TEST]);
    assert_eq!(decision, "reject");
    assert_eq!(why, "a credential of the request is revoked (--revoked)");
    assert_eq!(status(&["--revoked", &"a".repeat(64)]).0, "forward");
    ask(&project, &[&key[..], &["--revoked", "test"]].concat()).with(64);
    // Revoke the credential in the store's revocation list.
    let revoke = [
        "revoke",
        "--key",
        "keys/release.pem",
        "--yes",
        "--credential",
        TEST,
    ];
    project.run(&revoke).with(0);
    let (decision, why) = status(&[]);
    assert_eq!(decision, "reject");
    assert_eq!(
        why,
        "a credential of the request is revoked (revocation list 1)"
    );
    assert_eq!(
        explained(&project, &["GET", "/orders", "--credential", "key=valid"])["decision"],
        "forward"
    );
    project
        .run(&["route", "GET", "/orders", "-H", "X-Key: test"])
        .with(0)
        .contains("is revoked (revocation list 1)");
    // A revocation list without a trusted signature is not used.
    let trust = project
        .read("trust.json")
        .replace("\"release\"", "\"other\"");
    project.write("trust.json", trust);
    let answer = project.run(&[&["route"], &key[..]].concat()).with(0);
    assert!(answer.err.contains("is not used"), "{}", answer.err);
}
