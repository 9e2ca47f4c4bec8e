//! Tests of baselines: listed findings stay hidden while the document is edited, and all other
//! findings are reported.

use openapi::lint::baseline::{self, Baseline};

use crate::project::{self, Linted};

const TODAY: &str = "openapi: 3.0.3
info: {title: t, version: \"1\"}
paths:
  /a/{id}:
    get:
      parameters:
        - {name: id, in: path, required: true, schema: {type: string}}
        - {name: q, in: query, sumary: x, schema: {type: string}}
      sumary: x
      responses: {'200': {description: ok}}
  /b:
    get: {responses: {'200': {description: ok}}}
";

fn written(text: &str) -> String {
    let linted = project::text(text);
    baseline::written(&linted.files, &linted.findings)
}

/// Findings of a document that the baseline does not hide.
fn left(baseline: &str, document: &str) -> Vec<String> {
    let Linted {
        mut files,
        findings,
        ..
    } = project::text(document);
    let mut sink = diag::Sink::default();
    let read = Baseline::read(&mut files, "baseline.json", baseline.to_owned(), &mut sink);
    let remaining = read.expect("it is one").apply(&files, findings);
    remaining
        .into_iter()
        .map(|finding| format!("{}: {}", finding.lint.name, finding.message))
        .collect()
}

#[test]
fn baseline_entries_survive_edits() {
    let baseline = written(TODAY);
    assert_eq!(left(&baseline, TODAY), Vec::<String>::new());
    let moved = TODAY.replace("paths:\n", "\n# a comment\nservers: []\npaths:\n  /0: {}\n");
    let reordered = TODAY.replace(
        "        - {name: id, in: path, required: true, schema: {type: string}}
        - {name: q, in: query, sumary: x, schema: {type: string}}
      sumary: x\n",
        "        - {name: new, in: query, schema: {type: string}}
        - {name: q, in: query, schema: {type: string}, sumary: x}
        - {name: id, in: path, required: true, schema: {type: string}}\n      sumary: x\n",
    );
    let renamed = TODAY
        .replace("/b:", "/c:")
        .replace("{id}", "{key}")
        .replace("name: id", "name: key");
    for document in [&moved, &reordered, &renamed] {
        assert_ne!(document, TODAY);
        assert_eq!(
            left(&baseline, document),
            Vec::<String>::new(),
            "{document}"
        );
        assert_eq!(written(document), baseline);
    }
}

#[test]
fn baseline_reports_one_more_equal_finding() {
    let baseline = written(TODAY);
    let elsewhere = TODAY.replace("  /b:\n    get: {", "  /b:\n    get: {sumary: x, ");
    assert_eq!(
        left(&baseline, &elsewhere),
        ["unknown-field: an operation has no field `sumary`"]
    );
    // Items of a list have no own names, so their findings have equal fingerprints.
    let schema = |items: &str| {
        format!(
            "openapi: 3.0.3\ninfo: {{title: t, version: \"1\"}}\npaths: {{}}\ncomponents: {{schemas: {{A: {{allOf: [{items}]}}}}}}\n"
        )
    };
    let one = "{type: object, tipe: x}";
    let (single, double) = (schema(one), schema(&format!("{one}, {one}")));
    let baseline = written(&single);
    assert_eq!(left(&baseline, &double).len(), 1);
    assert!(written(&double).contains("\"count\": 2"));
    assert_eq!(left(&written(&double), &double), Vec::<String>::new());
    assert_eq!(
        left(&written(&double), &single),
        [
            "stale-baseline: the baseline lists `unknown-keyword` in openapi.yaml 1 time more than it occurs"
        ]
    );
}

#[test]
fn baseline_entry_of_a_fixed_finding_is_stale() {
    let baseline = written(TODAY);
    let mended = TODAY.replace("      sumary: x\n", "");
    assert_eq!(left(&baseline, &mended).len(), 1);
    assert!(left(&baseline, &mended)[0].starts_with("stale-baseline"));
    assert_eq!(left(&written(&mended), &mended), Vec::<String>::new());
    assert!(written(&mended).len() < baseline.len());
}

#[test]
fn baseline_silences_no_hard_finding() {
    let hard = TODAY.replace("  /b:\n", "  /b:\n    gte: {}\n");
    let names = project::text(&hard).names();
    assert!(names.contains(&"unknown-method"), "{names:?}");
    assert_eq!(left(&written(&hard), &hard).len(), 1);
}

#[test]
fn baseline_fits_its_schema_or_is_refused() {
    let (_, schema) = gwc::schemas::all()
        .into_iter()
        .find(|(name, _)| *name == "baseline")
        .expect("it has a schema");
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let text = written(TODAY);
    let document: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert!(validator.is_valid(&document), "{text}");
    let pretty = serde_json::from_str::<serde_json::Value>(&written(
        "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths: {}\n",
    ));
    assert_eq!(
        pretty.expect("it is JSON")["findings"],
        serde_json::json!([])
    );
    let mut linted = project::text(TODAY);
    for wrong in [
        "",
        "{}",
        "[]",
        "{\"schema\": \"baseline/v2\", \"findings\": []}",
    ] {
        let mut sink = diag::Sink::default();
        let read = Baseline::read(&mut linted.files, "baseline.json", wrong.into(), &mut sink);
        assert!(read.is_none() && sink.has_errors(), "{wrong}");
    }
}
