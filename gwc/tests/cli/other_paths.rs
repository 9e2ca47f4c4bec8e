//! Bounds of the search for other readings and letter cases of a path.

use serde_json::json;

use crate::project::Project;
use crate::route::explained;

/// Tests a path with 64 readings and as many letter cases, at a host with 40 APIs at `/`.
#[test]
fn search_for_other_paths_has_a_bound() {
    let project = Project::bare();
    project.write(
        "gateway.yaml",
        "version: 1\nname: s\napis_glob: [\"api*.json\"]\nauth: {keys: {kind: api_key}}\n\
         consumers: {}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9\"}}}}\n\
         defaults: {upstream: u}\nlint: {way-round: \"off\"}\n",
    );
    for number in 0..40 {
        let operation =
            |id: &str| json!({"operationId": id, "responses": {"200": {"description": "ok"}}});
        let parameter =
            json!({"name": "p", "in": "path", "required": true, "schema": {"type": "string"}});
        let document = json!({
            "openapi": "3.1.0",
            "info": {"title": "x", "version": "1"},
            "security": [{"key": []}],
            "components": {"securitySchemes": {"key": {
                "type": "apiKey", "in": "header", "name": "X-Key", "x-gateway": {"auth": "keys"},
            }}},
            "paths": {
                format!("/t{number}/items"): {"get": operation("list")},
                format!("/files{number}/{{p}}"): {
                    "parameters": [parameter],
                    "x-gateway": {"match": "prefix"},
                    "get": {
                        "operationId": "file", "security": [], "x-gateway": {"public": true},
                        "responses": {"200": {"description": "ok"}},
                    },
                },
            },
        });
        project.write(&format!("api{number}.json"), document.to_string());
    }
    let answer = |path: &str| explained(&project, &["GET", &format!("http://a.test{path}")]);
    let long = answer(&format!(
        "/files0/Items/{}x.y;qy%2f%252fy%5cy%3byz",
        "y/".repeat(100)
    ));
    let text = long.to_string();
    assert!(text.contains("in too many ways"), "{text}");
}
