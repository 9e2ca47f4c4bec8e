//! Tests that gateways can enforce the security of documents that others wrote. Each scheme that a
//! requirement names is bound to a verifier of its type.

use std::path::{Path, PathBuf};

use e2e::corpus;
use e2e::gateway::Options;
use e2e::openapi::{Document, Operation};
use e2e::project::Project;
use e2e::upstream::Upstream;
use serde_json::{Value, json};

use crate::real_documents::{twins, without_blocks};

/// Public API descriptions: file, number of schemes that requirements name, and number of
/// operations that require a credential.
const DOCUMENTS: [(&str, usize, usize); 7] = [
    ("museum.yaml", 1, 8),
    ("petstore.yaml", 2, 9),
    ("figma.yaml", 3, 47),
    ("discord.json", 2, 220),
    ("stripe.yaml", 2, 460),
    ("xero_accounting.yaml", 1, 235 - 14),
    (DIGITALOCEAN, 2, 658),
];

const DIGITALOCEAN: &str = "digitalocean/specification/DigitalOcean-public.v2.yaml";

/// File with DigitalOcean's only operation without a credential.
const DIGITALOCEAN_PUBLIC: &str =
    "digitalocean/specification/resources/inference/inference_upload_batch_file.yml";

/// Number of documents of the conformance suites that define security schemes and are valid.
const EXAMPLES: usize = 32;

/// Every operation that requires a credential refuses a request without one, and every other
/// operation serves it.
#[test]
fn schemes_of_real_documents_are_enforced() {
    for (file, schemes, closed) in DOCUMENTS {
        let (project, upstream) = (Project::new(), Upstream::start());
        upstream.forgets();
        write(&project, file);
        let mut document = Document::open(&project.path(file));
        assert_eq!(document.required_schemes().len(), schemes, "{file}");
        let operations = document.operations();
        bind(&project, file, &mut document, &upstream.url());
        project.keygen();
        project.apply();
        let gateway = Options::of(&project).workers(1).start();
        let mut connection = gateway.connect();
        for one in &operations {
            let request = format!("{} {} HTTP/1.1\nhost: gateway", one.method, one.path());
            let response = connection.ask(&request).expect("a response");
            let expected = if one.is_anonymous { 200 } else { 401 };
            assert_eq!(response.status, expected, "{file}: {request}");
        }
        let refused = operations.iter().filter(|one| !one.is_anonymous).count();
        assert_eq!(refused, closed, "{file}");
        gateway.stops_clean();
    }
}

/// The valid documents of the conformance suites use each type of scheme. gwc accepts each of them
/// without an error, and its decision about a request without a credential is a refusal.
#[test]
fn schemes_of_conformance_documents_are_enforceable() {
    let mut enforced = Vec::new();
    for path in examples() {
        let project = Project::new();
        let text = std::fs::read_to_string(&path).expect("text");
        // Remove a reference to a file on the network, which gwc does not read.
        let external = text.lines().position(|line| line == "    external:");
        let removed: Vec<usize> = external.map(|index| index + 1).into_iter().collect();
        let name = path.file_name().and_then(|name| name.to_str());
        let file = name.expect("a name");
        project.write(
            file,
            if removed.is_empty() {
                text
            } else {
                without_blocks(&text, &removed)
            },
        );
        let mut document = Document::open(&project.path(file));
        if document.required_schemes().is_empty() {
            continue;
        }
        bind(&project, file, &mut document, "http://127.0.0.1:9");
        let report = project.gwc(&["lint", "--format", "json"]).succeeds().json();
        let findings = report["findings"].as_array().expect("findings");
        let errors: Vec<&Value> = findings
            .iter()
            .filter(|one| one["level"] == "error")
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        project.gwc(&["build"]).succeeds();
        for one in document.operations().iter().filter(|one| !one.is_anonymous) {
            assert_eq!(
                status_without_credential(&project, one),
                401,
                "{}",
                path.display()
            );
        }
        enforced.push(path);
    }
    assert_eq!(enforced.len(), EXAMPLES, "{enforced:#?}");
}

/// Status of gwc's decision about a request without a credential.
fn status_without_credential(project: &Project, one: &Operation) -> u64 {
    let route = ["route", &one.method, &one.path(), "--format", "json"];
    let decision = project.gwc(&route).succeeds().json();
    assert_eq!(decision["decision"], "reject", "{decision:#}");
    decision["status"].as_u64().expect("a status")
}

