//! Tests of `gwc strip`: the public document contains nothing that clients must not see.

use std::fs;

use crate::project::Project;

const DOCUMENT: &str = "openapi: 3.1.0
# who may read this
info:
  title: Orders
  version: \"1\"
x-gateway: {owner: team-orders}
paths:
  /orders:
    x-gateway: {priority: 1}
    get:
      operationId: listOrders
      x-gateway-lint: {allow: [missing-license]}
      responses:
        \"200\":
          description: |
            Every order.
            Newest first.
          content: {application/json: {schema: {$ref: \"#/components/schemas/Order\"}}}
          links:
            audit: {operationId: audit}
            same: {operationId: listOrders}
    post:
      operationId: audit
      x-gateway: {internal: true}
      responses:
        \"200\":
          description: fine
          content: {application/json: {schema: {$ref: \"#/components/schemas/Audit\"}}}
  /internal:
    get: {operationId: inside, x-gateway: {internal: true}, responses: {\"200\": {description: fine}}}
components:
  schemas:
    Order: {type: object, x-gateway-ext-team: a}
    Audit: {type: object, properties: {by: {$ref: \"#/components/schemas/Person\"}}}
    Person: {type: object}
    Unused: {type: string}
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
";

const PUBLIC: &str = "openapi: \"3.1.0\"
info:
  title: Orders
  version: \"1\"
paths:
  /orders:
    get:
      operationId: listOrders
      responses:
        \"200\":
          description: |
            Every order.
            Newest first.
          content:
            application/json:
              schema:
                $ref: \"#/components/schemas/Order\"
          links:
            same:
              operationId: listOrders
components:
  schemas:
    Order:
      type: object
    Unused:
      type: string
  securitySchemes:
    key:
      type: apiKey
      in: header
      name: X-Key
";

#[test]
fn lone_document_is_stripped_of_gateway_keys() {
    let project = Project::bare();
    project.write("api.yaml", DOCUMENT);
    let ended = project.run(&["strip", "api.yaml"]).with(0);
    assert_eq!(ended.out, PUBLIC);
    assert_eq!(ended.err, "");
    let json = project
        .run(&["strip", "api.yaml", "--format", "json"])
        .with(0)
        .out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json,
        serde_yaml_ng::from_str::<serde_json::Value>(PUBLIC).unwrap()
    );
    // The output is a valid OpenAPI document, and stripping it again changes nothing.
    project.write("public.yaml", PUBLIC);
    project.run(&["lint", "public.yaml"]).with(0);
    assert_eq!(project.run(&["strip", "public.yaml"]).with(0).out, PUBLIC);
}

#[test]
fn strip_applies_the_overlays_of_the_named_api() {
    let project = Project::bare();
    project.write("api.yaml", DOCUMENT);
    project.write(
        "orders.gw.yaml",
        "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nactions:\n  - {target: \"$.paths['/orders/{id}'].get\", update: {x-gateway: {internal: true}}}\n  - {target: \"$.info\", update: {description: Orders of the shop}}\n",
    );
    project.edit(
        "gateway.yaml",
        "apis: {orders: {path: orders.yaml}}",
        "apis: {orders: {path: orders.yaml, overlays: [orders.gw.yaml]}, more: {path: api.yaml, mount: {base_path: /more}}}",
    );
    project.run(&["strip"]).with(64).contains("--api NAME");
    project
        .run(&["strip", "--api", "order"])
        .with(64)
        .contains("did you mean `orders`?");
    let orders = project.run(&["strip", "--api", "orders"]).with(0).out;
    assert!(
        orders.contains("description: Orders of the shop"),
        "{orders}"
    );
    assert!(
        !orders.contains("/orders/{id}") && !orders.contains("x-gateway"),
        "{orders}"
    );
    project.run(&["strip", "-o", "public"]).with(0);
    assert_eq!(project.read("public/more.yaml"), PUBLIC);
    assert_eq!(project.read("public/orders.yaml"), orders);
}

#[test]
fn document_with_an_invalid_api_name_is_an_error() {
    let project = Project::bare();
    project.edit(
        "gateway.yaml",
        "apis: {orders: {path: orders.yaml}}",
        "apis_glob: [\"*.api.yaml\"]",
    );
    let named = |name: &str| {
        DOCUMENT.replace(
            "{owner: team-orders}",
            &format!("{{owner: team-orders, api: \"{name}\"}}"),
        )
    };
    project.write("a.api.yaml", named("a/b"));
    let strip = ["strip", "-o", "public"];
    project
        .run(&strip)
        .with(65)
        .contains("`a/b` cannot name an API");
    // Two documents cannot both be the same API.
    project.write("a.api.yaml", named("shop"));
    project.write("b.api.yaml", named("shop"));
    project
        .run(&strip)
        .with(65)
        .contains("would both get the API name `shop`");
    assert!(!project.file("public").exists());
    project.write("b.api.yaml", named("other"));
    project.run(&strip).with(0);
    assert_eq!(project.read("public/shop.yaml"), PUBLIC);
    assert_eq!(project.read("public/other.yaml"), PUBLIC);
}

#[test]
fn other_files_are_named_and_leak_nothing_internal() {
    let project = Project::bare();
    fs::create_dir(project.file("paths")).unwrap();
    let api = |reference: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths:\n  /a: {{$ref: \"{reference}\"}}\n"
        )
    };
    let item = |internal: &str| {
        format!(
            "get: {{operationId: a, x-gateway: {{internal: {internal}}}, responses: {{\"200\": {{description: fine}}}}}}\n"
        )
    };
    project.write("api.yaml", api("paths/a.yaml"));
    project.write("paths/a.yaml", item("false"));
    project
        .run(&["strip", "api.yaml"])
        .with(0)
        .contains("paths/a.yaml");
    // The value of a variable is unknown to `gwc strip`, so it treats the operation as internal.
    for hides in ["true", "\"${var:HIDE}\""] {
        project.write("paths/a.yaml", item(hides));
        project
            .run(&["strip", "api.yaml"])
            .with(1)
            .contains("an operation there is internal");
    }
    project.write("api.yaml", "openapi: [");
    project
        .run(&["strip", "api.yaml"])
        .with(65)
        .contains("api.yaml:1:");
    project.run(&["strip", "missing.yaml"]).with(65);
    project.run(&["strip", "api.yaml", "--api", "a"]).with(64);
    // A remaining part must not refer to a removed one.
    project.write(
        "api.yaml",
        DOCUMENT.replace(
            "$ref: \"#/components/schemas/Order\"",
            "$ref: \"#/paths/~1internal/get/responses\"",
        ),
    );
    project
        .run(&["strip", "api.yaml"])
        .with(1)
        .contains("refers to a part that is left out");
}

/// Names and descriptions of tags, and security schemes, of internal operations are not public.
#[test]
fn tags_of_internal_operations_are_left_out() {
    let project = Project::bare();
    project.write(
        "api.yaml",
        "openapi: 3.2.0
info: {title: Orders, version: \"1\"}
security: [{staff: []}]
tags:
- {name: orders, description: Everything about orders}
- {name: admin, description: SECRET tools}
- {name: all}
- {name: open, parent: all}
- {name: nobody}
x-tagGroups:
- {name: group, tags: [orders, admin]}
paths:
  /orders:
    get: {tags: [orders, open], security: [{key: []}], responses: {}}
    post: {tags: [admin, all], x-gateway: {internal: true}, responses: {}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key}
    staff: {type: http, scheme: basic, description: SECRET realm}
",
    );
    let public = project
        .run(&["strip", "api.yaml", "--format", "json"])
        .with(0)
        .out;
    let public: serde_json::Value = serde_json::from_str(&public).unwrap();
    let names = |list: &serde_json::Value| -> Vec<String> {
        let tags = list.as_array().unwrap().iter();
        tags.map(|tag| tag["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&public["tags"]), ["orders", "all", "open", "nobody"]);
    assert_eq!(
        public["x-tagGroups"][0]["tags"],
        serde_json::json!(["orders"])
    );
    assert!(public.get("security").is_none(), "{public}");
    assert!(!public.to_string().contains("SECRET"), "{public}");
    let yaml = project.run(&["strip", "api.yaml"]).with(0).out;
    assert!(
        !yaml.contains("SECRET") && !yaml.contains("admin"),
        "{yaml}"
    );
    // Without an internal operation, the output keeps all tags and schemes.
    project.edit("api.yaml", ", x-gateway: {internal: true}", "");
    let all = project.run(&["strip", "api.yaml"]).with(0).out;
    assert!(
        all.contains("SECRET tools") && all.contains("SECRET realm"),
        "{all}"
    );
}

#[test]
fn name_that_leads_out_of_the_folder_is_refused() {
    let project = Project::bare();
    let gateway = project.read("gateway.yaml");
    let outside = Project::empty();
    outside.write("app.yaml", "kept\n");
    let absolute = outside.file("app").display().to_string();
    for name in ["../app", "a/../../app", ".git/hook", &absolute] {
        project.write(
            "gateway.yaml",
            gateway.replacen("orders:", &format!("\"{name}\":"), 1),
        );
        for arguments in [
            &["strip", "-o", "public"][..],
            &["strip", "-o", "public", "--format", "json"],
            &["strip"],
        ] {
            project
                .run(arguments)
                .with(65)
                .contains("cannot be the name of an API");
        }
        assert!(!project.file("app.yaml").exists(), "{name}");
        assert!(!project.file("public").exists(), "{name}");
    }
    assert_eq!(outside.read("app.yaml"), "kept\n");
}
