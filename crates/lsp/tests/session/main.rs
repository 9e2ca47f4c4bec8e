//! Sessions of a client with the server: each feature on a project with two files.

mod invariants;
mod random;
mod renames;

use std::path::Path;
use std::rc::Rc;

use lsp_server::{Connection, Message, Notification, Request, RequestId, Response};
use lsp_types::Uri;
use serde_json::{Value, json};

const GATEWAY: &str = r#"version: 1
name: shop
apis: {orders: {path: orders.yaml}}
upstreams:
  main: {targets: {a: {url: "http://127.0.0.1:9000"}}}
policies:
  per_client: {kind: rate_limit, limit: 10/s}
  slow: {kind: rate_limit, limit: 1/s}
defaults:
  upstream: main
  security: upstream
"#;

const ORDERS: &str = r#"openapi: 3.1.0
info: {title: Orders, version: "1"}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}
  schemas:
    Order: {type: object}
paths:
  /orders:
    get:
      operationId: list
      x-gateway:
        policies: [per_client]
      responses:
        "200": {description: fine, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}
"#;

/// A client with a running server.
struct Client {
    connection: Connection,
    server: std::thread::JoinHandle<anyhow::Result<()>>,
    folder: Rc<tempfile::TempDir>,
    /// Latest diagnostics by URI.
    diagnostics: std::collections::BTreeMap<String, Value>,
    /// Versions of the documents with the latest diagnostics, by URI.
    versions: std::collections::BTreeMap<String, i64>,
    requests: i32,
}

impl Client {
    fn start(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self::start_in(Rc::new(folder))
    }

    fn start_in(folder: Rc<tempfile::TempDir>) -> Self {
        let (server, connection) = Connection::memory();
        let options = lsp::Options {
            limits: sources::syntax::Limits::default(),
            now_s: || 1_800_000_000,
        };
        let server = std::thread::spawn(move || lsp::serve(&server, options));
        let mut client = Self {
            connection,
            server,
            folder,
            diagnostics: std::collections::BTreeMap::new(),
            versions: std::collections::BTreeMap::new(),
            requests: 0,
        };
        let root = client.uri("");
        let answer = client.ask(
            "initialize",
            &json!({
                "capabilities": {"textDocument": {"publishDiagnostics": {"versionSupport": true}}},
                "workspaceFolders": [{"uri": root, "name": "w"}],
            }),
        );
        assert_eq!(answer["capabilities"]["positionEncoding"], "utf-16");
        client.notify("initialized", &json!({}));
        client
    }

    fn uri(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        let uri: Uri = format!("file://{}", path.display()).parse().unwrap();
        uri.as_str().trim_end_matches('/').to_owned()
    }

    fn notify(&self, method: &str, params: &Value) {
        let notification = Notification::new(method.to_owned(), params);
        self.connection.sender.send(notification.into()).unwrap();
    }

    /// Sends a request, and returns its result or the message of its error.
    fn send(&mut self, method: &str, params: &Value) -> Result<Value, String> {
        self.requests += 1;
        let id = RequestId::from(self.requests);
        let request = Request::new(id.clone(), method.to_owned(), params);
        self.connection.sender.send(request.into()).unwrap();
        loop {
            if let Some(response) = self.receive()
                && response.id == id
            {
                let result = response.response_result.map_err(|error| error.message);
                return result;
            }
        }
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.send(method, params).unwrap()
    }

    /// Receives a message. Stores diagnostics.
    fn receive(&mut self) -> Option<Response> {
        let wait = std::time::Duration::from_secs(20);
        match self
            .connection
            .receiver
            .recv_timeout(wait)
            .expect("a message")
        {
            Message::Response(response) => Some(response),
            Message::Notification(Notification { method, params }) => {
                assert_eq!(method, "textDocument/publishDiagnostics", "{params}");
                let uri = params["uri"].as_str().unwrap().to_owned();
                self.versions.extend(
                    params["version"]
                        .as_i64()
                        .map(|version| (uri.clone(), version)),
                );
                self.diagnostics.insert(uri, params["diagnostics"].clone());
                None
            }
            Message::Request(request) => panic!("{request:?}"),
        }
    }

