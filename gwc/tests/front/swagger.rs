//! Tests that Swagger 2.0 documents are read as the equivalent OpenAPI 3.0 documents, with
//! locations in the 2.0 text.

use openapi::spec::{In, SchemeKind, Version};

use sources::project::files::Files;
use sources::syntax::Limits;

use prerequisite::corpus;

use crate::project;

const HEAD: &str = "swagger: \"2.0\"\ninfo: {title: t, version: \"1\"}\n";

const SHOP: &str = r##"swagger: "2.0"
info: {title: Shop, version: "1"}
host: shop.example
basePath: /v1/
schemes: [https, http]
consumes: [application/json, application/xml]
produces: [application/json]
security: [{key: []}]
securityDefinitions:
  key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
  pass: {type: basic}
  app: {type: oauth2, flow: application, tokenUrl: "https://id.example/token", scopes: {read: to read}}
  code: {type: oauth2, flow: accessCode, authorizationUrl: "https://id.example/a", tokenUrl: "https://id.example/t", scopes: {}}
parameters:
  limit: {name: limit, in: query, type: integer, minimum: 1, default: 10}
  pet: {name: pet, in: body, required: true, schema: {$ref: "#/definitions/Pet"}}
responses:
  gone: {description: gone, schema: {$ref: "#/definitions/Error"}}
definitions:
  Pet:
    type: object
    discriminator: kind
    required: [kind]
    properties:
      kind: {type: string}
      owner: {$ref: "#/definitions/Owner"}
      name: {type: string, x-nullable: true, example: null}
  Owner: {type: object, properties: {pets: {type: array, items: {$ref: "#/definitions/Pet"}}}}
  Error: {type: object, properties: {code: {type: integer}}}
paths:
  /pets:
    parameters:
      - $ref: "#/parameters/limit"
    get:
      operationId: listPets
      parameters:
        - {name: tags, in: query, type: array, items: {type: string}, collectionFormat: multi}
        - {name: ids, in: query, type: array, items: {type: string}}
      responses:
        "200":
          description: ok
          headers: {X-Total: {type: integer}}
          schema: {type: array, items: {$ref: "#/definitions/Pet"}}
          examples: {application/json: [{kind: dog}]}
        "410": {$ref: "#/responses/gone"}
    post:
      operationId: addPet
      parameters: [{$ref: "#/parameters/pet"}]
      responses: {"201": {description: made}}
  /pets/{id}/photo:
    put:
      operationId: setPhoto
      security: [{app: [read]}]
      consumes: [multipart/form-data]
      parameters:
        - {name: id, in: path, required: true, type: string}
        - {name: file, in: formData, required: true, type: file}
        - {name: note, in: formData, type: string}
      responses: {default: {description: any}}
"##;

