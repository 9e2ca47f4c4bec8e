//! Tests of credentials that are valid once, with two gateways on one store: proofs of possession
//! (DPoP) and nonces of signatures.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::openssl::{RsaKey, sha256};
use e2e::peers::Peer;
use serde_json::{Value, json};

use super::*;

/// Secret with which the consumer `acme` signs its requests.
const SIGNING: &str = "a secret of acme, of at least thirty-two bytes";

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
components:
  securitySchemes:
    bound: {type: http, scheme: dpop, x-gateway: {auth: bound}}
    signed: {type: apiKey, in: header, name: Signature, x-gateway: {auth: signed}}
paths:
  /bound: {get: {operationId: bound, security: [{bound: []}], responses: {"200": {description: ok}}}}
  /signed: {get: {operationId: signed, security: [{signed: []}], responses: {"200": {description: ok}}}}
"#;

/// Two gateways that can share a store, and a client with credentials.
struct Fleet {
    project: Project,
    gateways: Vec<Gateway>,
    settings: Value,
    key: RsaKey,
    signer: Peer,
    number: u32,
}

/// Kinds of credentials, as paths of their operations.
const KINDS: [&str; 2] = ["/bound", "/signed"];

/// Status of a response, code of its refusal, and the field `store-outage`.
type Answer = (u16, String, Option<String>);

fn admitted() -> Answer {
    (200, String::new(), None)
}

/// Refusal of a credential that was used before.
fn replayed(kind: &str) -> Answer {
    let code = match kind {
        "/bound" => "dpop_proof_invalid",
        _ => "signature_invalid",
    };
    (401, code.to_owned(), None)
}

