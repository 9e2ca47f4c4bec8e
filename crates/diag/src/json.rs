//! Writer of JSON output. All JSON outputs of gwc use it, so that names and values from sources
//! show no invisible character: such characters are escaped as `\uXXXX`, which is the same value.

use std::fmt::Write as _;

use serde_json::Value;

use crate::text::visible;

/// Renders a value as indented JSON.
#[must_use]
pub fn pretty(value: &Value) -> String {
    escaped(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// Renders a value as JSON on one line.
#[must_use]
pub fn line(value: &Value) -> String {
    escaped(&serde_json::to_string(value).unwrap_or_default())
}

/// Escapes the invisible characters of a JSON text. All of them are inside strings, because JSON
/// has only spaces and line feeds elsewhere, which stay.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c < '\u{7f}' || visible(c) == c {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn invisible_characters_are_escaped() {
        let value = json!({"a\u{202e}": ["\u{9b}31m\u{85}\u{2028}\u{7f}", "é 中 \u{e0001}\n\t\""]});
        for text in [pretty(&value), line(&value)] {
            for escape in [
                r"a\u202e",
                r"\u009b31m\u0085\u2028\u007f",
                r#"é 中 \udb40\udc01\n\t\""#,
            ] {
                assert!(text.contains(escape), "{text}");
            }
            let is_plain = |c: char| c == '\n' || !c.is_control();
            assert!(text.chars().all(is_plain));
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }
}
