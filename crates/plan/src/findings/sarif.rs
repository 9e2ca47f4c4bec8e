//! Format `sarif`: SARIF 2.1.0 for code scanning services (OASIS,
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>). Only kinds of changes that
//! occur are listed as rules, sorted by id.

use std::collections::BTreeSet;

use diag::sarif::{level, log, plain};
use diag::uri::path_reference;
use serde_json::{Value, json};

use super::Finding;
use crate::report::Report;

/// Renders the changes as a SARIF log with one run.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let findings = super::of(report);
    let ids: BTreeSet<&str> = findings.iter().map(|one| one.change.id).collect();
    let index = |id: &str| ids.iter().position(|known| *known == id);
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| result(finding, index(finding.change.id)))
        .collect();
    let rules: Vec<Value> = ids.iter().map(|id| rule(id)).collect();
    log("gwc plan", &rules, &results)
}

fn rule(id: &str) -> Value {
    let own = crate::ids::of(id).map(|kind| kind.means);
    let means = own.or_else(|| vocab::checks::of(id).map(|check| check.means));
    let means = means.unwrap_or(id);
    json!({
        "id": id,
        "shortDescription": {"text": means},
        "help": {"text": format!("{means}\n\n`gwc explain {id}` explains it.")},
    })
}

fn result(finding: &Finding<'_>, rule: Option<usize>) -> Value {
    let column = finding.at.as_ref().map_or(1, |at| at.column);
    json!({
        "ruleId": finding.change.id,
        "ruleIndex": rule,
        "level": level(finding.level),
        "message": {"text": plain(&finding.message)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": path_reference(finding.path())},
            "region": {"startLine": finding.line(), "startColumn": column},
        }}],
        "partialFingerprints": {"gwcFingerprint/v1": finding.change.fingerprint},
        "properties": {"class": finding.change.class.name(), "section": finding.change.section.name()},
    })
}
