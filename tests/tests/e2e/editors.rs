//! `gwc lsp` with the client library pygls (PyPI) over standard input and output: a whole session
//! of an editor. The library checks each message of the server against the types of the protocol.

use e2e::peers::{self, Peer};
use e2e::project::Project;
use serde_json::{Value, json};

const GATEWAY: &str = r#"version: 1
name: shop
apis: {orders: {path: openapi.yaml}}
upstreams:
  main: {targets: {a: {url: "http://127.0.0.1:9000"}}}
policies:
  per_client: {kind: rate_limit, limit: 10/s}
  slow: {kind: rate_limit, limit: 1/s}
defaults: {upstream: main, security: upstream}
"#;

const ORDERS: &str = r#"openapi: 3.1.0
info: {title: Orders, version: "1"}
paths:
  /orders:
    get:
      operationId: list
      x-gateway:
        policies: [per_client, slow]
      responses:
        "200": {description: fine}
"#;

/// Position of the first occurrence of `word` in the document, as an LSP position.
fn position(text: &str, word: &str) -> Value {
    let before = &text[..text.find(word).expect("the word is there")];
    let line = before.matches('\n').count();
    json!({"line": line, "character": before.len() - before.rfind('\n').map_or(0, |at| at + 1)})
}

/// Editor with an open document.
struct Editor {
    peer: Peer,
    version: i64,
}

impl Editor {
    fn ask(&mut self, method: &str, word: &str, more: &Value) -> Value {
        let mut params = json!({
            "textDocument": {"name": "openapi.yaml"}, "position": position(ORDERS, word),
        });
        let entries = more.as_object().expect("a map").clone();
        params.as_object_mut().expect("a map").extend(entries);
        let question = json!({"request": format!("textDocument/{method}"), "params": params});
        self.peer.ask(&question)["result"].clone()
    }

    /// Replaces a word of the open document, as typing in the editor does. Returns the findings.
    fn replace(&mut self, (text, word): (&str, &str), new: &str) -> Vec<Value> {
        self.version += 1;
        let (start, mut end) = (position(text, word), position(text, word));
        end["character"] = json!(end["character"].as_u64().expect("a number") + word.len() as u64);
        self.peer
            .ask(&json!({"notify": "textDocument/didChange", "params": {
                "textDocument": {"name": "openapi.yaml", "version": self.version},
                "contentChanges": [{"range": {"start": start, "end": end}, "text": new}],
            }}));
        self.findings()
    }

    fn findings(&mut self) -> Vec<Value> {
        let question = json!({"await": "openapi.yaml", "version": self.version});
        let answer = self.peer.ask(&question);
        answer["diagnostics"].as_array().expect("a list").clone()
    }
}

