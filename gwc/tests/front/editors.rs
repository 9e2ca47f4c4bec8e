//! Tests of the schemas for editors: they accept valid files and reject invalid files, and the
//! examples refer to them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Root folder of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn schema(name: &str) -> Value {
    let all = gwc::schemas::all();
    let found = all.into_iter().find(|(known, _)| *known == name);
    found.expect("there is such a schema").1
}

fn gateway() -> jsonschema::Validator {
    jsonschema::validator_for(&schema("gateway")).expect("the schema is one")
}

/// Schema for one place at which documents may have `x-gateway`, such as `operation`.
fn point(name: &str) -> jsonschema::Validator {
    let all = schema("x-gateway");
    jsonschema::validator_for(&all["$defs"][name]).expect("the schema is one")
}

fn parsed(text: &str) -> Value {
    serde_yaml_ng::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn wrong(validator: &jsonschema::Validator, value: &Value) -> Vec<String> {
    let errors = validator.iter_errors(value);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// Replaces each `$SHA256(text)`, as in the end-to-end cases, with a hash.
fn hashed(text: &str) -> String {
    let mut parts = text.split("$SHA256(");
    let mut hashed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        hashed += &"0".repeat(64);
        hashed += part.split_once(')').expect("it is closed").1;
    }
    hashed
}

/// Finds files below a folder by name.
fn files(folder: &Path, fits: &dyn Fn(&str) -> bool, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder)
        .expect("the folder can be read")
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() {
            files(&path, fits, found);
        } else if path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(fits)
        {
            found.push(path);
        }
    }
}

#[test]
fn gateway_yaml_files_fit_the_schema() {
    let (validator, mut found) = (gateway(), Vec::new());
    for folder in ["examples", "tests/cases"] {
        files(
            &root().join(folder),
            &|name| name == "gateway.yaml",
            &mut found,
        );
    }
    assert!(found.len() >= 8, "{found:?}");
    for path in found {
        let value = parsed(&hashed(&std::fs::read_to_string(&path).unwrap()));
        assert_eq!(wrong(&validator, &value), [""; 0], "{}", path.display());
    }
    let rich = parsed(crate::vocabulary::GATEWAY);
    assert_eq!(wrong(&validator, &rich), [""; 0]);
}

#[test]
fn every_good_sample_of_a_diagnostic_fits_the_schema() {
    let validator = gateway();
    let mut shown = 0;
    for lint in openapi::lint::ALL.iter().copied().flatten() {
        for (file, text) in lint.good {
            if *file != "gateway.yaml" {
                continue;
            }
            let value = parsed(text);
            assert_eq!(wrong(&validator, &value), [""; 0], "{}: {text}", lint.name);
            shown += 1;
        }
    }
    assert!(shown >= 40, "only {shown}");
}

#[test]
fn every_x_gateway_of_the_examples_fits_its_schema() {
    let mut found = Vec::new();
    files(
        &root().join("examples"),
        &|name| name.ends_with(".gw.yaml"),
        &mut found,
    );
    assert!(found.len() >= 2, "{found:?}");
    let points = [
        "root",
        "server",
        "path-item",
        "operation",
        "parameter",
        "security-scheme",
        "schema",
        "response",
    ]
    .map(point);
    let mut seen = 0;
    for path in found {
        let overlay = parsed(&std::fs::read_to_string(&path).unwrap());
        for action in overlay["actions"].as_array().into_iter().flatten() {
            let Some(extension) = action["update"].get("x-gateway") else {
                continue;
            };
            seen += 1;
            assert!(
                points.iter().any(|point| point.is_valid(extension)),
                "{extension}"
            );
        }
    }
    assert!(seen > 0, "the examples use `x-gateway`");
}

#[test]
fn the_examples_name_their_schemas() {
    let mut found = Vec::new();
    files(
        &root().join("examples"),
        &|name| name == "gateway.yaml",
        &mut found,
    );
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap_or_default();
        let named = first.strip_prefix("# yaml-language-server: $schema=");
        let named = named.unwrap_or_else(|| panic!("{} begins with {first}", path.display()));
        let schema = path.parent().unwrap().join(named);
        assert!(schema.is_file(), "{} is not there", schema.display());
    }
}

#[test]
fn schema_refuses_invalid_gateway_yaml() {
    let validator = gateway();
    for wrong in WRONG {
        let value = parsed(&format!("version: 1\nname: s\n{wrong}\n"));
        assert!(!validator.is_valid(&value), "{wrong}");
    }
    assert!(WRONG.len() >= 40);
    for broken in [
        json!({}),
        json!([]),
        json!({"version": 2, "name": "s"}),
        json!({"version": 1}),
    ] {
        assert!(!validator.is_valid(&broken), "{broken}");
    }
}

