//! Limits on input. Input at the limit is accepted; input above it is refused with the name of the
//! option.

use std::time::{Duration, Instant};

use crate::git::committed;
use crate::project::Project;

const HEAD: &str = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {}\n";

/// Checks that a document is accepted if the limit of `option` is `most`, and refused if the limit
/// is lower by one.
#[track_caller]
fn ends_at(project: &Project, option: &str, most: usize, unit: &str, message: &str) {
    for name in ["a.yaml", "a.json"] {
        if name == "a.json" && !project.path().join(name).exists() {
            continue;
        }
        let run = |most: usize| project.run(&["lint", name, option, &format!("{most}{unit}")]);
        run(most).with(0);
        let beyond = run(most - 1);
        assert!(
            beyond.code == 1 || beyond.code == 65,
            "{option}: {beyond:?}"
        );
        assert!(beyond.out.contains(message), "{option}: {beyond:?}");
        assert!(beyond.out.contains(option), "{option}: {beyond:?}");
    }
}

#[test]
fn file_size_is_limited() {
    let project = Project::bare();
    project.write("a.yaml", HEAD);
    let message = format!("{} bytes", HEAD.len() - 1);
    ends_at(&project, "--max-file-size", HEAD.len(), "B", &message);
}

#[test]
fn depth_and_values_are_limited_in_yaml_and_json() {
    let project = Project::bare();
    project.write("a.yaml", format!("{HEAD}x-deep: [[[[1]]]]\n"));
    project.write(
        "a.json",
        "{\"openapi\": \"3.1.0\", \"info\": {\"title\": \"t\", \"version\": \"1\"}, \"paths\": {}, \"x-deep\": [[[[1]]]]}",
    );
    ends_at(&project, "--max-depth", 5, "", "deeper than 4 levels");
    // The document has 11 values: the root, openapi, info, title, version, paths, four lists and a
    // number.
    ends_at(&project, "--max-values", 11, "", "more than 10 values");
}

#[test]
fn values_of_aliases_are_limited() {
    let project = Project::bare();
    project.write("a.yaml", format!("{HEAD}x-a: &a [1, 2]\nx-b: [*a, *a]\n"));
    ends_at(&project, "--max-alias-values", 6, "", "more than 5 values");
}

#[test]
fn number_of_files_is_limited() {
    let project = Project::bare();
    project.write(
        "a.yaml",
        "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/b: {$ref: b.yaml}, /c: {$ref: c.yaml}}\n",
    );
    let item = "get: {responses: {\"200\": {description: fine}}}\n";
    project.write("b.yaml", item);
    project.write("c.yaml", item);
    ends_at(
        &project,
        "--max-files",
        3,
        "",
        "beyond the maximum of 2 files",
    );
}

#[test]
fn number_of_references_is_limited() {
    let project = Project::bare();
    project.write(
        "a.yaml",
        format!("{HEAD}components: {{schemas: {{A: {{type: string}}, B: {{$ref: '#/components/schemas/A'}}, C: {{$ref: '#/components/schemas/B'}}}}}}\n"),
    );
    ends_at(
        &project,
        "--max-references",
        2,
        "",
        "more than 1 references",
    );
}

#[test]
fn invalid_limit_is_refused_and_valid_ones_hold() {
    let project = Project::bare();
    for (option, value) in [
        ("--max-file-size", "64"),
        ("--max-file-size", "2GiB"),
        ("--max-file-size", "0B"),
        ("--max-depth", "251"),
        ("--max-depth", "0"),
        ("--max-files", "many"),
    ] {
        project.run(&["lint", option, value]).with(64);
    }
    for command in ["build", "plan"] {
        project
            .run(&[command, "--max-files", "1"])
            .contains("--max-files");
    }
    let deep = format!("{HEAD}x-deep: {}{}\n", "[".repeat(249), "]".repeat(249));
    project.write("deep.yaml", &deep);
    project
        .run(&["lint", "deep.yaml", "--max-depth", "250"])
        .with(0);
}

/// Maximum time of a command that a limit ends.
const ENDS_IN: Duration = Duration::from_secs(40);

#[test]
fn sum_of_expression_patterns_is_limited() {
    let project = Project::new();
    let gateway = project.read("gateway.yaml");
    let environments: Vec<String> = (0..64)
        .map(|number| format!("e{number}: {{release: {{channel: c{number}}}}}"))
        .collect();
    let with = |count: usize, pattern: &str| {
        let policies: Vec<String> = (0..count)
            .map(|number| {
                let pattern = pattern.replace('N', &number.to_string());
                format!("p{number}: {{kind: authorize, expression: 'request.path.matches(\"{pattern}\")'}}")
            })
            .collect();
        let policies = format!("policies: {{{}, ", policies.join(", "));
        let environments = format!("environments: {{{}}}\n", environments.join(", "));
        project.write(
            "gateway.yaml",
            gateway.replace("policies: {slow", &format!("{policies}slow")) + &environments,
        );
        project.run(&["lint", "--format", "concise"])
    };
    let message = "patterns of all expressions";
    // Small patterns stay far below the limit.
    let small = with(200, "^/a/[0-9]+/bN$").with(0).out;
    assert!(!small.contains(message), "{small}");
    // The first pattern compiles to almost 1 MiB. The second one exceeds this limit of a pattern.
    for pattern in ["<(a|b|c?){50} sixty times>N", r"(\\p{L}{80}xN)"] {
        let start = Instant::now();
        let pattern = pattern.replace("<(a|b|c?){50} sixty times>", &"(a|b|c?){50}".repeat(60));
        let out = with(100, &pattern).with(1).out;
        assert!(start.elapsed() < ENDS_IN, "{:?}", start.elapsed());
        assert_eq!(out.matches(message).count(), 1, "{out}");
    }
}

#[test]
fn routes_of_further_mounts_are_limited() {
    let project = committed();
    let mounts: Vec<String> = (0..3000)
        .map(|number| format!("{{name: m{number}, base_path: /m{number}}}"))
        .collect();
    let mounts = format!("{{path: orders.yaml, mounts: [{}]}}", mounts.join(", "));
    project.edit("gateway.yaml", "{path: orders.yaml}", &mounts);
    let paths: String = (0..30)
        .map(|number| {
            format!("  /p{number}: {{get: {{operationId: p{number}, responses: {{\"200\": {{description: fine}}}}}}}}\n")
        })
        .collect();
    project.edit("orders.yaml", "paths:\n", &format!("paths:\n{paths}"));
    let start = Instant::now();
    let message = "at most 50000 routes of further mounts, this one has 95968";
    project
        .run(&["lint", "--format", "concise"])
        .with(1)
        .contains(message);
    project
        .run(&["plan", "--against", "git:HEAD"])
        .with(1)
        .contains(message);
    assert!(start.elapsed() < ENDS_IN / 4, "{:?}", start.elapsed());
}
