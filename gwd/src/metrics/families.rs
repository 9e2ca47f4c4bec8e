//! Conversion of labelled values to Prometheus metric families.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto;

use super::table::{Kind, Metric};
use crate::telemetry::histogram::{BOUNDS_NS, Counted};

/// Histograms by labels.
pub(crate) type Histograms = BTreeMap<Labels, Sum>;
/// Values of counters or gauges, by labels.
pub(crate) type Numbers = BTreeMap<Labels, f64>;

/// Labels of a series, with their values.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// Sums values with the same labels.
pub(crate) fn sums(rows: impl Iterator<Item = (Labels, f64)>) -> Numbers {
    let mut sums = Numbers::new();
    for (labels, value) in rows {
        *sums.entry(labels).or_default() += value;
    }
    sums
}

/// Current value of a counter.
pub(crate) fn value(count: &AtomicU64) -> f64 {
    count.load(Ordering::Relaxed) as f64
}

/// Histogram, summed over the workers.
#[derive(Default)]
pub(crate) struct Sum {
    buckets: [u64; BOUNDS_NS.len() + 1],
    sum_ns: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, counted: &Counted) {
        for (sum, count) in self.buckets.iter_mut().zip(counted.buckets) {
            *sum += count;
        }
        self.sum_ns += counted.sum_ns;
    }

    fn proto(&self) -> proto::Histogram {
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(BOUNDS_NS.len());
        for (bound, count) in BOUNDS_NS.iter().zip(&self.buckets) {
            cumulative += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound as f64 / 1e9);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        cumulative += self.buckets[BOUNDS_NS.len()];
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(cumulative);
        histogram.set_sample_sum(self.sum_ns as f64 / 1e9);
        histogram
    }
}

/// Metric family of a histogram.
pub(crate) fn histograms(metric: &Metric, series: &Histograms) -> proto::MetricFamily {
    let metrics = series.iter().map(|(labels, sum)| {
        let mut one = of_labels(metric, labels);
        one.set_histogram(sum.proto());
        one
    });
    family(metric, proto::MetricType::HISTOGRAM, metrics.collect())
}

/// Metric family of a counter or gauge.
///
/// # Panics
/// If the metric is a histogram.
pub(crate) fn numbers(metric: &Metric, series: &Numbers) -> proto::MetricFamily {
    let kind = match metric.kind {
        Kind::Counter => proto::MetricType::COUNTER,
        Kind::Gauge => proto::MetricType::GAUGE,
        Kind::Histogram => panic!("`{}` is a histogram", metric.name),
    };
    let metrics = series.iter().map(|(labels, value)| {
        let mut one = of_labels(metric, labels);
        if metric.kind == Kind::Counter {
            let mut counter = proto::Counter::default();
            counter.set_value(*value);
            one.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*value);
            one.set_gauge(gauge);
        }
        one
    });
    family(metric, kind, metrics.collect())
}

/// Series of a metric, without a value.
fn of_labels(metric: &Metric, labels: &[(&'static str, String)]) -> proto::Metric {
    debug_assert!(
        labels.iter().all(|(name, _)| metric.labels.contains(name)),
        "a label of `{}` is not in the table: {labels:?}",
        metric.name
    );
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    });
    proto::Metric::from_label(pairs.collect())
}

fn family(
    metric: &Metric,
    kind: proto::MetricType,
    series: Vec<proto::Metric>,
) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(kind);
    family.set_metric(series);
    family
}
