//! Outline of a YAML or JSON text: keys and list items with their nesting. The text may be
//! incomplete or have errors, because the user is typing it.
//!
//! The nesting of block collections follows from columns, that of flow collections from their
//! brackets. The compiler's parser is exact, but has no result for a text with errors.

mod json;

use std::collections::BTreeMap;
use std::ops::Range;

/// Maximum nesting of flow collections.
const DEPTH_MAX: usize = 64;
/// Maximum of [`Reader::unclosed_bytes`]. Beyond it, each bracket counts as unclosed, because
/// searches in a text of unclosed brackets take quadratic time.
const UNCLOSED_BYTES_MAX: usize = 8 << 20;

/// Outline of a text.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    entries: Vec<Entry>,
    /// Scalar values of keys, by index of the entry.
    scalars: BTreeMap<usize, String>,
    /// Indexes of the entries that an entry contains directly. `None`: the entries at the root.
    children: BTreeMap<Option<usize>, Vec<usize>>,
}

/// Key or item of a collection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Index of the containing entry. `None` at the root.
    pub(crate) parent: Option<usize>,
    pub(crate) kind: Kind,
    /// Byte range of the key, dash or scalar.
    pub(crate) at: Range<usize>,
    /// Byte range of a scalar value in the same line. Empty if there is none.
    pub(crate) value: Range<usize>,
}

/// Kind of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Key of a map, without quotes.
    Key(String),
    /// Item of a list.
    Item,
    /// Scalar without a key: the value of a list item, or an incomplete key.
    Scalar(String),
}

/// Entry whose content may continue in the next lines, with its column.
struct Open {
    column: usize,
    entry: usize,
}

impl Outline {
    /// Reads the outline of a text.
    pub(crate) fn of(text: &str) -> Self {
        if json::is_json(text) {
            return json::read(text);
        }
        let mut reader = Reader {
            text,
            outline: Self::default(),
            open: Vec::new(),
            unclosed_bytes: 0,
        };
        let mut at = 0;
        while at < text.len() {
            at = reader.line(at);
        }
        reader.outline
    }

    /// True if a text is read as JSON, whose keys and strings have quotes.
    pub(crate) fn is_json(text: &str) -> bool {
        json::is_json(text)
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Entries from the root to the given entry.
    pub(crate) fn path(&self, entry: usize) -> Vec<usize> {
        let mut path = vec![entry];
        while let Some(parent) = path.last().and_then(|last| self.entries[*last].parent) {
            path.push(parent);
        }
        path.reverse();
        path
    }

    /// Entries that the entry `parent` contains directly. `None`: the entries at the root.
    pub(crate) fn children(&self, parent: Option<usize>) -> impl Iterator<Item = (usize, &Entry)> {
        let all = self.children.get(&parent).into_iter().flatten();
        all.map(|at| (*at, &self.entries[*at]))
    }

    /// Keys of the map in the entry `parent`. `None`: the map at the root.
    pub(crate) fn keys(&self, parent: Option<usize>) -> impl Iterator<Item = (usize, &str)> {
        self.children(parent)
            .filter_map(|(at, entry)| match &entry.kind {
                Kind::Key(key) => Some((at, key.as_str())),
                Kind::Item | Kind::Scalar(_) => None,
            })
    }

    /// Scalar value of a key, without quotes. `None` if the key has no scalar in its line.
    pub(crate) fn scalar(&self, entry: usize) -> Option<&str> {
        self.scalars.get(&entry).map(String::as_str)
    }

    fn push(&mut self, parent: Option<usize>, kind: Kind, at: Range<usize>) -> usize {
        let value = at.end..at.end;
        let index = self.entries.len();
        self.entries.push(Entry {
            parent,
            kind,
            at,
            value,
        });
        self.children.entry(parent).or_default().push(index);
        index
    }

    /// Index of the entry at a path of keys from the root.
    pub(crate) fn find(&self, keys: &[&str]) -> Option<usize> {
        let mut found = None;
        for key in keys {
            let (at, _) = self.keys(found).find(|(_, known)| known == key)?;
            found = Some(at);
        }
        found
    }
}

/// Reader of an outline.
struct Reader<'t> {
    text: &'t str,
    outline: Outline,
    /// Entries that can contain the next line, outer ones first.
    open: Vec<Open>,
    /// Bytes read in the search for closing brackets that the text does not have.
    unclosed_bytes: usize,
}

