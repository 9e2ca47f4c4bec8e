//! Tests of witnesses with tokens that an introspection endpoint judges (RFC 7662): active and
//! inactive tokens, other issuers, audiences and scopes.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::{Answer, Seen, Upstream};
use serde_json::{Value, json};

use super::tokens::{AT_S, DOCUMENT, ISSUER, SLACK_S, UNVERIFIED};
use super::{Sources, answer, each_witness, is_expected, is_refused, released, text_of};

const CLIENT: &str = "the gateway";

/// Signature text of tokens that every endpoint reports as inactive.
const WITHDRAWN: &str = "d2l0aGRyYXdu";

/// Thumbprints of the keys that make proofs of possession, by algorithm (RFC 7638).
pub(super) type Thumbprints = BTreeMap<String, String>;

/// Starts an introspection endpoint. A token is active if its witness names this endpoint.
pub(super) fn endpoint(thumbprints: Thumbprints) -> Upstream {
    Upstream::scripted(move |seen| {
        let members = members(seen, &thumbprints);
        let members = members.unwrap_or_else(|| json!({"active": false}));
        Answer {
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            ..Answer::ok(members.to_string())
        }
    })
}

/// Settings of the verifier that calls this endpoint.
pub(super) fn verifier(endpoint: &Upstream) -> Value {
    json!({
        "kind": "introspection", "url": format!("{}/introspect", endpoint.url()),
        "client_id": CLIENT, "client_secret": "${env:GWS_IDP}",
        "issuer": ISSUER, "audience": ["orders"],
    })
}

/// Starts a gateway that has the secret of [`verifier`].
pub(super) fn start(project: &Project) -> Gateway {
    let options = Options::of(project).workers(1);
    options.variable("GWS_IDP", "s3cret").start()
}

