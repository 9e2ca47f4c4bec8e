//! Log record of an access log line: OpenTelemetry's attributes where its conventions have one,
//! `gwd.` and the name of the field otherwise.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Content;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::attributes::attribute;

/// Name of the events.
const EVENT: &str = "gwd.request";
/// Flag of a sampled trace (W3C Trace Context §3.2.3.1).
const SAMPLED: u32 = 1;

/// Fields that have an attribute of OpenTelemetry's conventions, or the name that spans use.
const NAMES: [(&str, &str); 14] = [
    ("bundle", "gwd.bundle.version"),
    ("bytes_in", "http.request.body.size"),
    ("bytes_out", "http.response.body.size"),
    ("client_ip", "client.address"),
    ("host", "server.address"),
    ("http_method", "http.request.method"),
    ("path", "url.path"),
    ("peer_ip", "network.peer.address"),
    ("protocol", "network.protocol.version"),
    ("query", "url.query"),
    ("route_id", "gwd.route.id"),
    ("sni", "tls.client.server_name"),
    ("status", "http.response.status_code"),
    ("user_agent", "user_agent.original"),
];

/// Record of a line. A line that is not JSON is the text of the record.
pub(super) fn of_line(line: &[u8], observed_ns: u64) -> LogRecord {
    let Ok(mut fields) = serde_json::from_slice::<Map<String, Value>>(line) else {
        return LogRecord {
            observed_time_unix_nano: observed_ns,
            body: Some(string(&String::from_utf8_lossy(line))),
            ..LogRecord::default()
        };
    };
    let mut take = |name: &str| fields.remove(name);
    let time = take("timestamp").and_then(|time| unix_ns(time.as_str()?));
    let level = take("level");
    let [trace_id, span_id] = ["trace_id", "span_id"].map(|name| {
        let id = take(name);
        id.and_then(|id| of_hex(id.as_str()?)).unwrap_or_default()
    });
    let is_sampled = take("sampled") == Some(Value::Bool(true));
    let level = level.as_ref().and_then(Value::as_str).unwrap_or("info");
    LogRecord {
        time_unix_nano: time.unwrap_or(observed_ns),
        observed_time_unix_nano: observed_ns,
        severity_number: SeverityNumber::Info.into(),
        severity_text: level.to_owned(),
        body: Some(string(&summary(&fields))),
        flags: if is_sampled { SAMPLED } else { 0 },
        trace_id,
        span_id,
        event_name: EVENT.to_owned(),
        attributes: fields.into_iter().filter_map(of_field).collect(),
        ..LogRecord::default()
    }
}

/// Text for people: method, path and status.
fn summary(fields: &Map<String, Value>) -> String {
    let shown = ["http_method", "path", "status"].into_iter();
    let shown = shown.filter_map(|name| match fields.get(name)? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    });
    let mut text = shown.collect::<Vec<_>>().join(" ");
    if let Some(reason) = fields.get("reason").and_then(Value::as_str) {
        text.push_str(&format!(" {reason}"));
    }
    text
}

/// Attribute of a field. `None` for null.
fn of_field((name, value): (String, Value)) -> Option<KeyValue> {
    let known = NAMES.binary_search_by(|(field, _)| (*field).cmp(&name));
    let value = match &value {
        // The conventions have the version alone.
        Value::String(text) if name == "protocol" => {
            Content::StringValue(text.trim_start_matches("HTTP/").to_owned())
        }
        value => content(value)?,
    };
    Some(match known {
        Ok(index) => attribute(NAMES[index].1, value),
        Err(_) => attribute(&format!("gwd.{name}"), value),
    })
}

fn content(value: &Value) -> Option<Content> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => Content::BoolValue(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Content::IntValue(whole),
            None => Content::DoubleValue(number.as_f64()?),
        },
        Value::String(text) => Content::StringValue(text.clone()),
        Value::Array(values) => {
            let values = values.iter().filter_map(content);
            let values = values.map(|value| AnyValue { value: Some(value) });
            Content::ArrayValue(ArrayValue {
                values: values.collect(),
            })
        }
        Value::Object(_) => Content::StringValue(value.to_string()),
    })
}

fn string(text: &str) -> AnyValue {
    AnyValue {
        value: Some(Content::StringValue(text.to_owned())),
    }
}

fn unix_ns(time: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos()).ok()
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let bytes = digits.map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_for_the_search() {
        assert!(NAMES.is_sorted_by(|one, other| one.0 < other.0));
    }

    #[test]
    fn line_becomes_a_record_with_conventional_names() {
        let line = br#"{"timestamp":"2026-10-10T13:55:36.250Z","level":"info","http_method":"GET","path":"/o","protocol":"HTTP/1.1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","sampled":true,"status":404,"reason":"no_route","duration_ms":1.250,"retry_reasons":["a","b"]}"#;
        let record = of_line(line, 7);
        assert_eq!(record.time_unix_nano, 1_791_640_536_250_000_000);
        assert_eq!(record.observed_time_unix_nano, 7);
        assert_eq!(
            (record.severity_number, &*record.severity_text),
            (9, "info")
        );
        assert_eq!(record.body, Some(string("GET /o 404 no_route")));
        assert_eq!((record.trace_id.len(), record.span_id.len()), (16, 8));
        assert_eq!((record.trace_id[0], record.span_id[1]), (0x4b, 0xf0));
        assert_eq!((record.flags, &*record.event_name), (1, "gwd.request"));
        let found = |name: &str| {
            let mut named = record.attributes.iter().filter(|one| one.key == name);
            named.next().and_then(|one| one.value.clone()?.value)
        };
        let text = |text: &str| Some(Content::StringValue(text.to_owned()));
        assert_eq!(found("http.request.method"), text("GET"));
        assert_eq!(found("network.protocol.version"), text("1.1"));
        assert_eq!(
            found("http.response.status_code"),
            Some(Content::IntValue(404))
        );
        assert_eq!(found("gwd.reason"), text("no_route"));
        assert_eq!(found("gwd.duration_ms"), Some(Content::DoubleValue(1.25)));
        assert!(
            matches!(found("gwd.retry_reasons"), Some(Content::ArrayValue(all)) if all.values.len() == 2)
        );
        assert_eq!(found("gwd.timestamp"), None);
        assert_eq!(record.attributes.len(), 7);
    }

    #[test]
    fn line_that_is_not_json_is_text() {
        let record = of_line(b"{\"cut", 7);
        assert_eq!(record.body, Some(string("{\"cut")));
        assert_eq!(record.attributes.len(), 0);
    }
}
