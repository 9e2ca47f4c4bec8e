//! Tests of operations that share one text, for example a path item to which several paths refer.

use model::compile;
use sources::project::files::Files;
use sources::syntax::Limits;

const GATEWAY: &str = "version: 1\nname: s\napis: {a: {path: a.yaml}}\n\
upstreams: {u: {targets: {x: {url: \"http://127.0.0.1:9000\"}}, timeouts: {request: 1s}}}\ndefaults: {upstream: u, security: upstream}\n";
const HEAD: &str = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n";
const ONE: &str = "get: {operationId: one, responses: {\"200\": {description: ok}}}";

#[test]
fn operation_id_of_two_paths_is_found_at_the_second() {
    let documents = [
        format!("{HEAD}paths:\n  /a: {{{ONE}}}\n  /c: {{$ref: \"#/paths/~1a\"}}\n"),
        format!("{HEAD}paths:\n  /a: {{$ref: p.yaml}}\n  /c: {{$ref: p.yaml}}\n"),
        format!("{HEAD}paths:\n  /a: &a {{{ONE}}}\n  /c: *a\n"),
        format!(
            "{HEAD}paths:\n  /a:\n    get: &g {{operationId: one, responses: {{\"200\": {{description: ok}}}}}}\n    post: *g\n"
        ),
    ];
    for document in documents {
        let files = || {
            let files = [
                ("gateway.yaml", GATEWAY),
                ("a.yaml", &document),
                ("p.yaml", ONE),
            ];
            Files::in_memory(files, Limits::default())
        };
        let compiled = compile::project(files(), &Vec::new());
        assert!(compiled.lowered.is_none());
        let reported: Vec<&str> = compiled
            .findings
            .iter()
            .filter(|finding| finding.lint.name == "duplicate-operation-id")
            .map(|finding| compiled.files.sources.text(finding.span))
            .collect();
        let post = document.contains("post");
        assert_eq!(reported, [if post { "one" } else { "/c" }], "{document}");
    }
    // Two paths that share a path item without operation ids have two operations.
    let shared = "get: {responses: {\"200\": {description: ok}}}";
    let document = format!("{HEAD}paths:\n  /a: {{$ref: p.yaml}}\n  /c: {{$ref: p.yaml}}\n");
    let files = [
        ("gateway.yaml", GATEWAY),
        ("a.yaml", &document),
        ("p.yaml", shared),
    ];
    let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let lowered = compiled.lowered.expect("nothing is wrong");
    assert_eq!(
        lowered
            .gateway
            .apis
            .get("a")
            .map(|api| api.operations.len()),
        Some(2)
    );
}

#[test]
fn duplicate_operation_id_of_an_overlay_is_found() {
    let document = format!(
        "{HEAD}paths:\n  /a: {{get: {{responses: {{\"200\": {{description: ok}}}}}}}}\n  /b: {{get: {{responses: {{\"200\": {{description: ok}}}}}}}}\n"
    );
    let overlay = "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nactions:\n  - {target: \"$.paths[?@.get].get\", update: {operationId: same}}\n";
    let gateway = GATEWAY.replace("{path: a.yaml}", "{path: a.yaml, overlays: [o.yaml]}");
    let files = [
        ("gateway.yaml", gateway.as_str()),
        ("a.yaml", &document),
        ("o.yaml", overlay),
    ];
    let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let names: Vec<&str> = compiled
        .findings
        .iter()
        .map(|finding| finding.lint.name)
        .collect();
    assert!(names.contains(&"duplicate-operation-id"), "{names:?}");
}

#[test]
fn internal_operation_without_security_is_no_finding() {
    let document = format!(
        "{HEAD}paths:\n  /a:\n    get: {{security: [], x-gateway: {{internal: true}}, responses: {{\"200\": {{description: ok}}}}}}\n"
    );
    for mode in ["enforce", "upstream"] {
        let gateway = GATEWAY.replace("security: upstream", &format!("security: {mode}"));
        let files = [("gateway.yaml", gateway.as_str()), ("a.yaml", &document)];
        let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
        let names: Vec<&str> = compiled
            .findings
            .iter()
            .map(|finding| finding.lint.name)
            .collect();
        assert_eq!(names, Vec::<&str>::new(), "{mode}");
    }
}

