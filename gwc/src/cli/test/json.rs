//! Test results as JSON in the format `test/v1`.

use serde_json::{Map, Value, json};

use super::{Results, TestResult};
use model::place::Place;

/// Builds the fields of `test/v1`, except the fields that all JSON documents of gwc have.
pub(super) fn document(results: &Results<'_>) -> Value {
    let coverage = results.coverage.as_ref().map(|coverage| coverage.kinds());
    let coverage: Map<String, Value> = coverage
        .into_iter()
        .flatten()
        .map(|(kind, share)| {
            let missed: Vec<&str> = share.missed().collect();
            let reached = share.all.len() - missed.len();
            let value = json!({"all": share.all.len(), "reached": reached, "missed": missed});
            (kind.to_owned(), value)
        })
        .collect();
    json!({
        "passed": results.passed(),
        "failed": results.failed(),
        "skipped": results.skipped(),
        "not_compared": results.unseen(),
        "tests": results.tests.iter().map(test).collect::<Vec<_>>(),
        "coverage": results.coverage.is_some().then_some(coverage),
    })
}

fn test(test: &TestResult<'_>) -> Value {
    let mut places = test.failures.iter();
    let requests = test.outcomes.iter().map(|outcome| {
        let failures = outcome.failures.iter().map(|failure| {
            json!({
                "what": (!failure.what.is_empty()).then_some(&failure.what),
                "expected": (!failure.what.is_empty()).then_some(&failure.expected),
                "actual": failure.actual,
                "help": failure.help,
                "source": places.next().map(place),
            })
        });
        let failures: Vec<Value> = failures.collect();
        let answer = outcome.answer.as_ref();
        json!({
            "request": outcome.request,
            "decision": answer.map(|answer| answer.decision.name()),
            "operation": answer.and_then(|answer| Some(&answer.operation.as_ref()?.key)),
            "failures": failures,
        })
    });
    let requests: Vec<Value> = requests.collect();
    json!({
        "name": test.case.name.value,
        "passed": test.passed(),
        "skipped": test.skipped,
        "source": place(&test.place),
        "requests": requests,
    })
}

fn place(place: &Place) -> Value {
    json!({"file": place.file, "line": place.line, "column": place.column})
}
