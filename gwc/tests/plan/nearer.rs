//! Tests of descriptions that are new beside a wider one which described the same messages: a media
//! type beside a range, a status beside its class, and a property that is no longer `readOnly`.

use plan::{Class, Plan, compare};

use crate::side;

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
";

const IDS: &str = "{type: object, required: [id], properties: {id: {type: integer}}}";
const OTHERS: &str = "{type: object, properties: {other: {type: string}}}";

/// Plan between two descriptions of an operation.
fn between(old: &str, new: &str) -> Plan {
    let side = |operation: &str| {
        let document = format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\n\
             paths: {{/x: {{post: {{operationId: x, {operation}}}}}}}\n"
        );
        side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document)])
    };
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

/// Breaks of a plan, each with its path and its witness.
fn breaks(plan: &Plan) -> Vec<(&str, String, String)> {
    let changes = plan.changes.iter();
    let changes = changes.filter(|change| change.class == Class::Break);
    let breaks = changes.map(|change| {
        let message = change.message.as_ref().expect("a message");
        let witness = message.witness.as_ref().map(ToString::to_string);
        (change.id, message.path.clone(), witness.unwrap_or_default())
    });
    breaks.collect()
}

fn request(content: &str) -> String {
    format!("requestBody: {{content: {{{content}}}}}, responses: {{}}")
}

#[test]
fn media_type_beside_a_range_is_compared_with_it() {
    let json = format!("application/json: {{schema: {IDS}}}");
    for range in ["application/*", "'*/*'"] {
        let range = format!("{range}: {{schema: {{}}}}");
        let plan = between(&request(&range), &request(&format!("{range}, {json}")));
        let found = breaks(&plan);
        assert!(!found.is_empty(), "{range}");
        assert!(found.iter().all(|(.., witness)| !witness.is_empty()));
    }
    // Other ranges described other messages, and a range with an equal schema changes nothing.
    for range in ["text/*: {schema: {}}", &format!("'*/*': {{schema: {IDS}}}")] {
        let plan = between(&request(range), &request(&format!("{range}, {json}")));
        assert_eq!(breaks(&plan), [], "{range}");
    }
}

#[test]
fn status_beside_its_class_is_compared_with_it() {
    let described = |status: &str, schema: &str| {
        format!(
            "'{status}': {{description: d, content: {{application/json: {{schema: {schema}}}}}}}"
        )
    };
    let responses = |all: &[String]| format!("responses: {{{}}}", all.join(", "));
    for class in ["2XX", "default"] {
        let old = described(class, IDS);
        let with = |schema: &str| responses(&[old.clone(), described("200", schema)]);
        let plan = between(&responses(std::slice::from_ref(&old)), &with(OTHERS));
        let found = breaks(&plan);
        assert!(
            found
                .iter()
                .any(|(_, path, witness)| path.starts_with("response 200 ") && witness == "{}"),
            "{found:?}"
        );
        let plan = between(&responses(std::slice::from_ref(&old)), &with(IDS));
        assert_eq!(breaks(&plan), []);
    }
    // Beside a success status, `default` describes errors. 204 has no content.
    let old = [described("200", IDS), described("default", IDS)];
    let new = [&old[..], &[described("201", OTHERS)]].concat();
    assert_eq!(breaks(&between(&responses(&old), &responses(&new))), []);
    let old = described("2XX", IDS);
    let new = [old.clone(), "'204': {description: d}".to_owned()];
    assert_eq!(breaks(&between(&responses(&[old]), &responses(&new))), []);
    // The class of other statuses described other responses.
    let old = described("4XX", IDS);
    let new = responses(&[old.clone(), described("200", OTHERS)]);
    assert_eq!(breaks(&between(&responses(&[old]), &new)), []);
}

#[test]
fn property_that_clients_must_send_now_breaks() {
    let schema = |keyword: &str| {
        format!("{{type: object, required: [i], properties: {{i: {{type: string{keyword}}}}}}}")
    };
    let body = |keyword: &str| {
        request(&format!(
            "application/json: {{schema: {}}}",
            schema(keyword)
        ))
    };
    let plan = between(&body(", readOnly: true"), &body(""));
    let found = breaks(&plan);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "request-property-became-required");
    assert_eq!(breaks(&between(&body(""), &body(", readOnly: true"))), []);
    let optional = "application/json: {schema: {type: object, properties: {i: {readOnly: true}}}}";
    let plan = between(&request(optional), &body(""));
    let mut found = breaks(&plan).into_iter();
    assert!(found.any(|(id, ..)| id == "request-property-became-required"));

    let answer = |keyword: &str| {
        format!(
            "responses: {{'200': {{description: d, content: {{application/json: {{schema: {}}}}}}}}}",
            schema(keyword)
        )
    };
    let plan = between(&answer(""), &answer(", writeOnly: true"));
    let found = breaks(&plan);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "response-property-became-optional");
    assert_eq!(
        breaks(&between(&answer(", writeOnly: true"), &answer(""))),
        []
    );
}
