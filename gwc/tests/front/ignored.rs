//! Tests that no key of the vocabulary is accepted but ignored. A project that uses every available
//! key compiles. Then each value is changed in turn, and each time the bundle, another output or
//! the findings must change.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use diag::shape::{Need, Object, Shape};
use model::compile::{self, Compiled};
use serde_json::Value;
use sources::project::files::Files;
use sources::syntax::Limits;

/// Text of gateway.yaml. `SAMPLES` stands for the samples of all policies.
const GATEWAY: &str = r#"
version: 1
name: every-word
owner: platform
apis:
  a:
    path: a.yaml
    overlays: [a.gw.yaml]
    environments: [test]
    unmatched: v
    undeclared_methods: pass
    serve_document: {path: /the.json, page: /the.html, public: false}
    mounts:
      - {name: one, hosts: [a.test, "*.b.test"], base_path: /one, strip_base_path: true, listeners: [first]}
      - {name: two, base_path: /two}
  b: {path: b.yaml, mount: {hosts: [b.test]}}
apis_glob: ["more/*.yaml"]
listeners:
  first:
    address: 127.0.0.1:8080
    protocol: http
    trusted_proxies: [10.0.0.0/8]
    forwarding_fields: [x-forwarded-for, x-forwarded-proto]
    proxy_protocol: {from: ["10.9.0.0/16"], timeout: 4s}
    merge_slashes: true
    limits: {connections: 1000, header_bytes: 32KiB, headers: 50, header_timeout: 5s, idle_timeout: 30s, body_timeout: 40s, min_rate: 1KiB, stream_idle_timeout: 4m}
  second:
    address: "127.0.0.1:8081"
    protocol: https
    http2: true
    tls:
      certificates: {main: {cert: "${file:/run/cert1.pem}", key: "${file:/run/key1.pem}"}}
      min_version: "1.2"
      client_auth: {ca: "${file:/run/ca1.pem}", crl: "${file:/run/crl1.pem}", mode: optional}
    forward_client_cert: xfcc
upstreams:
  u:
    targets: {x: {url: "http://127.0.0.1:9000/in", weight: 3, zone: here}, y: {url: "http://127.0.0.1:9001"}}
    protocol: h1
    proxy_protocol: v1
    lb: ketama
    hash_on: "header:X-User"
    bounded_load: true
    slow_start: 9s
    health:
      all_unhealthy: spread
      active: {kind: http, path: /health, host: up.test, headers: {X-Why: health}, statuses: [200, 204], body: fine, interval: 12s, timeout: 3s, unhealthy_after: 4, healthy_after: 5, unchecked: wait, ends_ejections: false}
      passive: {consecutive_5xx: 6, consecutive_gateway_failures: 7, consecutive_local_failures: 8, failure_ratio: 51%, min_requests: 52, interval: 11s, ejection: 31s, max_ejection: 301s, max_ejected: 12%, jitter: 1s, success_rate: {min_targets: 6, min_requests: 101, stdev_factor: 1901}}
    retries: {attempts: 2, "on": [reset, retriable-status-codes, retriable-headers], statuses: [409], headers: [X-Again], per_try_timeout: 800ms, backoff: {base: 26ms, max: 260ms}, budget: {ratio: 21%, min_concurrent: 4}, respect_retry_after: true, idempotency_key: true, max_body: 32KiB}
    circuit_breaker: {consecutive_failures: 4, failure_ratio: 53%, slow_calls: {above: 2s, ratio: 54%}, window: 12s, min_requests: 22, open: 32s, open_max: 302s, half_open_requests: 2, scope: target}
    limits: {connections: 1023, pending: 1025, requests: 1026, retries: 5, response_header_bytes: 32KiB}
    timeouts: {connect: 1s, request: 7s, idle: 20s}
    host_header: upstream
    rewrite_responses: [location, cookies]
  v: {targets: {x: {url: "https://127.0.0.1:9002"}}, tls: {sni: v.test, ca: "${file:/run/ca2.pem}", client_cert: {cert: "${file:/run/cert2.pem}", key: "${file:/run/key2.pem}"}, verify: true}}
  w: {dns: {name: w.test, port: 9004, refresh: 10s}, protocol: h2c}
  z: {file: {path: /run/hosts.json}}
