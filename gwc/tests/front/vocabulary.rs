//! Tests of the whole vocabulary: every key of a project with many settings is known, and keys of
//! unavailable settings are reported as unavailable.

use std::collections::BTreeSet;

use diag::shape::{Need, Object, Rule, Shape};
use serde_json::{Map, Value, json};
use sources::project::files::Files;
use sources::syntax::Limits;

pub(crate) const GATEWAY: &str = r#"# yaml-language-server: $schema=../schemas/gateway.schema.json
version: 1
name: shop
owner: platform
apis:
  orders:
    path: apis/orders.yaml
    overlays: [apis/orders.gw.yaml]
    mounts:
      - {name: v2, hosts: [api.shop.example], base_path: /orders/v2, strip_base_path: true, listeners: [public]}
listeners:
  public: {address: "0.0.0.0:8443", protocol: https, trusted_proxies: [10.0.0.0/8],
           tls: {certificates: {main: {cert: "${file:/run/secrets/tls.pem}", key: "${file:/run/secrets/tls.key}"}}}}
upstreams:
  orders: {targets: {a: {url: "http://orders:8080/api", weight: 1}}, timeouts: {connect: 1s, request: 5s}, host_header: upstream}
  files: {dns: {name: files.internal, port: 8080}}
auth:
  idp: {kind: jwt, issuer: "${var:IDP}", audience: [orders], jwks_url: "https://idp.shop.example/keys", algorithms: [RS256, ES256]}
  keys: {kind: api_key}
