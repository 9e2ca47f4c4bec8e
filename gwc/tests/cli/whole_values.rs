//! Test that the JSON of a plan defines each schema that its values contain only as a digest.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::project::Project;

/// Digests in a value: `{"$recursive": DIGEST}`.
fn digests(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            let digest = entries.get("$recursive").and_then(Value::as_str);
            found.extend(digest.map(str::to_owned));
            entries.values().for_each(|value| digests(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| digests(item, found)),
        _ => {}
    }
}

/// Document whose response has a property `whole` with 700 schemas, and one that contains itself.
fn document(whole: &str) -> String {
    let schemas = (0..700).map(|number| {
        format!("        p{number}: {{type: object, properties: {{v{number}: {{type: string, maxLength: {}}}}}}}\n", number + 1)
    });
    let schemas: String = schemas.collect();
    format!(
        "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /a:
    get:
      operationId: read
      responses: {{\"200\": {{description: d, content: {{application/json: {{schema: {{type: object, required: [whole], properties: {{{whole}}}}}}}}}}}}}
components:
  schemas:
    Node: {{type: object, properties: {{name: {{type: string}}, next: {{$ref: \"#/components/schemas/Node\"}}}}}}
    Whole:
      type: object
      properties:
        node: {{$ref: \"#/components/schemas/Node\"}}
{schemas}"
    )
}

#[test]
fn each_digest_of_a_value_has_its_schema() {
    let project = Project::empty();
    project.write(
        "old.yaml",
        document("whole: {$ref: \"#/components/schemas/Whole\"}"),
    );
    project.write("new.yaml", document(""));
    let plan = project.run(&["diff", "old.yaml", "new.yaml", "--format", "json"]);
    let plan = plan.with(0).json("plan/v1");
    let (mut used, mut inside) = (BTreeSet::new(), BTreeSet::new());
    digests(&plan["changes"], &mut used);
    digests(&plan["schemas"], &mut inside);
    let defined = plan["schemas"].as_object().expect("a map");
    // The value has 1,403 schemas, of which it shows 512.
    assert!(used.len() > 180, "{}", used.len());
    assert!(
        used.union(&inside)
            .all(|digest| defined.contains_key(digest))
    );
    let reached: BTreeSet<&String> = used.union(&inside).collect();
    assert!(defined.keys().all(|digest| reached.contains(digest)));
    // The schemas are those of the document: the last one has the greatest limit.
    let text = plan["schemas"].to_string();
    assert!(
        text.contains("\"maxLength\":700"),
        "the last schema is missing"
    );
    let recursive = defined
        .values()
        .find(|schema| !schema["properties"]["next"].is_null());
    let next = &recursive.expect("the schema that contains itself")["properties"]["next"];
    let own = next["$recursive"].as_str().expect("a digest");
    assert_eq!(&defined[own], recursive.expect("it was found"));
}

#[test]
fn small_values_have_no_digests() {
    let project = Project::empty();
    project.write("old.yaml", document("whole: {type: string}"));
    project.write("new.yaml", document("whole: {type: integer}"));
    let plan = project.run(&["diff", "old.yaml", "new.yaml", "--format", "json"]);
    let plan = plan.with(0).json("plan/v1");
    assert_eq!(plan["schemas"], serde_json::json!({}));
}
