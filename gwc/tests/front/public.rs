//! Tests of `gwc strip` on real documents: it removes everything that the test added, and nothing
//! else.

use std::path::{Path, PathBuf};

use diag::{FileId, Sink, Span};
use gwc::strip::{self, write};
use serde_json::{Value, json};
use sources::project::files::{Document, Files};
use sources::syntax::Limits;

use prerequisite::corpus;

/// Public version of a document, as YAML and as JSON, parsed by another library.
fn public(text: &str) -> [Value; 2] {
    let mut files = Files::in_memory([("api.json", text)], Limits::default());
    let mut sink = Sink::default();
    let nowhere = Span::start_of(FileId(0));
    let (file, root) = files
        .load("api.json", nowhere, &mut sink)
        .expect("it can be read");
    let document = Document {
        file,
        root,
        overlays: Vec::new(),
    };
    files.follow(&document);
    let stripped = strip::strip(&files, &document).expect("it has a public form");
    let root = files.tree.at(document.root);
    let yaml = write::yaml(root, &stripped.removed).expect("the document is small");
    let json = write::json(root, &stripped.removed).expect("the document is small");
    for text in [&yaml, &json] {
        for ours in [
            "x-gateway",
            "${env:",
            "${file:",
            "/secret-path",
            "OnlyHidden",
        ] {
            assert!(!text.contains(ours), "`{ours}` is public");
        }
    }
    [
        serde_yaml_ng::from_str(&yaml).expect("it is YAML"),
        serde_json::from_str(&json).expect("it is JSON"),
    ]
}

/// Adds keys of the gateway at every allowed position, and an internal operation.
fn with_gateway(document: &Value) -> Value {
    let mut all = document.clone();
    let says =
        json!({"owner": "team", "auth": {"idp": {"kind": "api_key", "secret": "${env:GWS_KEY}"}}});
    let add = |node: &mut Value, keys: &[&str]| {
        if let Some(map) = node.as_object_mut() {
            keys.iter()
                .for_each(|key| drop(map.insert((*key).to_owned(), says.clone())));
        }
    };
    let own = ["x-gateway", "x-gateway-lint", "x-gateway-ext-team"];
    let is_swagger = all.get("swagger").is_some();
    add(&mut all, &own);
    all.get_mut("info")
        .into_iter()
        .for_each(|info| add(info, &["x-gateway-lint"]));
    if let Some(servers) = all.get_mut("servers").and_then(Value::as_array_mut) {
        servers.iter_mut().for_each(|server| add(server, &own[..1]));
    }
    for item in all
        .get_mut("paths")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(|paths| paths.values_mut())
    {
        for (key, operation) in item.as_object_mut().into_iter().flatten() {
            if ["get", "put", "post", "delete", "patch"].contains(&key.as_str()) {
                add(operation, &own);
                let parameters = operation
                    .get_mut("parameters")
                    .and_then(Value::as_array_mut);
                parameters
                    .into_iter()
                    .flatten()
                    .for_each(|one| add(one, &own[..1]));
                for response in operation
                    .get_mut("responses")
                    .and_then(Value::as_object_mut)
                    .into_iter()
                    .flat_map(|all| all.values_mut())
                {
                    add(response, &own[..1]);
                }
            }
        }
        add(item, &own[..2]);
    }
    let schemas = if is_swagger {
        "/definitions"
    } else {
        "/components/schemas"
    };
    for schema in all
        .pointer_mut(schemas)
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(|all| all.values_mut())
    {
        add(schema, &own[..2]);
        for property in schema
            .get_mut("properties")
            .and_then(Value::as_object_mut)
            .into_iter()
            .flat_map(|all| all.values_mut())
        {
            add(property, &own[..1]);
        }
    }
    let reference = if is_swagger {
        "#/definitions/OnlyHidden"
    } else {
        "#/components/schemas/OnlyHidden"
    };
    let responses = if is_swagger {
        json!({"200": {"description": "fine", "schema": {"$ref": reference}}})
    } else {
        json!({"200": {"description": "fine", "content": {"application/json": {"schema": {"$ref": reference}}}}})
    };
    all["paths"]["/secret-path"] = json!({"get": {"operationId": "secretOperation", "x-gateway": {"internal": true}, "responses": responses}});
    if let Some(schemas) = all.pointer_mut(schemas) {
        schemas["OnlyHidden"] =
            json!({"type": "object", "properties": {"again": {"$ref": reference}}});
    }
    all
}

