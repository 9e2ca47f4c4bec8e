//! Options of the export of telemetry by OTLP, and the variables of OpenTelemetry for exporters.
//!
//! A variable for one signal (`OTEL_EXPORTER_OTLP_TRACES_…`) takes precedence over the variable for
//! all signals, as OpenTelemetry specifies. An empty variable counts as not set.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use http::{HeaderName, HeaderValue};

use crate::node::{B3Form, Endpoint, ExportSettings, MetricSettings, Signal, TraceSettings};
use crate::runtime::files::read_file;
use crate::telemetry::otlp::trusting;

/// Default share of the requests without a parent that are sampled.
const RATIO: f64 = 0.01;
/// Default time to deliver a batch, as OpenTelemetry specifies: 10s.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum value of a time in milliseconds: 1 hour.
const TIME_MAX_MS: u64 = 3_600_000;
/// Default time between two exports of metrics, as OpenTelemetry specifies: 60s.
const INTERVAL: Duration = Duration::from_secs(60);
/// Minimum time between two exports of metrics: 1s.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Maximum length of the file with CA certificates, in bytes.
const ROOTS_BYTES_MAX: u64 = 4 << 20;

/// Options of the export, without those that OpenTelemetry defines.
pub(super) struct Given<'a> {
    /// `--otlp`.
    pub(super) url: Option<String>,
    /// `--otlp-signals`.
    pub(super) signals: Vec<Signal>,
    /// `--trace-ratio`.
    pub(super) ratio: Option<f64>,
    /// Name of the node.
    pub(super) node: &'a str,
}

/// Signals that are exported, with their settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Exports {
    pub(super) traces: Option<TraceSettings>,
    pub(super) metrics: Option<MetricSettings>,
    pub(super) logs: Option<ExportSettings>,
}

/// Settings of the options and of OpenTelemetry's variables.
///
/// # Errors
/// If an option or variable is invalid. The error names it and the reason.
pub(super) fn of(given: &Given<'_>) -> anyhow::Result<Exports> {
    given.settings(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// Values of OpenTelemetry's variables.
type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

impl Given<'_> {
    /// Settings of these options and of OpenTelemetry's variables.
    fn settings(&self, variable: Variables<'_>) -> anyhow::Result<Exports> {
        let ratio = self.ratio.unwrap_or(RATIO);
        ensure!(
            (0.0..=1.0).contains(&ratio),
            "--trace-ratio: `{ratio}` is not between 0 and 1"
        );
        let disabled = variable("OTEL_SDK_DISABLED");
        if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Exports::default());
        }
        let export = |signal| self.export(signal, variable);
        let traces = export(Signal::Traces)?;
        ensure!(
            traces.is_some() || self.ratio.is_none(),
            "--trace-ratio needs a collector of traces: write its URL with --otlp"
        );
        Ok(Exports {
            traces: match traces {
                None => None,
                Some(export) => Some(TraceSettings {
                    export,
                    b3: propagators(variable)?,
                    ratio,
                }),
            },
            metrics: match export(Signal::Metrics)? {
                None => None,
                Some(export) => Some(MetricSettings {
                    export,
                    interval: interval(variable)?,
                }),
            },
            logs: export(Signal::Logs)?,
        })
    }

    /// Settings of the export of a signal. `None`: the signal is not exported.
    fn export(
        &self,
        signal: Signal,
        variable: Variables<'_>,
    ) -> anyhow::Result<Option<ExportSettings>> {
        let exporter = Exporter { signal, variable };
        let selected = self.selected(signal, variable)?;
        let url = self.url.clone().map(|url| (url, "--otlp".to_owned()));
        let url = url.or_else(|| exporter.read("ENDPOINT"));
        let own = exporter.own_name("ENDPOINT");
        let is_exported = match &selected {
            Some((is_selected, _)) => *is_selected,
            // Without a selection, a base URL means traces alone.
            None => match signal {
                Signal::Traces => url.is_some(),
                Signal::Metrics | Signal::Logs => variable(&own).is_some(),
            },
        };
        if !is_exported {
            return Ok(None);
        }
        let Some((url, option)) = url else {
            let option = selected.map_or(String::new(), |(_, option)| option);
            let name = signal.name();
            bail!("{option}: {name} need a collector: write its URL with --otlp");
        };
        exporter.check_form()?;
        let base_of = (option != own).then_some(signal);
        let endpoint = Endpoint::parse(&url, base_of, || exporter.tls());
        let endpoint = endpoint.map_err(|error| anyhow!("{option}: {error}"))?;
        let timeout = exporter.read("TIMEOUT");
        let timeout = timeout.map(|(text, name)| milliseconds(&text, &name));
        let headers = exporter.read("HEADERS");
        let headers = headers.map(|(text, name)| headers_of(&text, &name));
        Ok(Some(ExportSettings {
            endpoint,
            headers: headers.transpose()?.unwrap_or_default(),
            timeout: timeout.transpose()?.unwrap_or(TIMEOUT),
            resource: resource(self.node, variable)?,
        }))
    }

    /// True if options select a signal, false if they exclude it, and the option that decides.
    /// `None`: no option decides.
    fn selected(
        &self,
        signal: Signal,
        variable: Variables<'_>,
    ) -> anyhow::Result<Option<(bool, String)>> {
        if !self.signals.is_empty() {
            let option = "--otlp-signals".to_owned();
            return Ok(Some((self.signals.contains(&signal), option)));
        }
        let name = format!("OTEL_{}_EXPORTER", signal.variable());
        let Some(exporter) = variable(&name) else {
            return Ok(None);
        };
        let is_selected = match exporter.as_str() {
            "otlp" => true,
            "none" => false,
            // `/metrics` exists in any case.
            "prometheus" if signal == Signal::Metrics => false,
            other => bail!("{name}: gwd has no exporter `{other}`; write `otlp` or `none`"),
        };
        Ok(Some((is_selected, name)))
    }
}

