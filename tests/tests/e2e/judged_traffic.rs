//! Tests of request validation against python-jsonschema, the reference validator.
//! `tests/peers/traffic.py` writes requests for every operation of real documents, with the
//! decisions of the reference. A valid request must reach the upstream. An invalid request differs
//! from a valid one in a single place, and must not reach the upstream.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::gateway::{Gateway, Options};
use e2e::openapi::{Credential, Document};
use e2e::peers;
use e2e::project::Project;
use e2e::upstream::Upstream;
use e2e::{binaries, corpus, wait};
use serde_json::Value;

use crate::real_documents::{twins, without_blocks};

/// Number of concurrent client connections.
const CLIENTS: usize = 4;

/// Expected counts for a document. `operations`, `valid` and `invalid` are minimum counts of
/// operations and requests. `unable` is the maximum number of operations without a request.
struct Counts {
    operations: u64,
    unable: usize,
    valid: usize,
    invalid: usize,
}

#[test]
fn judge_agrees_about_museum() {
    serve_file("museum.yaml", [8, 0, 17, 50]);
}

#[test]
fn judge_agrees_about_petstore() {
    serve_file("petstore.yaml", [19, 0, 50, 50]);
}

#[test]
fn judge_agrees_about_figma() {
    serve_file("figma.yaml", [47, 0, 90, 100]);
}

#[test]
fn judge_agrees_about_stripe() {
    serve_file("stripe.yaml", [460, 60, 1_700, 500]);
}

#[test]
fn judge_agrees_about_discord() {
    serve_file("discord.json", [242, 20, 450, 900]);
}

#[test]
fn judge_agrees_about_xero() {
    let name = "xero_accounting.yaml";
    let text = corpus::text(name);
    let second: Vec<usize> = twins(&text).iter().map(|(_, second)| second.get).collect();
    let project = Project::new();
    project.write(name, without_blocks(&text, &second));
    serve(&project, name, [221, 60, 300, 300]);
}

#[test]
fn judge_agrees_about_digitalocean() {
    let project = Project::new();
    corpus::unpack("digitalocean", &project);
    let file = "digitalocean/specification/DigitalOcean-public.v2.yaml";
    serve(&project, file, [659, 60, 1_200, 1_200]);
}

#[test]
fn judge_agrees_about_github() {
    let packages = binaries::target().join("peers/npm/node_modules");
    let file = packages.join("@octokit/openapi/generated/api.github.com.json");
    let Ok(text) = std::fs::read(file) else {
        return prerequisite::skip(peers::MISSING);
    };
    let project = Project::new();
    project.write("github.json", text);
    serve(&project, "github.json", [1_000, 60, 2_000, 2_000]);
}

#[test]
fn judge_agrees_about_the_admin_interface() {
    let project = Project::new();
    copy("specs/gwd-admin.yaml", &project);
    serve(&project, "gwd-admin.yaml", [15, 2, 30, 10]);
}

#[test]
fn judge_agrees_about_the_shop() {
    let project = Project::new();
    copy("examples/canary/apis/shop.yaml", &project);
    serve(&project, "shop.yaml", [2, 0, 3, 0]);
}

/// Sends parameters in the styles of URI templates (RFC 6570). A third-party implementation expands
/// the templates.
#[test]
fn expanded_uri_templates_are_read() {
    let project = Project::new();
    let file = "styles.json";
    let least = Counts {
        operations: 177,
        unable: 0,
        valid: 177,
        invalid: 177,
    };
    match written_by(python("styles.py"), &project.path(file)) {
        Some(traffic) => send(&project, file, &traffic, &least),
        None => prerequisite::skip(peers::MISSING),
    }
}

/// Sends query parameters in the styles that are no URI templates. A third-party implementation
/// serializes the values.
#[test]
fn serialized_lists_and_objects_are_read() {
    let project = Project::new();
    let file = "styles.json";
    let least = Counts {
        operations: 13,
        unable: 0,
        valid: 13,
        invalid: 13,
    };
    match written_by(peers::node("styles.mjs"), &project.path(file)) {
        Some(traffic) => send(&project, file, &traffic, &least),
        None => prerequisite::skip(peers::MISSING),
    }
}

fn copy(file: &str, project: &Project) {
    let path = binaries::workspace().join(file);
    let name = path.file_name().and_then(|name| name.to_str());
    let text = std::fs::read(&path).expect("the document is there");
    project.write(name.expect("a name"), text);
}

fn serve_file(name: &str, least: [usize; 4]) {
    let project = Project::new();
    project.write(name, corpus::text(name));
    serve(&project, name, least);
}

/// Serves a document with `validate: {request: block}`, and sends the requests of the reference
/// validator. Array: expected [`Counts`] in the order of the fields.
fn serve(project: &Project, file: &str, [operations, unable, valid, invalid]: [usize; 4]) {
    let least = Counts {
        operations: operations as u64,
        unable,
        valid,
        invalid,
    };
    match written_by(python("traffic.py"), &project.path(file)) {
        Some(traffic) => send(project, file, &traffic, &least),
        None => prerequisite::skip(peers::MISSING),
    }
}