#[test]
fn unsupported_schema_with_validation_is_an_error() {
    let parameter = |name: &str, schema: &str| {
        format!("{{name: {name}, in: path, required: true, schema: {{{schema}}}}}")
    };
    let operation = |parameters: &[String]| {
        format!(
            "{{get: {{parameters: [{}], responses: {{\"200\": {{description: ok}}}}}}}}",
            parameters.join(", ")
        )
    };
    // Requests for `/c/d/x` belong to `/c/{id}/{k}`, which accepts only integers.
    let document = format!(
        "{HEAD}paths:\n  /p/{{id}}: {}\n  /c/{{id}}/{{k}}: {}\n  /{{n}}/d/{{m}}: {}\n",
        operation(&[parameter("id", "type: string, pattern: '^(?!z)[a-z]+$'")]),
        operation(&[
            parameter("id", "type: integer"),
            parameter("k", "type: string")
        ]),
        operation(&[
            parameter("n", "type: string"),
            parameter("m", "type: string")
        ]),
    );
    let levels = |validate: &str| {
        let gateway = GATEWAY.replace(
            "security: upstream",
            &format!("security: upstream{validate}"),
        );
        let files = [("gateway.yaml", gateway.as_str()), ("a.yaml", &document)];
        let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
        let level = |name: &str| {
            let finding = compiled
                .findings
                .iter()
                .find(|finding| finding.lint.name == name);
            finding.map(|finding| finding.level)
        };
        (level("unsupported-pattern"), level("captured-by-template"))
    };
    use diag::Level::{Error, Warn};
    assert_eq!(levels(""), (Some(Warn), Some(Warn)));
    assert_eq!(
        levels(", validate: {request: log}"),
        (Some(Error), Some(Warn))
    );
    assert_eq!(
        levels(", validate: {request: block}"),
        (Some(Error), Some(Error))
    );
}

#[test]
fn streamed_multipart_bodies_are_reported() {
    let document = |max_body: &str| {
        format!(
            "{HEAD}paths:\n  /a:\n    post: {{x-gateway: {{validate: {{request: block}}{max_body}}}, requestBody: {{content: {{multipart/form-data: {{schema: {{type: object}}}}}}}}, responses: {{\"200\": {{description: ok}}}}}}\n"
        )
    };
    for (max_body, reported) in [
        ("", false),
        (", max_body: 8MiB", false),
        (", max_body: 9MiB", true),
    ] {
        let document = document(max_body);
        let files = [("gateway.yaml", GATEWAY), ("a.yaml", &document)];
        let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
        let mut named = compiled.findings.iter();
        let found = named.any(|finding| finding.lint.name == "not-validated");
        assert_eq!(found, reported, "{max_body}");
    }
}

/// `encoding.headers` of multipart bodies is not checked (RFC 7578 §4.8), except `Content-Type`,
/// which `contentType` describes.
#[test]
fn described_fields_of_parts_are_reported() {
    let messages = |media_type: &str, headers: &str| {
        let encoding = format!("encoding: {{f: {{headers: {{{headers}}}}}}}");
        let schema = "schema: {type: object, properties: {f: {type: string}}}";
        let document = format!(
            "{HEAD}paths:\n  /a:\n    post: {{operationId: add, x-gateway: {{validate: {{request: block}}}}, requestBody: {{content: {{{media_type}: {{{schema}, {encoding}}}}}}}, responses: {{\"200\": {{description: ok}}}}}}\n"
        );
        let files = [("gateway.yaml", GATEWAY), ("a.yaml", &document)];
        let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
        let found = compiled.findings.iter();
        let found = found.filter(|finding| finding.lint.name == "not-validated");
        found
            .map(|finding| finding.message.to_string())
            .collect::<Vec<_>>()
    };
    let x_id = "X-Id: {schema: {type: integer}}";
    let reported = "the field `x-id` of the part `f` in bodies of `a/add` is not checked";
    assert_eq!(messages("multipart/form-data", x_id), [reported]);
    let content_type = "content-type: {schema: {type: string}}";
    assert_eq!(messages("multipart/form-data", content_type), [""; 0]);
    let both = format!("{content_type}, {x_id}");
    assert_eq!(messages("multipart/form-data", &both), [reported]);
    // `encoding.headers` has no meaning for other media types.
    assert_eq!(messages("application/x-www-form-urlencoded", x_id), [""; 0]);
}
