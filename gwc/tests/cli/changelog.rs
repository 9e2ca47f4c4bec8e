//! `gwc changelog`: every kind of change, in every format, without the configuration of the
//! gateway.

use crate::project::{Ended, Project};

const OLD: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}}
paths:
  /gone: {get: {operationId: gone, responses: {"200": {description: fine}}}}
  /old: {get: {operationId: moves, responses: {"200": {description: fine}}}}
  /closes: {get: {operationId: closes, responses: {"200": {description: fine}}}}
  /list:
    get:
      operationId: list
      parameters: [{name: limit, in: query, schema: {type: integer, maximum: 100}}]
      responses:
        "200": {description: fine, content: {application/json: {schema: {type: object, properties: {price: {type: number}, "<b>`x`": {type: string}}}}}}
"#;

const NEW: &str = r#"openapi: 3.1.0
info: {title: t, version: "2"}
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}}
paths:
  /new: {get: {operationId: new, responses: {"200": {description: fine}}}}
  /v2/old: {get: {operationId: moves, responses: {"200": {description: fine}}}}
  /closes: {get: {operationId: closes, security: [{key: []}], responses: {"200": {description: fine}}}}
  /list:
    get:
      operationId: list
      deprecated: true
      parameters: [{name: limit, in: query, schema: {type: integer, maximum: 50}}]
      responses:
        "200": {description: fine, content: {application/json: {schema: {type: object, properties: {price: {type: number}}}}}}
"#;

fn compared() -> Project {
    let project = Project::bare();
    project.write("old.yaml", OLD);
    project.write("new.yaml", NEW);
    project
}

fn changelog(project: &Project, sides: [&str; 2], format: &str) -> Ended {
    let [old, new] = sides;
    let ended = project.run(&["changelog", old, new, "--format", format]);
    ended.with(0)
}

#[test]
fn every_kind_of_change_has_a_heading() {
    let project = compared();
    let ended = changelog(&project, ["old.yaml", "new.yaml"], "markdown");
    let lines: Vec<&str> = ended.out.lines().filter(|line| !line.is_empty()).collect();
    let found = |heading: &str, entry: &str| {
        let after = lines.iter().skip_while(|line| **line != heading).skip(1);
        let mut entries = after.take_while(|line| line.starts_with("- "));
        assert!(
            entries.any(|line| *line == entry),
            "{heading} {entry}\n{}",
            ended.out
        );
    };
    found("### Removed", "- `GET /gone`: The operation is gone.");
    found(
        "### Breaking",
        "- `GET /list`, `query limit`: Parameter: `maximum` is lower. `100` → `50`",
    );
    found(
        "### Moved",
        "- `GET /old`: The operation moved. `GET /old` → `GET /v2/old`",
    );
    found("### Added", "- `GET /new`: The operation is new.");
    found(
        "### Compatible",
        "- `GET /list`: An operation is deprecated now. `false` → `true`",
    );
}

#[test]
fn names_of_sources_are_text_in_every_format() {
    let project = compared();
    let sides = ["old.yaml", "new.yaml"];
    let page = changelog(&project, sides, "html").out;
    assert!(
        page.contains("&lt;b&gt;`x`") && !page.contains("<b>"),
        "{page}"
    );
    assert!(page.contains("default-src 'none'"), "{page}");
    let comment = changelog(&project, sides, "markdown").out;
    assert!(
        comment.contains("`` response 200 body.<b>`x` ``"),
        "{comment}"
    );
}

#[test]
fn json_fits_its_schema_and_counts_the_same_changes() {
    let project = compared();
    let ended = changelog(&project, ["old.yaml", "new.yaml"], "json");
    let document = ended.json("changelog/v1");
    let schemas = gwc::schemas::all();
    let (_, schema) = schemas
        .iter()
        .find(|(name, _)| *name == "changelog")
        .unwrap();
    let validator = jsonschema::validator_for(schema).unwrap();
    assert!(validator.is_valid(&document), "{document}");
    let changes = document["apis"][0]["changes"].as_array().unwrap();
    let of = |kind: &str| changes.iter().filter(|one| one["kind"] == kind).count();
    assert_eq!(["removed", "moved", "added"].map(of), [1, 1, 1]);
    let same = changelog(&project, ["new.yaml", "new.yaml"], "json");
    assert_eq!(same.json("changelog/v1")["result"], "ok");
    let same = changelog(&project, ["new.yaml", "new.yaml"], "markdown");
    assert_eq!(same.out, "# API changes\n\nNo changes for clients.\n");
}

#[test]
fn moved_operation_has_a_line_for_its_access() {
    let [old, new] = [Project::new(), Project::new()];
    new.edit("orders.yaml", "/orders/{id}:", "/v2/orders/{id}:");
    let compared = |new: &Project| {
        let sides = [&old, new].map(|one| one.path().to_str().unwrap());
        changelog(&old, sides, "markdown").out
    };
    assert!(!compared(&new).contains("### Access"), "{}", compared(&new));
    new.edit(
        "orders.yaml",
        "operationId: getOrder,",
        "operationId: getOrder, security: [], x-gateway: {public: true},",
    );
    let opened = "- `GET /v2/orders/{id}`: The operation requires other credentials at its new \
        place. `header x-key` → `open to everyone`";
    assert!(compared(&new).contains(opened), "{}", compared(&new));
}

