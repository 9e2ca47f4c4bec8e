//! Tests of output for people and programs.

use diag::Level;
use gwc::output::{Report, concise, human, json};
use model::compile;
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::project;

const BROKEN: &str = "openapi: 3.0.3
info: {title: t, version: \"1\"}
paths:
  /a:
    get:
      operationId: list
      responses: {'200': {description: ok}}
    post:
      operationId: list
      sumary: x
      responses: {'200': {description: ok}}
";

#[test]
fn lines_have_place_level_code_and_message() {
    assert_eq!(
        concise::render(&project::text(BROKEN).report()),
        "openapi.yaml:9:20: error[GW0320]: the operationId `list` is used twice\n\
         openapi.yaml:10:7: error[GW0302]: an operation has no field `sumary`; help: write `summary`; an \
         addition of your own begins with `x-`\n"
    );
}

#[test]
fn lines_have_suggestions_and_allowed_values() {
    let linted = project::text(
        "openapi: 3.0.3
info: {title: t, version: \"1\"}
paths: {/a: {gett: {}, get: {security: [{ky: []}], responses: {'200': {$ref: '#/components/responses/Okk'}}}}}
components:
  responses: {Ok: {description: ok}}
  schemas: {A: {type: any}}
  securitySchemes: {key: {type: apiKey, in: header, name: k}}
",
    );
    let lines = linted.lines();
    for expected in [
        "`gett` is not a method; help: did you mean `get`?",
        "did you mean `key`?",
        "does not exist; help: did you mean `Ok`?",
        "`any` is an unknown value; help: one of `array`, `boolean`",
    ] {
        assert!(lines.contains(expected), "{expected}\n{lines}");
    }
}

#[test]
fn human_format_shows_source_and_help() {
    let text = human::render(&project::text(BROKEN).report(), human::Look::default());
    let expected = "error[GW0320] duplicate-operation-id

  × the operationId `list` is used twice
   ╭─[openapi.yaml:9:20]
 5 │     get:
 6 │       operationId: list
   ·                    ──┬─
   ·                      ╰── first here
 7 │       responses: {'200': {description: ok}}
 8 │     post:
 9 │       operationId: list
   ·                    ──┬─
   ·                      ╰── again here
10 │       sumary: x
   ╰────

error[GW0302] unknown-field

  × an operation has no field `sumary`
    ╭─[openapi.yaml:10:7]
  9 │       operationId: list
 10 │       sumary: x
    ·       ───┬──
    ·          ╰── did you mean `summary`?
 11 │       responses: {'200': {description: ok}}
    ╰────
  help: write `summary`; an addition of your own begins with `x-`

2 errors
";
    let squeezed = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    assert_eq!(squeezed(&text), squeezed(expected), "{text}");
    assert!(!text.contains('\u{1b}'));
    let look = human::Look {
        color: true,
        ..human::Look::default()
    };
    assert!(human::render(&project::text(BROKEN).report(), look).contains('\u{1b}'));
}

#[test]
fn terminal_output_has_no_control_characters() {
    let evil = "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths: {}\n\"\\e[31mred\\a\": 1\n\"rtl\u{202e}\": 1\n";
    let linted = project::text(evil);
    assert_eq!(linted.names(), ["unknown-field", "unknown-field"]);
    for text in [
        human::render(&linted.report(), human::Look::default()),
        concise::render(&linted.report()),
    ] {
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    }
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let text = format!(
        "openapi: 3.0.3\ninfo: {{title: t, version: \"1\"}}\npaths: {{{} \"/x\": {{gte: {{}}}}, {}}}\n",
        "\"/é\": {}, ",
        (0..20_000)
            .map(|n| format!("\"/p{n}\": {{}}, "))
            .collect::<String>()
    );
    let linted = project::text(&text);
    assert_eq!(linted.names(), ["unknown-method"]);
    let human = human::render(&linted.report(), human::Look::default());
    assert!(human.len() < 1_500, "{}", human.len());
    assert!(human.contains("gte") && human.contains('…'), "{human}");
}

#[test]
fn json_format_is_lint_v1() {
    let linted = project::text(BROKEN);
    let document = json::document(&linted.report());
    assert_eq!(document["schema"], "lint/v1");
    assert_eq!(document["result"], "blocked");
    assert_eq!(document["tool"]["name"], "gwc");
    assert!(document["environment"].is_null());
    assert_eq!(
        document["counts"],
        serde_json::json!({"error": 2, "warn": 0, "info": 0})
    );
    let finding = &document["findings"][1];
    let fingerprint = finding["fingerprint"].as_str().expect("a text");
    assert!(fingerprint.len() == 12 && fingerprint.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(
        *finding,
        serde_json::json!({
            "code": "GW0302", "name": "unknown-field", "level": "error",
            "message": "an operation has no field `sumary`",
            "help": "write `summary`; an addition of your own begins with `x-`",
            "file": "openapi.yaml", "line": 10, "column": 7, "end_line": 10, "end_column": 13,
            "related": [], "places": 1,
            "fix": {"edits": [{
                "file": "openapi.yaml", "line": 10, "column": 7, "end_line": 10, "end_column": 13, "text": "summary",
            }]},
            "fingerprint": fingerprint,
        })
    );
    let related = &document["findings"][0]["related"][0];
    assert_eq!(
        *related,
        serde_json::json!({"file": "openapi.yaml", "line": 6, "column": 20, "message": "first here"})
    );
}

#[test]
fn fingerprints_stay_when_lines_move() {
    let prints = |text: &str| {
        let document = json::document(&project::text(text).report());
        let findings = document["findings"].as_array().cloned().unwrap_or_default();
        let prints: Vec<String> = findings
            .iter()
            .map(|finding| finding["fingerprint"].to_string())
            .collect();
        prints
    };
    let moved = BROKEN.replace("paths:\n", "# a comment\n\nservers: []\npaths:\n  /0: {}\n");
    assert_eq!(prints(BROKEN), prints(&moved));
    let renamed = BROKEN.replace("/a:", "/b:");
    assert_ne!(prints(BROKEN), prints(&renamed));
    let mut all = prints(BROKEN);
    all.dedup();
    assert_eq!(all.len(), 2);
}

#[test]
fn allowed_rule_is_silent_inside_its_node() {
    let with = |place: &str, text: &str| {
        let changed = BROKEN.replace(place, &format!("{place}{text}"));
        project::text(&changed).names()
    };
    let both = ["duplicate-operation-id", "unknown-field"];
    assert_eq!(with("post:\n", ""), both);
    let allow = "      x-gateway-lint: {allow: [unknown-field]}\n";
    assert_eq!(with("post:\n", allow), ["duplicate-operation-id"]);
    assert_eq!(
        with("get:\n", allow),
        ["unused-allow", "duplicate-operation-id", "unknown-field"]
    );
    let all = "x-gateway-lint: {allow: [unknown-field]}\n";
    assert_eq!(with("version: \"1\"}\n", all), ["duplicate-operation-id"]);
    let hard = "x-gateway-lint: {allow: [duplicate-map-key, nothing-like-it]}\n";
    assert_eq!(
        with("version: \"1\"}\n", hard)[..2],
        ["unknown-rule", "unknown-rule"]
    );
    let key = "x-gateway-lint: {alow: [unknown-field]}\n";
    assert_eq!(with("version: \"1\"}\n", key)[0], "unknown-key");
}

#[test]
fn mistake_in_a_component_is_one_finding_with_reach() {
    let mut text = String::from("openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths:\n");
    for index in 0..12 {
        text.push_str(&format!(
            "  /p{index}: {{get: {{responses: {{'200': {{$ref: '#/components/responses/Shared'}}}}}}}}\n"
        ));
    }
    text.push_str("components: {responses: {Shared: {description: ok, contnt: {}}}}\n");
    let linted = project::text(&text);
    assert_eq!(linted.names(), ["unknown-field"]);
    assert!(
        linted.lines().contains("(reaches 12 places)"),
        "{}",
        linted.lines()
    );
    let human = human::render(&linted.report(), human::Look::default());
    assert!(human.contains("(reaches 12 places)"), "{human}");
    let document = json::document(&linted.report());
    assert_eq!(document["findings"][0]["places"], 12);
}

#[test]
fn findings_of_gateway_yaml_come_first() {
    let gateway = "version: 1\nname: s\napis: {a: {path: a.yaml}, b: {path: b.yaml}}\n\
                   upstreams:\n  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}\n  \
                   old: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}\n\
                   defaults: {upstream: u, timeout: 5s, security: upstream}\n";
    let document = |path: &str, wrong: usize| {
        let operations = (0..wrong).map(|at| {
            format!(
                "  /{path}{at}:\n    get:\n      sumary: x\n      responses: {{'200': {{description: ok}}}}\n"
            )
        });
        let operations: String = operations.collect();
        format!("openapi: 3.0.3\ninfo: {{title: t, version: \"1\"}}\npaths:\n{operations}")
    };
    let (a, b) = (document("a", 5), document("b", 4));
    let files = [("gateway.yaml", gateway), ("a.yaml", &a), ("b.yaml", &b)];
    let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    // Simulate findings of documents that were read before gateway.yaml.
    let loud = compiled.findings.iter();
    let loud = loud.filter(|finding| finding.level > Level::Info).cloned();
    let (own, mut findings): (Vec<_>, Vec<_>) = loud.partition(|finding| {
        let file = compiled.files.sources.file(finding.span.file);
        file.path() == "gateway.yaml"
    });
    assert_eq!(own.len(), 1, "{own:?}");
    findings.extend(own);
    let rendered = |findings: &[diag::Diagnostic]| {
        let report = Report {
            files: &compiled.files,
            folder: "",
            findings,
            environment: None,
            cost: None,
            fail_on: Level::Error,
        };
        human::render(&report, human::Look::default())
    };
    let text = rendered(&findings);
    let gateway = text.find("gateway.yaml:").expect("the finding");
    assert!(
        text.find("a.yaml:").is_some_and(|at| gateway < at),
        "{text}"
    );
    let end =
        "9 errors, 1 warning\n  gateway.yaml: 1 warning\n  a.yaml: 5 errors\n  b.yaml: 4 errors\n";
    assert!(text.ends_with(end), "{text}");
    // Short reports, and reports about a single file, end with the counts.
    let short = rendered(&findings[7..]);
    assert!(short.ends_with("\n2 errors, 1 warning\n"), "{short}");
    let single: Vec<_> = findings[..5].iter().cycle().take(10).cloned().collect();
    assert!(rendered(&single).ends_with("\n10 errors\n"));
}