/// Variables of the exporter of a signal.
struct Exporter<'v> {
    signal: Signal,
    variable: Variables<'v>,
}

impl Exporter<'_> {
    /// Full name of a variable for this signal alone.
    fn own_name(&self, name: &str) -> String {
        format!("OTEL_EXPORTER_OTLP_{}_{name}", self.signal.variable())
    }

    /// Value of a variable, and its full name.
    fn read(&self, name: &str) -> Option<(String, String)> {
        let of_all = format!("OTEL_EXPORTER_OTLP_{name}");
        let found = [self.own_name(name), of_all].into_iter();
        let mut found = found.filter_map(|name| Some(((self.variable)(&name)?, name)));
        found.next()
    }

    /// Refuses protocols and forms of messages that gwd does not have.
    fn check_form(&self) -> anyhow::Result<()> {
        if let Some((protocol, name)) = self.read("PROTOCOL")
            && protocol != "http/protobuf"
        {
            bail!(
                "{name}: gwd does not export by `{protocol}`; write `http/protobuf`, and the collector's port for OTLP over HTTP (usually 4318)"
            );
        }
        if let Some((compression, name)) = self.read("COMPRESSION")
            && compression != "none"
        {
            bail!("{name}: gwd does not compress by `{compression}`; write `none`");
        }
        if self.signal != Signal::Metrics {
            return Ok(());
        }
        for (name, only) in [
            ("TEMPORALITY_PREFERENCE", "cumulative"),
            ("DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram"),
        ] {
            let name = self.own_name(name);
            let value = (self.variable)(&name);
            if let Some(value) = value.filter(|value| !value.eq_ignore_ascii_case(only)) {
                bail!("{name}: gwd does not export `{value}`; write `{only}`");
            }
        }
        Ok(())
    }

    /// TLS client settings for `https`.
    fn tls(&self) -> Result<tokio_rustls::TlsConnector, String> {
        let Some((path, name)) = self.read("CERTIFICATE") else {
            return trusting(None);
        };
        let wrong = |error: &dyn std::fmt::Display| format!("{name}: `{path}`: {error}");
        let pem = read_file(path.as_ref(), ROOTS_BYTES_MAX).map_err(|error| wrong(&error))?;
        trusting(Some(&pem)).map_err(|error| wrong(&error))
    }
}