plans: {gold: {policies: [gold_rate]}}
consumers:
  acme: {plan: gold, groups: [partners], keys: [{sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", not_after: 2027-06-30}]}
policies:
  waf: {kind: graphql_guard, depth: 32}
  per_client: {kind: rate_limit, limit: 100/s, burst: 20, key: consumer, anonymous: address}
  gold_rate: {kind: rate_limit, limit: 1000/s, burst: 200, key: consumer}
  web: {kind: cors, origins: ["https://app.shop.example"], credentials: true}
required: {policies: [waf], allow_public: ["orders/getStatus"]}
defaults: {upstream: orders, listeners: [public], policies: [per_client], timeout: 10s, validate: {request: block}}
environments:
  prod: {patch: env/prod.yaml, vars: {IDP: "https://idp.shop.example"}, release: {channel: prod}}
release: {store: ./releases, channel: staging}
gates: [weaken, break, remove]
"#;

const OVERLAY: &str = r#"overlay: 1.0.0
info: {title: orders behind the gateway, version: "1"}
actions:
  - {target: "$", update: {x-gateway: {owner: team-orders, undeclared_methods: deny}}}
  - {target: "$.components.securitySchemes.oauth", update: {x-gateway: {auth: idp, claims_to_headers: {sub: X-User}}}}
  - {target: "$.components.securitySchemes.key", update: {x-gateway: {auth: keys, strip_credential: true}}}
  - {target: "$.paths['/{id}:cancel'].post", update: {x-gateway: {+policies: [web], timeout: 2s}}}
  - {target: "$.paths['/export'].get", update: {x-gateway: {security: [{oauth: [admin]}], cost: 50}}}
  - {target: "$.paths['/files'].post", update: {x-gateway: {upstream: files, rewrite: {path: "/up{path}"}, max_body: 50MiB}}}
  - {target: "$.paths['/status'].get", update: {x-gateway: {public: true}}}
"#;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: orders, version: "1"}
security: [{key: []}]
paths:
  /{id}:cancel:
    post: {operationId: cancel, parameters: [{name: id, in: path, required: true, schema: {type: string}}], responses: {"204": {description: done}}}
  /export: {get: {operationId: export, responses: {"200": {description: fine}}}}
  /files: {post: {operationId: upload, responses: {"201": {description: made}}}}
  /status: {get: {operationId: getStatus, security: [], responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key}
    oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://idp.shop.example/token", scopes: {admin: all}}}}
"#;

#[test]
fn rich_project_is_known_and_later_keys_are_reported() {
    let files = [
        ("gateway.yaml", GATEWAY),
        ("apis/orders.yaml", DOCUMENT),
        ("apis/orders.gw.yaml", OVERLAY),
        ("env/prod.yaml", "defaults: {timeout: 5s}\n"),
    ];
    let compiled = model::compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let errors: Vec<String> = compiled
        .findings
        .iter()
        .filter(|finding| finding.level == diag::Level::Error)
        .map(|finding| format!("{}: {}", finding.lint.name, finding.message))
        .collect();
    assert_eq!(errors, [""; 0]);
    let later: BTreeSet<&str> = compiled
        .findings
        .iter()
        .filter(|finding| finding.lint.name == "not-available")
        .map(|finding| compiled.files.sources.text(finding.span))
        .collect();
    let expected = ["graphql_guard"];
    for word in expected {
        assert!(
            later.contains(word),
            "`{word}` should say that it is not available: {later:?}"
        );
    }
    assert!(compiled.lowered.is_none(), "nothing is built from it");
    let stopped = compiled.for_lowering();
    let levels = stopped
        .findings
        .iter()
        .filter(|finding| finding.lint.name == "not-available");
    assert!(
        levels
            .into_iter()
            .all(|finding| finding.level == diag::Level::Error)
    );
}

/// Smallest value that is valid for a shape.
fn smallest(shape: &Shape) -> Value {
    let text = match shape {
        Shape::Bool | Shape::True => return json!(true),
        Shape::Integer(least, _) => return json!(least),
        Shape::List(_) => return json!([]),
        Shape::Several(item) => return json!([smallest(item)]),
        Shape::Map(_)
        | Shape::Table(_)
        | Shape::Keyed(..)
        | Shape::Known(..)
        | Shape::ByName(..) => return json!({}),
        Shape::Object(object) => return filled(object, None),
        Shape::Kinds(variants) => return filled(variants[0].object, Some(variants[0].kind)),
        Shape::Either(shapes) => return smallest(&shapes[0]),
        Shape::Any
        | Shape::Text
        | Shape::TextOrSecret
        | Shape::Form(_)
        | Shape::NamePattern(_)
        | Shape::Expression(_)
        | Shape::Name(_) => "x",
        Shape::Secret => "${env:GWS_X}",
        Shape::Duration | Shape::Timeout => "1s",
        Shape::Rate => "1/s",
        Shape::Size => "1B",
        Shape::Percent => "1%",
        Shape::Sha256 => "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        Shape::Date => "2027-01-01",
        Shape::Word(words) | Shape::Partly(words, _) => words[0],
        Shape::WordOrName(word, _) => word,
    };
    json!(text)
}

/// Smallest value of an object, with its required keys.
fn filled(object: &Object, kind: Option<&str>) -> Value {
    let needed = object
        .fields
        .iter()
        .filter(|field| field.need == Need::Required);
    let mut map: Map<String, Value> = needed
        .map(|field| (field.key.to_owned(), smallest(&field.shape)))
        .collect();
    if let Some(kind) = kind {
        map.insert("kind".into(), kind.into());
    }
    map.into()
}

/// Use of an unavailable setting: the key at which gwc reports it, and a value that contains it.
type Written = (String, Value);

/// Collects a value of the shape for each unavailable setting that the shape allows.
fn later(shape: &Shape, found: &mut Vec<Written>) {
    let mut wrap = |inner: &Shape, around: &dyn Fn(Value) -> Value| {
        let mut settings = Vec::new();
        later(inner, &mut settings);
        found.extend(
            settings
                .into_iter()
                .map(|(word, value)| (word, around(value))),
        );
    };
    match shape {
        Shape::List(item) | Shape::Several(item) => wrap(item, &|value| json!([value])),
        Shape::Map(value) | Shape::Table(value) | Shape::ByName(_, value) => {
            wrap(value, &|value| json!({"x": value}))
        }
        Shape::Keyed(_, value) => wrap(value, &|value| json!({"x": value})),
        Shape::Known(keys, value) => wrap(value, &|value| json!({(keys.known)()[0]: value})),
        Shape::Either(shapes) => shapes.iter().for_each(|shape| wrap(shape, &|value| value)),
        Shape::Object(object) => in_object(object, None, found),
        Shape::Kinds(variants) => {
            for variant in *variants {
                match variant.runs {
                    true => in_object(variant.object, Some(variant.kind), found),
                    false => {
                        found.push((
                            variant.kind.into(),
                            filled(variant.object, Some(variant.kind)),
                        ));
                    }
                }
            }
        }
        Shape::Partly(_, words) => {
            found.extend(words.iter().map(|word| ((*word).to_owned(), json!(word))));
        }
        _ => {}
    }
}

fn in_object(object: &Object, kind: Option<&str>, found: &mut Vec<Written>) {
    for field in object.fields {
        let mut settings = Vec::new();
        match field.need {
            Need::NotAvailable => settings.push((field.key.to_owned(), smallest(&field.shape))),
            Need::Required | Need::Optional => later(&field.shape, &mut settings),
        }
        for (word, value) in settings {
            let mut whole = filled(object, kind);
            whole[field.key] = value;
            found.push((word, whole));
        }
    }
}

/// Document with an extension at one attach point.
fn document(point: &str, extension: &Value) -> Value {
    let mut document = json!({"openapi": "3.1.0", "info": {"title": "t", "version": "1"},
        "servers": [{"url": "/"}],
        "paths": {"/a/{p}": {"get": {"parameters": [{"name": "p", "in": "path", "required": true,
            "schema": {"type": "string"}}], "responses": {"200": {"description": "fine"}}}}},
        "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}}});
    let at = match point {
        "root" => "",
        "server" => "/servers/0",
        "path-item" => "/paths/~1a~1{p}",
        "operation" => "/paths/~1a~1{p}/get",
        "parameter" => "/paths/~1a~1{p}/get/parameters/0",
        "schema" => "/paths/~1a~1{p}/get/parameters/0/schema",
        "response" => "/paths/~1a~1{p}/get/responses/200",
        "security-scheme" => "/components/securitySchemes/key",
        _ => panic!("{point} has no place here"),
    };
    document.pointer_mut(at).expect("it is there")["x-gateway"] = extension.clone();
    document
}

/// True if the compiler reports at the key `word` that the setting is not available, and builds
/// nothing.
fn stops_at(word: &str, gateway: &Value, document: &Value) -> bool {
    let (gateway, document) = (gateway.to_string(), document.to_string());
    let files = [
        ("gateway.yaml", gateway.as_str()),
        ("api.yaml", document.as_str()),
    ];
    let compiled = model::compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let is_reported = compiled.findings.iter().any(|finding| {
        let text = compiled.files.sources.text(finding.span);
        finding.lint.name == "not-available" && text.trim_matches('"') == word
    });
    is_reported && compiled.lowered.is_none()
}

#[test]
fn unavailable_setting_stops_the_build_at_its_place() {
    let mut shown = 0;
    let mut silent = Vec::new();
    let mut settings = Vec::new();
    later(&vocab::gateway::SHAPE, &mut settings);
    for (word, gateway) in settings {
        let mut gateway = gateway;
        gateway["name"] = "s".into();
        if !stops_at(&word, &gateway, &document("root", &json!({}))) {
            silent.push(format!("{word}: {gateway}"));
        }
        shown += 1;
    }
    let gateway = json!({"version": 1, "name": "s", "apis": {"a": {"path": "api.yaml"}},
        "upstreams": {"u": {"targets": {"a": {"url": "http://127.0.0.1:9000"}}}},
        "defaults": {"upstream": "u", "security": "upstream"}});
    for (point, shape) in vocab::extension::POINTS {
        let mut settings = Vec::new();
        later(shape, &mut settings);
        for (word, extension) in settings {
            if !stops_at(&word, &gateway, &document(point, &extension)) {
                silent.push(format!("{point} {word}: {extension}"));
            }
            shown += 1;
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
    assert!(shown > 20, "only {shown}");
}

/// Keys without a default, each with the object that has it. Exactly one of the keys is required,
/// which a check of the object's own reports.
const WITHOUT_DEFAULT: [(&str, &str); 3] = [
    ("a test of a value", "exact"),
    ("a test of a value", "prefix"),
    ("a test of a value", "present"),
];

/// True if a value of the shape can be written without a list or a map.
fn is_scalar(shape: &Shape) -> bool {
    match shape {
        Shape::Any
        | Shape::List(_)
        | Shape::Several(_)
        | Shape::Map(_)
        | Shape::Table(_)
        | Shape::Keyed(..)
        | Shape::Known(..)
        | Shape::ByName(..)
        | Shape::Object(_)
        | Shape::Kinds(_) => false,
        Shape::Either(shapes) => shapes.iter().any(is_scalar),
        _ => true,
    }
}

/// Collects the objects that a value of the shape can contain, each once.
fn collect_objects(shape: &'static Shape, found: &mut Vec<&'static Object>) {
    let mut add = |object: &'static Object| {
        if !found.iter().any(|known| std::ptr::eq(*known, object)) {
            found.push(object);
            let shapes = object.fields.iter().map(|field| &field.shape);
            shapes.for_each(|shape| collect_objects(shape, found));
        }
    };
    match shape {
        Shape::Object(object) => add(object),
        Shape::Kinds(variants) => variants.iter().for_each(|variant| add(variant.object)),
        Shape::List(inner)
        | Shape::Several(inner)
        | Shape::Map(inner)
        | Shape::Table(inner)
        | Shape::Keyed(_, inner)
        | Shape::Known(_, inner)
        | Shape::ByName(_, inner) => collect_objects(inner, found),
        Shape::Either(shapes) => shapes.iter().for_each(|one| collect_objects(one, found)),
        _ => {}
    }
}

#[test]
fn optional_scalar_keys_state_their_default() {
    let mut objects = Vec::new();
    collect_objects(&vocab::gateway::SHAPE, &mut objects);
    for (_, shape) in vocab::extension::POINTS {
        collect_objects(shape, &mut objects);
    }
    let mut silent = Vec::new();
    let mut stated = 0;
    for object in objects {
        let is_one_of_several = |key: &str| {
            let mut rules = object.rules.iter();
            rules.any(|rule| matches!(rule, Rule::One(keys) if keys.contains(&key)))
        };
        for field in object.fields {
            if field.need == Need::Required || !is_scalar(&field.shape) {
                continue;
            }
            if field.doc.contains("Default: ") {
                stated += 1;
            } else if !is_one_of_several(field.key)
                && !WITHOUT_DEFAULT.contains(&(object.what, field.key))
            {
                silent.push(format!("{}: `{}`: {}", object.what, field.key, field.doc));
            }
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
    assert!(stated > 250, "only {stated}");
}

#[test]
fn scopes_of_credentials_without_scopes_are_refused() {
    const OAUTH: &str = "type: oauth2, flows: {clientCredentials: {tokenUrl: \"https://a.test/t\", scopes: {read: r}}}";
    const OPENID: &str = "type: openIdConnect, openIdConnectUrl: \"https://a.test/.well-known/openid-configuration\"";
    const KEY: &str = "type: apiKey, in: header, name: X-Key";
    const BEARER: &str = "type: http, scheme: bearer";
    const BASIC: &str = "type: http, scheme: basic";
    let of = |version: &str, scheme: &str, by: &str| {
        let gateway = "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\nauth: {keys: {kind: api_key}, staff: {kind: basic}}\n";
        let document = format!(
            "openapi: {version}\ninfo: {{title: t, version: \"1\"}}\nsecurity: [{{s: [read]}}]\npaths: {{/a: {{get: {{responses: {{\"200\": {{description: fine}}}}}}}}}}\ncomponents: {{securitySchemes: {{s: {{{scheme}, x-gateway: {{{by}}}}}}}}}\n"
        );
        let files = [("gateway.yaml", gateway), ("api.yaml", &*document)];
        let files = Files::in_memory(files, Limits::default());
        let compiled = model::compile::project(files, &Vec::new());
        let findings = compiled.findings.iter();
        let of_scopes = findings.filter(|finding| finding.lint.name == "scopes-not-given");
        let errors = of_scopes.filter(|finding| finding.level == diag::Level::Error);
        errors.map(|finding| finding.message.clone()).collect()
    };
    for version in ["3.0.3", "3.1.0"] {
        for (scheme, by, verifier) in [
            (OAUTH, "auth: keys", "keys"),
            (OPENID, "auth: keys", "keys"),
            (KEY, "auth: keys", "keys"),
            (BEARER, "auth: keys", "keys"),
            (BASIC, "auth: staff", "staff"),
        ] {
            let found: Vec<String> = of(version, scheme, by);
            let is_role = version != "3.0.3" && ![OAUTH, OPENID].contains(&scheme);
            let wanted = match is_role {
                true => "`read` is a role, and no consumer has roles".to_owned(),
                false => {
                    format!("`read` is a scope, and credentials of `{verifier}` have no scopes")
                }
            };
            assert_eq!(found, [wanted], "{version} {scheme}");
        }
        for scheme in [OAUTH, OPENID, BEARER] {
            let found: Vec<String> = of(version, scheme, "verify: upstream");
            assert_eq!(found, [""; 0], "{version} {scheme}");
        }
    }
}

#[test]
fn every_refusal_has_its_reason_and_status() {
    for reject in engine::rejects().chain(engine::edge::REJECTS.iter().copied()) {
        let reason = vocab::reasons::find(reject.code);
        let status = reason.map(|reason| reason.status);
        assert_eq!(status, Some(reject.status), "{}", reject.code);
    }
    // The service decides about these responses.
    let services = ["ext_proc_denied", "forward_auth_denied"];
    let of_policies = policy::all_refusals().filter(|reject| !services.contains(&reject.code));
    for reject in of_policies {
        let status = vocab::reasons::find(reject.code).map(|reason| reason.status);
        assert_eq!(status, Some(reject.status), "{}", reject.code);
    }
    let codes: Vec<&str> = vocab::reasons::ALL
        .iter()
        .map(|reason| reason.code)
        .collect();
    let unique: BTreeSet<&str> = codes.iter().copied().collect();
    assert_eq!(unique.len(), codes.len(), "{codes:?}");
    // These responses are sent before a configuration is known.
    for code in ["head_invalid", "header_timeout", "overload", "not_ready"] {
        assert!(vocab::reasons::find(code).is_none(), "{code}");
    }
}

#[test]
fn reasons_of_failures_are_those_of_the_gateway() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let table =
        std::fs::read_to_string(root.join("../gwd/src/message/failure.rs")).expect("a file");
    let lines: Vec<&str> = table.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let status: u16 = pair[0].strip_suffix(',')?.parse().ok()?;
        let code = pair[1].strip_prefix('"')?.strip_suffix("\",")?;
        Some((code, status))
    });
    let pairs: Vec<(&str, u16)> = pairs.collect();
    assert!(pairs.len() > 10, "{pairs:?}");
    // Skip this reason: no response is sent to a client that has disconnected.
    for (code, status) in pairs
        .into_iter()
        .filter(|(code, _)| *code != "client_closed")
    {
        let reason = vocab::reasons::find(code);
        assert_eq!(reason.map(|reason| reason.status), Some(status), "{code}");
    }
}

#[test]
fn misspelt_reason_has_a_suggestion() {
    let found = |gateway: &str, document: &str| -> Vec<(String, Option<String>)> {
        let errors = |text: &str, before: &str, key: &str| match text {
            "" => before.to_owned(),
            text => before.replace(key, &format!("{text}\n{key}")),
        };
        let gateway = errors(
            gateway,
            "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n",
            "defaults:",
        );
        let document = errors(
            document,
            "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {}\n",
            "paths:",
        );
        let files = [("gateway.yaml", &*gateway), ("api.yaml", &*document)];
        let files = Files::in_memory(files, Limits::default());
        let compiled = model::compile::project(files, &Vec::new());
        let findings = compiled.findings.into_iter();
        let unknown = findings.filter(|finding| finding.lint.name == "unknown-key");
        unknown
            .map(|finding| (finding.message, finding.help))
            .collect()
    };
    let help = |text: &str| Some(text.to_owned());
    for (code, expected) in [
        ("rate_limitted", "write `rate_limited`"),
        ("no-route", "write `no_route`"),
        ("upstream_timeut", "write `upstream_timeout`"),
        ("teapot", "`gwc explain errors` lists the reasons"),
    ] {
        let one = found(&format!("errors: {{{code}: {{status: 410}}}}"), "");
        let message = format!("unknown reason `{code}`");
        assert_eq!(one, [(message, help(expected))], "{code}");
    }
    let own = |code: &str| {
        found(
            "",
            &format!("x-gateway: {{errors: {{{code}: {{status: 410}}}}}}"),
        )
    };
    assert_eq!(own("rate_limited"), []);
    assert_eq!(
        own("rate_limit"),
        [(
            "unknown reason `rate_limit`".to_owned(),
            help("write `rate_limited`")
        )]
    );
    // The reason exists, but cannot occur within a route.
    let elsewhere =
        "it belongs under `errors` of gateway.yaml: it occurs before a route is selected";
    assert_eq!(
        own("no_route"),
        [("unknown reason `no_route`".to_owned(), help(elsewhere))]
    );
}