#[test]
fn configuration_of_the_gateway_is_left_out() {
    let [old, new] = [Project::new(), Project::new()];
    new.edit("gateway.yaml", "127.0.0.1:9000", "127.0.0.2:9000");
    new.edit("gateway.yaml", "limit: 10/s", "limit: 5/s");
    let compared = |new: &Project| {
        let sides = [&old, new].map(|one| one.path().to_str().unwrap());
        changelog(&old, sides, "markdown").out
    };
    assert_eq!(compared(&new), "# API changes\n\nNo changes for clients.\n");
    new.edit(
        "orders.yaml",
        "operationId: getOrder,",
        "operationId: getOrder, security: [], x-gateway: {public: true},",
    );
    let opened = "- `GET /orders/{id}`: The operation requires no credential now. \
        `header x-key` → `open to everyone`";
    assert!(compared(&new).contains(opened), "{}", compared(&new));
}

#[test]
fn internal_names_are_left_out() {
    let project = Project::bare();
    for (folder, host, listener, alternative) in [
        ("old", "inner.corp.test", "backstage", "[{key: []}]"),
        (
            "new",
            "other.corp.test",
            "cellar",
            "[{key: []}, {user: [], key: []}]",
        ),
    ] {
        std::fs::create_dir(project.file(folder)).unwrap();
        project.write(
            &format!("{folder}/gateway.yaml"),
            format!(
                "version: 1\nname: s\napis: {{a: {{path: a.yaml, mount: {{hosts: [{host}], listeners: [{listener}]}}}}}}\n\
                 listeners: {{{listener}: {{address: \"127.0.0.1:8080\"}}}}\n\
                 auth: {{vault: {{kind: api_key}}, crowd: {{kind: basic}}}}\n\
                 upstreams: {{u: {{targets: {{x: {{url: \"http://127.0.0.1:9000\"}}}}}}}}\n\
                 defaults: {{upstream: u, timeout: 5s}}\n"
            ),
        );
        project.write(
            &format!("{folder}/a.yaml"),
            format!(
                "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\ncomponents:\n  securitySchemes:\n\
                 \x20   key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: vault}}}}\n\
                 \x20   user: {{type: http, scheme: basic, x-gateway: {{auth: crowd}}}}\npaths:\n\
                 \x20 /o: {{get: {{operationId: o, security: {alternative}, responses: {{\"200\": {{description: fine}}}}}}}}\n\
                 \x20 /p: {{get: {{operationId: p, security: [{{key: []}}], responses: {{\"200\": {{description: fine}}}}}}}}\n"
            ),
        );
    }
    let sides = ["old", "new"].map(|side| project.file(side));
    let sides = sides.each_ref().map(|side| side.to_str().unwrap());
    for format in ["markdown", "html", "json"] {
        let found = changelog(&project, sides, format).out;
        for name in ["vault", "crowd", "backstage", "cellar", "corp.test"] {
            assert!(!found.contains(name), "{name}: {found}");
        }
        assert!(found.contains("The operation moved"), "{found}");
    }
}

#[test]
fn webhooks_and_servers_have_entries() {
    let document = |kind: &str, path: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\nservers: [{{url: 'https://a.example/{path}'}}]\npaths: {{/a: {{get: {{operationId: a, responses: {{'200': {{description: d}}}}}}}}}}\n\
             webhooks: {{w: {{post: {{requestBody: {{content: {{application/json: {{schema: {{type: {kind}}}}}}}}}, responses: {{'200': {{description: d}}}}}}}}}}\n"
        )
    };
    let project = Project::bare();
    project.write("api.yaml", document("string", "v1"));
    project.write("new.yaml", document("integer", "v2"));
    let ended = changelog(&project, ["api.yaml", "new.yaml"], "markdown");
    ended
        .contains("## `api`\n")
        .contains("- `webhook w POST body`: ")
        .contains("- The servers differ. `https://a.example/v1` → `https://a.example/v2`")
        .lacks("more operation");
}

/// A published changelog must not lack changes.
#[test]
fn new_version_with_errors_has_no_changelog() {
    let project = Project::bare();
    let document = |schema: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths: {{/a: {{post: {{requestBody: {{content: {{application/json: {{schema: {schema}}}}}}}, responses: {{}}}}}}}}\n"
        )
    };
    project.write("whole.yaml", document("{type: string}"));
    project.write("broken.yaml", document("{$ref: 'none.yaml'}"));
    let ended = project.run(&["changelog", "whole.yaml", "broken.yaml"]);
    let ended = ended.with(65).contains("broken.yaml:3:");
    assert_eq!(ended.out, "");
    // An old version cannot be corrected any more.
    project
        .run(&["changelog", "broken.yaml", "whole.yaml"])
        .with(0);
}
