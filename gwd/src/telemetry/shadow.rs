//! Results of shadow steps: how the candidate of a progressive release would have decided requests
//! that the base served. Counts results, and keeps samples of differences.
//!
//! Samples have no value of a request: the path is the template of the operation, and changed fields
//! are only named.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

/// Maximum number of different samples: 20.
const SAMPLES_MAX: usize = 20;

/// Result of the comparison of two decisions, or the reason why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShadowResult {
    /// Both versions decide equally, as far as the candidate's decision is known.
    Equal,
    /// The versions find different operations.
    Operation,
    /// One version forwards the request and the other does not, or their answers differ.
    Decision,
    /// The versions forward the request to different upstreams.
    Upstream,
    /// The versions forward the request with different fields, path, query or method.
    Request,
    /// The candidate's decision depends on an answer that the gateway did not request.
    Undetermined,
    /// The request was not compared, because too many requests waited or the comparison panicked.
    Skipped,
}

/// All results, in the order of [`Counts`].
const RESULTS: [ShadowResult; 7] = [
    ShadowResult::Equal,
    ShadowResult::Operation,
    ShadowResult::Decision,
    ShadowResult::Upstream,
    ShadowResult::Request,
    ShadowResult::Undetermined,
    ShadowResult::Skipped,
];

/// Difference between two decisions, without values of the request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ShadowSample {
    pub(crate) kind: ShadowResult,
    pub(crate) method: &'static str,
    /// Template of the operation's path. `None`: no version has an operation for the request.
    pub(crate) path: Option<String>,
    pub(crate) base: String,
    pub(crate) candidate: String,
    /// Parts of the forwarded request that differ.
    pub(crate) changed: Vec<String>,
}

type Counts = [u64; RESULTS.len()];

/// Results of the process, and those of the current step.
#[derive(Debug, Default)]
pub(crate) struct ShadowReport {
    counts: [AtomicU64; RESULTS.len()],
    step: Mutex<Step>,
}

/// Results of the current step.
#[derive(Debug, Default)]
struct Step {
    /// Counters at the beginning of the step.
    before: Counts,
    samples: BTreeMap<ShadowSample, u64>,
    /// Number of steps of chains whose result is not known, by kind of policy.
    undetermined: BTreeMap<&'static str, u64>,
}

// === impl ShadowResult ===

impl ShadowResult {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Operation => "operation",
            Self::Decision => "decision",
            Self::Upstream => "upstream",
            Self::Request => "request",
            Self::Undetermined => "undetermined",
            Self::Skipped => "skipped",
        }
    }

    /// True if the versions decide differently.
    pub(crate) const fn is_difference(self) -> bool {
        match self {
            Self::Operation | Self::Decision | Self::Upstream | Self::Request => true,
            Self::Equal | Self::Undetermined | Self::Skipped => false,
        }
    }
}

// === impl ShadowReport ===

impl ShadowReport {
    pub(crate) fn count(&self, result: ShadowResult) {
        self.counts[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a result, the steps of the candidate's chain whose result is not known, and a sample.
    pub(crate) fn add(
        &self,
        result: ShadowResult,
        undetermined: &[&'static str],
        sample: Option<ShadowSample>,
    ) {
        self.count(result);
        if undetermined.is_empty() && sample.is_none() {
            return;
        }
        let mut step = self.step();
        for kind in undetermined {
            *step.undetermined.entry(kind).or_default() += 1;
        }
        let Some(sample) = sample else { return };
        let has_room = step.samples.len() < SAMPLES_MAX;
        if let Some(count) = step.samples.get_mut(&sample) {
            *count += 1;
        } else if has_room {
            step.samples.insert(sample, 1);
        }
    }

    /// Begins a new step: its results are counted from 0.
    pub(crate) fn restart(&self) {
        let before = self.totals();
        *self.step() = Step {
            before,
            ..Step::default()
        };
    }

    /// Number of each result since the start of the process.
    pub(crate) fn results(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = RESULTS.map(ShadowResult::as_str);
        names.into_iter().zip(self.totals())
    }

    /// Results of the current step as JSON.
    pub(crate) fn json(&self) -> Value {
        let totals = self.totals();
        let step = self.step();
        let count = |result: ShadowResult| {
            let at = result as usize;
            totals[at].saturating_sub(step.before[at])
        };
        let requests: u64 = RESULTS.into_iter().map(count).sum();
        let differences = RESULTS.into_iter().filter(|result| result.is_difference());
        let by_kind = differences.map(|kind| (kind.as_str().to_owned(), json!(count(kind))));
        let mut samples: Vec<(&ShadowSample, &u64)> = step.samples.iter().collect();
        samples.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
        let samples = samples.into_iter().map(|(sample, count)| {
            json!({"kind": sample.kind.as_str(), "method": sample.method, "path": sample.path,
                   "base": sample.base, "candidate": sample.candidate,
                   "changed": sample.changed, "count": count})
        });
        json!({
            "requests": requests,
            "equal": count(ShadowResult::Equal),
            "differences": Value::Object(by_kind.collect()),
            "undetermined": count(ShadowResult::Undetermined),
            "undetermined_steps": step.undetermined,
            "skipped": count(ShadowResult::Skipped),
            "samples": samples.collect::<Vec<_>>(),
        })
    }

    fn totals(&self) -> Counts {
        self.counts
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    fn step(&self) -> MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(candidate: &str) -> ShadowSample {
        ShadowSample {
            kind: ShadowResult::Decision,
            method: "GET",
            path: Some("/orders/{id}".to_owned()),
            base: "forwarded to orders".to_owned(),
            candidate: candidate.to_owned(),
            changed: Vec::new(),
        }
    }

    #[test]
    fn equal_samples_are_one_with_a_count() {
        let report = ShadowReport::default();
        for status in ["401", "403", "401"] {
            report.add(ShadowResult::Decision, &[], Some(sample(status)));
        }
        let samples = &report.json()["samples"];
        let seen = |at: usize| (&samples[at]["candidate"], &samples[at]["count"]);
        assert_eq!(seen(0), (&json!("401"), &json!(2)));
        assert_eq!(seen(1), (&json!("403"), &json!(1)));
    }

    #[test]
    fn samples_are_bounded_and_differences_counted() {
        let report = ShadowReport::default();
        for number in 0..50 {
            let sample = sample(&number.to_string());
            report.add(ShadowResult::Decision, &["quota"], Some(sample));
        }
        let json = report.json();
        assert_eq!(json["samples"].as_array().unwrap().len(), 20);
        assert_eq!(json["differences"]["decision"], 50);
        assert_eq!(json["undetermined_steps"], json!({"quota": 50}));
    }

    #[test]
    fn new_step_counts_from_zero_and_metrics_go_on() {
        let report = ShadowReport::default();
        report.add(ShadowResult::Equal, &["quota"], Some(sample("401")));
        report.restart();
        report.count(ShadowResult::Skipped);
        let json = report.json();
        let counts = [&json["requests"], &json["equal"], &json["skipped"]];
        assert_eq!(counts, [&json!(1), &json!(0), &json!(1)]);
        assert_eq!(json["samples"], json!([]));
        assert_eq!(json["undetermined_steps"], json!({}));
        let results: BTreeMap<_, _> = report.results().collect();
        assert_eq!((results["equal"], results["skipped"]), (1, 1));
    }
}
