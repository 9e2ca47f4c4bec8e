//! Results of a shadow step in the output of `gwd status`.

use serde_json::Value;

/// Calls `line` with label and text for the results of a shadow step: numbers of requests, steps of
/// chains that did not run, and samples of differences. `comparison`: null without such a step.
pub(super) fn lines(comparison: &Value, line: &mut dyn FnMut(&str, &str)) {
    if !comparison.is_object() {
        return;
    }
    let count = |key: &str| comparison[key].as_u64().unwrap_or(0);
    let differences = &comparison["differences"];
    let counts = differences.as_object().into_iter().flatten();
    let different: u64 = counts.filter_map(|(_, count)| count.as_u64()).sum();
    line(
        "compared",
        &format!(
            "{} requests: {} equal, {different} different{}, {} undetermined, {} skipped",
            count("requests"),
            count("equal"),
            kinds(differences),
            count("undetermined"),
            count("skipped"),
        ),
    );
    let steps = kinds(&comparison["undetermined_steps"]);
    if !steps.is_empty() {
        line("compared", &format!("steps that did not run{steps}"));
    }
    for sample in comparison["samples"].as_array().into_iter().flatten() {
        line("difference", &sample_text(sample));
    }
}

/// Counts above 0 by kind, in parentheses. Empty if there are none.
fn kinds(counts: &Value) -> String {
    let counts = counts.as_object().into_iter().flatten();
    let counts = counts.filter_map(|(kind, count)| {
        let count = count.as_u64().filter(|count| *count > 0)?;
        Some(format!("{kind} {count}"))
    });
    let counts: Vec<String> = counts.collect();
    match counts.is_empty() {
        true => String::new(),
        false => format!(" ({})", counts.join(", ")),
    }
}

/// Number of requests, request and decisions of a sample.
fn sample_text(sample: &Value) -> String {
    let text = |key: &str| sample[key].as_str().unwrap_or("-");
    let changed = sample["changed"].as_array().into_iter().flatten();
    let changed: Vec<&str> = changed.filter_map(Value::as_str).collect();
    let changed = match changed.is_empty() {
        true => String::new(),
        false => format!("; differs in {}", changed.join(", ")),
    };
    format!(
        "{} x {}: {} {}: base {}; release {}{changed}",
        sample["count"],
        text("kind"),
        text("method"),
        text("path"),
        text("base"),
        text("candidate"),
    )
}
