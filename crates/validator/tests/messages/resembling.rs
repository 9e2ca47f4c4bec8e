//! Tests of the comparison of descriptions by the names that they refuse. Refused are names that
//! some servers read as a described name, and query parameters that are not described.

use policy::invalid::Part;

use super::*;

/// Description with these parameters, and a body with this schema for each media type.
fn cone(parameters: &Json, content: &Json) -> Cone {
    let parameters = parameters.as_array().into_iter().flatten();
    let parameters = parameters.map(|one| Parameter {
        place: place(one["in"].as_str().unwrap()),
        name: one["name"].as_str().unwrap().into(),
        required: false,
        definition: value(one),
    });
    let body = content.as_object().map(|content| Body {
        required: true,
        media_types: Set::new(
            content
                .iter()
                .map(|(name, media)| MediaType {
                    name: name.clone(),
                    definition: value(media),
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

fn text(found: &[validator::compare::Difference]) -> Vec<String> {
    let lines = found.iter().map(|one| {
        let name = match &one.part {
            Part::Body => "body",
            part => part.name().unwrap(),
        };
        format!("{name} {:?}", one.relation)
    });
    lines.collect()
}

/// Differences of two descriptions, as `NAME RELATION`. `refuses`: true if undescribed query
/// parameters are refused.
fn compared([old, new]: [&Cone; 2], refuses: bool) -> Vec<String> {
    let known = refuses.then_some(&[][..]);
    text(&validator::compare::differences([old, new], [known; 2]))
}

/// Asserts that the new description accepts more, and that the reverse change accepts less.
fn assert_wider([old, new]: [&Cone; 2], refuses: bool, name: &str, shown: &Json) {
    let (wider, narrower) = (format!("{name} Wider"), format!("{name} Narrower"));
    assert_eq!(compared([old, new], refuses), [wider], "{shown}");
    assert_eq!(compared([new, old], refuses), [narrower], "{shown} back");
}

fn body(media_type: &str, schema: &Json) -> Cone {
    let key = match media_type {
        "application/x-ndjson" => "itemSchema",
        _ => "schema",
    };
    cone(&Json::Null, &json!({media_type: {key: schema}}))
}

/// Each row has two schemas of an object. The second describes a name that the first refuses.
fn resembling_members() -> Vec<[Json; 2]> {
    let role = json!({"type": "object", "properties": {"role": {"enum": ["user"]}}});
    let both = json!({"type": "object", "properties": {"role": {"enum": ["user"]}, "Role": {}}});
    let with = |keyword: &str, value: Json| {
        let mut schema = role.clone();
        schema[keyword] = value;
        schema
    };
    let upper = || json!({"properties": {"ROLE": {}}});
    let within = |wrap: &dyn Fn(&Json) -> Json| [wrap(&role), wrap(&both)];
    vec![
        [role.clone(), both.clone()],
        within(&|one| json!({"type": "object", "properties": {"a": {"properties": {"b": one}}}})),
        within(&|one| json!({"type": "array", "items": one})),
        within(&|one| json!({"type": "array", "prefixItems": [{}, one]})),
        within(&|one| json!({"type": "object", "additionalProperties": one})),
        within(&|one| json!({"type": "object", "patternProperties": {"^a": one}})),
        within(&|one| json!({"anyOf": [one, {"type": "string"}]})),
        [with("allOf", json!([{}])), with("allOf", json!([upper()]))],
        [
            with("anyOf", json!([{}, true])),
            with("anyOf", json!([upper(), true])),
        ],
        [
            with("dependentSchemas", json!({"a": {}})),
            with("dependentSchemas", json!({"a": upper()})),
        ],
        [
            role.clone(),
            json!({"type": "object", "properties": {"role": {"enum": ["user"]}, "Role": {"readOnly": true}}}),
        ],
        // Without the described name, the other spelling is no longer refused.
        [
            json!({"type": "object", "properties": {"role": {}}}),
            json!({"type": "object"}),
        ],
    ]
}

#[test]
fn member_that_resembles_another_widens_the_check() {
    for [old, new] in resembling_members() {
        for media_type in ["application/json", "application/x-ndjson"] {
            let sides = [&body(media_type, &old), &body(media_type, &new)];
            let lines = compared(sides, false);
            let expected = [["body Wider"], ["body Unknown"]];
            let is_found = expected.iter().any(|one| lines == *one);
            assert!(is_found, "{old} {new} {lines:?}");
            assert!(!validator::compare::accepts_all(sides[0], sides[1]));
        }
    }
    let schema = |names: &[&str]| {
        let names = names.iter().map(|name| ((*name).to_owned(), json!({})));
        let properties: serde_json::Map<String, Json> = names.collect();
        json!({"type": "object", "properties": properties})
    };
    for (media_type, other) in [
        ("application/x-www-form-urlencoded", "Q"),
        ("application/x-www-form-urlencoded", "[q]"),
        ("multipart/form-data", "Q"),
        ("multipart/form-data", "m.q"),
    ] {
        let (old, new) = (schema(&["q"]), schema(&["q", other]));
        let sides = [&body(media_type, &old), &body(media_type, &new)];
        let lines = compared(sides, false);
        assert!(
            !lines.is_empty() && lines != ["body Narrower"],
            "{other} {lines:?}"
        );
    }
}

#[test]
fn member_that_resembles_none_widens_nothing() {
    let object = |properties: Json| json!({"type": "object", "properties": properties});
    let closed = |properties: Json| json!({"type": "object", "properties": properties, "additionalProperties": false});
    for (old, new, expected) in [
        (
            object(json!({"role": {}})),
            object(json!({"role": {}, "roles": {}})),
            &["body Narrower"][..],
        ),
        (
            closed(json!({"role": {}})),
            closed(json!({"role": {}, "b": {}})),
            &["body Wider"],
        ),
        (
            json!({"anyOf": [closed(json!({"a": {}})), closed(json!({"b": {}}))]}),
            json!({"anyOf": [closed(json!({"a": {}})), closed(json!({"b": {}, "c": {}}))]}),
            &["body Wider"],
        ),
        (
            object(json!({"a": closed(json!({"b": {}})), "n": {"maximum": 1}})),
            object(json!({"a": closed(json!({"b": {}})), "n": {"maximum": 2}})),
            &["body Wider"],
        ),
        (
            json!({"allOf": [object(json!({"a": {}})), object(json!({"b": {}}))]}),
            json!({"allOf": [object(json!({"b": {}})), object(json!({"a": {}}))]}),
            &[],
        ),
        (
            object(json!({"a": {"title": "one"}})),
            object(json!({"a": {"title": "other"}})),
            &[],
        ),
        (
            object(json!({"a": {"type": "string", "maxLength": 3}})),
            object(json!({"a": {"type": "string", "maxLength": 4}})),
            &["body Wider"],
        ),
    ] {
        let sides = [
            &body("application/json", &old),
            &body("application/json", &new),
        ];
        assert_eq!(compared(sides, false), expected, "{old} {new}");
    }
}

fn parameters(all: &Json) -> Cone {
    cone(all, &Json::Null)
}

#[test]
fn parameter_that_resembles_another_widens_the_check() {
    let number = json!({"type": "integer"});
    let object = |names: &[&str]| {
        let names = names.iter().map(|name| ((*name).to_owned(), json!({})));
        let properties: serde_json::Map<String, Json> = names.collect();
        json!({"type": "object", "properties": properties})
    };
    for (place, name, other) in [
        ("query", "q", json!({"name": "Q", "schema": {}})),
        ("query", "x_q", json!({"name": "x.q", "schema": {}})),
        ("query", "q", json!({"name": "[q]", "schema": {}})),
        ("query", "q", json!({"name": "o", "schema": object(&["Q"])})),
        ("query", "q", json!({"name": "q[]", "schema": {}})),
        ("cookie", "q", json!({"name": "Q", "schema": {}})),
        ("header", "x-q", json!({"name": "X_Q", "schema": {}})),
    ] {
        let mut other = other;
        other["in"] = place.into();
        let own = json!({"in": place, "name": name, "schema": number});
        let (old, new) = (parameters(&json!([own])), parameters(&json!([own, other])));
        let lines = compared([&old, &new], false);
        let is_wider = lines.iter().any(|one| !one.ends_with("Narrower"));
        assert!(is_wider, "{other} {lines:?}");
        assert!(!validator::compare::accepts_all(&old, &new), "{other}");
    }
    let (old, new) = (
        json!([{"in": "query", "name": "q", "schema": number}]),
        json!([{"in": "query", "name": "q", "schema": number}, {"in": "query", "name": "Q", "schema": {}}]),
    );
    let sides = [&parameters(&old), &parameters(&new)];
    assert_wider(sides, false, "Q", &new);
    // A name without a lookalike, or a different order of the parameters, does not widen a
    // description.
    let more = json!([{"in": "query", "name": "r", "schema": number}, {"in": "query", "name": "q", "schema": number}]);
    let lines = compared([sides[0], &parameters(&more)], false);
    assert_eq!(lines, ["r Narrower"]);
    let turned = json!([new[1], new[0]]);
    assert_eq!(compared([sides[1], &parameters(&turned)], false), [""; 0]);
    // Members of a parameter's value.
    let deep = |names: &[&str]| {
        parameters(
            &json!([{"in": "query", "name": "f", "style": "deepObject", "explode": true, "schema": object(names)}]),
        )
    };
    assert_wider(
        [&deep(&["a"]), &deep(&["a", "A"])],
        false,
        "f",
        &json!("f[A]"),
    );
}

#[test]
fn name_of_two_parameters_is_still_described() {
    let number = json!({"type": "integer"});
    let closed =
        json!({"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": false});
    let exploded = json!({"in": "query", "name": "f", "schema": closed});
    let deep = json!({"in": "query", "name": "f", "style": "deepObject", "explode": true, "schema": closed});
    let plain = |name: &str| json!({"in": "query", "name": name, "schema": number});
    for (object, name) in [(&exploded, "a"), (&deep, "f[a]")] {
        let (both, one) = (
            parameters(&json!([object, plain(name)])),
            parameters(&json!([object])),
        );
        assert_wider([&both, &one], true, name, object);
        assert_wider([&both, &one], false, name, object);
    }
    let (with, without) = (
        parameters(&json!([exploded, plain("c")])),
        parameters(&json!([exploded])),
    );
    assert_eq!(compared([&with, &without], true), ["c Narrower"]);
    assert_eq!(compared([&without, &with], true), ["c Wider"]);
}

#[test]
fn described_names_are_compared_without_values() {
    let object = |names: &[&str], is_closed: bool| {
        let names = names.iter().map(|name| ((*name).to_owned(), json!({})));
        let properties: serde_json::Map<String, Json> = names.collect();
        json!({"type": "object", "properties": properties, "additionalProperties": !is_closed})
    };
    let exploded = |schema: Json| json!({"in": "query", "name": "f", "schema": schema});
    let deep = |schema: Json| json!({"in": "query", "name": "f", "style": "deepObject", "explode": true, "schema": schema});
    let plain = |name: &str| json!({"in": "query", "name": name, "schema": {"type": "integer"}});
    for (old, new, name) in [
        (json!([plain("q")]), json!([plain("q"), plain("a")]), "a"),
        (
            json!([exploded(object(&["a"], true))]),
            json!([exploded(object(&["a", "b"], true))]),
            "f",
        ),
        (
            json!([deep(object(&["a"], true))]),
            json!([deep(object(&["a", "b"], true))]),
            "f",
        ),
        (
            json!([deep(object(&["a"], true))]),
            json!([deep(object(&["a"], false))]),
            "f",
        ),
        // An open object describes every name, except other spellings of described names.
        (
            json!([exploded(object(&["b"], false))]),
            json!([exploded(object(&["b"], false)), plain("B")]),
            "B",
        ),
        (
            json!([exploded(object(&["b"], false)), plain("q")]),
            json!([exploded(object(&["b"], false)), plain("q"), {"in": "query", "name": "b", "style": "deepObject", "explode": true, "schema": object(&["c"], true)}]),
            "b",
        ),
    ] {
        let (was, is) = (parameters(&old), parameters(&new));
        let found = |sides: [&Cone; 2]| {
            let found = validator::compare::described_parameters(sides, [&[]; 2]);
            text(&found)
        };
        assert_eq!(found([&was, &is]), [format!("{name} Wider")], "{new}");
        assert_eq!(found([&is, &was]), [format!("{name} Narrower")], "{new}");
    }
    let (was, is) = (json!([plain("q"), plain("tok")]), json!([plain("q")]));
    let known = ["tok".to_owned()];
    let sides = [&parameters(&was), &parameters(&is)];
    let found = validator::compare::described_parameters(sides, [&known; 2]);
    assert_eq!(text(&found), [""; 0]);
}

#[test]
fn discriminator_admits_overlapping_alternatives() {
    let alternative = |name: &str| json!({"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}, name: {"type": "integer"}}});
    let list = json!([alternative("m"), alternative("n")]);
    let plain = json!({"oneOf": list});
    let selected = json!({"oneOf": list, "discriminator": {"propertyName": "kind"}});
    let sides = [
        &body("application/json", &plain),
        &body("application/json", &selected),
    ];
    assert_eq!(compared(sides, false), ["body Unknown"]);
    assert_eq!(compared([sides[1], sides[0]], false), ["body Unknown"]);
    let described = json!({"oneOf": list, "discriminator": {"propertyName": "kind"}, "title": "t"});
    let other = body("application/json", &described);
    assert_eq!(compared([sides[1], &other], false), [""; 0]);
}
