//! Tests of the allowed content of OpenAPI objects by version, and of the targets of links. A
//! finding is written as its name, the text at its location, and its level.

use crate::project;

fn findings_of_text(version: &str, rest: &str) -> Vec<String> {
    let text = format!("openapi: {version}\ninfo: {{title: t, version: \"1\"}}\n{rest}");
    finding_lines(&project::memory(&[("openapi.yaml", &text)]))
}

fn finding_lines(linted: &project::Linted) -> Vec<String> {
    let line = |finding: &diag::Diagnostic| {
        let text = linted.files.sources.text(finding.span);
        format!("{} at {text} {}", finding.lint.name, finding.level.name())
    };
    linted.findings.iter().map(line).collect()
}

#[test]
fn keywords_are_checked_by_openapi_version() {
    let schema = |text: &str| format!("paths: {{}}\ncomponents: {{schemas: {{A: {text}}}}}\n");
    let parameter =
        |text: &str| format!("paths: {{}}\ncomponents: {{parameters: {{P: {text}}}}}\n");
    let header = |text: &str| format!("paths: {{}}\ncomponents: {{headers: {{H: {text}}}}}\n");
    // A document, and its findings as OpenAPI 3.0, 3.1 and 3.2.
    let cases: Vec<(String, [&[&str]; 3])> = vec![
        (
            schema("{type: [string, 'null']}"),
            [
                &["type-of-other-version at [string, 'null'] error"],
                &[],
                &[],
            ],
        ),
        (
            schema("{type: 'null'}"),
            [&["type-of-other-version at 'null' error"], &[], &[]],
        ),
        (
            schema("{type: sting}"),
            [&["unknown-value at sting error"]; 3],
        ),
        (schema("{type: 1}"), [&["wrong-field-type at 1 error"]; 3]),
        (
            schema("{type: [string, string]}"),
            [
                &["type-of-other-version at [string, string] error"],
                &["duplicate-type at string warn"],
                &["duplicate-type at string warn"],
            ],
        ),
        (
            schema("{const: 1}"),
            [&["unknown-keyword at const warn"], &[], &[]],
        ),
        (
            schema("{additionalItems: false}"),
            [
                &["unknown-keyword at additionalItems warn"],
                &["keyword-of-older-draft at additionalItems warn"],
                &["keyword-of-older-draft at additionalItems warn"],
            ],
        ),
        (
            schema("{type: number, multipleOf: 0}"),
            [&["wrong-field-type at 0 error"]; 3],
        ),
        (
            schema("{type: array, items: [{type: string}]}"),
            [&["wrong-field-type at [{type: string}] error"]; 3],
        ),
        (
            schema("{type: string, nullable: true}"),
            [
                &[],
                &["nullable-without-effect at nullable warn"],
                &["nullable-without-effect at nullable warn"],
            ],
        ),
        (
            schema("{type: string, xml: {nodeType: atribute}}"),
            [
                &["unknown-field at nodeType error"],
                &["unknown-field at nodeType error"],
                &["unknown-value at atribute error"],
            ],
        ),
        (
            parameter("{name: p, in: header, allowEmptyValue: true, schema: {}}"),
            [
                &["misplaced-empty-value at allowEmptyValue warn"],
                &["misplaced-empty-value at allowEmptyValue error"],
                &["misplaced-empty-value at allowEmptyValue error"],
            ],
        ),
        (
            parameter("{name: p, in: query, allowEmptyValue: true, schema: {}}"),
            [&[]; 3],
        ),
        (
            parameter("{name: p, in: cookie, allowReserved: true, schema: {}}"),
            [
                &["misplaced-style at allowReserved warn"],
                &["misplaced-style at allowReserved error"],
                &[],
            ],
        ),
        (
            parameter("{name: p, in: query, example: 1, content: {text/plain: {}}}"),
            [
                &["misplaced-style at example error"],
                &["misplaced-style at example error"],
                &[],
            ],
        ),
        (
            header("{allowReserved: true, allowEmptyValue: true, schema: {}}"),
            [
                &[
                    "misplaced-style at allowReserved warn",
                    "misplaced-empty-value at allowEmptyValue warn",
                ],
                &[
                    "misplaced-style at allowReserved error",
                    "misplaced-empty-value at allowEmptyValue error",
                ],
                &[
                    "misplaced-style at allowReserved error",
                    "misplaced-empty-value at allowEmptyValue error",
                ],
            ],
        ),
        (
            header("{style: form, schema: {}}"),
            [&["unknown-value at form error"]; 3],
        ),
        (
            "paths: {}\nwebhooks: {}\n".to_owned(),
            [&["unknown-field at webhooks error"], &[], &[]],
        ),
        (
            "paths: {}\n$self: a\n".to_owned(),
            [
                &["unknown-field at $self error"],
                &["unknown-field at $self error"],
                &[],
            ],
        ),
    ];
    for (text, expected) in cases {
        for (version, expected) in ["3.0.4", "3.1.1", "3.2.0"].iter().zip(expected) {
            assert_eq!(
                findings_of_text(version, &text),
                expected,
                "{version}: {text}"
            );
        }
    }
}

