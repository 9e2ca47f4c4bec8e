//! Test that secrets in proofs of possession, signed requests, certificates, claims and bodies
//! appear in no output.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::peers::Peer;

use super::*;

/// Value of a claim that only the upstream receives.
const CLAIM: &str = "PLANTED-claim-of-alice";

/// Secret with which the consumer `acme` signs its requests.
const SIGNING: &str = "PLANTED-secret-of-acme-for-its-signatures";

const DOCUMENT: &str = r##"openapi: 3.1.0
info: {title: s, version: "1"}
components:
  securitySchemes:
    bound: {type: http, scheme: dpop, x-gateway: {auth: bound, claims_to_headers: {card: X-Card}}}
    signed: {type: apiKey, in: header, name: Signature, x-gateway: {auth: signed}}
    proxied: {type: mutualTLS, x-gateway: {auth: proxied}}
  schemas:
    pin: {type: object, properties: {pin: {type: string, maxLength: 4, pattern: "^[0-9]+$", enum: ["1", "2"]}}, additionalProperties: false}
paths:
  /bound: {get: {operationId: bound, security: [{bound: []}], responses: {"200": {description: ok}}}}
  /signed: {get: {operationId: signed, security: [{signed: []}], responses: {"200": {description: ok}}}}
  /certified: {get: {operationId: certified, security: [{proxied: []}], responses: {"200": {description: ok}}}}
  /checked:
    post:
      operationId: checked
      security: []
      x-gateway: {public: true, validate: {request: block}}
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/pin"}}}}
      responses: {"200": {description: ok}}
"##;

