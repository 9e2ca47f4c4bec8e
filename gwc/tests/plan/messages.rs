//! Tests of enforced descriptions of requests: each change that affects which requests `validate:
//! {request: block}` refuses must have a line with a class. Its witness must be evaluated by the
//! old and the new engine.

use model::compile::Purpose;
use plan::ask::Oracle;
use plan::{Outcome, Plan};

use crate::{edit, lines, plan};

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml, mount: {name: m, base_path: /v1}}}
auth: {keys: {kind: api_key}}
consumers:
  acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, validate: {request: block}}
";

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: [{key: []}]
paths:
  /orders:
    get:
      operationId: list
      parameters:
        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100}}
        - {name: state, in: query, schema: {type: array, items: {enum: [open, paid]}}}
        - {name: X-Trace, in: header, schema: {type: string, maxLength: 4}}
        - {name: theme, in: cookie, schema: {enum: [dark, light]}}
      responses: {\"200\": {description: fine}}
    post: {operationId: create, requestBody: {$ref: '#/components/requestBodies/Order'}, responses: {\"201\": {description: made}}}
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer, maximum: 99}}]
    put: {operationId: replace, requestBody: {$ref: '#/components/requestBodies/Order'}, responses: {\"200\": {description: fine}}}
  /forms:
    post:
      operationId: form
      requestBody: {required: true, content: {application/x-www-form-urlencoded: {schema: {type: object, required: [a], properties: {a: {type: string, maxLength: 2}}}}, multipart/form-data: {schema: {type: object, properties: {b: {type: string, maxLength: 2}}}}}}
      responses: {\"200\": {description: fine}}
components:
  requestBodies:
    Order: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}
  schemas:
    Order:
      type: object
      required: [lines]
      properties:
        note: {type: string, format: uuid}
        lines: {type: array, minItems: 1, maxItems: 2, items: {$ref: '#/components/schemas/Line'}}
    Line:
      type: object
      additionalProperties: false
      required: [sku]
      properties:
        sku: {type: string, maxLength: 3}
        count: {oneOf: [{type: integer, minimum: 1}, {type: 'null'}]}
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
";

fn changed(from: &str, to: &str) -> Plan {
    plan((GATEWAY, DOCUMENT), (GATEWAY, &edit(DOCUMENT, from, to)))
}

/// Lines about checks of requests, as `CLASS ID OPERATIONS SUBJECT: METHOD TARGET BODY old new`.
fn checks(plan: &Plan) -> Vec<String> {
    let all = plan.changes.iter();
    let all = all.filter(|one| one.message.is_none());
    let all = all.filter(|one| one.id.starts_with("request-") || one.id.starts_with("undeclared"));
    all.map(|one| {
        let outcome = |outcome: &Outcome| match outcome {
            Outcome::Refused { status } => status.to_string(),
            Outcome::Served { .. } => "served".to_owned(),
            other => format!("{other:?}"),
        };
        let witness = one.witness.as_ref().map_or_else(
            || "none".to_owned(),
            |witness| {
                let fields = witness.headers.iter();
                let fields = fields.filter(|(name, _)| name != "X-Key" && name != "x-key");
                let fields: String = fields
                    .map(|(name, value)| format!("{name}: {value} "))
                    .collect();
                format!(
                    "{} {} {fields}{} {} -> {}",
                    witness.method,
                    &witness.url["http://gateway/v1".len()..],
                    witness.body.as_deref().unwrap_or_default(),
                    outcome(&witness.old),
                    outcome(&witness.new)
                )
            },
        );
        let class = one.class.name();
        format!(
            "{class} {} {} {}: {witness}",
            one.id,
            one.operations.join("+"),
            one.subject
        )
    })
    .collect()
}

#[test]
fn widened_and_narrowed_checks_have_witnesses() {
    for (from, to, expected) in [
        (
            "maximum: 100",
            "maximum: 200",
            "relax request-check-widened a/list parameter query limit: GET /orders?limit=101  400 -> served",
        ),
        (
            "maximum: 100",
            "maximum: 50",
            "tighten request-check-narrowed a/list parameter query limit: GET /orders?limit=51  served -> 400",
        ),
        (
            "{enum: [open, paid]}",
            "{enum: [open, paid, sent]}",
            "relax request-check-widened a/list parameter query state: GET /orders?state=sent  400 -> served",
        ),
        (
            "maxLength: 4",
            "maxLength: 2",
            "tighten request-check-narrowed a/list parameter header x-trace: GET /orders x-trace: 0.5  served -> 400",
        ),
        (
            "{enum: [dark, light]}",
            "{enum: [dark]}",
            "tighten request-check-narrowed a/list parameter cookie theme: GET /orders cookie: theme=light  served -> 400",
        ),
        (
            "maximum: 99",
            "maximum: 100",
            "relax request-check-widened a/replace parameter path id: PUT /orders/100 content-type: application/json {\"lines\":[{\"sku\":\"a\"}]} 400 -> served",
        ),
        (
            "format: uuid",
            "format: date",
            "incomparable request-check-changed a/create+a/replace body application/json: POST /orders content-type: application/json {\"lines\":[{\"sku\":\"a\"}],\"note\":\"2000-01-01\"} 400 -> served",
        ),
        (
            "format: uuid",
            "format: email",
            "relax request-check-widened a/create+a/replace body application/json: POST /orders content-type: application/json {\"lines\":[{\"sku\":\"a\"}],\"note\":\"\"} 400 -> served",
        ),
        (
            "maxItems: 2",
            "maxItems: 3",
            "relax request-check-widened a/create+a/replace body application/json: POST /orders content-type: application/json {\"lines\":[{\"sku\":\"a\"},{\"sku\":\"a\"},{\"sku\":\"a\"}]} 400 -> served",
        ),
        (
            "sku: {type: string, maxLength: 3}",
            "sku: {type: string, maxLength: 4}",
            "relax request-check-widened a/create+a/replace body application/json: POST /orders content-type: application/json {\"lines\":[{\"sku\":\"0000\"}]} 400 -> served",
        ),
        (
            "required: [sku]",
            "required: [sku, count]",
            "tighten request-check-narrowed a/create+a/replace body application/json: POST /orders content-type: application/json {\"lines\":[{\"sku\":\"a\"}]} served -> 400",
        ),
        (
            "      additionalProperties: false\n",
            "",
            "relax request-check-widened a/create+a/replace body application/json: POST /orders content-type: application/json {\"lines\":[{\"sku\":\"a\",\"x\":0}]} 400 -> served",
        ),
        (
            "{type: 'null'}",
            "{type: 'null'}, {type: string}",
            "relax request-check-widened a/create+a/replace body application/json: POST /orders content-type: application/json {\"lines\":[{\"count\":\"\",\"sku\":\"a\"}]} 400 -> served",
        ),
        (
            "required: [a], ",
            "",
            "relax request-check-widened a/form body application/x-www-form-urlencoded: POST /forms content-type: application/x-www-form-urlencoded  400 -> served",
        ),
        (
            "b: {type: string, maxLength: 2}",
            "b: {type: string, maxLength: 1}",
            "tighten request-check-narrowed a/form body multipart/form-data: POST /forms content-type: multipart/form-data; boundary=b --b\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n-1\r\n--b--\r\n served -> 400",
        ),
        (
            "Order: {required: true, content",
            "Order: {content",
            "relax request-check-widened a/create+a/replace body: POST /orders  400 -> served",
        ),
        (
            "application/json: {schema",
            "application/json: {}, application/vnd.a+json: {schema",
            "weaken request-body-unchecked a/create+a/replace body: POST /orders content-type: application/json \"\" 400 -> served",
        ),
        (
            ", multipart/form-data: {schema: {type: object, properties: {b: {type: string, maxLength: 2}}}}",
            "",
            "tighten request-check-narrowed a/form body: POST /forms content-type: multipart/form-data; boundary=b --b--\r\n served -> 415",
        ),
        (
            "        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100}}\n",
            "",
            "relax request-check-widened a/list parameter query limit: GET /orders?limit=  400 -> served",
        ),
        (
            "requestBody: {$ref: '#/components/requestBodies/Order'}, responses: {\"201\"",
            "responses: {\"201\"",
            "weaken request-body-unchecked a/create body: POST /orders  400 -> served",
        ),
        (
            "{application/json: {schema: {$ref: '#/components/schemas/Order'}}}",
            "{application/json: {}}",
            "weaken request-body-unchecked a/create+a/replace body application/json: POST /orders content-type: application/json \"\" 400 -> served",
        ),
    ] {
        let plan = changed(from, to);
        assert_eq!(checks(&plan), [expected], "{from} -> {to}");
    }
}

/// Each row has a smaller and a larger limit of a schema (`x-gateway.limits`), or no larger limit.
/// Raising the limit relaxes the check, and the reverse change tightens it.
#[test]
fn limits_of_schemas_are_compared() {
    let note = "note: {type: string, format: uuid}";
    let with = |limits: &str| {
        let limited =
            format!("note: {{type: string, format: uuid, x-gateway: {{limits: {{{limits}}}}}}}");
        edit(DOCUMENT, note, &limited)
    };
    let between = |old: &str, new: &str| {
        let lines = checks(&plan((GATEWAY, old), (GATEWAY, new)));
        lines
            .into_iter()
            .map(|line| line.split(':').next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let relax = "relax request-check-widened a/create+a/replace body application/json";
    let tighten = "tighten request-check-narrowed a/create+a/replace body application/json";
    for (old, new) in [
        (with("bytes: 64B"), DOCUMENT.to_owned()),
        (with("bytes: 64B"), with("bytes: 65B")),
        (with("depth: 1, items: 4"), with("depth: 2, items: 4")),
        (with("items: 4, bytes: 9B"), with("items: 4")),
    ] {
        assert_eq!(between(&old, &new), [relax]);
        assert_eq!(between(&new, &old), [tighten]);
    }
    assert_eq!(
        between(&with("bytes: 1KiB"), &with("bytes: 1024B")),
        [""; 0]
    );
}

#[test]
fn types_with_fewer_checks_are_weaker() {
    let schema = "{type: object, required: [role], properties: {role: {enum: [user]}}}";
    let body = |more: &str| {
        let body = format!(
            "requestBody: {{required: true, content: {{application/json: {{schema: {schema}}}{more}}}}}"
        );
        edit(
            DOCUMENT,
            "post: {operationId: create, requestBody: {$ref: '#/components/requestBodies/Order'}",
            &format!("post: {{operationId: create, {body}"),
        )
    };
    let form = |properties: &str, more: &str| {
        format!(
            "application/x-www-form-urlencoded: {{schema: {{type: object, properties: {{{properties}}}{more}}}}}"
        )
    };
    let (weaken, relax) = (
        "weaken request-body-unchecked",
        "relax request-check-widened",
    );
    for (added, expected) in [
        ("text/plain: {schema: {type: string}}".to_owned(), weaken),
        ("text/plain: {schema: {maxLength: 9000}}".to_owned(), weaken),
        (
            "text/plain: {schema: {pattern: '^[a-z]$'}}".to_owned(),
            relax,
        ),
        (form("x: {type: string}", ""), weaken),
        (form("x: {type: integer}", ""), weaken),
        (form("role: {type: string}", ""), weaken),
        (form("role: {enum: [user]}", ""), relax),
        (
            form("x: {type: integer}", ", additionalProperties: false"),
            relax,
        ),
        (
            "multipart/form-data: {schema: {type: object}}".to_owned(),
            weaken,
        ),
        (
            "application/vnd.a+json: {schema: {type: object, properties: {x: {type: integer}}}}"
                .to_owned(),
            weaken,
        ),
        (
            format!("application/vnd.a+json: {{schema: {schema}}}"),
            relax,
        ),
        (
            format!("application/vnd.a+json: {{schema: {{oneOf: [{schema}, {{type: object}}]}}}}"),
            weaken,
        ),
    ] {
        let (old, new) = (body(""), body(&format!(", {added}")));
        let found = checks(&plan((GATEWAY, &old), (GATEWAY, &new)));
        let [line] = &found[..] else {
            panic!("{added}: {found:?}")
        };
        assert!(
            line.starts_with(&format!("{expected} a/create body: POST")),
            "{added}: {line}"
        );
        assert!(line.ends_with("-> served"), "{added}: {line}");
    }
}

#[test]
fn refactorings_have_no_lines() {
    for (from, to) in [
        (
            "sku: {type: string, maxLength: 3}",
            "sku: {maxLength: 3, type: [string]}",
        ),
        (
            "sku: {type: string, maxLength: 3}",
            "sku: {allOf: [{type: string, maxLength: 3}]}",
        ),
        (
            "schema: {type: integer, minimum: 1, maximum: 100}",
            "schema: {$ref: '#/components/schemas/Line/properties/limit'}",
        ),
        (
            "count: {oneOf: [{type: integer, minimum: 1}, {type: 'null'}]}",
            "count: {oneOf: [{type: 'null'}, {type: integer, minimum: 1}]}",
        ),
        (
            "{$ref: '#/components/requestBodies/Order'}, responses: {\"201\"",
            "{required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}, responses: {\"201\"",
        ),
        ("name: X-Trace", "name: x-trace"),
        (
            "{id}:\n    parameters: [{name: id,",
            "{key}:\n    parameters: [{name: key,",
        ),
    ] {
        let mut new = edit(DOCUMENT, from, to);
        if to.contains("properties/limit") {
            new = edit(
                &new,
                "      properties:\n        sku",
                "      properties:\n        limit: {type: integer, minimum: 1, maximum: 100}\n        sku",
            );
            // Describe the new property in both versions, because its addition would be a separate
            // change.
            let old = edit(
                DOCUMENT,
                "      properties:\n        sku",
                "      properties:\n        limit: {type: integer, minimum: 1, maximum: 100}\n        sku",
            );
            let found = plan((GATEWAY, &old), (GATEWAY, &new));
            assert_eq!(lines(&found), [""; 0]);
            continue;
        }
        let found = plan((GATEWAY, DOCUMENT), (GATEWAY, &new));
        assert_eq!(checks(&found), [""; 0], "{from} -> {to}");
    }
}

#[test]
fn only_enforced_descriptions_have_lines() {
    let wider = edit(DOCUMENT, "maximum: 100", "maximum: 200");
    for mode in ["off", "log"] {
        let gateway = GATEWAY.replace("block", mode);
        let found = plan((&gateway, DOCUMENT), (&gateway, &wider));
        assert_eq!(checks(&found), [""; 0], "{mode}");
    }
    let log = GATEWAY.replace("block", "log");
    let found = plan((GATEWAY, DOCUMENT), (&log, &wider));
    let lines = checks(&found);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("weaken request-validation-changed a/create+a/form+a/list+a/replace")
    );
    // A policy enforces the description, too.
    let by_policy = GATEWAY.replace(
        "defaults: {upstream: u, validate: {request: block}}",
        "policies: {strict: {kind: validate, request: block}}\ndefaults: {upstream: u, policies: [strict]}",
    );
    let found = plan((&by_policy, DOCUMENT), (&by_policy, &wider));
    assert_eq!(
        checks(&found),
        [
            "relax request-check-widened a/list parameter query limit: GET /orders?limit=101  400 -> served"
        ]
    );
}

#[test]
fn renamed_operation_hides_no_widened_check() {
    let new = edit(DOCUMENT, "operationId: list", "operationId: all");
    let new = edit(&new, "maximum: 100", "maximum: 200");
    assert_eq!(
        checks(&plan((GATEWAY, DOCUMENT), (GATEWAY, &new))),
        [
            "relax request-check-widened a/all parameter query limit: GET /orders?limit=101  400 -> served"
        ]
    );
}

#[test]
fn gates_stop_removed_and_undecided_checks() {
    let stops = |plan: &Plan, gate: &str| !plan.tripped(&[gate.to_owned()], &[]).is_empty();
    let widened = changed("maximum: 100", "maximum: 200");
    assert!(stops(&widened, "relax") && !stops(&widened, "weaken"));
    let undecided = changed("format: uuid", "format: date");
    assert!(stops(&undecided, "weaken"));
    let removed = changed(
        "{application/json: {schema: {$ref: '#/components/schemas/Order'}}}",
        "{application/json: {}}",
    );
    assert!(stops(&removed, "weaken"));
    // A second media type does not hide the removed schema.
    let hidden = changed(
        "{application/json: {schema: {$ref: '#/components/schemas/Order'}}}",
        "{application/json: {}, text/csv: {}}",
    );
    assert!(stops(&hidden, "weaken"));
    let narrowed = changed("maximum: 100", "maximum: 50");
    assert!(!stops(&narrowed, "weaken") && !stops(&narrowed, "relax"));
}

/// Document with this value of `undeclared_params`.
fn undeclared(word: &str) -> String {
    edit(
        DOCUMENT,
        "security:",
        &format!("x-gateway: {{undeclared_params: {word}}}\nsecurity:"),
    )
}

#[test]
fn open_parameter_disables_undeclared_params() {
    let open = "        - {name: filter, in: query, schema: {type: object, properties: {a: {type: string}}}}\n        - {name: limit";
    let closed = "        - {name: filter, in: query, schema: {type: object, additionalProperties: false, properties: {a: {type: string}}}}\n        - {name: limit";
    for word in ["reject", "strip"] {
        let old = undeclared(word);
        let new = edit(&old, "        - {name: limit", open);
        let found = plan((GATEWAY, &old), (GATEWAY, &new));
        let lines = checks(&found);
        let witness = match word {
            "reject" => "GET /orders?x=  400 -> served",
            _ => "none",
        };
        assert_eq!(
            lines[0],
            format!("weaken undeclared-params-changed a/list undeclared_params: {witness}")
        );
        let change = found
            .changes
            .iter()
            .find(|one| one.id == "undeclared-params-changed")
            .unwrap();
        assert_eq!(change.old, word);
        assert_eq!(
            change.new,
            format!("{word}, which has no effect because the parameter filter accepts every name")
        );
    }
    // A newly described parameter is admitted if undescribed parameters were refused before.
    // Otherwise its values are now checked.
    let old = undeclared("reject");
    let new = edit(&old, "        - {name: limit", closed);
    assert_eq!(
        checks(&plan((GATEWAY, &old), (GATEWAY, &new))),
        [
            "relax request-check-widened a/list parameter query filter: GET /orders?a=  400 -> served"
        ]
    );
    let new = edit(DOCUMENT, "        - {name: limit", closed);
    let lines = checks(&plan((GATEWAY, DOCUMENT), (GATEWAY, &new)));
    assert_eq!(
        lines,
        ["tighten request-check-narrowed a/list parameter query filter: none"]
    );
    // `reject` refuses with any mode of validation.
    let off = GATEWAY.replace("block", "off");
    let new = edit(&old, "        - {name: limit", closed);
    let lines = checks(&plan((&off, &old), (&off, &new)));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("relax request-check-widened a/list parameter query filter"),
        "{lines:?}"
    );
}

#[test]
fn treatments_of_undescribed_names_are_ordered() {
    let words = ["allow", "strip", "reject"];
    for (weak, strict) in [(0, 1), (0, 2), (1, 2)] {
        let (weak, strict) = (undeclared(words[weak]), undeclared(words[strict]));
        let lines = checks(&plan((GATEWAY, &strict), (GATEWAY, &weak)));
        assert!(
            lines[0].starts_with("weaken undeclared-params-changed"),
            "{lines:?}"
        );
        let lines = checks(&plan((GATEWAY, &weak), (GATEWAY, &strict)));
        assert!(
            lines[0].starts_with("strengthen undeclared-params-changed"),
            "{lines:?}"
        );
    }
}

/// Lines about checks after the schema `Line` is replaced by the result of `schemas`: with the
/// bound 1 in the old version, and 2 in the new version.
fn changed_schemas(schemas: impl Fn(u32) -> String) -> Vec<String> {
    let line = "    Line:\n";
    let start = DOCUMENT.find(line).expect("the schema");
    let end = DOCUMENT.find("  securitySchemes:").expect("the schemes");
    let document = |bound: u32| {
        let own = schemas(bound);
        format!("{}{own}{}", &DOCUMENT[..start], &DOCUMENT[end..])
    };
    checks(&plan((GATEWAY, &document(1)), (GATEWAY, &document(2))))
}

/// Two thousand alternatives have two million pairs, which would exceed the limit of steps.
#[test]
fn alternatives_that_a_property_selects_are_paired() {
    let choices = |most: u32| {
        let one = |at: u32| {
            format!(
                "{{type: object, required: [kind], properties: {{kind: {{const: k{at}}}, size: {{type: integer, maximum: {most}}}}}}}"
            )
        };
        let all: Vec<String> = (0..2_000).map(one).collect();
        format!("    Line: {{oneOf: [{}]}}\n", all.join(", "))
    };
    let found = changed_schemas(choices);
    let [line] = &found[..] else {
        panic!("{found:?}");
    };
    let expected = "relax request-check-widened a/create+a/replace body application/json";
    assert!(line.starts_with(expected), "{line}");
}

#[test]
fn recursive_descriptions_are_decided_in_bounds() {
    let to = |name: &str| format!("{{$ref: '#/components/schemas/{name}'}}");
    // Schema of a filter expression, which refers to itself.
    let filter = |most: u32| {
        let inner = to("Line");
        let list = format!("{{type: array, items: {inner}}}");
        format!(
            "    Line:
      oneOf:
        - {{type: object, required: [and], properties: {{and: {list}}}}}
        - {{type: object, required: [or], properties: {{or: {list}}}}}
        - {{type: object, required: [not], properties: {{not: {inner}}}}}
        - {{type: object, required: [f], properties: {{f: {{type: string, maxLength: {most}}}, lt: {inner}, gt: {inner}}}}}
"
        )
    };
    assert_eq!(
        changed_schemas(filter),
        [
            "incomparable request-check-changed a/create+a/replace body application/json: POST /orders content-type: application/json {\"lines\":[{\"f\":\"00\"}]} 400 -> served",
        ]
    );
    // Every property refers to the schema itself.
    let own = |most: u32| {
        let own = (0..20).map(|at| format!("p{at}: {}", to("Line")));
        let own: Vec<String> = own.collect();
        format!(
            "    Line: {{type: object, properties: {{{}, m: {{type: integer, maximum: {most}}}}}}}\n",
            own.join(", ")
        )
    };
    assert_eq!(
        changed_schemas(own),
        [
            "relax request-check-widened a/create+a/replace body application/json: POST /orders content-type: application/json {\"lines\":[{\"m\":2}]} 400 -> served",
        ]
    );
    // Six levels of twenty schemas that are all required.
    let levels = |most: u32| {
        let names: Vec<String> = (0..20).map(|at| format!("p{at}")).collect();
        let level = |at: usize| {
            let name = if at == 0 {
                "Line".to_owned()
            } else {
                format!("L{at}")
            };
            let to = to(&format!("L{}", at + 1));
            let own: Vec<String> = names.iter().map(|name| format!("{name}: {to}")).collect();
            format!(
                "    {name}: {{type: object, required: [{}], properties: {{{}}}}}\n",
                names.join(", "),
                own.join(", ")
            )
        };
        let levels: String = (0..6).map(level).collect();
        format!("{levels}    L6: {{type: integer, maximum: {most}}}\n")
    };
    let found = changed_schemas(levels);
    assert_eq!(
        found,
        ["relax request-check-widened a/create+a/replace body application/json: none"]
    );
}

#[test]
fn described_fields_are_not_forwarded_in_trailers() {
    let files = [("gateway.yaml", GATEWAY), ("api.yaml", DOCUMENT)];
    let side = crate::compiled(&files, Purpose::Route).unwrap_or_else(|errors| panic!("{errors}"));
    let oracle = Oracle::build(&side.lowered.gateway, "test").expect("a gateway");
    let mut routes = oracle.snapshot().routes();
    assert!(routes.all(|route| {
        let withheld = route.treatment.fields_not_in_trailers();
        withheld.iter().any(|name| name == "x-trace")
    }));
}
