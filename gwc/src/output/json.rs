//! Format `lint/v1`: the findings as one JSON document. Other formats are built from it.

use diag::Diagnostic;
use serde_json::{Value, json};

use openapi::lint::fingerprint;

use super::report::Report;
use model::series::SERIES_MAX;

/// Renders the report as JSON text.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    diag::json::pretty(&document(report))
}

/// Returns the report as a JSON value.
#[must_use]
pub fn document(report: &Report<'_>) -> Value {
    let counts = report.counts();
    json!({
        "schema": "lint/v1",
        "result": if report.blocked() { "blocked" } else { "ok" },
        "tool": {"name": "gwc", "version": env!("CARGO_PKG_VERSION")},
        "environment": report.environment,
        "metrics": report.cost.map(|cost| json!({"routes": cost.routes, "series": cost.series, "series_max": SERIES_MAX})),
        "counts": {"error": counts.error, "warn": counts.warn, "info": counts.info},
        "findings": findings(report),
    })
}

/// Returns each finding as JSON.
#[must_use]
pub fn findings(report: &Report<'_>) -> Vec<Value> {
    let fingerprints = fingerprint::all(report.files, report.findings);
    report
        .findings
        .iter()
        .zip(fingerprints)
        .map(|(finding, fingerprint)| one(report, finding, &fingerprint))
        .collect()
}

fn one(report: &Report<'_>, finding: &Diagnostic, fingerprint: &str) -> Value {
    let files = report.files;
    let place = files.sources.position(finding.span);
    let related: Vec<Value> = finding
        .related
        .iter()
        .map(|(span, message)| {
            let place = files.sources.position(*span);
            json!({"file": report.seen_path(*span), "line": place.line, "column": place.column, "message": message})
        })
        .collect();
    let edits: Vec<Value> = finding
        .fix
        .iter()
        .map(|edit| {
            let place = files.sources.position(edit.span);
            json!({
                "file": report.seen_path(edit.span),
                "line": place.line, "column": place.column,
                "end_line": place.end_line, "end_column": place.end_column,
                "text": edit.text,
            })
        })
        .collect();
    json!({
        "code": finding.lint.code,
        "name": finding.lint.name,
        "level": finding.level.name(),
        "message": finding.message,
        "help": finding.help,
        "file": report.seen_path(finding.span),
        "line": place.line, "column": place.column,
        "end_line": place.end_line, "end_column": place.end_column,
        "places": finding.places,
        "related": related,
        "fix": {"edits": edits},
        "fingerprint": fingerprint,
    })
}