/// Serves a document, and compares the gateway's decisions with the reference decisions.
fn send(project: &Project, file: &str, (requests, counts): &Traffic, least: &Counts) {
    let upstream = Upstream::start();
    upstream.forgets();
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: {file}}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         defaults: {{upstream: u, security: upstream, validate: {{request: block}}}}\n",
        upstream.url()
    );
    project.write("gateway.yaml", gateway);
    project.keygen();
    project.apply();
    let credentials = credentials(&project.path(file));
    let gateway = Options::of(project).start();
    let wrong = send_all(&gateway, requests, &credentials);
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        requests.len(),
        wrong.join("\n")
    );
    let is_valid = |request: &&Value| request["wrong"].is_null();
    let accepted = requests.iter().filter(is_valid).count();
    let refused = requests.len() - accepted;
    assert!(
        counts["operations"].as_u64() >= Some(least.operations),
        "{counts}"
    );
    let unable = counts["unable"].as_array().map_or(0, Vec::len);
    assert!(unable <= least.unable, "{unable}: {counts}");
    assert!(
        accepted >= least.valid && refused >= least.invalid,
        "{accepted}, {refused}"
    );
    gateway.stops_clean();
}

/// Requests of a reference script, and the script's counts.
type Traffic = (Vec<Value>, Value);

/// Runs a script that writes requests for a document. `None` if a Python package is missing.
fn written_by(script: Option<Command>, file: &Path) -> Option<Traffic> {
    let output = script?.arg(file).output().ok()?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = text.lines().map(serde_json::from_str);
    let mut all: Vec<Value> = lines.map(|line| line.expect("JSON")).collect();
    let counts = all.pop()?;
    Some((all, counts))
}

/// Command that runs a script of `tests/peers` in Python. `None` if a package is missing.
fn python(script: &str) -> Option<Command> {
    let packages = peers::python_packages()?;
    let script = binaries::workspace().join("tests/peers").join(script);
    let mut python = Command::new("python3");
    python.arg(script).env("PYTHONPATH", packages);
    Some(python)
}

/// Credentials of each operation. Keys have the form `method template`, with the method in lower
/// case.
fn credentials(file: &Path) -> BTreeMap<String, Vec<Credential>> {
    let operations = Document::open(file).operations().into_iter();
    let key = |method: &str, template: &str| format!("{} {template}", method.to_ascii_lowercase());
    operations
        .map(|one| (key(&one.method, &one.template), one.credentials))
        .collect()
}

/// Sends all requests. Returns a line for each request on which the gateway and the reference
/// disagree.
fn send_all(
    gateway: &Gateway,
    requests: &[Value],
    credentials: &BTreeMap<String, Vec<Credential>>,
) -> Vec<String> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut connection = gateway.connect();
                loop {
                    let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        return;
                    };
                    let operation = request["operation"].as_str().expect("a key");
                    let text = text(request, &credentials[operation]);
                    let to_head = request["method"] == "HEAD";
                    // The first request of an operation gets 503 if compiling the validator takes
                    // too long.
                    let response = wait::until("the validator is compiled", || {
                        connection.send(text.as_bytes()).expect("gwd reads");
                        let response = connection.read_response(to_head).expect("gwd answers");
                        (response.status != 503).then_some(response)
                    });
                    let is_valid = request["wrong"].is_null();
                    if (response.status == 200) != is_valid {
                        let mut all = wrong.lock().expect("no client failed");
                        all.push(format!(
                            "{} {}: {request:.600}",
                            response.status,
                            response.text()
                        ));
                    }
                    if response.head.has("connection", "close") {
                        connection = gateway.connect();
                    }
                }
            });
        }
    });
    wrong.into_inner().expect("no client failed")
}

/// Text of a request, with the operation's credentials added.
fn text(request: &Value, credentials: &[Credential]) -> String {
    let of = |key: &str| request[key].as_str().expect("text");
    let (mut target, body) = (of("target").to_owned(), of("body"));
    let mut fields = BTreeMap::new();
    for (name, value) in request["fields"].as_object().expect("an object") {
        fields.insert(name.clone(), value.as_str().expect("text").to_owned());
    }
    for credential in credentials {
        let mut insert =
            |name: &str, value: &str| fields.insert(name.to_ascii_lowercase(), value.to_owned());
        match credential {
            Credential::Header(name) => drop(insert(name, "k3y")),
            Credential::Cookie(name) => drop(insert("cookie", &format!("{name}=k3y"))),
            Credential::Basic => drop(insert("authorization", "Basic dTpw")),
            Credential::Bearer => drop(insert("authorization", "Bearer t0ken")),
            Credential::Query(name) => {
                let mark = if target.contains('?') { '&' } else { '?' };
                target.push_str(&format!("{mark}{name}=k3y"));
            }
        }
    }
    let mut text = format!("{} {target} HTTP/1.1\r\nhost: e2e.test\r\n", of("method"));
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || matches!(of("method"), "POST" | "PUT" | "PATCH") {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text + body
}
