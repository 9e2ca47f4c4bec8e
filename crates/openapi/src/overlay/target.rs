//! Selection of the values that match the target of an action.
//!
//! A target that consists of names, indexes and wildcards only is resolved in the tree ([`plain`]).
//! serde_json_path evaluates all other targets on a JSON copy of the document. The copy is made for
//! the first such target and then updated with each change. A file with a hundred filters therefore
//! converts a 4 MB document once. All targets together have a maximum number of steps ([`steps`]).
//!
//! [`steps`]: super::steps

use std::cmp::Ordering;
use std::collections::BTreeSet;

use diag::{Diagnostic, Kind, NodeId, NodeRef, Sink, Span, suggest};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::edit::{self, EditedDocument};
use super::lints::INVALID_TARGET;
use super::plain;
use super::steps::{self, Steps, TooMany, quoted};

/// Path from the root to a value.
pub(super) type Path = Vec<Step>;

/// Step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    Key(Box<str>),
    Index(usize),
}

/// Maximum number of `..` in one target. Each one multiplies the cost of the next.
const DESCENTS_MAX: usize = 2;

/// Maximum number of lists of selectors (`['get', 'post']`) in one target. Two indexes of a list
/// can select the same value (`[0, -1]`), which doubles the cost of the next list.
const LISTS_MAX: usize = 4;

/// Maximum number of open brackets and parentheses at one place of a target. The parser reads the
/// content of a filter twice at each level: as a comparison and as a query.
const NESTING_MAX: usize = 8;

/// Number at which counting of the values of a document stops.
const VALUES_MAX: usize = 100_000_000;

/// Evaluator of targets. Makes a JSON copy of the document when a target first needs it.
#[derive(Default)]
pub(super) struct Targets {
    json: Option<Value>,
    /// Number of values in the copy when it was made, and the maximum depth of the values.
    size: (usize, usize),
    steps: Steps,
}

impl Targets {
    /// Creates the evaluator for the next overlay of a run. `taken`: number of steps that the
    /// overlays before it have taken.
    pub(super) fn after(taken: usize) -> Self {
        Self {
            steps: Steps::after(taken),
            ..Self::default()
        }
    }

    /// Number of steps that the targets of this overlay have taken.
    pub(super) fn steps_taken(&self) -> usize {
        self.steps.taken()
    }

