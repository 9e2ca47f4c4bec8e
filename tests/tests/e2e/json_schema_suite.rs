//! The official test suite of JSON Schema 2020-12, sent as requests: each schema is the body of an
//! operation, compiled into a bundle by gwc, and each value is a request that gwd checks.

use std::collections::BTreeMap;

use e2e::gateway::Options;
use e2e::project::Project;
use e2e::upstream::Upstream;
use prerequisite::corpus;
use serde_json::{Map, Value, json};

/// Groups of the suite whose schema contains this text are left out, for this reason.
const LEFT_OUT: &[(&str, &str)] = &[
    ("localhost:1234", "gwc reads no schemas from the network"),
    (
        "\"$ref\":\"https://json-schema.org/",
        "the meta-schema is not part of a project",
    ),
];

/// Groups of which some values have another verdict, with the number of these values and the reason.
/// `*` stands for all groups of a file.
const DIFFERENT: &[(&str, usize, &str)] = &[
    (
        "dynamicRef: *",
        13,
        "gwc does not follow `$dynamicRef`: gwd admits values that only it refuses",
    ),
    (
        "format: *",
        5,
        "gwd checks the values of formats that it knows, as OpenAPI descriptions expect",
    ),
    (
        "unevaluatedItems: unevaluatedItems with $dynamicRef",
        1,
        "gwc leaves out `unevaluatedItems` beside a `$dynamicRef`: gwd admits these items",
    ),
    (
        "unevaluatedProperties: unevaluatedProperties with $dynamicRef",
        1,
        "gwc leaves out `unevaluatedProperties` beside a `$dynamicRef`: gwd admits these properties",
    ),
];

/// Group of the suite: a schema with values.
struct Group {
    name: String,
    schema: Value,
    tests: Vec<Value>,
}

/// Groups of the suite, by the name of the operation. Also returns the number of groups that are
/// left out, by the reason.
fn groups() -> (Vec<Group>, BTreeMap<&'static str, usize>) {
    let folder = corpus::folder().join("json-schema-test-suite/tests/draft2020-12");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the suite")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let (mut all, mut left_out) = (Vec::new(), BTreeMap::new());
    for path in files {
        let file = path.file_stem().expect("a name").to_string_lossy();
        let text = std::fs::read_to_string(&path).expect("the tests");
        let groups: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        for group in groups {
            let schema = &group["schema"];
            let text = schema.to_string();
            let reason = LEFT_OUT.iter().find(|(part, _)| text.contains(part));
            if let Some((_, reason)) = reason {
                *left_out.entry(*reason).or_default() += 1;
                continue;
            }
            let description = group["description"].as_str().expect("a text");
            all.push(Group {
                name: format!("{file}: {description}"),
                schema: schema.clone(),
                tests: group["tests"].as_array().expect("tests").clone(),
            });
        }
    }
    (all, left_out)
}

/// Project with an operation for each group.
fn project(upstream: &Upstream, groups: &[Group]) -> Project {
    let gateway = format!(
        "version: 1\nname: suite\napis: {{s: {{path: openapi.json}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         defaults: {{upstream: u, security: upstream, validate: {{request: block}}}}\n",
        upstream.url()
    );
    let paths = groups.iter().enumerate().map(|(index, group)| {
        // A file is a map. References in a schema are relative to its file.
        let schema = match group.schema.is_object() {
            true => json!({"$ref": format!("schemas/{index}.json")}),
            false => group.schema.clone(),
        };
        let operation = json!({
            "operationId": format!("g{index}"),
            "requestBody": {"required": true, "content": {"application/json": {"schema": schema}}},
            "responses": {"200": {"description": "ok"}},
        });
        (format!("/g/{index}"), json!({"post": operation}))
    });
    let document = json!({
        "openapi": "3.1.0",
        "info": {"title": "suite", "version": "1"},
        "paths": paths.collect::<Map<String, Value>>(),
    });
    let project = Project::new();
    for (index, group) in groups.iter().enumerate() {
        if group.schema.is_object() {
            project.write(&format!("schemas/{index}.json"), group.schema.to_string());
        }
    }
    project.write("openapi.json", document.to_string());
    project.write("gateway.yaml", gateway);
    project.keygen();
    project
}

#[test]
fn official_suite_has_its_verdicts_as_requests() {
    let upstream = Upstream::start();
    let (groups, left_out) = groups();
    let project = project(&upstream, &groups);
    project.apply();
    let gwd = Options::of(&project).start();
    let (mut checked, mut wrong) = (0, Vec::new());
    let mut different = vec![0; DIFFERENT.len()];
    for (index, group) in groups.iter().enumerate() {
        for test in &group.tests {
            let data = test["data"].to_string();
            let request = format!(
                "POST /g/{index} HTTP/1.1\nhost: h\ncontent-type: application/json\n\
                 content-length: {}\n\n{data}",
                data.len()
            );
            checked += 1;
            let status = gwd.ask(&request).status;
            let expected = if test["valid"] == true { 200 } else { 400 };
            let is_of = |name: &str| match name.strip_suffix('*') {
                Some(file) => group.name.starts_with(file),
                None => group.name == name,
            };
            let known = DIFFERENT.iter().position(|(name, ..)| is_of(name));
            if status == expected {
                continue;
            }
            // Another status than 200 and 400 is never right.
            if let Some(index) = known
                && [200, 400].contains(&status)
            {
                different[index] += 1;
            } else {
                wrong.push(format!("{}: {}: {status}", group.name, test["description"]));
            }
        }
    }
    let reasons = LEFT_OUT.iter().map(|(_, reason)| left_out[reason]);
    assert_eq!(reasons.collect::<Vec<_>>(), [26, 2]);
    let counts = DIFFERENT.iter().map(|(_, count, _)| *count);
    assert_eq!(different, counts.collect::<Vec<_>>());
    assert_eq!(checked, 1_238);
    assert_eq!(wrong, Vec::<String>::new(), "{} of {checked}", wrong.len());
}
