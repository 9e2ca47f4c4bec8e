//! Options of traces, and the variables of OpenTelemetry for exporters.
//!
//! A variable for traces alone (`OTEL_EXPORTER_OTLP_TRACES_…`) takes precedence over the variable
//! for all signals, as OpenTelemetry specifies. An empty variable counts as not set.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use http::{HeaderName, HeaderValue};

use crate::node::{B3Form, TraceEndpoint, TraceSettings};
use crate::runtime::files::read_file;
use crate::telemetry::traces::trusting;

/// Default share of the requests without a parent that are sampled.
const RATIO: f64 = 0.01;
/// Default time to deliver a batch, as OpenTelemetry specifies: 10s.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum value of the time to deliver a batch, in milliseconds: 1 hour.
const TIMEOUT_MAX_MS: u64 = 3_600_000;
/// Maximum length of the file with CA certificates, in bytes.
const ROOTS_BYTES_MAX: u64 = 4 << 20;

/// Options of traces, without those that OpenTelemetry defines.
pub(super) struct Given<'a> {
    /// `--otlp`.
    pub(super) url: Option<String>,
    /// `--trace-ratio`.
    pub(super) ratio: Option<f64>,
    /// Name of the node.
    pub(super) node: &'a str,
}

/// Trace settings of the options and of OpenTelemetry's variables. `None`: traces are off.
///
/// # Errors
/// If an option or variable is invalid. The error names it and the reason.
pub(super) fn of(given: Given<'_>) -> anyhow::Result<Option<TraceSettings>> {
    given.settings(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

impl Given<'_> {
    /// Trace settings of these options and of OpenTelemetry's variables. `variable` returns the
    /// value of a variable.
    fn settings(
        self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Option<TraceSettings>> {
        let ratio = self.ratio.unwrap_or(RATIO);
        ensure!(
            (0.0..=1.0).contains(&ratio),
            "--trace-ratio: `{ratio}` is not between 0 and 1"
        );
        let disabled = variable("OTEL_SDK_DISABLED");
        if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        // Value of an exporter variable, and the variable's full name.
        let exporter = |name: &str| {
            let of_traces = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
            let of_all = format!("OTEL_EXPORTER_OTLP_{name}");
            let found = [of_traces, of_all].into_iter();
            let mut found = found.filter_map(|name| Some((variable(&name)?, name)));
            found.next()
        };
        let url = self.url.map(|url| (url, "--otlp".to_owned()));
        let Some((url, option)) = url.or_else(|| exporter("ENDPOINT")) else {
            ensure!(
                self.ratio.is_none(),
                "--trace-ratio needs a collector: write its URL with --otlp"
            );
            return Ok(None);
        };
        if let Some((protocol, name)) = exporter("PROTOCOL")
            && protocol != "http/protobuf"
        {
            bail!(
                "{name}: gwd does not export by `{protocol}`; write `http/protobuf`, and the collector's port for OTLP over HTTP (usually 4318)"
            );
        }
        if let Some((compression, name)) = exporter("COMPRESSION")
            && compression != "none"
        {
            bail!("{name}: gwd does not compress by `{compression}`; write `none`");
        }
        let tls = || match exporter("CERTIFICATE") {
            None => trusting(None),
            Some((path, name)) => {
                let wrong = |error: &dyn std::fmt::Display| format!("{name}: `{path}`: {error}");
                let pem =
                    read_file(path.as_ref(), ROOTS_BYTES_MAX).map_err(|error| wrong(&error))?;
                trusting(Some(&pem)).map_err(|error| wrong(&error))
            }
        };
        let is_base = option != "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        let endpoint = TraceEndpoint::parse(&url, is_base, tls);
        let endpoint = endpoint.map_err(|error| anyhow!("{option}: {error}"))?;
        let timeout = exporter("TIMEOUT").map(|(text, name)| {
            let ms = text.parse().ok().filter(|ms| *ms > 0);
            let ms =
                ms.with_context(|| format!("{name}: `{text}` is not a number of milliseconds"))?;
            ensure!(
                ms <= TIMEOUT_MAX_MS,
                "{name}: `{text}` is more than {TIMEOUT_MAX_MS} milliseconds (1 hour)"
            );
            Ok(Duration::from_millis(ms))
        });
        let headers = exporter("HEADERS").map(|(text, name)| headers(&text, &name));
        Ok(Some(TraceSettings {
            endpoint,
            headers: headers.transpose()?.unwrap_or_default(),
            timeout: timeout.transpose()?.unwrap_or(TIMEOUT),
            b3: propagators(&variable)?,
            resource: resource(self.node, variable)?,
            ratio,
        }))
    }
}

/// Form of the B3 fields that `OTEL_PROPAGATORS` requests. `None`: no B3 fields. `traceparent` and
/// `baggage` need no setting: gwd always replaces `traceparent`, and always forwards `baggage`.
fn propagators(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<B3Form>> {
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
fn headers(text: &str, name: &str) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
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
fn resource(
    node: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Vec<(String, String)>> {
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
            url: url.map(str::to_owned),
            ratio,
            node: "n1",
        };
        given.settings(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
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
            assert_eq!(read.endpoint.to_string(), expected);
            assert_eq!((read.ratio, read.timeout), (0.01, Duration::from_secs(10)));
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
        let header = |at: usize| (read.headers[at].0.as_str(), read.headers[at].1.as_bytes());
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
        assert_eq!(read.resource, expected);
        assert_eq!(read.timeout, Duration::from_millis(500));
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
            (None, Some(0.5), ("", ""), "--trace-ratio needs a collector"),
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