auth:
  keys: {kind: api_key}
  people: {kind: basic, realm: "the shop"}
  idp:
    kind: jwt
    issuer: https://i1.test
    audience: [a1, b2]
    algorithms: [EdDSA]
    jwks: {keys: [{kty: OKP, crv: Ed25519, kid: k1, use: sig, alg: EdDSA, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}
    leeway: 30s
    max_lifetime: 1h
    types: [at+jwt]
    token_bytes: 4KiB
    required_claims: [sub1]
    consumer_claim: client1
    scope_claim: scp1
    groups_claim: roles1
    certificate_binding: optional
    certificate_header: Client-Cert
  remote: {kind: jwt, issuer: i4, audience: [e5], algorithms: [ES256], jwks_url: "https://i4.test/keys", stale_for: 2h}
  found: {kind: jwt, issuer: "https://i5.test/x", audience: [f6], algorithms: [ES256]}
  file: {kind: jwt, issuer: i2, audience: [c3], algorithms: [ES256], jwks_file: keys.json}
  asked: {kind: introspection, url: "https://i6.test/introspect", client_id: gw1, client_secret: "${env:ASK1}", issuer: i6, audience: [g7], timeout: 3s, cache: 30s, cache_inactive: 4s, on_outage: cached, stale_for: 5m, token_bytes: 2KiB, required_claims: [sub2], consumer_claim: client2, scope_claim: scp2, groups_claim: roles2, resource_metadata: "https://r1.test/m1", certificate_binding: required, signed: [ES256], jwks_url: "https://i6.test/keys6"}
  mesh: {kind: mtls, sans: [a.mesh.test], subjects: ["CN=a1"], header: Client-Cert}
  pods: {kind: mtls, spiffe: ["spiffe://mesh.test/ns/*/sa/a"]}
  proven: {kind: dpop, token: file, algorithms: [EdDSA], window: 30s, nonce: true, nonce_secret: "${env:NON1}"}
  signed: {kind: hmac_signature, secrets: {k1: "${env:SIG1}"}, algorithms: [hmac-sha512], style: rfc9421, components: ["@path", x-date1], content_digest: false, nonce: optional, window: 31s}
  browser: {kind: oidc, issuer: "https://i7.test", client_id: gw2, client_secret: "${env:ASK2}", redirect_path: /back1, logout_path: /out1, after_logout: /bye1, scopes: [openid, email1], audience: [h8], algorithms: [ES256], jwks_url: "https://i7.test/keys1", token_url: "https://i7.test/token1", timeout: 4s, required_claims: [sub3], consumer_claim: client3, groups_claim: roles3, bearer: asked, session: {secret: "${env:KEY1}", cookie: __Host-s1, lifetime: 2h, idle: 12m, same_site: strict}}
  mac: {kind: jwt, issuer: i3, audience: [d4], algorithms: [HS256], resource_metadata: "https://r2.test/m2", secret: "${env:MAC1}"}
plans: {gold: {policies: [planned]}}
consumers:
  acme: {plan: gold, keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, not_after: 2031-06-30}], claims: {tenant: t-17, roles: [reader]}, groups: [staff], metadata: {contact: ops1}, certificates: [{sha256: 7f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, not_after: 2031-07-30}, {san: a.mesh.test}, {subject: "CN=a2"}], tokens: [{issuer: https://i1.test, subject: u1, not_after: 2031-08-30}, {issuer: https://i1.test, client: c1}]}
  staff: {basic: [{sha256: 8f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}, {user: u1, argon2id: "$argon2id$v=19$m=7168,t=1,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI", not_after: 2031-07-30}]}
consumers_file: who.yaml
stores: {shared: {kind: redis, url: "${env:STORE1}", prefix: p1, on_outage: open, cluster: true}, watched: {kind: redis, url: "${env:STORE2}", sentinel: main1}}
policies:
  SAMPLES
required: {policies: [must], auth: [keys, people, asked], allow_public: ["a/open", "b/*", "named/*"]}
defaults: {upstream: u, listeners: [first, second], policies: [slow, fleet, monthly, rolling], timeout: 10s, max_body: 2MiB, validate: {request: log, response: off}, security: enforce, expose_bundle: true, path_readings: keep, serve_document: false}
environments:
  test: {patch: test.yaml, vars: {WAIT: 4s}, release: {channel: test}}
release: {store: bundles, channel: live, steps: [{nodes: 5%, traffic: 50%}], sticky: {header: X-User}, testers: {header: X-Release}, guard: {errors: 1%, p99: 50%, refusals: 5%, requests: 300, for: 5m, webhook: {url: "https://judge.test/gate", interval: 30s, timeout: 4s, failures: 3, on_outage: fail, authorization: "${env:GWS_JUDGE}"}}, freeze: [{days: [fri], from: "18:00", to: "23:00", zone: Europe/Berlin, reason: weekend}]}
errors: {rate_limited: {status: 503, body: "slow down", content_type: text/markdown}}
lint: {missing-license: info}
break_levels: {endpoint-deprecated: info}
deprecations: {notice_days: 30, apis: {a: 60}}
gates: [weaken, expose]
acknowledge: reviewed.yaml
tests: ["tests/*.yaml"]
invariants: [invariants.yaml]
"#;

/// Document of the API `a`. `OTHERS` stands for the names of all samples that are not [`PLACED`].
const A: &str = r#"
openapi: 3.1.0
info: {title: a, version: "1"}
x-gateway:
  owner: team-a
  policies: {own: {kind: respond, status: 418}}
  defaults: {upstream: v, +policies: [marks], timeout: 6s, max_body: 1MiB, validate: {request: block, response: off}}
  undeclared_params: strip
  errors: {ip_denied: {status: 410, body: "gone", content_type: text/html}}
security: [{key: []}]
paths:
  /p/{id}:
    x-gateway: {upstream: u, policies: [slow], match: template, trailing_slash: ignore, case_insensitive: true, priority: 3}
    get:
      operationId: get
      parameters: [{name: id, in: path, required: true, schema: {type: string}, x-gateway: {log: redact}}, {name: tap, in: query, schema: {type: string, x-gateway: {redact: true, limits: {depth: 2, items: 9, bytes: 8B}}}, x-gateway: {forward: false}}]
      x-gateway:
        security: [{person: []}, {asking: []}]
        upstream: v
        timeout: "${var:WAIT}"
        +policies: [short]
        max_body: 5KiB
        validate: {request: log, response: off}
        match: {headers: {X-Kind: {exact: new}, X-Any: {present: true}}, query: {v: {prefix: "2"}}}
        owner: team-get
      responses: {"200": {description: fine}}
  /away/{id}:
    x-gateway: {+policies: [away]}
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: away, x-gateway: {+policies: [OTHERS], idempotent: true, cost: 2, websocket: true, streams: close}, responses: {"200": {description: fine}}}
  /own: {get: {operationId: own, x-gateway: {policies: [own]}, responses: {"200": {description: fine}}}}
  /open: {get: {operationId: open, security: [], x-gateway: {public: true}, responses: {"200": {description: fine}}}}
  /login: {get: {operationId: login, security: [{login: [], key: []}], responses: {"200": {description: fine}}}}
  /ways: {get: {operationId: ways, x-gateway: {rewrite: {path: /x}, split: [{upstream: u}, {upstream: v, weight: 2}], mirror: {upstream: u}, deprecated: {since: 2026-02-01}, stream: true}, responses: {"200": {description: fine}}}}
  /own#again: {x-gateway: {alias_of: /own}, get: {responses: {"200": {description: fine}}}}
  /hidden: {get: {operationId: hidden, x-gateway: {internal: true}, responses: {"200": {description: fine}}}}
  /tree: {x-gateway: {match: prefix}, get: {operationId: tree, responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys, strip_credential: true}}
    asking: {type: http, scheme: bearer, x-gateway: {auth: asked}}
    login: {type: openIdConnect, openIdConnectUrl: "https://i7.test/.well-known/openid-configuration", x-gateway: {auth: browser}}
    person: {type: http, scheme: basic, x-gateway: {auth: people, forward_as: X-Who, claims_to_headers: {tenant1: X-Tenant1, other: X-Other}}}
"#;

const B: &str = r#"
openapi: 3.1.0
info: {title: b, version: "1"}
x-gateway: {defaults: {policies: [marks]}, unmatched: v, undeclared_methods: pass, public: true}
security: [{token: [], key: []}]
paths:
  /b: {get: {operationId: b, x-gateway: {upstream: v}, responses: {"200": {description: fine}}}}
  /s: {servers: [{url: /, x-gateway: {upstream: u, weight: 3}}, {url: /, x-gateway: {upstream: v, weight: 4}}], get: {operationId: s, responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    token: {type: apiKey, in: header, name: X-Token, x-gateway: {verify: upstream}}
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
"#;

const C: &str = r#"
openapi: 3.1.0
info: {title: c, version: "1"}
x-gateway: {api: named}
security: []
paths:
  /c: {get: {operationId: c, x-gateway: {public: true}, responses: {"200": {description: fine}}}}
"#;

/// Names of samples that the texts of this file name. Every other sample is a policy of the
/// operation `a/away`.
const PLACED: [&str; 9] = [
    "slow", "fleet", "monthly", "rolling", "marks", "away", "planned", "short", "must",
];

/// Text of gateway.yaml and document of the API `a`, with the samples of all policies.
static TEXTS: LazyLock<[String; 2]> = LazyLock::new(|| {
    let samples: Vec<&str> = policy::samples().collect();
    let names = samples
        .iter()
        .filter_map(|sample| Some(sample.split_once(':')?.0));
    let others: Vec<&str> = names.filter(|name| !PLACED.contains(name)).collect();
    [
        GATEWAY.replace("SAMPLES", &samples.join("\n  ")),
        A.replace("OTHERS", &others.join(", ")),
    ]
});

const REST: [(&str, &str); 8] = [
    (
        "invariants.yaml",
        "- {name: i, require: {upstreams: [\"*\"]}}\n",
    ),
    (
        "tests/a.yaml",
        "- {name: t, request: GET /, expect: {decision: none}}\n",
    ),
    (
        "keys.json",
        r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#,
    ),
    (
        "reviewed.yaml",
        "- {fingerprint: \"1f0c5b7e9a210c44d0f6a1b2c3d4e5f6\", kind: a, operation: b, reason: it is meant, by: ann, until: 2031-06-30}\n",
    ),
    (
        "a.gw.yaml",
        "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nactions:\n  - {target: \"$.paths['/own'].get\", update: {x-gateway: {max_body: 7KiB}}}\n",
    ),
    (
        "test.yaml",
        "upstreams: {u: {targets: {z: {url: \"http://127.0.0.1:9003\"}}}}\n",
    ),
    (
        "who.yaml",
        "cli: {keys: [{sha256: 7f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, not_after: 2030-01-01}]}\n",
    ),
    ("more/c.yaml", C),
];

fn compiled(gateway: &str, a: &str, b: &str) -> Compiled {
    let files = [("gateway.yaml", gateway), ("a.yaml", a), ("b.yaml", b)];
    let files = Files::in_memory(files.into_iter().chain(REST), Limits::default());
    compile::project_in(files, &Vec::new(), Some("test")).unwrap_or_else(|unknown| {
        // Compile an empty project if the edit changed the name of the environment `test`.
        let files = [(
            "gateway.yaml",
            "version: 1\nname: none\n".to_owned() + &format!("# {unknown}\n"),
        )];
        compile::project(Files::in_memory(files, Limits::default()), &Vec::new())
    })
}

/// Results of compiling a project: its bundle, its other outputs, and its findings.
fn outcome(compiled: &Compiled) -> (Option<String>, Vec<String>, String) {
    let id = compiled.lowered.as_ref();
    let id = id.map(|lowered| {
        gwc::assemble::assemble(lowered)
            .expect("it fits")
            .id()
            .to_string()
    });
    let findings = compiled.findings.iter();
    let findings = findings.map(|finding| {
        format!(
            "{:?} {} {}",
            finding.level, finding.lint.name, finding.message
        )
    });
    // Owners are only in the source map. Gates, channel and store are only in the settings.
    let map = model::source_map::SourceMap::of(compiled);
    let owners: Vec<_> = map
        .operations
        .values()
        .map(|operation| operation.owner.clone())
        .collect();
    let settings = compiled.model.as_ref().map(|model| {
        let settings = &model.settings;
        (
            settings.gates.clone(),
            settings.acknowledgements.clone(),
            settings.channel.clone(),
            settings.store.clone(),
            format!(
                "{:?} {:?} {:?} {:?}",
                settings.release_steps,
                settings.release_choice,
                settings.release_guard,
                settings.release_freeze
            ),
            settings.lint.clone(),
            (settings.break_levels.clone(), settings.notice_days.clone()),
        )
    });
    (id, findings.collect(), format!("{owners:?} {settings:?}"))
}

#[test]
fn each_changed_value_changes_an_output() {
    let [gateway, a] = TEXTS.each_ref().map(String::as_str);
    let base = compiled(gateway, a, B);
    let before = outcome(&base);
    let errors: Vec<&String> = before
        .1
        .iter()
        .filter(|line| line.starts_with("Error"))
        .collect();
    assert!(before.0.is_some(), "{errors:#?}");
    let mut ignored = Vec::new();
    let mut tried = 0;
    for (which, text) in [gateway, a, B].into_iter().enumerate() {
        for (place, changed) in changes(text) {
            tried += 1;
            let texts = |index: usize, own: &'static str| {
                if index == which {
                    changed.clone()
                } else {
                    own.to_owned()
                }
            };
            let after = outcome(&compiled(&texts(0, gateway), &texts(1, a), &texts(2, B)));
            if after == before {
                ignored.push(place);
            }
        }
    }
    assert!(tried > 120, "only {tried}");
    // Keys such as `template` and `strict` have their default value in this project; other keys
    // cover them.
    assert_eq!(ignored, Vec::<String>::new());
}

/// Variants of the text, each with one changed scalar in gateway.yaml or an `x-gateway`.
fn changes(text: &'static str) -> Vec<(String, String)> {
    let files = Files::in_memory([("t.yaml", text)], Limits::default());
    let mut files = files;
    let nowhere = diag::Span::start_of(diag::FileId(0));
    let mut sink = diag::Sink::default();
    let (_, root) = files
        .load("t.yaml", nowhere, &mut sink)
        .expect("it is YAML");
    let mut found = Vec::new();
    let inside = !text.contains("openapi:");
    walk(files.tree.at(root), "", inside, &mut found);
    found
        .into_iter()
        .map(|(place, span, value)| {
            let (start, end) = (span.start as usize, span.end as usize);
            let written = &text[start..end];
            let changed = other(&value);
            let quoted = if written.starts_with('"') {
                format!("\"{changed}\"")
            } else {
                changed
            };
            (
                format!("{place}: {written} → {quoted}"),
                format!("{}{quoted}{}", &text[..start], &text[end..]),
            )
        })
        .collect()
}

fn walk(
    node: diag::NodeRef<'_>,
    place: &str,
    inside: bool,
    found: &mut Vec<(String, diag::Span, String)>,
) {
    for (entry, value) in node.entries() {
        let inside = inside || &*entry.key == "x-gateway";
        walk(value, &format!("{place}/{}", entry.key), inside, found);
    }
    for (index, item) in node.items().enumerate() {
        walk(item, &format!("{place}/{index}"), inside, found);
    }
    if let Some(text) = node.scalar_text().filter(|_| inside) {
        found.push((place.to_owned(), node.span(), text.to_owned()));
    }
}

/// Returns another value of the same kind.
fn other(value: &str) -> String {
    match value {
        "true" => return "false".into(),
        "false" => return "true".into(),
        _ => {}
    }
    // Change the first digit that can change without making the value invalid.
    if let Some(at) = value.find(|c: char| c.is_ascii_digit()) {
        let digit = value.as_bytes()[at];
        let next = if digit == b'1' { b'2' } else { b'1' };
        let mut bytes = value.as_bytes().to_vec();
        bytes[at] = next;
        return String::from_utf8(bytes).expect("ASCII");
    }
    match value {
        "prefix" => "template".into(),
        "close" => "keep".into(),
        "ignore" | "keep" => "strict".into(),
        "enforce" => "upstream".into(),
        "weaken" => "grant".into(),
        "expose" => "move".into(),
        "upstream" => "preserve".into(),
        "info" => "error".into(),
        text => format!("{text}x"),
    }
}

#[test]
fn sample_project_has_every_available_key() {
    let mut words = BTreeSet::new();
    running(&vocab::gateway::SHAPE, &mut words);
    for (_, shape) in vocab::extension::POINTS {
        running(shape, &mut words);
    }
    let mut written = BTreeSet::new();
    let [gateway, a] = TEXTS.each_ref().map(String::as_str);
    for text in [gateway, a, B, C]
        .into_iter()
        .chain(REST.map(|(_, text)| text))
    {
        let value: Value = serde_yaml_ng::from_str(text).expect("it is YAML");
        keys(&value, &mut written);
    }
    let missing: Vec<_> = words
        .iter()
        .filter(|word| !written.contains(**word))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn running(shape: &Shape, words: &mut BTreeSet<&'static str>) {
    let object = |object: &'static Object, words: &mut BTreeSet<&'static str>| {
        for field in object
            .fields
            .iter()
            .filter(|field| field.need != Need::NotAvailable)
        {
            words.insert(field.key);
            running(&field.shape, words);
        }
    };
    match shape {
        Shape::List(item) | Shape::Several(item) => running(item, words),
        Shape::Map(value)
        | Shape::Table(value)
        | Shape::Keyed(_, value)
        | Shape::Known(_, value)
        | Shape::ByName(_, value) => running(value, words),
        Shape::Either(shapes) => shapes.iter().for_each(|shape| running(shape, words)),
        Shape::Object(own) => object(own, words),
        Shape::Kinds(variants) => {
            for variant in variants.iter().filter(|variant| variant.runs) {
                object(variant.object, words);
            }
        }
        _ => {}
    }
}

fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                found.insert(key.clone());
                keys(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}
