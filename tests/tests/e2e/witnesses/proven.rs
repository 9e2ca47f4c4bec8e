//! Tests of witnesses with proofs of possession (RFC 9449). `dpop` (npm) makes the proofs with keys
//! that gwc does not have, and the test's introspection endpoint names the key of each token.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::gateway::Gateway;
use e2e::openssl;
use e2e::peers::{self, Peer};
use e2e::upstream::Upstream;
use serde_json::{Value, json};

use super::asked::{Thumbprints, endpoint, start, verifier};
use super::tokens::SLACK_S;
use super::{Sources, answer, each_witness, is_expected, is_refused, released, text_of};

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: [{token: []}]
paths:
  /list: {get: {operationId: list, responses: {\"200\": {description: fine}}}}
  /write: {get: {operationId: write, security: [{token: [write]}], responses: {\"200\": {description: fine}}}}
components:
  securitySchemes:
    token: {type: oauth2, flows: {clientCredentials: {tokenUrl: \"https://idp.example/t\", scopes: {write: w}}}, x-gateway: {auth: bound}}
";

/// Program that makes proofs, with one key for each algorithm.
struct Maker {
    peer: Peer,
}

/// Proof that the maker makes for a witness.
#[derive(Clone, Copy)]
struct Made<'a> {
    nonce: Option<&'a str>,
    /// Method that the proof names instead of the method of the witness.
    method: Option<&'a str>,
}

/// Properties of the proof that a witness needs.
struct Needed {
    key: &'static str,
    age_s: f64,
    has_nonce: bool,
}

impl Needed {
    /// Properties in the text that stands for a proof: the algorithm, the age in milliseconds, and
    /// `nonce` if the proof has one.
    fn of(witness: &Value) -> Option<Self> {
        let text = witness["headers"]["dpop"].as_str()?;
        let mut words = text.strip_prefix("witness ").expect("a witness").split(' ');
        let key = key_of(words.next().expect("an algorithm"));
        let age_ms: f64 = words.next().and_then(|age| age.parse().ok()).expect("ms");
        Some(Self {
            key,
            // Leave time for the responses of the gateways.
            age_s: age_ms / 1_000.0 - SLACK_S,
            has_nonce: words.next().is_some(),
        })
    }
}

/// Name of the maker's key for an algorithm.
fn key_of(algorithm: &str) -> &'static str {
    match algorithm {
        "ES256" => "ES256",
        "RS256" => "RS256",
        "EdDSA" => "Ed25519",
        other => panic!("the program has no key for {other}"),
    }
}

impl Maker {
    /// Starts the program. `None` if it is not installed.
    fn new() -> Option<Self> {
        let peer = Peer::node("dpop.mjs", &[] as &[&str])?;
        Some(Self { peer })
    }

    fn proof(&mut self, recipe: &Value) -> String {
        let made = self.peer.ask(recipe);
        made["proof"].as_str().expect("a proof").to_owned()
    }

    /// Thumbprint of the key for each algorithm (RFC 7638): SHA-256 of the key's members in the
    /// order of their names.
    fn thumbprints(&mut self) -> Thumbprints {
        let thumbprint = |algorithm: &str| {
            let recipe =
                json!({"key": key_of(algorithm), "htm": "GET", "htu": "http://api.example/"});
            let proof = self.proof(&recipe);
            let (header, _) = proof.split_once('.').expect("parts");
            let header = URL_SAFE_NO_PAD.decode(header).expect("base64url");
            let header: Value = serde_json::from_slice(&header).expect("JSON");
            let members = header["jwk"].as_object().expect("a key");
            let members: BTreeMap<&String, &Value> = members.iter().collect();
            let hex = openssl::sha256(json!(members).to_string().as_bytes());
            let digits = hex.as_bytes().chunks(2);
            let bytes: Vec<u8> = digits
                .map(|two| std::str::from_utf8(two).expect("digits"))
                .map(|two| u8::from_str_radix(two, 16).expect("a byte"))
                .collect();
            (algorithm.to_owned(), URL_SAFE_NO_PAD.encode(bytes))
        };
        ["ES256", "RS256", "EdDSA"].map(thumbprint).into()
    }

    /// Text of a witness request, with a new proof.
    fn request(&mut self, witness: &Value, made: Made<'_>) -> String {
        let token = witness["headers"]["authorization"].as_str();
        let token = token.and_then(|value| value.split_once(' '));
        let needed = Needed::of(witness);
        text_of(witness, |name, value| match (name, value.split_once(' ')) {
            ("authorization", Some(("dpop", token))) => format!("DPoP {token}"),
            ("authorization", Some(("bearer", token))) => format!("Bearer {token}"),
            ("dpop", _) => {
                let needed = needed.as_ref().expect("a proof");
                let method = made.method.or(witness["method"].as_str());
                self.proof(&json!({
                    "key": needed.key, "htm": method, "htu": witness["url"],
                    "token": token.expect("a token").1, "nonce": made.nonce,
                    "age_s": needed.age_s,
                }))
            }
            _ => value.to_owned(),
        })
    }
}

/// Edit of the new version: name, and function that changes the verifiers and the document.
type Edit = (&'static str, fn(&mut Value, &mut String));

const EDITS: &[Edit] = &[
    ("another algorithm", |auth, _| {
        auth["bound"]["algorithms"] = json!(["ES256", "RS256"]);
    }),
    ("other algorithms", |auth, _| {
        auth["bound"]["algorithms"] = json!(["EdDSA"]);
    }),
    ("a longer window", |auth, _| {
        auth["bound"]["window"] = json!("120s");
    }),
    ("a nonce is required", |auth, _| {
        auth["bound"]["nonce"] = json!(true);
    }),
    ("a nonce and a longer window", |auth, _| {
        auth["bound"]["nonce"] = json!(true);
        auth["bound"]["window"] = json!("120s");
    }),
    ("another audience is accepted", |auth, _| {
        auth["idp"]["audience"] = json!(["orders", "shop"]);
    }),
    ("a scope is required no more", |_, document| {
        *document = document.replace("[write]", "[]");
    }),
    ("a bearer token suffices", |_, document| {
        *document = document.replace("{auth: bound}", "{auth: idp}");
    }),
];

/// Plans each edit in both directions: from the original to the edited version, and back.
#[test]
fn two_gateways_check_proofs_as_the_plan_says() {
    let Some(mut maker) = Maker::new() else {
        return prerequisite::skip(peers::MISSING);
    };
    let upstreams = [Upstream::start(), Upstream::start()];
    let endpoint = endpoint(maker.thumbprints());
    let gateway = |auth: &Value| {
        json!({
            "version": 1, "name": "proven", "apis": {"a": {"path": "openapi.yaml"}},
            "auth": auth,
            "upstreams": {"u": {"targets": {"a": {"url": upstreams[0].url()}}}},
            "defaults": {"upstream": "u"},
            "release": {"store": "./releases", "channel": "prod"},
        })
        .to_string()
    };
    let plain = json!({"idp": verifier(&endpoint), "bound": {"kind": "dpop", "token": "idp"}});
    let before: Sources = (gateway(&plain), DOCUMENT.to_owned());
    let (mut classes, mut faults) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
    for (name, edit) in EDITS {
        let (mut auth, mut document) = (plain.clone(), DOCUMENT.to_owned());
        edit(&mut auth, &mut document);
        let after = (gateway(&auth), document);
        assert_ne!(before, after, "{name}");
        let versions = [&before, &after];
        let projects = versions.map(|(gateway, document)| released(gateway, document));
        let mut running = projects.each_ref().map(start);
        let shown = each_witness(name, &projects, versions, |change, [old, new]| {
            for (side, index) in [("old", old), ("new", new)] {
                let seen = Seen {
                    gateway: &running[index],
                    upstreams: upstreams.each_ref(),
                    witness: &change["witness"],
                    side,
                };
                let what = format!("{name}: {change:#} at the {side} one");
                for fault in seen.check(&mut maker, &what) {
                    *faults.entry(fault).or_insert(0) += 1;
                }
            }
        });
        classes.extend(shown);
        for gateway in &mut running {
            gateway.stop();
        }
    }
    println!("{classes:?}, {faults:?}");
    for class in ["weaken", "strengthen", "incomparable"] {
        assert!(classes.contains(class), "{class}");
    }
    for (fault, least) in [
        ("replayed", EDITS.len()),
        ("method", EDITS.len()),
        ("nonce", 2),
        ("age", 2),
        ("algorithm", 2),
    ] {
        let count = faults.get(fault).copied().unwrap_or(0);
        assert!(count >= least, "{fault}: {faults:?}");
    }
    assert!(upstreams.iter().all(|upstream| upstream.take().is_empty()));
}

/// Witness at one of the gateways.
struct Seen<'a> {
    gateway: &'a Gateway,
    upstreams: [&'a Upstream; 2],
    witness: &'a Value,
    side: &'static str,
}

impl Seen<'_> {
    /// Sends the witness. If the gateway admits it, sends wrong proofs of the same key, which the
    /// gateway must refuse. Returns the reasons why the gateway refused proofs.
    fn check(&self, maker: &mut Maker, what: &str) -> Vec<String> {
        let (witness, gateway) = (self.witness, self.gateway);
        let expected = &witness["expect"][self.side];
        let needed = Needed::of(witness);
        let has_nonce = needed.as_ref().is_some_and(|needed| needed.has_nonce);
        let nonce = has_nonce.then(|| self.nonce(maker));
        let needs_nonce = nonce.as_ref().is_some_and(Option::is_some);
        let nonce = nonce.map(|nonce| nonce.unwrap_or_else(|| "of-another-gateway".to_owned()));
        let nonce = nonce.as_deref();
        let made = Made {
            nonce,
            method: None,
        };
        let request = maker.request(witness, made);
        let got = answer(gateway, &request, self.upstreams);
        is_expected(&got, expected, what);
        if needed.is_none() {
            return Vec::new();
        }
        if !expected["status"].is_null() {
            let response = gateway.ask(&request);
            let id = response.header("x-request-id").expect("an id");
            let line = gateway.access_log().line(id);
            return line["dpop_fault"]
                .as_str()
                .map(str::to_owned)
                .into_iter()
                .collect();
        }
        let method = Some("POST");
        let other = maker.request(witness, Made { method, ..made });
        is_refused(gateway, &other, Some(("dpop_fault", "method")));
        is_refused(gateway, &request, Some(("dpop_fault", "replayed")));
        if !needs_nonce {
            return ["method", "replayed"].map(str::to_owned).into();
        }
        let without = maker.request(
            witness,
            Made {
                nonce: None,
                ..made
            },
        );
        is_refused(gateway, &without, Some(("dpop_fault", "nonce")));
        ["method", "replayed", "nonce"].map(str::to_owned).into()
    }

    /// Nonce that the gateway sends in the response to a proof without one. `None` if the gateway
    /// sends no nonce.
    fn nonce(&self, maker: &mut Maker) -> Option<String> {
        let made = Made {
            nonce: None,
            method: None,
        };
        let response = self.gateway.ask(&maker.request(self.witness, made));
        let _served = self.upstreams.map(Upstream::take);
        response.header("dpop-nonce").map(str::to_owned)
    }
}
