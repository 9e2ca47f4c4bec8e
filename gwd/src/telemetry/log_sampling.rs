//! Sampling of the access log: which requests have a line if `--access-log-sample` is set.
//!
//! A worker selects a request by the ratio when the request begins, and adds the requests that are
//! always logged when the request has ended. The selection of a request without a parent is made by
//! the same bits of its trace id as the sampling of its trace. The log therefore contains each
//! sampled trace, and no more lines than the larger of both ratios needs.

use std::time::Duration;

use super::traces::{Threshold, TraceContext};
use crate::runtime::random::Random;

/// Settings of the sampling of the access log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSampling {
    /// Share of the requests that are logged, without those that are always logged. Range: 0–1.
    pub ratio: f64,
    /// Duration from which a request is always logged.
    pub slow: Duration,
}

/// Sampler of the access log of one worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSampler {
    ratio: f64,
    threshold: Threshold,
    /// Share of the traces without a parent that are sampled.
    trace_ratio: f64,
    slow_ns: u64,
}

/// Selection of a request by its sampler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Selection {
    /// True if the request is logged, whatever its outcome is.
    pub(crate) is_selected: bool,
    /// Share of such requests that are logged. A line counts for 1 / `ratio` requests.
    pub(crate) ratio: f64,
}

impl LogSampler {
    /// Sampler for these settings. `trace_ratio`: share of the traces without a parent that are
    /// sampled; 0 without traces.
    pub(crate) fn new(settings: LogSampling, trace_ratio: f64) -> Self {
        Self {
            ratio: settings.ratio,
            threshold: Threshold::of(settings.ratio),
            trace_ratio,
            slow_ns: u64::try_from(settings.slow.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// Selects a request by the ratio. A request with a sampled trace is always selected. The trace
    /// ids of clients do not decide, because a client could keep its requests out of the log.
    pub(crate) fn select(&self, trace: Option<&TraceContext>, random: &Random) -> Selection {
        match trace {
            Some(context) if !context.is_client_decision => Selection {
                is_selected: context.server.is_sampled()
                    || self.threshold.admits(context.server.trace_id),
                ratio: self.ratio.max(self.trace_ratio),
            },
            Some(context) if context.server.is_sampled() => Selection {
                is_selected: true,
                ratio: 1.0,
            },
            Some(_) | None => Selection {
                is_selected: self
                    .threshold
                    .admits(u128::from(random.next()).to_be_bytes()),
                ratio: self.ratio,
            },
        }
    }

    /// True if a request with this duration is always logged.
    pub(crate) const fn is_slow(&self, duration_ns: u64) -> bool {
        duration_ns >= self.slow_ns
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tokio::sync::mpsc;

    use super::super::traces::Tracer;
    use super::*;

    const REQUESTS: usize = 10_000;

    fn sampler(ratio: f64, trace_ratio: f64) -> LogSampler {
        let slow = Duration::from_millis(250);
        LogSampler::new(LogSampling { ratio, slow }, trace_ratio)
    }

    fn parent(flags: &str) -> HeaderMap {
        // A client that uses the same trace id for all its requests, with the lowest random bits.
        let value = format!("00-4bf92f3577b34da6a300000000000000-00f067aa0ba902b7-{flags}");
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", value.parse().unwrap());
        headers
    }

    #[test]
    fn sampled_traces_are_logged_and_no_more() {
        let random = Random::new();
        for (ratio, trace_ratio, expected) in [
            (0.25, 0.1, 0.25),
            (0.1, 0.25, 0.25),
            (0.0, 0.0, 0.0),
            (1.0, 0.0, 1.0),
        ] {
            let tracer = Tracer::new(mpsc::channel(1).0, trace_ratio, None);
            let sampler = sampler(ratio, trace_ratio);
            let mut selected = 0;
            for _ in 0..REQUESTS {
                let context = tracer.begin(&HeaderMap::new(), &random);
                let selection = sampler.select(Some(&context), &random);
                assert!(selection.is_selected || !context.server.is_sampled());
                assert_eq!(selection.ratio, expected);
                selected += usize::from(selection.is_selected);
            }
            let share = selected as f64 / REQUESTS as f64;
            assert!(
                (share - expected).abs() < 0.03,
                "{ratio} {trace_ratio}: {share}"
            );
        }
    }

    #[test]
    fn clients_decide_only_that_they_are_logged() {
        let random = Random::new();
        let tracer = Tracer::new(mpsc::channel(1).0, 0.5, None);
        let sampler = sampler(0.25, 0.5);
        let sampled = tracer.begin(&parent("01"), &random);
        let all = Selection {
            is_selected: true,
            ratio: 1.0,
        };
        assert_eq!(sampler.select(Some(&sampled), &random), all);
        let unsampled = tracer.begin(&parent("00"), &random);
        for trace in [Some(&unsampled), None] {
            let begun = (0..REQUESTS).map(|_| sampler.select(trace, &random));
            let begun: Vec<Selection> = begun.collect();
            assert!(begun.iter().all(|one| one.ratio == 0.25));
            let selected = begun.iter().filter(|one| one.is_selected).count();
            assert!((2_200..2_800).contains(&selected), "{selected}");
        }
    }

    #[test]
    fn slow_requests_are_those_from_the_limit() {
        let sampler = sampler(0.5, 0.0);
        assert!(!sampler.is_slow(249_999_999));
        assert!(sampler.is_slow(250_000_000));
    }
}