/// Members of the response about an active token: its claims, with times moved to the current time.
/// `None` if the token is inactive.
fn members(seen: &Seen, thumbprints: &Thumbprints) -> Option<Value> {
    let form = String::from_utf8(seen.body.clone()).expect("a form");
    let token = form.split('&').find_map(|one| one.strip_prefix("token="));
    let parts: Vec<&str> = token.expect("a token").split('.').collect();
    let [header, claims, signature] = parts[..] else {
        return None;
    };
    let part = |text: &str| -> Value {
        let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let (header, mut members) = (part(header), part(claims));
    let host = seen.header("host").expect("a host");
    let own = format!("introspection {CLIENT} http://{host}{}", seen.target);
    let endpoints = header["asked"].as_array()?;
    if signature == WITHDRAWN || !endpoints.contains(&json!(own)) {
        return None;
    }
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let now_s = now.expect("after 1970").as_secs_f64();
    for name in ["exp", "nbf", "iat"] {
        if let Some(time_s) = members[name].as_f64() {
            members[name] = json!(now_s + time_s - AT_S + SLACK_S);
        }
    }
    if let Some(proof) = header["proof"].as_str() {
        let algorithm = proof.split(' ').nth(1).expect("an algorithm");
        members["cnf"] = json!({"jkt": thumbprints[algorithm]});
    }
    members["active"] = json!(true);
    Some(members)
}

/// Text of a witness request. If `is_withdrawn`, its token is inactive at every endpoint.
fn request(witness: &Value, is_withdrawn: bool) -> String {
    text_of(witness, |_, value| match value.strip_prefix("bearer ") {
        Some(token) if is_withdrawn => {
            let (signed, _) = token.rsplit_once('.').unwrap_or((token, ""));
            format!("Bearer {signed}.{WITHDRAWN}")
        }
        Some(token) => format!("Bearer {token}"),
        None => value.to_owned(),
    })
}

/// Edit of the new version: name, and function that changes the verifier and the document. The
/// function gets the settings of a verifier with another endpoint.
type Edit = (&'static str, fn(&mut Value, &mut String, Value));

const EDITS: &[Edit] = &[
    ("another audience is accepted", |idp, _, _| {
        idp["audience"] = json!(["orders", "shop"]);
    }),
    ("another audience", |idp, _, _| {
        idp["audience"] = json!(["shop"]);
    }),
    ("another issuer", |idp, _, _| {
        idp["issuer"] = json!("https://other.example");
    }),
    ("any issuer", |idp, _, _| {
        idp.as_object_mut().expect("settings").remove("issuer");
    }),
    ("another endpoint", |idp, _, other| *idp = other),
    ("a claim is required", |idp, _, _| {
        idp["required_claims"] = json!(["tenant"]);
    }),
    ("scopes in another claim", |idp, _, _| {
        idp["scope_claim"] = json!("scp");
    }),
    ("a scope is required no more", |_, document, _| {
        *document = document.replace("[write]", "[]");
    }),
    (UNVERIFIED[0], |_, document, _| {
        *document = document.replace("{auth: idp}", "{verify: upstream}");
    }),
    (UNVERIFIED[1], |_, document, _| {
        let public = "operationId: list, security: [], x-gateway: {public: true}";
        *document = document.replace("operationId: list", public);
    }),
];

/// Plans each edit in both directions: from the original to the edited version, and back.
#[test]
fn two_gateways_introspect_tokens_as_the_plan_says() {
    let upstreams = [Upstream::start(), Upstream::start()];
    let endpoints = [(); 2].map(|()| endpoint(Thumbprints::new()));
    let gateway = |idp: &Value| {
        json!({
            "version": 1, "name": "asked", "apis": {"a": {"path": "openapi.yaml"}},
            "auth": {"idp": idp},
            "upstreams": {"u": {"targets": {"a": {"url": upstreams[0].url()}}}},
            "defaults": {"upstream": "u"},
            "release": {"store": "./releases", "channel": "prod"},
        })
        .to_string()
    };
    let plain = verifier(&endpoints[0]);
    let before: Sources = (gateway(&plain), DOCUMENT.to_owned());
    let (mut classes, mut sent, mut withdrawn) = (BTreeSet::new(), 0, 0);
    for (name, edit) in EDITS {
        let (mut idp, mut document) = (plain.clone(), DOCUMENT.to_owned());
        edit(&mut idp, &mut document, verifier(&endpoints[1]));
        let after = (gateway(&idp), document);
        assert_ne!(before, after, "{name}");
        let versions = [&before, &after];
        let projects = versions.map(|(gateway, document)| released(gateway, document));
        let mut running = projects.each_ref().map(start);
        let shown = each_witness(name, &projects, versions, |change, [old, new]| {
            let witness = &change["witness"];
            let own = request(witness, false);
            for (side, index) in [("old", old), ("new", new)] {
                let expected = &witness["expect"][side];
                let answer = answer(&running[index], &own, upstreams.each_ref());
                let what = format!("{name}: {own:?} of {change:#} at the {side} one");
                is_expected(&answer, expected, &what);
                if !UNVERIFIED.contains(name) && own.contains("Bearer") {
                    let is_admitted = expected["status"].is_null();
                    let fault = is_admitted.then_some(("token_fault", "inactive"));
                    is_refused(&running[index], &request(witness, true), fault);
                    withdrawn += 1;
                }
            }
        });
        sent += shown.len();
        classes.extend(shown);
        for gateway in &mut running {
            gateway.stop();
        }
    }
    println!("{sent} witnesses, {withdrawn} withdrawn, {classes:?}");
    assert!(sent >= 2 * EDITS.len(), "{sent}");
    assert!(withdrawn >= 2 * EDITS.len(), "{withdrawn}");
    for class in ["weaken", "strengthen", "incomparable"] {
        assert!(classes.contains(class), "{class}");
    }
    assert!(upstreams.iter().all(|upstream| upstream.take().is_empty()));
}
