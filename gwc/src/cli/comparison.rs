//! Results of a shadow step at gateways: how the release would have decided requests that the base
//! served.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::live::Line;
use super::many;
use crate::release::nodes::Nodes;
use diag::text::printable;

/// Maximum number of samples that are shown.
const SAMPLES_MAX: usize = 20;

/// Results of several gateways.
#[derive(Default)]
pub(super) struct Comparison {
    gateways: usize,
    requests: u64,
    equal: u64,
    /// Differences by kind.
    differences: BTreeMap<String, u64>,
    undetermined: u64,
    /// Steps of chains whose result is not known, by kind.
    steps: BTreeMap<String, u64>,
    skipped: u64,
    /// Samples of differences, as JSON without their count.
    samples: BTreeMap<String, (Value, u64)>,
}

impl Comparison {
    /// Reads the results of the gateways. `None` if no gateway compares.
    pub(super) fn of(nodes: &Nodes) -> Option<Self> {
        let states = nodes.status().into_iter();
        let states = states.filter_map(|(_, status)| status.ok());
        let parts = states.map(|status| status.all["rollout"]["comparison"].clone());
        Self::sum(&parts.collect::<Vec<_>>())
    }

    /// Sum of results, each of a gateway's status. `None` if no gateway compares.
    pub(super) fn sum<'a>(parts: impl IntoIterator<Item = &'a Value>) -> Option<Self> {
        let mut sum = Self::default();
        for part in parts.into_iter().filter(|part| part.is_object()) {
            sum.add(part);
        }
        (sum.gateways > 0).then_some(sum)
    }

    fn add(&mut self, part: &Value) {
        let count = |of: &Value| of.as_u64().unwrap_or(0);
        let add = |sum: &mut u64, of: &Value| *sum = sum.saturating_add(count(of));
        self.gateways += 1;
        add(&mut self.requests, &part["requests"]);
        add(&mut self.equal, &part["equal"]);
        add(&mut self.undetermined, &part["undetermined"]);
        add(&mut self.skipped, &part["skipped"]);
        let maps = [
            (&mut self.differences, &part["differences"]),
            (&mut self.steps, &part["undetermined_steps"]),
        ];
        for (sums, counts) in maps {
            for (kind, of) in counts.as_object().into_iter().flatten() {
                add(sums.entry(kind.clone()).or_default(), of);
            }
        }
        for sample in part["samples"].as_array().into_iter().flatten() {
            let mut sample = sample.clone();
            let of = sample["count"].take();
            let (_, sum) = self
                .samples
                .entry(sample.to_string())
                .or_insert((sample, 0));
            add(sum, &of);
        }
    }

    /// Number of requests with a difference.
    fn different(&self) -> u64 {
        self.differences.values().sum()
    }

    /// Numbers of requests by result, for people.
    fn text(&self) -> String {
        let mut parts = vec![
            format!("{} equal", self.equal),
            format!("{} different{}", self.different(), kinds(&self.differences)),
        ];
        if self.undetermined > 0 {
            parts.push(format!("{} undetermined", self.undetermined));
        }
        if self.skipped > 0 {
            parts.push(format!("{} skipped", self.skipped));
        }
        format!("{} requests compared: {}", self.requests, parts.join(", "))
    }

    /// Steps whose result is not known. `None`: all steps ran.
    fn steps_text(&self) -> Option<String> {
        let text = kinds(&self.steps);
        (!text.is_empty()).then(|| format!("steps that did not run{text}"))
    }

    /// Sum as JSON.
    pub(super) fn json(&self) -> Value {
        let samples = self.ordered().into_iter().map(|(sample, count)| {
            let mut sample = sample.clone();
            sample["count"] = count.into();
            sample
        });
        json!({"requests": self.requests, "equal": self.equal, "differences": self.differences,
               "undetermined": self.undetermined, "undetermined_steps": self.steps,
               "skipped": self.skipped, "samples": samples.collect::<Vec<_>>()})
    }

    /// Lines about all gateways: the sum, the steps that did not run, and the samples.
    pub(super) fn lines(&self) -> Vec<Line> {
        let sum = Line {
            text: format!("{}, at {}", self.text(), many::gateways(self.gateways)),
            state: "comparison".to_owned(),
        };
        let steps = self.steps_text().map(|text| Line {
            text,
            state: format!("steps {:?}", self.steps.keys()),
        });
        let mut lines: Vec<Line> = [sum].into_iter().chain(steps).collect();
        lines.extend(self.ordered().into_iter().map(|(sample, count)| {
            let text = sample_text(sample);
            Line {
                text: format!("{count} x {text}"),
                state: text,
            }
        }));
        lines
    }

    /// Samples, the most frequent ones first.
    fn ordered(&self) -> Vec<(&Value, u64)> {
        let samples = self.samples.values();
        let mut samples: Vec<(&Value, u64)> = samples.map(|(one, count)| (one, *count)).collect();
        samples.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        samples.truncate(SAMPLES_MAX);
        samples
    }
}

