//! Common type for the values of all compared parsers, and the conversion from gwc's tree.

use std::fmt;

use diag::{Kind, NodeRef, Sink, Sources, Tree};
use sources::syntax::{self, Limits};

/// Value of a document. Numbers keep their text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

/// Parses a text with gwc's parser, as YAML or JSON by its name.
///
/// # Errors
/// Returns the names of the findings if the text has findings.
pub(crate) fn ours(path: &str, text: &str) -> Result<Value, Vec<&'static str>> {
    let (mut sources, mut tree, mut sink) = (Sources::default(), Tree::default(), Sink::default());
    let file = sources.add(path, text);
    let limits = Limits::default();
    let root = syntax::parse(file, sources.file(file), &mut tree, &limits, &mut sink);
    let findings = sink.into_sorted();
    match root {
        Some(root) if findings.is_empty() => Ok(value(tree.at(root))),
        _ => Err(findings.iter().map(|finding| finding.lint.name).collect()),
    }
}

fn value(node: NodeRef<'_>) -> Value {
    match node.kind() {
        Kind::Null => Value::Null,
        Kind::Bool(value) => Value::Bool(*value),
        Kind::Number(text) => Value::Number(text.to_string()),
        Kind::String(text) => Value::Text(text.to_string()),
        Kind::List(_) => Value::List(node.items().map(value).collect()),
        Kind::Map(_) => {
            let entries = node.entries();
            let entry =
                |(entry, node): (&diag::tree::Entry, _)| (entry.key.to_string(), value(node));
            Value::Map(entries.map(entry).collect())
        }
    }
}

/// Describes the first difference between two values. `None` if they are equal.
pub(crate) fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    let below = |name: &str, ours: &Value, theirs: &Value| {
        difference(ours, theirs).map(|what| format!("/{name}{what}"))
    };
    match (ours, theirs) {
        (Value::List(a), Value::List(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(at, (a, b))| below(&at.to_string(), a, b))
        }
        (Value::Map(a), Value::Map(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b);
            pairs.find_map(|((a_key, a), (b_key, b))| {
                if a_key == b_key {
                    return below(a_key, a, b);
                }
                Some(format!(": our key {a_key:?}, their key {b_key:?}"))
            })
        }
        _ if ours == theirs => None,
        _ => Some(format!(": ours {ours:?}, theirs {theirs:?}")),
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(text) => f.write_str(text),
            Self::Text(text) => text.fmt(f),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| (key, value));
                f.debug_map().entries(entries).finish()
            }
        }
    }
}