#[test]
fn a_document_is_read_as_its_3_0_form() {
    let linted = project::text(SHOP);
    assert_eq!(linted.names(), ["unencrypted-url"], "{}", linted.lines());
    let spec = linted.spec.expect("it is read");
    assert_eq!(spec.version, Version::V30);
    let urls: Vec<&str> = spec
        .servers
        .iter()
        .map(|server| &*server.url.value)
        .collect();
    assert_eq!(urls, ["https://shop.example/v1", "http://shop.example/v1"]);

    let schemes: Vec<_> = spec
        .schemes
        .iter()
        .map(|scheme| (&*scheme.name.value, &scheme.kind))
        .collect();
    assert!(matches!(
        schemes[0],
        (
            "key",
            SchemeKind::ApiKey {
                place: In::Header,
                ..
            }
        )
    ));
    assert!(spec.schemes[0].x_gateway.is_some());
    assert!(matches!(schemes[1], ("pass", SchemeKind::Http { scheme }) if scheme.value == "basic"));
    assert!(matches!(schemes[2], ("app", SchemeKind::OAuth2 { scopes }) if scopes == &["read"]));

    let operations: Vec<_> = spec
        .paths
        .iter()
        .flat_map(|path| &path.operations)
        .collect();
    let parameters = |index: usize| -> Vec<(&str, In)> {
        let all = operations[index].parameters.iter();
        all.map(|parameter| (&*parameter.name.value, parameter.place))
            .collect()
    };
    assert_eq!(
        parameters(0),
        [
            ("limit", In::Query),
            ("tags", In::Query),
            ("ids", In::Query)
        ]
    );
    assert_eq!(parameters(1), [("limit", In::Query)]);
    assert_eq!(parameters(2), [("id", In::Path)]);
    let text = |node: diag::NodeRef<'_>, key: &str| {
        node.get(key)
            .and_then(diag::NodeRef::scalar_text)
            .map(str::to_owned)
    };
    let explode = |index: usize| {
        text(
            linted.files.tree.at(operations[0].parameters[index].node),
            "explode",
        )
    };
    assert_eq!(explode(1).as_deref(), Some("true"), "one for each item");
    assert_eq!(
        explode(2).as_deref(),
        Some("false"),
        "commas are 2.0's default"
    );

    let bodies: Vec<_> = operations
        .iter()
        .map(|operation| &operation.request_body)
        .collect();
    assert!(bodies[0].is_none());
    let names = |index: usize| -> (bool, Vec<&str>) {
        let body = bodies[index].as_ref().expect("a body");
        (
            body.required,
            body.media_types
                .iter()
                .map(|media| &*media.name.value)
                .collect(),
        )
    };
    assert_eq!(
        names(1),
        (true, vec!["application/json", "application/xml"])
    );
    assert_eq!(names(2), (true, vec!["multipart/form-data"]));
    let form = bodies[2]
        .as_ref()
        .and_then(|body| body.media_types[0].schema);
    let form = linted.files.tree.at(form.expect("a schema"));
    let fields: Vec<&str> = form
        .get("properties")
        .expect("fields")
        .entries()
        .map(|(entry, _)| &*entry.key)
        .collect();
    assert_eq!(fields, ["file", "note"]);
    let file = form
        .get("properties")
        .and_then(|all| all.get("file"))
        .expect("the file");
    assert_eq!(text(file, "format").as_deref(), Some("binary"));

    let statuses: Vec<(&str, usize)> = operations[0]
        .responses
        .iter()
        .map(|response| (&*response.status.value, response.media_types.len()))
        .collect();
    assert_eq!(statuses, [("200", 1), ("410", 1)]);
}

/// Edits of the document (old and new text), each with its finding: rule, line, and underlined
/// text.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "$ref: \"#/definitions/Owner\"",
        "$ref: \"#/definitions/Ower\"",
        "unresolved-reference 26 \"#/definitions/Ower\"",
    ),
    (
        "$ref: \"#/parameters/limit\"",
        "$ref: \"#/parameters/limits\"",
        "unresolved-reference 33 \"#/parameters/limits\"",
    ),
    (
        "$ref: \"#/responses/gone\"",
        "$ref: \"#/definitions/Error\"",
        "wrong-reference-kind 45 \"#/definitions/Error\"",
    ),
    (
        "operationId: addPet",
        "operationID: addPet",
        "unknown-field 47 operationID",
    ),
    ("flow: application", "flow: app", "unknown-field 12 app"),
    (
        "in: formData, type: string",
        "in: formdata, type: string",
        "unknown-value 58 formdata",
    ),
    (
        "type: integer, minimum: 1, default: 10",
        "type: integer, minimum: 1, default: ten",
        "value-of-other-type 15 ten",
    ),
    (
        "name: tags, in: query, type: array,",
        "name: tags, in: query,",
        "missing-field 37 name",
    ),
    (
        "[{kind: dog}]",
        "[{kind: 1}]",
        "example-outside-schema 44 1",
    ),
    (
        "collectionFormat: multi",
        "collectionFormat: many",
        "unknown-value 37 many",
    ),
    (
        "produces: [application/json]",
        "produces: [json]",
        "malformed-media-type 7 json",
    ),
    (
        "{name: id, in: path, required: true, type: string}",
        "{name: id, in: path, type: string}",
        "optional-path-parameter 56 name",
    ),
    (
        "security: [{app: [read]}]",
        "security: [{ap: [read]}]",
        "undefined-security-scheme 53 ap",
    ),
];

