//! Tests of the comparison of descriptions.

use policy::invalid::Part;

use super::*;

/// Operation whose body has the first of these schemas. Nodes are indices in `schemas`.
fn cone(schemas: &[Json]) -> Cone {
    let definition = value(&json!({"schema": {"node": 0}}));
    let operation = ContractOperation {
        key: "a/b".into(),
        deprecated: false,
        parameters: Vec::new(),
        body: Some(Body {
            required: true,
            media_types: Set::new(vec![MediaType {
                name: "application/json".into(),
                definition,
            }])
            .unwrap(),
        }),
        responses: Vec::new(),
        security: None,
    };
    let schemas: Vec<Value> = schemas.iter().map(value).collect();
    Cone::of(&operation, &schemas)
}

/// Schema of an object with the constant property `kind` and further properties.
fn kind(name: &str, properties: &Json) -> Json {
    let mut all = json!({"kind": {"const": name}});
    let more = properties.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(more);
    json!({"type": "object", "required": ["kind"], "properties": all})
}

#[test]
fn wider_and_narrower_schemas_are_distinguished() {
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
        (
            json!({"type": "string", "nullable": true}),
            json!({"type": ["string", "null"], "maxLength": 9}),
            narrower,
        ),
        (
            json!({"type": ["string", "null"]}),
            json!({"type": "string", "nullable": true}),
            both,
        ),
        (json!({"format": "email"}), json!({"format": "uri"}), both),
        (json!({"format": "uuid"}), json!({"format": "uri"}), wider),
        (
            json!({"format": "uuid"}),
            json!({"format": "date"}),
            neither,
        ),
        (
            json!({"format": "int32"}),
            json!({"format": "int64"}),
            wider,
        ),
        (
            json!({"minimum": 1}),
            json!({"exclusiveMinimum": 1}),
            narrower,
        ),
        (
            json!({"exclusiveMaximum": 2}),
            json!({"maximum": 1, "description": "d"}),
            narrower,
        ),
        (
            json!({"maximum": 1, "exclusiveMaximum": true}),
            json!({"maximum": 1}),
            wider,
        ),
        (
            json!({"maximum": 9_007_199_254_740_992_i64}),
            json!({"maximum": 9_007_199_254_740_993_i64}),
            wider,
        ),
        (
            json!({"enum": ["a", 1]}),
            json!({"type": ["string", "integer"]}),
            wider,
        ),
        (
            json!({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}),
            json!({"items": {"type": "integer"}}),
            neither,
        ),
        (
            object(json!({"unevaluatedProperties": false})),
            object(json!({"unevaluatedProperties": false, "properties": {"b": {}}})),
            neither,
        ),
        (
            json!({"oneOf": [{"type": "string"}]}),
            json!({"oneOf": [{"type": "string"}, {"type": "integer"}]}),
            wider,
        ),
        (
            json!({"oneOf": [{"type": "integer"}]}),
            json!({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 5}]}),
            neither,
        ),
        (
            json!({"oneOf": [kind("a", &json!({})), kind("b", &json!({}))]}),
            json!({"oneOf": [kind("a", &json!({"n": {"type": "integer"}})), kind("b", &json!({}))]}),
            narrower,
        ),
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
    // Schemas that a discriminator selects are compared, too.
    let animals = |most: u32| {
        [
            json!({"oneOf": [{"node": 1}, {"node": 2}], "discriminator": {"propertyName": "kind", "mapping": {"cat": {"node": 1}, "dog": {"node": 2}}}}),
            json!({"type": "object", "properties": {"lives": {"maximum": most}}}),
            json!({"type": "object", "properties": {"name": {"type": "string"}}}),
        ]
    };
    let (was, is) = (cone(&animals(1)), cone(&animals(2)));
    assert!(validator::compare::accepts_all(&is, &was));
    assert!(!validator::compare::accepts_all(&was, &is));
    // A recursive schema whose innermost value has a looser bound in the new version.
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