/// SHA-256 of a text in base64url.
fn digest(text: &str) -> String {
    let hex = sha256(text.as_bytes());
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Fleet {
    /// Starts two gateways. `None` if Redis or Python is not installed.
    fn start(upstream: &Upstream, server: &Server, store: &Value) -> Option<Self> {
        let signer = Peer::plain_python("signer.py")?;
        let key = RsaKey::new();
        let jwks = json!({"keys": [{"kty": "RSA", "kid": "a", "n": key.modulus(), "e": "AQAB"}]});
        let settings = json!({
            "version": 1, "name": "stores", "apis": {"s": {"path": "openapi.yaml"}},
            "upstreams": {"main": {"targets": {"a": {"url": upstream.url()}}}},
            "stores": {"shared": {"kind": "redis", "url": "${env:GWS_STORE}", "on_outage": "open"}},
            "policies": {"some": {"kind": "rate_limit", "limit": "1000/s", "key": "address", "store": "shared"}},
            "auth": {
                "idp": {"kind": "jwt", "issuer": "tests", "audience": ["orders"], "algorithms": ["RS256"], "jwks": jwks},
                "bound": {"kind": "dpop", "token": "idp", "algorithms": ["RS256"]},
                "signed": {"kind": "hmac_signature", "secrets": {"acme": "${env:GWS_ACME}"}},
            },
            "consumers": {"acme": {}},
            "defaults": {"upstream": "main"},
        });
        let project = Project::with(&settings.to_string(), DOCUMENT);
        project.keygen();
        let mut fleet = Self {
            project,
            gateways: Vec::new(),
            settings,
            key,
            signer,
            number: 0,
        };
        fleet.release(store);
        let options = Options::of(&fleet.project)
            .variable("GWS_STORE", &server.url())
            .variable("GWS_ACME", SIGNING);
        fleet.gateways = [(); 2].map(|()| options.start()).into();
        Some(fleet)
    }

    /// Releases both verifiers with these settings of their store, and waits until the gateways
    /// serve them.
    fn release(&mut self, store: &Value) {
        let mut settings = self.settings.clone();
        for verifier in ["bound", "signed"] {
            for (key, value) in store.as_object().expect("settings") {
                settings["auth"][verifier][key] = value.clone();
            }
        }
        if !store
            .as_object()
            .is_some_and(|keys| keys.contains_key("store"))
        {
            // A store without a user is a finding.
            settings["defaults"]["policies"] = json!([]);
        }
        self.project.write("gateway.yaml", settings.to_string());
        let bundle = self.project.apply();
        for gwd in &self.gateways {
            gwd.wait_bundle(&bundle);
        }
    }

    /// Request with a new credential of this kind.
    fn request(&mut self, kind: &str) -> String {
        self.number += 1;
        let fields = match kind {
            "/bound" => self.proof(),
            _ => self.signature(),
        };
        format!("GET {kind} HTTP/1.1\r\nhost: h{fields}")
    }

    fn proof(&self) -> String {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let now = now.expect("after 1970").as_secs();
        let n = self.key.modulus();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let jws = |head: &Value, claims: &Value| {
            let signed = format!("{}.{}", part(head), part(claims));
            let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
            format!("{signed}.{signature}")
        };
        let thumbprint = digest(&format!(r#"{{"e":"AQAB","kty":"RSA","n":"{n}"}}"#));
        let claims = json!({
            "iss": "tests", "aud": "orders", "sub": "alice", "exp": now + 3_600,
            "cnf": {"jkt": thumbprint},
        });
        let token = jws(&json!({"alg": "RS256", "kid": "a"}), &claims);
        let jwk = json!({"kty": "RSA", "n": n, "e": "AQAB"});
        let head = json!({"alg": "RS256", "typ": "dpop+jwt", "jwk": jwk});
        let claims = json!({
            "jti": format!("j{}", self.number), "htm": "GET", "htu": "http://h/bound", "iat": now,
            "ath": digest(&token),
        });
        format!(
            "\r\nauthorization: DPoP {token}\r\ndpop: {}",
            jws(&head, &claims)
        )
    }

    fn signature(&mut self) -> String {
        let answer = self.signer.ask(&json!({
            "method": "GET", "url": "http://h/signed", "secret": SIGNING,
            "covered": ["\"@method\"", "\"@target-uri\"", "\"@authority\""],
            "params": format!(";keyid=\"acme\";nonce=\"n{}\"", self.number),
        }));
        let fields = answer["fields"].as_array().expect("fields").iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let lines = fields.map(|field| format!("\r\n{}: {}", text(&field[0]), text(&field[1])));
        lines.collect()
    }

    fn send(&self, gateway: usize, request: &str) -> Answer {
        let response = self.gateways[gateway].ask(request);
        let code = match response.status {
            200 => String::new(),
            _ => response.json()["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        };
        let outage = response.header("store-outage").map(str::to_owned);
        (response.status, code, outage)
    }

    /// Waits until both gateways use the store, with new credentials.
    fn wait_store(&mut self) {
        for (gateway, kind) in [(0, "/signed"), (1, "/signed")] {
            wait::until("the store answers", || {
                let request = self.request(kind);
                (self.send(gateway, &request) == admitted()).then_some(())
            });
        }
    }

    /// Number of failed calls to the store.
    fn outages(&self) -> f64 {
        outages(&self.gateways.iter().collect::<Vec<_>>())
    }
}

/// Runs a scenario until no call to the store is late during the scenario.
fn undisturbed_fleet<T>(fleet: &mut Fleet, run: impl Fn(&mut Fleet) -> T) -> T {
    wait::until("no call to the store is late", || {
        fleet.wait_store();
        let before = fleet.outages();
        let result = run(fleet);
        (fleet.outages() == before).then_some(result)
    })
}

#[test]
fn credential_is_accepted_once_by_a_fleet() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let Some(mut fleet) = Fleet::start(&upstream, &server, &json!({"store": "shared"})) else {
        return prerequisite::skip("Python is not installed");
    };
    for kind in KINDS {
        let answers = undisturbed_fleet(&mut fleet, |fleet| {
            server.ask(&["FLUSHALL"]);
            let (one, other) = (fleet.request(kind), fleet.request(kind));
            let uses = [(0, &one), (1, &one), (0, &one), (1, &other), (0, &other)];
            let answers = uses.map(|(gateway, request)| fleet.send(gateway, request));
            let records = server.ask(&["KEYS", "stores:{*"]);
            let of = match kind {
                "/bound" => "{proof:",
                _ => "{nonce:",
            };
            let records: Vec<&str> = records.lines().filter(|key| key.contains(of)).collect();
            let ttls = records.iter().map(|key| server.ask(&["TTL", key]));
            (
                answers,
                ttls.map(|ttl| ttl.parse().expect("seconds"))
                    .collect::<Vec<u64>>(),
            )
        });
        let replayed = replayed(kind);
        let expected = [
            admitted(),
            replayed.clone(),
            replayed.clone(),
            admitted(),
            replayed,
        ];
        assert_eq!(answers.0, expected, "{kind}");
        // A record lasts for the window (1 or 5 minutes) and the largest difference of clocks.
        let lasts_s = if kind == "/bound" { 121 } else { 361 };
        assert_eq!(answers.1.len(), 2, "{kind}");
        assert!(
            answers
                .1
                .iter()
                .all(|ttl| (lasts_s - 10..=lasts_s).contains(ttl)),
            "{answers:?}"
        );
    }
}

/// `closed` refuses credentials that the store cannot check. `local` accepts a credential once at
/// each gateway, and the other gateways refuse it after the outage.
#[test]
fn outage_refuses_or_is_accepted_once_per_gateway() {
    if is_missing() {
        return;
    }
    let (upstream, mut server) = (Upstream::start(), Server::start(&[]));
    let closed = json!({"store": "shared"});
    let local = json!({"store": "shared", "on_outage": "local"});
    let Some(mut fleet) = Fleet::start(&upstream, &server, &closed) else {
        return prerequisite::skip("Python is not installed");
    };
    fleet.wait_store();
    server.kill();
    let marked = |verdict: &str| Some(format!("\"shared\";verdict={verdict}"));
    let refused = (503, "replay_check_unavailable".to_owned(), marked("closed"));
    for kind in KINDS {
        let request = fleet.request(kind);
        for gateway in [0, 1, 0] {
            assert_eq!(fleet.send(gateway, &request), refused, "{kind}");
        }
    }
    fleet.release(&local);
    let requests = KINDS.map(|kind| fleet.request(kind));
    let accepted = (200, String::new(), marked("local"));
    for (kind, request) in KINDS.iter().zip(&requests) {
        assert_eq!(fleet.send(0, request), accepted, "{kind}");
        let (status, code, _) = fleet.send(0, request);
        assert_eq!((status, code), (401, replayed(kind).1), "{kind}");
    }
    let both = fleet.request("/bound");
    assert_eq!(
        [0, 1].map(|gateway| fleet.send(gateway, &both)),
        [(); 2].map(|()| accepted.clone())
    );
    server.restart();
    wait::until("the first gateway has recorded what it accepted", || {
        let records = server.ask(&["KEYS", "stores:{*"]);
        (records.contains("{nonce:") && records.contains("{proof:")).then_some(())
    });
    fleet.wait_store();
    for (kind, request) in KINDS.iter().zip(&requests) {
        wait::until("the other gateway refuses it", || {
            (fleet.send(1, request) == replayed(kind)).then_some(())
        });
    }
}

/// From a table in each gateway to a store, each gateway records what it accepted before. From a
/// store to tables, each gateway still asks the store.
#[test]
fn change_of_the_store_forgets_no_use() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let (local, shared) = (json!({}), json!({"store": "shared"}));
    for kind in KINDS {
        let answers = wait::until("no call to the store is late", || {
            server.ask(&["FLUSHALL"]);
            let Some(mut fleet) = Fleet::start(&upstream, &server, &local) else {
                return Some(None);
            };
            let [before, during, after] = [(); 3].map(|()| fleet.request(kind));
            let first = fleet.send(0, &before);
            fleet.release(&shared);
            wait::until("the gateway has recorded what it accepted", || {
                (server.ask(&["DBSIZE"]) != "0").then_some(())
            });
            fleet.wait_store();
            let outages = fleet.outages();
            let replayed = fleet.send(1, &before);
            let second = fleet.send(0, &during);
            fleet.release(&local);
            let former = fleet.send(1, &during);
            let third = fleet.send(1, &after);
            let answers = [first, replayed, second, former, third];
            (fleet.outages() == outages).then_some(Some(answers))
        });
        let Some(answers) = answers else {
            return prerequisite::skip("Python is not installed");
        };
        let expected = [
            admitted(),
            replayed(kind),
            admitted(),
            replayed(kind),
            admitted(),
        ];
        assert_eq!(answers, expected, "{kind}");
    }
}