    /// Waits until the diagnostics of a file contain a code, or no longer contain it.
    fn await_code(&mut self, name: &str, code: &str, is_there: bool) -> Value {
        let uri = self.uri(name);
        loop {
            let known = self.diagnostics.get(&uri).and_then(Value::as_array);
            let found = known.map(|all| all.iter().find(|one| one["code"] == code));
            match found {
                Some(Some(found)) if is_there => return found.clone(),
                Some(None) if !is_there => return Value::Null,
                _ => self.receive(),
            };
        }
    }

    fn open(&self, name: &str) {
        let text = std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        self.open_text(name, &text);
    }

    fn open_text(&self, name: &str, text: &str) {
        self.notify(
            "textDocument/didOpen",
            &json!({"textDocument": {"uri": self.uri(name), "languageId": "yaml", "version": 1, "text": text}}),
        );
    }

    fn change(&self, name: &str, text: &str) {
        self.notify(
            "textDocument/didChange",
            &json!({"textDocument": {"uri": self.uri(name), "version": 2}, "contentChanges": [{"text": text}]}),
        );
    }

    /// Changes the file to `text` without its first `^`, and sends a request about the position of
    /// this `^`.
    fn at(&mut self, method: &str, name: &str, text: &str, more: &Value) -> Result<Value, String> {
        let (before, after) = text.split_once('^').expect("a cursor");
        self.change(name, &format!("{before}{after}"));
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap().chars().count();
        let mut params = json!({
            "textDocument": {"uri": self.uri(name)},
            "position": {"line": line, "character": column},
        });
        if let (Some(params), Some(more)) = (params.as_object_mut(), more.as_object()) {
            params.extend(more.clone());
        }
        self.send(method, &params)
    }

    fn labels(&mut self, name: &str, text: &str) -> Vec<String> {
        let answer = self.at("textDocument/completion", name, text, &json!({}));
        let items = answer.unwrap();
        let items = items.as_array().cloned().unwrap_or_default();
        items
            .iter()
            .map(|item| item["label"].as_str().unwrap().to_owned())
            .collect()
    }

    fn end(mut self) {
        self.ask("shutdown", &Value::Null);
        self.notify("exit", &Value::Null);
        self.server.join().unwrap().unwrap();
    }
}

fn project() -> Client {
    let mut client = Client::start(&[("gateway.yaml", GATEWAY), ("orders.yaml", ORDERS)]);
    client.open("gateway.yaml");
    client.open("orders.yaml");
    client.await_code("gateway.yaml", "unused-definition", true);
    client
}

/// Inserts `^`, the mark of the cursor, before the first occurrence of `found` in `text`.
fn cursor(text: &str, found: &str) -> String {
    text.replacen(found, &format!("^{found}"), 1)
}

#[test]
fn findings_follow_unsaved_edits() {
    let mut client = project();
    let wrong = ORDERS.replace("[per_client]", "[per_clint, slow]");
    client.change("orders.yaml", &wrong);
    let finding = client.await_code("orders.yaml", "unknown-policy", true);
    assert_eq!(
        finding["range"]["start"],
        json!({"line": 11, "character": 19})
    );
    assert!(
        finding["message"].as_str().unwrap().contains("per_client"),
        "{finding}"
    );
    client.change("orders.yaml", ORDERS);
    client.await_code("orders.yaml", "unknown-policy", false);
    client.end();
}

