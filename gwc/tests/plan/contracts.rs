//! Tests of contracts in plans: exact lines for single edits, and a line for each edit.

use plan::{Plan, Section, compare};

use crate::dice::Dice;
use crate::{edit, side};

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
";

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
paths:
  /orders:
    get:
      operationId: list
      parameters:
        - {name: limit, in: query, schema: {type: integer, maximum: 100}}
        - {name: X-Trace, in: header, schema: {type: string}}
      responses:
        \"200\":
          description: fine
          headers: {X-Rate: {required: true, schema: {type: integer}}}
          content: {application/json: {schema: {$ref: '#/components/schemas/Page'}}}
    post:
      operationId: create
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}, multipart/form-data: {schema: {type: object}, encoding: {file: {contentType: image/png}}}}}
      responses: {\"201\": {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}}
      callbacks: {paid: {'{$request.body#/url}': {post: {requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Line'}}}}, responses: {\"204\": {description: d}}}}}}
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string, format: uuid}}]
    get: {operationId: one, responses: {\"200\": {description: fine, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}}}
webhooks:
  shipped: {post: {requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Line'}}}}, responses: {\"200\": {description: d}}}}
components:
  schemas:
    Page: {type: object, required: [orders], properties: {orders: {type: array, items: {$ref: '#/components/schemas/Order'}}, next: {type: [string, 'null']}}}
    Order:
      type: object
      required: [id, lines]
      properties:
        id: {type: string, maxLength: 36}
        state: {type: string, enum: [open, paid, sent], default: open}
        lines: {type: array, minItems: 1, items: {$ref: '#/components/schemas/Line'}}
        parent: {$ref: '#/components/schemas/Order'}
        price: {oneOf: [{type: integer}, {type: object, properties: {amount: {type: number, multipleOf: 0.01}}}]}
    Line: {type: object, properties: {sku: {type: string, pattern: '^[A-Z]+$'}, count: {type: integer}}, additionalProperties: false}
";

fn changed(from: &str, to: &str) -> Plan {
    between(DOCUMENT, &edit(DOCUMENT, from, to))
}

fn between(old: &str, new: &str) -> Plan {
    let side = |text: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", text)]);
    let (old, new) = (side(old), side(new));
    let plan = compare(Some(&old), &new).expect("both sides build");
    assert_eq!(
        old.bundle == new.bundle,
        plan.changes.iter().all(|it| it.class == plan::Class::Doc)
    );
    plan
}

/// Lines about clients, as `LEVEL ID OPERATIONS SUBJECT: OLD -> NEW`.
fn break_lines(plan: &Plan) -> Vec<String> {
    let line = |change: &plan::Change| {
        assert_eq!(change.section, Section::Breaking);
        format!(
            "{} {} {} {}: {} -> {}",
            change.level(),
            change.id,
            change.operations.join("+"),
            change.subject,
            change.old,
            change.new
        )
    };
    let changes = plan.changes.iter();
    let changes = changes.filter(|change| change.section != Section::Docs);
    changes.map(line).collect()
}

#[test]
fn changed_response_type_is_one_line_with_both_values() {
    assert_eq!(
        break_lines(&changed(
            "{type: integer, maximum: 100}",
            "{type: integer, maximum: 50}"
        )),
        ["error request-parameter-max-decreased a/list query limit maximum: 100 -> 50"]
    );
    assert_eq!(
        break_lines(&changed(
            "X-Rate: {required: true",
            "X-Rate: {required: false"
        )),
        [
            "error response-header-became-optional a/list response 200 header x-rate required: true -> false"
        ]
    );
    assert_eq!(
        break_lines(&changed(
            "requestBody: {required: true, content",
            "requestBody: {content"
        )),
        ["info request-body-became-optional a/create body required: true -> false"]
    );
    assert_eq!(
        break_lines(&changed(
            "operationId: one,",
            "operationId: one, deprecated: true,"
        )),
        ["info endpoint-deprecated a/one operation deprecated: false -> true"]
    );
    assert_eq!(
        break_lines(&changed("image/png", "image/jpeg")),
        [
            r#"error request-serialization-changed a/create body multipart/form-data encoding: {"file":{"contentType":"image/png"}} -> {"file":{"contentType":"image/jpeg"}}"#
        ]
    );
    assert_eq!(
        break_lines(&changed("format: uuid", "format: date")),
        [r#"error request-parameter-type-changed a/one path id format: "uuid" -> "date""#]
    );
}

#[test]
fn changed_shared_schema_is_one_line_a_direction() {
    let lines = break_lines(&changed("maxLength: 36", "maxLength: 40"));
    assert_eq!(
        lines,
        [
            "error response-property-max-length-increased a/create+a/list+a/one response 200 body.id maxLength: 36 -> 40",
            "info request-property-max-length-increased a/create body.id maxLength: 36 -> 40",
        ]
    );
}

#[test]
fn a_difference_is_at_the_line_of_its_schema() {
    let line = |text: &str, of: &str| {
        let at = text.lines().position(|line| line.contains(of));
        u32::try_from(at.expect("the text has the line") + 1).unwrap()
    };
    let cases = [
        ("maxLength: 36", "maxLength: 40", "id: {type: string"),
        ("count: {type: integer}", "count: {type: string}", "Line: {"),
        ("maximum: 100", "maximum: 50", "name: limit"),
        (
            "X-Rate: {required: true",
            "X-Rate: {required: false",
            "X-Rate",
        ),
        (
            "required: [id, lines]",
            "required: [id]",
            "lines: {type: array",
        ),
    ];
    for (from, to, of) in cases {
        let new = edit(DOCUMENT, from, to);
        for change in between(DOCUMENT, &new).changes {
            let lines = [&change.source_old, &change.source_new]
                .map(|place| place.as_ref().expect("a place").line);
            assert_eq!(
                lines,
                [line(DOCUMENT, of), line(&new, of)],
                "{from}: {change:?}"
            );
        }
    }
}

#[test]
fn other_forms_of_a_schema_break_nothing() {
    let forms = [
        (
            "{type: integer, maximum: 100}",
            "{type: [integer], maximum: 100}",
        ),
        (
            "{type: integer, maximum: 100}",
            "{type: integer, maximum: 100, allOf: [{}]}",
        ),
        (
            "{type: integer, maximum: 100}",
            "{allOf: [{type: integer, maximum: 100}, {title: t}]}",
        ),
        (
            "required: [orders], properties",
            "required: [orders], patternProperties: {}, properties",
        ),
        (
            "{type: object, properties: {sku",
            "{type: object, required: [], properties: {sku",
        ),
    ];
    for (from, to) in forms {
        let plan = changed(from, to);
        assert_eq!(
            plan.count(plan::Class::Break),
            0,
            "{from} -> {to}: {:#?}",
            break_lines(&plan)
        );
    }
}

#[test]
fn encoding_of_a_new_property_breaks_nothing() {
    const BODY: &str = "{schema: {type: object}, encoding: {file: {contentType: image/png}}}";
    let form = |names: &str| {
        let part = |name: &str| {
            (
                format!("{name}: {{type: string}}"),
                format!("{name}: {{contentType: image/png}}"),
            )
        };
        let (properties, encoding): (Vec<_>, Vec<_>) = names.split(' ').map(part).unzip();
        let (properties, encoding) = (properties.join(", "), encoding.join(", "));
        edit(
            DOCUMENT,
            BODY,
            &format!(
                "{{schema: {{type: object, properties: {{{properties}}}}}, encoding: {{{encoding}}}}}"
            ),
        )
    };
    assert_eq!(
        break_lines(&between(&form("file"), &form("file note"))),
        [
            r#"info new-optional-request-property a/create body.note properties: null -> {"type":"string"}"#
        ]
    );
}

#[test]
fn a_renamed_operation_hides_no_break() {
    let renamed = edit(DOCUMENT, "operationId: one", "operationId: single");
    let new = edit(&renamed, "format: uuid", "format: date");
    let plan = between(DOCUMENT, &new);
    let breaks = plan
        .changes
        .iter()
        .filter(|change| change.class == plan::Class::Break);
    let ids: Vec<_> = breaks
        .map(|change| (change.id, &change.operations[..]))
        .collect();
    assert_eq!(
        ids,
        [(
            "request-parameter-type-changed",
            &["a/single".to_owned()][..]
        )]
    );
}

#[test]
fn removed_parameter_and_added_response_have_lines() {
    assert_eq!(
        break_lines(&changed(
            "        - {name: X-Trace, in: header, schema: {type: string}}\n",
            ""
        )),
        [
            r#"warn request-parameter-removed a/list header x-trace: {"schema":{"type":"string"}} -> null"#
        ]
    );
    assert_eq!(
        break_lines(&changed(
            "responses: {\"201\":",
            "responses: {\"400\": {description: no}, \"201\":"
        )),
        [r#"info response-non-success-status-added a/create response 400: null -> "400""#]
    );
}

#[test]
fn callbacks_and_webhooks_are_compared() {
    let lines = break_lines(&changed("count: {type: integer}", "count: {type: string}"));
    assert_eq!(
        lines,
        [
            r#"error response-property-type-changed  webhook shipped POST body.count type: "integer" -> "string""#,
            r#"error request-property-type-changed a/create body.lines[].count type: "integer" -> "string""#,
            r#"error response-property-type-changed a/create+a/list+a/one response 200 body.lines[].count type: "integer" -> "string""#,
        ]
    );
    // The last change affects four messages: three responses and the body of the callback.
    let plan = changed("count: {type: integer}", "count: {type: string}");
    let messages = |change: &plan::Change| change.message.as_ref().map(|one| one.messages);
    let counts: Vec<_> = plan.changes.iter().map(messages).collect();
    assert_eq!(counts, [Some(1), Some(1), Some(4)]);
    let gone = break_lines(&changed("  shipped: {post:", "  sent: {post:"));
    assert_eq!(gone.len(), 2, "{gone:#?}");
}

#[test]
fn wider_change_has_another_fingerprint() {
    let once = changed("maxLength: 36", "maxLength: 40");
    let twice = changed("maxLength: 36", "maxLength: 50");
    for change in &once.changes {
        let mut again = twice.changes.iter();
        assert!(!again.any(|later| later.fingerprint == change.fingerprint));
    }
}

#[test]
fn changes_that_break_no_client_have_lines() {
    let only = |from: &str, to: &str, count: usize| {
        let lines = break_lines(&changed(from, to));
        assert_eq!(lines.len(), count, "{from} -> {to}: {lines:#?}");
    };
    only("format: uuid", "format: other", 1);
    only("default: open", "default: sent", 2);
    only(
        "parent: {$ref: '#/components/schemas/Order'}",
        "parent: {allOf: [{$ref: '#/components/schemas/Order'}], readOnly: true}",
        4,
    );
    let renamed = DOCUMENT
        .replace("{id}", "{key}")
        .replace("[{name: id,", "[{name: key,");
    let lines = break_lines(&between(DOCUMENT, &renamed));
    assert_eq!(
        lines,
        [r#"info path-parameter-renamed a/one path key name: "id" -> "key""#]
    );
    let plan = changed("operationId: one", "operationId: single");
    assert_eq!(
        crate::lines(&plan),
        ["docs changed operation-renamed a/single"]
    );
}

/// Single edits of schemas, parameters and responses: old and new text.
const EDITS: &[(&str, &str)] = &[
    ("type: integer", "type: number"),
    ("type: string", "type: boolean"),
    ("type: object", "type: array"),
    ("maximum: 100", "exclusiveMaximum: 100"),
    ("required: [id, lines]", "required: [id]"),
    ("required: [orders]", "required: [orders, next]"),
    ("enum: [open, paid, sent]", "enum: [open, paid]"),
    ("enum: [open, paid, sent]", "enum: [open, paid, sent, 1]"),
    ("default: open", "default: paid"),
    ("minItems: 1", "minItems: 2"),
    ("multipleOf: 0.01", "multipleOf: 0.001"),
    ("pattern: '^[A-Z]+$'", "pattern: '^[a-z]+$'"),
    ("additionalProperties: false", "additionalProperties: true"),
    (
        "additionalProperties: false",
        "additionalProperties: {type: string}",
    ),
    ("[string, 'null']", "[string]"),
    (
        "{type: integer}, {type: object",
        "{type: integer}, {type: integer}, {type: object",
    ),
    ("oneOf", "anyOf"),
    (
        "parent: {$ref: '#/components/schemas/Order'}",
        "parent: {$ref: '#/components/schemas/Page'}",
    ),
    (
        "items: {$ref: '#/components/schemas/Line'}",
        "items: {$ref: '#/components/schemas/Order'}",
    ),
    ("sku:", "code:"),
    ("maxLength: 36", "minLength: 36"),
    (
        "id: {type: string, maxLength: 36}",
        "id: {allOf: [{type: string, maxLength: 36}, {minLength: 1}]}",
    ),
    (
        "type: array, minItems: 1",
        "type: array, readOnly: true, minItems: 1",
    ),
    (
        "in: query, schema",
        "in: query, style: pipeDelimited, explode: false, schema",
    ),
    ("in: query, schema", "in: cookie, schema"),
    ("in: query, schema", "in: query, required: true, schema"),
    ("in: query, schema", "in: query, deprecated: true, schema"),
    ("application/json", "application/xml"),
    ("\"204\"", "\"205\""),
    ("paid: {'{$req", "settled: {'{$req"),
    (
        "contentType: image/png",
        "contentType: image/png, headers: {X-A: {schema: {type: string}}}",
    ),
];

#[test]
fn every_edit_of_a_contract_has_lines() {
    let mut dice = Dice::new(11);
    let rounds = if prerequisite::is_full() { 2_000 } else { 150 };
    for round in 0..rounds {
        let (from, to) = dice.pick(EDITS);
        let places: Vec<usize> = DOCUMENT.match_indices(from).map(|(at, _)| at).collect();
        let at = dice.pick(&places);
        let new = format!("{}{to}{}", &DOCUMENT[..at], &DOCUMENT[at + from.len()..]);
        let plan = between(DOCUMENT, &new);
        assert!(!plan.no_op, "{round}: {from} -> {to}");
        let back = between(&new, DOCUMENT);
        assert!(
            !break_lines(&plan).is_empty() && !break_lines(&back).is_empty(),
            "{round}: {from} -> {to}"
        );
    }
}

#[test]
fn breaks_of_two_media_types_differ() {
    let document = |json: &str, xml: &str| {
        format!("openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /x: {{post: {{operationId: x, requestBody: {{content: {{application/json: {{schema: {{type: object, properties: {{a: {{type: string}}, j: {{type: string}}}}{json}}}}}, application/xml: {{schema: {{type: object, properties: {{a: {{type: string}}, x: {{type: string}}}}{xml}}}}}}}}}, responses: {{\"200\": {{description: d}}}}}}}}
")
    };
    let needs = ", required: [a]";
    let plans = [(needs, ""), ("", needs), (needs, needs)]
        .map(|(json, xml)| between(&document("", ""), &document(json, xml)));
    assert_eq!(
        break_lines(&plans[2]),
        [
            "error request-property-became-required a/x body.a required (application/json): false -> true",
            "error request-property-became-required a/x body.a required (application/xml): false -> true",
        ]
    );
    assert_fingerprints(plans);
}

/// Asserts that two single breaks have different fingerprints, and that a plan with both breaks has
/// the same two fingerprints.
fn assert_fingerprints([one, other, both]: [Plan; 3]) {
    let of = |plan: &Plan| -> Vec<String> {
        let all = plan.changes.iter();
        all.map(|change| change.fingerprint.clone()).collect()
    };
    assert_eq!((of(&one).len(), of(&other).len()), (1, 1));
    assert_ne!(of(&one), of(&other));
    let mut single = [of(&one), of(&other)].concat();
    let mut both = of(&both);
    single.sort();
    both.sort();
    assert_eq!(single, both);
}

#[test]
fn breaks_of_two_alternatives_differ() {
    let document = |cat: &str, dog: &str| {
        format!("openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /x: {{post: {{operationId: x, requestBody: {{content: {{application/json: {{schema: {{oneOf: [
    {{type: object, required: [k{cat}], properties: {{k: {{const: cat}}, name: {{type: string}}, purrs: {{type: boolean}}}}}},
    {{type: object, required: [k{dog}], properties: {{k: {{const: dog}}, name: {{type: string}}, barks: {{type: boolean}}}}}}]}}}}}}}}, responses: {{\"200\": {{description: d}}}}}}}}
")
    };
    let plans = [(", name", ""), ("", ", name"), (", name", ", name")]
        .map(|(cat, dog)| between(&document("", ""), &document(cat, dog)));
    assert_eq!(
        break_lines(&plans[2]),
        [
            "error request-property-became-required a/x body.name required (alternative 1): false -> true",
            "error request-property-became-required a/x body.name required (alternative 2): false -> true",
        ]
    );
    assert_fingerprints(plans);
}

#[test]
fn breaks_of_webhooks_of_two_apis_differ() {
    let document = |event: &str| {
        format!("openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths: {{}}
webhooks:
  shipped: {{post: {{requestBody: {{content: {{application/json: {{schema: {event}}}}}}}, responses: {{\"200\": {{description: d}}}}}}}}
")
    };
    let gateway = GATEWAY.replace(
        "{a: {path: api.yaml}}",
        "{a: {path: api.yaml, mount: {base_path: /a}}, b: {path: b.yaml, mount: {base_path: /b}}}",
    );
    let side = |a: &str, b: &str| {
        let (a, b) = (document(a), document(b));
        side(&[
            ("gateway.yaml", &*gateway),
            ("api.yaml", &a),
            ("b.yaml", &b),
        ])
    };
    let (closed, open) = ("{type: integer, maximum: 1}", "{type: integer}");
    let plans = [(open, closed), (closed, open), (open, open)]
        .map(|(a, b)| compare(Some(&side(closed, closed)), &side(a, b)).expect("both build"));
    assert_fingerprints(plans);
}

#[test]
fn break_behind_the_shown_schemas_has_a_line() {
    // The JSON of a plan's value contains at most 512 schemas.
    let big = |last: &str| {
        let all = (0..600).map(|at| format!("p{at:03}: {{type: string, maxLength: {at}}}"));
        let all: Vec<String> = all.collect();
        format!(
            "{{type: object, properties: {{{}, p999: {last}}}}}",
            all.join(", ")
        )
    };
    let document = |schema: &str| {
        format!("openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /x: {{get: {{operationId: x, responses: {{\"200\": {{description: d, content: {{application/json: {{schema: {{type: object, properties: {{{schema}}}}}}}}}}}}}}}}}
")
    };
    let (text, number) = (big("{type: string}"), big("{type: integer}"));
    let with = |schema: &str| document(&format!("big: {schema}"));
    assert_eq!(
        break_lines(&between(&with(&text), &with(&number))),
        [
            r#"error response-property-type-changed a/x response 200 body.big.p999 type: "string" -> "integer""#
        ]
    );
    let either = |schema: &str| with(&format!("{{oneOf: [{schema}, {{type: integer}}]}}"));
    let plan = between(&either(&text), &either(&number));
    assert!(
        plan.count(plan::Class::Break) > 0,
        "{:#?}",
        break_lines(&plan)
    );
    // The acknowledgement of a removed property does not apply to a property with another schema.
    let removed = [&text, &number].map(|big| between(&with(big), &document("")));
    let [one, other] = removed.map(|plan| plan.changes[0].fingerprint.clone());
    assert_ne!(one, other);
}