#[test]
fn schemas_with_many_paths_are_compared_in_bounds() {
    let twice = |keyword: &str, most: u32| -> Vec<Json> {
        let levels = (1..=40).map(|next| json!({keyword: [{"node": next}, {"node": next}]}));
        levels
            .chain([json!({"type": "string", "maxLength": most})])
            .collect()
    };
    for keyword in ["allOf", "anyOf"] {
        let (was, is) = (cone(&twice(keyword, 5)), cone(&twice(keyword, 6)));
        assert!(validator::compare::accepts_all(&is, &was), "{keyword}");
        assert!(!validator::compare::accepts_all(&was, &is), "{keyword}");
    }
    // Schemas that refer to each other, with alternatives.
    let mutual = |last: Json| -> [Json; 3] {
        let properties = (0..20).map(|at| (format!("p{at}"), json!({"node": at % 3})));
        let properties: serde_json::Map<String, Json> = properties.collect();
        [
            json!({"type": "object", "properties": properties}),
            json!({"type": "object", "additionalProperties": last}),
            json!({"anyOf": [{"node": 0}, {"node": 1}, {"type": "array", "items": {"node": 2}}]}),
        ]
    };
    let was = cone(&mutual(json!({"node": 2})));
    let is = cone(&mutual(json!({"anyOf": [{"node": 2}, {"type": "string"}]})));
    assert!(validator::compare::accepts_all(&is, &was));
    assert!(!validator::compare::accepts_all(&was, &is));
}

/// Operation with these query parameters (name, required, schema), and a body with these media
/// types.
fn described(parameters: &[(&str, bool, Json)], types: Option<&[&str]>) -> Cone {
    let parameters = parameters.iter().map(|(name, required, schema)| Parameter {
        place: ParameterPlace::Query,
        name: (*name).into(),
        required: *required,
        definition: value(&json!({"schema": schema})),
    });
    let body = types.map(|types| Body {
        required: false,
        media_types: Set::new(
            types
                .iter()
                .map(|name| MediaType {
                    name: (*name).into(),
                    definition: value(&json!({"schema": {"type": "object"}})),
                })
                .collect(),
        )
        .unwrap(),
    });
    let operation = ContractOperation {
        key: "a/b".into(),
        deprecated: false,
        parameters: parameters.collect(),
        body,
        responses: Vec::new(),
        security: None,
    };
    Cone::of(&operation, &[])
}

/// Differences between two descriptions, as `PART RELATION`.
fn compared(old: &Cone, new: &Cone, refuses: [bool; 2]) -> Vec<String> {
    let known = refuses.map(|refuses| refuses.then_some(&[][..]));
    let found = validator::compare::differences([old, new], known);
    found
        .iter()
        .map(|one| {
            let part = match &one.part {
                Part::Query(name) => name.to_string(),
                Part::Body => format!("body{}", one.media_type.as_deref().unwrap_or_default()),
                other => panic!("{other:?}"),
            };
            format!("{part} {:?}", one.relation)
        })
        .collect()
}

#[test]
fn undescribed_parameters_decide_on_containment() {
    let text = || json!({"type": "string", "maxLength": 3});
    let one = described(&[("a", false, text())], None);
    let two = described(&[("a", false, text()), ("b", false, text())], None);
    let must = described(&[("a", false, text()), ("b", true, text())], None);
    assert_eq!(compared(&one, &two, [false; 2]), ["b Narrower"]);
    assert_eq!(compared(&two, &one, [false; 2]), ["b Wider"]);
    assert_eq!(compared(&one, &two, [true; 2]), ["b Wider"]);
    assert_eq!(compared(&two, &one, [true; 2]), ["b Narrower"]);
    assert_eq!(compared(&one, &must, [true; 2]), ["b Unknown"]);
    assert_eq!(compared(&one, &must, [false; 2]), ["b Narrower"]);
    let other = described(&[("c", false, text())], None);
    assert_eq!(compared(&one, &other, [true; 2]), ["c Wider", "a Narrower"]);
}

