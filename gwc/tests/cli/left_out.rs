//! Tests of parts of a new version that are not compared because of errors.

use crate::project::Project;

#[test]
fn errors_of_the_new_version_fail_every_gate() {
    let document = |more: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n  /a:\n    get:\n      parameters: [{{name: a, in: query, schema: {{type: string}}}}{more}]\n      responses: {{'200': {{description: d}}}}\n"
        )
    };
    let gone = document(", {$ref: '#/components/parameters/Gone'}");
    let project = Project::bare();
    project.write("one.yaml", document(""));
    project.write("two.yaml", &gone);
    for gate in ["break", "weaken", "any"] {
        let ended = project.run(&["diff", "one.yaml", "two.yaml", "--fail-on", gate]);
        ended.with(1).contains("two.yaml:6:").lacks("No changes");
    }
    let ended = project.run(&["diff", "one.yaml", "two.yaml", "--format", "json"]);
    let plan = ended.with(0).json("plan/v1");
    let changes = plan["changes"].as_array().expect("a list").iter();
    let ids: Vec<&serde_json::Value> = changes.map(|change| &change["id"]).collect();
    assert_eq!(ids, ["sources-not-compared"]);
    // Errors of the old version alone are named, and fail nothing.
    let ended = project.run(&["diff", "two.yaml", "one.yaml", "--fail-on", "break"]);
    ended.with(0);
}

#[test]
fn misread_parts_of_the_new_version_fail_every_gate() {
    let document = |parameters: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n  /a:\n    get:\n      parameters: {parameters}\n      responses: {{'200': {{description: d}}}}\n"
        )
    };
    let sound = "[{name: a, in: query, schema: {type: string}}]";
    let project = Project::bare();
    project.write("one.yaml", document(sound));
    for (parameters, is_misread) in [
        (
            "[{name: a, in: query, required: yes, schema: {type: string}}]",
            true,
        ),
        (
            "[{name: a, in: query, requierd: true, schema: {type: string}}]",
            true,
        ),
        ("{a: {name: a, in: query, schema: {type: string}}}", true),
        (
            "[{name: a, in: query, schema: {type: string}}, {name: a, in: query, required: true, schema: {type: string}}]",
            true,
        ),
        (
            "[{name: a, in: query, schema: {type: string}}, {in: query, required: true, schema: {type: string}}]",
            true,
        ),
        (
            "[{name: a, in: query, schema: {type: string, minLength: '3'}}]",
            true,
        ),
        (
            "[{name: a, in: query, schema: {type: string, exclusiveMinimum: true}}]",
            true,
        ),
        // Text for readers, and a field without a meaning.
        (
            "[{name: a, in: query, description: 5, schema: {type: string, description: 5}}]",
            false,
        ),
        (
            "[{name: a, in: query, owner: b, schema: {type: string}}]",
            false,
        ),
    ] {
        project.write("two.yaml", document(parameters));
        let ended = project.run(&["diff", "one.yaml", "two.yaml", "--fail-on", "break"]);
        let ended = ended.with(i32::from(is_misread));
        if is_misread {
            ended.contains("two.yaml:6:").lacks("No changes");
        }
        project
            .run(&["diff", "two.yaml", "one.yaml", "--fail-on", "weaken"])
            .with(0);
    }
}

#[test]
fn misread_servers_fail_every_gate() {
    let document = |servers: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\nservers: {servers}\npaths: {{/a: {{get: {{responses: {{'200': {{description: d}}}}}}}}}}\n"
        )
    };
    let project = Project::bare();
    project.write("one.yaml", document("[{url: 'https://a.example/'}]"));
    for servers in ["'https://b.example/'", "[{ulr: 'https://a.example/'}]"] {
        project.write("two.yaml", document(servers));
        let ended = project.run(&["diff", "one.yaml", "two.yaml", "--fail-on", "break"]);
        ended.with(1).contains("two.yaml:3:");
    }
}

/// Keys beside the `$ref` of a path item are ignored, and `gwc lint` refuses them.
#[test]
fn keys_beside_a_path_reference_fail_every_gate() {
    let document = |kind: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n  /x:\n    $ref: '#/components/pathItems/I'\n    parameters: [{{name: z, in: query, schema: {{type: {kind}}}}}]\ncomponents:\n  pathItems: {{I: {{get: {{responses: {{}}}}}}}}\n"
        )
    };
    let project = Project::bare();
    project.write("one.yaml", document("string"));
    project.write("two.yaml", document("integer"));
    let ended = project.run(&["diff", "one.yaml", "two.yaml", "--fail-on", "break"]);
    ended.with(1).contains("two.yaml:6:");
}
