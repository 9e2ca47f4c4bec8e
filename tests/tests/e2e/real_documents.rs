//! Tests with real API descriptions, which are compiled and served. The tests call every operation.
//! The upstream and the access log must show the right operation.

use std::collections::BTreeMap;
use std::sync::Mutex;

use e2e::client::Connection;
use e2e::corpus;
use e2e::gateway::{Gateway, Options};
use e2e::openapi::{Document, Operation};
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};

/// Number of concurrent client connections.
const CLIENTS: usize = 4;

#[test]
fn stripe() {
    serve_file("stripe.yaml", 460);
}

#[test]
fn discord() {
    serve_file("discord.json", 242);
}

#[test]
fn museum() {
    serve_file("museum.yaml", 8);
}

#[test]
fn petstore() {
    serve_file("petstore.yaml", 19);
}

#[test]
fn figma() {
    serve_file("figma.yaml", 47);
}

#[test]
fn digitalocean() {
    let project = Project::new();
    corpus::unpack("digitalocean", &project);
    let file = "digitalocean/specification/DigitalOcean-public.v2.yaml";
    serve(&project, file, 659, &[]);
}

/// This document has fourteen pairs of templates that differ only in parameter names. gwc reports
/// each pair with both locations. Without the second operation of each pair, the document compiles
/// and is served.
#[test]
fn xero_accounting() {
    let name = "xero_accounting.yaml";
    let text = corpus::text(name);
    let project = Project::new();
    project.write(name, &text);
    project.write("gateway.yaml", gateway(name, &Upstream::start()));

    let report = project.gwc(&["lint", "--format", "json"]);
    let report = report.exits(1).json();
    let findings = report["findings"].as_array().expect("findings");
    let errors: Vec<_> = findings
        .iter()
        .filter(|finding| finding["level"] == "error")
        .collect();
    let pairs = twins(&text);
    assert_eq!((errors.len(), pairs.len()), (14, 14));
    for (error, (first, second)) in errors.iter().zip(&pairs) {
        assert_eq!(error["name"], "identical-route");
        assert_eq!(error["file"], name);
        assert_eq!(error["line"], second.path, "{error:#}");
        assert_eq!(error["related"][0]["file"], name);
        assert_eq!(error["related"][0]["line"], first.path, "{error:#}");
    }

    let build = project.gwc(&["build", "--format", "json"]);
    assert_eq!(build.exits(1).json()["error"]["exit"], 1);

    let second: Vec<usize> = pairs.iter().map(|(_, second)| second.get).collect();
    project.write(name, without_blocks(&text, &second));
    serve(&project, name, 235 - 14, &[]);
}

/// Location of a GET operation: line of the path, and line of the operation. Lines count from 1.
#[derive(Clone, Copy)]
pub(crate) struct Get {
    path: usize,
    pub(crate) get: usize,
}

/// Pairs of GET operations whose templates differ only in parameter names, in the order of the
/// second operation.
pub(crate) fn twins(text: &str) -> Vec<(Get, Get)> {
    let mut seen: BTreeMap<String, Get> = BTreeMap::new();
    let mut pairs = Vec::new();
    let mut template = String::new();
    let mut at = 0;
    let lines = text.lines().zip(1..);
    let paths = lines.skip_while(|(line, _)| *line != "paths:");
    for (line, number) in paths.take_while(|(line, _)| *line != "components:") {
        if line.starts_with("  /") {
            let pieces = line.split('{');
            let literals =
                pieces.map(|piece| piece.split_once('}').map_or(piece, |(_, literal)| literal));
            template = literals.collect::<Vec<_>>().join("{}");
            at = number;
        } else if line == "    get:" {
            let get = Get {
                path: at,
                get: number,
            };
            if let Some(first) = seen.insert(template.clone(), get) {
                pairs.push((first, get));
            }
        }
    }
    pairs
}