#[test]
fn session_of_a_client_library_is_served() {
    let project = Project::with(GATEWAY, ORDERS);
    let root = project.root().canonicalize().expect("a folder");
    let arguments = [e2e::binaries::gwc(), root.as_path()];
    let Some(peer) = Peer::python("editor.py", &arguments) else {
        return prerequisite::skip(peers::MISSING);
    };
    assert_eq!(peer.greeting()["serverInfo"]["name"], "gwc");
    assert_eq!(peer.greeting()["capabilities"]["textDocumentSync"], 2);
    let mut editor = Editor { peer, version: 1 };
    editor.peer.ask(&json!({"notify": "textDocument/didOpen", "params": {
        "textDocument": {"name": "openapi.yaml", "languageId": "yaml", "version": 1, "text": ORDERS},
    }}));
    // The server publishes an empty list for a document without findings.
    assert_eq!(editor.findings(), Vec::<Value>::new());

    let wrong = ORDERS.replace("operationId", "operationid");
    let found = editor.replace((ORDERS, "operationId"), "operationid");
    let finding = found.iter().find(|one| one["code"] == "unknown-field");
    let finding = finding.expect("a finding while typing").clone();
    assert_eq!(finding["range"]["start"], position(&wrong, "operationid"));
    let more = json!({"range": finding["range"], "context": {"diagnostics": [finding]}});
    let actions = editor.ask("codeAction", "operationId", &more);
    let changes = actions[0]["edit"]["changes"].as_object().expect("changes");
    let edits = changes.values().next().expect("a file");
    assert_eq!(edits[0]["newText"], "operationId");
    let found = editor.replace((&wrong, "operationid"), "operationId");
    assert_eq!(found, Vec::<Value>::new());

    let none = json!({});
    let items = editor.ask("completion", "per_client", &none);
    let labels = items.as_array().expect("a list").iter();
    let labels: Vec<&str> = labels.filter_map(|item| item["label"].as_str()).collect();
    assert!(labels.contains(&"per_client"), "{labels:?}");
    let hover = editor.ask("hover", "get:", &none);
    let text = hover["contents"]["value"].as_str().unwrap_or_default();
    assert!(text.contains("| policy | `per_client` |"), "{hover}");
    let place = editor.ask("definition", "per_client", &none);
    let uri = place["uri"].as_str().unwrap_or_default();
    assert!(uri.ends_with("/gateway.yaml"), "{place}");
    assert_eq!(place["range"]["start"], position(GATEWAY, "per_client"));
    let context = json!({"context": {"includeDeclaration": true}});
    let places = editor.ask("references", "per_client", &context);
    assert_eq!(places.as_array().map(Vec::len), Some(2), "{places}");
    let renamed = editor.ask("prepareRename", "per_client", &none);
    assert_eq!(renamed["placeholder"], "per_client");
    let edit = editor.ask("rename", "per_client", &json!({"newName": "each_client"}));
    assert_eq!(
        edit["changes"].as_object().map(serde_json::Map::len),
        Some(2)
    );
    let lenses = editor.ask("codeLens", "get:", &none);
    let title = lenses[0]["command"]["title"].as_str().unwrap_or_default();
    assert!(title.contains("policies: per_client → slow"), "{lenses}");
    assert_eq!(editor.peer.ask(&json!({"end": true}))["code"], 0);
}

/// Loads the extension for VS Code in node, with stand-ins for the editor and its client library.
/// The stand-ins print what the extension starts, and for which documents.
#[test]
fn extension_of_vs_code_starts_the_server() {
    const HARNESS: &str = r#"
const { Module } = require('module');
const settings = { gwc: { path: '/opt/gwc' } };
const get = (section) => ({ get: (name, otherwise) => settings[section]?.[name] ?? otherwise });
const events = [];
class LanguageClient {
  constructor(id, name, server, client) { events.push({ id, server, client }); }
  async start() { events.push('start'); }
  async stop() { events.push('stop'); }
}
const standIns = {
  vscode: { workspace: { getConfiguration: get } },
  'vscode-languageclient/node': { LanguageClient, TransportKind: { stdio: 0 } },
};
const load = Module._load;
Module._load = (name, ...more) => standIns[name] ?? load(name, ...more);
const folder = process.argv[1];
const extension = require(folder + '/' + require(folder + '/package.json').main);
extension.activate().then(() => extension.deactivate()).then(() => console.log(JSON.stringify(events)));
"#;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/editors/vscode");
    let mut node = std::process::Command::new("node");
    let Ok(output) = node.args(["--eval", HARNESS, folder]).output() else {
        return prerequisite::skip("node is missing");
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    let events: Value = serde_json::from_slice(&output.stdout).expect(&errors);
    let documents =
        ["yaml", "json"].map(|language| json!({"scheme": "file", "language": language}));
    let started = json!({
        "id": "gwc",
        "server": {"command": "/opt/gwc", "args": ["lsp"], "transport": 0},
        "client": {"documentSelector": documents},
    });
    assert_eq!(events, json!([started, "start", "stop"]));
}
