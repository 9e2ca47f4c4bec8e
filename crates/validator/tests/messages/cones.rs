//! Comparison of schemas.

use super::*;

/// Operation with one body schema, in node 0.
fn cone(schemas: &[Json]) -> Cone {
    let says = value(&json!({"schema": {"node": 0}}));
    let operation = ContractOperation {
        key: "a/b".into(),
        deprecated: false,
        parameters: Vec::new(),
        body: Some(Body {
            required: true,
            media_types: Set::new(vec![MediaType {
                name: "application/json".into(),
                says,
            }])
            .unwrap(),
        }),
        responses: Vec::new(),
    };
    let schemas: Vec<Value> = schemas.iter().map(value).collect();
    Cone::of(&operation, &schemas)
}

#[test]
fn wider_and_narrower_schemas_are_told_apart() {
    let (wider, narrower, both, neither) =
        ((true, false), (false, true), (true, true), (false, false));
    let object = |more: Json| {
        let mut object =
            json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 5}}});
        object
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        object
    };
    let rows = [
        (
            json!({"type": "string"}),
            json!({"type": ["string", "null"]}),
            wider,
        ),
        (json!({"type": "integer"}), json!({"type": "number"}), wider),
        (json!({"minimum": 2}), json!({"minimum": 1}), wider),
        (json!({"maxLength": 2}), json!({"maxLength": 1}), narrower),
        (json!({"enum": ["a"]}), json!({"enum": ["a", "b"]}), wider),
        (json!({"const": "a"}), json!({"enum": ["a", "b"]}), wider),
        (json!({"pattern": "a"}), json!({"pattern": "b"}), neither),
        (json!({"pattern": "a"}), json!({}), wider),
        (
            object(json!({})),
            object(json!({"required": ["a"]})),
            narrower,
        ),
        (
            object(json!({})),
            object(json!({"additionalProperties": false})),
            narrower,
        ),
        (object(json!({})), object(json!({"properties": {}})), wider),
        (
            object(json!({})),
            object(json!({"properties": {"a": {"type": "string", "maxLength": 9}}})),
            wider,
        ),
        (
            object(json!({})),
            object(json!({"properties": {"a": {"type": "integer"}}})),
            neither,
        ),
        (
            object(json!({"additionalProperties": false})),
            object(
                json!({"additionalProperties": false, "properties": {"a": {"type": "string", "maxLength": 5}, "b": {}}}),
            ),
            wider,
        ),
        (
            json!({"allOf": [{"minimum": 1}, {"maximum": 5}]}),
            json!({"allOf": [{"minimum": 1}]}),
            wider,
        ),
        (
            json!({"anyOf": [{"type": "string"}]}),
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            wider,
        ),
        (
            json!({"anyOf": [{"const": "a"}, {"const": "b"}]}),
            json!({"anyOf": [{"const": "a"}, {"const": "c"}]}),
            neither,
        ),
        (
            json!({"items": {"minimum": 1}}),
            json!({"items": {"minimum": 0}}),
            wider,
        ),
        (
            json!({"not": {"type": "string"}}),
            json!({"not": {"type": "null"}}),
            neither,
        ),
        (
            json!({"type": "string", "nullable": true}),
            json!({"type": "string"}),
            narrower,
        ),
        (json!({"type": "string"}), json!({"type": "string"}), both),
    ];
    for (old, new, expected) in rows {
        let (was, is) = (
            cone(std::slice::from_ref(&old)),
            cone(std::slice::from_ref(&new)),
        );
        let found = (
            validator::compare::accepts_all(&is, &was),
            validator::compare::accepts_all(&was, &is),
        );
        assert_eq!(found, expected, "{old} {new}");
    }
    // A recursive schema whose leaf got a looser bound.
    let tree = |most: u32| {
        [
            json!({"type": "object", "properties": {"next": {"node": 0}, "value": {"node": 1}}}),
            json!({"maximum": most}),
        ]
    };
    let (was, is) = (cone(&tree(1)), cone(&tree(2)));
    assert!(validator::compare::accepts_all(&is, &was));
    assert!(!validator::compare::accepts_all(&was, &is));
}
