//! Query parameters that the other side describes as a whole (`querystring`), path parameters beside
//! literal text, and the encoding of forms.

use plan::{Plan, compare};

use crate::meaning::GATEWAY;
use crate::side;

fn between(version: &str, old: &str, new: &str) -> Plan {
    let document = |paths: &str| {
        format!("openapi: {version}\ninfo: {{title: t, version: \"1\"}}\npaths: {{{paths}}}\n")
    };
    let side = |paths: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(paths))]);
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

/// Ids of the lines of level `error`.
fn errors(plan: &Plan) -> Vec<&str> {
    let changes = plan.changes.iter();
    let changes = changes.filter(|one| one.message.is_some() && one.level() == "error");
    changes.map(|one| one.id).collect()
}

#[test]
fn query_described_as_a_whole_is_a_break() {
    let of = |parameters: &str| {
        format!("/x: {{get: {{operationId: x, parameters: [{parameters}], responses: {{}}}}}}")
    };
    let one = of("{name: a, in: query, schema: {type: string}}");
    let whole = |name: &str, kind: &str| {
        of(&format!(
            "{{name: {name}, in: querystring, content: {{application/x-www-form-urlencoded: {{schema: {{type: object, properties: {{a: {{type: {kind}}}}}}}}}}}}}"
        ))
    };
    let (text, number) = (whole("v", "string"), whole("v", "integer"));
    let found = |old: &str, new: &str| {
        let plan = between("3.2.0", old, new);
        errors(&plan).join(",")
    };
    assert_eq!(found(&one, &number), "request-serialization-changed");
    assert_eq!(found(&text, &one), "request-serialization-changed");
    // The name of the parameter has no effect on requests.
    assert_eq!(found(&text, &whole("w", "string")), "");
    assert_ne!(found(&text, &whole("w", "integer")), "");
}

#[test]
fn parameter_beside_other_text_is_another_parameter() {
    let of = |path: &str, parameters: &[(&str, &str)]| {
        let all = parameters.iter().map(|(name, schema)| {
            format!("{{name: {name}, in: path, required: true, schema: {{{schema}}}}}")
        });
        let all: Vec<String> = all.collect();
        format!(
            "'{path}': {{get: {{operationId: t, parameters: [{}], responses: {{}}}}}}",
            all.join(", ")
        )
    };
    let number = "type: integer";
    let suffixed = of("/u/{a}.json", &[("a", number)]);
    let plain = of("/u/{x}", &[("x", number)]);
    for (old, new) in [
        (&suffixed, &plain),
        (&of("/u/v{a}", &[("a", number)]), &plain),
        (&of("/u/{a}-{b}", &[("a", number), ("b", number)]), &plain),
    ] {
        let plan = between("3.1.0", old, new);
        assert!(!errors(&plan).is_empty(), "{old} {new}");
    }
    // The texts are equal.
    let renamed = of("/u/{b}.json", &[("b", number)]);
    let plan = between("3.1.0", &suffixed, &renamed);
    assert_eq!(errors(&plan), [""; 0], "{:?}", plan.changes);
}

#[test]
fn literal_is_compared_decoded() {
    let parameter = |schema: &str| {
        format!(
            "'/u/{{x}}': {{get: {{operationId: t, parameters: [{{name: x, in: path, required: true, schema: {{{schema}}}}}], responses: {{}}}}}}"
        )
    };
    let literal = |text: &str| {
        format!(
            "'/u/{text}': {{get: {{operationId: l, parameters: [{{name: z, in: query, required: true, schema: {{type: string}}}}], responses: {{}}}}}}"
        )
    };
    for (listed, text) in [("a b", "a%20b"), ("éé", "éé"), ("ab", "ab")] {
        let old = parameter(&format!("enum: [{listed}, e]"));
        let new = format!("{old}, {}", literal(text));
        let plan = between("3.1.0", &old, &new);
        assert_eq!(
            errors(&plan),
            ["new-required-request-parameter"],
            "{listed}"
        );
        let literal = literal(text).replace(", required: true", "");
        let plan = between("3.1.0", &literal, &parameter(&format!("enum: [{listed}]")));
        assert_eq!(errors(&plan), [""; 0], "{listed}");
    }
}

#[test]
fn only_the_defaults_of_encoding_may_be_written_out() {
    let of = |media: &str, schema: &str, encoding: &str| {
        format!(
            "/x: {{post: {{operationId: x, requestBody: {{content: {{{media}: {{schema: {{type: object, properties: {{p: {{{schema}}}}}}}{encoding}}}}}}}, responses: {{}}}}}}"
        )
    };
    let (form, parts) = ("application/x-www-form-urlencoded", "multipart/form-data");
    let (text, list, object) = (
        "type: string",
        "type: array, items: {type: string}",
        "type: object, properties: {a: {type: string}}",
    );
    for (media, schema, old, new, is_break) in [
        (form, text, "", "style: form, explode: true", false),
        (parts, object, "", "contentType: application/json", false),
        (parts, text, "", "contentType: text/plain", false),
        // A written style replaces the media type.
        (form, object, "", "style: form, explode: true", true),
        (form, list, "", "style: form", true),
        (
            form,
            text,
            "contentType: application/json",
            "contentType: application/json, style: form",
            true,
        ),
        (form, text, "", "style: spaceDelimited", true),
        (parts, text, "", "style: form", true),
        (parts, text, "", "contentType: application/json", true),
        // Servers may understand more types.
        (
            parts,
            text,
            "contentType: image/png",
            "contentType: 'image/jpeg, image/PNG'",
            false,
        ),
        (
            parts,
            text,
            "contentType: 'image/png, image/jpeg'",
            "contentType: image/*",
            false,
        ),
        (
            parts,
            text,
            "contentType: 'image/png, image/jpeg'",
            "contentType: image/png",
            true,
        ),
        (
            parts,
            text,
            "contentType: image/png",
            "contentType: 'image/jpeg, image/png', headers: {X-A: {required: true, schema: {type: string}}}",
            true,
        ),
    ] {
        let body = |keys: &str| match keys {
            "" => of(media, schema, ""),
            keys => of(media, schema, &format!(", encoding: {{p: {{{keys}}}}}")),
        };
        let plan = between("3.1.0", &body(old), &body(new));
        let expected = if is_break {
            vec!["request-serialization-changed"]
        } else {
            Vec::new()
        };
        assert_eq!(errors(&plan), expected, "{media} {schema}: {old} -> {new}");
    }
}
