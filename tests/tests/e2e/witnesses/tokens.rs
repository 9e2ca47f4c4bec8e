//! Tests of witnesses with tokens: foreign, expired, forged and valid tokens. PyJWT signs the
//! tokens with keys that gwc does not have.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::gateway::Options;
use e2e::peers::{self, Peer};
use e2e::upstream::{Answer, Upstream};
use serde_json::{Value, json};

use super::{answer, each_witness, is_expected, is_refused, released, text_of};

/// Current time in all witnesses (Unix time, seconds).
pub(super) const AT_S: f64 = 900_000_000.0;
/// Seconds by which the test extends the lifetime of each token. The gateways must respond within
/// this time.
pub(super) const SLACK_S: f64 = 20.0;
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(super) const ISSUER: &str = "https://idp.example";

pub(super) const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: [{token: []}]
paths:
  /list: {get: {operationId: list, responses: {\"200\": {description: fine}}}}
  /write: {get: {operationId: write, security: [{token: [write]}], responses: {\"200\": {description: fine}}}}
components:
  securitySchemes:
    token: {type: oauth2, flows: {clientCredentials: {tokenUrl: \"https://idp.example/t\", scopes: {write: w}}}, x-gateway: {auth: idp}}
";

/// Key that signs the token of a witness.
#[derive(Clone, Copy)]
enum Signer {
    /// Key that the verifier knows.
    Own,
    /// Another key of the same type, with the key id of the known one.
    Foreign,
}

/// Identity provider with one signing key for each algorithm.
struct Provider {
    peer: Peer,
    /// Signature texts of witness tokens, by algorithm. In a witness, the signature text only names
    /// the key.
    signatures: BTreeMap<String, String>,
}

impl Provider {
    /// Creates the provider. `None` if PyJWT is not installed.
    fn new() -> Option<Self> {
        Some(Self {
            peer: Peer::python("tokens.py", &[ISSUER, SECRET])?,
            signatures: BTreeMap::new(),
        })
    }

    fn key(&self, kid: &str) -> Value {
        let keys = self.peer.greeting()["keys"].as_array().expect("keys");
        let key = keys.iter().find(|key| key["kid"] == kid);
        key.expect("a key").clone()
    }

    /// Signs the token of a witness. Times in the claims are moved to the current time. A text that
    /// is not a token stands for any forged token: it is replaced by a token with a foreign key.
    fn signed(&mut self, witness: &str, signer: Signer) -> String {
        let parts: Vec<&str> = witness.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            assert_eq!(witness, "forged");
            return self.token(&json!({"alg": "ES256", "foreign": true}));
        };
        let part = |text: &str| -> Value {
            let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
            serde_json::from_slice(&bytes).expect("JSON")
        };
        let (mut header, given) = (part(header), part(claims));
        let alg = header["alg"].take();
        header.as_object_mut().expect("members").remove("alg");
        let known = self
            .signatures
            .entry(alg.to_string())
            .or_insert_with(|| signature.to_owned());
        assert_eq!(known, signature, "{alg}: the witness names another key");
        // The value `$absent` removes a claim that PyJWT's script would add.
        let mut claims =
            json!({"iss": "$absent", "aud": "$absent", "sub": "$absent", "exp": "$absent"});
        for (name, value) in given.as_object().expect("claims") {
            claims[name] = match (name.as_str(), value.as_f64()) {
                ("exp" | "nbf" | "iat", Some(time_s)) => {
                    json!(format!("$now{:+}", time_s - AT_S + SLACK_S))
                }
                _ => value.clone(),
            };
        }
        let foreign = matches!(signer, Signer::Foreign);
        self.token(&json!({"alg": alg, "header": header, "claims": claims, "foreign": foreign}))
    }

    fn token(&mut self, recipe: &Value) -> String {
        let answer = self.peer.ask(recipe);
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// Text of a witness request, with a signed token.
    fn request(&mut self, witness: &Value, signer: Signer) -> String {
        text_of(witness, |_, value| match value.strip_prefix("bearer ") {
            Some(token) => format!("Bearer {}", self.signed(token, signer)),
            None => value.to_owned(),
        })
    }
}

/// Edit of the new version: name, and function that changes the verifier and the document.
type Edit = (&'static str, fn(&Provider, &mut Value, &mut String));

const EDITS: &[Edit] = &[
    ("another audience is accepted", |_, idp, _| {
        idp["audience"] = json!(["orders", "shop"]);
    }),
    ("another issuer", |_, idp, _| {
        idp["issuer"] = json!("https://other.example");
    }),
    ("another algorithm and its key", |provider, idp, _| {
        idp["algorithms"] = json!(["ES256", "EdDSA"]);
        idp["jwks"] = json!({"keys": [provider.key("P-256"), provider.key("Ed25519")]});
    }),
    ("the key is replaced", |provider, idp, _| {
        idp["algorithms"] = json!(["RS256"]);
        idp["jwks"] = json!({"keys": [provider.key("RSA")]});
    }),
    ("less leeway", |_, idp, _| idp["leeway"] = json!("1s")),
    ("a claim is required", |_, idp, _| {
        idp["required_claims"] = json!(["tenant"]);
    }),
    ("another type", |_, idp, _| idp["types"] = json!(["at+jwt"])),
    ("a maximum lifetime", |_, idp, _| {
        idp["max_lifetime"] = json!("10m");
    }),
    ("scopes in another claim", |_, idp, _| {
        idp["scope_claim"] = json!("scp");
    }),
    ("a scope is required no more", |_, _, document| {
        *document = document.replace("[write]", "[]");
    }),
    ("the upstream verifies", |_, _, document| {
        *document = document.replace("{auth: idp}", "{verify: upstream}");
    }),
    ("no token is required", |_, _, document| {
        let public = "operationId: list, security: [], x-gateway: {public: true}";
        *document = document.replace("operationId: list", public);
    }),
];

/// Edits after which one version does not verify each token.
pub(super) const UNVERIFIED: [&str; 2] = ["the upstream verifies", "no token is required"];

/// Plans each edit in both directions: from the original to the edited version, and back.
#[test]
fn two_gateways_verify_tokens_as_the_plan_says() {
    let Some(mut provider) = Provider::new() else {
        return prerequisite::skip(peers::MISSING);
    };
    let upstreams = [Upstream::start(), Upstream::scripted(Answer::as_requested)];
    let gateway = |idp: &Value| {
        json!({
            "version": 1, "name": "tokens", "apis": {"a": {"path": "openapi.yaml"}},
            "auth": {"idp": idp},
            "upstreams": {"u": {"targets": {"a": {"url": upstreams[0].url()}}}},
            "defaults": {"upstream": "u"},
            "release": {"store": "./releases", "channel": "prod"},
        })
        .to_string()
    };
    let plain = json!({
        "kind": "jwt", "issuer": ISSUER, "audience": ["orders"], "algorithms": ["ES256"],
        "jwks": {"keys": [provider.key("P-256")]},
    });
    let before = (gateway(&plain), DOCUMENT.to_owned());
    let (mut sent, mut forged) = (0, 0);
    for (name, edit) in EDITS {
        let verified = !UNVERIFIED.contains(name);
        let (mut idp, mut document) = (plain.clone(), DOCUMENT.to_owned());
        edit(&provider, &mut idp, &mut document);
        let after = (gateway(&idp), document);
        assert_ne!(before, after, "{name}");
        let versions = [&before, &after];
        let projects = versions.map(|(gateway, document)| released(gateway, document));
        let mut running = projects
            .each_ref()
            .map(|project| Options::of(project).workers(1).start());
        sent += each_witness(name, &projects, versions, |change, [old, new]| {
            let witness = &change["witness"];
            let request = provider.request(witness, Signer::Own);
            let expect = &witness["expect"];
            for (side, index) in [("old", old), ("new", new)] {
                let answer = answer(&running[index], &request, upstreams.each_ref());
                let what = format!("{name}: {request:?} of {change:#} at the {side} one");
                is_expected(&answer, &expect[side], &what);
            }
            if verified && request.contains("Bearer") {
                let request = provider.request(witness, Signer::Foreign);
                for (side, index) in [("old", old), ("new", new)] {
                    // The signature is the reason if the gateway admits the token with its own key.
                    let is_admitted = expect[side]["status"].is_null();
                    let fault = is_admitted.then_some(("token_fault", "signature"));
                    is_refused(&running[index], &request, fault);
                }
                forged += 1;
            }
        })
        .len();
        for gateway in &mut running {
            gateway.stop();
        }
    }
    println!("{} edits, {sent} witnesses, {forged} forged", EDITS.len());
    assert!(sent >= 2 * EDITS.len(), "{sent}");
    assert!(forged >= EDITS.len(), "{forged}");
    assert!(upstreams.iter().all(|upstream| upstream.take().is_empty()));
}
