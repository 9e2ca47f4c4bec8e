//! Tests of the validation of values against schemas, with the official test suite of JSON Schema
//! 2020-12.

use std::collections::BTreeMap;

use openapi::spec::Version;
use openapi::spec::reference::Resolver;
use openapi::spec::schema::{Schemas, Verdict};
use serde_json::{Value, json};
use sources::project::files::{Document, Files};
use sources::syntax::Limits;

use prerequisite::corpus;

/// Validates each value against a schema, which is in a separate file. `None`: not validated.
fn verdicts(schema: &Value, values: &[&Value]) -> Vec<Option<bool>> {
    let document = json!({
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "components": {"schemas": {"S": {"$ref": "schema.json"}}},
    });
    let texts = [
        ("openapi.json", document.to_string()),
        ("schema.json", schema.to_string()),
        ("values.json", json!(values).to_string()),
    ];
    let texts = texts.iter().map(|(path, text)| (*path, text.as_str()));
    let mut files = Files::in_memory(texts, Limits::default());
    let file = files.read("openapi.json").expect("the document is there");
    let document = Document {
        file,
        root: files.root(file).expect("it is JSON"),
        overlays: Vec::new(),
    };
    files.follow(&document);
    let read = |files: &mut Files, name: &str| {
        let file = files.read(name).expect("the file is there");
        files.root(file).expect("it is JSON")
    };
    let schema = read(&mut files, "schema.json");
    let values = read(&mut files, "values.json");
    let resolver = Resolver::new(&files, &document);
    let schemas = Schemas::new(&resolver, Version::V31);
    let judge = |value| match schemas.validate(resolver.node(schema), value) {
        Verdict::Valid => Some(true),
        Verdict::Invalid(_) => Some(false),
        Verdict::Unknown => None,
    };
    resolver.node(values).items().map(judge).collect()
}

/// Texts in test schemas that refer to remote files, each with the reason why the test is skipped.
const ELSEWHERE: &[(&str, &str)] = &[
    ("localhost:1234", "remote schemas are never fetched"),
    (
        "\"$ref\":\"https://json-schema.org/",
        "the meta-schema is not read",
    ),
];

/// Values that gwc does not validate, because they contain a map with a string `$ref`. Documents of
/// several files use such references inside examples and defaults. gwc cannot know if such a map is
/// data or a reference to a file, and a wrong guess would reject valid examples.
const UNKNOWN: &[(&str, usize)] = &[
    (
        "ref: naive replacement of $ref with its destination is not correct",
        1,
    ),
    ("ref: property named $ref that is not a reference", 1),
    ("ref: property named $ref, containing an actual $ref", 1),
];

#[test]
fn official_schema_suite_has_its_verdicts() {
    let corpus = corpus::folder();
    let folder = corpus.join("json-schema-test-suite/tests/draft2020-12");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the suite")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let (mut checked, mut wrong) = (0, Vec::new());
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    for path in files {
        let name = path.file_stem().expect("a name").to_string_lossy();
        let text = std::fs::read_to_string(&path).expect("the tests");
        let groups: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        for group in groups {
            let schema = group["schema"].to_string();
            if ELSEWHERE.iter().any(|(text, _)| schema.contains(text)) {
                continue;
            }
            let tests = group["tests"].as_array().expect("tests");
            let values: Vec<&Value> = tests.iter().map(|test| &test["data"]).collect();
            for (test, verdict) in tests.iter().zip(verdicts(&group["schema"], &values)) {
                checked += 1;
                match verdict {
                    None => {
                        *unknown
                            .entry(format!(
                                "{name}: {}",
                                group["description"].as_str().unwrap_or_default()
                            ))
                            .or_default() += 1
                    }
                    Some(valid) if test["valid"] == valid => {}
                    Some(valid) => wrong.push(format!(
                        "{name}: {}: {}: {valid}",
                        group["description"], test["description"]
                    )),
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "{} of {checked}", wrong.len());
    let unknown: Vec<(&str, usize)> = unknown
        .iter()
        .map(|(group, count)| (&**group, *count))
        .collect();
    assert_eq!(unknown, UNKNOWN, "{checked} checked");
    assert!(checked > 1_200, "only {checked}");
}
