//! Sessions that rename names: each place of a project that can contain the name, and places that
//! cannot be edited safely.

use std::collections::BTreeMap;
use std::path::Path;

use model::compile::{Input, Options, compile};
use serde_json::{Value, json};

use crate::{Client, cursor};

/// Files of a project in which each kind of name is in each kind of place.
const FILES: [(&str, &str); 9] = [
    ("gateway.yaml", include_str!("renames/gateway.yaml")),
    ("prod.yaml", include_str!("renames/prod.yaml")),
    ("consumers.yaml", include_str!("renames/consumers.yaml")),
    ("rules.yaml", include_str!("renames/rules.yaml")),
    ("list.test.yaml", include_str!("renames/list.test.yaml")),
    ("orders.yaml", include_str!("renames/orders.yaml")),
    ("parts.yaml", include_str!("renames/parts.yaml")),
    ("overlay.yaml", include_str!("renames/overlay.yaml")),
    ("trial.yaml", include_str!("renames/trial.yaml")),
];

fn project(change: impl Fn(&str, &str) -> String) -> Client {
    let files: Vec<(&str, String)> = FILES
        .iter()
        .map(|(name, text)| (*name, change(name, text)))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    let client = Client::start(&files);
    for (name, _) in files {
        client.open(name);
    }
    client
}

/// Renames the name at the first occurrence of `at` in a file.
fn rename(client: &mut Client, (name, at): (&str, &str), new: &str) -> Result<Value, String> {
    let text = std::fs::read_to_string(client.folder.path().join(name)).unwrap();
    let (line, at) = at.rsplit_once('|').unwrap_or(("", at));
    let start = text.find(line).expect("the line of the name");
    let (before, after) = text.split_at(start);
    let text = before.to_owned() + &cursor(after, at);
    client.at("textDocument/rename", name, &text, &json!({"newName": new}))
}

/// Applies the edits of a rename to the files on disk. Returns the number of edits by file.
fn apply(folder: &Path, edit: &Value) -> BTreeMap<String, usize> {
    let changes = edit["changes"].as_object().unwrap().iter();
    let counts = changes.map(|(uri, edits)| {
        let name = uri.rsplit('/').next().unwrap().to_owned();
        let path = folder.join(&name);
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        let mut edits = edits.as_array().unwrap().clone();
        let number =
            |edit: &Value, pointer: &str| edit.pointer(pointer).unwrap().as_u64().unwrap() as usize;
        let start = |edit: &Value| {
            (
                number(edit, "/range/start/line"),
                number(edit, "/range/start/character"),
            )
        };
        edits.sort_by_key(start);
        for edit in edits.iter().rev() {
            let (line, column) = start(edit);
            let end = number(edit, "/range/end/character");
            lines[line].replace_range(column..end, edit["newText"].as_str().unwrap());
        }
        std::fs::write(path, lines.join("\n")).unwrap();
        (name, edits.len())
    });
    counts.collect()
}

/// Meaning of the project in each environment: the gateway and the tests, as text.
fn meaning(folder: &Path) -> String {
    let input = Input::Project(folder.to_owned());
    let environments = ["prod", "test"].map(|environment| {
        let options = Options {
            environment: Some(environment),
            now_s: 1_800_000_000,
            ..Options::default()
        };
        let compiled = compile(&input, options).unwrap();
        let findings: Vec<&str> = compiled.findings.iter().map(|one| &*one.message).collect();
        assert!(findings.is_empty(), "{findings:?}");
        let model = compiled.model.as_ref().unwrap();
        let tests = model.settings.tests.cases.iter();
        let tests: Vec<String> = tests
            .map(|case| {
                let expect: Vec<_> = case.expect.iter().map(|one| &one.value).collect();
                let listener = case.listener.as_ref().map(|one| &one.value);
                let names = case.credentials.iter().map(|(name, _)| &name.value);
                format!("{listener:?} {:?} {expect:?}", names.collect::<Vec<_>>())
            })
            .collect();
        let invariants = model.settings.invariants.all.iter();
        let invariants: Vec<&String> = invariants.map(|one| &one.text).collect();
        let gateway = &compiled.lowered.as_ref().expect("a gateway").gateway;
        // Digests and keys of counters are computed from the names.
        let gateway = format!("{gateway:#?}");
        let is_digest = |line: &&str| line.trim().bytes().all(|b| b.is_ascii_digit() || b == b',');
        let lines: Vec<&str> = gateway.lines().filter(|line| !is_digest(line)).collect();
        format!("{}\n{tests:?}\n{invariants:?}\n", lines.join("\n"))
    });
    environments.concat()
}

