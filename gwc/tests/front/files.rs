//! Tests of references between files, and of files outside the project's folder.

use std::fs;

use diag::NodeRef;

use crate::project;

const HEAD: &str = "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\n";

#[test]
fn references_work_across_files_and_back() {
    let document = format!(
        "{HEAD}paths: {{/a: {{$ref: 'paths/a%20b.yaml#/~1a~0x'}}}}\ncomponents: {{schemas: {{Id: {{type: string}}}}}}\n"
    );
    let linted = project::memory(&[
        ("apis/openapi.yaml", &document),
        (
            "apis/paths/a b.yaml",
            "/a~x:\n  get:\n    parameters: [{$ref: '../../shared.json#/parameters/0'}]\n    responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '../openapi.yaml#/components/schemas/Id'}}}}}\n",
        ),
        (
            "shared.json",
            "{\"parameters\": [{\"name\": \"q\", \"in\": \"query\", \"schema\": {\"$ref\": \"apis/openapi.yaml#/components/schemas/Id\"}}]}",
        ),
    ]);
    assert_eq!(linted.lines(), "");
    let spec = linted.spec.as_ref().expect("a spec");
    let operation = &spec.paths[0].operations[0];
    assert_eq!(operation.parameters[0].name.value, "q");
    let place = linted
        .files
        .sources
        .file(operation.parameters[0].name.span.file);
    assert_eq!(place.path(), "shared.json");
    let schema = operation.responses[0].media_types[0]
        .schema
        .expect("a schema");
    let document = linted.document.as_ref().expect("a document");
    let resolver = openapi::spec::reference::Resolver::new(&linted.files, document);
    let schema = resolver.resolve(resolver.node(schema)).expect("resolved");
    assert_eq!(schema.get("type").and_then(NodeRef::as_str), Some("string"));
}

#[test]
fn a_reference_in_an_overlay_means_the_document() {
    let document = format!(
        "{HEAD}paths: {{/a: {{get: {{responses: {{'200': {{description: ok}}}}}}}}}}\ncomponents: {{responses: {{No: {{description: no}}}}}}\n"
    );
    let linted = project::memory(&[
        ("apis/openapi.yaml", &document),
        ("apis/more.yaml", "description: more\n"),
        (
            "overlay.yaml",
            "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nactions:\n- target: $.paths['/a'].get.responses\n  update: {'404': {$ref: '#/components/responses/No'}, '500': {$ref: more.yaml}}\n",
        ),
    ]);
    assert_eq!(linted.lines(), "");
    let spec = linted.spec.as_ref().expect("a spec");
    assert_eq!(spec.paths[0].operations[0].responses.len(), 3);
}

#[test]
fn mistake_in_a_referenced_file_is_reported_once() {
    let document = format!(
        "{HEAD}paths:\n  /a: {{$ref: item.yaml}}\n  /b: {{$ref: item.yaml}}\n  /c: {{$ref: broken.yaml}}\nx-example: {{$ref: unread.yaml}}\n"
    );
    let linted = project::memory(&[
        ("openapi.yaml", &document),
        ("item.yaml", "get: {responses: {'200': {}}}\n"),
        ("broken.yaml", "get: [\n"),
        ("unread.yaml", "a: [\n"),
    ]);
    let lines = linted.lines();
    assert_eq!(
        lines.matches("item.yaml:1:19: error[GW0303]").count(),
        1,
        "{lines}"
    );
    assert_eq!(lines.matches("broken.yaml").count(), 1, "{lines}");
    assert_eq!(lines.matches("unread.yaml").count(), 0, "{lines}");
    assert_eq!(linted.findings.len(), 2, "{lines}");
}

#[test]
fn files_outside_the_folder_are_not_read() {
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("secret.yaml"), "get: {}\n").expect("written");
    let inside = tempfile::tempdir().expect("a folder");
    let root = inside.path();
    fs::create_dir(root.join("apis")).expect("created");
    fs::write(
        root.join("near.yaml"),
        "get: {responses: {'200': {description: ok}}}\n",
    )
    .expect("written");
    std::os::unix::fs::symlink(outside.path().join("secret.yaml"), root.join("link.yaml"))
        .expect("linked");
    std::os::unix::fs::symlink(outside.path(), root.join("folder")).expect("linked");
    std::os::unix::fs::symlink(root.join("near.yaml"), root.join("inner.yaml")).expect("linked");
    let absolute = outside.path().join("secret.yaml");
    let document = format!(
        "{HEAD}paths:\n  /1: {{$ref: ../link.yaml}}\n  /2: {{$ref: ../folder/secret.yaml}}\n  /3: {{$ref: ../../x.yaml}}\n  /4: {{$ref: {}}}\n  /5: {{$ref: 'file:///etc/passwd'}}\n  /6: {{$ref: 'https://example.com/a.yaml#/b'}}\n  /7: {{$ref: ..}}\n  /8: {{$ref: ../none.yaml}}\n  /9: {{$ref: ../inner.yaml}}\n",
        absolute.display()
    );
    fs::write(root.join("apis/openapi.yaml"), document).expect("written");
    let linted = project::folder(root, "apis/openapi.yaml");
    assert_eq!(
        linted.names(),
        [
            "outside-project",
            "outside-project",
            "outside-project",
            // An absolute path begins at the project's folder, not at the root of the file system.
            "missing-file",
            "remote-file",
            "remote-file",
            "missing-file",
            "missing-file",
        ],
        "{}",
        linted.lines()
    );
}

