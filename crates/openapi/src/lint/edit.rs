//! Text ranges of map entries and list items, including their comma or whole lines. With these
//! ranges, a fix can remove or insert an entry without any other change.
//!
//! If a range is not certain (an anchor, a comment beside it, the only entry), there is no edit.

use std::ops::Range;

use diag::{NodeRef, Span};

use sources::project::files::Files;

/// Returns the range to delete to remove an entry from its map. `None` if the range is not certain.
#[must_use]
pub(crate) fn entry_removed(files: &Files, map: NodeRef<'_>, key: &str) -> Option<Span> {
    let (entry, value) = map.entry(key)?;
    let (outer, at) = (map.span(), entry.key_span);
    let own = |span: Span| span.file == outer.file && outer.start <= span.start;
    let own = |span: Span| own(span) && span.end <= outer.end;
    let others = map.entries().filter(|(other, _)| own(other.key_span));
    if others.count() < 2 || !own(at) || !own(value.span()) || value.span().start < at.end {
        return None;
    }
    let text = files.sources.file(at.file).text();
    // Only a colon and possibly a block indicator are allowed between key and value; not an anchor
    // or tag.
    let between = text.get(at.end as usize..value.span().start as usize)?;
    let between = between.trim_start().strip_prefix(':')?;
    if !(between.trim().is_empty() || between.trim().starts_with(['|', '>'])) {
        return None;
    }
    let whole = at.start as usize..value.span().end as usize;
    let part = part(text, whole, "")?;
    Some(Span::new(at.file, part.start, part.end))
}

/// Returns the range to delete to remove an item from its list. `None` if the range is not certain.
#[must_use]
pub(crate) fn item_removed(files: &Files, list: NodeRef<'_>, index: usize) -> Option<Span> {
    let item = list.items().nth(index)?.span();
    let outer = list.span();
    let inside = item.file == outer.file && outer.start <= item.start && item.end <= outer.end;
    if list.items().len() < 2 || !inside {
        return None;
    }
    let text = files.sources.file(item.file).text();
    let part = part(text, item.start as usize..item.end as usize, "- ")?;
    Some(Span::new(item.file, part.start, part.end))
}

/// Returns the position for a new entry before an existing entry of its map, and the text to
/// insert. `None` if the position is not certain.
#[must_use]
pub(crate) fn entry_before(
    files: &Files,
    map: NodeRef<'_>,
    before: &str,
    key: &str,
    value: &str,
) -> Option<(Span, String)> {
    let (entry, _) = map.entry(before)?;
    let (outer, at) = (map.span(), entry.key_span);
    if at.file != outer.file || at.start < outer.start || outer.end < at.end {
        return None;
    }
    let text = files.sources.file(at.file).text();
    let start = at.start as usize;
    let quote = if text[start..].starts_with('"') {
        "\""
    } else {
        ""
    };
    let new = format!("{quote}{key}{quote}: {value}");
    let place = Span::new(at.file, start, start);
    if text.get(outer.start as usize..)?.starts_with('{') {
        return Some((place, format!("{new}, ")));
    }
    let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
    let indent = &text[line..start];
    let plain = indent.chars().all(|c| c == ' ' || c == '-');
    let end = if text[start..].split('\n').next()?.ends_with('\r') {
        "\r\n"
    } else {
        "\n"
    };
    plain.then(|| (place, format!("{new}{end}{}", " ".repeat(indent.len()))))
}

/// Returns the insertions that wrap a reference in `allOf`: one before the reference, one after it.
/// `None` if the map already has `allOf`, or the positions are not certain.
#[must_use]
pub(crate) fn reference_wrapped(files: &Files, map: NodeRef<'_>) -> Option<[(Span, String); 2]> {
    let (entry, value) = map.entry("$ref")?;
    let (outer, key, value) = (map.span(), entry.key_span, value.span());
    let own =
        |span: Span| span.file == outer.file && outer.start <= span.start && span.end <= outer.end;
    if map.get("allOf").is_some() || !own(key) || !own(value) || value.start < key.end {
        return None;
    }
    let text = files.sources.file(key.file).text();
    let of = |span: Span| text.get(span.start as usize..span.end as usize);
    let (old_key, old_value) = (of(key)?, of(value)?);
    // An anchor or tag between key and value, or a value on several lines, cannot be wrapped.
    let between = text.get(key.end as usize..value.start as usize)?;
    if between.trim() != ":" || old_value.contains('\n') || !old_key.contains("$ref") {
        return None;
    }
    let at = |byte: u32| Span::new(key.file, byte as usize, byte as usize);
    let new_key = old_key.replace("$ref", "allOf");
    Some([
        (at(key.start), format!("{new_key}: [{{")),
        (at(value.end), "}]".to_owned()),
    ])
}