#[test]
fn bodies_without_media_types_accept_all_of_them() {
    let none = described(&[], None);
    let every = described(&[], Some(&[]));
    let json = described(&[], Some(&["application/json"]));
    let both = described(&[], Some(&["application/json", "application/xml"]));
    let found = |old: &Cone, new: &Cone| compared(old, new, [false; 2]);
    assert_eq!(found(&none, &every), [""; 0]);
    assert_eq!(found(&every, &json), ["body Narrower"]);
    assert_eq!(found(&json, &every), ["body Wider"]);
    assert_eq!(found(&json, &none), ["body Wider"]);
    assert_eq!(found(&json, &both), ["body Wider"]);
    let xml = described(&[], Some(&["application/xml"]));
    assert_eq!(found(&json, &xml), ["body Unknown"]);
}

/// Requests may omit properties that any schema of the same value marks as `readOnly`, so these
/// properties do not distinguish alternatives.
#[test]
fn read_only_properties_distinguish_nothing() {
    let kinds = |keyword: &str, marked: bool| {
        let kind = |name: &str| {
            let kind = json!({"const": name, "readOnly": marked});
            json!({"type": "object", "required": ["kind"], "properties": {"kind": kind}})
        };
        let both = json!({keyword: [{"node": 1}, {"node": 2}]});
        cone(&[both, kind("a"), kind("b")])
    };
    for (marked, holds) in [(false, true), (true, false)] {
        let (any, one) = (kinds("anyOf", marked), kinds("oneOf", marked));
        assert!(validator::compare::accepts_all(&any, &one));
        assert_eq!(validator::compare::accepts_all(&one, &any), holds);
    }
    // A schema of another value marks a property of the same name as `readOnly`.
    let role = |marked: bool| {
        cone(&[
            json!({"type": "object", "required": ["role"], "properties": {"of": {"node": 1}}}),
            json!({"properties": {"role": {"readOnly": marked}}}),
        ])
    };
    let (without, with) = (role(false), role(true));
    assert!(!validator::compare::accepts_all(&without, &with));
    assert!(!validator::compare::accepts_all(&with, &without));
    let unrelated = |marked: bool| {
        cone(&[
            json!({"anyOf": [{"node": 1}, {"node": 2}]}),
            json!({"type": "object", "required": ["role"]}),
            json!({"type": "object", "properties": {"role": {"readOnly": marked}}}),
        ])
    };
    let (without, with) = (unrelated(false), unrelated(true));
    assert!(validator::compare::accepts_all(&with, &without));
    assert!(!validator::compare::accepts_all(&without, &with));
}

/// A schema with a different structure reads a text as a different value. The check of the text is
/// lost although the new schema accepts no other values.
#[test]
fn structure_of_a_parameter_decides_on_containment() {
    let found = |old: &Json, new: &Json| {
        let [old, new] = [old, new].map(|one| described(&[("q", false, one.clone())], None));
        compared(&old, &new, [false; 2])
    };
    let letters = json!({"pattern": "^[a-z]+$"});
    let object = json!({"pattern": "^[a-z]+$", "properties": {"b": {}}});
    let array = json!({"pattern": "^[a-z]+$", "items": {}});
    let any = json!({});
    let members = json!({"properties": {"a": {}}});
    let two = json!({"properties": {"a": {}, "b": {}}});
    let both = json!({"type": ["string", "object"], "pattern": "^[a-z]+$"});
    let only = json!({"type": "object", "pattern": "^[a-z]+$"});
    let named = json!({"type": "object", "properties": {"b": {}}, "pattern": "^[a-z]+$"});
    for (old, new) in [
        (&letters, &object),
        (&letters, &array),
        (&any, &members),
        (&members, &two),
        (&both, &named),
    ] {
        assert_ne!(found(old, new), [""; 0], "{old} {new}");
        assert_ne!(found(new, old), [""; 0], "{old} {new}");
        assert!(!found(old, new).contains(&"q Narrower".to_owned()) || *old == members);
    }
    assert_eq!(found(&letters, &object), ["q Unknown"]);
    assert_eq!(found(&both, &only), ["q Unknown"]);
    // The old description does not read the new member, so that it accepts every value of it.
    let narrow = json!({"properties": {"a": {}, "b": {"maxLength": 3}}});
    assert_eq!(found(&members, &narrow), ["q Narrower"]);
    assert_eq!(found(&narrow, &members), ["q Wider"]);
    // With a rule for the number of members, the object with fewer members may be refused.
    let counted = json!({"minProperties": 2, "properties": {"a": {}}});
    let more = json!({"minProperties": 2, "properties": {"a": {}, "b": {}}});
    assert_eq!(found(&counted, &more), ["q Unknown"]);
    // Ordinary changes are compared by their values.
    let text = json!({"type": "string", "maxLength": 5});
    let shorter = json!({"type": "string", "maxLength": 3});
    assert_eq!(found(&text, &shorter), ["q Narrower"]);
    let list = json!({"type": "array", "items": text});
    let shorter = json!({"type": "array", "items": shorter});
    assert_eq!(found(&list, &shorter), ["q Narrower"]);
    let choice = json!({"type": ["string", "array"], "maxLength": 5});
    assert_eq!(found(&text, &choice), ["q Wider"]);
}

