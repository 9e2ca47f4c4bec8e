//! Tests that refactorings give the same bundle id and an empty plan, and that changes of behaviour
//! give another id.

use crate::{DOCUMENT, GATEWAY, edit, lines, plan, side};

fn same(gateway: &str, document: &str) {
    let before = side(&[("gateway.yaml", GATEWAY), ("api.yaml", DOCUMENT)]);
    let after = side(&[("gateway.yaml", gateway), ("api.yaml", document)]);
    assert_eq!(before.bundle, after.bundle);
    assert_eq!(
        lines(&plan((GATEWAY, DOCUMENT), (gateway, document))),
        Vec::<String>::new()
    );
}

fn same_document(from: &str, to: &str) {
    same(GATEWAY, &edit(DOCUMENT, from, to));
}

#[test]
fn comments_and_spaces_keep_the_bundle_id() {
    same_document("paths:", "# the paths\n\npaths:   # here");
}

#[test]
fn order_of_keys_keeps_the_bundle_id() {
    same_document(
        "{operationId: listOrders, summary: List, responses",
        "{summary: List, operationId: listOrders, responses",
    );
    same_document(
        "  /orders:\n    get: {operationId: listOrders, summary: List, responses: {\"200\": {description: fine}}}\n    post: {operationId: createOrder, security: [{key: []}, {pair: []}], responses: {\"201\": {description: made}}}\n",
        "  /orders:\n    post: {operationId: createOrder, security: [{key: []}, {pair: []}], responses: {\"201\": {description: made}}}\n    get: {operationId: listOrders, summary: List, responses: {\"200\": {description: fine}}}\n",
    );
    same(
        &edit(
            &edit(
                GATEWAY,
                "  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}\n",
                "",
            ),
            "upstreams:\n  v: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}\n",
            "upstreams:\n  v: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}\n  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}\n",
        ),
        DOCUMENT,
    );
}

#[test]
fn json_and_yaml_have_one_bundle_id() {
    let json = r##"{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "security": [{"key": []}], "paths": {
        "/status": {"get": {"operationId": "getStatus", "security": [], "x-gateway": {"public": true}, "responses": {"200": {"description": "fine"}}}},
        "/orders": {"get": {"operationId": "listOrders", "summary": "List", "responses": {"200": {"description": "fine"}}},
                    "post": {"operationId": "createOrder", "security": [{"key": []}, {"pair": []}], "responses": {"201": {"description": "made"}}}},
        "/orders/{id}": {"parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}],
                    "get": {"operationId": "getOrder", "responses": {"200": {"description": "fine"}}},
                    "delete": {"operationId": "deleteOrder", "security": [{"pair": [], "key": []}], "responses": {"204": {"description": "gone"}}}}},
        "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key", "x-gateway": {"auth": "keys"}},
                    "pair": {"type": "http", "scheme": "basic", "x-gateway": {"auth": "staff"}}}}}"##;
    let before = side(&[("gateway.yaml", GATEWAY), ("api.yaml", DOCUMENT)]);
    let after = side(&[
        ("gateway.yaml", &edit(GATEWAY, "api.yaml", "api.json")),
        ("api.json", json),
    ]);
    assert_eq!(before.bundle, after.bundle);
}

#[test]
fn ignored_descriptions_keep_the_bundle_id() {
    let list = "{operationId: listOrders, summary: List,";
    for name in ["Accept", "content-type", "Authorization"] {
        let parameter =
            format!("{{name: {name}, in: header, required: true, schema: {{type: integer}}}}");
        same_document(list, &format!("{list} parameters: [{parameter}],"));
    }
    let with = |headers: &str, encoding: &str| {
        let content =
            "content: {application/json: {schema: {type: object, properties: {a: {type: string}}}";
        edit(
            DOCUMENT,
            &format!("{list} responses: {{\"200\": {{description: fine}}}}"),
            &format!(
                "{list} responses: {{\"200\": {{description: fine{headers}, {content}{encoding}}}}}}}}}"
            ),
        )
    };
    let written = with(
        ", headers: {Content-Type: {required: true, schema: {type: integer}}}",
        ", encoding: {a: {contentType: text/csv}}",
    );
    let (before, after) = (with("", ""), written);
    assert_eq!(
        lines(&plan((GATEWAY, &before), (GATEWAY, &after))),
        Vec::<String>::new()
    );
}