#[test]
fn swagger_mistakes_have_places_in_the_2_0_text() {
    let mut wrong = Vec::new();
    for (old, new, expected) in MISTAKES {
        assert!(SHOP.contains(old), "{old}");
        let linted = project::text(&SHOP.replacen(old, new, 1));
        let sources = &linted.files.sources;
        let reported: Vec<String> = linted
            .findings
            .iter()
            .map(|finding| {
                let line = sources.position(finding.span).line;
                format!(
                    "{} {line} {}",
                    finding.lint.name,
                    sources.text(finding.span)
                )
            })
            .collect();
        if !reported.iter().any(|reported| reported == expected) {
            wrong.push(format!("{new}: not `{expected}` but {reported:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn parts_in_other_files_are_lifted_too() {
    let linted = project::memory(&[
        (
            "openapi.yaml",
            &format!("{HEAD}paths:\n  /a: {{$ref: item.yaml}}\n"),
        ),
        (
            "item.yaml",
            "get:\n  parameters: [{$ref: 'parts.yaml#/limit'}]\n  responses: {'200': {$ref: 'parts.yaml#/ok'}}\n",
        ),
        (
            "parts.yaml",
            "limit: {name: limit, in: query, type: integer}\nok: {description: ok, schema: {$ref: '#/thing'}}\nthing: {type: string}\n",
        ),
    ]);
    assert_eq!(linted.names(), Vec::<&str>::new(), "{}", linted.lines());
    let spec = linted.spec.expect("it is read");
    let operation = &spec.paths[0].operations[0];
    assert_eq!(operation.parameters.len(), 1);
    assert_eq!(operation.responses[0].media_types.len(), 1);
}

#[test]
fn swagger_cycles_and_wrong_types_are_reported() {
    for (text, name) in [
        (
            format!("{HEAD}paths: {{/a: {{$ref: '#/paths/~1a'}}}}\n"),
            "reference-cycle",
        ),
        (
            format!("{HEAD}paths: {{/a: {{$ref: '#/paths/~1b'}}, /b: {{$ref: '#/paths/~1a'}}}}\n"),
            "reference-cycle",
        ),
        (
            "swagger: \"1.2\"\ninfo: {title: t, version: \"1\"}\npaths: {}\n".to_owned(),
            "unsupported-version",
        ),
        (format!("{HEAD}paths: []\n"), "wrong-field-type"),
        (
            format!(
                "{HEAD}paths: {{/a: 1, /b: {{get: [], parameters: 3}}}}\ndefinitions: 7\nsecurityDefinitions: x\nparameters: [1]\n"
            ),
            "wrong-field-type",
        ),
    ] {
        let linted = project::text(&text);
        assert!(linted.names().contains(&name), "{text}\n{}", linted.lines());
    }
}

/// Swagger 2.0 documents of the corpus, each with a request and its correct errors.
const CORPUS: &[(&str, &str, &str, &[&str])] = &[
    // Swagger 2.0 parameters have no `examples`.
    (
        "gluecon",
        "example1_from_._Different_requestbody.md.yaml",
        "POST",
        &["unknown-field"],
    ),
    ("resolution/twolevel", "index.yaml", "GET", &[]),
    ("swagger2openapi", "swagger.yaml", "GET", &[]),
    ("fiendish", "ref-encoding2.yaml", "GET", &[]),
];

#[test]
fn all_documents_of_the_corpus_build() {
    let corpus = corpus::folder();
    for (folder, name, method, errors) in CORPUS {
        let folder = corpus.join("conformance/mermade-3.0/pass").join(folder);
        let mut texts: Vec<(String, String)> = vec![(
            "gateway.yaml".into(),
            format!(
                "version: 1\nname: s\nupstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}\ndefaults: {{upstream: u, security: upstream, timeout: 5s}}\napis: {{a: {{path: \"{name}\"}}}}\n"
            ),
        )];
        let mut waiting = vec![folder.clone()];
        while let Some(here) = waiting.pop() {
            for entry in std::fs::read_dir(here).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    waiting.push(path);
                } else if let Ok(text) = std::fs::read_to_string(&path) {
                    let inside = path.strip_prefix(&folder).expect("below");
                    texts.push((inside.to_string_lossy().into_owned(), text));
                }
            }
        }
        let texts = texts
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        let files = Files::in_memory(texts, Limits::default());
        let levels = errors
            .iter()
            .map(|name| ((*name).to_owned(), Some(diag::Level::Warn)));
        let compiled = model::compile::project(files, &levels.collect());
        let found: Vec<&str> = compiled
            .findings
            .iter()
            .map(|finding| finding.lint.name)
            .filter(|name| *name != "open-operations")
            .collect();
        assert_eq!(found, *errors, "{name}");
        let gateway = compiled.lowered.expect("it is built").gateway;
        let operations: Vec<&str> = gateway
            .apis
            .iter()
            .flat_map(|api| api.operations.iter())
            .map(|operation| &*operation.method)
            .collect();
        assert_eq!(operations, [*method], "{name}");
    }
}

/// Findings of a 2.0 document, each with the text at its location and its rule.
fn findings_of(text: &str) -> Vec<(String, &'static str)> {
    let linted = project::text(&format!("{HEAD}{text}"));
    let findings = linted.findings.iter();
    let findings = findings.filter(|finding| finding.level >= diag::Level::Warn);
    let lines = findings.map(|finding| {
        let at = linted.files.sources.text(finding.span).to_owned();
        (at, finding.lint.name)
    });
    lines.collect()
}

#[test]
fn unconvertible_swagger_parameters_are_reported() {
    let operation = |parameters: &str| {
        format!(
            "paths:\n  /a:\n    post:\n      consumes: [application/x-www-form-urlencoded]\n      parameters: [{parameters}]\n\
\x20     responses: {{'200': {{description: ok}}}}\n"
        )
    };
    let body = "{name: b, in: body, schema: {type: object}}";
    let broken = "{name: c, in: body, schema: {$ref: '#/definitions/Gone'}}";
    let form = "{name: f, in: formData, type: string}";
    assert_eq!(findings_of(&operation(body)), []);
    assert_eq!(findings_of(&operation(form)), []);
    for (parameters, more) in [
        (format!("{body}, {body}"), None),
        (format!("{body}, {form}"), None),
        (format!("{form}, {body}"), None),
        (format!("{body}, {broken}"), Some("'#/definitions/Gone'")),
    ] {
        let found = findings_of(&operation(&parameters));
        let mut expected = vec![("name".to_owned(), "several-bodies")];
        expected.extend(more.map(|text| (text.to_owned(), "unresolved-reference")));
        assert_eq!(found, expected, "{parameters}");
    }
    // The path item has an invalid parameter, and the operation replaces this parameter.
    let replaced = operation(body).replace(
        "    post:",
        &format!("    parameters: [{broken}]\n    post:"),
    );
    assert_eq!(
        findings_of(&replaced),
        [("'#/definitions/Gone'".to_owned(), "unresolved-reference")]
    );
    let mixed =
        operation(form).replace("    post:", &format!("    parameters: [{body}]\n    post:"));
    assert_eq!(findings_of(&mixed), [("name".to_owned(), "several-bodies")]);
    for (root, at) in [
        ("host: h\nschemes: [https, ftp]\npaths: {}\n", "ftp"),
        ("host: h\nbasePath: v1\npaths: {}\n", "v1"),
        ("paths: {}\ndefinitions: {A: {type: file}}\n", "file"),
        (
            "paths: {}\ndefinitions: {A: {type: object, properties: {a: {type: file}}}}\n",
            "file",
        ),
    ] {
        let found = findings_of(root);
        let found: Vec<_> = found
            .iter()
            .filter(|(_, name)| *name == "unknown-value")
            .map(|(text, _)| text.as_str())
            .collect();
        assert_eq!(found, [at], "{root}");
    }
}
