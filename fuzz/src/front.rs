//! Fuzz targets for the files that `gwc lint` reads besides API documents, and for the grammars
//! inside documents. The surrounding text is fixed, so that mutations reach the grammar.

use diag::Sink;
use model::compile;
use openapi::lint::baseline::{self, Baseline};
use sources::project::files::Files;
use serde_json::json;

use crate::limits;

const GATEWAY: &str = "\
version: 1
name: s
apis: {s: {path: openapi.yaml}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
";
/// API document with two findings that a baseline can silence.
const WRONG: &str = "\
openapi: 3.1.0
info: {title: t, version: \"1\"}
paths: {}
tags: [{name: a}, {name: a}, {name: b}, {name: b}]
";

/// Lints an API document, with `more` appended to gateway.yaml. Checks that each finding has a
/// position in a file.
fn lint(document: &[u8], more: &str) -> (Files, Vec<diag::Diagnostic>) {
    let gateway = format!("{GATEWAY}{more}");
    let texts = [
        ("gateway.yaml", gateway.into_bytes()),
        ("openapi.yaml", document.to_vec()),
    ];
    let compiled = compile::project(Files::in_memory(texts, limits()), &Vec::new());
    for finding in &compiled.findings {
        let _place = compiled.files.sources.position(finding.span);
        let _text = compiled.files.sources.text(finding.span);
    }
    (compiled.files, compiled.findings)
}

/// Fuzz target for the outlines of the language server. Requests completions at an offset of a
/// document. The first two bytes are the offset (little-endian).
pub fn outline(data: &[u8]) {
    let Some((place, text)) = data.split_at_checked(2) else {
        return;
    };
    let offset = usize::from(u16::from_le_bytes([place[0], place[1]]));
    if let Ok(text) = std::str::from_utf8(text) {
        let _count = lsp::completions(text, offset);
    }
}

/// Fuzz target for baseline files. Applying a baseline must not add findings other than
/// `stale-baseline`.
pub fn baseline(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (mut files, findings) = lint(WRONG.as_bytes(), "");
    let mut sink = Sink::default();
    let read = Baseline::read(&mut files, "baseline.json", text.to_owned(), &mut sink);
    for finding in sink.findings() {
        let _place = files.sources.position(finding.span);
    }
    if let Some(read) = read {
        let applied = read.apply(&files, findings.clone());
        let left = applied
            .iter()
            .filter(|one| one.lint.name != "stale-baseline")
            .count();
        assert!(left <= findings.len());
    }
}

/// Fuzz target for `lint` in gateway.yaml. Each line `RULE=LEVEL` sets the level of a rule.
pub fn levels(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let rows = text.lines().map(|line| {
        let (name, level) = line.split_once('=').unwrap_or((line, "off"));
        format!("  {}: {}\n", json!(name), json!(level))
    });
    let rows: String = rows.collect();
    lint(WRONG.as_bytes(), &format!("lint:\n{rows}"));
}

/// Fuzz target for schemas with examples. The validation of the examples must end.
pub fn schema(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut document = String::from(
        "openapi: 3.1.0\ninfo: {title: t, version: v}\npaths: {}\ncomponents:\n  schemas:\n    T: {$ref: '#/components/schemas/S'}\n    S:\n",
    );
    for line in text.lines() {
        document.push_str(&format!("      {line}\n"));
    }
    lint(document.as_bytes(), "");
}

/// Fuzz target for the pattern in the first line. The pattern is matched against the remaining
/// text.
pub fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (pattern, example) = text.split_once('\n').unwrap_or((text, "a"));
    lint_schema(&json!({"type": "string", "pattern": pattern, "example": example}).to_string());
}

/// Fuzz target for number notations: `multipleOf`, `minimum`, `maximum`, and a value.
pub fn number(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let number = |text: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        let text: String = text.chars().filter(|c| fits(*c)).take(400).collect();
        if text.is_empty() {
            "1".to_owned()
        } else {
            text
        }
    };
    let mut lines = text
        .lines()
        .map(number)
        .chain(std::iter::repeat("1".to_owned()));
    let mut next = || lines.next().unwrap_or_default();
    let (step, least, most, example) = (next(), next(), next(), next());
    lint_schema(&format!(
        "{{type: number, multipleOf: {step}, minimum: {least}, maximum: {most}, example: {example}}}"
    ));
}

fn lint_schema(schema: &str) {
    let document = format!(
        "openapi: 3.0.3\ninfo: {{title: t, version: v}}\npaths: {{}}\ncomponents: {{schemas: {{S: {schema}}}}}\n"
    );
    lint(document.as_bytes(), "");
}

/// Fuzz target for Swagger 2.0 documents and their conversion.
pub fn swagger(data: &[u8]) {
    lint(data, "");
}

/// Fuzz target for the JSONPath of an overlay action, as an update and as a removal.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for change in ["update: {x-a: 1}", "remove: true"] {
        let overlay = format!(
            "overlay: 1.0.0\ninfo: {{title: t, version: v}}\nactions: [{{target: {}, {change}}}]\n",
            json!(text)
        );
        crate::overlay(overlay.as_bytes());
    }
}

/// Baseline that silences the findings of [`WRONG`].
pub(crate) fn sample_baseline() -> Vec<u8> {
    let (files, findings) = lint(WRONG.as_bytes(), "");
    baseline::written(&files, &findings).into_bytes()
}
