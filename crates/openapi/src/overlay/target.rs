//! Selection of the values that the target of an action names.
//!
//! A target that consists of names and indexes only is resolved in the tree. serde_json_path
//! evaluates all other targets on a JSON copy of the document. The copy is made for the first such
//! target and then updated with each change, so that a file with a hundred wildcard actions
//! converts a 4 MB document once.

use diag::{Diagnostic, Kind, NodeId, NodeRef, Sink, suggest};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::child;
use super::edit::Edited;
use super::lints::INVALID_TARGET;

/// Path from the root to a value.
pub(super) type Path = Vec<Step>;

/// Step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    Key(Box<str>),
    Index(usize),
}

/// Maximum number of `..` in one target. Each one multiplies the cost of the next.
const DESCENTS_MAX: usize = 2;

/// Maximum number of lists of selectors (`['get', 'post']`) in one target. Two selectors of a list
/// can select the same value, which multiplies the cost of the next list.
const LISTS_MAX: usize = 4;

/// Evaluator of targets, with the JSON copy of the document once a target needs it.
#[derive(Default)]
pub(super) struct Targets {
    json: Option<Value>,
}

impl Targets {
    /// Returns the paths of the selected values, each once. `None` if the target is not a valid
    /// JSONPath.
    pub(super) fn find(
        &mut self,
        edited: &Edited<'_>,
        target: NodeId,
        sink: &mut Sink,
    ) -> Option<Vec<Path>> {
        let target = edited.at(target);
        let text = target.as_str().unwrap_or_default();
        if let Some(path) = simple(text) {
            let path = normal(edited, path);
            return Some(path.into_iter().collect());
        }
        let query =
            match JsonPath::parse(text) {
                Ok(query) => query,
                Err(error) => {
                    let unexpected = text.chars().nth(error.position());
                    let why = match (error.message(), unexpected) {
                        ("parser error", Some(found)) => {
                            format!("`{}` is unexpected", suggest::shown(&found.to_string()))
                        }
                        ("parser error", None) => "unexpected end".to_owned(),
                        (why, _) => suggest::shown(why),
                    };
                    sink.push(
                    Diagnostic::new(
                        &INVALID_TARGET,
                        target.span(),
                        format!("`{}` is not a JSONPath: {why}", suggest::shown(text)),
                    )
                    .label(format!("at character {}", error.position()))
                    .help("targets are JSONPath (RFC 9535): `$.paths['/orders'].get`; write a name \
with `-` or `/` in brackets and quotes"),
                );
                    return None;
                }
            };
        if text.matches("..").count() > DESCENTS_MAX {
            sink.push(Diagnostic::new(
                &INVALID_TARGET,
                target.span(),
                format!("a target may have `..` at most {DESCENTS_MAX} times"),
            ));
            return None;
        }
        if let Some(why) = repeats(text) {
            sink.push(
                Diagnostic::new(&INVALID_TARGET, target.span(), why)
                    .help("list names or indexes in brackets, or write two actions"),
            );
            return None;
        }
        let json = self
            .json
            .get_or_insert_with(|| value(edited.at(edited.root())));
        let found = query.query_located(json);
        let mut paths: Vec<Path> = found
            .locations()
            .map(|location| location.iter().map(step).collect())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        Some(paths)
    }

    /// Applies a merge of `update` at a path to the JSON copy.
    pub(super) fn changed(&mut self, edited: &Edited<'_>, path: &[Step], update: NodeId) {
        let Some(json) = &mut self.json else { return };
        let (Some(node), Some(json)) = (edited.find(path), at(json, path)) else {
            return;
        };
        match (json, edited.at(update).kind()) {
            (Value::Object(map), Kind::Map(entries)) if node.is_map() => {
                for entry in entries {
                    let new = node.get(&entry.key).map_or(Value::Null, value);
                    map.insert(entry.key.to_string(), new);
                }
            }
            (json, _) => *json = value(node),
        }
    }

    /// Applies a removal to the JSON copy.
    pub(super) fn removed(&mut self, path: &[Step]) {
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        let parent = self.json.as_mut().and_then(|json| at(json, parents));
        match (parent, last) {
            (Some(Value::Object(map)), Step::Key(key)) => drop(map.remove(&**key)),
            (Some(Value::Array(items)), Step::Index(index)) if *index < items.len() => {
                items.remove(*index);
            }
            _ => {}
        }
    }
}

/// Reason why a valid target could select the same values very often. A list of selectors may
/// contain names and indexes only, because `[*, *]` selects each value twice.
fn repeats(text: &str) -> Option<String> {
    let mut lists = 0;
    // For each open bracket: parentheses inside, selectors before this one, and the text of this
    // one.
    let mut open: Vec<(usize, usize, String)> = Vec::new();
    let mut is_mixed = false;
    let is_many = |selector: &str| {
        let selector = selector.trim();
        selector.starts_with(['*', '?']) || selector.contains(':')
    };
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                while let Some(inside) = chars.next() {
                    match inside {
                        '\\' => drop(chars.next()),
                        inside if inside == c => break,
                        _ => {}
                    }
                }
            }
            '[' => open.push((0, 0, String::new())),
            ']' => {
                if let Some((_, before, selector)) = open.pop()
                    && before > 0
                {
                    lists += 1;
                    is_mixed |= is_many(&selector);
                }
            }
            ',' => {
                if let Some((0, before, selector)) = open.last_mut() {
                    *before += 1;
                    is_mixed |= is_many(selector);
                    selector.clear();
                }
            }
            '(' | ')' => {
                if let Some((depth, ..)) = open.last_mut() {
                    *depth = match c {
                        '(' => *depth + 1,
                        _ => depth.saturating_sub(1),
                    };
                }
            }
            c => {
                if let Some((.., selector)) = open.last_mut() {
                    selector.push(c);
                }
            }
        }
    }
    if is_mixed {
        return Some("a list of selectors may contain names and indexes only".to_owned());
    }
    (lists > LISTS_MAX).then(|| {
        format!("a target may have at most {LISTS_MAX} lists of selectors, such as `['a', 'b']`")
    })
}

