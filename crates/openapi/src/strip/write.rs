//! Writer of a tree as YAML or JSON, without the entries that are left out. Keeps the order of
//! keys, but not comments, anchors and scalar styles.

use diag::NodeRef;
use diag::tree::Kind;

use super::entries::Removed;

/// Maximum size of a written document, in bytes. Aliases may expand to any size.
pub const BYTES_MAX: usize = 64 << 20;

/// Writes a document as YAML 1.2. `None` if it would exceed [`BYTES_MAX`].
#[must_use]
pub fn yaml(root: NodeRef<'_>, removed: &Removed) -> Option<String> {
    let mut out = Out::new(removed);
    out.block(root, 0)?;
    if !out.text.ends_with('\n') {
        out.text.push('\n');
    }
    Some(out.text)
}

/// Writes a document as JSON. `None` if it would exceed [`BYTES_MAX`].
#[must_use]
pub fn json(root: NodeRef<'_>, removed: &Removed) -> Option<String> {
    let mut out = Out::new(removed);
    out.json(root, 0)?;
    out.text.push('\n');
    Some(out.text)
}

/// Writes a value as JSON on one line, with all its entries. `None` if the text would exceed
/// `bytes_max`.
#[must_use]
pub fn json_line(value: NodeRef<'_>, bytes_max: usize) -> Option<String> {
    let nothing = Removed::default();
    let mut out = Out {
        bytes_max,
        one_line: true,
        ..Out::new(&nothing)
    };
    out.json(value, 0)?;
    Some(out.text)
}

struct Out<'r> {
    text: String,
    removed: &'r Removed,
    bytes_max: usize,
    /// True to write JSON without line breaks.
    one_line: bool,
}

impl<'r> Out<'r> {
    fn new(removed: &'r Removed) -> Self {
        Self {
            text: String::new(),
            removed,
            bytes_max: BYTES_MAX,
            one_line: false,
        }
    }

    fn add(&mut self, text: &str) -> Option<()> {
        self.text.push_str(text);
        (self.text.len() <= self.bytes_max).then_some(())
    }

    fn line(&mut self, indent: usize) -> Option<()> {
        if self.one_line {
            return Some(());
        }
        self.add("\n")?;
        self.add(&" ".repeat(indent))
    }

    fn has_entries(&self, node: NodeRef<'_>) -> bool {
        self.removed.left(node).next().is_some() || self.removed.items(node).next().is_some()
    }

    /// Writes a map or list on separate lines, the first of which has already been indented. Writes
    /// a scalar in place. `None` if the text exceeds [`BYTES_MAX`].
    fn block(&mut self, node: NodeRef<'_>, indent: usize) -> Option<()> {
        match node.kind() {
            Kind::Map(_) if self.has_entries(node) => {
                let mut first = true;
                for (entry, value) in entries(node, self.removed) {
                    if !std::mem::take(&mut first) {
                        self.line(indent)?;
                    }
                    self.add(&scalar_text(entry))?;
                    self.add(":")?;
                    self.behind(value, indent, false)?;
                }
                Some(())
            }
            Kind::List(_) if self.has_entries(node) => {
                let mut first = true;
                for item in self.removed.items(node) {
                    if !std::mem::take(&mut first) {
                        self.line(indent)?;
                    }
                    self.add("-")?;
                    self.behind(item, indent, true)?;
                }
                Some(())
            }
            Kind::Map(_) => self.add("{}"),
            Kind::List(_) => self.add("[]"),
            Kind::Null => self.add("null"),
            Kind::Bool(value) => self.add(if *value { "true" } else { "false" }),
            Kind::Number(text) => self.add(text),
            Kind::String(text) => {
                let scalar = match literal(text, indent + 2) {
                    Some(block) => block,
                    None => scalar_text(text),
                };
                self.add(&scalar)
            }
        }
    }

    /// Writes the value that follows `key:` or `-`. `None` if the text exceeds [`BYTES_MAX`].
    fn behind(&mut self, value: NodeRef<'_>, indent: usize, in_list: bool) -> Option<()> {
        let deeper = self.has_entries(value);
        if deeper && !in_list {
            self.line(indent + 2)?;
            return self.block(value, indent + 2);
        }
        self.add(" ")?;
        self.block(value, if deeper { indent + 2 } else { indent })
    }

