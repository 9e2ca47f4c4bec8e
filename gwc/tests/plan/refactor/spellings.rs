//! Tests of other notations of a schema, in a request and in a response: they must give the same id
//! and an empty plan.

use plan::Section;

use super::{plan, side};

fn document(schema: &str) -> String {
    let content = format!("{{application/json: {{schema: {schema}}}}}");
    format!(
        "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /x: {{post: {{operationId: x, requestBody: {{content: {content}}}, responses: {{\"200\": {{description: d, content: {content}}}}}}}}}
components: {{schemas: {{S: {{type: string, maxLength: 9}}, O: {{type: object, properties: {{s: {{type: string}}}}}}}}}}
"
    )
}

/// Schemas, each with equivalent notations.
const SAME: &[(&str, &[&str])] = &[
    (
        "{type: string}",
        &[
            "{type: [string]}",
            "{type: [string, string]}",
            "{allOf: [{type: string}]}",
            "{allOf: [{type: string}, {}]}",
            "{allOf: [{type: string}, true]}",
            "{allOf: [{type: string}, {title: t, description: d}]}",
            "{allOf: [{allOf: [{allOf: [{type: string}]}, {}]}]}",
            "{anyOf: [{type: string}]}",
            "{oneOf: [{type: string}]}",
            "{oneOf: [{anyOf: [{allOf: [{type: string}]}]}]}",
            "{type: string, allOf: []}",
            "{type: string, minLength: 0}",
            "{type: string, not: false}",
            "{type: string, then: {maxLength: 1}}",
            "{type: string, else: {maxLength: 1}}",
            "{type: string, if: {maxLength: 1}}",
            "{type: string, if: {maxLength: 1}, then: {}, else: true}",
            "{type: string, required: []}",
            "{type: string, properties: {}}",
            "{type: string, deprecated: false, readOnly: false, writeOnly: false}",
        ],
    ),
    (
        "{type: object, required: [a, b], properties: {a: {type: string}, b: {}}}",
        &[
            "{type: object, required: [b, a], properties: {b: true, a: {type: string}}}",
            "{type: object, required: [a, b, a], properties: {a: {type: [string]}, b: {title: t}}}",
            "{type: object, required: [a, b], properties: {a: {type: string}, b: {}}, patternProperties: {}}",
            "{type: object, required: [a, b], properties: {a: {type: string}, b: {}}, additionalProperties: true}",
            "{type: object, required: [a, b], properties: {a: {type: string}, b: {}}, additionalProperties: {}}",
            "{type: object, required: [a, b], properties: {a: {type: string}, b: {}}, additionalProperties: {description: d}}",
            "{type: object, required: [a, b], properties: {a: {type: string}, b: {}}, propertyNames: true}",
            "{type: object, required: [a, b], properties: {a: {type: string}, b: {}}, propertyNames: {}}",
            "{type: object, required: [a, b], properties: {a: {type: string}, b: {}}, minProperties: 0}",
            "{type: object, required: [a, b], properties: {a: {type: string}, b: {}}, dependentRequired: {}}",
            "{type: object, required: [a, b], properties: {a: {type: string}, b: {}}, dependentSchemas: {}}",
            "{type: object, required: [a, b], properties: {a: {type: string}, b: {allOf: [{}, {title: t}]}}}",
        ],
    ),
    (
        "{type: array}",
        &[
            "{type: array, items: {}}",
            "{type: array, items: true}",
            "{type: array, items: {description: d}}",
            "{type: array, minItems: 0}",
            "{type: array, uniqueItems: false}",
            "{type: array, prefixItems: []}",
            "{type: array, minContains: 2}",
            "{type: array, maxContains: 2}",
        ],
    ),
    (
        "{enum: [a, b]}",
        &[
            "{enum: [b, a]}",
            "{enum: [a, b, a]}",
            "{allOf: [{enum: [a, b]}, {}]}",
        ],
    ),
    ("{const: a}", &["{enum: [a]}", "{enum: [a, a]}"]),
    (
        "{type: [number, 'null'], minimum: 1}",
        &[
            "{type: ['null', number], minimum: 1.0}",
            "{type: [integer, number, 'null'], minimum: 1}",
        ],
    ),
    (
        "{$ref: '#/components/schemas/S'}",
        &[
            "{type: string, maxLength: 9}",
            "{allOf: [{$ref: '#/components/schemas/S'}, {}]}",
            "{anyOf: [{$ref: '#/components/schemas/S'}]}",
            "{$ref: '#/components/schemas/S', required: []}",
        ],
    ),
    (
        "{allOf: [{$ref: '#/components/schemas/O'}, {required: [s]}]}",
        &[
            "{allOf: [{required: [s]}, {$ref: '#/components/schemas/O'}, {description: d}]}",
            "{allOf: [{required: [s, s]}, {$ref: '#/components/schemas/O'}]}",
        ],
    ),
    // Literals are not schemas, so their content must not be normalised.
    (
        "{default: {required: [], type: [a]}, type: object}",
        &["{type: [object], default: {type: [a], required: []}}"],
    ),
];

#[test]
fn other_spellings_keep_id_and_plan() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (schema, others) in SAME {
        let before = side(&[("api.yaml", &document(schema))]).expect("it builds");
        for other in *others {
            count += 1;
            let after = match side(&[("api.yaml", &document(other))]) {
                Ok(after) => after,
                Err(errors) => {
                    wrong.push(format!("{other}: {errors:?}"));
                    continue;
                }
            };
            for (from, to) in [(&before, &after), (&after, &before)] {
                let plan = plan(from, to);
                let mut changes = plan.changes.iter();
                // Some notations have a title or a description.
                let are_docs = changes.all(|change| change.section == Section::Docs);
                if from.bundle != to.bundle || !are_docs {
                    wrong.push(format!("{schema} and {other}: {}", super::lines(&plan)));
                }
            }
        }
    }
    assert!(count >= 50, "{count}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn spellings_with_an_effect_have_another_id() {
    // Each pair looks like one of the spellings above.
    for (one, other) in [
        ("{default: {required: []}}", "{default: {}}"),
        ("{enum: [[a], [a, a]]}", "{enum: [[a]]}"),
        (
            "{oneOf: [{type: string}, {type: string}]}",
            "{type: string}",
        ),
        (
            "{allOf: [{additionalProperties: true}], unevaluatedProperties: false}",
            "{unevaluatedProperties: false}",
        ),
        (
            "{allOf: [{type: array, items: {}}], unevaluatedItems: false}",
            "{allOf: [{type: array}], unevaluatedItems: false}",
        ),
        ("{type: array, items: false}", "{type: array}"),
        (
            "{allOf: [{readOnly: true}, {type: string}]}",
            "{type: string}",
        ),
        ("{type: object, not: {}}", "{type: object}"),
    ] {
        let [one, other] =
            [one, other].map(|schema| side(&[("api.yaml", &document(schema))]).expect("it builds"));
        assert_ne!(one.bundle, other.bundle);
    }
}