#[test]
fn keys_and_values_are_completed() {
    let mut client = project();
    let keys = client.labels(
        "gateway.yaml",
        &GATEWAY.replace("  slow:", "  slow: {kind: rate_limit, li^}\n  x:"),
    );
    assert!(!keys.contains(&"kind".to_owned()), "{keys:?}");
    assert!(keys.contains(&"limit".to_owned()), "{keys:?}");
    let kinds = client.labels(
        "gateway.yaml",
        &GATEWAY.replace("  slow:", "  slow:\n    kind: co^\n  x:"),
    );
    assert!(kinds.contains(&"concurrency".to_owned()), "{kinds:?}");
    let root = client.labels("gateway.yaml", &format!("{GATEWAY}lis^"));
    assert_eq!(root, ["listeners"]);
    let names = client.labels(
        "gateway.yaml",
        &GATEWAY.replace("upstream: main", "upstream: ^"),
    );
    assert_eq!(names, ["main"]);
    let own = client.labels(
        "orders.yaml",
        &ORDERS.replace("[per_client]", "[per_client, ^]"),
    );
    assert_eq!(own, ["per_client", "slow"]);
    let keys = client.labels(
        "orders.yaml",
        &ORDERS.replace(
            "        policies: [per_client]",
            "        policies: [per_client]\n        tim^",
        ),
    );
    assert_eq!(keys, ["timeout"]);
    let keys = client.labels(
        "orders.yaml",
        &ORDERS.replace("      responses:", "      sec^\n      responses:"),
    );
    assert_eq!(keys, ["security"]);
    let schemes = client.labels(
        "orders.yaml",
        &ORDERS.replace(
            "      responses:",
            "      security:\n        - ^\n      responses:",
        ),
    );
    assert_eq!(schemes, ["key"]);
    let targets = client.labels(
        "orders.yaml",
        &ORDERS.replace("'#/components/schemas/Order'", "'#/comp^'"),
    );
    assert!(
        targets.contains(&"#/components/schemas/Order".to_owned()),
        "{targets:?}"
    );
    client.end();
}

#[test]
fn json_documents_are_completed() {
    let orders = r#"{"openapi": "3.1.0", "info": {"title": "Orders", "version": "1"},
  "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}},
  "paths": {
    "/orders": {
      "get": {
        "operationId": "list",
        HERE
        "responses": {"200": {"description": "fine"}}
      }
    }
  }
}
"#;
    let mut client = Client::start(&[
        (
            "gateway.yaml",
            &GATEWAY.replace("orders.yaml", "orders.json"),
        ),
        ("orders.json", &orders.replace("HERE\n", "\n")),
    ]);
    client.open("gateway.yaml");
    client.open("orders.json");
    let mut inserted = |typed: &str| -> Vec<String> {
        let text = orders.replace("HERE", typed);
        let answer = client.at("textDocument/completion", "orders.json", &text, &json!({}));
        let items = answer.unwrap();
        let items = items.as_array().cloned().unwrap_or_default();
        let texts = items
            .iter()
            .map(|item| item["textEdit"]["newText"].as_str());
        texts.map(|text| text.unwrap().to_owned()).collect()
    };
    assert_eq!(inserted("\"x-gateway\": {\"tim^"), ["\"timeout\": "]);
    assert_eq!(inserted("\"x-gateway\": {\"tim^\"},"), ["\"timeout\": "]);
    assert_eq!(
        inserted("\"x-gateway\": {\"policies\": [\"per_client\", ^]},"),
        ["\"per_client\"", "\"slow\""]
    );
    assert_eq!(inserted("\"deprecated\": ^,"), ["true", "false"]);
    assert_eq!(inserted("sec^"), ["\"security\": "]);
    assert_eq!(inserted("\"security\": [^],"), ["{\"key\": []}"]);
    assert_eq!(inserted("\"security\": [{\"k^\"}],"), ["\"key\": []"]);
    client.end();
}

#[test]
fn hover_shows_settings_and_their_places() {
    let mut client = project();
    let mut hover = |name: &str, text: &str| {
        let answer = client.at("textDocument/hover", name, text, &json!({}));
        answer.unwrap()["contents"]["value"]
            .as_str()
            .map(str::to_owned)
    };
    let operation = hover("orders.yaml", &cursor(ORDERS, "get:")).unwrap();
    for row in [
        "| upstream | `main` | gateway.yaml:10 |",
        "| policy | `per_client` | orders.yaml:12 |",
        "| timeout | ",
    ] {
        assert!(operation.contains(row), "{operation}");
    }
    let key = hover("gateway.yaml", &cursor(GATEWAY, "limit: 10/s")).unwrap();
    assert!(key.starts_with("`limit`: "), "{key}");
    assert_eq!(hover("orders.yaml", &cursor(ORDERS, "title")), None);
    client.end();
}

