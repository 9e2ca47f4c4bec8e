//! Tests of the published JSON Schema: it equals the schema in the code, and has exactly the keys
//! of a trust file.

use bundle::statement::predicate::Role;
use bundle::trust::schema;
use serde_json::Value;

use crate::fixture::*;

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../schemas/trust.schema.json"
);

/// Checks that the published file equals the schema in the code.
/// `UPDATE=1 cargo test -p bundle --features folder` rewrites the file.
#[test]
fn the_published_schema_is_fresh() {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, schema::text()).unwrap();
    }
    let published = std::fs::read_to_string(FILE).unwrap();
    assert_eq!(published, schema::text(), "stale: run again with UPDATE=1");
}

#[test]
fn the_schema_names_exactly_the_keys_of_a_trust_file() {
    let schema: Value = serde_json::from_str(schema::text()).unwrap();
    let trust = trust()
        .with_floors(prod(), bundle::trust::Floors::default())
        .and_then(|trust| trust.with_approvals(prod(), 2, Some(bundle("one").id())))
        .unwrap();
    let file: Value = serde_json::from_str(&trust.to_json()).unwrap();
    let keys = |value: &Value| -> Vec<String> {
        let object = value.as_object().unwrap();
        let mut keys: Vec<_> = object
            .keys()
            .filter(|key| *key != "$schema")
            .cloned()
            .collect();
        keys.sort();
        keys
    };
    let properties = &schema["properties"];
    assert_eq!(keys(&file), keys(properties));
    let key = &properties["keys"]["items"];
    assert_eq!(keys(&file["keys"][0]), keys(&key["properties"]));
    let mut required = key["required"].as_array().unwrap().to_vec();
    required.sort_by_key(Value::to_string);
    assert_eq!(
        required,
        keys(&key["properties"]),
        "every key of a key is required"
    );
    let floors = &properties["channels"]["additionalProperties"]["properties"];
    assert_eq!(keys(&file["channels"]["prod"]), keys(floors));
    assert_eq!(
        keys(&file["thresholds"]),
        keys(&properties["thresholds"]["properties"])
    );
    let roles: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
    assert_eq!(
        key["properties"]["roles"]["items"]["enum"],
        Value::from(roles)
    );
}