#[test]
fn part_moved_to_its_own_file_keeps_the_bundle_id() {
    let split = edit(
        DOCUMENT,
        "{$ref: \"#/components/parameters/Id\"}",
        "{$ref: \"parts/id.yaml\"}",
    );
    let before = side(&[("gateway.yaml", GATEWAY), ("api.yaml", DOCUMENT)]);
    let after = side(&[
        ("gateway.yaml", GATEWAY),
        ("api.yaml", &split),
        (
            "parts/id.yaml",
            "name: id\nin: path\nrequired: true\nschema: {type: string}\n",
        ),
    ]);
    assert_eq!(before.bundle, after.bundle);
}

#[test]
fn renamed_components_keep_the_bundle_id() {
    same(
        GATEWAY,
        &DOCUMENT
            .replace("parameters/Id", "parameters/OrderId")
            .replace("    Id:", "    OrderId:"),
    );
    same(
        GATEWAY,
        &DOCUMENT
            .replace("{key:", "{apiKey:")
            .replace("    key:", "    apiKey:"),
    );
}

#[test]
fn inlined_references_keep_the_bundle_id() {
    same_document(
        "{$ref: \"#/components/parameters/Id\"}",
        "{name: id, in: path, required: true, schema: {type: string}}",
    );
    let moved = edit(
        DOCUMENT,
        "    parameters: [{$ref: \"#/components/parameters/Id\"}]\n",
        "",
    );
    let moved = edit(
        &moved,
        "{operationId: getOrder,",
        "{operationId: getOrder, parameters: [{$ref: \"#/components/parameters/Id\"}],",
    );
    same(
        GATEWAY,
        &edit(
            &moved,
            "{operationId: deleteOrder,",
            "{operationId: deleteOrder, parameters: [{$ref: \"#/components/parameters/Id\"}],",
        ),
    );
}

#[test]
fn spelled_out_defaults_keep_the_bundle_id() {
    same_document(
        "{operationId: listOrders,",
        "{operationId: listOrders, deprecated: false, security: [{key: []}],",
    );
    same(
        &edit(
            GATEWAY,
            "auth:",
            "listeners: {public: {address: \"127.0.0.1:8080\", protocol: http, limits: {connections: 10000, header_timeout: 10s}}}\nauth:",
        ),
        DOCUMENT,
    );
    same(
        &edit(
            GATEWAY,
            "{path: api.yaml}",
            "{path: api.yaml, mount: {base_path: /, strip_base_path: false}}",
        ),
        DOCUMENT,
    );
    same(&edit(GATEWAY, "timeout: 5s", "timeout: 5000ms"), DOCUMENT);
}

#[test]
fn overlay_and_document_have_one_bundle_id() {
    let plain = edit(DOCUMENT, "x-gateway: {auth: keys}", "x-other: 1");
    let overlay = "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nactions:\n  - {target: \"$.components.securitySchemes.key\", update: {x-gateway: {auth: keys}}}\n";
    let before = side(&[("gateway.yaml", GATEWAY), ("api.yaml", DOCUMENT)]);
    let after = side(&[
        (
            "gateway.yaml",
            &edit(
                GATEWAY,
                "{path: api.yaml}",
                "{path: api.yaml, overlays: [o.yaml]}",
            ),
        ),
        ("api.yaml", &plain),
        ("o.yaml", overlay),
    ]);
    assert_eq!(before.bundle, after.bundle);
}

#[test]
fn changed_behaviour_changes_the_bundle_id() {
    let before = side(&[("gateway.yaml", GATEWAY), ("api.yaml", DOCUMENT)]);
    let edits = [
        edit(GATEWAY, "timeout: 5s", "timeout: 6s"),
        edit(GATEWAY, "limit: 10/s", "limit: 11/s"),
        edit(GATEWAY, "name: shop", "name: shops"),
        edit(GATEWAY, ":9000", ":9009"),
    ];
    for gateway in edits {
        let after = side(&[("gateway.yaml", &gateway), ("api.yaml", DOCUMENT)]);
        assert_ne!(before.bundle, after.bundle);
    }
    for (from, to) in [
        ("operationId: getOrder", "operationId: readOrder"),
        ("/status:", "/state:"),
        ("{\"204\"", "{\"205\""),
    ] {
        let after = side(&[
            ("gateway.yaml", GATEWAY),
            ("api.yaml", &edit(DOCUMENT, from, to)),
        ]);
        assert_ne!(before.bundle, after.bundle, "{from}");
    }
}