    /// Returns the paths of the selected values, each once. `None` if the target is refused, which
    /// is reported.
    pub(super) fn find(
        &mut self,
        edited: &mut EditedDocument<'_>,
        target: NodeId,
        sink: &mut Sink,
    ) -> Option<Vec<Path>> {
        let span = edited.at(target).span();
        let text = edited.at(target).as_str().unwrap_or_default().to_owned();
        let text = text.as_str();
        let (plain, rest) = plain::split(text).unwrap_or_default();
        if !text.is_empty() && rest.is_empty() {
            return match plain::select(edited, &plain, &mut self.steps) {
                Ok(found) => Some(found.into_iter().map(|(path, _)| path).collect()),
                Err(TooMany) => too_many(span, text, sink),
            };
        }
        if nesting(text) > NESTING_MAX {
            return too_nested(span, sink);
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
                        span,
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
                span,
                format!("a target may have `..` at most {DESCENTS_MAX} times"),
            ));
            return None;
        }
        if let Some(why) = repeats(text) {
            sink.push(
                Diagnostic::new(&INVALID_TARGET, span, why)
                    .help("write only names and indexes in such a list, or write two actions"),
            );
            return None;
        }
        if self.charge(edited, (&plain, rest)).is_err() {
            return too_many(span, text, sink);
        }
        let found = query.query_located(self.json.as_ref()?);
        // Leave out repeated locations before the copy, which is larger.
        let mut locations: Vec<_> = found.locations().collect();
        locations.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
        locations.dedup();
        let paths = locations.into_iter();
        let paths = paths.map(|location| location.iter().map(step).collect());
        let mut paths: Vec<Path> = paths.collect();
        paths.sort_unstable();
        Some(paths)
    }

    /// Subtracts the steps of a query from the remaining steps. The query consists of plain
    /// selectors, followed by other text. Also makes the JSON copy of the document if there is
    /// none.
    fn charge(
        &mut self,
        edited: &mut EditedDocument<'_>,
        (plain, rest): (&[plain::Selector], &str),
    ) -> Result<(), TooMany> {
        if self.json.is_none() {
            let root = edited.at(edited.root());
            self.size = (
                edit::size(root, VALUES_MAX),
                edit::height(root, edit::DEPTH_MAX),
            );
            self.json = Some(value(root));
        }
        let (values, depth) = self.size;
        let values = values.saturating_add(edited.changes());
        let begins = plain::select(edited, plain, &mut self.steps)?;
        let below = begins
            .iter()
            .map(|(_, id)| edit::size(edited.at(*id), values));
        let visited = below.fold(0, usize::saturating_add);
        self.steps.take_query(rest, visited, (values, depth))?;
        let begins = begins.iter();
        let begins = begins.map(|(path, id)| (path.len(), edited.at(*id)));
        steps::check_paths(rest, visited, begins)
    }

    /// Applies a merge of `update` at a path to the JSON copy.
    pub(super) fn changed(
        &mut self,
        edited: &mut EditedDocument<'_>,
        path: &[Step],
        update: NodeId,
    ) {
        let Some(json) = &mut self.json else { return };
        let node = edited.find(path).map(NodeRef::id);
        let (Some(node), Some(json)) = (node, at(json, path)) else {
            return;
        };
        let is_map = edited.at(node).is_map();
        let keys = edited.at(update).entries();
        let keys: Vec<Box<str>> = keys.map(|(entry, _)| entry.key.clone()).collect();
        match json {
            Value::Object(map) if is_map && edited.at(update).is_map() => {
                for key in keys {
                    let name = key.to_string();
                    let new = edited.child(node, &Step::Key(key));
                    let new = new.map_or(Value::Null, |new| value(edited.at(new)));
                    map.insert(name, new);
                }
            }
            json => *json = value(edited.at(node)),
        }
    }

    /// Applies the removal of members or items of one value to the JSON copy.
    pub(super) fn removed(&mut self, parent: &[Step], steps: &BTreeSet<Step>) {
        match self.json.as_mut().and_then(|json| at(json, parent)) {
            Some(Value::Object(map)) => {
                map.retain(|key, _| !steps.contains(&Step::Key(key.as_str().into())));
            }
            Some(Value::Array(items)) => {
                let mut at = 0..;
                items.retain(|_| !at.next().is_some_and(|at| steps.contains(&Step::Index(at))));
            }
            _ => {}
        }
    }
}

/// Reports a target that exceeds the maximum number of steps. Always returns `None`.
fn too_many(span: Span, text: &str, sink: &mut Sink) -> Option<Vec<Path>> {
    sink.push(
        Diagnostic::new(
            &INVALID_TARGET,
            span,
            format!(
                "`{}` takes too many steps in this document, with the actions and overlays before \
it",
                suggest::shown(text)
            ),
        )
        .help(
            "begin the target with names (`$.paths`), use fewer `..`, use no query at `$` and no \
regular expression in filters, or use fewer actions with wildcards",
        ),
    );
    None
}

/// Reports a target with more than [`NESTING_MAX`] open brackets.
fn too_nested(span: Span, sink: &mut Sink) -> Option<Vec<Path>> {
    let message = format!("a target may have at most {NESTING_MAX} brackets inside each other");
    let finding = Diagnostic::new(&INVALID_TARGET, span, message);
    sink.push(finding.help("write a filter with fewer levels, or two actions"));
    None
}