#[test]
fn structure_of_a_form_decides_on_containment() {
    let form = |schema: Json| {
        let mut cone = described(&[], Some(&["application/x-www-form-urlencoded"]));
        let types = &mut cone.operation.body.as_mut().unwrap().media_types;
        let mut one = types.iter().next().unwrap().clone();
        one.definition = value(&json!({"schema": schema}));
        *types = Set::new(vec![one]).unwrap();
        Cone::of(&cone.operation, &[])
    };
    let part = "bodyapplication/x-www-form-urlencoded";
    let found = |old: Json, new: Json| compared(&form(old), &form(new), [false; 2]);
    let with = |q: Json| json!({"type": "object", "properties": {"q": q}});
    let (text, object) = (
        with(json!({"pattern": "^a"})),
        with(json!({"pattern": "^a", "properties": {}, "items": {}})),
    );
    assert_eq!(found(text.clone(), object), [format!("{part} Unknown")]);
    // A new property narrows the form, whatever its structure.
    let more = json!({"type": "object", "properties": {"q": {"pattern": "^a"}, "tags": {"type": "array"}}});
    assert_eq!(found(text.clone(), more), [format!("{part} Narrower")]);
    let longer = with(json!({"pattern": "^a", "maxLength": 5}));
    assert_eq!(found(text, longer), [format!("{part} Narrower")]);
}

#[test]
fn numbers_of_contained_items_decide_on_containment() {
    let array = |more: Json| {
        let mut schema = json!({"type": "array", "contains": {"const": 1}});
        let entries = more.as_object().unwrap().clone();
        schema.as_object_mut().unwrap().extend(entries);
        cone(&[schema])
    };
    let one = array(json!({}));
    for (other, wider) in [
        (array(json!({"minContains": 0})), true),
        (array(json!({"minContains": 2})), false),
        (array(json!({"maxContains": 3})), false),
        (array(json!({"minContains": 1, "maxContains": 3})), false),
    ] {
        assert_eq!(validator::compare::accepts_all(&other, &one), wider);
        assert_eq!(validator::compare::accepts_all(&one, &other), !wider);
    }
    let (three, four) = (
        array(json!({"minContains": 3, "maxContains": 5})),
        array(json!({"minContains": 2, "maxContains": 6})),
    );
    assert!(validator::compare::accepts_all(&four, &three));
    assert!(!validator::compare::accepts_all(&three, &four));
    let none = array(json!({"minContains": 0, "maxContains": 2}));
    assert!(!validator::compare::accepts_all(&none, &one));
    assert!(!validator::compare::accepts_all(&one, &none));
    // Without `contains`, the numbers have no effect.
    let (plain, numbered) = (
        cone(&[json!({"type": "array"})]),
        cone(&[json!({"type": "array", "minContains": 3, "maxContains": 1})]),
    );
    assert!(validator::compare::accepts_all(&numbered, &plain));
    assert!(validator::compare::accepts_all(&plain, &numbered));
}