impl Reader<'_> {
    /// Reads the line that begins at `start`. Returns the start of the next unread line.
    fn line(&mut self, start: usize) -> usize {
        let end = self.line_end(start);
        let line = self.text[start..end].trim_end();
        let next = (end + 1).min(self.text.len()).max(end);
        let mut column = line.len() - line.trim_start_matches(' ').len();
        let content = &line[column..];
        if content.is_empty() || content.starts_with('#') || content == "---" {
            return next;
        }
        loop {
            let rest = &line[column..];
            let is_item = rest == "-" || rest.starts_with("- ");
            if !is_item {
                break;
            }
            let at = start + column;
            self.open_entry(Kind::Item, column, at..at + 1);
            let inner = rest[1..].trim_start_matches(' ');
            if inner.is_empty() || inner.starts_with('#') {
                return next;
            }
            column += rest.len() - inner.len();
        }
        self.content(start + column, column, end).unwrap_or(next)
    }

    /// Reads a key with its value, a scalar or a flow collection. Returns the start of the next
    /// unread line. `None`: the line after this one.
    fn content(&mut self, at: usize, column: usize, line_end: usize) -> Option<usize> {
        let rest = self.text[at..line_end].trim_end();
        if rest.starts_with(['{', '[']) {
            let parent = self.parent(column, false);
            let end = self.flow(at, parent, 0);
            return Some(self.after_line(end));
        }
        let Some((key, length)) = key(rest) else {
            let parent = self.parent(column, false);
            let end = at + without_comment(rest).len();
            self.push(parent, Kind::Scalar(unquoted(&self.text[at..end])), at..end);
            return None;
        };
        let entry = self.open_entry(Kind::Key(unquoted(key)), column, at..at + key.len());
        let value = rest[length..].trim_start();
        let value_at = at + rest.len() - value.len();
        let value = without_comment(value);
        if value.starts_with(['{', '[']) {
            let end = self.flow(value_at, Some(entry), 0);
            return Some(self.after_line(end));
        }
        self.set_value(entry, value_at..value_at + value.len());
        let is_block = value.starts_with(['|', '>']);
        is_block.then(|| self.after_block(line_end, column))
    }

    /// Offset of the first line after a block scalar whose key is at `column`.
    fn after_block(&self, line_end: usize, column: usize) -> usize {
        let mut at = line_end + 1;
        while at < self.text.len() {
            let line = &self.text[at..self.line_end(at)];
            let indent = line.len() - line.trim_start_matches(' ').len();
            if !line.trim().is_empty() && indent <= column {
                break;
            }
            at += line.len() + 1;
        }
        at.min(self.text.len())
    }

    /// Reads a flow collection. Returns the offset after the collection. An unclosed collection
    /// ends at the end of its line.
    fn flow(&mut self, start: usize, parent: Option<usize>, depth: usize) -> usize {
        let is_map = self.text[start..].starts_with('{');
        let close = if is_map { '}' } else { ']' };
        // Only a closed collection may continue in other lines.
        let end = self.flow_end(start);
        let limit = end.unwrap_or_else(|| self.line_end(start));
        let mut at = start + 1;
        while at < limit && depth < DEPTH_MAX {
            let rest = &self.text[at..limit];
            let skipped = rest.len()
                - rest
                    .trim_start_matches(|c: char| c.is_whitespace() || c == ',')
                    .len();
            at += skipped;
            let rest = &self.text[at..limit];
            let Some(first) = rest.chars().next() else {
                break;
            };
            if first == close {
                return at + 1;
            }
            let parent = match is_map {
                true => parent,
                false => Some(self.push(parent, Kind::Item, at..at)),
            };
            if first == '{' || first == '[' {
                at = self.flow(at, parent, depth + 1).max(at + 1);
                continue;
            }
            let length = scalar_length(rest);
            let written = rest[..length].trim_end();
            let range = at..at + written.len();
            at += length.max(1);
            let is_key = is_map && self.text[at.min(limit)..limit].starts_with(':');
            if !is_key {
                self.push(parent, Kind::Scalar(unquoted(written)), range);
                continue;
            }
            let key = self.push(parent, Kind::Key(unquoted(written)), range);
            at += 1;
            let value = self.text[at..limit].trim_start();
            at = limit - value.len();
            if value.starts_with(['{', '[']) {
                at = self.flow(at, Some(key), depth + 1).max(at + 1);
            } else {
                let length = scalar_length(value);
                let written = value[..length].trim_end().len();
                self.set_value(key, at..at + written);
                at += length;
            }
        }
        // A quote can hide brackets from the search for the end of an outer collection, so that an
        // inner collection ends after it. Do not read the text of the inner collection again.
        limit.max(at)
    }

    /// Offset after the bracket that closes the flow collection at `start`. `None` if no bracket
    /// closes it before a line that begins a block entry at the first column.
    fn flow_end(&mut self, start: usize) -> Option<usize> {
        if self.unclosed_bytes > UNCLOSED_BYTES_MAX {
            return None;
        }
        let end = self.closing(start);
        if end.is_none() {
            self.unclosed_bytes += self.text.len() - start;
        }
        end
    }

    fn closing(&self, start: usize) -> Option<usize> {
        let mut depth = 0usize;
        let mut quote = None;
        let mut before = '\n';
        for (at, character) in self.text[start..].char_indices() {
            match (quote, character) {
                (Some(open), _) if open == character => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(character),
                (None, '{' | '[') => depth += 1,
                (None, '}' | ']') => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(start + at + 1);
                    }
                }
                (None, _) if before == '\n' && !character.is_whitespace() && at > 0 => return None,
                (None, _) => {}
            }
            before = character;
        }
        None
    }

    /// Adds an entry that can contain others. Returns the index of the entry.
    fn open_entry(&mut self, kind: Kind, column: usize, at: Range<usize>) -> usize {
        let parent = self.parent(column, kind == Kind::Item);
        let entry = self.push(parent, kind, at);
        self.open.push(Open { column, entry });
        entry
    }

    /// Closes the entries that cannot contain an entry at `column`. Returns the index of the
    /// innermost of the remaining entries, or `None` for the root. The items of a list may have the
    /// column of the list's key.
    fn parent(&mut self, column: usize, is_item: bool) -> Option<usize> {
        while let Some(last) = self.open.last() {
            let is_list = is_item && self.outline.entries[last.entry].kind != Kind::Item;
            if last.column < column || last.column == column && is_list {
                break;
            }
            self.open.pop();
        }
        self.open.last().map(|last| last.entry)
    }

    fn push(&mut self, parent: Option<usize>, kind: Kind, at: Range<usize>) -> usize {
        self.outline.push(parent, kind, at)
    }

    /// Sets the scalar value of a key.
    fn set_value(&mut self, key: usize, range: Range<usize>) {
        if !range.is_empty() {
            let text = unquoted(&self.text[range.clone()]);
            self.outline.scalars.insert(key, text);
        }
        self.outline.entries[key].value = range;
    }

    fn line_end(&self, start: usize) -> usize {
        let end = self.text[start..].find('\n');
        end.map_or(self.text.len(), |end| start + end)
    }

    fn after_line(&self, at: usize) -> usize {
        (self.line_end(at.min(self.text.len())) + 1).min(self.text.len())
    }
}