/// Returns the number of brackets and parentheses of a target that are open at the same place.
fn nesting(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '\'' | '"' => {
                rest = &rest[quoted(rest)..];
                continue;
            }
            '[' | '(' => open += 1,
            ']' | ')' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
        rest = &rest[c.len_utf8()..];
    }
    most
}

/// Open bracket of a target.
#[derive(Default)]
struct Bracket {
    /// Number of open parentheses inside the bracket.
    parentheses: usize,
    /// Selectors before the current one. All names are in single quotes.
    selectors: Vec<String>,
    /// Text of the current selector.
    current: String,
    /// True if a name has a backslash, so that equal names can have different texts.
    has_escape: bool,
}

/// Returns the reason for refusing a target that could select the same values very often. A list of
/// selectors may contain each name and each index once, and nothing else, because `[*, *]` selects
/// each value twice. `None` if the target is accepted.
fn repeats(text: &str) -> Option<String> {
    let mut lists = 0;
    let mut open: Vec<Bracket> = Vec::new();
    let (mut is_mixed, mut is_repeated) = (false, false);
    let is_many = |selector: &String| {
        !selector.starts_with('\'') && (selector.starts_with(['*', '?']) || selector.contains(':'))
    };
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\'' | '"' => quoted(rest),
            _ => c.len_utf8(),
        };
        let (part, behind) = rest.split_at(length);
        rest = behind;
        if c == '[' {
            open.push(Bracket::default());
            continue;
        }
        let Some(bracket) = open.last_mut() else {
            continue;
        };
        match c {
            '\'' | '"' => {
                bracket.current.push('\'');
                bracket.current.push_str(part.trim_matches(c));
                bracket.current.push('\'');
                bracket.has_escape |= part.contains('\\');
            }
            ']' if bracket.selectors.is_empty() => drop(open.pop()),
            ']' => {
                lists += 1;
                let current = std::mem::take(&mut bracket.current);
                bracket.selectors.push(current.trim().to_owned());
                is_mixed |= bracket.selectors.iter().any(is_many);
                let different: BTreeSet<&String> = bracket.selectors.iter().collect();
                is_repeated |= different.len() < bracket.selectors.len() || bracket.has_escape;
                open.pop();
            }
            ',' if bracket.parentheses == 0 => {
                let current = std::mem::take(&mut bracket.current);
                bracket.selectors.push(current.trim().to_owned());
            }
            '(' => bracket.parentheses += 1,
            ')' => bracket.parentheses = bracket.parentheses.saturating_sub(1),
            c => bracket.current.push(c),
        }
    }
    if is_mixed {
        return Some("a list of selectors may contain names and indexes only".to_owned());
    }
    if is_repeated {
        let why = "a list of selectors may contain each name and index once, without a backslash";
        return Some(why.to_owned());
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
    fn open_brackets_are_counted_outside_of_text() {
        for (target, most) in [
            ("$", 0),
            ("$.paths['/a'].get", 1),
            ("$[?(@.a[0] == '[[[' && count(@['b']) > 1)]", 4),
            ("$[\"\\\"[\"][?@[?@]]", 2),
            ("$[?@[?@[?@", 3),
        ] {
            assert_eq!(nesting(target), most, "{target}");
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
            "$['a ', 'a', \"a'\"][?@.x == 'a\\n']",
        ] {
            assert_eq!(repeats(target), None, "{target}");
        }
        for target in [
            "$[*,*]",
            "$['a', *]",
            "$[0, 1:3]",
            "$[?@.a, ?@.b]",
            "$[?@['a', *]]",
            "$['a', 'a']",
            "$['a', \"a\"]",
            "$['a', '\\u0061']",
            "$[0, 1, 0]",
            "$[?@['a', 'a'].b]",
        ] {
            assert!(repeats(target).is_some(), "{target}");
        }
        assert_eq!(repeats(&format!("${}", "['a','b']".repeat(4))), None);
        assert!(repeats(&format!("${}", "['a','b']".repeat(5))).is_some());
    }
}