/// Counts above 0 by kind, in parentheses. Empty if there are none.
fn kinds(counts: &BTreeMap<String, u64>) -> String {
    let counts = counts.iter().filter(|(_, count)| **count > 0);
    let counts: Vec<String> = counts
        .map(|(kind, count)| format!("{} {count}", printable(kind)))
        .collect();
    match counts.is_empty() {
        true => String::new(),
        false => format!(" ({})", counts.join(", ")),
    }
}

/// Request and decisions of a sample.
fn sample_text(sample: &Value) -> String {
    let text = |key: &str| printable(sample[key].as_str().unwrap_or("-"));
    let changed = sample["changed"].as_array().into_iter().flatten();
    let changed: Vec<String> = changed.filter_map(Value::as_str).map(printable).collect();
    let changed = match changed.is_empty() {
        true => String::new(),
        false => format!("; differs in {}", changed.join(", ")),
    };
    format!(
        "{}: {} {}: base {}; release {}{changed}",
        text("kind"),
        text("method"),
        text("path"),
        text("base"),
        text("candidate"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(count: u64, candidate: &str) -> Value {
        json!({"requests": count + 3, "equal": 1, "undetermined": 2, "skipped": 0,
               "differences": {"operation": 0, "decision": count},
               "undetermined_steps": {"quota": 2},
               "samples": [{"kind": "decision", "method": "GET", "path": "/a", "base": "a: forwarded to u",
                            "candidate": candidate, "changed": [], "count": count}]})
    }

    #[test]
    fn results_of_gateways_are_added() {
        let parts = [
            part(4, "a: refused"),
            Value::Null,
            part(5, "a: refused"),
            part(7, "a: other"),
        ];
        let sum = Comparison::sum(&parts).unwrap();
        let lines: Vec<String> = sum.lines().into_iter().map(|line| line.text).collect();
        let expected = [
            "25 requests compared: 3 equal, 16 different (decision 16), 6 undetermined, at 3 gateways",
            "steps that did not run (quota 6)",
            "9 x decision: GET /a: base a: forwarded to u; release a: refused",
            "7 x decision: GET /a: base a: forwarded to u; release a: other",
        ];
        assert_eq!(lines, expected);
        assert_eq!(sum.json()["samples"][0]["count"], 9);
        assert!(Comparison::sum(&[Value::Null]).is_none());
    }

    #[test]
    fn samples_are_bounded_over_all_gateways() {
        let parts = (0..30).map(|at| part(1, &format!("a: {at}")));
        let sum = Comparison::sum(&parts.collect::<Vec<_>>()).unwrap();
        assert_eq!(sum.different(), 30);
        assert_eq!(sum.lines().len(), 22);
        assert_eq!(sum.json()["samples"].as_array().unwrap().len(), 20);
    }

    #[test]
    fn changed_parts_are_named() {
        let sample = json!({"kind": "request", "method": "GET", "path": null, "base": "a: forwarded",
                            "candidate": "a: forwarded\u{1b}", "changed": ["path", "field x-a"]});
        assert_eq!(
            sample_text(&sample),
            "request: GET -: base a: forwarded; release a: forwarded\u{241b}; differs in path, field x-a"
        );
    }
}