/// Key at the start of a line with its quotes, and the length of the key with its colon. `None` if
/// the line has no key.
fn key(line: &str) -> Option<(&str, usize)> {
    let quote = line.chars().next().filter(|first| "'\"".contains(*first));
    let end = match quote {
        Some(quote) => line[1..].find(quote)? + 2,
        None => {
            let colons = line.match_indices(':').map(|(at, _)| at);
            let mut ends =
                colons.filter(|at| matches!(line.as_bytes().get(at + 1), None | Some(b' ')));
            ends.next()?
        }
    };
    let after = line[end..].trim_start_matches(' ');
    let colon = line.len() - after.len() + 1;
    let is_key = after == ":" || after.starts_with(": ");
    is_key.then(|| (line[..end].trim_end(), colon))
}

/// Length of a scalar in a flow collection.
fn scalar_length(text: &str) -> usize {
    let quote = text.chars().next().filter(|first| "'\"".contains(*first));
    if let Some(quote) = quote {
        return text[1..].find(quote).map_or(text.len(), |end| end + 2);
    }
    let end = text.char_indices().find(|(at, character)| match character {
        ',' | '}' | ']' | '\n' => true,
        ':' => matches!(
            text.as_bytes().get(at + 1),
            None | Some(b' ' | b'\n' | b',' | b'}' | b']')
        ),
        _ => false,
    });
    end.map_or(text.len(), |(at, _)| at)
}

