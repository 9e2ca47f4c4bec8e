//! `gwd tail`: the requests of a running gwd in the terminal, as they end.

use std::io::Write as _;
use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::client_options::TailOptions;
use super::exit::Exit;
use super::output::{fail, refused, wrong_options};
use super::values::{Format, OptionsError, duration};
use crate::runtime::escapes::escape_hidden;

/// Prints the requests that end on a running gwd and fit the options.
pub(super) fn tail(options: &TailOptions) -> Exit {
    let format = options.node.format;
    let read = options
        .node
        .node()
        .and_then(|node| Ok((node, body(options)?)));
    let (node, body) = match read {
        Ok(read) => read,
        Err(error) => return wrong_options(&error, format),
    };
    let mut left = options.count.unwrap_or(u64::MAX);
    let ended = node.follow("/v1/tail", &body, |line| {
        let Ok(fields) = serde_json::from_str::<Value>(line) else {
            return ControlFlow::Continue(());
        };
        let text = match (format, fields["dropped_lines"].as_u64()) {
            (Format::Json, _) => format!("{line}\n"),
            (Format::Human, Some(1)) => "… 1 request is not shown\n".to_owned(),
            (Format::Human, Some(lines)) => format!("… {lines} requests are not shown\n"),
            (Format::Human, None) => request_text(&fields),
        };
        if fields["dropped_lines"].is_null() {
            left = left.saturating_sub(1);
        }
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        // An error means that the reader has closed the pipe.
        match written.is_err() || left == 0 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    match ended {
        Ok(None) => Exit::Done,
        Ok(Some(answer)) => refused(&answer.body, format),
        Err(error) => fail(
            Exit::Unreachable,
            "unreachable",
            &format!("{error:#}"),
            format,
        ),
    }
}

/// Body of the request to the node.
fn body(options: &TailOptions) -> Result<Value, OptionsError> {
    let wrong = |error: anyhow::Error| OptionsError::Usage(format!("{error:#}"));
    let slower_than = duration("--slower-than", options.slower_than.clone(), 0).map_err(wrong)?;
    if options.count == Some(0) {
        return Err(OptionsError::Usage("--count: at least 1".to_owned()));
    }
    Ok(json!({
        "status": options.status,
        "method": options.method,
        "path": options.path,
        "operation": options.operation,
        "consumer": options.consumer,
        "upstream": options.upstream,
        "reason": options.reason,
        "client": options.client,
        "slower_than_ms": u64::try_from(slower_than.as_millis()).unwrap_or(u64::MAX),
    }))
}

/// Describes a request in one line: time, status, method, path, duration, and what else is known.
fn request_text(fields: &Value) -> String {
    let field = |name: &str| fields[name].as_str().unwrap_or_default();
    // Time of the day, without the date.
    let time = field("timestamp")
        .split_once('T')
        .map_or("-", |(_, time)| time);
    let status = fields["status"].as_u64().unwrap_or(0);
    let mut line = format!("{time} {status:03}");
    let target = match field("query") {
        "" => field("path").to_owned(),
        query => format!("{}?{query}", field("path")),
    };
    for part in [field("http_method"), &target, field("head_start")] {
        if !part.is_empty() {
            line.push_str(&format!(" {part}"));
        }
    }
    if let Some(ms) = fields["duration_ms"].as_f64() {
        line.push_str(&format!(" {ms:.1}ms"));
    }
    for (name, shown) in [
        ("operation_id", "operation"),
        ("consumer_id", "consumer"),
        ("client_ip", "client"),
        ("upstream", "upstream"),
        ("upstream_host", "host"),
        ("grpc_status", "grpc"),
        ("reason", "reason"),
        ("would_refuse", "would_refuse"),
        ("reason_detail", "detail"),
    ] {
        match &fields[name] {
            Value::String(text) => line.push_str(&format!(" {shown}={text}")),
            Value::Number(number) => line.push_str(&format!(" {shown}={number}")),
            _ => {}
        }
    }
    let mut text = String::from_utf8(escape_hidden(&line)).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_one_line_without_control_characters() {
        let fields = json!({
            "timestamp": "2026-11-27T11:02:03.123Z",
            "http_method": "GET",
            "path": "/orders/\u{1b}[31m\n\u{202e}",
            "query": "a=1",
            "status": 503,
            "duration_ms": 250.125,
            "operation_id": "getOrder",
            "upstream": "orders",
            "reason": "upstream_timeout",
        });
        let expected = "11:02:03.123Z 503 GET /orders/\\u001b[31m\\u000a\\u202e?a=1 250.1ms \
            operation=getOrder upstream=orders reason=upstream_timeout\n";
        assert_eq!(request_text(&fields), expected);
    }

    #[test]
    fn refused_head_is_shown() {
        let fields = json!({
            "timestamp": "2026-11-27T11:02:03.123Z",
            "peer_ip": "192.0.2.7",
            "status": 400,
            "reason": "bad_request",
            "head_start": "GET /a b",
        });
        let expected = "11:02:03.123Z 400 GET /a b reason=bad_request\n";
        assert_eq!(request_text(&fields), expected);
    }
}
