//! Tests of output formats for other programs: SARIF, GitHub, GitLab, JUnit, Checkstyle, JSON
//! lines.

use std::io::Read as _;
use std::path::Path;

use gwc::output::human::Look;
use gwc::output::{FORMATS, Report};
use serde_json::Value;

use crate::project::{self, Linted};

/// Document whose findings contain special characters of every format: line ends, control
/// characters, markup, separators, wide characters. One finding has two locations, and one has a
/// fix.
const HOSTILE: &str = "openapi: 3.0.3
info: {title: t, version: \"1\"}
paths:
  /漢字:
    get: {operationId: \"a,b:c%\", sumary: x, responses: {'200': {description: ok}}}
  /b:
    get: {operationId: \"a,b:c%\", responses: {'200': {description: ok}}}
  \"/x\\r\\n::error::]]><a_b='\\\"&\\e[31m\": {gte: {}}
  \"/{é}\": {get: {\"summarÿ,:%\\n\": 1, responses: {'200': {description: ok}}}}
";

fn rendered(linted: &Linted, folder: &str, format: &str) -> String {
    let report = Report {
        folder,
        ..linted.report()
    };
    let format = FORMATS.iter().find(|known| known.name == format);
    (format.expect("it is known").render)(&report, Look::default())
}

fn json(linted: &Linted, folder: &str, format: &str) -> Value {
    serde_json::from_str(&rendered(linted, folder, format)).expect("it is JSON")
}

fn unpacked(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let file = std::fs::File::open(folder.join(name)).expect("the file is there");
    let mut text = String::new();
    let mut reader = flate2::read::GzDecoder::new(file);
    reader.read_to_string(&mut text).expect("it is packed");
    serde_json::from_str(&text).expect("it is JSON")
}

#[test]
fn sarif_fits_the_standards_schema() {
    let mut schema = unpacked("sarif-schema-2.1.0.json.gz");
    // Replace the published pattern for languages: one bracket too many makes it an invalid
    // expression.
    for holder in ["run", "toolComponent"] {
        let language = &mut schema["definitions"][holder]["properties"]["language"]["pattern"];
        *language = "^[a-zA-Z]{2}(-[a-zA-Z]{2})?$".into();
    }
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let nothing = project::text("openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths: {}\n");
    for linted in [project::text(HOSTILE), nothing] {
        let log = json(&linted, "shop é/", "sarif");
        let wrong: Vec<String> = validator
            .iter_errors(&log)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{log:#}");
        let results = log["runs"][0]["results"].as_array().expect("a list");
        assert_eq!(results.len(), linted.findings.len());
    }
    let mut wrong = json(&project::text(HOSTILE), "", "sarif");
    wrong["runs"][0]["results"][0]["level"] = "fatal".into();
    assert!(!validator.is_valid(&wrong), "the schema refuses nothing");
}

#[test]
fn sarif_has_rules_regions_fixes_and_fingerprints() {
    let linted = project::text(HOSTILE);
    let log = json(&linted, "shop é/", "sarif");
    let run = &log["runs"][0];
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    let results = run["results"].as_array().expect("a list");
    let of = |code: &str| {
        let result = results.iter().find(|result| result["ruleId"] == code);
        result.unwrap_or_else(|| panic!("{code} is missing: {log:#}"))
    };
    let twice = of("GW0320");
    let at = &twice["locations"][0]["physicalLocation"];
    assert_eq!(at["artifactLocation"]["uri"], "shop%20%C3%A9/openapi.yaml");
    assert_eq!(
        at["region"],
        serde_json::json!({"startLine": 7, "startColumn": 24, "endLine": 7, "endColumn": 32})
    );
    let first = &twice["relatedLocations"][0];
    assert_eq!(first["physicalLocation"]["region"]["startLine"], 5);
    assert_eq!(first["message"]["text"], "first here");
    let field = of("GW0302");
    let change = &field["fixes"][0]["artifactChanges"][0];
    assert_eq!(
        change["replacements"][0]["insertedContent"]["text"],
        "summary"
    );
    assert_eq!(
        change["replacements"][0]["deletedRegion"],
        serde_json::json!({"startLine": 5, "startColumn": 34, "endLine": 5, "endColumn": 40})
    );
    let rules = run["tool"]["driver"]["rules"].as_array().expect("a list");
    for result in results {
        let rule =
            &rules[usize::try_from(result["ruleIndex"].as_u64().expect("an index")).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(
            rule["help"]["text"]
                .as_str()
                .is_some_and(|text| text.len() > 40)
        );
        let print = result["partialFingerprints"]["gwcFingerprint/v1"].as_str();
        assert!(print.is_some_and(|print| print.len() == 12), "{result:#}");
    }
}

#[test]
fn sarif_messages_have_no_links() {
    let linted = project::text(
        "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /a:\n    get:\n      \
         \"[Approve](https://evil.example)\": 1\n      responses: {\"200\": {description: d}}\n",
    );
    let log = json(&linted, "", "sarif");
    let results = log["runs"][0]["results"].as_array().expect("a list");
    let texts: Vec<&str> = results
        .iter()
        .filter_map(|result| result["message"]["text"].as_str())
        .filter(|text| text.contains("evil.example"))
        .collect();
    assert!(!texts.is_empty(), "{log:#}");
    for text in texts {
        assert!(text.contains(r"\[Approve\](https"), "{text}");
    }
}

#[test]
fn github_commands_are_one_line_each() {
    let linted = project::text(HOSTILE);
    let text = rendered(&linted, "shop/", "github");
    assert_eq!(text.lines().count(), linted.findings.len(), "{text}");
    assert!(!text.contains(['\r', '\u{1b}']), "{text:?}");
    for line in text.lines() {
        assert!(
            line.starts_with("::error file=shop/openapi.yaml,line="),
            "{line}"
        );
        let (head, _) = line[2..].split_once("::").expect("a head");
        let properties = head.trim_start_matches("error ").split(',');
        for property in properties {
            let (name, value) = property.split_once('=').expect("a property");
            let known = ["file", "line", "endLine", "col", "endColumn", "title"];
            assert!(known.contains(&name) && !value.contains(':'), "{line}");
        }
    }
    assert!(
        text.contains("line=7,endLine=7,col=24,endColumn=31,title=GW0320 duplicate-operation-id::the operationId `a,b:c%25` is used twice"),
        "{text}"
    );
}

#[test]
fn gitlab_gets_a_list_of_issues() {
    let linted = project::text(HOSTILE);
    let issues = json(&linted, "shop/", "gitlab");
    let issues = issues.as_array().expect("a list");
    assert_eq!(issues.len(), linted.findings.len());
    let mut prints: Vec<&str> = Vec::new();
    for issue in issues {
        prints.extend(issue["fingerprint"].as_str());
        assert_eq!(issue["severity"], "major");
        assert_eq!(issue["location"]["path"], "shop/openapi.yaml");
        assert!(issue["location"]["lines"]["begin"].as_u64() >= Some(5));
        assert!(issue["check_name"].is_string() && issue["description"].is_string());
    }
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(
        prints.len(),
        issues.len(),
        "each issue has its own fingerprint"
    );
}

#[test]
fn junit_and_checkstyle_are_well_formed() {
    let linted = project::text(HOSTILE);
    let count = linted.findings.len();
    let text = rendered(&linted, "a<b>&\u{1}/", "checkstyle");
    let tree = roxmltree::Document::parse(&text).expect("it is XML");
    let named = |tree: &roxmltree::Document<'_>, name: &str| {
        tree.descendants()
            .filter(|node| node.has_tag_name(name))
            .count()
    };
    assert_eq!((named(&tree, "file"), named(&tree, "error")), (1, count));
    let file = tree.descendants().find(|node| node.has_tag_name("file"));
    assert_eq!(
        file.and_then(|file| file.attribute("name")),
        Some("a<b>&/openapi.yaml")
    );
    let first = tree
        .descendants()
        .find(|node| node.attribute("line") == Some("7"));
    let first = first.expect("line 7");
    assert_eq!(first.attribute("column"), Some("24"));
    assert_eq!(first.attribute("severity"), Some("error"));
    assert_eq!(
        first.attribute("source"),
        Some("gwc.GW0320.duplicate-operation-id")
    );

    let text = rendered(&linted, "", "junit");
    let tree = roxmltree::Document::parse(&text).expect("it is XML");
    assert_eq!(
        (named(&tree, "testcase"), named(&tree, "failure")),
        (count, count)
    );
    let suite = tree
        .descendants()
        .find(|node| node.has_tag_name("testsuite"));
    let failures = suite
        .and_then(|suite| suite.attribute("failures"))
        .map(str::to_owned);
    assert_eq!(failures, Some(count.to_string()));
    let nothing = project::text("openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths: {}\n");
    let text = rendered(&nothing, "", "junit");
    let tree = roxmltree::Document::parse(&text).expect("it is XML");
    assert_eq!((named(&tree, "testcase"), named(&tree, "failure")), (1, 0));
}

#[test]
fn json_lines_are_the_findings_of_the_document() {
    let linted = project::text(HOSTILE);
    let lines: Vec<Value> = rendered(&linted, "", "jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    assert_eq!(Value::from(lines), json(&linted, "", "json")["findings"]);
}
