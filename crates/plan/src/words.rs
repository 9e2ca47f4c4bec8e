//! Display texts of a plan: the meaning of a class, and values in a readable form.
//!
//! JSON, fingerprints and acknowledgements contain the values themselves, so that these texts may
//! change.

use serde_json::{Map, Value};

use super::security::NOT_SERVED;
use super::{Change, Class};

/// Meaning of a change that may break clients.
pub(super) const MAY_BREAK_MEANING: &str = "existing clients may fail";

/// Meaning of a class in a few words.
pub(super) fn meaning(class: Class) -> &'static str {
    match class {
        Class::Weaken => "admits more callers",
        Class::Incomparable => "admits some, refuses others",
        Class::Expose => "newly reachable operations",
        Class::Grant => "new consumer or credential",
        Class::Rules => "release rules differ",
        Class::Strengthen => "admits fewer callers",
        Class::Added => "newly served requests",
        Class::Removed => "no longer served",
        Class::Break => "existing clients fail",
        Class::Moved => "other operation or destination",
        Class::Shadowed => "other operations take precedence",
        Class::Relax => "limits admit more",
        Class::Tighten => "limits admit fewer",
        Class::Changed => "other behaviour differs",
        Class::Doc => "only descriptions differ",
    }
}

/// Subject of a change. The requirement of an operation is called `access`.
pub(super) fn subject(change: &Change) -> &str {
    match is_access(change) {
        true => "access",
        false => &change.subject,
    }
}

/// Old and new value of a change.
pub(super) fn values(change: &Change) -> [String; 2] {
    [&change.old, &change.new].map(|value| match value {
        Value::String(text) if is_access(change) => access(text).to_owned(),
        // Schemas of client contracts stay JSON.
        Value::Array(_) | Value::Object(_) if change.message.is_some() => value.to_string(),
        Value::Array(names) if change.subject == "policies" => policies(names),
        other => readable(other),
    })
}

/// Text with the indexes of lists in the paths of settings as `[N]`: `among[0].upstream` for the
/// path `among.000.upstream`. Such an index begins with 0; a status such as `404` does not.
pub(crate) fn with_indexes(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dot) = rest.find(".0") {
        let (before, from) = rest.split_at(dot);
        shown.push_str(before);
        let is_after_name = shown.ends_with(|c: char| c.is_ascii_alphabetic() || "_]".contains(c));
        let is_last = |rest: &str| !rest.starts_with(char::is_alphanumeric);
        let index = from.get(1..4).filter(|_| is_after_name);
        match index.and_then(|index| index.parse::<u16>().ok()) {
            Some(index) if is_last(&from[4..]) => {
                shown.push_str(&format!("[{index}]"));
                rest = &from[4..];
            }
            Some(_) | None => {
                shown.push('.');
                rest = &from[1..];
            }
        }
    }
    shown.push_str(rest);
    shown
}

fn is_access(change: &Change) -> bool {
    change.subject == "security" && change.operation.is_some()
}

/// Display text of a security requirement as [`crate::security::describe`] writes it: `not served`
/// or `open to everyone` instead of the internal names of these requirements.
pub(super) fn access(text: &str) -> &str {
    match text {
        NOT_SERVED => "not served",
        "anyone" | "anyone without a credential" => "open to everyone",
        other => other,
    }
}

/// Text of a value: YAML in one line, without braces and brackets around the whole.
fn readable(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => joined(&list.iter().map(nested).collect::<Vec<_>>()),
        Value::Object(map) => pairs(map),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn nested(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Null => value.to_string(),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(nested).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => format!("{{{}}}", pairs(map)),
    }
}

/// True if a text inside a list or a map needs no quotes.
fn is_plain(text: &str) -> bool {
    let special = |c: char| "[]{}\"\\".contains(c) || c.is_control();
    let reads_otherwise = text.trim() != text || text.contains(", ") || text.contains(": ");
    !(text.is_empty() || reads_otherwise || text.contains(special))
}

/// Entries of a map. A policy or verifier begins with its kind: `rate_limit (limit: 10/s)`.
fn pairs(map: &Map<String, Value>) -> String {
    let entry = |(key, value): (&String, &Value)| format!("{key}: {}", nested(value));
    let Some(Value::String(kind)) = map.get("kind") else {
        return map.iter().map(entry).collect::<Vec<_>>().join(", ");
    };
    let settings = map.iter().filter(|(key, _)| *key != "kind").map(entry);
    with_settings(kind, &settings.collect::<Vec<_>>().join(", "))
}

fn with_settings(kind: &str, settings: &str) -> String {
    match settings {
        "" => kind.to_owned(),
        settings => format!("{kind} ({settings})"),
    }
}

fn joined(items: &[String]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let separator = match items.iter().any(|item| item.contains(", ")) {
        true => "; ",
        false => ", ",
    };
    items.join(separator)
}

/// Policies of a chain: names, or `name: kind settings` for a policy that only one side has.
fn policies(names: &[Value]) -> String {
    let policy = |one: &Value| {
        let Value::String(text) = one else {
            return readable(one);
        };
        let Some((name, definition)) = text.split_once(": ") else {
            return text.clone();
        };
        let (kind, settings) = definition.split_once(' ').unwrap_or((definition, ""));
        let definition = with_settings(kind, settings);
        match name == kind {
            true => definition,
            false => format!("{name}: {definition}"),
        }
    };
    joined(&names.iter().map(policy).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_yaml_in_one_line() {
        for (value, expected) in [
            (json!(null), "nothing"),
            (json!([]), "none"),
            (json!(["a", "b"]), "a, b"),
            (json!("a, b"), "a, b"),
            (json!(["a, b", "c", ""]), "\"a, b\"; c; \"\""),
            (
                json!({"kind": "rate_limit", "limit": "10/s", "burst": 5}),
                "rate_limit (burst: 5, limit: 10/s)",
            ),
            (
                json!({"kind": "cors", "origins": ["https://a.example"], "x": {"y": null}}),
                "cors (origins: [https://a.example], x: {y: null})",
            ),
            (json!({"kind": "csrf"}), "csrf"),
            (json!({"a": "x: y", "b": true}), "a: \"x: y\", b: true"),
        ] {
            assert_eq!(readable(&value), expected, "{value}");
        }
    }

    #[test]
    fn policy_with_the_name_of_its_kind_has_one_name() {
        let chain = [
            json!("edge"),
            json!("slow: rate_limit burst 20, limit 10/s"),
            json!("cors: cors origins [\"https://a.example\"]"),
            json!("csrf: csrf"),
        ];
        assert_eq!(
            policies(&chain),
            "edge; slow: rate_limit (burst 20, limit 10/s); \
             cors (origins [\"https://a.example\"]); csrf"
        );
    }

    #[test]
    fn indexes_of_lists_are_in_brackets() {
        for (text, expected) in [
            ("among.000.upstream", "among[0].upstream"),
            ("split.012", "split[12]"),
            ("a.001.b.002: c", "a[1].b[2]: c"),
            ("errors.404.body", "errors.404.body"),
            ("1.005 a.0005 a.00x", "1.005 a.0005 a.00x"),
            ("names.00é", "names.00é"),
        ] {
            assert_eq!(with_indexes(text), expected);
        }
    }

    #[test]
    fn every_class_has_a_meaning_of_its_own() {
        let meanings: std::collections::BTreeSet<&str> =
            Class::ALL.iter().map(|class| meaning(*class)).collect();
        assert_eq!(meanings.len(), Class::ALL.len());
    }
}