/// Signs a JWT with this head and these claims.
fn signed(key: &RsaKey, head: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(head), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// SHA-256 of a text in base64url.
fn digest(text: &str) -> String {
    let hex = sha256(text.as_bytes());
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Token with a secret claim that is bound to `key`, and the DPoP proof for a request to `/bound`.
fn token_and_proof(key: &RsaKey) -> [String; 2] {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let now = now.expect("after 1970").as_secs();
    let n = key.modulus();
    let thumbprint = digest(&format!(r#"{{"e":"AQAB","kty":"RSA","n":"{n}"}}"#));
    let claims = json!({
        "iss": "tests", "aud": "orders", "sub": "alice", "exp": now + 3_600, "card": CLAIM,
        "cnf": {"jkt": thumbprint},
    });
    let token = signed(key, &json!({"alg": "RS256", "kid": "a"}), &claims);
    let jwk = json!({"kty": "RSA", "n": n, "e": "AQAB"});
    let head = json!({"alg": "RS256", "typ": "dpop+jwt", "jwk": jwk});
    let claims = json!({
        "jti": format!("{MARK}-jti"), "htm": "GET", "htu": "http://h/bound", "iat": now,
        "ath": digest(&token),
    });
    let proof = signed(key, &head, &claims);
    [token, proof]
}

/// Expiry of the certificates (Unix time in seconds): no test lasts that long.
fn ends_s() -> u64 {
    crate::ending_streams::ends_s() + 3_600
}

/// Signs a request to `/signed` with a third-party signer and returns the signature's header
/// fields.
fn signature(signer: &mut Peer, secret: &str) -> Vec<String> {
    let recipe = json!({
        "method": "GET", "url": "http://h/signed", "secret": secret,
        "covered": ["\"@method\"", "\"@target-uri\"", "\"@authority\""],
        "params": format!(";keyid=\"acme\";nonce=\"{MARK}-{}\"", secret.len()),
    });
    let answer = signer.ask(&recipe);
    let fields = answer["fields"].as_array().expect("fields").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = fields.map(|field| format!("{}: {}", text(&field[0]), text(&field[1])));
    lines.collect()
}

fn project(upstream: &str, key: &RsaKey) -> Project {
    let project = Project::new();
    let secret = project.path("secrets/acme").display().to_string();
    let jwks = json!({"keys": [{"kty": "RSA", "kid": "a", "n": key.modulus(), "e": "AQAB"}]});
    let gateway = json!({
        "version": 1, "name": "s", "apis": {"s": {"path": "openapi.yaml"}},
        "listeners": {
            "public": {"address": "127.0.0.1:8080", "trusted_proxies": ["127.0.0.0/8"]},
        },
        "upstreams": {"main": {"targets": {"a": {"url": upstream}}}},
        "auth": {
            "idp": {"kind": "jwt", "issuer": "tests", "audience": ["orders"], "algorithms": ["RS256"], "jwks": jwks},
            "bound": {"kind": "dpop", "token": "idp", "algorithms": ["RS256"]},
            "signed": {"kind": "hmac_signature", "secrets": {"acme": format!("${{file:{secret}}}")}},
            "proxied": {"kind": "mtls", "subjects": ["CN=alice"], "header": "Client-Cert"},
        },
        "consumers": {"acme": {}},
        "defaults": {"upstream": "main"},
        "release": {"store": "releases", "channel": "prod"},
    });
    project.write("gateway.yaml", gateway.to_string());
    project.write("openapi.yaml", DOCUMENT);
    project.write("secrets/acme", SIGNING);
    project.keygen();
    project
}

#[test]
fn secrets_of_proofs_and_bodies_are_seen_nowhere() {
    let Some(mut signer) = Peer::plain_python("signer.py") else {
        return prerequisite::skip("Python is not installed");
    };
    let (key, upstream) = (RsaKey::new(), Upstream::start());
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, other] = ["alice", "mallory"]
        .map(|name| crate::ending_streams::certificate(folder.path(), name, ends_s()));
    let project = project(&upstream.url(), &key);
    project.apply();
    let secrets = project.path("secrets").display().to_string();
    let collector = Collector::start();
    let gateway = Options::of(&project)
        .state(&project.path("state"))
        .arguments(&["--secret-dir", &secrets, "--log-level", "debug"])
        .arguments(&collector.arguments().each_ref().map(String::as_str))
        .start();
    let [token, proof] = token_and_proof(&key);
    let [stolen, foreign] = token_and_proof(&RsaKey::new());
    let right = signature(&mut signer, SIGNING);
    let wrong = signature(&mut signer, &format!("{SIGNING}-of-another"));
    let get = |path: &str, fields: &[String]| {
        format!("GET {path} HTTP/1.1\r\nhost: h\r\n{}", fields.join("\r\n"))
    };
    let shown = |token: &str, proof: &str| {
        [
            format!("authorization: DPoP {token}"),
            format!("dpop: {proof}"),
        ]
    };
    let post = |body: &str| {
        format!(
            "POST /checked HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len() + 4
        )
    };
    let requests = [
        (get("/bound", &shown(&token, &proof)), 200),
        (get("/bound", &shown(&token, &proof)), 401),
        (get("/bound", &shown(&token, &foreign)), 401),
        (get("/bound", &shown(&stolen, &foreign)), 401),
        (
            get("/bound", &[format!("authorization: Bearer {token}")]),
            401,
        ),
        (get("/signed", &right), 200),
        (get("/signed", &right), 401),
        (get("/signed", &wrong), 401),
        (get("/certified", std::slice::from_ref(&certificate)), 200),
        (get("/certified", std::slice::from_ref(&other)), 401),
        (get("/certified", &[format!("client-cert: :{MARK}:")]), 401),
        // `sent` appends CR LF CR LF to each request. Here these four bytes belong to the body,
        // because JSON may end with white space.
        (post(r#"{"pin": "PLANTED-pin"}"#), 400),
        // Values in a body are secret, but the report may contain member names.
        (post(r#"{"other": "PLANTED-value"}"#), 400),
        (post(r#"{"pin": PLANTED}"#), 400),
    ];
    // On a busy machine, gwd compiles the validator longer than a request waits for it.
    let mut early = 0;
    wait::until("a compiled validator", || {
        early += 1;
        let mut connection = gateway.connect();
        let _sent = connection.send(format!("{}\r\n\r\n", post("{}")).as_bytes());
        let response = connection.read_response(false).ok()?;
        (!response.text().contains("validator_unavailable")).then_some(())
    });
    let _admitted = upstream.take();
    let mut outputs = Vec::new();
    for (head, status) in &requests {
        outputs.push((
            format!("response to {head:.40}"),
            sent(&gateway, head, *status),
        ));
    }
    let seen = upstream.take();
    let targets: Vec<&str> = seen.iter().map(|one| &*one.target).collect();
    assert_eq!(targets, ["/bound", "/signed", "/certified"]);
    assert_eq!(seen[0].header("x-card"), Some(CLAIM));
    let _lines = gateway.access_log().by_request(early + requests.len());
    for (head, _) in &requests {
        let (line, fields) = head.split_once("\r\n").expect("two lines");
        let fields = fields
            .split("\r\n")
            .filter_map(|line| line.split_once(": "));
        let fields: serde_json::Map<_, _> = fields
            .filter(|(name, _)| !matches!(*name, "host" | "content-length"))
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        let mut words = line.split(' ');
        let (method, path) = (words.next(), words.next().expect("a path"));
        let question =
            json!({"method": method, "url": format!("http://h{path}"), "headers": fields});
        let explained = gateway.admin_ask("POST", "/v1/explain", &question);
        outputs.push((format!("explain {head:.40}"), explained.text()));
    }
    outputs.extend(outputs_of(&gateway, &project));
    outputs.extend(collector.outputs_of(&gateway));
    let mac = |fields: &[String]| {
        let is_mac = |line: &&String| line.to_lowercase().starts_with("signature: ");
        let field = fields.iter().find(is_mac);
        let value = field.and_then(|line| line.split(':').nth(2));
        value.expect("a signature").to_owned()
    };
    let (right, wrong) = (mac(&right), mac(&wrong));
    let der = |field: &str| {
        field
            .trim_start_matches("client-cert: :")
            .trim_end_matches(':')
            .to_owned()
    };
    let (certificate, other) = (der(&certificate), der(&other));
    let shown = [
        &token,
        &proof,
        &stolen,
        &foreign,
        &right,
        &wrong,
        &certificate,
        &other,
    ];
    let leaks = leaks(&outputs, &shown.map(String::as_str));
    assert!(leaks.is_empty(), "{leaks:#?}");
    for table in ["proofs", "nonces"] {
        let table = format!("cache=\"{table}\"");
        let used = gateway.metrics().sum("gwd_cache_entries", &[&table]);
        assert_eq!(used, 1.0, "{table}");
    }
    gateway.stops_clean();
}

/// All refusals with one problem code have the same body, for any reason. Only the access log
/// contains the reason.
#[test]
fn bodies_of_refusals_have_no_reason() {
    let Some(mut signer) = Peer::plain_python("signer.py") else {
        return prerequisite::skip("Python is not installed");
    };
    let (key, upstream) = (RsaKey::new(), Upstream::start());
    let folder = tempfile::tempdir().expect("a folder");
    let other = crate::ending_streams::certificate(folder.path(), "mallory", ends_s());
    let project = project(&upstream.url(), &key);
    project.apply();
    let secrets = project.path("secrets").display().to_string();
    let gateway = Options::of(&project)
        .arguments(&["--secret-dir", &secrets])
        .start();
    let [token, proof] = token_and_proof(&key);
    let [_, foreign] = token_and_proof(&RsaKey::new());
    let wrong = signature(&mut signer, &format!("{SIGNING}-of-another"));
    let right = signature(&mut signer, SIGNING);
    let shown = |proofs: &[&str]| {
        let proofs = proofs.iter().map(|proof| format!("dpop: {proof}"));
        [format!("authorization: DPoP {token}")]
            .into_iter()
            .chain(proofs)
            .collect::<Vec<_>>()
    };
    let get = |path: &str, fields: &[String]| {
        gateway.ask(&format!(
            "GET {path} HTTP/1.1\nhost: h\n{}",
            fields.join("\n")
        ))
    };
    assert_eq!(get("/bound", &shown(&[&proof])).status, 200);
    assert_eq!(get("/signed", &right).status, 200);
    for (path, key, refused) in [
        (
            "/bound",
            "dpop_fault",
            vec![
                shown(&[&proof]),
                shown(&[&proof, &proof]),
                shown(&["a.b.c"]),
                shown(&[&foreign]),
            ],
        ),
        ("/signed", "signature_fault", vec![right, wrong]),
        (
            "/certified",
            "certificate_fault",
            vec![vec![other], vec!["client-cert: :bm8=:".to_owned()]],
        ),
    ] {
        let mut reasons = std::collections::BTreeSet::new();
        let mut bodies = std::collections::BTreeSet::new();
        for fields in &refused {
            let response = get(path, fields);
            assert_eq!(response.status, 401, "{path}: {}", response.text());
            let id = response.header("x-request-id").expect("an id");
            let line = gateway.access_log().line(id);
            let reason = line[key].as_str().unwrap_or_else(|| panic!("{line}"));
            reasons.insert(reason.to_owned());
            bodies.insert(response.text_without_id());
        }
        assert_eq!(reasons.len(), refused.len(), "{reasons:?}");
        assert_eq!(bodies.len(), 1, "{bodies:#?}");
    }
}
