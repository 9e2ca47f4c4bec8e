//! Tests of `--env`: one project with several environments, with every command that builds.

use std::fs;

use crate::project::Project;

/// Creates a project with a test and a production environment.
fn project() -> Project {
    let project = Project::new();
    project.edit("gateway.yaml", "timeout: 5s", "timeout: \"${var:WAIT}\"");
    let text = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!(
            "{text}environments:\n  test: {{vars: {{WAIT: 5s}}, release: {{channel: test}}}}\n  prod: {{patch: prod.yaml, vars: {{WAIT: 9s}}}}\n"
        ),
    );
    project.write("prod.yaml", "policies: {slow: {limit: 100/s}}\n");
    project
}

#[test]
fn each_environment_is_a_bundle_of_its_own() {
    let project = project();
    let id = |environment: &str| {
        let built = project.run(&["build", "--env", environment, "--format", "json"]);
        let document = built.with(0).json("build/v1");
        assert_eq!(document["environment"], environment);
        document["bundle"].as_str().unwrap().to_owned()
    };
    let (test, prod) = (id("test"), id("prod"));
    assert_ne!(test, prod);
    // The environment's name does not affect the bundle id.
    project.edit("gateway.yaml", "  test: {vars", "  trial: {vars");
    assert_eq!(id("trial"), test);
}

#[test]
fn build_that_needs_an_environment_names_the_place() {
    let project = project();
    project.run(&["lint"]).with(0);
    for command in [&["build"][..], &["route", "GET", "http://h/orders"]] {
        let ended = project.run(command).with(1);
        ended
            .contains("error[environment-needed]: gateway.yaml:9:")
            .contains("--env NAME");
    }
    project
        .run(&["build", "--env", "prd"])
        .with(64)
        .contains("did you mean `prod`?");
    for command in [
        &["rules", "--env", "prod"][..],
        &["lint", "orders.yaml", "--env", "prod"],
    ] {
        project.run(command).with(64);
    }
    // Leave the variable without a value in one environment.
    project.edit("gateway.yaml", "{WAIT: 5s}", "{}");
    project
        .run(&["lint"])
        .with(1)
        .contains("variable-without-value");
}

#[test]
fn lint_with_an_environment_finds_its_own_mistakes() {
    let project = project();
    project.edit("gateway.yaml", "WAIT: 9s", "WAIT: 9");
    let ended = project
        .run(&["lint", "--env", "prod", "--format", "json"])
        .with(1);
    let document = ended.json("lint/v1");
    assert_eq!(document["environment"], "prod");
    let finding = &document["findings"][0];
    assert_eq!(finding["code"], "GW0105", "{document:#}");
    // The mistake is also reported without `--env`, because gateway.yaml is read in every
    // environment.
    project.run(&["lint"]).with(1).contains("unit-missing");
}

#[test]
fn release_goes_to_the_environments_channel() {
    let project = project();
    let key = ["--key", "keys/release.pem", "--yes", "--reason", "first"];
    let apply = |more: &[&str]| project.run(&[&["apply"], more, &key[..]].concat());
    apply(&["--env", "test"]).with(0);
    let channel = |environment: &str| {
        let history = project.run(&["history", "--env", environment, "--format", "json"]);
        history.with(0).json("history/v1")["records"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((channel("test"), channel("prod")), (1, 0));

    project
        .run(&["plan", "--env", "prod", "-o", "plan.json"])
        .with(0);
    assert!(
        project
            .read("plan.json")
            .contains("\"environment\": \"prod\"")
    );
    apply(&["plan.json", "--env", "test"])
        .with(64)
        .contains("but `--env test` was given");
    apply(&["plan.json"]).with(0);
    assert_eq!((channel("test"), channel("prod")), (1, 1));
    // The build statement must contain the environment.
    let statements: Vec<String> = walk(&project.file("releases"))
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    let has_statement_of = |name: &str| {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::STANDARD;
        let payloads = statements.iter().filter_map(|text| {
            let envelope: serde_json::Value = serde_json::from_str(text).ok()?;
            engine
                .decode(envelope["dsseEnvelope"]["payload"].as_str()?)
                .ok()
        });
        payloads
            .filter_map(|payload| String::from_utf8(payload).ok())
            .any(|payload| payload.contains(&format!("\"environment\":\"{name}\"")))
    };
    assert!(has_statement_of("test") && has_statement_of("prod"));
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn new_key_in_a_consumers_file_changes_only_its_part() {
    let project = Project::new();
    project.edit("gateway.yaml", "consumers:\n  acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}\n", "consumers_file: who.yaml\n");
    let who = |digit: &str| {
        let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a0";
        project.write(
            "who.yaml",
            format!("acme: {{keys: [{{sha256: {hash}{digit}}}]}}\n"),
        );
        project.build()
    };
    let layers = |id: &str| {
        let manifest = project
            .file("releases/blobs/sha256")
            .join(&id["sha256:".len()..]);
        let manifest: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(manifest).unwrap()).unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter();
        layers
            .map(|layer| (layer["mediaType"].to_string(), layer["digest"].to_string()))
            .collect::<Vec<_>>()
    };
    let (before, after) = (layers(&who("1")), layers(&who("2")));
    let moved: Vec<&str> = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after)
        .map(|(layer, _)| layer.0.as_str())
        .collect();
    assert_eq!(moved, ["\"application/vnd.gwc.consumers.v1+cbor\""]);
    // `plan` and `inspect` also read the separate blob of the consumers.
    project.apply("first").with(0);
    let id = project.build();
    project.run(&["inspect", &id]).with(0).contains("acme");
    who("3");
    project.run(&["plan"]).with(0).contains("acme");
}

#[test]
fn the_page_on_environments_runs_as_it_is_written() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/environments.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let project = Project::bare();
    let mut written = 0;
    for section in page.split("<!-- file ").skip(1) {
        let (name, rest) = section.split_once(" -->\n```yaml\n").expect("a name");
        project.write(name, rest.split("```").next().expect("it ends"));
        written += 1;
    }
    assert_eq!(written, 2);
    for (name, path) in [("orders.yaml", "/orders"), ("trial.yaml", "/a")] {
        project.write(
            name,
            format!("openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths: {{{path}: {{get: {{responses: {{\"200\": {{description: fine}}}}}}}}}}\n"),
        );
    }
    let blocks = page.split("<!-- run -->\n```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    let mut count = 0;
    for command in lines {
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words[0], "gwc", "{command}");
        project.run(&words[1..]).with(0);
        count += 1;
    }
    assert_eq!(count, 5);
}
