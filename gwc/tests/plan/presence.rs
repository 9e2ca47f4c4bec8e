//! Tests of required properties that only one side excludes from messages (`readOnly`,
//! `writeOnly`), with `required` in another schema of the same value.

use crate::hidden_breaks::lines;
use crate::meaning::between_bodies;

/// Bodies in which `MARK` is a keyword of the property `i`, and start of the expected line without
/// the direction.
const BODIES: &[(&str, &str)] = &[
    (
        "{required: [i], properties: {i: {type: string MARK}}}",
        "property-became",
    ),
    (
        "{allOf: [{type: object, required: [i]}, {properties: {i: {type: string MARK}}}]}",
        "schema-",
    ),
    (
        "{type: object, required: [i], allOf: [{properties: {i: {type: string MARK}}}]}",
        "schema-",
    ),
    (
        "{type: object, properties: {i: {type: string MARK}, j: {}}, anyOf: [{required: [i]}, {required: [j]}]}",
        "schema-",
    ),
    (
        "{type: object, properties: {i: {type: string MARK}}, if: {type: object}, then: {required: [i]}}",
        "schema-",
    ),
    (
        "{type: object, allOf: [{required: [i], maxProperties: 9}, {properties: {i: {type: string MARK}, j: {}}}]}",
        "schema-",
    ),
];

#[test]
fn required_property_of_one_side_only_breaks() {
    for (body, expected) in BODIES {
        let plain = body.replace(" MARK", "");
        let read_only = body.replace(" MARK", ", readOnly: true");
        let write_only = body.replace(" MARK", ", writeOnly: true");
        for (direction, old, new) in [
            ("request", &read_only, &plain),
            ("response", &plain, &write_only),
        ] {
            let found = lines(&between_bodies(direction, old, new));
            let is_expected = |line: &&String| {
                line.starts_with(&format!("{direction}-{expected}"))
                    && line.ends_with(" error refuted {}")
            };
            let count = found.iter().filter(is_expected).count();
            assert_eq!(count, 1, "{direction} {old} to {new}: {found:?}");
        }
        for (direction, old, new) in [
            ("request", &plain, &read_only),
            ("response", &write_only, &plain),
            ("response", &read_only, &plain),
            ("request", &plain, &write_only),
        ] {
            let found = lines(&between_bodies(direction, old, new));
            let is_harmless = |line: &String| !line.contains(" error ");
            assert!(
                found.iter().all(is_harmless),
                "{direction} {old} to {new}: {found:?}"
            );
        }
    }
}

/// Another object of the contract has a property of this name that is read-only.
#[test]
fn read_only_name_of_another_object_hides_no_break() {
    let body = |mark: &str| {
        format!(
            "{{allOf: [{{type: object, required: [i]}}, {{properties: {{i: {{type: string {mark}}}, \
             o: {{type: object, properties: {{i: {{type: string, readOnly: true}}}}}}}}}}]}}"
        )
    };
    let found = lines(&between_bodies(
        "request",
        &body(", readOnly: true"),
        &body(""),
    ));
    let is_refuted = |line: &String| line == "request-schema-narrowed error refuted {}";
    assert!(found.iter().any(is_refuted), "{found:?}");
}

/// Each line shows only a value that its keyword refuses.
#[test]
fn shared_example_is_only_at_keywords_that_refuse_it() {
    let old = "{type: object, properties: {a: {}, b: {}}}";
    let new = "{type: object, properties: {a: {}, b: {}}, oneOf: [{required: [a]}, {required: [b]}], dependentRequired: {a: [b]}}";
    for (direction, old, new) in [("request", old, new), ("response", new, old)] {
        let plan = between_bodies(direction, old, new);
        let messages = plan.changes.iter().filter_map(|one| one.message.as_deref());
        for message in messages.filter(|message| message.keyword == "dependentRequired") {
            let witness = message.witness.as_ref().and_then(|one| one.as_object());
            let witness = witness.unwrap_or_else(|| panic!("{:?}", lines(&plan)));
            assert!(witness.contains_key("a") && !witness.contains_key("b"));
        }
    }
}

/// A property of one alternative, whose values the other alternative accepts, too.
#[test]
fn value_of_another_alternative_is_no_break() {
    let body = |format: &str| {
        format!(
            "{{anyOf: [{{type: object, properties: {{name: {{type: string}}}}}}, \
             {{type: object, properties: {{name: {{type: string}}, rate: {{type: integer {format}}}}}}}]}}"
        )
    };
    let found = lines(&between_bodies(
        "request",
        &body(""),
        &body(", format: int32"),
    ));
    assert!(
        found.iter().all(|line| !line.contains(" error ")),
        "{found:?}"
    );
    // The other alternative does not accept the property.
    let body = |format: &str| {
        format!(
            "{{anyOf: [{{type: object, properties: {{name: {{type: string}}}}, additionalProperties: false}}, \
             {{type: object, properties: {{name: {{type: string}}, rate: {{type: integer {format}}}}}}}]}}"
        )
    };
    let found = lines(&between_bodies(
        "request",
        &body(""),
        &body(", format: int32"),
    ));
    assert!(
        found
            .iter()
            .any(|line| line.contains(" error refuted 2147483648")),
        "{found:?}"
    );
}
