//! All metrics at the time of a scrape or an export, with their exemplars.

use prometheus::proto::MetricFamily;

use super::exemplar::BucketExemplars;

/// Histogram that has exemplars.
pub(crate) const REQUEST_DURATION: &str = "http_server_request_duration_seconds";

/// All metrics at one time.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) families: Vec<MetricFamily>,
    /// Exemplars of each metric of [`REQUEST_DURATION`], in the order of the family.
    pub(crate) exemplars: Vec<Option<BucketExemplars>>,
}

impl Collected {
    /// Exemplars of a metric of a family, by bucket. `at`: index of the metric in the family.
    pub(crate) fn exemplars_of(&self, family: &str, at: usize) -> Option<&BucketExemplars> {
        match family == REQUEST_DURATION {
            true => self.exemplars.get(at)?.as_ref(),
            false => None,
        }
    }
}
