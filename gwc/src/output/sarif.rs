//! Format `sarif`: SARIF 2.1.0 for code scanning services (OASIS,
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>).
//!
//! Only rules with findings are listed, sorted by code.

use std::collections::BTreeMap;

use diag::sarif::{level, log, plain};
use diag::uri::path_reference;
use diag::{Diagnostic, Lint, Span};
use serde_json::{Value, json};

use openapi::lint::fingerprint;

use super::report::{Report, sentence};

/// Renders the findings as a SARIF log with one run.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let lints: BTreeMap<&str, &Lint> = report
        .findings
        .iter()
        .map(|finding| (finding.lint.code, finding.lint))
        .collect();
    let index = |code: &str| lints.keys().position(|known| *known == code);
    let results: Vec<Value> = report
        .findings
        .iter()
        .zip(fingerprint::all(report.files, report.findings))
        .map(|(finding, fingerprint)| {
            result(report, finding, index(finding.lint.code), &fingerprint)
        })
        .collect();
    let rules: Vec<Value> = lints.values().map(|lint| rule(lint)).collect();
    log("gwc", &rules, &results)
}

fn rule(lint: &Lint) -> Value {
    json!({
        "id": lint.code,
        "name": lint.name,
        "shortDescription": {"text": lint.summary},
        "fullDescription": {"text": lint.explain},
        "help": {"text": format!("{}\n\n`gwc explain {}` shows samples.", lint.explain, lint.code)},
        "defaultConfiguration": {"level": level(lint.level)},
    })
}

fn result(
    report: &Report<'_>,
    finding: &Diagnostic,
    rule: Option<usize>,
    fingerprint: &str,
) -> Value {
    let related: Vec<Value> = finding
        .related
        .iter()
        .enumerate()
        .map(|(id, (span, message))| {
            json!({"id": id, "physicalLocation": location(report, *span), "message": {"text": plain(message)}})
        })
        .collect();
    let mut result = json!({
        "ruleId": finding.lint.code,
        "ruleIndex": rule,
        "level": level(finding.level),
        "message": {"text": plain(&sentence(finding))},
        "locations": [{"physicalLocation": location(report, finding.span)}],
        "partialFingerprints": {"gwcFingerprint/v1": fingerprint},
    });
    if !related.is_empty() {
        result["relatedLocations"] = related.into();
    }
    if !finding.fix.is_empty() {
        result["fixes"] = json!([fix(report, finding)]);
    }
    result
}

/// SARIF `fixes` of a finding: its edits, grouped by file.
fn fix(report: &Report<'_>, finding: &Diagnostic) -> Value {
    let mut by_file: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for edit in &finding.fix {
        by_file
            .entry(path_reference(&report.seen_path(edit.span)))
            .or_default()
            .push(json!({
                "deletedRegion": region(report, edit.span),
                "insertedContent": {"text": edit.text},
            }));
    }
    let changes: Vec<Value> = by_file
        .into_iter()
        .map(|(uri, replacements)| {
            json!({"artifactLocation": {"uri": uri}, "replacements": replacements})
        })
        .collect();
    let what = finding.help.as_deref().unwrap_or(&finding.message);
    json!({"description": {"text": plain(what)}, "artifactChanges": changes})
}

fn location(report: &Report<'_>, span: Span) -> Value {
    json!({"artifactLocation": {"uri": path_reference(&report.seen_path(span))}, "region": region(report, span)})
}

fn region(report: &Report<'_>, span: Span) -> Value {
    let place = report.files.sources.position(span);
    json!({"startLine": place.line, "startColumn": place.column,
           "endLine": place.end_line, "endColumn": place.end_column})
}