#[test]
fn siblings_of_a_path_items_reference_are_reported() {
    let document = format!(
        "{HEAD}paths:\n  /a:\n    $ref: item.yaml\n    description: fine\n    post: {{responses: {{'200': {{description: ok}}}}}}\n    x-gateway: {{upstream: u}}\n"
    );
    let linted = project::memory(&[
        ("openapi.yaml", &document),
        (
            "item.yaml",
            "get: {responses: {'200': {description: ok}}}\n",
        ),
    ]);
    assert_eq!(linted.names(), ["ignored-path-item", "misplaced-extension"]);
    assert!(linted.report().blocked());
}

#[test]
fn schemas_are_found_by_anchor_and_id() {
    let linted = project::text(
        "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {}\ncomponents:\n  schemas:\n    A: {$anchor: here, $id: 'https://example.com/a', type: string}\n    B: {$ref: 'https://example.com/a#here'}\n    F: {$anchor: near, type: string}\n    G: {$ref: '#near'}\n    H: {$ref: '#here'}\n    C: {$ref: 'https://example.com/a'}\n    D: {$ref: '#gone'}\n    E: {$ref: 'https://example.com/b'}\n",
    );
    // An anchor belongs to the nearest enclosing `$id`, so `#here` alone does not exist in this
    // file.
    assert_eq!(
        linted.names(),
        [
            "unresolved-reference",
            "unresolved-reference",
            "remote-file"
        ],
        "{}",
        linted.lines()
    );
}

/// Kinds of reference targets: name of the map in `components`, and an example value.
const TARGETS: &[(&str, &str)] = &[
    (
        "pathItems",
        "{get: {responses: {'200': {description: ok}}}}",
    ),
    ("parameters", "{name: p, in: query, schema: {}}"),
    ("responses", "{description: ok}"),
    ("headers", "{schema: {}}"),
    ("examples", "{value: 1}"),
    ("securitySchemes", "{type: http, scheme: basic}"),
    ("links", "{operationId: here}"),
    (
        "callbacks",
        "{'{$request.body#/u}': {post: {responses: {'200': {description: ok}}}}}",
    ),
    ("requestBodies", "{content: {text/plain: {}}}"),
    ("schemas", "{type: string}"),
];

/// Different notations of a reference to the same target in `parts.yaml`.
const WAYS: &[&str] = &[
    "parts.yaml#/a~1b/c~0d",
    "./parts.yaml#/a~1b/c~0d",
    "parts.yaml#/a%7E1b/c%7e0d",
    "p%61rts.yaml#/a~1b/c~0d",
    "/apis/parts.yaml#/a~1b/c~0d",
    "../apis/parts.yaml#/a~1b/c~0d",
    "../common/parts.json#/a~1b/c~0d",
    "/common/parts.json#/a~1b/c~0d",
];

#[test]
fn references_work_for_every_kind_and_notation() {
    for (kind, value) in TARGETS {
        let yaml = format!("a/b: {{c~d: {value}}}\n");
        let value: serde_json::Value = serde_yaml_ng::from_str(value).expect("it is YAML");
        let json = serde_json::json!({"a/b": {"c~d": value}}).to_string();
        for notation in WAYS {
            let document = format!(
                "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths: {{/h: {{get: {{operationId: here, responses: {{'200': {{description: ok}}}}}}}}}}\ncomponents: {{{kind}: {{X: {{$ref: '{notation}'}}}}}}\n"
            );
            let linted = project::memory(&[
                ("apis/openapi.yaml", &document),
                ("apis/parts.yaml", &yaml),
                ("common/parts.json", &json),
            ]);
            assert_eq!(linted.lines(), "", "{kind} by {notation}");
            // A target of the wrong kind is refused. The finding names the reference and the
            // target.
            if matches!(*kind, "schemas" | "examples") {
                continue;
            }
            let wrong = document.replace(
                "components: {",
                &format!("components: {{examples: {{Y: {{$ref: '#/components/{kind}/X'}}}}, "),
            );
            let linted = project::memory(&[
                ("apis/openapi.yaml", &wrong),
                ("apis/parts.yaml", &yaml),
                ("common/parts.json", &json),
            ]);
            let found = linted.findings.iter();
            let found: Vec<_> = found
                .filter(|finding| finding.lint.name == "wrong-reference-kind")
                .collect();
            assert_eq!(found.len(), 1, "{kind} by {notation}: {}", linted.lines());
            assert!(found[0].label.starts_with("referenced from here"), "{kind}");
            assert!(found[0].related[0].1.starts_with("defined here"), "{kind}");
        }
    }
}
