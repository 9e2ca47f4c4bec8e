//! Tests that a changed member of `oneOf`, `anyOf` or `allOf` is one change, and not a removal and
//! an addition.

use plan::{Class, Plan};

use crate::meaning::between;

/// Ids of the changes of a plan with this class.
fn ids(plan: &Plan, class: Class) -> Vec<&'static str> {
    let changes = plan.changes.iter().filter(|change| change.class == class);
    changes.map(|change| change.id).collect()
}

/// True if a change is about a whole member.
fn has_member(plan: &Plan) -> bool {
    let mut ids = plan.changes.iter().map(|change| change.id);
    ids.any(|id| id.contains("-of-added") || id.contains("-of-removed"))
}

#[test]
fn wider_members_are_paired_by_meaning() {
    // Less than half of the keywords of each member stay.
    let old = "{anyOf: [{type: string, pattern: '^a$', minLength: 1, maxLength: 1}, \
               {type: integer, minimum: 1, maximum: 5, multipleOf: 2}]}";
    let new = "{anyOf: [{type: string}, {type: integer}]}";
    for (direction, old, new) in [("request", old, new), ("response", new, old)] {
        let plan = between(direction, old, new);
        assert!(!has_member(&plan), "{direction}: {:?}", plan.changes);
        assert_eq!(ids(&plan, Class::Break), Vec::<&str>::new(), "{direction}");
    }
}

#[test]
fn last_members_of_both_sides_are_a_pair() {
    let object = |more: &str| format!("{{type: object, properties: {{k: {{const: a}}{more}}}}}");
    let (was, is) = (object(""), object(", z: {type: string}"));
    let old = format!("{{oneOf: [{was}, {{type: string, maxLength: 5}}, {{type: integer}}]}}");
    let new =
        format!("{{oneOf: [{is}, {{type: string, enum: [x, y, long-value]}}, {{type: integer}}]}}");
    let plan = between("request", &old, &new);
    assert!(!has_member(&plan), "{:?}", plan.changes);
    assert!(ids(&plan, Class::Break).contains(&"request-property-became-enum"));
}

#[test]
fn changed_member_of_another_keyword_is_one_break() {
    let member = |kind: &str, most: u8| {
        format!(
            "{{type: object, required: [k], properties: {{k: {{const: {kind}}}, v: {{type: string, maxLength: {most}}}}}}}"
        )
    };
    let (a, b, narrow) = (member("a", 5), member("b", 5), member("a", 3));
    let old = format!("{{oneOf: [{a}, {b}]}}");
    let plan = between("request", &old, &format!("{{anyOf: [{narrow}, {b}]}}"));
    let expected = ["request-property-max-length-decreased"];
    assert_eq!(ids(&plan, Class::Break), expected);
    // Without a changed member, nothing breaks.
    let plan = between("request", &old, &format!("{{anyOf: [{a}, {b}]}}"));
    assert_eq!(ids(&plan, Class::Break), Vec::<&str>::new());
}

#[test]
fn properties_of_merged_members_are_compared() {
    let split = "{allOf: [{type: object, properties: {x: {type: string, maxLength: 5}}}, \
                 {required: [y], properties: {y: {type: string}}}]}";
    let merged = |most: u8| {
        format!(
            "{{type: object, required: [y], properties: {{x: {{type: string, maxLength: {most}}}, y: {{type: string}}}}}}"
        )
    };
    let narrower = merged(3);
    let plan = between("request", split, &narrower);
    let expected = ["request-property-max-length-decreased"];
    let all: Vec<&str> = plan.changes.iter().map(|change| change.id).collect();
    assert_eq!(all, expected);
    let subject = &plan.changes[0].subject;
    assert_eq!(subject, "body.a.x maxLength");
    let plan = between("response", &narrower, split);
    let all: Vec<&str> = plan.changes.iter().map(|change| change.id).collect();
    assert_eq!(all, ["response-property-max-length-increased"]);
    // Members that restrict other properties keep their meaning.
    let closed = "{allOf: [{type: object, additionalProperties: false, properties: {x: {type: string}}}, \
                  {required: [y]}]}";
    let plan = between("request", &merged(3), closed);
    assert!(!ids(&plan, Class::Break).is_empty());
}
