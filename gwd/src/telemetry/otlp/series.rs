//! Data points of metrics in OTLP, cumulative, with the time at which each series began.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::exemplar::Value as ExemplarValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar as OtlpExemplar, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, Sum,
};
use prometheus::proto::{LabelPair, Metric as Sample, MetricFamily, MetricType};
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::attributes::{attribute, text};
use super::metric_names::{MetricName, attribute_of};
use crate::telemetry::collected::Collected;
use crate::telemetry::exemplar::BucketExemplars;

/// Gauge that OpenTelemetry's conventions define as a sum that also falls.
const ACTIVE_REQUESTS: &str = "http_server_active_requests";

/// Series that were exported before, and when they began.
pub(super) struct SeriesStarts {
    /// Start of series that exist since the first export, in Unix nanoseconds.
    began_ns: u64,
    /// Time of the last export, in Unix nanoseconds.
    last_ns: u64,
    exports: u64,
    known: FxHashMap<u64, Known>,
}

/// Series at its last export.
struct Known {
    start_ns: u64,
    /// Value of a counter, or count of a histogram.
    value: f64,
    export: u64,
}

impl SeriesStarts {
    /// `began_ns`: time at which the process began to count, in Unix nanoseconds.
    pub(super) fn new(began_ns: u64) -> Self {
        Self {
            began_ns,
            last_ns: began_ns,
            exports: 0,
            known: FxHashMap::default(),
        }
    }

    /// Metrics of one export at this time, each with at most `points_max` data points. A metric
    /// with more data points is there several times.
    pub(super) fn metrics(
        &mut self,
        collected: &Collected,
        now_ns: u64,
        points_max: usize,
    ) -> Vec<(Metric, usize)> {
        self.exports += 1;
        let mut metrics = Vec::with_capacity(collected.families.len());
        for family in &collected.families {
            for (chunk, samples) in family.get_metric().chunks(points_max).enumerate() {
                let mut metric = self.metric(family, samples, now_ns);
                if let Some(Data::Histogram(histogram)) = &mut metric.data {
                    let first = chunk * points_max;
                    for (at, point) in histogram.data_points.iter_mut().enumerate() {
                        let found = collected.exemplars_of(family.name(), first + at);
                        point.exemplars = found.map(exemplars).unwrap_or_default();
                    }
                }
                metrics.push((metric, samples.len()));
            }
        }
        let exports = self.exports;
        self.known.retain(|_, known| known.export == exports);
        self.last_ns = now_ns;
        metrics
    }