/// True if a text has a name that is not a part of another word.
fn has_word(text: &str, name: &str) -> bool {
    let ends = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(name).any(|(at, _)| {
        ends(text[..at].chars().next_back()) && ends(text[at + name.len()..].chars().next())
    })
}

#[test]
fn each_kind_of_name_is_renamed_in_every_place() {
    for (at, old, new) in [
        (("rules.yaml", "limiter"), "limiter", "limiter2"),
        (("list.test.yaml", "perplan"), "perplan", "perplan2"),
        (("prod.yaml", "backend"), "backend", "backend2"),
        (("gateway.yaml", "vars: |backend"), "backend", "backend2"),
        (("rules.yaml", "keyring"), "keyring", "keyring2"),
        (("trial.yaml", "auth: |keyring"), "keyring", "keyring2"),
        (("list.test.yaml", "frontdoor"), "frontdoor", "frontdoor2"),
        (("prod.yaml", "counters"), "counters", "counters2"),
        (("consumers.yaml", "gold"), "gold", "gold2"),
        (("list.test.yaml", "apikey"), "apikey", "apikey2"),
        (("overlay.yaml", "apikey"), "apikey", "apikey2"),
        (("overlay.yaml", "inner"), "inner", "inner2"),
        (("list.test.yaml", "orders/|inner"), "inner", "inner2"),
    ] {
        let mut client = project(|_, text| text.to_owned());
        let folder = client.folder.clone();
        let before = meaning(folder.path());
        let edit = rename(&mut client, at, new).unwrap_or_else(|why| panic!("{at:?}: {why}"));
        apply(folder.path(), &edit);
        for (name, _) in FILES {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(!has_word(&text, old), "{at:?}, {name}:\n{text}");
        }
        let after = meaning(folder.path());
        assert!(
            has_word(&after, new) || ["apikey", "gold"].contains(&old),
            "{at:?}"
        );
        let (after, before) = (after.replace(new, old), before);
        let mut lines = after.lines().zip(before.lines());
        assert_eq!(
            lines.find(|(after, before)| after != before),
            None,
            "{at:?}"
        );
        client.end();
    }
}