#[test]
fn strip_leaves_no_gateway_key_in_real_documents() {
    let corpus = corpus::folder();
    let mut tried = 0;
    let mut paths = Vec::new();
    for folder in ["specs", "oasdiff", "history"] {
        walk(&corpus.join(folder), &mut paths);
    }
    paths.sort_unstable();
    for path in paths {
        let Some(document) = read(&path) else {
            continue;
        };
        let own = document.get("x-gateway").is_some();
        if own || !document["paths"].is_object() || unnamed(&document) {
            continue;
        }
        tried += 1;
        let text = with_gateway(&document).to_string();
        for form in public(&text) {
            assert!(
                form == document,
                "{}: {:?}",
                path.display(),
                first_difference(&form, &document)
            );
        }
    }
    assert!(tried >= 20, "only {tried}");
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path
            .extension()
            .is_some_and(|kind| kind == "yaml" || kind == "json")
        {
            found.push(path);
        }
    }
}

fn read(path: &Path) -> Option<Value> {
    let text = std::fs::read_to_string(path).ok()?;
    serde_yaml_ng::from_str(&text).ok()
}

/// True if the document has no map of named schemas, so that the test cannot add the schema of the
/// internal operation.
fn unnamed(document: &Value) -> bool {
    let place = if document.get("swagger").is_some() {
        "/definitions"
    } else {
        "/components/schemas"
    };
    document.pointer(place).is_none()
}

fn first_difference(a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| {
                let null = Value::Null;
                let inside =
                    first_difference(a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null))?;
                Some(format!("/{key}{inside}"))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(index, (a, b))| Some(format!("/{index}{}", first_difference(a, b)?))),
        (a, b) if a == b => None,
        (a, b) => Some(format!(": {a} is not {b}").chars().take(300).collect()),
    }
}

#[test]
fn strip_keeps_names_and_data_like_gateway_keys() {
    let text = r##"{
      "openapi": "3.1.0", "info": {"title": "t", "version": "1"},
      "paths": {"/a": {"get": {"responses": {"200": {"description": "d",
        "headers": {"x-request": {"schema": {"type": "string"}}},
        "content": {"application/json": {"example": {"mine": {"x-y": 1}}, "schema": {"$ref": "#/components/schemas/A"}}}}}}}},
      "components": {"schemas": {
        "A": {"type": "object", "properties": {"x-kind": {"const": "a"}}, "discriminator": {"propertyName": "k"}},
        "B": {"allOf": [{"$ref": "#/components/schemas/A"}]},
        "Unused": {"type": "string"}}}}"##;
    let kept: Value = serde_json::from_str(&text.replace("x-", "x-gateway-")).unwrap();
    let mut files = Files::in_memory([("api.json", kept.to_string())], Limits::default());
    let (file, root) = files
        .load("api.json", Span::start_of(FileId(0)), &mut Sink::default())
        .unwrap();
    let document = Document {
        file,
        root,
        overlays: Vec::new(),
    };
    files.follow(&document);
    let stripped = strip::strip(&files, &document).unwrap();
    let json = write::json(files.tree.at(root), &stripped.removed).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), kept);
}

#[test]
fn every_text_comes_back_from_yaml_as_it_was() {
    let texts = [
        "",
        " ",
        "a",
        "no",
        "null",
        "~",
        "1",
        "1.0",
        "0x1F",
        "a: b",
        "a #b",
        "- a",
        "? a",
        "two\nlines",
        "two\nlines\n",
        "two\nlines\n\n",
        " first\nsecond",
        "\nfirst",
        "a\n\nb",
        "a\n  b\n",
        "a\r\nb",
        "tab\tin",
        "a\n\tb",
        "trailing \nline",
        "é",
        "🐘",
        "\u{85}x\ny",
        "\u{2028}",
        "\u{feff}a\nb",
        "\u{7f}",
        "\u{0}",
        "`x` | @y",
        "{a}",
        "%TAG",
        "!!str",
        "&a",
        "*a",
        "---",
        "...",
        "--- a\n...\n",
        "a\n---\nb",
        "# a\nb",
        "a:\n- b",
    ];
    let value = json!({"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {},
                       "x-texts": &texts[..], "x-keys": texts.iter().map(|text| ((*text).to_owned(), json!([[*text], {"a": *text}]))).collect::<serde_json::Map<_, _>>()});
    for form in public(&value.to_string()) {
        assert!(form == value, "{:?}", first_difference(&form, &value));
    }
}
