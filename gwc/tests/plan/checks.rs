//! Tests of the checks of client contracts, each with edits that it reports. `checks.tsv` contains
//! the edits, and `checks_expected.tsv` the exact lines. If a check is left out, a line must be
//! missing.
//!
//! An edit of a schema is tried at each position that a schema can have in a message.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use model::compile::Purpose;
use sources::parallel;

use crate::compiled;

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
";

const HEAD: &str = "openapi: 3.1.0\ninfo: {title: t, version: '1'}\n";

/// Source text of the tests for checks of lifecycles. Those checks need source artifacts and a
/// date.
const LIFECYCLES: &str = include_str!("../cli/deprecations.rs");

/// Edit of the table.
struct Edit {
    name: &'static str,
    old: String,
    new: String,
}

/// Line of a plan in the section about clients.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    edit: &'static str,
    level: &'static str,
    id: String,
    /// Operation, and path in its message.
    place: String,
}

fn edits() -> Vec<Edit> {
    let rows = include_str!("checks.tsv").lines().skip(1);
    let edit = |row: &'static str| {
        let cells: Vec<&str> = row.split('\t').collect();
        let [name, place, old, new] = cells[..] else {
            panic!("four cells: {row}");
        };
        let document = |text: &str| match place {
            "schema" => HEAD.to_owned() + &messages(text),
            "document" => format!("{HEAD}{}\n", text.replace("\\n", "\n")),
            _ => panic!("{row}"),
        };
        Edit {
            name,
            old: document(old),
            new: document(new),
        }
    };
    rows.map(edit).collect()
}

/// Paths of a document with this schema at each position in a message, with one operation for each.
fn messages(schema: &str) -> String {
    let marked = |keyword: &str| {
        let separator = if schema == "{}" { "" } else { ", " };
        schema.replacen('{', &format!("{{{keyword}: true{separator}"), 1)
    };
    let content = |schema: &str| format!("content: {{application/json: {{schema: {schema}}}}}");
    let property = |schema: &str| format!("{{type: object, properties: {{p: {schema}}}}}");
    let answer = "responses: {'204': {description: d}}";
    let body = |id: &str, schema: &str| {
        let body = content(schema);
        format!("post: {{operationId: {id}, requestBody: {{required: true, {body}}}, {answer}}}")
    };
    let parameter = |id: &str, place: &str, schema: &str| {
        let parameter = format!("{{name: q, in: {place}, schema: {schema}}}");
        format!("get: {{operationId: {id}, parameters: [{parameter}], {answer}}}")
    };
    let response = |id: &str, part: &str| {
        format!("get: {{operationId: {id}, responses: {{'200': {{description: d, {part}}}}}}}")
    };
    let operations = [
        body("body", schema),
        body("property", &property(schema)),
        body("readOnly", &property(&marked("readOnly"))),
        parameter("parameter", "query", schema),
        parameter("parameterProperty", "query", &property(schema)),
        parameter("headerProperty", "header", &property(schema)),
        response("response", &content(schema)),
        response("responseProperty", &content(&property(schema))),
        response("writeOnly", &content(&property(&marked("writeOnly")))),
        response("header", &format!("headers: {{X-R: {{schema: {schema}}}}}")),
    ];
    let mut text = "paths:\n".to_owned();
    for (at, operation) in operations.iter().enumerate() {
        let _ = writeln!(text, "  /{at}: {{{operation}}}");
    }
    text + "components: {schemas: {A: {type: object, properties: {k: {const: a}}}, \
        B: {type: object, properties: {k: {const: b}}}}}\n"
}

fn lines(edit: &Edit) -> Vec<Line> {
    let side = |document: &str| {
        let files = [("gateway.yaml", GATEWAY), ("api.yaml", document)];
        let side = compiled(&files, Purpose::Compare);
        side.unwrap_or_else(|errors| panic!("{}: {errors}", edit.name))
    };
    let plan = plan::compare(Some(&side(&edit.old)), &side(&edit.new)).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new(), "{}", edit.name);
    let about_clients = plan
        .changes
        .iter()
        .filter(|change| change.section == plan::Section::Breaking);
    let line = |change: &plan::Change| {
        let message = change.message.as_ref();
        Line {
            edit: edit.name,
            level: message.map_or("info", |message| message.level.name()),
            id: change.id.to_owned(),
            place: format!("{} {}", change.operations.join("+"), change.subject),
        }
    };
    let mut lines: Vec<Line> = about_clients.map(line).collect();
    lines.sort();
    lines
}

fn table(lines: &[Line]) -> String {
    let mut text = "edit\tlevel\tid\tplace\n".to_owned();
    for Line {
        edit,
        level,
        id,
        place,
    } in lines
    {
        let _ = writeln!(text, "{edit}\t{level}\t{id}\t{place}");
    }
    text
}

#[test]
fn check_switched_off_is_noticed() {
    let found: Vec<Line> = parallel::map(edits(), |edit| lines(&edit)).concat();
    let path = "tests/plan/checks_expected.tsv";
    if std::env::var_os("GWC_UPDATE").is_some() {
        std::fs::write(path, table(&found)).expect("the table can be written");
    }
    let kept = std::fs::read_to_string(path).expect("the table is there");
    let differences = one_sided_lines(&kept, &table(&found));
    assert!(
        differences.is_empty(),
        "run with GWC_UPDATE=1 and review: {differences:#?}"
    );
    let is_unnoticed = |check: &&vocab::checks::Check| {
        // Lines of the plan without this check.
        let without: Vec<Line> = found
            .iter()
            .filter(|line| line.id != check.id)
            .cloned()
            .collect();
        table(&without) == kept
    };
    let is_of_lifecycle = |check: &vocab::checks::Check| {
        let line = format!("\"{} {}\"", check.level.name(), check.id);
        LIFECYCLES.contains(&line)
    };
    let unnoticed: Vec<&str> = vocab::checks::ALL
        .iter()
        .filter(|check| !is_of_lifecycle(check))
        .filter(is_unnoticed)
        .map(|check| check.id)
        .collect();
    assert!(
        unnoticed.is_empty(),
        "no edit of checks.tsv has a line of {unnoticed:?}"
    );
}

/// Lines that only one of two tables has.
fn one_sided_lines(kept: &str, found: &str) -> Vec<String> {
    let [kept, found] = [kept, found].map(|text| text.lines().collect::<BTreeSet<&str>>());
    let missing = kept.difference(&found).map(|line| format!("-{line}"));
    missing
        .chain(found.difference(&kept).map(|line| format!("+{line}")))
        .collect()
}