/// Time between two exports of metrics.
fn interval(variable: Variables<'_>) -> anyhow::Result<Duration> {
    let name = "OTEL_METRIC_EXPORT_INTERVAL";
    let Some(text) = variable(name) else {
        return Ok(INTERVAL);
    };
    let interval = milliseconds(&text, name)?;
    ensure!(
        interval >= INTERVAL_MIN,
        "{name}: `{text}` is less than {} milliseconds (1 second)",
        INTERVAL_MIN.as_millis()
    );
    Ok(interval)
}

fn milliseconds(text: &str, name: &str) -> anyhow::Result<Duration> {
    let ms = text.parse().ok().filter(|ms| *ms > 0);
    let ms = ms.with_context(|| format!("{name}: `{text}` is not a number of milliseconds"))?;
    ensure!(
        ms <= TIME_MAX_MS,
        "{name}: `{text}` is more than {TIME_MAX_MS} milliseconds (1 hour)"
    );
    Ok(Duration::from_millis(ms))
}

/// Form of the B3 fields that `OTEL_PROPAGATORS` requests. `None`: no B3 fields. `traceparent` and
/// `baggage` need no setting: gwd always replaces `traceparent`, and always forwards `baggage`.
fn propagators(variable: Variables<'_>) -> anyhow::Result<Option<B3Form>> {
    let name = "OTEL_PROPAGATORS";
    let mut form = None;
    for propagator in variable(name).iter().flat_map(|list| list.split(',')) {
        let asked = match propagator.trim() {
            "" | "tracecontext" | "baggage" => continue,
            "b3" => B3Form::Single,
            "b3multi" => B3Form::Multi,
            other => bail!(
                "{name}: gwd has no propagator `{other}`; write a list of `tracecontext`, `baggage`, and `b3` or `b3multi`"
            ),
        };
        ensure!(
            form.is_none_or(|form| form == asked),
            "{name}: upstreams get one form of B3 fields; write `b3` or `b3multi` (gwd reads both forms)"
        );
        form = Some(asked);
    }
    Ok(form)
}

/// Header fields of a list such as `api-key=…,tenant=…`.
fn headers_of(text: &str, name: &str) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
    let fields = pairs(text, name)?.into_iter().map(|(key, value)| {
        // The value may be a credential: the message does not show it.
        let wrong =
            || format!("{name}: `{key}` is not the name of a field, or its value is invalid");
        let mut value = HeaderValue::try_from(value).with_context(wrong)?;
        value.set_sensitive(true);
        Ok((HeaderName::try_from(&key).with_context(wrong)?, value))
    });
    fields.collect()
}

