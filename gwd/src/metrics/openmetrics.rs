//! OpenMetrics 1.0 text of all metrics, with exemplars. Prometheus asks for this format first.
//!
//! The crate `prometheus` writes only the format 0.0.4 of Prometheus, which has no exemplars.
//! `prometheus-client` keeps its exemplars private to its own histograms, which are shared between
//! threads.

use std::fmt::Write as _;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use crate::telemetry::collected::Collected;
use crate::telemetry::exemplar::{BucketExemplars, Exemplar};
use crate::telemetry::traces::write_hex;

/// Media type of the text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics as OpenMetrics text.
pub(crate) fn encode(collected: &Collected) -> String {
    let mut out = String::new();
    for family in &collected.families {
        write_family(collected, family, &mut out);
    }
    out.push_str("# EOF\n");
    out
}

fn write_family(collected: &Collected, family: &MetricFamily, out: &mut String) {
    let kind = family.get_field_type();
    let (name, kind_name) = match kind {
        // The samples of a counter end with `_total`, but not its name.
        MetricType::COUNTER => (family.name().trim_end_matches("_total"), "counter"),
        MetricType::HISTOGRAM => (family.name(), "histogram"),
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => (family.name(), "gauge"),
    };
    put(
        out,
        format_args!("# TYPE {name} {kind_name}\n# HELP {name} "),
    );
    put_escaped(out, family.help());
    out.push('\n');
    for (at, metric) in family.get_metric().iter().enumerate() {
        let value = match kind {
            MetricType::HISTOGRAM => {
                let exemplars = collected.exemplars_of(family.name(), at);
                write_histogram(name, metric, exemplars, out);
                continue;
            }
            MetricType::COUNTER => metric.get_counter().get_value(),
            _ => metric.get_gauge().get_value(),
        };
        let suffix = match kind {
            MetricType::COUNTER => "_total",
            _ => "",
        };
        put_sample(out, (name, suffix), metric.get_label(), None);
        put(out, format_args!(" {value}\n"));
    }
}

fn write_histogram(
    name: &str,
    metric: &Metric,
    exemplars: Option<&BucketExemplars>,
    out: &mut String,
) {
    let histogram = metric.get_histogram();
    let labels = metric.get_label();
    let count = histogram.get_sample_count();
    let buckets = histogram.get_bucket().iter();
    let buckets = buckets.map(|one| (one.upper_bound(), one.cumulative_count()));
    let buckets = buckets.chain([(f64::INFINITY, count)]);
    for (at, (bound, cumulative)) in buckets.enumerate() {
        put_sample(out, (name, "_bucket"), labels, Some(bound));
        put(out, format_args!(" {cumulative}"));
        if let Some(exemplar) = exemplars.and_then(|all| all[at]) {
            put_exemplar(out, &exemplar);
        }
        out.push('\n');
    }
    put_sample(out, (name, "_count"), labels, None);
    put(out, format_args!(" {count}\n"));
    put_sample(out, (name, "_sum"), labels, None);
    put(out, format_args!(" {}\n", histogram.get_sample_sum()));
}

/// Writes the name and the labels of a sample. `bound`: upper bound of a bucket.
fn put_sample(
    out: &mut String,
    (name, suffix): (&str, &str),
    labels: &[LabelPair],
    bound: Option<f64>,
) {
    put(out, format_args!("{name}{suffix}"));
    if labels.is_empty() && bound.is_none() {
        return;
    }
    let mut separator = '{';
    for label in labels {
        put(out, format_args!("{separator}{}=\"", label.name()));
        put_escaped(out, label.value());
        out.push('"');
        separator = ',';
    }
    match bound {
        Some(bound) if bound.is_infinite() => put(out, format_args!("{separator}le=\"+Inf\"")),
        // Canonical numbers have a fraction: `1.0`.
        Some(bound) => put(out, format_args!("{separator}le=\"{bound:?}\"")),
        None => {}
    }
    out.push('}');
}

fn put_exemplar(out: &mut String, exemplar: &Exemplar) {
    let mut digits = [0; 48];
    write_hex(&exemplar.trace_id, &mut digits[..32]);
    write_hex(&exemplar.span_id, &mut digits[32..]);
    let digits = str::from_utf8(&digits).unwrap_or_default();
    let (trace_id, span_id) = digits.split_at(32);
    let seconds = exemplar.duration_ns as f64 / 1e9;
    let ended_s = exemplar.unix_ms as f64 / 1e3;
    put(
        out,
        format_args!(" # {{trace_id=\"{trace_id}\",span_id=\"{span_id}\"}} {seconds} {ended_s}"),
    );
}

/// Writes a text with the escapes of the format (*escaped-string*).
fn put_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::families::{Histograms, Numbers, Sum, histograms, numbers};
    use crate::metrics::table::{Kind, Metric as Described};

    fn without_exemplars(families: Vec<MetricFamily>) -> Collected {
        Collected {
            families,
            exemplars: Vec::new(),
        }
    }

    const fn described(name: &'static str, kind: Kind, help: &'static str) -> Described {
        Described {
            name,
            kind,
            labels: &["policy"],
            help,
        }
    }

    #[test]
    fn text_has_the_form_of_openmetrics() {
        let of = |value: &str| vec![("policy", value.to_owned())];
        let counter = described("gwd_x_total", Kind::Counter, "Help.");
        let gauge = described("gwd_y", Kind::Gauge, "A \"b\".");
        let other = described("gwd_z", Kind::Gauge, "C.");
        let collected = without_exemplars(vec![
            numbers(&counter, &Numbers::from([(of("a"), 2.0)])),
            numbers(&gauge, &Numbers::from([(Vec::new(), 0.5)])),
            numbers(&other, &Numbers::from([(of("a\"b\\c\nd"), 1.0)])),
        ]);
        let expected = r#"# TYPE gwd_x counter
# HELP gwd_x Help.
gwd_x_total{policy="a"} 2
# TYPE gwd_y gauge
# HELP gwd_y A \"b\".
gwd_y 0.5
# TYPE gwd_z gauge
# HELP gwd_z C.
gwd_z{policy="a\"b\\c\nd"} 1
# EOF
"#;
        assert_eq!(encode(&collected), expected);
        let empty = Histograms::from([(of("a"), Sum::default())]);
        let histogram = described("gwd_w_seconds", Kind::Histogram, "Help.");
        let collected = without_exemplars(vec![histograms(&histogram, &empty)]);
        let text = encode(&collected);
        for line in [
            "gwd_w_seconds_bucket{policy=\"a\",le=\"1.0\"} 0",
            "gwd_w_seconds_bucket{policy=\"a\",le=\"+Inf\"} 0",
            "gwd_w_seconds_count{policy=\"a\"} 0",
            "gwd_w_seconds_sum{policy=\"a\"} 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