#[test]
fn rename_with_an_unsafe_place_is_refused() {
    type Change = (&'static str, &'static str, &'static str);
    let cases: [(Change, &str, &str, &str); 9] = [
        // A pattern matches only one of the names.
        (
            ("rules.yaml", "[backend, spare]", "[\"back*\", spare]"),
            "backend",
            "other",
            "rules.yaml:2",
        ),
        (
            ("rules.yaml", "[backend, spare]", "[\"*z\", backend, spare]"),
            "backend",
            "fizz",
            "rules.yaml:2",
        ),
        (
            ("list.test.yaml", "upstream: backend", "upstream: \"ba*\""),
            "backend",
            "main",
            "list.test.yaml:6",
        ),
        // The new name is in use.
        (
            ("rules.yaml", "[backend, spare]", "[backend, spare, main]"),
            "backend",
            "main",
            "rules.yaml:2",
        ),
        // An expression may compare a part of the name.
        (
            (
                "gateway.yaml",
                "'auth.scheme == \"header x-key by keyring\"'",
                "auth.scheme.endsWith(\"keyring\")",
            ),
            "keyring",
            "keys",
            "gateway.yaml:25",
        ),
        // A target that gwc cannot read, and the values that it changes.
        (
            (
                "overlay.yaml",
                "$.components.securitySchemes.apikey",
                "$..apikey",
            ),
            "apikey",
            "key2",
            "overlay.yaml:4",
        ),
        (
            (
                "overlay.yaml",
                "$.paths['/orders'].get",
                "$.paths[?@.get].get",
            ),
            "backend",
            "main",
            "overlay.yaml:7",
        ),
        // `.NAME` of a JSONPath has no `-`.
        (
            ("overlay.yaml", "overlay: 1.0.0", "overlay: 1.0.0"),
            "apikey",
            "api-key",
            "overlay.yaml:4",
        ),
        // Two documents define the scheme of a test.
        (
            ("trial.yaml", "apikeys", "apikey"),
            "apikey",
            "key2",
            "list.test.yaml:3",
        ),
    ];
    for ((file, old, text), name, new, place) in cases {
        let mut client = project(|path, content| match path == file {
            true => content.replacen(old, text, 1),
            false => content.to_owned(),
        });
        let at = match name {
            "apikey" => ("orders.yaml", name),
            _ => ("gateway.yaml", name),
        };
        let why = rename(&mut client, at, new).expect_err(place);
        assert!(why.contains(place), "{place}: {why}");
        client.end();
    }
}

#[test]
fn names_that_other_systems_know_are_not_renamed() {
    let mut client = project(|_, text| text.to_owned());
    for (at, new) in [
        (("consumers.yaml", "acme"), "other"),
        (("gateway.yaml", "apis:\n  |orders"), "other"),
        (("gateway.yaml", "environments:\n  |prod"), "other"),
        (("gateway.yaml", "backend"), "deny"),
        (("gateway.yaml", "counters"), "local"),
        (("gateway.yaml", "backend"), "spare"),
        (("gateway.yaml", "backend"), "two words"),
        (("gateway.yaml", "backend"), "null"),
    ] {
        let why = rename(&mut client, at, new).expect_err(new);
        assert!(!why.is_empty());
    }
    client.end();
}

#[test]
fn names_of_rules_and_tests_are_found_and_completed() {
    let mut client = project(|_, text| text.to_owned());
    let text = |name: &str| FILES.iter().find(|(file, _)| *file == name).unwrap().1;
    let mut define = |name: &str, at: &str| {
        let text = cursor(text(name), at);
        let found = client.at("textDocument/definition", name, &text, &json!({}));
        let found = found.unwrap();
        let file = found["uri"]
            .as_str()
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned();
        client.change(name, &text.replacen('^', "", 1));
        (file, found["range"]["start"]["line"].as_u64())
    };
    let gateway = |line: u64| ("gateway.yaml".to_owned(), Some(line));
    assert_eq!(define("rules.yaml", "limiter"), gateway(22));
    assert_eq!(define("rules.yaml", "frontdoor"), gateway(13));
    assert_eq!(define("list.test.yaml", "frontdoor"), gateway(13));
    assert_eq!(
        define("list.test.yaml", "apikey"),
        ("orders.yaml".to_owned(), Some(5))
    );
    assert_eq!(
        define("list.test.yaml", "acme"),
        ("consumers.yaml".to_owned(), Some(0))
    );
    for (name, text, expected) in [
        (
            "rules.yaml",
            "- name: a\n  where: {policies: [lim^]}",
            "limiter",
        ),
        (
            "rules.yaml",
            "- name: a\n  where: {listeners: [^]}",
            "frontdoor",
        ),
        ("rules.yaml", "- name: a\n  where: {auth: [^]}", "keyring"),
        (
            "rules.yaml",
            "- name: a\n  where: {upstreams: [^]}",
            "orders/inner",
        ),
        ("rules.yaml", "- name: a\n  where: {apis: [^]}", "orders"),
        (
            "rules.yaml",
            "- name: a\n  where: {operations: [^]}",
            "orders/list",
        ),
        (
            "rules.yaml",
            "- name: a\n  where: {kinds: [r^]}",
            "rate_limit",
        ),
        // gateway.yaml names the file by a pattern.
        ("list.test.yaml", "- name: a\n  req^", "request"),
        ("list.test.yaml", "- name: a\n  credentials: {^}", "apikey"),
        ("list.test.yaml", "- name: a\n  consumer: ^", "acme"),
        (
            "list.test.yaml",
            "- name: a\n  expect: {policies: [^]}",
            "limiter",
        ),
        (
            "list.test.yaml",
            "- name: a\n  expect: {upstream: ^}",
            "backend",
        ),
    ] {
        let labels = client.labels(name, text);
        assert!(labels.contains(&expected.to_owned()), "{text}: {labels:?}");
    }
    let text = "- name: a\n  ^request: GET /\n";
    let hover = client.at("textDocument/hover", "list.test.yaml", text, &json!({}));
    let hover = hover.unwrap()["contents"]["value"].to_string();
    assert!(hover.contains("Method and URL"), "{hover}");
    client.end();
}