fn step(element: &serde_json_path::PathElement<'_>) -> Step {
    match element {
        serde_json_path::PathElement::Name(name) => Step::Key((*name).into()),
        serde_json_path::PathElement::Index(index) => Step::Index(*index),
    }
}

fn at<'v>(json: &'v mut Value, path: &[Step]) -> Option<&'v mut Value> {
    path.iter().try_fold(json, |json, step| match step {
        Step::Key(key) => json.get_mut(&**key),
        Step::Index(index) => json.get_mut(*index),
    })
}

/// Returns the path if the document has a value at it.
fn normal(edited: &Edited<'_>, path: Path) -> Option<Path> {
    let mut node = edited.at(edited.root());
    for step in &path {
        // A name selects nothing in a list, an index nothing in a map (RFC 9535 §2.3).
        node = child(node, step)?;
    }
    Some(path)
}

/// Parses a target that consists of names and indexes only: `$.paths['/a'].get`. `None` for any
/// other target, which then needs the full parser.
fn simple(text: &str) -> Option<Path> {
    let mut rest = text.strip_prefix('$')?;
    let mut path = Path::new();
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('.') {
            let end = tail
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(tail.len());
            let name = &tail[..end];
            if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
                return None;
            }
            path.push(Step::Key(name.into()));
            rest = &tail[end..];
            continue;
        }
        let inner = rest.strip_prefix('[')?;
        let (step, behind) = match inner.as_bytes().first()? {
            quote @ (b'\'' | b'"') => {
                let (name, behind) = inner[1..].split_once(char::from(*quote))?;
                if name.contains('\\') || name.chars().any(char::is_control) {
                    return None;
                }
                (Step::Key(name.into()), behind)
            }
            b'0'..=b'9' => {
                let end = inner.find(']')?;
                let index: usize = inner[..end].parse().ok()?;
                if index.to_string() != inner[..end] {
                    return None;
                }
                (Step::Index(index), &inner[end..])
            }
            _ => return None,
        };
        path.push(step);
        rest = behind.strip_prefix(']')?;
    }
    Some(path)
}

/// Converts a node to JSON, for queries only. Values that JSON cannot represent become null.
fn value(node: NodeRef<'_>) -> Value {
    match node.kind() {
        Kind::Null => Value::Null,
        Kind::Bool(truth) => Value::Bool(*truth),
        Kind::Number(text) => serde_json::from_str(text)
            .ok()
            .or_else(|| text.parse::<f64>().ok().map(Value::from))
            .unwrap_or(Value::Null),
        Kind::String(text) => Value::String(text.to_string()),
        Kind::List(_) => node.items().map(value).collect(),
        Kind::Map(_) => {
            let entries = node.entries();
            let map = entries.map(|(entry, node)| (entry.key.to_string(), value(node)));
            Value::Object(map.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_paths_are_told_from_queries() {
        let key = |key: &str| Step::Key(key.into());
        assert_eq!(simple("$"), Some(vec![]));
        assert_eq!(
            simple(r#"$.paths['/a/{b}']["get"].parameters[0]"#),
            Some(vec![
                key("paths"),
                key("/a/{b}"),
                key("get"),
                key("parameters"),
                Step::Index(0)
            ])
        );
        for query in [
            "$..a",
            "$.*",
            "$.a[*]",
            "$.a-b",
            "$['a\\'b']",
            "$.a[-1]",
            "$.a[01]",
            "$[?@.x]",
            "a",
            "$.",
            "$[",
            "$['a'",
            "$.a[1:2]",
            "$.a['x','y']",
            "$ .a",
        ] {
            assert_eq!(simple(query), None, "{query}");
        }
    }

    #[test]
    fn lists_that_select_values_repeatedly_are_found() {
        for target in [
            "$.paths['/a', '/b'][*]",
            "$[0, 1].x[?@.a == 'x, *']",
            "$.a[?count(@.b, @.c) > 1]",
            "$['a, *', 'b:c']['*', \"]\"]",
            "$[1:2][*]..x",
        ] {
            assert_eq!(repeats(target), None, "{target}");
        }
        for target in [
            "$[*,*]",
            "$['a', *]",
            "$[0, 1:3]",
            "$[?@.a, ?@.b]",
            "$[?@['a', *]]",
        ] {
            assert!(repeats(target).is_some(), "{target}");
        }
        assert_eq!(repeats(&format!("${}", "['a','b']".repeat(4))), None);
        assert!(repeats(&format!("${}", "['a','b']".repeat(5))).is_some());
    }
}