/// Text without a comment at its end.
fn without_comment(text: &str) -> &str {
    let end = match text.starts_with(['"', '\'']) {
        true => None,
        false => text.find(" #"),
    };
    let text = if text.starts_with('#') { "" } else { text };
    text[..end.unwrap_or(text.len()).min(text.len())].trim_end()
}

/// Scalar without its quotes.
fn unquoted(text: &str) -> String {
    let text = text.trim();
    let inner = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"')
        .or_else(|| inner('\''))
        .unwrap_or(text)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths of all entries: keys, `-` for an item, and scalars in angle brackets.
    pub(super) fn paths(text: &str) -> Vec<String> {
        let outline = Outline::of(text);
        let name = |at: usize| match &outline.entries[at].kind {
            Kind::Key(key) => key.clone(),
            Kind::Item => "-".to_owned(),
            Kind::Scalar(text) => format!("<{text}>"),
        };
        let entries = 0..outline.entries.len();
        let paths = entries.map(|at| {
            let path: Vec<String> = outline.path(at).into_iter().map(name).collect();
            path.join(" ")
        });
        paths.collect()
    }

    #[test]
    fn unclosed_brackets_take_linear_time() {
        // Without a limit, the search for 40,000 brackets would read 8 GB.
        let text = "  k: [\n".repeat(40_000) + "m: [a]\n";
        let outline = Outline::of(&text);
        assert_eq!(outline.keys(None).count(), 40_001);
    }

    #[test]
    fn text_of_a_collection_is_read_once() {
        // The quote of each line hides a bracket from the search for the end of the list before it.
        let lines = "  k: [x-\", [ ', \"]\n".repeat(2_000);
        let text = lines + &"' ]]]".repeat(4_000);
        let outline = Outline::of(&text);
        let mut starts = outline.entries().iter().map(|entry| entry.at.start);
        assert!(starts.clone().is_sorted());
        assert!(starts.all(|start| start < text.len()));
        assert!(outline.entries().len() < 1_000);
    }

    #[test]
    fn children_of_many_entries_take_linear_time() {
        // Without an index, the search for all children would read 10 billion entries.
        let count = 100_000;
        let outline = Outline::of(&"a: {b: 1}\n".repeat(count));
        let sections = outline.children(None);
        let members = sections.map(|(section, _)| outline.children(Some(section)).count());
        assert_eq!(members.sum::<usize>(), count);
    }

    #[test]
    fn nesting_follows_columns() {
        let text = "a:\n  b: 1 # c: d\n\n  # e: f\n  'g h': |\n    no: key\n  i:\n  - j: 1\n    k: 2\n  - l\nm:\n- - n\n";
        assert_eq!(
            paths(text),
            [
                "a",
                "a b",
                "a g h",
                "a i",
                "a i -",
                "a i - j",
                "a i - k",
                "a i -",
                "a i - <l>",
                "m",
                "m -",
                "m - -",
                "m - - <n>",
            ]
        );
    }

    #[test]
    fn flow_collections_are_read_also_without_an_end() {
        let text = "a: {b: [c, {d: 1}], \"e\": http://x}\nf: {g: 1, h\ni: [j,\n  k]\nl: 1\n";
        assert_eq!(
            paths(text),
            [
                "a",
                "a b",
                "a b -",
                "a b - <c>",
                "a b -",
                "a b - d",
                "a e",
                "f",
                "f g",
                "f <h>",
                "i",
                "i -",
                "i - <j>",
                "i -",
                "i - <k>",
                "l",
            ]
        );
    }

    #[test]
    fn values_have_their_ranges() {
        let text = "a: one # two\nb: {c: \"d\"}\n";
        let outline = Outline::of(text);
        let value =
            |keys: &[&str]| &text[outline.entries[outline.find(keys).unwrap()].value.clone()];
        assert_eq!(value(&["a"]), "one");
        assert_eq!(value(&["b", "c"]), "\"d\"");
        assert_eq!(outline.find(&["b", "x"]), None);
    }

    #[test]
    fn no_text_is_refused() {
        for text in [
            "{",
            "[[[[",
            "a: {",
            "- - -",
            "'",
            "\"a",
            "a: {b",
            ":",
            "{:",
            "a:\r\n  b:\r\n",
            "{\"",
            "a: [}",
            "é: {é: é",
        ] {
            for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
                Outline::of(&text[..end]);
            }
        }
        Outline::of(&"[".repeat(100_000));
    }
}
