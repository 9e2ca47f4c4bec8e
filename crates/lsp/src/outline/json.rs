//! Outline of a JSON text (RFC 8259). The text may be incomplete, because the user is typing it. An
//! unterminated string ends at the end of its line, and an unclosed bracket contains the rest of
//! the text.

use std::ops::Range;

use super::{Kind, Outline};

/// True if a text is JSON: it begins with an object or a list.
pub(super) fn is_json(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let mut characters = text.chars().filter(|one| !one.is_whitespace());
    match (characters.next(), characters.next()) {
        (Some('{'), second) => matches!(second, None | Some('"' | '}')),
        (Some('['), second) => matches!(second, None | Some('"' | '{' | '[' | ']')),
        _ => false,
    }
}

/// Reads the outline of a text.
pub(super) fn read(text: &str) -> Outline {
    let mut reader = Reader {
        text,
        outline: Outline::default(),
        open: Vec::new(),
        key: None,
    };
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let end = at + character.len_utf8();
        at = match character {
            '{' | '[' => reader.begin(character, at),
            '}' | ']' => reader.end(character, at),
            ',' => {
                reader.key = None;
                end
            }
            ':' | '\u{feff}' => end,
            _ if character.is_whitespace() => end,
            _ => reader.scalar(at),
        };
    }
    reader.outline
}

/// Reader of an outline.
struct Reader<'t> {
    text: &'t str,
    outline: Outline,
    /// Collections without an end so far, outer ones first.
    open: Vec<Open>,
    /// Key without a value so far.
    key: Option<usize>,
}

/// Collection, with the entry that contains it. `None`: the root.
struct Open {
    is_object: bool,
    /// True if this collection or one around it is an object.
    has_object: bool,
    /// True if this collection or one around it is a list.
    has_list: bool,
    entry: Option<usize>,
}

impl Reader<'_> {
    /// Begins a collection. Returns the offset after its bracket.
    fn begin(&mut self, bracket: char, at: usize) -> usize {
        let entry = self.container(at);
        let is_object = bracket == '{';
        let around = self.open.last();
        self.open.push(Open {
            is_object,
            has_object: is_object || around.is_some_and(|around| around.has_object),
            has_list: !is_object || around.is_some_and(|around| around.has_list),
            entry,
        });
        at + 1
    }

    /// Ends the innermost collection of this kind, and the collections inside it. Returns the
    /// offset after the bracket.
    fn end(&mut self, bracket: char, at: usize) -> usize {
        let is_object = bracket == '}';
        // If no open collection has this kind, do not search: a text of many such brackets would
        // take quadratic time.
        let is_open = self.open.last().is_some_and(|last| match is_object {
            true => last.has_object,
            false => last.has_list,
        });
        if is_open {
            let own = self.open.iter().rposition(|one| one.is_object == is_object);
            self.open.truncate(own.unwrap_or_default());
        }
        self.key = None;
        at + 1
    }

    /// Reads a string, a number or a word. Returns the offset after the scalar or, for a key, after
    /// the colon.
    fn scalar(&mut self, at: usize) -> usize {
        let end = at + length(&self.text[at..]);
        let range = at..end;
        if let Some(key) = self.key.take() {
            self.outline.scalars.insert(key, self.unquoted(&range));
            self.outline.entries[key].value = range;
            return end;
        }
        let rest = &self.text[end..];
        let after = rest.trim_start();
        let is_object = self.open.last().is_some_and(|one| one.is_object);
        let text = self.unquoted(&range);
        let parent = self.container(at);
        if is_object && after.starts_with(':') {
            self.key = Some(self.outline.push(parent, Kind::Key(text), range));
            return end + rest.len() - after.len() + 1;
        }
        self.outline.push(parent, Kind::Scalar(text), range);
        end
    }

    /// Index of the entry that contains a value at this offset: the key before the value, a new
    /// item of a list, or the entry of the object. `None` for the root.
    fn container(&mut self, at: usize) -> Option<usize> {
        if let Some(key) = self.key.take() {
            return Some(key);
        }
        let last = self.open.last()?;
        let (is_object, entry) = (last.is_object, last.entry);
        match is_object {
            true => entry,
            false => Some(self.outline.push(entry, Kind::Item, at..at)),
        }
    }

    /// Text of a scalar without quotes and escapes.
    fn unquoted(&self, range: &Range<usize>) -> String {
        let text = &self.text[range.clone()];
        serde_json::from_str(text).unwrap_or_else(|_| text.trim_matches('"').to_owned())
    }
}

/// Length of the scalar at the start of a text, at least one character.
fn length(text: &str) -> usize {
    if !text.starts_with('"') {
        let ends = |one: char| one.is_whitespace() || ",:{}[]\"".contains(one);
        return text.find(ends).unwrap_or(text.len());
    }
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            '\n' => return text[..at].trim_end().len(),
            '"' if !is_escaped => return at + 1,
            _ => is_escaped = character == '\\' && !is_escaped,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::super::tests::paths;

    #[test]
    fn json_has_the_outline_of_yaml() {
        let text = "{\"a\": {\"b\": [\"c\", {\"d\\\"\": 1}], \"e\": \"http://x\"},\n \"f\": true, \"g\": []}";
        let expected = [
            "a",
            "a b",
            "a b -",
            "a b - <c>",
            "a b -",
            "a b - d\"",
            "a e",
            "f",
            "g",
        ];
        assert_eq!(paths(text), expected);
    }

    #[test]
    fn brackets_without_counterparts_take_linear_time() {
        // Without the check of open collections, the searches would visit 40 billion collections.
        let count = 200_000;
        let text = "{\"a\":".repeat(count) + &"]".repeat(count) + "\"b\"";
        let outline = super::read(&text);
        assert_eq!(outline.entries().len(), count + 1);
    }

    #[test]
    fn json_that_is_typed_has_an_outline() {
        let text = "{\n  \"a\": {\n    \"lim\n    \"b\": 1,\n    x\n  },\n  \"c\": \n}\n";
        assert_eq!(paths(text), ["a", "a <lim>", "a b", "a <x>", "c"]);
        assert_eq!(
            paths("{\"a\": [1, {\"b\""),
            ["a", "a -", "a - <1>", "a -", "a - <b>"]
        );
        assert_eq!(paths("[1]]}{"), ["-", "- <1>"]);
    }
}