    fn metric(&mut self, family: &MetricFamily, samples: &[Sample], now_ns: u64) -> Metric {
        let kind = family.get_field_type();
        let MetricName { name, unit } = MetricName::of(family.name(), kind == MetricType::COUNTER);
        let cumulative = AggregationTemporality::Cumulative.into();
        let data = match kind {
            MetricType::COUNTER => Data::Sum(Sum {
                data_points: self.numbers(family, samples, now_ns, |sample| {
                    sample.get_counter().get_value()
                }),
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
            MetricType::HISTOGRAM => Data::Histogram(Histogram {
                data_points: samples
                    .iter()
                    .map(|sample| self.histogram(family, sample, now_ns))
                    .collect(),
                aggregation_temporality: cumulative,
            }),
            MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => {
                let is_sum = family.name() == ACTIVE_REQUESTS;
                let points = samples.iter().map(|sample| {
                    // The start of a gauge has no meaning.
                    let start_ns = if is_sum { self.began_ns } else { 0 };
                    number(sample, sample.get_gauge().get_value(), [start_ns, now_ns])
                });
                let data_points = points.collect();
                match is_sum {
                    true => Data::Sum(Sum {
                        data_points,
                        aggregation_temporality: cumulative,
                        is_monotonic: false,
                    }),
                    false => Data::Gauge(Gauge { data_points }),
                }
            }
        };
        Metric {
            name,
            description: family.help().to_owned(),
            unit: unit.to_owned(),
            metadata: Vec::new(),
            data: Some(data),
        }
    }

    fn numbers(
        &mut self,
        family: &MetricFamily,
        samples: &[Sample],
        now_ns: u64,
        value: impl Fn(&Sample) -> f64,
    ) -> Vec<NumberDataPoint> {
        let points = samples.iter().map(|sample| {
            let value = value(sample);
            let start_ns = self.start(family, sample, value);
            number(sample, value, [start_ns, now_ns])
        });
        points.collect()
    }

    fn histogram(
        &mut self,
        family: &MetricFamily,
        sample: &Sample,
        now_ns: u64,
    ) -> HistogramDataPoint {
        let histogram = sample.get_histogram();
        let count = histogram.get_sample_count();
        let buckets = histogram.get_bucket();
        let mut before = 0;
        let mut bucket_counts: Vec<u64> = Vec::with_capacity(buckets.len() + 1);
        for bucket in buckets {
            bucket_counts.push(bucket.cumulative_count().saturating_sub(before));
            before = bucket.cumulative_count();
        }
        bucket_counts.push(count.saturating_sub(before));
        HistogramDataPoint {
            attributes: attributes(sample.get_label()),
            start_time_unix_nano: self.start(family, sample, count as f64),
            time_unix_nano: now_ns,
            count,
            sum: Some(histogram.get_sample_sum()),
            bucket_counts,
            explicit_bounds: buckets.iter().map(|bucket| bucket.upper_bound()).collect(),
            ..HistogramDataPoint::default()
        }
    }

    /// Time at which a series began. A series that is new since the last export, or whose value
    /// fell, began after the last export: series of a route that returns begin at 0.
    fn start(&mut self, family: &MetricFamily, sample: &Sample, value: f64) -> u64 {
        let mut hasher = FxBuildHasher.build_hasher();
        family.name().hash(&mut hasher);
        for label in sample.get_label() {
            (label.name(), label.value()).hash(&mut hasher);
        }
        let fresh_ns = match self.exports {
            1 => self.began_ns,
            _ => self.last_ns,
        };
        let known = self.known.entry(hasher.finish()).or_insert(Known {
            start_ns: fresh_ns,
            value,
            export: self.exports,
        });
        if value < known.value {
            known.start_ns = self.last_ns;
        }
        (known.value, known.export) = (value, self.exports);
        known.start_ns
    }
}

fn number(sample: &Sample, value: f64, [start_ns, now_ns]: [u64; 2]) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(sample.get_label()),
        start_time_unix_nano: start_ns,
        time_unix_nano: now_ns,
        value: Some(Number::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

/// Exemplars of the buckets of a histogram.
fn exemplars(all: &BucketExemplars) -> Vec<OtlpExemplar> {
    let all = all.iter().flatten();
    let all = all.map(|one| OtlpExemplar {
        time_unix_nano: one.unix_ms.saturating_mul(1_000_000),
        span_id: one.span_id.to_vec(),
        trace_id: one.trace_id.to_vec(),
        value: Some(ExemplarValue::AsDouble(one.duration_ns as f64 / 1e9)),
        ..OtlpExemplar::default()
    });
    all.collect()
}

/// Attributes of labels. Prometheus and OpenTelemetry agree that an empty label is none.
fn attributes(labels: &[LabelPair]) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    let labels = labels.iter().filter(|label| !label.value().is_empty());
    let attributes = labels.map(|label| {
        let name = attribute_of(label.name());
        match label.value().parse() {
            // The conventions define the status as a number. A class (`2xx`) is a text.
            Ok(status) if name == "http.response.status_code" => {
                attribute(name, Value::IntValue(status))
            }
            _ => text(name, label.value()),
        }
    });
    attributes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::families::{Labels, Numbers, numbers};
    use crate::metrics::table::{Kind, Metric as Described};

    const BEGAN: u64 = 100;

    static COUNTER: Described = Described {
        name: "gwd_x_total",
        kind: Kind::Counter,
        labels: &["http_route", "error_type"],
        help: "Help.",
    };
    static GAUGE: Described = Described {
        name: "gwd_y_ratio",
        kind: Kind::Gauge,
        ..COUNTER
    };

    fn of_route(route: &str) -> Labels {
        vec![
            ("http_route", route.to_owned()),
            ("error_type", String::new()),
        ]
    }

    fn without_exemplars(family: MetricFamily) -> Collected {
        Collected {
            families: vec![family],
            exemplars: Vec::new(),
        }
    }

    fn exported(starts: &mut SeriesStarts, values: &[(&str, f64)], now_ns: u64) -> Vec<[u64; 2]> {
        let series: Numbers = values
            .iter()
            .map(|(route, value)| (of_route(route), *value))
            .collect();
        let family = numbers(&COUNTER, &series);
        let metrics = starts.metrics(&without_exemplars(family), now_ns, 10);
        let [(Metric { data, .. }, count)] = &metrics[..] else {
            panic!("{metrics:?}");
        };
        assert_eq!(*count, values.len());
        let Some(Data::Sum(sum)) = data else {
            panic!("{data:?}");
        };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality, 2, "cumulative");
        let times = |point: &NumberDataPoint| [point.start_time_unix_nano, point.time_unix_nano];
        sum.data_points.iter().map(times).collect()
    }

    #[test]
    fn start_is_that_of_the_series() {
        let mut starts = SeriesStarts::new(BEGAN);
        let first = exported(&mut starts, &[("/a", 1.0), ("/b", 1.0)], 200);
        assert_eq!(first, [[BEGAN, 200], [BEGAN, 200]]);
        // `/c` is new. `/b` fell: its route left and returned between the exports.
        let second = exported(&mut starts, &[("/a", 1.0), ("/b", 0.0), ("/c", 4.0)], 300);
        assert_eq!(second, [[BEGAN, 300], [200, 300], [200, 300]]);
        let third = exported(&mut starts, &[("/a", 2.0), ("/b", 2.0)], 400);
        assert_eq!(third, [[BEGAN, 400], [200, 400]]);
        // `/c` was absent in an export.
        let fourth = exported(&mut starts, &[("/c", 9.0)], 500);
        assert_eq!(fourth, [[400, 500]]);
    }

    #[test]
    fn large_metrics_are_split() {
        let series: Numbers = (0..25)
            .map(|route| (of_route(&route.to_string()), 1.0))
            .collect();
        let family = numbers(&GAUGE, &series);
        let metrics = SeriesStarts::new(BEGAN).metrics(&without_exemplars(family), 200, 10);
        let counts: Vec<usize> = metrics.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [10, 10, 5]);
        let (metric, _) = &metrics[2];
        assert_eq!((&*metric.name, &*metric.unit), ("gwd.y", "1"));
        let Some(Data::Gauge(gauge)) = &metric.data else {
            panic!("{metric:?}");
        };
        let point = &gauge.data_points[0];
        assert_eq!(point.value, Some(Number::AsDouble(1.0)));
        assert_eq!(point.attributes.len(), 1, "an empty label is none");
    }
}
