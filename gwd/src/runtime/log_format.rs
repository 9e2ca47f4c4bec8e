//! Formats of the program log: one JSON document per line for programs, or text for people.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::runtime::escapes::escape_hidden;

/// Format of the program log.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub(crate) enum LogFormat {
    /// JSON, one object per line.
    Json = 0,
    /// Time, level, message, and the fields as `name=value`.
    Human = 1,
}

/// Width of the longest level, `error` or `debug`.
const LEVEL_WIDTH: usize = 5;

impl LogFormat {
    /// Default: text if standard error is a terminal, otherwise JSON.
    pub(crate) fn of_stderr() -> Self {
        match std::io::stderr().is_terminal() {
            true => Self::Human,
            false => Self::Json,
        }
    }

    /// Formats one line of the log, with its line feed. Escapes hidden characters.
    pub(crate) fn line(
        self,
        timestamp: &str,
        level: &str,
        message: &str,
        fields: Map<String, Value>,
    ) -> Vec<u8> {
        let mut bytes = match self {
            Self::Json => {
                let mut line = Map::new();
                line.insert("timestamp".into(), timestamp.into());
                line.insert("level".into(), level.into());
                line.insert("message".into(), message.into());
                line.extend(fields);
                escape_hidden(&Value::Object(line).to_string())
            }
            Self::Human => {
                let quoted = Value::from(message).to_string();
                // The message has the escapes of JSON, without the quotes.
                let message = &quoted[1..quoted.len() - 1];
                let mut text = format!("{timestamp} {level:LEVEL_WIDTH$} {message}");
                for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                    text.push_str(&format!(" {name}={}", shown(value)));
                }
                escape_hidden(&text)
            }
        };
        bytes.push(b'\n');
        bytes
    }
}

/// Value of a field: a simple text as it is, anything else as JSON.
fn shown(value: &Value) -> String {
    let is_simple = |text: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+,%".contains(c);
        !text.is_empty() && text.chars().all(is_part)
    };
    match value {
        Value::String(text) if is_simple(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(format: LogFormat, message: &str, fields: Value) -> String {
        let Value::Object(fields) = fields else {
            panic!("an object");
        };
        let time = "2026-11-23T18:00:00.000Z";
        String::from_utf8(format.line(time, "info", message, fields)).unwrap()
    }

    #[test]
    fn human_line_has_time_level_message_fields() {
        let fields =
            json!({"bundle": "sha256:ab", "do": "check \"it\"", "none": null, "n": [1, 2]});
        assert_eq!(
            line(LogFormat::Human, "serving", fields),
            "2026-11-23T18:00:00.000Z info  serving bundle=sha256:ab do=\"check \\\"it\\\"\" n=[1,2]\n"
        );
    }

    #[test]
    fn hidden_characters_stay_on_their_line() {
        for format in [LogFormat::Json, LogFormat::Human] {
            let text = line(
                format,
                "a\n\u{1b}[31m\u{202e}",
                json!({"x": "b\r\n\u{1b}c\u{9b}"}),
            );
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(
                !text.contains(['\r', '\u{1b}', '\u{202e}', '\u{9b}']),
                "{text:?}"
            );
        }
    }
}