#[test]
fn schema_refuses_invalid_x_gateway() {
    for (name, wrong) in WRONG_POINTS {
        let value = parsed(wrong);
        assert!(!point(name).is_valid(&value), "{name}: {wrong}");
    }
}

/// The compiler must refuse the documents that the schema refuses.
#[test]
fn the_compiler_refuses_what_the_schema_refuses() {
    for wrong in WRONG {
        let text = format!("version: 1\nname: s\n{wrong}\n");
        let files = sources::project::files::Files::in_memory(
            [("gateway.yaml", text.as_str())],
            sources::syntax::Limits::default(),
        );
        let compiled = model::compile::project(files, &Vec::new());
        assert!(compiled.has_errors(), "{wrong}");
    }
}

const WRONG: &[&str] = &[
    "upstrems: {}",
    "name: [s]",
    "apis: {a: {}}",
    "apis: {a: {path: /etc/passwd}}",
    "apis: {a: {path: ../a.yaml}, b: {pth: a}}",
    "apis: {\"a b\": {path: a.yaml}}",
    "apis: {a: {path: a.yaml, mount: {}, mounts: []}}",
    "apis: {a: {path: a.yaml, undeclared_methods: allow}}",
    "listeners: {public: {}}",
    "listeners: {public: {address: \"127.0.0.1:80\", protocol: ftp}}",
    "listeners: {public: {address: \"127.0.0.1:80\", trusted_proxies: [everybody]}}",
    "listeners: {public: {address: \"127.0.0.1:80\", limits: {connections: 0}}}",
    "listeners: {public: {address: \"127.0.0.1:80\", limits: {header_bytes: 64}}}",
    "listeners: {public: {address: \"127.0.0.1:80\", limits: {idle_timeout: 60}}}",
    "listeners: {public: {address: \"127.0.0.1:80\", protocol: https, tls: {}}}",
    "listeners: {public: {address: \"127.0.0.1:80\", protocol: https, tls: {certificates: {a: {cert: \"${file:/c}\"}}}}}",
    "listeners: {public: {address: \"127.0.0.1:80\", protocol: https, tls: {certificates: {a: {cert: secret, key: secret}}}}}",
    "listeners: {public: {address: \"127.0.0.1:80\", protocol: https, tls: {certificates: {}, min_version: \"1.1\"}}}",
    "upstreams: {u: {targets: {a: {}}}}",
    "upstreams: {u: {targets: {a: {url: \"http://a\", weight: -1}}}}",
    "upstreams: {u: {targets: {a: {url: \"http://a\"}}, dns: {name: a, port: 1}}}",
    "upstreams: {u: {targets: {a: {url: \"http://a\"}}, lb: fastest}}",
    "upstreams: {u: {targets: {a: {url: \"http://a\"}}, timeouts: {connect: 0s}}}",
    "upstreams: {u: {targets: {a: {url: \"http://a\"}}, timeouts: {connect: 1 s}}}",
    "upstreams: {u: {targets: {a: {url: \"http://a\"}}, health: {}}}",
    "upstreams: {u: {targets: {a: {url: \"http://a\"}}, health: {active: {path: health}}}}",
    "upstreams: {u: {targets: {a: {url: \"http://a\"}}, retries: {attempts: 11}}}",
    "upstreams: {u: {targets: {a: {url: \"http://a\"}}, retries: {on: [always]}}}",
    "upstreams: {u: {targets: {a: {url: \"http://a\"}}, circuit_breaker: {open: 1s}}}",
    "upstreams: {u: {dns: {name: \"a:80\", port: 80}}}",
    "upstreams: {u: {dns: {name: a, port: 70000}}}",
    "upstreams: {u: {dns: {port: 80}}}",
    "upstreams: {u: {file: {path: orders.json}}}",
    "upstreams: {u: {file: {path: /run/orders.json}, dns: {name: a, port: 80}}}",
    "auth: {a: {kind: api_keys}}",
    "auth: {a: {}}",
    "auth: {a: {kind: jwt, issuer: i, audience: [a], jwks_url: \"https://i/k\", algorithms: [none]}}",
    "auth: {a: {kind: jwt, issuer: i, audience: [a], jwks_url: \"http://i/k\", algorithms: [RS256]}}",
    "auth: {a: {kind: jwt, issuer: i, audience: [], jwks_url: \"https://i/k\", algorithms: [RS256]}}",
    "auth: {a: {kind: jwt, issuer: i, audience: [a], jwks_url: \"https://i/k\", jwks_file: k.json, algorithms: [RS256]}}",
    "auth: {a: {kind: oidc, issuer: \"https://i\", client_id: c, client_secret: plain, redirect_path: /r, session: {secret: \"${env:GWS_A}\"}}}",
    "auth: {a: {kind: mtls, spiffe: [\"http://a\"]}}",
    "consumers: {c: {keys: [{sha256: abc}]}}",
    "consumers: {c: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, not_after: 2027-13-01}]}}",
    "plans: {gold: {policies: []}}",
    "policies: {p: {kind: rate_limit}}",
    "policies: {p: {kind: rate_limit, limit: 100}}",
    "policies: {p: {kind: rate_limit, limit: 0/s}}",
    "policies: {p: {kind: rate_limit, limit: 1/s, key: somebody}}",
    "policies: {p: {kind: rate_limit, limit: 1/s, burts: 1}}",
    "policies: {p: {kind: cors, origins: [\"https://a.example/path\"]}}",
    "policies: {p: {kind: cors, origins: [\"https://a.example\"], methods: [get]}}",
    "policies: {p: {kind: ip_filter}}",
    "policies: {p: {kind: ip_filter, deny: [a]}}",
    "policies: {p: {kind: quota, limit: 1, period: day, window: 1d}}",
    "policies: {p: {kind: mirror, upstream: u, percent: 5}}",
    "policies: {p: {kind: mirror, upstream: u, percent: 101%}}",
    "policies: {p: {kind: fault}}",
    "policies: {p: {kind: redirect, status: 200, path: /}}",
    "policies: {p: {kind: respond, status: 600}}",
    "required: {policies: waf}",
    "defaults: {timeout: 30}",
    "defaults: {security: none}",
    "stores: {r: {kind: redis, url: \"redis://:password@host\"}}",
    "stores: {r: {kind: memcached}}",
    "errors: {rate_limited: {status: 200}}",
    "errors: {RateLimited: {status: 429}}",
    "lint: {unknown-key: fatal}",
    "gates: [weakn]",
];