/// Attributes of the resource: those of `OTEL_RESOURCE_ATTRIBUTES`. If that variable does not set
/// them, also the name and version of the service, and the name of the node. `OTEL_SERVICE_NAME`
/// takes precedence.
fn resource(node: &str, variable: Variables<'_>) -> anyhow::Result<Vec<(String, String)>> {
    let name = "OTEL_RESOURCE_ATTRIBUTES";
    let text = variable(name).unwrap_or_default();
    let mut all = pairs(&text, name)?;
    if let Some(service) = variable("OTEL_SERVICE_NAME") {
        all.retain(|(key, _)| key != "service.name");
        all.push(("service.name".to_owned(), service));
    }
    for (key, value) in [
        ("service.name", "gwd"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", node),
    ] {
        if all.iter().all(|(known, _)| known != key) {
            all.push((key.to_owned(), value.to_owned()));
        }
    }
    Ok(all)
}

/// Pairs of a list `KEY=VALUE,KEY=VALUE` with percent-encoded values (W3C Baggage §3.3.1).
fn pairs(text: &str, name: &str) -> anyhow::Result<Vec<(String, String)>> {
    let entries = text.split(',').map(str::trim).filter(|one| !one.is_empty());
    let pairs = entries.enumerate().map(|(index, entry)| {
        let wrong = || format!("{name}: entry {} is not KEY=VALUE", index + 1);
        let (key, value) = entry.split_once('=').with_context(wrong)?;
        let value = percent_decoded(value.trim()).with_context(|| {
            format!(
                "{name}: the value of `{}` is not percent-encoded UTF-8",
                key.trim()
            )
        })?;
        ensure!(!key.trim().is_empty(), wrong());
        Ok((key.trim().to_owned(), value))
    });
    pairs.collect()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let byte = match first {
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).ok()?
            }
            other => *other,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(
        url: Option<&str>,
        ratio: Option<f64>,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Option<TraceSettings>> {
        let given = Given {
            ratio,
            ..given(url, &[])
        };
        Ok(read(&given, variables)?.traces)
    }

    fn given(url: Option<&str>, signals: &[Signal]) -> Given<'static> {
        Given {
            url: url.map(str::to_owned),
            signals: signals.to_vec(),
            ratio: None,
            node: "n1",
        }
    }

    fn read(given: &Given<'_>, variables: &[(&str, &str)]) -> anyhow::Result<Exports> {
        given.settings(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    /// URLs of the exported signals.
    fn urls(exports: &Exports) -> [Option<String>; 3] {
        let Exports {
            traces,
            metrics,
            logs,
        } = exports;
        [
            traces.as_ref().map(|traces| &traces.export),
            metrics.as_ref().map(|metrics| &metrics.export),
            logs.as_ref(),
        ]
        .map(|export| export.map(|export| export.endpoint.to_string()))
    }

    #[test]
    fn signals_are_exported_where_options_say_so() {
        use Signal::{Logs, Metrics, Traces};
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://b");
        let own = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m/in");
        let metrics = ("OTEL_METRICS_EXPORTER", "otlp");
        let no_traces = ("OTEL_TRACES_EXPORTER", "none");
        let scraped = ("OTEL_METRICS_EXPORTER", "prometheus");
        let of_b = |signal: Signal| format!("http://b{}", signal.path());
        for (signals, variables, expected) in [
            (&[][..], &[base][..], [Some(of_b(Traces)), None, None]),
            (&[], &[own], [None, Some("http://m/in".into()), None]),
            (
                &[],
                &[base, own],
                [Some(of_b(Traces)), Some("http://m/in".into()), None],
            ),
            (
                &[],
                &[base, metrics, no_traces],
                [None, Some(of_b(Metrics)), None],
            ),
            (&[], &[base, scraped], [Some(of_b(Traces)), None, None]),
            (
                &[Logs, Metrics],
                &[base],
                [None, Some(of_b(Metrics)), Some(of_b(Logs))],
            ),
            (
                &[Traces],
                &[base, metrics],
                [Some(of_b(Traces)), None, None],
            ),
        ] {
            let exports = read(&given(None, signals), variables).unwrap();
            assert_eq!(urls(&exports), expected, "{signals:?} {variables:?}");
        }
        let exports = read(&given(Some("http://o"), &[Metrics]), &[own]).unwrap();
        assert_eq!(urls(&exports)[1].as_deref(), Some("http://o/v1/metrics"));
    }

    #[test]
    fn metrics_have_an_interval_and_one_form() {
        let url = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m");
        let interval = |variable| {
            let exports = read(&given(None, &[]), &[url, variable]).unwrap();
            exports.metrics.unwrap().interval
        };
        assert_eq!(interval(("", "")), Duration::from_secs(60));
        let name = "OTEL_METRIC_EXPORT_INTERVAL";
        assert_eq!(interval((name, "1500")), Duration::from_millis(1_500));
        for (variable, why) in [
            ((name, "999"), "is less than 1000 milliseconds"),
            ((name, "1m"), "is not a number of milliseconds"),
            (
                ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
                "write `cumulative`",
            ),
            (
                ("OTEL_LOGS_EXPORTER", "console"),
                "gwd has no exporter `console`",
            ),
            (
                ("OTEL_LOGS_EXPORTER", "otlp"),
                "OTEL_LOGS_EXPORTER: logs need a collector",
            ),
        ] {
            let error = read(&given(None, &[]), &[url, variable]).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{error:#}");
        }
        let error = read(&given(None, &[Signal::Logs]), &[]).unwrap_err();
        assert!(
            error.to_string().contains("--otlp-signals: logs need"),
            "{error}"
        );
    }

    #[test]
    fn traces_are_off_without_a_collector() {
        assert!(settings(None, None, &[]).unwrap().is_none());
        let off = [("OTEL_SDK_DISABLED", "true")];
        assert!(settings(Some("http://c"), None, &off).unwrap().is_none());
    }

    #[test]
    fn variables_of_traces_precede_those_of_all_signals() {
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own:4318/in");
        for (url, variables, expected) in [
            (None, &[all][..], "http://all:4318/v1/traces"),
            (None, &[all, own], "http://own:4318/in"),
            (Some("http://o:1"), &[all, own], "http://o:1/v1/traces"),
        ] {
            let read = settings(url, None, variables).unwrap().unwrap();
            assert_eq!(read.export.endpoint.to_string(), expected);
            assert_eq!(
                (read.ratio, read.export.timeout),
                (0.01, Duration::from_secs(10))
            );
        }
    }

    #[test]
    fn resource_and_headers_are_those_of_the_variables() {
        let variables = [
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Basic%20eDp5 , tenant = a",
            ),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=other,deployment.environment=a%2Cb",
            ),
            ("OTEL_SERVICE_NAME", "edge"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
        ];
        let read = settings(Some("http://c"), Some(1.0), &variables)
            .unwrap()
            .unwrap();
        let header = |at: usize| {
            (
                read.export.headers[at].0.as_str(),
                read.export.headers[at].1.as_bytes(),
            )
        };
        assert_eq!(header(0), ("authorization", &b"Basic eDp5"[..]));
        assert_eq!(header(1), ("tenant", &b"a"[..]));
        assert!(!format!("{read:?}").contains("Basic"), "{read:?}");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let expected = [
            pair("deployment.environment", "a,b"),
            pair("service.name", "edge"),
            pair("service.version", env!("CARGO_PKG_VERSION")),
            pair("service.instance.id", "n1"),
        ];
        assert_eq!(read.export.resource, expected);
        assert_eq!(read.export.timeout, Duration::from_millis(500));
    }

    #[test]
    fn propagators_choose_the_form_of_b3_fields() {
        for (list, expected) in [
            ("tracecontext,baggage", None),
            ("b3", Some(B3Form::Single)),
            ("tracecontext, b3multi", Some(B3Form::Multi)),
            ("b3,b3", Some(B3Form::Single)),
        ] {
            let variables = [("OTEL_PROPAGATORS", list)];
            let read = settings(Some("http://c"), None, &variables);
            assert_eq!(read.unwrap().unwrap().b3, expected, "{list}");
        }
    }

    #[test]
    fn mistakes_name_the_option_and_the_remedy() {
        let c = Some("http://c");
        for (url, ratio, variable, why) in [
            (
                c,
                Some(1.5),
                ("", ""),
                "--trace-ratio: `1.5` is not between 0 and 1",
            ),
            (
                None,
                Some(0.5),
                ("", ""),
                "--trace-ratio needs a collector of traces",
            ),
            (
                Some("c:4318"),
                None,
                ("", ""),
                "--otlp: `c:4318` is not a URL like `http://HOST:4318`",
            ),
            (
                None,
                None,
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "c"),
                "OTEL_EXPORTER_OTLP_ENDPOINT: `c` is not a URL",
            ),
            (
                c,
                None,
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                "write `http/protobuf`",
            ),
            (
                c,
                None,
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
                "write `none`",
            ),
            (
                c,
                None,
                ("OTEL_PROPAGATORS", "tracecontext,jaeger"),
                "gwd has no propagator `jaeger`",
            ),
            (
                c,
                None,
                ("OTEL_PROPAGATORS", "b3,b3multi"),
                "write `b3` or `b3multi`",
            ),
            (
                c,
                None,
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
                "is not a number of milliseconds",
            ),
            (
                c,
                None,
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "18446744073709551615"),
                "is more than 3600000 milliseconds",
            ),
            (
                c,
                None,
                ("OTEL_EXPORTER_OTLP_HEADERS", "k=a,token"),
                "entry 2 is not KEY=VALUE",
            ),
            (
                c,
                None,
                ("OTEL_EXPORTER_OTLP_HEADERS", "k=%0a"),
                "its value is invalid",
            ),
            (
                c,
                None,
                ("OTEL_RESOURCE_ATTRIBUTES", "k=%zz"),
                "the value of `k` is not percent-encoded",
            ),
            (
                Some("https://c"),
                None,
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/none.pem"),
                "OTEL_EXPORTER_OTLP_CERTIFICATE: `/none.pem`",
            ),
        ] {
            let error = settings(url, ratio, &[variable]).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{error:#}");
        }
    }
}