/// Returns the range to delete in order to remove the value at `whole`. The range includes the
/// adjacent comma, or consists of whole lines if they contain nothing else. In block style, `lead`
/// must precede the value on its line: `- ` for a list item.
///
/// `None` if the range is not certain.
fn part(text: &str, whole: Range<usize>, lead: &str) -> Option<Range<usize>> {
    let line = text[..whole.start].rfind('\n').map_or(0, |end| end + 1);
    let before = &text[line..whole.start];
    let after = &text[whole.end..];
    let gap = after.len() - after.trim_start().len();
    if let Some(rest) = after[gap..].strip_prefix(',') {
        let mut end = whole.end + gap + 1;
        let spaces = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let break_at = &rest[spaces..];
        let filled = before.trim().is_empty();
        match break_at
            .strip_prefix("\r\n")
            .or(break_at.strip_prefix('\n'))
        {
            // The value's lines contain nothing else, so remove whole lines.
            Some(next) if filled && line > 0 => return Some(line..text.len() - next.len()),
            Some(_) => {}
            None if break_at.starts_with('#') => return None,
            None => end += spaces,
        }
        return Some(whole.start..end);
    }
    if after[gap..].starts_with(['}', ']']) {
        let trimmed = text[..whole.start].trim_end();
        return trimmed.ends_with(',').then(|| trimmed.len() - 1..whole.end);
    }
    // Block style: only indentation may precede the value on its line.
    if before.trim_start_matches(' ') != lead {
        return None;
    }
    let rest = after.split('\n').next().unwrap_or_default();
    if !rest.trim().is_empty() {
        return None;
    }
    let end = whole.end + rest.len();
    match text[end..].starts_with('\n') {
        true => Some(line..end + 1),
        false if line > 0 => Some(line - 1..end),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sources::syntax::Limits;

    fn files(name: &str, text: &str) -> Files {
        let mut files = Files::in_memory([(name, text)], Limits::default());
        files.read(name).expect("it is there");
        files
    }

    fn root(files: &Files) -> NodeRef<'_> {
        files
            .tree
            .at(files.root(diag::FileId(0)).expect("it is well-formed"))
    }

    fn edited(files: &Files, span: Option<Span>, new: &str) -> Option<String> {
        let span = span?;
        let text = files.sources.file(span.file).text();
        let (before, after) = (&text[..span.start as usize], &text[span.end as usize..]);
        Some(format!("{before}{new}{after}"))
    }

    #[test]
    fn removed_entry_includes_its_comma_or_lines() {
        for (text, without) in [
            ("{a: 1, b: 2, c: 3}", Some("{a: 1, c: 3}")),
            ("{b: 2, c: 3}", Some("{c: 3}")),
            ("{a: 1, b: 2}", Some("{a: 1}")),
            ("{a: 1,\n  b: [2,\n  3],\n  c: 4}", Some("{a: 1,\n  c: 4}")),
            ("a: 1\nb: 2\n# c\nc: 3\n", Some("a: 1\n# c\nc: 3\n")),
            ("a: 1\nb:\n  d: 4\nc: 3\n", Some("a: 1\nc: 3\n")),
            ("a: 1\r\nb: |\r\n  x\r\n  y\r\nc: 3", Some("a: 1\r\nc: 3")),
            ("a: 1\nb: 2", Some("a: 1")),
            ("b: 2", None),
            ("a: 1\nb: 2 # why\n", None),
            ("a: &x 1\nb: *x\nc: 2\n", None),
            ("a: 1\nb: &x 2\n", None),
        ] {
            let files = files("a.yaml", text);
            let span = entry_removed(&files, root(&files), "b");
            assert_eq!(edited(&files, span, "").as_deref(), without, "{text}");
        }
        let first = files("a.yaml", "- b: 1\n  c: 2\n");
        let map = root(&first).items().next().expect("an item");
        assert_eq!(entry_removed(&first, map, "b"), None);
        assert_eq!(
            edited(&first, entry_removed(&first, map, "c"), "").as_deref(),
            Some("- b: 1\n")
        );
    }

    #[test]
    fn removed_item_includes_its_comma_or_line() {
        for (text, without) in [
            ("[a, b, a]", Some("[a, b]")),
            ("[a, b, a ]", Some("[a, b ]")),
            ("- a\n- b\n- a\n", Some("- a\n- b\n")),
            ("[\n  a,\n  b,\n  a\n]", Some("[\n  a,\n  b\n]")),
            ("[a, b, &x a]", None),
            ("- a\n- b\n- a # why\n", None),
        ] {
            let files = files("a.yaml", text);
            let span = item_removed(&files, root(&files), 2);
            assert_eq!(edited(&files, span, "").as_deref(), without, "{text}");
        }
    }

    #[test]
    fn added_entry_has_the_layout_of_its_neighbours() {
        for (name, text, with) in [
            ("a.yaml", "{a: 1, b: 2}", "{a: 1, n: 0, b: 2}"),
            (
                "a.json",
                "{\"a\": 1, \"b\": 2}",
                "{\"a\": 1, \"n\": 0, \"b\": 2}",
            ),
            ("a.yaml", "a: 1\nb: 2\n", "a: 1\nn: 0\nb: 2\n"),
            ("a.yaml", "a: 1\r\nb: 2\r\n", "a: 1\r\nn: 0\r\nb: 2\r\n"),
        ] {
            let files = files(name, text);
            let (span, new) = entry_before(&files, root(&files), "b", "n", "0").expect("an edit");
            assert_eq!(edited(&files, Some(span), &new).as_deref(), Some(with));
        }
        let listed = files("a.yaml", "x:\n  - b: 2\n    c: 3\n");
        let list = root(&listed).get("x").and_then(|list| list.items().next());
        let (span, new) =
            entry_before(&listed, list.expect("an item"), "b", "n", "0").expect("an edit");
        assert_eq!(
            edited(&listed, Some(span), &new).as_deref(),
            Some("x:\n  - n: 0\n    b: 2\n    c: 3\n")
        );
    }
}
