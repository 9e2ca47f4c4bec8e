//! Wall time of the stages of a command, for `--timings` and benchmarks.

use std::time::{Duration, Instant};

/// Stages of a command, in order.
#[derive(Clone, Debug)]
pub struct Stages {
    since: Instant,
    /// Finished stages, each with its wall time.
    pub taken: Vec<(&'static str, Duration)>,
}

impl Default for Stages {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            taken: Vec::new(),
        }
    }
}

impl Stages {
    /// Ends the current stage, with this name, and starts the next one.
    pub fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.taken.push((name, now - self.since));
        self.since = now;
    }

    /// Adds the stages of an inner measurement instead of the time since the last stage.
    pub fn within(&mut self, inner: &Self) {
        self.taken.extend(inner.taken.iter().copied());
        self.since = Instant::now();
    }

    /// Formats the stages as one line: `compile 0.112 s, routing 0.004 s`.
    #[must_use]
    pub fn line(&self) -> String {
        let stages = self.taken.iter();
        let durations: Vec<String> = stages
            .map(|(name, taken)| format!("{name} {:.3} s", taken.as_secs_f64()))
            .collect();
        durations.join(", ")
    }
}