/// Valid documents of the conformance suites that define security schemes.
fn examples() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let suites = prerequisite::corpus::folder().join("conformance");
    for suite in suites.read_dir().expect("a folder").flatten() {
        find(&suite.path().join("pass"), &mut found);
    }
    found.sort();
    found
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.contains("securitySchemes") && text.contains("openapi") {
            found.push(path);
        }
    }
}

/// Writes a document into a project. Removes what gwc refuses for other reasons than security.
fn write(project: &Project, file: &str) {
    if file == DIGITALOCEAN {
        corpus::unpack("digitalocean", project);
        let mut public = project.read(DIGITALOCEAN_PUBLIC);
        public.extend_from_slice(b"\nx-gateway: {public: true}\n");
        project.write(DIGITALOCEAN_PUBLIC, public);
        return;
    }
    let text = corpus::text(file);
    // The second operation of each pair whose templates differ only in parameter names.
    let second: Vec<usize> = match file {
        "xero_accounting.yaml" => twins(&text).iter().map(|(_, second)| second.get).collect(),
        _ => Vec::new(),
    };
    project.write(
        file,
        if second.is_empty() {
            text
        } else {
            without_blocks(&text, &second)
        },
    );
}

/// Writes a gateway.yaml for a document, and an overlay that binds its schemes and marks its public
/// operations.
fn bind(project: &Project, file: &str, document: &mut Document, upstream: &str) {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": "ZW4_y8suG6rV6h6M67JbdtkNq5vgy1JYj5GmhLAM5y0"});
    let verifiers = json!({
        "keys": {"kind": "api_key"},
        "staff": {"kind": "basic"},
        "idp": {"kind": "jwt", "issuer": "https://idp.example", "audience": ["a"], "algorithms": ["EdDSA"], "jwks": {"keys": [key]}},
        "partners": {"kind": "mtls", "sans": ["partner.example"]},
    });
    let overlay = json!({
        "overlay": "1.0.0", "info": {"title": "b", "version": "1"}, "actions": actions(document),
    });
    project.write("bind.json", overlay.to_string());
    let gateway = json!({
        "version": 1, "name": "s", "apis": {"s": {"path": file, "overlays": ["bind.json"]}},
        "upstreams": {"u": {"targets": {"a": {"url": upstream}}}},
        "auth": verifiers, "defaults": {"upstream": "u"},
    });
    project.write("gateway.yaml", gateway.to_string());
}

fn actions(document: &mut Document) -> Vec<Value> {
    let has_roles = !document.version().starts_with("3.0");
    let mut actions: Vec<Value> = Vec::new();
    for (name, required) in document.required_schemes() {
        let one = &required.scheme;
        let verifier = match (one["type"].as_str(), one["scheme"].as_str()) {
            (Some("apiKey"), _) => "keys",
            (Some("http"), Some("basic")) => "staff",
            (Some("http"), Some("bearer")) | (Some("oauth2" | "openIdConnect"), _) => "idp",
            (Some("mutualTLS"), _) => "partners",
            other => panic!("{name}: {other:?}"),
        };
        let bound = json!({"auth": verifier});
        let target = format!("$.components.securitySchemes['{name}']");
        if one["type"] != "http" || required.scopes.is_empty() || has_roles {
            actions.push(json!({"target": target, "update": {"x-gateway": bound}}));
            continue;
        }
        // OpenAPI 3.0 has scopes for oauth2 schemes only. With this type, the gateway compares the
        // scopes.
        let scopes = required
            .scopes
            .iter()
            .map(|scope| (scope.clone(), json!("")));
        let scopes: serde_json::Map<String, Value> = scopes.collect();
        let flow = json!({"tokenUrl": "https://idp.example/token", "scopes": scopes});
        let scheme =
            json!({"type": "oauth2", "flows": {"clientCredentials": flow}, "x-gateway": bound});
        actions.push(json!({"target": target, "remove": true}));
        actions.push(json!({"target": "$.components.securitySchemes", "update": {name: scheme}}));
    }
    // The test marks DigitalOcean's public operation in its own file.
    let operations = document.operations().into_iter();
    for one in operations.filter(|one| one.is_anonymous && one.template != "/<upload_url>") {
        let method = one.method.to_ascii_lowercase();
        actions.push(json!({
            "target": format!("$.paths['{}'].{method}", one.template),
            "update": {"x-gateway": {"public": true}},
        }));
    }
    actions
}