/// Removes the YAML blocks that begin at these lines (from 1), and returns the remaining text.
pub(crate) fn without_blocks(text: &str, starts: &[usize]) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut kept = String::new();
    let mut skipping = None;
    for (index, line) in text.lines().enumerate() {
        if starts.contains(&(index + 1)) {
            skipping = Some(indent(line));
            continue;
        }
        if skipping.is_some_and(|from| line.trim().is_empty() || indent(line) > from) {
            continue;
        }
        skipping = None;
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

fn serve_file(name: &str, operations: usize) {
    let project = Project::new();
    project.write(name, corpus::text(name));
    serve(&project, name, operations, &[]);
}

/// Compiles, signs, publishes and serves a document, then calls every operation.
fn serve(project: &Project, file: &str, count: usize, unreachable: &[&str]) {
    let upstream =
        Upstream::scripted(|seen| Answer::ok(format!("{} {}", seen.method, seen.target)));
    upstream.forgets();
    project.write("gateway.yaml", gateway(file, &upstream));
    project.keygen();
    let operations = Document::open(&project.path(file)).operations();
    assert_eq!(operations.len(), count, "operations of {file}");
    assert_eq!(
        reported_unreachable(project),
        unreachable,
        "unreachable in {file}"
    );
    let built = project
        .gwc(&["build", "--format", "json"])
        .succeeds()
        .json();
    assert_eq!(built["operations"], count, "{built:#}");
    let bundle = project.apply();
    assert_eq!(built["bundle"], bundle.as_str());
    let gateway = Options::of(project).start();
    call_all(&gateway, &operations);
    gateway.stops_clean();
}

/// Minimal gateway.yaml for a document.
fn gateway(file: &str, upstream: &Upstream) -> String {
    format!(
        "version: 1\nname: s\napis: {{s: {{path: {file}}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         defaults: {{upstream: u, security: upstream}}\n",
        upstream.url()
    )
}

/// Messages of the `unreachable` findings of `gwc lint`: operations that no URL can reach.
fn reported_unreachable(project: &Project) -> Vec<String> {
    let report = project.gwc(&["lint", "--format", "json"]).succeeds().json();
    let findings = report["findings"].as_array().expect("findings");
    findings
        .iter()
        .filter(|finding| finding["name"] == "unreachable")
        .map(|finding| finding["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn call_all(gateway: &Gateway, operations: &[Operation]) {
    let called: Mutex<BTreeMap<String, &Operation>> = Mutex::default();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let mine = operations.iter().skip(client).step_by(CLIENTS);
            let called = &called;
            scope.spawn(move || {
                let mut connection = gateway.connect();
                for operation in mine {
                    let id = call(&mut connection, operation);
                    let before = called
                        .lock()
                        .expect("no client failed")
                        .insert(id, operation);
                    assert!(before.is_none(), "request ids are unique");
                }
            });
        }
    });
    let called = called.into_inner().expect("no client failed");
    let lines = gateway.access_log().by_request(operations.len());
    for (id, operation) in called {
        let line = &lines[&id];
        assert_eq!(line["operation_id"], operation.key("s"), "{line:#}");
        assert_eq!(line["path"], operation.path(), "{line:#}");
        assert_eq!(line["http_method"], operation.method, "{line:#}");
    }
}

/// Calls one operation and checks the response. Returns the request id.
fn call(connection: &mut Connection, operation: &Operation) -> String {
    let request = operation.request();
    let response = connection
        .ask(&request)
        .unwrap_or_else(|error| panic!("{error}: {request}"));
    assert_eq!(response.status, 200, "{request}\n{}", response.text());
    if operation.method != "HEAD" {
        let target = request.split(' ').nth(1).unwrap_or_default();
        let seen = format!("{} {target}", operation.method);
        assert_eq!(response.text(), seen, "what the upstream saw");
    }
    response
        .header("x-request-id")
        .expect("responses carry their request's id")
        .to_owned()
}