#[test]
fn swagger_fields_have_their_new_place_as_help() {
    let text = "openapi: 3.0.3
info: {title: t, version: \"1\"}
host: a.example
definitions: {}
paths:
  /a:
    get:
      produces: [text/plain]
      parameters: [{name: p, in: query, type: string, schema: {}}]
      responses: {'200': {description: ok, schema: {}}}
";
    let linted = project::text(text);
    let helps: Vec<&str> = linted
        .findings
        .iter()
        .filter_map(|finding| finding.help.as_deref())
        .collect();
    for (help, word) in helps.iter().zip([
        "`servers:",
        "`components.schemas`",
        "`content`",
        "`schema`",
        "`content:",
    ]) {
        assert!(help.contains(word), "{help}");
    }
    assert_eq!(linted.names(), ["unknown-field"; 5], "{}", linted.lines());
}

#[test]
fn links_lead_to_operations_by_id_and_by_reference() {
    let document = "openapi: 3.1.0
info: {title: t, version: \"1\"}
paths:
  /a/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: getA, responses: {'200': {description: ok}}}
  /b: {$ref: other.yaml}
webhooks: {w: {post: {operationId: hook, responses: {'200': {description: ok}}}}}
components:
  links:
    A: {operationId: getA}
    B: {operationId: inOther}
    C: {operationId: hook}
    D: {operationRef: '#/paths/~1a~1%7Bid%7D/get'}
    E: {operationRef: 'linked.yaml#/paths/~1c/put'}
    F: {operationRef: 'https://elsewhere.example/api.yaml#/paths/~1a/get'}
    G: {operationId: getB}
    H: {operationRef: '#/paths/~1a~1{id}/put'}
    I: {operationRef: '#/paths/~1a~1{id}'}
    J: {operationRef: 'gone.yaml#/paths/~1c/put'}
";
    let other = "get: {operationId: inOther, responses: {'200': {description: ok}}}\n";
    let linked = "paths: {/c: {put: {responses: {'200': {description: ok}}}}}\n";
    let linted = project::memory(&[
        ("openapi.yaml", document),
        ("other.yaml", other),
        ("linked.yaml", linked),
    ]);
    assert_eq!(
        finding_lines(&linted),
        [
            "unknown-link-operation at getB warn",
            "unknown-link-operation at '#/paths/~1a~1{id}/put' warn",
            "unknown-link-operation at '#/paths/~1a~1{id}' warn",
            "unknown-link-operation at 'gone.yaml#/paths/~1c/put' warn",
        ],
        "{}",
        linted.lines()
    );
}

#[test]
fn many_links_take_linear_time() {
    let mut text = String::from("openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths:\n");
    for index in 0..5_000 {
        text.push_str(&format!(
            "  /p{index}: {{get: {{operationId: o{index}, responses: {{'200': {{description: ok, links: {{l: {{operationId: o{}}}}}}}}}}}}}\n",
            4_999 - index
        ));
    }
    let start = std::time::Instant::now();
    let linted = project::text(&text);
    assert_eq!(linted.names(), Vec::<&str>::new());
    // A search through all operations for each link would take minutes.
    assert!(
        start.elapsed() < std::time::Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

/// Names of rules, with their levels.
type RuleLevels = &'static [(&'static str, diag::Level)];

#[test]
fn plausible_but_wrong_values_are_reported() {
    use diag::Level::{Error, Warn};
    let path = |path: &str| format!("paths: {{{path}: {{}}}}\n");
    let schema = |text: &str| format!("paths: {{}}\ncomponents: {{schemas: {{A: {{{text}}}}}}}\n");
    let parameters = |list: &str| format!("paths: {{/a: {{parameters: [{list}]}}}}\n");
    const TEMPLATE: &str = "unsupported-template";
    const UNROUTABLE: &str = "unroutable-template";
    const FORMAT: &str = "value-of-other-format";
    let cases: Vec<(&str, String, RuleLevels)> = vec![
        ("3.1.0", path("\"/a%zz\""), &[(TEMPLATE, Error)]),
        ("3.1.0", path("\"/a%0\""), &[(TEMPLATE, Error)]),
        ("3.1.0", path("\"/a%00b\""), &[(UNROUTABLE, Error)]),
        ("3.1.0", path("\"/a\\\\b\""), &[(TEMPLATE, Warn)]),
        ("3.1.0", path("\"/a b\""), &[(TEMPLATE, Warn)]),
        ("3.1.0", path("\"/a\\x01\""), &[(TEMPLATE, Error)]),
        ("3.1.0", path("\"/a/{x}{y}\""), &[(UNROUTABLE, Error)]),
        (
            "3.1.0",
            path("\"/{a}-{b}-{c}-{d}-{e}-{f}-{g}-{h}-{i}-{j}/{k}\""),
            &[(UNROUTABLE, Error)],
        ),
        (
            "3.1.0",
            path("\"/{a}-{b}-{c}-{d}/{e}-{f}-{g}-{h}-{i}\""),
            &[],
        ),
        ("3.1.0", path("/*"), &[("foreign-template", Error)]),
        ("3.1.0", path("/w/**"), &[(UNROUTABLE, Error)]),
        ("3.1.0", path("/w*/a%20b"), &[]),
        ("3.1.0", schema("type: []"), &[("empty-alternatives", Warn)]),
        (
            "3.1.0",
            schema("$anchor: 1bad"),
            &[("malformed-schema-name", Error)],
        ),
        (
            "3.1.0",
            schema("$id: 'https://a.example/b#c'"),
            &[("malformed-schema-name", Error)],
        ),
        ("3.1.0", schema("$id: 'https://a.example/b#'"), &[]),
        (
            "3.1.0",
            schema("type: string, format: date, default: 2024-2-1"),
            &[(FORMAT, Warn)],
        ),
        (
            "3.0.3",
            schema("type: string, format: uuid, example: x"),
            &[(FORMAT, Warn)],
        ),
        (
            "3.1.0",
            schema("type: string, format: ipv4, examples: [1.2.3.4, 1.2.3.400]"),
            &[(FORMAT, Warn)],
        ),
        (
            "3.0.3",
            schema("type: string, format: date-time, example: '2024-02-01T00:00:00Z'"),
            &[],
        ),
        (
            "3.0.3",
            schema("type: string, format: colour, example: x"),
            &[],
        ),
        (
            "3.0.3",
            parameters("{name: X-A, in: header, schema: {}}, {name: x-a, in: header, schema: {}}"),
            &[("duplicate-parameter", Error)],
        ),
        (
            "3.0.3",
            parameters("{name: A, in: query, schema: {}}, {name: a, in: query, schema: {}}"),
            &[],
        ),
        (
            "3.0.3",
            "paths: {/a: {parameters: [{$ref: '#/components/parameters/P', description: x}]}}\n\
components: {parameters: {P: {name: p, in: query, schema: {}}}}\n"
                .to_owned(),
            &[("ignored-sibling", Warn)],
        ),
        (
            "3.1.0",
            "paths: {/a: {parameters: [{$ref: '#/components/parameters/P', description: x}]}}\n\
components: {parameters: {P: {name: p, in: query, schema: {}}}}\n"
                .to_owned(),
            &[],
        ),
        (
            "3.0.3",
            "paths: {/a: {}, /b: {$ref: '#/paths/~1a', parameters: []}}\n".to_owned(),
            &[("ignored-path-item", Error)],
        ),
        (
            "3.1.0",
            parameters(
                "{name: q, in: querystring, content: {text/plain: {}}}, {name: p, in: query, schema: {}}",
            ),
            &[("unknown-value", Error)],
        ),
    ];
    for (version, text, expected) in cases {
        let text = format!("openapi: {version}\ninfo: {{title: t, version: \"1\"}}\n{text}");
        let linted = project::text(&text);
        let found: Vec<(&str, diag::Level)> = linted
            .findings
            .iter()
            .filter(|finding| finding.level >= Warn)
            .map(|finding| (finding.lint.name, finding.level))
            .collect();
        assert_eq!(found, expected, "{text}\n{}", linted.lines());
    }
}

#[test]
fn key_near_x_gateway_is_corrected() {
    for (at, key, meant) in [
        ("root", "x_gateway", "x-gateway"),
        ("root", "xgateway", "x-gateway"),
        ("path", "x-gateways", "x-gateway"),
        ("path", "X_Gateway", "x-gateway"),
        ("operation", "x-gateway_lint", "x-gateway-lint"),
        ("operation", "x_gateway_lint", "x-gateway-lint"),
        ("operation", "x-gateway-lnt", "x-gateway-lint"),
        ("operation", "x_gateway-ext-a", "x-gateway-ext-a"),
        ("schema", "x_gateway", "x-gateway"),
        ("schema", "xgateway", "x-gateway"),
    ] {
        let at = |here: &str| match at == here {
            true => format!("{key}: {{}}, "),
            false => String::new(),
        };
        for version in ["3.0.3", "3.1.0"] {
            let linted = project::text(&format!(
                "{{openapi: {version}, {}info: {{title: t, version: '1'}}, paths: {{/a: {{{}get: {{{}responses: {{'200': {{description: \
                 ok}}}}}}}}}}, components: {{schemas: {{A: {{{}type: string}}}}}}}}\n",
                at("root"),
                at("path"),
                at("operation"),
                at("schema")
            ));
            assert_eq!(linted.names(), ["misspelt-extension"], "{key}");
            assert_eq!(linted.findings[0].fix[0].text, meant, "{key}");
        }
    }
}

#[test]
fn part_of_an_all_of_may_require_what_others_describe() {
    let document = |used: &str| {
        let text = format!(
            "openapi: 3.0.3\ninfo: {{title: t, version: '1'}}\npaths: {{}}\ncomponents:\n  schemas:\n    Base: {{properties: {{id: {{type: string}}}}}}\n    \
             Part: {{required: [id, size], properties: {{size: {{type: integer}}}}}}\n{used}"
        );
        project::text(&text).names().join(" ")
    };
    assert_eq!(document(""), "required-without-property");
    let both = "[{$ref: '#/components/schemas/Base'}, {$ref: '#/components/schemas/Part'}]";
    assert_eq!(document(&format!("    All: {{allOf: {both}}}\n")), "");
    assert_eq!(
        document(
            "    All: {properties: {id: {type: string}}, allOf: [{$ref: '#/components/schemas/Part'}]}\n"
        ),
        ""
    );
    // No schema of the `allOf` describes the required property `id`.
    let part = "[{$ref: '#/components/schemas/Part'}, {properties: {other: {type: string}}}]";
    assert_eq!(
        document(&format!("    All: {{allOf: {part}}}\n")),
        "required-without-property"
    );
}

#[test]
fn heavy_schema_leaves_the_other_examples_checked() {
    let deep = "{d: {d: {d: {d: {d: {d: {d: {d: {d: {d: {d: {d: 1}}}}}}}}}}}}";
    let this = "$ref: '#/components/schemas/Deep'";
    let linted = project::text(&format!(
        "openapi: 3.0.3\ninfo: {{title: t, version: '1'}}\npaths: {{}}\ncomponents:\n  schemas:\n    \
         Deep: {{oneOf: [{{{this}}}, {{{this}}}, {{type: object, properties: {{d: {{{this}}}}}}}], example: {deep}}}\n    \
         More: {{properties: {{d: {{{this}}}}}, example: {{d: {deep}}}}}\n    \
         Z: {{type: integer, example: one}}\n"
    ));
    let mut names = linted.names();
    names.sort_unstable();
    assert_eq!(
        names,
        ["example-outside-schema", "unchecked-value"],
        "{}",
        linted.lines()
    );
    assert!(
        linted.lines().contains("this and 1 more values"),
        "{}",
        linted.lines()
    );
}