const WRONG_POINTS: &[(&str, &str)] = &[
    ("root", "{undeclared_params: drop}"),
    ("root", "{defaults: {policies: [a], +policies: [b]}}"),
    ("server", "{weight: -1}"),
    ("path-item", "{match: regex}"),
    ("path-item", "{policies: [a], +policies: [b]}"),
    ("operation", "{policies: [a], +policies: [b]}"),
    ("operation", "{timeout: 5}"),
    ("operation", "{public: yes please}"),
    ("operation", "{rewrite: {}}"),
    ("operation", "{rewrite: {path: \"a?b\"}}"),
    ("operation", "{split: []}"),
    ("operation", "{split: [{weight: 1}]}"),
    ("operation", "{mirror: {percent: 5%}}"),
    ("operation", "{deprecated: {sunset: soon}}"),
    (
        "operation",
        "{match: {headers: {\"a b\": {present: true}}}}",
    ),
    ("operation", "{match: {query: {a: {present: false}}}}"),
    ("parameter", "{log: drop}"),
    ("security-scheme", "{verify: gateway}"),
    ("security-scheme", "{claims_to_headers: {sub: \"X User\"}}"),
    ("schema", "{limits: {}}"),
    ("response", "{cache_ttl: 0s}"),
];

#[test]
fn patch_schema_accepts_parts_and_nulls_only() {
    let patch = jsonschema::validator_for(&schema("gateway-patch")).expect("the schema is one");
    let right = [
        "{}",
        "defaults: {timeout: 3s}",
        "policies: {slow: {limit: 100/s}}",
        "policies: {slow: null}",
        "upstreams: {u: {targets: {a: null, b: {url: \"http://127.0.0.1:1\"}}}}",
        "listeners: null",
        "defaults: {timeout: \"${var:WAIT}\"}",
    ];
    for text in right {
        assert_eq!(wrong(&patch, &parsed(text)), Vec::<String>::new(), "{text}");
    }
    for text in [
        "[]",
        "name: other",
        "version: 1",
        "environments: {}",
        "defaults: {timeuot: 3s}",
        "defaults: {timeout: 3}",
        "policies: {slow: {limits: 100/s}}",
        "upstream: {}",
    ] {
        assert!(!wrong(&patch, &parsed(text)).is_empty(), "{text}");
    }
    let consumers = jsonschema::validator_for(&schema("consumers")).expect("the schema is one");
    assert_eq!(
        wrong(&consumers, &parsed("acme: {keys: []}")),
        Vec::<String>::new()
    );
    assert!(!wrong(&consumers, &parsed("consumers: {acme: {keys: []}}")).is_empty());
}

#[test]
fn schema_describes_keys_and_their_availability() {
    let all = schema("gateway");
    assert!(all.to_string().contains("not available yet"));
    // The schema of the value has no description: editors would show it instead of the
    // description of the key.
    let defaults = &all["properties"]["defaults"];
    assert_eq!(defaults["description"], "Defaults for every operation.");
    assert!(defaults["anyOf"][0]["properties"].is_object());
    assert!(defaults["anyOf"][0].get("description").is_none());
}
