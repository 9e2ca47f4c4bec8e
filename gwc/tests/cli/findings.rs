//! Tests of plans as lists of findings: `concise`, `jsonl`, `sarif`, `gitlab`, `junit` and
//! `checkstyle`.

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::git::{commit, committed};
use crate::project::Project;

const LISTED: &str = "operationId: listOrders,";

/// Project in which a change removes the credentials of an operation, and another one renames the
/// operation's tag.
fn opened() -> Project {
    let project = committed();
    let open =
        "operationId: listOrders, summary: \"<b>&\", security: [], x-gateway: {public: true},";
    project.edit("orders.yaml", LISTED, open);
    project
}

fn plan(project: &Project, format: &str, more: &[&str]) -> String {
    let arguments = ["plan", "--against", "git:main", "--format", format];
    project.run(&[&arguments, more].concat()).out
}

fn changes(project: &Project) -> Vec<Value> {
    let document: Value = serde_json::from_str(&plan(project, "json", &[])).expect("JSON");
    document["changes"].as_array().expect("a list").clone()
}

fn opening(changes: &[Value]) -> &Value {
    let mut opening = changes.iter().filter(|one| one["class"] == "weaken");
    opening.next().expect("a change that widens access")
}

#[test]
fn lines_have_place_level_id_and_class() {
    let project = opened();
    let text = plan(&project, "concise", &[]);
    let first = text.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("orders.yaml:6:")
            && first.contains(": error[security-requirement-removed]: weaken: GET /orders"),
        "{text}"
    );
    let lines = plan(&project, "jsonl", &[]);
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    assert_eq!(lines.collect::<Vec<Value>>(), changes(&project));
    let none = committed();
    assert_eq!(plan(&none, "jsonl", &[]), "");
    assert_eq!(plan(&none, "concise", &[]), "");
}

#[test]
fn sarif_of_a_plan_fits_the_standards_schema() {
    let packed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/sarif-schema-2.1.0.json.gz");
    let file = std::fs::File::open(packed).expect("the file is there");
    let mut text = String::new();
    let mut reader = flate2::read::GzDecoder::new(file);
    reader.read_to_string(&mut text).expect("it is packed");
    let mut schema: Value = serde_json::from_str(&text).expect("JSON");
    // Replace the published pattern for languages: one bracket too many makes it an invalid
    // expression.
    for holder in ["run", "toolComponent"] {
        let language = &mut schema["definitions"][holder]["properties"]["language"]["pattern"];
        *language = "^[a-zA-Z]{2}(-[a-zA-Z]{2})?$".into();
    }
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    for project in [opened(), committed()] {
        let log: Value = serde_json::from_str(&plan(&project, "sarif", &[])).expect("JSON");
        let wrong = validator.iter_errors(&log).map(|error| error.to_string());
        let wrong: Vec<String> = wrong.collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{log:#}");
        let results = log["runs"][0]["results"].as_array().expect("a list");
        let changes = changes(&project);
        assert_eq!(results.len(), changes.len());
        let rules = &log["runs"][0]["tool"]["driver"]["rules"];
        for result in results {
            let index = result["ruleIndex"].as_u64().expect("a number");
            let index = usize::try_from(index).expect("a small number");
            assert_eq!(rules[index]["id"], result["ruleId"]);
            let own = &result["partialFingerprints"]["gwcFingerprint/v1"];
            assert!(changes.iter().any(|one| &one["fingerprint"] == own));
        }
    }
}

#[test]
fn reports_of_ci_servers_count_what_blocks() {
    let project = opened();
    let changes = changes(&project);
    let fingerprint = opening(&changes)["fingerprint"].as_str().expect("a text");
    let issues = |more: &[&str]| -> Vec<Value> {
        serde_json::from_str(&plan(&project, "gitlab", more)).expect("JSON")
    };
    let severity = |more: &[&str]| {
        let issues = issues(more);
        assert_eq!(issues.len(), changes.len());
        let own = issues.iter().find(|one| one["fingerprint"] == fingerprint);
        let own = own.expect("the change");
        assert_eq!(own["location"]["path"], "orders.yaml");
        assert_eq!(own["location"]["lines"]["begin"], 6);
        own["severity"].clone()
    };
    let acknowledged = format!("{fingerprint}=reviewed");
    assert_eq!(severity(&[]), "major");
    assert_eq!(severity(&["--ack", &acknowledged]), "info");

    let count = |text: &str, name: &str| {
        let tree = roxmltree::Document::parse(text).expect("XML");
        let nodes = tree.descendants();
        nodes.filter(|node| node.has_tag_name(name)).count()
    };
    let junit = |more: &[&str]| {
        let text = plan(&project, "junit", more);
        assert_eq!(count(&text, "testcase"), changes.len());
        count(&text, "failure")
    };
    assert_eq!(junit(&[]), junit(&["--ack", &acknowledged]) + 1);
    assert_eq!(count(&plan(&committed(), "junit", &[]), "testcase"), 1);
    let text = plan(&project, "checkstyle", &[]);
    assert_eq!(count(&text, "error"), changes.len());
    assert_eq!(count(&plan(&committed(), "checkstyle", &[]), "error"), 0);
}

#[test]
fn breaks_of_the_baseline_are_only_infos() {
    let project = committed();
    project.edit("orders.yaml", LISTED, "operationId: listOrders, parameters: [{name: q, in: query, required: true, schema: {type: string}}],");
    commit(&project, "a required parameter");
    let levels = |more: &[&str]| -> Vec<String> {
        let arguments = ["diff", "git:main~1", "git:main", "--format", "concise"];
        let ended = project.run(&[&arguments, more].concat()).with(0);
        let breaks = ended.out.lines().filter(|line| line.contains("]: break: "));
        let level = |line: &str| line.split(": ").nth(1).unwrap_or_default().to_owned();
        breaks.map(level).collect()
    };
    let id = "new-required-request-parameter";
    assert_eq!(levels(&[]), [format!("error[{id}]")]);
    let written = ["--write-baseline", "known.json"];
    assert_eq!(levels(&written), [format!("info[{id}]")]);
    assert_eq!(
        levels(&["--baseline", "known.json"]),
        [format!("info[{id}]")]
    );
}

#[test]
fn removal_for_which_a_diff_fails_is_an_error() {
    let project = committed();
    let text = project.read("orders.yaml");
    let (before, rest) = text.split_once("  /orders/{id}:\n").expect("it is there");
    let (_, after) = rest.split_once("components:").expect("it is there");
    project.write("orders.yaml", format!("{before}components:{after}"));
    commit(&project, "one operation less");
    let diff = |format: &str, more: &[&str], code: i32| {
        let arguments = ["diff", "git:main~1", "git:main", "--format", format];
        project.run(&[&arguments, more].concat()).with(code).out
    };
    let removed = "[operation-removed]: removed: ";
    assert!(diff("concise", &[], 0).contains(&format!("warn{removed}")));
    let failing = diff("concise", &["--fail-on", "break"], 1);
    assert!(failing.contains(&format!("error{removed}")), "{failing}");
    let junit = diff("junit", &["--fail-on", "any"], 1);
    assert!(!junit.contains("failures=\"0\""), "{junit}");
}