#[test]
fn definitions_and_references_are_found() {
    let mut client = project();
    let mut place = |name: &str, text: &str| {
        let answer = client.at("textDocument/definition", name, text, &json!({}));
        let result = answer.unwrap();
        let file = result["uri"]
            .as_str()
            .map(|uri| uri.rsplit('/').next().unwrap().to_owned());
        (file, result["range"]["start"]["line"].as_u64())
    };
    let gateway = Some("gateway.yaml".to_owned());
    assert_eq!(
        place("orders.yaml", &cursor(ORDERS, "per_client")),
        (gateway.clone(), Some(6))
    );
    assert_eq!(
        place("gateway.yaml", &cursor(GATEWAY, "main\n")),
        (gateway, Some(4))
    );
    let orders = Some("orders.yaml".to_owned());
    assert_eq!(
        place("orders.yaml", &cursor(ORDERS, "#/components")),
        (orders, Some(5))
    );
    assert_eq!(
        place("orders.yaml", &cursor(ORDERS, "Orders")),
        (None, None)
    );
    let context = json!({"context": {"includeDeclaration": true}});
    let answer = client.at(
        "textDocument/references",
        "gateway.yaml",
        &cursor(GATEWAY, "per_client"),
        &context,
    );
    let found = answer.unwrap();
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
    client.end();
}

#[test]
fn names_are_renamed_in_all_files() {
    let mut client = project();
    let mut rename = |new: &str| {
        let more = json!({"newName": new});
        client.at(
            "textDocument/rename",
            "orders.yaml",
            &cursor(ORDERS, "per_client"),
            &more,
        )
    };
    let edit = rename("each_client").unwrap();
    let changes = edit["changes"].as_object().unwrap();
    let files: Vec<&str> = changes
        .keys()
        .map(|uri| uri.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(files, ["gateway.yaml", "orders.yaml"]);
    for edits in changes.values() {
        assert_eq!(edits[0]["newText"], "each_client");
    }
    for refused in ["slow", "two words"] {
        assert!(rename(refused).is_err(), "{refused}");
    }
    client.end();
}

#[test]
fn edits_of_findings_are_actions() {
    let mut client = project();
    let wrong = ORDERS.replace("operationId: list", "operationid: list");
    client.change("orders.yaml", &wrong);
    let range = client.await_code("orders.yaml", "unknown-field", true)["range"].clone();
    let uri = client.uri("orders.yaml");
    let actions = client.ask(
        "textDocument/codeAction",
        &json!({"textDocument": {"uri": uri}, "range": range, "context": {"diagnostics": []}}),
    );
    let edit = &actions[0]["edit"]["changes"][&uri][0];
    assert_eq!(edit["newText"], "operationId", "{actions}");
    assert_eq!(actions[1]["kind"], "source.fixAll");
    client.end();
}

#[test]
fn lenses_show_access_upstream_and_policies() {
    let mut client = project();
    let uri = client.uri("orders.yaml");
    let lenses = client.ask(
        "textDocument/codeLens",
        &json!({"textDocument": {"uri": uri}}),
    );
    let title = lenses[0]["command"]["title"].as_str().unwrap();
    assert!(
        title.ends_with("upstream: main · policies: per_client"),
        "{title}"
    );
    assert_eq!(lenses[0]["range"]["start"]["line"], 8);
    client.end();
}

#[test]
fn lone_document_and_other_files_are_served() {
    let mut client = Client::start(&[
        ("lone.yaml", &ORDERS.replace("title", "titel")),
        ("notes.yaml", "a: 1\n"),
    ]);
    client.open("notes.yaml");
    client.open("lone.yaml");
    client.await_code("lone.yaml", "unknown-field", true);
    let uri = client.uri("notes.yaml");
    let position = json!({"line": 0, "character": 0});
    let about = json!({"textDocument": {"uri": uri}, "position": position});
    assert!(client.send("textDocument/hover", &about).is_err());
    assert!(client.send("textDocument/none", &about).is_err());
    assert!(Path::new(client.folder.path()).exists());
    client.end();
}

#[test]
fn noncharacters_do_not_end_the_session() {
    let text = "version: 1\n# note\nname: \"\u{ffff}\"\n";
    let mut client = Client::start(&[("gateway.yaml", text), ("orders.yaml", ORDERS)]);
    client.open("gateway.yaml");
    let uri = client.uri("gateway.yaml");
    for line in 0..3 {
        for character in 0..8 {
            let position = json!({"line": line, "character": character});
            let at = json!({"textDocument": {"uri": uri}, "position": position});
            client.ask("textDocument/completion", &at);
        }
    }
    client.end();
}