    fn json(&mut self, node: NodeRef<'_>, indent: usize) -> Option<()> {
        match node.kind() {
            Kind::Map(_) if self.has_entries(node) => {
                self.add("{")?;
                let mut first = true;
                for (entry, value) in entries(node, self.removed) {
                    if !std::mem::take(&mut first) {
                        self.add(",")?;
                    }
                    self.line(indent + 2)?;
                    self.add(&quoted(entry))?;
                    self.add(": ")?;
                    self.json(value, indent + 2)?;
                }
                self.line(indent)?;
                self.add("}")
            }
            Kind::List(_) if self.has_entries(node) => {
                self.add("[")?;
                let mut first = true;
                for item in self.removed.items(node) {
                    if !std::mem::take(&mut first) {
                        self.add(",")?;
                    }
                    self.line(indent + 2)?;
                    self.json(item, indent + 2)?;
                }
                self.line(indent)?;
                self.add("]")
            }
            Kind::Map(_) => self.add("{}"),
            Kind::List(_) => self.add("[]"),
            Kind::Null => self.add("null"),
            Kind::Bool(value) => self.add(if *value { "true" } else { "false" }),
            Kind::Number(text) => self.add(&json_number(text)),
            Kind::String(text) => self.add(&quoted(text)),
        }
    }
}

fn entries<'n>(node: NodeRef<'n>, removed: &Removed) -> Vec<(&'n str, NodeRef<'n>)> {
    removed
        .left(node)
        .map(|(entry, value)| (&*entry.key, value))
        .collect()
}

/// Writes a string as a plain scalar if every parser, including one for YAML 1.1, reads it as the
/// same string. Otherwise uses double quotes.
fn scalar_text(text: &str) -> String {
    const WORDS: [&str; 11] = [
        "null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf",
    ];
    let first = text.chars().next().unwrap_or(' ');
    let plain = (first.is_ascii_alphabetic() || matches!(first, '/' | '_' | '$'))
        && text
            .chars()
            .all(|c| c.is_alphanumeric() && c.is_ascii() || " /_-.,()+$'".contains(c))
        && !text.ends_with(' ')
        && !text.contains("  ")
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { quoted(text) }
}

/// Writes a double-quoted scalar that is valid in JSON and YAML. Escapes unprintable characters.
fn quoted(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Writes a string of several lines as a literal block. `None` if a block would change the string.
fn literal(text: &str, indent: usize) -> Option<String> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let odd = |c: char| {
        c.is_control() && c != '\n'
            || matches!(
                c,
                '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
            )
    };
    // A leading space would be read as indentation, and an empty last line would be kept.
    if !body.contains('\n')
        || body.starts_with([' ', '\n'])
        || body.ends_with('\n')
        || text.contains(odd)
        || body
            .lines()
            .any(|line| !line.is_empty() && line.trim().is_empty())
    {
        return None;
    }
    let mut out = String::from(if text.ends_with('\n') { "|" } else { "|-" });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent));
            out.push_str(line);
        }
    }
    Some(out)
}

/// Converts a YAML number to JSON. A number that JSON cannot represent becomes a string.
fn json_number(text: &str) -> String {
    if serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.is_number()) {
        return text.to_owned();
    }
    let plain = text.strip_prefix('+').unwrap_or(text);
    let radix = |prefix: &str, radix: u32| {
        let digits = plain.strip_prefix(prefix)?;
        u128::from_str_radix(digits, radix).ok()
    };
    if let Some(whole) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return whole.to_string();
    }
    match plain.parse::<f64>() {
        Ok(number) if number.is_finite() => {
            let digits = plain.trim_start_matches('0');
            match plain.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() {
                true => digits.to_owned(),
                false => serde_json::Value::from(number).to_string(),
            }
        }
        Ok(_) | Err(_) => quoted(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_strings_are_quoted_in_yaml() {
        for plain in ["a", "Get the list", "/a/b", "$ref", "a-b_c.d"] {
            assert_eq!(scalar_text(plain), plain);
        }
        for quoted in [
            "",
            " ",
            "a ",
            "no",
            "Yes",
            "true",
            "1",
            "1.0",
            "1e3",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#a",
            "@a",
            "`a`",
            "{a}",
            "[a]",
            "*a",
            "&a",
            "!a",
            "|",
            ">",
            "%a",
            "a\u{7f}",
            "é",
            "2020-01-01",
            "0x1",
            ".inf",
            "~",
            "null",
            "a\tb",
        ] {
            assert!(scalar_text(quoted).starts_with('"'), "{quoted}");
        }
    }

    #[test]
    fn yaml_numbers_are_converted_to_json() {
        for (yaml, json) in [
            ("1", "1"),
            ("1.50", "1.50"),
            ("0x1F", "31"),
            ("0o17", "15"),
            (".5", "0.5"),
            ("+3", "3"),
            ("010", "10"),
            ("1.", "1.0"),
            (".inf", "\".inf\""),
        ] {
            assert_eq!(json_number(yaml), json, "{yaml}");
        }
    }
}
