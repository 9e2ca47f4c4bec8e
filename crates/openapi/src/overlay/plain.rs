//! Plain selectors of a JSONPath: names, indexes and wildcards, such as `$.paths['/orders'].*`.
//! Plain selectors are resolved directly in the tree. Each visited value counts as one step.

use std::ops::Range;

use diag::{NodeId, NodeRef};

use super::edit::EditedDocument;
use super::steps::{Steps, TooMany};
use super::target::{Path, Step};

/// Selector of the plain part of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Step to one member of a map or one item of a list.
    One(Step),
    /// Every member or item.
    Every,
}

/// Splits a target into the selectors of its plain part, and the text that follows it. `None` if
/// the text does not begin with `$`.
pub(super) fn split(text: &str) -> Option<(Vec<Selector>, &str)> {
    let (selectors, rest) = located(text)?;
    let selectors = selectors.into_iter().map(|(selector, _)| selector);
    Some((selectors.collect(), rest))
}

/// Selector with its byte range in the target.
pub type Located = (Selector, Range<usize>);

/// Splits a target into the selectors of its plain part, each with its byte range in the target,
/// and the text that follows them. `None` if the text does not begin with `$`.
#[must_use]
pub fn located(text: &str) -> Option<(Vec<Located>, &str)> {
    let mut rest = text.strip_prefix('$')?;
    let mut selectors = Vec::new();
    while let Some((selector, behind)) = one(rest) {
        let range = text.len() - rest.len()..text.len() - behind.len();
        selectors.push((selector, range));
        rest = behind;
    }
    Some((selectors, rest))
}

/// Parses the first selector of a text. Also returns the text that follows the selector. `None` if
/// the selector is not plain.
fn one(text: &str) -> Option<(Selector, &str)> {
    if let Some(tail) = text.strip_prefix('.') {
        if let Some(behind) = tail.strip_prefix('*') {
            return Some((Selector::Every, behind));
        }
        let end = tail
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(tail.len());
        let (name, behind) = tail.split_at(end);
        if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
            return None;
        }
        // A non-ASCII character continues the name, and such a name is not plain.
        if behind.starts_with(|c: char| !c.is_ascii()) {
            return None;
        }
        return Some((Selector::One(Step::Key(name.into())), behind));
    }
    let inner = text.strip_prefix('[')?;
    let (selector, behind) = match inner.as_bytes().first()? {
        quote @ (b'\'' | b'"') => {
            let (name, behind) = inner[1..].split_once(char::from(*quote))?;
            if name.contains('\\') || name.chars().any(char::is_control) {
                return None;
            }
            (Selector::One(Step::Key(name.into())), behind)
        }
        b'0'..=b'9' => {
            let end = inner.find(']')?;
            let index: usize = inner[..end].parse().ok()?;
            if index.to_string() != inner[..end] {
                return None;
            }
            (Selector::One(Step::Index(index)), &inner[end..])
        }
        b'*' => (Selector::Every, &inner[1..]),
        _ => return None,
    };
    Some((selector, behind.strip_prefix(']')?))
}

/// Returns the selected values in order, each with its path.
pub(super) fn select(
    edited: &mut EditedDocument<'_>,
    selectors: &[Selector],
    steps: &mut Steps,
) -> Result<Vec<(Path, NodeId)>, TooMany> {
    let mut found = vec![(Path::new(), edited.root())];
    for selector in selectors {
        let mut next = Vec::new();
        for (path, node) in found {
            match selector {
                // A name selects nothing in a list, an index nothing in a map (RFC 9535 §2.3).
                Selector::One(step) => {
                    steps.take(1)?;
                    if let Some(child) = edited.child(node, step) {
                        next.push((below(&path, step.clone()), child));
                    }
                }
                Selector::Every => {
                    let all = children(edited.at(node));
                    steps.take(all.len() * (1 + path.len()))?;
                    let all = all.into_iter();
                    next.extend(all.map(|(step, child)| (below(&path, step), child)));
                }
            }
        }
        found = next;
    }
    found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

fn below(path: &Path, step: Step) -> Path {
    path.iter().cloned().chain([step]).collect()
}

fn children(node: NodeRef<'_>) -> Vec<(Step, NodeId)> {
    let entries = node.entries();
    let entries = entries.map(|(entry, value)| (Step::Key(entry.key.clone()), value.id()));
    let items = node.items().enumerate();
    let items = items.map(|(at, value)| (Step::Index(at), value.id()));
    entries.chain(items).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Option<Vec<Selector>> {
        split(text).and_then(|(selectors, rest)| rest.is_empty().then_some(selectors))
    }

    #[test]
    fn plain_target_is_split_and_query_is_not() {
        let key = |key: &str| Selector::One(Step::Key(key.into()));
        let index = |index| Selector::One(Step::Index(index));
        assert_eq!(plain("$"), Some(vec![]));
        assert_eq!(
            plain(r#"$.paths['/a/{b}']["get"].parameters[0]"#),
            Some(vec![
                key("paths"),
                key("/a/{b}"),
                key("get"),
                key("parameters"),
                index(0)
            ])
        );
        assert_eq!(
            plain("$.paths.*[*].tags"),
            Some(vec![
                key("paths"),
                Selector::Every,
                Selector::Every,
                key("tags")
            ])
        );
        for query in [
            "$..a",
            "$.a-b",
            "$.aé",
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
            "$[*,*]",
            "$ .a",
            "$.*a",
        ] {
            assert_eq!(plain(query), None, "{query}");
        }
        let (before, rest) = split("$.paths.*[?@.x].y").expect("it begins with $");
        assert_eq!((before.len(), rest), (2, "[?@.x].y"));
    }
}
