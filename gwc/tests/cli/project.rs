//! Fixture: a project in a temporary folder, and the program run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// gateway.yaml of a small shop in which the gateway verifies credentials itself.
const GATEWAY: &str = "version: 1
name: shop
apis: {orders: {path: orders.yaml}}
auth: {keys: {kind: api_key}}
consumers:
  acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}
upstreams: {orders: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
policies: {slow: {kind: rate_limit, limit: 10/s, burst: 5}}
defaults: {upstream: orders, policies: [slow], timeout: 5s}
release: {store: releases, channel: prod}
gates: [weaken]
";

const ORDERS: &str = "openapi: 3.1.0
info: {title: Orders, version: \"1\"}
security: [{key: []}]
paths:
  /orders:
    get: {operationId: listOrders, responses: {\"200\": {description: fine}}}
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: getOrder, responses: {\"200\": {description: fine}}}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
";

/// Formats of plans that show texts, and no values as JSON.
pub(crate) const PLAN_TEXT_FORMATS: [&str; 8] = [
    "human",
    "markdown",
    "github",
    "concise",
    "sarif",
    "gitlab",
    "junit",
    "checkstyle",
];

/// Output of a format in [`PLAN_TEXT_FORMATS`] without the escapes of JSON and SARIF: doubled
/// backslashes and braces.
pub(crate) fn unescaped(out: &str) -> String {
    let mut text = out.replace("{{", "{").replace("}}", "}");
    while text.contains(r"\\") {
        text = text.replace(r"\\", r"\");
    }
    text
}

/// Formats of plans, except `html`.
pub(crate) const PLAN_FORMATS: [&str; 10] = [
    "human",
    "json",
    "markdown",
    "github",
    "concise",
    "jsonl",
    "sarif",
    "gitlab",
    "junit",
    "checkstyle",
];

/// Checks a document against the published schema with its name, if there is one.
#[track_caller]
fn fits_its_schema(name: &str, document: &Value) {
    let name = name.trim_end_matches("/v1");
    let Some((_, schema)) = gwc::schemas::all()
        .into_iter()
        .find(|(known, _)| *known == name)
    else {
        return;
    };
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let wrong: Vec<String> = validator
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{name}: {wrong:#?}\n{document:#}");
}

/// Result of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "standard output:\n{}\nstandard error:\n{}",
            self.out, self.err
        );
        self
    }

    /// Parses standard output as one JSON document, and checks the fields that every document has.
    #[track_caller]
    pub(crate) fn json(&self, schema: &str) -> Value {
        let document: Value = serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.out, self.err));
        assert_eq!(document["schema"], schema);
        assert_eq!(document["tool"]["name"], "gwc");
        assert!(document["tool"]["version"].is_string());
        assert!(document.get("environment").is_some());
        let results = ["ok", "changes", "blocked", "error"];
        assert!(results.contains(&document["result"].as_str().unwrap_or("none")));
        fits_its_schema(schema, &document);
        // The output of releases and rollbacks contains the plan.
        if document["plan"]["schema"] == "plan/v1" {
            fits_its_schema("plan/v1", &document["plan"]);
        }
        document
    }

    #[track_caller]
    pub(crate) fn contains(self, text: &str) -> Self {
        assert!(
            self.out.contains(text) || self.err.contains(text),
            "`{text}` is missing\nstandard output:\n{}\nstandard error:\n{}",
            self.out,
            self.err
        );
        self
    }

    #[track_caller]
    pub(crate) fn lacks(self, text: &str) -> Self {
        assert!(
            !self.out.contains(text) && !self.err.contains(text),
            "`{text}` is there\nstandard output:\n{}\nstandard error:\n{}",
            self.out,
            self.err
        );
        self
    }
}

/// Project in its own folder.
pub(crate) struct Project {
    folder: TempDir,
}

impl Project {
    /// Creates an empty folder for a project.
    pub(crate) fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().expect("there is room"),
        }
    }

    /// Creates the shop project without keys.
    pub(crate) fn bare() -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let project = Self { folder };
        project.write("gateway.yaml", GATEWAY);
        project.write("orders.yaml", ORDERS);
        project
    }

    /// Creates the shop project with one key for all roles.
    pub(crate) fn new() -> Self {
        let project = Self::bare();
        project.run(&["keygen", "release"]).with(0);
        project
    }

    /// Creates the shop project, and makes its first release.
    pub(crate) fn released() -> Self {
        let project = Self::new();
        project.apply("first").with(0);
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.file(name), text).expect("the folder can be written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).expect("the file is there")
    }

    /// Replaces all occurrences of a text in a file. Panics if the file does not contain the text.
    #[track_caller]
    pub(crate) fn edit(&self, name: &str, old: &str, new: &str) {
        let text = self.read(name);
        assert!(text.contains(old), "{name} has no `{old}`");
        self.write(name, text.replace(old, new));
    }

    /// Runs the program in the project's folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        run(command(self.path()).args(arguments))
    }

    /// Id of the owner's key in the trust file.
    pub(crate) fn key_id(&self, owner: &str) -> String {
        let trust: Value = serde_json::from_str(&self.read("trust.json")).expect("JSON");
        let mut keys = trust["keys"].as_array().expect("a list").iter();
        let key = keys.find(|key| key["owner"] == owner).expect("its key");
        key["id"].as_str().expect("an id").to_owned()
    }

    /// Sets the state of an owner's key in the trust file.
    pub(crate) fn set_state(&self, owner: &str, state: &str) {
        let id = self.key_id(owner);
        let mut trust: Value = serde_json::from_str(&self.read("trust.json")).expect("JSON");
        for key in trust["keys"].as_array_mut().expect("a list") {
            if key["id"] == id.as_str() {
                key["state"] = state.into();
            }
        }
        self.write("trust.json", trust.to_string());
    }

    /// Options that acknowledge each change of a plan. `more`: further options of the plan.
    pub(crate) fn acks(&self, more: &[&str]) -> Vec<String> {
        let plan = self.run(&[&["plan", "--format", "json"], more].concat());
        let plan = plan.json("plan/v1");
        let changes = plan["changes"].as_array().expect("a list").iter();
        let fingerprints = changes.map(|change| change["fingerprint"].as_str().expect("a text"));
        fingerprints
            .flat_map(|one| ["--ack".to_owned(), format!("{one}=x")])
            .collect()
    }

    /// Releases the current sources without a prompt.
    pub(crate) fn apply(&self, reason: &str) -> Ended {
        self.run(&[
            "apply",
            "--key",
            "keys/release.pem",
            "--yes",
            "--reason",
            reason,
        ])
    }

    /// Builds the current sources. Returns the bundle id.
    pub(crate) fn build(&self) -> String {
        self.run(&["build"]).with(0).out.trim().to_owned()
    }

    /// Changes a timeout, which is a change that trips no gate.
    pub(crate) fn change(&self, timeout: &str) {
        let text = self.read("gateway.yaml");
        let at = text.find("timeout: ").expect("there is a timeout");
        let end = text[at..].find('}').expect("it ends") + at;
        self.write(
            "gateway.yaml",
            format!("{}timeout: {timeout}{}", &text[..at], &text[end..]),
        );
    }

    /// Records of the channel as (serial, bundle id), newest first.
    pub(crate) fn history(&self) -> Vec<(u64, String)> {
        let history = self.run(&["history", "--format", "json"]).with(0);
        let history = history.json("history/v1");
        let records = history["records"].as_array().expect("a list").iter();
        records
            .map(|record| {
                let bundle = record["bundle"].as_str().expect("an id").to_owned();
                (record["serial"].as_u64().expect("a number"), bundle)
            })
            .collect()
    }
}

/// Copies a file, or a folder recursively.
pub(crate) fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).expect("the file can be copied");
        return;
    }
    fs::create_dir_all(to).expect("there is room");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// Creates a command that runs the program with a clean environment.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwc"));
    command
        .current_dir(folder)
        .env("GWC_ACTOR", "tester")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let output = command.output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: output.status.code().expect("it ends by itself"),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}
